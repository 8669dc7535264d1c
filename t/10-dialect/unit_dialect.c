/* SPDX-License-Identifier: Apache-2.0
 *
 * The dialects in tables: routes, keys, edits, chunks as odd as they were seen in the field, usage that adds up, errors and what to do.
 */
#include "dialect/dialect.h"
#include "tree.h"
#include "unit.h"

static struct arena arena;
static const struct dialect *openai, *azure;

static void begin(void)
{
    arena_init(&arena, 4096);
    openai = dialect_find(SPAN("openai"));
    azure = dialect_find(SPAN("azure-openai"));
}

static void end(void) { arena_fini(&arena); }

/* ---- routes and keys ---- */

TEST(a_client_finds_its_api_however_its_base_url_was_typed)
{
    static const struct {
        enum http_method method;
        const char *path;
        int kind; /* ROUTE_… */
        enum api api;
        const char *dialect, *deployment, *model;
    } table[] = {
        {HTTP_POST, "/v1/chat/completions", ROUTE_API, API_OPENAI_CHAT, "openai", "", ""},
        {HTTP_POST, "/chat/completions", ROUTE_API, API_OPENAI_CHAT, "openai", "", ""},
        {HTTP_POST, "//v1//chat/completions//", ROUTE_API, API_OPENAI_CHAT, "openai", "", ""},
        {HTTP_POST, "/team/a/v1/completions", ROUTE_API, API_OPENAI_COMPLETIONS, "openai", "", ""},
        {HTTP_POST, "/openai/v1/embeddings", ROUTE_API, API_OPENAI_EMBEDDINGS, "openai", "", ""},
        {HTTP_POST, "/openai/deployments/d/completions", ROUTE_API, API_OPENAI_COMPLETIONS, "azure-openai", "d", ""},
        {HTTP_POST, "/openai/deployments/a%2Fb%20c/chat/completions", ROUTE_API, API_OPENAI_CHAT, "azure-openai", "a/b c", ""},
        {HTTP_POST, "/openai/deployments/a%2/embeddings", ROUTE_API, API_OPENAI_EMBEDDINGS, "azure-openai", "a%2", ""},
        {HTTP_POST, "/openai/deployments/chat/completions", ROUTE_API, API_OPENAI_CHAT, "openai", "", ""},
        {HTTP_GET, "/v1/models", ROUTE_MODELS, API_NONE, "openai", "", ""},
        {HTTP_GET, "/openai/models/", ROUTE_MODELS, API_NONE, "openai", "", ""},
        {HTTP_GET, "/v1/models/meta/llama:8b", ROUTE_MODEL, API_NONE, "openai", "", "meta/llama:8b"},
        {HTTP_GET, "/models/a%2Fb", ROUTE_MODEL, API_NONE, "openai", "", "a/b"},
        {HTTP_POST, "/v1/models", ROUTE_NONE, API_NONE, "openai", "", ""},
        {HTTP_GET, "/v1beta/models/gemini-pro", ROUTE_NONE, API_NONE, "openai", "", ""},
        {HTTP_POST, "/v1/fim/completions", ROUTE_NONE, API_NONE, "openai", "", ""},
        {HTTP_POST, "/v1/messages", ROUTE_NONE, API_NONE, "openai", "", ""},
        {HTTP_POST, "/", ROUTE_NONE, API_NONE, "openai", "", ""},
        {HTTP_POST, "", ROUTE_NONE, API_NONE, "openai", "", ""},
    };
    begin();
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct http_head head = {.method = table[i].method, .path = span_str(table[i].path)};
        struct route r;
        int before = unit_failures;
        EXPECT_EQ(dialect_route(&arena, &head, &r), table[i].kind != ROUTE_NONE);
        EXPECT_EQ(r.kind, table[i].kind);
        EXPECT_EQ(r.api, table[i].api);
        EXPECT_STR(r.dialect->name, table[i].dialect);
        EXPECT_SPAN(r.deployment, table[i].deployment);
        EXPECT_SPAN(r.model, table[i].model);
        if (unit_failures != before)
            printf("# ^ %s\n", table[i].path);
    }
    end();
}

TEST(a_key_is_found_where_each_client_puts_it_and_the_first_place_wins)
{
    struct header h[] = {{SPAN("X-Goog-Api-Key"), SPAN("g")}, {SPAN("x-api-key"), SPAN("x")}, {SPAN("Api-Key"), SPAN("a")}, {SPAN("Authorization"), SPAN("bearer  b ")}};
    static const char *const want[] = {"g", "x", "a", "b"};
    struct http_head head = {.headers = h};
    EXPECT(dialect_client_key(&head).p == NULL);
    for (head.headers_n = 1; head.headers_n <= 4; head.headers_n++)
        EXPECT_SPAN(dialect_client_key(&head), want[head.headers_n - 1]);
    h[3].value = SPAN("Basic dXNlcg==");
    head.headers_n = 4;
    EXPECT_SPAN(dialect_client_key(&head), "a");
}

/* ---- requests ---- */

