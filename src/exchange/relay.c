/* SPDX-License-Identifier: Apache-2.0
 *
 * What the provider's answer becomes. A stream is relayed event by event: events that may pass are written from where the kernel put
 * them, all that one read brought in one write. An unstreamed answer is kept until it is whole and checked; so is an error, which is
 * then judged. The last byte is held back for finish.c.
 *
 *   relay_head -> AWAIT, relay_body* -> RELAY, relay_end -> METER | RETRY | REFUSE | BREAK
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "exchange/exchange_private.h"

#define SLICES_MAX 64
#define SMALL_BODY_BYTES (3 * KIB)
#define LINGER_NS (500 * NS_PER_MS)

/* The client left, and nothing of the answer matters any more. */
static bool is_over(const struct exchange *x) { return x->aborted && !x->draining; }

static void send_ping_when_due(struct exchange *x)
{
    uint64_t every = x->owner->options.limits.ping_ns, now = loop_now_ns(x->owner->options.loop);
    if (!every || !x->facts->stream || !x->dialect->stream_ping || !x->stream)
        return;
    if (now - x->last_byte_ns >= every && !x->paused) {
        uint64_t first_byte = x->first_byte_ns;
        struct iovec ping = {(void *)(uintptr_t)x->dialect->stream_ping, strlen(x->dialect->stream_ping)};
        if (!x->begun)
            finish_begin_stream(x);
        finish_write(x, &ping, 1);
        x->first_byte_ns = first_byte; /* a ping is not the first byte of an answer */
    }
    timer_set(&x->timer, (x->last_byte_ns > now ? x->last_byte_ns : now) + every);
}

enum exchange_step exchange_await(struct exchange *x)
{
    send_ping_when_due(x);
    return is_over(x) ? EXCHANGE_ABANDON : EXCHANGE_WAIT;
}

static enum exchange_step lose_lingering(struct exchange *x)
{
    attempt_fail(x, ERR_PROVIDER_FAULT, ATTEMPT_BROKEN, x->lost_why);
    return EXCHANGE_BREAK;
}

enum exchange_step exchange_relay(struct exchange *x)
{
    if (x->lost_why)
        return lose_lingering(x); /* the moment is over */
    send_ping_when_due(x);
    return is_over(x) ? EXCHANGE_ABANDON : EXCHANGE_WAIT;
}

/* ---- from the provider ---- */

static enum answer_kind kind_of_answer(const struct exchange *x, const struct http_head *head)
{
    struct span type = http_header(head, SPAN("content-type"));
    if (head->status != 200)
        return ANSWER_ERROR;
    bool is_json = span_starts_nocase(type, SPAN("application/json"));
    return x->facts->stream && !is_json ? ANSWER_EVENTS : ANSWER_WHOLE; /* some hosts name no type, or text/plain, for events */
}

static void read_error_head(struct exchange *x, const struct http_head *head)
{
    /* The advice on retrying stands in headers, which are gone when the body is whole. */
    struct provider_error error;
    int64_t wall_us = loop_wall_us(x->owner->options.loop);
    x->deployment->provider->dialect->read_error(head->status, head, SPAN_NONE, wall_us, &error);
    x->retry_after_ms = error.retry_after_ms;
}

void relay_head(void *owner, struct call *c, const struct http_head *head)
{
    struct exchange *x = owner;
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    x->attempt_first_byte_ns = loop_now_ns(x->owner->options.loop);
    x->provider_status = head->status;
    x->retry_after_ms = -1;
    x->kind = kind_of_answer(x, head);
    if (x->kind == ANSWER_ERROR)
        read_error_head(x, head);
}

static void lose(struct exchange *x, enum err e, const char *why)
{
    attempt_fail(x, e, x->relayed ? ATTEMPT_BROKEN : ATTEMPT_PROTOCOL, why);
    exchange_go(x, x->relayed ? EXCHANGE_BREAK : EXCHANGE_RETRY);
}

