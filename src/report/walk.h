/* SPDX-License-Identifier: Apache-2.0
 *
 * The books from one place to another, as reports read them: every entry in order, and where old usage was compacted, the rollups that stand for it.
 */
#ifndef ENTENTE_REPORT_WALK_H
#define ENTENTE_REPORT_WALK_H

#include "ledger/books.h"

struct walk_step {
    uint64_t seq;                /* of the entry; the first that the rollup sums up */
    int64_t booked_us;           /* of the entry (names and prices: of what was booked before them); the begin of the rollup's bucket */
    const struct entry *entry;   /* NULL: usage that was compacted, in `rollup` */
    struct span body;
    const struct rollup *rollup;
    bool is_past;                /* walk_times: before the range */
};

typedef enum err walk_fn(void *owner, const struct walk_step *s);

/* Steps [from, until) of the log, in order; times never fall by a quarter of an hour's begin. Everything a step holds is borrowed for the call. fn's
 * error ends the walk and is its result. */
enum err walk_books(struct books *b, uint64_t from, uint64_t until, walk_fn *fn, void *owner) MUST_CHECK;

/* What was booked in [from_us, until_us); with_past: what was booked before it, too, marked. Compacted usage was booked when
 * its bucket began. */
struct walk_times {
    int64_t from_us, until_us; /* INT64_MIN and INT64_MAX: from the first, to the last */
    bool with_past;
};
enum err walk_times(struct books *b, const struct walk_times *times, walk_fn *fn, void *owner) MUST_CHECK;

#endif
