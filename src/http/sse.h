/* SPDX-License-Identifier: Apache-2.0
 *
 * Server-sent events (the WHATWG event stream format), read event by event from pieces that were cut anywhere. Pure.
 *
 * Whole events are found in place in the caller's piece; only an event that is cut over two pieces is copied. Lines may end in CR, LF
 * or CRLF, also split; a byte order mark at the start is skipped; the space after the colon is optional.
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
    bool has_data;     /* comments and field-only events have none */
    bool is_tail;      /* the stream ended without the final blank line */
};

struct sse {
    struct buf partial; /* of an event that is not complete */
    struct buf joined;  /* data of a multi-line event, while it is shown */
    struct span rest;   /* of the piece being read */
    size_t scanned;     /* of partial, that holds no end */
    bool started;       /* past the byte order mark */
    bool skip_lf;       /* the last piece ended in CR */
};

void sse_init(struct sse *s, size_t event_max);
void sse_fini(struct sse *s);
void sse_feed(struct sse *s, struct span piece);             /* then sse_next until it returns ERR_AGAIN */
/* OK: an event, valid until the next call; AGAIN: feed more; TOO_LARGE: an event over the maximum. */
enum err sse_next(struct sse *s, struct sse_event *ret) MUST_CHECK;
enum err sse_end(struct sse *s, struct sse_event *ret) MUST_CHECK; /* after the last piece: OK with a tail that lacks its blank line, or AGAIN */
bool sse_is_between_events(const struct sse *s);

#endif
