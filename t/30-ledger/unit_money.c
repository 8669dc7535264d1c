/* SPDX-License-Identifier: Apache-2.0
 *
 * Decimal text to integers and back: exact, or refused with the reason.
 */
#include "base/check.h"
#include "base/money.h"
#include "unit.h"
#include "unit_random.h"

static void expect_money(const char *text, money got, money wanted)
{
    char a[MONEY_TEXT_BYTES], b[MONEY_TEXT_BYTES];
    if (got != wanted)
        UNIT_FAIL("\"%s\" is %s, expected %s", text, money_format_integer(a, got).p, money_format_integer(b, wanted).p);
}

TEST(an_amount_is_read_to_the_last_digit)
{
    static const struct {
        const char *text, *count; /* of 10^-15 */
    } rows[] = {
        {"0", "0"}, {"-0", "0"}, {"0.264", "264000000000000"}, {"-12.5", "-12500000000000000"}, {"2.5e-07", "250000000"},
        {"9200", "9200000000000000000"}, {"1E2", "100000000000000000"}, {"1e+2", "100000000000000000"}, {"0.000000000000001", "1"}, {"10e-16", "1"},
        {"1.000e-15", "1"}, {"00012", "12000000000000000"}, {"0e999999999999999999", "0"}, {"0.00032885", "328850000000"},
        {"92000000000", "92000000000000000000000000"}, {"170141183460469231731687.303715884105727", "170141183460469231731687303715884105727"},
        {"-170141183460469231731687.303715884105727", "-170141183460469231731687303715884105727"},
        {"1" "00000000000000000000000000000000000000000000000000000000000000000000000000000000e-80", "1000000000000000"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        money got = 7, wanted = 8;
        EXPECT_EQ(money_parse(span_str(rows[i].text), &got), ERR_OK);
        EXPECT_EQ(money_parse_integer(span_str(rows[i].count), &wanted), ERR_OK);
        expect_money(rows[i].text, got, wanted);
    }
}

TEST(an_amount_that_is_no_number_or_does_not_fit_is_refused)
{
    static const char *const broken[] = {
        "", "-", "+1", "1.", ".5", "1e", "1e+", "1e-", "--1", "1 ", " 1", "1,5", "0x10", "1e1.5", "inf", "nan", "1_000", "1e5e5", "1.2.3", "-.5",
    };
    static const char *const unfit[] = {
        "0.0000000000000001", "1e-16", "1e24", "170141183460469231731687.303715884105728", "1e999999999999999999", "1e-999999999999999999",
        "12345678901234567890123456789012345678901234567890", "1.0000000000000000000000000000000000000000000001",
        "-170141183460469231731687.303715884105728",
    };
    money got = 7;
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        if (money_parse(span_str(broken[i]), &got) != ERR_SYNTAX)
            UNIT_FAIL("\"%s\" was not refused as no number", broken[i]);
    for (size_t i = 0; i < COUNT_OF(unfit); i++)
        if (money_parse(span_str(unfit[i]), &got) != ERR_RANGE)
            UNIT_FAIL("\"%s\" was not refused as not representable", unfit[i]);
    EXPECT(got == 7);
}

TEST(an_amount_of_four_hundred_digits_is_refused_and_one_of_four_hundred_zeros_read)
{
    char text[402];
    money got = 7;
    memset(text, '9', sizeof text);
    EXPECT_EQ(money_parse(span_of(text, 400), &got), ERR_RANGE);
    EXPECT_EQ(money_parse(span_of(text, 401), &got), ERR_RANGE);
    memset(text, '0', sizeof text);
    EXPECT_EQ(money_parse(span_of(text, 401), &got), ERR_RANGE);
    EXPECT_EQ(money_parse(span_of(text, 400), &got), ERR_OK);
    EXPECT(got == 0);
}

TEST(a_price_is_what_a_million_cost)
{
    int64_t price = 7;
    EXPECT_EQ(money_parse_price(SPAN("0.25"), &price), ERR_OK);
    EXPECT_EQ(price, 250000000);
    EXPECT_EQ(money_parse_price(SPAN("1e-9"), &price), ERR_OK);
    EXPECT_EQ(price, 1);
    EXPECT_EQ(money_parse_price(SPAN("9223372036.854775807"), &price), ERR_OK);
    EXPECT(price == INT64_MAX);
    EXPECT_EQ(money_parse_price(SPAN("9223372036.854775808"), &price), ERR_RANGE);
    EXPECT_EQ(money_parse_price(SPAN("1e-10"), &price), ERR_RANGE);
    EXPECT_EQ(money_parse_price(SPAN("-0.25"), &price), ERR_RANGE);
    EXPECT_EQ(money_parse_price(SPAN("free"), &price), ERR_SYNTAX);
    EXPECT(price == INT64_MAX);
}

/* Worked prices, USD per million: quantity x price is the amount, with nothing to round. */
TEST(a_quantity_times_a_price_is_exact)
{
    static const struct {
        struct {
            int64_t quantity;
            const char *price;
        } lines[3];
        const char *times, *amount;
    } rows[] = {
        {{{1313, "0.25"}, {3, "0.20"}, {0, "0"}}, "1", "0.00032885"},
        {{{1000000, "0.20"}, {200000, "0.02"}, {50000, "1.20"}}, "1", "0.264"},
        {{{1000000, "0.20"}, {200000, "0.02"}, {50000, "1.20"}}, "1.1", "0.2904"},
        {{{250000, "2.50"}, {0, "0"}, {0, "0"}}, "1", "0.625"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[MONEY_TEXT_BYTES];
        struct rate times = {0, 1};
        money sum = 0, all = -1;
        EXPECT_EQ(rate_parse(span_str(rows[i].times), &times), ERR_OK);
        for (size_t k = 0; k < COUNT_OF(rows[i].lines); k++) {
            int64_t price = 0;
            EXPECT_EQ(money_parse_price(span_str(rows[i].lines[k].price), &price), ERR_OK);
            sum += money_of(rows[i].lines[k].quantity, price);
        }
        EXPECT_EQ(money_times_exact(sum, times, &all), ERR_OK);
        EXPECT_STR(money_format(text, all, 2).p, rows[i].amount);
    }
}

TEST(an_amount_is_shown_with_the_decimals_that_matter)
{
    static const struct {
        const char *count;
        unsigned decimals_min;
        const char *text;
    } rows[] = {
        {"0", 0, "0"}, {"0", 2, "0.00"}, {"264000000000000", 2, "0.264"}, {"-5000000000000000", 2, "-5.00"}, {"-5000000000000000", 0, "-5"},
        {"1", 0, "0.000000000000001"}, {"-1", 2, "-0.000000000000001"}, {"1500000000000000", 0, "1.5"}, {"1500000000000000", 3, "1.500"},
        {"1000000000000000", 99, "1.000000000000000"}, {"170141183460469231731687303715884105727", 2, "170141183460469231731687.303715884105727"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[MONEY_TEXT_BYTES];
        money m = 7;
        EXPECT_EQ(money_parse_integer(span_str(rows[i].count), &m), ERR_OK);
        struct span text = money_format(out, m, rows[i].decimals_min);
        EXPECT_STR(out, rows[i].text);
        EXPECT(text.p == out && text.n == strlen(out));
    }
}

TEST(the_least_amount_of_all_can_be_shown)
{
    char out[MONEY_TEXT_BYTES];
    money least = -MONEY_MAX - 1;
    EXPECT_STR(money_format_integer(out, least).p, "-170141183460469231731687303715884105728");
    EXPECT_STR(money_format(out, least, 2).p, "-170141183460469231731687.303715884105728");
}

TEST(what_was_written_is_read_again)
{
    random_seed(3);
    for (int round = 0; round < 20000; round++) {
        char out[MONEY_TEXT_BYTES];
        money m = random_below(1u << 31), again = 7;
        for (unsigned i = random_below(5); i > 0; i--)
            m = (money)((unsigned __int128)m << 24) + random_below(1 << 24);
        m = (m < 0 ? -(m + 1) : m) * (random_below(2) ? 1 : -1);
        EXPECT_EQ(money_parse(money_format(out, m, random_below(17)), &again), ERR_OK);
        expect_money(out, again, m);
        EXPECT_EQ(money_parse_integer(money_format_integer(out, m), &again), ERR_OK);
        expect_money(out, again, m);
    }
}

TEST(a_stored_count_is_digits_and_nothing_else)
{
    static const char *const broken[] = {"", "-", "1.0", "1e3", "+1", " 1", "1-", "0x1", "--1"};
    money got = 7;
    for (size_t i = 0; i < COUNT_OF(broken); i++)
        if (money_parse_integer(span_str(broken[i]), &got) != ERR_SYNTAX)
            UNIT_FAIL("\"%s\" was read", broken[i]);
    EXPECT_EQ(money_parse_integer(SPAN("170141183460469231731687303715884105728"), &got), ERR_RANGE);
    EXPECT(got == 7);
}

TEST(a_rate_is_a_fraction_and_nothing_is_lost)
{
    static const struct {
        const char *text;
        enum err e;
        int64_t num, den;
        const char *again;
    } rows[] = {
        {"49%", ERR_OK, 49, 100, "49%"}, {"0.2", ERR_OK, 1, 5, "20%"}, {"1/3", ERR_OK, 1, 3, "1/3"}, {"1.1", ERR_OK, 11, 10, "110%"},
        {"5.5%", ERR_OK, 11, 200, "5.5%"}, {"0", ERR_OK, 0, 1, "0%"}, {"-15%", ERR_OK, -3, 20, "-15%"}, {"2/6", ERR_OK, 1, 3, "1/3"},
        {"4/2", ERR_OK, 2, 1, "200%"}, {"1e-18", ERR_OK, 1, 1000000000000000000, "1/1000000000000000000"},
        {"9223372036854775807", ERR_OK, INT64_MAX, 1, "922337203685477580700%"},
        {"922337203685477580700%", ERR_OK, INT64_MAX, 1, "922337203685477580700%"},
        {"1/9223372036854775807", ERR_OK, 1, INT64_MAX, "1/9223372036854775807"}, {"1/0", ERR_RANGE, 0, 0, NULL}, {"1/-3", ERR_RANGE, 0, 0, NULL},
        {"1e-19", ERR_RANGE, 0, 0, NULL}, {"1e19", ERR_RANGE, 0, 0, NULL}, {"1/9223372036854775808", ERR_RANGE, 0, 0, NULL},
        {"", ERR_SYNTAX, 0, 0, NULL}, {"%", ERR_SYNTAX, 0, 0, NULL}, {"1/", ERR_SYNTAX, 0, 0, NULL}, {"/3", ERR_SYNTAX, 0, 0, NULL},
        {"1/3%", ERR_SYNTAX, 0, 0, NULL}, {"5%%", ERR_SYNTAX, 0, 0, NULL}, {"half", ERR_SYNTAX, 0, 0, NULL}, {"1/2/3", ERR_SYNTAX, 0, 0, NULL},
        {"0.5/2", ERR_SYNTAX, 0, 0, NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[MONEY_TEXT_BYTES];
        struct rate r = {7, 7};
        if (rate_parse(span_str(rows[i].text), &r) != rows[i].e)
            UNIT_FAIL("\"%s\" is not %s", rows[i].text, err_name(rows[i].e));
        EXPECT_EQ(r.num, rows[i].e ? 7 : rows[i].num);
        EXPECT_EQ(r.den, rows[i].e ? 7 : rows[i].den);
        if (!rows[i].e)
            EXPECT_STR(rate_format(out, r).p, rows[i].again);
    }
}

TEST(a_product_that_is_not_whole_is_refused)
{
    money m = 7;
    EXPECT_EQ(money_times_exact(200000000, (struct rate){11, 10}, &m), ERR_OK);
    EXPECT(m == 220000000);
    EXPECT_EQ(money_times_exact(-10, (struct rate){50, 100}, &m), ERR_OK); /* a fraction that was not reduced */
    EXPECT(m == -5);
    EXPECT_EQ(money_times_exact(1, (struct rate){11, 10}, &m), ERR_RANGE);
    EXPECT_EQ(money_times_exact(MONEY_MAX, (struct rate){2, 1}, &m), ERR_RANGE);
    EXPECT_EQ(money_times_exact(1, (struct rate){1, 0}, &m), ERR_RANGE);
    EXPECT(m == -5);
}

TEST(a_currency_has_the_decimals_of_its_coins)
{
    static const struct {
        const char *code;
        int decimals;
    } rows[] = {
        {"USD", 2}, {"EUR", 2}, {"JPY", 0}, {"KWD", 3}, {"BHD", 3}, {"CLF", 4}, {"CLP", 0}, {"ISK", 0}, {"HUF", 2}, {"ZWG", 2}, {"usd", 2},
        {"US", -1}, {"USDT", -1}, {"", -1}, {"XAU", -1}, {"SD ", -1}, {"DAE", -1}, {"   ", -1},
    };
    char code[CURRENCY_BYTES] = "-";
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        EXPECT_EQ(currency_decimals(span_str(rows[i].code)), rows[i].decimals);
    EXPECT(!currency_parse(SPAN("dollars"), code));
    EXPECT_STR(code, "-");
    EXPECT(currency_parse(SPAN("eUr"), code));
    EXPECT_STR(code, "EUR");
}

UNIT_MAIN
