/* SPDX-License-Identifier: Apache-2.0
 *
 * What waits while the store refuses, and how it gets there after all: the spool first, then the backlog in memory, in the order in which it was
 * submitted, by the same code that books tickets. A chunk is one transaction. The spool's place is kept in it, and what is booked twice is known
 * by its id, so a crash at any point loses nothing and doubles nothing.
 *
 * Also what a process that died left behind: its spool, and holds that no record ended.
 */
#include "ledger/ledger_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

#define TICKET_BYTES_MAX (3 * (sizeof(uint32_t) + JOURNAL_ITEM_BYTES_MAX))

/* ---- parking ---- */

static enum err put_in_spool(void *owner, struct span item) { return spool_put(owner, item); }

static enum err put_in_backlog(void *owner, struct span item)
{
    struct buf *backlog = owner;
    uint32_t n = (uint32_t)item.n;
    enum err e = buf_append(backlog, span_of(&n, sizeof n));
    return e ? e : buf_append(backlog, item);
}

static enum err park_in_spool(struct ledger *l, struct ledger_ticket *batch)
{
    uint64_t items = 0;
    enum err e = ERR_OK;
    for (struct ledger_ticket *t = batch; t && !e; t = t->next) {
        e = journal_write(&l->spool_said, t, l->now_us, put_in_spool, l->spool);
        items += t->op == LEDGER_POST;
    }
    e = e ? e : spool_sync(l->spool);
    if (e)
        spool_unput(l->spool);
    else
        l->spool_items += items;
    return e;
}

static enum err park_in_memory(struct ledger *l, struct ledger_ticket *batch)
{
    size_t had = buf_bytes(&l->backlog);
    enum err e = ERR_OK;
    for (struct ledger_ticket *t = batch; t && !e; t = t->next) {
        e = buf_reserve(&l->backlog, TICKET_BYTES_MAX); /* then all of its items go in, or none */
        e = e ? e : journal_write(&l->backlog_said, t, l->now_us, put_in_backlog, &l->backlog);
        l->backlog_records += !e && t->op == LEDGER_POST;
    }
    if (e)
        log_line(LOG_ERROR, "ledger: there is no memory left for what waits to be written", "bytes", LOG_INT(had), NULL);
    return ERR_NOT_RECORDED;
}

/* A price that was said in a spool item that did not get there has to be said again: then all later items would be unreadable. So the spool is done
 * with as soon as one batch did not go in, until it begins anew. */
enum err ledger_park(struct ledger *l, struct ledger_ticket *batch)
{
    l->now_us = ledger_clock_us(l);
    if (l->spool && l->status.state != LEDGER_FAILING && park_in_spool(l, batch) == ERR_OK) {
        ledger_enter(l, LEDGER_SPOOLING);
        return ERR_OK;
    }
    ledger_enter(l, LEDGER_FAILING);
    return park_in_memory(l, batch);
}

/* ---- booking items ---- */

static enum err apply_item(struct ledger *l, const struct journal_item *item)
{
    struct ledger_ticket t = {.op = item->kind == JOURNAL_HOLD ? LEDGER_HOLD : LEDGER_POST, .hold = &item->hold, .record = &item->record};
    if (item->kind == JOURNAL_PRICE)
        return ERR_OK;
    l->now_us = item->at_us < l->latest_us ? item->at_us : l->latest_us; /* it was durable, or promised, then */
    if (l->now_us < l->projection.booked_us)
        l->now_us = l->projection.booked_us;
    enum err e = ledger_apply(l, &t);
    if (e && l->store_error)
        return e;
    if (e && e != ERR_EXISTS)
        log_line(LOG_ERROR, "ledger: a record cannot be booked, a value in it is out of range", "id",
                 LOG_STR(item->kind == JOURNAL_RECORD ? item->record.id : "a hold"), NULL);
    return ERR_OK;
}

/* ---- the spool ---- */

static enum err read_spooled(struct ledger *l, uint64_t *ret)
{
    uint64_t epoch;
    *ret = spool_first(l->spool);
    buf_clear(&l->rows);
    enum err e = store_meta(l->store, META_SPOOLED, &l->rows);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    struct span rest = buf_span(&l->rows), first = span_cut(&rest, ' ');
    uint64_t offset;
    if (!span_to_u64(first, &epoch) || !span_to_u64(rest, &offset))
        return ERR_SYNTAX;
    if (epoch == spool_epoch(l->spool))
        *ret = offset;
    return ERR_OK;
}

