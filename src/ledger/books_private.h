/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of the books, for the files that make them up: books.c, books_json.c, verify.c.
 */
#ifndef ENTENTE_LEDGER_BOOKS_PRIVATE_H
#define ENTENTE_LEDGER_BOOKS_PRIVATE_H

#include <inttypes.h>

#include "ledger/books.h"
#include "ledger/tally.h"

#define BOOKS_SEED 0x656e74656e746531ull
#define STORE_TILE_LEVEL 8u /* 2^8 entries */
_Static_assert(1u << STORE_TILE_LEVEL == STORE_TILE, "a tile is a whole subtree");

struct books_tile {
    uint64_t n, have;      /* have: how many of its leaves; 0: none, it cannot be had */
    struct hash leaves[STORE_TILE];
};

struct books {
    struct store *store;
    struct projection names;        /* names and prices alone */
    uint64_t size, flushed;         /* of the log; how much of it accounts and rollup of the store hold */
    struct tally tail;              /* rows: of the entries behind the flush; accounts: of all */
    struct buf origin, public_key;
    struct books_tile *tile;        /* the one whose leaves were asked for last */
    char why[512];
};

#endif
