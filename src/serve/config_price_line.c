/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of a price book. What is written in short (lists of names, `as` another provider, `times` a rate, one class priced as another) is written out
 * here, so that everything after this sees one line for each model, provider and condition, with plain prices.
 *
 * A line that is priced `as` another provider is written out after the lines it copies, however they are ordered in the file; lines that wait for
 * each other in a circle are told.
 */
#include "serve/config_price.h"

#include <stdlib.h>

#define MINUTES_OF_DAY 1440u
#define NAMES_MAX 1000u
#define TIER_BYTES_MAX 47u
#define AS_DEPTH_MAX 32u /* `as` of `as` of … */

struct said_price {
    enum { SAID_NOTHING, SAID_NUMBER, SAID_AS } how;
    int64_t number;
    enum usage_class as;
    const struct node *at;
};

struct names {
    struct span *list;
    unsigned n;
};

struct line_draft {
    const struct node *at, *as, *times_at;
    struct names models, providers;
    struct rate times;
    int64_t above;
    const char *tier;
    struct price_clock clock;
    struct said_price price[USAGE_CLASSES];
    enum { DRAFT_NEW, DRAFT_OPEN, DRAFT_DONE } state;
};

struct writing {
    struct reading *r;
    struct price_book *book;
    struct line_draft *drafts;
    unsigned drafts_n, lines_room, depth;
    bool is_full;
};

/* ---- values ---- */

static void *value_of(const struct field *f, void *into)
{
    return (char *)into + f->offset;
}

static void add_name(struct reading *r, const struct field *f, const struct node *n, struct names *to)
{
    char what[80];
    snprintf(what, sizeof what, "\"%s\"", f->name);
    if (check_text(r, n, what, PRICE_NAME_BYTES_MAX))
        to->list[to->n++] = span_of(arena_strdup(r->arena, n->text), n->text.n);
}

/* One name or pattern, or a list of them. */
static void read_names(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct names *to = value_of(f, into);
    unsigned count = n->kind == NODE_LIST ? n->items_n : 1;
    if (count == 0 || count > NAMES_MAX) {
        config_error(r->errors, n, "\"%s\" needs a name, or a list of 1 to %u", f->name, NAMES_MAX);
        return;
    }
    to->list = ARENA_ARRAY(r->arena, struct span, count);
    if (n->kind != NODE_LIST)
        add_name(r, f, n, to);
    for (const struct node_item *item = n->kind == NODE_LIST ? n->items : NULL; item; item = item->next)
        add_name(r, f, item->value, to);
}

static void read_as(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (check_text(r, n, "\"as\"", PRICE_NAME_BYTES_MAX))
        ((struct line_draft *)into)->as = n;
}

static void read_times(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    ((struct line_draft *)into)->times_at = n;
    read_price_rate(r, f, n, into);
}

static void read_tier(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (check_text(r, n, "\"tier\"", TIER_BYTES_MAX))
        ((struct line_draft *)into)->tier = span_eq(n->text, SPAN("default")) ? "" : arena_strdup(r->arena, n->text);
}

/* ---- clock ---- */

static const char *const day_names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

static bool parse_day(struct span text, unsigned *ret)
{
    for (unsigned i = 0; i < COUNT_OF(day_names); i++)
        if (span_eq_nocase(text, span_str(day_names[i]))) {
            *ret = i;
            return true;
        }
    return false;
}

/* "mon-fri" or "sat"; "fri-mon" goes over the week's end. */
static bool parse_days(struct span text, uint8_t *days)
{
    unsigned first, last;
    struct span from = span_cut(&text, '-');
    if (!parse_day(from, &first) || !parse_day(text.p ? text : from, &last))
        return false;
    for (unsigned day = first;; day = (day + 1) % 7) {
        *days |= (uint8_t)(1u << day);
        if (day == last)
            return true;
    }
}

static bool parse_minute(struct span text, uint16_t *ret)
{
    uint64_t hours, minutes;
    struct span h = span_cut(&text, ':');
    if (h.n != 2 || text.n != 2 || !span_to_u64(h, &hours) || !span_to_u64(text, &minutes) || minutes > 59 || hours * 60 + minutes > MINUTES_OF_DAY)
        return false;
    *ret = (uint16_t)(hours * 60 + minutes);
    return true;
}

/* "22:00-06:00" */
static bool parse_minutes(struct span text, struct price_clock *c)
{
    struct span from = span_cut(&text, '-');
    return parse_minute(from, &c->from_minute) && parse_minute(text, &c->until_minute) && c->from_minute < MINUTES_OF_DAY &&
           c->from_minute != c->until_minute;
}

