/* SPDX-License-Identifier: Apache-2.0
 *
 * The hot path of requests: what the gateway must know of a body that passes through, found in one walk that also proves it to be JSON.
 * Keys of interest are few; all others are skipped, which still checks them.
 */
#include <stdarg.h>
#include <stdio.h>

#include "dialect/openai.h"

enum err openai_complain(struct complaint *why, enum err error, const char *param, const char *format, ...)
{
    va_list args;
    why->error = error;
    snprintf(why->param, sizeof why->param, "%s", param);
    va_start(args, format);
    vsnprintf(why->message, sizeof why->message, format, args);
    va_end(args);
    return error;
}

enum err openai_complain_json(struct complaint *why, const struct json *j)
{
    return openai_complain(why, j->error, "", "%s: %s at byte %zu", err_sentence(j->error), j->error_what ? j->error_what : "error",
                           json_offset(j));
}

struct request_scan {
    struct arena *arena;
    struct json j;
    struct request_facts facts;
    struct complaint *why;
    unsigned seen; /* bit per row of request_keys */
    bool has_content; /* messages, prompt or input */
    int64_t max_old, max_new, best_of, prompts;
    struct span user, safety_identifier;
};

/* A null stands for an absent key everywhere in these bodies. */
static bool take_null(struct json *j)
{
    return json_peek(j) == JSON_NULL && json_read_null(j) == ERR_OK;
}

/* The value that is next is not of the type it should be. If it is not even JSON, the walk's end says so. */
static enum err wrong_type(struct request_scan *s, const char *param, const char *wanted)
{
    if (json_skip(&s->j, NULL))
        return s->j.error;
    return openai_complain(s->why, ERR_INVALID_PARAMETER, param, "%s must be %s", param, wanted);
}

static enum err want(struct request_scan *s, enum json_type type, const char *param, const char *wanted)
{
    return json_peek(&s->j) == type ? ERR_OK : wrong_type(s, param, wanted);
}

static enum err scan_model(struct request_scan *s)
{
    struct json_string name;
    enum err e = want(s, JSON_STRING, "model", "a string");
    if (e)
        return e;
    s->facts.model_at = json_offset(&s->j);
    if ((e = json_read_string(&s->j, &name)))
        return e;
    s->facts.model_end = json_offset(&s->j);
    s->facts.model = json_unescape(s->arena, name);
    return name.raw.n ? ERR_OK : openai_complain(s->why, ERR_INVALID_PARAMETER, "model", "model must not be empty");
}

static enum err scan_stream(struct request_scan *s)
{
    enum err e = want(s, JSON_BOOL, "stream", "true or false");
    return e ? e : json_read_bool(&s->j, &s->facts.stream);
}

static enum err scan_include_usage(struct request_scan *s)
{
    struct span value;
    enum json_type type = json_peek(&s->j);
    if (type != JSON_BOOL && type != JSON_NULL)
        return wrong_type(s, "stream_options.include_usage", "true or false");
    if (s->facts.usage_end)
        return openai_complain(s->why, ERR_INVALID_PARAMETER, "stream_options.include_usage", "stream_options.include_usage is given twice");
    s->facts.usage_at = json_offset(&s->j);
    enum err e = json_skip(&s->j, &value);
    s->facts.usage_end = json_offset(&s->j);
    s->facts.wants_usage = !e && value.p[0] == 't';
    return e;
}

static enum err scan_stream_options(struct request_scan *s)
{
    struct json_string key;
    enum err e = want(s, JSON_OBJECT, "stream_options", "an object");
    if (e)
        return e;
    s->facts.options_at = json_offset(&s->j);
    e = json_enter_object(&s->j);
    while (!e && json_next_key(&s->j, &key))
        e = KEY_IS(key, "include_usage") ? scan_include_usage(s) : json_skip(&s->j, NULL);
    s->facts.options_end = json_offset(&s->j);
    return e ? e : s->j.error;
}

static enum err scan_int(struct request_scan *s, const char *param, int64_t *ret)
{
    struct json ahead = s->j; /* a fraction is the client's mistake, not one of JSON: the walk goes on behind it */
    if (json_peek(&s->j) != JSON_NUMBER || json_read_i64(&ahead, ret))
        return wrong_type(s, param, "an integer");
    return json_skip(&s->j, NULL);
}

