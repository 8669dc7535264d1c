/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 towards a provider: one call at a time on a connection. The head is built on the stack and leaves with the body's slices in
 * one system call; the answer is read into the thread's scratch and handed on from there, chunked coding undone in place.
 *
 * When may a lost request be sent again? RFC 9112 9.3.1 lets a client repeat a request on a new connection when the old one, kept
 * alive from an earlier exchange, was closed before any byte of an answer: the usual reason is that the server's idle timeout
 * and our request crossed on the way. RFC 9110 9.2.2 asks more for POST: that the client knows the request was not applied. It
 * cannot know. Here the worst case is that a provider computes, and perhaps bills, one answer that nobody reads; it is the same
 * attempt in our books, which record the one answer that came. So: once, on a fresh connection, only if the first was reused and not
 * a byte came back. A loss on a fresh connection is never repeated here.
 */
#include "http/client_private.h"

#include <stdlib.h>

#define HEAD_ON_STACK 4096

static void h1_read(struct conn *n);

/* ---- the request's head ---- */

static bool is_control(char c) { return (unsigned char)c < 0x20 || c == 0x7f; }

/* Is one of the eight bytes at p a control character? The lowest byte that is shows in its top bit. */
static bool has_control_8(const char *p)
{
    const uint64_t each = 0x0101010101010101u;
    uint64_t bytes, not_del;
    memcpy(&bytes, p, 8);
    not_del = bytes ^ each * 0x7f;
    return (((bytes - each * 0x20) & ~bytes) | ((not_del - each) & ~not_del)) & each * 0x80;
}

static bool has_control(struct span s)
{
    size_t i = 0;
    for (; i + 8 <= s.n; i += 8)
        if (has_control_8(s.p + i))
            return true;
    if (s.n >= 8)
        return has_control_8(s.p + s.n - 8); /* the last eight, of which some were looked at */
    while (i < s.n && !is_control(s.p[i]))
        i++;
    return i < s.n;
}

/* Whoever fills the options checked them; a line break that came through would be a second request in our name, so it is looked
 * for once more where it would do harm. */
const char *h1_refuses_head(const struct call *c)
{
    const struct call_options *o = &c->options;
    bool control = has_control(o->method) || has_control(o->target) || has_control(o->authority);
    for (unsigned i = 0; !control && i < o->headers_n; i++)
        control = has_control(o->headers[i].name) || has_control(o->headers[i].value);
    if (control)
        return "a control character in the request's head";
    if (span_find(o->method, ' ') >= 0 || span_find(o->target, ' ') >= 0 || !o->method.n || !o->target.n)
        return "the request's method or target is empty or has a space";
    return NULL;
}

static char *put(char *at, struct span s)
{
    memcpy(at, s.p ? s.p : "", s.n);
    return at + s.n;
}

static struct span authority_of(const struct call *c)
{
    return c->options.authority.n ? c->options.authority : span_str(c->origin->authority);
}

static bool is_through_plain_proxy(const struct call *c)
{
    return c->origin->options.proxy_host && !c->origin->options.tls;
}

static size_t head_bytes(const struct call *c)
{
    const struct call_options *o = &c->options;
    size_t n = o->method.n + o->target.n + 2 * authority_of(c).n + 128;
    for (unsigned i = 0; i < o->headers_n; i++)
        n += o->headers[i].name.n + o->headers[i].value.n + 4;
    return n + (is_through_plain_proxy(c) && c->origin->options.proxy_authorization ? strlen(c->origin->options.proxy_authorization) : 0);
}

static char *put_target(char *at, const struct call *c)
{
    if (is_through_plain_proxy(c))
        at = put(put(at, SPAN("http://")), authority_of(c));
    return put(at, c->options.target);
}

static char *put_header(char *at, struct span name, struct span value)
{
    return put(put(put(put(at, name), SPAN(": ")), value), SPAN("\r\n"));
}

static struct span build_head(const struct call *c, char *out)
{
    const struct call_options *o = &c->options;
    char *at = put_target(put(put(out, o->method), SPAN(" ")), c);
    at = put(at, SPAN(" HTTP/1.1\r\n"));
    at = put_header(at, SPAN("Host"), authority_of(c));
    for (unsigned i = 0; i < o->headers_n; i++)
        at = put_header(at, o->headers[i].name, o->headers[i].value);
    if (is_through_plain_proxy(c) && c->origin->options.proxy_authorization)
        at = put_header(at, SPAN("Proxy-Authorization"), span_str(c->origin->options.proxy_authorization));
    if (c->has_body) {
        char digits[SPAN_U64_BYTES];
        at = put_header(at, SPAN("Content-Length"), span_of_u64(digits, c->body_bytes));
    }
    at = put(at, SPAN("\r\n"));
    return span_of(out, (size_t)(at - out));
}

/* ---- sending ---- */

/* What the socket did not take of the head: from the stack it must be copied, later it only shrinks. */
static void keep_head_rest(struct conn *n, struct span rest)
{
    if (!n->head_copy && rest.n) {
        n->head_copy = malloc(rest.n);
        CHECK(n->head_copy);
        memcpy(n->head_copy, rest.p, rest.n);
        rest.p = n->head_copy;
    }
    n->head_rest = rest;
}

