/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks a schema and writes as it goes. Recursion ends because below DEPTH_SPARE only what is required is written, and because any value
 * below DEPTH_MAX is an error: a schema that requires itself has no finite value.
 */
#include "sim/schema.h"

#include <stdlib.h>

#include "base/json.h"
#include "sim/random.h"
#include "sim/words.h"

#define DEPTH_SPARE 4u
#define DEPTH_MAX 40u
#define STEPS_MAX 20000u  /* values in all: a schema that branches is bounded, too */
#define MEMBERS_MAX 128u
#define STRING_MAX 4096

struct filling {
    struct span root;
    uint64_t *random;
    struct buf *out;
    unsigned steps;
};

static enum err fill(struct filling *f, struct span schema, unsigned depth);

/* ---- looking things up ---- */

static bool is_object(struct span json) { return json.n && json.p[0] == '{'; }

static struct span member(struct span object, struct span name)
{
    struct json j;
    struct json_string key;
    struct span value;
    json_init(&j, object);
    if (json_peek(&j) != JSON_OBJECT || json_enter_object(&j))
        return SPAN_NONE;
    while (json_next_key(&j, &key)) {
        if (json_skip(&j, &value))
            return SPAN_NONE;
        if (json_key_is(key, name))
            return value;
    }
    return SPAN_NONE;
}

/* The nth item of an array, or SPAN_NONE. */
static struct span item(struct span array, unsigned nth)
{
    struct json j;
    struct span value;
    json_init(&j, array);
    if (json_peek(&j) != JSON_ARRAY || json_enter_array(&j))
        return SPAN_NONE;
    for (unsigned i = 0; json_next_item(&j); i++) {
        if (json_skip(&j, &value))
            return SPAN_NONE;
        if (i == nth)
            return value;
    }
    return SPAN_NONE;
}

static unsigned items_of(struct span array)
{
    struct json j;
    unsigned n = 0;
    json_init(&j, array);
    if (json_peek(&j) != JSON_ARRAY || json_enter_array(&j))
        return 0;
    while (json_next_item(&j) && json_skip(&j, NULL) == ERR_OK)
        n++;
    return n;
}

static bool number(struct span schema, struct span name, double *ret)
{
    struct json j;
    struct span value = member(schema, name);
    json_init(&j, value);
    return value.p && json_peek(&j) == JSON_NUMBER && json_read_double(&j, ret) == ERR_OK;
}

static long count_of(struct span schema, struct span name, long unsaid)
{
    double value;
    return number(schema, name, &value) && value >= 0 && value < 1e6 ? (long)value : unsaid;
}

/* "#", "#/$defs/node", "#/definitions/a~1b" */
static struct span follow(struct span root, struct span reference)
{
    char name[128];
    if (reference.n < 3 || reference.p[0] != '"' || reference.p[1] != '#')
        return SPAN_NONE;
    struct span rest = span_of(reference.p + 2, reference.n - 3), at = root;
    (void)span_cut(&rest, '/');
    while (rest.p && at.p) {
        struct span step = span_cut(&rest, '/');
        size_t n = 0;
        for (size_t i = 0; i < step.n && n < sizeof name; i++) {
            bool tilde = step.p[i] == '~' && i + 1 < step.n;
            name[n++] = tilde ? (step.p[i + 1] == '1' ? '/' : '~') : step.p[i];
            i += tilde;
        }
        at = member(at, span_of(name, n));
    }
    return at;
}

/* ---- values ---- */

static enum err put(struct filling *f, struct span text) { return buf_append(f->out, text); }

static enum err fill_enum(struct filling *f, struct span list)
{
    unsigned n = items_of(list);
    return n ? put(f, item(list, (unsigned)sim_random_below(f->random, n))) : ERR_JSON;
}

static const struct {
    struct span format, value;
} formats[] = {
    {{"date-time", 9}, {"\"2026-11-23T01:47:00Z\"", 22}},
    {{"date", 4}, {"\"2026-11-23\"", 12}},
    {{"time", 4}, {"\"01:47:00Z\"", 11}},
    {{"duration", 8}, {"\"PT5M\"", 6}},
    {{"email", 5}, {"\"someone@example.com\"", 21}},
    {{"hostname", 8}, {"\"example.com\"", 13}},
    {{"ipv4", 4}, {"\"192.0.2.7\"", 11}},
    {{"ipv6", 4}, {"\"2001:db8::7\"", 13}},
    {{"uri", 3}, {"\"https://example.com/\"", 22}},
    {{"uuid", 4}, {"\"123e4567-e89b-42d3-a456-426614174000\"", 38}},
};

static struct span of_format(struct span schema)
{
    struct span format = member(schema, SPAN("format"));
    for (unsigned i = 0; i < COUNT_OF(formats) && format.n > 2; i++)
        if (span_eq(span_of(format.p + 1, format.n - 2), formats[i].format))
            return formats[i].value;
    return SPAN_NONE;
}

