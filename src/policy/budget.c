/* SPDX-License-Identifier: Apache-2.0
 *
 * Budgets. Which of them a request is under is found without the lock; then all counters are looked up, compared and raised under it at once.
 * What the lock covers must be quick, so everything that needs a division or a calendar is worked out when a counter is made or its
 * budget's terms change, and kept in the counter.
 */
#include "policy/budget.h"

#include <pthread.h>
#include <stdlib.h>

#include "policy/catalog.h"
#include "policy/share.h"

#define SLOTS_MIN 64u
#define AMOUNT_MAX ((money)1 << 100)                   /* 10^15 major units: 10^8 of these still add up */
#define KEPT_AFTER_END_US (INT64_C(3600) * 1000000)    /* a thread may be late with a moment of the period before */
#define PERCENT_NEVER UINT32_MAX

/* Invariant, whenever the lock is free: pending is the sum of the holds that refer to the counter, holds is their number. */
struct budget_counter {
    struct budget_counter *next;    /* in its slot */
    uint64_t hash;
    size_t holds;
    money posted, pending;
    struct period period;
    bool refusal_told;
    unsigned told_percent;          /* the highest level told */
    struct {                        /* what the budget's terms come to, as seen last */
        money limit, hard_limit, next_level;
        struct rate hard_at, warn_at[BUDGET_WARNINGS];
        unsigned next_percent;      /* of next_level; PERCENT_NEVER: all were told */
    } terms;
    enum period_unit unit;          /* from here on: the key, with the texts */
    char currency[CURRENCY_BYTES];
    const char *zone;
    struct span who;
    char name[];                    /* then the others' bytes */
};

struct budget_book {
    pthread_mutex_t lock;
    uint64_t seed;
    struct budget_counter **slots;  /* slots_n of them, a power of two */
    size_t slots_n, counters_n;
    budget_warn_fn *warn;
    void *owner;
};

const char *budget_scope_name(enum budget_scope s)
{
    static const char *const names[] = {[BUDGET_KEY] = "key",           [BUDGET_DEPARTMENT] = "department", [BUDGET_PARTY] = "party",
                                        [BUDGET_PROVIDER] = "provider", [BUDGET_SELLER] = "seller",         [BUDGET_ALL] = "all"};
    return names[s];
}

/* ---- which budgets ---- */

static struct span fact_of(const struct budget *b, const struct budget_facts *f)
{
    switch (b->scope) {
    case BUDGET_KEY: return f->key;
    case BUDGET_DEPARTMENT: return f->department;
    case BUDGET_PARTY: return f->party;
    case BUDGET_PROVIDER: return f->provider;
    case BUDGET_SELLER: return f->seller;
    case BUDGET_ALL: break;
    }
    return SPAN_NONE;
}

static bool counts_buying(const struct budget *b)
{
    return b->scope == BUDGET_PROVIDER || b->scope == BUDGET_SELLER;
}

static const char *currency_of(const struct budget *b, const struct budget_amounts *a)
{
    return counts_buying(b) ? a->buy_currency : a->sell_currency;
}

static bool currency_fits(const struct budget *b, const struct budget_amounts *a)
{
    const char *currency = currency_of(b, a);
    return !currency || strncmp(currency, b->currency, CURRENCY_BYTES) == 0;
}

static bool budget_applies(const struct budget *b, const struct budget_facts *f, const struct budget_amounts *a)
{
    struct span who = fact_of(b, f);
    return (b->scope == BUDGET_ALL || (who.n && glob_matches(b->who, who))) && currency_fits(b, a);
}

static money amount_of(const struct budget *b, const struct budget_amounts *a)
{
    money amount = counts_buying(b) ? a->buy : a->sell;
    if (!currency_of(b, a) || !currency_fits(b, a))
        return 0;
    return amount > AMOUNT_MAX ? AMOUNT_MAX : amount < -AMOUNT_MAX ? -AMOUNT_MAX : amount;
}

