/* SPDX-License-Identifier: Apache-2.0
 *
 * The load generator: chat requests over kept-alive HTTP/1.1 connections from one thread, closed loop (each
 * connection asks again when it has its answer) or at a fixed rate. At a fixed rate latency counts from the
 * moment a request was due, so that a stalled gateway cannot hide its queue. With --idle and --hold-streams it
 * opens connections and holds them, so that memory can be read meanwhile. It says "warm" when counting begins and
 * "end" when it ends, so that others can read CPU times then; the last line of output is JSON.
 */
#include "wire.h"

#include <errno.h>
#include <getopt.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)
#define GRACE_NS 5000000000    /* after the end: what has no answer then is lost */
#define STARTS_AT_ONCE 64     /* in the holding modes: connections that are being set up at one time */

struct options {
    int port;
    long connections;
    double seconds;
    double warmup;
    long requests;          /* 0: as many as fit in the time */
    double rate;            /* requests per second; 0: closed loop */
    long prompt_bytes;
    long expect_events;     /* a stream with fewer events counts as an error */
    long idle, hold_streams;
    bool stream, include_usage, tls;
    const char *key;
    const char *path;
    const char *model;
    const char *window;     /* file of counters shared with the mock; see wire.h */
};

enum conn_step {
    NEW = 0,         /* no socket yet */
    HANDSHAKE,       /* TCP or TLS is being set up */
    IDLE,            /* open, without a request */
    SENDING,         /* a request goes out */
    RECEIVING        /* its answer comes in */
};

struct conn {
    int fd;
    enum conn_step step;
    uint32_t events;             /* what epoll watches */
    SSL *ssl;
    const char *request;         /* its own with --window, else the same for all */
    uint32_t *received;          /* its counter in the window, or NULL */
    size_t sent;
    int64_t due_ns;              /* from here latency counts */
    bool reused;                 /* has carried an answer before */
    bool held;                   /* counted as held */
    long sse_events;
    char last_byte;              /* of the body so far, to see an empty line */
    char end[16];                /* the last bytes of the body */
    size_t end_bytes;
    struct conn *next;           /* in the queue of idle connections */
    struct wire_message in;
};

struct totals {
    uint64_t requests, errors, status_errors, cut, no_done, connects, sse_events, body_bytes, held_lost;
};

static struct options opt = {
    .port = 9200, .connections = 64, .seconds = 5, .prompt_bytes = 1024, .key = "bench-key",
    .path = "/v1/chat/completions", .model = "gpt-4o"};
static int epoll_fd;
static SSL_CTX *tls;
static char *request;
static size_t request_bytes, user_at;
static uint32_t *window;
static char read_buf[READ_BYTES];
static struct totals total;
static struct wire_hist latency, first_chunk;
static int64_t begin_ns, measure_ns, end_ns;
static long started, held, open_conns;
static struct conn *idle_first, **idle_last = &idle_first;
static bool counting, counted;
static volatile sig_atomic_t stop_asked;

/* ---- the request ------------------------------------------------------------------------------------------- */

static const char *const sentences[] = {
    "The reseller keeps a tenth of what remains after the cloud has been paid. ",
    "Please read the clause below and tell me, in two sentences, who must consent. ",
    "\\n\\nSection 4: \\\"Net revenue\\\" means gross revenue less refunds, taxes and credits. ",
    "It was late, and the partners had agreed on everything but the order of the claims; ",
    "a commitment of 1,200,000 USD a year (paid quarterly) stands behind the discount. ",
    "\\n- first refusal: 30 days, in writing;\\n- residency: the EU only. ",
    "What would change if the threshold were crossed in November rather than in March? "
};
#define SENTENCES (sizeof sentences / sizeof sentences[0])

/* Fills exactly n bytes of JSON string with text; an escape is never cut in two. */
static void put_prompt(char *to, size_t n)
{
    size_t at = 0, i = 0, len;
    while ((len = strlen(sentences[i % SENTENCES])) <= n - at) {
        memcpy(to + at, sentences[i++ % SENTENCES], len);
        at += len;
    }
    memset(to + at, '.', n - at);
}

