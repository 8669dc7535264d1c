/* SPDX-License-Identifier: Apache-2.0
 *
 * Days and dates of the proleptic Gregorian calendar, for any year; no clock, no zone.
 */
#ifndef ENTENTE_BASE_CALENDAR_H
#define ENTENTE_BASE_CALENDAR_H

#include <stdint.h>

#define S_PER_DAY 86400
#define US_PER_S 1000000

struct calendar_date {
    int64_t year;
    int month, day; /* from 1 */
};

int64_t calendar_days(int64_t year, int month, int day);       /* since 1970-01-01; a month above 12 is in the years that follow */
struct calendar_date calendar_date(int64_t days);
static inline int calendar_weekday(int64_t days) { return (int)(((days + 4) % 7 + 7) % 7); } /* 0 is Sunday; 1970-01-01 was a Thursday */

/* Division that rounds down, as times before 1970 need it. */
static inline int64_t calendar_floor(int64_t value, int64_t unit) { return value / unit - (value % unit < 0); }

#endif
