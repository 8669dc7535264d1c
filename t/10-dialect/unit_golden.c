/* SPDX-License-Identifier: Apache-2.0
 *
 * One exchange, one file: golden/NAME.txt tells what a client sends and a provider answers, and beside each what the dialect makes of it.
 * A file is sections, each begun by a line "=== name arguments":
 *
 *   # lines before the first section say what the file shows
 *   === client             request line, headers, an empty line, body
 *   === facts              what routing and scan_request found; or, of a refused request, its error
 *   === to DIALECT key=…   where it goes: base= model= version=
 *   === provider           what the provider hears: target, headers, body after the edits
 *   === answer STATUS      headers, an empty line, body
 *   === notes              a line for each event, then what metering knows at the end; or what the error means
 *   === neutral            the answer in neutral words (events of a stream)
 *
 * The sections facts, provider, notes and neutral are made anew and compared. ENTENTE_GOLDEN=write writes them instead, for a person to
 * read before they are committed.
 */
#include <dirent.h>

#include "dialect/dialect.h"
#include "http/sse.h"
#include "unit.h"

#define SECTIONS 16

struct section {
    struct span title, body;
};

struct golden {
    struct span head; /* before the first section */
    struct section s[SECTIONS];
    unsigned n;
};

static struct arena arena;

static struct span read_whole(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return SPAN_NONE;
    char *p = arena_alloc(&arena, 1u << 20);
    size_t n = fread(p, 1, 1u << 20, f);
    fclose(f);
    return span_of(p, n);
}

static void parse(struct span text, struct golden *g)
{
    g->n = 0;
    g->head = text;
    while (text.p && text.n) {
        struct span line = span_cut(&text, '\n');
        if (!span_starts(line, SPAN("=== ")) || g->n == SECTIONS)
            continue;
        if (g->n == 0)
            g->head.n = (size_t)(line.p - g->head.p);
        else
            g->s[g->n - 1].body.n = (size_t)(line.p - g->s[g->n - 1].body.p);
        g->s[g->n++] = (struct section){span_from(line, 4), text.p ? text : SPAN("")};
    }
}

static struct section *find(struct golden *g, const char *name)
{
    for (unsigned i = 0; i < g->n; i++) {
        struct span title = g->s[i].title, word = span_cut(&title, ' ');
        if (span_eq(word, span_str(name)))
            return &g->s[i];
    }
    return NULL;
}

/* The value of key= in a title; empty when it is not there. */
static struct span argument(struct span title, const char *key)
{
    while (title.p) {
        struct span word = span_cut(&title, ' '), name = span_cut(&word, '=');
        if (span_eq(name, span_str(key)) && word.p)
            return word;
    }
    return SPAN("");
}

static struct span word_of(struct span title, unsigned n)
{
    struct span word = SPAN("");
    for (unsigned i = 0; i <= n && title.p; i++)
        word = span_cut(&title, ' ');
    return word;
}

#define SAY(b, ...) EXPECT_EQ(buf_printf(b, __VA_ARGS__), ERR_OK)

/* ---- the client's request ---- */

static unsigned parse_headers(struct span *rest, struct header *out)
{
    unsigned n = 0;
    while (rest->p && n < LIMIT_HEADERS) {
        struct span line = span_cut(rest, '\n');
        if (line.n == 0)
            break;
        struct span name = span_cut(&line, ':');
        out[n++] = (struct header){name, span_trim(line)};
    }
    return n;
}

static struct span without_newline(struct span s) { return s.n && s.p[s.n - 1] == '\n' ? span_to(s, s.n - 1) : s; }

static void parse_request(struct span text, struct http_head *head, struct header *headers, struct span *ret_body)
{
    struct span line = span_cut(&text, '\n'), method = span_cut(&line, ' ');
    *head = (struct http_head){.method = span_eq(method, SPAN("GET")) ? HTTP_GET : HTTP_POST, .target = line, .headers = headers};
    head->query = line;
    head->path = span_cut(&head->query, '?');
    head->headers_n = parse_headers(&text, headers);
    *ret_body = text.p ? without_newline(text) : SPAN("");
}

