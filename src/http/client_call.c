/* SPDX-License-Identifier: Apache-2.0
 *
 * One call: its life, its deadlines, and the way of the answer's bytes to the owner (content coding undone, held while paused).
 *
 *              call_attached            call_on_end, nothing held
 *   WAITING ------------------> ACTIVE ---------------------------> GONE
 *      ^  |      call_restart    | |        call_on_end                ^
 *      +--|----------------------+ +------------------> HELD ----------+  call_task, when all was delivered
 *         |                                                            |
 *         +--> FAILING (call_fail_soon) -------------------------------+  call_task
 *
 * The complication is the owner: inside any callback it may pause, resume or cancel, so what follows a callback looks first.
 */
#include "http/client_private.h"

#include <stdlib.h>

#define DECODE_STEP 512u            /* bytes of coded input at once: bounds what a bomb can make of them ... */
#define DECODE_STEP_MAX (1u * MIB)  /* ... to this; 2000 times is beyond what honest text compresses to */

static void call_task(void *owner);
static void call_timer(void *owner);

/* ---- life ---- */

static uint64_t bytes_of(const struct iovec *parts, unsigned n)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += parts[i].iov_len;
    return sum;
}

static struct call *call_alloc(struct client *client)
{
    struct list *link = list_pop_front(&client->free_calls);
    if (link) {
        client->free_calls_n--;
        return CONTAINER_OF(link, struct call, link);
    }
    struct call *c = malloc(sizeof *c);
    CHECK(c);
    return c;
}

static uint64_t after(uint64_t from_ns, uint64_t delay_ns) { return delay_ns ? from_ns + delay_ns : UINT64_MAX; }

static uint64_t total_ends(const struct call *c) { return after(c->times.started, c->options.total_timeout_ns); }

struct call *call_new(struct origin *o, const struct call_options *options)
{
    struct call *c = call_alloc(o->client);
    *c = (struct call){.magic = CALL_MAGIC, .client = o->client, .origin = o, .options = *options, .times.started = loop_now_ns(o->client->loop)};
    c->body_bytes = bytes_of(options->body, options->body_n);
    c->is_head_request = span_eq(options->method, SPAN("HEAD"));
    c->has_body = c->body_bytes || span_eq(options->method, SPAN("POST")) || span_eq(options->method, SPAN("PUT")) ||
                  span_eq(options->method, SPAN("PATCH"));
    buf_init(&c->held, CLIENT_HELD_BYTES);
    timer_init(&c->timer, o->client->loop, call_timer, c);
    task_init(&c->task, call_task, c);
    o->users++;
    if (options->total_timeout_ns)
        timer_set(&c->timer, total_ends(c));
    return c;
}

void call_free(struct call *c)
{
    struct client *client = c->client;
    origin_unuse(c->origin);
    c->magic = 0;
    if (client->free_calls_n >= CLIENT_FREE_MAX) {
        free(c);
        return;
    }
    list_push_front(&client->free_calls, &c->link);
    client->free_calls_n++;
}

/* Nothing may happen to the call any more; its memory stays until the loop is left. */
static void mark_gone(struct call *c)
{
    c->state = CALL_GONE;
    c->times.ended = loop_now_ns(c->client->loop);
    timer_clear(&c->timer);
    task_cancel(&c->task);
    decode_free(c->decode);
    c->decode = NULL;
    buf_fini(&c->held);
    list_remove(&c->link);
}

static void bury(struct call *c)
{
    list_push_back(&c->client->dead_calls, &c->link);
    c->client->reap_due = true;
}

/* Leaves the line or the connection, which an h1 connection does not survive. */
static void leave_connection(struct call *c, bool doubt)
{
    struct conn *n = c->conn;
    if (c->state == CALL_WAITING) {
        list_remove(&c->link);
        c->origin->waiting_n--;
    } else if (c->state == CALL_ACTIVE && n->state == CONN_H2) {
        h2_drop_call(n, c, doubt);
    } else if (c->state == CALL_ACTIVE) {
        n->call = NULL;
        conn_close(n, true);
    }
    call_detach(c);
}

