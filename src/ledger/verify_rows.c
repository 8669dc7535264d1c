/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums again. Booked times never fall, so rollup rows are compared quarter by quarter while the log goes by, and then forgotten: memory is that of one
 * quarter of an hour. Rows of entries that compaction took away are known by their last entry, which is missing; they have no entries to be
 * compared with, but the digest that the summary carries.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "ledger/verify_private.h"

#define SEED 0x9e3779b97f4a7c15ull

/* ---- differences ---- */

static struct row_difference *find_difference(struct verify *v, const struct rollup *like)
{
    uint32_t hash = (uint32_t)rollup_hash(like, SEED), at = index_first(&v->by_row, hash);
    for (uint32_t i; (i = index_item(&v->by_row, hash, &at)) != 0; at++)
        if (rollup_same(&v->rows[i - 1].left, like))
            return &v->rows[i - 1];
    v->rows = verify_grow(v->rows, sizeof *v->rows, v->rows_n, &v->rows_room);
    struct row_difference *made = &v->rows[v->rows_n++];
    memset(made, 0, sizeof *made);
    made->left = *like;
    struct rollup *r = &made->left; /* dimensions alone */
    memset(r->count, 0, sizeof r->count);
    r->requests = r->entries = r->provider_cost_n = 0;
    r->buy = r->sell = r->provider_cost = 0;
    index_insert(&v->by_row, hash, v->rows_n);
    return made;
}

static int64_t wrap_i64(int64_t a, int64_t b, int sign) { return (int64_t)((uint64_t)a + (uint64_t)sign * (uint64_t)b); }

static money wrap_money(money a, money b, int sign)
{
    return (money)((unsigned __int128)a + (sign < 0 ? -(unsigned __int128)b : (unsigned __int128)b));
}

static void add_signed(struct rollup *to, const struct rollup *r, int sign)
{
    to->requests = wrap_i64(to->requests, r->requests, sign);
    to->entries = wrap_i64(to->entries, r->entries, sign);
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        to->count[c] = wrap_i64(to->count[c], r->count[c], sign);
    to->buy = wrap_money(to->buy, r->buy, sign);
    to->sell = wrap_money(to->sell, r->sell, sign);
    to->provider_cost = wrap_money(to->provider_cost, r->provider_cost, sign);
    to->provider_cost_n = wrap_i64(to->provider_cost_n, r->provider_cost_n, sign);
}

static bool is_nothing(const struct rollup *r)
{
    int64_t any = r->requests | r->entries | r->provider_cost_n;
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        any |= r->count[c];
    return !any && !r->buy && !r->sell && !r->provider_cost;
}

/* ---- a quarter ---- */

static void book_row(struct verify *v, const struct rollup *r)
{
    char why[256] = "its sums are larger than an amount can be";
    if (tally_book_row(&v->accounts, r, why) != ERR_OK)
        verify_fault(v, "rollup of entries to %" PRIu64 ": %s", r->last_seq, why);
}

static enum err take_stored_row(void *owner, const struct rollup *r)
{
    struct verify *v = owner;
    if (verify_is_missing(v, r->last_seq)) {
        book_row(v, r);
        return ERR_OK;
    }
    struct row_difference *d = find_difference(v, r);
    add_signed(&d->left, r, -1);
    if (r->last_seq > d->stored_last_seq)
        d->stored_last_seq = r->last_seq;
    return ERR_OK;
}

static void compare_row(struct verify *v, struct row_difference *d)
{
    if (!is_nothing(&d->left))
        verify_fault(v, "rollup of %" PRId64 ", entries to %" PRIu64 ": the store's sums are not those of the entries", d->left.bucket_us, d->last_seq);
    else if (d->last_seq != d->stored_last_seq)
        verify_fault(v, "rollup of %" PRId64 ": its last entry is %" PRIu64 " and not %" PRIu64, d->left.bucket_us, d->last_seq, d->stored_last_seq);
    d->left.buy = d->buy, d->left.sell = d->sell, d->left.last_seq = d->last_seq;
    book_row(v, &d->left);
}

