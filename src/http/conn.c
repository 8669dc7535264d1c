/* SPDX-License-Identifier: Apache-2.0
 *
 * One accepted connection: bytes in, bytes out, the timer, the end. What the bytes mean is conn_h1.c's and conn_h2.c's business.
 *
 * The complication is the end. A connection that is closed while bytes of the peer are unread is reset by the kernel, and the
 * reset destroys an answer that the peer has not read yet. So after an error our half is closed first, and what still comes is
 * dropped for a bounded while.
 */
#include "http/conn.h"

#include <stdlib.h>

#define PARTS_MAX 60

/* ---- out ---- */

/* The deferred task of a connection is its root again: see conn_run. */
void conn_wake(struct conn *c)
{
    if (!c->running)
        loop_defer(c->server->loop, &c->task);
}

void conn_fail(struct conn *c, enum err why)
{
    if (!c->dead)
        c->dead = (uint8_t)why;
    conn_wake(c);
}

void conn_set_timing(struct conn *c, enum conn_timing what, uint64_t in_ns)
{
    c->timing = (uint8_t)what;
    if (what != TIMING_NOTHING && in_ns)
        timer_set_in(&c->timer, in_ns);
}

void conn_hold(struct conn *c, struct span bytes)
{
    if (!c->dead && buf_append(&c->out, bytes) != ERR_OK)
        conn_fail(c, ERR_NO_MEMORY);
}

static void hold_rest(struct conn *c, const struct iovec *parts, int n, size_t skip)
{
    for (int i = 0; i < n; i++) {
        size_t took = skip < parts[i].iov_len ? skip : parts[i].iov_len;
        skip -= took;
        if (parts[i].iov_len > took)
            conn_hold(c, span_of((const char *)parts[i].iov_base + took, parts[i].iov_len - took));
    }
}

static void set_blocked(struct conn *c)
{
    c->blocked = true;
    conn_set_timing(c, TIMING_WRITE, c->server->o.write_timeout_ns);
}

static size_t bytes_of(const struct iovec *parts, int n)
{
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes += parts[i].iov_len;
    return bytes;
}

/* One system call. Returns how much was taken; less than all means blocked or dead. */
static size_t write_parts(struct conn *c, const struct iovec *parts, int n, size_t all)
{
    ssize_t wrote = transport_writev(&c->transport, parts, n);
    if (wrote < 0 && wrote != -ERR_AGAIN) {
        conn_fail(c, ERR_CLIENT_GONE);
        return 0;
    }
    size_t took = wrote < 0 ? 0 : (size_t)wrote;
    stat_add(&c->server->stats.bytes_out, took);
    if (took < all)
        set_blocked(c);
    return took;
}

/* What waits in `out` goes first; what the socket does not take is copied behind it. */
void conn_send(struct conn *c, const struct iovec *parts, int n)
{
    if (c->dead)
        return;
    if (c->blocked || n > PARTS_MAX) {
        hold_rest(c, parts, n, 0);
        if (c->blocked)
            return;
        parts = NULL;
        n = 0;
    }
    struct iovec all[PARTS_MAX + 1];
    size_t held = buf_bytes(&c->out);
    int m = 0;
    if (held)
        all[m++] = (struct iovec){c->out.p + c->out.at, held};
    for (int i = 0; i < n; i++)
        if (parts[i].iov_len)
            all[m++] = parts[i];
    if (!m)
        return;
    size_t total = bytes_of(all, m), took = write_parts(c, all, m, total);
    if (held)
        buf_consume(&c->out, took < held ? took : held);
    if (took < total && !c->dead)
        hold_rest(c, parts, n, took < held ? 0 : took - held);
}

/* The socket is writable again. */
static void flush(struct conn *c)
{
    size_t before = buf_bytes(&c->out);
    c->blocked = false;
    c->timing = TIMING_NOTHING;
    conn_send(c, NULL, 0);
    if (c->blocked && buf_bytes(&c->out) == before)
        return;
    if (c->h2)
        h2_on_flushed(c);
    else
        h1_on_flushed(c);
}

