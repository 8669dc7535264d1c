/* SPDX-License-Identifier: Apache-2.0
 *
 * The real world: one epoll set per loop, each socket registered once, edge-triggered, for its whole life.
 * The complication: epoll_wait hands over a batch, and a callback may close a socket that a later event of the same batch
 * names. A closed sock therefore keeps its memory, with fd -1, until the batch is through.
 */
#include "io/epoll.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"

#define BATCH_EVENTS 256
#define SLAB_SOCKS 127u
#define PARTS_MAX 1024 /* IOV_MAX of Linux: more in one call is refused whole */

/* Under a sanitizer each sock is an allocation of its own, so that use after close is seen. */
#if defined(__SANITIZE_ADDRESS__)
#define SOCKS_IN_SLABS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SOCKS_IN_SLABS 0
#endif
#endif
#ifndef SOCKS_IN_SLABS
#define SOCKS_IN_SLABS 1
#endif

struct slab {
    struct slab *next;
    struct sock socks[SLAB_SOCKS];
};

/* Memory of socks. */

static bool slab_add(struct epoll_world *w)
{
    struct slab *slab = malloc(sizeof *slab);
    if (!slab)
        return false;
    slab->next = w->slabs;
    w->slabs = slab;
    for (unsigned i = 0; i < SLAB_SOCKS; i++) {
        slab->socks[i].owner = w->free_socks;
        w->free_socks = &slab->socks[i];
    }
    return true;
}

static struct sock *sock_memory_take(struct epoll_world *w)
{
    if (!SOCKS_IN_SLABS)
        return malloc(sizeof(struct sock));
    if (!w->free_socks && !slab_add(w))
        return NULL;
    struct sock *s = w->free_socks;
    w->free_socks = s->owner;
    return s;
}

static void sock_memory_give(struct epoll_world *w, struct sock *s)
{
    if (!SOCKS_IN_SLABS) {
        free(s);
        return;
    }
    s->owner = w->free_socks;
    w->free_socks = s;
}

static void reclaim_closed(struct epoll_world *w)
{
    for (struct sock *s = w->closed_socks, *next; s; s = next) {
        next = s->owner;
        sock_memory_give(w, s);
    }
    w->closed_socks = NULL;
    if (w->closed_listeners)
        epoll_listeners_reclaim(w);
}

/* Lifetime. */

enum err epoll_watch(struct epoll_world *w, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? ERR_OK : ERR_OVERLOADED;
}

static void *world_open(struct loop *l, void *state)
{
    struct epoll_world *w = calloc(1, sizeof *w);
    CHECK(w);
    w->loop = l;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(w->epoll_fd >= 0 && w->wake_fd >= 0);
    CHECK(epoll_watch(w, w->wake_fd, EPOLLIN | EPOLLET, EPOLL_WAKE) == ERR_OK);
    return w;
}

static void world_close(struct loop *l, void *world)
{
    struct epoll_world *w = world;
    epoll_resolver_free(w->resolver);
    reclaim_closed(w);
    for (struct slab *slab = w->slabs, *next; slab; slab = next) {
        next = slab->next;
        free(slab);
    }
    close(w->epoll_fd);
    close(w->wake_fd);
    free(w);
}

/* The counter is never read: each write is a new edge, and 2^64 of them do not happen. */
static void world_wake(void *world)
{
    struct epoll_world *w = world;
    ssize_t written = write(w->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
    CHECK(written == sizeof(uint64_t));
}

static uint64_t monotonic_ns(void *world)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int64_t wall_us(void *world)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t world_seed(void *world)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = monotonic_ns(world) ^ (uint64_t)(uintptr_t)world;
    return seed;
}

/* Waiting. */

static void sock_event(struct sock *s, uint32_t events)
{
    if (s->fd < 0)
        return; /* closed earlier in this batch */
    unsigned ready = 0;
    if (events & EPOLLIN)
        ready |= SOCK_READABLE;
    if (events & EPOLLOUT)
        ready |= SOCK_WRITABLE;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        s->hangup = true;
        ready |= SOCK_HANGUP | SOCK_READABLE;
    }
    if (events & (EPOLLHUP | EPOLLERR))
        ready |= SOCK_WRITABLE; /* a writer that waits learns it from its write */
    if (ALWAYS(s->on_ready))
        s->on_ready(s, ready);
}

static void dispatch(struct epoll_world *w, const struct epoll_event *event)
{
    uint64_t rest = event->data.u64 & ~((UINT64_C(1) << EPOLL_KIND_BITS) - 1);
    switch ((enum epoll_kind)(event->data.u64 - rest)) {
    case EPOLL_SOCK:
        sock_event((struct sock *)(uintptr_t)rest, event->events);
        break;
    case EPOLL_LISTENER:
        epoll_listener_ready((struct epoll_listener *)(uintptr_t)rest);
        break;
    case EPOLL_RESOLVER:
        epoll_resolver_ready(w->resolver, (int)(rest >> EPOLL_KIND_BITS), event->events & ~(uint32_t)EPOLLOUT, event->events & EPOLLOUT);
        break;
    case EPOLL_WAKE: /* its work was to end the sleep */
        break;
    }
}

