/* SPDX-License-Identifier: Apache-2.0
 *
 * Borrowed bytes. A span owns nothing; whoever hands one out says how long the bytes stay.
 */
#ifndef ENTENTE_BASE_SPAN_H
#define ENTENTE_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *p;
    size_t n;
};

#define SPAN(literal) ((struct span){"" literal, sizeof(literal) - 1})
#define SPAN_NONE ((struct span){NULL, 0})
#define SPAN_ARG(s) (int)(s).n, (s).p /* for "%.*s" */
#define SPAN_U64_BYTES 20 /* of the longest number of 64 bits */

static inline struct span span_of(const void *p, size_t n) { return (struct span){p, n}; }
static inline struct span span_str(const char *s) { return (struct span){s, s ? strlen(s) : 0}; }
static inline bool span_eq(struct span a, struct span b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
static inline bool span_starts(struct span s, struct span head) { return s.n >= head.n && (head.n == 0 || memcmp(s.p, head.p, head.n) == 0); }
static inline bool span_ends(struct span s, struct span tail) { return s.n >= tail.n && (tail.n == 0 || memcmp(s.p + s.n - tail.n, tail.p, tail.n) == 0); }
static inline struct span span_from(struct span s, size_t at) /* without adding to a NULL pointer */
{
    size_t skip = at < s.n ? at : s.n;
    return skip ? (struct span){s.p + skip, s.n - skip} : s;
}
static inline struct span span_to(struct span s, size_t end) { return (struct span){s.p, end < s.n ? end : s.n}; }

bool span_starts_nocase(struct span s, struct span head);      /* ASCII letters only */
static inline bool span_eq_nocase(struct span a, struct span b) { return a.n == b.n && span_starts_nocase(a, b); }
struct span span_trim(struct span s);                          /* spaces and tabs at both ends */
struct span span_cut(struct span *rest, char separator);       /* takes up to separator (or all); rest moves past it; rest->p NULL when used up */
ptrdiff_t span_find(struct span s, char c);                    /* index or -1 */
ptrdiff_t span_find_span(struct span s, struct span needle);   /* index or -1 */
bool span_to_u64(struct span s, uint64_t *ret);                /* decimal digits only, no sign, no overflow */
struct span span_of_u64(char out[SPAN_U64_BYTES], uint64_t value); /* its decimal digits, in out */
uint64_t span_hash(struct span s, uint64_t seed);              /* for tables; not cryptographic, seed it per process */

#endif
