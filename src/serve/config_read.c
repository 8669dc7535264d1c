/* SPDX-License-Identifier: Apache-2.0
 *
 * The walk over a section's table, and the readers of single values. Values of secrets never reach a message.
 */
#include "serve/config_read.h"

#include "base/clock.h"
#include "base/limits.h"

#define TEXT_BYTES_MAX 256u
#define SHOWN_BYTES 60 /* of a wrong value in a message */

/* ---- sections ---- */

static const struct field *find_field(const struct section *s, struct span name)
{
    for (unsigned i = 0; i < s->fields_n; i++)
        if (span_eq(span_str(s->fields[i].name), name))
            return &s->fields[i];
    return NULL;
}

/* Tells of an unknown key. Gives the field that was probably meant, so that its absence is not told as a second mistake. */
static const struct field *tell_unknown(struct reading *r, const struct section *s, const struct node *key)
{
    struct nearest near;
    nearest_init(&near, key->text);
    for (unsigned i = 0; i < s->fields_n; i++)
        nearest_offer(&near, s->fields[i].name);
    if (near.best) {
        config_error(r->errors, key, "unknown key \"%.*s\" in %s: did you mean \"%s\"?", SHOWN_BYTES, key->text.p, s->name, near.best);
        return find_field(s, span_str(near.best));
    }
    char known[512] = "";
    for (unsigned i = 0; i < s->fields_n; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", s->fields[i].name);
    config_error(r->errors, key, "unknown key \"%.*s\" in %s, which has: %s", SHOWN_BYTES, key->text.p, s->name, known);
    return NULL;
}

static void *value_of(const struct field *f, void *into)
{
    return (char *)into + f->offset;
}

static void read_default(struct reading *r, const struct field *f, void *into)
{
    struct node standard = {.kind = NODE_SCALAR, .text = span_str(f->standard), .plain = true};
    if (f->shape == SHAPE_SECTION && f->standard[0] != '(')
        read_section(r, f->section, NULL, value_of(f, into));
    else if (f->standard[0] && f->standard[0] != '(')
        f->read(r, f, &standard, into);
}

static void read_field(struct reading *r, const struct field *f, const struct node *map, const struct node *value, bool meant, void *into)
{
    if (value && !node_is_null(value))
        f->read(r, f, value, into);
    else if (strcmp(f->standard, REQUIRED) != 0)
        read_default(r, f, into);
    else if (!meant)
        config_error(r->errors, value ? value : map, "\"%s\" is missing: %s", f->name, f->doc);
}

bool read_section(struct reading *r, const struct section *s, const struct node *n, void *into)
{
    const struct node *values[SECTION_FIELDS_MAX] = {NULL};
    bool meant[SECTION_FIELDS_MAX] = {false};
    CHECK(s->fields_n <= SECTION_FIELDS_MAX);
    if (n && n->kind != NODE_MAP) {
        config_error(r->errors, n, "%s must be a map with such keys as \"%s: ...\"", s->name, s->fields[0].name);
        return false;
    }
    for (const struct node_item *item = n ? n->items : NULL; item; item = item->next) {
        const struct field *f = find_field(s, item->key->text), *near = f ? NULL : tell_unknown(r, s, item->key);
        if (f)
            values[f - s->fields] = item->value;
        else if (near)
            meant[near - s->fields] = true;
    }
    for (unsigned i = 0; i < s->fields_n; i++)
        read_field(r, &s->fields[i], n, values[i], meant[i], into);
    return true;
}

void read_inner(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    read_section(r, f->section, n, value_of(f, into));
}

/* ---- values ---- */

static void tell_wrong(struct reading *r, const struct field *f, const struct node *n)
{
    config_error(r->errors, n, "\"%s\" must be %s, not \"%.*s\"", f->name, f->type, SHOWN_BYTES, n->text.p);
}

bool check_scalar(struct reading *r, const struct field *f, const struct node *n)
{
    if (n->kind == NODE_SCALAR)
        return true;
    config_error(r->errors, n, "\"%s\" takes a single value (%s), not a %s", f->name, f->type, n->kind == NODE_MAP ? "map" : "list");
    return false;
}

void read_bool(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (!check_scalar(r, f, n))
        return;
    bool yes = span_eq(n->text, SPAN("true")), no = span_eq(n->text, SPAN("false"));
    if (!yes && !no)
        config_error(r->errors, n, "\"%s\" must be true or false, not \"%.*s\"", f->name, SHOWN_BYTES, n->text.p);
    else
        *(bool *)value_of(f, into) = yes;
}

struct unit {
    const char *name;
    uint64_t size;
};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit size_units[] = {{"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"B", 1}, {NULL, 0}};
static const struct unit duration_units[] = {{"d", 86400 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"m", 60 * NS_PER_S}, {"s", NS_PER_S}, {"ms", NS_PER_MS}, {"ns", 1}, {NULL, 0}};

/* In the largest unit that needs no fraction. */
static const char *in_units(uint64_t value, const struct unit *units, char out[32])
{
    while (units[1].name && (value == 0 || value % units->size))
        units++;
    snprintf(out, 32, "%llu%s", (unsigned long long)(value / units->size), units->name);
    return out;
}

static bool check_range(struct reading *r, const struct field *f, const struct node *n, uint64_t value, const struct unit *units)
{
    char min[32], max[32];
    bool fits = value >= f->min && value <= f->max;
    if (!fits)
        config_error(r->errors, n, "\"%s\" must lie between %s and %s, and is \"%.*s\"", f->name, in_units(f->min, units, min), in_units(f->max, units, max),
                     SHOWN_BYTES, n->text.p);
    return fits;
}

void read_count(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    uint64_t value;
    CHECK(f->max > 0 && f->max <= UINT32_MAX);
    if (!check_scalar(r, f, n))
        return;
    if (!span_to_u64(n->text, &value))
        config_error(r->errors, n, "\"%s\" must be a number from %llu to %llu, not \"%.*s\"", f->name, (unsigned long long)f->min,
                     (unsigned long long)f->max, SHOWN_BYTES, n->text.p);
    else if (check_range(r, f, n, value, no_units))
        *(unsigned *)value_of(f, into) = (unsigned)value;
}

static bool parse_size(struct span text, uint64_t *ret)
{
    uint64_t number;
    size_t digits = 0;
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
        digits++;
    struct span unit = digits < text.n ? span_trim(span_from(text, digits)) : SPAN("B");
    for (size_t i = 0; size_units[i].name; i++)
        if (span_eq(unit, span_str(size_units[i].name)))
            return span_to_u64(span_to(text, digits), &number) && !__builtin_mul_overflow(number, size_units[i].size, ret);
    return false;
}

void read_size(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    uint64_t bytes;
    if (!check_scalar(r, f, n))
        return;
    if (!parse_size(n->text, &bytes))
        config_error(r->errors, n, "\"%s\" must be a size such as %s (B, KiB, MiB, GiB), not \"%.*s\"", f->name, f->standard, SHOWN_BYTES, n->text.p);
    else if (check_range(r, f, n, bytes, size_units))
        *(uint64_t *)value_of(f, into) = bytes;
}

void read_duration(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    uint64_t ns;
    if (!check_scalar(r, f, n))
        return;
    if (clock_parse_duration(n->text, &ns) != ERR_OK)
        config_error(r->errors, n, "\"%s\" must be a duration such as 250ms, 30s, 5m or 1h, not \"%.*s\"", f->name, SHOWN_BYTES, n->text.p);
    else if (check_range(r, f, n, ns, duration_units))
        *(uint64_t *)value_of(f, into) = ns;
}

void read_word(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (!check_scalar(r, f, n))
        return;
    for (int i = 0; f->words[i]; i++)
        if (span_eq(span_str(f->words[i]), n->text)) {
            *(int *)value_of(f, into) = i;
            return;
        }
    tell_wrong(r, f, n);
}

bool check_text(struct reading *r, const struct node *n, const char *what, size_t max)
{
    if (n->kind != NODE_SCALAR)
        config_error(r->errors, n, "%s must be a text, not a %s", what, n->kind == NODE_MAP ? "map" : "list");
    else if (n->text.n == 0)
        config_error(r->errors, n, "%s must not be empty", what);
    else if (n->text.n > max)
        config_error(r->errors, n, "%s is longer than %zu bytes", what, max);
    else {
        for (size_t i = 0; i < n->text.n; i++)
            if ((unsigned char)n->text.p[i] < ' ' || n->text.p[i] == 0x7f) {
                config_error(r->errors, n, "%s must not hold control characters", what);
                return false;
            }
        return true;
    }
    return false;
}

static bool check_named_text(struct reading *r, const struct field *f, const struct node *n)
{
    char what[80];
    snprintf(what, sizeof what, "\"%s\"", f->name);
    return check_text(r, n, what, TEXT_BYTES_MAX);
}

void read_text(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (check_named_text(r, f, n))
        *(const char **)value_of(f, into) = arena_strdup(r->arena, n->text);
}

char *config_path(struct reading *r, struct span path)
{
    size_t dir = path.n && path.p[0] == '/' ? 0 : strlen(r->dir);
    char *joined = arena_alloc(r->arena, dir + path.n + 1);
    memcpy(joined, r->dir, dir);
    memcpy(joined + dir, path.p, path.n);
    joined[dir + path.n] = '\0';
    return joined;
}

void read_path(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    char what[80];
    snprintf(what, sizeof what, "\"%s\"", f->name);
    if (check_text(r, n, what, 4000))
        *(const char **)value_of(f, into) = config_path(r, n->text);
}

void read_not_yet(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    config_error(r->errors, n, "\"%s\" is not in this version yet: remove it; the gateway would not keep to it", f->name);
}
