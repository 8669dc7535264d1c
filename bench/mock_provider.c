/* SPDX-License-Identifier: Apache-2.0
 *
 * A provider that costs next to nothing: it answers every POST with a chat.completion of some 600 bytes, and
 * a request that asks for "stream": true with --chunks events of some 220 bytes, each one HTTP chunk. All bytes
 * are made at start; answering is copying. With --interval-us 0 a stream is written as fast as the peer reads,
 * --burst chunks per write; otherwise one chunk per interval, each stream at a phase of its own unless --in-step.
 * With --window FILE each chunk waits until the load has received the one before (see wire.h).
 * It keeps no timeouts and trusts its peers: it is for 127.0.0.1 and benchmarks only.
 */
#include "wire.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define EDGE_BYTES 512        /* how much of a body's start and end is searched for "stream" */
#define BLOCK_CHUNKS 64       /* distinct chunks made at start; a stream repeats them */
#define CHUNK_ROOM 512
#define READ_BYTES (256 * 1024)

struct options {
    int port;
    long chunks;
    long interval_us;
    long ttft_us;
    long burst;
    bool in_step;
    const char *window;
};

enum conn_step {
    READING = 0,       /* a request comes in */
    WAITING,           /* in the heap of timers until the next chunk is due */
    IN_TURN,           /* in the ring: writes when the load has what was written before */
    WRITING            /* has bytes to write, as far as the socket takes them */
};

struct conn {
    int fd;
    enum conn_step step;
    bool want_write;             /* EPOLLOUT is asked for */
    bool include_usage;
    bool streaming;              /* the answer being written is a stream */
    long chunk;                  /* next chunk of the stream; chunks is the tail */
    const char *out;             /* what is being written */
    size_t out_bytes;
    int64_t due_ns;
    long heap_at;                /* index in the heap, or -1 */
    const uint32_t *received;    /* with a window: what the load has of this stream */
    long ring_at;                /* index in the ring, or -1 */
    size_t edge_bytes;
    char first[EDGE_BYTES];
    char last[EDGE_BYTES + 1];
    size_t last_bytes;
    struct wire_message in;
};

static struct options opt = {.port = 9100, .chunks = 64, .burst = 1};
static int epoll_fd;
static char read_buf[READ_BYTES];

static char answer[2048];
static size_t answer_bytes;
static char stream_head[512];
static size_t stream_head_bytes;
static char block[BLOCK_CHUNKS * CHUNK_ROOM];
static size_t block_at[BLOCK_CHUNKS + 1];
static char tail_usage[2048], tail_plain[1024];
static size_t tail_usage_bytes, tail_plain_bytes;

/* ---- what it says ---------------------------------------------------------------------------------------- */

static const char *const words[] = {
    " the", " agreement", " says", " that", " each", " party", " keeps", " its", " own", " books", ",", " and",
    " the", " share", " of", " a", " reseller", " is", " counted", " after", " the", " first", " threshold", ".",
    "\\n\\n", "However", ",", " a", " \\\"capped\\\"", " waterfall", " pays", " senior", " claims", " first"
};
#define WORDS (sizeof words / sizeof words[0])

static void make_answer(void)
{
    char body[1024];
    int n = snprintf(body, sizeof body,
        "{\"id\":\"chatcmpl-BmK3vYz81cT0QdHn5rXwPq2sUe7aL\",\"object\":\"chat.completion\",\"created\":1764000000,"
        "\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
        "\"Each party keeps its own books; the shares are counted after the first threshold.\\n\\nSee clause 4.\","
        "\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":231,\"completion_tokens\":19,\"total_tokens\":250,"
        "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0}},"
        "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_5d58a6052a\"}");
    answer_bytes = (size_t)snprintf(answer, sizeof answer,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        "x-request-id: req_0a6f1c2f6d4b4c58\r\nopenai-processing-ms: 12\r\n\r\n%s", n, body);
}

/* Writes one HTTP chunk that holds one SSE event; returns its length. */
static size_t put_event(char *to, size_t room, const char *json)
{
    size_t n = strlen(json) + strlen("data: \n\n");
    return (size_t)snprintf(to, room, "%zx\r\ndata: %s\n\n\r\n", n, json);
}

#define LAST_CHUNK "0\r\n\r\n"
#define CHUNK_START "{\"id\":\"chatcmpl-BmK3vYz81cT0QdHn5rXwPq2sUe7aL\",\"object\":\"chat.completion.chunk\"," \
    "\"created\":1764000000,\"model\":\"gpt-4o-2024-08-06\",\"system_fingerprint\":\"fp_5d58a6052a\","

