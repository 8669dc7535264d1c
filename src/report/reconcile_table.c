/* SPDX-License-Identifier: Apache-2.0
 *
 * Formats that are tables: which column says what, by name. A row of JSON is a row, too: its names are the paths of its values. Adding a format is adding
 * a line to `formats`, and what its meters say to reconcile_meter.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/calendar.h"
#include "base/csv.h"
#include "base/json.h"
#include "report/reconcile.h"

#define NAMES_MAX 5
#define DEPTH_MAX 8u

enum role { FROM, UNTIL, DAY, METER, MODEL, CLASS, QUANTITY, UNIT, COST, CURRENCY, REQUESTS, HOST, KIND, UNPRICED, SERVICE, ROLES };
static const char *const role_names[ROLES] = {"from", "until", "date", "meter", "model", "class", "quantity", "unit", "cost", "currency", "requests", "host",
                                              "kind", "unpriced", "service"};
#define BIT(role) (1u << (role))

struct table_format {
    const char *name;
    const char *columns[ROLES][NAMES_MAX]; /* the first that is there is taken */
    unsigned needs;                        /* bit per role */
    bool has_region;                       /* in front of meters */
    const char *kinds;                     /* values of KIND that are usage, between '|'; NULL: all */
    const char *needs_said;                /* for people */
};

static const struct table_format formats[] = {
    {"focus", {[FROM] = {"ChargePeriodStart"}, [UNTIL] = {"ChargePeriodEnd"}, [MODEL] = {"ResourceName"}, [CLASS] = {"x_TokenClass"}, [QUANTITY] = {"ConsumedQuantity"},
               [COST] = {"BilledCost"}, [CURRENCY] = {"BillingCurrency"}, [HOST] = {"HostProviderName"}, [KIND] = {"ChargeCategory"}, [UNPRICED] = {"x_Unpriced"},
               [METER] = {"ChargeDescription"}},
     BIT(FROM) | BIT(UNTIL) | BIT(CLASS) | BIT(MODEL) | BIT(QUANTITY) | BIT(COST), false, "|Usage|", ""},
    {"focus", {[FROM] = {"ChargePeriodStart"}, [UNTIL] = {"ChargePeriodEnd"}, [METER] = {"SkuMeter", "x_SkuMeterName", "ChargeDescription"}, [SERVICE] = {"ChargeDescription"},
               [QUANTITY] = {"ConsumedQuantity"}, [UNIT] = {"ConsumedUnit"}, [COST] = {"BilledCost"}, [CURRENCY] = {"BillingCurrency"}, [KIND] = {"ChargeCategory"}},
     BIT(FROM) | BIT(UNTIL) | BIT(METER) | BIT(COST), false, "|Usage|", "ChargePeriodStart, ChargePeriodEnd, SkuMeter or ChargeDescription, BilledCost"},
    {"aws", {[FROM] = {"line_item_usage_start_date", "lineItem/UsageStartDate"}, [UNTIL] = {"line_item_usage_end_date", "lineItem/UsageEndDate"},
             [METER] = {"line_item_usage_type", "lineItem/UsageType"}, [SERVICE] = {"line_item_line_item_description", "lineItem/LineItemDescription"},
             [QUANTITY] = {"line_item_usage_amount", "lineItem/UsageAmount"}, [UNIT] = {"pricing_unit", "pricing/unit"},
             [COST] = {"line_item_unblended_cost", "lineItem/UnblendedCost"}, [CURRENCY] = {"line_item_currency_code", "lineItem/CurrencyCode"},
             [KIND] = {"line_item_line_item_type", "lineItem/LineItemType"}},
     BIT(FROM) | BIT(UNTIL) | BIT(METER) | BIT(QUANTITY), true, "|Usage|DiscountedUsage|", "line_item_usage_start_date, _end_date, _type, _amount"},
    {"gcp", {[FROM] = {"usage_start_time", "usageStartTime"}, [UNTIL] = {"usage_end_time", "usageEndTime"}, [METER] = {"sku.description", "sku_description", "SKU description"},
             [SERVICE] = {"service.description", "service_description"}, [QUANTITY] = {"usage.amount", "usage_amount"}, [UNIT] = {"usage.unit", "usage_unit"},
             [COST] = {"cost"}, [CURRENCY] = {"currency"}, [KIND] = {"cost_type"}},
     BIT(FROM) | BIT(UNTIL) | BIT(METER) | BIT(COST), false, "|regular|", "usage_start_time, usage_end_time, sku.description, cost"},
    {"azure", {[DAY] = {"Date", "UsageDate", "UsageDateTime"}, [METER] = {"MeterName"}, [SERVICE] = {"MeterSubCategory", "MeterSubcategory"},
               [QUANTITY] = {"Quantity", "UsageQuantity"}, [UNIT] = {"UnitOfMeasure"}, [COST] = {"CostInBillingCurrency", "PreTaxCost", "Cost"},
               [CURRENCY] = {"BillingCurrency", "BillingCurrencyCode", "Currency"}, [KIND] = {"ChargeType"}},
     BIT(DAY) | BIT(METER) | BIT(QUANTITY) | BIT(UNIT), false, "|Usage|", "Date, MeterName, Quantity, UnitOfMeasure"},
    {"plain", {[FROM] = {"from"}, [UNTIL] = {"until"}, [MODEL] = {"model"}, [CLASS] = {"class"}, [QUANTITY] = {"quantity"}, [COST] = {"cost"}, [CURRENCY] = {"currency"},
               [REQUESTS] = {"requests"}},
     BIT(FROM), false, NULL, "from, and until, model, class, quantity, cost, currency, requests as there are"},
};