static enum err close_until(struct verify *v, int64_t until_us)
{
    enum err e = store_each_rollup(v->books->store, v->closed_us, until_us, take_stored_row, v);
    if (e)
        return e;
    for (uint32_t i = 0; i < v->rows_n; i++)
        compare_row(v, &v->rows[i]);
    v->rows_n = 0;
    index_fini(&v->by_row);
    v->closed_us = until_us;
    return ERR_OK;
}

enum err verify_rows_usage(struct verify *v, uint64_t seq, const struct entry_usage *u)
{
    struct rollup one;
    if (seq >= v->books->flushed)
        return ERR_OK;
    rollup_of(u, seq, &one);
    if (one.bucket_us > v->open_us) {
        enum err e = close_until(v, one.bucket_us);
        if (e)
            return e;
        v->open_us = one.bucket_us;
    }
    struct row_difference *d = find_difference(v, &one);
    add_signed(&d->left, &one, 1);
    d->buy = wrap_money(d->buy, one.buy, 1);
    d->sell = wrap_money(d->sell, one.sell, 1);
    d->last_seq = seq;
    return ERR_OK;
}

enum err verify_rows_flushed(struct verify *v)
{
    v->flushed_is_passed = true;
    verify_tree_flushed(v);
    return close_until(v, INT64_MAX);
}

/* ---- balances ---- */

void verify_rows_posting(struct verify *v, uint64_t seq, const struct entry_posting *p)
{
    if (seq < v->books->flushed && tally_book_posting(&v->accounts, p) != ERR_OK)
        verify_fault(v, "entry %" PRIu64 ": a balance grows larger than an amount can be", seq);
}

static void tell_balance(struct verify *v, uint32_t account, uint32_t currency, money stored, money summed)
{
    char said[MONEY_TEXT_BYTES], is[MONEY_TEXT_BYTES];
    struct span a = money_format(said, stored, 0), b = money_format(is, summed, 0), name = books_name(v->books, account);
    verify_fault(v, "account %.*s: the store says %.*s %.*s, the entries come to %.*s", SPAN_ARG(name), SPAN_ARG(a),
                 SPAN_ARG(books_name(v->books, currency)), SPAN_ARG(b));
}

static enum err compare_account(void *owner, uint32_t account, uint32_t currency, money posted)
{
    struct verify *v = owner;
    struct tally_account *a = tally_find_account(&v->accounts, account, currency);
    if ((a ? a->posted : 0) != posted)
        tell_balance(v, account, currency, posted, a ? a->posted : 0);
    if (a)
        a->posted = 0; /* it was met */
    return ERR_OK;
}

static enum err compare_accounts(struct verify *v)
{
    enum err e = store_each_account(v->books->store, compare_account, v);
    for (uint32_t i = 0; !e && i < v->accounts.accounts_n; i++)
        if (v->accounts.accounts[i].posted)
            tell_balance(v, v->accounts.accounts[i].account, v->accounts.accounts[i].currency, 0, v->accounts.accounts[i].posted);
    return e;
}

/* ---- summaries ---- */

void verify_rows_summary(struct verify *v, uint64_t seq, const struct entry_summary *s)
{
    if (s->until_seq > seq)
        verify_fault(v, "entry %" PRIu64 ": a summary of entries that are not before it", seq);
    v->summaries = verify_grow(v->summaries, sizeof *v->summaries, v->summaries_n, &v->summaries_room);
    v->summaries[v->summaries_n++] = (struct seen_summary){.seq = seq, .summary = *s};
}

static int compare_summaries(const void *left, const void *right)
{
    const struct seen_summary *a = left, *b = right;
    return a->summary.from_seq < b->summary.from_seq ? -1 : a->summary.from_seq > b->summary.from_seq;
}

