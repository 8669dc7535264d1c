/* SPDX-License-Identifier: Apache-2.0
 *
 * An arena: allocations that die together. Mark and rewind, or free whole. Blocks double from first_bytes up to 64 KiB;
 * a larger allocation gets a block of its own. Returned memory is aligned to 16 and not zeroed unless said.
 * Allocation failure ends the process through check_failed (a server without memory for a few bytes sheds nothing by
 * limping on); large buffers that a peer sizes come from buf.h, which reports failure.
 */
#ifndef ENTENTE_BASE_ARENA_H
#define ENTENTE_BASE_ARENA_H

#include <stdarg.h>

#include "base/check.h"
#include "base/span.h"

struct arena_block;

struct arena {
    struct arena_block *newest;
    char *at;  /* next free byte of the newest block */
    char *end;
    unsigned next_bytes;
};

struct arena_mark {
    struct arena_block *block;
    char *at;
};

void arena_init(struct arena *a, size_t first_bytes); /* allocates nothing yet */
void arena_fini(struct arena *a);                     /* frees all; the arena can be used again */
void *arena_alloc(struct arena *a, size_t bytes);
void *arena_zalloc(struct arena *a, size_t bytes);
void *arena_zalloc_array(struct arena *a, size_t bytes_each, size_t n); /* a product that overflows ends the process */
struct span arena_dup(struct arena *a, struct span s);
char *arena_strdup(struct arena *a, struct span s); /* NUL-terminated copy */
struct span arena_join(struct arena *a, struct span head, struct span tail);
struct span arena_u64(struct arena *a, uint64_t value); /* its decimal digits */
struct span arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark mark);
size_t arena_bytes(const struct arena *a); /* held from the system */

#define ARENA_NEW(arena, type) ((type *)arena_zalloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, n) ((type *)arena_zalloc_array((arena), sizeof(type), (size_t)(n)))

#endif
