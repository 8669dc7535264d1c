/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors of the OpenAI family: what a provider's answer means, and how we tell a client. Bodies come in many shapes:
 *
 *   {"error":{"message","type","param","code"}}      OpenAI, Azure, most; code may be a number
 *   {"code":"…","error":"text"}  {"error":"text"}    xAI, Ollama
 *   {"object":"error","message","type","code"}       Mistral, older vLLM
 *   {"detail":"text"}  {"detail":[{"msg",…}]}        FastAPI: Mistral 401 and 422
 *   [{"error":{…}}]                                  Gemini's compatible path
 *   <html>…                                          whatever stands in between
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "dialect/openai.h"

/* ---- reading ---- */

#define RETRY_AFTER_MAX_MS (INT64_C(7) * 24 * 3600 * 1000)
#define TEXT_MAX 2048u

/* What the body says, still escaped. */
struct told {
    struct span message, code, type, inner_code, status;
    struct span whole; /* of the body that was understood, for words that hide deeper */
    int64_t inner_status;
};

static struct span string_at(struct span document, const char *path)
{
    struct span s = json_find(document, path);
    return s.n >= 2 && s.p[0] == '"' ? span_of(s.p + 1, s.n - 2) : SPAN_NONE;
}

/* A string's inside or a number's text. */
static struct span scalar_at(struct span document, const char *path)
{
    struct span s = json_find(document, path);
    if (s.n >= 2 && s.p[0] == '"')
        return span_of(s.p + 1, s.n - 2);
    return s.n && ((s.p[0] >= '0' && s.p[0] <= '9') || s.p[0] == '-') ? s : SPAN_NONE;
}

static struct span first_of(struct span a, struct span b) { return a.n ? a : b; }

static struct span unwrap_array(struct span body)
{
    struct json j;
    struct span item;
    json_init(&j, body);
    if (json_peek(&j) != JSON_ARRAY || json_enter_array(&j) || !json_next_item(&j) || json_skip(&j, &item))
        return body;
    return item;
}

static struct span first_detail(struct span body)
{
    struct span detail = json_find(body, "detail");
    if (detail.n && detail.p[0] == '[')
        return string_at(unwrap_array(detail), "msg");
    return string_at(body, "detail");
}

static void read_told(struct span body, struct told *t)
{
    body = unwrap_array(body);
    struct span error = json_find(body, "error");
    struct span inside = error.n && error.p[0] == '{' ? error : body;
    t->whole = body;
    t->message = first_of(string_at(body, "error"), string_at(inside, "message"));
    t->message = first_of(t->message, first_detail(body));
    t->code = first_of(scalar_at(inside, "code"), scalar_at(body, "code"));
    t->type = string_at(inside, "type");
    t->inner_code = first_of(string_at(inside, "innererror.code"), string_at(inside, "inner_error.code"));
    t->status = string_at(inside, "status");
    t->inner_status = 0;
    if (!json_find_i64(inside, "code", &t->inner_status) && !json_find_i64(inside, "status_code", &t->inner_status))
        (void)json_find_i64(inside, "raw_status_code", &t->inner_status);
}

static bool contains_nocase(struct span s, struct span needle)
{
    for (size_t i = 0; i + needle.n <= s.n; i++)
        if (span_eq_nocase(span_of(s.p + i, needle.n), needle))
            return true;
    return false;
}

struct clue {
    struct span word;
    enum provider_error_class class;
};

