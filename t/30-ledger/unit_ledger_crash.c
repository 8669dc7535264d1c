/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger on a disk that fails: power cut at every write and sync, with what was not synced kept, lost, torn or reordered; every call refused once,
 * thrice, and for good, in both durabilities. After each, the books are read as a stranger would: what was told as recorded is there once.
 *
 * LEDGER_SEEDS=N: that many seeds, and every call is refused; else it is every fourth, the first of them drawn.
 */
#include "ledger_rig.h"

#include "base/log.h"
#include "sim/sim_net.h"
#include "sim/sim_vfs.h"
#include "unit_directory.h"

#define REQUESTS 14u
#define STEPS (REQUESTS + 2)

enum told { UNTOLD, TOLD_OK, TOLD_BAD };

struct request {
    struct ledger_hold hold;
    struct usage_record lost, record;
    struct ledger_ticket tickets[3]; /* hold, lost attempt, record */
    enum told told[3];
    bool submitted[3];
};

struct run {
    struct sim_world *world;
    struct loop *loop;
    struct sim_vfs *vfs;
    struct ledger *l;
    struct ledger_options options;
    struct request requests[REQUESTS + 1]; /* by counter, from 1 */
    uint64_t random;
    char at[160];
};

static struct run run;
static struct rig_audit audit;

static uint64_t draw(uint64_t n)
{
    run.random = run.random * 6364136223846793005u + 1442695040888963407u;
    return (run.random >> 33) % n;
}

static unsigned seeds(unsigned usual)
{
    const char *wanted = getenv("LEDGER_SEEDS");
    return wanted ? (unsigned)atoi(wanted) : usual;
}

static void on_done(void *owner, enum err e) { *(enum told *)owner = e ? TOLD_BAD : TOLD_OK; }

static void begin(uint64_t seed, bool strict)
{
    log_set_level(LOG_OFF);
    memset(&run, 0, sizeof run);
    run.random = seed;
    run.world = sim_world_new(seed + 1, NULL);
    run.loop = sim_world_loop(run.world, "ledger");
    run.vfs = sim_vfs_new("sim-crash", seed + 1);
    run.options = (struct ledger_options){.dir = "d", .spool_bytes = strict ? 0 : 256 * 1024, .strict = strict, .loop = run.loop, .vfs = "sim-crash",
                                          .disk = sim_vfs_disk(run.vfs), .checkpoint_every = 10};
}

static void end(void)
{
    loop_free(run.loop);
    sim_world_free(run.world);
    sim_vfs_free(run.vfs);
    log_set_level(LOG_INFO);
}

static bool open_ledger(void)
{
    char why[512];
    enum err e = ledger_open(&run.options, &run.l, why);
    if (e)
        run.l = NULL;
    return !e;
}

static void on_alarm(void *owner) { sim_world_stop(run.world); }

static void wait_ms(uint64_t ms) /* an idle world would stand still */
{
    struct timer alarm;
    timer_init(&alarm, run.loop, on_alarm, NULL);
    timer_set_in(&alarm, ms * NS_PER_MS);
    sim_world_run(run.world, UINT64_MAX);
}

static void submit(unsigned counter, unsigned which)
{
    struct request *q = &run.requests[counter];
    struct ledger_ticket *t = &q->tickets[which];
    *t = (struct ledger_ticket){.op = which ? LEDGER_POST : LEDGER_HOLD, .hold = &q->hold, .record = which == 1 ? &q->lost : &q->record, .loop = run.loop,
                                .done = which || run.options.strict ? on_done : NULL, .owner = &q->told[which]};
    q->submitted[which] = true;
    ledger_submit(run.l, t);
}

/* Step k opens request k, loses an attempt of every third, and ends request k - 2 but for every fifth, which is never ended. */
static void step(unsigned k)
{
    if (k <= REQUESTS) {
        rig_hold(&run.requests[k].hold, RIG_ISSUER, k);
        rig_record(&run.requests[k].lost, RIG_ISSUER, k, 1);
        rig_record(&run.requests[k].record, RIG_ISSUER, k, 0);
        submit(k, 0);
    }
    if (k <= REQUESTS && k % 3 == 0)
        submit(k, 1);
    if (k > 2 && (k - 2) % 5)
        submit(k - 2, 2);
    wait_ms(k == 8 ? 6000 : 1); /* long enough for a flush of its own */
}

