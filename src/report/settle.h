/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of a settlement share: statement.c adds up accounts and lines, settle_terms.c computes what the terms come to.
 */
#ifndef ENTENTE_REPORT_SETTLE_H
#define ENTENTE_REPORT_SETTLE_H

#include "report/postings.h"
#include "report/statement.h"

struct settle {
    const struct settlement_options *options;
    struct settlement *out;
    struct arena *arena;            /* of out */
    struct sums sums;
    const struct sums_row **rows;  /* of the sums, by time, then side, provider, model, price, buyer */
    struct postings postings;
};

/* The closings that are not booked yet, of all units that end no later than the period asked for; into out. */
enum err settle_terms(struct settle *s) MUST_CHECK;

/* Who sold and who bought by a row of the sums; empty when there is no price. */
struct span settle_seller(const struct settle *s, const struct sums_row *r);
struct span settle_buyer(const struct settle *s, const struct sums_row *r);

#endif
