/* SPDX-License-Identifier: Apache-2.0
 *
 * One try at one deployment: DIAL builds the provider's request and starts the call; RETRY decides after a failure that the client has
 * seen nothing of. A retry is a new decision of the plan and of the budgets, within the attempts, the deadline and the worker's share of retries.
 */
#include <stdio.h>

#include "base/log.h"
#include "exchange/exchange_private.h"

#define HEADERS_MAX 32u
#define SLICES_MAX 8u

static const struct span forwarded_headers[] = { /* what a client may say to a provider beside the body */
    {"traceparent", 11}, {"tracestate", 10}, {"baggage", 7}, {"openai-beta", 11}, {"anthropic-beta", 14}, {"anthropic-version", 17},
};

static void attempt_failed(void *owner, struct call *c, enum err e, const char *why);

static const struct call_handler call_handler = {
    .on_head = relay_head, .on_body = relay_body, .on_end = relay_end, .on_fail = attempt_failed,
};

static unsigned request_headers(struct exchange *x, const struct endpoint *endpoint, struct header *out)
{
    const struct provider *p = x->deployment->provider;
    unsigned n = 0;
    out[n++] = (struct header){SPAN("user-agent"), SPAN("entente/" ENTENTE_VERSION)};
    n += p->dialect->endpoint_headers(&x->attempt_arena, endpoint, out + n, HEADERS_MAX - n - (unsigned)COUNT_OF(forwarded_headers));
    for (unsigned i = 0; i < COUNT_OF(forwarded_headers) && n < HEADERS_MAX; i++) {
        struct span value = http_header(&stream_base(x->stream)->head, forwarded_headers[i]);
        if (value.p)
            out[n++] = (struct header){forwarded_headers[i], value};
    }
    for (unsigned i = 0; i < p->extra_headers_n && n < HEADERS_MAX; i++)
        out[n++] = p->extra_headers[i];
    return n;
}

static struct span request_target(struct exchange *x, const struct endpoint *endpoint)
{
    struct buf target;
    buf_init(&target, LIMIT_TARGET_BYTES);
    enum err e = x->deployment->provider->dialect->endpoint_target(&target, endpoint);
    struct span copy = e ? SPAN_NONE : arena_dup(&x->attempt_arena, buf_span(&target));
    buf_fini(&target);
    return copy;
}

/* Of the whole exchange, for the attempt that begins; 0: no end is set. */
static uint64_t time_left(const struct exchange *x)
{
    uint64_t now = loop_now_ns(x->owner->options.loop);
    if (x->deadline_ns == UINT64_MAX)
        return 0;
    return x->deadline_ns > now ? x->deadline_ns - now : 1;
}

/* A copy that lasts as long as the call. */
static void *keep(struct exchange *x, const void *bytes, size_t n)
{
    return memcpy(arena_alloc(&x->attempt_arena, n), bytes, n);
}

static bool start_call(struct exchange *x)
{
    const struct deployment *d = x->deployment;
    const struct provider *p = d->provider;
    struct span model = deployment_model(d, x->facts->model);
    struct endpoint endpoint = {x->api, p->base_path, model, p->credential, p->api_version, x->facts->stream};
    struct header headers[HEADERS_MAX];
    struct iovec slices[SLICES_MAX];
    unsigned headers_n = request_headers(x, &endpoint, headers);
    bool ask_usage = x->facts->stream && p->ask_usage == ASK_USAGE_YES;
    unsigned slices_n = dialect_edit_request(&x->attempt_arena, x->facts, exchange_body(x), model, ask_usage, slices);
    struct call_options options = {
        .method = SPAN("POST"),
        .target = request_target(x, &endpoint),
        .authority = p->authority,
        .headers = keep(x, headers, headers_n * sizeof headers[0]),
        .headers_n = headers_n,
        .body = keep(x, slices, slices_n * sizeof slices[0]),
        .body_n = slices_n,
        .first_byte_timeout_ns = p->first_byte_timeout_ns,
        .idle_timeout_ns = p->idle_timeout_ns,
        .total_timeout_ns = time_left(x),
        .handler = &call_handler,
        .owner = x,
    };
    if (!options.target.n)
        return false;
    x->call = call_start(x->binding->origins[p->index], &options);
    return x->call != NULL;
}

