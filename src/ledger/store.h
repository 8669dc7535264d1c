/* SPDX-License-Identifier: Apache-2.0
 *
 * The store: one SQLite file in WAL mode, DATA/ledger.db. Plain rows in and out; what they mean is ledger.c's (writing), verify.c's and
 * report/'s (reading). Any number of processes may have it open; writes are transactions that begin IMMEDIATE.
 *
 * Tables (schema 1; docs/ledger.md has each column):
 *   meta(key, value)            origin, public key, schema's words, flush state
 *   entry(seq, body)            the log. seq counts from 0 without gaps, but for ranges that were compacted away
 *   hold(batch, seq, body)      holds that were open when a group commit ended, and the length of the log then
 *   tile(n, root, leaves)       RFC 6962 hash of entries [256n, 256n+256); leaves: their 256 hashes, once the entries are gone
 *   name(id, text, seq)  price(id, text, seq)    what NAME and PRICE entries said, by number
 *   account(name, currency, posted)              balances as of the flush
 *   rollup(...)                 usage by quarter of an hour and who, whom, what: columns for people and statements
 *   issuer(id, counter)  posting(key, seq)       for "once"
 *   checkpoint(size, at_us, note)                signed tree heads
 *
 * Amounts are INTEGER when they fit 64 bits, else decimal TEXT (columns of type ANY); 10^-15 of the major unit.
 */
#ifndef ENTENTE_LEDGER_STORE_H
#define ENTENTE_LEDGER_STORE_H

#include "ledger/entry.h"

#define STORE_SCHEMA 1
#define STORE_TILE 256u

struct store;

enum store_mode {
    STORE_READ,   /* must exist; a snapshot for reading (store_snapshot) */
    STORE_WRITE,  /* must exist */
    STORE_CREATE, /* made when absent */
};
struct store_options {
    const char *path;
    enum store_mode mode;
    const char *vfs;      /* NULL: the system's. The simulated world names its own; then locking is exclusive */
};
/* ERR_NOT_FOUND, ERR_DISK (I/O, full, read-only, locked: transient), ERR_SYNTAX (no SQLite file, damaged, not ours, a schema newer than we know).
 * why: a sentence with what to do. An older schema is migrated in CREATE and WRITE mode, in one transaction. */
enum err store_open(const struct store_options *o, struct store **ret, char why[512]) MUST_CHECK;
void store_close(struct store *s);                        /* accepts NULL; a transaction under way is rolled back */
void store_set_patience(struct store *s, unsigned ms);    /* how long another program's transaction is waited for; at first 5 s */
const char *store_why(const struct store *s);             /* the last failure, for people */
void store_complain(struct store *s, const char *sentence); /* that is the last failure: what was read makes no sense */

/* ---- transactions ---- */
enum err store_begin(struct store *s) MUST_CHECK;          /* IMMEDIATE */
enum err store_commit(struct store *s) MUST_CHECK;         /* durable when OK. On failure it was rolled back, or may have been: reopen and look */
void store_rollback(struct store *s);
/* Since the last time it was asked; true the first time, and when it cannot be known. To be asked inside a transaction. PRAGMA data_version. */
bool store_changed_by_others(struct store *s);
enum err store_snapshot(struct store *s) MUST_CHECK;       /* one consistent state for all reads until store_close or store_rollback */

/* ---- the log ---- */
enum err store_log_size(struct store *s, uint64_t *ret) MUST_CHECK;
enum err store_append(struct store *s, uint64_t seq, struct span body) MUST_CHECK; /* ERR_EXISTS when there is an entry of that seq */
/* Calls fn for entries [from, until) in order; body is borrowed for the call. fn's error ends it. Compacted ranges are passed over. */
typedef enum err store_entry_fn(void *owner, uint64_t seq, struct span body);
enum err store_each_entry(struct store *s, uint64_t from, uint64_t until, store_entry_fn *fn, void *owner) MUST_CHECK;
enum err store_entry(struct store *s, uint64_t seq, struct buf *out) MUST_CHECK;     /* ERR_NOT_FOUND */
/* The first seq whose entry was booked at or after this time (binary search: booked times never fall; names and prices count with the next). */
enum err store_seq_at(struct store *s, int64_t booked_us, uint64_t *ret) MUST_CHECK;
enum err store_put_tile(struct store *s, uint64_t n, const uint8_t root[32]) MUST_CHECK;
enum err store_put_tile_leaves(struct store *s, uint64_t n, struct span leaves) MUST_CHECK;
enum err store_tile(struct store *s, uint64_t n, uint8_t ret_root[32], struct buf *leaves /* emptied when none; may be NULL */) MUST_CHECK;
enum err store_delete_entries(struct store *s, uint64_t from, uint64_t until, enum entry_kind kind) MUST_CHECK; /* compaction: of that kind only */

