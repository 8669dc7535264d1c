/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON reader (RFC 8259) and the few writers. Every public function begins with a gate that looks at what may come next
 * (j->want; after an error nothing may); skipping a container runs the same primitives in a loop with one bit per level.
 * Where a document is written without white space and its strings are short, a quick form of a primitive reads it; whatever
 * is not as expected is left, untouched, to the form that knows all the rules.
 *
 *   WANT_VALUE --read, skip--> WANT_MORE --next_key, next_item--> WANT_VALUE
 *       |                          ^  ^                             ^
 *       | enter                    |  | at the closing bracket      | unless at the closing bracket
 *       +--------> WANT_FIRST -----+--+-----------------------------+
 */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>

#include "base/json_scan.h"
#include "base/limits.h"

#define SLOW_PATH __attribute__((noinline)) static /* kept out of the way of the quick form, which then needs no stack */

/* reading */

void json_init(struct json *j, struct span text)
{
    static const char nothing[1];
    const char *start = text.p ? text.p : nothing;
    *j = (struct json){.start = start, .at = start, .end = start + text.n};
}

void json_init_at(struct json *j, struct span text, size_t at)
{
    CHECK(at > 0 && at <= text.n);
    *j = (struct json){.start = text.p, .at = text.p + at, .end = text.p + text.n, .depth = 1, .want = JSON_WANT_VALUE};
}

size_t json_offset(const struct json *j)
{
    return (size_t)(j->at - j->start);
}

SLOW_PATH enum err fail_as(struct json *j, enum err e, const char *at, const char *what)
{
    j->at = at;
    j->error = e;
    j->error_what = what;
    j->want = JSON_WANT_NOTHING;
    return e;
}

SLOW_PATH enum err fail(struct json *j, const char *at, const char *what)
{
    return fail_as(j, ERR_JSON, at, what);
}

static inline bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline const char *skip_space(const char *p, const char *end)
{
    while (p < end && UNLIKELY(is_space(*p)))
        p++;
    return p;
}

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

/* The gate of every value: true when one may begin here, with j->at on its first byte. */
static inline bool value_begins(struct json *j)
{
    if (UNLIKELY(j->want != JSON_WANT_VALUE)) {
        if (!j->error)
            fail(j, j->at, "a value was read where none may stand");
        return false;
    }
    j->at = skip_space(j->at, j->end);
    if (UNLIKELY(j->at == j->end))
        return fail(j, j->at, "the document ends where a value is due"), false;
    return true;
}

static inline bool value_begins_with(struct json *j, char first, const char *what)
{
    if (!value_begins(j))
        return false;
    return LIKELY(*j->at == first) || (fail(j, j->at, what), false);
}

static inline enum json_type type_of(char first)
{
    static const unsigned char types[256] = {
        ['{'] = JSON_OBJECT, ['['] = JSON_ARRAY, ['"'] = JSON_STRING, ['t'] = JSON_BOOL, ['f'] = JSON_BOOL, ['n'] = JSON_NULL,
        ['-'] = JSON_NUMBER, ['0' ... '9'] = JSON_NUMBER,
    };
    return (enum json_type)types[(unsigned char)first];
}

enum json_type json_peek(struct json *j)
{
    if (j->want != JSON_WANT_VALUE)
        return JSON_NOTHING;
    const char *p = skip_space(j->at, j->end);
    return p < j->end ? type_of(*p) : JSON_NOTHING;
}

/* strings */

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* The value of four hex digits at p, or -1. */
static int hex4(const char *p, const char *end)
{
    if (end - p < 4)
        return -1;
    int a = hex_digit(p[0]), b = hex_digit(p[1]), c = hex_digit(p[2]), d = hex_digit(p[3]);
    return (a | b | c | d) < 0 ? -1 : a << 12 | b << 8 | c << 4 | d;
}

/* The length of the escape whose backslash is at p; 0 when there is no such escape. */
static unsigned escape_bytes(const char *p, const char *end)
{
    if (end - p < 2)
        return 0;
    switch (p[1]) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't': return 2;
    case 'u': return hex4(p + 2, end) >= 0 ? 6 : 0;
    default: return 0;
    }
}

