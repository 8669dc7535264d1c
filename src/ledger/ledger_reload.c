/* SPDX-License-Identifier: Apache-2.0
 *
 * The projection from the store and back.
 *
 *   flush    rows, balances, issuers, holds and frontier as they are now; META_FLUSHED: they speak of entries [0, this)
 *   reload   what was flushed, then the entries behind it, replayed
 *   absorb   another process appended: its entries, replayed on top of what we have
 *
 * The complication is a sync that failed. The kernel then counts the pages as clean, reads go on seeing them, and the next sync is a success that
 * wrote nothing. A commit that failed so may be in the write-ahead log for every reader and not on the disk, and what is committed behind it
 * would be lost with it. So before anything is built on a store that was not left in good order, its write-ahead log is written again, byte for byte,
 * and synced (rewrite_wal): under the write lock, when nobody else can write there.
 */
#include "ledger/ledger_private.h"

#include <endian.h>
#include <stdio.h>

#include "base/log.h"

#define REWRITE_BYTES (256u * KIB)
#define HOLDS_IN_ROW 4096u
#define PATIENCE_MS 250u /* for another program's transaction; twice or thrice of it must be over within a second, when callers are told */

/* ---- opening ---- */

enum err ledger_open_store(struct ledger *l, char why[512])
{
    struct store_options o = {.path = l->store_path, .mode = l->options.beside ? STORE_WRITE : STORE_CREATE, .vfs = l->options.vfs};
    enum err e = store_open(&o, &l->store, why);
    if (!e && !l->options.beside)
        store_set_patience(l->store, PATIENCE_MS);
    return e;
}

void ledger_drop_store(struct ledger *l)
{
    store_close(l->store);
    l->store = NULL;
    l->valid = false;
    l->touched_n = 0;
}

static enum err rewrite_bytes(struct ledger *l, void *file)
{
    static _Thread_local char bytes[REWRITE_BYTES];
    uint64_t size;
    enum err e = l->disk->size(file, &size);
    for (uint64_t at = 0; !e && at < size;) {
        size_t n = size - at < sizeof bytes ? (size_t)(size - at) : sizeof bytes;
        e = l->disk->read(file, at, bytes, n);
        e = e ? e : l->disk->write(file, at, span_of(bytes, n));
        at += n;
    }
    return e ? e : l->disk->sync(file);
}

static enum err rewrite_wal(struct ledger *l)
{
    void *file;
    if (l->options.beside)
        return ERR_OK; /* the gateway's business */
    enum err e = l->disk->open(l->disk->owner, l->wal_path, false, &file);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    e = rewrite_bytes(l, file);
    l->disk->close(file);
    return e;
}

/* ---- numbers in meta ---- */

enum err ledger_read_number(struct ledger *l, const char *key, uint64_t *ret)
{
    buf_clear(&l->rows);
    enum err e = store_meta(l->store, key, &l->rows);
    if (e == ERR_NOT_FOUND)
        *ret = 0;
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    return span_to_u64(buf_span(&l->rows), ret) ? ERR_OK : ERR_SYNTAX;
}

enum err ledger_write_number(struct ledger *l, const char *key, uint64_t value)
{
    char digits[SPAN_U64_BYTES];
    return store_put_meta(l->store, key, span_of_u64(digits, value));
}

static enum err write_frontier(struct ledger *l)
{
    const struct merkle *trunk = &l->projection.trunk;
    uint64_t numbers[2] = {htole64((uint64_t)l->projection.booked_us), htole64(trunk->size)};
    buf_clear(&l->rows);
    enum err e = buf_append(&l->rows, span_of(numbers, sizeof numbers));
    for (unsigned level = 0; !e && level < 64; level++)
        if (trunk->size >> level & 1)
            e = buf_append(&l->rows, span_of(trunk->peak[level].bytes, SHA256_BYTES));
    return e ? e : store_put_meta(l->store, META_FRONTIER, buf_span(&l->rows));
}

static enum err read_frontier(struct ledger *l)
{
    struct projection *p = &l->projection;
    buf_clear(&l->rows);
    enum err e = store_meta(l->store, META_FRONTIER, &l->rows);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    return projection_parse_frontier(buf_span(&l->rows), &p->trunk, &p->booked_us);
}

/* ---- reload ---- */

static enum err load_name(void *owner, uint32_t id, struct span text, uint64_t seq)
{
    return projection_add_name(owner, text) == id ? ERR_OK : ERR_SYNTAX;
}

