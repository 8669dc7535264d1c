/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway of a scenario: what its config says, its lives, and what befalls its disk. A life ends when the power goes: in the middle of a call of
 * the disk, perhaps, and from that call on not a byte leaves the machine. The next life begins with what the disk kept.
 */
#include "base/log.h"
#include "sim/scenario_private.h"

#include <stdio.h>

/* ---- config ---- */

/* What we buy, and what our departments pay: other prices, and in another currency. */
static const char *const price_texts[] = {
    "book=list\tseller=acme\tbuyer=self\tcurrency=USD\tsource=list\tfrom=0\tknown=0\tmodel=*\tprovider=*\tinput=2500000000\toutput=10000000000",
    "book=inside\tseller=self\tbuyer=*\tcurrency=EUR\tsource=list\tfrom=0\tknown=0\tmodel=*\tprovider=*\tinput=3000000000\toutput=12000000000",
};

static void add_book(struct price_list *l, const char *text)
{
    struct price_line *line = ARENA_NEW(&l->arena, struct price_line);
    CHECK(price_line_parse(&l->arena, span_str(text), line) == ERR_OK);
    struct price_book *b = ARENA_NEW(&l->arena, struct price_book);
    *b = *line->book;
    b->place = "prices";
    b->valid_until_us = PRICE_TIME_MAX;
    b->lines = ARENA_ARRAY(&l->arena, struct price_line *, 1);
    b->lines[b->lines_n++] = line;
    l->books[l->books_n++] = b;
}

static void complain_of_price(void *owner, const struct price_place *at, const char *message) { log_line(LOG_ERROR, message, NULL); }

static struct price_list *make_prices(void)
{
    struct price_list *l = price_list_new();
    l->self = "self";
    l->books = ARENA_ARRAY(&l->arena, struct price_book *, COUNT_OF(price_texts));
    for (unsigned i = 0; i < COUNT_OF(price_texts); i++)
        add_book(l, price_texts[i]);
    CHECK(price_list_seal(l, complain_of_price, NULL));
    return l;
}

/* Of all together, so small that it is exhausted in many a run. */
static void add_budget(struct scenario *s, struct catalog *c)
{
    struct catalog_zone *z = c->zones = ARENA_NEW(&c->arena, struct catalog_zone);
    struct budget *b = c->budgets.budgets = ARENA_NEW(&c->arena, struct budget);
    CHECK(zone_open("UTC", &z->zone) == ERR_OK);
    *b = (struct budget){.name = "B1", .scope = BUDGET_ALL, .who = SPAN("*"), .limit = (money)(2 + draw(s, 30)) * (MONEY_ONE / 1000), .currency = "EUR",
                         .unit = PERIOD_MONTH, .zone = z->zone, .hard = true, .hard_at = {1, 1}, .place = "budgets"};
    c->budgets.budgets_n = 1;
}

static struct provider *catalog_provider(struct scenario *s, struct catalog *c, unsigned i)
{
    static const char *const names[PROVIDERS] = {"provider-0", "provider-1", "provider-2"};
    struct provider *p = ARENA_NEW(&c->arena, struct provider);
    p->index = i;
    p->name = names[i];
    p->dialect = dialect_find(i == 1 ? SPAN("azure-openai") : SPAN("openai"));
    p->origin = (struct origin_options){.host = names[i], .port = 80, .http = chance(s, 30) ? ORIGIN_H2 : ORIGIN_H1, .connect_timeout_ns = 3 * NS_PER_S};
    p->authority = span_str(names[i]);
    p->base_path = i == 1 ? SPAN_NONE : SPAN("/v1");
    p->credential = arena_dup(&c->arena, SPAN("provider-secret"));
    p->region = "";
    p->first_byte_timeout_ns = 8 * NS_PER_S;
    p->idle_timeout_ns = 8 * NS_PER_S;
    p->total_timeout_ns = 600 * NS_PER_S;
    return p;
}

