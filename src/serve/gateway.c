/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads, files and signals' deeds of the gateway. Everything that can fail at start is done before the first thread runs: the loops and
 * listeners of all workers are made here and only then handed over, so that a port in use is one clear message.
 *
 * Orders to a worker (use this catalog, drain) are messages to its loop; the steering thread waits for the acknowledgements.
 */
#include "serve/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/block.h"
#include "io/backend.h"
#include "serve/gateway_books.h"

struct listening { /* a listener as it was made at start; no reload changes which there are */
    char *text;
    bool tls;
};

struct worker_thread {
    struct gateway *gateway;
    struct loop *loop;
    struct worker *worker;
    pthread_t thread;
    bool running;
    bool is_idle; /* answered by the worker to ask_idle */
};

struct gateway {
    struct gateway_options options;
    struct config *config;
    char *path;                /* of the config file; NULL when there is none to reload */
    char *data_dir;            /* the one in use, whatever later configs say */
    struct worker_thread *threads;
    unsigned threads_n;
    struct listening *listening;
    unsigned listening_n;
    struct worker **workers;
    struct gateway_view view;
    struct gateway_books *books;
    struct loop *control;      /* names the world for the disk; runs nothing */
    int pid_fd;
    bool draining;
    uint64_t generation;
    sem_t acknowledged;
    pthread_barrier_t stopped; /* no worker goes while another may still show its counters */
};

/* ---- files of the data directory ---- */

static void data_path(const struct gateway *g, const char *name, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s", g->data_dir, name);
}

static enum err own_data_dir(struct gateway *g, char why[512])
{
    char path[PATH_MAX], text[32] = "";
    if (mkdir(g->data_dir, 0700) != 0 && errno != EEXIST) {
        snprintf(why, 512, "the data directory %.300s cannot be made: %s", g->data_dir, strerror(errno));
        return ERR_IO;
    }
    data_path(g, "entente.pid", path);
    g->pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (g->pid_fd < 0) {
        snprintf(why, 512, "the data directory %.300s cannot be written: %s", g->data_dir, strerror(errno));
        return ERR_IO;
    }
    if (flock(g->pid_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = pread(g->pid_fd, text, sizeof text - 1, 0);
        text[n > 0 ? strcspn(text, "\n") : 0] = 0;
        snprintf(why, 512, "the data directory %.300s is in use by another entente (pid %s); stop it, or set another `data:`", g->data_dir, text);
        return ERR_IO;
    }
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(g->pid_fd, 0) != 0 || pwrite(g->pid_fd, text, (size_t)n, 0) != n) {
        snprintf(why, 512, "%.300s cannot be written: %s", path, strerror(errno));
        return ERR_IO;
    }
    return ERR_OK;
}

/* "ok GENERATION" or "error GENERATION" and a line per mistake; replaced by rename, so that a reader sees a whole one. */
static void write_reload_status(const struct gateway *g, bool ok, const struct config_errors *errors)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    if (g->options.without_data)
        return;
    data_path(g, "reload.status", path);
    data_path(g, "reload.status.new", fresh);
    FILE *f = fopen(fresh, "we");
    if (!f)
        return;
    fprintf(f, "%s %llu\n", ok ? "ok" : "error", (unsigned long long)g->generation);
    if (errors)
        config_errors_print(errors, f);
    if (fclose(f) == 0)
        (void)!rename(fresh, path);
}

/* ---- the books ---- */

static enum err open_books(struct gateway *g, char why[512])
{
    const struct gateway_books_options o = {
        .config = g->config, .data_dir = g->options.without_data ? NULL : g->data_dir, .loop = g->control, .on_record = g->options.on_record,
        .owner = g->options.owner,
    };
    return gateway_books_open(&o, &g->books, why);
}

static struct gateway_view view_of(struct gateway *g)
{
    return (struct gateway_view){
        .workers = g->workers, .workers_n = g->threads_n, .ledger = gateway_books_ledger(g->books), .budgets = gateway_books_budgets(g->books),
        .strict = g->config->durability == DURABILITY_STRICT, .started_wall_us = loop_wall_us(g->control), .draining = &g->draining,
        .generation = &g->generation,
    };
}

