/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests of the HTTP client: a provider on a real loopback socket that says exactly the bytes it was told, in the pieces it was
 * told, and ends the connection as it was told; and a call that writes down all that it is shown. Both live on one loop, so that a
 * test can be stepped turn by turn.
 */
#ifndef ENTENTE_TEST_CLIENT_RIG_H
#define ENTENTE_TEST_CLIENT_RIG_H

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "http/client_private.h"
#include "io/backend.h"
#include "unit.h"

#define GUARD_NS (20 * NS_PER_S)
#define MS NS_PER_MS

/* What providers say. */
#define OK_HEAD "HTTP/1.1 200 OK\r\n"
#define HELLO OK_HEAD "Content-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello"
#define HELLO_CHUNKED OK_HEAD "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: 1\r\n\r\n"
#define HELLO_UNTIL_CLOSE OK_HEAD "\r\nhello"

enum then { THEN_KEEP, THEN_CLOSE, THEN_RESET, THEN_HALF_CLOSE, THEN_TLS /* a tunnel: TLS begins */ };

struct script {
    const char *answer;
    size_t bytes;     /* 0: strlen */
    size_t cut;       /* pieces of this size, each read by itself; 0: whole */
    enum then then;
    bool early;       /* answers when the head is here, and reads no more */
    bool silent;      /* says nothing, does nothing */
};

struct provider;
struct provider_conn {
    struct provider *provider;
    struct transport t;
    bool shaking, open, answering, skip, deaf;
    struct buf in;
    const struct script *script;
    size_t at;
    struct timer step;
    struct provider_conn *next;
};

struct provider {
    struct loop *loop;
    struct listener *listener;
    struct tls_context *tls;        /* at once, or after THEN_TLS when tunnel is set */
    bool tunnel, deaf;
    const struct script *script;    /* one for each request, the last one for all that follow */
    unsigned scripts;
    unsigned accepted, requests;
    size_t heard_bytes;
    char heard[8192];               /* the last request, as far as it fits */
    uint64_t heard_sum;             /* of the body's bytes */
    struct provider_conn *conns;
};

static void provider_conn_close(struct provider_conn *c, bool reset)
{
    if (!c->open)
        return;
    c->open = false;
    timer_clear(&c->step);
    if (reset)
        transport_abort(&c->t);
    else
        transport_close(&c->t);
}

static void provider_then(struct provider_conn *c)
{
    struct provider *p = c->provider;
    c->answering = false;
    switch (c->script->then) {
    case THEN_KEEP: break;
    case THEN_CLOSE: provider_conn_close(c, false); break;
    case THEN_RESET: provider_conn_close(c, true); break;
    case THEN_HALF_CLOSE: transport_shutdown_write(&c->t); break;
    case THEN_TLS:
        c->shaking = true;
        CHECK(transport_init_server(&c->t, c->t.sock, p->tls) == ERR_OK);
        break;
    }
}

static void provider_write(struct provider_conn *c)
{
    const struct script *s = c->script;
    size_t bytes = s->bytes ? s->bytes : s->answer ? strlen(s->answer) : 0;
    while (c->open && c->answering) {
        size_t most = s->cut && s->cut < bytes - c->at ? s->cut : bytes - c->at;
        struct iovec part = {(char *)(uintptr_t)s->answer + c->at, most};
        ssize_t n = most ? transport_writev(&c->t, &part, 1) : 0;
        if (n == -(ssize_t)ERR_AGAIN)
            return;
        if (n < 0) {
            provider_conn_close(c, false);
            return;
        }
        c->at += (size_t)n;
        if (c->at == bytes) {
            provider_then(c);
        } else if (s->cut) {
            timer_set_in(&c->step, 1);
            return;
        }
    }
}

/* A timer fires before the client reads what the last turn wrote, so every other turn is left to the client. */
static void provider_step(void *owner)
{
    struct provider_conn *c = owner;
    c->skip = !c->skip;
    if (c->skip)
        timer_set_in(&c->step, 1);
    else
        provider_write(c);
}

