/* SPDX-License-Identifier: Apache-2.0
 *
 * A scenario: the whole program in a simulated world. Clients, a gateway's worker and three simulated providers share one process, one
 * virtual clock and one seed; the seed decides what is asked, what fails and how every byte is cut. Afterwards it is audited:
 *
 *   1. every call of every client ended, and every stream ended honestly: [DONE], an error event, or a broken connection
 *   2. every exchange left exactly one record, and the record of every answer a client holds says "answered"
 *   3. the tokens of a record are those of the text that the client received, to the token
 *   4. where nothing was cut, the sums of the records equal the providers' own counts
 *   5. nothing is left: no sock, timer, connection, nor byte of a pool
 */
#ifndef ENTENTE_SIM_SCENARIO_H
#define ENTENTE_SIM_SCENARIO_H

#include <stdint.h>

#include "base/buf.h"

struct scenario_result {
    uint64_t digest;       /* of the world: equal for equal seeds */
    unsigned asked, answered, refused, failed, broken, abandoned; /* records by outcome; asked: calls of clients */
    unsigned violations;
};

/* Runs the scenario of this seed. Each violation is a line in `complaints`. verbose: every event on stderr. */
struct scenario_result scenario_run(uint64_t seed, bool verbose, struct buf *complaints);

#endif