static struct catalog *make_catalog(struct scenario *s)
{
    struct catalog *c = catalog_new();
    c->providers = ARENA_ARRAY(&c->arena, struct provider *, PROVIDERS);
    c->deployments = ARENA_ARRAY(&c->arena, struct deployment *, PROVIDERS);
    c->models = ARENA_NEW(&c->arena, struct model);
    c->keys = ARENA_NEW(&c->arena, struct key);
    c->models->name = SPAN("gpt-4o");
    c->models->select = (enum selection)draw(s, 3);
    c->models->deployments = ARENA_ARRAY(&c->arena, const struct deployment *, PROVIDERS);
    for (unsigned i = 0; i < PROVIDERS; i++) {
        c->providers[i] = catalog_provider(s, c, i);
        struct deployment *d = c->deployments[i] = ARENA_NEW(&c->arena, struct deployment);
        *d = (struct deployment){.index = i, .provider = c->providers[i], .model = SPAN("gpt-4o"), .wire_model = SPAN("\"gpt-4o\""), .weight = 1 + i};
        d->encoding = tokenizer_for_model(d->model);
        c->models->deployments[i] = d;
    }
    c->providers_n = c->deployments_n = c->models->deployments_n = PROVIDERS;
    c->keys->name = "sim";
    c->keys->department = "legal";
    c->keys->party = "";
    digest_sha256(SPAN("client-secret"), c->keys->digest);
    c->models_n = c->keys_n = 1;
    c->retry = (struct retry_policy){3, 20, 1000, 100 * NS_PER_MS, 2 * NS_PER_S};
    c->ejection = (struct ejection_policy){5, 5 * NS_PER_S, 300 * NS_PER_S, 10 * NS_PER_S, 50};
    c->prices = make_prices();
    if (chance(s, 40))
        add_budget(s, c);
    catalog_seal(c);
    return c;
}

/* ---- a life ---- */

static void start_worker(struct scenario *s)
{
    const char *why = "";
    struct sock_address at;
    s->view = (struct gateway_view){.workers = s->workers, .workers_n = 1, .ledger = s->books.ledger, .budgets = s->books.budgets,
                                    .strict = s->books.strict, .draining = &s->draining, .generation = &s->generation};
    struct worker_options o = {
        .server = {.connections_max = 100, .body_max = MIB, .head_timeout_ns = 20 * NS_PER_S, .body_timeout_ns = 60 * NS_PER_S,
                   .idle_timeout_ns = 60 * NS_PER_S, .write_timeout_ns = 60 * NS_PER_S, .body_bytes_max = 64u * MIB, .server_name = "entente"},
        .exchange = {.requests_max = 100, .answer_max = MIB, .memory_max = 256u * MIB, .ping_ns = 5 * NS_PER_S},
        .catalog = s->catalog, .ledger = s->books.ledger, .budgets = s->books.budgets, .strict = s->books.strict, .view = &s->view,
    };
    s->worker = s->workers[0] = worker_new(s->gateway_loop, &o);
    CHECK(sock_address_parse(SPAN("10.2.0.1:80"), &at) == ERR_OK);
    CHECK(worker_listen(s->worker, &at, NULL, &why) == ERR_OK);
}

/* The power goes, perhaps in the middle of a call: nothing leaves the machine from here on. It is buried once its turn is over. */
static void on_power(void *owner)
{
    struct scenario *s = owner;
    s->powerless = true;
    sim_world_cut(s->gateway_loop, true);
    sim_world_stop(s->world);
}

/* One try. A boot may meet the next power cut; or it comes when the gateway serves. */
static bool boot(struct scenario *s)
{
    char why[512] = "";
    s->powerless = false;
    sim_vfs_reboot(s->books.disk, (enum sim_vfs_loss)draw(s, SIM_VFS_LOSSES));
    if (s->fate.strokes && s->fate.has_power_cuts && chance(s, 30)) {
        s->fate.strokes--;
        sim_vfs_fail(s->books.disk, SIM_VFS_POWER, 1 + draw(s, 60), 1, NULL);
    }
    s->gateway_loop = sim_world_loop(s->world, "gateway");
    enum err e = sim_books_open(&s->books, s->gateway_loop, &s->catalog->budgets, why);
    if (!e && !s->powerless)
        return true;
    if (!s->powerless)
        complain(s, "the ledger does not open after a power cut: %s", why);
    s->hopeless = !s->powerless;
    if (!e)
        sim_books_abandon(&s->books);
    loop_free(s->gateway_loop);
    s->gateway_loop = NULL;
    return false;
}

/* The worker ends as its program would: what it still has to say reaches neither disk nor wire. */
static void bury(struct scenario *s)
{
    sim_world_reset_all(s->gateway_loop);
    worker_free(s->worker);
    sim_books_abandon(&s->books);
    loop_free(s->gateway_loop);
}

static void live_again(struct scenario *s)
{
    bury(s);
    s->result.lives++;
    sim_world_run_for(s->world, draw(s, 5000) * NS_PER_MS);
    while (!boot(s) && !s->hopeless)
        sim_world_run_for(s->world, draw(s, 1000) * NS_PER_MS);
    if (!s->hopeless)
        start_worker(s);
}