static void make_stream(void)
{
    char json[CHUNK_ROOM];
    stream_head_bytes = (size_t)snprintf(stream_head, sizeof stream_head,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
        "Cache-Control: no-cache\r\nx-request-id: req_0a6f1c2f6d4b4c58\r\n\r\n");
    for (size_t i = 0; i < BLOCK_CHUNKS; i++) {
        snprintf(json, sizeof json, CHUNK_START "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},"
            "\"logprobs\":null,\"finish_reason\":null}]}", words[i % WORDS]);
        block_at[i + 1] = block_at[i] + put_event(block + block_at[i], CHUNK_ROOM, json);
    }
    char *p = tail_plain;
    p += put_event(p, CHUNK_ROOM, CHUNK_START "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
        "\"finish_reason\":\"stop\"}]}");
    size_t stop_bytes = (size_t)(p - tail_plain);
    memcpy(tail_usage, tail_plain, stop_bytes);
    char *u = tail_usage + stop_bytes;
    snprintf(json, sizeof json, CHUNK_START "\"choices\":[],\"usage\":{\"prompt_tokens\":231,"
        "\"completion_tokens\":%ld,\"total_tokens\":%ld}}", opt.chunks, opt.chunks + 231);
    u += put_event(u, CHUNK_ROOM, json);
    u += put_event(u, CHUNK_ROOM, "[DONE]");
    p += put_event(p, CHUNK_ROOM, "[DONE]");
    u = mempcpy(u, LAST_CHUNK, sizeof LAST_CHUNK - 1);
    p = mempcpy(p, LAST_CHUNK, sizeof LAST_CHUNK - 1);
    tail_usage_bytes = (size_t)(u - tail_usage);
    tail_plain_bytes = (size_t)(p - tail_plain);
}

/* ---- timers: a binary heap of waiting connections by due time --------------------------------------------- */

static struct conn **heap;
static long heap_used, heap_room;

static void heap_put(long at, struct conn *c)
{
    heap[at] = c;
    c->heap_at = at;
}

