/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of entries as a reader makes them: rollup rows, and the balances that follow from them. The writer keeps its own (projection.h); that these two
 * come to the same is what verify shows. Rows know the parties to each charge, so accounts are moved once per row and not per entry.
 */
#ifndef ENTENTE_LEDGER_TALLY_H
#define ENTENTE_LEDGER_TALLY_H

#include "ledger/projection.h"

struct tally_account {
    uint32_t account, currency; /* names */
    money posted;               /* debits less credits */
};
struct tally {
    const struct projection *names; /* names and prices; the caller's */
    struct rollup *rows;
    struct tally_account *accounts;
    uint32_t rows_n, rows_room, accounts_n, accounts_room;
    struct index by_row, by_account;
};

void tally_init(struct tally *t, const struct projection *names);
void tally_fini(struct tally *t);
void tally_add_row(struct tally *t, const struct rollup *r); /* several rows may come to have the same dimensions */
/* ERR_RANGE: the sum needs more than 127 bits. */
enum err tally_move(struct tally *t, uint32_t account, uint32_t currency, money amount) MUST_CHECK;
struct tally_account *tally_find_account(const struct tally *t, uint32_t account, uint32_t currency); /* NULL */
/* What a row's charges move. ERR_NOT_FOUND: the log has no name for one of the accounts; why names it. */
enum err tally_book_row(struct tally *t, const struct rollup *r, char why[256]) MUST_CHECK;
enum err tally_book_posting(struct tally *t, const struct entry_posting *p) MUST_CHECK;

#endif
