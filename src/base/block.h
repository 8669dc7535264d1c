/* SPDX-License-Identifier: Apache-2.0
 *
 * A per-thread cache of byte blocks in powers of two from 512 bytes to 4 MiB, so that bodies and buffers neither fault
 * fresh pages for each request nor stay forever: at most BLOCK_CACHE_BYTES are kept free per thread, the rest goes back, and what a
 * whole interval between two calls of block_cache_tick did not need goes back, too.
 * A block may be freed on another thread than it came from; it then joins that thread's cache.
 */
#ifndef ENTENTE_BASE_BLOCK_H
#define ENTENTE_BASE_BLOCK_H

#include <stddef.h>

#define BLOCK_CACHE_BYTES (64u * 1024u * 1024u)

void *block_alloc(size_t bytes, size_t *ret_capacity); /* NULL when there is no memory; capacity >= bytes */
void block_free(void *block, size_t capacity);         /* accepts NULL */
size_t block_bytes_in_use(void);                       /* this process, all threads; relaxed */
void block_cache_tick(void);                           /* now and then, on each thread: gives back what was idle since the last call */
void block_cache_drain(void);                          /* frees what this thread keeps; at thread end and in leak tests */

#endif
