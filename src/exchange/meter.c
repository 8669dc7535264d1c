/* SPDX-License-Identifier: Apache-2.0
 *
 * METER: one usage record for every exchange, made in one place for streams, whole answers, failures and clients that left. The
 * provider's figures count; where it gave none, prompt and answer are counted here with the model's tokenizer and the record says
 * "estimated"; where nothing was used, "none". What was counted is priced, and what was set aside is settled to it.
 *
 * For the estimate of a stream its text is kept as it passes, escaped as it came; a long text is folded into a running count.
 */
#include <stdlib.h>

#include "base/block.h"
#include "base/json.h"
#include "exchange/exchange_private.h"
#include "neutral/count.h"

#define TEXT_FIRST_BYTES 64u /* doubled as the answer grows: slow streams are many */

/* ---- the text of the answer ---- */

static void count_escaped(struct token_counter *counter, struct span escaped)
{
    struct buf plain;
    buf_init(&plain, escaped.n + 16);
    if (json_unescape_to(&plain, (struct json_string){escaped, true}) == ERR_OK)
        token_counter_feed(counter, buf_span(&plain));
    buf_fini(&plain);
}

/* Moves the kept text into the running count. Pieces are whole JSON strings, so no escape sequence is cut. */
static void fold_text(struct exchange *x)
{
    if (!x->counter) {
        x->counter = ARENA_NEW(&x->arena, struct token_counter);
        token_counter_init(x->counter, x->deployment->encoding);
    }
    count_escaped(x->counter, span_of(x->text, x->text_n));
    x->text_n = 0;
}

static bool grow_text(struct exchange *x, size_t more)
{
    uint32_t capacity = x->text_capacity ? x->text_capacity : TEXT_FIRST_BYTES;
    while (capacity < x->text_n + more)
        capacity *= 2;
    if (capacity == x->text_capacity)
        return true;
    char *text = realloc(x->text, capacity);
    if (!text)
        return false;
    x->text = text;
    x->text_capacity = capacity;
    return true;
}

void meter_text(void *owner, struct span escaped)
{
    struct exchange *x = owner;
    if (x->text_n + escaped.n > LIMIT_METER_TEXT_BYTES && x->text_n)
        fold_text(x);
    if (escaped.n > LIMIT_METER_TEXT_BYTES) { /* one huge piece: straight into the count */
        fold_text(x);
        count_escaped(x->counter, escaped);
    } else if (escaped.n && grow_text(x, escaped.n)) {
        memcpy(x->text + x->text_n, escaped.p, escaped.n);
        x->text_n += (uint32_t)escaped.n;
    }
}

void meter_release(struct exchange *x)
{
    free(x->text);
    x->text = NULL;
    x->text_n = x->text_capacity = 0;
    if (x->counter)
        token_counter_fini(x->counter);
    x->counter = NULL;
}

/* ---- the estimate ---- */

int64_t meter_count_input(struct exchange *x, enum tokenizer_encoding encoding)
{
    struct complaint why;
    struct neutral_request request;
    neutral_request_init(&request, &x->arena);
    if (x->dialect->decode_request(&x->arena, x->api, exchange_body(x), &request, &why) != ERR_OK)
        return USAGE_UNKNOWN;
    return neutral_count_input(&request, encoding);
}

static int64_t estimate_output(struct exchange *x)
{
    if (x->api == API_OPENAI_EMBEDDINGS)
        return 0;
    fold_text(x);
    return (int64_t)token_counter_finish(x->counter);
}

/* Did this provider's work cost anything? Failures before an answer are not billed; an answer that broke off or was left is. */
bool meter_was_used(const struct exchange *x)
{
    if (!x->attempts_n)
        return false;
    enum attempt_outcome last = (enum attempt_outcome)x->attempts[x->attempts_n - 1].outcome;
    bool begun = x->attempt_first_byte_ns && x->provider_status == 200;
    return last == ATTEMPT_ANSWERED || (begun && (last == ATTEMPT_BROKEN || last == ATTEMPT_CANCELLED || last == ATTEMPT_PROTOCOL || last == ATTEMPT_RESET || last == ATTEMPT_TIMEOUT));
}

