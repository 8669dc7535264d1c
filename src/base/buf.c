/* SPDX-License-Identifier: Apache-2.0
 *
 * Growth doubles, so that appending costs a constant per byte. Live bytes are moved to the front instead when that frees at
 * least as much as it moves, which keeps the constant.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/block.h"

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    block_free(b->p, b->capacity);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->at = b->end = 0;
}

static void move_to_front(struct buf *b)
{
    size_t live = buf_bytes(b);
    memmove(b->p, b->p + b->at, live);
    b->at = 0;
    b->end = live;
}

static enum err grow(struct buf *b, size_t need)
{
    size_t live = buf_bytes(b), want = b->capacity * 2 < b->max ? b->capacity * 2 : b->max, capacity;
    char *p = block_alloc(want > need ? want : need, &capacity);
    if (!p)
        return ERR_NO_MEMORY;
    if (live)
        memcpy(p, b->p + b->at, live);
    block_free(b->p, b->capacity);
    *b = (struct buf){.p = p, .end = live, .capacity = capacity, .max = b->max};
    return ERR_OK;
}

enum err buf_reserve(struct buf *b, size_t more)
{
    size_t live = buf_bytes(b);
    if (more > b->max || live > b->max - more)
        return ERR_TOO_LARGE;
    if (more <= buf_room(b))
        return ERR_OK;
    if (live + more <= b->capacity && (b->at >= live || b->capacity >= b->max)) {
        move_to_front(b);
        return ERR_OK;
    }
    return grow(b, live + more);
}

enum err buf_append(struct buf *b, struct span s)
{
    enum err e = buf_reserve(b, s.n);
    if (e || s.n == 0)
        return e;
    memcpy(buf_tail(b), s.p, s.n);
    buf_extend(b, s.n);
    return ERR_OK;
}

/* Text longer than usual is formatted aside, because vsnprintf wants room for a NUL that the maximum may not allow. */
enum err buf_printf(struct buf *b, const char *format, ...)
{
    char usual[512], *text = usual;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(usual, sizeof usual, format, args);
    if (n >= (int)sizeof usual && vasprintf(&text, format, again) < 0)
        text = NULL;
    va_end(again);
    va_end(args);
    if (n < 0 || !text)
        return n < 0 ? ERR_INTERNAL : ERR_NO_MEMORY;
    enum err e = buf_append(b, span_of(text, (size_t)n));
    if (text != usual)
        free(text);
    return e;
}

void buf_consume(struct buf *b, size_t n)
{
    CHECK(n <= buf_bytes(b));
    b->at += n;
    if (b->at == b->end)
        buf_fini(b);
}

void buf_move(struct buf *to, struct buf *from)
{
    CHECK(buf_bytes(to) == 0);
    size_t to_max = to->max;
    buf_fini(to);
    *to = *from;
    to->max = to_max;
    buf_init(from, from->max);
}
