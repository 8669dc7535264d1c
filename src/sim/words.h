/* SPDX-License-Identifier: Apache-2.0
 *
 * Text of a known number of tokens. Each piece that sim_words_next gives is one token of both vocabularies, and stays one whatever piece
 * stands before or behind it; so a text cut between any two pieces has as many tokens as it has pieces. A unit test checks this against
 * the tokenizer.
 */
#ifndef ENTENTE_SIM_WORDS_H
#define ENTENTE_SIM_WORDS_H

#include "base/buf.h"

struct sim_words {
    uint64_t random;
    unsigned left;   /* words until the sentence ends */
    bool started;
};

void sim_words_init(struct sim_words *w, uint64_t seed);
struct span sim_words_next(struct sim_words *w); /* a constant; ASCII, nothing that JSON would escape */
enum err sim_words_write(struct buf *out, uint64_t seed, uint64_t tokens) MUST_CHECK; /* the first so many pieces */
/* Where the piece that begins at `at` ends, in a text made of such pieces; in any other text a place where it may be cut. */
size_t sim_words_end(struct span text, size_t at);

#endif