static bool may_pass(const struct budget *b, struct span model)
{
    for (unsigned i = 0; i < b->then_models_n; i++)
        if (glob_matches(b->then_models[i], model))
            return true;
    return false;
}

/* ---- the table; all under the lock ---- */

/* What a counter is looked up by. */
struct wanted {
    const struct budget *budget;
    struct span who;
    uint64_t hash;
};

static struct wanted wanted_of(const struct budget_book *k, const struct budget *b, struct span who)
{
    struct span subject = b->each ? who : SPAN_NONE;
    return (struct wanted){b, subject, span_hash(subject, span_hash(span_str(b->name), k->seed))};
}

static bool is_of_budget(const struct budget_counter *c, const struct budget *b)
{
    return strcmp(c->name, b->name) == 0 && c->unit == b->unit && strncmp(c->currency, b->currency, CURRENCY_BYTES) == 0 &&
           strcmp(c->zone, zone_name(b->zone)) == 0;
}

static bool holds_moment(const struct budget_counter *c, int64_t us)
{
    return c->period.from_us <= us && us < c->period.until_us;
}

static struct budget_counter **slot_of(const struct budget_book *k, uint64_t hash)
{
    return &k->slots[hash & (k->slots_n - 1)];
}

static struct budget_counter *counter_find(const struct budget_book *k, const struct wanted *w, int64_t now_us)
{
    if (k->slots_n == 0)
        return NULL;
    for (struct budget_counter *c = *slot_of(k, w->hash); c; c = c->next)
        if (c->hash == w->hash && holds_moment(c, now_us) && span_eq(c->who, w->who) && is_of_budget(c, w->budget))
            return c;
    return NULL;
}

/* Frees the counters of periods that ended and that no hold refers to. */
static void counters_sweep(struct budget_book *k, int64_t now_us)
{
    for (size_t i = 0; i < k->slots_n; i++)
        for (struct budget_counter **at = &k->slots[i], *c; (c = *at);) {
            if (c->holds || c->period.until_us > now_us - KEPT_AFTER_END_US) {
                at = &c->next;
                continue;
            }
            *at = c->next;
            free(c);
            k->counters_n--;
        }
}

static void slot_put(struct budget_book *k, struct budget_counter *c)
{
    struct budget_counter **slot = slot_of(k, c->hash);
    c->next = *slot;
    *slot = c;
}

static enum err slots_grow(struct budget_book *k)
{
    size_t before_n = k->slots_n, slots_n = before_n ? before_n * 2 : SLOTS_MIN;
    struct budget_counter **before = k->slots, **slots = calloc(slots_n, sizeof(void *)), *c;
    if (!slots)
        return ERR_NO_MEMORY;
    k->slots = slots;
    k->slots_n = slots_n;
    for (size_t i = 0; i < before_n; i++)
        while ((c = before[i])) {
            before[i] = c->next;
            slot_put(k, c);
        }
    free(before);
    return ERR_OK;
}

/* Room for one more. The table doubles only when sweeping left it more than half full, so each sweep has been paid for by many counters. */
static enum err make_room(struct budget_book *k, int64_t now_us)
{
    if (k->counters_n < k->slots_n)
        return ERR_OK;
    counters_sweep(k, now_us);
    return k->counters_n <= k->slots_n / 2 && k->slots_n ? ERR_OK : slots_grow(k);
}

static struct budget_counter *counter_new(const struct wanted *w, int64_t now_us)
{
    const struct budget *b = w->budget;
    size_t name_n = strlen(b->name) + 1, zone_n = strlen(zone_name(b->zone)) + 1;
    struct budget_counter *c = calloc(1, sizeof *c + name_n + zone_n + w->who.n);
    if (!c)
        return NULL;
    char *zone = c->name + name_n, *who = zone + zone_n;
    memcpy(c->name, b->name, name_n);
    memcpy(zone, zone_name(b->zone), zone_n);
    if (w->who.n)
        memcpy(who, w->who.p, w->who.n);
    memcpy(c->currency, b->currency, CURRENCY_BYTES);
    c->hash = w->hash;
    c->unit = b->unit;
    c->zone = zone;
    c->who = span_of(who, w->who.n);
    c->terms.limit = -1; /* not seen */
    period_at(b->zone, b->unit, now_us, &c->period);
    return c;
}

