/* SPDX-License-Identifier: Apache-2.0
 *
 * Recorded traffic of OpenAI-shaped providers through the dialect. The recordings are the truth: whatever of them we cannot read is our
 * defect. Found under $ENTENTE_FIXTURES/fixtures; without them everything is skipped.
 */
#include <dirent.h>

#include "base/digest.h"
#include "dialect/dialect.h"
#include "http/sse.h"
#include "joined.h"
#include "tree.h"
#include "unit.h"

struct fixture {
    char path[512];
    const char *name; /* host/case */
    enum api api;
    int status;
    bool is_sse;
    struct span request, body;
    struct tree *meta;
};

static struct arena arena;
static const struct dialect *openai;

static struct span read_whole(const char *folder, const char *file)
{
    char path[640];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = fopen(path, "rb");
    if (!f)
        return SPAN_NONE;
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *p = arena_alloc(&arena, (size_t)n + 1);
    size_t got = fread(p, 1, (size_t)n, f);
    fclose(f);
    return span_of(p, got);
}

static enum api api_of(const char *name)
{
    if (strcmp(name, "chat") == 0 || strcmp(name, "openai-chat") == 0)
        return API_OPENAI_CHAT;
    return strcmp(name, "completions") == 0  ? API_OPENAI_COMPLETIONS
           : strcmp(name, "embeddings") == 0 ? API_OPENAI_EMBEDDINGS
                                             : API_NONE;
}

static bool has_path(const struct fixture *f, const char *path) { return strstr(tree_text(tree_get(f->meta, "url")), path) != NULL; }