/* ---- names and prices ---- */
enum err store_put_name(struct store *s, uint32_t id, struct span text, uint64_t seq) MUST_CHECK;
enum err store_put_price(struct store *s, uint32_t id, struct span text, uint64_t seq) MUST_CHECK;
typedef enum err store_text_fn(void *owner, uint32_t id, struct span text, uint64_t seq);
enum err store_each_name(struct store *s, store_text_fn *fn, void *owner) MUST_CHECK;
enum err store_each_price(struct store *s, store_text_fn *fn, void *owner) MUST_CHECK;

/* ---- what follows from the log, as of the flush ---- */
/* posted: debits less credits. */
enum err store_put_account(struct store *s, uint32_t account, uint32_t currency, money posted) MUST_CHECK;
typedef enum err store_account_fn(void *owner, uint32_t account, uint32_t currency, money posted);
enum err store_each_account(struct store *s, store_account_fn *fn, void *owner) MUST_CHECK;

#define ROLLUP_US ((int64_t)15 * 60 * 1000000)
struct rollup {
    int64_t id;               /* row; 0: new */
    int64_t bucket_us;        /* booked time, multiple of ROLLUP_US */
    uint32_t key, department, party, provider, model, model_asked, tier;
    uint32_t buy_price, sell_price;
    uint8_t source;           /* enum usage_source: estimates stay apart */
    uint8_t outcome;
    uint32_t buy_unpriced, sell_unpriced;
    /* sums */
    int64_t requests;         /* entries with attempt 0 */
    int64_t entries;          /* these, and those of attempts that were used and lost */
    int64_t count[USAGE_CLASSES];
    money buy, sell;
    money provider_cost;      /* stated by providers, USD */
    int64_t provider_cost_n;  /* by how many requests */
    uint64_t first_seq, last_seq;
};
enum err store_put_rollup(struct store *s, struct rollup *r) MUST_CHECK; /* inserts (and sets id), or replaces sums and seqs of the row with that id */
typedef enum err store_rollup_fn(void *owner, const struct rollup *r);
enum err store_each_rollup(struct store *s, int64_t from_us, int64_t until_us, store_rollup_fn *fn, void *owner) MUST_CHECK;
/* From a quarter on to the end, in no order, for who adds up what was used: key, model_asked, tier, outcome, what is unpriced and seqs are 0. A third
 * less work than store_each_rollup, where a year has millions of rows. */
enum err store_each_use(struct store *s, int64_t from_us, store_rollup_fn *fn, void *owner) MUST_CHECK;

enum err store_put_issuer(struct store *s, uint64_t issuer, uint64_t counter) MUST_CHECK;
typedef enum err store_issuer_fn(void *owner, uint64_t issuer, uint64_t counter);
enum err store_each_issuer(struct store *s, store_issuer_fn *fn, void *owner) MUST_CHECK;
enum err store_put_posting_key(struct store *s, struct span key, uint64_t seq) MUST_CHECK;
enum err store_posting_key(struct store *s, struct span key, uint64_t *ret_seq) MUST_CHECK; /* ERR_NOT_FOUND */
typedef enum err store_posting_fn(void *owner, struct span key, uint64_t seq);
enum err store_each_posting_key(struct store *s, store_posting_fn *fn, void *owner) MUST_CHECK; /* by seq */

/* ---- holds ---- */
enum err store_put_holds(struct store *s, uint64_t batch, uint64_t seq, struct span body) MUST_CHECK;
enum err store_delete_holds(struct store *s, uint64_t until_batch) MUST_CHECK; /* all below */
typedef enum err store_holds_fn(void *owner, uint64_t batch, uint64_t seq, struct span body);
enum err store_each_holds(struct store *s, store_holds_fn *fn, void *owner) MUST_CHECK;

/* ---- checkpoints, meta ---- */
enum err store_put_checkpoint(struct store *s, uint64_t size, int64_t at_us, struct span note) MUST_CHECK;
typedef enum err store_checkpoint_fn(void *owner, uint64_t size, int64_t at_us, struct span note);
enum err store_each_checkpoint(struct store *s, store_checkpoint_fn *fn, void *owner) MUST_CHECK;
enum err store_put_meta(struct store *s, const char *key, struct span value) MUST_CHECK;
enum err store_meta(struct store *s, const char *key, struct buf *ret) MUST_CHECK;   /* ERR_NOT_FOUND */
#define META_FLUSHED "flushed_seq"   /* accounts, rollup, issuer hold entries [0, this) */
#define META_FRONTIER "frontier"     /* of the tree and the clock as of the flush: projection.h */
#define META_ORIGIN "origin"         /* name of the log, first line of its checkpoints */
#define META_PUBLIC_KEY "public_key" /* C2SP verifier key */
#define META_SPOOLED "spool_applied" /* "EPOCH OFFSET" of the spool that is in the log already */

/* ---- whole files ---- */
enum err store_backup(struct store *s, const char *to, void (*progress)(void *owner, int done, int total), void *owner) MUST_CHECK; /* while others write; to must not exist */
enum err store_vacuum(struct store *s) MUST_CHECK;          /* after compaction; needs nobody else inside */
enum err store_check(struct store *s, char why[512]) MUST_CHECK; /* SQLite looks for damage itself */

#endif
