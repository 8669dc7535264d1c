/* SPDX-License-Identifier: Apache-2.0
 *
 * Postings that no request made. A key posts once: whoever says the same again gets the place of the first, whoever says something else under the
 * same key is refused.
 */
#include "ledger/ledger_private.h"

struct work {
    const struct posting *posting;
    uint64_t *ret_seq;
    enum err result; /* of the posting, when the store did its part */
};

static bool same_name(const struct ledger *l, uint32_t id, const char *name) { return span_eq(projection_text(&l->projection, id), span_str(name)); }

static bool says_the_same(const struct ledger *l, const struct entry_posting *was, const struct posting *p)
{
    bool same = was->cause == p->cause && was->refers_to == p->refers_to && span_eq(was->memo, p->memo) && span_eq(was->detail, p->detail) &&
                was->transfers_n == p->transfers_n;
    for (unsigned i = 0; same && i < p->transfers_n; i++)
        same = same_name(l, was->transfers[i].debit, p->transfers[i].debit) && same_name(l, was->transfers[i].credit, p->transfers[i].credit) &&
               same_name(l, was->transfers[i].currency, p->transfers[i].currency) && was->transfers[i].amount == p->transfers[i].amount;
    return same;
}

static enum err compare(struct ledger *l, struct work *w)
{
    struct entry was;
    buf_clear(&l->body);
    enum err e = store_entry(l->store, *w->ret_seq, &l->body);
    e = e ? e : entry_decode(buf_span(&l->body), &was);
    if (e || was.kind != ENTRY_POSTING)
        return ledger_of_store(l, ERR_SYNTAX);
    w->result = says_the_same(l, &was.posting, w->posting) ? ERR_OK : ERR_EXISTS;
    return ERR_OK;
}

static enum err name_transfers(struct ledger *l, const struct posting *p, struct entry_posting *to)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; !e && i < p->transfers_n; i++) {
        const struct posting_transfer *from = &p->transfers[i];
        to->transfers[i].amount = from->amount;
        e = ledger_intern(l, span_str(from->debit), &to->transfers[i].debit);
        e = e ? e : ledger_intern(l, span_str(from->credit), &to->transfers[i].credit);
        e = e ? e : ledger_intern(l, span_str(from->currency), &to->transfers[i].currency);
    }
    return e;
}

static enum err append(struct ledger *l, struct work *w)
{
    const struct posting *p = w->posting;
    struct entry entry = {.kind = ENTRY_POSTING};
    struct entry_posting *to = &entry.posting;
    *to = (struct entry_posting){.booked_us = l->now_us, .cause = p->cause, .key = p->key, .memo = p->memo, .detail = p->detail,
                                 .refers_to = p->refers_to, .transfers_n = p->transfers_n};
    enum err e = name_transfers(l, p, to);
    if (e)
        return e;
    *w->ret_seq = projection_size(&l->projection);
    e = ledger_append(l, &entry);
    if (e)
        return e;
    projection_book_posting(&l->projection, to);
    return ledger_of_store(l, store_put_posting_key(l->store, p->key, *w->ret_seq));
}

static enum err post_once(struct ledger *l, void *work)
{
    struct work *w = work;
    w->result = ERR_OK;
    enum err e = store_posting_key(l->store, w->posting->key, w->ret_seq);
    if (e == ERR_NOT_FOUND)
        return append(l, w);
    return e ? ledger_of_store(l, e) : compare(l, w);
}

static enum err run(struct ledger *l, void *work) { return ledger_transact(l, post_once, work); }

static bool is_postable(const struct posting *p)
{
    bool fine = p->key.n && p->transfers_n <= POSTING_TRANSFERS_MAX && (unsigned)p->cause < POSTING_CAUSES;
    for (unsigned i = 0; fine && i < p->transfers_n; i++) {
        const struct posting_transfer *t = &p->transfers[i];
        fine = t->amount >= 0 && t->amount <= POSTING_AMOUNT_MAX && t->debit[0] && t->credit[0] && t->currency[0];
    }
    return fine;
}

enum err ledger_post(struct ledger *l, const struct posting *p, uint64_t *ret_seq)
{
    uint64_t seq = 0;
    struct work w = {.posting = p, .ret_seq = &seq};
    if (!is_postable(p))
        return ERR_RANGE;
    enum err e = ledger_command(l, run, &w);
    if (!e)
        *ret_seq = seq;
    return e ? e : w.result;
}
