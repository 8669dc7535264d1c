/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the books: one consistent snapshot of a store, with its names and price lines at hand and what the flush does not hold yet added.
 * The base of verify, statements, exports, reconciliation, re-rating. Never writes.
 */
#ifndef ENTENTE_LEDGER_BOOKS_H
#define ENTENTE_LEDGER_BOOKS_H

#include "ledger/ledger.h"
#include "ledger/store.h"
#include "proof/merkle.h"

struct books;

/* dir: the data directory, or a store file itself. Errors and why as store_open. */
enum err books_open(const char *dir, struct books **ret, char why[512]) MUST_CHECK;
void books_close(struct books *b); /* accepts NULL */
const char *books_why(const struct books *b); /* the last failure as a sentence; "" when there was none */
struct store *books_store(struct books *b);
uint64_t books_size(const struct books *b);                    /* of the log */
struct span books_name(const struct books *b, uint32_t id);    /* empty for 0 and unknown ids */
uint32_t books_name_id(const struct books *b, struct span name); /* 0 when unknown */
const struct price_line *books_price(const struct books *b, uint32_t id); /* NULL for 0 */
uint32_t books_prices_n(const struct books *b);
struct span books_origin(const struct books *b);
struct span books_public_key(const struct books *b);

/* Decoded entries [from, until), in order. */
typedef enum err books_entry_fn(void *owner, uint64_t seq, const struct entry *e, struct span body);
enum err books_each(struct books *b, uint64_t from, uint64_t until, books_entry_fn *fn, void *owner) MUST_CHECK;
/* Entries booked in [from_us, until_us). */
enum err books_range(struct books *b, int64_t from_us, int64_t until_us, uint64_t *ret_from, uint64_t *ret_until) MUST_CHECK;
/* Rollups of buckets in [from_us, until_us), also of what was not flushed yet; both must be multiples of ROLLUP_US, or INT64_MIN/MAX. Several rows may
 * have the same dimensions. */
enum err books_each_rollup(struct books *b, int64_t from_us, int64_t until_us, store_rollup_fn *fn, void *owner) MUST_CHECK;
/* The same from from_us on, in no order, without key, model asked, tier, outcome, what is unpriced and seqs: they may be 0. Faster. */
enum err books_each_use(struct books *b, int64_t from_us, store_rollup_fn *fn, void *owner) MUST_CHECK;
/* Balances of the whole log, by account name then currency. */
typedef enum err books_account_fn(void *owner, struct span account, struct span currency, money posted);
enum err books_each_account(struct books *b, books_account_fn *fn, void *owner) MUST_CHECK;
/* The request's entries (its own, and those of lost attempts), by x-entente-request-id: reads backwards from the end. ERR_NOT_FOUND. */
enum err books_find_request(struct books *b, struct span id, books_entry_fn *fn, void *owner) MUST_CHECK;
/* Open holds: decoded from the store's batches. */
typedef enum err books_hold_fn(void *owner, const struct ledger_hold *h);
enum err books_each_hold(struct books *b, books_hold_fn *fn, void *owner) MUST_CHECK;
/* Hashes for proofs: subtree hash function of merkle.h over this log; owner is the books. */
merkle_subtree_fn books_subtree;
/* One entry as a line of JSON with its LF: usage entries have the fields of the usage record (docs/operations.md), the others a "kind". */
enum err books_write_json(const struct books *b, uint64_t seq, const struct entry *e, struct buf *out) MUST_CHECK;
void books_record(const struct books *b, const struct entry_usage *u, struct usage_record *ret); /* the record it was made of; its lines are the books' */
/* The record id of a usage entry: "req_…". */
void books_request_id(const struct entry_usage *u, char out[RECORD_ID_BYTES]);

/* ---- verify: recomputes everything from the file ---- */
struct verify_report {
    uint64_t entries, usage, postings, summaries, checkpoints, holds_open;
    unsigned faults;                   /* each was told through `tell` */
    double seconds;
    uint8_t root[32];
};
/* Checks: every entry decodes and is in its one form; names and prices as projected; every amount = quantities x price line; transfers balance;
 * accounts and rollups = what the entries say; ids once; booked times never fall; tiles and checkpoints (signature, root) match the entries; summaries
 * match their rollups; holds are open once. tell: one sentence per fault, with seq. ERR_OK also with faults; errors are the reader's. */
enum err books_verify(struct books *b, void (*tell)(void *owner, const char *sentence), void (*progress)(void *owner, uint64_t done, uint64_t total),
                      void *owner, struct verify_report *ret) MUST_CHECK;

#endif
