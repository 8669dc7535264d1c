/* SPDX-License-Identifier: Apache-2.0
 *
 * Scanning strings of JSON. The scalar code is the definition; the vector code passes over what is certainly fine and
 * leaves every other byte to it.
 */
#include "base/json_scan.h"

bool json_scan_uses_avx2;

/* plain bytes */

const char *json_scan_plain(const char *p, const char *end)
{
#if JSON_SCAN_HAS_16
    for (; end - p >= 16; p += 16) {
        unsigned n = json_scan_16(p);
        if (n < 16)
            return p + n;
    }
#endif
    while (p < end && json_is_plain(*p))
        p++;
    return p;
}

/* UTF-8 */

static inline bool is_tail(char c)
{
    return (signed char)c < (signed char)0xc0;
}

/* Table 3-7 of the Unicode standard, "Well-Formed UTF-8 Byte Sequences": the second byte's range depends on the first. */
static inline unsigned utf8_bytes(const char *p, const char *end)
{
    size_t left = (size_t)(end - p);
    unsigned char a = left ? (unsigned char)p[0] : 0xff, b = left > 1 ? (unsigned char)p[1] : 0;
    if (a < 0x80)
        return 1;
    if (a < 0xc2 || a > 0xf4 || !is_tail((char)b))
        return 0;
    if (a < 0xe0)
        return 2;
    if (a < 0xf0) {
        bool fits = !(a == 0xe0 && b < 0xa0) && !(a == 0xed && b > 0x9f);
        return fits && left > 2 && is_tail(p[2]) ? 3 : 0;
    }
    bool fits = !(a == 0xf0 && b < 0x90) && !(a == 0xf4 && b > 0x8f);
    return fits && left > 3 && is_tail(p[2]) && is_tail(p[3]) ? 4 : 0;
}

unsigned json_utf8_bytes(const char *p, const char *end)
{
    return utf8_bytes(p, end);
}

/* A run of characters that are not ASCII: most letters of such a script stand together. */
static const char *pass_characters(const char *p, const char *end)
{
    while (p < end && (signed char)*p < 0) {
        unsigned n = utf8_bytes(p, end);
        if (n == 0)
            break;
        p += n;
    }
    return p;
}

/* Plain bytes and valid characters in turn. */
static const char *string_by_characters(const char *p, const char *end)
{
    for (;;) {
        const char *odd = json_scan_plain(p, end);
        p = pass_characters(odd, end);
        if (p == odd)
            return p;
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE __attribute__((target("avx2"), always_inline)) static inline

AVX2_INLINE __m256i load(const char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

AVX2_INLINE __m256i is_byte(__m256i v, char c)
{
    return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}

AVX2_INLINE uint32_t bits_of(__m256i v)
{
    return (uint32_t)_mm256_movemask_epi8(v);
}

AVX2_INLINE bool is_zero(__m256i v)
{
    return _mm256_testz_si256(v, v);
}

AVX2_INLINE __m256i is_control(__m256i v)
{
    const __m256i highest = _mm256_set1_epi8(0x1f);
    return _mm256_cmpeq_epi8(_mm256_max_epu8(v, highest), highest);
}

/* 0xff where a byte is not plain. */
AVX2_INLINE __m256i not_plain(__m256i v)
{
    __m256i special = _mm256_or_si256(is_byte(v, '"'), is_byte(v, '\\'));
    return _mm256_or_si256(special, _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), v)); /* as signed bytes */
}

/* The quick way through pictures in base64 and the like. */
AVX2 static const char *plain_by_64(const char *p, const char *end)
{
    for (; end - p >= 64; p += 64)
        if (!is_zero(_mm256_or_si256(not_plain(load(p)), not_plain(load(p + 32)))))
            break;
    return p;
}

/*
 * Validation after John Keiser and Daniel Lemire, "Validating UTF-8 In Less Than One Instruction Per Byte" (2020,
 * arXiv:2010.03090). Every error but two shows in a byte and the one before it. Each of the first byte's halves and the second
 * byte's upper half says by a table which errors it allows; an error that all three allow is there. The last two errors are a
 * third or fourth byte missing, and one too many: both are about bit CONTINUED, which says "a tail after a tail" and must be
 * set exactly where a byte two back begins three or more, or one three back begins four.
 */
enum {
    TOO_SHORT = 1,     /* a lead without its tail */
    TOO_LONG = 2,      /* ASCII, then a tail */
    OVERLONG_3 = 4,    /* e0 80..9f */
    TOO_LARGE = 8,     /* f4 90..bf, f5..ff 90..bf */
    SURROGATE = 16,    /* ed a0..bf */
    OVERLONG_2 = 32,   /* c0, c1 */
    OVERLONG_4 = 64,   /* f0 80..8f */
    TOO_LARGE_8 = 64,  /* f5..ff 80..8f: shares its bit with OVERLONG_4, their first bytes' lower halves differ */
    CONTINUED = 128,
    ANY_LOW = TOO_SHORT | TOO_LONG | CONTINUED,
};

#define TWICE(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

AVX2_INLINE __m256i upper_halves(__m256i v)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
}

