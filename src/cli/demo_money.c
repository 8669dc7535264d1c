/* SPDX-License-Identifier: Apache-2.0
 *
 * The money of the demonstration: its price books, and what the ledger says in the end. What each provider is owed is computed a second time here,
 * from the provider's own count of tokens, and must come out the same to 10^-15 of a dollar.
 */
#include <inttypes.h>

#include "cli/demo.h"
#include "cli/table.h"
#include "ledger/books.h"

#define LEGAL_INPUT "3.20"   /* what we charge legal, whoever answers; the others pay what we pay */
#define LEGAL_OUTPUT "12.80"

void demo_write_prices(FILE *f)
{
    fprintf(f, "books:\n");
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++)
        fprintf(f, "  - book: %s\n    seller: %s\n    currency: USD\n    source: contract\n    from: 2020-01-01\n"
                   "    lines: [{model: \"*\", provider: %s, input: %s, output: %s}]\n",
                demo_providers[i].name, demo_providers[i].seller, demo_providers[i].name, demo_providers[i].input, demo_providers[i].output);
    fprintf(f, "  - book: legal\n    seller: self\n    buyer: legal\n    currency: USD\n    source: contract\n    from: 2020-01-01\n"
               "    lines: [{model: \"*\", input: " LEGAL_INPUT ", output: " LEGAL_OUTPUT "}]\n");
}

static int64_t price_of(const char *text)
{
    int64_t price = 0;
    CHECK(money_parse_price(span_str(text), &price) == ERR_OK);
    return price;
}

money demo_price(const struct demo_provider *p, uint64_t input, uint64_t output)
{
    return money_of((int64_t)input, price_of(p->input)) + money_of((int64_t)output, price_of(p->output));
}

/* ---- reading ---- */

static bool is_account(struct span account, const char *head, const char *one, const char *two)
{
    char name[256];
    snprintf(name, sizeof name, "%s:%s%s%s", head, one, two ? ":" : "", two ? two : "");
    return span_eq(account, span_str(name));
}

static enum err read_account(void *owner, struct span account, struct span currency, money posted)
{
    struct demo_money *m = owner;
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++)
        if (is_account(account, "liabilities:payable", demo_providers[i].seller, demo_providers[i].name))
            m->payable[i] = -posted;
    for (unsigned i = 0; i < DEMO_KEYS; i++)
        if (is_account(account, "assets:receivable", demo_keys[i].department, NULL))
            m->receivable[i] = posted;
    if (span_starts(account, SPAN("expenses:")))
        m->expense += posted;
    if (span_starts(account, SPAN("income:")))
        m->income -= posted;
    return ERR_OK;
}

static enum err read_entry(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    struct demo_account *a = &((struct demo_money *)owner)->entries;
    if (e->kind != ENTRY_USAGE)
        return ERR_OK;
    int64_t input = usage_total(&e->usage.usage, USAGE_SIDE_INPUT), output = usage_total(&e->usage.usage, USAGE_SIDE_OUTPUT);
    a->records += e->usage.attempt == 0;
    a->input += input > 0 ? (uint64_t)input : 0;
    a->output += output > 0 ? (uint64_t)output : 0;
    return ERR_OK;
}

static void note_fault(void *owner, const char *sentence)
{
    struct demo_money *m = owner;
    if (!m->fault[0])
        snprintf(m->fault, sizeof m->fault, "%s", sentence);
}

static enum err verify(struct books *b, struct demo_money *m)
{
    struct verify_report report;
    enum err e = books_verify(b, note_fault, NULL, m, &report);
    if (e)
        return e;
    m->faults = report.faults;
    m->log_entries = report.entries;
    m->verify_s = report.seconds;
    return ERR_OK;
}

void demo_money_read(const char *data_dir, struct demo_money *ret)
{
    struct books *b;
    *ret = (struct demo_money){.read = false};
    if (books_open(data_dir, &b, ret->why) != ERR_OK)
        return;
    enum err e = books_each_account(b, read_account, ret);
    if (!e)
        e = books_each(b, 0, books_size(b), read_entry, ret);
    if (!e)
        e = verify(b, ret);
    if (e)
        snprintf(ret->why, sizeof ret->why, "%s: %.400s", err_sentence(e), books_why(b));
    ret->read = !e;
    books_close(b);
}

/* ---- comparing ---- */

static void compare_money(struct demo_verdict *v, const char *where, const char *what, money books, money other)
{
    char a[MONEY_TEXT_BYTES], b[MONEY_TEXT_BYTES];
    if (books == other || v->differences++)
        return;
    money_format(a, books, 2);
    money_format(b, other, 2);
    snprintf(v->first, sizeof v->first, "%s: %s by the ledger %s USD, by the other account %s USD", where, what, a, b);
}

