/* SPDX-License-Identifier: Apache-2.0
 *
 * An exchange: one request of a client and everything that is done to answer it, from the first step to the usage record. All exchanges
 * of one worker belong to its exchanger. Nothing here is shared between threads but the stats.
 */
#ifndef ENTENTE_EXCHANGE_EXCHANGE_H
#define ENTENTE_EXCHANGE_EXCHANGE_H

#include "base/stat.h"
#include "http/server.h"
#include "ledger/ledger.h"
#include "policy/plan.h"

struct exchanger;

struct exchange_limits {
    unsigned requests_max;  /* exchanges at once on this worker; further ones are refused with 503 */
    size_t answer_max;      /* bytes of one unstreamed answer */
    size_t memory_max;      /* bytes in request bodies and buffers of the process above which new requests are refused */
    uint64_t ping_ns;       /* a stream silent for this long gets a comment; 0: never */
    bool compress;          /* whole answers in a coding that the client takes: see http/encode.h */
};

struct exchanger_options {
    struct loop *loop;
    struct client *client;
    struct ledger *ledger;        /* NULL: nothing is booked, and unbooked sees each record instead */
    void (*unbooked)(void *owner, const struct usage_record *r); /* on this loop's thread */
    void *unbooked_owner;
    struct budget_book *budgets;  /* may be NULL while no catalog has budgets */
    struct catalog *catalog;      /* referenced */
    bool strict;                  /* wait for the hold to be on disk before a provider is asked */
    struct exchange_limits limits;
};

#define EXCHANGE_CURRENCIES_MAX 4u /* in which one deployment was charged, over all reloads; further ones are in the books alone */
struct deployment_cost {
    char currency[CURRENCY_BYTES];
    money total;                    /* the worker's own */
    stat_counter nano;              /* 10^-9 */
};

/* What one worker did with one deployment. Lives as long as the exchanger, over reloads. */
struct deployment_stats {
    char provider[RECORD_NAME_BYTES], model[RECORD_NAME_BYTES], system[RECORD_NAME_BYTES];
    stat_counter attempts[ATTEMPT_OUTCOMES];
    stat_counter tokens[USAGE_CLASSES];
    stat_counter unpriced[USAGE_CLASSES];  /* of these tokens, those without a price */
    stat_counter costs_n;
    struct deployment_cost costs[EXCHANGE_CURRENCIES_MAX]; /* what they cost us; the first costs_n are valid */
    stat_counter usage_source[4];          /* exchanges by enum usage_source */
    struct stat_histogram first_byte_us, duration_us; /* first bound: EXCHANGE_TIME_BOUND_US */
    stat_counter under_way;
};

#define EXCHANGE_TIME_BOUND_US 1000u
#define EXCHANGE_DEPLOYMENTS_MAX 1024u /* distinct deployments that one worker counts over all reloads; the last slot takes the rest */

struct exchange_stats {
    stat_counter outcomes[RECORD_OUTCOMES];
    stat_counter retries, retries_denied, shed, under_way;
    stat_counter budget_refused;    /* deployments and requests that a budget refused */
    stat_counter withheld;          /* answers whose end was withheld, because no disk had their record */
    stat_counter deployments_n;
    struct deployment_stats *deployments[EXCHANGE_DEPLOYMENTS_MAX]; /* the first deployments_n are valid */
};

struct exchanger *exchanger_new(const struct exchanger_options *o);
void exchanger_free(struct exchanger *e);                  /* every stream must have ended: CHECKed */
void exchanger_use(struct exchanger *e, struct catalog *c); /* from now on; exchanges under way keep theirs */
void exchanger_set_limits(struct exchanger *e, const struct exchange_limits *limits); /* from now on */
void exchanger_abandon(struct exchanger *e);               /* answers that are read for their usage alone are left: the gateway goes */
const struct catalog *exchanger_catalog(const struct exchanger *e);
const struct exchange_stats *exchanger_stats(const struct exchanger *e);

/* Called by the owner of the server's handler for requests that dialect_route found to be ROUTE_API. */
enum err exchange_admit(struct exchanger *e, struct stream *s, const struct route *route); /* at the head: overload, key of large bodies */
void exchange_start(struct exchanger *e, struct stream *s, const struct route *route);     /* request is whole; sets stream_base(s)->user */
void exchange_on_writable(void *exchange, struct stream *s);
void exchange_on_abort(void *exchange, struct stream *s, enum err why);

#endif
