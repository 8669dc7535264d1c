/* SPDX-License-Identifier: Apache-2.0
 *
 * Append-only files. Calls block: they belong on a writer's thread, not on a worker's loop (in the simulated world there is one
 * thread and disk time is simulated time).
 */
#ifndef ENTENTE_IO_DISK_H
#define ENTENTE_IO_DISK_H

#include "io/loop.h"

struct disk_file;

enum err disk_open(struct loop *l, const char *path, struct disk_file **ret) MUST_CHECK; /* created 0600 when absent; l names the world */
enum err disk_append(struct disk_file *f, struct span bytes) MUST_CHECK; /* whole or ERR_DISK; a torn tail is cut off again */
enum err disk_sync(struct disk_file *f) MUST_CHECK;
void disk_close(struct disk_file *f);

#endif
