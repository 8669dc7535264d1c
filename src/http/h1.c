/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 message syntax. A head is read in two passes: the first finds its end and refuses every control character on the way,
 * sixteen bytes at a time; the second cuts the lines and judges the framing. The complication is that the verdict may not depend on
 * how the bytes were cut by the network, so whatever is judged before the head is whole is judged in the order of the bytes.
 */
#include "http/h1.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define REQUEST_LINE_BYTES (LIMIT_TARGET_BYTES + 64u) /* method, two spaces, version */
#define FIRST_LINE_JUDGED ((size_t)1 << (sizeof(size_t) * 8 - 1)) /* in *scanned: the request line was found good */

/* ---- character classes ---- */

enum {
    TOKEN = 1,  /* tchar of RFC 9110 5.6.2 */
    PATH = 2,   /* pchar and '/', of RFC 3986 */
    QUERY = 4,  /* the same, '?', and brackets, which every browser sends unescaped */
    HOST = 8,   /* letters, digits, - . _ ~ : what names and addresses are made of */
    HEX = 16,
    DIGIT = 32,
};

#define ALPHA_CLASS (TOKEN | PATH | QUERY | HOST)
#define DIGIT_CLASS (TOKEN | PATH | QUERY | HOST | HEX | DIGIT)

static const uint8_t class_of[256] = {
    ['0'] = DIGIT_CLASS, ['1'] = DIGIT_CLASS, ['2'] = DIGIT_CLASS, ['3'] = DIGIT_CLASS, ['4'] = DIGIT_CLASS,
    ['5'] = DIGIT_CLASS, ['6'] = DIGIT_CLASS, ['7'] = DIGIT_CLASS, ['8'] = DIGIT_CLASS, ['9'] = DIGIT_CLASS,
    ['A'] = ALPHA_CLASS | HEX, ['B'] = ALPHA_CLASS | HEX, ['C'] = ALPHA_CLASS | HEX, ['D'] = ALPHA_CLASS | HEX,
    ['E'] = ALPHA_CLASS | HEX, ['F'] = ALPHA_CLASS | HEX, ['G'] = ALPHA_CLASS, ['H'] = ALPHA_CLASS, ['I'] = ALPHA_CLASS,
    ['J'] = ALPHA_CLASS, ['K'] = ALPHA_CLASS, ['L'] = ALPHA_CLASS, ['M'] = ALPHA_CLASS, ['N'] = ALPHA_CLASS, ['O'] = ALPHA_CLASS,
    ['P'] = ALPHA_CLASS, ['Q'] = ALPHA_CLASS, ['R'] = ALPHA_CLASS, ['S'] = ALPHA_CLASS, ['T'] = ALPHA_CLASS, ['U'] = ALPHA_CLASS,
    ['V'] = ALPHA_CLASS, ['W'] = ALPHA_CLASS, ['X'] = ALPHA_CLASS, ['Y'] = ALPHA_CLASS, ['Z'] = ALPHA_CLASS,
    ['a'] = ALPHA_CLASS | HEX, ['b'] = ALPHA_CLASS | HEX, ['c'] = ALPHA_CLASS | HEX, ['d'] = ALPHA_CLASS | HEX,
    ['e'] = ALPHA_CLASS | HEX, ['f'] = ALPHA_CLASS | HEX, ['g'] = ALPHA_CLASS, ['h'] = ALPHA_CLASS, ['i'] = ALPHA_CLASS,
    ['j'] = ALPHA_CLASS, ['k'] = ALPHA_CLASS, ['l'] = ALPHA_CLASS, ['m'] = ALPHA_CLASS, ['n'] = ALPHA_CLASS, ['o'] = ALPHA_CLASS,
    ['p'] = ALPHA_CLASS, ['q'] = ALPHA_CLASS, ['r'] = ALPHA_CLASS, ['s'] = ALPHA_CLASS, ['t'] = ALPHA_CLASS, ['u'] = ALPHA_CLASS,
    ['v'] = ALPHA_CLASS, ['w'] = ALPHA_CLASS, ['x'] = ALPHA_CLASS, ['y'] = ALPHA_CLASS, ['z'] = ALPHA_CLASS,
    ['-'] = TOKEN | PATH | QUERY | HOST, ['.'] = TOKEN | PATH | QUERY | HOST, ['_'] = TOKEN | PATH | QUERY | HOST,
    ['~'] = TOKEN | PATH | QUERY | HOST,
    ['!'] = TOKEN | PATH | QUERY, ['$'] = TOKEN | PATH | QUERY, ['&'] = TOKEN | PATH | QUERY, ['\''] = TOKEN | PATH | QUERY,
    ['*'] = TOKEN | PATH | QUERY, ['+'] = TOKEN | PATH | QUERY, ['%'] = TOKEN | PATH | QUERY,
    ['#'] = TOKEN, ['^'] = TOKEN, ['`'] = TOKEN, ['|'] = TOKEN,
    ['('] = PATH | QUERY, [')'] = PATH | QUERY, [','] = PATH | QUERY, [';'] = PATH | QUERY, ['='] = PATH | QUERY,
    [':'] = PATH | QUERY, ['@'] = PATH | QUERY, ['/'] = PATH | QUERY,
    ['?'] = QUERY, ['['] = QUERY, [']'] = QUERY,
};

