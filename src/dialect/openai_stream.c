/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams of chat and completions to and from neutral events. On the wire a chunk carries deltas of keys that stand beside each other;
 * there they are parts that start and end. A part of text or reasoning is open until another kind begins; tool calls, of which several may
 * run at once, until the choice ends.
 *
 * What providers vary: no index on tool deltas, ids that are empty, repeated or missing, arguments whole or as an object or null, a choice
 * without delta, chunks after the finish, a first chunk without id and model, usage at any place, no [DONE].
 */
#include <stdio.h>

#include "dialect/openai_message.h"

/* ---- reading ---- */

/* What came before the stream had a name (Azure's first chunk). Copies, as the chunk is gone by then. */
struct early {
    struct span prompt_safety_json;
};

struct stream_reader {
    struct arena *arena; /* of this chunk's events */
    struct json j;
    enum api api;
    struct neutral_reader *state;
    struct neutral_event_list *list;
    struct neutral_event *start; /* of this chunk, when it is the first */
    struct neutral_error error;
    bool is_error;
};

static enum neutral_shape shape_of(enum api api)
{
    return api == API_OPENAI_COMPLETIONS ? NEUTRAL_SHAPE_OPENAI_COMPLETIONS : NEUTRAL_SHAPE_OPENAI_CHAT;
}

static struct neutral_event *add(struct stream_reader *r, enum neutral_event_kind kind, int choice)
{
    struct neutral_event *event = neutral_event_add(r->arena, r->list, kind, choice);
    event->shape = shape_of(r->api);
    return event;
}

static struct neutral_event *add_part(struct stream_reader *r, enum neutral_event_kind kind, const struct neutral_stream_choice *c,
                                      const struct neutral_open_part *p)
{
    struct neutral_event *event = add(r, kind, c->index);
    event->part = p->part;
    event->part_kind = p->kind;
    return event;
}

static void close_part(struct stream_reader *r, struct neutral_stream_choice *c, struct neutral_open_part *p)
{
    p->open = false;
    if (!p->announced) { /* a call that never got a name: told with an empty one, for the other side to refuse */
        p->announced = true;
        struct neutral_event *event = add_part(r, NEUTRAL_EVENT_PART_START, c, p);
        event->call = (struct neutral_tool_call){.id = p->id.p ? p->id : SPAN(""), .name = SPAN("")};
    }
    add_part(r, NEUTRAL_EVENT_PART_END, c, p);
}

static void close_parts(struct stream_reader *r, struct neutral_stream_choice *c, bool calls_too, enum neutral_part_kind but)
{
    for (struct neutral_open_part *p = c->open; p; p = p->next)
        if (p->open && (calls_too || (p->kind != NEUTRAL_TOOL_CALL && p->kind != but)))
            close_part(r, c, p);
}

/* The open part of this kind; another kind of text closes. */
static struct neutral_open_part *text_part(struct stream_reader *r, struct neutral_stream_choice *c, enum neutral_part_kind kind, struct span key)
{
    close_parts(r, c, false, kind);
    for (struct neutral_open_part *p = c->open; p; p = p->next)
        if (p->open && p->kind == kind)
            return p;
    struct neutral_open_part *p = neutral_part_add(r->state->arena, c, kind, -1);
    p->announced = true;
    struct neutral_event *event = add_part(r, NEUTRAL_EVENT_PART_START, c, p);
    if (kind == NEUTRAL_REASONING)
        event->reasoning.key = key;
    return p;
}

static void text_delta(struct stream_reader *r, struct neutral_stream_choice *c, enum neutral_part_kind kind, struct span key,
                       struct json_string text)
{
    if (text.raw.n == 0)
        return;
    struct neutral_open_part *p = text_part(r, c, kind, key);
    add_part(r, NEUTRAL_EVENT_DELTA, c, p)->text = text;
}

/* Mistral's content chunks: text and thinking. What else there is goes as extra. */
static void content_parts(struct stream_reader *r, struct neutral_stream_choice *c, const struct neutral_part *p)
{
    for (; p; p = p->next) {
        if (p->kind == NEUTRAL_TEXT || p->kind == NEUTRAL_REFUSAL)
            text_delta(r, c, p->kind, SPAN_NONE, p->text);
        else if (p->kind == NEUTRAL_REASONING)
            text_delta(r, c, NEUTRAL_REASONING, SPAN("thinking"), p->text);
        else if (p->raw_json.p) {
            struct neutral_event *event = add(r, NEUTRAL_EVENT_EXTRA, c->index);
            neutral_extra_add(r->arena, &event->extra.list, SPAN("content"), arena_printf(r->arena, "[%.*s]", SPAN_ARG(p->raw_json)));
        }
    }
}

