/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the books: whatever the flush holds and does not hold yet, readers see the whole log once.
 */
#include "unit.h"
#include "unit_directory.h"

#include "30-ledger/log_rig.h"
#include "base/json.h"

static char why[512];
static struct buf lines; /* what the callbacks write */

static struct books *open_books(const char *name)
{
    struct books *b = NULL;
    why[0] = '\0';
    if (books_open(in_directory(name), &b, why) != ERR_OK)
        printf("# %s\n", why);
    return b;
}

static struct span said(void) { return buf_span(&lines); }

static void begin_lines(void)
{
    buf_fini(&lines);
    buf_init(&lines, 1 << 20);
}

static enum err take_account(void *owner, struct span account, struct span currency, money posted)
{
    char text[MONEY_TEXT_BYTES];
    (void)owner;
    return buf_printf(&lines, "%.*s %.*s %.*s\n", SPAN_ARG(account), SPAN_ARG(money_format(text, posted, 0)), SPAN_ARG(currency));
}

static enum err add_requests(void *owner, const struct rollup *r)
{
    struct rollup *sum = owner;
    sum->requests += r->requests;
    sum->count[USAGE_INPUT] += r->count[USAGE_INPUT];
    sum->buy += r->buy;
    return ERR_OK;
}

static const char accounts_of_three[] = "assets:receivable:legal 0.012645 USD\n"
                                        "expenses:usage:azure-eu:gpt-4o-prod 0.0105375 USD\n"
                                        "income:usage:legal -0.012645 USD\n"
                                        "liabilities:payable:microsoft:azure-eu -0.0105375 USD\n";

/* Three requests: (1000, 100), (1001, 101), (1002, 102) tokens at 2.50 and 10.00, sold at 3.00 and 12.00 per million. */
TEST(readers_see_the_same_whatever_was_flushed)
{
    for (unsigned flushed = 0; flushed <= 3; flushed++) {
        struct log_rig r;
        struct rollup sum = {0};
        char name[32];
        snprintf(name, sizeof name, "flush-%u.db", flushed);
        rig_open(&r, in_directory(name));
        rig_begin(&r);
        static struct entry e;
        for (unsigned i = 0; i < 3; i++) {
            if (i == flushed)
                rig_flush(&r);
            rig_usage(&r, &e, 1000 + i, 100 + i);
            rig_append(&r, &e);
        }
        if (flushed == 3)
            rig_flush(&r);
        rig_close(&r);
        struct books *b = open_books(name);
        REQUIRE(b != NULL);
        begin_lines();
        EXPECT(books_each_account(b, take_account, NULL) == ERR_OK);
        EXPECT_SPAN(said(), accounts_of_three);
        EXPECT(books_each_rollup(b, INT64_MIN, INT64_MAX, add_requests, &sum) == ERR_OK);
        EXPECT(sum.requests == 3 && sum.count[USAGE_INPUT] == 3003 && sum.buy == 10537500000000);
        books_close(b);
    }
}

static enum err take_seq(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    (void)owner;
    (void)body;
    return buf_printf(&lines, "%d@%llu ", (int)e->kind, (unsigned long long)seq);
}

