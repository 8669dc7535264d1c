/* SPDX-License-Identifier: Apache-2.0
 *
 * One buffer per thread, shared by everything on it that moves bytes of sockets: servers, connections to providers, dials. It works
 * because callbacks never nest: only what the loop itself calls (readiness, a task, a timer) touches the buffer, and what one side
 * calls of the other while the bytes are in it (a request starts a call, a piece of an answer is written on) only writes, notes and
 * defers. Bytes that must outlive the callback are copied out.
 */
#ifndef ENTENTE_HTTP_SCRATCH_H
#define ENTENTE_HTTP_SCRATCH_H

#include "base/limits.h"

extern _Thread_local char http_scratch[LIMIT_READ_BYTES];

#endif
