/* SPDX-License-Identifier: Apache-2.0
 *
 * Who gets how much. The tables are the worked numbers of the agreement facts, to the last digit; the properties are its invariants 6, 7 and 8
 * on shares, waterfalls and commitments made by chance.
 */
#include "base/check.h"
#include "policy/share.h"
#include "policy/waterfall.h"
#include "unit.h"
#include "unit_random.h"

#define BN_CENTS (INT64_C(1000000000) * 100)

static void expect_money(const char *what, money got, money wanted)
{
    char a[MONEY_TEXT_BYTES], b[MONEY_TEXT_BYTES];
    if (got != wanted)
        UNIT_FAIL("%s is %s, expected %s", what, money_format_integer(a, got).p, money_format_integer(b, wanted).p);
}
#define EXPECT_MONEY(got, wanted) expect_money(#got, got, wanted)

static money cents(const char *text) /* "7333333333.34" */
{
    money m = -1;
    EXPECT_EQ(money_parse_scaled(span_str(text), 2, &m), ERR_OK);
    return m;
}

static money random_money(void) /* of any size up to 2^101 */
{
    money m = random_below(1u << 31);
    for (unsigned i = random_below(4); i > 0; i--)
        m = m * (1 << 24) + random_below(1 << 24);
    return m >> random_below(31);
}

/* ---- R4, R5: shares ---- */

TEST(a_quotient_is_exact_and_says_what_was_cut)
{
    static const struct {
        int m, num, den, quotient, rest;
    } rows[] = {{7, 1, 2, 3, 1}, {-7, 1, 2, -4, 1}, {-8, 1, 2, -4, 0}, {7, 5, 2, 17, 1}, {-7, 5, 2, -18, 1}, {0, 9, 7, 0, 0}, {5, 0, 3, 0, 0}};
    money quotient, rest;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        EXPECT_EQ(share_of(rows[i].m, rows[i].num, rows[i].den, &quotient, &rest), ERR_OK);
        EXPECT_MONEY(quotient, rows[i].quotient);
        EXPECT_MONEY(rest, rows[i].rest);
    }
    EXPECT_EQ(share_of(MONEY_MAX, MONEY_MAX, MONEY_MAX, &quotient, &rest), ERR_OK);
    EXPECT_MONEY(quotient, MONEY_MAX);
    EXPECT_EQ(share_of(-MONEY_MAX, MONEY_MAX - 1, MONEY_MAX, &quotient, &rest), ERR_OK);
    EXPECT_MONEY(quotient, 1 - MONEY_MAX);
    EXPECT_EQ(share_of(MONEY_MAX, 3, 2, &quotient, NULL), ERR_RANGE);
    EXPECT_EQ(share_of(1, 1, 0, &quotient, NULL), ERR_RANGE);
    EXPECT_EQ(share_of(1, -1, 2, &quotient, NULL), ERR_RANGE);
}

TEST(a_quotient_of_numbers_made_by_chance_multiplies_back)
{
    random_seed(1);
    for (int round = 0; round < 20000; round++) {
        money m = random_money() * (random_below(2) ? 1 : -1), num = random_money(), den = random_money() + 1, quotient, rest;
        enum err e = share_of(m, num, den, &quotient, &rest);
        if (e)
            continue;
        EXPECT(rest >= 0 && rest < den);
        /* in arithmetic modulo 2^128, which the real equation implies */
        EXPECT((unsigned __int128)m * (unsigned __int128)num == (unsigned __int128)quotient * (unsigned __int128)den + (unsigned __int128)rest);
    }
}

static void expect_allot(money pot, const struct rate *weights, unsigned n, const int *wanted)
{
    money out[SHARE_PARTIES_MAX], back[SHARE_PARTIES_MAX];
    REQUIRE(share_allot(pot, weights, n, out) == ERR_OK && share_allot(-pot, weights, n, back) == ERR_OK);
    for (unsigned i = 0; i < n; i++) {
        EXPECT_MONEY(out[i], wanted[i]);
        EXPECT_MONEY(back[i], -wanted[i]);
    }
}

TEST(a_pot_is_allotted_as_the_worked_examples_say)
{
    expect_allot(15, (struct rate[]){{80, 100}, {8, 100}, {12, 100}}, 3, (int[]){12, 1, 2});
    expect_allot(100, (struct rate[]){{1, 3}, {1, 3}, {1, 3}}, 3, (int[]){34, 33, 33});
    expect_allot(7, (struct rate[]){{1, 2}, {1, 3}, {1, 6}}, 3, (int[]){4, 2, 1});
    expect_allot(10, (struct rate[]){{49, 1}, {49, 1}, {2, 1}}, 3, (int[]){5, 5, 0});
}

