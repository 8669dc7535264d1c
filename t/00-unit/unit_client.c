/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP client towards providers that speak HTTP/1.1, well and badly.
 */
#include "unit.h"

#include <zlib.h>
#include <zstd.h>

#include "base/block.h"
#include "client_rig.h"

/* One provider, one call. */
static struct seen one_call(const struct script *scripts, unsigned n, struct call_options options)
{
    struct rig r;
    struct seen s = {.keep = true};
    rig_open(&r, scripts, n);
    seen_start(&s, &r, options);
    EXPECT(rig_run(&r, &s));
    rig_close(&r);
    return s;
}

/* ---- the ordinary ---- */

TEST(a_kept_connection_carries_the_next_call)
{
    struct rig r;
    struct seen s[3] = {0};
    rig_open(&r, &(struct script){HELLO}, 1);
    for (int i = 0; i < 3; i++) {
        REQUIRE(seen_get(&s[i], &r));
        expect_hello(&s[i]);
        EXPECT_EQ(s[i].reused, i > 0);
        EXPECT_STR(s[i].content_type, "text/plain");
        EXPECT(strncmp(s[i].peer, "127.0.0.1:", 10) == 0);
        EXPECT_EQ(s[i].pieces, 1);
        seen_free(&s[i]);
    }
    EXPECT_EQ(r.provider.accepted, 1);
    EXPECT_EQ(stat_read(&client_stats(r.client)->reused_total), 2);
    EXPECT_EQ(stat_read(&client_stats(r.client)->idle), 1);
    rig_close(&r);
}

TEST(a_call_started_from_the_end_of_another_uses_its_connection)
{
    struct rig r;
    struct call_options o = {.target = SPAN("/2")};
    struct seen second = {.keep = true}, first = {.keep = true, .then = &second, .then_options = &o};
    rig_open(&r, &(struct script){HELLO}, 1);
    seen_start(&first, &r, o);
    REQUIRE(rig_run(&r, &second));
    expect_hello(&first);
    expect_hello(&second);
    EXPECT_EQ(r.provider.accepted, 1);
    seen_free(&first);
    seen_free(&second);
    rig_close(&r);
}

