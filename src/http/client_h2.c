/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 towards a provider: many calls on one connection, through nghttp2. What is written is gathered in one buffer and leaves
 * once at the end of a turn; request bodies are copied into it from the owner's slices, nothing else is copied.
 *
 * nghttp2 calls back from inside nghttp2_session_mem_recv and _send, and must not be re-entered there. So whatever the owner does in
 * a callback (another call, a cancel, a resume) only queues frames; the connection's task sends them. A call that leaves its stream
 * takes its pointer out of nghttp2 first: a stream without a call is one that nobody waits for.
 *
 * Flow control: the connection's window opens as bytes arrive, a stream's as they are consumed. A paused call therefore stops its
 * own stream after one window and nobody else's.
 */
#include "http/client_private.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#define OUT_FULL (64u * KIB)              /* then bodies wait until the socket took it */
#define OUT_MAX (OUT_FULL + MIB)          /* control frames beyond that mean a peer that floods */
#define CONNECTION_WINDOW (4 * (int32_t)MIB)
#define SETTINGS_TIMEOUT_NS (10 * NS_PER_S)

struct field {
    unsigned name_at, name_n, value_at, value_n;
};

/* A head that is being received. Only one can be at a time on a connection: its frames are not interleaved. */
struct h2_head {
    struct buf bytes;
    unsigned fields;
    int status; /* 0: trailers */
    struct field field[LIMIT_HEADERS];
};

struct conn_h2 {
    nghttp2_session *session;
    struct list calls;
    unsigned streams;
    bool no_more;       /* GOAWAY, or doubt: the calls it has may end, others go elsewhere */
    bool settings_seen;
    struct buf out;
    struct h2_head *head;
    struct timer settings_timer;
    uint64_t received_ns;
    const char *why;    /* the peer's fault, when it has one */
};

/* ---- leaving a stream ---- */

/* The connection has one call less. It is closed by the task, because frames may still be queued. */
static void stream_left(struct conn *n)
{
    CHECK(n->h2->streams > 0);
    n->h2->streams--;
    conn_idle_since_now(n);
    origin_pump_soon(n->origin);
    loop_defer(n->origin->client->loop, &n->task);
}

static void leave_stream(struct conn *n, struct call *c)
{
    (void)nghttp2_session_set_stream_user_data(n->h2->session, c->stream_id, NULL);
    list_remove(&c->link);
    call_detach(c);
    stream_left(n);
}

void h2_drop_call(struct conn *n, struct call *c, bool doubt)
{
    int32_t id = c->stream_id;
    if (doubt && n->h2->received_ns <= c->progress_ns)
        n->h2->no_more = true; /* nothing at all came since: the peer may be gone without a word */
    leave_stream(n, c);
    (void)nghttp2_submit_rst_stream(n->h2->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
}

/* The connection is over, and with it every call that it still has. */
static void connection_lost(struct conn *n, enum err e, const char *why)
{
    struct list *link;
    conn_close(n, n->h2->streams > 0);
    while ((link = list_pop_front(&n->h2->calls)) != NULL) {
        struct call *c = CONTAINER_OF(link, struct call, link);
        call_detach(c);
        call_fail(c, e, why);
    }
}

static void call_failed(struct conn *n, struct call *c, enum err e, const char *why)
{
    leave_stream(n, c);
    call_fail(c, e, why);
}

/* ---- sending ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *bytes, size_t n, int flags, void *user)
{
    struct conn_h2 *h2 = ((struct conn *)user)->h2;
    if (buf_bytes(&h2->out) >= OUT_FULL)
        return NGHTTP2_ERR_WOULDBLOCK;
    return buf_append(&h2->out, span_of(bytes, n)) == ERR_OK ? (ssize_t)n : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static ssize_t on_read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room, uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct conn *n = user;
    struct call *c = nghttp2_session_get_stream_user_data(session, id);
    if (!c)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (buf_bytes(&n->h2->out) >= OUT_FULL) {
        c->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    uint64_t left = c->body_bytes - c->body_sent;
    *flags = NGHTTP2_DATA_FLAG_NO_COPY | (left <= room ? NGHTTP2_DATA_FLAG_EOF : 0u);
    return (ssize_t)(left < room ? left : room);
}

/* Never says "would block": on_read_body waited for room, and a frame kept inside nghttp2 could outlive its call. */
static int on_send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t bytes, nghttp2_data_source *source, void *user)
{
    struct conn_h2 *h2 = ((struct conn *)user)->h2;
    struct call *c = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!c || buf_append(&h2->out, span_of(head, 9)) != ERR_OK || buf_reserve(&h2->out, bytes) != ERR_OK)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    while (bytes) {
        struct iovec part;
        CHECK(call_body_parts(c, &part, 1) == 1);
        size_t take = part.iov_len < bytes ? part.iov_len : bytes;
        memcpy(buf_tail(&h2->out), part.iov_base, take);
        buf_extend(&h2->out, take);
        call_body_advance(c, take);
        bytes -= take;
    }
    call_moved(c);
    return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    bool carries = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (!carries || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct call *c = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (c)
        call_was_sent(c);
    return 0;
}

