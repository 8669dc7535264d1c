/* SPDX-License-Identifier: Apache-2.0
 *
 * A table that redraws itself on a terminal: lines between table_begin and table_end take the place of those drawn before.
 */
#ifndef ENTENTE_CLI_TABLE_H
#define ENTENTE_CLI_TABLE_H

#include "base/check.h"

struct table_screen {
    bool live;       /* a terminal: redraw in place */
    unsigned lines;  /* drawn last time */
    unsigned drawn;  /* so far this time */
};

void table_begin(struct table_screen *s);
void table_line(struct table_screen *s, const char *format, ...) PRINTF_LIKE(2, 3); /* cut at the terminal's width */
void table_end(struct table_screen *s);

const char *table_number(char out[32], uint64_t n); /* "1,234,567" */
void table_json_string(const char *text);           /* quoted, to stdout */

#endif
