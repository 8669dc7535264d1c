/* SPDX-License-Identifier: Apache-2.0
 *
 * The format of the tokenizer's table, which tools/vocabulary/generate.mjs writes at build time and the program
 * carries as read-only data: both vocabularies in one hash table, and the Unicode classes. Little-endian.
 *
 *   header         64 bytes; each section starts at a multiple of 64
 *   slots          u64 each; from the lowest bit: offset into text 21, length - 1 7, o200k id 18, cl100k id 17.
 *                  An id of all ones: that encoding has no such token. A free slot is all ones.
 *   displacements  u16 per bucket
 *   text           a string in which every token occurs somewhere
 *   class_index    u8 per 128 code points: which block
 *   class_blocks   u8 per code point: enum tokenizer_class
 *
 * A token's 64-bit hash has a high and a low half. The high half names a bucket, whose displacement, mixed with
 * the low half, names the only slot where that token can be: two reads and one comparison for a hit or a miss.
 */
#ifndef ENTENTE_NEUTRAL_TOKENIZER_TABLE_H
#define ENTENTE_NEUTRAL_TOKENIZER_TABLE_H

#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the tokenizer's table is little-endian"
#endif

#define TOKENIZER_TOKEN_MAX 128u /* bytes of the longest token */
#define TOKENIZER_OFFSET_BITS 21
#define TOKENIZER_LENGTH_BITS 7
#define TOKENIZER_O200K_BITS 18
#define TOKENIZER_CL100K_BITS 17
#define TOKENIZER_CLASS_BLOCK 128u

enum tokenizer_class {
    CLASS_OTHER = 0,  /* what no other line names: punctuation, symbols, controls, unassigned */
    CLASS_UPPER,      /* Lu, Lt */
    CLASS_LOWER,      /* Ll */
    CLASS_CASELESS,   /* Lm, Lo */
    CLASS_MARK,       /* M */
    CLASS_NUMBER,     /* N */
    CLASS_NEWLINE,    /* CR, LF */
    CLASS_SPACE,      /* U+0020 */
    CLASS_BLANK,      /* all else that JavaScript's \s matches */
    CLASS_APOSTROPHE, /* U+0027 */
    CLASS_SLASH,      /* U+002F */
    CLASSES
};

struct tokenizer_section {
    uint32_t at;
    uint32_t bytes;
};

struct tokenizer_header {
    char magic[8]; /* "ENTTOK1" */
    struct tokenizer_section slots;
    struct tokenizer_section displacements;
    struct tokenizer_section text;
    struct tokenizer_section class_index;
    struct tokenizer_section class_blocks;
    uint8_t reserved[16];
};

extern const unsigned char tokenizer_table[] __attribute__((visibility("hidden")));

#endif
