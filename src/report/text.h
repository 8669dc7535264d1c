/* SPDX-License-Identifier: Apache-2.0
 *
 * Pieces that every export writes: texts that cannot break the format around them, tables of comma-separated values (RFC 4180).
 */
#ifndef ENTENTE_REPORT_TEXT_H
#define ENTENTE_REPORT_TEXT_H

#include "base/buf.h"
#include "base/money.h"

/* Text whose control characters, invalid UTF-8, and bytes of `special` are %XX. One line, whatever it was. */
enum err text_put(struct buf *out, struct span text, const char *special) MUST_CHECK;
enum err text_put_ascii(struct buf *out, struct span text, const char *special) MUST_CHECK; /* and whatever is not ASCII */

/* ---- comma-separated values ---- */

struct csv {
    struct buf *out;
    bool begun;      /* a cell stands in this row */
    enum err error;  /* the first; later calls do nothing */
};
/* A text as text_put makes it, so that a row is a line; quoted where it must be. One that a spreadsheet would take for a formula (begins with
 * = + - @), or that begins with an apostrophe, gets an apostrophe in front. */
void csv_text(struct csv *c, struct span text);
void csv_word(struct csv *c, const char *word);  /* a word of our own; NULL: an empty cell */
void csv_number(struct csv *c, int64_t value);
void csv_money(struct csv *c, money amount);     /* as many decimals as it needs */
void csv_end_row(struct csv *c);                 /* CR LF */

#endif
