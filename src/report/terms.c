/* SPDX-License-Identifier: Apache-2.0
 *
 * The terms of a book, one kind after the other. Of each use it is kept how many units are still charged (free and covered ones are taken off) and
 * what they come to; beside that one running total, which every line adds to. A kind is a row of the table at the end.
 */
#include "report/terms.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "dialect/json_out.h"
#include "policy/catalog.h"
#include "report/figure.h"

#define US_PER_S 1000000
#define SECONDS_PER_HOUR 3600
#define DETAIL_BYTES_MAX (12u * KIB) /* an entry's body has room for 16 KiB in all */
#define PER_MILLION 1000000

struct reckoning {
    struct arena *arena;
    const struct terms_input *in;
    int64_t *charged;           /* by use: units that still cost */
    money *value;               /* by use: what they come to */
    money total;                /* usage, corrections and the lines so far; shares are not in it */
    money by_kind[TERM_KINDS];  /* lines of this period */
    struct term_line *lines;
    unsigned n;
    struct buf bytes;           /* the detail of the line being made */
    struct json_out json;
    enum err error;             /* the first */
};

static void fail(struct reckoning *r, enum err e)
{
    if (!r->error)
        r->error = e;
}

static void add(struct reckoning *r, money *to, money m)
{
    if (!money_add(*to, m, to))
        fail(r, ERR_RANGE);
}

static money times(struct reckoning *r, money a, money b)
{
    money product;
    if (!__builtin_mul_overflow(a, b, &product))
        return product;
    fail(r, ERR_RANGE);
    return 0;
}

static money rate_of(struct reckoning *r, struct rate rate, money base)
{
    money part = 0;
    enum err e = rate.num ? share_of(base, rate.num, rate.den, &part, NULL) : ERR_OK;
    if (e)
        fail(r, e);
    return part;
}

static const struct price_book *book_of(const struct reckoning *r, const struct price_term *t)
{
    return r->in->of ? &r->in->of[t - r->in->book->terms] : r->in->book;
}

/* ---- which uses a term is about ---- */

static bool is_any(struct span glob) { return !glob.n || span_eq(glob, SPAN("*")); }
static bool is_about_everything(const struct price_term *t) { return is_any(t->model) && is_any(t->provider); }

static bool matches(const struct price_term *t, const struct term_use *u)
{
    return (is_any(t->model) || glob_matches(t->model, u->model)) && (is_any(t->provider) || glob_matches(t->provider, u->provider));
}

/* Priced units of the term's class. */
static bool matches_units(const struct price_term *t, const struct term_use *u)
{
    return u->usage != TERMS_CORRECTION && u->price != PRICE_NONE && (t->usage == USAGE_CLASSES || t->usage == u->usage) && matches(t, u);
}

static bool is_token(enum usage_class c) { return c != TERMS_CORRECTION && usage_class_side(c) != USAGE_SIDE_OTHER; }

static money sum_of_uses(struct reckoning *r, const struct price_term *t, const struct term_use *uses, unsigned n)
{
    money sum = 0;
    for (unsigned i = 0; i < n; i++)
        if (matches(t, &uses[i]))
            add(r, &sum, uses[i].amount);
    return sum;
}

/* What the term's uses still come to; of a term about everything, with the lines so far. */
static money charges_so_far(struct reckoning *r, const struct price_term *t)
{
    money sum = 0;
    if (is_about_everything(t))
        return r->total;
    for (unsigned i = 0; i < r->in->uses_n; i++)
        if (matches(t, &r->in->uses[i]))
            add(r, &sum, r->value[i]);
    return sum;
}

static money booked_before(struct reckoning *r, const struct price_term *t)
{
    money sum = 0;
    for (unsigned i = 0; i < r->in->past_n; i++)
        if (span_eq(r->in->past[i].term, span_str(t->name)))
            add(r, &sum, r->in->past[i].amount);
    return sum;
}

/* ---- a line and its detail ---- */

