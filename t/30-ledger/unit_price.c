/* SPDX-License-Identifier: Apache-2.0
 *
 * Prices: which line applies, what it comes to, the canonical text, and what books that contradict each other are told. A list is written as a
 * table of lines; the worked numbers are those of docs/prices.md.
 */
#include "policy/price.h"
#include "policy/price_seal.h"
#include "unit.h"
#include "unit_random.h"

#include "base/digest.h"
#include "policy/catalog.h"

/* ---- a list from a table ---- */

#define DAY_US 86400000000ll
#define HOUR_US 3600000000ll
#define DAY(n) ((int64_t)(n) * DAY_US) /* day 0 is a Thursday */
#define FOREVER PRICE_TIME_MAX

struct row {
    const char *book;            /* rows of one book follow each other */
    int64_t from, until, known;
    const char *model, *provider, *tier;
    int64_t above;
    struct price_clock clock;
    int64_t input;               /* which line it is */
    const char *seller, *buyer;  /* "them" and "self" when NULL */
};

static const char *or_else(const char *text, const char *standard) { return text ? text : standard; }

static struct price_book *add_book(struct price_list *l, const struct row *row)
{
    struct price_book *b = ARENA_NEW(&l->arena, struct price_book);
    *b = (struct price_book){.name = row->book, .seller = or_else(row->seller, "them"), .buyer = or_else(row->buyer, "self"), .currency = "USD",
                             .source = "test", .valid_from_us = row->from, .valid_until_us = row->until, .known_from_us = row->known, .place = "t.yaml:1"};
    b->lines = ARENA_ARRAY(&l->arena, struct price_line *, 64);
    l->books[l->books_n++] = b;
    return b;
}

static void add_line(struct price_list *l, struct price_book *b, const struct row *row, unsigned number)
{
    struct price_line *line = ARENA_NEW(&l->arena, struct price_line);
    *line = (struct price_line){.model = span_str(row->model), .provider = span_str(row->provider), .tier = or_else(row->tier, ""),
                                .above_input = row->above, .clock = row->clock, .at = {"t.yaml", number, 1}};
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        line->price[i] = PRICE_NONE;
    line->price[USAGE_INPUT] = row->input;
    b->lines[b->lines_n++] = line;
}

static char complaints[4096];

static void complain(void *owner, const struct price_place *at, const char *message)
{
    snprintf(complaints + strlen(complaints), sizeof complaints - strlen(complaints), "%s%u: %s", *complaints ? "\n" : "", at->line, message);
}

static struct price_list *list_of(const struct row *rows, unsigned n)
{
    struct price_list *l = price_list_new();
    struct price_book *b = NULL;
    l->books = ARENA_ARRAY(&l->arena, struct price_book *, n);
    complaints[0] = '\0';
    for (unsigned i = 0; i < n; i++) {
        if (!b || strcmp(b->name, rows[i].book) != 0)
            b = add_book(l, &rows[i]);
        add_line(l, b, &rows[i], i + 1);
    }
    bool is_right = price_list_seal(l, complain, NULL);
    EXPECT(is_right == (complaints[0] == '\0'));
    return l;
}

/* The number of the line that applies; 0: none. */
static int64_t which(const struct price_line *line) { return line ? line->price[USAGE_INPUT] : 0; }

struct ask {
    const char *model, *provider, *tier;
    int64_t at, known, tokens, expected;
    const char *buyer; /* NULL: we buy */
};

static void expect_lines(const struct price_list *l, const struct ask *asks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct ask *a = &asks[i];
        struct price_facts f = {.provider = span_str(a->provider), .model = span_str(a->model), .tier = span_str(a->tier), .at_us = a->at,
                                .known_us = a->known, .input_tokens = a->tokens};
        int64_t found = which(a->buyer ? price_find_sell(l, span_str(a->buyer), &f) : price_find_buy(l, &f));
        if (found != a->expected)
            UNIT_FAIL("ask %zu finds line %lld, not %lld", i, (long long)found, (long long)a->expected);
    }
}

/* ---- what it comes to ---- */

static int64_t price(const char *text)
{
    int64_t p = PRICE_NONE;
    EXPECT(money_parse_price(span_str(text), &p) == ERR_OK);
    return p;
}

