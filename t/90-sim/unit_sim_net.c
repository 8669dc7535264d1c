/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulated world itself: that it loses nothing it should not, does all the harm it should, and does it again for the same
 * seed. SIM_SEEDS in the environment asks for more seeds than the usual 1,000; SIM_SEED replays one with a trace.
 */
#include "unit.h"

#include "io/resolve.h"
#include "io_end.h"
#include "sim/sim_net.h"
#include "test_ca.h"

#define CLIENTS 5u
#define AT "10.1.1.1:80"

struct client {
    struct scene *scene;
    struct end end;
    struct sock *connecting;
    struct timer patience;
    char body[3000];
    bool refused, given_up;
};

struct server_end {
    struct end end;
    struct server_end *next;
    struct timer patience;
};

/* Clients on one host talk to an echo on another; whoever sees nothing for long gives up, as programs do. */
struct scene {
    struct sim_world *w;
    struct loop *server, *client;
    struct listener *listener;
    struct server_end *accepted;
    struct client clients[CLIENTS];
};

static void server_gives_up(void *owner) { end_close(&((struct server_end *)owner)->end); }

static void accept_echo(void *owner, struct sock *s)
{
    struct scene *scene = owner;
    struct server_end *e = calloc(1, sizeof *e);
    e->next = scene->accepted;
    scene->accepted = e;
    e->end.echo = true;
    e->end.read_most = (size_t)(1 + loop_random(s->loop) % 3000);
    timer_init(&e->patience, scene->server, server_gives_up, e);
    timer_set_in(&e->patience, 100 * NS_PER_S);
    end_start(&e->end, s, NULL, NULL);
}

static void client_gives_up(void *owner)
{
    struct client *c = owner;
    c->given_up = c->connecting || c->end.open;
    sock_close(c->connecting);
    c->connecting = NULL;
    end_close(&c->end);
}

static void client_connected(struct sock *s, unsigned events)
{
    struct client *c = s->owner;
    enum err result = sock_connect_result(s);
    if (result == ERR_AGAIN)
        return;
    c->connecting = NULL;
    c->refused = result != ERR_OK;
    if (c->refused) {
        sock_close(s);
        return;
    }
    end_start(&c->end, s, NULL, NULL);
    end_progress(&c->end);
}

static void client_start(struct scene *scene, struct client *c)
{
    struct sock_address at;
    CHECK(sock_address_parse(SPAN(AT), &at) == ERR_OK);
    c->scene = scene;
    for (unsigned i = 0; i < sizeof c->body; i++)
        c->body[i] = (char)loop_random(scene->client);
    c->end = (struct end){.out = c->body, .out_bytes = sizeof c->body, .finish = true};
    timer_init(&c->patience, scene->client, client_gives_up, c);
    timer_set_in(&c->patience, 90 * NS_PER_S);
    CHECK(sock_connect(scene->client, &at, &c->connecting) == ERR_OK);
    c->connecting->owner = c;
    c->connecting->on_ready = client_connected;
}

static void scene_start(struct scene *scene, uint64_t seed, const struct sim_options *options)
{
    struct sock_address at;
    const char *why;
    memset(scene, 0, sizeof *scene);
    scene->w = sim_world_new(seed, options);
    scene->server = sim_world_loop(scene->w, "server");
    scene->client = sim_world_loop(scene->w, "client");
    CHECK(sock_address_parse(SPAN(AT), &at) == ERR_OK);
    CHECK(sock_listen(scene->server, &at, accept_echo, scene, &scene->listener, &why) == ERR_OK);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_start(scene, &scene->clients[i]);
}

static uint64_t scene_end(struct scene *scene)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_gives_up(&scene->clients[i]);
        timer_clear(&scene->clients[i].patience);
        end_free(&scene->clients[i].end);
    }
    for (struct server_end *e = scene->accepted, *next; e; e = next) {
        next = e->next;
        timer_clear(&e->patience);
        end_free(&e->end);
        free(e);
    }
    listener_close(scene->listener);
    EXPECT_EQ(loop_socks(scene->client) + loop_socks(scene->server), 0);
    EXPECT_EQ(loop_timers(scene->client) + loop_timers(scene->server), 0);
    uint64_t digest = sim_world_digest(scene->w);
    EXPECT_EQ(sim_world_run_for(scene->w, 1000 * NS_PER_S), SIM_IDLE);
    EXPECT_EQ(sim_world_connections(scene->w), 0);
    loop_free(scene->client);
    loop_free(scene->server);
    sim_world_free(scene->w);
    return digest;
}

