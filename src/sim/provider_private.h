/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the simulated provider share: provider.c (who asks for what, the count, kill and revive) and reply.c (how an answer is
 * told). Nobody else includes this.
 */
#ifndef ENTENTE_SIM_PROVIDER_PRIVATE_H
#define ENTENTE_SIM_PROVIDER_PRIVATE_H

#include "sim/answer.h"
#include "sim/provider.h"

#define SIM_PROVIDER_MAGIC MAGIC('S', 'i', 'm', 'P')
#define SIM_REPLY_MAGIC MAGIC('S', 'i', 'm', 'R')

struct sim_provider {
    unsigned magic;
    struct loop *loop;
    struct sim_provider_options o;
    struct sim_fault *faults;
    struct sock_address address; /* with its port, once listening */
    struct server *server;       /* NULL before the first listen */
    bool dead;                   /* killed: what still arrives is cut off */
    struct list replies;
    uint64_t random;
    uint64_t answers_named;      /* request ids given out */
    stat_counter requests, answered, broken, refused;
    stat_counter input_tokens, output_tokens, broken_input_tokens, broken_output_tokens;
};

/* What is told next of a stream. */
enum sim_step { STEP_START, STEP_PART, STEP_DELTA, STEP_LOGPROBS, STEP_PART_END, STEP_FINISH, STEP_USAGE, STEP_END, STEP_NOTHING };

struct sim_reply {
    unsigned magic;
    struct list link;
    struct sim_provider *provider;
    struct stream *stream;
    const struct dialect *dialect;
    enum api api;
    struct arena arena;
    struct neutral_request request;
    struct sim_answer answer;
    struct neutral_writer writer;
    struct sim_fault fault;
    struct timer timer;
    uint64_t started_ns, first_ns, chunk_ns; /* when the first token is due; time between chunks */
    uint64_t chunks;           /* told so far */
    enum sim_step step;
    unsigned choice, part;     /* of the step */
    size_t delta_from;         /* where the last delta began, for its log probabilities */
    struct buf wire;           /* written and not yet handed to the stream */
    uint64_t sent;             /* bytes of the body handed over */
    unsigned events;           /* whole steps handed over that had bytes */
    struct sim_part *last;     /* the part of the last step, as it was before it */
    size_t last_told;
    bool last_begun;
    bool whole;                /* one body instead of a stream */
    bool begun, paused, stalled, failing, is_last;
};

/* reply.c */
void sim_reply_start(struct sim_reply *r);           /* takes it over: it ends by itself, or by one of these */
void sim_reply_on_writable(struct sim_reply *r);
void sim_reply_on_abort(struct sim_reply *r);        /* the stream is gone */
void sim_reply_kill(struct sim_reply *r);            /* breaks the stream */
void sim_break_with_reset(struct stream *s);

/* provider.c */
unsigned sim_provider_headers(struct sim_provider *p, struct arena *a, struct header *out, unsigned max, uint64_t waited_ns);
void sim_provider_error(struct sim_provider *p, struct stream *s, const struct client_error *error, const struct header *extra, unsigned extra_n);

#endif