/* Codes and types that say more than the status does. */
static const struct clue codes[] = {
    {{"context_length_exceeded", 23}, PROVIDER_ERROR_CONTEXT},
    {{"string_above_max_length", 23}, PROVIDER_ERROR_REQUEST},
    {{"content_filter", 14}, PROVIDER_ERROR_FILTER},
    {{"content_policy_violation", 24}, PROVIDER_ERROR_FILTER},
    {{"ResponsibleAIPolicyViolation", 28}, PROVIDER_ERROR_FILTER},
    {{"moderation_blocked", 18}, PROVIDER_ERROR_FILTER},
    {{"insufficient_quota", 18}, PROVIDER_ERROR_QUOTA},
    {{"credit_balance_exhausted", 24}, PROVIDER_ERROR_QUOTA},
    {{"billing_hard_limit_reached", 26}, PROVIDER_ERROR_QUOTA},
    {{"billing_not_active", 18}, PROVIDER_ERROR_QUOTA},
    {{"invalid_api_key", 15}, PROVIDER_ERROR_CREDENTIAL},
    {{"invalid_authentication_error", 28}, PROVIDER_ERROR_CREDENTIAL},
    {{"model_not_found", 15}, PROVIDER_ERROR_NOT_FOUND},
    {{"DeploymentNotFound", 18}, PROVIDER_ERROR_NOT_FOUND},
    {{"overloaded_error", 16}, PROVIDER_ERROR_OVERLOAD},
    {{"engine_overloaded", 17}, PROVIDER_ERROR_OVERLOAD},
    {{"unavailable_error", 17}, PROVIDER_ERROR_OVERLOAD},
};

/* Codes that a status of 200 leaves alone to speak. */
static const struct clue codes_alone[] = {
    {{"rate_limit_exceeded", 19}, PROVIDER_ERROR_RATE},
    {{"rate_limited", 12}, PROVIDER_ERROR_RATE},
    {{"RateLimitReached", 16}, PROVIDER_ERROR_RATE},
    {{"RESOURCE_EXHAUSTED", 18}, PROVIDER_ERROR_RATE},
    {{"invalid_request_error", 21}, PROVIDER_ERROR_REQUEST},
    {{"INVALID_ARGUMENT", 16}, PROVIDER_ERROR_REQUEST},
    {{"UNAVAILABLE", 11}, PROVIDER_ERROR_OVERLOAD},
    {{"DEADLINE_EXCEEDED", 17}, PROVIDER_ERROR_TIMEOUT},
};

/* Words of messages, where providers give no code: looked for under client-side statuses alone. */
static const struct clue words_400[] = {
    {{"maximum context length", 22}, PROVIDER_ERROR_CONTEXT},
    {{"max context length", 18}, PROVIDER_ERROR_CONTEXT},
    {{"context window", 14}, PROVIDER_ERROR_CONTEXT},
    {{"maximum model length", 20}, PROVIDER_ERROR_CONTEXT},
    {{"exceeds the available context size", 34}, PROVIDER_ERROR_CONTEXT},
    {{"prompt is too long", 18}, PROVIDER_ERROR_CONTEXT},
    {{"prompt too long", 15}, PROVIDER_ERROR_CONTEXT},
    {{"input is too long", 17}, PROVIDER_ERROR_CONTEXT},
    {{"content management policy", 25}, PROVIDER_ERROR_FILTER},
    {{"violates usage guidelines", 25}, PROVIDER_ERROR_FILTER},
    {{"Incorrect API key", 17}, PROVIDER_ERROR_CREDENTIAL}, /* xAI answers a wrong key with 400 */
    {{"API key not valid", 17}, PROVIDER_ERROR_CREDENTIAL}, /* and so does Gemini */
};
static const struct clue words_429[] = {
    {{"exceeded your current quota", 27}, PROVIDER_ERROR_QUOTA},
    {{"insufficient balance", 20}, PROVIDER_ERROR_QUOTA},
    {{"credit balance", 14}, PROVIDER_ERROR_QUOTA},
    {{"PerDay", 6}, PROVIDER_ERROR_QUOTA}, /* Gemini's quotaId of a daily quota: it does not pay to wait */
    {{"tokens per day", 14}, PROVIDER_ERROR_QUOTA},
};

static enum provider_error_class by_code(const struct told *t, const struct clue *clues, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (span_eq(t->code, clues[i].word) || span_eq(t->type, clues[i].word) || span_eq(t->inner_code, clues[i].word) ||
            span_eq(t->status, clues[i].word))
            return clues[i].class;
    return PROVIDER_ERROR_NONE;
}

static enum provider_error_class by_words(struct span text, const struct clue *clues, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (contains_nocase(text, clues[i].word))
            return clues[i].class;
    return PROVIDER_ERROR_NONE;
}

