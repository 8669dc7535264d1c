/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS on the real kernel: who is believed, what both sides agree on, and that a connection cut off is not a clean end.
 */
#include "unit.h"

#include "base/log.h"
#include "pair_rig.h"
#include "test_ca.h"
#include "unit_directory.h"

static struct test_cert ca, other_ca;

static struct tls_context *server_of(const char *stem, const char *alt, const struct test_cert *issuer, long from_s, long to_s, bool h2)
{
    struct test_cert c = test_cert_make(issuer, "gateway", alt, from_s, to_s);
    char cert[300], key[300], why[256] = "";
    test_cert_write(&c, in_directory(stem));
    test_cert_free(&c);
    snprintf(cert, sizeof cert, "%s.crt", in_directory(stem));
    snprintf(key, sizeof key, "%s.key", in_directory(stem));
    struct tls_context *ret = NULL;
    if (tls_server_context(&(struct tls_server_options){cert, key, h2}, &ret, why) != ERR_OK)
        UNIT_FAIL("%s", why);
    return ret;
}

static struct tls_context *server_good(void) { return server_of("good", "DNS:gateway.test,IP:127.0.0.1", &ca, -60, 3600, true); }

static struct tls_context *client_of(bool verify, bool h2)
{
    char file[300], why[256] = "";
    struct tls_context *ret = NULL;
    snprintf(file, sizeof file, "%s.crt", in_directory("ca"));
    if (tls_client_context(&(struct tls_client_options){.ca_file = file, .verify = verify, .offer_h2 = h2}, &ret, why) != ERR_OK)
        UNIT_FAIL("%s", why);
    return ret;
}

__attribute__((constructor)) static void make_authorities(void)
{
    log_set_level(LOG_OFF);
    ca = test_cert_make(NULL, "a test authority", NULL, -3600, 36000);
    other_ca = test_cert_make(NULL, "another authority", NULL, -3600, 36000);
    test_cert_write(&ca, in_directory("ca"));
}

__attribute__((destructor)) static void drop_authorities(void)
{
    test_cert_free(&ca);
    test_cert_free(&other_ca);
}

TEST(bytes_arrive_whole_over_tls)
{
    struct tls_context *server = server_good(), *client = client_of(true, true);
    echo_over("127.0.0.1:0", server, client);
    tls_context_unref(server);
    tls_context_unref(client);
}

/* One short exchange. Takes neither context. */
struct meeting {
    enum err client, server;
    bool h2, resumed, whole;
    char why[200], server_why[200], version[16];
};

static struct meeting meet(struct tls_context *server, struct tls_context *client, const char *name)
{
    struct meeting m = {0};
    struct pair p = {.server = {.out = "answer", .out_bytes = 6, .finish = true}, .server_tls = server, .client_tls = client, .server_name = name,
                     .client = {.out = "question", .out_bytes = 8, .finish = true, .keep_open = true}};
    CHECK(pair_listen(&p, "127.0.0.1:0"));
    pair_connect(&p);
    p.server.keep_open = true;
    (void)(run_until(p.l, &p.accepted) && run_until(p.l, &p.connected));
    for (int i = 0; i < 400 && !((p.client.ended || !p.client.open) && (p.server.ended || !p.server.open)); i++)
        turn_for(p.l, NS_PER_MS);
    m.client = p.client.handshake;
    m.server = p.server.handshake;
    m.whole = p.client.in_used == 6 && p.client.ended && p.server.in_used == 8;
    if (p.client.open) {
        m.h2 = transport_alpn_is_h2(&p.client.t);
        m.resumed = transport_is_resumed(&p.client.t);
        struct span version = transport_tls_version(&p.client.t);
        snprintf(m.version, sizeof m.version, "%.*s", SPAN_ARG(version));
    }
    pair_free(&p);
    return m;
}

