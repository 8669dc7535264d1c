/* SPDX-License-Identifier: Apache-2.0
 *
 * An export in memory, and which format it is in. A format is said, or found by the shape of the text: JSON whose objects call themselves "page" or
 * "bucket" is OpenAI's, other JSON is rows of names and values, anything else is comma-separated values.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "report/reconcile.h"

const char *const reconcile_formats[] = {"openai-usage", "openai-costs", "azure", "aws", "focus", "gcp", "plain", NULL};

enum err reconcile_fail(struct reconcile_source *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->why, RECONCILE_WHY_BYTES, format, args);
    va_end(args);
    return ERR_SYNTAX;
}

void reconcile_export_fini(struct reconcile_export *x)
{
    free(x->rows);
    free(x->buckets);
    free(x->others);
    arena_fini(&x->arena);
    memset(x, 0, sizeof *x);
}

static void *grown(void *items, unsigned n, unsigned *room, size_t bytes_each)
{
    if (n < *room)
        return items;
    *room = *room ? 2 * *room : 64;
    CHECK((items = reallocarray(items, *room, bytes_each)));
    return items;
}

void reconcile_add_bucket(struct reconcile_export *x, int64_t from_us, int64_t until_us)
{
    const struct reconcile_span *last = x->buckets_n ? &x->buckets[x->buckets_n - 1] : NULL;
    if (last && last->from_us == from_us && last->until_us == until_us)
        return;
    x->buckets = grown(x->buckets, x->buckets_n, &x->buckets_room, sizeof *x->buckets);
    x->buckets[x->buckets_n++] = (struct reconcile_span){from_us, until_us};
}

void reconcile_add_row(struct reconcile_export *x, const struct reconcile_row *row)
{
    reconcile_add_bucket(x, row->from_us, row->until_us);
    x->rows = grown(x->rows, x->rows_n, &x->rows_room, sizeof *x->rows);
    x->rows[x->rows_n] = *row;
    bool is_same = x->rows_n && span_eq(x->rows[x->rows_n - 1].model, row->model);
    x->rows[x->rows_n].model = is_same ? x->rows[x->rows_n - 1].model : arena_dup(&x->arena, row->model);
    x->rows_n++;
}

#define OTHERS_MAX 100u

static unsigned find_other(const struct reconcile_export *x, struct span text, const char *currency)
{
    unsigned i = 0;
    while (i < x->others_n && (!span_eq(x->others[i].text, text) || strcmp(x->others[i].currency, currency) != 0))
        i++;
    return i;
}

/* Currencies are never added up, so that a text may stand there once for each. When there are very many, what is new goes without its text. */
void reconcile_add_other(struct reconcile_export *x, struct span text, const struct reconcile_row *row)
{
    const char *currency = row->has_cost ? row->currency : "";
    text = text.n ? text : SPAN("(no text)");
    unsigned i = find_other(x, text, currency);
    if (i >= OTHERS_MAX) {
        text = SPAN("(everything else)");
        i = find_other(x, text, currency);
    }
    if (i == x->others_n) {
        x->others = grown(x->others, x->others_n, &x->others_room, sizeof *x->others);
        x->others[x->others_n++] = (struct reconcile_other){.text = arena_dup(&x->arena, text)};
        memcpy(x->others[i].currency, currency, strlen(currency) + 1);
    }
    x->others[i].rows++;
    x->others[i].cost += row->has_cost ? row->cost : 0; /* bounded, as every row's is */
}

/* ---- decimals ---- */

static money power_of_ten(int n) { return n > 0 ? 10 * power_of_ten(n - 1) : 1; }