static void keep(struct exchange *x, struct span piece)
{
    size_t limit = x->kind == ANSWER_ERROR ? LIMIT_ERROR_BODY_BYTES : SIZE_MAX;
    if (buf_bytes(&x->answer) + piece.n > limit)
        piece.n = limit - buf_bytes(&x->answer); /* enough of an error to understand it */
    if (buf_append(&x->answer, piece) != ERR_OK)
        lose(x, ERR_PROVIDER_PROTOCOL, "the answer is larger than the limit");
}

/* Once a stream runs there will be no other attempt: what is left of the request is its body, for an estimate, and a small one moves to
 * where it takes no block. A provider that answers before it has the whole request keeps everything as it is. */
static void shed_request(struct exchange *x)
{
    size_t n = buf_bytes(&x->body);
    if (!x->call || !call_body_is_done(x->call))
        return; /* no call: the first event came with the end of the provider's answer */
    call_body_sent_release(x->call);
    arena_fini(&x->attempt_arena);
    if (x->stream)
        stream_release_head(x->stream);
    char *small = x->body.p && n <= SMALL_BODY_BYTES ? malloc(n + 1) : NULL;
    if (!small)
        return;
    memcpy(small, buf_span(&x->body).p, n);
    x->body_small = span_of(small, n);
    buf_fini(&x->body);
}

static void start_relaying(struct exchange *x)
{
    if (!x->begun && x->stream)
        finish_begin_stream(x);
    x->relayed = true;
    shed_request(x);
    exchange_go(x, EXCHANGE_RELAY);
}

/* What must not reach clients of event streams as it came: fields other than data (some SDKs fail on id: and retry:). Then the event is
 * written anew. */
static bool is_plain_data(const struct sse_event *e)
{
    return span_starts(e->raw, SPAN("data:")) && e->raw.n <= e->data.n + sizeof "data: \r\n\r\n" - 1;
}

struct outgoing {
    struct iovec slices[SLICES_MAX];
    int n;
};

static void send_outgoing(struct exchange *x, struct outgoing *out)
{
    if (out->n && !x->aborted)
        finish_write(x, out->slices, out->n);
    out->n = 0;
}

static void put(struct exchange *x, struct outgoing *out, struct span bytes)
{
    struct iovec *last = out->n ? &out->slices[out->n - 1] : NULL;
    if (!bytes.n)
        return;
    if (last && (const char *)last->iov_base + last->iov_len == bytes.p) {
        last->iov_len += bytes.n;
        return;
    }
    if (out->n == SLICES_MAX)
        send_outgoing(x, out);
    out->slices[out->n++] = (struct iovec){(void *)(uintptr_t)bytes.p, bytes.n};
}

/* Data that came over several lines, in one: between the tokens of JSON a space is as good as a line end. */
static void put_in_one_line(struct exchange *x, struct outgoing *out, struct span data)
{
    while (data.p) {
        put(x, out, span_cut(&data, '\n'));
        if (data.p)
            put(x, out, SPAN(" "));
    }
}

static void put_event(struct exchange *x, struct outgoing *out, const struct sse_event *e, const struct event_scan *scan)
{
    bool cut = scan->verdict == EVENT_USAGE_TOO && !x->facts->wants_usage;
    if (!cut && is_plain_data(e) && !e->is_tail) {
        put(x, out, e->raw);
        return;
    }
    put(x, out, SPAN("data: "));
    put_in_one_line(x, out, cut ? span_to(e->data, scan->cut_at) : e->data);
    if (cut)
        put_in_one_line(x, out, span_from(e->data, scan->cut_end));
    put(x, out, SPAN("\n\n"));
}

static bool is_comment(const struct sse_event *e) { return e->raw.n && e->raw.p[0] == ':'; }

/* A provider's words as plain text, bounded. */
static struct span peer_message(struct exchange *x, struct span escaped)
{
    return escaped.n ? span_to(json_unescape(&x->arena, (struct json_string){escaped, true}), 200) : SPAN("");
}

/* An error event after content: the stream is lost, but some hosts still tell the usage behind it, so the call goes on for a moment. */
static bool linger_for_usage(struct exchange *x, struct outgoing *out, struct span why)
{
    send_outgoing(x, out);
    x->lost_why = arena_strdup(&x->arena, why);
    timer_set_in(&x->timer, LINGER_NS);
    return !is_over(x);
}

