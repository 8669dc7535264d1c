/* SPDX-License-Identifier: Apache-2.0
 *
 * One group commit, and where a batch goes when the store refuses.
 *
 *            transact fails twice                        spool full or broken
 *   OK ───────────────────────────▶ SPOOLING ───────────────────────────────▶ FAILING
 *   ▲  (no spool: straight to FAILING)  │                                        │
 *   └──────── ledger_catch_up: all of spool and backlog is in the store ◀────────┘
 *
 * OK        entries are in the store when a ticket is done
 * SPOOLING  items are in the spool, synced, when a ticket is done
 * FAILING   items are in memory; tickets that somebody waits for are done with ERR_NOT_RECORDED; nothing new is admitted
 */
#include "ledger/ledger_private.h"

#include <stdio.h>
#include <time.h>

#include "base/log.h"

#define PATIENCE_NS (900 * NS_PER_MS) /* without a spool: how long a commit is tried before tickets are failed */
#define PAUSE_NS (100 * NS_PER_MS)
#define JUMP_US (60 * (int64_t)1000000)
#define JUMP_LASTS_NS (60 * NS_PER_S)

/* ---- the clock ---- */

/* What is booked at a wrong future time stands there for good, and everything behind it until that time has come. So a clock that jumps ahead by more
 * than a minute is believed only after it has stayed there for a minute; until then time goes on as the monotonic clock does. */
static int64_t believed_us(struct ledger *l)
{
    struct ledger_clock *c = &l->clock;
    uint64_t now_ns = ledger_now_ns(l);
    int64_t monotonic_us = (int64_t)(now_ns / NS_PER_US), distance_us = ledger_wall_us(l) - monotonic_us;
    if (!c->started || distance_us <= c->believed_us + JUMP_US) {
        c->believed_us = distance_us;
        c->doubted_ns = 0;
    } else if (!c->doubted_ns) {
        c->doubted_ns = now_ns;
        log_line(LOG_WARN, "ledger: the clock jumped ahead; it is believed if it stays there for a minute", "by_us",
                 LOG_INT(distance_us - c->believed_us), NULL);
    } else if (now_ns - c->doubted_ns >= JUMP_LASTS_NS) {
        c->believed_us = distance_us;
        c->doubted_ns = 0;
    }
    c->started = true;
    return monotonic_us + c->believed_us;
}

int64_t ledger_clock_us(struct ledger *l)
{
    int64_t now_us = believed_us(l), last_us = l->projection.booked_us;
    now_us = now_us < 0 ? 0 : now_us > ENTRY_TIME_MAX ? ENTRY_TIME_MAX : now_us;
    now_us = now_us > last_us ? now_us : last_us;
    atomic_store_explicit(&l->distance_us, now_us - (int64_t)(ledger_now_ns(l) / NS_PER_US), memory_order_relaxed);
    return now_us;
}

int64_t ledger_time_us(struct ledger *l, uint64_t monotonic_ns)
{
    return (int64_t)(monotonic_ns / NS_PER_US) + atomic_load_explicit(&l->distance_us, memory_order_relaxed);
}

/* ---- transactions ---- */

static enum err work_and_commit(struct ledger *l, ledger_work_fn *work, void *argument)
{
    enum err e = ledger_look(l);
    if (e)
        return e;
    l->now_us = l->latest_us = ledger_clock_us(l);
    if (l->flushed == projection_size(&l->projection))
        l->unflushed_ns = ledger_now_ns(l);
    e = ledger_sign_day(l);
    e = e ? e : work(l, argument);
    e = e ? e : ledger_write_holds(l);
    e = e ? e : ledger_sign_every(l);
    if (!e && ledger_flush_is_due(l))
        e = ledger_write_flush(l);
    return e ? e : ledger_of_store(l, store_commit(l->store));
}

static void remember_why(struct ledger *l, enum err e, const char *why)
{
    snprintf(l->status.why, sizeof l->status.why, "%s", why && why[0] ? why : err_sentence(e));
}

