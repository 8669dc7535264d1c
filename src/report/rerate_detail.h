/* SPDX-License-Identifier: Apache-2.0
 *
 * The detail of a correction, written and read: see rerate.h for its form.
 */
#ifndef ENTENTE_REPORT_RERATE_DETAIL_H
#define ENTENTE_REPORT_RERATE_DETAIL_H

#include "base/zone.h"
#include "policy/price.h"

struct rerate_range {
    uint64_t first, last; /* both are in it */
};

struct rerate_sum {
    char period[PERIOD_LABEL_BYTES];
    int64_t entries, count[USAGE_CLASSES];
    struct rerate_range *ranges; /* rising */
    unsigned ranges_n;
};

struct rerate_detail {
    bool sell;
    struct span provider, model, buyer;
    const struct price_line *old_line, *new_line; /* old NULL: there was no price */
    struct rerate_sum sum;
};

/* The JSON in the arena, and what both lines come to. ERR_RANGE, ERR_TOO_LARGE. */
enum err rerate_write_detail(struct arena *a, const struct rerate_detail *d, struct span *ret, money *ret_old, money *ret_new) MUST_CHECK;
/* Lines with their digests, in the arena. ERR_SYNTAX when it is not such a detail, or its amounts are not what its figures come to. */
enum err rerate_read_detail(struct arena *a, struct span json, struct rerate_detail *ret) MUST_CHECK;

#endif