static struct seen_summary *summary_of(struct verify *v, uint64_t seq)
{
    for (uint32_t low = 0, high = v->summaries_n; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        struct seen_summary *s = &v->summaries[middle];
        if (seq < s->summary.from_seq)
            high = middle;
        else if (seq >= s->summary.until_seq)
            low = middle + 1;
        else
            return s;
    }
    return NULL;
}

static void digest_gone(struct verify *v)
{
    if (v->gone_n)
        qsort(v->gone, v->gone_n, sizeof *v->gone, rollup_digest_order);
    for (uint32_t i = 0; i < v->gone_n; i++) {
        struct seen_summary *s = summary_of(v, v->gone[i].last_seq);
        if (!s)
            continue; /* its entries are told to be missing */
        rollup_digest_add(&s->digest, &v->gone[i]);
        s->usage_n += (uint64_t)v->gone[i].entries;
    }
    v->gone_n = 0;
}

static enum err take_gone_row(void *owner, const struct rollup *r)
{
    struct verify *v = owner;
    if (!verify_is_missing(v, r->last_seq))
        return ERR_OK;
    if (v->gone_n && v->gone[0].bucket_us != r->bucket_us)
        digest_gone(v);
    v->gone = verify_grow(v->gone, sizeof *v->gone, v->gone_n, &v->gone_room);
    v->gone[v->gone_n++] = *r;
    return ERR_OK;
}

static uint64_t missing_in(const struct verify *v, uint64_t from, uint64_t until)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < v->missing_n; i++) {
        uint64_t a = v->missing[i].from > from ? v->missing[i].from : from, b = v->missing[i].until < until ? v->missing[i].until : until;
        n += a < b ? b - a : 0;
    }
    return n;
}

static void compare_summary(struct verify *v, const struct seen_summary *s)
{
    struct hash root;
    merkle_root(&s->digest, &root);
    uint64_t missing = missing_in(v, s->summary.from_seq, s->summary.until_seq);
    if (missing != s->summary.usage_n || s->usage_n != s->summary.usage_n)
        verify_fault(v, "entry %" PRIu64 ": it stands for %" PRIu64 " usage entries, but %" PRIu64 " are missing and the rollup speaks of %" PRIu64,
                     s->seq, s->summary.usage_n, missing, s->usage_n);
    if (memcmp(root.bytes, s->summary.rollup_digest, SHA256_BYTES) != 0)
        verify_fault(v, "entry %" PRIu64 ": the rollup that it stands for was changed", s->seq);
}

static void tell_unsummarised(struct verify *v, const struct seq_run *run)
{
    for (uint64_t at = run->from; at < run->until;) {
        const struct seen_summary *s = summary_of(v, at);
        if (!s) {
            verify_fault(v, "entries %" PRIu64 " to %" PRIu64 " are missing", at, run->until - 1);
            return;
        }
        at = s->summary.until_seq;
    }
}

static enum err check_summaries(struct verify *v)
{
    if (v->summaries_n)
        qsort(v->summaries, v->summaries_n, sizeof *v->summaries, compare_summaries);
    for (uint32_t i = 1; i < v->summaries_n; i++)
        if (v->summaries[i].summary.from_seq < v->summaries[i - 1].summary.until_seq)
            verify_fault(v, "entry %" PRIu64 ": it stands for entries that another summary stands for", v->summaries[i].seq);
    for (uint32_t i = 0; i < v->missing_n; i++)
        tell_unsummarised(v, &v->missing[i]);
    enum err e = v->missing_n ? store_each_rollup(v->books->store, INT64_MIN, INT64_MAX, take_gone_row, v) : ERR_OK;
    digest_gone(v);
    for (uint32_t i = 0; !e && i < v->summaries_n; i++)
        compare_summary(v, &v->summaries[i]);
    return e;
}

enum err verify_rows_end(struct verify *v)
{
    enum err e = v->flushed_is_passed ? ERR_OK : verify_rows_flushed(v);
    if (!e)
        e = compare_accounts(v);
    return e ? e : check_summaries(v);
}
