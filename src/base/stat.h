/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters and histograms that one thread writes and any thread may read: relaxed atomics, no locks. A worker owns a set; a
 * scrape adds the sets of all workers. Prometheus text is written by serve/metrics.
 */
#ifndef ENTENTE_BASE_STAT_H
#define ENTENTE_BASE_STAT_H

#include <stdint.h>

typedef struct { uint64_t value; } stat_counter; /* monotonic, or a gauge when stat_sub is used */

static inline void stat_add(stat_counter *c, uint64_t n)
{
    __atomic_store_n(&c->value, __atomic_load_n(&c->value, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}
static inline void stat_sub(stat_counter *c, uint64_t n)
{
    __atomic_store_n(&c->value, __atomic_load_n(&c->value, __ATOMIC_RELAXED) - n, __ATOMIC_RELAXED);
}
static inline void stat_set(stat_counter *c, uint64_t n) { __atomic_store_n(&c->value, n, __ATOMIC_RELAXED); }
static inline uint64_t stat_read(const stat_counter *c) { return __atomic_load_n(&c->value, __ATOMIC_RELAXED); }

/* Upper bounds 1, 2, 4, ... times first, and one for the rest. Values are integers (microseconds, tokens). */
#define STAT_BUCKETS 24
struct stat_histogram {
    stat_counter bucket[STAT_BUCKETS + 1];
    stat_counter count, sum;
};

void stat_observe(struct stat_histogram *h, uint64_t first, uint64_t value);
uint64_t stat_quantile(const struct stat_histogram *h, uint64_t first, double q); /* upper bound of its bucket, for the
                                                                        rest twice the last bound; 0 when empty */
void stat_merge(struct stat_histogram *into, const struct stat_histogram *from);

#endif
