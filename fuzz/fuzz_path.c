/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole request path: the input is what a client's connection carries to a real worker, with a simulated provider behind it. Byte 0
 * says how the client behaves, byte 1 seeds the world and the cuts; the same two as fuzz_server's, so that its corpus serves here.
 *
 * Checked: everything ends in bounded time, nothing is left (sockets, timers, exchanges, blocks), each exchange has one record, an answer
 * that the client saw is in the records once, and the tokens of the records are those that the provider produced.
 */
#include "gateway_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ENDS_CLEANLY = 1, ENDS_BY_RESET = 2, SMALL_BUFFERS = 4, NEVER_READS = 8, SLOW = 16, DRAINS = 32, PROVIDER_H2 = 64 };
#define SEEN_MAX (4u * MIB)
#define LOST_AFTER_S 1800u

struct path_client {
    struct gateway_world *g;
    struct sock *sock;
    struct timer timer;      /* the next piece */
    const char *bytes;
    size_t n, at, next;      /* next: as far as may be written now */
    unsigned how;
    uint32_t choices;
    bool connected, ended;
    struct buf seen;
};

static size_t choose(struct path_client *c, size_t below)
{
    c->choices = c->choices * 1664525u + 1013904223u;
    return below ? (c->choices >> 8) % below : 0;
}

static void hang_up(struct path_client *c, bool reset)
{
    timer_clear(&c->timer);
    if (c->sock && reset)
        sock_abort(c->sock);
    else if (c->sock)
        sock_close(c->sock);
    c->sock = NULL;
}

static void end_as_chosen(struct path_client *c)
{
    c->ended = true;
    if (c->how & ENDS_BY_RESET)
        hang_up(c, true);
    else if (c->how & ENDS_CLEANLY)
        sock_shutdown_write(c->sock);
}

static void write_on(struct path_client *c)
{
    while (c->at < c->next) {
        struct iovec part = {(void *)(uintptr_t)(c->bytes + c->at), c->next - c->at};
        ssize_t took = sock_writev(c->sock, &part, 1);
        if (took == -ERR_AGAIN)
            return;
        if (took < 0) {
            hang_up(c, false);
            return;
        }
        c->at += (size_t)took;
    }
    if (c->at < c->n)
        timer_set_in(&c->timer, choose(c, c->how & SLOW ? 9000 : 3) * NS_PER_MS);
    else if (!c->ended)
        end_as_chosen(c);
}

static void next_piece(void *owner)
{
    struct path_client *c = owner;
    size_t step = 1 + choose(c, choose(c, 3) ? 40 : c->n);
    c->next = step < c->n - c->next ? c->next + step : c->n;
    write_on(c);
}

static void read_on(struct path_client *c)
{
    char piece[16384];
    ssize_t got;
    while ((got = sock_read(c->sock, piece, sizeof piece)) > 0)
        if (buf_bytes(&c->seen) + (size_t)got <= SEEN_MAX)
            CHECK(buf_append(&c->seen, span_of(piece, (size_t)got)) == ERR_OK);
    if (got != -ERR_AGAIN)
        hang_up(c, false);
}

static void on_ready(struct sock *s, unsigned events)
{
    struct path_client *c = s->owner;
    if (!c->connected) {
        enum err e = sock_connect_result(s);
        CHECK(e == ERR_OK || e == ERR_AGAIN || c->how & DRAINS);
        c->connected = e == ERR_OK;
        if (c->connected)
            next_piece(c);
        else if (e != ERR_AGAIN)
            hang_up(c, false); /* the gateway closed its listener first */
    } else if (events & SOCK_WRITABLE && c->at < c->next) {
        write_on(c);
    }
    if (c->sock && !(c->how & NEVER_READS))
        read_on(c);
}

static void client_open(struct path_client *c, struct gateway_world *g, const uint8_t *data, size_t n)
{
    struct sock_address to = address_of(GATEWAY_ADDRESS);
    *c = (struct path_client){.g = g, .bytes = (const char *)data + 2, .n = n - 2, .how = data[0], .choices = data[1]};
    buf_init(&c->seen, SEEN_MAX);
    timer_init(&c->timer, g->client_loop, next_piece, c);
    CHECK(sock_connect(g->client_loop, &to, &c->sock) == ERR_OK);
    c->sock->owner = c;
    c->sock->on_ready = on_ready;
}

