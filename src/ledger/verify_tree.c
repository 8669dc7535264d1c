/* SPDX-License-Identifier: Apache-2.0
 *
 * The tree over the log again, leaf by leaf: each tile's hash must be the store's, each checkpoint's root the tree's at its size, each checkpoint
 * signed with the log's key. Entries that compaction took away have left their leaves' hashes in their tile.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "ledger/projection.h"
#include "ledger/verify_private.h"

#define FRONTIER_BYTES_MAX 4096u

/* ---- checkpoints ---- */

static enum err take_checkpoint(void *owner, uint64_t size, int64_t at_us, struct span note)
{
    struct verify *v = owner;
    (void)at_us;
    v->checkpoints = realloc(v->checkpoints, (v->checkpoints_n + 1) * sizeof *v->checkpoints);
    CHECK(v->checkpoints);
    struct seen_checkpoint *c = &v->checkpoints[v->checkpoints_n++];
    c->size = size;
    buf_init(&c->note, NOTE_BYTES_MAX);
    return buf_append(&c->note, note);
}

static void frontier(const struct verify *v, struct merkle *ret)
{
    *ret = v->trunk;
    for (unsigned level = 0; level < STORE_TILE_LEVEL; level++)
        ret->peak[level] = v->tile.peak[level];
    ret->size += v->tile.size;
}

static void check_checkpoint(struct verify *v, const struct seen_checkpoint *c)
{
    struct checkpoint said;
    struct merkle tree;
    struct hash root;
    struct span text;
    v->report->checkpoints++;
    if (!v->can_open)
        return;
    if (note_open(buf_span(&c->note), &v->verifier, &text) != ERR_OK || checkpoint_parse(text, &said) != ERR_OK) {
        verify_fault(v, "checkpoint of %" PRIu64 " entries: it is not signed with the log's key", c->size);
        return;
    }
    if (said.size != c->size || !span_eq(said.origin, buf_span(&v->books->origin)))
        verify_fault(v, "checkpoint of %" PRIu64 " entries: it is another log's, or of another size", c->size);
    frontier(v, &tree);
    merkle_root(&tree, &root);
    if (!v->broken && memcmp(root.bytes, said.root.bytes, SHA256_BYTES) != 0)
        verify_fault(v, "checkpoint of %" PRIu64 " entries: the log had another root when it was signed: an entry before it was changed", c->size);
}

static void check_checkpoints_here(struct verify *v)
{
    uint64_t size = v->trunk.size + v->tile.size;
    while (v->checkpoints_at < v->checkpoints_n && v->checkpoints[v->checkpoints_at].size == size)
        check_checkpoint(v, &v->checkpoints[v->checkpoints_at++]);
}

/* ---- where the writer goes on ---- */

