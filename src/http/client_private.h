/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the client share: the pool and its line (client.c), one call (client_call.c), the making of a connection
 * (client_dial.c), and the two protocols (client_h1.c, client_h2.c).
 *
 * Lifetime. Everything here may die inside a callback of the owner. Structs that died are therefore only marked (CALL_GONE,
 * CONN_DEAD) and kept until the outermost entry from the loop is left (client_leave); code that called out looks at the mark.
 * Owners are called back from the loop only, never from inside a function of client.h.
 */
#ifndef ENTENTE_HTTP_CLIENT_PRIVATE_H
#define ENTENTE_HTTP_CLIENT_PRIVATE_H

#include "base/buf.h"
#include "base/check.h"
#include "base/list.h"
#include "http/client.h"
#include "http/decode.h"
#include "http/h1.h"
#include "http/scratch.h"
#include "io/loop.h"

#define CLIENT_MAGIC MAGIC('C', 'L', 'N', 'T')
#define ORIGIN_MAGIC MAGIC('O', 'R', 'I', 'G')
#define CALL_MAGIC MAGIC('C', 'A', 'L', 'L')
#define CONN_MAGIC MAGIC('C', 'C', 'O', 'N')

#define CLIENT_FREE_MAX 4096u   /* calls, and connections, kept for reuse */
#define CLIENT_STAGGER_NS (250 * NS_PER_MS) /* RFC 8305: Connection Attempt Delay */
#define CLIENT_HELD_BYTES (LIMIT_H2_WINDOW + LIMIT_READ_BYTES) /* pieces that wait for call_resume */
#define CLIENT_WHY_BYTES 256
#define CLIENT_PARTS 64         /* slices of one system call */

struct conn_h2;
struct dial;

struct client {
    unsigned magic;
    unsigned depth;              /* entries from the loop that have not been left */
    struct loop *loop;
    struct list origins;
    struct list free_calls, free_conns;
    unsigned free_calls_n, free_conns_n;
    struct list dead_calls, dead_conns, dead_dials; /* until depth is 0 */
    bool reap_due;
    bool origins_due;            /* a retired origin may have lost its last user */
    struct client_stats stats;
};

/* Which protocol the connections of an origin speak. */
enum origin_speaks {
    SPEAKS_UNKNOWN, /* ALPN will tell: one connection at a time until it has */
    SPEAKS_H1,
    SPEAKS_H2,
};

struct origin {
    unsigned magic;
    bool retired;
    unsigned char speaks;        /* enum origin_speaks */
    struct client *client;
    struct list link;            /* in client->origins */
    struct origin_options options; /* its strings are ours */
    char *authority;             /* value of Host: no default port */
    unsigned users;              /* calls, connections and dials: the origin outlives them */
    struct list idle;            /* h1 connections, last used first */
    struct list busy;            /* h1 connections with a call */
    struct list h2;              /* h2 connections, also those that take no more calls */
    struct list dials;
    struct list waiting;         /* calls in line, oldest first */
    struct list loose;           /* calls that need no connection any more: HELD, FAILING */
    unsigned idle_n, busy_n, h2_n, dials_n, waiting_n;
    unsigned resolving_n;        /* dials that wait for a name; others then wait for its addresses */
    unsigned h2_streams_max;     /* that the peer last allowed */
    struct task pump;            /* serves the line */
    struct timer idle_timer;     /* fires when the connection idle for longest is due */
    struct sock_address address[RESOLVE_ADDRESSES]; /* of the last resolution, those that failed last at the end */
    unsigned addresses;
    uint64_t addresses_until_ns;
};

enum call_state {
    CALL_WAITING, /* in origin->waiting */
    CALL_ACTIVE,  /* has a connection */
    CALL_HELD,    /* the answer is here whole; pieces of it wait for call_resume */
    CALL_FAILING, /* its on_fail is a task of this turn */
    CALL_GONE,    /* on_end or on_fail was called, or it was cancelled */
};

struct call {
    unsigned magic;
    unsigned char state;         /* enum call_state */
    bool sent : 1;               /* the request, wholly */
    bool head_seen : 1;
    bool bytes_seen : 1;         /* any byte of an answer: from here on nothing is sent twice */
    bool paused : 1;
    bool retried : 1;            /* was sent before on a connection that turned out stale: wants a fresh one */
    bool fed : 1;                /* decode has got bytes */
    bool is_head_request : 1;
    bool has_body : 1;           /* Content-Length is sent */
    bool refused : 1;            /* h2: the request never left */
    bool deferred : 1;           /* h2: its body waits for room in the connection's buffer */
    bool peer_reset : 1;         /* h2: RST_STREAM came; a stream that closes without it and without its end was closed by us */
    int32_t stream_id;           /* h2 */
    unsigned fail_error;         /* CALL_FAILING */
    struct list link;            /* in waiting, in a connection's calls (h2), or in a free or dead list */
    struct client *client;
    struct origin *origin;
    struct conn *conn;           /* ACTIVE */
    const struct conn *last_conn; /* for call_peer: outlives conn until the loop is left */
    struct call_options options;
    unsigned body_at;            /* slice that is being sent */
    size_t body_at_bytes;        /* of that slice, sent */
    uint64_t body_sent, body_bytes;
    struct decode *decode;
    struct buf held;             /* body bytes as received, while paused */
    struct timer timer;
    uint64_t progress_ns;        /* last time a byte moved */
    struct task task;            /* fail, or deliver what was held */
    const char *fail_why;        /* static */
    struct call_times times;
};