TEST(the_provider_hears_exactly_what_was_asked)
{
    struct rig r;
    struct seen s = {0};
    struct iovec body[] = {slice("{\"a\":"), slice(""), slice("1}")};
    struct header headers[] = {{SPAN("authorization"), SPAN("Bearer x")}, {SPAN("content-type"), SPAN("application/json")}};
    rig_open(&r, &(struct script){HELLO}, 1);
    seen_start(&s, &r, (struct call_options){.method = SPAN("POST"), .target = SPAN("/v1/x?y=z"), .authority = SPAN("api.example"),
                                             .headers = headers, .headers_n = 2, .body = body, .body_n = 3});
    REQUIRE(rig_run(&r, &s));
    EXPECT_STR(r.provider.heard, "POST /v1/x?y=z HTTP/1.1\r\nHost: api.example\r\nauthorization: Bearer x\r\n"
                                 "content-type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
    seen_free(&s);
    REQUIRE(seen_get(&s, &r));
    char expected[80];
    snprintf(expected, sizeof expected, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", provider_port(&r.provider));
    EXPECT_STR(r.provider.heard, expected);
    seen_free(&s);
    seen_start(&s, &r, (struct call_options){.method = SPAN("POST")});
    REQUIRE(rig_run(&r, &s));
    EXPECT(strstr(r.provider.heard, "Content-Length: 0\r\n") != NULL);
    seen_free(&s);
    rig_close(&r);
}

TEST(a_line_break_in_a_header_never_becomes_a_second_request)
{
    struct header bad = {SPAN("x"), SPAN("1\r\nHost: evil")};
    struct call_options tries[] = {{.headers = &bad, .headers_n = 1}, {.target = SPAN("/ HTTP/1.1\r\nX: y")}, {.target = SPAN("/a b")}, {.authority = SPAN("a\nb")}};
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        struct seen s = one_call(&(struct script){HELLO}, 1, tries[i]);
        expect_failure(&s, ERR_INTERNAL, "request's");
        seen_free(&s);
    }
}

TEST(large_bodies_in_many_slices_arrive_whole)
{
    enum { SLICES = 100, BYTES = 80000 };
    struct rig r;
    struct seen s = {.keep = true};
    struct iovec body[SLICES];
    uint64_t sum = 0;
    char *bytes = malloc((size_t)SLICES * BYTES);
    for (size_t i = 0; i < (size_t)SLICES * BYTES; i++)
        sum = sum * 31 + (unsigned char)(bytes[i] = (char)(i * 7 + i / 1000));
    for (size_t i = 0; i < SLICES; i++)
        body[i] = (struct iovec){bytes + i * BYTES, BYTES};
    rig_open(&r, &(struct script){HELLO}, 1);
    seen_start(&s, &r, (struct call_options){.method = SPAN("POST"), .body = body, .body_n = SLICES, .idle_timeout_ns = NS_PER_S});
    EXPECT(!call_body_is_done(s.call));
    REQUIRE(rig_run(&r, &s));
    expect_hello(&s);
    EXPECT(r.provider.heard_sum == sum);
    EXPECT(r.provider.heard_bytes > (size_t)SLICES * BYTES);
    EXPECT_EQ(call_bytes_sent(s.call), (size_t)SLICES * BYTES);
    free(bytes);
    seen_free(&s);
    rig_close(&r);
}

TEST(large_heads_leave_whole_too)
{
    struct rig r;
    struct seen s = {.keep = true};
    char *value = malloc(30000);
    memset(value, 'v', 30000);
    struct header h[2] = {{SPAN("a"), span_of(value, 30000)}, {SPAN("b"), span_of(value, 30000)}};
    rig_open(&r, &(struct script){HELLO}, 1);
    seen_start(&s, &r, (struct call_options){.headers = h, .headers_n = 2});
    REQUIRE(rig_run(&r, &s));
    expect_hello(&s);
    EXPECT(r.provider.heard_bytes > 60000);
    free(value);
    seen_free(&s);
    rig_close(&r);
}

/* ---- framing ---- */

TEST(an_answer_may_be_cut_anywhere)
{
    static const struct script whole[] = {
        {HELLO}, {HELLO_CHUNKED}, {HELLO_UNTIL_CLOSE, .then = THEN_CLOSE}, {HELLO_UNTIL_CLOSE, .then = THEN_HALF_CLOSE},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" HELLO_CHUNKED},
        {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
    };
    for (size_t i = 0; i < COUNT_OF(whole); i++)
        for (size_t cut = 1; cut < strlen(whole[i].answer); cut++) {
            struct script cut_script = whole[i];
            cut_script.cut = cut;
            struct seen s = one_call(&cut_script, 1, (struct call_options){0});
            expect_hello(&s);
            seen_free(&s);
        }
}

/* The heart of promise 6: what is not whole is never shown as whole. */
TEST(an_answer_that_is_lost_at_any_byte_is_never_ok)
{
    static const char *const answers[] = {HELLO, HELLO_CHUNKED, "HTTP/1.1 100 Continue\r\n\r\n" HELLO};
    static const enum then ends[] = {THEN_CLOSE, THEN_RESET, THEN_HALF_CLOSE};
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        for (size_t end = 0; end < COUNT_OF(ends); end++)
            for (size_t n = 0; n < strlen(answers[i]); n++) {
                struct script s = {answers[i], n, .then = ends[end]};
                if (n == 0)
                    s.answer = "";
                struct seen seen = one_call(&s, 1, (struct call_options){0});
                expect_failure(&seen, ERR_PROVIDER_RESET, "the provider");
                EXPECT_EQ(seen.ends, 0);
                seen_free(&seen);
            }
}

TEST(an_answer_that_lasts_until_close_is_lost_when_the_connection_is_reset)
{
    struct seen s = one_call(&(struct script){HELLO_UNTIL_CLOSE, .then = THEN_RESET}, 1, (struct call_options){0});
    expect_failure(&s, ERR_PROVIDER_RESET, "middle");
    seen_free(&s);
}

TEST(broken_answers_are_protocol_errors_with_a_sentence)
{
    static const char *const broken[] = {
        "SSH-2.0-OpenSSH_9\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 600 X\r\n\r\n", "\x15\x03\x01",
        OK_HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", OK_HEAD "Content-Length: -1\r\n\r\n", OK_HEAD "Content-Length: 5,5\r\n\r\nhello",
        OK_HEAD "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", OK_HEAD "Transfer-Encoding: gzip\r\n\r\n",
        OK_HEAD "X : y\r\n\r\n", OK_HEAD " folded\r\n\r\n", OK_HEAD "X: a\nb\r\n\r\n", OK_HEAD "no colon\r\n\r\n",
        OK_HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\n", OK_HEAD "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n", OK_HEAD "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        OK_HEAD "Content-Encoding: compress\r\nContent-Length: 1\r\n\r\nx", OK_HEAD "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    };
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        struct seen s = one_call(&(struct script){broken[i]}, 1, (struct call_options){0});
        if (s.error != ERR_PROVIDER_PROTOCOL || !s.why[0])
            UNIT_FAIL("%s gave %s: %s", broken[i], err_name(s.error), s.why);
        seen_free(&s);
    }
}

TEST(a_head_without_end_does_not_fill_the_memory)
{
    size_t n = 200000;
    char *endless = malloc(n);
    memset(endless, 'x', n);
    memcpy(endless, OK_HEAD "X: ", 20);
    struct seen s = one_call(&(struct script){endless, n}, 1, (struct call_options){0});
    expect_failure(&s, ERR_PROVIDER_PROTOCOL, "large");
    for (size_t i = 17; i + 6 < n; i += 6)
        memcpy(endless + i, "X: y\r\n", 6);
    struct seen many = one_call(&(struct script){endless, n}, 1, (struct call_options){0});
    EXPECT_EQ(many.error, ERR_PROVIDER_PROTOCOL);
    seen_free(&s);
    seen_free(&many);
    free(endless);
}

TEST(answers_without_a_body_leave_the_connection_usable)
{
    static const struct script scripts[] = {{"HTTP/1.1 204 No Content\r\n\r\n"}, {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"},
                                            {OK_HEAD "Content-Length: 0\r\n\r\n"}, {OK_HEAD "Content-Length: 5\r\nContent-Encoding: gzip\r\n\r\n"}, {HELLO}};
    struct rig r;
    rig_open(&r, scripts, COUNT_OF(scripts));
    for (size_t i = 0; i < COUNT_OF(scripts); i++) {
        struct seen s = {.keep = true};
        seen_start(&s, &r, (struct call_options){.method = i == 3 ? SPAN("HEAD") : SPAN("GET")});
        REQUIRE(rig_run(&r, &s));
        EXPECT_EQ(s.ends, 1);
        EXPECT_EQ(s.bytes, i == 4 ? 5 : 0);
        seen_free(&s);
    }
    EXPECT_EQ(r.provider.accepted, 1);
    rig_close(&r);
}

/* ---- connections that may not be used again ---- */

TEST(a_connection_in_doubt_is_not_used_again)
{
    static const char *const doubtful[] = {
        HELLO "X", OK_HEAD "Connection: close\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        HELLO_CHUNKED "\r\n", "HTTP/1.1 204 No Content\r\n\r\nhello",
    };
    for (size_t i = 0; i < COUNT_OF(doubtful); i++) {
        struct script scripts[] = {{doubtful[i]}, {HELLO}};
        struct rig r;
        struct seen a = {0}, b = {0};
        rig_open(&r, scripts, 2);
        EXPECT(seen_get(&a, &r) && a.ends);
        EXPECT(seen_get(&b, &r) && b.ends);
        EXPECT(!b.reused);
        EXPECT_EQ(r.provider.accepted, 2);
        EXPECT_EQ(provider_open_conns(&r.provider), 1);
        seen_free(&a);
        seen_free(&b);
        rig_close(&r);
    }
}

TEST(a_request_lost_on_a_kept_connection_is_sent_once_more)
{
    static const enum then ends[] = {THEN_CLOSE, THEN_RESET, THEN_HALF_CLOSE};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        struct script scripts[] = {{HELLO}, {"", .then = ends[i]}, {HELLO}};
        struct iovec body = slice("question");
        struct rig r;
        struct seen a = {0}, b = {.keep = true};
        rig_open(&r, scripts, 3);
        EXPECT(seen_get(&a, &r));
        seen_start(&b, &r, (struct call_options){.method = SPAN("POST"), .body = &body, .body_n = 1});
        REQUIRE(rig_run(&r, &b));
        expect_hello(&b);
        EXPECT(strstr(r.provider.heard, "question") != NULL);
        EXPECT_EQ(r.provider.requests, 3);
        EXPECT_EQ(r.provider.accepted, 2);
        EXPECT_EQ(call_bytes_sent(b.call), 8);
        seen_free(&a);
        seen_free(&b);
        rig_close(&r);
    }
}

TEST(a_request_is_never_sent_a_third_time)
{
    struct script scripts[] = {{HELLO}, {"", .then = THEN_CLOSE}, {"", .then = THEN_CLOSE}, {HELLO}};
    struct rig r;
    struct seen a = {0}, b = {0};
    rig_open(&r, scripts, 4);
    EXPECT(seen_get(&a, &r) && seen_get(&b, &r));
    expect_failure(&b, ERR_PROVIDER_RESET, "before it answered");
    EXPECT_EQ(r.provider.requests, 3);
    seen_free(&a);
    seen_free(&b);
    rig_close(&r);
}

TEST(a_request_lost_on_a_fresh_connection_or_after_a_byte_is_not_repeated)
{
    struct script fresh[] = {{"", .then = THEN_CLOSE}, {HELLO}}, begun[] = {{HELLO}, {"H", .then = THEN_CLOSE}, {HELLO}};
    struct rig r;
    struct seen a = {0}, b = {0}, c = {0};
    rig_open(&r, fresh, 2);
    EXPECT(seen_get(&a, &r));
    expect_failure(&a, ERR_PROVIDER_RESET, "before it answered");
    EXPECT_EQ(r.provider.requests, 1);
    rig_close(&r);
    rig_open(&r, begun, 3);
    EXPECT(seen_get(&b, &r) && seen_get(&c, &r));
    expect_failure(&c, ERR_PROVIDER_RESET, "head");
    EXPECT_EQ(r.provider.requests, 2);
    rig_close(&r);
    seen_free(&a);
    seen_free(&b);
    seen_free(&c);
}

TEST(a_connection_that_closes_while_idle_is_noticed)
{
    struct script scripts[] = {{HELLO, .then = THEN_CLOSE}, {HELLO}};
    struct rig r;
    struct seen a = {0}, b = {0};
    rig_open(&r, scripts, 2);
    EXPECT(seen_get(&a, &r));
    rig_turns(&r, 3, MS);
    EXPECT_EQ(stat_read(&client_stats(r.client)->idle), 0);
    EXPECT(seen_get(&b, &r));
    expect_hello(&b);
    EXPECT_EQ(r.provider.requests, 2);
    seen_free(&a);
    seen_free(&b);
    rig_close(&r);
}

TEST(bytes_nobody_asked_for_close_an_idle_connection)
{
    struct rig r;
    struct seen a = {0};
    rig_open(&r, &(struct script){HELLO}, 1);
    EXPECT(seen_get(&a, &r));
    struct iovec extra = slice("HTTP/1.1 408 Request Timeout\r\n\r\n");
    EXPECT_EQ(transport_writev(&r.provider.conns->t, &extra, 1), 32);
    rig_turns(&r, 3, MS);
    EXPECT_EQ(stat_read(&client_stats(r.client)->open), 0);
    seen_free(&a);
    rig_close(&r);
}

TEST(idle_connections_age_and_the_warmest_is_used_first)
{
    struct rig r;
    struct seen s[3] = {0};
    rig_open(&r, &(struct script){HELLO}, 1);
    struct origin_options o = rig_options(&r);
    o.idle_timeout_ns = 60 * MS;
    rig_origin(&r, &o);
    for (int i = 0; i < 3; i++)
        seen_start(&s[i], &r, (struct call_options){0});
    for (int i = 0; i < 3; i++)
        REQUIRE(rig_run(&r, &s[i]));
    EXPECT_EQ(stat_read(&client_stats(r.client)->idle), 3);
    for (int i = 0; i < 8; i++) {
        struct seen again = {0};
        EXPECT(seen_get(&again, &r) && again.reused);
        seen_free(&again);
        rig_turns(&r, 2, 6 * MS);
    }
    EXPECT_EQ(stat_read(&client_stats(r.client)->idle), 1);
    rig_turns(&r, 20, 6 * MS);
    EXPECT_EQ(stat_read(&client_stats(r.client)->open), 0);
    rig_close(&r);
}

/* ---- the line ---- */

TEST(calls_wait_in_line_for_a_connection_and_none_is_lost)
{
    enum { CALLS = 50 };
    struct rig r;
    static struct seen s[CALLS];
    memset(s, 0, sizeof s);
    rig_open(&r, &(struct script){HELLO_CHUNKED, .cut = 20}, 1);
    struct origin_options o = rig_options(&r);
    o.connections_max = 3;
    rig_origin(&r, &o);
    for (int i = 0; i < CALLS; i++) {
        s[i].keep = true;
        seen_start(&s[i], &r, (struct call_options){0});
    }
    for (int i = 0; i < CALLS; i++) {
        REQUIRE(rig_run(&r, &s[i]));
        expect_hello(&s[i]);
        seen_free(&s[i]);
    }
    EXPECT_EQ(r.provider.accepted, 3);
    rig_close(&r);
}

TEST(a_line_that_is_full_says_so)
{
    struct rig r;
    struct seen s[4] = {0};
    rig_open(&r, &(struct script){HELLO, .silent = true}, 1);
    struct origin_options o = rig_options(&r);
    o.connections_max = 1;
    o.waiting_max = 2;
    rig_origin(&r, &o);
    seen_start(&s[0], &r, (struct call_options){0});
    rig_turns(&r, 5, MS);
    for (int i = 1; i < 4; i++)
        seen_start(&s[i], &r, (struct call_options){.total_timeout_ns = 20 * MS});
    REQUIRE(rig_run(&r, &s[3]));
    expect_failure(&s[3], ERR_OVERLOADED, "wait");
    REQUIRE(rig_run(&r, &s[2]));
    expect_failure(&s[2], ERR_TOTAL_TIMEOUT, "no connection");
    call_cancel(s[0].call);
    rig_close(&r);
}

/* ---- pause ---- */

TEST(a_paused_call_slows_the_provider_and_not_the_memory)
{
    size_t n = 64 * MIB, head = strlen(OK_HEAD "Content-Length: 67108864\r\n\r\n");
    char *answer = malloc(head + n);
    memset(answer, 'a', head + n);
    memcpy(answer, OK_HEAD "Content-Length: 67108864\r\n\r\n", head);
    struct rig r;
    struct seen s = {.pause_at_piece = 1};
    rig_open(&r, &(struct script){answer, head + n}, 1);
    seen_start(&s, &r, (struct call_options){.idle_timeout_ns = 100 * MS});
    rig_turns(&r, 200, MS); /* twice the silence that is allowed */
    EXPECT_EQ(s.pieces, 1);
    EXPECT(s.bytes <= LIMIT_READ_BYTES);
    EXPECT(!seen_done(&s));
    EXPECT(r.provider.conns->at < n / 2); /* the kernel's buffers filled, and the provider stopped */
    EXPECT(buf_bytes(&s.call->held) == 0);
    call_resume(s.call);
    REQUIRE(rig_run(&r, &s));
    EXPECT_EQ(s.bytes, n);
    free(answer);
    rig_close(&r);
}

TEST(an_end_that_came_while_paused_is_told_after_resume)
{
    struct script tries[] = {{HELLO_UNTIL_CLOSE, .then = THEN_CLOSE}, {HELLO_CHUNKED, .cut = 52, .then = THEN_CLOSE}};
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        struct rig r;
        struct seen s = {.pause_at_piece = 1, .keep = true};
        rig_open(&r, &tries[i], 1);
        seen_start(&s, &r, (struct call_options){0});
        rig_turns(&r, 20, MS / 10);
        EXPECT_EQ(s.pieces, 1);
        EXPECT(!seen_done(&s));
        call_resume(s.call);
        EXPECT(!seen_done(&s));
        REQUIRE(rig_run(&r, &s));
        expect_hello(&s);
        seen_free(&s);
        rig_close(&r);
    }
}

/* ---- cancel ---- */

TEST(a_cancelled_call_is_silent_and_its_connection_closed)
{
    for (int at = 0; at <= 2; at++) {
        struct rig r;
        struct seen s = {.cancel_at = at}, next = {0};
        rig_open(&r, &(struct script){HELLO_CHUNKED}, 1);
        seen_start(&s, &r, (struct call_options){0});
        if (at == 0)
            call_cancel(s.call);
        rig_turns(&r, 10, MS / 10);
        EXPECT(!seen_done(&s));
        EXPECT_EQ(s.heads, at > 0);
        EXPECT_EQ(stat_read(&client_stats(r.client)->idle), 0);
        EXPECT(seen_get(&next, &r));
        expect_hello(&next);
        seen_free(&next);
        rig_close(&r);
    }
}

TEST(a_client_may_be_freed_in_the_middle_of_everything)
{
    struct rig r;
    struct seen s[6] = {0};
    rig_open(&r, &(struct script){HELLO_CHUNKED, .cut = 1}, 1);
    struct origin_options o = rig_options(&r);
    o.connections_max = 3;
    rig_origin(&r, &o);
    for (int i = 0; i < 6; i++)
        seen_start(&s[i], &r, (struct call_options){0});
    rig_turns(&r, 15, MS / 10);
    rig_close(&r);
    for (int i = 0; i < 6; i++)
        EXPECT(!seen_done(&s[i]));
}

TEST(a_retired_origin_finishes_its_calls_and_goes)
{
    struct rig r;
    struct seen s = {.keep = true};
    rig_open(&r, &(struct script){HELLO_CHUNKED, .cut = 7}, 1);
    struct origin_options o = rig_options(&r);
    seen_start(&s, &r, (struct call_options){0});
    rig_turns(&r, 5, MS / 10);
    rig_origin(&r, &o);
    REQUIRE(rig_run(&r, &s));
    expect_hello(&s);
    EXPECT_EQ(stat_read(&client_stats(r.client)->open), 0);
    EXPECT(r.client->origins.next->next == &r.client->origins); /* only the new one is left */
    seen_free(&s);
    rig_close(&r);
}

/* ---- time ---- */

TEST(every_silence_has_an_end)
{
    static const struct script silent = {"", .silent = true}, half = {OK_HEAD "Content-Length: 9\r\n\r\nhello"}, half_head = {"HTTP/1.1 200 "};
    struct call_options first = {.first_byte_timeout_ns = 30 * MS, .idle_timeout_ns = NS_PER_S}, idle = {.idle_timeout_ns = 30 * MS}, total = {.total_timeout_ns = 30 * MS};
    struct seen a = one_call(&silent, 1, first), b = one_call(&half_head, 1, first), c = one_call(&half, 1, idle), d = one_call(&half, 1, total),
                e = one_call(&silent, 1, total);
    expect_failure(&a, ERR_FIRST_BYTE_TIMEOUT, "did not begin");
    expect_failure(&b, ERR_FIRST_BYTE_TIMEOUT, "did not begin");
    expect_failure(&c, ERR_IDLE_TIMEOUT, "silent");
    expect_failure(&d, ERR_TOTAL_TIMEOUT, "total");
    expect_failure(&e, ERR_TOTAL_TIMEOUT, "total");
    EXPECT_EQ(c.bytes, 5);
    seen_free(&c);
    seen_free(&d);
}

TEST(a_slow_answer_that_keeps_moving_is_no_silence)
{
    struct seen s = one_call(&(struct script){HELLO_CHUNKED, .cut = 3}, 1, (struct call_options){.idle_timeout_ns = 50 * MS, .first_byte_timeout_ns = 500 * MS});
    expect_hello(&s);
    seen_free(&s);
}

TEST(a_provider_that_does_not_read_is_given_up)
{
    size_t n = 32 * MIB;
    char *bytes = calloc(1, n);
    struct iovec body = {bytes, n};
    struct call_options tries[] = {{.idle_timeout_ns = 40 * MS}, {.first_byte_timeout_ns = 40 * MS}};
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        struct rig r;
        struct seen s = {0};
        rig_open(&r, &(struct script){HELLO}, 1);
        r.provider.deaf = true;
        tries[i].method = SPAN("POST");
        tries[i].body = &body;
        tries[i].body_n = 1;
        seen_start(&s, &r, tries[i]);
        REQUIRE(rig_run(&r, &s));
        expect_failure(&s, ERR_FIRST_BYTE_TIMEOUT, "stopped reading");
        EXPECT(call_bytes_sent(s.call) < n);
        rig_close(&r);
    }
    free(bytes);
}