static void detail_begin(struct reckoning *r, const struct price_term *t)
{
    buf_clear(&r->bytes);
    r->json = json_out_begin(&r->bytes);
    json_out_open(&r->json, '{');
    json_out_key(&r->json, "book");
    json_out_string(&r->json, span_str(book_of(r, t)->name));
    json_out_key(&r->json, "seller");
    json_out_string(&r->json, span_str(r->in->book->seller));
    json_out_key(&r->json, "buyer");
    json_out_string(&r->json, span_str(r->in->book->buyer));
    json_out_key(&r->json, "currency");
    json_out_string(&r->json, span_str(r->in->book->currency));
    json_out_key(&r->json, "term");
    json_out_string(&r->json, span_str(t->name));
    json_out_key(&r->json, "kind");
    json_out_string(&r->json, span_str(price_term_name(t->kind)));
    json_out_key(&r->json, "period");
    json_out_string(&r->json, span_str(r->in->period.label));
}

static void detail_money(struct reckoning *r, const char *key, money m)
{
    char digits[MONEY_TEXT_BYTES];
    json_out_key(&r->json, key);
    json_out_string(&r->json, money_format_integer(digits, m));
}

static void detail_number(struct reckoning *r, const char *key, int64_t n)
{
    json_out_key(&r->json, key);
    json_out_int(&r->json, n);
}

static void detail_rate(struct reckoning *r, struct rate rate)
{
    json_out_key(&r->json, "rate");
    json_out_open(&r->json, '[');
    json_out_int(&r->json, rate.num);
    json_out_int(&r->json, rate.den);
    json_out_close(&r->json, ']');
}

static void detail_use(struct reckoning *r, const struct term_use *u, int64_t quantity)
{
    json_out_open(&r->json, '{');
    json_out_key(&r->json, "provider");
    json_out_string(&r->json, u->provider);
    json_out_key(&r->json, "model");
    json_out_string(&r->json, u->model);
    json_out_key(&r->json, "class");
    json_out_string(&r->json, span_str(usage_class_name(u->usage)));
    detail_number(r, "quantity", quantity);
    detail_number(r, "price", u->price);
    json_out_close(&r->json, '}');
}

static void emit(struct reckoning *r, const struct price_term *t, const char *part, money amount, struct span how, bool even_if_zero)
{
    detail_money(r, "amount", amount);
    json_out_close(&r->json, '}');
    enum err e = json_out_end(&r->json);
    if (e)
        fail(r, e);
    if (t->kind != TERM_SHARE)
        add(r, &r->total, amount);
    add(r, &r->by_kind[t->kind], amount);
    if (!amount && !even_if_zero)
        return;
    r->lines[r->n++] = (struct term_line){
        .term = t, .cause = terms_cause(t->kind), .amount = amount, .how = how, .detail = arena_dup(r->arena, buf_span(&r->bytes)),
        .name = *part ? arena_printf(r->arena, "%s/%s", t->name, part) : span_str(t->name),
    };
}

static struct span text_money(struct reckoning *r, money m)
{
    char figure[FIGURE_BYTES];
    int decimals = currency_decimals(span_str(r->in->book->currency));
    return arena_dup(r->arena, figure_money(figure, m, decimals > 0 ? (unsigned)decimals : 0));
}

/* A sum, in whole minor units: the exact one is in the detail. */
static struct span text_sum(struct reckoning *r, money m)
{
    int decimals = currency_decimals(span_str(r->in->book->currency));
    return text_money(r, settle_minor_units(m, decimals < 0 ? 2 : decimals));
}

static struct span text_count(struct reckoning *r, int64_t n)
{
    char figure[FIGURE_BYTES];
    return arena_dup(r->arena, figure_count(figure, n));
}

static struct span text_rate(struct reckoning *r, struct rate rate)
{
    char figure[FIGURE_BYTES];
    return arena_dup(r->arena, figure_rate(figure, rate));
}

/* The day of a moment, where the books are kept. */
static struct span text_day(struct reckoning *r, int64_t at_us)
{
    char text[CLOCK_RFC3339_BYTES];
    int64_t offset_s = r->in->zone ? zone_offset_s(r->in->zone, at_us / US_PER_S) : 0;
    return arena_dup(r->arena, span_to(clock_rfc3339_us(text, at_us + offset_s * US_PER_S), 10));
}

/* ---- units that cost nothing ---- */

