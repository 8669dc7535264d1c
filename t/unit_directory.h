/* SPDX-License-Identifier: Apache-2.0
 *
 * A directory of the test's own: made when a file in it is first named, removed with all in it when the program ends.
 */
#ifndef ENTENTE_UNIT_DIRECTORY_H
#define ENTENTE_UNIT_DIRECTORY_H

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

static char unit_directory_path[] = "/tmp/entente-unit-XXXXXX";
static bool unit_directory_is_made;

static inline const char *unit_directory(void)
{
    if (!unit_directory_is_made)
        CHECK(mkdtemp(unit_directory_path));
    unit_directory_is_made = true;
    return unit_directory_path;
}

__attribute__((destructor)) static void unit_directory_remove(void)
{
    char command[128];
    if (!unit_directory_is_made)
        return;
    snprintf(command, sizeof command, "rm -rf %s", unit_directory_path);
    CHECK(system(command) == 0);
}

/* A path in it; good until the fourth call after. */
static inline const char *in_directory(const char *name)
{
    static char path[4][256];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", unit_directory(), name);
    return p;
}

#endif
