/* SPDX-License-Identifier: Apache-2.0
 *
 * What the terms of a book come to: the worked numbers of the agreement facts to the last digit, and a table for each kind.
 */
#include "report/terms.h"

#include "base/digest.h"
#include "unit.h"

#define US INT64_C(1000000)
#define DAY (86400 * US)

static struct arena arena;
static struct price_term term;
static struct price_book book = {.name = "azure", .seller = "microsoft", .buyer = "acme", .currency = "USD", .valid_until_us = PRICE_TIME_MAX,
                                 .terms = &term, .terms_n = 1};
static struct terms_input in;
static struct term_line *lines;
static unsigned n;

static money usd(const char *text)
{
    money m = 0;
    EXPECT(money_parse(span_str(text), &m) == ERR_OK);
    return m;
}

static struct price_term term_of(enum price_term_kind kind)
{
    return (struct price_term){.kind = kind, .name = "T1", .model = SPAN("*"), .provider = SPAN("*"), .usage = USAGE_CLASSES, .cap = MONEY_MAX};
}

static void begin(enum price_term_kind kind)
{
    arena_fini(&arena);
    term = term_of(kind);
    book.terms = &term;
    book.terms_n = 1;
    in = (struct terms_input){.book = &book, .period = {.from_us = 0, .until_us = 30 * DAY, .label = "2026-11"}};
}

static const char *first_amount(void)
{
    static char out[MONEY_TEXT_BYTES + 1];
    if (!EXPECT(terms_compute(&arena, &in, &lines, &n) == ERR_OK))
        return "error";
    if (!n)
        return "none";
    struct span text = money_format(out, lines[0].amount, 0);
    return out[text.n] = 0, out;
}

static struct term_use charged(const char *model, const char *amount)
{
    return (struct term_use){SPAN("azure-eu"), span_str(model), TERMS_CORRECTION, 0, PRICE_NONE, usd(amount)};
}

static struct term_use used(const char *model, enum usage_class c, int64_t quantity, int64_t price)
{
    return (struct term_use){SPAN("azure-eu"), span_str(model), c, quantity, price, price == PRICE_NONE ? 0 : money_of(quantity, price)};
}

TEST(capacity_costs_its_units_for_every_hour_used_or_not)
{
    begin(TERM_CAPACITY);
    term.quantity = 20;
    term.amount = usd("1.00");
    EXPECT_STR(first_amount(), "14400");
    EXPECT_SPAN(lines[0].how, "20 units x 1.00 x 720 hours");
    in.period.until_us = 31 * DAY - 3600 * US; /* a month with a change of clocks */
    EXPECT_STR(first_amount(), "14860");
    book.valid_from_us = 10 * DAY; /* agreed on within the month */
    in.period.until_us = 30 * DAY;
    EXPECT_STR(first_amount(), "9600");
    book.valid_from_us = 0;
}

TEST(what_capacity_covers_costs_nothing_and_what_overflows_is_paid_by_the_token)
{
    begin(TERM_CAPACITY);
    term.quantity = 2;
    term.allowance = 500; /* a thousand an hour */
    struct term_use uses[] = {used("luna", USAGE_INPUT, 3000, 200), used("luna", USAGE_OUTPUT, 1000, 1200), used("luna", USAGE_REQUEST, 7, 1000)};
    struct term_hour hours[] = {{0, 5, 600}, {1, 5, 200}, {0, 6, 2400}, {1, 6, 800}};
    in.uses = uses, in.uses_n = 3, in.hours = hours, in.hours_n = 4;
    /* hour 5: 800 fit; hour 6: 1000 of 3200, pro rata 750 input and 250 output */
    EXPECT_STR(first_amount(), "-0.00000000081");
    EXPECT_SPAN(lines[0].name, "T1/covered");
    EXPECT_SPAN(lines[0].detail,
                "{\"book\":\"azure\",\"seller\":\"microsoft\",\"buyer\":\"acme\",\"currency\":\"USD\",\"term\":\"T1\",\"kind\":\"capacity\","
                                 "\"period\":\"2026-11\",\"allowance_per_unit_and_hour\":500,\"used\":4007,\"uses\":["
                                 "{\"provider\":\"azure-eu\",\"model\":\"luna\",\"class\":\"input\",\"quantity\":1350,\"price\":200},"
                                 "{\"provider\":\"azure-eu\",\"model\":\"luna\",\"class\":\"output\",\"quantity\":450,\"price\":1200}],"
                                 "\"amount\":\"-810000\"}");
    term.allowance = 0; /* all of it */
    EXPECT_STR(first_amount(), "-0.000000001807");
}

TEST(a_capped_share_pays_5_10_15_8_0)
{
    static const char *const revenue[] = {"25", "50", "75", "100", "125"}, *const pays[] = {"5", "10", "15", "8", "none"};
    struct term_use before = charged("*", "0"), now;
    struct term_past past = {SPAN("T1"), POSTING_SHARE, 0};
    begin(TERM_SHARE);
    term.rate = (struct rate){20, 100};
    term.cap = usd("38");
    in.before = &before, in.before_n = 1, in.uses = &now, in.uses_n = 1, in.past = &past, in.past_n = 1;
    for (unsigned i = 0; i < 5; i++) {
        now = charged("luna", revenue[i]);
        EXPECT_STR(first_amount(), pays[i]);
        before.amount += now.amount;
        past.amount += n ? lines[0].amount : 0;
    }
    EXPECT(past.amount == usd("38"));
}

