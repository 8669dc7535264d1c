/* SPDX-License-Identifier: Apache-2.0
 *
 * The lines that count at a moment: of each thing that is priced, the one that price_find would take.
 */
#include "cli/price_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/zone.h"
#include "policy/price_seal.h"

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool read_time(const struct cli_syntax *s, const char *option, const char *text, int64_t *ret)
{
    struct zone *utc;
    CHECK(zone_open("UTC", &utc) == ERR_OK);
    enum err e = text ? zone_parse_time(utc, span_str(text), ret) : ERR_OK;
    zone_free(utc);
    if (e)
        cli_error(s, "%s must be a date such as 2026-08-01, or a time such as 2026-08-01T09:00:00+02:00, not \"%s\"", option, text);
    return e == ERR_OK;
}

bool price_moment_read(const struct cli_syntax *s, const char *at, const char *known, struct price_moment *ret)
{
    *ret = (struct price_moment){now_us(), now_us()};
    return read_time(s, "--at", at, &ret->at_us) && read_time(s, "--known", known, &ret->known_us);
}

/* ---- which lines ---- */

static bool counts(const struct price_line *line, const struct price_moment *m, const char *model, const char *provider)
{
    const struct price_book *b = line->book;
    return m->at_us >= b->valid_from_us && m->at_us < b->valid_until_us && m->known_us >= b->known_from_us &&
           (!model || glob_matches(line->model, span_str(model))) && (!provider || glob_matches(line->provider, span_str(provider)));
}

static int order_things(const struct price_line *a, const struct price_line *b)
{
    int order = price_order_condition(a, b);
    order = order ? order : strcmp(a->book->seller, b->book->seller);
    return order ? order : strcmp(a->book->buyer, b->book->buyer);
}

static int by_thing(const void *left, const void *right)
{
    const struct price_line *a = *(const struct price_line *const *)left, *b = *(const struct price_line *const *)right;
    int order = order_things(a, b);
    return order ? order : (a->rank > b->rank) - (a->rank < b->rank);
}

static unsigned keep_first(const struct price_line **lines, unsigned n)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++)
        if (kept == 0 || order_things(lines[kept - 1], lines[i]) != 0)
            lines[kept++] = lines[i];
    return kept;
}

void price_view_make(struct arena *a, const struct price_list *l, const struct price_moment *m, const char *model, const char *provider, struct price_view *ret)
{
    unsigned room = 0, n = 0;
    for (unsigned i = 0; i < l->books_n; i++)
        room += l->books[i]->lines_n;
    const struct price_line **lines = ARENA_ARRAY(a, const struct price_line *, room);
    for (unsigned i = 0; i < l->books_n; i++)
        for (unsigned k = 0; k < l->books[i]->lines_n; k++)
            if (counts(l->books[i]->lines[k], m, model, provider))
                lines[n++] = l->books[i]->lines[k];
    if (n)
        qsort(lines, n, sizeof *lines, by_thing);
    *ret = (struct price_view){lines, keep_first(lines, n)};
}

/* ---- how they read ---- */

const char *price_clock_text(char out[64], const struct price_clock *c)
{
    static const char *const names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    size_t at = 0;
    for (unsigned day = 0; day < 7 && c->days != 0x7f; day++)
        if (c->days >> day & 1)
            at += (size_t)snprintf(out + at, 64 - at, "%s%s", at ? "," : "", names[day]);
    snprintf(out + at, 64 - at, "%s%02u:%02u-%02u:%02u", at ? " " : "", c->from_minute / 60u, c->from_minute % 60u, c->until_minute / 60u, c->until_minute % 60u);
    return out;
}

const char *price_condition(char out[PRICE_CONDITION_BYTES], const struct price_line *line)
{
    char clock[64];
    size_t at = (size_t)snprintf(out, PRICE_CONDITION_BYTES, "%s", line->tier);
    if (line->above_input)
        at += (size_t)snprintf(out + at, PRICE_CONDITION_BYTES - at, "%sabove %lld", at ? ", " : "", (long long)line->above_input);
    if (line->clock.days)
        snprintf(out + at, PRICE_CONDITION_BYTES - at, "%s%s", at ? ", " : "", price_clock_text(clock, &line->clock));
    return out;
}

const char *price_number(char out[PRICE_NUMBER_BYTES], enum usage_class c, int64_t price)
{
    char text[MONEY_TEXT_BYTES];
    bool each = usage_class_side(c) == USAGE_SIDE_OTHER;
    struct span number = money_format(text, (money)price * (each ? 1 : 1000000), 0);
    snprintf(out, PRICE_NUMBER_BYTES, "%.*s%s", SPAN_ARG(number), each ? " each" : "");
    return out;
}
