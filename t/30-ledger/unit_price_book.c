/* SPDX-License-Identifier: Apache-2.0
 *
 * Price books as people write them: what each mistake is told as, what right books mean, and that docs/prices.md tells of every key. A right book is
 * compared as the canonical texts of its lines, from the model on.
 *
 * "p.yaml:" before each message is left out of the rows.
 */
#include "serve/config.h"
#include "unit.h"

#include "policy/price_seal.h"

/* ---- a world of one file ---- */

static long read_file(void *owner, const char *path, char *out, size_t max, const char **ret_why)
{
    const char *text = owner;
    if (strcmp(path, "p.yaml") != 0) {
        *ret_why = "No such file or directory";
        return -1;
    }
    size_t n = strlen(text) < max ? strlen(text) : max;
    memcpy(out, text, n);
    return (long)n;
}

static struct price_list *load_as(const char *self, const char *text, char *said, size_t said_bytes)
{
    static const char *const files[] = {"p.yaml"};
    const struct config_world world = {.read_file = read_file, .owner = (void *)(uintptr_t)text};
    struct price_list *l = NULL;
    struct config_errors errors;
    struct arena arena;
    config_errors_init(&errors);
    arena_init(&arena, 1024);
    enum err e = config_prices_load(files, 1, self, &world, &l, &errors);
    said[0] = '\0';
    EXPECT((e == ERR_OK) == (l != NULL) && (e == ERR_OK) == (errors.n == 0));
    for (unsigned i = 0; i < errors.n; i++) {
        struct span line = config_errors_line(&errors, i, &arena);
        snprintf(said + strlen(said), said_bytes - strlen(said), "%s%.*s", i ? "\n" : "", SPAN_ARG(span_from(line, sizeof "p.yaml:" - 1)));
    }
    arena_fini(&arena);
    config_errors_fini(&errors);
    return l;
}

struct row {
    const char *text, *said;
};

static void expect_said(const char *self, const char *text, const char *expected)
{
    char said[8192];
    struct price_list *l = load_as(self, text, said, sizeof said);
    if (strcmp(said, expected) != 0)
        UNIT_FAIL("these books:\n%s\nsay\n%s\ninstead of\n%s", text, said, expected);
    price_list_unref(l);
}

static void expect_rows(const struct row *rows, size_t n, const char *before)
{
    char text[8192];
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%s%s", before, rows[i].text);
        expect_said("acme", text, rows[i].said);
    }
}

/* The canonical texts of all lines, from "model=" on, with spaces for tabs. */
static void write_lines(const struct price_list *l, char *out, size_t bytes)
{
    for (unsigned i = 0; i < l->books_n; i++)
        for (unsigned k = 0; k < l->books[i]->lines_n; k++)
            snprintf(out + strlen(out), bytes - strlen(out), "%s%s", *out ? "\n" : "", strstr(l->books[i]->lines[k]->text, "model=") + 6);
    for (; *out; out++)
        *out = *out == '\t' ? ' ' : *out;
}

static void expect_lines(const char *lines, const char *expected)
{
    char text[8192], said[8192], found[8192] = "";
    snprintf(text, sizeof text, "books:\n- book: b\n  seller: s\n  buyer: acme\n  currency: USD\n  from: 2026-08-01\n  lines:\n%s", lines);
    struct price_list *l = load_as("acme", text, said, sizeof said);
    if (l)
        write_lines(l, found, sizeof found);
    if (!l || strcmp(found, expected) != 0)
        UNIT_FAIL("these lines:\n%s\ngive\n%s%s\ninstead of\n%s", lines, found, said, expected);
    price_list_unref(l);
}

/* ---- right books ---- */

