/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1 on one connection: requests one after the other, answers in the same order. Reads land in the thread's scratch memory; only
 * what is incomplete or has to wait its turn is kept, so an idle connection keeps nothing.
 *
 * The complication is the client that closes its half while its answer is being made. Some mean "I am gone" (most that time out),
 * some mean "that was my request" (nc, simple scripts), and the wire does not tell them apart until something is written to it.
 * A gone client must stop the bill. So an HTTP/1.1 client gets "100 Continue", which every client has to skip: one that is gone
 * answers with a reset. Once the answer has begun, a closed half counts as gone.
 */
#include <stdlib.h>

#include "http/conn.h"

#define HEAD_READ_BYTES 4096u
#define BODY_READ_PAST 4096u /* room behind a body of known length, so that a short read shows the socket drained */
#define STEPS_PER_TURN 64u       /* reads, mostly: a fast upload shares the loop with others */
#define CONTINUE SPAN("HTTP/1.1 100 Continue\r\n\r\n")

/* ---- the head of an answer ---- */

static struct span reason_of(int status)
{
    switch (status) {
    case 200: return SPAN("OK");
    case 201: return SPAN("Created");
    case 202: return SPAN("Accepted");
    case 204: return SPAN("No Content");
    case 206: return SPAN("Partial Content");
    case 301: return SPAN("Moved Permanently");
    case 302: return SPAN("Found");
    case 303: return SPAN("See Other");
    case 304: return SPAN("Not Modified");
    case 307: return SPAN("Temporary Redirect");
    case 308: return SPAN("Permanent Redirect");
    case 400: return SPAN("Bad Request");
    case 401: return SPAN("Unauthorized");
    case 402: return SPAN("Payment Required");
    case 403: return SPAN("Forbidden");
    case 404: return SPAN("Not Found");
    case 405: return SPAN("Method Not Allowed");
    case 408: return SPAN("Request Timeout");
    case 409: return SPAN("Conflict");
    case 411: return SPAN("Length Required");
    case 413: return SPAN("Content Too Large");
    case 414: return SPAN("URI Too Long");
    case 415: return SPAN("Unsupported Media Type");
    case 417: return SPAN("Expectation Failed");
    case 421: return SPAN("Misdirected Request");
    case 422: return SPAN("Unprocessable Content");
    case 429: return SPAN("Too Many Requests");
    case 431: return SPAN("Request Header Fields Too Large");
    case 500: return SPAN("Internal Server Error");
    case 501: return SPAN("Not Implemented");
    case 502: return SPAN("Bad Gateway");
    case 503: return SPAN("Service Unavailable");
    case 504: return SPAN("Gateway Timeout");
    case 505: return SPAN("HTTP Version Not Supported");
    default: return SPAN("");
    }
}

struct answer {
    int status;
    const struct header *headers;
    unsigned headers_n;
    uint64_t length;      /* UINT64_MAX: none is declared */
    bool chunked;
    bool close;
    bool keep_alive_10;   /* HTTP/1.0 wants to hear it */
};

static char *put(char *at, struct span s)
{
    memcpy(at, s.p, s.n);
    return at + s.n;
}

static char *put_number(char *at, uint64_t n)
{
    char digits[20];
    size_t i = sizeof digits;
    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    return put(at, span_of(digits + i, sizeof digits - i));
}

static size_t answer_room(const struct answer *a, struct span server_name)
{
    size_t room = 256 + server_name.n;
    for (unsigned i = 0; i < a->headers_n; i++)
        room += a->headers[i].name.n + a->headers[i].value.n + 4;
    return room;
}

/* A value with a line end in it would let whoever made it write headers of ours. */
static char *put_header(char *at, const struct header *h)
{
    if (NEVER(!h1_is_token(h->name) || !h1_is_field_value(h->value)))
        return at;
    at = put(at, h->name);
    at = put(at, SPAN(": "));
    at = put(at, h->value);
    return put(at, SPAN("\r\n"));
}

static char *put_status_line(char *at, int status)
{
    at = put(at, SPAN("HTTP/1.1 "));
    at = put_number(at, (uint64_t)status);
    at = put(at, SPAN(" "));
    at = put(at, reason_of(status));
    return put(at, SPAN("\r\n"));
}

