/* SPDX-License-Identifier: Apache-2.0
 *
 * A bare TCP relay: one upstream connection for each client connection, bytes copied through one buffer, no look
 * at what they say. It is the floor under every proxy in the tables: nothing that reads and writes through
 * sockets of its own can cost less. Edge-triggered epoll; what a full socket does not take is kept aside.
 */
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)

/* One of the two sockets of a pair. */
struct side {
    int fd;
    bool stopped;                /* not read until the other side took its bytes */
    bool closed;
    struct side *other;
    struct side *next_dead;
    char *pending;               /* what this socket did not take */
    size_t pending_at, pending_bytes;
};

static int epoll_fd, upstream_port;
static struct side *dead;
static char read_buf[READ_BYTES];

static struct side *side_new(int fd)
{
    struct side *s = calloc(1, sizeof *s);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = s};
    if (!s)
        wire_die("out of memory");
    s->fd = fd;
    wire_nodelay(fd);
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    return s;
}

static void pair_close(struct side *s)
{
    for (int i = 0; i < 2; i++, s = s->other) {
        if (s->closed)
            continue;
        s->closed = true;
        close(s->fd);
        s->next_dead = dead;
        dead = s;
    }
}

/* Only after a batch of events, which may still name a closed side. */
static void free_dead(void)
{
    while (dead) {
        struct side *s = dead;
        dead = s->next_dead;
        free(s->pending);
        free(s);
    }
}

static void side_keep(struct side *s, const char *p, size_t n)
{
    s->pending = malloc(n);
    if (!s->pending)
        wire_die("out of memory");
    memcpy(s->pending, p, n);
    s->pending_at = 0;
    s->pending_bytes = n;
    s->other->stopped = true;
}

static bool side_write(struct side *s, const char *p, size_t n)
{
    ssize_t put = send(s->fd, p, n, MSG_NOSIGNAL);
    if (put < 0 && errno != EAGAIN && errno != ENOTCONN)
        return false;
    put = put < 0 ? 0 : put;
    if ((size_t)put < n)
        side_keep(s, p + put, n - (size_t)put);
    return true;
}

static void side_read(struct side *s)
{
    while (!s->closed && !s->stopped) {
        ssize_t n = recv(s->fd, read_buf, sizeof read_buf, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0 || !side_write(s->other, read_buf, (size_t)n)) {
            pair_close(s);
            return;
        }
        if ((size_t)n < sizeof read_buf)
            return;
    }
}

static void side_writable(struct side *s)
{
    if (!s->pending)
        return;
    ssize_t put = send(s->fd, s->pending + s->pending_at, s->pending_bytes - s->pending_at, MSG_NOSIGNAL);
    if (put < 0 && errno != EAGAIN) {
        pair_close(s);
        return;
    }
    s->pending_at += put > 0 ? (size_t)put : 0;
    if (s->pending_at < s->pending_bytes)
        return;
    free(s->pending);
    s->pending = NULL;
    s->other->stopped = false;
    side_read(s->other);
}

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct side *client = side_new(fd), *upstream = side_new(wire_connect(upstream_port));
        client->other = upstream;
        upstream->other = client;
    }
}

static void side_event(struct side *s, uint32_t events)
{
    if (!s->closed && events & EPOLLOUT)
        side_writable(s);
    if (!s->closed && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        side_read(s);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: relay PORT UPSTREAM_PORT\n");
        return 2;
    }
    wire_raise_files();
    upstream_port = atoi(argv[2]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = wire_listen(atoi(argv[1]));
    struct epoll_event events[512], e = {.events = EPOLLIN};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    printf("listening on 127.0.0.1:%s\n", argv[1]);
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 512, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                side_event(events[i].data.ptr, events[i].events);
            else
                accept_all(listener);
        }
        free_dead();
    }
}
