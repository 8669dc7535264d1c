/* SPDX-License-Identifier: Apache-2.0
 *
 * The OpenAI dialects under bytes nobody chose. The first byte picks what the rest is: a request, a stream (an event a line), an answer, an
 * error, a path. Whatever comes in, what goes out is JSON, means the same when it is read again, and edits change what they should.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "../t/joined.h"
#include "dialect/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct arena arena;
static const struct dialect *dialect;

static void edit(enum api api, const struct request_facts *facts, struct span body, bool ask)
{
    struct iovec out[8];
    struct request_facts again;
    struct complaint why;
    struct span model = SPAN("x/\"y\""); /* needs escaping */
    unsigned n = dialect_edit_request(&arena, facts, body, model, ask, out);
    CHECK(n <= 8);
    struct span edited = joined(&arena, out, n);
    CHECK(json_check(edited) == ERR_OK);
    CHECK(dialect->scan_request(&arena, api, edited, &again, &why) == ERR_OK);
    CHECK(span_eq(again.model, model));
    CHECK(again.stream == facts->stream && again.output_tokens_max == facts->output_tokens_max);
    CHECK(!ask || again.wants_usage);
}

static struct span encode(const struct neutral_request *r, struct buf *out)
{
    struct complaint why;
    buf_init(out, 1u << 24);
    CHECK(dialect->encode_request(out, r, &why) == ERR_OK);
    CHECK(json_check(buf_span(out)) == ERR_OK);
    return buf_span(out);
}

static void translate_request(enum api api, struct span body)
{
    struct neutral_request first, second;
    struct complaint why;
    struct buf one, two;
    enum err e = dialect->decode_request(&arena, api, body, &first, &why);
    if (e) {
        CHECK(why.error == e && why.message[0]);
        return;
    }
    struct span written = encode(&first, &one);
    CHECK(dialect->decode_request(&arena, api, written, &second, &why) == ERR_OK);
    CHECK(span_eq(written, encode(&second, &two)));
    buf_fini(&one);
    buf_fini(&two);
}

static void try_request(enum api api, struct span body)
{
    struct request_facts facts;
    struct complaint why = {.error = ERR_OK};
    enum err e = dialect->scan_request(&arena, api, body, &facts, &why);
    if (e)
        CHECK(why.error == e && why.message[0]);
    else {
        CHECK(json_check(body) == ERR_OK);
        if (api != API_OPENAI_EMBEDDINGS)
            edit(api, &facts, body, true);
        edit(api, &facts, body, false);
    }
    translate_request(api, body);
}

static size_t texts;
static void on_text(void *owner, struct span text)
{
    CHECK(owner == &texts && text.n > 0);
    texts++;
}

static void try_event(enum api api, struct span data, struct answer_notes *notes)
{
    struct event_scan scan;
    dialect->scan_event(api, data, notes, &scan);
    if (scan.verdict == EVENT_BROKEN || scan.verdict == EVENT_DONE || scan.verdict == EVENT_SILENT)
        return;
    CHECK(json_check(data) == ERR_OK);
    if (scan.verdict == EVENT_USAGE_TOO) {
        struct iovec v[2] = {{(char *)data.p, scan.cut_at}, {(char *)data.p + scan.cut_end, data.n - scan.cut_end}};
        CHECK(json_check(joined(&arena, v, 2)) == ERR_OK);
    }
}

/* What is written is events of JSON, and nothing after the end. */
static void check_wire(struct span wire)
{
    while (wire.p && wire.n) {
        struct span line = span_cut(&wire, '\n');
        CHECK(line.n == 0 || line.p[0] == ':' || span_starts(line, SPAN("data: ")));
        if (span_starts(line, SPAN("data: ")) && !span_eq(line, SPAN("data: [DONE]")))
            CHECK(json_check(span_from(line, 6)) == ERR_OK);
    }
}

static void try_stream(enum api api, struct span text)
{
    struct answer_notes notes;
    struct neutral_reader reader;
    struct neutral_writer writer;
    struct neutral_event_list events;
    struct buf wire;
    answer_notes_init(&notes, &arena);
    notes.on_text = on_text;
    notes.owner = &texts;
    neutral_reader_init(&reader, &arena);
    neutral_writer_init(&writer, &arena);
    writer.wants_usage = text.n & 1;
    buf_init(&wire, 1u << 24);
    unsigned ends = 0;
    do {
        struct span line = text.p ? span_cut(&text, '\n') : SPAN_NONE;
        if (line.p)
            try_event(api, line, &notes);
        if (dialect->read_event(&arena, api, line, &reader, &events))
            break;
        for (const struct neutral_event *e = events.first; e; e = e->next) {
            ends += e->kind == NEUTRAL_EVENT_END || e->kind == NEUTRAL_EVENT_ERROR;
            CHECK(dialect->write_event(&wire, api, e, &writer) == ERR_OK);
        }
        if (!line.p) {
            CHECK(ends == 1);
            break;
        }
    } while (true);
    check_wire(buf_span(&wire));
    buf_fini(&wire);
}

