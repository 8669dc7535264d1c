/* SPDX-License-Identifier: Apache-2.0
 *
 * The server side of HTTP, both versions, on a socket of memory: the input's bytes arrive cut anywhere, writes are taken in part,
 * time jumps to the next timer, the peer ends, resets or falls silent. Byte 0 chooses how, byte 1 seeds the choices.
 *
 * Checked: every stream that the handler was shown ends exactly once, nothing leaks, the loop is empty after, and the requests that
 * are served do not depend on the cuts (one run is the other's beginning: a refusal may come earlier or later in time).
 */
#include <stdlib.h>
#include <string.h>

#include "http/server.h"
#include "io/backend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ENDS_CLEANLY = 1, ENDS_BY_RESET = 2, WRITES_IN_PART = 4, NEVER_READS = 8, ANSWERS_LATER = 16, DRAINS = 32, REFUSES = 64 };
#define SERVED_MAX 64u

struct world {
    struct loop *loop;
    struct listener *listener;
    struct server *server;
    struct sock *sock;
    const char *bytes;
    size_t n, visible, at;
    uint64_t now_ns;
    uint32_t choices;
    unsigned how;
    bool whole, accepted, ended, reset, blocked, closed;
    unsigned live;                 /* streams that the handler has */
    uint64_t served[SERVED_MAX];   /* hashes of requests */
    unsigned served_n;
};

static struct world *world; /* of the run that is going on */

static size_t choose(size_t below)
{
    world->choices = world->choices * 1664525u + 1013904223u;
    return below ? (world->choices >> 8) % below : 0;
}

/* ---- the backend ---- */

static void *world_open(struct loop *l, void *state) { return state; }
static void world_close(struct loop *l, void *w) { }
static void world_wake(void *w) { }
static uint64_t world_now(void *w) { return ((struct world *)w)->now_ns; }
static int64_t world_wall(void *w) { return 1700000000000000 + (int64_t)(((struct world *)w)->now_ns / 1000); }
static uint64_t world_seed(void *w) { return 1; }

static void accept_one(struct world *w)
{
    w->accepted = true;
    w->sock = calloc(1, sizeof *w->sock);
    CHECK(w->sock);
    w->sock->loop = w->loop;
    loop_count_sock(w->loop, 1);
    w->listener->fn(w->listener->owner, w->sock);
}

/* What happens next on the wire: more bytes, then the end. */
static unsigned next_events(struct world *w)
{
    if (w->visible < w->n) {
        size_t step = w->whole ? w->n : 1 + choose(choose(3) ? 12 : w->n);
        w->visible = step < w->n - w->visible ? w->visible + step : w->n;
        return SOCK_READABLE | SOCK_WRITABLE;
    }
    if (w->ended || !(w->how & (ENDS_CLEANLY | ENDS_BY_RESET)))
        return w->blocked && !(w->how & NEVER_READS) ? SOCK_WRITABLE : 0;
    w->ended = true;
    w->reset = !(w->how & ENDS_CLEANLY);
    w->sock->hangup = true;
    return SOCK_HANGUP | SOCK_READABLE | SOCK_WRITABLE;
}

static void world_wait(struct loop *l, void *state, uint64_t until_ns)
{
    struct world *w = state;
    unsigned events = 0;
    bool accepts = w->listener && !w->accepted;
    if (!accepts && w->sock && until_ns)
        events = next_events(w);
    if (!events && !accepts && until_ns != UINT64_MAX && until_ns > w->now_ns)
        w->now_ns = until_ns;
    loop_tick(l);
    if (accepts)
        accept_one(w);
    else if (events && w->sock)
        w->sock->on_ready(w->sock, events);
}

static enum err world_listen(struct loop *l, const struct sock_address *at, sock_accept_fn *fn, void *owner, struct listener **ret,
                             const char **why)
{
    world->listener = calloc(1, sizeof *world->listener);
    CHECK(world->listener);
    *world->listener = (struct listener){l, fn, owner};
    loop_count_sock(l, 1);
    *ret = world->listener;
    return ERR_OK;
}

static void world_listener_set(struct listener *ln, bool accepting) { }

