/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads one chat message, of a request's history or of an answer, into parts. Content, reasoning, refusal and calls stand in keys beside
 * each other on the wire and in one list here: reasoning first, then content, refusal, audio, calls.
 */
#include <stdio.h>

#include "dialect/openai_message.h"

static enum err wrong(struct message_reader *r, const char *key, const char *wanted)
{
    char param[64];
    if (json_skip(r->j, NULL))
        return r->j->error;
    snprintf(param, sizeof param, "%s%s", r->path, key);
    return openai_complain(r->why, ERR_INVALID_PARAMETER, param, "%s must be %s", param, wanted);
}

struct neutral_part *openai_part_add(struct arena *a, struct neutral_part **list, enum neutral_part_kind kind)
{
    struct neutral_part *part = ARENA_NEW(a, struct neutral_part);
    part->kind = kind;
    part->shape = NEUTRAL_SHAPE_OPENAI_CHAT;
    NEUTRAL_APPEND(list, part);
    return part;
}

enum err openai_read_extra(struct json *j, struct arena *a, struct json_string key, struct neutral_extra **list)
{
    struct span value;
    bool null = json_peek(j) == JSON_NULL;
    enum err e = json_skip(j, &value);
    if (!e && !null)
        neutral_extra_add(a, list, json_unescape(a, key), value);
    return e;
}

/* A string, or null for unsaid; else false and the value is still there. */
bool openai_take_text(struct json *j, struct json_string *ret)
{
    enum json_type type = json_peek(j);
    if (type == JSON_NULL)
        return json_read_null(j) == ERR_OK;
    return type == JSON_STRING && json_read_string(j, ret) == ERR_OK;
}

static bool take_span(struct arena *a, struct json *j, struct span *ret)
{
    struct json_string text = {.raw = SPAN_NONE};
    if (!openai_take_text(j, &text))
        return false;
    if (text.raw.p)
        *ret = json_unescape(a, text);
    return true;
}

/* cache_control{type,ttl} as several compatible providers take it, prompt_cache_breakpoint as OpenAI does. The key itself stays in extra. */
static void note_cache(struct arena *a, struct json_string key, struct span value, enum neutral_cache *ret)
{
    struct span ttl;
    if (KEY_IS(key, "prompt_cache_breakpoint"))
        *ret = NEUTRAL_CACHE_DEFAULT;
    if (!KEY_IS(key, "cache_control") || !value.n || value.p[0] != '{')
        return;
    *ret = NEUTRAL_CACHE_DEFAULT;
    if (json_find_string(a, value, "ttl", &ttl))
        *ret = span_eq(ttl, SPAN("1h")) ? NEUTRAL_CACHE_1H : span_eq(ttl, SPAN("5m")) ? NEUTRAL_CACHE_5M : NEUTRAL_CACHE_DEFAULT;
}

enum err openai_read_extra_cache(struct json *j, struct arena *a, struct json_string key, struct neutral_extra **list, enum neutral_cache *cache)
{
    struct json ahead = *j;
    struct span value;
    enum err e = openai_read_extra(j, a, key, list);
    if (!e && (KEY_IS(key, "cache_control") || KEY_IS(key, "prompt_cache_breakpoint")) && !json_skip(&ahead, &value))
        note_cache(a, key, value, cache);
    return e;
}

/* data:image/png;base64,AAAA is data; anything else a URL, which nobody here fetches. */
static void set_url(struct arena *a, struct neutral_media *m, struct json_string url)
{
    ptrdiff_t at = span_starts(url.raw, SPAN("data:")) ? span_find_span(span_to(url.raw, 256), SPAN(";base64,")) : -1;
    m->from = at >= 0 ? NEUTRAL_MEDIA_DATA : NEUTRAL_MEDIA_URL;
    m->data = url;
    if (at < 0)
        return;
    struct json_string type = {span_of(url.raw.p + 5, (size_t)at - 5), url.has_escapes};
    m->type = json_unescape(a, type);
    m->data.raw = span_from(url.raw, (size_t)at + 8);
}

/* The object inside a part. Keys that no field holds keep the whole object, to be written back as it came. */
struct inner {
    struct message_reader *r;
    struct neutral_part *part;
    bool unknown;
};

