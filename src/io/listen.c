/* SPDX-License-Identifier: Apache-2.0
 *
 * Listeners of the real world.
 *
 * Several loops of one process share an address; two processes must not. So the process keeps a list of the addresses it listens
 * on. The first listener on an address binds without SO_REUSEPORT, which the kernel refuses while anyone else listens there, and
 * opens the address for sharing only once it listens itself; the next ones join with SO_REUSEPORT and each gets connections of
 * its own. A Unix path cannot be bound twice: there the later ones share the first one's socket.
 */
#include "io/epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"

#define BACKLOG 4096
#define ACCEPT_BATCH 64          /* then other events have their turn; the listener is level-triggered and comes again */
#define STARVED_NS (100 * NS_PER_MS)

struct shared_address {
    struct shared_address *next;
    struct sock_address address; /* as the kernel names it, with the port it chose */
    unsigned listeners;
    int unix_fd;                 /* what later listeners duplicate; -1 for TCP */
};

static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static struct shared_address *shared_first; /* under shared_lock */

struct epoll_listener {
    struct listener base;
    struct epoll_world *world;
    struct shared_address *shared;
    struct epoll_listener *next_closed;
    struct timer retry;   /* ends a starved pause */
    int fd;               /* -1 when closed */
    bool wanted, starved; /* accepting is wanted by the owner; but there are no descriptors */
    bool watched;         /* in the epoll set: exactly when wanted and not starved */
};

/* Making the socket. Each returns a descriptor, or -1 and says why. */

static const char *bind_why(int error)
{
    switch (error) {
    case EADDRINUSE: return "the port is in use";
    case EACCES: return "binding to it is not permitted";
    case EPERM: return "binding to it is not permitted";
    case EADDRNOTAVAIL: return "this machine does not have the address";
    case EAFNOSUPPORT: return "this machine does not speak the address family";
    case ENOENT: return "the socket's directory does not exist";
    case ENOTDIR: return "the socket's directory does not exist";
    case EROFS: return "the socket's directory is read-only";
    case EMFILE: return "no file descriptors are left";
    case ENFILE: return "no file descriptors are left";
    default: return "the system refused to listen there";
    }
}

static int fail(int fd, const char *reason, const char **why)
{
    *why = reason;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int new_socket(const struct sock_address *at)
{
    int fd = socket(at->u.in.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || at->u.in.family == AF_UNIX)
        return fd;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* accepted sockets inherit it */
    if (at->u.in.family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)); /* one address is one family */
    return fd;
}

static int tcp_open(const struct sock_address *at, bool join, const char **why)
{
    int fd = new_socket(at), one = 1;
    if (fd < 0)
        return fail(-1, bind_why(errno), why);
    if (join && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0)
        return fail(fd, "the system cannot share a port between threads", why);
    if (bind(fd, (const void *)at->u.bytes, at->bytes) != 0 || listen(fd, BACKLOG) != 0)
        return fail(fd, bind_why(errno), why);
    if (!join)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one); /* when it fails, the next loop's join says so */
    return fd;
}

