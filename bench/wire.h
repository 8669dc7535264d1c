/* SPDX-License-Identifier: Apache-2.0
 *
 * What the measuring tools share: sockets on 127.0.0.1, a clock, and a reader of HTTP/1.1 messages.
 * The tools use nothing of src/, so that a fault of the gateway cannot hide in what measures it. The reader
 * is meant for peers that we start ourselves; it is not strict and must not face anyone else.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_HEAD_MAX 4096

/* Called for each piece of body, in order; the bytes are borrowed for the call. */
typedef void wire_body_fn(void *owner, const char *bytes, size_t n);

enum wire_state {
    WIRE_HEAD = 0,       /* collecting the head */
    WIRE_BODY_LENGTH,    /* body_left bytes of body follow */
    WIRE_BODY_CLOSE,     /* body until the peer closes */
    WIRE_CHUNK_SIZE,     /* in the line that holds a chunk's size */
    WIRE_CHUNK_DATA,     /* body_left bytes of this chunk follow */
    WIRE_CHUNK_END,      /* the CRLF behind a chunk's data */
    WIRE_TRAILER,        /* lines behind the last chunk */
    WIRE_DONE,           /* the message is whole */
    WIRE_BAD             /* not HTTP/1.1 as we understand it */
};

/* One message being read; zero it, or wire_message_reset() it, before the next message. */
struct wire_message {
    enum wire_state state;
    int status;              /* of an answer; 0 in a request */
    bool close;              /* "connection: close" was seen */
    uint64_t body_left;
    uint64_t body_bytes;     /* of body seen so far */
    uint32_t line_bytes;     /* in WIRE_TRAILER: length of the present line */
    uint32_t head_bytes;
    char head[WIRE_HEAD_MAX];
};

int64_t wire_now_ns(void);

/* The CPU time that this process has used so far. */
int64_t wire_cpu_ns(void);

/* Each exits with a message when it fails: a benchmark that goes on after that measures nothing. */
int wire_listen(int port);
int wire_connect(int port);
void wire_raise_files(void);
_Noreturn void wire_die(const char *what);

void wire_nodelay(int fd);

void wire_message_reset(struct wire_message *m);

/* Feeds n bytes and returns how many belong to this message; the rest belongs to the next one.
 * Look at m->state afterwards: WIRE_DONE, WIRE_BAD, or any other state for "more please". */
size_t wire_message_feed(struct wire_message *m, const char *p, size_t n, wire_body_fn *body, void *owner);

/* True when the peer may close here without having cut a message short. */
bool wire_message_may_end(const struct wire_message *m);

/* Counters that load and mock provider share through a file: how many events of its stream each connection of the
 * load has received. The mock writes a chunk only when the chunk before has arrived, so that a gateway sees each
 * chunk alone however slow or fast it is; without this, what is coalesced is a matter of scheduling. */
#define WIRE_WINDOW_MAX 4096
uint32_t *wire_window_map(const char *file);

/* With a window both sides look around, and nap in between, instead of waiting in epoll: a gateway then never
 * pays for waking the load, whose wakings would depend on chance more than on the gateway. */
void wire_nap(void);

/* Latencies in buckets of 0.4 % width; a fixed size, so that recording never allocates. */
#define WIRE_HIST_SUB 256
#define WIRE_HIST_POWERS 36
struct wire_hist {
    uint64_t count;
    uint64_t bucket[WIRE_HIST_SUB * WIRE_HIST_POWERS];
};

void wire_hist_add(struct wire_hist *h, int64_t ns);

/* The value below which the given part of all samples lies, in µs; 0 when there are none. */
double wire_hist_us(const struct wire_hist *h, double part);

#endif
