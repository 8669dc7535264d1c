/* SPDX-License-Identifier: Apache-2.0
 *
 * A text costs the same whole and in pieces. The first bytes choose the encoding and the sizes of the pieces.
 */
#include <stdlib.h>

#include "base/check.h"
#include "neutral/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    enum tokenizer_encoding encoding = data[0] & 1 ? TOKENIZER_CL100K : TOKENIZER_O200K;
    size_t step = data[1] % 64 + 1, add = data[2] % 16;
    struct span text = span_of(data + 3, size - 3);
    struct token_counter counter;
    token_counter_init(&counter, encoding);
    for (size_t at = 0; at < text.n;) {
        struct span part = span_to(span_from(text, at), step);
        char *piece = malloc(part.n); /* of its own, so that a read past its end is seen */
        CHECK(piece != NULL);
        memcpy(piece, part.p, part.n);
        token_counter_feed(&counter, span_of(piece, part.n));
        free(piece);
        at += part.n;
        step = step > 4096 ? 1 : step + add;
    }
    CHECK(token_counter_finish(&counter) == tokenizer_count(encoding, text));
    return 0;
}