static enum err read_image_key(struct inner *in, struct json_string key)
{
    struct json_string url = {.raw = SPAN_NONE};
    struct json *j = in->r->j;
    if (KEY_IS(key, "url") && json_peek(j) == JSON_STRING) {
        enum err e = json_read_string(j, &url);
        if (!e)
            set_url(in->r->arena, &in->part->media, url);
        return e;
    }
    if (KEY_IS(key, "detail") && take_span(in->r->arena, j, &in->part->media.detail))
        return ERR_OK;
    in->unknown = true;
    return json_skip(j, NULL);
}

static enum err read_audio_key(struct inner *in, struct json_string key)
{
    struct neutral_media *m = &in->part->media;
    if (KEY_IS(key, "data") && openai_take_text(in->r->j, &m->data))
        return ERR_OK;
    if (KEY_IS(key, "format") && take_span(in->r->arena, in->r->j, &m->type)) {
        m->type = m->type.p ? arena_printf(in->r->arena, "audio/%.*s", SPAN_ARG(m->type)) : SPAN_NONE;
        return ERR_OK;
    }
    in->unknown = true;
    return json_skip(in->r->j, NULL);
}

static enum err read_file_key(struct inner *in, struct json_string key)
{
    struct neutral_media *m = &in->part->media;
    struct json_string data = {.raw = SPAN_NONE};
    if (KEY_IS(key, "file_data") && openai_take_text(in->r->j, &data)) {
        if (data.raw.p)
            set_url(in->r->arena, m, data);
        return ERR_OK;
    }
    if (KEY_IS(key, "file_id") && openai_take_text(in->r->j, &data)) {
        m->data = data.raw.p ? data : m->data;
        m->from = data.raw.p ? NEUTRAL_MEDIA_FILE : m->from;
        return ERR_OK;
    }
    if (KEY_IS(key, "filename") && openai_take_text(in->r->j, &m->name))
        return ERR_OK;
    in->unknown = true;
    return json_skip(in->r->j, NULL);
}

static enum err read_inner(struct message_reader *r, struct neutral_part *part, enum err (*read_key)(struct inner *, struct json_string))
{
    struct inner in = {r, part, false};
    struct json_string key;
    const char *begin;
    if (json_peek(r->j) != JSON_OBJECT)
        return wrong(r, ".content", "a list of parts as the API defines them");
    enum err e = json_enter_object(r->j);
    begin = r->j->at - 1;
    while (!e && json_next_key(r->j, &key))
        e = read_key(&in, key);
    if (in.unknown)
        part->raw_json = span_of(begin, (size_t)(r->j->at - begin));
    return e ? e : r->j->error;
}

static enum err read_image(struct message_reader *r, struct neutral_part *part)
{
    struct json_string url;
    if (json_peek(r->j) != JSON_STRING)
        return read_inner(r, part, read_image_key);
    enum err e = json_read_string(r->j, &url);
    if (!e)
        set_url(r->arena, &part->media, url);
    part->media.bare = true;
    return e;
}

static enum err read_audio(struct message_reader *r, struct neutral_part *part)
{
    struct json_string data;
    part->media.from = NEUTRAL_MEDIA_DATA;
    if (json_peek(r->j) != JSON_STRING)
        return read_inner(r, part, read_audio_key);
    enum err e = json_read_string(r->j, &data);
    part->media.data = e ? part->media.data : data;
    part->media.bare = true; /* Mistral: no format said */
    return e;
}

static enum err read_file(struct message_reader *r, struct neutral_part *part) { return read_inner(r, part, read_file_key); }

static enum err read_text(struct message_reader *r, struct neutral_part *part)
{
    return openai_take_text(r->j, &part->text) ? ERR_OK : wrong(r, ".content", "a list of parts as the API defines them");
}

