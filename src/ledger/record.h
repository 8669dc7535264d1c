/* SPDX-License-Identifier: Apache-2.0
 *
 * The usage record: the one account of one exchange, whatever happened to it. Every exchange ends in exactly one (attempt 0); an earlier attempt
 * that was used and lost has one of its own (attempt 1 …). The ledger books it as one entry. Its only pointers are the two price lines, which
 * their list keeps alive.
 */
#ifndef ENTENTE_LEDGER_RECORD_H
#define ENTENTE_LEDGER_RECORD_H

#include "base/buf.h"
#include "base/limits.h"
#include "neutral/usage.h"
#include "policy/price.h"

#define RECORD_NAME_BYTES 48  /* names are cut at this many bytes, marked by a final '~' */
#define RECORD_ID_BYTES 24

enum record_outcome {
    RECORD_ANSWERED,  /* the client has the whole answer */
    RECORD_REFUSED,   /* no provider was asked: bad request, key, agreement, overload */
    RECORD_FAILED,    /* providers were asked, none answered; the client has an error */
    RECORD_BROKEN,    /* the answer broke off after the client had some of it */
    RECORD_ABANDONED, /* the client left before the end */
    RECORD_OUTCOMES
};

enum attempt_outcome {
    ATTEMPT_NONE,
    ATTEMPT_ANSWERED,
    ATTEMPT_CONNECT, ATTEMPT_TIMEOUT, ATTEMPT_RESET, ATTEMPT_PROTOCOL,  /* transport */
    ATTEMPT_REFUSED, ATTEMPT_RATE, ATTEMPT_QUOTA, ATTEMPT_CREDENTIAL, ATTEMPT_FAULT, /* by status */
    ATTEMPT_CANCELLED, /* the client left */
    ATTEMPT_BROKEN,    /* lost after the first byte had gone to the client */
    ATTEMPT_OUTCOMES
};

struct attempt_record {
    uint16_t deployment;  /* index in the catalog of that time */
    uint16_t status;      /* of the provider's answer, 0 when none */
    uint8_t outcome;      /* enum attempt_outcome */
    uint32_t wait_us;     /* from start of the attempt to its first byte or end */
    char provider[RECORD_NAME_BYTES];
    char model[RECORD_NAME_BYTES];
};

struct usage_record {
    char id[RECORD_ID_BYTES];         /* x-entente-request-id */
    uint64_t issuer, counter;         /* the same as numbers: 50 random bits of the worker's run, 40 bits that count up */
    uint8_t attempt;                  /* 0: the exchange's own record, the last; k: attempt k was used and lost, usage is that attempt's */
    int64_t wall_us;                  /* Unix time of the request's first byte */
    uint32_t receive_us;              /* first to last byte of the request */
    uint32_t first_byte_us;           /* first byte of the request to first byte of the answer to the client; 0 when none */
    uint64_t duration_us;             /* first byte of the request to the end */
    uint8_t outcome;                  /* enum record_outcome */
    uint8_t api;                      /* enum api of dialect/dialect.h; 0 when unknown */
    bool stream;
    uint16_t status;                  /* what the client got; 499 when it left before a status */
    uint16_t error;                   /* enum err, 0 when none */
    char key[RECORD_NAME_BYTES], department[RECORD_NAME_BYTES], party[RECORD_NAME_BYTES];
    char model_asked[RECORD_NAME_BYTES];
    char model_served[RECORD_NAME_BYTES]; /* as the provider named it */
    char tier[RECORD_NAME_BYTES];     /* service tier served, as the provider named it; or empty */
    uint8_t finish;                   /* enum finish_reason */
    uint8_t attempts_n;
    struct attempt_record attempts[LIMIT_ATTEMPTS];
    struct usage usage;
    struct charge buy;                /* what the provider's seller is owed; no line and no unpriced class: nothing was used */
    struct charge sell;               /* what the buyer owes us: at cost unless a book of ours says otherwise; only with a department or party */
    money held;                       /* the hold that this ends, in the buy currency */
    int64_t provider_cost_nano;       /* the provider's own stated cost, 10^-9 USD; -1 when it states none */
    uint64_t bytes_in, bytes_out;     /* bodies, client side */
};

void record_id_write(uint64_t issuer, uint64_t counter, char out[RECORD_ID_BYTES]); /* "req_", ten digits of the issuer, eight of the counter */
bool record_id_parse(struct span id, uint64_t *ret_issuer, uint64_t *ret_counter);
const char *record_outcome_name(enum record_outcome o);
const char *attempt_outcome_name(enum attempt_outcome o);
void record_set_name(char to[RECORD_NAME_BYTES], struct span name);
/* One line with its LF. booked: where it stands in the log, or NULL. */
struct record_booking {
    uint64_t seq;
    int64_t booked_us;
    bool recovered;
};
enum err record_write_json(const struct usage_record *r, const struct record_booking *booked, struct buf *out) MUST_CHECK;

#endif