/* How many decimals are written: those behind the point, less the exponent. */
static int decimals_of(struct span text)
{
    ptrdiff_t point = span_find(text, '.'), small = span_find(text, 'e'), e = small >= 0 ? small : span_find(text, 'E');
    size_t end = e >= 0 ? (size_t)e : text.n;
    int decimals = point >= 0 && (size_t)point < end ? (int)(end - (size_t)point) - 1 : 0;
    bool is_negative = e >= 0 && end + 1 < text.n && text.p[end + 1] == '-';
    int exponent = 0;
    for (size_t i = end + 1; i < text.n; i++)
        if (text.p[i] >= '0' && text.p[i] <= '9' && exponent < 100)
            exponent = 10 * exponent + text.p[i] - '0';
    return decimals + (is_negative ? exponent : -exponent);
}

/* Programs that compute in binary write more decimals than 15; these are rounded away. */
static bool parse_rounded(struct span text, money *ret)
{
    enum err e = money_parse(text, ret);
    for (int scale = MONEY_DECIMALS + 3; e == ERR_RANGE && scale <= 36; scale += 3) {
        money fine, unit = power_of_ten(scale - MONEY_DECIMALS);
        e = money_parse_scaled(text, scale, &fine);
        if (!e)
            *ret = fine / unit + (fine % unit >= unit / 2) - (fine % unit <= -unit / 2);
    }
    return e == ERR_OK;
}

/* So that sums over all rows of a file fit. */
static bool is_of_this_world(money m) { return m <= MONEY_ONE * MONEY_ONE && m >= -MONEY_ONE * MONEY_ONE; }

bool reconcile_decimal(struct span text, int64_t scale, money *ret, money *step)
{
    money value;
    int decimals = decimals_of(text);
    if (text.n && text.p[0] == '+')
        text = span_from(text, 1);
    if (!parse_rounded(text, &value) || __builtin_mul_overflow(value, (money)scale, &value) || !is_of_this_world(value))
        return false;
    *ret = value;
    money digit = power_of_ten(MONEY_DECIMALS - (decimals < 0 ? 0 : decimals > MONEY_DECIMALS ? MONEY_DECIMALS : decimals)) * scale;
    *step = *step && *step < digit ? *step : digit;
    return true;
}

/* ---- which format ---- */

static bool is_of_openai(struct span text)
{
    struct span head = span_to(text, 4096);
    return span_find_span(head, SPAN("organization.")) >= 0 || span_find_span(head, SPAN("\"bucket\"")) >= 0 || span_find_span(head, SPAN("\"page\"")) >= 0;
}

static bool is_json(struct span text)
{
    size_t at = 0;
    while (at < text.n && (text.p[at] == ' ' || text.p[at] == '\n' || text.p[at] == '\r' || text.p[at] == '\t'))
        at++;
    return at < text.n && (text.p[at] == '{' || text.p[at] == '[');
}

static enum err read_as(struct reconcile_source *s, struct span text)
{
    const char *format = s->options->format;
    bool json = is_json(text), openai = format ? strncmp(format, "openai", 6) == 0 : json && is_of_openai(text);
    if (openai && !json)
        return reconcile_fail(s, "this is no JSON, and %s is: give the answer of the API as it came", format);
    return openai ? reconcile_read_openai(s, format) : json ? reconcile_read_json_rows(s) : reconcile_read_csv(s);
}

enum err reconcile_read(const struct reconcile_read_options *o, struct reconcile_export *ret, char why[RECONCILE_WHY_BYTES])
{
    struct reconcile_source s = {.options = o, .export = ret, .why = why};
    memset(ret, 0, sizeof *ret);
    arena_init(&ret->arena, 4096);
    why[0] = 0;
    struct span text = o->text;
    if (span_starts(text, SPAN("\x1f\x8b")) || span_starts(text, SPAN("PK\x03\x04")) || span_starts(text, SPAN("PAR1")))
        return reconcile_fail(&s, "this is compressed or binary: unpack it, or convert it to CSV or JSON first");
    if (text.n && memchr(text.p, 0, text.n))
        return reconcile_fail(&s, "there are zero bytes in it: this is no text in UTF-8; convert it first");
    enum err e = read_as(&s, text);
    if (!e && !ret->buckets_n)
        return reconcile_fail(&s, "it has no rows of usage or cost: was it exported for another time, or another provider?");
    return e;
}
