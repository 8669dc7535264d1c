/* SPDX-License-Identifier: Apache-2.0
 *
 * The hot path of answers: usage, finish and errors, found in one walk over each chunk or whole answer that passes. Nothing is allocated per
 * chunk. Keys of interest are few; all others are skipped, which still checks them.
 *
 * The chunks of a stream begin alike: id, object, created, model. How the last one began, up to the value of its choices, is kept; where the
 * next one has the same bytes they need not be read again, because reading them left no trace but the model's name, which is told once.
 */
#include "dialect/openai.h"

#define LEAD_BYTES_MAX 256u

struct answer_scan {
    struct json j;
    struct answer_notes *notes;
    enum api api;
    bool wants_text;
    bool is_event;              /* of a stream */
    bool has_choices, has_data; /* the keys are there */
    bool any_choice;
    bool usage_found;
    bool is_error;              /* "object":"error" */
    size_t cut_at, cut_end;
    struct span error, message, groq;
};

static void note_text(struct answer_scan *s, struct span text)
{
    if (!text.n)
        return;
    s->notes->content_seen = true;
    if (s->wants_text)
        s->notes->on_text(s->notes->owner, text);
}

static enum err note_string(struct answer_scan *s)
{
    struct json_string text;
    enum err e;
    if (UNLIKELY(json_peek(&s->j) != JSON_STRING))
        return json_skip(&s->j, NULL);
    if (!(e = json_read_string(&s->j, &text)))
        note_text(s, text.raw);
    return e;
}

/* A list or object in which every string is text of the answer but for the named bookkeeping: Mistral's content chunks, tool calls. The
 * depth is bounded by json's. */
static enum err note_nested(struct answer_scan *s)
{
    struct json_string key;
    enum err e = ERR_OK;
    switch (json_peek(&s->j)) {
    case JSON_STRING: return note_string(s);
    case JSON_ARRAY:
        for (e = json_enter_array(&s->j); !e && json_next_item(&s->j);)
            e = note_nested(s);
        return e ? e : s->j.error;
    case JSON_OBJECT:
        for (e = json_enter_object(&s->j); !e && json_next_key(&s->j, &key);)
            e = KEY_IS(key, "type") || KEY_IS(key, "id") || KEY_IS(key, "signature") || KEY_IS(key, "data") ? json_skip(&s->j, NULL)
                                                                                                            : note_nested(s);
        return e ? e : s->j.error;
    default: return json_skip(&s->j, NULL);
    }
}

static enum err note_structure(struct answer_scan *s)
{
    struct span value;
    enum json_type type = json_peek(&s->j);
    if (type == JSON_STRING)
        return note_string(s);
    if (s->wants_text)
        return note_nested(s);
    enum err e = json_skip(&s->j, &value);
    if (!e && (type == JSON_ARRAY || type == JSON_OBJECT) && value.n > 2)
        s->notes->content_seen = true;
    return e;
}

/* delta, or the message of a whole answer. Its keys tell text by name; role, annotations and the rest do not count. */
static enum err scan_delta(struct answer_scan *s)
{
    struct json_string key;
    if (UNLIKELY(json_peek(&s->j) != JSON_OBJECT))
        return json_skip(&s->j, NULL);
    enum err e = json_enter_object(&s->j);
    while (!e && json_next_key(&s->j, &key)) {
        if (KEY_IS(key, "content"))
            e = note_structure(s);
        else if (KEY_IS(key, "reasoning_content") || KEY_IS(key, "reasoning") || KEY_IS(key, "refusal"))
            e = note_string(s);
        else if (KEY_IS(key, "tool_calls") || KEY_IS(key, "function_call") || KEY_IS(key, "audio"))
            e = note_structure(s);
        else
            e = json_skip(&s->j, NULL);
    }
    return e ? e : s->j.error;
}

static enum err scan_finish(struct answer_scan *s)
{
    struct json_string word;
    if (LIKELY(json_peek(&s->j) != JSON_STRING))
        return json_skip(&s->j, NULL);
    enum err e = json_read_string(&s->j, &word);
    enum finish_reason finish = e ? FINISH_NONE : neutral_stop_finish(openai_stop(word));
    if (finish != FINISH_NONE) {
        s->notes->finish = finish;
        s->notes->choices_finished++;
    }
    return e;
}

/* Some hosts say it with every event: there is one place for it. */
static void note_usage(struct answer_notes *notes, const struct usage *said)
{
    struct usage *kept = notes->usage == usage_unknown() ? ARENA_NEW(notes->arena, struct usage) : (struct usage *)(uintptr_t)notes->usage;
    *kept = *said;
    notes->usage = kept;
}

static enum err scan_usage(struct answer_scan *s)
{
    struct openai_usage u;
    if (json_peek(&s->j) != JSON_OBJECT)
        return json_skip(&s->j, NULL);
    enum err e = openai_read_usage(&s->j, s->api, NULL, &u);
    if (e)
        return e;
    s->usage_found = true;
    if (u.usage.source == USAGE_SOURCE_REPORTED && s->notes->arena)
        note_usage(s->notes, &u.usage);
    if (u.cost_nano >= 0)
        s->notes->provider_cost_nano = u.cost_nano;
    return ERR_OK;
}