static enum err counter_make(struct budget_book *k, const struct wanted *w, int64_t now_us, struct budget_counter **ret)
{
    enum err e = make_room(k, now_us);
    struct budget_counter *c = e ? NULL : counter_new(w, now_us);
    if (!c)
        return ERR_NO_MEMORY;
    slot_put(k, c);
    k->counters_n++;
    *ret = c;
    return ERR_OK;
}

/* ---- levels ---- */

static unsigned percent_of(struct rate r)
{
    money percent = (money)r.num * 100 / r.den;
    return percent < 1 ? 1 : percent >= PERCENT_NEVER ? PERCENT_NEVER - 1 : (unsigned)percent;
}

/* rate x limit, down or up to whole units; what does not fit is never reached. */
static money part_of_limit(const struct budget *b, struct rate r, bool up)
{
    money part, rest;
    if (share_of(b->limit, r.num, r.den, &part, &rest))
        return MONEY_MAX;
    return part + (up && rest);
}

/* The i-th level of a budget: its warnings, the limit, where it is hard. False: there is none at this place. */
static bool budget_level(const struct budget *b, unsigned i, struct rate *ret)
{
    *ret = i < BUDGET_WARNINGS ? b->warn_at[i] : i == BUDGET_WARNINGS ? (struct rate){1, 1} : b->hard_at;
    return ret->num > 0 && ret->den > 0 && (i <= BUDGET_WARNINGS || b->hard);
}

#define BUDGET_LEVELS (BUDGET_WARNINGS + 2)

/* The lowest level above the percent. */
static unsigned level_after(const struct budget *b, unsigned percent, struct rate *ret)
{
    unsigned next = PERCENT_NEVER;
    struct rate r;
    for (unsigned i = 0; i < BUDGET_LEVELS; i++)
        if (budget_level(b, i, &r) && percent_of(r) > percent && percent_of(r) < next) {
            next = percent_of(r);
            *ret = r;
        }
    return next;
}

static void next_level(struct budget_counter *c, const struct budget *b)
{
    struct rate r;
    c->terms.next_percent = level_after(b, c->told_percent, &r);
    c->terms.next_level = c->terms.next_percent == PERCENT_NEVER ? MONEY_MAX : part_of_limit(b, r, true);
}

static bool rate_eq(struct rate a, struct rate b)
{
    return a.num == b.num && a.den == b.den;
}

/* A reload may have changed the terms since they were last worked out. */
static void terms_refresh(struct budget_counter *c, const struct budget *b)
{
    bool same = c->terms.limit == b->limit && rate_eq(c->terms.hard_at, b->hard_at);
    for (unsigned i = 0; i < BUDGET_WARNINGS && same; i++)
        same = rate_eq(c->terms.warn_at[i], b->warn_at[i]);
    if (same)
        return;
    c->terms.limit = b->limit;
    c->terms.hard_at = b->hard_at;
    memcpy(c->terms.warn_at, b->warn_at, sizeof b->warn_at);
    c->terms.hard_limit = part_of_limit(b, b->hard_at, false);
    next_level(c, b);
}

/* Raises what counts as told to what was reached. */
static void levels_reach(struct budget_counter *c, const struct budget *b)
{
    while (c->posted >= c->terms.next_level && c->posted > 0 && c->terms.next_percent != PERCENT_NEVER) {
        c->told_percent = c->terms.next_percent;
        next_level(c, b);
    }
}

