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

/* "UTC", "Europe/Paris". ERR_NOT_FOUND when the system has no such zone (package tzdata; the folder is /usr/share/zoneinfo or $TZDIR), ERR_SYNTAX
 * when its file is damaged, counts leap seconds, or the name leaves the folder, ERR_IO. "UTC" needs no file. */
enum err zone_open(const char *name, struct zone **ret) MUST_CHECK;
enum err zone_parse(struct span tzif, struct zone **ret) MUST_CHECK; /* the bytes of such a file; fuzzed */
void zone_free(struct zone *z);                                       /* accepts NULL */
const char *zone_name(const struct zone *z);                          /* as opened; "" of zone_parse */
int32_t zone_offset_s(const struct zone *z, int64_t wall_s);          /* local time minus UTC at that Unix second */
/* The first Unix second at which clocks there show local_s (seconds since 1970-01-01 00:00 local) or later. */
int64_t zone_first_s(const struct zone *z, int64_t local_s);

/* ---- periods (period.c) ---- */

enum period_unit { PERIOD_DAY, PERIOD_WEEK /* from Monday */, PERIOD_MONTH, PERIOD_QUARTER, PERIOD_YEAR, PERIOD_UNITS };
const char *period_unit_name(enum period_unit u); /* "day" */

#define PERIOD_LABEL_BYTES 16
struct period {
    int64_t from_us, until_us;       /* Unix time, [from, until) */
    char label[PERIOD_LABEL_BYTES];  /* "2026-11-23", "2026-W48", "2026-11", "2026-Q4", "2026" */
};
/* The period that holds this moment. A period begins when clocks there first show its midnight or later: where a local midnight does not exist, at
 * the first moment after it; where it comes twice, at the first. So periods of one unit never overlap and leave nothing out. Moments more than
 * 290,000 years from 1970 count as the last before. */
void period_at(const struct zone *z, enum period_unit u, int64_t wall_us, struct period *ret);
/* By its label, of any unit. ERR_SYNTAX. */
enum err period_parse(const struct zone *z, struct span label, struct period *ret) MUST_CHECK;
/* A date or time: "2026-08-01" (midnight in z), "2026-08-01T10:00:00Z", "…+02:00", or without either: by the clocks in z. Up to six decimals of a
 * second. ERR_SYNTAX. */
enum err zone_parse_time(const struct zone *z, struct span text, int64_t *ret_us) MUST_CHECK;

#endif