static bool is_in(char c, unsigned classes)
{
    return (class_of[(unsigned char)c] & classes) != 0;
}

static bool all_in(struct span s, unsigned classes)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_in(s.p[i], classes))
            return false;
    return true;
}

bool h1_is_token(struct span s)
{
    return s.n && all_in(s, TOKEN);
}

/* ---- the first pass: where does the head end ---- */

static bool is_control(char c)
{
    return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

/* The first control character other than tab, or end. */
static const char *find_control(const char *p, const char *end)
{
#if defined(__SSE2__)
    const __m128i low = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, low), bytes);
        control = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), control), _mm_cmpeq_epi8(bytes, del));
        int mask = _mm_movemask_epi8(control);
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
#elif defined(__ARM_NEON)
    for (; end - p >= 16; p += 16) {
        uint8x16_t bytes = vld1q_u8((const uint8_t *)p);
        uint8x16_t control = vbicq_u8(vcltq_u8(bytes, vdupq_n_u8(0x20)), vceqq_u8(bytes, vdupq_n_u8('\t')));
        control = vorrq_u8(control, vceqq_u8(bytes, vdupq_n_u8(0x7f)));
        if (vmaxvq_u8(control))
            break;
    }
#endif
    while (p < end && !is_control(*p))
        p++;
    return p;
}

bool h1_is_field_value(struct span s)
{
    const char *end = s.p + s.n;
    return !s.n || find_control(s.p, end) == end;
}

static enum err refuse(enum err e, const char *sentence, const char **why)
{
    *why = sentence;
    return e;
}

static enum err refuse_control(char c, const char **why)
{
    if (c == '\n')
        return refuse(ERR_BAD_REQUEST, "a line ends in LF without CR", why);
    return refuse(ERR_BAD_REQUEST, "a control character in the head", why);
}

/* Moves *at past the next line. OK: it ended. AGAIN: *at stands where to look on. */
static enum err pass_line(struct span text, size_t *at, const char **why)
{
    const char *end = text.p + text.n, *p = find_control(text.p + *at, end);
    *at = (size_t)(p - text.p);
    if (p == end)
        return ERR_AGAIN;
    if (*p != '\r')
        return refuse_control(*p, why);
    if (p + 1 == end)
        return ERR_AGAIN;
    if (p[1] != '\n')
        return refuse(ERR_BAD_REQUEST, "a bare CR in the head", why);
    *at += 2;
    return ERR_OK;
}

/* Moves *at past whole lines, until the empty one that ends the head. */
static enum err pass_lines(struct span text, size_t *at, const char **why)
{
    for (;;) {
        enum err e = pass_line(text, at, why);
        if (e)
            return e;
        if (*at >= 4 && text.p[*at - 3] == '\n' && text.p[*at - 4] == '\r')
            return ERR_OK;
    }
}

/* ---- a host, with or without a port ---- */

static bool is_port(struct span s)
{
    uint64_t port;
    return s.n == 0 || (s.n <= 5 && span_to_u64(s, &port) && port <= 65535);
}

static bool is_bracketed(struct span s) /* "[::1]", loosely: the resolver judges the rest */
{
    if (s.n < 4 || s.p[0] != '[' || s.p[s.n - 1] != ']')
        return false;
    for (size_t i = 1; i + 1 < s.n; i++)
        if (!is_in(s.p[i], HEX) && s.p[i] != ':' && s.p[i] != '.')
            return false;
    return true;
}

