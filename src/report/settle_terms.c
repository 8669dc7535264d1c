/* SPDX-License-Identifier: Apache-2.0
 *
 * Terms of every book, unit by unit from the first that the ledger knows: each unit stands on what was booked, or will be, for those before it. A
 * book may have versions; for a unit the one that was known last counts. A book that sells to everybody ("*") is settled with each buyer by himself.
 */
#include "report/settle.h"

#include <stdio.h>

#include "base/json.h"
#include "base/limits.h"

/* One agreement between two parties, over all units. */
struct dealing {
    const struct price_book *version; /* any of its books: its name and parties are theirs */
    struct span buyer;                /* never "*" */
    struct term_use *before;          /* sums by provider and model */
    unsigned before_n, before_room;
    struct term_past *past;
    unsigned past_n, past_room;
};

struct walk {
    struct settle *s;
    struct dealing *dealings;
    unsigned n, room;
    unsigned row;                     /* the first of s->rows that is in the unit or after it */
    struct period unit;
    struct statement_closing *closings;
    unsigned closings_n, closings_room;
};

static bool is_same_dealing(const struct dealing *d, const struct price_book *b, struct span buyer)
{
    return strcmp(d->version->name, b->name) == 0 && strcmp(d->version->seller, b->seller) == 0 && strcmp(d->version->buyer, b->buyer) == 0 &&
           span_eq(d->buyer, buyer);
}

/* Doubles an array of the arena when it is full. */
static void *grow(struct arena *a, void *old, size_t each, unsigned n, unsigned *room)
{
    if (n < *room)
        return old;
    *room = *room ? *room * 2 : 16;
    void *bigger = arena_zalloc_array(a, each, *room);
    if (n)
        memcpy(bigger, old, each * n);
    return bigger;
}

static void add_dealing(struct walk *w, const struct price_book *b, struct span buyer)
{
    for (unsigned i = 0; i < w->n; i++)
        if (is_same_dealing(&w->dealings[i], b, buyer))
            return;
    w->dealings = grow(w->s->arena, w->dealings, sizeof *w->dealings, w->n, &w->room);
    w->dealings[w->n++] = (struct dealing){.version = b, .buyer = buyer};
}

/* Every book with terms; one for everybody, for each who bought by it. */
static void find_dealings(struct walk *w)
{
    const struct price_list *l = w->s->options->prices;
    for (unsigned i = 0; i < l->books_n; i++) {
        const struct price_book *b = l->books[i];
        if (!b->terms_n)
            continue;
        if (strcmp(b->buyer, "*") != 0)
            add_dealing(w, b, span_str(b->buyer));
        for (unsigned r = 0; r < w->s->sums.rows_n && strcmp(b->buyer, "*") == 0; r++) {
            const struct price_line *line = books_price(w->s->options->books, w->s->rows[r]->price);
            if (w->s->rows[r]->sell && line && strcmp(line->book->name, b->name) == 0)
                add_dealing(w, b, settle_buyer(w->s, w->s->rows[r]));
        }
    }
}

/* The version of the dealing's book for a unit: of those that are valid in it the one known last, then valid from the latest. */
static const struct price_book *version_of(const struct walk *w, const struct dealing *d)
{
    const struct price_list *l = w->s->options->prices;
    const struct price_book *best = NULL;
    for (unsigned i = 0; i < l->books_n; i++) {
        const struct price_book *b = l->books[i];
        if (strcmp(b->name, d->version->name) != 0 || strcmp(b->seller, d->version->seller) != 0 || strcmp(b->buyer, d->version->buyer) != 0 ||
            b->valid_from_us >= w->unit.until_us || b->valid_until_us <= w->unit.from_us)
            continue;
        if (!best || b->known_from_us > best->known_from_us || (b->known_from_us == best->known_from_us && b->valid_from_us > best->valid_from_us))
            best = b;
    }
    return best;
}

/* ---- usage of a dealing ---- */

