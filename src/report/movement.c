/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries and rollups to movements. Which accounts usage touches is said in ledger/entry.h; here is only whose names go in.
 */
#include "report/movement.h"

#include <stdio.h>

#include "base/limits.h"

#define NAMES_BYTES (8u * KIB) /* four accounts of two names of RECORD_NAME_BYTES, every byte escaped, with room; never moves */

void movements_init(struct movements *m)
{
    m->n = 0;
    buf_init(&m->names, NAMES_BYTES);
}

void movements_fini(struct movements *m) { buf_fini(&m->names); }

bool movement_usage_of(const struct walk_step *s, struct movement_usage *ret)
{
    const struct entry_usage *u = s->entry ? &s->entry->usage : NULL;
    const struct rollup *r = s->rollup;
    if (s->entry && s->entry->kind != ENTRY_USAGE)
        return false;
    if (u)
        *ret = (struct movement_usage){u->key, u->department, u->party, u->provider, u->model, u->model_asked, u->tier, u->buy.price, u->sell.price,
                                       u->buy.unpriced, u->sell.unpriced, u->usage.source, u->attempt == 0, u->usage.count,
                                       u->buy.amount, u->sell.amount};
    else
        *ret = (struct movement_usage){r->key, r->department, r->party, r->provider, r->model, r->model_asked, r->tier, r->buy_price, r->sell_price,
                                       r->buy_unpriced, r->sell_unpriced, (enum usage_source)r->source, r->requests, r->count, r->buy, r->sell};
    return true;
}

typedef enum err account_of_fn(struct buf *out, struct span a, struct span b);
static enum err receivable_of(struct buf *out, struct span buyer, struct span unused) { return account_receivable(out, buyer); }
static enum err income_of(struct buf *out, struct span buyer, struct span unused) { return account_income(out, buyer); }

static enum err name_account(struct movements *m, account_of_fn *of, struct span a, struct span b, struct span *ret)
{
    size_t before = buf_bytes(&m->names);
    enum err e = of(&m->names, a, b);
    *ret = span_from(buf_span(&m->names), before);
    return e;
}

/* A leg with a price line moves money, though it be zero; one without moves none. */
static enum err add_leg(struct books *b, struct movements *m, enum movement_kind kind, uint32_t price, money amount, struct movement **ret)
{
    *ret = NULL;
    if (!price)
        return ERR_OK;
    const struct price_line *line = books_price(b, price);
    if (!line)
        return ERR_SYNTAX;
    *ret = &m->at[m->n++];
    **ret = (struct movement){.kind = kind, .currency = span_str(line->book->currency), .amount = amount};
    return ERR_OK;
}

static enum err add_buy(struct books *b, struct movements *m, const struct movement_usage *u)
{
    struct movement *leg;
    struct span provider = books_name(b, u->provider);
    enum err e = add_leg(b, m, MOVEMENT_BUY, u->buy_price, u->buy, &leg);
    if (e || !leg)
        return e;
    e = name_account(m, account_expense, provider, books_name(b, u->model), &leg->debit);
    return e ? e : name_account(m, account_payable, span_str(books_price(b, u->buy_price)->book->seller), provider, &leg->credit);
}

static enum err add_sell(struct books *b, struct movements *m, const struct movement_usage *u)
{
    struct movement *leg;
    struct span buyer = account_buyer(books_name(b, u->department), books_name(b, u->party));
    enum err e = add_leg(b, m, MOVEMENT_SELL, buyer.n ? u->sell_price : 0, u->sell, &leg);
    if (e || !leg)
        return e;
    e = name_account(m, receivable_of, buyer, SPAN_NONE, &leg->debit);
    return e ? e : name_account(m, income_of, buyer, SPAN_NONE, &leg->credit);
}

static void add_transfers(struct books *b, struct movements *m, const struct entry_posting *p)
{
    for (unsigned i = 0; i < p->transfers_n; i++) {
        const struct entry_transfer *t = &p->transfers[i];
        m->at[m->n++] = (struct movement){MOVEMENT_TRANSFER, books_name(b, t->debit), books_name(b, t->credit), books_name(b, t->currency),
                                             t->amount};
    }
}

enum err movements_of(struct books *b, const struct walk_step *s, struct movements *m)
{
    struct movement_usage u;
    m->n = 0;
    buf_clear(&m->names);
    enum err e = buf_reserve(&m->names, NAMES_BYTES);
    if (!e && s->entry && s->entry->kind == ENTRY_POSTING)
        add_transfers(b, m, &s->entry->posting);
    if (e || !movement_usage_of(s, &u))
        return e;
    e = add_buy(b, m, &u);
    return e ? e : add_sell(b, m, &u);
}

struct span movement_classes(char out[MOVEMENT_CLASSES_BYTES], uint32_t classes)
{
    size_t n = 0;
    for (int c = 0; c < USAGE_CLASSES; c++)
        if (classes >> c & 1)
            n += (size_t)snprintf(out + n, MOVEMENT_CLASSES_BYTES - n, "%s%s", n ? " " : "", usage_class_name((enum usage_class)c));
    return span_of(out, n);
}