static char *put_framing(char *at, const struct answer *a)
{
    if (a->length != UINT64_MAX) {
        at = put(at, SPAN("Content-Length: "));
        at = put(put_number(at, a->length), SPAN("\r\n"));
    }
    if (a->chunked)
        at = put(at, SPAN("Transfer-Encoding: chunked\r\n"));
    if (a->close)
        at = put(at, SPAN("Connection: close\r\n"));
    else if (a->keep_alive_10)
        at = put(at, SPAN("Connection: keep-alive\r\n"));
    return at;
}

/* Valid until the next call on this server. */
static struct span answer_head(struct server *sv, const struct answer *a)
{
    struct span name = span_str(sv->o.server_name);
    buf_clear(&sv->text);
    if (buf_reserve(&sv->text, answer_room(a, name)) != ERR_OK)
        return SPAN_NONE;
    char *start = buf_tail(&sv->text), *at = put_status_line(start, a->status);
    at = put(put(put(at, SPAN("Date: ")), server_date(sv)), SPAN("\r\n"));
    if (name.n)
        at = put(put(put(at, SPAN("Server: ")), name), SPAN("\r\n"));
    for (unsigned i = 0; i < a->headers_n; i++)
        at = put_header(at, &a->headers[i]);
    at = put(put_framing(at, a), SPAN("\r\n"));
    return span_of(start, (size_t)(at - start));
}

/* ---- refusing ---- */

static void close_after_answer(struct conn *c, bool linger)
{
    c->linger = c->linger || linger;
    c->state = CONN_CLOSING;
    buf_fini(&c->in);
    conn_wake(c);
}

static unsigned refusal_headers(struct conn *c, enum err e, struct span type, struct span path, struct header *headers)
{
    const struct stream_handler *handler = c->server->o.handler;
    unsigned n = 0;
    headers[n++] = (struct header){SPAN("Content-Type"), type};
    if (err_status(e) == 503)
        headers[n++] = (struct header){SPAN("Retry-After"), SPAN("1")};
    if (e == ERR_BAD_METHOD && handler->allow)
        headers[n++] = (struct header){SPAN("Allow"), handler->allow(c->server->o.owner, path)};
    return n;
}

/* Answers an error on behalf of the handler. The request may be known (c->stream) or not have been understood at all. */
static void send_refusal(struct conn *c, enum err e, const char *why, bool keep_alive)
{
    struct span path = c->stream ? c->stream->base.head.path : SPAN_NONE, type;
    bool to_head = c->stream && c->stream->base.head.method == HTTP_HEAD;
    struct header headers[3];
    struct buf body;
    struct span text = server_error(c->server, path, e, why, &body, &type);
    struct answer a = {.status = err_status(e), .headers = headers, .length = text.n, .close = !keep_alive};
    a.headers_n = refusal_headers(c, e, type, path, headers);
    a.keep_alive_10 = c->stream && c->stream->base.head.version == 10;
    struct span head = answer_head(c->server, &a);
    struct iovec parts[] = {{(void *)(uintptr_t)head.p, head.n}, {(void *)(uintptr_t)text.p, to_head ? 0 : text.n}};
    conn_send(c, parts, 2);
    buf_fini(&body);
}

static void drop_stream(struct conn *c)
{
    if (c->stream)
        stream_free(c->stream);
    c->stream = NULL;
}

/* The connection cannot go on after this. */
void h1_refuse(struct conn *c, enum err e, const char *why)
{
    if (c->stream && c->stream->delivered) { /* its handler has begun: there is nothing left to answer with */
        c->reset = true;
        conn_fail(c, e);
        return;
    }
    send_refusal(c, e, why, false);
    drop_stream(c);
    close_after_answer(c, true);
}

/* ---- the end of an answer ---- */

static bool is_blocked_for_next(const struct conn *c)
{
    return c->blocked || buf_bytes(&c->out);
}

static void wait_for_request(struct conn *c)
{
    c->state = CONN_HEAD;
    c->scanned = 0;
    if (!c->blocked)
        conn_set_timing(c, TIMING_IDLE, c->server->o.idle_timeout_ns);
    if (buf_bytes(&c->in) || c->readable || c->eof)
        conn_wake(c);
}

static void answer_done(struct conn *c)
{
    bool keep_alive = c->stream->keep_alive;
    c->paused = false;
    drop_stream(c);
    if (keep_alive)
        wait_for_request(c);
    else
        close_after_answer(c, false);
}

