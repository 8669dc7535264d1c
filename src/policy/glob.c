/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns of names, as keys, prices and the catalog use them. In a file of its own, so that who wants a price needs no catalog.
 */
#include "policy/catalog.h"

/* A star first takes nothing; at each mismatch the last star takes one byte more. An earlier star never needs to be tried again. */
bool glob_matches(struct span pattern, struct span text)
{
    size_t p = 0, t = 0, after_star = SIZE_MAX, star_took_to = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            after_star = ++p;
            star_took_to = t;
        } else if (p < pattern.n && (pattern.p[p] == '?' || pattern.p[p] == text.p[t])) {
            p++;
            t++;
        } else if (after_star != SIZE_MAX) {
            p = after_star;
            t = ++star_took_to;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}
