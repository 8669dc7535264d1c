/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the real world share: epoll.c (waiting, sockets), listen.c (listeners), resolve.c (c-ares).
 * Nobody else includes this.
 */
#ifndef ENTENTE_IO_EPOLL_H
#define ENTENTE_IO_EPOLL_H

#include "io/backend.h"

/* What an epoll event is about, in the low bits of its data; the rest is a pointer, or a descriptor shifted left. */
enum epoll_kind { EPOLL_SOCK, EPOLL_LISTENER, EPOLL_RESOLVER, EPOLL_WAKE };
#define EPOLL_KIND_BITS 2u

struct epoll_listener;
struct resolver;

struct epoll_world {
    struct loop *loop;
    int epoll_fd, wake_fd;
    struct sock *free_socks;               /* through owner */
    struct sock *closed_socks;             /* likewise; memory that waits until no event of this batch can name it */
    struct slab *slabs;
    struct epoll_listener *closed_listeners;
    struct resolver *resolver;             /* NULL until the first name */
    uint64_t warned_ns;                    /* when "no descriptors left" was last said */
};

enum err epoll_watch(struct epoll_world *w, int fd, uint32_t events, uint64_t data) MUST_CHECK;
struct sock *epoll_adopt(struct epoll_world *w, int fd); /* takes fd: a watched sock, or NULL and fd is closed */

/* listen.c */
enum err epoll_listen(struct loop *l, const struct sock_address *at, sock_accept_fn *fn, void *owner, struct listener **ret,
                      const char **why) MUST_CHECK;
void epoll_listener_set(struct listener *ln, bool accepting);
void epoll_listener_close(struct listener *ln);
struct sock_address epoll_listener_address(const struct listener *ln);
void epoll_listener_ready(struct epoll_listener *ln);
void epoll_listeners_reclaim(struct epoll_world *w);

/* resolve.c */
void epoll_resolve(struct resolve *query);
void epoll_resolve_cancel(struct resolve *query);
void epoll_resolver_ready(struct resolver *r, int fd, bool readable, bool writable);
void epoll_resolver_free(struct resolver *r);


#endif
