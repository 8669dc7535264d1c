/* SPDX-License-Identifier: Apache-2.0
 *
 * A worker is the stream handler of its server: requests for a model become exchanges, the few pages of the gateway itself are answered in
 * pages.c.
 */
#include "serve/worker.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/block.h"
#include "serve/pages.h"

#define TICK_NS NS_PER_S
#define QUIET_REQUESTS 100u /* in a tick */
#define PAGE_BODY_BYTES (16u * KIB) /* a body that a page was sent for no reason */

struct worker {
    struct loop *loop;
    struct client *client;
    struct server *server;
    struct exchanger *exchanger;
    struct ledger *ledger;
    const struct gateway_view *view;
    uint64_t body_max;
    struct timer tick;
    uint64_t requests_seen; /* at the last tick */
    bool trimmed;           /* since the last busy tick */
};

/* Memory that a burst needed goes back when the burst is over: blocks by what lay idle, the rest of the heap once, in a quiet second. */
static void tick(void *owner)
{
    struct worker *w = owner;
    uint64_t requests = stat_read(&server_stats(w->server)->requests_total);
    bool quiet = requests - w->requests_seen < QUIET_REQUESTS;
    block_cache_tick();
#if defined(__GLIBC__)
    if (quiet && !w->trimmed)
        malloc_trim(0);
#endif
    w->trimmed = quiet;
    w->requests_seen = requests;
    timer_set_in(&w->tick, TICK_NS);
}

static enum err on_head(void *owner, struct stream *s, uint64_t *body_limit)
{
    struct worker *w = owner;
    struct arena arena;
    struct route route;
    enum err e = ERR_OK;
    arena_init(&arena, 512);
    *body_limit = PAGE_BODY_BYTES;
    bool known = dialect_route(&arena, &stream_base(s)->head, &route);
    if (known && route.kind == ROUTE_API) {
        *body_limit = w->body_max;
        e = exchange_admit(w->exchanger, s, &route);
    } else if (!known && !page_exists(stream_base(s)->head.path)) {
        e = ERR_NOT_FOUND; /* whatever body it has is not waited for */
    }
    arena_fini(&arena);
    return e;
}

static void on_request(void *owner, struct stream *s)
{
    struct worker *w = owner;
    struct arena arena;
    struct route route = {0};
    arena_init(&arena, 512);
    bool known = dialect_route(&arena, &stream_base(s)->head, &route);
    if (known && route.kind == ROUTE_API && stream_base(s)->head.method == HTTP_POST)
        exchange_start(w->exchanger, s, &route);
    else
        page_answer(s, known ? &route : NULL, exchanger_catalog(w->exchanger), w->view);
    arena_fini(&arena);
}

static const struct stream_handler handler = {
    .on_head = on_head,
    .on_request = on_request,
    .on_writable = exchange_on_writable,
    .on_abort = exchange_on_abort,
    .error_body = page_error_body,
};

struct worker *worker_new(struct loop *l, const struct worker_options *o)
{
    struct worker *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    struct server_options server = o->server;
    server.handler = &handler;
    server.owner = w;
    w->loop = l;
    w->view = o->view;
    w->body_max = o->server.body_max;
    w->client = client_new(l);
    w->server = server_new(l, &server);
    w->ledger = o->ledger;
    struct exchanger_options exchanger = {.loop = l, .client = w->client, .ledger = o->ledger, .unbooked = o->unbooked,
                                          .unbooked_owner = o->unbooked_owner, .budgets = o->budgets, .strict = o->strict, .catalog = o->catalog, .limits = o->exchange};
    w->exchanger = exchanger_new(&exchanger);
    timer_init(&w->tick, l, tick, w);
    timer_set_in(&w->tick, TICK_NS);
    return w;
}

enum err worker_listen(struct worker *w, const struct sock_address *at, struct tls_context *tls, const char **ret_why)
{
    return server_listen(w->server, at, tls, ret_why);
}

void worker_use(struct worker *w, struct catalog *c) { exchanger_use(w->exchanger, c); }

void worker_set_limits(struct worker *w, const struct server_options *server, const struct exchange_limits *exchange)
{
    w->body_max = server->body_max;
    server_set_limits(w->server, server);
    exchanger_set_limits(w->exchanger, exchange);
}

void worker_set_tls(struct worker *w, unsigned nth, struct tls_context *tls) { server_set_tls(w->server, nth, tls); }

void worker_drain(struct worker *w)
{
    server_drain(w->server);
    client_close_idle(w->client);
}

bool worker_is_idle(const struct worker *w)
{
    return server_is_idle(w->server) && stat_read(&exchanger_stats(w->exchanger)->under_way) == 0;
}

/* Exchanges whose clients are gone wait for their records alone. */
static void finish_exchanges(struct worker *w)
{
    while (stat_read(&exchanger_stats(w->exchanger)->under_way)) {
        if (w->ledger)
            ledger_flush(w->ledger);
        if (stat_read(&exchanger_stats(w->exchanger)->under_way))
            loop_turn(w->loop); /* what the ledger's thread has told this loop */
    }
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    timer_clear(&w->tick);
    server_free(w->server); /* aborts what is left: their exchanges end with a record */
    exchanger_abandon(w->exchanger);
    finish_exchanges(w);
    exchanger_free(w->exchanger);
    client_free(w->client);
    free(w);
}

struct loop *worker_loop(const struct worker *w) { return w->loop; }
const struct exchange_stats *worker_exchange_stats(const struct worker *w) { return exchanger_stats(w->exchanger); }
const struct server_stats *worker_server_stats(const struct worker *w) { return server_stats(w->server); }
const struct client_stats *worker_client_stats(const struct worker *w) { return client_stats(w->client); }
struct sock_address worker_address(const struct worker *w, unsigned nth) { return server_address(w->server, nth); }
