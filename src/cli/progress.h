/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a long command is: one line on stderr that redraws itself, on a terminal only, and only when the work takes over a second.
 */
#ifndef ENTENTE_CLI_PROGRESS_H
#define ENTENTE_CLI_PROGRESS_H

#include "base/check.h"

struct progress {
    const char *what;   /* "verifying" */
    bool live;          /* stderr is a terminal */
    bool drawn;
    uint64_t begin_ns, next_ns; /* monotonic: when the work began, when to draw again */
};

void progress_begin(struct progress *p, const char *what);
void progress_show(void *progress, uint64_t done, uint64_t total); /* as often as one likes */
void progress_pages(void *progress, int done, int total);          /* the same, for store_backup */
void progress_end(struct progress *p);                             /* the line goes */
double progress_seconds(const struct progress *p);                 /* since the beginning */

#endif