TEST(a_line_is_read_to_the_last_digit)
{
    expect_lines("  - {model: m, provider: p, input: 0.20, cache_read: 0.02, cache_write: 0.25, output: 1.20}\n",
                 "m provider=p input=200000000 cache_read=20000000 cache_write=250000000 output=1200000000");
    expect_lines("  - {model: m, input: 0, output: 2.5e-07}\n", "m provider=* input=0 output=250");
    expect_lines("  - {model: m, request: 0.01 each, image: 40 per 1K, pixel: 1.9e-8 each, second: \"0.0001 each\", search: 10000 per 1M}\n",
                 "m provider=* request=10000000000000 search=10000000000000 second=100000000000 image=40000000000000 pixel=19000000");
    expect_lines("  - {model: m, input: 1, output: 2, reasoning: output, output_audio: reasoning}\n",
                 "m provider=* input=1000000000 output=2000000000 reasoning=2000000000 output_audio=2000000000");
    expect_lines("  - {model: m, input: 1, output: null}\n", "m provider=* input=1000000000");
}

TEST(conditions_of_a_line_are_kept)
{
    expect_lines("  - {model: m, input: 1}\n  - {model: m, above: 200000, input: 2}\n  - {model: m, tier: flex, input: 3}\n  - {model: m, tier: default, provider: p, input: 4}\n",
                 "m provider=* input=1000000000\nm provider=* above=200000 input=2000000000\nm provider=* tier=flex input=3000000000\nm provider=p input=4000000000");
    expect_lines("  - {model: m, input: 1}\n  - {model: m, clock: \"22:00-06:00\", input: 2}\n", "m provider=* input=1000000000\nm provider=* clock=1320-360/127 input=2000000000");
    expect_lines("  - {model: m, clock: \"mon-fri 08:00-18:30\", input: 1}\n", "m provider=* clock=480-1110/31 input=1000000000");
    expect_lines("  - {model: m, clock: \"sat,SUN\", input: 1}\n", "m provider=* clock=0-1440/96 input=1000000000");
    expect_lines("  - {model: m, clock: \"fri-mon 00:00-24:00\", input: 1}\n", "m provider=* clock=0-1440/113 input=1000000000");
}

TEST(lists_and_multipliers_are_written_out)
{
    expect_lines("  - {model: [m, n], provider: [p, q], times: 1.1, input: 0.20}\n",
                 "m provider=p input=220000000\nm provider=q input=220000000\nn provider=p input=220000000\nn provider=q input=220000000");
    expect_lines("  - {model: m, provider: p, input: 3, times: 1/3}\n", "m provider=p input=1000000000");
    expect_lines("  - {model: m, provider: p, input: 3, times: 50%}\n", "m provider=p input=1500000000");
}

TEST(a_provider_is_priced_as_another_with_all_its_steps_and_tiers)
{
    /* copied before what it copies stands in the file; a price beside `as` is not multiplied */
    expect_lines("  - {model: m, provider: eu, as: gl, times: 1.1, output: 5}\n"
                 "  - {model: m, provider: gl, input: 0.20, output: 1.20}\n"
                 "  - {model: m, provider: gl, above: 1000, input: 0.40, output: 2}\n",
                 "m provider=gl input=200000000 output=1200000000\n"
                 "m provider=gl above=1000 input=400000000 output=2000000000\n"
                 "m provider=eu input=220000000 output=5000000000\n"
                 "m provider=eu above=1000 input=440000000 output=5000000000");
    expect_lines("  - {model: m, provider: p, input: 1}\n  - {model: m, provider: p, above: 9, input: 2}\n  - {model: m, provider: p, tier: batch, as: p, times: 50%}\n"
                 "  - {model: m, provider: p, clock: \"16:30-00:30\", as: p, times: 0.25}\n  - {model: m, provider: q, as: p}\n",
                 "m provider=p input=1000000000\nm provider=p above=9 input=2000000000\n"
                 "m provider=p tier=batch input=500000000\nm provider=p tier=batch above=9 input=1000000000\n"
                 "m provider=p clock=990-30/127 input=250000000\nm provider=p above=9 clock=990-30/127 input=500000000\n"
                 "m provider=q input=1000000000\nm provider=q above=9 input=2000000000\n"
                 "m provider=q tier=batch input=500000000\nm provider=q tier=batch above=9 input=1000000000\n"
                 "m provider=q clock=990-30/127 input=250000000\nm provider=q above=9 clock=990-30/127 input=500000000");
}

