/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP client over HTTP/2, towards a server that is nghttp2's and does what the path of a request tells it.
 */
#include "unit.h"

#include <nghttp2/nghttp2.h>
#include <unistd.h>

#include "base/block.h"
#include "client_rig.h"
#include "test_ca.h"
#include "unit_directory.h"
#include "unit_random.h"

/* ---- the server ---- */

#define STREAMS 256

struct stream_of_test {
    char path[64];
    char content_length[24];
    uint64_t body, sum;
    uint64_t left;           /* of the answer */
    bool stop;               /* stays open when `left` is out */
    bool answered;
};

struct server_conn {
    struct server_of_test *server;
    struct transport t;
    nghttp2_session *session;
    struct buf out;
    bool open;
    struct server_conn *next;
    struct stream_of_test stream[STREAMS]; /* by id / 2 */
};

struct server_of_test {
    struct loop *loop;
    struct listener *listener;
    struct tls_context *tls;
    struct server_conn *conns;
    unsigned accepted, requests, resets, most_at_once;
    uint32_t max_streams, reset_code;
    bool no_settings, garbage;
    struct stream_of_test last;
};

static struct stream_of_test *stream_of(struct server_conn *c, int32_t id) { return &c->stream[(id / 2) % STREAMS]; }

static void server_conn_close(struct server_conn *c)
{
    if (!c->open)
        return;
    c->open = false;
    transport_close(&c->t);
}

static void server_write(struct server_conn *c)
{
    while (c->open) {
        const uint8_t *bytes;
        ssize_t n = buf_bytes(&c->out) < 64 * KIB ? nghttp2_session_mem_send(c->session, &bytes) : 0;
        CHECK(n >= 0);
        if (n)
            CHECK(buf_append(&c->out, span_of(bytes, (size_t)n)) == ERR_OK);
        if (n && buf_bytes(&c->out) < 64 * KIB)
            continue;
        if (!buf_bytes(&c->out))
            return;
        struct iovec part = {c->out.p + c->out.at, buf_bytes(&c->out)};
        ssize_t w = transport_writev(&c->t, &part, 1);
        if (w == -(ssize_t)ERR_AGAIN)
            return;
        if (w < 0) {
            server_conn_close(c);
            return;
        }
        buf_consume(&c->out, (size_t)w);
    }
}

static ssize_t server_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t room, uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct stream_of_test *s = stream_of(user, id);
    size_t n = s->left < room ? (size_t)s->left : room;
    if (n == 0 && s->stop)
        return NGHTTP2_ERR_DEFERRED;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)"hello"[i % 5];
    s->left -= n;
    if (s->left == 0 && !s->stop)
        *flags = NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static void server_reply(struct server_conn *c, int32_t id, const char *status, const char *length, uint64_t body, bool stop)
{
    nghttp2_nv nv[2] = {{(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t)status, 7, 3, 0},
                        {(uint8_t *)(uintptr_t) "content-length", (uint8_t *)(uintptr_t)length, 14, length ? strlen(length) : 0, 0}};
    nghttp2_data_provider provider = {.read_callback = server_body};
    stream_of(c, id)->left = body;
    stream_of(c, id)->stop = stop;
    CHECK(nghttp2_submit_response(c->session, id, nv, length ? 2 : 1, body || stop ? &provider : NULL) == 0);
}

