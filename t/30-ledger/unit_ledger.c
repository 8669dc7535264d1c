/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger's promises on a real disk, and what commands ask of it: once, in order, told on the right loop, balances and proofs that verify, postings,
 * compaction, clocks that jump, threads.
 */
#include "ledger_rig.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "io/epoll.h"
#include "ledger/hold.h"
#include "ledger/rollup.h"
#include "sim/sim_net.h"
#include "unit_directory.h"

#define MANY 3000u

static struct rig_audit audit;
static struct usage_record records[MANY];
static struct ledger_hold holds[MANY];
static struct ledger_ticket tickets[2 * MANY];
static enum err told[2 * MANY];
static unsigned told_n;

/* A directory of its own for each test. */
static const char *fresh(const char *name)
{
    const char *dir = in_directory(name);
    CHECK(mkdir(dir, 0700) == 0);
    return dir;
}

static const char *books_of(const char *dir)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/ledger.db", dir);
    return path;
}

static struct ledger *open_with(const struct ledger_options *o)
{
    char why[512];
    struct ledger *l = NULL;
    enum err e = ledger_open(o, &l, why);
    if (e)
        UNIT_FAIL("ledger_open: %s: %s", err_name(e), why);
    return l;
}

static void on_done(void *owner, enum err e)
{
    *(enum err *)owner = e;
    told_n++;
}

static void post(struct ledger *l, unsigned i, uint64_t counter, unsigned attempt)
{
    rig_record(&records[i], RIG_ISSUER, counter, attempt);
    told[i] = ERR_AGAIN;
    tickets[i] = (struct ledger_ticket){.op = LEDGER_POST, .record = &records[i], .done = on_done, .owner = &told[i]};
    ledger_submit(l, &tickets[i]);
}

static void hold(struct ledger *l, unsigned i, uint64_t counter)
{
    rig_hold(&holds[i], RIG_ISSUER, counter);
    tickets[MANY + i] = (struct ledger_ticket){.op = LEDGER_HOLD, .hold = &holds[i]};
    ledger_submit(l, &tickets[MANY + i]);
}

/* ---- once ---- */

/* h: hold, r: record, a: record of lost attempt 1, b: of lost attempt 2. x: the process dies and another starts. Then what is booked of the id. */
static const struct once_case {
    const char *steps;
    unsigned ends, recovered, lost_1, lost_2, duplicates;
} once_cases[] = {
    {"r", 1, 0, 0, 0, 0},
    {"hr", 1, 0, 0, 0, 0},
    {"rr", 1, 0, 0, 0, 1},
    {"hrr", 1, 0, 0, 0, 1},
    {"hhr", 1, 0, 0, 0, 0},
    {"hrh", 1, 0, 0, 0, 1},
    {"hrhr", 1, 0, 0, 0, 2},
    {"har", 1, 0, 1, 0, 0},
    {"haar", 1, 0, 1, 0, 1},
    {"habr", 1, 0, 1, 1, 0},
    {"hbar", 1, 0, 1, 1, 0},
    {"hra", 1, 0, 0, 0, 1},
    {"ar", 1, 0, 1, 0, 0},
    {"ahr", 1, 0, 1, 0, 0},
    {"hx", 1, 1, 0, 0, 0},
    {"hxr", 1, 1, 0, 0, 1},
    {"hxh", 1, 1, 0, 0, 1},
    {"hax", 1, 1, 1, 0, 0},
    {"haxa", 1, 1, 1, 0, 1},
    {"ax", 1, 1, 1, 0, 0},
    {"hrx", 1, 0, 0, 0, 0},
    {"rxr", 1, 0, 0, 0, 1},
};

static struct ledger *run_step(struct ledger *l, const struct ledger_options *o, char what, uint64_t counter, uint64_t *duplicates)
{
    struct ledger_status s;
    unsigned i = (unsigned)counter;
    if (what == 'h')
        hold(l, i, counter);
    else if (what != 'x')
        post(l, i, counter, what == 'r' ? 0 : what == 'a' ? 1 : 2);
    ledger_flush(l);
    ledger_status(l, &s);
    if (what != 'x')
        return l;
    *duplicates += s.duplicates;
    ledger_abandon(l);
    return open_with(o);
}

