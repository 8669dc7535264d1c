/* SPDX-License-Identifier: Apache-2.0
 *
 * Members of JSON objects that every report writes: texts, times, money in digits.
 */
#ifndef ENTENTE_REPORT_JSON_MEMBER_H
#define ENTENTE_REPORT_JSON_MEMBER_H

#include "base/money.h"
#include "dialect/json_out.h"

void json_member_text(struct json_out *o, const char *key, struct span text);  /* "" when there is none */
void json_member_time(struct json_out *o, const char *key, int64_t at_us);     /* RFC 3339 */
void json_member_money(struct json_out *o, const char *key, money m);          /* the integer, 10^-15 of the major unit, as text */
void json_member_decimal(struct json_out *o, const char *key, money m);        /* decimal text of the major unit: "0.264" */

#endif
