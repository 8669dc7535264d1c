/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 on one connection: framing, HPACK and flow control by nghttp2, everything else here.
 *
 * The complications: nghttp2 may not be entered from inside its own callbacks, so handlers only submit, and what is to be sent is
 * collected once, in a task at the end of the turn. And most floods are legal frame by frame: they are told by counting what a
 * peer makes us do for nothing (h2_guard.c). What a head must be is in h2_head.c.
 */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "http/conn_h2.h"

#define CONNECTION_WINDOW (4 * LIMIT_H2_WINDOW)
#define DRAIN_NS NS_PER_S       /* between the notice and the GOAWAY that names the last stream */
#define FIELD_OVERHEAD 32u      /* what RFC 9113 6.5.2 adds to each field's size */
#define ANSWER_HEADERS_MAX 64u
#define MADE_BYTES 4096u        /* lower-cased names of one answer */

/* ---- the answer's bytes ---- */

static void wake(struct conn *c)
{
    loop_defer(c->server->loop, &c->task); /* even from inside a root: sending is the task's business */
}

static ssize_t read_answer(nghttp2_session *session, int32_t id, uint8_t *out, size_t bytes, uint32_t *flags,
                           nghttp2_data_source *source, void *owner)
{
    struct stream *s = source->ptr;
    size_t n = buf_bytes(&s->out) < bytes ? buf_bytes(&s->out) : bytes;
    if (n) {
        memcpy(out, s->out.p + s->out.at, n);
        buf_consume(&s->out, n);
        s->progress_ns = loop_now_ns(s->base.loop);
    }
    if (buf_bytes(&s->out))
        return (ssize_t)n;
    if (s->ended && !s->broken) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)n;
    }
    if (n)
        return (ssize_t)n;
    if (s->broken)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* becomes RST_STREAM INTERNAL_ERROR */
    s->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
}

static void resume(struct stream *s)
{
    if (s->deferred) {
        s->deferred = false;
        (void)nghttp2_session_resume_data(s->conn->h2->session, s->h2_id); /* fails only when the stream is gone */
    }
    wake(s->conn);
}

static void reset(struct conn *c, int32_t id, uint32_t code)
{
    (void)nghttp2_submit_rst_stream(c->h2->session, NGHTTP2_FLAG_NONE, id, code);
    wake(c);
}

void h2_calm_down(struct conn *c)
{
    if (!c->h2->calm)
        (void)nghttp2_session_terminate_session(c->h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
    c->h2->calm = true;
    c->linger = true;
    wake(c);
}

void h2_end_session(struct conn *c, uint32_t code)
{
    (void)nghttp2_session_terminate_session(c->h2->session, code);
    c->h2->refuse_input = true;
    wake(c);
}

/* ---- answers that this layer makes ---- */

static nghttp2_nv field(struct span name, struct span value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n, value.n, NGHTTP2_NV_FLAG_NONE};
}

static void free_if_closed(struct stream *s)
{
    if (!s->h2_closed)
        return;
    list_remove(&s->h2_link);
    stream_free(s);
}

/* Refuses on behalf of the handler. What still comes of the body is dropped. */
static void refuse(struct stream *s, enum err e, const char *why)
{
    struct server *sv = s->base.server;
    struct buf body;
    struct span type, path = s->base.head.path, text = server_error(sv, path, e, why, &body, &type);
    struct header headers[3];
    unsigned n = 0;
    headers[n++] = (struct header){SPAN("content-type"), type};
    if (err_status(e) == 503)
        headers[n++] = (struct header){SPAN("retry-after"), SPAN("1")};
    if (e == ERR_BAD_METHOD && sv->o.handler->allow)
        headers[n++] = (struct header){SPAN("allow"), sv->o.handler->allow(sv->o.owner, path)};
    stream_abort(s, e); /* only when the body was to be taken in pieces */
    s->failed = true;
    s->ended = false;
    s->delivered = false;
    s->in_pieces = false;
    h2_reply(s, err_status(e), headers, n, text);
    buf_fini(&body);
}

