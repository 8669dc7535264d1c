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

/* ---- by time ---- */

struct timed_walk {
    const struct walk_times *times;
    walk_fn *fn;
    void *owner;
    uint64_t from, until;  /* of the log: entries of the range that are still there */
    uint64_t start, stop;  /* and what was compacted */
};

/* Usage of the range that was compacted may lie before its first entry that is there, and behind its last. */
static enum err reach_rollup(void *owner, const struct rollup *r)
{
    struct timed_walk *w = owner;
    if (r->bucket_us < w->times->from_us || r->bucket_us >= w->times->until_us)
        return ERR_OK;
    w->start = r->first_seq < w->start ? r->first_seq : w->start;
    w->stop = r->first_seq >= w->stop ? r->first_seq + 1 : w->stop;
    return ERR_OK;
}

/* An entry by its place, which its time decided; a rollup by its bucket. */
static enum err on_timed_step(void *owner, const struct walk_step *s)
{
    const struct timed_walk *w = owner;
    struct walk_step step = *s;
    step.is_past = s->entry ? s->seq < w->from : s->booked_us < w->times->from_us;
    bool is_after = s->entry ? s->seq >= w->until : s->booked_us >= w->times->until_us;
    return is_after || (step.is_past && !w->times->with_past) ? ERR_OK : w->fn(w->owner, &step);
}

static bool is_everything(const struct walk_times *t) { return t->from_us == INT64_MIN && t->until_us == INT64_MAX; }

enum err walk_times(struct books *b, const struct walk_times *times, walk_fn *fn, void *owner)
{
    struct timed_walk w = {times, fn, owner, .until = books_size(b)};
    enum err e = is_everything(times) ? ERR_OK : books_range(b, times->from_us, times->until_us, &w.from, &w.until);
    w.start = times->with_past ? 0 : w.from;
    w.stop = w.until;
    if (!e && !is_everything(times))
        e = books_each_rollup(b, INT64_MIN, INT64_MAX, reach_rollup, &w);
    return e ? e : walk_books(b, w.start, w.stop, on_timed_step, &w);
}
