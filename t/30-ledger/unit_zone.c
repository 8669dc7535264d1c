/* SPDX-License-Identifier: Apache-2.0
 *
 * Time zones and calendar periods: against Python's zoneinfo, which is another reader of the same files, and against what the definitions say.
 */
#include <stdlib.h>

#include "base/calendar.h"
#include "base/zone.h"
#include "unit.h"
#include "unit_random.h"

#define DAY_US (INT64_C(86400) * 1000000)

/* Prints "zone second offset" for all zones and seconds around every change from 1850 to 2200, and some by chance. */
static const char *const python =
    "python3 - 2>/dev/null <<'END'\n"
    "import random, zoneinfo\n"
    "from datetime import datetime, timedelta, timezone\n"
    "epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)\n"
    "random.seed(20261123)\n"
    "for name in sorted(zoneinfo.available_timezones())[::%d]:\n"
    "    zone = zoneinfo.ZoneInfo(name)\n"
    "    at = lambda s: int((epoch + timedelta(seconds=s)).astimezone(zone).utcoffset().total_seconds())\n"
    "    step, s, low = 86400 * 20, -3786912000, None\n"
    "    seconds = [random.randrange(-3786912000, 7258118400) for i in range(40)]\n"
    "    while s < 7258118400:\n"
    "        if at(s) != at(s + step):\n"
    "            low, high = s, s + step\n"
    "            while high - low > 1:\n"
    "                middle = (low + high) // 2\n"
    "                low, high = (middle, high) if at(middle) == at(low) else (low, middle)\n"
    "            seconds += [low, high]\n"
    "        s += step\n"
    "    for s in seconds:\n"
    "        print(name, s, at(s))\n"
    "END\n";

static struct zone *open_zone(const char *name)
{
    struct zone *z = NULL;
    return zone_open(name, &z) ? NULL : z;
}

static void compare_line(const char *name, struct zone **z, long long second, int offset)
{
    if (*z && strcmp(zone_name(*z), name) != 0) {
        zone_free(*z);
        *z = NULL;
    }
    if (!*z)
        *z = open_zone(name);
    REQUIRE(*z);
    if (zone_offset_s(*z, second) != offset)
        UNIT_FAIL("%s at %lld is %d from UTC, expected %d", name, second, zone_offset_s(*z, second), offset);
}

TEST(every_zone_has_the_offsets_that_another_reader_finds)
{
    char command[2048], name[128];
    struct zone *z = NULL;
    long long second;
    int offset, lines = 0;
    snprintf(command, sizeof command, python, getenv("ENTENTE_ALL_ZONES") ? 1 : 23);
    FILE *f = popen(command, "r");
    REQUIRE(f);
    while (fscanf(f, "%127s %lld %d", name, &second, &offset) == 3 && unit_failures < 20 && ++lines)
        compare_line(name, &z, second, offset);
    zone_free(z);
    if (pclose(f) != 0 || lines == 0)
        SKIP("no python3 with zoneinfo and zones");
    printf("# %d offsets compared\n", lines);
}

