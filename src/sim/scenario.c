/* SPDX-License-Identifier: Apache-2.0
 *
 * The run: providers, clients, the passing of time. The clients keep what they saw in plain structs, for the audit.
 */
#include "sim/scenario_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/block.h"

#define LOST_AFTER_NS (1800 * NS_PER_S) /* virtual: a call that has not ended by then hangs */

void complain(struct scenario *s, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    s->result.violations++;
    if (buf_printf(s->complaints, "seed %llu: %s\n", (unsigned long long)s->seed, line) != ERR_OK)
        s->result.violations++;
}

/* ---- providers ---- */

static struct sim_fault draw_fault(struct scenario *s)
{
    static const enum sim_fault_kind kinds[] = {
        SIM_FAULT_REFUSE, SIM_FAULT_RESET, SIM_FAULT_CLOSE, SIM_FAULT_STALL, SIM_FAULT_HANG, SIM_FAULT_RATE, SIM_FAULT_QUOTA, SIM_FAULT_STATUS,
        SIM_FAULT_HTML, SIM_FAULT_BROKEN_JSON, SIM_FAULT_NO_DONE, SIM_FAULT_NO_USAGE, SIM_FAULT_ERROR_EVENT, SIM_FAULT_ERROR_IN_200, SIM_FAULT_SLOW,
    };
    return (struct sim_fault){
        .kind = kinds[draw(s, COUNT_OF(kinds))],
        .probability_ppm = (uint32_t)draw(s, 300000),
        .bytes = draw(s, 3000),
        .delay_ns = (1 + draw(s, 20000)) * NS_PER_MS,
        .status = (int)(500 + draw(s, 4)),
    };
}

static void make_provider(struct scenario *s, unsigned i)
{
    static const char *const names[PROVIDERS] = {"provider-0", "provider-1", "provider-2"};
    char text[32];
    const char *why = "";
    struct sim_provider_options o = {
        .name = names[i], .dialect = dialect_find(i == 1 ? SPAN("azure-openai") : SPAN("openai")), .seed = sim_world_random(s->world),
        .ttft_ns = draw(s, 500) * NS_PER_MS, .ttft_spread_ns = draw(s, 100) * NS_PER_MS, .tokens_per_s = chance(s, 20) ? 0 : (double)(20 + draw(s, 500)),
        .tokens_per_chunk = (unsigned)(1 + draw(s, 4)), .output_tokens = -1, .secret = "provider-secret", .faults = s->fault[i],
        .faults_n = s->calm ? 0 : (unsigned)draw(s, 4),
    };
    for (unsigned f = 0; f < o.faults_n; f++)
        s->fault[i][f] = draw_fault(s);
    s->provider_loop[i] = sim_world_loop(s->world, names[i]);
    int n = snprintf(text, sizeof text, "10.1.0.%u:80", i + 1);
    CHECK(sock_address_parse(span_of(text, (size_t)n), &o.listen) == ERR_OK);
    s->provider[i] = sim_provider_new(s->provider_loop[i], &o);
    CHECK(sim_provider_listen(s->provider[i], &why) == ERR_OK);
    sim_world_name(s->world, names[i], text);
}

/* ---- clients ---- */

static void leave_or_go_on(struct sim_call *c)
{
    if (!c->leaves_after || buf_bytes(&c->answer) < c->leaves_after || c->left)
        return;
    c->left = true;
    call_cancel(c->call);
    c->call = NULL;
    timer_clear(&c->timer);
}

static void on_head(void *owner, struct call *call, const struct http_head *head)
{
    struct sim_call *c = owner;
    struct span id = http_header(head, SPAN("x-entente-request-id"));
    c->status = head->status;
    if (id.n < sizeof c->id)
        memcpy(c->id, id.n ? id.p : "", id.n);
}

