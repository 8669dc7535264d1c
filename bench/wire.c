/* SPDX-License-Identifier: Apache-2.0
 *
 * Sockets, clock, message reader and histogram of the measuring tools; see wire.h.
 */
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t wire_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t wire_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

_Noreturn void wire_die(const char *what)
{
    if (errno)
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
    else
        fprintf(stderr, "%s\n", what);
    exit(1);
}

void wire_raise_files(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r))
        wire_die("getrlimit");
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r))
        wire_die("setrlimit");
}

void wire_nodelay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static struct sockaddr_in wire_loopback(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

int wire_listen(int port)
{
    struct sockaddr_in a = wire_loopback(port);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        wire_die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, sizeof a))
        wire_die("bind");
    if (listen(fd, 4096))
        wire_die("listen");
    return fd;
}

int wire_connect(int port)
{
    struct sockaddr_in a = wire_loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        wire_die("socket");
    wire_nodelay(fd);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS)
        wire_die("connect");
    return fd;
}

void wire_message_reset(struct wire_message *m)
{
    memset(m, 0, offsetof(struct wire_message, head));
}

/* The value of a header in a head that ends in an empty line, or NULL. */
static const char *wire_header(const char *head, const char *name)
{
    size_t n = strlen(name);
    const char *line = strstr(head, "\r\n");
    while (line && line[2] != '\r') {
        line += 2;
        if (!strncasecmp(line, name, n) && line[n] == ':') {
            line += n + 1;
            return line + strspn(line, " \t");
        }
        line = strstr(line, "\r\n");
    }
    return NULL;
}

/* Decides from a whole head what follows it. */
static void wire_head_done(struct wire_message *m)
{
    bool answer = !strncmp(m->head, "HTTP/1.", 7);
    const char *length = wire_header(m->head, "content-length");
    const char *coding = wire_header(m->head, "transfer-encoding");
    const char *conn = wire_header(m->head, "connection");
    m->status = answer ? atoi(m->head + 9) : 0;
    m->close = conn && !strncasecmp(conn, "close", 5);
    if (answer && m->status / 100 == 1) {
        wire_message_reset(m);
    } else if (m->status == 204 || m->status == 304) {
        m->state = WIRE_DONE;
    } else if (coding && !strncasecmp(coding, "chunked", 7)) {
        m->state = WIRE_CHUNK_SIZE;
        m->body_left = 0;
    } else if (length) {
        m->body_left = strtoull(length, NULL, 10);
        m->state = m->body_left ? WIRE_BODY_LENGTH : WIRE_DONE;
    } else {
        m->state = answer ? WIRE_BODY_CLOSE : WIRE_DONE;
    }
}

static size_t wire_feed_head(struct wire_message *m, const char *p, size_t n)
{
    size_t room = WIRE_HEAD_MAX - 1 - m->head_bytes;
    size_t take = n < room ? n : room;
    size_t from = m->head_bytes > 3 ? m->head_bytes - 3 : 0;
    memcpy(m->head + m->head_bytes, p, take);
    char *end = memmem(m->head + from, m->head_bytes + take - from, "\r\n\r\n", 4);
    if (!end) {
        m->head_bytes += (uint32_t)take;
        if (take == room)
            m->state = WIRE_BAD;
        return take;
    }
    size_t used = (size_t)(end + 4 - m->head) - m->head_bytes;
    m->head_bytes += (uint32_t)used;
    m->head[m->head_bytes] = 0;
    wire_head_done(m);
    return used;
}

static size_t wire_feed_data(struct wire_message *m, const char *p, size_t n, wire_body_fn *body, void *owner)
{
    size_t take = m->state == WIRE_BODY_CLOSE || n < m->body_left ? n : (size_t)m->body_left;
    m->body_bytes += take;
    if (body)
        body(owner, p, take);
    if (m->state == WIRE_BODY_CLOSE)
        return take;
    m->body_left -= take;
    if (!m->body_left)
        m->state = m->state == WIRE_BODY_LENGTH ? WIRE_DONE : WIRE_CHUNK_END;
    return take;
}

static int wire_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The lines between chunks, a byte at a time: they are a few bytes each. */
static void wire_feed_line_byte(struct wire_message *m, char c)
{
    if (m->state == WIRE_CHUNK_SIZE) {
        if (c == '\n')
            m->state = m->body_left ? WIRE_CHUNK_DATA : WIRE_TRAILER;
        else if (wire_hex(c) >= 0)
            m->body_left = m->body_left * 16 + (unsigned)wire_hex(c);
        else if (c != '\r')
            m->state = WIRE_BAD;
        m->line_bytes = 0;
    } else if (m->state == WIRE_CHUNK_END) {
        if (c == '\n')
            m->state = WIRE_CHUNK_SIZE;
    } else if (c == '\n') {
        m->state = m->line_bytes ? WIRE_TRAILER : WIRE_DONE;
        m->line_bytes = 0;
    } else if (c != '\r') {
        m->line_bytes++;
    }
}

size_t wire_message_feed(struct wire_message *m, const char *p, size_t n, wire_body_fn *body, void *owner)
{
    size_t at = 0;
    while (at < n && m->state < WIRE_DONE) {
        if (m->state == WIRE_HEAD)
            at += wire_feed_head(m, p + at, n - at);
        else if (m->state <= WIRE_BODY_CLOSE || m->state == WIRE_CHUNK_DATA)
            at += wire_feed_data(m, p + at, n - at, body, owner);
        else
            wire_feed_line_byte(m, p[at++]);
    }
    return at;
}

bool wire_message_may_end(const struct wire_message *m)
{
    return (m->state == WIRE_HEAD && !m->head_bytes) || m->state == WIRE_BODY_CLOSE || m->state == WIRE_DONE;
}

uint32_t *wire_window_map(const char *file)
{
    size_t n = WIRE_WINDOW_MAX * sizeof(uint32_t);
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)n))
        wire_die(file);
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        wire_die("mmap");
    close(fd);
    return p;
}

void wire_nap(void)
{
    struct timespec t = {.tv_nsec = 100000};
    nanosleep(&t, NULL);
}

/* Below 512 ns a bucket is 1 ns wide; above, 256 buckets share each power of two. */
static size_t wire_hist_index(uint64_t v)
{
    if (v < 2 * WIRE_HIST_SUB)
        return (size_t)v;
    unsigned power = 63 - (unsigned)__builtin_clzll(v) - 8;
    size_t i = (size_t)power * WIRE_HIST_SUB + (size_t)(v >> power);
    size_t last = (size_t)WIRE_HIST_SUB * WIRE_HIST_POWERS - 1;
    return i < last ? i : last;
}

static double wire_hist_value(size_t i)
{
    if (i < 2 * WIRE_HIST_SUB)
        return (double)i;
    size_t power = i / WIRE_HIST_SUB - 1;
    double low = (double)(i - power * WIRE_HIST_SUB);
    return (low + 0.5) * (double)(1ull << power);
}

void wire_hist_add(struct wire_hist *h, int64_t ns)
{
    h->count++;
    h->bucket[wire_hist_index(ns > 0 ? (uint64_t)ns : 0)]++;
}

double wire_hist_us(const struct wire_hist *h, double part)
{
    uint64_t want = (uint64_t)(part * (double)h->count), seen = 0;
    for (size_t i = 0; i < WIRE_HIST_SUB * WIRE_HIST_POWERS; i++) {
        seen += h->bucket[i];
        if (seen > want)
            return wire_hist_value(i) / 1000.0;
    }
    return 0;
}
