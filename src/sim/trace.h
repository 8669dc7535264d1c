/* SPDX-License-Identifier: Apache-2.0
 *
 * When requests came and how long they were: rows of a CSV file, read one by one in constant memory, or drawn from a distribution that was
 * fitted to a production trace (trace_fit.h).
 *
 * A file has a line of column names. Known are TIMESTAMP, ContextTokens, GeneratedTokens (Azure's traces) and timestamp, input, output,
 * also as input_tokens, output_tokens, input_length, output_length; in any order, without regard to case, beside other columns.
 * Times are dates ("2023-11-16 18:15:46.6805900", to any fraction of a second, also with T and Z) or seconds since any moment, and never
 * go backwards.
 */
#ifndef ENTENTE_SIM_TRACE_H
#define ENTENTE_SIM_TRACE_H

#include <stdio.h>

#include "base/err.h"
#include "base/span.h"

struct trace;

struct trace_row {
    uint64_t nth;          /* from 1 */
    uint64_t at_ns;        /* since the first row */
    int64_t input_tokens, output_tokens;
};

#define TRACE_WHY_BYTES 320

enum err trace_open(const char *path, struct trace **ret, char why[TRACE_WHY_BYTES]) MUST_CHECK;
enum err trace_open_stream(FILE *file, const char *name, struct trace **ret, char why[TRACE_WHY_BYTES]) MUST_CHECK; /* takes the file, also on failure */
struct trace *trace_fitted(uint64_t seed); /* never ends */
/* OK; CLOSED after the last; SYNTAX with "FILE: row 7 (line 8): ..." for what cannot be read. */
enum err trace_next(struct trace *t, struct trace_row *ret, char why[TRACE_WHY_BYTES]) MUST_CHECK;
void trace_close(struct trace *t); /* accepts NULL */

#endif