static void head_is_sent(struct conn *n)
{
    free(n->head_copy);
    n->head_copy = NULL;
    n->head_rest = SPAN_NONE;
}

/* True: go on, the socket took all that it was offered. */
static bool write_once(struct conn *n, struct span *head)
{
    struct call *c = n->call;
    struct iovec parts[CLIENT_PARTS];
    unsigned heads = head->n > 0, count = heads + call_body_parts(c, parts + heads, CLIENT_PARTS - heads);
    if (heads)
        parts[0] = (struct iovec){(char *)(uintptr_t)head->p, head->n};
    size_t offered = 0;
    for (unsigned i = 0; i < count; i++)
        offered += parts[i].iov_len;
    ssize_t w = transport_writev(&n->transport, parts, (int)count);
    if (w < 0) {
        n->broken = w != -(ssize_t)ERR_AGAIN;
        return false;
    }
    size_t of_head = (size_t)w < head->n ? (size_t)w : head->n;
    *head = span_from(*head, of_head);
    call_body_advance(c, (size_t)w - of_head);
    return (size_t)w == offered;
}

/* After a failed write the answer may still be there to be read: a provider may refuse a large body before it took it. That is for
 * the task, because owners are not called from inside call_start. */
static void h1_write(struct conn *n, struct span head)
{
    struct call *c = n->call;
    while (write_once(n, &head)) {
        if (c->body_sent < c->body_bytes)
            continue;
        if (n->head_copy)
            head_is_sent(n);
        call_was_sent(c);
        return;
    }
    keep_head_rest(n, head);
    call_moved(c);
    if (n->broken)
        loop_defer(n->origin->client->loop, &n->task);
}

void h1_send_call(struct conn *n, struct call *c)
{
    char small[HEAD_ON_STACK], *large = NULL;
    size_t bytes = head_bytes(c);
    CHECK(n->state == CONN_BUSY && !n->call);
    n->call = c;
    call_attached(c, n);
    if (bytes > sizeof small) {
        large = malloc(bytes);
        CHECK(large);
    }
    h1_write(n, build_head(c, large ? large : small));
    free(large);
    if (n->transport.sock->hangup) { /* the event of its end may have come before we were there to hear it */
        n->unread = true;
        loop_defer(n->origin->client->loop, &n->task);
    }
}

/* ---- the ends of a call ---- */

static struct call *take_call(struct conn *n)
{
    struct call *c = n->call;
    n->call = NULL;
    call_detach(c);
    return c;
}

static void answer_failed(struct conn *n, enum err e, const char *why)
{
    if (n->state == CONN_DEAD)
        return; /* the owner cancelled in the callback that led here */
    struct call *c = take_call(n);
    conn_close(n, true);
    call_fail(c, e, why);
}

static void answer_done(struct conn *n, bool bytes_follow)
{
    struct call *c = take_call(n);
    bool good = n->keep_alive && c->sent && !bytes_follow && !n->broken && !n->transport.sock->hangup;
    if (good)
        conn_release(n);
    else
        conn_close(n, false);
    call_on_end(c);
}

static const char *loss(const struct call *c, bool reset)
{
    if (!c->bytes_seen)
        return reset ? "the provider reset the connection before it answered" : "the provider closed the connection before it answered";
    if (!c->head_seen)
        return reset ? "the provider reset the connection in the head of its answer" : "the provider closed the connection in the head of its answer";
    return reset ? "the provider reset the connection in the middle of its answer" : "the provider closed the connection in the middle of its answer";
}

static void answer_lost(struct conn *n, bool reset)
{
    struct call *c = take_call(n);
    bool again = n->reused && !c->bytes_seen && !c->retried;
    conn_close(n, false);
    if (again)
        call_restart(c);
    else
        call_fail(c, ERR_PROVIDER_RESET, loss(c, reset));
}

static void peer_ended(struct conn *n, bool reset)
{
    struct call *c = n->call;
    if (!c)
        conn_close(n, false);
    else if (c->head_seen && n->body == H1_UNTIL_CLOSE && !reset)
        answer_done(n, false);
    else
        answer_lost(n, reset);
}

/* ---- the answer ---- */

static void body_bytes(struct conn *n, char *p, size_t bytes)
{
    struct call *c = n->call;
    const char *why = NULL;
    size_t data = bytes, used = bytes;
    bool done = false;
    if (n->body == H1_LENGTH) {
        data = used = bytes < n->left ? bytes : (size_t)n->left;
        n->left -= data;
        done = n->left == 0;
    } else if (n->body == H1_CHUNKED) {
        enum err e = h1_chunks_decode(&n->chunks, p, bytes, &data, &used);
        done = e == ERR_OK;
        if (!done && e != ERR_AGAIN) {
            answer_failed(n, ERR_PROVIDER_PROTOCOL, "the chunked coding of the answer is broken");
            return;
        }
    }
    if (data) {
        enum err e = call_on_piece(c, span_of(p, data), &why);
        if (e != ERR_OK)
            answer_failed(n, e, why);
    }
    if (n->call == c && done)
        answer_done(n, used < bytes);
}

