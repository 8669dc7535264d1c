/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing byte buffer with a maximum, from the block cache. Bytes are appended at the end and consumed from the front.
 * An empty buffer holds no memory unless buf_reserve was called.
 */
#ifndef ENTENTE_BASE_BUF_H
#define ENTENTE_BASE_BUF_H

#include "base/err.h"
#include "base/span.h"

struct buf {
    char *p;         /* the block, or NULL */
    size_t at;       /* first live byte */
    size_t end;      /* past the last live byte */
    size_t capacity; /* of the block */
    size_t max;      /* most live bytes allowed */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);  /* gives the block back; the buffer can be used again */
void buf_clear(struct buf *b); /* forgets the bytes, keeps the block */
enum err buf_reserve(struct buf *b, size_t more) MUST_CHECK; /* room for more bytes at the end: ERR_TOO_LARGE, ERR_NO_MEMORY */
enum err buf_append(struct buf *b, struct span s) MUST_CHECK;
enum err buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3) MUST_CHECK;
void buf_consume(struct buf *b, size_t n); /* from the front; gives the block back when it empties */
void buf_move(struct buf *to, struct buf *from); /* takes everything; from is empty after; to must be empty */

static inline struct span buf_span(const struct buf *b) { return span_of(b->at ? b->p + b->at : b->p, b->end - b->at); }
static inline size_t buf_bytes(const struct buf *b) { return b->end - b->at; }
static inline char *buf_tail(struct buf *b) { return b->end ? b->p + b->end : b->p; } /* after buf_reserve */
static inline size_t buf_room(const struct buf *b) { return b->capacity - b->end; } /* without growing */
static inline void buf_extend(struct buf *b, size_t n) { b->end += n; }              /* n bytes were written at buf_tail */

#endif
