/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente price list` and `entente price diff`: what counts at a moment, and what of it two files say differently.
 */
#include <stdio.h>

#include "base/clock.h"
#include "cli/cli_price.h"
#include "cli/price_view.h"
#include "cli/table.h"
#include "policy/price_seal.h"

/* ---- list ---- */

static const char list_usage[] =
    "usage: entente price list FILE… | --config FILE [--model M] [--provider P] [--at DATE] [--known DATE] [--json]\n"
    "\n"
    "Shows the price lines that count at a moment, in the currency of their book: per 1M tokens, or each.\n"
    "  --model M, --provider P  only lines that apply to this model or provider\n"
    "  --at DATE     for requests of then; now when not said\n"
    "  --known DATE  as it was known then; now when not said\n";

static int widest(int width, size_t bytes)
{
    return (int)bytes > width ? (int)bytes : width;
}

static void print_prices(const struct price_line *line)
{
    char number[PRICE_NUMBER_BYTES];
    const char *between = "";
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        if (line->price[c] != PRICE_NONE) {
            printf("%s%s %s", between, usage_class_name((enum usage_class)c), price_number(number, (enum usage_class)c, line->price[c]));
            between = ", ";
        }
}

static void list_text(const struct price_view *v)
{
    char condition[PRICE_CONDITION_BYTES];
    int model = 5, provider = 8, when = 4, book = 4;
    for (unsigned i = 0; i < v->n; i++) {
        model = widest(model, v->lines[i]->model.n);
        provider = widest(provider, v->lines[i]->provider.n);
        when = widest(when, strlen(price_condition(condition, v->lines[i])));
        book = widest(book, strlen(v->lines[i]->book->name));
    }
    printf("%-*s  %-*s  %-*s  %-*s  %-3s  %s\n", model, "MODEL", provider, "PROVIDER", when, "WHEN", book, "BOOK", "CUR", "PRICES");
    for (unsigned i = 0; i < v->n; i++) {
        const struct price_line *line = v->lines[i];
        printf("%-*.*s  %-*.*s  %-*s  %-*s  %-3s  ", model, SPAN_ARG(line->model), provider, SPAN_ARG(line->provider), when, price_condition(condition, line), book,
               line->book->name, line->book->currency);
        print_prices(line);
        printf("\n");
    }
}

static void json_text(const char *before, const char *text)
{
    fputs(before, stdout);
    table_json_string(text);
}

static void json_names(const struct price_line *line, struct arena *a)
{
    char clock[64];
    json_text("{\"model\":", arena_strdup(a, line->model));
    json_text(",\"provider\":", arena_strdup(a, line->provider));
    json_text(",\"tier\":", line->tier);
    printf(",\"above\":%lld", (long long)line->above_input);
    json_text(",\"clock\":", line->clock.days ? price_clock_text(clock, &line->clock) : "");
}

static void json_line(const struct price_line *line, struct arena *a)
{
    char date[CLOCK_RFC3339_BYTES], number[PRICE_NUMBER_BYTES];
    const struct price_book *b = line->book;
    const char *between = "";
    json_names(line, a);
    json_text(",\"book\":", b->name);
    json_text(",\"seller\":", b->seller);
    json_text(",\"buyer\":", b->buyer);
    json_text(",\"currency\":", b->currency);
    json_text(",\"source\":", b->source);
    printf(",\"from\":\"%.*s\"", SPAN_ARG(clock_rfc3339_us(date, b->valid_from_us)));
    if (b->valid_until_us != PRICE_TIME_MAX)
        printf(",\"until\":\"%.*s\"", SPAN_ARG(clock_rfc3339_us(date, b->valid_until_us)));
    printf(",\"known\":\"%.*s\"", SPAN_ARG(clock_rfc3339_us(date, b->known_from_us)));
    json_text(",\"place\":", b->place);
    printf(",\"prices\":{");
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        if (line->price[c] != PRICE_NONE) {
            printf("%s\"%s\":\"%s\"", between, usage_class_name((enum usage_class)c), price_number(number, (enum usage_class)c, line->price[c]));
            between = ",";
        }
    printf("}}");
}

static void list_json(const struct price_view *v, struct arena *a)
{
    printf("[");
    for (unsigned i = 0; i < v->n; i++) {
        fputs(i ? ",\n " : "", stdout);
        json_line(v->lines[i], a);
    }
    printf("]\n");
}

struct list_question {
    const char *config, *model, *provider, *at, *known, *files[256];
    bool json;
};

static void list(const struct list_question *q, const struct price_list *l, const struct price_moment *m)
{
    struct price_view view = {NULL, 0};
    struct arena arena;
    arena_init(&arena, 4096);
    if (l)
        price_view_make(&arena, l, m, q->model, q->provider, &view);
    if (q->json)
        list_json(&view, &arena);
    else if (view.n)
        list_text(&view);
    else
        printf("no price counts there and then\n");
    arena_fini(&arena);
}

static int list_config(const struct list_question *q, const struct price_moment *m)
{
    struct config *c = cli_load_config(q->config);
    if (c)
        list(q, c->catalog->prices, m);
    config_free(c);
    return c ? CLI_DONE : CLI_USAGE;
}

int cli_price_list(int argc, char **argv)
{
    int code;
    struct list_question q = {.json = false};
    const struct cli_option options[] = {{.name = "--config", .value = &q.config}, {.name = "--model", .value = &q.model},
                                         {.name = "--provider", .value = &q.provider}, {.name = "--at", .value = &q.at}, {.name = "--known", .value = &q.known},
                                         {.name = "--json", .flag = &q.json}};
    const struct cli_syntax syntax = {"entente price list", list_usage, options, COUNT_OF(options), q.files, COUNT_OF(q.files)};
    struct price_moment moment;
    if (!cli_read_options(argc, argv, &syntax, &code) || !cli_one_source(&syntax, q.config, q.files[0], &code))
        return code;
    if (!price_moment_read(&syntax, q.at, q.known, &moment))
        return CLI_USAGE;
    if (q.config)
        return list_config(&q, &moment);
    struct price_list *l = cli_load_prices(q.files, COUNT_OF(q.files));
    if (l)
        list(&q, l, &moment);
    price_list_unref(l);
    return l ? CLI_DONE : CLI_USAGE;
}

/* ---- diff ---- */

static const char diff_usage[] =
    "usage: entente price diff A B [--at DATE] [--known DATE] [--json]\n"
    "\n"
    "Shows what changes from the price books of file A to those of file B: lines that are only in one, and classes with another price, in per cent too.\n"
    "Lines are the same when their model, provider, tier, clock and step are; who sells and buys is not compared.\n"
    "  --at DATE     for requests of then; the end of time when not said\n"
    "  --known DATE  as it was known then; all that is known when not said\n";

struct diff {
    struct arena arena;
    bool json, any;
    unsigned added, removed, changed;
};

/* In tenths of a per cent, rounded half away from zero, without a floating point: "+10.0 %". */
static const char *percent(char out[64], int64_t from, int64_t to)
{
    char digits[MONEY_TEXT_BYTES];
    if (from == 0 || from == PRICE_NONE || to == PRICE_NONE)
        return "";
    money change = ((money)to - from) * 1000, magnitude = change < 0 ? -change : change;
    money tenths = (2 * magnitude + from) / (2 * (money)from);
    struct span whole = money_format_integer(digits, tenths / 10);
    snprintf(out, 64, "%c%.*s.%d %%", change < 0 ? '-' : '+', SPAN_ARG(whole), (int)(tenths % 10));
    return out;
}

static void print_names(struct diff *d, const struct price_line *line, const char *what)
{
    char condition[PRICE_CONDITION_BYTES];
    if (d->json) {
        fputs(d->any ? ",\n " : "", stdout);
        json_names(line, &d->arena);
        printf(",\"change\":\"%s\"", what);
    } else {
        price_condition(condition, line);
        printf("%s  %.*s at %.*s%s%s%s", what, SPAN_ARG(line->model), SPAN_ARG(line->provider), *condition ? " (" : "", condition, *condition ? ")" : "");
    }
    d->any = true;
}

static void print_class(struct diff *d, enum usage_class c, int64_t from, int64_t to, bool is_first)
{
    char before[PRICE_NUMBER_BYTES] = "unpriced", after[PRICE_NUMBER_BYTES] = "unpriced", change[64];
    if (from != PRICE_NONE)
        price_number(before, c, from);
    if (to != PRICE_NONE)
        price_number(after, c, to);
    const char *part = percent(change, from, to);
    if (d->json)
        printf("%s\"%s\":{\"from\":\"%s\",\"to\":\"%s\",\"percent\":\"%s\"}", is_first ? "" : ",", usage_class_name(c), before, after, part);
    else
        printf("%s %s %s -> %s%s%s%s", is_first ? ":" : ",", usage_class_name(c), before, after, *part ? " (" : "", part, *part ? ")" : "");
}

/* a or b NULL: the line is only in the other. */
static void print_change(struct diff *d, const struct price_line *a, const struct price_line *b)
{
    bool is_first = true;
    print_names(d, a ? a : b, !a ? "added  " : !b ? "removed" : "changed");
    if (d->json)
        printf(",\"prices\":{");
    for (unsigned c = 0; c < USAGE_CLASSES; c++) {
        int64_t from = a ? a->price[c] : PRICE_NONE, to = b ? b->price[c] : PRICE_NONE;
        if (from != to) {
            print_class(d, (enum usage_class)c, from, to, is_first);
            is_first = false;
        }
    }
    printf(d->json ? "}}" : "\n");
}

static void compare(struct diff *d, const struct price_line *a, const struct price_line *b)
{
    if (a && b && memcmp(a->price, b->price, sizeof a->price) == 0)
        return;
    d->added += !a;
    d->removed += !b;
    d->changed += a && b;
    print_change(d, a, b);
}

static void diff_views(struct diff *d, const struct price_view *a, const struct price_view *b)
{
    for (unsigned i = 0, k = 0; i < a->n || k < b->n;) {
        int order = i == a->n ? 1 : k == b->n ? -1 : price_order_condition(a->lines[i], b->lines[k]);
        compare(d, order <= 0 ? a->lines[i] : NULL, order >= 0 ? b->lines[k] : NULL);
        i += order <= 0;
        k += order >= 0;
    }
}

static void diff(struct price_list *const lists[2], const struct price_moment *m, bool json)
{
    struct diff d = {.json = json};
    struct price_view views[2];
    arena_init(&d.arena, 4096);
    for (unsigned i = 0; i < 2; i++)
        price_view_make(&d.arena, lists[i], m, NULL, NULL, &views[i]);
    fputs(json ? "[" : "", stdout);
    diff_views(&d, &views[0], &views[1]);
    if (json)
        printf("]\n");
    else
        printf("%u lines changed, %u added, %u removed\n", d.changed, d.added, d.removed);
    arena_fini(&d.arena);
}

int cli_price_diff(int argc, char **argv)
{
    int code;
    bool json = false;
    const char *at = NULL, *known = NULL, *files[2] = {NULL, NULL};
    const struct cli_option options[] = {{.name = "--at", .value = &at}, {.name = "--known", .value = &known}, {.name = "--json", .flag = &json}};
    const struct cli_syntax syntax = {"entente price diff", diff_usage, options, COUNT_OF(options), files, 2};
    struct price_moment moment;
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!files[1])
        cli_error(&syntax, "which files? e.g. entente price diff prices-old.yaml prices-new.yaml");
    if (!files[1] || !price_moment_read(&syntax, at, known, &moment))
        return CLI_USAGE;
    moment.at_us = at ? moment.at_us : PRICE_TIME_MAX - 1;
    moment.known_us = known ? moment.known_us : PRICE_TIME_MAX;
    struct price_list *lists[2] = {cli_load_prices(&files[0], 1), cli_load_prices(&files[1], 1)};
    if (lists[0] && lists[1])
        diff(lists, &moment, json);
    code = lists[0] && lists[1] ? CLI_DONE : CLI_USAGE;
    price_list_unref(lists[0]);
    price_list_unref(lists[1]);
    return code;
}