TEST(the_same_id_and_attempt_has_one_effect_in_whatever_order_it_comes)
{
    const char *dir = fresh("once");
    struct ledger_options o = {.dir = dir};
    struct ledger_status s;
    for (unsigned i = 0; i < COUNT_OF(once_cases); i++) {
        uint64_t duplicates = 0;
        struct ledger *l = open_with(&o);
        REQUIRE(l);
        for (const char *step = once_cases[i].steps; *step; step++)
            l = run_step(l, &o, *step, i + 1, &duplicates);
        ledger_status(l, &s);
        if (s.duplicates + duplicates != once_cases[i].duplicates)
            UNIT_FAIL("%s: %d duplicates", once_cases[i].steps, (int)(s.duplicates + duplicates));
        ledger_close(l);
    }
    ledger_close(open_with(&o));
    REQUIRE(rig_audit(books_of(dir), "once", &audit));
    for (unsigned i = 0; i < COUNT_OF(once_cases); i++) {
        const struct once_case *c = &once_cases[i];
        if (audit.booked[i + 1][0] != c->ends || audit.recovered[i + 1] != c->recovered || audit.booked[i + 1][1] != c->lost_1 || audit.booked[i + 1][2] != c->lost_2)
            UNIT_FAIL("%s: %u ends, %u recovered, %u and %u lost attempts", c->steps, audit.booked[i + 1][0], audit.recovered[i + 1], audit.booked[i + 1][1],
                      audit.booked[i + 1][2]);
    }
    EXPECT_EQ(audit.report.holds_open, 0);
}

/* ---- many ---- */

TEST(thousands_of_requests_over_several_flushes_and_starts_verify)
{
    const char *dir = fresh("many");
    struct ledger_options o = {.dir = dir, .checkpoint_every = 1000};
    struct ledger_status s;
    told_n = 0;
    for (unsigned from = 0; from < MANY; from += MANY / 3) {
        struct ledger *l = open_with(&o);
        REQUIRE(l);
        for (unsigned i = from; i < from + MANY / 3; i++) {
            hold(l, i, i + 1);
            post(l, i, i + 1, 0);
            if (i % 97 == 0)
                ledger_flush(l);
        }
        ledger_flush(l);
        ledger_status(l, &s);
        EXPECT_EQ(s.records, MANY / 3);
        EXPECT_EQ(s.holds_open, 0);
        EXPECT(s.state == LEDGER_OK && s.admitting && !s.why[0]);
        ledger_close(l);
    }
    EXPECT_EQ(told_n, MANY);
    REQUIRE(rig_audit(books_of(dir), "many", &audit));
    EXPECT_EQ(audit.report.usage, MANY);
    EXPECT(audit.report.checkpoints >= 3);
    for (unsigned i = 0; i < MANY; i++)
        EXPECT(told[i] == ERR_OK && audit.booked[i + 1][0] == 1);
}

TEST(files_of_the_ledger_are_for_its_user_alone)
{
    static const char *const names[] = {"ledger.db", "ledger.key", "ledger.spool"};
    const char *dir = fresh("private");
    struct ledger_options o = {.dir = dir, .spool_bytes = 65536};
    ledger_close(open_with(&o));
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        char path[300];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        EXPECT(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    }
}

TEST(a_lost_key_is_told_of_and_not_replaced_in_silence)
{
    char why[512], path[300];
    const char *dir = fresh("key");
    struct ledger_options o = {.dir = dir, .origin = "acme.example/ledger"};
    struct ledger *l = open_with(&o);
    ledger_close(l);
    snprintf(path, sizeof path, "%s/ledger.key", dir);
    REQUIRE(unlink(path) == 0);
    EXPECT_EQ(ledger_open(&o, &l, why), ERR_NOT_FOUND);
    EXPECT(strstr(why, "ledger.key") && strstr(why, "put it back"));
    FILE *f = fopen(path, "w");
    fputs("hello\n", f);
    fclose(f);
    EXPECT_EQ(ledger_open(&o, &l, why), ERR_SYNTAX);
    EXPECT(strstr(why, "no key"));
    unlink(path);
}

/* ---- postings ---- */