/* A request that nghttp2 found it may not send any more, after a GOAWAY; its stream closes next. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
    struct call *c = frame->hd.type == NGHTTP2_HEADERS ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;
    if (c)
        c->refused = true;
    return 0;
}

static bool write_out(struct conn *n)
{
    struct buf *out = &n->h2->out;
    struct iovec part = {buf_span(out).p ? out->p + out->at : NULL, buf_bytes(out)};
    ssize_t w = transport_writev(&n->transport, &part, 1);
    if (w < 0) {
        n->broken = w != -(ssize_t)ERR_AGAIN;
        return false;
    }
    buf_consume(out, (size_t)w);
    return (size_t)w == part.iov_len;
}

static void resume_bodies(struct conn *n)
{
    LIST_FOR_EACH (link, &n->h2->calls) {
        struct call *c = CONTAINER_OF(link, struct call, link);
        if (c->deferred)
            (void)nghttp2_session_resume_data(n->h2->session, c->stream_id);
        c->deferred = false;
    }
}

static bool is_over(const struct conn *n)
{
    const struct conn_h2 *h2 = n->h2;
    if (buf_bytes(&h2->out))
        return false;
    if (!nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session))
        return true;
    return h2->streams == 0 && (h2->no_more || n->origin->retired);
}

static void h2_flush(struct conn *n)
{
    while (n->state != CONN_DEAD && !n->broken) {
        if (!buf_bytes(&n->h2->out)) {
            resume_bodies(n);
            if (nghttp2_session_send(n->h2->session) != 0) {
                connection_lost(n, ERR_PROVIDER_PROTOCOL, n->h2->why ? n->h2->why : "the HTTP/2 session broke");
                return;
            }
        }
        if (!buf_bytes(&n->h2->out) || !write_out(n))
            break;
    }
    if (n->state == CONN_DEAD || !is_over(n))
        return;
    if (n->h2->why)
        connection_lost(n, ERR_PROVIDER_PROTOCOL, n->h2->why);
    else
        connection_lost(n, ERR_PROVIDER_RESET, "the provider ended the HTTP/2 connection");
}

/* ---- a call ---- */

static bool is_left_out(struct span name)
{
    static const struct span names[] = {{"host", 4}, {"connection", 10}, {"keep-alive", 10}, {"proxy-connection", 16},
                                        {"transfer-encoding", 17}, {"upgrade", 7}, {"te", 2}, {"content-length", 14}};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (span_eq_nocase(name, names[i]))
            return true;
    return false;
}

/* Secrets stay out of the compression tables of both ends. */
static bool is_secret(struct span name)
{
    return span_eq(name, SPAN("authorization")) || span_ends(name, SPAN("api-key")) || span_eq(name, SPAN("cookie"));
}

static nghttp2_nv nv_of(struct span name, struct span value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)(value.p ? value.p : ""), name.n, value.n,
                        is_secret(name) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE};
}