static void settle_usage(struct exchange *x, struct usage *u)
{
    if (x->attempts_n && x->notes.usage->source == USAGE_SOURCE_REPORTED) {
        *u = *x->notes.usage;
    } else if (meter_was_used(x)) {
        u->source = USAGE_SOURCE_ESTIMATED;
        u->count[USAGE_INPUT] = meter_count_input(x, x->deployment->encoding);
        u->count[USAGE_OUTPUT] = estimate_output(x);
    } else if (x->asked && x->attempts[x->attempts_n - 1].outcome == ATTEMPT_CANCELLED) {
        u->source = USAGE_SOURCE_ESTIMATED; /* it has the prompt and had not answered: what it wrote is unknown */
        u->count[USAGE_INPUT] = meter_count_input(x, x->deployment->encoding);
    } else {
        u->source = USAGE_SOURCE_NONE;
    }
    if (x->outcome == RECORD_ANSWERED)
        u->count[USAGE_REQUEST] = 1;
}

/* ---- the record ---- */

static uint64_t us_between(uint64_t from_ns, uint64_t to_ns) { return to_ns > from_ns ? (to_ns - from_ns) / NS_PER_US : 0; }
static uint32_t short_us(uint64_t us) { return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us; }

static void record_attempts(const struct exchange *x, struct usage_record *r)
{
    r->attempts_n = (uint8_t)x->attempts_n;
    for (unsigned i = 0; i < x->attempts_n; i++) {
        const struct attempt_note *note = &x->attempts[i];
        struct attempt_record *a = &r->attempts[i];
        a->deployment = (uint16_t)note->deployment->index;
        a->status = note->status;
        a->outcome = note->outcome;
        a->wait_us = note->wait_us;
        record_set_name(a->provider, span_str(note->deployment->provider->name));
        record_set_name(a->model, deployment_model(note->deployment, x->facts->model));
    }
}

static void record_times(const struct exchange *x, struct usage_record *r, uint64_t now)
{
    r->wall_us = x->started_wall_us;
    r->receive_us = short_us(us_between(x->started_ns, x->received_ns));
    r->duration_us = us_between(x->started_ns, now);
    r->first_byte_us = x->first_byte_ns ? short_us(us_between(x->started_ns, x->first_byte_ns)) : 0;
}

static void record_who(const struct exchange *x, struct usage_record *r)
{
    r->api = (uint8_t)x->api;
    r->stream = x->facts && x->facts->stream;
    if (x->facts)
        record_set_name(r->model_asked, x->facts->model);
    if (x->key) {
        record_set_name(r->key, span_str(x->key->name));
        record_set_name(r->department, span_str(x->key->department));
    }
}

/* Costs of a deployment, by currency; what the scraping thread reads is rounded down to 10^-9. */
static void count_cost(struct deployment_stats *s, const struct charge *c)
{
    for (unsigned i = 0; c->line && i < EXCHANGE_CURRENCIES_MAX; i++) {
        struct deployment_cost *cost = &s->costs[i];
        if (!cost->currency[0]) {
            memcpy(cost->currency, c->line->book->currency, sizeof cost->currency);
            __atomic_store_n(&s->costs_n.value, i + 1, __ATOMIC_RELEASE); /* the name is there for who reads it */
        }
        if (strcmp(cost->currency, c->line->book->currency) != 0)
            continue;
        cost->total += c->amount;
        stat_set(&cost->nano, (uint64_t)(cost->total / (MONEY_ONE / 1000000000)));
        return;
    }
}

static void count_usage(struct exchange *x, const struct usage_record *r)
{
    struct deployment_stats *s = x->binding->stats[x->deployment->index];
    stat_add(&s->usage_source[r->usage.source], 1);
    for (int c = 0; c < USAGE_CLASSES; c++)
        if (r->usage.count[c] > 0) {
            stat_add(&s->tokens[c], (uint64_t)r->usage.count[c]);
            stat_add(&s->unpriced[c], r->buy.unpriced >> c & 1 ? (uint64_t)r->usage.count[c] : 0);
        }
    count_cost(s, &r->buy);
}

