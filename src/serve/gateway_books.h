/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway's money beside the requests: the ledger in its data directory, the counters of the budgets, what is logged about both, and
 * the daily compaction of what is older than `ledger.keep`. Made and closed on the steering thread.
 */
#ifndef ENTENTE_SERVE_GATEWAY_BOOKS_H
#define ENTENTE_SERVE_GATEWAY_BOOKS_H

#include "ledger/ledger.h"
#include "policy/budget.h"
#include "serve/config.h"

struct gateway_books;

struct gateway_books_options {
    const struct config *config;
    const char *data_dir;     /* NULL: a directory that is made for this and removed at close */
    struct loop *loop;        /* names the world */
    void (*on_record)(void *owner, const struct usage_record *r); /* on the writer's thread; may be NULL */
    void *owner;
};

/* Opens and recovers the ledger, and brings the budgets to what it has booked in their running periods. */
enum err gateway_books_open(const struct gateway_books_options *o, struct gateway_books **ret, char why[512]) MUST_CHECK;
void gateway_books_close(struct gateway_books *k); /* accepts NULL; no worker runs any more */
struct ledger *gateway_books_ledger(const struct gateway_books *k); /* NULL with `durability: none`: then workers tell what they would have booked */
void gateway_books_unbooked(void *books, const struct usage_record *r); /* any thread */
struct budget_book *gateway_books_budgets(const struct gateway_books *k);
/* Before workers use the next config: budgets that the last one did not have begin at what is booked already. */
void gateway_books_use(struct gateway_books *k, const struct config *next, const struct config *last);
/* Adds to the counters what the ledger in dir has booked in the running periods of these budgets. */
enum err gateway_books_restore(struct budget_book *k, const char *dir, const struct budget_set *set, int64_t now_us, char why[512]) MUST_CHECK;
void gateway_books_log_exchanges(struct gateway_books *k, bool on); /* a line for each record, at level info */

#endif