static void world_listener_close(struct listener *ln)
{
    loop_count_sock(ln->loop, -1);
    free(ln);
    world->listener = NULL;
}

static struct sock_address world_peer(const struct sock *s)
{
    struct sock_address a;
    CHECK(sock_address_parse(SPAN("192.0.2.1:4711"), &a) == ERR_OK);
    return a;
}

static enum err world_connect_result(struct sock *s) { return world->reset ? ERR_CONNECT : ERR_OK; }

static ssize_t world_read(struct sock *s, void *into, size_t bytes)
{
    struct world *w = world;
    size_t here = w->visible - w->at;
    if (w->reset)
        return -ERR_IO;
    if (!here)
        return w->ended ? 0 : -ERR_AGAIN;
    here = here < bytes ? here : bytes;
    memcpy(into, w->bytes + w->at, here);
    w->at += here;
    return (ssize_t)here;
}

static ssize_t world_writev(struct sock *s, const struct iovec *parts, int n)
{
    struct world *w = world;
    size_t all = 0;
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < parts[i].iov_len; k += 64) /* every byte must be there: let the sanitizer see some */
            all += ((const char *)parts[i].iov_base)[k] == 0 ? 0 : 0;
    for (int i = 0; i < n; i++)
        all += parts[i].iov_len;
    if (w->reset)
        return -ERR_IO;
    if (!(w->how & (WRITES_IN_PART | NEVER_READS)))
        return (ssize_t)all;
    size_t took = w->how & NEVER_READS ? 0 : choose(all + 1);
    w->blocked = took < all;
    return took ? (ssize_t)took : -ERR_AGAIN;
}

static void world_shutdown(struct sock *s) { }

static void world_close_sock(struct sock *s, bool reset)
{
    loop_count_sock(s->loop, -1);
    CHECK(s == world->sock);
    world->sock = NULL;
    world->closed = true;
    free(s);
}

static const struct io_backend backend = {
    .open = world_open, .close = world_close, .wait = world_wait, .wake = world_wake, .monotonic_ns = world_now, .wall_us = world_wall,
    .seed = world_seed, .listen = world_listen, .listener_set = world_listener_set, .listener_close = world_listener_close,
    .peer = world_peer, .connect_result = world_connect_result, .read = world_read, .writev = world_writev,
    .shutdown_write = world_shutdown, .close_sock = world_close_sock,
};

/* ---- the handler: what it does is in the request's target ---- */

struct work {
    struct stream *stream;
    struct timer timer;
    unsigned left;
    bool breaks, paused, streams;
};

static void work_end(struct work *w)
{
    timer_clear(&w->timer);
    CHECK(world->live-- > 0);
    free(w);
}

static void reply(struct stream *s)
{
    struct buf body;
    buf_init(&body, 64 * MIB);
    stream_take_body(s, &body);
    stream_reply(s, 200, &(struct header){SPAN("X-Y"), SPAN("z")}, 1, buf_span(&body));
    buf_fini(&body);
}

static void step(void *owner)
{
    struct work *w = owner;
    if (!w->streams) {
        reply(w->stream);
        work_end(w);
        return;
    }
    static char piece[3000];
    while (!w->paused && w->left) {
        w->left--;
        struct iovec parts[] = {{piece, 10}, {piece, choose(sizeof piece)}};
        w->paused = !stream_write(w->stream, parts, 2, false);
        if (choose(2)) {
            timer_set_in(&w->timer, NS_PER_MS);
            return;
        }
    }
    if (w->left)
        return;
    if (w->breaks)
        stream_break(w->stream);
    else
        (void)stream_write(w->stream, NULL, 0, true);
    work_end(w);
}

static struct work *work_new(struct stream *s)
{
    struct work *w = calloc(1, sizeof *w);
    CHECK(w);
    w->stream = s;
    timer_init(&w->timer, world->loop, step, w);
    stream_base(s)->user = w;
    world->live++;
    return w;
}

static enum err on_head(void *owner, struct stream *s, uint64_t *body_limit)
{
    struct span path = stream_base(s)->head.path;
    *body_limit = 100000;
    if (span_ends(path, SPAN("p")))
        stream_take_body_in_pieces(s, work_new(s));
    return span_ends(path, SPAN("r")) && (world->how & REFUSES) ? ERR_BAD_METHOD : ERR_OK;
}