static void provider_answer(struct provider_conn *c)
{
    struct provider *p = c->provider;
    c->script = &p->script[p->requests < p->scripts ? p->requests : p->scripts - 1];
    p->requests++;
    c->answering = !c->script->silent;
    c->at = 0;
    c->deaf = c->script->early;
    provider_write(c);
}

static size_t content_length(struct span head)
{
    ptrdiff_t at = span_find_span(head, SPAN("Content-Length: "));
    return at < 0 ? 0 : strtoul(head.p + at + 16, NULL, 10);
}

static void provider_hear(struct provider_conn *c)
{
    struct provider *p = c->provider;
    while (c->open && !c->answering && buf_bytes(&c->in)) {
        struct span in = buf_span(&c->in);
        ptrdiff_t end = span_find_span(in, SPAN("\r\n\r\n"));
        if (end < 0)
            return;
        size_t head = (size_t)end + 4, whole = head + content_length(span_to(in, head));
        const struct script *next = &p->script[p->requests < p->scripts ? p->requests : p->scripts - 1];
        if (in.n < whole && !next->early)
            return;
        whole = whole < in.n ? whole : in.n;
        size_t keep = whole < sizeof p->heard - 1 ? whole : sizeof p->heard - 1;
        memcpy(p->heard, in.p, keep);
        p->heard[keep] = 0;
        p->heard_bytes = whole;
        p->heard_sum = 0;
        for (size_t i = head; i < whole; i++)
            p->heard_sum = p->heard_sum * 31 + (unsigned char)in.p[i];
        buf_consume(&c->in, whole);
        provider_answer(c);
    }
}

static void provider_read(struct provider_conn *c)
{
    static char bytes[256 * KIB];
    while (c->open && !c->deaf && !c->provider->deaf) {
        ssize_t n = transport_read(&c->t, bytes, sizeof bytes);
        if (n == -(ssize_t)ERR_AGAIN)
            return;
        if (n <= 0) {
            provider_conn_close(c, false);
            return;
        }
        CHECK(buf_append(&c->in, span_of(bytes, (size_t)n)) == ERR_OK);
        provider_hear(c);
        if (c->shaking)
            return;
    }
}

static void provider_ready(struct sock *s, unsigned events)
{
    struct provider_conn *c = s->owner;
    if (c->shaking) {
        enum err e = transport_handshake(&c->t);
        if (e == ERR_AGAIN)
            return;
        c->shaking = false;
        if (e != ERR_OK) {
            provider_conn_close(c, false);
            return;
        }
    }
    if (c->open && c->answering && !(c->script->cut))
        provider_write(c);
    provider_read(c);
}

static void provider_accept(void *owner, struct sock *s)
{
    struct provider *p = owner;
    struct provider_conn *c = calloc(1, sizeof *c);
    CHECK(c);
    p->accepted++;
    c->provider = p;
    c->open = true;
    c->next = p->conns;
    p->conns = c;
    buf_init(&c->in, 64 * MIB);
    timer_init(&c->step, p->loop, provider_step, c);
    s->on_ready = provider_ready;
    s->owner = c;
    c->shaking = p->tls && !p->tunnel;
    if (c->shaking)
        CHECK(transport_init_server(&c->t, s, p->tls) == ERR_OK);
    else
        transport_init_plain(&c->t, s);
    provider_ready(s, SOCK_READABLE);
}

static void provider_open(struct provider *p, struct loop *l, const char *at)
{
    struct sock_address address;
    const char *why = "";
    p->loop = l;
    CHECK(sock_address_parse(span_str(at), &address) == ERR_OK);
    CHECK(sock_listen(l, &address, provider_accept, p, &p->listener, &why) == ERR_OK);
}

