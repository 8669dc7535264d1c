/* SPDX-License-Identifier: Apache-2.0
 *
 * Files are kept twice: as programs see them now, and as the platter has them. Between both lies a list of changes that no sync has confirmed. A sync
 * applies the list; a power cut applies a part of it, in an order that the seed draws; a failed sync forgets a part of it for good, although programs go on
 * seeing what they wrote.
 */
#include "sim/sim_vfs.h"

#include <stdio.h>
#include <stdlib.h>

#include <sqlite3.h>

#include "base/check.h"
#include "base/random.h"

#define SECTOR 512u
#define FILES_MAX 16u

struct image {
    char *bytes;
    uint64_t size, room;
    bool exists;
};

struct change {
    uint64_t at;
    size_t n;     /* of bytes; or with bytes NULL: the file is cut or grown to `at` */
    char *bytes;
};

struct vfs_file {
    struct sim_vfs *vfs;
    char *path;   /* NULL: a temporary file without a name */
    struct image now, disk;
    struct change *changes;
    unsigned changes_n, changes_room, opens;
    bool used;
};

struct sim_vfs {
    sqlite3_vfs base;
    struct disk_world world;
    struct random random;
    struct vfs_file files[FILES_MAX];
    uint64_t changes, counted;
    bool failing, hit, off;
    enum sim_vfs_fault fault;
    uint64_t from, until; /* of the calls counted since sim_vfs_fail */
    const char *only;
    void (*on_power)(void *owner);
    void *power_owner;
};

struct vfs_handle {
    sqlite3_file base;
    struct vfs_file *file;
};

static uint64_t draw(struct sim_vfs *v, uint64_t n) { return random_next(&v->random) % n; }

/* ---- images ---- */

static void image_resize(struct image *m, uint64_t size)
{
    if (size > m->room) {
        m->room = 2 * size;
        m->bytes = realloc(m->bytes, m->room);
        CHECK(m->bytes);
    }
    if (size > m->size)
        memset(m->bytes + m->size, 0, size - m->size);
    m->size = size;
}

static void image_write(struct image *m, uint64_t at, const char *bytes, size_t n)
{
    if (at + n > m->size)
        image_resize(m, at + n);
    memcpy(m->bytes + at, bytes, n);
}

static void image_copy(struct image *to, const struct image *from)
{
    image_resize(to, from->size);
    if (from->size)
        memcpy(to->bytes, from->bytes, from->size);
    to->exists = from->exists;
}

static void image_empty(struct image *m)
{
    m->size = 0;
    m->exists = false;
}

/* ---- changes ---- */

static void apply_whole(struct image *disk, const struct change *c)
{
    if (c->bytes)
        image_write(disk, c->at, c->bytes, c->n);
    else
        image_resize(disk, c->at);
}

/* Sector by sector, as they lie in the file. */
static void apply_torn(struct sim_vfs *v, struct image *disk, const struct change *c)
{
    for (size_t done = 0; c->bytes && done < c->n;) {
        size_t n = SECTOR - (c->at + done) % SECTOR;
        n = n < c->n - done ? n : c->n - done;
        if (draw(v, 2))
            image_write(disk, c->at + done, c->bytes + done, n);
        done += n;
    }
    if (!c->bytes && draw(v, 2))
        image_resize(disk, c->at);
}

static void forget_changes(struct vfs_file *f)
{
    for (unsigned i = 0; i < f->changes_n; i++)
        free(f->changes[i].bytes);
    f->changes_n = 0;
}

static void add_change(struct vfs_file *f, uint64_t at, const void *bytes, size_t n)
{
    if (f->changes_n == f->changes_room) {
        f->changes_room = f->changes_room ? 2 * f->changes_room : 16;
        f->changes = realloc(f->changes, f->changes_room * sizeof *f->changes);
        CHECK(f->changes);
    }
    struct change c = {at, n, NULL};
    if (bytes) {
        c.bytes = malloc(n ? n : 1);
        CHECK(c.bytes);
        memcpy(c.bytes, bytes, n);
    }
    f->changes[f->changes_n++] = c;
}

static void shuffle(struct sim_vfs *v, struct vfs_file *f)
{
    for (unsigned i = f->changes_n; i > 1; i--) {
        unsigned other = (unsigned)draw(v, i);
        struct change swap = f->changes[i - 1];
        f->changes[i - 1] = f->changes[other];
        f->changes[other] = swap;
    }
}