static void make_request(void)
{
    char head[1024], before[512];
    static const char after[] = "\"}],\"temperature\":0.7,\"max_tokens\":512}";
    int before_bytes = snprintf(before, sizeof before,
        "{\"model\":\"%s\",\"user\":\"load-0000\",%s%s\"messages\":[{\"role\":\"system\",\"content\":\"You are a careful assistant.\"},"
        "{\"role\":\"user\",\"content\":\"", opt.model, opt.stream ? "\"stream\":true," : "",
        opt.stream && opt.include_usage ? "\"stream_options\":{\"include_usage\":true}," : "");
    size_t body = (size_t)before_bytes + (size_t)opt.prompt_bytes + sizeof after - 1;
    int head_bytes = snprintf(head, sizeof head,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
        "Accept: application/json\r\nUser-Agent: OpenAI/Python 1.54.0\r\nContent-Length: %zu\r\n\r\n",
        opt.path, opt.port, opt.key, body);
    if (head_bytes >= (int)sizeof head || before_bytes >= (int)sizeof before)
        wire_die("key, path or model is too long");
    request_bytes = (size_t)head_bytes + body;
    char *p = request = malloc(request_bytes);
    if (!p)
        wire_die("out of memory");
    memcpy(p, head, (size_t)head_bytes);
    memcpy(p += head_bytes, before, (size_t)before_bytes);
    put_prompt(p += before_bytes, (size_t)opt.prompt_bytes);
    memcpy(p + opt.prompt_bytes, after, sizeof after - 1);
    user_at = (size_t)((char *)memmem(request, request_bytes, "\"load-", 6) - request) + 6;
}

/* With a window each connection names its counter in "user", where the mock reads it. */
static void conn_init(struct conn *c, long number)
{
    c->request = request;
    if (!window)
        return;
    char *own = malloc(request_bytes), digits[12];
    if (!own || number >= WIRE_WINDOW_MAX)
        wire_die("too many connections for a window");
    snprintf(digits, sizeof digits, "%04ld", number);
    memcpy(own, request, request_bytes);
    memcpy(own + user_at, digits, 4);
    c->request = own;
    c->received = &window[number];
}

/* ---- bytes, plain or TLS ----------------------------------------------------------------------------------- */

/* Both return the count, 0 when the peer closed, -1 to try again later, -2 when lost. */
static ssize_t tls_result(struct conn *c, int n)
{
    switch (SSL_get_error(c->ssl, n)) {
    case SSL_ERROR_NONE: return n;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return -1;
    default: ERR_clear_error(); return -2;
    }
}

static ssize_t conn_recv(struct conn *c, char *to, size_t n)
{
    if (c->ssl)
        return tls_result(c, SSL_read(c->ssl, to, (int)n));
    ssize_t got = recv(c->fd, to, n, 0);
    return got >= 0 ? got : errno == EAGAIN ? -1 : -2;
}

static ssize_t conn_send(struct conn *c, const char *from, size_t n)
{
    if (c->ssl)
        return tls_result(c, SSL_write(c->ssl, from, (int)n));
    ssize_t put = send(c->fd, from, n, MSG_NOSIGNAL);
    return put >= 0 ? put : errno == EAGAIN ? -1 : -2;
}

/* ---- a connection ------------------------------------------------------------------------------------------ */

static void conn_watch(struct conn *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (c->events == events)
        return;
    epoll_ctl(epoll_fd, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e);
    c->events = events;
}

static void conn_open(struct conn *c)
{
    c->fd = wire_connect(opt.port);
    c->step = HANDSHAKE;
    c->events = 0;
    c->reused = false;
    total.connects++;
    open_conns++;
    if (opt.tls) {
        c->ssl = SSL_new(tls);
        SSL_set_fd(c->ssl, c->fd);
        SSL_set_connect_state(c->ssl);
    }
    conn_watch(c, EPOLLIN | EPOLLOUT);
}

