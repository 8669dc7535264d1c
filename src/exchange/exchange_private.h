/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of an exchange, shared by the files of this folder only.
 */
#ifndef ENTENTE_EXCHANGE_PRIVATE_H
#define ENTENTE_EXCHANGE_PRIVATE_H

#include "exchange/exchange.h"
#include "http/encode.h"
#include "http/sse.h"
#include "policy/health.h"

enum exchange_step {
#define STEP(UPPER, lower, sentence) EXCHANGE_##UPPER,
#include "exchange/exchange_steps.def"
#undef STEP
    EXCHANGE_STEPS,
    EXCHANGE_WAIT /* returned by a handler: stay, something will call exchange_go */
};

/* What a worker derives from one catalog. Lives until the last exchange admitted under it ends. */
struct binding {
    struct exchanger *owner;
    struct catalog *catalog;
    struct health *health;
    struct origin **origins;            /* by provider->index */
    struct deployment_stats **stats;    /* by deployment->index */
    unsigned references;
};

struct exchanger {
    struct exchanger_options options;
    struct binding *binding;            /* the current one */
    struct list exchanges;
    struct exchange_stats stats;
    uint64_t id_high, id_next;
    struct exchange_hold *holds, **holds_end; /* that the ledger may not have read yet, in order */
    struct exchange_hold *spare;
    unsigned spare_n, untold;                 /* untold: holds since the last one of which the ledger says that it has read it */
};

struct attempt_note {
    const struct deployment *deployment;
    uint32_t wait_us;
    uint16_t status;
    uint8_t outcome; /* enum attempt_outcome */
};

/* How the provider's answer is being read. */
enum answer_kind {
    ANSWER_NONE,   /* nothing yet */
    ANSWER_WHOLE,  /* a 200 that is kept until its end, then checked and sent in one write */
    ANSWER_EVENTS, /* a 200 stream, relayed event by event */
    ANSWER_ERROR,  /* not a 200: kept (bounded) and judged at its end */
};

/* What the ledger is told to set aside for an attempt. Not the exchange's: thousands of streams wait, and the ledger has read it long before they end. */
struct exchange_hold {
    struct exchange_hold *next;  /* submitted after it; or the next spare one */
    struct exchanger *owner;
    struct exchange *exchange;   /* that waits for it; NULL: none does */
    struct ledger_ticket ticket;
    struct ledger_hold ledger;
};

#define EXCHANGE_MAGIC MAGIC('E', 'x', 'c', 'h')

struct exchange {
    unsigned magic;
    enum exchange_step step;
    struct list link;
    char id[RECORD_ID_BYTES];
    struct exchanger *owner;
    struct binding *binding;
    struct stream *stream;      /* NULL after the client left or has everything */
    struct arena arena;
    struct timer timer;         /* BACKOFF: the end of the wait; else the next ping */

    /* the request */
    const struct dialect *dialect;
    enum api api;
    struct span deployment_in_path;
    const struct key *key;
    const struct model *model;
    struct request_facts *facts;
    struct buf body;            /* kept for retries and for an estimate */
    struct span body_small;     /* the same at its exact size on the heap, once a stream runs */
    uint64_t started_ns, received_ns, bytes_in;
    int64_t started_wall_us;

    /* the money */
    uint64_t number;            /* the counter in its id */
    const struct deployment *hold_for; /* that was chosen by HOLD and is dialled next */
    bool is_held;               /* something is set aside in the ledger for the running attempt */
    money held;                 /* that, in the currency in which we buy */
    struct budget_hold *budget_hold; /* in the arena, as much of it as is used; NULL where there are no budgets */
    int64_t input_counted;      /* tokens; 0: not counted, USAGE_UNKNOWN: they cannot be */

    /* the attempts */
    struct plan plan;
    struct arena attempt_arena; /* the provider's request: gone once it was sent and is being answered */
    struct attempt_note *attempts;
    unsigned attempts_n, attempts_max;
    struct call *call;
    const struct deployment *deployment; /* of the running or last attempt */
    uint64_t attempt_started_ns, attempt_first_byte_ns;
    uint64_t deadline_ns;       /* of the whole exchange; UINT64_MAX: none */
    int64_t retry_after_ms;     /* the last provider's advice; -1 none */

