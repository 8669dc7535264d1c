/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of verify. One pass over the log feeds them all, in order of the entries; each keeps no more than the log makes necessary.
 *
 *   verify.c        the pass: form, times, references, prices
 *   verify_tree.c   hashes: tiles, checkpoints, what compaction took away
 *   verify_rows.c   sums: rollup rows quarter by quarter, summaries, balances
 *   verify_ids.c    each request once; issuers, open holds
 */
#ifndef ENTENTE_LEDGER_VERIFY_PRIVATE_H
#define ENTENTE_LEDGER_VERIFY_PRIVATE_H

#include "ledger/books_private.h"

/* ---- sets of request ids: pages of bits ---- */

#define ID_PAGE_BITS 4096u
struct id_page {
    uint64_t issuer, number;         /* ids [number * ID_PAGE_BITS, …) of the issuer */
    uint64_t bits[ID_PAGE_BITS / 64];
};
struct id_set {
    struct id_page *pages;
    uint32_t pages_n, pages_room, last; /* last: the page that was used last */
    struct index by_page;
};
bool id_set_add(struct id_set *s, uint64_t issuer, uint64_t counter);       /* false: it was in it */
bool id_set_has(struct id_set *s, uint64_t issuer, uint64_t counter);
void id_set_fini(struct id_set *s);

/* ---- the parts ---- */

struct seen_issuer {
    uint64_t issuer, counter;        /* the highest of the flushed entries */
};
struct lost_attempt {
    uint64_t issuer, counter, seq;
    uint8_t attempt;
};
struct seen_checkpoint {
    uint64_t size;
    struct buf note;
};
struct seen_summary {
    uint64_t seq;
    struct entry_summary summary;
    struct merkle digest;            /* of the rows that the store has for it */
    uint64_t usage_n;                /* in those rows */
};
struct seq_run {
    uint64_t from, until;            /* entries that are not there */
};
/* What entries of a kind add up to less what the store's rows say of it: all zero when both are the same. Sums wrap around, on both sides alike. */
struct row_difference {
    struct rollup left;
    money buy, sell;                 /* of the entries alone */
    uint64_t last_seq, stored_last_seq;
};

struct verify {
    struct books *books;
    void (*tell)(void *owner, const char *sentence);
    void (*progress)(void *owner, uint64_t done, uint64_t total);
    void *owner;
    struct verify_report *report;
    uint64_t next;                   /* seq */
    int64_t booked_us;
    struct entry entry;              /* the one in hand */

    uint64_t *name_seqs, *price_seqs;
    uint32_t name_seqs_n, price_seqs_n;
    uint32_t names, prices;          /* so far in the log */

    /* verify_tree.c */
    struct merkle trunk, tile;
    struct merkle frontier;          /* from which the writer goes on, as the store has it */
    int64_t frontier_us;
    bool has_frontier;
    struct hash leaves[STORE_TILE];  /* of the tile under way */
    struct buf kept;                 /* leaves that compaction left of it; empty: not asked for or none */
    uint64_t kept_of;                /* the tile they are of, plus one */
    bool broken;                     /* a hash is gone: what is behind it cannot be checked */
    struct seen_checkpoint *checkpoints;
    uint32_t checkpoints_n, checkpoints_at;
    bool can_open;
    struct verifier verifier;
    struct seq_run *missing;
    uint32_t missing_n, missing_room;

    /* verify_rows.c */
    bool flushed_is_passed;
    int64_t closed_us;               /* rows of quarters before this were compared */
    int64_t open_us;                 /* the quarter under way */
    struct row_difference *rows;
    uint32_t rows_n, rows_room;
    struct index by_row;
    struct tally accounts;
    struct seen_summary *summaries;
    uint32_t summaries_n, summaries_room;
    struct rollup *gone;             /* rows of compacted entries of one quarter */
    uint32_t gone_n, gone_room;

    /* verify_ids.c */
    struct id_set booked;
    struct seen_issuer *issuers;
    uint32_t issuers_n, issuers_room, issuer_last;
    struct index by_issuer;
    struct lost_attempt *lost;
    uint32_t lost_n, lost_room;
};

void verify_fault(struct verify *v, const char *format, ...) PRINTF_LIKE(2, 3);
void *verify_grow(void *array, size_t bytes_each, uint32_t used, uint32_t *room); /* room for one more */

void verify_tree_flushed(struct verify *v);      /* at the end of the flushed entries */
enum err verify_tree_begin(struct verify *v) MUST_CHECK;
enum err verify_tree_leaf(struct verify *v, uint64_t seq, struct span body) MUST_CHECK; /* with those that are missing before it */
enum err verify_tree_end(struct verify *v) MUST_CHECK;
bool verify_is_missing(const struct verify *v, uint64_t seq);

enum err verify_rows_usage(struct verify *v, uint64_t seq, const struct entry_usage *u) MUST_CHECK;
void verify_rows_posting(struct verify *v, uint64_t seq, const struct entry_posting *p);
void verify_rows_summary(struct verify *v, uint64_t seq, const struct entry_summary *s);
enum err verify_rows_flushed(struct verify *v) MUST_CHECK; /* the log has come to where the flush ends */
enum err verify_rows_end(struct verify *v) MUST_CHECK;

void verify_ids_usage(struct verify *v, uint64_t seq, const struct entry_usage *u);
enum err verify_ids_end(struct verify *v) MUST_CHECK;

#endif