static struct span write_answer(enum api api, const struct neutral_answer *answer, struct buf *out)
{
    buf_init(out, 1u << 24);
    CHECK(dialect->write_answer(out, api, answer) == ERR_OK);
    CHECK(json_check(buf_span(out)) == ERR_OK);
    return buf_span(out);
}

static void try_answer(enum api api, struct span body)
{
    struct answer_notes notes;
    struct neutral_answer first, second;
    struct buf one, two;
    answer_notes_init(&notes, &arena);
    if (dialect->scan_answer(api, body, &notes) == ERR_OK)
        CHECK(json_check(body) == ERR_OK);
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        CHECK(notes.usage->count[i] >= USAGE_UNKNOWN);
    if (dialect->read_answer(&arena, api, body, &first))
        return;
    struct span written = write_answer(api, &first, &one);
    CHECK(dialect->read_answer(&arena, api, written, &second) == ERR_OK);
    write_answer(api, &second, &two);
    buf_fini(&one);
    buf_fini(&two);
}

static void try_error(struct span body)
{
    struct header headers[2] = {{SPAN("retry-after"), span_to(body, 40)}, {SPAN("retry-after-ms"), span_to(span_from(body, 40), 20)}};
    struct http_head head = {.headers = headers, .headers_n = 2};
    struct provider_error e;
    dialect->read_error(200 + (body.n ? 2 * (unsigned char)body.p[0] : 0), &head, body, 1795400000000000, &e);
    CHECK(e.class != PROVIDER_ERROR_NONE && e.message.n <= 4096 && e.retry_after_ms >= -1);
    struct span message = arena_printf(&arena, "\"%.*s\"", SPAN_ARG(e.message));
    CHECK(json_check(message) == ERR_OK);
    char *text = arena_strdup(&arena, body);
    struct client_error error = {.error = ERR_PROVIDER_FAULT, .message = text, .param = text, .code = text, .request_id = text};
    struct buf out;
    buf_init(&out, 1u << 24);
    dialect->write_error(&out, &error);
    CHECK(json_check(buf_span(&out)) == ERR_OK);
    buf_fini(&out);
}

static void try_path(struct span path)
{
    struct http_head head = {.method = path.n & 1 ? HTTP_GET : HTTP_POST, .path = path, .target = path};
    struct route route;
    if (dialect_route(&arena, &head, &route))
        CHECK(route.kind != ROUTE_NONE);
    CHECK(route.dialect != NULL);
    struct endpoint e = {.api = API_OPENAI_CHAT, .base_path = SPAN(""), .model = path, .credential = path, .api_version = path};
    struct buf out;
    buf_init(&out, 1u << 24);
    CHECK(dialect_find(SPAN("azure-openai"))->endpoint_target(&out, &e) == ERR_OK);
    for (size_t i = 0; i < buf_bytes(&out); i++)
        CHECK(buf_span(&out).p[i] > ' ' && buf_span(&out).p[i] < 0x7f);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const enum api apis[] = {API_OPENAI_CHAT, API_OPENAI_COMPLETIONS, API_OPENAI_EMBEDDINGS};
    if (n == 0 || n > 65536)
        return 0;
    char *copy = malloc(n); /* of its exact size, so that a byte too far is seen */
    memcpy(copy, data + 1, n - 1);
    struct span rest = span_of(copy, n - 1);
    enum api api = apis[(data[0] / 8) % 3];
    dialect = dialect_find(SPAN("openai"));
    arena_init(&arena, 4096);
    switch (data[0] % 8) {
    case 0:
    case 1: try_request(api, rest); break;
    case 2:
    case 3: try_stream(api == API_OPENAI_EMBEDDINGS ? API_OPENAI_CHAT : api, rest); break;
    case 4:
    case 5: try_answer(api, rest); break;
    case 6: try_error(rest); break;
    default: try_path(rest); break;
    }
    arena_fini(&arena);
    free(copy);
    return 0;
}