/* Mistral: "thinking":[{"type":"text","text":"…"}]. One text is the part's; several stay raw. */
static enum err read_thinking(struct message_reader *r, struct neutral_part *part)
{
    struct span value, text;
    enum err e = json_skip(r->j, &value);
    if (e)
        return e;
    part->reasoning.key = SPAN("thinking");
    struct json j;
    struct json_string string;
    json_init(&j, value);
    bool one = json_peek(&j) == JSON_ARRAY && json_enter_array(&j) == ERR_OK && json_next_item(&j) && json_skip(&j, &text) == ERR_OK &&
               !json_next_item(&j) && !j.error;
    struct span found = one ? json_find(text, "text") : SPAN_NONE;
    json_init(&j, found);
    if (found.p && json_read_string(&j, &string) == ERR_OK)
        part->text = string;
    part->raw_json = value;
    return ERR_OK;
}

static const struct part_type {
    struct span type, key;
    enum neutral_part_kind kind;
    enum err (*read)(struct message_reader *, struct neutral_part *);
} part_types[] = {
    {{"text", 4}, {"text", 4}, NEUTRAL_TEXT, read_text},
    {{"image_url", 9}, {"image_url", 9}, NEUTRAL_IMAGE, read_image},
    {{"input_audio", 11}, {"input_audio", 11}, NEUTRAL_AUDIO, read_audio},
    {{"file", 4}, {"file", 4}, NEUTRAL_DOCUMENT, read_file},
    {{"refusal", 7}, {"refusal", 7}, NEUTRAL_REFUSAL, read_text},
    {{"thinking", 8}, {"thinking", 8}, NEUTRAL_REASONING, read_thinking},
};

static const struct part_type *find_part_type(struct span part_json)
{
    struct json j;
    struct json_string type;
    json_init(&j, json_find(part_json, "type"));
    if (json_peek(&j) != JSON_STRING || json_read_string(&j, &type))
        return NULL;
    for (unsigned i = 0; i < COUNT_OF(part_types); i++)
        if (json_key_is(type, part_types[i].type) && json_find(part_json, part_types[i].key.p).p)
            return &part_types[i];
    return NULL;
}

/* The part's object is read a second time: its type may stand behind what it types. */
static enum err read_typed_part(struct message_reader *outer, const struct part_type *type, struct span part_json, struct neutral_part *part)
{
    struct json j;
    struct json_string key;
    struct message_reader r = *outer;
    json_init(&j, part_json);
    r.j = &j;
    enum err e = json_enter_object(&j);
    while (!e && json_next_key(&j, &key)) {
        if (json_key_is(key, type->key))
            e = type->read(&r, part);
        else if (KEY_IS(key, "type"))
            e = json_skip(&j, NULL);
        else if (part->kind == NEUTRAL_REASONING && KEY_IS(key, "signature") && openai_take_text(&j, &part->signature.data))
            part->signature.maker = NEUTRAL_SHAPE_OPENAI_CHAT;
        else
            e = openai_read_extra_cache(&j, r.arena, key, &part->extra, &part->cache);
    }
    return e ? e : j.error;
}

enum err openai_read_part(struct message_reader *r, struct neutral_part **list)
{
    struct span part_json;
    enum err e = json_skip(r->j, &part_json);
    if (e)
        return e;
    const struct part_type *type = part_json.p[0] == '{' ? find_part_type(part_json) : NULL;
    struct neutral_part *part = openai_part_add(r->arena, list, type ? type->kind : NEUTRAL_OTHER);
    if (!type)
        part->raw_json = part_json;
    return type ? read_typed_part(r, type, part_json, part) : ERR_OK;
}

enum err openai_read_content(struct message_reader *r, struct neutral_part **list, bool *ret_is_string, bool *ret_is_absent)
{
    struct json_string text;
    enum err e = ERR_OK;
    switch (json_peek(r->j)) {
    case JSON_NULL:
        *ret_is_absent = true;
        return json_read_null(r->j);
    case JSON_STRING:
        if ((e = json_read_string(r->j, &text)))
            return e;
        openai_part_add(r->arena, list, NEUTRAL_TEXT)->text = text;
        *ret_is_string = true;
        return ERR_OK;
    case JSON_ARRAY:
        for (e = json_enter_array(r->j); !e && json_next_item(r->j);)
            e = openai_read_part(r, list);
        return e ? e : r->j->error;
    default: return wrong(r, ".content", "a string or a list of parts");
    }
}

