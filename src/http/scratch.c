/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of scratch.h; apart, so that a server alone does not bring the client with it.
 */
#include "http/scratch.h"

_Thread_local char http_scratch[LIMIT_READ_BYTES];