TEST(a_mistake_in_a_request_is_told_with_its_place)
{
    static const struct {
        enum api api;
        const char *body;
        enum err err;
        const char *param;
    } table[] = {
        {API_OPENAI_CHAT, "{\"model\":\"m\"}", ERR_MISSING_PARAMETER, "messages"},
        {API_OPENAI_CHAT, "{\"messages\":[]}", ERR_MISSING_PARAMETER, "model"},
        {API_OPENAI_CHAT, "{\"messages\":[],\"model\":null}", ERR_MISSING_PARAMETER, "model"},
        {API_OPENAI_CHAT, "{\"messages\":null,\"model\":\"m\"}", ERR_MISSING_PARAMETER, "messages"},
        {API_OPENAI_COMPLETIONS, "{\"model\":\"m\"}", ERR_MISSING_PARAMETER, "prompt"},
        {API_OPENAI_EMBEDDINGS, "{\"model\":\"m\"}", ERR_MISSING_PARAMETER, "input"},
        {API_OPENAI_CHAT, "{}", ERR_MISSING_PARAMETER, "model"},
        {API_OPENAI_CHAT, "[]", ERR_INVALID_PARAMETER, ""},
        {API_OPENAI_CHAT, "", ERR_JSON, ""},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[]} x", ERR_JSON, ""},
        {API_OPENAI_CHAT, "{\"model\":\"m\xff\",\"messages\":[]}", ERR_UTF8, ""},
        {API_OPENAI_CHAT, "{\"model\":7,\"messages\":[]}", ERR_INVALID_PARAMETER, "model"},
        {API_OPENAI_CHAT, "{\"model\":\"\",\"messages\":[]}", ERR_INVALID_PARAMETER, "model"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"model\":\"m\",\"messages\":[]}", ERR_INVALID_PARAMETER, "model"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"stream\":true,\"messages\":[],\"stream\":false}", ERR_INVALID_PARAMETER, "stream"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"stream\":\"yes\",\"messages\":[]}", ERR_INVALID_PARAMETER, "stream"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"stream_options\":[],\"messages\":[]}", ERR_INVALID_PARAMETER, "stream_options"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"stream_options\":{\"include_usage\":1},\"messages\":[]}", ERR_INVALID_PARAMETER, "stream_options.include_usage"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"n\":0,\"messages\":[]}", ERR_INVALID_PARAMETER, "n"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"n\":4097,\"messages\":[]}", ERR_INVALID_PARAMETER, "n"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"n\":1.5,\"messages\":[]}", ERR_INVALID_PARAMETER, "n"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"max_tokens\":\"9\",\"messages\":[]}", ERR_INVALID_PARAMETER, "max_tokens"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":{}}", ERR_INVALID_PARAMETER, "messages"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[1]}", ERR_INVALID_PARAMETER, "messages[0]"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[{\"content\":\"a\"}]}", ERR_MISSING_PARAMETER, "messages[0].role"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":{}}]}", ERR_INVALID_PARAMETER, "messages[0].content"},
        {API_OPENAI_COMPLETIONS, "{\"model\":\"m\",\"prompt\":5}", ERR_INVALID_PARAMETER, "prompt"},
        {API_OPENAI_EMBEDDINGS, "{\"model\":\"m\",\"input\":true}", ERR_INVALID_PARAMETER, "input"},
    };
    begin();
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct request_facts facts;
        struct complaint why = {.error = ERR_OK};
        int before = unit_failures;
        EXPECT_EQ(openai->scan_request(&arena, table[i].api, span_str(table[i].body), &facts, &why), table[i].err);
        EXPECT_EQ(why.error, table[i].err);
        EXPECT_STR(why.param, table[i].param);
        EXPECT(why.message[0]);
        if (unit_failures != before)
            printf("# ^ %s\n", table[i].body);
    }
    end();
}

/* What a budget sets aside is multiplied by these: one too low, and a request costs more than was set aside. */
TEST(how_much_a_request_may_write_is_known_before_it_is_sent)
{
    static const struct {
        enum api api;
        const char *body;
        int outputs, media;
        const char *tier;
    } table[] = {
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[]}", 1, 0, ""},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[],\"n\":3,\"service_tier\":\"flex\"}", 3, 0, "flex"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[],\"service_tier\":null}", 1, 0, ""},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[],\"service_tier\":7}", 1, 0, ""},
        {API_OPENAI_CHAT,
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"},{\"type\":\"text\"},{\"type\":\"file\"}]}]}", 1, 2, ""},
        {API_OPENAI_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"a\",\"n\":2,\"best_of\":5}", 5, 0, ""},
        {API_OPENAI_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[\"a\",\"b\",\"c\"],\"n\":2}", 6, 0, ""},
        {API_OPENAI_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[[1,2],[3]],\"best_of\":2}", 4, 0, ""},
        {API_OPENAI_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[1,2,3]}", 1, 0, ""},
        {API_OPENAI_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[]}", 1, 0, ""},
    };
    begin();
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct request_facts facts = {.outputs = 0};
        int before = unit_failures;
        EXPECT_EQ(openai->scan_request(&arena, table[i].api, span_str(table[i].body), &facts, NULL), ERR_OK);
        EXPECT_EQ(facts.outputs, table[i].outputs);
        EXPECT_EQ(facts.media_n, table[i].media);
        EXPECT_SPAN(facts.service_tier, table[i].tier);
        if (unit_failures != before)
            printf("# ^ %s\n", table[i].body);
    }
    end();
}

