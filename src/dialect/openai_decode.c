/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests of the OpenAI dialects into the neutral form: the keys that have a structure; the plain ones are in openai_fields.c. A key that is
 * null counts as absent; a key that no field holds is kept raw.
 */
#include <stdio.h>

#include "dialect/openai_message.h"

#define CHAT (1u << NEUTRAL_CHAT)
#define COMPLETION (1u << NEUTRAL_COMPLETION)
#define EMBEDDING (1u << NEUTRAL_EMBEDDING)
#define EVERY (CHAT | COMPLETION | EMBEDDING)

struct request_reader {
    struct arena *arena;
    struct json j;
    struct neutral_request *r;
    struct complaint *why;
    struct neutral_int tokens_max_old;
    bool has_content;
    unsigned seen; /* bit per row of structures */
};

static enum err wrong(struct request_reader *d, const char *param, const char *wanted)
{
    if (json_skip(&d->j, NULL))
        return d->j.error;
    return openai_complain(d->why, ERR_INVALID_PARAMETER, param, "%s must be %s", param, wanted);
}

static bool take_null(struct json *j) { return json_peek(j) == JSON_NULL && json_read_null(j) == ERR_OK; }

static enum err read_model(struct request_reader *d)
{
    struct json_string name = {.raw = SPAN_NONE};
    if (!openai_take_text(&d->j, &name))
        return wrong(d, "model", "a string");
    d->r->model = name.raw.p ? json_unescape(d->arena, name) : SPAN_NONE;
    return ERR_OK;
}

static enum err read_stream(struct request_reader *d)
{
    if (!openai_take_said(&d->j, &d->r->stream_said))
        return wrong(d, "stream", "true or false");
    d->r->stream = d->r->stream_said == NEUTRAL_YES;
    return ERR_OK;
}

static enum err read_stream_options(struct request_reader *d)
{
    struct json_string key;
    if (json_peek(&d->j) != JSON_OBJECT)
        return wrong(d, "stream_options", "an object");
    enum err e = json_enter_object(&d->j);
    while (!e && json_next_key(&d->j, &key))
        if (!KEY_IS(key, "include_usage") || !openai_take_said(&d->j, &d->r->stream_usage))
            e = openai_read_extra(&d->j, d->arena, key, &d->r->stream_extra);
    return e ? e : d->j.error;
}

static enum err read_tokens_max_old(struct request_reader *d)
{
    return openai_take_int(&d->j, &d->tokens_max_old) ? ERR_OK : wrong(d, "max_tokens", "an integer");
}

static enum err read_messages(struct request_reader *d)
{
    struct message_reader m = {.arena = d->arena, .j = &d->j, .why = d->why};
    struct neutral_message **end = &d->r->messages;
    if (json_peek(&d->j) != JSON_ARRAY)
        return wrong(d, "messages", "a list of messages");
    d->has_content = true;
    enum err e = json_enter_array(&d->j);
    for (unsigned n = 0; !e && json_next_item(&d->j); n++) {
        snprintf(m.path, sizeof m.path, "messages[%u]", n);
        *end = ARENA_NEW(d->arena, struct neutral_message);
        e = openai_read_message(&m, *end);
        end = &(*end)->next;
    }
    return e ? e : d->j.error;
}

static enum err read_function(struct request_reader *d, struct neutral_tool *tool)
{
    struct json_string key, text = {.raw = SPAN_NONE};
    enum err e = json_enter_object(&d->j);
    while (!e && json_next_key(&d->j, &key)) {
        if (KEY_IS(key, "name") && openai_take_text(&d->j, &text))
            tool->name = json_unescape(d->arena, text);
        else if (KEY_IS(key, "description") && openai_take_text(&d->j, &tool->description))
            continue;
        else if (KEY_IS(key, "strict") && openai_take_said(&d->j, &tool->strict))
            continue;
        else if (KEY_IS(key, "parameters") && json_peek(&d->j) == JSON_OBJECT)
            e = json_skip(&d->j, &tool->schema_json);
        else if (KEY_IS(key, "format") && tool->kind == NEUTRAL_TOOL_CUSTOM && json_peek(&d->j) == JSON_OBJECT)
            e = json_skip(&d->j, &tool->format_json);
        else
            e = openai_read_extra(&d->j, d->arena, key, &tool->function_extra);
    }
    return e ? e : d->j.error;
}

