/* SPDX-License-Identifier: Apache-2.0
 *
 * The usage and the costs API of OpenAI: pages of buckets of results, as they came, one after the other or in an array. Members may stand in any
 * order, so a bucket's results are looked at when its times are known. In usage, a total holds parts that are classes of their own; they are taken out.
 */
#include "base/calendar.h"
#include "base/json.h"
#include "report/reconcile.h"

#define NESTING_MAX 8u

enum field { INPUT, CACHED, INPUT_AUDIO, OUTPUT, OUTPUT_AUDIO, REQUESTS, FIELDS };
static const char *const field_names[FIELDS] = {"input_tokens", "input_cached_tokens", "input_audio_tokens", "output_tokens", "output_audio_tokens",
                                                "num_model_requests"};
/* Field by field: the class, the total that holds it, or itself. */
static const struct { enum usage_class usage; enum field total; } parts[FIELDS] = {
    [INPUT] = {USAGE_INPUT, INPUT}, [CACHED] = {USAGE_CACHE_READ, INPUT}, [INPUT_AUDIO] = {USAGE_INPUT_AUDIO, INPUT}, [OUTPUT] = {USAGE_OUTPUT, OUTPUT},
    [OUTPUT_AUDIO] = {USAGE_OUTPUT_AUDIO, OUTPUT}, [REQUESTS] = {USAGE_REQUEST, REQUESTS},
};

struct result {
    int64_t count[FIELDS]; /* -1: not said */
    struct span model, line_item, amount, currency;
    bool is_cost, is_usage;
};

struct reading {
    struct reconcile_source *source;
    const char *format;    /* as wanted; or as found */
    int64_t from_us, until_us;
    struct arena arena;
    bool has_more;         /* the last page says so */
};

static unsigned line_at(const struct reading *r, const char *at)
{
    unsigned line = 1;
    for (const char *p = r->source->options->text.p; p < at; p++)
        line += *p == '\n';
    return line;
}

static enum err wrong(struct reading *r, const char *at, const char *what)
{
    return r->source->why[0] ? ERR_SYNTAX : reconcile_fail(r->source, "line %u: %s", line_at(r, at), what);
}

static enum err broken(struct reading *r, const struct json *j)
{
    return wrong(r, j->at, j->error_what ? j->error_what : "this is no answer of the usage or costs API");
}

/* ---- results ---- */

static enum err read_text(struct reading *r, struct json *j, struct span *ret)
{
    struct json_string text;
    enum json_type type = json_peek(j);
    enum err e = type == JSON_STRING ? json_read_string(j, &text) : json_skip(j, type == JSON_NUMBER ? ret : NULL);
    if (!e && type == JSON_STRING)
        *ret = json_unescape(&r->arena, text);
    return e;
}

static enum err read_amount(struct reading *r, struct json *j, struct result *ret)
{
    struct json_string key;
    if (json_peek(j) != JSON_OBJECT)
        return json_skip(j, NULL);
    enum err e = json_enter_object(j);
    while (!e && json_next_key(j, &key))
        e = json_key_is(key, SPAN("value")) ? read_text(r, j, &ret->amount) : json_key_is(key, SPAN("currency")) ? read_text(r, j, &ret->currency) : json_skip(j, NULL);
    return e ? e : j->error;
}

static enum err read_count(struct json *j, int64_t *ret)
{
    return json_peek(j) == JSON_NUMBER ? json_read_i64(j, ret) : json_skip(j, NULL);
}

static enum err read_kind(struct reading *r, struct json *j, struct result *ret)
{
    struct span kind = SPAN_NONE;
    enum err e = read_text(r, j, &kind);
    ret->is_cost = span_starts(kind, SPAN("organization.costs."));
    ret->is_usage = span_starts(kind, SPAN("organization.usage."));
    return e;
}

static enum err read_member(struct reading *r, struct json *j, struct json_string key, struct result *ret)
{
    for (int f = 0; f < FIELDS; f++)
        if (json_key_is(key, span_str(field_names[f])))
            return read_count(j, &ret->count[f]);
    if (json_key_is(key, SPAN("object")))
        return read_kind(r, j, ret);
    if (json_key_is(key, SPAN("model")))
        return read_text(r, j, &ret->model);
    if (json_key_is(key, SPAN("line_item")))
        return read_text(r, j, &ret->line_item);
    return json_key_is(key, SPAN("amount")) ? read_amount(r, j, ret) : json_skip(j, NULL);
}

/* Parts leave their total. A total that is smaller than its audio did not hold it. */
static bool take_parts_out(struct result *u)
{
    for (int f = 0; f < FIELDS; f++) {
        int64_t *total = &u->count[parts[f].total];
        bool is_audio = f == INPUT_AUDIO || f == OUTPUT_AUDIO;
        if ((int)parts[f].total == f || u->count[f] <= 0 || *total < 0)
            continue;
        if (*total >= u->count[f])
            *total -= u->count[f];
        else if (!is_audio)
            return false;
    }
    return true;
}

static enum err add_usage(struct reading *r, struct result *u, const char *at)
{
    struct reconcile_export *x = r->source->export;
    if (!take_parts_out(u))
        return wrong(r, at, "input_cached_tokens is more than input_tokens, of which it is a part");
    for (int f = 0; f < FIELDS; f++) {
        struct reconcile_row row = {.from_us = r->from_us, .until_us = r->until_us, .model = u->model, .usage = parts[f].usage, .has_quantity = true,
                                    .quantity = (money)u->count[f] * MONEY_ONE};
        if (u->count[f] < 0)
            continue;
        x->counts_requests = x->counts_requests || f == REQUESTS;
        x->quantity_step = MONEY_ONE;
        reconcile_add_row(x, &row);
    }
    return ERR_OK;
}

