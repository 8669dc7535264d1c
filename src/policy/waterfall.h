/* SPDX-License-Identifier: Apache-2.0
 *
 * Capped waterfalls: a pot runs through tiers, each of which shares it out until a party has what its stop says. R5 to R7 of
 * shared/agreement-facts.md section 4; the reading of tiers and stops is that of the agreement language ("waterfall W1: …").
 * The state is what was distributed, read off the ledger's accounts; there is no other counter. Amounts in any unit, all in the same.
 */
#ifndef ENTENTE_POLICY_WATERFALL_H
#define ENTENTE_POLICY_WATERFALL_H

#include "policy/share.h"

#define WATERFALL_TIERS_MAX 32u
#define WATERFALL_STOPS_MAX 4u
#define WATERFALL_WHY_BYTES 256u

struct waterfall_stop {
    unsigned party;
    money until;       /* all the party has received under the waterfall, every tier counted */
    bool in_this_tier; /* only what this tier gave counts */
};
struct waterfall_tier {
    const char *name;
    struct rate share[SHARE_PARTIES_MAX]; /* by party; 0/1: none; they add up to 1 */
    struct waterfall_stop stops[WATERFALL_STOPS_MAX]; /* the first reached ends the tier; none: the last tier */
    unsigned stops_n;
};
struct waterfall {
    const char *name;
    unsigned parties_n, tiers_n;
    const char *parties[SHARE_PARTIES_MAX];
    struct waterfall_tier tiers[WATERFALL_TIERS_MAX];
};
struct waterfall_state {
    money received[SHARE_PARTIES_MAX];
    money received_in_tier[WATERFALL_TIERS_MAX][SHARE_PARTIES_MAX];
};
struct waterfall_slice { /* what one tier gave of one pot */
    unsigned tier;
    money amount;
    money shares[SHARE_PARTIES_MAX]; /* they add up to amount */
};

/* Shares of each tier add up to 1, stops are positive, a last tier without stop exists and no earlier one is without, no tier is unreachable, parties
 * are in range. Else ERR_SYNTAX with a sentence in why. The functions below want a waterfall that passed. */
enum err waterfall_check(const struct waterfall *w, char why[WATERFALL_WHY_BYTES]) MUST_CHECK;
/* Distributes one pot slice by slice from the state, and advances the state. *ret_n slices, at most tiers_n. Nobody passes a stop of the tier that
 * pays: where rounding would, the unit goes to the others. ERR_RANGE, state untouched: pot negative, or somebody's total would overflow. */
enum err waterfall_distribute(const struct waterfall *w, struct waterfall_state *s, money pot, struct waterfall_slice *out,
                              unsigned *ret_n) MUST_CHECK;
/* Takes back `pot` from the newest of the n slices (newest last), which it shortens (pro rata to what they gave) or drops; the state goes back with
 * them. R7. What exceeds them all is left in *ret_rest, a receivable of the caller's. ERR_RANGE, nothing touched: pot negative. */
enum err waterfall_unwind(const struct waterfall *w, struct waterfall_state *s, struct waterfall_slice *slices, unsigned *n, money pot,
                          money *ret_rest) MUST_CHECK;

#endif