/* ---- workers ---- */

static struct worker_options worker_options(const struct gateway *g, const struct config *c)
{
    return (struct worker_options){
        .server = {
            .connections_max = c->limits.connections,
            .body_max = c->limits.body_bytes,
            .head_timeout_ns = c->timeouts.head_ns,
            .body_timeout_ns = c->timeouts.body_ns,
            .idle_timeout_ns = c->timeouts.keep_alive_ns,
            .write_timeout_ns = c->timeouts.write_ns,
            .body_bytes_max = c->limits.memory_bytes,
            .server_name = "entente",
        },
        .exchange = {
            .requests_max = c->limits.requests,
            .answer_max = 64u * MIB,
            .memory_max = (size_t)c->limits.memory_bytes * g->threads_n,
            .ping_ns = c->timeouts.ping_ns,
            .compress = c->compress,
        },
        .catalog = c->catalog,
        .ledger = g->view.ledger,
        .unbooked = gateway_books_unbooked,
        .unbooked_owner = g->books,
        .budgets = g->view.budgets,
        .strict = g->view.strict,
        .view = &g->view,
    };
}

static enum err listen_all(struct gateway *g, struct worker *w, bool first, char why[512])
{
    for (unsigned i = 0; i < g->config->listen_n; i++) {
        const struct config_listen *at = &g->config->listen[i];
        struct sock_address address = first ? at->address : worker_address(g->workers[0], i); /* all share the port that the first was given */
        const char *reason = "unknown";
        if (worker_listen(w, &address, at->tls, &reason) != ERR_OK) {
            snprintf(why, 512, "cannot listen on %.200s: %s", at->text, reason);
            return ERR_IO;
        }
    }
    return ERR_OK;
}

static enum err make_workers(struct gateway *g, char why[512])
{
    struct worker_options o = worker_options(g, g->config);
    for (unsigned i = 0; i < g->threads_n; i++) {
        struct worker_thread *t = &g->threads[i];
        t->gateway = g;
        t->loop = loop_new(io_epoll(), NULL);
        if (!t->loop) {
            snprintf(why, 512, "the system has no room for %u workers: %s", g->threads_n, strerror(errno));
            return ERR_IO;
        }
        t->worker = g->workers[i] = worker_new(t->loop, &o);
        enum err e = listen_all(g, t->worker, i == 0, why);
        if (e)
            return e;
    }
    return ERR_OK;
}

static void *run_worker(void *arg)
{
    struct worker_thread *t = arg;
    loop_run(t->loop);
    pthread_barrier_wait(&t->gateway->stopped);
    worker_free(t->worker); /* on its own thread: blocks and pools are the thread's */
    t->worker = NULL; /* the loop stays for the steering thread, which may still be inside loop_post */
    block_cache_drain();
    return NULL;
}

static enum err start_threads(struct gateway *g, char why[512])
{
    for (unsigned i = 0; i < g->threads_n; i++) {
        int e = pthread_create(&g->threads[i].thread, NULL, run_worker, &g->threads[i]);
        if (e) {
            snprintf(why, 512, "thread %u cannot be started: %s", i, strerror(e));
            return ERR_IO;
        }
        g->threads[i].running = true;
    }
    return ERR_OK;
}

/* ---- orders ---- */

struct order {
    struct gateway *gateway;
    struct worker_thread *to;
    void (*carry_out)(struct worker_thread *t, void *what);
    void *what;
};

static void receive_order(struct loop *l, void *owner, void *m)
{
    struct order *o = m;
    o->carry_out(o->to, o->what);
    sem_post(&o->gateway->acknowledged);
    free(o);
}

/* Has every worker do it, and waits until all have. */
static void order_all(struct gateway *g, void (*carry_out)(struct worker_thread *t, void *what), void *what)
{
    unsigned sent = 0;
    for (unsigned i = 0; i < g->threads_n; i++) {
        struct order *o = malloc(sizeof *o);
        CHECK(o != NULL);
        *o = (struct order){g, &g->threads[i], carry_out, what};
        CHECK(loop_post(g->threads[i].loop, receive_order, NULL, o) == ERR_OK);
        sent++;
    }
    while (sent) {
        if (sem_wait(&g->acknowledged) == 0)
            sent--;
    }
}