void call_end_quietly(struct call *c)
{
    leave_connection(c, false);
    mark_gone(c);
    bury(c);
}

void call_fail(struct call *c, enum err e, const char *why)
{
    CHECK(c->state != CALL_GONE);
    mark_gone(c);
    c->options.handler->on_fail(c->options.owner, c, e, why);
    bury(c);
}

void call_fail_soon(struct call *c, enum err e, const char *why)
{
    c->state = CALL_FAILING;
    c->fail_error = e;
    c->fail_why = why;
    list_push_back(&c->origin->loose, &c->link);
    loop_defer(c->client->loop, &c->task);
}

static void finish(struct call *c)
{
    enum err e = c->decode && c->fed ? decode_end(c->decode) : ERR_OK;
    if (e != ERR_OK) {
        call_fail(c, ERR_PROVIDER_PROTOCOL, "the content coding of the answer was cut off");
        return;
    }
    mark_gone(c);
    c->options.handler->on_end(c->options.owner, c);
    bury(c);
}

void call_on_end(struct call *c)
{
    if (buf_bytes(&c->held)) {
        c->state = CALL_HELD;
        c->last_conn = NULL;
        list_push_back(&c->origin->loose, &c->link);
        return;
    }
    finish(c);
}

/* ---- deadlines ---- */

/* When does the silence end the call? UINT64_MAX: not now. */
static uint64_t silence_ends(const struct call *c)
{
    const struct call_options *o = &c->options;
    if (c->state != CALL_ACTIVE || c->paused)
        return UINT64_MAX;
    if (c->sent && !c->head_seen)
        return after(c->times.sent, o->first_byte_timeout_ns);
    if (!c->sent && !o->idle_timeout_ns)
        return after(c->progress_ns, o->first_byte_timeout_ns); /* a provider that does not read must not hold the call for ever */
    return after(c->progress_ns, o->idle_timeout_ns);
}

static void set_timer(struct call *c)
{
    uint64_t silence_ns = silence_ends(c), total_ns = total_ends(c), deadline_ns = silence_ns < total_ns ? silence_ns : total_ns;
    if (deadline_ns != UINT64_MAX) /* a timer left too early is harmless: call_timer looks again */
        timer_set(&c->timer, deadline_ns);
}

void call_moved(struct call *c)
{
    c->progress_ns = loop_now_ns(c->client->loop);
    set_timer(c);
}

static void time_out(struct call *c, enum err e, const char *why)
{
    leave_connection(c, true);
    call_fail(c, e, why);
}

static void call_timer(void *owner)
{
    struct call *c = owner;
    CHECK_MAGIC(c, CALL_MAGIC);
    struct client *client = c->client;
    uint64_t now_ns = loop_now_ns(client->loop);
    client_enter(client);
    if (now_ns >= total_ends(c))
        time_out(c, ERR_TOTAL_TIMEOUT, c->state == CALL_WAITING ? "no connection to the provider came free within the total time"
                                                                : "the answer was not complete within the total time");
    else if (now_ns < silence_ends(c))
        set_timer(c);
    else if (!c->sent)
        time_out(c, ERR_FIRST_BYTE_TIMEOUT, "the provider stopped reading the request");
    else if (!c->head_seen)
        time_out(c, ERR_FIRST_BYTE_TIMEOUT, "the provider took the request and did not begin to answer in time");
    else
        time_out(c, ERR_IDLE_TIMEOUT, "the provider fell silent in the middle of its answer");
    client_leave(client);
}

/* ---- the request ---- */

void call_attached(struct call *c, struct conn *n)
{
    CHECK(c->state == CALL_WAITING);
    c->state = CALL_ACTIVE;
    c->conn = n;
    c->last_conn = n;
    c->progress_ns = loop_now_ns(c->client->loop);
    c->times.connected = n->reused ? 0 : c->progress_ns;
    if (n->reused)
        stat_add(&c->client->stats.reused_total, 1);
}

