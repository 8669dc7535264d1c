/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening, restoring, telling, keeping. What was spent in the running periods is read off the ledger's rollups: there is no other counter
 * on disk, so that budgets and statements cannot disagree.
 */
#include "serve/gateway_books.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "ledger/books.h"

#define KEEP_FIRST_S 60        /* after the start, and then */
#define KEEP_EVERY_S 86400
#define UNPRICED_SLOTS 256u

struct unpriced_slot {         /* of the writer's thread: a model is complained of once a minute */
    uint64_t model;
    int64_t minute;
};

struct gateway_books {
    struct ledger *ledger;     /* NULL: nothing is booked */
    struct budget_book *budgets;
    char *dir;
    bool is_temporary;
    bool log_exchanges;        /* relaxed; the writer's thread reads it */
    void (*on_record)(void *owner, const struct usage_record *r);
    void *owner;
    struct unpriced_slot unpriced[UNPRICED_SLOTS];
    pthread_mutex_t unbooked;  /* without a ledger the workers are what its thread was: one at a time */
    uint64_t keep_ns;          /* 0: everything is kept, and there is no thread */
    pthread_t keeper;
    bool keeper_runs, ending;
    pthread_mutex_t lock;
    pthread_cond_t end;
};

/* ---- what is logged ---- */

static void log_exchange(const struct usage_record *r)
{
    char cost[MONEY_TEXT_BYTES];
    bool counted = r->usage.source == USAGE_SOURCE_REPORTED || r->usage.source == USAGE_SOURCE_ESTIMATED;
    log_line(LOG_INFO, "exchange", "id", LOG_STR(r->id), "outcome", LOG_STR(record_outcome_name((enum record_outcome)r->outcome)), "status",
             LOG_INT(r->status), "key", LOG_STR(r->key), "model", LOG_STR(r->model_asked), "provider",
             LOG_STR(r->attempts_n ? r->attempts[r->attempts_n - 1].provider : ""), "attempts", LOG_INT(r->attempts_n), "usage",
             LOG_STR(usage_source_name(r->usage.source)), "first_byte_us", LOG_INT(r->first_byte_us), "duration_us", LOG_INT(r->duration_us),
             counted ? "input_tokens" : NULL, LOG_INT(usage_total(&r->usage, USAGE_SIDE_INPUT)), "output_tokens",
             LOG_INT(usage_total(&r->usage, USAGE_SIDE_OUTPUT)), r->buy.line ? "cost" : NULL, LOG_SPAN(money_format(cost, r->buy.amount, 2)), "currency",
             LOG_STR(r->buy.line ? r->buy.line->book->currency : ""), NULL);
}

static void classes_text(uint32_t classes, char out[512])
{
    size_t n = 0;
    out[0] = 0;
    for (int c = 0; c < USAGE_CLASSES; c++)
        if (classes >> c & 1)
            n += (size_t)snprintf(out + n, 512 - n, "%s%s", n ? ", " : "", usage_class_name((enum usage_class)c));
}

static bool is_news(struct gateway_books *k, const struct attempt_record *a, int64_t wall_us)
{
    uint64_t model = span_hash(span_str(a->model), span_hash(span_str(a->provider), 1));
    struct unpriced_slot *slot = &k->unpriced[model % UNPRICED_SLOTS];
    int64_t minute = wall_us / 60000000 + 1;
    if (slot->model == model && slot->minute == minute)
        return false;
    *slot = (struct unpriced_slot){model, minute};
    return true;
}

static void log_unpriced(struct gateway_books *k, const struct usage_record *r)
{
    const struct attempt_record *a = &r->attempts[r->attempts_n - 1];
    char classes[512];
    if (!is_news(k, a, r->wall_us))
        return;
    classes_text(r->buy.unpriced, classes);
    log_line(LOG_WARN, "usage without a price", "provider", LOG_STR(a->provider), "model", LOG_STR(a->model), "classes", LOG_STR(classes), "id", LOG_STR(r->id),
             "todo", LOG_STR("add its prices to a book under `prices:`; what was used is kept and can be priced later"), NULL);
}

static void on_record(void *owner, const struct usage_record *r)
{
    struct gateway_books *k = owner;
    if (__atomic_load_n(&k->log_exchanges, __ATOMIC_RELAXED) && log_level() >= LOG_INFO && r->attempt == 0)
        log_exchange(r);
    if (r->buy.unpriced && r->attempts_n)
        log_unpriced(k, r);
    if (k->on_record)
        k->on_record(k->owner, r);
}

void gateway_books_unbooked(void *books, const struct usage_record *r)
{
    struct gateway_books *k = books;
    pthread_mutex_lock(&k->unbooked);
    on_record(k, r);
    pthread_mutex_unlock(&k->unbooked);
}

