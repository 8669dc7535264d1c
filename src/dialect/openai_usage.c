/* SPDX-License-Identifier: Apache-2.0
 *
 * Usage as the OpenAI family reports it, into disjoint classes and back. Providers agree on names, not on what includes what:
 *
 *   OpenAI, Azure, most   cached, written, audio, image are parts of prompt_tokens; reasoning and audio parts of completion_tokens
 *   xAI                   completion_tokens excludes reasoning: total = prompt + completion + reasoning
 *   Gemini (compatible)   the thoughts are in total_tokens alone
 *   Mistral               prompt_tokens excludes audio: total = prompt + audio + completion; cached under several names
 *
 * The stated total tells which it is. Parts that are larger than their whole, or overlap (image tokens that were also cached), are cut down
 * in the order in which prices differ most: cache read, cache write, audio, image; text is the rest. What is not said stays unknown.
 */
#include "dialect/openai.h"

#define TOKENS_MAX INT64_C(1000000000000000) /* a count beyond this is nonsense, and sums of a few such still fit */

/* As reported; -1 when unsaid. */
struct report {
    int64_t prompt, completion, total;
    int64_t cached, cached_flat, written, audio_in, image_in;
    int64_t reasoning, audio_out, image_out;
    int64_t searches, cost_nano;
};

static enum err read_count(struct json *j, int64_t *ret)
{
    struct span text;
    uint64_t n;
    if (json_peek(j) != JSON_NUMBER)
        return json_skip(j, NULL);
    enum err e = json_read_number(j, &text);
    if (e)
        return e;
    struct json alone;
    int64_t value = -1;
    if (span_to_u64(text, &n)) {
        value = n <= (uint64_t)TOKENS_MAX ? (int64_t)n : -1;
    } else {
        json_init(&alone, text);
        if (json_read_i64(&alone, &value) || value < 0 || value > TOKENS_MAX)
            value = -1;
    }
    if (value >= 0)
        *ret = value;
    return ERR_OK;
}

/* Ten to the n, or 0 when it needs more than 64 bits. */
static int64_t power_of_ten(int64_t n)
{
    int64_t p = 1;
    if (n < 0 || n > 18)
        return 0;
    while (n-- > 0)
        p *= 10;
    return p;
}

/* mantissa * 10^exponent, nearest, halves up. */
static bool scale(int64_t mantissa, int64_t exponent, int64_t *ret)
{
    int64_t p = power_of_ten(exponent < 0 ? -exponent : exponent);
    if (mantissa == 0 || (exponent < 0 && p == 0)) {
        *ret = 0;
        return true;
    }
    if (exponent >= 0)
        return p != 0 && !__builtin_mul_overflow(mantissa, p, ret);
    *ret = mantissa / p + (mantissa % p >= (p + 1) / 2);
    return true;
}

bool openai_decimal_nano(struct span number, int64_t *ret)
{
    int64_t mantissa = 0, exponent = 9, said = 0;
    bool fraction = false;
    size_t i = 0;
    for (; i < number.n && number.p[i] != 'e' && number.p[i] != 'E'; i++) {
        char c = number.p[i];
        if (c == '.') {
            fraction = true;
            continue;
        }
        if (c < '0' || c > '9')
            return false; /* a negative price is none */
        bool fits = mantissa < INT64_MAX / 10 - 1;
        mantissa = fits ? mantissa * 10 + (c - '0') : mantissa; /* digits that do not fit move the exponent instead */
        exponent += fits ? -(int64_t)fraction : (int64_t)!fraction;
    }
    bool negative = i + 1 < number.n && number.p[i + 1] == '-';
    for (i += 1; i < number.n; i++)
        if (number.p[i] >= '0' && number.p[i] <= '9')
            said = said < 10000 ? said * 10 + (number.p[i] - '0') : said;
    return scale(mantissa, exponent + (negative ? -said : said), ret);
}

/* "cost": 0.0001 at OpenRouter; "cost": {"total_cost": 0.00619, …} at Perplexity. In USD. */
static enum err read_cost(struct json *j, int64_t *ret_nano)
{
    struct span value;
    enum json_type type = json_peek(j);
    enum err e = json_skip(j, &value);
    if (e || (type != JSON_NUMBER && type != JSON_OBJECT))
        return e;
    struct span number = type == JSON_OBJECT ? json_find(value, "total_cost") : value;
    int64_t nano;
    if (number.n && openai_decimal_nano(number, &nano))
        *ret_nano = nano;
    return ERR_OK;
}

/* xAI: 10^10 ticks are one dollar. */
static enum err read_ticks(struct json *j, int64_t *ret_nano)
{
    int64_t ticks = -1;
    enum err e = read_count(j, &ticks);
    if (!e && ticks >= 0)
        *ret_nano = (ticks + 5) / 10;
    return e;
}

