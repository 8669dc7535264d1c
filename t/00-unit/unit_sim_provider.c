/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulated provider: that its own count is right to the token, also of answers that broke at any byte, since the gateway's books are
 * measured against it; and that what it answers is what was asked for.
 */
#include "unit.h"

#include "base/json.h"
#include "http/client.h"
#include "http/sse.h"
#include "io/backend.h"
#include "neutral/count.h"
#include "sim/provider.h"
#include "sim/schema.h"
#include "sim/words.h"

/* ---- a provider and a client on one loop ---- */

struct rig {
    struct loop *loop;
    struct sim_provider *provider;
    struct client *client;
    struct origin *origin;
    /* the last answer */
    struct buf body;
    int status;
    enum err failed;
    bool over;
    size_t kill_after; /* bytes of the body; 0: never */
};

static void on_head(void *owner, struct call *c, const struct http_head *head) { ((struct rig *)owner)->status = head->status; }

static void on_body(void *owner, struct call *c, struct span piece)
{
    struct rig *r = owner;
    EXPECT(buf_append(&r->body, piece) == ERR_OK);
    if (r->kill_after && buf_bytes(&r->body) >= r->kill_after)
        sim_provider_kill(r->provider);
}

static void on_end(void *owner, struct call *c) { ((struct rig *)owner)->over = true; }

static void on_fail(void *owner, struct call *c, enum err e, const char *why)
{
    struct rig *r = owner;
    r->failed = e;
    r->over = true;
}

static const struct call_handler handler = {.on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};

static struct sim_provider_options plain_options(void)
{
    struct sim_provider_options o = {.dialect = dialect_find(SPAN("openai")), .seed = 7, .output_tokens = -1};
    CHECK(sock_address_parse(SPAN("127.0.0.1:0"), &o.listen) == ERR_OK);
    return o;
}

static void rig_open(struct rig *r, const struct sim_provider_options *o)
{
    const char *why = "";
    char text[64];
    *r = (struct rig){.loop = loop_new(io_epoll(), NULL)};
    CHECK(r->loop);
    r->provider = sim_provider_new(r->loop, o);
    CHECK(sim_provider_listen(r->provider, &why) == ERR_OK);
    struct sock_address at = sim_provider_address(r->provider);
    struct span shown = sock_address_text(&at, text, sizeof text);
    uint64_t port = 0;
    CHECK(span_to_u64(span_from(shown, (size_t)span_find(shown, ':') + 1), &port));
    r->client = client_new(r->loop);
    r->origin = client_origin(r->client, &(struct origin_options){.host = "127.0.0.1", .port = (uint16_t)port, .http = ORIGIN_H1});
    buf_init(&r->body, 64 * MIB);
}

static void rig_close(struct rig *r)
{
    client_free(r->client);
    sim_provider_free(r->provider);
    loop_free(r->loop);
    buf_fini(&r->body);
}

static void ask_at(struct rig *r, const char *method, const char *path, const char *body, const struct header *headers, unsigned n)
{
    struct iovec slice = {(void *)(uintptr_t)body, strlen(body)};
    struct call_options o = {.method = span_str(method), .target = span_str(path), .headers = headers, .headers_n = n, .body = &slice,
                             .body_n = slice.iov_len ? 1 : 0, .total_timeout_ns = 20 * NS_PER_S, .handler = &handler, .owner = r};
    buf_clear(&r->body);
    r->over = false;
    r->failed = ERR_OK;
    r->status = 0;
    REQUIRE(call_start(r->origin, &o) != NULL);
    while (!r->over)
        loop_turn(r->loop);
}

static void ask(struct rig *r, const char *path, const char *body) { ask_at(r, "POST", path, body, NULL, 0); }

#define CHAT "/v1/chat/completions"

/* ---- reading a stream as a client of the dialect would ---- */

struct heard {
    struct arena arena;
    struct buf text, arguments;
    struct span name;
    struct usage usage;
    unsigned finishes;
    enum neutral_stop stop;
    bool done, failed;
};