/* ---- in ---- */

ssize_t conn_read(struct conn *c, void *into, size_t bytes)
{
    ssize_t n = transport_read(&c->transport, into, bytes);
    if (n > 0) {
        stat_add(&c->server->stats.bytes_in, (uint64_t)n);
        if ((size_t)n < bytes && !c->transport.sock->hangup)
            c->readable = false; /* a short read has drained the socket: see io/sock.h */
        return n;
    }
    c->readable = false;
    if (n == 0)
        c->eof = true;
    else if (n != -ERR_AGAIN)
        conn_fail(c, ERR_CLIENT_GONE);
    return 0;
}

static void linger(struct conn *c)
{
    while (c->readable && !c->dead && !c->eof) {
        ssize_t n = conn_read(c, http_scratch, sizeof http_scratch);
        c->lingered += (uint32_t)n;
        if (c->lingered > LINGER_BYTES)
            conn_fail(c, ERR_CLOSED);
    }
    if (c->eof)
        conn_fail(c, ERR_CLOSED);
}

/* ---- the end ---- */

static void start_lingering(struct conn *c)
{
    transport_shutdown_write(&c->transport);
    c->state = CONN_LINGER;
    conn_set_timing(c, TIMING_LINGER, LINGER_NS);
    linger(c);
}

static void finish_closing(struct conn *c)
{
    bool unread = c->readable || buf_bytes(&c->in) > 0;
    if (c->blocked || buf_bytes(&c->out))
        return;
    if (!c->reset && !c->eof && (c->linger || unread))
        start_lingering(c);
    else
        conn_fail(c, ERR_CLOSED);
}

void conn_destroy(struct conn *c)
{
    struct server *sv = c->server;
    if (!c->dead)
        c->dead = ERR_CLOSED;
    c->running = true; /* what handlers do in on_abort wakes nobody */
    if (c->h2)
        h2_free(c);
    if (c->stream) {
        stream_abort(c->stream, (enum err)c->dead);
        stream_free(c->stream);
    }
    timer_clear(&c->timer);
    task_cancel(&c->task);
    list_remove(&c->link);
    buf_fini(&c->in);
    buf_fini(&c->out);
    if (c->reset || c->dead != ERR_CLOSED)
        transport_abort(&c->transport);
    else
        transport_close(&c->transport);
    stat_sub(&sv->stats.connections_open, 1);
    sv->refused -= c->is_refused;
    c->magic = 0;
    free(c);
}

/* ---- the roots ---- */

static void finish_handshake(struct conn *c)
{
    enum err e = transport_handshake(&c->transport);
    if (e == ERR_AGAIN)
        return;
    stat_add(e ? &c->server->stats.tls_failures_total : &c->server->stats.tls_handshakes_total, 1);
    c->state = CONN_HEAD;
    conn_set_timing(c, TIMING_IDLE, c->server->o.idle_timeout_ns);
    c->readable = true; /* the last read of the handshake may have brought more */
    if (!e && transport_alpn_is_h2(&c->transport))
        e = h2_start(c);
    if (e)
        conn_fail(c, ERR_CLOSED);
}

static void run_state(struct conn *c)
{
    if (c->state == CONN_HANDSHAKE)
        finish_handshake(c);
    if (!c->dead && c->state <= CONN_BUSY && c->state != CONN_HANDSHAKE)
        h1_run(c);
    if (!c->dead && c->state == CONN_H2)
        h2_run(c);
    if (!c->dead && c->state == CONN_CLOSING)
        finish_closing(c);
    else if (!c->dead && c->state == CONN_LINGER)
        linger(c);
}

static void conn_run(struct conn *c)
{
    c->running = true;
    run_state(c);
    c->running = c->task_turn = false;
    if (c->dead)
        conn_destroy(c);
}