static enum err read_prompt_details(struct json *j, struct report *r)
{
    struct json_string key;
    if (json_peek(j) != JSON_OBJECT)
        return json_skip(j, NULL);
    enum err e = json_enter_object(j);
    while (!e && json_next_key(j, &key)) {
        if (KEY_IS(key, "cached_tokens"))
            e = read_count(j, &r->cached);
        else if (KEY_IS(key, "cache_write_tokens"))
            e = read_count(j, &r->written);
        else if (KEY_IS(key, "audio_tokens"))
            e = read_count(j, &r->audio_in);
        else if (KEY_IS(key, "image_tokens"))
            e = read_count(j, &r->image_in);
        else
            e = json_skip(j, NULL);
    }
    return e ? e : j->error;
}

static enum err read_completion_details(struct json *j, struct report *r)
{
    struct json_string key;
    if (json_peek(j) != JSON_OBJECT)
        return json_skip(j, NULL);
    enum err e = json_enter_object(j);
    while (!e && json_next_key(j, &key)) {
        if (KEY_IS(key, "reasoning_tokens"))
            e = read_count(j, &r->reasoning);
        else if (KEY_IS(key, "audio_tokens"))
            e = read_count(j, &r->audio_out);
        else if (KEY_IS(key, "image_tokens"))
            e = read_count(j, &r->image_out);
        else
            e = json_skip(j, NULL);
    }
    return e ? e : j->error;
}

/* Keys that hold one count, by all the names they go by. */
static const struct {
    struct span name;
    size_t at;
} counts[] = {
    {{"prompt_tokens", 13}, offsetof(struct report, prompt)},
    {{"completion_tokens", 17}, offsetof(struct report, completion)},
    {{"total_tokens", 12}, offsetof(struct report, total)},
    {{"input_tokens", 12}, offsetof(struct report, prompt)},
    {{"output_tokens", 13}, offsetof(struct report, completion)},
    {{"num_cached_tokens", 17}, offsetof(struct report, cached_flat)},       /* Mistral */
    {{"cached_tokens", 13}, offsetof(struct report, cached_flat)},           /* Together */
    {{"prompt_cache_hit_tokens", 23}, offsetof(struct report, cached_flat)}, /* DeepSeek */
    {{"reasoning_tokens", 16}, offsetof(struct report, reasoning)},          /* Perplexity */
    {{"num_search_queries", 18}, offsetof(struct report, searches)},         /* Perplexity */
    {{"num_sources_used", 16}, offsetof(struct report, searches)},           /* xAI bills each source */
};

static int64_t *find_count(struct report *r, struct json_string key)
{
    for (unsigned i = 0; i < COUNT_OF(counts); i++)
        if (json_key_is(key, counts[i].name))
            return (int64_t *)(void *)((char *)r + counts[i].at);
    return NULL;
}

/* Searches have no key of OpenAI's own: the provider's word goes on to the client. */
static enum err read_searches(struct json *j, struct json_string key, struct arena *a, struct report *r, struct neutral_extra **extra)
{
    struct json ahead = *j;
    struct span value;
    enum err e = json_skip(&ahead, &value);
    if (!e && a && !span_eq(value, SPAN("null")))
        neutral_extra_add(a, extra, json_unescape(a, key), value);
    return read_count(j, &r->searches);
}

/* True when the key is one that the classes hold; its value is consumed then. */
static bool read_usage_key(struct json *j, struct json_string key, struct arena *a, struct report *r, struct neutral_extra **extra, enum err *ret_e)
{
    int64_t *count = find_count(r, key);
    if (count == &r->searches)
        *ret_e = read_searches(j, key, a, r, extra);
    else if (count)
        *ret_e = read_count(j, count);
    else if (KEY_IS(key, "prompt_tokens_details") || KEY_IS(key, "prompt_token_details") || KEY_IS(key, "input_tokens_details"))
        *ret_e = read_prompt_details(j, r);
    else if (KEY_IS(key, "completion_tokens_details") || KEY_IS(key, "output_tokens_details"))
        *ret_e = read_completion_details(j, r);
    else
        return false;
    return true;
}

static enum err read_usage_rest(struct json *j, struct json_string key, struct arena *a, struct report *r, struct neutral_extra **extra)
{
    struct json ahead = *j;
    struct span value;
    enum err e = json_skip(j, &value);
    if (e)
        return e;
    if (KEY_IS(key, "cost"))
        e = read_cost(&ahead, &r->cost_nano);
    else if (KEY_IS(key, "cost_in_usd_ticks"))
        e = read_ticks(&ahead, &r->cost_nano);
    if (!e && a && !span_eq(value, SPAN("null")))
        neutral_extra_add(a, extra, json_unescape(a, key), value);
    return e;
}