static void hear_events(struct heard *h, const struct neutral_event *e)
{
    for (; e; e = e->next) {
        if (e->kind == NEUTRAL_EVENT_DELTA)
            EXPECT(json_unescape_to(e->part_kind == NEUTRAL_TOOL_CALL ? &h->arguments : &h->text, e->text) == ERR_OK);
        if (e->kind == NEUTRAL_EVENT_PART_START && e->part_kind == NEUTRAL_TOOL_CALL)
            h->name = e->call.name;
        if (e->kind == NEUTRAL_EVENT_FINISH) {
            h->finishes++;
            h->stop = e->finish.stop;
        }
        if (e->kind == NEUTRAL_EVENT_USAGE)
            h->usage = e->usage.usage;
        h->done = h->done || e->kind == NEUTRAL_EVENT_END;
        h->failed = h->failed || e->kind == NEUTRAL_EVENT_ERROR;
    }
}

static void hear(struct heard *h, struct span body, enum api api)
{
    struct neutral_reader reader;
    struct sse sse;
    struct sse_event event;
    *h = (struct heard){.done = false};
    arena_init(&h->arena, 4096);
    buf_init(&h->text, 16 * MIB);
    buf_init(&h->arguments, 16 * MIB);
    usage_init(&h->usage);
    neutral_reader_init(&reader, &h->arena);
    sse_init(&sse, MIB);
    sse_feed(&sse, body);
    while (sse_next(&sse, &event) == ERR_OK) {
        struct neutral_event_list list;
        neutral_event_list_init(&list);
        if (event.has_data && dialect_find(SPAN("openai"))->read_event(&h->arena, api, arena_dup(&h->arena, event.data), &reader, &list) == ERR_OK)
            hear_events(h, list.first);
    }
    sse_fini(&sse);
}

static void heard_fini(struct heard *h)
{
    buf_fini(&h->text);
    buf_fini(&h->arguments);
    arena_fini(&h->arena);
}

static int64_t tokens_of(struct span text) { return (int64_t)tokenizer_count(TOKENIZER_O200K, text); }

/* ---- words ---- */

TEST(a_text_cut_between_any_two_pieces_has_as_many_tokens_as_pieces)
{
    for (int encoding = 0; encoding < 2; encoding++)
        for (uint64_t seed = 0; seed < 40; seed++) {
            struct buf b;
            struct sim_words w;
            buf_init(&b, MIB);
            sim_words_init(&w, seed);
            for (uint64_t n = 1; n <= 120; n++) {
                REQUIRE(buf_append(&b, sim_words_next(&w)) == ERR_OK);
                EXPECT_EQ(tokenizer_count((enum tokenizer_encoding)encoding, buf_span(&b)), n);
            }
            size_t at = 0, pieces = 0;
            for (struct span text = buf_span(&b); at < text.n; pieces++)
                at = sim_words_end(text, at);
            EXPECT_EQ(pieces, 120);
            buf_fini(&b);
        }
}

/* ---- whole answers and streams ---- */

TEST(an_answer_has_the_tokens_that_were_asked_for_and_says_so)
{
    struct rig r;
    struct heard h;
    struct sim_provider_options o = plain_options();
    rig_open(&r, &o);
    ask(&r, CHAT, "{\"model\":\"gpt-4o\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"messages\":[{\"role\":\"user\",\"content\":\"say exactly 77 tokens\"}]}");
    EXPECT_EQ(r.status, 200);
    hear(&h, buf_span(&r.body), API_OPENAI_CHAT);
    EXPECT_EQ(tokens_of(buf_span(&h.text)), 77);
    EXPECT_EQ(h.usage.count[USAGE_OUTPUT], 77);
    EXPECT_EQ(h.usage.count[USAGE_INPUT], 7 + tokens_of(SPAN("say exactly 77 tokens")));
    EXPECT_EQ(h.stop, NEUTRAL_STOP_END);
    EXPECT(h.done);
    heard_fini(&h);
    struct sim_count c = sim_provider_count(r.provider);
    EXPECT_EQ(c.answered, 1);
    EXPECT_EQ(c.output_tokens, 77);
    EXPECT_EQ(c.broken + c.refused, 0);
    rig_close(&r);
}