static enum err read_content(struct stream_reader *r, struct neutral_stream_choice *c)
{
    struct complaint ignored;
    struct message_reader m = {.arena = r->arena, .j = &r->j, .why = &ignored, .is_answer = true};
    struct neutral_part *parts = NULL;
    bool is_string, is_absent;
    enum err e = openai_read_content(&m, &parts, &is_string, &is_absent);
    if (!e)
        content_parts(r, c, parts);
    return e;
}

/* ---- tool calls ---- */

struct call_delta {
    int index; /* -1: unsaid */
    struct neutral_tool_call call;
    struct json_string signature;
};

/* Keys of the call and of its function, the same way: names do not clash. */
static enum err read_call_delta(struct stream_reader *r, struct call_delta *d)
{
    struct json_string key, text = {.raw = SPAN_NONE};
    struct span value;
    bool unknown;
    int64_t index;
    enum err e = json_enter_object(&r->j);
    while (!e && json_next_key(&r->j, &key)) {
        struct json ahead = r->j;
        if (KEY_IS(key, "id") && openai_take_text(&r->j, &text)) {
            d->call.id = text.raw.n ? json_unescape(r->arena, text) : SPAN_NONE;
            text.raw = SPAN_NONE;
        } else if ((KEY_IS(key, "function") || KEY_IS(key, "custom")) && json_peek(&r->j) == JSON_OBJECT) {
            d->call.custom = KEY_IS(key, "custom");
            e = openai_read_function(&r->j, r->arena, &d->call, &unknown);
        } else if (!(e = json_skip(&r->j, &value))) {
            if (KEY_IS(key, "index") && json_peek(&ahead) == JSON_NUMBER && json_read_i64(&ahead, &index) == ERR_OK && index >= 0 && index < 4096)
                d->index = (int)index;
            struct span signature = KEY_IS(key, "extra_content") ? json_find(value, "google.thought_signature") : SPAN_NONE;
            json_init(&ahead, signature);
            if (signature.p && json_peek(&ahead) == JSON_STRING && json_read_string(&ahead, &text) == ERR_OK)
                d->signature = text;
        }
    }
    return e ? e : r->j.error;
}

static struct neutral_open_part *last_call(const struct neutral_stream_choice *c)
{
    struct neutral_open_part *found = NULL;
    for (struct neutral_open_part *p = c->open; p; p = p->next)
        if (p->open && p->kind == NEUTRAL_TOOL_CALL)
            found = p;
    return found;
}

static struct neutral_open_part *call_at(const struct neutral_stream_choice *c, int wire_index)
{
    struct neutral_open_part *found = NULL; /* the newest: some providers give every call the index 0 */
    for (struct neutral_open_part *p = c->open; p; p = p->next)
        if (p->open && p->kind == NEUTRAL_TOOL_CALL && p->wire_index == wire_index)
            found = p;
    return found;
}

/* Which call a delta continues; NULL when it begins a new one. A name with another id is a new call whatever the index says. */
static struct neutral_open_part *continued_call(const struct neutral_stream_choice *c, const struct call_delta *d)
{
    struct neutral_open_part *p = d->index >= 0 ? call_at(c, d->index) : last_call(c);
    if (!p || !p->announced)
        return p;
    bool other_id = d->call.id.p && p->id.p && !span_eq(d->call.id, p->id);
    bool named = d->call.name.n > 0;
    if (d->index >= 0)
        return other_id && named ? NULL : p;
    return other_id || (named && !d->call.id.p) ? NULL : p;
}

static void announce_call(struct stream_reader *r, struct neutral_stream_choice *c, struct neutral_open_part *p, const struct call_delta *d)
{
    struct arena *a = r->state->arena;
    if (d->call.id.p && !p->id.p)
        p->id = arena_dup(a, d->call.id);
    if (d->call.name.n && !p->name.p)
        p->name = arena_dup(a, d->call.name);
    if (p->announced || !p->name.p)
        return;
    if (!p->id.p && !d->call.old_style)
        p->id = arena_printf(a, "call_%d_%u", c->index, p->part);
    p->announced = true;
    struct neutral_event *event = add_part(r, NEUTRAL_EVENT_PART_START, c, p);
    event->call = (struct neutral_tool_call){.id = p->id, .name = p->name, .custom = d->call.custom, .old_style = d->call.old_style};
}

