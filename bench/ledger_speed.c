/* SPDX-License-Identifier: Apache-2.0
 *
 * What the ledger costs: N threads submit a hold and a record for each request, with so many under way at once, as workers do.
 *
 *   ledger_speed DIR [SECONDS [THREADS [UNDER_WAY]]]
 *
 * Prints durable records a second, CPU time of the writer and of the submitters per request, and what a lone request waits, beside a bare fdatasync of
 * as many bytes on the same disk.
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "ledger/ledger.h"

#define THREADS_MAX 64u
#define LONE 300u

struct request {
    struct worker *worker;
    struct ledger_hold hold;
    struct usage_record record;
    struct ledger_ticket hold_ticket, record_ticket;
};

struct worker {
    struct ledger *ledger;
    pthread_t thread;
    uint64_t issuer, counter;
    struct request *requests;
    unsigned under_way;
    pthread_mutex_t lock;
    pthread_cond_t back;
    struct request **free;
    unsigned free_n;
    uint64_t done, cpu_ns;
};

static atomic_bool ending;
static uint64_t first_issuer; /* of this run: a second one in the same books is not one of duplicates */
static struct arena arena;
static struct price_line line;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t thread_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

static void on_done(void *owner, enum err e)
{
    struct request *r = owner;
    struct worker *w = r->worker;
    CHECK(e == ERR_OK);
    pthread_mutex_lock(&w->lock);
    w->free[w->free_n++] = r;
    w->done++;
    if (w->free_n == 1 || w->free_n == w->under_way)
        pthread_cond_signal(&w->back);
    pthread_mutex_unlock(&w->lock);
}

static void prepare(struct request *r, struct worker *w)
{
    uint64_t counter = ++w->counter;
    r->worker = w;
    r->hold.issuer = r->record.issuer = w->issuer;
    r->hold.counter = r->record.counter = counter;
    r->record.usage.count[USAGE_INPUT] = 800 + (int64_t)(counter % 500);
    r->record.usage.count[USAGE_OUTPUT] = (int64_t)(counter % 300);
    r->record.duration_us = 250000 + counter % 100000;
    price_charge(&line, &r->record.usage, &r->record.buy);
    r->record.sell = r->record.buy;
    r->hold_ticket = (struct ledger_ticket){.op = LEDGER_HOLD, .hold = &r->hold};
    r->record_ticket = (struct ledger_ticket){.op = LEDGER_POST, .record = &r->record, .done = on_done, .owner = r};
}

static void init_request(struct request *r, unsigned i)
{
    char key[16];
    memset(r, 0, sizeof *r);
    snprintf(key, sizeof key, "key-%u", i % 20);
    record_set_name(r->record.key, span_str(key));
    record_set_name(r->record.department, SPAN("legal"));
    record_set_name(r->record.model_asked, SPAN("gpt-5.6"));
    record_set_name(r->record.model_served, SPAN("gpt-5.6-2026-10-01"));
    record_set_name(r->record.attempts[0].provider, SPAN("azure-eu"));
    record_set_name(r->record.attempts[0].model, SPAN("gpt-5.6-prod"));
    memcpy(r->hold.key, r->record.key, sizeof r->hold.key);
    memcpy(r->hold.department, r->record.department, sizeof r->hold.department);
    memcpy(r->hold.model_asked, r->record.model_asked, sizeof r->hold.model_asked);
    memcpy(r->hold.provider, r->record.attempts[0].provider, sizeof r->hold.provider);
    memcpy(r->hold.model, r->record.attempts[0].model, sizeof r->hold.model);
    r->hold.buy = r->hold.sell = &line;
    r->record.attempts_n = 1;
    r->record.status = 200;
    r->record.outcome = RECORD_ANSWERED;
    r->record.wall_us = 1795398420000000;
    r->record.bytes_in = 4000, r->record.bytes_out = 900;
    r->record.receive_us = 100, r->record.first_byte_us = 200000;
    r->record.provider_cost_nano = -1;
    usage_init(&r->record.usage);
    r->record.usage.source = USAGE_SOURCE_REPORTED;
    r->record.usage.count[USAGE_CACHE_READ] = 500;
    r->record.usage.count[USAGE_REQUEST] = 1;
}