AVX2_INLINE __m256i pair_errors(__m256i first, __m256i second)
{
    const char large = (char)(ANY_LOW | TOO_LARGE | TOO_LARGE_8), any = (char)ANY_LOW, two = (char)CONTINUED;
    const char tail = (char)(TOO_LONG | OVERLONG_2 | CONTINUED);
    __m256i first_upper = TWICE(TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, two, two, two, two,
                                TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
                                TOO_SHORT | TOO_LARGE | TOO_LARGE_8 | OVERLONG_4);
    __m256i first_lower = TWICE((char)(any | OVERLONG_2 | OVERLONG_3 | OVERLONG_4), (char)(any | OVERLONG_2), any, any,
                                (char)(any | TOO_LARGE), large, large, large, large, large, large, large, large,
                                (char)(large | SURROGATE), large, large);
    __m256i second_upper = TWICE(TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
                                 (char)(tail | OVERLONG_3 | OVERLONG_4 | TOO_LARGE_8), (char)(tail | OVERLONG_3 | TOO_LARGE),
                                 (char)(tail | SURROGATE | TOO_LARGE), (char)(tail | SURROGATE | TOO_LARGE), TOO_SHORT, TOO_SHORT,
                                 TOO_SHORT, TOO_SHORT);
    __m256i a = _mm256_shuffle_epi8(first_upper, upper_halves(first));
    __m256i b = _mm256_shuffle_epi8(first_lower, _mm256_and_si256(first, _mm256_set1_epi8(15)));
    __m256i c = _mm256_shuffle_epi8(second_upper, upper_halves(second));
    return _mm256_and_si256(_mm256_and_si256(a, b), c);
}

/* Not zero where a byte of v, which lies at p, cannot follow the three before it. */
AVX2_INLINE __m256i utf8_errors(__m256i v, const char *p)
{
    __m256i three = _mm256_subs_epu8(load(p - 2), _mm256_set1_epi8(0xe0 - 0x80)); /* top bit: e0 and above */
    __m256i four = _mm256_subs_epu8(load(p - 3), _mm256_set1_epi8(0xf0 - 0x80));
    __m256i must_continue = _mm256_and_si256(_mm256_or_si256(three, four), _mm256_set1_epi8((char)CONTINUED));
    return _mm256_xor_si256(pair_errors(load(p - 1), v), must_continue);
}

/* From a place that may be inside a character, all before it being valid, back to where the character begins. */
static const char *back_to_boundary(const char *p)
{
    for (int i = 1; i <= 3; i++) {
        unsigned char c = (unsigned char)p[-i];
        if (c >= 0xc0)
            return (c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2) > i ? p - i : p;
        if (c < 0x80)
            break;
    }
    return p;
}

/* Escapes: a byte is escaped when the run of backslashes before it is of odd length. Adding the beginnings of the runs at even
 * places to the runs makes each such run carry into the bit after its end, and so for odd places (after Geoff Langdale and Daniel
 * Lemire, "Parsing Gigabytes of JSON per Second", 2019). Bit 32 of the result is about the next block; carry is that bit of the
 * block before. Escaped backslashes inside runs are not reported: they mean themselves. */
