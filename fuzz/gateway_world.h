/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzzers of the whole request path share: a gateway (one real worker) in a simulated world, configured from the program's own
 * structs, taken down with the questions that matter. Is a socket, a timer, an exchange or a byte of a pool left? Has every exchange
 * its one record, and is each record JSON?
 */
#ifndef ENTENTE_FUZZ_GATEWAY_WORLD_H
#define ENTENTE_FUZZ_GATEWAY_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/block.h"
#include "base/json.h"
#include "base/log.h"
#include "serve/worker.h"
#include "sim/provider.h"
#include "sim/sim_books.h"
#include "sim/sim_net.h"

#define GATEWAY_PROVIDERS_MAX 2u
#define GATEWAY_ADDRESS "10.2.0.1:80"

struct gateway_world {
    struct sim_world *world;
    struct loop *gateway_loop, *provider_loop, *client_loop;
    struct worker *worker, *workers[1];
    struct sim_books books;
    struct buf lines; /* of the books, as JSON */
    struct catalog *catalog;
    struct gateway_view view;
    bool draining;
    uint64_t generation;
    size_t blocks_before;
};

static const char *const gateway_provider_names[GATEWAY_PROVIDERS_MAX] = {"provider-0", "provider-1"};
static const char *const gateway_provider_addresses[GATEWAY_PROVIDERS_MAX] = {"10.1.0.1:80", "10.1.0.2:80"};

static inline struct sock_address address_of(const char *text)
{
    struct sock_address a;
    CHECK(sock_address_parse(span_str(text), &a) == ERR_OK);
    return a;
}

static inline struct provider *gateway_provider(struct catalog *c, unsigned i, bool speaks_h2)
{
    struct provider *p = ARENA_NEW(&c->arena, struct provider);
    p->index = i;
    p->name = gateway_provider_names[i];
    p->dialect = dialect_find(SPAN("openai"));
    p->origin = (struct origin_options){.host = p->name, .port = 80, .http = speaks_h2 ? ORIGIN_H2 : ORIGIN_H1, .connect_timeout_ns = 3 * NS_PER_S};
    p->authority = span_str(p->name);
    p->base_path = SPAN("/v1");
    p->credential = arena_dup(&c->arena, SPAN("provider-secret"));
    p->region = "";
    p->first_byte_timeout_ns = p->idle_timeout_ns = 8 * NS_PER_S;
    p->total_timeout_ns = 600 * NS_PER_S;
    return p;
}

static inline void gateway_models(struct catalog *c)
{
    c->models = ARENA_NEW(&c->arena, struct model);
    c->models->name = SPAN("gpt-4o");
    c->models->deployments = ARENA_ARRAY(&c->arena, const struct deployment *, c->providers_n);
    c->deployments = ARENA_ARRAY(&c->arena, struct deployment *, c->providers_n);
    for (unsigned i = 0; i < c->providers_n; i++) {
        struct deployment *d = c->deployments[i] = ARENA_NEW(&c->arena, struct deployment);
        *d = (struct deployment){.index = i, .provider = c->providers[i], .model = SPAN("gpt-4o"), .wire_model = SPAN("\"gpt-4o\""), .weight = 1};
        d->encoding = tokenizer_for_model(d->model);
        c->models->deployments[i] = d;
    }
    c->deployments_n = c->models->deployments_n = c->providers_n;
    c->models_n = 1;
}

static inline struct catalog *gateway_catalog(unsigned providers, bool first_speaks_h2)
{
    struct catalog *c = catalog_new();
    c->providers = ARENA_ARRAY(&c->arena, struct provider *, providers);
    c->providers_n = providers;
    for (unsigned i = 0; i < providers; i++)
        c->providers[i] = gateway_provider(c, i, first_speaks_h2 && i == 0);
    gateway_models(c);
    c->keys = ARENA_NEW(&c->arena, struct key);
    c->keys->name = "fuzz";
    c->keys->department = c->keys->party = "";
    digest_sha256(SPAN("k"), c->keys->digest); /* short, so that a fuzzer can find it */
    c->keys_n = 1;
    c->retry = (struct retry_policy){2, 20, 1000, 100 * NS_PER_MS, 2 * NS_PER_S};
    c->ejection = (struct ejection_policy){5, 5 * NS_PER_S, 300 * NS_PER_S, 10 * NS_PER_S, 50};
    catalog_seal(c);
    return c;
}

static inline void gateway_worker(struct gateway_world *g)
{
    const char *why = "";
    struct sock_address at = address_of(GATEWAY_ADDRESS);
    char said[512] = "";
    sim_books_init(&g->books, 1, false);
    CHECK(sim_books_open(&g->books, g->gateway_loop, &g->catalog->budgets, said) == ERR_OK);
    buf_init(&g->lines, 64u * MIB);
    g->generation = 1;
    g->view = (struct gateway_view){.workers = g->workers, .workers_n = 1, .ledger = g->books.ledger, .draining = &g->draining, .generation = &g->generation};
    struct worker_options o = {
        .server = {.connections_max = 10, .body_max = MIB, .head_timeout_ns = 20 * NS_PER_S, .body_timeout_ns = 60 * NS_PER_S,
                   .idle_timeout_ns = 60 * NS_PER_S, .write_timeout_ns = 60 * NS_PER_S, .body_bytes_max = 8u * MIB, .server_name = "entente"},
        .exchange = {.requests_max = 100, .answer_max = MIB, .memory_max = 256u * MIB, .ping_ns = 5 * NS_PER_S},
        .catalog = g->catalog, .ledger = g->books.ledger, .budgets = g->books.budgets, .view = &g->view,
    };
    g->worker = g->workers[0] = worker_new(g->gateway_loop, &o);
    CHECK(worker_listen(g->worker, &at, NULL, &why) == ERR_OK);
    sim_world_name(g->world, "gateway", GATEWAY_ADDRESS);
}