/* May the connection carry another request after this answer? Decided when the answer's head is written. */
static bool keeps_alive(struct stream *s)
{
    struct conn *c = s->conn;
    s->keep_alive = s->keep_alive && s->body_done && !c->server->draining;
    if (!s->body_done)
        c->linger = true;
    return s->keep_alive;
}

/* ---- answers ---- */

static bool forbids_body(const struct stream *s, int status)
{
    return s->base.head.method == HTTP_HEAD || status == 204 || status == 304 || status < 200;
}

static bool forbids_length(int status)
{
    return status == 204 || status < 200;
}

/* The connection broke and on_abort is on its way; unless the handler is through by itself, and then it must not come. */
static bool is_over(struct stream *s, bool last)
{
    bool over = s->conn->dead || s->ended;
    s->ended = s->ended || (over && last);
    return over;
}

void h1_reply(struct stream *s, int status, const struct header *headers, unsigned n, struct span body)
{
    struct conn *c = s->conn;
    if (is_over(s, true))
        return;
    CHECK(!s->began);
    struct answer a = {.status = status, .headers = headers, .headers_n = n, .length = forbids_length(status) ? UINT64_MAX : body.n};
    a.close = !keeps_alive(s);
    a.keep_alive_10 = s->base.head.version == 10;
    struct span head = answer_head(c->server, &a);
    size_t body_bytes = forbids_body(s, status) ? 0 : body.n;
    struct iovec parts[] = {{(void *)(uintptr_t)head.p, head.n}, {(void *)(uintptr_t)body.p, body_bytes}};
    s->ended = true;
    s->base.bytes_out += body_bytes;
    conn_send(c, parts, 2);
    answer_done(c);
}

void h1_begin(struct stream *s, int status, const struct header *headers, unsigned n, uint64_t content_length)
{
    struct conn *c = s->conn;
    if (is_over(s, false))
        return;
    CHECK(!s->began);
    s->began = true;
    s->bodiless = forbids_body(s, status);
    s->answer_left = s->bodiless ? UINT64_MAX : content_length;
    s->chunked = content_length == UINT64_MAX && !forbids_length(status) && s->base.head.version >= 11;
    s->until_close = content_length == UINT64_MAX && !s->bodiless && !s->chunked;
    if (s->until_close)
        s->keep_alive = false;
    struct answer a = {.status = status, .headers = headers, .headers_n = n, .chunked = s->chunked};
    a.length = forbids_length(status) ? UINT64_MAX : content_length;
    a.close = !keeps_alive(s);
    a.keep_alive_10 = s->base.head.version == 10;
    conn_hold(c, answer_head(c->server, &a));
}

void h1_flush_head(struct stream *s)
{
    if (is_over(s, false) || s->flushed)
        return;
    s->flushed = true;
    conn_send(s->conn, NULL, 0);
}

/* Chunk head, parts, CRLF and, at the end, the last chunk: one system call. Parts beyond the usual few are copied. */
static void send_chunk(struct stream *s, const struct iovec *parts, int n, size_t bytes, bool last)
{
    enum { PARTS = 24 };
    char head[H1_CHUNK_HEAD_BYTES];
    struct iovec all[PARTS + 2];
    int m = 0;
    if (bytes)
        all[m++] = (struct iovec){head, h1_chunk_head(head, bytes)};
    if (n > PARTS) {
        conn_send(s->conn, all, m);
        conn_send(s->conn, parts, n);
        m = n = 0;
    }
    for (int i = 0; i < n; i++)
        all[m++] = parts[i];
    static const char end[] = "\r\n0\r\n\r\n";
    size_t from = bytes ? 0 : 2, to = last ? 7 : 2;
    all[m++] = (struct iovec){(void *)(uintptr_t)(end + from), to - from};
    conn_send(s->conn, all, m);
}

static size_t sum_of(const struct iovec *parts, int n)
{
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes += parts[i].iov_len;
    return bytes;
}

