/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer of usage records. Workers add to a ring under a mutex (one copy of about a kilobyte, tens of nanoseconds); the writer
 * takes all that is there, formats the lines into one buffer and appends them with one write.
 *
 *   usage_log_add -> ring -> [writer thread] write_batch -> disk_append, then on_record for each
 *
 * Invariants: 1. records leave the ring in the order they came in; 2. a record leaves it only when its line is in the file (a
 * refused append keeps the batch and tries again every second); 3. written counts lines in the file; 4. while the disk refuses,
 * what finds the ring full waits behind it, and new requests are refused (usage_log_is_full), so that this stays bounded.
 */
#include "ledger/usage_log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/block.h"
#include "base/log.h"

#define RING_RECORDS 1024u
#define BATCH_RECORDS 256u
#define GATHER_NS (2 * 1000 * 1000L) /* a writer that was woken waits this long, so that a busy gateway wakes it 500 times a second, not 50,000 */

/* A record that found the ring full while the disk refuses. */
struct overflow {
    struct overflow *next;
    struct usage_record record;
};

struct usage_log {
    struct usage_log_options options;
    char *path;
    struct disk_file *file;  /* NULL without a path */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    struct usage_record *ring; /* guarded by lock, but for the slots being written */
    uint64_t head, tail;       /* records taken, records added; guarded by lock */
    struct overflow *overflow, **overflow_end; /* after the ring, in order; guarded by lock */
    bool ending, sleeping;     /* guarded by lock */
    atomic_uint_fast64_t written;
    atomic_bool failing;
    struct buf lines;          /* the writer's */
};

static void announce(struct usage_log *u, const struct usage_record *r, struct span line)
{
    if (u->options.on_record)
        u->options.on_record(u->options.owner, r, line);
}

static enum err write_batch(struct usage_log *u, const struct usage_record *records, unsigned n)
{
    size_t ends[BATCH_RECORDS];
    buf_clear(&u->lines);
    for (unsigned i = 0; i < n; i++) {
        enum err e = record_write_json(&records[i], NULL, &u->lines);
        if (e)
            return e;
        ends[i] = buf_bytes(&u->lines);
    }
    enum err e = u->file ? disk_append(u->file, buf_span(&u->lines)) : ERR_OK;
    if (e)
        return e;
    struct span all = buf_span(&u->lines);
    for (unsigned i = 0; i < n; i++)
        announce(u, &records[i], span_of(all.p + (i ? ends[i - 1] : 0), ends[i] - (i ? ends[i - 1] : 0)));
    atomic_fetch_add_explicit(&u->written, n, memory_order_release);
    return ERR_OK;
}

static void report_failure(struct usage_log *u, bool failing)
{
    if (atomic_exchange(&u->failing, failing) == failing)
        return;
    if (failing)
        log_line(LOG_ERROR, "usage log: the disk refuses to write; records are kept in memory and tried again",
                 "path", LOG_STR(u->path), NULL);
    else
        log_line(LOG_INFO, "usage log: the disk writes again", "path", LOG_STR(u->path), NULL);
}

static void gather(struct usage_log *u)
{
    pthread_mutex_unlock(&u->lock);
    nanosleep(&(struct timespec){0, GATHER_NS}, NULL);
    pthread_mutex_lock(&u->lock);
}

static void wait_a_second(struct usage_log *u)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_cond_timedwait(&u->filled, &u->lock, &until);
}

/* At most BATCH_RECORDS that stand in one piece of the ring. */
static unsigned next_batch(const struct usage_log *u)
{
    uint64_t n = u->tail - u->head, first = u->head % RING_RECORDS;
    if (n > BATCH_RECORDS)
        n = BATCH_RECORDS;
    return (unsigned)(n > RING_RECORDS - first ? RING_RECORDS - first : n);
}

/* With the lock held. */
static void refill_ring(struct usage_log *u)
{
    while (u->overflow && u->tail - u->head < RING_RECORDS) {
        struct overflow *first = u->overflow;
        u->ring[u->tail++ % RING_RECORDS] = first->record;
        u->overflow = first->next;
        if (!u->overflow)
            u->overflow_end = &u->overflow;
        free(first);
    }
}

static uint64_t forget_all(struct usage_log *u)
{
    uint64_t lost = u->tail - u->head;
    u->head = u->tail;
    for (; u->overflow; lost++) {
        struct overflow *first = u->overflow;
        u->overflow = first->next;
        free(first);
    }
    u->overflow_end = &u->overflow;
    return lost;
}

/* Called and returns with the lock held. */
static void write_some(struct usage_log *u)
{
    unsigned n = next_batch(u);
    uint64_t first = u->head % RING_RECORDS;
    pthread_mutex_unlock(&u->lock);
    enum err e = write_batch(u, &u->ring[first], n);
    report_failure(u, e != ERR_OK);
    pthread_mutex_lock(&u->lock);
    if (e == ERR_OK) {
        u->head += n;
        refill_ring(u);
        pthread_cond_broadcast(&u->emptied);
    } else if (!u->ending) {
        wait_a_second(u);
    } else {
        log_line(LOG_ERROR, "usage log: records lost, the disk refused them to the end", "records", LOG_INT(forget_all(u)), NULL);
        pthread_cond_broadcast(&u->emptied);
    }
}