static int32_t submit(struct conn *n, struct call *c)
{
    const struct call_options *o = &c->options;
    nghttp2_nv nv[LIMIT_HEADERS + 5];
    char digits[SPAN_U64_BYTES];
    size_t fields = 0;
    nv[fields++] = nv_of(SPAN(":method"), o->method);
    nv[fields++] = nv_of(SPAN(":scheme"), n->origin->options.tls ? SPAN("https") : SPAN("http"));
    nv[fields++] = nv_of(SPAN(":authority"), o->authority.n ? o->authority : span_str(n->origin->authority));
    nv[fields++] = nv_of(SPAN(":path"), o->target);
    for (unsigned i = 0; i < o->headers_n && i < LIMIT_HEADERS; i++)
        if (!is_left_out(o->headers[i].name))
            nv[fields++] = nv_of(o->headers[i].name, o->headers[i].value);
    if (c->has_body)
        nv[fields++] = nv_of(SPAN("content-length"), span_of_u64(digits, c->body_bytes));
    nghttp2_data_provider provider = {.read_callback = on_read_body};
    return nghttp2_submit_request(n->h2->session, NULL, nv, fields, c->body_bytes ? &provider : NULL, c);
}

void h2_send_call(struct conn *n, struct call *c)
{
    int32_t id = submit(n, c);
    if (id < 0) { /* no stream ids left, or the session is ending: another connection will do */
        n->h2->no_more = true;
        origin_enqueue_first(n->origin, c);
        loop_defer(n->origin->client->loop, &n->task);
        return;
    }
    c->stream_id = id;
    list_push_back(&n->h2->calls, &c->link);
    n->h2->streams++;
    call_attached(c, n);
    n->reused = true; /* for call_times of those that follow; nothing is ever sent twice here */
    call_moved(c);
    loop_defer(n->origin->client->loop, &n->task);
}

void h2_consumed(struct conn *n, struct call *c, size_t bytes)
{
    if (!bytes)
        return;
    (void)nghttp2_session_consume_stream(n->h2->session, c->stream_id, bytes);
    loop_defer(n->origin->client->loop, &n->task);
}

/* ---- heads of answers ---- */

static void head_free(struct conn_h2 *h2)
{
    if (h2->head)
        buf_fini(&h2->head->bytes);
    free(h2->head);
    h2->head = NULL;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct conn_h2 *h2 = ((struct conn *)user)->h2;
    head_free(h2);
    h2->head = calloc(1, sizeof *h2->head);
    CHECK(h2->head);
    buf_init(&h2->head->bytes, LIMIT_HEAD_BYTES);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n,
                     uint8_t flags, void *user)
{
    struct h2_head *head = ((struct conn *)user)->h2->head;
    struct span value_span = span_of(value, value_n);
    if (name_n == 7 && memcmp(name, ":status", 7) == 0) {
        uint64_t status = 0;
        head->status = span_to_u64(value_span, &status) ? (int)status : 0; /* nghttp2 checked that it is three digits */
        return 0;
    }
    unsigned at = (unsigned)buf_bytes(&head->bytes);
    if (head->fields == LIMIT_HEADERS || buf_append(&head->bytes, span_of(name, name_n)) != ERR_OK || buf_append(&head->bytes, value_span) != ERR_OK)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
    head->field[head->fields++] = (struct field){at, (unsigned)name_n, at + (unsigned)name_n, (unsigned)value_n};
    return 0;
}

static enum err show_head(struct conn_h2 *h2, struct call *c, const char **why)
{
    struct header headers[LIMIT_HEADERS];
    const char *bytes = buf_span(&h2->head->bytes).p;
    for (unsigned i = 0; i < h2->head->fields; i++) {
        const struct field *f = &h2->head->field[i];
        headers[i] = (struct header){span_of(bytes + f->name_at, f->name_n), span_of(bytes + f->value_at, f->value_n)};
    }
    struct http_head head = {.status = h2->head->status, .version = 20, .headers = headers, .headers_n = h2->head->fields};
    return call_on_head(c, &head, why);
}

static void head_came(struct conn *n, struct call *c)
{
    const char *why = NULL;
    int status = n->h2->head ? n->h2->head->status : 0;
    if (!c->bytes_seen) {
        c->bytes_seen = true;
        c->times.first_byte = loop_now_ns(c->client->loop);
    }
    if (status < 200 || c->head_seen)
        return; /* interim answers and trailers */
    enum err e = show_head(n->h2, c, &why);
    if (e != ERR_OK) {
        h2_drop_call(n, c, false);
        call_fail(c, e, why);
    }
}

