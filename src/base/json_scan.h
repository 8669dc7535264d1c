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

/* From p over everything that may stand in the string whose first byte is at begin: plain bytes, valid UTF-8, and, where
 * vectors make it quick, escapes. p and the result lie at the beginning of a character or escape. The result is the closing
 * quote, or end, or a byte that the caller must look at; *has_escapes is set when escapes were passed, never cleared. */
const char *json_scan_string(const char *begin, const char *p, const char *end, bool *has_escapes);

/* The first byte from p that is not plain, or end. */
const char *json_scan_plain(const char *p, const char *end);

/* The length of the valid UTF-8 character at p, which may be ASCII; 0 when it is not valid. */
unsigned json_utf8_bytes(const char *p, const char *end);

/* Whether the code for AVX2 is used: found out at start; tests turn it off to try the code without. */
extern bool json_scan_uses_avx2;

/* The index of the first byte of 16 that is not plain; 16 when all are. */
#if defined(__SSE2__)
#define JSON_SCAN_HAS_16 1
static inline unsigned json_scan_16(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i special = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    __m128i low = _mm_subs_epi8(v, _mm_set1_epi8(0x20)); /* as signed bytes below 0: control characters and those above 0x7f */
    return (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8(_mm_or_si128(special, low)) | 1u << 16);
}
#elif defined(__aarch64__) && defined(__ARM_NEON)
#define JSON_SCAN_HAS_16 1
static inline unsigned json_scan_16(const char *p)
{
    uint8x16_t v = vld1q_u8((const uint8_t *)p);
    uint8x16_t special = vorrq_u8(vceqq_u8(v, vdupq_n_u8('"')), vceqq_u8(v, vdupq_n_u8('\\')));
    uint8x16_t low = vcltq_s8(vreinterpretq_s8_u8(v), vdupq_n_s8(0x20));
    uint8x8_t four_bits_each = vshrn_n_u16(vreinterpretq_u16_u8(vorrq_u8(special, low)), 4);
    uint64_t bits = vget_lane_u64(vreinterpret_u64_u8(four_bits_each), 0);
    return bits ? (unsigned)__builtin_ctzll(bits) >> 2 : 16;
}
#else
#define JSON_SCAN_HAS_16 0
#endif

#endif