static void note_served(struct stream *s)
{
    struct stream_base *b = stream_base(s);
    uint64_t hash = span_hash(b->head.target, b->head.headers_n) ^ span_hash(stream_body(s), 7) ^ span_hash(b->head.method_name, 3);
    if (world->served_n < SERVED_MAX)
        world->served[world->served_n++] = hash;
}

static void on_request(void *owner, struct stream *s)
{
    struct span path = stream_base(s)->head.path;
    note_served(s);
    if (span_ends(path, SPAN("p")))
        return;
    if (span_ends(path, SPAN("s")) || span_ends(path, SPAN("b"))) {
        struct work *w = work_new(s);
        w->streams = true;
        w->left = (unsigned)choose(300);
        w->breaks = span_ends(path, SPAN("b"));
        stream_begin(s, 200, NULL, 0, UINT64_MAX);
        stream_release_head(s);
        if (choose(2))
            stream_flush_head(s);
        step(w);
    } else if (world->how & ANSWERS_LATER) {
        timer_set_in(&work_new(s)->timer, choose(3000) * NS_PER_MS);
    } else {
        reply(s);
    }
}

static void on_body(void *user, struct stream *s, struct span piece, bool last)
{
    struct work *w = user;
    w->left += (unsigned)piece.n;
    if (!last)
        return;
    work_end(w);
    stream_reply(s, 204, NULL, 0, SPAN_NONE);
}

static void on_writable(void *user, struct stream *s)
{
    struct work *w = user;
    w->paused = false;
    step(w);
}

static void on_abort(void *user, struct stream *s, enum err why)
{
    CHECK(user && why != ERR_OK);
    work_end(user);
}

static void error_body(void *owner, struct span path, enum err e, const char *detail, struct buf *out, struct span *ret_type)
{
    CHECK(buf_printf(out, "%s %.*s", err_code(e), SPAN_ARG(path)) == ERR_OK || path.n > 1000);
}

static struct span allow(void *owner, struct span path) { return SPAN("GET, POST"); }

static const struct stream_handler handler = {on_head, on_request, on_body, on_writable, on_abort, error_body, allow};

/* ---- runs ---- */

static void run(struct world *w)
{
    struct sock_address at;
    const char *why;
    world = w;
    w->now_ns = NS_PER_S;
    w->loop = loop_new(&backend, w);
    struct server_options o = {.handler = &handler, .connections_max = w->how & DRAINS ? 1 : 0, .body_bytes_max = MIB};
    w->server = server_new(w->loop, &o);
    CHECK(sock_address_parse(SPAN("127.0.0.1:80"), &at) == ERR_OK && server_listen(w->server, &at, NULL, &why) == ERR_OK);
    size_t drain_at = w->how & DRAINS ? choose(200) : SIZE_MAX;
    for (size_t turns = 0; turns < 20000 && !w->closed; turns++) {
        loop_turn(w->loop);
        if (turns == drain_at && w->accepted)
            server_drain(w->server);
    }
    server_free(w->server);
    CHECK(w->live == 0 && !w->sock);
    loop_free(w->loop);
}

static void run_copy(const uint8_t *data, size_t n, bool whole, struct world *w)
{
    char *bytes = malloc(n - 2 + 1);
    memcpy(bytes, data + 2, n - 2);
    *w = (struct world){.bytes = bytes, .n = n - 2, .how = data[0], .choices = data[1], .whole = whole};
    run(w);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct world cut, whole;
    if (n < 3)
        return 0;
    run_copy(data, n, false, &cut);
    uint8_t *plain = malloc(n);
    memcpy(plain, data, n);
    plain[0] = ENDS_CLEANLY;
    run_copy(plain, n, true, &whole);
    run_copy(plain, n, false, &cut);
    free(plain);
    unsigned both = cut.served_n < whole.served_n ? cut.served_n : whole.served_n;
    CHECK(memcmp(cut.served, whole.served, both * sizeof cut.served[0]) == 0);
    return 0;
}
