/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries in order, and rollups in the gaps that compaction left. The complication: a gap shows only when the entry after it comes, and a store
 * reads one list at a time. So the reading stops there, the rollups whose first entry is in the gap are read, and the entries go on after it.
 */
#include "report/walk.h"

#include <stdlib.h>

#include "ledger/rollup.h"

struct walk {
    struct books *books;
    walk_fn *fn;
    void *owner;
    uint64_t expected;         /* the next entry when none is missing */
    int64_t booked_us;         /* of the last entry that says */
    uint64_t gap_until;        /* the entry after a gap; == expected: no gap */
    int64_t gap_until_us;
    struct rollup *rollups;    /* of the gap */
    size_t rollups_n, rollups_room;
};

static enum err on_entry(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    struct walk *w = owner;
    int64_t booked_us = entry_booked_us(e);
    if (seq != w->expected) {
        w->gap_until = seq;
        w->gap_until_us = booked_us ? booked_us : INT64_MAX;
        return ERR_AGAIN;
    }
    w->expected = w->gap_until = seq + 1;
    w->booked_us = booked_us ? booked_us : w->booked_us;
    const struct walk_step step = {.seq = seq, .booked_us = w->booked_us, .entry = e, .body = body};
    enum err err = w->fn(w->owner, &step);
    return err == ERR_AGAIN ? ERR_INTERNAL : err;
}

/* ---- gaps ---- */

static enum err keep_rollup(void *owner, const struct rollup *r)
{
    struct walk *w = owner;
    if (r->first_seq < w->expected || r->first_seq >= w->gap_until)
        return ERR_OK;
    if (w->rollups_n == w->rollups_room) {
        w->rollups_room = w->rollups_room ? 2 * w->rollups_room : 256;
        CHECK((w->rollups = reallocarray(w->rollups, w->rollups_room, sizeof *w->rollups)));
    }
    w->rollups[w->rollups_n++] = *r;
    return ERR_OK;
}

static int by_time_then_place(const void *pa, const void *pb)
{
    const struct rollup *a = pa, *b = pb;
    if (a->bucket_us != b->bucket_us)
        return a->bucket_us < b->bucket_us ? -1 : 1;
    return a->first_seq < b->first_seq ? -1 : a->first_seq > b->first_seq;
}

static enum err walk_gap(struct walk *w)
{
    int64_t until_us = w->gap_until_us == INT64_MAX ? INT64_MAX : rollup_bucket(w->gap_until_us) + ROLLUP_US;
    w->rollups_n = 0;
    enum err e = books_each_rollup(w->books, w->booked_us ? rollup_bucket(w->booked_us) : INT64_MIN, until_us, keep_rollup, w);
    qsort(w->rollups, e ? 0 : w->rollups_n, sizeof *w->rollups, by_time_then_place);
    for (size_t i = 0; i < w->rollups_n && !e; i++) {
        const struct rollup *r = &w->rollups[i];
        e = w->fn(w->owner, &(struct walk_step){.seq = r->first_seq, .booked_us = r->bucket_us, .rollup = r});
        w->booked_us = r->bucket_us;
    }
    w->expected = w->gap_until;
    return e;
}

enum err walk_books(struct books *b, uint64_t from, uint64_t until, walk_fn *fn, void *owner)
{
    struct walk w = {.books = b, .fn = fn, .owner = owner, .expected = from, .gap_until = from};
    enum err e;
    do {
        e = books_each(b, w.expected, until, on_entry, &w);
        if (e == ERR_OK && w.expected < until) {
            w.gap_until = until;
            w.gap_until_us = INT64_MAX;
            e = ERR_AGAIN;
        }
    } while (e == ERR_AGAIN && (e = walk_gap(&w)) == ERR_OK);
    free(w.rollups);
    return e;
}
