/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear probing; what is removed leaves no mark, because the cells behind it move up.
 */
#include "base/index.h"

#include <stdlib.h>

#include "base/check.h"

#define CELLS_FIRST 64u

static void put(struct index *x, struct index_cell cell)
{
    uint32_t at = cell.hash & x->mask;
    while (x->cells[at].item)
        at = (at + 1) & x->mask;
    x->cells[at] = cell;
}

static void grow(struct index *x)
{
    struct index old = *x;
    uint32_t cells = old.cells ? 2 * (old.mask + 1) : CELLS_FIRST;
    CHECK(cells); /* 2^31 items */
    x->cells = calloc(cells, sizeof *x->cells);
    CHECK(x->cells);
    x->mask = cells - 1;
    for (uint32_t i = 0; old.cells && i <= old.mask; i++)
        if (old.cells[i].item)
            put(x, old.cells[i]);
    free(old.cells);
}

void index_insert(struct index *x, uint32_t hash, uint32_t item)
{
    CHECK(item);
    if (!x->cells || 2 * x->used > x->mask)
        grow(x);
    put(x, (struct index_cell){hash, item});
    x->used++;
}

/* Cells behind the gap move up unless their own place lies behind it, too. */
static void close_gap(struct index *x, uint32_t gap)
{
    for (uint32_t at = (gap + 1) & x->mask; x->cells[at].item; at = (at + 1) & x->mask) {
        uint32_t home = x->cells[at].hash & x->mask;
        if (((at - home) & x->mask) < ((at - gap) & x->mask))
            continue;
        x->cells[gap] = x->cells[at];
        gap = at;
    }
    x->cells[gap] = (struct index_cell){0, 0};
}

void index_remove(struct index *x, uint32_t hash, uint32_t item)
{
    uint32_t at = index_first(x, hash), found;
    while ((found = index_item(x, hash, &at)) != item) {
        CHECK(found);
        at++;
    }
    close_gap(x, at);
    x->used--;
}

void index_fini(struct index *x)
{
    free(x->cells);
    *x = (struct index){0};
}