TEST(an_edit_keeps_every_other_byte)
{
    static const struct {
        const char *body;
        bool ask;
        const char *edited;
    } table[] = {
        {"{\"model\":\"m\",\"messages\":[]}", false, "{\"model\":\"new\",\"messages\":[]}"},
        {" {\"messages\":[]} ", false, " {\"model\":\"new\",\"messages\":[]} "},
        {"{\"messages\":[],\"model\": null}", false, "{\"messages\":[],\"model\": \"new\"}"},
        {"{\"messages\":[],\"m\\u006fdel\":\"\\u006d\"}", false, "{\"messages\":[],\"m\\u006fdel\":\"new\"}"},
        {"{\"model\":\"new\",\"messages\":[]}", true, "{\"stream_options\":{\"include_usage\":true},\"model\":\"new\",\"messages\":[]}"},
        {"{\"messages\":[]}", true, "{\"model\":\"new\",\"stream_options\":{\"include_usage\":true},\"messages\":[]}"},
        {"{\"messages\":[],\"stream_options\":null}", true, "{\"model\":\"new\",\"messages\":[],\"stream_options\":{\"include_usage\":true}}"},
        {"{\"messages\":[],\"stream_options\":{ \n}}", true, "{\"model\":\"new\",\"messages\":[],\"stream_options\":{\"include_usage\":true \n}}"},
        {"{\"messages\":[],\"stream_options\":{ \"x\":1}}", true, "{\"model\":\"new\",\"messages\":[],\"stream_options\":{\"include_usage\":true, \"x\":1}}"},
        {"{\"stream_options\":{\"include_usage\":null},\"model\":\"m\",\"messages\":[]}", true,
         "{\"stream_options\":{\"include_usage\":true},\"model\":\"new\",\"messages\":[]}"},
        {"{\"stream_options\":{\"include_usage\":true},\"model\":\"new\",\"messages\":[]}", true,
         "{\"stream_options\":{\"include_usage\":true},\"model\":\"new\",\"messages\":[]}"},
    };
    begin();
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct request_facts facts;
        struct complaint why;
        struct iovec out[8];
        char text[512] = "";
        REQUIRE(azure->scan_request(&arena, API_OPENAI_CHAT, span_str(table[i].body), &facts, &why) == ERR_OK);
        unsigned n = dialect_edit_request(&arena, &facts, span_str(table[i].body), SPAN("new"), table[i].ask, out);
        for (unsigned k = 0; k < n; k++)
            strncat(text, out[k].iov_base, out[k].iov_len);
        EXPECT_STR(text, table[i].edited);
    }
    end();
}

/* ---- chunks ---- */

static enum event_verdict scan(const char *data, struct answer_notes *notes)
{
    struct event_scan s;
    answer_notes_init(notes, &arena);
    openai->scan_event(API_OPENAI_CHAT, span_str(data), notes, &s);
    return s.verdict;
}

TEST(the_tier_that_served_is_read_from_streams_and_whole_answers)
{
    struct answer_notes notes;
    begin();
    scan("{\"model\":\"m\",\"service_tier\":\"flex\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", &notes);
    EXPECT_SPAN(notes.service_tier, "flex");
    scan("{\"choices\":[],\"model\":\"m\",\"service_tier\":null}", &notes);
    EXPECT_SPAN(notes.service_tier, "");
    EXPECT_EQ(openai->scan_answer(API_OPENAI_CHAT, SPAN("{\"choices\":[],\"service_tier\":\"priority\"}"), &notes), ERR_OK);
    EXPECT_SPAN(notes.service_tier, "priority");
    end();
}

TEST(an_odd_chunk_is_passed_hidden_or_refused_as_its_readers_need)
{
    static const struct {
        const char *data;
        enum event_verdict verdict;
    } table[] = {
        {"[DONE]", EVENT_DONE},
        {"", EVENT_SILENT},
        {"  ", EVENT_SILENT},
        {"OPENROUTER PROCESSING", EVENT_BROKEN},
        {"{\"a\":1}{\"b\":2}", EVENT_BROKEN},
        {"{\"a\":1", EVENT_BROKEN},
        {"{\"choices\":[{\"delta\":{\"content\":\"\xc3\"}}]}", EVENT_BROKEN},
        {"[1]", EVENT_BROKEN},
        {"{}", EVENT_PASS},
        {"{\"type\":\"ping\"}", EVENT_PASS},
        {"{\"choices\":[]}", EVENT_PASS},
        {"{\"choices\":null,\"usage\":null}", EVENT_PASS},
        {"{\"choices\":[{\"index\":0}]}", EVENT_PASS},
        {"{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", EVENT_USAGE_ONLY},
        {"{\"usage\":{\"prompt_tokens\":1},\"choices\":[{\"delta\":{}}]}", EVENT_USAGE_TOO},
        {"{\"error\":null,\"choices\":[]}", EVENT_PASS},
        {"{\"error\":\"\"}", EVENT_PASS},
        {"{\"error\":\"boom\"}", EVENT_FAILED},
        {"{\"error\":{\"message\":\"boom\"},\"choices\":[{\"finish_reason\":\"error\"}]}", EVENT_FAILED},
        {"{\"object\":\"error\",\"message\":\"boom\"}", EVENT_FAILED},
        {"{\"err\\u006fr\":\"boom\"}", EVENT_FAILED},
    };
    struct answer_notes notes;
    begin();
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        int before = unit_failures;
        EXPECT_EQ(scan(table[i].data, &notes), table[i].verdict);
        EXPECT_EQ(notes.error_seen, table[i].verdict == EVENT_FAILED);
        if (unit_failures != before)
            printf("# ^ %s\n", table[i].data);
    }
    end();
}

static void collect(void *owner, struct span text) { strncat(owner, text.p, text.n); }