static void call_arguments(struct stream_reader *r, struct neutral_stream_choice *c, struct neutral_open_part *p, const struct call_delta *d)
{
    struct json_string text = d->call.arguments;
    if (d->call.arguments_json.p)
        text = neutral_escape(r->arena, d->call.arguments_json);
    if (text.raw.n && p->announced)
        add_part(r, NEUTRAL_EVENT_DELTA, c, p)->text = text;
    if (d->signature.raw.n && p->announced)
        add_part(r, NEUTRAL_EVENT_SIGNATURE, c, p)->signature = (struct neutral_signature){NEUTRAL_SHAPE_GEMINI, d->signature};
}

static void apply_call(struct stream_reader *r, struct neutral_stream_choice *c, const struct call_delta *d)
{
    struct neutral_open_part *p = continued_call(c, d);
    if (!p) {
        close_parts(r, c, false, NEUTRAL_TOOL_CALL);
        p = neutral_part_add(r->state->arena, c, NEUTRAL_TOOL_CALL, d->index >= 0 ? d->index : (int)c->calls);
    }
    announce_call(r, c, p, d);
    call_arguments(r, c, p, d);
}

static enum err read_calls(struct stream_reader *r, struct neutral_stream_choice *c)
{
    if (json_peek(&r->j) != JSON_ARRAY)
        return json_skip(&r->j, NULL);
    enum err e = json_enter_array(&r->j);
    while (!e && json_next_item(&r->j)) {
        struct call_delta d = {.index = -1};
        if (json_peek(&r->j) != JSON_OBJECT)
            e = json_skip(&r->j, NULL);
        else if (!(e = read_call_delta(r, &d)))
            apply_call(r, c, &d);
    }
    return e ? e : r->j.error;
}

static enum err read_old_call(struct stream_reader *r, struct neutral_stream_choice *c)
{
    struct call_delta d = {.index = 0, .call = {.old_style = true}};
    bool unknown;
    if (json_peek(&r->j) != JSON_OBJECT)
        return json_skip(&r->j, NULL);
    enum err e = openai_read_function(&r->j, r->arena, &d.call, &unknown);
    d.call.old_style = true;
    if (!e)
        apply_call(r, c, &d);
    return e;
}

/* ---- deltas and choices ---- */

static enum err read_citations(struct stream_reader *r, struct neutral_stream_choice *c)
{
    struct neutral_citation *list = NULL;
    enum err e = openai_read_annotations(&r->j, r->arena, &list);
    for (; !e && list; list = list->next) {
        struct neutral_open_part *p = text_part(r, c, NEUTRAL_TEXT, SPAN_NONE);
        add_part(r, NEUTRAL_EVENT_CITATION, c, p)->citation = list;
    }
    return e;
}

static enum err read_delta_key(struct stream_reader *r, struct json_string key, struct neutral_stream_choice *c, struct neutral_extra **extra)
{
    struct json_string text = {.raw = SPAN_NONE};
    if (json_peek(&r->j) == JSON_NULL)
        return json_read_null(&r->j);
    if (KEY_IS(key, "role"))
        return json_skip(&r->j, NULL);
    if (KEY_IS(key, "content"))
        return read_content(r, c);
    if ((KEY_IS(key, "reasoning_content") || KEY_IS(key, "reasoning")) && json_peek(&r->j) == JSON_STRING)
        return json_skip(&r->j, NULL); /* read_reasoning has been there */
    if (KEY_IS(key, "refusal") && openai_take_text(&r->j, &text)) {
        text_delta(r, c, NEUTRAL_REFUSAL, SPAN_NONE, text);
        return ERR_OK;
    }
    if (KEY_IS(key, "tool_calls"))
        return read_calls(r, c);
    if (KEY_IS(key, "function_call"))
        return read_old_call(r, c);
    if (KEY_IS(key, "annotations"))
        return read_citations(r, c);
    return openai_read_extra(&r->j, r->arena, key, extra);
}

static void add_extra(struct stream_reader *r, int choice, struct neutral_extra *extra, bool beside)
{
    if (!extra)
        return;
    struct neutral_event *event = add(r, NEUTRAL_EVENT_EXTRA, choice);
    event->extra.list = extra;
    event->extra.beside = beside;
}

