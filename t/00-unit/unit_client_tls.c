/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP client over TLS and through proxies, and the variables that name proxies.
 */
#include "unit.h"

#include <signal.h>
#include <unistd.h>

#include "base/block.h"
#include "client_rig.h"
#include "http/proxy.h"
#include "test_ca.h"
#include "unit_directory.h"

static struct tls_context *server_tls, *client_tls, *stranger_tls;

static struct tls_context *client_context(const char *ca)
{
    char why[256];
    struct tls_context *c = NULL;
    CHECK(tls_client_context(&(struct tls_client_options){.ca_file = in_directory(ca), .verify = true}, &c, why) == ERR_OK);
    return c;
}

__attribute__((constructor)) static void make_certificates(void)
{
    char why[256];
    struct test_cert ca = test_cert_make(NULL, "test authority", NULL, -60, 3600);
    struct test_cert leaf = test_cert_make(&ca, "provider", "DNS:localhost,IP:127.0.0.1", -60, 3600);
    struct test_cert stranger = test_cert_make(NULL, "another authority", NULL, -60, 3600);
    test_cert_write(&ca, in_directory("ca"));
    test_cert_write(&leaf, in_directory("leaf"));
    test_cert_write(&stranger, in_directory("stranger"));
    test_cert_free(&ca);
    test_cert_free(&leaf);
    test_cert_free(&stranger);
    CHECK(tls_server_context(&(struct tls_server_options){.cert_file = in_directory("leaf.crt"), .key_file = in_directory("leaf.key")}, &server_tls, why) == ERR_OK);
    client_tls = client_context("ca.crt");
    stranger_tls = client_context("stranger.crt");
}

__attribute__((destructor)) static void drop_certificates(void)
{
    tls_context_unref(server_tls);
    tls_context_unref(client_tls);
    tls_context_unref(stranger_tls);
}

static void rig_open_tls(struct rig *r, const struct script *scripts, unsigned n, struct tls_context *trust)
{
    rig_open(r, scripts, n);
    r->provider.tls = server_tls;
    struct origin_options o = rig_options(r);
    o.tls = true;
    o.tls_context = trust;
    o.connect_timeout_ns = 2 * NS_PER_S;
    rig_origin(r, &o);
}

TEST(calls_over_tls_keep_their_connection)
{
    struct rig r;
    rig_open_tls(&r, &(struct script){HELLO}, 1, client_tls);
    for (int i = 0; i < 5; i++) {
        struct seen s = {0};
        REQUIRE(seen_get(&s, &r));
        expect_hello(&s);
        EXPECT_EQ(s.reused, i > 0);
        seen_free(&s);
    }
    EXPECT_EQ(r.provider.accepted, 1);
    rig_close(&r);
}

TEST(answers_over_tls_may_be_cut_anywhere)
{
    for (size_t cut = 1; cut < strlen(HELLO); cut += 4) {
        struct rig r;
        struct seen s = {0};
        rig_open_tls(&r, &(struct script){HELLO, .cut = cut}, 1, client_tls);
        EXPECT(seen_get(&s, &r));
        expect_hello(&s);
        seen_free(&s);
        rig_close(&r);
    }
}

TEST(large_bodies_pass_both_ways_over_tls)
{
    size_t n = 4 * MIB, head = strlen(OK_HEAD "Content-Length: 4194304\r\n\r\n");
    char *answer = calloc(1, head + n), *question = calloc(1, n);
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + (unsigned char)(question[i] = (char)(i >> 3));
    memcpy(answer, OK_HEAD "Content-Length: 4194304\r\n\r\n", head);
    struct iovec body[2] = {{question, 1000}, {question + 1000, n - 1000}};
    struct rig r;
    struct seen s = {.pause_at_piece = 2};
    rig_open_tls(&r, &(struct script){answer, head + n}, 1, client_tls);
    seen_start(&s, &r, (struct call_options){.method = SPAN("POST"), .body = body, .body_n = 2, .idle_timeout_ns = 5 * NS_PER_S});
    for (int i = 0; i < 200 && s.pieces < 2; i++)
        rig_turns(&r, 1, MS);
    rig_turns(&r, 20, MS);
    EXPECT_EQ(s.pieces, 2);
    call_resume(s.call);
    REQUIRE(rig_run(&r, &s));
    EXPECT_EQ(s.bytes, n);
    EXPECT(r.provider.heard_sum == sum);
    free(answer);
    free(question);
    rig_close(&r);
}

TEST(an_answer_until_close_needs_the_goodbye_of_tls)
{
    static const enum then ends[] = {THEN_CLOSE, THEN_RESET};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        struct rig r;
        struct seen s = {0};
        rig_open_tls(&r, &(struct script){OK_HEAD "\r\nhello", .then = ends[i]}, 1, client_tls);
        EXPECT(seen_get(&s, &r));
        if (i == 0)
            expect_hello(&s);
        else
            expect_failure(&s, ERR_PROVIDER_RESET, "the provider");
        seen_free(&s);
        rig_close(&r);
    }
}