static void on_body(void *owner, struct call *call, struct span piece)
{
    struct sim_call *c = owner;
    CHECK(buf_append(&c->answer, piece) == ERR_OK);
    if (chance(c->scenario, 5) && !c->left) { /* a reader that stops for a while */
        call_pause(call);
        timer_set_in(&c->timer, (1 + draw(c->scenario, 3000)) * NS_PER_MS);
    }
    leave_or_go_on(c);
}

static void on_end(void *owner, struct call *call)
{
    struct sim_call *c = owner;
    c->ended = true;
    c->call = NULL;
    timer_clear(&c->timer);
}

static void on_fail(void *owner, struct call *call, enum err e, const char *why)
{
    struct sim_call *c = owner;
    c->failed = true;
    c->error = e;
    c->call = NULL;
    timer_clear(&c->timer);
}

static const struct call_handler client_handler = {.on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};

static void on_timer(void *owner)
{
    struct sim_call *c = owner;
    if (c->call)
        call_resume(c->call);
    else
        c->call = call_start(c->origin, &c->options);
}

static void write_body(struct scenario *s, struct sim_call *c)
{
    unsigned what = (unsigned)draw(s, 10);
    c->stream = chance(s, 60) && what < 8;
    c->text_wanted = what < 8;
    c->target = what < 6 ? SPAN("/v1/chat/completions") : what < 8 ? SPAN("/v1/completions") : SPAN("/v1/embeddings");
    const char *input = what < 6   ? "\"messages\":[{\"role\":\"user\",\"content\":\"Tell me about agreements, please.\"}]"
                        : what < 8 ? "\"prompt\":\"Once upon a time\""
                                   : "\"input\":[\"a text\",\"another\"]";
    enum err e = buf_printf(&c->body, "{\"model\":\"gpt-4o\",%s%s", input, c->stream ? ",\"stream\":true" : "");
    if (!e && what < 8)
        e = buf_printf(&c->body, ",\"max_tokens\":%llu", (unsigned long long)(1 + draw(s, 200)));
    if (!e && c->stream && chance(s, 50))
        e = buf_printf(&c->body, ",\"stream_options\":{\"include_usage\":%s}", chance(s, 70) ? "true" : "false");
    if (!e)
        e = buf_append(&c->body, c->bad_json ? SPAN("") : SPAN("}"));
    CHECK(e == ERR_OK);
}

static void make_call(struct scenario *s, unsigned i, struct origin *origin, struct loop *l)
{
    struct sim_call *c = &s->call[i];
    c->scenario = s;
    c->origin = origin;
    timer_init(&c->timer, l, on_timer, c);
    buf_init(&c->body, MIB);
    buf_init(&c->answer, 16u * MIB);
    c->bad_key = chance(s, 5);
    c->bad_json = chance(s, 5);
    c->leaves_after = !s->calm && chance(s, 15) ? 1 + (unsigned)draw(s, 4000) : 0;
    write_body(s, c);
    c->headers[0] = (struct header){SPAN("authorization"), c->bad_key ? SPAN("Bearer wrong") : SPAN("Bearer client-secret")};
    c->headers[1] = (struct header){SPAN("content-type"), SPAN("application/json")};
    c->body_slice = (struct iovec){(void *)(uintptr_t)buf_span(&c->body).p, buf_bytes(&c->body)};
    c->options = (struct call_options){
        .method = SPAN("POST"), .target = c->target, .headers = c->headers, .headers_n = 2, .body = &c->body_slice, .body_n = 1,
        .first_byte_timeout_ns = 600 * NS_PER_S, .idle_timeout_ns = 600 * NS_PER_S, .handler = &client_handler, .owner = c,
    };
    timer_set_in(&c->timer, draw(s, 20000) * NS_PER_MS);
}

static void make_clients(struct scenario *s)
{
    s->calls = 6 + (unsigned)draw(s, CALLS_MAX - 6);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct origin_options o = {.host = "gateway", .port = 80, .http = chance(s, 40) ? ORIGIN_H2 : ORIGIN_H1, .connect_timeout_ns = 60 * NS_PER_S};
        s->client_loop[i] = sim_world_loop(s->world, i ? "client-1" : "client-0");
        s->client[i] = client_new(s->client_loop[i]);
        struct origin *origin = client_origin(s->client[i], &o);
        for (unsigned k = i; k < s->calls; k += CLIENTS)
            make_call(s, k, origin, s->client_loop[i]);
    }
}

