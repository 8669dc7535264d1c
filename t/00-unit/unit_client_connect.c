/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP client making its connections: addresses that refuse, do not answer or do not exist, and the next one tried. Then all
 * that may happen to a call, by chance and at once.
 */
#include "unit.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/block.h"
#include "client_rig.h"
#include "unit_random.h"

static struct seen call_to(struct rig *r, struct origin_options o)
{
    struct seen s = {0};
    rig_origin(r, &o);
    EXPECT(seen_get(&s, r));
    return s;
}

TEST(a_refused_connection_names_the_address)
{
    struct rig r;
    rig_open(&r, &(struct script){HELLO}, 1);
    struct origin_options o = rig_options(&r);
    listener_close(r.provider.listener);
    r.provider.listener = NULL;
    struct seen s = call_to(&r, o);
    expect_failure(&s, ERR_CONNECT, "127.0.0.1:");
    EXPECT_EQ(stat_read(&client_stats(r.client)->connect_failures_total), 1);
    o.unix_path = "/nonexistent/socket";
    o.host = NULL;
    struct seen u = call_to(&r, o);
    expect_failure(&u, ERR_CONNECT, "/nonexistent/socket");
    rig_close(&r);
}

TEST(every_call_that_waits_learns_of_a_failure)
{
    struct rig r;
    struct seen s[20] = {0};
    rig_open(&r, &(struct script){HELLO}, 1);
    struct origin_options o = rig_options(&r);
    o.connections_max = 2;
    rig_origin(&r, &o);
    listener_close(r.provider.listener);
    r.provider.listener = NULL;
    for (int i = 0; i < 20; i++)
        seen_start(&s[i], &r, (struct call_options){0});
    for (int i = 0; i < 20; i++) {
        REQUIRE(rig_run(&r, &s[i]));
        expect_failure(&s[i], ERR_CONNECT, "127.0.0.1:");
    }
    rig_close(&r);
}

TEST(a_name_that_does_not_exist_is_told)
{
    struct rig r;
    rig_open(&r, &(struct script){HELLO}, 1);
    struct origin_options o = {.host = "entente.invalid", .port = 80};
    struct seen s = call_to(&r, o);
    EXPECT(s.error == ERR_DNS || s.error == ERR_CONNECT_TIMEOUT);
    EXPECT(strstr(s.why, "entente.invalid") != NULL);
    rig_close(&r);
}

TEST(the_second_address_is_tried_when_the_first_refuses)
{
    struct rig r;
    rig_open(&r, &(struct script){OK_HEAD "Connection: close\r\nContent-Length: 5\r\n\r\nhello"}, 1);
    struct provider six = {.script = r.provider.script, .scripts = 1};
    struct sock_address at;
    const char *why;
    six.loop = r.loop;
    if (sock_address_parse(SPAN("[::1]:0"), &at) != ERR_OK || sock_listen(r.loop, &at, provider_accept, &six, &six.listener, &why) != ERR_OK) {
        rig_close(&r);
        SKIP("no IPv6 here");
    }
    struct origin_options o = {.host = "localhost", .port = provider_port(&six)};
    struct seen s = call_to(&r, o);
    expect_hello(&s);
    EXPECT(strncmp(s.peer, "[::1]:", 6) == 0);
    EXPECT_EQ(r.origin->addresses, 2);
    EXPECT_EQ(r.origin->address[0].bytes, 28); /* the one that worked comes first now: an IPv6 address */
    seen_free(&s);
    EXPECT(seen_get(&s, &r));
    expect_hello(&s);
    EXPECT_EQ(stat_read(&client_stats(r.client)->resolves_total), 1);
    listener_close(six.listener);
    six.listener = NULL;
    struct seen gone = {0};
    EXPECT(seen_get(&gone, &r));
    expect_failure(&gone, ERR_CONNECT, "[::1]");
    EXPECT_EQ(stat_read(&client_stats(r.client)->resolves_total), 2); /* the name was asked once more before giving up */
    seen_free(&s);
    seen_free(&gone);
    provider_close(&six);
    rig_close(&r);
}

/* A listener whose queue is full: the kernel then answers no SYN, as a host that drops packets. */
struct black_hole {
    int listener, fill[4];
    uint16_t port;
};

static bool black_hole_open(struct black_hole *b)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(b->listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(b->listener, 0) != 0)
        return false;
    CHECK(getsockname(b->listener, (struct sockaddr *)&at, &bytes) == 0);
    b->port = ntohs(at.sin_port);
    for (size_t i = 0; i < COUNT_OF(b->fill); i++) {
        b->fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(b->fill[i], (struct sockaddr *)&at, sizeof at);
    }
    usleep(20000);
    return true;
}

static void black_hole_close(struct black_hole *b)
{
    for (size_t i = 0; i < COUNT_OF(b->fill); i++)
        close(b->fill[i]);
    close(b->listener);
}

TEST(an_address_that_does_not_answer_ends_by_the_connect_timeout)
{
    struct black_hole hole;
    struct rig r;
    rig_open(&r, &(struct script){HELLO}, 1);
    REQUIRE(black_hole_open(&hole));
    struct origin_options o = {.host = "127.0.0.1", .port = hole.port, .connect_timeout_ns = 80 * MS};
    uint64_t start_ns = loop_clock_ns(r.loop);
    struct seen s = call_to(&r, o);
    uint64_t took_ns = loop_clock_ns(r.loop) - start_ns;
    expect_failure(&s, ERR_CONNECT_TIMEOUT, "connecting to 127.0.0.1:");
    EXPECT(took_ns >= 80 * MS && took_ns < 400 * MS);
    black_hole_close(&hole);
    rig_close(&r);
}

