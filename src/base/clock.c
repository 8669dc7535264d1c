/* SPDX-License-Identifier: Apache-2.0
 *
 * Dates by arithmetic, in UTC and the proleptic Gregorian calendar, without the C library and so without locales or zones.
 */
#include "base/clock.h"

#include <stdio.h>

#include "base/calendar.h"

#define YEAR_9999_END_US INT64_C(253402300799999999)
#define YEAR_0_BEGIN_US (-INT64_C(62167219200000000))

struct date {
    int year, month, day;           /* month and day from 1 */
    int hour, minute, second, us;
    int weekday;                    /* 0 is Sunday */
};

static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const day_names[7] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

/* Times that four digits of a year cannot say become the nearest that they can. */
static struct date date_from_us(int64_t wall_us)
{
    struct date d;
    int64_t us = wall_us > YEAR_9999_END_US ? YEAR_9999_END_US : wall_us < YEAR_0_BEGIN_US ? YEAR_0_BEGIN_US : wall_us;
    int64_t seconds = calendar_floor(us, US_PER_S), days = calendar_floor(seconds, S_PER_DAY);
    struct calendar_date date = calendar_date(days);
    int in_day = (int)(seconds - days * S_PER_DAY);
    d.year = (int)date.year;
    d.month = date.month;
    d.day = date.day;
    d.weekday = calendar_weekday(days);
    d.hour = in_day / 3600;
    d.minute = in_day / 60 % 60;
    d.second = in_day % 60;
    d.us = (int)(us - seconds * US_PER_S);
    return d;
}

static char *put_digits(char *out, int value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
    return out + digits;
}

static char *put_number(char *out, int value, int digits, char after)
{
    out = put_digits(out, value, digits);
    *out++ = after;
    return out;
}

static char *put_name(char *out, const char *name, const char *after)
{
    size_t n = strlen(after);
    memcpy(out, name, 3);
    memcpy(out + 3, after, n);
    return out + 3 + n;
}

struct span clock_rfc3339_us(char out[CLOCK_RFC3339_BYTES], int64_t wall_us)
{
    struct date d = date_from_us(wall_us);
    char *p = put_number(out, d.year, 4, '-');
    p = put_number(p, d.month, 2, '-');
    p = put_number(p, d.day, 2, 'T');
    p = put_number(p, d.hour, 2, ':');
    p = put_number(p, d.minute, 2, ':');
    p = put_number(p, d.second, 2, '.');
    p = put_number(p, d.us, 6, 'Z');
    *p = '\0';
    return span_of(out, (size_t)(p - out));
}

struct span clock_http_date(char out[CLOCK_HTTP_DATE_BYTES], int64_t wall_us)
{
    struct date d = date_from_us(wall_us);
    char *p = put_name(out, day_names[d.weekday], ", ");
    p = put_number(p, d.day, 2, ' ');
    p = put_name(p, month_names[d.month - 1], " ");
    p = put_number(p, d.year, 4, ' ');
    p = put_number(p, d.hour, 2, ':');
    p = put_number(p, d.minute, 2, ':');
    p = put_number(p, d.second, 2, ' ');
    p = put_name(p, "GMT", "");
    *p = '\0';
    return span_of(out, (size_t)(p - out));
}

/* Parsing takes from the front of a span; each step is false when the text is otherwise. */

static bool take_text(struct span *s, struct span text)
{
    if (!span_starts(*s, text))
        return false;
    *s = span_from(*s, text.n);
    return true;
}

static bool take_digits(struct span *s, size_t digits, int *ret)
{
    uint64_t value;
    if (s->n < digits || !span_to_u64(span_to(*s, digits), &value))
        return false;
    *s = span_from(*s, digits);
    *ret = (int)value;
    return true;
}

static bool take_month(struct span *s, int *ret)
{
    for (int i = 0; i < 12; i++)
        if (take_text(s, span_of(month_names[i], 3))) {
            *ret = i + 1;
            return true;
        }
    return false;
}

