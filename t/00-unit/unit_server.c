/* SPDX-License-Identifier: Apache-2.0
 *
 * The server side of HTTP from its handler's chair: what each call promises, on real sockets of the loopback. Raw-byte strictness is
 * told in t/40-protocol; here it is ownership, order and bounds. Client and server share one thread: the loop turns while the
 * client waits.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/block.h"
#include "http/conn.h"
#include "io/backend.h"

typedef void request_fn(struct stream *s);

struct rig {
    struct loop *loop;
    struct server *server;
    struct timer tick; /* so that a turn never sleeps long */
    request_fn *answer;
    struct stream *stream; /* the last one that was not answered at once */
    unsigned requests, aborts, writables;
    enum err head_says, aborted_with;
    const void *body_at;
    int fd;
    char got[1 << 20];
    size_t got_n;
    bool ended;
};

static struct rig r;

/* ---- the server's side ---- */

static enum err on_head(void *owner, struct stream *s, uint64_t *body_limit) { return r.head_says; }
static void on_body(void *user, struct stream *s, struct span piece, bool last) { }
static void on_writable(void *user, struct stream *s) { r.writables++; }
static struct span allow(void *owner, struct span path) { return SPAN("POST"); }

static void on_request(void *owner, struct stream *s)
{
    r.requests++;
    r.stream = s;
    if (r.answer)
        r.answer(s);
}

static void on_abort(void *user, struct stream *s, enum err why)
{
    r.aborts++;
    r.aborted_with = why;
    r.stream = NULL;
}

static void error_body(void *owner, struct span path, enum err e, const char *detail, struct buf *out, struct span *ret_type)
{
    *ret_type = SPAN("application/json");
    CHECK(buf_printf(out, "{\"code\":\"%s\",\"path\":\"%.*s\"}", err_code(e), SPAN_ARG(path)) == ERR_OK);
}

static const struct stream_handler handler = {on_head, on_request, on_body, on_writable, on_abort, error_body, allow};

/* ---- the client's side ---- */

static void on_tick(void *owner) { timer_set_in(&r.tick, NS_PER_MS); }

