/* SPDX-License-Identifier: Apache-2.0
 *
 * The front of the ledger: the queue that workers fill, the thread that empties it, and how tickets get back to their loops.
 *
 *   ledger_submit ──▶ queue ──▶ [writer] take_all ──▶ ledger_settle ──▶ complete: one loop_post per loop ──▶ deliver: done, in order
 *
 * The complication is when to commit. A lone record is committed at once. Under load a batch that waits a few hundred microseconds is larger, and
 * costs less per record. Holds that nobody waits for wake nobody up: they ride along with the next record, or go alone after 3 ms.
 */
#include "ledger/ledger_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/block.h"
#include "base/log.h"

#define LEDGER_MAGIC MAGIC('L', 'E', 'D', 'G')
#define HOLDS_WAIT_NS (3 * NS_PER_MS)
#define GATHER_NS NS_PER_MS
#define GATHER_FROM 16u  /* awaited tickets in the last batch: below, traffic is light */
#define GATHER_MOST 128u /* more make a batch no cheaper per record */
#define UNTHREADED_NS (200 * NS_PER_US)
#define LOOPS_MAX 64u    /* told at once; further ones in another round */
#define BACKLOG_FULL (LEDGER_BACKLOG_BYTES / 2)

/* ---- time ---- */

static uint64_t read_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t ledger_now_ns(const struct ledger *l)
{
    return l->options.threaded || !l->options.loop ? read_clock_ns(CLOCK_MONOTONIC) : loop_now_ns(l->options.loop);
}

int64_t ledger_wall_us(const struct ledger *l)
{
    return l->options.threaded || !l->options.loop ? (int64_t)(read_clock_ns(CLOCK_REALTIME) / NS_PER_US) : loop_wall_us(l->options.loop);
}

/* ---- what anybody may ask ---- */

/* Of the spool a quarter is kept for requests that were admitted before. */
static bool has_room(const struct ledger *l)
{
    if (l->status.state != LEDGER_SPOOLING)
        return l->status.state == LEDGER_OK;
    return spool_end(l->spool) < spool_bytes(l->spool) - spool_bytes(l->spool) / 4;
}

/* Called and returns with the lock held. */
static void publish_locked(struct ledger *l)
{
    struct ledger_status *s = &l->status;
    bool spooling = l->spool && s->state != LEDGER_OK;
    s->admitting = has_room(l);
    s->log_size = l->committed;
    s->holds_open = l->projection.holds_open;
    s->spool_bytes = l->spool ? spool_bytes(l->spool) : 0;
    s->spool_used = spooling ? spool_end(l->spool) - spool_first(l->spool) : 0;
    s->spool_records = spooling ? l->spool_items : 0;
    s->waiting = l->backlog_records;
    l->published = *s;
    atomic_store_explicit(&l->admitting, s->admitting, memory_order_release);
}

void ledger_publish(struct ledger *l)
{
    pthread_mutex_lock(&l->lock);
    publish_locked(l);
    pthread_mutex_unlock(&l->lock);
}

void ledger_status(struct ledger *l, struct ledger_status *ret)
{
    pthread_mutex_lock(&l->lock);
    *ret = l->published;
    pthread_mutex_unlock(&l->lock);
}

bool ledger_is_admitting(struct ledger *l) { return atomic_load_explicit(&l->admitting, memory_order_acquire); }

/* ---- completion ---- */

static void deliver(struct loop *loop, void *owner, void *m)
{
    for (struct ledger_ticket *t = m, *next; t; t = next) {
        next = t->next; /* the ticket may be gone after done */
        t->done(t->owner, t->error);
    }
}

