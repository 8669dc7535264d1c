/* SPDX-License-Identifier: Apache-2.0
 *
 * Append-only files of the real world, and the thin front of the disk calls.
 * The complication is failure: a write that stopped halfway leaves a torn line, which is cut off again at once or, when even
 * that fails, before anything else is appended; and after a failed sync nothing about the file is certain, because the kernel
 * may have dropped the pages it could not write and will call the next sync a success. Only opening it anew ends that.
 */
#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/disk_world.h"
#include "io/epoll.h"

/*
 * Invariants:
 * 1. Bytes before end are whole appends. Bytes after end exist only while torn.
 * 2. Once doubtful, always doubtful: every append and sync fails.
 */
struct epoll_disk_file {
    struct disk_file base;
    int fd;
    off_t end;
    bool torn;
    bool doubtful;
};

enum err disk_open(struct loop *l, const char *path, struct disk_file **ret) { return loop_backend(l)->disk_open(l, path, ret); }
enum err disk_append(struct disk_file *f, struct span bytes) { return f->backend->disk_append(f, bytes); }
enum err disk_sync(struct disk_file *f) { return f->backend->disk_sync(f); }

void disk_close(struct disk_file *f)
{
    if (f)
        f->backend->disk_close(f);
}

/* A file size limit is to be an error like a full disk, not the death of the process. */
static void ignore_file_size_signal(void)
{
    struct sigaction now;
    if (sigaction(SIGXFSZ, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        (void)signal(SIGXFSZ, SIG_IGN);
}

enum err epoll_disk_open(struct loop *l, const char *path, struct disk_file **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, ignore_file_size_signal);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct stat st;
    struct epoll_disk_file *f = malloc(sizeof *f);
    if (fd < 0 || !f || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_size == 0 && !disk_sync_directory_of(path))) {
        if (fd >= 0)
            close(fd);
        free(f);
        return ERR_DISK;
    }
    *f = (struct epoll_disk_file){.base.backend = io_epoll(), .fd = fd, .end = st.st_size};
    *ret = &f->base;
    return ERR_OK;
}

static bool write_whole(int fd, struct span bytes)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = span_from(bytes, (size_t)n);
    }
    return true;
}

static bool cut_torn_tail(struct epoll_disk_file *f)
{
    int failed;
    do
        failed = ftruncate(f->fd, f->end);
    while (failed && errno == EINTR);
    f->torn = failed != 0;
    return !failed;
}

enum err epoll_disk_append(struct disk_file *base, struct span bytes)
{
    struct epoll_disk_file *f = CONTAINER_OF(base, struct epoll_disk_file, base);
    if (f->doubtful || (f->torn && !cut_torn_tail(f)))
        return ERR_DISK;
    if (!write_whole(f->fd, bytes)) {
        (void)cut_torn_tail(f);
        return ERR_DISK;
    }
    f->end += (off_t)bytes.n;
    return ERR_OK;
}

enum err epoll_disk_sync(struct disk_file *base)
{
    struct epoll_disk_file *f = CONTAINER_OF(base, struct epoll_disk_file, base);
    if (f->doubtful)
        return ERR_DISK;
    int failed;
    do
        failed = fdatasync(f->fd);
    while (failed && errno == EINTR);
    f->doubtful = failed != 0;
    return failed ? ERR_DISK : ERR_OK;
}

void epoll_disk_close(struct disk_file *base)
{
    struct epoll_disk_file *f = CONTAINER_OF(base, struct epoll_disk_file, base);
    close(f->fd);
    free(f);
}