static bool is_of_dealing(const struct walk *w, const struct dealing *d, const struct sums_row *r)
{
    const struct price_line *line = books_price(w->s->options->books, r->price);
    bool sold_by_us = span_eq(span_str(d->version->seller), span_str(w->s->options->self));
    return line && r->sell == sold_by_us && strcmp(line->book->name, d->version->name) == 0 && strcmp(line->book->seller, d->version->seller) == 0 &&
           (!r->sell || span_eq(settle_buyer(w->s, r), d->buyer));
}

struct uses {
    struct term_use *at;
    unsigned n;
    struct term_hour *hours;
    unsigned hours_n, hours_room;
};

static void take_row(struct walk *w, const struct sums_row *r, struct uses *u)
{
    const struct price_line *line = books_price(w->s->options->books, r->price);
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        if (r->count[c])
            u->at[u->n++] = (struct term_use){
                .provider = books_name(w->s->options->books, r->provider), .model = books_name(w->s->options->books, r->model), .usage = (enum usage_class)c,
                .quantity = r->count[c], .price = line->price[c], .amount = line->price[c] == PRICE_NONE ? 0 : money_of(r->count[c], line->price[c])};
}

static bool is_hour_of(const struct sums_row *hour, const struct sums_row *r)
{
    return hour->from_us == r->from_us && hour->price == r->price && hour->provider == r->provider && hour->model == r->model &&
           hour->buyer == r->buyer && hour->sell == r->sell && hour->estimated == r->estimated;
}

/* The hours of a row whose uses begin at `first`. */
static void take_hours(struct walk *w, const struct sums_row *r, unsigned first, struct uses *u)
{
    for (unsigned i = 0; i < w->s->sums.hours_n; i++) {
        const struct sums_row *hour = &w->s->sums.hours[i];
        unsigned use = first;
        for (unsigned c = 0; c < USAGE_CLASSES && is_hour_of(hour, r); c++) {
            if (hour->count[c]) {
                u->hours = grow(w->s->arena, u->hours, sizeof *u->hours, u->hours_n, &u->hours_room);
                u->hours[u->hours_n++] = (struct term_hour){use, hour->hour, hour->count[c]};
            }
            use += r->count[c] != 0;
        }
    }
}

/* Corrections of usage carry in their detail which book they took money from, and to which they gave it. */
static void take_correction(struct walk *w, const struct dealing *d, const struct posting_row *p, const char *book, const char *amount, int sign, struct uses *u)
{
    struct arena *a = w->s->arena;
    money m;
    bool sold = span_eq(posting_detail_text(a, p->detail, "leg"), SPAN("sell"));
    if (!span_eq(posting_detail_text(a, p->detail, book), span_str(d->version->name)) || !posting_detail_money(p->detail, amount, &m) ||
        sold != span_eq(span_str(d->version->seller), span_str(w->s->options->self)) ||
        (sold && !span_eq(posting_detail_text(a, p->detail, "buyer"), d->buyer)))
        return;
    u->at[u->n++] = (struct term_use){.provider = posting_detail_text(a, p->detail, "provider"), .model = posting_detail_text(a, p->detail, "model"),
                                      .usage = TERMS_CORRECTION, .price = PRICE_NONE, .amount = sign * m};
}

static void take_corrections(struct walk *w, const struct dealing *d, struct uses *u)
{
    for (unsigned i = 0; i < w->s->postings.n; i++) {
        const struct posting_row *p = &w->s->postings.rows[i];
        if (p->cause != POSTING_CORRECTION || p->at_us < w->unit.from_us || p->at_us >= w->unit.until_us)
            continue;
        take_correction(w, d, p, "old.book", "old_amount", -1, u);
        take_correction(w, d, p, "new.book", "new_amount", 1, u);
    }
}

static void collect_uses(struct walk *w, const struct dealing *d, const struct price_book *b, unsigned until_row, struct uses *u)
{
    *u = (struct uses){.at = ARENA_ARRAY(w->s->arena, struct term_use, (until_row - w->row) * USAGE_CLASSES + 2 * w->s->postings.n)};
    for (unsigned i = w->row; i < until_row; i++) {
        const struct sums_row *r = w->s->rows[i];
        unsigned first = u->n;
        if (!is_of_dealing(w, d, r))
            continue;
        take_row(w, r, u);
        if (b && terms_needs_hours(b))
            take_hours(w, r, first, u);
    }
    take_corrections(w, d, u);
}