enum err ledger_transact_once(struct ledger *l, ledger_work_fn *work, void *argument)
{
    char why[512] = "";
    uint64_t start_ns = ledger_now_ns(l);
    l->store_error = ERR_OK;
    enum err e = l->store ? ERR_OK : ledger_of_store(l, ledger_open_store(l, why));
    e = e ? e : ledger_of_store(l, store_begin(l->store));
    e = e ? e : work_and_commit(l, work, argument);
    if (!e) {
        l->committed = projection_size(&l->projection);
        l->status.commits++;
        l->status.commit_ns_total += ledger_now_ns(l) - start_ns;
        if (l->status.state == LEDGER_OK)
            l->status.why[0] = 0;
        return ERR_OK;
    }
    if (l->store_error)
        remember_why(l, e, why[0] ? why : l->store ? store_why(l->store) : NULL);
    if (l->store)
        store_rollback(l->store);
    ledger_drop_store(l); /* also when work refused: what it did to the projection is undone by reading it again */
    return e;
}

enum err ledger_transact(struct ledger *l, ledger_work_fn *work, void *argument)
{
    enum err e = ledger_transact_once(l, work, argument);
    return e && l->store_error ? ledger_transact_once(l, work, argument) : e;
}

/* ---- a batch ---- */

/* A ticket that the log has no room for in its form would stop the ledger for ever. It is refused alone; its hold stays open, and becomes an estimate
 * at the next start. */
static void refuse(struct ledger_ticket *t, enum err e)
{
    const struct usage_record *r = t->op == LEDGER_POST ? t->record : NULL;
    t->error = ERR_INTERNAL;
    log_line(LOG_ERROR, "ledger: a record cannot be booked, a value in it is out of range", "id", LOG_STR(r ? r->id : "a hold"), "why",
             LOG_STR(err_sentence(e)), NULL);
}

static enum err apply_batch(struct ledger *l, void *batch)
{
    for (struct ledger_ticket *t = batch; t; t = t->next) {
        enum err e = ledger_apply(l, t);
        if (e && l->store_error)
            return e;
        t->error = e;
        if (e && e != ERR_EXISTS)
            refuse(t, e);
    }
    return ERR_OK;
}

/* Each record once, whether or not it took a second try. */
static void announce(struct ledger *l, struct ledger_ticket *batch, bool again)
{
    for (struct ledger_ticket *t = batch; t; t = t->next) {
        bool duplicate = t->error == ERR_EXISTS && !again;
        l->status.duplicates += duplicate;
        if (t->error == ERR_EXISTS)
            t->error = ERR_OK;
        if (t->op != LEDGER_POST || duplicate || t->error)
            continue;
        l->status.records++;
        if (l->options.on_record)
            l->options.on_record(l->options.owner, t->record);
    }
}

static void set_errors(struct ledger_ticket *batch, enum err e)
{
    for (struct ledger_ticket *t = batch; t; t = t->next)
        t->error = e;
}

static void pause_before_retry(void) { nanosleep(&(struct timespec){0, PAUSE_NS}, NULL); }

/* With a spool one more try on a store opened anew is enough; without, the last of the second that callers may be kept is used. */
static enum err commit_batch(struct ledger *l, struct ledger_ticket *batch)
{
    uint64_t start_ns = ledger_now_ns(l);
    enum err e = ledger_transact_once(l, apply_batch, batch);
    bool again = false;
    while (e) {
        again = true;
        e = ledger_transact_once(l, apply_batch, batch);
        if (!e || l->spool || !l->options.threaded || ledger_now_ns(l) - start_ns + PAUSE_NS > PATIENCE_NS)
            break;
        pause_before_retry();
    }
    if (!e)
        announce(l, batch, again);
    return e;
}

void ledger_enter(struct ledger *l, enum ledger_state state)
{
    static const char *const messages[] = {
        [LEDGER_OK] = "ledger: the store is written again, and has all that waited for it",
        [LEDGER_SPOOLING] = "ledger: the store refuses to be written; records go to the spool",
        [LEDGER_FAILING] = "ledger: nothing can be written; records wait in memory and new requests are refused",
    };
    l->retry_ns = ledger_now_ns(l) + LEDGER_RETRY_NS;
    if (l->status.state == state)
        return;
    l->status.state = state;
    log_line(state == LEDGER_OK ? LOG_INFO : LOG_ERROR, messages[state], "store", LOG_STR(l->store_path), "why", LOG_STR(l->status.why), NULL);
    if (state == LEDGER_OK)
        l->status.why[0] = 0;
}

void ledger_settle(struct ledger *l, struct ledger_ticket *batch)
{
    if (l->status.state == LEDGER_OK && commit_batch(l, batch) == ERR_OK)
        return;
    enum err e = ledger_park(l, batch);
    set_errors(batch, e);
    if (!e)
        announce(l, batch, false);
}
