/* SPDX-License-Identifier: Apache-2.0
 *
 * Histograms whose bounds double. A reader may see a bucket before its count or the other way round; quantiles therefore
 * use the buckets alone.
 */
#include "base/stat.h"

/* The smallest i with value <= first << i. */
static unsigned bucket_of(uint64_t first, uint64_t value)
{
    if (value <= first)
        return 0;
    uint64_t multiples = (value - 1) / first; /* one less than value / first, rounded up */
    unsigned i = (unsigned)(64 - __builtin_clzll(multiples));
    return i < STAT_BUCKETS ? i : STAT_BUCKETS;
}

void stat_observe(struct stat_histogram *h, uint64_t first, uint64_t value)
{
    stat_add(&h->bucket[bucket_of(first, value)], 1);
    stat_add(&h->count, 1);
    stat_add(&h->sum, value);
}

uint64_t stat_quantile(const struct stat_histogram *h, uint64_t first, double q)
{
    uint64_t counts[STAT_BUCKETS + 1], total = 0, seen = 0;
    for (unsigned i = 0; i <= STAT_BUCKETS; i++)
        total += counts[i] = stat_read(&h->bucket[i]);
    if (total == 0)
        return 0;
    double rank = q * (double)total;
    for (unsigned i = 0; i <= STAT_BUCKETS; i++) {
        seen += counts[i];
        if (counts[i] && (double)seen >= rank)
            return first << i;
    }
    return first << STAT_BUCKETS;
}

void stat_merge(struct stat_histogram *into, const struct stat_histogram *from)
{
    for (unsigned i = 0; i <= STAT_BUCKETS; i++)
        stat_add(&into->bucket[i], stat_read(&from->bucket[i]));
    stat_add(&into->count, stat_read(&from->count));
    stat_add(&into->sum, stat_read(&from->sum));
}
