/* SPDX-License-Identifier: Apache-2.0
 *
 * Tickets as bytes, for the time when the store refuses: in the spool on disk, or in memory. An item is what a ticket says, whole: names as text,
 * price lines once by their text and then by number, so that it can be booked later by the same code as ever. The bytes are those of this
 * build's structs (journal_layout): they live for the length of an outage, and another build refuses them.
 */
#ifndef ENTENTE_LEDGER_JOURNAL_H
#define ENTENTE_LEDGER_JOURNAL_H

#include "base/index.h"
#include "ledger/ledger.h"

#define JOURNAL_ITEM_BYTES_MAX (16u * KIB)

uint64_t journal_layout(void); /* a number that changes with the layout of what is written */

/* The price lines that a journal has said so far. Writing and reading number them alike. */
struct journal {
    struct arena arena;
    struct journal_price *prices; /* in order of their numbers, from 1 */
    uint32_t prices_n, prices_room;
    struct index by_digest;
};
void journal_init(struct journal *j);
void journal_fini(struct journal *j); /* forgets all prices; can be used again */

/* Appends to out what has to be written for this ticket: up to three items, each `put` by its own call of fn, in order. */
typedef enum err journal_put_fn(void *owner, struct span item);
enum err journal_write(struct journal *j, const struct ledger_ticket *t, int64_t now_us, journal_put_fn *put, void *owner) MUST_CHECK;

struct journal_item {
    int64_t at_us;                 /* when it was written */
    enum { JOURNAL_PRICE = 1, JOURNAL_HOLD, JOURNAL_RECORD } kind;
    struct ledger_hold hold;       /* by kind; their price lines are the journal's */
    struct usage_record record;
};
enum err journal_read(struct journal *j, struct span item, struct journal_item *ret) MUST_CHECK; /* ERR_SYNTAX */

#endif
