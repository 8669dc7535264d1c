/* SPDX-License-Identifier: Apache-2.0
 *
 * The dispatcher of exchanges, and their birth and end. Only exchange_go assigns the step; each handler returns the next one or
 * EXCHANGE_WAIT. What wakes a waiting exchange: the call's callbacks (relay.c, attempt.c), its timer, the client leaving.
 *
 *   RECEIVE -> IDENTIFY -> DECODE -> PLAN -> HOLD -> DIAL -> AWAIT -> RELAY -> METER -> RECORD -> FINISH -> DONE
 *      |          |          |        |       ^ |      |       |        |        ^
 *      |          |          |        |       | |      +---+   |        +-> BREAK+   lost in the middle
 *      |          |          |        |       | BACKOFF<-RETRY<---------+ (nothing relayed yet)
 *      +----------+----------+--------+-------+------------+-> REFUSE -----------+   an error for the client
 *                                    any waiting step -> ABANDON ----------------+   the client left
 */
#include "exchange/exchange_private.h"

#include <stdlib.h>

#include "base/log.h"

typedef enum exchange_step step_fn(struct exchange *x);

static const struct {
    const char *name, *sentence;
    step_fn *run;
} steps[EXCHANGE_STEPS] = {
#define STEP(UPPER, lower, sentence) {#lower, sentence, exchange_##lower},
#include "exchange/exchange_steps.def"
#undef STEP
};

static void assert_state(const struct exchange *x)
{
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    CHECK(x->step < EXCHANGE_STEPS);
    CHECK(!x->relayed || x->begun || x->aborted);
    CHECK(x->call == NULL || x->deployment != NULL);
    CHECK(x->step != EXCHANGE_FINISH || x->record != NULL);
}

void exchange_go(struct exchange *x, enum exchange_step step)
{
    CHECK(!x->running);
    x->running = true;
    while (step != EXCHANGE_WAIT) {
        x->step = step;
        assert_state(x);
        if (log_level() >= LOG_DEBUG)
            log_line(LOG_DEBUG, "step", "id", LOG_STR(x->id), "step", LOG_STR(steps[step].name), "means", LOG_STR(steps[step].sentence), NULL);
        enum exchange_step next = steps[step].run(x);
        if (step == EXCHANGE_DONE)
            return; /* x is gone */
        assert_state(x);
        step = next;
    }
    x->running = false;
}

static void timer_fired(void *owner)
{
    struct exchange *x = owner;
    if (x->step == EXCHANGE_BACKOFF)
        exchange_go(x, EXCHANGE_HOLD);
    else if (x->step == EXCHANGE_AWAIT || x->step == EXCHANGE_RELAY)
        exchange_go(x, x->step); /* they send a ping when one is due */
}

/* 50 random bits of this worker, then 40 bits of its counter: ids sort in order of arrival. */
/* 50 random bits of this worker, then 40 bits of its counter: ids sort in order of arrival. */
static void make_id(struct exchange *x)
{
    x->number = ++x->owner->id_next;
    record_id_write(x->owner->id_high, x->number, x->id);
}

struct span exchange_body(const struct exchange *x) { return x->body_small.p ? x->body_small : buf_span(&x->body); }

struct client_error *exchange_complain(struct exchange *x, enum err e, const char *param, const char *message)
{
    struct client_error *c = ARENA_NEW(&x->arena, struct client_error);
    c->error = e;
    c->message = message ? arena_strdup(&x->arena, span_str(message)) : NULL;
    c->param = param && param[0] ? arena_strdup(&x->arena, span_str(param)) : NULL;
    c->request_id = x->id;
    x->complaint = c;
    x->error = e;
    return c;
}

void exchange_start(struct exchanger *e, struct stream *s, const struct route *route)
{
    struct stream_base *base = stream_base(s);
    struct exchange *x = malloc(sizeof *x); /* and not calloc, which passes by malloc's cache of small blocks */
    if (!x) {
        stream_reply(s, 503, NULL, 0, SPAN_NONE);
        return;
    }
    *x = (struct exchange){.magic = EXCHANGE_MAGIC, .owner = e, .stream = s, .binding = e->binding};
    base->user = x;
    x->binding->references++;
    arena_init(&x->arena, 512);
    arena_init(&x->attempt_arena, 512);
    timer_init(&x->timer, base->loop, timer_fired, x);
    buf_init(&x->body, SIZE_MAX);
    buf_init(&x->answer, e->options.limits.answer_max);
    sse_init(&x->sse, LIMIT_EVENT_BYTES);
    x->dialect = route->dialect;
    x->api = route->api;
    x->deployment_in_path = arena_dup(&x->arena, route->deployment);
    x->deadline_ns = UINT64_MAX;
    x->retry_after_ms = -1;
    make_id(x);
    list_push_back(&e->exchanges, &x->link);
    stat_add(&e->stats.under_way, 1);
    exchange_go(x, EXCHANGE_RECEIVE);
}

/* The last step: everything goes back. The stream has ended (FINISH) or was taken away (ABANDON). */
enum exchange_step exchange_done(struct exchange *x)
{
    CHECK(x->call == NULL && x->stream == NULL);
    timer_clear(&x->timer);
    meter_release(x);
    sse_fini(&x->sse);
    buf_fini(&x->body);
    buf_fini(&x->answer);
    free((void *)(uintptr_t)x->body_small.p);
    arena_fini(&x->attempt_arena);
    list_remove(&x->link);
    stat_sub(&x->owner->stats.under_way, 1);
    binding_unref(x->binding);
    arena_fini(&x->arena);
    x->magic = 0;
    free(x);
    return EXCHANGE_WAIT;
}

void exchange_on_writable(void *exchange, struct stream *s)
{
    struct exchange *x = exchange;
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    if (!x->paused)
        return;
    x->paused = false;
    if (x->call)
        call_resume(x->call);
}

/* Nobody reads the answer any more but us. Its time limits bound it. */
static void drain(struct exchange *x)
{
    x->draining = true;
    timer_clear(&x->timer);
    if (x->paused)
        call_resume(x->call);
    x->paused = false;
}

void exchange_on_abort(void *exchange, struct stream *s, enum err why)
{
    struct exchange *x = exchange;
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    x->stream = NULL;
    x->aborted = true;
    if (x->step == EXCHANGE_RECORD && !x->running)
        return; /* the record is under way and ends it */
    x->error = why == ERR_DRAINING ? ERR_DRAINING : ERR_CLIENT_GONE;
    if (x->running)
        return;
    if (x->error == ERR_CLIENT_GONE && x->call && !x->lost_why && x->deployment->provider->abandoned == ABANDONED_DRAIN)
        drain(x);
    else
        exchange_go(x, EXCHANGE_ABANDON);
}

void exchanger_abandon(struct exchanger *e)
{
    LIST_FOR_EACH_SAFE (link, &e->exchanges) {
        struct exchange *x = CONTAINER_OF(link, struct exchange, link);
        if (x->draining && x->call)
            exchange_go(x, EXCHANGE_ABANDON);
    }
}