struct table {
    struct reconcile_source *source;
    const struct table_format *format;
    const struct span *names, *cells;
    unsigned n, line;
    int at[ROLES];          /* the column, or -1 */
    bool has_host;          /* some row names our provider as its host */
};

/* ---- columns ---- */

static int find_column(const struct table *t, const char *const names[NAMES_MAX])
{
    for (unsigned k = 0; k < NAMES_MAX && names[k]; k++)
        for (unsigned i = 0; i < t->n; i++)
            if (span_eq_nocase(span_trim(t->names[i]), span_str(names[k])))
                return (int)i;
    return -1;
}

static bool find_columns(struct table *t, const struct table_format *f)
{
    unsigned found = 0;
    for (unsigned r = 0; r < ROLES; r++) {
        t->at[r] = find_column(t, f->columns[r]);
        found |= t->at[r] >= 0 ? BIT(r) : 0;
    }
    t->format = f;
    return (found & f->needs) == f->needs && (found & (BIT(QUANTITY) | BIT(COST)));
}

static enum err choose_format(struct table *t)
{
    const char *wanted = t->source->options->format, *said = "";
    for (size_t i = 0; i < COUNT_OF(formats); i++) {
        if (wanted && strcmp(wanted, formats[i].name) != 0)
            continue;
        said = formats[i].needs_said;
        if (find_columns(t, &formats[i])) {
            t->source->export->format = formats[i].name;
            return ERR_OK;
        }
    }
    if (wanted)
        return reconcile_fail(t->source, "line %u: for --format %s there must be columns %s", t->line, wanted, said);
    return reconcile_fail(t->source, "line %u: these columns are of no format that is known (%.*s…): say --format, or make a table with the columns "
                                     "from,until,model,class,quantity,cost,currency", t->line, t->n ? (int)(t->names[0].n < 60 ? t->names[0].n : 60) : 0,
                          t->n ? t->names[0].p : "");
}

static struct span cell(const struct table *t, enum role r)
{
    return t->at[r] >= 0 && (unsigned)t->at[r] < t->n ? span_trim(t->cells[t->at[r]]) : SPAN_NONE;
}

static enum err bad_cell(const struct table *t, enum role r, const char *what)
{
    struct span text = cell(t, r), name = t->at[r] >= 0 ? t->names[t->at[r]] : span_str(role_names[r]);
    return reconcile_fail(t->source, "line %u: %.*s: \"%.*s\" %s", t->line, (int)(name.n < 60 ? name.n : 60), name.p, (int)(text.n < 80 ? text.n : 80),
                          text.n ? text.p : "", what);
}

/* ---- cells ---- */

