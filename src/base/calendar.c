/* SPDX-License-Identifier: Apache-2.0
 *
 * The conversions between days and dates follow Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013,
 * https://howardhinnant.github.io/date_algorithms.html): years begin in March, so that the leap day comes last, and 400
 * years (an era) always have 146097 days.
 */
#include "base/calendar.h"

#define DAYS_TO_1970 719468 /* from 0000-03-01 */

int64_t calendar_days(int64_t year, int month, int day)
{
    int64_t from_march = month - 3, y = year + calendar_floor(from_march, 12);
    int64_t era = calendar_floor(y, 400), year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (from_march - calendar_floor(from_march, 12) * 12) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - DAYS_TO_1970;
}

struct calendar_date calendar_date(int64_t days)
{
    int64_t z = days + DAYS_TO_1970, era = calendar_floor(z, 146097), day_of_era = z - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * day_of_year + 2) / 153;
    int month = (int)(from_march < 10 ? from_march + 3 : from_march - 9);
    return (struct calendar_date){year_of_era + era * 400 + (month <= 2), month, (int)(day_of_year - (153 * from_march + 2) / 5 + 1)};
}