static void count_stats(struct exchange *x, const struct usage_record *r)
{
    stat_add(&x->owner->stats.outcomes[r->outcome], 1);
    if (!x->attempts_n)
        return;
    struct deployment_stats *s = x->binding->stats[x->deployment->index];
    count_usage(x, r);
    stat_observe(&s->duration_us, EXCHANGE_TIME_BOUND_US, r->duration_us);
    if (r->stream && r->first_byte_us && r->outcome != RECORD_FAILED)
        stat_observe(&s->first_byte_us, EXCHANGE_TIME_BOUND_US, r->first_byte_us);
}

/* Of the exchange, or of its last attempt when that is a record of its own. */
static void make_record(struct exchange *x, struct usage_record *r, uint8_t attempt)
{
    struct budget_amounts actual = {.buy = 0};
    memcpy(r->id, x->id, sizeof r->id);
    r->issuer = x->owner->id_high;
    r->counter = x->number;
    r->attempt = attempt;
    usage_init(&r->usage);
    settle_usage(x, &r->usage);
    if (r->usage.source == USAGE_SOURCE_REPORTED || r->usage.source == USAGE_SOURCE_ESTIMATED)
        actual = charge_usage(x, x->deployment, r);
    r->held = x->is_held && !attempt ? x->held : 0;
    hold_settle(x, &actual);
    record_who(x, r);
    record_attempts(x, r);
    record_times(x, r, loop_now_ns(x->owner->options.loop));
    record_set_name(r->model_served, x->notes.model_served);
    record_set_name(r->tier, x->notes.service_tier);
    r->finish = (uint8_t)x->notes.finish;
    r->provider_cost_nano = x->attempts_n ? x->notes.provider_cost_nano : -1;
    r->bytes_in = x->bytes_in;
    r->bytes_out = x->bytes_out;
}

/* EXCHANGE_WAIT: done is called. Without a ledger there is nothing to wait for. */
static enum exchange_step submit(struct exchange *x, struct usage_record *r, struct ledger_ticket *t, ledger_done_fn *done)
{
    const struct exchanger_options *o = &x->owner->options;
    if (!o->ledger) {
        o->unbooked(o->unbooked_owner, r);
        return EXCHANGE_FINISH;
    }
    *t = (struct ledger_ticket){.op = LEDGER_POST, .record = r, .loop = o->loop, .done = done, .owner = x};
    ledger_submit(o->ledger, t);
    return EXCHANGE_WAIT;
}

/* Nobody waits for it; the record of the exchange follows it to the ledger and is waited for. */
void meter_lost_attempt(struct exchange *x)
{
    struct usage_record *r = ARENA_NEW(&x->arena, struct usage_record);
    x->outcome = RECORD_FAILED;
    make_record(x, r, (uint8_t)x->attempts_n);
    r->outcome = RECORD_FAILED;
    r->error = (uint16_t)x->error;
    count_usage(x, r);
    (void)submit(x, r, ARENA_NEW(&x->arena, struct ledger_ticket), NULL);
    attempt_reset_answer(x); /* what it used is booked: the exchange's own record must not have it again */
}

enum exchange_step exchange_meter(struct exchange *x)
{
    struct usage_record *r = x->record = ARENA_NEW(&x->arena, struct usage_record);
    timer_clear(&x->timer);
    finish_compose(x);
    make_record(x, r, 0);
    r->outcome = (uint8_t)x->outcome;
    r->status = (uint16_t)x->status;
    r->error = (uint16_t)(x->outcome == RECORD_ANSWERED ? ERR_OK : x->error);
    count_stats(x, r);
    return EXCHANGE_RECORD;
}

/* ---- into the books ---- */

static void record_done(void *owner, enum err e)
{
    struct exchange *x = owner;
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    CHECK(x->step == EXCHANGE_RECORD);
    if (e)
        finish_withhold(x);
    exchange_go(x, EXCHANGE_FINISH);
}

enum exchange_step exchange_record(struct exchange *x)
{
    x->ticket = ARENA_NEW(&x->arena, struct ledger_ticket);
    return submit(x, x->record, x->ticket, record_done);
}
