/* SPDX-License-Identifier: Apache-2.0
 *
 * The books of a busy year, to measure with: bench/year has the requests of 2025 booked through the ledger itself, as one gateway would have.
 *
 *   year_books DIR REQUESTS
 *
 * 24 keys of 6 departments, the first ones busiest; each key has a model that it likes and two that it uses now and then; nights and weekends are
 * quieter. What we buy costs USD and EUR, departments are charged in EUR. Same requests, same books, but for the ledger's key.
 * The complication is time: the ledger books at the clock's time, so this program is the clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/check.h"
#include "ledger/ledger.h"

#define FIRST_US ((int64_t)1735689600 * 1000000) /* 2025-01-01T00:00:00Z, a Wednesday */
#define QUARTER_US ((int64_t)15 * 60 * 1000000)
#define QUARTERS (365u * 96u)
#define BATCH 512u
#define KEYS 24u

static int64_t now_us = FIRST_US;
static uint64_t chance = 88172645463325252u;

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

/* ---- what is used, and for how much ---- */

#define BUY(book, seller, currency, rest) "book=" book "\tseller=" seller "\tbuyer=self\tcurrency=" currency "\tsource=list\tfrom=0\tknown=0\t" rest
#define SELL(rest) "book=resale\tseller=self\tbuyer=*\tcurrency=EUR\tsource=list\tfrom=0\tknown=0\t" rest

static const struct deployment {
    const char *provider, *model, *buy, *sell;
} deployments[] = {
    {"azure-eu", "gpt-5.6", BUY("azure", "microsoft", "USD", "model=gpt-5.6\tprovider=azure-*\tinput=2500000000\tcache_read=250000000\toutput=10000000000"),
     SELL("model=gpt-5.6\tprovider=*\tinput=2700000000\tcache_read=270000000\toutput=11000000000")},
    {"azure-eu", "gpt-5.6-mini",
     BUY("azure", "microsoft", "USD", "model=gpt-5.6-mini\tprovider=azure-*\tinput=400000000\tcache_read=40000000\toutput=1600000000"),
     SELL("model=gpt-5.6-mini\tprovider=*\tinput=450000000\tcache_read=45000000\toutput=1800000000")},
    {"vertex-eu", "gemini-3.1",
     BUY("vertex", "google", "EUR", "model=gemini-*\tprovider=vertex-*\tinput=1250000000\tcache_read=125000000\toutput=9000000000"),
     SELL("model=gemini-*\tprovider=*\tinput=1300000000\tcache_read=130000000\toutput=9900000000")},
    {"anthropic", "claude-5",
     BUY("anthropic", "anthropic", "USD", "model=claude-*\tprovider=anthropic\tinput=3000000000\tcache_read=300000000\toutput=15000000000"),
     SELL("model=claude-*\tprovider=*\tinput=3100000000\tcache_read=310000000\toutput=16000000000")},
};
static const char *const departments[] = {"legal", "research", "support", "marketing", "claims", "platform"};
static struct price_line buy[COUNT_OF(deployments)], sell[COUNT_OF(deployments)];

static unsigned a_key(void)
{
    unsigned one = below(KEYS), other = below(KEYS);
    return one < other ? one : other;
}

static void fill_record(struct usage_record *r, uint64_t counter)
{
    unsigned key = a_key(), d = (key + (below(10) ? 0 : below(3))) % COUNT_OF(deployments);
    char name[16];
    *r = (struct usage_record){.issuer = 0x123456789abcd, .counter = counter, .wall_us = now_us - below(5000000), .receive_us = 100, .first_byte_us = 200000,
                               .duration_us = below(5000000), .stream = below(2), .status = 200, .provider_cost_nano = -1, .attempts_n = 1,
                               .bytes_in = below(100000), .bytes_out = below(10000), .api = 1, .outcome = RECORD_ANSWERED};
    snprintf(name, sizeof name, "key-%u", key);
    record_set_name(r->key, span_str(name));
    record_set_name(r->department, span_str(departments[key % COUNT_OF(departments)]));
    record_set_name(r->model_asked, span_str(deployments[d].model));
    record_set_name(r->model_served, span_str(deployments[d].model));
    record_set_name(r->attempts[0].provider, span_str(deployments[d].provider));
    record_set_name(r->attempts[0].model, span_str(deployments[d].model));
    usage_init(&r->usage);
    r->usage.source = below(50) ? USAGE_SOURCE_REPORTED : USAGE_SOURCE_ESTIMATED;
    r->usage.count[USAGE_INPUT] = below(20000);
    r->usage.count[USAGE_CACHE_READ] = below(2) ? below(10000) : 0;
    r->usage.count[USAGE_OUTPUT] = 1 + below(2000);
    r->usage.count[USAGE_REQUEST] = 1;
    price_charge(&buy[d], &r->usage, &r->buy);
    price_charge(&sell[d], &r->usage, &r->sell);
}

/* ---- the year ---- */

static struct usage_record records[BATCH];
static struct ledger_ticket tickets[BATCH];

static void book(struct ledger *l, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        tickets[i] = (struct ledger_ticket){.op = LEDGER_POST, .record = &records[i]};
        ledger_submit(l, &tickets[i]);
    }
    ledger_flush(l);
    for (unsigned i = 0; i < n; i++)
        CHECK(tickets[i].error == ERR_OK);
}

static unsigned weight_of(unsigned quarter)
{
    unsigned hour = quarter / 4 % 24, day = (quarter / 96 + 2) % 7; /* day 0: Monday */
    return day > 4 ? 2 : hour >= 8 && hour < 18 ? 10 : 3;
}

static void fill(struct ledger *l, uint64_t requests)
{
    uint64_t whole = 0, so_far = 0, booked = 0;
    for (unsigned q = 0; q < QUARTERS; q++)
        whole += weight_of(q);
    for (unsigned q = 0; q < QUARTERS; q++) {
        so_far += weight_of(q);
        now_us = FIRST_US + q * QUARTER_US;
        for (uint64_t until = requests * so_far / whole; booked < until;) {
            unsigned n = 0;
            for (; n < BATCH && booked < until; n++)
                fill_record(&records[n], ++booked);
            book(l, n);
            now_us += QUARTER_US / 64;
        }
    }
}

int main(int argc, char **argv)
{
    struct arena arena;
    struct ledger *l = NULL;
    char why[512];
    if (argc != 3) {
        fprintf(stderr, "usage: year_books DIR REQUESTS\n");
        return 2;
    }
    arena_init(&arena, 4096);
    for (unsigned i = 0; i < COUNT_OF(deployments); i++)
        CHECK(price_line_parse(&arena, span_str(deployments[i].buy), &buy[i]) == ERR_OK &&
              price_line_parse(&arena, span_str(deployments[i].sell), &sell[i]) == ERR_OK);
    mkdir(argv[1], 0700); /* or it is there */
    if (ledger_open(&(struct ledger_options){.dir = argv[1]}, &l, why) != ERR_OK) {
        fprintf(stderr, "year_books: %s\n", why);
        return 1;
    }
    fill(l, strtoull(argv[2], NULL, 10));
    ledger_close(l);
    arena_fini(&arena);
    return 0;
}