static void server_answer(struct server_conn *c, int32_t id)
{
    struct stream_of_test *s = stream_of(c, id);
    const char *path = s->path;
    s->answered = true;
    c->server->last = *s;
    if (strcmp(path, "/") == 0)
        server_reply(c, id, "200", "5", 5, false);
    else if (strcmp(path, "/empty") == 0)
        server_reply(c, id, "204", NULL, 0, false);
    else if (strcmp(path, "/big") == 0)
        server_reply(c, id, "200", NULL, 16 * MIB, false);
    else if (strcmp(path, "/short") == 0)
        server_reply(c, id, "200", "10", 5, false);
    else if (strcmp(path, "/long") == 0)
        server_reply(c, id, "200", "3", 5, false);
    else if (strcmp(path, "/half") == 0)
        server_reply(c, id, "200", NULL, 5, true);
    else if (strcmp(path, "/early") == 0)
        server_reply(c, id, "413", "5", 5, false);
    else if (strcmp(path, "/refuse") == 0)
        nghttp2_submit_rst_stream(c->session, 0, id, NGHTTP2_REFUSED_STREAM);
    else if (strcmp(path, "/reset") == 0)
        nghttp2_submit_rst_stream(c->session, 0, id, c->server->reset_code);
    else if (strcmp(path, "/half-reset") == 0) {
        server_reply(c, id, "200", NULL, 5, true);
        server_write(c);
        nghttp2_submit_rst_stream(c->session, 0, id, c->server->reset_code);
    } else if (strcmp(path, "/interim") == 0) {
        nghttp2_nv nv = {(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "103", 7, 3, 0};
        nghttp2_submit_headers(c->session, 0, id, NULL, &nv, 1, NULL);
        server_reply(c, id, "200", "5", 5, false);
    } else if (strcmp(path, "/goaway") == 0) {
        nghttp2_submit_goaway(c->session, 0, id - 2, NGHTTP2_NO_ERROR, NULL, 0);
    } else if (strcmp(path, "/last") == 0) {
        nghttp2_submit_goaway(c->session, 0, id, NGHTTP2_NO_ERROR, NULL, 0);
        server_reply(c, id, "200", "5", 5, false);
    } else if (strcmp(path, "/close") == 0) {
        server_conn_close(c);
    } /* else: silence */
}

static int server_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n, const uint8_t *value, size_t value_n,
                         uint8_t flags, void *user)
{
    struct stream_of_test *s = stream_of(user, frame->hd.stream_id);
    if (span_eq(span_of(name, name_n), SPAN(":path")))
        *s = (struct stream_of_test){0}, snprintf(s->path, sizeof s->path, "%.*s", (int)value_n, (const char *)value);
    if (span_eq(span_of(name, name_n), SPAN("content-length")))
        snprintf(s->content_length, sizeof s->content_length, "%.*s", (int)value_n, (const char *)value);
    return 0;
}

static int server_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *user)
{
    struct stream_of_test *s = stream_of(user, id);
    for (size_t i = 0; i < n; i++)
        s->sum = s->sum * 31 + bytes[i];
    s->body += n;
    return 0;
}

static int server_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct server_conn *c = user;
    bool head = frame->hd.type == NGHTTP2_HEADERS, ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    c->server->resets += frame->hd.type == NGHTTP2_RST_STREAM;
    if (head) {
        c->server->requests++;
        unsigned open = 0;
        for (int32_t id = 1; id <= frame->hd.stream_id; id += 2)
            open += nghttp2_session_find_stream(session, id) && nghttp2_stream_get_state(nghttp2_session_find_stream(session, id)) != NGHTTP2_STREAM_STATE_CLOSED;
        c->server->most_at_once = open > c->server->most_at_once ? open : c->server->most_at_once;
    }
    bool early = head && strcmp(stream_of(c, frame->hd.stream_id)->path, "/early") == 0;
    if (early || ((head || frame->hd.type == NGHTTP2_DATA) && ends && !stream_of(c, frame->hd.stream_id)->answered))
        server_answer(c, frame->hd.stream_id);
    return 0;
}

static void server_ready(struct sock *sock, unsigned events)
{
    static char bytes[64 * KIB];
    struct server_conn *c = sock->owner;
    enum err e = transport_handshake(&c->t);
    if (e == ERR_AGAIN)
        return;
    while (e == ERR_OK && c->open) {
        ssize_t n = transport_read(&c->t, bytes, sizeof bytes);
        if (n == -(ssize_t)ERR_AGAIN)
            break;
        if (n <= 0 || nghttp2_session_mem_recv(c->session, (const uint8_t *)bytes, (size_t)n) < 0)
            server_conn_close(c);
    }
    server_write(c);
}

static void server_session(struct server_conn *c)
{
    nghttp2_session_callbacks *callbacks;
    CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, server_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, server_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, server_frame);
    CHECK(nghttp2_session_server_new(&c->session, callbacks, c) == 0);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry settings = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->server->max_streams ? c->server->max_streams : 100};
    if (!c->server->no_settings)
        CHECK(nghttp2_submit_settings(c->session, 0, &settings, 1) == 0);
}

static void server_accept(void *owner, struct sock *s)
{
    struct server_of_test *server = owner;
    struct server_conn *c = calloc(1, sizeof *c);
    CHECK(c);
    server->accepted++;
    c->server = server;
    c->open = true;
    c->next = server->conns;
    server->conns = c;
    buf_init(&c->out, MIB);
    server_session(c);
    s->on_ready = server_ready;
    s->owner = c;
    if (server->tls)
        CHECK(transport_init_server(&c->t, s, server->tls) == ERR_OK);
    else
        transport_init_plain(&c->t, s);
    if (server->garbage)
        CHECK(buf_append(&c->out, SPAN("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")) == ERR_OK);
    server_ready(s, SOCK_READABLE);
}

