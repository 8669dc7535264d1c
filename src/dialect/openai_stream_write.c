/* SPDX-License-Identifier: Apache-2.0
 *
 * Neutral events as a stream of chat or completions. Usage is held until the end and written once, to clients that asked; keys of the whole
 * chunk wait for the next one, because a chunk of their own would have no choices, and clients index into those.
 */
#include "dialect/openai_message.h"

/* Keys that wait for the next chunk, because a chunk of their own would have no choices, and clients index into those. */
struct waiting {
    struct neutral_extra *extra;
    struct neutral_extra *usage_extra;
    bool has_usage;
};

static struct waiting *waiting_of(struct neutral_writer *w)
{
    if (!w->own)
        w->own = ARENA_NEW(w->arena, struct waiting);
    return w->own;
}

static void keep_extra(struct arena *a, struct neutral_extra **list, const struct neutral_extra *extra)
{
    for (; extra; extra = extra->next)
        neutral_extra_add(a, list, arena_dup(a, extra->key), arena_dup(a, extra->value_json));
}

static void open_chunk(struct json_out *o, enum api api, struct neutral_writer *w)
{
    struct waiting *waiting = waiting_of(w);
    json_out_bytes(o, SPAN("data: "));
    json_out_open(o, '{');
    json_out_member_span(o, "id", w->id);
    json_out_key(o, "object");
    json_out_string(o, api == API_OPENAI_COMPLETIONS ? SPAN("text_completion") : SPAN("chat.completion.chunk"));
    json_out_key(o, "created");
    json_out_int(o, w->created.said ? w->created.value : 0);
    json_out_key(o, "model");
    json_out_string(o, w->model.p ? w->model : SPAN(""));
    json_out_member_span(o, "service_tier", w->service_tier);
    json_out_member_span(o, "system_fingerprint", w->fingerprint);
    json_out_extra(o, waiting->extra);
    waiting->extra = NULL;
    json_out_key(o, "choices");
    json_out_open(o, '[');
    o->comma = false;
}

static void close_chunk(struct json_out *o, const struct neutral_writer *w)
{
    json_out_close(o, ']');
    if (w->wants_usage)
        json_out_member_raw(o, "usage", SPAN("null"));
    json_out_close(o, '}');
    json_out_bytes(o, SPAN("\n\n"));
    o->comma = false;
}

/* A chunk with one choice; chat's body of the choice is written between the two. */
static void open_choice(struct json_out *o, enum api api, struct neutral_writer *w, int index)
{
    open_chunk(o, api, w);
    json_out_open(o, '{');
    json_out_key(o, "index");
    json_out_int(o, index);
}

static void close_choice(struct json_out *o, const struct neutral_writer *w, enum neutral_stop stop, struct span word)
{
    openai_write_finish(o, stop, word);
    json_out_close(o, '}');
    close_chunk(o, w);
}

static void open_delta(struct json_out *o, enum api api, struct neutral_writer *w, int index)
{
    open_choice(o, api, w, index);
    json_out_key(o, "delta");
    json_out_open(o, '{');
}

static void close_delta(struct json_out *o, const struct neutral_writer *w)
{
    json_out_close(o, '}');
    json_out_member_raw(o, "logprobs", SPAN("null"));
    close_choice(o, w, NEUTRAL_STOP_NONE, SPAN_NONE);
}

static struct neutral_stream_choice *choice_of(struct json_out *o, enum api api, struct neutral_writer *w, int index)
{
    struct neutral_stream_choice *c = neutral_stream_choice(w->arena, &w->choices, index);
    if (c->role_written || api == API_OPENAI_COMPLETIONS)
        return c;
    c->role_written = true;
    open_delta(o, api, w, index);
    json_out_member_raw(o, "role", SPAN("\"assistant\""));
    json_out_member_raw(o, "content", SPAN("\"\""));
    json_out_member_raw(o, "refusal", SPAN("null"));
    close_delta(o, w);
    return c;
}

static struct span keep(struct arena *a, struct span s) { return s.p ? arena_dup(a, s) : s; }

static void write_start(struct json_out *o, enum api api, struct neutral_writer *w, const struct neutral_event *event)
{
    if (!w->id.p)
        w->id = keep(w->arena, event->start.id);
    if (!w->model.p)
        w->model = keep(w->arena, event->start.model);
    if (!w->created.said)
        w->created = event->start.created;
    w->service_tier = keep(w->arena, event->start.service_tier);
    w->fingerprint = keep(w->arena, event->start.fingerprint);
    w->started = true;
    choice_of(o, api, w, 0); /* clients learn at once that the answer has begun */
}