TEST(a_posting_is_posted_once_and_contradicted_never)
{
    const char *dir = fresh("posting");
    struct ledger_options o = {.dir = dir}, beside = {.dir = dir, .beside = true};
    struct posting_transfer t[] = {{"expenses:fees", "liabilities:payable:microsoft", "USD", 5 * MONEY_ONE}};
    struct posting p = {.cause = POSTING_FEE, .key = SPAN("close:azure:2026-11"), .memo = SPAN("fee"), .detail = SPAN("{}"), .transfers = t, .transfers_n = 1};
    struct ledger *l = open_with(&o), *other;
    uint64_t first = 99, again = 98;
    REQUIRE(l);
    post(l, 0, 1, 0);
    EXPECT_EQ(ledger_post(l, &p, &first), ERR_OK);
    EXPECT_EQ(told[0], ERR_OK); /* in order */
    EXPECT_EQ(ledger_post(l, &p, &again), ERR_OK);
    EXPECT_EQ(first, again);
    other = open_with(&beside); /* a command, while the gateway runs */
    REQUIRE(other);
    again = 97;
    EXPECT_EQ(ledger_post(other, &p, &again), ERR_OK);
    EXPECT_EQ(first, again);
    p.memo = SPAN("another fee");
    EXPECT_EQ(ledger_post(other, &p, &again), ERR_EXISTS);
    EXPECT_EQ(again, first);
    p.key = SPAN("close:azure:2026-12");
    EXPECT_EQ(ledger_post(other, &p, &again), ERR_OK);
    EXPECT_EQ(again, first + 1);
    ledger_close(other);
    post(l, 1, 2, 0); /* the gateway takes note and goes on behind it */
    ledger_flush(l);
    EXPECT_EQ(told[1], ERR_OK);
    t[0].amount = -1;
    EXPECT_EQ(ledger_post(l, &p, &again), ERR_RANGE);
    ledger_close(l);
    REQUIRE(rig_audit(books_of(dir), "posting", &audit));
    EXPECT_EQ(audit.report.postings, 2);
    EXPECT_EQ(audit.report.usage, 2);
}

TEST(a_command_beside_a_running_gateway_leaves_its_open_requests_alone)
{
    const char *dir = fresh("beside");
    struct ledger_options o = {.dir = dir}, beside = {.dir = dir, .beside = true};
    struct ledger_status s;
    struct ledger *l = open_with(&o), *other;
    REQUIRE(l);
    hold(l, 0, 1);
    ledger_flush(l);
    other = open_with(&beside);
    REQUIRE(other);
    ledger_status(other, &s);
    EXPECT_EQ(s.recovered, 0);
    EXPECT_EQ(s.holds_open, 1);
    EXPECT_EQ(ledger_checkpoint(other), ERR_OK);
    ledger_close(other);
    post(l, 0, 1, 0);
    ledger_close(l);
    REQUIRE(rig_audit(books_of(dir), "beside", &audit));
    EXPECT(audit.booked[1][0] == 1 && !audit.recovered[1]);
}

/* ---- the simulated world: time ---- */

static struct sim_world *world;
static struct loop *loop;

static struct ledger *open_in_world(struct ledger_options *o)
{
    world = sim_world_new(1, NULL);
    loop = sim_world_loop(world, "ledger");
    o->loop = loop;
    return open_with(o);
}

static void leave_world(void)
{
    loop_free(loop);
    sim_world_free(world);
}

static void on_alarm(void *owner) { sim_world_stop(world); }

static void wait_ms(uint64_t ms) /* an idle world would stand still */
{
    struct timer alarm;
    timer_init(&alarm, loop, on_alarm, NULL);
    timer_set_in(&alarm, ms * NS_PER_MS);
    sim_world_run(world, UINT64_MAX);
}

static struct entry last_entry;

static enum err take_last(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    last_entry = *e;
    return ERR_OK;
}

static int64_t last_booked_us(const char *dir)
{
    char why[512];
    struct books *b;
    CHECK(books_open(dir, &b, why) == ERR_OK && books_each(b, 0, UINT64_MAX, take_last, NULL) == ERR_OK);
    books_close(b);
    return entry_booked_us(&last_entry);
}

