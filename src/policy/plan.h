/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan: which deployments may answer one request, in what order, and why each was placed or removed. Pure but for the health it is
 * shown. The agreement's clauses will remove and order candidates here; today the reasons are config, key and health.
 */
#ifndef ENTENTE_POLICY_PLAN_H
#define ENTENTE_POLICY_PLAN_H

#include "policy/health.h"

struct plan_facts {
    enum api api;
    const struct key *key;  /* NULL: may ask for everything */
    struct span asked;      /* the name the client asked for; empty: the model's, and then a catch-all is not held against the key's
                               patterns (who asked key_may_ask before may leave it empty) */
    uint64_t now_ns;
    uint64_t random;
};

struct plan_entry {
    const struct deployment *deployment;
    bool removed;        /* never tried */
    bool last_resort;    /* ejected or resting: tried only when nothing better is left */
    const char *why;     /* static sentence: "listed first", "ejected after 5 failures", "cannot answer embeddings" */
};

struct plan {
    struct plan_entry *entries; /* in order of trying; removed ones at the end */
    unsigned entries_n;
    unsigned usable_n;
    unsigned at;                /* next to try */
};

/* ERR_FORBIDDEN when the key may not ask for the model, ERR_NO_PROVIDER when none is left. The plan is filled in these cases, too, so that
 * the reasons can be told. h NULL: nothing is known, all are well. */
enum err plan_make(struct arena *a, const struct model *m, const struct health *h, const struct plan_facts *f, struct plan *ret) MUST_CHECK;
/* The next deployment to try after `failed` (NULL at first). again_ok: the same one may be tried again, when it is the only one left. NULL: no more.
 * No deployment comes twice but for again_ok. */
const struct deployment *plan_next(struct plan *p, const struct deployment *failed, bool again_ok);

#endif