/* "2026-11-01 10:00:00 UTC", "11/01/2026", "2026-11-01T10:00Z", "1793491200" as well as what zone_parse_time reads. */
static bool parse_time(const struct zone *zone, struct span text, int64_t *ret_us)
{
    char iso[48];
    uint64_t seconds;
    if (text.n >= 9 && text.n <= 11 && span_to_u64(text, &seconds)) {
        *ret_us = (int64_t)seconds * US_PER_S;
        return true;
    }
    if (text.n < 10 || text.n > 40)
        return false;
    if (text.p[2] == '/' && text.p[5] == '/')
        snprintf(iso, sizeof iso, "%.4s-%.2s-%.2s%.*s", text.p + 6, text.p, text.p + 3, (int)(text.n - 10), text.p + 10);
    else
        snprintf(iso, sizeof iso, "%.*s", SPAN_ARG(text));
    size_t n = strlen(iso);
    if (n > 14 && strcmp(iso + n - 4, " UTC") == 0)
        memcpy(iso + n - 4, "Z", 2);
    if (n > 10 && iso[10] == ' ')
        iso[10] = 'T';
    if (strlen(iso) == 17 && iso[16] == 'Z')
        memcpy(iso + 16, ":00Z", 5);
    return zone_parse_time(zone, span_str(iso), ret_us) == ERR_OK;
}

static enum err read_times(const struct table *t, struct reconcile_row *row)
{
    const struct zone *zone = t->source->options->zone;
    enum role from = t->at[DAY] >= 0 ? DAY : FROM;
    struct period day;
    if (!parse_time(zone, cell(t, from), &row->from_us))
        return bad_cell(t, from, "is no time: 2026-11-01 or 2026-11-01T10:00:00Z is meant");
    if (cell(t, UNTIL).n) {
        if (!parse_time(zone, cell(t, UNTIL), &row->until_us))
            return bad_cell(t, UNTIL, "is no time: 2026-11-01 or 2026-11-01T10:00:00Z is meant");
    } else {
        period_at(zone, PERIOD_DAY, row->from_us, &day);
        row->from_us = day.from_us;
        row->until_us = day.until_us;
    }
    if (row->until_us <= row->from_us)
        return bad_cell(t, UNTIL, "is not after the time from which the row is");
    return ERR_OK;
}

static enum err read_cost(const struct table *t, struct reconcile_row *row)
{
    struct span currency = cell(t, CURRENCY);
    if (!cell(t, COST).n || span_eq(cell(t, UNPRICED), SPAN("true")))
        return ERR_OK;
    if (!reconcile_decimal(cell(t, COST), 1, &row->cost, &t->source->export->cost_step))
        return bad_cell(t, COST, "is no amount: a decimal number up to 10^15 is meant, without sign of currency or thousands");
    if (!currency.n && t->at[CURRENCY] >= 0 && row->cost == 0)
        return ERR_OK;
    if (!currency_parse(currency.n ? currency : SPAN("USD"), row->currency))
        return bad_cell(t, CURRENCY, "is no currency's code");
    row->has_cost = true;
    return ERR_OK;
}

static enum err read_quantity(const struct table *t, int64_t scale, struct reconcile_row *row)
{
    if (!cell(t, QUANTITY).n)
        return ERR_OK;
    if (!reconcile_decimal(cell(t, QUANTITY), scale, &row->quantity, &t->source->export->quantity_step))
        return bad_cell(t, QUANTITY, "is no quantity: a decimal number up to 10^15 is meant, without thousands");
    row->has_quantity = true;
    return ERR_OK;
}

static bool class_of_name(struct span name, unsigned *ret)
{
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        if (span_eq_nocase(name, span_str(usage_class_name((enum usage_class)c)))) {
            *ret = c;
            return true;
        }
    return false;
}

/* ---- rows ---- */

/* What the row is about, of the columns that say it outright. */
static enum err read_named(const struct table *t, struct reconcile_row *row, bool *ret_is_other)
{
    struct span name = cell(t, CLASS);
    row->model = cell(t, MODEL);
    row->usage = RECONCILE_ALL;
    *ret_is_other = t->at[METER] >= 0 && !name.n;
    if (name.n && !class_of_name(name, &row->usage))
        return bad_cell(t, CLASS, "is no class of usage: input, cache_read, cache_write, output, reasoning … (see `entente ledger export --format csv`)");
    if (!name.n && !*ret_is_other && cell(t, QUANTITY).n)
        return bad_cell(t, QUANTITY, "stands in a row without a class, so nobody knows of what");
    return *ret_is_other ? ERR_OK : read_quantity(t, 1, row);
}