void call_was_sent(struct call *c)
{
    c->sent = true;
    c->times.sent = c->progress_ns = loop_now_ns(c->client->loop);
    set_timer(c);
}

void call_restart(struct call *c)
{
    c->state = CALL_WAITING;
    c->last_conn = NULL;
    c->retried = true;
    c->sent = false;
    c->body_at = 0;
    c->body_at_bytes = 0;
    c->body_sent = 0;
    c->times.connected = c->times.sent = 0;
    origin_enqueue_first(c->origin, c);
}

unsigned call_body_parts(const struct call *c, struct iovec *parts, unsigned max)
{
    unsigned n = 0;
    for (unsigned i = c->body_at; i < c->options.body_n && n < max; i++) {
        size_t skip = i == c->body_at ? c->body_at_bytes : 0;
        if (c->options.body[i].iov_len > skip)
            parts[n++] = (struct iovec){(char *)c->options.body[i].iov_base + skip, c->options.body[i].iov_len - skip};
    }
    return n;
}

void call_body_advance(struct call *c, size_t bytes)
{
    c->body_sent += bytes;
    while (c->body_at < c->options.body_n) {
        size_t left = c->options.body[c->body_at].iov_len - c->body_at_bytes;
        if (bytes < left) {
            c->body_at_bytes += bytes;
            return;
        }
        bytes -= left;
        c->body_at++;
        c->body_at_bytes = 0;
    }
    CHECK(bytes == 0);
}

/* ---- the answer ---- */

enum err call_on_head(struct call *c, const struct http_head *head, const char **ret_why)
{
    struct span coding = span_trim(http_header(head, SPAN("content-encoding")));
    bool has_body = !c->is_head_request && head->status != 204 && head->status != 304;
    c->head_seen = true;
    if (has_body && coding.n && !span_eq_nocase(coding, SPAN("identity"))) {
        c->decode = decode_is_known(coding) ? decode_new(coding) : NULL;
        if (!c->decode) {
            *ret_why = "the answer has a content coding that is not understood";
            return ERR_PROVIDER_PROTOCOL;
        }
    }
    call_moved(c);
    c->options.handler->on_head(c->options.owner, c, head);
    return ERR_OK;
}

static enum err hold(struct call *c, struct span piece, const char **ret_why)
{
    enum err e = buf_append(&c->held, piece);
    if (e != ERR_OK)
        *ret_why = "the provider sent more than its window while the call was paused";
    return e == ERR_TOO_LARGE ? ERR_PROVIDER_PROTOCOL : e;
}

static bool is_alive(const struct call *c) { return c->state == CALL_ACTIVE || c->state == CALL_HELD; }

static void deliver(struct call *c, struct buf *out)
{
    if (buf_bytes(out))
        c->options.handler->on_body(c->options.owner, c, buf_span(out));
    buf_clear(out);
}

/* One read gives one piece as long as it decodes to no more than a read; beyond that the owner gets a chance to pause. */
static enum err decode_piece(struct call *c, struct span piece, const char **ret_why)
{
    struct buf out;
    enum err e = ERR_OK;
    buf_init(&out, LIMIT_READ_BYTES + DECODE_STEP_MAX);
    while (piece.n && e == ERR_OK && is_alive(c) && !c->paused) {
        c->fed = true;
        e = decode_feed(c->decode, span_to(piece, DECODE_STEP), &out);
        piece = span_from(piece, DECODE_STEP);
        if (e == ERR_OK && (!piece.n || buf_bytes(&out) >= LIMIT_READ_BYTES))
            deliver(c, &out);
    }
    buf_fini(&out);
    if (e != ERR_OK) {
        *ret_why = e == ERR_TOO_LARGE ? "the answer's content coding expands beyond reason" : "the answer's content coding is broken";
        return e == ERR_NO_MEMORY ? e : ERR_PROVIDER_PROTOCOL;
    }
    return piece.n && is_alive(c) ? hold(c, piece, ret_why) : ERR_OK;
}