static void conn_drop(struct conn *c)
{
    if (c->step == NEW)
        return;
    if (c->ssl)
        SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
    open_conns--;
    if (c->held) {
        held--;
        total.held_lost++;
        c->held = false;
    }
    c->step = NEW;
}

static void conn_to_queue(struct conn *c)
{
    c->next = NULL;
    *idle_last = c;
    idle_last = &c->next;
}

static struct conn *conn_from_queue(void)
{
    struct conn *c = idle_first;
    if (c && !(idle_first = c->next))
        idle_last = &idle_first;
    return c;
}

static bool may_start(void)
{
    return !stop_asked && (!opt.requests || started < opt.requests) && (opt.rate > 0 || wire_now_ns() < end_ns);
}

static void conn_send_more(struct conn *c);

static void conn_start_request(struct conn *c, int64_t due_ns)
{
    started++;
    c->due_ns = due_ns;
    c->sent = 0;
    c->sse_events = 0;
    c->end_bytes = 0;
    c->last_byte = 0;
    if (c->received)
        __atomic_store_n(c->received, 0, __ATOMIC_RELEASE);
    wire_message_reset(&c->in);
    if (c->step == NEW) {
        conn_open(c);
        return;
    }
    c->step = SENDING;
    conn_send_more(c);
}

/* A request ended, well or not; the connection goes on when it still is open. */
static void conn_after_request(struct conn *c)
{
    if (opt.idle || opt.hold_streams)
        return;
    if (opt.rate > 0)
        conn_to_queue(c);
    else if (may_start())
        conn_start_request(c, wire_now_ns());
}

static void conn_fail(struct conn *c, uint64_t *reason)
{
    bool asked = c->step == SENDING || c->step == RECEIVING || c->step == HANDSHAKE;
    /* A kept connection may be closed by the peer before it saw our request: ask again on a new one. */
    bool again = asked && c->reused && c->in.state == WIRE_HEAD && !c->in.head_bytes;
    conn_drop(c);
    if (again) {
        started--;
        conn_start_request(c, c->due_ns);
    } else if (asked) {
        total.errors++;
        ++*reason;
        if (total.errors <= 100000)
            conn_after_request(c);
    }
}

static void conn_count_events(struct conn *c, const char *p, size_t n)
{
    const char *end = p + n, *at = p, *line;
    while (at < end && (line = memchr(at, '\n', (size_t)(end - at)))) {
        char before = line > p ? line[-1] : c->last_byte;
        if (before == '\n') {
            c->sse_events++;
            total.sse_events += counting;
        }
        at = line + 1;
    }
    c->last_byte = end[-1];
}

static void conn_keep_end(struct conn *c, const char *p, size_t n)
{
    size_t take = n < sizeof c->end ? n : sizeof c->end;
    size_t keep = sizeof c->end - take < c->end_bytes ? sizeof c->end - take : c->end_bytes;
    memmove(c->end, c->end + c->end_bytes - keep, keep);
    memcpy(c->end + keep, p + n - take, take);
    c->end_bytes = keep + take;
}

static void conn_body(void *owner, const char *p, size_t n)
{
    struct conn *c = owner;
    if (!n)
        return;
    if (c->in.body_bytes == n && c->due_ns >= measure_ns)
        wire_hist_add(&first_chunk, wire_now_ns() - c->due_ns);
    if (opt.stream) {
        conn_count_events(c, p, n);
        conn_keep_end(c, p, n);
        if (c->received)
            __atomic_store_n(c->received, (uint32_t)c->sse_events, __ATOMIC_RELEASE);
    }
}

static bool ends_in_done(const struct conn *c)
{
    static const char done[] = "data: [DONE]\n\n";
    size_t n = sizeof done - 1;
    return c->end_bytes >= n && !memcmp(c->end + c->end_bytes - n, done, n);
}

