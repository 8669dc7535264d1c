/* SPDX-License-Identifier: Apache-2.0
 *
 * What reconciliation reads: comma-separated values, meters' texts, units, names of models, decimals.
 */
#include "ledger_rig.h"
#include "unit_directory.h"

#include <sys/stat.h>

#include "base/csv.h"
#include "report/reconcile.h"

/* ---- comma-separated values ---- */

/* Rows as "a|b;c|d", or what is wrong and where. */
static const char *rows_of(struct span text)
{
    static char out[4 * CSV_CELLS_MAX];
    static struct csv_reader r;
    struct arena a;
    size_t n = 0;
    arena_init(&a, 256);
    csv_reader_init(&r, text, &a);
    out[0] = 0;
    while (csv_reader_next(&r))
        for (unsigned i = 0; i < r.n; i++)
            n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s", i ? "|" : n ? ";" : "", SPAN_ARG(r.cells[i]));
    if (r.error)
        snprintf(out, sizeof out, "%u %.20s", r.line, r.error);
    arena_fini(&a);
    return out;
}

TEST(a_table_is_read_as_its_writer_meant_it)
{
    static const char *const table[][2] = {
        {"a,b\nc,d\n", "a|b;c|d"},
        {"a,b\r\nc,d", "a|b;c|d"},
        {"\xef\xbb\xbf" "a,b", "a|b"},
        {"a,\n,b\n,\n", "a|;|b;|"},
        {"\n\r\n\na\n\n", "a"},
        {"\"a\",\"b,c\"", "a|b,c"},
        {"\"say \"\"so\"\"\",\"\"", "say \"so\"|"},
        {"\"two\nlines\",x\ny,z", "two\nlines|x;y|z"},
        {"\"\"\"\"", "\""},
        {"a b , c", "a b | c"},
        {"", ""},
        {"a,b\n\"c", "2 the quote that opens"},
        {"\"a\nb\"\n\n\"c\nd", "4 the quote that opens"},
        {"\"a\"b", "1 something stands beh"},
        {"x\na\"b\"", "2 a quote stands in a "},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char want[512];
        snprintf(want, sizeof want, "%.*s", table[i][1][0] >= '1' && table[i][1][0] <= '9' ? 22 : 511, table[i][1]);
        EXPECT_STR(rows_of(span_str(table[i][0])), want);
    }
}

TEST(a_row_of_more_cells_than_anybody_has_is_refused)
{
    char text[2 * CSV_CELLS_MAX];
    memset(text, ',', sizeof text);
    EXPECT(strncmp(rows_of(span_of(text, CSV_CELLS_MAX - 1)), "1 ", 2) != 0);
    EXPECT(strncmp(rows_of(span_of(text, CSV_CELLS_MAX)), "1 more", 6) == 0);
}

/* ---- meters ---- */

TEST(a_meter_says_its_class_and_its_model)
{
    static const struct { const char *text; unsigned usage; const char *model; bool region; } table[] = {
        {"gpt 4o 0806 Inp glbl Tokens", USAGE_INPUT, "gpt-4o-0806", false},
        {"gpt 4o 0806 cached Inp Data Zone Tokens", USAGE_CACHE_READ, "gpt-4o-0806", false},
        {"gpt-4.1-mini-Outp-regnl Tokens", USAGE_OUTPUT, "gpt-4.1-mini", false},
        {"GPT 5 inpt Glbl 1M Tokens", USAGE_INPUT, "GPT-5", false},
        {"gpt-4o-2024-08-06, input", USAGE_INPUT, "gpt-4o-2024-08-06", false},
        {"gpt-4o-2024-08-06, cached input", USAGE_CACHE_READ, "gpt-4o-2024-08-06", false},
        {"gpt-4o-audio-preview, audio output", USAGE_OUTPUT_AUDIO, "gpt-4o-audio-preview", false},
        {"EUC1-ClaudeSonnet4-input-tokens", USAGE_INPUT, "ClaudeSonnet4", true},
        {"USE1-Claude4.5Sonnet-cache-read-input-token-count-cross-region-global", USAGE_CACHE_READ, "Claude4.5Sonnet", true},
        {"APN1-NovaPro-cache-write-input-token-count", USAGE_CACHE_WRITE, "NovaPro", true},
        {"USE1-ClaudeOpus4-cache-write-1h-input-token-count", USAGE_CACHE_WRITE_1H, "ClaudeOpus4", true},
        {"EUC1-Nova-mantle-output-tokens-standard", USAGE_OUTPUT, "Nova", true},
        {"Gemini 2.0 Flash Input Text Tokens", USAGE_INPUT, "Gemini-2.0-Flash", false},
        {"Gemini 2.5 Flash Thinking Text Output - Predictions", USAGE_REASONING, "Gemini-2.5-Flash", false},
        {"Gemini 2.0 Flash Audio Input - Predictions", USAGE_INPUT_AUDIO, "Gemini-2.0-Flash", false},
        {"Gemini 2.5 Flash Image Text Input", USAGE_INPUT, "Gemini-2.5-Flash-Image", false},
        {"Hot LRS Data Stored", RECONCILE_ALL, "Hot-LRS-Stored", false},
        {"", RECONCILE_ALL, "", false},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct arena a;
        struct meter m;
        arena_init(&a, 256);
        meter_read(&a, span_str(table[i].text), table[i].region, &m);
        if (m.usage != table[i].usage)
            UNIT_FAIL("%s: class %u", table[i].text, m.usage);
        EXPECT_SPAN(m.model, table[i].model);
        arena_fini(&a);
    }
}

