/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole answers of the OpenAI dialects to and from the neutral form: chat, completions, embeddings. Reading takes what compatible providers
 * vary (floats for times, null for absent, empty words); writing is as OpenAI writes.
 */
#include <stdio.h>

#include "base/digest.h"
#include "dialect/openai_message.h"

/* ---- reading ---- */

struct answer_reader {
    struct arena *arena;
    struct json j;
    enum api api;
    struct neutral_answer *answer;
    bool is_answer;
    bool is_error;
};

static enum err read_plain(struct answer_reader *r, struct span *ret)
{
    struct json_string text = {.raw = SPAN_NONE};
    if (!openai_take_text(&r->j, &text))
        return json_skip(&r->j, NULL);
    if (text.raw.n)
        *ret = json_unescape(r->arena, text);
    return ERR_OK;
}

/* Seconds, at times with a fraction. */
enum err openai_read_created(struct json *j, struct neutral_int *ret)
{
    double value;
    struct json ahead = *j;
    enum err e = json_skip(j, NULL);
    if (!e && json_peek(&ahead) == JSON_NUMBER && json_read_double(&ahead, &value) == ERR_OK && value >= 0 && value < 1e15)
        *ret = (struct neutral_int){true, (int64_t)value};
    return e;
}

static enum err read_index(struct json *j, int *ret)
{
    struct json ahead = *j;
    int64_t value;
    enum err e = json_skip(j, NULL);
    if (!e && json_peek(&ahead) == JSON_NUMBER && json_read_i64(&ahead, &value) == ERR_OK && value >= 0 && value < INT32_MAX)
        *ret = (int)value;
    return e;
}

static enum err read_message(struct answer_reader *r, struct neutral_choice *c)
{
    struct complaint ignored;
    struct neutral_message m;
    struct message_reader reader = {.arena = r->arena, .j = &r->j, .why = &ignored, .path = "message", .is_answer = true};
    enum err e = openai_read_message(&reader, &m);
    if (e)
        return ERR_PROVIDER_PROTOCOL;
    NEUTRAL_APPEND(&c->parts, m.parts);
    c->role = m.role;
    c->content_is_absent = m.content_is_absent;
    c->message_extra = m.extra;
    if (m.name.p)
        neutral_extra_add(r->arena, &c->message_extra, SPAN("name"), arena_printf(r->arena, "\"%.*s\"", SPAN_ARG(neutral_escape(r->arena, m.name).raw)));
    return ERR_OK;
}

static bool is_null(struct json *j) { return json_peek(j) == JSON_NULL; }

static enum err read_choice_key(struct answer_reader *r, struct json_string key, struct neutral_choice *c)
{
    struct json_string text = {.raw = SPAN_NONE};
    if (is_null(&r->j))
        return json_read_null(&r->j);
    if (KEY_IS(key, "index"))
        return read_index(&r->j, &c->index);
    if (KEY_IS(key, "message") && json_peek(&r->j) == JSON_OBJECT)
        return read_message(r, c);
    if (KEY_IS(key, "text") && openai_take_text(&r->j, &text)) {
        openai_part_add(r->arena, &c->parts, NEUTRAL_TEXT)->text = text;
        return ERR_OK;
    }
    if (KEY_IS(key, "finish_reason") && openai_take_text(&r->j, &text)) {
        c->stop = openai_stop(text);
        c->stop_word = text.raw.n ? json_unescape(r->arena, text) : SPAN_NONE;
        return ERR_OK;
    }
    if (KEY_IS(key, "logprobs"))
        return json_skip(&r->j, &c->logprobs_json);
    if (KEY_IS(key, "content_filter_results"))
        return json_skip(&r->j, &c->safety_json);
    return openai_read_extra(&r->j, r->arena, key, &c->extra);
}

/* A forced call ends in "stop" at OpenAI, and everywhere with some compatible providers; to other dialects that would be no call. */
enum neutral_stop openai_stop_with_calls(enum neutral_stop stop, bool has_calls)
{
    return stop == NEUTRAL_STOP_END && has_calls ? NEUTRAL_STOP_TOOLS : stop;
}

static bool has_calls(const struct neutral_part *parts)
{
    while (parts && parts->kind != NEUTRAL_TOOL_CALL)
        parts = parts->next;
    return parts != NULL;
}

