/* SPDX-License-Identifier: Apache-2.0
 *
 * Re-rating: usage whose best price line, by what is known now, is another than the one it was charged by (or it had none), gets the difference
 * posted. Nothing that was booked is edited.
 *
 * A usage entry's effective line is its own, then that of each correction that covers it, in the order of the log. So a second run finds nothing to
 * do, and a price that becomes known later still works on top. A correction covers the entries of its leg, provider, model and buyer whose effective
 * line is its `old` one and whose seq lies in its ranges; the ranges are made so that these are exactly the entries that it was computed from.
 *
 * The detail of a correction is JSON, and all that is needed to compute it again:
 *   {"leg":"buy"|"sell","provider":…,"model":…,"buyer":…,"period":…,"entries":n,
 *    "old":{"digest":…,"book":…,"seller":…,"currency":…,"text":…}|null,"new":{…},
 *    "usage":{CLASS:quantity},"old_amount":"…","new_amount":"…","ranges":[[first,last],…]}
 */
#ifndef ENTENTE_REPORT_RERATE_H
#define ENTENTE_REPORT_RERATE_H

#include "base/zone.h"
#include "ledger/books.h"

struct rerate_options {
    struct books *books;
    const struct price_list *prices;
    const struct zone *zone;      /* whose periods keep corrections apart */
    enum period_unit unit;
    int64_t from_us;              /* usage booked before stays as it is; INT64_MIN: none */
    int64_t now_us;               /* what is known by then */
    void (*progress)(void *owner, uint64_t done, uint64_t total); /* NULL: nobody watches */
    void *owner;
};

struct rerate_correction {
    bool sell;
    struct span provider, model, buyer; /* buyer empty when we bought */
    const struct price_line *old_line, *new_line; /* old NULL: there was no price */
    char period[PERIOD_LABEL_BYTES];
    int64_t entries;
    money old_amount, new_amount;
    /* for ledger_post */
    struct span key, memo, detail;
    struct posting_transfer transfers[2];
    unsigned transfers_n;
};

struct rerating {
    struct arena arena;
    struct rerate_correction *corrections;
    unsigned n;
    uint64_t looked_at;           /* usage entries */
    char why[512];                /* after an error */
};

/* ERR_NOT_FOUND: usage in the range was compacted, so its single requests are not there any more. Others as the reader's. why says what to do. */
enum err rerate_make(const struct rerate_options *o, struct rerating *ret) MUST_CHECK;
void rerate_fini(struct rerating *r);

/* Computes a correction again from its detail alone: both amounts from the quantities and the texts of the lines, whose digests must be theirs.
 * ERR_SYNTAX when it is not what it says. */
enum err rerate_check(struct span detail, money *ret_old, money *ret_new) MUST_CHECK;

#endif