/* What is to be told once the lock is free. The counter is kept for so long by a hold of its own. */
struct notice {
    struct budget_counter *counter;
    const struct budget *budget;
    unsigned after_percent, until_percent; /* levels in (after, until] */
    bool refused;
    money spent;
};

/* Adds to what was spent. True: a level was passed, and the notice says which. */
static bool counter_post(struct budget_counter *c, const struct budget *b, money amount, struct notice *ret)
{
    unsigned before = c->told_percent;
    money posted = c->posted + amount;
    c->posted = posted > MONEY_MAX / 2 ? MONEY_MAX / 2 : posted < -MONEY_MAX / 2 ? -MONEY_MAX / 2 : posted;
    terms_refresh(c, b);
    levels_reach(c, b);
    *ret = (struct notice){c, b, before, c->told_percent, false, c->posted};
    return c->told_percent > before;
}

static void notice_tell(const struct budget_book *k, const struct notice *n)
{
    struct rate r;
    if (!k->warn)
        return;
    if (n->refused)
        k->warn(k->owner, n->budget, n->counter->who, BUDGET_REFUSES, n->spent, &n->counter->period);
    for (unsigned p = level_after(n->budget, n->after_percent, &r); p <= n->until_percent && p != PERCENT_NEVER; p = level_after(n->budget, p, &r))
        k->warn(k->owner, n->budget, n->counter->who, p, n->spent, &n->counter->period);
}

/* Tells without the lock, and lets the counters go. Called with the lock, leaves it. */
static void unlock_and_tell(struct budget_book *k, struct notice *notices, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        notices[i].counter->holds++;
    pthread_mutex_unlock(&k->lock);
    if (n == 0)
        return;
    for (unsigned i = 0; i < n; i++)
        notice_tell(k, &notices[i]);
    pthread_mutex_lock(&k->lock);
    for (unsigned i = 0; i < n; i++)
        notices[i].counter->holds--;
    pthread_mutex_unlock(&k->lock);
}

/* ---- the book ---- */

struct budget_book *budget_book_new(budget_warn_fn *warn, void *owner)
{
    struct budget_book *k = calloc(1, sizeof *k);
    CHECK(k);
    digest_random(&k->seed, sizeof k->seed);
    pthread_mutex_init(&k->lock, NULL);
    k->warn = warn;
    k->owner = owner;
    return k;
}

void budget_book_free(struct budget_book *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->slots_n; i++)
        for (struct budget_counter *c = k->slots[i], *next; c; c = next) {
            next = c->next;
            free(c);
        }
    free(k->slots);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

size_t budget_counters(struct budget_book *k)
{
    pthread_mutex_lock(&k->lock);
    size_t n = k->counters_n;
    pthread_mutex_unlock(&k->lock);
    return n;
}

static enum err counter_of(struct budget_book *k, const struct wanted *w, int64_t now_us, struct budget_counter **ret)
{
    struct budget_counter *c = counter_find(k, w, now_us);
    enum err e = c ? ERR_OK : counter_make(k, w, now_us, &c);
    if (e)
        return e;
    terms_refresh(c, w->budget);
    *ret = c;
    return ERR_OK;
}

/* ---- taking ---- */

/* The budgets that a request is under. ERR_BUDGET: more than a hold has parts for. */
struct taking {
    unsigned n, notices_n;
    struct wanted wanted[BUDGET_HOLD_PARTS];
    struct budget_hold hold;
    struct notice notices[BUDGET_HOLD_PARTS];
    const struct budget *refused;
};

static enum err find_budgets(const struct budget_book *k, const struct budget_set *set, const struct budget_facts *f, const struct budget_amounts *a,
                             struct taking *t)
{
    for (unsigned i = 0; i < set->budgets_n; i++) {
        const struct budget *b = &set->budgets[i];
        if (!budget_applies(b, f, a))
            continue;
        t->refused = b;
        if (t->n == BUDGET_HOLD_PARTS)
            return ERR_BUDGET;
        money amount = amount_of(b, a);
        t->hold.parts[t->n] = (struct budget_part){NULL, b, amount > 0 ? amount : 0};
        t->wanted[t->n++] = wanted_of(k, b, fact_of(b, f));
    }
    return ERR_OK;
}