static void say_facts(struct buf *b, const struct route *r, const struct http_head *head, const struct request_facts *f)
{
    SAY(b, "dialect %s\napi %s\n", r->dialect->name, api_name(r->api));
    SAY(b, "key %.*s\n", SPAN_ARG(dialect_client_key(head)));
    if (r->deployment.n)
        SAY(b, "deployment %.*s\n", SPAN_ARG(r->deployment));
    SAY(b, "model %.*s\nstream %s\nusage %s\n", SPAN_ARG(f->model), f->stream ? "yes" : "no", f->wants_usage ? "asked" : "not asked");
    SAY(b, "choices %lld\noutput tokens at most %lld\n", (long long)f->choices, (long long)f->output_tokens_max);
    SAY(b, "media %s\nuser %.*s\n", f->media_n ? "yes" : "no", SPAN_ARG(f->user));
}

static void say_provider(struct buf *b, struct span title, const struct route *r, const struct request_facts *f, struct span body)
{
    const struct dialect *to = dialect_find(word_of(title, 1));
    struct endpoint e = {.api = r->api, .base_path = argument(title, "base"), .model = argument(title, "model"),
                         .credential = SPAN("our-secret"), .api_version = argument(title, "version"), .stream = f->stream};
    struct header headers[8];
    struct iovec out[8];
    REQUIRE(to != NULL);
    SAY(b, "POST ");
    EXPECT_EQ(to->endpoint_target(b, &e), ERR_OK);
    SAY(b, "\n");
    unsigned n = to->endpoint_headers(&arena, &e, headers, COUNT_OF(headers));
    for (unsigned i = 0; i < n; i++)
        SAY(b, "%.*s: %.*s\n", SPAN_ARG(headers[i].name), SPAN_ARG(headers[i].value));
    SAY(b, "\n");
    n = dialect_edit_request(&arena, f, body, e.model, f->stream, out);
    for (unsigned i = 0; i < n; i++)
        EXPECT_EQ(buf_append(b, span_of(out[i].iov_base, out[i].iov_len)), ERR_OK);
    SAY(b, "\n");
}

/* ---- the provider's answer ---- */

static void say_notes(struct buf *b, const struct answer_notes *n)
{
    SAY(b, "usage %s\n", usage_source_name(n->usage->source));
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        if (n->usage->count[i] >= 0)
            SAY(b, "  %s %lld\n", usage_class_name(i), (long long)n->usage->count[i]);
    SAY(b, "finish %s, %u choices\n", finish_reason_name(n->finish), n->choices_finished);
    SAY(b, "%s, %s%s\n", n->done ? "done" : "not done", n->content_seen ? "content" : "no content", n->error_seen ? ", error" : "");
    SAY(b, "served by %.*s\n", SPAN_ARG(n->model_served));
    if (n->provider_cost_nano >= 0)
        SAY(b, "cost %lld nano USD\n", (long long)n->provider_cost_nano);
}

static void say_event(struct buf *b, const struct dialect *d, enum api api, struct span data, struct answer_notes *notes)
{
    static const char *const names[] = {"pass", "usage only", "usage too", "done", "failed", "broken", "silent"};
    struct event_scan scan;
    d->scan_event(api, data, notes, &scan);
    SAY(b, "%s", names[scan.verdict]);
    if (scan.verdict == EVENT_USAGE_TOO)
        SAY(b, ": %.*s%.*s", SPAN_ARG(span_to(data, scan.cut_at)), SPAN_ARG(span_from(data, scan.cut_end)));
    if (scan.verdict == EVENT_FAILED)
        SAY(b, ": %.*s", SPAN_ARG(scan.error_message));
    SAY(b, "\n");
}

