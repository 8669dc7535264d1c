/* SPDX-License-Identifier: Apache-2.0
 *
 * What a proof proves, in words. Names and prices are those of the entries in the proof, which are proved themselves; amounts are computed again
 * from quantities and price lines.
 */
#ifndef ENTENTE_VERIFY_SHOW_H
#define ENTENTE_VERIFY_SHOW_H

#include "proof/proof.h"

#define SHOW_BYTES_MAX (4u * 1024u * 1024u)

/* Appends lines. ERR_FORBIDDEN: what is in the log is no entry of a ledger, refers to what cannot be, or books another amount than its price line says;
 * why has the sentence, and lines may have been appended. */
enum err show_proof(const struct proof *p, struct buf *out, char why[PROOF_WHY_BYTES]) MUST_CHECK;

#endif
