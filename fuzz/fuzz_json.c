/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON reader under bytes nobody chose. The first byte of the input seeds the choice between reading and skipping at
 * each value; the rest is the document. Whatever the mixture, and with AVX2 or without, the verdict and where it fell are the
 * same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/json.h"
#include "base/json_scan.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct arena arena;
static uint32_t choices;

static bool choose_skip(void)
{
    choices = choices * 1664525u + 1013904223u;
    return choices >> 30 == 0;
}

/* Text out, text in, the same text: in three ways that must agree. */
static void use_string(struct json_string s)
{
    struct buf written;
    struct json j;
    struct json_string again;
    struct span text = json_unescape(&arena, s);
    CHECK(text.n <= s.raw.n && json_key_is(s, text));
    buf_init(&written, 8 * s.raw.n + 2);
    CHECK(json_unescape_to(&written, s) == ERR_OK && span_eq(buf_span(&written), text));
    buf_clear(&written);
    CHECK(json_write_string(&written, text) == ERR_OK);
    json_init(&j, buf_span(&written));
    CHECK(json_read_string(&j, &again) == ERR_OK && json_finish(&j) == ERR_OK);
    CHECK(span_eq(json_unescape(&arena, again), text));
    buf_fini(&written);
}

static void use_number(struct span number)
{
    struct json j;
    int64_t whole;
    double real;
    json_init(&j, number);
    if (json_read_i64(&j, &whole) == ERR_OK)
        CHECK(json_finish(&j) == ERR_OK);
    json_init(&j, number);
    if (json_read_double(&j, &real) == ERR_OK)
        CHECK(json_finish(&j) == ERR_OK);
}

static void walk_value(struct json *j)
{
    struct json_string string;
    struct span text;
    bool truth;
    if (choose_skip()) {
        if (json_skip(j, &text) == ERR_OK)
            CHECK(json_check(text) == ERR_OK);
        return;
    }
    switch (json_peek(j)) {
    case JSON_STRING:
        if (json_read_string(j, &string) == ERR_OK)
            use_string(string);
        break;
    case JSON_NUMBER:
        if (json_read_number(j, &text) == ERR_OK)
            use_number(text);
        break;
    case JSON_BOOL: CHECK(json_read_bool(j, &truth) == j->error); break;
    case JSON_NULL: CHECK(json_read_null(j) == j->error); break;
    case JSON_NOTHING: CHECK(json_skip(j, NULL) != ERR_OK); break;
    case JSON_ARRAY:
        if (json_enter_array(j) == ERR_OK)
            while (json_next_item(j))
                walk_value(j);
        break;
    case JSON_OBJECT:
        if (json_enter_object(j) == ERR_OK)
            while (json_next_key(j, &string)) {
                use_string(string);
                walk_value(j);
            }
        break;
    }
}

static enum err skip_document(struct span document, size_t *ret_offset)
{
    struct json j;
    json_init(&j, document);
    enum err e = json_skip(&j, NULL);
    if (!e)
        e = json_finish(&j);
    *ret_offset = json_offset(&j);
    return e;
}

static void compare_ways(struct span document)
{
    struct json walked;
    size_t with, without;
    bool has_avx2 = json_scan_uses_avx2;
    json_init(&walked, document);
    walk_value(&walked);
    enum err walk_verdict = json_finish(&walked);
    enum err with_verdict = skip_document(document, &with);
    json_scan_uses_avx2 = false;
    enum err without_verdict = skip_document(document, &without);
    json_scan_uses_avx2 = has_avx2;
    CHECK(walk_verdict == with_verdict && walk_verdict == without_verdict && walk_verdict == json_check(document));
    CHECK(json_offset(&walked) == with && with == without);
    CHECK(walked.depth <= LIMIT_JSON_DEPTH);
}

/* Strings that did not come from the reader: no promise about the text, only that nothing is read or written outside. */
static void use_raw_bytes(struct span bytes)
{
    struct buf b;
    struct json_string made_up = {bytes, true};
    struct span text = json_unescape(&arena, made_up);
    CHECK(text.n <= bytes.n && json_key_is(made_up, text));
    buf_init(&b, 8 * bytes.n + 2);
    CHECK(json_write_string(&b, bytes) == ERR_OK && json_check(buf_span(&b)) == ERR_OK);
    buf_fini(&b);
    json_find(bytes, "error.message");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    char *copy = malloc(n > 1 ? n - 1 : 1); /* exactly as long as the document, so that a byte too many is seen */
    CHECK(copy != NULL);
    memcpy(copy, data + 1, n - 1);
    arena_init(&arena, 1024);
    choices = data[0];
    struct span document = span_of(copy, n - 1);
    compare_ways(document);
    use_raw_bytes(document);
    arena_fini(&arena);
    free(copy);
    return 0;
}
