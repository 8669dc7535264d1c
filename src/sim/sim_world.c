/* SPDX-License-Identifier: Apache-2.0
 *
 * The clock, the scheduler, the names of a simulated world.
 *
 * One step: what is due on the wire arrives; of the loops that then have something to do a random one takes a turn; when none
 * has, the clock jumps to the next thing that will happen. The complication is that nothing may depend on addresses of memory or
 * on anything else but the seed: every list is kept in order of creation or drawn from, every tie is broken by age or by a draw.
 */
#include "sim/sim_world.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/limits.h"

#define START_NS NS_PER_S
#define START_WALL_US 1795398420000000 /* 2026-11-23T01:47:00Z: an instant to begin with, not the real one */
#define TURN_MOST_NS 5000u             /* a turn takes some time, or a busy world would stand still */
#define NAME_TTL_NS (30 * NS_PER_S)

/* The seed. */

uint64_t sim_world_random(struct sim_world *w) { return random_next(&w->random); }

uint64_t sim_between(struct sim_world *w, uint64_t least, uint64_t most)
{
    return most <= least ? least : least + sim_world_random(w) % (most - least + 1);
}

bool sim_world_chance(struct sim_world *w, unsigned ppm) { return ppm && sim_world_random(w) % 1000000 < ppm; }

/* What happened. */

static void digest_number(struct sim_world *w, uint64_t number)
{
    w->digest = random_rotate((w->digest ^ number) * 0x9e3779b97f4a7c15u, 29);
}

void sim_note(struct sim_world *w, const struct sim_loop *where, const char *what, uint64_t id, uint64_t number)
{
    digest_number(w, w->now_ns);
    digest_number(w, where ? where->number : 0);
    digest_number(w, span_hash(span_str(what), 0));
    digest_number(w, id);
    digest_number(w, number);
    if (w->trace)
        w->trace(w->trace_owner, w->now_ns, where ? where->name : "-", what, id, number);
}

uint64_t sim_world_digest(const struct sim_world *w) { return w->digest; }

void sim_world_trace(struct sim_world *w, sim_trace_fn *fn, void *owner)
{
    w->trace = fn;
    w->trace_owner = owner;
}

/* The events on the wire: a binary heap. */

static bool comes_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->sequence < b->sequence;
}

void sim_schedule(struct sim_world *w, struct sim_event event)
{
    if (w->events_used == w->events_room) {
        w->events_room = w->events_room ? 2 * w->events_room : 64;
        w->events = realloc(w->events, w->events_room * sizeof *w->events);
        CHECK(w->events);
    }
    event.sequence = ++w->sequence;
    unsigned at = w->events_used++;
    for (; at > 0 && comes_before(&event, &w->events[(at - 1) / 2]); at = (at - 1) / 2)
        w->events[at] = w->events[(at - 1) / 2];
    w->events[at] = event;
}

static struct sim_event event_take(struct sim_world *w)
{
    struct sim_event first = w->events[0], last = w->events[--w->events_used];
    unsigned at = 0;
    for (unsigned child; (child = 2 * at + 1) < w->events_used; at = child) {
        if (child + 1 < w->events_used && comes_before(&w->events[child + 1], &w->events[child]))
            child++;
        if (!comes_before(&w->events[child], &last))
            break;
        w->events[at] = w->events[child];
    }
    w->events[at] = last;
    return first;
}

/* What loops have to be told. */

void sim_make_ready(struct sim_loop *sl, struct sim_ready *r)
{
    if (r->place)
        return;
    if (sl->ready_used == sl->ready_room) {
        sl->ready_room = sl->ready_room ? 2 * sl->ready_room : 16;
        sl->ready = realloc(sl->ready, sl->ready_room * sizeof(struct sim_ready *));
        CHECK(sl->ready);
    }
    sl->ready[sl->ready_used++] = r;
    r->place = sl->ready_used;
}

void sim_unready(struct sim_loop *sl, struct sim_ready *r)
{
    if (!r->place)
        return;
    struct sim_ready *last = sl->ready[--sl->ready_used];
    sl->ready[r->place - 1] = last;
    last->place = r->place;
    r->place = 0;
}

