/* SPDX-License-Identifier: Apache-2.0
 *
 * genai-prices' data.json: a list of providers, each with models, each with rules by which names match and prices per 1M tokens, in steps by context
 * length, from a date on, or by the time of day.
 *
 * Rules become names and patterns where they can; the model's own id always is the first name. Of conditional prices the last that is active
 * counts, so a start date ends what stands before it: such a model has rows in several books.
 */
#include "cli/price_import.h"

static const struct { const char *key; enum usage_class usage; int scale; } keys[] = {
    {"input_mtok", USAGE_INPUT, 9},
    {"output_mtok", USAGE_OUTPUT, 9},
    {"cache_read_mtok", USAGE_CACHE_READ, 9},
    {"cache_write_mtok", USAGE_CACHE_WRITE, 9},
    {"input_audio_mtok", USAGE_INPUT_AUDIO, 9},
    {"output_audio_mtok", USAGE_OUTPUT_AUDIO, 9},
    {"requests_kcount", USAGE_REQUEST, 12},
};

#define PARTS_MAX 16u
#define STEPS_MAX 16u

struct part { /* one of conditional prices; a plain price is one part without conditions */
    struct span from, start_time, end_time, prices;
};

struct reading {
    struct import *import;
    struct import_model *model;
    struct span provider;
    struct part parts[PARTS_MAX];
    unsigned parts_n;
    struct import_condition when; /* of the part whose prices are read */
    int64_t starts[STEPS_MAX];    /* of the class that is read, by place */
};

/* ---- names ---- */

/* {"equals": X}, {"starts_with": X} … or {"or": [rules]}. */
static enum err take_rules(struct reading *r, struct json *j);

static void take_rule(struct reading *r, struct span rule, struct span text)
{
    static const struct { const char *rule, *before, *after; } patterns[] = {
        {"equals", "", ""}, {"starts_with", "", "*"}, {"ends_with", "*", ""}, {"contains", "*", "*"}};
    bool is_plain = span_find(text, '*') < 0 && span_find(text, '?') < 0;
    for (size_t i = 0; i < COUNT_OF(patterns) && is_plain; i++)
        if (span_eq(rule, span_str(patterns[i].rule))) {
            import_name(r->import, r->model, arena_printf(&r->import->arena, "%s%.*s%s", patterns[i].before, SPAN_ARG(text), patterns[i].after));
            return;
        }
    import_note(r->import, r->model, "match", "%.*s \"%.*s\": no pattern of names; the model's id is taken", SPAN_ARG(rule), (int)(text.n < 60 ? text.n : 60), text.p);
}

static enum err take_rule_member(void *owner, struct json *j, struct span key)
{
    struct reading *r = owner;
    struct json_string text;
    enum err e;
    if (span_eq(key, SPAN("or"))) {
        e = json_enter_array(j);
        while (!e && json_next_item(j))
            e = take_rules(r, j);
        return e ? e : j->error;
    }
    if (json_peek(j) != JSON_STRING) {
        import_note(r->import, r->model, "match", "%.*s: no pattern of names; the model's id is taken", SPAN_ARG(key));
        return json_skip(j, NULL);
    }
    e = json_read_string(j, &text);
    if (!e)
        take_rule(r, key, json_unescape(&r->import->arena, text));
    return e;
}

static enum err take_rules(struct reading *r, struct json *j)
{
    return import_each_member(&r->import->arena, j, take_rule_member, r);
}

/* ---- prices of a part ---- */

static bool set_class(struct reading *r, struct span key, struct import_condition when, const struct import_leaf *leaf)
{
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (span_eq(key, span_str(keys[i].key)) && leaf->type == JSON_NUMBER) {
            import_price(r->import, r->model, when, keys[i].usage, leaf->text, keys[i].scale, leaf->path);
            return true;
        }
    return false;
}

/* "input_mtok.tiers[1].start": key input_mtok, place 1, rest start. */
static bool split_tier(const char *path, struct span *key, unsigned *place, struct span *rest)
{
    struct span text = span_str(path);
    uint64_t number;
    ptrdiff_t at = span_find_span(text, SPAN(".tiers["));
    if (at < 0)
        return false;
    *key = span_to(text, (size_t)at);
    *rest = span_from(text, (size_t)at + sizeof ".tiers[" - 1);
    struct span digits = span_cut(rest, ']');
    *rest = rest->p ? span_from(*rest, 1) : SPAN("");
    if (!span_to_u64(digits, &number) || number >= STEPS_MAX)
        return false;
    *place = (unsigned)number;
    return true;
}