/* And of a meter's text. */
static enum err read_metered(const struct table *t, struct arena *a, struct reconcile_row *row, bool *ret_is_other)
{
    struct meter m, more;
    int64_t scale = cell(t, UNIT).n ? meter_scale(cell(t, UNIT)) : 1;
    meter_read(a, cell(t, METER), t->format->has_region, &m);
    if (!m.model.n && cell(t, SERVICE).n) {
        meter_read(a, cell(t, SERVICE), false, &more);
        m.model = more.model;
    }
    row->model = m.model;
    row->usage = m.usage;
    *ret_is_other = m.usage == RECONCILE_ALL || !scale || !m.model.n;
    return *ret_is_other ? ERR_OK : read_quantity(t, scale, row);
}

static bool is_usage(const struct table *t)
{
    char word[64];
    struct span kind = cell(t, KIND);
    int n = snprintf(word, sizeof word, "|%.*s|", (int)(kind.n < 40 ? kind.n : 40), kind.n ? kind.p : "");
    return !t->format->kinds || !kind.n || span_find_span(span_str(t->format->kinds), span_of(word, (size_t)n)) >= 0;
}

static bool is_of_another_host(const struct table *t)
{
    struct span host = cell(t, HOST);
    if (span_starts(host, SPAN("'"))) /* our exports protect names that a spreadsheet would compute */
        host = span_from(host, 1);
    return host.n && t->source->options->provider.n && !span_eq(host, t->source->options->provider);
}

static void add_requests(const struct table *t, const struct reconcile_row *row)
{
    struct reconcile_row requests = {.from_us = row->from_us, .until_us = row->until_us, .model = row->model, .usage = USAGE_REQUEST, .has_quantity = true};
    money step = 0;
    if (cell(t, REQUESTS).n && reconcile_decimal(cell(t, REQUESTS), 1, &requests.quantity, &step)) {
        t->source->export->counts_requests = true;
        reconcile_add_row(t->source->export, &requests);
    }
}

static enum err take_row(const struct table *t)
{
    struct reconcile_export *x = t->source->export;
    struct reconcile_row row = {.usage = RECONCILE_ALL};
    struct arena a;
    bool is_other = false;
    if (is_of_another_host(t))
        return ERR_OK;
    arena_init(&a, 256);
    bool is_named = t->at[CLASS] >= 0 || t->at[METER] < 0;
    enum err e = read_times(t, &row);
    e = e ? e : read_cost(t, &row);
    e = e ? e : is_named ? read_named(t, &row, &is_other) : read_metered(t, &a, &row, &is_other);
    if (!e && (is_other || !is_usage(t)))
        reconcile_add_other(x, cell(t, METER), &row);
    else if (!e && (row.has_cost || (row.has_quantity && row.usage != USAGE_REQUEST))) /* requests that nobody charges for are no meter */
        reconcile_add_row(x, &row);
    if (!e)
        add_requests(t, &row);
    arena_fini(&a);
    return e;
}

/* ---- comma-separated values ---- */

static enum err read_csv_rows(struct table *t, struct csv_reader *r, struct span *names)
{
    enum err e = ERR_OK;
    while (!e && csv_reader_next(r)) {
        struct arena_mark mark = arena_mark(r->arena);
        t->line = r->line;
        if (r->n != t->n)
            return reconcile_fail(t->source, "line %u has %u cells, the head has %u: the file was cut off, or a cell with a comma lacks its quotes", r->line, r->n, t->n);
        t->names = names;
        t->cells = r->cells;
        e = take_row(t);
        arena_rewind(r->arena, mark);
    }
    return e ? e : r->error ? reconcile_fail(t->source, "line %u: %s", r->line, r->error) : ERR_OK;
}

