/* SPDX-License-Identifier: Apache-2.0
 *
 * One read buffer per thread, shared by everything on it that reads from sockets: callbacks never nest, so one read is handled to its
 * end before the next begins. Bytes that must outlive the callback are copied out.
 */
#ifndef ENTENTE_HTTP_SCRATCH_H
#define ENTENTE_HTTP_SCRATCH_H

#include "base/limits.h"

extern _Thread_local char http_scratch[LIMIT_READ_BYTES]; /* lives in client.c */

#endif
