/* SPDX-License-Identifier: Apache-2.0
 *
 * From tickets to entries: dedupe, names and prices to numbers, encode, hash, append, add up. The hot path of the writer: nothing here
 * allocates once its tables have grown.
 *
 * Which error is whose decides what happens: the store's (l->store_error is set) undoes the transaction and is tried again; a ticket's own, a value
 * that the log's form does not have room for, would come again for ever, so that ticket is refused and the others go on.
 */
#include "ledger/ledger_private.h"

#include <stdlib.h>

enum err ledger_of_store(struct ledger *l, enum err e)
{
    if (e)
        l->store_error = e;
    return e;
}

/* ---- the log ---- */

enum err ledger_append_body(struct ledger *l)
{
    struct span body = buf_span(&l->body);
    struct hash leaf, tile;
    uint64_t seq = projection_size(&l->projection);
    enum err e = ledger_of_store(l, store_append(l->store, seq, body));
    if (e)
        return e;
    merkle_leaf(body, &leaf);
    if (projection_leaf(&l->projection, &leaf, &tile))
        e = ledger_of_store(l, store_put_tile(l->store, seq / STORE_TILE, tile.bytes));
    return e;
}

static enum err encode(struct ledger *l, const struct entry *entry)
{
    buf_clear(&l->body);
    return entry_encode(entry, &l->body);
}

enum err ledger_append(struct ledger *l, const struct entry *entry)
{
    enum err e = encode(l, entry);
    return e ? e : ledger_append_body(l);
}

/* ---- names and prices ---- */

static enum err append_name(struct ledger *l, struct span text, uint32_t *ret)
{
    uint64_t seq = projection_size(&l->projection);
    enum err e = ledger_append(l, &(struct entry){.kind = ENTRY_NAME, .number = l->projection.names_n + 1, .text = text});
    if (e)
        return e;
    *ret = projection_add_name(&l->projection, text);
    return ledger_of_store(l, store_put_name(l->store, *ret, text, seq));
}

enum err ledger_intern(void *ledger, struct span text, uint32_t *ret)
{
    struct ledger *l = ledger;
    *ret = projection_name(&l->projection, text);
    return *ret ? ERR_OK : append_name(l, text, ret);
}

static enum err intern_name(struct ledger *l, const char name[RECORD_NAME_BYTES], uint32_t *ret)
{
    struct span text = span_of(name, strnlen(name, RECORD_NAME_BYTES));
    *ret = 0;
    return text.n ? ledger_intern(l, text, ret) : ERR_OK;
}

/* A name that somebody outside chose: there is no end of those. */
static enum err intern_open(struct ledger *l, const char name[RECORD_NAME_BYTES], uint32_t *ret)
{
    struct span text = span_of(name, strnlen(name, RECORD_NAME_BYTES));
    *ret = text.n ? projection_name(&l->projection, text) : 0;
    if (*ret || !text.n)
        return ERR_OK;
    return ledger_intern(l, l->projection.names_n < LEDGER_OPEN_NAMES ? text : SPAN(LEDGER_OTHER), ret);
}

static enum err intern_price(struct ledger *l, const struct price_line *line, uint32_t *ret)
{
    *ret = line ? projection_price(&l->projection, line->digest) : 0;
    if (*ret || !line)
        return ERR_OK;
    struct span text = span_str(line->text);
    uint64_t seq = projection_size(&l->projection);
    enum err e = encode(l, &(struct entry){.kind = ENTRY_PRICE, .number = l->projection.prices_n + 1, .text = text});
    if (!e)
        e = projection_add_price(&l->projection, text, ret); /* refuses what could not be read again */
    if (!e)
        e = ledger_append_body(l);
    return e ? e : ledger_of_store(l, store_put_price(l->store, *ret, text, seq));
}

/* ---- usage ---- */

enum err ledger_book_usage(struct ledger *l)
{
    struct projection *p = &l->projection;
    struct entry_usage *u = &l->usage.usage;
    struct rollup one;
    l->usage.kind = ENTRY_USAGE;
    u->booked_us = l->now_us;
    rollup_of(u, 0, &one);
    struct projected_row *row = projection_row(p, &one);
    enum err e = projection_legs(p, row, u, ledger_intern, l); /* may append names */
    if (!e)
        e = encode(l, &l->usage);
    if (e)
        return e;
    one.first_seq = one.last_seq = projection_size(p);
    projection_book_usage(p, row, &one, u);
    return ledger_append_body(l);
}

static enum err name_attempts(struct ledger *l, const struct usage_record *r, struct entry_usage *u)
{
    enum err e = ERR_OK;
    u->attempts_n = r->attempts_n ? r->attempts_n - 1u : 0;
    for (unsigned i = 0; !e && i < u->attempts_n; i++) {
        const struct attempt_record *from = &r->attempts[i];
        struct entry_attempt *to = &u->attempts[i];
        *to = (struct entry_attempt){.outcome = from->outcome, .status = from->status, .wait_us = from->wait_us};
        e = intern_name(l, from->provider, &to->provider);
        e = e ? e : intern_name(l, from->model, &to->model);
    }
    if (e || !r->attempts_n)
        return e;
    const struct attempt_record *last = &r->attempts[r->attempts_n - 1];
    u->provider_status = last->status, u->attempt_outcome = last->outcome, u->wait_us = last->wait_us;
    e = intern_name(l, last->provider, &u->provider);
    return e ? e : intern_name(l, last->model, &u->model);
}