static void open_call(struct json_out *o, const struct neutral_open_part *p)
{
    json_out_key(o, "tool_calls");
    json_out_open(o, '[');
    json_out_open(o, '{');
    json_out_key(o, "index");
    json_out_int(o, p->wire_index);
}

static void close_call(struct json_out *o)
{
    json_out_close(o, '}');
    json_out_close(o, ']');
}

/* wire_index: chat counts tool calls alone. Custom calls and the old style are told by their part's name. */
enum call_style { CALL_FUNCTION = 0, CALL_CUSTOM = 1, CALL_OLD = 2 };

static enum call_style style_of(const struct neutral_tool_call *call)
{
    return call->old_style ? CALL_OLD : call->custom ? CALL_CUSTOM : CALL_FUNCTION;
}

static void write_call_start(struct json_out *o, const struct neutral_open_part *p, const struct neutral_tool_call *call)
{
    const char *kind = call->custom ? "custom" : "function";
    if (call->old_style) {
        json_out_key(o, "function_call");
    } else {
        open_call(o, p);
        json_out_key(o, "id");
        json_out_string(o, p->id);
        json_out_key(o, "type");
        json_out_string(o, span_str(kind));
        json_out_key(o, kind);
    }
    json_out_open(o, '{');
    json_out_key(o, "name");
    json_out_string(o, call->name);
    json_out_key(o, call->custom ? "input" : "arguments");
    json_out_string(o, SPAN(""));
    json_out_close(o, '}');
    if (!call->old_style)
        close_call(o);
}

static void write_part_start(struct json_out *o, enum api api, struct neutral_writer *w, const struct neutral_event *event)
{
    static const char *const styles[] = {[CALL_FUNCTION] = "function", [CALL_CUSTOM] = "custom", [CALL_OLD] = "old"};
    struct neutral_stream_choice *c = choice_of(o, api, w, event->choice);
    bool is_call = event->part_kind == NEUTRAL_TOOL_CALL;
    c->old_call = c->old_call || (is_call && event->call.old_style);
    struct neutral_open_part *p = neutral_part_add(w->arena, c, event->part_kind, is_call ? (int)c->calls : -1);
    p->part = event->part;
    if (event->part_kind == NEUTRAL_REASONING)
        p->name = keep(w->arena, event->shape == NEUTRAL_SHAPE_OPENAI_CHAT ? event->reasoning.key : SPAN_NONE);
    if (!is_call || api == API_OPENAI_COMPLETIONS)
        return;
    p->name = span_str(styles[style_of(&event->call)]);
    p->id = event->call.id.n ? keep(w->arena, event->call.id) : arena_printf(w->arena, "call_%d_%u", event->choice, event->part);
    open_delta(o, api, w, event->choice);
    write_call_start(o, p, &event->call);
    close_delta(o, w);
}

static void write_call_arguments(struct json_out *o, const struct neutral_open_part *p, struct json_string text)
{
    bool custom = span_eq(p->name, SPAN("custom"));
    if (span_eq(p->name, SPAN("old"))) {
        json_out_key(o, "function_call");
    } else {
        open_call(o, p);
        json_out_key(o, custom ? "custom" : "function");
    }
    json_out_open(o, '{');
    json_out_member_text(o, custom ? "input" : "arguments", text);
    json_out_close(o, '}');
    if (!span_eq(p->name, SPAN("old")))
        close_call(o);
}