static void conn_answered(struct conn *c)
{
    int64_t now = wire_now_ns();
    if (c->in.status != 200)
        total.errors++, total.status_errors++;
    else if (opt.stream && (!ends_in_done(c) || c->sse_events < opt.expect_events))
        total.errors++, total.no_done++;
    else if (c->due_ns >= measure_ns)
        wire_hist_add(&latency, now - c->due_ns);
    if (counting) {
        total.requests++;
        total.body_bytes += c->in.body_bytes;
    }
    c->reused = true;
    c->step = IDLE;
    if (opt.idle) {
        c->held = true;
        held++;
    }
    if (c->in.close)
        conn_drop(c);
    conn_after_request(c);
}

static void conn_send_more(struct conn *c)
{
    while (c->sent < request_bytes) {
        ssize_t n = conn_send(c, c->request + c->sent, request_bytes - c->sent);
        if (n == -1) {
            conn_watch(c, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n <= 0) {
            conn_fail(c, &total.cut);
            return;
        }
        c->sent += (size_t)n;
    }
    c->step = RECEIVING;
    conn_watch(c, EPOLLIN);
}

static void conn_receive(struct conn *c)
{
    for (;;) {
        ssize_t n = conn_recv(c, read_buf, sizeof read_buf);
        if (n == -1)
            return;
        if (n <= 0 && c->step == RECEIVING && n == 0 && c->in.state == WIRE_BODY_CLOSE) {
            c->in.close = true;
            conn_answered(c);
            return;
        }
        if (n <= 0 || c->step == IDLE) {
            conn_fail(c, &total.cut);
            return;
        }
        wire_message_feed(&c->in, read_buf, (size_t)n, conn_body, c);
        if (opt.hold_streams && !c->held && c->sse_events) {
            c->held = true;
            held++;
        }
        if (c->in.state == WIRE_BAD) {
            conn_fail(c, &total.cut);
            return;
        }
        if (c->in.state == WIRE_DONE) {
            conn_answered(c);
            return;
        }
        /* A short read means that the socket is empty; TLS hands out record by record. */
        if (!c->ssl && (size_t)n < sizeof read_buf)
            return;
    }
}

static void conn_handshake(struct conn *c)
{
    if (c->ssl) {
        int n = SSL_do_handshake(c->ssl);
        ssize_t result = n == 1 ? 1 : tls_result(c, n);
        if (result == -1) {
            conn_watch(c, SSL_want_write(c->ssl) ? EPOLLIN | EPOLLOUT : EPOLLIN);
            return;
        }
        if (result <= 0) {
            conn_fail(c, &total.cut);
            return;
        }
    }
    c->step = SENDING;
    conn_send_more(c);
}

static void conn_event(struct conn *c, uint32_t events)
{
    if (c->step == HANDSHAKE && events & (EPOLLERR | EPOLLHUP))
        conn_fail(c, &total.cut);
    else if (c->step == HANDSHAKE)
        conn_handshake(c);
    else if (c->step == SENDING && events & EPOLLOUT)
        conn_send_more(c);
    else if (c->step != NEW && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        conn_receive(c);
}

/* ---- the loop ---------------------------------------------------------------------------------------------- */

/* Opens and closes the time that counts. */
static void count_time(void)
{
    int64_t now = wire_now_ns();
    if (opt.idle || opt.hold_streams)
        return;
    bool now_counting = now >= measure_ns && now < end_ns;
    if (now_counting == counting || counted)
        return;
    counted = counting;
    counting = now_counting;
    puts(counting ? "warm" : "end");
    fflush(stdout);
}

static void wait_and_handle(int64_t until_ns)
{
    struct epoll_event events[256];
    int64_t left = until_ns - wire_now_ns();
    left = left < 0 || window ? 0 : left;
    struct timespec t = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    int n = epoll_pwait2(epoll_fd, events, 256, &t, NULL);
    count_time();
    for (int i = 0; i < n; i++)
        conn_event(events[i].data.ptr, events[i].events);
    if (window && n < 256)
        wire_nap();
}

static bool all_answered(const struct conn *conns)
{
    long done = 0;
    for (long i = 0; i < opt.connections; i++)
        done += conns[i].step == IDLE || conns[i].step == NEW;
    return done == opt.connections;
}

/* What has no answer when the time is up, and the grace, has lost it. */
static void count_unfinished(const struct conn *conns)
{
    if (opt.requests)
        return;
    for (long i = 0; i < opt.connections; i++)
        if (conns[i].step != IDLE && conns[i].step != NEW)
            total.errors++, total.cut++;
}

static void run_closed(struct conn *conns)
{
    for (long i = 0; i < opt.connections && may_start(); i++)
        conn_start_request(&conns[i], wire_now_ns());
    /* After the end, answers on their way get some time; what is still missing then is an error. */
    int64_t limit = end_ns + GRACE_NS;
    while (!stop_asked && wire_now_ns() < limit) {
        wait_and_handle(wire_now_ns() < end_ns ? end_ns : limit);
        if (opt.requests && total.requests + total.errors >= (uint64_t)opt.requests)
            break;
        if (wire_now_ns() >= end_ns && all_answered(conns))
            break;
    }
    count_unfinished(conns);
}

static void run_rate(struct conn *conns)
{
    long due = 0;
    for (long i = 0; i < opt.connections; i++)
        conn_to_queue(&conns[i]);
    while (!stop_asked) {
        int64_t now = wire_now_ns(), next_ns;
        struct conn *c;
        while ((next_ns = begin_ns + (int64_t)((double)due * 1e9 / opt.rate)) <= now && next_ns < end_ns
               && (c = conn_from_queue())) {
            conn_start_request(c, next_ns);
            due++;
        }
        if (now >= end_ns + GRACE_NS || (next_ns >= end_ns && now >= end_ns && all_answered(conns)))
            break;
        /* With no connection free the next event, not the clock, lets us go on. */
        wait_and_handle(idle_first && next_ns < end_ns ? next_ns : now + 10000000);
    }
    count_unfinished(conns);
}

static void run_hold(struct conn *conns, long want)
{
    long opened = 0;
    bool told = false;
    int64_t limit = wire_now_ns() + 60000000000;
    while (!stop_asked && wire_now_ns() < limit) {
        /* Streams whose first chunk is slow still may all be set up: only connecting ones are counted. */
        long busy = opt.idle ? opened - held - (long)total.errors : 0;
        for (; opened < want && busy < STARTS_AT_ONCE; opened++, busy++)
            conn_start_request(&conns[opened], wire_now_ns());
        wait_and_handle(wire_now_ns() + 20000000);
        if (!told && held + (long)total.errors + (long)total.held_lost >= want) {
            printf("ready %ld\n", held);
            fflush(stdout);
            told = true;
            limit = wire_now_ns() + (int64_t)(opt.seconds * 1e9);
        }
    }
}

static void on_signal(int signal_number)
{
    stop_asked = signal_number;
}

static void report(double seconds, double cpu_seconds)
{
    printf("{\"requests\":%lu,\"errors\":%lu,\"status_errors\":%lu,\"cut\":%lu,\"no_done\":%lu,\"connects\":%lu,"
        "\"held\":%ld,\"held_lost\":%lu,\"seconds\":%.3f,\"rps\":%.1f,\"chunks\":%lu,\"chunks_per_s\":%.1f,"
        "\"body_bytes\":%lu,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"first_p50_us\":%.1f,"
        "\"first_p99_us\":%.1f,\"load_cpu_s\":%.3f}\n",
        total.requests, total.errors, total.status_errors, total.cut, total.no_done, total.connects, held,
        total.held_lost, seconds, (double)total.requests / seconds, total.sse_events,
        (double)total.sse_events / seconds, total.body_bytes, wire_hist_us(&latency, 0.5),
        wire_hist_us(&latency, 0.9), wire_hist_us(&latency, 0.99), wire_hist_us(&first_chunk, 0.5),
        wire_hist_us(&first_chunk, 0.99), cpu_seconds);
}

static void tls_start(void)
{
    tls = SSL_CTX_new(TLS_client_method());
    if (!tls)
        wire_die("SSL_CTX_new");
    SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
        | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    static const unsigned char http1[] = "\x08http/1.1";
    SSL_CTX_set_alpn_protos(tls, http1, sizeof http1 - 1);
}

static void usage(void)
{
    fprintf(stderr,
        "usage: load --port N [--connections N] [--seconds S] [--warmup S] [--requests N] [--rate R]\n"
        "            [--prompt-bytes N] [--stream] [--include-usage] [--expect-events N] [--tls]\n"
        "            [--key K] [--path P] [--model M] [--window FILE] [--idle N | --hold-streams N]\n");
    exit(2);
}

static void read_options(int argc, char **argv)
{
    static const struct option list[] = {
        {"port", 1, 0, 'p'}, {"connections", 1, 0, 'c'}, {"seconds", 1, 0, 's'}, {"warmup", 1, 0, 'w'},
        {"requests", 1, 0, 'n'}, {"rate", 1, 0, 'r'}, {"prompt-bytes", 1, 0, 'b'}, {"stream", 0, 0, 'S'},
        {"include-usage", 0, 0, 'u'}, {"expect-events", 1, 0, 'e'}, {"tls", 0, 0, 't'}, {"key", 1, 0, 'k'},
        {"path", 1, 0, 'P'}, {"model", 1, 0, 'm'}, {"idle", 1, 0, 'i'}, {"hold-streams", 1, 0, 'h'},
        {"window", 1, 0, 'W'}, {0}};
    int o;
    while ((o = getopt_long(argc, argv, "", list, NULL)) != -1) {
        switch (o) {
        case 'p': opt.port = atoi(optarg); break;
        case 'c': opt.connections = atol(optarg); break;
        case 's': opt.seconds = atof(optarg); break;
        case 'w': opt.warmup = atof(optarg); break;
        case 'n': opt.requests = atol(optarg); break;
        case 'r': opt.rate = atof(optarg); break;
        case 'b': opt.prompt_bytes = atol(optarg); break;
        case 'S': opt.stream = true; break;
        case 'u': opt.include_usage = true; break;
        case 'e': opt.expect_events = atol(optarg); break;
        case 't': opt.tls = true; break;
        case 'k': opt.key = optarg; break;
        case 'P': opt.path = optarg; break;
        case 'm': opt.model = optarg; break;
        case 'i': opt.idle = atol(optarg); break;
        case 'h': opt.hold_streams = atol(optarg); opt.stream = true; break;
        case 'W': opt.window = optarg; break;
        default: usage();
        }
    }
    if (optind < argc || opt.connections < 1 || opt.prompt_bytes < 0 || (opt.idle && opt.hold_streams))
        usage();
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    wire_raise_files();
    prctl(PR_SET_TIMERSLACK, 1000);
    prctl(PR_SET_TIMERSLACK, 1000);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    if (opt.tls)
        tls_start();
    make_request();
    if (opt.window)
        window = wire_window_map(opt.window);
    long hold = opt.idle + opt.hold_streams;
    struct conn *conns = calloc((size_t)(hold ? hold : opt.connections), sizeof *conns);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!conns || epoll_fd < 0)
        wire_die("out of memory");
    for (long i = 0; i < (hold ? hold : opt.connections); i++)
        conn_init(&conns[i], i);
    begin_ns = wire_now_ns();
    measure_ns = begin_ns + (int64_t)(opt.warmup * 1e9);
    end_ns = measure_ns + (int64_t)(opt.seconds * 1e9);
    if (hold)
        run_hold(conns, hold);
    else if (opt.rate > 0)
        run_rate(conns);
    else
        run_closed(conns);
    int64_t last_ns = wire_now_ns() < end_ns || hold ? wire_now_ns() : end_ns;
    double seconds = (double)(last_ns - measure_ns) / 1e9;
    report(seconds > 0 ? seconds : 1e-9, (double)wire_cpu_ns() / 1e9);
    return total.errors ? 1 : 0;
}