static enum err read_frontier(struct verify *v)
{
    struct buf text;
    buf_init(&text, FRONTIER_BYTES_MAX);
    enum err e = store_meta(v->books->store, META_FRONTIER, &text);
    v->has_frontier = !e && projection_parse_frontier(buf_span(&text), &v->frontier, &v->frontier_us) == ERR_OK;
    if (!e && !v->has_frontier)
        verify_fault(v, "the frontier, from which the writer goes on, is damaged");
    buf_fini(&text);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Its peaks are those of the tree at its size. A wrong one would be in every root that is signed from then on. */
static void check_frontier_here(struct verify *v)
{
    bool same = true;
    if (!v->has_frontier || v->trunk.size != v->frontier.size || v->broken)
        return;
    for (unsigned level = 0; level < 64; level++)
        if (v->trunk.size >> level & 1)
            same &= memcmp(v->trunk.peak[level].bytes, v->frontier.peak[level].bytes, SHA256_BYTES) == 0;
    if (!same)
        verify_fault(v, "the frontier, from which the writer goes on, is not that of the first %" PRIu64 " entries", v->trunk.size);
}

void verify_tree_flushed(struct verify *v)
{
    uint64_t tiles = v->books->flushed - v->books->flushed % STORE_TILE;
    bool fits = v->frontier.size == tiles && (v->missing_n ? v->frontier_us >= v->booked_us : v->frontier_us == v->booked_us);
    if (v->has_frontier && !fits)
        verify_fault(v, "the frontier, from which the writer goes on, is not that of the first %" PRIu64 " entries", v->books->flushed);
}

enum err verify_tree_begin(struct verify *v)
{
    buf_init(&v->kept, sizeof v->leaves);
    enum err e = store_each_checkpoint(v->books->store, take_checkpoint, v);
    e = e ? e : read_frontier(v);
    if (e)
        return e;
    v->can_open = verifier_parse(buf_span(&v->books->public_key), &v->verifier) == ERR_OK;
    if (!v->can_open && v->checkpoints_n)
        verify_fault(v, "the log has checkpoints, but its public key cannot be read: their signatures were not checked");
    check_checkpoints_here(v);
    return ERR_OK;
}

/* ---- tiles ---- */

static enum err read_kept(struct verify *v, uint64_t tile, struct hash *ret_root)
{
    enum err e = store_tile(v->books->store, tile, ret_root->bytes, &v->kept);
    v->kept_of = tile + 1;
    if (e)
        buf_clear(&v->kept);
    return e;
}

static enum err end_tile(struct verify *v)
{
    uint64_t n = v->trunk.size / STORE_TILE, from = v->trunk.size, last = from + STORE_TILE - 1;
    struct hash root, stored;
    merkle_root(&v->tile, &root);
    merkle_append_subtree(&v->trunk, STORE_TILE_LEVEL, &root);
    v->tile.size = 0;
    check_frontier_here(v);
    enum err e = read_kept(v, n, &stored);
    if (e == ERR_NOT_FOUND)
        verify_fault(v, "tile %" PRIu64 ", of entries %" PRIu64 " to %" PRIu64 ", is missing", n, from, last);
    else if (!e && !v->broken && memcmp(stored.bytes, root.bytes, SHA256_BYTES) != 0)
        verify_fault(v, "tile %" PRIu64 ": its hash is not that of entries %" PRIu64 " to %" PRIu64 ": one of them was changed", n, from, last);
    else if (!e && buf_bytes(&v->kept) && memcmp(buf_span(&v->kept).p, v->leaves, sizeof v->leaves) != 0)
        verify_fault(v, "tile %" PRIu64 ": the leaves that it keeps are not those of entries %" PRIu64 " to %" PRIu64, n, from, last);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err add_leaf(struct verify *v, const struct hash *leaf)
{
    v->leaves[v->tile.size] = *leaf;
    merkle_append(&v->tile, leaf);
    enum err e = v->tile.size == STORE_TILE ? end_tile(v) : ERR_OK;
    v->next++;
    check_checkpoints_here(v);
    return e;
}

/* ---- what is missing ---- */

static void note_missing(struct verify *v, uint64_t seq)
{
    if (v->missing_n && v->missing[v->missing_n - 1].until == seq) {
        v->missing[v->missing_n - 1].until++;
        return;
    }
    v->missing = verify_grow(v->missing, sizeof *v->missing, v->missing_n, &v->missing_room);
    v->missing[v->missing_n++] = (struct seq_run){seq, seq + 1};
}

bool verify_is_missing(const struct verify *v, uint64_t seq)
{
    uint32_t low = 0, high = v->missing_n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (v->missing[middle].until <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < v->missing_n && v->missing[low].from <= seq;
}

static enum err add_missing(struct verify *v, uint64_t seq)
{
    struct hash leaf = {.bytes = {0}}, root;
    uint64_t tile = seq / STORE_TILE;
    enum err e = v->kept_of == tile + 1 ? ERR_OK : read_kept(v, tile, &root);
    if (e && e != ERR_NOT_FOUND)
        return e;
    note_missing(v, seq);
    if (buf_bytes(&v->kept) == sizeof v->leaves)
        memcpy(leaf.bytes, buf_span(&v->kept).p + seq % STORE_TILE * SHA256_BYTES, SHA256_BYTES);
    else if (!v->broken)
        verify_fault(v, "entry %" PRIu64 " is missing, and so is its hash: no root behind it can be checked", seq);
    v->broken |= !buf_bytes(&v->kept);
    return add_leaf(v, &leaf);
}

/* ---- the pass ---- */

enum err verify_tree_leaf(struct verify *v, uint64_t seq, struct span body)
{
    struct hash leaf;
    enum err e = ERR_OK;
    while (!e && v->next < seq)
        e = add_missing(v, v->next);
    if (e)
        return e;
    merkle_leaf(body, &leaf);
    return add_leaf(v, &leaf);
}

enum err verify_tree_end(struct verify *v)
{
    struct merkle tree;
    struct hash root;
    for (; v->checkpoints_at < v->checkpoints_n; v->checkpoints_at++)
        verify_fault(v, "checkpoint of %" PRIu64 " entries: the log has only %" PRIu64 ": entries at its end are gone",
                     v->checkpoints[v->checkpoints_at].size, v->next);
    frontier(v, &tree);
    merkle_root(&tree, &root);
    memcpy(v->report->root, root.bytes, SHA256_BYTES);
    enum err e = store_tile(v->books->store, v->next / STORE_TILE, root.bytes, NULL);
    if (e == ERR_OK)
        verify_fault(v, "tile %" PRIu64 ": the log does not go so far: entries at its end are gone", v->next / STORE_TILE);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
