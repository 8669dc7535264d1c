/* SPDX-License-Identifier: Apache-2.0
 *
 * The scenario and its audit; see scenario.h for what is audited. The clients keep what they saw in plain structs, and the audit reads the
 * ledger's file as anyone could, so that neither trusts the code it judges.
 */
#include "sim/scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/block.h"
#include "base/json.h"
#include "base/log.h"
#include "http/sse.h"
#include "neutral/tokenizer.h"
#include "serve/worker.h"
#include "sim/provider.h"
#include "sim/sim_books.h"
#include "sim/sim_net.h"

#define PROVIDERS 3u
#define CLIENTS 2u
#define CALLS_MAX 24u
#define LOST_AFTER_NS (1800 * NS_PER_S) /* virtual: a call that has not ended by then hangs */

/* What one call asked and saw. */
struct sim_call {
    struct scenario *scenario;
    struct call *call;
    struct timer timer;         /* when to ask; then when to resume or to leave */
    struct origin *origin;
    struct buf body;            /* of the request */
    struct iovec body_slice;
    struct header headers[2];
    struct span target;
    struct call_options options;
    bool stream, bad_key, bad_json, text_wanted;
    unsigned leaves_after;      /* bytes of the answer after which the client leaves; 0: it stays */
    /* what came */
    int status;
    char id[RECORD_ID_BYTES];
    struct buf answer;          /* the body as received */
    bool ended, failed, left;
    enum err error;
};

struct scenario {
    uint64_t seed;
    struct sim_world *world;
    struct buf *complaints;
    struct scenario_result result;
    bool calm;                  /* nothing was asked to fail */
    struct loop *gateway_loop, *provider_loop[PROVIDERS], *client_loop[CLIENTS];
    struct worker *worker, *workers[1];
    struct sim_books books;
    struct catalog *catalog;
    struct gateway_view view;
    bool draining;
    uint64_t generation;
    struct sim_provider *provider[PROVIDERS];
    struct sim_fault fault[PROVIDERS][3];
    struct client *client[CLIENTS];
    struct sim_call call[CALLS_MAX];
    unsigned calls;
};

static void complain(struct scenario *s, const char *format, ...) PRINTF_LIKE(2, 3);
static void complain(struct scenario *s, const char *format, ...)
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

static uint64_t draw(struct scenario *s, uint64_t below) { return sim_world_random(s->world) % below; }
static bool chance(struct scenario *s, unsigned percent) { return draw(s, 100) < percent; }

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

/* ---- the gateway ---- */

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
    c->keys->department = c->keys->party = "";
    digest_sha256(SPAN("client-secret"), c->keys->digest);
    c->models_n = c->keys_n = 1;
    c->retry = (struct retry_policy){3, 20, 1000, 100 * NS_PER_MS, 2 * NS_PER_S};
    c->ejection = (struct ejection_policy){5, 5 * NS_PER_S, 300 * NS_PER_S, 10 * NS_PER_S, 50};
    catalog_seal(c);
    return c;
}