/* Ends a stream whose handler is at work: it is told, and the client sees a reset. */
static void give_up(struct stream *s, enum err e, uint32_t code)
{
    stream_abort(s, e);
    s->ended = s->broken = s->failed = true;
    buf_fini(&s->out);
    reset(s->conn, s->h2_id, code);
    free_if_closed(s);
}

/* ---- a header block arrives ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
    struct conn *c = owner;
    struct h2 *h = c->h2;
    buf_clear(&h->fields);
    h->fields_n = 0;
    h->fields_size = 0;
    h->fields_too_large = false;
    h->in_block = true;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct stream *s = h->refuse_input ? NULL : stream_new(c);
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    s->is_h2 = true;
    s->h2_id = frame->hd.stream_id;
    s->progress_ns = s->base.started_ns = loop_now_ns(c->server->loop);
    list_push_back(&h->streams, &s->h2_link);
    (void)nghttp2_session_set_stream_user_data(session, s->h2_id, s);
    return 0;
}

/* Beyond the limit fields are counted, not kept; far beyond it the block is a bomb, and the stream ends. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes, const uint8_t *value,
                     size_t value_bytes, uint8_t flags, void *owner)
{
    struct conn *c = owner;
    struct h2 *h = c->h2;
    h->fields_size += name_bytes + value_bytes + FIELD_OVERHEAD;
    h->fields_n++;
    if (h->fields_size > 4 * LIMIT_HEAD_BYTES)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (h->fields_size > LIMIT_HEAD_BYTES || h->fields_n > LIMIT_HEADERS)
        h->fields_too_large = true;
    if (h->fields_too_large)
        return 0;
    return h2_add_field(h, span_of(name, name_bytes), span_of(value, value_bytes)) ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

/* nghttp2 would drop the field and go on; a field that is not valid makes the request malformed. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes,
                             const uint8_t *value, size_t value_bytes, uint8_t flags, void *owner)
{
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* ---- a request is admitted, received, delivered ---- */

static void deliver(struct stream *s)
{
    const char *why = NULL;
    s->body_done = true;
    s->base.received_ns = loop_now_ns(s->base.loop);
    enum err e = s->in_pieces ? ERR_OK : stream_decode_body(s, &why);
    if (e) {
        refuse(s, e, why);
        return;
    }
    if (s->in_pieces) {
        s->base.server->o.handler->on_body(s->base.user, s, span_of("", 0), true);
        return;
    }
    s->delivered = true;
    s->base.server->o.handler->on_request(s->base.server->o.owner, s);
}

static enum err prepare_body(struct stream *s, struct span length)
{
    uint64_t bytes;
    if (!length.n)
        return ERR_OK;
    if (length.n > 19 || !span_to_u64(length, &bytes))
        return ERR_BAD_FRAMING;
    if (bytes > s->body_limit)
        return ERR_TOO_LARGE;
    if (s->base.server->body_bytes + bytes > s->base.server->o.body_bytes_max)
        return ERR_OVERLOADED;
    return s->in_pieces ? ERR_OK : buf_reserve(&s->body, (size_t)bytes);
}

static enum err admit(struct stream *s, const struct h2_pseudo *p)
{
    struct server *sv = s->base.server;
    s->body_limit = sv->o.body_max;
    enum err e = sv->o.handler->on_head(sv->o.owner, s, &s->body_limit);
    if (!e && !s->in_pieces)
        e = stream_judge_coding(s);
    return e ? e : prepare_body(s, p->length);
}

static void want_body(struct stream *s, const struct h2_pseudo *p)
{
    if (p->expect.n) {
        nghttp2_nv status = field(SPAN(":status"), SPAN("100"));
        (void)nghttp2_submit_headers(s->conn->h2->session, NGHTTP2_FLAG_NONE, s->h2_id, NULL, &status, 1, NULL);
        wake(s->conn);
    }
    if (s->in_pieces) {
        s->delivered = true;
        s->base.server->o.handler->on_request(s->base.server->o.owner, s);
    }
}