#define BOOK "books:\n- book: azure\n  seller: microsoft\n  buyer: acme\n  currency: usd\n  source: invoice\n  from: 2026-08-01\n"
#define LINE "  lines: [{model: m, provider: p, input: 1}]\n"

TEST(a_book_is_dated_twice)
{
    char said[4096];
    struct price_list *l = load_as("acme", BOOK "  until: 2026-09-01T02:00:00+02:00\n  known: 2026-08-04\n" LINE, said, sizeof said);
    EXPECT_STR(said, "");
    REQUIRE(l && l->books_n == 1);
    const struct price_book *b = l->books[0];
    EXPECT_STR(b->name, "azure");
    EXPECT_STR(b->seller, "microsoft");
    EXPECT_STR(b->buyer, "acme");
    EXPECT_STR(b->currency, "USD");
    EXPECT_STR(b->source, "invoice");
    EXPECT_STR(b->place, "p.yaml:2");
    EXPECT_EQ(b->valid_from_us, 1785542400000000);
    EXPECT_EQ(b->valid_until_us, 1788220800000000);
    EXPECT_EQ(b->known_from_us, 1785801600000000);
    EXPECT_EQ(b->lines[0]->at.line, 10);
    price_list_unref(l);
    l = load_as("acme", BOOK LINE, said, sizeof said);
    REQUIRE(l != NULL);
    EXPECT_EQ(l->books[0]->known_from_us, l->books[0]->valid_from_us);
    EXPECT(l->books[0]->valid_until_us == PRICE_TIME_MAX);
    price_list_unref(l);
}

TEST(every_kind_of_term_is_read)
{
    char said[4096], text[MONEY_TEXT_BYTES];
    struct price_list *l = load_as("acme", BOOK "  terms:\n"
        "  - {fee: F1, rate: 5.5%, model: \"gpt-*\"}\n  - {fee: F2, amount: 10.00}\n  - {minimum: M1, amount: 1000}\n  - {free: Q1, class: input, quantity: 1000000}\n"
        "  - {band: B1, class: output, quantity: 1000000000, rate: 80%}\n  - {band: B2, amount: 5000, rate: 9/10, whole: true}\n"
        "  - {capacity: K1, units: 20, amount: 1.00, model: gpt-5.6-luna, provider: azure-eu, allowance: 2500000}\n"
        "  - {commit: C1, counts: [capacity, fee], milestones: [{by: 2026-10-31, amount: 60000}, {by: 2027-01-31T12:00:00Z, amount: 135000}]}\n"
        "  - {credit: G1, amount: 500, until: 2027-01-01}\n  - {share: S1, from: microsoft, to: acme, rate: 20%, cap: 38000000000}\n  - {tax: T1, rate: 20%}\n"
        "  - {storage: O1, amount: 4.50}\n", said, sizeof said);
    EXPECT_STR(said, "");
    REQUIRE(l && l->books[0]->terms_n == 12);
    const struct price_term *t = l->books[0]->terms;
    EXPECT(t[0].kind == TERM_FEE && t[0].rate.num == 11 && t[0].rate.den == 200 && t[0].amount == 0 && span_eq(t[0].model, SPAN("gpt-*")) &&
           span_eq(t[0].provider, SPAN("*")));
    EXPECT(t[1].kind == TERM_FEE && t[1].amount == 10 * MONEY_ONE && t[1].rate.num == 0);
    EXPECT(t[2].kind == TERM_MINIMUM && t[2].amount == 1000 * MONEY_ONE);
    EXPECT(t[3].kind == TERM_FREE && t[3].usage == USAGE_INPUT && t[3].quantity == 1000000);
    EXPECT(t[4].kind == TERM_BAND && t[4].usage == USAGE_OUTPUT && t[4].quantity == 1000000000 && t[4].rate.num == 4 && t[4].rate.den == 5 && !t[4].whole);
    EXPECT(t[5].kind == TERM_BAND && t[5].usage == USAGE_CLASSES && t[5].amount == 5000 * MONEY_ONE && t[5].whole);
    EXPECT(t[6].kind == TERM_CAPACITY && t[6].quantity == 20 && t[6].amount == MONEY_ONE && t[6].allowance == 2500000);
    EXPECT(t[7].kind == TERM_COMMIT && t[7].counts == (1u << TERM_CAPACITY | 1u << TERM_FEE) && t[7].milestones_n == 2);
    EXPECT_EQ(t[7].milestones[0].at_us, 1793491200000000); /* the end of that day */
    EXPECT_EQ(t[7].milestones[1].at_us, 1801396800000000);
    EXPECT(t[7].milestones[1].required == 135000 * MONEY_ONE);
    EXPECT(t[8].kind == TERM_CREDIT && t[8].until_us == 1798761600000000);
    EXPECT(t[9].kind == TERM_SHARE && t[9].cap == 38000000000 * MONEY_ONE);
    EXPECT_STR(t[9].to, "acme");
    EXPECT(t[10].kind == TERM_TAX && t[10].rate.den == 5);
    EXPECT_SPAN(money_format(text, t[11].amount, 0), "4.5");
    price_list_unref(l);
}