TEST(a_request_is_found_by_its_id_with_its_lost_attempts)
{
    struct log_rig r;
    static struct entry e;
    char id[RECORD_ID_BYTES];
    rig_open(&r, in_directory("find.db"));
    rig_begin(&r);
    rig_requests(&r, 6000);
    rig_usage(&r, &e, 1, 1);
    e.usage.attempt = 1;
    uint64_t lost = rig_append(&r, &e);
    rig_requests(&r, 3);
    e.usage.attempt = 0, e.usage.booked_us = r.now_us;
    uint64_t own = rig_append(&r, &e);
    books_request_id(&e.usage, id);
    rig_requests(&r, 6000);
    rig_close(&r);
    struct books *b = open_books("find.db");
    REQUIRE(b != NULL);
    begin_lines();
    EXPECT_STR(id, "req_0000000007" "000005rh");
    EXPECT(books_find_request(b, span_str(id), take_seq, NULL) == ERR_OK);
    char expected[64];
    snprintf(expected, sizeof expected, "3@%llu 3@%llu ", (unsigned long long)lost, (unsigned long long)own);
    EXPECT_SPAN(said(), expected);
    EXPECT(books_find_request(b, SPAN("req_000000000700zzzzzz"), take_seq, NULL) == ERR_NOT_FOUND);
    EXPECT(books_find_request(b, SPAN("req_0000000007000vvvvv"), take_seq, NULL) == ERR_NOT_FOUND);
    EXPECT(books_find_request(b, SPAN("gpt-4o"), take_seq, NULL) == ERR_NOT_FOUND);
    books_close(b);
}

TEST(a_period_is_a_range_of_the_log)
{
    struct log_rig r;
    uint64_t from, until;
    rig_open(&r, in_directory("range.db"));
    rig_begin(&r);
    uint64_t first = r.seq;
    rig_requests(&r, 100); /* one a second, the first a second after the start */
    rig_close(&r);
    struct books *b = open_books("range.db");
    REQUIRE(b != NULL);
    EXPECT(books_range(b, RIG_START_US + 11000000, RIG_START_US + 21000000, &from, &until) == ERR_OK);
    EXPECT(from == first + 10 && until == first + 20);
    EXPECT(books_range(b, 0, INT64_MAX, &from, &until) == ERR_OK && from == 0 && until == books_size(b));
    EXPECT(books_range(b, INT64_MAX, 0, &from, &until) == ERR_OK && from == until);
    books_close(b);
}

/* ---- holds ---- */

static void put_hold(struct log_rig *r, uint64_t batch, uint64_t counter, money held)
{
    struct hold h = {.issuer = 7, .counter = counter, .wall_us = 5, .api = 1, .key = 1, .provider = 6, .model = 7, .buy = 1, .held = held,
                     .input_expected = 10, .output_max = 20, .opened_seq = r->seq};
    struct buf body;
    buf_init(&body, HOLD_BYTES);
    CHECK(hold_encode(&h, &body) == ERR_OK);
    rig_must(r, store_put_holds(r->store, batch, r->seq, buf_span(&body)));
    buf_fini(&body);
}

static enum err take_hold(void *owner, const struct ledger_hold *h)
{
    (void)owner;
    return buf_printf(&lines, "%llu %s %s %s %s %lld\n", (unsigned long long)h->counter, h->key, h->provider, h->model, h->buy ? h->buy->book->name : "-",
                      (long long)h->held);
}

TEST(a_hold_is_open_until_its_request_is_booked)
{
    struct log_rig r;
    static struct entry e;
    rig_open(&r, in_directory("holds.db"));
    rig_begin(&r);
    put_hold(&r, 1, 1, 100);
    put_hold(&r, 2, 2, 200);
    put_hold(&r, 3, 2, 250); /* a later one of the same request */
    put_hold(&r, 4, 3, 300);
    rig_usage(&r, &e, 1, 1); /* counter 1 */
    rig_append(&r, &e);
    e.usage.counter = 3, e.usage.attempt = 1; /* lost, and the request goes on */
    rig_append(&r, &e);
    rig_close(&r);
    struct books *b = open_books("holds.db");
    REQUIRE(b != NULL);
    begin_lines();
    EXPECT(books_each_hold(b, take_hold, NULL) == ERR_OK);
    EXPECT_SPAN(said(), "2 app azure-eu gpt-4o-prod azure 250\n3 app azure-eu gpt-4o-prod azure 300\n");
    books_close(b);
}

/* ---- proofs ---- */

