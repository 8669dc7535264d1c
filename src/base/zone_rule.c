/* SPDX-License-Identifier: Apache-2.0
 *
 * POSIX rules for summer time. A change may fall into the year before or after the one it is counted in, and with summer time all year two of
 * them coincide; so a moment is looked up among all the changes of the years around it, not by comparing with two dates.
 */
#include "base/zone_rule.h"

#include "base/calendar.h"

/* ---- reading ---- */

static bool take_char(struct span *s, char c)
{
    bool there = s->n && s->p[0] == c;
    *s = span_from(*s, there);
    return there;
}

static bool take_number(struct span *s, int least, int most, int *ret)
{
    size_t n = 0;
    int value = 0;
    for (; n < s->n && n < 4 && s->p[n] >= '0' && s->p[n] <= '9'; n++)
        value = value * 10 + (s->p[n] - '0');
    *s = span_from(*s, n);
    *ret = value;
    return n && value >= least && value <= most;
}

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* "CET" or "<+0330>"; what it says is not kept. */
static bool take_name(struct span *s)
{
    size_t n = 0;
    if (take_char(s, '<')) {
        ptrdiff_t end = span_find(*s, '>');
        *s = span_from(*s, end < 0 ? s->n : (size_t)end + 1);
        return end > 0;
    }
    while (n < s->n && is_letter(s->p[n]))
        n++;
    *s = span_from(*s, n);
    return n >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct span *s, int hours_max, int32_t *ret)
{
    int hours, minutes = 0, seconds = 0;
    bool negative = take_char(s, '-');
    if (!negative)
        (void)take_char(s, '+');
    if (!take_number(s, 0, hours_max, &hours) || (take_char(s, ':') && (!take_number(s, 0, 59, &minutes) ||
        (take_char(s, ':') && !take_number(s, 0, 59, &seconds)))))
        return false;
    *ret = (hours * 3600 + minutes * 60 + seconds) * (negative ? -1 : 1);
    return true;
}

static bool take_day(struct span *s, struct zone_day *ret)
{
    if (take_char(s, 'M')) {
        ret->kind = ZONE_DAY_OF_WEEK;
        return take_number(s, 1, 12, &ret->month) && take_char(s, '.') && take_number(s, 1, 5, &ret->week) && take_char(s, '.') &&
               take_number(s, 0, 6, &ret->day);
    }
    ret->kind = take_char(s, 'J') ? ZONE_DAY_JULIAN : ZONE_DAY_OF_YEAR;
    return take_number(s, ret->kind == ZONE_DAY_JULIAN, 365, &ret->day);
}

/* ,day[/time], by default at two in the morning */
static bool take_change(struct span *s, struct zone_day *ret)
{
    ret->time_s = 2 * 3600;
    return take_char(s, ',') && take_day(s, ret) && (!take_char(s, '/') || take_time(s, 167, &ret->time_s));
}

static bool take_summer(struct span *s, struct zone_rule *r)
{
    int32_t west = -r->standard_s - 3600; /* unless it is said */
    if (!take_name(s) || (s->n && s->p[0] != ',' && !take_time(s, 24, &west)))
        return false;
    r->has_summer = true;
    r->summer_s = -west;
    return take_change(s, &r->summer_from) && take_change(s, &r->summer_until);
}

enum err zone_rule_parse(struct span text, struct zone_rule *ret)
{
    struct zone_rule r = {0};
    int32_t west;
    if (!take_name(&text) || !take_time(&text, 24, &west))
        return ERR_SYNTAX;
    r.standard_s = -west;
    if ((text.n && !take_summer(&text, &r)) || text.n)
        return ERR_SYNTAX;
    *ret = r;
    return ERR_OK;
}

/* ---- asking ---- */

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t day_of_week_in(int64_t year, const struct zone_day *d)
{
    int64_t first = calendar_days(year, d->month, 1), next_month = calendar_days(year, d->month + 1, 1);
    int64_t day = first + (d->day - calendar_weekday(first) + 7) % 7 + 7 * (d->week - 1);
    return day < next_month ? day : day - 7;
}

/* That day's time in that year, by a clock that is offset_s ahead of UTC. */
static int64_t change_at(int64_t year, const struct zone_day *d, int32_t offset_s)
{
    int64_t day;
    if (d->kind == ZONE_DAY_OF_WEEK)
        day = day_of_week_in(year, d);
    else if (d->kind == ZONE_DAY_OF_YEAR)
        day = calendar_days(year, 1, 1) + d->day;
    else
        day = calendar_days(year, 1, 1) + d->day - 1 + (is_leap(year) && d->day >= 60);
    return day * S_PER_DAY + d->time_s - offset_s;
}

struct lookup {
    int64_t wall_s, since_s, until_s;
    int32_t offset_s;
};

/* Of changes that coincide the last one told stands. */
static void lookup_change(struct lookup *l, int64_t at_s, int32_t offset_s)
{
    if (at_s > l->wall_s) {
        l->until_s = at_s < l->until_s ? at_s : l->until_s;
    } else if (at_s >= l->since_s) {
        l->since_s = at_s;
        l->offset_s = offset_s;
    }
}

int32_t zone_rule_offset(const struct zone_rule *r, int64_t wall_s, int64_t *ret_until_s)
{
    struct lookup l = {wall_s, INT64_MIN, INT64_MAX, r->standard_s};
    int64_t year = calendar_date(calendar_floor(wall_s, S_PER_DAY)).year;
    for (int64_t y = year - 2; y <= year + 2 && r->has_summer; y++) {
        lookup_change(&l, change_at(y, &r->summer_until, r->summer_s), r->standard_s);
        lookup_change(&l, change_at(y, &r->summer_from, r->standard_s), r->summer_s);
    }
    *ret_until_s = l.until_s;
    return l.offset_s;
}