/* `start` may stand after `price`, so the starts of a class are read before its prices. */
static void take_start(void *owner, const struct import_leaf *leaf)
{
    struct reading *r = owner;
    struct span key, rest;
    unsigned place;
    uint64_t start;
    if (split_tier(leaf->path, &key, &place, &rest) && span_eq(rest, SPAN("start")))
        r->starts[place] = leaf->type == JSON_NUMBER && span_to_u64(leaf->text, &start) && start > 0 && start < INT64_MAX ? (int64_t)start : 0;
}

static void take_price(void *owner, const struct import_leaf *leaf)
{
    struct reading *r = owner;
    struct import_condition when = r->when;
    struct span path = span_str(leaf->path), key, rest;
    unsigned place;
    bool done;
    if (split_tier(leaf->path, &key, &place, &rest)) {
        when.above = r->starts[place];
        done = span_eq(rest, SPAN("start")) || (when.above && span_eq(rest, SPAN("price")) && set_class(r, key, when, leaf));
    } else {
        done = set_class(r, span_ends(path, SPAN(".base")) ? span_to(path, path.n - 5) : path, when, leaf);
    }
    if (!done && leaf->type != JSON_NULL)
        import_note(r->import, r->model, leaf->path, "%.*s: no class of usage is counted so", (int)(leaf->text.n < 60 ? leaf->text.n : 60), leaf->text.p);
}

/* One class at a time, because starts are by class. */
static enum err take_class(void *owner, struct json *j, struct span key)
{
    struct reading *r = owner;
    struct span value;
    enum err e = json_skip(j, &value);
    if (e)
        return e;
    struct buf text;
    struct json again;
    buf_init(&text, 1 << 20);
    memset(r->starts, 0, sizeof r->starts);
    e = buf_append(&text, SPAN("{"));
    e = e ? e : json_write_string(&text, key);
    e = e ? e : buf_append(&text, SPAN(":"));
    e = e ? e : buf_append(&text, value);
    e = e ? e : buf_append(&text, SPAN("}"));
    struct span whole = arena_dup(&r->import->arena, buf_span(&text));
    buf_fini(&text);
    json_init(&again, whole);
    e = e ? e : import_walk(&r->import->arena, &again, take_start, r);
    json_init(&again, whole);
    return e ? e : import_walk(&r->import->arena, &again, take_price, r);
}

/* ---- parts ---- */

static enum err take_part_leaf(void *owner, struct json *j, struct span key)
{
    struct part *p = owner;
    struct span text = SPAN_NONE;
    enum err e = json_skip(j, &text);
    if (!e && text.n >= 2 && text.p[0] == '"')
        text = span_of(text.p + 1, text.n - 2);
    if (span_eq(key, SPAN("prices")))
        p->prices = text;
    else if (span_eq(key, SPAN("start_date")))
        p->from = text;
    else if (span_eq(key, SPAN("start_time")))
        p->start_time = text;
    else if (span_eq(key, SPAN("end_time")))
        p->end_time = text;
    return e;
}

struct part_owner {
    struct arena *arena;
    struct part *part;
};

static enum err take_part_member(void *owner, struct json *j, struct span key)
{
    struct part_owner *o = owner;
    if (span_eq(key, SPAN("constraint")) && json_peek(j) == JSON_OBJECT)
        return import_each_member(o->arena, j, take_part_leaf, o->part);
    return take_part_leaf(o->part, j, key);
}

static enum err read_parts(struct reading *r, struct json *j)
{
    enum err e;
    if (json_peek(j) != JSON_ARRAY) {
        r->parts_n = 1;
        return json_skip(j, &r->parts[0].prices);
    }
    e = json_enter_array(j);
    while (!e && json_next_item(j)) {
        struct part_owner o = {&r->import->arena, &r->parts[r->parts_n]};
        if (r->parts_n == PARTS_MAX) {
            import_note(r->import, r->model, "prices", "more than %u conditional prices", PARTS_MAX);
            return ERR_TOO_LARGE;
        }
        e = import_each_member(o.arena, j, take_part_member, &o);
        r->parts_n++;
    }
    return e ? e : j->error;
}