static void heap_up(long at, struct conn *c)
{
    while (at && heap[(at - 1) / 2]->due_ns > c->due_ns) {
        heap_put(at, heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(at, c);
}

static void heap_down(long at, struct conn *c)
{
    for (;;) {
        long child = 2 * at + 1;
        if (child + 1 < heap_used && heap[child + 1]->due_ns < heap[child]->due_ns)
            child++;
        if (child >= heap_used || heap[child]->due_ns >= c->due_ns)
            break;
        heap_put(at, heap[child]);
        at = child;
    }
    heap_put(at, c);
}

static void heap_add(struct conn *c)
{
    if (heap_used == heap_room) {
        heap_room = heap_room ? 2 * heap_room : 1024;
        heap = realloc(heap, (size_t)heap_room * sizeof *heap);
        if (!heap)
            wire_die("out of memory");
    }
    heap_up(heap_used++, c);
}

static void heap_remove(struct conn *c)
{
    long at = c->heap_at;
    struct conn *moved = heap[--heap_used];
    c->heap_at = -1;
    if (moved == c)
        return;
    if (at && heap[(at - 1) / 2]->due_ns > moved->due_ns)
        heap_up(at, moved);
    else
        heap_down(at, moved);
}

/* ---- with a window: the streams that write by turns ---------------------------------------------------------- */

static uint32_t *window;
static struct conn *ring[WIRE_WINDOW_MAX];
static long ring_used;

static void ring_add(struct conn *c)
{
    if (ring_used == WIRE_WINDOW_MAX)
        wire_die("too many streams for a window");
    c->step = IN_TURN;
    c->ring_at = ring_used;
    ring[ring_used++] = c;
}

static void ring_remove(struct conn *c)
{
    struct conn *last = ring[--ring_used];
    ring[c->ring_at] = last;
    last->ring_at = c->ring_at;
    c->ring_at = -1;
}

/* ---- a connection ------------------------------------------------------------------------------------------ */

static void conn_close(struct conn *c)
{
    if (c->heap_at >= 0)
        heap_remove(c);
    if (c->ring_at >= 0)
        ring_remove(c);
    close(c->fd);
    free(c);
}

static void conn_want_write(struct conn *c, bool want)
{
    if (c->want_write == want)
        return;
    struct epoll_event e = {.events = want ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
    c->want_write = want;
}

static void conn_ready_to_read(struct conn *c)
{
    c->step = READING;
    c->edge_bytes = c->last_bytes = 0;
    wire_message_reset(&c->in);
}

/* Keeps the first and the last bytes of a body: "stream" stands before or behind the messages. */
static void conn_keep_edges(void *owner, const char *p, size_t n)
{
    struct conn *c = owner;
    if (c->edge_bytes < EDGE_BYTES) {
        size_t take = EDGE_BYTES - c->edge_bytes < n ? EDGE_BYTES - c->edge_bytes : n;
        memcpy(c->first + c->edge_bytes, p, take);
        c->edge_bytes += take;
    }
    if (n >= EDGE_BYTES) {
        memcpy(c->last, p + n - EDGE_BYTES, EDGE_BYTES);
        c->last_bytes = EDGE_BYTES;
        return;
    }
    size_t keep = EDGE_BYTES - n < c->last_bytes ? EDGE_BYTES - n : c->last_bytes;
    memmove(c->last, c->last + c->last_bytes - keep, keep);
    memcpy(c->last + keep, p, n);
    c->last_bytes = keep + n;
}

/* True when the bytes hold the name (with its quotes), a colon, and true. */
static bool says_true_in(const char *p, size_t n, const char *name)
{
    size_t name_bytes = strlen(name);
    const char *at = memmem(p, n, name, name_bytes), *end = p + n;
    if (!at)
        return false;
    for (at += name_bytes; at < end && (*at == ' ' || *at == ':'); at++)
        ;
    return end - at >= 4 && !memcmp(at, "true", 4);
}

static bool says_true(const struct conn *c, const char *name)
{
    return says_true_in(c->first, c->edge_bytes, name) || says_true_in(c->last, c->last_bytes, name);
}

/* Sets what is to be written next; false when the answer is whole. */
static bool conn_next_output(struct conn *c)
{
    if (!c->streaming || c->chunk > opt.chunks)
        return false;
    if (c->chunk == opt.chunks) {
        c->out = c->include_usage ? tail_usage : tail_plain;
        c->out_bytes = c->include_usage ? tail_usage_bytes : tail_plain_bytes;
        c->chunk++;
        return true;
    }
    long first = c->chunk % BLOCK_CHUNKS;
    long count = opt.interval_us ? 1 : opt.burst;
    count = count > BLOCK_CHUNKS - first ? BLOCK_CHUNKS - first : count;
    count = count > opt.chunks - c->chunk ? opt.chunks - c->chunk : count;
    c->out = block + block_at[first];
    c->out_bytes = block_at[first + count] - block_at[first];
    c->chunk += count;
    return true;
}

static void conn_wait(struct conn *c, int64_t due_ns)
{
    c->step = WAITING;
    c->due_ns = due_ns;
    heap_add(c);
}

/* Writes until the answer is whole, the next chunk is not due yet, or the socket is full.
 * Returns false when the connection is lost. */
static bool conn_write(struct conn *c)
{
    for (;;) {
        ssize_t n = send(c->fd, c->out, c->out_bytes, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0 || (size_t)n < c->out_bytes) {
            c->out += n > 0 ? n : 0;
            c->out_bytes -= n > 0 ? (size_t)n : 0;
            conn_want_write(c, true);
            return true;
        }
        if (c->streaming && opt.interval_us && c->chunk <= opt.chunks) {
            conn_want_write(c, false);
            conn_wait(c, c->due_ns + opt.interval_us * 1000);
            return true;
        }
        if (c->received && c->streaming && c->chunk <= opt.chunks) {
            conn_want_write(c, false);
            ring_add(c);
            return true;
        }
        if (!conn_next_output(c))
            break;
    }
    conn_want_write(c, false);
    conn_ready_to_read(c);
    return true;
}

static bool conn_write_next(struct conn *c)
{
    c->step = WRITING;
    if (conn_next_output(c))
        return conn_write(c);
    conn_ready_to_read(c);
    return true;
}

/* The counter that the load named in "user": "load-0000"; NULL without a window. */
static const uint32_t *conn_window(const struct conn *c)
{
    static const char name[] = "\"load-";
    const char *at = window ? memmem(c->first, c->edge_bytes, name, sizeof name - 1) : NULL;
    long number = at && at + 10 < c->first + c->edge_bytes ? strtol(at + sizeof name - 1, NULL, 10) : -1;
    return number >= 0 && number < WIRE_WINDOW_MAX ? &window[number] : NULL;
}

/* The head of a stream leaves with its first chunk, as with real providers. */
static bool conn_due(struct conn *c)
{
    c->step = WRITING;
    if (c->chunk == 0) {
        struct iovec v[2] = {{stream_head, stream_head_bytes}, {block, block_at[1]}};
        struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
        if (sendmsg(c->fd, &m, MSG_NOSIGNAL) != (ssize_t)(stream_head_bytes + block_at[1]))
            return false;
        c->chunk = 1;
        if (opt.interval_us) {
            conn_wait(c, c->due_ns + opt.interval_us * 1000);
            return true;
        }
        if (c->received) {
            ring_add(c);
            return true;
        }
    }
    return conn_write_next(c);
}

static bool conn_answer(struct conn *c)
{
    c->streaming = says_true(c, "\"stream\"");
    c->received = c->streaming ? conn_window(c) : NULL;
    c->include_usage = c->streaming && says_true(c, "\"include_usage\"");
    c->step = WRITING;
    c->chunk = 0;
    if (c->streaming && !opt.interval_us && !opt.ttft_us)
        return conn_due(c);
    if (c->streaming) {
        int64_t phase = opt.interval_us && !opt.in_step ? (int64_t)(random() % (opt.interval_us * 1000)) : 0;
        conn_wait(c, wire_now_ns() + opt.ttft_us * 1000 + phase);
        return true;
    }
    c->out = answer;
    c->out_bytes = answer_bytes;
    return conn_write(c);
}

/* Returns false when the connection is over. */
static bool conn_read(struct conn *c)
{
    ssize_t n = recv(c->fd, read_buf, sizeof read_buf, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    if (c->step != READING)
        return false;
    wire_message_feed(&c->in, read_buf, (size_t)n, conn_keep_edges, c);
    if (c->in.state == WIRE_BAD)
        return false;
    return c->in.state != WIRE_DONE || conn_answer(c);
}

/* ---- the loop ---------------------------------------------------------------------------------------------- */

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = calloc(1, sizeof *c);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (!c)
            wire_die("out of memory");
        c->fd = fd;
        c->heap_at = c->ring_at = -1;
        wire_nodelay(fd);
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

static void run_timers(void)
{
    int64_t now = heap_used ? wire_now_ns() : 0;
    while (heap_used && heap[0]->due_ns <= now) {
        struct conn *c = heap[0];
        heap_remove(c);
        if (!conn_due(c))
            conn_close(c);
    }
}

/* Lets each stream write one chunk whose turn it is, then naps: the load shares our core. */
static void run_turns(void)
{
    if (!ring_used)
        return;
    for (long i = ring_used - 1; i >= 0; i--) {
        struct conn *c = i < ring_used ? ring[i] : NULL;
        if (!c || __atomic_load_n(c->received, __ATOMIC_ACQUIRE) < (uint32_t)c->chunk)
            continue;
        ring_remove(c);
        if (!conn_write_next(c))
            conn_close(c);
    }
    wire_nap();
}

static int wait_events(struct epoll_event *events, int max)
{
    if (ring_used)
        return epoll_wait(epoll_fd, events, max, 0);
    if (!heap_used)
        return epoll_wait(epoll_fd, events, max, -1);
    int64_t left = heap[0]->due_ns - wire_now_ns();
    left = left < 0 ? 0 : left;
    struct timespec t = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    return epoll_pwait2(epoll_fd, events, max, &t, NULL);
}

static void serve(int listener)
{
    struct epoll_event events[256], e = {.events = EPOLLIN};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = wait_events(events, 256);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            bool alive = true;
            if (!c) {
                accept_all(listener);
                continue;
            }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                alive = conn_read(c);
            if (alive && events[i].events & EPOLLOUT && c->want_write)
                alive = conn_write(c);
            if (!alive)
                conn_close(c);
        }
        run_timers();
        run_turns();
    }
}

static void read_options(int argc, char **argv)
{
    static const struct option list[] = {
        {"port", 1, 0, 'p'}, {"chunks", 1, 0, 'c'}, {"interval-us", 1, 0, 'i'}, {"ttft-us", 1, 0, 't'},
        {"burst", 1, 0, 'b'}, {"in-step", 0, 0, 's'},
        {"window", 1, 0, 'w'}, {0}};
    int o;
    while ((o = getopt_long(argc, argv, "", list, NULL)) != -1) {
        switch (o) {
        case 'p': opt.port = atoi(optarg); break;
        case 'c': opt.chunks = atol(optarg); break;
        case 'i': opt.interval_us = atol(optarg); break;
        case 't': opt.ttft_us = atol(optarg); break;
        case 'b': opt.burst = atol(optarg); break;
        case 's': opt.in_step = true; break;
        case 'w': opt.window = optarg; break;
        default:
            fprintf(stderr, "usage: mock_provider [--port N] [--chunks N] [--interval-us N] [--ttft-us N]"
                " [--burst N] [--in-step] [--window FILE]\n");
            exit(2);
        }
    }
    if (opt.chunks < 1 || opt.burst < 1 || opt.interval_us < 0 || opt.ttft_us < 0) {
        fprintf(stderr, "mock_provider: chunks and burst are at least 1, times at least 0\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    wire_raise_files();
    prctl(PR_SET_TIMERSLACK, 1000);
    if (opt.window)
        window = wire_window_map(opt.window);
    make_answer();
    make_stream();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = wire_listen(opt.port);
    printf("listening on http://127.0.0.1:%d\n", opt.port);
    fflush(stdout);
    serve(listener);
}