/* A Gemini signature travels through chat in extra_content.google.thought_signature. */
static void note_signature(struct neutral_part *part)
{
    const struct neutral_extra *extra = neutral_extra_find(part->extra, SPAN("extra_content"));
    struct span found = extra ? json_find(extra->value_json, "google.thought_signature") : SPAN_NONE;
    struct json j;
    json_init(&j, found);
    if (found.p && json_peek(&j) == JSON_STRING && json_read_string(&j, &part->signature.data) == ERR_OK)
        part->signature.maker = NEUTRAL_SHAPE_GEMINI;
}

/* {name, arguments} of a function, {name, input} of a custom tool. Arguments come as a string, or whole as an object (Mistral). */
enum err openai_read_function(struct json *j, struct arena *a, struct neutral_tool_call *call, bool *ret_unknown)
{
    struct json_string key;
    enum err e = json_enter_object(j);
    while (!e && json_next_key(j, &key)) {
        enum json_type type = json_peek(j);
        if (KEY_IS(key, "name") && take_span(a, j, &call->name))
            continue;
        if ((KEY_IS(key, "arguments") || KEY_IS(key, "input")) && openai_take_text(j, &call->arguments))
            continue;
        if (KEY_IS(key, "arguments") && type == JSON_OBJECT) {
            e = json_skip(j, &call->arguments_json);
            continue;
        }
        *ret_unknown = true;
        e = json_skip(j, NULL);
    }
    return e ? e : j->error;
}

static enum err read_call(struct message_reader *r, struct neutral_part **list)
{
    struct json_string key;
    struct neutral_part *part = openai_part_add(r->arena, list, NEUTRAL_TOOL_CALL);
    part->beside = true;
    if (json_peek(r->j) != JSON_OBJECT)
        return wrong(r, ".tool_calls", "a list of calls");
    enum err e = json_enter_object(r->j);
    while (!e && json_next_key(r->j, &key)) {
        bool unknown = false;
        if (KEY_IS(key, "id") && take_span(r->arena, r->j, &part->call.id))
            continue;
        if (KEY_IS(key, "type")) {
            e = json_skip(r->j, NULL);
        } else if ((KEY_IS(key, "function") || KEY_IS(key, "custom")) && json_peek(r->j) == JSON_OBJECT) {
            const char *begin = r->j->at;
            part->call.custom = KEY_IS(key, "custom");
            e = openai_read_function(r->j, r->arena, &part->call, &unknown);
            if (unknown)
                part->raw_json = span_of(begin, (size_t)(r->j->at - begin));
        } else {
            e = openai_read_extra(r->j, r->arena, key, &part->extra);
        }
    }
    note_signature(part);
    return e ? e : r->j->error;
}

static enum err read_calls(struct message_reader *r, struct neutral_part **list)
{
    if (json_peek(r->j) == JSON_NULL)
        return json_read_null(r->j);
    if (json_peek(r->j) != JSON_ARRAY)
        return wrong(r, ".tool_calls", "a list of calls");
    enum err e = json_enter_array(r->j);
    while (!e && json_next_item(r->j))
        e = read_call(r, list);
    return e ? e : r->j->error;
}

static enum err read_old_call(struct message_reader *r, struct neutral_part **list)
{
    bool unknown = false;
    if (json_peek(r->j) != JSON_OBJECT)
        return json_peek(r->j) == JSON_NULL ? json_read_null(r->j) : wrong(r, ".function_call", "an object");
    struct neutral_part *part = openai_part_add(r->arena, list, NEUTRAL_TOOL_CALL);
    part->beside = part->call.old_style = true;
    return openai_read_function(r->j, r->arena, &part->call, &unknown);
}