static const struct {
    int status;
    enum provider_error_class class;
} statuses[] = {
    {400, PROVIDER_ERROR_REQUEST},   {401, PROVIDER_ERROR_CREDENTIAL}, {402, PROVIDER_ERROR_QUOTA},    {403, PROVIDER_ERROR_CREDENTIAL},
    {404, PROVIDER_ERROR_NOT_FOUND}, {405, PROVIDER_ERROR_NOT_FOUND},  {407, PROVIDER_ERROR_FAULT},    {408, PROVIDER_ERROR_TIMEOUT},
    {409, PROVIDER_ERROR_FAULT},     {410, PROVIDER_ERROR_NOT_FOUND},  {424, PROVIDER_ERROR_FAULT},    {425, PROVIDER_ERROR_FAULT},
    {429, PROVIDER_ERROR_RATE},      {498, PROVIDER_ERROR_OVERLOAD},   {503, PROVIDER_ERROR_OVERLOAD}, {504, PROVIDER_ERROR_TIMEOUT},
    {524, PROVIDER_ERROR_TIMEOUT},   {529, PROVIDER_ERROR_OVERLOAD},
};

static enum provider_error_class by_status(int status)
{
    for (unsigned i = 0; i < COUNT_OF(statuses); i++)
        if (statuses[i].status == status)
            return statuses[i].class;
    return status >= 400 && status < 500 ? PROVIDER_ERROR_REQUEST : PROVIDER_ERROR_FAULT;
}

/* Groq says 413 and rate_limit_exceeded when one request is larger than a minute's tokens: to wait would not help. */
static enum provider_error_class classify(int status, const struct told *t)
{
    enum provider_error_class class = by_code(t, codes, COUNT_OF(codes));
    bool below_400 = status < 400;
    if (below_400 && t->inner_status >= 400 && t->inner_status < 600)
        status = (int)t->inner_status;
    if (class != PROVIDER_ERROR_NONE)
        return class;
    if (status == 413 && span_eq(t->code, SPAN("rate_limit_exceeded")))
        return PROVIDER_ERROR_CONTEXT;
    if (status == 400 || status == 403 || status == 413 || status == 422)
        class = by_words(t->whole, words_400, COUNT_OF(words_400));
    if (status == 429)
        class = by_words(t->whole, words_429, COUNT_OF(words_429));
    if (class == PROVIDER_ERROR_NONE && status < 400)
        class = by_code(t, codes_alone, COUNT_OF(codes_alone));
    return class != PROVIDER_ERROR_NONE ? class : by_status(status);
}

/* "1.5" seconds are 1500 ms. text is decimal. */
static int64_t seconds_to_ms(struct span text)
{
    int64_t nano;
    if (!openai_decimal_nano(text, &nano)) /* digits alone come here: it does not fit */
        return RETRY_AFTER_MAX_MS;
    int64_t ms = nano / 1000000;
    return ms < RETRY_AFTER_MAX_MS ? ms : RETRY_AFTER_MAX_MS;
}

static bool is_decimal(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!(text.p[i] >= '0' && text.p[i] <= '9') && text.p[i] != '.')
            return false;
    return text.n > 0;
}

/* The milliseconds are the finer word, then the standard header as seconds or a date, then what Gemini hides in its body. */
static int64_t read_retry_after(const struct http_head *head, struct span body, int64_t wall_us)
{
    struct span ms = head ? http_header(head, SPAN("retry-after-ms")) : SPAN_NONE;
    struct span after = head ? http_header(head, SPAN("retry-after")) : SPAN_NONE;
    int64_t nano, date_us;
    bool only_rounded_down = span_eq(ms, SPAN("0")) && is_decimal(after); /* Azure sends both, and the milliseconds as 0 */
    if (is_decimal(ms) && !only_rounded_down && openai_decimal_nano(ms, &nano)) {
        int64_t whole = nano / 1000000000;
        return whole < RETRY_AFTER_MAX_MS ? whole : RETRY_AFTER_MAX_MS;
    }
    if (is_decimal(after))
        return seconds_to_ms(after);
    if (after.n && clock_parse_http_date(after, &date_us) == ERR_OK) {
        int64_t wait_ms = (date_us - wall_us) / 1000;
        return wait_ms < 0 ? 0 : wait_ms < RETRY_AFTER_MAX_MS ? wait_ms : RETRY_AFTER_MAX_MS;
    }
    ptrdiff_t at = span_find_span(body, SPAN("\"retryDelay\""));
    struct span rest = at >= 0 ? span_from(body, (size_t)at + 12) : SPAN_NONE;
    (void)span_cut(&rest, '"');
    struct span delay = rest.p ? span_cut(&rest, '"') : SPAN_NONE;
    return span_ends(delay, SPAN("s")) && is_decimal(span_to(delay, delay.n - 1)) ? seconds_to_ms(span_to(delay, delay.n - 1)) : -1;
}

