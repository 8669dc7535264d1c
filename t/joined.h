/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests and the fuzz target of the dialects: what a dialect gives in pieces, as one text.
 */
#ifndef ENTENTE_TEST_JOINED_H
#define ENTENTE_TEST_JOINED_H

#include <string.h>
#include <sys/uio.h>

#include "base/arena.h"

static struct span joined(struct arena *a, const struct iovec *v, unsigned n)
{
    size_t total = 0;
    for (unsigned i = 0; i < n; i++)
        total += v[i].iov_len;
    char *p = arena_alloc(a, total + 1), *to = p;
    for (unsigned i = 0; i < n; i++) {
        memcpy(to, v[i].iov_base, v[i].iov_len);
        to += v[i].iov_len;
    }
    return span_of(p, total);
}

#endif