bool h1_write(struct stream *s, const struct iovec *parts, int n, bool last)
{
    struct conn *c = s->conn;
    if (is_over(s, last))
        return true;
    size_t bytes = s->bodiless ? 0 : sum_of(parts, n);
    CHECK(s->began && bytes <= s->answer_left);
    s->flushed = true;
    s->base.bytes_out += bytes;
    if (s->answer_left != UINT64_MAX)
        s->answer_left -= bytes;
    if (last && s->answer_left && s->answer_left != UINT64_MAX) { /* shorter than it said */
        conn_send(c, parts, n);
        h1_break(s);
        return true;
    }
    if (s->chunked && !s->bodiless && (bytes || last))
        send_chunk(s, parts, n, bytes, last);
    else
        conn_send(c, parts, s->bodiless ? 0 : n);
    if (last) {
        s->ended = true;
        answer_done(c);
        return true;
    }
    c->paused = buf_bytes(&c->out) > LIMIT_PENDING_BYTES;
    return !c->paused;
}

/* A body that ends with the connection must end with a reset, or the client would take what it has for the whole. */
void h1_break(struct stream *s)
{
    struct conn *c = s->conn;
    if (is_over(s, true))
        return;
    s->ended = true;
    c->paused = false;
    c->reset = s->until_close || !s->flushed;
    if (!s->flushed)
        buf_fini(&c->out); /* the head that was held back */
    drop_stream(c);
    close_after_answer(c, false);
}

void h1_on_flushed(struct conn *c)
{
    struct stream *s = c->stream;
    if (s && c->paused && buf_bytes(&c->out) < LIMIT_PENDING_BYTES / 2) {
        c->paused = false;
        c->server->o.handler->on_writable(s->base.user, s);
    }
    if (c->state == CONN_HEAD && !c->blocked)
        conn_set_timing(c, buf_bytes(&c->in) ? TIMING_HEAD : TIMING_IDLE, c->server->o.idle_timeout_ns);
    else if (c->state == CONN_BODY && !c->blocked)
        conn_set_timing(c, TIMING_BODY, c->server->o.body_timeout_ns);
}

/* ---- bodies of requests ---- */

static void deliver(struct conn *c)
{
    struct stream *s = c->stream;
    const char *why = NULL;
    enum err e = stream_decode_body(s, &why);
    if (e) {
        h1_refuse(c, e, why);
        return;
    }
    c->state = CONN_BUSY;
    c->timing = TIMING_NOTHING;
    s->delivered = true;
    c->server->o.handler->on_request(c->server->o.owner, s);
}

static void body_complete(struct conn *c)
{
    struct stream *s = c->stream;
    s->body_done = true;
    s->base.received_ns = loop_now_ns(c->server->loop);
    if (!s->in_pieces) {
        deliver(c);
        return;
    }
    c->state = CONN_BUSY;
    c->timing = TIMING_NOTHING;
}

/* Takes data of the body: kept, or shown to the handler. Decides nothing about the end. */
static enum err take_body(struct conn *c, struct span data, bool last)
{
    struct stream *s = c->stream;
    s->base.bytes_in += data.n;
    if (s->base.bytes_in > s->body_limit)
        return ERR_TOO_LARGE;
    if (s->in_pieces) {
        if (last)
            body_complete(c);
        c->server->o.handler->on_body(s->base.user, s, data, last);
        return ERR_OK;
    }
    enum err e = stream_count_body(s, data.n);
    if (!e)
        e = buf_append(&s->body, data);
    if (!e && last)
        body_complete(c);
    return e;
}

static void body_failed(struct conn *c, enum err e, const char *why)
{
    h1_refuse(c, e, why);
}

/* Returns how many of the bytes belonged to the body. */
static size_t feed_length(struct conn *c, struct span bytes)
{
    struct stream *s = c->stream;
    size_t n = bytes.n < s->body_left ? bytes.n : (size_t)s->body_left;
    s->body_left -= n;
    enum err e = take_body(c, span_to(bytes, n), s->body_left == 0);
    if (e)
        body_failed(c, e, NULL);
    return n;
}

static size_t feed_chunks(struct conn *c, char *bytes, size_t n)
{
    struct stream *s = c->stream;
    size_t data, used;
    enum err e = h1_chunks_decode(&s->chunks, bytes, n, &data, &used);
    if (e == ERR_BAD_FRAMING) {
        body_failed(c, e, "the chunked body is malformed");
        return used;
    }
    bool last = e == ERR_OK;
    e = data || last ? take_body(c, span_of(bytes, data), last) : ERR_OK;
    if (e)
        body_failed(c, e, NULL);
    return used;
}