/* Past the escapes at p, which is on a backslash; NULL after failing. */
static const char *pass_escapes(struct json *j, const char *p)
{
    do {
        unsigned n = escape_bytes(p, j->end);
        if (n == 0)
            return fail(j, p, "this escape does not exist"), NULL;
        p += n;
    } while (p < j->end && *p == '\\'); /* text of other scripts often comes as nothing but \u escapes */
    return p;
}

/* Why the scan of a string stopped at p, which is not on the closing quote: past it when it may stand there, else NULL. */
static const char *pass_odd_byte(struct json *j, const char *p, bool *has_escapes)
{
    if (p == j->end)
        return fail(j, p, "the document ends inside a string"), NULL;
    if (*p == '\\') {
        *has_escapes = true;
        return pass_escapes(j, p);
    }
    if ((signed char)*p < 0)
        return fail_as(j, ERR_UTF8, p, "these bytes are not UTF-8"), NULL;
    return fail(j, p, "a control character must be escaped inside a string"), NULL;
}

/* To the closing quote from p, over the part of the string that is not short and plain; NULL after failing. */
static const char *string_end(struct json *j, const char *begin, const char *p, bool *has_escapes)
{
    for (;;) {
        p = json_scan_string(begin, p, j->end, has_escapes);
        if (p < j->end && *p == '"')
            return p;
        p = pass_odd_byte(j, p, has_escapes);
        if (!p)
            return NULL;
    }
}

/* The rest of a string from p on: of one that is long, has other than plain characters or stands at the end of the document. */
SLOW_PATH enum err read_string_from(struct json *j, const char *p, struct json_string *ret)
{
    const char *begin = j->at + 1;
    bool has_escapes = false;
    p = string_end(j, begin, p, &has_escapes);
    if (!p)
        return j->error;
    if (ret)
        *ret = (struct json_string){{begin, (size_t)(p - begin)}, has_escapes};
    j->at = p + 1;
    j->want = JSON_WANT_MORE;
    return ERR_OK;
}

#define SHORT_BYTES 64 /* of a string that is scanned in place: longer ones are worth a call */

/* To the first byte that is not plain, or nearly SHORT_BYTES on, or nowhere near the end of the document. */
static inline const char *scan_short(const char *p, const char *end)
{
#if JSON_SCAN_HAS_16
    for (const char *far = p + SHORT_BYTES; end - p >= 16 && p != far; p += 16) {
        unsigned n = json_scan_16(p);
        if (LIKELY(n < 16))
            return p + n;
    }
#endif
    return p;
}

/* j->at is on the opening quote; ret may be NULL. Most strings are short and plain; only the others pay for calls. */
static inline enum err read_string(struct json *j, struct json_string *ret)
{
    const char *begin = j->at + 1, *p = scan_short(begin, j->end);
    if (UNLIKELY(p == j->end || *p != '"'))
        return read_string_from(j, p, ret);
    if (ret)
        *ret = (struct json_string){{begin, (size_t)(p - begin)}, false};
    j->at = p + 1;
    j->want = JSON_WANT_MORE;
    return ERR_OK;
}

enum err json_read_string(struct json *j, struct json_string *ret)
{
    return value_begins_with(j, '"', "expected a string") ? read_string(j, ret) : j->error;
}

/* literals and numbers */

SLOW_PATH enum err wrong_literal(struct json *j, const char *literal)
{
    const char *p = j->at;
    while (p < j->end && *p == *literal)
        p++, literal++;
    return fail(j, p, "expected true, false or null");
}

static inline enum err read_literal(struct json *j, struct span literal)
{
    if (UNLIKELY((size_t)(j->end - j->at) < literal.n || memcmp(j->at, literal.p, literal.n) != 0))
        return wrong_literal(j, literal.p);
    j->at += literal.n;
    j->want = JSON_WANT_MORE;
    return ERR_OK;
}