TEST(booked_time_never_falls_and_a_clock_that_jumps_ahead_and_back_books_nothing_in_the_future)
{
    const int64_t hour_us = (int64_t)3600 * 1000000;
    const char *dir = fresh("clock");
    struct ledger_options o = {.dir = dir};
    struct ledger *l = open_in_world(&o);
    REQUIRE(l);
    post(l, 0, 1, 0);
    wait_ms(1);
    int64_t first_us = last_booked_us(dir);
    sim_world_jump_wall(world, 1000 * hour_us); /* ahead: not believed at once */
    post(l, 1, 2, 0);
    wait_ms(1);
    EXPECT(last_booked_us(dir) >= first_us && last_booked_us(dir) < first_us + hour_us);
    EXPECT(ledger_time_us(l, loop_now_ns(o.loop)) < first_us + hour_us); /* nor by budgets, which would open the next month */
    sim_world_jump_wall(world, -1000 * hour_us);
    post(l, 2, 3, 0);
    wait_ms(1);
    EXPECT(last_booked_us(dir) < first_us + hour_us);
    sim_world_jump_wall(world, -hour_us); /* back: time stands, work does not */
    post(l, 3, 4, 0);
    wait_ms(1);
    EXPECT(told[3] == ERR_OK && last_booked_us(dir) >= first_us);
    EXPECT(ledger_time_us(l, loop_now_ns(o.loop)) >= last_booked_us(dir));
    sim_world_jump_wall(world, 2 * hour_us); /* ahead for good: believed after a minute */
    post(l, 4, 5, 0);
    wait_ms(61000);
    post(l, 5, 6, 0);
    wait_ms(1);
    EXPECT(last_booked_us(dir) >= first_us + hour_us);
    ledger_close(l);
    leave_world();
    REQUIRE(rig_audit(books_of(dir), "clock", &audit));
    EXPECT_EQ(audit.report.usage, 6);
}

TEST(a_checkpoint_is_signed_at_the_end_of_a_day)
{
    const char *dir = fresh("day");
    struct ledger_options o = {.dir = dir};
    struct ledger *l = open_in_world(&o);
    REQUIRE(l);
    post(l, 0, 1, 0);
    wait_ms(86400u * 1000);
    post(l, 1, 2, 0);
    wait_ms(1);
    ledger_abandon(l);
    leave_world();
    REQUIRE(rig_audit(books_of(dir), "day", &audit));
    EXPECT_EQ(audit.report.checkpoints, 1);
}

/* ---- compaction ---- */

struct totals {
    money buy, sell;
    int64_t requests, input;
};

static enum err add_row(void *owner, const struct rollup *r)
{
    struct totals *t = owner;
    t->buy += r->buy, t->sell += r->sell, t->requests += r->requests, t->input += r->count[USAGE_INPUT];
    return ERR_OK;
}

static struct totals totals_of(const char *dir)
{
    char why[512];
    struct books *b;
    struct totals t = {0};
    CHECK(books_open(dir, &b, why) == ERR_OK && books_each_rollup(b, INT64_MIN, INT64_MAX, add_row, &t) == ERR_OK);
    books_close(b);
    return t;
}

