/* SPDX-License-Identifier: Apache-2.0
 *
 * A minimal HTTP-shaped relay on libuv, in its usual way: uv_read_start with one buffer per loop, uv_try_write
 * first and uv_write for the rest, uv_read_stop while the other side is full. Its twin is loop_epoll.c; the two
 * do the same work through the same message reader. A measurement, not a proxy for real traffic.
 */
#include "../wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#define READ_BYTES (64 * 1024)

struct side {
    uv_tcp_t tcp;
    bool upstream;
    bool writing;              /* a uv_write is under way */
    struct side *peer;
    struct side *pool_next;
    uv_connect_t connect;
    struct wire_message in;
};

struct rest {
    uv_write_t req;
    char bytes[];
};

static uv_loop_t *loop;
static struct sockaddr_in upstream_addr;
static struct side *pool;
static char read_buf[READ_BYTES];

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret_buf)
{
    *ret_buf = uv_buf_init(read_buf, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void on_closed(uv_handle_t *h)
{
    free(h);
}

static void side_close(struct side *s)
{
    if (!s || uv_is_closing((uv_handle_t *)&s->tcp))
        return;
    struct side *peer = s->peer;
    for (struct side **at = &pool; s->upstream && *at; at = &(*at)->pool_next)
        if (*at == s) {
            *at = s->pool_next;
            break;
        }
    uv_close((uv_handle_t *)&s->tcp, on_closed);
    if (peer) {
        peer->peer = s->peer = NULL;
        side_close(peer);
    }
}

static struct side *side_new(bool upstream)
{
    struct side *s = calloc(1, sizeof *s);
    if (!s)
        wire_die("out of memory");
    s->upstream = upstream;
    uv_tcp_init(loop, &s->tcp);
    return s;
}

static void on_connect(uv_connect_t *req, int status)
{
    struct side *s = req->data;
    if (status)
        side_close(s);
    else
        uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
}

static struct side *upstream_take(void)
{
    struct side *u = pool;
    if (u) {
        pool = u->pool_next;
        return u;
    }
    u = side_new(true);
    u->connect.data = u;
    uv_tcp_connect(&u->connect, &u->tcp, (struct sockaddr *)&upstream_addr, on_connect);
    uv_tcp_nodelay(&u->tcp, 1);
    return u;
}

static void on_write(uv_write_t *req, int status)
{
    struct side *s = req->data;
    free(req);
    s->writing = false;
    if (status)
        side_close(s);
    else if (s->peer)
        uv_read_start((uv_stream_t *)&s->peer->tcp, on_alloc, on_read);
}

/* Writes to s what came from its peer; the peer is not read while s has bytes pending. */
static bool side_write(struct side *s, const char *p, size_t n)
{
    uv_buf_t buf = uv_buf_init((char *)p, (unsigned)n);
    int put = uv_try_write((uv_stream_t *)&s->tcp, &buf, 1);
    if (put < 0 && put != UV_EAGAIN)
        return false;
    put = put < 0 ? 0 : put;
    if ((size_t)put == n)
        return true;
    struct rest *rest = malloc(sizeof *rest + n - (size_t)put);
    if (!rest)
        wire_die("out of memory");
    memcpy(rest->bytes, p + put, n - (size_t)put);
    buf = uv_buf_init(rest->bytes, (unsigned)(n - (size_t)put));
    rest->req.data = s;
    s->writing = true;
    uv_read_stop((uv_stream_t *)&s->peer->tcp);
    return uv_write(&rest->req, (uv_stream_t *)&s->tcp, &buf, 1, on_write) == 0;
}

/* The answer is whole: the upstream connection rests, the client may ask again. */
static void exchange_done(struct side *u)
{
    struct side *c = u->peer;
    u->peer = c->peer = NULL;
    uv_read_start((uv_stream_t *)&u->tcp, on_alloc, on_read);
    wire_message_reset(&u->in);
    wire_message_reset(&c->in);
    u->pool_next = pool;
    pool = u;
}

static bool side_got(struct side *s, const char *p, size_t n)
{
    if (!s->peer && s->upstream)
        return false;
    if (!s->peer) {
        s->peer = upstream_take();
        s->peer->peer = s;
    }
    wire_message_feed(&s->in, p, n, NULL, NULL);
    if (s->in.state == WIRE_BAD || !side_write(s->peer, p, n))
        return false;
    if (s->upstream && s->in.state == WIRE_DONE)
        exchange_done(s);
    return true;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct side *s = (struct side *)stream;
    if (n < 0 || (n > 0 && !side_got(s, buf->base, (size_t)n)))
        side_close(s);
}

static void on_connection(uv_stream_t *listener, int status)
{
    if (status)
        return;
    struct side *s = side_new(false);
    if (uv_accept(listener, (uv_stream_t *)&s->tcp)) {
        side_close(s);
        return;
    }
    uv_tcp_nodelay(&s->tcp, 1);
    uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: loop_uv PORT UPSTREAM_PORT\n");
        return 2;
    }
    wire_raise_files();
    loop = uv_default_loop();
    struct sockaddr_in a;
    uv_tcp_t listener;
    uv_ip4_addr("127.0.0.1", atoi(argv[1]), &a);
    uv_ip4_addr("127.0.0.1", atoi(argv[2]), &upstream_addr);
    uv_tcp_init(loop, &listener);
    if (uv_tcp_bind(&listener, (struct sockaddr *)&a, 0) || uv_listen((uv_stream_t *)&listener, 4096, on_connection))
        wire_die("listen");
    printf("listening on http://127.0.0.1:%s\n", argv[1]);
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