/* Reasoning comes first in a delta that has content too, whatever the order of its keys. Some providers send it under two keys, with one text. */
static struct json_string peek_reasoning(struct span delta, const char *key)
{
    struct json j;
    struct json_string text = {.raw = SPAN_NONE};
    struct span found = json_find(delta, key);
    json_init(&j, found);
    if (found.p && json_peek(&j) == JSON_STRING && json_read_string(&j, &text))
        text.raw = SPAN_NONE;
    return text;
}

static void read_reasoning(struct stream_reader *r, struct neutral_stream_choice *c, struct span delta)
{
    struct json_string content = peek_reasoning(delta, "reasoning_content"), plain = peek_reasoning(delta, "reasoning");
    if (content.raw.n)
        text_delta(r, c, NEUTRAL_REASONING, SPAN("reasoning_content"), content);
    else
        text_delta(r, c, NEUTRAL_REASONING, SPAN("reasoning"), plain);
}

static enum err read_delta(struct stream_reader *r, struct neutral_stream_choice *c)
{
    struct json ahead = r->j;
    struct json_string key;
    struct span delta;
    struct neutral_extra *extra = NULL;
    enum err e = json_skip(&ahead, &delta);
    if (e || delta.p[0] != '{')
        return json_skip(&r->j, NULL);
    read_reasoning(r, c, delta);
    e = json_enter_object(&r->j);
    while (!e && json_next_key(&r->j, &key))
        e = read_delta_key(r, key, c, &extra);
    add_extra(r, c->index, extra, false);
    return e ? e : r->j.error;
}

static void finish_choice(struct stream_reader *r, struct neutral_stream_choice *c, enum neutral_stop stop, struct span word)
{
    if (c->finished)
        return;
    close_parts(r, c, true, NEUTRAL_OTHER);
    struct neutral_event *event = add(r, NEUTRAL_EVENT_FINISH, c->index);
    event->finish.stop = openai_stop_with_calls(stop, c->calls > 0);
    event->finish.word = word;
    c->finished = true;
    r->state->finished++;
}

struct choice_pieces {
    int index;
    struct span delta, logprobs, safety;
    struct json_string text, finish;
    struct neutral_extra *extra;
};

static enum err read_choice_key(struct stream_reader *r, struct json_string key, struct choice_pieces *p)
{
    int64_t index;
    struct json ahead = r->j;
    if (json_peek(&r->j) == JSON_NULL)
        return json_read_null(&r->j);
    if (KEY_IS(key, "index")) {
        if (json_peek(&ahead) == JSON_NUMBER && json_read_i64(&ahead, &index) == ERR_OK && index >= 0 && index < 4096)
            p->index = (int)index;
        return json_skip(&r->j, NULL);
    }
    if (KEY_IS(key, "delta") || KEY_IS(key, "message"))
        return json_skip(&r->j, &p->delta);
    if (KEY_IS(key, "text") && openai_take_text(&r->j, &p->text))
        return ERR_OK;
    if (KEY_IS(key, "finish_reason") && openai_take_text(&r->j, &p->finish))
        return ERR_OK;
    if (KEY_IS(key, "logprobs"))
        return json_skip(&r->j, &p->logprobs);
    if (KEY_IS(key, "content_filter_results"))
        return json_skip(&r->j, &p->safety);
    return openai_read_extra(&r->j, r->arena, key, &p->extra);
}

/* The choice's index may stand behind what it is the index of, so the pieces are read first. */
static enum err apply_choice(struct stream_reader *r, const struct choice_pieces *p)
{
    struct neutral_stream_choice *c = neutral_stream_choice(r->state->arena, &r->state->choices, p->index);
    struct json outer = r->j;
    enum err e = ERR_OK;
    if (p->delta.p && !c->finished) { /* of what comes after the finish, filter results alone mean anything */
        json_init(&r->j, p->delta);
        e = read_delta(r, c);
        r->j = outer;
    }
    if (!c->finished)
        text_delta(r, c, NEUTRAL_TEXT, SPAN_NONE, p->text);
    if (p->logprobs.p)
        add(r, NEUTRAL_EVENT_LOGPROBS, c->index)->json = p->logprobs;
    if (p->safety.n > 2)
        add(r, NEUTRAL_EVENT_SAFETY, c->index)->json = p->safety;
    add_extra(r, c->index, p->extra, true);
    enum neutral_stop stop = p->finish.raw.n ? openai_stop(p->finish) : NEUTRAL_STOP_NONE;
    if (!e && stop != NEUTRAL_STOP_NONE)
        finish_choice(r, c, stop, json_unescape(r->arena, p->finish));
    return e;
}

