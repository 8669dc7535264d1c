/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction: old usage entries go, what they added up to stays. Of a range of whole tiles the usage entries are deleted, their leaf hashes kept, so
 * that the tree and every proof about what is left stay as they were; a summary entry says which went, how many, and the digest of their rollup rows.
 * Names, prices, postings and summaries stay.
 *
 * The complication is a rollup row that has entries on both sides of the range's end. It is split, from the entries themselves, into two rows of the same
 * kind, while both sides still have theirs. Rows of a kind follow each other in the log, so there is at most one such row of each.
 *
 * A range ends before the quarter of an hour of the last flush (rows that somebody still adds to), before the oldest open hold, and is bounded, so that
 * a running gateway stands still for a fraction of a second at a time.
 */
#include "ledger/ledger_private.h"

#include <stdlib.h>

#define RANGE_ENTRIES (256u * STORE_TILE)

struct split {
    struct rollup row, before, after;
    bool has_before, has_after;
};

struct compaction {
    struct ledger *ledger;
    int64_t before_us;
    uint64_t from, until; /* the range; empty: nothing is left to do */
    uint64_t usage_n;
    int64_t first_us, last_us; /* booked times of its usage entries */
    struct hash leaves[STORE_TILE];
    struct split *splits;
    struct index by_split;
    struct rollup *rows;
    uint32_t splits_n, splits_room, rows_n, rows_room;
};

/* ---- which ---- */

static uint64_t oldest_hold(const struct projection *p)
{
    uint64_t oldest = UINT64_MAX;
    for (uint32_t i = 0; i < p->holds_n; i++)
        if (p->holds[i].open && p->holds[i].hold.opened_seq < oldest)
            oldest = p->holds[i].hold.opened_seq;
    return oldest;
}

static enum err choose_range(struct compaction *c)
{
    struct ledger *l = c->ledger;
    int64_t before_us = rollup_bucket(l->flushed_us);
    uint64_t most, held = oldest_hold(&l->projection);
    before_us = c->before_us < before_us ? c->before_us : before_us;
    enum err e = ledger_read_number(l, META_COMPACTED, &c->from);
    e = e ? e : store_seq_at(l->store, before_us, &most);
    if (e)
        return e;
    most = most < l->flushed ? most : l->flushed;
    most = most < held ? most : held;
    c->until = most - most % STORE_TILE;
    if (c->until > c->from + RANGE_ENTRIES)
        c->until = c->from + RANGE_ENTRIES;
    return ERR_OK;
}

/* ---- leaves ---- */

static enum err keep_leaves(struct compaction *c, uint64_t tile)
{
    struct merkle m = {0};
    struct hash root;
    uint8_t stored[SHA256_BYTES];
    for (unsigned i = 0; i < STORE_TILE; i++)
        merkle_append(&m, &c->leaves[i]);
    merkle_root(&m, &root);
    enum err e = store_tile(c->ledger->store, tile, stored, NULL);
    if (!e && memcmp(stored, root.bytes, sizeof stored) != 0)
        return ERR_SYNTAX; /* these are not the entries that were hashed: they stay */
    return e ? e : store_put_tile_leaves(c->ledger->store, tile, span_of(c->leaves, sizeof c->leaves));
}

static enum err take_entry(void *owner, uint64_t seq, struct span body)
{
    struct compaction *c = owner;
    struct entry entry;
    enum err e = entry_decode(body, &entry);
    if (e)
        return e;
    merkle_leaf(body, &c->leaves[seq % STORE_TILE]);
    if (entry.kind == ENTRY_USAGE) {
        c->first_us = c->usage_n++ ? c->first_us : entry.usage.booked_us;
        c->last_us = entry.usage.booked_us;
    }
    return seq % STORE_TILE == STORE_TILE - 1 ? keep_leaves(c, seq / STORE_TILE) : ERR_OK;
}

/* ---- rows over the end ---- */

static void *room_for(void *array, uint32_t used, uint32_t *room, size_t bytes_each)
{
    if (used < *room)
        return array;
    *room = *room ? 2 * *room : 64;
    array = realloc(array, *room * bytes_each);
    CHECK(array);
    return array;
}

static uint32_t hash_row(const struct rollup *r) { return (uint32_t)rollup_hash(r, 0); }

static enum err find_split(void *owner, const struct rollup *r)
{
    struct compaction *c = owner;
    if (r->first_seq >= c->until || r->last_seq < c->until)
        return ERR_OK;
    c->splits = room_for(c->splits, c->splits_n, &c->splits_room, sizeof *c->splits);
    c->splits[c->splits_n++] = (struct split){.row = *r};
    index_insert(&c->by_split, hash_row(r), c->splits_n);
    return ERR_OK;
}

static bool add_to(struct rollup *sum, bool *has, const struct rollup *one)
{
    if (*has)
        return rollup_add(sum, one);
    *sum = *one;
    *has = true;
    return true;
}

