/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements for people: a hundred columns, amounts in whole minor units of the currency. The lines of a balance are rounded so that they add up to
 * what is settled (settle_display); what that leaves is carried, and said. The exact figures are in the JSON and CSV forms.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "report/figure.h"
#include "report/statement.h"

#define WIDTH 100
#define AMOUNT_WIDTH 18
#define HOW_AT 26 /* column where the middle of a line begins, and where it ends */
#define HOW_UNTIL (WIDTH - AMOUNT_WIDTH - 1)

struct page {
    struct arena *arena;
    const struct settlement *s;
    const struct statement *of;
    unsigned decimals;
    money opening, *amounts;   /* rounded for the eye; by line */
    const struct price_line **notes; /* price lines in the order of their numbers */
    unsigned notes_n;
    struct buf *out;
    enum err error;
};

PRINTF_LIKE(2, 3) static void say(struct page *p, const char *format, ...)
{
    va_list args;
    char line[1024];
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (!p->error)
        p->error = buf_append(p->out, span_of(line, n < (int)sizeof line ? (size_t)n : sizeof line - 1));
}

static void rule(struct page *p, char c)
{
    char line[WIDTH + 1];
    memset(line, c, WIDTH);
    line[WIDTH] = 0;
    say(p, "%s\n", line);
}

static struct span in_words(struct page *p, money m)
{
    char figure[FIGURE_BYTES];
    return arena_dup(p->arena, figure_money(figure, m, p->decimals));
}

static struct span day_of(struct page *p, int64_t at_us)
{
    char text[CLOCK_RFC3339_BYTES];
    int64_t offset_s = zone_offset_s(p->s->zone, at_us / 1000000);
    return arena_dup(p->arena, span_to(clock_rfc3339_us(text, at_us + offset_s * 1000000), 10));
}

/* How many characters, not bytes: what a name of other letters is wide. */
static int width_of(struct span text)
{
    int n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    return n;
}

static int pad(struct span text, int width) { return width > width_of(text) ? width - width_of(text) : 0; }