/* False: the relay is over. */
static bool fail_in_stream(struct exchange *x, struct outgoing *out, const struct event_scan *scan)
{
    bool failed = scan->verdict == EVENT_FAILED;
    struct span message = failed ? peer_message(x, scan->error_message) : SPAN("an event of the stream is not valid JSON");
    if (failed && x->relayed)
        return linger_for_usage(x, out, message);
    send_outgoing(x, out);
    if (!is_over(x))
        lose(x, failed ? ERR_PROVIDER_FAULT : ERR_PROVIDER_PROTOCOL, arena_strdup(&x->arena, message));
    return false;
}

/* One event. False: the relay is over (failed, or the client left). */
static bool relay_event(struct exchange *x, struct outgoing *out, struct sse_event *e)
{
    struct event_scan scan = {0};
    if (!e->has_data) {
        if (is_comment(e) && x->relayed && !e->is_tail) /* one without its end would swallow what follows */
            put(x, out, e->raw);
        return true;
    }
    x->deployment->provider->dialect->scan_event(x->api, e->data, &x->notes, &scan);
    if (x->lost_why)
        return true; /* nothing of it is for the client any more */
    if (scan.verdict == EVENT_FAILED || scan.verdict == EVENT_BROKEN)
        return fail_in_stream(x, out, &scan);
    if (scan.verdict == EVENT_SILENT)
        return true; /* an empty data: is some host's ping; it breaks readers that parse every data */
    if (scan.verdict == EVENT_DONE || (scan.verdict == EVENT_USAGE_ONLY && !x->facts->wants_usage))
        return true; /* the end marker is ours to send, after the record */
    if (!x->relayed)
        start_relaying(x);
    if (is_over(x))
        return false;
    put_event(x, out, e, &scan);
    return true;
}

static void relay_events(struct exchange *x, struct span piece)
{
    struct outgoing out = {.n = 0};
    struct sse_event event;
    enum err e;
    sse_feed(&x->sse, piece);
    while ((e = sse_next(&x->sse, &event)) == ERR_OK) {
        bool copied = event.raw.p < piece.p || event.raw.p >= piece.p + piece.n || event.data.p < piece.p || event.data.p >= piece.p + piece.n;
        if (!relay_event(x, &out, &event))
            return;
        if (copied)
            send_outgoing(x, &out); /* its bytes are gone with the next event */
    }
    send_outgoing(x, &out);
    if (is_over(x))
        return;
    if (e != ERR_AGAIN)
        lose(x, ERR_PROVIDER_PROTOCOL, "an event of the stream is larger than the limit");
}

void relay_body(void *owner, struct call *c, struct span piece)
{
    struct exchange *x = owner;
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    if (x->kind == ANSWER_WHOLE && x->facts->stream && !buf_bytes(&x->answer) && span_starts(piece, SPAN("data:")))
        x->kind = ANSWER_EVENTS; /* called JSON, but it is the stream that was asked for */
    if (x->kind == ANSWER_EVENTS)
        relay_events(x, piece);
    else
        keep(x, piece);
}

/* ---- the end of the provider's answer ---- */

static enum attempt_outcome outcome_of_class(enum provider_error_class c)
{
    switch (c) {
    case PROVIDER_ERROR_RATE: return ATTEMPT_RATE;
    case PROVIDER_ERROR_QUOTA: return ATTEMPT_QUOTA;
    case PROVIDER_ERROR_CREDENTIAL: return ATTEMPT_CREDENTIAL;
    case PROVIDER_ERROR_REQUEST: case PROVIDER_ERROR_CONTEXT: case PROVIDER_ERROR_FILTER: case PROVIDER_ERROR_NOT_FOUND: return ATTEMPT_REFUSED;
    default: return ATTEMPT_FAULT;
    }
}