static enum err scan_choice(struct answer_scan *s)
{
    struct json_string key;
    if (UNLIKELY(json_peek(&s->j) != JSON_OBJECT))
        return json_skip(&s->j, NULL);
    enum err e = json_enter_object(&s->j);
    s->any_choice = true;
    while (!e && json_next_key(&s->j, &key)) {
        if (KEY_IS(key, "delta") || KEY_IS(key, "message"))
            e = scan_delta(s);
        else if (KEY_IS(key, "text"))
            e = note_string(s);
        else if (KEY_IS(key, "finish_reason"))
            e = scan_finish(s);
        else if (UNLIKELY(KEY_IS(key, "usage"))) { /* Moonshot puts it here */
            bool found = s->usage_found;
            e = scan_usage(s);
            s->usage_found = found;
        } else
            e = json_skip(&s->j, NULL);
    }
    return e ? e : s->j.error;
}

static enum err scan_choice_list(struct answer_scan *s)
{
    if (UNLIKELY(json_peek(&s->j) != JSON_ARRAY))
        return json_skip(&s->j, NULL);
    s->has_choices = true;
    enum err e = json_enter_array(&s->j);
    while (!e && json_next_item(&s->j))
        e = scan_choice(s);
    return e ? e : s->j.error;
}

/* A name that is told once, and kept in the arena. */
static enum err scan_name(struct answer_scan *s, struct span *ret)
{
    struct json_string name;
    struct answer_notes *notes = s->notes;
    if (json_peek(&s->j) != JSON_STRING || ret->p || !notes->arena)
        return json_skip(&s->j, NULL);
    enum err e = json_read_string(&s->j, &name);
    if (!e && name.raw.n) /* Azure's first chunk has an empty model */
        *ret = arena_dup(notes->arena, json_unescape(notes->arena, name));
    return e;
}

/* What OpenAI's own readers take for an error: anything truthy. */
static enum err scan_error(struct answer_scan *s)
{
    struct span value;
    enum err e = json_skip(&s->j, &value);
    if (!e && !span_eq(value, SPAN("null")) && !span_eq(value, SPAN("false")) && !span_eq(value, SPAN("\"\"")) && !span_eq(value, SPAN("0")))
        s->error = value;
    return e;
}

static enum err scan_object_name(struct answer_scan *s)
{
    struct json_string name;
    if (json_peek(&s->j) != JSON_STRING)
        return json_skip(&s->j, NULL);
    enum err e = json_read_string(&s->j, &name);
    s->is_error = !e && KEY_IS(name, "error");
    return e;
}

/* Where to cut a member out: with the comma before it, or when it is the first, with the comma behind. */
static void note_cut(struct answer_scan *s, size_t before)
{
    const char *start = s->j.start, *p = s->j.at;
    bool first = start[before - 1] == '{';
    while (first && p < s->j.end && strchr(" \t\r\n", *p) && *p)
        p++;
    s->cut_at = before;
    s->cut_end = (size_t)((first && p < s->j.end && *p == ',' ? p + 1 : s->j.at) - start);
}

static enum err scan_top_usage(struct answer_scan *s, size_t before)
{
    bool is_object = json_peek(&s->j) == JSON_OBJECT;
    enum err e = scan_usage(s);
    if (!e && is_object)
        note_cut(s, before);
    return e;
}

/* The next value is that of choices. Keeps what is before it, when reading that again would find nothing. */
static void keep_lead(struct answer_scan *s)
{
    struct answer_notes *notes = s->notes;
    size_t n = json_offset(&s->j);
    bool is_silent = !s->has_choices && !s->has_data && !s->usage_found && !s->is_error && !s->error.p && !s->message.p && !s->groq.p;
    notes->lead_bytes = 0;
    if (!s->is_event || !is_silent || !notes->model_served.p || n > LEAD_BYTES_MAX)
        return;
    if (n > notes->lead_capacity) { /* as small as it can be, because thousands of streams wait; but grows only once */
        notes->lead_capacity = notes->lead ? LEAD_BYTES_MAX : (unsigned)n;
        notes->lead = arena_alloc(notes->arena, notes->lead_capacity);
    }
    memcpy(notes->lead, s->j.start, n);
    notes->lead_bytes = (unsigned)n;
}

/* Past the lead of the last event, if this one begins with it: at the value of choices then. */
static bool pass_lead(struct answer_scan *s, struct span text)
{
    struct span lead = span_of(s->notes->lead, s->notes->lead_bytes);
    if (!lead.n || !span_starts(text, lead))
        return false;
    json_init_at(&s->j, text, lead.n);
    return true;
}