TEST(compaction_takes_old_entries_and_leaves_sums_and_proofs)
{
    const char *dir = fresh("compact");
    struct ledger_options o = {.dir = dir, .checkpoint_every = 700};
    struct ledger *l = open_in_world(&o);
    uint64_t n = 0;
    REQUIRE(l);
    for (unsigned i = 0; i < 2000; i++) { /* over some hours, so that rows cross the ends of tiles */
        hold(l, i, i + 1);
        post(l, i, i + 1, 0);
        wait_ms(7000);
    }
    struct totals before = totals_of(dir);
    EXPECT_EQ(ledger_compact(l, INT64_MAX, &n), ERR_OK);
    EXPECT(n > 1700 && n < 2000);
    EXPECT(rig_audit(books_of(dir), "compacted once", &audit));
    EXPECT(audit.report.summaries >= 1);
    EXPECT_EQ(audit.usage + n, 2000);
    struct totals after = totals_of(dir);
    EXPECT(before.buy == after.buy && before.sell == after.sell && before.requests == after.requests && before.input == after.input);
    hold(l, 2000, 2001); /* stays open: what is behind it stays, too */
    for (unsigned i = 2001; i < 2990; i++) {
        post(l, i, i + 1, 0);
        wait_ms(7000);
    }
    EXPECT_EQ(ledger_compact(l, INT64_MAX, &n), ERR_OK);
    EXPECT(n < 400);
    post(l, 2000, 2001, 0);
    wait_ms(3600 * 1000);
    post(l, 2999, 3000, 0);
    wait_ms(1);
    EXPECT_EQ(ledger_compact(l, INT64_MAX, &n), ERR_OK);
    EXPECT(n > 700);
    ledger_close(l);
    leave_world();
    EXPECT(rig_audit(books_of(dir), "compacted thrice", &audit));
    EXPECT_EQ(totals_of(dir).requests, 2991);
    l = open_with(&(struct ledger_options){.dir = dir});
    post(l, 0, 3000, 0); /* a duplicate of what is gone is still known */
    ledger_close(l);
    EXPECT(rig_audit(books_of(dir), "opened again", &audit));
    EXPECT_EQ(totals_of(dir).requests, 2991);
}

/* ---- threads ---- */

#define WORKERS 8u
#define EACH 400u

struct worker {
    pthread_t thread;
    struct ledger *ledger;
    struct loop *loop;
    unsigned number, told, wrong, next;
    struct ledger_hold holds[EACH];
    struct usage_record records[EACH];
    struct ledger_ticket hold_tickets[EACH], tickets[EACH];
    struct ticket_owner {
        struct worker *worker;
        unsigned i;
    } owners[EACH];
    struct timer timer;
};

static void on_told(void *owner, enum err e)
{
    struct ticket_owner *t = owner;
    struct worker *w = t->worker;
    w->wrong += e != ERR_OK || t->i != w->told || !pthread_equal(pthread_self(), w->thread);
    if (++w->told == EACH)
        loop_stop(w->loop);
}

static void submit_some(void *owner)
{
    struct worker *w = owner;
    for (unsigned n = 0; n < 17 && w->next < EACH; n++, w->next++) {
        unsigned i = w->next;
        uint64_t issuer = RIG_ISSUER + w->number, counter = i + 1;
        rig_hold(&w->holds[i], issuer, counter);
        rig_record(&w->records[i], issuer, counter, 0);
        w->owners[i] = (struct ticket_owner){w, i};
        w->hold_tickets[i] = (struct ledger_ticket){.op = LEDGER_HOLD, .hold = &w->holds[i], .loop = w->loop};
        w->tickets[i] = (struct ledger_ticket){.op = LEDGER_POST, .record = &w->records[i], .loop = w->loop, .done = on_told, .owner = &w->owners[i]};
        ledger_submit(w->ledger, &w->hold_tickets[i]);
        ledger_submit(w->ledger, &w->tickets[i]);
    }
    if (w->next < EACH)
        timer_set_in(&w->timer, 100 * NS_PER_US);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    timer_init(&w->timer, w->loop, submit_some, w);
    submit_some(w);
    loop_run(w->loop);
    timer_clear(&w->timer);
    return NULL;
}

static struct worker workers[WORKERS];
static atomic_uint seen;

static void on_record(void *owner, const struct usage_record *r) { atomic_fetch_add((atomic_uint *)owner, 1); }

/* Reads consistent books again and again while the ledger writes. */
static unsigned read_while_writing(const char *dir, unsigned until)
{
    unsigned rounds = 0;
    while (atomic_load(&seen) < until) {
        static struct rig_audit meanwhile;
        if (!rig_audit(books_of(dir), "while writing", &meanwhile))
            break;
        rounds++;
    }
    return rounds;
}

