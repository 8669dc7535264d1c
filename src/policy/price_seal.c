/* SPDX-License-Identifier: Apache-2.0
 *
 * Books that contradict each other. Each check sorts the lines so that what it compares stands side by side, then looks at neighbours; so a list of
 * a hundred thousand lines is checked in the time of a few sorts.
 */
#include "policy/price_seal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

#define MINUTES_OF_DAY 1440
#define MINUTES_OF_WEEK (7 * MINUTES_OF_DAY)
#define SENTENCE_BYTES 900

struct check {
    price_complain_fn *complain;
    void *owner;
    bool is_right;
};

PRINTF_LIKE(3, 4) static void tell(struct check *c, const struct price_line *line, const char *format, ...)
{
    char message[SENTENCE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    c->is_right = false;
    c->complain(c->owner, &line->at, message);
}

/* ---- orders ---- */

static int order_span(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int order_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int order_clock(const struct price_clock *a, const struct price_clock *b)
{
    int order = order_i64(a->days, b->days);
    order = order ? order : order_i64(a->from_minute, b->from_minute);
    return order ? order : order_i64(a->until_minute, b->until_minute);
}

static int order_parties(const struct price_line *a, const struct price_line *b)
{
    int order = strcmp(a->book->seller, b->book->seller);
    return order ? order : strcmp(a->book->buyer, b->book->buyer);
}

static int order_names(const struct price_line *a, const struct price_line *b)
{
    int order = order_span(a->model, b->model);
    return order ? order : order_span(a->provider, b->provider);
}

static const struct price_line *line_at(const void *p)
{
    return *(const struct price_line *const *)p;
}

/* The same thing at the same price conditions, but for the clock: then by knowledge, then by validity, then as listed. */
static int order_thing(const struct price_line *a, const struct price_line *b)
{
    int order = order_parties(a, b);
    order = order ? order : order_names(a, b);
    order = order ? order : strcmp(a->tier, b->tier);
    order = order ? order : order_i64(a->above_input, b->above_input);
    return order ? order : order_i64(a->book->known_from_us, b->book->known_from_us);
}

static int by_thing(const void *left, const void *right)
{
    const struct price_line *a = line_at(left), *b = line_at(right);
    int order = order_thing(a, b);
    order = order ? order : order_i64(a->book->valid_from_us, b->book->valid_from_us);
    return order ? order : order_i64(a->rank, b->rank);
}

static int by_validity(const void *left, const void *right)
{
    const struct price_line *a = line_at(left), *b = line_at(right);
    int order = order_parties(a, b);
    order = order ? order : order_names(a, b);
    order = order ? order : order_i64(a->book->valid_from_us, b->book->valid_from_us);
    return order ? order : order_i64(a->rank, b->rank);
}

static int order_but_step(const struct price_line *a, const struct price_line *b)
{
    int order = order_names(a, b);
    order = order ? order : strcmp(a->tier, b->tier);
    return order ? order : order_clock(&a->clock, &b->clock);
}

int price_order_condition(const struct price_line *a, const struct price_line *b)
{
    int order = order_but_step(a, b);
    return order ? order : order_i64(a->above_input, b->above_input);
}

static int order_steps(const struct price_line *a, const struct price_line *b)
{
    int order = order_i64((intptr_t)a->book, (intptr_t)b->book);
    return order ? order : order_but_step(a, b);
}

static int by_step(const void *left, const void *right)
{
    const struct price_line *a = line_at(left), *b = line_at(right);
    int order = order_steps(a, b);
    order = order ? order : order_i64(a->above_input, b->above_input);
    return order ? order : order_i64(a->rank, b->rank);
}

/* ---- clocks ---- */

struct window {
    int from, until; /* minutes of the week; until may lie in the next week */
};

static struct window window_of(const struct price_clock *c, int day)
{
    int until = c->until_minute > c->from_minute ? c->until_minute : c->until_minute + MINUTES_OF_DAY;
    return (struct window){day * MINUTES_OF_DAY + c->from_minute, day * MINUTES_OF_DAY + until};
}

static bool windows_meet(struct window a, struct window b)
{
    for (int week = -1; week <= 1; week++)
        if (a.from + week * MINUTES_OF_WEEK < b.until && b.from < a.until + week * MINUTES_OF_WEEK)
            return true;
    return false;
}

static bool day_meets(const struct price_clock *a, int day, const struct price_clock *b)
{
    for (int other = 0; other < 7; other++)
        if ((b->days >> other & 1) && windows_meet(window_of(a, day), window_of(b, other)))
            return true;
    return false;
}

bool price_clocks_meet(const struct price_clock *a, const struct price_clock *b)
{
    if (a->days == 0 || b->days == 0)
        return a->days == b->days; /* a window goes before none, so these two do not contradict each other */
    for (int day = 0; day < 7; day++)
        if ((a->days >> day & 1) && day_meets(a, day, b))
            return true;
    return false;
}

/* ---- two prices for the same thing ---- */

static void check_overlap(struct check *c, struct price_line *const *sorted, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct price_line *a = sorted[i];
        for (unsigned k = i + 1; k < n && order_thing(a, sorted[k]) == 0 && sorted[k]->book->valid_from_us < a->book->valid_until_us; k++) {
            const struct price_line *b = sorted[k];
            if (!price_clocks_meet(&a->clock, &b->clock))
                continue;
            tell(c, b, "%.*s at %.*s has a price already, in %s:%u, that is valid at the same time and known since the same moment: give the older one "
                     "an `until`, or the newer one a later `known`", SPAN_ARG(b->model), SPAN_ARG(b->provider), a->at.file, a->at.line);
            break;
        }
    }
}

/* ---- a time without a price ---- */

static void tell_gap(struct check *c, const struct price_line *line, int64_t from_us)
{
    char from[CLOCK_RFC3339_BYTES], until[CLOCK_RFC3339_BYTES];
    clock_rfc3339_us(from, from_us);
    clock_rfc3339_us(until, line->book->valid_from_us);
    tell(c, line, "%.*s at %.*s has no price from %.16sZ until %.16sZ, between two that %s gives %s: close the gap, or name what is not sold in "
             "between differently", SPAN_ARG(line->model), SPAN_ARG(line->provider), from, until, line->book->seller, line->book->buyer);
}

static void check_gaps(struct check *c, struct price_line *const *sorted, unsigned n)
{
    int64_t until = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct price_line *line = sorted[i];
        bool is_first = i == 0 || order_parties(sorted[i - 1], line) || order_names(sorted[i - 1], line);
        if (!is_first && line->book->valid_from_us > until)
            tell_gap(c, line, until);
        if (is_first || line->book->valid_until_us > until)
            until = line->book->valid_until_us;
    }
}

/* ---- a step without what is below it ---- */

static void check_steps(struct check *c, struct price_line *const *sorted, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct price_line *line = sorted[i];
        bool is_first = i == 0 || order_steps(sorted[i - 1], line);
        if (is_first && line->above_input > 0)
            tell(c, line, "%.*s at %.*s has a price above %lld input tokens and none below: add the line without `above`, of the same tier and clock, "
                     "in the same book", SPAN_ARG(line->model), SPAN_ARG(line->provider), (long long)line->above_input);
    }
}

bool price_seal_check(struct price_list *l, struct price_line *const *lines, unsigned n, price_complain_fn *complain, void *owner)
{
    struct check c = {complain, owner, true};
    struct arena_mark mark = arena_mark(&l->arena);
    struct price_line **sorted = ARENA_ARRAY(&l->arena, struct price_line *, n);
    if (n)
        memcpy(sorted, lines, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_thing);
    check_overlap(&c, sorted, n);
    qsort(sorted, n, sizeof *sorted, by_validity);
    check_gaps(&c, sorted, n);
    qsort(sorted, n, sizeof *sorted, by_step);
    check_steps(&c, sorted, n);
    arena_rewind(&l->arena, mark);
    return c.is_right;
}
