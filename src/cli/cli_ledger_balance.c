/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger balance`: the accounts as a tree or a list, now or as they were, and what requests under way hold. As they were is added up from
 * the entries, and from the rollups of what was compacted.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/index.h"
#include "base/json.h"
#include "cli/cli_ledger.h"
#include "cli/table.h"
#include "report/movement.h"
#include "report/text.h"

#define AMOUNT_CELLS 28
#define SEED 0x62616c616e636531ull
#define CURRENCIES_MAX 200u /* of one account; there are fewer in the world */

static const char usage[] =
    "usage: entente ledger balance [ACCOUNT] --data DIR [--at DATE] [--zone ZONE] [--flat] [--json]\n"
    "\n"
    "The balance of each account, debits less credits: what we own and what we spent is above zero, what we owe and what we earned below.\n"
    "ACCOUNT  only this account and those below it, e.g. assets:receivable\n"
    "--at     as it was at this moment: 2026-11-01, or 2026-11-01T10:00:00Z; usage that was compacted counts by the quarter of an hour\n"
    "--zone   whose midnight a date means; UTC unless said, e.g. Europe/Paris\n"
    "--flat   whole names, one for each line, and no sums\n";

struct question {
    const char *data, *account, *at, *zone;
    bool flat, json;
};

struct balance {
    struct span account, currency;
    money posted;
};

struct balances {
    struct books *books;
    struct span below;     /* only this account and those below; empty: all */
    struct arena arena;
    struct balance *rows;
    uint32_t n, room;
    struct index index;
    struct movements movements;
    unsigned decimals;     /* of every amount, so that points stand in a column */
    uint64_t holds;
    struct balance held[CURRENCIES_MAX];
    unsigned held_n;
};

/* ---- adding up ---- */

static bool is_asked_for(const struct balances *b, struct span account)
{
    return b->below.n == 0 || (span_starts(account, b->below) && (account.n == b->below.n || account.p[b->below.n] == ':'));
}

static struct balance *add_row(struct balances *b, uint32_t hash, struct span account, struct span currency)
{
    if (b->n == b->room) {
        b->room = b->room ? 2 * b->room : 64;
        b->rows = reallocarray(b->rows, b->room, sizeof *b->rows);
        CHECK(b->rows != NULL);
    }
    b->rows[b->n] = (struct balance){arena_dup(&b->arena, account), arena_dup(&b->arena, currency), 0};
    index_insert(&b->index, hash, b->n + 1);
    return &b->rows[b->n++];
}

static struct balance *find_row(struct balances *b, struct span account, struct span currency)
{
    uint32_t hash = (uint32_t)span_hash(account, span_hash(currency, SEED)), item;
    for (uint32_t at = index_first(&b->index, hash); (item = index_item(&b->index, hash, &at)) != 0; at++)
        if (span_eq(b->rows[item - 1].account, account) && span_eq(b->rows[item - 1].currency, currency))
            return &b->rows[item - 1];
    return add_row(b, hash, account, currency);
}

static enum err add(struct balances *b, struct span account, struct span currency, money amount)
{
    if (!is_asked_for(b, account))
        return ERR_OK;
    struct balance *row = find_row(b, account, currency);
    return money_add(row->posted, amount, &row->posted) ? ERR_OK : ERR_RANGE;
}

static enum err take_account(void *owner, struct span account, struct span currency, money posted) { return add(owner, account, currency, posted); }

static enum err take_step(void *owner, const struct walk_step *step)
{
    struct balances *b = owner;
    enum err e = movements_of(b->books, step, &b->movements);
    for (unsigned i = 0; !e && i < b->movements.n; i++) {
        const struct movement *m = &b->movements.at[i];
        e = add(b, m->debit, m->currency, m->amount);
        e = e ? e : add(b, m->credit, m->currency, -m->amount);
    }
    return e;
}

static enum err take_hold(void *owner, const struct ledger_hold *h)
{
    struct balances *b = owner;
    struct span currency = h->buy ? span_str(h->buy->book->currency) : SPAN_NONE;
    unsigned i = 0;
    b->holds++;
    while (i < b->held_n && !span_eq(b->held[i].currency, currency))
        i++;
    if (!currency.n || i == CURRENCIES_MAX)
        return ERR_OK;
    if (i == b->held_n)
        b->held[b->held_n++] = (struct balance){SPAN_NONE, arena_dup(&b->arena, currency), 0};
    return money_add(b->held[i].posted, h->held, &b->held[i].posted) ? ERR_OK : ERR_RANGE;
}

static enum err read_then(struct balances *b, int64_t at_us)
{
    return walk_times(b->books, &(struct walk_times){INT64_MIN, at_us, false}, take_step, b);
}

static enum err read_now(struct balances *b)
{
    enum err e = books_each_account(b->books, take_account, b);
    return e ? e : books_each_hold(b->books, take_hold, b);
}

/* ---- order ---- */

/* A colon comes before every other byte, so that an account is followed by those below it. */
static int compare_accounts(struct span a, struct span b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++)
        if (a.p[i] != b.p[i])
            return (a.p[i] == ':' ? -1 : (uint8_t)a.p[i]) - (b.p[i] == ':' ? -1 : (uint8_t)b.p[i]);
    return a.n < b.n ? -1 : a.n > b.n;
}

static int compare_rows(const void *pa, const void *pb)
{
    const struct balance *a = pa, *b = pb;
    int order = compare_accounts(a->account, b->account);
    return order ? order : compare_accounts(a->currency, b->currency);
}

/* ---- text ---- */

static void print_name(const char *before, struct span name)
{
    struct buf text;
    buf_init(&text, 16u * KIB);
    if (text_put(&text, name, "") == ERR_OK)
        printf("%s%.*s\n", before, SPAN_ARG(buf_span(&text)));
    buf_fini(&text);
}

/* As many as the amount that needs most of them. */
static unsigned find_decimals(const struct balances *b)
{
    char text[MONEY_TEXT_BYTES];
    unsigned most = 2;
    for (uint32_t i = 0; i < b->n + b->held_n; i++) {
        struct span amount = money_format(text, i < b->n ? b->rows[i].posted : b->held[i - b->n].posted, 2);
        unsigned decimals = (unsigned)(amount.n - 1 - (size_t)span_find(amount, '.'));
        most = decimals > most ? decimals : most;
    }
    return most;
}

static void print_amount(const struct balances *b, money amount, struct span currency)
{
    char text[MONEY_TEXT_BYTES];
    printf("%*.*s %-4.*s", AMOUNT_CELLS, SPAN_ARG(money_format(text, amount, b->decimals)), SPAN_ARG(currency));
}

/* The sums by currency of the rows from `row` on that are the account of the first n bytes of its name, or below it. */
static unsigned sum_account(const struct balances *b, uint32_t row, size_t n, struct balance sums[CURRENCIES_MAX])
{
    struct span account = span_to(b->rows[row].account, n);
    unsigned sums_n = 0;
    for (uint32_t i = row; i < b->n && span_starts(b->rows[i].account, account) && (b->rows[i].account.n == n || b->rows[i].account.p[n] == ':'); i++) {
        unsigned k = 0;
        while (k < sums_n && !span_eq(sums[k].currency, b->rows[i].currency))
            k++;
        if (k == CURRENCIES_MAX)
            continue;
        if (k == sums_n)
            sums[sums_n++] = (struct balance){account, b->rows[i].currency, 0};
        (void)money_add(sums[k].posted, b->rows[i].posted, &sums[k].posted); /* each side of the books fits, so what is added here does */
    }
    return sums_n;
}

static void print_account(const struct balances *b, uint32_t row, size_t begin, size_t n, unsigned depth)
{
    struct balance sums[CURRENCIES_MAX];
    unsigned sums_n = sum_account(b, row, n, sums);
    char indent[64];
    snprintf(indent, sizeof indent, "  %*s", (int)(depth < 20 ? 2 * depth : 40), "");
    qsort(sums, sums_n, sizeof *sums, compare_rows);
    for (unsigned i = 0; i < sums_n; i++) {
        print_amount(b, sums[i].posted, sums[i].currency);
        if (i + 1 < sums_n)
            printf("\n");
    }
    print_name(indent, span_from(span_to(b->rows[row].account, n), begin));
}

/* The accounts above a row, and its own, that the row before did not have. */
static void print_branch(const struct balances *b, uint32_t row)
{
    struct span account = b->rows[row].account, before = row ? b->rows[row - 1].account : SPAN_NONE;
    unsigned depth = 0;
    for (size_t begin = 0, end; begin <= account.n; begin = end + 1, depth++) {
        ptrdiff_t colon = span_find(span_from(account, begin), ':');
        end = begin < account.n && colon >= 0 ? begin + (size_t)colon : account.n;
        bool is_new = !span_starts(before, span_to(account, end)) || (before.n > end && before.p[end] != ':');
        if (is_new)
            print_account(b, row, begin, end, depth);
    }
}

static void print_held(const struct balances *b)
{
    char number[32];
    if (!b->holds)
        return;
    printf("\n%s request%s under way hold%s:\n", table_number(number, b->holds), b->holds == 1 ? "" : "s", b->holds == 1 ? "s" : "");
    for (unsigned i = 0; i < b->held_n; i++) {
        print_amount(b, b->held[i].posted, b->held[i].currency);
        printf("\n");
    }
}

static void print_text(struct balances *b, bool flat)
{
    b->decimals = find_decimals(b);
    if (b->n == 0)
        printf(b->below.n ? "nothing is booked on such an account\n" : "nothing is booked yet\n");
    for (uint32_t i = 0; i < b->n; i++) {
        if (!flat) {
            print_branch(b, i);
            continue;
        }
        print_amount(b, b->rows[i].posted, b->rows[i].currency);
        print_name("  ", b->rows[i].account);
    }
    print_held(b);
}

/* ---- JSON ---- */

static enum err write_row(struct buf *out, const struct balance *row, bool first)
{
    char amount[MONEY_TEXT_BYTES];
    enum err e = buf_append(out, first ? SPAN("{") : SPAN(",{"));
    if (row->account.n) {
        e = e ? e : buf_append(out, SPAN("\"account\":"));
        e = e ? e : json_write_string(out, row->account);
        e = e ? e : buf_append(out, SPAN(","));
    }
    e = e ? e : buf_append(out, SPAN("\"currency\":"));
    e = e ? e : json_write_string(out, row->currency);
    return e ? e : buf_printf(out, ",\"amount\":\"%.*s\"}", SPAN_ARG(money_format(amount, row->posted, 0)));
}

static bool print_rows(const struct balance *rows, unsigned n)
{
    struct buf line;
    enum err e = ERR_OK;
    buf_init(&line, 64u * KIB);
    for (unsigned i = 0; i < n && !e; i++) {
        buf_clear(&line);
        e = write_row(&line, &rows[i], i == 0);
        printf("%.*s", SPAN_ARG(buf_span(&line)));
    }
    buf_fini(&line);
    return e == ERR_OK;
}

static bool print_json(const struct balances *b)
{
    printf("{\"entries\":%" PRIu64 ",\"accounts\":[", books_size(b->books));
    bool good = print_rows(b->rows, b->n);
    printf("],\"holds\":%" PRIu64 ",\"held\":[", b->holds);
    good &= print_rows(b->held, b->held_n);
    printf("]}\n");
    return good;
}

/* ---- the command ---- */

static int print_balances(const struct cli_syntax *s, const struct question *q, struct balances *b, int64_t at_us)
{
    enum err e = q->at ? read_then(b, at_us) : read_now(b);
    if (e)
        return cli_ledger_fail(s, e, books_why(b->books)[0] ? books_why(b->books) : err_sentence(e));
    if (b->n)
        qsort(b->rows, b->n, sizeof *b->rows, compare_rows);
    if (!q->json)
        print_text(b, q->flat);
    return q->json && !print_json(b) ? CLI_FAILED : CLI_DONE;
}

static int balance(const struct cli_syntax *s, const struct question *q, struct books *books, int64_t at_us)
{
    struct balances *b = calloc(1, sizeof *b);
    CHECK(b != NULL);
    b->books = books;
    b->below = span_str(q->account);
    if (span_ends(b->below, SPAN(":")))
        b->below.n--;
    arena_init(&b->arena, 64u * KIB);
    movements_init(&b->movements);
    int code = print_balances(s, q, b, at_us);
    movements_fini(&b->movements);
    arena_fini(&b->arena);
    index_fini(&b->index);
    free(b->rows);
    free(b);
    return code;
}

int cli_ledger_balance(int argc, char **argv)
{
    int code;
    int64_t at_us = 0;
    struct question q = {.flat = false};
    struct books *b = NULL;
    const struct cli_option options[] = {{.name = "--data", .value = &q.data}, {.name = "--at", .value = &q.at}, {.name = "--zone", .value = &q.zone},
                                         {.name = "--flat", .flag = &q.flat}, {.name = "--json", .flag = &q.json}};
    const struct cli_syntax syntax = {"entente ledger balance", usage, options, COUNT_OF(options), &q.account, 1};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (q.at && !cli_ledger_time(&syntax, "--at", q.at, q.zone, &at_us))
        return CLI_USAGE;
    if (!cli_ledger_books(&syntax, q.data, &b, &code))
        return code;
    code = balance(&syntax, &q, b, at_us);
    books_close(b);
    return code;
}