TEST(a_refusal_that_comes_before_the_body_was_taken_is_heard)
{
    size_t n = 32 * MIB;
    char *bytes = calloc(1, n);
    struct iovec body = {bytes, n};
    static const enum then ends[] = {THEN_KEEP, THEN_CLOSE, THEN_HALF_CLOSE};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        struct rig r;
        struct seen s = {.keep = true};
        rig_open(&r, &(struct script){"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello", .early = true, .then = ends[i]}, 1);
        seen_start(&s, &r, (struct call_options){.method = SPAN("POST"), .body = &body, .body_n = 1, .idle_timeout_ns = NS_PER_S});
        REQUIRE(rig_run(&r, &s));
        EXPECT_EQ(s.status, 413);
        EXPECT_EQ(s.ends, 1);
        EXPECT_EQ(stat_read(&client_stats(r.client)->open), 0); /* the rest of the body would be read as a request */
        seen_free(&s);
        rig_close(&r);
    }
    free(bytes);
}

/* ---- content codings ---- */

static size_t gzip(const char *in, size_t n, char *out, size_t room)
{
    z_stream z = {0};
    CHECK(deflateInit2(&z, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (Bytef *)(uintptr_t)in;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    n = z.total_out;
    deflateEnd(&z);
    return n;
}

struct coded {
    char bytes[200000];
    size_t n;
};

static void code_answer(struct coded *c, const char *coding, const char *body, size_t n)
{
    static char coded[150000];
    if (strcmp(coding, "gzip") == 0)
        n = gzip(body, n, coded, sizeof coded);
    else if (strcmp(coding, "zstd") == 0)
        CHECK(!ZSTD_isError(n = ZSTD_compress(coded, sizeof coded, body, n, 19)));
    else
        memcpy(coded, "\x0b\x02\x80hello\x03", n = 9); /* brotli of "hello", as its tool writes it */
    c->n = (size_t)snprintf(c->bytes, sizeof c->bytes, OK_HEAD "Content-Encoding: %s\r\nContent-Length: %zu\r\n\r\n", coding, n);
    memcpy(c->bytes + c->n, coded, n);
    c->n += n;
}

TEST(answers_that_come_compressed_unasked_are_undone)
{
    static const char *const codings[] = {"gzip", "br", "zstd"};
    for (size_t i = 0; i < COUNT_OF(codings); i++) {
        static struct coded c;
        code_answer(&c, codings[i], "hello", 5);
        for (size_t cut = 1; cut < 40; cut += 3) {
            struct seen s = one_call(&(struct script){c.bytes, c.n, .cut = cut}, 1, (struct call_options){0});
            expect_hello(&s);
            seen_free(&s);
        }
        struct script cut_off = {c.bytes, c.n - 1, .then = THEN_CLOSE};
        struct seen s = one_call(&cut_off, 1, (struct call_options){0});
        expect_failure(&s, ERR_PROVIDER_RESET, "middle");
        seen_free(&s);
    }
}

TEST(a_compressed_answer_that_lacks_its_end_is_broken)
{
    static struct coded c;
    static const char *const codings[] = {"gzip", "br", "zstd"};
    for (size_t i = 0; i < COUNT_OF(codings); i++) {
        code_answer(&c, codings[i], "hello", 5);
        char *length = strstr(c.bytes, "Content-Length: ") + 16;
        unsigned long n = strtoul(length, NULL, 10);
        char digits[8];
        snprintf(digits, sizeof digits, "%lu", n - 1);
        memset(length, '0', n > 9 ? 2 : 1);
        memcpy(length + (n > 9 ? 2 : 1) - strlen(digits), digits, strlen(digits));
        struct seen s = one_call(&(struct script){c.bytes, c.n - 1}, 1, (struct call_options){0});
        expect_failure(&s, ERR_PROVIDER_PROTOCOL, "content coding");
        seen_free(&s);
    }
}

TEST(a_compressed_answer_can_be_paused_in_the_middle_and_ends_after_it)
{
    size_t n = 8 * MIB;
    char *body = calloc(1, n);
    static struct coded c;
    code_answer(&c, "gzip", body, n);
    free(body);
    struct rig r;
    struct seen s = {.pause_at_piece = 3};
    rig_open(&r, &(struct script){c.bytes, c.n}, 1);
    seen_start(&s, &r, (struct call_options){0});
    rig_turns(&r, 10, MS / 10);
    EXPECT_EQ(s.pieces, 3);
    EXPECT(s.bytes < 4 * MIB && !seen_done(&s));
    EXPECT_EQ(stat_read(&client_stats(r.client)->idle), 1); /* the connection is free while the owner is slow */
    call_resume(s.call);
    REQUIRE(rig_run(&r, &s));
    EXPECT_EQ(s.ends, 1);
    EXPECT_EQ(s.bytes, n);
    rig_close(&r);
}

TEST(a_compressed_bomb_is_refused)
{
    size_t n = 256 * MIB;
    char *zeros = calloc(1, n);
    static struct coded c;
    code_answer(&c, "zstd", zeros, n);
    free(zeros);
    struct seen s = one_call(&(struct script){c.bytes, c.n}, 1, (struct call_options){0});
    expect_failure(&s, ERR_PROVIDER_PROTOCOL, "beyond reason");
    EXPECT(s.bytes < 4 * MIB);
    seen_free(&s);
}

/* ---- what it costs ---- */

TEST(a_slow_stream_costs_less_than_a_kibibyte_here)
{
    size_t bytes = sizeof(struct call) + sizeof(struct conn);
    EXPECT(bytes <= 1024);
    printf("# struct call %zu, struct conn %zu\n", sizeof(struct call), sizeof(struct conn));
}

UNIT_MAIN
