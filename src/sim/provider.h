/* SPDX-License-Identifier: Apache-2.0
 *
 * A simulated provider on a loop: speaks a dialect over http/server, answers with text whose tokens are real tokens of the model's
 * vocabulary, at a pace drawn from a distribution, with the faults that were asked for. It keeps its own count of what it produced, made
 * without looking at the gateway's. `entente sim` is this on the kernel's sockets; the simulated world is this on simulated ones.
 */
#ifndef ENTENTE_SIM_PROVIDER_H
#define ENTENTE_SIM_PROVIDER_H

#include "dialect/dialect.h"
#include "http/server.h"

struct sim_provider;

/* What goes wrong. A body shorter than `bytes` meets no fault. */
enum sim_fault_kind {
    SIM_FAULT_NONE,
    SIM_FAULT_REFUSE,     /* the connection is reset before a byte of the answer */
    SIM_FAULT_RESET,      /* reset after `bytes` bytes of the answer's body */
    SIM_FAULT_CLOSE,      /* clean close of the connection after `bytes` bytes of the body, without the last chunk */
    SIM_FAULT_STALL,      /* silence for `delay` after `bytes` bytes of the body */
    SIM_FAULT_HANG,       /* the request is read and never answered */
    SIM_FAULT_RATE,       /* 429 with retry-after and retry-after-ms of `delay` */
    SIM_FAULT_QUOTA,      /* 429 insufficient_quota */
    SIM_FAULT_STATUS,     /* `status` with the dialect's error body */
    SIM_FAULT_HTML,       /* 502 with an HTML page */
    SIM_FAULT_BROKEN_JSON,/* at the first end of an event at or past `bytes` an event that is not JSON, and the end (or half of the body) */
    SIM_FAULT_NO_DONE,    /* a complete stream without its end marker */
    SIM_FAULT_NO_USAGE,   /* usage absent although asked for */
    SIM_FAULT_ERROR_EVENT,/* there an error event, and the end; status still 200 */
    SIM_FAULT_ERROR_IN_200, /* 200 with an error object as the body */
    SIM_FAULT_SLOW,       /* one byte each `delay` */
    SIM_FAULTS
};

struct sim_fault {
    enum sim_fault_kind kind;
    /* when: the nth request (1-based, 0: any) or every nth (`every`), or with a probability in 10^-6 */
    uint64_t nth, every;
    uint32_t probability_ppm;
    uint64_t bytes;
    uint64_t delay_ns;
    int status;
};

struct sim_provider_options {
    const char *name;               /* shown in counts; "sim" */
    const struct dialect *dialect;
    struct sock_address listen;
    uint64_t seed;
    uint64_t ttft_ns, ttft_spread_ns;   /* first-token time: log-normal around the median with this spread, 0: at once */
    double tokens_per_s;                /* speed of a stream; 0: as fast as the socket takes it */
    unsigned tokens_per_chunk;          /* default 1 */
    int64_t output_tokens;              /* of each answer; -1: drawn per request, bounded by the request's maximum */
    const char *secret;                 /* the key it wants to see; NULL: any */
    const struct sim_fault *faults; /* copied; the first that fits is done */
    unsigned faults_n;
};

/* Its own account, over all models. An answer has begun when its first whole event left (a body: its first byte); of a broken one the
 * tokens of all whole events that left count, with hidden reasoning, and of a broken body all. Every request is in the end one of
 * answered, broken and refused. */
struct sim_count {
    uint64_t requests;           /* received whole */
    uint64_t answered;           /* answers sent to their last byte */
    uint64_t broken;             /* answers that began and were cut (by a fault, a kill, the caller) */
    uint64_t refused;            /* answered with an error, or not at all */
    uint64_t input_tokens, output_tokens;               /* of answered ones */
    uint64_t broken_input_tokens, broken_output_tokens; /* of broken ones: what had been produced */
};

struct sim_provider *sim_provider_new(struct loop *l, const struct sim_provider_options *o); /* strings stay borrowed */
enum err sim_provider_listen(struct sim_provider *p, const char **ret_why) MUST_CHECK;
struct sock_address sim_provider_address(const struct sim_provider *p);
/* Relaxed reads: any thread. What is answered: see answer.h. GET /sim/count shows the count as JSON, beside the dialect's own paths. */
struct sim_count sim_provider_count(const struct sim_provider *p);
enum err sim_count_write_json(const char *name, const struct sim_count *c, struct buf *out) MUST_CHECK;
void sim_provider_kill(struct sim_provider *p);   /* as a process that dies: listener and all connections close; streams under way break */
enum err sim_provider_revive(struct sim_provider *p, const char **ret_why) MUST_CHECK;
void sim_provider_free(struct sim_provider *p);

/* "reset:200@7" and the like, from the command line: KIND[:ARGUMENT[,ARGUMENT]]@WHEN, WHEN = N (the Nth), every:N, or P%. Of the arguments
 * "200" is bytes (of status: the status) and "2s" a delay. Kinds are the names above in lower case with hyphens: "error-in-200". */
enum err sim_fault_parse(struct span text, struct sim_fault *ret, char why[128]) MUST_CHECK;
const char *sim_fault_name(enum sim_fault_kind k);
bool sim_fault_is_due(const struct sim_fault *f, uint64_t nth_request, uint64_t *random);

#endif
