/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads traces strictly: a row that cannot be understood ends the reading with its number, for a trace that is guessed at proves nothing.
 */
#include "sim/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "sim/random.h"
#include "sim/trace_fit.h"

#define LINE_BYTES_MAX (16u * KIB)
#define COLUMNS_MAX 64u
#define TOKENS_MAX INT64_C(2000000) /* of one request */

enum column { COLUMN_TIME, COLUMN_INPUT, COLUMN_OUTPUT, COLUMNS };

struct trace {
    FILE *file;             /* NULL: drawn */
    char *path;
    unsigned at[COLUMNS];   /* which field */
    uint64_t line;          /* read so far */
    uint64_t nth;           /* rows given */
    bool is_dates;
    int64_t first_ns, last_ns;
    char text[LINE_BYTES_MAX];
    /* drawn */
    uint64_t random, now_ns, window_end_ns;
    double gap_score, window_score, window_rate;
};

/* ---- fields ---- */

static struct span field(struct span *rest)
{
    struct span f = span_trim(span_cut(rest, ','));
    return f.n >= 2 && f.p[0] == '"' && f.p[f.n - 1] == '"' ? span_of(f.p + 1, f.n - 2) : f;
}

/* The bytes up to the line's end, or LINE_BYTES_MAX of them. False when the file has no more. */
static bool take_line(struct trace *t, size_t *ret_n)
{
    size_t n = 0;
    int c = getc_unlocked(t->file);
    if (c == EOF)
        return false;
    for (; c != EOF && c != '\n' && n < sizeof t->text; c = getc_unlocked(t->file))
        t->text[n++] = (char)c;
    *ret_n = n;
    return true;
}

/* A line without its end. ERR_CLOSED at the end of the file. */
static enum err read_line(struct trace *t, struct span *ret, char why[TRACE_WHY_BYTES])
{
    size_t n = 0;
    if (!take_line(t, &n) && !ferror(t->file))
        return ERR_CLOSED;
    if (ferror(t->file)) {
        snprintf(why, TRACE_WHY_BYTES, "%.200s: cannot be read: %s", t->path, strerror(errno));
        return ERR_IO;
    }
    t->line++;
    bool too_long = n == sizeof t->text;
    if (too_long || memchr(t->text, 0, n)) {
        snprintf(why, TRACE_WHY_BYTES, "%.200s: line %llu %s", t->path, (unsigned long long)t->line,
                 too_long ? "is longer than 16384 bytes" : "holds a zero byte: is this a text file?");
        return ERR_SYNTAX;
    }
    while (n > 0 && t->text[n - 1] == '\r')
        n--;
    *ret = span_of(t->text, n);
    return ERR_OK;
}

static const struct {
    struct span name;
    enum column column;
} names[] = {
    {{"timestamp", 9}, COLUMN_TIME},      {{"contexttokens", 13}, COLUMN_INPUT}, {{"generatedtokens", 15}, COLUMN_OUTPUT},
    {{"input", 5}, COLUMN_INPUT},         {{"output", 6}, COLUMN_OUTPUT},        {{"input_tokens", 12}, COLUMN_INPUT},
    {{"output_tokens", 13}, COLUMN_OUTPUT}, {{"input_length", 12}, COLUMN_INPUT}, {{"output_length", 13}, COLUMN_OUTPUT},
};

static enum err read_columns(struct trace *t, char why[TRACE_WHY_BYTES])
{
    static const char *const missing[COLUMNS] = {"TIMESTAMP", "ContextTokens (or input)", "GeneratedTokens (or output)"};
    bool found[COLUMNS] = {false};
    struct span line;
    enum err e = read_line(t, &line, why);
    if (e == ERR_CLOSED) {
        snprintf(why, TRACE_WHY_BYTES, "%.200s: the file is empty", t->path);
        return ERR_SYNTAX;
    }
    if (e)
        return e;
    if (span_starts(line, SPAN("\xef\xbb\xbf")))
        line = span_from(line, 3);
    for (unsigned i = 0; line.p && i < COLUMNS_MAX; i++) {
        struct span name = field(&line);
        for (unsigned k = 0; k < COUNT_OF(names); k++)
            if (span_eq_nocase(name, names[k].name) && !found[names[k].column]) {
                found[names[k].column] = true;
                t->at[names[k].column] = i;
            }
    }
    for (unsigned c = 0; c < COLUMNS; c++)
        if (!found[c]) {
            snprintf(why, TRACE_WHY_BYTES, "%.200s: the first line names no column %s", t->path, missing[c]);
            return ERR_SYNTAX;
        }
    return ERR_OK;
}

