/* SPDX-License-Identifier: Apache-2.0
 *
 * What nghttp2 lets pass and we do not: floods of frames that are legal one by one, and frames on streams that are over. The
 * complication is that nghttp2 does not show the frames that it drops, so the heads of all frames are read here before it sees them.
 */
#include "http/conn_h2.h"

#define FLOOD_WINDOW_NS (10 * NS_PER_S)

/* RFC 9113 6 and 7 */
enum { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_RST_STREAM = 3, FRAME_GOAWAY = 7, FRAME_CONTINUATION = 9 };
enum { FLAG_END_STREAM = 1 };
enum { CODE_PROTOCOL_ERROR = 1, CODE_STREAM_CLOSED = 5 };

/* ---- floods ---- */

static struct flood *flood_now(struct conn *c)
{
    struct flood *f = &c->h2->flood;
    uint64_t now_ns = loop_now_ns(c->server->loop);
    if (now_ns - f->since_ns > FLOOD_WINDOW_NS)
        *f = (struct flood){.since_ns = now_ns};
    return f;
}

void h2_count_reset(struct conn *c)
{
    if (++flood_now(c)->resets > LIMIT_H2_RESETS)
        h2_calm_down(c);
}

void h2_count_idle(struct conn *c)
{
    if (++flood_now(c)->idle > LIMIT_H2_CONTROL_FRAMES)
        h2_calm_down(c);
}

void h2_count_useful(struct conn *c)
{
    struct flood *f = flood_now(c);
    f->idle -= f->idle > 0;
}

/* ---- frames on streams that are over ----
 *
 * nghttp2 ignores them, because they may have been on their way when we reset the stream. But what follows the peer's own end of a
 * stream, or uses an identifier it passed over, breaks the protocol: RFC 9113 5.1, 5.1.1. */

static uint32_t *find_seen(struct h2 *h, uint32_t id)
{
    unsigned n = h->seen_n < SEEN_STREAMS ? h->seen_n : SEEN_STREAMS;
    for (unsigned i = 1; i <= n; i++) {
        uint32_t *entry = &h->seen[(h->seen_n - i) % SEEN_STREAMS];
        if (*entry >> 1 == id)
            return entry;
    }
    return NULL;
}

static uint32_t newest_seen(const struct h2 *h)
{
    return h->seen_n ? h->seen[(h->seen_n - 1) % SEEN_STREAMS] >> 1 : 0;
}

static uint32_t oldest_seen(const struct h2 *h)
{
    return h->seen_n > SEEN_STREAMS ? h->seen[h->seen_n % SEEN_STREAMS] >> 1 : 0;
}

static void remember_end(struct h2 *h, const struct frame_head *hd)
{
    bool ends = hd->type == FRAME_RST_STREAM || (hd->flags & FLAG_END_STREAM);
    uint32_t *entry = ends ? find_seen(h, hd->id) : NULL;
    if (entry)
        *entry |= 1;
}

static void judge_stream(struct conn *c, const struct frame_head *hd)
{
    struct h2 *h = c->h2;
    uint32_t id = hd->id;
    if (hd->type != FRAME_HEADERS && hd->type != FRAME_DATA && hd->type != FRAME_RST_STREAM)
        return;
    if (hd->type == FRAME_HEADERS && id % 2 && id > newest_seen(h)) {
        h->seen[h->seen_n++ % SEEN_STREAMS] = id << 1;
    } else if (hd->type != FRAME_RST_STREAM) {
        uint32_t *entry = find_seen(h, id);
        if (entry && *entry & 1)
            h2_end_session(c, CODE_STREAM_CLOSED);
        else if (!entry && hd->type == FRAME_HEADERS && id % 2 && id > oldest_seen(h))
            h2_end_session(c, CODE_PROTOCOL_ERROR);
    }
    remember_end(h, hd);
}

/* ---- walking the frames ----
 *
 * nghttp2 shows most frames that it receives, but not those it drops. So their heads are read here first. */

static bool is_idle_frame(const struct frame_head *hd)
{
    if (hd->type == FRAME_DATA)
        return hd->length == 0 && !(hd->flags & FLAG_END_STREAM);
    return hd->type != FRAME_HEADERS && hd->type != FRAME_RST_STREAM && hd->type != FRAME_GOAWAY &&
           !(hd->type == FRAME_CONTINUATION && hd->length > 0);
}

static void judge_frame(struct conn *c, const uint8_t *head)
{
    struct frame_head hd = {
        .length = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2], .type = head[3], .flags = head[4],
        .id = ((uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8]) & 0x7fffffff,
    };
    struct h2 *h = c->h2;
    h->frame_left = hd.length;
    h->in_block = h->in_block && hd.type == FRAME_CONTINUATION;
    if (is_idle_frame(&hd))
        h2_count_idle(c);
    else
        h2_count_useful(c);
    judge_stream(c, &hd);
}

/* Returns how many of the bytes nghttp2 is to see: all, or those up to the frame that ended the session. */
size_t h2_walk(struct conn *c, const char *bytes, size_t n)
{
    struct h2 *h = c->h2;
    size_t at = 0;
    while (at < n && !h->refuse_input && !h->calm) {
        size_t skip = h->frame_left < n - at ? h->frame_left : n - at;
        at += skip;
        h->frame_left -= (uint32_t)skip;
        while (at < n && !h->frame_left && h->head_n < FRAME_HEAD_BYTES)
            h->head[h->head_n++] = (uint8_t)bytes[at++];
        if (h->head_n == FRAME_HEAD_BYTES) {
            h->head_n = 0;
            judge_frame(c, h->head);
        }
    }
    return at;
}
