/* SPDX-License-Identifier: Apache-2.0
 *
 * One free list per power of two and thread. A free block's first bytes hold the link. Blocks of MAP_BYTES and more are
 * mapped, so that giving one back really returns its pages; smaller ones come from malloc, because tens of thousands of
 * small mappings would meet the kernel's limit on mappings. Under AddressSanitizer nothing is cached and everything is
 * malloc, so that a use after free shows.
 */
#include "base/block.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"

#define SMALLEST_SHIFT 9 /* 512 bytes */
#define CLASSES 14       /* to 4 MiB */
#define SMALLEST_BYTES ((size_t)1 << SMALLEST_SHIFT)
#define LARGEST_BYTES ((size_t)1 << (SMALLEST_SHIFT + CLASSES - 1))
#define PAGE_BYTES 4096u
#define ABSURD_BYTES ((size_t)1 << 40) /* not worth asking the system for */
#define MAP_BYTES (64u * 1024u)
#define SMALL_BYTES 4096u                /* of blocks below this only so much is kept per size: */
#define SMALL_CLASS_BYTES (256u * 1024u) /* past a burst, malloc can give their memory to other sizes */

struct free_block {
    struct free_block *next;
};

struct cache {
    struct free_block *first[CLASSES];
    size_t class_bytes[CLASSES];
    size_t bytes;
    size_t idle_bytes; /* the least that was cached since the last tick: nobody needed so much */
};

static _Thread_local struct cache cache;
static size_t in_use;

static unsigned class_of(size_t bytes)
{
    return bytes <= SMALLEST_BYTES ? 0 : (unsigned)(64 - __builtin_clzll(bytes - 1)) - SMALLEST_SHIFT;
}

/* Above the largest class only whole pages are promised: a body of 17 MiB need not take 32. */
static size_t capacity_for(size_t bytes)
{
    if (bytes > LARGEST_BYTES)
        return (bytes + PAGE_BYTES - 1) & ~(size_t)(PAGE_BYTES - 1);
    return SMALLEST_BYTES << class_of(bytes);
}

static void *system_alloc(size_t capacity)
{
    if (UNDER_ASAN || capacity < MAP_BYTES)
        return malloc(capacity);
    void *block = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

static void system_free(void *block, size_t capacity)
{
    if (UNDER_ASAN || capacity < MAP_BYTES)
        free(block);
    else
        CHECK(munmap(block, capacity) == 0);
}

static void *cache_take(unsigned class)
{
    struct free_block *block = cache.first[class];
    if (!block)
        return NULL;
    cache.first[class] = block->next;
    cache.class_bytes[class] -= SMALLEST_BYTES << class;
    cache.bytes -= SMALLEST_BYTES << class;
    if (cache.bytes < cache.idle_bytes)
        cache.idle_bytes = cache.bytes;
    return block;
}

static void cache_put(unsigned class, void *memory)
{
    struct free_block *block = memory;
    block->next = cache.first[class];
    cache.first[class] = block;
    cache.class_bytes[class] += SMALLEST_BYTES << class;
    cache.bytes += SMALLEST_BYTES << class;
}

/* Gives up a block of the size that holds most, so that the cache follows what the load asks for now. */
static void cache_evict(void)
{
    unsigned fullest = 0;
    for (unsigned class = 1; class < CLASSES; class++)
        if (cache.class_bytes[class] > cache.class_bytes[fullest])
            fullest = class;
    system_free(cache_take(fullest), SMALLEST_BYTES << fullest);
}

void *block_alloc(size_t bytes, size_t *ret_capacity)
{
    if (bytes > ABSURD_BYTES)
        return NULL;
    size_t capacity = capacity_for(bytes);
    void *block = capacity <= LARGEST_BYTES ? cache_take(class_of(capacity)) : NULL;
    if (!block)
        block = system_alloc(capacity);
    if (!block)
        return NULL;
    __atomic_fetch_add(&in_use, capacity, __ATOMIC_RELAXED);
    *ret_capacity = capacity;
    return block;
}

void block_free(void *block, size_t capacity)
{
    if (!block)
        return;
    CHECK(capacity == capacity_for(capacity));
    __atomic_fetch_sub(&in_use, capacity, __ATOMIC_RELAXED);
    if (UNDER_ASAN || capacity > LARGEST_BYTES) {
        system_free(block, capacity);
        return;
    }
    if (capacity < SMALL_BYTES && cache.class_bytes[class_of(capacity)] >= SMALL_CLASS_BYTES) {
        free(block);
        return;
    }
    cache_put(class_of(capacity), block);
    while (cache.bytes > BLOCK_CACHE_BYTES)
        cache_evict();
}

size_t block_bytes_in_use(void)
{
    return __atomic_load_n(&in_use, __ATOMIC_RELAXED);
}

void block_cache_tick(void)
{
    size_t goal = cache.bytes - cache.idle_bytes;
    while (cache.bytes > goal)
        cache_evict();
    cache.idle_bytes = cache.bytes;
}

void block_cache_drain(void)
{
    while (cache.bytes)
        cache_evict();
}