static bool is_off(void) { return run.vfs && sim_vfs_was_hit(run.vfs); }

/* Until the disk is off, or the end. */
static void work(unsigned from, bool stop_when_hit)
{
    for (unsigned k = from; k <= STEPS && !(stop_when_hit && is_off()); k++)
        step(k);
}

static const char *books_on_disk(void)
{
    const char *path = in_directory("ledger.db");
    struct span bytes = sim_vfs_file(run.vfs, "d/ledger.db");
    FILE *f = fopen(path, "wb");
    (void)remove(in_directory("ledger.db-wal")); /* of the books before these */
    (void)remove(in_directory("ledger.db-shm"));
    CHECK(f && fwrite(bytes.p, 1, bytes.n, f) == bytes.n && fclose(f) == 0);
    EXPECT_EQ(sim_vfs_file(run.vfs, "d/ledger.db-wal").n, 0);
    return path;
}

/* Tickets are taken in order: when one is told, the holds that were submitted before it are as durable. */
static unsigned last_durable_hold(void)
{
    unsigned last = 0;
    for (unsigned c = 1; c <= REQUESTS; c++) {
        const struct request *q = &run.requests[c];
        unsigned before = q->told[2] == TOLD_OK ? c + 2 : q->told[0] == TOLD_OK || q->told[1] == TOLD_OK ? c : 0;
        last = before > last ? before : last;
    }
    return last;
}

/* all: nothing died, so what was told as not recorded must be there, too. */
static void check(bool all)
{
    int failures = unit_failures;
    if (!rig_audit(books_on_disk(), run.at, &audit))
        UNIT_FAIL("%s", run.at);
    if (audit.report.holds_open)
        UNIT_FAIL("%s: %" PRIu64 " holds are open", run.at, audit.report.holds_open);
    for (unsigned c = 1; c <= REQUESTS; c++) {
        const struct request *q = &run.requests[c];
        unsigned ended = audit.booked[c][0], lost = audit.booked[c][1];
        bool must_end = c <= last_durable_hold() || (all && (q->submitted[0] || q->submitted[2]));
        bool by_record = q->told[2] == TOLD_OK || (all && q->submitted[2]);
        if (ended > 1 || lost > 1 || (must_end && ended != 1) || (by_record && audit.recovered[c]) || ((q->told[1] == TOLD_OK || (all && q->submitted[1])) && lost != 1))
            UNIT_FAIL("%s: request %u: %u ends (%u recovered), %u lost attempts; told %d %d %d", run.at, c, ended, audit.recovered[c], lost, q->told[0],
                      q->told[1], q->told[2]);
    }
    if (unit_failures > failures + 20)
        exit(1);
}

/* Cuts the power now, and again at random calls while it starts, until it has started and closed. */
static void reboot_until_well(void)
{
    for (unsigned more = (unsigned)draw(3);; more = more ? more - 1 : 0) {
        if (run.l)
            ledger_abandon(run.l);
        run.l = NULL;
        sim_vfs_reboot(run.vfs, (enum sim_vfs_loss)draw(SIM_VFS_LOSSES));
        if (more)
            sim_vfs_fail(run.vfs, SIM_VFS_POWER, 1 + draw(40), 1, NULL);
        if (open_ledger() && !is_off()) {
            ledger_close(run.l); /* may meet the power cut */
            run.l = NULL;
            if (!more || !sim_vfs_was_hit(run.vfs))
                break;
        }
        if (!more && !run.l) {
            UNIT_FAIL("%s: it does not open again", run.at);
            break;
        }
    }
    sim_vfs_heal(run.vfs);
}

/* ---- power cuts ---- */

static bool cut_at(uint64_t n, uint64_t seed, bool strict)
{
    begin(seed * 1000003 + n, strict);
    snprintf(run.at, sizeof run.at, "seed %llu, %s, power cut at change %llu", (unsigned long long)seed, strict ? "strict" : "standard", (unsigned long long)n);
    sim_vfs_fail(run.vfs, SIM_VFS_POWER, n, 1, NULL);
    if (open_ledger())
        work(1, true);
    if (run.l && !is_off()) {
        ledger_close(run.l);
        run.l = NULL;
    }
    bool hit = is_off();
    reboot_until_well();
    if (open_ledger()) { /* what recovery left is whole: one more start and stop changes nothing */
        ledger_close(run.l);
        run.l = NULL;
    }
    check(false);
    end();
    return hit;
}

