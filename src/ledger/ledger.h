/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger: what workers hand over is made durable by one writer thread, many at a time (group commit), and told back to the worker's loop.
 *
 *   worker: ledger_submit(ticket) -> queue -> [writer] apply, store_commit -> loop_post -> ticket->done on the worker's loop
 *
 * Promises: 1. a ticket that is done with ERR_OK is durable, in the store or, while the store refuses and durability is not strict, in the
 * spool; 2. the same id and attempt has one effect, whoever sends it how often; 3. entries are in the order in which they were submitted by a
 * worker; 4. a hold ends once: by the record with attempt 0 of its id, or by recovery; 5. what was accepted is kept until it is durable, in
 * memory if need be, and ledger_is_admitting is false before that grows past its bound.
 */
#ifndef ENTENTE_LEDGER_LEDGER_H
#define ENTENTE_LEDGER_LEDGER_H

#include "io/disk.h"
#include "io/loop.h"
#include "ledger/entry.h"
#include "ledger/record.h"
#include "proof/note.h"

struct ledger;
struct store;

/* What is set aside before a provider is asked: enough to book an estimate should the process die. A later hold of the same id replaces the earlier. */
struct ledger_hold {
    uint64_t issuer, counter;
    int64_t wall_us;
    uint8_t api;
    bool stream;
    char key[RECORD_NAME_BYTES], department[RECORD_NAME_BYTES], party[RECORD_NAME_BYTES];
    char model_asked[RECORD_NAME_BYTES], provider[RECORD_NAME_BYTES], model[RECORD_NAME_BYTES];
    const struct price_line *buy, *sell; /* or NULL */
    int64_t input_expected;              /* tokens; what recovery books */
    int64_t output_max;
    money held;                          /* buy currency */
};

enum ledger_op { LEDGER_HOLD, LEDGER_POST };

typedef void ledger_done_fn(void *owner, enum err e);

/* Belongs to the caller and stays untouched by him, with what it points at, until done was called; without `done`, until a later ticket of the same
 * loop is done (tickets of one loop are taken in order). */
struct ledger_ticket {
    struct ledger_ticket *next;         /* the ledger's */
    enum ledger_op op;
    const struct ledger_hold *hold;     /* LEDGER_HOLD */
    const struct usage_record *record;  /* LEDGER_POST */
    struct loop *loop;                  /* where done is called */
    ledger_done_fn *done;               /* NULL: nobody waits */
    void *owner;
    enum err error;                     /* the ledger's */
};

struct ledger_options {
    const char *dir;                    /* data directory; holds ledger.db, ledger.spool, ledger.key */
    const char *spool_path;             /* NULL: in dir */
    uint64_t spool_bytes;               /* reserved on disk at start; 0: no spool */
    bool strict;                        /* no spool: while the store refuses nothing is admitted */
    bool threaded;                      /* false in the simulated world, in tests, for commands: commits happen on `loop`'s timer, or in ledger_flush */
    struct loop *loop;                  /* names the world; drives an unthreaded ledger. NULL: unthreaded, driven by ledger_flush alone */
    const char *vfs;                    /* of store_open */
    const struct disk_world *disk;      /* where spool and key are; NULL: the system's. The simulated world names the disk that its vfs is on */
    bool beside;                        /* a command that posts while a gateway may be running: no recovery, no spool, no flush. Unthreaded */
    const char *origin;                 /* of a new log; NULL: "entente.local/ledger" */
    uint64_t checkpoint_every;          /* entries between signed checkpoints beside those at day ends and at close; 0: none */
    /* sees each record on the writer's thread when it is durable: the one-line log, `entente top`, tests. May be NULL. */
    void (*on_record)(void *owner, const struct usage_record *r);
    void *owner;
};

enum ledger_state { LEDGER_OK, LEDGER_SPOOLING, LEDGER_FAILING };

/* Opens or makes the store, recovers: applies the spool, books open holds as estimates, then starts the thread. why: a sentence for the operator.
 * SIGXFSZ is ignored from then on. */
enum err ledger_open(const struct ledger_options *o, struct ledger **ret, char why[512]) MUST_CHECK;
void ledger_close(struct ledger *l);    /* everything submitted is made durable first, as far as the disk lets us; a checkpoint is signed; accepts NULL */
void ledger_abandon(struct ledger *l);  /* as a crash: nothing more is written; unthreaded only */

void ledger_submit(struct ledger *l, struct ledger_ticket *t); /* any thread; never blocks on the disk */
bool ledger_is_admitting(struct ledger *l); /* any thread, cheap: false when new requests must be refused */
/* The time at which the ledger would book what happens at this moment of the monotonic clock: Unix time, but for a clock that was set back, or jumped ahead
 * a moment ago. What must agree with the books about the period (budgets) asks for it; any thread, cheap. */
int64_t ledger_time_us(struct ledger *l, uint64_t monotonic_ns);
void ledger_flush(struct ledger *l);    /* waits until all that was submitted so far is done, one way or the other */

struct ledger_status {
    enum ledger_state state;
    bool admitting;
    uint64_t log_size, records, holds_open, commits;
    uint64_t spool_used, spool_bytes, spool_records; /* the stated exposure: what would be lost with the spool's disk */
    uint64_t waiting;                   /* records in memory that no disk has */
    uint64_t duplicates;                /* submissions that had been booked before */
    uint64_t recovered;                 /* holds that recovery booked as estimates at start */
    uint64_t commit_ns_total;           /* time inside group commits */
    char why[256];                      /* of the last failure; "" when OK */
};
void ledger_status(struct ledger *l, struct ledger_status *ret); /* any thread */

/* ---- postings that no request made; any thread, blocks until durable ---- */
/* 9.2 quadrillion of a currency. Of amounts up to here it takes millions until a balance overflows, which would leave books that nobody can read. */
#define POSTING_AMOUNT_MAX (INT64_MAX * (money)1000000000000)
struct posting_transfer {
    const char *debit, *credit, *currency;
    money amount;                       /* 0 to POSTING_AMOUNT_MAX */
};
struct posting {
    enum posting_cause cause;
    struct span key, memo, detail;
    uint64_t refers_to;
    const struct posting_transfer *transfers;
    unsigned transfers_n;
};
/* ERR_EXISTS when the key was posted before with other content, ERR_OK without effect when with the same; *ret_seq is its place either way.
 * ERR_RANGE: an amount is out of range, or there is no key, account or currency. */
enum err ledger_post(struct ledger *l, const struct posting *p, uint64_t *ret_seq) MUST_CHECK;
enum err ledger_checkpoint(struct ledger *l) MUST_CHECK; /* signs the log as it is now */
/* Replaces usage entries booked before `before_us` by their rollup: whole tiles of 256 only. *ret_n entries went. */
enum err ledger_compact(struct ledger *l, int64_t before_us, uint64_t *ret_n) MUST_CHECK;

#endif
