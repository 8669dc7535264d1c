/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that are read and written at places, behind a table of functions: the ledger's spool, its key, and what must be written again after a
 * failed sync. The system's is disk_world_system(); the other is the simulated disk that SQLite is put on, too (sim/sim_vfs.h), so that one
 * power cut hits all of them. Calls block: they belong on a writer's thread.
 */
#ifndef ENTENTE_IO_DISK_H
#define ENTENTE_IO_DISK_H

#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct disk_world {
    void *owner;
    /* Made with mode 0600, durably, when create says so and it is absent: else ERR_NOT_FOUND. ERR_DISK for all other trouble, here and below. */
    enum err (*open)(void *owner, const char *path, bool create, void **ret_file);
    enum err (*size)(void *file, uint64_t *ret);
    enum err (*reserve)(void *file, uint64_t bytes); /* the file has this size, and writes inside it will not fail for want of room */
    enum err (*read)(void *file, uint64_t at, void *into, size_t n); /* all of it, or an error */
    enum err (*write)(void *file, uint64_t at, struct span bytes);   /* whole, or an error and nothing is certain about that place */
    enum err (*sync)(void *file);
    void (*close)(void *file);
};

const struct disk_world *disk_world_system(void);
void disk_outlive_size_limits(void); /* a limit on file sizes is an error like a full disk from now on, and not the end of the process, unless it has a handler */
bool disk_sync_directory_of(const char *path); /* a new file is there for good only once its directory says so, too; true where that cannot be asked */

#endif