static bool take_time(struct span *s, struct date *d)
{
    return take_digits(s, 2, &d->hour) && take_text(s, SPAN(":")) && take_digits(s, 2, &d->minute) && take_text(s, SPAN(":")) &&
           take_digits(s, 2, &d->second);
}

/* Sun, 06 Nov 1994 08:49:37 GMT, after the comma */
static bool take_fixdate(struct span *s, struct date *d)
{
    return take_text(s, SPAN(", ")) && take_digits(s, 2, &d->day) && take_text(s, SPAN(" ")) && take_month(s, &d->month) &&
           take_text(s, SPAN(" ")) && take_digits(s, 4, &d->year) && take_text(s, SPAN(" ")) && take_time(s, d) &&
           take_text(s, SPAN(" GMT"));
}

/* Sunday, 06-Nov-94 08:49:37 GMT. The century is guessed without a look at the clock: nothing here is older than 1970. */
static bool take_rfc850(struct span *s, struct date *d)
{
    bool is_good = take_text(s, SPAN(", ")) && take_digits(s, 2, &d->day) && take_text(s, SPAN("-")) && take_month(s, &d->month) &&
                   take_text(s, SPAN("-")) && take_digits(s, 2, &d->year) && take_text(s, SPAN(" ")) && take_time(s, d) &&
                   take_text(s, SPAN(" GMT"));
    d->year += d->year < 70 ? 2000 : 1900;
    return is_good;
}

/* Sun Nov  6 08:49:37 1994 */
static bool take_asctime(struct span *s, struct date *d)
{
    return take_text(s, SPAN(" ")) && take_month(s, &d->month) && take_text(s, SPAN(" ")) &&
           (take_text(s, SPAN(" ")) ? take_digits(s, 1, &d->day) : take_digits(s, 2, &d->day)) && take_text(s, SPAN(" ")) &&
           take_time(s, d) && take_text(s, SPAN(" ")) && take_digits(s, 4, &d->year);
}

static int days_in_month(int year, int month)
{
    static const char days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && is_leap ? 29 : days[month - 1];
}

/* A leap second is allowed; it is the same instant as the second after it. */
static bool date_is_possible(const struct date *d)
{
    return d->day >= 1 && d->day <= days_in_month(d->year, d->month) && d->hour <= 23 && d->minute <= 59 && d->second <= 60;
}

static bool take_date(struct span *s, struct date *d)
{
    for (int i = 0; i < 7; i++) {
        if (take_text(s, span_str(day_names[i])))
            return take_rfc850(s, d);
        if (take_text(s, span_of(day_names[i], 3)))
            return span_starts(*s, SPAN(",")) ? take_fixdate(s, d) : take_asctime(s, d);
    }
    return false;
}

enum err clock_parse_http_date(struct span text, int64_t *ret_wall_us)
{
    struct date d = {0};
    if (!take_date(&text, &d) || text.n != 0 || !date_is_possible(&d))
        return ERR_SYNTAX;
    int64_t seconds = calendar_days(d.year, d.month, d.day) * S_PER_DAY + d.hour * 3600 + d.minute * 60 + d.second;
    *ret_wall_us = seconds * US_PER_S;
    return ERR_OK;
}

enum err clock_parse_duration(struct span text, uint64_t *ret_ns)
{
    static const struct { const char *unit; uint64_t ns; } units[] = {
        {"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}, {"d", 86400000000000},
    };
    uint64_t number, ns;
    size_t digits = 0;
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
        digits++;
    if (!span_to_u64(span_to(text, digits), &number))
        return ERR_SYNTAX;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (!span_eq(span_from(text, digits), span_str(units[i].unit)))
            continue;
        if (__builtin_mul_overflow(number, units[i].ns, &ns))
            return ERR_SYNTAX;
        *ret_ns = ns;
        return ERR_OK;
    }
    return ERR_SYNTAX;
}
