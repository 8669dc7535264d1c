/* SPDX-License-Identifier: Apache-2.0
 *
 * What all formats of price tables share: walking JSON, exact numbers, and rows that are completed so that each says the whole price.
 */
#include "cli/price_import.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/zone.h"
#include "policy/price_seal.h"

#define PATH_BYTES 512

/* ---- walking JSON ---- */

struct walk {
    struct arena *arena;
    struct json *json;
    import_leaf_fn *fn;
    void *owner;
    char path[PATH_BYTES];
};

static enum err walk_value(struct walk *w, size_t at);

static enum err walk_object(struct walk *w, size_t at)
{
    struct json_string key;
    enum err e = json_enter_object(w->json);
    while (!e && json_next_key(w->json, &key)) {
        struct span name = json_unescape(w->arena, key);
        int n = snprintf(w->path + at, PATH_BYTES - at, "%s%.*s", at ? "." : "", SPAN_ARG(name));
        e = n < 0 || (size_t)n >= PATH_BYTES - at ? ERR_TOO_LARGE : walk_value(w, at + (size_t)n);
    }
    return e ? e : w->json->error;
}

static enum err walk_array(struct walk *w, size_t at)
{
    enum err e = json_enter_array(w->json);
    for (unsigned i = 0; !e && json_next_item(w->json); i++) {
        int n = snprintf(w->path + at, PATH_BYTES - at, "[%u]", i);
        e = n < 0 || (size_t)n >= PATH_BYTES - at ? ERR_TOO_LARGE : walk_value(w, at + (size_t)n);
    }
    return e ? e : w->json->error;
}

static enum err walk_scalar(struct walk *w, enum json_type type)
{
    struct import_leaf leaf = {.path = w->path, .type = type};
    struct json_string string;
    enum err e;
    if (type == JSON_STRING) {
        e = json_read_string(w->json, &string);
        leaf.text = e ? SPAN_NONE : json_unescape(w->arena, string);
    } else if (type == JSON_NUMBER) {
        e = json_read_number(w->json, &leaf.text);
    } else {
        e = json_skip(w->json, &leaf.text);
    }
    if (!e)
        w->fn(w->owner, &leaf);
    return e;
}

static enum err walk_value(struct walk *w, size_t at)
{
    enum json_type type = json_peek(w->json);
    if (type == JSON_OBJECT)
        return walk_object(w, at);
    if (type == JSON_ARRAY)
        return walk_array(w, at);
    w->path[at] = '\0';
    return walk_scalar(w, type);
}

enum err import_walk(struct arena *a, struct json *j, import_leaf_fn *fn, void *owner)
{
    struct walk w = {.arena = a, .json = j, .fn = fn, .owner = owner};
    return walk_value(&w, 0);
}

enum err import_each_member(struct arena *a, struct json *j, import_member_fn *fn, void *owner)
{
    struct json_string key;
    enum err e = json_enter_object(j);
    while (!e && json_next_key(j, &key))
        e = fn(owner, j, json_unescape(a, key));
    return e ? e : j->error;
}

/* ---- providers ---- */

/* Is SOURCE of "SOURCE=OURS" this provider, or this provider in a region of it? */
static bool is_of(const char *mapping, struct span provider)
{
    struct span source = span_str(mapping), rest = source;
    source = span_cut(&rest, '=');
    return span_eq(source, provider) || (span_starts(source, provider) && source.n > provider.n && source.p[provider.n] == '/');
}

bool import_wants(const struct import *i, struct span provider)
{
    bool wanted = i->options->providers_n == 0;
    for (unsigned k = 0; k < i->options->providers_n; k++)
        wanted = wanted || is_of(i->options->providers[k], provider);
    return wanted;
}

/* ---- texts of the table, as far as a book may hold them ---- */

#define PARTY_BYTES_MAX 47u

/* Neither control characters of ASCII nor those that UTF-8 has above it, which YAML takes for line ends. */
static bool is_text(struct span text, size_t max)
{
    for (size_t k = 0; k < text.n; k++) {
        unsigned char c = (unsigned char)text.p[k], next = k + 1 < text.n ? (unsigned char)text.p[k + 1] : 0;
        struct span rest = span_from(text, k);
        if (c < ' ' || c == 0x7f || (c == 0xc2 && next < 0xa0) || span_starts(rest, SPAN("\xe2\x80\xa8")) || span_starts(rest, SPAN("\xe2\x80\xa9")) ||
            span_starts(rest, SPAN("\xef\xbb\xbf")) || span_starts(rest, SPAN("\xef\xbf\xbe")) || span_starts(rest, SPAN("\xef\xbf\xbf")))
            return false;
    }
    return text.n > 0 && text.n <= max;
}