static enum err fill_string(struct filling *f, struct span schema)
{
    struct span ready = of_format(schema);
    if (ready.p)
        return put(f, ready);
    long least = count_of(schema, SPAN("minLength"), 0), most = count_of(schema, SPAN("maxLength"), STRING_MAX);
    char text[STRING_MAX];
    size_t n = 0;
    struct sim_words words;
    sim_words_init(&words, random_split(f->random));
    least = least < STRING_MAX ? least : STRING_MAX;
    most = most < STRING_MAX ? most : STRING_MAX;
    unsigned pieces = 1 + (unsigned)sim_random_below(f->random, 4);
    while (pieces || n < (size_t)least) {
        struct span word = sim_words_next(&words);
        if (n + word.n > sizeof text)
            break;
        memcpy(text + n, word.p, word.n);
        n += word.n;
        pieces -= pieces > 0;
    }
    while (n < (size_t)least) /* a last word did not fit any more */
        text[n++] = '.';
    n = n > (size_t)most ? (size_t)most : n;
    return json_write_string(f->out, span_of(text, n));
}

struct range {
    double least, most, step;
    bool has_least, has_most;
};

static struct range range_of(struct span schema, bool whole)
{
    struct range r = {.step = 1};
    double bound;
    r.has_least = number(schema, SPAN("minimum"), &r.least);
    r.has_most = number(schema, SPAN("maximum"), &r.most);
    double inside = whole ? 1 : 1e-3; /* how far inside an exclusive bound */
    if (number(schema, SPAN("exclusiveMinimum"), &bound) && (!r.has_least || bound >= r.least)) {
        r.least = whole ? floor(bound) + inside : bound + inside;
        r.has_least = true;
    }
    if (number(schema, SPAN("exclusiveMaximum"), &bound) && (!r.has_most || bound <= r.most)) {
        r.most = whole ? ceil(bound) - inside : bound - inside;
        r.has_most = true;
    }
    if (!r.has_least)
        r.least = r.has_most ? r.most - 100 : 0;
    if (!r.has_most)
        r.most = r.least + 100;
    return r;
}

static enum err fill_number(struct filling *f, struct span schema, bool whole)
{
    struct range r = range_of(schema, whole);
    double multiple, value = r.least + sim_random_unit(f->random) * (r.most - r.least);
    bool has_multiple = number(schema, SPAN("multipleOf"), &multiple) && multiple > 0;
    if (!has_multiple)
        multiple = whole ? 1 : 0.25;
    double rounded = ceil(r.least / multiple) * multiple, steps = floor((r.most - rounded) / multiple);
    if (steps > 0)
        rounded += floor(sim_random_unit(f->random) * (steps + 1)) * multiple;
    if (steps >= 0 || whole || has_multiple)
        value = rounded;
    return whole ? buf_printf(f->out, "%.0f", value) : buf_printf(f->out, "%.15g", value);
}

/* ---- arrays and objects ---- */

static enum err fill_array(struct filling *f, struct span schema, unsigned depth)
{
    struct span items = member(schema, SPAN("items")), prefix = member(schema, SPAN("prefixItems"));
    long first = (long)items_of(prefix), least = count_of(schema, SPAN("minItems"), depth > DEPTH_SPARE ? 0 : 1);
    long most = count_of(schema, SPAN("maxItems"), least > 3 ? least : 3);
    if (span_eq(items, SPAN("false")))
        most = first;
    long n = most > least ? least + (depth > DEPTH_SPARE ? 0 : (long)sim_random_below(f->random, (uint64_t)(most - least + 1))) : least;
    n = first > n ? first : n;
    n = n > most ? most : n;
    enum err e = put(f, SPAN("["));
    for (long i = 0; !e && i < n; i++) {
        e = i ? put(f, SPAN(",")) : ERR_OK;
        e = e ? e : fill(f, i < first ? item(prefix, (unsigned)i) : items, depth + 1);
    }
    return e ? e : put(f, SPAN("]"));
}

struct members {
    struct span key[MEMBERS_MAX]; /* with quotes, as written */
    struct span schema[MEMBERS_MAX];
    bool required[MEMBERS_MAX];
    unsigned n;
};

static bool lists(struct span array, struct span value)
{
    for (unsigned i = 0;; i++) {
        struct span one = item(array, i);
        if (!one.p)
            return false;
        if (span_eq(one, value))
            return true;
    }
}

static void add_members(struct filling *f, struct span schema, struct members *m, unsigned depth)
{
    struct json j;
    struct json_string key;
    struct span properties = member(schema, SPAN("properties")), required = member(schema, SPAN("required")), all = member(schema, SPAN("allOf")), value;
    struct span reference = member(schema, SPAN("$ref"));
    if (reference.p && depth < DEPTH_SPARE)
        add_members(f, follow(f->root, reference), m, depth + 1);
    for (unsigned i = 0; depth < DEPTH_SPARE && item(all, i).p; i++)
        add_members(f, item(all, i), m, depth + 1);
    json_init(&j, properties);
    if (!is_object(properties) || json_enter_object(&j))
        return;
    while (json_next_key(&j, &key) && m->n < MEMBERS_MAX) {
        struct span quoted = span_of(key.raw.p - 1, key.raw.n + 2);
        if (json_skip(&j, &value))
            return;
        m->key[m->n] = quoted;
        m->schema[m->n] = value;
        m->required[m->n++] = lists(required, quoted);
    }
}

