/* SPDX-License-Identifier: Apache-2.0
 *
 * Azure OpenAI: the OpenAI dialect behind other paths and headers. Clients may leave the model to the path. What Azure adds to answers
 * (filter results, chunks without delta, a first chunk without anything) the OpenAI readers take as it comes.
 */
#include "dialect/openai.h"

const struct dialect dialect_azure_openai = {
    .name = "azure-openai",
    .system = "azure.ai.openai",
    .stream_ping = ": ping\n\n",
    .stream_end = "data: [DONE]\n\n",
    .stream_type = "text/event-stream; charset=utf-8",
    .serves = {API_OPENAI_CHAT, API_OPENAI_COMPLETIONS, API_OPENAI_EMBEDDINGS, API_NONE},
    .scan_request = openai_scan_request_model_optional,
    .decode_request = openai_decode_request,
    .write_error = openai_write_error,
    .write_stream_error = openai_write_stream_error,
    .write_answer = openai_write_answer,
    .write_event = openai_write_event,
    .endpoint_target = azure_endpoint_target,
    .endpoint_headers = azure_endpoint_headers,
    .encode_request = openai_encode_request,
    .scan_event = openai_scan_event,
    .scan_answer = openai_scan_answer,
    .read_error = openai_read_error,
    .read_answer = openai_read_answer,
    .read_event = openai_read_event,
};
