/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger pay`: books money that was paid, to a seller or by a buyer.
 */
#include <stdio.h>

#include "cli/cli_ledger.h"
#include "ledger/books.h"
#include "serve/nearest.h"

#define KEY_BYTES_MAX 255u
#define MEMO_BYTES_MAX 800u

static const char usage[] =
    "usage: entente ledger pay --data DIR --party NAME --amount \"12.50 USD\" --key INVOICE [--to|--from] [--memo TEXT]\n"
    "\n"
    "Books a payment. The key says which: the same key never books twice, whatever happened to the first try.\n"
    "  --to, --from  we paid the party, or it paid us; needed where it both sells to us and buys from us\n";

struct question {
    const char *data, *party, *amount, *currency, *key, *memo;
    bool to, from;
};

/* Which accounts the party has, and which name is near when it has none. */
struct known {
    struct span payable, receivable; /* "liabilities:payable:microsoft:", "assets:receivable:legal" */
    bool sells, buys;
    struct arena arena;
    struct nearest near;
};

static enum err on_account(void *owner, struct span account, struct span currency, money posted)
{
    struct known *k = owner;
    static const struct span heads[] = {{"liabilities:payable:", 20}, {"assets:receivable:", 18}};
    k->sells = k->sells || span_starts(account, k->payable);
    k->buys = k->buys || span_eq(account, k->receivable);
    for (unsigned i = 0; i < COUNT_OF(heads); i++) {
        struct span rest = span_starts(account, heads[i]) ? span_from(account, heads[i].n) : SPAN_NONE;
        if (rest.n)
            nearest_offer(&k->near, arena_strdup(&k->arena, span_cut(&rest, ':')));
    }
    return ERR_OK;
}

static bool choose_direction(const struct cli_syntax *s, struct question *q, const struct known *k)
{
    if (!k->sells && !k->buys)
        cli_error(s, k->near.best ? "the books know no \"%s\": did you mean \"%s\"?" : "the books know no party \"%s\"", q->party, k->near.best);
    else if (q->to && q->from)
        cli_error(s, "--to or --from, not both");
    else if (!q->to && !q->from && k->sells && k->buys)
        cli_error(s, "\"%s\" both sells and buys: say --to when we paid, --from when it paid", q->party);
    else if ((q->to && !k->sells) || (q->from && !k->buys))
        cli_error(s, q->to ? "\"%s\" never sold us anything: did it pay, --from?" : "\"%s\" never bought anything from us: did we pay, --to?", q->party);
    else
        return q->to = q->to || (!q->from && k->sells), true;
    return false;
}

static int post(const struct cli_syntax *s, const struct question *q, struct known *k, money amount, const char *currency)
{
    struct ledger *l = NULL;
    char why[CLI_WHY_BYTES];
    uint64_t seq;
    const char *payable = arena_strdup(&k->arena, arena_join(&k->arena, k->payable, SPAN("payments")));
    const char *receivable = arena_strdup(&k->arena, k->receivable);
    const struct posting_transfer t = {q->to ? payable : "assets:bank", q->to ? "assets:bank" : receivable, currency, amount};
    const char *memo = q->memo ? q->memo : q->to ? "payment made" : "payment received";
    const struct posting p = {.cause = POSTING_PAYMENT, .key = span_str(q->key), .memo = span_str(memo),
                              .transfers = &t, .transfers_n = 1};
    enum err e = ledger_open(&(struct ledger_options){.dir = q->data, .beside = true}, &l, why);
    if (e)
        return cli_ledger_fail(s, e, why);
    e = ledger_post(l, &p, &seq);
    ledger_close(l);
    if (e == ERR_EXISTS)
        cli_error(s, "the key \"%s\" was booked before, with other content: another payment needs another key", q->key);
    else if (e)
        cli_error(s, "not booked: %s", err_sentence(e));
    else
        printf("booked as entry %llu\n", (unsigned long long)seq);
    return e == ERR_EXISTS ? CLI_USAGE : e ? CLI_FAILED : CLI_DONE;
}

/* "12.50 USD", or "12.50" and the word "USD". */
static bool read_amount(const struct cli_syntax *s, const struct question *q, money *ret, char currency[CURRENCY_BYTES])
{
    struct span rest = span_trim(span_str(q->amount)), number = span_cut(&rest, ' ');
    struct span code = rest.p ? span_trim(rest) : span_str(q->currency);
    if (money_parse(number, ret) != ERR_OK || *ret <= 0)
        cli_error(s, "--amount: \"%.*s\" is no amount above zero: write e.g. \"12.50 USD\"", SPAN_ARG(span_to(number, 60)));
    else if (*ret > POSTING_AMOUNT_MAX)
        cli_error(s, "--amount: \"%.*s\" is larger than the books take at once: at most 9.2 quadrillion", SPAN_ARG(span_to(number, 60)));
    else if (!code.n || !currency_parse(code, currency))
        cli_error(s, "--amount needs a currency, e.g. \"12.50 USD\"");
    else
        return true;
    return false;
}

/* Journals of other programs have lines of at most 4 KiB, and there each of these bytes may take three. */
static bool check_texts(const struct cli_syntax *s, const struct question *q)
{
    bool key_fits = q->key[0] && strlen(q->key) <= KEY_BYTES_MAX, memo_fits = !q->memo || strlen(q->memo) <= MEMO_BYTES_MAX;
    if (!key_fits)
        cli_error(s, "--key: a payment's key has 1 to %u bytes, e.g. the invoice's number", KEY_BYTES_MAX);
    else if (!memo_fits)
        cli_error(s, "--memo: at most %u bytes", MEMO_BYTES_MAX);
    return key_fits && memo_fits;
}

static bool name_accounts(struct known *k, const char *party)
{
    struct buf b;
    buf_init(&b, ENTRY_NAME_BYTES_MAX);
    bool ok = account_receivable(&b, span_str(party)) == ERR_OK;
    k->receivable = arena_dup(&k->arena, buf_span(&b));
    struct span segment = span_from(k->receivable, sizeof "assets:receivable:" - 1);
    k->payable = arena_printf(&k->arena, "liabilities:payable:%.*s:", SPAN_ARG(segment));
    buf_fini(&b);
    return ok;
}

static int pay(const struct cli_syntax *s, struct question *q, struct known *k)
{
    struct books *b = NULL;
    char path[4096], why[CLI_WHY_BYTES], currency[CURRENCY_BYTES];
    money amount;
    if (!read_amount(s, q, &amount, currency) || !check_texts(s, q) || !cli_ledger_path(s, q->data, path))
        return CLI_USAGE;
    if (!name_accounts(k, q->party)) {
        cli_error(s, "--party is longer than a name may be");
        return CLI_USAGE;
    }
    enum err e = books_open(path, &b, why);
    if (e)
        return cli_ledger_fail(s, e, why);
    e = books_each_account(b, on_account, k);
    books_close(b);
    if (e)
        return cli_ledger_fail(s, e, err_sentence(e));
    return choose_direction(s, q, k) ? post(s, q, k, amount, currency) : CLI_USAGE;
}

int cli_ledger_pay(int argc, char **argv)
{
    int code;
    struct question q = {.to = false};
    struct known k = {.sells = false};
    const struct cli_option options[] = {{.name = "--data", .value = &q.data}, {.name = "--party", .value = &q.party},
                                         {.name = "--amount", .value = &q.amount},
                                         {.name = "--key", .value = &q.key}, {.name = "--memo", .value = &q.memo}, {.name = "--to", .flag = &q.to},
                                         {.name = "--from", .flag = &q.from}};
    const struct cli_syntax syntax = {"entente ledger pay", usage, options, COUNT_OF(options), &q.currency, 1};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!q.data || !q.party || !q.amount || !q.key) {
        cli_error(&syntax, "%s is missing", !q.data ? "--data" : !q.party ? "--party" : !q.amount ? "--amount" : "--key");
        return CLI_USAGE;
    }
    arena_init(&k.arena, 1024);
    nearest_init(&k.near, span_str(q.party));
    code = pay(&syntax, &q, &k);
    arena_fini(&k.arena);
    return code;
}