static int64_t known(int64_t n) { return n > 0 ? n : 0; }

/* What the prompt and completion counts leave out, the total tells. */
static void settle_totals(struct report *r)
{
    if (r->cached < 0)
        r->cached = r->cached_flat;
    if (r->total >= 0 && r->prompt < 0 && r->completion >= 0 && r->total >= r->completion)
        r->prompt = r->total - r->completion;
    if (r->prompt < 0 || r->completion < 0)
        return;
    int64_t missing = r->total - r->prompt - r->completion;
    if (r->total < 0 || missing <= 0) {
        if (r->reasoning > r->completion) /* no total, or one that cannot be: a part larger than its whole was not in it */
            r->completion += r->reasoning;
    } else if (missing == known(r->reasoning)) {
        r->completion += missing;
    } else if (missing == known(r->audio_in) || missing == known(r->cached)) {
        r->prompt += missing;
    } else if (r->reasoning <= 0) {
        r->reasoning = missing;
        r->completion += missing;
    }
}

/* Takes a part out of what is left of the whole. A whole that is unknown bounds nothing. */
static int64_t take_part(int64_t *left, int64_t part)
{
    if (part < 0 || *left < 0)
        return part;
    int64_t taken = part < *left ? part : *left;
    *left -= taken;
    return taken;
}

static void to_classes(struct report *r, enum api api, struct usage *u)
{
    settle_totals(r);
    int64_t in = r->prompt, out = r->completion;
    usage_init(u);
    u->count[USAGE_CACHE_READ] = take_part(&in, r->cached);
    u->count[USAGE_CACHE_WRITE] = take_part(&in, r->written);
    u->count[USAGE_INPUT_AUDIO] = take_part(&in, r->audio_in);
    u->count[USAGE_INPUT_IMAGE] = take_part(&in, r->image_in);
    u->count[USAGE_INPUT] = in;
    u->count[USAGE_REASONING] = take_part(&out, r->reasoning);
    u->count[USAGE_OUTPUT_AUDIO] = take_part(&out, r->audio_out);
    u->count[USAGE_OUTPUT_IMAGE] = take_part(&out, r->image_out);
    u->count[USAGE_OUTPUT] = out;
    u->count[USAGE_SEARCH] = r->searches;
    if (r->prompt < 0 && r->completion < 0)
        return;
    u->source = USAGE_SOURCE_REPORTED;
    if (api == API_OPENAI_EMBEDDINGS && out < 0)
        u->count[USAGE_OUTPUT] = 0; /* vectors are not tokens: this is knowledge, not a guess */
}

enum err openai_read_usage(struct json *j, enum api api, struct arena *a, struct openai_usage *ret)
{
    struct report r = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    struct json_string key;
    struct neutral_extra *extra = NULL;
    enum err e = json_enter_object(j);
    while (!e && json_next_key(j, &key))
        if (!read_usage_key(j, key, a, &r, &extra, &e))
            e = read_usage_rest(j, key, a, &r, &extra);
    if (e || j->error)
        return e ? e : j->error;
    to_classes(&r, api, &ret->usage);
    ret->cost_nano = r.cost_nano;
    ret->extra = extra;
    return ERR_OK;
}

/* ---- writing ---- */

/* Sum of the known ones; -1 when none is. */
static int64_t sum(const struct usage *u, const enum usage_class *classes, unsigned n)
{
    int64_t total = -1;
    for (unsigned i = 0; i < n; i++)
        if (u->count[classes[i]] >= 0)
            total = (total < 0 ? 0 : total) + u->count[classes[i]];
    return total;
}

static enum err write_member(struct buf *out, bool *first, const char *name, int64_t value)
{
    if (value < 0)
        return ERR_OK;
    enum err e = buf_printf(out, "%s\"%s\":%lld", *first ? "" : ",", name, (long long)value);
    *first = false;
    return e;
}

struct detail {
    const char *name;
    int64_t value;
};

static enum err write_details(struct buf *out, const char *name, const struct detail *d, unsigned n)
{
    bool first = true;
    int64_t any = -1;
    for (unsigned i = 0; i < n; i++)
        any = d[i].value > any ? d[i].value : any;
    if (any < 0)
        return ERR_OK;
    enum err e = buf_printf(out, ",\"%s\":{", name);
    for (unsigned i = 0; !e && i < n; i++)
        e = write_member(out, &first, d[i].name, d[i].value);
    return e ? e : buf_append(out, SPAN("}"));
}

