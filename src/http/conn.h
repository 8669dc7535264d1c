/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the server side share: server.c (listeners, what handlers call), conn.c (bytes in and out of one connection,
 * its timer and its end), conn_h1.c and conn_h2.c (what the bytes mean). Nobody else includes this.
 *
 * A connection may be freed only by its three roots (readiness, timer, deferred task), after everything they called has
 * returned: whatever handlers call only notes what is to be done. An idle connection holds this struct and its sock, nothing else.
 */
#ifndef ENTENTE_HTTP_CONN_H
#define ENTENTE_HTTP_CONN_H

#include "http/h1.h"
#include "http/scratch.h"
#include "http/server.h"

#define CONN_MAGIC MAGIC('c', 'o', 'n', 'n')
#define SERVER_MAGIC MAGIC('s', 'e', 'r', 'v')
#define SERVER_LISTENERS_MAX 16u
#define LINGER_NS (2 * NS_PER_S)      /* how long a refused client may go on sending before it is cut */
#define LINGER_BYTES (4u * MIB)       /* and how much */
#define REFUSED_MAX 256u              /* connections over connections_max that are told so at one time; others are closed */
#define OUT_BYTES_MAX (256u * MIB)

struct h2;

/* accept -> HANDSHAKE -> HEAD <-> BODY -> BUSY -> HEAD ... -> CLOSING -> LINGER -> freed
 *                    \-> H2 ------------------------------------/ */
enum conn_state {
    CONN_HANDSHAKE, /* TLS is being agreed on */
    CONN_HEAD,      /* HTTP/1: waiting for a request, or inside its head */
    CONN_BODY,      /* HTTP/1: receiving the body of c->stream */
    CONN_BUSY,      /* HTTP/1: the handler has c->stream; further requests wait in c->in or in the kernel */
    CONN_H2,
    CONN_CLOSING,   /* nothing is read any more; what is left of the answer goes out */
    CONN_LINGER,    /* our half is closed; what still comes is dropped, so that no reset destroys the answer */
};

/* What the timer is for. When nothing, the timer may still be set: it costs less to let it fire than to clear it. */
enum conn_timing { TIMING_NOTHING, TIMING_IDLE, TIMING_HEAD, TIMING_BODY, TIMING_WRITE, TIMING_LINGER, TIMING_YIELD };

struct conn {
    unsigned magic;
    uint8_t state;             /* enum conn_state */
    uint8_t timing;            /* enum conn_timing */
    uint8_t dead;              /* enum err: why it is to be freed at the end of the turn; 0 while it lives */
    uint8_t peer_bytes;
    uint8_t served;            /* HTTP/1: requests begun in this turn */
    bool running : 1;          /* a root is on the stack: it will look at the state itself */
    bool readable : 1;         /* the socket may hold bytes that raise no further event */
    bool blocked : 1;          /* the socket is full: everything goes to `out` until it is writable */
    bool eof : 1;              /* the peer closed its half */
    bool paused : 1;           /* HTTP/1: the handler waits for on_writable */
    bool linger : 1;           /* close only after a lingering */
    bool task_turn : 1;        /* the root on the stack is the deferred task */
    bool reset : 1;            /* close with a reset: a clean end would look like the end of the answer */
    bool is_refused : 1;       /* over connections_max */
    bool had_request : 1;      /* HTTP/1 it is: the preface of HTTP/2 is no longer looked for */
    uint32_t lingered;         /* bytes dropped while lingering */
    struct server *server;
    struct list link;
    struct transport transport;
    struct timer timer;
    struct task task;
    struct buf in;             /* an incomplete head, or requests that wait their turn */
    struct buf out;            /* what the socket did not take, or a head that is held back */
    size_t scanned;            /* h1_parse_request's memory about `in` */
    uint64_t started_ns;       /* first byte of the request in `in` */
    struct stream *stream;     /* HTTP/1: the one alive */
    struct h2 *h2;
    uint8_t peer[28];          /* the front of a struct sock_address: enough for IPv6 */
};

