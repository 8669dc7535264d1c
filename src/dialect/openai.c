/* SPDX-License-Identifier: Apache-2.0
 *
 * The OpenAI dialect: chat, completions and embeddings, as OpenAI and most other providers speak it. Its parts are in the openai_*.c files.
 */
#include "dialect/openai.h"

const struct dialect dialect_openai = {
    .name = "openai",
    .system = "openai",
    .scan_request = openai_scan_request,
    .endpoint_target = openai_endpoint_target,
    .endpoint_headers = openai_endpoint_headers,
    OPENAI_BODIES,
};
