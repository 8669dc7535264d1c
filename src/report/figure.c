/* SPDX-License-Identifier: Apache-2.0
 *
 * Commas go into the digits before the point; everything else is money_format's.
 */
#include "report/figure.h"

/* plain: an optional sign, digits, an optional rest from the point on. */
static struct span with_commas(char out[FIGURE_BYTES], struct span plain)
{
    size_t sign = plain.n && plain.p[0] == '-', end = sign, at = 0;
    while (end < plain.n && plain.p[end] != '.')
        end++;
    for (size_t i = 0; i < plain.n && at + 2 < FIGURE_BYTES; i++) {
        if (i > sign && i < end && (end - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = plain.p[i];
    }
    out[at] = 0;
    return span_of(out, at);
}

struct span figure_count(char out[FIGURE_BYTES], int64_t n)
{
    char plain[MONEY_TEXT_BYTES];
    return with_commas(out, money_format_integer(plain, n));
}

struct span figure_money(char out[FIGURE_BYTES], money m, unsigned decimals_min)
{
    char plain[MONEY_TEXT_BYTES];
    return with_commas(out, money_format(plain, m, decimals_min));
}

struct span figure_price(char out[FIGURE_BYTES], int64_t price)
{
    if (price == PRICE_NONE)
        return span_of(memcpy(out, "-", 2), 1);
    return figure_money(out, (money)price * 1000000, 2); /* 10^-15 per unit, a million of them */
}

struct span figure_rate(char out[FIGURE_BYTES], struct rate r)
{
    char plain[MONEY_TEXT_BYTES];
    struct span text = rate_format(plain, r);
    memcpy(out, text.p, text.n);
    out[text.n] = 0;
    return span_of(out, text.n);
}