TEST(every_entry_can_be_proved_against_the_root)
{
    struct log_rig r;
    struct hash root, leaf, proof[MERKLE_PROOF_MAX];
    unsigned n;
    rig_open(&r, in_directory("proof.db"));
    rig_begin(&r);
    rig_requests(&r, 1200);
    rig_root(&r, &root);
    rig_close(&r);
    struct books *b = open_books("proof.db");
    REQUIRE(b != NULL);
    for (uint64_t at = 0; at < books_size(b); at += 97) {
        REQUIRE(books_subtree(b, 0, at, &leaf));
        REQUIRE(merkle_prove_inclusion(at, books_size(b), books_subtree, b, proof, &n));
        EXPECT(merkle_check_inclusion(&leaf, at, books_size(b), &root, proof, n));
    }
    EXPECT(!books_subtree(b, 0, books_size(b), &leaf) && !books_subtree(b, 8, books_size(b) / 256, &leaf) && !books_subtree(b, 62, 1, &leaf));
    books_close(b);
}

/* ---- JSON ---- */

static enum err write_line(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    (void)body;
    return books_write_json(owner, seq, e, &lines);
}

TEST(a_usage_line_has_the_fields_of_the_record_and_its_money)
{
    struct log_rig r;
    static struct entry e;
    rig_open(&r, in_directory("json.db"));
    rig_begin(&r);
    rig_usage(&r, &e, 1000, 100);
    e.usage.recovered = true, e.usage.attempt = 2, e.usage.stream = true, e.usage.provider_cost_nano = 3500000, e.usage.tier = rig_name(&r, "flex");
    e.usage.usage.count[USAGE_REASONING] = 7;
    rig_charge(&r, 1, &e.usage.usage, &e.usage.buy);
    rig_charge(&r, 2, &e.usage.usage, &e.usage.sell);
    e.usage.attempts_n = 1;
    e.usage.attempts[0] = (struct entry_attempt){.provider = 6, .model = 7, .outcome = ATTEMPT_RATE, .status = 429, .wait_us = 12};
    uint64_t seq = rig_append(&r, &e);
    rig_close(&r);
    struct books *b = open_books("json.db");
    REQUIRE(b != NULL);
    begin_lines();
    EXPECT(books_each(b, seq, seq + 1, write_line, b) == ERR_OK);
    EXPECT_SPAN(said(),
                "{\"seq\":15,\"booked\":\"2026-11-23T06:00:00.000000Z\",\"recovered\":true,\"id\":\"req_000000000700000001\",\"attempt\":2,"
                "\"time\":\"2026-11-23T05:59:59.100000Z\",\"outcome\":\"answered\",\"status\":200,\"api\":\"chat\",\"stream\":true,\"key\":\"app\","
                "\"department\":\"legal\",\"party\":\"acme\",\"model\":\"gpt-4o\",\"model_served\":\"gpt-4o-2024-11-20\",\"tier\":\"flex\","
                "\"finish\":\"stop\",\"usage\":{\"source\":\"reported\",\"input\":1000,\"output\":100,\"reasoning\":7,\"request\":1},"
                "\"cost\":{\"amount\":\"0.0035\",\"currency\":\"USD\",\"book\":\"azure\",\"unpriced\":[\"reasoning\"]},"
                "\"charge\":{\"amount\":\"0.0042\",\"currency\":\"USD\",\"book\":\"resale\",\"unpriced\":[\"reasoning\"]},"
                "\"held\":\"0.012\",\"provider_cost_nano_usd\":3500000,"
                "\"attempts\":[{\"provider\":\"azure-eu\",\"model\":\"gpt-4o-prod\",\"outcome\":\"rate\",\"status\":429,\"wait_us\":12},"
                "{\"provider\":\"azure-eu\",\"model\":\"gpt-4o-prod\",\"outcome\":\"answered\",\"status\":200,\"wait_us\":350000}],"
                "\"receive_us\":120,\"first_byte_us\":351000,\"duration_us\":900000,\"bytes_in\":2345,\"bytes_out\":4567}\n");
    books_close(b);
}