struct h2_rig {
    struct rig r;
    struct server_of_test server;
};

static void h2_open_rig(struct h2_rig *h, struct origin_options more)
{
    struct sock_address at;
    const char *why;
    static const struct script none = {""};
    rig_open(&h->r, &none, 1);
    h->server.loop = h->r.loop;
    CHECK(sock_address_parse(SPAN("127.0.0.1:0"), &at) == ERR_OK);
    CHECK(sock_listen(h->r.loop, &at, server_accept, &h->server, &h->server.listener, &why) == ERR_OK);
    struct sock_address bound = listener_address(h->server.listener);
    more.host = "127.0.0.1";
    more.port = (uint16_t)(bound.u.bytes[2] << 8 | bound.u.bytes[3]);
    if (!more.tls)
        more.http = ORIGIN_H2;
    rig_origin(&h->r, &more);
}

static void h2_close_rig(struct h2_rig *h)
{
    client_free(h->r.client);
    for (struct server_conn *c = h->server.conns, *next; c; c = next) {
        next = c->next;
        server_conn_close(c);
        nghttp2_session_del(c->session);
        buf_fini(&c->out);
        free(c);
    }
    listener_close(h->server.listener);
    provider_close(&h->r.provider);
    loop_free(h->r.loop);
    block_cache_drain();
}

static struct seen h2_get(struct h2_rig *h, const char *path)
{
    struct seen s = {.keep = true};
    seen_start(&s, &h->r, (struct call_options){.target = span_str(path), .first_byte_timeout_ns = 3 * NS_PER_S});
    EXPECT(rig_run(&h->r, &s));
    return s;
}

/* ---- tests ---- */

TEST(many_calls_share_one_connection)
{
    enum { CALLS = 60 };
    struct h2_rig h = {0};
    static struct seen s[CALLS];
    memset(s, 0, sizeof s);
    h2_open_rig(&h, (struct origin_options){0});
    for (int i = 0; i < CALLS; i++) {
        s[i].keep = true;
        seen_start(&s[i], &h.r, (struct call_options){0});
    }
    for (int i = 0; i < CALLS; i++) {
        REQUIRE(rig_run(&h.r, &s[i]));
        expect_hello(&s[i]);
        EXPECT_EQ(s[i].status, 200);
        seen_free(&s[i]);
    }
    EXPECT_EQ(h.server.accepted, 1);
    struct seen again = h2_get(&h, "/");
    expect_hello(&again);
    EXPECT(again.reused);
    EXPECT(strncmp(again.peer, "127.0.0.1:", 10) == 0);
    seen_free(&again);
    h2_close_rig(&h);
}

TEST(a_body_larger_than_every_window_arrives_whole)
{
    size_t n = 3 * MIB + 17;
    char *bytes = malloc(n);
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + (unsigned char)(bytes[i] = (char)(i >> 2));
    struct iovec body[3] = {{bytes, 5}, {bytes + 5, 0}, {bytes + 5, n - 5}};
    struct h2_rig h = {0};
    struct seen s[2] = {{.keep = true}, {.keep = true}};
    h2_open_rig(&h, (struct origin_options){0});
    for (int i = 0; i < 2; i++)
        seen_start(&s[i], &h.r, (struct call_options){.method = SPAN("POST"), .body = body, .body_n = 3, .idle_timeout_ns = 2 * NS_PER_S});
    for (int i = 0; i < 2; i++) {
        REQUIRE(rig_run(&h.r, &s[i]));
        expect_hello(&s[i]);
        EXPECT_EQ(call_bytes_sent(s[i].call), n);
        seen_free(&s[i]);
    }
    EXPECT_EQ(h.server.last.body, n);
    EXPECT(h.server.last.sum == sum);
    EXPECT_STR(h.server.last.content_length, "3145745");
    free(bytes);
    h2_close_rig(&h);
}

TEST(interim_answers_empty_answers_and_head_requests_end_well)
{
    struct h2_rig h = {0};
    h2_open_rig(&h, (struct origin_options){0});
    struct seen a = h2_get(&h, "/interim"), b = h2_get(&h, "/empty");
    expect_hello(&a);
    EXPECT_EQ(b.ends, 1);
    EXPECT_EQ(b.status, 204);
    seen_free(&a);
    h2_close_rig(&h);
}