static inline enum err read_bool(struct json *j)
{
    return *j->at == 't' ? read_literal(j, SPAN("true")) : read_literal(j, SPAN("false"));
}

enum err json_read_bool(struct json *j, bool *ret)
{
    if (!value_begins(j))
        return j->error;
    char first = *j->at;
    if (first != 't' && first != 'f')
        return fail(j, j->at, "expected true or false");
    enum err e = read_bool(j);
    if (!e)
        *ret = first == 't';
    return e;
}

enum err json_read_null(struct json *j)
{
    return value_begins_with(j, 'n', "expected null") ? read_literal(j, SPAN("null")) : j->error;
}

static inline const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p))
        p++;
    return p;
}

/* j->at is on a minus or a digit. */
static inline enum err read_number(struct json *j)
{
    const char *end = j->end, *p = j->at + (*j->at == '-'), *q;
    q = p < end && *p == '0' ? p + 1 : skip_digits(p, end);
    if (q == p)
        return fail(j, q, "a minus needs a digit after it");
    if (q < end && *q == '.') {
        p = q + 1;
        q = skip_digits(p, end);
        if (q == p)
            return fail(j, q, "a decimal point needs a digit after it");
    }
    if (q < end && (*q | 0x20) == 'e') {
        p = q + 1;
        p += p < end && (*p == '+' || *p == '-');
        q = skip_digits(p, end);
        if (q == p)
            return fail(j, q, "an exponent needs a digit");
    }
    j->at = q;
    j->want = JSON_WANT_MORE;
    return ERR_OK;
}

enum err json_read_number(struct json *j, struct span *ret_text)
{
    if (!value_begins(j))
        return j->error;
    if (type_of(*j->at) != JSON_NUMBER)
        return fail(j, j->at, "expected a number");
    const char *begin = j->at;
    enum err e = read_number(j);
    if (!e)
        *ret_text = span_of(begin, (size_t)(j->at - begin));
    return e;
}

/* A number taken apart: digits (point removed by whoever walks them) times 10 to the exponent. */
struct decimal {
    bool is_negative;
    struct span whole, fraction;
    int64_t exponent;
};

/* An exponent beyond this cannot meet as many digits as would bring the value back into 64 bits. */
#define EXPONENT_MAX ((int64_t)1 << 60)

static int64_t decimal_exponent(struct span text)
{
    bool is_negative = text.n && text.p[0] == '-';
    int64_t value = 0;
    for (size_t i = text.n && !is_digit(text.p[0]); i < text.n; i++)
        value = value >= EXPONENT_MAX / 10 ? EXPONENT_MAX : value * 10 + (text.p[i] - '0');
    return is_negative ? -value : value;
}

/* The text follows the grammar already. */
static struct decimal decimal_of(struct span text)
{
    struct decimal d = {.is_negative = text.p[0] == '-', .whole = span_from(text, text.p[0] == '-')};
    const char *end = text.p + text.n, *point = skip_digits(d.whole.p, end);
    const char *exponent = point < end && *point == '.' ? skip_digits(point + 1, end) : point;
    d.whole.n = (size_t)(point - d.whole.p);
    if (exponent > point)
        d.fraction = span_of(point + 1, (size_t)(exponent - point - 1));
    if (exponent < end)
        d.exponent = decimal_exponent(span_of(exponent + 1, (size_t)(end - exponent - 1)));
    return d;
}

/* Negative numbers have one more value than positive ones, so the sum is built downwards. */
static bool push_digit(int64_t *negative, unsigned digit)
{
    return !__builtin_mul_overflow(*negative, 10, negative) && !__builtin_sub_overflow(*negative, (int64_t)digit, negative);
}

static unsigned decimal_digit(const struct decimal *d, size_t i)
{
    return (unsigned)(i < d->whole.n ? d->whole.p[i] - '0' : d->fraction.p[i - d->whole.n] - '0');
}