static enum err read_choices(struct stream_reader *r)
{
    struct json_string key;
    if (json_peek(&r->j) != JSON_ARRAY)
        return json_skip(&r->j, NULL);
    enum err e = json_enter_array(&r->j);
    while (!e && json_next_item(&r->j)) {
        struct choice_pieces p = {.index = 0};
        e = json_enter_object(&r->j);
        while (!e && json_next_key(&r->j, &key))
            e = read_choice_key(r, key, &p);
        if (!e)
            e = apply_choice(r, &p);
    }
    return e ? e : r->j.error;
}

/* ---- chunks ---- */

struct chunk_pieces {
    struct span id, model, service_tier, fingerprint;
    struct neutral_int created;
    struct span choices, usage, prompt_safety;
    struct neutral_extra *extra;
};

static enum err read_plain(struct stream_reader *r, struct span *ret)
{
    struct json_string text = {.raw = SPAN_NONE};
    if (!openai_take_text(&r->j, &text))
        return json_skip(&r->j, NULL);
    if (text.raw.n)
        *ret = json_unescape(r->arena, text);
    return ERR_OK;
}

static enum err read_chunk_key(struct stream_reader *r, struct json_string key, struct chunk_pieces *p)
{
    struct span ignored = SPAN_NONE;
    if (json_peek(&r->j) == JSON_NULL)
        return json_read_null(&r->j);
    if (KEY_IS(key, "id"))
        return read_plain(r, &p->id);
    if (KEY_IS(key, "model"))
        return read_plain(r, &p->model);
    if (KEY_IS(key, "created"))
        return openai_read_created(&r->j, &p->created);
    if (KEY_IS(key, "choices"))
        return json_skip(&r->j, &p->choices);
    if (KEY_IS(key, "usage"))
        return json_skip(&r->j, &p->usage);
    if (KEY_IS(key, "service_tier"))
        return read_plain(r, &p->service_tier);
    if (KEY_IS(key, "system_fingerprint"))
        return read_plain(r, &p->fingerprint);
    if (KEY_IS(key, "prompt_filter_results") || KEY_IS(key, "prompt_annotations"))
        return json_skip(&r->j, &p->prompt_safety);
    if (KEY_IS(key, "object") || KEY_IS(key, "obfuscation") || KEY_IS(key, "p")) /* padding against listeners to packet sizes */
        return read_plain(r, &ignored);
    return openai_read_extra(&r->j, r->arena, key, &p->extra);
}

static void start(struct stream_reader *r, const struct chunk_pieces *p)
{
    struct early *early = r->state->own;
    struct neutral_event *event = add(r, NEUTRAL_EVENT_START, -1);
    event->start.id = p->id;
    event->start.model = p->model;
    event->start.created = p->created;
    event->start.service_tier = p->service_tier;
    event->start.fingerprint = p->fingerprint;
    r->state->started = true;
    if (early && early->prompt_safety_json.p)
        add(r, NEUTRAL_EVENT_SAFETY, -1)->json = early->prompt_safety_json;
}

static void keep_early(struct stream_reader *r, struct span prompt_safety)
{
    struct early *early = r->state->own ? r->state->own : ARENA_NEW(r->state->arena, struct early);
    early->prompt_safety_json = arena_dup(r->state->arena, prompt_safety);
    r->state->own = early;
}

static void read_usage(struct stream_reader *r, struct span usage)
{
    struct openai_usage u;
    struct json j;
    json_init(&j, usage);
    if (usage.n == 0 || usage.p[0] != '{' || openai_read_usage(&j, r->api, r->arena, &u) || u.usage.source != USAGE_SOURCE_REPORTED)
        return;
    r->state->usage = u.usage;
    struct neutral_event *event = add(r, NEUTRAL_EVENT_USAGE, -1);
    event->usage.usage = u.usage;
    event->usage.extra = u.extra;
}

static enum err apply_chunk(struct stream_reader *r, const struct chunk_pieces *p)
{
    bool empty = p->choices.n <= 2 && !p->usage.p;
    enum err e = ERR_OK;
    if (!r->state->started && !p->id.p && empty) {
        if (p->prompt_safety.n > 2)
            keep_early(r, p->prompt_safety);
        return ERR_OK;
    }
    if (!r->state->started)
        start(r, p);
    if (p->prompt_safety.n > 2)
        add(r, NEUTRAL_EVENT_SAFETY, -1)->json = p->prompt_safety;
    add_extra(r, -1, p->extra, true);
    if (p->choices.p) {
        json_init(&r->j, p->choices);
        e = read_choices(r);
    }
    read_usage(r, p->usage);
    return e;
}

