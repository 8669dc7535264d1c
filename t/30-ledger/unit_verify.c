/* SPDX-License-Identifier: Apache-2.0
 *
 * Verify: a sound ledger has no fault, and whatever somebody changes in one is found. Logs are made by hand (log_rig.h), then spoilt.
 */
#include "unit.h"
#include "unit_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "30-ledger/log_rig.h"
#include "ledger/sql.h"

static char why[512];
static char told[8192]; /* what verify said */
static struct entry entry;

static void tell(void *owner, const char *sentence)
{
    (void)owner;
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%s\n", sentence);
}

static bool verify(const char *name, struct verify_report *report)
{
    struct books *b;
    told[0] = '\0';
    *report = (struct verify_report){.faults = 0};
    if (books_open(in_directory(name), &b, why) != ERR_OK) {
        tell(NULL, why);
        return false;
    }
    enum err e = books_verify(b, tell, NULL, NULL, report);
    if (e)
        tell(NULL, books_why(b));
    books_close(b);
    return !e && report->faults == 0;
}

static void expect_sound(const char *name, struct verify_report *report)
{
    if (!EXPECT(verify(name, report)))
        printf("# %s\n", told);
}

static void expect_fault(const char *name, const char *words)
{
    struct verify_report report;
    if (!EXPECT(!verify(name, &report) && strstr(told, words)))
        printf("# %s: expected \"%s\", was told: %s\n", name, words, told);
}

static void post(struct log_rig *r, const char *key, uint64_t refers_to)
{
    entry = (struct entry){.kind = ENTRY_POSTING};
    entry.posting = (struct entry_posting){.booked_us = r->now_us, .cause = POSTING_PAYMENT, .key = span_str(key), .refers_to = refers_to, .transfers_n = 1,
                                           .transfers = {{.debit = 10, .credit = 11, .currency = 8, .amount = 5 * MONEY_ONE}}};
    rig_append(r, &entry);
}

static void put_hold(struct log_rig *r, uint64_t batch, uint64_t counter)
{
    struct hold h = {.issuer = 7, .counter = counter, .wall_us = 5, .key = 1, .buy = 1, .held = 5, .opened_seq = r->seq};
    struct buf body;
    buf_init(&body, HOLD_BYTES);
    CHECK(hold_encode(&h, &body) == ERR_OK);
    rig_must(r, store_put_holds(r->store, batch, r->seq, buf_span(&body)));
    buf_fini(&body);
}

/* Two quarters of an hour, four tiles, postings, a lost attempt, two checkpoints, an open hold and an ended one, a tail behind the flush. */
static void make_sound(const char *name)
{
    struct log_rig r;
    rig_open(&r, in_directory(name));
    rig_begin(&r);
    rig_requests(&r, 700);
    post(&r, "pay:1", 0);
    rig_usage(&r, &entry, 10, 0);
    entry.usage.attempt = 1;
    rig_append(&r, &entry);
    entry.usage.attempt = 0;
    rig_append(&r, &entry);
    rig_checkpoint(&r);
    rig_requests(&r, 400);
    put_hold(&r, 1, r.counter);
    put_hold(&r, 2, r.counter + 100);
    put_hold(&r, 3, r.counter + 100);
    rig_flush(&r);
    rig_requests(&r, 20);
    post(&r, "pay:2", r.seq);
    rig_checkpoint(&r);
    rig_close(&r);
}

TEST(a_sound_ledger_has_no_fault)
{
    struct verify_report report;
    make_sound("sound.db");
    expect_sound("sound.db", &report);
    EXPECT(report.usage == 1122 && report.postings == 2 && report.checkpoints == 2 && report.holds_open == 1);
    EXPECT_EQ(report.entries, 1122 + 2 + 14);
}

TEST(an_empty_ledger_has_no_fault)
{
    struct verify_report report;
    struct log_rig r;
    rig_open(&r, in_directory("empty.db"));
    rig_close(&r);
    expect_sound("empty.db", &report);
    EXPECT_EQ(report.entries, 0);
}

/* ---- what somebody with the file in his hands may do ---- */

