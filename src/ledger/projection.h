/* SPDX-License-Identifier: Apache-2.0
 *
 * What follows from the log, in memory: names and prices by number, balances, rollup rows of the running quarter of an hour, where each issuer's
 * ids are, open holds, the frontier of the Merkle tree. Knows no store: ledger_apply.c and ledger_reload.c feed it, the same functions live
 * and in replay, so that what was written is what is read again.
 *
 * Everything but texts is in arrays that grow, so booking allocates nothing once they have.
 */
#ifndef ENTENTE_LEDGER_PROJECTION_H
#define ENTENTE_LEDGER_PROJECTION_H

#include "base/index.h"
#include "ledger/hold.h"
#include "ledger/rollup.h"
#include "proof/merkle.h"

enum leg { LEG_EXPENSE, LEG_PAYABLE, LEG_RECEIVABLE, LEG_INCOME, LEGS };

struct projected_price {
    struct price_line *line; /* our own copy, parsed from its text */
};
struct projected_balance {
    uint32_t account, currency;
    money posted;
    bool dirty;              /* since the flush; likewise below */
};
struct projected_row {
    struct rollup sum;
    uint32_t balance[LEGS];  /* 1-based; 0: not needed so far */
    bool dirty, used;        /* used: there is something in it */
};
struct projected_issuer {
    uint64_t issuer, counter; /* the highest that the ledger has met */
    bool dirty;
};
struct projected_hold {
    struct hold hold;
    bool open, unwritten;    /* unwritten: no row of the store has it as it is now */
    uint32_t next_free;
};

struct projection {
    struct arena texts;
    uint64_t seed;
    struct span *names;                  /* 1-based ids, as everywhere here: names[id - 1] */
    struct projected_price *prices;
    struct projected_balance *balances;
    struct projected_row *rows;
    struct projected_issuer *issuers;
    struct projected_hold *holds;
    uint32_t names_n, prices_n, balances_n, rows_n, issuers_n, holds_n;
    uint32_t names_room, prices_room, balances_room, rows_room, issuers_room, holds_room;
    struct index by_name, by_price, by_balance, by_row, by_issuer, by_hold;
    uint32_t hold_free;                  /* first of the free list */
    uint64_t holds_open;
    struct merkle trunk, tile;           /* whole tiles; the leaves behind them */
    int64_t booked_us;                   /* of the last entry that has a time */
    uint64_t records;                    /* usage entries since this was loaded */
};

void projection_init(struct projection *p, uint64_t seed);
void projection_fini(struct projection *p);
void projection_reset(struct projection *p);

static inline uint64_t projection_size(const struct projection *p) { return p->trunk.size + p->tile.size; } /* of the log */
void projection_frontier(const struct projection *p, struct merkle *ret); /* of the whole log */
/* As META_FRONTIER has it: booked time and size of the whole tiles, 64 bits little endian each, then a hash per bit that is set in the size, lowest first. */
enum err projection_parse_frontier(struct span text, struct merkle *ret_trunk, int64_t *ret_us) MUST_CHECK;
bool projection_leaf(struct projection *p, const struct hash *leaf, struct hash *ret_tile); /* true: that made a tile whole, and this is its root */

uint32_t projection_name(const struct projection *p, struct span text); /* 0: not known */
uint32_t projection_add_name(struct projection *p, struct span text);
struct span projection_text(const struct projection *p, uint32_t name);
uint32_t projection_price(const struct projection *p, const uint8_t digest[PRICE_DIGEST_BYTES]); /* 0: not known */
enum err projection_add_price(struct projection *p, struct span text, uint32_t *ret) MUST_CHECK; /* ERR_SYNTAX: no price line's text */

struct projected_issuer *projection_issuer(struct projection *p, uint64_t issuer); /* made when new */
struct projected_hold *projection_hold(const struct projection *p, uint64_t issuer, uint64_t counter); /* NULL: not open */
struct projected_hold *projection_open(struct projection *p, const struct hold *h);
void projection_end(struct projection *p, struct projected_hold *h);

uint32_t projection_balance(struct projection *p, uint32_t account, uint32_t currency); /* made when new; its place + 1 */
void projection_move(struct projection *p, uint32_t balance, money amount);
struct projected_row *projection_row(struct projection *p, const struct rollup *like); /* made when new; its sums are as they were */
void projection_load_row(struct projection *p, const struct rollup *stored);
void projection_add_to_row(struct projection *p, struct projected_row *row, const struct rollup *one);
void projection_forget_rows(struct projection *p); /* those of earlier quarters, all flushed */

/* The row's accounts that the entry moves are named, by intern, in the order of enum leg. */
typedef enum err projection_intern_fn(void *owner, struct span text, uint32_t *ret);
enum err projection_legs(struct projection *p, struct projected_row *row, const struct entry_usage *u, projection_intern_fn *intern, void *owner) MUST_CHECK;
/* Adds the entry up, ends or marks its hold. Where a sum of the row would overflow, another row of the same kind begins. */
void projection_book_usage(struct projection *p, struct projected_row *row, const struct rollup *one, const struct entry_usage *u);
void projection_book_posting(struct projection *p, const struct entry_posting *e);
/* Any entry, in replay: also its leaf. ERR_SYNTAX: it speaks of names or prices that the log does not have. */
enum err projection_replay(struct projection *p, uint64_t seq, struct span body) MUST_CHECK;

#endif