static struct price_line line_with(const char *input, const char *cache_read, const char *output)
{
    struct price_line line = {.tier = ""};
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        line.price[i] = PRICE_NONE;
    line.price[USAGE_INPUT] = price(input);
    if (cache_read)
        line.price[USAGE_CACHE_READ] = price(cache_read);
    line.price[USAGE_OUTPUT] = price(output);
    return line;
}

static struct usage usage_of(int64_t input, int64_t cache_read, int64_t output)
{
    struct usage u;
    usage_init(&u);
    u.count[USAGE_INPUT] = input;
    u.count[USAGE_CACHE_READ] = cache_read;
    u.count[USAGE_OUTPUT] = output;
    u.count[USAGE_REQUEST] = 1;
    return u;
}

static void expect_amount(struct price_line line, struct usage u, const char *amount)
{
    char text[MONEY_TEXT_BYTES];
    struct charge c;
    price_charge(&line, &u, &c);
    EXPECT_SPAN(money_format(text, c.amount, 0), amount);
    EXPECT_EQ(c.unpriced, 0);
}

TEST(the_worked_prices_come_out_to_the_last_digit)
{
    expect_amount(line_with("0.25", NULL, "0.20"), usage_of(1313, 0, 3), "0.00032885");
    expect_amount(line_with("0.20", "0.02", "1.20"), usage_of(1000000, 200000, 50000), "0.264");
    expect_amount(line_with("0.22", "0.022", "1.32"), usage_of(1000000, 200000, 50000), "0.2904");
    expect_amount(line_with("2.50", "0.25", "15"), usage_of(250000, 0, 0), "0.625");
    expect_amount(line_with("1.25", "0.125", "10"), usage_of(200000, 0, 0), "0.25");
}


TEST(what_has_no_price_is_told_and_never_zero_silently)
{
    struct price_line line = line_with("0.25", NULL, "0");
    struct usage u = usage_of(10, 7, 5);
    struct charge c;
    u.count[USAGE_REASONING] = 0;
    u.count[USAGE_SEARCH] = 2;
    price_charge(&line, &u, &c);
    EXPECT(c.line == &line && c.amount == money_of(10, price("0.25")));
    EXPECT_EQ(c.unpriced, 1u << USAGE_CACHE_READ | 1u << USAGE_SEARCH); /* output is free, reasoning was none, a request needs no price */
    price_charge(NULL, &u, &c);
    EXPECT(!c.line && c.amount == 0);
    EXPECT_EQ(c.unpriced, 1u << USAGE_INPUT | 1u << USAGE_CACHE_READ | 1u << USAGE_OUTPUT | 1u << USAGE_SEARCH);
    usage_init(&u);
    price_charge(NULL, &u, &c);
    EXPECT_EQ(c.unpriced, 0);
}

TEST(absurd_counts_saturate_instead_of_wrapping)
{
    struct price_line line = line_with("0", NULL, "0");
    struct usage u;
    struct charge c;
    for (unsigned i = 0; i < USAGE_CLASSES; i++) {
        line.price[i] = INT64_MAX;
        u.count[i] = INT64_MAX;
    }
    price_charge(&line, &u, &c);
    EXPECT(c.amount == MONEY_MAX);
    EXPECT(price_worst(&line, INT64_MAX, INT64_MAX) > 0);
    u.count[USAGE_INPUT] = INT64_MIN;
    price_charge(&line, &u, &c);
    EXPECT(c.amount == MONEY_MAX && c.unpriced == 0);
}

TEST(a_hold_covers_the_dearest_that_can_happen)
{
    struct price_line line = line_with("0.25", "0.02", "1.20");
    char text[MONEY_TEXT_BYTES];
    line.price[USAGE_CACHE_WRITE_1H] = price("0.40");
    line.price[USAGE_REASONING] = price("1.50");
    EXPECT(price_worst(&line, 1000, 500) == money_of(1000, price("0.40")) + money_of(500, price("1.50")));
    line.price[USAGE_REQUEST] = 1000000000000; /* 0.001 each */
    EXPECT_SPAN(money_format(text, price_worst(&line, 1000, 500), 0), "0.00215");
    EXPECT(price_worst(NULL, 1000, 500) == 0);
    EXPECT(price_worst(&line, -1, 0) == 1000000000000);
}