#define CHOICES_MAX 4096 /* far beyond what providers take; holds are multiplied by it */

static enum err scan_number_of_texts(struct request_scan *s, const char *param, int64_t *ret)
{
    enum err e = scan_int(s, param, ret);
    if (!e && (*ret < 1 || *ret > CHOICES_MAX))
        e = openai_complain(s->why, ERR_INVALID_PARAMETER, param, "%s must be between 1 and %d", param, CHOICES_MAX);
    return e;
}

static enum err scan_choices(struct request_scan *s) { return scan_number_of_texts(s, "n", &s->facts.choices); }
static enum err scan_best_of(struct request_scan *s) { return scan_number_of_texts(s, "best_of", &s->best_of); }

static enum err scan_max_tokens(struct request_scan *s) { return scan_int(s, "max_tokens", &s->max_old); }
static enum err scan_max_completion_tokens(struct request_scan *s) { return scan_int(s, "max_completion_tokens", &s->max_new); }

static enum err scan_string(struct request_scan *s, const char *param, struct span *ret)
{
    struct json_string text;
    enum err e = want(s, JSON_STRING, param, "a string");
    if (!e && !(e = json_read_string(&s->j, &text)))
        *ret = text.raw;
    return e;
}

static enum err scan_user(struct request_scan *s) { return scan_string(s, "user", &s->user); }
static enum err scan_service_tier(struct request_scan *s)
{
    if (json_peek(&s->j) != JSON_STRING)
        return json_skip(&s->j, NULL); /* for the provider to judge */
    return scan_string(s, "service_tier", &s->facts.service_tier);
}

static enum err scan_safety_identifier(struct request_scan *s) { return scan_string(s, "safety_identifier", &s->safety_identifier); }

static bool is_media(struct json_string type)
{
    static const struct span types[] = {{"image_url", 9},    {"input_audio", 11}, {"file", 4},       {"input_image", 11}, {"image", 5},
                                        {"document_url", 12}, {"video_url", 9},    {"audio_url", 9}, {"input_file", 10},  {"audio", 5}};
    for (unsigned i = 0; i < COUNT_OF(types); i++)
        if (json_key_is(type, types[i]))
            return true;
    return false;
}

/* One part of a message's content. Anything but an object is for the provider to judge. */
static enum err scan_part(struct request_scan *s)
{
    struct json_string key, type;
    if (json_peek(&s->j) != JSON_OBJECT)
        return json_skip(&s->j, NULL);
    enum err e = json_enter_object(&s->j);
    while (!e && json_next_key(&s->j, &key)) {
        if (!KEY_IS(key, "type") || json_peek(&s->j) != JSON_STRING)
            e = json_skip(&s->j, NULL);
        else if (!(e = json_read_string(&s->j, &type)))
            s->facts.media_n += is_media(type);
    }
    return e ? e : s->j.error;
}

static enum err scan_content(struct request_scan *s, unsigned message)
{
    enum json_type type = json_peek(&s->j);
    enum err e;
    char param[48];
    switch (type) {
    case JSON_STRING:
    case JSON_NULL:
    case JSON_NOTHING: return json_skip(&s->j, NULL);
    case JSON_ARRAY: break;
    default:
        snprintf(param, sizeof param, "messages[%u].content", message);
        return wrong_type(s, param, "a string or a list of parts");
    }
    e = json_enter_array(&s->j);
    while (!e && json_next_item(&s->j))
        e = scan_part(s);
    return e ? e : s->j.error;
}

static enum err wrong_message(struct request_scan *s, unsigned message, const char *key, const char *wanted)
{
    char param[48];
    snprintf(param, sizeof param, "messages[%u]%s", message, key);
    return wrong_type(s, param, wanted);
}