static int connect_client(void)
{
    struct sock_address at = server_address(r.server, 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(fd, (const struct sockaddr *)(const void *)at.u.bytes, at.bytes) == 0);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

static void rig_start(request_fn *answer, size_t body_bytes_max)
{
    memset(&r, 0, sizeof r);
    r.answer = answer;
    r.loop = loop_new(io_epoll(), NULL);
    timer_init(&r.tick, r.loop, on_tick, NULL);
    on_tick(NULL);
    struct server_options o = {.handler = &handler, .body_bytes_max = body_bytes_max};
    struct sock_address at;
    const char *why;
    r.server = server_new(r.loop, &o);
    CHECK(sock_address_parse(SPAN("127.0.0.1:0"), &at) == ERR_OK && server_listen(r.server, &at, NULL, &why) == ERR_OK);
    r.fd = connect_client();
}

static void rig_stop(void)
{
    if (r.fd >= 0)
        close(r.fd);
    server_free(r.server);
    timer_clear(&r.tick);
    loop_free(r.loop);
    block_cache_drain();
}

static void send_text(struct span text)
{
    for (size_t at = 0; at < text.n;) {
        ssize_t n = send(r.fd, text.p + at, text.n - at, MSG_NOSIGNAL);
        CHECK(n > 0 || errno == EAGAIN);
        at += n > 0 ? (size_t)n : 0;
        loop_turn(r.loop);
    }
}

static void receive(void)
{
    if (r.fd < 0)
        return;
    ssize_t n = recv(r.fd, r.got + r.got_n, sizeof r.got - 1 - r.got_n, 0);
    r.ended = r.ended || n == 0 || (n < 0 && errno != EAGAIN);
    r.got_n += n > 0 ? (size_t)n : 0;
    r.got[r.got_n] = 0;
}

static bool got(const char *text) { return strstr(r.got, text) != NULL; }
static bool has_request(void) { return r.stream != NULL; }
static bool has_abort(void) { return r.aborts > 0; }
static bool has_ended(void) { return r.ended; }

/* Turns the loop until the condition holds; false after a second or so. */
static bool until(bool (*condition)(void))
{
    for (unsigned turns = 0; turns < 1000 && !condition(); turns++) {
        loop_turn(r.loop);
        receive();
    }
    return condition();
}

static const char *awaited;
static bool got_awaited(void) { return got(awaited); }
static bool until_got(const char *text)
{
    awaited = text;
    return until(got_awaited);
}

static void settle(void)
{
    for (unsigned turns = 0; turns < 20; turns++)
        loop_turn(r.loop);
    receive();
}

#define GET "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- bodies ---- */

static void take_body(struct stream *s)
{
    struct buf mine;
    buf_init(&mine, MIB);
    r.body_at = stream_body(s).p;
    stream_take_body(s, &mine);
    CHECK(buf_span(&mine).p == r.body_at && buf_bytes(&mine) == 5 && stream_body(s).n == 0);
    stream_reply(s, 200, NULL, 0, buf_span(&mine));
    buf_fini(&mine);
}

TEST(a_body_is_handed_over_without_a_copy)
{
    rig_start(take_body, 0);
    send_text(SPAN("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
    EXPECT(until_got("\r\n\r\nhello"));
    rig_stop();
}

static void release_body(struct stream *s) { stream_release_body(s); }

TEST(a_body_that_was_released_makes_room_for_others)
{
    rig_start(release_body, 1000);
    char text[1200];
    int n = snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n%0900d", 7);
    send_text(span_of(text, (size_t)n));
    REQUIRE(until(has_request));
    int first = r.fd;
    r.fd = connect_client();
    r.answer = take_body;
    send_text(SPAN("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"));
    EXPECT(until_got("HTTP/1.1 200 OK"));
    close(first);
    rig_stop();
}

/* ---- answers ---- */

TEST(the_head_waits_for_the_first_write_unless_it_is_flushed)
{
    rig_start(NULL, 0);
    send_text(SPAN(GET));
    REQUIRE(until(has_request));
    stream_begin(r.stream, 200, NULL, 0, 10);
    settle();
    EXPECT_EQ(r.got_n, 0);
    stream_flush_head(r.stream);
    settle();
    EXPECT(got("Content-Length: 10\r\n\r\n"));
    EXPECT(stream_write(r.stream, &(struct iovec){(char[]){"0123456789"}, 10}, 1, true));
    EXPECT(until_got("\r\n\r\n0123456789"));
    EXPECT(!r.ended);
    rig_stop();
}

TEST(an_answer_shorter_than_it_said_ends_the_connection)
{
    rig_start(NULL, 0);
    send_text(SPAN(GET));
    REQUIRE(until(has_request));
    stream_begin(r.stream, 200, NULL, 0, 10);
    (void)stream_write(r.stream, &(struct iovec){(char[]){"01234"}, 5}, 1, true);
    EXPECT(until(has_ended));
    EXPECT(got("01234"));
    EXPECT_EQ(r.aborts, 0);
    rig_stop();
}

static void answer_in_parts(struct stream *s)
{
    struct iovec parts[200];
    for (int i = 0; i < 200; i++)
        parts[i] = (struct iovec){(void *)(uintptr_t)"ab", 2};
    stream_begin(s, 200, NULL, 0, UINT64_MAX);
    (void)stream_write(s, parts, 3, false);
    (void)stream_write(s, parts, 200, false);
    (void)stream_write(s, NULL, 0, true);
}

TEST(a_write_is_one_chunk_however_many_its_parts)
{
    rig_start(answer_in_parts, 0);
    send_text(SPAN(GET));
    EXPECT(until_got("0\r\n\r\n"));
    EXPECT(got("\r\n\r\n6\r\nababab\r\n190\r\nabab"));
    rig_stop();
}

static void answer_with_bad_headers(struct stream *s)
{
    static const struct header headers[] = {
        {{"X-Good", 6}, {"1", 1}}, {{"X-Bad", 5}, {"1\r\nSet-Cookie: stolen", 21}}, {{"X Bad", 5}, {"1", 1}}, {{"X-Last", 6}, {"2", 1}},
    };
    stream_reply(s, 200, headers, 4, SPAN("ok"));
}

TEST(a_header_value_cannot_write_headers_of_its_own)
{
    rig_start(answer_with_bad_headers, 0);
    send_text(SPAN(GET));
    EXPECT(until_got("\r\n\r\nok"));
    EXPECT(got("X-Good: 1\r\n") && got("X-Last: 2\r\n") && !got("Set-Cookie") && !got("X Bad"));
    rig_stop();
}

TEST(a_refused_method_is_told_what_is_allowed)
{
    rig_start(NULL, 0);
    r.head_says = ERR_BAD_METHOD;
    send_text(SPAN(GET));
    EXPECT(until_got("{\"code\":\"method_not_allowed\",\"path\":\"/x\"}"));
    EXPECT(got("HTTP/1.1 405 ") && got("Allow: POST\r\n") && got("Content-Type: application/json\r\n"));
    EXPECT_EQ(r.requests, 0);
    rig_stop();
}

TEST(the_head_can_be_given_back_while_the_answer_goes_on)
{
    rig_start(NULL, 0);
    send_text(SPAN(GET));
    REQUIRE(until(has_request));
    stream_begin(r.stream, 200, NULL, 0, UINT64_MAX);
    stream_release_head(r.stream);
    EXPECT_EQ(stream_base(r.stream)->head.method, HTTP_GET);
    EXPECT_EQ(stream_base(r.stream)->head.headers_n, 0);
    (void)stream_write(r.stream, &(struct iovec){(char[]){"x"}, 1}, 1, true);
    EXPECT(until_got("0\r\n\r\n"));
    rig_stop();
}

/* ---- slow and lost clients ---- */

static bool was_writable(void) { return r.writables > 0; }

TEST(a_source_is_paused_and_told_when_to_go_on)
{
    static char piece[16384];
    rig_start(NULL, 0);
    send_text(SPAN(GET));
    REQUIRE(until(has_request));
    stream_begin(r.stream, 200, NULL, 0, UINT64_MAX);
    unsigned writes = 0;
    while (stream_write(r.stream, &(struct iovec){piece, sizeof piece}, 1, false))
        REQUIRE(++writes < 10000);
    EXPECT(stream_pending(r.stream) > LIMIT_PENDING_BYTES);
    EXPECT(stream_pending(r.stream) < LIMIT_PENDING_BYTES + 2 * sizeof piece);
    for (unsigned turns = 0; turns < 5000 && !was_writable(); turns++) {
        r.got_n = 0;
        receive();
        loop_turn(r.loop);
    }
    EXPECT_EQ(r.writables, 1);
    EXPECT(stream_pending(r.stream) < LIMIT_PENDING_BYTES / 2);
    stream_break(r.stream);
    rig_stop();
    EXPECT_EQ(r.aborts, 0);
}

TEST(a_client_that_resets_is_told_once)
{
    rig_start(NULL, 0);
    send_text(SPAN(GET));
    REQUIRE(until(has_request));
    struct linger now = {1, 0};
    CHECK(setsockopt(r.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    close(r.fd);
    r.fd = -1;
    EXPECT(until(has_abort));
    EXPECT_EQ(r.aborted_with, ERR_CLIENT_GONE);
    rig_stop();
    EXPECT_EQ(r.aborts, 1);
}

TEST(writing_to_a_client_that_left_is_harmless)
{
    static char piece[65536];
    rig_start(NULL, 0);
    send_text(SPAN(GET));
    REQUIRE(until(has_request));
    struct stream *s = r.stream;
    stream_begin(s, 200, NULL, 0, UINT64_MAX);
    close(r.fd);
    r.fd = -1;
    for (unsigned i = 0; i < 200 && r.aborts == 0; i++) {
        (void)stream_write(s, &(struct iovec){piece, sizeof piece}, 1, false);
        loop_turn(r.loop);
    }
    EXPECT_EQ(r.aborts, 1);
    rig_stop();
}

/* The socket's error is found by one write; the next one, in the same turn, is the last. */
TEST(a_handler_that_is_through_is_not_told_that_its_client_left)
{
    static char piece[65536];
    rig_start(NULL, 0);
    send_text(SPAN(GET));
    REQUIRE(until(has_request));
    struct stream *s = r.stream;
    stream_begin(s, 200, NULL, 0, UINT64_MAX);
    struct linger now = {1, 0};
    CHECK(setsockopt(r.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    close(r.fd);
    r.fd = -1;
    for (unsigned i = 0; i < 3; i++)
        (void)stream_write(s, &(struct iovec){piece, sizeof piece}, 1, i == 2);
    settle();
    EXPECT_EQ(r.aborts, 0);
    EXPECT(server_is_idle(r.server));
    rig_stop();
}

TEST(freeing_the_server_aborts_what_is_left)
{
    rig_start(NULL, 0);
    send_text(SPAN(GET));
    REQUIRE(until(has_request));
    rig_stop();
    EXPECT_EQ(r.aborts, 1);
}

/* ---- many requests ---- */

static void answer_ok(struct stream *s) { stream_reply(s, 200, NULL, 0, SPAN("ok")); }

TEST(pipelined_requests_wait_for_the_one_before)
{
    rig_start(NULL, 0);
    send_text(SPAN(GET GET GET));
    REQUIRE(until(has_request));
    settle();
    EXPECT_EQ(r.requests, 1);
    r.answer = answer_ok;
    answer_ok(r.stream);
    settle();
    EXPECT_EQ(r.requests, 3);
    EXPECT(!r.ended);
    rig_stop();
}

static bool is_idle(void) { return server_is_idle(r.server); }

TEST(draining_closes_idle_connections_and_finishes_the_others)
{
    rig_start(NULL, 0);
    send_text(SPAN(GET));
    REQUIRE(until(has_request));
    server_drain(r.server);
    settle();
    EXPECT(!server_is_idle(r.server));
    answer_ok(r.stream);
    EXPECT(until_got("Connection: close\r\n"));
    EXPECT(until(is_idle));
    rig_stop();
}

TEST(counters_tell_what_happened)
{
    rig_start(answer_ok, 0);
    send_text(SPAN(GET));
    EXPECT(until_got("ok"));
    send_text(SPAN("BROKEN\r\n\r\n"));
    EXPECT(until_got("HTTP/1.1 400 "));
    const struct server_stats *stats = server_stats(r.server);
    EXPECT_EQ(stat_read(&stats->requests_total), 1);
    EXPECT_EQ(stat_read(&stats->requests_open), 0);
    EXPECT_EQ(stat_read(&stats->errors_by_http_layer), 1);
    EXPECT_EQ(stat_read(&stats->connections_total), 1);
    EXPECT_EQ(stat_read(&stats->bytes_in), sizeof GET - 1 + 10);
    EXPECT_EQ(stat_read(&stats->bytes_out), r.got_n);
    rig_stop();
}

/* ---- HTTP/2, as far as the handler sees a difference ---- */

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
/* :method GET, :scheme http, :path /, :authority a, from the static table where it has them */
#define HEADERS_1 "\0\0\6\1\5\0\0\0\1\x82\x86\x84\x41\1a"

TEST(http2_is_understood_by_its_preface)
{
    rig_start(answer_ok, 0);
    send_text(SPAN(PREFACE HEADERS_1));
    for (unsigned turns = 0; turns < 200 && r.got_n < 90; turns++) {
        loop_turn(r.loop);
        receive();
    }
    EXPECT_EQ(r.requests, 1);
    EXPECT_EQ(stat_read(&server_stats(r.server)->h2_connections_total), 1);
    EXPECT(r.got_n > 2 && memcmp(r.got + r.got_n - 2, "ok", 2) == 0);
    rig_stop();
}

TEST(an_http2_client_that_leaves_is_told_once)
{
    rig_start(NULL, 0);
    send_text(SPAN(PREFACE HEADERS_1));
    REQUIRE(until(has_request));
    stream_begin(r.stream, 200, NULL, 0, UINT64_MAX);
    (void)stream_write(r.stream, &(struct iovec){(char[]){"x"}, 1}, 1, false);
    close(r.fd);
    r.fd = -1;
    EXPECT(until(has_abort));
    rig_stop();
    EXPECT_EQ(r.aborts, 1);
}

/* ---- memory ---- */

_Static_assert(sizeof(struct conn) <= 384, "an idle connection is small: each further byte is paid ten thousand times");
_Static_assert(sizeof(struct stream) <= 640, "so is a stream whose answer takes long");

UNIT_MAIN