static size_t feed_body(struct conn *c, char *bytes, size_t n)
{
    if (c->state == CONN_BODY && c->timing == TIMING_BODY)
        timer_set_in(&c->timer, c->server->o.body_timeout_ns);
    return c->stream->body_kind == H1_LENGTH ? feed_length(c, span_of(bytes, n)) : feed_chunks(c, bytes, n);
}

/* Straight into the body's own memory, which has room for all of it. */
static void read_body(struct conn *c)
{
    struct stream *s = c->stream;
    size_t room = buf_room(&s->body), want = (size_t)s->body_left;
    if (room > want + BODY_READ_PAST)
        room = want + BODY_READ_PAST;
    ssize_t n = conn_read(c, buf_tail(&s->body), room);
    if (n <= 0)
        return;
    size_t mine = (size_t)n < want ? (size_t)n : want;
    struct span past = span_of(buf_tail(&s->body) + mine, (size_t)n - mine);
    if (past.n && buf_append(&c->in, past) != ERR_OK)
        conn_fail(c, ERR_NO_MEMORY);
    buf_extend(&s->body, mine);
    s->body_left -= mine;
    s->base.bytes_in += mine;
    if (c->timing == TIMING_BODY)
        timer_set_in(&c->timer, c->server->o.body_timeout_ns);
    if (stream_count_body(s, mine) != ERR_OK)
        body_failed(c, ERR_OVERLOADED, "too many request bodies at once");
    else if (!s->body_left)
        body_complete(c);
}

/* ---- heads of requests ---- */

/* on_head spoke against it. A request that is here as a whole leaves the connection usable. */
static void refuse_head(struct conn *c, const struct h1_head *head, enum err e, size_t bytes_here)
{
    bool whole = head->body == H1_NO_BODY || (head->body == H1_LENGTH && bytes_here - head->bytes >= head->length);
    if (!whole || !head->keep_alive || c->server->draining) {
        h1_refuse(c, e, NULL);
        return;
    }
    send_refusal(c, e, NULL, true);
    c->stream->body_left = head->length; /* to be skipped: see skip_refused */
    c->stream->failed = true;
}

/* The whole body of known length gets its memory at once: a page that is not written costs nothing. */
static enum err prepare_body(struct stream *s, const struct h1_head *head)
{
    s->body_kind = (uint8_t)head->body;
    s->body_left = head->length;
    h1_chunks_init(&s->chunks);
    if (head->body == H1_LENGTH && head->length > s->body_limit)
        return ERR_TOO_LARGE;
    if (head->body == H1_LENGTH && s->base.server->body_bytes + head->length > s->base.server->o.body_bytes_max)
        return ERR_OVERLOADED;
    if (head->body == H1_LENGTH && !s->in_pieces)
        return buf_reserve(&s->body, (size_t)head->length);
    return ERR_OK;
}

static enum err admit(struct conn *c, const struct h1_head *head)
{
    struct server *sv = c->server;
    struct stream *s = c->stream;
    s->body_limit = sv->o.body_max;
    enum err e = sv->o.handler->on_head(sv->o.owner, s, &s->body_limit);
    if (!e && !s->in_pieces)
        e = stream_judge_coding(s);
    return e ? e : prepare_body(s, head);
}

static void want_body(struct conn *c, const struct h1_head *head, bool has_more)
{
    c->state = CONN_BODY;
    conn_set_timing(c, TIMING_BODY, c->server->o.body_timeout_ns);
    if (head->expects_continue && !has_more)
        conn_send(c, &(struct iovec){(void *)(uintptr_t)CONTINUE.p, CONTINUE.n}, 1);
}

static void begin_body(struct conn *c, const struct h1_head *head, bool has_more)
{
    struct stream *s = c->stream;
    if (head->body == H1_NO_BODY) {
        s->body_done = true;
        s->base.received_ns = loop_now_ns(c->server->loop);
        deliver(c);
        return;
    }
    want_body(c, head, has_more);
    if (s->in_pieces) {
        s->delivered = true;
        c->server->o.handler->on_request(c->server->o.owner, s);
    }
}

static struct stream *open_stream(struct conn *c, const struct h1_head *head, struct span text)
{
    struct stream *s = stream_new(c);
    if (!s)
        return NULL;
    stream_keep_head(s, &head->head, span_to(text, head->bytes));
    s->keep_alive = head->keep_alive;
    s->base.started_ns = c->started_ns ? c->started_ns : loop_now_ns(c->server->loop);
    c->started_ns = 0;
    return s;
}

