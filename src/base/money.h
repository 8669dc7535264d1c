/* SPDX-License-Identifier: Apache-2.0
 *
 * Money as integers. An amount is a signed 128-bit count of 10^-15 of a currency's major unit; a price is a 64-bit count of 10^-9 major
 * units per 1,000,000 units, which is the same integer as 10^-15 per unit, so that amount = quantity x price, exact. No floating point, no
 * division here; what must be divided is divided by policy/share.h, where each rounding has a name.
 * Source of the rules: shared/agreement-facts.md section 4, kept in docs/principles.md.
 */
#ifndef ENTENTE_BASE_MONEY_H
#define ENTENTE_BASE_MONEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

typedef __int128 money; /* the one typedef that is no function: an integer cannot be a struct without losing its operators */

#define MONEY_DECIMALS 15
#define MONEY_ONE ((money)1000000000000000)      /* one major unit */
#define MONEY_MAX ((money)((~(unsigned __int128)0) >> 1))
#define MONEY_TEXT_BYTES 44                      /* sign, 24 digits, point, 15 decimals, NUL, and room */
#define PRICE_NONE INT64_MIN                     /* no price was said; never zero */

/* Decimal text ("-12.5", "2.5e-07", "9200") times 10^scale as an integer. Refuses what is not a number (ERR_SYNTAX), what does not come out
 * whole or needs more than 127 bits (ERR_RANGE), and more than 400 characters (ERR_RANGE). */
enum err money_parse_scaled(struct span text, int scale, money *ret) MUST_CHECK;
enum err money_parse(struct span text, money *ret) MUST_CHECK;      /* scale 15: an amount in major units */
enum err money_parse_price(struct span text, int64_t *ret) MUST_CHECK; /* per 1M units, scale 9; negative prices are ERR_RANGE */

/* Decimal text with at least `decimals_min` (up to 15) decimals and no more than needed; "0.264", "-5.00". All text ends in a NUL, too. */
struct span money_format(char out[MONEY_TEXT_BYTES], money m, unsigned decimals_min);
struct span money_format_integer(char out[MONEY_TEXT_BYTES], money m); /* the count itself, for storage: "264000000000000" */
enum err money_parse_integer(struct span text, money *ret) MUST_CHECK; /* back again; the one count below -MONEY_MAX is ERR_RANGE */

static inline money money_of(int64_t quantity, int64_t price) { return (money)quantity * price; } /* cannot overflow */
static inline bool money_add(money a, money b, money *ret) { return !__builtin_add_overflow(a, b, ret); } /* false: overflow, ret undefined */

/* A rate as a fraction, den > 0, reduced: 49 % is 49/100. "49%", "0.2", "1/3", "1.1". ERR_SYNTAX, ERR_RANGE. */
struct rate {
    int64_t num, den;
};
enum err rate_parse(struct span text, struct rate *ret) MUST_CHECK;
struct span rate_format(char out[MONEY_TEXT_BYTES], struct rate r); /* "49%" where that is exact, else "1/3" */
/* m x r when it comes out whole; ERR_RANGE when not, or when it overflows. */
enum err money_times_exact(money m, struct rate r, money *ret) MUST_CHECK;

money money_common_divisor(money a, money b); /* the greatest, >= 0; of 0 and 0: 0. Not for the least money of all */

#define CURRENCY_BYTES 4 /* three letters and NUL */
int currency_decimals(struct span code);  /* ISO 4217 minor unit: 2 for USD and EUR, 0 for JPY, 3 for KWD; -1: unknown code */
bool currency_parse(struct span text, char ret[CURRENCY_BYTES]); /* known code, either case */

#endif