/* ---- wrong books ---- */

TEST(a_file_that_is_no_file_of_books_is_told)
{
    static const struct row rows[] = {
        {"", "1:1: the file is empty"},
        {"providers: {}\n", "1:1: a file of prices is a map with the one key `books:`, a list of price books"},
        {"books: {}\n", "1:1: a file of prices is a map with the one key `books:`, a list of price books"},
        {"- a\n", "1:1: a file of prices is a map with the one key `books:`, a list of price books"},
        {"books: [a]\n", "1:9: a price book must be a map with such keys as \"book: ...\""},
        {"books: [{}]\n", "1:9: \"book\" is missing: what statements call it, e.g. azure-2026-08; each book has its own\n"
                          "1:9: \"currency\" is missing: what all amounts of the book are in, e.g. USD\n"
                          "1:9: \"from\" is missing: requests that begin from here on have these prices, e.g. 2026-08-01\n"
                          "1:9: \"seller\" is missing: who is paid, e.g. microsoft\n"
                          "1:9: a book needs `lines:` or `terms:`, e.g. lines: [{model: gpt-4o, provider: azure-eu, input: 2.50, output: 10}]"},
    };
    expect_rows(rows, COUNT_OF(rows), "");
}

TEST(mistakes_in_a_book_are_told)
{
    static const struct row rows[] = {
        {"books: [{book: \"A b\", seller: s, currency: USD, from: 2026-01-01, terms: []}]\n",
         "1:16: a book's name is of small letters, digits, '.', '_' and '-', e.g. azure-2026-08, not \"A b\""},
        {"books: [{book: b, seller: s, currency: DOLLARS, from: 2026-01-01, terms: []}]\n", "1:40: \"DOLLARS\" is no currency of ISO 4217: write e.g. USD or EUR"},
        {"books: [{book: b, seller: s, currency: USD, from: yesterday, terms: []}]\n",
         "1:51: \"from\" must be a date such as 2026-08-01, which is midnight UTC, or a time such as 2026-08-01T09:00:00+02:00, not \"yesterday\""},
        {"books: [{book: b, seller: s, currency: USD, from: 2026-02-30, terms: []}]\n",
         "1:51: \"from\" must be a date such as 2026-08-01, which is midnight UTC, or a time such as 2026-08-01T09:00:00+02:00, not \"2026-02-30\""},
        {"books: [{book: b, seller: s, currency: USD, from: 2026-02-01, until: 2026-02-01, terms: []}]\n",
         "1:70: the book ends before it begins: \"until\" must be later than \"from\""},
        {"books: [{book: b, seller: s, buyer: t, currency: USD, from: 2026-02-01, terms: []}]\n",
         "1:9: neither the seller s nor the buyer t is us, and we are acme: write `party: t` in the config when that is our name"},
        {"books: [{book: b, seller: acme, currency: USD, from: 2026-02-01, terms: []}]\n", "1:9: acme would buy from itself: name another seller or buyer"},
        {"books: [{book: b, seller: s, buyer: \"*\", currency: USD, from: 2026-02-01, terms: []}]\n",
         "1:9: \"*\" can only be the buyer of what we sell ourselves\n"
         "1:9: neither the seller s nor the buyer * is us, and we are acme: write `party: *` in the config when that is our name"},
        {"books: [{book: b, seller: s, curency: USD, currency: USD, from: 2026-02-01, terms: []}]\n", "1:30: unknown key \"curency\" in a price book: did you mean \"currency\"?"},
        {BOOK LINE "- book: azure\n  seller: google\n  buyer: acme\n  currency: USD\n  from: 2026-08-01\n  lines: [{model: n, input: 1}]\n",
         "9:3: two books are named \"azure\"; the other is in p.yaml:2: statements could not tell them apart"},
        {BOOK LINE "- book: other\n  seller: microsoft\n  buyer: acme\n  currency: EUR\n  from: 2026-08-01\n  lines: [{model: n, input: 1}]\n",
         "9:3: microsoft gives acme prices in EUR here and in USD in p.yaml:2: one pair of parties has one currency"},
        {BOOK LINE "- book: other\n  seller: google\n  buyer: acme\n  currency: EUR\n  from: 2026-08-01\n  lines: [{model: n, input: 1}]\n", ""},
        {BOOK LINE "- book: other\n  seller: microsoft\n  buyer: acme\n  currency: USD\n  from: 2026-08-02\n  known: 2026-08-01\n  lines: [{model: m, provider: p, input: 1}]\n",
         "15:11: m at p has a price already, in p.yaml:8, that is valid at the same time and known since the same moment: give the older one an `until`, or the "
         "newer one a later `known`"},
        {BOOK "  until: 2026-08-03\n" LINE "- book: other\n  seller: microsoft\n  buyer: acme\n  currency: USD\n  from: 2026-08-04\n  lines: [{model: m, provider: p, input: 1}]\n",
         "15:11: m at p has no price from 2026-08-03T00:00Z until 2026-08-04T00:00Z, between two that microsoft gives acme: close the gap, or name what is not sold in "
         "between differently"},
    };
    expect_rows(rows, COUNT_OF(rows), "");
}