/* Chunks that begin alike are not read twice. Whatever came before, a chunk must be judged as if nothing had. */
TEST(no_chunk_is_judged_by_the_one_before)
{
    static const char *const chunks[] = {
        "{\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}",
        "{\"id\":\"a\",\"model\":\"m\",\"choices\": [ ] , \"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}",
        "{\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}",
        "{\"id\":\"a\",\"model\":\"m\",\"choices\":[],\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":3}}",
        "{\"id\":\"a\",\"model\":\"m\",\"choices\":null,\"choices\":[{\"delta\":{\"content\":\"x\"}}]}",
        "{\"id\":\"a\",\"model\":\"m\",\"choices\":[],\"error\":{\"message\":\"boom\"}}",
        "{\"id\":\"a\",\"model\":\"m\",\"choices\":}",
        "{\"id\":\"a\",\"model\":\"m\",\"choices\":[{]}",
        "{\"id\":\"a\",\"model\":\"m\",\"choices\":[]}}",
        "{\"id\":\"a\",\"model\":\"m\",\"choices\":[],\"bad\":\"\xc3\"}",
        "{\"id\":\"a\",\"model\":\"m\",\"error\":{\"message\":\"boom\"},\"choices\":[]}",
        "{\"id\":\"a\",\"model\":\"m\",\"object\":\"error\",\"message\":\"boom\",\"choices\":[]}",
        "{\"usage\":{\"prompt_tokens\":1},\"model\":\"m\",\"choices\":[{\"delta\":{}}]}",
        "{\"model\":\"m\",\"x_groq\":{\"usage\":{\"prompt_tokens\":4}},\"choices\":[{\"delta\":{}}]}",
        "{\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"y\"}}]}",
        "{\"model\":\"m\",\"choi\\u0063es\":[{\"delta\":{\"content\":\"y\"}}]}",
        "{\"id\":\"a\",\"model\":\"m\",\"service_tier\":\"flex\",\"choices\":[{\"delta\":{}}]}",
        "{\"id\":\"a longer one\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"y\"}}]}",
    };
    begin();
    for (unsigned first = 0; first < COUNT_OF(chunks); first++)
        for (unsigned second = 0; second < COUNT_OF(chunks); second++)
            for (size_t n = strlen(chunks[second]); n > 0; n--) {
                struct answer_notes alone, after;
                struct event_scan is, should_be;
                char text[2][64] = {"", ""};
                scan(chunks[first], &after);
                scan(chunks[first], &alone);
                alone.lead_bytes = 0;
                alone.on_text = after.on_text = collect;
                alone.owner = text[0];
                after.owner = text[1];
                openai->scan_event(API_OPENAI_CHAT, span_of(chunks[second], n), &alone, &should_be);
                openai->scan_event(API_OPENAI_CHAT, span_of(chunks[second], n), &after, &is);
                bool same = is.verdict == should_be.verdict && is.cut_at == should_be.cut_at && is.cut_end == should_be.cut_end &&
                            span_eq(is.error_message, should_be.error_message) && strcmp(text[0], text[1]) == 0 &&
                            alone.usage->source == after.usage->source &&
                            memcmp(alone.usage->count, after.usage->count, sizeof alone.usage->count) == 0 && alone.finish == after.finish &&
                            alone.choices_finished == after.choices_finished && alone.content_seen == after.content_seen &&
                            alone.error_seen == after.error_seen && span_eq(alone.model_served, after.model_served) &&
                            span_eq(alone.service_tier, after.service_tier);
                if (!same)
                    UNIT_FAIL("%.*s after %s: verdict %d, alone %d", (int)n, chunks[second], chunks[first], is.verdict, should_be.verdict);
            }
    end();
}

TEST(only_an_answer_counts_as_content)
{
    static const struct {
        const char *delta;
        bool content;
    } table[] = {
        {"{\"role\":\"assistant\",\"content\":\"\"}", false}, {"{\"content\":null,\"tool_calls\":null,\"refusal\":null}", false},
        {"{\"tool_calls\":[]}", false},                       {"{}", false},
        {"{\"content\":\"a\"}", true},                        {"{\"reasoning\":\"a\"}", true},
        {"{\"refusal\":\"no\"}", true},                       {"{\"tool_calls\":[{\"index\":0}]}", true},
        {"{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}", true},
    };
    begin();
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct answer_notes notes;
        char data[256];
        snprintf(data, sizeof data, "{\"choices\":[{\"delta\":%s}]}", table[i].delta);
        EXPECT_EQ(scan(data, &notes), EVENT_PASS);
        EXPECT_EQ(notes.content_seen, table[i].content);
    }
    end();
}

TEST(the_text_for_an_estimate_is_all_the_model_wrote_and_nothing_else)
{
    struct answer_notes notes;
    struct event_scan s;
    char text[256] = "";
    begin();
    answer_notes_init(&notes, &arena);
    notes.on_text = collect;
    notes.owner = text;
    openai->scan_event(API_OPENAI_CHAT,
                       SPAN("{\"id\":\"no\",\"choices\":[{\"delta\":{\"role\":\"no\",\"reasoning\":\"a\",\"content\":[{\"type\":\"no\",\"text\":\"b\"}],"
                            "\"tool_calls\":[{\"id\":\"no\",\"type\":\"no\",\"function\":{\"name\":\"c\",\"arguments\":\"d\"}}]}}]}"),
                       &notes, &s);
    EXPECT_STR(text, "abcd");
    openai->scan_event(API_OPENAI_CHAT, SPAN("{\"choices\":[],\"usage\":{\"completion_tokens\":3}}"), &notes, &s);
    openai->scan_event(API_OPENAI_CHAT, SPAN("{\"choices\":[{\"delta\":{\"content\":\"e\"}}]}"), &notes, &s);
    EXPECT_STR(text, "abcd"); /* the provider has said how much it was */
    end();
}

/* ---- usage ---- */

