/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a scenario, shared by its parts and by nobody else: scenario.c (providers, clients, the run), scenario_gateway.c (the gateway, its
 * lives, what befalls its disk), scenario_audit.c (what must be true in the end).
 */
#ifndef ENTENTE_SIM_SCENARIO_PRIVATE_H
#define ENTENTE_SIM_SCENARIO_PRIVATE_H

#include "serve/worker.h"
#include "sim/provider.h"
#include "sim/scenario.h"
#include "sim/sim_books.h"
#include "sim/sim_net.h"

#define PROVIDERS 3u
#define CLIENTS 2u
#define CALLS_MAX 24u

/* What one call asked and saw. */
struct sim_call {
    struct scenario *scenario;
    struct call *call;
    struct timer timer;         /* when to ask; then when to resume or to leave */
    struct origin *origin;
    struct buf body;            /* of the request */
    struct iovec body_slice;
    struct header headers[2];
    struct span target;
    struct call_options options;
    bool stream, bad_key, bad_json, text_wanted;
    unsigned leaves_after;      /* bytes of the answer after which the client leaves; 0: it stays */
    /* what came */
    int status;
    char id[RECORD_ID_BYTES];
    struct buf answer;          /* the body as received */
    bool ended, failed, left;
    enum err error;
};

/* What befalls the gateway's disk: power cuts and refusals, one after the other. */
struct sim_fate {
    struct loop *loop;      /* its own: it goes on while the gateway is dead */
    struct timer timer;     /* the next stroke, or the end of a refusal */
    unsigned strokes;       /* that are still to come */
    bool refusing;
    bool has_power_cuts, has_refusals;
};

struct scenario {
    uint64_t seed;
    struct sim_world *world;
    struct buf *complaints;
    struct scenario_result result;
    bool calm;                  /* nothing was asked to fail on the way or at the providers; the gateway's disk is another matter */
    struct loop *gateway_loop, *provider_loop[PROVIDERS], *client_loop[CLIENTS];
    struct worker *worker, *workers[1];
    struct sim_books books;
    struct sim_fate fate;
    bool powerless;             /* the power went, and the gateway was not buried yet */
    bool hopeless;              /* the ledger does not open any more: a violation, and the end of the run */
    money spent_most;           /* that the budget stood at, whenever it was looked at */
    money posted, pending;      /* when it was last looked at */
    struct catalog *catalog;
    struct gateway_view view;
    bool draining;
    uint64_t generation;
    struct sim_provider *provider[PROVIDERS];
    struct sim_fault fault[PROVIDERS][3];
    struct client *client[CLIENTS];
    struct sim_call call[CALLS_MAX];
    unsigned calls;
};

/* scenario.c */
void complain(struct scenario *s, const char *format, ...) PRINTF_LIKE(2, 3);
static inline uint64_t draw(struct scenario *s, uint64_t below) { return sim_world_random(s->world) % below; }
static inline bool chance(struct scenario *s, unsigned percent) { return draw(s, 100) < percent; }

/* scenario_gateway.c */
void gateway_make(struct scenario *s);
void gateway_tend(struct scenario *s);      /* between two stretches of time: buries it and boots it again when the power went; looks at the budget */
void gateway_take_down(struct scenario *s); /* in order, on a disk that is well */

/* scenario_audit.c */
void audit_outcomes(struct scenario *s); /* of the life that ends */
void audit(struct scenario *s);          /* no life runs any more */

#endif