static enum err name_record(struct ledger *l, const struct usage_record *r, struct entry_usage *u)
{
    enum err e = intern_name(l, r->key, &u->key);
    e = e ? e : intern_name(l, r->department, &u->department);
    e = e ? e : intern_name(l, r->party, &u->party);
    e = e ? e : intern_open(l, r->model_asked, &u->model_asked);
    e = e ? e : intern_open(l, r->model_served, &u->model_served);
    e = e ? e : intern_open(l, r->tier, &u->tier);
    e = e ? e : name_attempts(l, r, u);
    e = e ? e : intern_price(l, r->buy.line, &u->buy.price);
    return e ? e : intern_price(l, r->sell.line, &u->sell.price);
}

/* Times before 1970 are a clock that was never set. */
static int64_t time_in_form(int64_t us) { return us < 0 ? 0 : us > ENTRY_TIME_MAX ? ENTRY_TIME_MAX : us; }

static void copy_numbers(const struct usage_record *r, struct entry_usage *u)
{
    u->issuer = r->issuer, u->counter = r->counter, u->attempt = r->attempt, u->recovered = false;
    u->wall_us = time_in_form(r->wall_us);
    u->outcome = r->outcome, u->api = r->api, u->finish = r->finish, u->stream = r->stream;
    u->status = r->status, u->error = r->error;
    u->provider = u->model = 0;
    u->provider_status = 0, u->attempt_outcome = ATTEMPT_NONE, u->wait_us = 0;
    u->receive_us = r->receive_us, u->first_byte_us = r->first_byte_us, u->duration_us = r->duration_us;
    u->bytes_in = r->bytes_in, u->bytes_out = r->bytes_out;
    u->usage = r->usage;
    u->buy = (struct entry_charge){.unpriced = r->buy.unpriced, .amount = r->buy.amount};
    u->sell = (struct entry_charge){.unpriced = r->sell.unpriced, .amount = r->sell.amount};
    u->held = r->held, u->provider_cost_nano = r->provider_cost_nano;
}

static bool is_booked(struct projection *p, const struct usage_record *r)
{
    const struct projected_hold *open = projection_hold(p, r->issuer, r->counter);
    if (!open)
        return r->counter <= projection_issuer(p, r->issuer)->counter;
    return r->attempt && open->hold.attempts >> r->attempt & 1;
}

static void touch(struct ledger *l, const struct projected_hold *h)
{
    if (l->touched_n == l->touched_room) {
        l->touched_room = l->touched_room ? 2 * l->touched_room : 256;
        l->touched = realloc(l->touched, l->touched_room * sizeof *l->touched);
        CHECK(l->touched);
    }
    l->touched[l->touched_n++] = (uint32_t)(h - l->projection.holds);
}

static enum err apply_record(struct ledger *l, const struct usage_record *r)
{
    struct entry_usage *u = &l->usage.usage;
    if (r->attempt > LIMIT_ATTEMPTS || r->attempts_n > LIMIT_ATTEMPTS)
        return ERR_RANGE;
    if (is_booked(&l->projection, r))
        return ERR_EXISTS;
    copy_numbers(r, u);
    enum err e = name_record(l, r, u);
    if (!e)
        e = ledger_book_usage(l);
    if (!e && r->attempt)
        touch(l, projection_hold(&l->projection, r->issuer, r->counter));
    return e;
}

/* ---- holds ---- */

static enum err name_hold(struct ledger *l, const struct ledger_hold *from, struct hold *to)
{
    enum err e = intern_name(l, from->key, &to->key);
    e = e ? e : intern_name(l, from->department, &to->department);
    e = e ? e : intern_name(l, from->party, &to->party);
    e = e ? e : intern_open(l, from->model_asked, &to->model_asked);
    e = e ? e : intern_name(l, from->provider, &to->provider);
    e = e ? e : intern_name(l, from->model, &to->model);
    e = e ? e : intern_price(l, from->buy, &to->buy);
    return e ? e : intern_price(l, from->sell, &to->sell);
}

static enum err apply_hold(struct ledger *l, const struct ledger_hold *from)
{
    struct projection *p = &l->projection;
    struct hold h = {.issuer = from->issuer, .counter = from->counter, .wall_us = time_in_form(from->wall_us), .api = from->api, .stream = from->stream,
                     .input_expected = from->input_expected, .output_max = from->output_max, .held = from->held, .opened_seq = projection_size(p)};
    struct projected_issuer *issuer = projection_issuer(p, from->issuer);
    struct projected_hold *open = projection_hold(p, from->issuer, from->counter);
    if (!open && from->counter <= issuer->counter)
        return ERR_EXISTS;
    if (from->issuer > ENTRY_ISSUER_MAX || from->counter > ENTRY_COUNTER_MAX)
        return ERR_RANGE;
    enum err e = name_hold(l, from, &h);
    if (e)
        return e;
    if (open) {
        h.attempts = open->hold.attempts, h.opened_seq = open->hold.opened_seq;
        open->hold = h;
        open->unwritten = true;
    } else {
        open = projection_open(p, &h);
        issuer->counter = from->counter;
        issuer->dirty = true;
    }
    touch(l, open);
    return ERR_OK;
}

enum err ledger_apply(struct ledger *l, const struct ledger_ticket *t)
{
    return t->op == LEDGER_HOLD ? apply_hold(l, t->hold) : apply_record(l, t->record);
}