static bool fits(const struct budget_part *p)
{
    return !p->budget->hard || p->counter->posted + p->counter->pending + p->amount <= p->counter->terms.hard_limit;
}

static void note_refusal(struct taking *t, const struct budget_part *p)
{
    if (!p->counter->refusal_told)
        t->notices[t->notices_n++] = (struct notice){.counter = p->counter, .budget = p->budget, .refused = true, .spent = p->counter->posted};
    p->counter->refusal_told = true;
}

/* All counters there, and room in every one. */
static enum err try_take(struct budget_book *k, const struct budget_facts *f, struct taking *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        struct budget_part *p = &t->hold.parts[i];
        enum err e = counter_of(k, &t->wanted[i], f->now_us, &p->counter);
        if (e)
            return e;
        p->counter->holds++; /* so that making the next one sweeps none of these */
        t->hold.parts_n++;
        if (fits(p))
            continue;
        note_refusal(t, p);
        t->refused = p->budget;
        if (!may_pass(p->budget, f->model))
            return ERR_BUDGET;
    }
    return ERR_OK;
}

static void hold_keep(struct budget_hold *h)
{
    for (unsigned i = 0; i < h->parts_n; i++)
        h->parts[i].counter->pending += h->parts[i].amount;
}

static void hold_forget(struct budget_hold *h)
{
    for (unsigned i = 0; i < h->parts_n; i++)
        h->parts[i].counter->holds--;
}

enum err budget_take(struct budget_book *k, const struct budget_set *set, const struct budget_facts *f, const struct budget_amounts *worst,
                     struct budget_hold *ret, const struct budget **ret_refused)
{
    struct taking t;
    t.n = t.notices_n = t.hold.parts_n = 0;
    enum err e = find_budgets(k, set, f, worst, &t);
    if (!e && t.n) {
        pthread_mutex_lock(&k->lock);
        e = try_take(k, f, &t);
        if (e)
            hold_forget(&t.hold);
        else
            hold_keep(&t.hold);
        unlock_and_tell(k, t.notices, t.notices_n);
    }
    if (e == ERR_BUDGET)
        *ret_refused = t.refused;
    if (e)
        return e;
    ret->parts_n = t.n;
    memcpy(ret->parts, t.hold.parts, t.n * sizeof t.hold.parts[0]);
    return ERR_OK;
}

/* ---- ending ---- */

/* Posts what was used, if anything was; gives back what was held, if it ends. */
static void hold_move(struct budget_book *k, struct budget_hold *h, const struct budget_amounts *actual, bool ends)
{
    struct notice notices[BUDGET_HOLD_PARTS];
    unsigned n = 0;
    if (h->parts_n == 0)
        return;
    pthread_mutex_lock(&k->lock);
    for (unsigned i = 0; i < h->parts_n; i++) {
        struct budget_part *p = &h->parts[i];
        n += actual && counter_post(p->counter, p->budget, amount_of(p->budget, actual), &notices[n]);
        p->counter->pending -= ends ? p->amount : 0;
        p->counter->holds -= ends;
    }
    unlock_and_tell(k, notices, n);
    h->parts_n = ends ? 0 : h->parts_n;
}

void budget_settle(struct budget_book *k, struct budget_hold *h, const struct budget_amounts *actual)
{
    hold_move(k, h, actual, true);
}

void budget_release(struct budget_book *k, struct budget_hold *h)
{
    hold_move(k, h, NULL, true);
}

void budget_post(struct budget_book *k, struct budget_hold *h, const struct budget_amounts *actual)
{
    hold_move(k, h, actual, false);
}

