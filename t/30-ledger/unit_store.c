/* SPDX-License-Identifier: Apache-2.0
 *
 * The store: what is put in comes out, what is not a ledger is left alone, and what the disk refuses is told apart from what the file is.
 */
#include "unit.h"
#include "unit_directory.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "ledger/store.h"
#include "ledger/store_schema.h"

static char why[512];

static struct store *open_store(const char *name, enum store_mode mode)
{
    struct store *s = NULL;
    why[0] = '\0';
    if (store_open(&(struct store_options){.path = in_directory(name), .mode = mode}, &s, why) != ERR_OK)
        printf("# %s\n", why);
    return s;
}

static struct store *fresh(const char *name)
{
    struct store *s = open_store(name, STORE_CREATE);
    CHECK(s && store_begin(s) == ERR_OK);
    return s;
}

static void run_sql(const char *name, const char *text)
{
    struct sql *q;
    CHECK(sql_open(in_directory(name), SQL_CREATE, NULL, &q, why) == ERR_OK && sql_exec(q, text) == ERR_OK);
    sql_close(q);
}

static void write_file(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(in_directory(name), "wb");
    CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

static void digest_file(const char *name, uint8_t out[SHA256_BYTES])
{
    static char bytes[1 << 20];
    FILE *f = fopen(in_directory(name), "rb");
    CHECK(f);
    digest_sha256(span_of(bytes, fread(bytes, 1, sizeof bytes, f)), out);
    fclose(f);
}

/* ---- whose file it is ---- */

static void expect_refused(const char *name, enum store_mode mode, enum err error, const char *words)
{
    struct store *s = NULL;
    enum err e = store_open(&(struct store_options){.path = in_directory(name), .mode = mode}, &s, why);
    if (!EXPECT(e == error && strstr(why, words)))
        printf("# %s in mode %d: %s: %s\n", name, (int)mode, err_name(e), why);
    store_close(s);
}

static void expect_left_alone(const char *name, const char *words)
{
    uint8_t before[SHA256_BYTES], after[SHA256_BYTES];
    digest_file(name, before);
    for (enum store_mode mode = STORE_READ; mode <= STORE_CREATE; mode++)
        expect_refused(name, mode, ERR_SYNTAX, words);
    digest_file(name, after);
    EXPECT(memcmp(before, after, sizeof before) == 0);
}

TEST(a_file_that_is_no_ledger_is_named_and_left_alone)
{
    static char letters[20000];
    memset(letters, 'x', sizeof letters);
    write_file("letter", "Dear Sir", 8);
    write_file("long letter", letters, sizeof letters);
    run_sql("other.db", "CREATE TABLE recipe(name TEXT)");
    run_sql("numbered.db", "PRAGMA user_version = 1; CREATE TABLE recipe(name TEXT)");
    expect_left_alone("letter", "no SQLite database");
    expect_left_alone("long letter", "no SQLite database");
    expect_left_alone("other.db", "another program's");
    expect_left_alone("numbered.db", "another program's");
}

TEST(a_ledger_that_is_not_there_is_not_made_by_looking)
{
    expect_refused("nothing.db", STORE_READ, ERR_NOT_FOUND, "no such file");
    expect_refused("nothing.db", STORE_WRITE, ERR_NOT_FOUND, "no such file");
    EXPECT(access(in_directory("nothing.db"), F_OK) != 0);
    expect_refused("no/folder.db", STORE_CREATE, ERR_DISK, "cannot be opened");
}

TEST(a_ledger_of_a_newer_version_is_left_to_that_version)
{
    store_close(open_store("newer.db", STORE_CREATE));
    run_sql("newer.db", "PRAGMA user_version = 9");
    expect_left_alone("newer.db", "newer entente: schema 9, this one knows 1; use that version");
}

TEST(half_a_copy_of_a_ledger_is_refused)
{
    static char bytes[1 << 20];
    struct store *s = fresh("whole.db");
    for (unsigned i = 0; i < 2000; i++)
        CHECK(store_append(s, i, SPAN("some bytes that take room in the file, as an entry would")) == ERR_OK);
    CHECK(store_commit(s) == ERR_OK);
    store_close(s);
    FILE *f = fopen(in_directory("whole.db"), "rb");
    CHECK(f);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    write_file("half.db", bytes, n / 2);
    s = NULL;
    enum err e = store_open(&(struct store_options){.path = in_directory("half.db"), .mode = STORE_READ}, &s, why);
    if (!e) {
        e = store_check(s, why);
        store_close(s);
    }
    EXPECT(e == ERR_SYNTAX && why[0]);
}

/* ---- rows ---- */

struct rows {
    unsigned n;
    uint64_t at;
    char text[256];
    money amount;
    struct rollup rollup;
};

static enum err take_entry(void *owner, uint64_t seq, struct span body)
{
    struct rows *r = owner;
    r->n++;
    r->at = seq;
    snprintf(r->text + strlen(r->text), sizeof r->text - strlen(r->text), "%llu:%.*s ", (unsigned long long)seq, SPAN_ARG(body));
    return ERR_OK;
}

TEST(entries_come_back_in_order_and_cannot_be_written_over)
{
    struct rows r = {0};
    struct buf one;
    uint64_t size;
    buf_init(&one, 100);
    struct store *s = fresh("entries.db");
    EXPECT(store_log_size(s, &size) == ERR_OK && size == 0);
    static const char *const words[] = {"zero", "one", "two", "three"};
    for (unsigned i = 0; i < 4; i++)
        EXPECT(store_append(s, i, span_str(words[i])) == ERR_OK);
    EXPECT(store_append(s, 2, SPAN("again")) == ERR_EXISTS);
    EXPECT(strstr(store_why(s), "there already") != NULL);
    EXPECT(store_commit(s) == ERR_OK);
    EXPECT(store_each_entry(s, 1, 3, take_entry, &r) == ERR_OK);
    EXPECT_STR(r.text, "1:one 2:two ");
    EXPECT(store_entry(s, 3, &one) == ERR_OK);
    EXPECT_SPAN(buf_span(&one), "three");
    EXPECT(store_entry(s, 4, &one) == ERR_NOT_FOUND);
    EXPECT(store_log_size(s, &size) == ERR_OK && size == 4);
    store_close(s);
    buf_fini(&one);
}

TEST(what_was_not_committed_is_gone)
{
    uint64_t size;
    struct store *s = fresh("rollback.db");
    EXPECT(store_append(s, 0, SPAN("a")) == ERR_OK);
    store_rollback(s);
    EXPECT(store_log_size(s, &size) == ERR_OK && size == 0);
    EXPECT(store_begin(s) == ERR_OK && store_append(s, 0, SPAN("b")) == ERR_OK);
    store_close(s); /* in the middle of a transaction */
    s = open_store("rollback.db", STORE_WRITE);
    EXPECT(store_log_size(s, &size) == ERR_OK && size == 0);
    store_close(s);
}

static enum err scan_inside(void *owner, uint64_t seq, struct span body)
{
    struct rows inner = {0};
    struct rows *r = owner;
    (void)seq;
    (void)body;
    enum err e = store_each_entry(*(struct store **)(void *)r->text, 0, 10, take_entry, &inner);
    r->n += inner.n;
    return e;
}

TEST(a_scan_inside_a_scan_sees_everything)
{
    struct rows r = {0};
    struct store *s = fresh("nested.db");
    for (unsigned i = 0; i < 10; i++)
        CHECK(store_append(s, i, SPAN("x")) == ERR_OK);
    memcpy(r.text, &s, sizeof s);
    EXPECT(store_each_entry(s, 0, 10, scan_inside, &r) == ERR_OK);
    EXPECT_EQ(r.n, 100);
    store_close(s);
}

static enum err stop_at_once(void *owner, uint64_t seq, struct span body)
{
    (void)seq;
    (void)body;
    ++*(unsigned *)owner;
    return ERR_AGAIN;
}

TEST(a_scan_ends_with_the_error_of_its_reader)
{
    unsigned calls = 0;
    struct store *s = fresh("ends.db");
    for (unsigned i = 0; i < 3; i++)
        CHECK(store_append(s, i, SPAN("x")) == ERR_OK);
    EXPECT_EQ(store_each_entry(s, 0, 3, stop_at_once, &calls), ERR_AGAIN);
    EXPECT_EQ(store_each_entry(s, 0, 3, stop_at_once, &calls), ERR_AGAIN);
    EXPECT_EQ(calls, 2);
    EXPECT_EQ(store_commit(s), ERR_OK); /* nothing is left under way */
    store_close(s);
}

static enum err take_account(void *owner, uint32_t account, uint32_t currency, money posted)
{
    struct rows *r = owner;
    r->n += account * 10 + currency;
    r->amount = posted;
    return ERR_OK;
}

TEST(amounts_of_127_bits_come_back_to_the_last_unit)
{
    const money amounts[] = {0, 1, -1, INT64_MAX, (money)INT64_MAX + 1, INT64_MIN, (money)INT64_MIN - 1, MONEY_MAX, -MONEY_MAX};
    struct store *s = fresh("amounts.db");
    for (unsigned i = 0; i < COUNT_OF(amounts); i++) {
        struct rows r = {0};
        EXPECT(store_put_account(s, 4, 2, amounts[i]) == ERR_OK);
        EXPECT(store_each_account(s, take_account, &r) == ERR_OK);
        EXPECT(r.n == 42 && r.amount == amounts[i]);
    }
    store_close(s);
    run_sql("amounts.db", "INSERT INTO account VALUES(1, 1, 'twelve')");
    s = open_store("amounts.db", STORE_READ);
    struct rows r = {0};
    EXPECT_EQ(store_each_account(s, take_account, &r), ERR_SYNTAX);
    EXPECT(strstr(store_why(s), "amount") != NULL);
    store_close(s);
}

/* Each field another number, so that two that change places are seen. */
static void fill_rollup(struct rollup *r, uint32_t n)
{
    memset(r, 0, sizeof *r);
    r->bucket_us = ROLLUP_US * n;
    uint32_t *const facts[] = {&r->key, &r->department, &r->party, &r->provider, &r->model, &r->model_asked, &r->tier, &r->buy_price, &r->sell_price,
                               &r->buy_unpriced, &r->sell_unpriced};
    for (unsigned i = 0; i < COUNT_OF(facts); i++)
        *facts[i] = n++;
    r->source = 1, r->outcome = 2;
    r->requests = n++, r->entries = n++;
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        r->count[c] = n++;
    r->buy = MONEY_MAX - n++, r->sell = n++, r->provider_cost = n++, r->provider_cost_n = n++;
    r->first_seq = n++, r->last_seq = n++;
}

static enum err take_rollup(void *owner, const struct rollup *r)
{
    struct rows *rows = owner;
    rows->n++;
    rows->rollup = *r;
    return ERR_OK;
}

TEST(a_rollup_row_comes_back_with_every_column_in_its_place)
{
    struct rollup r;
    struct rows rows = {0};
    struct store *s = fresh("rollup.db");
    fill_rollup(&r, 100);
    EXPECT(store_put_rollup(s, &r) == ERR_OK && r.id > 0);
    EXPECT(store_each_rollup(s, r.bucket_us, r.bucket_us + 1, take_rollup, &rows) == ERR_OK);
    EXPECT(rows.n == 1 && memcmp(&rows.rollup, &r, sizeof r) == 0);
    r.count[USAGE_PIXEL]++, r.sell = -7, r.last_seq++;
    EXPECT(store_put_rollup(s, &r) == ERR_OK);
    EXPECT(store_each_rollup(s, INT64_MIN, INT64_MAX, take_rollup, &rows) == ERR_OK);
    EXPECT(rows.n == 2 && memcmp(&rows.rollup, &r, sizeof r) == 0);
    EXPECT(store_each_rollup(s, r.bucket_us + 1, INT64_MAX, take_rollup, &rows) == ERR_OK && rows.n == 2);
    store_close(s);
}

static enum err take_text(void *owner, uint32_t id, struct span text, uint64_t seq)
{
    struct rows *r = owner;
    snprintf(r->text + strlen(r->text), sizeof r->text - strlen(r->text), "%u=%.*s@%llu ", id, SPAN_ARG(text), (unsigned long long)seq);
    return ERR_OK;
}
static enum err take_pair(void *owner, uint64_t a, uint64_t b)
{
    struct rows *r = owner;
    snprintf(r->text + strlen(r->text), sizeof r->text - strlen(r->text), "%llu-%llu ", (unsigned long long)a, (unsigned long long)b);
    return ERR_OK;
}
static enum err take_holds(void *owner, uint64_t batch, uint64_t seq, struct span body)
{
    (void)body;
    return take_pair(owner, batch, seq);
}
static enum err take_checkpoint(void *owner, uint64_t size, int64_t at_us, struct span note)
{
    return take_text(owner, (uint32_t)size, note, (uint64_t)at_us);
}
static enum err take_key(void *owner, struct span key, uint64_t seq) { return take_text(owner, 0, key, seq); }

TEST(the_small_tables_keep_what_they_are_given)
{
    struct rows r = {0};
    struct buf value;
    uint64_t seq;
    buf_init(&value, 100);
    struct store *s = fresh("small.db");
    EXPECT(store_put_name(s, 1, SPAN("a"), 0) == ERR_OK && store_put_name(s, 2, SPAN("b"), 5) == ERR_OK && store_put_price(s, 1, SPAN("p"), 6) == ERR_OK);
    EXPECT(store_put_name(s, 2, SPAN("c"), 7) == ERR_EXISTS);
    EXPECT(store_each_name(s, take_text, &r) == ERR_OK && store_each_price(s, take_text, &r) == ERR_OK);
    EXPECT(store_put_issuer(s, 9, 1) == ERR_OK && store_put_issuer(s, 9, 3) == ERR_OK && store_each_issuer(s, take_pair, &r) == ERR_OK);
    EXPECT(store_put_posting_key(s, SPAN("k"), 4) == ERR_OK && store_put_posting_key(s, SPAN("k"), 5) == ERR_EXISTS);
    EXPECT(store_posting_key(s, SPAN("k"), &seq) == ERR_OK && seq == 4 && store_posting_key(s, SPAN("l"), &seq) == ERR_NOT_FOUND);
    EXPECT(store_each_posting_key(s, take_key, &r) == ERR_OK);
    EXPECT(store_put_holds(s, 1, 0, SPAN("x")) == ERR_OK && store_put_holds(s, 2, 8, SPAN("y")) == ERR_OK && store_delete_holds(s, 2) == ERR_OK);
    EXPECT(store_each_holds(s, take_holds, &r) == ERR_OK);
    EXPECT(store_put_checkpoint(s, 3, 77, SPAN("note")) == ERR_OK && store_put_checkpoint(s, 3, 78, SPAN("later")) == ERR_OK);
    EXPECT(store_each_checkpoint(s, take_checkpoint, &r) == ERR_OK);
    EXPECT_STR(r.text, "1=a@0 2=b@5 1=p@6 9-3 0=k@4 2-8 3=later@78 ");
    EXPECT(store_meta(s, "colour", &value) == ERR_NOT_FOUND);
    EXPECT(store_put_meta(s, "colour", SPAN("red")) == ERR_OK && store_put_meta(s, "colour", SPAN("blue")) == ERR_OK);
    EXPECT(store_meta(s, "colour", &value) == ERR_OK);
    EXPECT_SPAN(buf_span(&value), "blue");
    store_close(s);
    buf_fini(&value);
}

TEST(a_tile_keeps_its_root_and_later_its_leaves)
{
    static char leaves[32 * STORE_TILE];
    uint8_t root[32] = {1, 2, 3}, again[32];
    struct buf kept;
    memset(leaves, 'l', sizeof leaves);
    buf_init(&kept, sizeof leaves);
    struct store *s = fresh("tiles.db");
    EXPECT(store_put_tile(s, 3, root) == ERR_OK && store_tile(s, 3, again, &kept) == ERR_OK);
    EXPECT(memcmp(root, again, 32) == 0 && buf_bytes(&kept) == 0);
    EXPECT(store_put_tile_leaves(s, 3, span_of(leaves, sizeof leaves)) == ERR_OK && store_tile(s, 3, again, &kept) == ERR_OK);
    EXPECT(span_eq(buf_span(&kept), span_of(leaves, sizeof leaves)));
    EXPECT(store_tile(s, 2, again, NULL) == ERR_NOT_FOUND);
    EXPECT(store_put_tile_leaves(s, 3, SPAN("short")) == ERR_OK && store_tile(s, 3, again, &kept) == ERR_SYNTAX && store_why(s)[0]);
    store_close(s);
    buf_fini(&kept);
}

/* ---- time ---- */

static void append_at(struct store *s, uint64_t seq, int64_t booked_us) /* 0: a name */
{
    static struct entry e;
    struct buf body;
    buf_init(&body, ENTRY_BODY_BYTES_MAX);
    if (booked_us) {
        e = (struct entry){.kind = ENTRY_POSTING};
        e.posting = (struct entry_posting){.booked_us = booked_us, .key = SPAN("k")};
    } else {
        e = (struct entry){.kind = ENTRY_NAME, .number = 1, .text = SPAN("n")};
    }
    CHECK(entry_encode(&e, &body) == ERR_OK && store_append(s, seq, buf_span(&body)) == ERR_OK);
    buf_fini(&body);
}

TEST(a_period_is_found_among_names_and_gaps)
{
    static const struct {
        uint64_t seq;
        int64_t booked_us;
    } log[] = {{0, 0}, {1, 10}, {2, 10}, {3, 0}, {4, 20}, {9, 30}, {10, 0}, {11, 0}, {12, 40}, {13, 0}};
    static const struct {
        int64_t at_us;
        uint64_t seq;
    } rows[] = {{1, 0}, {10, 0}, {11, 3}, {20, 3}, {21, 5}, {30, 5}, {31, 10}, {40, 10}, {41, 13}, {INT64_MAX, 13}, {INT64_MIN, 0}};
    uint64_t seq = 99;
    struct store *s = fresh("times.db");
    EXPECT(store_seq_at(s, 5, &seq) == ERR_OK && seq == 0);
    for (unsigned i = 0; i < COUNT_OF(log); i++)
        append_at(s, log[i].seq, log[i].booked_us);
    for (unsigned i = 0; i < COUNT_OF(rows); i++) {
        EXPECT(store_seq_at(s, rows[i].at_us, &seq) == ERR_OK);
        EXPECT_EQ(seq, rows[i].seq);
    }
    EXPECT(store_append(s, 14, SPAN("no entry")) == ERR_OK && store_seq_at(s, 41, &seq) == ERR_SYNTAX && store_why(s)[0]);
    store_close(s);
}

TEST(compaction_takes_entries_of_one_kind_only)
{
    struct rows r = {0};
    struct store *s = fresh("kinds.db");
    append_at(s, 0, 0);
    append_at(s, 1, 10);
    append_at(s, 2, 0);
    EXPECT(store_delete_entries(s, 0, 3, ENTRY_NAME) == ERR_OK);
    EXPECT(store_each_entry(s, 0, 3, take_entry, &r) == ERR_OK && r.n == 1 && r.at == 1);
    store_close(s);
}

/* ---- others ---- */

TEST(what_another_process_wrote_is_noticed_once)
{
    struct store *a = open_store("shared.db", STORE_CREATE), *b = open_store("shared.db", STORE_WRITE);
    CHECK(store_begin(a) == ERR_OK);
    (void)store_changed_by_others(a);
    EXPECT(!store_changed_by_others(a));
    CHECK(store_append(a, 0, SPAN("x")) == ERR_OK && store_commit(a) == ERR_OK);
    EXPECT(!store_changed_by_others(a)); /* its own */
    CHECK(store_begin(b) == ERR_OK && store_append(b, 1, SPAN("y")) == ERR_OK && store_commit(b) == ERR_OK);
    CHECK(store_begin(a) == ERR_OK);
    EXPECT(store_changed_by_others(a));
    EXPECT(!store_changed_by_others(a));
    store_close(a);
    store_close(b);
}

TEST(a_locked_ledger_is_the_disks_trouble_and_says_so)
{
    struct store *a = fresh("locked.db"), *b = open_store("locked.db", STORE_WRITE);
    store_set_patience(b, 1);
    EXPECT_EQ(store_begin(b), ERR_DISK);
    EXPECT(strstr(store_why(b), "another program") != NULL);
    store_rollback(a);
    EXPECT_EQ(store_begin(b), ERR_OK);
    store_close(a);
    store_close(b);
}

TEST(a_reader_sees_one_state_while_others_write)
{
    uint64_t size;
    struct store *a = fresh("snapshot.db");
    CHECK(store_append(a, 0, SPAN("x")) == ERR_OK && store_commit(a) == ERR_OK);
    struct store *b = open_store("snapshot.db", STORE_READ);
    CHECK(store_snapshot(b) == ERR_OK);
    CHECK(store_begin(a) == ERR_OK && store_append(a, 1, SPAN("y")) == ERR_OK && store_commit(a) == ERR_OK);
    EXPECT(store_log_size(b, &size) == ERR_OK && size == 1);
    store_rollback(b);
    EXPECT(store_log_size(b, &size) == ERR_OK && size == 2);
    EXPECT_EQ(store_append(b, 2, SPAN("z")), ERR_DISK); /* it is a reader */
    store_close(a);
    store_close(b);
}

/* A limit on the size of files is what a full disk looks like to a program. */
TEST(a_full_disk_loses_nothing_and_says_so)
{
    struct rlimit before, small;
    uint64_t size;
    enum err e = ERR_OK;
    struct store *s = fresh("full.db");
    CHECK(store_append(s, 0, SPAN("x")) == ERR_OK && store_commit(s) == ERR_OK);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    small = (struct rlimit){256 * 1024, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0 && store_begin(s) == ERR_OK);
    static char body[8000];
    memset(body, 'b', sizeof body);
    for (unsigned i = 1; !e && i < 1000; i++)
        e = store_append(s, i, span_of(body, sizeof body));
    if (!e)
        e = store_commit(s);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    EXPECT_EQ(e, ERR_DISK);
    EXPECT(strstr(store_why(s), "disk") != NULL);
    store_close(s);
    s = open_store("full.db", STORE_WRITE);
    EXPECT(store_log_size(s, &size) == ERR_OK && size == 1);
    EXPECT(store_check(s, why) == ERR_OK);
    store_close(s);
}

/* As somebody who may read, and write nothing: who runs tests as root becomes nobody for a moment. */
static void become(uid_t user)
{
    if (getuid() == 0)
        CHECK(seteuid(user) == 0);
}

TEST(a_read_only_ledger_is_read_and_not_written)
{
    uint64_t size = 0;
    struct store *s = fresh("still#1 100%.db");
    CHECK(store_append(s, 0, SPAN("x")) == ERR_OK && store_commit(s) == ERR_OK);
    store_close(s);
    CHECK(chmod(in_directory("still#1 100%.db"), 0444) == 0 && chmod(unit_directory(), 0555) == 0);
    become(65534);
    s = open_store("still#1 100%.db", STORE_READ);
    EXPECT(s && store_snapshot(s) == ERR_OK && store_log_size(s, &size) == ERR_OK && size == 1);
    store_close(s);
    expect_refused("still#1 100%.db", STORE_WRITE, ERR_DISK, "read-only");
    become(0);
    CHECK(chmod(unit_directory(), 0700) == 0);
}

/* ---- versions ---- */

static struct sql *open_sql(const char *name)
{
    struct sql *q;
    CHECK(sql_open(in_directory(name), SQL_CREATE, NULL, &q, why) == ERR_OK);
    return q;
}

static const struct store_step three_steps[] = {
    {1, "CREATE TABLE coin(value INTEGER); INSERT INTO coin VALUES(5)"},
    {2, "ALTER TABLE coin ADD COLUMN metal TEXT"},
    {3, "UPDATE coin SET metal = 'tin'; INSERT INTO coin VALUES(7, 'lead')"},
};

TEST(an_older_ledger_is_brought_up_to_date_step_by_step)
{
    unsigned version;
    int64_t n;
    struct sql *q = open_sql("steps.db");
    EXPECT(store_migrate(q, three_steps, 1) == ERR_OK && store_read_version(q, &version) == ERR_OK && version == 1);
    EXPECT(store_migrate(q, three_steps, 3) == ERR_OK && store_read_version(q, &version) == ERR_OK && version == 3);
    EXPECT(sql_read_i64(q, "SELECT sum(value) FROM coin WHERE metal IS NOT NULL", &n) == ERR_OK && n == 12);
    EXPECT(store_migrate(q, three_steps, 3) == ERR_OK); /* and not a second time */
    EXPECT(sql_read_i64(q, "SELECT count(*) FROM coin", &n) == ERR_OK && n == 2);
    EXPECT(store_migrate(q, three_steps, 2) == ERR_SYNTAX && strstr(sql_why(q), "schema 3, this one knows 2") != NULL);
    sql_close(q);
}

TEST(a_step_that_fails_leaves_the_older_ledger_as_it_was)
{
    static const struct store_step broken[] = {
        {1, "CREATE TABLE coin(value INTEGER)"}, {2, "INSERT INTO coin VALUES(1)"}, {3, "INSERT INTO coin VALUES(2); INSERT INTO purse VALUES(1)"}};
    unsigned version;
    int64_t n = 9;
    struct sql *q = open_sql("broken.db");
    CHECK(store_migrate(q, broken, 1) == ERR_OK);
    EXPECT(store_migrate(q, broken, 3) == ERR_SYNTAX && strstr(sql_why(q), "purse") != NULL);
    EXPECT(store_read_version(q, &version) == ERR_OK && version == 1);
    EXPECT(sql_read_i64(q, "SELECT count(*) FROM coin", &n) == ERR_OK && n == 0);
    sql_close(q);
}

TEST(the_last_step_makes_the_version_that_this_program_writes) { EXPECT_EQ(store_steps[store_steps_n - 1].to, STORE_SCHEMA); }

/* ---- whole files ---- */

static void count_calls(void *owner, int done, int total)
{
    EXPECT(done <= total);
    ++*(unsigned *)owner;
}

TEST(a_backup_is_whole_and_never_over_another_file)
{
    struct rows r = {0};
    unsigned calls = 0;
    uint64_t size;
    struct store *s = fresh("source.db"), *copy;
    for (unsigned i = 0; i < 30000; i++)
        CHECK(store_append(s, i, SPAN("some bytes that take room in the file, as an entry would do, and more of them, so that it has many pages")) == ERR_OK);
    CHECK(store_commit(s) == ERR_OK);
    EXPECT_EQ(store_backup(s, in_directory("copy.db"), count_calls, &calls), ERR_OK);
    EXPECT(calls > 0);
    EXPECT(access(in_directory("copy.db.part"), F_OK) != 0);
    EXPECT(store_begin(s) == ERR_OK && store_append(s, 30000, SPAN("later")) == ERR_OK && store_commit(s) == ERR_OK);
    copy = open_store("copy.db", STORE_READ);
    EXPECT(copy && store_check(copy, why) == ERR_OK && store_log_size(copy, &size) == ERR_OK && size == 30000);
    EXPECT(store_each_entry(copy, 29999, 40000, take_entry, &r) == ERR_OK && r.n == 1);
    store_close(copy);
    EXPECT_EQ(store_backup(s, in_directory("copy.db"), NULL, NULL), ERR_EXISTS);
    EXPECT(strstr(store_why(s), "exists already") != NULL);
    EXPECT_EQ(store_backup(s, in_directory("no/where.db"), NULL, NULL), ERR_DISK);
    store_close(s);
}

TEST(room_that_compaction_frees_is_given_back)
{
    struct stat before, after;
    struct store *s = fresh("vacuum.db");
    for (unsigned i = 0; i < 20000; i++)
        CHECK(store_append(s, i, SPAN("\3some bytes that take room in the file, as an entry would do, and more of them, so that it has pages")) == ERR_OK);
    CHECK(store_commit(s) == ERR_OK && store_vacuum(s) == ERR_OK && stat(in_directory("vacuum.db"), &before) == 0);
    CHECK(store_begin(s) == ERR_OK && store_delete_entries(s, 0, 19999, ENTRY_USAGE) == ERR_OK && store_commit(s) == ERR_OK);
    EXPECT(store_vacuum(s) == ERR_OK && stat(in_directory("vacuum.db"), &after) == 0);
    EXPECT(after.st_size < before.st_size / 10);
    store_close(s);
}

UNIT_MAIN