static void cut_everywhere(bool strict)
{
    for (uint64_t seed = 1; seed <= seeds(1); seed++) {
        uint64_t n = 1;
        while (cut_at(n, seed, strict))
            n++;
        printf("# seed %llu: %llu power cuts\n", (unsigned long long)seed, (unsigned long long)n - 1);
    }
}

TEST(nothing_told_as_recorded_is_lost_or_doubled_by_a_power_cut_at_any_write) { cut_everywhere(false); }
TEST(the_same_under_strict_durability) { cut_everywhere(true); }

/* ---- refusals ---- */

struct refusal {
    enum sim_vfs_fault fault;
    uint64_t times;
    const char *only;
    bool strict;
};

static void describe(const struct refusal *f, uint64_t n, uint64_t seed)
{
    static const char *const names[] = {"EIO", "disk full", "failed sync", "failed read"};
    snprintf(run.at, sizeof run.at, "seed %llu, %s: %s at call %llu, %llu times, %s", (unsigned long long)seed, f->strict ? "strict" : "standard",
             names[f->fault], (unsigned long long)n, (unsigned long long)f->times, f->only ? f->only : "all files");
}

/* The disk gets well, and whatever was accepted is written without help. */
static void get_well(void)
{
    struct ledger_status s;
    sim_vfs_heal(run.vfs);
    if (!run.l && !open_ledger()) {
        UNIT_FAIL("%s: it does not open when the disk is well", run.at);
        return;
    }
    wait_ms(5000);
    ledger_status(run.l, &s);
    if (s.state != LEDGER_OK || !s.admitting || s.waiting || s.spool_used || s.why[0])
        UNIT_FAIL("%s: state %d, waiting %" PRIu64 ", spool %" PRIu64 ", why: %s", run.at, s.state, s.waiting, s.spool_used, s.why);
    ledger_close(run.l);
    run.l = NULL;
    if (open_ledger()) /* ends what the script left open */
        ledger_close(run.l);
    run.l = NULL;
}

static void expect_manners(const struct refusal *f)
{
    struct ledger_status s;
    ledger_status(run.l, &s);
    if (f->strict && s.state == LEDGER_SPOOLING)
        UNIT_FAIL("%s: a strict ledger spools", run.at);
    if (s.state == LEDGER_FAILING && s.admitting)
        UNIT_FAIL("%s: admitting while nothing can be written", run.at);
    if (s.state != LEDGER_OK && !s.why[0])
        UNIT_FAIL("%s: no word of why", run.at);
    for (unsigned c = 1; c <= REQUESTS; c++)
        for (unsigned i = 0; i < 3; i++)
            if (run.requests[c].submitted[i] && run.requests[c].tickets[i].done && run.requests[c].told[i] == UNTOLD)
                UNIT_FAIL("%s: a ticket of request %u was not told anything", run.at, c);
}

static bool refuse_at(const struct refusal *f, uint64_t n, uint64_t seed)
{
    begin(seed * 1000003 + n, f->strict);
    describe(f, n, seed);
    sim_vfs_fail(run.vfs, f->fault, n, f->times, f->only);
    bool opened = open_ledger();
    bool dies = opened && draw(3) == 0;
    if (opened) {
        work(1, false);
        expect_manners(f);
    }
    bool hit = is_off();
    if (dies)
        reboot_until_well();
    else
        get_well();
    check(opened && !dies);
    end();
    return hit;
}