static enum err share_out(void *owner, uint64_t seq, struct span body)
{
    struct compaction *c = owner;
    struct entry entry;
    struct rollup one;
    enum err e = entry_decode(body, &entry);
    if (e || entry.kind != ENTRY_USAGE)
        return e;
    rollup_of(&entry.usage, seq, &one);
    uint32_t hash = hash_row(&one), at = index_first(&c->by_split, hash);
    for (uint32_t i; (i = index_item(&c->by_split, hash, &at)) != 0; at++) {
        struct split *s = &c->splits[i - 1];
        if (!rollup_same(&s->row, &one) || seq < s->row.first_seq || seq > s->row.last_seq)
            continue;
        bool added = seq < c->until ? add_to(&s->before, &s->has_before, &one) : add_to(&s->after, &s->has_after, &one);
        return added ? ERR_OK : ERR_RANGE;
    }
    return ERR_OK;
}

static enum err write_split(struct ledger *l, struct split *s)
{
    if (!s->has_before || !s->has_after)
        return ERR_SYNTAX; /* its first and last entries are not what it says */
    s->after.id = s->row.id;
    enum err e = store_put_rollup(l->store, &s->after);
    return e ? e : store_put_rollup(l->store, &s->before);
}

static enum err split_rows(struct compaction *c)
{
    struct store *store = c->ledger->store;
    int64_t bucket_us = rollup_bucket(c->last_us);
    uint64_t from = UINT64_MAX, until = 0;
    enum err e = store_each_rollup(store, bucket_us, bucket_us + ROLLUP_US, find_split, c);
    for (uint32_t i = 0; i < c->splits_n; i++) {
        const struct rollup *r = &c->splits[i].row;
        from = r->first_seq < from ? r->first_seq : from;
        until = r->last_seq >= until ? r->last_seq + 1 : until;
    }
    if (!e && c->splits_n)
        e = store_each_entry(store, from, until, share_out, c);
    for (uint32_t i = 0; !e && i < c->splits_n; i++)
        e = write_split(c->ledger, &c->splits[i]);
    return e;
}

/* ---- the summary ---- */

static enum err take_row(void *owner, const struct rollup *r)
{
    struct compaction *c = owner;
    if (r->last_seq < c->from || r->last_seq >= c->until)
        return ERR_OK;
    c->rows = room_for(c->rows, c->rows_n, &c->rows_room, sizeof *c->rows);
    c->rows[c->rows_n++] = *r;
    return ERR_OK;
}

static enum err digest_rows(struct compaction *c, uint8_t ret[SHA256_BYTES])
{
    struct merkle m = {0};
    struct hash root;
    enum err e = c->usage_n ? store_each_rollup(c->ledger->store, rollup_bucket(c->first_us), rollup_bucket(c->last_us) + ROLLUP_US, take_row, c) : ERR_OK;
    if (e)
        return e;
    if (c->rows_n)
        qsort(c->rows, c->rows_n, sizeof *c->rows, rollup_digest_order);
    for (uint32_t i = 0; i < c->rows_n; i++)
        rollup_digest_add(&m, &c->rows[i]);
    merkle_root(&m, &root);
    memcpy(ret, root.bytes, SHA256_BYTES);
    return ERR_OK;
}

static enum err append_summary(struct compaction *c)
{
    struct ledger *l = c->ledger;
    struct entry entry = {.kind = ENTRY_SUMMARY};
    entry.summary = (struct entry_summary){.booked_us = l->now_us, .from_seq = c->from, .until_seq = c->until, .usage_n = c->usage_n};
    enum err e = digest_rows(c, entry.summary.rollup_digest);
    e = e ? e : ledger_append(l, &entry);
    if (!e)
        l->projection.booked_us = l->now_us;
    return e;
}

static enum err compact_range(struct compaction *c)
{
    struct store *store = c->ledger->store;
    enum err e = store_each_entry(store, c->from, c->until, take_entry, c);
    e = e || !c->usage_n ? e : split_rows(c);
    e = e ? e : append_summary(c);
    e = e ? e : store_delete_entries(store, c->from, c->until, ENTRY_USAGE);
    return e ? e : ledger_write_number(c->ledger, META_COMPACTED, c->until);
}

static enum err compact_once(struct ledger *l, void *compaction)
{
    struct compaction *c = compaction;
    c->usage_n = 0;
    c->splits_n = c->rows_n = 0;
    index_fini(&c->by_split);
    enum err e = l->options.beside || l->flushed == projection_size(&l->projection) ? ERR_OK : ledger_write_flush(l);
    e = e ? e : choose_range(c);
    if (!e && c->from < c->until)
        e = compact_range(c);
    return ledger_of_store(l, e);
}

static enum err run(struct ledger *l, void *compaction)
{
    ((struct compaction *)compaction)->ledger = l;
    return ledger_transact(l, compact_once, compaction);
}

enum err ledger_compact(struct ledger *l, int64_t before_us, uint64_t *ret_n)
{
    struct compaction *c = calloc(1, sizeof *c);
    uint64_t n = 0;
    enum err e;
    CHECK(c);
    c->before_us = before_us;
    do {
        e = ledger_command(l, run, c);
        n += e || c->from >= c->until ? 0 : c->usage_n;
    } while (!e && c->from < c->until);
    index_fini(&c->by_split);
    free(c->splits);
    free(c->rows);
    free(c);
    if (!e)
        *ret_n = n;
    return e;
}
