/* SPDX-License-Identifier: Apache-2.0
 *
 * Where assertions end up. check_failed uses neither the log nor memory, because either may be what broke; a surprise is
 * survivable, so it goes through the log, once for each place in the source.
 */
#include "base/check.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

#define PLACES 64 /* of surprises remembered; more than this many broken beliefs need a developer, not a log */

static uint64_t place_seen[PLACES];
static uint64_t surprises;

_Noreturn void check_failed(const char *expression, const char *file, int line)
{
    char text[512];
    int n = snprintf(text, sizeof text, "entente: %s:%d: check failed: %s\n", file, line, expression);
    size_t bytes = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    ssize_t ignored = write(STDERR_FILENO, text, bytes);
    (void)ignored;
    abort();
}

/* True the first time for this place. Two threads that meet here at once may both be told so; a line twice does no harm. */
static bool is_new_place(const char *file, int line)
{
    uint64_t place = (uint64_t)(uintptr_t)file * 31 + (uint64_t)line;
    for (unsigned i = 0; i < PLACES; i++) {
        uint64_t seen = __atomic_load_n(&place_seen[i], __ATOMIC_RELAXED);
        if (seen == place)
            return false;
        if (seen == 0) {
            __atomic_store_n(&place_seen[i], place, __ATOMIC_RELAXED);
            return true;
        }
    }
    return false;
}

static void surprise(const char *expression, const char *file, int line)
{
    __atomic_fetch_add(&surprises, 1, __ATOMIC_RELAXED);
    if (is_new_place(file, line))
        log_line(LOG_ERROR, "surprise: a belief of the program is false", "expression", LOG_STR(expression), "file",
                 LOG_STR(file), "line", LOG_INT(line), NULL);
}

bool check_surprise(const char *expression, const char *file, int line)
{
    surprise(expression, file, line);
    return false;
}

bool check_surprise_true(const char *expression, const char *file, int line)
{
    surprise(expression, file, line);
    return true;
}

uint64_t check_surprises(void)
{
    return __atomic_load_n(&surprises, __ATOMIC_RELAXED);
}
