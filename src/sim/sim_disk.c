/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of the simulated world: they outlive the loops that write them, cost time, fill up, fail, and lose what was not synced
 * when the power goes. As on the real disk an append is whole or refused, and a failed sync makes the open file doubtful.
 */
#include "sim/sim_world.h"

#include <stdlib.h>

#include "base/limits.h"

struct sim_file {
    struct sim_file *next;
    char *path;
    char *bytes;
    size_t used, room, synced;
    unsigned number;
};

struct sim_open_file {
    struct disk_file base;
    struct sim_loop *home;
    struct sim_file *file;
    bool doubtful;
};

static struct sim_file *file_find(struct sim_world *w, const char *path)
{
    struct sim_file *f = w->files;
    while (f && strcmp(f->path, path) != 0)
        f = f->next;
    return f;
}

static struct sim_file *file_new(struct sim_world *w, const char *path)
{
    struct sim_file *f = calloc(1, sizeof *f);
    CHECK(f && (f->path = strdup(path)));
    f->number = w->files ? w->files->number + 1 : 1;
    f->next = w->files;
    w->files = f;
    return f;
}

enum err sim_disk_open(struct loop *l, const char *path, struct disk_file **ret)
{
    struct sim_loop *sl = loop_world(l);
    struct sim_open_file *open = calloc(1, sizeof *open);
    CHECK(open);
    struct sim_file *f = file_find(sl->world, path);
    *open = (struct sim_open_file){.base.backend = sim_backend(), .home = sl, .file = f ? f : file_new(sl->world, path)};
    *ret = &open->base;
    return ERR_OK;
}

static uint64_t bytes_of_all(const struct sim_world *w)
{
    uint64_t total = 0;
    for (const struct sim_file *f = w->files; f; f = f->next)
        total += f->used;
    return total;
}

static void file_reserve(struct sim_file *f, size_t more)
{
    if (f->room - f->used >= more)
        return;
    f->room = 2 * f->room + more;
    f->bytes = realloc(f->bytes, f->room);
    CHECK(f->bytes);
}

enum err sim_disk_append(struct disk_file *base, struct span bytes)
{
    struct sim_open_file *open = CONTAINER_OF(base, struct sim_open_file, base);
    struct sim_world *w = open->home->world;
    struct sim_file *f = open->file;
    w->now_ns += sim_between(w, 1, 20 * NS_PER_US);
    bool refused = open->doubtful || sim_world_chance(w, w->options.disk_append_ppm) ||
                   bytes_of_all(w) + bytes.n > w->options.disk_room_bytes;
    sim_note(w, open->home, refused ? "disk refused" : "append", f->number, bytes.n);
    if (refused)
        return ERR_DISK;
    file_reserve(f, bytes.n);
    if (bytes.n)
        memcpy(f->bytes + f->used, bytes.p, bytes.n);
    f->used += bytes.n;
    return ERR_OK;
}

enum err sim_disk_sync(struct disk_file *base)
{
    struct sim_open_file *open = CONTAINER_OF(base, struct sim_open_file, base);
    struct sim_world *w = open->home->world;
    w->now_ns += sim_between(w, 50 * NS_PER_US, 2 * NS_PER_MS);
    open->doubtful = open->doubtful || sim_world_chance(w, w->options.disk_sync_ppm);
    sim_note(w, open->home, open->doubtful ? "sync failed" : "sync", open->file->number, open->file->used);
    if (open->doubtful)
        return ERR_DISK;
    open->file->synced = open->file->used;
    return ERR_OK;
}

void sim_disk_close(struct disk_file *base) { free(CONTAINER_OF(base, struct sim_open_file, base)); }

struct span sim_world_file(struct sim_world *w, const char *path)
{
    const struct sim_file *f = file_find(w, path);
    return f ? span_of(f->bytes, f->used) : SPAN_NONE;
}

void sim_world_power_cut(struct sim_world *w)
{
    for (struct sim_file *f = w->files; f; f = f->next) {
        f->used = f->synced = sim_between(w, f->synced, f->used);
        sim_note(w, NULL, "power cut", f->number, f->used);
    }
}

void sim_files_free(struct sim_world *w)
{
    for (struct sim_file *f = w->files, *next; f; f = next) {
        next = f->next;
        free(f->path);
        free(f->bytes);
        free(f);
    }
    w->files = NULL;
}