static void head_is_here(struct conn *n, const struct h1_head *head, struct span rest)
{
    struct call *c = n->call;
    const char *why = NULL;
    n->body = (unsigned char)head->body;
    n->left = head->length;
    n->keep_alive = head->keep_alive;
    h1_chunks_init(&n->chunks);
    enum err e = call_on_head(c, &head->head, &why);
    if (e != ERR_OK)
        answer_failed(n, e, why);
    if (n->call != c)
        return;
    if (head->body == H1_NO_BODY)
        answer_done(n, rest.n > 0);
    else if (rest.n)
        body_bytes(n, (char *)(uintptr_t)rest.p, rest.n); /* scratch or our own buffer: ours to write */
}

/* Consumes interim answers from the front of *text. AGAIN: the final head is not whole. */
static enum err next_final_head(struct conn *n, struct span *text, struct h1_head *head, const char **why)
{
    for (;;) {
        enum err e = h1_parse_response(*text, &n->scanned, n->call->is_head_request, head, why);
        if (e != ERR_OK)
            return e;
        n->scanned = 0;
        *text = span_from(*text, head->bytes);
        if (head->head.status >= 200)
            return ERR_OK;
        if (head->head.status == 101) {
            *why = "the answer switches to a protocol that was not asked for";
            return ERR_BAD_REQUEST;
        }
    }
}

/* text is in the scratch, or in `held` when a part of it came earlier. */
static void head_bytes_came(struct conn *n, struct span text, struct buf *held)
{
    struct h1_head head;
    const char *why = "";
    enum err e = next_final_head(n, &text, &head, &why);
    if (e == ERR_OK) {
        head_is_here(n, &head, text);
    } else if (e != ERR_AGAIN) {
        answer_failed(n, ERR_PROVIDER_PROTOCOL, why);
    } else if (held->p) {
        buf_consume(held, buf_bytes(held) - text.n);
        buf_move(&n->partial, held);
    } else if (buf_append(&n->partial, text) != ERR_OK) {
        answer_failed(n, ERR_NO_MEMORY, "no memory for the head of the answer");
    }
}

static void bytes_came(struct conn *n, char *p, size_t bytes)
{
    struct call *c = n->call;
    struct buf held;
    if (!c) {
        conn_close(n, true); /* nobody asked */
        return;
    }
    if (!c->bytes_seen) {
        c->bytes_seen = true;
        c->times.first_byte = loop_now_ns(c->client->loop);
    }
    if (c->head_seen) {
        call_moved(c);
        body_bytes(n, p, bytes);
        return;
    }
    buf_init(&held, n->partial.max);
    if (n->partial.p) {
        if (buf_append(&n->partial, span_of(p, bytes)) != ERR_OK) {
            answer_failed(n, ERR_NO_MEMORY, "no memory for the head of the answer");
            return;
        }
        buf_move(&held, &n->partial);
    }
    head_bytes_came(n, held.p ? buf_span(&held) : span_of(p, bytes), &held);
    buf_fini(&held);
}

/* ---- reading ---- */

/* Reads until the socket is empty, the owner pauses, or the connection is gone. A read that did not fill the scratch emptied the
 * socket, unless its end is in it, too. */
static void h1_read(struct conn *n)
{
    while (n->state != CONN_DEAD) {
        if (n->call && n->call->paused) {
            n->unread = true;
            return;
        }
        ssize_t got = transport_read(&n->transport, http_scratch, sizeof http_scratch);
        if (got == -(ssize_t)ERR_AGAIN)
            return;
        if (got <= 0) {
            peer_ended(n, got < 0);
            return;
        }
        bytes_came(n, http_scratch, (size_t)got);
        if ((size_t)got < sizeof http_scratch && n->state != CONN_DEAD && !n->transport.sock->hangup)
            return;
    }
}

static void h1_ready(struct sock *s, unsigned events)
{
    struct conn *n = s->owner;
    CHECK_MAGIC(n, CONN_MAGIC);
    struct client *client = n->origin->client;
    client_enter(client);
    if ((events & SOCK_WRITABLE) && n->call && !n->call->sent && !n->broken)
        h1_write(n, n->head_rest);
    if (events & (SOCK_READABLE | SOCK_HANGUP))
        h1_read(n);
    client_leave(client);
}

void h1_read_on(struct conn *n)
{
    if (!n->unread && !n->broken)
        return;
    n->unread = false;
    h1_read(n);
}

static void h1_task(void *owner)
{
    struct conn *n = owner;
    CHECK_MAGIC(n, CONN_MAGIC);
    struct client *client = n->origin->client;
    client_enter(client);
    n->unread = false;
    h1_read(n);
    if (n->state != CONN_DEAD && n->broken && n->call && !n->call->paused)
        answer_lost(n, true); /* nothing to read and no way to write */
    client_leave(client);
}

void h1_open(struct conn *n)
{
    n->transport.sock->on_ready = h1_ready;
    n->transport.sock->owner = n;
    task_init(&n->task, h1_task, n);
}