static enum err fill_object(struct filling *f, struct span schema, unsigned depth)
{
    struct members *m = calloc(1, sizeof *m);
    bool first = true;
    CHECK(m != NULL);
    add_members(f, schema, m, 0);
    enum err e = put(f, SPAN("{"));
    for (unsigned i = 0; !e && i < m->n; i++) {
        if (!m->required[i] && depth >= DEPTH_SPARE)
            continue;
        e = first ? ERR_OK : put(f, SPAN(","));
        e = e ? e : put(f, m->key[i]);
        e = e ? e : put(f, SPAN(":"));
        e = e ? e : fill(f, m->schema[i], depth + 1);
        first = false;
    }
    free(m);
    return e ? e : put(f, SPAN("}"));
}

/* ---- which kind of value ---- */

/* Of several ways the simplest when deep down, so that recursion ends; else any. */
static struct span choose(struct filling *f, struct span list, unsigned depth)
{
    unsigned n = items_of(list);
    if (depth < DEPTH_SPARE)
        return item(list, (unsigned)sim_random_below(f->random, n));
    struct span best = SPAN_NONE;
    for (unsigned i = 0; i < n; i++) {
        struct span one = item(list, i);
        bool plain = span_find_span(one, SPAN("$ref")) < 0;
        if (!best.p || (plain && (one.n < best.n || span_find_span(best, SPAN("$ref")) >= 0)))
            best = one;
    }
    return best;
}

/* The type as a word without quotes; of a list the first that is not null. Guessed from other keys when unsaid. */
static struct span type_of(struct span schema)
{
    struct span type = member(schema, SPAN("type"));
    for (unsigned i = 0; type.n && type.p[0] == '['; i++) {
        struct span one = item(type, i);
        if (!one.p)
            return SPAN("null");
        if (!span_eq(one, SPAN("\"null\"")))
            type = one;
    }
    if (type.n > 2 && type.p[0] == '"')
        return span_of(type.p + 1, type.n - 2);
    if (member(schema, SPAN("properties")).p || member(schema, SPAN("allOf")).p)
        return SPAN("object");
    if (member(schema, SPAN("items")).p || member(schema, SPAN("prefixItems")).p)
        return SPAN("array");
    return member(schema, SPAN("minimum")).p || member(schema, SPAN("maximum")).p ? SPAN("number") : SPAN("string");
}

static enum err fill_typed(struct filling *f, struct span schema, unsigned depth)
{
    struct span type = type_of(schema);
    if (span_eq(type, SPAN("object")))
        return fill_object(f, schema, depth);
    if (span_eq(type, SPAN("array")))
        return fill_array(f, schema, depth);
    if (span_eq(type, SPAN("integer")) || span_eq(type, SPAN("number")))
        return fill_number(f, schema, span_eq(type, SPAN("integer")));
    if (span_eq(type, SPAN("boolean")))
        return put(f, random_split(f->random) & 1 ? SPAN("true") : SPAN("false"));
    if (span_eq(type, SPAN("null")))
        return put(f, SPAN("null"));
    return fill_string(f, schema);
}

static enum err fill(struct filling *f, struct span schema, unsigned depth)
{
    if (depth > DEPTH_MAX || ++f->steps > STEPS_MAX)
        return ERR_JSON;
    struct span reference = member(schema, SPAN("$ref")), constant = member(schema, SPAN("const")), list = member(schema, SPAN("enum"));
    if (reference.p && !member(schema, SPAN("properties")).p) {
        struct span target = follow(f->root, reference);
        return target.p ? fill(f, target, depth + 1) : ERR_JSON;
    }
    if (constant.p)
        return put(f, constant);
    if (list.p)
        return fill_enum(f, list);
    struct span all = member(schema, SPAN("allOf"));
    if (items_of(all) == 1 && !member(schema, SPAN("properties")).p)
        return fill(f, item(all, 0), depth + 1);
    struct span ways = member(schema, SPAN("anyOf"));
    ways = ways.p ? ways : member(schema, SPAN("oneOf"));
    struct span way = ways.p && !member(schema, SPAN("properties")).p ? choose(f, ways, depth) : SPAN_NONE;
    return way.p ? fill(f, way, depth + 1) : fill_typed(f, schema, depth);
}

enum err sim_schema_fill(struct span schema, uint64_t *random, struct buf *out)
{
    struct filling f = {.root = schema, .random = random, .out = out};
    if (schema.p && json_check(schema))
        return ERR_JSON;
    return fill(&f, schema, 0);
}