/* Divides `pot` units over the term's uses by their weights; adds to out, which is by use. */
static void allot_units(struct reckoning *r, int64_t pot, const int64_t *weights, int64_t *out)
{
    unsigned n = r->in->uses_n;
    money *wide = ARENA_ARRAY(r->arena, money, n), *parts = ARENA_ARRAY(r->arena, money, n);
    for (unsigned i = 0; i < n; i++)
        wide[i] = weights[i];
    enum err e = share_allot_by(pot, wide, n, parts);
    if (e)
        fail(r, e);
    for (unsigned i = 0; i < n && !e; i++)
        out[i] += (int64_t)parts[i];
}

static int64_t sum_units(struct reckoning *r, const int64_t *units)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < r->in->uses_n; i++)
        if (__builtin_add_overflow(sum, units[i], &sum))
            fail(r, ERR_RANGE);
    return sum;
}

/* The units of the term's class that still cost, by use; their sum. */
static int64_t charged_units(struct reckoning *r, const struct price_term *t, int64_t **ret)
{
    *ret = ARENA_ARRAY(r->arena, int64_t, r->in->uses_n);
    for (unsigned i = 0; i < r->in->uses_n; i++)
        (*ret)[i] = matches_units(t, &r->in->uses[i]) ? r->charged[i] : 0;
    return sum_units(r, *ret);
}

/* Takes units off what is charged; what they would have cost. Each is in the detail, so that the sum can be made again. */
static money release(struct reckoning *r, const int64_t *freed)
{
    money saved = 0;
    json_out_key(&r->json, "uses");
    json_out_open(&r->json, '[');
    for (unsigned i = 0; i < r->in->uses_n; i++) {
        if (!freed[i])
            continue;
        money worth = money_of(freed[i], r->in->uses[i].price);
        r->charged[i] -= freed[i];
        add(r, &r->value[i], -worth);
        add(r, &saved, worth);
        detail_use(r, &r->in->uses[i], freed[i]);
    }
    json_out_close(&r->json, ']');
    return saved;
}

static void compute_free(struct reckoning *r, const struct price_term *t)
{
    int64_t *units, *freed = ARENA_ARRAY(r->arena, int64_t, r->in->uses_n), all = charged_units(r, t, &units);
    int64_t quota = all < t->quantity ? all : t->quantity;
    if (quota <= 0)
        return;
    allot_units(r, quota, units, freed);
    detail_begin(r, t);
    detail_number(r, "quota", t->quantity);
    detail_number(r, "used", all);
    money saved = release(r, freed);
    emit(r, t, "", -saved, arena_printf(r->arena, "%.*s of %.*s %s free", SPAN_ARG(text_count(r, quota)), SPAN_ARG(text_count(r, all)),
                                        t->usage == USAGE_CLASSES ? "units" : usage_class_name(t->usage)), false);
}

/* ---- capacity ---- */

static int by_hour(const void *a, const void *b)
{
    const struct term_hour *x = a, *y = b;
    return x->hour != y->hour ? (x->hour < y->hour ? -1 : 1) : x->use != y->use ? (x->use < y->use ? -1 : 1) : 0;
}

/* The hours from *at on that are one hour; what of them is covered is added to freed. */
static void cover_hour(struct reckoning *r, const struct price_term *t, const struct term_hour *hours, unsigned *at, int64_t *freed)
{
    int64_t *units = ARENA_ARRAY(r->arena, int64_t, r->in->uses_n), hour = hours[*at].hour;
    for (; *at < r->in->hours_n && hours[*at].hour == hour; ++*at) {
        const struct term_use *u = &r->in->uses[hours[*at].use];
        if (is_token(u->usage) && matches_units(t, u))
            units[hours[*at].use] += hours[*at].quantity;
    }
    money room = times(r, t->quantity, t->allowance);
    int64_t all = sum_units(r, units);
    if (all)
        allot_units(r, all < room ? all : (int64_t)room, units, freed);
}

/* Hour by hour, never more than is still charged. */
static void cover_hours(struct reckoning *r, const struct price_term *t, int64_t *freed)
{
    unsigned n = r->in->hours_n;
    struct term_hour *hours = ARENA_ARRAY(r->arena, struct term_hour, n);
    if (n)
        memcpy(hours, r->in->hours, n * sizeof *hours);
    qsort(hours, n, sizeof *hours, by_hour);
    for (unsigned at = 0; at < n && !r->error;) {
        struct arena_mark mark = arena_mark(r->arena);
        cover_hour(r, t, hours, &at, freed);
        arena_rewind(r->arena, mark);
    }
    for (unsigned i = 0; i < r->in->uses_n; i++)
        freed[i] = freed[i] < r->charged[i] ? freed[i] : r->charged[i];
}

