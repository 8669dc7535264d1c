/* SPDX-License-Identifier: Apache-2.0
 *
 * Scanning strings of JSON. The scalar code is the definition; the vector code passes over what is certainly fine and
 * leaves every decision about an odd byte to it.
 */
#include "base/json_scan.h"

static const char *plain_by_bytes(const char *p, const char *end)
{
    while (p < end && json_is_plain(*p))
        p++;
    return p;
}

#if defined(__SSE2__)
const char *json_scan_plain_long(const char *p, const char *end)
{
    for (; end - p >= 16; p += 16) {
        unsigned mask = json_scan_mask16(p);
        if (mask)
            return p + __builtin_ctz(mask);
    }
    return plain_by_bytes(p, end);
}
#else
const char *json_scan_plain_long(const char *p, const char *end)
{
    return plain_by_bytes(p, end);
}
#endif

static bool is_tail(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Table 3-7 of the Unicode standard, "Well-Formed UTF-8 Byte Sequences": the second byte's range depends on the first. */
unsigned json_utf8_bytes(const char *p, const char *end)
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

const char *json_scan_utf8(const char *p, const char *end)
{
    while (p < end && !json_is_plain(*p) && (signed char)*p < 0) {
        unsigned n = json_utf8_bytes(p, end);
        if (n == 0)
            break;
        p += n;
    }
    return p;
}