TEST(eight_workers_are_told_in_order_on_their_own_loops_while_books_are_read)
{
    const char *dir = fresh("threads");
    struct ledger_options o = {.dir = dir, .threaded = true, .spool_bytes = 1u * MIB, .on_record = on_record, .owner = &seen};
    struct ledger_status s;
    struct ledger *l = open_with(&o);
    REQUIRE(l);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.ledger = l, .number = i, .loop = loop_new(io_epoll(), NULL)};
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    EXPECT(read_while_writing(dir, WORKERS * EACH / 2) > 0);
    EXPECT_EQ(ledger_checkpoint(l), ERR_OK);
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        EXPECT_EQ(workers[i].told, EACH);
        EXPECT_EQ(workers[i].wrong, 0);
    }
    ledger_flush(l);
    ledger_status(l, &s);
    EXPECT_EQ(s.records, WORKERS * EACH);
    EXPECT_EQ(s.holds_open, 0);
    EXPECT(s.commits > 0 && s.commit_ns_total > 0);
    ledger_close(l);
    for (unsigned i = 0; i < WORKERS; i++)
        loop_free(workers[i].loop); /* until its thread has ended the ledger may still be waking a loop that has read its message already */
    REQUIRE(rig_audit(books_of(dir), "threads", &audit));
    EXPECT_EQ(audit.report.usage, WORKERS * EACH);
    EXPECT_EQ(audit.report.holds_open, 0);
}

TEST(what_was_submitted_before_the_close_is_durable_after_it)
{
    const char *dir = fresh("close");
    struct ledger_options o = {.dir = dir, .threaded = true};
    struct ledger *l = open_with(&o);
    REQUIRE(l);
    for (unsigned i = 0; i < 500; i++)
        post(l, i, i + 1, 0);
    ledger_close(l);
    for (unsigned i = 0; i < 500; i++)
        EXPECT_EQ(told[i], ERR_OK);
    REQUIRE(rig_audit(books_of(dir), "close", &audit));
    EXPECT_EQ(audit.report.usage, 500);
}

/* ---- another program holds the lock ---- */

static struct store *lock_store(const char *dir)
{
    char why[512];
    struct store *s;
    struct store_options o = {.path = books_of(dir), .mode = STORE_WRITE};
    CHECK(store_open(&o, &s, why) == ERR_OK && store_begin(s) == ERR_OK);
    return s;
}

static void wait_until_well(struct ledger *l)
{
    struct ledger_status s;
    do {
        usleep(20000);
        ledger_status(l, &s);
    } while (s.state != LEDGER_OK);
    EXPECT(s.admitting && !s.waiting && !s.spool_used);
}

TEST(a_store_that_another_program_locks_is_caught_up_with_from_the_spool)
{
    const char *dir = fresh("locked");
    struct ledger_options o = {.dir = dir, .threaded = true, .spool_bytes = 1u * MIB};
    struct ledger_status s;
    struct ledger *l = open_with(&o);
    REQUIRE(l);
    log_set_level(LOG_OFF);
    struct store *other = lock_store(dir);
    for (unsigned i = 0; i < 100; i++)
        post(l, i, i + 1, 0);
    ledger_flush(l);
    ledger_status(l, &s);
    EXPECT_EQ(s.state, LEDGER_SPOOLING);
    EXPECT(s.admitting && s.spool_records == 100 && strstr(s.why, "locked"));
    for (unsigned i = 0; i < 100; i++)
        EXPECT_EQ(told[i], ERR_OK);
    uint64_t seq;
    EXPECT_EQ(ledger_post(l, &(struct posting){.key = SPAN("k"), .transfers = NULL}, &seq), ERR_LEDGER);
    store_close(other);
    wait_until_well(l);
    post(l, 100, 101, 0);
    ledger_close(l);
    log_set_level(LOG_INFO);
    REQUIRE(rig_audit(books_of(dir), "locked", &audit));
    EXPECT_EQ(audit.report.usage, 101);
}

TEST(without_a_spool_callers_are_told_and_what_they_sent_is_kept)
{
    const char *dir = fresh("strict");
    struct ledger_options o = {.dir = dir, .threaded = true, .strict = true};
    struct ledger_status s;
    struct ledger *l = open_with(&o);
    REQUIRE(l);
    log_set_level(LOG_OFF);
    struct store *other = lock_store(dir);
    for (unsigned i = 0; i < 100; i++)
        post(l, i, i + 1, 0);
    ledger_flush(l);
    ledger_status(l, &s);
    EXPECT_EQ(s.state, LEDGER_FAILING);
    EXPECT_EQ(s.waiting, 100);
    EXPECT(!ledger_is_admitting(l));
    for (unsigned i = 0; i < 100; i++)
        EXPECT_EQ(told[i], ERR_NOT_RECORDED);
    post(l, 5, 6, 0); /* somebody asks again: still one effect */
    store_close(other);
    wait_until_well(l);
    EXPECT(ledger_is_admitting(l));
    ledger_close(l);
    log_set_level(LOG_INFO);
    REQUIRE(rig_audit(books_of(dir), "strict", &audit));
    EXPECT_EQ(audit.report.usage, 100);
}

