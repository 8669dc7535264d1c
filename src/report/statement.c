/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements out of sums, the postings and the balances. Every account of a party is one struct account here: what it says now, what moved since the
 * period began and since it ended, and its lines. The two ways to the closing balance, backwards from now and forwards by the lines, must meet.
 */
#include "report/statement.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/json.h"
#include "base/limits.h"
#include "report/settle.h"

struct account {
    struct statement s;
    money now, since, after; /* balance; what moved from the period's begin on; from its end on */
    unsigned room;
};

struct building {
    struct settle *settle;
    struct arena *arena;
    struct account *accounts;
    unsigned n, room;
    enum err error;
};

const char *statement_section_name(enum statement_section s)
{
    static const char *const names[] = {"usage", "unpriced", "terms", "corrections", "payments", "other", "pending"};
    return (unsigned)s < COUNT_OF(names) ? names[s] : "?";
}

const char *statement_side_name(enum statement_side s) { return s == STATEMENT_WE_OWE ? "we owe" : "owed to us"; }

static void add(struct building *b, money *to, money m)
{
    if (!money_add(*to, m, to))
        b->error = ERR_RANGE;
}

/* ---- accounts ---- */

/* A part of an account's name as it was before it was encoded. */
static struct span decoded(struct arena *a, struct span encoded)
{
    char *out = arena_alloc(a, encoded.n + 1);
    size_t n = 0;
    if (span_eq(encoded, SPAN("%")))
        return SPAN("");
    for (size_t i = 0; i < encoded.n; i++) {
        uint8_t byte;
        bool escape = encoded.p[i] == '%' && i + 2 < encoded.n && digest_from_hex(span_of(encoded.p + i + 1, 2), &byte, 1);
        out[n++] = escape ? (char)byte : encoded.p[i];
        i += escape ? 2 : 0;
    }
    return span_of(out, n);
}

/* Is it an account of a party? Then which side, and whose. */
static bool read_account(struct arena *a, struct span name, enum statement_side *side, struct span *party)
{
    static const struct span heads[] = {[STATEMENT_WE_OWE] = {"liabilities:payable:", 20}, [STATEMENT_OWED_US] = {"assets:receivable:", 18}};
    for (unsigned i = 0; i < COUNT_OF(heads); i++) {
        if (!span_starts(name, heads[i]))
            continue;
        struct span rest = span_from(name, heads[i].n);
        *side = (enum statement_side)i;
        *party = decoded(a, span_cut(&rest, ':'));
        return true;
    }
    return false;
}

static struct account *account_of(struct building *b, enum statement_side side, struct span party, struct span currency)
{
    for (unsigned i = 0; i < b->n; i++)
        if (b->accounts[i].s.side == side && span_eq(b->accounts[i].s.party, party) && span_eq(span_str(b->accounts[i].s.currency), currency))
            return &b->accounts[i];
    if (b->n == b->room) {
        b->room = b->room ? b->room * 2 : 16;
        CHECK((b->accounts = realloc(b->accounts, b->room * sizeof *b->accounts)));
    }
    struct account *made = &b->accounts[b->n++];
    *made = (struct account){.s = {.side = side, .party = arena_dup(b->arena, party)}};
    snprintf(made->s.currency, sizeof made->s.currency, "%.*s", SPAN_ARG(currency));
    return made;
}

static struct statement_line *add_line(struct building *b, struct account *a)
{
    if (a->s.lines_n == a->room) {
        unsigned room = a->room ? a->room * 2 : 16;
        struct statement_line *bigger = ARENA_ARRAY(b->arena, struct statement_line, room);
        if (a->room)
            memcpy(bigger, a->s.lines, a->room * sizeof *bigger);
        a->s.lines = bigger;
        a->room = room;
    }
    return &a->s.lines[a->s.lines_n++];
}

static enum err on_balance(void *owner, struct span name, struct span currency, money posted)
{
    struct building *b = owner;
    enum statement_side side;
    struct span party;
    if (read_account(b->arena, name, &side, &party)) {
        struct account *a = account_of(b, side, party, currency);
        add(b, &a->now, side == STATEMENT_WE_OWE ? -posted : posted);
    }
    return b->error;
}

static void move(struct building *b, struct account *a, int64_t at_us, money amount)
{
    const struct period *p = &b->settle->options->period;
    if (at_us >= p->from_us)
        add(b, &a->since, amount);
    if (at_us >= p->until_us)
        add(b, &a->after, amount);
}

static bool is_in_period(const struct building *b, int64_t at_us)
{
    const struct period *p = &b->settle->options->period;
    return at_us >= p->from_us && at_us < p->until_us;
}

/* ---- usage ---- */

struct span settle_seller(const struct settle *s, const struct sums_row *r)
{
    const struct price_line *line = books_price(s->options->books, r->price);
    return line ? span_str(line->book->seller) : SPAN("");
}