static void init_worker(struct worker *w, struct ledger *l, uint64_t issuer, unsigned under_way)
{
    *w = (struct worker){.ledger = l, .issuer = issuer, .under_way = under_way};
    w->requests = calloc(under_way, sizeof *w->requests);
    w->free = calloc(under_way, sizeof(struct request *));
    CHECK(w->requests && w->free);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->back, NULL);
    for (unsigned i = 0; i < under_way; i++) {
        init_request(&w->requests[i], i);
        w->free[w->free_n++] = &w->requests[i];
    }
}

/* Takes what is back, and submits it again. Only the submitting itself is counted. */
static void *work(void *arg)
{
    struct worker *w = arg;
    struct request **batch = calloc(w->under_way, sizeof(struct request *));
    CHECK(batch);
    while (!atomic_load(&ending)) {
        pthread_mutex_lock(&w->lock);
        while (!w->free_n)
            pthread_cond_wait(&w->back, &w->lock);
        unsigned n = w->free_n;
        memcpy(batch, w->free, n * sizeof *batch);
        w->free_n = 0;
        pthread_mutex_unlock(&w->lock);
        for (unsigned i = 0; i < n; i++)
            prepare(batch[i], w);
        uint64_t start_ns = thread_ns();
        for (unsigned i = 0; i < n; i++)
            ledger_submit(w->ledger, &batch[i]->hold_ticket);
        for (unsigned i = 0; i < n; i++)
            ledger_submit(w->ledger, &batch[i]->record_ticket);
        w->cpu_ns += thread_ns() - start_ns;
    }
    pthread_mutex_lock(&w->lock);
    while (w->free_n < w->under_way)
        pthread_cond_wait(&w->back, &w->lock);
    pthread_mutex_unlock(&w->lock);
    free(batch);
    return NULL;
}