void demo_compare_money(const struct demo_outcome *o, struct demo_verdict *v)
{
    const struct demo_money *m = &o->money;
    money payable = 0, receivable = 0;
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++) {
        const struct sim_count *c = &o->counts[i];
        money counted = demo_price(&demo_providers[i], c->input_tokens + c->broken_input_tokens, c->output_tokens + c->broken_output_tokens);
        compare_money(v, demo_providers[i].name, "owed", m->payable[i], counted);
        payable += m->payable[i];
    }
    for (unsigned i = 0; i < DEMO_KEYS; i++) {
        compare_money(v, demo_keys[i].department, "charged", m->receivable[i], o->books.key[i].charged);
        receivable += m->receivable[i];
    }
    compare_money(v, "all", "expenses, against what providers are owed", m->expense, payable);
    compare_money(v, "all", "income, against what departments owe", m->income, receivable);
    demo_compare(v, "the ledger", "records", o->books.all.records, m->entries.records);
    demo_compare(v, "the ledger", "input tokens", o->books.all.input, m->entries.input);
    demo_compare(v, "the ledger", "output tokens", o->books.all.output, m->entries.output);
    demo_compare(v, "the ledger", "faults that verify found", 0, m->faults + !m->read);
}

/* ---- telling ---- */

static const char *dollars(char out[MONEY_TEXT_BYTES], money m)
{
    money_format(out, m, 6);
    char *point = strchr(out, '.');
    if (point && strlen(point) > 7)
        point[7] = 0; /* millionths are enough for eyes; --json has every digit */
    return out;
}

static void tell_owed(const struct demo_outcome *o)
{
    char a[MONEY_TEXT_BYTES];
    printf("\n%-12s %-12s %12s %12s %18s\n", "provider", "seller", "USD/1M in", "USD/1M out", "we owe, USD");
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++) {
        const struct demo_provider *p = &demo_providers[i];
        printf("%-12s %-12s %12s %12s %18s\n", p->name, p->seller, p->input, p->output, dollars(a, o->money.payable[i]));
    }
    printf("%-12s %-12s %12s %12s %18s\n", "all", "", "", "", dollars(a, o->money.expense));
}

static void tell_charged(const struct demo_outcome *o)
{
    char a[MONEY_TEXT_BYTES], b[32], c[32];
    printf("\n%-12s %9s %12s %12s %18s   %s\n", "department", "requests", "tokens in", "tokens out", "owes us, USD", "priced");
    for (unsigned i = 0; i < DEMO_KEYS; i++) {
        const struct demo_account *k = &o->books.key[i];
        bool own = strcmp(demo_keys[i].department, "legal") == 0;
        printf("%-12s %9" PRIu64 " %12s %12s %18s   %s\n", demo_keys[i].department, k->records, table_number(b, k->input), table_number(c, k->output),
               dollars(a, o->money.receivable[i]), own ? LEGAL_INPUT " in, " LEGAL_OUTPUT " out, whoever answers" : "at cost");
    }
    printf("%-12s %9" PRIu64 " %12s %12s %18s\n", "all", o->books.all.records, table_number(b, o->books.all.input), table_number(c, o->books.all.output),
           dollars(a, o->money.income));
}

void demo_tell_money(const struct demo_outcome *o)
{
    const struct demo_money *m = &o->money;
    if (!m->read) {
        printf("\nThe ledger cannot be read: %s\n", m->why);
        return;
    }
    tell_owed(o);
    tell_charged(o);
    if (m->faults)
        printf("\nThe ledger does NOT verify: %u faults. %s\n", m->faults, m->fault);
    else
        printf("\nledger verified: %" PRIu64 " entries recomputed in %.2f s; every amount, balance and hash is right\n", m->log_entries, m->verify_s);
}

static void put_amount(const char *before, const char *name, money amount)
{
    char text[MONEY_TEXT_BYTES];
    struct span digits = money_format(text, amount, 2);
    printf("%s\"%s\":\"%.*s\"", before, name, SPAN_ARG(digits));
}

void demo_put_money(const struct demo_outcome *o)
{
    printf(",\"money\":{\"currency\":\"USD\",\"verified\":%s,\"entries\":%" PRIu64 ",\"owed\":{", o->money.read && !o->money.faults ? "true" : "false",
           o->money.log_entries);
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++)
        put_amount(i ? "," : "", demo_providers[i].name, o->money.payable[i]);
    printf("},\"charged\":{");
    for (unsigned i = 0; i < DEMO_KEYS; i++)
        put_amount(i ? "," : "", demo_keys[i].department, o->money.receivable[i]);
    printf("}}");
}
