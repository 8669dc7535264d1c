/* SPDX-License-Identifier: Apache-2.0
 *
 * A ledger for a gateway in a simulated world: driven by the gateway's loop, without a thread. What it booked is read as anyone would, from its
 * file.
 */
#ifndef ENTENTE_SIM_SIM_BOOKS_H
#define ENTENTE_SIM_SIM_BOOKS_H

#include "ledger/ledger.h"

struct sim_books {
    struct ledger *ledger;
    char dir[256];
};

void sim_books_open(struct sim_books *b, struct loop *gateway); /* a new ledger; CHECKs that it could be made */
/* Makes durable what was submitted, then appends each usage entry as a line of JSON. */
enum err sim_books_read(struct sim_books *b, struct buf *lines) MUST_CHECK;
void sim_books_close(struct sim_books *b);

#endif