void attempt_reset_answer(struct exchange *x)
{
    x->kind = ANSWER_NONE;
    x->provider_status = 0;
    x->attempt_first_byte_ns = 0;
    x->pass_status = 0;
    buf_fini(&x->answer);
    sse_fini(&x->sse);
    sse_init(&x->sse, LIMIT_EVENT_BYTES);
    meter_release(x);
    answer_notes_init(&x->notes, &x->arena);
    x->notes.on_text = meter_text;
    x->notes.owner = x;
}

enum exchange_step exchange_dial(struct exchange *x)
{
    uint64_t now = loop_now_ns(x->owner->options.loop);
    x->deployment = x->hold_for;
    CHECK(x->deployment != NULL && x->attempts_n < x->attempts_max);
    if (x->deadline_ns == UINT64_MAX && x->deployment->provider->total_timeout_ns)
        x->deadline_ns = x->started_ns + x->deployment->provider->total_timeout_ns;
    attempt_reset_answer(x);
    arena_fini(&x->attempt_arena);
    x->attempts[x->attempts_n++] = (struct attempt_note){.deployment = x->deployment};
    x->attempt_started_ns = now;
    health_begin(x->binding->health, x->deployment, now);
    stat_add(&x->binding->stats[x->deployment->index]->under_way, 1);
    if (start_call(x))
        return EXCHANGE_AWAIT;
    attempt_fail(x, ERR_NO_MEMORY, ATTEMPT_CONNECT, "the call could not be started");
    return EXCHANGE_RETRY;
}

static uint32_t saturated_us(uint64_t ns) { return ns / NS_PER_US > UINT32_MAX ? UINT32_MAX : (uint32_t)(ns / NS_PER_US); }

/* Closes the account of the running attempt. The call is over or is cancelled here. */
void attempt_end(struct exchange *x, enum attempt_outcome outcome, enum health_outcome health)
{
    uint64_t now = loop_now_ns(x->owner->options.loop);
    struct attempt_note *note = &x->attempts[x->attempts_n - 1];
    struct deployment_stats *stats = x->binding->stats[x->deployment->index];
    uint64_t first = x->attempt_first_byte_ns ? x->attempt_first_byte_ns - x->attempt_started_ns : 0;
    uint64_t rest = x->retry_after_ms > 0 ? (uint64_t)x->retry_after_ms * NS_PER_MS : 0;
    if (x->call)
        call_cancel(x->call);
    x->call = NULL;
    note->outcome = (uint8_t)outcome;
    note->status = (uint16_t)x->provider_status;
    note->wait_us = saturated_us(first ? first : now - x->attempt_started_ns);
    health_end(x->binding->health, x->deployment, health, now, first, health == HEALTH_LIMITED ? rest : 0);
    stat_add(&stats->attempts[outcome], 1);
    stat_sub(&stats->under_way, 1);
}

/* As attempt_end for a failure: remembers what to tell the client should this have been the last attempt. */
void attempt_fail(struct exchange *x, enum err e, enum attempt_outcome outcome, const char *why)
{
    const struct deployment *d = x->deployment;
    bool limited = outcome == ATTEMPT_RATE || outcome == ATTEMPT_QUOTA;
    bool harmless = outcome == ATTEMPT_REFUSED;
    attempt_end(x, outcome, limited ? HEALTH_LIMITED : harmless ? HEALTH_OK : HEALTH_FAILED);
    x->retry_here = x->retry_elsewhere = err_is_retryable(e);
    char message[512];
    snprintf(message, sizeof message, "%s (provider %s%s%.300s)", err_sentence(e), d->provider->name, why && why[0] ? ": " : "", why ? why : "");
    exchange_complain(x, e, NULL, message);
    if (!harmless)
        log_line(LOG_WARN, "attempt failed", "id", LOG_STR(x->id), "provider", LOG_STR(d->provider->name), "model", LOG_SPAN(d->model),
                 "outcome", LOG_STR(attempt_outcome_name(outcome)), "status", LOG_INT(x->provider_status), "why", LOG_STR(why ? why : ""), NULL);
}