/* ---- bodies and ends ---- */

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t bytes_n, void *user)
{
    struct conn *n = user;
    struct call *c = nghttp2_session_get_stream_user_data(session, id);
    const char *why = NULL;
    (void)nghttp2_session_consume_connection(session, bytes_n);
    if (!c)
        return 0;
    size_t held = buf_bytes(&c->held);
    call_moved(c);
    enum err e = call_on_piece(c, span_of(bytes, bytes_n), &why);
    if (e != ERR_OK) {
        h2_drop_call(n, c, false);
        call_fail(c, e, why);
    } else if (call_is_active(c)) {
        h2_consumed(n, c, bytes_n - (buf_bytes(&c->held) - held));
    }
    return 0;
}

static void answer_ended(struct conn *n, struct call *c)
{
    bool unsent = !c->sent;
    int32_t id = c->stream_id;
    leave_stream(n, c);
    if (unsent) /* the answer is whole, so the rest of the request interests nobody: RFC 9113 8.1 */
        (void)nghttp2_submit_rst_stream(n->h2->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    call_on_end(c);
}

static void settings_came(struct conn *n)
{
    uint32_t streams = nghttp2_session_get_remote_settings(n->h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    n->h2->settings_seen = true;
    timer_clear(&n->h2->settings_timer);
    n->origin->h2_streams_max = streams == 0 ? 1 : streams < LIMIT_H2_STREAMS ? streams : LIMIT_H2_STREAMS;
    origin_pump_soon(n->origin);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct conn *n = user;
    struct call *c = frame->hd.stream_id ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) : NULL;
    if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        settings_came(n);
    if (frame->hd.type == NGHTTP2_GOAWAY)
        n->h2->no_more = true; /* nghttp2 closes the streams above its last id, as refused */
    if (frame->hd.type == NGHTTP2_HEADERS) {
        if (c)
            head_came(n, c);
        head_free(n->h2);
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM && c)
        c->peer_reset = true;
    bool ends = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    if (ends && c && call_is_active(c) && c->head_seen)
        answer_ended(n, c);
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *user)
{
    if (frame->hd.stream_id == 0)
        ((struct conn *)user)->h2->why = nghttp2_strerror(error);
    return 0;
}

static int on_error(nghttp2_session *session, int error, const char *message, size_t n, void *user)
{
    if (error == NGHTTP2_ERR_SETTINGS_EXPECTED)
        ((struct conn *)user)->h2->why = "the provider does not speak HTTP/2 here";
    return 0;
}

/* A stream that closes while it still has a call never gave the whole answer, whatever its code says. */
static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct conn *n = user;
    struct call *c = nghttp2_session_get_stream_user_data(session, id);
    char why[96];
    if (!c)
        return 0;
    snprintf(why, sizeof why, "the provider reset the stream: %s", nghttp2_http2_strerror(code));
    if (n->h2->why)
        call_failed(n, c, ERR_PROVIDER_PROTOCOL, n->h2->why);
    else if (c->refused || (code == NGHTTP2_REFUSED_STREAM && !c->head_seen))
        call_failed(n, c, ERR_REFUSED_STREAM, "the provider ended the connection before it looked at the request");
    else if (!c->peer_reset)
        call_failed(n, c, ERR_PROVIDER_PROTOCOL, "the answer breaks the rules of HTTP/2 or its own Content-Length, or its head is too large");
    else
        call_failed(n, c, ERR_PROVIDER_RESET, why);
    return 0;
}

/* ---- the connection ---- */

static void h2_read(struct conn *n)
{
    while (n->state != CONN_DEAD) {
        ssize_t got = transport_read(&n->transport, http_scratch, sizeof http_scratch);
        if (got == -(ssize_t)ERR_AGAIN)
            return;
        if (got <= 0) {
            connection_lost(n, ERR_PROVIDER_RESET, got < 0 ? "the provider reset the HTTP/2 connection" : "the provider closed the HTTP/2 connection");
            return;
        }
        n->h2->received_ns = loop_now_ns(n->origin->client->loop);
        ssize_t used = nghttp2_session_mem_recv(n->h2->session, (const uint8_t *)http_scratch, (size_t)got);
        if (n->state != CONN_DEAD && used < 0) {
            connection_lost(n, ERR_PROVIDER_PROTOCOL, nghttp2_strerror((int)used));
            return;
        }
        if ((size_t)got < sizeof http_scratch && n->state != CONN_DEAD && !n->transport.sock->hangup)
            return;
    }
}