static void *writer(void *arg)
{
    struct usage_log *u = arg;
    pthread_mutex_lock(&u->lock);
    for (;;) {
        if (u->head != u->tail) {
            write_some(u);
        } else if (u->ending) {
            break;
        } else {
            u->sleeping = true;
            pthread_cond_wait(&u->filled, &u->lock);
            u->sleeping = false;
            if (!u->ending)
                gather(u);
        }
    }
    pthread_mutex_unlock(&u->lock);
    buf_fini(&u->lines);
    block_cache_drain();
    return NULL;
}

static void discard(struct usage_log *u)
{
    if (u->file)
        disk_close(u->file);
    buf_fini(&u->lines);
    free(u->ring);
    free(u->path);
    free(u);
}

enum err usage_log_open(struct loop *l, const struct usage_log_options *o, struct usage_log **ret)
{
    struct usage_log *u = calloc(1, sizeof *u);
    if (!u)
        return ERR_NO_MEMORY;
    u->options = *o;
    u->overflow_end = &u->overflow;
    u->path = strdup(o->path ? o->path : "");
    u->ring = malloc(RING_RECORDS * sizeof *u->ring);
    buf_init(&u->lines, 16u * MIB);
    enum err e = !u->path || !u->ring ? ERR_NO_MEMORY : o->path ? disk_open(l, o->path, &u->file) : ERR_OK;
    if (e) {
        discard(u);
        return e;
    }
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->filled, NULL);
    pthread_cond_init(&u->emptied, NULL);
    if (o->threaded && pthread_create(&u->thread, NULL, writer, u) != 0) {
        discard(u);
        return ERR_NO_MEMORY;
    }
    *ret = u;
    return ERR_OK;
}

/* Without a thread: what cannot be written stays in the ring until the next call. */
static void write_now(struct usage_log *u)
{
    while (u->head != u->tail) {
        unsigned n = next_batch(u);
        enum err e = write_batch(u, &u->ring[u->head % RING_RECORDS], n);
        report_failure(u, e != ERR_OK);
        if (e)
            return;
        u->head += n;
    }
}

static void add_now(struct usage_log *u, const struct usage_record *r)
{
    CHECK(u->tail - u->head < RING_RECORDS); /* one thread cannot wait for itself; tests fail the disk for less than a ring */
    u->ring[u->tail++ % RING_RECORDS] = *r;
    write_now(u);
}

/* A disk that refuses must not stop the worker, which still has answers to end: the record goes behind the ring. */
static void add_locked(struct usage_log *u, const struct usage_record *r)
{
    if (!u->overflow && u->tail - u->head < RING_RECORDS) {
        u->ring[u->tail++ % RING_RECORDS] = *r;
        return;
    }
    struct overflow *o = malloc(sizeof *o);
    CHECK(o != NULL);
    *o = (struct overflow){NULL, *r};
    *u->overflow_end = o;
    u->overflow_end = &o->next;
}

void usage_log_add(struct usage_log *u, const struct usage_record *r)
{
    if (!u->options.threaded) {
        add_now(u, r);
        return;
    }
    pthread_mutex_lock(&u->lock);
    while (u->tail - u->head == RING_RECORDS && !atomic_load(&u->failing))
        pthread_cond_wait(&u->emptied, &u->lock); /* a disk that is only slow slows the worker */
    add_locked(u, r);
    bool wake = u->sleeping;
    pthread_mutex_unlock(&u->lock);
    if (wake)
        pthread_cond_signal(&u->filled);
}

void usage_log_flush(struct usage_log *u)
{
    if (!u->options.threaded) {
        write_now(u);
        return;
    }
    pthread_mutex_lock(&u->lock);
    uint64_t goal = u->tail;
    while (u->head < goal && !atomic_load(&u->failing))
        pthread_cond_wait(&u->emptied, &u->lock);
    pthread_mutex_unlock(&u->lock);
}

void usage_log_close(struct usage_log *u)
{
    if (!u)
        return;
    if (u->options.threaded) {
        pthread_mutex_lock(&u->lock);
        u->ending = true;
        pthread_mutex_unlock(&u->lock);
        pthread_cond_signal(&u->filled);
        pthread_join(u->thread, NULL);
    } else {
        write_now(u);
    }
    if (u->file && disk_sync(u->file) != ERR_OK)
        log_line(LOG_ERROR, "usage log: the last sync failed", "path", LOG_STR(u->path), NULL);
    pthread_mutex_destroy(&u->lock);
    pthread_cond_destroy(&u->filled);
    pthread_cond_destroy(&u->emptied);
    discard(u);
}

uint64_t usage_log_written(const struct usage_log *u) { return atomic_load_explicit(&u->written, memory_order_acquire); }
bool usage_log_is_full(struct usage_log *u)
{
    if (!usage_log_is_failing(u))
        return false;
    pthread_mutex_lock(&u->lock);
    bool full = u->tail - u->head >= RING_RECORDS / 2;
    pthread_mutex_unlock(&u->lock);
    return full;
}

bool usage_log_is_failing(const struct usage_log *u) { return atomic_load(&u->failing); }