static struct sim_provider *provider_open(struct gateway_world *g)
{
    const char *why = "";
    struct sim_provider_options o = {
        .name = "provider-0", .dialect = dialect_find(SPAN("openai")), .seed = 7, .ttft_ns = 50 * NS_PER_MS, .tokens_per_s = 100, .tokens_per_chunk = 2,
        .output_tokens = 12, .secret = "provider-secret", .listen = address_of(gateway_provider_addresses[0]),
    };
    struct sim_provider *p = sim_provider_new(g->provider_loop, &o);
    CHECK(sim_provider_listen(p, &why) == ERR_OK);
    return p;
}

/* Ids in heads of HTTP/1 that came whole: each stands in exactly one record of an exchange (those of lost attempts have their number behind it). */
static void audit_ids(struct path_client *c)
{
    const struct span mark = SPAN("\r\nx-entente-request-id: ");
    struct span rest = buf_span(&c->seen), records = gateway_records(c->g);
    for (ptrdiff_t at; (at = span_find_span(rest, mark)) >= 0;) {
        rest = span_from(rest, (size_t)at + mark.n);
        ptrdiff_t end = span_find(rest, '\r');
        char own[RECORD_ID_BYTES + 16];
        int n = snprintf(own, sizeof own, "%.*s\",\"time\":", SPAN_ARG(span_to(rest, end > 0 && end < RECORD_ID_BYTES ? (size_t)end : 0)));
        if (end > 0)
            CHECK(gateway_lines_with(records, span_of(own, (size_t)n)) == 1);
    }
}

/* What the records say was used is what the provider says it made, when none of its answers was cut. */
static void audit_tokens(struct gateway_world *g, const struct sim_provider *p)
{
    struct sim_count count = sim_provider_count(p);
    struct span rest = gateway_records(g);
    int64_t output = 0;
    CHECK(count.requests <= stat_read(&worker_exchange_stats(g->worker)->retries) + gateway_lines_with(rest, SPAN("\"provider-0\"")));
    while (rest.n) {
        struct span line = span_cut(&rest, '\n');
        int64_t n;
        output += line.n && json_find_i64(line, "usage.output", &n) ? n : 0;
        output += line.n && json_find_i64(line, "usage.reasoning", &n) ? n : 0;
    }
    if (!count.broken && !stat_read(&worker_exchange_stats(g->worker)->outcomes[RECORD_ABANDONED]))
        CHECK(output == (int64_t)count.output_tokens);
}

static struct sim_options path_weather(unsigned how)
{
    struct sim_options o = sim_options_calm();
    o.buffer_least = how & SMALL_BUFFERS ? 64 : 4 * KIB;
    o.buffer_most = how & SMALL_BUFFERS ? 2 * KIB : 256 * KIB;
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct gateway_world g;
    struct path_client c;
    if (n < 3)
        return 0;
    struct sim_options weather = path_weather(data[0]);
    gateway_world_open(&g, data[1], &weather, 1, data[0] & PROVIDER_H2);
    struct sim_provider *provider = provider_open(&g);
    client_open(&c, &g, data, n);
    if (data[0] & DRAINS) {
        sim_world_run_for(g.world, choose(&c, 200) * NS_PER_MS);
        worker_drain(g.worker);
    }
    sim_world_run_for(g.world, 10 * NS_PER_MS); /* until it has connected */
    gateway_run_until(&g, gateway_is_idle, &g, LOST_AFTER_S);
    CHECK(worker_is_idle(g.worker)); /* no client keeps a connection for ever */
    hang_up(&c, false);
    audit_ids(&c);
    audit_tokens(&g, provider);
    timer_clear(&c.timer);
    buf_fini(&c.seen);
    sim_provider_free(provider);
    gateway_world_close(&g);
    return 0;
}
