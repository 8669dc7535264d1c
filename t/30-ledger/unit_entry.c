/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of entries. They are in files for good and hashed into proofs that others keep: the golden ones here may never change.
 */
#include "unit.h"
#include "unit_random.h"

#include "base/digest.h"
#include "ledger/entry.h"

static struct entry made, read_back; /* too large for the stack to enjoy */

static void encode_hex(const struct entry *e, char out[2048])
{
    struct buf b;
    buf_init(&b, ENTRY_BODY_BYTES_MAX);
    CHECK(entry_encode(e, &b) == ERR_OK && 2 * buf_bytes(&b) < 2048);
    digest_hex((const uint8_t *)buf_span(&b).p, buf_bytes(&b), out);
    buf_fini(&b);
}

static void set_usage(struct entry *e)
{
    struct entry_usage *u = &e->usage;
    e->kind = ENTRY_USAGE;
    *u = (struct entry_usage){.issuer = 0x3ffffffffffff, .counter = 123456, .booked_us = 1795411200000000, .wall_us = 1795411199100000, .api = 1,
                              .finish = 1, .stream = true, .status = 200, .key = 12, .department = 13, .party = 1, .model_asked = 5,
                              .model_served = 300, .provider = 6, .model = 7, .provider_status = 200, .attempt_outcome = ATTEMPT_ANSWERED,
                              .wait_us = 350000, .receive_us = 120, .first_byte_us = 351000, .duration_us = 900000, .bytes_in = 2345,
                              .bytes_out = 4567, .held = 12000000000000, .provider_cost_nano = -1};
    usage_init(&u->usage);
    u->usage.source = USAGE_SOURCE_REPORTED;
    u->usage.count[USAGE_INPUT] = 1234, u->usage.count[USAGE_CACHE_READ] = 1024, u->usage.count[USAGE_OUTPUT] = 345;
    u->usage.count[USAGE_REASONING] = 120, u->usage.count[USAGE_REQUEST] = 1;
    u->buy = (struct entry_charge){3, 0, 328850000000};
    u->sell = (struct entry_charge){4, 1u << USAGE_REASONING, 428850000000};
}

static void set_posting(struct entry *e)
{
    e->kind = ENTRY_POSTING;
    e->posting = (struct entry_posting){.booked_us = 1795411200000000, .cause = POSTING_FEE, .key = SPAN("close:azure:2026-11:K1"), .memo = SPAN("fee"),
                                        .detail = SPAN("{\"rate\":\"5%\"}"), .refers_to = 8, .transfers_n = 1,
                                        .transfers = {{.debit = 9, .credit = 10, .currency = 8, .amount = (money)1 << 100}}};
}

/* ---- golden ---- */

TEST(a_name_has_the_bytes_that_proofs_were_made_of)
{
    char hex[2048];
    encode_hex(&(struct entry){.kind = ENTRY_NAME, .number = 300, .text = SPAN("azure-eu")}, hex);
    EXPECT_STR(hex, "0101ac0208617a7572652d6575");
    encode_hex(&(struct entry){.kind = ENTRY_PRICE, .number = 1, .text = SPAN("book=azure")}, hex);
    EXPECT_STR(hex, "0201010a626f6f6b3d617a757265");
}

TEST(a_usage_entry_has_the_bytes_that_proofs_were_made_of)
{
    char hex[2048];
    set_usage(&made);
    encode_hex(&made, hex);
    EXPECT_STR(hex, "0301" "01" "8080b5f6ab9d9803" "c0ee6d" "ffffffffffffff01" "c0c407" "00" "00" "01" "01" "c801" "00" "0c" "0d" "01" "05" "ac02" "00"
                    "06" "07" "c801" "01" "b0ae15" "78" "98b615" "a0f736" "a912" "d723" "01" "00" "c309" "d209" "8008" "d902" "78" "01"
                    "0300" "8091f387c909" "04" "8001" "80e1cecbbd0c" "8080f3bd9fdd02" "00");
    made.usage.sell = made.usage.buy;
    made.usage.stream = false;
    made.usage.recovered = true;
    encode_hex(&made, hex);
    EXPECT(strncmp(hex, "030106", 6) == 0);
    EXPECT(strlen(hex) / 2 < 90);
}

