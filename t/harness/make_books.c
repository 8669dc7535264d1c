/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes books to test with: seeded usage and postings over some days, booked through the ledger itself, so that all that it keeps is there (tiles,
 * checkpoints, rollups, holds). Same seed, same books, but for the ledger's key.
 *
 *   make-books DIR [--seed N] [--requests N] [--days N] [--plain] [--huge 1] [--compact DAYS]
 *
 * From 2026-11-01T00:00:00Z on. Three sellers in USD, EUR and GBP (the last so dear that amounts pass 64 bits), a model without a price and one whose
 * line lacks a class, what we sell to departments in EUR and at cost, streams and failures, lost attempts; corrections, fees, credits, taxes,
 * payments. Names are as bad as names may be, unless --plain. --huge: an account passes what 28 digits can say. --compact: usage before the last
 * DAYS days becomes its rollup.
 * The complication is time: the ledger books at the clock's time, so this program is the clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/check.h"
#include "ledger/ledger.h"

#define DAY_US ((int64_t)86400 * 1000000)
#define FIRST_US ((int64_t)1793491200 * 1000000) /* 2026-11-01T00:00:00Z */

static int64_t now_us = FIRST_US;
static uint64_t chance = 1;

/* In place of the C library's: whoever asks for the time gets ours. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
    (void)clock;
    *ts = (struct timespec){now_us / 1000000, now_us % 1000000 * 1000};
    return 0;
}

static unsigned below(unsigned n)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (unsigned)(chance >> 33) % n;
}

/* ---- prices ---- */

struct book_of {
    const char *name, *seller, *buyer, *currency;
    struct {
        const char *model, *provider;
        int64_t input, cache_read, output, reasoning, request;
    } lines[3];
};
#define NO PRICE_NONE
static const struct book_of books[] = {
    {"azure", "microsoft", "self", "USD", {{"gpt-4.1", "azure-eu", 2000000000, 500000000, 8000000000, 8000000000, NO},
                                           {"o3-mini", "*", 1100000001, 550000003, 4400000007, NO, 13}}},
    {"vertex", "google", "self", "EUR", {{"gemini-*", "vertex-eu", 300000000, 75000000, 2500000000, 2500000000, 123456789}}},
    {"dear", "gold & sons", "self", "GBP", {{"oracle", "*", 9007199254740993, 9007199254740993, 9007199254740993, 9007199254740993, NO}}},
    {"resale", "self", "*", "EUR", {{"gpt-4.1", "*", 2345678901, 1, 9876543211, 9876543211, 7},
                                      {"gemini-*", "*", 400000000, 100000000, 3000000000, 3000000000, NO}}},
};

static struct price_line *make_line(struct price_list *l, const struct book_of *from, unsigned i)
{
    struct price_line *line = ARENA_NEW(&l->arena, struct price_line);
    line->model = span_str(from->lines[i].model);
    line->provider = span_str(from->lines[i].provider);
    line->tier = "";
    for (int c = 0; c < USAGE_CLASSES; c++)
        line->price[c] = PRICE_NONE;
    line->price[USAGE_INPUT] = from->lines[i].input;
    line->price[USAGE_CACHE_READ] = from->lines[i].cache_read;
    line->price[USAGE_OUTPUT] = from->lines[i].output;
    line->price[USAGE_REASONING] = from->lines[i].reasoning;
    line->price[USAGE_REQUEST] = from->lines[i].request;
    return line;
}

static struct price_book *make_book(struct price_list *l, const struct book_of *from)
{
    struct price_book *b = ARENA_NEW(&l->arena, struct price_book);
    *b = (struct price_book){.name = from->name, .seller = from->seller, .buyer = from->buyer, .source = "contract", .valid_until_us = PRICE_TIME_MAX,
                             .place = "make_books.c"};
    memcpy(b->currency, from->currency, sizeof b->currency);
    b->lines = ARENA_ARRAY(&l->arena, struct price_line *, COUNT_OF(from->lines));
    while (b->lines_n < COUNT_OF(from->lines) && from->lines[b->lines_n].model) {
        b->lines[b->lines_n] = make_line(l, from, b->lines_n);
        b->lines_n++;
    }
    return b;
}

static void complain(void *owner, const struct price_place *at, const char *message)
{
    (void)owner, (void)at;
    fprintf(stderr, "make-books: prices: %s\n", message);
}

static struct price_list *make_prices(void)
{
    struct price_list *l = price_list_new();
    l->books = ARENA_ARRAY(&l->arena, struct price_book *, COUNT_OF(books));
    while (l->books_n < COUNT_OF(books)) {
        l->books[l->books_n] = make_book(l, &books[l->books_n]);
        l->books_n++;
    }
    CHECK(price_list_seal(l, complain, NULL));
    return l;
}

/* ---- usage ---- */

static const struct {
    const char *provider, *model, *asked;
} deployments[] = {{"azure-eu", "gpt-4.1", "gpt-4o"}, {"azure-eu", "o3-mini", "o3-mini"}, {"vertex-eu", "gemini-2.5-flash", "gemini"},
                   {"my-vllm", "meta-llama/Llama-4", "llama"}, {"gold:mine", "oracle", "oracle"}};
