/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP layer alone, for raw-byte stories: answers every request with what it understood of it, as text.
 *
 *   echo-server [--tls CERT KEY] [--body-max N] [--connections N] [--timeout-ms N] [--budget N]
 *
 * Prints "listening on ADDR:PORT". Paths with a meaning of their own:
 *   /later/MS          answers after MS milliseconds        /stream/N/BYTES/MS  N pieces of BYTES, one every MS
 *   /break/N           breaks off after N pieces            /refuse             on_head says 404
 *   /pieces            the body is taken in pieces          /counts             requests, aborts and bytes so far, as text
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/server.h"
#include "io/backend.h"

struct work { /* an answer that takes its time */
    struct stream *stream;
    struct timer timer;
    unsigned left, piece_bytes, every_ms;
    bool breaks, paused;
    uint64_t body_bytes;
};

static struct loop *loop;
static struct server *server;
static uint64_t requests, aborts, pieces;
static char filler[65536];

static enum err number_at(struct span path, unsigned nth, unsigned *ret)
{
    for (unsigned i = 0; i <= nth; i++)
        (void)span_cut(&path, '/');
    struct span one = span_cut(&path, '/');
    uint64_t n;
    if (!one.p || !span_to_u64(one, &n) || n > 1000000)
        return ERR_NOT_FOUND;
    *ret = (unsigned)n;
    return ERR_OK;
}

/* ---- echo ---- */

static void echo_head(struct buf *out, struct stream *s)
{
    const struct http_head *h = &stream_base(s)->head;
    enum err e = buf_printf(out, "method %.*s\ntarget %.*s\npath %.*s\nquery %.*s\nauthority %.*s\nversion %u\n", SPAN_ARG(h->method_name),
                            SPAN_ARG(h->target), SPAN_ARG(h->path), SPAN_ARG(h->query), SPAN_ARG(h->authority), h->version);
    for (unsigned i = 0; !e && i < h->headers_n; i++)
        e = buf_printf(out, "header %.*s: %.*s\n", SPAN_ARG(h->headers[i].name), SPAN_ARG(h->headers[i].value));
    CHECK(!e);
}

static void echo(struct stream *s)
{
    struct buf out;
    buf_init(&out, 64 * MIB);
    echo_head(&out, s);
    struct span body = stream_body(s);
    enum err e = buf_printf(&out, "body %zu\n", body.n);
    if (!e)
        e = buf_append(&out, body);
    CHECK(!e);
    stream_reply(s, 200, &(struct header){SPAN("content-type"), SPAN("text/plain")}, 1, buf_span(&out));
    buf_fini(&out);
}

/* ---- answers that take their time ---- */

static void work_end(struct work *w)
{
    timer_clear(&w->timer);
    free(w);
}

static void work_step(struct work *w)
{
    while (!w->paused) {
        bool last = w->left == 0;
        if (last && w->breaks) {
            stream_break(w->stream);
            work_end(w);
            return;
        }
        w->left -= !last;
        struct iovec part = {filler, last ? 0 : w->piece_bytes};
        w->paused = !stream_write(w->stream, &part, 1, last);
        if (last) {
            work_end(w);
            return;
        }
        if (w->every_ms) {
            timer_set_in(&w->timer, w->every_ms * NS_PER_MS);
            return;
        }
    }
}

static void on_step(void *owner)
{
    struct work *w = owner;
    if (w->piece_bytes) {
        work_step(w);
        return;
    }
    echo(w->stream);
    work_end(w);
}

static struct work *work_new(struct stream *s)
{
    struct work *w = calloc(1, sizeof *w);
    CHECK(w);
    w->stream = s;
    timer_init(&w->timer, loop, on_step, w);
    stream_base(s)->user = w;
    return w;
}

static void start_stream(struct stream *s, unsigned n, unsigned bytes, unsigned ms, bool breaks)
{
    struct work *w = work_new(s);
    w->left = n;
    w->piece_bytes = bytes && bytes <= sizeof filler ? bytes : 1;
    w->every_ms = ms;
    w->breaks = breaks;
    stream_begin(s, 200, &(struct header){SPAN("content-type"), SPAN("text/event-stream")}, 1, UINT64_MAX);
    stream_release_head(s);
    work_step(w);
}

static void answer_counts(struct stream *s)
{
    char text[128];
    int n = snprintf(text, sizeof text, "requests %" PRIu64 "\naborts %" PRIu64 "\npieces %" PRIu64 "\n", requests, aborts, pieces);
    stream_reply(s, 200, NULL, 0, span_of(text, (size_t)n));
}

/* ---- the handler ---- */

static enum err on_head(void *owner, struct stream *s, uint64_t *body_limit)
{
    struct span path = stream_base(s)->head.path;
    if (span_eq(path, SPAN("/refuse")))
        return ERR_NOT_FOUND;
    if (span_eq(path, SPAN("/pieces")))
        stream_take_body_in_pieces(s, work_new(s));
    return ERR_OK;
}

