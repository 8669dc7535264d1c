/* SPDX-License-Identifier: Apache-2.0
 *
 * Periods of a calendar. A period is known by its first day; labels are written from that and read by finding the day, writing its label and
 * comparing, so that what does not exist (30 February, week 53 of most years) is refused without a rule of its own.
 */
#include "base/zone.h"

#include <stdio.h>

#include "base/calendar.h"

#define WALL_MAX_US INT64_C(9180000000000000000) /* 290,000 years: the ends of every period still fit */

static const struct {
    const char *name;
    int days, months;
} units[PERIOD_UNITS] = {
    [PERIOD_DAY] = {"day", 1, 0},     [PERIOD_WEEK] = {"week", 7, 0},  [PERIOD_MONTH] = {"month", 0, 1},
    [PERIOD_QUARTER] = {"quarter", 0, 3}, [PERIOD_YEAR] = {"year", 0, 12},
};

const char *period_unit_name(enum period_unit u)
{
    return units[u].name;
}

static int64_t first_day(enum period_unit u, int64_t day)
{
    struct calendar_date d = calendar_date(day);
    if (u == PERIOD_DAY)
        return day;
    if (u == PERIOD_WEEK)
        return day - (calendar_weekday(day) + 6) % 7;
    return calendar_days(d.year, (d.month - 1) / units[u].months * units[u].months + 1, 1);
}

static int64_t next_first_day(enum period_unit u, int64_t first)
{
    struct calendar_date d = calendar_date(first);
    return units[u].days ? first + units[u].days : calendar_days(d.year, d.month + units[u].months, 1);
}

/* Weeks belong to the year of their Thursday (ISO 8601). */
static void write_week(char label[PERIOD_LABEL_BYTES], int64_t first)
{
    int64_t thursday = first + 3, year = calendar_date(thursday).year;
    (void)snprintf(label, PERIOD_LABEL_BYTES, "%04d-W%02u", (int)year, (unsigned)(thursday - calendar_days(year, 1, 1)) / 7 % 53 + 1);
}

static void write_label(char label[PERIOD_LABEL_BYTES], enum period_unit u, int64_t first)
{
    struct calendar_date d = calendar_date(first);
    int year = (int)d.year;
    switch (u) {
    case PERIOD_DAY: (void)snprintf(label, PERIOD_LABEL_BYTES, "%04d-%02d-%02d", year, d.month, d.day); break;
    case PERIOD_WEEK: write_week(label, first); break;
    case PERIOD_MONTH: (void)snprintf(label, PERIOD_LABEL_BYTES, "%04d-%02d", year, d.month); break;
    case PERIOD_QUARTER: (void)snprintf(label, PERIOD_LABEL_BYTES, "%04d-Q%u", year, ((unsigned)d.month + 2) / 3 % 5); break;
    case PERIOD_YEAR: (void)snprintf(label, PERIOD_LABEL_BYTES, "%04d", year); break;
    case PERIOD_UNITS: break;
    }
}

static int64_t midnight_us(const struct zone *z, int64_t day)
{
    return zone_first_s(z, day * S_PER_DAY) * US_PER_S;
}

/* The period of the day; the first day of the next. */
static int64_t period_of_day(const struct zone *z, enum period_unit u, int64_t day, struct period *ret)
{
    int64_t first = first_day(u, day), next = next_first_day(u, first);
    memset(ret, 0, sizeof *ret);
    ret->from_us = midnight_us(z, first);
    ret->until_us = midnight_us(z, next);
    write_label(ret->label, u, first);
    return next;
}

void period_at(const struct zone *z, enum period_unit u, int64_t wall_us, struct period *ret)
{
    int64_t us = wall_us > WALL_MAX_US ? WALL_MAX_US : wall_us < -WALL_MAX_US ? -WALL_MAX_US : wall_us;
    int64_t wall_s = calendar_floor(us, US_PER_S);
    int64_t next = period_of_day(z, u, calendar_floor(wall_s + zone_offset_s(z, wall_s), S_PER_DAY), ret);
    while (us >= ret->until_us) /* clocks were put back over midnight, and show yesterday again */
        next = period_of_day(z, u, next, ret);
}

/* ---- reading ---- */

/* What a form like "9999-Q9" says; 9 stands for a digit. */
static bool read_form(struct span text, const char *form, int *numbers)
{
    int n = 0;
    if (text.n != strlen(form))
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (form[i] != '9' && text.p[i] != form[i])
            return false;
        if (form[i] != '9')
            continue;
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        n += i && form[i - 1] != '9';
        numbers[n] = numbers[n] * 10 + (text.p[i] - '0');
    }
    return true;
}