/* A new world with the gateway in it. The providers' names are known; who listens there is the caller's. */
static inline void gateway_world_open(struct gateway_world *g, uint64_t seed, const struct sim_options *options, unsigned providers, bool first_speaks_h2)
{
    log_set_level(LOG_OFF);
    *g = (struct gateway_world){.blocks_before = block_bytes_in_use()};
    g->world = sim_world_new(seed, options);
    g->gateway_loop = sim_world_loop(g->world, "gateway");
    g->provider_loop = sim_world_loop(g->world, "provider");
    g->client_loop = sim_world_loop(g->world, "client");
    for (unsigned i = 0; i < GATEWAY_PROVIDERS_MAX; i++)
        sim_world_name(g->world, gateway_provider_names[i], gateway_provider_addresses[i]);
    g->catalog = gateway_catalog(providers, first_speaks_h2);
    gateway_worker(g);
}

struct gateway_writing {
    struct books *books;
    struct buf *lines;
};

static inline enum err gateway_write_usage(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    const struct gateway_writing *w = owner;
    return e->kind == ENTRY_USAGE ? books_write_json(w->books, seq, e, w->lines) : ERR_OK;
}

/* Each usage entry as a line of JSON. Valid until it is asked for again. */
static inline struct span gateway_records(struct gateway_world *g)
{
    char why[512] = "";
    struct gateway_writing w = {.lines = &g->lines};
    buf_clear(&g->lines);
    ledger_flush(g->books.ledger);
    CHECK(sim_books_read(&g->books, &w.books, why) == ERR_OK);
    CHECK(books_each(w.books, 0, books_size(w.books), gateway_write_usage, &w) == ERR_OK);
    books_close(w.books);
    return buf_span(&g->lines);
}

static inline unsigned gateway_outcomes(const struct gateway_world *g)
{
    uint64_t n = 0;
    for (int i = 0; i < RECORD_OUTCOMES; i++)
        n += stat_read(&worker_exchange_stats(g->worker)->outcomes[i]);
    return (unsigned)n;
}

static inline unsigned gateway_lines_with(struct span records, struct span word)
{
    unsigned n = 0;
    while (records.n) {
        struct span line = span_cut(&records, '\n');
        n += line.n && (!word.n || span_find_span(line, word) >= 0);
    }
    return n;
}

/* Every exchange ended, once, and was written down. */
static inline void gateway_audit(struct gateway_world *g)
{
    struct span rest = gateway_records(g);
    CHECK(stat_read(&worker_exchange_stats(g->worker)->under_way) == 0);
    CHECK(gateway_lines_with(rest, SPAN_NONE) - gateway_lines_with(rest, SPAN(",\"attempt\":")) == gateway_outcomes(g));
    while (rest.n) {
        struct span line = span_cut(&rest, '\n');
        CHECK(!line.n || json_check(line) == ERR_OK);
    }
}

/* Until it is so, or the time is over. A second at a time: a worker has a timer that ticks for as long as it lives. */
static inline void gateway_run_until(struct gateway_world *g, bool (*is_so)(void *owner), void *owner, unsigned seconds)
{
    for (unsigned i = 0; i < seconds && !is_so(owner); i++)
        sim_world_run_for(g->world, NS_PER_S);
}

static inline bool gateway_is_idle(void *g) { return worker_is_idle(((struct gateway_world *)g)->worker); }
static inline bool gateway_has_no_wire(void *g) { return sim_world_connections(((struct gateway_world *)g)->world) == 0; }

/* Call when client and providers have closed what is theirs. */
static inline void gateway_world_close(struct gateway_world *g)
{
    g->draining = true;
    worker_drain(g->worker);
    gateway_run_until(g, gateway_has_no_wire, g, 300);
    CHECK(worker_is_idle(g->worker));
    gateway_audit(g);
    worker_free(g->worker);
    sim_world_run_for(g->world, 300 * NS_PER_S);
    sim_books_close(&g->books);
    sim_books_fini(&g->books);
    buf_fini(&g->lines);
    catalog_unref(g->catalog);
    CHECK(loop_socks(g->gateway_loop) == 0 && loop_timers(g->gateway_loop) == 0);
    CHECK(loop_socks(g->provider_loop) == 0 && loop_timers(g->provider_loop) == 0);
    CHECK(loop_socks(g->client_loop) == 0 && loop_timers(g->client_loop) == 0);
    CHECK(sim_world_connections(g->world) == 0);
    loop_free(g->gateway_loop);
    loop_free(g->provider_loop);
    loop_free(g->client_loop);
    sim_world_free(g->world);
    CHECK(block_bytes_in_use() == g->blocks_before);
}

#endif