TEST(a_posting_and_a_summary_have_the_bytes_that_proofs_were_made_of)
{
    char hex[2048];
    set_posting(&made);
    encode_hex(&made, hex);
    EXPECT_STR(hex, "0401" "8080b5f6ab9d9803" "02" "08" "16636c6f73653a617a7572653a323032362d31313a4b31" "03666565" "0d7b2272617465223a223525227d"
                    "01" "09" "0a" "08" "808080808080808080808080808004");
    made = (struct entry){.kind = ENTRY_SUMMARY};
    made.summary = (struct entry_summary){.booked_us = 1795411200000000, .from_seq = 0, .until_seq = 512, .usage_n = 498};
    memset(made.summary.rollup_digest, 0xab, 32);
    encode_hex(&made, hex);
    EXPECT_STR(hex, "0501" "8080b5f6ab9d9803" "00" "8004" "f203" "abababababababababababababababababababababababababababababababab");
}

/* Numbers in entries mean these words. A list may grow at its end; a word that moves changes the meaning of every log there is. */
static void expect_words(const char *const *words, unsigned n, const char *(*word)(unsigned i))
{
    for (unsigned i = 0; i < n; i++)
        EXPECT_STR(word(i), words[i]);
}
static const char *word_err(unsigned i) { return err_name((enum err)i); }
static const char *word_outcome(unsigned i) { return record_outcome_name((enum record_outcome)i); }
static const char *word_attempt(unsigned i) { return attempt_outcome_name((enum attempt_outcome)i); }
static const char *word_class(unsigned i) { return usage_class_name((enum usage_class)i); }
static const char *word_source(unsigned i) { return usage_source_name((enum usage_source)i); }
static const char *word_cause(unsigned i) { return posting_cause_name((enum posting_cause)i); }

TEST(numbers_in_old_entries_keep_their_meaning)
{
    static const char *const outcomes[] = {"answered", "refused", "failed", "broken", "abandoned"};
    static const char *const attempts[] = {"none", "answered", "connect", "timeout", "reset", "protocol", "refused", "rate", "quota", "credential",
                                           "fault", "cancelled", "broken"};
    static const char *const classes[] = {"input", "cache_read", "cache_write", "cache_write_1h", "input_audio", "input_image", "output", "reasoning",
                                          "output_audio", "output_image", "request", "search", "session", "second", "image", "pixel", "storage"};
    static const char *const sources[] = {"unknown", "reported", "estimated", "none"};
    static const char *const causes[] = {"correction", "reversal", "fee", "minimum", "free", "band", "capacity", "commit", "credit", "share", "tax",
                                         "storage", "payment", "opening"};
    expect_words(outcomes, COUNT_OF(outcomes), word_outcome);
    expect_words(attempts, COUNT_OF(attempts), word_attempt);
    expect_words(classes, COUNT_OF(classes), word_class);
    expect_words(sources, COUNT_OF(sources), word_source);
    expect_words(causes, COUNT_OF(causes), word_cause);
}

TEST(errors_in_old_entries_keep_their_meaning)
{
    static const char *const errors[] = {
        "OK", "AGAIN", "NO_MEMORY", "TOO_LARGE", "HEAD_TOO_LARGE", "URI_TOO_LONG", "SYNTAX", "DEPTH", "UTF8", "JSON", "BAD_REQUEST", "BAD_FRAMING",
        "BAD_VERSION", "BAD_METHOD", "NOT_IMPLEMENTED", "BAD_EXPECT", "BAD_ENCODING", "BAD_MEDIA_TYPE", "REQUEST_TIMEOUT", "LENGTH_REQUIRED",
        "MISDIRECTED", "CLIENT_GONE", "NOT_FOUND", "UNKNOWN_MODEL", "INVALID_PARAMETER", "MISSING_PARAMETER", "UNMAPPABLE", "NO_KEY", "BAD_KEY",
        "KEY_REVOKED", "FORBIDDEN", "FORBIDDEN_AGREEMENT", "BUDGET", "FIRST_RIGHT", "NO_PROVIDER", "DNS", "CONNECT", "CONNECT_TIMEOUT", "TLS", "PROXY",
        "PROVIDER_RESET", "FIRST_BYTE_TIMEOUT", "IDLE_TIMEOUT", "TOTAL_TIMEOUT", "PROVIDER_PROTOCOL", "PROVIDER_REFUSED", "PROVIDER_CREDENTIAL",
        "PROVIDER_RATE", "PROVIDER_FAULT", "REFUSED_STREAM", "OVERLOADED", "DRAINING", "IO", "DISK", "CLOSED", "RANGE", "EXISTS", "LEDGER",
        "NOT_RECORDED", "INTERNAL"};
    expect_words(errors, COUNT_OF(errors), word_err);
}