static void say_neutral_event(struct buf *b, const struct neutral_event *e)
{
    SAY(b, "%s", neutral_event_kind_name(e->kind));
    if (e->choice >= 0)
        SAY(b, " %d", e->choice);
    switch (e->kind) {
    case NEUTRAL_EVENT_START: SAY(b, " %.*s %.*s", SPAN_ARG(e->start.id), SPAN_ARG(e->start.model)); break;
    case NEUTRAL_EVENT_PART_START:
        SAY(b, ".%u %s", e->part, neutral_part_kind_name(e->part_kind));
        if (e->part_kind == NEUTRAL_TOOL_CALL)
            SAY(b, " %.*s %.*s", SPAN_ARG(e->call.id), SPAN_ARG(e->call.name));
        break;
    case NEUTRAL_EVENT_DELTA: SAY(b, ".%u \"%.*s\"", e->part, SPAN_ARG(e->text.raw)); break;
    case NEUTRAL_EVENT_PART_END: SAY(b, ".%u", e->part); break;
    case NEUTRAL_EVENT_FINISH: SAY(b, " %s", neutral_stop_name(e->finish.stop)); break;
    case NEUTRAL_EVENT_SAFETY: SAY(b, " %.*s", SPAN_ARG(e->json)); break;
    case NEUTRAL_EVENT_ERROR: SAY(b, " %s \"%.*s\"", err_name(e->failure.error), SPAN_ARG(e->failure.message.raw)); break;
    case NEUTRAL_EVENT_EXTRA:
        for (const struct neutral_extra *x = e->extra.list; x; x = x->next)
            SAY(b, " %.*s=%.*s", SPAN_ARG(x->key), SPAN_ARG(x->value_json));
        break;
    default: break;
    }
    SAY(b, "\n");
}

static void say_stream(struct buf *notes_out, struct buf *neutral_out, const struct dialect *d, enum api api, struct span body)
{
    struct answer_notes notes;
    struct neutral_reader reader;
    struct neutral_event_list events;
    struct sse sse;
    struct sse_event event;
    answer_notes_init(&notes, &arena);
    neutral_reader_init(&reader, &arena);
    sse_init(&sse, 1u << 20);
    sse_feed(&sse, body);
    bool more = true;
    while (more) {
        more = sse_next(&sse, &event) == ERR_OK;
        if (more && !event.has_data)
            continue;
        if (more)
            say_event(notes_out, d, api, event.data, &notes);
        if (d->read_event(&arena, api, more ? event.data : SPAN_NONE, &reader, &events))
            SAY(neutral_out, "broken\n");
        for (const struct neutral_event *e = events.first; e; e = e->next)
            say_neutral_event(neutral_out, e);
    }
    sse_fini(&sse);
    say_notes(notes_out, &notes);
}

static void say_plain(struct buf *notes_out, struct buf *neutral_out, const struct dialect *d, enum api api, struct span body)
{
    struct answer_notes notes;
    struct neutral_answer answer;
    answer_notes_init(&notes, &arena);
    SAY(notes_out, "scan %s\n", err_name(d->scan_answer(api, body, &notes)));
    say_notes(notes_out, &notes);
    enum err e = d->read_answer(&arena, api, body, &answer);
    if (!e)
        e = d->write_answer(neutral_out, api, &answer);
    SAY(neutral_out, "%s\n", e ? err_name(e) : "");
}

static void say_error(struct buf *b, const struct dialect *d, int status, const struct http_head *head, struct span body)
{
    struct provider_error e;
    d->read_error(status, head, body, 1795399200000000, &e); /* 2026-11-23T02:00:00Z */
    SAY(b, "class %s\nretry here %s, elsewhere %s\n", provider_error_name(e.class), provider_error_retry_here(&e) ? "yes" : "no",
        provider_error_retry_elsewhere(&e) ? "yes" : "no");
    SAY(b, "retry after %lld ms\ncode %.*s\nmessage %.*s\n", (long long)e.retry_after_ms, SPAN_ARG(e.code), SPAN_ARG(e.message));
}

/* ---- files ---- */

static void check(struct golden *g, const char *name, struct buf *made, FILE *rewrite)
{
    struct section *s = find(g, name);
    if (!rewrite && !s && buf_bytes(made))
        UNIT_FAIL("the section %s is missing; it would be\n%.*s", name, SPAN_ARG(buf_span(made)));
    if (!rewrite && s && !span_eq(s->body, buf_span(made)))
        UNIT_FAIL("%s is\n%.*s", name, SPAN_ARG(buf_span(made)));
}

struct made {
    struct buf facts, provider, notes, neutral;
};