/* An answer's {id, data, transcript, expires_at}; in history {id} alone. */
static enum err read_spoken(struct message_reader *r, struct neutral_part **list)
{
    struct json_string key, id = {.raw = SPAN_NONE};
    if (json_peek(r->j) != JSON_OBJECT)
        return json_skip(r->j, NULL);
    struct neutral_part *part = openai_part_add(r->arena, list, NEUTRAL_AUDIO);
    part->beside = true;
    enum err e = json_enter_object(r->j);
    while (!e && json_next_key(r->j, &key)) {
        if (KEY_IS(key, "data") && openai_take_text(r->j, &part->media.data))
            continue;
        if (KEY_IS(key, "transcript") && openai_take_text(r->j, &part->text))
            continue;
        if (KEY_IS(key, "id") && openai_take_text(r->j, &id))
            continue;
        e = openai_read_extra(r->j, r->arena, key, &part->extra);
    }
    part->media.from = part->media.data.raw.p ? NEUTRAL_MEDIA_DATA : NEUTRAL_MEDIA_FILE;
    if (part->media.from == NEUTRAL_MEDIA_FILE)
        part->media.data = id;
    else
        part->media.name = id;
    return e ? e : r->j->error;
}

static void read_url_citation(struct neutral_citation *c)
{
    struct json j;
    static const struct {
        const char *path;
        size_t at;
    } texts[] = {{"url_citation.url", offsetof(struct neutral_citation, url)}, {"url_citation.title", offsetof(struct neutral_citation, title)}};
    for (unsigned i = 0; i < COUNT_OF(texts); i++) {
        struct json_string *to = (struct json_string *)(void *)((char *)c + texts[i].at);
        struct span found = json_find(c->raw_json, texts[i].path);
        json_init(&j, found);
        if (found.p && json_peek(&j) == JSON_STRING && json_read_string(&j, to))
            *to = (struct json_string){.raw = SPAN_NONE};
    }
    c->kind = c->url.raw.p ? NEUTRAL_CITATION_URL : NEUTRAL_CITATION_OTHER;
    c->start.said = json_find_i64(c->raw_json, "url_citation.start_index", &c->start.value);
    c->end.said = json_find_i64(c->raw_json, "url_citation.end_index", &c->end.value);
}

enum err openai_read_annotations(struct json *j, struct arena *a, struct neutral_citation **list)
{
    if (json_peek(j) != JSON_ARRAY)
        return json_skip(j, NULL);
    enum err e = json_enter_array(j);
    while (!e && json_next_item(j)) {
        struct neutral_citation *c = ARENA_NEW(a, struct neutral_citation);
        NEUTRAL_APPEND(list, c);
        e = json_skip(j, &c->raw_json);
        if (!e)
            read_url_citation(c);
    }
    return e ? e : j->error;
}

static bool read_role(struct arena *a, struct json *j, enum neutral_role *ret, bool *ret_old)
{
    static const char *const names[] = {"system", "developer", "user", "assistant", "tool", "function"};
    struct span role = SPAN_NONE;
    if (json_peek(j) != JSON_STRING || !take_span(a, j, &role))
        return false;
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (span_eq(role, span_str(names[i]))) {
            *ret = i == 5 ? NEUTRAL_TOOL : (enum neutral_role)i;
            *ret_old = i == 5;
            return true;
        }
    return false;
}

/* The keys of one message, apart until all are read, because their order on the wire is free. */
struct pieces {
    struct neutral_part *reasoning, *content, *refusal, *audio, *calls;
    struct neutral_citation *citations;
    struct span call_id;
    bool has_role, is_old_function;
};

static enum err read_beside_text(struct message_reader *r, struct neutral_part **list, enum neutral_part_kind kind, struct json_string key)
{
    struct json_string text = {.raw = SPAN_NONE};
    if (!openai_take_text(r->j, &text))
        return wrong(r, kind == NEUTRAL_REFUSAL ? ".refusal" : ".reasoning_content", "a string");
    if (!text.raw.p)
        return ERR_OK;
    struct neutral_part *part = openai_part_add(r->arena, list, kind);
    part->text = text;
    part->beside = true;
    if (kind == NEUTRAL_REASONING)
        part->reasoning.key = json_unescape(r->arena, key);
    return ERR_OK;
}