#define NINES "99999999999999999999999999999999999999999999999999"
#define DIGITS_400 NINES NINES NINES NINES NINES NINES NINES NINES

TEST(mistakes_in_a_line_are_told)
{
    static const struct row rows[] = {
        {"  lines: {}\n", "8:10: \"lines\" must be a list of at most 200000 lines, e.g. - {model: gpt-4o, provider: azure-eu, input: 2.50, output: 10}"},
        {"  lines: [{input: 1}]\n", "8:11: \"model\" is missing: the deployments' `model`, e.g. gpt-4o or \"gpt-4o*\""},
        {"  lines: [{model: [], input: 1}]\n", "8:19: \"model\" needs a name, or a list of 1 to 1000"},
        {"  lines: [{model: [{}], input: 1}]\n", "8:20: \"model\" must be a text, not a map"},
        {"  lines: [{model: m}]\n", "8:11: a line without a price: say e.g. input: 0.25, output: 1.20; what is free is 0"},
        {"  lines: [{model: m, inptu: 1}]\n", "8:22: unknown key \"inptu\" in a price line: did you mean \"input\"?"},
        {"  lines: [{model: m, thoughts: 1}]\n",
         "8:22: unknown key \"thoughts\" in a price line, which has: model, provider, as, times, above, tier, clock, input, cache_read, cache_write, cache_write_1h, "
         "input_audio, input_image, output, reasoning, output_audio, output_image, request, search, session, second, image, pixel, storage"},
        {"  lines: [{model: m, input: -0.25}]\n", "8:29: \"input\" must not be negative: what a seller gives back is a `credit` under `terms:`"},
        {"  lines: [{model: m, input: -" DIGITS_400 "}]\n", "8:29: \"input\" must not be negative: what a seller gives back is a `credit` under `terms:`"},
        {"  lines: [{model: m, input: " DIGITS_400 "}]\n",
         "8:29: \"input\" is finer or larger than a price can be: at most 9 decimals per 1M (15 for one), and less than 9.2 billion per 1M"},
        {"  lines: [{model: m, input: " DIGITS_400 "9 each}]\n",
         "8:29: \"input\" is finer or larger than a price can be: at most 9 decimals per 1M (15 for one), and less than 9.2 billion per 1M"},
        {"  lines: [{model: m, input: 0.0000000001}]\n",
         "8:29: \"input\" is finer or larger than a price can be: at most 9 decimals per 1M (15 for one), and less than 9.2 billion per 1M"},
        {"  lines: [{model: m, input: 9223372036.854775808}]\n",
         "8:29: \"input\" is finer or larger than a price can be: at most 9 decimals per 1M (15 for one), and less than 9.2 billion per 1M"},
        {"  lines: [{model: m, input: $0.25}]\n",
         "8:29: \"input\" must be a price per 1M such as 0.25, a price of one such as \"0.01 each\", or a class such as output, not \"$0.25\""},
        {"  lines: [{model: m, input: 0.25 per token}]\n",
         "8:29: \"input\" must be a price per 1M such as 0.25, a price of one such as \"0.01 each\", or a class such as output, not \"0.25 per token\""},
        {"  lines: [{model: m, input: [1]}]\n", "8:29: \"input\" takes a single value (price, or a class), not a list"},
        {"  lines: [{model: m, input: 1, reasoning: output}]\n", "8:43: output has no price in this line that reasoning could be priced as"},
        {"  lines: [{model: m, input: 1, output: reasoning, reasoning: output}]\n",
         "8:40: output is priced as itself, in a circle\n8:62: reasoning is priced as itself, in a circle"},
        {"  lines: [{model: m, input: 1, times: 0}]\n", "8:39: \"times\" must be a rate above 0 such as 5.5%, 1.1 or 1/3, not \"0\""},
        {"  lines: [{model: m, input: 0.10, times: 1/3}]\n",
         "8:42: input 0.1 times 1/3 cannot be represented: it needs more than 9 decimals per 1M; round it and write the price out"},
        {"  lines: [{model: m, input: 1, above: 0}]\n", "8:39: \"above\" must be a whole number above 0, not \"0\""},
        {"  lines: [{model: m, input: 1, above: 200000}]\n",
         "8:11: m at * has a price above 200000 input tokens and none below: add the line without `above`, of the same tier and clock, in the same book"},
        {"  lines: [{model: m, input: 1, clock: \"25:00-06:00\"}]\n",
         "8:39: \"clock\" must be a window in UTC, with or without days: \"22:00-06:00\", \"mon-fri 08:00-18:00\", \"sat,sun\"; not \"25:00-06:00\""},
        {"  lines: [{model: m, input: 1, clock: \"06:00-06:00\"}]\n",
         "8:39: \"clock\" must be a window in UTC, with or without days: \"22:00-06:00\", \"mon-fri 08:00-18:00\", \"sat,sun\"; not \"06:00-06:00\""},
        {"  lines: [{model: m, input: 1, clock: \"funday 06:00-07:00\"}]\n",
         "8:39: \"clock\" must be a window in UTC, with or without days: \"22:00-06:00\", \"mon-fri 08:00-18:00\", \"sat,sun\"; not \"funday 06:00-07:00\""},
        {"  lines: [{model: m, provider: p, as: p}]\n", "8:39: m at \"p\" is priced as itself, in a circle"},
        {"  lines: [{model: m, provider: p, as: q}, {model: m, provider: q, as: p}]\n", "8:71: m at \"p\" is priced as itself, in a circle"},
        {"  lines: [{model: m, provider: p, as: azure}, {model: m, provider: azur, input: 1}]\n", "8:39: no line of this book prices m at \"azure\": did you mean \"azur\"?"},
        {"  lines: [{model: m, provider: p, as: q}, {model: n, provider: q, input: 1}]\n", "8:39: no line of this book prices m at \"q\", which `as` could copy"},
        {"  lines: [{model: m, provider: p, as: q, above: 7}, {model: m, provider: q, input: 1}]\n", "8:11: `above` has no place beside `as`: the steps are copied, too"},
        {"  lines: [{model: m, provider: p, as: q, times: 1.15}, {model: m, provider: q, input: 0.000000001}]\n",
         "8:49: input 0.000000001 times 115% cannot be represented: it needs more than 9 decimals per 1M; round it and write the price out"},
        {"  lines: [{model: m, input: 1}, {model: m, input: 1}]\n",
         "8:33: m at * has a price already, in p.yaml:8, that is valid at the same time and known since the same moment: give the older one an `until`, or the newer one a "
         "later `known`"},
    };
    expect_rows(rows, COUNT_OF(rows), BOOK);
}

