/* SPDX-License-Identifier: Apache-2.0
 *
 * Terms between every two parties, unit by unit from the first that the ledger knows: each unit stands on what was booked, or will be, for those
 * before it. Terms are about all that the pair deals in, by whatever book it was charged, and go by their name: the same name in a later book
 * continues it. A book for everybody ("*") is settled with each buyer by himself.
 */
#include "report/settle.h"

#include <stdio.h>

#include "base/json.h"
#include "base/limits.h"

/* What one party sells to another in one currency, over all units and by whatever books. */
struct dealing {
    struct span seller, buyer;        /* buyer never "*" */
    const char *currency;
    bool sold;                        /* by us */
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

/* ---- who deals with whom ---- */

static void add_dealing(struct walk *w, const struct price_book *b, struct span buyer)
{
    struct span seller = span_str(b->seller);
    for (unsigned i = 0; i < w->n; i++)
        if (span_eq(w->dealings[i].seller, seller) && span_eq(w->dealings[i].buyer, buyer) && strcmp(w->dealings[i].currency, b->currency) == 0)
            return;
    w->dealings = grow(w->s->arena, w->dealings, sizeof *w->dealings, w->n, &w->room);
    w->dealings[w->n++] = (struct dealing){.seller = seller, .buyer = buyer, .currency = b->currency,
                                           .sold = span_eq(seller, span_str(w->s->options->self))};
}

static bool has_own_book(const struct price_list *l, const char *seller, struct span buyer)
{
    bool has = false;
    for (unsigned i = 0; i < l->books_n; i++)
        has = has || (strcmp(l->books[i]->seller, seller) == 0 && span_eq(span_str(l->books[i]->buyer), buyer));
    return has;
}

/* A book for everybody deals with each who bought by it. */
static void find_buyers(struct walk *w, const struct price_book *b)
{
    for (unsigned i = 0; i < w->s->sums.rows_n; i++) {
        const struct sums_row *r = w->s->rows[i];
        const struct price_line *line = books_price(w->s->options->books, r->price);
        if (r->sell && line && strcmp(line->book->seller, b->seller) == 0 && strcmp(line->book->currency, b->currency) == 0)
            add_dealing(w, b, settle_buyer(w->s, r));
    }
}

static void find_dealings(struct walk *w)
{
    const struct price_list *l = w->s->options->prices;
    for (unsigned i = 0; i < l->books_n; i++) {
        if (l->books[i]->terms_n && strcmp(l->books[i]->buyer, "*") == 0)
            find_buyers(w, l->books[i]);
        else if (l->books[i]->terms_n)
            add_dealing(w, l->books[i], span_str(l->books[i]->buyer));
    }
}

/* ---- which terms are in force ---- */

static bool applies(const struct walk *w, const struct dealing *d, const struct price_book *b)
{
    const struct price_list *l = w->s->options->prices;
    bool for_all = strcmp(b->buyer, "*") == 0 && !has_own_book(l, b->seller, d->buyer);
    return span_eq(span_str(b->seller), d->seller) && strcmp(b->currency, d->currency) == 0 && (for_all || span_eq(span_str(b->buyer), d->buyer)) &&
           b->valid_from_us < w->unit.until_us && b->valid_until_us > w->unit.from_us;
}

static bool is_later(const struct price_book *a, const struct price_book *b)
{
    return a->known_from_us != b->known_from_us ? a->known_from_us > b->known_from_us : a->valid_from_us > b->valid_from_us;
}

/* Terms of the unit: of those with one name that of the book which was known last, then valid from the latest. */
struct in_force {
    struct price_term *terms;
    struct price_book *books; /* by term: a copy of its book, as long as any book of the unit has a term of that name */
    unsigned n, terms_room, books_room;
};

static void put_in_force(struct walk *w, const struct price_term *t, const struct price_book *b, struct in_force *f)
{
    unsigned i = 0;
    while (i < f->n && strcmp(f->terms[i].name, t->name) != 0)
        i++;
    if (i == f->n) {
        f->terms = grow(w->s->arena, f->terms, sizeof *f->terms, f->n, &f->terms_room);
        f->books = grow(w->s->arena, f->books, sizeof *f->books, f->n, &f->books_room);
        f->terms[i] = *t;
        f->books[i] = *b;
        f->n++;
        return;
    }
    struct price_book other = f->books[i];
    if (is_later(b, &other)) {
        f->terms[i] = *t;
        f->books[i] = *b;
    }
    f->books[i].valid_from_us = other.valid_from_us < b->valid_from_us ? other.valid_from_us : b->valid_from_us;
    f->books[i].valid_until_us = other.valid_until_us > b->valid_until_us ? other.valid_until_us : b->valid_until_us;
}

static void find_in_force(struct walk *w, const struct dealing *d, struct in_force *f)
{
    const struct price_list *l = w->s->options->prices;
    *f = (struct in_force){.n = 0};
    for (unsigned i = 0; i < l->books_n; i++)
        for (unsigned k = 0; applies(w, d, l->books[i]) && k < l->books[i]->terms_n; k++)
            put_in_force(w, &l->books[i]->terms[k], l->books[i], f);
}

/* ---- usage of a dealing ---- */

static bool is_of_dealing(const struct walk *w, const struct dealing *d, const struct sums_row *r)
{
    const struct price_line *line = books_price(w->s->options->books, r->price);
    return line && r->sell == d->sold && span_eq(span_str(line->book->seller), d->seller) && strcmp(line->book->currency, d->currency) == 0 &&
           (d->sold ? span_eq(settle_buyer(w->s, r), d->buyer) : span_eq(span_str(line->book->buyer), d->buyer));
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
                .provider = books_name(w->s->options->books, r->provider), .model = books_name(w->s->options->books, r->model),
                .usage = (enum usage_class)c,
                .quantity = r->count[c], .price = line->price[c], .amount = line->price[c] == PRICE_NONE ? 0 : money_of(r->count[c], line->price[c])};
}

