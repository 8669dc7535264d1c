/* SPDX-License-Identifier: Apache-2.0
 *
 * Server-sent events. An event is found in two passes over bytes that are in cache: find_end looks for the blank line with vectors
 * and carries its state over cuts, so that no byte is searched twice however the stream trickles in; then read_fields splits the
 * whole event into lines.
 *
 * The complication is CR: alone it ends a line, before LF it is half of an end, and a piece may stop between the two.
 */
#include "http/sse.h"

#include "base/check.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum sse_at {
    AT_START,    /* of a line; nothing before it matters */
    AT_LINE,     /* inside a line that has at least one byte */
    AT_AFTER_LF, /* of a line, and the line before it ended in LF or CRLF */
    AT_AFTER_CR, /* a CR ended a line at the end of the piece; an LF now is its second half */
    AT_BLANK_CR, /* as before, but the line was blank and came after an LF: the LF surely follows, so the event waits for it */
};

static bool is_line_end(char c) { return c == '\n' || c == '\r'; }

#if defined(__SSE2__)
static __m128i load(const char *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }

/* May a line end within the 64 bytes at p? No byte is then below or equal to CR, the higher of the two. */
static bool may_end_line(const char *p)
{
    const __m128i cr = _mm_set1_epi8('\r');
    __m128i least = _mm_min_epu8(_mm_min_epu8(load(p), load(p + 16)), _mm_min_epu8(load(p + 32), load(p + 48)));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(least, cr), least)) != 0;
}
#endif

/* Index of the first CR or LF at or after `at`, or n. */
static inline size_t next_line_end(const char *p, size_t at, size_t n)
{
#if defined(__SSE2__)
    while (at + 64 <= n && !may_end_line(p + at))
        at += 64;
    const __m128i lf = _mm_set1_epi8('\n'), cr = _mm_set1_epi8('\r');
    for (; at + 16 <= n; at += 16) {
        __m128i bytes = load(p + at);
        int hits = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(bytes, lf), _mm_cmpeq_epi8(bytes, cr)));
        if (hits)
            return at + (size_t)__builtin_ctz((unsigned)hits);
    }
#endif
    while (at < n && !is_line_end(p[at]))
        at++;
    return at;
}

/* Looks for the end of an event. True: *ret_end is past its blank line (0 when the piece before already held all of it). */
static bool find_end(struct sse *s, const char *p, size_t n, size_t *ret_end)
{
    size_t i = 0;
    if (n == 0)
        return false;
    if (s->at == AT_BLANK_CR) {
        *ret_end = p[0] == '\n';
        return true;
    }
    if (s->at == AT_AFTER_CR) {
        i = p[0] == '\n';
        s->at = i ? AT_AFTER_LF : AT_START;
    }
    for (;;) {
        size_t k = next_line_end(p, i, n);
        bool blank = k == i && s->at != AT_LINE;
        if (k == n) {
            s->at = blank ? s->at : AT_LINE;
            return false;
        }
        if (p[k] == '\r' && k + 1 == n) {
            if (blank && s->at != AT_AFTER_LF) {
                s->skip_lf = true;
                *ret_end = n;
                return true;
            }
            s->at = blank ? AT_BLANK_CR : AT_AFTER_CR;
            return false;
        }
        bool crlf = p[k] == '\r' && p[k + 1] == '\n';
        i = k + 1 + crlf;
        if (blank) {
            *ret_end = i;
            return true;
        }
        s->at = p[i - 1] == '\n' ? AT_AFTER_LF : AT_START;
    }
}

/* Is this line the field `name`? Its value then, without the one space that may follow the colon. */
static bool field_value(struct span line, struct span name, struct span *ret)
{
    if (!span_starts(line, name) || (line.n > name.n && line.p[name.n] != ':'))
        return false;
    struct span value = span_from(line, name.n + 1);
    *ret = value.n && value.p[0] == ' ' ? span_from(value, 1) : value;
    return true;
}

static enum err join_line(struct sse *s, struct span first, struct span value)
{
    enum err e = buf_bytes(&s->joined) ? ERR_OK : buf_append(&s->joined, first);
    if (e == ERR_OK)
        e = buf_append(&s->joined, SPAN("\n"));
    return e == ERR_OK ? buf_append(&s->joined, value) : e;
}

static enum err read_fields(struct sse *s, struct span raw, struct sse_event *ret)
{
    struct sse_event event = {.raw = raw};
    for (size_t at = 0; at < raw.n;) {
        size_t end = next_line_end(raw.p, at, raw.n);
        struct span line = span_of(raw.p + at, end - at), value;
        if (field_value(line, SPAN("data"), &value)) {
            enum err e = event.has_data ? join_line(s, event.data, value) : ERR_OK;
            if (e != ERR_OK)
                return e;
            event.data = event.has_data ? buf_span(&s->joined) : value;
            event.has_data = true;
        } else if (field_value(line, SPAN("event"), &value)) {
            event.name = value;
        }
        at = end + 1; /* the LF of a CRLF is then a blank line, which has no field */
    }
    *ret = event;
    return ERR_OK;
}

