/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests of the OpenAI dialects to and from the neutral form. Plain keys are one table, read in one direction and written in the other;
 * the few with a structure have a function each way. A key that is null counts as absent; a key that no field holds is kept raw.
 */
#include <stdio.h>

#include "dialect/openai_message.h"

/* ---- the plain keys ---- */

enum field_kind { FIELD_PLAIN, FIELD_TEXT, FIELD_RAW, FIELD_INT, FIELD_NUMBER, FIELD_SAID };

#define CHAT (1u << NEUTRAL_CHAT)
#define COMPLETION (1u << NEUTRAL_COMPLETION)
#define EMBEDDING (1u << NEUTRAL_EMBEDDING)
#define EVERY (CHAT | COMPLETION | EMBEDDING)
#define AT(member) offsetof(struct neutral_request, member)

static const struct field {
    const char *key;
    unsigned tasks;
    enum field_kind kind;
    size_t at;
    bool compatible_only; /* OpenAI itself refuses it: never made out of another dialect's request */
} fields[] = {
    {"max_completion_tokens", CHAT, FIELD_INT, AT(output_tokens_max), false},
    {"temperature", CHAT | COMPLETION, FIELD_NUMBER, AT(temperature), false},
    {"top_p", CHAT | COMPLETION, FIELD_NUMBER, AT(top_p), false},
    {"min_p", CHAT | COMPLETION, FIELD_NUMBER, AT(min_p), true},
    {"top_k", CHAT | COMPLETION, FIELD_INT, AT(top_k), true},
    {"frequency_penalty", CHAT | COMPLETION, FIELD_NUMBER, AT(frequency_penalty), false},
    {"presence_penalty", CHAT | COMPLETION, FIELD_NUMBER, AT(presence_penalty), false},
    {"n", CHAT | COMPLETION, FIELD_INT, AT(choices), false},
    {"seed", CHAT | COMPLETION, FIELD_INT, AT(seed), false},
    {"logit_bias", CHAT | COMPLETION, FIELD_RAW, AT(logit_bias_json), false},
    {"logprobs", CHAT, FIELD_SAID, AT(logprobs), false},
    {"top_logprobs", CHAT, FIELD_INT, AT(top_logprobs), false},
    {"logprobs", COMPLETION, FIELD_INT, AT(top_logprobs), false},
    {"parallel_tool_calls", CHAT, FIELD_SAID, AT(parallel_tools), false},
    {"reasoning_effort", CHAT, FIELD_PLAIN, AT(reasoning.effort), false},
    {"verbosity", CHAT, FIELD_PLAIN, AT(verbosity), false},
    {"modalities", CHAT, FIELD_RAW, AT(modalities_json), false},
    {"moderation", CHAT, FIELD_RAW, AT(safety_json), true},
    {"user", EVERY, FIELD_TEXT, AT(user), false},
    {"safety_identifier", CHAT, FIELD_TEXT, AT(safety_identifier), false},
    {"prompt_cache_key", CHAT, FIELD_TEXT, AT(cache_key), false},
    {"prompt_cache_retention", CHAT, FIELD_PLAIN, AT(cache_retention), false},
    {"metadata", CHAT | COMPLETION, FIELD_RAW, AT(metadata_json), false},
    {"store", CHAT, FIELD_SAID, AT(store), false},
    {"service_tier", CHAT | COMPLETION, FIELD_PLAIN, AT(service_tier), false},
    {"echo", COMPLETION, FIELD_SAID, AT(echo), false},
    {"best_of", COMPLETION, FIELD_INT, AT(best_of), false},
    {"suffix", COMPLETION, FIELD_TEXT, AT(suffix), false},
    {"dimensions", EMBEDDING, FIELD_INT, AT(dimensions), false},
    {"input_type", EMBEDDING, FIELD_PLAIN, AT(input_type), true},
};

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

static bool take_said(struct json *j, enum neutral_said *ret)
{
    bool value;
    if (json_peek(j) != JSON_BOOL || json_read_bool(j, &value))
        return false;
    *ret = value ? NEUTRAL_YES : NEUTRAL_NO;
    return true;
}