static bool client_is_whole(const struct client *c)
{
    return c->end.ended && c->end.in_used == sizeof c->body && memcmp(c->end.in, c->body, sizeof c->body) == 0;
}

/* What came is a prefix of what was sent, whatever else happened. */
static bool client_is_honest(const struct client *c)
{
    return c->end.in_used <= sizeof c->body && memcmp(c->end.in ? c->end.in : "", c->body, c->end.in_used) == 0;
}

static uint64_t seeds(void)
{
    const char *wanted = getenv("SIM_SEEDS");
    return wanted ? strtoull(wanted, NULL, 10) : 1000;
}

static void print_trace(void *owner, uint64_t now_ns, const char *loop_name, const char *what, uint64_t id, uint64_t number)
{
    printf("# %12.6f ms %-8s %-14s %4" PRIu64 " %" PRIu64 "\n", (double)now_ns / 1e6, loop_name, what, id, number);
}

TEST(without_faults_every_byte_of_every_seed_comes_back)
{
    struct scene scene;
    for (uint64_t seed = 1; seed <= seeds() && !unit_failures; seed++) {
        scene_start(&scene, seed, NULL);
        sim_world_run_for(scene.w, 80 * NS_PER_S);
        for (unsigned i = 0; i < CLIENTS; i++)
            if (!client_is_whole(&scene.clients[i]) || scene.clients[i].end.open)
                UNIT_FAIL("seed %" PRIu64 " client %u: %zu bytes", seed, i, scene.clients[i].end.in_used);
        scene_end(&scene);
    }
}

struct storm_count {
    unsigned whole, refused, reset, given_up;
};

static uint64_t storm(uint64_t seed, struct storm_count *count, sim_trace_fn *trace)
{
    struct scene scene;
    struct sim_options o = sim_options_stormy();
    o.fault_bytes_most = 8000;
    scene_start(&scene, seed, &o);
    sim_world_trace(scene.w, trace, NULL);
    sim_world_run_for(scene.w, 200 * NS_PER_S);
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct client *c = &scene.clients[i];
        count->whole += client_is_whole(c);
        count->refused += c->refused;
        count->reset += c->end.broken;
        count->given_up += c->given_up;
        if (!client_is_honest(c))
            UNIT_FAIL("seed %" PRIu64 " client %u heard what nobody said", seed, i);
        if (client_is_whole(c) + c->refused + c->end.broken + c->given_up != 1)
            UNIT_FAIL("seed %" PRIu64 " client %u has no one end: whole %d, refused %d, broken %d, gave up %d", seed, i, client_is_whole(c),
                      c->refused, c->end.broken, c->given_up);
    }
    return scene_end(&scene);
}

TEST(in_a_storm_of_faults_every_client_gets_all_or_is_told)
{
    struct storm_count count = {0};
    for (uint64_t seed = 1; seed <= seeds() && !unit_failures; seed++)
        storm(seed, &count, NULL);
    printf("# whole %u, refused %u, reset %u, given up %u\n", count.whole, count.refused, count.reset, count.given_up);
    EXPECT(count.whole && count.refused && count.reset && count.given_up);
}

TEST(the_same_seed_is_the_same_run_and_another_is_not)
{
    struct storm_count count = {0};
    uint64_t last = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint64_t digest = storm(seed, &count, NULL);
        void *shift = malloc(seed * 40); /* addresses of memory differ in the second run */
        EXPECT_EQ(storm(seed, &count, NULL), digest);
        free(shift);
        EXPECT(digest != last);
        last = digest;
    }
}

TEST(one_seed_can_be_replayed_with_a_trace)
{
    const char *seed = getenv("SIM_SEED");
    struct storm_count count = {0};
    if (!seed)
        SKIP("set SIM_SEED");
    storm(strtoull(seed, NULL, 10), &count, print_trace);
}

