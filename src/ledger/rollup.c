/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of the rollup: dimensions compared as bytes (the struct is zeroed first, so its padding is equal), sums added with their overflow seen.
 */
#include "ledger/rollup.h"

#include <stddef.h>

#define DIMENSIONS_FROM offsetof(struct rollup, bucket_us)
#define DIMENSIONS_BYTES (offsetof(struct rollup, requests) - DIMENSIONS_FROM)
#define NANO_TO_MONEY 1000000

int64_t rollup_bucket(int64_t booked_us)
{
    int64_t past = booked_us % ROLLUP_US;
    return booked_us - (past < 0 ? past + ROLLUP_US : past);
}

void rollup_of(const struct entry_usage *u, uint64_t seq, struct rollup *ret)
{
    struct rollup *r = ret;
    memset(r, 0, sizeof *r);
    r->bucket_us = rollup_bucket(u->booked_us);
    r->key = u->key, r->department = u->department, r->party = u->party;
    r->provider = u->provider, r->model = u->model, r->model_asked = u->model_asked, r->tier = u->tier;
    r->buy_price = u->buy.price, r->sell_price = u->sell.price;
    r->source = (uint8_t)u->usage.source, r->outcome = u->outcome;
    r->buy_unpriced = u->buy.unpriced, r->sell_unpriced = u->sell.unpriced;
    r->requests = u->attempt == 0;
    r->entries = 1;
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        r->count[c] = u->usage.count[c] > 0 ? u->usage.count[c] : 0;
    r->buy = u->buy.amount, r->sell = u->sell.amount;
    r->provider_cost_n = u->provider_cost_nano >= 0;
    r->provider_cost = r->provider_cost_n ? (money)u->provider_cost_nano * NANO_TO_MONEY : 0;
    r->first_seq = r->last_seq = seq;
}

static const char *dimensions(const struct rollup *r) { return (const char *)r + DIMENSIONS_FROM; }

bool rollup_same(const struct rollup *a, const struct rollup *b) { return memcmp(dimensions(a), dimensions(b), DIMENSIONS_BYTES) == 0; }
uint64_t rollup_hash(const struct rollup *r, uint64_t seed) { return span_hash(span_of(dimensions(r), DIMENSIONS_BYTES), seed); }

int rollup_order(const struct rollup *a, const struct rollup *b)
{
    const int64_t of_a[] = {a->bucket_us, a->key, a->department, a->party, a->provider, a->model, a->model_asked, a->tier,
                            a->buy_price, a->sell_price, a->source, a->outcome, a->buy_unpriced, a->sell_unpriced};
    const int64_t of_b[] = {b->bucket_us, b->key, b->department, b->party, b->provider, b->model, b->model_asked, b->tier,
                            b->buy_price, b->sell_price, b->source, b->outcome, b->buy_unpriced, b->sell_unpriced};
    for (unsigned i = 0; i < COUNT_OF(of_a); i++)
        if (of_a[i] != of_b[i])
            return of_a[i] < of_b[i] ? -1 : 1;
    return 0;
}

bool rollup_add(struct rollup *to, const struct rollup *more)
{
    struct rollup sum = *to;
    bool over = !money_add(sum.buy, more->buy, &sum.buy) || !money_add(sum.sell, more->sell, &sum.sell) ||
                !money_add(sum.provider_cost, more->provider_cost, &sum.provider_cost);
    over |= __builtin_add_overflow(sum.requests, more->requests, &sum.requests);
    over |= __builtin_add_overflow(sum.entries, more->entries, &sum.entries);
    over |= __builtin_add_overflow(sum.provider_cost_n, more->provider_cost_n, &sum.provider_cost_n);
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        over |= __builtin_add_overflow(sum.count[c], more->count[c], &sum.count[c]);
    if (over)
        return false;
    sum.first_seq = more->first_seq < sum.first_seq ? more->first_seq : sum.first_seq;
    sum.last_seq = more->last_seq > sum.last_seq ? more->last_seq : sum.last_seq;
    *to = sum;
    return true;
}

bool rollup_take(struct rollup *from, const struct rollup *less)
{
    struct rollup minus = *less;
    minus.first_seq = from->first_seq, minus.last_seq = from->last_seq;
    minus.buy = -less->buy, minus.sell = -less->sell, minus.provider_cost = -less->provider_cost;
    minus.requests = -less->requests, minus.entries = -less->entries, minus.provider_cost_n = -less->provider_cost_n;
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        minus.count[c] = -less->count[c];
    return rollup_add(from, &minus);
}

/* ---- as text, and its digest ---- */

static char *put_amount(char *at, money m)
{
    char digits[MONEY_TEXT_BYTES];
    struct span text = money_format_integer(digits, m);
    *at++ = '\t';
    memcpy(at, text.p, text.n);
    return at + text.n;
}

struct span rollup_write(const struct rollup *r, char out[ROLLUP_TEXT_BYTES])
{
    const int64_t facts[] = {r->key, r->department, r->party, r->provider, r->model, r->model_asked, r->tier, r->buy_price, r->sell_price,
                             r->source, r->outcome, r->buy_unpriced, r->sell_unpriced, r->requests, r->entries};
    char first[MONEY_TEXT_BYTES];
    struct span bucket = money_format_integer(first, r->bucket_us);
    memcpy(out, bucket.p, bucket.n);
    char *at = out + bucket.n;
    for (unsigned i = 0; i < COUNT_OF(facts); i++)
        at = put_amount(at, facts[i]);
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        at = put_amount(at, r->count[c]);
    at = put_amount(put_amount(put_amount(at, r->buy), r->sell), r->provider_cost);
    at = put_amount(put_amount(put_amount(at, r->provider_cost_n), (money)r->first_seq), (money)r->last_seq);
    return span_of(out, (size_t)(at - out));
}

void rollup_digest_add(struct merkle *m, const struct rollup *r)
{
    char text[ROLLUP_TEXT_BYTES];
    struct hash leaf;
    merkle_leaf(rollup_write(r, text), &leaf);
    merkle_append(m, &leaf);
}

int rollup_digest_order(const void *a, const void *b)
{
    const struct rollup *x = a, *y = b;
    int order = rollup_order(x, y);
    return order ? order : x->first_seq < y->first_seq ? -1 : x->first_seq > y->first_seq;
}
