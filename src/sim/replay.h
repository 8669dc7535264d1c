/* SPDX-License-Identifier: Apache-2.0
 *
 * A client that replays a trace against a gateway: each row becomes a streamed chat request at the row's time, with a prompt of exactly the
 * row's input tokens and max_tokens of its output tokens. It does what the official SDKs do and no more: a request that failed, or whose
 * answer broke off, is asked again from the start after a pause.
 */
#ifndef ENTENTE_SIM_REPLAY_H
#define ENTENTE_SIM_REPLAY_H

#include "http/client.h"
#include "sim/trace.h"

struct replay;

struct replay_choice {
    const char *text;
    unsigned weight;
};

struct replay_options {
    struct loop *loop;
    struct sock_address gateway;       /* plain HTTP */
    struct trace *trace;               /* borrowed */
    uint64_t requests;                 /* at most; fewer when the trace ends */
    double speed;                      /* times the trace's own */
    uint64_t seed;
    const struct replay_choice *models, *keys; /* drawn by weight; each list ends with a NULL text; borrowed */
    unsigned tries_max;                /* of one request */
    uint64_t pause_ns;                 /* before it is asked again; doubles, at most 20 times */
    void (*on_progress)(void *owner, const struct replay *r); /* after each answer; may be NULL */
    void *owner;
};

#define REPLAY_INPUT_LEAST 8 /* tokens: what chat adds around a message, and one word; shorter rows are lengthened to it */

struct replay_figures {
    uint64_t planned;                  /* rows that will be asked; grows until the trace has ended when it is shorter than `requests` */
    uint64_t asked, answered, unanswered, under_way;
    uint64_t calls;                    /* HTTP requests in all */
    uint64_t again_broken, again_refused; /* asked again: after the answer had begun, before */
    uint64_t lengthened;
    uint64_t input_tokens, output_tokens; /* of answered ones, by the trace */
    bool finished;                     /* every request has ended */
    enum err error;                    /* SYNTAX: of the trace, in why */
    char why[TRACE_WHY_BYTES];
};

struct replay *replay_new(const struct replay_options *o);
void replay_start(struct replay *r);
const struct replay_figures *replay_figures(const struct replay *r);
uint64_t replay_first_token_ns(const struct replay *r, double quantile); /* over all answers so far; 0 when there is none */
void replay_free(struct replay *r); /* cancels what is under way */

#endif
