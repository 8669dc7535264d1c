/* SPDX-License-Identifier: Apache-2.0
 *
 * A server on one loop: its listeners, what its connections share (the date, the budget of bodies), and what
 * handlers call on a stream. Calls on a stream go on to conn_h1.c or conn_h2.c; those only write, note and wake, so a handler may
 * call them from anywhere on the loop's thread.
 */
#include "http/server.h"

#include <stdlib.h>

#include "base/clock.h"
#include "http/conn.h"
#include "http/decode.h"

#define FREE_STREAMS_MAX 256u
#define ERROR_BODY_MAX (64u * KIB)

/* ---- the server ---- */

static struct server_options with_defaults(const struct server_options *o)
{
    struct server_options out = *o;
    if (!out.connections_max)
        out.connections_max = 65536;
    if (!out.body_max)
        out.body_max = LIMIT_BODY_BYTES;
    if (!out.head_timeout_ns)
        out.head_timeout_ns = 10 * NS_PER_S;
    if (!out.body_timeout_ns)
        out.body_timeout_ns = 30 * NS_PER_S;
    if (!out.idle_timeout_ns)
        out.idle_timeout_ns = 75 * NS_PER_S;
    if (!out.write_timeout_ns)
        out.write_timeout_ns = 60 * NS_PER_S;
    if (!out.body_bytes_max)
        out.body_bytes_max = 512ul * MIB;
    return out;
}

struct server *server_new(struct loop *l, const struct server_options *o)
{
    struct server *sv = calloc(1, sizeof *sv);
    CHECK(sv);
    sv->magic = SERVER_MAGIC;
    sv->loop = l;
    sv->o = with_defaults(o);
    sv->date_s = -1;
    list_init(&sv->conns);
    buf_init(&sv->text, MIB);
    sv->head = malloc(sizeof *sv->head);
    CHECK(sv->head);
    return sv;
}

static void on_accept(void *owner, struct sock *accepted)
{
    conn_accept(owner, accepted);
}

enum err server_listen(struct server *sv, const struct sock_address *at, struct tls_context *tls, const char **ret_why)
{
    if (sv->listeners == SERVER_LISTENERS_MAX) {
        *ret_why = "too many listeners";
        return ERR_OVERLOADED;
    }
    struct server_listener *ln = &sv->listener[sv->listeners];
    *ln = (struct server_listener){.server = sv};
    enum err e = sock_listen(sv->loop, at, on_accept, ln, &ln->listener, ret_why);
    if (e)
        return e;
    ln->tls = tls ? tls_context_ref(tls) : NULL;
    sv->listeners++;
    return ERR_OK;
}

struct sock_address server_address(const struct server *sv, unsigned nth)
{
    CHECK(nth < sv->listeners && sv->listener[nth].listener);
    return listener_address(sv->listener[nth].listener);
}

void server_set_tls(struct server *sv, unsigned nth, struct tls_context *tls)
{
    CHECK(nth < sv->listeners);
    struct tls_context *old = sv->listener[nth].tls;
    sv->listener[nth].tls = tls ? tls_context_ref(tls) : NULL;
    tls_context_unref(old);
}

void server_set_limits(struct server *sv, const struct server_options *o)
{
    struct server_options next = with_defaults(o);
    next.handler = sv->o.handler;
    next.owner = sv->o.owner;
    next.server_name = sv->o.server_name;
    sv->o = next;
}

static void close_listeners(struct server *sv)
{
    for (unsigned i = 0; i < sv->listeners; i++) {
        listener_close(sv->listener[i].listener);
        tls_context_unref(sv->listener[i].tls);
        sv->listener[i].listener = NULL;
        sv->listener[i].tls = NULL;
    }
}

void server_drain(struct server *sv)
{
    if (sv->draining)
        return;
    sv->draining = true;
    close_listeners(sv);
    LIST_FOR_EACH_SAFE(at, &sv->conns) {
        struct conn *c = CONTAINER_OF(at, struct conn, link);
        if (c->h2)
            h2_drain(c);
        else if (c->state == CONN_HANDSHAKE || (c->state == CONN_HEAD && !buf_bytes(&c->in) && !c->blocked && !c->readable))
            conn_fail(c, ERR_CLOSED);
    }
}