/* Days and a window in this order, either may be left out. */
static bool parse_clock(struct span text, struct price_clock *ret)
{
    struct price_clock c = {.until_minute = MINUTES_OF_DAY};
    struct span rest = span_trim(text), first = span_cut(&rest, ' '), window = rest.p ? span_trim(rest) : first;
    bool has_window = parse_minutes(window, &c);
    if (!has_window && rest.p)
        return false;
    if (!has_window || rest.p)
        for (struct span days = first; days.p;)
            if (!parse_days(span_cut(&days, ','), &c.days))
                return false;
    if (c.days == 0)
        c.days = 0x7f;
    *ret = c;
    return true;
}

static void read_clock(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (check_scalar(r, f, n) && !parse_clock(n->text, value_of(f, into)))
        config_error(r->errors, n, "\"clock\" must be a window in UTC, with or without days: \"22:00-06:00\", \"mon-fri 08:00-18:00\", \"sat,sun\"; not \"%.60s\"",
                     n->text.p);
}

/* ---- prices ---- */

static const struct { struct span words; int scale; } units[] = {{SPAN("each"), 15}, {SPAN("per 1K"), 12}, {SPAN("per 1M"), 9}};

/* What a price is per: the number is left in *text. Per 1M where nothing is said. */
static int unit_of(struct span *text)
{
    for (size_t i = 0; i < COUNT_OF(units); i++)
        if (text->n > units[i].words.n && span_ends(*text, units[i].words) && text->p[text->n - units[i].words.n - 1] == ' ') {
            *text = span_trim(span_to(*text, text->n - units[i].words.n));
            return units[i].scale;
        }
    return 9;
}

static bool parse_class(struct span text, enum usage_class *ret)
{
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        if (span_eq(text, span_str(usage_class_name((enum usage_class)i)))) {
            *ret = (enum usage_class)i;
            return true;
        }
    return false;
}

static void read_number(struct reading *r, const struct field *f, const struct node *n, struct said_price *said)
{
    struct span text = span_trim(n->text);
    int scale = unit_of(&text);
    money number;
    enum err e = money_parse_scaled(text, scale, &number);
    if (span_starts(text, SPAN("-")) && e != ERR_SYNTAX)
        config_error(r->errors, n, "\"%s\" must not be negative: what a seller gives back is a `credit` under `terms:`", f->name);
    else if (e == ERR_SYNTAX)
        config_error(r->errors, n, "\"%s\" must be a price per 1M such as 0.25, a price of one such as \"0.01 each\", or a class such as output, not \"%.60s\"", f->name,
                     n->text.p);
    else if (e || number > INT64_MAX)
        config_error(r->errors, n, "\"%s\" is finer or larger than a price can be: at most 9 decimals per 1M (15 for one), and less than 9.2 billion per 1M", f->name);
    else
        *said = (struct said_price){.how = SAID_NUMBER, .number = (int64_t)number, .at = n};
}

static void read_price(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct said_price *said = value_of(f, into);
    enum usage_class as;
    if (!check_scalar(r, f, n))
        return;
    if (parse_class(n->text, &as))
        *said = (struct said_price){.how = SAID_AS, .as = as, .at = n};
    else
        read_number(r, f, n, said);
}