static enum err read_message_key(struct message_reader *r, struct json_string key, struct neutral_message *m, struct pieces *p)
{
    enum neutral_cache cache = NEUTRAL_CACHE_NONE;
    enum err e;
    if (KEY_IS(key, "content")) {
        p->content = NULL; /* of two the later one counts, as for most readers */
        return openai_read_content(r, &p->content, &m->content_is_string, &m->content_is_absent);
    }
    if (KEY_IS(key, "role")) {
        p->has_role = true;
        if (r->is_answer && json_peek(r->j) == JSON_NULL)
            return json_read_null(r->j);
        return read_role(r->arena, r->j, &m->role, &p->is_old_function)
                   ? ERR_OK
                   : wrong(r, ".role", "one of system, developer, user, assistant, tool, function");
    }
    if (KEY_IS(key, "name") && take_span(r->arena, r->j, &m->name))
        return ERR_OK;
    if (KEY_IS(key, "tool_call_id") && take_span(r->arena, r->j, &p->call_id))
        return ERR_OK;
    if (KEY_IS(key, "tool_calls")) {
        bool null = json_peek(r->j) == JSON_NULL;
        e = read_calls(r, &p->calls);
        if (!e && !null && !p->calls && !r->is_answer) /* an empty list is not the same to every provider as none */
            neutral_extra_add(r->arena, &m->extra, SPAN("tool_calls"), SPAN("[]"));
        return e;
    }
    if (KEY_IS(key, "function_call"))
        return read_old_call(r, &p->calls);
    if (KEY_IS(key, "refusal"))
        return read_beside_text(r, &p->refusal, NEUTRAL_REFUSAL, key);
    if (KEY_IS(key, "reasoning_content") || (KEY_IS(key, "reasoning") && json_peek(r->j) == JSON_STRING))
        return read_beside_text(r, &p->reasoning, NEUTRAL_REASONING, key);
    if (KEY_IS(key, "audio"))
        return read_spoken(r, &p->audio);
    if (KEY_IS(key, "annotations") && r->is_answer)
        return openai_read_annotations(r->j, r->arena, &p->citations);
    if (KEY_IS(key, "prefix")) { /* Mistral: this last assistant message is to be continued */
        struct json ahead = *r->j;
        m->prefill = json_peek(&ahead) == JSON_BOOL && json_read_bool(&ahead, &m->prefill) == ERR_OK && m->prefill;
    }
    return openai_read_extra_cache(r->j, r->arena, key, &m->extra, &cache);
}

static void assemble(struct arena *a, struct neutral_message *m, struct pieces *p)
{
    if (m->role == NEUTRAL_TOOL) {
        struct neutral_part *part = openai_part_add(a, &m->parts, NEUTRAL_TOOL_RESULT);
        part->result = (struct neutral_tool_result){
            .call_id = p->is_old_function && m->name.p ? SPAN_NONE : p->call_id.p ? p->call_id : SPAN(""),
            .name = m->name, .content = p->content, .content_is_string = m->content_is_string};
        m->name = SPAN_NONE;
        return;
    }
    if (p->citations) {
        struct neutral_part *text = p->content;
        while (text && text->kind != NEUTRAL_TEXT)
            text = text->next;
        if (!text)
            text = openai_part_add(a, &p->content, NEUTRAL_TEXT);
        text->citations = p->citations;
    }
    NEUTRAL_APPEND(&m->parts, p->reasoning);
    NEUTRAL_APPEND(&m->parts, p->content);
    NEUTRAL_APPEND(&m->parts, p->refusal);
    NEUTRAL_APPEND(&m->parts, p->audio);
    NEUTRAL_APPEND(&m->parts, p->calls);
}

enum err openai_read_message(struct message_reader *r, struct neutral_message *ret)
{
    struct json_string key;
    struct pieces p = {.has_role = false};
    struct neutral_message m = {.role = NEUTRAL_ASSISTANT, .content_is_absent = true};
    if (json_peek(r->j) != JSON_OBJECT)
        return wrong(r, "", "an object");
    enum err e = json_enter_object(r->j);
    while (!e && json_next_key(r->j, &key)) {
        if (KEY_IS(key, "content"))
            m.content_is_absent = false;
        e = read_message_key(r, key, &m, &p);
    }
    if (e || r->j->error)
        return e ? e : r->j->error;
    if (!p.has_role && !r->is_answer) {
        char param[64];
        snprintf(param, sizeof param, "%s.role", r->path);
        return openai_complain(r->why, ERR_MISSING_PARAMETER, param, "%s is missing", param);
    }
    assemble(r->arena, &m, &p);
    *ret = m;
    return ERR_OK;
}