static void compute_covered(struct reckoning *r, const struct price_term *t)
{
    int64_t *units, *freed = ARENA_ARRAY(r->arena, int64_t, r->in->uses_n), all = charged_units(r, t, &units);
    if (t->allowance)
        cover_hours(r, t, freed);
    else
        memcpy(freed, units, r->in->uses_n * sizeof *freed);
    int64_t covered = sum_units(r, freed);
    if (!covered)
        return;
    detail_begin(r, t);
    detail_number(r, "allowance_per_unit_and_hour", t->allowance);
    detail_number(r, "used", all);
    money saved = release(r, freed);
    emit(r, t, "covered", -saved, arena_printf(r->arena, "%.*s of %.*s units covered", SPAN_ARG(text_count(r, covered)),
                                               SPAN_ARG(text_count(r, all))), false);
}

static void compute_capacity(struct reckoning *r, const struct price_term *t)
{
    const struct price_book *b = book_of(r, t);
    const struct period *p = &r->in->period;
    int64_t from_us = b->valid_from_us > p->from_us ? b->valid_from_us : p->from_us;
    int64_t until_us = b->valid_until_us < p->until_us ? b->valid_until_us : p->until_us;
    int64_t seconds = until_us > from_us ? (until_us - from_us) / US_PER_S : 0;
    money fee = times(r, times(r, t->quantity, t->amount), seconds) / SECONDS_PER_HOUR;
    bool odd = seconds % SECONDS_PER_HOUR != 0;
    detail_begin(r, t);
    detail_number(r, "units", t->quantity);
    detail_money(r, "per_unit_and_hour", t->amount);
    detail_number(r, "seconds", seconds);
    emit(r, t, "", fee, arena_printf(r->arena, "%.*s units x %.*s x %.*s %s", SPAN_ARG(text_count(r, t->quantity)),
                                     SPAN_ARG(text_money(r, t->amount)),
                                     SPAN_ARG(text_count(r, odd ? seconds : seconds / SECONDS_PER_HOUR)), odd ? "seconds / 3600" : "hours"), false);
    compute_covered(r, t);
}

/* ---- bands ---- */

/* Bands of one ladder are about the same thing; each but the last ends where the next begins. */
static bool is_of_ladder(const struct price_term *t, const struct price_term *other)
{
    return other->kind == TERM_BAND && other->usage == t->usage && other->whole == t->whole && span_eq(other->model, t->model) &&
           span_eq(other->provider, t->provider);
}

static money threshold_of(const struct price_term *t) { return t->usage == USAGE_CLASSES ? t->amount : (money)t->quantity; }

/* How much of `all` lies in this band of its ladder. */
static money in_band(const struct reckoning *r, const struct price_term *t, money all)
{
    money from = threshold_of(t), until = all;
    for (unsigned i = 0; i < r->in->book->terms_n; i++) {
        const struct price_term *other = &r->in->book->terms[i];
        money next = threshold_of(other);
        if (is_of_ladder(t, other) && next > from && next < until)
            until = next;
    }
    if (all <= from || (t->whole && until < all))
        return 0;
    return t->whole ? all : until - from;
}

/* What each use of the band weighs: units, or their money. The sum. */
static money band_weights(struct reckoning *r, const struct price_term *t, money *weights)
{
    money all = 0;
    for (unsigned i = 0; i < r->in->uses_n; i++) {
        const struct term_use *u = &r->in->uses[i];
        if (!matches_units(t, u))
            continue;
        weights[i] = t->usage == USAGE_CLASSES ? money_of(r->charged[i], u->price) : (money)r->charged[i];
        add(r, &all, weights[i]);
    }
    return all;
}

/* The difference that the rate makes to the part of a use that lies in the band. */
static void reprice_use(struct reckoning *r, const struct price_term *t, unsigned i, money part, money *difference)
{
    const struct term_use *u = &r->in->uses[i];
    money full = t->usage == USAGE_CLASSES ? part : times(r, part, u->price);
    money change = rate_of(r, t->rate, full) - full;
    add(r, &r->value[i], change);
    add(r, difference, change);
    json_out_open(&r->json, '{');
    json_out_key(&r->json, "provider");
    json_out_string(&r->json, u->provider);
    json_out_key(&r->json, "model");
    json_out_string(&r->json, u->model);
    json_out_key(&r->json, "class");
    json_out_string(&r->json, span_str(usage_class_name(u->usage)));
    detail_money(r, "full", full);
    json_out_close(&r->json, '}');
}