static void on_budget(void *owner, const struct budget *b, struct span who, unsigned percent, money spent, const struct period *p)
{
    char spent_text[MONEY_TEXT_BYTES], limit_text[MONEY_TEXT_BYTES];
    log_line(LOG_WARN, percent == BUDGET_REFUSES ? "budget exhausted" : "budget level reached", "budget", LOG_STR(b->name), "for", LOG_STR(budget_scope_name(b->scope)),
             "who", LOG_SPAN(who.n ? who : b->who), "percent", LOG_INT(percent), "spent", LOG_SPAN(money_format(spent_text, spent, 2)), "limit",
             LOG_SPAN(money_format(limit_text, b->limit, 2)), "currency", LOG_STR(b->currency), "period", LOG_STR(p->label), "hard",
             LOG_STR(b->hard ? "true" : "false"), NULL);
}

/* ---- the budgets, from what is booked ---- */

struct restoring {
    struct budget_book *budgets;
    struct books *from;
    const struct budget_set *set;
};

static const char *currency_of(const struct price_line *line) { return line ? line->book->currency : NULL; }

static enum err restore_row(void *owner, const struct rollup *r)
{
    const struct restoring *s = owner;
    const struct price_line *buy = books_price(s->from, r->buy_price), *sell = books_price(s->from, r->sell_price);
    const struct budget_facts facts = {
        .key = books_name(s->from, r->key), .department = books_name(s->from, r->department), .party = books_name(s->from, r->party),
        .provider = books_name(s->from, r->provider), .seller = buy ? span_str(buy->book->seller) : SPAN_NONE,
        .model = books_name(s->from, r->model_asked), .now_us = r->bucket_us,
    };
    bool has_buyer = account_buyer(facts.department, facts.party).n > 0; /* without one, his budgets count what we pay */
    const struct budget_amounts posted = {
        .buy = r->buy, .buy_currency = currency_of(buy),
        .sell = has_buyer ? r->sell : r->buy, .sell_currency = currency_of(has_buyer ? sell : buy),
    };
    return budget_restore(s->budgets, s->set, &facts, &posted);
}

/* The quarter of an hour in which the earliest of the running periods began. */
static int64_t earliest(const struct budget_set *set, int64_t now_us)
{
    int64_t from = now_us;
    for (unsigned i = 0; i < set->budgets_n; i++) {
        struct period p;
        period_at(set->budgets[i].zone, set->budgets[i].unit, now_us, &p);
        from = p.from_us < from ? p.from_us : from;
    }
    return from - ((from % ROLLUP_US) + ROLLUP_US) % ROLLUP_US;
}

enum err gateway_books_restore(struct budget_book *k, const char *dir, const struct budget_set *set, int64_t now_us, char why[512])
{
    struct restoring s = {.budgets = k, .set = set};
    if (!set->budgets_n)
        return ERR_OK;
    enum err e = books_open(dir, &s.from, why);
    if (e)
        return e;
    e = books_each_rollup(s.from, earliest(set, now_us), INT64_MAX, restore_row, &s);
    if (e)
        snprintf(why, 512, "what the budgets of the running periods have spent cannot be read: %.400s", books_why(s.from));
    books_close(s.from);
    return e;
}

/* Its counters go on counting, whatever else was changed: that is what policy/budget.h knows them by. */
static bool is_same(const struct budget *a, const struct budget *b)
{
    return strcmp(a->name, b->name) == 0 && a->each == b->each && a->unit == b->unit && strcmp(zone_name(a->zone), zone_name(b->zone)) == 0 &&
           strcmp(a->currency, b->currency) == 0;
}

static bool has_budget(const struct budget_set *set, const struct budget *b)
{
    for (unsigned i = 0; i < set->budgets_n; i++)
        if (is_same(&set->budgets[i], b))
            return true;
    return false;
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void gateway_books_use(struct gateway_books *k, const struct config *next, const struct config *last)
{
    const struct budget_set *all = &next->catalog->budgets;
    struct budget_set fresh = {.budgets = calloc(all->budgets_n + 1, sizeof *fresh.budgets)};
    char why[512];
    CHECK(fresh.budgets != NULL);
    for (unsigned i = 0; i < all->budgets_n; i++)
        if (!has_budget(&last->catalog->budgets, &all->budgets[i]))
            fresh.budgets[fresh.budgets_n++] = all->budgets[i];
    if (fresh.budgets_n && k->ledger) {
        ledger_flush(k->ledger); /* what was answered so far is on disk then */
        if (gateway_books_restore(k->budgets, k->dir, &fresh, now_us(), why) != ERR_OK)
            log_line(LOG_ERROR, "new budgets begin at zero", "why", LOG_STR(why), NULL);
    }
    free(fresh.budgets);
}

/* ---- keeping ---- */

static void compact(struct gateway_books *k)
{
    uint64_t n = 0;
    enum err e = ledger_compact(k->ledger, now_us() - (int64_t)(k->keep_ns / 1000), &n);
    if (e)
        log_line(LOG_WARN, "old requests could not be compacted", "why", LOG_STR(err_sentence(e)), NULL);
    else if (n)
        log_line(LOG_INFO, "old requests compacted", "requests", LOG_INT(n), NULL);
}

static void *run_keeper(void *arg)
{
    struct gateway_books *k = arg;
    time_t wait_s = KEEP_FIRST_S;
    pthread_mutex_lock(&k->lock);
    while (!k->ending) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += wait_s;
        int waited = 0;
        while (!k->ending && waited != ETIMEDOUT)
            waited = pthread_cond_timedwait(&k->end, &k->lock, &until);
        if (k->ending)
            break;
        pthread_mutex_unlock(&k->lock);
        compact(k);
        wait_s = KEEP_EVERY_S;
        pthread_mutex_lock(&k->lock);
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

static void start_keeper(struct gateway_books *k)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->end, &monotonic);
    pthread_condattr_destroy(&monotonic);
    k->keeper_runs = k->keep_ns && pthread_create(&k->keeper, NULL, run_keeper, k) == 0;
    if (k->keep_ns && !k->keeper_runs)
        log_line(LOG_ERROR, "old requests will not be compacted: the thread for it cannot be started", NULL);
}