TEST(a_stopped_reader_stops_the_writer_and_both_go_on)
{
    struct scene scene;
    struct sim_options o = sim_options_calm();
    o.buffer_least = o.buffer_most = 300;
    scene_start(&scene, 7, &o);
    for (unsigned i = 0; i < CLIENTS; i++)
        scene.clients[i].end.deaf = true;
    sim_world_run_for(scene.w, 10 * NS_PER_S);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *c = &scene.clients[i];
        EXPECT(c->end.open && c->end.in_used == 0);
        c->end.deaf = false;
        end_progress(&c->end);
    }
    for (struct server_end *e = scene.accepted; e; e = e->next)
        EXPECT(e->end.out_at <= 300);
    sim_world_run_for(scene.w, 60 * NS_PER_S);
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT(client_is_whole(&scene.clients[i]));
    scene_end(&scene);
}

TEST(a_cut_wire_tells_nobody)
{
    struct scene scene;
    scene_start(&scene, 3, NULL);
    sim_world_run_for(scene.w, NS_PER_MS);
    sim_world_cut(scene.server, true);
    sim_world_run_for(scene.w, 20 * NS_PER_S);
    for (unsigned i = 0; i < CLIENTS; i++) {
        EXPECT(scene.clients[i].connecting || scene.clients[i].end.open);
        EXPECT(!scene.clients[i].end.broken && !scene.clients[i].end.ended);
    }
    sim_world_run_for(scene.w, 100 * NS_PER_S);
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT(scene.clients[i].given_up);
    scene_end(&scene);
}

TEST(a_crashed_host_resets_its_peers)
{
    struct scene scene;
    struct sim_options o = sim_options_calm();
    o.buffer_most = o.buffer_least = 300; /* so that none is through yet */
    scene_start(&scene, 4, &o);
    for (unsigned i = 0; i < CLIENTS; i++)
        scene.clients[i].end.deaf = true;
    sim_world_run_for(scene.w, 5 * NS_PER_S);
    for (unsigned i = 0; i < CLIENTS; i++)
        scene.clients[i].end.deaf = false;
    sim_world_reset_all(scene.server);
    sim_world_run_for(scene.w, NS_PER_S);
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT(scene.clients[i].end.broken);
    scene_end(&scene);
}

/* Connecting where nobody listens. */

TEST(a_closed_port_refuses)
{
    struct scene scene;
    scene_start(&scene, 5, NULL);
    listener_close(scene.listener);
    scene.listener = NULL;
    sim_world_run_for(scene.w, 60 * NS_PER_S);
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT(scene.clients[i].refused);
    scene_end(&scene);
}

/* Time, names, files. */

static int64_t rang_wall_us;
static uint64_t rang_ns;
static void on_ring(void *owner)
{
    rang_wall_us = loop_wall_us(owner);
    rang_ns = loop_now_ns(owner);
}

TEST(an_hour_of_simulated_time_is_exact_and_the_wall_clock_may_jump)
{
    struct sim_world *w = sim_world_new(1, NULL);
    struct loop *l = sim_world_loop(w, "clock");
    struct timer t;
    uint64_t start_ns = loop_now_ns(l);
    int64_t start_us = loop_wall_us(l);
    timer_init(&t, l, on_ring, l);
    timer_set_in(&t, 3600 * NS_PER_S);
    sim_world_jump_wall(w, -86400 * 1000000ll);
    EXPECT_EQ(sim_world_run(w, UINT64_MAX), SIM_IDLE);
    EXPECT_EQ(rang_ns - start_ns, 3600 * NS_PER_S);
    EXPECT_EQ(rang_wall_us - start_us, 3600 * 1000000ll - 86400 * 1000000ll);
    EXPECT_EQ(sim_world_run_for(w, NS_PER_S), SIM_IDLE);
    loop_free(l);
    sim_world_free(w);
}

static unsigned resolved;
static void on_resolved(struct resolve *r) { resolved++; }

TEST(names_come_from_the_table)
{
    struct sim_world *w = sim_world_new(1, NULL);
    struct loop *l = sim_world_loop(w, "asker");
    char out[64];
    sim_world_name(w, "provider.test", "10.9.0.1:0");
    sim_world_name(w, "provider.test", "10.9.0.2:0");
    struct resolve known = {.loop = l, .host = "provider.test", .port = 443, .on_done = on_resolved};
    struct resolve unknown = {.loop = l, .host = "nobody.test", .port = 443, .on_done = on_resolved};
    struct resolve given_up = {.loop = l, .host = "provider.test", .port = 443, .on_done = on_resolved};
    resolve_start(&known);
    resolve_start(&unknown);
    resolve_start(&given_up);
    resolve_cancel(&given_up);
    EXPECT_EQ(sim_world_run_for(w, NS_PER_S), SIM_IDLE);
    EXPECT_EQ(resolved, 2);
    EXPECT(known.error == ERR_OK && known.addresses == 2);
    EXPECT_STR(sock_address_text(&known.address[1], out, sizeof out).p, "10.9.0.2:443");
    EXPECT_EQ(unknown.error, ERR_DNS);
    loop_free(l);
    sim_world_free(w);
}