/* host [":" port]. Names are letters, digits and - . _ ~ only: what the grammar allows beyond has never been a host. */
static bool cut_host(struct span s, struct span *ret_host, struct span *ret_port)
{
    struct span host = s, port = SPAN_NONE;
    ptrdiff_t after = s.n && s.p[0] == '[' ? span_find(s, ']') : 0;
    if (after < 0)
        return false;
    ptrdiff_t colon = span_find(span_from(s, (size_t)after), ':');
    if (colon >= 0) {
        host = span_to(s, (size_t)(after + colon));
        port = span_from(s, (size_t)(after + colon) + 1);
    }
    if (!host.n || !is_port(port) || (host.p[0] == '[' ? !is_bracketed(host) : !all_in(host, HOST)))
        return false;
    *ret_host = host;
    *ret_port = port;
    return true;
}

static bool is_same_port(struct span a, struct span b, struct span fallback)
{
    return span_eq(a.n ? a : fallback, b.n ? b : fallback);
}

bool h1_is_same_host(struct span a, struct span b, struct span default_port)
{
    struct span a_host, a_port, b_host, b_port;
    return cut_host(a, &a_host, &a_port) && cut_host(b, &b_host, &b_port) && span_eq_nocase(a_host, b_host) &&
           is_same_port(a_port, b_port, default_port);
}

bool h1_is_host(struct span s)
{
    struct span host, port;
    return cut_host(s, &host, &port);
}

/* ---- the request line ---- */

static enum http_method method_of(struct span name)
{
    static const struct { struct span name; enum http_method method; } known[] = {
        {{"POST", 4}, HTTP_POST}, {{"GET", 3}, HTTP_GET},         {{"HEAD", 4}, HTTP_HEAD},   {{"PUT", 3}, HTTP_PUT},
        {{"DELETE", 6}, HTTP_DELETE}, {{"OPTIONS", 7}, HTTP_OPTIONS}, {{"PATCH", 5}, HTTP_PATCH},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (span_eq(known[i].name, name))
            return known[i].method;
    return HTTP_OTHER;
}

enum err h1_read_method(struct span name, struct http_head *h, const char **why)
{
    if (!h1_is_token(name))
        return refuse(ERR_BAD_REQUEST, "the request does not begin with a method", why);
    h->method_name = name;
    h->method = method_of(name);
    return ERR_OK;
}

/* The characters of one part of a target; an escape is two hex digits, and none of them hides a NUL. */
static bool is_target_part(struct span s, unsigned class)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_in(s.p[i], class))
            return false;
        if (s.p[i] != '%')
            continue;
        if (s.n - i < 3 || !is_in(s.p[i + 1], HEX) || !is_in(s.p[i + 2], HEX) || (s.p[i + 1] == '0' && s.p[i + 2] == '0'))
            return false;
        i += 2;
    }
    return true;
}

static enum err read_path(struct span text, struct http_head *h, const char **why)
{
    ptrdiff_t mark = span_find(text, '?');
    h->path = mark < 0 ? text : span_to(text, (size_t)mark);
    h->query = mark < 0 ? span_of(text.p + text.n, 0) : span_from(text, (size_t)mark + 1);
    if (!is_target_part(h->path, PATH) || !is_target_part(h->query, QUERY))
        return refuse(ERR_BAD_REQUEST, "a character in the request target that must be escaped", why);
    if (!h->path.n)
        h->path = h->method == HTTP_OPTIONS && mark < 0 ? SPAN("*") : SPAN("/");
    return ERR_OK;
}

/* http://host/path. Only to a proxy is it usual, yet every server must accept it. */
static enum err read_absolute(struct span target, struct http_head *h, const char **why)
{
    size_t scheme = span_starts_nocase(target, SPAN("http://")) ? 7 : span_starts_nocase(target, SPAN("https://")) ? 8 : 0;
    if (!scheme)
        return refuse(ERR_BAD_REQUEST, "the request target is neither a path nor an http URL", why);
    struct span rest = span_from(target, scheme);
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    h->authority = span_to(rest, n);
    if (!h1_is_host(h->authority))
        return refuse(ERR_BAD_REQUEST, "the host in the request target is not valid", why);
    return read_path(span_from(rest, n), h, why);
}

static enum err read_connect(struct http_head *h, const char **why)
{
    struct span host, port;
    if (!cut_host(h->target, &host, &port) || !port.n)
        return refuse(ERR_BAD_REQUEST, "CONNECT needs host:port", why);
    return refuse(ERR_NOT_IMPLEMENTED, "this is not a proxy: CONNECT is not offered", why);
}