static const char *const bad_names[] = {"legal", "Legal", "R&D: 100% \"a, b\"; (x)", "=1+2", "M\xc3\xbcnchen", "1st", "-_-", "two  spaces",
                                        "\xe6\x97\xa5\xf0\x9f\x98\x80",
                                        "gpt-2D-20 --", "+49", "@home", "'tis", " edge "};
static const char *const plain_names[] = {"legal", "research", "support"};
static bool plain;

static const char *a_name(void)
{
    return plain ? plain_names[below(COUNT_OF(plain_names))] : bad_names[below(COUNT_OF(bad_names))];
}

static void use_tokens(struct usage *u)
{
    usage_init(u);
    u->source = below(10) ? USAGE_SOURCE_REPORTED : USAGE_SOURCE_ESTIMATED;
    u->count[USAGE_INPUT] = below(200000);
    u->count[USAGE_OUTPUT] = 1 + below(4000);
    u->count[USAGE_REQUEST] = 1;
    if (below(2))
        u->count[USAGE_CACHE_READ] = below(50000);
    if (below(3) == 0)
        u->count[USAGE_REASONING] = below(3000);
    if (below(30) == 0)
        u->count[USAGE_INPUT_AUDIO] = 77; /* no line has a price for it */
}

static void price_it(struct usage_record *r, const struct price_list *prices)
{
    const struct attempt_record *a = &r->attempts[r->attempts_n - 1];
    const struct price_facts f = {.provider = span_str(a->provider), .model = span_str(a->model), .tier = span_str(r->tier), .at_us = r->wall_us,
                                  .known_us = now_us, .input_tokens = usage_total(&r->usage, USAGE_SIDE_INPUT)};
    struct span buyer = account_buyer(span_str(r->department), span_str(r->party));
    const struct price_line *buy = price_find_buy(prices, &f), *sell = buyer.n ? price_find_sell(prices, buyer, &f) : NULL;
    price_charge(buy, &r->usage, &r->buy);
    if (buyer.n)
        price_charge(sell ? sell : buy, &r->usage, &r->sell);
}

static void add_attempt(struct usage_record *r, enum attempt_outcome outcome, uint16_t status)
{
    unsigned d = below(COUNT_OF(deployments));
    struct attempt_record *a = &r->attempts[r->attempts_n++];
    *a = (struct attempt_record){.outcome = (uint8_t)outcome, .status = status, .wait_us = below(1000000)};
    record_set_name(a->provider, span_str(deployments[d].provider));
    record_set_name(a->model, span_str(deployments[d].model));
    record_set_name(r->model_asked, span_str(deployments[d].asked));
}

static void make_record(struct usage_record *r, const struct price_list *prices, uint64_t counter, uint8_t attempt)
{
    *r = (struct usage_record){.issuer = 0x123456789abcd, .counter = counter, .attempt = attempt, .wall_us = now_us - below(5000000),
                               .receive_us = below(999), .duration_us = below(5000000), .stream = below(2), .status = 200, .provider_cost_nano = -1,
                               .bytes_in = below(100000), .bytes_out = below(100000), .api = 1};
    record_set_name(r->key, span_str(a_name()));
    if (below(5))
        record_set_name(r->department, span_str(a_name()));
    if (below(5) == 0)
        record_set_name(r->party, span_str(a_name()));
    usage_init(&r->usage);
    if (below(20) == 0) {
        r->outcome = RECORD_REFUSED;
        r->status = 400;
        r->error = ERR_BAD_KEY;
        r->usage.source = USAGE_SOURCE_NONE;
        return;
    }
    add_attempt(r, attempt ? ATTEMPT_BROKEN : ATTEMPT_ANSWERED, 200);
    if (below(8) == 0)
        record_set_name(r->tier, SPAN("flex"));
    record_set_name(r->model_served, span_str(r->attempts[0].model));
    use_tokens(&r->usage);
    price_it(r, prices);
    r->provider_cost_nano = below(4) ? -1 : (int64_t)(r->buy.amount / 1000000 + below(3));
}

/* Many at a time, as from a busy gateway: what is booked together is booked at the same moment. */
#define BATCH_MAX 64u
static struct batch {
    struct usage_record records[BATCH_MAX];
    struct ledger_ticket tickets[BATCH_MAX];
    unsigned n, max;
} batch;

static void book(struct ledger *l)
{
    for (unsigned i = 0; i < batch.n; i++) {
        batch.tickets[i] = (struct ledger_ticket){.op = LEDGER_POST, .record = &batch.records[i]};
        ledger_submit(l, &batch.tickets[i]);
    }
    ledger_flush(l);
    for (unsigned i = 0; i < batch.n; i++)
        CHECK(batch.tickets[i].error == ERR_OK);
    batch.n = 0;
}

static struct usage_record *next_record(struct ledger *l)
{
    if (batch.n == batch.max)
        book(l);
    return &batch.records[batch.n++];
}

/* ---- postings ---- */