TEST(an_allotment_that_means_nothing_is_refused)
{
    money out[64] = {7};
    struct rate many[SHARE_PARTIES_MAX + 1];
    for (size_t i = 0; i < COUNT_OF(many); i++)
        many[i] = (struct rate){1, 1};
    EXPECT_EQ(share_allot(10, (struct rate[]){{0, 1}, {0, 1}}, 2, out), ERR_RANGE);
    EXPECT_EQ(share_allot(10, (struct rate[]){{2, 1}, {-1, 1}}, 2, out), ERR_RANGE);
    EXPECT_EQ(share_allot(10, (struct rate[]){{1, 0}}, 1, out), ERR_RANGE);
    EXPECT_EQ(share_allot(10, many, COUNT_OF(many), out), ERR_RANGE);
    EXPECT_EQ(share_allot(10, many, 0, out), ERR_RANGE);
    EXPECT_EQ(share_allot(10, (struct rate[]){{1, INT64_MAX}, {1, INT64_MAX - 1}, {1, INT64_MAX - 3}}, 3, out), ERR_RANGE);
    EXPECT_EQ(share_allot_by(10, (money[]){MONEY_MAX, 1}, 2, out), ERR_RANGE);
}

/* Invariant 6. */
static void check_allotment(money pot, const money *weights, unsigned n)
{
    money out[100], back[100], sum = 0, whole = 0, exact, rest;
    REQUIRE(share_allot_by(pot, weights, n, out) == ERR_OK && share_allot_by(-pot, weights, n, back) == ERR_OK);
    for (unsigned i = 0; i < n; i++)
        whole += weights[i];
    for (unsigned i = 0; i < n; i++) {
        sum += out[i];
        EXPECT(share_of(pot, weights[i], whole, &exact, &rest) == ERR_OK && (out[i] == exact || (rest && out[i] == exact + 1)));
        EXPECT_MONEY(back[i], -out[i]);
        EXPECT(i == 0 || weights[i] != weights[i - 1] || out[i] <= out[i - 1]); /* ties to the first */
    }
    EXPECT_MONEY(sum, pot);
}

TEST(an_allotment_loses_nothing_and_is_fair_to_one_unit)
{
    random_seed(6);
    for (int round = 0; round < 4000; round++) {
        money weights[100], one = 0;
        unsigned n = 1 + random_below(round % 10 ? 8 : 100);
        for (unsigned i = 0; i < n; i++)
            weights[i] = i && random_below(4) == 0 ? weights[i - 1] : random_below(5) ? random_money() >> random_below(60) : 0;
        for (unsigned i = 0; i < n; i++)
            one |= weights[i];
        weights[0] += one == 0;
        check_allotment(random_money(), weights, n);
    }
}

TEST(a_capped_share_stops_at_its_total)
{
    static const int revenue[] = {25, 50, 75, 100, 125}, pays[] = {5, 10, 15, 8, 0};
    money base = 0, accrued = 0, now = 0;
    for (size_t i = 0; i < COUNT_OF(revenue); i++) {
        base += revenue[i];
        REQUIRE(share_accrue((struct rate){1, 5}, base, accrued, 38, &now) == ERR_OK);
        EXPECT_MONEY(now, pays[i]);
        accrued += now;
    }
    EXPECT_EQ(share_accrue((struct rate){1, 5}, 100, accrued, 38, &now), ERR_OK); /* the base fell below the cap */
    EXPECT_MONEY(now, -18);
}

TEST(a_two_way_share_is_kept_gross_and_settled_net)
{
    money there, back;
    REQUIRE(share_accrue((struct rate){1, 5}, cents("1000000.00"), 0, MONEY_MAX, &there) == ERR_OK);
    REQUIRE(share_accrue((struct rate){1, 5}, cents("400000.00"), 0, MONEY_MAX, &back) == ERR_OK);
    EXPECT_MONEY(there, cents("200000.00"));
    EXPECT_MONEY(back, cents("80000.00"));
    EXPECT_MONEY(there - back, cents("120000.00"));
}

/* ---- waterfalls ---- */