enum err h1_read_target(struct http_head *h, const char **why)
{
    h->path = h->query = h->authority = SPAN_NONE;
    if (h->target.n > LIMIT_TARGET_BYTES)
        return refuse(ERR_URI_TOO_LONG, "the request target is too long", why);
    if (span_eq(h->method_name, SPAN("CONNECT")))
        return read_connect(h, why);
    if (h->target.n && h->target.p[0] == '/')
        return read_path(h->target, h, why);
    if (!span_eq(h->target, SPAN("*")))
        return read_absolute(h->target, h, why);
    if (h->method != HTTP_OPTIONS)
        return refuse(ERR_BAD_REQUEST, "the request target * is for OPTIONS only", why);
    h->path = h->target;
    h->query = span_of(h->target.p + 1, 0);
    return ERR_OK;
}

static enum err read_version(struct span s, struct http_head *h, const char **why)
{
    if (s.n != 8 || !span_starts(s, SPAN("HTTP/")) || !is_in(s.p[5], DIGIT) || s.p[6] != '.' || !is_in(s.p[7], DIGIT))
        return refuse(ERR_BAD_REQUEST, "the line does not carry an HTTP version", why);
    if (s.p[5] != '1')
        return refuse(ERR_BAD_VERSION, "only HTTP/1.0 and HTTP/1.1 are spoken in this form", why);
    h->version = s.p[7] == '0' ? 10 : 11; /* a higher minor version is read as the one we know: RFC 9110 6.2 */
    return ERR_OK;
}

/* method SP target SP version, with exactly these two spaces */
static enum err read_request_line(struct span line, struct http_head *h, const char **why)
{
    struct span rest = line;
    enum err e = h1_read_method(span_cut(&rest, ' '), h, why);
    if (e)
        return e;
    h->target = rest.p ? span_cut(&rest, ' ') : SPAN_NONE;
    if (!rest.p)
        return refuse(ERR_BAD_REQUEST, "the request line has no version", why);
    e = read_version(rest, h, why);
    return e ? e : h1_read_target(h, why);
}

/* ---- header lines ---- */

/* What the header lines say about framing and connection, gathered while they are read. */
struct facts {
    struct span host, coding;
    unsigned hosts, lengths, codings, expects;
    uint64_t length;
    bool close, keep_alive, bad_expect;
};

static enum err read_length(struct span value, struct facts *f, const char **why)
{
    if (f->lengths++)
        return refuse(ERR_BAD_FRAMING, "two Content-Length headers", why);
    if (value.n > 19 || !span_to_u64(value, &f->length) || f->length > INT64_MAX)
        return refuse(ERR_BAD_FRAMING, "Content-Length is not a number", why);
    return ERR_OK;
}

static enum err read_coding(struct span value, struct facts *f, const char **why)
{
    if (f->codings++)
        return refuse(ERR_BAD_FRAMING, "two Transfer-Encoding headers", why);
    f->coding = value;
    return ERR_OK;
}

static void read_connection(struct span value, struct facts *f)
{
    f->close = f->close || http_has_token(value, SPAN("close"));
    f->keep_alive = f->keep_alive || http_has_token(value, SPAN("keep-alive"));
}

static enum err note_header(const struct header *h, struct facts *f, const char **why)
{
    switch (h->name.n) { /* the length alone tells most names apart */
    case 4:
        if (span_eq_nocase(h->name, SPAN("host"))) {
            f->hosts++;
            f->host = h->value;
        }
        return ERR_OK;
    case 6:
        if (span_eq_nocase(h->name, SPAN("expect"))) {
            f->expects++;
            f->bad_expect = f->bad_expect || !span_eq_nocase(h->value, SPAN("100-continue"));
        }
        return ERR_OK;
    case 10:
        if (span_eq_nocase(h->name, SPAN("connection")))
            read_connection(h->value, f);
        return ERR_OK;
    case 14:
        return span_eq_nocase(h->name, SPAN("content-length")) ? read_length(h->value, f, why) : ERR_OK;
    case 17:
        return span_eq_nocase(h->name, SPAN("transfer-encoding")) ? read_coding(h->value, f, why) : ERR_OK;
    default:
        return ERR_OK;
    }
}

/* One line without its CRLF, which the first pass found free of control characters. */
static enum err read_header_line(struct span line, struct header *ret, const char **why)
{
    size_t n = 0;
    while (n < line.n && is_in(line.p[n], TOKEN))
        n++;
    if (line.n && (line.p[0] == ' ' || line.p[0] == '\t'))
        return refuse(ERR_BAD_REQUEST, "a folded header line", why);
    if (!n)
        return refuse(ERR_BAD_REQUEST, "a header line without a name", why);
    if (n == line.n || line.p[n] != ':')
        return refuse(ERR_BAD_REQUEST, "a header name is not followed by a colon", why);
    ret->name = span_to(line, n);
    ret->value = span_trim(span_from(line, n + 1));
    return ERR_OK;
}