/* ---- every entry comes back ---- */

static uint64_t random_u64(uint64_t max)
{
    uint64_t value = 0;
    unsigned bits = random_below(65);
    for (unsigned i = 0; i < 4; i++)
        value = value << 16 | random_below(65536);
    value = bits ? value >> (64 - bits) : 0;
    return random_below(20) == 0 ? max : value > max ? value % max : value;
}

static money random_money(void)
{
    unsigned __int128 value = (unsigned __int128)random_u64(UINT64_MAX) << 64 | random_u64(UINT64_MAX);
    return random_below(20) == 0 ? MONEY_MAX : (money)(value >> (1 + random_below(127)));
}

static void random_charge(struct entry_charge *c)
{
    *c = (struct entry_charge){(uint32_t)random_u64(UINT32_MAX), (uint32_t)random_u64((1u << USAGE_CLASSES) - 1), random_money()};
}

static void random_usage(struct entry_usage *u)
{
    memset(u, 0, sizeof *u);
    u->stream = random_below(2), u->recovered = random_below(2);
    u->booked_us = (int64_t)random_u64(ENTRY_TIME_MAX), u->wall_us = (int64_t)random_u64(ENTRY_TIME_MAX);
#define NUMBER(field, max, sentence) u->field = (__typeof__(u->field))random_u64(max);
#include "ledger/entry_usage.def"
#undef NUMBER
    for (unsigned i = 0; i < u->attempts_n; i++)
        u->attempts[i] = (struct entry_attempt){.provider = (uint32_t)random_u64(UINT32_MAX), .model = (uint32_t)random_u64(UINT32_MAX),
                                                .outcome = (uint8_t)random_u64(ATTEMPT_OUTCOMES - 1), .status = (uint16_t)random_u64(UINT16_MAX),
                                                .wait_us = (uint32_t)random_u64(UINT32_MAX)};
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        u->usage.count[c] = random_below(2) ? USAGE_UNKNOWN : (int64_t)random_u64(INT64_MAX);
    random_charge(&u->buy);
    random_charge(&u->sell);
    if (random_below(2))
        u->sell = u->buy;
    u->held = random_money();
    u->provider_cost_nano = (int64_t)random_u64(INT64_MAX) - 1;
}

static struct span random_text(char *at, size_t max)
{
    size_t n = random_below((unsigned)max);
    for (size_t i = 0; i < n; i++)
        at[i] = (char)(1 + random_below(255));
    return span_of(at, n);
}

static void random_posting(struct entry_posting *p, char texts[3][512])
{
    *p = (struct entry_posting){.booked_us = (int64_t)random_u64(ENTRY_TIME_MAX), .cause = random_below(POSTING_CAUSES),
                                .memo = random_text(texts[1], 512), .detail = random_text(texts[2], 512), .refers_to = random_u64(INT64_MAX),
                                .transfers_n = random_below(POSTING_TRANSFERS_MAX + 1)};
    p->key = random_text(texts[0], 511);
    if (!p->key.n)
        p->key = SPAN("k");
    for (unsigned i = 0; i < p->transfers_n; i++)
        p->transfers[i] = (struct entry_transfer){1 + (uint32_t)random_u64(UINT32_MAX - 1), 1 + (uint32_t)random_u64(UINT32_MAX - 1),
                                                  1 + (uint32_t)random_u64(UINT32_MAX - 1), random_money()};
}

static void random_entry(struct entry *e, char texts[3][512])
{
    e->kind = (enum entry_kind)(1 + random_below(5));
    switch (e->kind) {
    case ENTRY_NAME:
    case ENTRY_PRICE:
        e->number = 1 + (uint32_t)random_u64(UINT32_MAX - 1);
        e->text = random_text(texts[0], 512);
        if (!e->text.n)
            e->text = SPAN("n");
        return;
    case ENTRY_USAGE: random_usage(&e->usage); return;
    case ENTRY_POSTING: random_posting(&e->posting, texts); return;
    case ENTRY_SUMMARY:
        memset(&e->summary, 0, sizeof e->summary);
        e->summary.booked_us = (int64_t)random_u64(ENTRY_TIME_MAX);
        e->summary.from_seq = random_u64(INT64_MAX - 1);
        e->summary.until_seq = e->summary.from_seq + 1 + random_u64(INT64_MAX - e->summary.from_seq) / 2;
        e->summary.usage_n = random_u64(e->summary.until_seq - e->summary.from_seq);
        return;
    }
}

