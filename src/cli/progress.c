/* SPDX-License-Identifier: Apache-2.0
 *
 * Ten drawings a second at most: looking at the clock is what most calls cost.
 */
#include "cli/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/table.h"

#define BAR_CELLS 30

static uint64_t now_ns(void)
{
    struct timespec t;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void progress_begin(struct progress *p, const char *what)
{
    uint64_t now = now_ns();
    *p = (struct progress){.what = what, .live = isatty(STDERR_FILENO) == 1, .begin_ns = now, .next_ns = now + NS_PER_S};
}

static void draw(struct progress *p, uint64_t done, uint64_t total)
{
    static const char full[] = "##############################", none[] = "..............................";
    _Static_assert(sizeof full == BAR_CELLS + 1 && sizeof none == BAR_CELLS + 1, "a character per cell");
    char some[32], all[32];
    int cells = (int)((double)done / (double)total * BAR_CELLS);
    fprintf(stderr, "\r%s  %.*s%.*s  %s of %s\x1b[K", p->what, cells, full, BAR_CELLS - cells, none, table_number(some, done), table_number(all, total));
    fflush(stderr);
    p->drawn = true;
}

void progress_show(void *progress, uint64_t done, uint64_t total)
{
    struct progress *p = progress;
    if (!p->live || total == 0 || done > total)
        return;
    uint64_t now = now_ns();
    if (now < p->next_ns)
        return;
    draw(p, done, total);
    p->next_ns = now + NS_PER_S / 10;
}

void progress_pages(void *progress, int done, int total) { progress_show(progress, (uint64_t)done, (uint64_t)total); }

void progress_end(struct progress *p)
{
    if (p->drawn)
        fprintf(stderr, "\r\x1b[K");
    p->drawn = false;
}

double progress_seconds(const struct progress *p) { return (double)(now_ns() - p->begin_ns) / (double)NS_PER_S; }
