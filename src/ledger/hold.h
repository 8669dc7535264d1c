/* SPDX-License-Identifier: Apache-2.0
 *
 * Open holds as the store keeps them: a batch is a row of the table `hold`, its body holds of a fixed size one after the other. Names and prices are
 * numbers of the log. A later row of the same id replaces an earlier one; a hold is over when the log has, at or behind the row's seq, the
 * usage entry of its id with attempt 0.
 */
#ifndef ENTENTE_LEDGER_HOLD_H
#define ENTENTE_LEDGER_HOLD_H

#include "base/buf.h"
#include "base/money.h"

struct hold {
    uint64_t issuer, counter;
    int64_t wall_us;
    uint8_t api;
    bool stream;
    uint16_t attempts;     /* bit k: the record of lost attempt k is booked */
    uint32_t key, department, party, model_asked, provider, model; /* names */
    uint32_t buy, sell;    /* prices */
    int64_t input_expected, output_max;
    money held;
    uint64_t opened_seq;   /* length of the log when it was opened */
};

#define HOLD_BYTES 104u
enum err hold_encode(const struct hold *h, struct buf *out) MUST_CHECK;      /* appends HOLD_BYTES */
enum err hold_decode(struct span *body, struct hold *ret) MUST_CHECK;        /* takes the first; ERR_SYNTAX when it is cut off or no hold */

#endif
