/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes one chat message out of parts. Parts of another dialect are written as every reader of chat expects: text as one string, reasoning
 * under both of its names; what chat has no place for is refused in requests and left out of answers.
 */
#include "dialect/openai_message.h"

static bool is_ours(enum neutral_shape s)
{
    return s == NEUTRAL_SHAPE_OPENAI_CHAT || s == NEUTRAL_SHAPE_OPENAI_COMPLETIONS || s == NEUTRAL_SHAPE_OPENAI_EMBEDDINGS;
}

bool openai_is_ours(enum neutral_shape s) { return is_ours(s); }

static void write_data_url(struct json_out *o, const struct neutral_media *m)
{
    if (m->from != NEUTRAL_MEDIA_DATA) {
        json_out_text(o, m->data);
        return;
    }
    json_out_separate(o);
    json_out_bytes(o, SPAN("\"data:"));
    json_out_bytes(o, m->type.p ? m->type : SPAN("application/octet-stream"));
    json_out_bytes(o, SPAN(";base64,"));
    json_out_bytes(o, m->data.raw);
    json_out_bytes(o, SPAN("\""));
    o->comma = true;
}

static void write_image(struct json_out *o, const struct neutral_part *p)
{
    json_out_key(o, "image_url");
    if (p->media.bare) {
        write_data_url(o, &p->media);
        return;
    }
    json_out_open(o, '{');
    json_out_key(o, "url");
    write_data_url(o, &p->media);
    json_out_member_span(o, "detail", p->media.detail);
    json_out_close(o, '}');
}

static void write_audio(struct json_out *o, const struct neutral_part *p)
{
    struct span format = p->media.type;
    if (span_starts(format, SPAN("audio/")))
        format = span_from(format, 6);
    json_out_key(o, "input_audio");
    if (p->media.bare) {
        json_out_text(o, p->media.data);
        return;
    }
    json_out_open(o, '{');
    json_out_member_text(o, "data", p->media.data);
    json_out_member_span(o, "format", format);
    json_out_close(o, '}');
}

static void write_file(struct json_out *o, const struct neutral_part *p)
{
    const struct neutral_media *m = &p->media;
    json_out_key(o, "file");
    json_out_open(o, '{');
    if (m->data.raw.p && m->from == NEUTRAL_MEDIA_FILE) {
        json_out_member_text(o, "file_id", m->data);
    } else if (m->data.raw.p) {
        json_out_key(o, "file_data");
        write_data_url(o, m);
    }
    json_out_member_text(o, "filename", m->name);
    json_out_close(o, '}');
}

static void write_thinking(struct json_out *o, const struct neutral_part *p)
{
    json_out_member_raw(o, "thinking", p->raw_json);
    json_out_member_text(o, "signature", p->signature.data);
}

static const struct {
    const char *type;
    void (*write)(struct json_out *, const struct neutral_part *); /* NULL: text under its type */
} content_writers[] = {
    [NEUTRAL_TEXT] = {"text", NULL},           [NEUTRAL_REFUSAL] = {"refusal", NULL},     [NEUTRAL_REASONING] = {"thinking", write_thinking},
    [NEUTRAL_IMAGE] = {"image_url", write_image}, [NEUTRAL_AUDIO] = {"input_audio", write_audio}, [NEUTRAL_DOCUMENT] = {"file", write_file},
    [NEUTRAL_OTHER] = {NULL, NULL},
};

/* Why a part cannot be said here; NULL when it can. */
static const char *unsayable(const struct neutral_part *p)
{
    enum neutral_media_from from = p->media.from;
    switch (p->kind) {
    case NEUTRAL_TEXT:
    case NEUTRAL_REFUSAL:
    case NEUTRAL_REASONING: return NULL;
    case NEUTRAL_IMAGE: return from == NEUTRAL_MEDIA_FILE || from == NEUTRAL_MEDIA_TEXT ? "an image by file id cannot be expressed" : NULL;
    case NEUTRAL_AUDIO: return from != NEUTRAL_MEDIA_DATA ? "audio that is not inline cannot be expressed" : NULL;
    case NEUTRAL_DOCUMENT:
        return from == NEUTRAL_MEDIA_TEXT || (from == NEUTRAL_MEDIA_FILE && !is_ours(p->shape)) ? "this document's source cannot be expressed"
                                                                                               : NULL;
    default: return is_ours(p->shape) ? NULL : "this kind of content cannot be expressed";
    }
}

