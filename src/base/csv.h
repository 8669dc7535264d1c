/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader of comma-separated values (RFC 4180) over contiguous bytes: rows of cells, quotes, doubled quotes, line ends within quotes, CR LF or LF,
 * a byte order mark in front. Cells are spans into the text, or into the arena where quotes had to be taken out. Empty lines are passed over.
 */
#ifndef ENTENTE_BASE_CSV_H
#define ENTENTE_BASE_CSV_H

#include "base/arena.h"

#define CSV_CELLS_MAX 1024u

struct csv_reader {
    const char *at, *end;
    struct arena *arena;
    unsigned next_line;             /* where the reader is, from 1 */
    unsigned line;                  /* where the row begins; after an error, where the error is */
    struct span cells[CSV_CELLS_MAX];
    unsigned n;
    const char *error;              /* what is wrong, as the rest of "line 7: …"; NULL: nothing */
};

void csv_reader_init(struct csv_reader *r, struct span text, struct arena *arena);
/* The next row into cells. False at the end, or at an error, which sticks: a quote that is not closed (line is where it was opened), bytes behind a
 * closing quote, a quote in a cell that does not begin with one, more than CSV_CELLS_MAX cells. */
bool csv_reader_next(struct csv_reader *r);

#endif
