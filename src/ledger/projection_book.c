/* SPDX-License-Identifier: Apache-2.0
 *
 * Booking: what an entry does to the projection. The complication is that accounts have names, names are entries, and entries come before what uses
 * them: so the accounts of a usage entry are named before it is appended (projection_legs), and it is added up after (projection_book_usage).
 */
#include "ledger/projection.h"

static enum err leg_account(const struct projection *p, const struct entry_usage *u, enum leg leg, struct buf *out)
{
    struct span provider = projection_text(p, u->provider);
    struct span buyer = account_buyer(projection_text(p, u->department), projection_text(p, u->party));
    switch (leg) {
    case LEG_EXPENSE: return account_expense(out, provider, projection_text(p, u->model));
    case LEG_PAYABLE: return account_payable(out, span_str(p->prices[u->buy.price - 1].line->book->seller), provider);
    case LEG_RECEIVABLE: return account_receivable(out, buyer);
    case LEG_INCOME: return account_income(out, buyer);
    case LEGS: break;
    }
    return ERR_INTERNAL;
}

static const struct entry_charge *leg_charge(const struct entry_usage *u, enum leg leg) { return leg <= LEG_PAYABLE ? &u->buy : &u->sell; }

static bool leg_moves(const struct projection *p, const struct entry_usage *u, enum leg leg)
{
    const struct entry_charge *c = leg_charge(u, leg);
    if (c->price == 0 || c->price > p->prices_n || c->amount == 0)
        return false;
    return leg <= LEG_PAYABLE || u->department || u->party;
}

static enum err leg_name(struct projection *p, struct projected_row *row, const struct entry_usage *u, enum leg leg, projection_intern_fn *intern,
                         void *owner)
{
    struct buf text;
    uint32_t account, currency;
    buf_init(&text, ENTRY_NAME_BYTES_MAX);
    enum err e = leg_account(p, u, leg, &text);
    if (!e)
        e = intern(owner, buf_span(&text), &account);
    if (!e)
        e = intern(owner, span_str(p->prices[leg_charge(u, leg)->price - 1].line->book->currency), &currency);
    if (!e)
        row->balance[leg] = projection_balance(p, account, currency);
    buf_fini(&text);
    return e;
}

enum err projection_legs(struct projection *p, struct projected_row *row, const struct entry_usage *u, projection_intern_fn *intern, void *owner)
{
    for (enum leg leg = 0; leg < LEGS; leg++) {
        enum err e = row->balance[leg] || !leg_moves(p, u, leg) ? ERR_OK : leg_name(p, row, u, leg, intern, owner);
        if (e)
            return e;
    }
    return ERR_OK;
}

/* The hold that a record without one would have had: only its id matters, so that later records of the id find it open. */
static void open_for_attempt(struct projection *p, const struct entry_usage *u)
{
    struct hold h = {.issuer = u->issuer, .counter = u->counter, .wall_us = u->wall_us, .api = u->api, .stream = u->stream,
                     .key = u->key, .department = u->department, .party = u->party, .model_asked = u->model_asked,
                     .provider = u->provider, .model = u->model, .input_expected = -1, .output_max = -1, .opened_seq = projection_size(p)};
    projection_open(p, &h);
}

static void settle_hold(struct projection *p, const struct entry_usage *u)
{
    struct projected_issuer *issuer = projection_issuer(p, u->issuer);
    struct projected_hold *hold = projection_hold(p, u->issuer, u->counter);
    if (!hold && u->attempt && u->counter > issuer->counter) {
        open_for_attempt(p, u);
        hold = projection_hold(p, u->issuer, u->counter);
    }
    if (u->counter > issuer->counter)
        issuer->counter = u->counter;
    issuer->dirty = true;
    if (hold && u->attempt) {
        hold->hold.attempts |= (uint16_t)(1u << u->attempt);
        hold->unwritten = true;
    } else if (hold) {
        projection_end(p, hold);
    }
}

void projection_book_usage(struct projection *p, struct projected_row *row, const struct rollup *one, const struct entry_usage *u)
{
    for (enum leg leg = 0; leg < LEGS; leg++)
        if (leg_moves(p, u, leg))
            projection_move(p, row->balance[leg], leg == LEG_EXPENSE || leg == LEG_RECEIVABLE ? leg_charge(u, leg)->amount : -leg_charge(u, leg)->amount);
    projection_add_to_row(p, row, one);
    settle_hold(p, u);
    p->booked_us = u->booked_us;
    p->records++;
}

void projection_book_posting(struct projection *p, const struct entry_posting *e)
{
    for (unsigned i = 0; i < e->transfers_n; i++) {
        const struct entry_transfer *t = &e->transfers[i];
        projection_move(p, projection_balance(p, t->debit, t->currency), t->amount);
        projection_move(p, projection_balance(p, t->credit, t->currency), -t->amount);
    }
    p->booked_us = e->booked_us;
}

/* ---- replay ---- */

static enum err known_name(void *owner, struct span text, uint32_t *ret)
{
    *ret = projection_name(owner, text);
    return *ret ? ERR_OK : ERR_SYNTAX;
}

static enum err replay_usage(struct projection *p, uint64_t seq, const struct entry_usage *u)
{
    struct rollup one;
    if (u->buy.price > p->prices_n || u->sell.price > p->prices_n)
        return ERR_SYNTAX;
    rollup_of(u, seq, &one);
    struct projected_row *row = projection_row(p, &one);
    enum err e = projection_legs(p, row, u, known_name, p);
    if (!e)
        projection_book_usage(p, row, &one, u);
    return e;
}

/* Names and prices have tables in the store, which were read before the tail is replayed: what is there already is compared. */
static enum err replay_name(struct projection *p, const struct entry *e)
{
    if (e->number == p->names_n + 1)
        projection_add_name(p, e->text);
    return e->number <= p->names_n && span_eq(projection_text(p, e->number), e->text) ? ERR_OK : ERR_SYNTAX;
}

static enum err replay_price(struct projection *p, const struct entry *e)
{
    uint32_t id;
    enum err error = e->number == p->prices_n + 1 ? projection_add_price(p, e->text, &id) : ERR_OK;
    return error ? error : e->number <= p->prices_n ? ERR_OK : ERR_SYNTAX;
}

static enum err replay_entry(struct projection *p, uint64_t seq, const struct entry *e)
{
    switch (e->kind) {
    case ENTRY_NAME: return replay_name(p, e);
    case ENTRY_PRICE: return replay_price(p, e);
    case ENTRY_USAGE: return replay_usage(p, seq, &e->usage);
    case ENTRY_POSTING: projection_book_posting(p, &e->posting); return ERR_OK;
    case ENTRY_SUMMARY: p->booked_us = e->summary.booked_us; return ERR_OK;
    }
    return ERR_SYNTAX;
}

enum err projection_replay(struct projection *p, uint64_t seq, struct span body)
{
    struct entry entry;
    struct hash leaf, tile;
    enum err e = entry_decode(body, &entry);
    if (!e)
        e = replay_entry(p, seq, &entry);
    if (e)
        return e;
    merkle_leaf(body, &leaf);
    (void)projection_leaf(p, &leaf, &tile);
    return ERR_OK;
}