static enum err write_spooled(struct ledger *l, uint64_t offset)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%" PRIu64 " %" PRIu64, spool_epoch(l->spool), offset);
    return store_put_meta(l->store, META_SPOOLED, span_of(text, (size_t)n));
}

static enum err unreadable(struct ledger *l, const char *what)
{
    snprintf(l->status.why, sizeof l->status.why, "%s: an item of the spool cannot be read, %s: look at the disk; to go on without the rest of it, move the file away",
             l->spool_path, what);
    return ERR_DISK;
}

/* Reads the item at l->spool_read; what lies before `from` is only listened to, for its prices. */
static enum err book_spooled_item(struct ledger *l, uint64_t from, struct journal_item *item)
{
    struct span bytes;
    uint64_t at = l->spool_read;
    enum err e = spool_read(l->spool, &l->spool_read, &bytes);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_NOT_FOUND : unreadable(l, "the disk refuses");
    e = journal_read(&l->spool_heard, bytes, item);
    if (e)
        return unreadable(l, "it is none of ours");
    return at < from ? ERR_OK : apply_item(l, item);
}

static enum err book_spool_chunk(struct ledger *l, void *unused)
{
    static _Thread_local struct journal_item item;
    uint64_t from;
    enum err e = ledger_of_store(l, read_spooled(l, &from));
    for (unsigned i = 0; !e && i < LEDGER_CHUNK_ITEMS; i++) {
        e = book_spooled_item(l, from, &item);
        i -= !e && l->spool_read <= from;
    }
    if (e && e != ERR_NOT_FOUND)
        return e;
    return ledger_of_store(l, write_spooled(l, l->spool_read > from ? l->spool_read : from));
}

static void listen_anew(struct ledger *l)
{
    journal_fini(&l->spool_heard);
    l->spool_read = spool_first(l->spool);
}

static enum err drain_spool_chunk(struct ledger *l)
{
    uint64_t read = l->spool_read;
    enum err e = ledger_transact_once(l, book_spool_chunk, NULL);
    if (e && read != l->spool_read)
        listen_anew(l);
    return e;
}

static bool spool_is_drained(const struct ledger *l) { return !l->spool || l->spool_read >= spool_end(l->spool); }

static enum err restart_spool(struct ledger *l)
{
    if (!l->spool)
        return ERR_OK;
    bool untouched = spool_end(l->spool) == spool_first(l->spool) && !spool_is_broken(l->spool);
    enum err e = untouched ? ERR_OK : spool_restart(l->spool);
    if (e)
        return e;
    journal_fini(&l->spool_said);
    listen_anew(l);
    l->spool_items = 0;
    return ERR_OK;
}

/* ---- the backlog ---- */

static bool next_item(struct span *rest, struct span *ret)
{
    uint32_t n;
    if (rest->n < sizeof n)
        return false;
    memcpy(&n, rest->p, sizeof n);
    *ret = span_to(span_from(*rest, sizeof n), n);
    *rest = span_from(*rest, sizeof n + n);
    return true;
}

struct chunk {
    struct span bytes; /* of the backlog: items that go together */
};

static enum err book_backlog_chunk(struct ledger *l, void *argument)
{
    static _Thread_local struct journal_item item;
    struct span rest = ((struct chunk *)argument)->bytes, bytes;
    enum err e = ERR_OK;
    while (!e && next_item(&rest, &bytes)) {
        CHECK(journal_read(&l->backlog_heard, bytes, &item) == ERR_OK); /* our own memory */
        e = apply_item(l, &item);
    }
    return e;
}

static void announce_chunk(struct ledger *l, struct span rest)
{
    static _Thread_local struct journal_item item;
    struct span bytes;
    while (next_item(&rest, &bytes)) {
        CHECK(journal_read(&l->backlog_heard, bytes, &item) == ERR_OK);
        if (item.kind != JOURNAL_RECORD)
            continue;
        l->backlog_records--;
        l->status.records++;
        if (l->options.on_record)
            l->options.on_record(l->options.owner, &item.record);
    }
}