struct span settle_buyer(const struct settle *s, const struct sums_row *r) { return books_name(s->options->books, r->buyer); }

/* Whose usage without a price is: the buyer's, or of whoever sold anything else at that provider. */
static struct account *account_without_price(struct building *b, const struct sums_row *r)
{
    const struct settle *s = b->settle;
    for (unsigned i = 0; i < s->sums.rows_n; i++) {
        const struct sums_row *other = s->rows[i];
        const struct price_line *line = books_price(s->options->books, other->price);
        if (line && other->sell == r->sell && (r->sell ? other->buyer == r->buyer : other->provider == r->provider))
            return account_of(b, r->sell ? STATEMENT_OWED_US : STATEMENT_WE_OWE, r->sell ? settle_buyer(s, r) : settle_seller(s, other),
                              span_str(line->book->currency));
    }
    return account_of(b, r->sell ? STATEMENT_OWED_US : STATEMENT_WE_OWE, r->sell ? settle_buyer(s, r) : SPAN(""), SPAN(""));
}

static struct account *account_of_row(struct building *b, const struct sums_row *r)
{
    const struct price_line *line = books_price(b->settle->options->books, r->price);
    if (!line)
        return account_without_price(b, r);
    return account_of(b, r->sell ? STATEMENT_OWED_US : STATEMENT_WE_OWE, r->sell ? settle_buyer(b->settle, r) : span_str(line->book->seller),
                      span_str(line->book->currency));
}

static void add_usage_line(struct building *b, struct account *a, const struct sums_row *r, enum usage_class c)
{
    struct books *books = b->settle->options->books;
    const struct price_line *line = books_price(books, r->price);
    int64_t price = line ? line->price[c] : PRICE_NONE;
    if (price == PRICE_NONE && c == USAGE_REQUEST)
        return;
    *add_line(b, a) = (struct statement_line){
        .section = price == PRICE_NONE ? STATEMENT_UNPRICED : STATEMENT_USAGE, .provider = books_name(books, r->provider),
        .model = books_name(books, r->model),
        .usage = c, .estimated = r->estimated, .quantity = r->count[c], .price = price, .line = line, .cause = POSTING_CAUSES,
        .amount = price == PRICE_NONE ? 0 : money_of(r->count[c], price)};
}

static void add_stated(struct building *b, struct account *a, const struct sums_row *r)
{
    struct span provider = books_name(b->settle->options->books, r->provider);
    unsigned i = 0;
    if (r->sell || strcmp(a->s.currency, "USD") != 0)
        return;
    while (i < a->s.stated_n && !span_eq(a->s.stated[i].provider, provider))
        i++;
    if (i == a->s.stated_n) {
        struct statement_stated *bigger = ARENA_ARRAY(b->arena, struct statement_stated, i + 1);
        if (i)
            memcpy(bigger, a->s.stated, i * sizeof *bigger);
        a->s.stated = bigger;
        a->s.stated[a->s.stated_n++].provider = provider;
    }
    struct statement_stated *s = &a->s.stated[i];
    s->requests += r->requests;
    s->stated_n += r->stated_n;
    add(b, &s->stated, r->stated);
    add(b, &s->ours, r->stated_ours);
}

static void take_row(struct building *b, const struct sums_row *r)
{
    struct account *a = account_of_row(b, r);
    unsigned before = a->s.lines_n;
    money sum = 0;
    move(b, a, r->from_us, r->amount);
    if (!is_in_period(b, r->from_us))
        return;
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        if (r->count[c])
            add_usage_line(b, a, r, (enum usage_class)c);
    for (unsigned i = before; i < a->s.lines_n; i++)
        add(b, &sum, a->s.lines[i].amount);
    if (sum != r->amount && !b->error)
        b->error = ERR_SYNTAX;
    add_stated(b, a, r);
}

/* ---- postings ---- */

static enum statement_section section_of(enum posting_cause c)
{
    switch (c) {
    case POSTING_CORRECTION: return STATEMENT_CORRECTIONS;
    case POSTING_PAYMENT: return STATEMENT_PAYMENTS;
    case POSTING_OPENING:
    case POSTING_REVERSAL:
    case POSTING_CAUSES: return STATEMENT_OTHER;
    default: return STATEMENT_TERMS;
    }
}

static struct span name_of(struct building *b, const struct posting_row *p)
{
    struct span term = posting_detail_text(b->arena, p->detail, "term");
    if (!term.n || !span_starts(p->key, SPAN("close:")))
        return p->key;
    struct span rest = p->key, last = rest; /* the key has the part, too: "K1/covered" */
    while (rest.p)
        last = span_cut(&rest, ':');
    return last;
}

