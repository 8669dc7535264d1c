/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of the projection: names, prices, issuers, holds, balances, rows. Each is an array and an index over it.
 */
#include "ledger/projection.h"

#include <endian.h>
#include <stdlib.h>

#define ROOM_FIRST 64u
#define GROW(array, used, room) ((array) = grow((array), sizeof *(array), (used), &(room)))

static void *grow(void *array, size_t bytes_each, uint32_t used, uint32_t *room)
{
    if (used < *room)
        return array;
    *room = *room ? 2 * *room : ROOM_FIRST;
    CHECK(*room > used);
    array = realloc(array, *room * bytes_each);
    CHECK(array);
    return array;
}

void projection_init(struct projection *p, uint64_t seed)
{
    *p = (struct projection){.seed = seed};
    arena_init(&p->texts, 4u * KIB);
}

void projection_fini(struct projection *p)
{
    struct index *indexes[] = {&p->by_name, &p->by_price, &p->by_balance, &p->by_row, &p->by_issuer, &p->by_hold};
    void *arrays[] = {p->names, p->prices, p->balances, p->rows, p->issuers, p->holds};
    for (unsigned i = 0; i < COUNT_OF(indexes); i++)
        index_fini(indexes[i]);
    for (unsigned i = 0; i < COUNT_OF(arrays); i++)
        free(arrays[i]);
    arena_fini(&p->texts);
    projection_init(p, p->seed);
}

void projection_reset(struct projection *p) { projection_fini(p); }

/* ---- the log ---- */

void projection_frontier(const struct projection *p, struct merkle *ret)
{
    *ret = p->trunk;
    for (unsigned level = 0; 1u << level < STORE_TILE; level++)
        ret->peak[level] = p->tile.peak[level];
    ret->size += p->tile.size;
}

enum err projection_parse_frontier(struct span text, struct merkle *ret_trunk, int64_t *ret_us)
{
    uint64_t numbers[2];
    if (text.n < sizeof numbers)
        return ERR_SYNTAX;
    memcpy(numbers, text.p, sizeof numbers);
    struct span rest = span_from(text, sizeof numbers);
    *ret_us = (int64_t)le64toh(numbers[0]);
    *ret_trunk = (struct merkle){.size = le64toh(numbers[1])};
    if (ret_trunk->size % STORE_TILE || rest.n != SHA256_BYTES * (size_t)__builtin_popcountll(ret_trunk->size))
        return ERR_SYNTAX;
    for (unsigned level = 0; level < 64; level++) {
        if (!(ret_trunk->size >> level & 1))
            continue;
        memcpy(ret_trunk->peak[level].bytes, rest.p, SHA256_BYTES);
        rest = span_from(rest, SHA256_BYTES);
    }
    return ERR_OK;
}

bool projection_leaf(struct projection *p, const struct hash *leaf, struct hash *ret_tile)
{
    merkle_append(&p->tile, leaf);
    if (p->tile.size < STORE_TILE)
        return false;
    merkle_root(&p->tile, ret_tile);
    merkle_append_subtree(&p->trunk, (unsigned)__builtin_ctz(STORE_TILE), ret_tile);
    p->tile.size = 0;
    return true;
}

/* ---- names and prices ---- */

static uint32_t hash_text(const struct projection *p, struct span text) { return (uint32_t)span_hash(text, p->seed); }

uint32_t projection_name(const struct projection *p, struct span text)
{
    uint32_t hash = hash_text(p, text), at = index_first(&p->by_name, hash);
    for (uint32_t id; (id = index_item(&p->by_name, hash, &at)) != 0; at++)
        if (span_eq(p->names[id - 1], text))
            return id;
    return 0;
}

uint32_t projection_add_name(struct projection *p, struct span text)
{
    GROW(p->names, p->names_n, p->names_room);
    p->names[p->names_n++] = arena_dup(&p->texts, text);
    index_insert(&p->by_name, hash_text(p, text), p->names_n);
    return p->names_n;
}

struct span projection_text(const struct projection *p, uint32_t name)
{
    return name && name <= p->names_n ? p->names[name - 1] : SPAN_NONE;
}

static uint32_t hash_digest(const uint8_t digest[PRICE_DIGEST_BYTES])
{
    uint32_t hash;
    memcpy(&hash, digest, sizeof hash);
    return hash;
}

uint32_t projection_price(const struct projection *p, const uint8_t digest[PRICE_DIGEST_BYTES])
{
    uint32_t hash = hash_digest(digest), at = index_first(&p->by_price, hash);
    for (uint32_t id; (id = index_item(&p->by_price, hash, &at)) != 0; at++)
        if (memcmp(p->prices[id - 1].line->digest, digest, PRICE_DIGEST_BYTES) == 0)
            return id;
    return 0;
}

enum err projection_add_price(struct projection *p, struct span text, uint32_t *ret)
{
    struct price_line *line = ARENA_NEW(&p->texts, struct price_line);
    enum err e = price_line_parse(&p->texts, text, line);
    if (e)
        return e;
    GROW(p->prices, p->prices_n, p->prices_room);
    p->prices[p->prices_n++].line = line;
    index_insert(&p->by_price, hash_digest(line->digest), p->prices_n);
    *ret = p->prices_n;
    return ERR_OK;
}

/* ---- issuers and holds ---- */

struct projected_issuer *projection_issuer(struct projection *p, uint64_t issuer)
{
    uint32_t hash = index_hash_u64(issuer, p->seed), at = index_first(&p->by_issuer, hash);
    for (uint32_t id; (id = index_item(&p->by_issuer, hash, &at)) != 0; at++)
        if (p->issuers[id - 1].issuer == issuer)
            return &p->issuers[id - 1];
    GROW(p->issuers, p->issuers_n, p->issuers_room);
    struct projected_issuer *made = &p->issuers[p->issuers_n++];
    *made = (struct projected_issuer){.issuer = issuer};
    index_insert(&p->by_issuer, hash, p->issuers_n);
    return made;
}