static bool load(struct fixture *f)
{
    f->meta = tree_parse(&arena, read_whole(f->path, "meta.json"));
    f->api = f->meta ? api_of(tree_text(tree_get(f->meta, "api"))) : API_NONE;
    if (f->api == API_NONE || has_path(f, "mbedContent") || has_path(f, ":batchEmbed"))
        return false; /* another dialect under the same name */
    f->status = (int)tree_number(tree_get(f->meta, "status"), 0);
    f->is_sse = strcmp(tree_text(tree_get(f->meta, "response_kind")), "sse") == 0;
    f->request = read_whole(f->path, "request.json");
    f->body = read_whole(f->path, "response.body");
    return true;
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

/* Calls each for every fixture in a stable order; says how many. */
static unsigned walk(void (*each)(struct fixture *))
{
    char root[256];
    const char *base = getenv("ENTENTE_FIXTURES"), *source = getenv("ENTENTE_SOURCE");
    struct dirent **hosts, **cases;
    unsigned count = 0;
    if (base && base[0])
        snprintf(root, sizeof root, "%s/fixtures", base);
    else
        snprintf(root, sizeof root, "%s/../shared/fixtures", source && source[0] ? source : ".");
    openai = dialect_find(SPAN("openai"));
    int n = scandir(root, &hosts, visible, alphasort);
    for (int i = 0; i < n; i++) {
        char folder[384];
        snprintf(folder, sizeof folder, "%.250s/%.120s", root, hosts[i]->d_name);
        int m = scandir(folder, &cases, visible, alphasort);
        for (int k = 0; k < m; k++) {
            struct fixture f = {.api = API_NONE};
            arena_init(&arena, 65536);
            snprintf(f.path, sizeof f.path, "%.380s/%.120s", folder, cases[k]->d_name);
            f.name = f.path + strlen(root) + 1;
            int before = unit_failures;
            if (load(&f)) {
                each(&f);
                count++;
            }
            if (unit_failures != before)
                printf("# ^ %s\n", f.name);
            arena_fini(&arena);
            free(cases[k]);
        }
        if (m >= 0)
            free(cases);
        free(hosts[i]);
    }
    if (n >= 0)
        free(hosts);
    return count;
}

#define WALK_OR_SKIP(each)                                                        \
    do {                                                                          \
        unsigned walked = walk(each);                                             \
        printf("# %u recordings\n", walked);                                      \
        if (walked == 0)                                                          \
            SKIP("no recordings: set ENTENTE_FIXTURES to the folder that holds fixtures/"); \
    } while (0)

/* ---- requests ---- */

/* Recordings of requests that nobody should send: each provider refused them, and so may we. */
static bool is_refused_by_its_provider(const struct fixture *f) { return f->status == 400 || f->status == 422; }

static const struct dialect *dialect_of(const struct fixture *f)
{
    return has_path(f, "/deployments/") ? dialect_find(SPAN("azure-openai")) : openai;
}

static void scan_one(struct fixture *f)
{
    struct request_facts facts;
    struct complaint why = {.error = ERR_OK};
    struct tree *t = f->request.p ? tree_parse(&arena, f->request) : NULL;
    if (!t)
        return;
    if (dialect_of(f)->scan_request(&arena, f->api, f->request, &facts, &why)) {
        if (!is_refused_by_its_provider(f))
            UNIT_FAIL("refused: %s %s", why.param, why.message);
        return;
    }
    const struct tree *stream = tree_get(t, "stream"), *usage = tree_path(t, "stream_options.include_usage");
    EXPECT_SPAN(facts.model, tree_text(tree_get(t, "model")));
    EXPECT_EQ(facts.stream, stream && stream->type == 't');
    EXPECT_EQ(facts.wants_usage, usage && usage->type == 't');
    EXPECT_EQ(facts.choices, tree_number(tree_get(t, "n"), 1));
    EXPECT_EQ(facts.output_tokens_max, tree_number(tree_get(t, "max_completion_tokens"), tree_number(tree_get(t, "max_tokens"), -1)));
}

TEST(a_request_that_providers_took_is_never_refused) { WALK_OR_SKIP(scan_one); }

/* The tree with a member set, as the edit should have it. */
static void set_member(struct tree *object, const char *key, struct tree *value)
{
    struct tree *old = tree_get(object, key);
    value->key = arena_strdup(&arena, span_str(key));
    value->key_n = strlen(key);
    if (old) {
        struct tree *next = old->next;
        *old = *value;
        old->next = next;
    } else {
        value->next = object->child;
        object->child = value;
    }
}

static void edit_one(struct fixture *f)
{
    struct request_facts facts;
    struct complaint why;
    struct iovec out[8];
    struct tree *want = f->request.p ? tree_parse(&arena, f->request) : NULL;
    if (!want || dialect_of(f)->scan_request(&arena, f->api, f->request, &facts, &why))
        return;
    bool ask = f->api != API_OPENAI_EMBEDDINGS;
    unsigned n = dialect_edit_request(&arena, &facts, f->request, SPAN("other/\"model\""), ask, out);
    REQUIRE(n <= 8);
    struct tree *got = tree_parse(&arena, joined(&arena, out, n));
    set_member(want, "model", tree_parse(&arena, SPAN("\"other/\\\"model\\\"\"")));
    if (ask) {
        struct tree *options = tree_get(want, "stream_options");
        if (!options || options->type == 'n')
            set_member(want, "stream_options", tree_parse(&arena, SPAN("{\"include_usage\":true}")));
        else
            set_member(options, "include_usage", tree_parse(&arena, SPAN("true")));
    }
    EXPECT(tree_equal(want, got, "body"));
    n = dialect_edit_request(&arena, &facts, f->request, facts.model, facts.wants_usage, out);
    if (facts.model.n)
        EXPECT(span_eq(joined(&arena, out, n), f->request));
}

TEST(an_edited_request_changes_in_nothing_else) { WALK_OR_SKIP(edit_one); }

/* A tool without type is a function; the encoder says so. */
static void say_tool_types(struct tree *request)
{
    struct tree *tools = tree_get(request, "tools");
    for (struct tree *t = tools ? tools->child : NULL; t; t = t->next)
        if (!tree_get(t, "type"))
            set_member(t, "type", tree_parse(&arena, SPAN("\"function\"")));
}

static void round_trip_request(struct fixture *f)
{
    struct neutral_request r;
    struct complaint why = {.error = ERR_OK};
    struct buf out;
    struct tree *want = f->request.p ? tree_parse(&arena, f->request) : NULL;
    if (!want)
        return;
    enum err e = openai->decode_request(&arena, f->api, f->request, &r, &why);
    if (e) {
        if (!is_refused_by_its_provider(f))
            UNIT_FAIL("refused: %s %s", why.param, why.message);
        return;
    }
    buf_init(&out, 64u << 20);
    EXPECT_EQ(openai->encode_request(&out, &r, &why), ERR_OK);
    say_tool_types(want);
    EXPECT(tree_equal(want, tree_parse(&arena, buf_span(&out)), "body"));
    buf_fini(&out);
}

TEST(a_request_through_the_neutral_form_means_the_same) { WALK_OR_SKIP(round_trip_request); }

/* ---- answers ---- */

/* What the recording says of usage, the plain way: the last usage object there is. */
static const struct tree *last_usage(const struct tree *answer, const struct tree *before)
{
    const struct tree *u = tree_get(answer, "usage");
    return u && u->type == '{' ? u : before;
}

static long long detail(const struct tree *u, const char *a, const char *b, const char *c)
{
    long long n = tree_number(tree_path(u, a), -1);
    if (n < 0 && b)
        n = tree_number(tree_path(u, b), -1);
    return n < 0 && c ? tree_number(tree_path(u, c), -1) : n;
}

static long long at_least_0(long long n) { return n > 0 ? n : 0; }

static void expect_usage(const struct tree *u, const struct usage *got, enum api api)
{
    if (!u) {
        EXPECT_EQ(got->source, USAGE_SOURCE_UNKNOWN);
        return;
    }
    long long prompt = detail(u, "prompt_tokens", NULL, NULL), total = detail(u, "total_tokens", NULL, NULL);
    long long cached = detail(u, "prompt_tokens_details.cached_tokens", "num_cached_tokens", "cached_tokens");
    long long reasoning = detail(u, "completion_tokens_details.reasoning_tokens", NULL, NULL);
    long long audio = detail(u, "prompt_tokens_details.audio_tokens", NULL, NULL);
    long long in = usage_total(got, USAGE_SIDE_INPUT), out = usage_total(got, USAGE_SIDE_OUTPUT);
    EXPECT_EQ(got->source, USAGE_SOURCE_REPORTED);
    if (total >= 0)
        EXPECT_EQ(in + at_least_0(out), total);
    EXPECT(in == prompt || (audio > 0 && in == prompt + audio));
    if (cached >= 0)
        EXPECT_EQ(got->count[USAGE_CACHE_READ], cached < prompt ? cached : prompt);
    if (reasoning > 0)
        EXPECT_EQ(got->count[USAGE_REASONING], reasoning);
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        EXPECT(got->count[i] >= -1);
}

static void scan_plain(struct fixture *f)
{
    struct answer_notes notes;
    struct tree *t = f->is_sse || f->status >= 300 ? NULL : tree_parse(&arena, f->body);
    if (!t)
        return;
    answer_notes_init(&notes, &arena);
    enum err e = openai->scan_answer(f->api, f->body, &notes);
    if (tree_get(t, "error")) {
        EXPECT_EQ(e, ERR_PROVIDER_FAULT);
        EXPECT(notes.error_seen);
        return;
    }
    EXPECT_EQ(e, ERR_OK);
    expect_usage(last_usage(t, NULL), notes.usage, f->api);
    EXPECT_SPAN(notes.model_served, tree_text(tree_get(t, "model")));
    EXPECT(f->api == API_OPENAI_EMBEDDINGS || notes.finish != FINISH_NONE);
    EXPECT(notes.content_seen);
}

TEST(the_usage_of_an_answer_is_what_the_provider_reported) { WALK_OR_SKIP(scan_plain); }

/* ---- streams ---- */

struct verdicts {
    struct answer_notes notes;
    unsigned events, kinds[8];
    size_t shown;
};

static void take_event(struct verdicts *v, enum api api, const struct sse_event *event)
{
    struct event_scan scan;
    if (!event->has_data)
        return;
    openai->scan_event(api, event->data, &v->notes, &scan);
    v->events++;
    v->kinds[scan.verdict]++;
    v->shown += event->data.n - (scan.cut_end - scan.cut_at);
}

static void scan_in_two(const struct fixture *f, size_t cut, struct verdicts *v)
{
    struct sse sse;
    struct sse_event event;
    *v = (struct verdicts){.events = 0};
    answer_notes_init(&v->notes, &arena);
    sse_init(&sse, 16u << 20);
    for (unsigned i = 0; i < 2; i++) {
        sse_feed(&sse, i ? span_from(f->body, cut) : span_to(f->body, cut));
        while (sse_next(&sse, &event) == ERR_OK)
            take_event(v, f->api, &event);
    }
    if (sse_end(&sse, &event) == ERR_OK)
        take_event(v, f->api, &event);
    sse_fini(&sse);
}

static bool same_notes(const struct verdicts *a, const struct verdicts *b)
{
    return a->events == b->events && a->shown == b->shown && memcmp(a->kinds, b->kinds, sizeof a->kinds) == 0 &&
           memcmp(a->notes.usage->count, b->notes.usage->count, sizeof a->notes.usage->count) == 0 &&
           a->notes.usage->source == b->notes.usage->source && a->notes.finish == b->notes.finish &&
           a->notes.choices_finished == b->notes.choices_finished && a->notes.done == b->notes.done &&
           a->notes.content_seen == b->notes.content_seen && a->notes.error_seen == b->notes.error_seen &&
           a->notes.provider_cost_nano == b->notes.provider_cost_nano && span_eq(a->notes.model_served, b->notes.model_served);
}

#define CUT_WORK_MAX ((size_t)24 << 20) /* bytes scanned per recording; long ones are cut at every so-manieth byte */

static void cut_stream(struct fixture *f)
{
    struct verdicts whole, cut;
    if (!f->is_sse || f->status >= 300)
        return;
    scan_in_two(f, f->body.n, &whole);
    size_t step = 1 + f->body.n * f->body.n / CUT_WORK_MAX;
    for (size_t at = 0; at < f->body.n; at += step) {
        struct arena_mark mark = arena_mark(&arena);
        scan_in_two(f, at, &cut);
        bool same = same_notes(&whole, &cut);
        arena_rewind(&arena, mark);
        if (!same) {
            UNIT_FAIL("cut at byte %zu of %zu gives other notes", at, f->body.n);
            return;
        }
    }
}

TEST(where_the_network_cuts_a_stream_changes_nothing) { WALK_OR_SKIP(cut_stream); }

/* The data of each event, the plain way: our recordings have one data line each. */
static bool next_data(struct span *rest, struct span *ret)
{
    while (rest->p && rest->n) {
        struct span line = span_cut(rest, '\n');
        if (span_ends(line, SPAN("\r")))
            line.n--;
        if (!span_starts(line, SPAN("data:")))
            continue;
        *ret = span_trim(span_from(line, 5));
        return true;
    }
    return false;
}

static void scan_stream(struct fixture *f)
{
    struct verdicts v;
    struct span rest = f->body, data;
    const struct tree *usage = NULL;
    bool done = false, error = false, finish = false;
    if (!f->is_sse || f->status >= 300)
        return;
    scan_in_two(f, f->body.n, &v);
    while (next_data(&rest, &data)) {
        struct tree *t = tree_parse(&arena, data);
        done = done || span_eq(data, SPAN("[DONE]"));
        if (!t || t->type != '{')
            continue;
        usage = last_usage(t, usage);
        struct tree *e = tree_get(t, "error"), *choices = tree_get(t, "choices");
        error = error || (e && e->type != 'n');
        for (struct tree *c = choices ? choices->child : NULL; c; c = c->next)
            finish = finish || tree_text(tree_get(c, "finish_reason"))[0];
    }
    EXPECT_EQ(v.kinds[EVENT_BROKEN], 0);
    EXPECT_EQ(v.notes.done, done);
    EXPECT_EQ(v.notes.error_seen, error);
    EXPECT_EQ(v.notes.finish != FINISH_NONE, finish);
    expect_usage(usage, v.notes.usage, f->api);
}

TEST(the_usage_of_a_stream_is_what_the_provider_reported) { WALK_OR_SKIP(scan_stream); }

static void cut_usage(struct fixture *f)
{
    struct span rest = f->body, data;
    struct answer_notes notes;
    struct event_scan scan;
    if (!f->is_sse || f->status >= 300)
        return;
    answer_notes_init(&notes, &arena);
    while (next_data(&rest, &data)) {
        struct tree *t = tree_parse(&arena, data);
        openai->scan_event(f->api, data, &notes, &scan);
        if (scan.verdict != EVENT_USAGE_TOO)
            continue;
        struct iovec v[2] = {{(char *)data.p, scan.cut_at}, {(char *)data.p + scan.cut_end, data.n - scan.cut_end}};
        set_member(t, "usage", tree_parse(&arena, SPAN("null")));
        EXPECT(tree_equal(t, tree_parse(&arena, joined(&arena, v, 2)), "chunk"));
    }
}

TEST(usage_cut_out_of_a_chunk_leaves_the_rest) { WALK_OR_SKIP(cut_usage); }

/* ---- errors ---- */

static void classify_one(struct fixture *f)
{
    struct provider_error e;
    if (f->status < 400)
        return;
    openai->read_error(f->status, NULL, f->body, 0, &e);
    switch (f->status) {
    case 401: EXPECT_STR(provider_error_name(e.class), "credential"); break;
    case 404: EXPECT_STR(provider_error_name(e.class), "not_found"); break;
    case 429: EXPECT_STR(provider_error_name(e.class), "rate"); break;
    case 403: EXPECT_STR(provider_error_name(e.class), "filter"); break; /* the one recorded is xAI's safety check */
    default:
        EXPECT(e.class == PROVIDER_ERROR_REQUEST || e.class == PROVIDER_ERROR_CONTEXT || e.class == PROVIDER_ERROR_CREDENTIAL);
        EXPECT(!provider_error_retry_here(&e));
    }
    EXPECT(e.message.n > 0);
    bool too_long = span_find_span(f->body, SPAN("context length")) >= 0;
    EXPECT_EQ(e.class == PROVIDER_ERROR_CONTEXT, too_long);
}

TEST(a_recorded_error_is_understood) { WALK_OR_SKIP(classify_one); }

/* ---- translation of answers ---- */

static struct span write_answer(enum api api, const struct neutral_answer *answer, struct buf *out)
{
    buf_init(out, 64u << 20);
    EXPECT_EQ(openai->write_answer(out, api, answer), ERR_OK);
    return buf_span(out);
}

static void drop_member(struct tree *object, const char *key)
{
    struct tree *t = tree_get(object, key);
    if (t)
        t->type = 'n';
}

/* What the writer says in its own words. */
static void level_answer(struct tree *t, enum api api)
{
    struct tree *choices = tree_get(t, "choices"), *data = tree_get(t, "data");
    drop_member(t, "usage");
    drop_member(t, "object");
    drop_member(t, "created");
    for (struct tree *c = choices ? choices->child : NULL; c; c = c->next) {
        struct tree *message = tree_get(c, "message"), *finish = tree_get(c, "finish_reason");
        drop_member(c, "finish_reason");
        (void)finish;
        struct tree *annotations = message ? tree_get(message, "annotations") : NULL;
        if (annotations && !annotations->child)
            annotations->type = 'n';
        struct tree *content = message ? tree_get(message, "content") : NULL;
        if (content && tree_text(content)[0] == 0 && content->type == '"')
            content->type = 'n'; /* an empty text and none */
        struct tree *calls = message ? tree_get(message, "tool_calls") : NULL;
        if (calls && !calls->child)
            calls->type = 'n';
        for (struct tree *call = calls ? calls->child : NULL; call; call = call->next)
            set_member(call, "type", tree_parse(&arena, SPAN("\"function\"")));
    }
    for (struct tree *d = data ? data->child : NULL; d; d = d->next) {
        drop_member(d, "embedding"); /* compared as numbers by the second reading */
        drop_member(d, "object");
    }
    (void)api;
}

static void level_empties(struct tree *t)
{
    for (struct tree *c = t->child; c; c = c->next) {
        if (t->type == '{' && c->type == '"' && c->text_n == 0)
            c->type = 'n';
        level_empties(c);
    }
}

static void translate_plain(struct fixture *f)
{
    struct neutral_answer first, second;
    struct buf one, two;
    struct tree *t = f->is_sse || f->status >= 300 ? NULL : tree_parse(&arena, f->body);
    if (!t || tree_get(t, "error"))
        return;
    REQUIRE(openai->read_answer(&arena, f->api, f->body, &first) == ERR_OK);
    struct span written = write_answer(f->api, &first, &one);
    struct tree *again = tree_parse(&arena, written);
    REQUIRE(again != NULL);
    REQUIRE(openai->read_answer(&arena, f->api, written, &second) == ERR_OK);
    EXPECT(memcmp(first.usage.count, second.usage.count, sizeof first.usage.count) == 0);
    EXPECT(span_eq(written, write_answer(f->api, &second, &two)));
    level_answer(t, f->api);
    level_answer(again, f->api);
    level_empties(t);
    level_empties(again);
    EXPECT(tree_equal(t, again, "answer"));
    buf_fini(&one);
    buf_fini(&two);
}

TEST(an_answer_through_the_neutral_form_says_the_same) { WALK_OR_SKIP(translate_plain); }

/* A stream told as one text, in which the order of parallel calls' fragments does not show. */
struct told {
    struct buf parts[8][32];
    struct buf rest;
    unsigned finished, ends, errors;
    struct usage usage;
};

static void tell(struct buf *b, const char *before, struct span text, const char *after)
{
    EXPECT_EQ(buf_printf(b, "%s%.*s%s", before, SPAN_ARG(text), after), ERR_OK);
}

static void tell_event(struct told *t, const struct neutral_event *e)
{
    unsigned choice = e->choice < 0 ? 0 : (unsigned)e->choice % 8, part = e->part % 32;
    struct buf *b = &t->parts[choice][part];
    switch (e->kind) {
    case NEUTRAL_EVENT_PART_START:
        tell(b, "[", span_str(neutral_part_kind_name(e->part_kind)), " ");
        if (e->part_kind == NEUTRAL_TOOL_CALL) {
            tell(b, "", e->call.id, " ");
            tell(b, "", e->call.name, ":");
        }
        break;
    case NEUTRAL_EVENT_DELTA: tell(b, "", e->text.raw, ""); break;
    case NEUTRAL_EVENT_SIGNATURE: tell(b, "signature ", e->signature.data.raw, ""); break;
    case NEUTRAL_EVENT_CITATION: tell(b, "citation ", e->citation->raw_json, ""); break;
    case NEUTRAL_EVENT_PART_END: tell(b, "]", SPAN(""), ""); break;
    case NEUTRAL_EVENT_FINISH:
        tell(&t->rest, "finish ", span_str(neutral_stop_name(e->finish.stop)), "\n");
        t->finished++;
        break;
    case NEUTRAL_EVENT_USAGE: t->usage = e->usage.usage; break;
    case NEUTRAL_EVENT_START: tell(&t->rest, "start ", e->start.id, "\n"); break;
    case NEUTRAL_EVENT_LOGPROBS: tell(&t->rest, "logprobs ", e->json, "\n"); break;
    case NEUTRAL_EVENT_SAFETY: tell(&t->rest, "safety ", e->json, "\n"); break;
    case NEUTRAL_EVENT_ERROR: t->errors++; break;
    case NEUTRAL_EVENT_END: t->ends++; break;
    default: break;
    }
}

static void told_init(struct told *t)
{
    memset(t, 0, sizeof *t);
    for (unsigned i = 0; i < 8; i++)
        for (unsigned k = 0; k < 32; k++)
            buf_init(&t->parts[i][k], 16u << 20);
    buf_init(&t->rest, 16u << 20);
    usage_init(&t->usage);
}

static void told_fini(struct told *t)
{
    for (unsigned i = 0; i < 8; i++)
        for (unsigned k = 0; k < 32; k++)
            buf_fini(&t->parts[i][k]);
    buf_fini(&t->rest);
}

static void read_stream(enum api api, struct span text, struct told *t, struct buf *out)
{
    struct neutral_reader reader;
    struct neutral_writer writer;
    struct neutral_event_list events;
    struct span data;
    bool more = true;
    neutral_reader_init(&reader, &arena);
    neutral_writer_init(&writer, &arena);
    writer.wants_usage = true;
    while (more) {
        more = next_data(&text, &data);
        EXPECT_EQ(openai->read_event(&arena, api, more ? data : SPAN_NONE, &reader, &events), ERR_OK);
        for (const struct neutral_event *e = events.first; e; e = e->next) {
            tell_event(t, e);
            if (out)
                EXPECT_EQ(openai->write_event(out, api, e, &writer), ERR_OK);
        }
    }
}

static void translate_stream(struct fixture *f)
{
    struct told *first = arena_alloc(&arena, sizeof *first), *second = arena_alloc(&arena, sizeof *second);
    struct buf wire;
    if (!f->is_sse || f->status >= 300)
        return;
    told_init(first);
    told_init(second);
    buf_init(&wire, 64u << 20);
    read_stream(f->api, f->body, first, &wire);
    read_stream(f->api, buf_span(&wire), second, NULL);
    EXPECT_EQ(first->ends, second->ends);
    EXPECT_EQ(first->errors, second->errors);
    EXPECT_EQ(first->ends + first->errors, 1);
    EXPECT(memcmp(first->usage.count, second->usage.count, sizeof first->usage.count) == 0);
    if (!span_eq(buf_span(&first->rest), buf_span(&second->rest)) && first->errors == 0)
        UNIT_FAIL("\n%.*s is not\n%.*s", SPAN_ARG(buf_span(&first->rest)), SPAN_ARG(buf_span(&second->rest)));
    for (unsigned i = 0; i < 8; i++)
        for (unsigned k = 0; k < 32; k++)
            if (!span_eq(buf_span(&first->parts[i][k]), buf_span(&second->parts[i][k])))
                UNIT_FAIL("choice %u part %u: %.*s is not %.*s", i, k, SPAN_ARG(buf_span(&first->parts[i][k])), SPAN_ARG(buf_span(&second->parts[i][k])));
    told_fini(first);
    told_fini(second);
    buf_fini(&wire);
}

TEST(a_stream_through_the_neutral_form_says_the_same) { WALK_OR_SKIP(translate_stream); }

/* The text of choice 0, the plain way: content put together. */
static void text_of_stream(struct fixture *f)
{
    struct told *t = arena_alloc(&arena, sizeof *t);
    struct span rest = f->body, data;
    struct buf want, got;
    if (!f->is_sse || f->status >= 300)
        return;
    told_init(t);
    buf_init(&want, 16u << 20);
    buf_init(&got, 16u << 20);
    struct neutral_reader reader;
    struct neutral_event_list events;
    neutral_reader_init(&reader, &arena);
    while (next_data(&rest, &data)) {
        struct tree *chunk = tree_parse(&arena, data), *choices = chunk ? tree_get(chunk, "choices") : NULL;
        EXPECT_EQ(openai->read_event(&arena, f->api, data, &reader, &events), ERR_OK);
        for (const struct neutral_event *e = events.first; e; e = e->next)
            if (e->kind == NEUTRAL_EVENT_DELTA && e->choice == 0 && e->part_kind == NEUTRAL_TEXT)
                EXPECT_EQ(json_unescape_to(&got, e->text), ERR_OK);
        for (struct tree *c = choices && choices->type == '[' ? choices->child : NULL; c; c = c->next) {
            struct tree *content = tree_path(c, f->api == API_OPENAI_CHAT ? "delta.content" : "text");
            if (tree_number(tree_get(c, "index"), 0) != 0 || !content)
                continue;
            if (content->type == '"')
                EXPECT_EQ(buf_append(&want, span_of(content->text, content->text_n)), ERR_OK);
            for (struct tree *p = content->type == '[' ? content->child : NULL; p; p = p->next)
                EXPECT_EQ(buf_append(&want, span_str(tree_text(tree_get(p, "text")))), ERR_OK);
        }
    }
    EXPECT(span_eq(buf_span(&want), buf_span(&got)));
    buf_fini(&want);
    buf_fini(&got);
    told_fini(t);
}

TEST(the_text_of_a_stream_arrives_whole) { WALK_OR_SKIP(text_of_stream); }

UNIT_MAIN