static bool is_party(struct span text)
{
    return is_text(text, PARTY_BYTES_MAX) && !price_is_glob(text) && !span_eq(text, SPAN("self"));
}

bool import_is_date(struct span text)
{
    struct zone *utc;
    int64_t at;
    CHECK(zone_open("UTC", &utc) == ERR_OK);
    enum err e = text.n == sizeof "2026-08-01" - 1 ? zone_parse_time(utc, text, &at) : ERR_SYNTAX;
    zone_free(utc);
    return e == ERR_OK;
}

static bool parse_minute(struct span text, uint16_t *ret)
{
    uint64_t hours, minutes;
    if (text.n != 5 || text.p[2] != ':' || !span_to_u64(span_to(text, 2), &hours) || !span_to_u64(span_from(text, 3), &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret = (uint16_t)(hours * 60 + minutes);
    return true;
}

static bool parse_clock(struct span text, struct price_clock *ret)
{
    struct span from = span_cut(&text, '-');
    ret->days = 0x7f;
    return parse_minute(from, &ret->from_minute) && parse_minute(text, &ret->until_minute) && ret->from_minute != ret->until_minute;
}

/* ---- a model ---- */

void import_begin(struct import *i, struct import_model *m, struct span provider, struct span name)
{
    *m = (struct import_model){.provider = arena_dup(&i->arena, provider), .is_refused = !is_party(provider)};
    import_name(i, m, name);
    if (m->is_refused)
        import_note(i, m, "provider", "this name is none that a party can have: not imported");
}

void import_name(struct import *i, struct import_model *m, struct span name)
{
    for (unsigned k = 0; k < m->names_n; k++)
        if (span_eq(m->names[k], name))
            return;
    if (m->names_n == IMPORT_NAMES_MAX || !is_text(name, PRICE_NAME_BYTES_MAX))
        import_note(i, m, "name", "%.*s: more than %u names, or one that is empty, too long or has control characters", (int)(name.n < 60 ? name.n : 60), name.p,
                    IMPORT_NAMES_MAX);
    else
        m->names[m->names_n++] = arena_dup(&i->arena, name);
}

void import_note(struct import *i, struct import_model *m, const char *key, const char *format, ...)
{
    va_list args;
    char line[2048];
    struct span name = m->names_n ? m->names[0] : SPAN("?");
    int n = snprintf(line, sizeof line, "%s: %.*s at %.*s: %s: ", i->options->file, SPAN_ARG(name), SPAN_ARG(m->provider), key);
    va_start(args, format);
    if (n > 0 && (size_t)n < sizeof line)
        vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    for (char *c = line; *c; c++)
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c; /* a table's text cannot make lines of its own, nor speak to the terminal */
    fprintf(i->notes_to, "%s\n", line);
    i->notes++;
    m->notes++;
}

static bool same_condition(const struct import_condition *a, const struct import_condition *b)
{
    return span_eq(a->tier, b->tier) && a->above == b->above && span_eq(a->clock, b->clock) && span_eq(a->from, b->from) && span_eq(a->until, b->until) &&
           span_eq(a->region, b->region);
}

static struct import_row *find_row(const struct import_model *m, const struct import_condition *when)
{
    for (unsigned k = 0; k < m->rows_n; k++)
        if (same_condition(&m->rows[k].when, when))
            return &m->rows[k];
    return NULL;
}

static void grow(struct arena *a, void **array, unsigned n, unsigned *room, size_t bytes_each)
{
    if (n < *room)
        return;
    *room = *room ? 2 * *room : 8;
    void *larger = arena_zalloc_array(a, bytes_each, *room);
    if (n)
        memcpy(larger, *array, n * bytes_each);
    *array = larger;
}

static struct import_row *row_of(struct import *i, struct import_model *m, const struct import_condition *when)
{
    struct import_row *row = find_row(m, when);
    void *rows = m->rows;
    if (row)
        return row;
    grow(&i->arena, &rows, m->rows_n, &m->rows_room, sizeof *m->rows);
    m->rows = rows;
    row = &m->rows[m->rows_n++];
    row->when = (struct import_condition){arena_dup(&i->arena, when->tier),   when->above, arena_dup(&i->arena, when->clock), arena_dup(&i->arena, when->from),
                                          arena_dup(&i->arena, when->until), arena_dup(&i->arena, when->region)};
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        row->price[c] = PRICE_NONE;
    return row;
}

static void set_price(struct import *i, struct import_model *m, struct import_row *row, enum usage_class c, int64_t price, const char *key)
{
    if (row->price[c] != PRICE_NONE && row->price[c] != price)
        import_note(i, m, key, "another price of %s is said already; that one is kept", usage_class_name(c));
    else
        row->price[c] = price;
}

static bool check_condition(struct import *i, struct import_model *m, struct import_condition *when, const char *key)
{
    struct price_clock clock;
    if (span_eq(when->tier, SPAN("default")))
        when->tier = SPAN_NONE;
    bool fits = (!when->tier.n || is_text(when->tier, PARTY_BYTES_MAX)) && (!when->region.n || is_text(when->region, PARTY_BYTES_MAX)) &&
                (!when->clock.n || parse_clock(when->clock, &clock)) && (!when->from.n || import_is_date(when->from)) &&
                (!when->until.n || import_is_date(when->until));
    if (!fits)
        import_note(i, m, key, "its tier, region, hours or dates are none that a book can say");
    return fits;
}

void import_price(struct import *i, struct import_model *m, struct import_condition when, enum usage_class c, struct span number, int scale, const char *key)
{
    money price;
    enum err e = money_parse_scaled(number, scale, &price);
    int shown = (int)(number.n < 60 ? number.n : 60);
    if (e || price < 0 || price > INT64_MAX)
        import_note(i, m, key, "%.*s %s", shown, number.p, e == ERR_SYNTAX ? "is no number" : price < 0 && !e ? "is negative" : "has no exact value in 10^-15 of the unit: not imported");
    else if (price == 0 && !i->options->zero_is_free)
        m->zeros++;
    else if (check_condition(i, m, &when, key))
        set_price(i, m, row_of(i, m, &when), c, (int64_t)price, key);
}

/* ---- completing ---- */

/* A step costs what is below it where it says nothing else. Of another tier only what is no token is taken over: searches, requests, images. */
static void inherit(struct import_row *row, const struct import_row *base, bool tokens_too)
{
    for (unsigned c = 0; base && base != row && c < USAGE_CLASSES; c++)
        if (row->price[c] == PRICE_NONE && (tokens_too || usage_class_side((enum usage_class)c) == USAGE_SIDE_OTHER))
            row->price[c] = base->price[c];
}

/* The row of the same conditions with the next lower step. */
static struct import_row *step_below(const struct import_model *m, const struct import_row *row)
{
    struct import_row *best = NULL;
    for (unsigned k = 0; k < m->rows_n; k++) {
        struct import_condition when = row->when;
        when.above = m->rows[k].when.above;
        if (same_condition(&m->rows[k].when, &when) && when.above < row->when.above && (!best || when.above > best->when.above))
            best = &m->rows[k];
    }
    return best;
}

static int by_step(const void *left, const void *right)
{
    const struct import_row *a = left, *b = right;
    if (!a->when.tier.n != !b->when.tier.n)
        return a->when.tier.n ? 1 : -1;
    return (a->when.above > b->when.above) - (a->when.above < b->when.above);
}

static void complete_row(struct import *i, struct import_model *m, struct import_row *row)
{
    struct import_condition standard = row->when;
    standard.tier = SPAN_NONE;
    struct import_row *below = step_below(m, row);
    if (row->when.above && !below)
        import_note(i, m, "steps", "a price above %lld tokens%s%.*s without one below: not imported", (long long)row->when.above, row->when.tier.n ? " in tier " : "",
                    SPAN_ARG(row->when.tier));
    if (row->when.tier.n)
        inherit(row, find_row(m, &standard), false);
    inherit(row, below, true);
    if (row->price[USAGE_REASONING] == PRICE_NONE) /* where nothing else is said, reasoning is output */
        row->price[USAGE_REASONING] = row->price[USAGE_OUTPUT];
}

/* A step without a base has nothing to stand on in a book. */
static void drop_loose_steps(struct import_model *m)
{
    unsigned kept = 0;
    for (unsigned k = 0; k < m->rows_n; k++) {
        struct import_condition base = m->rows[k].when;
        base.above = 0;
        if (find_row(m, &base))
            m->rows[kept++] = m->rows[k];
    }
    m->rows_n = kept;
}

/* Is another row for the same, in hours that meet these, before it? The table lets the last count, which a book cannot say. */
static bool hours_are_taken(const struct import_model *m, unsigned row)
{
    struct price_clock own, other;
    for (unsigned k = 0; k < row; k++) {
        struct import_condition when = m->rows[k].when;
        when.clock = m->rows[row].when.clock;
        if (m->rows[k].when.clock.n && when.clock.n && same_condition(&when, &m->rows[row].when) && parse_clock(when.clock, &own) &&
            parse_clock(m->rows[k].when.clock, &other) && price_clocks_meet(&own, &other))
            return true;
    }
    return false;
}

/* Does this row end, and the next begin later? */
static bool leaves_gap(const struct import_model *m, unsigned row)
{
    struct span until = m->rows[row].when.until;
    bool is_last = true;
    for (unsigned k = 0; k < m->rows_n && until.n; k++) {
        struct span from = m->rows[k].when.from;
        if (span_eq(from, until))
            return false;
        is_last = is_last && (from.n != until.n || memcmp(from.p, until.p, until.n) < 0);
    }
    return until.n && !is_last;
}

static bool drop_rows(struct import *i, struct import_model *m, bool (*is_wrong)(const struct import_model *m, unsigned row), const char *key, const char *why)
{
    for (unsigned k = m->rows_n; k-- > 0;)
        if (is_wrong(m, k)) {
            import_note(i, m, key, "%s", why);
            memmove(&m->rows[k], &m->rows[k + 1], (m->rows_n - k - 1) * sizeof *m->rows);
            m->rows_n--;
            return true;
        }
    return false;
}

void import_end(struct import *i, struct import_model *m)
{
    void *models = i->models;
    if (m->zeros)
        import_note(i, m, "zero", "%u price%s of 0 left out, so unpriced; --zero-is-free takes them", m->zeros, m->zeros > 1 ? "s" : "");
    if (m->rows_n)
        qsort(m->rows, m->rows_n, sizeof *m->rows, by_step);
    for (unsigned k = 0; k < m->rows_n; k++)
        complete_row(i, m, &m->rows[k]);
    while (drop_rows(i, m, hours_are_taken, "hours", "they meet other hours with another price: not imported"))
        ;
    drop_loose_steps(m);
    while (drop_rows(i, m, leaves_gap, "dates", "nothing has a price after it ends, for a while: what is before that was not imported"))
        ;
    if (m->rows_n == 0 || m->names_n == 0 || m->is_refused) {
        i->empty++;
        if (!m->notes)
            import_note(i, m, "price", "none in the table");
        return;
    }
    grow(&i->arena, &models, i->models_n, &i->models_room, sizeof *i->models);
    i->models = models;
    i->models[i->models_n++] = *m;
}

/* ---- from a table to a book ---- */

static const struct {
    const char *name;
    import_read_fn *read;
} formats[] = {{"litellm", import_litellm}, {"genai-prices", import_genai}, {"models.dev", import_models_dev}, {"portkey", import_portkey}};

const char *price_import_formats(void)
{
    return "litellm, genai-prices, models.dev or portkey";
}

static bool read_table(struct import *i, import_read_fn *read, struct span text, char why[512])
{
    struct json j;
    json_init(&j, text);
    enum err e = read(i, &j);
    e = e ? e : json_finish(&j);
    if (e)
        snprintf(why, 512, "%s: not a table of this format: at byte %zu: %s", i->options->file, json_offset(&j),
                 j.error && j.error_what ? j.error_what : "what stands there has another shape in this format");
    else if (i->models_n == 0)
        snprintf(why, 512, "%s: no price in it was imported%s", i->options->file, i->options->providers_n ? ": does it know the providers that --provider names?" : "");
    return !e && i->models_n > 0;
}

static void print_summary(const struct import *i)
{
    fprintf(i->notes_to, "%s: %u model%s in %u line%s", i->options->file, i->models_n, i->models_n == 1 ? "" : "s", i->lines, i->lines == 1 ? "" : "s");
    fprintf(i->notes_to, "; %u without a price that could be taken, %u said twice, %u of other providers; %u note%s above\n", i->empty, i->twice, i->others, i->notes,
            i->notes == 1 ? "" : "s");
}

bool price_import(const char *format, struct span text, const struct import_options *o, FILE *out, FILE *notes, char why[512])
{
    struct import i = {.options = o, .notes_to = notes};
    import_read_fn *read = NULL;
    for (size_t k = 0; k < COUNT_OF(formats); k++)
        if (strcmp(formats[k].name, format) == 0)
            read = formats[k].read;
    if (!read) {
        snprintf(why, 512, "\"%.60s\" is no format: say %s", format, price_import_formats());
        return false;
    }
    arena_init(&i.arena, 64 * KIB);
    bool ok = read_table(&i, read, text, why);
    if (ok) {
        import_write(&i, out);
        print_summary(&i);
    }
    arena_fini(&i.arena);
    return ok;
}
