/* SPDX-License-Identifier: Apache-2.0
 *
 * A gateway's money in a simulated world: a ledger on a simulated disk, driven by the gateway's loop, without a thread; and the counters of its budgets.
 * A life ends in order or when the power goes; the next begins with what the disk has. What was booked is read as anyone would, from the file.
 */
#ifndef ENTENTE_SIM_SIM_BOOKS_H
#define ENTENTE_SIM_SIM_BOOKS_H

#include "ledger/books.h"
#include "policy/budget.h"
#include "sim/sim_vfs.h"

struct sim_books {
    struct sim_vfs *disk;
    bool strict;
    struct ledger *ledger;       /* NULL: no life runs */
    struct budget_book *budgets; /* likewise */
    char dir[256];               /* a real one, for copies of the file */
};

void sim_books_init(struct sim_books *b, uint64_t seed, bool strict); /* an empty disk; one at a time in a process */
void sim_books_fini(struct sim_books *b);                             /* no life runs */
/* A life begins: the ledger is opened, and made when it is absent, and recovers; the budgets begin with what it has booked. ERR_DISK when the disk or
 * the power fails: nothing runs then. */
enum err sim_books_open(struct sim_books *b, struct loop *gateway, const struct budget_set *budgets, char why[512]) MUST_CHECK;
void sim_books_close(struct sim_books *b);   /* in order */
void sim_books_abandon(struct sim_books *b); /* without power: nothing more is written */
/* The books as the disk shows them now, between two transactions. To be closed with books_close before the next copy. */
enum err sim_books_read(struct sim_books *b, struct books **ret, char why[512]) MUST_CHECK;

#endif