TEST(a_share_both_ways_is_200000_and_80000_and_120000_net)
{
    struct term_use sales;
    begin(TERM_SHARE);
    term.rate = (struct rate){1, 5};
    in.uses = &sales, in.uses_n = 1;
    sales = charged("gpt-x", "1000000.00");
    EXPECT_STR(first_amount(), "200000");
    money one = lines[0].amount;
    sales = charged("gpt-x", "400000.00");
    EXPECT_STR(first_amount(), "80000");
    EXPECT(one - lines[0].amount == usd("120000.00"));
}

TEST(a_share_never_pays_more_than_its_rate_however_the_revenue_is_cut)
{
    struct term_use before = charged("*", "0"), now = used("luna", USAGE_INPUT, 1, 7);
    struct term_past past = {SPAN("T1"), POSTING_SHARE, 0};
    begin(TERM_SHARE);
    term.rate = (struct rate){1, 3};
    in.before = &before, in.before_n = 1, in.uses = &now, in.uses_n = 1, in.past = &past, in.past_n = 1;
    for (unsigned i = 1; i <= 100; i++) {
        (void)first_amount();
        past.amount += n ? lines[0].amount : 0;
        before.amount += now.amount;
        EXPECT_EQ(past.amount, 7 * i / 3);
    }
}

TEST(a_commitment_s_shortfall_counts_as_paid_20_0_50_50)
{
    static const char *const use[] = {"180", "300", "150", "250"}, *const pays[] = {"20", "none", "50", "50"};
    struct milestone milestones[] = {{30 * DAY, usd("200")}, {60 * DAY, usd("450")}, {90 * DAY, usd("700")}, {120 * DAY, usd("1000")}};
    struct term_use before = charged("*", "0"), now;
    struct term_past past = {SPAN("T1"), POSTING_COMMIT, 0};
    begin(TERM_COMMIT);
    term.milestones = milestones, term.milestones_n = 4;
    in.before = &before, in.before_n = 1, in.uses = &now, in.uses_n = 1, in.past = &past, in.past_n = 1;
    for (unsigned i = 0; i < 4; i++) {
        in.period.from_us = i * 30 * DAY, in.period.until_us = (i + 1) * 30 * DAY;
        now = charged("luna", use[i]);
        EXPECT_STR(first_amount(), pays[i]);
        before.amount += now.amount;
        past.amount += n ? lines[0].amount : 0;
        EXPECT(before.amount + past.amount >= milestones[i].required); /* invariant 8 */
    }
}

TEST(a_commitment_counts_the_terms_it_names_and_no_other)
{
    struct milestone at_end = {30 * DAY, usd("1000")};
    struct price_term both[] = {term_of(TERM_CAPACITY), term_of(TERM_COMMIT), term_of(TERM_TAX)};
    struct term_use now = charged("luna", "100");
    begin(TERM_COMMIT);
    both[0].name = "K1", both[0].quantity = 1, both[0].amount = usd("1");
    both[1].milestones = &at_end, both[1].milestones_n = 1;
    both[2].name = "VAT", both[2].rate = (struct rate){1, 5};
    book.terms = both, book.terms_n = 3;
    in.uses = &now, in.uses_n = 1;
    EXPECT(terms_compute(&arena, &in, &lines, &n) == ERR_OK);
    EXPECT_EQ(n, 3);
    EXPECT(lines[1].amount == usd("900")); /* usage alone counts */
    both[1].counts = 1u << TERM_CAPACITY | 1u << TERM_TAX;
    EXPECT(terms_compute(&arena, &in, &lines, &n) == ERR_OK);
    EXPECT(lines[1].amount == usd("180")); /* and 720 of capacity; tax comes later and is 0 by then */
    EXPECT(lines[2].amount == usd("200")); /* 20 % of 100 + 720 + 180 */
}

TEST(free_units_are_taken_off_before_anything_else)
{
    struct term_use uses[] = {used("luna", USAGE_INPUT, 2, 200), used("luna", USAGE_OUTPUT, 1000, 1200), used("sol", USAGE_INPUT, 1, 100)};
    begin(TERM_FREE);
    term.usage = USAGE_INPUT;
    in.uses = uses, in.uses_n = 3;
    term.quantity = 2; /* of three: pro rata 4/3 and 2/3, the larger rest wins */
    EXPECT_STR(first_amount(), "-0.0000000000003");
    term.quantity = 1000;
    EXPECT_STR(first_amount(), "-0.0000000000005");
    term.quantity = 0;
    EXPECT_STR(first_amount(), "none");
    term.quantity = 5;
    term.model = SPAN("nova*");
    EXPECT_STR(first_amount(), "none");
}

