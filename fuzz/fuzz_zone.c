/* SPDX-License-Identifier: Apache-2.0
 *
 * Time zone files of bytes nobody chose. Whatever is accepted has offsets for all time, and periods that follow each other without a gap;
 * the same bytes are read as a label and as a time.
 */
#include <string.h>

#include "base/calendar.h"
#include "base/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_moment(const struct zone *z, int64_t wall_us)
{
    struct period p, next, again;
    for (unsigned u = 0; u < PERIOD_UNITS; u++) {
        period_at(z, (enum period_unit)u, wall_us, &p);
        CHECK(p.from_us <= wall_us && wall_us < p.until_us);
        period_at(z, (enum period_unit)u, p.until_us, &next);
        CHECK(next.from_us == p.until_us);
        if (wall_us > 0 && wall_us < INT64_C(253000000000000000)) /* of a year of four digits */
            CHECK(period_parse(z, span_str(p.label), &again) == ERR_OK && memcmp(&p, &again, sizeof p) == 0);
    }
    int64_t wall_s = calendar_floor(wall_us, US_PER_S);
    CHECK(zone_first_s(z, wall_s + zone_offset_s(z, wall_s)) <= wall_s);
}

static void check_text(const struct zone *z, struct span text)
{
    struct period p;
    int64_t us;
    if (!period_parse(z, text, &p))
        CHECK(p.from_us <= p.until_us && span_eq(span_str(p.label), text));
    if (!zone_parse_time(z, text, &us))
        CHECK(us > -INT64_C(70000000000000000) && us < INT64_C(260000000000000000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const int64_t moments_s[] = {-3786912000, -1, 0, 1, 951782400, 1774746000, 1795392000, 2147483647, 4102444800, 100000000000};
    struct span bytes = span_of(data, n);
    struct zone *z = NULL, *utc = NULL;
    CHECK(zone_open("UTC", &utc) == ERR_OK);
    check_text(utc, bytes);
    zone_free(utc);
    if (zone_parse(bytes, &z))
        return 0;
    for (size_t i = 0; i < COUNT_OF(moments_s); i++)
        check_moment(z, moments_s[i] * US_PER_S);
    zone_free(z);
    return 0;
}