/* Names. */

struct sim_name {
    struct sim_name *next; /* in order of their giving */
    char *host;
    struct sock_address address;
};

void sim_world_name(struct sim_world *w, const char *host, const char *address)
{
    struct sim_name *name = calloc(1, sizeof *name), **at = &w->names;
    CHECK(name && (name->host = strdup(host)));
    CHECK(sock_address_parse(span_str(address), &name->address) == ERR_OK);
    while (*at)
        at = &(*at)->next;
    *at = name;
}

void sim_world_forget_name(struct sim_world *w, const char *host)
{
    for (struct sim_name **at = &w->names; *at;) {
        struct sim_name *name = *at;
        if (host && strcmp(name->host, host) != 0) {
            at = &name->next;
            continue;
        }
        *at = name->next;
        free(name->host);
        free(name);
    }
}

/* The answer reaches the resolver; the loop hears of it in its next turn. */
static void query_arrives(struct sim_query *q)
{
    if (q->resolve)
        sim_make_ready(loop_world(q->resolve->loop), &q->ready);
    else
        free(q);
}

static void query_tell(struct sim_loop *sl, struct sim_query *q)
{
    struct sim_world *w = sl->world;
    struct resolve *r = q->resolve;
    free(q);
    r->internal = NULL;
    bool fails = sim_world_chance(w, w->options.resolve_fail_ppm);
    for (struct sim_name *name = w->names; name && !fails && r->addresses < RESOLVE_ADDRESSES; name = name->next) {
        if (strcmp(name->host, r->host) != 0)
            continue;
        struct sock_address *a = &r->address[r->addresses++];
        *a = name->address;
        a->u.in.port_be = htons(r->port);
    }
    r->error = r->addresses ? ERR_OK : ERR_DNS;
    r->ttl_ns = NAME_TTL_NS;
    sim_note(w, sl, "resolved", r->addresses, 0);
    r->on_done(r);
}

static void world_resolve(struct resolve *r)
{
    struct sim_loop *sl = loop_world(r->loop);
    struct sim_world *w = sl->world;
    struct sim_query *q = malloc(sizeof *q);
    CHECK(q);
    *q = (struct sim_query){.ready.what = SIM_READY_QUERY, .resolve = r};
    r->internal = q;
    uint64_t delay_ns = 2 * sim_between(w, w->options.delay_least_ns, w->options.delay_most_ns);
    sim_schedule(w, (struct sim_event){.at_ns = w->now_ns + delay_ns, .kind = SIM_RESOLVED, .query = q});
}

static void world_resolve_cancel(struct resolve *r)
{
    struct sim_query *q = r->internal;
    r->internal = NULL;
    q->resolve = NULL;
    if (!q->ready.place)
        return; /* its event is still under way and frees it */
    sim_unready(loop_world(r->loop), &q->ready);
    free(q);
}

/* Steps. */

static void event_drop(struct sim_world *w, const struct sim_event *event)
{
    if (event->connection)
        sim_connection_unref(w, event->connection);
}

static void deliver_due(struct sim_world *w)
{
    while (w->events_used && w->events[0].at_ns <= w->now_ns) {
        struct sim_event event = event_take(w);
        if (event.kind == SIM_RESOLVED)
            query_arrives(event.query);
        else
            sim_net_event(w, &event);
        event_drop(w, &event);
    }
}

static bool has_work(const struct sim_loop *sl)
{
    return sl->ready_used || loop_next_ns(sl->loop) <= sl->world->now_ns;
}

static struct sim_loop *draw_loop(struct sim_world *w)
{
    struct sim_loop *chosen = NULL;
    uint64_t candidates = 0;
    for (struct sim_loop *sl = w->loops; sl; sl = sl->next)
        candidates += has_work(sl);
    if (!candidates)
        return NULL;
    uint64_t skip = sim_between(w, 0, candidates - 1);
    for (chosen = w->loops; !has_work(chosen) || skip--; chosen = chosen->next)
        continue;
    return chosen;
}

