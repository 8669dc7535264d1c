/* SPDX-License-Identifier: Apache-2.0
 *
 * A reconciliation for people and for programs: totals of both sides beside each other, then the differences with their causes. Nothing is rounded but
 * the prices that are implied.
 */
#include <stdio.h>

#include "base/clock.h"
#include "dialect/json_out.h"
#include "report/figure.h"
#include "report/json_member.h"
#include "report/reconcile.h"

#define TIME_BYTES 20

/* "2026-11-01 10:15", without the clock when that is midnight. */
static const char *time_text(char out[TIME_BYTES], int64_t at_us)
{
    char text[CLOCK_RFC3339_BYTES];
    clock_rfc3339_us(text, at_us);
    text[10] = ' ';
    snprintf(out, TIME_BYTES, "%.*s", strncmp(text + 11, "00:00:00", 8) == 0 ? 10 : 16, text);
    return out;
}

static const char *usage_name(unsigned usage) { return usage == RECONCILE_ALL ? "all classes" : usage_class_name((enum usage_class)usage); }

static struct span model_name(const struct reconcile_model *m) { return m->name.n ? m->name : SPAN("all models"); }

static const char *currency_of(const struct reconcile_side *s) { return s->mixed ? "several currencies" : s->has_cost ? s->currency : ""; }

/* The sums of the cells of one model and class. */
struct total {
    struct reconcile_side ours, theirs;
    bool compares_quantity, compares_cost;
    unsigned cells, unexplained;
};

static void add_side(struct reconcile_side *to, const struct reconcile_side *s)
{
    to->mixed = to->mixed || s->mixed || (to->has_cost && s->has_cost && strcmp(to->currency, s->currency) != 0);
    if (s->has_cost)
        memcpy(to->currency, s->currency, sizeof to->currency);
    to->has_cost = to->has_cost || s->has_cost;
    to->has_quantity = to->has_quantity || s->has_quantity;
    to->rows += s->rows;
    to->quantity += s->quantity; /* parts of sums that fitted */
    to->cost += s->cost;
}

/* From cell i on; gives the first cell of the next. */
static unsigned read_total(const struct reconciliation *r, unsigned i, struct total *ret)
{
    const struct reconcile_cell *first = &r->cells[i];
    memset(ret, 0, sizeof *ret);
    for (; i < r->cells_n && r->cells[i].model == first->model && r->cells[i].usage == first->usage; i++) {
        add_side(&ret->ours, &r->cells[i].ours);
        add_side(&ret->theirs, &r->cells[i].theirs);
        ret->compares_quantity = ret->compares_quantity || r->cells[i].compares_quantity;
        ret->compares_cost = ret->compares_cost || r->cells[i].compares_cost;
        ret->cells++;
        ret->unexplained += !reconcile_cause_is_explained(r->cells[i].cause);
    }
    return i;
}

/* ---- text ---- */

