/* SPDX-License-Identifier: Apache-2.0
 *
 * What a simulated provider answers to a request: made whole at once, from the request and a seed alone, and then told at some pace.
 * Pure. Its tokens are counted with the model's real tokenizer, over exactly the text that is sent, so the count of an answer that broke
 * off is the count of what had been told of it.
 *
 * The length of a text, in this order, always within the request's maximum (completions: 16 when it sets none):
 *   1. a prompt that says "say exactly N tokens"   2. the provider's fixed length   3. drawn: log-normal around 129 tokens
 * Tool calls are made when tool_choice requires one, or when the last message of the user says "call the tool" (the first),
 * "call the tool NAME" or "call every tool". The arguments, like structured answers, fit their schema; see schema.h.
 */
#ifndef ENTENTE_SIM_ANSWER_H
#define ENTENTE_SIM_ANSWER_H

#include "dialect/dialect.h"
#include "neutral/tokenizer.h"

struct sim_part {
    enum neutral_part_kind kind;   /* TEXT or TOOL_CALL */
    struct neutral_tool_call call; /* id, name; arguments are `text` */
    struct span text;              /* plain */
    size_t told;                   /* bytes of it that have been sent */
    bool begun;                    /* its start was sent: a call's name is out */
};

struct sim_choice {
    struct sim_part *parts;
    unsigned parts_n;
    enum neutral_stop stop;
    struct span stop_sequence;
};

struct sim_answer {
    struct arena *arena;
    const struct neutral_request *request;
    enum tokenizer_encoding encoding;
    uint64_t random;
    struct sim_choice *choices;
    unsigned choices_n;
    struct neutral_vector *vectors;
    int64_t input_tokens;
    int64_t reasoning_tokens;   /* hidden; of all choices */
};

struct sim_answer_options {
    uint64_t seed;              /* the provider's; the request's own seed is added */
    int64_t output_tokens;      /* -1: drawn */
};

/* Everything lives in request->arena. A complaint for what is not simulated. */
enum err sim_answer_make(const struct neutral_request *request, const struct sim_answer_options *o, struct sim_answer *ret,
                         struct complaint *why) MUST_CHECK;
int64_t sim_answer_tokens(const struct sim_answer *a);      /* text and calls, when told to the end */
int64_t sim_answer_tokens_told(const struct sim_answer *a); /* so far */
void sim_answer_usage(const struct sim_answer *a, struct usage *ret);
/* Log probabilities of text[from, to) in the shape of the request. */
struct span sim_answer_logprobs(struct sim_answer *a, struct span text, size_t from, size_t to);

#endif