static void compute_band(struct reckoning *r, const struct price_term *t)
{
    money *weights = ARENA_ARRAY(r->arena, money, r->in->uses_n), *parts = ARENA_ARRAY(r->arena, money, r->in->uses_n), difference = 0;
    money all = band_weights(r, t, weights), within = in_band(r, t, all);
    if (within <= 0)
        return;
    enum err e = share_allot_by(within, weights, r->in->uses_n, parts);
    if (e)
        fail(r, e);
    detail_begin(r, t);
    detail_money(r, "above", threshold_of(t));
    detail_money(r, "all", all);
    detail_money(r, "in_band", within);
    detail_rate(r, t->rate);
    json_out_key(&r->json, "uses");
    json_out_open(&r->json, '[');
    for (unsigned i = 0; i < r->in->uses_n && !r->error; i++)
        if (parts[i])
            reprice_use(r, t, i, parts[i], &difference);
    json_out_close(&r->json, ']');
    bool by_money = t->usage == USAGE_CLASSES;
    struct span part = by_money ? text_sum(r, within) : text_count(r, (int64_t)within);
    struct span above = by_money ? text_money(r, t->amount) : text_count(r, t->quantity);
    emit(r, t, "", difference, arena_printf(r->arena, "%.*s%s%s above %.*s at %.*s of the price", SPAN_ARG(part), by_money ? "" : " ",
                                            by_money ? "" : usage_class_name(t->usage), SPAN_ARG(above), SPAN_ARG(text_rate(r, t->rate))), false);
}

/* ---- storage, fees, minimums, tax: one figure each ---- */

static void compute_storage(struct reckoning *r, const struct price_term *t)
{
    int64_t all = 0;
    for (unsigned i = 0; i < r->in->uses_n; i++) {
        const struct term_use *u = &r->in->uses[i];
        if (u->usage == USAGE_STORAGE && u->price == PRICE_NONE && matches(t, u) && __builtin_add_overflow(all, u->quantity, &all))
            fail(r, ERR_RANGE);
    }
    detail_begin(r, t);
    detail_number(r, "token_hours", all);
    detail_money(r, "per_million", t->amount);
    emit(r, t, "", times(r, all, t->amount) / PER_MILLION,
         arena_printf(r->arena, "%.*s token-hours at %.*s per million", SPAN_ARG(text_count(r, all)), SPAN_ARG(text_money(r, t->amount))), false);
}

static void compute_fee(struct reckoning *r, const struct price_term *t)
{
    money base = charges_so_far(r, t), part = base > 0 ? rate_of(r, t->rate, base) : 0, fee = t->amount;
    add(r, &fee, part);
    detail_begin(r, t);
    detail_money(r, "fixed", t->amount);
    detail_rate(r, t->rate);
    detail_money(r, "base", base);
    struct span rated = t->rate.num ? arena_printf(r->arena, "%.*s of %.*s", SPAN_ARG(text_rate(r, t->rate)), SPAN_ARG(text_sum(r, base))) : SPAN("");
    struct span fixed = t->amount ? arena_printf(r->arena, "%.*s a period", SPAN_ARG(text_money(r, t->amount))) : SPAN("");
    emit(r, t, "", fee, arena_printf(r->arena, "%.*s%s%.*s", SPAN_ARG(rated), rated.n && fixed.n ? " and " : "", SPAN_ARG(fixed)), false);
}

static void compute_minimum(struct reckoning *r, const struct price_term *t)
{
    money base = charges_so_far(r, t), missing = base < t->amount ? t->amount : 0;
    if (missing)
        add(r, &missing, -base);
    detail_begin(r, t);
    detail_money(r, "minimum", t->amount);
    detail_money(r, "base", base);
    emit(r, t, "", missing, arena_printf(r->arena, "at least %.*s; it came to %.*s", SPAN_ARG(text_money(r, t->amount)), SPAN_ARG(text_sum(r, base))),
         false);
}