static uint16_t provider_port(const struct provider *p)
{
    struct sock_address a = listener_address(p->listener);
    return (uint16_t)(a.u.bytes[2] << 8 | a.u.bytes[3]);
}

static inline unsigned provider_open_conns(const struct provider *p)
{
    unsigned n = 0;
    for (const struct provider_conn *c = p->conns; c; c = c->next)
        n += c->open;
    return n;
}

static void provider_close(struct provider *p)
{
    for (struct provider_conn *c = p->conns, *next; c; c = next) {
        next = c->next;
        provider_conn_close(c, false);
        buf_fini(&c->in);
        free(c);
    }
    p->conns = NULL;
    if (p->listener)
        listener_close(p->listener);
    p->listener = NULL;
}

/* ---- the client's side ---- */

struct rig {
    struct loop *loop;
    struct client *client;
    struct origin *origin;
    struct provider provider;
};

static struct origin_options rig_options(const struct rig *r)
{
    return (struct origin_options){.host = "127.0.0.1", .port = provider_port(&r->provider)};
}

static void rig_open(struct rig *r, const struct script *scripts, unsigned n)
{
    log_set_level(LOG_OFF);
    memset(r, 0, sizeof *r);
    r->loop = loop_new(io_epoll(), NULL);
    r->client = client_new(r->loop);
    r->provider.script = scripts;
    r->provider.scripts = n;
    provider_open(&r->provider, r->loop, "127.0.0.1:0");
    struct origin_options o = rig_options(r);
    r->origin = client_origin(r->client, &o);
}

/* The options of the origin, other than the usual. */
static void rig_origin(struct rig *r, const struct origin_options *o)
{
    origin_retire(r->origin);
    r->origin = client_origin(r->client, o);
}

static inline void rig_close(struct rig *r)
{
    client_free(r->client);
    provider_close(&r->provider);
    loop_free(r->loop); /* checks that no sock, timer or task is left */
    block_cache_drain();
}

struct seen {
    struct rig *rig;
    struct call *call;
    int heads, status, ends, fails;
    enum err error;
    char why[300];
    char peer[64];
    char *body;
    size_t bytes, pieces, room;
    bool keep;                     /* the body; else only its length counts */
    bool reused, cancelled;
    unsigned headers_n;
    char content_type[64];
    int cancel_at;                 /* 1: head, 2: first piece, 3: piece and resume later */
    int pause_at_piece;            /* pauses when so many came */
    struct seen *then;             /* is started from on_end or on_fail */
    const struct call_options *then_options;
};

static void seen_start(struct seen *s, struct rig *r, struct call_options o);

static void seen_cancel(struct seen *s)
{
    s->cancelled = true;
    call_cancel(s->call);
}

static void seen_head(void *owner, struct call *c, const struct http_head *head)
{
    struct seen *s = owner;
    CHECK(c == s->call);
    s->heads++;
    s->status = head->status;
    s->headers_n = head->headers_n;
    struct span type = http_header(head, SPAN("content-type"));
    snprintf(s->content_type, sizeof s->content_type, "%.*s", SPAN_ARG(type));
    if (s->cancel_at == 1)
        seen_cancel(s);
}

static void seen_body(void *owner, struct call *c, struct span piece)
{
    struct seen *s = owner;
    CHECK(s->heads == 1 && !s->ends && !s->fails && piece.n);
    s->pieces++;
    if (s->keep) {
        if (s->bytes + piece.n >= s->room) {
            s->room = 2 * (s->bytes + piece.n);
            s->body = realloc(s->body, s->room);
            CHECK(s->body);
        }
        memcpy(s->body + s->bytes, piece.p, piece.n);
        s->body[s->bytes + piece.n] = 0;
    }
    s->bytes += piece.n;
    if (s->pause_at_piece && s->pieces == (size_t)s->pause_at_piece)
        call_pause(c);
    if (s->cancel_at == 2)
        seen_cancel(s);
}