static uint32_t hash_hold(const struct projection *p, uint64_t issuer, uint64_t counter) { return index_hash_u64(issuer ^ p->seed, counter); }

struct projected_hold *projection_hold(const struct projection *p, uint64_t issuer, uint64_t counter)
{
    uint32_t hash = hash_hold(p, issuer, counter), at = index_first(&p->by_hold, hash);
    for (uint32_t id; (id = index_item(&p->by_hold, hash, &at)) != 0; at++)
        if (p->holds[id - 1].hold.issuer == issuer && p->holds[id - 1].hold.counter == counter)
            return &p->holds[id - 1];
    return NULL;
}

static struct projected_hold *take_slot(struct projection *p)
{
    if (p->hold_free) {
        struct projected_hold *slot = &p->holds[p->hold_free - 1];
        p->hold_free = slot->next_free;
        return slot;
    }
    GROW(p->holds, p->holds_n, p->holds_room);
    return &p->holds[p->holds_n++];
}

struct projected_hold *projection_open(struct projection *p, const struct hold *h)
{
    struct projected_hold *slot = take_slot(p);
    *slot = (struct projected_hold){.hold = *h, .open = true, .unwritten = true};
    index_insert(&p->by_hold, hash_hold(p, h->issuer, h->counter), (uint32_t)(slot - p->holds) + 1);
    p->holds_open++;
    return slot;
}

void projection_end(struct projection *p, struct projected_hold *h)
{
    uint32_t item = (uint32_t)(h - p->holds) + 1;
    CHECK(h->open);
    index_remove(&p->by_hold, hash_hold(p, h->hold.issuer, h->hold.counter), item);
    h->open = h->unwritten = false;
    h->next_free = p->hold_free;
    p->hold_free = item;
    p->holds_open--;
}

/* ---- balances and rows ---- */

uint32_t projection_balance(struct projection *p, uint32_t account, uint32_t currency)
{
    uint32_t hash = index_hash_u64(account, currency), at = index_first(&p->by_balance, hash);
    for (uint32_t id; (id = index_item(&p->by_balance, hash, &at)) != 0; at++)
        if (p->balances[id - 1].account == account && p->balances[id - 1].currency == currency)
            return id;
    GROW(p->balances, p->balances_n, p->balances_room);
    p->balances[p->balances_n++] = (struct projected_balance){.account = account, .currency = currency};
    index_insert(&p->by_balance, hash, p->balances_n);
    return p->balances_n;
}

/* A balance that needs more than 127 bits is 10^23 of a currency: it stays where it was, and verify will say so. */
void projection_move(struct projection *p, uint32_t balance, money amount)
{
    struct projected_balance *b = &p->balances[balance - 1];
    money sum;
    if (ALWAYS(money_add(b->posted, amount, &sum)))
        b->posted = sum;
    b->dirty = true;
}

static uint32_t hash_row(const struct projection *p, const struct rollup *r) { return (uint32_t)rollup_hash(r, p->seed); }

static struct projected_row *add_row(struct projection *p, const struct rollup *like, uint32_t hash)
{
    GROW(p->rows, p->rows_n, p->rows_room);
    struct projected_row *made = &p->rows[p->rows_n++];
    memset(made, 0, sizeof *made);
    made->sum = *like;
    made->sum.id = 0;
    index_insert(&p->by_row, hash, p->rows_n);
    return made;
}

struct projected_row *projection_row(struct projection *p, const struct rollup *like)
{
    uint32_t hash = hash_row(p, like), at = index_first(&p->by_row, hash);
    for (uint32_t id; (id = index_item(&p->by_row, hash, &at)) != 0; at++)
        if (rollup_same(&p->rows[id - 1].sum, like))
            return &p->rows[id - 1];
    return add_row(p, like, hash);
}

/* The store may have several rows of a kind. The last is gone on with, so that their entries never interleave. */
void projection_load_row(struct projection *p, const struct rollup *stored)
{
    struct projected_row *row = projection_row(p, stored);
    row->sum = *stored;
    row->used = true;
}

static struct projected_row *begin_another(struct projection *p, const struct projected_row *full, const struct rollup *one)
{
    uint32_t hash = hash_row(p, one), legs[LEGS];
    memcpy(legs, full->balance, sizeof legs);
    index_remove(&p->by_row, hash, (uint32_t)(full - p->rows) + 1);
    struct projected_row *made = add_row(p, one, hash);
    memcpy(made->balance, legs, sizeof legs);
    return made;
}

void projection_add_to_row(struct projection *p, struct projected_row *row, const struct rollup *one)
{
    if (row->used && !rollup_add(&row->sum, one))
        row = begin_another(p, row, one);
    if (!row->used) { /* its dimensions are there, and so is the number of its row */
        int64_t id = row->sum.id;
        row->sum = *one;
        row->sum.id = id;
    }
    row->used = row->dirty = true;
}

void projection_forget_rows(struct projection *p)
{
    int64_t bucket_us = rollup_bucket(p->booked_us);
    uint32_t kept = 0;
    index_fini(&p->by_row);
    for (uint32_t i = 0; i < p->rows_n; i++) {
        if (p->rows[i].sum.bucket_us < bucket_us)
            continue;
        p->rows[kept] = p->rows[i];
        index_insert(&p->by_row, hash_row(p, &p->rows[kept].sum), kept + 1);
        kept++;
    }
    p->rows_n = kept;
}
