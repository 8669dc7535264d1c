/* SPDX-License-Identifier: Apache-2.0
 *
 * What the terms of a price book come to for one period: capacity, free quotas, bands, storage, fees, commitments, minimums, credits, tax,
 * shares. Pure: what was used comes in, lines go out, each with the figures from which anybody can compute it again.
 *
 * The order is fixed, because each line stands on those before it:
 *   free      the first units of a class cost nothing; taken pro rata from all that match (R5)
 *   capacity  a fee of units x amount x hours, used or not; what the capacity covers costs nothing, what overflows is paid by the token
 *   band      what is above a threshold costs `rate` of its price. Free and covered units count towards no threshold
 *   storage   tokens kept x hours, at an amount per million
 *   fee       an amount, a rate of what the lines before come to, or both
 *   commit    the shortfall at each milestone after the period's beginning and not after its end. Counted: all usage and corrections up to the
 *             period's end, and the lines of the kinds that the term counts
 *   minimum   what is missing to the amount
 *   credit    lots, earliest expiry first, pay what is owed so far; a lot that expires in the period pays in it, and then lapses
 *   tax       a rate of all above
 *   share     floor(rate x cumulative charges) - accrued so far, up to a cap in total (R4). Of usage and corrections, not of the lines above
 * A term that is about some models or providers only (`model`, `provider`) looks at their usage and corrections alone. Divisions round down, so that
 * the remainder stays with whoever pays.
 */
#ifndef ENTENTE_REPORT_TERMS_H
#define ENTENTE_REPORT_TERMS_H

#include "base/zone.h"
#include "ledger/entry.h"
#include "policy/price.h"

#define TERMS_CORRECTION USAGE_CLASSES /* as a class: money without a quantity */

/* What one model at one provider used of one class at one price. */
struct term_use {
    struct span provider, model;
    enum usage_class usage;     /* or TERMS_CORRECTION */
    int64_t quantity, price;    /* price may be PRICE_NONE */
    money amount;               /* quantity x price; of a correction, the difference */
};

/* The same by the hour, for capacity with an allowance. */
struct term_hour {
    unsigned use;               /* index of the period's uses */
    int64_t hour;               /* since 1970 */
    int64_t quantity;
};

/* What was booked, or will be, for earlier periods of this book: the only state there is. */
struct term_past {
    struct span term;           /* its name */
    enum posting_cause cause;
    money amount;
};

struct terms_input {
    const struct price_book *book;        /* whose terms these are, and parties and currency */
    const struct price_book *of;          /* by term, the book that it stands in: name and validity; NULL: all in book */
    struct period period;
    const struct zone *zone;    /* for the days in texts; NULL: UTC */
    const struct term_use *uses, *before; /* of the period; of all periods before it */
    unsigned uses_n, before_n;
    const struct term_hour *hours;        /* in any order; needed when terms_needs_hours */
    unsigned hours_n;
    const struct term_past *past;
    unsigned past_n;
};

struct term_line {
    const struct price_term *term;
    enum posting_cause cause;
    struct span name;           /* of the term; "K1/covered" for what a capacity covers */
    struct span how;            /* for people: "20 units x 1.00 USD x 720 hours" */
    struct span detail;         /* the same as JSON, whole: {"term":…,"kind":…, what it was computed from, "amount":…} */
    money amount;               /* the buyer owes it to the seller; of a share, `from` owes it to `to`. Negative: the other way */
};

/* Lines in the order above, at most two for each term, in the arena, with their texts. Lines of amount 0 are left out, but for a credit that lapsed.
 * ERR_RANGE when a sum does not fit. */
enum err terms_compute(struct arena *a, const struct terms_input *in, struct term_line **ret, unsigned *ret_n) MUST_CHECK;

bool terms_needs_hours(const struct price_book *b);
bool terms_needs_before(const struct price_book *b); /* is there state that began before the period? */
enum posting_cause terms_cause(enum price_term_kind k);

#endif