static enum err read_choices(struct answer_reader *r)
{
    struct json_string key;
    struct neutral_choice **end = &r->answer->choices;
    if (json_peek(&r->j) != JSON_ARRAY)
        return json_skip(&r->j, NULL);
    r->is_answer = true;
    enum err e = json_enter_array(&r->j);
    for (int n = 0; !e && json_next_item(&r->j); n++) {
        struct neutral_choice *c = *end = ARENA_NEW(r->arena, struct neutral_choice);
        end = &c->next;
        c->index = n;
        c->role = NEUTRAL_ASSISTANT;
        e = json_enter_object(&r->j);
        while (!e && json_next_key(&r->j, &key))
            e = read_choice_key(r, key, c);
        c->stop = openai_stop_with_calls(c->stop, has_calls(c->parts));
    }
    return e ? e : r->j.error;
}

static float float_of_bytes(const unsigned char *p)
{
    uint32_t bits = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Base64 of little-endian float32, as OpenAI's Python client asks by default. */
static bool read_packed(struct arena *a, struct span base64, struct neutral_vector *v)
{
    struct span bytes;
    if (!digest_from_base64(a, base64, &bytes) || bytes.n % 4 != 0)
        return false;
    v->n = bytes.n / 4;
    v->values = ARENA_ARRAY(a, float, v->n ? v->n : 1);
    for (size_t i = 0; i < v->n; i++)
        v->values[i] = float_of_bytes((const unsigned char *)bytes.p + 4 * i);
    return true;
}

static size_t count_commas(struct span text)
{
    size_t n = 0;
    for (const char *p = text.p, *end = text.p + text.n; (p = memchr(p, ',', (size_t)(end - p))) != NULL; p++)
        n++;
    return n;
}

static bool read_floats(struct arena *a, struct span list, struct neutral_vector *v)
{
    struct json j;
    double value;
    size_t room = count_commas(list) + 1;
    float *values = ARENA_ARRAY(a, float, room);
    json_init(&j, list);
    if (json_enter_array(&j))
        return false;
    size_t n = 0;
    while (json_next_item(&j) && json_peek(&j) == JSON_NUMBER && json_read_double(&j, &value) == ERR_OK)
        values[n++] = (float)value;
    if (j.error || j.depth > 0)
        return false;
    v->values = values;
    v->n = n;
    return true;
}

/* Vectors of another kind (quantised, nested) stay as they came. */
static enum err read_embedding(struct answer_reader *r, struct neutral_vector *v)
{
    struct json ahead = r->j;
    struct json_string text;
    enum json_type type = json_peek(&r->j);
    enum err e = json_skip(&r->j, &v->raw_json);
    if (e)
        return e;
    bool read = type == JSON_STRING ? json_read_string(&ahead, &text) == ERR_OK && read_packed(r->arena, json_unescape(r->arena, text), v)
                                    : type == JSON_ARRAY && read_floats(r->arena, v->raw_json, v);
    if (read) {
        v->raw_json = SPAN_NONE;
        r->answer->encoding = type == JSON_STRING ? NEUTRAL_ENCODING_BASE64 : NEUTRAL_ENCODING_FLOAT;
    }
    return ERR_OK;
}

static enum err read_data(struct answer_reader *r)
{
    struct json_string key;
    struct neutral_vector **end = &r->answer->vectors;
    if (json_peek(&r->j) != JSON_ARRAY)
        return json_skip(&r->j, NULL);
    r->is_answer = true;
    enum err e = json_enter_array(&r->j);
    for (int n = 0; !e && json_next_item(&r->j); n++) {
        struct neutral_vector *v = *end = ARENA_NEW(r->arena, struct neutral_vector);
        end = &v->next;
        v->index = n;
        e = json_enter_object(&r->j);
        while (!e && json_next_key(&r->j, &key))
            e = KEY_IS(key, "embedding") ? read_embedding(r, v) : KEY_IS(key, "index") ? read_index(&r->j, &v->index) : json_skip(&r->j, NULL);
    }
    return e ? e : r->j.error;
}

static enum err read_usage(struct answer_reader *r)
{
    struct openai_usage u;
    if (json_peek(&r->j) != JSON_OBJECT)
        return json_skip(&r->j, NULL);
    enum err e = openai_read_usage(&r->j, r->api, r->arena, &u);
    if (e)
        return e;
    r->answer->usage = u.usage;
    r->answer->usage_extra = u.extra;
    return ERR_OK;
}

static enum err read_object(struct answer_reader *r)
{
    struct span name = SPAN_NONE;
    enum err e = read_plain(r, &name);
    r->is_error = r->is_error || span_eq(name, SPAN("error"));
    return e;
}

static enum err read_answer_key(struct answer_reader *r, struct json_string key)
{
    struct neutral_answer *answer = r->answer;
    if (is_null(&r->j))
        return json_read_null(&r->j);
    if (KEY_IS(key, "id"))
        return read_plain(r, &answer->id);
    if (KEY_IS(key, "object"))
        return read_object(r);
    if (KEY_IS(key, "created"))
        return openai_read_created(&r->j, &answer->created);
    if (KEY_IS(key, "model"))
        return read_plain(r, &answer->model);
    if (KEY_IS(key, "choices"))
        return read_choices(r);
    if (KEY_IS(key, "data") && r->api == API_OPENAI_EMBEDDINGS)
        return read_data(r);
    if (KEY_IS(key, "usage"))
        return read_usage(r);
    if (KEY_IS(key, "service_tier"))
        return read_plain(r, &answer->service_tier);
    if (KEY_IS(key, "system_fingerprint"))
        return read_plain(r, &answer->fingerprint);
    if (KEY_IS(key, "prompt_filter_results"))
        return json_skip(&r->j, &answer->prompt_safety_json);
    r->is_error = r->is_error || KEY_IS(key, "error");
    return openai_read_extra(&r->j, r->arena, key, &answer->extra);
}

enum err openai_read_answer(struct arena *a, enum api api, struct span body, struct neutral_answer *ret)
{
    struct neutral_answer answer;
    struct answer_reader r = {.arena = a, .api = api, .answer = &answer};
    struct json_string key;
    neutral_answer_init(&answer, a);
    answer.shape = api == API_OPENAI_CHAT          ? NEUTRAL_SHAPE_OPENAI_CHAT
                   : api == API_OPENAI_COMPLETIONS ? NEUTRAL_SHAPE_OPENAI_COMPLETIONS
                                                   : NEUTRAL_SHAPE_OPENAI_EMBEDDINGS;
    answer.task = api == API_OPENAI_CHAT ? NEUTRAL_CHAT : api == API_OPENAI_COMPLETIONS ? NEUTRAL_COMPLETION : NEUTRAL_EMBEDDING;
    json_init(&r.j, body);
    enum err e = json_enter_object(&r.j);
    while (!e && json_next_key(&r.j, &key))
        e = read_answer_key(&r, key);
    if (e || json_finish(&r.j))
        return ERR_PROVIDER_PROTOCOL;
    if (!r.is_answer)
        return r.is_error ? ERR_PROVIDER_FAULT : ERR_PROVIDER_PROTOCOL;
    *ret = answer;
    return ERR_OK;
}

/* ---- writing ---- */

static bool has_old_call(const struct neutral_choice *c)
{
    for (const struct neutral_part *p = c->parts; p; p = p->next)
        if (p->kind == NEUTRAL_TOOL_CALL && p->call.old_style)
            return true;
    return false;
}

void openai_write_finish(struct json_out *o, enum neutral_stop stop, struct span word)
{
    static const char *const own[] = {"stop", "length", "tool_calls", "content_filter", "function_call"};
    json_out_key(o, "finish_reason");
    for (unsigned i = 0; i < COUNT_OF(own); i++)
        if (span_eq(word, span_str(own[i]))) {
            json_out_string(o, word);
            return;
        }
    if (stop == NEUTRAL_STOP_NONE)
        json_out_raw(o, SPAN("null"));
    else
        json_out_string(o, span_str(openai_stop_word(stop)));
}

static void write_text_choice(struct json_out *o, const struct neutral_choice *c)
{
    json_out_key(o, "text");
    json_out_separate(o);
    json_out_bytes(o, SPAN("\""));
    for (const struct neutral_part *p = c->parts; p; p = p->next)
        if (p->kind == NEUTRAL_TEXT)
            json_out_bytes(o, p->text.raw);
    json_out_bytes(o, SPAN("\""));
    o->comma = true;
}

static void write_choices(struct json_out *o, enum api api, const struct neutral_answer *answer, bool ours)
{
    json_out_key(o, "choices");
    json_out_open(o, '[');
    for (const struct neutral_choice *c = answer->choices; c; c = c->next) {
        json_out_open(o, '{');
        json_out_key(o, "index");
        json_out_int(o, c->index);
        if (api == API_OPENAI_COMPLETIONS) {
            write_text_choice(o, c);
        } else {
            json_out_key(o, "message");
            enum err e = openai_write_answer_message(o, answer->arena, c, ours);
            o->error = o->error ? o->error : e;
        }
        json_out_member_raw(o, "logprobs", c->logprobs_json.p ? c->logprobs_json : SPAN("null"));
        openai_write_finish(o, c->stop, ours && c->stop_word.n ? c->stop_word : has_old_call(c) ? SPAN("function_call") : SPAN_NONE);
        if (ours) {
            json_out_member_raw(o, "content_filter_results", c->safety_json);
            json_out_extra(o, c->extra);
        }
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}

/* Nine digits tell every float32 from its neighbours. */
static void write_floats(struct json_out *o, const struct neutral_vector *v)
{
    json_out_open(o, '[');
    for (size_t i = 0; i < v->n && !o->error; i++) {
        char text[32];
        int n = snprintf(text, sizeof text, "%.9g", (double)v->values[i]);
        bool finite = v->values[i] - v->values[i] == 0.0f;
        json_out_raw(o, finite ? span_of(text, (size_t)n) : SPAN("null"));
    }
    json_out_close(o, ']');
}

static void write_packed(struct json_out *o, struct arena *a, const struct neutral_vector *v)
{
    struct arena_mark mark = arena_mark(a);
    unsigned char *bytes = arena_alloc(a, 4 * v->n + 1);
    for (size_t i = 0; i < v->n; i++) {
        uint32_t bits;
        memcpy(&bits, &v->values[i], sizeof bits);
        for (unsigned k = 0; k < 4; k++)
            bytes[4 * i + k] = (unsigned char)(bits >> (8 * k));
    }
    json_out_text(o, (struct json_string){.raw = digest_base64(a, span_of(bytes, 4 * v->n))});
    arena_rewind(a, mark);
}

static void write_vectors(struct json_out *o, const struct neutral_answer *answer)
{
    json_out_key(o, "data");
    json_out_open(o, '[');
    for (const struct neutral_vector *v = answer->vectors; v; v = v->next) {
        json_out_open(o, '{');
        json_out_key(o, "object");
        json_out_string(o, SPAN("embedding"));
        json_out_key(o, "index");
        json_out_int(o, v->index);
        json_out_key(o, "embedding");
        if (v->raw_json.p)
            json_out_raw(o, v->raw_json);
        else if (answer->encoding == NEUTRAL_ENCODING_BASE64)
            write_packed(o, answer->arena, v);
        else
            write_floats(o, v);
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}

static void write_head(struct json_out *o, enum api api, const struct neutral_answer *answer)
{
    static const char *const objects[API_COUNT] = {
        [API_OPENAI_CHAT] = "chat.completion", [API_OPENAI_COMPLETIONS] = "text_completion", [API_OPENAI_EMBEDDINGS] = "list"};
    json_out_member_span(o, "id", answer->id);
    json_out_key(o, "object");
    json_out_string(o, span_str(objects[api]));
    if (api != API_OPENAI_EMBEDDINGS) {
        json_out_key(o, "created");
        json_out_int(o, answer->created.said ? answer->created.value : 0);
    }
    json_out_key(o, "model");
    json_out_string(o, answer->model.p ? answer->model : SPAN(""));
}

enum err openai_write_answer(struct buf *out, enum api api, const struct neutral_answer *answer)
{
    struct json_out o = json_out_begin(out);
    bool ours = openai_is_ours(answer->shape);
    if (api == API_NONE || (unsigned)api >= API_COUNT)
        return ERR_NOT_FOUND;
    json_out_open(&o, '{');
    write_head(&o, api, answer);
    if (api == API_OPENAI_EMBEDDINGS)
        write_vectors(&o, answer);
    else
        write_choices(&o, api, answer, ours);
    if (answer->usage.source == USAGE_SOURCE_REPORTED || answer->usage.source == USAGE_SOURCE_ESTIMATED) {
        json_out_key(&o, "usage");
        if (!o.error)
            o.error = openai_write_usage(out, api, &answer->usage, ours ? answer->usage_extra : NULL);
        o.comma = true;
    }
    json_out_member_span(&o, "service_tier", answer->service_tier);
    json_out_member_span(&o, "system_fingerprint", answer->fingerprint);
    if (ours) {
        json_out_member_raw(&o, "prompt_filter_results", answer->prompt_safety_json);
        json_out_extra(&o, answer->extra);
    }
    json_out_close(&o, '}');
    return json_out_end(&o);
}