static void head_complete(struct stream *s, bool ends)
{
    struct conn *c = s->conn;
    struct http_head head = {0};
    struct h2_pseudo p = {0};
    const char *why = NULL;
    h2_cut_fields(c, &head, &p);
    enum err e = c->h2->fields_too_large ? ERR_HEAD_TOO_LARGE : h2_judge_head(&p, &head, &why);
    if (e == ERR_BAD_FRAMING) {
        s->failed = true;
        reset(c, s->h2_id, NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    stream_keep_head(s, &head, buf_span(&c->h2->fields));
    s->body_done = ends;
    if (!e)
        e = admit(s, &p);
    if (e) {
        refuse(s, e, why);
        return;
    }
    if (!ends || s->in_pieces)
        want_body(s, &p);
    if (ends && !s->failed && !s->ended)
        deliver(s);
}

/* Trailers are checked and dropped; they may not speak of what the head alone decides. */
static void judge_trailers(struct stream *s)
{
    struct h2_pseudo p = {0};
    struct http_head head = {0};
    h2_cut_fields(s->conn, &head, &p);
    if (!p.host.n && !p.length.n && !p.expect.n && !s->conn->h2->fields_too_large)
        return;
    s->failed = true;
    reset(s->conn, s->h2_id, NGHTTP2_PROTOCOL_ERROR);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t bytes, void *owner)
{
    struct conn *c = owner;
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);
    enum err e = ERR_OK;
    if (s && !s->failed) {
        s->base.bytes_in += bytes;
        s->progress_ns = loop_now_ns(s->base.loop);
        e = s->base.bytes_in > s->body_limit ? ERR_TOO_LARGE : s->in_pieces ? ERR_OK : stream_count_body(s, bytes);
    }
    if (s && !s->failed && !e && s->in_pieces && !s->ended)
        c->server->o.handler->on_body(s->base.user, s, span_of(data, bytes), false);
    else if (s && !s->failed && !e && !s->in_pieces)
        e = buf_append(&s->body, span_of(data, bytes));
    if (e && s->delivered)
        give_up(s, e, NGHTTP2_INTERNAL_ERROR);
    else if (e)
        refuse(s, e, NULL);
    (void)nghttp2_session_consume(session, id, bytes); /* only now may as much again be sent */
    return 0;
}

static void body_complete(struct stream *s)
{
    bool wanted = !s->failed && !s->ended && !s->body_done;
    s->body_done = true;
    if (wanted)
        deliver(s);
}

static void headers_complete(struct conn *c, struct stream *s, nghttp2_headers_category category, bool ends)
{
    c->h2->in_block = false;
    if (s && category == NGHTTP2_HCAT_REQUEST)
        head_complete(s, ends);
    else if (s && !s->failed)
        judge_trailers(s);
    buf_fini(&c->h2->fields); /* an idle connection keeps no block */
    if (s && category != NGHTTP2_HCAT_REQUEST && ends)
        body_complete(s);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
    struct conn *c = owner;
    struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        headers_complete(c, s, frame->headers.cat, ends);
        break;
    case NGHTTP2_DATA:
        if (frame->hd.length && frame->hd.length == frame->data.padlen && !ends)
            h2_count_idle(c); /* nothing but padding */
        if (s && ends)
            body_complete(s);
        break;
    case NGHTTP2_RST_STREAM:
        h2_count_reset(c);
        break;
    }
    return 0;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
    struct conn *c = owner;
    struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)
        h2_count_useful(c);
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        c->h2->in_block = false; /* it may have been for a header block that was given up */
        if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
            h2_count_reset(c);
    }
    bool ends = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    if (ends && s && !s->body_done) /* the whole answer went before the whole request came: RFC 9113 8.1 */
        reset(c, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

/* The stream is over for nghttp2. For the handler it may not be: answers without a body end with their head. */
static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *owner)
{
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);
    if (!s)
        return 0;
    (void)nghttp2_session_set_stream_user_data(session, id, NULL);
    s->h2_closed = true;
    if (code == NGHTTP2_NO_ERROR && s->bodiless && s->began && !s->ended)
        return 0;
    stream_abort(s, ERR_CLIENT_GONE);
    free_if_closed(s);
    return 0;
}