static void make_gateway(struct scenario *s)
{
    const char *why = "";
    struct sock_address at;
    s->gateway_loop = sim_world_loop(s->world, "gateway");
    s->catalog = make_catalog(s);
    sim_books_open(&s->books, s->gateway_loop);
    s->generation = 1;
    s->view = (struct gateway_view){.workers = s->workers, .workers_n = 1, .ledger = s->books.ledger, .draining = &s->draining, .generation = &s->generation};
    struct worker_options o = {
        .server = {.connections_max = 100, .body_max = MIB, .head_timeout_ns = 20 * NS_PER_S, .body_timeout_ns = 60 * NS_PER_S,
                   .idle_timeout_ns = 60 * NS_PER_S, .write_timeout_ns = 60 * NS_PER_S, .body_bytes_max = 64u * MIB, .server_name = "entente"},
        .exchange = {.requests_max = 100, .answer_max = MIB, .memory_max = 256u * MIB, .ping_ns = 5 * NS_PER_S},
        .catalog = s->catalog, .ledger = s->books.ledger, .view = &s->view,
    };
    s->worker = s->workers[0] = worker_new(s->gateway_loop, &o);
    CHECK(sock_address_parse(SPAN("10.2.0.1:80"), &at) == ERR_OK);
    CHECK(worker_listen(s->worker, &at, NULL, &why) == ERR_OK);
    sim_world_name(s->world, "gateway", "10.2.0.1:80");
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

/* ---- the audit ---- */

/* The text that a client holds, counted; and how its stream ended. */
struct seen {
    int64_t tokens;
    bool done, error, is_answer;
};

static void count_text(struct arena *a, struct span data, const char *path, struct token_counter *counter)
{
    struct span text;
    if (json_find_string(a, data, path, &text))
        token_counter_feed(counter, text);
}

/* choices[0] of a document as one span: json_find speaks only of objects. */
static struct span first_choice(struct span document)
{
    struct json j;
    struct span item = SPAN_NONE, choices = json_find(document, "choices");
    json_init(&j, choices);
    if (choices.n && json_enter_array(&j) == ERR_OK && json_next_item(&j) && json_skip(&j, &item) == ERR_OK)
        return item;
    return SPAN_NONE;
}

static void see_event(struct arena *a, struct span data, struct seen *seen, struct token_counter *counter)
{
    struct span choice = first_choice(data);
    seen->done = seen->done || span_eq(data, SPAN("[DONE]"));
    seen->error = seen->error || json_find(data, "error").n;
    if (!choice.n)
        return;
    count_text(a, choice, "delta.content", counter);
    count_text(a, choice, "text", counter);
    count_text(a, choice, "message.content", counter);
}

static struct seen see(const struct sim_call *c)
{
    struct seen seen = {0};
    struct token_counter counter;
    struct arena arena;
    struct sse sse;
    struct sse_event event;
    arena_init(&arena, 1024);
    token_counter_init(&counter, TOKENIZER_O200K);
    if (c->stream && c->status == 200) {
        sse_init(&sse, LIMIT_EVENT_BYTES);
        sse_feed(&sse, buf_span(&c->answer));
        while (sse_next(&sse, &event) == ERR_OK)
            if (event.has_data)
                see_event(&arena, event.data, &seen, &counter);
        sse_fini(&sse);
    } else {
        see_event(&arena, buf_span(&c->answer), &seen, &counter);
        seen.is_answer = c->ended && c->status == 200;
    }
    seen.tokens = (int64_t)token_counter_finish(&counter);
    seen.is_answer = seen.is_answer || (c->ended && seen.done);
    arena_fini(&arena);
    return seen;
}

/* The exchange's own record, and not one of an attempt that was used and lost. */
static bool is_exchange(struct span line) { return line.n && !json_find(line, "attempt").n; }

static struct span record_of(struct span log, const char *id, unsigned *ret_n)
{
    struct span found = SPAN_NONE, rest = log;
    *ret_n = 0;
    while (rest.n) {
        struct span line = span_cut(&rest, '\n'), value = json_find(line, "id");
        if (is_exchange(line) && value.n == strlen(id) + 2 && memcmp(value.p + 1, id, value.n - 2) == 0) {
            found = line;
            ++*ret_n;
        }
    }
    return found;
}

static bool says(struct span record, const char *path, const char *word)
{
    struct span value = json_find(record, path);
    return value.n == strlen(word) + 2 && memcmp(value.p + 1, word, value.n - 2) == 0;
}

static void audit_tokens(struct scenario *s, const struct sim_call *c, struct span record, const struct seen *seen)
{
    int64_t output = -1, reasoning = 0;
    bool known = json_find_i64(record, "usage.output", &output);
    (void)json_find_i64(record, "usage.reasoning", &reasoning);
    if (!c->text_wanted || c->status != 200)
        return;
    if (says(record, "outcome", "answered") && seen->is_answer && (!known || output + reasoning != seen->tokens))
        complain(s, "%s: the client holds %lld tokens, the record says %lld", c->id, (long long)seen->tokens, (long long)(output + reasoning));
    if (!says(record, "outcome", "answered") && known && says(record, "usage.source", "estimated") && output < seen->tokens)
        complain(s, "%s: the client holds %lld tokens, the estimate says only %lld", c->id, (long long)seen->tokens, (long long)output);
}

static void audit_call(struct scenario *s, const struct sim_call *c, struct span log)
{
    unsigned n;
    struct seen seen = see(c);
    s->result.asked++;
    if (!c->ended && !c->failed && !c->left)
        complain(s, "a call never ended (status %d, %zu bytes)", c->status, buf_bytes(&c->answer));
    if (c->ended && c->stream && c->status == 200 && !seen.done && !seen.error)
        complain(s, "%s: a stream ended cleanly without [DONE] and without an error", c->id);
    if (seen.done && seen.error)
        complain(s, "%s: [DONE] after an error", c->id);
    if (!c->id[0])
        return; /* the head never came, or the HTTP layer refused */
    struct span record = record_of(log, c->id, &n);
    if (n != 1) {
        complain(s, "%s: %u records", c->id, n);
        return;
    }
    if (seen.is_answer && !says(record, "outcome", "answered"))
        complain(s, "%s: the client has the whole answer, the record is %.*s", c->id, SPAN_ARG(span_to(record, 200)));
    audit_tokens(s, c, record, &seen);
}

static void count_outcomes(struct scenario *s)
{
    const struct exchange_stats *x = worker_exchange_stats(s->worker);
    s->result.answered = (unsigned)stat_read(&x->outcomes[RECORD_ANSWERED]);
    s->result.refused = (unsigned)stat_read(&x->outcomes[RECORD_REFUSED]);
    s->result.failed = (unsigned)stat_read(&x->outcomes[RECORD_FAILED]);
    s->result.broken = (unsigned)stat_read(&x->outcomes[RECORD_BROKEN]);
    s->result.abandoned = (unsigned)stat_read(&x->outcomes[RECORD_ABANDONED]);
}

static unsigned outcomes(const struct scenario_result *r) { return r->answered + r->refused + r->failed + r->broken + r->abandoned; }

/* Sums over all records, by another way than the gateway's own: reading its log. */
static void audit_sums(struct scenario *s, struct span log)
{
    struct span rest = log;
    unsigned lines = 0;
    int64_t input = 0, output = 0, n;
    while (rest.n) {
        struct span line = span_cut(&rest, '\n');
        lines += is_exchange(line);
        for (int i = 0; i < 2; i++) {
            static const char *const paths[2][2] = {{"usage.input", "usage.cache_read"}, {"usage.output", "usage.reasoning"}};
            for (int k = 0; k < 2; k++)
                if (line.n && json_find_i64(line, paths[i][k], &n))
                    *(i ? &output : &input) += n;
        }
    }
    if (lines != outcomes(&s->result))
        complain(s, "%u records in the ledger, %u exchanges", lines, outcomes(&s->result));
    int64_t made_input = 0, made_output = 0;
    for (unsigned i = 0; i < PROVIDERS; i++) {
        struct sim_count count = sim_provider_count(s->provider[i]);
        made_input += (int64_t)count.input_tokens;
        made_output += (int64_t)count.output_tokens;
    }
    if (s->calm && (made_input != input || made_output != output))
        complain(s, "records say %lld in, %lld out; the providers %lld in, %lld out", (long long)input, (long long)output, (long long)made_input, (long long)made_output);
}

static void audit(struct scenario *s)
{
    struct buf lines;
    buf_init(&lines, 64u * MIB);
    if (sim_books_read(&s->books, &lines) != ERR_OK)
        complain(s, "the ledger cannot be read");
    count_outcomes(s);
    for (unsigned i = 0; i < s->calls; i++)
        audit_call(s, &s->call[i], buf_span(&lines));
    audit_sums(s, buf_span(&lines));
    buf_fini(&lines);
}

static void audit_leftovers(struct scenario *s, struct loop *l, const char *name)
{
    if (loop_socks(l) || loop_timers(l))
        complain(s, "%s: %u socks and %u timers are left", name, loop_socks(l), loop_timers(l));
}

/* ---- the run ---- */

static void free_calls(struct scenario *s)
{
    for (unsigned i = 0; i < s->calls; i++) {
        timer_clear(&s->call[i].timer);
        buf_fini(&s->call[i].body);
        buf_fini(&s->call[i].answer);
    }
}

static void take_down(struct scenario *s)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        client_free(s->client[i]);
    free_calls(s);
    s->draining = true;
    worker_drain(s->worker);
    sim_world_run_for(s->world, 300 * NS_PER_S);
    worker_free(s->worker);
    for (unsigned i = 0; i < PROVIDERS; i++)
        sim_provider_free(s->provider[i]);
    sim_world_run_for(s->world, 300 * NS_PER_S);
    sim_books_close(&s->books);
    catalog_unref(s->catalog);
    audit_leftovers(s, s->gateway_loop, "gateway");
    for (unsigned i = 0; i < PROVIDERS; i++)
        audit_leftovers(s, s->provider_loop[i], "provider");
    if (sim_world_connections(s->world))
        complain(s, "%u connections are left", sim_world_connections(s->world));
}

static void free_loops(struct scenario *s)
{
    loop_free(s->gateway_loop);
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
    make_gateway(s);
    make_clients(s);
    for (uint64_t ns = 0; ns < LOST_AFTER_NS && !all_over(s); ns += NS_PER_S)
        sim_world_run_for(s->world, NS_PER_S);
    audit(s);
    take_down(s);
    s->result.digest = sim_world_digest(s->world);
    free_loops(s);
    sim_world_free(s->world);
    size_t blocks_after = block_bytes_in_use();
    if (blocks_after != blocks_before + 0 && blocks_after > blocks_before + buf_bytes(complaints) + 4096)
        complain(s, "%zu bytes of blocks are left", blocks_after - blocks_before);
    struct scenario_result result = s->result;
    free(s);
    return result;
}