/* Whatever the usage, what was held is at least what it costs. */
TEST(no_usage_costs_more_than_its_hold)
{
    for (unsigned round = 1; round <= 2000; round++) {
        struct price_line line = line_with("0", NULL, "0");
        struct usage u;
        struct charge c;
        random_seed(round);
        usage_init(&u);
        for (unsigned i = 0; i < USAGE_CLASSES; i++) {
            bool counts = usage_class_side((enum usage_class)i) != USAGE_SIDE_OTHER && random_below(2);
            line.price[i] = random_below(4) ? (int64_t)random_below(2000000000) : PRICE_NONE;
            u.count[i] = counts ? (int64_t)random_below(1000000) : USAGE_UNKNOWN;
        }
        u.count[USAGE_REQUEST] = 1;
        price_charge(&line, &u, &c);
        EXPECT(c.amount <= price_worst(&line, usage_total(&u, USAGE_SIDE_INPUT), usage_total(&u, USAGE_SIDE_OUTPUT)));
    }
}

/* ---- which line applies ---- */

TEST(of_two_dates_the_one_known_last_counts_then_the_one_valid_from_the_latest)
{
    static const struct row rows[] = {
        {"list", DAY(0), DAY(100), DAY(0), "m", "p", .input = 1},
        {"next", DAY(100), FOREVER, DAY(1), "m", "p", .input = 2},  /* known early, valid later */
        {"cut", DAY(50), DAY(150), DAY(60), "m", "p", .input = 3},  /* a cut that became known ten days late */
    };
    static const struct ask asks[] = {
        {"m", "p", "", DAY(10), FOREVER, 0, 1},
        {"m", "p", "", DAY(10), -1, 0, 0},              /* nothing was known yet */
        {"m", "p", "", -1, FOREVER, 0, 0},              /* nothing was valid yet */
        {"m", "p", "", DAY(55), DAY(55), 0, 1},         /* as it was seen then */
        {"m", "p", "", DAY(55), DAY(60), 0, 3},         /* as it is seen since */
        {"m", "p", "", DAY(50) - 1, DAY(60), 0, 1},
        {"m", "p", "", DAY(50), DAY(60), 0, 3},
        {"m", "p", "", DAY(120), DAY(59), 0, 2},
        {"m", "p", "", DAY(120), DAY(60), 0, 3},
        {"m", "p", "", DAY(150) - 1, DAY(60), 0, 3},
        {"m", "p", "", DAY(150), DAY(60), 0, 2},
        {"m", "q", "", DAY(10), FOREVER, 0, 0},
        {"n", "p", "", DAY(10), FOREVER, 0, 0},
        {"", "p", "", DAY(10), FOREVER, 0, 0},
        {"m", "", "", DAY(10), FOREVER, 0, 0},
    };
    struct price_list *l = list_of(rows, COUNT_OF(rows));
    EXPECT_STR(complaints, "");
    expect_lines(l, asks, COUNT_OF(asks));
    EXPECT(!price_find_buy(NULL, &(struct price_facts){.at_us = 0}) && !price_find_sell(NULL, SPAN("b"), &(struct price_facts){.at_us = 0}));
    price_list_unref(l);
}

TEST(exact_names_go_before_patterns_and_longer_patterns_before_shorter)
{
    static const struct row rows[] = {
        {"b", 0, FOREVER, 0, "*", "*", .input = 1},
        {"b", 0, FOREVER, 0, "gpt-*", "*", .input = 2},
        {"b", 0, FOREVER, 0, "gpt-4*", "azure-*", .input = 3},
        {"b", 0, FOREVER, 0, "gpt-4*", "azure-eu", .input = 4},
        {"b", 0, FOREVER, 0, "gpt-4o", "*", .input = 5},
        {"b", 0, FOREVER, 0, "gpt-4o", "azure-?u", .input = 6},
        {"b", 0, FOREVER, 0, "gpt-4o", "azure-eu", .input = 7},
    };
    static const struct ask asks[] = {
        {"gpt-4o", "azure-eu", "", 0, 0, 0, 7}, {"gpt-4o", "azure-au", "", 0, 0, 0, 6}, {"gpt-4o", "azure-us", "", 0, 0, 0, 5},
        {"gpt-4x", "azure-eu", "", 0, 0, 0, 4}, {"gpt-4x", "azure-us", "", 0, 0, 0, 3}, {"gpt-4x", "openai", "", 0, 0, 0, 2},
        {"gpt-3", "azure-eu", "", 0, 0, 0, 2},  {"llama", "azure-eu", "", 0, 0, 0, 1},  {"*", "*", "", 0, 0, 0, 1},
    };
    struct price_list *l = list_of(rows, COUNT_OF(rows));
    EXPECT_STR(complaints, "");
    expect_lines(l, asks, COUNT_OF(asks));
    price_list_unref(l);
}

