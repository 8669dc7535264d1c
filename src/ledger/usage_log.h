/* SPDX-License-Identifier: Apache-2.0
 *
 * The usage log: records of all workers, appended as JSON lines to one file by one writer thread (in the simulated world: at once).
 * usage_log_add never blocks on the disk; when the disk is slower than the traffic the queue fills and the worker waits for room,
 * for a record is never dropped; when the disk refuses, records wait in memory and new requests are refused.
 */
#ifndef ENTENTE_LEDGER_USAGE_LOG_H
#define ENTENTE_LEDGER_USAGE_LOG_H

#include "io/disk.h"
#include "ledger/record.h"

struct usage_log;

struct usage_log_options {
    const char *path;     /* DATA/usage.jsonl; NULL: records only go to on_record */
    bool threaded;        /* false in the simulated world and in tests */
    /* sees each record on the writer's thread, after it was written: the one-line log, `entente top`, tests. May be NULL. */
    void (*on_record)(void *owner, const struct usage_record *r, struct span json_line);
    void *owner;
};

enum err usage_log_open(struct loop *l, const struct usage_log_options *o, struct usage_log **ret) MUST_CHECK;
void usage_log_add(struct usage_log *u, const struct usage_record *r); /* any worker; copies r */
void usage_log_flush(struct usage_log *u);  /* waits until everything added so far is in the file */
void usage_log_close(struct usage_log *u);  /* flushes, syncs, ends the thread; accepts NULL */
uint64_t usage_log_written(const struct usage_log *u);
bool usage_log_is_full(struct usage_log *u); /* the disk refuses and so much waits for it that new requests should be refused */
bool usage_log_is_failing(const struct usage_log *u); /* the disk refuses: /readyz says so; lines are kept and tried again */

#endif