/* A socket file stays behind when its process dies. It is removed only when nothing answers on it. */
static bool unix_remove_stale(const struct sock_address *at, const char **why)
{
    const char *path = (const char *)at->u.bytes + offsetof(struct sockaddr_un, sun_path);
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT;
    if (!S_ISSOCK(st.st_mode)) {
        *why = "a file that is not a socket is in the way";
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool stale = fd >= 0 && connect(fd, (const void *)at->u.bytes, at->bytes) != 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    *why = "the socket is in use";
    return stale && unlink(path) == 0;
}

static int unix_open(const struct sock_address *at, const char **why)
{
    int fd = new_socket(at);
    if (fd < 0)
        return fail(-1, bind_why(errno), why);
    bool bound = bind(fd, (const void *)at->u.bytes, at->bytes) == 0;
    if (!bound && errno == EADDRINUSE) {
        if (!unix_remove_stale(at, why))
            return fail(fd, *why, why);
        bound = bind(fd, (const void *)at->u.bytes, at->bytes) == 0;
    }
    if (!bound || listen(fd, BACKLOG) != 0)
        return fail(fd, bind_why(errno), why);
    return fd;
}

/* The process's addresses. All under shared_lock. */

static struct shared_address *shared_find(const struct sock_address *at)
{
    for (struct shared_address *s = shared_first; s; s = s->next)
        if (s->address.bytes == at->bytes && memcmp(s->address.u.bytes, at->u.bytes, at->bytes) == 0)
            return s;
    return NULL;
}

static struct shared_address *shared_add(const struct sock_address *at, int fd)
{
    struct shared_address *s = calloc(1, sizeof *s);
    CHECK(s);
    s->address = *at;
    s->unix_fd = -1;
    if (at->u.in.family == AF_UNIX) {
        s->unix_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    } else {
        socklen_t bytes = sizeof s->address.u;
        memset(&s->address.u, 0, sizeof s->address.u);
        CHECK(getsockname(fd, (void *)s->address.u.bytes, &bytes) == 0);
        s->address.bytes = bytes;
    }
    s->next = shared_first;
    shared_first = s;
    return s;
}

static int open_shared(const struct sock_address *at, struct shared_address **ret, const char **why)
{
    struct shared_address *s = shared_find(at);
    int fd;
    if (s && s->unix_fd >= 0)
        fd = fcntl(s->unix_fd, F_DUPFD_CLOEXEC, 0);
    else if (at->u.in.family == AF_UNIX)
        fd = unix_open(at, why);
    else
        fd = tcp_open(at, s != NULL, why);
    if (fd < 0)
        return -1;
    if (!s)
        s = shared_add(at, fd);
    s->listeners++;
    *ret = s;
    return fd;
}

static void shared_leave(struct shared_address *s)
{
    if (--s->listeners > 0)
        return;
    struct shared_address **at = &shared_first;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (s->unix_fd >= 0) {
        close(s->unix_fd);
        (void)unlink((const char *)s->address.u.bytes + offsetof(struct sockaddr_un, sun_path));
    }
    free(s);
}

/* Accepting. */

static void listener_watch(struct epoll_listener *ln)
{
    bool wished = ln->wanted && !ln->starved;
    if (wished == ln->watched)
        return;
    /* Removed rather than masked: a shared registration cannot be modified, and a masked one still reports hangups. */
    uint32_t events = EPOLLIN | (ln->shared->unix_fd >= 0 ? (uint32_t)EPOLLEXCLUSIVE : 0);
    if (!wished)
        (void)epoll_ctl(ln->world->epoll_fd, EPOLL_CTL_DEL, ln->fd, NULL);
    else if (epoll_watch(ln->world, ln->fd, events, (uintptr_t)ln | EPOLL_LISTENER) != ERR_OK) {
        timer_set_in(&ln->retry, STARVED_NS);
        return;
    }
    ln->watched = wished;
}

static void listener_retry(void *owner)
{
    struct epoll_listener *ln = owner;
    ln->starved = false;
    listener_watch(ln);
}

/* No descriptors or memory: the backlog waits, and so do we, rather than spin on a listener that stays ready. */
static void listener_starve(struct epoll_listener *ln, int error)
{
    struct epoll_world *w = ln->world;
    uint64_t now_ns = loop_now_ns(w->loop);
    if (w->warned_ns == 0 || now_ns - w->warned_ns >= NS_PER_S) {
        w->warned_ns = now_ns;
        log_line(LOG_WARN, "cannot accept connections", "why", LOG_STR(strerror(error)), "sockets", LOG_INT(loop_socks(w->loop)), NULL);
    }
    ln->starved = true;
    listener_watch(ln);
    timer_set_in(&ln->retry, STARVED_NS);
}

static bool is_starvation(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

void epoll_listener_ready(struct epoll_listener *ln)
{
    for (int i = 0; i < ACCEPT_BATCH && ln->fd >= 0 && ln->watched; i++) {
        int fd = accept4(ln->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (fd < 0 && is_starvation(errno)) {
            listener_starve(ln, errno);
            return;
        }
        if (fd < 0)
            continue; /* this one was lost while it waited; the next may be well */
        struct sock *s = epoll_adopt(ln->world, fd);
        if (s)
            ln->base.fn(ln->base.owner, s);
    }
}

enum err epoll_listen(struct loop *l, const struct sock_address *at, sock_accept_fn *fn, void *owner, struct listener **ret,
                      const char **why)
{
    struct epoll_listener *ln = calloc(1, sizeof *ln);
    if (!ln)
        return ERR_NO_MEMORY;
    ln->base = (struct listener){l, fn, owner};
    ln->world = loop_world(l);
    timer_init(&ln->retry, l, listener_retry, ln);
    *why = "no file descriptors are left";
    pthread_mutex_lock(&shared_lock);
    ln->fd = open_shared(at, &ln->shared, why);
    pthread_mutex_unlock(&shared_lock);
    if (ln->fd < 0) {
        free(ln);
        return ERR_IO;
    }
    loop_count_sock(l, 1);
    ln->wanted = true;
    listener_watch(ln);
    *ret = &ln->base;
    return ERR_OK;
}

void epoll_listener_set(struct listener *base, bool accepting)
{
    struct epoll_listener *ln = CONTAINER_OF(base, struct epoll_listener, base);
    ln->wanted = accepting;
    listener_watch(ln);
}

void epoll_listener_close(struct listener *base)
{
    struct epoll_listener *ln = CONTAINER_OF(base, struct epoll_listener, base);
    struct epoll_world *w = ln->world;
    ln->wanted = false;
    listener_watch(ln); /* a duplicated descriptor would stay in the epoll set after close */
    timer_clear(&ln->retry);
    close(ln->fd);
    ln->fd = -1;
    pthread_mutex_lock(&shared_lock);
    shared_leave(ln->shared);
    pthread_mutex_unlock(&shared_lock);
    ln->next_closed = w->closed_listeners;
    w->closed_listeners = ln;
    loop_count_sock(w->loop, -1);
}

void epoll_listeners_reclaim(struct epoll_world *w)
{
    for (struct epoll_listener *ln = w->closed_listeners, *next; ln; ln = next) {
        next = ln->next_closed;
        free(ln);
    }
    w->closed_listeners = NULL;
}

struct sock_address epoll_listener_address(const struct listener *base)
{
    return CONTAINER_OF(base, const struct epoll_listener, base)->shared->address;
}
