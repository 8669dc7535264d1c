/* SPDX-License-Identifier: Apache-2.0
 *
 * Who reads the books has a file system and SQLite's own way to it. So the file and its log are copied to a real directory; in memory where the
 * system has such a place, because a sync there costs nothing, and thousands of worlds are made.
 */
#include "sim/sim_books.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "serve/gateway_books.h"

#define VFS_NAME "sim-books"
#define SPOOL_BYTES (256u * KIB)

static const char *const copied[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm"}; /* the last is never on the simulated disk */

void sim_books_init(struct sim_books *b, uint64_t seed, bool strict)
{
    const char *tmp = getenv("TMPDIR"), *in_memory = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
    *b = (struct sim_books){.disk = sim_vfs_new(VFS_NAME, seed), .strict = strict};
    snprintf(b->dir, sizeof b->dir, "%.200s/entente-sim-XXXXXX", tmp && *tmp ? tmp : in_memory);
    CHECK(mkdtemp(b->dir) != NULL);
}

/* ---- copies ---- */

static void remove_copy(const struct sim_books *b)
{
    char path[300];
    for (unsigned i = 0; i < COUNT_OF(copied); i++) {
        snprintf(path, sizeof path, "%s/%s", b->dir, copied[i]);
        (void)unlink(path);
    }
}

static void copy_file(const struct sim_books *b, const char *name)
{
    char from[64], to[300];
    snprintf(from, sizeof from, "d/%s", name);
    snprintf(to, sizeof to, "%s/%s", b->dir, name);
    struct span bytes = sim_vfs_file(b->disk, from);
    FILE *f = bytes.n ? fopen(to, "wb") : NULL;
    CHECK(!bytes.n || (f && fwrite(bytes.p, 1, bytes.n, f) == bytes.n && fclose(f) == 0));
}

static void copy(const struct sim_books *b)
{
    remove_copy(b);
    for (unsigned i = 0; i < COUNT_OF(copied); i++)
        copy_file(b, copied[i]);
}

enum err sim_books_read(struct sim_books *b, struct books **ret, char why[512])
{
    copy(b);
    return books_open(b->dir, ret, why);
}

/* ---- lives ---- */

enum err sim_books_open(struct sim_books *b, struct loop *gateway, const struct budget_set *budgets, char why[512])
{
    const struct ledger_options o = {.dir = "d", .spool_bytes = b->strict ? 0 : SPOOL_BYTES, .strict = b->strict, .loop = gateway, .vfs = VFS_NAME,
                                     .disk = sim_vfs_disk(b->disk), .checkpoint_every = 10};
    enum err e = ledger_open(&o, &b->ledger, why);
    if (e)
        return e;
    b->budgets = budget_book_new(NULL, NULL);
    if (budgets->budgets_n)
        copy(b);
    e = gateway_books_restore(b->budgets, b->dir, budgets, loop_wall_us(gateway), why);
    if (e)
        sim_books_abandon(b);
    return e;
}

static void end_life(struct sim_books *b)
{
    budget_book_free(b->budgets);
    b->budgets = NULL;
    b->ledger = NULL;
}

void sim_books_close(struct sim_books *b)
{
    ledger_close(b->ledger);
    end_life(b);
}

void sim_books_abandon(struct sim_books *b)
{
    ledger_abandon(b->ledger);
    end_life(b);
}

void sim_books_fini(struct sim_books *b)
{
    CHECK(!b->ledger);
    sim_vfs_free(b->disk);
    remove_copy(b);
    (void)rmdir(b->dir);
    *b = (struct sim_books){.disk = NULL};
}