static void h2_work(struct conn *n, bool readable)
{
    struct client *client = n->origin->client;
    client_enter(client);
    if (readable || n->broken)
        h2_read(n);
    h2_flush(n);
    if (n->state != CONN_DEAD && n->broken) {
        h2_read(n); /* a GOAWAY may explain why the peer takes nothing more */
        if (n->state != CONN_DEAD)
            connection_lost(n, ERR_PROVIDER_RESET, "the provider reset the HTTP/2 connection");
    }
    client_leave(client);
}

static void h2_ready(struct sock *s, unsigned events)
{
    struct conn *n = s->owner;
    CHECK_MAGIC(n, CONN_MAGIC);
    h2_work(n, (events & (SOCK_READABLE | SOCK_HANGUP)) != 0);
}

static void h2_task(void *owner)
{
    struct conn *n = owner;
    CHECK_MAGIC(n, CONN_MAGIC);
    bool unread = n->unread;
    n->unread = false;
    h2_work(n, unread);
}

static void no_settings(void *owner)
{
    struct conn *n = owner;
    CHECK_MAGIC(n, CONN_MAGIC);
    struct client *client = n->origin->client;
    client_enter(client);
    connection_lost(n, ERR_PROVIDER_PROTOCOL, "the provider did not begin HTTP/2 with its settings");
    client_leave(client);
}

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_body);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_sent);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
}

static nghttp2_session *session_new(struct conn *n)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    nghttp2_session *session;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
    set_callbacks(callbacks);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_outbound_ack(option, LIMIT_H2_CONTROL_FRAMES);
    CHECK(nghttp2_session_client_new2(&session, callbacks, n, option) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LIMIT_H2_WINDOW}, {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_HEAD_BYTES}};
    CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings)) == 0);
    CHECK(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW) == 0);
    return session;
}

void h2_open(struct conn *n)
{
    struct loop *loop = n->origin->client->loop;
    struct conn_h2 *h2 = calloc(1, sizeof *h2);
    CHECK(h2);
    n->h2 = h2;
    list_init(&h2->calls);
    buf_init(&h2->out, OUT_MAX);
    h2->session = session_new(n);
    timer_init(&h2->settings_timer, loop, no_settings, n);
    timer_set_in(&h2->settings_timer, SETTINGS_TIMEOUT_NS);
    task_init(&n->task, h2_task, n);
    n->transport.sock->on_ready = h2_ready;
    n->transport.sock->owner = n;
    conn_set_state(n, CONN_H2);
    conn_idle_since_now(n);
    n->unread = true; /* the peer's settings may have come with the end of the handshake */
    loop_defer(loop, &n->task);
}

void h2_closed(struct conn *n)
{
    timer_clear(&n->h2->settings_timer);
    buf_fini(&n->h2->out);
    head_free(n->h2);
}

void client_h2_free(struct conn *n)
{
    CHECK(list_is_empty(&n->h2->calls));
    nghttp2_session_del(n->h2->session);
    free(n->h2);
    n->h2 = NULL;
}

bool h2_has_room(const struct conn *n)
{
    uint32_t allowed = nghttp2_session_get_remote_settings(n->h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    unsigned max = n->h2->settings_seen && allowed < LIMIT_H2_STREAMS ? allowed : n->h2->settings_seen ? LIMIT_H2_STREAMS : n->origin->h2_streams_max;
    return !n->h2->no_more && n->h2->streams < max && nghttp2_session_check_request_allowed(n->h2->session);
}

bool h2_is_idle(const struct conn *n) { return n->h2->streams == 0; }

struct call *h2_any_call(struct conn *n)
{
    return list_is_empty(&n->h2->calls) ? NULL : CONTAINER_OF(n->h2->calls.next, struct call, link);
}