/* A loop turned by hand, as code that knows only loop_run does it. */

TEST(other_hosts_live_while_one_loop_waits)
{
    struct scene scene;
    scene_start(&scene, 9, NULL);
    for (unsigned i = 0; i < CLIENTS; i++)
        for (unsigned turns = 0; turns < 10000 && !scene.clients[i].end.ended; turns++)
            loop_turn(scene.client);
    for (unsigned i = 0; i < CLIENTS; i++)
        EXPECT(client_is_whole(&scene.clients[i]));
    scene_end(&scene);
}

/* TLS over simulated socks. */

static struct tls_context *tls_server, *tls_client;
static struct end tls_ends[2];

static void accept_tls(void *owner, struct sock *s) { end_start(&tls_ends[0], s, tls_server, NULL); }

static void connected_tls(struct sock *s, unsigned events)
{
    if (sock_connect_result(s) == ERR_AGAIN)
        return;
    end_start(&tls_ends[1], s, tls_client, "gateway.test");
    end_progress(&tls_ends[1]);
}

static void tls_echo(uint64_t seed, const char *body, size_t bytes)
{
    struct sim_options o = sim_options_calm();
    o.buffer_least = 700;
    o.buffer_most = 40000;
    o.short_write_ppm = 300000;
    struct sim_world *w = sim_world_new(seed, &o);
    struct loop *server = sim_world_loop(w, "server"), *client = sim_world_loop(w, "client");
    struct listener *ln;
    struct sock_address at;
    struct sock *s;
    const char *why;
    tls_ends[0] = (struct end){.echo = true, .read_most = 5000};
    tls_ends[1] = (struct end){.out = body, .out_bytes = bytes, .finish = true};
    CHECK(sock_address_parse(SPAN(AT), &at) == ERR_OK);
    CHECK(sock_listen(server, &at, accept_tls, NULL, &ln, &why) == ERR_OK);
    CHECK(sock_connect(client, &at, &s) == ERR_OK);
    s->on_ready = connected_tls;
    sim_world_run_for(w, 500 * NS_PER_S);
    if (tls_ends[1].in_used != bytes || memcmp(tls_ends[1].in, body, bytes) != 0 || !tls_ends[1].ended)
        UNIT_FAIL("seed %" PRIu64 ": %zu of %zu bytes, %s", seed, tls_ends[1].in_used, bytes, tls_ends[1].why);
    EXPECT(!tls_ends[0].open && !tls_ends[1].open);
    listener_close(ln);
    end_free(&tls_ends[0]);
    end_free(&tls_ends[1]);
    loop_free(client);
    loop_free(server);
    sim_world_free(w);
}

TEST(tls_survives_every_way_of_cutting_its_bytes)
{
    char stem[] = "/tmp/entente-sim-tls-XXXXXX", cert[64], key[64], why[256];
    int fd = mkstemp(stem);
    REQUIRE(fd >= 0);
    struct test_cert self = test_cert_make(NULL, "gateway.test", "DNS:gateway.test", -60, 10l * 366 * 86400);
    test_cert_write(&self, stem);
    snprintf(cert, sizeof cert, "%s.crt", stem);
    snprintf(key, sizeof key, "%s.key", stem);
    REQUIRE(tls_server_context(&(struct tls_server_options){cert, key, false}, &tls_server, why) == ERR_OK);
    REQUIRE(tls_client_context(&(struct tls_client_options){.verify = false}, &tls_client, why) == ERR_OK);
    size_t bytes = 100001;
    char *body = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        body[i] = (char)(i * 2654435761u >> 11);
    for (uint64_t seed = 1; seed <= seeds() / 10 && !unit_failures; seed++)
        tls_echo(seed, body, bytes);
    free(body);
    tls_context_unref(tls_server);
    tls_context_unref(tls_client);
    test_cert_free(&self);
    remove(cert);
    remove(key);
    remove(stem);
}

UNIT_MAIN