enum conn_state {
    CONN_IDLE, /* h1, in origin->idle */
    CONN_BUSY, /* h1, in origin->busy, with a call */
    CONN_H2,   /* in origin->h2 */
    CONN_DEAD, /* closed; the struct waits for client_leave */
};

struct conn {
    unsigned magic;
    unsigned char state;        /* enum conn_state */
    bool reused : 1;            /* carried a call before */
    bool broken : 1;            /* a write failed: what can still be read is read, then it is over */
    bool unread : 1;            /* bytes may wait in the socket for which no event will come */
    bool keep_alive : 1;        /* as the head of the answer said */
    unsigned char body;         /* enum h1_body of the answer */
    struct origin *origin;
    struct transport transport;
    struct list link;
    struct call *call;          /* h1 */
    struct conn_h2 *h2;
    uint64_t idle_since_ns;
    struct task task;           /* h1: reads on; h2: writes what was queued */
    struct buf partial;         /* h1: of a head that is not complete */
    size_t scanned;             /* of partial */
    uint64_t left;              /* of H1_LENGTH */
    struct h1_chunks chunks;
    struct span head_rest;      /* h1: of the request's head, when the socket took only a part; a copy */
    char *head_copy;
    char peer[56];              /* "[::1]:443" */
};

/* ---- client.c: the pool ---- */
static inline void client_enter(struct client *c) { c->depth++; }
void client_reap(struct client *c);
static inline void client_leave(struct client *c)
{
    CHECK(c->depth > 0);
    if (--c->depth == 0 && c->reap_due)
        client_reap(c);
}

void origin_unuse(struct origin *o); /* one user less */
void origin_pump_soon(struct origin *o);
void origin_enqueue_first(struct origin *o, struct call *c);
void origin_dial_succeeded(struct origin *o, struct conn *n, bool is_h2);
void origin_dial_failed(struct origin *o, uint64_t started_ns, enum err e, const char *why); /* fails the calls it was for */

struct conn *conn_new(struct origin *o, struct transport t, const struct sock_address *peer); /* takes the transport; CONN_BUSY */
void conn_close(struct conn *n, bool reset); /* out of its list, transport closed, marked dead. The call was taken before. No callbacks */
void conn_set_state(struct conn *n, enum conn_state to);
void conn_release(struct conn *n);     /* h1: its call is over and the connection is good: next call or idle */
void conn_idle_since_now(struct conn *n); /* also h2, when its last call ended */

/* ---- client_call.c: one call ---- */
struct call *call_new(struct origin *o, const struct call_options *options);
void call_free(struct call *c);          /* its memory; at reap */
void call_end_quietly(struct call *c);   /* leaves its connection and dies without a callback */
void call_attached(struct call *c, struct conn *n);
void call_moved(struct call *c);         /* bytes moved: pushes the deadline back */
void call_was_sent(struct call *c);
void call_restart(struct call *c);       /* conn is detached: back to before sending, first in line */
unsigned call_body_parts(const struct call *c, struct iovec *parts, unsigned max); /* what is unsent */
void call_body_advance(struct call *c, size_t bytes);
/* What came in. An error is the connection's to handle; afterwards the call may be paused or gone: look at its state. */
enum err call_on_head(struct call *c, const struct http_head *head, const char **ret_why) MUST_CHECK;
enum err call_on_piece(struct call *c, struct span piece, const char **ret_why) MUST_CHECK;
/* The end, from the loop only. The connection has let go of the call (call_detach). */
void call_on_end(struct call *c);
void call_fail(struct call *c, enum err e, const char *why);
void call_fail_soon(struct call *c, enum err e, const char *why); /* why is static; from anywhere */
static inline bool call_is_active(const struct call *c) { return c->state == CALL_ACTIVE; }
static inline void call_detach(struct call *c) { c->conn = NULL; }

/* ---- client_dial.c ---- */
void dial_start(struct origin *o); /* joins o->dials; ends in origin_dial_succeeded or _failed, maybe before it returns */
void dial_cancel_all(struct origin *o);
void dial_free(struct list *link); /* its memory; at reap */

/* ---- client_h1.c ---- */
void h1_open(struct conn *n);                      /* a fresh connection */
void h1_send_call(struct conn *n, struct call *c); /* a CONN_BUSY one: binds and sends */
void h1_read_on(struct conn *n);                   /* after call_resume */
const char *h1_refuses_head(const struct call *c); /* what would break the request's head, or NULL */

/* ---- client_h2.c ---- */
void h2_open(struct conn *n);                      /* a fresh connection; may end up dead */
void h2_closed(struct conn *n);                    /* by conn_close */
void client_h2_free(struct conn *n);                      /* the session; at reap */
bool h2_has_room(const struct conn *n);
bool h2_is_idle(const struct conn *n);
void h2_send_call(struct conn *n, struct call *c);
void h2_drop_call(struct conn *n, struct call *c, bool doubt); /* RST_STREAM CANCEL; doubt: the provider may be dead */
void h2_consumed(struct conn *n, struct call *c, size_t bytes); /* opens the stream's window again */
struct call *h2_any_call(struct conn *n);

#endif