static void post(struct loop *loop, struct ledger *l, struct ledger_ticket *chain)
{
    while (loop_post(loop, deliver, l, chain) != ERR_OK) /* no memory for a message; the chain needs none, so it can wait */
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* The tickets of one loop, in order. */
struct chain {
    struct loop *loop;
    struct ledger_ticket *first, **end;
};

static struct chain *chain_of(struct chain chains[LOOPS_MAX], unsigned *n, struct loop *loop)
{
    unsigned i = 0;
    while (i < *n && chains[i].loop != loop)
        i++;
    if (i == LOOPS_MAX)
        return NULL;
    if (i == *n)
        chains[(*n)++] = (struct chain){loop, NULL, &chains[i].first};
    return &chains[i];
}

static void tell(struct ledger *l, const struct chain *c)
{
    if (l->options.threaded && c->loop)
        post(c->loop, l, c->first);
    else
        deliver(c->loop, l, c->first);
}

/* Tickets without `done` are forgotten; of the others each loop gets its chain. Those of loops that found no place come back. */
static struct ledger_ticket *split(struct ledger *l, struct ledger_ticket *batch)
{
    struct chain chains[LOOPS_MAX], left = {NULL, NULL, &left.first};
    unsigned n = 0;
    for (struct ledger_ticket *t = batch, *next; t; t = next) {
        next = t->next;
        t->next = NULL;
        if (!t->done)
            continue;
        struct chain *c = chain_of(chains, &n, t->loop);
        c = c ? c : &left;
        *c->end = t;
        c->end = &t->next;
    }
    for (unsigned i = 0; i < n; i++)
        tell(l, &chains[i]);
    return left.first;
}

static void complete(struct ledger *l, struct ledger_ticket *batch)
{
    while (batch)
        batch = split(l, batch);
}

/* ---- the queue ---- */

static struct ledger_ticket *take_all(struct ledger *l)
{
    struct ledger_ticket *all = l->first;
    l->last_awaited = l->awaited;
    l->first = NULL;
    l->end = &l->first;
    l->queued = l->awaited = l->first_queued_ns = 0;
    return all;
}

static void put(struct ledger *l, struct ledger_ticket *t)
{
    t->next = NULL;
    t->error = ERR_OK;
    *l->end = t;
    l->end = &t->next;
    l->queued++;
    l->awaited += t->done != NULL;
}

static void set_timer(struct ledger *l); /* without a thread */

void ledger_submit(struct ledger *l, struct ledger_ticket *t)
{
    CHECK_MAGIC(l, LEDGER_MAGIC);
    if (!l->options.threaded) {
        put(l, t);
        set_timer(l);
        return;
    }
    pthread_mutex_lock(&l->lock);
    put(l, t);
    bool wake = l->wake_any || (l->wake_at && l->awaited >= l->wake_at);
    if (wake) {
        l->wake_any = false;
        l->wake_at = 0;
    }
    pthread_mutex_unlock(&l->lock);
    if (wake)
        pthread_cond_signal(&l->filled);
}

/* ---- the writer ---- */

/* A whole round: commands first, because their callers stand still. */
static struct ledger_command *take_commands(struct ledger *l)
{
    struct ledger_command *all = l->commands;
    l->commands = NULL;
    l->commands_end = &l->commands;
    return all;
}

static void run_commands(struct ledger *l, struct ledger_command *all)
{
    for (struct ledger_command *c = all, *next; c; c = next) {
        next = c->next;
        enum err e = l->status.state == LEDGER_OK ? c->run(l, c->argument) : ERR_LEDGER;
        pthread_mutex_lock(&l->lock);
        publish_locked(l);
        c->result = e;
        c->done = true; /* its caller may go now, and it with him */
        pthread_cond_broadcast(&l->emptied);
        pthread_mutex_unlock(&l->lock);
    }
}

static void settle_all(struct ledger *l, struct ledger_ticket *batch)
{
    if (!batch)
        return;
    ledger_settle(l, batch);
    ledger_publish(l);
    complete(l, batch);
}

static enum err flush_now(struct ledger *l, void *unused) { return ledger_write_flush(l); }

/* What is due beside batches. True: more of it is due at once. */
static bool tend(struct ledger *l)
{
    bool more = false;
    if (l->status.state != LEDGER_OK && ledger_now_ns(l) >= l->retry_ns) {
        more = ledger_catch_up(l);
        ledger_publish(l);
    } else if (l->status.state == LEDGER_OK && l->valid && ledger_flush_is_due(l)) {
        if (ledger_transact(l, flush_now, NULL) != ERR_OK)
            ledger_enter(l, l->spool ? LEDGER_SPOOLING : LEDGER_FAILING);
        ledger_publish(l);
    }
    return more;
}

/* When there will be something to tend to. */
static uint64_t tend_ns(const struct ledger *l)
{
    if (l->status.state != LEDGER_OK)
        return l->retry_ns;
    return l->valid && !l->options.beside && projection_size(&l->projection) != l->flushed ? l->unflushed_ns + LEDGER_FLUSH_NS : UINT64_MAX;
}

/* With the lock held. Until somebody wakes us or the time has come. */
static void sleep_until(struct ledger *l, uint64_t until_ns, uint64_t wake_at, bool wake_any)
{
    struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    l->wake_at = wake_at;
    l->wake_any = wake_any;
    if (until_ns == UINT64_MAX)
        pthread_cond_wait(&l->filled, &l->lock);
    else
        pthread_cond_timedwait(&l->filled, &l->lock, &until);
    l->wake_at = 0;
    l->wake_any = false;
}

/* No more can come than have a hold open. */
static uint64_t gather_most(const struct ledger *l)
{
    uint64_t live = l->projection.holds_open + (l->queued - l->awaited);
    return live < GATHER_MOST ? live : GATHER_MOST;
}

static void gather(struct ledger *l)
{
    uint64_t wanted = gather_most(l), until_ns = ledger_now_ns(l) + GATHER_NS;
    if (l->last_awaited < GATHER_FROM)
        return;
    while (l->awaited < wanted && !l->ending && !l->commands && ledger_now_ns(l) < until_ns)
        sleep_until(l, until_ns, wanted, false);
}

static bool may_take(const struct ledger *l) { return buf_bytes(&l->backlog) < BACKLOG_FULL; }

/* With the lock held: until there is work, or something to tend to. */
static void wait_for_work(struct ledger *l)
{
    uint64_t until_ns = tend_ns(l);
    while (!l->ending && !l->commands) {
        uint64_t now_ns = ledger_now_ns(l);
        if (now_ns >= until_ns)
            return;
        if (l->awaited && may_take(l)) {
            gather(l);
            return;
        }
        if (l->queued && may_take(l)) {
            if (!l->first_queued_ns)
                l->first_queued_ns = now_ns;
            if (now_ns >= l->first_queued_ns + HOLDS_WAIT_NS)
                return;
            uint64_t ride_ns = l->first_queued_ns + HOLDS_WAIT_NS;
            sleep_until(l, ride_ns < until_ns ? ride_ns : until_ns, 1, false);
        } else {
            sleep_until(l, until_ns, 0, may_take(l));
        }
    }
}

static void *writer(void *arg)
{
    struct ledger *l = arg;
    bool more = false;
    pthread_setname_np(pthread_self(), "ledger");
    pthread_mutex_lock(&l->lock);
    while (!l->ending || l->queued || l->commands) {
        if (!more && !l->ending)
            wait_for_work(l);
        struct ledger_ticket *batch = may_take(l) || l->ending ? take_all(l) : NULL;
        struct ledger_command *commands = take_commands(l);
        pthread_mutex_unlock(&l->lock);
        settle_all(l, batch);
        run_commands(l, commands);
        more = tend(l);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    block_cache_drain();
    return NULL;
}

/* ---- without a thread ---- */

static void set_timer(struct ledger *l)
{
    uint64_t next_ns = l->queued ? ledger_now_ns(l) + UNTHREADED_NS : tend_ns(l);
    if (l->options.loop && next_ns < l->timer.deadline_ns)
        timer_set(&l->timer, next_ns);
}

static void work_here(struct ledger *l)
{
    do
        settle_all(l, take_all(l));
    while (tend(l));
    set_timer(l);
}

static void on_timer(void *owner) { work_here(owner); }

enum err ledger_command(struct ledger *l, enum err (*run)(struct ledger *l, void *argument), void *argument)
{
    struct ledger_command c = {.run = run, .argument = argument};
    if (!l->options.threaded) {
        work_here(l);
        run_commands(l, &c);
        return c.result;
    }
    pthread_mutex_lock(&l->lock);
    *l->commands_end = &c;
    l->commands_end = &c.next;
    pthread_cond_signal(&l->filled);
    while (!c.done)
        pthread_cond_wait(&l->emptied, &l->lock);
    pthread_mutex_unlock(&l->lock);
    return c.result;
}

static enum err nothing(struct ledger *l, void *unused) { return ERR_OK; }

/* A command runs after all that was queued before it; on the writer's way to it that was settled. */
void ledger_flush(struct ledger *l)
{
    if (!l->options.threaded) {
        work_here(l);
        return;
    }
    if (ledger_command(l, nothing, NULL) != ERR_OK)
        return; /* while nothing can be written: what was submitted is done all the same */
}

static enum err sign_now(struct ledger *l, void *unused) { return ledger_transact(l, ledger_sign_now, NULL); }

enum err ledger_checkpoint(struct ledger *l) { return ledger_command(l, sign_now, NULL); }

/* ---- opening and closing ---- */

static char *path_of(const struct ledger_options *o, const char *name)
{
    char *path = NULL;
    CHECK(asprintf(&path, "%s/%s", o->dir, name) > 0);
    return path;
}

static char *copy_of(const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    CHECK(!text || copy);
    return copy;
}

static void init_lock(struct ledger *l)
{
    pthread_condattr_t monotonic;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->filled, &monotonic);
    pthread_cond_init(&l->emptied, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static struct ledger *make(const struct ledger_options *o)
{
    struct ledger *l = calloc(1, sizeof *l);
    uint64_t seed;
    CHECK(l);
    digest_random(&seed, sizeof seed);
    l->magic = LEDGER_MAGIC;
    l->options = *o;
    l->options.dir = copy_of(o->dir);
    l->options.vfs = copy_of(o->vfs);
    l->options.origin = copy_of(o->origin);
    l->store_path = path_of(o, "ledger.db");
    l->wal_path = path_of(o, "ledger.db-wal");
    l->key_path = path_of(o, "ledger.key");
    l->spool_path = o->spool_path ? copy_of(o->spool_path) : path_of(o, "ledger.spool");
    l->disk = o->disk ? o->disk : disk_world_system();
    l->end = &l->first;
    l->commands_end = &l->commands;
    l->timer.deadline_ns = UINT64_MAX;
    init_lock(l);
    projection_init(&l->projection, seed);
    buf_init(&l->body, 2 * ENTRY_BODY_BYTES_MAX);
    buf_init(&l->rows, 4u * MIB);
    buf_init(&l->backlog, LEDGER_BACKLOG_BYTES);
    journal_init(&l->spool_said);
    journal_init(&l->spool_heard);
    journal_init(&l->backlog_said);
    journal_init(&l->backlog_heard);
    return l;
}

static void discard(struct ledger *l)
{
    struct journal *journals[] = {&l->spool_said, &l->spool_heard, &l->backlog_said, &l->backlog_heard};
    struct buf *bufs[] = {&l->body, &l->rows, &l->backlog};
    char *texts[] = {(char *)l->options.dir, (char *)l->options.vfs, (char *)l->options.origin, l->store_path, l->wal_path, l->spool_path, l->key_path};
    store_close(l->store);
    spool_close(l->spool);
    signer_wipe(&l->signer);
    projection_fini(&l->projection);
    for (unsigned i = 0; i < COUNT_OF(journals); i++)
        journal_fini(journals[i]);
    for (unsigned i = 0; i < COUNT_OF(bufs); i++)
        buf_fini(bufs[i]);
    for (unsigned i = 0; i < COUNT_OF(texts); i++)
        free(texts[i]);
    free(l->touched);
    pthread_cond_destroy(&l->emptied);
    pthread_cond_destroy(&l->filled);
    pthread_mutex_destroy(&l->lock);
    l->magic = 0;
    free(l);
}

/* A spool that a standard gateway left is applied also when this one has none. */
static enum err open_spool(struct ledger *l, char why[512])
{
    void *file;
    uint64_t bytes = l->options.strict ? 0 : l->options.spool_bytes;
    if (l->options.beside)
        return ERR_OK;
    if (!bytes && l->disk->open(l->disk->owner, l->spool_path, false, &file) != ERR_OK)
        return ERR_OK;
    if (!bytes)
        l->disk->close(file);
    enum err e = spool_open(l->disk, l->spool_path, bytes, journal_layout(), &l->spool, why);
    if (!e)
        l->spool_read = spool_first(l->spool);
    return e;
}

/* Without the file that it belongs to, a write-ahead log would be taken for a left-over and deleted, with all that only it has. */
static bool wal_is_alone(struct ledger *l)
{
    const char *paths[] = {l->wal_path, l->store_path};
    uint64_t sizes[COUNT_OF(paths)] = {0};
    void *file;
    for (unsigned i = 0; i < COUNT_OF(paths); i++) {
        if (l->disk->open(l->disk->owner, paths[i], false, &file) != ERR_OK)
            continue;
        if (l->disk->size(file, &sizes[i]) != ERR_OK)
            sizes[i] = i; /* not known: the file is not taken for an empty one */
        l->disk->close(file);
    }
    return sizes[0] && !sizes[1];
}

/* SQLite would make it readable for all. Only here, where this process has no connection to it yet: closing a file gives up its locks. */
static enum err make_private(struct ledger *l, char why[512])
{
    void *file;
    if (l->options.beside)
        return ERR_OK;
    if (wal_is_alone(l)) {
        snprintf(why, 512, "%s: the file is gone or empty, and its write-ahead log is not: put the file back that belongs to it, or restore a backup elsewhere",
                 l->store_path);
        return ERR_SYNTAX;
    }
    enum err e = l->disk->open(l->disk->owner, l->store_path, true, &file);
    if (e)
        snprintf(why, 512, "%s: the file cannot be made or opened: look at the rights of its directory, and at the disk", l->store_path);
    else
        l->disk->close(file);
    return e;
}

static enum err start(struct ledger *l, char why[512])
{
    enum err e = make_private(l, why);
    e = e ? e : ledger_open_store(l, why);
    e = e ? e : open_spool(l, why);
    e = e ? e : ledger_recover(l, why);
    e = e ? e : ledger_open_key(l, why);
    if (e)
        return e;
    if (l->spool && (l->options.strict || !l->options.spool_bytes)) {
        spool_close(l->spool);
        l->spool = NULL;
    }
    (void)ledger_clock_us(l); /* others may ask for it before the first commit */
    ledger_publish(l);
    if (l->options.loop && !l->options.threaded)
        timer_init(&l->timer, l->options.loop, on_timer, l);
    if (!l->options.threaded || pthread_create(&l->thread, NULL, writer, l) == 0)
        return ERR_OK;
    snprintf(why, 512, "the ledger's thread cannot be started: allow this user more threads or memory");
    return ERR_NO_MEMORY;
}

enum err ledger_open(const struct ledger_options *o, struct ledger **ret, char why[512])
{
    struct ledger *l = make(o);
    CHECK(!o->beside || !o->threaded);
    why[0] = 0;
    disk_outlive_size_limits();
    enum err e = start(l, why);
    if (e)
        discard(l);
    else
        *ret = l;
    return e;
}

static enum err finish(struct ledger *l, void *unused)
{
    enum err e = ledger_sign_now(l, NULL);
    return e || l->options.beside ? e : ledger_write_flush(l);
}

static void stop_thread(struct ledger *l)
{
    pthread_mutex_lock(&l->lock);
    l->ending = true;
    pthread_cond_signal(&l->filled);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
}

void ledger_close(struct ledger *l)
{
    if (!l)
        return;
    CHECK_MAGIC(l, LEDGER_MAGIC);
    if (l->options.threaded)
        stop_thread(l);
    else
        work_here(l);
    if (l->status.state != LEDGER_OK) {
        l->retry_ns = 0;
        while (ledger_catch_up(l))
            continue;
    }
    if (l->status.state != LEDGER_OK)
        log_line(LOG_ERROR, "ledger: closed while the store refuses", "in_spool", LOG_INT(l->spool_items), "lost", LOG_INT(l->backlog_records), NULL);
    else if (ledger_transact(l, finish, NULL) != ERR_OK)
        log_line(LOG_WARN, "ledger: the last checkpoint could not be written", "why", LOG_STR(l->status.why), NULL);
    ledger_abandon(l);
}

void ledger_abandon(struct ledger *l)
{
    CHECK_MAGIC(l, LEDGER_MAGIC);
    if (l->timer.loop)
        timer_clear(&l->timer);
    discard(l);
}
