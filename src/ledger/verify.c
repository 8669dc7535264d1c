/* SPDX-License-Identifier: Apache-2.0
 *
 * Verify: everything that can be computed again is, from the entries, and compared with what the store says. Nothing here is shared with the writer
 * but what defines the books: the codec, the price of a line, which row and which accounts an entry belongs to.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ledger/verify_private.h"

#define FAULTS_TOLD_MAX 200u
#define PROGRESS_EVERY 65536u
#define ROOM_FIRST 64u

void verify_fault(struct verify *v, const char *format, ...)
{
    char sentence[640];
    va_list arguments;
    if (++v->report->faults > FAULTS_TOLD_MAX || !v->tell)
        return;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    v->tell(v->owner, sentence);
}

void *verify_grow(void *array, size_t bytes_each, uint32_t used, uint32_t *room)
{
    if (used < *room)
        return array;
    *room = *room ? 2 * *room : ROOM_FIRST;
    array = realloc(array, *room * bytes_each);
    CHECK(array && *room > used);
    return array;
}

/* ---- names and prices ---- */

static void check_number(struct verify *v, uint64_t seq, uint32_t number, const uint64_t *seqs, uint32_t seqs_n)
{
    if (v->entry.number != number)
        verify_fault(v, "entry %" PRIu64 ": its number is %" PRIu32 ", the next is %" PRIu32, seq, v->entry.number, number);
    else if (number > seqs_n || seqs[number - 1] != seq)
        verify_fault(v, "entry %" PRIu64 ": the store's table does not have it as number %" PRIu32, seq, number);
}

static void check_name(struct verify *v, uint64_t seq)
{
    check_number(v, seq, ++v->names, v->name_seqs, v->name_seqs_n);
    if (!span_eq(books_name(v->books, v->names), v->entry.text))
        verify_fault(v, "entry %" PRIu64 ": the store's table has another text for name %" PRIu32, seq, v->names);
    else if (books_name_id(v->books, v->entry.text) != v->names)
        verify_fault(v, "entry %" PRIu64 ": name %" PRIu32 " says what an earlier one says", seq, v->names);
}

static void check_price(struct verify *v, uint64_t seq)
{
    check_number(v, seq, ++v->prices, v->price_seqs, v->price_seqs_n);
    const struct price_line *line = books_price(v->books, v->prices);
    if (!line || !span_eq(span_str(line->text), v->entry.text))
        verify_fault(v, "entry %" PRIu64 ": the store's table has another text for price line %" PRIu32, seq, v->prices);
}

/* ---- usage ---- */

static bool names_are_known(const struct verify *v, const struct entry_usage *u)
{
    const uint32_t names[] = {u->key, u->department, u->party, u->model_asked, u->model_served, u->tier, u->provider, u->model};
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (names[i] > v->names)
            return false;
    for (unsigned i = 0; i < u->attempts_n; i++)
        if (u->attempts[i].provider > v->names || u->attempts[i].model > v->names)
            return false;
    return u->buy.price <= v->prices && u->sell.price <= v->prices;
}

static void tell_amount(struct verify *v, uint64_t seq, const char *what, money said, money is)
{
    char a[MONEY_TEXT_BYTES], b[MONEY_TEXT_BYTES];
    verify_fault(v, "entry %" PRIu64 ": its %s is %.*s, but its quantities at its price line come to %.*s", seq, what,
                 SPAN_ARG(money_format(a, said, 0)), SPAN_ARG(money_format(b, is, 0)));
}

/* Without a line there is no amount; what was counted is unpriced, or was not ours to pay. */
static void check_charge(struct verify *v, uint64_t seq, const char *what, const struct entry_charge *c, const struct usage *u)
{
    struct charge is;
    price_charge(books_price(v->books, c->price), u, &is);
    if (c->amount != is.amount)
        tell_amount(v, seq, what, c->amount, is.amount);
    if (c->unpriced != is.unpriced && (c->price || c->unpriced))
        verify_fault(v, "entry %" PRIu64 ": what it says has no price for its %s is not what the price line lacks", seq, what);
}

static enum err check_usage(struct verify *v, uint64_t seq, const struct entry_usage *u)
{
    v->report->usage++;
    if (!names_are_known(v, u)) {
        verify_fault(v, "entry %" PRIu64 ": it speaks of a name or price line that no entry before it defines", seq);
        return ERR_OK;
    }
    check_charge(v, seq, "cost", &u->buy, &u->usage);
    check_charge(v, seq, "charge", &u->sell, &u->usage);
    verify_ids_usage(v, seq, u);
    return verify_rows_usage(v, seq, u);
}

/* ---- postings ---- */

static void check_posting(struct verify *v, uint64_t seq, const struct entry_posting *p)
{
    uint64_t stored;
    v->report->postings++;
    for (unsigned i = 0; i < p->transfers_n; i++) {
        const struct entry_transfer *t = &p->transfers[i];
        if (t->debit > v->names || t->credit > v->names || t->currency > v->names) {
            verify_fault(v, "entry %" PRIu64 ": it speaks of a name that no entry before it defines", seq);
            return;
        }
    }
    if (p->refers_to > seq)
        verify_fault(v, "entry %" PRIu64 ": it corrects entry %" PRIu64 ", which is not before it", seq, p->refers_to - 1);
    if (store_posting_key(v->books->store, p->key, &stored) != ERR_OK)
        verify_fault(v, "entry %" PRIu64 ": the store's table does not have its key", seq);
    else if (stored != seq)
        verify_fault(v, "entry %" PRIu64 ": its key was posted before, by entry %" PRIu64, seq, stored);
    verify_rows_posting(v, seq, p);
}

