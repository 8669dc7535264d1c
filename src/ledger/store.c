/* SPDX-License-Identifier: Apache-2.0
 *
 * The store: rows in and out of one SQLite file. Each statement is prepared when it is first needed and kept. A scan whose statement is under way
 * already (a scan inside a scan) gets a statement of its own.
 */
#include "ledger/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/disk.h"
#include "ledger/store_schema.h"

enum statement {
#define STATEMENT(NAME, text) NAME,
#include "ledger/store_statements.def"
#undef STATEMENT
    STATEMENTS
};

static const char *const statement_texts[STATEMENTS] = {
#define STATEMENT(NAME, text) [NAME] = text,
#include "ledger/store_statements.def"
#undef STATEMENT
};

struct store {
    struct sql *sql;
    char *path;
    int64_t data_version; /* 0: not asked yet */
    struct sql_statement *statements[STATEMENTS];
};

#define VALUES(...) (const struct sql_value[]){__VA_ARGS__}, COUNT_OF(((const struct sql_value[]){__VA_ARGS__}))
#define RUN(s, which, ...) run(s, which, VALUES(__VA_ARGS__))

/* ---- opening ---- */

/* What every connection is told. A damaged cell is to be seen where it is read. */
static const char pragmas[] = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;";

/* What a writer's connection is told, before the tables are made: the journal's mode is in the file. Extra, and before the mode is changed: a commit is on
 * the disk when it returns, and so is the end of the rollback journal by which the mode is changed. A power cut that brings it back would undo all. */
static const char writer_pragmas[] = "PRAGMA synchronous = EXTRA; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 4000; "
                                     "PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -128;";

static enum err complain(struct store *s, enum err e, const char *sentence)
{
    sql_set_why(s->sql, sentence);
    return e;
}

static enum err prepare_to_read(struct store *s)
{
    unsigned version;
    enum err e = store_read_version(s->sql, &version);
    if (e || version == STORE_SCHEMA)
        return e;
    if (version == 0)
        return complain(s, ERR_SYNTAX, "this is an empty file and not an entente ledger: name the ledger's file");
    if (version < STORE_SCHEMA)
        return complain(s, ERR_SYNTAX, "it was written by an older entente: start `entente serve` with it once, which brings it up to date");
    return store_migrate(s->sql, store_steps, store_steps_n); /* has the sentence for a newer one */
}

static enum err prepare_to_write(struct store *s, enum store_mode mode)
{
    unsigned version;
    enum err e = store_read_version(s->sql, &version);
    if (!e && version == 0 && mode != STORE_CREATE)
        return complain(s, ERR_SYNTAX, "this is an empty file and not an entente ledger: name the ledger's file");
    if (!e && version <= STORE_SCHEMA)
        e = sql_exec(s->sql, writer_pragmas);
    return e ? e : store_migrate(s->sql, store_steps, store_steps_n);
}

static enum err prepare(struct store *s, const struct store_options *o)
{
    enum err e = sql_exec(s->sql, pragmas);
    if (!e && o->vfs)
        e = sql_exec(s->sql, "PRAGMA locking_mode = EXCLUSIVE"); /* no shared memory there */
    if (e)
        return e;
    return o->mode == STORE_READ ? prepare_to_read(s) : prepare_to_write(s, o->mode);
}