enum { HOST, OTHERS, NONPROFIT };

static struct waterfall partnership(money a, money b, money c)
{
    return (struct waterfall){
        .name = "W1", .parties_n = 3, .parties = {"host", "others", "nonprofit"}, .tiers_n = 5,
        .tiers = {
            {"recoup", {{75, 100}, {25, 100}, {0, 1}}, {{HOST, a, false}}, 1},
            {"shared", {{49, 100}, {49, 100}, {2, 100}}, {{HOST, b, false}, {OTHERS, c, false}}, 2},
            {"late-a", {{0, 1}, {49, 100}, {51, 100}}, {{OTHERS, c, false}}, 1},
            {"late-b", {{49, 100}, {0, 1}, {51, 100}}, {{HOST, b, false}}, 1},
            {"rest", {{0, 1}, {0, 1}, {1, 1}}, {{0}}, 0},
        }};
}

/* One slice as the examples write it: tier, amount, host, others, nonprofit, in cents. */
struct slice_row {
    unsigned tier;
    const char *amount, *shares[3];
};

static void expect_slices(const struct waterfall *w, struct waterfall_state *s, money pot, const struct slice_row *rows, unsigned n)
{
    struct waterfall_slice slices[WATERFALL_TIERS_MAX];
    unsigned slices_n = 0;
    REQUIRE(waterfall_distribute(w, s, pot, slices, &slices_n) == ERR_OK);
    EXPECT_EQ(slices_n, n);
    for (unsigned i = 0; i < slices_n && i < n; i++) {
        EXPECT_EQ(slices[i].tier, rows[i].tier);
        EXPECT_MONEY(slices[i].amount, cents(rows[i].amount));
        for (unsigned p = 0; p < 3; p++)
            EXPECT_MONEY(slices[i].shares[p], cents(rows[i].shares[p]));
    }
}

static void expect_totals(const struct waterfall_state *s, money host, money others, money nonprofit)
{
    EXPECT_MONEY(s->received[HOST], host);
    EXPECT_MONEY(s->received[OTHERS], others);
    EXPECT_MONEY(s->received[NONPROFIT], nonprofit);
}

TEST(the_small_waterfall_comes_out_to_the_cent)
{
    struct waterfall w = partnership(1300, 9200, 15000);
    struct waterfall_state s = {0};
    expect_slices(&w, &s, 1000, (struct slice_row[]){{0, "10.00", {"7.50", "2.50", "0"}}}, 1);
    expect_slices(&w, &s, 1000, (struct slice_row[]){{0, "7.34", {"5.50", "1.84", "0"}}, {1, "2.66", {"1.31", "1.30", "0.05"}}}, 2);
    expect_slices(&w, &s, 10000, (struct slice_row[]){{1, "100.00", {"49.00", "49.00", "2.00"}}}, 1);
    expect_slices(&w, &s, 10000, (struct slice_row[]){{1, "58.56", {"28.69", "28.70", "1.17"}}, {2, "41.44", {"0", "20.31", "21.13"}}}, 2);
    expect_slices(&w, &s, 15000, (struct slice_row[]){{2, "94.60", {"0", "46.35", "48.25"}}, {4, "55.40", {"0", "0", "55.40"}}}, 2);
    expect_totals(&s, 9200, 15000, 12800);
}

static void distribute(const struct waterfall *w, struct waterfall_state *s, money pot)
{
    struct waterfall_slice slices[WATERFALL_TIERS_MAX];
    unsigned n;
    EXPECT_EQ(waterfall_distribute(w, s, pot, slices, &n), ERR_OK);
}

TEST(the_big_waterfall_comes_out_to_the_cent)
{
    struct waterfall w = partnership(13 * BN_CENTS, 92 * BN_CENTS, 150 * BN_CENTS);
    struct waterfall_state s = {0};
    distribute(&w, &s, 10 * BN_CENTS);
    expect_totals(&s, cents("7500000000"), cents("2500000000"), 0);
    expect_slices(&w, &s, 20 * BN_CENTS, (struct slice_row[]){{0, "7333333333.34", {"5500000000.00", "1833333333.34", "0"}},
        {1, "12666666666.66", {"6206666666.67", "6206666666.66", "253333333.33"}}}, 2);
    distribute(&w, &s, 60 * BN_CENTS);
    expect_slices(&w, &s, 120 * BN_CENTS, (struct slice_row[]){{1, "88557823129.25", {"43393333333.33", "43393333333.33", "1771156462.59"}},
        {2, "31442176870.75", {"0", "15406666666.67", "16035510204.08"}}}, 2);
    distribute(&w, &s, 150 * BN_CENTS);
    distribute(&w, &s, 80 * BN_CENTS);
    expect_totals(&s, 92 * BN_CENTS, 150 * BN_CENTS, 198 * BN_CENTS);
}