static void take_leg(struct building *b, const struct posting_row *p, struct span name, struct span currency, money debit)
{
    enum statement_side side;
    struct span party;
    if (!read_account(b->arena, name, &side, &party))
        return;
    struct account *a = account_of(b, side, party, currency);
    money amount = side == STATEMENT_WE_OWE ? -debit : debit;
    move(b, a, p->at_us, amount);
    if (is_in_period(b, p->at_us))
        *add_line(b, a) = (struct statement_line){.section = section_of(p->cause), .amount = amount, .cause = p->cause, .name = name_of(b, p),
                                                  .how = p->memo,
                                                  .key = p->key, .detail = p->detail, .at_us = p->booked_us, .seq = p->seq, .price = PRICE_NONE};
}

static void take_posting(struct building *b, const struct posting_row *p)
{
    for (unsigned i = 0; i < p->transfers_n; i++) {
        take_leg(b, p, p->transfers[i].debit, p->transfers[i].currency, p->transfers[i].amount);
        take_leg(b, p, p->transfers[i].credit, p->transfers[i].currency, -p->transfers[i].amount);
    }
}

static void take_pending_leg(struct building *b, const struct statement_closing *c, uint64_t order, const char *name, money debit)
{
    enum statement_side side;
    struct span party, last = c->key, rest = c->key;
    if (!is_in_period(b, c->period.until_us - 1) || !read_account(b->arena, span_str(name), &side, &party))
        return;
    struct account *a = account_of(b, side, party, span_str(c->transfer.currency));
    money amount = side == STATEMENT_WE_OWE ? -debit : debit;
    while (rest.p)
        last = span_cut(&rest, ':');
    add(b, &a->s.pending, amount);
    *add_line(b, a) = (struct statement_line){.section = STATEMENT_PENDING, .amount = amount, .cause = c->cause, .name = last, .how = c->memo,
                                              .key = c->key, .detail = c->detail, .seq = order, .price = PRICE_NONE};
}

static void take_pending(struct building *b, const struct statement_closing *c, uint64_t order)
{
    take_pending_leg(b, c, order, c->transfer.debit, c->transfer.amount);
    take_pending_leg(b, c, order, c->transfer.credit, -c->transfer.amount);
}

/* ---- putting them together ---- */

static int by_what(const void *x, const void *y)
{
    const struct sums_row *a = *(const struct sums_row *const *)x, *b = *(const struct sums_row *const *)y;
    const int64_t of_a[] = {a->from_us, a->sell, a->provider, a->model, a->price, a->buyer, a->estimated};
    const int64_t of_b[] = {b->from_us, b->sell, b->provider, b->model, b->price, b->buyer, b->estimated};
    for (unsigned i = 0; i < COUNT_OF(of_a); i++)
        if (of_a[i] != of_b[i])
            return of_a[i] < of_b[i] ? -1 : 1;
    return 0;
}

static int span_order(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int by_party(const void *x, const void *y)
{
    const struct account *a = x, *b = y;
    int order = span_order(a->s.party, b->s.party);
    return order ? order : a->s.side != b->s.side ? (a->s.side < b->s.side ? -1 : 1) : strcmp(a->s.currency, b->s.currency);
}

static const char *digest_text(const struct statement_line *l) { return l->line ? l->line->text : ""; }

static int by_section(const void *x, const void *y)
{
    const struct statement_line *a = x, *b = y;
    if (a->section != b->section)
        return a->section < b->section ? -1 : 1;
    if (a->section > STATEMENT_UNPRICED)
        return a->seq != b->seq ? (a->seq < b->seq ? -1 : 1) : span_order(a->key, b->key);
    int order = span_order(a->provider, b->provider);
    order = order ? order : span_order(a->model, b->model);
    order = order ? order : strcmp(digest_text(a), digest_text(b));
    order = order ? order : a->estimated - b->estimated;
    return order ? order : (int)a->usage - (int)b->usage;
}

static bool is_same_usage(const struct statement_line *a, const struct statement_line *b)
{
    return a->section <= STATEMENT_UNPRICED && by_section(a, b) == 0;
}

/* Lines of stretches of one period that say the same become one. */
static void join_lines(struct building *b, struct statement *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->lines_n; i++) {
        if (n && is_same_usage(&s->lines[n - 1], &s->lines[i])) {
            if (__builtin_add_overflow(s->lines[n - 1].quantity, s->lines[i].quantity, &s->lines[n - 1].quantity))
                b->error = ERR_RANGE;
            add(b, &s->lines[n - 1].amount, s->lines[i].amount);
        } else {
            s->lines[n++] = s->lines[i];
        }
    }
    s->lines_n = n;
}