/* The hours of a row whose uses begin at `first`. */
static void take_hours(struct walk *w, const struct sums_row *r, unsigned first, struct uses *u)
{
    const struct sums_row *hours = w->s->sums.hours;
    for (uint32_t i = r->first_hour; i; i = hours[i - 1].next_hour) {
        unsigned use = first;
        for (unsigned c = 0; c < USAGE_CLASSES; c++) {
            if (hours[i - 1].count[c]) {
                u->hours = grow(w->s->arena, u->hours, sizeof *u->hours, u->hours_n, &u->hours_room);
                u->hours[u->hours_n++] = (struct term_hour){use, hours[i - 1].hour, hours[i - 1].count[c]};
            }
            use += r->count[c] != 0;
        }
    }
}

/* Corrections of usage carry in their detail from whom they took money back, and to whom they gave it. */
static void take_correction(struct walk *w, const struct dealing *d, const struct posting_row *p, const char *seller, const char *currency,
                            const char *amount, int sign, struct uses *u)
{
    struct arena *a = w->s->arena;
    money m;
    bool sold = span_eq(posting_detail_text(a, p->detail, "leg"), SPAN("sell"));
    if (sold != d->sold || !span_eq(posting_detail_text(a, p->detail, seller), d->seller) || !posting_detail_money(p->detail, amount, &m) ||
        !span_eq(posting_detail_text(a, p->detail, currency), span_str(d->currency)) ||
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
        take_correction(w, d, p, "old.seller", "old.currency", "old_amount", -1, u);
        take_correction(w, d, p, "new.seller", "new.currency", "new_amount", 1, u);
    }
}

