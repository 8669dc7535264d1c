/* SPDX-License-Identifier: Apache-2.0
 *
 * Budgets: what somebody may spend in a calendar period. Definitions are immutable and belong to the catalog; what was spent and what is
 * held are counters in one budget_book, shared by all workers under one mutex (held for some tens of nanoseconds), that outlives reloads.
 *
 * Invariant: at the moment a hold is taken, posted + pending + hold <= limit x hard_at for every hard budget that applies, or nothing is held. A
 * hold ends once: settled or released. Counters belong to the period in which the hold was taken.
 *
 * A counter is known by the budget's name, whom it is about, and period, zone and currency. So a reload may raise a limit and keep what was
 * spent; a budget that changes its period, zone or currency begins at nothing until the ledger is read again (budget_restore).
 */
#ifndef ENTENTE_POLICY_BUDGET_H
#define ENTENTE_POLICY_BUDGET_H

#include "base/arena.h"
#include "base/money.h"
#include "base/zone.h"

#define BUDGETS_MAX 4096u          /* in a config */
#define BUDGET_HOLD_PARTS 16u      /* budgets that one request may be under; more is a mistake at load */
#define BUDGET_WARNINGS 4u

enum budget_scope { BUDGET_KEY, BUDGET_DEPARTMENT, BUDGET_PARTY, BUDGET_PROVIDER, BUDGET_SELLER, BUDGET_ALL };
const char *budget_scope_name(enum budget_scope s);

struct budget {
    unsigned index;                /* in its set */
    const char *name;              /* "B1"; told to clients */
    enum budget_scope scope;
    struct span who;               /* glob over names of that scope; who has no name is under none but BUDGET_ALL */
    bool each;                     /* every matching name has the budget for itself, rather than all together */
    money limit;
    char currency[CURRENCY_BYTES];
    enum period_unit unit;
    const struct zone *zone;
    bool hard;                     /* else it only warns */
    struct rate hard_at;           /* of the limit: 100 %, 120 %; cut to whole 10^-15 */
    struct rate warn_at[BUDGET_WARNINGS]; /* rising; 0/1 ends */
    struct span *then_models;      /* globs that may still be asked for when it is exhausted; none: nothing */
    unsigned then_models_n;
    const char *place;
};
struct budget_set {                /* lives in the catalog's arena */
    struct budget *budgets;
    unsigned budgets_n;
};

/* Who a request is charged to. Scopes key, department, party and all count what the buyer pays (sell amount), provider and seller what we pay. */
struct budget_facts {
    struct span key, department, party, provider, seller, model; /* model: what the client asked for */
    int64_t now_us;
};
struct budget_amounts {
    money buy, sell;
    const char *buy_currency, *sell_currency; /* a budget in another currency does not apply: config refuses that at load. NULL: no price, counts 0 */
};

struct budget_book;                /* the counters */
struct budget_hold {               /* plain data, inside the exchange; zeroed: nothing is held. No part at or behind parts_n is ever touched */
    unsigned parts_n;
    struct budget_part {
        struct budget_counter *counter;
        const struct budget *budget; /* of the catalog that the exchange holds until its end */
        money amount;
    } parts[BUDGET_HOLD_PARTS];
};

/* Told once per counter and level, on the caller's thread, outside the lock. percent: the level of the limit that was passed: those of warn_at, 100,
 * and hard_at. 0: for the first time a request did not fit. After a restart, what was passed before it is not told again. */
#define BUDGET_REFUSES 0u
typedef void budget_warn_fn(void *owner, const struct budget *b, struct span who, unsigned percent, money spent, const struct period *p);

struct budget_book *budget_book_new(budget_warn_fn *warn, void *owner);
void budget_book_free(struct budget_book *k); /* accepts NULL */

/* Takes the amounts from all budgets that apply, or from none: ERR_BUDGET with the first budget that refused (also when more than
 * BUDGET_HOLD_PARTS apply). A refusing budget whose then_models match the asked model lets the request pass (and still counts it). ERR_NO_MEMORY.
 * ret is overwritten when all is taken and untouched else. Allocates for the first request of a period and counter, then nothing. */
enum err budget_take(struct budget_book *k, const struct budget_set *set, const struct budget_facts *f, const struct budget_amounts *worst,
                     struct budget_hold *ret, const struct budget **ret_refused) MUST_CHECK;
/* The hold becomes what it came to (which may be more: what was used is posted whatever was held). Empties the hold. */
void budget_settle(struct budget_book *k, struct budget_hold *h, const struct budget_amounts *actual);
void budget_release(struct budget_book *k, struct budget_hold *h);
/* Part of a hold becomes posted while the rest stays held: a failed attempt that was used. The held amount is not lowered. */
void budget_post(struct budget_book *k, struct budget_hold *h, const struct budget_amounts *actual);
/* At start: what the ledger has booked in the running periods; added to what is there. f->now_us: when it was. ERR_NO_MEMORY. */
enum err budget_restore(struct budget_book *k, const struct budget_set *set, const struct budget_facts *f, const struct budget_amounts *posted) MUST_CHECK;

/* For pages, metrics, top: what each budget stands at now. `each`: only those that have asked in this period. */
struct budget_standing {
    const struct budget *budget;
    struct span who;               /* of `each`; else empty */
    struct period period;
    money posted, pending;
};
typedef void budget_standing_fn(void *owner, const struct budget_standing *s); /* outside the lock; s->who lasts for the call */
void budget_each(struct budget_book *k, const struct budget_set *set, int64_t now_us, budget_standing_fn *fn, void *owner);
size_t budget_counters(struct budget_book *k); /* that are kept, ended periods included */

#endif
