/* SPDX-License-Identifier: Apache-2.0
 *
 * What json.c does to every byte of a string: look for the few that matter. Vectors where the machine has them.
 * Private to base.
 */
#ifndef ENTENTE_BASE_JSON_SCAN_H
#define ENTENTE_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* Plain: an ASCII byte that means itself inside a string. Not so quotes, backslashes, control characters, parts of longer
 * characters. */
static inline bool json_is_plain(char c)
{
    return (signed char)c >= 0x20 && c != '"' && c != '\\';
}

/* The first byte from p that is not plain, or end. */
const char *json_scan_plain_long(const char *p, const char *end);

/* p stands at a byte above 0x7f. Passes over valid UTF-8 and, while it lasts, over plain bytes; returns where it stopped:
 * p itself when the first character is not valid. */
const char *json_scan_utf8(const char *p, const char *end);

/* The length of the valid UTF-8 character at p, which may be ASCII; 0 when it is not valid. */
unsigned json_utf8_bytes(const char *p, const char *end);

#if defined(__SSE2__)
/* One comparison as signed bytes catches both control characters and bytes above 0x7f. */
static inline unsigned json_scan_mask16(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i special = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(special, _mm_cmplt_epi8(v, _mm_set1_epi8(0x20))));
}
#endif

static inline const char *json_scan_plain(const char *p, const char *end)
{
#if defined(__SSE2__)
    if (end - p >= 16) {
        unsigned mask = json_scan_mask16(p);
        return mask ? p + __builtin_ctz(mask) : json_scan_plain_long(p + 16, end);
    }
#endif
    return json_scan_plain_long(p, end);
}

#endif