/* The entry of a config that means this listener: the file may have got others, lost some, or another order. NULL: none does. */
static const struct config_listen *entry_of(const struct config *c, const struct listening *l)
{
    for (unsigned i = 0; i < c->listen_n; i++)
        if (strcmp(c->listen[i].text, l->text) == 0 && (c->listen[i].tls != NULL) == l->tls)
            return &c->listen[i];
    return NULL;
}

static void use_config(struct worker_thread *t, void *what)
{
    struct config *c = what;
    const struct gateway *g = t->gateway;
    struct worker_options o = worker_options(g, c);
    worker_use(t->worker, c->catalog);
    worker_set_limits(t->worker, &o.server, &o.exchange);
    for (unsigned i = 0; i < g->listening_n; i++) {
        const struct config_listen *entry = g->listening[i].tls ? entry_of(c, &g->listening[i]) : NULL;
        if (entry)
            worker_set_tls(t->worker, i, entry->tls);
    }
}

static void drain_worker(struct worker_thread *t, void *what) { worker_drain(t->worker); }
static void ask_idle(struct worker_thread *t, void *what) { t->is_idle = worker_is_idle(t->worker); }
static void stop_worker(struct worker_thread *t, void *what) { loop_stop(t->loop); }

/* ---- start ---- */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void discard(struct gateway *g)
{
    for (unsigned i = 0; i < g->threads_n; i++)
        worker_free(g->threads[i].worker);
    gateway_books_close(g->books); /* its thread may still be inside loop_post, so the loops go after it */
    for (unsigned i = 0; i < g->threads_n; i++)
        if (g->threads[i].loop && !g->threads[i].running)
            loop_free(g->threads[i].loop);
    if (g->control)
        loop_free(g->control);
    if (g->pid_fd >= 0)
        close(g->pid_fd);
    sem_destroy(&g->acknowledged);
    pthread_barrier_destroy(&g->stopped);
    for (unsigned i = 0; i < g->listening_n; i++)
        free(g->listening[i].text);
    free(g->listening);
    config_free(g->config);
    free(g->threads);
    free(g->workers);
    free(g->path);
    free(g->data_dir);
    free(g);
}

static enum err start(struct gateway *g, char why[512])
{
    enum err e = g->options.without_data ? ERR_OK : own_data_dir(g, why);
    g->control = loop_new(io_epoll(), NULL);
    if (!e && !g->control) {
        snprintf(why, 512, "the system gives no event loop: %s", strerror(errno));
        e = ERR_IO;
    }
    if (!e)
        e = open_books(g, why);
    if (!e)
        g->view = view_of(g);
    if (!e)
        e = make_workers(g, why);
    if (!e)
        e = start_threads(g, why);
    return e;
}

static void note_listening(struct gateway *g)
{
    g->listening = calloc(g->config->listen_n, sizeof *g->listening);
    CHECK(g->listening != NULL);
    for (; g->listening_n < g->config->listen_n; g->listening_n++) {
        const struct config_listen *from = &g->config->listen[g->listening_n];
        struct listening *l = &g->listening[g->listening_n];
        *l = (struct listening){strdup(from->text), from->tls != NULL};
        CHECK(l->text != NULL);
    }
}

enum err gateway_start(const struct gateway_options *o, struct gateway **ret, char why[512])
{
    struct gateway *g = calloc(1, sizeof *g);
    CHECK(g != NULL);
    g->options = *o;
    g->config = o->config;
    g->path = o->config->path ? strdup(o->config->path) : NULL;
    g->data_dir = strdup(o->config->data_dir);
    g->pid_fd = -1;
    g->generation = 1;
    g->config->catalog->generation = 1;
    g->threads_n = o->config->workers;
    g->threads = calloc(g->threads_n, sizeof *g->threads);
    g->workers = calloc(g->threads_n, sizeof(struct worker *));
    CHECK(g->threads && g->workers && g->data_dir);
    note_listening(g);
    sem_init(&g->acknowledged, 0, 0);
    pthread_barrier_init(&g->stopped, NULL, g->threads_n);
    raise_descriptor_limit();
    enum err e = start(g, why);
    if (e && !g->threads[0].running)
        discard(g); /* with a thread running already the process is about to end anyway */
    if (e)
        return e;
    *ret = g;
    return ERR_OK;
}