TEST(the_big_waterfall_ends_the_same_when_all_comes_at_once)
{
    struct waterfall w = partnership(13 * BN_CENTS, 92 * BN_CENTS, 150 * BN_CENTS);
    struct waterfall_state s = {0};
    distribute(&w, &s, 440 * BN_CENTS);
    expect_totals(&s, 92 * BN_CENTS, 150 * BN_CENTS, 198 * BN_CENTS);
}

/* "29.0067" of an amount in cents: billions, rounded for display. */
static money ten_thousandths(money amount) { return (amount * 10000 + BN_CENTS / 2) / BN_CENTS; }

TEST(equity_and_the_capped_right_compare_as_the_table_says)
{
    static const struct {
        int profit;
        int capped, equity; /* ten thousandths of a billion */
    } rows[] = {
        {50, 290067, 165000}, {100, 535067, 330000}, {200, 920000, 660000}, {278, 920000, 917400}, {279, 920000, 920700},
        {400, 920000, 1320000},
    };
    struct waterfall w = partnership(13 * BN_CENTS, 92 * BN_CENTS, 150 * BN_CENTS);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct waterfall_state s = {0};
        money equity = 0;
        distribute(&w, &s, rows[i].profit * BN_CENTS);
        EXPECT_EQ(share_accrue((struct rate){33, 100}, rows[i].profit * BN_CENTS, 0, MONEY_MAX, &equity), ERR_OK);
        EXPECT_MONEY(ten_thousandths(s.received[HOST]), rows[i].capped);
        EXPECT_MONEY(ten_thousandths(equity), rows[i].equity);
    }
}

TEST(break_evens_are_the_cap_over_the_share)
{
    static const struct {
        int cap, percent, millionths;
    } rows[] = {{92, 33, 278787878}, {120, 33, 363636363}, {92, 27, 340740740}};
    money at = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        EXPECT_EQ(share_of(rows[i].cap * 1000000, 100, rows[i].percent, &at, NULL), ERR_OK);
        EXPECT_MONEY(at, rows[i].millionths);
    }
    EXPECT_EQ(share_of(300, 33, 100, &at, NULL), ERR_OK); /* by valuation */
    EXPECT_MONEY(at, 99);
}

/* One slice of a tier for three parties, the first two of which may have so much yet. */
TEST(a_slice_that_ends_a_tier_is_exact_for_the_capped_and_lifts_nobody_over_a_cap)
{
    static const struct {
        int percent[3], rooms[2], slice, shares[3];
    } rows[] = {
        {{18, 4, 78}, {11, 35}, 62, {11, 2, 49}},  /* one allotment for all would give 11, 3, 48 */
        {{10, 43, 47}, {25, 10}, 24, {2, 10, 12}}, /* 3, 10, 11 */
        {{84, 15, 1}, {32, 6}, 39, {32, 6, 1}},    /* the rest alone would give the second 7 of its 6 */
        {{17, 81, 2}, {3, 13}, 17, {3, 13, 1}},    /* the first 4 of its 3 */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const int *percent = rows[i].percent;
        struct waterfall w = {"W", 3, 2, {"a", "b", "c"}, {
            {"first", {{percent[0], 100}, {percent[1], 100}, {percent[2], 100}}, {{0, rows[i].rooms[0], false}, {1, rows[i].rooms[1], false}}, 2},
            {"rest", {{0, 1}, {0, 1}, {1, 1}}, {{0}}, 0}}};
        struct waterfall_state s = {0};
        struct waterfall_slice slices[2];
        unsigned n = 0;
        REQUIRE(waterfall_distribute(&w, &s, 1000, slices, &n) == ERR_OK);
        EXPECT_MONEY(slices[0].amount, rows[i].slice);
        for (unsigned p = 0; p < 3; p++)
            EXPECT_MONEY(slices[0].shares[p], rows[i].shares[p]);
    }
}

