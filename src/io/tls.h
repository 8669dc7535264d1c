/* SPDX-License-Identifier: Apache-2.0
 *
 * A transport: a sock, with TLS 1.2/1.3 over it or without. The only files that know OpenSSL's SSL are tls.c and, for digests,
 * base/digest.c. Memory matters here: an idle TLS connection releases its record buffers (SSL_MODE_RELEASE_BUFFERS).
 */
#ifndef ENTENTE_IO_TLS_H
#define ENTENTE_IO_TLS_H

#include "io/sock.h"

struct tls_context; /* immutable after new; shared by threads; reference counted */

struct tls_server_options {
    const char *cert_file, *key_file; /* PEM chain and key */
    bool offer_h2;                    /* ALPN h2 before http/1.1 */
};
struct tls_client_options {
    const char *ca_file;   /* NULL: the system's */
    bool verify;           /* false only where config says insecure */
    bool offer_h2;
    const char *cert_file, *key_file; /* client certificate, optional */
};

enum err tls_server_context(const struct tls_server_options *o, struct tls_context **ret, char why[256]) MUST_CHECK;
enum err tls_client_context(const struct tls_client_options *o, struct tls_context **ret, char why[256]) MUST_CHECK;
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c); /* accepts NULL */

struct tls; /* one session */

struct transport {
    struct sock *sock; /* owned */
    struct tls *tls;   /* owned, or NULL for plain bytes */
};

/* The server side takes an accepted sock, the client side a connected one. The handshake goes on inside transport_handshake,
 * which the owner calls on each readiness until it is not ERR_AGAIN. Client sessions are resumed per context and server name.
 * Each init takes the sock even when it fails: transport_close afterwards in every case. */
void transport_init_plain(struct transport *t, struct sock *s);
enum err transport_init_server(struct transport *t, struct sock *s, struct tls_context *c) MUST_CHECK;
enum err transport_init_client(struct transport *t, struct sock *s, struct tls_context *c, const char *server_name) MUST_CHECK;
enum err transport_handshake(struct transport *t) MUST_CHECK; /* OK (at once when plain), AGAIN, TLS, CLOSED */
const char *transport_why(const struct transport *t); /* after ERR_TLS: "certificate has expired" and the like; static or owned by t */
bool transport_is_resumed(const struct transport *t); /* after the handshake: an earlier session was taken up again */
bool transport_alpn_is_h2(const struct transport *t);
struct span transport_tls_version(const struct transport *t); /* "TLSv1.3", empty when plain */

/* As sock_read and sock_writev. A truncated TLS stream (no close_notify) reads as -ERR_IO, not 0. With TLS, a read that filled
 * the caller's buffer may leave bytes that raise no event: read again until ERR_AGAIN. A short read is drained as for a sock,
 * unless sock->hangup, which an end inside TLS sets, too. After a short write the next one goes on with the byte where that
 * one stopped, as a stream must: that byte may be on its way already. */
ssize_t transport_read(struct transport *t, void *into, size_t bytes);
ssize_t transport_writev(struct transport *t, const struct iovec *parts, int n);
void transport_shutdown_write(struct transport *t); /* close_notify, then the sock's half */
void transport_close(struct transport *t);  /* polite where possible without waiting; frees tls and sock */
void transport_abort(struct transport *t);

#endif
