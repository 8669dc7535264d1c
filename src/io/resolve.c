/* SPDX-License-Identifier: Apache-2.0
 *
 * Names to addresses: what needs no network here for every world, and c-ares on the loop for the real one.
 * The complication is that c-ares owns sockets and timeouts of its own: its sockets join the loop's epoll set as it opens and
 * closes them, its next timeout is a timer of the loop, and an answer may come for a query whose owner has gone.
 */
#include "io/resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/limits.h"
#include "io/epoll.h"

#define TTL_LEAST_NS NS_PER_S
#define TTL_MOST_NS (300 * NS_PER_S)
#define TRY_MS 1000 /* doubled by each further try */
#define TRIES 3
#define CHANNEL_AGE_NS (60 * NS_PER_S) /* then the system's resolver configuration is read again */

/* Every world: numeric hosts and localhost. */

static void answer_add(struct resolve *r, int family, const void *ip)
{
    struct sock_address *a = &r->address[r->addresses];
    if (r->addresses == RESOLVE_ADDRESSES)
        return;
    *a = (struct sock_address){0};
    if (family == AF_INET) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(r->port)};
        memcpy(&in.sin_addr, ip, sizeof in.sin_addr);
        memcpy(a->u.bytes, &in, a->bytes = sizeof in);
    } else {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(r->port)};
        memcpy(&in6.sin6_addr, ip, sizeof in6.sin6_addr);
        memcpy(a->u.bytes, &in6, a->bytes = sizeof in6);
    }
    r->addresses++;
}

static bool is_localhost(struct span host)
{
    return span_eq_nocase(host, SPAN("localhost")) ||
           (host.n > 10 && span_eq_nocase(span_from(host, host.n - 10), SPAN(".localhost")));
}

static bool answer_at_once(struct resolve *r)
{
    struct in_addr v4 = {.s_addr = htonl(INADDR_LOOPBACK)};
    struct in6_addr v6;
    if (is_localhost(span_str(r->host))) { /* IPv4 first: most local servers listen only there */
        answer_add(r, AF_INET, &v4);
        answer_add(r, AF_INET6, &in6addr_loopback);
    } else if (inet_pton(AF_INET, r->host, &v4) == 1) {
        answer_add(r, AF_INET, &v4);
    } else if (inet_pton(AF_INET6, r->host, &v6) == 1) {
        answer_add(r, AF_INET6, &v6);
    } else {
        return false;
    }
    r->ttl_ns = TTL_MOST_NS;
    return true;
}

void resolve_start(struct resolve *r)
{
    r->error = ERR_OK;
    r->addresses = 0;
    r->ttl_ns = TTL_LEAST_NS;
    r->internal = NULL;
    if (answer_at_once(r))
        r->on_done(r);
    else
        loop_backend(r->loop)->resolve(r);
}

void resolve_cancel(struct resolve *r)
{
    if (r->internal)
        loop_backend(r->loop)->resolve_cancel(r);
}

/* The real world. */

static const char *chosen_servers; /* atomic */

void resolve_use_servers(const char *servers) { __atomic_store_n(&chosen_servers, servers, __ATOMIC_RELEASE); }

/*
 * Invariants:
 * 1. queries counts the calls of ares_getaddrinfo that have not called back.
 * 2. The timer is set exactly while c-ares has a timeout pending; checked after every call into c-ares.
 */
struct resolver {
    ares_channel channel;
    struct epoll_world *world;
    struct timer timeout;
    uint64_t made_ns;
    unsigned queries;
};

/* One call of ares_getaddrinfo; it outlives a cancelled struct resolve. */
struct query {
    struct resolve *resolve; /* NULL once cancelled */
    struct resolver *resolver;
};

