/* SPDX-License-Identifier: Apache-2.0
 *
 * What a usage entry adds to which rollup row: said once, for the writer, for readers of the tail, for compaction and for verify.
 * An entry with attempt 0 is a request, one of a lost attempt is none; classes that are unknown add nothing; costs that providers state are
 * in 10^-9 USD and become 10^-15.
 */
#ifndef ENTENTE_LEDGER_ROLLUP_H
#define ENTENTE_LEDGER_ROLLUP_H

#include "ledger/store.h"
#include "proof/merkle.h"

int64_t rollup_bucket(int64_t booked_us);                                  /* start of its quarter of an hour; also before 1970 */
void rollup_of(const struct entry_usage *u, uint64_t seq, struct rollup *ret); /* the row that this entry alone would make; id 0 */
bool rollup_same(const struct rollup *a, const struct rollup *b);          /* the same bucket and who, whom, what */
int rollup_order(const struct rollup *a, const struct rollup *b);          /* of bucket and dimensions, as numbers, in the struct's order */
uint64_t rollup_hash(const struct rollup *r, uint64_t seed);               /* of the same */
bool rollup_add(struct rollup *to, const struct rollup *more);             /* false: a sum would overflow; then nothing was added */
bool rollup_take(struct rollup *from, const struct rollup *less);          /* the reverse, of sums; first_seq and last_seq stay */

/* A row as text: its columns but the id, in the order of the table, as decimal numbers with tabs between them. */
#define ROLLUP_TEXT_BYTES 1900u
struct span rollup_write(const struct rollup *r, char out[ROLLUP_TEXT_BYTES]);
/* The digest of rows, as a summary has it: the root of the RFC 6962 tree whose leaves are their texts, in rollup_order, those of the same dimensions by
 * first_seq. A row belongs to the summary in whose range its last_seq lies; no row may reach over the end of one. Init with a zeroed merkle. */
void rollup_digest_add(struct merkle *m, const struct rollup *r);
int rollup_digest_order(const void *a, const void *b); /* for qsort, of struct rollup */

#endif