/* ---- what befalls the disk ---- */

static void heal(struct scenario *s)
{
    s->fate.refusing = false;
    if (!s->powerless)
        sim_vfs_heal(s->books.disk);
}

/* Of the store alone most often: then the spool takes what comes, and the power may go while nothing else has it. */
static void refuse(struct scenario *s)
{
    static const enum sim_vfs_fault faults[] = {SIM_VFS_EIO, SIM_VFS_FULL, SIM_VFS_SYNC, SIM_VFS_READ};
    static const char *const files[] = {NULL, "ledger.db", "ledger.db", "ledger.db", "ledger.spool"};
    s->fate.refusing = true;
    sim_vfs_fail(s->books.disk, faults[draw(s, COUNT_OF(faults))], 1 + draw(s, 8), chance(s, 70) ? UINT64_MAX : 1 + draw(s, 6), files[draw(s, COUNT_OF(files))]);
}

/* At once while the disk refuses: to wait for one of its calls would heal it. */
static void cut_power(struct scenario *s)
{
    if (s->powerless)
        return;
    if (s->fate.refusing || chance(s, 50))
        sim_vfs_power_off(s->books.disk);
    else
        sim_vfs_fail(s->books.disk, SIM_VFS_POWER, 1 + draw(s, 40), 1, NULL);
    s->fate.refusing = false;
}

static void strike(struct scenario *s)
{
    struct sim_fate *f = &s->fate;
    f->strokes--;
    if (f->has_refusals && !f->refusing && (!f->has_power_cuts || chance(s, 50)))
        refuse(s);
    else if (f->has_power_cuts)
        cut_power(s);
    else
        heal(s);
}

static void on_stroke(void *owner)
{
    struct scenario *s = owner;
    struct sim_fate *f = &s->fate;
    if (f->refusing && (!f->strokes || chance(s, 40)))
        heal(s);
    else if (f->strokes)
        strike(s);
    if (f->strokes || f->refusing)
        timer_set_in(&f->timer, (1 + draw(s, 6000)) * NS_PER_MS);
}

static void make_fate(struct scenario *s)
{
    struct sim_fate *f = &s->fate;
    f->loop = sim_world_loop(s->world, "fate");
    timer_init(&f->timer, f->loop, on_stroke, s);
    f->has_power_cuts = chance(s, 60);
    f->has_refusals = chance(s, 60);
    f->strokes = f->has_power_cuts || f->has_refusals ? 1 + (unsigned)draw(s, 7) : 0;
    if (f->strokes)
        timer_set_in(&f->timer, (1 + draw(s, 10000)) * NS_PER_MS);
}

/* ---- the whole of it ---- */

void gateway_make(struct scenario *s)
{
    char why[512] = "";
    s->gateway_loop = sim_world_loop(s->world, "gateway");
    s->catalog = make_catalog(s);
    s->generation = 1;
    s->result.lives = 1;
    sim_books_init(&s->books, sim_world_random(s->world), chance(s, 50));
    sim_vfs_on_power(s->books.disk, on_power, s);
    CHECK(sim_books_open(&s->books, s->gateway_loop, &s->catalog->budgets, why) == ERR_OK);
    start_worker(s);
    sim_world_name(s->world, "gateway", "10.2.0.1:80");
    make_fate(s);
}

static void look_at_budget(void *owner, const struct budget_standing *at)
{
    struct scenario *s = owner;
    money spent = at->posted + at->pending;
    s->spent_most = spent > s->spent_most ? spent : s->spent_most;
    s->posted = at->posted;
    s->pending = at->pending;
}

static void look_at_budgets(struct scenario *s)
{
    budget_each(s->books.budgets, &s->catalog->budgets, loop_wall_us(s->gateway_loop), look_at_budget, s);
}

void gateway_tend(struct scenario *s)
{
    while (s->powerless && !s->hopeless)
        live_again(s);
    if (!s->hopeless)
        look_at_budgets(s);
}

void gateway_take_down(struct scenario *s)
{
    timer_clear(&s->fate.timer);
    if (s->hopeless)
        return;
    sim_vfs_heal(s->books.disk);
    s->draining = true;
    worker_drain(s->worker);
    sim_world_run_for(s->world, 300 * NS_PER_S);
    look_at_budgets(s);
    audit_outcomes(s);
    worker_free(s->worker);
    sim_books_close(&s->books);
}