/* Exactly, or false: when a digit behind the point is not zero, or the value needs more than 64 bits. */
static bool decimal_to_i64(const struct decimal *d, int64_t *ret)
{
    int64_t negative = 0, digits = (int64_t)(d->whole.n + d->fraction.n), point = (int64_t)d->whole.n + d->exponent;
    for (int64_t i = 0; i < digits; i++) {
        unsigned digit = decimal_digit(d, (size_t)i);
        if (i >= point ? digit != 0 : !push_digit(&negative, digit))
            return false;
    }
    for (int64_t i = digits; i < point && negative != 0; i++)
        if (!push_digit(&negative, 0))
            return false;
    return d->is_negative ? (*ret = negative, true) : !__builtin_sub_overflow((int64_t)0, negative, ret);
}

enum err json_read_i64(struct json *j, int64_t *ret)
{
    struct span text;
    enum err e = json_read_number(j, &text);
    if (e)
        return e;
    struct decimal d = decimal_of(text);
    int64_t value;
    if (!decimal_to_i64(&d, &value))
        return fail(j, text.p, "expected a whole number of 64 bits");
    *ret = value;
    return ERR_OK;
}

/* strtod reads a point because the program never leaves the C locale. It wants a NUL, hence the copy. */
enum err json_read_double(struct json *j, double *ret)
{
    char copy[512];
    struct span text;
    enum err e = json_read_number(j, &text);
    if (e)
        return e;
    if (text.n >= sizeof copy)
        return fail(j, text.p, "the number has too many digits");
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    double value = strtod(copy, NULL);
    if (!isfinite(value))
        return fail(j, text.p, "the number is too large");
    *ret = value;
    return ERR_OK;
}

/* containers */

/* j->at is on the opening bracket. */
static inline enum err open_container(struct json *j)
{
    if (UNLIKELY(j->depth >= LIMIT_JSON_DEPTH))
        return fail_as(j, ERR_DEPTH, j->at, "nested deeper than the limit");
    j->depth++;
    j->at++;
    j->want = JSON_WANT_FIRST;
    return ERR_OK;
}

enum err json_enter_object(struct json *j)
{
    return value_begins_with(j, '{', "expected an object") ? open_container(j) : j->error;
}

enum err json_enter_array(struct json *j)
{
    return value_begins_with(j, '[', "expected an array") ? open_container(j) : j->error;
}

static bool close_container(struct json *j)
{
    if (j->want == JSON_WANT_VALUE || j->depth == 0)
        return fail(j, j->at, "a value is due before this bracket"), false;
    j->depth--;
    j->at++;
    j->want = JSON_WANT_MORE;
    return false;
}

/* To the first byte of the next key or item, over the comma: true. At the closing bracket, or after failing: false. */
static inline bool next_member(struct json *j, char closing)
{
    if (UNLIKELY(j->error != ERR_OK))
        return false;
    const char *p = j->at = skip_space(j->at, j->end);
    if (UNLIKELY(p == j->end))
        return fail(j, p, "the document ends inside an object or array"), false;
    if (*p == closing)
        return close_container(j);
    if (j->want == JSON_WANT_MORE && *p == ',')
        j->at = skip_space(p + 1, j->end);
    else if (UNLIKELY(j->want != JSON_WANT_FIRST))
        return fail(j, p, "expected a comma or the closing bracket"), false;
    return true;
}

static inline bool next_item(struct json *j)
{
    if (!next_member(j, ']'))
        return false;
    j->want = JSON_WANT_VALUE;
    return true;
}

#define QUICK_KEY_BYTES (sizeof ", \"\": 1" - 1 + 16) /* what is looked at: 16 bytes of key and what stands around it */