TEST(an_address_that_does_not_answer_delays_the_next_by_a_quarter_second_only)
{
    struct black_hole hole;
    struct rig r;
    struct provider six = {.script = &(struct script){HELLO}, .scripts = 1};
    char text[32];
    struct sock_address at;
    const char *why;
    rig_open(&r, &(struct script){HELLO}, 1);
    REQUIRE(black_hole_open(&hole));
    snprintf(text, sizeof text, "[::1]:%u", hole.port);
    six.loop = r.loop;
    if (sock_address_parse(span_str(text), &at) != ERR_OK || sock_listen(r.loop, &at, provider_accept, &six, &six.listener, &why) != ERR_OK) {
        black_hole_close(&hole);
        rig_close(&r);
        SKIP("no IPv6 here");
    }
    struct origin_options o = {.host = "localhost", .port = hole.port};
    uint64_t start_ns = loop_clock_ns(r.loop);
    struct seen s = call_to(&r, o);
    uint64_t took_ns = loop_clock_ns(r.loop) - start_ns;
    expect_hello(&s);
    EXPECT(strncmp(s.peer, "[::1]:", 6) == 0);
    EXPECT(took_ns >= 240 * MS && took_ns < 600 * MS);
    seen_free(&s);
    black_hole_close(&hole);
    provider_close(&six);
    rig_close(&r);
}

/* Everything at once, by chance: whatever happens, a call ends once or was cancelled, and what ended well was whole. */

static struct script random_script(void)
{
    static const struct script kinds[] = {
        {HELLO}, {HELLO}, {HELLO_CHUNKED}, {HELLO_CHUNKED}, {HELLO_UNTIL_CLOSE, .then = THEN_CLOSE}, {HELLO_UNTIL_CLOSE, .then = THEN_HALF_CLOSE},
        {HELLO, .then = THEN_CLOSE}, {HELLO, .then = THEN_RESET}, {"", .then = THEN_CLOSE}, {"", .then = THEN_RESET}, {HELLO, 30, .then = THEN_CLOSE},
        {HELLO_CHUNKED, 60, .then = THEN_RESET}, {"", .silent = true}, {HELLO "junk"}, {"nonsense\r\n\r\n"}, {"HTTP/1.1 413 X\r\nContent-Length: 5\r\n\r\nhello", .early = true},
        {OK_HEAD "Content-Length: 5\r\nContent-Encoding: br\r\n\r\nhello"}, {"HTTP/1.1 100 Continue\r\n\r\n" HELLO},
    };
    struct script s = kinds[random_below(COUNT_OF(kinds))];
    s.cut = random_below(2) ? 1 + random_below(30) : 0;
    return s;
}

static void disturb(struct seen *s)
{
    if (seen_done(s) || s->cancelled)
        return;
    switch (random_below(12)) {
    case 0: call_cancel(s->call); s->cancelled = true; break;
    case 1: case 2: call_pause(s->call); break;
    default: call_resume(s->call); break;
    }
}

TEST(whatever_happens_each_call_ends_once_and_only_whole_answers_end_well)
{
    enum { CALLS = 64, ROUNDS = 30, SCRIPTS = 256 };
    static struct seen s[CALLS];
    static struct script scripts[SCRIPTS];
    static char large[300000];
    struct iovec body[2] = {slice("question"), {large, sizeof large}};
    for (unsigned seed = 1; seed <= 4; seed++) {
        struct rig r;
        unsigned well = 0;
        random_seed(seed);
        for (int i = 0; i < SCRIPTS; i++)
            scripts[i] = random_script();
        rig_open(&r, scripts, SCRIPTS);
        struct origin_options o = rig_options(&r);
        o.connections_max = 1 + random_below(20);
        rig_origin(&r, &o);
        for (int round = 0; round < ROUNDS; round++) {
            r.provider.requests = random_below(SCRIPTS);
            int n = 1 + (int)random_below(CALLS);
            memset(s, 0, sizeof s);
            for (int i = 0; i < n; i++) {
                s[i].keep = true;
                s[i].cancel_at = random_below(10) == 0 ? 1 + (int)random_below(2) : 0;
                s[i].pause_at_piece = random_below(6) == 0;
                seen_start(&s[i], &r, (struct call_options){.method = SPAN("POST"), .body = body, .body_n = random_below(3), .first_byte_timeout_ns = 4 * MS,
                                                            .idle_timeout_ns = 4 * MS, .total_timeout_ns = 30 * MS});
                if (random_below(4) == 0)
                    rig_turns(&r, 1, MS / 20);
            }
            for (int turn = 0; turn < 20; turn++) {
                disturb(&s[random_below((unsigned)n)]);
                rig_turns(&r, 1, MS / 20);
            }
            for (int i = 0; i < n; i++)
                well += seen_ended_well(&s[i], seed);
        }
        EXPECT(well > 10);
        EXPECT_EQ(r.origin->waiting_n + r.origin->busy_n, 0);
        rig_close(&r);
    }
}

UNIT_MAIN
