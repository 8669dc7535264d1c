/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries as lines of JSON. A usage entry becomes the usage record that it was made of and is written as that; the other kinds are written here.
 */
#include "base/clock.h"
#include "base/json.h"
#include "ledger/books_private.h"

/* ---- usage ---- */

static void charge_of(const struct books *b, const struct entry_charge *c, struct charge *ret)
{
    *ret = (struct charge){.line = books_price(b, c->price), .amount = c->amount, .unpriced = c->unpriced};
}

static void set_name(const struct books *b, char to[RECORD_NAME_BYTES], uint32_t id) { record_set_name(to, books_name(b, id)); }

static void attempts_of(const struct books *b, const struct entry_usage *u, struct usage_record *r)
{
    for (unsigned i = 0; i < u->attempts_n; i++) {
        const struct entry_attempt *a = &u->attempts[i];
        struct attempt_record *to = &r->attempts[r->attempts_n++];
        to->status = a->status, to->outcome = a->outcome, to->wait_us = a->wait_us;
        set_name(b, to->provider, a->provider);
        set_name(b, to->model, a->model);
    }
    if (!u->provider && !u->attempt_outcome)
        return;
    struct attempt_record *last = &r->attempts[r->attempts_n++];
    last->status = u->provider_status, last->outcome = u->attempt_outcome, last->wait_us = u->wait_us;
    set_name(b, last->provider, u->provider);
    set_name(b, last->model, u->model);
}

void books_record(const struct books *b, const struct entry_usage *u, struct usage_record *ret)
{
    struct usage_record *r = ret;
    *r = (struct usage_record){.issuer = u->issuer, .counter = u->counter, .attempt = u->attempt, .wall_us = u->wall_us, .receive_us = u->receive_us,
                               .first_byte_us = u->first_byte_us, .duration_us = u->duration_us, .outcome = u->outcome, .api = u->api,
                               .stream = u->stream, .status = u->status, .error = u->error, .finish = u->finish, .usage = u->usage, .held = u->held,
                               .provider_cost_nano = u->provider_cost_nano, .bytes_in = u->bytes_in, .bytes_out = u->bytes_out};
    books_request_id(u, r->id);
    set_name(b, r->key, u->key);
    set_name(b, r->department, u->department);
    set_name(b, r->party, u->party);
    set_name(b, r->model_asked, u->model_asked);
    set_name(b, r->model_served, u->model_served);
    set_name(b, r->tier, u->tier);
    attempts_of(b, u, r);
    charge_of(b, &u->buy, &r->buy);
    charge_of(b, &u->sell, &r->sell);
}

static enum err write_usage(const struct books *b, uint64_t seq, const struct entry_usage *u, struct buf *out)
{
    struct usage_record record;
    books_record(b, u, &record);
    return record_write_json(&record, &(struct record_booking){.seq = seq, .booked_us = u->booked_us, .recovered = u->recovered}, out);
}

/* ---- the other kinds ---- */

static enum err write_string(struct buf *out, const char *key, struct span text)
{
    enum err e = buf_printf(out, ",\"%s\":", key);
    return e ? e : json_write_string(out, text);
}

static enum err write_head(struct buf *out, const char *kind, uint64_t seq, int64_t booked_us)
{
    char text[CLOCK_RFC3339_BYTES];
    enum err e = buf_printf(out, "{\"kind\":\"%s\",\"seq\":%" PRIu64, kind, seq);
    return e || !booked_us ? e : buf_printf(out, ",\"booked\":\"%.*s\"", SPAN_ARG(clock_rfc3339_us(text, booked_us)));
}

static enum err write_text(const char *kind, uint64_t seq, uint32_t number, struct span text, struct buf *out)
{
    enum err e = write_head(out, kind, seq, 0);
    if (!e)
        e = buf_printf(out, ",\"number\":%" PRIu32, number);
    return e ? e : write_string(out, "text", text);
}

static enum err write_transfer(const struct books *b, const struct entry_transfer *t, struct buf *out)
{
    char amount[MONEY_TEXT_BYTES];
    enum err e = buf_append(out, SPAN("{\"debit\":"));
    if (!e)
        e = json_write_string(out, books_name(b, t->debit));
    if (!e)
        e = write_string(out, "credit", books_name(b, t->credit));
    if (!e)
        e = write_string(out, "amount", money_format(amount, t->amount, 0));
    if (!e)
        e = write_string(out, "currency", books_name(b, t->currency));
    return e ? e : buf_append(out, SPAN("}"));
}

static enum err write_transfers(const struct books *b, const struct entry_posting *p, struct buf *out)
{
    enum err e = buf_append(out, SPAN(",\"transfers\":["));
    for (unsigned i = 0; !e && i < p->transfers_n; i++) {
        e = buf_append(out, i ? SPAN(",") : SPAN_NONE);
        if (!e)
            e = write_transfer(b, &p->transfers[i], out);
    }
    return e ? e : buf_append(out, SPAN("]"));
}

/* As JSON where it is JSON of one line, else as a string: a line stays a line. */
static enum err write_detail(struct span detail, struct buf *out)
{
    if (json_check(detail) != ERR_OK || span_find(detail, '\n') >= 0 || span_find(detail, '\r') >= 0)
        return write_string(out, "detail", detail);
    enum err e = buf_append(out, SPAN(",\"detail\":"));
    return e ? e : buf_append(out, detail);
}

static enum err write_posting(const struct books *b, uint64_t seq, const struct entry_posting *p, struct buf *out)
{
    enum err e = write_head(out, "posting", seq, p->booked_us);
    if (!e)
        e = buf_printf(out, ",\"cause\":\"%s\"", posting_cause_name(p->cause));
    if (!e)
        e = write_string(out, "key", p->key);
    if (!e && p->memo.n)
        e = write_string(out, "memo", p->memo);
    if (!e && p->refers_to)
        e = buf_printf(out, ",\"refers_to\":%" PRIu64, p->refers_to - 1);
    if (!e && p->detail.n)
        e = write_detail(p->detail, out);
    return e ? e : write_transfers(b, p, out);
}

static enum err write_summary(uint64_t seq, const struct entry_summary *s, struct buf *out)
{
    char digest[2 * sizeof s->rollup_digest + 1];
    enum err e = write_head(out, "summary", seq, s->booked_us);
    digest_hex(s->rollup_digest, sizeof s->rollup_digest, digest);
    return e ? e : buf_printf(out, ",\"from\":%" PRIu64 ",\"until\":%" PRIu64 ",\"usage_entries\":%" PRIu64 ",\"rollup_digest\":\"%s\"", s->from_seq,
                              s->until_seq, s->usage_n, digest);
}

static enum err write_kind(const struct books *b, uint64_t seq, const struct entry *e, struct buf *out)
{
    switch (e->kind) {
    case ENTRY_NAME: return write_text("name", seq, e->number, e->text, out);
    case ENTRY_PRICE: return write_text("price", seq, e->number, e->text, out);
    case ENTRY_POSTING: return write_posting(b, seq, &e->posting, out);
    case ENTRY_SUMMARY: return write_summary(seq, &e->summary, out);
    case ENTRY_USAGE: break;
    }
    return ERR_INTERNAL;
}

enum err books_write_json(const struct books *b, uint64_t seq, const struct entry *e, struct buf *out)
{
    if (e->kind == ENTRY_USAGE)
        return write_usage(b, seq, &e->usage, out);
    enum err error = write_kind(b, seq, e, out);
    return error ? error : buf_append(out, SPAN("}\n"));
}