TEST(no_token_is_counted_twice_or_lost)
{
    static const struct {
        const char *usage;
        int64_t input, cache_read, cache_write, in_audio, in_image, output, reasoning, out_audio;
        int64_t cost;
    } table[] = {
        /* what is not said stays unknown */
        {"{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}", 5, -1, -1, -1, -1, 3, -1, -1, -1},
        {"{\"prompt_tokens\":5}", 5, -1, -1, -1, -1, -1, -1, -1, -1},
        {"{\"prompt_tokens\":0,\"completion_tokens\":0}", 0, -1, -1, -1, -1, 0, -1, -1, -1},
        {"{\"total_tokens\":8,\"completion_tokens\":3}", 5, -1, -1, -1, -1, 3, -1, -1, -1},
        {"{\"prompt_tokens\":null,\"completion_tokens\":-4,\"total_tokens\":1.5}", -1, -1, -1, -1, -1, -1, -1, -1, -1},
        /* parts come out of their whole */
        {"{\"prompt_tokens\":100,\"completion_tokens\":30,\"total_tokens\":130,\"prompt_tokens_details\":{\"cached_tokens\":60,\"cache_write_tokens\":10,"
         "\"audio_tokens\":5},\"completion_tokens_details\":{\"reasoning_tokens\":20,\"audio_tokens\":1}}", 25, 60, 10, 5, -1, 9, 20, 1, -1},
        /* and are cut when they overlap or are larger */
        {"{\"prompt_tokens\":504,\"completion_tokens\":91,\"total_tokens\":595,\"prompt_tokens_details\":{\"cached_tokens\":370,\"image_tokens\":256}}",
         0, 370, -1, -1, 134, 91, -1, -1, -1},
        {"{\"prompt_tokens\":7,\"completion_tokens\":8,\"total_tokens\":15,\"prompt_tokens_details\":{\"cached_tokens\":161}}", 0, 7, -1, -1, -1, 8, -1, -1, -1},
        /* reasoning beside completion (xAI), in the total alone (Gemini) */
        {"{\"prompt_tokens\":32,\"completion_tokens\":9,\"total_tokens\":135,\"completion_tokens_details\":{\"reasoning_tokens\":94}}",
         32, -1, -1, -1, -1, 9, 94, -1, -1},
        {"{\"prompt_tokens\":10,\"completion_tokens\":10,\"completion_tokens_details\":{\"reasoning_tokens\":255}}", 10, -1, -1, -1, -1, 10, 255, -1, -1},
        {"{\"prompt_tokens\":66,\"completion_tokens\":6,\"total_tokens\":100}", 66, -1, -1, -1, -1, 6, 28, -1, -1},
        /* audio beside prompt, cached under three other names */
        {"{\"prompt_tokens\":9,\"completion_tokens\":248,\"total_tokens\":632,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":375}}",
         9, 0, -1, 375, -1, 248, -1, -1, -1},
        {"{\"prompt_tokens\":9,\"num_cached_tokens\":4}", 5, 4, -1, -1, -1, -1, -1, -1, -1},
        {"{\"prompt_tokens\":9,\"prompt_token_details\":{\"cached_tokens\":4}}", 5, 4, -1, -1, -1, -1, -1, -1, -1},
        {"{\"prompt_tokens\":9,\"prompt_cache_hit_tokens\":4,\"prompt_cache_miss_tokens\":5}", 5, 4, -1, -1, -1, -1, -1, -1, -1},
        /* the provider's own cost */
        {"{\"prompt_tokens\":1,\"cost\":7.159e-05}", 1, -1, -1, -1, -1, -1, -1, -1, 71590},
        {"{\"prompt_tokens\":1,\"cost\":0.05499}", 1, -1, -1, -1, -1, -1, -1, -1, 54990000},
        {"{\"prompt_tokens\":1,\"cost\":1e-10}", 1, -1, -1, -1, -1, -1, -1, -1, 0},
        {"{\"prompt_tokens\":1,\"cost\":0.0000000005}", 1, -1, -1, -1, -1, -1, -1, -1, 1},
        {"{\"prompt_tokens\":1,\"cost\":-3}", 1, -1, -1, -1, -1, -1, -1, -1, -1},
        {"{\"prompt_tokens\":1,\"cost\":1e300}", 1, -1, -1, -1, -1, -1, -1, -1, -1},
        {"{\"prompt_tokens\":1,\"cost\":{\"total_cost\":0.00619}}", 1, -1, -1, -1, -1, -1, -1, -1, 6190000},
        {"{\"prompt_tokens\":1,\"cost_in_usd_ticks\":2071250}", 1, -1, -1, -1, -1, -1, -1, -1, 207125},
    };
    begin();
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct answer_notes notes;
        char data[512];
        int before = unit_failures;
        snprintf(data, sizeof data, "{\"choices\":[],\"usage\":%s}", table[i].usage);
        scan(data, &notes);
        EXPECT_EQ(notes.usage->count[USAGE_INPUT], table[i].input);
        EXPECT_EQ(notes.usage->count[USAGE_CACHE_READ], table[i].cache_read);
        EXPECT_EQ(notes.usage->count[USAGE_CACHE_WRITE], table[i].cache_write);
        EXPECT_EQ(notes.usage->count[USAGE_INPUT_AUDIO], table[i].in_audio);
        EXPECT_EQ(notes.usage->count[USAGE_INPUT_IMAGE], table[i].in_image);
        EXPECT_EQ(notes.usage->count[USAGE_OUTPUT], table[i].output);
        EXPECT_EQ(notes.usage->count[USAGE_REASONING], table[i].reasoning);
        EXPECT_EQ(notes.usage->count[USAGE_OUTPUT_AUDIO], table[i].out_audio);
        EXPECT_EQ(notes.provider_cost_nano, table[i].cost);
        EXPECT_EQ(notes.usage->source, table[i].input < 0 && table[i].output < 0 ? USAGE_SOURCE_UNKNOWN : USAGE_SOURCE_REPORTED);
        if (unit_failures != before)
            printf("# ^ %s\n", table[i].usage);
    }
    end();
}

TEST(usage_in_a_corner_is_found)
{
    struct answer_notes notes;
    begin();
    EXPECT_EQ(scan("{\"choices\":[{\"delta\":{},\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}]}", &notes), EVENT_PASS); /* Moonshot */
    EXPECT_EQ(notes.usage->count[USAGE_OUTPUT], 4);
    EXPECT_EQ(scan("{\"choices\":[{\"delta\":{}}],\"x_groq\":{\"id\":\"r\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5}}}", &notes), EVENT_PASS);
    EXPECT_EQ(notes.usage->count[USAGE_OUTPUT], 5);
    end();
}

/* ---- errors ---- */