/* ---- the pass ---- */

static void check_time(struct verify *v, uint64_t seq)
{
    int64_t booked_us = entry_booked_us(&v->entry);
    if (v->entry.kind == ENTRY_NAME || v->entry.kind == ENTRY_PRICE)
        return;
    if (booked_us < v->booked_us)
        verify_fault(v, "entry %" PRIu64 ": it was booked before the entry before it", seq);
    else
        v->booked_us = booked_us;
}

static enum err check_entry(struct verify *v, uint64_t seq)
{
    check_time(v, seq);
    switch (v->entry.kind) {
    case ENTRY_NAME: check_name(v, seq); break;
    case ENTRY_PRICE: check_price(v, seq); break;
    case ENTRY_USAGE: return check_usage(v, seq, &v->entry.usage);
    case ENTRY_POSTING: check_posting(v, seq, &v->entry.posting); break;
    case ENTRY_SUMMARY:
        v->report->summaries++;
        verify_rows_summary(v, seq, &v->entry.summary);
        break;
    }
    return ERR_OK;
}

static enum err take_entry(void *owner, uint64_t seq, struct span body)
{
    struct verify *v = owner;
    enum err e = verify_tree_leaf(v, seq, body);
    if (!e && !v->flushed_is_passed && seq >= v->books->flushed)
        e = verify_rows_flushed(v);
    if (e)
        return e;
    if (++v->report->entries % PROGRESS_EVERY == 0 && v->progress)
        v->progress(v->owner, seq, v->books->size);
    if (entry_decode(body, &v->entry) == ERR_OK)
        return check_entry(v, seq);
    verify_fault(v, "entry %" PRIu64 ": its bytes are no entry", seq);
    return ERR_OK;
}

/* ---- begin and end ---- */

static enum err take_name_seq(void *owner, uint32_t id, struct span text, uint64_t seq)
{
    struct verify *v = owner;
    (void)id;
    (void)text;
    if (v->name_seqs_n < v->books->names.names_n)
        v->name_seqs[v->name_seqs_n++] = seq;
    return ERR_OK;
}

static enum err take_price_seq(void *owner, uint32_t id, struct span text, uint64_t seq)
{
    struct verify *v = owner;
    (void)id;
    (void)text;
    if (v->price_seqs_n < v->books->names.prices_n)
        v->price_seqs[v->price_seqs_n++] = seq;
    return ERR_OK;
}

static void check_file(struct verify *v)
{
    char why[512] = "";
    if (store_check(v->books->store, why) != ERR_OK)
        verify_fault(v, "the file is damaged: %s", why);
}

static enum err begin(struct verify *v)
{
    struct books *b = v->books;
    v->name_seqs = calloc(b->names.names_n + 1u, sizeof *v->name_seqs);
    v->price_seqs = calloc(b->names.prices_n + 1u, sizeof *v->price_seqs);
    CHECK(v->name_seqs && v->price_seqs);
    tally_init(&v->accounts, &b->names);
    check_file(v);
    enum err e = store_each_name(b->store, take_name_seq, v);
    if (!e)
        e = store_each_price(b->store, take_price_seq, v);
    return e ? e : verify_tree_begin(v);
}

static enum err end(struct verify *v)
{
    const struct books *b = v->books;
    if (v->names != b->names.names_n)
        verify_fault(v, "the log has %" PRIu32 " names, the store's table %" PRIu32, v->names, b->names.names_n);
    if (v->prices != b->names.prices_n)
        verify_fault(v, "the log has %" PRIu32 " price lines, the store's table %" PRIu32, v->prices, b->names.prices_n);
    enum err e = verify_tree_end(v);
    if (!e)
        e = verify_rows_end(v);
    if (!e)
        e = verify_ids_end(v);
    if (!e && v->report->faults > FAULTS_TOLD_MAX && v->tell) {
        char sentence[64];
        snprintf(sentence, sizeof sentence, "and %u more", v->report->faults - FAULTS_TOLD_MAX);
        v->tell(v->owner, sentence);
    }
    return e;
}

static void fini(struct verify *v)
{
    void *arrays[] = {v->name_seqs, v->price_seqs, v->missing, v->rows, v->summaries, v->gone, v->issuers, v->lost};
    for (unsigned i = 0; i < COUNT_OF(arrays); i++)
        free(arrays[i]);
    for (uint32_t i = 0; i < v->checkpoints_n; i++)
        buf_fini(&v->checkpoints[i].note);
    free(v->checkpoints);
    buf_fini(&v->kept);
    index_fini(&v->by_row);
    index_fini(&v->by_issuer);
    tally_fini(&v->accounts);
    id_set_fini(&v->booked);
    free(v);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

enum err books_verify(struct books *b, void (*tell)(void *owner, const char *sentence), void (*progress)(void *owner, uint64_t done, uint64_t total),
                      void *owner, struct verify_report *ret)
{
    struct verify *v = calloc(1, sizeof *v);
    CHECK(v);
    *v = (struct verify){.books = b, .tell = tell, .progress = progress, .owner = owner, .report = ret, .closed_us = INT64_MIN, .open_us = INT64_MIN};
    *ret = (struct verify_report){.faults = 0};
    double began = now_s();
    enum err e = begin(v);
    if (!e)
        e = store_each_entry(b->store, 0, b->size, take_entry, v);
    if (!e)
        e = end(v);
    ret->seconds = now_s() - began;
    fini(v);
    return e;
}