#define AT(member) .offset = offsetof(struct line_draft, member)
static const struct field line_fields[] = {
    {.name = "model", .type = "name, pattern or list", .standard = REQUIRED, .doc = "the deployments' `model`, e.g. gpt-4o or \"gpt-4o*\"", .read = read_names, AT(models)},
    {.name = "provider", .type = "name, pattern or list", .standard = "*", .doc = "of `providers`", .read = read_names, AT(providers)},
    {.name = "as", .type = "a provider", .standard = "",
     .doc = "copy what this book says of the model there: every line, or with `tier` or `clock` those without either",
     .read = read_as},
    {.name = "times", .type = "rate", .standard = "1", .doc = "on every price that is copied; without `as` on every price of the line", .read = read_times, AT(times)},
    {.name = "above", .type = "number", .standard = "(from the first)",
     .doc = "for requests with more input tokens than this, of all input classes together; prices the whole request",
     .read = read_price_tokens, AT(above)},
    {.name = "tier", .type = "text", .standard = "(any without a line of its own)",
     .doc = "for requests that were served in this service tier, as the provider names it: flex, priority, batch",
     .read = read_tier},
    {.name = "clock", .type = "window in UTC", .standard = "(always)", .doc = "for requests that begin in it, e.g. \"22:00-06:00\" or \"sat,sun\"", .read = read_clock,
     AT(clock)},
#define USAGE(NAME, name_, side, sentence) \
    {.name = name_, .type = "price, or a class", .standard = "(unpriced)", .doc = sentence, .read = read_price, AT(price[USAGE_##NAME])},
#include "neutral/usage.def"
#undef USAGE
};
#undef AT
const struct section price_line_section = SECTION("a price line", line_fields);

/* ---- writing lines out ---- */

static bool has_name(const struct names *names, struct span name)
{
    for (unsigned i = 0; i < names->n; i++)
        if (span_eq(names->list[i], name))
            return true;
    return false;
}

static void add_line(struct writing *w, const struct price_line *line)
{
    struct price_book *b = w->book;
    if (b->lines_n == PRICE_LINES_MAX) {
        if (!w->is_full)
            config_error_at(w->r->errors, line->at.line, line->at.column, "the book has more than %u lines here, lists and `as` written out", PRICE_LINES_MAX);
        w->is_full = true;
        return;
    }
    if (b->lines_n == w->lines_room) {
        w->lines_room = w->lines_room ? 2 * w->lines_room : w->drafts_n;
        struct price_line **lines = ARENA_ARRAY(w->r->arena, struct price_line *, w->lines_room);
        if (b->lines_n)
            memcpy(lines, b->lines, b->lines_n * sizeof *lines);
        b->lines = lines;
    }
    struct price_line *kept = ARENA_NEW(w->r->arena, struct price_line);
    *kept = *line;
    b->lines[b->lines_n++] = kept;
}

static int64_t times(struct writing *w, const struct line_draft *d, enum usage_class c, int64_t price)
{
    money product;
    char rate[MONEY_TEXT_BYTES], number[MONEY_TEXT_BYTES];
    if (price == PRICE_NONE || (money_times_exact(price, d->times, &product) == ERR_OK && product <= INT64_MAX))
        return price == PRICE_NONE ? price : (int64_t)product;
    rate_format(rate, d->times);
    money_format(number, (money)price * 1000000, 0);
    config_error(w->r->errors, d->times_at ? d->times_at : d->at, "%s %s times %s cannot be represented: it needs more than 9 decimals per 1M; round it and write the price out",
                 usage_class_name(c), number, rate);
    return PRICE_NONE;
}

/* A class that is priced as another, through any number of such steps; PRICE_NONE after a mistake was told. */
static int64_t price_as(struct writing *w, const struct line_draft *d, const int64_t *prices, enum usage_class c)
{
    enum usage_class at = c;
    for (unsigned steps = 0; d->price[at].how == SAID_AS; steps++) {
        if (steps > USAGE_CLASSES) {
            config_error(w->r->errors, d->price[c].at, "%s is priced as itself, in a circle", usage_class_name(c));
            return PRICE_NONE;
        }
        at = d->price[at].as;
    }
    if (prices[at] == PRICE_NONE)
        config_error(w->r->errors, d->price[c].at, "%s has no price in this line that %s could be priced as", usage_class_name(at), usage_class_name(c));
    return prices[at];
}

/* What the line says itself, over what it copied. */
static void set_prices(struct writing *w, const struct line_draft *d, int64_t *prices)
{
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        if (d->price[i].how == SAID_NUMBER)
            prices[i] = d->as ? d->price[i].number : times(w, d, (enum usage_class)i, d->price[i].number);
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        if (d->price[i].how == SAID_AS)
            prices[i] = price_as(w, d, prices, (enum usage_class)i);
}

static void check_priced(struct writing *w, const struct line_draft *d)
{
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        if (d->price[i].how != SAID_NOTHING)
            return;
    config_error(w->r->errors, d->at, "a line without a price: say e.g. input: 0.25, output: 1.20; what is free is 0");
}

static void write_own(struct writing *w, const struct line_draft *d)
{
    struct price_line line = {.book = w->book, .tier = d->tier ? d->tier : "", .clock = d->clock, .above_input = d->above, .at = price_place_of(w->book, d->at)};
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        line.price[i] = PRICE_NONE;
    set_prices(w, d, line.price);
    for (unsigned m = 0; m < d->models.n; m++)
        for (unsigned p = 0; p < d->providers.n; p++) {
            line.model = d->models.list[m];
            line.provider = d->providers.list[p];
            add_line(w, &line);
        }
}

/* ---- as another provider ---- */

/* With a tier or clock of its own, a line copies only those with neither. */
static bool has_condition(const char *tier, const struct price_clock *clock)
{
    return (tier && *tier) || clock->days;
}

static bool takes(const struct line_draft *d, const char *tier, const struct price_clock *clock)
{
    return !has_condition(d->tier, &d->clock) || !has_condition(tier, clock);
}

/* May lines that `from` is written out to be copied by d? */
static bool copies(const struct line_draft *d, const struct line_draft *from)
{
    return has_name(&from->providers, d->as->text) && takes(d, from->tier, &from->clock);
}

static bool line_is_source(const struct line_draft *d, const struct price_line *line, struct span model)
{
    return span_eq(line->model, model) && span_eq(line->provider, d->as->text) && takes(d, line->tier, &line->clock);
}

static void write_copy(struct writing *w, const struct line_draft *d, const struct price_line *source)
{
    struct price_line line = *source;
    line.at = price_place_of(w->book, d->at);
    if (has_condition(d->tier, &d->clock)) {
        line.tier = d->tier ? d->tier : "";
        line.clock = d->clock;
    }
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        line.price[i] = times(w, d, (enum usage_class)i, line.price[i]);
    set_prices(w, d, line.price);
    for (unsigned p = 0; p < d->providers.n; p++) {
        line.provider = d->providers.list[p];
        add_line(w, &line);
    }
}

static void tell_no_source(struct writing *w, const struct line_draft *d, struct span model)
{
    struct nearest near;
    nearest_init(&near, d->as->text);
    for (unsigned i = 0; i < w->drafts_n; i++)
        for (unsigned p = 0; p < w->drafts[i].providers.n; p++)
            if (&w->drafts[i] != d && has_name(&w->drafts[i].models, model))
                nearest_offer(&near, w->drafts[i].providers.list[p].p);
    config_error(w->r->errors, d->as, near.best ? "no line of this book prices %.60s at \"%.60s\": did you mean \"%.60s\"?" :
                 "no line of this book prices %.60s at \"%.60s\", which `as` could copy", model.p, d->as->text.p, near.best);
}

static void write_draft(struct writing *w, struct line_draft *d);

static void write_sources(struct writing *w, struct line_draft *d, struct span model)
{
    for (unsigned i = 0; i < w->drafts_n; i++) {
        struct line_draft *from = &w->drafts[i];
        if (from->state == DRAFT_DONE || !has_name(&from->models, model) || !copies(d, from))
            continue;
        if (from->state == DRAFT_OPEN)
            config_error(w->r->errors, d->as, "%.60s at \"%.60s\" is priced as itself, in a circle", model.p, d->as->text.p);
        else
            write_draft(w, from);
    }
}

static void write_as(struct writing *w, struct line_draft *d)
{
    for (unsigned m = 0; m < d->models.n; m++) {
        unsigned mistakes = config_errors_count(w->r->errors), found = 0;
        write_sources(w, d, d->models.list[m]);
        unsigned n = w->book->lines_n;
        for (unsigned i = 0; i < n && !w->is_full; i++)
            if (line_is_source(d, w->book->lines[i], d->models.list[m])) {
                write_copy(w, d, w->book->lines[i]);
                found++;
            }
        if (!found && config_errors_count(w->r->errors) == mistakes)
            tell_no_source(w, d, d->models.list[m]);
    }
}

static void write_draft(struct writing *w, struct line_draft *d)
{
    if (d->state != DRAFT_NEW || w->is_full)
        return;
    d->state = DRAFT_OPEN;
    if (w->depth == AS_DEPTH_MAX) {
        config_error(w->r->errors, d->at, "`as` goes over more than %u lines before one has prices", AS_DEPTH_MAX);
        return;
    }
    w->depth++;
    if (d->as)
        write_as(w, d);
    else
        write_own(w, d);
    w->depth--;
    d->state = DRAFT_DONE;
}

/* ---- all lines of a book ---- */

static void read_line(struct writing *w, const struct node *n)
{
    struct line_draft *d = &w->drafts[w->drafts_n];
    unsigned before = config_errors_count(w->r->errors);
    d->at = n;
    d->times = (struct rate){1, 1};
    if (!read_section(w->r, &price_line_section, n, d))
        return;
    if (d->as && d->above)
        config_error(w->r->errors, n, "`above` has no place beside `as`: the steps are copied, too");
    if (!d->as && config_errors_count(w->r->errors) == before)
        check_priced(w, d);
    w->drafts_n++;
}

void read_price_lines(struct reading *r, struct price_book *book, const struct node *lines)
{
    struct writing w = {.r = r, .book = book};
    unsigned before = config_errors_count(r->errors);
    if (lines->kind != NODE_LIST || lines->items_n > PRICE_LINES_MAX) {
        config_error(r->errors, lines, "\"lines\" must be a list of at most %u lines, e.g. - {model: gpt-4o, provider: azure-eu, input: 2.50, output: 10}",
                     PRICE_LINES_MAX);
        return;
    }
    w.drafts = calloc(lines->items_n + 1, sizeof *w.drafts);
    CHECK(w.drafts != NULL);
    for (const struct node_item *item = lines->items; item; item = item->next)
        read_line(&w, item->value);
    for (unsigned i = 0; i < w.drafts_n && config_errors_count(r->errors) == before; i++)
        write_draft(&w, &w.drafts[i]);
    free(w.drafts);
}
