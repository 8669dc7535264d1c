/* SPDX-License-Identifier: Apache-2.0
 *
 * What a step of the books moves between accounts: at most two legs of usage, or the transfers of a posting.
 */
#ifndef ENTENTE_REPORT_MOVEMENT_H
#define ENTENTE_REPORT_MOVEMENT_H

#include "report/walk.h"

enum movement_kind { MOVEMENT_BUY, MOVEMENT_SELL, MOVEMENT_TRANSFER };

struct movement { /* debit gets, credit gives */
    enum movement_kind kind;
    struct span debit, credit, currency;
    money amount;
};

struct movements {
    unsigned n;
    struct movement at[POSTING_TRANSFERS_MAX];
    struct buf names; /* of the accounts of usage */
};

/* Who, whom and what of usage, whether one entry or a rollup of many. */
struct movement_usage {
    uint32_t key, department, party, provider, model, model_asked, tier, buy_price, sell_price, buy_unpriced, sell_unpriced;
    enum usage_source source;
    int64_t requests;
    const int64_t *count; /* USAGE_CLASSES; USAGE_UNKNOWN where nobody knows */
    money buy, sell;
};

void movements_init(struct movements *m);
void movements_fini(struct movements *m);
/* Names are borrowed from the books and m until the next call. ERR_SYNTAX when the entry refers to a price line that the books do not have. */
enum err movements_of(struct books *b, const struct walk_step *s, struct movements *m) MUST_CHECK;
bool movement_usage_of(const struct walk_step *s, struct movement_usage *ret); /* false: the step is no usage */

#define MOVEMENT_CLASSES_BYTES 256
struct span movement_classes(char out[MOVEMENT_CLASSES_BYTES], uint32_t classes); /* names of the classes whose bits are set, with spaces between */

#endif