TEST(max_tokens_ends_an_answer_with_length_at_exactly_that_many)
{
    struct rig r;
    struct sim_provider_options o = plain_options();
    o.output_tokens = 1000000;
    rig_open(&r, &o);
    ask(&r, CHAT, "{\"model\":\"gpt-4\",\"max_tokens\":33,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}");
    int64_t n;
    EXPECT(json_find_i64(buf_span(&r.body), "usage.completion_tokens", &n) && n == 33);
    EXPECT(span_find_span(buf_span(&r.body), SPAN("\"finish_reason\":\"length\"")) > 0);
    EXPECT_EQ(sim_provider_count(r.provider).output_tokens, 33);
    rig_close(&r);
}

TEST(the_same_request_and_seed_give_the_same_words)
{
    static const char body[] = "{\"model\":\"gpt-4o\",\"stream\":true,\"seed\":5,\"n\":3,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
    struct heard first, second;
    struct sim_provider_options o = plain_options();
    for (int i = 0; i < 2; i++) {
        struct rig r;
        rig_open(&r, &o);
        ask(&r, CHAT, body);
        hear(i ? &second : &first, buf_span(&r.body), API_OPENAI_CHAT);
        rig_close(&r);
    }
    EXPECT(span_eq(buf_span(&first.text), buf_span(&second.text)));
    EXPECT_EQ(first.finishes, 3);
    EXPECT(buf_bytes(&first.text) > 0);
    heard_fini(&first);
    heard_fini(&second);
}

static const char tool_body[] =
    "{\"model\":\"gpt-4o\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"tool_choice\":\"required\",\"tools\":[{\"type\":\"function\","
    "\"function\":{\"name\":\"book_table\",\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"people\":{\"type\":\"integer\","
    "\"minimum\":2,\"maximum\":9},\"smoking\":{\"type\":\"boolean\"}},\"required\":[\"city\",\"people\"]}}}],\"messages\":[{\"role\":\"user\",\"content\":\"a table\"}]}";

TEST(a_required_tool_is_called_with_arguments_that_fit_its_schema)
{
    struct rig r;
    struct heard h;
    struct sim_provider_options o = plain_options();
    int64_t people = 0;
    rig_open(&r, &o);
    ask(&r, CHAT, tool_body);
    hear(&h, buf_span(&r.body), API_OPENAI_CHAT);
    EXPECT_SPAN(h.name, "book_table");
    EXPECT_EQ(json_check(buf_span(&h.arguments)), ERR_OK);
    EXPECT(json_find_i64(buf_span(&h.arguments), "people", &people) && people >= 2 && people <= 9);
    EXPECT(json_find(buf_span(&h.arguments), "city").p != NULL);
    EXPECT_EQ(h.stop, NEUTRAL_STOP_TOOLS);
    EXPECT_EQ(h.usage.count[USAGE_OUTPUT], tokens_of(SPAN("book_table")) + tokens_of(buf_span(&h.arguments)));
    heard_fini(&h);
    rig_close(&r);
}