/* ---- times ---- */

/* Days since 1970-01-01 in the proleptic Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t shifted = (month + 9) % 12; /* March is 0, so that the leap day comes last */
    int64_t years = year - (month <= 2);
    return 365 * years + years / 4 - years / 100 + years / 400 + (306 * shifted + 5) / 10 + day - 1 - 719468;
}

static bool digits(struct span *s, size_t n, int64_t least, int64_t most, char then, int64_t *ret)
{
    uint64_t value;
    if (s->n < n || !span_to_u64(span_to(*s, n), &value) || (int64_t)value < least || (int64_t)value > most)
        return false;
    *s = span_from(*s, n);
    if (then) {
        if (!s->n || s->p[0] != then)
            return false;
        *s = span_from(*s, 1);
    }
    *ret = (int64_t)value;
    return true;
}

/* What is behind the point, as nanoseconds; finer digits are dropped. */
static bool fraction(struct span s, int64_t *ret_ns)
{
    int64_t ns = 0;
    if (!s.n)
        return false;
    for (size_t i = 0; i < 9; i++)
        ns = ns * 10 + (i < s.n ? s.p[i] - '0' : 0);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    *ret_ns = ns;
    return true;
}

static bool date_ns(struct span s, int64_t *ret)
{
    int64_t year, month, day, hour, minute, second, ns = 0;
    if (span_ends(s, SPAN("Z")))
        s.n--;
    if (!digits(&s, 4, 1970, 2200, '-', &year) || !digits(&s, 2, 1, 12, '-', &month) || !digits(&s, 2, 1, 31, 0, &day))
        return false;
    if (!s.n || (s.p[0] != ' ' && s.p[0] != 'T'))
        return false;
    s = span_from(s, 1);
    if (!digits(&s, 2, 0, 23, ':', &hour) || !digits(&s, 2, 0, 59, ':', &minute) || !digits(&s, 2, 0, 60, 0, &second))
        return false;
    if (s.n && (s.p[0] != '.' || !fraction(span_from(s, 1), &ns)))
        return false;
    *ret = ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 * (int64_t)NS_PER_S + second * (int64_t)NS_PER_S + ns;
    return true;
}

static bool seconds_ns(struct span s, int64_t *ret)
{
    struct span whole = span_cut(&s, '.');
    uint64_t seconds;
    int64_t ns = 0;
    if (!span_to_u64(whole, &seconds) || seconds > INT64_MAX / NS_PER_S - 1 || (s.p && !fraction(s, &ns)))
        return false;
    *ret = (int64_t)(seconds * NS_PER_S) + ns;
    return true;
}

/* ---- rows ---- */

static enum err wrong(const struct trace *t, const char *what, struct span value, char why[TRACE_WHY_BYTES])
{
    snprintf(why, TRACE_WHY_BYTES, "%.120s: row %llu (line %llu): %s \"%.*s\"", t->path, (unsigned long long)t->nth, (unsigned long long)t->line, what,
             SPAN_ARG(span_to(value, 40)));
    return ERR_SYNTAX;
}

static bool split(struct trace *t, struct span line, struct span fields[COLUMNS])
{
    unsigned found = 0;
    for (unsigned i = 0; line.p; i++) {
        struct span f = field(&line);
        for (unsigned c = 0; c < COLUMNS; c++)
            if (t->at[c] == i) {
                fields[c] = f;
                found++;
            }
    }
    return found == COLUMNS;
}

static enum err read_time(struct trace *t, struct span text, uint64_t *ret_ns, char why[TRACE_WHY_BYTES])
{
    int64_t ns;
    if (t->nth == 1)
        t->is_dates = span_find(text, '-') >= 0;
    if (!(t->is_dates ? date_ns(text, &ns) : seconds_ns(text, &ns)))
        return wrong(t, t->is_dates ? "no time such as 2023-11-16 18:15:46.68:" : "no time in seconds:", text, why);
    if (t->nth == 1)
        t->first_ns = t->last_ns = ns;
    if (ns < t->last_ns)
        return wrong(t, "the time goes backwards:", text, why);
    t->last_ns = ns;
    *ret_ns = (uint64_t)(ns - t->first_ns);
    return ERR_OK;
}

