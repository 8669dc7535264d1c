/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers from a seed: the same seed gives the same numbers on every machine. Not for secrets; those are digest_random's.
 */
#ifndef ENTENTE_BASE_RANDOM_H
#define ENTENTE_BASE_RANDOM_H

#include <stdint.h>

/* A splitmix64 sequence: the state is one number, and any number is a good one to start from. */
static inline uint64_t random_split(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A long sequence: xoshiro256** of Blackman and Vigna, seeded through splitmix64 as they advise. */
struct random {
    uint64_t s[4];
};

static inline void random_init(struct random *r, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++)
        r->s[i] = random_split(&seed);
}

static inline uint64_t random_rotate(uint64_t x, unsigned by) { return x << by | x >> (64 - by); }

static inline uint64_t random_next(struct random *r)
{
    uint64_t *s = r->s, result = random_rotate(s[1] * 5, 7) * 9, shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = random_rotate(s[3], 45);
    return result;
}

#endif
