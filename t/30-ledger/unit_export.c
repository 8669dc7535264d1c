/* SPDX-License-Identifier: Apache-2.0
 *
 * The pure parts of exports: names of accounts in the letters of other programs, and back; texts and cells that stay inside their place.
 */
#include "unit.h"
#include "unit_random.h"

#include "base/limits.h"
#include "report/account_name.h"
#include "report/text.h"

typedef enum err name_fn(struct buf *out, struct span account);

static const char *made(name_fn *fn, struct span account)
{
    static char text[4096];
    struct buf b;
    buf_init(&b, sizeof text);
    EXPECT(fn(&b, account) == ERR_OK);
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(buf_span(&b)));
    buf_fini(&b);
    return text;
}

TEST(an_account_has_a_name_that_hledger_and_ledger_read)
{
    static const char *const table[][2] = {
        {"liabilities:payable:microsoft:azure-eu", "liabilities:payable:microsoft:azure-eu"},
        {"expenses:usage:my-vllm:meta-llama/Llama-4@x+y.z_1", "expenses:usage:my-vllm:meta-llama/Llama-4@x+y.z_1"},
        {"assets:receivable:Legal Team", "assets:receivable:Legal Team"},
        {"assets:receivable:two  spaces", "assets:receivable:two%20%20spaces"},
        {"assets:receivable: edge ", "assets:receivable:%20edge%20"},
        {"assets:receivable:a;b(c)[d]\"e\"", "assets:receivable:a%3Bb%28c%29%5Bd%5D%22e%22"},
        {"assets:receivable:%3A\t\n", "assets:receivable:%253A%09%0A"},
        {"assets:receivable:B\xc3\xbc", "assets:receivable:B%C3%BC"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        EXPECT_STR(made(account_name_plain, span_str(table[i][0])), table[i][1]);
}

TEST(an_account_has_a_name_that_beancount_reads)
{
    static const char *const table[][2] = {
        {"liabilities:payable:microsoft:azure-eu", "Liabilities:Payable:Microsoft:Azure-eu"},
        {"assets:receivable:legal", "Assets:Receivable:Legal"},
        {"assets:receivable:Legal", "Assets:Receivable:Legal--"},
        {"expenses:usage:x:gpt-4.1", "Expenses:Usage:X:Gpt-4-2E1"},
        {"expenses:usage:x:o3-mini-2025-01-31", "Expenses:Usage:X:O3-mini-2D2025-2D01-2D31"},
        {"income:usage:_x", "Income:Usage:X--5Fx"},
        {"income:usage:-", "Income:Usage:X--2D"},
        {"income:usage:X", "Income:Usage:X--"},
        {"income:usage:1st", "Income:Usage:1st"},
        {"income:usage:", "Income:Usage:0--"},
        {"income:usage:a--b-", "Income:Usage:A-2D-b-2D"},
        {"equity", "Equity:0-"},
        {"fx:usd", "Equity:0-:Fx:Usd"},
        {"", "Equity:0-:0--"},
        {"equity::fx:usd", "Equity:0--:Fx:Usd"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++)
        EXPECT_STR(made(account_name_beancount, span_str(table[i][0])), table[i][1]);
}

/* ---- back again, as docs/exports.md says ---- */

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

static size_t unescape(const char *from, size_t n, char mark, char *to)
{
    size_t made_n = 0;
    for (size_t i = 0; i < n; i++) {
        bool escape = from[i] == mark && i + 2 < n && hex(from[i + 1]) >= 0 && hex(from[i + 2]) >= 0;
        to[made_n++] = escape ? (char)(hex(from[i + 1]) << 4 | hex(from[i + 2])) : from[i];
        i += escape ? 2 : 0;
    }
    return made_n;
}

static size_t part_back(struct span part, char *to)
{
    if (span_eq(part, SPAN("0--")))
        return 0;
    bool capital = span_ends(part, SPAN("--")), foreign = part.n > 3 && span_starts(part, SPAN("X--"));
    if (capital)
        part.n -= 2;
    if (foreign)
        part = span_from(part, 2);
    size_t n = unescape(part.p, part.n, '-', to);
    if (!capital && !foreign && to[0] >= 'A' && to[0] <= 'Z')
        to[0] = (char)(to[0] - 'A' + 'a');
    return n;
}

static struct span beancount_back(struct span name, char *to)
{
    size_t n = 0;
    struct span rest = name;
    if (span_starts(name, SPAN("Equity:0-:")))
        rest = span_from(name, strlen("Equity:0-:"));
    else if (span_ends(name, SPAN(":0-")))
        rest.n -= 3;
    for (bool first = true; rest.p; first = false) {
        struct span part = span_cut(&rest, ':');
        if (!first)
            to[n++] = ':';
        n += part_back(part, to + n);
    }
    return span_of(to, n);
}

static bool is_beancount_part(struct span part)
{
    bool good = part.n && ((part.p[0] >= 'A' && part.p[0] <= 'Z') || (part.p[0] >= '0' && part.p[0] <= '9'));
    for (size_t i = 0; i < part.n; i++)
        good = good && (part.p[i] == '-' || (part.p[i] >= '0' && part.p[i] <= '9') || ((part.p[i] | 32) >= 'a' && (part.p[i] | 32) <= 'z'));
    return good;
}

TEST(no_two_accounts_become_one_and_each_can_be_read_back)
{
    static const char letters[] = "aAbBxXfF019--::%% .,_0E2D";
    static const char *const roots[] = {"assets:", "equity:", "expenses", "fx:", "", "Income:", "equity:0-"};
    random_seed(1);
    for (int round = 0; round < 200000; round++) {
        char account[64], back[256];
        int n = snprintf(account, sizeof account, "%s", roots[random_below(COUNT_OF(roots))]);
        for (unsigned more = random_below(9); more; more--)
            account[n++] = random_below(40) ? letters[random_below(sizeof letters - 1)] : (char)random_below(256);
        struct span said = span_of(account, (size_t)n);
        struct span plain = span_str(made(account_name_plain, said));
        REQUIRE(span_eq(span_of(back, unescape(plain.p, plain.n, '%', back)), said) || memchr(account, 0, said.n));
        struct span bean = span_str(made(account_name_beancount, said));
        if (!span_eq(beancount_back(bean, back), said))
            EXPECT_SPAN(said, "a name that can be read back");
        for (struct span rest = bean; rest.p;)
            REQUIRE(is_beancount_part(span_cut(&rest, ':')));
    }
}

TEST(a_text_cannot_end_the_place_it_stands_in)
{
    struct buf b;
    buf_init(&b, 4096);
    EXPECT(text_put(&b, SPAN("a\nb;c\x7f \xc3\xbc \xc3 \xf0\x9f\x98\x80"), ";") == ERR_OK);
    EXPECT_SPAN(buf_span(&b), "a%0Ab%3Bc%7F \xc3\xbc %C3 \xf0\x9f\x98\x80");
    buf_clear(&b);
    EXPECT(text_put_ascii(&b, SPAN("\xc3\xbc!"), "") == ERR_OK);
    EXPECT_SPAN(buf_span(&b), "%C3%BC!");
    buf_fini(&b);
}

TEST(a_cell_is_quoted_and_begins_no_formula)
{
    static const char *const texts[] = {"", "plain", "a,b", "say \"so\"", "\"", " edge", "=1+1", "-2", "@x", "'quoted", "+a,\"b\"",
                                        "two\r\nlines", "%41"};
    struct buf b;
    buf_init(&b, 4096);
    struct csv c = {.out = &b};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        csv_text(&c, span_str(texts[i]));
    csv_number(&c, -3);
    csv_money(&c, -MONEY_ONE / 4);
    csv_word(&c, NULL);
    csv_end_row(&c);
    EXPECT(c.error == ERR_OK);
    EXPECT_SPAN(buf_span(&b), ",plain,\"a,b\",\"say \"\"so\"\"\",\"\"\"\",\" edge\",'=1+1,'-2,'@x,''quoted,"
                              "\"'+a,\"\"b\"\"\",two%0D%0Alines,%41,-3,-0.25,\r\n");
    buf_fini(&b);
}

UNIT_MAIN
