/* SPDX-License-Identifier: Apache-2.0
 *
 * What is too long to be inline in span.h. Letters mean ASCII letters: no locale reaches these functions.
 */
#include "base/span.h"

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u + 32) : u;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool span_starts_nocase(struct span s, struct span head)
{
    if (s.n < head.n)
        return false;
    for (size_t i = 0; i < head.n; i++)
        if (s.p[i] != head.p[i] && lower(s.p[i]) != lower(head.p[i]))
            return false;
    return true;
}

struct span span_trim(struct span s)
{
    while (s.n && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

struct span span_cut(struct span *rest, char separator)
{
    struct span all = *rest;
    ptrdiff_t at = span_find(all, separator);
    if (at < 0) {
        *rest = SPAN_NONE;
        return all;
    }
    *rest = span_from(all, (size_t)at + 1);
    return span_to(all, (size_t)at);
}

ptrdiff_t span_find(struct span s, char c)
{
    const char *found = s.n ? memchr(s.p, c, s.n) : NULL;
    return found ? found - s.p : -1;
}

ptrdiff_t span_find_span(struct span s, struct span needle)
{
    if (needle.n == 0)
        return 0;
    const char *found = s.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
    return found ? found - s.p : -1;
}

bool span_to_u64(struct span s, uint64_t *ret)
{
    uint64_t value = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *ret = value;
    return true;
}

struct span span_of_u64(char out[SPAN_U64_BYTES], uint64_t value)
{
    char digits[SPAN_U64_BYTES];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    memcpy(out, digits + at, sizeof digits - at);
    return span_of(out, sizeof digits - at);
}

/* Multiplies to 128 bits and folds: one multiplication spreads every input bit over the whole word. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The odd constants are the first digits of pi and e; any odd numbers without a pattern do. */
uint64_t span_hash(struct span s, uint64_t seed)
{
    const uint64_t pi = 0x243f6a8885a308d3u, e = 0xb7e151628aed2a6bu;
    uint64_t hash = fold(seed ^ pi, e ^ s.n), word;
    for (; s.n >= 8; s = span_from(s, 8)) {
        memcpy(&word, s.p, 8);
        hash = fold(hash ^ word ^ pi, hash ^ e);
    }
    word = 0;
    if (s.n)
        memcpy(&word, s.p, s.n);
    return fold(hash ^ word ^ pi, fold(hash, e) ^ pi);
}