TEST(an_error_says_whether_waiting_or_going_elsewhere_helps)
{
    static const struct {
        int status;
        const char *body;
        enum provider_error_class class;
    } table[] = {
        {400, "{\"error\":{\"message\":\"no\",\"code\":\"context_length_exceeded\"}}", PROVIDER_ERROR_CONTEXT},
        {400, "{\"error\":\"prompt is too long: 9 tokens\"}", PROVIDER_ERROR_CONTEXT},
        {400, "{\"error\":\"The response was filtered due to our content management policy\"}", PROVIDER_ERROR_FILTER},
        {400, "{\"code\":\"Client specified an invalid argument\",\"error\":\"Incorrect API key provided: xa***\"}", PROVIDER_ERROR_CREDENTIAL},
        {400, "{\"error\":{\"message\":\"Unsupported parameter\",\"code\":\"unsupported_parameter\"}}", PROVIDER_ERROR_REQUEST},
        {401, "{\"detail\":\"Unauthorized\"}", PROVIDER_ERROR_CREDENTIAL},
        {402, "{\"error\":{\"message\":\"pay\"}}", PROVIDER_ERROR_QUOTA},
        {403, "{\"code\":\"x\",\"error\":\"Content violates usage guidelines. Failed check\"}", PROVIDER_ERROR_FILTER},
        {403, "", PROVIDER_ERROR_CREDENTIAL},
        {404, "{\"error\":{\"code\":\"DeploymentNotFound\"}}", PROVIDER_ERROR_NOT_FOUND},
        {408, "", PROVIDER_ERROR_TIMEOUT},
        {413, "{\"error\":{\"message\":\"Request too large for model\",\"code\":\"rate_limit_exceeded\"}}", PROVIDER_ERROR_CONTEXT},
        {422, "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"field required\"}]}", PROVIDER_ERROR_REQUEST},
        {429, "{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}}", PROVIDER_ERROR_RATE},
        {429, "{\"error\":{\"code\":429,\"message\":\"limit\",\"details\":[{\"quotaId\":\"RequestsPerDayPerProject\"}]}}", PROVIDER_ERROR_QUOTA},
        {429, "<html>", PROVIDER_ERROR_RATE},
        {498, "", PROVIDER_ERROR_OVERLOAD},
        {500, "not json", PROVIDER_ERROR_FAULT},
        {503, "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}", PROVIDER_ERROR_OVERLOAD},
        {504, "", PROVIDER_ERROR_TIMEOUT},
        {529, "", PROVIDER_ERROR_OVERLOAD},
        {301, "", PROVIDER_ERROR_FAULT},
        {200, "{\"error\":{\"message\":\"x\",\"code\":429}}", PROVIDER_ERROR_RATE},
        {200, "{\"error\":{\"message\":\"x\",\"code\":\"rate_limit_exceeded\"}}", PROVIDER_ERROR_RATE},
        {200, "{\"error\":\"x\"}", PROVIDER_ERROR_FAULT},
    };
    begin();
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct provider_error e;
        openai->read_error(table[i].status, NULL, span_str(table[i].body), 0, &e);
        if (e.class != table[i].class)
            UNIT_FAIL("%d %s is %s, not %s", table[i].status, table[i].body, provider_error_name(e.class), provider_error_name(table[i].class));
    }
    end();
}

TEST(a_long_message_is_cut_between_characters)
{
    struct buf body;
    struct provider_error e;
    begin();
    for (unsigned shift = 0; shift < 12; shift++) {
        buf_init(&body, 65536);
        EXPECT_EQ(buf_printf(&body, "{\"error\":\"%.*s", (int)shift, "xxxxxxxxxxxx"), ERR_OK);
        for (unsigned i = 0; i < 1000; i++)
            EXPECT_EQ(buf_append(&body, SPAN("\\u00e9\xc3\xa9\\n")), ERR_OK);
        EXPECT_EQ(buf_append(&body, SPAN("\"}")), ERR_OK);
        openai->read_error(500, NULL, buf_span(&body), 0, &e);
        EXPECT(e.message.n > 2000 && e.message.n <= 2048);
        EXPECT_EQ(json_check(arena_printf(&arena, "\"%.*s\"", SPAN_ARG(e.message))), ERR_OK);
        buf_fini(&body);
    }
    end();
}

TEST(a_wait_is_understood_in_each_of_its_forms)
{
    static const struct {
        const char *ms, *after;
        int64_t wait;
    } table[] = {
        {"", "", -1},       {"250", "9", 250},  {"", "2", 2000},      {"", "1.5", 1500}, {"", "Mon, 23 Nov 2026 02:00:07 GMT", 7000},
        {"x", "3", 3000},   {"", "soon", -1},   {"", "-1", -1},       {"0", "", 0},      {"", "Mon, 23 Nov 2026 01:00:00 GMT", 0},
        {"", "99999999999999999999", 7LL * 24 * 3600 * 1000},
    };
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct header h[] = {{SPAN("Retry-After-Ms"), span_str(table[i].ms)}, {SPAN("Retry-After"), span_str(table[i].after)}};
        struct http_head head = {.headers = h, .headers_n = 2};
        struct provider_error e;
        dialect_find(SPAN("openai"))->read_error(429, &head, SPAN(""), 1795399200000000, &e);
        EXPECT_EQ(e.retry_after_ms, table[i].wait);
    }
}

TEST(an_error_is_told_in_the_clients_dialect)
{
    struct buf out;
    struct client_error e = {.error = ERR_UNKNOWN_MODEL, .message = "no \"m\"\n", .param = "model"};
    begin();
    buf_init(&out, 4096);
    openai->write_error(&out, &e);
    EXPECT_SPAN(buf_span(&out), "{\"error\":{\"message\":\"no \\\"m\\\"\\n\",\"type\":\"invalid_request_error\",\"param\":\"model\",\"code\":\"model_not_found\"}}");
    buf_clear(&out);
    e = (struct client_error){.error = ERR_PROVIDER_RESET, .request_id = "r1"};
    openai->write_stream_error(&out, &e);
    EXPECT(span_starts(buf_span(&out), SPAN("data: {\"error\":{")));
    EXPECT(span_ends(buf_span(&out), SPAN("\"type\":\"server_error\",\"param\":null,\"code\":\"provider_lost\"},\"request_id\":\"r1\"}\n\n")));
    buf_fini(&out);
    end();
}

