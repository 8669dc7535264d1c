/* SPDX-License-Identifier: Apache-2.0
 *
 * Members of JSON objects; see json_member.h.
 */
#include "report/json_member.h"

#include "base/clock.h"

void json_member_text(struct json_out *o, const char *key, struct span text)
{
    json_out_key(o, key);
    json_out_string(o, text.p ? text : SPAN(""));
}

void json_member_time(struct json_out *o, const char *key, int64_t at_us)
{
    char text[CLOCK_RFC3339_BYTES];
    json_member_text(o, key, clock_rfc3339_us(text, at_us));
}

void json_member_money(struct json_out *o, const char *key, money m)
{
    char digits[MONEY_TEXT_BYTES];
    json_member_text(o, key, money_format_integer(digits, m));
}

void json_member_decimal(struct json_out *o, const char *key, money m)
{
    char digits[MONEY_TEXT_BYTES];
    json_member_text(o, key, money_format(digits, m, 0));
}