static const struct {
    const char *zone;
    enum period_unit unit;
    const char *moment, *label, *from, *until;
} period_rows[] = {
    {"UTC", PERIOD_DAY, "2026-11-23T10:00:00Z", "2026-11-23", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"},
    {"UTC", PERIOD_WEEK, "2026-11-23T00:00:00Z", "2026-W48", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},
    {"UTC", PERIOD_WEEK, "2021-01-03T23:59:59.999999Z", "2020-W53", "2020-12-28T00:00:00Z", "2021-01-04T00:00:00Z"},
    {"UTC", PERIOD_WEEK, "2024-12-30T00:00:00Z", "2025-W01", "2024-12-30T00:00:00Z", "2025-01-06T00:00:00Z"},
    {"UTC", PERIOD_QUARTER, "2026-12-31T23:59:59Z", "2026-Q4", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z"},
    {"UTC", PERIOD_YEAR, "1969-12-31T23:59:59.999999Z", "1969", "1969-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
    {"UTC", PERIOD_DAY, "1904-02-29T00:00:00Z", "1904-02-29", "1904-02-29T00:00:00Z", "1904-03-01T00:00:00Z"},
    {"Europe/Paris", PERIOD_MONTH, "2026-10-31T23:30:00Z", "2026-11", "2026-11-01T00:00:00+01:00", "2026-12-01T00:00:00+01:00"},
    {"Europe/Paris", PERIOD_MONTH, "2026-10-15T00:00:00Z", "2026-10", "2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00"},
    {"Europe/Paris", PERIOD_YEAR, "2099-06-01T00:00:00Z", "2099", "2098-12-31T23:00:00Z", "2099-12-31T23:00:00Z"},
    {"Europe/Paris", PERIOD_DAY, "1911-03-10T23:55:00Z", "1911-03-10", "1911-03-09T23:50:39Z", "1911-03-11T00:00:00Z"}, /* 9 min 21 s came twice */
    {"America/Sao_Paulo", PERIOD_DAY, "2018-11-04T12:00:00Z", "2018-11-04", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"}, /* no midnight */
    {"America/Havana", PERIOD_DAY, "2026-11-01T05:30:00Z", "2026-11-01", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"}, /* two midnights */
    {"America/St_Johns", PERIOD_DAY, "2006-10-29T02:45:00Z", "2006-10-29", "2006-10-29T02:30:00Z", "2006-10-30T03:30:00Z"}, /* yesterday again */
    {"Pacific/Apia", PERIOD_DAY, "2011-12-30T09:59:59Z", "2011-12-29", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"}, /* no 30 December */
    {"Pacific/Apia", PERIOD_DAY, "2011-12-30T10:00:00Z", "2011-12-31", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
    {"Asia/Kathmandu", PERIOD_QUARTER, "2026-05-05T00:00:00Z", "2026-Q2", "2026-03-31T18:15:00Z", "2026-06-30T18:15:00Z"},
};

static int64_t moment(const char *text)
{
    int64_t us = -1;
    struct zone *utc = open_zone("UTC");
    EXPECT(utc && zone_parse_time(utc, span_str(text), &us) == ERR_OK);
    zone_free(utc);
    return us;
}

TEST(a_period_begins_and_ends_when_people_there_would_say)
{
    for (size_t i = 0; i < COUNT_OF(period_rows); i++) {
        struct period p, again;
        struct zone *z = open_zone(period_rows[i].zone);
        if (!z)
            SKIP("no time zones on this machine (tzdata)");
        period_at(z, period_rows[i].unit, moment(period_rows[i].moment), &p);
        EXPECT_STR(p.label, period_rows[i].label);
        EXPECT_EQ(p.from_us, moment(period_rows[i].from));
        EXPECT_EQ(p.until_us, moment(period_rows[i].until));
        EXPECT(period_parse(z, span_str(p.label), &again) == ERR_OK && memcmp(&p, &again, sizeof p) == 0);
        zone_free(z);
    }
}

static void check_partition(const struct zone *z, enum period_unit u, int64_t at_us)
{
    struct period p, next, before;
    period_at(z, u, at_us, &p);
    period_at(z, u, p.until_us, &next);
    period_at(z, u, p.from_us - 1, &before);
    EXPECT(p.from_us <= at_us && at_us < p.until_us);
    EXPECT_EQ(next.from_us, p.until_us);
    EXPECT_EQ(before.until_us, p.from_us);
    if (!EXPECT(strcmp(next.label, p.label) && strcmp(before.label, p.label)))
        printf("# %s %s at %lld\n", zone_name(z), p.label, (long long)at_us);
}

TEST(periods_never_overlap_and_leave_nothing_out)
{
    static const char *const zones[] = {
        "UTC", "Europe/Paris", "America/Havana", "America/St_Johns", "Pacific/Apia", "Asia/Tehran", "Africa/Casablanca", "America/Sao_Paulo",
        "Antarctica/Troll", "America/Godthab", "Australia/Lord_Howe",
    };
    random_seed(23);
    for (size_t i = 0; i < COUNT_OF(zones); i++) {
        struct zone *z = open_zone(zones[i]);
        if (!z)
            SKIP("no time zones on this machine (tzdata)");
        for (int round = 0; round < 400; round++)
            check_partition(z, (enum period_unit)random_below(PERIOD_UNITS),
                            ((int64_t)random_below(146000) - 46000) * DAY_US + random_below(86400) * INT64_C(1000000));
        zone_free(z);
    }
}

TEST(a_time_that_no_calendar_reaches_is_survived)
{
    struct period p;
    struct zone *z = open_zone("Europe/Paris");
    if (!z)
        SKIP("no time zones on this machine (tzdata)");
    for (unsigned u = 0; u < PERIOD_UNITS; u++) {
        period_at(z, (enum period_unit)u, INT64_MAX, &p);
        EXPECT(p.from_us < p.until_us);
        period_at(z, (enum period_unit)u, INT64_MIN, &p);
        EXPECT(p.from_us < p.until_us);
    }
    EXPECT(zone_offset_s(z, INT64_MAX) == 3600 || zone_offset_s(z, INT64_MAX) == 7200);
    EXPECT_EQ(zone_offset_s(z, INT64_MIN), 561); /* Paris mean time */
    zone_free(z);
}

TEST(what_names_no_period_is_refused)
{
    static const char *const labels[] = {
        "", "2026-02-30", "2026-13", "2026-00", "2026-Q0", "2026-Q5", "2026-W00", "2025-W53", "2026-W54", "26", "2026-1", "2026-11-23 ", "+026",
        "2026-w48", "20261123",
    };
    struct zone *z = open_zone("UTC");
    struct period p;
    for (size_t i = 0; i < COUNT_OF(labels); i++)
        if (period_parse(z, span_str(labels[i]), &p) != ERR_SYNTAX)
            UNIT_FAIL("\"%s\" was read", labels[i]);
    EXPECT_EQ(period_parse(z, SPAN("2026-W53"), &p), ERR_OK);
    zone_free(z);
}

TEST(a_time_is_read_in_the_zone_it_names)
{
    static const struct {
        const char *text, *same; /* NULL: refused */
    } rows[] = {
        {"2026-08-01", "2026-07-31T22:00:00Z"},
        {"2026-08-01T10:00:00", "2026-08-01T08:00:00Z"},
        {"2026-08-01T10:00:00Z", "2026-08-01T10:00:00Z"},
        {"2026-08-01T10:00:00+02:00", "2026-08-01T08:00:00Z"},
        {"2026-08-01T00:00:00.000250-09:30", "2026-08-01T09:30:00.00025Z"},
        {"2026-10-25T02:30:00", "2026-10-25T00:30:00Z"}, /* comes twice: the first */
        {"2026-03-29T02:30:00", "2026-03-29T01:00:00Z"}, /* never comes: the first after */
        {"2026-08-01T24:00:00Z", NULL}, {"2026-08-01T10:60:00Z", NULL}, {"2026-08-01T10:00", NULL}, {"2026-08-01T10:00:00z", NULL},
        {"2026-08-01 10:00:00Z", NULL},
        {"2026-08-01T10:00:00.Z", NULL}, {"2026-08-01T10:00:00.1234567Z", NULL}, {"2026-08-01T10:00:00+2", NULL}, {"2026-08-01T10:00:00ZZ", NULL},
        {"2026-02-29T10:00:00Z", NULL}, {"2026-08", NULL}, {"2026-08-01T", NULL}, {"", NULL}, {"2026-08-01T10:00:00 02:00", NULL},
    };
    struct zone *z = open_zone("Europe/Paris");
    if (!z)
        SKIP("no time zones on this machine (tzdata)");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t us = 7;
        enum err e = zone_parse_time(z, span_str(rows[i].text), &us);
        if (e != (rows[i].same ? ERR_OK : ERR_SYNTAX) || us != (rows[i].same ? moment(rows[i].same) : 7))
            UNIT_FAIL("\"%s\" came to %lld (%s)", rows[i].text, (long long)us, err_name(e));
    }
    zone_free(z);
}

TEST(a_zone_name_never_leaves_the_folder)
{
    static const struct {
        const char *name;
        enum err e;
    } rows[] = {
        {"../../../etc/passwd", ERR_SYNTAX}, {"/etc/localtime", ERR_SYNTAX}, {"Europe/../Europe/Paris", ERR_SYNTAX}, {"", ERR_SYNTAX},
        {".", ERR_SYNTAX}, {"Europe/", ERR_SYNTAX}, {"Europe//Paris", ERR_SYNTAX}, {"Europe/Paris\n", ERR_SYNTAX},
        {"Europe/Atlantis", ERR_NOT_FOUND}, {"Europe", ERR_NOT_FOUND},
    };
    struct zone *z = NULL;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (zone_open(rows[i].name, &z) != rows[i].e)
            UNIT_FAIL("\"%s\" is not %s", rows[i].name, err_name(rows[i].e));
    EXPECT(z == NULL);
}

/* A file of version 2 with no table: its rule speaks for all time. leaps: leap seconds that it counts. */
static struct zone *zone_of_rule(const char *rule, char leaps)
{
    char file[256];
    struct zone *z = NULL;
    size_t block = 44 + 6 + 1, n = 2 * block;
    memset(file, 0, sizeof file);
    for (size_t at = 0; at < n; at += block) {
        memcpy(file + at, "TZif2", 5);
        file[at + 39] = 1; /* one type */
        file[at + 43] = 1; /* of one character */
    }
    file[block + 31] = leaps;
    n += 12 * (size_t)leaps;
    n += (size_t)snprintf(file + n, sizeof file - n, "\n%s\n", rule);
    struct span exact = exact_copy(span_of(file, n));
    enum err e = zone_parse(exact, &z);
    free((void *)(uintptr_t)exact.p);
    return e ? NULL : z;
}

TEST(the_rule_after_the_table_is_read_in_all_its_forms)
{
    static const struct {
        const char *rule, *moment;
        int offset; /* -1: the rule is refused */
    } rows[] = {
        {"UTC0", "2026-01-01", 0},
        {"IST-5:30", "2300-01-01", 19800},
        {"<-03>3", "2026-01-01", -10800},
        {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T00:59:59Z", 3600},
        {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T01:00:00Z", 7200},
        {"CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T01:00:00Z", 3600},
        {"IST-1GMT0,M10.5.0,M3.5.0/1", "2026-01-01", 0},          /* negative summer time, over the year's end */
        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T00:59:59Z", -7200},
        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T01:00:00Z", -3600},
        {"XXX3EDT4,0/0,J365/23", "2026-01-01T03:00:00Z", -14400}, /* summer time all year, RFC 8536 3.3.1 */
        {"XXX3EDT4,0/0,J365/23", "2024-12-31T23:59:59Z", -14400},
        {"XXX5EDT4,0/2,365/23", "2100-01-01T00:00:00Z", -18000},  /* a change of 2098 that falls into 2099 */
        {"AAA0BBB,J60,J300", "2024-03-01T01:59:59Z", 0},          /* J60 is 1 March, also in a leap year */
        {"AAA0BBB,J60,J300", "2024-03-01T02:00:00Z", 3600},
        {"AAA0BBB,59,300", "2024-02-29T02:00:00Z", 3600},         /* 59 is 29 February there */
        {"IST-2IDT,M3.4.4/26,M10.5.0", "2026-03-27T00:00:00Z", 10800}, /* Friday before the last Sunday */
        {"IST-2IDT,M3.4.4/26,M10.5.0", "2026-03-26T23:59:59Z", 7200},
        {"CET", "", -1}, {"C0", "", -1}, {"CET-1CEST", "", -1}, {"CET-1CEST,M3.5.0", "", -1}, {"CET-25", "", -1},
        {"CET-1CEST,M13.5.0,M10.5.0", "", -1},
        {"CET-1CEST,M3.0.0,M10.5.0", "", -1}, {"CET-1CEST,M3.5.7,M10.5.0", "", -1}, {"CET-1CEST,J0,J365", "", -1}, {"CET-1CEST,0,366", "", -1},
        {"<CET-1", "", -1}, {"<>0", "", -1}, {"CET-1CEST,M3.5.0/168,M10.5.0", "", -1}, {"CET-1CEST,M3.5.0,M10.5.0x", "", -1}, {"CET-1:60", "", -1},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct zone *z = zone_of_rule(rows[i].rule, 0);
        int offset = z ? zone_offset_s(z, calendar_floor(rows[i].moment[0] ? moment(rows[i].moment) : 0, 1000000)) : -1;
        if (offset != rows[i].offset)
            UNIT_FAIL("%s at %s: %d, expected %d", rows[i].rule, rows[i].moment, offset, rows[i].offset);
        zone_free(z);
    }
}

TEST(a_damaged_zone_file_is_refused)
{
    char bytes[65536], path[] = "/usr/share/zoneinfo/Europe/Paris";
    struct zone *z = NULL;
    FILE *f = fopen(path, "rb");
    if (!f)
        SKIP("no time zones on this machine (tzdata)");
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (size_t cut = 0; cut < n; cut++) {
        struct span part = exact_copy(span_of(bytes, cut));
        if (zone_parse(part, &z) != ERR_SYNTAX)
            UNIT_FAIL("the first %zu bytes were read as a whole", cut);
        free((void *)(uintptr_t)part.p);
    }
    REQUIRE(zone_parse(span_of(bytes, n), &z) == ERR_OK);
    EXPECT_STR(zone_name(z), "");
    zone_free(z);
}

TEST(a_zone_that_counts_leap_seconds_is_refused)
{
    struct zone *z = zone_of_rule("UTC0", 0);
    EXPECT(z != NULL);
    zone_free(z);
    EXPECT(zone_of_rule("UTC0", 1) == NULL);
}

UNIT_MAIN
