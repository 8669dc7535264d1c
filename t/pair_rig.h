/* SPDX-License-Identifier: Apache-2.0
 *
 * Two ends of one connection on one loop over the real kernel: a listener that takes the first who comes, and the one who comes.
 */
#ifndef ENTENTE_TEST_PAIR_RIG_H
#define ENTENTE_TEST_PAIR_RIG_H

#include "io/backend.h"
#include "io_end.h"
#include "unit.h"

struct pair {
    struct loop *l;
    struct listener *listener;
    struct sock_address at;
    struct end client, server;
    struct tls_context *server_tls;
    bool accepted, connected;
    enum err connect_result;
    struct tls_context *client_tls;
    const char *server_name;
};

static void pair_accept(void *owner, struct sock *s)
{
    struct pair *p = owner;
    if (p->accepted) {
        sock_close(s);
        return;
    }
    p->accepted = true;
    end_start(&p->server, s, p->server_tls, NULL);
}

static void pair_connected(struct sock *s, unsigned events)
{
    struct pair *p = s->owner;
    p->connect_result = sock_connect_result(s);
    if (p->connect_result == ERR_AGAIN)
        return;
    p->connected = true;
    end_start(&p->client, s, p->client_tls, p->server_name);
    end_progress(&p->client);
}

static bool pair_listen(struct pair *p, const char *at)
{
    const char *why = NULL;
    p->l = loop_new(io_epoll(), NULL);
    CHECK(sock_address_parse(span_str(at), &p->at) == ERR_OK);
    if (sock_listen(p->l, &p->at, pair_accept, p, &p->listener, &why) != ERR_OK) {
        loop_free(p->l);
        return false;
    }
    p->at = listener_address(p->listener);
    return true;
}

static void pair_connect(struct pair *p)
{
    struct sock *s;
    CHECK(sock_connect(p->l, &p->at, &s) == ERR_OK);
    s->owner = p;
    s->on_ready = pair_connected;
}

static bool pair_run(struct pair *p)
{
    bool accepted = run_until(p->l, &p->accepted) && run_until(p->l, &p->connected);
    return accepted && run_until_closed(p->l, &p->client, &p->server);
}

static void pair_free(struct pair *p)
{
    end_free(&p->client);
    end_free(&p->server);
    listener_close(p->listener);
    EXPECT_EQ(loop_socks(p->l), 0);
    loop_free(p->l);
}

static char *megabytes(size_t bytes)
{
    char *p = malloc(bytes);
    for (size_t i = 0; i < bytes; i++)
        p[i] = (char)(i * 2654435761u >> 13);
    return p;
}

static void echo_over(const char *at, struct tls_context *server, struct tls_context *client)
{
    size_t bytes = 3 * MIB + 17;
    char *body = megabytes(bytes);
    struct pair p = {.server = {.echo = true}, .client = {.out = body, .out_bytes = bytes, .finish = true},
                     .server_tls = server, .client_tls = client, .server_name = "gateway.test"};
    REQUIRE(pair_listen(&p, at));
    pair_connect(&p);
    EXPECT(pair_run(&p));
    EXPECT_EQ(p.client.in_used, bytes);
    EXPECT(p.client.in_used == bytes && memcmp(p.client.in, body, bytes) == 0);
    EXPECT(p.client.ended && !p.client.broken);
    pair_free(&p);
    free(body);
}

#endif
