/* SPDX-License-Identifier: Apache-2.0
 *
 * A minimal HTTP-shaped relay on raw edge-triggered epoll: one epoll_ctl per connection, in both directions at
 * once. Its twin is loop_uv.c; the two do the same work through the same message reader, so that the
 * difference of their CPU time is the cost of the loop. A measurement, not a proxy for real traffic.
 */
#include "../wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_BYTES (64 * 1024)

/* One socket. A client side has a peer while a request is under way; an upstream side rests in the pool. */
struct side {
    int fd;
    bool upstream;
    bool closed;
    bool stopped;              /* not read until the peer took its bytes */
    struct side *peer;
    struct side *pool_next;
    char *pending;             /* what the socket did not take */
    size_t pending_at, pending_bytes;
    struct wire_message in;
};

static int epoll_fd, upstream_port;
static struct side *pool, *dead;
static char read_buf[READ_BYTES];

static void side_read(struct side *s);

static struct side *side_new(int fd, bool upstream)
{
    struct side *s = calloc(1, sizeof *s);
    if (!s)
        wire_die("out of memory");
    s->fd = fd;
    s->upstream = upstream;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    return s;
}

/* Freed only after the batch of events, which may still name it. */
static void side_close(struct side *s)
{
    if (!s || s->closed)
        return;
    struct side *peer = s->peer;
    s->closed = true;
    close(s->fd);
    for (struct side **at = &pool; s->upstream && *at; at = &(*at)->pool_next)
        if (*at == s) {
            *at = s->pool_next;
            break;
        }
    s->pool_next = dead;
    dead = s;
    if (peer) {
        peer->peer = s->peer = NULL;
        side_close(peer);
    }
}

static void side_free_dead(void)
{
    while (dead) {
        struct side *s = dead;
        dead = s->pool_next;
        free(s->pending);
        free(s);
    }
}

static struct side *upstream_take(void)
{
    struct side *u = pool;
    if (!u)
        return side_new(wire_connect(upstream_port), true);
    pool = u->pool_next;
    return u;
}

static void side_keep_pending(struct side *s, const char *p, size_t n)
{
    s->pending = realloc(s->pending, s->pending_bytes + n);
    if (!s->pending)
        wire_die("out of memory");
    memcpy(s->pending + s->pending_bytes, p, n);
    s->pending_bytes += n;
}

/* Writes to s what came from its peer; the peer is not read while s has bytes pending. */
static bool side_write(struct side *s, const char *p, size_t n)
{
    if (!s->pending_bytes) {
        struct iovec v = {(char *)p, n};
        ssize_t put = writev(s->fd, &v, 1);
        if (put < 0 && errno != EAGAIN && errno != ENOTCONN)
            return false;
        put = put < 0 ? 0 : put;
        p += put;
        n -= (size_t)put;
    }
    if (n) {
        side_keep_pending(s, p, n);
        s->peer->stopped = true;
    }
    return true;
}

static void side_writable(struct side *s)
{
    if (!s->pending_bytes)
        return;
    ssize_t put = write(s->fd, s->pending + s->pending_at, s->pending_bytes - s->pending_at);
    if (put < 0) {
        if (errno != EAGAIN)
            side_close(s);
        return;
    }
    s->pending_at += (size_t)put;
    if (s->pending_at < s->pending_bytes)
        return;
    s->pending_at = s->pending_bytes = 0;
    if (s->peer && s->peer->stopped) {
        s->peer->stopped = false;
        side_read(s->peer);
    }
}

/* The answer is whole: the upstream connection rests, the client may ask again. */
static void exchange_done(struct side *u)
{
    struct side *c = u->peer;
    u->peer = c->peer = NULL;
    wire_message_reset(&u->in);
    wire_message_reset(&c->in);
    u->pool_next = pool;
    pool = u;
}

static bool side_got(struct side *s, const char *p, size_t n)
{
    if (!s->peer && s->upstream)
        return false;
    if (!s->peer) {
        s->peer = upstream_take();
        s->peer->peer = s;
    }
    wire_message_feed(&s->in, p, n, NULL, NULL);
    if (s->in.state == WIRE_BAD || !side_write(s->peer, p, n))
        return false;
    if (s->upstream && s->in.state == WIRE_DONE)
        exchange_done(s);
    return true;
}

/* Edge-triggered: reads until the socket is empty, which a short read shows. */
static void side_read(struct side *s)
{
    while (!s->closed && !s->stopped) {
        struct iovec v = {read_buf, READ_BYTES};
        ssize_t n = readv(s->fd, &v, 1);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0 || !side_got(s, read_buf, (size_t)n)) {
            side_close(s);
            return;
        }
        if (n < READ_BYTES)
            return;
    }
}

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        wire_nodelay(fd);
        side_new(fd, false);
    }
}

static void side_event(struct side *s, uint32_t events)
{
    if (!s->closed && events & EPOLLOUT)
        side_writable(s);
    if (!s->closed && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        side_read(s);
    if (!s->closed && events & EPOLLRDHUP)
        side_close(s);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: loop_epoll PORT UPSTREAM_PORT\n");
        return 2;
    }
    wire_raise_files();
    upstream_port = atoi(argv[2]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = wire_listen(atoi(argv[1]));
    struct epoll_event events[1024], e = {.events = EPOLLIN};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    printf("listening on http://127.0.0.1:%s\n", argv[1]);
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 1024, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                side_event(events[i].data.ptr, events[i].events);
            else
                accept_all(listener);
        }
        side_free_dead();
    }
}