static enum err add_cost(struct reading *r, const struct result *u, const char *at)
{
    struct reconcile_export *x = r->source->export;
    struct reconcile_row row = {.from_us = r->from_us, .until_us = r->until_us, .usage = RECONCILE_ALL, .has_cost = true};
    struct meter m = {.usage = RECONCILE_ALL};
    if (!u->amount.n)
        return ERR_OK;
    if (!reconcile_decimal(u->amount, 1, &row.cost, &x->cost_step))
        return wrong(r, at, "the amount's value is no decimal number");
    if (!currency_parse(u->currency.n ? u->currency : SPAN("usd"), row.currency))
        return wrong(r, at, "the amount's currency is none");
    if (u->line_item.n)
        meter_read(&r->arena, u->line_item, false, &m);
    row.model = m.model;
    row.usage = m.usage;
    if (u->line_item.n && m.usage == RECONCILE_ALL)
        reconcile_add_other(x, u->line_item, &row);
    else
        reconcile_add_row(x, &row);
    return ERR_OK;
}

static enum err read_result(struct reading *r, struct json *j)
{
    struct result u = {.count = {-1, -1, -1, -1, -1, -1}};
    struct json_string key;
    enum err e = json_enter_object(j);
    while (!e && json_next_key(j, &key))
        e = read_member(r, j, key, &u);
    e = e ? e : j->error;
    if (e)
        return broken(r, j);
    const char *format = u.is_cost ? "openai-costs" : u.is_usage ? "openai-usage" : NULL;
    if (!format)
        return wrong(r, j->at, "a result's \"object\" is neither organization.usage.….result nor organization.costs.result");
    if (r->format && strcmp(r->format, format) != 0)
        return wrong(r, j->at, "usage and costs are two exports: give them one at a time, and leave --format away or say the right one");
    r->format = format;
    return u.is_cost ? add_cost(r, &u, j->at) : add_usage(r, &u, j->at);
}

/* ---- buckets and pages ---- */

struct holder { /* a page or a bucket; what is inside is looked at last */
    int64_t start, end;
    struct span inside;
    bool is_page, has_inside;
};

static enum err read_holder(struct reading *r, struct json *j, struct holder *ret)
{
    struct json_string key;
    enum err e = json_enter_object(j);
    while (!e && json_next_key(j, &key)) {
        bool is_data = json_key_is(key, SPAN("data")), is_results = json_key_is(key, SPAN("results")) || json_key_is(key, SPAN("result"));
        if (is_data || is_results) {
            ret->is_page = is_data;
            ret->has_inside = json_peek(j) == JSON_ARRAY;
            e = json_skip(j, &ret->inside);
        } else if (json_key_is(key, SPAN("has_more")) && json_peek(j) == JSON_BOOL) {
            e = json_read_bool(j, &r->has_more);
        } else {
            e = json_key_is(key, SPAN("start_time")) ? read_count(j, &ret->start) : json_key_is(key, SPAN("end_time")) ? read_count(j, &ret->end) : json_skip(j, NULL);
        }
    }
    return e ? e : j->error;
}

static bool take_times(struct reading *r, const struct holder *h)
{
    if (h->start < 0 || h->end <= h->start || h->end > INT64_C(100000000000))
        return false;
    r->from_us = h->start * US_PER_S;
    r->until_us = h->end * US_PER_S;
    reconcile_add_bucket(r->source->export, r->from_us, r->until_us);
    return true;
}

static enum err read_any(struct reading *r, struct json *j, bool is_result, unsigned depth);

static enum err read_object(struct reading *r, struct json *j, unsigned depth)
{
    struct holder h = {.start = -1, .end = -1};
    struct json inside;
    if (read_holder(r, j, &h))
        return broken(r, j);
    if (!h.has_inside)
        return wrong(r, j->at, "an object has neither \"data\", as a page has, nor \"results\", as a bucket has");
    if (!h.is_page && !take_times(r, &h))
        return wrong(r, j->at, "a bucket lacks start_time and end_time, in seconds since 1970");
    json_init(&inside, h.inside);
    return read_any(r, &inside, !h.is_page, depth + 1);
}

static enum err read_any(struct reading *r, struct json *j, bool is_result, unsigned depth)
{
    enum json_type type = json_peek(j);
    if (depth > NESTING_MAX || (type != JSON_ARRAY && type != JSON_OBJECT))
        return wrong(r, j->at, "a page, a bucket or an array of them is meant to stand here");
    if (type == JSON_OBJECT)
        return is_result ? read_result(r, j) : read_object(r, j, depth);
    enum err e = json_enter_array(j);
    while (!e && json_next_item(j))
        e = read_any(r, j, is_result, depth + 1);
    return e ? e : j->error ? broken(r, j) : ERR_OK;
}

static bool is_blank(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != ' ' && text.p[i] != '\n' && text.p[i] != '\r' && text.p[i] != '\t')
            return false;
    return true;
}

enum err reconcile_read_openai(struct reconcile_source *s, const char *format)
{
    struct reading r = {.source = s, .format = format};
    struct span rest = s->options->text;
    enum err e = ERR_OK;
    arena_init(&r.arena, 4096);
    while (!e && !is_blank(rest)) {
        struct json j;
        json_init(&j, rest);
        e = read_any(&r, &j, false, 0);
        rest = span_from(rest, json_offset(&j));
    }
    if (!e && r.has_more)
        e = reconcile_fail(s, "the last page says that more follow (\"has_more\": true): ask for them with its next_page, and put all pages into the file");
    arena_fini(&r.arena);
    s->export->format = r.format ? r.format : "openai-usage";
    return e;
}