TEST(a_stop_may_count_this_tier_alone)
{
    struct waterfall w = {"W", 2, 3, {"a", "b"}, {
        {"first", {{1, 2}, {1, 2}}, {{0, 100, false}}, 1},
        {"second", {{1, 4}, {3, 4}}, {{0, 100, true}}, 1},
        {"rest", {{0, 1}, {1, 1}}, {{0}}, 0}}};
    struct waterfall_state s = {0};
    char why[WATERFALL_WHY_BYTES];
    EXPECT_EQ(waterfall_check(&w, why), ERR_OK);
    distribute(&w, &s, 1000);
    EXPECT_MONEY(s.received[0], 200);
    EXPECT_MONEY(s.received_in_tier[1][0], 100);
    EXPECT_MONEY(s.received[1], 800);
}

TEST(a_waterfall_that_cannot_work_is_refused_with_the_tier)
{
    static const struct {
        const char *words; /* of the complaint */
        unsigned tier;
        struct waterfall_tier instead;
    } rows[] = {
        {"tier recoup: the shares must", 0, {"recoup", {{75, 100}, {26, 100}, {0, 1}}, {{HOST, 13, false}}, 1}},
        {"tier recoup: the shares must", 0, {"recoup", {{175, 100}, {-75, 100}, {0, 1}}, {{HOST, 13, false}}, 1}},
        {"tier recoup: the shares must", 0, {"recoup", {{1, 1}, {0, 0}, {0, 1}}, {{HOST, 13, false}}, 1}},
        {"tier recoup: a stop must", 0, {"recoup", {{75, 100}, {25, 100}, {0, 1}}, {{3, 13, false}}, 1}},
        {"tier recoup: a stop must", 0, {"recoup", {{75, 100}, {25, 100}, {0, 1}}, {{HOST, 0, false}}, 1}},
        {"tier recoup: this tier has no stop", 0, {"recoup", {{75, 100}, {25, 100}, {0, 1}}, {{0}}, 0}},
        {"tier recoup: nobody whom", 0, {"recoup", {{75, 100}, {25, 100}, {0, 1}}, {{NONPROFIT, 13, false}}, 1}},
        {"tier shared: this tier is never", 0, {"recoup", {{75, 100}, {25, 100}, {0, 1}}, {{HOST, 92, false}}, 1}},
        {"tier late-b: this tier is never", 2, {"late-a", {{49, 100}, {0, 1}, {51, 100}}, {{HOST, 93, false}}, 1}},
        {"tier rest: the last tier has a stop", 4, {"rest", {{0, 1}, {0, 1}, {1, 1}}, {{NONPROFIT, 13, false}}, 1}},
    };
    char why[WATERFALL_WHY_BYTES] = "";
    struct waterfall good = partnership(13, 92, 150);
    EXPECT_EQ(waterfall_check(&good, why), ERR_OK);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct waterfall w = good;
        w.tiers[rows[i].tier] = rows[i].instead;
        EXPECT_EQ(waterfall_check(&w, why), ERR_SYNTAX);
        if (!strstr(why, rows[i].words))
            UNIT_FAIL("\"%s\" does not say \"%s\"", why, rows[i].words);
    }
    good.tiers_n = 0;
    EXPECT_EQ(waterfall_check(&good, why), ERR_SYNTAX);
    EXPECT_EQ(waterfall_distribute(&good, &(struct waterfall_state){0}, -1, NULL, NULL), ERR_RANGE);
}

/* ---- invariant 7, by chance ---- */

static void random_shares(struct waterfall_tier *t, unsigned parties_n)
{
    money weights[SHARE_PARTIES_MAX], percent[SHARE_PARTIES_MAX];
    int whole = random_below(2) ? 100 : 97;
    for (unsigned p = 0; p < parties_n; p++)
        weights[p] = random_below(4) ? 1 + random_below(60) : 0;
    weights[random_below(parties_n)] += 1;
    EXPECT_EQ(share_allot_by(whole, weights, parties_n, percent), ERR_OK);
    for (unsigned p = 0; p < parties_n; p++)
        t->share[p] = (struct rate){(int64_t)percent[p], whole};
}

