/* SPDX-License-Identifier: Apache-2.0
 *
 * Two tables, rows and accounts, each an array and an index over it.
 */
#include "ledger/tally.h"

#include <stdio.h>
#include <stdlib.h>

#define ROOM_FIRST 256u
#define SEED 0x9e3779b97f4a7c15ull /* who could choose these keys has the file in his hands anyway */

static void *grow(void *array, size_t bytes_each, uint32_t used, uint32_t *room)
{
    if (used < *room)
        return array;
    *room = *room ? 2 * *room : ROOM_FIRST;
    array = realloc(array, *room * bytes_each);
    CHECK(array && *room > used);
    return array;
}

void tally_init(struct tally *t, const struct projection *names) { *t = (struct tally){.names = names}; }

void tally_fini(struct tally *t)
{
    index_fini(&t->by_row);
    index_fini(&t->by_account);
    free(t->rows);
    free(t->accounts);
    tally_init(t, t->names);
}

/* ---- rows ---- */

static uint32_t hash_row(const struct rollup *r) { return (uint32_t)rollup_hash(r, SEED); }

static struct rollup *find_row(const struct tally *t, const struct rollup *like, uint32_t hash)
{
    uint32_t at = index_first(&t->by_row, hash);
    for (uint32_t i; (i = index_item(&t->by_row, hash, &at)) != 0; at++)
        if (rollup_same(&t->rows[i - 1], like))
            return &t->rows[i - 1];
    return NULL;
}

/* A row whose sums are full stays as it is, and another of its kind begins, as in the store. */
void tally_add_row(struct tally *t, const struct rollup *r)
{
    uint32_t hash = hash_row(r);
    struct rollup *row = find_row(t, r, hash);
    if (row && rollup_add(row, r))
        return;
    if (row)
        index_remove(&t->by_row, hash, (uint32_t)(row - t->rows) + 1);
    t->rows = grow(t->rows, sizeof *t->rows, t->rows_n, &t->rows_room);
    t->rows[t->rows_n++] = *r;
    index_insert(&t->by_row, hash, t->rows_n);
}

/* ---- accounts ---- */

struct tally_account *tally_find_account(const struct tally *t, uint32_t account, uint32_t currency)
{
    uint32_t hash = index_hash_u64(account, currency), at = index_first(&t->by_account, hash);
    for (uint32_t i; (i = index_item(&t->by_account, hash, &at)) != 0; at++)
        if (t->accounts[i - 1].account == account && t->accounts[i - 1].currency == currency)
            return &t->accounts[i - 1];
    return NULL;
}

enum err tally_move(struct tally *t, uint32_t account, uint32_t currency, money amount)
{
    struct tally_account *a = tally_find_account(t, account, currency);
    if (a)
        return money_add(a->posted, amount, &a->posted) ? ERR_OK : ERR_RANGE;
    t->accounts = grow(t->accounts, sizeof *t->accounts, t->accounts_n, &t->accounts_room);
    t->accounts[t->accounts_n++] = (struct tally_account){account, currency, amount};
    index_insert(&t->by_account, index_hash_u64(account, currency), t->accounts_n);
    return ERR_OK;
}

enum err tally_book_posting(struct tally *t, const struct entry_posting *p)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; !e && i < p->transfers_n; i++) {
        const struct entry_transfer *x = &p->transfers[i];
        e = tally_move(t, x->debit, x->currency, x->amount);
        if (!e)
            e = tally_move(t, x->credit, x->currency, -x->amount);
    }
    return e;
}

static enum err name_of(const struct tally *t, struct span text, uint32_t *ret, char why[256])
{
    *ret = projection_name(t->names, text);
    if (*ret)
        return ERR_OK;
    snprintf(why, 256, "no name in the log says \"%.*s\"", (int)(text.n < 200 ? text.n : 200), text.p);
    return ERR_NOT_FOUND;
}

static enum err move_named(struct tally *t, const struct buf *account, const char *currency, money amount, char why[256])
{
    uint32_t name, in;
    enum err e = name_of(t, buf_span(account), &name, why);
    if (!e)
        e = name_of(t, span_str(currency), &in, why);
    return e ? e : tally_move(t, name, in, amount);
}

static enum err book_buy(struct tally *t, const struct rollup *r, const struct price_book *book, struct buf *text, char why[256])
{
    struct span provider = projection_text(t->names, r->provider);
    enum err e = account_expense(text, provider, projection_text(t->names, r->model));
    if (!e)
        e = move_named(t, text, book->currency, r->buy, why);
    buf_clear(text);
    if (!e)
        e = account_payable(text, span_str(book->seller), provider);
    return e ? e : move_named(t, text, book->currency, -r->buy, why);
}

static enum err book_sell(struct tally *t, const struct rollup *r, const struct price_book *book, struct buf *text, char why[256])
{
    struct span buyer = account_buyer(projection_text(t->names, r->department), projection_text(t->names, r->party));
    enum err e = account_receivable(text, buyer);
    if (!e)
        e = move_named(t, text, book->currency, r->sell, why);
    buf_clear(text);
    if (!e)
        e = account_income(text, buyer);
    return e ? e : move_named(t, text, book->currency, -r->sell, why);
}

static const struct price_book *book_of(const struct tally *t, uint32_t price)
{
    return price && price <= t->names->prices_n ? t->names->prices[price - 1].line->book : NULL;
}

enum err tally_book_row(struct tally *t, const struct rollup *r, char why[256])
{
    const struct price_book *buy = book_of(t, r->buy_price), *sell = book_of(t, r->sell_price);
    struct buf text;
    enum err e = ERR_OK;
    buf_init(&text, ENTRY_NAME_BYTES_MAX);
    if (buy && r->buy)
        e = book_buy(t, r, buy, &text, why);
    buf_clear(&text);
    if (!e && sell && r->sell && (r->department || r->party))
        e = book_sell(t, r, sell, &text, why);
    buf_fini(&text);
    return e;
}