static bool read_tokens(struct span text, int64_t *ret)
{
    uint64_t n;
    if (!span_to_u64(text, &n) || n > (uint64_t)TOKENS_MAX)
        return false;
    *ret = (int64_t)n;
    return true;
}

static enum err next_of_file(struct trace *t, struct trace_row *row, char why[TRACE_WHY_BYTES])
{
    struct span line, fields[COLUMNS] = {{NULL, 0}};
    enum err e;
    do
        e = read_line(t, &line, why);
    while (!e && !span_trim(line).n);
    if (e)
        return e;
    t->nth++;
    if (!split(t, line, fields))
        return wrong(t, "fewer fields than columns:", line, why);
    e = read_time(t, fields[COLUMN_TIME], &row->at_ns, why);
    if (e)
        return e;
    if (!read_tokens(fields[COLUMN_INPUT], &row->input_tokens))
        return wrong(t, "no number of input tokens up to 2000000:", fields[COLUMN_INPUT], why);
    if (!read_tokens(fields[COLUMN_OUTPUT], &row->output_tokens))
        return wrong(t, "no number of output tokens up to 2000000:", fields[COLUMN_OUTPUT], why);
    row->nth = t->nth;
    return ERR_OK;
}

/* ---- the fitted workload ---- */

/* The value at a normal score: between two quantiles a straight line. */
static double at_score(const double table[FIT_QUANTILES], double score)
{
    double place = 0.5 * erfc(-score / sqrt(2.0)) * (FIT_QUANTILES - 1);
    unsigned i = (unsigned)place < FIT_QUANTILES - 1 ? (unsigned)place : FIT_QUANTILES - 2;
    return table[i] + (table[i + 1] - table[i]) * (place - i);
}

/* A score that goes with another one by this correlation. */
static double beside(struct trace *t, double score, double correlation)
{
    return correlation * score + sqrt(1 - correlation * correlation) * sim_random_normal(&t->random);
}

static void next_window(struct trace *t)
{
    while (t->now_ns >= t->window_end_ns) {
        t->window_score = beside(t, t->window_score, FIT_WINDOW_NEXT);
        t->window_rate = exp(FIT_WINDOW_SIGMA * t->window_score);
        t->window_end_ns += (uint64_t)(FIT_WINDOW_S * 1e9);
    }
}

static void next_drawn(struct trace *t, struct trace_row *row)
{
    double input_score = sim_random_normal(&t->random);
    next_window(t);
    if (t->nth++) {
        t->gap_score = beside(t, t->gap_score, FIT_GAP_NEXT);
        t->now_ns += (uint64_t)(at_score(fit_gap_us, t->gap_score) * 1000.0 / t->window_rate);
    }
    row->nth = t->nth;
    row->at_ns = t->now_ns;
    row->input_tokens = (int64_t)at_score(fit_input_tokens, input_score);
    row->output_tokens = (int64_t)at_score(fit_output_tokens, beside(t, input_score, FIT_INPUT_OUTPUT));
}

/* ---- life ---- */

enum err trace_next(struct trace *t, struct trace_row *ret, char why[TRACE_WHY_BYTES])
{
    struct trace_row row;
    if (!t->file) {
        next_drawn(t, ret);
        return ERR_OK;
    }
    enum err e = next_of_file(t, &row, why);
    if (!e)
        *ret = row;
    return e;
}

struct trace *trace_fitted(uint64_t seed)
{
    struct trace *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    t->random = seed;
    t->window_rate = 1;
    return t;
}

enum err trace_open_stream(FILE *file, const char *name, struct trace **ret, char why[TRACE_WHY_BYTES])
{
    struct trace *t = calloc(1, sizeof *t);
    CHECK(t != NULL);
    t->path = strdup(name);
    t->file = file;
    CHECK(t->path != NULL);
    enum err e = read_columns(t, why);
    if (e)
        trace_close(t);
    else
        *ret = t;
    return e;
}

enum err trace_open(const char *path, struct trace **ret, char why[TRACE_WHY_BYTES])
{
    FILE *f = fopen(path, "re");
    if (f)
        return trace_open_stream(f, path, ret, why);
    snprintf(why, TRACE_WHY_BYTES, "%.200s: %s", path, strerror(errno));
    return ERR_IO;
}

void trace_close(struct trace *t)
{
    if (!t)
        return;
    if (t->file)
        fclose(t->file);
    free(t->path);
    free(t);
}
