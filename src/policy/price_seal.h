/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the price list share, and readers of books may use: names, windows, and the checks of books against each other.
 */
#ifndef ENTENTE_POLICY_PRICE_SEAL_H
#define ENTENTE_POLICY_PRICE_SEAL_H

#include "policy/price.h"

#define PRICE_TEXT_BYTES_MAX (15u * 1024) /* of a canonical text: less than an entry of the ledger may have */
#define PRICE_NAME_BYTES_MAX 256u         /* of each text of a line and its book: the seven, all escaped, stay below that */

bool price_is_glob(struct span name);
bool price_clock_covers(const struct price_clock *c, int64_t at_us);
bool price_clocks_meet(const struct price_clock *a, const struct price_clock *b); /* is there a minute that both cover? */
int price_order_condition(const struct price_line *a, const struct price_line *b); /* by names, tier, clock and step: 0 when both price the same thing */
/* See price_list_seal. lines: all of the list's, in any order; stays as it is. */
bool price_seal_check(struct price_list *l, struct price_line *const *lines, unsigned n, price_complain_fn *complain, void *owner);

#endif
