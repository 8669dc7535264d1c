/* SPDX-License-Identifier: Apache-2.0
 *
 * Transports: plain bytes, or TLS over them.
 */
#include "io/tls.h"

void transport_init_plain(struct transport *t, struct sock *s) { *t = (struct transport){.sock = s}; }
enum err tls_server_context(const struct tls_server_options *o, struct tls_context **ret, char why[256]) { strcpy(why, "TLS is not built yet"); return ERR_TLS; }
enum err tls_client_context(const struct tls_client_options *o, struct tls_context **ret, char why[256]) { strcpy(why, "TLS is not built yet"); return ERR_TLS; }
struct tls_context *tls_context_ref(struct tls_context *c) { return c; }
void tls_context_unref(struct tls_context *c) { }
enum err transport_init_server(struct transport *t, struct sock *s, struct tls_context *c) { return ERR_TLS; }
enum err transport_init_client(struct transport *t, struct sock *s, struct tls_context *c, const char *server_name) { return ERR_TLS; }
enum err transport_handshake(struct transport *t) { return ERR_OK; }
const char *transport_why(const struct transport *t) { return ""; }
bool transport_alpn_is_h2(const struct transport *t) { return false; }
struct span transport_tls_version(const struct transport *t) { return SPAN(""); }
ssize_t transport_read(struct transport *t, void *into, size_t bytes) { return sock_read(t->sock, into, bytes); }
ssize_t transport_writev(struct transport *t, const struct iovec *parts, int n) { return sock_writev(t->sock, parts, n); }
void transport_shutdown_write(struct transport *t) { sock_shutdown_write(t->sock); }
void transport_close(struct transport *t) { sock_close(t->sock); t->sock = NULL; }
void transport_abort(struct transport *t) { sock_abort(t->sock); t->sock = NULL; }