static void settle(struct sim_vfs *v, struct vfs_file *f, enum sim_vfs_loss loss)
{
    if (loss >= SIM_VFS_SOME && draw(v, 4) == 0)
        shuffle(v, f);
    for (unsigned i = 0; i < f->changes_n; i++)
        if (loss == SIM_VFS_KEEP || (loss == SIM_VFS_SOME && draw(v, 2)))
            apply_whole(&f->disk, &f->changes[i]);
        else if (loss == SIM_VFS_TEAR)
            apply_torn(v, &f->disk, &f->changes[i]);
    forget_changes(f);
}

/* ---- faults ---- */

void sim_vfs_fail(struct sim_vfs *v, enum sim_vfs_fault fault, uint64_t n, uint64_t times, const char *only)
{
    v->failing = true;
    v->hit = false;
    v->fault = fault;
    v->counted = 0;
    v->from = n;
    v->until = times > UINT64_MAX - n ? UINT64_MAX : n + times;
    v->only = only;
}

void sim_vfs_heal(struct sim_vfs *v) { v->failing = false; }
bool sim_vfs_was_hit(const struct sim_vfs *v) { return v->hit; }
uint64_t sim_vfs_changes(const struct sim_vfs *v) { return v->changes; }

void sim_vfs_on_power(struct sim_vfs *v, void (*fn)(void *owner), void *owner)
{
    v->on_power = fn;
    v->power_owner = owner;
}

void sim_vfs_power_off(struct sim_vfs *v)
{
    bool was_off = v->off;
    v->off = true;
    if (!was_off && v->on_power)
        v->on_power(v->power_owner);
}

static bool strikes(struct sim_vfs *v, const struct vfs_file *f)
{
    if (v->only && (!f->path || !strstr(f->path, v->only)))
        return false;
    v->counted++;
    if (v->counted < v->from || v->counted >= v->until)
        return false;
    v->hit = true;
    if (v->fault == SIM_VFS_POWER)
        sim_vfs_power_off(v);
    return true;
}

enum call { CALL_READ, CALL_CHANGE, CALL_GROW, CALL_SYNC };

/* Is this call to fail? */
static bool fails(struct sim_vfs *v, const struct vfs_file *f, enum call call)
{
    if (v->off)
        return true;
    v->changes += call != CALL_READ;
    if (!v->failing)
        return false;
    switch (v->fault) {
    case SIM_VFS_READ: return call == CALL_READ && strikes(v, f);
    case SIM_VFS_SYNC: return call == CALL_SYNC && strikes(v, f);
    case SIM_VFS_FULL: return call == CALL_GROW && strikes(v, f);
    case SIM_VFS_EIO:
    case SIM_VFS_POWER: return call != CALL_READ && strikes(v, f);
    }
    return false;
}

/* ---- what both fronts do ---- */

static struct vfs_file *find(struct sim_vfs *v, const char *path)
{
    for (unsigned i = 0; path && i < FILES_MAX; i++)
        if (v->files[i].used && v->files[i].path && strcmp(v->files[i].path, path) == 0)
            return &v->files[i];
    return NULL;
}

static struct vfs_file *make(struct sim_vfs *v, const char *path)
{
    unsigned i = 0;
    while (i < FILES_MAX && v->files[i].used)
        i++;
    CHECK(i < FILES_MAX);
    struct vfs_file *f = &v->files[i];
    *f = (struct vfs_file){.vfs = v, .used = true, .path = path ? strdup(path) : NULL};
    CHECK(!path || f->path);
    return f;
}

static void forget(struct vfs_file *f)
{
    forget_changes(f);
    free(f->changes);
    free(f->now.bytes);
    free(f->disk.bytes);
    free(f->path);
    *f = (struct vfs_file){0};
}

/* A file that was deleted and is made again begins empty, although the platter may still have the old one. */
static void become_new(struct vfs_file *f)
{
    if (!f->now.exists && f->disk.exists)
        add_change(f, 0, NULL, 0);
    f->now.exists = true;
}

static bool file_write(struct vfs_file *f, uint64_t at, const void *bytes, size_t n)
{
    struct sim_vfs *v = f->vfs;
    bool failed = fails(v, f, at + n > f->now.size ? CALL_GROW : CALL_CHANGE);
    size_t done = !failed ? n : v->off ? 0 : (size_t)draw(v, n + 1);
    if (done) {
        image_write(&f->now, at, bytes, done);
        add_change(f, at, bytes, done);
    }
    return !failed;
}

static bool file_resize(struct vfs_file *f, uint64_t size)
{
    if (fails(f->vfs, f, size > f->now.size ? CALL_GROW : CALL_CHANGE))
        return false;
    image_resize(&f->now, size);
    add_change(f, size, NULL, 0);
    return true;
}