static inline uint64_t escaped_bytes(uint64_t backslashes, uint64_t carry)
{
    const uint64_t even = 0x5555555555555555u;
    uint64_t runs = backslashes & ~carry, begins = runs & ~(runs << 1);
    uint64_t after_even = ((begins & even) + runs) & ~runs, after_odd = ((begins & ~even) + runs) & ~runs;
    return carry | (after_even & ~even) | (after_odd & even);
}

/* One bit for each byte that may follow a backslash, \u excepted. The two halves of such a byte share a bit in these tables. */
AVX2_INLINE uint32_t escape_letters(__m256i v)
{
    __m256i upper = TWICE(0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0);
    __m256i lower = TWICE(0, 0, 1 | 4 | 8, 0, 8, 0, 4, 0, 0, 0, 0, 0, 2, 0, 4, 1); /* "br t f \ n / by columns 2 4 6 c e f */
    __m256i a = _mm256_shuffle_epi8(upper, upper_halves(v));
    __m256i b = _mm256_shuffle_epi8(lower, _mm256_and_si256(v, _mm256_set1_epi8(15)));
    return ~bits_of(is_byte(_mm256_and_si256(a, b), 0));
}

/* Where in the block at p, if anywhere, a byte stands that ends the scan; *carry as above, in and out. */
AVX2_INLINE const char *block_stop(const char *p, __m256i v, bool is_ascii, uint64_t *carry, bool *has_escapes)
{
    uint32_t backslashes = bits_of(is_byte(v, '\\')), quotes = bits_of(is_byte(v, '"')), odd = bits_of(is_control(v)), unknown = 0;
    if (backslashes || *carry) {
        uint64_t escaped = escaped_bytes(backslashes, *carry);
        unknown = (uint32_t)escaped & ~escape_letters(v);
        quotes &= ~(uint32_t)escaped;
        *carry = escaped >> 32;
    }
    if (!is_ascii)
        odd |= ~bits_of(is_byte(utf8_errors(v, p), 0));
    uint32_t stops = quotes | odd | unknown, before_first = (stops - 1) & ~stops;
    *has_escapes |= (backslashes & before_first) != 0;
    if (!stops)
        return NULL;
    const char *stop = p + __builtin_ctz(stops);
    return unknown & (before_first + 1) ? stop - 1 : back_to_boundary(stop);
}

/* At least three bytes before p can be read. */
AVX2 static const char *string_by_32(const char *p, const char *end, bool *has_escapes)
{
    uint64_t carry = 0;
    for (; end - p >= 32; p += 32) {
        __m256i v = load(p);
        bool is_ascii = bits_of(_mm256_or_si256(v, load(p - 3))) == 0;
        if (is_ascii && !carry && is_zero(not_plain(v)))
            continue;
        const char *stop = block_stop(p, v, is_ascii, &carry, has_escapes);
        if (stop)
            return stop;
    }
    return carry ? p - 1 : back_to_boundary(p);
}

/* Before main, and so before threads. */
__attribute__((constructor)) static void detect(void)
{
    __builtin_cpu_init();
    json_scan_uses_avx2 = __builtin_cpu_supports("avx2") != 0;
}
#endif

#if defined(__x86_64__)
/* By hand until three bytes before p can be read: the opening quote and two more. */
static const char *first_two(const char *begin, const char *p, const char *end)
{
    while (p - begin < 2 && p < end && (json_is_plain(*p) || (signed char)*p < 0)) {
        unsigned n = utf8_bytes(p, end);
        if (n == 0)
            break;
        p += n;
    }
    return p;
}
#endif

const char *json_scan_string(const char *begin, const char *p, const char *end, bool *has_escapes)
{
#if defined(__x86_64__)
    if (json_scan_uses_avx2 && end - p >= 40) {
        p = first_two(begin, p, end);
        if (p - begin < 2)
            return p;
        p = string_by_32(plain_by_64(p, end), end, has_escapes);
        if (p < end && *p == '"')
            return p;
    }
#endif
    return string_by_characters(p, end);
}