static void on_request(void *owner, struct stream *s)
{
    struct span path = stream_base(s)->head.path;
    unsigned a, b, c;
    if (span_eq(path, SPAN("/counts"))) {
        answer_counts(s);
        return;
    }
    requests++;
    if (span_eq(path, SPAN("/pieces")))
        return; /* answered when the body ends */
    if (span_starts(path, SPAN("/later/")) && number_at(path, 1, &a) == ERR_OK)
        timer_set_in(&work_new(s)->timer, a * NS_PER_MS);
    else if (span_starts(path, SPAN("/stream/")) && !number_at(path, 1, &a) && !number_at(path, 2, &b) && !number_at(path, 3, &c))
        start_stream(s, a, b, c, false);
    else if (span_starts(path, SPAN("/break/")) && number_at(path, 1, &a) == ERR_OK)
        start_stream(s, a, 10, 0, true);
    else
        echo(s);
}

static void on_body(void *user, struct stream *s, struct span piece, bool last)
{
    struct work *w = user;
    w->body_bytes += piece.n;
    pieces++;
    if (!last)
        return;
    char text[64];
    int n = snprintf(text, sizeof text, "body %" PRIu64 " in pieces\n", w->body_bytes);
    work_end(w);
    stream_reply(s, 200, NULL, 0, span_of(text, (size_t)n));
}

static void on_writable(void *user, struct stream *s)
{
    struct work *w = user;
    w->paused = false;
    work_step(w);
}

static void on_abort(void *user, struct stream *s, enum err why)
{
    aborts++;
    if (user)
        work_end(user);
}

static void error_body(void *owner, struct span path, enum err e, const char *detail, struct buf *out, struct span *ret_type)
{
    *ret_type = SPAN("text/plain");
    enum err written = buf_printf(out, "error %s: %s\n", err_name(e), detail ? detail : err_sentence(e));
    CHECK(!written);
}

static const struct stream_handler handler = {on_head, on_request, on_body, on_writable, on_abort, error_body, NULL};

/* ---- main ---- */

static volatile sig_atomic_t stop_asked;
static void on_signal(int number)
{
    stop_asked = 1;
}

static void look_at_signal(void *owner)
{
    struct timer *t = owner;
    if (stop_asked)
        server_drain(server);
    if (stop_asked && server_is_idle(server))
        loop_stop(loop);
    else
        timer_set_in(t, 20 * NS_PER_MS);
}

static unsigned long argument(int argc, char **argv, const char *name, unsigned long otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return strtoul(argv[i + 1], NULL, 10);
    return otherwise;
}

static struct tls_context *tls_from(int argc, char **argv)
{
    struct tls_context *tls = NULL;
    char why[256];
    for (int i = 1; i + 2 < argc; i++) {
        if (strcmp(argv[i], "--tls") != 0)
            continue;
        struct tls_server_options o = {.cert_file = argv[i + 1], .key_file = argv[i + 2], .offer_h2 = true};
        if (tls_server_context(&o, &tls, why) != ERR_OK) {
            fprintf(stderr, "echo-server: %s\n", why);
            exit(2);
        }
    }
    return tls;
}

int main(int argc, char **argv)
{
    loop = loop_new(io_epoll(), NULL);
    uint64_t timeout_ns = argument(argc, argv, "--timeout-ms", 5000) * NS_PER_MS;
    struct server_options o = {
        .handler = &handler, .connections_max = (unsigned)argument(argc, argv, "--connections", 20000),
        .body_max = argument(argc, argv, "--body-max", MIB), .body_bytes_max = argument(argc, argv, "--budget", 64 * MIB),
        .head_timeout_ns = timeout_ns, .body_timeout_ns = timeout_ns, .idle_timeout_ns = timeout_ns * 4, .write_timeout_ns = timeout_ns,
        .server_name = "echo",
    };
    server = server_new(loop, &o);
    struct sock_address at;
    const char *why = "bad address";
    struct tls_context *tls = tls_from(argc, argv);
    if (sock_address_parse(SPAN("127.0.0.1:0"), &at) != ERR_OK || server_listen(server, &at, tls, &why) != ERR_OK) {
        fprintf(stderr, "echo-server: %s\n", why);
        return 1;
    }
    memset(filler, 'x', sizeof filler);
    char text[128];
    at = server_address(server, 0);
    printf("listening on %.*s\n", SPAN_ARG(sock_address_text(&at, text, sizeof text)));
    fflush(stdout);
    signal(SIGTERM, on_signal);
    struct timer look;
    timer_init(&look, loop, look_at_signal, &look);
    timer_set_in(&look, 20 * NS_PER_MS);
    loop_run(loop);
    server_free(server);
    tls_context_unref(tls);
    loop_free(loop);
    return 0;
}