/* ---- addresses ---- */

TEST(azure_is_addressed_however_its_url_was_typed)
{
    static const struct {
        const char *base, *version, *target;
    } table[] = {
        {"", "", "/openai/v1/chat/completions"},
        {"/openai", "", "/openai/v1/chat/completions"},
        {"/openai/v1", "", "/openai/v1/chat/completions"},
        {"", "2024-10-21", "/openai/deployments/a%2Fb/chat/completions?api-version=2024-10-21"},
        {"/openai/v1", "2024-10-21", "/openai/deployments/a%2Fb/chat/completions?api-version=2024-10-21"},
        {"/proxy", "v&x", "/proxy/openai/deployments/a%2Fb/chat/completions?api-version=v%26x"},
    };
    begin();
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct endpoint e = {.api = API_OPENAI_CHAT, .base_path = span_str(table[i].base), .model = SPAN("a/b"), .api_version = span_str(table[i].version)};
        struct buf out;
        buf_init(&out, 4096);
        EXPECT_EQ(azure->endpoint_target(&out, &e), ERR_OK);
        EXPECT_SPAN(buf_span(&out), table[i].target);
        buf_fini(&out);
    }
    struct header h[8];
    struct endpoint entra = {.credential = SPAN("eyJhbGciOi.eyJ.sig")};
    EXPECT(azure->endpoint_headers(&arena, &entra, h, 8) == 4);
    EXPECT_SPAN(h[0].name, "authorization");
    EXPECT_SPAN(h[0].value, "Bearer eyJhbGciOi.eyJ.sig");
    struct endpoint open = {.credential = SPAN("")};
    EXPECT(openai->endpoint_headers(&arena, &open, h, 8) == 3); /* one's own server may want no key */
    end();
}

/* ---- translation ---- */

static struct neutral_request *anthropic_like(void)
{
    struct neutral_request *r = ARENA_NEW(&arena, struct neutral_request);
    neutral_request_init(r, &arena);
    r->shape = NEUTRAL_SHAPE_ANTHROPIC;
    r->model = SPAN("m");
    r->messages = ARENA_NEW(&arena, struct neutral_message);
    r->messages->role = NEUTRAL_USER;
    r->messages->parts = ARENA_NEW(&arena, struct neutral_part);
    r->messages->parts->text = (struct json_string){.raw = SPAN("hi")};
    return r;
}

static enum err encode(const struct neutral_request *r, struct buf *out, struct complaint *why)
{
    buf_init(out, 65536);
    return openai->encode_request(out, r, why);
}

TEST(what_a_provider_cannot_be_told_is_refused_or_listed_and_never_lost)
{
    struct buf out;
    struct complaint why = {.error = ERR_OK};
    begin();
    struct neutral_request *r = anthropic_like();
    EXPECT_EQ(encode(r, &out, &why), ERR_OK);
    EXPECT_SPAN(buf_span(&out), "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}");
    buf_fini(&out);
    r->top_k = (struct neutral_int){true, 40};
    EXPECT_EQ(encode(r, &out, &why), ERR_UNMAPPABLE);
    EXPECT_STR(why.param, "top_k");
    EXPECT_EQ(buf_bytes(&out), 0);
    buf_fini(&out);
    struct neutral_loss *losses = NULL;
    r->losses = &losses;
    EXPECT_EQ(encode(r, &out, &why), ERR_OK);
    REQUIRE(losses != NULL);
    EXPECT_SPAN(losses->param, "top_k");
    buf_fini(&out);
    r->losses = NULL;
    r->top_k.said = false;
    neutral_extra_add(&arena, &r->extra, SPAN("container"), SPAN("\"c\""));
    EXPECT_EQ(encode(r, &out, &why), ERR_UNMAPPABLE);
    EXPECT_STR(why.param, "container");
    buf_fini(&out);
    end();
}

/* Were a step of the reader to look through all that came before, these would take minutes. */
TEST(a_body_with_a_great_many_of_something_does_not_stop_the_gateway)
{
    static const struct {
        enum api api;
        const char *head, *each, *tail;
    } table[] = {
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[]", ",\"k\":1", "}"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{}", ",{\"type\":\"text\",\"text\":\"\"}", "]}]}"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}", ",{\"role\":\"user\",\"content\":\"\"}", "]}"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\"", ",\"prefix\":1", "}]}"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[],\"tools\":[{}", ",{}", "]}"},
        {API_OPENAI_CHAT, "{\"model\":\"m\",\"messages\":[],\"stop\":[\"\"", ",\"\"", "]}"},
        {API_OPENAI_EMBEDDINGS, "{\"model\":\"m\",\"input\":[\"\"", ",\"\"", "]}"},
    };
    enum { MANY = 200000 };
    begin();
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct buf body;
        struct neutral_request r;
        struct request_facts facts;
        struct complaint why;
        buf_init(&body, 64u << 20);
        REQUIRE(buf_append(&body, span_str(table[i].head)) == ERR_OK);
        for (unsigned k = 0; k < MANY; k++)
            REQUIRE(buf_append(&body, span_str(table[i].each)) == ERR_OK);
        REQUIRE(buf_append(&body, span_str(table[i].tail)) == ERR_OK);
        EXPECT_EQ(openai->scan_request(&arena, table[i].api, buf_span(&body), &facts, &why), ERR_OK);
        EXPECT_EQ(openai->decode_request(&arena, table[i].api, buf_span(&body), &r, &why), ERR_OK);
        buf_fini(&body);
    }
    end();
}