enum err call_on_piece(struct call *c, struct span piece, const char **ret_why)
{
    if (UNLIKELY(c->paused || buf_bytes(&c->held)))
        return hold(c, piece, ret_why);
    if (c->decode)
        return decode_piece(c, piece, ret_why);
    c->options.handler->on_body(c->options.owner, c, piece);
    return ERR_OK;
}

/* ---- pause, and what goes on after ---- */

static void deliver_held(struct call *c)
{
    struct buf pieces;
    const char *why = NULL;
    buf_init(&pieces, c->held.max);
    buf_move(&pieces, &c->held);
    size_t bytes = buf_bytes(&pieces);
    enum err e = call_on_piece(c, buf_span(&pieces), &why);
    buf_fini(&pieces);
    if (e != ERR_OK && is_alive(c)) {
        leave_connection(c, false);
        call_fail(c, e, why);
    } else if (c->state == CALL_ACTIVE && c->conn->state == CONN_H2) {
        h2_consumed(c->conn, c, bytes - buf_bytes(&c->held));
    }
}

static void go_on(struct call *c)
{
    if (buf_bytes(&c->held))
        deliver_held(c);
    if (c->paused || buf_bytes(&c->held) || c->state == CALL_GONE)
        return;
    if (c->state == CALL_HELD)
        finish(c);
    else if (c->state == CALL_ACTIVE && c->conn->state == CONN_BUSY)
        h1_read_on(c->conn);
}

static void call_task(void *owner)
{
    struct call *c = owner;
    CHECK_MAGIC(c, CALL_MAGIC);
    struct client *client = c->client;
    client_enter(client);
    if (c->state == CALL_FAILING)
        call_fail(c, c->fail_error, c->fail_why);
    else if (!c->paused)
        go_on(c);
    client_leave(client);
}

void call_pause(struct call *c)
{
    CHECK_MAGIC(c, CALL_MAGIC);
    c->paused = true;
}

void call_resume(struct call *c)
{
    CHECK_MAGIC(c, CALL_MAGIC);
    if (!c->paused || c->state == CALL_GONE)
        return;
    c->paused = false;
    c->progress_ns = loop_clock_ns(c->client->loop); /* the silence is counted from here, not from the start of a long turn */
    set_timer(c);
    loop_defer(c->client->loop, &c->task);
}

void call_cancel(struct call *c)
{
    CHECK_MAGIC(c, CALL_MAGIC);
    if (c->state == CALL_GONE)
        return;
    struct client *client = c->client;
    client_enter(client);
    call_end_quietly(c);
    client_leave(client);
}

/* ---- what an owner may ask ---- */

bool call_body_is_done(const struct call *c)
{
    if (c->state == CALL_HELD || c->state == CALL_GONE || c->state == CALL_FAILING)
        return true;
    if (!c->sent)
        return false;
    return c->bytes_seen || c->retried || c->conn->state == CONN_H2 || !c->conn->reused;
}

void call_body_sent_release(struct call *c)
{
    CHECK_MAGIC(c, CALL_MAGIC);
    CHECK(call_body_is_done(c));
    c->options.body = NULL;
    c->options.body_n = c->body_at = 0;
    c->body_at_bytes = 0;
}

const struct call_times *call_times(const struct call *c) { return &c->times; }
uint64_t call_bytes_sent(const struct call *c) { return c->body_sent; }

struct span call_peer(const struct call *c, char *out, size_t out_bytes)
{
    struct span peer = span_str(c->last_conn ? c->last_conn->peer : "");
    size_t n = peer.n < out_bytes ? peer.n : out_bytes;
    memcpy(out, peer.p, n);
    return span_of(out, n);
}