/* lines: from the first header line to the end of the final empty line */
static enum err read_header_lines(struct span lines, struct h1_head *ret, struct facts *f, const char **why)
{
    const char *p = lines.p, *end = lines.p + lines.n - 2;
    unsigned n = 0;
    while (p < end) {
        const char *cr = memchr(p, '\r', (size_t)(end - p));
        if (n == LIMIT_HEADERS)
            return refuse(ERR_HEAD_TOO_LARGE, "too many header lines", why);
        enum err e = read_header_line(span_of(p, (size_t)(cr - p)), &ret->header[n], why);
        if (!e)
            e = note_header(&ret->header[n], f, why);
        if (e)
            return e;
        n++;
        p = cr + 2;
    }
    ret->head.headers = ret->header;
    ret->head.headers_n = n;
    return ERR_OK;
}

/* ---- what the head says about the body ---- */

static bool is_known_coding(struct span s)
{
    return span_eq_nocase(s, SPAN("gzip")) || span_eq_nocase(s, SPAN("x-gzip")) || span_eq_nocase(s, SPAN("deflate")) ||
           span_eq_nocase(s, SPAN("compress")) || span_eq_nocase(s, SPAN("x-compress"));
}

/* Only "chunked", alone, is understood. What else is in the list decides between "broken" and "not implemented". */
static enum err judge_coding(struct span list, const char **why)
{
    unsigned chunked = 0, known = 0;
    bool last_is_chunked = false;
    struct span rest = list;
    while (rest.p) {
        struct span one = span_trim(span_cut(&rest, ','));
        if (!h1_is_token(one))
            return refuse(ERR_BAD_FRAMING, "Transfer-Encoding is malformed", why);
        last_is_chunked = span_eq_nocase(one, SPAN("chunked"));
        chunked += last_is_chunked;
        known += is_known_coding(one);
    }
    if (!list.n || chunked > 1 || (chunked && !last_is_chunked))
        return refuse(ERR_BAD_FRAMING, "chunked must be the last transfer coding, once", why);
    if (!chunked && known)
        return refuse(ERR_BAD_FRAMING, "a transfer coding without chunked has no end", why);
    if (!span_eq_nocase(list, SPAN("chunked")))
        return refuse(ERR_NOT_IMPLEMENTED, "only the transfer coding chunked is implemented", why);
    return ERR_OK;
}

static enum err judge_framing(const struct facts *f, struct h1_head *ret, const char **why)
{
    ret->body = f->lengths && f->length ? H1_LENGTH : H1_NO_BODY;
    ret->length = f->length;
    if (!f->codings)
        return ERR_OK;
    if (f->lengths)
        return refuse(ERR_BAD_FRAMING, "both Transfer-Encoding and Content-Length", why);
    if (ret->head.version == 10)
        return refuse(ERR_BAD_FRAMING, "Transfer-Encoding in HTTP/1.0", why);
    ret->body = H1_CHUNKED;
    return judge_coding(f->coding, why);
}

static enum err judge_host(const struct facts *f, struct http_head *h, const char **why)
{
    if (f->hosts > 1)
        return refuse(ERR_BAD_REQUEST, "two Host headers", why);
    if (!f->hosts)
        return h->version == 10 ? ERR_OK : refuse(ERR_BAD_REQUEST, "no Host header", why);
    if (!h1_is_host(f->host))
        return refuse(ERR_BAD_REQUEST, "the Host header is not a valid host", why);
    struct span port = span_starts_nocase(h->target, SPAN("https:")) ? SPAN("443") : SPAN("80");
    if (h->authority.n && !h1_is_same_host(h->authority, f->host, port))
        return refuse(ERR_BAD_REQUEST, "Host and the request target name different hosts", why);
    h->authority = f->host;
    return ERR_OK;
}

static enum err judge_expect(const struct facts *f, struct h1_head *ret, const char **why)
{
    ret->expects_continue = f->expects && ret->head.version >= 11;
    if (ret->expects_continue && f->bad_expect)
        return refuse(ERR_BAD_EXPECT, "only Expect: 100-continue is understood", why);
    return ERR_OK;
}

static void judge_keep_alive(const struct facts *f, struct h1_head *ret)
{
    ret->keep_alive = !f->close && (ret->head.version >= 11 || f->keep_alive);
}

/* ---- requests ---- */

