/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of the ledger, shared by its parts and by nobody else. Fields are grouped by who may touch them.
 *
 *   ledger.c          the front: queue, thread, timer, completion
 *   ledger_batch.c    one group commit, and where a batch goes when the store refuses
 *   ledger_apply.c    tickets and postings to entries
 *   ledger_reload.c   the projection from the store and back; holds at a commit; the flush
 *   ledger_catch_up.c spool and backlog into the store; open holds at start
 *   ledger_sign.c     key and checkpoints
 *   ledger_post.c, ledger_compact.c  what commands ask for
 */
#ifndef ENTENTE_LEDGER_LEDGER_PRIVATE_H
#define ENTENTE_LEDGER_LEDGER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "ledger/journal.h"
#include "ledger/projection.h"
#include "ledger/spool.h"

#define LEDGER_FLUSH_ENTRIES 4096u
#define LEDGER_FLUSH_NS (5 * NS_PER_S)
#define LEDGER_RETRY_NS NS_PER_S
#define LEDGER_BACKLOG_BYTES (64u * MIB)     /* what waits in memory; not admitting keeps it far below */
#define LEDGER_CHUNK_ITEMS 1024u             /* of spool and backlog in one transaction */
#define LEDGER_OPEN_NAMES 65536u             /* from then on, a new name that clients or providers chose is booked as LEDGER_OTHER */
#define LEDGER_OTHER "~other"
#define META_COMPACTED "compacted_seq"       /* usage entries of [0, this) are gone: ledger_compact.c */

/* Work that a caller waits for, done by the writer between batches. */
struct ledger_command {
    struct ledger_command *next;
    enum err (*run)(struct ledger *l, void *argument);
    void *argument;
    enum err result;
    bool done;
};

/* A clock that may jump. Believed is its distance to the monotonic clock; a jump ahead is believed after it has lasted. */
struct ledger_clock {
    bool started;
    int64_t believed_us;
    uint64_t doubted_ns; /* since when; 0: not */
};

struct ledger {
    unsigned magic;
    struct ledger_options options; /* its strings are ours */
    char *store_path, *wal_path, *spool_path, *key_path;
    const struct disk_world *disk;

    /* any thread, under lock */
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    struct ledger_ticket *first, **end;
    uint64_t queued, awaited;      /* tickets in the queue; those with done */
    uint64_t first_queued_ns;
    uint64_t wake_at;              /* the sleeping writer wants to hear of this many awaited tickets; 0: it does not sleep */
    bool wake_any;                 /* or of any ticket */
    bool ending;
    struct ledger_command *commands, **commands_end;
    struct ledger_status published;

    atomic_bool admitting;
    atomic_int_fast64_t distance_us; /* time as it was booked at the last commit, less the monotonic clock then */

    /* the writer's alone */
    pthread_t thread;
    struct timer timer;
    struct store *store;           /* NULL: closed after a failure */
    bool valid;                    /* the projection is what the store says */
    struct projection projection;
    struct ledger_clock clock;
    int64_t now_us;                /* of the batch: what is booked is booked then */
    int64_t latest_us;             /* what now_us was when the transaction began */
    enum err store_error;          /* of the transaction under way: the store's, not the ticket's */
    struct entry usage;            /* scratch: the usage entry that is being made (a struct entry is too large to zero for each) */
    struct buf body, rows;         /* scratch: an entry's bytes; holds of a commit */
    uint32_t *touched;             /* holds opened or changed in this transaction */
    uint32_t touched_n, touched_room;
    uint64_t batch;                /* of the next row of holds */
    uint64_t flushed, committed;   /* lengths of the log: as of the flush, as of the last commit */
    int64_t flushed_us;            /* booked time as of the flush */
    uint64_t unflushed_ns, retry_ns; /* since when there is something to flush; when the store is tried again */
    uint64_t last_awaited;         /* of the last batch */
    uint64_t checkpoint_size;
    bool signs;
    struct signer signer;
    struct ledger_status status;   /* published after each batch */
    struct spool *spool;           /* NULL: none */
    struct journal spool_said, spool_heard;
    uint64_t spool_read, spool_items;
    struct buf backlog;            /* items, each behind its length */
    struct journal backlog_said, backlog_heard;
    uint64_t backlog_records;
};