static enum err remember_use(struct walk *w, struct dealing *d, const struct term_use *u)
{
    for (unsigned i = 0; i < d->before_n; i++)
        if (span_eq(d->before[i].provider, u->provider) && span_eq(d->before[i].model, u->model))
            return money_add(d->before[i].amount, u->amount, &d->before[i].amount) ? ERR_OK : ERR_RANGE;
    d->before = grow(w->s->arena, d->before, sizeof *d->before, d->before_n, &d->before_room);
    d->before[d->before_n++] = (struct term_use){.provider = u->provider, .model = u->model, .usage = TERMS_CORRECTION, .price = PRICE_NONE, .amount = u->amount};
    return ERR_OK;
}

/* ---- closings ---- */

static struct span part(struct settle *s, struct span name)
{
    struct buf account;
    buf_init(&account, ENTRY_BODY_BYTES_MAX);
    struct span out = SPAN_NONE;
    if (account_receivable(&account, name) == ERR_OK)
        out = arena_dup(s->arena, span_from(buf_span(&account), sizeof "assets:receivable:" - 1));
    buf_fini(&account);
    return out;
}

static const char *text_account(struct settle *s, const char *head, struct span a, struct span b)
{
    return arena_strdup(s->arena, arena_printf(s->arena, "%s:%.*s:%.*s", head, SPAN_ARG(part(s, a)), SPAN_ARG(b)));
}

/* Who must pay: his receivable, or an expense of ours. */
static const char *account_of_payer(struct settle *s, struct span party, const char *expense, struct span book, struct span term)
{
    if (span_eq(party, span_str(s->options->self)))
        return text_account(s, expense, book, part(s, term));
    return arena_strdup(s->arena, arena_printf(s->arena, "assets:receivable:%.*s", SPAN_ARG(part(s, party))));
}

static const char *account_of_payee(struct settle *s, struct span party, const char *income, struct span book, struct span term)
{
    if (span_eq(party, span_str(s->options->self)))
        return text_account(s, income, book, part(s, term));
    return text_account(s, "liabilities:payable", party, SPAN("terms"));
}

static struct posting_transfer transfer_of(struct walk *w, const struct dealing *d, const struct term_line *line)
{
    const struct price_term *t = line->term;
    struct settle *s = w->s;
    bool share = t->kind == TERM_SHARE;
    struct span book = span_str(d->version->name), name = span_str(t->name);
    const char *payer = account_of_payer(s, share ? span_str(t->from) : d->buyer, share ? "expenses:share" : "expenses:terms", book, name);
    const char *payee = account_of_payee(s, share ? span_str(t->to) : span_str(d->version->seller), share ? "income:share" : "income:terms", book, name);
    bool back = line->amount < 0;
    return (struct posting_transfer){back ? payee : payer, back ? payer : payee, d->version->currency, back ? -line->amount : line->amount};
}

static struct span key_of(struct walk *w, const struct dealing *d, const struct term_line *line)
{
    bool for_all = strcmp(d->version->buyer, "*") == 0;
    return arena_printf(w->s->arena, "close:%s%s%.*s:%s:%.*s", d->version->name, for_all ? "/" : "", SPAN_ARG(for_all ? d->buyer : SPAN("")), w->unit.label,
                        SPAN_ARG(line->name));
}

static void remember(struct walk *w, struct dealing *d, struct span term, enum posting_cause cause, money amount)
{
    d->past = grow(w->s->arena, d->past, sizeof *d->past, d->past_n, &d->past_room);
    d->past[d->past_n++] = (struct term_past){term, cause, amount};
}

/* Lines of this unit that were booked: they stay as they were, and are the past of the next unit. */
static void remember_booked(struct walk *w, struct dealing *d)
{
    struct arena *a = w->s->arena;
    money amount;
    for (unsigned i = 0; i < w->s->postings.n; i++) {
        const struct posting_row *p = &w->s->postings.rows[i];
        if (p->at_us != w->unit.until_us - 1 || !span_starts(p->key, SPAN("close:")) || !posting_detail_money(p->detail, "amount", &amount))
            continue;
        if (span_eq(posting_detail_text(a, p->detail, "book"), span_str(d->version->name)) &&
            span_eq(posting_detail_text(a, p->detail, "seller"), span_str(d->version->seller)) &&
            span_eq(posting_detail_text(a, p->detail, "buyer"), d->buyer))
            remember(w, d, posting_detail_text(a, p->detail, "term"), p->cause, amount);
    }
}