/* The first bytes of a connection may be the preface of HTTP/2 with prior knowledge. True: leave the bytes alone. */
static bool is_preface(struct conn *c, struct span bytes)
{
    size_t n = bytes.n < H2_PREFACE.n ? bytes.n : H2_PREFACE.n;
    if (c->had_request || memcmp(bytes.p, H2_PREFACE.p, n) != 0)
        return false;
    if (n == H2_PREFACE.n && h2_start(c) != ERR_OK)
        conn_fail(c, ERR_CLOSED);
    return true;
}

/* Returns how many bytes the head took; 0 when it is incomplete or refused. */
static size_t feed_head(struct conn *c, struct span bytes)
{
    struct h1_head *head = c->server->head;
    const char *why = NULL;
    if (is_preface(c, bytes))
        return 0;
    enum err e = h1_parse_request(bytes, &c->scanned, head, &why);
    if (e == ERR_AGAIN)
        return 0;
    c->scanned = 0;
    c->had_request = true;
    c->served++;
    if (e) {
        h1_refuse(c, e, why);
        return 0;
    }
    size_t used = head->bytes;
    c->stream = open_stream(c, head, bytes);
    if (!c->stream) {
        h1_refuse(c, ERR_NO_MEMORY, NULL);
        return 0;
    }
    c->state = CONN_BUSY;
    e = admit(c, head);
    if (e)
        stream_abort(c->stream, e); /* only when the body was to be taken in pieces */
    if (e)
        refuse_head(c, head, e, bytes.n);
    else
        begin_body(c, head, bytes.n > used);
    if (c->stream && c->stream->failed) { /* refused as a whole: its body is skipped, and the next request may come */
        used += (size_t)c->stream->body_left;
        drop_stream(c);
        wait_for_request(c);
    }
    return used;
}

/* ---- running ---- */

static bool wants_bytes(const struct conn *c)
{
    return !c->dead && ((c->state == CONN_HEAD && !is_blocked_for_next(c) && c->served < LIMIT_PIPELINE) || c->state == CONN_BODY);
}

/* Uses what it can of the bytes, request after request, until one has to wait. */
static size_t consume(struct conn *c, char *bytes, size_t n)
{
    size_t at = 0;
    while (at < n && wants_bytes(c)) {
        size_t used = c->state == CONN_BODY ? feed_body(c, bytes + at, n - at) : feed_head(c, span_of(bytes + at, n - at));
        at += used;
        if (!used)
            break;
    }
    return at;
}

static bool is_h1(const struct conn *c)
{
    return !c->dead && (c->state == CONN_HEAD || c->state == CONN_BODY || c->state == CONN_BUSY);
}

/* A request has begun to arrive and is not here yet: from now on its head is waited for, not the next request. */
static void note_partial(struct conn *c)
{
    if (c->state != CONN_HEAD || c->served >= LIMIT_PIPELINE || c->started_ns || is_blocked_for_next(c))
        return;
    c->started_ns = loop_now_ns(c->server->loop);
    conn_set_timing(c, TIMING_HEAD, c->server->o.head_timeout_ns);
}

/* Bytes kept from earlier reads. The buffer is taken off the connection meanwhile, because refusing drops it. */
static bool use_kept(struct conn *c)
{
    if (!buf_bytes(&c->in) || !wants_bytes(c))
        return false;
    struct buf kept;
    buf_init(&kept, c->in.max);
    buf_move(&kept, &c->in);
    size_t used = consume(c, kept.p + kept.at, buf_bytes(&kept));
    buf_consume(&kept, used);
    if (buf_bytes(&kept) && (is_h1(c) || c->state == CONN_H2)) {
        buf_move(&c->in, &kept);
        note_partial(c);
    }
    buf_fini(&kept);
    return used > 0;
}

static void read_to_scratch(struct conn *c)
{
    ssize_t n = conn_read(c, http_scratch, sizeof http_scratch);
    if (n <= 0)
        return;
    size_t used = consume(c, http_scratch, (size_t)n);
    if (used == (size_t)n || !(is_h1(c) || c->state == CONN_H2))
        return;
    if (buf_append(&c->in, span_of(http_scratch + used, (size_t)n - used)) != ERR_OK)
        conn_fail(c, ERR_NO_MEMORY);
    else
        note_partial(c);
}