static enum err read_request_headers(struct span lines, struct h1_head *ret, const char **why)
{
    struct facts f = {0};
    enum err e = read_header_lines(lines, ret, &f, why);
    if (!e)
        e = judge_host(&f, &ret->head, why);
    if (!e)
        e = judge_framing(&f, ret, why);
    if (!e)
        e = judge_expect(&f, ret, why);
    judge_keep_alive(&f, ret);
    return e;
}

static struct span first_line(struct span text)
{
    return span_to(text, (size_t)((const char *)memchr(text.p, '\r', text.n) - text.p));
}

/* The request line is judged as soon as it is whole: a client of HTTP/0.9 would wait for ever for us to wait for more. */
static enum err judge_first_line(struct span text, size_t *at, struct h1_head *ret, const char **why)
{
    enum err e = pass_line(span_to(text, REQUEST_LINE_BYTES), at, why);
    if (e == ERR_AGAIN && text.n >= REQUEST_LINE_BYTES)
        return refuse(ERR_URI_TOO_LONG, "the request line is too long", why);
    return e ? e : read_request_line(first_line(text), &ret->head, why);
}

enum err h1_parse_request(struct span text, size_t *scanned, struct h1_head *ret, const char **ret_why)
{
    size_t skip = text.n && text.p[0] == '\r' ? 2 : 0; /* at most one empty line before: RFC 9112 2.2 */
    if (text.n <= skip)
        return ERR_AGAIN;
    if (skip && text.p[1] != '\n')
        return refuse(ERR_BAD_REQUEST, "a bare CR in the head", ret_why);
    text = span_from(text, skip);
    bool judged = (*scanned & FIRST_LINE_JUDGED) != 0;
    size_t at = *scanned & ~FIRST_LINE_JUDGED;
    enum err e = ERR_OK;
    if (!judged)
        e = judge_first_line(text, &at, ret, ret_why);
    *scanned = at | (e ? 0 : FIRST_LINE_JUDGED);
    if (e)
        return e;
    e = pass_lines(span_to(text, LIMIT_HEAD_BYTES), &at, ret_why);
    *scanned = at | FIRST_LINE_JUDGED;
    if (e == ERR_AGAIN && text.n >= LIMIT_HEAD_BYTES)
        return refuse(ERR_HEAD_TOO_LARGE, "the request head is too large", ret_why);
    if (e)
        return e;
    ret->bytes = skip + at;
    struct span line = first_line(text);
    if (judged && (e = read_request_line(line, &ret->head, ret_why)) != ERR_OK) /* the buffer may have moved since */
        return e;
    return read_request_headers(span_from(span_to(text, at), line.n + 2), ret, ret_why);
}

/* ---- responses ---- */

static bool begins_like(struct span text, struct span head)
{
    size_t n = text.n < head.n ? text.n : head.n;
    return memcmp(text.p, head.p, n) == 0;
}

/* HTTP/1.1 200 [reason]. The space before an absent reason is often forgotten, and harmless. */
static enum err read_status_line(struct span line, struct http_head *h, const char **why)
{
    enum err e = read_version(span_to(line, 8), h, why);
    if (e)
        return e;
    struct span code = span_to(span_from(line, 9), 3);
    if (line.n < 12 || line.p[8] != ' ' || !all_in(code, DIGIT) || (line.n > 12 && line.p[12] != ' '))
        return refuse(ERR_BAD_REQUEST, "the status line is malformed", why);
    h->status = (code.p[0] - '0') * 100 + (code.p[1] - '0') * 10 + (code.p[2] - '0');
    if (h->status < 100 || h->status > 599)
        return refuse(ERR_BAD_REQUEST, "the status is not one of HTTP", why);
    h->method = HTTP_OTHER;
    h->method_name = h->target = h->path = h->query = h->authority = SPAN_NONE;
    return ERR_OK;
}

static enum err judge_response(const struct facts *f, bool to_head_request, struct h1_head *ret, const char **why)
{
    int status = ret->head.status;
    enum err e = judge_framing(f, ret, why);
    if (e)
        return e;
    if (to_head_request || status < 200 || status == 204 || status == 304)
        ret->body = H1_NO_BODY;
    else if (!f->lengths && !f->codings)
        ret->body = H1_UNTIL_CLOSE;
    ret->expects_continue = false;
    judge_keep_alive(f, ret);
    ret->keep_alive = ret->keep_alive && ret->body != H1_UNTIL_CLOSE;
    return ERR_OK;
}