/* Text that came from outside, with nothing in it that moves the cursor. */
static struct span clean(struct page *p, struct span text)
{
    char *out = arena_alloc(p->arena, text.n + 1);
    for (size_t i = 0; i < text.n; i++)
        out[i] = (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f ? ' ' : text.p[i];
    return span_of(out, text.n);
}

/* label, at the right an amount */
static void say_amount(struct page *p, struct span label, money amount)
{
    struct span figure = in_words(p, amount);
    say(p, "%.*s%*s%.*s\n", SPAN_ARG(label), pad(label, WIDTH - (int)figure.n), "", SPAN_ARG(figure));
}

static void say_amount_str(struct page *p, const char *label, money amount) { say_amount(p, span_str(label), amount); }

/* ---- usage ---- */

/* Would the notes of both say the same? */
static bool is_same_note(const struct price_line *a, const struct price_line *b)
{
    const struct price_book *x = a->book, *y = b->book;
    return strcmp(x->name, y->name) == 0 && strcmp(x->source, y->source) == 0 && x->valid_from_us == y->valid_from_us &&
           x->valid_until_us == y->valid_until_us && x->known_from_us == y->known_from_us && a->above_input == b->above_input &&
           strcmp(a->tier, b->tier) == 0 && memcmp(&a->clock, &b->clock, sizeof a->clock) == 0;
}

static unsigned note_of(struct page *p, const struct price_line *line)
{
    for (unsigned i = 0; i < p->notes_n; i++)
        if (is_same_note(p->notes[i], line))
            return i + 1;
    p->notes[p->notes_n++] = line;
    return p->notes_n;
}

static void say_usage_head(struct page *p, const struct statement_line *l)
{
    struct span name = arena_printf(p->arena, "  %.*s at %.*s", SPAN_ARG(clean(p, l->model)), SPAN_ARG(clean(p, l->provider)));
    if (l->line)
        say(p, "%.*s  [%u]\n", SPAN_ARG(name), note_of(p, l->line));
    else
        say(p, "%.*s\n", SPAN_ARG(name));
}

static bool is_same_head(const struct statement_line *a, const struct statement_line *b)
{
    bool same_line = a && (a->line == b->line || (a->line && b->line && strcmp(a->line->text, b->line->text) == 0));
    return same_line && span_eq(a->provider, b->provider) && span_eq(a->model, b->model);
}

static void say_usage(struct page *p, const struct statement_line *l, money amount)
{
    char quantity[FIGURE_BYTES], price[FIGURE_BYTES], name[64];
    int n = snprintf(name, sizeof name, "    %s%s", usage_class_name(l->usage), l->estimated ? ", ESTIMATED" : "");
    for (int i = 0; i < n; i++)
        name[i] = name[i] == '_' ? ' ' : name[i];
    struct span figure = in_words(p, amount);
    if (l->price == PRICE_NONE)
        say(p, "%-32s%22.*s\n", name, SPAN_ARG(figure_count(quantity, l->quantity)));
    else
        say(p, "%-32s%22.*s%24.*s%22.*s\n", name, SPAN_ARG(figure_count(quantity, l->quantity)), SPAN_ARG(figure_price(price, l->price)),
            SPAN_ARG(figure));
}

/* ---- other lines ---- */

/* Where to cut text so that it fits, best at a space. */
static size_t fit(struct span text, size_t room)
{
    size_t at = room;
    if (text.n <= room)
        return text.n;
    while (at > room / 2 && text.p[at] != ' ')
        at--;
    return at > room / 2 ? at : room;
}

/* Name, how it came about, amount; a long story goes on below. */
static void say_posted(struct page *p, struct span name, struct span how, money amount)
{
    struct span figure = in_words(p, amount);
    const size_t room = HOW_UNTIL - HOW_AT;
    name = clean(p, name);
    how = clean(p, how);
    if (width_of(name) > HOW_AT - 4) {
        say(p, "  %.*s\n", SPAN_ARG(name));
        name = SPAN("");
    }
    for (bool first = true; first || how.n; first = false, name = SPAN("")) {
        struct span piece = span_to(how, fit(how, room));
        int gap = first ? WIDTH - HOW_AT - width_of(piece) - (int)figure.n : 0;
        say(p, "  %.*s%*s%.*s", SPAN_ARG(name), pad(name, HOW_AT - 2), "", SPAN_ARG(piece));
        if (first)
            say(p, "%*s%.*s", gap > 1 ? gap : 1, "", SPAN_ARG(figure));
        say(p, "\n");
        how = span_trim(span_from(how, piece.n));
    }
}

static void say_line(struct page *p, const struct statement_line *before, const struct statement_line *l, money amount)
{
    if (l->section <= STATEMENT_UNPRICED) {
        if (!is_same_head(before, l))
            say_usage_head(p, l);
        say_usage(p, l, amount);
    } else if (l->section == STATEMENT_TERMS || l->section == STATEMENT_PENDING) {
        say_posted(p, arena_printf(p->arena, "%.*s  %s", SPAN_ARG(l->name), posting_cause_name(l->cause)), l->how, amount);
    } else {
        say_posted(p, day_of(p, l->at_us), l->how.n ? arena_printf(p->arena, "%.*s (%.*s)", SPAN_ARG(l->how), SPAN_ARG(l->name)) : l->name, amount);
    }
}

/* ---- sections ---- */

static const char *const titles[STATEMENT_SECTIONS] = {
    [STATEMENT_USAGE] = "Usage",
    [STATEMENT_UNPRICED] = "USAGE WITHOUT A PRICE, held and in no balance; add a price, then `entente ledger rerate`",
    [STATEMENT_TERMS] = "Terms",
    [STATEMENT_CORRECTIONS] = "Corrections",
    [STATEMENT_PAYMENTS] = "Payments",
    [STATEMENT_OTHER] = "Other",
    [STATEMENT_PENDING] = "Not booked yet",
};

static void say_section(struct page *p, enum statement_section section)
{
    const struct statement_line *before = NULL;
    money sum = 0;
    for (unsigned i = 0; i < p->of->lines_n; i++) {
        const struct statement_line *l = &p->of->lines[i];
        if (l->section != section)
            continue;
        if (!before && section == STATEMENT_USAGE)
            say(p, "\n%-32s%22s%24s%22s\n", titles[section], "quantity", "per million", p->of->currency);
        else if (!before)
            say(p, "\n%s\n", titles[section]);
        say_line(p, before, l, p->amounts[i]);
        sum += p->amounts[i];
        before = l;
    }
    if (before && section != STATEMENT_UNPRICED)
        say_amount(p, arena_printf(p->arena, "  %s together", titles[section]), sum);
}

static void say_stated(struct page *p)
{
    bool said = false;
    for (unsigned i = 0; i < p->of->stated_n; i++) {
        const struct statement_stated *x = &p->of->stated[i];
        char n[FIGURE_BYTES], all[FIGURE_BYTES];
        if (!x->stated_n)
            continue;
        if (!said)
            say(p, "\nWhat providers say it cost, where all requests of a quarter of an hour said so\n");
        said = true;
        say(p, "  %.*s, %.*s of %.*s requests: stated %.*s, by our prices %.*s, difference %.*s\n", SPAN_ARG(clean(p, x->provider)),
            SPAN_ARG(figure_count(n, x->stated_n)), SPAN_ARG(figure_count(all, x->requests)), SPAN_ARG(in_words(p, x->stated)),
            SPAN_ARG(in_words(p, x->ours)),
            SPAN_ARG(in_words(p, x->stated - x->ours)));
    }
}

static void say_note(struct page *p, unsigned number, const struct price_line *line)
{
    const struct price_book *b = line->book;
    char figure[FIGURE_BYTES];
    say(p, "  [%u] price book %s, source %.*s; valid from %.*s", number, b->name, SPAN_ARG(clean(p, span_str(b->source))),
        SPAN_ARG(day_of(p, b->valid_from_us)));
    if (b->valid_until_us != PRICE_TIME_MAX)
        say(p, " to %.*s", SPAN_ARG(day_of(p, b->valid_until_us - 1)));
    say(p, ", known from %.*s", SPAN_ARG(day_of(p, b->known_from_us)));
    if (line->above_input)
        say(p, "; above %.*s input tokens", SPAN_ARG(figure_count(figure, line->above_input)));
    if (*line->tier)
        say(p, "; tier %.*s", SPAN_ARG(clean(p, span_str(line->tier))));
    if (line->clock.days)
        say(p, "; %02u:%02u to %02u:%02u UTC", line->clock.from_minute / 60, line->clock.from_minute % 60, line->clock.until_minute / 60,
            line->clock.until_minute % 60);
    say(p, "\n");
}

static void say_notes(struct page *p)
{
    if (p->notes_n)
        say(p, "\nPrices\n");
    for (unsigned i = 0; i < p->notes_n; i++)
        say_note(p, i + 1, p->notes[i]);
}

static void say_closing(struct page *p)
{
    const struct statement *of = p->of;
    money shown = settle_minor_units(of->closing, (int)p->decimals), rest = of->closing - shown;
    say(p, "\n");
    rule(p, '-');
    say_amount_str(p, "Closing balance", shown);
    if (rest)
        say(p, "  %.*s more is carried: less than the currency's smallest coin\n", SPAN_ARG(in_words(p, rest)));
    say_section(p, STATEMENT_PENDING);
    if (of->pending)
        say_amount_str(p, "Closing balance when that is booked", settle_minor_units(of->closing + of->pending, (int)p->decimals));
}

/* ---- a statement ---- */

/* Opening and lines to the closing balance; then what is pending, up to the balance with it. */
static void round_amounts(struct page *p)
{
    const struct statement *of = p->of;
    unsigned booked = 0, n = of->lines_n;
    money *exact = ARENA_ARRAY(p->arena, money, n + 1), *shown = ARENA_ARRAY(p->arena, money, n + 1), total;
    while (booked < n && of->lines[booked].section != STATEMENT_PENDING)
        booked++;
    exact[0] = of->opening;
    for (unsigned i = 0; i < n; i++)
        exact[i + 1] = of->lines[i].amount;
    p->amounts = ARENA_ARRAY(p->arena, money, n + 1);
    p->error = settle_display(exact, booked + 1, (int)p->decimals, shown, &total);
    p->opening = shown[0];
    memcpy(p->amounts, shown + 1, booked * sizeof *shown);
    exact[booked] = of->closing - total; /* what is carried goes with the pending lines */
    if (!p->error)
        p->error = settle_display(exact + booked, n - booked + 1, (int)p->decimals, shown, &total);
    if (n > booked)
        memcpy(p->amounts + booked, shown + 1, (n - booked) * sizeof *shown);
}

static void say_head(struct page *p)
{
    const struct settlement *s = p->s;
    struct span left = arena_printf(p->arena, "STATEMENT  %.*s", SPAN_ARG(p->of->party.n ? clean(p, p->of->party) : SPAN("(seller unknown)")));
    struct span right = arena_printf(p->arena, "%s  %s", s->period.label, zone_name(s->zone));
    struct span self = clean(p, s->self), party = p->of->party.n ? clean(p, p->of->party) : SPAN("an unknown seller");
    bool we_owe = p->of->side == STATEMENT_WE_OWE;
    struct span what = arena_printf(p->arena, "what %.*s owes %.*s%s%s", SPAN_ARG(we_owe ? self : party), SPAN_ARG(we_owe ? party : self),
                                    *p->of->currency ? ", in " : "", p->of->currency);
    struct span days = arena_printf(p->arena, "%.*s to %.*s%s", SPAN_ARG(day_of(p, s->period.from_us)), SPAN_ARG(day_of(p, s->period.until_us - 1)),
                                    s->now_us < s->period.until_us ? ", so far" : "");
    rule(p, '=');
    say(p, "%.*s%*s%.*s\n", SPAN_ARG(left), pad(left, WIDTH - width_of(right)), "", SPAN_ARG(right));
    say(p, "%.*s%*s%.*s\n", SPAN_ARG(what), pad(what, WIDTH - width_of(days)), "", SPAN_ARG(days));
    rule(p, '=');
}

static void say_statement(struct page *p)
{
    static const enum statement_section booked[] = {STATEMENT_USAGE, STATEMENT_TERMS, STATEMENT_CORRECTIONS, STATEMENT_PAYMENTS, STATEMENT_OTHER};
    int decimals = currency_decimals(span_str(p->of->currency));
    p->decimals = decimals < 0 ? 2 : (unsigned)decimals;
    p->notes = ARENA_ARRAY(p->arena, const struct price_line *, p->of->lines_n);
    p->notes_n = 0;
    round_amounts(p);
    say_head(p);
    say_amount_str(p, "Opening balance", p->opening);
    for (unsigned i = 0; i < COUNT_OF(booked); i++)
        say_section(p, booked[i]);
    say_closing(p);
    say_section(p, STATEMENT_UNPRICED);
    say_stated(p);
    say_notes(p);
    say(p, "\n");
}

/* ---- all together ---- */

static void say_nets(struct page *p, struct span party)
{
    rule(p, '=');
    say(p, "NET BY PARTY at the end of %-13s%20s%20s%20s\n", p->s->period.label, "we owe", "owed to us", "we owe, net");
    rule(p, '=');
    for (unsigned i = 0; i < p->s->nets_n; i++) {
        const struct statement_net *n = &p->s->nets[i];
        int decimals = currency_decimals(span_str(n->currency));
        if (!*n->currency || (party.n && !span_eq(party, n->party)))
            continue;
        p->decimals = decimals < 0 ? 2 : (unsigned)decimals;
        struct span name = clean(p, n->party), ours = in_words(p, settle_minor_units(n->we_owe, (int)p->decimals)),
                    theirs = in_words(p, settle_minor_units(n->owed_us, (int)p->decimals)),
                    net = in_words(p, settle_minor_units(n->we_owe - n->owed_us, (int)p->decimals));
        say(p, "%.*s%*s%-4s%20.*s%20.*s%20.*s\n", SPAN_ARG(name), pad(name, 36), "", n->currency, SPAN_ARG(ours), SPAN_ARG(theirs), SPAN_ARG(net));
    }
}

static void say_not_closed(struct page *p)
{
    const char *last = "";
    for (unsigned i = 0; i < p->s->closings_n; i++) {
        const struct period *period = &p->s->closings[i].period;
        if (period->until_us > p->s->period.from_us || strcmp(period->label, last) == 0)
            continue;
        last = period->label;
        say(p, "%s is not closed: its terms are in no balance until `entente settle --period %s --post`\n", last, last);
    }
    if (*last)
        say(p, "\n");
}

enum err statement_write_text(const struct settlement *s, struct span party, struct buf *out)
{
    struct arena arena;
    unsigned n = 0;
    arena_init(&arena, 16 * KIB);
    struct page p = {.arena = &arena, .s = s, .out = out};
    say_not_closed(&p);
    for (unsigned i = 0; i < s->n && !p.error; i++) {
        if (party.n && !span_eq(party, s->statements[i].party))
            continue;
        p.of = &s->statements[i];
        say_statement(&p);
        n++;
    }
    if (n > 1)
        say_nets(&p, party);
    if (!n)
        say(&p, "Nothing in %s: no usage, no posting, no balance.\n", s->period.label);
    arena_fini(&arena);
    return p.error;
}
