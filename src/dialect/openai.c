/* SPDX-License-Identifier: Apache-2.0
 *
 * The OpenAI dialect: chat, completions and embeddings, as OpenAI and most other providers speak it. Its parts are in the openai_*.c files.
 */
#include "dialect/openai.h"

const struct dialect dialect_openai = {
    .name = "openai",
    .system = "openai",
    .stream_ping = ": ping\n\n",
    .stream_end = "data: [DONE]\n\n",
    .stream_type = "text/event-stream; charset=utf-8",
    .serves = {API_OPENAI_CHAT, API_OPENAI_COMPLETIONS, API_OPENAI_EMBEDDINGS, API_NONE},
    .scan_request = openai_scan_request,
    .decode_request = openai_decode_request,
    .write_error = openai_write_error,
    .write_stream_error = openai_write_stream_error,
    .write_answer = openai_write_answer,
    .write_event = openai_write_event,
    .endpoint_target = openai_endpoint_target,
    .endpoint_headers = openai_endpoint_headers,
    .encode_request = openai_encode_request,
    .scan_event = openai_scan_event,
    .scan_answer = openai_scan_answer,
    .read_error = openai_read_error,
    .read_answer = openai_read_answer,
    .read_event = openai_read_event,
};