TEST(what_became_known_later_counts_even_where_it_is_a_pattern)
{
    static const struct row rows[] = {
        {"old", 0, FOREVER, 0, "m", "p", .input = 1},
        {"new", 0, FOREVER, DAY(1), "*", "p", .input = 2},
    };
    static const struct ask asks[] = {{"m", "p", "", 0, DAY(1), 0, 2}, {"m", "p", "", 0, 0, 0, 1}};
    struct price_list *l = list_of(rows, COUNT_OF(rows));
    expect_lines(l, asks, COUNT_OF(asks));
    price_list_unref(l);
}

#define NIGHT {22 * 60, 6 * 60, 0x7f}
#define SATURDAY_NIGHT {22 * 60, 6 * 60, 1 << 5}
#define OFFICE {8 * 60, 18 * 60, 0x1f}
#define WEEKEND {0, 1440, 0x60}

TEST(the_step_prices_the_whole_request_in_the_tier_that_was_served)
{
    static const struct row rows[] = {
        {"b", 0, FOREVER, 0, "m", "p", .input = 1},
        {"b", 0, FOREVER, 0, "m", "p", .above = 200000, .input = 2},
        {"b", 0, FOREVER, 0, "m", "p", .above = 500000, .input = 3},
        {"b", 0, FOREVER, 0, "m", "p", "flex", .input = 4},
        {"b", 0, FOREVER, 0, "m", "p", "flex", .above = 200000, .input = 5},
        {"b", 0, FOREVER, 0, "m", "p", "flex", .above = 0, .clock = NIGHT, .input = 6},
    };
    static const struct ask asks[] = {
        {"m", "p", "", DAY(1) + 12 * HOUR_US, 0, 200000, 1},     {"m", "p", "", DAY(1) + 12 * HOUR_US, 0, 200001, 2},
        {"m", "p", "", DAY(1) + 12 * HOUR_US, 0, 900000, 3},     {"m", "p", "flex", DAY(1) + 12 * HOUR_US, 0, 10, 4},
        {"m", "p", "flex", DAY(1) + 12 * HOUR_US, 0, 900000, 5}, {"m", "p", "fle", DAY(1) + 12 * HOUR_US, 0, 10, 1},
        {"m", "p", "standard", DAY(1) + 12 * HOUR_US, 0, 10, 1}, {"m", "p", "flex", DAY(1) + 23 * HOUR_US, 0, 900000, 6},
        {"m", "p", "", DAY(1) + 23 * HOUR_US, 0, 900000, 3},
    };
    struct price_list *l = list_of(rows, COUNT_OF(rows));
    EXPECT_STR(complaints, "");
    expect_lines(l, asks, COUNT_OF(asks));
    price_list_unref(l);
}

/* Day 0 is a Thursday, day 2 a Saturday. */
TEST(windows_of_the_clock_begin_and_end_on_the_minute_also_over_midnight)
{
    static const struct row rows[] = {
        {"b", 0, FOREVER, 0, "m", "p", .input = 1},
        {"b", 0, FOREVER, 0, "m", "p", .clock = SATURDAY_NIGHT, .input = 2},
        {"b", 0, FOREVER, 0, "m", "p", .clock = OFFICE, .input = 3},
    };
    static const struct ask asks[] = {
        {"m", "p", "", DAY(2) + 22 * HOUR_US - 1, 0, 0, 1}, {"m", "p", "", DAY(2) + 22 * HOUR_US, 0, 0, 2},
        {"m", "p", "", DAY(3) - 1, 0, 0, 2},                {"m", "p", "", DAY(3) + 6 * HOUR_US - 1, 0, 0, 2},
        {"m", "p", "", DAY(3) + 6 * HOUR_US, 0, 0, 1},      {"m", "p", "", DAY(2) + 5 * HOUR_US, 0, 0, 1},
        {"m", "p", "", DAY(3) + 23 * HOUR_US, 0, 0, 1},     {"m", "p", "", DAY(1) + 8 * HOUR_US, 0, 0, 3},
        {"m", "p", "", DAY(1) + 18 * HOUR_US, 0, 0, 1},     {"m", "p", "", DAY(2) + 8 * HOUR_US, 0, 0, 1},
        {"m", "p", "", DAY(4) + 17 * HOUR_US, 0, 0, 3},
    };
    struct price_list *l = list_of(rows, COUNT_OF(rows));
    EXPECT_STR(complaints, "");
    expect_lines(l, asks, COUNT_OF(asks));
    price_list_unref(l);
}