enum err h1_parse_response(struct span text, size_t *scanned, bool to_head_request, struct h1_head *ret, const char **ret_why)
{
    if (text.n && !begins_like(text, SPAN("HTTP/")))
        return refuse(ERR_BAD_REQUEST, "this is not an HTTP response", ret_why);
    enum err e = pass_lines(span_to(text, LIMIT_HEAD_BYTES), scanned, ret_why);
    if (e == ERR_AGAIN && text.n >= LIMIT_HEAD_BYTES)
        return refuse(ERR_HEAD_TOO_LARGE, "the response head is too large", ret_why);
    if (e)
        return e;
    struct facts f = {0};
    struct span line = first_line(text);
    ret->bytes = *scanned;
    e = read_status_line(line, &ret->head, ret_why);
    if (!e)
        e = read_header_lines(span_from(span_to(text, *scanned), line.n + 2), ret, &f, ret_why);
    return e ? e : judge_response(&f, to_head_request, ret, ret_why);
}

/* ---- chunks ----
 *
 *   SIZE -> SIZE_MORE -+-> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE ...
 *        extensions ---+       \ (size 0)
 *                               -> TRAILER -> NAME -> VALUE -> VALUE_LF -> TRAILER ... -> END_LF -> DONE
 *
 * The state ends up in one integer between two pieces, so that a body may be cut anywhere. */

enum chunk_state {
    SIZE,        /* the first digit of a size */
    SIZE_MORE,   /* further digits */
    SIZE_SPACE,  /* white space after the size: only an extension may follow */
    EXT_NAME,    /* after ';', before the name */
    EXT_NAMED,   /* inside the name */
    EXT_AFTER,   /* white space after the name */
    EXT_VALUE,   /* after '=', before the value */
    EXT_TOKEN,   /* inside an unquoted value */
    EXT_QUOTED,  /* inside quotes */
    EXT_ESCAPE,  /* after a backslash inside quotes */
    EXT_END,     /* after a value */
    SIZE_LF,     /* the LF of the size line */
    DATA,        /* `left` bytes of data */
    DATA_CR,
    DATA_LF,
    TRAILER,     /* at the start of a trailer line, or at the final CR */
    NAME,        /* inside a trailer's name; `left` holds the hash of what was seen of it */
    VALUE,       /* inside a trailer's value */
    VALUE_LF,
    END_LF,      /* the very last LF */
    DONE,
    BROKEN,
};

