/* SPDX-License-Identifier: Apache-2.0
 *
 * A stack of blocks, newest first. Blocks of a page and more come from the block cache, so that an arena per request costs
 * no system call. Under AddressSanitizer memory that is not handed out is poisoned, with a gap after each allocation.
 */
#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/block.h"

#if UNDER_ASAN
#include <sanitizer/asan_interface.h>
#define GAP_BYTES 16u
#define POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define GAP_BYTES 0u
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define ALIGNMENT 16u
#define BLOCK_BYTES_MIN 256u
#define BLOCK_BYTES_MAX (64u * 1024u)
#define CACHED_BYTES 512u /* the smallest block of block.h */

struct arena_block {
    struct arena_block *older;
    size_t bytes; /* with this header */
    _Alignas(ALIGNMENT) char memory[];
};

void arena_init(struct arena *a, size_t first_bytes)
{
    size_t first = first_bytes < BLOCK_BYTES_MIN ? BLOCK_BYTES_MIN : first_bytes;
    *a = (struct arena){.next_bytes = first > BLOCK_BYTES_MAX ? BLOCK_BYTES_MAX : (unsigned)first};
}

static void block_give_back(struct arena_block *block)
{
    size_t bytes = block->bytes;
    UNPOISON(block, bytes);
    if (bytes >= CACHED_BYTES)
        block_free(block, bytes);
    else
        free(block);
}

static void free_newer_than(struct arena *a, struct arena_block *keep)
{
    while (a->newest != keep) {
        struct arena_block *block = a->newest;
        CHECK(block != NULL); /* else the mark was of another arena, or of a future that was rewound */
        a->newest = block->older;
        block_give_back(block);
    }
}

void arena_fini(struct arena *a)
{
    free_newer_than(a, NULL);
    a->at = a->end = NULL;
}

static void add_block(struct arena *a, size_t bytes)
{
    size_t want = bytes + sizeof(struct arena_block), size = want > a->next_bytes ? want : a->next_bytes;
    struct arena_block *block = size >= CACHED_BYTES ? block_alloc(size, &size) : malloc(size);
    CHECK(block != NULL);
    block->older = a->newest;
    block->bytes = size;
    a->newest = block;
    a->at = block->memory;
    a->end = (char *)block + size;
    POISON(a->at, (size_t)(a->end - a->at));
    if (a->next_bytes < BLOCK_BYTES_MAX)
        a->next_bytes = a->next_bytes > BLOCK_BYTES_MAX / 2 ? BLOCK_BYTES_MAX : a->next_bytes * 2;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    CHECK(bytes < SIZE_MAX / 4);
    size_t step = ((bytes ? bytes : 1) + GAP_BYTES + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (step > (size_t)(a->end - a->at))
        add_block(a, step);
    char *p = a->at;
    a->at += step;
    UNPOISON(p, bytes);
    return p;
}

void *arena_zalloc(struct arena *a, size_t bytes)
{
    return memset(arena_alloc(a, bytes), 0, bytes);
}

void *arena_zalloc_array(struct arena *a, size_t bytes_each, size_t n)
{
    size_t bytes;
    CHECK(!__builtin_mul_overflow(bytes_each, n, &bytes));
    return arena_zalloc(a, bytes);
}

char *arena_strdup(struct arena *a, struct span s)
{
    char *copy = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

struct span arena_dup(struct arena *a, struct span s)
{
    char *copy = arena_alloc(a, s.n);
    if (s.n)
        memcpy(copy, s.p, s.n);
    return span_of(copy, s.n);
}

struct span arena_join(struct arena *a, struct span head, struct span tail)
{
    char *copy = arena_alloc(a, head.n + tail.n);
    if (head.n)
        memcpy(copy, head.p, head.n);
    if (tail.n)
        memcpy(copy + head.n, tail.p, tail.n);
    return span_of(copy, head.n + tail.n);
}

struct span arena_u64(struct arena *a, uint64_t value)
{
    return span_of_u64(arena_alloc(a, SPAN_U64_BYTES), value);
}

struct span arena_printf(struct arena *a, const char *format, ...)
{
    char small[256];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof small, format, args);
    CHECK(n >= 0);
    char *text = arena_alloc(a, (size_t)n + 1);
    if ((size_t)n < sizeof small)
        memcpy(text, small, (size_t)n + 1);
    else
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return span_of(text, (size_t)n);
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->newest, a->at};
}

void arena_rewind(struct arena *a, struct arena_mark mark)
{
    free_newer_than(a, mark.block);
    a->at = mark.at;
    a->end = mark.block ? (char *)mark.block + mark.block->bytes : NULL;
    POISON(a->at, (size_t)(a->end - a->at));
}

size_t arena_bytes(const struct arena *a)
{
    size_t sum = 0;
    for (const struct arena_block *block = a->newest; block; block = block->older)
        sum += block->bytes;
    return sum;
}
