/* SPDX-License-Identifier: Apache-2.0
 *
 * The spool: a file of a fixed size, reserved while the disk had room, that takes items while the store refuses them. Append, sync, and later read
 * from a place on; when all of it is in the store it begins anew. A crash may cut it after the last sync, nowhere before.
 *
 * A place is a pair (epoch, offset). The store keeps the place up to which the spool is booked, in the same transaction as the bookings, so that
 * nothing of it is booked twice, whenever the process dies.
 */
#ifndef ENTENTE_LEDGER_SPOOL_H
#define ENTENTE_LEDGER_SPOOL_H

#include "base/buf.h"
#include "base/limits.h"
#include "io/disk.h"

#define SPOOL_ITEM_BYTES_MAX (16u * KIB)
#define SPOOL_BYTES_MIN (64u * KIB)

struct spool;

/* Opens or makes it, with `bytes` reserved; one with items in it keeps its size until it begins anew. layout: of what the items mean. ERR_SYNTAX: it is
 * none, or has items of another layout. ERR_DISK. why: a sentence. */
enum err spool_open(const struct disk_world *w, const char *path, uint64_t bytes, uint64_t layout, struct spool **ret, char why[512]) MUST_CHECK;
void spool_close(struct spool *s); /* accepts NULL */

enum err spool_put(struct spool *s, struct span item) MUST_CHECK; /* into memory; ERR_TOO_LARGE: no room for it */
/* Writes what was put and syncs. On failure the spool takes nothing more (spool_is_broken) until spool_restart; what was synced before can be read. */
enum err spool_sync(struct spool *s) MUST_CHECK;
void spool_unput(struct spool *s);            /* forgets what was put since the last sync */
bool spool_is_broken(const struct spool *s);

uint64_t spool_epoch(const struct spool *s);
uint64_t spool_end(const struct spool *s);    /* offset behind what is synced */
uint64_t spool_first(const struct spool *s);  /* offset of the first item */
uint64_t spool_bytes(const struct spool *s);
/* The item at *offset, and moves it behind. ERR_NOT_FOUND at the end. The item stays until the next call. */
enum err spool_read(struct spool *s, uint64_t *offset, struct span *ret) MUST_CHECK;
enum err spool_restart(struct spool *s) MUST_CHECK; /* empty, a new epoch, durably; also ends being broken. ERR_DISK: as it was, and broken */

#endif