TEST(mistakes_in_a_term_are_told)
{
    static const struct row rows[] = {
        {"  terms: {}\n", "8:10: \"terms\" must be a list of at most 10000 terms, e.g. - {fee: F1, rate: 5.5%}"},
        {"  terms: [{discount: D1}]\n", "8:11: a term is a map that begins with its kind and name, e.g. {fee: F1, rate: 5.5%}; the kinds are fee, minimum, free, band, capacity, "
                                        "commit, credit, share, tax and storage"},
        {"  terms: [{fee: F1}]\n", "8:11: a fee is an `amount` per period or a `rate` of the charges: one of the two"},
        {"  terms: [{fee: F1, amount: 1, rate: 1%}]\n", "8:11: a fee is an `amount` per period or a `rate` of the charges: one of the two"},
        {"  terms: [{fee: F1, amount: -1}]\n", "8:29: \"amount\" must be above 0"},
        {"  terms: [{fee: F1, amount: 1 USD}]\n", "8:29: \"amount\" must be an amount in the book's currency such as 12000.00, not \"1 USD\""},
        {"  terms: [{fee: F1, amount: " DIGITS_400 "}]\n", "8:29: \"amount\" is finer or larger than an amount can be: at most 15 decimals, and below 9.2 trillion"},
        {"  terms: [{fee: F1, amount: 1}, {tax: F1, rate: 20%}]\n", "8:33: two terms of this book are named \"F1\"; the other is in line 8"},
        {"  terms: [{free: Q, class: inputs, quantity: 1}]\n", "8:28: \"inputs\" is no class of usage: did you mean \"input\"?"},
        {"  terms: [{band: B, rate: 80%, class: input, amount: 1}]\n", "8:11: a band begins above a `quantity` of a `class`, or above an `amount` of all charges: one of the two"},
        {"  terms: [{commit: C, milestones: []}]\n", "8:35: \"milestones\" must be a list of 1 to 1000, e.g. - {by: 2026-10-31, amount: 60000}"},
        {"  terms: [{commit: C, milestones: [{by: 2026-10-31, amount: 2}, {by: 2026-10-31, amount: 3}]}]\n",
         "8:65: milestones go on in time and amount: each later and larger than the one before, from the beginning on"},
        {"  terms: [{commit: C, counts: [usage], milestones: [{by: 2026-10-31, amount: 2}]}]\n",
         "8:32: this is no kind of term: fee, minimum, free, band, capacity, commit, credit, share, tax or storage"},
        {"  terms: [{credit: C, amount: 1, until: 2026-08-01}]\n", "8:11: the credit ends before the book begins"},
        {"  terms: [{share: S, from: a, to: a, rate: 1%}]\n", "8:11: a would pay to itself"},
        {"  terms: [{tax: T, rate: -20%}]\n", "8:26: \"rate\" must be a rate above 0 such as 5.5%, 1.1 or 1/3, not \"-20%\""},
    };
    expect_rows(rows, COUNT_OF(rows), BOOK);
}

