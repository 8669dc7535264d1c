/* SPDX-License-Identifier: Apache-2.0
 *
 * Traces of bytes nobody chose: every row that is given is in order and within its bounds, and a refusal always says where.
 */
#include <string.h>

#include "base/check.h"
#include "sim/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char why[TRACE_WHY_BYTES] = "";
    struct trace *t = NULL;
    struct trace_row row;
    uint64_t nth = 0, before = 0;
    FILE *f = n ? fmemopen((void *)(uintptr_t)data, n, "r") : NULL;
    if (!f)
        return 0;
    enum err e = trace_open_stream(f, "input.csv", &t, why);
    while (!e && !(e = trace_next(t, &row, why))) {
        CHECK(row.nth == ++nth && row.at_ns >= before);
        CHECK(row.input_tokens >= 0 && row.output_tokens >= 0);
        before = row.at_ns;
    }
    CHECK(e == ERR_CLOSED || strncmp(why, "input.csv: ", 11) == 0);
    trace_close(t);
    return 0;
}