static bool texts_are_equal(const struct entry_posting *a, const struct entry_posting *b)
{
    return span_eq(a->key, b->key) && span_eq(a->memo, b->memo) && span_eq(a->detail, b->detail);
}

static bool transfers_are_equal(const struct entry_posting *a, const struct entry_posting *b)
{
    bool equal = a->transfers_n == b->transfers_n;
    for (unsigned i = 0; equal && i < a->transfers_n; i++) {
        const struct entry_transfer *x = &a->transfers[i], *y = &b->transfers[i];
        equal = x->debit == y->debit && x->credit == y->credit && x->currency == y->currency && x->amount == y->amount;
    }
    return equal;
}

static bool charges_are_equal(const struct entry_charge *a, const struct entry_charge *b)
{
    return a->price == b->price && a->unpriced == b->unpriced && a->amount == b->amount;
}

static bool usages_are_equal(const struct entry_usage *a, const struct entry_usage *b)
{
    bool equal = a->stream == b->stream && a->recovered == b->recovered && a->booked_us == b->booked_us && a->wall_us == b->wall_us;
#define NUMBER(field, max, sentence) equal &= a->field == b->field;
#include "ledger/entry_usage.def"
#undef NUMBER
    for (unsigned i = 0; equal && i < a->attempts_n; i++) {
        const struct entry_attempt *x = &a->attempts[i], *y = &b->attempts[i];
        equal = x->provider == y->provider && x->model == y->model && x->outcome == y->outcome && x->status == y->status && x->wait_us == y->wait_us;
    }
    return equal && memcmp(a->usage.count, b->usage.count, sizeof a->usage.count) == 0 && charges_are_equal(&a->buy, &b->buy) &&
           charges_are_equal(&a->sell, &b->sell) && a->held == b->held && a->provider_cost_nano == b->provider_cost_nano;
}

static bool entries_are_equal(const struct entry *a, const struct entry *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case ENTRY_NAME:
    case ENTRY_PRICE: return a->number == b->number && span_eq(a->text, b->text);
    case ENTRY_USAGE: return usages_are_equal(&a->usage, &b->usage);
    case ENTRY_POSTING:
        return a->posting.booked_us == b->posting.booked_us && a->posting.cause == b->posting.cause && a->posting.refers_to == b->posting.refers_to &&
               texts_are_equal(&a->posting, &b->posting) && transfers_are_equal(&a->posting, &b->posting);
    case ENTRY_SUMMARY:
        return a->summary.booked_us == b->summary.booked_us && a->summary.from_seq == b->summary.from_seq &&
               a->summary.until_seq == b->summary.until_seq && a->summary.usage_n == b->summary.usage_n;
    }
    return false;
}

TEST(what_was_booked_is_read_again_whatever_it_was)
{
    static char texts[3][512];
    struct buf body;
    buf_init(&body, ENTRY_BODY_BYTES_MAX);
    for (unsigned round = 1; round <= 20000; round++) {
        random_seed(round);
        random_entry(&made, texts);
        buf_clear(&body);
        REQUIRE(entry_encode(&made, &body) == ERR_OK);
        REQUIRE(entry_decode(buf_span(&body), &read_back) == ERR_OK);
        if (!EXPECT(entries_are_equal(&made, &read_back)))
            printf("# round %u\n", round);
    }
    buf_fini(&body);
}

/* ---- one form ---- */

/* What decodes encodes to the same bytes: so no other bytes mean the same. */
static void expect_one_form(struct span body)
{
    struct buf again;
    struct span copy = exact_copy(body);
    buf_init(&again, ENTRY_BODY_BYTES_MAX);
    if (entry_decode(copy, &read_back) == ERR_OK)
        EXPECT(entry_encode(&read_back, &again) == ERR_OK && span_eq(buf_span(&again), body));
    buf_fini(&again);
    free((char *)copy.p);
}

