/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything that is written to the client: the head of a stream, its slices, and the end of each kind of answer. The end is composed
 * before the record is made (so that the record knows status and bytes) and sent when the record is on disk.
 *
 *   METER calls finish_compose -> RECORD waits -> FINISH sends what was composed
 */
#include "exchange/exchange_private.h"
#include "http/h1.h"

#define COMMON_HEADERS_MAX 5
#define STREAM_HEADERS_MAX 3

static unsigned common_headers(struct exchange *x, struct header *out)
{
    unsigned n = 0;
    out[n++] = (struct header){SPAN("x-entente-request-id"), span_str(x->id)};
    out[n++] = (struct header){SPAN("x-request-id"), span_str(x->id)};
    if (x->attempts_n) {
        out[n++] = (struct header){SPAN("x-entente-provider"), span_str(x->deployment->provider->name)};
        struct span model = deployment_model(x->deployment, x->facts->model);
        if (h1_is_field_value(model)) /* a name that was passed on is the client's own text */
            out[n++] = (struct header){SPAN("x-entente-model"), model};
        out[n++] = (struct header){SPAN("x-entente-attempts"), arena_u64(&x->arena, x->attempts_n)};
    }
    return n;
}

static void mark_first_byte(struct exchange *x)
{
    x->last_byte_ns = loop_now_ns(x->owner->options.loop);
    if (!x->first_byte_ns)
        x->first_byte_ns = x->last_byte_ns;
}

void finish_begin_stream(struct exchange *x)
{
    struct header headers[COMMON_HEADERS_MAX + STREAM_HEADERS_MAX];
    unsigned n = common_headers(x, headers);
    headers[n++] = (struct header){SPAN("content-type"), span_str(x->dialect->stream_type)};
    headers[n++] = (struct header){SPAN("cache-control"), SPAN("no-cache")};
    headers[n++] = (struct header){SPAN("x-accel-buffering"), SPAN("no")};
    stream_begin(x->stream, 200, headers, n, UINT64_MAX);
    x->begun = true;
}

void finish_write(struct exchange *x, const struct iovec *slices, int n)
{
    for (int i = 0; i < n; i++)
        x->bytes_out += slices[i].iov_len;
    mark_first_byte(x);
    if (stream_write(x->stream, slices, n, false) || x->paused)
        return;
    x->paused = true;
    if (x->call)
        call_pause(x->call);
}

static int error_status(const struct exchange *x)
{
    return x->pass_status ? x->pass_status : x->complaint->status ? x->complaint->status : err_status(x->error);
}

static void compose_error(struct exchange *x)
{
    x->status = error_status(x);
    if (x->pass_status)
        return; /* the provider's own body is in answer */
    buf_fini(&x->answer);
    buf_init(&x->answer, LIMIT_ERROR_BODY_BYTES * 2);
    x->dialect->write_error(&x->answer, x->complaint);
}

/* The honest end of a stream that was lost: an error event, and no end marker after it. */
static void compose_broken(struct exchange *x)
{
    x->status = 200;
    buf_fini(&x->answer);
    buf_init(&x->answer, LIMIT_ERROR_BODY_BYTES * 2);
    x->dialect->write_stream_error(&x->answer, x->complaint);
}

static enum err compose_stream_end(struct exchange *x)
{
    x->status = 200;
    buf_fini(&x->answer);
    buf_init(&x->answer, LIMIT_ERROR_BODY_BYTES);
    return buf_append(&x->answer, span_str(x->dialect->stream_end ? x->dialect->stream_end : ""));
}

/* Where config says so. What the answer was metered by was read before, and nobody reads it after. */
static void compress(struct exchange *x)
{
    size_t n = buf_bytes(&x->answer);
    struct buf coded;
    if (!x->owner->options.limits.compress || n < ENCODE_LEAST_BYTES || n > ENCODE_MOST_BYTES)
        return;
    x->varies = true;
    enum encoding encoding = encode_choose(http_header(&stream_base(x->stream)->head, SPAN("accept-encoding")));
    buf_init(&coded, n);
    if (encoding != ENCODING_IDENTITY && encode_whole(encoding, buf_span(&x->answer), &coded) == ERR_OK) {
        x->encoding = encoding;
        buf_fini(&x->answer);
        buf_move(&x->answer, &coded);
    }
    buf_fini(&coded);
}

static void compose_whole(struct exchange *x)
{
    x->status = 200;
    compress(x);
}