static uint64_t next_happening_ns(const struct sim_world *w)
{
    uint64_t next_ns = w->events_used ? w->events[0].at_ns : UINT64_MAX;
    for (const struct sim_loop *sl = w->loops; sl; sl = sl->next) {
        uint64_t wanted_ns = loop_next_ns(sl->loop);
        next_ns = wanted_ns < next_ns ? wanted_ns : next_ns;
    }
    return next_ns;
}

static void pass_time(struct sim_world *w) { w->now_ns += sim_between(w, 1, TURN_MOST_NS); }

static void take_turn(struct sim_world *w, struct sim_loop *sl)
{
    w->turning = sl->loop;
    loop_turn(sl->loop);
    w->turning = NULL;
    pass_time(w);
}

enum sim_end sim_world_run(struct sim_world *w, uint64_t until_ns)
{
    CHECK(!w->turning);
    for (w->stopping = false; !w->stopping;) {
        if (w->now_ns >= until_ns)
            return SIM_TIME;
        deliver_due(w);
        struct sim_loop *sl = draw_loop(w);
        if (sl) {
            take_turn(w, sl);
            continue;
        }
        uint64_t next_ns = next_happening_ns(w);
        if (next_ns == UINT64_MAX)
            return SIM_IDLE;
        w->now_ns = next_ns < until_ns ? next_ns : until_ns;
    }
    return SIM_STOPPED;
}

enum sim_end sim_world_run_for(struct sim_world *w, uint64_t ns)
{
    return sim_world_run(w, ns < UINT64_MAX - w->now_ns ? w->now_ns + ns : UINT64_MAX);
}

void sim_world_stop(struct sim_world *w) { w->stopping = true; }

/* Somebody turns one loop by hand: the others live while it waits. */
static void others_until(struct sim_world *w, struct sim_loop *self)
{
    for (;;) {
        deliver_due(w);
        if (has_work(self))
            return;
        struct sim_loop *sl = draw_loop(w);
        uint64_t next_ns = sl ? 0 : next_happening_ns(w);
        CHECK(next_ns != UINT64_MAX); /* else this loop waits for something that can never happen */
        if (sl)
            take_turn(w, sl);
        else
            w->now_ns = next_ns;
    }
}

/* The backend. */

struct sim_loop_state {
    struct sim_world *world;
    const char *name;
};

static void *world_open(struct loop *l, void *state)
{
    const struct sim_loop_state *from = state;
    struct sim_loop *sl = calloc(1, sizeof *sl), **at = &from->world->loops;
    CHECK(sl);
    *sl = (struct sim_loop){.world = from->world, .loop = l, .name = from->name, .number = ++from->world->loops_made};
    while (*at)
        at = &(*at)->next;
    *at = sl;
    return sl;
}

static void world_close(struct loop *l, void *world)
{
    struct sim_loop *sl = world, **at = &sl->world->loops;
    CHECK(sl->ready_used == 0);
    while (*at != sl)
        at = &(*at)->next;
    *at = sl->next;
    free(sl->ready);
    free(sl);
}

static void tell_of(struct sim_loop *sl, struct sim_ready *r)
{
    switch (r->what) {
    case SIM_READY_SOCK:
        sim_sock_tell(sl, r);
        break;
    case SIM_READY_LISTENER:
        sim_listener_tell(sl, r);
        break;
    case SIM_READY_QUERY:
        query_tell(sl, CONTAINER_OF(r, struct sim_query, ready));
        break;
    }
}

static void world_wait(struct loop *l, void *world, uint64_t until_ns)
{
    struct sim_loop *sl = world;
    bool by_hand = sl->world->turning == NULL;
    if (by_hand) {
        others_until(sl->world, sl);
        pass_time(sl->world);
        sl->world->turning = l;
    }
    sim_note(sl->world, sl, "turn", sl->ready_used, 0);
    loop_tick(l);
    /* A random part of what there is, in random order: the rest waits for the next turn, as behind a full batch. */
    uint64_t tell = sl->ready_used ? sim_between(sl->world, 1, sl->ready_used) : 0;
    for (; tell && sl->ready_used; tell--) {
        struct sim_ready *r = sl->ready[sim_between(sl->world, 0, sl->ready_used - 1)];
        sim_unready(sl, r);
        tell_of(sl, r);
    }
    if (by_hand)
        sl->world->turning = NULL;
}