static enum err load_price(void *owner, uint32_t id, struct span text, uint64_t seq)
{
    uint32_t number;
    enum err e = projection_add_price(owner, text, &number);
    return e ? e : number == id ? ERR_OK : ERR_SYNTAX;
}

static enum err load_account(void *owner, uint32_t account, uint32_t currency, money posted)
{
    struct projection *p = owner;
    uint32_t balance = projection_balance(p, account, currency); /* may move the array */
    p->balances[balance - 1].posted = posted;
    return ERR_OK;
}

static enum err load_issuer(void *owner, uint64_t issuer, uint64_t counter)
{
    projection_issuer(owner, issuer)->counter = counter;
    return ERR_OK;
}

static enum err load_row(void *owner, const struct rollup *r)
{
    projection_load_row(owner, r);
    return ERR_OK;
}

static void load_hold(struct projection *p, const struct hold *h)
{
    struct projected_issuer *issuer = projection_issuer(p, h->issuer);
    struct projected_hold *open = projection_hold(p, h->issuer, h->counter);
    if (!open)
        open = projection_open(p, h);
    open->hold = *h;
    open->unwritten = false;
    if (h->counter > issuer->counter) {
        issuer->counter = h->counter;
        issuer->dirty = true;
    }
}

static enum err load_holds(void *owner, uint64_t batch, uint64_t seq, struct span body)
{
    struct ledger *l = owner;
    struct hold h;
    while (body.n) {
        enum err e = hold_decode(&body, &h);
        if (e)
            return e;
        load_hold(&l->projection, &h);
    }
    l->batch = batch + 1;
    return ERR_OK;
}

static enum err replay(void *owner, uint64_t seq, struct span body)
{
    struct ledger *l = owner;
    return projection_size(&l->projection) == seq ? projection_replay(&l->projection, seq, body) : ERR_SYNTAX;
}

static enum err hash_only(void *owner, uint64_t seq, struct span body)
{
    struct projection *p = owner;
    struct hash leaf, tile;
    if (projection_size(p) != seq)
        return ERR_SYNTAX;
    merkle_leaf(body, &leaf);
    (void)projection_leaf(p, &leaf, &tile);
    return ERR_OK;
}

static enum err load_flushed(struct ledger *l)
{
    struct projection *p = &l->projection;
    enum err e = ledger_read_number(l, META_FLUSHED, &l->flushed);
    e = e ? e : read_frontier(l);
    l->flushed_us = p->booked_us;
    e = e ? e : store_each_name(l->store, load_name, p);
    e = e ? e : store_each_price(l->store, load_price, p);
    e = e ? e : store_each_account(l->store, load_account, p);
    e = e ? e : store_each_issuer(l->store, load_issuer, p);
    e = e ? e : store_each_rollup(l->store, rollup_bucket(p->booked_us), INT64_MAX, load_row, p);
    e = e ? e : store_each_holds(l->store, load_holds, l);
    if (!e && p->trunk.size > l->flushed)
        e = ERR_SYNTAX;
    return e ? e : store_each_entry(l->store, p->trunk.size, l->flushed, hash_only, p);
}

static enum err take_size(void *owner, uint64_t size, int64_t at_us, struct span note)
{
    struct ledger *l = owner;
    l->checkpoint_size = size;
    return ERR_OK;
}

/* What speaks of entries that the log does not have: its end is gone, and must not be written anew as if it had never been. */
static bool is_cut(const struct ledger *l, uint64_t size)
{
    return l->flushed > size || l->checkpoint_size > size;
}

static enum err reload(struct ledger *l)
{
    uint64_t size;
    projection_reset(&l->projection);
    l->batch = 1;
    l->checkpoint_size = 0;
    enum err e = store_log_size(l->store, &size);
    e = e ? e : load_flushed(l);
    e = e ? e : store_each_entry(l->store, l->flushed, size, replay, l);
    e = e ? e : store_each_checkpoint(l->store, take_size, l);
    if (!e && (projection_size(&l->projection) != size || is_cut(l, size)))
        e = ERR_SYNTAX;
    if (e == ERR_SYNTAX && !store_why(l->store)[0])
        store_complain(l->store, "it is damaged: its tables and its entries do not belong together: restore it from a backup; `entente ledger verify` says more");
    l->valid = e == ERR_OK;
    l->committed = size;
    return e;
}