static void read_to_kept(struct conn *c)
{
    if (buf_reserve(&c->in, HEAD_READ_BYTES) != ERR_OK) {
        conn_fail(c, ERR_NO_MEMORY);
        return;
    }
    ssize_t n = conn_read(c, buf_tail(&c->in), buf_room(&c->in));
    if (n > 0)
        buf_extend(&c->in, (size_t)n);
}

static void read_more(struct conn *c)
{
    if (c->state == CONN_BODY && c->stream->body_kind == H1_LENGTH && !c->stream->in_pieces)
        read_body(c);
    else if (buf_bytes(&c->in))
        read_to_kept(c);
    else
        read_to_scratch(c);
}

/* The peer closed its half while its answer is being made: see the top. */
static void met_end_while_busy(struct conn *c)
{
    struct stream *s = c->stream;
    if (s->began)
        conn_fail(c, ERR_CLIENT_GONE);
    else if (s->base.head.version >= 11)
        conn_send(c, &(struct iovec){(void *)(uintptr_t)CONTINUE.p, CONTINUE.n}, 1);
}

/* Something ended while the handler is at work: reads ahead, within bounds, to learn whether it was a half or all. */
static void look_for_end(struct conn *c)
{
    if (c->eof) {
        c->readable = false;
        if (sock_connect_result(c->transport.sock) == ERR_CONNECT) /* that is: the socket has an error pending */
            conn_fail(c, ERR_CLIENT_GONE);
        return;
    }
    while (c->readable && !c->dead && buf_bytes(&c->in) < LIMIT_HEAD_BYTES)
        read_to_kept(c);
    if (!buf_bytes(&c->in))
        buf_fini(&c->in);
    if (c->eof && !c->dead)
        met_end_while_busy(c);
}

static void met_end(struct conn *c)
{
    if (c->state == CONN_HEAD && !buf_bytes(&c->in))
        conn_fail(c, ERR_CLOSED);
    else if (c->stream && c->stream->delivered)
        conn_fail(c, ERR_CLIENT_GONE);
    else
        h1_refuse(c, ERR_BAD_REQUEST, "the connection was closed in the middle of the request");
}

/* Before the turn ends: a connection that took its share and has more comes again after the others of this loop; one that waits for
 * its client has a time to wait. */
static void settle_timing(struct conn *c, bool tired)
{
    bool more = buf_bytes(&c->in) || c->readable || c->eof;
    if (c->dead || c->blocked || (c->state != CONN_HEAD && c->state != CONN_BODY))
        return;
    if (tired && more)
        conn_set_timing(c, TIMING_YIELD, 1);
    else if (c->timing != TIMING_NOTHING && c->timing != TIMING_YIELD)
        return;
    else if (c->state == CONN_BODY)
        conn_set_timing(c, TIMING_BODY, c->server->o.body_timeout_ns);
    else if (buf_bytes(&c->in))
        conn_set_timing(c, TIMING_HEAD, c->server->o.head_timeout_ns);
    else
        conn_set_timing(c, TIMING_IDLE, c->server->o.idle_timeout_ns);
}

/* One step of what the bytes ask for; false when nothing more can be done now. */
static bool step(struct conn *c)
{
    if (use_kept(c))
        return true;
    if (c->state == CONN_BUSY && c->readable && c->transport.sock->hangup)
        look_for_end(c);
    if (!is_h1(c) || !wants_bytes(c) || !(c->eof || c->readable))
        return false;
    if (c->eof)
        met_end(c);
    else
        read_more(c);
    return true;
}

void h1_run(struct conn *c)
{
    unsigned steps = 0;
    c->served = 0;
    while (is_h1(c) && steps < STEPS_PER_TURN && step(c))
        steps++;
    settle_timing(c, steps == STEPS_PER_TURN || c->served >= LIMIT_PIPELINE);
}

void h1_timeout(struct conn *c)
{
    if (c->timing == TIMING_IDLE && c->state == CONN_HEAD)
        conn_fail(c, ERR_CLOSED);
    else if (c->state == CONN_HEAD || c->state == CONN_BODY)
        h1_refuse(c, ERR_REQUEST_TIMEOUT, NULL);
}