/* ---- the session ---- */

static nghttp2_session_callbacks *callbacks(void)
{
    nghttp2_session_callbacks *cb;
    CHECK(nghttp2_session_callbacks_new(&cb) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    return cb;
}

static int session_new(struct conn *c)
{
    nghttp2_option *option;
    CHECK(nghttp2_option_new(&option) == 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_outbound_ack(option, LIMIT_H2_CONTROL_FRAMES);
    nghttp2_option_set_no_closed_streams(option, 1); /* they cost memory; what is needed of them is in h2.seen */
    nghttp2_session_callbacks *cb = callbacks();
    int result = nghttp2_session_server_new2(&c->h2->session, cb, c, option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(option);
    return result;
}

static int send_settings(struct h2 *h)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, LIMIT_H2_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LIMIT_H2_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_HEAD_BYTES},
    };
    int result = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, COUNT_OF(settings));
    return result ? result : nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
}

enum err h2_start(struct conn *c)
{
    struct h2 *h = calloc(1, sizeof *h);
    if (!h)
        return ERR_NO_MEMORY;
    list_init(&h->streams);
    buf_init(&h->fields, LIMIT_HEAD_BYTES + LIMIT_HEADERS * 2 * sizeof(uint32_t));
    c->h2 = h;
    if (session_new(c) != 0 || send_settings(h) != 0)
        return ERR_NO_MEMORY;
    h->frame_left = (uint32_t)H2_PREFACE.n;
    c->state = CONN_H2;
    c->linger = true;
    stat_add(&c->server->stats.h2_connections_total, 1);
    conn_set_timing(c, TIMING_HEAD, c->server->o.head_timeout_ns);
    wake(c);
    return ERR_OK;
}

void h2_free(struct conn *c)
{
    struct h2 *h = c->h2;
    nghttp2_session_del(h->session); /* calls no callback */
    h->session = NULL;
    for (struct list *link; (link = list_pop_front(&h->streams)) != NULL;) {
        struct stream *s = CONTAINER_OF(link, struct stream, h2_link);
        stream_abort(s, (enum err)c->dead);
        stream_free(s);
    }
    buf_fini(&h->fields);
    free(h);
    c->h2 = NULL;
}

/* ---- time ---- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* While there are streams the clock is looked at several times within the shortest timeout; without, once. */
static void set_timing(struct conn *c)
{
    const struct server_options *o = &c->server->o;
    struct h2 *h = c->h2;
    if (c->blocked)
        return; /* TIMING_WRITE stands */
    if (h->in_block)
        conn_set_timing(c, TIMING_HEAD, c->timing == TIMING_HEAD ? 0 : o->head_timeout_ns);
    else if (!list_is_empty(&h->streams))
        conn_set_timing(c, TIMING_BODY, c->timing == TIMING_BODY ? 0 : least(o->body_timeout_ns, o->write_timeout_ns) / 4);
    else
        conn_set_timing(c, TIMING_IDLE, c->timing == TIMING_IDLE ? 0 : o->idle_timeout_ns);
    if (h->drain_noticed && !h->drain_told)
        timer_set(&c->timer, h->drain_ns + DRAIN_NS);
}