static enum err scan_message(struct request_scan *s, unsigned n)
{
    struct json_string key;
    bool has_role = false;
    enum json_type type = json_peek(&s->j);
    if (type != JSON_OBJECT)
        return wrong_message(s, n, "", "an object");
    enum err e = json_enter_object(&s->j);
    while (!e && json_next_key(&s->j, &key)) {
        if (KEY_IS(key, "content")) {
            e = scan_content(s, n);
        } else if (KEY_IS(key, "role")) {
            has_role = true;
            type = json_peek(&s->j);
            e = type == JSON_STRING || type == JSON_NOTHING ? json_skip(&s->j, NULL) : wrong_message(s, n, ".role", "a string");
        } else {
            e = json_skip(&s->j, NULL);
        }
    }
    if (e || s->j.error || has_role)
        return e ? e : s->j.error;
    char param[48];
    snprintf(param, sizeof param, "messages[%u].role", n);
    return openai_complain(s->why, ERR_MISSING_PARAMETER, param, "%s is missing", param);
}

static enum err scan_messages(struct request_scan *s)
{
    enum err e = want(s, JSON_ARRAY, "messages", "a list of messages");
    s->has_content = true;
    if (!e)
        e = json_enter_array(&s->j);
    for (unsigned n = 0; !e && json_next_item(&s->j); n++)
        e = scan_message(s, n);
    return e ? e : s->j.error;
}

static enum err scan_text_or_list(struct request_scan *s, const char *param)
{
    enum json_type type = json_peek(&s->j);
    s->has_content = true;
    if (type == JSON_STRING || type == JSON_ARRAY)
        return json_skip(&s->j, NULL);
    return wrong_type(s, param, "a string or a list");
}

/* Each text (or list of tokens) in a list of them is a prompt, and gets its own answers; a list of numbers is one prompt. */
static enum err scan_prompt(struct request_scan *s)
{
    if (json_peek(&s->j) != JSON_ARRAY)
        return scan_text_or_list(s, "prompt");
    s->has_content = true;
    enum err e = json_enter_array(&s->j);
    while (!e && json_next_item(&s->j)) {
        s->prompts += json_peek(&s->j) != JSON_NUMBER;
        e = json_skip(&s->j, NULL);
    }
    return e ? e : s->j.error;
}

static enum err scan_input(struct request_scan *s) { return scan_text_or_list(s, "input"); }

#define CHAT (1u << API_OPENAI_CHAT)
#define COMPLETIONS (1u << API_OPENAI_COMPLETIONS)
#define EMBEDDINGS (1u << API_OPENAI_EMBEDDINGS)

/* What is looked at. Each may stand only once: readers differ on which of two counts, so a second one could tell the provider something
 * else than the agreement was asked about. */
static const struct {
    struct span name;
    unsigned apis;
    enum err (*scan)(struct request_scan *);
} request_keys[] = {
    {{"model", 5}, CHAT | COMPLETIONS | EMBEDDINGS, scan_model},
    {{"messages", 8}, CHAT, scan_messages},
    {{"prompt", 6}, COMPLETIONS, scan_prompt},
    {{"input", 5}, EMBEDDINGS, scan_input},
    {{"stream", 6}, CHAT | COMPLETIONS | EMBEDDINGS, scan_stream},
    {{"stream_options", 14}, CHAT | COMPLETIONS, scan_stream_options},
    {{"n", 1}, CHAT | COMPLETIONS, scan_choices},
    {{"best_of", 7}, COMPLETIONS, scan_best_of},
    {{"service_tier", 12}, CHAT | COMPLETIONS, scan_service_tier},
    {{"max_tokens", 10}, CHAT | COMPLETIONS, scan_max_tokens},
    {{"max_completion_tokens", 21}, CHAT, scan_max_completion_tokens},
    {{"user", 4}, CHAT | COMPLETIONS | EMBEDDINGS, scan_user},
    {{"safety_identifier", 17}, CHAT | COMPLETIONS, scan_safety_identifier},
};

static unsigned find_request_key(struct json_string key, enum api api)
{
    unsigned i = 0;
    while (i < COUNT_OF(request_keys) && !((request_keys[i].apis >> api & 1) && json_key_is(key, request_keys[i].name)))
        i++;
    return i;
}