static void on_socket_state(void *owner, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = owner;
    struct epoll_event event = {.events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0),
                                .data.u64 = (uint64_t)fd << EPOLL_KIND_BITS | EPOLL_RESOLVER};
    if (!event.events)
        (void)epoll_ctl(r->world->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    else if (epoll_ctl(r->world->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
        (void)epoll_ctl(r->world->epoll_fd, EPOLL_CTL_ADD, fd, &event); /* when that fails the query times out */
}

static void rearm(struct resolver *r)
{
    struct timeval left;
    if (ares_timeout(r->channel, NULL, &left))
        timer_set_in(&r->timeout, (uint64_t)left.tv_sec * NS_PER_S + (uint64_t)left.tv_usec * NS_PER_US + NS_PER_MS);
    else
        timer_clear(&r->timeout);
}

static void on_timeout(void *owner)
{
    struct resolver *r = owner;
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(r);
}

void epoll_resolver_ready(struct resolver *r, int fd, bool readable, bool writable)
{
    if (!r)
        return;
    ares_process_fd(r->channel, readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
    rearm(r);
}

static void library_init(void) { (void)ares_library_init(ARES_LIB_INIT_ALL); }

static struct resolver *resolver_new(struct epoll_world *w)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, library_init);
    struct resolver *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    struct ares_options options = {.timeout = TRY_MS, .tries = TRIES, .sock_state_cb = on_socket_state, .sock_state_cb_data = r};
    int wanted = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    if (ares_init_options(&r->channel, &options, wanted) != ARES_SUCCESS) {
        free(r);
        return NULL;
    }
    const char *servers = __atomic_load_n(&chosen_servers, __ATOMIC_ACQUIRE);
    if (servers)
        (void)ares_set_servers_ports_csv(r->channel, servers);
    r->world = w;
    r->made_ns = loop_now_ns(w->loop);
    timer_init(&r->timeout, w->loop, on_timeout, r);
    return r;
}

void epoll_resolver_free(struct resolver *r)
{
    if (!r)
        return;
    ares_destroy(r->channel); /* calls back every query that is left */
    timer_clear(&r->timeout);
    free(r);
}

/* Never inside a callback of c-ares: then queries is at least 1. */
static struct resolver *resolver_of(struct epoll_world *w)
{
    struct resolver *r = w->resolver;
    if (r && r->queries == 0 && loop_now_ns(w->loop) - r->made_ns > CHANNEL_AGE_NS) {
        epoll_resolver_free(r);
        r = NULL;
    }
    return w->resolver = r ? r : resolver_new(w);
}

static const struct ares_addrinfo_node *next_of(const struct ares_addrinfo_node *node, int family)
{
    while (node && node->ai_family != family)
        node = node->ai_next;
    return node;
}

static void answer_take(struct resolve *r, const struct ares_addrinfo *info)
{
    uint64_t ttl_ns = TTL_MOST_NS;
    const struct ares_addrinfo_node *v6 = next_of(info->nodes, AF_INET6), *v4 = next_of(info->nodes, AF_INET);
    while (v6 || v4) {
        if (v6) {
            struct sockaddr_in6 in6;
            memcpy(&in6, v6->ai_addr, sizeof in6);
            answer_add(r, AF_INET6, &in6.sin6_addr);
            v6 = next_of(v6->ai_next, AF_INET6);
        }
        if (v4) {
            struct sockaddr_in in;
            memcpy(&in, v4->ai_addr, sizeof in);
            answer_add(r, AF_INET, &in.sin_addr);
            v4 = next_of(v4->ai_next, AF_INET);
        }
    }
    for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next)
        if (node->ai_ttl >= 0 && (uint64_t)node->ai_ttl * NS_PER_S < ttl_ns)
            ttl_ns = (uint64_t)node->ai_ttl * NS_PER_S;
    for (const struct ares_addrinfo_cname *cname = info->cnames; cname; cname = cname->next)
        if (cname->ttl >= 0 && (uint64_t)cname->ttl * NS_PER_S < ttl_ns)
            ttl_ns = (uint64_t)cname->ttl * NS_PER_S;
    r->ttl_ns = ttl_ns > TTL_LEAST_NS ? ttl_ns : TTL_LEAST_NS;
}

static void on_answer(void *owner, int status, int timeouts, struct ares_addrinfo *info)
{
    struct query *q = owner;
    struct resolve *r = q->resolve;
    if (r) {
        r->internal = NULL;
        if (status == ARES_SUCCESS && info)
            answer_take(r, info);
        r->error = r->addresses ? ERR_OK : ERR_DNS;
        r->on_done(r);
    }
    q->resolver->queries--;
    free(q);
    if (info)
        ares_freeaddrinfo(info);
}

static void answer_failed(struct resolve *r)
{
    r->error = ERR_DNS;
    r->on_done(r);
}

void epoll_resolve(struct resolve *r)
{
    struct resolver *resolver = resolver_of(loop_world(r->loop));
    struct query *q = resolver && r->host[0] ? malloc(sizeof *q) : NULL;
    if (!q) {
        answer_failed(r);
        return;
    }
    *q = (struct query){r, resolver};
    r->internal = q;
    resolver->queries++;
    /* Unsorted: sorting would open a socket per address, and the order is ours anyway. */
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = ARES_AI_NOSORT};
    ares_getaddrinfo(resolver->channel, r->host, NULL, &hints, on_answer, q);
    rearm(resolver);
}

void epoll_resolve_cancel(struct resolve *r)
{
    struct query *q = r->internal;
    q->resolve = NULL;
    r->internal = NULL;
}
