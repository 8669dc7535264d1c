/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 syntax as tables: bytes, and the verdict. Every row is parsed whole and again as it trickles in byte by byte, with the
 * buffer moving in between: the verdict may not depend on the network's cuts.
 */
#include "unit.h"

#include "http/h1.h"

static struct h1_head whole_head, cut_head;

typedef enum err parse_fn(struct span text, size_t *scanned, struct h1_head *ret, const char **ret_why);

static enum err parse_answer(struct span text, size_t *scanned, struct h1_head *ret, const char **ret_why)
{
    return h1_parse_response(text, scanned, false, ret, ret_why);
}

/* Parses n bytes, then 0, 1, 2 ... of them in fresh memory; both must say the same. */
static enum err parse_both_ways(parse_fn *parse, const char *bytes, size_t n)
{
    const char *why = "", *why_cut = "";
    size_t scanned = 0, scanned_cut = 0;
    enum err e = parse(span_of(bytes, n), &scanned, &whole_head, &why), cut = ERR_AGAIN;
    for (size_t i = 0; i <= n && cut == ERR_AGAIN; i++) {
        char *piece = malloc(i + 1);
        memcpy(piece, bytes, i);
        cut = parse(span_of(piece, i), &scanned_cut, &cut_head, &why_cut);
        free(piece);
    }
    if (cut != e)
        UNIT_FAIL("whole %d (%s), byte by byte %d (%s): %.60s", e, why, cut, why_cut, bytes);
    if (!e && (whole_head.bytes != cut_head.bytes || whole_head.body != cut_head.body || whole_head.length != cut_head.length))
        UNIT_FAIL("whole and byte by byte read different messages: %.60s", bytes);
    if (e && e != ERR_AGAIN && !*why)
        UNIT_FAIL("refused without a reason: %.60s", bytes);
    return e;
}

struct row {
    enum err expected;
    const char *text;
    size_t bytes; /* 0: strlen */
};

static void check_rows(parse_fn *parse, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        enum err e = parse_both_ways(parse, rows[i].text, rows[i].bytes ? rows[i].bytes : strlen(rows[i].text));
        if (e != rows[i].expected)
            UNIT_FAIL("row %zu: %d, expected %d: %.70s", i, e, rows[i].expected, rows[i].text);
    }
}

#define H "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" H

TEST(a_valid_request_is_understood)
{
    static const char text[] = "POST /v1/x?y=%20z HTTP/1.1\r\nHost: api.example:8080\r\nX-Long:\t a b \t\r\nContent-Length: 12\r\n\r\n";
    REQUIRE(parse_both_ways(h1_parse_request, text, sizeof text - 1) == ERR_OK);
    EXPECT_EQ(whole_head.head.method, HTTP_POST);
    EXPECT_SPAN(whole_head.head.path, "/v1/x");
    EXPECT_SPAN(whole_head.head.query, "y=%20z");
    EXPECT_SPAN(whole_head.head.authority, "api.example:8080");
    EXPECT_SPAN(http_header(&whole_head.head, SPAN("x-long")), "a b");
    EXPECT_EQ(whole_head.head.headers_n, 3);
    EXPECT_EQ(whole_head.body, H1_LENGTH);
    EXPECT_EQ(whole_head.length, 12);
    EXPECT(whole_head.keep_alive);
    EXPECT_EQ(whole_head.bytes, sizeof text - 1);
}