static enum err write_part(struct json_out *o, struct loss_sink *s, const struct neutral_part *p)
{
    const char *why = unsayable(p);
    if (why)
        return openai_lose(s, neutral_part_kind_name(p->kind), why);
    if (p->kind == NEUTRAL_OTHER || p->kind >= COUNT_OF(content_writers) || !content_writers[p->kind].type) {
        json_out_raw(o, p->raw_json.p ? p->raw_json : SPAN("null"));
        return ERR_OK;
    }
    const char *type = content_writers[p->kind].type;
    json_out_open(o, '{');
    json_out_key(o, "type");
    json_out_string(o, span_str(type));
    if (p->raw_json.p && is_ours(p->shape) && p->kind != NEUTRAL_REASONING)
        json_out_member_raw(o, type, p->raw_json);
    else if (content_writers[p->kind].write)
        content_writers[p->kind].write(o, p);
    else
        json_out_member_text(o, type, p->text);
    if (is_ours(p->shape))
        json_out_extra(o, p->extra);
    json_out_close(o, '}');
    return ERR_OK;
}

/* Is it written into content, rather than beside it or nowhere? */
static bool is_content(const struct neutral_part *p)
{
    switch (p->kind) {
    case NEUTRAL_TOOL_CALL:
    case NEUTRAL_TOOL_RESULT: return false;
    case NEUTRAL_REASONING: return span_eq(p->reasoning.key, SPAN("thinking"));
    default: return !p->beside;
    }
}

static unsigned count_content(const struct neutral_part *parts, const struct neutral_part **ret_last)
{
    unsigned n = 0;
    for (; parts; parts = parts->next)
        if (is_content(parts)) {
            n++;
            *ret_last = parts;
        }
    return n;
}

/* Texts of another dialect's answer are one string here. */
static void write_joined(struct json_out *o, const struct neutral_part *parts, enum neutral_part_kind kind)
{
    json_out_separate(o);
    json_out_bytes(o, SPAN("\""));
    for (; parts; parts = parts->next)
        if (parts->kind == kind)
            json_out_bytes(o, parts->text.raw);
    json_out_bytes(o, SPAN("\""));
    o->comma = true;
}

static bool all_text(const struct neutral_part *parts)
{
    for (; parts; parts = parts->next)
        if (is_content(parts) && parts->kind != NEUTRAL_TEXT)
            return false;
    return true;
}

enum err openai_write_content(struct json_out *o, struct loss_sink *s, const struct neutral_part *parts, bool as_string, bool absent)
{
    const struct neutral_part *last = NULL;
    unsigned n = count_content(parts, &last);
    enum err e = ERR_OK;
    if (n == 0 && absent) {
        json_out_raw(o, SPAN("null"));
    } else if (as_string && all_text(parts)) {
        write_joined(o, parts, NEUTRAL_TEXT);
    } else {
        json_out_open(o, '[');
        for (; !e && parts; parts = parts->next)
            if (is_content(parts))
                e = write_part(o, s, parts);
        json_out_close(o, ']');
    }
    return e;
}

static void write_call(struct json_out *o, struct arena *a, const struct neutral_part *p, unsigned n)
{
    const char *kind = p->call.custom ? "custom" : "function";
    bool ours = is_ours(p->shape);
    json_out_open(o, '{');
    json_out_key(o, "id");
    json_out_string(o, p->call.id.p ? p->call.id : arena_printf(a, "call_%u", n));
    json_out_key(o, "type");
    json_out_string(o, span_str(kind));
    json_out_key(o, kind);
    if (p->raw_json.p && ours) {
        json_out_raw(o, p->raw_json);
    } else {
        json_out_open(o, '{');
        json_out_key(o, "name");
        json_out_string(o, p->call.name);
        json_out_key(o, p->call.custom ? "input" : "arguments");
        if (p->call.arguments_json.p && ours)
            json_out_raw(o, p->call.arguments_json);
        else
            json_out_text(o, neutral_call_text(a, &p->call));
        json_out_close(o, '}');
    }
    if (ours)
        json_out_extra(o, p->extra);
    else if (p->signature.maker == NEUTRAL_SHAPE_GEMINI && p->signature.data.raw.p)
        openai_write_google_signature(o, p->signature.data);
    json_out_close(o, '}');
}