static void refuse_everywhere(bool strict)
{
    static const enum sim_vfs_fault faults[] = {SIM_VFS_EIO, SIM_VFS_FULL, SIM_VFS_SYNC, SIM_VFS_READ};
    static const uint64_t times[] = {1, 3, UINT64_MAX};
    unsigned runs = 0;
    for (uint64_t seed = 1; seed <= seeds(1); seed++)
        for (unsigned i = 0; i < COUNT_OF(faults) * COUNT_OF(times) * 2; i++) {
            struct refusal f = {faults[i % 4], times[i / 4 % 3], i / 12 ? "ledger.db" : NULL, strict};
            uint64_t stride = getenv("LEDGER_SEEDS") ? 1 : 4;
            for (uint64_t n = 1 + i % stride; refuse_at(&f, n, seed); n += f.fault == SIM_VFS_READ ? 3 * stride : stride)
                runs++;
        }
    printf("# %u refusals\n", runs);
}

TEST(a_disk_that_refuses_any_call_never_makes_the_books_wrong) { refuse_everywhere(false); }
TEST(the_same_without_a_spool) { refuse_everywhere(true); }

/* ---- the spool ---- */

TEST(with_a_spool_callers_do_not_notice_that_the_store_refuses)
{
    struct ledger_status s;
    begin(5, false);
    snprintf(run.at, sizeof run.at, "store refuses");
    REQUIRE(open_ledger());
    sim_vfs_fail(run.vfs, SIM_VFS_EIO, 1, UINT64_MAX, "ledger.db");
    work(1, false);
    ledger_status(run.l, &s);
    EXPECT_EQ(s.state, LEDGER_SPOOLING);
    EXPECT(s.admitting && s.spool_used > 0);
    EXPECT_EQ(s.spool_records, 16); /* 12 requests that ended, 4 lost attempts */
    for (unsigned c = 1; c <= REQUESTS; c++)
        EXPECT(!run.requests[c].submitted[2] || run.requests[c].told[2] == TOLD_OK);
    get_well();
    check(true);
    end();
}

TEST(a_spool_that_is_full_stops_admission_and_keeps_what_was_admitted)
{
    struct ledger_status s;
    static struct usage_record records[1500];
    static struct ledger_ticket tickets[1500];
    static enum told told[1500];
    unsigned ok = 0, admitted_until = 0;
    begin(6, false);
    snprintf(run.at, sizeof run.at, "spool full");
    memset(told, 0, sizeof told);
    run.options.spool_bytes = 64 * 1024;
    REQUIRE(open_ledger());
    sim_vfs_fail(run.vfs, SIM_VFS_FULL, 1, UINT64_MAX, NULL);
    for (unsigned i = 0; i < COUNT_OF(records); i++) {
        rig_record(&records[i], RIG_ISSUER, i + 1, 0);
        tickets[i] = (struct ledger_ticket){.op = LEDGER_POST, .record = &records[i], .loop = run.loop, .done = on_done, .owner = &told[i]};
        admitted_until += ledger_is_admitting(run.l);
        ledger_submit(run.l, &tickets[i]);
        wait_ms(1);
    }
    ledger_status(run.l, &s);
    EXPECT_EQ(s.state, LEDGER_FAILING);
    for (unsigned i = 0; i < COUNT_OF(told); i++)
        ok += told[i] == TOLD_OK;
    EXPECT(admitted_until < ok); /* room was kept for those under way */
    EXPECT_EQ(s.waiting + ok, COUNT_OF(records));
    EXPECT_EQ(s.waiting + s.spool_records, COUNT_OF(records));
    get_well();
    REQUIRE(rig_audit(books_on_disk(), run.at, &audit));
    for (unsigned i = 1; i <= COUNT_OF(records); i++)
        EXPECT_EQ(audit.booked[i][0], 1);
    end();
}

TEST(a_spool_of_another_build_is_refused_with_a_sentence_and_left_alone)
{
    char why[512];
    void *file;
    const struct disk_world *disk;
    begin(7, false);
    disk = sim_vfs_disk(run.vfs);
    REQUIRE(disk->open(disk->owner, "d/ledger.spool", true, &file) == ERR_OK);
    EXPECT_EQ(disk->write(file, 0, SPAN("somebody's letter")), ERR_OK);
    disk->close(file);
    EXPECT_EQ(ledger_open(&run.options, &run.l, why), ERR_SYNTAX);
    EXPECT(strstr(why, "no spool of entente"));
    EXPECT_SPAN(sim_vfs_file(run.vfs, "d/ledger.spool"), "somebody's letter");
    end();
}

UNIT_MAIN