static void copy_file(const char *from, const char *to)
{
    static char bytes[4 << 20];
    int in = open(in_directory(from), O_RDONLY), out = open(in_directory(to), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n = read(in, bytes, sizeof bytes);
    CHECK(n > 0 && n < (ssize_t)sizeof bytes && write(out, bytes, (size_t)n) == n && close(in) == 0 && close(out) == 0);
}

static void spoil(const char *name, const char *text)
{
    struct sql *q;
    CHECK(sql_open(in_directory(name), SQL_WRITE, NULL, &q, why) == ERR_OK);
    if (sql_exec(q, text) != ERR_OK)
        printf("# %s\n", sql_why(q));
    sql_close(q);
}

static const struct {
    const char *text, *words;
} tamperings[] = {
    {"UPDATE entry SET body = CAST(substr(body, 1, length(body) - 1) || x'01' AS BLOB) WHERE seq = 100", "tile 0: its hash is not that of entries 0 to 255"},
    {"UPDATE entry SET body = (SELECT body FROM entry WHERE seq = 301) WHERE seq = 300", "is booked a second time"},
    {"UPDATE entry SET body = x'' WHERE seq = 300", "entry 300: its bytes are no entry"},
    {"UPDATE entry SET body = x'0301' WHERE seq = 1136", "is no entry"},
    {"DELETE FROM entry WHERE seq = 500", "entry 500 is missing"},
    {"DELETE FROM entry WHERE seq > 1130", "checkpoint of 1138 entries: the log has only 1131"},
    {"DELETE FROM entry WHERE seq > 900; DELETE FROM checkpoint WHERE size > 900", "what it says was flushed is not in the log"},
    {"INSERT INTO entry SELECT 1138, body FROM entry WHERE seq = 1137", "its key was posted before"},
    {"UPDATE tile SET root = zeroblob(32) WHERE n = 2", "tile 2: its hash is not that of entries 512 to 767"},
    {"DELETE FROM tile WHERE n = 1", "tile 1, of entries 256 to 511, is missing"},
    {"INSERT INTO meta VALUES('frontier', x'00')", "the frontier, from which the writer goes on, is damaged"},
    {"INSERT INTO meta VALUES('frontier', zeroblob(16))", "the frontier, from which the writer goes on, is not that of the first 1117 entries"},
    {"INSERT INTO tile VALUES(4, zeroblob(32), NULL)", "tile 4: the log does not go so far"},
    {"UPDATE tile SET leaves = zeroblob(8192) WHERE n = 1", "tile 1: the leaves that it keeps"},
    {"UPDATE name SET text = 'gpt-5' WHERE id = 4", "another text for name 4"},
    {"UPDATE name SET seq = 9 WHERE id = 4", "does not have it as number 4"},
    {"DELETE FROM name WHERE id = 12", "restore it from a backup"},
    {"INSERT INTO name VALUES(13, 'more', 14)", "the log has 12 names, the store's table 13"},
    {"UPDATE price SET text = replace(text, 'input=2500000000', 'input=2600000000') WHERE id = 1", "another text for price line 1"},
    {"UPDATE price SET text = 'cheap' WHERE id = 1", "no price line"},
    {"UPDATE account SET posted = posted + 1 WHERE name = 11", "account assets:receivable:legal: the store says"},
    {"DELETE FROM account WHERE name = 12", "account income:usage:legal: the store says 0 USD"},
    {"UPDATE rollup SET input = input + 1 WHERE id = 1", "the store's sums are not those of the entries"},
    {"UPDATE rollup SET department = 3 WHERE id = 1", "the store's sums are not those of the entries"},
    {"DELETE FROM rollup WHERE id = 1", "the store's sums are not those of the entries"},
    {"INSERT INTO rollup SELECT NULL, bucket_us, key, department, party, provider, model, model_asked, 9, buy_price, sell_price, source, outcome, "
     "buy_unpriced, sell_unpriced, requests, entries, input, cache_read, cache_write, cache_write_1h, input_audio, input_image, output, reasoning, "
     "output_audio, output_image, request, search, session, second, image, pixel, storage, buy, sell, provider_cost, provider_cost_n, first_seq, last_seq "
     "FROM rollup WHERE id = 1", "the store's sums are not those of the entries"},
    {"UPDATE rollup SET last_seq = 3 WHERE id = 1", "its last entry is"},
    {"UPDATE checkpoint SET note = replace(note, 'test.example', 'best.example') WHERE size > 1000", "not signed with the log's key"},
    {"UPDATE meta SET value = x'00' WHERE key = 'public_key'", "its public key cannot be read"},
    {"UPDATE meta SET value = CAST('other/log' AS BLOB) WHERE key = 'origin'", "it is another log's"},
    {"UPDATE meta SET value = CAST('1000' AS BLOB) WHERE key = 'flushed_seq'", "the store's sums are not those of the entries"},
    {"UPDATE meta SET value = CAST('9999' AS BLOB) WHERE key = 'flushed_seq'", "what it says was flushed is not in the log"},
    {"DELETE FROM posting WHERE key = 'pay:1'", "the store's table does not have its key"},
    {"DELETE FROM issuer", "issuer 7: the log has its ids, the store's table has not"},
    {"UPDATE issuer SET counter = 5", "issuer 7: the store says that its ids went to 5"},
    {"INSERT INTO hold VALUES(9, 5, x'01')", "holds of batch 9: one of them is none"},
    {"UPDATE hold SET seq = 99999 WHERE batch = 1", "holds of batch 1: they were written when the log had 99999 entries"},
};

TEST(whatever_somebody_changes_is_found)
{
    make_sound("whole.db");
    for (unsigned i = 0; i < COUNT_OF(tamperings); i++) {
        copy_file("whole.db", "spoilt.db");
        spoil("spoilt.db", tamperings[i].text);
        expect_fault("spoilt.db", tamperings[i].words);
    }
}

/* ---- what a faulty writer may do: everything fits together, and the books are wrong ---- */

static void open_usage(struct log_rig *r, const char *name)
{
    unlink(in_directory(name));
    rig_open(r, in_directory(name));
    rig_begin(r);
    rig_requests(r, 3);
    rig_usage(r, &entry, 1000, 100);
}

static void expect_written(struct log_rig *r, const char *name, const char *words)
{
    rig_append(r, &entry);
    rig_flush(r);
    rig_close(r);
    expect_fault(name, words);
}

TEST(an_amount_that_is_not_quantity_times_price_is_found)
{
    struct log_rig r;
    open_usage(&r, "amount.db");
    entry.usage.buy.amount++;
    expect_written(&r, "amount.db", "entry 17: its cost is 0.003500000000001, but its quantities at its price line come to 0.0035");
    open_usage(&r, "amount.db");
    entry.usage.sell = (struct entry_charge){.amount = 1};
    expect_written(&r, "amount.db", "entry 17: its charge is 0.000000000000001");
    open_usage(&r, "amount.db");
    entry.usage.buy.unpriced = 1u << USAGE_SEARCH;
    expect_written(&r, "amount.db", "entry 17: what it says has no price for its cost");
}

TEST(what_nobody_defined_cannot_be_spoken_of)
{
    struct log_rig r;
    open_usage(&r, "unknown.db");
    entry.usage.tier = 13;
    expect_written(&r, "unknown.db", "entry 17: it speaks of a name or price line");
    open_usage(&r, "unknown.db");
    entry.usage.attempts_n = 1, entry.usage.attempts[0].model = 99;
    expect_written(&r, "unknown.db", "entry 17: it speaks of a name or price line");
    open_usage(&r, "unknown.db");
    entry = (struct entry){.kind = ENTRY_POSTING};
    entry.posting = (struct entry_posting){.booked_us = r.now_us, .key = SPAN("k"), .refers_to = 40};
    expect_written(&r, "unknown.db", "entry 17: it corrects entry 39, which is not before it");
}

TEST(a_request_that_is_booked_twice_is_found)
{
    struct log_rig r;
    open_usage(&r, "twice.db");
    entry.usage.counter = 2;
    expect_written(&r, "twice.db", "entry 17: request req_000000000700000002 is booked a second time");
    open_usage(&r, "twice.db");
    entry.usage.attempt = 1;
    rig_append(&r, &entry);
    expect_written(&r, "twice.db", "entry 18: attempt 1 of the request of entry 17 is booked a second time");
}

TEST(time_that_runs_backwards_is_found)
{
    struct log_rig r;
    open_usage(&r, "time.db");
    entry.usage.booked_us--;
    entry.usage.booked_us -= ROLLUP_US;
    expect_written(&r, "time.db", "entry 17: it was booked before the entry before it");
}

TEST(names_are_numbered_through_and_said_once)
{
    struct log_rig r;
    open_usage(&r, "names.db");
    entry = (struct entry){.kind = ENTRY_NAME, .number = 14, .text = SPAN("x")};
    expect_written(&r, "names.db", "entry 17: its number is 14, the next is 13");
    open_usage(&r, "names.db");
    projection_add_name(&r.names, SPAN("app"));
    rig_must(&r, store_put_name(r.store, 13, SPAN("app"), r.seq));
    entry = (struct entry){.kind = ENTRY_NAME, .number = 13, .text = SPAN("app")};
    expect_written(&r, "names.db", "entry 17: name 13 says what an earlier one says");
}

/* ---- compaction ---- */

static enum err keep_leaf(void *owner, uint64_t seq, struct span body)
{
    merkle_leaf(body, (struct hash *)owner + seq % STORE_TILE);
    return ERR_OK;
}

static enum err digest_row(void *owner, const struct rollup *r)
{
    rollup_digest_add(owner, r);
    return ERR_OK;
}

/* The first two tiles lose their usage; the rig's clock has begun another quarter there, so that no row reaches over the end. */
static void make_compacted(const char *name)
{
    static struct hash leaves[STORE_TILE];
    struct merkle digest = {.size = 0};
    struct hash root;
    struct log_rig r;
    unlink(in_directory(name));
    rig_open(&r, in_directory(name));
    rig_begin(&r);
    rig_requests(&r, 2 * STORE_TILE - 14);
    rig_checkpoint(&r);
    r.now_us = RIG_START_US + ROLLUP_US;
    rig_requests(&r, 300);
    rig_flush(&r);
    for (uint64_t tile = 0; tile < 2; tile++) {
        rig_must(&r, store_each_entry(r.store, tile * STORE_TILE, (tile + 1) * STORE_TILE, keep_leaf, leaves));
        rig_must(&r, store_put_tile_leaves(r.store, tile, span_of(leaves, sizeof leaves)));
    }
    rig_must(&r, store_each_rollup(r.store, RIG_START_US, RIG_START_US + ROLLUP_US, digest_row, &digest));
    merkle_root(&digest, &root);
    entry = (struct entry){.kind = ENTRY_SUMMARY};
    entry.summary = (struct entry_summary){.booked_us = r.now_us, .from_seq = 0, .until_seq = 2 * STORE_TILE, .usage_n = 2 * STORE_TILE - 14};
    memcpy(entry.summary.rollup_digest, root.bytes, sizeof root.bytes);
    rig_append(&r, &entry);
    rig_must(&r, store_delete_entries(r.store, 0, 2 * STORE_TILE, ENTRY_USAGE));
    rig_requests(&r, 20);
    rig_checkpoint(&r);
    rig_close(&r);
}

static const struct {
    const char *text, *words;
} compacted_tamperings[] = {
    {"UPDATE rollup SET input = input + 1 WHERE id = 1", "the rollup that it stands for was changed"},
    {"UPDATE rollup SET buy = buy + 1 WHERE id = 1", "the rollup that it stands for was changed"},
    {"DELETE FROM rollup WHERE id = 1", "it stands for 498 usage entries, but 498 are missing and the rollup speaks of 0"},
    {"DELETE FROM entry WHERE seq = 3", "it stands for 498 usage entries, but 499 are missing"},
    {"DELETE FROM entry WHERE seq = 600", "entry 600 is missing, and so is its hash"},
    {"UPDATE tile SET leaves = NULL WHERE n = 1", "entry 256 is missing, and so is its hash"},
    {"UPDATE tile SET leaves = zeroblob(8192) WHERE n = 0", "tile 0: its hash is not that of entries 0 to 255"},
};

TEST(compacted_books_are_as_sound_as_they_were)
{
    struct verify_report report;
    make_compacted("compact.db");
    expect_sound("compact.db", &report);
    EXPECT(report.usage == 320 && report.summaries == 1 && report.checkpoints == 2);
    for (unsigned i = 0; i < COUNT_OF(compacted_tamperings); i++) {
        copy_file("compact.db", "spoilt.db");
        spoil("spoilt.db", compacted_tamperings[i].text);
        expect_fault("spoilt.db", compacted_tamperings[i].words);
    }
}

/* ---- bits ---- */

/* Small pages, so that the file is small enough to try each byte of it. */
static void make_small(const char *name)
{
    struct sql *q;
    struct log_rig r;
    CHECK(sql_open(in_directory(name), SQL_CREATE, NULL, &q, why) == ERR_OK && sql_exec(q, "PRAGMA page_size = 512; VACUUM") == ERR_OK);
    sql_close(q);
    rig_open(&r, in_directory(name));
    rig_begin(&r);
    rig_requests(&r, 5);
    post(&r, "pay:1", 0);
    rig_flush(&r);
    rig_requests(&r, 2);
    rig_checkpoint(&r);
    rig_close(&r);
}

static enum err take_balance(void *owner, struct span account, struct span currency, money posted)
{
    char text[MONEY_TEXT_BYTES];
    return buf_printf(owner, "%.*s %.*s %.*s\n", SPAN_ARG(account), SPAN_ARG(currency), SPAN_ARG(money_format(text, posted, 0)));
}

/* What matters, when verify finds no fault; empty: it complained. */
static bool what_matters(const char *name, struct buf *ret)
{
    struct verify_report report;
    struct books *b;
    buf_clear(ret);
    told[0] = why[0] = '\0';
    if (books_open(in_directory(name), &b, why) != ERR_OK)
        return EXPECT(strlen(why) > 20);
    enum err e = books_verify(b, tell, NULL, NULL, &report);
    bool sound = !e && !report.faults;
    if (!sound)
        EXPECT(told[0] || strlen(books_why(b)) > 20);
    else
        CHECK(buf_append(ret, span_of(report.root, 32)) == ERR_OK && books_each_account(b, take_balance, ret) == ERR_OK);
    books_close(b);
    return true;
}

static void flip(int fd, off_t at, unsigned bit)
{
    unsigned char byte;
    CHECK(pread(fd, &byte, 1, at) == 1);
    byte = (unsigned char)(byte ^ 1u << bit);
    CHECK(pwrite(fd, &byte, 1, at) == 1);
}

TEST(no_flipped_bit_changes_the_books_unnoticed)
{
    struct buf sound, spoilt;
    struct stat status;
    unsigned noticed = 0;
    buf_init(&sound, 1 << 16);
    buf_init(&spoilt, 1 << 16);
    make_small("small.db");
    REQUIRE(what_matters("small.db", &sound) && buf_bytes(&sound) > 100);
    int fd = open(in_directory("small.db"), O_RDWR);
    CHECK(fd >= 0 && fstat(fd, &status) == 0);
    for (off_t at = 0; at < status.st_size; at += UNDER_ASAN ? 7 : 1) {
        unsigned bit = (unsigned)(at * 5 + at / 64) % 8;
        flip(fd, at, bit);
        EXPECT(what_matters("small.db", &spoilt));
        noticed += !buf_bytes(&spoilt);
        if (buf_bytes(&spoilt) && !EXPECT(span_eq(buf_span(&sound), buf_span(&spoilt))))
            printf("# byte %lld bit %u\n", (long long)at, bit);
        flip(fd, at, bit);
    }
    close(fd);
    printf("# %u flips noticed, the others changed nothing\n", noticed);
    EXPECT(what_matters("small.db", &spoilt) && span_eq(buf_span(&sound), buf_span(&spoilt)));
    buf_fini(&sound);
    buf_fini(&spoilt);
}

UNIT_MAIN