static bool take_int(struct json *j, struct neutral_int *ret)
{
    struct json ahead = *j;
    int64_t value;
    if (json_peek(j) != JSON_NUMBER || json_read_i64(&ahead, &value))
        return false;
    *j = ahead;
    *ret = (struct neutral_int){true, value};
    return true;
}

static enum err read_field(struct request_reader *d, const struct field *f)
{
    static const char *const wanted[] = {"a string", "a string", "a value", "an integer", "a number", "true or false"};
    void *to = (char *)d->r + f->at;
    struct json_string text = {.raw = SPAN_NONE};
    bool fits = false;
    switch (f->kind) {
    case FIELD_PLAIN:
        if ((fits = openai_take_text(&d->j, &text)) && text.raw.p)
            *(struct span *)to = json_unescape(d->arena, text);
        break;
    case FIELD_TEXT: fits = openai_take_text(&d->j, to); break;
    case FIELD_RAW: fits = json_skip(&d->j, to) == ERR_OK; break;
    case FIELD_INT: fits = take_int(&d->j, to); break;
    case FIELD_SAID: fits = take_said(&d->j, to); break;
    case FIELD_NUMBER: fits = json_peek(&d->j) == JSON_NUMBER && json_read_number(&d->j, &((struct neutral_number *)to)->text) == ERR_OK; break;
    }
    return fits ? ERR_OK : wrong(d, f->key, wanted[f->kind]);
}

static void write_field(struct json_out *o, const struct neutral_request *r, const struct field *f, const char *key)
{
    const void *from = (const char *)r + f->at;
    switch (f->kind) {
    case FIELD_PLAIN: json_out_member_span(o, key, *(const struct span *)from); break;
    case FIELD_TEXT: json_out_member_text(o, key, *(const struct json_string *)from); break;
    case FIELD_RAW: json_out_member_raw(o, key, *(const struct span *)from); break;
    case FIELD_INT: json_out_member_int(o, key, *(const struct neutral_int *)from); break;
    case FIELD_SAID: json_out_member_said(o, key, *(const enum neutral_said *)from); break;
    case FIELD_NUMBER: json_out_member_raw(o, key, ((const struct neutral_number *)from)->text); break;
    }
}

static bool field_is_said(const struct neutral_request *r, const struct field *f)
{
    const void *from = (const char *)r + f->at;
    switch (f->kind) {
    case FIELD_INT: return ((const struct neutral_int *)from)->said;
    case FIELD_SAID: return *(const enum neutral_said *)from != NEUTRAL_UNSAID;
    case FIELD_NUMBER: return ((const struct neutral_number *)from)->text.p != NULL;
    case FIELD_TEXT: return ((const struct json_string *)from)->raw.p != NULL;
    default: return ((const struct span *)from)->p != NULL;
    }
}

/* ---- keys with a structure ---- */

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
    if (!take_said(&d->j, &d->r->stream_said))
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
        if (!KEY_IS(key, "include_usage") || !take_said(&d->j, &d->r->stream_usage))
            e = openai_read_extra(&d->j, d->arena, key, &d->r->stream_extra);
    return e ? e : d->j.error;
}