static void collect_uses(struct walk *w, const struct dealing *d, bool with_hours, unsigned until_row, struct uses *u)
{
    *u = (struct uses){.at = ARENA_ARRAY(w->s->arena, struct term_use, (until_row - w->row) * USAGE_CLASSES + 2 * w->s->postings.n)};
    for (unsigned i = w->row; i < until_row; i++) {
        const struct sums_row *r = w->s->rows[i];
        unsigned first = u->n;
        if (!is_of_dealing(w, d, r))
            continue;
        take_row(w, r, u);
        if (with_hours)
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
    d->before[d->before_n++] = (struct term_use){.provider = u->provider, .model = u->model, .usage = TERMS_CORRECTION, .price = PRICE_NONE,
                                                 .amount = u->amount};
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

static struct posting_transfer transfer_of(struct walk *w, const struct dealing *d, const char *book_name, const struct term_line *line)
{
    const struct price_term *t = line->term;
    struct settle *s = w->s;
    bool share = t->kind == TERM_SHARE;
    struct span book = span_str(book_name), name = span_str(t->name);
    const char *payer = account_of_payer(s, share ? span_str(t->from) : d->buyer, share ? "expenses:share" : "expenses:terms", book, name);
    const char *payee = account_of_payee(s, share ? span_str(t->to) : d->seller, share ? "income:share" : "income:terms", book, name);
    bool back = line->amount < 0;
    return (struct posting_transfer){back ? payee : payer, back ? payer : payee, d->currency, back ? -line->amount : line->amount};
}

static void remember(struct walk *w, struct dealing *d, struct span term, enum posting_cause cause, money amount)
{
    d->past = grow(w->s->arena, d->past, sizeof *d->past, d->past_n, &d->past_room);
    d->past[d->past_n++] = (struct term_past){term, cause, amount};
}

static bool says(struct walk *w, const struct posting_row *p, const char *path, struct span what)
{
    return span_eq(posting_detail_text(w->s->arena, p->detail, path), what);
}

static bool is_closing_of(struct walk *w, const struct dealing *d, const struct posting_row *p)
{
    return p->at_us == w->unit.until_us - 1 && span_starts(p->key, SPAN("close:")) && says(w, p, "seller", d->seller) &&
           says(w, p, "buyer", d->buyer) && says(w, p, "currency", span_str(d->currency));
}

/* Lines of this unit that were booked: they stay as they were, and are the past of the next unit. */
static void remember_booked(struct walk *w, struct dealing *d)
{
    money amount;
    for (unsigned i = 0; i < w->s->postings.n; i++) {
        const struct posting_row *p = &w->s->postings.rows[i];
        if (is_closing_of(w, d, p) && posting_detail_money(p->detail, "amount", &amount))
            remember(w, d, posting_detail_text(w->s->arena, p->detail, "term"), p->cause, amount);
    }
}

/* By whatever book: a version that became known after the period was closed changes nothing in it. */
static bool is_booked(struct walk *w, const struct dealing *d, const struct term_line *line)
{
    struct span end = arena_printf(w->s->arena, ":%s:%.*s", w->unit.label, SPAN_ARG(line->name));
    bool booked = false;
    for (unsigned i = 0; i < w->s->postings.n && !booked; i++)
        booked = span_ends(w->s->postings.rows[i].key, end) && is_closing_of(w, d, &w->s->postings.rows[i]);
    return booked;
}

static void close_line(struct walk *w, struct dealing *d, const struct price_book *b, const struct term_line *line)
{
    bool for_all = strcmp(b->buyer, "*") == 0;
    struct span key = arena_printf(w->s->arena, "close:%s%s%.*s:%s:%.*s", b->name, for_all ? "/" : "", SPAN_ARG(for_all ? d->buyer : SPAN("")),
                                   w->unit.label, SPAN_ARG(line->name));
    if (is_booked(w, d, line))
        return;
    remember(w, d, span_str(line->term->name), line->cause, line->amount);
    w->closings = grow(w->s->arena, w->closings, sizeof *w->closings, w->closings_n, &w->closings_room);
    w->closings[w->closings_n++] = (struct statement_closing){
        .cause = line->cause, .key = key, .memo = line->how, .detail = line->detail, .transfer = transfer_of(w, d, b->name, line), .period = w->unit,
        .ended = w->s->options->now_us >= w->unit.until_us};
}

static void explain(struct walk *w, const struct dealing *d, enum err e)
{
    const char *what = e != ERR_TOO_LARGE ? err_sentence(e)
                                          : "one of them is about so many prices that its detail does not fit an entry; name models or providers in it";
    snprintf(w->s->out->why, sizeof w->s->out->why, "what %.*s sells to %.*s: the terms of %s cannot be computed: %s", SPAN_ARG(d->seller),
             SPAN_ARG(d->buyer), w->unit.label, what);
}

static enum err compute_lines(struct walk *w, struct dealing *d, const struct in_force *f, const struct uses *u)
{
    struct term_line *lines;
    unsigned n;
    const struct price_book all = {.name = "", .seller = arena_strdup(w->s->arena, d->seller), .buyer = arena_strdup(w->s->arena, d->buyer),
                                   .terms = f->terms, .terms_n = f->n};
    struct price_book with_currency = all;
    memcpy(with_currency.currency, f->books[0].currency, sizeof with_currency.currency);
    const struct terms_input in = {.book = &with_currency, .of = f->books, .period = w->unit, .zone = w->s->options->zone, .uses = u->at,
                                   .uses_n = u->n, .before = d->before, .before_n = d->before_n, .hours = u->hours, .hours_n = u->hours_n,
                                   .past = d->past, .past_n = d->past_n};
    enum err e = terms_compute(w->s->arena, &in, &lines, &n);
    if (e)
        explain(w, d, e);
    for (unsigned i = 0; i < n && !e; i++)
        close_line(w, d, &f->books[lines[i].term - f->terms], &lines[i]);
    return e;
}

static enum err close_dealing(struct walk *w, struct dealing *d, unsigned until_row)
{
    struct in_force f;
    struct uses u;
    enum err e = ERR_OK;
    find_in_force(w, d, &f);
    collect_uses(w, d, w->s->sums.with_hours, until_row, &u);
    if (f.n)
        e = compute_lines(w, d, &f, &u);
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
        if (w.unit.until_us > s->options->period.until_us || w.unit.from_us > s->options->now_us)
            break;
        e = close_unit(&w);
        at_us = w.unit.until_us;
    }
    s->out->closings = w.closings;
    s->out->closings_n = w.closings_n;
    return e;
}