TEST(request_lines)
{
    static const struct row rows[] = {
        {ERR_OK, GET "\r\n"},
        {ERR_OK, "\r\n" GET "\r\n"},
        {ERR_BAD_REQUEST, "\r\n\r\n" GET "\r\n"},
        {ERR_BAD_REQUEST, "\n" GET "\r\n"},
        {ERR_BAD_REQUEST, " GET / HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET  / HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /  HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1 \r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET\t/ HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /a b HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /\r\n"},
        {ERR_BAD_REQUEST, "GET\r\n"},
        {ERR_BAD_REQUEST, "GET \r\n"},
        {ERR_BAD_REQUEST, "G@T / HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "G\xc3\x89T / HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET / http/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/11.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.10\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/ 1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTPS/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET / FTP/1.1\r\n" H "\r\n"},
        {ERR_OK, "GET / HTTP/1.2\r\n" H "\r\n"},
        {ERR_BAD_VERSION, "GET / HTTP/2.0\r\n" H "\r\n"},
        {ERR_BAD_VERSION, "GET / HTTP/0.9\r\n" H "\r\n"},
        {ERR_BAD_VERSION, "GET / HTTP/3.0\r\n\r\n"},
        {ERR_AGAIN, "GET / HTTP/1.1\r\n" H},
        {ERR_AGAIN, "GET / HTTP/1.1\r\n" H "\r"},
        {ERR_BAD_REQUEST, GET "\r\r\n"},
    };
    check_rows(h1_parse_request, rows, COUNT_OF(rows));
}

TEST(request_targets)
{
    static const struct row rows[] = {
        {ERR_OK, "GET /a/b;c=d,e?f=(g)&h=[i]/? HTTP/1.1\r\n" H "\r\n"},
        {ERR_OK, "GET /%e2%82%ac HTTP/1.1\r\n" H "\r\n"},
        {ERR_OK, "GET http://a/x HTTP/1.1\r\n" H "\r\n"},
        {ERR_OK, "GET HTTP://A:80?x HTTP/1.1\r\n" H "\r\n"},
        {ERR_OK, "GET https://[::1]:8443/ HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n"},
        {ERR_OK, "OPTIONS * HTTP/1.1\r\n" H "\r\n"},
        {ERR_OK, "OPTIONS http://a HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET * HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET a HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET a:80 HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /#x HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /\x01 HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /\xff HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /\x7f HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /<a> HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /\"a HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /a\\b HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /% HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /%zz HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /%00 HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET /?%0 HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET ftp://a/ HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET http:///x HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET http://u@a/x HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET http://b/x HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "GET http://a:81/x HTTP/1.1\r\n" H "\r\n"},
        {ERR_NOT_IMPLEMENTED, "CONNECT a:443 HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "CONNECT / HTTP/1.1\r\n" H "\r\n"},
        {ERR_BAD_REQUEST, "CONNECT a HTTP/1.1\r\n" H "\r\n"},
    };
    check_rows(h1_parse_request, rows, COUNT_OF(rows));
    REQUIRE(parse_both_ways(h1_parse_request, "GET http://a?x HTTP/1.1\r\n" H "\r\n", 36) == ERR_OK);
    EXPECT_SPAN(whole_head.head.path, "/");
    EXPECT_SPAN(whole_head.head.query, "x");
}

TEST(header_lines)
{
    static const struct row rows[] = {
        {ERR_OK, GET "X: \xe4\xb8\xad\r\n\r\n"},
        {ERR_OK, GET "X:\r\n\r\n"},
        {ERR_OK, GET "!#$%&'*+-.^_`|~: x\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X : a\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X\t: a\r\n\r\n"},
        {ERR_BAD_REQUEST, GET ": a\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X Y: a\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X: a\r\n b\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X: a\r\n\tb\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\n " H "\r\n"},
        {ERR_BAD_REQUEST, GET "X: a\nY: b\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X: a\rY: b\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X: a\x01\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X: a\x7f\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X: a\0b\r\n\r\n", sizeof GET + 10},
        {ERR_BAD_REQUEST, GET "X\xc3\xa9: a\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X(y): a\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "X: a\n\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\n" "Host: a\n\n"},
    };
    check_rows(h1_parse_request, rows, COUNT_OF(rows));
}

TEST(hosts)
{
    static const struct row rows[] = {
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\n\r\n"},
        {ERR_OK, "GET / HTTP/1.0\r\n\r\n"},
        {ERR_BAD_REQUEST, GET H "\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.0\r\n" H "Host: b\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: a/\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: a:70000\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: [x]\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"},
        {ERR_BAD_REQUEST, "GET / HTTP/1.1\r\nHost: ?\r\n\r\n"},
        {ERR_OK, "GET / HTTP/1.1\r\nhOST: [::1]:80\r\n\r\n"},
        {ERR_OK, "GET / HTTP/1.1\r\nHost: my_model.internal\r\n\r\n"},
    };
    check_rows(h1_parse_request, rows, COUNT_OF(rows));
}

#define TE "Transfer-Encoding: "
#define CL "Content-Length: "
TEST(a_request_whose_length_can_be_read_in_two_ways_is_refused)
{
    static const struct row rows[] = {
        {ERR_OK, GET CL "5\r\n\r\n"},
        {ERR_OK, GET CL "0\r\n\r\n"},
        {ERR_OK, GET TE "chunked\r\n\r\n"},
        {ERR_OK, GET TE "  ChUnKeD \r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "5\r\n" CL "5\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "5\r\n" CL "6\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "5, 5\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "+5\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "-5\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "0x5\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "5 5\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "5.0\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "\"5\"\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "\xd9\xa5\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "18446744073709551617\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "9223372036854775808\r\n\r\n"},
        {ERR_BAD_FRAMING, GET CL "5\r\n" TE "chunked\r\n\r\n"},
        {ERR_BAD_FRAMING, GET TE "chunked\r\n" CL "5\r\n\r\n"},
        {ERR_BAD_FRAMING, GET TE "chunked\r\n" TE "chunked\r\n\r\n"},
        {ERR_BAD_FRAMING, GET TE "chunked, chunked\r\n\r\n"},
        {ERR_BAD_FRAMING, GET TE "chunked, gzip\r\n\r\n"},
        {ERR_BAD_FRAMING, GET TE "gzip\r\n\r\n"},
        {ERR_BAD_FRAMING, GET TE "\r\n\r\n"},
        {ERR_BAD_FRAMING, GET TE ",chunked\r\n\r\n"},
        {ERR_BAD_FRAMING, GET TE "chunked,\r\n\r\n"},
        {ERR_BAD_FRAMING, GET TE "chunked;a=b\r\n\r\n"},
        {ERR_BAD_FRAMING, GET TE "\"chunked\"\r\n\r\n"},
        {ERR_BAD_REQUEST, GET TE "\x0b" "chunked\r\n\r\n"},
        {ERR_BAD_REQUEST, GET "Transfer-Encoding : chunked\r\n\r\n"},
        {ERR_NOT_IMPLEMENTED, GET TE "gzip, chunked\r\n\r\n"},
        {ERR_NOT_IMPLEMENTED, GET TE "xchunked\r\n\r\n"},
        {ERR_NOT_IMPLEMENTED, GET TE "identity\r\n\r\n"},
        {ERR_BAD_FRAMING, "GET / HTTP/1.0\r\n" TE "chunked\r\n\r\n"},
    };
    check_rows(h1_parse_request, rows, COUNT_OF(rows));
}

TEST(connection_and_expect)
{
    static const struct { bool keep_alive, expects; const char *text; } rows[] = {
        {true, false, GET "\r\n"},
        {false, false, GET "Connection: close\r\n\r\n"},
        {false, false, GET "Connection: keep-alive, CLOSE\r\n\r\n"},
        {false, false, GET "Connection: x\r\nConnection: close\r\n\r\n"},
        {true, false, GET "Connection: closed\r\n\r\n"},
        {false, false, "GET / HTTP/1.0\r\n\r\n"},
        {true, false, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"},
        {false, false, "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"},
        {true, true, GET "Expect: 100-Continue\r\n\r\n"},
        {false, false, "GET / HTTP/1.0\r\nExpect: what\r\n\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        REQUIRE(parse_both_ways(h1_parse_request, rows[i].text, strlen(rows[i].text)) == ERR_OK);
        EXPECT_EQ(whole_head.keep_alive, rows[i].keep_alive);
        EXPECT_EQ(whole_head.expects_continue, rows[i].expects);
    }
    static const struct row refused[] = {
        {ERR_BAD_EXPECT, GET "Expect: x\r\n\r\n"},
        {ERR_BAD_EXPECT, GET "Expect: 100-continue, x\r\n\r\n"},
        {ERR_BAD_EXPECT, GET "Expect: 100-continue\r\nExpect: x\r\n\r\n"},
    };
    check_rows(h1_parse_request, refused, COUNT_OF(refused));
}

static char *put(char *at, const char *text)
{
    memcpy(at, text, strlen(text));
    return at + strlen(text);
}

static size_t put_repeated(char *out, const char *head, const char *line, unsigned n, const char *tail)
{
    char *at = put(out, head);
    for (unsigned i = 0; i < n; i++)
        at = put(at, line);
    return (size_t)(put(at, tail) - out);
}

TEST(heads_are_bounded)
{
    char *text = malloc(LIMIT_HEAD_BYTES * 2);
    EXPECT_EQ(parse_both_ways(h1_parse_request, text, put_repeated(text, GET, "X: y\r\n", LIMIT_HEADERS - 1, "\r\n")), ERR_OK);
    EXPECT_EQ(parse_both_ways(h1_parse_request, text, put_repeated(text, GET, "X: y\r\n", LIMIT_HEADERS, "\r\n")), ERR_HEAD_TOO_LARGE);
    EXPECT_EQ(parse_both_ways(h1_parse_request, text, put_repeated(text, "GET /", "a", LIMIT_TARGET_BYTES - 1, " HTTP/1.1\r\n" H "\r\n")), ERR_OK);
    EXPECT_EQ(parse_both_ways(h1_parse_request, text, put_repeated(text, "GET /", "a", LIMIT_TARGET_BYTES, " HTTP/1.1\r\n" H "\r\n")), ERR_URI_TOO_LONG);
    EXPECT_EQ(parse_both_ways(h1_parse_request, text, put_repeated(text, "GET /", "a", 20000, "")), ERR_URI_TOO_LONG);
    EXPECT_EQ(parse_both_ways(h1_parse_request, text, put_repeated(text, GET "X: ", "0123456789abcdef", 5000, "\r\n\r\n")), ERR_HEAD_TOO_LARGE);
    EXPECT_EQ(parse_both_ways(parse_answer, text, put_repeated(text, "HTTP/1.1 200 OK\r\nX: ", "0123456789abcdef", 5000, "")), ERR_HEAD_TOO_LARGE);
    free(text);
}

/* ---- responses ---- */

#define OK200 "HTTP/1.1 200 OK\r\n"
TEST(an_answer_that_breaks_its_framing_is_not_believed)
{
    static const struct row rows[] = {
        {ERR_OK, OK200 "\r\n"},
        {ERR_OK, "HTTP/1.1 200\r\n\r\n"},
        {ERR_OK, "HTTP/1.1 200 \r\n\r\n"},
        {ERR_OK, "HTTP/1.0 599 \xe4 x\r\nX: y\r\n\r\n"},
        {ERR_BAD_REQUEST, "HTTP/1.1 20 OK\r\n\r\n"},
        {ERR_BAD_REQUEST, "HTTP/1.1 2000 OK\r\n\r\n"},
        {ERR_BAD_REQUEST, "HTTP/1.1  200 OK\r\n\r\n"},
        {ERR_BAD_REQUEST, "HTTP/1.1 099 OK\r\n\r\n"},
        {ERR_BAD_REQUEST, "HTTP/1.1 600 OK\r\n\r\n"},
        {ERR_BAD_REQUEST, "HTTP/1.1 2x0 OK\r\n\r\n"},
        {ERR_BAD_REQUEST, "HTTP/1.1\r\n\r\n"},
        {ERR_BAD_REQUEST, "http/1.1 200 OK\r\n\r\n"},
        {ERR_BAD_REQUEST, "\r\nHTTP/1.1 200 OK\r\n\r\n"},
        {ERR_BAD_REQUEST, "SSH-2.0-x\r\n"},
        {ERR_BAD_VERSION, "HTTP/2.0 200 OK\r\n\r\n"},
        {ERR_BAD_REQUEST, OK200 "X: y\n\r\n"},
        {ERR_BAD_REQUEST, OK200 "X : y\r\n\r\n"},
        {ERR_BAD_REQUEST, OK200 "X: y\r\n z\r\n\r\n"},
        {ERR_BAD_REQUEST, OK200 "no colon\r\n\r\n"},
        {ERR_BAD_FRAMING, OK200 CL "5\r\n" CL "6\r\n\r\n"},
        {ERR_BAD_FRAMING, OK200 CL "5\r\n" TE "chunked\r\n\r\n"},
        {ERR_BAD_FRAMING, OK200 CL "x\r\n\r\n"},
        {ERR_BAD_FRAMING, "HTTP/1.0 200 OK\r\n" TE "chunked\r\n\r\n"},
        {ERR_NOT_IMPLEMENTED, OK200 TE "gzip, chunked\r\n\r\n"},
        {ERR_AGAIN, "HTTP/1.1 200 OK\r\nX: y\r\n"},
    };
    check_rows(parse_answer, rows, COUNT_OF(rows));
}

TEST(how_the_body_of_an_answer_ends)
{
    static const struct { enum h1_body body; bool to_head, keep_alive; const char *text; } rows[] = {
        {H1_UNTIL_CLOSE, false, false, OK200 "\r\n"},
        {H1_LENGTH, false, true, OK200 CL "5\r\n\r\n"},
        {H1_NO_BODY, false, true, OK200 CL "0\r\n\r\n"},
        {H1_CHUNKED, false, true, OK200 TE "chunked\r\n\r\n"},
        {H1_CHUNKED, false, false, OK200 TE "chunked\r\nConnection: close\r\n\r\n"},
        {H1_NO_BODY, true, true, OK200 CL "5\r\n\r\n"},
        {H1_NO_BODY, true, true, OK200 TE "chunked\r\n\r\n"},
        {H1_NO_BODY, false, true, "HTTP/1.1 204 No\r\n\r\n"},
        {H1_NO_BODY, false, true, "HTTP/1.1 304 No\r\n" CL "9\r\n\r\n"},
        {H1_NO_BODY, false, true, "HTTP/1.1 100 Continue\r\n\r\n"},
        {H1_LENGTH, false, false, "HTTP/1.0 200 OK\r\n" CL "5\r\n\r\n"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *why;
        size_t scanned = 0;
        REQUIRE(h1_parse_response(span_str(rows[i].text), &scanned, rows[i].to_head, &whole_head, &why) == ERR_OK);
        EXPECT_EQ(whole_head.body, rows[i].body);
        EXPECT_EQ(whole_head.keep_alive, rows[i].keep_alive);
    }
}

/* ---- chunks ---- */

struct decoded {
    enum err e;
    size_t used, data_bytes;
    char data[512];
};

static void decode_piece(struct h1_chunks *c, struct decoded *d, const char *bytes, size_t n)
{
    size_t data, used;
    char *piece = malloc(n + 1);
    memcpy(piece, bytes, n);
    d->e = h1_chunks_decode(c, piece, n, &data, &used);
    memcpy(d->data + d->data_bytes, piece, data);
    d->data_bytes += data;
    d->used += used;
    free(piece);
}

/* Decodes in two pieces, cut at `cut`; then the rest byte by byte when asked. */
static struct decoded decode_cut(const char *text, size_t n, size_t cut, bool by_byte)
{
    struct h1_chunks c;
    struct decoded d = {.e = ERR_AGAIN};
    h1_chunks_init(&c);
    decode_piece(&c, &d, text, cut);
    for (size_t at = cut; d.e == ERR_AGAIN && at < n; at += by_byte ? 1 : n - cut)
        decode_piece(&c, &d, text + at, by_byte ? 1 : n - cut);
    return d;
}

static void check_chunks(const char *text, size_t n, enum err expected, const char *data)
{
    struct decoded whole = decode_cut(text, n, n, false);
    if (whole.e != expected || (data && (whole.data_bytes != strlen(data) || memcmp(whole.data, data, whole.data_bytes) != 0)))
        UNIT_FAIL("%d, expected %d; data %.*s: %.60s", whole.e, expected, (int)whole.data_bytes, whole.data, text);
    for (size_t cut = 0; cut <= n; cut++) {
        for (int by_byte = 0; by_byte < 2; by_byte++) {
            struct decoded d = decode_cut(text, n, cut, by_byte);
            bool same = d.e == whole.e && (d.e == ERR_BAD_FRAMING || (d.used == whole.used && d.data_bytes == whole.data_bytes));
            if (!same || memcmp(d.data, whole.data, d.data_bytes < whole.data_bytes ? d.data_bytes : whole.data_bytes) != 0)
                UNIT_FAIL("cut at %zu reads differently: %.60s", cut, text);
        }
    }
}

TEST(a_chunked_body_ends_where_it_says)
{
    static const struct { enum err e; const char *text, *data; } rows[] = {
        {ERR_OK, "5\r\nhello\r\n0\r\n\r\nGET", "hello"},
        {ERR_OK, "0\r\n\r\n", ""},
        {ERR_OK, "000\r\n\r\n", ""},
        {ERR_OK, "00000000000000a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", "0123456789x"},
        {ERR_OK, "A\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
        {ERR_OK, "1;a\r\nx\r\n1;a=b\r\ny\r\n1;a=\"b;\\\"c\";d\r\nz\r\n0;e\r\n\r\n", "xyz"},
        {ERR_OK, "1 ; a = b\r\nx\r\n0\r\n\r\n", "x"},
        {ERR_OK, "1\r\nx\r\n0\r\nX-Checksum: 1\r\nY:\r\n\r\n", "x"},
        {ERR_AGAIN, "5\r\nhel", "hel"},
        {ERR_AGAIN, "5\r\nhello\r\n0\r\n", "hello"},
        {ERR_BAD_FRAMING, "5 \r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, " 5\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "+5\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "-5\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "0x5\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5h\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "g\r\n", NULL},
        {ERR_BAD_FRAMING, "\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, ";a\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5\r\nhello\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5\rhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5\r\nhello0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5\r\nhelloX\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5\r\nhello\r\n0\r\n\n", NULL},
        {ERR_BAD_FRAMING, "5\r\nhello\r\n0\r\n\r\r\n", NULL},
        {ERR_BAD_FRAMING, "fffffffffffffffff\r\n", NULL},
        {ERR_BAD_FRAMING, "10000000000000005\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "00000000000000005\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "8000000000000000\r\n", NULL},
        {ERR_BAD_FRAMING, "5;\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5;a=\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5;a=\"x\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5;a=\"x\"y\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5;a b\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5;a\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "5;\x01\r\nhello\r\n0\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "0\r\nno colon\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "0\r\n: x\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "0\r\nX : y\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "0\r\nX: y\r\n z\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "0\r\nX: y\nZ: w\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "0\r\nContent-Length: 5\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "0\r\nTRANSFER-encoding: chunked\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "0\r\nHost: b\r\n\r\n", NULL},
        {ERR_BAD_FRAMING, "0\r\nX: y\r\nAuthorization: b\r\n\r\n", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        check_chunks(rows[i].text, strlen(rows[i].text), rows[i].e, rows[i].data);
}

TEST(what_follows_a_chunked_body_is_left_alone)
{
    struct decoded d = decode_cut("1\r\nx\r\n0\r\n\r\nGET /", 16, 16, false);
    EXPECT_EQ(d.used, 11);
}

TEST(chunk_lines_and_trailers_are_bounded)
{
    char text[LIMIT_TRAILER_BYTES + 64];
    struct decoded d = decode_cut(text, put_repeated(text, "1;", "a", LIMIT_CHUNK_LINE_BYTES, "\r\n"), 0, true);
    EXPECT_EQ(d.e, ERR_BAD_FRAMING);
    d = decode_cut(text, put_repeated(text, "0\r\nX: ", "a", LIMIT_TRAILER_BYTES, "\r\n\r\n"), 0, true);
    EXPECT_EQ(d.e, ERR_BAD_FRAMING);
}

TEST(chunk_heads_are_written_as_they_are_read)
{
    static const size_t sizes[] = {1, 9, 10, 15, 16, 255, 256, 4096, 65535, 65536, 0xabcdef, (size_t)1 << 40};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char head[H1_CHUNK_HEAD_BYTES];
        struct h1_chunks c;
        size_t data, used, n = h1_chunk_head(head, sizes[i]);
        h1_chunks_init(&c);
        EXPECT_EQ(h1_chunks_decode(&c, head, n, &data, &used), ERR_AGAIN);
        EXPECT_EQ(c.left, sizes[i]);
    }
}

/* ---- looking things up ---- */

TEST(looking_up_in_heads)
{
    EXPECT(http_has_token(SPAN("keep-alive, TE"), SPAN("te")));
    EXPECT(!http_has_token(SPAN("keep-alive, TEX"), SPAN("te")));
    EXPECT(!http_has_token(SPAN_NONE, SPAN("te")));
    struct span value;
    REQUIRE(http_query_get(SPAN("a=1&api-version=2024-10-21&b"), SPAN("api-version"), &value));
    EXPECT_SPAN(value, "2024-10-21");
    REQUIRE(http_query_get(SPAN("a=1&b"), SPAN("b"), &value));
    EXPECT_SPAN(value, "");
    EXPECT(!http_query_get(SPAN("a=1&b"), SPAN("c"), &value));
    EXPECT(!http_query_get(SPAN_NONE, SPAN("c"), &value));
}

UNIT_MAIN