static void compute_tax(struct reckoning *r, const struct price_term *t)
{
    money base = charges_so_far(r, t);
    detail_begin(r, t);
    detail_rate(r, t->rate);
    detail_money(r, "base", base);
    emit(r, t, "", base > 0 ? rate_of(r, t->rate, base) : 0,
         arena_printf(r->arena, "%.*s of %.*s", SPAN_ARG(text_rate(r, t->rate)), SPAN_ARG(text_sum(r, base))), false);
}

/* ---- what began before the period: commitments, credits, shares ---- */

/* Everything so far that a commitment counts: what it is about, and the lines of the kinds it names. */
static money counted_so_far(struct reckoning *r, const struct price_term *t)
{
    money counted = sum_of_uses(r, t, r->in->before, r->in->before_n);
    add(r, &counted, sum_of_uses(r, t, r->in->uses, r->in->uses_n));
    for (unsigned k = 0; k < TERM_KINDS; k++) {
        if (!(t->counts & 1u << k))
            continue;
        add(r, &counted, r->by_kind[k]);
        for (unsigned i = 0; i < r->in->past_n; i++)
            if (r->in->past[i].cause == terms_cause((enum price_term_kind)k))
                add(r, &counted, r->in->past[i].amount);
    }
    return counted;
}

static void compute_commit(struct reckoning *r, const struct price_term *t)
{
    money counted = counted_so_far(r, t), before = booked_before(r, t), paid = before, required = 0;
    int64_t at_us = 0;
    detail_begin(r, t);
    detail_money(r, "counted", counted);
    detail_money(r, "shortfalls_before", before);
    json_out_key(&r->json, "required");
    json_out_open(&r->json, '[');
    for (unsigned i = 0; i < t->milestones_n; i++) {
        const struct milestone *m = &t->milestones[i];
        if (m->at_us <= r->in->period.from_us || m->at_us > r->in->period.until_us)
            continue;
        char digits[MONEY_TEXT_BYTES];
        json_out_string(&r->json, money_format_integer(digits, m->required));
        add(r, &paid, commit_shortfall(m->required, counted, paid));
        required = m->required;
        at_us = m->at_us;
    }
    json_out_close(&r->json, ']');
    struct span earlier = before ? arena_printf(r->arena, ", %.*s paid before", SPAN_ARG(text_sum(r, before))) : SPAN("");
    emit(r, t, "", paid - before, arena_printf(r->arena, "%.*s due by %.*s; %.*s counted%.*s", SPAN_ARG(text_sum(r, required)),
                                               SPAN_ARG(text_day(r, at_us - 1)), SPAN_ARG(text_sum(r, counted)), SPAN_ARG(earlier)), false);
}

static void compute_credit(struct reckoning *r, const struct price_term *t)
{
    money left = t->amount, owed = r->total > 0 ? r->total : 0;
    if (t->until_us <= r->in->period.from_us)
        return;
    add(r, &left, booked_before(r, t)); /* lines of credits are negative */
    left = left > 0 ? left : 0;
    money used = left < owed ? left : owed, rest = left - used;
    bool lapses = t->until_us <= r->in->period.until_us && rest > 0;
    detail_begin(r, t);
    detail_money(r, "lot", t->amount);
    detail_money(r, "left_before", left);
    detail_money(r, "owed", r->total);
    struct span until = t->until_us == PRICE_TIME_MAX ? SPAN("") : arena_printf(r->arena, " until %.*s", SPAN_ARG(text_day(r, t->until_us)));
    emit(r, t, "", -used, arena_printf(r->arena, "of %.*s%.*s; %.*s %s", SPAN_ARG(text_money(r, t->amount)), SPAN_ARG(until),
                                       SPAN_ARG(text_sum(r, rest)), lapses ? "lapses" : "left"), lapses);
}

