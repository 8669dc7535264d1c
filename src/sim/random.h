/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers from a seed, for the simulator: the same seed gives the same numbers on every machine. Not for secrets.
 */
#ifndef ENTENTE_SIM_RANDOM_H
#define ENTENTE_SIM_RANDOM_H

#include <math.h>
#include <stdint.h>

/* A splitmix64 sequence: the state is one number, and any number is a good one to start from. */
static inline uint64_t sim_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint64_t sim_random_below(uint64_t *state, uint64_t n) { return n ? sim_random(state) % n : 0; }

/* In (0, 1). */
static inline double sim_random_unit(uint64_t *state) { return ((double)(sim_random(state) >> 11) + 0.5) / 9007199254740992.0; }

/* Around 0 with deviation 1, by Box and Muller. */
static inline double sim_random_normal(uint64_t *state)
{
    double radius = sqrt(-2.0 * log(sim_random_unit(state)));
    return radius * cos(6.283185307179586 * sim_random_unit(state));
}

#endif