static bool file_sync(struct vfs_file *f)
{
    bool failed = fails(f->vfs, f, CALL_SYNC);
    if (f->vfs->off)
        return false;
    f->disk.exists = f->disk.exists || !failed;
    settle(f->vfs, f, failed ? SIM_VFS_TEAR : SIM_VFS_KEEP);
    return !failed;
}

/* ---- as SQLite sees it ---- */

static struct vfs_file *file_of(sqlite3_file *handle) { return ((struct vfs_handle *)(void *)handle)->file; }

static int vfs_close(sqlite3_file *handle)
{
    struct vfs_file *f = file_of(handle);
    if (--f->opens == 0 && !f->path)
        forget(f);
    return SQLITE_OK;
}

static int vfs_read(sqlite3_file *handle, void *into, int n, sqlite3_int64 at)
{
    struct vfs_file *f = file_of(handle);
    if (fails(f->vfs, f, CALL_READ))
        return SQLITE_IOERR_READ;
    uint64_t have = (uint64_t)at < f->now.size ? f->now.size - (uint64_t)at : 0;
    size_t got = have < (uint64_t)n ? (size_t)have : (size_t)n;
    if (got)
        memcpy(into, f->now.bytes + at, got);
    memset((char *)into + got, 0, (size_t)n - got);
    return got == (size_t)n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int write_error(const struct sim_vfs *v) { return !v->off && v->fault == SIM_VFS_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE; }

static int vfs_write(sqlite3_file *handle, const void *bytes, int n, sqlite3_int64 at)
{
    struct vfs_file *f = file_of(handle);
    return file_write(f, (uint64_t)at, bytes, (size_t)n) ? SQLITE_OK : write_error(f->vfs);
}

static int vfs_truncate(sqlite3_file *handle, sqlite3_int64 size)
{
    return file_resize(file_of(handle), (uint64_t)size) ? SQLITE_OK : SQLITE_IOERR_TRUNCATE;
}

static int vfs_sync(sqlite3_file *handle, int flags) { return file_sync(file_of(handle)) ? SQLITE_OK : SQLITE_IOERR_FSYNC; }

static int vfs_file_size(sqlite3_file *handle, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)file_of(handle)->now.size;
    return SQLITE_OK;
}

static int vfs_lock(sqlite3_file *handle, int level) { return SQLITE_OK; }

static int vfs_check_lock(sqlite3_file *handle, int *ret)
{
    *ret = 0;
    return SQLITE_OK;
}

static int vfs_control(sqlite3_file *handle, int op, void *arg) { return SQLITE_NOTFOUND; }
static int vfs_sector(sqlite3_file *handle) { return SECTOR; }
static int vfs_device(sqlite3_file *handle) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_file_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_lock,
    .xCheckReservedLock = vfs_check_lock,
    .xFileControl = vfs_control,
    .xSectorSize = vfs_sector,
    .xDeviceCharacteristics = vfs_device,
};

static struct sim_vfs *of(sqlite3_vfs *base) { return CONTAINER_OF(base, struct sim_vfs, base); }