    /* the answer */
    enum answer_kind kind;
    int provider_status;
    struct answer_notes notes;
    struct sse sse;
    struct buf answer;
    char *text;                 /* of the answer, escaped, for an estimate */
    uint32_t text_n, text_capacity;
    struct token_counter *counter; /* takes over the text of long answers */
    uint64_t first_byte_ns;     /* to the client; 0: none */
    uint64_t last_byte_ns;      /* towards the client, for pings */
    uint64_t bytes_out;
    enum encoding encoding;     /* of the answer as it leaves */
    bool varies;                /* the client's Accept-Encoding was asked */

    /* how it ends */
    const char *lost_why;       /* an error event came after content: the provider's words; what follows is read for usage alone */
    enum err error;             /* why it failed */
    struct client_error *complaint; /* what the client is told; in the arena */
    int pass_status;            /* the provider's own error goes to the client with this status; body in answer */
    bool retry_here, retry_elsewhere; /* what the last failure allows */
    int status;                 /* what the client gets */
    enum record_outcome outcome;
    struct usage_record *record; /* NULL until METER; in the arena */
    struct ledger_ticket *ticket; /* of the record; likewise */
    bool begun;                 /* head and perhaps pings have left */
    bool relayed;               /* an event of the answer has left: no retry any more */
    bool paused;
    bool aborted;               /* the client left */
    bool draining;              /* and the answer is read to its end all the same, for its usage */
    bool asked;                 /* the provider has the whole request of the last attempt */
    bool running;               /* inside exchange_go */
};

/* exchange.c: the dispatcher. Runs steps from `step` on until one waits or the exchange is gone. */
void exchange_go(struct exchange *x, enum exchange_step step);
struct client_error *exchange_complain(struct exchange *x, enum err e, const char *param, const char *message /* copied; NULL: the error's sentence */);
struct span exchange_body(const struct exchange *x);

/* exchanger.c */
struct binding *binding_new(struct exchanger *e, struct catalog *c, struct binding *before);
void binding_unref(struct binding *b);

/* the steps, each in the file of its room */
#define STEP(UPPER, lower, sentence) enum exchange_step exchange_##lower(struct exchange *x);
#include "exchange/exchange_steps.def"
#undef STEP

/* charge.c */
struct charge_lines {
    const struct price_line *buy, *sell; /* NULL: no price; sell without a buyer: nobody is charged */
};
struct span charge_buyer(const struct exchange *x); /* or empty */
struct charge_lines charge_find(const struct exchange *x, const struct deployment *d, struct span tier, int64_t input_tokens);
struct budget_amounts charge_amounts(const struct exchange *x, const struct charge_lines *lines, money buy, money sell);
struct budget_amounts charge_usage(const struct exchange *x, const struct deployment *d, struct usage_record *r); /* sets r->buy, r->sell */

/* hold.c */
void hold_settle(struct exchange *x, const struct budget_amounts *actual); /* what was set aside becomes what it came to */
void hold_init(struct exchanger *e);
void hold_fini(struct exchanger *e); /* every exchange has ended */

/* attempt.c */
void attempt_end(struct exchange *x, enum attempt_outcome outcome, enum health_outcome health);
void attempt_fail(struct exchange *x, enum err e, enum attempt_outcome outcome, const char *why);
enum exchange_step attempt_again(struct exchange *x); /* BACKOFF, then HOLD; or REFUSE */
void attempt_reset_answer(struct exchange *x); /* nothing of an answer was seen yet */

/* relay.c: what the call brings */
void relay_head(void *owner, struct call *c, const struct http_head *head);
void relay_body(void *owner, struct call *c, struct span piece);
void relay_end(void *owner, struct call *c);

/* finish.c: what is written to the client */
void finish_begin_stream(struct exchange *x);
void finish_write(struct exchange *x, const struct iovec *slices, int n);
void finish_compose(struct exchange *x); /* the end of the answer, its status and size */
void finish_withhold(struct exchange *x); /* the record is on no disk: an error takes the place of the answer's end */

/* meter.c */
void meter_text(void *owner, struct span escaped_json_text);
void meter_release(struct exchange *x);
int64_t meter_count_input(struct exchange *x, enum tokenizer_encoding encoding); /* tokens; USAGE_UNKNOWN */
bool meter_was_used(const struct exchange *x); /* did the last attempt cost anything? */
void meter_lost_attempt(struct exchange *x);   /* a record of its own for one that was used, and lost before the client saw anything */

#endif