static void post(struct ledger *l, enum posting_cause cause, unsigned number, const char *memo, const struct posting_transfer *transfers, unsigned n)
{
    char key[64];
    uint64_t seq;
    snprintf(key, sizeof key, "%s:%u", posting_cause_name(cause), number);
    const struct posting p = {.cause = cause, .key = span_str(key), .memo = span_str(memo), .transfers = transfers, .transfers_n = n,
                              .refers_to = cause == POSTING_CORRECTION ? 1 + below(8) : 0}; /* one of the first entries */
    CHECK(ledger_post(l, &p, &seq) == ERR_OK);
}

static void post_some(struct ledger *l, unsigned number)
{
    static const char payable[] = "liabilities:payable:microsoft:azure-eu", owed[] = "assets:receivable:legal";
    static const char expense[] = "expenses:usage:azure-eu:gpt-4.1";
    money amount = (money)below(1000000) * 1234567890123 + number;
    const struct posting_transfer fee[] = {{"expenses:fees:microsoft", payable, "USD", amount}, {owed, "income:fees", "EUR", 2 * amount}};
    const struct posting_transfer credit[] = {{payable, "income:credits", "USD", amount}};
    const struct posting_transfer correction[] = {{payable, expense, "USD", amount}, {"income:usage:legal", owed, "EUR", amount / 3}};
    const struct posting_transfer payment[] = {{payable, "assets:bank:main", "USD", 5 * amount}, {"fx:usd", "assets:bank:main", "EUR", 1},
                                               {"liabilities:payable:microsoft", "equity", "USD", 77}};
    post(l, POSTING_FEE, number, "platform fee; 5.5 % (of \"all\")", fee, 2);
    post(l, POSTING_TAX, number, "", fee, 1);
    post(l, POSTING_CREDIT, number, "grant", credit, 1);
    post(l, POSTING_CORRECTION, number, "price known later", correction, 2);
    post(l, POSTING_PAYMENT, number, "paid | in part", payment, 3);
}

/* ---- main ---- */

struct wish {
    const char *dir;
    unsigned seed, requests, days, compact, huge;
};

static void fill(struct ledger *l, const struct wish *w, const struct price_list *prices)
{
    int64_t step_us = (int64_t)w->days * DAY_US / (w->requests ? w->requests : 1);
    batch.max = w->requests < 5000 ? 1 : BATCH_MAX;
    for (unsigned i = 0; i < w->requests; i++) {
        now_us = FIRST_US + i * step_us + below((unsigned)(step_us > 1000000000 ? 1000000000 : step_us) + 1);
        if (below(50) == 0)
            make_record(next_record(l), prices, i, 1);
        make_record(next_record(l), prices, i, 0);
        if (w->requests < 40 || i % (w->requests / 20) == 0) {
            book(l);
            post_some(l, i);
        }
    }
    book(l);
    if (w->huge)
        post(l, POSTING_OPENING, 0, "a very large sum",
             &(struct posting_transfer){"assets:bank", "equity:opening", "USD", 10000000000000 * MONEY_ONE + 1}, 1);
    now_us = FIRST_US + (int64_t)w->days * DAY_US;
}

static bool read_wish(int argc, char **argv, struct wish *w)
{
    const struct { const char *name; unsigned *value; } numbers[] = {
        {"--seed", &w->seed}, {"--requests", &w->requests}, {"--days", &w->days}, {"--compact", &w->compact}, {"--huge", &w->huge}};
    *w = (struct wish){NULL, 1, 1000, 5, 0, 0};
    for (int i = 1; i < argc; i++) {
        bool known = strcmp(argv[i], "--plain") == 0;
        plain = plain || known;
        for (size_t k = 0; k < COUNT_OF(numbers) && !known && i + 1 < argc; k++)
            if (strcmp(argv[i], numbers[k].name) == 0) {
                *numbers[k].value = (unsigned)strtoul(argv[++i], NULL, 10);
                known = true;
            }
        if (!known && w->dir)
            return false;
        w->dir = known ? w->dir : argv[i];
    }
    return w->dir && w->days;
}

int main(int argc, char **argv)
{
    struct wish w;
    struct ledger *l = NULL;
    char why[512];
    uint64_t compacted;
    if (!read_wish(argc, argv, &w)) {
        fprintf(stderr, "usage: make-books DIR [--seed N] [--requests N] [--days N] [--plain] [--huge 1] [--compact DAYS]\n");
        return 2;
    }
    mkdir(w.dir, 0700); /* or it is there */
    chance = (w.seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    struct price_list *prices = make_prices();
    if (ledger_open(&(struct ledger_options){.dir = w.dir, .checkpoint_every = 1000}, &l, why) != ERR_OK) {
        fprintf(stderr, "make-books: %s\n", why);
        return 1;
    }
    fill(l, &w, prices);
    if (w.compact)
        CHECK(ledger_compact(l, FIRST_US + (int64_t)(w.days - w.compact) * DAY_US, &compacted) == ERR_OK);
    ledger_close(l);
    price_list_unref(prices);
    return 0;
}