/* ---- reload ---- */

static void log_errors(const struct config_errors *errors)
{
    struct arena arena;
    arena_init(&arena, 1024);
    for (unsigned i = 0; i < errors->n; i++)
        log_line(LOG_ERROR, "reload refused, nothing changed", "where", LOG_SPAN(config_errors_line(errors, i, &arena)), NULL);
    arena_fini(&arena);
}

static bool same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

static bool same_ledger(const struct config *a, const struct config *b)
{
    const struct config_ledger *x = &a->ledger, *y = &b->ledger;
    return a->durability == b->durability && x->spool_bytes == y->spool_bytes && same_text(x->spool_path, y->spool_path) && x->keep_ns == y->keep_ns &&
           x->checkpoint_every == y->checkpoint_every && same_text(x->origin, y->origin);
}

/* What a running gateway cannot change: it goes on as it was, and says so. */
static void warn_of_unchangeable(const struct gateway *g, const struct config *next)
{
    const struct config *now = g->config;
    bool same = g->listening_n == next->listen_n && now->workers == next->workers && strcmp(g->data_dir, next->data_dir) == 0 &&
                same_ledger(now, next);
    for (unsigned i = 0; same && i < g->listening_n; i++)
        same = entry_of(next, &g->listening[i]) != NULL;
    if (!same)
        log_line(LOG_WARN, "listen, data, workers, durability and ledger take effect at the next start; the rest is in force", NULL);
}

bool gateway_reload(struct gateway *g)
{
    struct config *next = NULL;
    struct config_errors errors;
    if (!g->path) {
        log_line(LOG_WARN, "there is no config file to reload", NULL);
        return false;
    }
    config_errors_init(&errors);
    bool ok = config_load(g->path, g->options.world, &next, &errors) == ERR_OK;
    if (ok) {
        warn_of_unchangeable(g, next);
        next->catalog->generation = g->generation + 1;
        gateway_books_use(g->books, next, g->config);
        order_all(g, use_config, next);
        log_set_level(next->log.level);
        gateway_books_log_exchanges(g->books, next->log.exchanges);
        struct config *before = g->config;
        next->workers = before->workers;
        g->config = next;
        __atomic_store_n(&g->generation, g->generation + 1, __ATOMIC_RELAXED);
        log_line(LOG_INFO, "reloaded", "config", LOG_STR(g->path), "generation", LOG_INT(g->generation), NULL);
        config_free(before);
    } else {
        log_errors(&errors);
    }
    write_reload_status(g, ok, &errors);
    config_errors_fini(&errors);
    return ok;
}

/* ---- stop ---- */

static bool all_idle(struct gateway *g)
{
    order_all(g, ask_idle, NULL);
    for (unsigned i = 0; i < g->threads_n; i++)
        if (!g->threads[i].is_idle)
            return false;
    return true;
}

bool gateway_stop(struct gateway *g, uint64_t drain_ns, const bool *hurry)
{
    const uint64_t step_ns = 5 * NS_PER_MS;
    bool idle;
    __atomic_store_n(&g->draining, true, __ATOMIC_RELAXED);
    order_all(g, drain_worker, NULL);
    for (uint64_t waited = 0; !(idle = all_idle(g)) && waited < drain_ns && !(hurry && __atomic_load_n(hurry, __ATOMIC_RELAXED)); waited += step_ns)
        nanosleep(&(struct timespec){0, (long)step_ns}, NULL);
    order_all(g, stop_worker, NULL);
    for (unsigned i = 0; i < g->threads_n; i++) {
        pthread_join(g->threads[i].thread, NULL);
        g->threads[i].running = false;
    }
    discard(g);
    return idle;
}

struct sock_address gateway_address(const struct gateway *g, unsigned nth) { return worker_address(g->workers[0], nth); }
const struct gateway_view *gateway_view(const struct gateway *g) { return &g->view; }
