/* SPDX-License-Identifier: Apache-2.0
 *
 * The rule at the foot of a TZif file ("CET-1CEST,M3.5.0,M10.5.0/3"), which says how a zone goes on for ever after its table. POSIX.1 section 8.3
 * with the extension of RFC 8536 3.3.1: times of a change from -167 to 167 hours.
 */
#ifndef ENTENTE_BASE_ZONE_RULE_H
#define ENTENTE_BASE_ZONE_RULE_H

#include "base/err.h"
#include "base/span.h"

struct zone_day { /* a day of each year, and a local time of that day */
    enum { ZONE_DAY_JULIAN /* 1 to 365, 29 February never counted */, ZONE_DAY_OF_YEAR /* from 0 */, ZONE_DAY_OF_WEEK } kind;
    int month, week /* 5: the last */, day /* of DAY_OF_WEEK: 0 is Sunday */;
    int32_t time_s;
};
struct zone_rule {
    int32_t standard_s, summer_s; /* local time minus UTC */
    bool has_summer;
    struct zone_day summer_from, summer_until;
};

enum err zone_rule_parse(struct span text, struct zone_rule *ret) MUST_CHECK; /* ERR_SYNTAX */
/* The offset at that moment, and when it changes next (INT64_MAX: never). */
int32_t zone_rule_offset(const struct zone_rule *r, int64_t wall_s, int64_t *ret_until_s);

#endif