void openai_write_google_signature(struct json_out *o, struct json_string signature)
{
    json_out_key(o, "extra_content");
    json_out_open(o, '{');
    json_out_key(o, "google");
    json_out_open(o, '{');
    json_out_member_text(o, "thought_signature", signature);
    json_out_close(o, '}');
    json_out_close(o, '}');
}

static void write_calls(struct json_out *o, struct arena *a, const struct neutral_part *parts)
{
    unsigned n = 0;
    for (; parts; parts = parts->next) {
        if (parts->kind != NEUTRAL_TOOL_CALL)
            continue;
        if (parts->call.old_style) {
            json_out_key(o, "function_call");
            json_out_open(o, '{');
            json_out_member_span(o, "name", parts->call.name);
            json_out_key(o, "arguments");
            json_out_text(o, neutral_call_text(a, &parts->call));
            json_out_close(o, '}');
            continue;
        }
        if (n == 0) {
            json_out_key(o, "tool_calls");
            json_out_open(o, '[');
        }
        write_call(o, a, parts, n++);
    }
    if (n)
        json_out_close(o, ']');
}

static void write_spoken(struct json_out *o, const struct neutral_part *p)
{
    bool by_id = p->media.from == NEUTRAL_MEDIA_FILE;
    json_out_key(o, "audio");
    json_out_open(o, '{');
    json_out_member_text(o, "id", by_id ? p->media.data : p->media.name);
    if (!by_id)
        json_out_member_text(o, "data", p->media.data);
    json_out_member_text(o, "transcript", p->text);
    if (is_ours(p->shape))
        json_out_extra(o, p->extra);
    json_out_close(o, '}');
}

/* Each own piece under the key it came with; another dialect's pieces as one text, under both keys, because readers differ in which one they
 * look at. In history, another provider's thoughts are not for this one. */
static void write_reasoning(struct json_out *o, const struct neutral_part *parts, bool is_answer)
{
    static const char *const keys[] = {"reasoning_content", "reasoning"};
    bool foreign = false;
    for (const struct neutral_part *p = parts; p; p = p->next) {
        if (p->kind != NEUTRAL_REASONING || !p->text.raw.p || span_eq(p->reasoning.key, SPAN("thinking")))
            continue;
        if (!is_ours(p->shape) || !p->reasoning.key.p) {
            foreign = true;
            continue;
        }
        json_out_key_span(o, p->reasoning.key);
        json_out_text(o, p->text);
    }
    for (unsigned i = 0; foreign && is_answer && i < COUNT_OF(keys); i++) {
        json_out_key(o, keys[i]);
        write_joined(o, parts, NEUTRAL_REASONING);
    }
}

static void write_beside(struct json_out *o, struct arena *a, const struct neutral_part *parts, bool is_answer)
{
    bool refused = false;
    write_reasoning(o, parts, is_answer);
    for (const struct neutral_part *p = parts; p; p = p->next) {
        if (p->kind == NEUTRAL_AUDIO && p->beside)
            write_spoken(o, p);
        if (p->kind == NEUTRAL_REFUSAL && p->beside && !refused) {
            json_out_member_text(o, "refusal", p->text);
            refused = true;
        }
    }
    if (is_answer && !refused)
        json_out_member_raw(o, "refusal", SPAN("null"));
    write_calls(o, a, parts);
}