void h1_chunks_init(struct h1_chunks *c)
{
    c->state = SIZE;
    c->left = 0;
    c->line_bytes = 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#define NAME_HASH_START 14695981039346656037ull
static uint64_t name_hash(uint64_t hash, char c)
{
    return (hash ^ (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c)) * 1099511628211ull;
}

/* Fields that frame, route or authorise may not come after the body: RFC 9110 6.5.1. A name can be cut over pieces, so hashes are
 * compared; a collision would refuse an innocent trailer, nothing worse. */
static bool is_forbidden_trailer(uint64_t hash)
{
    static const char *const forbidden[] = {
        "transfer-encoding", "content-length", "host", "connection", "trailer", "te", "upgrade", "expect", "keep-alive",
        "proxy-connection", "content-encoding", "content-type", "content-range", "authorization", "proxy-authorization", "cookie",
        "set-cookie", "cache-control", "max-forwards", "range", "age", "date", "expires", "location", "retry-after", "vary",
        "x-api-key", "api-key", "x-goog-api-key", "www-authenticate", "proxy-authenticate", "if-match", "if-none-match",
        "if-modified-since", "if-unmodified-since", "if-range", "x-forwarded-for", "x-forwarded-host", "forwarded",
    };
    for (size_t i = 0; i < COUNT_OF(forbidden); i++) {
        uint64_t h = NAME_HASH_START;
        for (const char *p = forbidden[i]; *p; p++)
            h = name_hash(h, *p);
        if (h == hash)
            return true;
    }
    return false;
}

static unsigned take_size_digit(struct h1_chunks *c, char byte)
{
    int digit = hex_value(byte);
    if (digit < 0 || c->left >> 59) /* sixteen digits at most, and the sign bit stays clear */
        return BROKEN;
    c->left = c->left << 4 | (unsigned)digit;
    return SIZE_MORE;
}

static unsigned after_size(char byte, unsigned on_space)
{
    if (byte == '\r')
        return SIZE_LF;
    if (byte == ';')
        return EXT_NAME;
    return byte == ' ' || byte == '\t' ? on_space : BROKEN;
}

static unsigned in_extension(unsigned state, char byte)
{
    bool space = byte == ' ' || byte == '\t', token = is_in(byte, TOKEN);
    switch (state) {
    case SIZE_SPACE: /* "5 \r\n" is refused: the space is legal before an extension only */
        return space ? SIZE_SPACE : byte == ';' ? EXT_NAME : BROKEN;
    case EXT_NAME:
        return space ? EXT_NAME : token ? EXT_NAMED : BROKEN;
    case EXT_NAMED:
        return token ? EXT_NAMED : byte == '=' ? EXT_VALUE : after_size(byte, EXT_AFTER);
    case EXT_AFTER:
        return space ? EXT_AFTER : byte == '=' ? EXT_VALUE : byte == ';' ? EXT_NAME : BROKEN;
    case EXT_VALUE:
        return space ? EXT_VALUE : byte == '"' ? EXT_QUOTED : token ? EXT_TOKEN : BROKEN;
    case EXT_TOKEN:
        return token ? EXT_TOKEN : after_size(byte, SIZE_SPACE);
    case EXT_QUOTED:
        return is_control(byte) ? BROKEN : byte == '"' ? EXT_END : byte == '\\' ? EXT_ESCAPE : EXT_QUOTED;
    case EXT_ESCAPE:
        return is_control(byte) ? BROKEN : EXT_QUOTED;
    default: /* EXT_END */
        return after_size(byte, SIZE_SPACE);
    }
}

static unsigned in_size_line(struct h1_chunks *c, char byte)
{
    if (++c->line_bytes > LIMIT_CHUNK_LINE_BYTES)
        return BROKEN;
    switch (c->state) {
    case SIZE:
        return take_size_digit(c, byte);
    case SIZE_MORE:
        return hex_value(byte) >= 0 && c->line_bytes <= 16 ? take_size_digit(c, byte) : after_size(byte, SIZE_SPACE);
    case SIZE_LF:
        c->line_bytes = 0;
        return byte != '\n' ? BROKEN : c->left ? DATA : TRAILER;
    default:
        return in_extension(c->state, byte);
    }
}

static unsigned in_trailer(struct h1_chunks *c, char byte)
{
    if (++c->line_bytes > LIMIT_TRAILER_BYTES)
        return BROKEN;
    switch (c->state) {
    case TRAILER:
        c->left = name_hash(NAME_HASH_START, byte);
        return byte == '\r' ? END_LF : is_in(byte, TOKEN) ? NAME : BROKEN;
    case NAME:
        if (byte == ':')
            return is_forbidden_trailer(c->left) ? BROKEN : VALUE;
        c->left = name_hash(c->left, byte);
        return is_in(byte, TOKEN) ? NAME : BROKEN;
    case VALUE:
        return byte == '\r' ? VALUE_LF : is_control(byte) ? BROKEN : VALUE;
    case VALUE_LF:
        return byte == '\n' ? TRAILER : BROKEN;
    default: /* END_LF */
        return byte == '\n' ? DONE : BROKEN;
    }
}

static unsigned in_between(struct h1_chunks *c, char byte)
{
    if (c->state <= SIZE_LF)
        return in_size_line(c, byte);
    if (c->state == DATA_CR)
        return byte == '\r' ? DATA_LF : BROKEN;
    if (c->state == DATA_LF)
        return byte == '\n' ? SIZE : BROKEN;
    return c->state < DONE ? in_trailer(c, byte) : BROKEN;
}

/* Moves what is here of the current chunk to the front. */
static size_t take_data(struct h1_chunks *c, char *to, const char *from, size_t n)
{
    if (n > c->left)
        n = (size_t)c->left;
    if (to != from)
        memmove(to, from, n);
    c->left -= n;
    if (!c->left)
        c->state = DATA_CR;
    return n;
}

enum err h1_chunks_decode(struct h1_chunks *c, char *bytes, size_t n, size_t *ret_data, size_t *ret_used)
{
    size_t data = 0, at = 0;
    while (at < n && c->state < DONE) {
        if (c->state == DATA) {
            size_t took = take_data(c, bytes + data, bytes + at, n - at);
            data += took;
            at += took;
        } else {
            c->state = in_between(c, bytes[at++]);
        }
    }
    *ret_data = data;
    *ret_used = at;
    return c->state == DONE ? ERR_OK : c->state == BROKEN ? ERR_BAD_FRAMING : ERR_AGAIN;
}

size_t h1_chunk_head(char out[H1_CHUNK_HEAD_BYTES], size_t data_bytes)
{
    static const char digits[] = "0123456789abcdef";
    unsigned n = 1;
    while (n < 16 && data_bytes >> (4 * n))
        n++;
    for (unsigned i = 0; i < n; i++)
        out[i] = digits[data_bytes >> (4 * (n - 1 - i)) & 15];
    out[n] = '\r';
    out[n + 1] = '\n';
    return n + 2;
}