/* A million units at 1.00 per million each, in bands above 1 and above 3 million. */
static const struct band_row {
    int64_t millions;
    bool whole;
    const char *first, *second;
} band_rows[] = {
    {1, false, "0", "0"},       {2, false, "-0.1", "0"},   {3, false, "-0.2", "0"}, {10, false, "-0.2", "-3.5"},
    {1, true, "0", "0"},        {2, true, "-0.2", "0"},    {3, true, "-0.3", "0"},  {10, true, "0", "-5"},
};

TEST(bands_are_marginal_or_whole)
{
    struct price_term two[] = {term_of(TERM_BAND), term_of(TERM_BAND)};
    for (unsigned by_amount = 0; by_amount < 2; by_amount++)
        for (unsigned i = 0; i < COUNT_OF(band_rows); i++) {
            const struct band_row *row = &band_rows[i];
            struct term_use use = used("luna", USAGE_INPUT, row->millions * 1000000, 1000000000);
            begin(TERM_BAND);
            two[0].quantity = 1000000, two[1].quantity = 3000000;
            two[0].amount = usd("1"), two[1].amount = usd("3");
            two[0].rate = (struct rate){9, 10}, two[1].rate = (struct rate){1, 2};
            two[0].usage = two[1].usage = by_amount ? USAGE_CLASSES : USAGE_INPUT;
            two[0].whole = two[1].whole = row->whole;
            two[0].name = "first", two[1].name = "second";
            book.terms = two, book.terms_n = 2;
            in.uses = &use, in.uses_n = 1;
            money got[2] = {0, 0};
            EXPECT(terms_compute(&arena, &in, &lines, &n) == ERR_OK);
            for (unsigned k = 0; k < n; k++)
                got[lines[k].term == &two[1]] = lines[k].amount;
            EXPECT(got[0] == usd(row->first) && got[1] == usd(row->second));
        }
}

TEST(fees_minimums_storage_and_tax)
{
    struct term_use use = charged("luna", "100");
    begin(TERM_FEE);
    in.uses = &use, in.uses_n = 1;
    term.rate = (struct rate){55, 1000};
    EXPECT_STR(first_amount(), "5.5");
    EXPECT_SPAN(lines[0].how, "5.5% of 100.00");
    term.amount = usd("2");
    EXPECT_STR(first_amount(), "7.5");
    begin(TERM_MINIMUM);
    in.uses = &use, in.uses_n = 1;
    term.amount = usd("130.01");
    EXPECT_STR(first_amount(), "30.01");
    term.amount = usd("100");
    EXPECT_STR(first_amount(), "none");
    begin(TERM_TAX);
    in.uses = &use, in.uses_n = 1;
    term.rate = (struct rate){1, 3};
    EXPECT_STR(first_amount(), "33.333333333333333");
    use = used("luna", USAGE_STORAGE, 2500000, PRICE_NONE);
    begin(TERM_STORAGE);
    in.uses = &use, in.uses_n = 1;
    term.amount = usd("4.50");
    EXPECT_STR(first_amount(), "11.25");
}

TEST(the_credit_that_expires_first_pays_first_and_an_expired_one_lapses)
{
    struct price_term lots[] = {term_of(TERM_CREDIT), term_of(TERM_CREDIT), term_of(TERM_CREDIT)};
    struct term_use use = charged("luna", "100");
    struct term_past past = {SPAN("soon"), POSTING_CREDIT, -usd("10")};
    begin(TERM_CREDIT);
    lots[0].name = "late", lots[0].amount = usd("500"), lots[0].until_us = 300 * DAY;
    lots[1].name = "soon", lots[1].amount = usd("40"), lots[1].until_us = 60 * DAY;
    lots[2].name = "gone", lots[2].amount = usd("999"), lots[2].until_us = 0;
    book.terms = lots, book.terms_n = 3;
    in.uses = &use, in.uses_n = 1, in.past = &past, in.past_n = 1;
    EXPECT(terms_compute(&arena, &in, &lines, &n) == ERR_OK);
    EXPECT_EQ(n, 2);
    EXPECT(lines[0].term == &lots[1] && lines[0].amount == -usd("30"));
    EXPECT(lines[1].term == &lots[0] && lines[1].amount == -usd("70"));
    use.amount = usd("5");
    in.period.from_us = 30 * DAY, in.period.until_us = 60 * DAY;
    EXPECT(terms_compute(&arena, &in, &lines, &n) == ERR_OK);
    EXPECT_EQ(n, 1);
    EXPECT_SPAN(lines[0].how, "of 40.00 until 1970-03-02; 25.00 lapses");
}

TEST(a_sum_that_does_not_fit_is_an_error_and_no_wrong_number)
{
    struct term_use use = charged("luna", "1");
    begin(TERM_CAPACITY);
    term.quantity = INT64_MAX;
    term.amount = MONEY_MAX / 2;
    EXPECT(terms_compute(&arena, &in, &lines, &n) == ERR_RANGE);
    begin(TERM_FEE);
    use.amount = MONEY_MAX;
    term.amount = MONEY_MAX;
    in.uses = &use, in.uses_n = 1;
    EXPECT(terms_compute(&arena, &in, &lines, &n) == ERR_RANGE);
}

UNIT_MAIN