static void compute_share(struct reckoning *r, const struct price_term *t)
{
    money base = sum_of_uses(r, t, r->in->before, r->in->before_n), accrued = booked_before(r, t), now = 0;
    add(r, &base, sum_of_uses(r, t, r->in->uses, r->in->uses_n));
    enum err e = share_accrue(t->rate, base, accrued, t->cap, &now);
    if (e)
        fail(r, e);
    detail_begin(r, t);
    detail_rate(r, t->rate);
    detail_money(r, "base", base);
    detail_money(r, "accrued", accrued);
    if (t->cap != MONEY_MAX)
        detail_money(r, "cap", t->cap);
    struct span cap = t->cap == MONEY_MAX ? SPAN("") : arena_printf(r->arena, ", %.*s in all", SPAN_ARG(text_money(r, t->cap)));
    emit(r, t, "", now, arena_printf(r->arena, "%.*s of %.*s to date%.*s; %.*s accrued before", SPAN_ARG(text_rate(r, t->rate)),
                                     SPAN_ARG(text_sum(r, base)), SPAN_ARG(cap), SPAN_ARG(text_sum(r, accrued))), false);
}

/* ---- the order ---- */

typedef void compute_fn(struct reckoning *r, const struct price_term *t);
static const struct kind {
    enum price_term_kind kind;
    enum posting_cause cause;
    compute_fn *compute;
} order[] = {
    {TERM_FREE, POSTING_FREE, compute_free},       {TERM_CAPACITY, POSTING_CAPACITY, compute_capacity}, {TERM_BAND, POSTING_BAND, compute_band},
    {TERM_STORAGE, POSTING_STORAGE, compute_storage}, {TERM_FEE, POSTING_FEE, compute_fee},             {TERM_COMMIT, POSTING_COMMIT, compute_commit},
    {TERM_MINIMUM, POSTING_MINIMUM, compute_minimum}, {TERM_CREDIT, POSTING_CREDIT, compute_credit},    {TERM_TAX, POSTING_TAX, compute_tax},
    {TERM_SHARE, POSTING_SHARE, compute_share},
};

enum posting_cause terms_cause(enum price_term_kind k)
{
    for (unsigned i = 0; i < COUNT_OF(order); i++)
        if (order[i].kind == k)
            return order[i].cause;
    return POSTING_CAUSES;
}

bool terms_needs_hours(const struct price_book *b)
{
    bool needs = false;
    for (unsigned i = 0; i < b->terms_n; i++)
        needs = needs || (b->terms[i].kind == TERM_CAPACITY && b->terms[i].allowance);
    return needs;
}

bool terms_needs_before(const struct price_book *b)
{
    bool needs = false;
    for (unsigned i = 0; i < b->terms_n; i++)
        needs = needs || b->terms[i].kind == TERM_COMMIT || b->terms[i].kind == TERM_SHARE || b->terms[i].kind == TERM_CREDIT;
    return needs;
}

static void begin(struct reckoning *r)
{
    const struct terms_input *in = r->in;
    r->charged = ARENA_ARRAY(r->arena, int64_t, in->uses_n);
    r->value = ARENA_ARRAY(r->arena, money, in->uses_n);
    r->lines = ARENA_ARRAY(r->arena, struct term_line, 2 * in->book->terms_n);
    for (unsigned i = 0; i < in->uses_n; i++) {
        r->charged[i] = in->uses[i].quantity;
        r->value[i] = in->uses[i].amount;
        add(r, &r->total, in->uses[i].amount);
    }
}

/* Terms of a kind in the order of the book; credits by their expiry. */
static void compute_kind(struct reckoning *r, const struct kind *k)
{
    const struct price_book *b = r->in->book;
    bool *done = ARENA_ARRAY(r->arena, bool, b->terms_n);
    for (unsigned left = b->terms_n; left && !r->error; left--) {
        unsigned next = b->terms_n;
        for (unsigned i = b->terms_n; i-- > 0;)
            if (!done[i] && b->terms[i].kind == k->kind &&
                (next == b->terms_n || k->kind != TERM_CREDIT || b->terms[i].until_us <= b->terms[next].until_us))
                next = i;
        if (next == b->terms_n)
            return;
        done[next] = true;
        k->compute(r, &b->terms[next]);
    }
}

enum err terms_compute(struct arena *a, const struct terms_input *in, struct term_line **ret, unsigned *ret_n)
{
    struct reckoning r = {.arena = a, .in = in};
    buf_init(&r.bytes, DETAIL_BYTES_MAX);
    begin(&r);
    for (unsigned i = 0; i < COUNT_OF(order); i++)
        compute_kind(&r, &order[i]);
    buf_fini(&r.bytes);
    if (r.error)
        return r.error;
    *ret = r.lines;
    *ret_n = r.n;
    return ERR_OK;
}
