/* SPDX-License-Identifier: Apache-2.0
 *
 * Edit distance over short words: one mistake is allowed in a word under 4 bytes, two under 9, else three.
 */
#include "serve/nearest.h"

#define WORD_BYTES_MAX 40u

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, changes, and two neighbours swapped, each cost one. Three rows of the usual table. */
static unsigned edit_distance(struct span a, struct span b)
{
    unsigned rows[3][WORD_BYTES_MAX + 1], *before = rows[0], *last = rows[1], *row = rows[2];
    for (unsigned j = 0; j <= b.n; j++)
        last[j] = before[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            unsigned change = last[j - 1] + (a.p[i - 1] != b.p[j - 1]);
            row[j] = least(change, least(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b.n];
}

void nearest_init(struct nearest *x, struct span word)
{
    *x = (struct nearest){.word = word, .distance = (unsigned)(word.n < 4 ? 1 : word.n < 9 ? 2 : 3) + 1};
}

void nearest_offer(struct nearest *x, const char *candidate)
{
    struct span other = span_str(candidate);
    if (x->word.n > WORD_BYTES_MAX || other.n > WORD_BYTES_MAX || other.n == 0)
        return;
    unsigned distance = edit_distance(x->word, other);
    if (distance < x->distance && distance < other.n) {
        x->distance = distance;
        x->best = candidate;
    }
}
