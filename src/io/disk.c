/* SPDX-License-Identifier: Apache-2.0
 *
 * The system's files, at places. The one complication: a file is only there for good once its directory says so, too.
 */
#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void disk_outlive_size_limits(void)
{
    struct sigaction now;
    if (sigaction(SIGXFSZ, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        (void)signal(SIGXFSZ, SIG_IGN);
}

static int fd_of(void *file) { return *(int *)file; }

bool disk_sync_directory_of(const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int n = slash ? snprintf(directory, sizeof directory, "%.*s", slash == path ? 1 : (int)(slash - path), path)
                  : snprintf(directory, sizeof directory, ".");
    if (n < 0 || (size_t)n >= sizeof directory)
        return false;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool synced = fsync(fd) == 0 || errno == EINVAL; /* some file systems sync no directories */
    close(fd);
    return synced;
}

static enum err world_open(void *owner, const char *path, bool create, void **ret_file)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
    if (fd < 0)
        return errno == ENOENT && !create ? ERR_NOT_FOUND : ERR_DISK;
    int *file = malloc(sizeof *file);
    if (!file || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (create && st.st_size == 0 && !disk_sync_directory_of(path))) {
        close(fd);
        free(file);
        return ERR_DISK;
    }
    *file = fd;
    *ret_file = file;
    return ERR_OK;
}

static enum err world_size(void *file, uint64_t *ret)
{
    struct stat st;
    if (fstat(fd_of(file), &st) != 0)
        return ERR_DISK;
    *ret = (uint64_t)st.st_size;
    return ERR_OK;
}

static enum err world_reserve(void *file, uint64_t bytes)
{
    if (ftruncate(fd_of(file), (off_t)bytes) != 0)
        return ERR_DISK;
    return bytes && posix_fallocate(fd_of(file), 0, (off_t)bytes) != 0 ? ERR_DISK : ERR_OK;
}

static enum err world_read(void *file, uint64_t at, void *into, size_t n)
{
    for (char *to = into; n;) {
        ssize_t got = pread(fd_of(file), to, n, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ERR_DISK;
        to += got, at += (uint64_t)got, n -= (size_t)got;
    }
    return ERR_OK;
}

static enum err world_write(void *file, uint64_t at, struct span bytes)
{
    while (bytes.n) {
        ssize_t n = pwrite(fd_of(file), bytes.p, bytes.n, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_DISK;
        bytes = span_from(bytes, (size_t)n);
        at += (uint64_t)n;
    }
    return ERR_OK;
}

static enum err world_sync(void *file)
{
    int failed;
    do
        failed = fdatasync(fd_of(file));
    while (failed && errno == EINTR);
    return failed ? ERR_DISK : ERR_OK;
}

static void world_close(void *file)
{
    close(fd_of(file));
    free(file);
}

const struct disk_world *disk_world_system(void)
{
    static const struct disk_world world = {NULL, world_open, world_size, world_reserve, world_read, world_write, world_sync, world_close};
    return &world;
}