static enum attempt_outcome outcome_of(enum err e)
{
    switch (e) {
    case ERR_CONNECT: case ERR_DNS: case ERR_TLS: case ERR_PROXY: case ERR_CONNECT_TIMEOUT: case ERR_OVERLOADED: return ATTEMPT_CONNECT;
    case ERR_FIRST_BYTE_TIMEOUT: case ERR_IDLE_TIMEOUT: case ERR_TOTAL_TIMEOUT: return ATTEMPT_TIMEOUT;
    case ERR_PROVIDER_PROTOCOL: return ATTEMPT_PROTOCOL;
    default: return ATTEMPT_RESET;
    }
}

static void attempt_failed(void *owner, struct call *c, enum err e, const char *why)
{
    struct exchange *x = owner;
    x->call = NULL;
    if (x->lost_why) { /* it had told us of its failure already */
        e = ERR_PROVIDER_FAULT;
        why = x->lost_why;
    }
    attempt_fail(x, e, x->relayed ? ATTEMPT_BROKEN : outcome_of(e), why);
    exchange_go(x, x->relayed ? EXCHANGE_BREAK : EXCHANGE_RETRY);
}

/* How long to wait before the same deployment is asked again: the provider's advice, else doubling with jitter. */
static uint64_t backoff_ns(const struct exchange *x)
{
    const struct retry_policy *r = &x->binding->catalog->retry;
    uint64_t wait = r->backoff_ns << (x->attempts_n - 1 < 10 ? x->attempts_n - 1 : 10);
    wait = wait < r->backoff_max_ns ? wait : r->backoff_max_ns;
    wait -= wait / 4 ? loop_random(x->owner->options.loop) % (wait / 4) : 0;
    if (x->retry_after_ms >= 0)
        wait = (uint64_t)x->retry_after_ms * NS_PER_MS;
    return wait;
}

/* Is there another deployment, or may this one be asked again? Looks ahead without moving the plan. */
static const struct deployment *peek_next(const struct exchange *x)
{
    struct plan ahead = x->plan;
    return plan_next(&ahead, x->deployment, x->retry_here);
}

/* The same deployment once more, after a while. A client that would wait too long can wait better than we can: it is told for how long. */
enum exchange_step attempt_again(struct exchange *x)
{
    uint64_t now = loop_now_ns(x->owner->options.loop), wait = backoff_ns(x);
    if (wait > x->binding->catalog->retry.backoff_max_ns || (x->deadline_ns != UINT64_MAX && now + wait >= x->deadline_ns))
        return EXCHANGE_REFUSE;
    timer_set_in(&x->timer, wait ? wait : 1);
    return EXCHANGE_BACKOFF;
}

enum exchange_step exchange_retry(struct exchange *x)
{
    uint64_t now = loop_now_ns(x->owner->options.loop);
    bool allowed = x->attempts_n < x->attempts_max && (x->retry_here || x->retry_elsewhere);
    const struct deployment *next = allowed ? peek_next(x) : NULL;
    enum exchange_step step = EXCHANGE_HOLD;
    if (x->aborted)
        return EXCHANGE_ABANDON;
    if (!next || now >= x->deadline_ns)
        return EXCHANGE_REFUSE;
    if (next == x->deployment && (step = attempt_again(x)) == EXCHANGE_REFUSE)
        return EXCHANGE_REFUSE;
    if (!health_take_retry(x->binding->health, now)) {
        timer_clear(&x->timer);
        stat_add(&x->owner->stats.retries_denied, 1);
        return EXCHANGE_REFUSE;
    }
    stat_add(&x->owner->stats.retries, 1);
    if (meter_was_used(x))
        meter_lost_attempt(x);
    return step;
}

enum exchange_step exchange_backoff(struct exchange *x) { return EXCHANGE_WAIT; }