TEST(an_entry_that_was_touched_is_refused_or_says_something_else)
{
    static char texts[3][512];
    struct buf body;
    buf_init(&body, ENTRY_BODY_BYTES_MAX + 1);
    for (unsigned round = 1; round <= 3000; round++) {
        random_seed(round);
        random_entry(&made, texts);
        buf_clear(&body);
        REQUIRE(entry_encode(&made, &body) == ERR_OK);
        char *bytes = body.p + body.at;
        size_t at = random_below((unsigned)buf_bytes(&body)) / (1 + random_below(8));
        bytes[at] = (char)(bytes[at] ^ (1 << random_below(8)));
        expect_one_form(buf_span(&body));
        expect_one_form(span_to(buf_span(&body), at));
    }
    buf_fini(&body);
}

static enum err decode_hex(const char *hex)
{
    uint8_t bytes[256];
    size_t n = strlen(hex) / 2;
    CHECK(digest_from_hex(span_str(hex), bytes, n));
    struct span exact = exact_copy(span_of(bytes, n));
    enum err e = entry_decode(exact, &read_back);
    free((char *)exact.p);
    return e;
}

TEST(bytes_that_are_no_entry_are_refused)
{
    static const struct {
        const char *what, *hex;
    } rows[] = {
        {"nothing", ""},
        {"a kind and no more", "01"},
        {"kind 0", "0001010161"},
        {"a kind of a later version", "0601"},
        {"a form of a later version", "0102010161"},
        {"an overlong kind", "810001010161"},
        {"a name without number", "01010001" "61"},
        {"an empty name", "01010100"},
        {"a name longer than its bytes", "0101010261"},
        {"a byte behind a name", "01010101" "6161"},
        {"a zero inside a name", "0101010361" "0061"},
        {"an overlong length", "010101810061"},
        {"a number of 33 bits", "0101808080801001" "61"},
        {"a number of 65 bits", "0101ffffffffffffffffff0201" "61"},
        {"a number without end", "0101ffffffffffffffffffffff"},
        {"usage with an unknown flag", "030108"},
        {"a summary of nothing", "0501" "00" "05" "05" "00" "0000000000000000000000000000000000000000000000000000000000000000"},
        {"a summary that ends before it begins", "0501" "00" "05" "04" "00" "0000000000000000000000000000000000000000000000000000000000000000"},
        {"a summary of more entries than it covers", "0501" "00" "00" "02" "03" "0000000000000000000000000000000000000000000000000000000000000000"},
        {"a summary whose digest is cut off", "0501" "00" "00" "02" "02" "00000000000000000000000000000000000000000000000000000000000000"},
        {"a posting without key", "0401" "00" "00" "00" "00" "00" "00" "00"},
        {"a posting of an unknown cause", "0401" "00" "7f" "00" "016b" "00" "00" "00"},
        {"a posting to no account", "0401" "00" "00" "00" "016b" "00" "00" "01" "00" "01" "01" "05"},
        {"a posting whose transfers are cut off", "0401" "00" "00" "00" "016b" "00" "00" "02" "01" "01" "01" "05"},
        {"an amount of 128 bits", "0401" "00" "00" "00" "016b" "00" "00" "01" "01" "01" "01" "80808080808080808080808080808080808002"},
        {"an overlong amount", "0401" "00" "00" "00" "016b" "00" "00" "01" "01" "01" "01" "8000"},
    };
    for (unsigned i = 0; i < COUNT_OF(rows); i++)
        if (!EXPECT(decode_hex(rows[i].hex) == ERR_SYNTAX))
            printf("# %s\n", rows[i].what);
    EXPECT(decode_hex("0101010161") == ERR_OK);
    EXPECT(decode_hex("0401" "00" "00" "00" "016b" "00" "00" "01" "01" "01" "01" "05") == ERR_OK);
}

TEST(a_charge_at_cost_has_no_second_form)
{
    char hex[2048];
    set_usage(&made);
    made.usage.sell = made.usage.buy;
    encode_hex(&made, hex);
    char *flags = hex + 4, *buy = strstr(hex, "03008091f387c909");
    REQUIRE(buy != NULL);
    memcpy(flags, "01", 2); /* says that both are told apart, */
    char other[2048];
    snprintf(other, sizeof other, "%.*s%s%s", (int)(buy - hex), hex, "03008091f387c909", buy); /* and tells the same twice */
    uint8_t bytes[1024];
    CHECK(digest_from_hex(span_str(other), bytes, strlen(other) / 2));
    EXPECT(entry_decode(span_of(bytes, strlen(other) / 2), &read_back) == ERR_SYNTAX);
}

