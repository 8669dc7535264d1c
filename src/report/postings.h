/* SPDX-License-Identifier: Apache-2.0
 *
 * The postings of a ledger, all of them, in memory: there are few. A posting that closes a term belongs to the period it closes, every other to the
 * moment it was booked.
 */
#ifndef ENTENTE_REPORT_POSTINGS_H
#define ENTENTE_REPORT_POSTINGS_H

#include "base/zone.h"
#include "ledger/books.h"

struct posting_row {
    uint64_t seq;
    int64_t booked_us, at_us;  /* at_us: when it counts; the last moment of the period that it closes */
    enum posting_cause cause;
    struct span key, memo, detail;
    unsigned transfers_n;
    struct posting_moved {
        struct span debit, credit, currency; /* borrowed from the books */
        money amount;
    } *transfers;
};

struct postings {
    struct posting_row *rows;  /* by seq */
    unsigned n;
};

/* Reads them into the arena. zone: of the labels of closed periods. */
enum err postings_read(struct arena *a, struct books *b, const struct zone *zone, struct postings *ret) MUST_CHECK;
const struct posting_row *postings_find(const struct postings *p, struct span key); /* or NULL */

/* The amount of a line's detail, and a name in it; false when it has none. */
bool posting_detail_money(struct span detail, const char *path, money *ret);
struct span posting_detail_text(struct arena *a, struct span detail, const char *path); /* empty when it has none */

#endif
