/* SPDX-License-Identifier: Apache-2.0
 *
 * Their keys are a table of the store, as far as the store was flushed; what came after is found in the log itself.
 */
#include "report/postings.h"

#include <stdlib.h>

#include "base/json.h"

struct reading {
    struct arena *arena;
    struct books *books;
    const struct zone *zone;
    uint64_t *seqs;
    unsigned n, room;
    struct postings *out;
};

static void note_seq(struct reading *r, uint64_t seq)
{
    if (r->n == r->room) {
        r->room = r->room ? r->room * 2 : 64;
        CHECK((r->seqs = realloc(r->seqs, r->room * sizeof *r->seqs)));
    }
    r->seqs[r->n++] = seq;
}

static enum err on_key(void *owner, struct span key, uint64_t seq)
{
    note_seq(owner, seq);
    return ERR_OK;
}

static enum err on_tail(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    struct reading *r = owner;
    if (e->kind == ENTRY_POSTING && (!r->n || seq > r->seqs[r->n - 1]))
        note_seq(r, seq);
    return ERR_OK;
}

static int64_t when_it_counts(const struct reading *r, const struct posting_row *p)
{
    struct period period;
    struct span label = span_starts(p->key, SPAN("close:")) ? posting_detail_text(r->arena, p->detail, "period") : SPAN_NONE;
    return label.n && period_parse(r->zone, label, &period) == ERR_OK ? period.until_us - 1 : p->booked_us;
}

static enum err on_entry(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    struct reading *r = owner;
    const struct entry_posting *p = &e->posting;
    if (e->kind != ENTRY_POSTING)
        return ERR_OK;
    struct posting_row *row = &r->out->rows[r->out->n++];
    *row = (struct posting_row){.seq = seq, .booked_us = p->booked_us, .cause = p->cause, .key = arena_dup(r->arena, p->key),
                                .memo = arena_dup(r->arena, p->memo), .detail = arena_dup(r->arena, p->detail), .transfers_n = p->transfers_n};
    row->transfers = ARENA_ARRAY(r->arena, struct posting_moved, p->transfers_n);
    for (unsigned i = 0; i < p->transfers_n; i++)
        row->transfers[i] = (struct posting_moved){books_name(r->books, p->transfers[i].debit), books_name(r->books, p->transfers[i].credit),
                                                   books_name(r->books, p->transfers[i].currency), p->transfers[i].amount};
    row->at_us = when_it_counts(r, row);
    return ERR_OK;
}

static uint64_t flushed_until(struct books *b)
{
    struct buf value;
    uint64_t seq = 0;
    buf_init(&value, 64);
    if (store_meta(books_store(b), META_FLUSHED, &value) != ERR_OK || !span_to_u64(buf_span(&value), &seq))
        seq = 0;
    buf_fini(&value);
    return seq;
}

enum err postings_read(struct arena *a, struct books *b, const struct zone *zone, struct postings *ret)
{
    struct postings out = {.n = 0};
    struct reading r = {.arena = a, .books = b, .zone = zone, .out = &out};
    enum err e = store_each_posting_key(books_store(b), on_key, &r);
    if (!e)
        e = books_each(b, flushed_until(b), books_size(b), on_tail, &r);
    out.rows = ARENA_ARRAY(a, struct posting_row, r.n);
    for (unsigned i = 0; i < r.n && !e; i++)
        e = books_each(b, r.seqs[i], r.seqs[i] + 1, on_entry, &r);
    free(r.seqs);
    if (!e)
        *ret = out;
    return e;
}

const struct posting_row *postings_find(const struct postings *p, struct span key)
{
    for (unsigned i = 0; i < p->n; i++)
        if (span_eq(p->rows[i].key, key))
            return &p->rows[i];
    return NULL;
}

struct span posting_detail_text(struct arena *a, struct span detail, const char *path)
{
    struct span text = SPAN_NONE;
    return detail.n && json_find_string(a, detail, path, &text) ? text : SPAN_NONE;
}

bool posting_detail_money(struct span detail, const char *path, money *ret)
{
    struct span quoted = detail.n ? json_find(detail, path) : SPAN_NONE;
    return quoted.n > 2 && quoted.p[0] == '"' && money_parse_integer(span_of(quoted.p + 1, quoted.n - 2), ret) == ERR_OK;
}