TEST(a_stream_that_is_reset_is_never_a_whole_answer)
{
    static const uint32_t codes[] = {NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR, NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM, NGHTTP2_ENHANCE_YOUR_CALM};
    struct h2_rig h = {0};
    h2_open_rig(&h, (struct origin_options){0});
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        h.server.reset_code = codes[i];
        struct seen s = h2_get(&h, "/reset"), half = h2_get(&h, "/half-reset");
        expect_failure(&s, codes[i] == NGHTTP2_REFUSED_STREAM ? ERR_REFUSED_STREAM : ERR_PROVIDER_RESET, "the provider");
        expect_failure(&half, ERR_PROVIDER_RESET, "reset the stream");
        EXPECT(err_is_retryable(s.error));
        seen_free(&half);
    }
    struct seen refused = h2_get(&h, "/refuse"), fine = h2_get(&h, "/");
    expect_failure(&refused, ERR_REFUSED_STREAM, "looked at");
    expect_hello(&fine);
    EXPECT_EQ(h.server.accepted, 1);
    seen_free(&fine);
    h2_close_rig(&h);
}

TEST(a_content_length_that_lies_is_a_protocol_error)
{
    struct h2_rig h = {0};
    h2_open_rig(&h, (struct origin_options){0});
    struct seen a = h2_get(&h, "/short"), b = h2_get(&h, "/long"), c = h2_get(&h, "/");
    expect_failure(&a, ERR_PROVIDER_PROTOCOL, "Content-Length");
    expect_failure(&b, ERR_PROVIDER_PROTOCOL, "Content-Length");
    expect_hello(&c);
    seen_free(&a);
    seen_free(&b);
    seen_free(&c);
    h2_close_rig(&h);
}

TEST(a_goaway_refuses_what_it_did_not_see_and_finishes_the_rest)
{
    struct h2_rig h = {0};
    h2_open_rig(&h, (struct origin_options){0});
    struct seen first = h2_get(&h, "/"), a = h2_get(&h, "/goaway"), b = h2_get(&h, "/last"), c = h2_get(&h, "/");
    expect_failure(&a, ERR_REFUSED_STREAM, "looked at");
    expect_hello(&b);
    expect_hello(&c);
    EXPECT_EQ(h.server.accepted, 3);
    rig_turns(&h.r, 5, MS);
    EXPECT_EQ(stat_read(&client_stats(h.r.client)->open), 1);
    seen_free(&first);
    seen_free(&b);
    seen_free(&c);
    h2_close_rig(&h);
}

TEST(a_lost_connection_fails_every_call_on_it)
{
    struct h2_rig h = {0};
    struct seen a = {0}, b = {0};
    h2_open_rig(&h, (struct origin_options){0});
    seen_start(&a, &h.r, (struct call_options){.target = SPAN("/half")});
    seen_start(&b, &h.r, (struct call_options){.target = SPAN("/silence")});
    rig_turns(&h.r, 10, MS / 2);
    EXPECT_EQ(a.heads, 1);
    struct seen c = h2_get(&h, "/close");
    EXPECT(rig_run(&h.r, &a) && rig_run(&h.r, &b));
    expect_failure(&a, ERR_PROVIDER_RESET, "closed");
    expect_failure(&b, ERR_PROVIDER_RESET, "closed");
    expect_failure(&c, ERR_PROVIDER_RESET, "closed");
    struct seen d = h2_get(&h, "/");
    expect_hello(&d);
    seen_free(&a);
    seen_free(&d);
    h2_close_rig(&h);
}

TEST(a_paused_call_closes_its_own_window_and_nobody_elses)
{
    struct h2_rig h = {0};
    struct seen slow = {.pause_at_piece = 1};
    h2_open_rig(&h, (struct origin_options){0});
    seen_start(&slow, &h.r, (struct call_options){.target = SPAN("/big"), .idle_timeout_ns = 30 * MS});
    rig_turns(&h.r, 60, MS);
    EXPECT_EQ(slow.pieces, 1);
    EXPECT(buf_bytes(&slow.call->held) <= LIMIT_H2_WINDOW);
    struct seen other = h2_get(&h, "/big");
    EXPECT_EQ(other.bytes, 16 * MIB);
    EXPECT(!seen_done(&slow));
    call_resume(slow.call);
    REQUIRE(rig_run(&h.r, &slow));
    EXPECT_STR(slow.why, "");
    EXPECT_EQ(slow.bytes, 16 * MIB);
    EXPECT_EQ(h.server.accepted, 1);
    seen_free(&other);
    h2_close_rig(&h);
}