void openai_write_citation(struct json_out *o, const struct neutral_citation *c, bool ours)
{
    if (ours && c->raw_json.p) {
        json_out_raw(o, c->raw_json);
        return;
    }
    json_out_open(o, '{');
    json_out_key(o, "type");
    json_out_string(o, SPAN("url_citation"));
    json_out_key(o, "url_citation");
    json_out_open(o, '{');
    json_out_member_int(o, "start_index", c->start);
    json_out_member_int(o, "end_index", c->end);
    json_out_member_text(o, "url", c->url);
    json_out_member_text(o, "title", c->title);
    json_out_close(o, '}');
    json_out_close(o, '}');
}

static void write_annotations(struct json_out *o, const struct neutral_part *parts)
{
    bool any = false;
    for (; parts; parts = parts->next)
        for (const struct neutral_citation *c = parts->kind == NEUTRAL_TEXT ? parts->citations : NULL; c; c = c->next) {
            bool ours = is_ours(parts->shape);
            if (!ours && !c->url.raw.p) /* chat knows citations of URLs alone */
                continue;
            if (!any) {
                json_out_key(o, "annotations");
                json_out_open(o, '[');
            }
            any = true;
            openai_write_citation(o, c, ours);
        }
    if (any)
        json_out_close(o, ']');
}

enum err openai_write_answer_message(struct json_out *o, struct arena *a, const struct neutral_choice *c, bool ours)
{
    struct loss_sink dropped = {.drop = true}; /* what an answer of another dialect holds beyond chat is left out */
    const struct neutral_part *last = NULL;
    bool joined = all_text(c->parts), none = count_content(c->parts, &last) == 0;
    /* A list of parts is Mistral's way; a string is what every reader of chat expects. */
    bool as_string = joined && !(ours && last && last->shape == NEUTRAL_SHAPE_OPENAI_CHAT && last->extra);
    json_out_open(o, '{');
    json_out_key(o, "role");
    json_out_string(o, SPAN("assistant"));
    json_out_key(o, "content");
    enum err e = openai_write_content(o, &dropped, c->parts, as_string, none && c->content_is_absent);
    write_annotations(o, c->parts);
    write_beside(o, a, c->parts, true);
    if (ours)
        json_out_extra(o, c->message_extra);
    json_out_close(o, '}');
    return e;
}

static enum err write_tool_result(struct json_out *o, struct loss_sink *s, const struct neutral_message *m, const struct neutral_part *p)
{
    bool old = !p->result.call_id.p && p->result.name.p;
    json_out_open(o, '{');
    json_out_key(o, "role");
    json_out_string(o, old ? SPAN("function") : SPAN("tool"));
    json_out_member_span(o, "tool_call_id", p->result.call_id.n ? p->result.call_id : SPAN_NONE);
    json_out_member_span(o, "name", is_ours(p->shape) ? p->result.name : SPAN_NONE);
    json_out_key(o, "content");
    enum err e = openai_write_content(o, s, p->result.content, p->result.content_is_string, m->content_is_absent && is_ours(p->shape));
    if (is_ours(p->shape))
        json_out_extra(o, m->extra);
    json_out_close(o, '}');
    return e;
}

enum err openai_write_message(struct json_out *o, struct arena *a, struct loss_sink *s, const struct neutral_message *m, bool ours)
{
    enum err e = ERR_OK;
    const struct neutral_part *last = NULL;
    if (m->role == NEUTRAL_TOOL) { /* one message for each result */
        for (const struct neutral_part *p = m->parts; !e && p; p = p->next)
            if (p->kind == NEUTRAL_TOOL_RESULT)
                e = write_tool_result(o, s, m, p);
        return e;
    }
    json_out_open(o, '{');
    json_out_key(o, "role");
    json_out_string(o, span_str(neutral_role_name(m->role)));
    json_out_member_span(o, "name", m->name);
    if (!m->content_is_absent || count_content(m->parts, &last) > 0) {
        json_out_key(o, "content");
        e = openai_write_content(o, s, m->parts, m->content_is_string || (!ours && all_text(m->parts)), false);
    }
    write_beside(o, a, m->parts, false);
    if (ours)
        json_out_extra(o, m->extra);
    json_out_close(o, '}');
    return e;
}