/* ledger.c */
uint64_t ledger_now_ns(const struct ledger *l);
int64_t ledger_wall_us(const struct ledger *l);
void ledger_publish(struct ledger *l);
enum err ledger_command(struct ledger *l, enum err (*run)(struct ledger *l, void *argument), void *argument) MUST_CHECK;

/* ledger_batch.c */
typedef enum err ledger_work_fn(struct ledger *l, void *argument);
/* One transaction around work, with the flush and the checkpoint that are due in it. After a failure of the store it is tried once more on a store that
 * was opened anew; after that the projection is not valid. What work itself refuses comes back, with nothing written. */
enum err ledger_transact(struct ledger *l, ledger_work_fn *work, void *argument) MUST_CHECK;
enum err ledger_transact_once(struct ledger *l, ledger_work_fn *work, void *argument) MUST_CHECK;
void ledger_settle(struct ledger *l, struct ledger_ticket *batch); /* makes it durable, or not, and says so in each ticket's error */
void ledger_enter(struct ledger *l, enum ledger_state state); /* tells the log, sets admitting and the next try */
int64_t ledger_clock_us(struct ledger *l);                 /* what may be booked now; never before what is booked */

/* ledger_apply.c */
enum err ledger_apply(struct ledger *l, const struct ledger_ticket *t) MUST_CHECK; /* ERR_EXISTS: was booked before; store_error says whose any other error is */
enum err ledger_intern(void *ledger, struct span text, uint32_t *ret) MUST_CHECK;
enum err ledger_append(struct ledger *l, const struct entry *e) MUST_CHECK; /* encodes */
enum err ledger_append_body(struct ledger *l) MUST_CHECK;                   /* l->body */
enum err ledger_book_usage(struct ledger *l) MUST_CHECK;                    /* l->usage, but for booked_us */
enum err ledger_of_store(struct ledger *l, enum err e);                     /* notes that an error is the store's */

/* ledger_reload.c */
enum err ledger_open_store(struct ledger *l, char why[512]) MUST_CHECK;
void ledger_drop_store(struct ledger *l); /* closed, and the projection with it */
enum err ledger_read_number(struct ledger *l, const char *key, uint64_t *ret) MUST_CHECK; /* of meta; 0 when it is not there */
enum err ledger_write_number(struct ledger *l, const char *key, uint64_t value) MUST_CHECK;
enum err ledger_look(struct ledger *l) MUST_CHECK; /* inside a transaction: the projection becomes what the store says */
enum err ledger_write_holds(struct ledger *l) MUST_CHECK;
bool ledger_flush_is_due(const struct ledger *l);
enum err ledger_write_flush(struct ledger *l) MUST_CHECK;

/* ledger_catch_up.c */
enum err ledger_park(struct ledger *l, struct ledger_ticket *batch) MUST_CHECK; /* to the spool, else to memory: ERR_NOT_RECORDED */
bool ledger_catch_up(struct ledger *l);            /* a step; true: there is more to do at once */
enum err ledger_recover(struct ledger *l, char why[512]) MUST_CHECK;

/* ledger_sign.c */
enum err ledger_open_key(struct ledger *l, char why[512]) MUST_CHECK;
/* Inside a transaction, before anything of it is appended and after: at a day's end, and every so many entries. */
enum err ledger_sign_day(struct ledger *l) MUST_CHECK;
enum err ledger_sign_every(struct ledger *l) MUST_CHECK;
enum err ledger_sign_now(struct ledger *l, void *unused) MUST_CHECK;

#endif