static void check_stream(struct stream *s, uint64_t now_ns)
{
    const struct server_options *o = &s->base.server->o;
    uint64_t silent_ns = now_ns - s->progress_ns;
    if (buf_bytes(&s->out) && silent_ns > o->write_timeout_ns)
        give_up(s, ERR_CLIENT_GONE, NGHTTP2_CANCEL); /* the client keeps its window shut */
    else if (s->body_done || s->failed || silent_ns <= o->body_timeout_ns)
        return;
    else if (s->delivered)
        give_up(s, ERR_REQUEST_TIMEOUT, NGHTTP2_CANCEL);
    else
        refuse(s, ERR_REQUEST_TIMEOUT, NULL);
}

static void tell_drain(struct conn *c)
{
    c->h2->drain_told = true;
    (void)nghttp2_submit_goaway(c->h2->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(c->h2->session), NGHTTP2_NO_ERROR,
                                NULL, 0);
    wake(c);
}

void h2_timeout(struct conn *c)
{
    struct h2 *h = c->h2;
    uint64_t now_ns = loop_now_ns(c->server->loop);
    enum conn_timing was = (enum conn_timing)c->timing;
    c->timing = TIMING_NOTHING;
    if (h->drain_noticed && !h->drain_told && now_ns >= h->drain_ns + DRAIN_NS)
        tell_drain(c);
    else if (was == TIMING_HEAD)
        (void)nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM); /* a head that never ends */
    else if (was == TIMING_IDLE && !h->drain_noticed)
        (void)nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
    LIST_FOR_EACH_SAFE(at, &h->streams)
        check_stream(CONTAINER_OF(at, struct stream, h2_link), now_ns);
    wake(c);
}

void h2_drain(struct conn *c)
{
    struct h2 *h = c->h2;
    if (h->drain_noticed || c->state != CONN_H2)
        return; /* one that is ending already keeps its own end in sight */
    h->drain_noticed = true;
    h->drain_ns = loop_now_ns(c->server->loop);
    (void)nghttp2_submit_shutdown_notice(h->session);
    if (list_is_empty(&h->streams))
        tell_drain(c);
    set_timing(c);
    wake(c);
}

/* ---- running ---- */

