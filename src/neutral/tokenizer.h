/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts tokens where a provider reports no usage: byte pair encoding with the o200k_base and cl100k_base
 * vocabularies, equal to js-tiktoken token by token. Nothing is built at start; the table is read-only data.
 *
 * Three rules, the same for a whole text and for one that arrives in pieces:
 *  1. Special tokens such as <|endoftext|> in a text are ordinary text.
 *  2. Bytes that are not UTF-8 count as JavaScript's TextDecoder would show them: each longest broken sequence is
 *     one U+FFFD. A byte order mark is text, too.
 *  3. A piece (the unit that the vocabulary's pattern finds: a word, a run of blanks) longer than
 *     TOKENIZER_PIECE_MAX bytes is cut there, so that memory stays bounded; such a text may be a token or
 *     two off per cut from what js-tiktoken would count.
 */
#ifndef ENTENTE_NEUTRAL_TOKENIZER_H
#define ENTENTE_NEUTRAL_TOKENIZER_H

#include "base/span.h"

#define TOKENIZER_PIECE_MAX (64u * 1024u)

enum tokenizer_encoding {
    TOKENIZER_O200K = 0, /* gpt-4o, gpt-4.1, gpt-5, o1, o3, o4, chatgpt-4o; and our guess for unknown models */
    TOKENIZER_CL100K,    /* gpt-4, gpt-3.5, text-embedding-* */
};

/* The encoding of a model as clients or providers name it ("gpt-4-turbo", "openai/gpt-4o-mini", "ft:gpt-3.5-turbo:x").
 * Any name is accepted; one we do not know gets o200k. */
enum tokenizer_encoding tokenizer_for_model(struct span model);

/* How many tokens the text has. Any bytes are accepted. Some 10 ms for 1 MB of prose, at worst 0.2 s (one long run). */
uint64_t tokenizer_count(enum tokenizer_encoding encoding, struct span text);

/* Writes the first ids_max token ids and returns how many there are, which may be more. */
uint64_t tokenizer_encode(enum tokenizer_encoding encoding, struct span text, uint32_t *ids, size_t ids_max);

/* Counts a text that arrives in pieces, cut anywhere, also inside a character. The result equals tokenizer_count of
 * the whole. 64 bytes; a piece that is still open and does not fit inside lies on the heap, at most
 * TOKENIZER_PIECE_MAX, and is freed as soon as it closes. Without memory an open piece is counted as it stands. */
struct token_counter {
    uint64_t count;     /* tokens of all closed pieces */
    uint8_t *heap;      /* the open piece's bytes when they do not fit in kept[]; else NULL */
    uint32_t heap_size;
    uint32_t kept_size; /* bytes of the open piece that are kept, here or on the heap */
    uint32_t size;      /* bytes of the open piece, those still in the caller's text included */
    uint32_t mark;      /* an earlier place where the open piece may have to end; see tokenizer.c */
    uint32_t last;      /* where its last blank starts, or its last letter; see tokenizer.c */
    uint8_t encoding;
    uint8_t state;
    uint8_t broken_size; /* bytes of a character that the last feed cut */
    uint8_t broken[3];
    uint8_t kept[22];
};

void token_counter_init(struct token_counter *counter, enum tokenizer_encoding encoding);
void token_counter_feed(struct token_counter *counter, struct span text);
uint64_t token_counter_finish(struct token_counter *counter); /* the count; frees what is kept; then as after init */
void token_counter_fini(struct token_counter *counter);       /* for a text that nobody will count after all */

#endif