static enum err err_of_class(enum provider_error_class c)
{
    switch (c) {
    case PROVIDER_ERROR_RATE: case PROVIDER_ERROR_QUOTA: return ERR_PROVIDER_RATE;
    case PROVIDER_ERROR_CREDENTIAL: return ERR_PROVIDER_CREDENTIAL;
    case PROVIDER_ERROR_REQUEST: case PROVIDER_ERROR_CONTEXT: case PROVIDER_ERROR_FILTER: return ERR_PROVIDER_REFUSED;
    case PROVIDER_ERROR_NOT_FOUND: return ERR_UNKNOWN_MODEL;
    default: return ERR_PROVIDER_FAULT;
    }
}

/* May the provider's own error go to the client as it is? Only one that speaks of the client's request, in the client's dialect. */
static bool can_pass(const struct exchange *x, const struct provider_error *error)
{
    enum attempt_outcome outcome = outcome_of_class(error->class);
    return outcome == ATTEMPT_REFUSED && json_check(buf_span(&x->answer)) == ERR_OK && json_find(buf_span(&x->answer), "error.message").p;
}

static void judge_error(struct exchange *x)
{
    struct provider_error error;
    int64_t advice = x->retry_after_ms;
    const struct dialect *d = x->deployment->provider->dialect;
    d->read_error(x->provider_status, NULL, buf_span(&x->answer), loop_wall_us(x->owner->options.loop), &error);
    x->retry_after_ms = advice >= 0 ? advice : error.retry_after_ms;
    char why[300];
    bool quote = error.message.n && error.class != PROVIDER_ERROR_CREDENTIAL; /* what it says of our secret is for nobody */
    snprintf(why, sizeof why, "status %d%s%.*s", x->provider_status, quote ? ", " : "", SPAN_ARG(quote ? peer_message(x, error.message) : SPAN("")));
    bool pass = can_pass(x, &error);
    attempt_fail(x, err_of_class(error.class), outcome_of_class(error.class), why);
    x->pass_status = pass ? x->provider_status : 0;
    x->retry_here = provider_error_retry_here(&error);
    x->retry_elsewhere = provider_error_retry_elsewhere(&error);
    exchange_go(x, EXCHANGE_RETRY);
}

static void finish_well(struct exchange *x)
{
    attempt_end(x, ATTEMPT_ANSWERED, HEALTH_OK);
    x->outcome = x->aborted ? RECORD_ABANDONED : RECORD_ANSWERED;
    exchange_go(x, EXCHANGE_METER);
}

static void end_whole(struct exchange *x)
{
    enum err e = x->facts->stream ? ERR_PROVIDER_PROTOCOL
                                  : x->deployment->provider->dialect->scan_answer(x->api, buf_span(&x->answer), &x->notes);
    if (x->notes.error_seen)
        judge_error(x); /* an error inside a 200 is judged as one outside */
    else if (e)
        lose(x, e, x->facts->stream ? "a stream was asked for and something else came" : "the answer is not what the dialect allows");
    else
        finish_well(x);
}

static void end_events(struct exchange *x)
{
    struct sse_event event;
    struct outgoing out = {.n = 0};
    if (sse_end(&x->sse, &event) == ERR_OK) {
        if (!relay_event(x, &out, &event))
            return;
        send_outgoing(x, &out);
    }
    if (is_over(x))
        return;
    if (x->lost_why) {
        exchange_go(x, lose_lingering(x));
        return;
    }
    /* Without [DONE] a stream is whole when its choices finished: several providers never send the marker. */
    bool spoke = x->relayed || x->notes.usage->source == USAGE_SOURCE_REPORTED;
    if (spoke && (x->notes.done || x->notes.choices_finished))
        finish_well(x);
    else
        lose(x, ERR_PROVIDER_RESET, spoke ? "the stream ended without a finish reason" : "the stream ended before it began");
}

void relay_end(void *owner, struct call *c)
{
    struct exchange *x = owner;
    CHECK_MAGIC(x, EXCHANGE_MAGIC);
    x->call = NULL;
    switch (x->kind) {
    case ANSWER_EVENTS: end_events(x); break;
    case ANSWER_WHOLE: end_whole(x); break;
    case ANSWER_ERROR: judge_error(x); break;
    case ANSWER_NONE: lose(x, ERR_PROVIDER_PROTOCOL, "the answer ended before it began"); break;
    }
}