TEST(a_chain_of_copies_has_an_end)
{
    char text[16384] = BOOK "  lines:\n  - {model: m, provider: p0, input: 1}\n", said[4096];
    for (unsigned i = 40; i > 0; i--)
        snprintf(text + strlen(text), sizeof text - strlen(text), "  - {model: m, provider: p%u, as: p%u}\n", i, i - 1);
    struct price_list *l = load_as("acme", text, said, sizeof said);
    EXPECT(!l && strstr(said, "`as` goes over more than 32 lines before one has prices"));
    price_list_unref(l);
}

TEST(short_lists_cannot_grow_without_bound)
{
    char text[32768] = BOOK "  lines:\n  - {model: [", said[4096];
    for (unsigned list = 0; list < 2; list++) {
        for (unsigned i = 0; i < 500; i++)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%sn%u", i ? "," : "", i);
        snprintf(text + strlen(text), sizeof text - strlen(text), "], %s", list ? "input: 1}\n" : "provider: [");
    }
    struct price_list *l = load_as("acme", text, said, sizeof said);
    EXPECT_STR(said, "9:5: the book has more than 200000 lines here, lists and `as` written out");
    price_list_unref(l);
}

TEST(without_a_party_books_between_others_are_no_mistake)
{
    expect_said(NULL, BOOK LINE, "");
    expect_said("self", BOOK LINE, "2:3: neither the seller microsoft nor the buyer acme is us, and we are self: write `party: acme` in the config when that is our name");
}