enum err budget_restore(struct budget_book *k, const struct budget_set *set, const struct budget_facts *f, const struct budget_amounts *posted)
{
    enum err e = ERR_OK;
    struct notice untold;
    pthread_mutex_lock(&k->lock);
    for (unsigned i = 0; i < set->budgets_n && !e; i++) {
        const struct budget *b = &set->budgets[i];
        struct budget_counter *c;
        struct wanted w = wanted_of(k, b, fact_of(b, f));
        if (budget_applies(b, f, posted) && !(e = counter_of(k, &w, f->now_us, &c)))
            (void)counter_post(c, b, amount_of(b, posted), &untold);
    }
    pthread_mutex_unlock(&k->lock);
    return e;
}

/* ---- standings ---- */

/* Copies that are read without the lock. */
struct standings {
    struct budget_standing *items;
    char *text; /* of all `who`, one after the other */
    size_t n, text_n;
};

static void standing_add(struct standings *all, const struct budget *b, const struct budget_counter *c)
{
    struct budget_standing *s = &all->items[all->n++];
    *s = (struct budget_standing){.budget = b, .period = c->period, .posted = c->posted, .pending = c->pending};
    s->who = span_of(all->text + all->text_n, c->who.n);
    if (c->who.n)
        memcpy(all->text + all->text_n, c->who.p, c->who.n);
    all->text_n += c->who.n;
}

/* Calls with every counter of the budget that counts now, or only sizes them up (items NULL). */
static void standings_collect(const struct budget_book *k, const struct budget *b, int64_t now_us, struct standings *all)
{
    for (size_t i = 0; i < k->slots_n; i++)
        for (const struct budget_counter *c = k->slots[i]; c; c = c->next) {
            if (!holds_moment(c, now_us) || (c->who.n != 0) != b->each || !is_of_budget(c, b))
                continue;
            if (all->items) {
                standing_add(all, b, c);
            } else {
                all->n++;
                all->text_n += c->who.n;
            }
        }
}

static bool standings_copy(struct budget_book *k, const struct budget *b, int64_t now_us, struct standings *all)
{
    pthread_mutex_lock(&k->lock);
    standings_collect(k, b, now_us, all);
    all->items = calloc(all->n + 1, sizeof *all->items);
    all->text = malloc(all->text_n + 1);
    bool ok = all->items && all->text;
    all->n = all->text_n = 0;
    if (ok)
        standings_collect(k, b, now_us, all);
    pthread_mutex_unlock(&k->lock);
    return ok;
}

static void each_standing(struct budget_book *k, const struct budget *b, int64_t now_us, budget_standing_fn *fn, void *owner)
{
    struct standings all = {0};
    if (standings_copy(k, b, now_us, &all))
        for (size_t i = 0; i < all.n; i++)
            fn(owner, &all.items[i]);
    free(all.items);
    free(all.text);
}

/* Of a budget that is one counter, which need not be there yet. */
static void one_standing(struct budget_book *k, const struct budget *b, int64_t now_us, budget_standing_fn *fn, void *owner)
{
    struct budget_standing s = {.budget = b};
    struct wanted w = wanted_of(k, b, SPAN_NONE);
    pthread_mutex_lock(&k->lock);
    const struct budget_counter *c = counter_find(k, &w, now_us);
    if (c)
        s = (struct budget_standing){.budget = b, .period = c->period, .posted = c->posted, .pending = c->pending};
    pthread_mutex_unlock(&k->lock);
    if (!c)
        period_at(b->zone, b->unit, now_us, &s.period);
    fn(owner, &s);
}

void budget_each(struct budget_book *k, const struct budget_set *set, int64_t now_us, budget_standing_fn *fn, void *owner)
{
    for (unsigned i = 0; i < set->budgets_n; i++)
        (set->budgets[i].each ? each_standing : one_standing)(k, &set->budgets[i], now_us, fn, owner);
}