bool server_is_idle(const struct server *sv)
{
    return list_is_empty(&sv->conns);
}

void server_free(struct server *sv)
{
    if (!sv)
        return;
    CHECK_MAGIC(sv, SERVER_MAGIC);
    close_listeners(sv);
    LIST_FOR_EACH_SAFE(at, &sv->conns) {
        struct conn *c = CONTAINER_OF(at, struct conn, link);
        c->dead = c->dead ? c->dead : ERR_DRAINING; /* what their streams' owners are told */
        conn_destroy(c);
    }
    for (struct stream *s = sv->free_streams, *next; s; s = next) {
        next = s->base.user;
        free(s);
    }
    buf_fini(&sv->text);
    free(sv->head);
    sv->magic = 0;
    free(sv);
}

const struct server_stats *server_stats(const struct server *sv)
{
    return &sv->stats;
}

struct span server_date(struct server *sv)
{
    int64_t now_s = loop_wall_us(sv->loop) / 1000000;
    if (now_s != sv->date_s) {
        clock_http_date(sv->date, now_s * 1000000);
        sv->date_s = now_s;
    }
    return span_of(sv->date, CLOCK_HTTP_DATE_BYTES - 1);
}

/* The body of an error that this layer answers, in the words of whoever owns the server. */
struct span server_error(struct server *sv, struct span path, enum err e, const char *detail, struct buf *out, struct span *ret_type)
{
    buf_init(out, ERROR_BODY_MAX);
    *ret_type = SPAN("text/plain");
    stat_add(&sv->stats.errors_by_http_layer, 1);
    if (sv->o.handler->error_body)
        sv->o.handler->error_body(sv->o.owner, path, e, detail, out, ret_type);
    return buf_span(out);
}

/* ---- memory of streams ---- */

static struct stream *stream_memory(struct server *sv)
{
    struct stream *s = sv->free_streams;
    if (!s)
        return malloc(sizeof *s);
    sv->free_streams = s->base.user;
    sv->free_streams_n--;
    return s;
}

struct stream *stream_new(struct conn *c)
{
    struct server *sv = c->server;
    struct stream *s = stream_memory(sv);
    if (!s)
        return NULL;
    memset(s, 0, sizeof *s);
    s->conn = c;
    s->base.server = sv;
    s->base.loop = sv->loop;
    s->base.id = ++sv->next_id;
    s->base.is_tls = c->transport.tls != NULL;
    s->answer_left = UINT64_MAX;
    buf_init(&s->body, SIZE_MAX / 4);
    buf_init(&s->out, OUT_BYTES_MAX);
    stat_add(&sv->stats.requests_total, 1);
    stat_add(&sv->stats.requests_open, 1);
    return s;
}

void stream_free(struct stream *s)
{
    struct server *sv = s->base.server;
    stream_release_body(s);
    buf_fini(&s->out);
    free(s->head_memory);
    stat_sub(&sv->stats.requests_open, 1);
    if (sv->free_streams_n >= FREE_STREAMS_MAX) {
        free(s);
        return;
    }
    s->base.user = sv->free_streams;
    sv->free_streams = s;
    sv->free_streams_n++;
}

void stream_abort(struct stream *s, enum err why)
{
    if ((s->delivered || s->in_pieces) && !s->ended) {
        s->ended = true;
        s->base.server->o.handler->on_abort(s->base.user, s, why);
    }
}

/* Over the budget of all bodies together the newest byte loses: those that are nearly complete get to finish. */
enum err stream_count_body(struct stream *s, size_t bytes)
{
    struct server *sv = s->base.server;
    if (sv->body_bytes + bytes > sv->o.body_bytes_max)
        return ERR_OVERLOADED;
    s->body_counted += bytes;
    sv->body_bytes += bytes;
    return ERR_OK;
}

/* ---- heads at their exact size ---- */

static void move_span(struct span *s, struct span from, const char *to)
{
    if (s->p >= from.p && s->p <= from.p + from.n) /* spans of our own constants stay */
        s->p = to + (s->p - from.p);
}