TEST(the_clock_is_right_before_1970_too)
{
    const struct price_clock office = OFFICE, weekend = WEEKEND;
    EXPECT(price_clock_covers(&office, DAY(-1) + 9 * HOUR_US)); /* a Wednesday */
    EXPECT(!price_clock_covers(&office, -1));
    EXPECT(price_clock_covers(&weekend, DAY(-4)) && price_clock_covers(&weekend, DAY(-3) - 1) && !price_clock_covers(&weekend, DAY(-3) + 24 * HOUR_US));
}

/* Two windows meet exactly when a minute of the week lies in both. */
TEST(windows_that_meet_are_found)
{
    for (unsigned round = 1; round <= 60; round++) {
        struct price_clock c[2];
        bool meet = false;
        random_seed(round);
        for (unsigned i = 0; i < 2; i++) {
            c[i] = (struct price_clock){(uint16_t)random_below(1440), (uint16_t)random_below(1441), (uint8_t)(1 + random_below(127))};
            c[i].days &= (uint8_t)(1u << random_below(7) | 1u << random_below(7));
        }
        if (!c[0].days || !c[1].days)
            continue;
        for (int64_t minute = 0; minute < 7 * 1440 && !meet; minute++)
            meet = price_clock_covers(&c[0], minute * 60000000) && price_clock_covers(&c[1], minute * 60000000);
        EXPECT_EQ(price_clocks_meet(&c[0], &c[1]), meet);
    }
}

TEST(what_we_sell_is_found_by_the_buyer_and_what_others_trade_is_not_ours)
{
    static const struct row rows[] = {
        {"buy", 0, FOREVER, 0, "m", "p", .input = 1},
        {"legal", 0, FOREVER, 0, "m", "*", .input = 2, .seller = "self", .buyer = "legal"},
        {"all", 0, FOREVER, 0, "*", "*", .input = 3, .seller = "self", .buyer = "*"},
        {"others", 0, FOREVER, 0, "*", "*", .input = 4, .seller = "a", .buyer = "b"},
    };
    static const struct ask asks[] = {
        {"m", "p", "", 0, 0, 0, 1},          {"n", "p", "", 0, 0, 0, 0},          {"m", "p", "", 0, 0, 0, 2, "legal"}, {"n", "p", "", 0, 0, 0, 3, "legal"},
        {"m", "p", "", 0, 0, 0, 3, "rnd"},   {"m", "p", "", 0, 0, 0, 0, ""},      {"m", "p", "", 0, 0, 0, 3, "*"},
    };
    struct price_list *l = list_of(rows, COUNT_OF(rows));
    EXPECT_STR(complaints, "");
    expect_lines(l, asks, COUNT_OF(asks));
    price_list_unref(l);
}

/* The index against the sentence of price.h, word by word. */

static unsigned letters_of(const char *glob)
{
    unsigned n = 0;
    for (; *glob; glob++)
        n += *glob != '*' && *glob != '?';
    return n;
}

static bool is_before(const struct row *a, const struct row *b)
{
    const int64_t pairs[][2] = {
        {a->known, b->known}, {a->from, b->from}, {!strpbrk(a->model, "*?"), !strpbrk(b->model, "*?")}, {!strpbrk(a->provider, "*?"), !strpbrk(b->provider, "*?")},
        {letters_of(a->model), letters_of(b->model)}, {letters_of(a->provider), letters_of(b->provider)}, {a->tier && *a->tier, b->tier && *b->tier},
        {a->clock.days != 0, b->clock.days != 0}, {a->above, b->above}};
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        if (pairs[i][0] != pairs[i][1])
            return pairs[i][0] > pairs[i][1];
    return false; /* the first listed stands */
}

