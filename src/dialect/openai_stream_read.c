/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams of chat and completions into neutral events. On the wire a chunk carries deltas of keys that stand beside each other; here they are
 * parts that start and end. A part of text or reasoning is open until another kind begins; tool calls, of which several may run at once,
 * until the choice ends.
 *
 * What providers vary: no index on tool deltas, ids that are empty, repeated or missing, arguments whole or as an object or null, a choice
 * without delta, chunks after the finish, a first chunk without id and model, usage at any place, no [DONE].
 */
#include "dialect/openai_message.h"

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
    neutral_part_drop(c, p);
}

static void close_parts(struct stream_reader *r, struct neutral_stream_choice *c, bool calls_too, enum neutral_part_kind but)
{
    for (struct neutral_open_part *p = c->open, *next; p; p = next) {
        next = p->next;
        if (p->open && (calls_too || (p->kind != NEUTRAL_TOOL_CALL && p->kind != but)))
            close_part(r, c, p);
    }
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