static enum err keep_rest(struct sse *s)
{
    enum err e = buf_append(&s->partial, s->rest);
    if (e == ERR_OK)
        s->rest = SPAN_NONE;
    return e == ERR_OK ? ERR_AGAIN : e;
}

/* Skips the mark, of which up to two bytes may already wait in partial. AGAIN: it may still be coming. */
static enum err skip_byte_order_mark(struct sse *s)
{
    static const char mark[3] = {'\xef', '\xbb', '\xbf'};
    size_t held = buf_bytes(&s->partial), more = s->rest.n < 3 - held ? s->rest.n : 3 - held;
    if (memcmp(mark + held, s->rest.n ? s->rest.p : "", more) != 0) {
        s->started = true;
        s->at = held ? AT_LINE : AT_START;
        return ERR_OK;
    }
    if (held + more < 3)
        return keep_rest(s);
    buf_consume(&s->partial, held);
    s->rest = span_from(s->rest, more);
    s->started = true;
    return ERR_OK;
}

/* The event that was shown is over: its memory goes back at once, because thousands of streams wait between two events. */
static void drop_shown(struct sse *s)
{
    if (s->shown)
        buf_fini(&s->partial);
    s->shown = false;
    if (s->joined.p)
        buf_fini(&s->joined);
}

static enum err show(struct sse *s, size_t end, struct sse_event *ret)
{
    struct span raw = span_to(s->rest, end);
    if (buf_bytes(&s->partial)) {
        enum err e = buf_append(&s->partial, raw);
        if (e != ERR_OK)
            return e;
        raw = buf_span(&s->partial);
        s->shown = true;
    }
    if (raw.n > s->partial.max)
        return ERR_TOO_LARGE;
    s->rest = span_from(s->rest, end);
    s->at = AT_START;
    return read_fields(s, raw, ret);
}

void sse_init(struct sse *s, size_t event_max)
{
    *s = (struct sse){.at = AT_START};
    buf_init(&s->partial, event_max);
    buf_init(&s->joined, event_max);
}

void sse_fini(struct sse *s)
{
    buf_fini(&s->partial);
    buf_fini(&s->joined);
    s->rest = SPAN_NONE;
    s->shown = false;
}

void sse_feed(struct sse *s, struct span piece)
{
    CHECK(s->rest.n == 0);
    if (s->skip_lf && piece.n) {
        piece = span_from(piece, piece.p[0] == '\n');
        s->skip_lf = false;
    }
    s->rest = piece;
}

/* The usual event: one line of data, whole, its ends LFs. Whatever is otherwise is left to find_end and read_fields. */
static bool show_usual(struct sse *s, struct sse_event *ret)
{
    struct span rest = s->rest;
    if (s->at != AT_START || buf_bytes(&s->partial) || !span_starts(rest, SPAN("data:")))
        return false;
    size_t from = 5 + (rest.n > 5 && rest.p[5] == ' '), end = next_line_end(rest.p, from, rest.n), raw = end + 2;
    if (raw > rest.n || raw > s->partial.max || rest.p[end] != '\n' || rest.p[end + 1] != '\n')
        return false;
    *ret = (struct sse_event){.raw = span_of(rest.p, raw), .data = span_of(rest.p + from, end - from), .has_data = true};
    s->rest = span_from(rest, raw);
    return true;
}

enum err sse_next(struct sse *s, struct sse_event *ret)
{
    drop_shown(s);
    if (s->rest.n == 0)
        return ERR_AGAIN;
    if (UNLIKELY(!s->started)) {
        enum err e = skip_byte_order_mark(s);
        if (e != ERR_OK)
            return e;
    }
    if (LIKELY(show_usual(s, ret)))
        return ERR_OK;
    size_t end;
    unsigned char at = s->at;
    enum err e = find_end(s, s->rest.p, s->rest.n, &end) ? show(s, end, ret) : keep_rest(s);
    if (UNLIKELY(e == ERR_TOO_LARGE || e == ERR_NO_MEMORY)) {
        s->at = at; /* so that the same question gives the same answer */
        s->shown = false;
    }
    return e;
}

enum err sse_end(struct sse *s, struct sse_event *ret)
{
    drop_shown(s);
    if (buf_bytes(&s->partial) == 0)
        return ERR_AGAIN;
    bool whole = s->at == AT_BLANK_CR;
    s->at = AT_START;
    s->shown = true;
    enum err e = read_fields(s, buf_span(&s->partial), ret);
    if (e == ERR_OK)
        ret->is_tail = !whole;
    return e;
}

bool sse_is_between_events(const struct sse *s) { return s->rest.n == 0 && (s->shown || buf_bytes(&s->partial) == 0); }