void finish_compose(struct exchange *x)
{
    if (x->aborted) { /* nobody is there to be told */
        x->status = x->begun ? 200 : 499;
        return;
    }
    if (x->outcome != RECORD_ANSWERED && x->begun)
        compose_broken(x);
    else if (x->outcome != RECORD_ANSWERED)
        compose_error(x);
    else if (x->kind == ANSWER_WHOLE)
        compose_whole(x);
    else if (compose_stream_end(x) != ERR_OK)
        x->status = 200;
    x->bytes_out += buf_bytes(&x->answer);
    mark_first_byte(x);
}

void finish_withhold(struct exchange *x)
{
    if (x->outcome != RECORD_ANSWERED || x->aborted)
        return;
    exchange_complain(x, ERR_NOT_RECORDED, NULL, NULL);
    stat_add(&x->owner->stats.withheld, 1);
    x->outcome = RECORD_BROKEN;
    x->encoding = ENCODING_IDENTITY;
    finish_compose(x);
}

static unsigned retry_headers(struct exchange *x, struct header *out)
{
    unsigned n = 0;
    if (x->status != 429 && x->status != 503)
        return 0;
    int64_t wait_ms = x->retry_after_ms >= 0 ? x->retry_after_ms : 1000;
    out[n++] = (struct header){SPAN("retry-after"), arena_printf(&x->arena, "%lld", (long long)((wait_ms + 999) / 1000))};
    if (x->retry_after_ms >= 0)
        out[n++] = (struct header){SPAN("retry-after-ms"), arena_printf(&x->arena, "%lld", (long long)wait_ms)};
    if (x->attempts_n && x->attempts[x->attempts_n - 1].outcome == ATTEMPT_QUOTA)
        out[n++] = (struct header){SPAN("x-should-retry"), SPAN("false")};
    return n;
}

/* A whole body in one write: an answer or an error. */
static void send_whole(struct exchange *x, struct stream *s)
{
    struct header headers[COMMON_HEADERS_MAX + 6];
    unsigned n = common_headers(x, headers);
    headers[n++] = (struct header){SPAN("content-type"), SPAN("application/json")};
    if (x->encoding != ENCODING_IDENTITY)
        headers[n++] = (struct header){SPAN("content-encoding"), encoding_name(x->encoding)};
    if (x->varies)
        headers[n++] = (struct header){SPAN("vary"), SPAN("accept-encoding")};
    if (x->outcome != RECORD_ANSWERED)
        n += retry_headers(x, headers + n);
    stream_reply(s, x->status, headers, n, buf_span(&x->answer));
}

static void send_stream_end(struct exchange *x, struct stream *s)
{
    struct iovec slice = {(void *)(uintptr_t)buf_span(&x->answer).p, buf_bytes(&x->answer)};
    (void)stream_write(s, &slice, slice.iov_len ? 1 : 0, true);
}

enum exchange_step exchange_finish(struct exchange *x)
{
    if (x->stream && x->outcome == RECORD_ANSWERED && x->kind == ANSWER_EVENTS && !x->begun)
        finish_begin_stream(x); /* a stream of nothing but its end */
    struct stream *s = x->stream;
    x->stream = NULL; /* it ends in this function */
    if (!s)
        return EXCHANGE_DONE; /* the client left */
    if (x->begun)
        send_stream_end(x, s);
    else
        send_whole(x, s);
    return EXCHANGE_DONE;
}

enum exchange_step exchange_refuse(struct exchange *x)
{
    x->outcome = x->attempts_n ? RECORD_FAILED : RECORD_REFUSED;
    if (x->error == ERR_PROVIDER_REFUSED && x->provider_status >= 400 && x->provider_status < 500)
        x->complaint->status = x->provider_status;
    return EXCHANGE_METER;
}

enum exchange_step exchange_break(struct exchange *x)
{
    if (x->aborted)
        return EXCHANGE_ABANDON;
    x->outcome = RECORD_BROKEN;
    return EXCHANGE_METER;
}

enum exchange_step exchange_abandon(struct exchange *x)
{
    timer_clear(&x->timer);
    if (x->call) {
        x->asked = call_body_is_done(x->call);
        attempt_end(x, ATTEMPT_CANCELLED, HEALTH_ABANDONED);
    }
    if (x->error != ERR_DRAINING)
        x->error = ERR_CLIENT_GONE; /* whatever became of an answer that was read for its usage */
    x->outcome = x->error == ERR_DRAINING ? RECORD_BROKEN : RECORD_ABANDONED; /* a shutdown that could not wait is our doing */
    return EXCHANGE_METER;
}