/* The usual key: up to 32 plain characters; no white space, or one blank after comma and colon; not at the document's end. */
static inline bool next_key_quick(struct json *j, struct json_string *ret_key)
{
#if JSON_SCAN_HAS_16
    const char *p = j->at;
    ptrdiff_t left = j->end - p;
    if (UNLIKELY(left < (ptrdiff_t)QUICK_KEY_BYTES))
        return false;
    if (LIKELY(j->want == JSON_WANT_MORE && *p == ',')) {
        p++;
        p += *p == ' ';
    } else if (j->want != JSON_WANT_FIRST) {
        return false;
    }
    if (*p++ != '"')
        return false;
    unsigned n = json_scan_16(p);
    if (n == 16 && left >= (ptrdiff_t)QUICK_KEY_BYTES + 16)
        n += json_scan_16(p + 16);
    if (UNLIKELY(p[n] != '"' || p[n + 1] != ':'))
        return false;
    *ret_key = (struct json_string){{p, n}, false};
    p += n + 2;
    p += *p == ' ';
    if (UNLIKELY(is_space(*p)))
        return false;
    j->at = p;
    j->want = JSON_WANT_VALUE;
    return true;
#else
    return false;
#endif
}

SLOW_PATH bool next_key_anyhow(struct json *j, struct json_string *ret_key)
{
    struct json_string key;
    if (!next_member(j, '}'))
        return false;
    if (UNLIKELY(j->at == j->end || *j->at != '"'))
        return fail(j, j->at, "expected a key in quotes"), false;
    if (read_string(j, &key))
        return false;
    j->at = skip_space(j->at, j->end);
    if (UNLIKELY(j->at == j->end || *j->at != ':'))
        return fail(j, j->at, "expected a colon"), false;
    j->at = skip_space(j->at + 1, j->end);
    j->want = JSON_WANT_VALUE;
    *ret_key = key;
    return true;
}

static inline bool next_key(struct json *j, struct json_string *ret_key)
{
    return next_key_quick(j, ret_key) || next_key_anyhow(j, ret_key);
}

bool json_next_key(struct json *j, struct json_string *ret_key)
{
    return next_key(j, ret_key);
}

bool json_next_item(struct json *j)
{
    return next_item(j);
}

/* Anything but an object or array; j->at is on its first byte. */
static inline enum err skip_scalar(struct json *j)
{
    switch (type_of(*j->at)) {
    case JSON_STRING: return read_string(j, NULL);
    case JSON_NUMBER: return read_number(j);
    case JSON_BOOL: return read_bool(j);
    case JSON_NULL: return read_literal(j, SPAN("null"));
    default: return fail(j, j->at, "expected a value");
    }
}

/* One bit per level tells objects from arrays; no recursion, so that no document can use up the stack. */
struct levels {
    uint64_t is_object[(LIMIT_JSON_DEPTH + 64) / 64];
};

static inline void levels_set(struct levels *l, unsigned depth, bool is_object)
{
    uint64_t bit = (uint64_t)1 << (depth % 64), *word = &l->is_object[depth / 64];
    *word = is_object ? *word | bit : *word & ~bit;
}

static inline bool levels_is_object(const struct levels *l, unsigned depth)
{
    return l->is_object[depth / 64] >> (depth % 64) & 1;
}

SLOW_PATH enum err skip_container(struct json *j)
{
    struct levels levels = {{0}};
    struct json_string key;
    unsigned outside = j->depth;
    bool more = true;
    do {
        if (more && (*j->at == '{' || *j->at == '[')) {
            levels_set(&levels, j->depth + 1, *j->at == '{');
            open_container(j);
        } else if (more) {
            skip_scalar(j);
        }
        if (j->error)
            return j->error;
        more = levels_is_object(&levels, j->depth) ? next_key(j, &key) : next_item(j);
        if (more && j->at == j->end)
            return fail(j, j->at, "the document ends where a value is due");
    } while (j->depth > outside && !j->error);
    return j->error;
}

static inline enum err skip_value(struct json *j)
{
    if (!value_begins(j))
        return j->error;
    return *j->at == '{' || *j->at == '[' ? skip_container(j) : skip_scalar(j);
}

SLOW_PATH enum err skip_and_show(struct json *j, struct span *ret_value)
{
    if (!value_begins(j))
        return j->error;
    const char *begin = j->at;
    enum err e = skip_value(j);
    if (!e)
        *ret_value = span_of(begin, (size_t)(j->at - begin));
    return e;
}