static void close_line(struct walk *w, struct dealing *d, const struct term_line *line)
{
    struct span key = key_of(w, d, line);
    if (postings_find(&w->s->postings, key))
        return;
    remember(w, d, line->name, line->cause, line->amount);
    w->closings = grow(w->s->arena, w->closings, sizeof *w->closings, w->closings_n, &w->closings_room);
    w->closings[w->closings_n++] = (struct statement_closing){
        .cause = line->cause, .key = key, .memo = line->how, .detail = line->detail, .transfer = transfer_of(w, d, line), .period = w->unit,
        .ended = w->s->options->now_us >= w->unit.until_us};
}

static enum err compute_lines(struct walk *w, struct dealing *d, const struct price_book *b, const struct uses *u)
{
    struct price_book with_buyer = *b;
    struct term_line *lines;
    unsigned n;
    with_buyer.buyer = arena_strdup(w->s->arena, d->buyer);
    const struct terms_input in = {.book = &with_buyer, .period = w->unit, .zone = w->s->options->zone, .uses = u->at, .uses_n = u->n,
                                   .before = d->before, .before_n = d->before_n, .hours = u->hours, .hours_n = u->hours_n,
                                   .past = d->past, .past_n = d->past_n};
    enum err e = terms_compute(w->s->arena, &in, &lines, &n);
    if (e) {
        snprintf(w->s->out->why, sizeof w->s->out->why, "the terms of book \"%s\" for %s cannot be computed: %s", b->name, w->unit.label,
                 e == ERR_TOO_LARGE ? "one of them is about so many prices that its detail does not fit an entry; name models or providers in it" : err_sentence(e));
        return e;
    }
    for (unsigned i = 0; i < n; i++)
        close_line(w, d, &lines[i]);
    return ERR_OK;
}

static enum err close_dealing(struct walk *w, struct dealing *d, unsigned until_row)
{
    const struct price_book *b = version_of(w, d);
    struct uses u;
    collect_uses(w, d, b, until_row, &u);
    enum err e = b ? compute_lines(w, d, b, &u) : ERR_OK;
    remember_booked(w, d);
    for (unsigned i = 0; i < u.n && !e; i++)
        e = remember_use(w, d, &u.at[i]);
    return e;
}

/* ---- units in their order ---- */

static enum err close_unit(struct walk *w)
{
    unsigned until_row = w->row;
    enum err e = ERR_OK;
    while (until_row < w->s->sums.rows_n && w->s->rows[until_row]->from_us < w->unit.until_us)
        until_row++;
    for (unsigned i = 0; i < w->n && !e; i++)
        e = close_dealing(w, &w->dealings[i], until_row);
    w->row = until_row;
    return e;
}

/* When the ledger began, or what is asked for when it began later. */
static int64_t first_moment(const struct settle *s)
{
    int64_t first = s->options->period.from_us;
    if (s->sums.rows_n && s->rows[0]->from_us < first)
        first = s->rows[0]->from_us;
    for (unsigned i = 0; i < s->postings.n; i++)
        first = s->postings.rows[i].booked_us < first ? s->postings.rows[i].booked_us : first;
    return first;
}

enum err settle_terms(struct settle *s)
{
    struct walk w = {.s = s};
    enum err e = ERR_OK;
    if (!s->options->prices)
        return ERR_OK;
    find_dealings(&w);
    int64_t at_us = first_moment(s);
    while (w.n && !e) {
        period_at(s->options->zone, s->options->unit, at_us, &w.unit);
        if (w.unit.until_us > s->options->period.until_us)
            break;
        e = close_unit(&w);
        at_us = w.unit.until_us;
    }
    s->out->closings = w.closings;
    s->out->closings_n = w.closings_n;
    return e;
}
