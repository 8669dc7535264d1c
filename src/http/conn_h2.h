/* SPDX-License-Identifier: Apache-2.0
 *
 * What the three files of an HTTP/2 connection share: conn_h2.c (the session and its streams), h2_guard.c (floods, and frames that
 * nghttp2 lets pass), h2_head.c (header fields, and what a request's head must be). Nobody else includes this.
 */
#ifndef ENTENTE_HTTP_CONN_H2_H
#define ENTENTE_HTTP_CONN_H2_H

#include "http/conn.h"

#define FRAME_HEAD_BYTES 9u
#define SEEN_STREAMS 64u        /* streams remembered after their end */

struct nghttp2_session;

/* What a peer did within ten seconds that cost us and moved nothing. */
struct flood {
    uint64_t since_ns;
    unsigned resets; /* streams it reset, or had us reset */
    unsigned idle;   /* frames without effect, less the frames that had one */
};

struct frame_head {
    uint32_t length, id;
    uint8_t type, flags;
};

struct h2 {
    struct nghttp2_session *session;
    struct list streams;
    struct flood flood;
    struct buf fields;       /* of the header block that is arriving: see h2_add_field */
    unsigned fields_n;
    size_t fields_size;      /* as RFC 9113 counts it */
    bool fields_too_large;
    uint32_t seen[SEEN_STREAMS]; /* ring: id << 1, and 1 when the peer ended or reset it */
    unsigned seen_n;         /* ever */
    uint8_t head[FRAME_HEAD_BYTES]; /* of the frame whose head is arriving */
    uint8_t head_n;
    uint32_t frame_left;     /* of the payload, or of the preface */
    bool in_block;           /* a header block has begun and is not complete */
    bool calm;               /* GOAWAY ENHANCE_YOUR_CALM was decided */
    bool any_paused;
    bool refuse_input;       /* framing was lost: what still comes is not read */
    bool drain_noticed, drain_told;
    uint64_t drain_ns;       /* when the notice went */
};

/* A request's fields that decide, as they came. They borrow h2.fields. */
struct h2_pseudo {
    struct span method, scheme, path, authority, host, expect, length;
    bool has_authority, has_host;
};

/* conn_h2.c */
void h2_calm_down(struct conn *c);                   /* GOAWAY ENHANCE_YOUR_CALM */
void h2_end_session(struct conn *c, uint32_t code);  /* GOAWAY; nothing more is read */

/* h2_guard.c */
void h2_count_reset(struct conn *c);  /* a stream was reset, by the peer or because of it */
void h2_count_idle(struct conn *c);   /* a frame without effect */
void h2_count_useful(struct conn *c); /* a frame that had one */
size_t h2_walk(struct conn *c, const char *bytes, size_t n); /* how many of the bytes nghttp2 is to see */

/* h2_head.c */
enum err h2_add_field(struct h2 *h, struct span name, struct span value) MUST_CHECK;
void h2_cut_fields(struct conn *c, struct http_head *head, struct h2_pseudo *p); /* head->headers is the server's array */
/* OK; BAD_FRAMING: malformed, the stream is to be reset; else an error to be answered */
enum err h2_judge_head(const struct h2_pseudo *p, struct http_head *head, const char **why) MUST_CHECK;

#endif
