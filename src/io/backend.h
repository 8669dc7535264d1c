/* SPDX-License-Identifier: Apache-2.0
 *
 * What a world must offer so that a loop can live in it. Two exist: io_epoll() and the simulator's. loop.c and sock.c are thin
 * and shared: timers, tasks and messages are the same code in both worlds; only the calls below differ.
 */
#ifndef ENTENTE_IO_BACKEND_H
#define ENTENTE_IO_BACKEND_H

#include "io/loop.h"
#include "io/resolve.h"
#include "io/sock.h"

/* What loop.c and sock.c know of a world's objects: each world's own struct begins with it. */
struct listener {
    struct loop *loop;
    sock_accept_fn *fn;
    void *owner;
};

struct io_backend {
    /* lifetime: state is what loop_new was given; open returns the world's own per-loop state */
    void *(*open)(struct loop *l, void *state);
    void (*close)(struct loop *l, void *world);
    /* waits until something is ready or until_ns (0: does not wait; UINT64_MAX: no timer), then calls loop_tick once, then
     * on_ready and on_accept of what is; returns early on wake. */
    void (*wait)(struct loop *l, void *world, uint64_t until_ns);
    void (*wake)(void *world); /* any thread */
    uint64_t (*monotonic_ns)(void *world);
    int64_t (*wall_us)(void *world);
    uint64_t (*seed)(void *world); /* of loop_random */

    enum err (*listen)(struct loop *l, const struct sock_address *at, sock_accept_fn *fn, void *owner, struct listener **ret,
                       const char **why);
    void (*listener_set)(struct listener *ln, bool accepting);
    void (*listener_close)(struct listener *ln);
    struct sock_address (*listener_address)(const struct listener *ln);
    enum err (*connect)(struct loop *l, const struct sock_address *to, struct sock **ret);
    enum err (*connect_result)(struct sock *s);
    struct sock_address (*peer)(const struct sock *s);
    ssize_t (*read)(struct sock *s, void *into, size_t bytes);
    ssize_t (*writev)(struct sock *s, const struct iovec *parts, int n);
    void (*shutdown_write)(struct sock *s);
    void (*close_sock)(struct sock *s, bool reset);

    void (*resolve)(struct resolve *query);
    void (*resolve_cancel)(struct resolve *query);
};

const struct io_backend *io_epoll(void);
const struct io_backend *loop_backend(const struct loop *l);
void *loop_world(const struct loop *l);
void loop_tick(struct loop *l); /* reads the clock and fires the timers that are due */
void loop_count_sock(struct loop *l, int change); /* backends report socks and listeners for loop_socks */

#endif
