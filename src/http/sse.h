/* SPDX-License-Identifier: Apache-2.0
 *
 * Server-sent events (the WHATWG event stream format), read event by event from pieces that were cut anywhere. Pure.
 *
 * Whole events are found in place in the caller's piece; only an event that is cut over two pieces is copied. Lines may end in CR, LF
 * or CRLF, also split; a byte order mark at the start is skipped; the space after the colon is optional.
 *
 *   sse_feed(&s, piece);
 *   while (sse_next(&s, &event) == ERR_OK) ...       until ERR_AGAIN: only then may the piece's bytes go
 *
 * Every cut of a stream gives the same events. Their raw bytes put together are the stream again, but for the byte order mark and for
 * the LF of a CRLF that arrived after its CR had already ended an event whose lines end in CR alone.
 */
#ifndef ENTENTE_HTTP_SSE_H
#define ENTENTE_HTTP_SSE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

struct sse_event {
    struct span raw;   /* all bytes of the event with its blank line, as received */
    struct span data;  /* the data lines joined by LF; borrows raw when there is one line */
    struct span name;  /* of the event: field, or empty */
    bool has_data;     /* comments, field-only events and stray blank lines have none */
    bool is_tail;      /* the stream ended without the final blank line */
};

struct sse {
    struct buf partial; /* of an event that is not complete */
    struct buf joined;  /* data of a multi-line event, while it is shown */
    struct span rest;   /* of the piece being read */
    unsigned char at;   /* enum sse_at of sse.c: what the last byte that was looked at means for the next */
    bool started;       /* past the byte order mark */
    bool skip_lf;       /* the last event ended in a CR at the end of its piece: an LF that follows belongs to it */
    bool shown;         /* partial holds the event that was shown last and is to be dropped */
};

void sse_init(struct sse *s, size_t event_max);
void sse_fini(struct sse *s);
void sse_feed(struct sse *s, struct span piece);             /* then sse_next until it returns ERR_AGAIN */
/* OK: an event, valid until the next call; AGAIN: feed more; TOO_LARGE: an event over the maximum; NO_MEMORY. */
enum err sse_next(struct sse *s, struct sse_event *ret) MUST_CHECK;
enum err sse_end(struct sse *s, struct sse_event *ret) MUST_CHECK; /* after the last piece: OK with what lacks its end, or AGAIN */
bool sse_is_between_events(const struct sse *s);

#endif