struct writer {
    struct buf *out;
    enum err error;
};
static void put(struct writer *w, const char *format, ...) PRINTF_LIKE(2, 3);
static void put(struct writer *w, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!w->error && n > 0)
        w->error = buf_append(w->out, span_of(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

/* Names of theirs are anybody's bytes: nothing of them moves the reader's cursor. */
static void put_name(struct writer *w, struct span name)
{
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (c < 0x20 || c == 0x7f || c == 0xc2)
            put(w, "%%%02X", c);
        else
            put(w, "%c", c);
    }
}

static void put_figures(struct writer *w, const char *label, money ours, money theirs)
{
    char a[FIGURE_BYTES], b[FIGURE_BYTES], c[FIGURE_BYTES];
    put(w, "  %-22s %24s %24s %20s\n", label, figure_money(a, ours, 0).p, figure_money(b, theirs, 0).p, figure_money(c, theirs - ours, 0).p);
}

static void put_cost_figures(struct writer *w, const char *label, const struct total *t)
{
    char name[64];
    bool both = !t->ours.mixed && !t->theirs.mixed;
    snprintf(name, sizeof name, "%s%s%s", label, label[0] ? ", " : "", currency_of(t->theirs.has_cost ? &t->theirs : &t->ours));
    if (both && t->ours.has_cost && t->theirs.has_cost && strcmp(t->ours.currency, t->theirs.currency) != 0)
        put(w, "  %-22s ours in %s, theirs in %s\n", label, t->ours.currency, t->theirs.currency);
    else if (both)
        put_figures(w, name, t->ours.cost, t->theirs.cost);
}

static void put_total(struct writer *w, const char *label, const struct total *t)
{
    if (t->compares_quantity)
        put_figures(w, label, t->ours.quantity, t->theirs.quantity);
    if (t->compares_cost || (t->theirs.has_cost && t->ours.has_cost))
        put_cost_figures(w, t->compares_quantity ? "" : label, t);
}

static void put_totals(struct writer *w, const struct reconciliation *r)
{
    struct total t;
    put(w, "\n  %-22s %24s %24s %20s\n", "", "ours", "theirs", "theirs less ours");
    for (unsigned i = 0; i < r->cells_n;) {
        const struct reconcile_cell *c = &r->cells[i];
        const struct reconcile_model *m = &r->models[c->model];
        if (i == 0 || c->model != r->cells[i - 1].model) {
            put_name(w, model_name(m));
            if (m->theirs.n && !span_eq(m->theirs, m->name)) {
                put(w, ", by them ");
                put_name(w, m->theirs);
            }
            put(w, "%s\n", !m->is_ours ? ", not in our books" : !m->is_theirs ? ", not in the export" : "");
        }
        i = read_total(r, i, &t);
        put_total(w, usage_name(c->usage), &t);
    }
}

static void put_difference(struct writer *w, const struct reconciliation *r, const struct reconcile_cell *c)
{
    char from[TIME_BYTES], until[TIME_BYTES], a[FIGURE_BYTES], b[FIGURE_BYTES], d[FIGURE_BYTES];
    put(w, "  %s to %s  ", time_text(from, c->from_us), time_text(until, c->until_us));
    put_name(w, model_name(&r->models[c->model]));
    put(w, " %s: %s\n", usage_name(c->usage), reconcile_cause_name(c->cause));
    if (c->compares_quantity && (c->quantity_off || c->cost_off == 0))
        put(w, "      ours %s, theirs %s: %s%s\n", figure_money(a, c->ours.quantity, 0).p, figure_money(b, c->theirs.quantity, 0).p, c->quantity_off > 0 ? "+" : "",
            figure_money(d, c->quantity_off, 0).p);
    if (c->compares_cost && c->cost_off)
        put(w, "      ours %s, theirs %s %s: %s%s\n", figure_money(a, c->ours.cost, 2).p, figure_money(b, c->theirs.cost, 2).p,
            currency_of(c->theirs.has_cost ? &c->theirs : &c->ours), c->cost_off > 0 ? "+" : "", figure_money(d, c->cost_off, 2).p);
    if (c->cause == RECONCILE_PRICE)
        put(w, "      a million costs %s by our price book, %s by the export\n", figure_price(a, reconcile_price(&c->ours)).p, figure_price(b, reconcile_price(&c->theirs)).p);
    if (c->cause == RECONCILE_ESTIMATED || c->cause == RECONCILE_RECOVERED)
        put(w, "      of this %s were estimated, and %s are of requests that nobody saw end\n", figure_money(a, c->estimated, 0).p, figure_money(b, c->recovered, 0).p);
}

static void put_differences(struct writer *w, const struct reconciliation *r)
{
    for (unsigned cause = RECONCILE_EQUAL + 1; cause < RECONCILE_CAUSES; cause++) {
        if (!r->found[cause])
            continue;
        put(w, "\n%s: %s\n", reconcile_cause_name((enum reconcile_cause)cause), reconcile_cause_sentence((enum reconcile_cause)cause));
        for (unsigned i = 0; i < r->cells_n; i++)
            if (r->cells[i].cause == cause)
                put_difference(w, r, &r->cells[i]);
    }
}

/* Sums of what is off, by cause; cost in the one currency that there is. */
struct cause_sum {
    money cost;
    const char *currency;
    bool mixed;
};

static struct cause_sum sum_of_cause(const struct reconciliation *r, enum reconcile_cause cause)
{
    struct cause_sum s = {.currency = ""};
    for (unsigned i = 0; i < r->cells_n; i++) {
        const struct reconcile_cell *c = &r->cells[i];
        const char *currency = currency_of(c->theirs.has_cost ? &c->theirs : &c->ours);
        if (c->cause != cause || !c->compares_cost || !currency[0])
            continue;
        s.mixed = s.mixed || (s.currency[0] && strcmp(s.currency, currency) != 0);
        s.currency = currency;
        s.cost += c->cost_off;
    }
    return s;
}

static void put_causes(struct writer *w, const struct reconciliation *r)
{
    char n[FIGURE_BYTES], sum[FIGURE_BYTES];
    put(w, "\n  %-14s %10s   %s\n", "cause", "places", r->compares_cost ? "theirs less ours" : "");
    for (unsigned c = 0; c < RECONCILE_CAUSES; c++) {
        struct cause_sum s = sum_of_cause(r, (enum reconcile_cause)c);
        if (!r->found[c])
            continue;
        put(w, "  %-14s %10s", reconcile_cause_name((enum reconcile_cause)c), figure_count(n, r->found[c]).p);
        if (s.currency[0] && !s.mixed)
            put(w, "   %s %s", figure_money(sum, s.cost, 2).p, s.currency);
        put(w, "\n");
    }
}

static void put_unmatched(struct writer *w, const struct reconciliation *r)
{
    bool begun = false;
    for (unsigned i = 0; i < r->models_n; i++) {
        const struct reconcile_model *m = &r->models[i];
        if (m->is_ours || !m->name.n)
            continue;
        put(w, "%s", begun ? "" : "\nModels of theirs that are none of ours; if one is, say --model THEIRS=OURS\n");
        begun = true;
        put(w, "  ");
        put_name(w, m->name);
        put(w, "%s", m->candidates.n ? ": perhaps " : "");
        put_name(w, m->candidates);
        put(w, "\n");
    }
}

static void put_others(struct writer *w, const struct reconcile_export *x)
{
    char n[FIGURE_BYTES], cost[FIGURE_BYTES];
    put(w, "%s", x->others_n ? "\nNot compared: rows that are no usage, or say no model or class of it\n" : "");
    for (unsigned i = 0; i < x->others_n; i++) {
        put(w, "  %6s rows", figure_count(n, x->others[i].rows).p);
        if (x->others[i].currency[0])
            put(w, ", %s %s", figure_money(cost, x->others[i].cost, 2).p, x->others[i].currency);
        put(w, ": ");
        put_name(w, x->others[i].text);
        put(w, "\n");
    }
}

enum err reconcile_write_text(const struct reconciliation *r, const struct reconcile_export *x, struct span provider, struct buf *out)
{
    struct writer w = {.out = out};
    char from[TIME_BYTES], until[TIME_BYTES];
    unsigned unexplained = reconcile_unexplained(r);
    put(&w, "%.*s beside its %s export, %s to %s UTC, %u bucket%s\n", SPAN_ARG(provider), x->format, time_text(from, r->from_us), time_text(until, r->until_us),
        r->buckets_n, r->buckets_n == 1 ? "" : "s");
    put_totals(&w, r);
    put_differences(&w, r);
    put_unmatched(&w, r);
    put_others(&w, x);
    put_causes(&w, r);
    if (unexplained)
        put(&w, "\n%u of %u places need a look.\n", unexplained, r->cells_n);
    else
        put(&w, "\nNothing needs a look.\n");
    return w.error;
}

/* ---- JSON ---- */

static void member_int(struct json_out *o, const char *key, int64_t n)
{
    json_out_key(o, key);
    json_out_int(o, n);
}

static void member_side(struct json_out *o, const char *key, const struct reconcile_side *s)
{
    json_out_key(o, key);
    json_out_open(o, '{');
    member_int(o, "rows", s->rows);
    if (s->has_quantity)
        json_member_decimal(o, "quantity", s->quantity);
    if (s->has_cost && !s->mixed) {
        json_member_decimal(o, "cost", s->cost);
        json_member_text(o, "currency", span_str(s->currency));
    }
    if (s->has_quantity && reconcile_price(s) != PRICE_NONE)
        json_member_decimal(o, "price_per_million", (money)reconcile_price(s) * 1000000);
    json_out_close(o, '}');
}

static void write_cell(struct json_out *o, const struct reconciliation *r, const struct reconcile_cell *c)
{
    json_out_open(o, '{');
    json_member_time(o, "from", c->from_us);
    json_member_time(o, "until", c->until_us);
    json_member_text(o, "model", r->models[c->model].name);
    json_member_text(o, "class", span_str(c->usage == RECONCILE_ALL ? "" : usage_name(c->usage)));
    json_member_text(o, "cause", span_str(reconcile_cause_name(c->cause)));
    member_side(o, "ours", &c->ours);
    member_side(o, "theirs", &c->theirs);
    if (c->compares_quantity)
        json_member_decimal(o, "quantity_off", c->quantity_off);
    if (c->compares_cost)
        json_member_decimal(o, "cost_off", c->cost_off);
    if (c->estimated || c->recovered) {
        json_member_decimal(o, "estimated", c->estimated);
        json_member_decimal(o, "recovered", c->recovered);
    }
    json_out_close(o, '}');
}

static void write_totals(struct json_out *o, const struct reconciliation *r)
{
    struct total t;
    json_out_key(o, "totals");
    json_out_open(o, '[');
    for (unsigned i = 0; i < r->cells_n;) {
        const struct reconcile_cell *c = &r->cells[i];
        i = read_total(r, i, &t);
        json_out_open(o, '{');
        json_member_text(o, "model", r->models[c->model].name);
        json_member_text(o, "class", span_str(c->usage == RECONCILE_ALL ? "" : usage_name(c->usage)));
        member_side(o, "ours", &t.ours);
        member_side(o, "theirs", &t.theirs);
        member_int(o, "places", t.cells);
        member_int(o, "unexplained", t.unexplained);
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}

static void write_models(struct json_out *o, const struct reconciliation *r)
{
    json_out_key(o, "models");
    json_out_open(o, '[');
    for (unsigned i = 0; i < r->models_n; i++) {
        const struct reconcile_model *m = &r->models[i];
        json_out_open(o, '{');
        if (m->is_ours)
            json_member_text(o, "ours", m->name);
        if (m->is_theirs)
            json_member_text(o, "theirs", m->is_ours ? m->theirs : m->name);
        if (m->candidates.n)
            json_member_text(o, "perhaps", m->candidates);
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}

static void write_others(struct json_out *o, const struct reconcile_export *x)
{
    json_out_key(o, "not_compared");
    json_out_open(o, '[');
    for (unsigned i = 0; i < x->others_n; i++) {
        json_out_open(o, '{');
        json_member_text(o, "text", x->others[i].text);
        member_int(o, "rows", x->others[i].rows);
        if (x->others[i].currency[0]) {
            json_member_decimal(o, "cost", x->others[i].cost);
            json_member_text(o, "currency", span_str(x->others[i].currency));
        }
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}

static void write_differences(struct json_out *o, const struct reconciliation *r)
{
    json_out_key(o, "differences");
    json_out_open(o, '[');
    for (unsigned i = 0; i < r->cells_n; i++)
        if (r->cells[i].cause != RECONCILE_EQUAL)
            write_cell(o, r, &r->cells[i]);
    json_out_close(o, ']');
}

static void write_causes(struct json_out *o, const struct reconciliation *r)
{
    json_out_key(o, "causes");
    json_out_open(o, '{');
    for (unsigned c = 0; c < RECONCILE_CAUSES; c++)
        if (r->found[c])
            member_int(o, reconcile_cause_name((enum reconcile_cause)c), r->found[c]);
    json_out_close(o, '}');
}

enum err reconcile_write_json(const struct reconciliation *r, const struct reconcile_export *x, struct span provider, struct buf *out)
{
    struct json_out o = json_out_begin(out);
    json_out_open(&o, '{');
    json_member_text(&o, "provider", provider);
    json_member_text(&o, "format", span_str(x->format));
    json_member_time(&o, "from", r->from_us);
    json_member_time(&o, "until", r->until_us);
    member_int(&o, "places", r->cells_n);
    member_int(&o, "unexplained", reconcile_unexplained(r));
    write_causes(&o, r);
    write_totals(&o, r);
    write_differences(&o, r);
    write_models(&o, r);
    write_others(&o, x);
    json_out_close(&o, '}');
    json_out_bytes(&o, SPAN("\n"));
    return json_out_end(&o);
}