static void stop_keeper(struct gateway_books *k)
{
    pthread_mutex_lock(&k->lock);
    k->ending = true;
    pthread_cond_signal(&k->end);
    pthread_mutex_unlock(&k->lock);
    if (k->keeper_runs)
        pthread_join(k->keeper, NULL);
    pthread_cond_destroy(&k->end);
    pthread_mutex_destroy(&k->lock);
}

/* ---- a directory for one run ---- */

static enum err make_temporary(struct gateway_books *k, char why[512])
{
    const char *tmp = getenv("TMPDIR");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%.3000s/entente-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(path)) {
        snprintf(why, 512, "%.300s cannot be made for the ledger of this run: %s; set TMPDIR", path, strerror(errno));
        return ERR_IO;
    }
    k->is_temporary = true;
    k->dir = strdup(path);
    CHECK(k->dir != NULL);
    return ERR_OK;
}

static void remove_temporary(const struct gateway_books *k)
{
    char path[PATH_MAX];
    DIR *dir = opendir(k->dir);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        snprintf(path, sizeof path, "%.3500s/%.255s", k->dir, entry->d_name);
        (void)unlink(path); /* "." and ".." stay, being directories */
    }
    if (dir)
        closedir(dir);
    (void)rmdir(k->dir);
}

/* ---- open and close ---- */

static enum err open_ledger(struct gateway_books *k, const struct gateway_books_options *o, char why[512])
{
    const struct config_ledger *c = &o->config->ledger;
    const struct ledger_options options = {
        .dir = k->dir, .spool_path = k->is_temporary ? NULL : c->spool_path, .spool_bytes = k->is_temporary ? 0 : c->spool_bytes,
        .strict = o->config->durability == DURABILITY_STRICT, .threaded = true, .loop = o->loop, .origin = c->origin,
        .checkpoint_every = c->checkpoint_every, .on_record = on_record, .owner = k,
    };
    struct ledger_status status;
    enum err e = ledger_open(&options, &k->ledger, why);
    if (e)
        return e;
    ledger_status(k->ledger, &status);
    log_line(status.recovered ? LOG_WARN : LOG_INFO, "ledger opened", "entries", LOG_INT(status.log_size), "recovered", LOG_INT(status.recovered), NULL);
    return ERR_OK;
}

/* The ledger, and the budgets as it has them. */
static enum err open_all(struct gateway_books *k, const struct gateway_books_options *o, char why[512])
{
    if (o->config->durability == DURABILITY_NONE) {
        k->keep_ns = 0;
        log_line(LOG_WARN, "durability: none: nothing is booked", "todo", LOG_STR("write standard or strict before a request costs money"), NULL);
        return ERR_OK;
    }
    enum err e = open_ledger(k, o, why);
    return e ? e : gateway_books_restore(k->budgets, k->dir, &o->config->catalog->budgets, now_us(), why);
}

enum err gateway_books_open(const struct gateway_books_options *o, struct gateway_books **ret, char why[512])
{
    struct gateway_books *k = calloc(1, sizeof *k);
    CHECK(k != NULL);
    k->on_record = o->on_record;
    k->owner = o->owner;
    k->log_exchanges = o->config->log.exchanges;
    k->dir = o->data_dir ? strdup(o->data_dir) : NULL;
    k->keep_ns = o->data_dir ? o->config->ledger.keep_ns : 0;
    k->budgets = budget_book_new(on_budget, k);
    pthread_mutex_init(&k->unbooked, NULL);
    enum err e = o->data_dir ? ERR_OK : make_temporary(k, why);
    if (!e)
        e = open_all(k, o, why);
    start_keeper(k);
    if (e)
        gateway_books_close(k);
    else
        *ret = k;
    return e;
}

void gateway_books_close(struct gateway_books *k)
{
    if (!k)
        return;
    stop_keeper(k);
    ledger_close(k->ledger);
    budget_book_free(k->budgets);
    pthread_mutex_destroy(&k->unbooked);
    if (k->is_temporary)
        remove_temporary(k);
    free(k->dir);
    free(k);
}

struct ledger *gateway_books_ledger(const struct gateway_books *k) { return k->ledger; }
struct budget_book *gateway_books_budgets(const struct gateway_books *k) { return k->budgets; }
void gateway_books_log_exchanges(struct gateway_books *k, bool on) { __atomic_store_n(&k->log_exchanges, on, __ATOMIC_RELAXED); }