static int sleep_ms(struct epoll_world *w, uint64_t until_ns)
{
    if (until_ns == UINT64_MAX)
        return -1;
    uint64_t now_ns = until_ns ? monotonic_ns(w) : 0;
    if (until_ns <= now_ns)
        return 0;
    uint64_t ms = (until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS; /* up, or it would wake early and spin */
    return ms < 3600000 ? (int)ms : 3600000;
}

static void world_wait(struct loop *l, void *world, uint64_t until_ns)
{
    struct epoll_world *w = world;
    struct epoll_event batch[BATCH_EVENTS];
    reclaim_closed(w);
    int n = epoll_wait(w->epoll_fd, batch, BATCH_EVENTS, sleep_ms(w, until_ns));
    CHECK(n >= 0 || errno == EINTR);
    loop_tick(l);
    for (int i = 0; i < n; i++)
        dispatch(w, &batch[i]);
}

/* Socks. */

struct sock *epoll_adopt(struct epoll_world *w, int fd)
{
    struct sock *s = sock_memory_take(w);
    if (!s) {
        close(fd);
        return NULL;
    }
    *s = (struct sock){.loop = w->loop, .fd = fd};
    if (epoll_watch(w, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, (uintptr_t)s | EPOLL_SOCK) != ERR_OK) {
        close(fd);
        sock_memory_give(w, s);
        return NULL;
    }
    loop_count_sock(w->loop, 1);
    return s;
}

static enum err world_connect(struct loop *l, const struct sock_address *to, struct sock **ret)
{
    int fd = socket(to->u.in.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE ? ERR_OVERLOADED : ERR_CONNECT;
    if (to->u.in.family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    /* Registered only afterwards: an unconnected socket reports a hangup. A signal leaves the attempt going on. */
    if (connect(fd, (const void *)to->u.bytes, to->bytes) != 0 && errno != EINPROGRESS && errno != EINTR) {
        close(fd);
        return ERR_CONNECT;
    }
    struct sock *s = epoll_adopt(loop_world(l), fd);
    if (!s)
        return ERR_OVERLOADED;
    *ret = s;
    return ERR_OK;
}

static enum err world_connect_result(struct sock *s)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0 || error != 0)
        return ERR_CONNECT;
    struct sockaddr_storage peer;
    bytes = sizeof peer;
    if (getpeername(s->fd, (struct sockaddr *)&peer, &bytes) == 0)
        return ERR_OK;
    return s->hangup ? ERR_CONNECT : ERR_AGAIN; /* the error was fetched by an earlier call */
}

static struct sock_address world_peer(const struct sock *s)
{
    struct sock_address peer = {0};
    socklen_t bytes = sizeof peer.u;
    if (getpeername(s->fd, (void *)peer.u.bytes, &bytes) == 0)
        peer.bytes = bytes < sizeof peer.u ? bytes : sizeof peer.u;
    return peer;
}

static ssize_t io_result(ssize_t n)
{
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? -(ssize_t)ERR_AGAIN : -(ssize_t)ERR_IO;
}

static ssize_t world_read(struct sock *s, void *into, size_t bytes)
{
    ssize_t n;
    do
        n = recv(s->fd, into, bytes, 0);
    while (n < 0 && errno == EINTR);
    return io_result(n);
}

static ssize_t world_writev(struct sock *s, const struct iovec *parts, int n)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)(n < PARTS_MAX ? n : PARTS_MAX)};
    ssize_t written;
    do
        written = n == 1 ? send(s->fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL) : sendmsg(s->fd, &message, MSG_NOSIGNAL);
    while (written < 0 && errno == EINTR);
    return io_result(written);
}

static void world_shutdown_write(struct sock *s) { (void)shutdown(s->fd, SHUT_WR); }

static void world_close_sock(struct sock *s, bool reset)
{
    struct epoll_world *w = loop_world(s->loop);
    CHECK(s->fd >= 0);
    if (reset)
        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    close(s->fd); /* which also takes it out of the epoll set: the descriptor was never duplicated */
    s->fd = -1;
    s->on_ready = NULL;
    s->owner = w->closed_socks;
    w->closed_socks = s;
    loop_count_sock(w->loop, -1);
}

const struct io_backend *io_epoll(void)
{
    static const struct io_backend backend = {
        .open = world_open,
        .close = world_close,
        .wait = world_wait,
        .wake = world_wake,
        .monotonic_ns = monotonic_ns,
        .wall_us = wall_us,
        .seed = world_seed,
        .listen = epoll_listen,
        .listener_set = epoll_listener_set,
        .listener_close = epoll_listener_close,
        .listener_address = epoll_listener_address,
        .connect = world_connect,
        .connect_result = world_connect_result,
        .peer = world_peer,
        .read = world_read,
        .writev = world_writev,
        .shutdown_write = world_shutdown_write,
        .close_sock = world_close_sock,
        .resolve = epoll_resolve,
        .resolve_cancel = epoll_resolve_cancel,
    };
    return &backend;
}