TEST(a_certificate_of_a_stranger_is_refused_with_its_reason)
{
    struct rig r;
    struct seen s = {0};
    rig_open_tls(&r, &(struct script){HELLO}, 1, stranger_tls);
    EXPECT(seen_get(&s, &r));
    expect_failure(&s, ERR_TLS, "TLS with 127.0.0.1:");
    printf("# %s\n", s.why);
    EXPECT_EQ(r.provider.requests, 0);
    rig_close(&r);
}

TEST(a_server_without_tls_is_told_from_one_with_it)
{
    struct rig r;
    struct seen s = {0};
    rig_open_tls(&r, &(struct script){HELLO}, 1, client_tls);
    r.provider.tls = NULL;
    r.provider.script = &(struct script){"HTTP/1.1 400 Bad Request\r\n\r\n", .then = THEN_CLOSE};
    struct origin_options o = rig_options(&r);
    o.tls = true;
    o.tls_context = client_tls;
    o.connect_timeout_ns = 50 * MS;
    rig_origin(&r, &o);
    EXPECT(seen_get(&s, &r)); /* the handshake has no empty line, so the provider waits for ever */
    expect_failure(&s, ERR_CONNECT_TIMEOUT, "TLS handshake");
    rig_close(&r);
}

TEST(calls_that_begin_together_learn_the_protocol_from_one_handshake)
{
    struct rig r;
    struct seen s[8] = {0};
    rig_open_tls(&r, &(struct script){HELLO}, 1, client_tls);
    for (int i = 0; i < 8; i++) {
        s[i].keep = true;
        seen_start(&s[i], &r, (struct call_options){0});
    }
    EXPECT_EQ(r.origin->dials_n, 0);
    rig_turns(&r, 1, MS);
    EXPECT_EQ(r.origin->dials_n, 1);
    for (int i = 0; i < 8; i++) {
        EXPECT(rig_run(&r, &s[i]));
        expect_hello(&s[i]);
        seen_free(&s[i]);
    }
    EXPECT_EQ(r.origin->speaks, SPEAKS_H1);
    rig_close(&r);
}

TEST(prior_http2_that_the_provider_does_not_offer_is_an_error)
{
    struct rig r;
    rig_open_tls(&r, &(struct script){HELLO}, 1, client_tls);
    struct origin_options o = rig_options(&r);
    o.tls = true;
    o.tls_context = client_tls;
    o.http = ORIGIN_H2;
    rig_origin(&r, &o);
    struct seen s = {0};
    EXPECT(seen_get(&s, &r));
    expect_failure(&s, ERR_TLS, "ALPN");
    rig_close(&r);
}

/* ---- proxies ---- */

static void rig_open_proxy(struct rig *r, const struct script *scripts, unsigned n, bool tls)
{
    rig_open(r, scripts, n);
    r->provider.tls = server_tls;
    r->provider.tunnel = true;
    struct origin_options o = {.host = "localhost", .port = tls ? 443 : 80, .tls = tls, .tls_context = client_tls, .proxy_host = "127.0.0.1",
                               .proxy_port = provider_port(&r->provider), .proxy_authorization = "Basic eDp5"};
    rig_origin(r, &o);
}

TEST(https_goes_through_a_tunnel_and_the_connection_is_kept)
{
    struct script scripts[] = {{"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n", .then = THEN_TLS}, {HELLO}};
    struct rig r;
    rig_open_proxy(&r, scripts, 2, true);
    for (int i = 0; i < 2; i++) {
        struct seen s = {0};
        REQUIRE(seen_get(&s, &r));
        expect_hello(&s);
        EXPECT_STR(r.provider.heard, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); /* the proxy's secret stays with the proxy */
        seen_free(&s);
    }
    EXPECT_EQ(r.provider.accepted, 1);
    rig_close(&r);
}

TEST(the_tunnel_is_asked_for_with_name_and_authorization)
{
    struct rig r;
    struct seen s = {0};
    rig_open_proxy(&r, &(struct script){"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nno\n"}, 1, true);
    EXPECT(seen_get(&s, &r));
    EXPECT_STR(r.provider.heard, "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\nProxy-Authorization: Basic eDp5\r\n\r\n");
    expect_failure(&s, ERR_PROXY, "answered 407 to CONNECT");
    rig_close(&r);
}

TEST(a_proxy_that_breaks_is_named)
{
    static const struct script bad[] = {{"", .then = THEN_CLOSE}, {"HTTP/1.1 200 OK\r\n\r\nextra"}, {"nonsense\r\n\r\n"}, {"HTTP/1.1 20", .then = THEN_RESET}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct rig r;
        struct seen s = {0};
        rig_open_proxy(&r, &bad[i], 1, true);
        EXPECT(seen_get(&s, &r));
        expect_failure(&s, ERR_PROXY, "the proxy 127.0.0.1:");
        rig_close(&r);
    }
}