static void free_worker(struct worker *w)
{
    free(w->requests);
    free(w->free);
    pthread_cond_destroy(&w->back);
    pthread_mutex_destroy(&w->lock);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double median_us(uint64_t *ns, unsigned n)
{
    qsort(ns, n, sizeof *ns, by_size);
    return (double)ns[n / 2] / 1000;
}

/* As much as the commit of one record writes: a page of the write-ahead log. */
static double bare_sync_us(const char *dir, unsigned pages)
{
    static char bytes[4 * 4120];
    uint64_t ns[LONE];
    char path[512];
    snprintf(path, sizeof path, "%s/bare", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && pages <= 4);
    for (unsigned i = 0; i < LONE; i++) {
        uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
        CHECK(write(fd, bytes, pages * 4120) > 0 && fdatasync(fd) == 0);
        ns[i] = clock_ns(CLOCK_MONOTONIC) - start_ns;
        usleep(2000);
    }
    close(fd);
    unlink(path);
    return median_us(ns, LONE);
}

struct lone {
    sem_t told;
    uint64_t told_ns;
};

static void on_lone_done(void *owner, enum err e)
{
    struct lone *lone = owner;
    CHECK(e == ERR_OK);
    lone->told_ns = clock_ns(CLOCK_MONOTONIC);
    sem_post(&lone->told);
}

/* One request at a time, its hold well before its record. */
static double lone_us(struct ledger *l)
{
    struct worker w;
    struct lone lone;
    uint64_t ns[LONE];
    init_worker(&w, l, first_issuer + THREADS_MAX, 1);
    sem_init(&lone.told, 0, 0);
    for (unsigned i = 0; i < LONE; i++) {
        struct request *r = &w.requests[0];
        prepare(r, &w);
        r->record_ticket.done = on_lone_done;
        r->record_ticket.owner = &lone;
        ledger_submit(l, &r->hold_ticket);
        usleep(5000);
        uint64_t start_ns = clock_ns(CLOCK_MONOTONIC);
        ledger_submit(l, &r->record_ticket);
        sem_wait(&lone.told);
        ns[i] = lone.told_ns - start_ns;
    }
    sem_destroy(&lone.told);
    free_worker(&w);
    return median_us(ns, LONE);
}

static void run_load(struct ledger *l, unsigned seconds, unsigned threads, unsigned under_way)
{
    static struct worker workers[THREADS_MAX];
    uint64_t done = 0, submit_ns = 0, commits, before_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID), workers_ns = 0;
    struct ledger_status s;
    ledger_status(l, &s);
    commits = s.commits;
    uint64_t start_ns = clock_ns(CLOCK_MONOTONIC), busy_ns = s.commit_ns_total;
    for (unsigned i = 0; i < threads; i++) {
        init_worker(&workers[i], l, first_issuer + i, under_way);
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    sleep(seconds);
    for (unsigned i = 0; i < threads; i++) {
        clockid_t clock;
        CHECK(pthread_getcpuclockid(workers[i].thread, &clock) == 0);
        workers_ns += clock_ns(clock);
    }
    uint64_t writer_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before_ns - workers_ns, took_ns = clock_ns(CLOCK_MONOTONIC) - start_ns;
    for (unsigned i = 0; i < threads; i++) {
        pthread_mutex_lock(&workers[i].lock);
        done += workers[i].done;
        pthread_mutex_unlock(&workers[i].lock);
        submit_ns += workers[i].cpu_ns;
    }
    ledger_status(l, &s);
    CHECK(s.duplicates == 0);
    atomic_store(&ending, true);
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(workers[i].thread, NULL);
        free_worker(&workers[i]);
    }
    printf("threads %u, under way %u each: %.0f requests/s durable (a hold and a record each), %.1f in a commit, a commit takes %.0f us\n", threads,
           under_way, (double)done * 1e9 / (double)took_ns, (double)done / (double)(s.commits - commits),
           (double)(s.commit_ns_total - busy_ns) / 1000 / (double)(s.commits - commits));
    printf("writer CPU %.2f us/request, submitting CPU %.2f us/request (both tickets)\n", (double)writer_ns / 1000 / (double)done,
           (double)submit_ns / 1000 / (double)done);
}

int main(int argc, char **argv)
{
    char why[512];
    struct ledger *l;
    if (argc < 2) {
        fprintf(stderr, "usage: ledger_speed DIR [SECONDS [THREADS [UNDER_WAY]]]\n");
        return 2;
    }
    unsigned seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 5, threads = argc > 3 ? (unsigned)atoi(argv[3]) : 2;
    unsigned under_way = argc > 4 ? (unsigned)atoi(argv[4]) : 256;
    struct ledger_options o = {.dir = argv[1], .threaded = true, .spool_bytes = 16u * MIB};
    CHECK(threads && threads <= THREADS_MAX && under_way);
    first_issuer = clock_ns(CLOCK_REALTIME) & (ENTRY_ISSUER_MAX >> 1);
    arena_init(&arena, 4096);
    CHECK(price_line_parse(&arena, SPAN("book=azure\tseller=microsoft\tbuyer=self\tcurrency=USD\tsource=list\tfrom=0\tknown=0\tmodel=gpt-5.6*\t"
                                        "provider=azure-*\tinput=2500000000\tcache_read=250000000\toutput=10000000000"), &line) == ERR_OK);
    if (ledger_open(&o, &l, why) != ERR_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    double bare = bare_sync_us(argv[1], 1), lone = lone_us(l);
    printf("lone request: %.0f us until told, median of %u; a bare write of one page and fdatasync: %.0f us\n", lone, LONE, bare);
    run_load(l, seconds, threads, under_way);
    ledger_close(l);
    arena_fini(&arena);
    return 0;
}
