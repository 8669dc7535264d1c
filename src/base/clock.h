/* SPDX-License-Identifier: Apache-2.0
 *
 * Formats of time. Reading the time is io/loop's business (so that a simulated world can own it); these are pure.
 */
#ifndef ENTENTE_BASE_CLOCK_H
#define ENTENTE_BASE_CLOCK_H

#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

#define CLOCK_RFC3339_BYTES 28
#define CLOCK_HTTP_DATE_BYTES 30

struct span clock_rfc3339_us(char out[CLOCK_RFC3339_BYTES], int64_t wall_us); /* 2026-11-23T01:47:00.123456Z */
struct span clock_http_date(char out[CLOCK_HTTP_DATE_BYTES], int64_t wall_us); /* Mon, 23 Nov 2026 01:47:00 GMT */
enum err clock_parse_http_date(struct span text, int64_t *ret_wall_us) MUST_CHECK; /* the three forms of RFC 9110 5.6.7 */
enum err clock_parse_duration(struct span text, uint64_t *ret_ns) MUST_CHECK; /* config: digits and one of ns us ms s m h d; a bare number is an error */

#endif