static enum err write_extra(struct buf *out, const struct neutral_extra *extra)
{
    enum err e = ERR_OK;
    for (; !e && extra; extra = extra->next) {
        e = buf_append(out, SPAN(","));
        if (!e)
            e = json_write_string(out, extra->key);
        if (!e)
            e = buf_append(out, SPAN(":"));
        if (!e)
            e = buf_append(out, extra->value_json);
    }
    return e;
}

enum err openai_write_usage(struct buf *out, enum api api, const struct usage *u, const struct neutral_extra *extra)
{
    static const enum usage_class in[] = {USAGE_INPUT, USAGE_CACHE_READ, USAGE_CACHE_WRITE, USAGE_CACHE_WRITE_1H, USAGE_INPUT_AUDIO, USAGE_INPUT_IMAGE};
    static const enum usage_class out_classes[] = {USAGE_OUTPUT, USAGE_REASONING, USAGE_OUTPUT_AUDIO, USAGE_OUTPUT_IMAGE};
    static const enum usage_class written[] = {USAGE_CACHE_WRITE, USAGE_CACHE_WRITE_1H};
    int64_t prompt = sum(u, in, COUNT_OF(in)), completion = sum(u, out_classes, COUNT_OF(out_classes));
    const struct detail prompt_details[] = {{"cached_tokens", u->count[USAGE_CACHE_READ]},
                                            {"cache_write_tokens", sum(u, written, COUNT_OF(written))},
                                            {"audio_tokens", u->count[USAGE_INPUT_AUDIO]},
                                            {"image_tokens", u->count[USAGE_INPUT_IMAGE]}};
    const struct detail completion_details[] = {{"reasoning_tokens", u->count[USAGE_REASONING]},
                                                {"audio_tokens", u->count[USAGE_OUTPUT_AUDIO]},
                                                {"image_tokens", u->count[USAGE_OUTPUT_IMAGE]}};
    /* Readers expect the three counts to be numbers; the unknown is written as 0 here, and only here. */
    enum err e = buf_printf(out, "{\"prompt_tokens\":%lld", (long long)known(prompt));
    if (!e && api != API_OPENAI_EMBEDDINGS)
        e = buf_printf(out, ",\"completion_tokens\":%lld", (long long)known(completion));
    if (!e)
        e = buf_printf(out, ",\"total_tokens\":%lld", (long long)(known(prompt) + known(completion)));
    if (!e)
        e = write_details(out, "prompt_tokens_details", prompt_details, COUNT_OF(prompt_details));
    if (!e)
        e = write_details(out, "completion_tokens_details", completion_details, COUNT_OF(completion_details));
    if (!e)
        e = write_extra(out, extra);
    return e ? e : buf_append(out, SPAN("}"));
}

/* ---- stop words ---- */

static const struct {
    struct span word;
    enum neutral_stop stop;
} stops[] = {
    /* the first word of each stop is the one that is written */
    {{"stop", 4}, NEUTRAL_STOP_END},
    {{"length", 6}, NEUTRAL_STOP_LENGTH},
    {{"tool_calls", 10}, NEUTRAL_STOP_TOOLS},
    {{"content_filter", 14}, NEUTRAL_STOP_FILTER},
    {{"function_call", 13}, NEUTRAL_STOP_TOOLS},
    {{"error", 5}, NEUTRAL_STOP_ERROR},
    {{"tool_call", 9}, NEUTRAL_STOP_TOOLS},       /* seen from vLLM front ends */
    {{"model_length", 12}, NEUTRAL_STOP_CONTEXT}, /* Mistral */
    {{"max_tokens", 10}, NEUTRAL_STOP_LENGTH},
    {{"end_turn", 8}, NEUTRAL_STOP_END},
    {{"eos", 3}, NEUTRAL_STOP_END},               /* Together */
    {{"", 0}, NEUTRAL_STOP_NONE},
};

enum neutral_stop openai_stop(struct json_string word)
{
    for (unsigned i = 0; i < COUNT_OF(stops); i++)
        if (json_key_is(word, stops[i].word))
            return stops[i].stop;
    return NEUTRAL_STOP_OTHER;
}

const char *openai_stop_word(enum neutral_stop s)
{
    switch (s) {
    case NEUTRAL_STOP_NONE: return "";
    case NEUTRAL_STOP_LENGTH:
    case NEUTRAL_STOP_CONTEXT: return "length";
    case NEUTRAL_STOP_TOOLS: return "tool_calls";
    case NEUTRAL_STOP_FILTER:
    case NEUTRAL_STOP_REFUSAL: return "content_filter";
    case NEUTRAL_STOP_BROKEN_CALL:
    case NEUTRAL_STOP_ERROR: return "error"; /* a plain stop would make agents loop */
    default: return "stop";
    }
}