/* before: the offset behind the member in front of this one. By length first: most keys of a chunk are of no interest. */
static inline enum err scan_top_key(struct answer_scan *s, struct json_string key, size_t before)
{
    switch (UNLIKELY(key.has_escapes) ? 0 : key.raw.n) {
    case 7:
        if (KEY_IS(key, "choices")) {
            keep_lead(s);
            return scan_choice_list(s);
        }
        return KEY_IS(key, "message") ? json_skip(&s->j, &s->message) : json_skip(&s->j, NULL);
    case 5:
        if (KEY_IS(key, "model"))
            return scan_name(s, &s->notes->model_served);
        if (KEY_IS(key, "usage"))
            return scan_top_usage(s, before);
        return KEY_IS(key, "error") ? scan_error(s) : json_skip(&s->j, NULL);
    case 6:
        if (KEY_IS(key, "object"))
            return scan_object_name(s);
        return KEY_IS(key, "x_groq") ? json_skip(&s->j, &s->groq) : json_skip(&s->j, NULL);
    case 12: return KEY_IS(key, "service_tier") ? scan_name(s, &s->notes->service_tier) : json_skip(&s->j, NULL);
    case 4:
        s->has_data = s->has_data || KEY_IS(key, "data");
        return json_skip(&s->j, NULL);
    case 0:
        if (KEY_IS(key, "choices"))
            return scan_choice_list(s);
        if (KEY_IS(key, "usage"))
            return scan_top_usage(s, before);
        return KEY_IS(key, "error") ? scan_error(s) : json_skip(&s->j, NULL);
    default: return json_skip(&s->j, NULL);
    }
}

/* Groq once told usage only under its own name. */
static void scan_groq(struct answer_scan *s)
{
    struct span usage = json_find(s->groq, "usage");
    bool found = s->usage_found;
    if (!usage.p || found)
        return;
    json_init(&s->j, usage);
    if (scan_usage(s) == ERR_OK)
        s->usage_found = found;
}

static enum err scan_whole(struct answer_scan *s, enum api api, struct span text, struct answer_notes *notes)
{
    struct json_string key;
    s->notes = notes;
    s->api = api;
    s->wants_text = notes->on_text && notes->usage->source != USAGE_SOURCE_REPORTED;
    enum err e;
    if (pass_lead(s, text)) {
        e = scan_choice_list(s);
    } else {
        json_init(&s->j, text);
        e = json_enter_object(&s->j);
    }
    size_t before = json_offset(&s->j);
    while (!e && json_next_key(&s->j, &key)) {
        e = scan_top_key(s, key, before);
        before = json_offset(&s->j);
    }
    if (!e)
        e = json_finish(&s->j);
    if (!e && UNLIKELY(s->groq.p != NULL))
        scan_groq(s);
    if (s->error.p || s->is_error)
        notes->error_seen = true;
    return e;
}

bool openai_is_done(struct span data)
{
    return span_starts(data, SPAN("[DONE]")); /* as OpenAI's own readers take it */
}

bool openai_is_silent(struct span data)
{
    while (data.n && strchr(" \t\r\n", data.p[0]) && data.p[0])
        data = span_from(data, 1);
    return data.n == 0;
}

/* The message of an error, between its quotes: {"error":{"message":…}}, {"error":"…"}, {"object":"error","message":…}. */
static struct span error_message(const struct answer_scan *s)
{
    struct span m = s->error.p ? s->error : s->message;
    if (m.n && m.p[0] == '{')
        m = json_find(m, "message");
    return m.n >= 2 && m.p[0] == '"' ? span_of(m.p + 1, m.n - 2) : SPAN_NONE;
}

static enum event_verdict verdict_of(const struct answer_scan *s)
{
    if (UNLIKELY(s->error.p || s->is_error))
        return EVENT_FAILED;
    if (UNLIKELY(s->usage_found))
        return s->any_choice ? EVENT_USAGE_TOO : EVENT_USAGE_ONLY;
    return EVENT_PASS;
}

void openai_scan_event(enum api api, struct span data, struct answer_notes *notes, struct event_scan *ret)
{
    struct answer_scan s = {.is_event = true};
    *ret = (struct event_scan){.verdict = EVENT_BROKEN};
    if (UNLIKELY(data.n == 0 || data.p[0] != '{')) {
        if (openai_is_done(data)) {
            ret->verdict = EVENT_DONE;
            notes->done = true;
            return;
        }
        if (openai_is_silent(data)) {
            ret->verdict = EVENT_SILENT;
            return;
        }
    }
    if (scan_whole(&s, api, data, notes))
        return;
    ret->verdict = verdict_of(&s);
    if (ret->verdict == EVENT_USAGE_TOO) {
        ret->cut_at = s.cut_at;
        ret->cut_end = s.cut_end;
    } else if (ret->verdict == EVENT_FAILED) {
        ret->error_message = error_message(&s);
    }
}

enum err openai_scan_answer(enum api api, struct span body, struct answer_notes *notes)
{
    struct answer_scan s = {.any_choice = false};
    if (scan_whole(&s, api, body, notes))
        return ERR_PROVIDER_PROTOCOL;
    bool is_answer = api == API_OPENAI_EMBEDDINGS ? s.has_data : s.has_choices;
    if ((s.error.p || s.is_error) && !is_answer)
        return ERR_PROVIDER_FAULT;
    notes->content_seen = notes->content_seen || (is_answer && api == API_OPENAI_EMBEDDINGS);
    return is_answer ? ERR_OK : ERR_PROVIDER_PROTOCOL;
}