TEST(what_has_no_price_is_told_and_never_zero)
{
    struct log_rig r;
    static struct entry e;
    rig_open(&r, in_directory("unpriced.db"));
    rig_begin(&r);
    rig_usage(&r, &e, 1000, 100);
    rig_charge(&r, 0, &e.usage.usage, &e.usage.buy);
    e.usage.sell = (struct entry_charge){0};
    uint64_t seq = rig_append(&r, &e);
    rig_close(&r);
    struct books *b = open_books("unpriced.db");
    REQUIRE(b != NULL);
    begin_lines();
    EXPECT(books_each(b, seq, seq + 1, write_line, b) == ERR_OK);
    EXPECT(span_find_span(said(), SPAN("\"cost\":{\"unpriced\":[\"input\",\"output\"]}")) > 0);
    EXPECT(span_find_span(said(), SPAN("\"charge\"")) < 0 && span_find_span(said(), SPAN("\"amount\"")) < 0);
    books_close(b);
}

static void expect_lines_of_json(struct span text)
{
    while (text.p && text.n) {
        struct span line = span_cut(&text, '\n');
        if (!EXPECT(json_check(line) == ERR_OK))
            printf("# %.*s\n", SPAN_ARG(line));
    }
}

TEST(lines_of_every_kind_are_json_whatever_the_texts_say)
{
    struct log_rig r;
    static struct entry e;
    rig_open(&r, in_directory("kinds.db"));
    rig_begin(&r);
    rig_name(&r, "quote \" backslash \\ line \n tab \t \x01 \xff end");
    rig_flush(&r);
    e = (struct entry){.kind = ENTRY_POSTING};
    e.posting = (struct entry_posting){.booked_us = r.now_us, .cause = POSTING_SHARE, .key = SPAN("close:K1"), .memo = SPAN("20 % to \"P\""),
                                       .detail = SPAN("{\"rate\":\"20%\"}"), .refers_to = 4, .transfers_n = 1,
                                       .transfers = {{.debit = 9, .credit = 10, .currency = 8, .amount = 1500000000000000}}};
    uint64_t seq = rig_append(&r, &e);
    e.posting.key = SPAN("close:K2"), e.posting.detail = SPAN("{\"rate\":\n\"20%\"}");
    rig_append(&r, &e);
    rig_close(&r);
    struct books *b = open_books("kinds.db");
    REQUIRE(b != NULL);
    begin_lines();
    EXPECT(books_each(b, 0, books_size(b), write_line, b) == ERR_OK);
    expect_lines_of_json(said());
    begin_lines();
    EXPECT(books_each(b, 0, 1, write_line, b) == ERR_OK && books_each(b, seq, seq + 1, write_line, b) == ERR_OK);
    EXPECT_SPAN(said(), "{\"kind\":\"name\",\"seq\":0,\"number\":1,\"text\":\"app\"}\n"
                        "{\"kind\":\"posting\",\"seq\":15,\"booked\":\"2026-11-23T06:00:00.000000Z\",\"cause\":\"share\",\"key\":\"close:K1\","
                        "\"memo\":\"20 % to \\\"P\\\"\",\"refers_to\":3,\"detail\":{\"rate\":\"20%\"},\"transfers\":[{\"debit\":"
                        "\"expenses:usage:azure-eu:gpt-4o-prod\",\"credit\":\"liabilities:payable:microsoft:azure-eu\",\"amount\":\"1.5\","
                        "\"currency\":\"USD\"}]}\n");
    books_close(b);
    buf_fini(&lines);
}

/* ---- what is no ledger ---- */

TEST(a_folder_without_a_ledger_says_so)
{
    struct books *b;
    EXPECT_EQ(books_open(unit_directory(), &b, why), ERR_NOT_FOUND);
    EXPECT(strstr(why, "/ledger.db: there is no such file") != NULL);
}

UNIT_MAIN