static enum err encode(const struct entry *e)
{
    struct buf b;
    buf_init(&b, ENTRY_BODY_BYTES_MAX);
    enum err error = entry_encode(e, &b);
    EXPECT(error == ERR_OK || buf_bytes(&b) == 0);
    buf_fini(&b);
    return error;
}

TEST(what_the_form_cannot_say_is_refused_before_it_is_written)
{
    static char long_text[ENTRY_NAME_BYTES_MAX + 1];
    memset(long_text, 'x', sizeof long_text);
    EXPECT_EQ(encode(&(struct entry){.kind = ENTRY_NAME, .number = 1, .text = span_of(long_text, sizeof long_text)}), ERR_RANGE);
    EXPECT_EQ(encode(&(struct entry){.kind = ENTRY_NAME, .number = 1, .text = span_of(long_text, sizeof long_text - 1)}), ERR_OK);
    EXPECT_EQ(encode(&(struct entry){.kind = ENTRY_NAME, .number = 1, .text = span_of("a\0b", 3)}), ERR_RANGE);
    EXPECT_EQ(encode(&(struct entry){.kind = ENTRY_NAME, .number = 1}), ERR_RANGE);
    EXPECT_EQ(encode(&(struct entry){.kind = 0}), ERR_RANGE);
#define REFUSED(change)             \
    set_usage(&made);               \
    made.usage.change;              \
    EXPECT_EQ(encode(&made), ERR_RANGE)
    REFUSED(issuer = ENTRY_ISSUER_MAX + 1);
    REFUSED(counter = ENTRY_COUNTER_MAX + 1);
    REFUSED(booked_us = -1);
    REFUSED(wall_us = -1);
    REFUSED(wall_us = INT64_MAX);
    REFUSED(outcome = RECORD_OUTCOMES);
    REFUSED(attempt_outcome = ATTEMPT_OUTCOMES);
    REFUSED(attempts_n = LIMIT_ATTEMPTS);
    REFUSED(usage.count[3] = -2);
    REFUSED(buy.amount = -1);
    REFUSED(held = -1);
    REFUSED(provider_cost_nano = -2);
    REFUSED(provider_cost_nano = INT64_MAX);
    REFUSED(sell.unpriced = 1u << USAGE_CLASSES);
    set_posting(&made);
    made.posting.transfers[0].amount = -1;
    EXPECT_EQ(encode(&made), ERR_RANGE);
    set_posting(&made);
    made.posting.transfers_n = POSTING_TRANSFERS_MAX + 1;
    EXPECT_EQ(encode(&made), ERR_RANGE);
}

/* ---- accounts ---- */

TEST(accounts_of_different_facts_are_different)
{
    static const struct {
        const char *provider, *model, *account;
    } rows[] = {
        {"azure-eu", "gpt-4o", "expenses:usage:azure-eu:gpt-4o"},
        {"a:b", "c", "expenses:usage:a%3Ab:c"},
        {"a", "b:c", "expenses:usage:a:b%3Ac"},
        {"a%3Ab", "c", "expenses:usage:a%253Ab:c"},
        {"a\nb", "\x7f", "expenses:usage:a%0Ab:%7F"},
        {"", "m", "expenses:usage:%:m"},
        {"modèle", "été 2", "expenses:usage:modèle:été 2"},
    };
    struct buf out;
    buf_init(&out, 4096);
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        buf_clear(&out);
        REQUIRE(account_expense(&out, span_str(rows[i].provider), span_str(rows[i].model)) == ERR_OK);
        EXPECT_SPAN(buf_span(&out), rows[i].account);
    }
    buf_clear(&out);
    REQUIRE(account_payable(&out, SPAN("microsoft"), SPAN("azure-eu")) == ERR_OK);
    EXPECT_SPAN(buf_span(&out), "liabilities:payable:microsoft:azure-eu");
    buf_clear(&out);
    REQUIRE(account_receivable(&out, SPAN("legal")) == ERR_OK && account_income(&out, SPAN("legal")) == ERR_OK);
    EXPECT_SPAN(buf_span(&out), "assets:receivable:legalincome:usage:legal");
    EXPECT_SPAN(account_buyer(SPAN("legal"), SPAN("acme")), "legal");
    EXPECT_SPAN(account_buyer(SPAN_NONE, SPAN("acme")), "acme");
    buf_fini(&out);
}

UNIT_MAIN
