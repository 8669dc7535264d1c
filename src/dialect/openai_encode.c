/* SPDX-License-Identifier: Apache-2.0
 *
 * Neutral requests as OpenAI's chat, completions or embeddings. What came from this shape is written back whole; what another dialect asks and
 * this one cannot say is refused with its name, or left out and listed where the config says so.
 */
#include <stdio.h>

#include "dialect/openai_message.h"

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
    for (unsigned at = 0; !e;) {
        const char *key = openai_fields_compatible_only(r, &at);
        if (!key)
            break;
        e = lose_if(s, true, key);
    }
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
    openai_fields_write(&o, r, ours);
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