static void run(struct golden *g, struct made *m)
{
    struct section *client = find(g, "client"), *to = find(g, "to"), *answer = find(g, "answer");
    struct header *headers = arena_zalloc_array(&arena, sizeof *headers, LIMIT_HEADERS);
    struct http_head head;
    struct span body;
    struct route route;
    struct request_facts facts;
    struct complaint why;
    REQUIRE(client != NULL);
    parse_request(client->body, &head, headers, &body);
    if (!dialect_route(&arena, &head, &route)) {
        SAY(&m->facts, "no route\n");
        return;
    }
    enum err e = route.dialect->scan_request(&arena, route.api, body, &facts, &why);
    if (e) {
        SAY(&m->facts, "%s at \"%s\": %s\n", err_code(e), why.param, why.message);
        return;
    }
    say_facts(&m->facts, &route, &head, &facts);
    if (to)
        say_provider(&m->provider, to->title, &route, &facts, body);
    if (!answer)
        return;
    const struct dialect *d = to ? dialect_find(word_of(to->title, 1)) : route.dialect;
    int status = atoi(arena_strdup(&arena, word_of(answer->title, 1)));
    struct span rest = answer->body;
    head = (struct http_head){.status = status, .headers = headers, .headers_n = parse_headers(&rest, headers)};
    rest = rest.p ? rest : SPAN("");
    if (status >= 300)
        say_error(&m->notes, d, status, &head, without_newline(rest));
    else if (facts.stream)
        say_stream(&m->notes, &m->neutral, d, route.api, rest);
    else
        say_plain(&m->notes, &m->neutral, d, route.api, without_newline(rest));
}

static void write_section(FILE *f, const char *title, struct buf *b)
{
    if (buf_bytes(b))
        fprintf(f, "=== %s\n%.*s", title, SPAN_ARG(buf_span(b)));
}

static void write_given(FILE *f, struct golden *g, const char *name)
{
    struct section *s = find(g, name);
    if (s)
        fprintf(f, "=== %.*s\n%.*s", SPAN_ARG(s->title), SPAN_ARG(s->body));
}

static void rewrite_file(FILE *f, struct golden *g, struct made *m)
{
    fprintf(f, "%.*s", SPAN_ARG(g->head));
    write_given(f, g, "client");
    write_section(f, "facts", &m->facts);
    write_given(f, g, "to");
    write_section(f, "provider", &m->provider);
    write_given(f, g, "answer");
    write_section(f, "notes", &m->notes);
    write_section(f, "neutral", &m->neutral);
    fclose(f);
}

static void run_file(const char *path, const char *name)
{
    struct golden g;
    struct made m;
    int before = unit_failures;
    arena_init(&arena, 65536);
    struct buf *bufs[] = {&m.facts, &m.provider, &m.notes, &m.neutral};
    for (unsigned i = 0; i < COUNT_OF(bufs); i++)
        buf_init(bufs[i], 1u << 20);
    parse(read_whole(path), &g);
    run(&g, &m);
    const char *mode = getenv("ENTENTE_GOLDEN");
    FILE *f = mode && strcmp(mode, "write") == 0 ? fopen(path, "wb") : NULL;
    check(&g, "facts", &m.facts, f);
    check(&g, "provider", &m.provider, f);
    check(&g, "notes", &m.notes, f);
    check(&g, "neutral", &m.neutral, f);
    if (f)
        rewrite_file(f, &g, &m);
    if (unit_failures != before)
        printf("# ^ %s\n", name);
    for (unsigned i = 0; i < COUNT_OF(bufs); i++)
        buf_fini(bufs[i]);
    arena_fini(&arena);
}

static int is_text(const struct dirent *e) { return strstr(e->d_name, ".txt") != NULL; }

TEST(every_exchange_goes_as_its_golden_file_tells)
{
    const char *source = getenv("ENTENTE_SOURCE");
    char folder[256], path[600];
    struct dirent **files;
    snprintf(folder, sizeof folder, "%s/t/10-dialect/golden", source && source[0] ? source : ".");
    int n = scandir(folder, &files, is_text, alphasort);
    REQUIRE(n > 0);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
        run_file(path, files[i]->d_name);
        free(files[i]);
    }
    free(files);
    printf("# %d files\n", n);
}

UNIT_MAIN