static void feed(struct conn *c, const char *bytes, size_t n)
{
    n = h2_walk(c, bytes, n);
    ssize_t used = nghttp2_session_mem_recv(c->h2->session, (const uint8_t *)bytes, n);
    if (used >= 0)
        return;
    if (used == NGHTTP2_ERR_FLOODED)
        h2_calm_down(c);
    else if (used == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
        h2_end_session(c, NGHTTP2_PROTOCOL_ERROR);
    else
        conn_fail(c, ERR_CLIENT_GONE);
    c->h2->refuse_input = true;
}

static bool wants_read(const struct conn *c)
{
    return !c->dead && !c->h2->refuse_input && !c->h2->calm && nghttp2_session_want_read(c->h2->session);
}

static void receive(struct conn *c)
{
    if (buf_bytes(&c->in) && wants_read(c)) {
        feed(c, c->in.p + c->in.at, buf_bytes(&c->in));
        buf_fini(&c->in);
    }
    for (unsigned reads = 0; c->readable && wants_read(c) && buf_bytes(&c->out) < LIMIT_PENDING_BYTES; reads++) {
        if (reads == LIMIT_PIPELINE) {
            conn_set_timing(c, TIMING_YIELD, 1); /* the others of this loop come first */
            return;
        }
        ssize_t n = conn_read(c, http_scratch, sizeof http_scratch);
        if (n > 0)
            feed(c, http_scratch, (size_t)n);
    }
}

/* Everything that nghttp2 has to say, in as few writes as the scratch memory allows. */
static void transmit(struct conn *c)
{
    size_t held = 0;
    const uint8_t *piece;
    ssize_t n = 1;
    while (n > 0 && !c->blocked && !c->dead) {
        n = nghttp2_session_mem_send(c->h2->session, &piece);
        if (n < 0)
            conn_fail(c, ERR_CLIENT_GONE);
        if (held && (n <= 0 || held + (size_t)n > sizeof http_scratch)) {
            conn_send(c, &(struct iovec){http_scratch, held}, 1);
            held = 0;
        }
        if (n > 0) {
            memcpy(http_scratch + held, piece, (size_t)n);
            held += (size_t)n;
        }
    }
    if (held)
        conn_send(c, &(struct iovec){http_scratch, held}, 1);
}

static void tell_writable(struct conn *c)
{
    if (!c->h2->any_paused)
        return;
    c->h2->any_paused = false;
    LIST_FOR_EACH_SAFE(at, &c->h2->streams) {
        struct stream *s = CONTAINER_OF(at, struct stream, h2_link);
        if (!s->paused || s->ended)
            continue;
        if (buf_bytes(&s->out) >= LIMIT_PENDING_BYTES / 2) {
            c->h2->any_paused = true;
            continue;
        }
        s->paused = false;
        c->server->o.handler->on_writable(s->base.user, s);
    }
}

static bool is_over(struct conn *c)
{
    nghttp2_session *session = c->h2->session;
    bool silent = c->h2->refuse_input || c->h2->calm || !nghttp2_session_want_read(session);
    if (c->h2->drain_told && list_is_empty(&c->h2->streams))
        silent = true;
    return silent && !nghttp2_session_want_write(session);
}

/* From readiness: receives, and leaves sending to the task at the end of the turn. From the task: sends. */
void h2_run(struct conn *c)
{
    if (c->eof && !c->dead) {
        conn_fail(c, ERR_CLIENT_GONE);
        return;
    }
    receive(c);
    if (c->dead)
        return;
    if (!c->task_turn) {
        wake(c);
        return;
    }
    transmit(c);
    if (!c->dead)
        tell_writable(c);
    if (c->dead || c->blocked)
        return;
    if (is_over(c)) {
        c->state = CONN_CLOSING;
        return;
    }
    if (c->timing != TIMING_YIELD)
        set_timing(c);
}

void h2_on_flushed(struct conn *c)
{
    wake(c);
}

/* ---- what handlers call ---- */

static bool is_dropped_field(struct span name)
{
    return span_eq_nocase(name, SPAN("connection")) || span_eq_nocase(name, SPAN("keep-alive")) ||
           span_eq_nocase(name, SPAN("transfer-encoding")) || span_eq_nocase(name, SPAN("upgrade")) ||
           span_eq_nocase(name, SPAN("proxy-connection")) || span_eq_nocase(name, SPAN("content-length"));
}

/* The fields of an answer. Names must be lower case: they are copied into made, which has room for all of them. */
struct fields {
    nghttp2_nv nv[ANSWER_HEADERS_MAX];
    size_t n, made;
    char text[MADE_BYTES];
};

static struct span lower(struct fields *f, struct span name)
{
    char *at = f->text + f->made;
    for (size_t i = 0; i < name.n; i++)
        at[i] = name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] | 0x20) : name.p[i];
    f->made += name.n;
    return span_of(at, name.n);
}

static struct span number(struct fields *f, uint64_t n)
{
    char *at = f->text + f->made;
    size_t digits = 1;
    for (uint64_t rest = n / 10; rest; rest /= 10)
        digits++;
    for (size_t i = digits; i-- > 0; n /= 10)
        at[i] = (char)('0' + n % 10);
    f->made += digits;
    return span_of(at, digits);
}

static void add(struct fields *f, struct span name, struct span value)
{
    if (f->n < ANSWER_HEADERS_MAX && f->made + name.n + 32 < MADE_BYTES)
        f->nv[f->n++] = field(name, value);
}