static enum err read_tool_keys(struct request_reader *d, struct neutral_tool *tool)
{
    struct json_string key, type = {.raw = SPAN_NONE};
    enum err e = json_enter_object(&d->j);
    while (!e && json_next_key(&d->j, &key)) {
        bool object = json_peek(&d->j) == JSON_OBJECT;
        if (KEY_IS(key, "type") && openai_take_text(&d->j, &type)) {
            tool->type = json_unescape(d->arena, type);
        } else if (object && (KEY_IS(key, "function") || KEY_IS(key, "custom"))) {
            tool->kind = KEY_IS(key, "custom") ? NEUTRAL_TOOL_CUSTOM : NEUTRAL_TOOL_FUNCTION;
            e = read_function(d, tool);
        } else {
            e = openai_read_extra_cache(&d->j, d->arena, key, &tool->extra, &tool->cache);
        }
    }
    return e ? e : d->j.error;
}

static enum err read_tool(struct request_reader *d, struct neutral_tool *tool)
{
    struct json ahead = d->j;
    if (json_peek(&d->j) != JSON_OBJECT)
        return wrong(d, "tools", "a list of tools");
    enum err e = json_skip(&ahead, &tool->raw_json);
    if (e)
        return json_skip(&d->j, NULL);
    tool->shape = NEUTRAL_SHAPE_OPENAI_CHAT;
    e = read_tool_keys(d, tool);
    if (!tool->name.p) /* a tool of the provider's own, or one that only the provider can judge */
        tool->kind = NEUTRAL_TOOL_HOSTED;
    return e;
}

static struct neutral_tool *add_tool(struct request_reader *d)
{
    struct neutral_tool *tool = ARENA_NEW(d->arena, struct neutral_tool);
    NEUTRAL_APPEND(&d->r->tools, tool);
    return tool;
}

static enum err read_tools(struct request_reader *d)
{
    if (json_peek(&d->j) != JSON_ARRAY)
        return wrong(d, "tools", "a list of tools");
    d->r->tools_said = true;
    enum err e = json_enter_array(&d->j);
    while (!e && json_next_item(&d->j))
        e = read_tool(d, add_tool(d));
    return e ? e : d->j.error;
}

static enum err read_functions(struct request_reader *d)
{
    if (json_peek(&d->j) != JSON_ARRAY)
        return wrong(d, "functions", "a list of functions");
    enum err e = json_enter_array(&d->j);
    while (!e && json_next_item(&d->j)) {
        struct neutral_tool *tool = add_tool(d);
        tool->old_style = true;
        tool->shape = NEUTRAL_SHAPE_OPENAI_CHAT;
        e = json_peek(&d->j) == JSON_OBJECT ? read_function(d, tool) : wrong(d, "functions", "a list of functions");
    }
    return e ? e : d->j.error;
}

static enum neutral_choose choose_of(struct span word)
{
    return span_eq(word, SPAN("none"))   ? NEUTRAL_CHOOSE_NONE
           : span_eq(word, SPAN("auto")) ? NEUTRAL_CHOOSE_AUTO
           : span_eq(word, SPAN("required")) || span_eq(word, SPAN("any")) ? NEUTRAL_CHOOSE_REQUIRED /* any: Mistral */
                                                                           : NEUTRAL_CHOOSE_RAW;
}

static void add_name(struct arena *a, struct neutral_tool_choice *c, struct span name)
{
    struct neutral_name *one = ARENA_NEW(a, struct neutral_name);
    one->name = name;
    NEUTRAL_APPEND(&c->names, one);
}

static void read_allowed(struct arena *a, struct neutral_tool_choice *c)
{
    struct span mode, name, tool;
    struct json j;
    c->mode = NEUTRAL_CHOOSE_ALLOWED;
    c->required = json_find_string(a, c->raw_json, "allowed_tools.mode", &mode) && span_eq(mode, SPAN("required"));
    json_init(&j, json_find(c->raw_json, "allowed_tools.tools"));
    if (json_peek(&j) != JSON_ARRAY || json_enter_array(&j))
        return;
    while (json_next_item(&j) && json_skip(&j, &tool) == ERR_OK)
        if (json_find_string(a, tool, "function.name", &name) || json_find_string(a, tool, "custom.name", &name))
            add_name(a, c, name);
}

