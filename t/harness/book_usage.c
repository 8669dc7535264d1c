/* SPDX-License-Identifier: Apache-2.0
 *
 * Books usage as if a gateway with this config had served it, at the times that are said: for stories about prices and statements.
 *
 *   book-usage CONFIG < LINES        2026-08-02T10:00:00Z PROVIDER MODEL BUYER|- CLASS=N … [tier=T] [stated=NANO_USD] [estimated]
 *
 * The prices are those that the config's books knew at that time. Empty lines and those that begin with # are passed over. The complication is time:
 * the ledger books at the clock's time, so this program is the clock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ledger/ledger.h"
#include "serve/config.h"

static int64_t now_us;

/* In place of the C library's: whoever asks for the time gets ours. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
    (void)clock;
    *ts = (struct timespec){now_us / 1000000, now_us % 1000000 * 1000};
    return 0;
}

static void read_word(struct usage_record *r, struct span word)
{
    struct span value = word, name = span_cut(&value, '=');
    uint64_t n = 0;
    if (span_eq(name, SPAN("estimated")))
        r->usage.source = USAGE_SOURCE_ESTIMATED;
    else if (span_eq(name, SPAN("tier")))
        record_set_name(r->tier, value);
    else if (span_eq(name, SPAN("stated")) && span_to_u64(value, &n))
        r->provider_cost_nano = (int64_t)n;
    else
        for (int c = 0; c < USAGE_CLASSES; c++)
            if (span_eq(name, span_str(usage_class_name((enum usage_class)c))) && span_to_u64(value, &n))
                r->usage.count[c] = (int64_t)n;
}

static void price_it(struct usage_record *r, const struct price_list *prices)
{
    const struct attempt_record *a = &r->attempts[0];
    int64_t input = usage_total(&r->usage, USAGE_SIDE_INPUT);
    const struct price_facts f = {.provider = span_str(a->provider), .model = span_str(a->model), .tier = span_str(r->tier), .at_us = r->wall_us,
                                  .known_us = now_us, .input_tokens = input < 0 ? 0 : input};
    const struct price_line *buy = price_find_buy(prices, &f);
    struct span buyer = account_buyer(span_str(r->department), span_str(r->party));
    const struct price_line *sell = buyer.n ? price_find_sell(prices, buyer, &f) : NULL;
    price_charge(buy, &r->usage, &r->buy);
    if (buyer.n)
        price_charge(sell ? sell : buy, &r->usage, &r->sell);
}

static void read_line(struct span line, uint64_t counter, struct usage_record *r)
{
    struct span time = span_cut(&line, ' '), provider = span_cut(&line, ' '), model = span_cut(&line, ' '), buyer = span_cut(&line, ' ');
    struct zone *utc = NULL;
    CHECK(zone_open("UTC", &utc) == ERR_OK && zone_parse_time(utc, time, &now_us) == ERR_OK);
    zone_free(utc);
    *r = (struct usage_record){.issuer = 1, .counter = counter, .wall_us = now_us, .status = 200, .provider_cost_nano = -1, .api = 1,
                               .attempts_n = 1};
    r->attempts[0] = (struct attempt_record){.outcome = ATTEMPT_ANSWERED, .status = 200};
    record_set_name(r->attempts[0].provider, provider);
    record_set_name(r->attempts[0].model, model);
    record_set_name(r->model_asked, model);
    if (!span_eq(buyer, SPAN("-")))
        record_set_name(r->department, buyer);
    usage_init(&r->usage);
    r->usage.source = USAGE_SOURCE_REPORTED;
    while (line.p)
        read_word(r, span_cut(&line, ' '));
}

static void book(struct ledger *l, const struct usage_record *r)
{
    struct ledger_ticket t = {.op = LEDGER_POST, .record = r};
    ledger_submit(l, &t);
    ledger_flush(l);
    CHECK(t.error == ERR_OK);
}

static void book_lines(struct ledger *l, const struct price_list *prices, uint64_t counter)
{
    static struct usage_record r;
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        struct span text = span_of(line, strcspn(line, "\n"));
        if (!text.n || text.p[0] == '#')
            continue;
        read_line(text, ++counter, &r);
        price_it(&r, prices);
        book(l, &r);
    }
}

int main(int argc, char **argv)
{
    struct config *c = NULL;
    struct config_errors errors;
    struct ledger *l = NULL;
    struct ledger_status status;
    char why[512];
    config_errors_init(&errors);
    if (argc != 2 || config_load(argv[1], NULL, &c, &errors) != ERR_OK) {
        config_errors_print(&errors, stderr);
        return 2;
    }
    now_us = INT64_C(1735689600) * 1000000; /* 2025 begins */
    if (ledger_open(&(struct ledger_options){.dir = c->data_dir}, &l, why) != ERR_OK) {
        fprintf(stderr, "book-usage: %s\n", why);
        return 1;
    }
    ledger_status(l, &status);
    book_lines(l, c->catalog->prices, status.log_size); /* ids must be new: the log has had fewer of them than entries */
    ledger_close(l);
    config_free(c);
    config_errors_fini(&errors);
    return 0;
}
