/* SPDX-License-Identifier: Apache-2.0
 *
 * Usage added up from rollups, by who, what, at which price, and in which stretch of time: all that statements and terms need of it. Ten million
 * requests become a few hundred rows here.
 */
#ifndef ENTENTE_REPORT_SUMS_H
#define ENTENTE_REPORT_SUMS_H

#include "base/index.h"
#include "base/zone.h"
#include "ledger/books.h"

/* A stretch: a period of the books' unit, cut again where the period that is asked for begins and ends; everything after that is one. */
struct sums_row {
    int64_t from_us;           /* of its stretch */
    int64_t hour;              /* of sums.hours: since 1970; else 0 */
    uint32_t price, provider, model, buyer; /* numbers in the books; price 0: unpriced. buyer 0 in rows of what we bought */
    bool sell, estimated;
    /* sums */
    int64_t requests, count[USAGE_CLASSES];
    money amount;
    money stated, stated_ours; /* bought: what providers said it cost, in USD, and what it cost by our prices, where all requests of a rollup were stated */
    int64_t stated_n;
    uint32_t first_hour, next_hour; /* of a row: the newest of its hours; of an hour: the next of the same row. Numbers from 1, 0: no more */
};

struct sums {
    struct books *books;
    const struct zone *zone;
    enum period_unit unit;
    struct period period;      /* asked for */
    bool with_hours;           /* also by the hour, up to the period's end */
    struct period at;          /* the unit that was looked up last */
    struct sums_row *rows, *hours;
    unsigned rows_n, rows_room, hours_n, hours_room;
    struct index index, hours_index;
};

/* Usage booked from from_us on (INT64_MIN: all), to the end of the books. ERR_RANGE when a sum does not fit, and the reader's errors. */
enum err sums_read(struct sums *t, int64_t from_us) MUST_CHECK;
void sums_fini(struct sums *t);

#endif