static enum neutral_said read_should_retry(const struct http_head *head)
{
    struct span value = head ? http_header(head, SPAN("x-should-retry")) : SPAN_NONE;
    return span_eq_nocase(value, SPAN("true")) ? NEUTRAL_YES : span_eq_nocase(value, SPAN("false")) ? NEUTRAL_NO : NEUTRAL_UNSAID;
}

/* The bytes of the character or escape at p, in a string that the reader has found valid. */
static size_t unit_bytes(const char *p)
{
    unsigned char c = (unsigned char)*p;
    if (c == '\\')
        return p[1] == 'u' ? 6 : 2;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* Not cut in the middle of either. */
static struct span bounded(struct span text)
{
    size_t n = 0;
    if (text.n <= TEXT_MAX)
        return text;
    while (n + unit_bytes(text.p + n) <= TEXT_MAX)
        n += unit_bytes(text.p + n);
    return span_of(text.p, n);
}

void openai_read_error(int status, const struct http_head *head, struct span body, int64_t wall_us, struct provider_error *ret)
{
    struct told t = {.whole = body};
    bool is_json = body.n > 0 && json_check(body) == ERR_OK;
    if (is_json)
        read_told(body, &t);
    *ret = (struct provider_error){
        .class = classify(status, &t),
        .status = status,
        .retry_after_ms = read_retry_after(head, body, wall_us),
        .message = bounded(t.message),
        .code = bounded(first_of(t.code, first_of(t.type, t.inner_code))),
        .should_retry = read_should_retry(head),
    };
}

/* ---- writing ---- */

/* `type`, by status: coarse, as clients of OpenAI expect; `code` is the stable word. */
static const char *error_type(int status)
{
    switch (status) {
    case 402: return "insufficient_quota";
    case 403: return "permission_error";
    case 429: return "rate_limit_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

static enum err write_member(struct buf *out, const char *name, const char *value)
{
    enum err e = buf_printf(out, ",\"%s\":", name);
    if (e)
        return e;
    return value ? json_write_string(out, span_str(value)) : buf_append(out, SPAN("null"));
}

static enum err write_error(struct buf *out, const struct client_error *error)
{
    int status = error->status ? error->status : err_status(error->error);
    enum err e = buf_append(out, SPAN("{\"error\":{\"message\":"));
    if (!e)
        e = json_write_string(out, span_str(error->message ? error->message : err_sentence(error->error)));
    if (!e)
        e = write_member(out, "type", error_type(status));
    if (!e)
        e = write_member(out, "param", error->param && error->param[0] ? error->param : NULL);
    if (!e)
        e = write_member(out, "code", error->code ? error->code : err_code(error->error));
    if (!e)
        e = buf_append(out, SPAN("}"));
    if (!e && error->request_id) /* streams have lost their headers by the time anybody reads this */
        e = write_member(out, "request_id", error->request_id);
    return e ? e : buf_append(out, SPAN("}"));
}

static void keep_whole(struct buf *out, size_t before, enum err e)
{
    if (e) /* half an error would be worse than none: the status tells, too */
        out->end = out->at + before;
}

void openai_write_error(struct buf *out, const struct client_error *error)
{
    size_t before = buf_bytes(out);
    keep_whole(out, before, write_error(out, error));
}

/* The event ends the stream; [DONE] does not follow, or clients would take it for an end. */
void openai_write_stream_error(struct buf *out, const struct client_error *error)
{
    size_t before = buf_bytes(out);
    enum err e = buf_append(out, SPAN("data: "));
    if (!e)
        e = write_error(out, error);
    if (!e)
        e = buf_append(out, SPAN("\n\n"));
    keep_whole(out, before, e);
}
