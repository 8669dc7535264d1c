/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream sockets, non-blocking, edge-triggered: after on_ready the owner reads (writes) until ERR_AGAIN or a short read (write);
 * no further event comes for bytes that were left unread. One registration with the kernel per socket, none per request.
 */
#ifndef ENTENTE_IO_SOCK_H
#define ENTENTE_IO_SOCK_H

#include <sys/uio.h>

#include "io/loop.h"

enum {
    SOCK_READABLE = 1,
    SOCK_WRITABLE = 2,
    SOCK_HANGUP = 4, /* the peer closed its sending half, or an error is pending: read to learn which */
};

struct sock;
typedef void sock_ready_fn(struct sock *s, unsigned events);
typedef void sock_accept_fn(void *owner, struct sock *accepted); /* takes accepted: owner must set on_ready or close it */

struct sock {
    struct loop *loop;
    sock_ready_fn *on_ready; /* may close the sock */
    void *owner;
    int fd;                  /* the backend's handle, -1 when closed */
    bool hangup;             /* SOCK_HANGUP was seen: a short read does not mean drained */
};

/* An address: IPv4, IPv6 or a Unix path. */
struct sock_address {
    union {
        struct { uint16_t family; uint16_t port_be; uint8_t v4[4]; } in;
        uint8_t bytes[128]; /* a struct sockaddr_storage on the real backend */
    } u;
    unsigned bytes;
};
enum err sock_address_parse(struct span text, struct sock_address *ret) MUST_CHECK; /* "127.0.0.1:8080", "[::1]:80", "unix:/path" */
struct span sock_address_text(const struct sock_address *a, char *out, size_t out_bytes); /* the same form back */
bool sock_address_is_loopback(const struct sock_address *a); /* Unix sockets count as loopback */

/* Listening. Several loops may listen on one address (SO_REUSEPORT). */
struct listener;
enum err sock_listen(struct loop *l, const struct sock_address *at, sock_accept_fn *on_accept, void *owner, struct listener **ret,
                     const char **ret_why) MUST_CHECK; /* why: a static sentence such as "the port is in use" */
void listener_pause(struct listener *l);  /* stops accepting; the backlog waits */
void listener_resume(struct listener *l);
void listener_close(struct listener *l);
struct sock_address listener_address(const struct listener *l); /* with the port the system chose for port 0 */

/* Connecting: on_ready with SOCK_WRITABLE tells that the attempt ended; then sock_connect_result says how. */
enum err sock_connect(struct loop *l, const struct sock_address *to, struct sock **ret) MUST_CHECK;
enum err sock_connect_result(struct sock *s) MUST_CHECK; /* OK, AGAIN (not yet), CONNECT */
struct sock_address sock_peer(const struct sock *s);

/* > 0: bytes; 0: the peer's clean end; < 0: -(enum err), ERR_AGAIN or ERR_IO (reset and the like). */
ssize_t sock_read(struct sock *s, void *into, size_t bytes);
ssize_t sock_writev(struct sock *s, const struct iovec *parts, int n); /* may be short; never raises SIGPIPE */
void sock_shutdown_write(struct sock *s);
void sock_close(struct sock *s);       /* frees s; no event comes after */
void sock_abort(struct sock *s);       /* closes with a reset, so that the peer cannot mistake it for a clean end */

#endif