static bool all_over(const struct scenario *s)
{
    for (unsigned i = 0; i < s->calls; i++)
        if (!s->call[i].ended && !s->call[i].failed && !s->call[i].left)
            return false;
    return worker_is_idle(s->worker) || stat_read(&worker_exchange_stats(s->worker)->under_way) == 0;
}

/* ---- the run ---- */

static void audit_leftovers(struct scenario *s, struct loop *l, const char *name)
{
    if (loop_socks(l) || loop_timers(l))
        complain(s, "%s: %u socks and %u timers are left", name, loop_socks(l), loop_timers(l));
}

static void free_calls(struct scenario *s)
{
    for (unsigned i = 0; i < s->calls; i++) {
        timer_clear(&s->call[i].timer);
        buf_fini(&s->call[i].body);
        buf_fini(&s->call[i].answer);
    }
}

/* Client by client and provider by provider, so that the books are audited while what both saw is still there. */
static void take_down(struct scenario *s)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        client_free(s->client[i]);
    gateway_take_down(s);
    if (!s->hopeless)
        audit(s);
    free_calls(s);
    for (unsigned i = 0; i < PROVIDERS; i++)
        sim_provider_free(s->provider[i]);
    sim_world_run_for(s->world, 300 * NS_PER_S);
    sim_books_fini(&s->books);
    catalog_unref(s->catalog);
    if (!s->hopeless)
        audit_leftovers(s, s->gateway_loop, "gateway");
    for (unsigned i = 0; i < PROVIDERS; i++)
        audit_leftovers(s, s->provider_loop[i], "provider");
    if (sim_world_connections(s->world))
        complain(s, "%u connections are left", sim_world_connections(s->world));
}

static void free_loops(struct scenario *s)
{
    if (!s->hopeless)
        loop_free(s->gateway_loop);
    loop_free(s->fate.loop);
    for (unsigned i = 0; i < PROVIDERS; i++)
        loop_free(s->provider_loop[i]);
    for (unsigned i = 0; i < CLIENTS; i++)
        loop_free(s->client_loop[i]);
}

static void trace(void *owner, uint64_t now_ns, const char *loop_name, const char *what, uint64_t id, uint64_t number)
{
    fprintf(stderr, "%12.6f %-12s %-16s %llu %llu\n", (double)now_ns / 1e9, loop_name, what, (unsigned long long)id, (unsigned long long)number);
}

struct scenario_result scenario_run(uint64_t seed, bool verbose, struct buf *complaints)
{
    struct scenario *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    size_t blocks_before = block_bytes_in_use();
    s->seed = seed;
    s->complaints = complaints;
    s->calm = seed % 4 == 0;
    struct sim_options options = s->calm ? sim_options_calm() : sim_options_stormy();
    s->world = sim_world_new(seed, &options);
    if (verbose)
        sim_world_trace(s->world, trace, NULL);
    for (unsigned i = 0; i < PROVIDERS; i++)
        make_provider(s, i);
    gateway_make(s);
    make_clients(s);
    for (uint64_t ns = 0; ns < LOST_AFTER_NS && !s->hopeless && !all_over(s); ns += NS_PER_S / 4) {
        sim_world_run_for(s->world, NS_PER_S / 4);
        gateway_tend(s);
    }
    take_down(s);
    s->result.digest ^= sim_world_digest(s->world);
    free_loops(s);
    sim_world_free(s->world);
    size_t blocks_after = block_bytes_in_use();
    if (blocks_after != blocks_before + 0 && blocks_after > blocks_before + buf_bytes(complaints) + 4096)
        complain(s, "%zu bytes of blocks are left", blocks_after - blocks_before);
    struct scenario_result result = s->result;
    free(s);
    return result;
}