static void collect_fields(struct fields *f, struct stream *s, int status, const struct header *headers, unsigned n, uint64_t length)
{
    struct server *sv = s->base.server;
    f->n = f->made = 0;
    add(f, SPAN(":status"), number(f, (uint64_t)status));
    add(f, SPAN("date"), server_date(sv));
    if (sv->o.server_name)
        add(f, SPAN("server"), span_str(sv->o.server_name));
    if (length != UINT64_MAX)
        add(f, SPAN("content-length"), number(f, length));
    for (unsigned i = 0; i < n; i++)
        if (!is_dropped_field(headers[i].name) && ALWAYS(f->made + headers[i].name.n + 32 < MADE_BYTES && f->n < ANSWER_HEADERS_MAX) &&
            ALWAYS(h1_is_token(headers[i].name) && h1_is_field_value(headers[i].value)))
            add(f, lower(f, headers[i].name), headers[i].value);
}

/* The connection broke and on_abort is on its way; unless the handler is through by itself, and then it must not come. */
static bool is_gone(struct stream *s, bool last)
{
    bool gone = s->ended || s->conn->dead || !s->conn->h2->session;
    s->ended = s->ended || (gone && last);
    return gone;
}

void h2_begin(struct stream *s, int status, const struct header *headers, unsigned n, uint64_t content_length)
{
    if (is_gone(s, false))
        return;
    CHECK(!s->began);
    s->began = true;
    s->bodiless = s->base.head.method == HTTP_HEAD || status == 204 || status == 304;
    s->answer_left = s->bodiless ? UINT64_MAX : content_length;
    struct fields f;
    collect_fields(&f, s, status, headers, n, status == 204 ? UINT64_MAX : content_length);
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_answer};
    int result = nghttp2_submit_response(s->conn->h2->session, s->h2_id, f.nv, f.n, s->bodiless ? NULL : &provider);
    if (result != 0)
        reset(s->conn, s->h2_id, NGHTTP2_INTERNAL_ERROR);
}

void h2_flush_head(struct stream *s)
{
    if (!is_gone(s, false))
        wake(s->conn);
}

static void finish(struct stream *s)
{
    s->ended = true;
    resume(s);
    free_if_closed(s);
}

static enum err hold_parts(struct stream *s, const struct iovec *parts, int n)
{
    enum err e = ERR_OK;
    for (int i = 0; i < n && !e; i++)
        e = buf_append(&s->out, span_of(parts[i].iov_base, parts[i].iov_len));
    return e;
}

bool h2_write(struct stream *s, const struct iovec *parts, int n, bool last)
{
    if (is_gone(s, last))
        return true;
    CHECK(s->began);
    size_t before = buf_bytes(&s->out);
    if (!before)
        s->progress_ns = loop_now_ns(s->base.loop);
    if (!s->bodiless && hold_parts(s, parts, n) != ERR_OK) {
        reset(s->conn, s->h2_id, NGHTTP2_INTERNAL_ERROR); /* on_abort follows, unless this was the last write */
        s->ended = last;
        return true;
    }
    size_t bytes = s->bodiless ? 0 : buf_bytes(&s->out) - before;
    s->base.bytes_out += bytes;
    if (s->answer_left != UINT64_MAX)
        s->answer_left -= ALWAYS(bytes <= s->answer_left) ? bytes : s->answer_left;
    if (last && s->answer_left && s->answer_left != UINT64_MAX) {
        h2_break(s);
        return true;
    }
    if (last) {
        finish(s);
        return true;
    }
    if (bytes)
        resume(s);
    s->paused = buf_bytes(&s->out) > LIMIT_PENDING_BYTES;
    s->conn->h2->any_paused = s->conn->h2->any_paused || s->paused;
    return !s->paused;
}

void h2_reply(struct stream *s, int status, const struct header *headers, unsigned n, struct span body)
{
    if (is_gone(s, true))
        return;
    h2_begin(s, status, headers, n, body.n);
    struct iovec part = {(void *)(uintptr_t)body.p, body.n};
    (void)h2_write(s, &part, 1, true);
}

void h2_break(struct stream *s)
{
    if (is_gone(s, true))
        return;
    s->broken = true;
    if (!s->began || s->bodiless)
        reset(s->conn, s->h2_id, NGHTTP2_INTERNAL_ERROR);
    finish(s);
}