/* As it came stays beside it, and goes back to the same shape. */
static enum err read_tool_choice(struct request_reader *d)
{
    struct neutral_tool_choice *c = &d->r->tool_choice;
    struct json ahead = d->j;
    struct json_string word;
    struct span name;
    enum err e = json_skip(&d->j, &c->raw_json);
    if (e)
        return e;
    c->mode = NEUTRAL_CHOOSE_RAW;
    if (json_peek(&ahead) == JSON_STRING && json_read_string(&ahead, &word) == ERR_OK) {
        c->mode = choose_of(json_unescape(d->arena, word));
    } else if (json_find_string(d->arena, c->raw_json, "function.name", &name)) {
        c->mode = NEUTRAL_CHOOSE_NAMED;
        add_name(d->arena, c, name);
    } else if (json_find_string(d->arena, c->raw_json, "custom.name", &name)) {
        c->mode = NEUTRAL_CHOOSE_NAMED;
        c->custom = true;
        add_name(d->arena, c, name);
    } else if (json_find(c->raw_json, "allowed_tools").p) {
        read_allowed(d->arena, c);
    }
    return ERR_OK;
}

static enum err read_function_call(struct request_reader *d)
{
    struct neutral_tool_choice *c = &d->r->tool_choice;
    struct json_string word;
    struct span name;
    struct json ahead = d->j;
    enum err e = json_skip(&d->j, &c->raw_json);
    if (e)
        return e;
    c->old_style = true;
    c->mode = NEUTRAL_CHOOSE_RAW;
    if (json_peek(&ahead) == JSON_STRING && json_read_string(&ahead, &word) == ERR_OK) {
        c->mode = choose_of(json_unescape(d->arena, word));
    } else if (json_find_string(d->arena, c->raw_json, "name", &name)) {
        c->mode = NEUTRAL_CHOOSE_NAMED;
        add_name(d->arena, c, name);
    }
    return ERR_OK;
}

static enum err read_schema_format(struct request_reader *d, struct span schema)
{
    struct neutral_format *f = &d->r->format;
    struct json j;
    struct json_string key, text = {.raw = SPAN_NONE};
    json_init(&j, schema);
    enum err e = json_enter_object(&j);
    while (!e && json_next_key(&j, &key)) {
        if (KEY_IS(key, "name") && openai_take_text(&j, &text))
            f->name = text.raw.p ? json_unescape(d->arena, text) : SPAN_NONE;
        else if (KEY_IS(key, "description") && openai_take_text(&j, &f->description))
            continue;
        else if (KEY_IS(key, "strict") && openai_take_said(&j, &f->strict))
            continue;
        else if (KEY_IS(key, "schema"))
            e = json_skip(&j, &f->schema_json);
        else
            e = openai_read_extra(&j, d->arena, key, &f->extra);
    }
    return e ? e : j.error;
}

static unsigned count_keys(struct span object)
{
    struct json j;
    struct json_string key;
    unsigned n = 0;
    json_init(&j, object);
    if (json_peek(&j) != JSON_OBJECT || json_enter_object(&j))
        return 0;
    while (json_next_key(&j, &key) && json_skip(&j, NULL) == ERR_OK)
        n++;
    return n;
}

static enum err read_response_format(struct request_reader *d)
{
    struct neutral_format *f = &d->r->format;
    struct span value, type = SPAN_NONE;
    if (json_peek(&d->j) != JSON_OBJECT)
        return wrong(d, "response_format", "an object");
    enum err e = json_skip(&d->j, &value);
    if (e)
        return e;
    (void)json_find_string(d->arena, value, "type", &type);
    struct span schema = json_find(value, "json_schema");
    unsigned keys = count_keys(value);
    f->kind = NEUTRAL_FORMAT_RAW;
    f->raw_json = value;
    if (keys == 1 && span_eq(type, SPAN("text")))
        f->kind = NEUTRAL_FORMAT_TEXT;
    if (keys == 1 && span_eq(type, SPAN("json_object")))
        f->kind = NEUTRAL_FORMAT_JSON;
    if (keys == 2 && span_eq(type, SPAN("json_schema")) && schema.n && schema.p[0] == '{') {
        f->kind = NEUTRAL_FORMAT_SCHEMA;
        e = read_schema_format(d, schema);
    }
    return e;
}

