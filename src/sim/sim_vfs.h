/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk in memory with one seed: SQLite sees it as a VFS, the ledger's other files as a disk_world. It knows what was synced. A power cut keeps,
 * loses, tears (at sectors of 512 bytes) or reorders what was not, as the seed draws; calls can be made to fail by number. One thread.
 *
 * As on Linux, a failed sync leaves the bytes readable and clean: the next sync is a success that writes none of them.
 */
#ifndef ENTENTE_SIM_SIM_VFS_H
#define ENTENTE_SIM_SIM_VFS_H

#include "io/disk.h"

struct sim_vfs;

struct sim_vfs *sim_vfs_new(const char *name, uint64_t seed); /* name: of the VFS; unique in the process; stays the caller's */
void sim_vfs_free(struct sim_vfs *v);                         /* every file must be closed; accepts NULL */
const struct disk_world *sim_vfs_disk(struct sim_vfs *v);

enum sim_vfs_fault {
    SIM_VFS_EIO,   /* changes and syncs fail; a write may have been done in part */
    SIM_VFS_FULL,  /* what makes a file longer fails, the first part of it may be there; what was reserved can be written */
    SIM_VFS_SYNC,  /* syncs fail; other changes do not */
    SIM_VFS_READ,  /* reads fail */
    SIM_VFS_POWER, /* nothing works from here on, until sim_vfs_reboot */
};
/* From the n-th call on (1: the next), of those that the fault is about, `times` of them fail. Only for files whose path contains `only`, unless NULL
 * (SIM_VFS_POWER is about all). Replaces the fault before it. */
void sim_vfs_fail(struct sim_vfs *v, enum sim_vfs_fault fault, uint64_t n, uint64_t times, const char *only);
void sim_vfs_heal(struct sim_vfs *v);               /* no more faults */
void sim_vfs_power_off(struct sim_vfs *v);          /* now: as SIM_VFS_POWER */
void sim_vfs_on_power(struct sim_vfs *v, void (*fn)(void *owner), void *owner); /* called when it goes, in the middle of the call that it strikes */
bool sim_vfs_was_hit(const struct sim_vfs *v);      /* the fault happened at least once */
uint64_t sim_vfs_changes(const struct sim_vfs *v);  /* calls so far that change or sync something */

enum sim_vfs_loss { SIM_VFS_KEEP, SIM_VFS_LOSE, SIM_VFS_SOME, SIM_VFS_TEAR, SIM_VFS_LOSSES }; /* of what was not synced: all, none, whole writes, sectors; the last two in any order */
void sim_vfs_reboot(struct sim_vfs *v, enum sim_vfs_loss loss); /* after files were closed: what the disk holds after the power cut */
struct span sim_vfs_file(struct sim_vfs *v, const char *path); /* as programs see it now; until it changes. Empty when it is not there */

#endif