static int order_text(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* A dated part ends where the next date begins. */
static struct span end_of(const struct reading *r, struct span from)
{
    struct span end = SPAN_NONE;
    for (unsigned i = 0; i < r->parts_n; i++) {
        struct span next = r->parts[i].from;
        if (next.n && order_text(next, from) > 0 && (!end.n || order_text(next, end) < 0))
            end = next;
    }
    return end;
}

/* "16:30:00Z" to "16:30"; empty when it is not in UTC or has seconds. */
static struct span minute_of(struct span time)
{
    return time.n == sizeof "16:30:00Z" - 1 && span_ends(time, SPAN(":00Z")) ? span_to(time, 5) : SPAN_NONE;
}

/* What of a part's price is past before the book begins, or superseded, is nowhere. */
static bool set_condition(struct reading *r, const struct part *p)
{
    struct span start = minute_of(p->start_time), end = minute_of(p->end_time);
    r->when = (struct import_condition){.from = p->from, .until = end_of(r, p->from)};
    if ((p->from.n && !import_is_date(p->from)) || (r->when.until.n && !import_is_date(r->when.until))) {
        import_note(r->import, r->model, "constraint", "its dates are none: not imported");
        return false;
    }
    if (p->start_time.n && (!start.n || !end.n)) {
        import_note(r->import, r->model, "constraint", "%.*s to %.*s: is no window in whole minutes of UTC", SPAN_ARG(p->start_time), SPAN_ARG(p->end_time));
        return false;
    }
    if (start.n)
        r->when.clock = arena_printf(&r->import->arena, "%.*s-%.*s", SPAN_ARG(start), SPAN_ARG(end));
    return true;
}

static enum err take_parts(struct reading *r)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; i < r->parts_n && !e; i++) {
        struct json j;
        if (!r->parts[i].prices.n || !set_condition(r, &r->parts[i]))
            continue;
        json_init(&j, r->parts[i].prices);
        e = import_each_member(&r->import->arena, &j, take_class, r);
    }
    return e;
}

/* ---- models and providers ---- */

struct outer {
    struct import *import;
    struct span id, match, prices, models;
};

static enum err take_outer_member(void *owner, struct json *j, struct span key)
{
    struct outer *o = owner;
    struct json_string id;
    if (span_eq(key, SPAN("id")) && json_peek(j) == JSON_STRING) {
        enum err e = json_read_string(j, &id);
        o->id = e ? SPAN_NONE : json_unescape(&o->import->arena, id);
        return e;
    }
    return json_skip(j, span_eq(key, SPAN("match")) ? &o->match : span_eq(key, SPAN("prices")) ? &o->prices : span_eq(key, SPAN("models")) ? &o->models : NULL);
}

static enum err take_model(struct reading *r, struct json *j)
{
    struct outer o = {.import = r->import};
    struct import_model m;
    struct json part;
    enum err e = import_each_member(&r->import->arena, j, take_outer_member, &o);
    if (e || !o.id.n || !o.prices.n)
        return e ? e : ERR_JSON;
    import_begin(r->import, &m, r->provider, o.id);
    r->model = &m;
    r->parts_n = 0;
    memset(r->parts, 0, sizeof r->parts);
    if (o.match.n) {
        json_init(&part, o.match);
        e = take_rules(r, &part);
    }
    json_init(&part, o.prices);
    e = e ? e : read_parts(r, &part);
    e = e ? e : take_parts(r);
    import_end(r->import, &m);
    return e;
}

static enum err take_provider(struct import *i, struct json *j)
{
    struct outer o = {.import = i};
    struct json models;
    enum err e = import_each_member(&i->arena, j, take_outer_member, &o);
    if (e || !o.id.n || !o.models.n)
        return e ? e : ERR_JSON;
    struct reading r = {.import = i, .provider = o.id};
    json_init(&models, o.models);
    e = json_enter_array(&models);
    while (!e && json_next_item(&models)) {
        if (import_wants(i, o.id))
            e = take_model(&r, &models);
        else
            e = json_skip(&models, NULL);
        i->others += !import_wants(i, o.id);
    }
    return e ? e : models.error;
}

enum err import_genai(struct import *i, struct json *j)
{
    enum err e = json_enter_array(j);
    while (!e && json_next_item(j))
        e = take_provider(i, j);
    return e ? e : j->error;
}