static void world_wake(void *world) {} /* one thread: who posts is awake, and has_work sees the message */
static uint64_t world_monotonic_ns(void *world) { return ((struct sim_loop *)world)->world->now_ns; }
static uint64_t world_seed(void *world) { return sim_world_random(((struct sim_loop *)world)->world); }

static int64_t world_wall_us(void *world)
{
    const struct sim_world *w = ((struct sim_loop *)world)->world;
    return (int64_t)(w->now_ns / NS_PER_US) + w->wall_less_monotonic_us;
}

const struct io_backend *sim_backend(void)
{
    static const struct io_backend backend = {
        .open = world_open,
        .close = world_close,
        .wait = world_wait,
        .wake = world_wake,
        .monotonic_ns = world_monotonic_ns,
        .wall_us = world_wall_us,
        .seed = world_seed,
        .listen = sim_listen,
        .listener_set = sim_listener_set,
        .listener_close = sim_listener_close,
        .listener_address = sim_listener_address,
        .connect = sim_connect,
        .connect_result = sim_connect_result,
        .peer = sim_peer,
        .read = sim_read,
        .writev = sim_writev,
        .shutdown_write = sim_shutdown_write,
        .close_sock = sim_close_sock,
        .resolve = world_resolve,
        .resolve_cancel = world_resolve_cancel,
    };
    return &backend;
}

struct loop *sim_world_loop(struct sim_world *w, const char *name)
{
    return loop_new(sim_backend(), &(struct sim_loop_state){w, name});
}

/* The world. */

struct sim_options sim_options_calm(void)
{
    return (struct sim_options){
        .delay_least_ns = 20 * NS_PER_US,
        .delay_most_ns = 2 * NS_PER_MS,
        .buffer_least = 4 * KIB,
        .buffer_most = 256 * KIB,
        .backlog = 128,
        .split_ppm = 200000,
        .short_write_ppm = 100000,
        .fault_bytes_most = 64 * KIB,
        .stall_most_ns = 2 * NS_PER_S,
    };
}

struct sim_options sim_options_stormy(void)
{
    struct sim_options o = sim_options_calm();
    o.delay_most_ns = 50 * NS_PER_MS;
    o.buffer_least = 512;
    o.split_ppm = 400000;
    o.short_write_ppm = 300000;
    o.refuse_ppm = 30000;
    o.unanswered_ppm = 10000;
    o.reset_ppm = 100000;
    o.vanish_ppm = 30000;
    o.stall_ppm = 5000;
    o.resolve_fail_ppm = 20000;
    return o;
}

struct sim_world *sim_world_new(uint64_t seed, const struct sim_options *options)
{
    struct sim_world *w = calloc(1, sizeof *w);
    CHECK(w);
    w->options = options ? *options : sim_options_calm();
    random_init(&w->random, seed);
    w->now_ns = START_NS;
    w->wall_less_monotonic_us = START_WALL_US - (int64_t)(START_NS / NS_PER_US);
    w->next_port = 40000;
    return w;
}

void sim_world_free(struct sim_world *w)
{
    if (!w)
        return;
    CHECK(!w->loops);
    while (w->events_used) {
        struct sim_event event = event_take(w);
        free(event.query);
        event_drop(w, &event);
    }
    CHECK(w->connections == 0);
    sim_world_forget_name(w, NULL);
    free(w->events);
    free(w);
}

struct sim_options *sim_world_options(struct sim_world *w) { return &w->options; }
uint64_t sim_world_now_ns(const struct sim_world *w) { return w->now_ns; }
void sim_world_jump_wall(struct sim_world *w, int64_t by_us) { w->wall_less_monotonic_us += by_us; }
unsigned sim_world_connections(const struct sim_world *w) { return w->connections; }
void sim_world_cut(struct loop *l, bool cut) { ((struct sim_loop *)loop_world(l))->cut = cut; }
