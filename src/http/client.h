/* SPDX-License-Identifier: Apache-2.0
 *
 * The client side of HTTP: pools of connections to origins, one per loop, speaking HTTP/1.1 and HTTP/2.
 *
 * A call is one request. Its head and body are borrowed until on_end, on_fail or call_cancel. Exactly one of on_end and on_fail is
 * called, last, unless the call was cancelled; neither is called from inside call_start.
 *
 *   call_start -> [resolve -> connect (happy eyeballs, proxy) -> TLS] or a pooled connection -> send -> on_head -> on_body* -> on_end
 *
 * A kept-alive HTTP/1 connection that the provider closes before a byte of the answer came is retried once on a fresh one when
 * nothing of the answer was seen and the bytes could be sent again (they are borrowed); a second loss is ERR_PROVIDER_RESET.
 * A connection is never reused after doubt: bytes after the answer, a framing error, a cancelled HTTP/1 call close it.
 *
 * What else an owner can rely on:
 * - Heads and pieces are borrowed for the callback. Headers are as received: Content-Encoding and Content-Length describe the coded
 *   body, not what on_body shows.
 * - Between call_pause and call_resume there is no on_body. on_end or on_fail may come while paused, when nothing is left to show or
 *   the connection is lost; a pause is no protection from either.
 * - The answer may end before the request was sent (413 and the like): on_end comes, the rest of the body is not sent.
 * - After on_end, on_fail or call_cancel the call is gone; call_times, call_bytes_sent and call_peer may still be asked inside on_end
 *   and on_fail.
 * - A call in line for a connection has no deadline of its own but total_timeout_ns; its dial has connect_timeout_ns.
 */
#ifndef ENTENTE_HTTP_CLIENT_H
#define ENTENTE_HTTP_CLIENT_H

#include "base/stat.h"
#include "http/head.h"
#include "io/resolve.h"
#include "io/tls.h"

struct client; /* the pools of one loop */
struct origin; /* one scheme + host + port of one client, with its pool */
struct call;

enum origin_http { ORIGIN_AUTO /* h2 by ALPN, else h1 */, ORIGIN_H1, ORIGIN_H2 /* prior knowledge when plain */ };

struct origin_options {
    bool tls;
    const char *host;              /* name or address, or NULL with unix_path */
    uint16_t port;
    const char *unix_path;
    struct tls_context *tls_context; /* with tls */
    enum origin_http http;
    const char *proxy_host;        /* HTTPS_PROXY: CONNECT for tls, absolute-form for plain; NULL: direct */
    uint16_t proxy_port;
    const char *proxy_authorization; /* value of Proxy-Authorization, or NULL */
    unsigned connections_max;      /* h1: at once; further calls wait in line. Default 10000 */
    unsigned waiting_max;          /* calls in line before ERR_OVERLOADED. Default 1024 */
    unsigned idle_max;             /* kept alive; default 1024 */
    uint64_t idle_timeout_ns;      /* default 55 s, under the minute that many clouds use */
    uint64_t connect_timeout_ns;   /* resolve + connect + TLS; default 5 s */
};

struct client_stats {
    stat_counter connects_total, connect_failures_total, reused_total, open, idle, resolves_total, tls_resumed_total;
};

struct client *client_new(struct loop *l);
void client_free(struct client *c); /* cancels what is left without callbacks; never from inside one */
struct origin *client_origin(struct client *c, const struct origin_options *o); /* options are copied */
void origin_retire(struct origin *o);  /* no new calls; freed when the last one ends (reload) */
void client_close_idle(struct client *c); /* on drain */
const struct client_stats *client_stats(const struct client *c);

struct call_times { /* monotonic ns, 0 when it did not happen */
    uint64_t started, connected /* 0: reused */, sent, first_byte, ended;
};

struct call_handler {
    void (*on_head)(void *owner, struct call *c, const struct http_head *head); /* final status; 1xx are consumed */
    /* A piece of the body, transfer coding and (gzip, br, zstd) content coding undone; borrowed for the call of this function. For HTTP/1 it is
     * everything that one read brought. The owner may call call_pause or call_cancel in it. */
    void (*on_body)(void *owner, struct call *c, struct span piece);
    void (*on_end)(void *owner, struct call *c);              /* the answer is complete */
    void (*on_fail)(void *owner, struct call *c, enum err e, const char *why); /* why: a sentence, for the log */
};

struct call_options {
    struct span method;          /* "POST" */
    struct span target;          /* "/v1/chat/completions?api-version=…" */
    struct span authority;       /* Host; empty: the origin's */
    const struct header *headers; /* Host, Content-Length, Connection are added; names in lower case */
    unsigned headers_n;
    const struct iovec *body;    /* slices, sent in order with the head in one system call where possible */
    unsigned body_n;
    uint64_t first_byte_timeout_ns; /* from sent to the head of the answer; 0: none */
    uint64_t idle_timeout_ns;       /* silence between pieces; not counted while paused; 0: none. Also while the request is being sent: a
                                     * provider that stops reading it is ERR_FIRST_BYTE_TIMEOUT (with 0 the first-byte timeout counts) */
    uint64_t total_timeout_ns;      /* 0: none */
    const struct call_handler *handler;
    void *owner;
};

struct call *call_start(struct origin *o, const struct call_options *options); /* options themselves are copied, what they point to is borrowed */
void call_pause(struct call *c);   /* stop reading: backpressure (h1: the socket; h2: the window) */
void call_resume(struct call *c);  /* on_body may be called from the loop afterwards, not from inside */
void call_cancel(struct call *c);  /* no callback after; h1: connection closed, h2: RST_STREAM CANCEL */
void call_body_sent_release(struct call *c); /* the owner is about to free the body: CHECKs that it was wholly sent and that no retry needs it */
bool call_body_is_done(const struct call *c);    /* would call_body_sent_release be right now? */
const struct call_times *call_times(const struct call *c);
struct span call_peer(const struct call *c, char *out, size_t out_bytes); /* "127.0.0.1:443"; empty without a connection */
uint64_t call_bytes_sent(const struct call *c); /* body bytes handed to the kernel */

#endif