TEST(both_sides_agree_on_http2_only_when_both_offer_it)
{
    struct tls_context *server = server_good();
    for (int h2 = 0; h2 < 2; h2++) {
        struct tls_context *client = client_of(true, h2);
        struct meeting m = meet(server, client, "gateway.test");
        EXPECT(m.client == ERR_OK && m.server == ERR_OK && m.whole);
        EXPECT_EQ(m.h2, h2);
        EXPECT_STR(m.version, "TLSv1.3");
        tls_context_unref(client);
    }
    tls_context_unref(server);
}

TEST(the_second_connection_resumes_the_first_ones_session)
{
    struct tls_context *server = server_good(), *client = client_of(true, true);
    EXPECT(!meet(server, client, "gateway.test").resumed);
    EXPECT(meet(server, client, "gateway.test").resumed);
    EXPECT(meet(server, client, "gateway.test").resumed);
    EXPECT(!meet(server, client, "127.0.0.1").resumed); /* another name, another session */
    tls_context_unref(server);
    tls_context_unref(client);
}

/* A handshake that must fail, and with which words. Takes server. */
static void refuse(struct tls_context *server, const char *name, const char *why)
{
    struct tls_context *client = client_of(true, true);
    struct pair p = {.server_tls = server, .client_tls = client, .server_name = name};
    CHECK(pair_listen(&p, "127.0.0.1:0"));
    pair_connect(&p);
    EXPECT(run_until(p.l, &p.client.broken));
    EXPECT_EQ(p.client.handshake, ERR_TLS);
    EXPECT_STR(p.client.why, why);
    EXPECT(run_until(p.l, &p.server.broken));
    pair_free(&p);
    tls_context_unref(server);
    tls_context_unref(client);
}

TEST(a_provider_that_shows_another_hosts_certificate_is_refused)
{
    refuse(server_good(), "other.test", "hostname mismatch");
}
TEST(a_provider_at_another_ip_address_is_refused)
{
    refuse(server_good(), "127.0.0.2", "IP address mismatch");
}
TEST(an_expired_certificate_is_refused)
{
    refuse(server_of("expired", "DNS:gateway.test", &ca, -7200, -3600, false), "gateway.test", "certificate has expired");
}
TEST(a_certificate_of_tomorrow_is_refused)
{
    refuse(server_of("early", "DNS:gateway.test", &ca, 3600, 7200, false), "gateway.test", "certificate is not yet valid");
}
TEST(a_self_signed_certificate_is_refused)
{
    refuse(server_of("self", "DNS:gateway.test", NULL, -60, 3600, false), "gateway.test", "self-signed certificate");
}
TEST(a_certificate_of_a_foreign_authority_is_refused)
{
    refuse(server_of("foreign", "DNS:gateway.test", &other_ca, -60, 3600, false), "gateway.test", "unable to get local issuer certificate");
}

TEST(a_config_that_says_insecure_takes_any_certificate)
{
    struct tls_context *server = server_of("self2", "DNS:gateway.test", NULL, -60, 3600, false), *client = client_of(false, false);
    struct meeting m = meet(server, client, "other.test");
    EXPECT(m.client == ERR_OK && m.whole);
    tls_context_unref(server);
    tls_context_unref(client);
}

TEST(a_peer_that_does_not_speak_tls_is_named_as_such)
{
    struct tls_context *client = client_of(true, true);
    struct pair p = {.server = {.out = "HTTP/1.1 400 Bad Request\r\n\r\n", .out_bytes = 28, .keep_open = true}, .client_tls = client,
                     .server_name = "gateway.test"};
    REQUIRE(pair_listen(&p, "127.0.0.1:0"));
    pair_connect(&p);
    EXPECT(run_until(p.l, &p.client.broken));
    EXPECT_EQ(p.client.handshake, ERR_TLS);
    EXPECT_STR(p.client.why, "the peer does not speak TLS here");
    pair_free(&p);
    tls_context_unref(client);
}