static enum err read_stop(struct request_reader *d)
{
    struct span value;
    enum err e = ERR_OK;
    if (json_peek(&d->j) == JSON_STRING) {
        d->r->stops_is_string = true;
        if (!(e = json_skip(&d->j, &value)))
            neutral_extra_add(d->arena, &d->r->stops, SPAN(""), value);
        return e;
    }
    if (json_peek(&d->j) != JSON_ARRAY)
        return wrong(d, "stop", "a string or a list of strings");
    e = json_enter_array(&d->j);
    while (!e && json_next_item(&d->j)) {
        if (json_peek(&d->j) != JSON_STRING)
            return wrong(d, "stop", "a string or a list of strings");
        if (!(e = json_skip(&d->j, &value)))
            neutral_extra_add(d->arena, &d->r->stops, SPAN(""), value);
    }
    return e ? e : d->j.error;
}

static struct neutral_input *add_input(struct request_reader *d, enum neutral_input_kind kind)
{
    struct neutral_input *in = ARENA_NEW(d->arena, struct neutral_input);
    in->kind = kind;
    NEUTRAL_APPEND(&d->r->inputs, in);
    return in;
}

static enum err read_one_input(struct request_reader *d)
{
    struct neutral_input *in = add_input(d, NEUTRAL_INPUT_TEXT);
    enum json_type type = json_peek(&d->j);
    if (type == JSON_STRING)
        return json_read_string(&d->j, &in->text);
    in->kind = type == JSON_ARRAY ? NEUTRAL_INPUT_TOKENS : NEUTRAL_INPUT_OTHER;
    return json_skip(&d->j, &in->tokens_json);
}

/* A string, a list of strings, one list of tokens, or a list of such lists. */
static enum err read_inputs(struct request_reader *d, const char *param)
{
    struct json ahead = d->j;
    enum json_type type = json_peek(&d->j);
    d->has_content = true;
    if (type == JSON_STRING)
        return read_one_input(d);
    if (type != JSON_ARRAY)
        return wrong(d, param, "a string or a list");
    enum err e = json_enter_array(&ahead);
    if (!e && json_next_item(&ahead) && json_peek(&ahead) == JSON_NUMBER)
        return read_one_input(d);
    d->r->inputs_is_list = true;
    e = json_enter_array(&d->j);
    while (!e && json_next_item(&d->j))
        e = read_one_input(d);
    return e ? e : d->j.error;
}

static enum err read_prompt(struct request_reader *d) { return read_inputs(d, "prompt"); }
static enum err read_input(struct request_reader *d) { return read_inputs(d, "input"); }

static enum err read_encoding(struct request_reader *d)
{
    struct json_string name = {.raw = SPAN_NONE};
    if (!openai_take_text(&d->j, &name))
        return wrong(d, "encoding_format", "float or base64");
    d->r->encoding_name = json_unescape(d->arena, name);
    d->r->encoding = KEY_IS(name, "float")    ? NEUTRAL_ENCODING_FLOAT
                     : KEY_IS(name, "base64") ? NEUTRAL_ENCODING_BASE64
                                              : NEUTRAL_ENCODING_OTHER;
    return ERR_OK;
}

static const struct {
    struct span key;
    unsigned tasks;
    enum err (*read)(struct request_reader *);
} structures[] = {
    {{"model", 5}, EVERY, read_model},
    {{"messages", 8}, CHAT, read_messages},
    {{"prompt", 6}, COMPLETION, read_prompt},
    {{"input", 5}, EMBEDDING, read_input},
    {{"stream", 6}, CHAT | COMPLETION, read_stream},
    {{"stream_options", 14}, CHAT | COMPLETION, read_stream_options},
    {{"max_tokens", 10}, CHAT | COMPLETION, read_tokens_max_old},
    {{"tools", 5}, CHAT, read_tools},
    {{"functions", 9}, CHAT, read_functions},
    {{"tool_choice", 11}, CHAT, read_tool_choice},
    {{"function_call", 13}, CHAT, read_function_call},
    {{"response_format", 15}, CHAT, read_response_format},
    {{"stop", 4}, CHAT | COMPLETION, read_stop},
    {{"encoding_format", 15}, EMBEDDING, read_encoding},
};

