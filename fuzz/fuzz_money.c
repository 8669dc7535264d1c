/* SPDX-License-Identifier: Apache-2.0
 *
 * Amounts, prices, rates, counts and currencies of text nobody chose: what is accepted is written and read again as the same.
 */
#include "base/check.h"
#include "base/money.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_amount(struct span text)
{
    char out[MONEY_TEXT_BYTES];
    money m, again;
    if (money_parse(text, &m))
        return;
    CHECK(money_parse(money_format(out, m, (unsigned)text.n % 20), &again) == ERR_OK && again == m);
    CHECK(money_parse_integer(money_format_integer(out, m), &again) == ERR_OK && again == m);
}

static void check_rate(struct span text)
{
    char out[MONEY_TEXT_BYTES];
    struct rate r, again;
    money product;
    if (rate_parse(text, &r))
        return;
    CHECK(r.den > 0 && money_common_divisor(r.num, r.den) == 1);
    CHECK(rate_parse(rate_format(out, r), &again) == ERR_OK && again.num == r.num && again.den == r.den);
    CHECK(money_times_exact(r.den, r, &product) == ERR_OK && product == r.num);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span text = span_of(data, n);
    char code[CURRENCY_BYTES];
    int64_t price;
    check_amount(text);
    check_rate(text);
    if (!money_parse_price(text, &price))
        CHECK(price >= 0);
    CHECK(currency_parse(text, code) == (currency_decimals(text) >= 0));
    return 0;
}