/* A null stream_options has bytes that an edit replaces. */
static bool scan_null(struct request_scan *s, unsigned row)
{
    size_t at = json_offset(&s->j);
    if (!take_null(&s->j))
        return false;
    if (request_keys[row].scan == scan_stream_options) {
        s->facts.options_at = at;
        s->facts.options_end = json_offset(&s->j);
    } else if (request_keys[row].scan == scan_model) {
        s->facts.model_at = at;
        s->facts.model_end = json_offset(&s->j);
    }
    return true;
}

static enum err scan_request_key(struct request_scan *s, struct json_string key)
{
    unsigned row = find_request_key(key, s->facts.api);
    if (row == COUNT_OF(request_keys))
        return json_skip(&s->j, NULL);
    if (s->seen >> row & 1)
        return openai_complain(s->why, ERR_INVALID_PARAMETER, request_keys[row].name.p, "%s is given twice", request_keys[row].name.p);
    s->seen |= 1u << row;
    return scan_null(s, row) ? ERR_OK : request_keys[row].scan(s);
}

static enum err scan_request_body(struct request_scan *s)
{
    struct json_string key;
    bool any = false;
    if (json_peek(&s->j) != JSON_OBJECT)
        return json_skip(&s->j, NULL) ? s->j.error : openai_complain(s->why, ERR_INVALID_PARAMETER, "", "the body must be a JSON object");
    enum err e = json_enter_object(&s->j);
    s->facts.open_at = json_offset(&s->j);
    while (!e && json_next_key(&s->j, &key)) {
        any = true;
        e = scan_request_key(s, key);
    }
    s->facts.body_is_empty_object = !any;
    return e ? e : json_finish(&s->j);
}

static enum err missing(struct complaint *why, const char *param)
{
    return openai_complain(why, ERR_MISSING_PARAMETER, param, "%s is missing", param);
}

static enum err check_present(const struct request_scan *s, bool needs_model)
{
    static const char *const content[API_COUNT] = {
        [API_OPENAI_CHAT] = "messages", [API_OPENAI_COMPLETIONS] = "prompt", [API_OPENAI_EMBEDDINGS] = "input"};
    if (needs_model && !s->facts.model.p)
        return missing(s->why, "model");
    return s->has_content ? ERR_OK : missing(s->why, content[s->facts.api]);
}

/* A negative maximum means "as many as it likes" to llama.cpp and nothing good elsewhere: unsaid either way. */
static int64_t tokens_max(int64_t newer, int64_t older)
{
    int64_t n = newer >= 0 ? newer : older;
    return n >= 0 ? n : -1;
}

static enum err scan_request(struct arena *a, enum api api, struct span body, bool needs_model, struct request_facts *ret,
                             struct complaint *why)
{
    struct complaint ignored;
    struct request_scan s = {.arena = a, .why = why ? why : &ignored, .max_old = -1, .max_new = -1};
    if (!ALWAYS(api == API_OPENAI_CHAT || api == API_OPENAI_COMPLETIONS || api == API_OPENAI_EMBEDDINGS))
        return openai_complain(s.why, ERR_NOT_FOUND, "", "this dialect has no such operation");
    s.facts = (struct request_facts){.api = api, .choices = 1};
    json_init(&s.j, body);
    enum err e = scan_request_body(&s);
    if (s.j.error)
        return openai_complain_json(s.why, &s.j);
    if (!e)
        e = check_present(&s, needs_model);
    if (e)
        return e;
    s.facts.output_tokens_max = tokens_max(s.max_new, s.max_old);
    s.facts.outputs = (s.best_of > s.facts.choices ? s.best_of : s.facts.choices) * (s.prompts > 1 ? s.prompts : 1); /* a body's bytes bound it */
    s.facts.user = s.user.n ? s.user : s.safety_identifier;
    *ret = s.facts;
    return ERR_OK;
}

enum err openai_scan_request(struct arena *a, enum api api, struct span body, struct request_facts *ret, struct complaint *why)
{
    return scan_request(a, api, body, true, ret, why);
}

/* On Azure's paths the deployment is the model. */
enum err openai_scan_request_model_optional(struct arena *a, enum api api, struct span body, struct request_facts *ret, struct complaint *why)
{
    return scan_request(a, api, body, false, ret, why);
}
