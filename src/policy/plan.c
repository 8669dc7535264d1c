/* SPDX-License-Identifier: Apache-2.0
 *
 * One pass puts every deployment into one of four classes; then each class is put in order, and the classes follow each other:
 *
 *   FIRST        may answer; in the order of the model's `select`
 *   AFTER        returning from an ejection and not drawn this time
 *   LAST_RESORT  ejected or resting; who is back soonest comes first
 *   REMOVED      cannot answer this request at all
 */
#include "policy/plan.h"

#include "base/limits.h"
#include "base/random.h"

enum class { FIRST, AFTER, LAST_RESORT, REMOVED, CLASSES };

struct candidate {
    struct plan_entry entry;
    enum class class;
    uint64_t rank; /* within its class: smaller is earlier; equal ranks stay as listed */
};

static const char *const cannot[API_COUNT] = {
    [API_NONE] = "its dialect cannot answer this",
    [API_OPENAI_CHAT] = "its dialect cannot answer chat",
    [API_OPENAI_COMPLETIONS] = "its dialect cannot answer completions",
    [API_OPENAI_EMBEDDINGS] = "its dialect cannot answer embeddings",
};

/* One number from outside makes as many as are needed. */
static uint64_t draw_below(uint64_t *random, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)random_split(random) * bound) >> 64);
}

static bool serves(const struct dialect *dialect, enum api api)
{
    for (unsigned i = 0; i < API_COUNT && dialect->serves[i] != API_NONE; i++)
        if (dialect->serves[i] == api)
            return true;
    return false;
}

static void place(struct candidate *c, enum class class, uint64_t rank, const char *why)
{
    c->class = class;
    c->rank = rank;
    c->entry.why = why;
    c->entry.last_resort = class == LAST_RESORT;
    c->entry.removed = class == REMOVED;
}

/* A weighted choice multiplies by the share, so a returning deployment needs no second draw. */
static bool is_drawn(const struct model *m, unsigned share, uint64_t *random)
{
    return m->select == SELECT_WEIGHTED || draw_below(random, 100) < share;
}

static void classify(struct candidate *c, const struct model *m, const struct health *h, const struct plan_facts *f, uint64_t *random)
{
    const struct deployment *d = c->entry.deployment;
    enum health_state state = h ? health_state(h, d, f->now_ns) : HEALTH_IN;
    if (!serves(d->provider->dialect, f->api))
        place(c, REMOVED, 0, cannot[f->api < API_COUNT ? f->api : API_NONE]);
    else if (state == HEALTH_OUT)
        place(c, LAST_RESORT, health_back_at_ns(h, d), "ejected after failures in a row");
    else if (state == HEALTH_RESTING)
        place(c, LAST_RESORT, health_back_at_ns(h, d), "resting: the provider said that it is rate limited");
    else if (state == HEALTH_RETURNING && !is_drawn(m, health_share_percent(h, d, f->now_ns), random))
        place(c, AFTER, 0, "returning slowly after an ejection: not drawn this time");
    else
        place(c, FIRST, 0, "listed");
}

static uint64_t latency(const struct health *h, const struct candidate *c, uint64_t now_ns)
{
    return h ? health_latency_ns(h, c->entry.deployment, now_ns) : 0;
}

/* ---- the three ways to order the first class; c has its n candidates of class FIRST, as listed ---- */

static void order_as_listed(struct candidate **c, unsigned n, const struct health *h, const struct plan_facts *f, uint64_t *random)
{
    for (unsigned i = 0; i < n; i++)
        place(c[i], FIRST, i, i ? "listed next" : "listed first");
}

/* The weights are laid end to end and a point on them is drawn; who was taken has weight 0 from then on. */
static void order_by_weight(struct candidate **c, unsigned n, const struct health *h, const struct plan_facts *f, uint64_t *random)
{
    uint64_t weight[LIMIT_DEPLOYMENTS], total = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct deployment *d = c[i]->entry.deployment;
        weight[i] = (uint64_t)d->weight * (h ? health_share_percent(h, d, f->now_ns) : 100);
        total += weight[i];
        place(c[i], FIRST, n + i, "weight 0: after the others");
    }
    for (unsigned rank = 0; total; rank++) {
        unsigned at = 0;
        for (uint64_t point = draw_below(random, total); point >= weight[at]; at++)
            point -= weight[at];
        place(c[at], FIRST, rank, "drawn by weight");
        total -= weight[at];
        weight[at] = 0;
    }
}

