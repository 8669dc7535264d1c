/* SPDX-License-Identifier: Apache-2.0
 *
 * A scenario: the whole program in a simulated world. Clients, a gateway's worker with its ledger, and three simulated providers share one process, one
 * virtual clock and one seed; the seed decides what is asked, what fails, how every byte is cut, when the gateway's power goes and what its disk
 * keeps or refuses. Afterwards it is audited:
 *
 *   1. every call of every client ended, and every stream ended honestly: [DONE], an error event, or a broken connection
 *   2. an answer whose last byte a client has is in the books, once, as answered; nothing is there twice. While the power stays, every exchange is
 *      there once, whatever the disk refused; under strict durability also whatever a provider was asked for when the power went
 *   3. the tokens of a record are those of the text that the client received, and those that the provider reported to him, to the token
 *   4. what records call reported the providers have counted; where nothing was cut, the sums are equal
 *   5. the books verify; no hold is open; the accounts come to zero in each currency; the budget stands where the books do, and was never let past its limit
 *   6. nothing is left: no sock, timer, connection, nor byte of a pool
 */
#ifndef ENTENTE_SIM_SCENARIO_H
#define ENTENTE_SIM_SCENARIO_H

#include <stdint.h>

#include "base/buf.h"

struct scenario_result {
    uint64_t digest;       /* of the world, the disk and the log: equal for equal seeds */
    unsigned asked, answered, refused, failed, broken, abandoned; /* records by outcome; asked: calls of clients */
    unsigned lives, recovered;           /* of the gateway; holds that became estimates when one began */
    unsigned withheld;                   /* answers of the last life whose end was kept back, because no disk had them */
    unsigned violations;
};

/* Runs the scenario of this seed. Each violation is a line in `complaints`. verbose: every event on stderr. */
struct scenario_result scenario_run(uint64_t seed, bool verbose, struct buf *complaints);

#endif