static enum err absorb(struct ledger *l)
{
    uint64_t size, flushed;
    enum err e = store_log_size(l->store, &size);
    e = e ? e : ledger_read_number(l, META_FLUSHED, &flushed);
    if (!e && (flushed != l->flushed || size < l->committed))
        return reload(l);
    e = e ? e : store_each_entry(l->store, l->committed, size, replay, l);
    if (!e)
        l->committed = size;
    return e;
}

enum err ledger_look(struct ledger *l)
{
    bool changed = store_changed_by_others(l->store);
    enum err e = ERR_OK;
    if (!l->valid) {
        e = rewrite_wal(l);
        e = e ? e : reload(l);
    } else if (changed) {
        e = absorb(l);
    }
    return ledger_of_store(l, e);
}

/* ---- holds of a commit ---- */

static enum err put_rows(struct ledger *l)
{
    if (!buf_bytes(&l->rows))
        return ERR_OK;
    enum err e = store_put_holds(l->store, l->batch++, projection_size(&l->projection), buf_span(&l->rows));
    buf_clear(&l->rows);
    return e;
}

static enum err put_hold(struct ledger *l, struct projected_hold *h)
{
    enum err e = hold_encode(&h->hold, &l->rows);
    h->unwritten = false;
    return !e && buf_bytes(&l->rows) >= HOLDS_IN_ROW * HOLD_BYTES ? put_rows(l) : e;
}

enum err ledger_write_holds(struct ledger *l)
{
    enum err e = ERR_OK;
    buf_clear(&l->rows);
    for (uint32_t i = 0; !e && i < l->touched_n; i++) {
        struct projected_hold *h = &l->projection.holds[l->touched[i]];
        if (h->open && h->unwritten)
            e = put_hold(l, h);
    }
    l->touched_n = 0;
    return ledger_of_store(l, e ? e : put_rows(l));
}

/* ---- flush ---- */

bool ledger_flush_is_due(const struct ledger *l)
{
    uint64_t behind = projection_size(&l->projection) - l->flushed;
    if (!behind || l->options.beside)
        return false;
    return behind >= LEDGER_FLUSH_ENTRIES || ledger_now_ns(l) - l->unflushed_ns >= LEDGER_FLUSH_NS;
}

static enum err flush_rows(struct ledger *l)
{
    struct projection *p = &l->projection;
    enum err e = ERR_OK;
    for (uint32_t i = 0; !e && i < p->rows_n; i++)
        if (p->rows[i].dirty) {
            e = store_put_rollup(l->store, &p->rows[i].sum);
            p->rows[i].dirty = false;
        }
    return e;
}

static enum err flush_accounts(struct ledger *l)
{
    struct projection *p = &l->projection;
    enum err e = ERR_OK;
    for (uint32_t i = 0; !e && i < p->balances_n; i++) {
        struct projected_balance *b = &p->balances[i];
        if (b->dirty)
            e = store_put_account(l->store, b->account, b->currency, b->posted);
        b->dirty = false;
    }
    return e;
}

static enum err flush_issuers(struct ledger *l)
{
    struct projection *p = &l->projection;
    enum err e = ERR_OK;
    for (uint32_t i = 0; !e && i < p->issuers_n; i++) {
        struct projected_issuer *is = &p->issuers[i];
        if (is->dirty && is->counter)
            e = store_put_issuer(l->store, is->issuer, is->counter);
        is->dirty = false;
    }
    return e;
}

/* Those that are open move to new rows, so that the old ones can go. */
static enum err flush_holds(struct ledger *l)
{
    struct projection *p = &l->projection;
    uint64_t until = l->batch;
    enum err e = ERR_OK;
    buf_clear(&l->rows);
    for (uint32_t i = 0; !e && i < p->holds_n; i++)
        if (p->holds[i].open)
            e = put_hold(l, &p->holds[i]);
    e = e ? e : put_rows(l);
    return e ? e : store_delete_holds(l->store, until);
}

enum err ledger_write_flush(struct ledger *l)
{
    enum err e = flush_rows(l);
    e = e ? e : flush_accounts(l);
    e = e ? e : flush_issuers(l);
    e = e ? e : flush_holds(l);
    e = e ? e : write_frontier(l);
    e = e ? e : ledger_write_number(l, META_FLUSHED, projection_size(&l->projection));
    if (!e) {
        projection_forget_rows(&l->projection);
        l->flushed = projection_size(&l->projection);
        l->flushed_us = l->projection.booked_us;
    }
    return ledger_of_store(l, e);
}