static void order_by_latency(struct candidate **c, unsigned n, const struct health *h, const struct plan_facts *f, uint64_t *random)
{
    for (unsigned i = 0; i < n; i++)
        place(c[i], FIRST, 1 + latency(h, c[i], f->now_ns), "by latency");
    if (n < 2)
        return;
    unsigned a = (unsigned)draw_below(random, n), b = (unsigned)draw_below(random, n - 1);
    b += b >= a;
    place(c[c[b]->rank < c[a]->rank ? b : a], FIRST, 0, "the faster of two drawn at random");
}

typedef void order_fn(struct candidate **c, unsigned n, const struct health *h, const struct plan_facts *f, uint64_t *random);
static order_fn *const orders[] = {
    [SELECT_ORDERED] = order_as_listed,
    [SELECT_WEIGHTED] = order_by_weight,
    [SELECT_LEAST_LATENCY] = order_by_latency,
};

static void order_first_class(struct candidate *all, unsigned n, const struct model *m, const struct health *h, const struct plan_facts *f,
                              uint64_t *random)
{
    struct candidate *first[LIMIT_DEPLOYMENTS];
    unsigned first_n = 0;
    for (unsigned i = 0; i < n; i++)
        if (all[i].class == FIRST)
            first[first_n++] = &all[i];
    orders[m->select](first, first_n, h, f, random);
}

static bool comes_before(const struct candidate *a, const struct candidate *b)
{
    return a->class != b->class ? a->class < b->class : a->rank < b->rank;
}

/* Insertion: few candidates, mostly in order already, and equals stay as they stand. */
static void sort(struct candidate *all, unsigned n)
{
    for (unsigned i = 1; i < n; i++)
        for (unsigned j = i; j > 0 && comes_before(&all[j], &all[j - 1]); j--) {
            struct candidate swap = all[j];
            all[j] = all[j - 1];
            all[j - 1] = swap;
        }
}

static void forbid_all(struct candidate *all, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        place(&all[i], REMOVED, 0, "this key may not ask for this model");
}

/* A catch-all's own name says nothing about what was asked, so without the asked name there is nothing to match. */
static bool may_ask(const struct plan_facts *f, const struct model *m)
{
    if (f->asked.n)
        return key_may_ask(f->key, f->asked);
    return span_eq(m->name, MODEL_CATCH_ALL) || key_may_ask(f->key, m->name);
}

enum err plan_make(struct arena *a, const struct model *m, const struct health *h, const struct plan_facts *f, struct plan *ret)
{
    struct candidate all[LIMIT_DEPLOYMENTS];
    uint64_t random = f->random;
    unsigned n = m->deployments_n;
    CHECK(n <= LIMIT_DEPLOYMENTS && m->select < COUNT_OF(orders));
    for (unsigned i = 0; i < n; i++) {
        all[i] = (struct candidate){.entry.deployment = m->deployments[i]};
        classify(&all[i], m, h, f, &random);
    }
    bool allowed = may_ask(f, m);
    if (!allowed)
        forbid_all(all, n);
    order_first_class(all, n, m, h, f, &random);
    sort(all, n);

    *ret = (struct plan){.entries = ARENA_ARRAY(a, struct plan_entry, n), .entries_n = n};
    for (unsigned i = 0; i < n; i++) {
        ret->entries[i] = all[i].entry;
        ret->usable_n += !all[i].entry.removed;
    }
    if (!allowed)
        return ERR_FORBIDDEN;
    return ret->usable_n ? ERR_OK : ERR_NO_PROVIDER;
}

const struct deployment *plan_next(struct plan *p, const struct deployment *failed, bool again_ok)
{
    if (p->at < p->usable_n)
        return p->entries[p->at++].deployment;
    return again_ok ? failed : NULL;
}