/* ---- a limit on file sizes ---- */

TEST(a_limit_on_file_sizes_is_told_to_callers_and_does_not_end_the_process)
{
    const char *dir = fresh("limited");
    struct ledger_options o = {.dir = dir, .strict = true};
    struct rlimit before, small;
    signal(SIGXFSZ, SIG_DFL);
    struct ledger *l = open_with(&o);
    REQUIRE(l && getrlimit(RLIMIT_FSIZE, &before) == 0);
    log_set_level(LOG_OFF);
    small = (struct rlimit){100, before.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
    post(l, 0, 1, 0);
    ledger_flush(l);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    EXPECT_EQ(told[0], ERR_NOT_RECORDED);
    ledger_close(l); /* what waited in memory is written after all */
    log_set_level(LOG_INFO);
    REQUIRE(rig_audit(books_of(dir), "limited", &audit));
    EXPECT_EQ(audit.report.usage, 1);
    signal(SIGXFSZ, SIG_DFL);
}

/* ---- odd values ---- */

TEST(a_record_whose_values_fit_no_entry_is_refused_alone)
{
    const char *dir = fresh("odd");
    struct ledger_options o = {.dir = dir};
    struct ledger *l = open_with(&o);
    REQUIRE(l);
    log_set_level(LOG_OFF);
    post(l, 0, 1, 0);
    post(l, 1, ENTRY_COUNTER_MAX + 5, 0);
    records[1].counter = ENTRY_COUNTER_MAX + 5;
    post(l, 2, 2, 0);
    ledger_flush(l);
    log_set_level(LOG_INFO);
    EXPECT_EQ(told[0], ERR_OK);
    EXPECT_EQ(told[1], ERR_INTERNAL);
    EXPECT_EQ(told[2], ERR_OK);
    post(l, 3, 3, 0);
    records[3].usage.count[USAGE_REASONING] = INT64_MAX; /* a provider's word; twice of it is more than a row can sum */
    records[3].wall_us = -5;
    post(l, 4, 4, 0);
    records[4].usage.count[USAGE_REASONING] = INT64_MAX;
    records[3].buy.unpriced = records[4].buy.unpriced = records[3].sell.unpriced = records[4].sell.unpriced = 1u << USAGE_REASONING;
    ledger_flush(l);
    EXPECT(told[3] == ERR_OK && told[4] == ERR_OK);
    ledger_close(l);
    REQUIRE(rig_audit(books_of(dir), "odd", &audit));
    EXPECT_EQ(audit.report.usage, 4);
}

TEST(names_that_clients_choose_end_as_other_when_there_are_too_many)
{
    const char *dir = fresh("names");
    struct ledger_options o = {.dir = dir};
    struct ledger *l = open_with(&o);
    struct books *b;
    char why[512];
    REQUIRE(l);
    for (unsigned i = 0; i < 70000; i++) {
        struct ledger_hold *h = &holds[i % 1000];
        rig_hold(h, RIG_ISSUER, 1);
        snprintf(h->model_asked, sizeof h->model_asked, "made-up-%u", i);
        tickets[i % 1000] = (struct ledger_ticket){.op = LEDGER_HOLD, .hold = h};
        ledger_submit(l, &tickets[i % 1000]);
        if (i % 1000 == 999)
            ledger_flush(l);
    }
    ledger_close(l);
    REQUIRE(books_open(dir, &b, why) == ERR_OK);
    EXPECT(books_name_id(b, SPAN("made-up-65000")));
    EXPECT(!books_name_id(b, SPAN("made-up-69999")));
    EXPECT(books_name_id(b, SPAN("~other")));
    books_close(b);
}

UNIT_MAIN