void stream_keep_head(struct stream *s, const struct http_head *h, struct span text)
{
    size_t array_bytes = h->headers_n * sizeof(struct header);
    s->head_memory = malloc(array_bytes + text.n);
    CHECK(s->head_memory);
    struct header *headers = s->head_memory;
    char *bytes = (char *)s->head_memory + array_bytes;
    memcpy(headers, h->headers, array_bytes);
    memcpy(bytes, text.p, text.n);
    s->base.head = *h;
    s->base.head.headers = headers;
    for (unsigned i = 0; i < h->headers_n; i++) {
        move_span(&headers[i].name, text, bytes);
        move_span(&headers[i].value, text, bytes);
    }
    struct span *spans[] = {&s->base.head.method_name, &s->base.head.target, &s->base.head.path, &s->base.head.query,
                            &s->base.head.authority};
    for (size_t i = 0; i < COUNT_OF(spans); i++)
        move_span(spans[i], text, bytes);
}

struct sock_address stream_peer(const struct stream *s)
{
    struct sock_address peer = {.bytes = s->conn->peer_bytes};
    memcpy(peer.u.bytes, s->conn->peer, s->conn->peer_bytes);
    return peer;
}

void stream_release_head(struct stream *s)
{
    enum http_method method = s->base.head.method;
    unsigned version = s->base.head.version;
    free(s->head_memory);
    s->head_memory = NULL;
    s->base.head = (struct http_head){.method = method, .version = version};
}

/* ---- content codings of request bodies ---- */

static struct span coding_of(struct stream *s)
{
    struct span coding = http_header(&s->base.head, SPAN("content-encoding"));
    return span_eq_nocase(coding, SPAN("identity")) ? SPAN_NONE : coding;
}

enum err stream_judge_coding(struct stream *s)
{
    struct span coding = coding_of(s);
    return !coding.n || decode_is_known(coding) ? ERR_OK : ERR_BAD_ENCODING;
}

static enum err decode_into(struct decode *d, struct span body, struct buf *out)
{
    enum err e = decode_feed(d, body, out);
    return e ? e : decode_end(d);
}

enum err stream_decode_body(struct stream *s, const char **ret_why)
{
    struct span coding = coding_of(s);
    if (!coding.n || !buf_bytes(&s->body))
        return ERR_OK;
    struct decode *d = decode_new(coding);
    if (!d)
        return ERR_BAD_ENCODING;
    struct buf plain;
    buf_init(&plain, s->body_limit < SIZE_MAX / 4 ? (size_t)s->body_limit : SIZE_MAX / 4);
    enum err e = decode_into(d, buf_span(&s->body), &plain);
    decode_free(d);
    if (!e)
        e = stream_count_body(s, buf_bytes(&plain));
    if (e) {
        *ret_why = e == ERR_TOO_LARGE ? "the body is too large once decoded" : "the body could not be decoded";
        buf_fini(&plain);
        return e;
    }
    buf_fini(&s->body);
    buf_move(&s->body, &plain);
    return ERR_OK;
}

/* ---- what handlers call ---- */

struct span stream_body(struct stream *s)
{
    return buf_span(&s->body);
}

void stream_take_body(struct stream *s, struct buf *into)
{
    buf_move(into, &s->body); /* it stays counted until the stream ends: the memory is still there */
}

void stream_release_body(struct stream *s)
{
    buf_fini(&s->body);
    s->base.server->body_bytes -= s->body_counted;
    s->body_counted = 0;
}

void stream_take_body_in_pieces(struct stream *s, void *user)
{
    s->in_pieces = true;
    s->base.user = user;
}

void stream_reply(struct stream *s, int status, const struct header *headers, unsigned n, struct span body)
{
    (s->is_h2 ? h2_reply : h1_reply)(s, status, headers, n, body);
}

void stream_begin(struct stream *s, int status, const struct header *headers, unsigned n, uint64_t content_length)
{
    (s->is_h2 ? h2_begin : h1_begin)(s, status, headers, n, content_length);
}

void stream_flush_head(struct stream *s)
{
    (s->is_h2 ? h2_flush_head : h1_flush_head)(s);
}

bool stream_write(struct stream *s, const struct iovec *parts, int n, bool last)
{
    return (s->is_h2 ? h2_write : h1_write)(s, parts, n, last);
}

void stream_break(struct stream *s)
{
    (s->is_h2 ? h2_break : h1_break)(s);
}

size_t stream_pending(const struct stream *s)
{
    return buf_bytes(s->is_h2 ? &s->out : &s->conn->out);
}
