/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries and holds under bytes nobody chose: what is accepted encodes to the same bytes again, so that no two bodies mean the same, and whatever
 * is accepted can be written as a line of JSON.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/json.h"
#include "ledger/books_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct entry entry; /* too large to be cleared for each input */

static void write_line(const struct entry *e)
{
    struct books b = {.size = 0}; /* no names, no prices */
    struct buf line;
    buf_init(&line, 256u * KIB);
    CHECK(books_write_json(&b, 7, e, &line) == ERR_OK);
    struct span text = buf_span(&line);
    CHECK(span_ends(text, SPAN("\n")) && span_find(text, '\n') == (ptrdiff_t)text.n - 1);
    CHECK(json_check(span_to(text, text.n - 1)) == ERR_OK);
    buf_fini(&line);
}

static void use_entry(struct span body)
{
    struct buf again;
    if (entry_decode(body, &entry) != ERR_OK)
        return;
    buf_init(&again, ENTRY_BODY_BYTES_MAX);
    CHECK(entry_encode(&entry, &again) == ERR_OK && span_eq(buf_span(&again), body));
    buf_fini(&again);
    write_line(&entry);
}

static void use_holds(struct span body)
{
    struct hold h;
    struct buf again;
    struct span rest = body;
    buf_init(&again, HOLD_BYTES);
    while (rest.n && hold_decode(&rest, &h) == ERR_OK) {
        buf_clear(&again);
        CHECK(hold_encode(&h, &again) == ERR_OK && span_eq(buf_span(&again), span_of(rest.p - HOLD_BYTES, HOLD_BYTES)));
    }
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *copy = malloc(n ? n : 1); /* exactly as long, so that a byte too many is seen */
    CHECK(copy != NULL);
    if (n)
        memcpy(copy, data, n);
    use_entry(span_of(copy, n));
    use_holds(span_of(copy, n));
    free(copy);
    return 0;
}
