/* SPDX-License-Identifier: Apache-2.0
 *
 * The server side of HTTP, as its users see it: a server on one loop accepts connections, speaks HTTP/1.1 and HTTP/2, and shows
 * each request as a stream. It knows no models.
 *
 *   listener -> conn -> h1 | h2 -> stream -> handler
 *
 * Life of a stream: on_request is called once, when head and body are complete (or, after stream_take_body_in_pieces, when the head
 * is). The handler answers with stream_reply, or stream_begin + stream_write... until `last`. After the last byte, or after
 * on_abort, the stream is gone; the handler must not touch it again. on_abort tells that the client left, once, and only
 * between on_request and the last write.
 *
 * Errors that the HTTP layer answers by itself (malformed head, 413, 431, 408, 417, 501 …) never reach the handler's on_request; their
 * body comes from handler->error_body, so that they are in the client's dialect.
 */
#ifndef ENTENTE_HTTP_SERVER_H
#define ENTENTE_HTTP_SERVER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/stat.h"
#include "http/head.h"
#include "io/tls.h"

struct server;
struct stream;

struct stream_handler {
    /* The head is complete: says how many body bytes are allowed (limit) before any is read. ERR_OK, or an error that is answered
     * at once with the body unread (e.g. ERR_OVERLOADED, ERR_NOT_FOUND, ERR_BAD_METHOD). `owner` is the server's. */
    enum err (*on_head)(void *owner, struct stream *s, uint64_t *body_limit);
    void (*on_request)(void *owner, struct stream *s);   /* head and body are here */
    void (*on_body)(void *user, struct stream *s, struct span piece, bool last); /* only after stream_take_body_in_pieces */
    void (*on_writable)(void *user, struct stream *s);   /* pending bytes fell below the low mark after a write said pause */
    void (*on_abort)(void *user, struct stream *s, enum err why); /* client gone: reset, closed, protocol error, write timeout; ERR_DRAINING: server_free */
    /* writes an error body for a request whose head may be unknown (path empty then); content type into *ret_type */
    void (*error_body)(void *owner, struct span path, enum err e, const char *detail, struct buf *out, struct span *ret_type);
    /* optional: the value of Allow beside a 405 of on_head, for this path */
    struct span (*allow)(void *owner, struct span path);
};

struct server_stats {
    stat_counter connections_open, connections_total, connections_refused, requests_total, requests_open;
    stat_counter bytes_in, bytes_out, errors_by_http_layer, h2_connections_total, tls_handshakes_total, tls_failures_total;
};

struct server_options {
    const struct stream_handler *handler;
    void *owner;                 /* passed to on_head, on_request, error_body */
    /* Zero means a default in all of these. */
    unsigned connections_max;    /* further ones get 503 with Retry-After (h1) or are closed (TLS) */
    uint64_t body_max;           /* for error messages; on_head decides per request */
    uint64_t head_timeout_ns;    /* first byte to end of head: 408 */
    uint64_t body_timeout_ns;    /* silence while a body is awaited: 408 */
    uint64_t idle_timeout_ns;    /* keep-alive connection without a request: closed */
    uint64_t write_timeout_ns;   /* no progress writing to a client: aborted */
    size_t body_bytes_max;       /* memory for request bodies of all connections together; over it: 503 */
    const char *server_name;     /* value of the Server header, or NULL for none */
};

struct server *server_new(struct loop *l, const struct server_options *o);
/* tls NULL for plain. h2 prior knowledge is understood on plain listeners, ALPN decides on TLS ones. */
enum err server_listen(struct server *s, const struct sock_address *at, struct tls_context *tls, const char **ret_why) MUST_CHECK;
struct sock_address server_address(const struct server *s, unsigned nth_listener);
void server_set_tls(struct server *s, unsigned nth_listener, struct tls_context *tls); /* for new connections */
void server_set_limits(struct server *s, const struct server_options *o); /* its sizes, numbers and times, from now on; the rest stays */
void server_drain(struct server *s);  /* stop accepting; idle connections close, h2 gets GOAWAY, answers carry Connection: close */
bool server_is_idle(const struct server *s); /* no connection left */
void server_free(struct server *s);   /* aborts what is left */
const struct server_stats *server_stats(const struct server *s);

/* ---- a stream, from its handler's side ---- */

struct stream_base { /* first member of the h1 and h2 stream types; fields are read-only to handlers except `user` */
    struct server *server;
    struct loop *loop;
    struct http_head head;     /* valid until the stream ends */
    uint64_t id;               /* unique in this server */
    uint64_t started_ns;       /* monotonic: first byte of the request */
    uint64_t received_ns;      /* last byte of the request */
    uint64_t bytes_in, bytes_out; /* body bytes */
    bool is_tls;
    void *user;                /* the handler's */
};
static inline struct stream_base *stream_base(struct stream *s) { return (struct stream_base *)s; }

struct sock_address stream_peer(const struct stream *s); /* who asks; of a Unix socket the family alone */
struct span stream_body(struct stream *s);        /* the whole body, content-encoding undone; valid until stream_release_body */
void stream_take_body(struct stream *s, struct buf *into); /* moves the body's buffer to the caller, without copying */
void stream_release_body(struct stream *s);       /* the body is no longer needed: gives its memory back early */
/* Inside on_head: on_request follows at once, then on_body for each piece as it came (transfer coding undone, content coding not).
 * The client is read no faster than on_body returns. From here on on_abort tells whatever ends the stream early, also a refusal
 * by this layer before on_request. */
void stream_take_body_in_pieces(struct stream *s, void *user);
/* Gives the memory of the head back early, for answers that take long: of base.head the method and version stay, spans are empty. */
void stream_release_head(struct stream *s);

/* A whole answer. Content-Length, Date and Connection are added. body may be empty. HEAD requests get the head alone. */
void stream_reply(struct stream *s, int status, const struct header *headers, unsigned n, struct span body);

/* A streamed answer. content_length UINT64_MAX: chunked (h1.1), until close (h1.0), frames (h2). The head is held back until the first
 * write, so that both leave together; stream_flush_head sends it alone. */
void stream_begin(struct stream *s, int status, const struct header *headers, unsigned n, uint64_t content_length);
void stream_flush_head(struct stream *s);
/* All bytes are taken: written now, or copied to the connection's buffer. False: more than LIMIT_PENDING_BYTES wait, so pause the
 * source until on_writable. `last` ends the answer. One call is one chunk and, when the socket has room, one system call. */
bool stream_write(struct stream *s, const struct iovec *parts, int n, bool last);
/* Ends an answer that cannot be completed: never looks like a clean end (h1: the connection is closed without the last chunk;
 * h2: RST_STREAM INTERNAL_ERROR). Bytes already written are flushed first. The stream is gone after. */
void stream_break(struct stream *s);
size_t stream_pending(const struct stream *s);

#endif