static enum err error_of_class(enum provider_error_class class)
{
    static const enum err errors[] = {
        [PROVIDER_ERROR_REQUEST] = ERR_PROVIDER_REFUSED,   [PROVIDER_ERROR_CONTEXT] = ERR_PROVIDER_REFUSED,
        [PROVIDER_ERROR_FILTER] = ERR_PROVIDER_REFUSED,    [PROVIDER_ERROR_CREDENTIAL] = ERR_PROVIDER_CREDENTIAL,
        [PROVIDER_ERROR_NOT_FOUND] = ERR_PROVIDER_REFUSED, [PROVIDER_ERROR_RATE] = ERR_PROVIDER_RATE,
        [PROVIDER_ERROR_QUOTA] = ERR_PROVIDER_RATE,        [PROVIDER_ERROR_TIMEOUT] = ERR_IDLE_TIMEOUT,
    };
    enum err e = (unsigned)class < COUNT_OF(errors) ? errors[class] : ERR_OK;
    return e ? e : ERR_PROVIDER_FAULT;
}

static void fail(struct stream_reader *r, struct span data)
{
    struct provider_error error;
    openai_read_error(200, NULL, data, 0, &error);
    struct neutral_event *event = add(r, NEUTRAL_EVENT_ERROR, -1);
    event->failure.error = error_of_class(error.class);
    event->failure.message = (struct json_string){error.message, error.message.n && memchr(error.message.p, '\\', error.message.n)};
    event->failure.code = error.code;
    r->state->failed = true;
}

/* The stream's end, told by [DONE] or only by the connection. A choice that was never finished is complete when the provider says that all
 * is done, and broken off when it just stops. */
static void end(struct stream_reader *r, bool told)
{
    bool open = false;
    if (r->state->done || r->state->failed)
        return;
    for (struct neutral_stream_choice *c = r->state->choices; c; c = c->next) {
        if (told)
            finish_choice(r, c, NEUTRAL_STOP_END, SPAN_NONE);
        open = open || !c->finished;
    }
    if (!told && (open || r->state->finished == 0)) {
        add(r, NEUTRAL_EVENT_ERROR, -1)->failure.error = ERR_PROVIDER_RESET;
        r->state->failed = true;
        return;
    }
    add(r, NEUTRAL_EVENT_END, -1);
    r->state->done = true;
}

static bool is_error_chunk(struct span data)
{
    struct answer_notes notes;
    struct event_scan scan;
    answer_notes_init(&notes, NULL);
    openai_scan_event(API_OPENAI_CHAT, data, &notes, &scan);
    return scan.verdict == EVENT_FAILED;
}

enum err openai_read_event(struct arena *a, enum api api, struct span data, struct neutral_reader *state, struct neutral_event_list *ret)
{
    struct stream_reader r = {.arena = a, .api = api, .state = state, .list = ret};
    struct chunk_pieces p = {.id = SPAN_NONE};
    struct json_string key;
    neutral_event_list_init(ret);
    if (!data.p || openai_is_done(data)) {
        end(&r, data.p != NULL);
        return ERR_OK;
    }
    if (state->done || state->failed || openai_is_silent(data))
        return ERR_OK;
    if (json_check(data))
        return ERR_PROVIDER_PROTOCOL;
    if (is_error_chunk(data)) {
        fail(&r, data);
        return ERR_OK;
    }
    json_init(&r.j, data);
    enum err e = json_enter_object(&r.j);
    while (!e && json_next_key(&r.j, &key))
        e = read_chunk_key(&r, key, &p);
    if (!e)
        e = apply_chunk(&r, &p);
    return e ? ERR_PROVIDER_PROTOCOL : ERR_OK;
}

/* ---- writing ---- */

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
                 openai_is_ours(event->shape) ? event->finish.word : SPAN_NONE);
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
    case NEUTRAL_EVENT_PART_END: break;
    case NEUTRAL_EVENT_FINISH: write_finish(&o, api, w, event); break;
    case NEUTRAL_EVENT_USAGE: keep_usage(w, event); break;
    case NEUTRAL_EVENT_EXTRA: write_extra(&o, api, w, event); break;
    case NEUTRAL_EVENT_PING: json_out_bytes(&o, SPAN(": ping\n\n")); break;
    case NEUTRAL_EVENT_ERROR: write_failure(&o, w, &event->failure); break;
    case NEUTRAL_EVENT_END: write_end(&o, api, w); break;
    }
    return json_out_end(&o);
}
