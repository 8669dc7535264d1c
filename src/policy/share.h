/* SPDX-License-Identifier: Apache-2.0
 *
 * Who gets how much: every division of money in the program, but for waterfalls (policy/waterfall.h), which stand on this. Pure integers, each
 * rounding with its name. Amounts are in whatever unit the caller counts in (cents, 10^-15); nothing here knows.
 * Source of the rules: shared/agreement-facts.md section 4 (R4 to R9) and the worked numbers of its section 2, which t/30-ledger reproduces.
 */
#ifndef ENTENTE_POLICY_SHARE_H
#define ENTENTE_POLICY_SHARE_H

#include "base/money.h"

#define SHARE_PARTIES_MAX 32u

/* floor(m x num / den), exact in between, for den > 0 and num >= 0; *ret_rest (or NULL) is what was cut, in 1/den: m x num = ret x den + rest,
 * 0 <= rest < den. ERR_RANGE when the result or den does not fit. The one division that all the others are made of. */
enum err share_of(money m, money num, money den, money *ret, money *ret_rest) MUST_CHECK;

/* R4, two parties: floor(rate x cumulative base) - accrued so far, what the payee gets now; with a total cap (MONEY_MAX: none). Negative when the
 * base fell. ERR_RANGE on overflow and for a negative rate. */
enum err share_accrue(struct rate r, money base_cumulative, money accrued, money cap, money *ret) MUST_CHECK;

/* R5, a pot for several by weights: largest remainder, ties to the first listed; allot(-x) = -allot(x) (R7). The weights need not add up to
 * anything. out[i] sums to pot, each within one unit of exact; who has no weight gets nothing. ERR_RANGE when a weight is negative, all are zero,
 * or (rates) more than SHARE_PARTIES_MAX are given or they have no common denominator in 127 bits. */
enum err share_allot(money pot, const struct rate *weights, unsigned n, money *out) MUST_CHECK;
enum err share_allot_by(money pot, const money *weights, unsigned n, money *out) MUST_CHECK; /* weights that are counts: tokens, amounts; any n */
/* The integers that rates are in proportion to, and the whole of which they are parts: weights[i] / whole = rates[i]. ERR_RANGE as above. */
enum err share_weights(const struct rate *rates, unsigned n, money *weights, money *ret_whole) MUST_CHECK;

/* ---- commitments ---- */

/* Shortfall at a milestone: what is missing to the cumulative requirement; a shortfall that was paid counts as paid from then on. Never negative. */
money commit_shortfall(money required_cumulative, money counted_cumulative, money paid_shortfalls);
/* Pace between milestones is linear: required to date, cut to whole units. ERR_RANGE when dates or requirements are not increasing. */
struct milestone {
    int64_t at_us;
    money required; /* cumulative */
};
enum err commit_required(int64_t from_us, const struct milestone *m, unsigned n, int64_t now_us, money *ret) MUST_CHECK;

/* ---- settlement; these count in 10^-15 ---- */

/* R8: whole minor units (decimals 0 to 15), truncated towards zero; the remainder stays in the account. */
money settle_minor_units(money m, int decimals);
/* Lines rounded for display so that they add up to the settled total: largest remainder; display(-x) = -display(x). ERR_RANGE: the sum overflows. */
enum err settle_display(const money *lines, unsigned n, int decimals, money *out, money *ret_total) MUST_CHECK;

/* R9: converts at a rate (to per from), rounding in favour of the fx account: down, so that it pays out less and takes in more. ERR_RANGE. */
enum err fx_convert(money from, struct rate to_per_from, money *ret) MUST_CHECK;

#endif