TEST(a_structured_answer_fits_and_log_probabilities_and_stops_come_when_asked_for)
{
    struct rig r;
    struct heard h;
    struct sim_provider_options o = plain_options();
    rig_open(&r, &o);
    ask(&r, CHAT, "{\"model\":\"gpt-4o\",\"stream\":true,\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":{\"type\":\"object\","
                  "\"properties\":{\"kind\":{\"enum\":[\"a\",\"b\"]}},\"required\":[\"kind\"]}}},\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    hear(&h, buf_span(&r.body), API_OPENAI_CHAT);
    struct span kind = json_find(buf_span(&h.text), "kind");
    EXPECT(span_eq(kind, SPAN("\"a\"")) || span_eq(kind, SPAN("\"b\"")));
    heard_fini(&h);
    ask(&r, CHAT, "{\"model\":\"gpt-4o\",\"logprobs\":true,\"top_logprobs\":2,\"messages\":[{\"role\":\"user\",\"content\":\"say exactly 3 tokens\"}]}");
    EXPECT_EQ(json_check(buf_span(&r.body)), ERR_OK);
    EXPECT(span_find_span(buf_span(&r.body), SPAN("\"top_logprobs\":[{")) > 0);
    ask(&r, CHAT, "{\"model\":\"gpt-4o\",\"stream\":true,\"stop\":[\".\"],\"messages\":[{\"role\":\"user\",\"content\":\"say exactly 90 tokens\"}]}");
    hear(&h, buf_span(&r.body), API_OPENAI_CHAT);
    EXPECT(span_find(buf_span(&h.text), '.') < 0 && buf_bytes(&h.text) > 0);
    heard_fini(&h);
    rig_close(&r);
}

TEST(embeddings_have_the_dimensions_and_the_form_that_were_asked_for)
{
    struct rig r;
    struct sim_provider_options o = plain_options();
    rig_open(&r, &o);
    ask(&r, "/v1/embeddings", "{\"model\":\"text-embedding-3-small\",\"input\":[\"one\",\"two\"],\"dimensions\":6,\"encoding_format\":\"base64\"}");
    EXPECT_EQ(r.status, 200);
    EXPECT(span_find_span(buf_span(&r.body), SPAN("\"embedding\":\"")) > 0);
    EXPECT_EQ(sim_provider_count(r.provider).input_tokens, 2);
    ask(&r, "/v1/embeddings", "{\"model\":\"text-embedding-3-small\",\"input\":\"one\",\"dimensions\":2}");
    EXPECT(span_find_span(buf_span(&r.body), SPAN("\"embedding\":[")) > 0);
    EXPECT_EQ(sim_provider_count(r.provider).output_tokens, 0);
    rig_close(&r);
}

TEST(a_wrong_key_a_wrong_path_and_a_wrong_body_are_refused_in_the_dialect)
{
    struct rig r;
    struct sim_provider_options o = plain_options();
    o.secret = "sk-right";
    rig_open(&r, &o);
    const struct header wrong = {SPAN("authorization"), SPAN("Bearer sk-wrong")}, right = {SPAN("authorization"), SPAN("Bearer sk-right")};
    ask_at(&r, "POST", CHAT, "{}", &wrong, 1);
    EXPECT_EQ(r.status, 401);
    EXPECT(json_find(buf_span(&r.body), "error.code").p != NULL);
    ask_at(&r, "POST", "/v1/nothing", "{}", &right, 1);
    EXPECT_EQ(r.status, 404);
    ask_at(&r, "POST", CHAT, "{\"model\":\"gpt-4o\"}", &right, 1);
    EXPECT_EQ(r.status, 400);
    ask_at(&r, "GET", "/v1/models", "", &right, 1);
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(sim_provider_count(r.provider).refused, 2);
    rig_close(&r);
}

TEST(azure_is_asked_under_its_own_paths_only)
{
    static const char body[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"say exactly 2 tokens\"}]}";
    struct rig r;
    struct sim_provider_options o = plain_options();
    o.dialect = dialect_find(SPAN("azure-openai"));
    rig_open(&r, &o);
    ask(&r, "/openai/deployments/prod/chat/completions?api-version=2024-10-21", body);
    EXPECT_EQ(r.status, 200);
    EXPECT(span_find_span(buf_span(&r.body), SPAN("\"model\":\"prod\"")) > 0);
    ask(&r, "/openai/deployments/prod/chat/completions", body);
    EXPECT_EQ(r.status, 404);
    ask(&r, CHAT, body);
    EXPECT_EQ(r.status, 404);
    ask(&r, "/openai/v1/chat/completions", "{\"model\":\"prod\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}");
    EXPECT_EQ(r.status, 200);
    rig_close(&r);
}

TEST(what_would_take_all_memory_is_refused_and_the_provider_lives_on)
{
    static const char *const bodies[] = {
        "{\"model\":\"gpt-4o\",\"n\":100,\"messages\":[{\"role\":\"user\",\"content\":\"say exactly 3000000 tokens\"}]}",
        "{\"model\":\"gpt-4o\",\"n\":1000,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
        ("{\"model\":\"gpt-4o\",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"x\",\"schema\":{\"type\":\"array\",\"minItems\":900000,"
         "\"items\":{\"type\":\"array\",\"minItems\":900000}}}},\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"),
    };
    struct rig r;
    struct sim_provider_options o = plain_options();
    rig_open(&r, &o);
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        ask(&r, CHAT, bodies[i]);
        EXPECT_EQ(r.status, 400);
    }
    ask(&r, "/v1/embeddings", "{\"model\":\"text-embedding-3-small\",\"input\":[\"a\",\"b\"],\"dimensions\":7000000}");
    EXPECT_EQ(r.status, 400);
    ask(&r, CHAT, "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"say exactly 1 token\"}]}");
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(sim_provider_count(r.provider).output_tokens, 1);
    rig_close(&r);
}

/* ---- broken answers ---- */

static void break_at(enum sim_fault_kind kind, uint64_t bytes, const char *request)
{
    struct rig r;
    struct heard h;
    struct sim_fault fault = {.kind = kind, .bytes = bytes, .delay_ns = NS_PER_MS};
    struct sim_provider_options o = plain_options();
    o.faults = &fault;
    o.faults_n = 1;
    rig_open(&r, &o);
    ask(&r, CHAT, request);
    struct sim_count c = sim_provider_count(r.provider);
    hear(&h, buf_span(&r.body), API_OPENAI_CHAT);
    int64_t heard = tokens_of(h.name) + tokens_of(buf_span(&h.text)) + tokens_of(buf_span(&h.arguments));
    EXPECT_EQ(c.requests, 1);
    EXPECT_EQ(c.answered + c.broken + c.refused, 1);
    if (r.failed)
        EXPECT_EQ(buf_bytes(&r.body), bytes);
    EXPECT_EQ(c.broken_output_tokens + c.output_tokens, (uint64_t)(c.refused ? 0 : heard));
    EXPECT_EQ(c.answered, !r.failed);
    if (unit_failures)
        printf("# cut at byte %llu\n", (unsigned long long)bytes);
    heard_fini(&h);
    rig_close(&r);
}

TEST(an_answer_that_broke_at_any_byte_counts_what_could_be_read_of_it)
{
    static const char text[] = "{\"model\":\"gpt-4o\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"say exactly 12 tokens\"}]}";
    for (uint64_t bytes = 0; bytes < 3600 && !unit_failures; bytes += 13) {
        break_at(SIM_FAULT_CLOSE, bytes, text);
        break_at(SIM_FAULT_RESET, bytes, text);
        break_at(SIM_FAULT_CLOSE, bytes, tool_body);
    }
}

TEST(a_stall_or_a_slow_line_loses_nothing)
{
    static const char text[] = "{\"model\":\"gpt-4o\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"say exactly 3 tokens\"}]}";
    for (uint64_t bytes = 0; bytes < 1500 && !unit_failures; bytes += 71)
        break_at(SIM_FAULT_STALL, bytes, text);
}

TEST(a_killed_provider_has_counted_what_its_callers_could_read)
{
    for (size_t after = 1; after < 20000 && !unit_failures; after += 777) {
        struct rig r;
        struct heard h;
        struct sim_provider_options o = plain_options();
        o.tokens_per_s = 20000;
        rig_open(&r, &o);
        r.kill_after = after;
        ask(&r, CHAT, "{\"model\":\"gpt-4o\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"say exactly 400 tokens\"}]}");
        struct sim_count c = sim_provider_count(r.provider);
        EXPECT(r.failed != ERR_OK);
        hear(&h, buf_span(&r.body), API_OPENAI_CHAT);
        EXPECT_EQ(c.broken, 1);
        EXPECT_EQ(c.broken_output_tokens, (uint64_t)tokens_of(buf_span(&h.text)));
        heard_fini(&h);
        const char *why;
        r.kill_after = 0;
        EXPECT_EQ(sim_provider_revive(r.provider, &why), ERR_OK);
        ask(&r, CHAT, "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"say exactly 4 tokens\"}]}");
        EXPECT_EQ(r.status, 200);
        rig_close(&r);
    }
}

static void meet(struct sim_fault fault, const char *body, int status, bool fails, bool done, uint64_t broken)
{
    struct rig r;
    struct heard h;
    struct sim_provider_options o = plain_options();
    o.faults = &fault;
    o.faults_n = 1;
    rig_open(&r, &o);
    ask(&r, CHAT, body);
    hear(&h, buf_span(&r.body), API_OPENAI_CHAT);
    EXPECT_EQ(r.status, status);
    EXPECT_EQ(r.failed != ERR_OK, fails);
    EXPECT_EQ(h.done, done);
    EXPECT_EQ(sim_provider_count(r.provider).broken, broken);
    if (unit_failures)
        printf("# %s\n", sim_fault_name(fault.kind));
    heard_fini(&h);
    rig_close(&r);
}

TEST(each_fault_is_the_one_that_was_asked_for)
{
    static const char s[] = "{\"model\":\"gpt-4o\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"messages\":[{\"role\":\"user\",\"content\":\"say exactly 5 tokens\"}]}";
    meet((struct sim_fault){.kind = SIM_FAULT_REFUSE}, s, 0, true, false, 0);
    meet((struct sim_fault){.kind = SIM_FAULT_RATE, .delay_ns = NS_PER_S}, s, 429, false, false, 0);
    meet((struct sim_fault){.kind = SIM_FAULT_QUOTA}, s, 429, false, false, 0);
    meet((struct sim_fault){.kind = SIM_FAULT_STATUS, .status = 503}, s, 503, false, false, 0);
    meet((struct sim_fault){.kind = SIM_FAULT_HTML}, s, 502, false, false, 0);
    meet((struct sim_fault){.kind = SIM_FAULT_ERROR_IN_200}, s, 200, false, false, 0);
    meet((struct sim_fault){.kind = SIM_FAULT_NO_USAGE}, s, 200, false, true, 0);
    meet((struct sim_fault){.kind = SIM_FAULT_NO_DONE}, s, 200, false, false, 0);
    meet((struct sim_fault){.kind = SIM_FAULT_ERROR_EVENT}, s, 200, false, false, 0);
    meet((struct sim_fault){.kind = SIM_FAULT_ERROR_EVENT, .bytes = 400}, s, 200, false, false, 1);
    meet((struct sim_fault){.kind = SIM_FAULT_BROKEN_JSON, .bytes = 400}, s, 200, false, false, 1);
    meet((struct sim_fault){.kind = SIM_FAULT_SLOW, .delay_ns = 1000}, s, 200, false, true, 0);
    meet((struct sim_fault){.kind = SIM_FAULT_STATUS, .status = 503, .nth = 2}, s, 200, false, true, 0);
}

/* ---- faults in words ---- */

static void fault_is(const char *text, enum sim_fault_kind kind, uint64_t bytes, uint64_t delay_ms, int status, uint64_t nth, uint64_t every, uint32_t ppm)
{
    struct sim_fault f;
    char why[128] = "";
    if (sim_fault_parse(span_str(text), &f, why) != ERR_OK) {
        UNIT_FAIL("%s: %s", text, why);
        return;
    }
    EXPECT_EQ(f.kind, kind);
    EXPECT_EQ(f.bytes, bytes);
    if (delay_ms)
        EXPECT_EQ(f.delay_ns, delay_ms * NS_PER_MS);
    if (status)
        EXPECT_EQ(f.status, status);
    EXPECT_EQ(f.nth, nth);
    EXPECT_EQ(f.every, every);
    EXPECT_EQ(f.probability_ppm, ppm);
}

TEST(faults_are_read_as_they_are_written)
{
    fault_is("reset:200@7", SIM_FAULT_RESET, 200, 0, 0, 7, 0, 0);
    fault_is("stall:10,5s@every:3", SIM_FAULT_STALL, 10, 5000, 0, 0, 3, 0);
    fault_is("stall:250ms@1", SIM_FAULT_STALL, 0, 250, 0, 1, 0, 0);
    fault_is("rate:2s@12.5%", SIM_FAULT_RATE, 0, 2000, 0, 0, 0, 125000);
    fault_is("status:503@0.01%", SIM_FAULT_STATUS, 0, 0, 503, 0, 0, 100);
    fault_is("error-in-200@100%", SIM_FAULT_ERROR_IN_200, 0, 0, 0, 0, 0, 1000000);
}

TEST(a_fault_that_makes_no_sense_is_told_and_not_guessed)
{
    static const char *const wrong[] = {"reset", "reset@", "reset@0", "reset:x@1", "explode@1", "status:200@1", "quota:1@1", "reset:1@101%", "reset:1@0%",
                                        "reset:1@every:0", "@1", "", "rate:200@1", "reset:1@1.00001%"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct sim_fault f = {.kind = SIM_FAULT_HANG};
        char why[128] = "";
        EXPECT_EQ(sim_fault_parse(span_str(wrong[i]), &f, why), ERR_INVALID_PARAMETER);
        EXPECT(why[0] != 0);
        EXPECT_EQ(f.kind, SIM_FAULT_HANG);
        if (unit_failures) {
            printf("# %s\n", wrong[i]);
            return;
        }
    }
}

/* ---- schemas ---- */

TEST(values_that_are_made_for_a_schema_fit_it)
{
    static const struct {
        const char *schema, *starts, *ends;
    } cases[] = {
        {"{\"const\":42}", "42", "42"},
        {"{\"enum\":[\"x\"]}", "\"x\"", "\"x\""},
        {"{\"type\":[\"null\",\"integer\"],\"minimum\":5,\"maximum\":5}", "5", "5"},
        {"{\"type\":\"number\",\"exclusiveMinimum\":1,\"exclusiveMaximum\":1.5}", "1.", ""},
        {"{\"type\":\"integer\",\"minimum\":13,\"maximum\":22,\"multipleOf\":10}", "20", "20"},
        {"{\"type\":\"array\",\"minItems\":2,\"maxItems\":2,\"items\":{\"const\":1}}", "[1,1]", "]"},
        {"{\"prefixItems\":[{\"const\":1},{\"const\":2}],\"items\":false}", "[1,2]", "]"},
        {"{\"type\":\"string\",\"minLength\":30,\"maxLength\":30}", "\"", "\""},
        {"{\"type\":\"string\",\"format\":\"date\"}", "\"2026-11-23\"", ""},
        {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"null\"}}}", "null", "null"},
        {"{\"allOf\":[{\"$ref\":\"#/definitions/a\"}],\"definitions\":{\"a\":{\"const\":true}}}", "true", "true"},
        {"{\"type\":\"object\",\"properties\":{\"k\":{\"type\":\"object\",\"properties\":{\"v\":{\"const\":0}},\"required\":[\"v\"]}},\"required\":[\"k\"]}", "{\"k\":{\"v\":0}}", ""},
        {"{\"allOf\":[{\"properties\":{\"a\":{\"const\":1}}},{\"properties\":{\"b\":{\"const\":2}}}]}", "{\"a\":1,\"b\":2}", ""},
        {"{\"type\":\"object\",\"properties\":{\"next\":{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}},\"required\":[\"next\"]}", "{\"next\":", "}"},
        {"true", "\"", "\""},
        {"{}", "\"", "\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (uint64_t seed = 0; seed < 30; seed++) {
            struct buf b;
            uint64_t random = seed;
            buf_init(&b, MIB);
            enum err e = sim_schema_fill(span_str(cases[i].schema), &random, &b);
            bool good = !e && json_check(buf_span(&b)) == ERR_OK && span_starts(buf_span(&b), span_str(cases[i].starts)) && span_ends(buf_span(&b), span_str(cases[i].ends));
            if (!good)
                UNIT_FAIL("%s gives %.*s", cases[i].schema, SPAN_ARG(buf_span(&b)));
            buf_fini(&b);
            if (!good)
                return;
        }
}

TEST(a_schema_that_no_value_fits_is_refused_and_not_followed_for_ever)
{
    static const char *const wrong[] = {"{\"$ref\":\"#\"}", "{\"$ref\":\"#/$defs/none\"}", "{\"enum\":[]}", "{\"type\":", "{\"type\":\"object\",\"properties\":{\"me\":{\"$ref\":\"#\"}},\"required\":[\"me\"]}"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct buf b;
        uint64_t random = 1;
        buf_init(&b, MIB);
        EXPECT_EQ(sim_schema_fill(span_str(wrong[i]), &random, &b), ERR_JSON);
        buf_fini(&b);
    }
}

UNIT_MAIN
