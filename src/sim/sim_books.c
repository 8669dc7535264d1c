/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger's directory is a real one of its own, gone with the books; in memory where the system has such a place, because a sync there costs
 * nothing, and thousands of worlds are made.
 */
#include "sim/sim_books.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ledger/books.h"

void sim_books_open(struct sim_books *b, struct loop *gateway)
{
    const char *tmp = getenv("TMPDIR"), *in_memory = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
    char why[512] = "";
    snprintf(b->dir, sizeof b->dir, "%.200s/entente-sim-XXXXXX", tmp && *tmp ? tmp : in_memory);
    CHECK(mkdtemp(b->dir) != NULL);
    const struct ledger_options o = {.dir = b->dir, .loop = gateway};
    CHECK(ledger_open(&o, &b->ledger, why) == ERR_OK);
}

struct writing {
    struct books *books;
    struct buf *lines;
};

static enum err write_usage(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    const struct writing *w = owner;
    return e->kind == ENTRY_USAGE ? books_write_json(w->books, seq, e, w->lines) : ERR_OK;
}

enum err sim_books_read(struct sim_books *b, struct buf *lines)
{
    char why[512] = "";
    struct writing w = {.lines = lines};
    ledger_flush(b->ledger);
    enum err e = books_open(b->dir, &w.books, why);
    if (e)
        return e;
    e = books_each(w.books, 0, books_size(w.books), write_usage, &w);
    books_close(w.books);
    return e;
}

static void remove_files(const char *path)
{
    char file[600];
    DIR *dir = opendir(path);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        (void)unlink(file);
    }
    if (dir)
        closedir(dir);
    (void)rmdir(path);
}

void sim_books_close(struct sim_books *b)
{
    ledger_close(b->ledger);
    remove_files(b->dir);
    *b = (struct sim_books){.ledger = NULL};
}