TEST(plain_http_through_a_proxy_names_the_whole_url)
{
    struct rig r;
    struct seen s = {0};
    rig_open_proxy(&r, &(struct script){HELLO}, 1, false);
    EXPECT(seen_get(&s, &r));
    expect_hello(&s);
    EXPECT_STR(r.provider.heard, "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\nProxy-Authorization: Basic eDp5\r\n\r\n");
    seen_free(&s);
    rig_close(&r);
}

/* ---- the variables ---- */

static void expect_proxy(bool tls, const char *host, uint16_t port, struct client_proxy_env env, const char *expected)
{
    struct arena a;
    struct client_proxy proxy = {0};
    const char *why = "";
    char got[256];
    arena_init(&a, 512);
    enum err e = client_proxy_from_env(&a, tls, host, port, &env, &proxy, &why);
    if (e != ERR_OK)
        snprintf(got, sizeof got, "error");
    else if (!proxy.host)
        snprintf(got, sizeof got, "direct");
    else
        snprintf(got, sizeof got, "%s %u %s", proxy.host, proxy.port, proxy.authorization ? proxy.authorization : "-");
    if (strcmp(got, expected) != 0)
        UNIT_FAIL("%s:%u with %s except %s: %s, expected %s", host, port, env.https_proxy ? env.https_proxy : "", env.no_proxy ? env.no_proxy : "", got, expected);
    EXPECT(e == ERR_OK || why[0]);
    arena_fini(&a);
}

TEST(proxy_urls_are_read_in_every_usual_form)
{
    static const char *const urls[][2] = {
        {"http://proxy:3128", "proxy 3128 -"}, {"proxy:3128", "proxy 3128 -"}, {"HTTP://proxy", "proxy 80 -"}, {"http://proxy:3128/", "proxy 3128 -"},
        {"http://[::1]:8080", "::1 8080 -"}, {"http://u:p%40@proxy:1", "proxy 1 Basic dTpwQA=="}, {"u:p@proxy:1", "proxy 1 Basic dTpw"}, {"  ", "direct"},
        {"", "direct"}, {"https://proxy:1", "error"}, {"socks5://proxy:1", "error"}, {"http://proxy:x", "error"}, {"http://proxy:0", "error"}, {"http://:1", "error"},
    };
    for (size_t i = 0; i < COUNT_OF(urls); i++)
        expect_proxy(true, "api.openai.com", 443, (struct client_proxy_env){.https_proxy = urls[i][0]}, urls[i][1]);
    expect_proxy(true, "x.com", 443, (struct client_proxy_env){.http_proxy = "plain:1"}, "direct");
    expect_proxy(false, "x.com", 80, (struct client_proxy_env){.http_proxy = "plain:1"}, "plain 1 -");
    expect_proxy(true, "x.com", 443, (struct client_proxy_env){.all_proxy = "all:1"}, "all 1 -");
    expect_proxy(true, "x.com", 443, (struct client_proxy_env){.https_proxy = "one:1", .all_proxy = "all:1"}, "one 1 -");
}

TEST(no_proxy_exempts_names_ports_and_networks)
{
    static const struct { const char *host; uint16_t port; const char *list; bool direct; } rows[] = {
        {"api.example.com", 443, "example.com", true},       {"example.com", 443, "example.com", true},
        {"badexample.com", 443, "example.com", false},       {"API.EXAMPLE.COM", 443, "Example.com", true},
        {"example.com", 443, ".example.com", false},         {"api.example.com", 443, ".example.com", true},
        {"api.example.com", 443, "a.com, example.com", true}, {"api.example.com", 443, "a.com b.com example.com", true},
        {"api.example.com", 443, "*", true},                 {"api.example.com", 443, "example.com:443", true},
        {"api.example.com", 8443, "example.com:443", false}, {"api.example.com", 443, "", false},
        {"api.example.com", 443, ",,", false},               {"api.example.com", 443, ".", false},
        {"10.1.2.3", 443, "10.1.2.3", true},                 {"10.1.2.3", 443, "10.0.0.0/8", true},
        {"11.1.2.3", 443, "10.0.0.0/8", false},              {"10.1.2.3", 443, "10.1.2.0/23", true},
        {"10.1.4.3", 443, "10.1.2.0/23", false},             {"10.1.2.3", 443, "0.0.0.0/0", true},
        {"10.1.2.3", 443, "10.0.0.0/99", false},             {"10.1.2.3", 443, "10.0.0.0/x", false},
        {"10.1.2.3", 443, "2.3", false},                     {"fd00::5", 443, "fd00::/8", true},
        {"[fd00::5]", 443, "fd00::5", true},                 {"fd00::5", 443, "fe00::/8", false},
        {"localhost", 80, "", true},                         {"127.0.0.9", 80, "", true},
        {"::1", 80, "", true},                               {"fd00::5", 443, "[fd00::5]:443", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_proxy(true, rows[i].host, rows[i].port, (struct client_proxy_env){.https_proxy = "p:1", .no_proxy = rows[i].list}, rows[i].direct ? "direct" : "p 1 -");
}

UNIT_MAIN
