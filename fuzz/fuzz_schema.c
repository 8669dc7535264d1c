/* SPDX-License-Identifier: Apache-2.0
 *
 * Schemas that nobody wrote: the simulated provider takes them from any caller. What is made for one is JSON, and it ends.
 */
#include "base/json.h"
#include "base/limits.h"
#include "sim/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint64_t random = 1;
    struct buf out;
    if (n > 64 * KIB)
        return 0;
    buf_init(&out, 4 * MIB);
    if (sim_schema_fill(span_of(data, n), &random, &out) == ERR_OK)
        CHECK(json_check(buf_span(&out)) == ERR_OK);
    buf_fini(&out);
    return 0;
}
