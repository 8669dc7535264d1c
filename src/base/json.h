/* SPDX-License-Identifier: Apache-2.0
 *
 * A strict, zero-copy JSON reader (RFC 8259) over contiguous bytes, and the few helpers to write JSON.
 *
 * The reader is a cursor. It walks values in order and can skip any value whole: strings are skipped 16 or 32 bytes at a time
 * with vectors. Skipping still checks everything: syntax, UTF-8, control characters, escapes, depth; so a document that was
 * walked to its end by any mixture of reads and skips is valid JSON. Strings stay escaped (a span between the quotes) until
 * json_unescape is asked. Duplicate keys are reported by json_next_key's caller where they matter, not here.
 * Errors stick: after the first, every call returns it and the cursor stays at the offending byte. A caller that reads a value
 * where none is due, or asks for the next key before it has read the last value, gets ERR_JSON too, and no endless loop.
 */
#ifndef ENTENTE_BASE_JSON_H
#define ENTENTE_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

enum json_type { JSON_NOTHING, JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    const char *start, *at, *end;
    enum err error;          /* ERR_OK, ERR_JSON, ERR_UTF8, ERR_DEPTH */
    const char *error_what;  /* "expected a colon", for messages */
    unsigned depth;
    enum { JSON_WANT_VALUE, JSON_WANT_FIRST, JSON_WANT_MORE, JSON_WANT_NOTHING } want; /* what may come next: a value; the first
                               key or item, or the closing bracket; a comma or the closing bracket; after an error nothing */
};

struct json_string {
    struct span raw;  /* between the quotes, still escaped */
    bool has_escapes;
};

void json_init(struct json *j, struct span text);
/* Goes on inside the outermost object of text, at the value that follows after at bytes. Those bytes were read before, by a
 * cursor over the same bytes that stood at that value. */
void json_init_at(struct json *j, struct span text, size_t at);
size_t json_offset(const struct json *j); /* bytes read so far; at an error, where it is */

/* Looks at the next value without consuming it. JSON_NOTHING at an error or at the end. */
enum json_type json_peek(struct json *j);

/* Objects: json_enter_object, then while json_next_key gives true read or skip exactly one value. False at the closing
 * brace (consumed) or at an error. Arrays likewise with json_next_item. */
enum err json_enter_object(struct json *j) MUST_CHECK;
bool json_next_key(struct json *j, struct json_string *ret_key);
enum err json_enter_array(struct json *j) MUST_CHECK;
bool json_next_item(struct json *j);

/* One value, consumed. Wrong type: ERR_JSON with error_what. */
enum err json_read_string(struct json *j, struct json_string *ret) MUST_CHECK;
enum err json_read_bool(struct json *j, bool *ret) MUST_CHECK;
enum err json_read_null(struct json *j) MUST_CHECK;
enum err json_read_number(struct json *j, struct span *ret_text) MUST_CHECK;
enum err json_read_i64(struct json *j, int64_t *ret) MUST_CHECK;    /* exact integers only; 1.0 and 1e3 are integers too */
enum err json_read_double(struct json *j, double *ret) MUST_CHECK;  /* finite, under 512 characters; never for money */
enum err json_skip(struct json *j, struct span *ret_value) MUST_CHECK; /* any value; ret_value may be NULL, else its bytes */
enum err json_finish(struct json *j) MUST_CHECK;                    /* only white space may follow */
enum err json_check(struct span text) MUST_CHECK;                   /* is it one whole valid document? */

bool json_escaped_is(struct span raw, struct span text);      /* does raw, unescaped, say text? */
static inline bool json_key_is(struct json_string key, struct span name) /* compares unescaped; fast when nothing is escaped */
{
    return key.has_escapes ? json_escaped_is(key.raw, name) : span_eq(key.raw, name);
}
struct span json_unescape(struct arena *a, struct json_string s); /* the text; lone surrogates become U+FFFD; may borrow s.raw */
enum err json_unescape_to(struct buf *b, struct json_string s) MUST_CHECK;

/* Convenience for small, trusted-size documents (config answers, error bodies): finds a path such as "error.message" of object
 * keys. Returns the value's bytes, or SPAN_NONE. Scans from the start each time. */
struct span json_find(struct span document, const char *path);
bool json_find_string(struct arena *a, struct span document, const char *path, struct span *ret);
bool json_find_i64(struct span document, const char *path, int64_t *ret);

/* Writing: a string in quotes, escaped so that it is safe in a one-line log, too. */
enum err json_write_string(struct buf *b, struct span text) MUST_CHECK;

#endif