static enum err read_tokens_max_old(struct request_reader *d)
{
    return take_int(&d->j, &d->tokens_max_old) ? ERR_OK : wrong(d, "max_tokens", "an integer");
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
        else if (KEY_IS(key, "strict") && take_said(&d->j, &tool->strict))
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
    struct neutral_tool **end = &d->r->tools;
    while (*end)
        end = &(*end)->next;
    return *end = ARENA_NEW(d->arena, struct neutral_tool);
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
    struct neutral_name **end = &c->names;
    while (*end)
        end = &(*end)->next;
    *end = ARENA_NEW(a, struct neutral_name);
    (*end)->name = name;
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
        else if (KEY_IS(key, "strict") && take_said(&j, &f->strict))
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
    struct neutral_input **end = &d->r->inputs;
    while (*end)
        end = &(*end)->next;
    *end = ARENA_NEW(d->arena, struct neutral_input);
    (*end)->kind = kind;
    return *end;
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
    for (unsigned i = 0; i < COUNT_OF(fields); i++)
        if ((fields[i].tasks & task) && json_key_is(key, span_str(fields[i].key)))
            return read_field(d, &fields[i]);
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

/* ---- encoding ---- */

enum err openai_lose(struct loss_sink *s, const char *param, const char *sentence)
{
    if (s->drop)
        return ERR_OK;
    if (!s->losses)
        return openai_complain(s->why, ERR_UNMAPPABLE, param, "%s: %s", param, sentence);
    struct neutral_loss **end = s->losses;
    while (*end)
        end = &(*end)->next;
    *end = ARENA_NEW(s->arena, struct neutral_loss);
    (*end)->param = arena_dup(s->arena, span_str(param));
    return ERR_OK;
}

static enum err lose_if(struct loss_sink *s, bool said, const char *param)
{
    return said ? openai_lose(s, param, "this cannot be expressed at the chosen provider") : ERR_OK;
}

/* What another dialect may ask and chat cannot. */
static enum err refuse_foreign(const struct neutral_request *r, struct loss_sink *s)
{
    enum err e = lose_if(s, r->previous.p != NULL, "previous_response_id");
    if (!e)
        e = lose_if(s, r->cached.p != NULL, "cachedContent");
    if (!e)
        e = lose_if(s, r->reasoning.budget_tokens.said && !r->reasoning.effort.p, "thinking budget");
    for (unsigned i = 0; !e && i < COUNT_OF(fields); i++)
        if (fields[i].compatible_only)
            e = lose_if(s, field_is_said(r, &fields[i]), fields[i].key);
    for (const struct neutral_extra *x = r->extra; !e && x; x = x->next) {
        char param[64];
        snprintf(param, sizeof param, "%.*s", (int)(x->key.n < 60 ? x->key.n : 60), x->key.p);
        e = lose_if(s, true, param);
    }
    return e;
}

static void write_stream(struct json_out *o, const struct neutral_request *r, bool ours)
{
    if (r->stream_said == NEUTRAL_UNSAID && r->stream)
        json_out_member_raw(o, "stream", SPAN("true"));
    else
        json_out_member_said(o, "stream", r->stream_said);
    if (r->stream_usage == NEUTRAL_UNSAID && !(ours && r->stream_extra))
        return;
    json_out_key(o, "stream_options");
    json_out_open(o, '{');
    json_out_member_said(o, "include_usage", r->stream_usage);
    if (ours)
        json_out_extra(o, r->stream_extra);
    json_out_close(o, '}');
}

static void write_function(struct json_out *o, const struct neutral_tool *t, bool ours)
{
    json_out_open(o, '{');
    json_out_member_span(o, "name", t->name);
    json_out_member_text(o, "description", t->description);
    json_out_member_raw(o, "parameters", t->kind == NEUTRAL_TOOL_FUNCTION ? t->schema_json : SPAN_NONE);
    json_out_member_raw(o, "format", t->kind == NEUTRAL_TOOL_CUSTOM ? t->format_json : SPAN_NONE);
    json_out_member_said(o, "strict", t->strict);
    if (ours)
        json_out_extra(o, t->function_extra);
    json_out_close(o, '}');
}

static enum err write_tool(struct json_out *o, struct loss_sink *s, const struct neutral_tool *t)
{
    bool ours = openai_is_ours(t->shape);
    const char *kind = t->kind == NEUTRAL_TOOL_CUSTOM ? "custom" : "function";
    if (t->kind == NEUTRAL_TOOL_HOSTED) {
        if (!ours)
            return openai_lose(s, "tools", "a tool of another provider cannot be expressed");
        json_out_raw(o, t->raw_json);
        return ERR_OK;
    }
    if (t->schema_is_openapi)
        return openai_lose(s, "tools", "an OpenAPI schema cannot be expressed; parametersJsonSchema can");
    if (t->old_style) {
        write_function(o, t, ours);
        return ERR_OK;
    }
    json_out_open(o, '{');
    json_out_key(o, "type");
    json_out_string(o, span_str(kind));
    json_out_key(o, kind);
    write_function(o, t, ours);
    if (ours)
        json_out_extra(o, t->extra);
    json_out_close(o, '}');
    return ERR_OK;
}

static enum err write_tool_list(struct json_out *o, struct loss_sink *s, const struct neutral_request *r, bool old)
{
    enum err e = ERR_OK;
    json_out_key(o, old ? "functions" : "tools");
    json_out_open(o, '[');
    for (const struct neutral_tool *t = r->tools; !e && t; t = t->next)
        if (t->old_style == old)
            e = write_tool(o, s, t);
    json_out_close(o, ']');
    return e;
}

static enum err write_tools(struct json_out *o, struct loss_sink *s, const struct neutral_request *r)
{
    bool any_old = false, any_new = r->tools_said;
    for (const struct neutral_tool *t = r->tools; t; t = t->next) {
        any_old = any_old || t->old_style;
        any_new = any_new || !t->old_style;
    }
    enum err e = any_new ? write_tool_list(o, s, r, false) : ERR_OK;
    return !e && any_old ? write_tool_list(o, s, r, true) : e;
}

static void write_named(struct json_out *o, const char *kind, struct span name)
{
    json_out_open(o, '{');
    json_out_key(o, "type");
    json_out_string(o, span_str(kind));
    json_out_key(o, kind);
    json_out_open(o, '{');
    json_out_member_span(o, "name", name);
    json_out_close(o, '}');
    json_out_close(o, '}');
}

static void write_allowed(struct json_out *o, const struct neutral_tool_choice *c)
{
    json_out_open(o, '{');
    json_out_key(o, "type");
    json_out_string(o, SPAN("allowed_tools"));
    json_out_key(o, "allowed_tools");
    json_out_open(o, '{');
    json_out_key(o, "mode");
    json_out_string(o, c->required ? SPAN("required") : SPAN("auto"));
    json_out_key(o, "tools");
    json_out_open(o, '[');
    for (const struct neutral_name *n = c->names; n; n = n->next)
        write_named(o, "function", n->name);
    json_out_close(o, ']');
    json_out_close(o, '}');
    json_out_close(o, '}');
}

static enum err write_tool_choice(struct json_out *o, struct loss_sink *s, const struct neutral_tool_choice *c, bool ours)
{
    static const char *const words[] = {[NEUTRAL_CHOOSE_NONE] = "none", [NEUTRAL_CHOOSE_AUTO] = "auto", [NEUTRAL_CHOOSE_REQUIRED] = "required"};
    if (c->mode == NEUTRAL_CHOOSE_UNSAID)
        return ERR_OK;
    if (c->mode == NEUTRAL_CHOOSE_RAW && !ours)
        return openai_lose(s, "tool_choice", "this choice cannot be expressed");
    json_out_key(o, c->old_style ? "function_call" : "tool_choice");
    if (ours && c->raw_json.p)
        json_out_raw(o, c->raw_json);
    else if (c->mode == NEUTRAL_CHOOSE_NAMED && c->names)
        write_named(o, c->custom ? "custom" : "function", c->names->name);
    else if (c->mode == NEUTRAL_CHOOSE_ALLOWED)
        write_allowed(o, c);
    else
        json_out_string(o, span_str(c->mode < COUNT_OF(words) && words[c->mode] ? words[c->mode] : "auto"));
    return ERR_OK;
}

static void write_schema(struct json_out *o, const struct neutral_format *f, bool ours)
{
    json_out_key(o, "json_schema");
    json_out_open(o, '{');
    if (f->name.p || !ours) /* the name is required here and unknown elsewhere */
        json_out_member_span(o, "name", f->name.p ? f->name : SPAN("answer"));
    json_out_member_text(o, "description", f->description);
    json_out_member_raw(o, "schema", f->schema_json);
    json_out_member_said(o, "strict", f->strict);
    if (ours)
        json_out_extra(o, f->extra);
    json_out_close(o, '}');
}

static enum err write_format(struct json_out *o, struct loss_sink *s, const struct neutral_format *f, bool ours)
{
    static const char *const types[] = {[NEUTRAL_FORMAT_TEXT] = "text", [NEUTRAL_FORMAT_JSON] = "json_object", [NEUTRAL_FORMAT_SCHEMA] = "json_schema"};
    if (f->kind == NEUTRAL_FORMAT_UNSAID)
        return ERR_OK;
    if (!ours && (f->kind == NEUTRAL_FORMAT_RAW || f->schema_is_openapi))
        return openai_lose(s, "response_format", "this form of answer cannot be expressed");
    json_out_key(o, "response_format");
    if (f->kind == NEUTRAL_FORMAT_RAW) {
        json_out_raw(o, f->raw_json);
        return ERR_OK;
    }
    json_out_open(o, '{');
    json_out_key(o, "type");
    json_out_string(o, span_str(types[f->kind]));
    if (f->kind == NEUTRAL_FORMAT_SCHEMA)
        write_schema(o, f, ours);
    json_out_close(o, '}');
    return ERR_OK;
}

static void write_stops(struct json_out *o, const struct neutral_request *r)
{
    if (!r->stops)
        return;
    json_out_key(o, "stop");
    if (r->stops_is_string) {
        json_out_raw(o, r->stops->value_json);
        return;
    }
    json_out_open(o, '[');
    for (const struct neutral_extra *x = r->stops; x; x = x->next)
        json_out_raw(o, x->value_json);
    json_out_close(o, ']');
}

static void write_inputs(struct json_out *o, const struct neutral_request *r, const char *key)
{
    json_out_key(o, key);
    if (r->inputs_is_list || !r->inputs)
        json_out_open(o, '[');
    for (const struct neutral_input *in = r->inputs; in; in = in->next) {
        if (in->kind == NEUTRAL_INPUT_TEXT)
            json_out_text(o, in->text);
        else
            json_out_raw(o, in->tokens_json);
    }
    if (r->inputs_is_list || !r->inputs)
        json_out_close(o, ']');
}

static enum err write_chat(struct json_out *o, struct loss_sink *s, const struct neutral_request *r, bool ours)
{
    enum err e = ERR_OK;
    json_out_key(o, "messages");
    json_out_open(o, '[');
    for (const struct neutral_message *m = r->messages; !e && m; m = m->next)
        e = openai_write_message(o, r->arena, s, m, ours);
    json_out_close(o, ']');
    if (!e)
        e = write_tools(o, s, r);
    if (!e)
        e = write_tool_choice(o, s, &r->tool_choice, ours);
    return e ? e : write_format(o, s, &r->format, ours);
}

static void write_encoding(struct json_out *o, const struct neutral_request *r)
{
    static const char *const names[] = {[NEUTRAL_ENCODING_FLOAT] = "float", [NEUTRAL_ENCODING_BASE64] = "base64"};
    if (r->encoding == NEUTRAL_ENCODING_OTHER)
        json_out_member_span(o, "encoding_format", r->encoding_name);
    else if (r->encoding != NEUTRAL_ENCODING_UNSAID)
        json_out_member_span(o, "encoding_format", span_str(names[r->encoding]));
}

static enum err write_content(struct json_out *o, struct loss_sink *s, const struct neutral_request *r, bool ours)
{
    if (r->task == NEUTRAL_CHAT)
        return write_chat(o, s, r, ours);
    write_inputs(o, r, r->task == NEUTRAL_COMPLETION ? "prompt" : "input");
    if (r->task == NEUTRAL_EMBEDDING)
        write_encoding(o, r);
    return ERR_OK;
}

enum err openai_encode_request(struct buf *out, const struct neutral_request *r, struct complaint *why)
{
    struct complaint ignored;
    struct loss_sink s = {.why = why ? why : &ignored, .losses = r->losses, .arena = r->arena};
    struct json_out o = json_out_begin(out);
    bool ours = openai_is_ours(r->shape);
    json_out_open(&o, '{');
    json_out_member_span(&o, "model", r->model);
    enum err e = write_content(&o, &s, r, ours);
    if (!e && !ours)
        e = refuse_foreign(r, &s);
    for (unsigned i = 0; i < COUNT_OF(fields); i++) {
        bool old_name = fields[i].at == AT(output_tokens_max) && r->output_tokens_max_old;
        if ((fields[i].tasks >> r->task & 1) && !old_name && (ours || !fields[i].compatible_only))
            write_field(&o, r, &fields[i], fields[i].key);
    }
    if (r->output_tokens_max_old || r->task == NEUTRAL_COMPLETION)
        json_out_member_int(&o, "max_tokens", r->output_tokens_max);
    write_stops(&o, r);
    write_stream(&o, r, ours);
    if (ours)
        json_out_extra(&o, r->extra);
    json_out_close(&o, '}');
    if (e)
        o.error = e;
    return json_out_end(&o);
}
