/* SPDX-License-Identifier: Apache-2.0
 *
 * Azure OpenAI: the OpenAI dialect behind other paths and headers. Clients may leave the model to the path. What Azure adds to answers
 * (filter results, chunks without delta, a first chunk without anything) the OpenAI readers take as it comes.
 */
#include "dialect/openai.h"

const struct dialect dialect_azure_openai = {
    .name = "azure-openai",
    .system = "azure.ai.openai",
    .scan_request = openai_scan_request_model_optional,
    .endpoint_target = azure_endpoint_target,
    .endpoint_headers = azure_endpoint_headers,
    OPENAI_BODIES,
};