TEST(cancelled_calls_reset_their_stream_only)
{
    struct h2_rig h = {0};
    struct seen s[4] = {{0}, {.cancel_at = 1}, {.cancel_at = 2}, {0}};
    h2_open_rig(&h, (struct origin_options){0});
    struct seen first = h2_get(&h, "/");
    for (int i = 0; i < 4; i++)
        seen_start(&s[i], &h.r, (struct call_options){.target = i == 3 ? SPAN("/silence") : SPAN("/half")});
    call_cancel(s[0].call); /* before its request left */
    rig_turns(&h.r, 10, MS);
    call_cancel(s[3].call);
    rig_turns(&h.r, 5, MS);
    for (int i = 0; i < 4; i++)
        EXPECT(!seen_done(&s[i]));
    EXPECT(h.server.resets >= 3);
    struct seen after = h2_get(&h, "/");
    expect_hello(&after);
    EXPECT_EQ(h.server.accepted, 1);
    seen_free(&first);
    seen_free(&after);
    h2_close_rig(&h);
}

TEST(the_peers_limit_of_streams_is_kept)
{
    enum { CALLS = 12 };
    struct h2_rig h = {0};
    struct seen s[CALLS] = {0};
    h.server.max_streams = 2;
    h2_open_rig(&h, (struct origin_options){.connections_max = 2});
    struct seen first = h2_get(&h, "/");
    for (int i = 0; i < CALLS; i++) {
        s[i].keep = true;
        seen_start(&s[i], &h.r, (struct call_options){0});
    }
    for (int i = 0; i < CALLS; i++) {
        REQUIRE(rig_run(&h.r, &s[i]));
        expect_hello(&s[i]);
        seen_free(&s[i]);
    }
    EXPECT(h.server.most_at_once <= 2);
    EXPECT_EQ(h.server.accepted, 2);
    seen_free(&first);
    h2_close_rig(&h);
}

TEST(a_silent_stream_times_out_and_a_dead_connection_is_left)
{
    struct h2_rig h = {0};
    struct seen s = {0};
    h2_open_rig(&h, (struct origin_options){0});
    struct seen first = h2_get(&h, "/");
    seen_start(&s, &h.r, (struct call_options){.target = SPAN("/silence"), .first_byte_timeout_ns = 30 * MS});
    REQUIRE(rig_run(&h.r, &s));
    expect_failure(&s, ERR_FIRST_BYTE_TIMEOUT, "did not begin");
    struct seen next = h2_get(&h, "/");
    expect_hello(&next);
    EXPECT_EQ(h.server.accepted, 2); /* nothing at all had come, so the connection was in doubt */
    struct seen idle = {0};
    seen_start(&idle, &h.r, (struct call_options){.target = SPAN("/half"), .idle_timeout_ns = 30 * MS});
    REQUIRE(rig_run(&h.r, &idle));
    expect_failure(&idle, ERR_IDLE_TIMEOUT, "silent");
    seen_free(&first);
    seen_free(&next);
    h2_close_rig(&h);
}

TEST(an_answer_before_the_end_of_the_body_is_whole)
{
    size_t n = 8 * MIB;
    char *bytes = calloc(1, n);
    struct iovec body = {bytes, n};
    struct h2_rig h = {0};
    struct seen s = {.keep = true};
    h2_open_rig(&h, (struct origin_options){0});
    seen_start(&s, &h.r, (struct call_options){.method = SPAN("POST"), .target = SPAN("/early"), .body = &body, .body_n = 1});
    REQUIRE(rig_run(&h.r, &s));
    EXPECT_EQ(s.ends, 1);
    EXPECT_STR(s.body, "hello");
    EXPECT_EQ(s.status, 413);
    EXPECT(call_bytes_sent(s.call) < n);
    seen_free(&s);
    struct seen next = h2_get(&h, "/");
    expect_hello(&next);
    EXPECT_EQ(h.server.accepted, 1);
    seen_free(&next);
    free(bytes);
    h2_close_rig(&h);
}

TEST(a_server_that_speaks_http1_after_all_is_a_protocol_error)
{
    struct h2_rig h = {.server.garbage = true};
    h2_open_rig(&h, (struct origin_options){0});
    struct seen s = h2_get(&h, "/");
    EXPECT_EQ(s.fails, 1);
    EXPECT(s.error == ERR_PROVIDER_PROTOCOL);
    printf("# %s\n", s.why);
    h2_close_rig(&h);
}

