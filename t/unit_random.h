/* SPDX-License-Identifier: Apache-2.0
 *
 * Chance that a seed repeats, and copies of bytes that show a read beyond their end.
 */
#ifndef ENTENTE_UNIT_RANDOM_H
#define ENTENTE_UNIT_RANDOM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/span.h"

static uint64_t random_state; /* the seed, not 0; a test sets it */

static inline unsigned random_below(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % n;
}

/* A seed for each of a test's rounds, counted from 1: numbers near each other become states that are not. */
static inline void random_seed(unsigned round) { random_state = round * 2654435761u; }

/* A copy that ends where its memory ends, so that a byte read too many shows under AddressSanitizer. */
static inline struct span exact_copy(struct span s)
{
    char *copy = malloc(s.n ? s.n : 1);
    memcpy(copy, s.p, s.n);
    return span_of(copy, s.n);
}

#endif