/* Until waterfall_check has no complaint. */
static struct waterfall random_waterfall(void)
{
    struct waterfall w;
    char why[WATERFALL_WHY_BYTES];
    do {
        w = (struct waterfall){.name = "W", .parties_n = 2 + random_below(4), .tiers_n = 2 + random_below(5)};
        for (unsigned i = 0; i < w.tiers_n; i++) {
            struct waterfall_tier *t = &w.tiers[i];
            t->name = "T";
            random_shares(t, w.parties_n);
            t->stops_n = i + 1 < w.tiers_n ? 1 + random_below(3) : 0;
            for (unsigned k = 0; k < t->stops_n; k++)
                t->stops[k] = (struct waterfall_stop){random_below(w.parties_n), 1 + random_below(random_below(2) ? 40 : 40000),
                                                      random_below(3) == 0};
        }
    } while (waterfall_check(&w, why));
    return w;
}

static money received_in_all(const struct waterfall *w, const struct waterfall_state *s)
{
    money sum = 0;
    for (unsigned p = 0; p < w->parties_n; p++)
        sum += s->received[p];
    return sum;
}

static money room_at(const struct waterfall_state *s, const struct waterfall_slice *slice, const struct waterfall_stop *stop)
{
    return stop->until - (stop->in_this_tier ? s->received_in_tier[slice->tier][stop->party] : s->received[stop->party]);
}

/* s: the state after this slice. A slice that is not the pot's last filled a stop to the unit; none is ever passed. */
static void check_slice(const struct waterfall *w, const struct waterfall_state *s, const struct waterfall_slice *slice, bool last)
{
    const struct waterfall_tier *t = &w->tiers[slice->tier];
    money sum = 0;
    bool filled = false;
    for (unsigned p = 0; p < w->parties_n; p++) {
        EXPECT(slice->shares[p] >= 0 && (t->share[p].num || slice->shares[p] == 0));
        sum += slice->shares[p];
    }
    for (unsigned i = 0; i < t->stops_n; i++) {
        EXPECT(room_at(s, slice, &t->stops[i]) >= 0);
        filled = filled || room_at(s, slice, &t->stops[i]) == 0;
    }
    EXPECT_MONEY(sum, slice->amount);
    EXPECT(slice->amount > 0 && (filled || last));
}

/* Distributes and checks slice by slice, by walking the state along. */
static unsigned check_distribution(const struct waterfall *w, struct waterfall_state *s, money pot, struct waterfall_slice *slices)
{
    unsigned n = 0;
    money sum = 0;
    struct waterfall_state walked = *s;
    EXPECT_EQ(waterfall_distribute(w, s, pot, slices, &n), ERR_OK);
    for (unsigned i = 0; i < n; i++) {
        for (unsigned p = 0; p < w->parties_n; p++) {
            walked.received[p] += slices[i].shares[p];
            walked.received_in_tier[slices[i].tier][p] += slices[i].shares[p];
        }
        EXPECT(i == 0 || slices[i].tier > slices[i - 1].tier);
        check_slice(w, &walked, &slices[i], i + 1 == n);
        sum += slices[i].amount;
    }
    EXPECT_MONEY(sum, pot);
    EXPECT(memcmp(&walked, s, sizeof walked) == 0);
    return n;
}

TEST(a_waterfall_gives_away_all_and_nobody_passes_a_cap)
{
    static struct waterfall_slice slices[WATERFALL_TIERS_MAX];
    random_seed(7);
    for (int round = 0; round < 1500 && unit_failures < 10; round++) {
        struct waterfall w = random_waterfall();
        struct waterfall_state s = {0};
        money given = 0;
        for (int i = 0; i < 30; i++) {
            money pot = random_below(random_below(2) ? 10 : 30000);
            (void)check_distribution(&w, &s, pot, slices);
            given += pot;
        }
        EXPECT_MONEY(received_in_all(&w, &s), given);
    }
}

TEST(cutting_the_stream_changes_no_cap)
{
    random_seed(8);
    for (int round = 0; round < 100; round++) {
        money a = 1 + random_below(2000), b = a + 1 + random_below(8000), c = 1 + b + random_below(9000), given = 0;
        struct waterfall w = partnership(a, b, c);
        struct waterfall_state cut = {0}, whole = {0};
        while (given < 8 * (b + c)) { /* surely more than the caps need: 49 % of it at least */
            money pot = random_below(round % 2 ? 20 : 5000);
            distribute(&w, &cut, pot);
            given += pot;
        }
        distribute(&w, &whole, given);
        expect_totals(&cut, b, c, given - b - c);
        expect_totals(&whole, b, c, given - b - c);
    }
}

