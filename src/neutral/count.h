/* SPDX-License-Identifier: Apache-2.0
 *
 * How many input tokens a request is likely to be: its texts by the model's tokenizer, and the framing that chat models add around
 * messages. An estimate: media are not counted, tool definitions are counted as the JSON
 * they are, and text beyond half a MiB is taken to be like the text before it.
 *
 * Framing of chat messages: 3 tokens a message, 1 for a name, 3 to begin the answer; from OpenAI's published recipe for counting
 * chat tokens ("How to count tokens with tiktoken", OpenAI cookbook).
 */
#ifndef ENTENTE_NEUTRAL_COUNT_H
#define ENTENTE_NEUTRAL_COUNT_H

#include "neutral/request.h"
#include "neutral/tokenizer.h"

int64_t neutral_count_input(const struct neutral_request *r, enum tokenizer_encoding encoding);

#endif