/* Forwards by the lines, backwards from now: the same. */
static void balance(struct building *b, struct account *a)
{
    struct statement *s = &a->s;
    s->opening = s->closing = a->now;
    add(b, &s->opening, -a->since);
    add(b, &s->closing, -a->after);
    if (s->lines_n)
        qsort(s->lines, s->lines_n, sizeof *s->lines, by_section);
    join_lines(b, s);
    money sum = s->opening;
    for (unsigned i = 0; i < s->lines_n; i++)
        if (s->lines[i].section != STATEMENT_PENDING)
            add(b, &sum, s->lines[i].amount);
    if (sum != s->closing && !b->error)
        b->error = ERR_SYNTAX;
}

static struct statement_net *net_of(struct settlement *out, const struct statement *s)
{
    for (unsigned i = 0; i < out->nets_n; i++)
        if (span_eq(out->nets[i].party, s->party) && strcmp(out->nets[i].currency, s->currency) == 0)
            return &out->nets[i];
    struct statement_net *net = &out->nets[out->nets_n++];
    *net = (struct statement_net){.party = s->party};
    memcpy(net->currency, s->currency, sizeof net->currency);
    return net;
}

static bool is_empty(const struct statement *s) { return !s->lines_n && !s->opening && !s->closing; }

static void finish(struct building *b, struct settlement *out)
{
    for (unsigned i = 0; i < b->n; i++)
        balance(b, &b->accounts[i]);
    if (b->n)
        qsort(b->accounts, b->n, sizeof *b->accounts, by_party);
    out->statements = ARENA_ARRAY(b->arena, struct statement, b->n);
    out->nets = ARENA_ARRAY(b->arena, struct statement_net, b->n);
    for (unsigned i = 0; i < b->n; i++) {
        const struct statement *s = &b->accounts[i].s;
        if (is_empty(s))
            continue;
        out->statements[out->n++] = *s;
        struct statement_net *net = net_of(out, s);
        money *side = s->side == STATEMENT_WE_OWE ? &net->we_owe : &net->owed_us;
        add(b, side, s->closing);
        add(b, side, s->pending);
    }
}

static enum err read_all(struct settle *s)
{
    const struct settlement_options *o = s->options;
    bool terms = false;
    for (unsigned i = 0; o->prices && i < o->prices->books_n; i++) {
        terms = terms || o->prices->books[i]->terms_n;
        s->sums.with_hours = s->sums.with_hours || terms_needs_hours(o->prices->books[i]);
    }
    enum err e = postings_read(s->arena, o->books, o->zone, &s->postings);
    if (!e)
        e = sums_read(&s->sums, terms ? INT64_MIN : o->period.from_us);
    if (e)
        return e;
    s->rows = ARENA_ARRAY(s->arena, const struct sums_row *, s->sums.rows_n);
    for (unsigned i = 0; i < s->sums.rows_n; i++)
        s->rows[i] = &s->sums.rows[i];
    if (s->sums.rows_n)
        qsort(s->rows, s->sums.rows_n, sizeof *s->rows, by_what);
    return ERR_OK;
}

static enum err build(struct building *b, struct settlement *out)
{
    struct settle *s = b->settle;
    enum err e = read_all(s);
    if (!e)
        e = books_each_account(s->options->books, on_balance, b);
    if (!e)
        e = settle_terms(s);
    for (unsigned i = 0; i < s->sums.rows_n && !e; i++)
        take_row(b, s->rows[i]);
    for (unsigned i = 0; i < s->postings.n && !e; i++)
        take_posting(b, &s->postings.rows[i]);
    for (unsigned i = 0; i < out->closings_n && !e; i++)
        take_pending(b, &out->closings[i], i);
    if (!e)
        finish(b, out);
    return e ? e : b->error;
}

static void explain(struct settlement *s, enum err e)
{
    if (*s->why)
        return;
    if (e == ERR_SYNTAX)
        snprintf(s->why, sizeof s->why, "the balances do not agree with the entries; run `entente ledger verify`, which says where");
    else
        snprintf(s->why, sizeof s->why, "%s", err_sentence(e));
}

enum err settlement_make(const struct settlement_options *o, struct settlement *ret)
{
    *ret = (struct settlement){.self = span_str(o->self), .period = o->period, .zone = o->zone, .unit = o->unit, .now_us = o->now_us,
                               .size = books_size(o->books)};
    arena_init(&ret->arena, 16 * KIB);
    struct settle s = {.options = o, .out = ret, .arena = &ret->arena,
                       .sums = {.books = o->books, .zone = o->zone, .unit = o->unit, .period = o->period, .at = {.from_us = INT64_MAX}}};
    struct building b = {.settle = &s, .arena = &ret->arena};
    enum err e = build(&b, ret);
    free(b.accounts);
    sums_fini(&s.sums);
    if (e)
        explain(ret, e);
    return e;
}

void settlement_fini(struct settlement *s)
{
    arena_fini(&s->arena);
    *s = (struct settlement){.n = 0};
}