/* Takes all back in parts by chance; the state must be what it was before. */
static void check_undo(const struct waterfall *w, struct waterfall_state *s, struct waterfall_slice *slices, unsigned n, money given)
{
    money rest = -1;
    while (given > 0) {
        money back = 1 + random_below(random_below(2) ? 5 : 20000);
        back = back < given ? back : given;
        REQUIRE(waterfall_unwind(w, s, slices, &n, back, &rest) == ERR_OK);
        given -= back;
        EXPECT_MONEY(rest, 0);
        for (unsigned p = 0; p < w->parties_n; p++)
            EXPECT(s->received[p] >= 0);
    }
    EXPECT_EQ(n, 0);
    EXPECT_EQ(waterfall_unwind(w, s, slices, &n, 5, &rest), ERR_OK);
    EXPECT_MONEY(rest, 5);
}

TEST(undo_restores_the_waterfall)
{
    static struct waterfall_slice slices[20 * WATERFALL_TIERS_MAX];
    random_seed(9);
    for (int round = 0; round < 500 && unit_failures < 10; round++) {
        struct waterfall w = random_waterfall();
        struct waterfall_state s = {0}, before;
        unsigned n = 0, start = random_below(10);
        money given = 0;
        for (unsigned i = 0; i < 20; i++) {
            money pot = random_below(20000);
            if (i == start) {
                before = s;
                given = 0;
                n = 0;
            }
            n += check_distribution(&w, &s, pot, slices + n);
            given += pot;
        }
        check_undo(&w, &s, slices, n, given);
        EXPECT(memcmp(&before, &s, sizeof s) == 0);
    }
}

TEST(a_pot_taken_back_at_once_restores_each_slice)
{
    static struct waterfall_slice slices[WATERFALL_TIERS_MAX];
    struct waterfall w = partnership(1300, 9200, 15000);
    struct waterfall_state s = {0}, before;
    unsigned n = 0;
    money rest = -1;
    distribute(&w, &s, 1000);
    before = s;
    REQUIRE(waterfall_distribute(&w, &s, 25000, slices, &n) == ERR_OK);
    EXPECT_EQ(waterfall_unwind(&w, &s, slices, &n, -1, &rest), ERR_RANGE);
    EXPECT_EQ(waterfall_unwind(&w, &s, slices, &n, 25000, &rest), ERR_OK);
    EXPECT_MONEY(rest, 0);
    EXPECT(n == 0 && memcmp(&before, &s, sizeof s) == 0);
}

/* ---- commitments ---- */

TEST(a_shortfall_is_paid_once)
{
    static const int required[] = {200, 450, 700, 1000}, use[] = {180, 300, 150, 250}, shortfall[] = {20, 0, 50, 50};
    money counted = 0, paid = 0;
    for (size_t i = 0; i < COUNT_OF(required); i++) {
        counted += use[i];
        money missing = commit_shortfall(required[i], counted, paid);
        EXPECT_MONEY(missing, shortfall[i]);
        paid += missing;
    }
    EXPECT_MONEY(commit_shortfall(100, MONEY_MAX, 5), 0);
    EXPECT_MONEY(commit_shortfall(MONEY_MAX, -MONEY_MAX, 0), MONEY_MAX);
}

/* Invariant 8. */
TEST(use_and_shortfall_reach_every_milestone)
{
    random_seed(10);
    for (int round = 0; round < 3000; round++) {
        money required = 0, counted = 0, paid = 0;
        for (unsigned i = 0; i < 12; i++) {
            required += random_below(1000);
            counted += (money)random_below(1100) - random_below(100); /* corrections, too */
            money missing = commit_shortfall(required, counted, paid);
            paid += missing;
            EXPECT(missing >= 0 && counted + paid >= required && (missing == 0 || counted + paid == required));
        }
    }
}

TEST(the_pace_of_a_commitment_is_linear)
{
    static const struct milestone m[] = {{100, 1000}, {300, 1001}, {400, 5000}};
    static const struct {
        int now, required;
    } rows[] = {{-50, 0}, {0, 0}, {1, 10}, {50, 500}, {99, 990}, {100, 1000}, {299, 1000}, {300, 1001}, {350, 3000}, {400, 5000}, {9999, 5000}};
    money required = -1;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        EXPECT_EQ(commit_required(0, m, COUNT_OF(m), rows[i].now, &required), ERR_OK);
        EXPECT_MONEY(required, rows[i].required);
    }
    EXPECT_EQ(commit_required(100, m, COUNT_OF(m), 5, &required), ERR_RANGE);
    EXPECT_EQ(commit_required(0, (struct milestone[]){{10, 5}, {20, 4}}, 2, 5, &required), ERR_RANGE);
    EXPECT_EQ(commit_required(INT64_MIN, (struct milestone[]){{INT64_MAX, MONEY_MAX}}, 1, 0, &required), ERR_OK);
    EXPECT(required > MONEY_MAX / 2 && (required - MONEY_MAX / 2) >> 64 == 0); /* half of the time and half a unit of 2^64 */
}