static int vfs_open(sqlite3_vfs *base, const char *path, sqlite3_file *handle, int flags, int *ret_flags)
{
    struct sim_vfs *v = of(base);
    struct vfs_file *f = find(v, path);
    handle->pMethods = NULL;
    if (v->off || ((!f || !f->now.exists) && !(flags & SQLITE_OPEN_CREATE)))
        return SQLITE_CANTOPEN;
    if (!f)
        f = make(v, path);
    become_new(f);
    f->opens++;
    ((struct vfs_handle *)(void *)handle)->file = f;
    handle->pMethods = &methods;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *base, const char *path, int sync_directory)
{
    struct sim_vfs *v = of(base);
    struct vfs_file *f = find(v, path);
    if (!f || !f->now.exists)
        return SQLITE_IOERR_DELETE_NOENT;
    if (fails(v, f, CALL_CHANGE))
        return SQLITE_IOERR_DELETE;
    image_empty(&f->now);
    if (sync_directory || draw(v, 2)) {
        image_empty(&f->disk);
        forget_changes(f);
    }
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *base, const char *path, int flags, int *ret)
{
    const struct vfs_file *f = find(of(base), path);
    *ret = f && f->now.exists && (flags != SQLITE_ACCESS_EXISTS || f->now.size);
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *base, const char *path, int room, char *out)
{
    return snprintf(out, (size_t)room, "%s", path) < room ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_random(sqlite3_vfs *base, int n, char *out)
{
    for (int i = 0; i < n; i++)
        out[i] = (char)draw(of(base), 256);
    return n;
}

static int vfs_sleep(sqlite3_vfs *base, int us) { return us; }

static int vfs_time(sqlite3_vfs *base, double *ret)
{
    *ret = 2461000.5; /* a day in 2025, as a Julian date */
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *base, int n, char *out) { return 0; }

/* ---- as the ledger sees it ---- */

static enum err world_open(void *owner, const char *path, bool create, void **ret_file)
{
    struct sim_vfs *v = owner;
    struct vfs_file *f = find(v, path);
    bool there = f && f->now.exists;
    if (v->off)
        return ERR_DISK;
    if (!there && !create)
        return ERR_NOT_FOUND;
    f = f ? f : make(v, path);
    if (!there && fails(v, f, CALL_SYNC)) /* of the directory */
        return ERR_DISK;
    become_new(f);
    f->disk.exists = true;
    f->opens++;
    *ret_file = f;
    return ERR_OK;
}

static enum err world_size(void *file, uint64_t *ret)
{
    *ret = ((struct vfs_file *)file)->now.size;
    return ERR_OK;
}

/* Zeros are written when it grows, so that what is reserved is really there. */
static enum err world_reserve(void *file, uint64_t bytes) { return file_resize(file, bytes) ? ERR_OK : ERR_DISK; }

static enum err world_read(void *file, uint64_t at, void *into, size_t n)
{
    struct vfs_file *f = file;
    if (fails(f->vfs, f, CALL_READ) || at > f->now.size || n > f->now.size - at)
        return ERR_DISK;
    if (n)
        memcpy(into, f->now.bytes + at, n);
    return ERR_OK;
}

static enum err world_write(void *file, uint64_t at, struct span bytes) { return file_write(file, at, bytes.p, bytes.n) ? ERR_OK : ERR_DISK; }
static enum err world_sync(void *file) { return file_sync(file) ? ERR_OK : ERR_DISK; }
static void world_close(void *file) { ((struct vfs_file *)file)->opens--; }

/* ---- the disk ---- */

struct sim_vfs *sim_vfs_new(const char *name, uint64_t seed)
{
    struct sim_vfs *v = calloc(1, sizeof *v);
    CHECK(v);
    random_init(&v->random, seed);
    v->base = (sqlite3_vfs){.iVersion = 1, .szOsFile = sizeof(struct vfs_handle), .mxPathname = 512, .zName = name, .xOpen = vfs_open,
                            .xDelete = vfs_delete, .xAccess = vfs_access, .xFullPathname = vfs_full_path, .xRandomness = vfs_random,
                            .xSleep = vfs_sleep, .xCurrentTime = vfs_time, .xGetLastError = vfs_last_error};
    v->world = (struct disk_world){v, world_open, world_size, world_reserve, world_read, world_write, world_sync, world_close};
    CHECK(sqlite3_vfs_register(&v->base, 0) == SQLITE_OK);
    return v;
}

void sim_vfs_free(struct sim_vfs *v)
{
    if (!v)
        return;
    for (unsigned i = 0; i < FILES_MAX; i++) {
        CHECK(v->files[i].opens == 0);
        if (v->files[i].used)
            forget(&v->files[i]);
    }
    sqlite3_vfs_unregister(&v->base);
    free(v);
}

const struct disk_world *sim_vfs_disk(struct sim_vfs *v) { return &v->world; }

struct span sim_vfs_file(struct sim_vfs *v, const char *path)
{
    const struct vfs_file *f = find(v, path);
    return f && f->now.exists ? span_of(f->now.bytes, f->now.size) : SPAN_NONE;
}

static void reboot_file(struct sim_vfs *v, struct vfs_file *f, enum sim_vfs_loss loss)
{
    CHECK(f->opens == 0);
    if (!f->disk.exists && f->now.exists) /* made, and its directory not synced */
        f->disk.exists = loss == SIM_VFS_KEEP || (loss != SIM_VFS_LOSE && draw(v, 2));
    settle(v, f, loss);
    if (!f->disk.exists)
        image_empty(&f->disk);
    image_copy(&f->now, &f->disk);
}

void sim_vfs_reboot(struct sim_vfs *v, enum sim_vfs_loss loss)
{
    v->failing = v->off = v->hit = false;
    for (unsigned i = 0; i < FILES_MAX; i++)
        if (v->files[i].used)
            reboot_file(v, &v->files[i], loss);
}