static void write_reasoning_delta(struct json_out *o, const struct neutral_open_part *p, struct json_string text)
{
    if (span_eq(p->name, SPAN("thinking"))) {
        json_out_key(o, "content");
        json_out_bytes(o, SPAN("[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":"));
        json_out_text(o, text);
        json_out_bytes(o, SPAN("}]}]"));
    } else if (p->name.p) {
        json_out_key_span(o, p->name);
        json_out_text(o, text);
    } else { /* another dialect's: readers differ in which key they look at */
        json_out_member_text(o, "reasoning_content", text);
        json_out_member_text(o, "reasoning", text);
    }
}

static void write_text_chunk(struct json_out *o, enum api api, struct neutral_writer *w, const struct neutral_event *event)
{
    open_choice(o, api, w, event->choice);
    json_out_member_text(o, "text", event->text);
    json_out_member_raw(o, "logprobs", SPAN("null"));
    close_choice(o, w, NEUTRAL_STOP_NONE, SPAN_NONE);
}

static void write_delta(struct json_out *o, enum api api, struct neutral_writer *w, const struct neutral_event *event)
{
    struct neutral_stream_choice *c = choice_of(o, api, w, event->choice);
    const struct neutral_open_part *p = neutral_part_find(c, event->part);
    if (api == API_OPENAI_COMPLETIONS) {
        if (event->part_kind == NEUTRAL_TEXT)
            write_text_chunk(o, api, w, event);
        return;
    }
    if (!p || (p->kind != NEUTRAL_TEXT && p->kind != NEUTRAL_REASONING && p->kind != NEUTRAL_REFUSAL && p->kind != NEUTRAL_TOOL_CALL))
        return; /* media have no place in chat's deltas */
    open_delta(o, api, w, event->choice);
    if (p->kind == NEUTRAL_TEXT)
        json_out_member_text(o, "content", event->text);
    else if (p->kind == NEUTRAL_REFUSAL)
        json_out_member_text(o, "refusal", event->text);
    else if (p->kind == NEUTRAL_REASONING)
        write_reasoning_delta(o, p, event->text);
    else
        write_call_arguments(o, p, event->text);
    close_delta(o, w);
}

static void write_signature(struct json_out *o, enum api api, struct neutral_writer *w, const struct neutral_event *event)
{
    struct neutral_stream_choice *c = choice_of(o, api, w, event->choice);
    const struct neutral_open_part *p = neutral_part_find(c, event->part);
    if (!p || p->kind != NEUTRAL_TOOL_CALL || event->signature.maker != NEUTRAL_SHAPE_GEMINI)
        return; /* chat has a place for Gemini's signatures of calls, and for no other */
    open_delta(o, api, w, event->choice);
    open_call(o, p);
    openai_write_google_signature(o, event->signature.data);
    close_call(o);
    close_delta(o, w);
}

static void write_citation(struct json_out *o, enum api api, struct neutral_writer *w, const struct neutral_event *event)
{
    bool ours = openai_is_ours(event->shape);
    if (!ours && !event->citation->url.raw.p)
        return;
    choice_of(o, api, w, event->choice);
    open_delta(o, api, w, event->choice);
    json_out_key(o, "annotations");
    json_out_open(o, '[');
    openai_write_citation(o, event->citation, ours);
    json_out_close(o, ']');
    close_delta(o, w);
}

/* A key of the choice beside its delta. */
static void write_beside(struct json_out *o, enum api api, struct neutral_writer *w, int choice, const char *key, struct span json,
                         const struct neutral_extra *extra)
{
    choice_of(o, api, w, choice);
    open_choice(o, api, w, choice);
    if (api == API_OPENAI_COMPLETIONS)
        json_out_member_raw(o, "text", SPAN("\"\""));
    else
        json_out_member_raw(o, "delta", SPAN("{}"));
    if (key)
        json_out_member_raw(o, key, json);
    json_out_extra(o, extra);
    close_choice(o, w, NEUTRAL_STOP_NONE, SPAN_NONE);
}

static void write_safety(struct json_out *o, enum api api, struct neutral_writer *w, const struct neutral_event *event)
{
    if (!openai_is_ours(event->shape))
        return;
    if (event->choice >= 0)
        write_beside(o, api, w, event->choice, "content_filter_results", event->json, NULL);
    else
        neutral_extra_add(w->arena, &waiting_of(w)->extra, SPAN("prompt_filter_results"), arena_dup(w->arena, event->json));
}

static void write_extra(struct json_out *o, enum api api, struct neutral_writer *w, const struct neutral_event *event)
{
    if (!openai_is_ours(event->shape))
        return;
    if (event->choice < 0) {
        keep_extra(w->arena, &waiting_of(w)->extra, event->extra.list);
    } else if (event->extra.beside || api == API_OPENAI_COMPLETIONS) {
        write_beside(o, api, w, event->choice, NULL, SPAN_NONE, event->extra.list);
    } else {
        choice_of(o, api, w, event->choice);
        open_delta(o, api, w, event->choice);
        json_out_extra(o, event->extra.list);
        close_delta(o, w);
    }
}

static void write_finish(struct json_out *o, enum api api, struct neutral_writer *w, const struct neutral_event *event)
{
    struct neutral_stream_choice *c = choice_of(o, api, w, event->choice);
    c->finished = true;
    open_choice(o, api, w, event->choice);
    if (api == API_OPENAI_COMPLETIONS)
        json_out_member_raw(o, "text", SPAN("\"\""));
    else
        json_out_member_raw(o, "delta", SPAN("{}"));
    json_out_member_raw(o, "logprobs", SPAN("null"));
    close_choice(o, w, event->finish.stop == NEUTRAL_STOP_NONE ? NEUTRAL_STOP_END : event->finish.stop,
                 openai_is_ours(event->shape) && event->finish.word.n ? event->finish.word : c->old_call ? SPAN("function_call") : SPAN_NONE);
}

static void keep_usage(struct neutral_writer *w, const struct neutral_event *event)
{
    struct waiting *waiting = waiting_of(w);
    w->usage = event->usage.usage;
    waiting->has_usage = true;
    waiting->usage_extra = NULL;
    if (openai_is_ours(event->shape))
        keep_extra(w->arena, &waiting->usage_extra, event->usage.extra);
}

static void write_end(struct json_out *o, enum api api, struct neutral_writer *w)
{
    struct waiting *waiting = waiting_of(w);
    if (w->wants_usage && waiting->has_usage) {
        open_chunk(o, api, w);
        json_out_close(o, ']');
        json_out_key(o, "usage");
        if (!o->error)
            o->error = openai_write_usage(o->buf, api, &w->usage, waiting->usage_extra);
        o->comma = true;
        json_out_close(o, '}');
        json_out_bytes(o, SPAN("\n\n"));
        o->comma = false;
    }
    json_out_bytes(o, SPAN("data: [DONE]\n\n"));
    w->done = true;
}

static void write_failure(struct json_out *o, struct neutral_writer *w, const struct neutral_error *f)
{
    struct arena *a = w->arena;
    struct client_error error = {.error = f->error ? f->error : ERR_PROVIDER_FAULT, .status = f->status};
    if (f->message.raw.n)
        error.message = arena_strdup(a, json_unescape(a, f->message));
    if (f->param.n)
        error.param = arena_strdup(a, f->param);
    if (f->code.n)
        error.code = arena_strdup(a, f->code);
    if (!o->error)
        openai_write_stream_error(o->buf, &error);
    w->failed = true;
}

/* Nothing on the wire tells that a part has ended. */
static void drop_part(struct neutral_writer *w, const struct neutral_event *event)
{
    struct neutral_stream_choice *c = neutral_stream_choice(w->arena, &w->choices, event->choice);
    const struct neutral_open_part *p = neutral_part_find(c, event->part);
    if (p)
        neutral_part_drop(c, p);
}

enum err openai_write_event(struct buf *out, enum api api, const struct neutral_event *event, struct neutral_writer *w)
{
    struct json_out o = json_out_begin(out);
    if (w->done || w->failed)
        return ERR_OK;
    switch (event->kind) {
    case NEUTRAL_EVENT_START: write_start(&o, api, w, event); break;
    case NEUTRAL_EVENT_PART_START: write_part_start(&o, api, w, event); break;
    case NEUTRAL_EVENT_DELTA: write_delta(&o, api, w, event); break;
    case NEUTRAL_EVENT_SIGNATURE: write_signature(&o, api, w, event); break;
    case NEUTRAL_EVENT_CITATION: write_citation(&o, api, w, event); break;
    case NEUTRAL_EVENT_LOGPROBS: write_beside(&o, api, w, event->choice, "logprobs", event->json, NULL); break;
    case NEUTRAL_EVENT_SAFETY: write_safety(&o, api, w, event); break;
    case NEUTRAL_EVENT_PART_END: drop_part(w, event); break;
    case NEUTRAL_EVENT_FINISH: write_finish(&o, api, w, event); break;
    case NEUTRAL_EVENT_USAGE: keep_usage(w, event); break;
    case NEUTRAL_EVENT_EXTRA: write_extra(&o, api, w, event); break;
    case NEUTRAL_EVENT_PING: json_out_bytes(&o, SPAN(": ping\n\n")); break;
    case NEUTRAL_EVENT_ERROR: write_failure(&o, w, &event->failure); break;
    case NEUTRAL_EVENT_END: write_end(&o, api, w); break;
    }
    return json_out_end(&o);
}