/* ---- settlement ---- */

TEST(whole_minor_units_are_settled_and_the_rest_stays)
{
    static const struct {
        const char *amount;
        int decimals;
        const char *settled;
    } rows[] = {
        {"12.349", 2, "12.34"}, {"-12.349", 2, "-12.34"}, {"0.009999999999999", 2, "0"}, {"1999.9", 0, "1999"}, {"-0.0019", 3, "-0.001"},
        {"5", 15, "5"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        money amount = 0, settled = 0;
        REQUIRE(money_parse(span_str(rows[i].amount), &amount) == ERR_OK && money_parse(span_str(rows[i].settled), &settled) == ERR_OK);
        EXPECT_MONEY(settle_minor_units(amount, rows[i].decimals), settled);
    }
}

static void check_display(const money *lines, unsigned n, int decimals)
{
    money out[50], mirrored[50], negative[50], total = 0, back = 0, sum = 0, shown = 0, unit = MONEY_ONE;
    for (int i = 0; i < decimals; i++)
        unit /= 10;
    for (unsigned i = 0; i < n; i++)
        negative[i] = -lines[i];
    REQUIRE(settle_display(lines, n, decimals, out, &total) == ERR_OK && settle_display(negative, n, decimals, mirrored, &back) == ERR_OK);
    for (unsigned i = 0; i < n; i++) {
        sum += lines[i];
        shown += out[i];
        EXPECT(out[i] % unit == 0 && out[i] - lines[i] < unit && lines[i] - out[i] < unit);
        EXPECT_MONEY(mirrored[i], -out[i]);
    }
    EXPECT_MONEY(total, settle_minor_units(sum, decimals));
    EXPECT_MONEY(shown, total);
    EXPECT_MONEY(back, -total);
}

TEST(the_lines_of_a_statement_add_up_to_its_total)
{
    money thirds[] = {MONEY_ONE / 3, MONEY_ONE / 3, MONEY_ONE - 2 * (MONEY_ONE / 3)}, out[3], total;
    REQUIRE(settle_display(thirds, 3, 2, out, &total) == ERR_OK);
    EXPECT_MONEY(total, MONEY_ONE);
    EXPECT_MONEY(out[2], MONEY_ONE / 100 * 34); /* it is larger by 10^-15 */
    check_display((money[]){MONEY_ONE / 200, MONEY_ONE / 200}, 2, 2); /* a tie, and its mirror */
    random_seed(11);
    for (int round = 0; round < 3000; round++) {
        money lines[50];
        unsigned n = random_below(50);
        for (unsigned i = 0; i < n; i++)
            lines[i] = (money)random_below(1u << 30) * random_below(1u << 30) * (random_below(round % 3 + 1) ? -1 : 1);
        check_display(lines, n, (int)random_below(5));
    }
    EXPECT_EQ(settle_display((money[]){MONEY_MAX, 1}, 2, 2, out, &total), ERR_RANGE);
    EXPECT_EQ(settle_display((money[]){MONEY_MAX / 2, MONEY_MAX / 2, MONEY_MAX / 2}, 3, 2, out, &total), ERR_RANGE);
}

TEST(an_exchange_rounds_for_the_exchange)
{
    money to = 0;
    EXPECT_EQ(fx_convert(100, (struct rate){923, 1000}, &to), ERR_OK);
    EXPECT_MONEY(to, 92);
    EXPECT_EQ(fx_convert(-100, (struct rate){923, 1000}, &to), ERR_OK);
    EXPECT_MONEY(to, -93);
    EXPECT_EQ(fx_convert(1, (struct rate){-1, 2}, &to), ERR_RANGE);
    EXPECT_EQ(fx_convert(MONEY_MAX, (struct rate){2, 1}, &to), ERR_RANGE);
}

UNIT_MAIN
