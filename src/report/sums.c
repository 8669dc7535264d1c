/* SPDX-License-Identifier: Apache-2.0
 *
 * Each rollup adds to one row of what was bought and to one of what was sold. Rows are found by hash; nothing is allocated for a rollup.
 */
#include "report/sums.h"

#include <stdlib.h>

#define US_PER_HOUR ((int64_t)3600 * 1000000)

static int64_t stretch_of(struct sums *t, int64_t at_us)
{
    const struct period *asked = &t->period;
    if (at_us >= asked->until_us)
        return asked->until_us;
    if (at_us < t->at.from_us || at_us >= t->at.until_us)
        period_at(t->zone, t->unit, at_us, &t->at);
    return at_us >= asked->from_us && asked->from_us > t->at.from_us ? asked->from_us : t->at.from_us;
}

static bool is_same(const struct sums_row *a, const struct sums_row *b)
{
    return a->from_us == b->from_us && a->hour == b->hour && a->price == b->price && a->provider == b->provider && a->model == b->model &&
           a->buyer == b->buyer && a->sell == b->sell && a->estimated == b->estimated;
}

static uint32_t hash_of(const struct sums_row *r)
{
    uint64_t who = (uint64_t)r->provider << 32 | r->model, what = (uint64_t)r->price << 32 | r->buyer;
    uint64_t when = (uint64_t)r->from_us ^ (uint64_t)r->hour << 2 ^ (uint64_t)r->sell << 1 ^ r->estimated;
    return index_hash_u64(who ^ (uint64_t)index_hash_u64(what, when) << 16, when);
}

static struct sums_row *find_row(struct index *x, struct sums_row **rows, unsigned *n, unsigned *room, const struct sums_row *key)
{
    uint32_t hash = hash_of(key);
    for (uint32_t at = index_first(x, hash), item; (item = index_item(x, hash, &at)); at++)
        if (is_same(&(*rows)[item - 1], key))
            return &(*rows)[item - 1];
    if (*n == *room) {
        *room = *room ? *room * 2 : 64;
        CHECK((*rows = realloc(*rows, *room * sizeof **rows)));
    }
    (*rows)[*n] = *key;
    index_insert(x, hash, ++*n);
    return &(*rows)[*n - 1];
}

static bool add_counts(struct sums_row *row, const struct rollup *r, money amount)
{
    bool fits = money_add(row->amount, amount, &row->amount) && !__builtin_add_overflow(row->requests, r->requests, &row->requests);
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        fits = !__builtin_add_overflow(row->count[c], r->count[c], &row->count[c]) && fits;
    return fits;
}

/* Stated and own cost can be compared only where every request of the rollup was stated. */
static bool add_stated(struct sums_row *row, const struct rollup *r)
{
    row->stated_n += r->provider_cost_n;
    bool comparable = r->provider_cost_n && r->provider_cost_n == r->entries;
    return !comparable || (money_add(row->stated, r->provider_cost, &row->stated) && money_add(row->stated_ours, r->buy, &row->stated_ours));
}

static bool is_used(const struct rollup *r)
{
    bool used = r->buy != 0 || r->sell != 0;
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        used = used || r->count[c];
    return used && r->provider;
}

static bool add_leg(struct sums *t, const struct rollup *r, struct sums_row key, money amount)
{
    struct sums_row *row = find_row(&t->index, &t->rows, &t->rows_n, &t->rows_room, &key);
    bool fits = add_counts(row, r, amount) && (key.sell || add_stated(row, r));
    if (!t->with_hours || r->bucket_us >= t->period.until_us)
        return fits;
    key.hour = r->bucket_us / US_PER_HOUR;
    uint32_t hours_n = t->hours_n;
    struct sums_row *hour = find_row(&t->hours_index, &t->hours, &t->hours_n, &t->hours_room, &key);
    if (t->hours_n > hours_n) {
        hour->next_hour = row->first_hour;
        row->first_hour = t->hours_n;
    }
    return fits && add_counts(hour, r, amount);
}

static enum err on_rollup(void *owner, const struct rollup *r)
{
    struct sums *t = owner;
    if (!is_used(r))
        return ERR_OK;
    uint32_t buyer = r->department ? r->department : r->party;
    struct sums_row key = {.from_us = stretch_of(t, r->bucket_us), .price = r->buy_price, .provider = r->provider, .model = r->model,
                            .estimated = r->source == USAGE_SOURCE_ESTIMATED};
    bool fits = add_leg(t, r, key, r->buy);
    key.price = r->sell_price;
    key.buyer = buyer;
    key.sell = true;
    return fits && (!buyer || add_leg(t, r, key, r->sell)) ? ERR_OK : ERR_RANGE;
}

enum err sums_read(struct sums *t, int64_t from_us)
{
    return books_each_use(t->books, from_us, on_rollup, t);
}

void sums_fini(struct sums *t)
{
    free(t->rows);
    free(t->hours);
    index_fini(&t->index);
    index_fini(&t->hours_index);
    *t = (struct sums){.rows_n = 0};
}