TEST(an_answer_cut_off_inside_tls_is_not_a_clean_end)
{
    struct tls_context *server = server_good(), *client = client_of(true, true);
    struct pair p = {.server = {.out = "half an ans", .out_bytes = 11, .keep_open = true}, .client = {.out = "q", .out_bytes = 1, .keep_open = true},
                     .server_tls = server, .client_tls = client, .server_name = "gateway.test"};
    REQUIRE(pair_listen(&p, "127.0.0.1:0"));
    pair_connect(&p);
    for (int i = 0; i < 400 && p.client.in_used < 11; i++)
        turn_for(p.l, NS_PER_MS);
    EXPECT_EQ(p.client.in_used, 11);
    sock_shutdown_write(p.server.t.sock); /* under TLS: an end without close_notify, as an attacker would make it */
    EXPECT(run_until(p.l, &p.client.broken));
    EXPECT(!p.client.ended);
    pair_free(&p);
    tls_context_unref(server);
    tls_context_unref(client);
}

TEST(a_slow_reader_over_tls_gets_every_byte_even_when_the_parts_change)
{
    struct tls_context *server = server_good(), *client = client_of(true, true);
    size_t bytes = 8 * MIB;
    char *body = megabytes(bytes);
    struct pair p = {.server = {.out = body, .out_bytes = bytes, .finish = true}, .client = {.deaf = true, .finish = true},
                     .server_tls = server, .client_tls = client, .server_name = "gateway.test"};
    REQUIRE(pair_listen(&p, "127.0.0.1:0"));
    pair_connect(&p);
    REQUIRE(run_until(p.l, &p.accepted) && run_until(p.l, &p.connected));
    turn_for(p.l, 50 * NS_PER_MS);
    EXPECT(p.server.out_at > 0 && p.server.out_at < bytes); /* it was stopped, not buffered without end */
    p.client.deaf = false;
    end_progress(&p.client);
    EXPECT(run_until_closed(p.l, &p.client, &p.server));
    EXPECT(p.client.in_used == bytes && memcmp(p.client.in, body, bytes) == 0);
    pair_free(&p);
    free(body);
    tls_context_unref(server);
    tls_context_unref(client);
}

TEST(wrong_certificate_files_are_named)
{
    struct tls_context *c = server_good(), *none = NULL;
    char why[256], missing[300], cert[300], other_key[300], text[300];
    tls_context_unref(c);
    snprintf(missing, sizeof missing, "%s", in_directory("nothing.crt"));
    snprintf(cert, sizeof cert, "%s", in_directory("good.crt"));
    snprintf(other_key, sizeof other_key, "%s", in_directory("ca.key"));
    snprintf(text, sizeof text, "%s", in_directory("text"));
    FILE *file = fopen(text, "w");
    fputs("not PEM\n", file);
    fclose(file);
    char locked[300];
    snprintf(locked, sizeof locked, "%s", in_directory("locked"));
    file = fopen(locked, "w");
    CHECK(file && PEM_write_PrivateKey(file, ca.key, EVP_aes_128_cbc(), NULL, 0, NULL, (void *)(uintptr_t)"secret") == 1);
    fclose(file);
    const struct { const char *cert, *key, *words; } row[] = {
        {cert, locked, "is encrypted"},
        {missing, other_key, "nothing.crt: No such file"}, {cert, missing, "nothing.crt: No such file"},
        {text, other_key, "text holds no PEM certificate"}, {cert, text, "text holds no PEM private key"},
        {cert, other_key, "does not belong to the certificate"}, {cert, NULL, "both cert and key"},
    };
    for (unsigned i = 0; i < COUNT_OF(row); i++) {
        why[0] = 0;
        EXPECT_EQ(tls_server_context(&(struct tls_server_options){row[i].cert, row[i].key, false}, &none, why), ERR_TLS);
        if (!strstr(why, row[i].words))
            UNIT_FAIL("\"%s\" lacks \"%s\"", why, row[i].words);
    }
    EXPECT_EQ(tls_client_context(&(struct tls_client_options){.ca_file = text, .verify = true}, &none, why), ERR_TLS);
    EXPECT(strstr(why, text) != NULL);
    EXPECT(!none);
}

UNIT_MAIN