TEST(a_unit_says_how_many_it_is)
{
    static const struct { const char *text; int64_t scale; } table[] = {
        {"1K", 1000}, {"1M", 1000000}, {"1K tokens", 1000}, {"1,000 Tokens", 1000}, {"1000000 Tokens", 1000000}, {"Tokens", 1}, {"1", 1}, {"count", 1},
        {"10K", 10000}, {"1 Million Tokens", 1000000}, {"1 Hour", 0}, {"Hours", 0}, {"1 GB/Month", 0}, {"99999999999999999999", 0}, {"1M Million billion", 0},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (meter_scale(span_str(table[i].text)) != table[i].scale)
            UNIT_FAIL("%s: %lld", table[i].text, (long long)meter_scale(span_str(table[i].text)));
}

TEST(names_of_one_model_are_one_and_of_two_are_two)
{
    static const struct { const char *a, *b; unsigned match; } table[] = {
        {"gpt-4o-2024-08-06", "gpt 4o 0806", 3},
        {"gpt-4o-2024-08-06", "gpt-4o", 2},
        {"gpt-4o-2024-08-06", "gpt-4o-2024-05-13", 0},
        {"gpt-4o", "gpt-4o-mini", 0},
        {"gpt-4.1", "gpt-4.1-2025-04-14", 2},
        {"us.anthropic.claude-sonnet-4-20250514-v1:0", "ClaudeSonnet4", 2},
        {"eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude4.5Sonnet", 1},
        {"anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4-20250514", 3},
        {"gemini-2.0-flash-001", "Gemini 2.0 Flash", 3},
        {"publishers/google/models/gemini-2.5-pro", "Gemini 2.5 Pro", 3},
        {"gemini-2.5-pro", "Gemini 2.5 Flash", 0},
        {"meta-llama/Llama-4", "llama 4", 3},
        {"amazon.nova-pro-v1:0", "NovaPro", 3},
        {"o3-mini", "o4-mini", 0},
        {"gpt-4-1106-preview", "gpt-4-0613", 0},
        {"", "", 0},
        {"--", "::", 0},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        struct model_form a, b;
        model_form_of(span_str(table[i].a), &a);
        model_form_of(span_str(table[i].b), &b);
        if (model_form_match(&a, &b) != table[i].match || model_form_match(&b, &a) != table[i].match)
            UNIT_FAIL("%s (%s %s) and %s (%s %s): %u", table[i].a, a.base, a.date, table[i].b, b.base, b.date, model_form_match(&a, &b));
    }
}

/* ---- decimals ---- */

TEST(decimals_are_exact_and_what_is_finer_is_rounded)
{
    static const struct { const char *text; int64_t scale; const char *value, *step; } table[] = {
        {"12.345", 1000, "12345", "1"},
        {"0.1", 1, "0.1", "0.1"},
        {"-2.50", 1, "-2.5", "0.01"},
        {"+3", 1, "3", "1"},
        {"1e3", 1, "1000", "1"},
        {"2.5e-07", 1, "0.00000025", "0.00000001"},
        {"0.30000000000000004", 1, "0.3", "0.000000000000001"},
        {"9.9999999999999995e-08", 1, "0.0000001", "0.000000000000001"},
        {"0.0000000000000005", 1, "0.000000000000001", "0.000000000000001"},
        {"-0.0000000000000005", 1, "-0.000000000000001", "0.000000000000001"},
        {"1000000000000000", 1, "1000000000000000", "1"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        char text[MONEY_TEXT_BYTES];
        money value = 0, step = 0;
        if (!EXPECT(reconcile_decimal(span_str(table[i].text), table[i].scale, &value, &step)))
            continue;
        EXPECT_STR(money_format(text, value, 0).p, table[i].value);
        EXPECT_STR(money_format(text, step, 0).p, table[i].step);
    }
}

TEST(what_is_no_decimal_or_beyond_all_sums_is_refused)
{
    static const char *const table[] = {"", "+", "x", "1,000", "1 000", "$5", "1000000000000001", "1e400", "0x10", "NaN", "--1", "1.2.3"};
    money value, step = 0;
    for (size_t i = 0; i < COUNT_OF(table); i++)
        if (reconcile_decimal(span_str(table[i]), 1, &value, &step))
            UNIT_FAIL("\"%s\" was read", table[i]);
    EXPECT(!reconcile_decimal(SPAN("1000000000000"), 1000000, &value, &step));
}

/* ---- prices ---- */

TEST(an_implied_price_is_that_of_a_million_units)
{
    struct reconcile_side s = {.has_cost = true, .has_quantity = true, .quantity = 4000 * MONEY_ONE, .cost = MONEY_ONE / 100};
    EXPECT_EQ(reconcile_price(&s), 2500000000);
    s.quantity = 3 * MONEY_ONE;
    s.cost = 1000000000;
    EXPECT_EQ(reconcile_price(&s), 333333333);
    s.cost = MONEY_ONE * MONEY_ONE;
    EXPECT_EQ(reconcile_price(&s), PRICE_NONE);
    s.quantity = s.cost;
    EXPECT_EQ(reconcile_price(&s), 1000000000000000);
    s.quantity = 0;
    EXPECT_EQ(reconcile_price(&s), PRICE_NONE);
}

/* ---- requests that nobody saw end ---- */

static void die_during_a_request(const char *dir)
{
    struct ledger_hold h;
    struct ledger *l;
    char why[512];
    rig_hold(&h, RIG_ISSUER, 1);
    h.held = price_worst(&rig_buy, h.input_expected, h.output_max);
    struct ledger_ticket t = {.op = LEDGER_HOLD, .hold = &h};
    CHECK(mkdir(dir, 0700) == 0 && ledger_open(&(struct ledger_options){.dir = dir}, &l, why) == ERR_OK);
    ledger_submit(l, &t);
    ledger_flush(l);
    ledger_abandon(l);
    CHECK(ledger_open(&(struct ledger_options){.dir = dir}, &l, why) == ERR_OK);
    ledger_close(l);
}

static enum reconcile_cause cause_of(struct books *b, const char *row, enum usage_class usage)
{
    struct reconcile_export x;
    struct reconciliation r;
    struct zone *utc = NULL;
    char text[256], why[RECONCILE_WHY_BYTES];
    enum reconcile_cause cause = RECONCILE_CAUSES;
    snprintf(text, sizeof text, "from,until,model,class,quantity,cost,currency\n2020-01-01,2120-01-01,gpt,%s\n", row);
    CHECK(zone_open("UTC", &utc) == ERR_OK);
    CHECK(reconcile_read(&(struct reconcile_read_options){.text = span_str(text), .provider = SPAN("azure"), .zone = utc}, &x, why) == ERR_OK);
    CHECK(reconcile_make(&(struct reconcile_options){.books = b, .provider = SPAN("azure"), .export = &x}, &r) == ERR_OK);
    for (unsigned i = 0; i < r.cells_n; i++)
        cause = r.cells[i].usage == (unsigned)usage ? r.cells[i].cause : cause;
    reconcile_fini(&r);
    reconcile_export_fini(&x);
    zone_free(utc);
    return cause;
}

/* Held: 100 tokens in at 2.50, 1,000 out at 10.00 a million, and what the input left of it. */
TEST(what_a_dead_process_had_under_way_is_told_apart_and_bounded)
{
    static const struct { const char *row; enum usage_class usage; enum reconcile_cause cause; } table[] = {
        {"input,100,0.00025,USD", USAGE_INPUT, RECONCILE_EQUAL},
        {"input,130,0.000325,USD", USAGE_INPUT, RECONCILE_RECOVERED},
        {"input,201,0.0005025,USD", USAGE_INPUT, RECONCILE_QUANTITY},
        {"output,700,0.007,USD", USAGE_OUTPUT, RECONCILE_RECOVERED},
        {"output,1000,0.01,USD", USAGE_OUTPUT, RECONCILE_RECOVERED},
        {"output,1001,0.01001,USD", USAGE_OUTPUT, RECONCILE_MISSING_HERE},
    };
    struct books *b = NULL;
    char why[512];
    die_during_a_request(in_directory("died"));
    REQUIRE(books_open(in_directory("died"), &b, why) == ERR_OK);
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        enum reconcile_cause cause = cause_of(b, table[i].row, table[i].usage);
        if (cause != table[i].cause)
            UNIT_FAIL("%s: %s", table[i].row, cause < RECONCILE_CAUSES ? reconcile_cause_name(cause) : "no such place");
    }
    books_close(b);
}

UNIT_MAIN