/* A day of the period that the label names; a label that names none gives some day or other. */
static bool read_label(struct span label, enum period_unit *ret_unit, int64_t *ret_day)
{
    static const char *const forms[PERIOD_UNITS] = {"9999-99-99", "9999-W99", "9999-99", "9999-Q9", "9999"};
    for (unsigned u = 0; u < PERIOD_UNITS; u++) {
        int said[3] = {0};
        if (!read_form(label, forms[u], said))
            continue;
        *ret_unit = (enum period_unit)u;
        if (u == PERIOD_WEEK)
            *ret_day = calendar_days(said[0], 1, 4) + 7 * (said[1] - 1); /* 4 January is always in week 1 */
        else
            *ret_day = calendar_days(said[0], u == PERIOD_YEAR ? 1 : u == PERIOD_QUARTER ? said[1] * 3 : said[1], u == PERIOD_DAY ? said[2] : 1);
        return true;
    }
    return false;
}

enum err period_parse(const struct zone *z, struct span label, struct period *ret)
{
    enum period_unit u;
    int64_t day;
    struct period p;
    if (!read_label(label, &u, &day))
        return ERR_SYNTAX;
    (void)period_of_day(z, u, day, &p);
    if (!span_eq(span_str(p.label), label))
        return ERR_SYNTAX;
    *ret = p;
    return ERR_OK;
}

/* "10:00:00" off the front. */
static bool take_clock(struct span *rest, int64_t *ret_s)
{
    int said[3] = {0};
    if (!read_form(span_to(*rest, 8), "99:99:99", said) || said[0] > 23 || said[1] > 59 || said[2] > 59)
        return false;
    *ret_s = said[0] * 3600 + said[1] * 60 + said[2];
    *rest = span_from(*rest, 8);
    return true;
}

/* "Z" or "+02:00". */
static bool read_offset(struct span text, int64_t *ret_s)
{
    int said[2] = {0};
    bool west = span_starts(text, SPAN("-"));
    *ret_s = 0;
    if (span_eq(text, SPAN("Z")))
        return true;
    if ((!west && !span_starts(text, SPAN("+"))) || !read_form(span_from(text, 1), "99:99", said) || said[0] > 23 || said[1] > 59)
        return false;
    *ret_s = (said[0] * 3600 + said[1] * 60) * (west ? -1 : 1);
    return true;
}

/* ".25" off the front; false when a point is followed by none or by more than six digits. */
static bool take_decimals(struct span *rest, int64_t *ret_us)
{
    size_t n = 1;
    int64_t us = 0, unit = US_PER_S;
    *ret_us = 0;
    if (!span_starts(*rest, SPAN(".")))
        return true;
    for (; n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9' && unit > 1; n++, unit /= 10)
        us = us * 10 + (rest->p[n] - '0');
    *ret_us = us * unit;
    *rest = span_from(*rest, n);
    return n > 1;
}

/* What follows the date: "T10:00:00.25+02:00". day_s: the date's midnight, by no clock in particular. */
static enum err parse_clock(const struct zone *z, int64_t day_s, struct span text, int64_t *ret_us)
{
    int64_t clock_s, decimals_us, offset_s;
    struct span rest = span_from(text, 1);
    if (!span_starts(text, SPAN("T")) || !take_clock(&rest, &clock_s) || !take_decimals(&rest, &decimals_us))
        return ERR_SYNTAX;
    if (rest.n && !read_offset(rest, &offset_s))
        return ERR_SYNTAX;
    int64_t local_s = day_s + clock_s;
    *ret_us = (rest.n ? local_s - offset_s : zone_first_s(z, local_s)) * US_PER_S + decimals_us;
    return ERR_OK;
}

enum err zone_parse_time(const struct zone *z, struct span text, int64_t *ret_us)
{
    struct period day;
    int date[3] = {0};
    if (!read_form(span_to(text, 10), "9999-99-99", date) || period_parse(z, span_to(text, 10), &day))
        return ERR_SYNTAX;
    if (text.n > 10)
        return parse_clock(z, calendar_days(date[0], date[1], date[2]) * S_PER_DAY, span_from(text, 10), ret_us);
    *ret_us = day.from_us;
    return ERR_OK;
}
