/* SPDX-License-Identifier: Apache-2.0
 *
 * What was meant? The candidate nearest to a mistyped word by edit distance, when it is near enough to have been meant.
 */
#ifndef ENTENTE_SERVE_NEAREST_H
#define ENTENTE_SERVE_NEAREST_H

#include "base/span.h"

struct nearest {
    struct span word;
    const char *best; /* the candidate, or NULL */
    unsigned distance;
};
void nearest_init(struct nearest *x, struct span word);
void nearest_offer(struct nearest *x, const char *candidate); /* candidates stay borrowed */

#endif