enum err reconcile_read_csv(struct reconcile_source *s)
{
    struct csv_reader *r;
    struct arena scratch;
    arena_init(&scratch, 64u * KIB);
    r = ARENA_NEW(&scratch, struct csv_reader);
    csv_reader_init(r, s->options->text, &scratch);
    struct table t = {.source = s, .line = 1};
    enum err e;
    if (!csv_reader_next(r)) {
        e = reconcile_fail(s, r->error ? "line %u: %s" : "the file is empty", r->line, r->error ? r->error : "");
    } else {
        struct span *names = ARENA_ARRAY(&scratch, struct span, r->n);
        memcpy(names, r->cells, r->n * sizeof *names);
        t.names = names;
        t.n = r->n;
        t.line = r->line;
        e = choose_format(&t);
        e = e ? e : read_csv_rows(&t, r, names);
    }
    arena_fini(&scratch);
    return e;
}

/* ---- rows of JSON ---- */

struct leaves {
    struct span names[CSV_CELLS_MAX], values[CSV_CELLS_MAX];
    unsigned n;
    struct arena arena;
};

/* Of an object: its values with their paths. Arrays inside (labels, credits) are passed over. */
static enum err read_leaves(struct leaves *l, struct json *j, struct span path, unsigned depth)
{
    struct json_string key, text;
    enum err e = json_enter_object(j);
    while (!e && json_next_key(j, &key)) {
        struct span name = json_unescape(&l->arena, key), value = SPAN_NONE;
        name = path.n ? arena_printf(&l->arena, "%.*s.%.*s", SPAN_ARG(path), SPAN_ARG(name)) : name;
        enum json_type type = json_peek(j);
        if (type == JSON_OBJECT && depth < DEPTH_MAX) {
            e = read_leaves(l, j, name, depth + 1);
            continue;
        }
        if (type == JSON_STRING) {
            e = json_read_string(j, &text);
            value = e ? value : json_unescape(&l->arena, text);
        } else {
            e = json_skip(j, type == JSON_NUMBER ? &value : NULL);
        }
        if (!e && value.p && l->n < CSV_CELLS_MAX) {
            l->names[l->n] = name;
            l->values[l->n++] = value;
        }
    }
    return e ? e : j->error;
}

static unsigned line_of(const struct reconcile_source *s, const struct json *j)
{
    unsigned line = 1;
    for (const char *p = s->options->text.p; p < j->at; p++)
        line += *p == '\n';
    return line;
}

static bool is_blank(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != ' ' && text.p[i] != '\n' && text.p[i] != '\r' && text.p[i] != '\t')
            return false;
    return true;
}

static enum err take_object(struct table *t, struct leaves *l, struct json *j)
{
    const char *before = j->at;
    l->n = 0;
    enum err e = read_leaves(l, j, SPAN_NONE, 0);
    if (e)
        return e;
    for (const char *p = before; p < j->at; p++)
        t->line += *p == '\n';
    t->names = l->names;
    t->cells = l->values;
    t->n = l->n;
    if (!t->format)
        e = choose_format(t);
    else if (!find_columns(t, t->format))
        e = reconcile_fail(t->source, "line %u: this row lacks what the first one has: %s", t->line, t->format->needs_said);
    e = e ? e : take_row(t);
    arena_fini(&l->arena);
    arena_init(&l->arena, 4096);
    return e;
}

static enum err take_array(struct table *t, struct leaves *l, struct json *j)
{
    enum err e = json_enter_array(j);
    while (!e && json_next_item(j))
        e = take_object(t, l, j);
    return e ? e : j->error;
}

/* One array, or one object after the other, as `bq` and BigQuery write them. */
enum err reconcile_read_json_rows(struct reconcile_source *s)
{
    struct table t = {.source = s, .line = 1};
    struct span rest = s->options->text;
    struct leaves *l = calloc(1, sizeof *l);
    enum err e = ERR_OK;
    CHECK(l);
    arena_init(&l->arena, 4096);
    while (!e && !is_blank(rest)) {
        struct json j;
        json_init(&j, rest);
        e = json_peek(&j) == JSON_ARRAY ? take_array(&t, l, &j) : take_object(&t, l, &j);
        if (e && !s->why[0])
            e = reconcile_fail(s, "line %u: this is no JSON: %s", line_of(s, &j), j.error_what ? j.error_what : err_sentence(e));
        rest = span_from(rest, json_offset(&j));
    }
    arena_fini(&l->arena);
    free(l);
    return e;
}