TEST(idle_connections_close_and_a_client_may_be_freed_with_calls)
{
    struct h2_rig h = {0};
    struct seen s = {0};
    h2_open_rig(&h, (struct origin_options){.idle_timeout_ns = 20 * MS});
    struct seen first = h2_get(&h, "/");
    rig_turns(&h.r, 30, MS);
    EXPECT_EQ(stat_read(&client_stats(h.r.client)->open), 0);
    seen_start(&s, &h.r, (struct call_options){.target = SPAN("/half")});
    rig_turns(&h.r, 40, MS);
    EXPECT_EQ(stat_read(&client_stats(h.r.client)->open), 1); /* busy is not idle */
    seen_free(&first);
    h2_close_rig(&h);
    EXPECT(!seen_done(&s));
}

TEST(whatever_happens_each_call_ends_once_and_only_whole_answers_end_well)
{
    enum { CALLS = 40, ROUNDS = 20 };
    static const char *const paths[] = {"/", "/", "/", "/", "/interim", "/short", "/long", "/half", "/early", "/refuse", "/reset", "/half-reset", "/goaway",
                                        "/last", "/close", "/silence"};
    static struct seen s[CALLS];
    static char large[300000];
    struct iovec body = {large, sizeof large};
    for (unsigned seed = 1; seed <= 4; seed++) {
        struct h2_rig h = {.server.max_streams = 3 + seed * 5, .server.reset_code = seed % 2 ? NGHTTP2_NO_ERROR : NGHTTP2_REFUSED_STREAM};
        unsigned well = 0;
        random_seed(seed);
        h2_open_rig(&h, (struct origin_options){.connections_max = 1 + seed});
        for (int round = 0; round < ROUNDS; round++) {
            int n = 1 + (int)random_below(CALLS);
            memset(s, 0, sizeof s);
            for (int i = 0; i < n; i++) {
                s[i].keep = true;
                s[i].cancel_at = random_below(10) == 0 ? 1 + (int)random_below(2) : 0;
                s[i].pause_at_piece = random_below(6) == 0;
                seen_start(&s[i], &h.r, (struct call_options){.method = SPAN("POST"), .target = span_str(paths[random_below(random_below(3) ? COUNT_OF(paths) : 5)]), .body = &body,
                                                              .body_n = random_below(2), .first_byte_timeout_ns = 5 * MS, .idle_timeout_ns = 5 * MS, .total_timeout_ns = 60 * MS});
            }
            for (int turn = 0; turn < 20; turn++) {
                struct seen *one = &s[random_below((unsigned)n)];
                bool over = seen_done(one) || one->cancelled;
                if (!over && random_below(8) == 0)
                    seen_cancel(one);
                else if (!over && random_below(3) == 0)
                    call_pause(one->call);
                rig_turns(&h.r, 1, MS / 20);
            }
            for (int i = 0; i < n; i++)
                well += seen_ended_well(&s[i], seed);
        }
        EXPECT(well > 10);
        h2_close_rig(&h);
    }
}

TEST(alpn_chooses_http2_and_calls_that_began_together_share_the_connection)
{
    char why[256];
    const char *cert = in_directory("ca.crt"), *key = in_directory("ca.key");
    struct tls_context *client_tls;
    struct h2_rig h = {0};
    struct seen s[10] = {0};
    struct test_cert ca = test_cert_make(NULL, "test authority", "IP:127.0.0.1", -60, 3600);
    test_cert_write(&ca, in_directory("ca"));
    test_cert_free(&ca);
    CHECK(tls_server_context(&(struct tls_server_options){.cert_file = cert, .key_file = key, .offer_h2 = true}, &h.server.tls, why) == ERR_OK);
    CHECK(tls_client_context(&(struct tls_client_options){.ca_file = cert, .verify = true, .offer_h2 = true}, &client_tls, why) == ERR_OK);
    h2_open_rig(&h, (struct origin_options){.tls = true, .tls_context = client_tls});
    for (int i = 0; i < 10; i++) {
        s[i].keep = true;
        seen_start(&s[i], &h.r, (struct call_options){0});
    }
    for (int i = 0; i < 10; i++) {
        EXPECT(rig_run(&h.r, &s[i]));
        expect_hello(&s[i]);
        seen_free(&s[i]);
    }
    EXPECT_EQ(h.server.accepted, 1);
    EXPECT_EQ(h.r.origin->speaks, SPEAKS_H2);
    h2_close_rig(&h);
    tls_context_unref(client_tls);
    tls_context_unref(h.server.tls);
}

UNIT_MAIN