static bool row_applies(const struct row *r, const struct ask *a)
{
    return glob_matches(span_str(r->model), span_str(a->model)) && glob_matches(span_str(r->provider), span_str(a->provider)) && a->at >= r->from &&
           a->at < r->until && a->known >= r->known && a->tokens > (r->above ? r->above : -1) && (!r->tier || !*r->tier || strcmp(r->tier, a->tier) == 0) &&
           price_clock_covers(&r->clock, a->at);
}

TEST(the_index_finds_what_a_walk_over_all_lines_finds)
{
    static const char *const models[] = {"m", "mm", "m*", "*", "?m", "n"}, *const providers[] = {"p", "p*", "*", "q"}, *const tiers[] = {"", "flex", "batch"};
    static const char *const books[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    static const struct price_clock clocks[] = {{0}, NIGHT, WEEKEND};
    for (unsigned round = 1; round <= 300; round++) {
        struct row rows[24];
        random_seed(round);
        for (unsigned i = 0; i < COUNT_OF(rows); i++) {
            rows[i] = (struct row){books[i / 3], .model = models[random_below(6)], .provider = providers[random_below(4)], .tier = tiers[random_below(3)],
                                   .above = random_below(3) * 100, .clock = clocks[random_below(3)], .input = i + 1};
            rows[i].from = i % 3 ? rows[i - 1].from : DAY(random_below(4));
            rows[i].until = i % 3 ? rows[i - 1].until : rows[i].from + DAY(1 + random_below(8));
            rows[i].known = i % 3 ? rows[i - 1].known : DAY(random_below(3));
        }
        struct price_list *l = list_of(rows, COUNT_OF(rows));
        for (unsigned k = 0; k < 60; k++) {
            struct ask a = {models[random_below(6)], providers[random_below(4)], tiers[random_below(3)], DAY(random_below(9)) + random_below(24) * HOUR_US,
                            DAY(random_below(4)), random_below(300), 0, NULL};
            const struct row *best = NULL;
            for (unsigned i = 0; i < COUNT_OF(rows); i++)
                if (row_applies(&rows[i], &a) && (!best || is_before(&rows[i], best)))
                    best = &rows[i];
            a.expected = best ? best->input : 0;
            expect_lines(l, &a, 1);
        }
        price_list_unref(l);
    }
}

/* ---- books that contradict each other ---- */

static void expect_complaints(const struct row *rows, unsigned n, const char *expected)
{
    struct price_list *l = list_of(rows, n);
    EXPECT_STR(complaints, expected);
    price_list_unref(l);
}
#define COMPLAINTS(expected, ...) \
    do { \
        static const struct row rows_[] = {__VA_ARGS__}; \
        expect_complaints(rows_, COUNT_OF(rows_), expected); \
    } while (0)
#define HAS_PRICE(n, where) \
    n ": m at p has a price already, in t.yaml:" where ", that is valid at the same time and known since the same moment: give the older one an `until`, or " \
    "the newer one a later `known`"

TEST(two_prices_for_the_same_thing_are_told)
{
    COMPLAINTS(HAS_PRICE("2", "1"), {"a", 0, FOREVER, 0, "m", "p"}, {"a", 0, FOREVER, 0, "m", "p"});
    COMPLAINTS(HAS_PRICE("2", "1"), {"a", 0, DAY(5), 0, "m", "p"}, {"b", DAY(4), FOREVER, 0, "m", "p"});
    COMPLAINTS("", {"a", 0, DAY(5), 0, "m", "p"}, {"b", DAY(5), FOREVER, 0, "m", "p"});
    COMPLAINTS("", {"a", 0, DAY(5), 0, "m", "p"}, {"b", DAY(4), FOREVER, 1, "m", "p"});
    COMPLAINTS("", {"a", 0, FOREVER, 0, "m", "p"}, {"a", 0, FOREVER, 0, "m", "p*"}, {"a", 0, FOREVER, 0, "m", "p", "flex"},
               {"a", 0, FOREVER, 0, "m", "p", .above = 1}, {"a", 0, FOREVER, 0, "m", "p", .clock = NIGHT}, {"b", 0, FOREVER, 0, "m", "p", .seller = "other"});
    COMPLAINTS(HAS_PRICE("3", "2"), {"a", 0, FOREVER, 0, "m", "p"}, {"a", 0, FOREVER, 0, "m", "p", .clock = NIGHT},
               {"a", 0, FOREVER, 0, "m", "p", .clock = WEEKEND});
    COMPLAINTS("", {"a", 0, FOREVER, 0, "m", "p"}, {"a", 0, FOREVER, 0, "m", "p", .clock = OFFICE}, {"a", 0, FOREVER, 0, "m", "p", .clock = WEEKEND});
}

TEST(a_time_without_a_price_between_two_is_told)
{
    COMPLAINTS("2: m at p has no price from 1970-01-06T00:00Z until 1970-01-07T00:00Z, between two that them gives self: close the gap, or name what is not sold in "
               "between differently", {"a", 0, DAY(5), 0, "m", "p"}, {"b", DAY(6), FOREVER, 0, "m", "p"});
    COMPLAINTS("", {"a", 0, DAY(5), 0, "m", "p"}, {"b", DAY(6), FOREVER, 0, "m", "p"}, {"c", DAY(4), DAY(7), 1, "m", "p"});
    COMPLAINTS("", {"a", 0, DAY(5), 0, "m", "p"}, {"b", DAY(6), FOREVER, 0, "n", "p"});
}

TEST(a_context_step_without_its_base_is_told)
{
    COMPLAINTS("2: m at p has a price above 200000 input tokens and none below: add the line without `above`, of the same tier and clock, in the same book",
               {"a", 0, FOREVER, 0, "m", "p"}, {"a", 0, FOREVER, 0, "m", "p", "flex", .above = 200000});
    COMPLAINTS("2: m at p has a price above 200000 input tokens and none below: add the line without `above`, of the same tier and clock, in the same book",
               {"a", 0, FOREVER, 0, "m", "p"}, {"b", 0, FOREVER, 1, "m", "p", .above = 200000});
}

/* ---- the canonical text ---- */

#define LINE_TEXT \
    "book=azure\tseller=microsoft\tbuyer=acme\tcurrency=USD\tsource=100%25 list\tfrom=1785542400000000\tuntil=1788220800000000\tknown=1785801600000000\t" \
    "model=gpt-5.6-luna\tprovider=azure-gl\ttier=flex\tabove=200000\tclock=1320-360/127\tinput=200000000\tcache_read=20000000\toutput=1200000000"
#define PLAIN_TEXT "book=b\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*\toutput=0"

static enum err parse(struct arena *a, const char *text, struct price_line *ret)
{
    struct span exact = exact_copy(span_str(text));
    enum err e = price_line_parse(a, exact, ret);
    free((void *)(uintptr_t)exact.p);
    return e;
}

TEST(the_text_of_a_line_says_all_of_it)
{
    struct arena a;
    struct price_line line;
    uint8_t digest[SHA256_BYTES];
    arena_init(&a, 1024);
    REQUIRE(parse(&a, LINE_TEXT, &line) == ERR_OK);
    EXPECT_STR(line.book->name, "azure");
    EXPECT_STR(line.book->source, "100% list");
    EXPECT_EQ(line.book->valid_until_us, 1788220800000000);
    EXPECT_STR(line.tier, "flex");
    EXPECT_EQ(line.above_input, 200000);
    EXPECT(line.clock.from_minute == 1320 && line.clock.until_minute == 360 && line.clock.days == 127);
    EXPECT(line.price[USAGE_INPUT] == price("0.20") && line.price[USAGE_CACHE_WRITE] == PRICE_NONE);
    EXPECT_STR(line.text, LINE_TEXT);
    digest_sha256(SPAN(LINE_TEXT), digest);
    EXPECT(memcmp(digest, line.digest, sizeof digest) == 0);
    REQUIRE(parse(&a, PLAIN_TEXT, &line) == ERR_OK);
    EXPECT_EQ(line.book->valid_until_us, PRICE_TIME_MAX);
    EXPECT_STR(line.tier, "");
    EXPECT(line.price[USAGE_OUTPUT] == 0 && line.price[USAGE_INPUT] == PRICE_NONE);
    arena_fini(&a);
}

TEST(a_line_has_one_text_and_any_other_is_refused)
{
    static const char *const bad[] = {
        "", "\t", "book", "book=b", PLAIN_TEXT "\t", "\t" PLAIN_TEXT, PLAIN_TEXT "\toutput=0", PLAIN_TEXT "\tinput=0", PLAIN_TEXT "\treasoning=-1",
        PLAIN_TEXT "\treasoning=00", PLAIN_TEXT "\treasoning=9223372036854775808", PLAIN_TEXT "\tthoughts=1", PLAIN_TEXT "\n",
        "book=b\tseller=s\tbuyer=c\tcurrency=XXQ\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*",
        "book=b\tseller=s\tbuyer=c\tcurrency=eur\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*",
        "seller=s\tbook=b\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*",
        "book=b\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tknown=0\tmodel=\tprovider=*",
        "book=b\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tuntil=-1\tknown=0\tmodel=*\tprovider=*",
        "book=b\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tuntil=9223372036854775807\tknown=0\tmodel=*\tprovider=*",
        "book=b%41\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*",
        "book=b%0a\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*",
        "book=b%00\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*",
        "book=b%2\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*",
        "book=b\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*\ttier=",
        "book=b\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*\tabove=0",
        "book=b\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*\tclock=0-1440/0",
        "book=b\tseller=s\tbuyer=c\tcurrency=EUR\tsource=\tfrom=-1\tknown=0\tmodel=*\tprovider=*\tclock=0-1441/1",
    };
    struct arena a;
    arena_init(&a, 1024);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct price_line line = {.above_input = 77};
        if (parse(&a, bad[i], &line) == ERR_OK || line.above_input != 77)
            UNIT_FAIL("accepted: %s", bad[i]);
    }
    arena_fini(&a);
}