enum err store_open(const struct store_options *o, struct store **ret, char why[512])
{
    static const enum sql_mode modes[] = {[STORE_READ] = SQL_READ, [STORE_WRITE] = SQL_WRITE, [STORE_CREATE] = SQL_CREATE};
    struct store *s = calloc(1, sizeof *s);
    if (!s || !(s->path = strdup(o->path))) {
        store_close(s);
        snprintf(why, 512, "%s: %s", o->path, err_sentence(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    enum err e = sql_open(o->path, modes[o->mode], o->vfs, &s->sql, why);
    if (!e && (e = prepare(s, o)) != ERR_OK)
        snprintf(why, 512, "%s", sql_why(s->sql));
    if (e)
        store_close(s);
    else
        *ret = s;
    return e;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < STATEMENTS; i++)
        sql_finalize(s->statements[i]);
    sql_close(s->sql);
    free(s->path);
    free(s);
}

void store_set_patience(struct store *s, unsigned ms) { sql_set_patience(s->sql, ms); }
const char *store_why(const struct store *s) { return sql_why(s->sql); }
void store_complain(struct store *s, const char *sentence) { sql_set_why(s->sql, sentence); }

/* ---- statements ---- */

static enum err statement(struct store *s, enum statement which, struct sql_statement **ret)
{
    enum err e = s->statements[which] ? ERR_OK : sql_prepare(s->sql, statement_texts[which], &s->statements[which]);
    if (!e)
        *ret = s->statements[which];
    return e;
}

static enum err run(struct store *s, enum statement which, const struct sql_value *values, unsigned n)
{
    struct sql_statement *t;
    enum err e = statement(s, which, &t);
    return e ? e : sql_run(t, values, n);
}

typedef enum err row_fn(void *owner, struct sql_statement *row);

static enum err scan_with(struct sql_statement *t, const struct sql_value *values, unsigned n, row_fn *fn, void *owner)
{
    bool row = false;
    enum err e = sql_bind(t, values, n);
    if (e)
        return e;
    while ((e = sql_step(t, &row)) == ERR_OK && row)
        if ((e = fn(owner, t)) != ERR_OK)
            break;
    if (row)
        sql_reset(t);
    return e;
}

static enum err scan(struct store *s, enum statement which, const struct sql_value *values, unsigned n, row_fn *fn, void *owner)
{
    struct sql_statement *t;
    enum err e = statement(s, which, &t);
    if (e)
        return e;
    if (!sql_is_busy(t))
        return scan_with(t, values, n, fn, owner);
    e = sql_prepare(s->sql, statement_texts[which], &t);
    if (e)
        return e;
    e = scan_with(t, values, n, fn, owner);
    sql_finalize(t);
    return e;
}

/* One row at most: ERR_NOT_FOUND without. */
struct one {
    row_fn *fn;
    void *owner;
    bool found;
};

static enum err take_one(void *owner, struct sql_statement *row)
{
    struct one *o = owner;
    o->found = true;
    return o->fn(o->owner, row);
}

static enum err find(struct store *s, enum statement which, const struct sql_value *values, unsigned n, row_fn *fn, void *owner)
{
    struct one o = {.fn = fn, .owner = owner};
    enum err e = scan(s, which, values, n, take_one, &o);
    return e ? e : o.found ? ERR_OK : ERR_NOT_FOUND;
}

static enum err take_number(void *owner, struct sql_statement *row)
{
    *(uint64_t *)owner = (uint64_t)sql_column_i64(row, 0);
    return ERR_OK;
}

static enum err take_bytes(void *owner, struct sql_statement *row)
{
    buf_clear(owner);
    return buf_append(owner, sql_column_bytes(row, 0));
}

/* ---- transactions ---- */

enum err store_begin(struct store *s) { return run(s, BEGIN_WRITE, NULL, 0); }
enum err store_commit(struct store *s) { return run(s, COMMIT, NULL, 0); }
void store_rollback(struct store *s) { sql_rollback(s->sql); }

bool store_changed_by_others(struct store *s)
{
    uint64_t version = 0;
    enum err e = find(s, DATA_VERSION, NULL, 0, take_number, &version);
    bool changed = e || (int64_t)version != s->data_version;
    s->data_version = (int64_t)version;
    return changed;
}

enum err store_snapshot(struct store *s)
{
    uint64_t size;
    enum err e = run(s, BEGIN_READ, NULL, 0);
    return e ? e : store_log_size(s, &size); /* the first read takes the snapshot */
}

/* ---- the log ---- */

enum err store_log_size(struct store *s, uint64_t *ret) { return find(s, LOG_SIZE, NULL, 0, take_number, ret); }

enum err store_append(struct store *s, uint64_t seq, struct span body) { return RUN(s, ENTRY_PUT, sql_integer((int64_t)seq), sql_blob(body)); }

struct entry_scan {
    store_entry_fn *fn;
    void *owner;
};

static enum err take_entry(void *owner, struct sql_statement *row)
{
    struct entry_scan *scan = owner;
    return scan->fn(scan->owner, (uint64_t)sql_column_i64(row, 0), sql_column_bytes(row, 1));
}

static int64_t clamp(uint64_t seq) { return seq > INT64_MAX ? INT64_MAX : (int64_t)seq; }

enum err store_each_entry(struct store *s, uint64_t from, uint64_t until, store_entry_fn *fn, void *owner)
{
    struct entry_scan each = {fn, owner};
    return scan(s, ENTRY_EACH, VALUES(sql_integer(clamp(from)), sql_integer(clamp(until))), take_entry, &each);
}

enum err store_entry(struct store *s, uint64_t seq, struct buf *out)
{
    return find(s, ENTRY_GET, VALUES(sql_integer(clamp(seq))), take_bytes, out);
}

/* The booked time of the first entry from some seq on that has one, and where that is. */
struct timed {
    int64_t booked_us;
    uint64_t seq;
    bool found;
};

static enum err take_timed(void *owner, uint64_t seq, struct span body)
{
    struct timed *t = owner;
    struct entry entry;
    enum err e = entry_decode(body, &entry);
    if (e || entry.kind == ENTRY_NAME || entry.kind == ENTRY_PRICE)
        return e;
    *t = (struct timed){.booked_us = entry_booked_us(&entry), .seq = seq, .found = true};
    return ERR_AGAIN; /* that is enough */
}

static enum err first_timed(struct store *s, uint64_t from, struct timed *ret)
{
    *ret = (struct timed){.found = false};
    enum err e = store_each_entry(s, from, UINT64_MAX, take_timed, ret);
    return e == ERR_AGAIN ? ERR_OK : e;
}

enum err store_seq_at(struct store *s, int64_t booked_us, uint64_t *ret)
{
    uint64_t low = 0, high; /* what is before low was booked earlier, what is from high on was not */
    enum err e = store_log_size(s, &high);
    while (!e && low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct timed t;
        e = first_timed(s, middle, &t);
        if (!e && t.found && t.booked_us < booked_us)
            low = t.seq + 1;
        else
            high = middle;
    }
    if (!e)
        *ret = low;
    else if (e == ERR_SYNTAX)
        sql_set_why(s->sql, "an entry in it is none: it is damaged: restore it from a backup");
    return e;
}

enum err store_put_tile(struct store *s, uint64_t n, const uint8_t root[32])
{
    return RUN(s, TILE_PUT, sql_integer((int64_t)n), sql_blob(span_of(root, 32)));
}

enum err store_put_tile_leaves(struct store *s, uint64_t n, struct span leaves)
{
    return RUN(s, TILE_LEAVES_PUT, sql_integer((int64_t)n), sql_blob(leaves));
}

struct tile_read {
    uint8_t *root;
    struct buf *leaves;
};

static enum err take_tile(void *owner, struct sql_statement *row)
{
    struct tile_read *t = owner;
    struct span root = sql_column_bytes(row, 0), leaves = sql_column_bytes(row, 1);
    if (root.n != 32 || (leaves.n && leaves.n != 32u * STORE_TILE))
        return ERR_SYNTAX;
    memcpy(t->root, root.p, 32);
    if (!t->leaves)
        return ERR_OK;
    buf_clear(t->leaves);
    return buf_append(t->leaves, leaves);
}

enum err store_tile(struct store *s, uint64_t n, uint8_t ret_root[32], struct buf *leaves)
{
    struct tile_read t = {ret_root, leaves};
    enum err e = find(s, TILE_GET, VALUES(sql_integer(clamp(n))), take_tile, &t);
    if (e == ERR_SYNTAX)
        sql_set_why(s->sql, "a tile's hashes in it have a wrong length: it is damaged: restore it from a backup");
    return e;
}

enum err store_delete_entries(struct store *s, uint64_t from, uint64_t until, enum entry_kind kind)
{
    uint8_t first = (uint8_t)kind; /* of the body */
    return RUN(s, ENTRIES_DELETE, sql_integer(clamp(from)), sql_integer(clamp(until)), sql_blob(span_of(&first, 1)));
}

/* ---- names and prices ---- */

enum err store_put_name(struct store *s, uint32_t id, struct span text, uint64_t seq)
{
    return RUN(s, NAME_PUT, sql_integer(id), sql_text(text), sql_integer((int64_t)seq));
}

enum err store_put_price(struct store *s, uint32_t id, struct span text, uint64_t seq)
{
    return RUN(s, PRICE_PUT, sql_integer(id), sql_text(text), sql_integer((int64_t)seq));
}

struct text_scan {
    store_text_fn *fn;
    void *owner;
};

static enum err take_text(void *owner, struct sql_statement *row)
{
    struct text_scan *scan = owner;
    return scan->fn(scan->owner, (uint32_t)sql_column_i64(row, 0), sql_column_bytes(row, 1), (uint64_t)sql_column_i64(row, 2));
}

enum err store_each_name(struct store *s, store_text_fn *fn, void *owner)
{
    return scan(s, NAME_EACH, NULL, 0, take_text, &(struct text_scan){fn, owner});
}

enum err store_each_price(struct store *s, store_text_fn *fn, void *owner)
{
    return scan(s, PRICE_EACH, NULL, 0, take_text, &(struct text_scan){fn, owner});
}

/* ---- what follows from the log ---- */

enum err store_put_account(struct store *s, uint32_t account, uint32_t currency, money posted)
{
    return RUN(s, ACCOUNT_PUT, sql_integer(account), sql_integer(currency), sql_money(posted));
}

struct account_scan {
    store_account_fn *fn;
    void *owner;
};

static enum err take_account(void *owner, struct sql_statement *row)
{
    struct account_scan *scan = owner;
    money posted;
    enum err e = sql_column_money(row, 2, &posted);
    return e ? e : scan->fn(scan->owner, (uint32_t)sql_column_i64(row, 0), (uint32_t)sql_column_i64(row, 1), posted);
}

enum err store_each_account(struct store *s, store_account_fn *fn, void *owner)
{
    return scan(s, ACCOUNT_EACH, NULL, 0, take_account, &(struct account_scan){fn, owner});
}

enum { ROLLUP_FACTS = 14, ROLLUP_SUMS = 2 + USAGE_CLASSES + 6 }; /* values beside the id: those that never change, and the others */

static void rollup_facts(const struct rollup *r, struct sql_value out[ROLLUP_FACTS])
{
    const int64_t facts[ROLLUP_FACTS] = {r->bucket_us, r->key, r->department, r->party, r->provider, r->model, r->model_asked, r->tier, r->buy_price,
                                         r->sell_price, r->source, r->outcome, r->buy_unpriced, r->sell_unpriced};
    for (unsigned i = 0; i < ROLLUP_FACTS; i++)
        out[i] = sql_integer(facts[i]);
}

static void rollup_sums(const struct rollup *r, struct sql_value out[ROLLUP_SUMS])
{
    *out++ = sql_integer(r->requests);
    *out++ = sql_integer(r->entries);
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        *out++ = sql_integer(r->count[c]);
    *out++ = sql_money(r->buy);
    *out++ = sql_money(r->sell);
    *out++ = sql_money(r->provider_cost);
    *out++ = sql_integer(r->provider_cost_n);
    *out++ = sql_integer((int64_t)r->first_seq);
    *out++ = sql_integer((int64_t)r->last_seq);
}

enum err store_put_rollup(struct store *s, struct rollup *r)
{
    struct sql_value values[ROLLUP_FACTS + ROLLUP_SUMS + 1];
    if (r->id) {
        rollup_sums(r, values);
        values[ROLLUP_SUMS] = sql_integer(r->id);
        return run(s, ROLLUP_UPDATE, values, ROLLUP_SUMS + 1);
    }
    uint64_t id;
    rollup_facts(r, values);
    rollup_sums(r, values + ROLLUP_FACTS);
    enum err e = run(s, ROLLUP_INSERT, values, ROLLUP_FACTS + ROLLUP_SUMS);
    if (!e)
        e = find(s, LAST_ROW, NULL, 0, take_number, &id);
    if (!e)
        r->id = (int64_t)id;
    return e;
}

struct rollup_scan {
    store_rollup_fn *fn;
    void *owner;
};

static enum err read_rollup(struct sql_statement *row, struct rollup *r)
{
    int at = 0;
    r->id = sql_column_i64(row, at++);
    r->bucket_us = sql_column_i64(row, at++);
    uint32_t *const names[] = {&r->key, &r->department, &r->party, &r->provider, &r->model, &r->model_asked, &r->tier, &r->buy_price, &r->sell_price};
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        *names[i] = (uint32_t)sql_column_i64(row, at++);
    r->source = (uint8_t)sql_column_i64(row, at++);
    r->outcome = (uint8_t)sql_column_i64(row, at++);
    r->buy_unpriced = (uint32_t)sql_column_i64(row, at++);
    r->sell_unpriced = (uint32_t)sql_column_i64(row, at++);
    r->requests = sql_column_i64(row, at++);
    r->entries = sql_column_i64(row, at++);
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        r->count[c] = sql_column_i64(row, at++);
    enum err e = sql_column_money(row, at++, &r->buy);
    if (!e)
        e = sql_column_money(row, at++, &r->sell);
    if (!e)
        e = sql_column_money(row, at++, &r->provider_cost);
    r->provider_cost_n = sql_column_i64(row, at++);
    r->first_seq = (uint64_t)sql_column_i64(row, at++);
    r->last_seq = (uint64_t)sql_column_i64(row, at);
    return e;
}

static enum err take_rollup(void *owner, struct sql_statement *row)
{
    struct rollup_scan *scan = owner;
    struct rollup r;
    memset(&r, 0, sizeof r); /* its padding, too: rows are compared as bytes */
    enum err e = read_rollup(row, &r);
    return e ? e : scan->fn(scan->owner, &r);
}

enum err store_each_rollup(struct store *s, int64_t from_us, int64_t until_us, store_rollup_fn *fn, void *owner)
{
    return scan(s, ROLLUP_EACH, VALUES(sql_integer(from_us), sql_integer(until_us)), take_rollup, &(struct rollup_scan){fn, owner});
}

enum err store_each_use(struct store *s, int64_t from_us, store_rollup_fn *fn, void *owner)
{
    return scan(s, ROLLUP_EACH_USE, VALUES(sql_integer(from_us)), take_rollup, &(struct rollup_scan){fn, owner});
}

enum err store_put_issuer(struct store *s, uint64_t issuer, uint64_t counter)
{
    return RUN(s, ISSUER_PUT, sql_integer((int64_t)issuer), sql_integer((int64_t)counter));
}

struct issuer_scan {
    store_issuer_fn *fn;
    void *owner;
};

static enum err take_issuer(void *owner, struct sql_statement *row)
{
    struct issuer_scan *scan = owner;
    return scan->fn(scan->owner, (uint64_t)sql_column_i64(row, 0), (uint64_t)sql_column_i64(row, 1));
}

enum err store_each_issuer(struct store *s, store_issuer_fn *fn, void *owner)
{
    return scan(s, ISSUER_EACH, NULL, 0, take_issuer, &(struct issuer_scan){fn, owner});
}

enum err store_put_posting_key(struct store *s, struct span key, uint64_t seq)
{
    return RUN(s, POSTING_PUT, sql_text(key), sql_integer((int64_t)seq));
}

enum err store_posting_key(struct store *s, struct span key, uint64_t *ret_seq)
{
    return find(s, POSTING_GET, VALUES(sql_text(key)), take_number, ret_seq);
}

struct posting_scan {
    store_posting_fn *fn;
    void *owner;
};

static enum err take_posting(void *owner, struct sql_statement *row)
{
    struct posting_scan *scan = owner;
    return scan->fn(scan->owner, sql_column_bytes(row, 0), (uint64_t)sql_column_i64(row, 1));
}

enum err store_each_posting_key(struct store *s, store_posting_fn *fn, void *owner)
{
    return scan(s, POSTING_EACH, NULL, 0, take_posting, &(struct posting_scan){fn, owner});
}

/* ---- holds ---- */

enum err store_put_holds(struct store *s, uint64_t batch, uint64_t seq, struct span body)
{
    return RUN(s, HOLD_PUT, sql_integer((int64_t)batch), sql_integer((int64_t)seq), sql_blob(body));
}

enum err store_delete_holds(struct store *s, uint64_t until_batch) { return RUN(s, HOLDS_DELETE, sql_integer(clamp(until_batch))); }

struct holds_scan {
    store_holds_fn *fn;
    void *owner;
};

static enum err take_holds(void *owner, struct sql_statement *row)
{
    struct holds_scan *scan = owner;
    return scan->fn(scan->owner, (uint64_t)sql_column_i64(row, 0), (uint64_t)sql_column_i64(row, 1), sql_column_bytes(row, 2));
}

enum err store_each_holds(struct store *s, store_holds_fn *fn, void *owner)
{
    return scan(s, HOLD_EACH, NULL, 0, take_holds, &(struct holds_scan){fn, owner});
}

/* ---- checkpoints, meta ---- */

enum err store_put_checkpoint(struct store *s, uint64_t size, int64_t at_us, struct span note)
{
    return RUN(s, CHECKPOINT_PUT, sql_integer((int64_t)size), sql_integer(at_us), sql_text(note));
}

struct checkpoint_scan {
    store_checkpoint_fn *fn;
    void *owner;
};

static enum err take_checkpoint(void *owner, struct sql_statement *row)
{
    struct checkpoint_scan *scan = owner;
    return scan->fn(scan->owner, (uint64_t)sql_column_i64(row, 0), sql_column_i64(row, 1), sql_column_bytes(row, 2));
}

enum err store_each_checkpoint(struct store *s, store_checkpoint_fn *fn, void *owner)
{
    return scan(s, CHECKPOINT_EACH, NULL, 0, take_checkpoint, &(struct checkpoint_scan){fn, owner});
}

enum err store_put_meta(struct store *s, const char *key, struct span value) { return RUN(s, META_PUT, sql_text(span_str(key)), sql_blob(value)); }

enum err store_meta(struct store *s, const char *key, struct buf *ret)
{
    return find(s, META_GET, VALUES(sql_text(span_str(key))), take_bytes, ret);
}

/* ---- whole files ---- */

/* Under another name until it is whole: a backup that stopped halfway is not mistaken for one. */
static enum err copy_whole(struct store *s, const char *part, const char *to, void (*progress)(void *owner, int done, int total), void *owner)
{
    enum err e = store_snapshot(s);
    if (!e)
        e = sql_copy_to(s->sql, part, progress, owner);
    store_rollback(s);
    if (e)
        return e;
    if (link(part, to) != 0 || !disk_sync_directory_of(to)) /* link and not rename: never over another file */
        return complain(s, ERR_DISK, "the backup could not be given its name: look at its directory");
    return ERR_OK;
}

enum err store_backup(struct store *s, const char *to, void (*progress)(void *owner, int done, int total), void *owner)
{
    char part[4096], journal[sizeof part + sizeof "-journal"];
    if (access(to, F_OK) == 0)
        return complain(s, ERR_EXISTS, "the backup's file exists already: name one that does not");
    if (snprintf(part, sizeof part, "%s.part", to) >= (int)sizeof part)
        return complain(s, ERR_TOO_LARGE, "the backup's path is too long");
    snprintf(journal, sizeof journal, "%s-journal", part);
    (void)unlink(part);
    (void)unlink(journal);
    enum err e = copy_whole(s, part, to, progress, owner);
    (void)unlink(part);
    return e;
}

/* SQLite writes the whole file anew beside it: in a temporary file, since memory is for small things. */
enum err store_vacuum(struct store *s)
{
    enum err e = sql_exec(s->sql, "PRAGMA temp_store = FILE; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
    enum err back = sql_exec(s->sql, "PRAGMA temp_store = MEMORY");
    return e ? e : back;
}

static enum err take_finding(void *owner, struct sql_statement *row)
{
    struct span text = sql_column_bytes(row, 0);
    if (span_eq(text, SPAN("ok")))
        return ERR_OK;
    snprintf(owner, 512, "%.*s", SPAN_ARG(text));
    return ERR_SYNTAX;
}

enum err store_check(struct store *s, char why[512])
{
    enum err e = scan(s, CHECK_ALL, NULL, 0, take_finding, why);
    if (e && !why[0])
        snprintf(why, 512, "%s", sql_why(s->sql));
    return e;
}