struct stream {
    struct stream_base base;
    struct conn *conn;
    void *head_memory;         /* what base.head points into; NULL once given back */
    struct buf body;
    size_t body_counted;       /* bytes of it in server->body_bytes */
    uint64_t body_left;        /* H1_LENGTH: still to come */
    uint64_t body_limit;
    uint64_t answer_left;      /* of a declared length; UINT64_MAX when none was */
    struct h1_chunks chunks;
    uint8_t body_kind;         /* enum h1_body */
    bool keep_alive : 1;       /* the request's wish and ours so far */
    bool delivered : 1;        /* on_request was called */
    bool in_pieces : 1;
    bool began : 1;            /* the answer's head exists */
    bool flushed : 1;          /* and some of it was handed to the socket */
    bool chunked : 1;          /* the answer is */
    bool until_close : 1;      /* the answer is */
    bool bodiless : 1;         /* the answer must have no body: HEAD, 204, 304 */
    bool body_done : 1;        /* the request's */
    /* HTTP/2 only */
    bool is_h2 : 1;
    bool ended : 1;            /* the handler is through with it */
    bool broken : 1;           /* and could not finish */
    bool paused : 1;
    bool deferred : 1;         /* nghttp2 waits for us to have data */
    bool failed : 1;           /* refused or reset: what still comes of the body is dropped */
    bool h2_closed : 1;        /* nghttp2 is through with it, the handler is not */
    int32_t h2_id;
    struct list h2_link;
    uint64_t progress_ns;      /* HTTP/2: when a byte of it last moved, either way */
    struct buf out;            /* HTTP/2: body bytes that flow control or the socket hold back */
};

struct server_listener {
    struct server *server;
    struct listener *listener;
    struct tls_context *tls;
};

struct server {
    unsigned magic;
    bool draining;
    struct loop *loop;
    struct server_options o;
    struct server_listener listener[SERVER_LISTENERS_MAX];
    unsigned listeners;
    struct list conns;
    unsigned refused;          /* connections that are being told 503 */
    struct h1_head *head;      /* where heads are parsed before they are copied at their exact size */
    struct buf text;           /* where answers' heads are built */
    struct stream *free_streams;
    unsigned free_streams_n;
    size_t body_bytes;         /* of all requests now held */
    uint64_t next_id;
    int64_t date_s;            /* the second that `date` tells */
    char date[32];
    struct server_stats stats;
};

/* conn.c */
void conn_accept(struct server_listener *from, struct sock *sock);
void conn_wake(struct conn *c);                 /* has its root run at the end of the turn, if none is on the stack */
void conn_fail(struct conn *c, enum err why);   /* to be freed, with on_abort for streams alive */
void conn_send(struct conn *c, const struct iovec *parts, int n);
void conn_hold(struct conn *c, struct span bytes); /* appended to out, to leave with the next conn_send */
void conn_set_timing(struct conn *c, enum conn_timing what, uint64_t in_ns);
void conn_destroy(struct conn *c);
ssize_t conn_read(struct conn *c, void *into, size_t bytes); /* > 0, or 0: nothing now (c->eof and c->dead tell more) */

/* server.c */
struct stream *stream_new(struct conn *c);
void stream_free(struct stream *s);
void stream_abort(struct stream *s, enum err why); /* on_abort when the handler has it; the caller frees */
enum err stream_count_body(struct stream *s, size_t bytes) MUST_CHECK; /* OVERLOADED over the budget of all bodies */
void stream_keep_head(struct stream *s, const struct http_head *h, struct span text); /* copies */
enum err stream_decode_body(struct stream *s, const char **ret_why) MUST_CHECK; /* undoes the content coding */
enum err stream_judge_coding(struct stream *s) MUST_CHECK;
struct span server_date(struct server *sv);
struct span server_error(struct server *sv, struct span path, enum err e, const char *detail, struct buf *out, struct span *ret_type);

/* conn_h1.c */
void h1_run(struct conn *c);
void h1_timeout(struct conn *c);
void h1_refuse(struct conn *c, enum err e, const char *why);
void h1_on_flushed(struct conn *c);
void h1_reply(struct stream *s, int status, const struct header *headers, unsigned n, struct span body);
void h1_begin(struct stream *s, int status, const struct header *headers, unsigned n, uint64_t content_length);
void h1_flush_head(struct stream *s);
bool h1_write(struct stream *s, const struct iovec *parts, int n, bool last);
void h1_break(struct stream *s);

/* conn_h2.c */
#define H2_PREFACE SPAN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
enum err h2_start(struct conn *c) MUST_CHECK;
void h2_run(struct conn *c);
void h2_on_flushed(struct conn *c);
void h2_drain(struct conn *c);
void h2_free(struct conn *c); /* streams get on_abort with c->dead */
void h2_timeout(struct conn *c);
void h2_reply(struct stream *s, int status, const struct header *headers, unsigned n, struct span body);
void h2_begin(struct stream *s, int status, const struct header *headers, unsigned n, uint64_t content_length);
void h2_flush_head(struct stream *s);
bool h2_write(struct stream *s, const struct iovec *parts, int n, bool last);
void h2_break(struct stream *s);

#endif
