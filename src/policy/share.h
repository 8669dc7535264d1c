/* SPDX-License-Identifier: Apache-2.0
 *
 * Who gets how much: every division of money in the program. Pure integers, each rounding with its name. Amounts are in whatever unit the
 * caller counts in (cents, 10^-15); nothing here knows.
 * Source of the rules: shared/agreement-facts.md section 4 (R4 to R8) and the worked numbers of its section 2, which t/30-ledger reproduces.
 */
#ifndef ENTENTE_POLICY_SHARE_H
#define ENTENTE_POLICY_SHARE_H

#include "base/money.h"

#define SHARE_PARTIES_MAX 32u
#define WATERFALL_TIERS_MAX 32u

/* R4, two parties: floor(rate x cumulative base) - accrued so far, what the payee gets now; with a total cap (MONEY_MAX: none). Negative when the
 * base fell. ERR_RANGE on overflow. */
enum err share_accrue(struct rate r, money base_cumulative, money accrued, money cap, money *ret) MUST_CHECK;

/* R5, a pot for several by weights: largest remainder, ties to the first listed; allot(-x) = -allot(x) (R7). The weights need not add up to
 * anything; all zero is ERR_RANGE. out[i] sums to pot, each within one unit of exact. */
enum err share_allot(money pot, const struct rate *weights, unsigned n, money *out) MUST_CHECK;

/* ---- capped waterfalls (R6) ---- */

struct waterfall_stop {
    unsigned party;
    money until;       /* all the party has received under the waterfall, every tier counted */
    bool in_this_tier; /* only what this tier gave counts */
};
struct waterfall_tier {
    const char *name;
    struct rate share[SHARE_PARTIES_MAX]; /* by party; 0/1: none; they add up to 1 */
    struct waterfall_stop stops[4];       /* the first reached ends the tier; none: the last tier */
    unsigned stops_n;
};
struct waterfall {
    const char *name;
    unsigned parties_n, tiers_n;
    const char *parties[SHARE_PARTIES_MAX];
    struct waterfall_tier tiers[WATERFALL_TIERS_MAX];
};
/* What the parties have received so far: the whole state. It is read off the ledger's distribution accounts; there is no other counter. */
struct waterfall_state {
    money received[SHARE_PARTIES_MAX];
    money received_in_tier[WATERFALL_TIERS_MAX][SHARE_PARTIES_MAX];
};
struct waterfall_slice {
    unsigned tier;
    money amount;
    money shares[SHARE_PARTIES_MAX];
};
/* Shares of each tier add up to 1, a last tier without stop exists and no earlier one is without, no tier is unreachable, parties in range. Else
 * ERR_SYNTAX with a sentence in why. */
enum err waterfall_check(const struct waterfall *w, char why[256]) MUST_CHECK;
/* Distributes one pot (>= 0) slice by slice from the state, and advances the state. *ret_n slices, at most tiers_n. */
enum err waterfall_distribute(const struct waterfall *w, struct waterfall_state *s, money pot, struct waterfall_slice *out, unsigned *ret_n) MUST_CHECK;
/* Takes back `pot` from the newest of the n slices (newest last), which it shortens or empties; the state goes back with them. R7. What
 * exceeds them is left in *ret_rest. */
enum err waterfall_unwind(const struct waterfall *w, struct waterfall_state *s, struct waterfall_slice *slices, unsigned *n, money pot, money *ret_rest) MUST_CHECK;

/* ---- commitments ---- */

/* Shortfall at a milestone: what is missing to the cumulative requirement; a shortfall that was paid counts as paid from then on. */
money commit_shortfall(money required_cumulative, money counted_cumulative, money paid_shortfalls);
/* Pace between milestones is linear: required to date. ERR_RANGE when the dates are not increasing. */
struct milestone {
    int64_t at_us;
    money required;
};
enum err commit_required(int64_t from_us, const struct milestone *m, unsigned n, int64_t now_us, money *ret) MUST_CHECK;

/* R8: whole minor units, truncated towards zero; the remainder stays in the account. */
money settle_minor_units(money m, int decimals);
/* Lines rounded for display so that they add up to the rounded total: largest remainder. */
enum err settle_display(const money *lines, unsigned n, int decimals, money *out, money *ret_total) MUST_CHECK;

/* R9: converts at a rate (to per from), rounding in favour of the fx account: towards zero for what it pays out. ERR_RANGE. */
enum err fx_convert(money from, struct rate to_per_from, money *ret) MUST_CHECK;

#endif