static void seen_over(struct seen *s)
{
    CHECK(s->ends + s->fails == 1);
    s->reused = call_times(s->call)->connected == 0;
    struct span peer = call_peer(s->call, s->peer, sizeof s->peer - 1);
    s->peer[peer.n] = 0;
    if (s->then)
        seen_start(s->then, s->rig, *s->then_options);
}

static void seen_end(void *owner, struct call *c)
{
    struct seen *s = owner;
    s->ends++;
    seen_over(s);
}

static void seen_fail(void *owner, struct call *c, enum err e, const char *why)
{
    struct seen *s = owner;
    s->fails++;
    s->error = e;
    snprintf(s->why, sizeof s->why, "%s", why);
    seen_over(s);
}

static const struct call_handler seen_handler = {seen_head, seen_body, seen_end, seen_fail};

static void seen_start(struct seen *s, struct rig *r, struct call_options o)
{
    s->rig = r;
    if (!o.method.n)
        o.method = SPAN("GET");
    if (!o.target.n)
        o.target = SPAN("/");
    o.handler = &seen_handler;
    o.owner = s;
    s->call = call_start(r->origin, &o);
    CHECK(s->heads + s->ends + s->fails == 0); /* never from inside call_start */
}

static bool seen_done(const struct seen *s) { return s->ends || s->fails; }

static void seen_free(struct seen *s)
{
    free(s->body);
    memset(s, 0, sizeof *s);
}

static void nothing(void *owner) {}

static void rig_turns(struct rig *r, int n, uint64_t each_ns)
{
    struct timer tick;
    timer_init(&tick, r->loop, nothing, NULL);
    while (n-- > 0) {
        timer_set_in(&tick, each_ns);
        loop_turn(r->loop);
    }
    timer_clear(&tick);
}

/* Until the call is over; a hang becomes a failure. */
static bool rig_run(struct rig *r, const struct seen *s)
{
    struct timer guard;
    uint64_t start_ns = loop_clock_ns(r->loop);
    timer_init(&guard, r->loop, nothing, NULL);
    timer_set_in(&guard, GUARD_NS);
    while (!seen_done(s) && loop_clock_ns(r->loop) - start_ns < GUARD_NS)
        loop_turn(r->loop);
    timer_clear(&guard);
    return seen_done(s);
}

static inline bool seen_get(struct seen *s, struct rig *r)
{
    s->keep = true;
    seen_start(s, r, (struct call_options){.target = SPAN("/")});
    return rig_run(r, s);
}

static inline struct iovec slice(const char *text) { return (struct iovec){(char *)(uintptr_t)text, strlen(text)}; }

static inline void expect_hello(const struct seen *s)
{
    EXPECT_EQ(s->ends, 1);
    EXPECT_EQ(s->status, 200);
    EXPECT_STR(s->body, "hello");
    if (s->fails)
        UNIT_FAIL("%s: %s", err_name(s->error), s->why);
}

static inline void expect_failure(const struct seen *s, enum err e, const char *words)
{
    EXPECT_EQ(s->fails, 1);
    EXPECT_STR(err_name(s->error), err_name(e));
    if (!strstr(s->why, words))
        UNIT_FAIL("why is \"%s\", expected \"%s\" in it", s->why, words);
}

/* After a storm: waits until the call is over, which it is once or was cancelled. What ended well was whole. */
static inline bool seen_ended_well(struct seen *s, unsigned seed)
{
    while (!seen_done(s) && !s->cancelled) {
        call_resume(s->call);
        rig_turns(s->rig, 1, MS);
    }
    EXPECT_EQ(s->ends + s->fails, !s->cancelled);
    if (s->ends && (!s->body || strcmp(s->body, "hello") != 0))
        UNIT_FAIL("seed %u: an answer of \"%s\" ended well", seed, s->body ? s->body : "");
    bool well = s->ends != 0;
    seen_free(s);
    return well;
}

#endif
