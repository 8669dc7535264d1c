/* SPDX-License-Identifier: Apache-2.0
 *
 * What the simulator draws from a seed beyond whole numbers (base/random.h).
 */
#ifndef ENTENTE_SIM_RANDOM_H
#define ENTENTE_SIM_RANDOM_H

#include <math.h>

#include "base/random.h"

static inline uint64_t sim_random_below(uint64_t *state, uint64_t n) { return n ? random_split(state) % n : 0; }

/* In (0, 1). */
static inline double sim_random_unit(uint64_t *state) { return ((double)(random_split(state) >> 11) + 0.5) / 9007199254740992.0; }

/* Around 0 with deviation 1, by Box and Muller. */
static inline double sim_random_normal(uint64_t *state)
{
    double radius = sqrt(-2.0 * log(sim_random_unit(state)));
    return radius * cos(6.283185307179586 * sim_random_unit(state));
}

#endif
