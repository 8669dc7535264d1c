/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger export`: the books for other programs, and the check that such a file is whole.
 */
#include <stdio.h>

#include "cli/cli_ledger.h"
#include "report/export.h"

static const char usage[] =
    "usage: entente ledger export --data DIR --format hledger|ledger|beancount|focus|csv|json [--from DATE] [--until DATE] [--period PERIOD]\n"
    "                             [--zone ZONE] [--by request|hour|day] [--out FILE]\n"
    "       entente ledger export --check FILE\n"
    "\n"
    "--format  journals with the balance of every account at the end of each day; FOCUS 1.2 rows with the party columns of 1.3 and 1.4;\n"
    "          one row for each request and transfer; one line of JSON for each entry\n"
    "--from    only what was booked from this moment on: 2026-11-01, or 2026-11-01T10:00:00Z; journals begin with opening balances then\n"
    "--until   only what was booked before this moment\n"
    "--period  both: 2026-11-23, 2026-W48, 2026-11, 2026-Q4, 2026\n"
    "--zone    whose days, months and years; UTC unless said, e.g. Europe/Paris\n"
    "--by      journals by request (as they are unless said) or day, FOCUS by hour (as it is unless said) or day\n"
    "--out     the file, which appears when it is whole; else standard output\n"
    "--check   is this file a whole export that nobody changed?\n";

struct question {
    const char *data, *format, *from, *until, *period, *zone, *by, *out, *check;
};

/* ---- reading the question ---- */

static bool read_format(const struct cli_syntax *s, const char *word, enum export_format *ret)
{
    for (int f = 0; word && f < EXPORT_FORMATS; f++)
        if (strcmp(word, export_format_name((enum export_format)f)) == 0) {
            *ret = (enum export_format)f;
            return true;
        }
    cli_error(s, word ? "there is no format \"%s\": take hledger, ledger, beancount, focus, csv or json"
                      : "--format is missing: hledger, ledger, beancount, focus, csv or json", word);
    return false;
}

static bool read_by(const struct cli_syntax *s, const char *word, struct export_options *o)
{
    static const char *const names[] = {[EXPORT_BY_REQUEST] = "request", [EXPORT_BY_HOUR] = "hour", [EXPORT_BY_DAY] = "day"};
    for (int i = EXPORT_BY_REQUEST; word && i <= EXPORT_BY_DAY; i++)
        if (strcmp(word, names[i]) == 0)
            o->by = (enum export_by)i;
    if (word && o->by == EXPORT_BY_DEFAULT)
        cli_error(s, "--by cannot be \"%s\": take request, hour or day", word);
    else if (!export_can_group(o->format, o->by))
        cli_error(s, "the format %s cannot be written by %s: journals are by request or day, focus by hour or day, the others by request",
                  export_format_name(o->format), word);
    else
        return true;
    return false;
}

static bool read_moment(const struct cli_syntax *s, const char *option, const char *text, const struct zone *z, int64_t *ret)
{
    if (!text || zone_parse_time(z, span_str(text), ret) == ERR_OK)
        return true;
    cli_error(s, "%s: \"%s\" is no date: write 2026-11-01 or 2026-11-01T10:00:00Z", option, text);
    return false;
}

static bool read_range(const struct cli_syntax *s, const struct question *q, struct export_options *o)
{
    struct period p = {INT64_MIN, INT64_MAX, ""};
    if (q->period && (q->from || q->until)) {
        cli_error(s, "--period says both --from and --until: leave those out");
        return false;
    }
    if (q->period && period_parse(o->zone, span_str(q->period), &p) != ERR_OK) {
        cli_error(s, "--period: \"%s\" is none: write 2026-11-23, 2026-W48, 2026-11, 2026-Q4 or 2026", q->period);
        return false;
    }
    o->from_us = p.from_us;
    o->until_us = p.until_us;
    if (!read_moment(s, "--from", q->from, o->zone, &o->from_us) || !read_moment(s, "--until", q->until, o->zone, &o->until_us))
        return false;
    if (o->from_us < o->until_us)
        return true;
    cli_error(s, "--from %s is not before --until %s: nothing lies between them", q->from, q->until);
    return false;
}

/* ---- doing it ---- */

static int export_from(const struct cli_syntax *s, struct books *b, struct export_options *o)
{
    struct export_result result;
    struct progress progress;
    char why[CLI_WHY_BYTES];
    progress_begin(&progress, "exporting");
    if (o->path) { /* a bar between lines of an export on the same terminal would help nobody */
        o->progress = progress_show;
        o->owner = &progress;
    }
    enum err e = export_books(b, o, &result, why);
    progress_end(&progress);
    if (e)
        return cli_ledger_fail(s, e, why);
    if (o->path)
        printf("%s: %llu entries, %llu rows\n", o->path, (unsigned long long)result.entries, (unsigned long long)result.rows);
    return CLI_DONE;
}

static int export_in_zone(const struct cli_syntax *s, const struct question *q, struct export_options *o)
{
    struct books *b = NULL;
    char path[4096], why[CLI_WHY_BYTES];
    if (!read_range(s, q, o) || !cli_ledger_path(s, q->data, path))
        return CLI_USAGE;
    enum err e = books_open(path, &b, why);
    if (e)
        return cli_ledger_fail(s, e, why);
    int code = export_from(s, b, o);
    books_close(b);
    return code;
}

static int export_asked(const struct cli_syntax *s, const struct question *q)
{
    struct export_options o = {.path = q->out};
    struct zone *zone = NULL;
    if (!read_format(s, q->format, &o.format) || !read_by(s, q->by, &o))
        return CLI_USAGE;
    if (zone_open(q->zone ? q->zone : "UTC", &zone) != ERR_OK) {
        cli_error(s, "there is no time zone \"%s\" here: write e.g. Europe/Paris, and see that the package tzdata is installed", q->zone);
        return CLI_USAGE;
    }
    o.zone = zone;
    int code = export_in_zone(s, q, &o);
    zone_free(zone);
    return code;
}

static int check_asked(const struct cli_syntax *s, const char *path)
{
    struct export_result result;
    char why[CLI_WHY_BYTES];
    enum err e = export_check(path, &result, why);
    if (e)
        return cli_ledger_fail(s, e, why);
    printf("%s: whole and unchanged: %llu entries, %llu rows\n", path, (unsigned long long)result.entries, (unsigned long long)result.rows);
    return CLI_DONE;
}

int cli_ledger_export(int argc, char **argv)
{
    int code;
    struct question q = {.data = NULL};
    const struct cli_option options[] = {{.name = "--data", .value = &q.data}, {.name = "--format", .value = &q.format},
                                         {.name = "--from", .value = &q.from}, {.name = "--until", .value = &q.until},
                                         {.name = "--period", .value = &q.period}, {.name = "--zone", .value = &q.zone},
                                         {.name = "--by", .value = &q.by}, {.name = "--out", .value = &q.out},
                                         {.name = "--check", .value = &q.check}};
    const struct cli_syntax syntax = {"entente ledger export", usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    return q.check ? check_asked(&syntax, q.check) : export_asked(&syntax, &q);
}
