/* SPDX-License-Identifier: Apache-2.0
 *
 * Calendar periods in a named time zone. Reads the system's TZif files (RFC 8536) itself, because the C library knows one zone per process.
 * A zone is immutable after zone_open and may be shared by threads.
 */
#ifndef ENTENTE_BASE_ZONE_H
#define ENTENTE_BASE_ZONE_H

#include "base/err.h"
#include "base/span.h"

struct zone;

/* "UTC", "Europe/Paris". ERR_NOT_FOUND when the system has no such zone (package tzdata), ERR_SYNTAX when its file is damaged or the name
 * leaves the folder. "UTC" needs no file. */
enum err zone_open(const char *name, struct zone **ret) MUST_CHECK;
enum err zone_parse(struct span tzif, struct zone **ret) MUST_CHECK; /* the bytes of such a file; fuzzed */
void zone_free(struct zone *z);                                       /* accepts NULL */
const char *zone_name(const struct zone *z);
int32_t zone_offset_s(const struct zone *z, int64_t wall_s);          /* local time minus UTC at that Unix second */

enum period_unit { PERIOD_DAY, PERIOD_WEEK /* from Monday */, PERIOD_MONTH, PERIOD_QUARTER, PERIOD_YEAR, PERIOD_UNITS };
const char *period_unit_name(enum period_unit u);

#define PERIOD_LABEL_BYTES 16
struct period {
    int64_t from_us, until_us;       /* Unix time, [from, until) */
    char label[PERIOD_LABEL_BYTES];  /* "2026-11-23", "2026-W48", "2026-11", "2026-Q4", "2026" */
};
/* The period that holds this moment. Where a local midnight does not exist, the period begins at the first moment after it. */
void period_at(const struct zone *z, enum period_unit u, int64_t wall_us, struct period *ret);
/* By its label, of any unit. ERR_SYNTAX. */
enum err period_parse(const struct zone *z, struct span label, struct period *ret) MUST_CHECK;
/* A date or time: "2026-08-01" (midnight in z), "2026-08-01T10:00:00Z", "…+02:00". ERR_SYNTAX. */
enum err zone_parse_time(const struct zone *z, struct span text, int64_t *ret_us) MUST_CHECK;

#endif