static enum err read_structure(struct request_reader *d, unsigned row)
{
    const char *name = structures[row].key.p;
    if (d->seen >> row & 1)
        return openai_complain(d->why, ERR_INVALID_PARAMETER, name, "%s is given twice", name);
    d->seen |= 1u << row;
    return structures[row].read(d);
}

static enum err read_key(struct request_reader *d, struct json_string key)
{
    unsigned task = 1u << d->r->task;
    if (take_null(&d->j))
        return ERR_OK;
    for (unsigned i = 0; i < COUNT_OF(structures); i++)
        if ((structures[i].tasks & task) && json_key_is(key, structures[i].key))
            return read_structure(d, i);
    const struct openai_field *f = openai_field_find(d->r->task, key);
    if (f)
        return openai_field_read(f, &d->j, d->arena, d->r) ? ERR_OK : wrong(d, openai_field_key(f), openai_field_wanted(f));
    return openai_read_extra(&d->j, d->arena, key, &d->r->extra);
}

/* max_tokens stands for the newer name where that is unsaid. */
static void settle_tokens_max(struct request_reader *d)
{
    struct neutral_request *r = d->r;
    if (!d->tokens_max_old.said)
        return;
    if (!r->output_tokens_max.said) {
        r->output_tokens_max = d->tokens_max_old;
        r->output_tokens_max_old = true;
    } else {
        neutral_extra_add(d->arena, &r->extra, SPAN("max_tokens"),
                          arena_printf(d->arena, "%lld", (long long)d->tokens_max_old.value));
    }
}

static const struct {
    enum api api;
    enum neutral_task task;
    enum neutral_shape shape;
    const char *content;
} tasks[] = {
    {API_OPENAI_CHAT, NEUTRAL_CHAT, NEUTRAL_SHAPE_OPENAI_CHAT, "messages"},
    {API_OPENAI_COMPLETIONS, NEUTRAL_COMPLETION, NEUTRAL_SHAPE_OPENAI_COMPLETIONS, "prompt"},
    {API_OPENAI_EMBEDDINGS, NEUTRAL_EMBEDDING, NEUTRAL_SHAPE_OPENAI_EMBEDDINGS, "input"},
};

static enum err decode(struct request_reader *d, const char *content)
{
    struct json_string key;
    if (json_peek(&d->j) != JSON_OBJECT)
        return json_skip(&d->j, NULL) ? d->j.error : openai_complain(d->why, ERR_INVALID_PARAMETER, "", "the body must be a JSON object");
    enum err e = json_enter_object(&d->j);
    while (!e && json_next_key(&d->j, &key))
        e = read_key(d, key);
    if (!e)
        e = json_finish(&d->j);
    if (!e && !d->has_content)
        e = openai_complain(d->why, ERR_MISSING_PARAMETER, content, "%s is missing", content);
    settle_tokens_max(d);
    return e;
}

enum err openai_decode_request(struct arena *a, enum api api, struct span body, struct neutral_request *ret, struct complaint *why)
{
    struct complaint ignored;
    struct neutral_request r;
    struct request_reader d = {.arena = a, .r = &r, .why = why ? why : &ignored};
    unsigned i = 0;
    while (i < COUNT_OF(tasks) && tasks[i].api != api)
        i++;
    if (i == COUNT_OF(tasks))
        return openai_complain(d.why, ERR_NOT_FOUND, "", "this dialect has no such operation");
    neutral_request_init(&r, a);
    r.task = tasks[i].task;
    r.shape = tasks[i].shape;
    json_init(&d.j, body);
    enum err e = decode(&d, tasks[i].content);
    if (d.j.error)
        return openai_complain_json(d.why, &d.j);
    if (!e)
        *ret = r;
    return e;
}