enum err json_skip(struct json *j, struct span *ret_value)
{
    return ret_value ? skip_and_show(j, ret_value) : skip_value(j);
}

enum err json_finish(struct json *j)
{
    if (j->error)
        return j->error;
    if (j->want != JSON_WANT_MORE || j->depth != 0)
        return fail(j, j->at, "the document was not read to its end");
    j->at = skip_space(j->at, j->end);
    return j->at == j->end ? ERR_OK : fail(j, j->at, "something follows the document");
}

enum err json_check(struct span text)
{
    struct json j;
    json_init(&j, text);
    enum err e = json_skip(&j, NULL);
    return e ? e : json_finish(&j);
}

/* unescaping */

#define REPLACEMENT 0xfffdu

static unsigned write_utf8(char out[4], unsigned c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* The character of the \u escape at p, which is at least six bytes long; a pair of surrogates is one of twelve. */
static unsigned unescape_u(const char **p, const char *end)
{
    int high = hex4(*p + 2, end);
    *p += 6;
    if (high < 0xd800 || high > 0xdfff)
        return (unsigned)high;
    int low = high < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' ? hex4(*p + 2, end) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return REPLACEMENT;
    *p += 6;
    return 0x10000u + ((unsigned)(high - 0xd800) << 10) + (unsigned)(low - 0xdc00);
}

/* The text of the escape at *p, moved past it; never longer than the escape. Strings from the reader hold valid escapes
 * only; a backslash that somebody made up becomes a question mark. */
static unsigned unescape_one(const char **p, const char *end, char out[4])
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    unsigned n = escape_bytes(*p, end);
    if (n == 6)
        return write_utf8(out, unescape_u(p, end));
    if (n == 0) {
        *p = *p + 1;
        out[0] = '?';
        return 1;
    }
    out[0] = meanings[strchr(letters, (*p)[1]) - letters];
    *p += 2;
    return 1;
}

/* The bytes from p to the next backslash. */
static struct span unescaped_run(const char *p, const char *end)
{
    const char *stop = p < end ? memchr(p, '\\', (size_t)(end - p)) : NULL;
    return span_of(p, (size_t)((stop ? stop : end) - p));
}

/* out has room for the escaped length. */
static size_t unescape_into(char *out, struct span raw)
{
    const char *p = raw.p, *end = raw.p + raw.n;
    char *to = out;
    while (p < end) {
        struct span run = unescaped_run(p, end);
        memcpy(to, run.p, run.n);
        to += run.n;
        p += run.n;
        if (p < end) {
            char one[4];
            unsigned n = unescape_one(&p, end, one);
            memcpy(to, one, n);
            to += n;
        }
    }
    return (size_t)(to - out);
}

bool json_escaped_is(struct span raw, struct span name)
{
    const char *p = raw.p, *end = p + raw.n;
    while (p < end) {
        char one[4];
        struct span run = unescaped_run(p, end);
        p += run.n;
        if (run.n == 0)
            run = span_of(one, unescape_one(&p, end, one));
        if (!span_starts(name, run))
            return false;
        name = span_from(name, run.n);
    }
    return name.n == 0;
}

struct span json_unescape(struct arena *a, struct json_string s)
{
    if (!s.has_escapes)
        return s.raw;
    char *out = arena_alloc(a, s.raw.n);
    return span_of(out, unescape_into(out, s.raw));
}

enum err json_unescape_to(struct buf *b, struct json_string s)
{
    if (!s.has_escapes || s.raw.n == 0)
        return buf_append(b, s.raw);
    enum err e = buf_reserve(b, s.raw.n);
    if (!e)
        buf_extend(b, unescape_into(buf_tail(b), s.raw));
    return e;
}

/* finding */