static void on_ready(struct sock *sock, unsigned events)
{
    struct conn *c = sock->owner;
    CHECK_MAGIC(c, CONN_MAGIC);
    if (events & (SOCK_READABLE | SOCK_HANGUP))
        c->readable = true;
    c->running = true;
    if ((events & SOCK_WRITABLE) && c->blocked && c->state != CONN_HANDSHAKE)
        flush(c);
    conn_run(c);
}

static void on_task(void *owner)
{
    struct conn *c = owner;
    CHECK_MAGIC(c, CONN_MAGIC);
    c->task_turn = true;
    conn_run(c);
}

static void on_timer(void *owner)
{
    struct conn *c = owner;
    CHECK_MAGIC(c, CONN_MAGIC);
    c->running = true;
    switch ((enum conn_timing)c->timing) {
    case TIMING_NOTHING:
        break;
    case TIMING_YIELD: /* its turn has come */
        c->timing = TIMING_NOTHING;
        break;
    case TIMING_WRITE: /* a client that does not read: a clean end would tell it a lie */
        c->reset = true;
        conn_fail(c, ERR_CLIENT_GONE);
        break;
    case TIMING_LINGER:
        conn_fail(c, ERR_CLOSED);
        break;
    case TIMING_IDLE:
    case TIMING_HEAD:
    case TIMING_BODY:
        if (c->state == CONN_HANDSHAKE)
            conn_fail(c, ERR_CLOSED);
        else if (c->h2)
            h2_timeout(c);
        else
            h1_timeout(c);
        break;
    }
    conn_run(c);
}

/* ---- accepting ---- */

static void note_peer(struct conn *c, const struct sock *sock)
{
    struct sock_address peer = sock_peer(sock);
    c->peer_bytes = peer.bytes <= sizeof c->peer ? (uint8_t)peer.bytes : 2; /* of a Unix path the family alone */
    memcpy(c->peer, peer.u.bytes, c->peer_bytes);
}

static enum err start_transport(struct conn *c, struct sock *sock, struct tls_context *tls)
{
    if (tls) {
        c->state = CONN_HANDSHAKE;
        conn_set_timing(c, TIMING_HEAD, c->server->o.head_timeout_ns);
        return transport_init_server(&c->transport, sock, tls);
    }
    transport_init_plain(&c->transport, sock);
    c->state = CONN_HEAD;
    conn_set_timing(c, TIMING_IDLE, c->server->o.idle_timeout_ns);
    return ERR_OK;
}

static struct conn *conn_new(struct server_listener *from, struct sock *sock)
{
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->magic = CONN_MAGIC;
    c->server = from->server;
    timer_init(&c->timer, sock->loop, on_timer, c);
    task_init(&c->task, on_task, c);
    buf_init(&c->in, LIMIT_HEAD_BYTES + LIMIT_READ_BYTES);
    buf_init(&c->out, OUT_BYTES_MAX);
    sock->owner = c;
    sock->on_ready = on_ready;
    if (start_transport(c, sock, from->tls) != ERR_OK) {
        timer_clear(&c->timer);
        free(c);
        return NULL;
    }
    note_peer(c, sock);
    return c;
}

/* Over the maximum: plain HTTP is told so without waiting for its request; TLS would cost a handshake, and is closed. */
static void tell_refused(struct conn *c)
{
    c->is_refused = true;
    c->server->refused++;
    h1_refuse(c, ERR_OVERLOADED, "too many connections");
    conn_wake(c);
}

void conn_accept(struct server_listener *from, struct sock *sock)
{
    struct server *sv = from->server;
    bool full = stat_read(&sv->stats.connections_open) - sv->refused >= sv->o.connections_max;
    struct conn *c = full && (from->tls || sv->refused >= REFUSED_MAX) ? NULL : conn_new(from, sock);
    if (full || !c)
        stat_add(&sv->stats.connections_refused, 1);
    if (!c) {
        sock_close(sock);
        return;
    }
    stat_add(&sv->stats.connections_total, 1);
    stat_add(&sv->stats.connections_open, 1);
    list_push_back(&sv->conns, &c->link);
    if (full)
        tell_refused(c);
}