TEST(arguments_pass_between_dialects_that_write_them_as_text_and_as_objects)
{
    static const struct {
        const char *text, *object; /* NULL: refused */
    } table[] = {
        {"{\\\"a\\\":1}", "{\"a\":1}"}, {"", "{}"}, {"  ", "{}"}, {"{}", "{}"}, {"[1]", NULL}, {"{\\\"a\\\":", NULL}, {"nonsense", NULL},
    };
    begin();
    for (unsigned i = 0; i < COUNT_OF(table); i++) {
        struct neutral_tool_call call = {.arguments = {span_str(table[i].text), strchr(table[i].text, '\\') != NULL}};
        struct span object = SPAN_NONE;
        EXPECT_EQ(neutral_call_object(&arena, &call, &object), table[i].object ? ERR_OK : ERR_JSON);
        if (table[i].object)
            EXPECT_SPAN(object, table[i].object);
    }
    struct neutral_tool_call call = {.arguments_json = SPAN("{\"a\":\"\\n\"}")};
    EXPECT_SPAN(neutral_call_text(&arena, &call).raw, "{\\\"a\\\":\\\"\\\\n\\\"}");
    end();
}

TEST(vectors_are_the_same_packed_and_written_out)
{
    static const float values[] = {1.0f, -0.5f, 1.5f, 3.14159274f, 1e-30f, 0.1f};
    struct neutral_vector v = {.values = (float *)values, .n = COUNT_OF(values)};
    struct neutral_answer answer, again;
    begin();
    for (enum neutral_encoding encoding = NEUTRAL_ENCODING_FLOAT; encoding <= NEUTRAL_ENCODING_BASE64; encoding++) {
        struct buf out;
        neutral_answer_init(&answer, &arena);
        answer.task = NEUTRAL_EMBEDDING;
        answer.vectors = &v;
        answer.encoding = encoding;
        buf_init(&out, 65536);
        EXPECT_EQ(openai->write_answer(&out, API_OPENAI_EMBEDDINGS, &answer), ERR_OK);
        REQUIRE(openai->read_answer(&arena, API_OPENAI_EMBEDDINGS, buf_span(&out), &again) == ERR_OK);
        EXPECT_EQ(again.encoding, encoding);
        REQUIRE(again.vectors && again.vectors->n == COUNT_OF(values));
        EXPECT(memcmp(again.vectors->values, values, sizeof values) == 0);
        buf_fini(&out);
    }
    end();
}

/* Another dialect's answer as a chat stream: reasoning under both names, a call without id gets one, usage once, an honest error. */
static void write(struct buf *out, struct neutral_writer *w, struct neutral_event event)
{
    EXPECT_EQ(openai->write_event(out, API_OPENAI_CHAT, &event, w), ERR_OK);
}

TEST(a_stream_of_another_dialect_is_what_chat_clients_expect)
{
    struct neutral_writer w;
    struct buf out;
    begin();
    buf_init(&out, 65536);
    neutral_writer_init(&w, &arena);
    w.wants_usage = true;
    struct neutral_event e = {.kind = NEUTRAL_EVENT_START, .choice = -1, .start = {.id = SPAN("msg_1"), .model = SPAN("claude")}};
    write(&out, &w, e);
    EXPECT(span_find_span(buf_span(&out), SPAN("\"role\":\"assistant\"")) > 0);
    write(&out, &w, (struct neutral_event){.kind = NEUTRAL_EVENT_PART_START, .part_kind = NEUTRAL_REASONING});
    write(&out, &w, (struct neutral_event){.kind = NEUTRAL_EVENT_DELTA, .part_kind = NEUTRAL_REASONING, .text = {.raw = SPAN("hm")}});
    EXPECT(span_find_span(buf_span(&out), SPAN("{\"reasoning_content\":\"hm\",\"reasoning\":\"hm\"}")) > 0);
    write(&out, &w, (struct neutral_event){.kind = NEUTRAL_EVENT_PART_START, .part = 1, .part_kind = NEUTRAL_TOOL_CALL, .call = {.name = SPAN("f")}});
    write(&out, &w, (struct neutral_event){.kind = NEUTRAL_EVENT_DELTA, .part = 1, .part_kind = NEUTRAL_TOOL_CALL, .text = {.raw = SPAN("{}")}});
    EXPECT(span_find_span(buf_span(&out), SPAN("[{\"index\":0,\"id\":\"call_0_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]")) > 0);
    EXPECT(span_find_span(buf_span(&out), SPAN("[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]")) > 0);
    struct neutral_event usage = {.kind = NEUTRAL_EVENT_USAGE, .choice = -1};
    usage_init(&usage.usage.usage);
    usage.usage.usage.count[USAGE_INPUT] = 3;
    write(&out, &w, usage);
    usage.usage.usage.count[USAGE_OUTPUT] = 4;
    write(&out, &w, usage);
    write(&out, &w, (struct neutral_event){.kind = NEUTRAL_EVENT_FINISH, .finish = {.stop = NEUTRAL_STOP_BROKEN_CALL}});
    EXPECT(span_find_span(buf_span(&out), SPAN("\"finish_reason\":\"error\"")) > 0);
    write(&out, &w, (struct neutral_event){.kind = NEUTRAL_EVENT_END});
    EXPECT(span_ends(buf_span(&out), SPAN("\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\ndata: [DONE]\n\n")));
    size_t before = buf_bytes(&out);
    write(&out, &w, (struct neutral_event){.kind = NEUTRAL_EVENT_PING});
    EXPECT_EQ(buf_bytes(&out), before); /* nothing after the end */
    buf_fini(&out);
    end();
}

UNIT_MAIN