/* Moves j to the value of the named key of the object that is next. */
static bool find_key(struct json *j, struct span name)
{
    struct json_string key;
    if (json_peek(j) != JSON_OBJECT || json_enter_object(j))
        return false;
    while (json_next_key(j, &key)) {
        if (json_key_is(key, name))
            return true;
        if (json_skip(j, NULL))
            return false;
    }
    return false;
}

static bool find(struct json *j, struct span document, const char *path)
{
    struct span rest = span_str(path);
    json_init(j, document);
    while (rest.p)
        if (!find_key(j, span_cut(&rest, '.')))
            return false;
    return true;
}

struct span json_find(struct span document, const char *path)
{
    struct json j;
    struct span value;
    return find(&j, document, path) && json_skip(&j, &value) == ERR_OK ? value : SPAN_NONE;
}

bool json_find_string(struct arena *a, struct span document, const char *path, struct span *ret)
{
    struct json j;
    struct json_string string;
    if (!find(&j, document, path) || json_read_string(&j, &string))
        return false;
    *ret = json_unescape(a, string);
    return true;
}

bool json_find_i64(struct span document, const char *path, int64_t *ret)
{
    struct json j;
    return find(&j, document, path) && json_read_i64(&j, ret) == ERR_OK;
}

/* writing */

/* The code point of the valid character of n bytes at p. */
static unsigned code_point(const char *p, unsigned n)
{
    static const unsigned char lead_mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned c = (unsigned char)p[0] & lead_mask[n];
    for (unsigned i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return c;
}

/* Characters that a terminal or a reader of lines obeys: C0 and C1 controls, DEL, the two line separators of Unicode. */
static bool is_obeyed(unsigned c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
}

/* Over characters above ASCII that a reader only shows. */
static const char *harmless_run(const char *p, const char *end)
{
    while (p < end && (signed char)*p < 0) {
        unsigned n = json_utf8_bytes(p, end);
        if (n == 0 || is_obeyed(code_point(p, n)))
            break;
        p += n;
    }
    return p;
}

/* From p over what can be copied as it stands. DEL is plain to a reader of JSON, but not to a terminal. */
static const char *writable_run(const char *p, const char *end)
{
    for (;;) {
        const char *stop = json_scan_plain(p, end), *del = stop > p ? memchr(p, 0x7f, (size_t)(stop - p)) : NULL;
        const char *odd = del ? del : stop;
        p = harmless_run(odd, end);
        if (p == odd)
            return p;
    }
}

static enum err write_escape(struct buf *b, unsigned c)
{
    static const char letters[] = "bfnrt\"\\", meanings[] = "\b\f\n\r\t\"\\";
    const char *found = c < 0x80 && c ? strchr(meanings, (int)c) : NULL;
    if (found)
        return buf_append(b, span_of((char[2]){'\\', letters[found - meanings]}, 2));
    return buf_printf(b, "\\u%04x", c);
}

/* The one character at *p that cannot stand as it is. */
static enum err write_odd(struct buf *b, const char **p, const char *end)
{
    unsigned n = json_utf8_bytes(*p, end), c = n ? code_point(*p, n) : REPLACEMENT;
    *p += n ? n : 1;
    return n ? write_escape(b, c) : buf_append(b, SPAN("\xef\xbf\xbd"));
}

static enum err write_text(struct buf *b, struct span text)
{
    const char *p = text.p, *end = text.n ? p + text.n : p;
    while (p < end) {
        const char *stop = writable_run(p, end);
        enum err e = buf_append(b, span_of(p, (size_t)(stop - p)));
        p = stop;
        if (!e && p < end)
            e = write_odd(b, &p, end);
        if (e)
            return e;
    }
    return ERR_OK;
}

enum err json_write_string(struct buf *b, struct span text)
{
    size_t before = buf_bytes(b);
    enum err e = buf_reserve(b, text.n + 2); /* one growth in the usual case */
    if (!e)
        e = buf_append(b, SPAN("\""));
    if (!e)
        e = write_text(b, text);
    if (!e)
        e = buf_append(b, SPAN("\""));
    if (e)
        b->end = b->at + before; /* half a string would spoil the document */
    return e;
}