static enum err drain_backlog(struct ledger *l)
{
    while (buf_bytes(&l->backlog)) {
        struct span all = buf_span(&l->backlog), rest = all, item;
        for (unsigned i = 0; i < LEDGER_CHUNK_ITEMS && next_item(&rest, &item); i++)
            continue;
        struct chunk chunk = {span_of(all.p, (size_t)(rest.p - all.p))};
        enum err e = ledger_transact(l, book_backlog_chunk, &chunk);
        if (e)
            return e;
        announce_chunk(l, chunk.bytes);
        buf_consume(&l->backlog, chunk.bytes.n);
    }
    journal_fini(&l->backlog_said);
    journal_fini(&l->backlog_heard);
    return ERR_OK;
}

/* ---- catching up ---- */

static enum err catch_up_step(struct ledger *l)
{
    if (!spool_is_drained(l))
        return drain_spool_chunk(l);
    enum err e = drain_backlog(l);
    if (e)
        return e;
    if (restart_spool(l) != ERR_OK) /* it is booked; without a spool we go on as without one */
        log_line(LOG_WARN, "ledger: the spool cannot be written; it is tried again at the next failure", "path", LOG_STR(l->spool_path), NULL);
    ledger_enter(l, LEDGER_OK);
    return ERR_OK;
}

bool ledger_catch_up(struct ledger *l)
{
    if (l->status.state == LEDGER_OK)
        return false;
    enum err e = catch_up_step(l);
    if (e)
        ledger_enter(l, l->status.state); /* the next try */
    return !e && l->status.state != LEDGER_OK;
}

/* ---- at start ---- */

/* What is known is what the hold expected: the input, as an estimate. What came back is not known, and unknown is not zero. */
static void estimate(struct ledger *l, const struct hold *h)
{
    struct entry_usage *u = &l->usage.usage;
    struct charge buy, sell;
    *u = (struct entry_usage){.issuer = h->issuer, .counter = h->counter, .recovered = true, .wall_us = h->wall_us, .outcome = RECORD_BROKEN,
                              .api = h->api, .stream = h->stream, .key = h->key, .department = h->department, .party = h->party,
                              .model_asked = h->model_asked, .provider = h->provider, .model = h->model, .held = h->held, .provider_cost_nano = -1};
    usage_init(&u->usage);
    u->usage.count[USAGE_INPUT] = h->input_expected >= 0 ? h->input_expected : USAGE_UNKNOWN;
    u->usage.source = USAGE_SOURCE_ESTIMATED;
    price_charge(h->buy ? l->projection.prices[h->buy - 1].line : NULL, &u->usage, &buy);
    u->buy = (struct entry_charge){h->buy, buy.unpriced, buy.amount};
    price_charge(h->sell ? l->projection.prices[h->sell - 1].line : NULL, &u->usage, &sell);
    if (h->sell)
        u->sell = (struct entry_charge){h->sell, sell.unpriced, sell.amount};
}

static enum err book_holds(struct ledger *l, void *count)
{
    struct projection *p = &l->projection;
    uint64_t n = 0;
    for (uint32_t i = 0; i < p->holds_n; i++) {
        struct hold h = p->holds[i].hold;
        if (!p->holds[i].open)
            continue;
        if (h.buy > p->prices_n || h.sell > p->prices_n)
            return ledger_of_store(l, ERR_SYNTAX);
        estimate(l, &h);
        enum err e = ledger_book_usage(l);
        if (e)
            return e;
        n++;
    }
    *(uint64_t *)count = n;
    return ERR_OK;
}

static enum err only_look(struct ledger *l, void *unused) { return ERR_OK; }

static enum err recover(struct ledger *l)
{
    enum err e = ledger_transact(l, only_look, NULL);
    while (!e && !spool_is_drained(l))
        e = drain_spool_chunk(l);
    e = e ? e : ledger_transact(l, book_holds, &l->status.recovered);
    return e ? e : restart_spool(l);
}

enum err ledger_recover(struct ledger *l, char why[512])
{
    enum err e = l->options.beside ? ledger_transact(l, only_look, NULL) : recover(l);
    if (!e && l->status.recovered)
        log_line(LOG_WARN, "ledger: requests that the last process did not end are booked as estimates", "requests", LOG_INT(l->status.recovered), NULL);
    if (e)
        snprintf(why, 512, "%s", l->status.why[0] ? l->status.why : err_sentence(e));
    l->status.why[0] = 0;
    return e;
}