TEST(a_file_that_cannot_be_read_is_told)
{
    static const char *const files[] = {"gone.yaml"};
    const struct config_world world = {.read_file = read_file, .owner = (void *)(uintptr_t)""};
    struct price_list *l = NULL;
    struct config_errors errors;
    struct arena arena;
    config_errors_init(&errors);
    arena_init(&arena, 64);
    EXPECT(config_prices_load(files, 1, NULL, &world, &l, &errors) == ERR_SYNTAX && !l && errors.n == 1);
    EXPECT_SPAN(config_errors_line(&errors, 0, &arena), "gone.yaml: cannot be read: No such file or directory");
    arena_fini(&arena);
    config_errors_fini(&errors);
}

/* ---- the page ---- */

struct page {
    char *text;
    unsigned keys;
};

static void expect_in_page(void *owner, const struct config_key *key)
{
    struct page *page = owner;
    char row[512];
    snprintf(row, sizeof row, "| `%s` | %s | %s | %s", key->path, key->type, *key->standard ? key->standard : "–", key->doc);
    if (!strstr(page->text, row))
        UNIT_FAIL("docs/prices.md lacks this row: %s", row);
    page->keys++;
}

static char *read_page(void)
{
    char path[1024], here[] = __FILE__;
    char *slash = strrchr(here, '/');
    snprintf(path, sizeof path, "%.*s/../../docs/prices.md", slash ? (int)(slash - here) : 1, slash ? here : ".");
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 1 << 18);
    size_t n = f && text ? fread(text, 1, (1 << 18) - 1, f) : 0;
    if (f)
        fclose(f);
    if (n)
        return text;
    free(text);
    return NULL;
}

TEST(the_page_tells_of_every_key_and_of_no_other)
{
    struct page page = {read_page(), 0};
    unsigned rows = 0;
    if (!page.text)
        SKIP("docs/prices.md is not beside this build");
    config_each_price_key(expect_in_page, &page);
    const char *keys = strstr(page.text, "\n## Every key\n"), *end = keys ? strstr(keys + 1, "\n## ") : NULL;
    REQUIRE(keys != NULL);
    for (const char *at = strstr(keys, "\n| `"); at && (!end || at < end); at = strstr(at + 1, "\n| `"))
        rows++;
    EXPECT_EQ(rows, page.keys);
    free(page.text);
}

UNIT_MAIN