static const char *random_text(char out[40], bool empty_too)
{
    unsigned n = random_below(20) + !empty_too;
    for (unsigned i = 0; i < n; i++)
        out[i] = (char)(1 + random_below(255));
    out[n] = '\0';
    return out;
}

TEST(any_line_comes_back_from_its_text)
{
    for (unsigned round = 1; round <= 2000; round++) {
        char texts[7][40];
        struct arena a;
        struct buf b;
        struct price_line back;
        random_seed(round);
        struct price_book book = {.name = random_text(texts[0], true), .seller = random_text(texts[1], true), .buyer = random_text(texts[2], true), .currency = "JPY",
                                  .source = random_text(texts[3], true), .valid_from_us = (int64_t)random_below(1u << 31) - (1 << 30)};
        book.valid_until_us = random_below(2) ? FOREVER : book.valid_from_us + 1 + random_below(1u << 30);
        struct price_line line = {.book = &book, .model = span_str(random_text(texts[4], false)), .provider = span_str(random_text(texts[5], false)),
                                  .tier = random_below(2) ? "" : random_text(texts[6], false), .above_input = random_below(2) * 1000};
        if (random_below(2))
            line.clock = (struct price_clock){(uint16_t)random_below(720), (uint16_t)(720 + random_below(721)), (uint8_t)(1 + random_below(127))};
        for (unsigned i = 0; i < USAGE_CLASSES; i++)
            line.price[i] = random_below(2) ? PRICE_NONE : (int64_t)random_below(1u << 31) << random_below(32);
        arena_init(&a, 1024);
        buf_init(&b, PRICE_TEXT_BYTES_MAX);
        REQUIRE(price_line_write(&line, &b) == ERR_OK && price_line_parse(&a, buf_span(&b), &back) == ERR_OK);
        EXPECT(strcmp(back.book->name, book.name) == 0 && strcmp(back.book->source, book.source) == 0 && span_eq(back.model, line.model) &&
               strcmp(back.tier, line.tier) == 0 && back.above_input == line.above_input && memcmp(back.price, line.price, sizeof line.price) == 0 &&
               back.book->valid_until_us == book.valid_until_us && back.clock.days == line.clock.days);
        buf_fini(&b);
        arena_fini(&a);
    }
}

UNIT_MAIN
