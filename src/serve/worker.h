/* SPDX-License-Identifier: Apache-2.0
 *
 * One worker: a loop with its own listeners, pools of connections and exchanges. Workers share nothing mutable. The gateway makes one per
 * core; the simulated world makes one on its own loop; both are this code.
 */
#ifndef ENTENTE_SERVE_WORKER_H
#define ENTENTE_SERVE_WORKER_H

#include "exchange/exchange.h"

struct worker;
struct gateway_view;

struct worker_options {
    struct server_options server;      /* handler and owner are filled in here */
    struct exchange_limits exchange;
    struct catalog *catalog;           /* referenced */
    struct ledger *ledger;             /* outlives the worker. NULL: nothing is booked, and unbooked sees each record on the worker's thread */
    void (*unbooked)(void *owner, const struct usage_record *r);
    void *unbooked_owner;
    struct budget_book *budgets;       /* likewise; may be NULL while no catalog has budgets */
    bool strict;                       /* a hold is on disk before a provider is asked */
    const struct gateway_view *view;   /* what /metrics and /readyz show; outlives the worker */
};

/* The whole gateway as its pages see it. `workers` is complete before the first request. */
struct gateway_view {
    struct worker **workers;
    unsigned workers_n;
    struct ledger *ledger;       /* NULL: nothing is booked */
    struct budget_book *budgets; /* or NULL */
    bool strict;
    int64_t started_wall_us;
    const bool *draining;   /* relaxed */
    const uint64_t *generation; /* of the config in force, relaxed */
};

struct worker *worker_new(struct loop *l, const struct worker_options *o);
enum err worker_listen(struct worker *w, const struct sock_address *at, struct tls_context *tls, const char **ret_why) MUST_CHECK;
void worker_use(struct worker *w, struct catalog *c);
void worker_set_limits(struct worker *w, const struct server_options *server, const struct exchange_limits *exchange);
void worker_set_tls(struct worker *w, unsigned nth_listener, struct tls_context *tls);
void worker_drain(struct worker *w);
bool worker_is_idle(const struct worker *w);
void worker_free(struct worker *w); /* waits until what was under way is in the ledger */
struct loop *worker_loop(const struct worker *w);
const struct exchange_stats *worker_exchange_stats(const struct worker *w);
const struct server_stats *worker_server_stats(const struct worker *w);
const struct client_stats *worker_client_stats(const struct worker *w);
struct sock_address worker_address(const struct worker *w, unsigned nth_listener);

#endif
