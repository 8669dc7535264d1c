/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash index over an array of somebody else's: it holds numbers of items and the hashes they had, nothing more. Equality is the caller's:
 *
 *   for (uint32_t at = index_first(&x, hash), item; (item = index_item(&x, hash, &at)); at++)
 *       if (items[item - 1] is the one) return item;
 *
 * Items are numbered from 1, so that 0 is "none". Open addressing, at most half full; memory that cannot be had ends the process, as an arena's.
 */
#ifndef ENTENTE_BASE_INDEX_H
#define ENTENTE_BASE_INDEX_H

#include <stdint.h>

struct index_cell {
    uint32_t hash, item; /* item 0: empty */
};
struct index {
    struct index_cell *cells; /* NULL as long as nothing is in it: all zero is an empty index */
    uint32_t mask, used;
};

void index_fini(struct index *x); /* empty again */
void index_insert(struct index *x, uint32_t hash, uint32_t item);
void index_remove(struct index *x, uint32_t hash, uint32_t item); /* it is there */

static inline uint32_t index_first(const struct index *x, uint32_t hash) { return hash & x->mask; }

/* The next item from *at on that may be the one: its whole hash is equal. 0: there is none; *at is its cell. */
static inline uint32_t index_item(const struct index *x, uint32_t hash, uint32_t *at)
{
    if (!x->cells)
        return 0;
    for (*at &= x->mask; x->cells[*at].item; *at = (*at + 1) & x->mask)
        if (x->cells[*at].hash == hash)
            return x->cells[*at].item;
    return 0;
}

static inline uint32_t index_hash_u64(uint64_t a, uint64_t b) /* of two numbers that nobody outside chooses */
{
    uint64_t h = (a ^ (b + UINT64_C(0x9e3779b97f4a7c15))) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ h >> 29 ^ b) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(h >> 32);
}

#endif
