/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to tokens in three stages:
 *   scan      bytes to characters to classes, one step of the state machine per character
 *   machine   classes to pieces; it does by hand what the vocabularies' patterns ask of a regular expression
 *   merge     one piece to tokens, by a look-up of the whole or by merging pairs in order of rank
 *
 * The patterns, in order of preference at each place (o200k; 's stands for all contractions in any case):
 *
 *   [^\r\n\p{L}\p{N}]? [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]* [\p{Ll}\p{Lm}\p{Lo}\p{M}]+ 's?
 *   [^\r\n\p{L}\p{N}]? [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+ [\p{Ll}\p{Lm}\p{Lo}\p{M}]* 's?
 *   \p{N}{1,3}      [ ]?[^\s\p{L}\p{N}]+[\r\n/]*      \s*[\r\n]+      \s+(?!\S)      \s+
 *
 * cl100k has instead of the first two, in this order:  's   and   [^\r\n\p{L}\p{N}]?\p{L}+   and no / after \r\n.
 *
 * The patterns look ahead and give back; the machine instead keeps an open piece until it is known where it ends:
 *
 *                                            else
 *   START --letter--> UPPER ---lower---> LOWER ------------------> START     every arrow into START closes the
 *     | \--number---> NUMBER (3 at most) -------------------------> START     open piece, or its part up to mark
 *     | \--other----> PREFIX --letter--> UPPER | LOWER
 *     |                 \---other------> SIGNS --newline--> SIGNS_END ------> START
 *     | \--blank----> BLANKS | SPACED --letter--> UPPER | LOWER  (all but the last blank is closed first)
 *     |           SPACED --other--> SIGNS
 *   UPPER | LOWER --'--> QUOTE --s t m d--> CLOSED        (o200k; in cl100k from START)
 *                          \---r v l------> QUOTE_TWO --e e l--> CLOSED
 */
#include "neutral/tokenizer.h"

#include <stdlib.h>

#include "base/check.h"
#include "neutral/tokenizer_table.h"

#define RANK_NONE UINT32_MAX
#define SHORT_PIECE 96u /* bytes up to which a plain search for the lowest rank beats a heap */
#define LINK_NONE UINT32_MAX

enum state {
    START = 0, /* nothing is open */
    PREFIX,    /* one sign, which a following word would take along */
    SIGNS,     /* a run of signs */
    SIGNS_END, /* and its line ends */
    BLANKS,    /* \s: mark is where the last CR or LF ends or 0, last the start of the last character */
    SPACED,    /* as BLANKS, and the last is U+0020 */
    UPPER,     /* letters, none of them lower case: mark is the end of the last that counts as both cases, or 0 */
    LOWER,     /* letters, after the first lower case */
    NUMBER,    /* last is how many */
    QUOTE,     /* a word up to mark, maybe empty, and an apostrophe */
    QUOTE_TWO, /* and r, v or l, which is in last */
    CLOSED,    /* whole; whatever comes next starts anew */
};

_Static_assert(sizeof(struct token_counter) <= 64, "one lives in each stream");
_Static_assert(sizeof(struct tokenizer_header) == 64, "as the generator writes it");

/* Where tokens go: counted always, and written down when ids is set. */
struct sink {
    uint64_t count;
    uint32_t *ids;
    size_t ids_max;
    enum tokenizer_encoding encoding;
};

/* One call of feed: the caller's text, and how much of it the open piece or a closed one has taken. */
struct scan {
    struct token_counter *counter;
    struct sink *sink;
    const uint8_t *text;
    size_t size;
    size_t taken; /* before this, all is closed or kept */
    size_t at;    /* the next character */
    const uint8_t *classes;
};

/* ---- the table ---- */

static inline const struct tokenizer_header *header(void) { return (const void *)tokenizer_table; }

static inline const void *section(struct tokenizer_section s) { return tokenizer_table + s.at; }

static inline uint64_t load_64(const uint8_t *p) { uint64_t x; memcpy(&x, p, sizeof x); return x; }

static inline uint32_t load_32(const uint8_t *p) { uint32_t x; memcpy(&x, p, sizeof x); return x; }

/* In step with hash() of generate.mjs. n is at least 1. */
static inline uint64_t hash_bytes(const uint8_t *p, size_t n)
{
    const uint64_t m1 = 0x9e6c63d0876a9a35u, m2 = 0xc2d0be7d4f1ab28du;
    uint64_t a = n * m1, b;
    if (n < 4) {
        b = (uint64_t)(p[0] | p[n >> 1] << 8 | p[n - 1] << 16);
    } else if (n <= 8) {
        b = load_32(p) | (uint64_t)load_32(p + n - 4) << 32;
    } else {
        for (size_t i = 0; i + 8 < n; i += 8) {
            a = (a ^ load_64(p + i)) * m1;
            a ^= a >> 29;
        }
        b = load_64(p + n - 8);
    }
    uint64_t h = (a ^ b) * m2;
    return (h ^ h >> 32) * m1;
}

static inline bool same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8)
            if (load_64(a + i) != load_64(b + i))
                return false;
        return load_64(a + n - 8) == load_64(b + n - 8);
    }
    if (n >= 4)
        return load_32(a) == load_32(b) && load_32(a + n - 4) == load_32(b + n - 4);
    return a[0] == b[0] && a[n >> 1] == b[n >> 1] && a[n - 1] == b[n - 1];
}

static inline uint32_t scaled(uint32_t x, uint32_t n) { return (uint32_t)((uint64_t)x * n >> 32); }

static inline uint64_t slot_of(const uint8_t *p, size_t n)
{
    const struct tokenizer_header *h = header();
    const uint16_t *displacements = section(h->displacements);
    const uint64_t *slots = section(h->slots);
    uint64_t hash = hash_bytes(p, n);
    uint32_t displacement = displacements[scaled((uint32_t)(hash >> 32), h->displacements.bytes / 2)];
    uint32_t mixed = ((uint32_t)hash ^ displacement * 0x9e3779b1u) * 0x85ebca6bu;
    return slots[scaled(mixed, h->slots.bytes / 8)];
}

/* A token's id is its rank: the lower, the earlier it merges. RANK_NONE when these bytes are no token. */
static inline uint32_t rank_of(enum tokenizer_encoding encoding, const uint8_t *p, size_t n)
{
    if (n > TOKENIZER_TOKEN_MAX)
        return RANK_NONE;
    uint64_t slot = slot_of(p, n);
    uint32_t length = (slot >> TOKENIZER_OFFSET_BITS & ((1u << TOKENIZER_LENGTH_BITS) - 1)) + 1;
    uint64_t ids = slot >> (TOKENIZER_OFFSET_BITS + TOKENIZER_LENGTH_BITS);
    uint32_t none = encoding == TOKENIZER_O200K ? (1u << TOKENIZER_O200K_BITS) - 1 : (1u << TOKENIZER_CL100K_BITS) - 1;
    uint32_t id = (uint32_t)(encoding == TOKENIZER_O200K ? ids : ids >> TOKENIZER_O200K_BITS) & none;
    if (length != n || id == none)
        return RANK_NONE;
    const uint8_t *text = section(header()->text);
    return same_bytes(text + (slot & ((1u << TOKENIZER_OFFSET_BITS) - 1)), p, n) ? id : RANK_NONE;
}

static inline enum tokenizer_class class_of(uint32_t character)
{
    const uint8_t *index = section(header()->class_index);
    const uint8_t *blocks = section(header()->class_blocks);
    return blocks[index[character / TOKENIZER_CLASS_BLOCK] * TOKENIZER_CLASS_BLOCK + character % TOKENIZER_CLASS_BLOCK];
}

/* ---- merge ---- */

/* Any part that merging leaves is a token: single bytes are, and only tokens are made. */
static void sink_token(struct sink *sink, const uint8_t *p, size_t n)
{
    if (sink->ids != NULL && sink->count < sink->ids_max)
        sink->ids[sink->count] = rank_of(sink->encoding, p, n);
    sink->count++;
}

static unsigned lowest(const uint32_t *ranks, unsigned n)
{
    unsigned best = 0;
    for (unsigned i = 1; i < n; i++)
        if (ranks[i] < ranks[best])
            best = i;
    return best;
}

static void remove_part(uint32_t *ranks, uint8_t *starts, unsigned i, unsigned parts)
{
    memmove(ranks + i, ranks + i + 1, (parts - i) * sizeof *ranks);
    memmove(starts + i, starts + i + 1, parts - i);
}

/* ranks[i] is that of parts i and i + 1 taken together; starts[parts] is n. The leftmost of equal ranks goes first. */
static void merge_short(struct sink *sink, const uint8_t *p, unsigned n)
{
    uint32_t ranks[SHORT_PIECE + 1];
    uint8_t starts[SHORT_PIECE + 1];
    unsigned parts = n;
    for (unsigned i = 0; i <= n; i++) {
        starts[i] = (uint8_t)i;
        ranks[i] = i + 2 <= n ? rank_of(sink->encoding, p + i, 2) : RANK_NONE;
    }
    while (parts > 1) {
        unsigned i = lowest(ranks, parts - 1);
        if (ranks[i] == RANK_NONE)
            break;
        remove_part(ranks, starts, i + 1, parts);
        parts--;
        ranks[i] = i + 1 < parts ? rank_of(sink->encoding, p + starts[i], starts[i + 2] - starts[i]) : RANK_NONE;
        if (i > 0)
            ranks[i - 1] = rank_of(sink->encoding, p + starts[i - 1], starts[i + 1] - starts[i - 1]);
    }
    for (unsigned i = 0; i < parts; i++)
        sink_token(sink, p + starts[i], starts[i + 1] - starts[i]);
}

/* A long piece: parts are a list through next and previous, named by where they start; a heap of rank and start
 * finds the next merge. What a merge makes stale in the heap stays there and is told by its rank being another. */
struct merge {
    const uint8_t *p;
    uint32_t n;
    enum tokenizer_encoding encoding;
    uint32_t heap_size;
    uint64_t *heap;     /* rank << 32 | start, the least on top; 2 n at most, as a merge takes one and adds two */
    uint32_t *ranks;    /* of the part that starts here with the one behind it */
    uint32_t *next;     /* n at the end */
    uint32_t *previous; /* LINK_NONE at the start */
};

static void heap_push(struct merge *m, uint64_t key)
{
    uint32_t i = m->heap_size++;
    while (i > 0 && m->heap[(i - 1) / 2] > key) {
        m->heap[i] = m->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    m->heap[i] = key;
}

static uint64_t heap_pop(struct merge *m)
{
    uint64_t top = m->heap[0], key = m->heap[--m->heap_size];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= m->heap_size)
            break;
        if (child + 1 < m->heap_size && m->heap[child + 1] < m->heap[child])
            child++;
        if (m->heap[child] >= key)
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = key;
    return top;
}

static void merge_rank(struct merge *m, uint32_t start)
{
    uint32_t second = m->next[start];
    m->ranks[start] = second < m->n ? rank_of(m->encoding, m->p + start, m->next[second] - start) : RANK_NONE;
    if (m->ranks[start] != RANK_NONE)
        heap_push(m, (uint64_t)m->ranks[start] << 32 | start);
}

static void merge_pair(struct merge *m, uint32_t start)
{
    uint32_t second = m->next[start];
    m->next[start] = m->next[second];
    if (m->next[second] < m->n)
        m->previous[m->next[second]] = start;
    m->ranks[second] = RANK_NONE;
    merge_rank(m, start);
    if (m->previous[start] != LINK_NONE)
        merge_rank(m, m->previous[start]);
}

static void merge_all(struct merge *m)
{
    for (uint32_t i = 0; i < m->n; i++) {
        m->next[i] = i + 1;
        m->previous[i] = i == 0 ? LINK_NONE : i - 1;
    }
    for (uint32_t i = 0; i < m->n; i++)
        merge_rank(m, i);
    while (m->heap_size > 0) {
        uint64_t top = heap_pop(m);
        if (m->ranks[(uint32_t)top] == top >> 32)
            merge_pair(m, (uint32_t)top);
    }
}

static bool merge_long(struct sink *sink, const uint8_t *p, uint32_t n)
{
    uint64_t *memory = malloc(n * (2 * sizeof(uint64_t) + 3 * sizeof(uint32_t)));
    if (memory == NULL)
        return false;
    uint32_t *words = (uint32_t *)(memory + 2 * (size_t)n);
    struct merge m = {.p = p, .n = n, .encoding = sink->encoding, .heap = memory,
                      .ranks = words, .next = words + n, .previous = words + 2 * (size_t)n};
    merge_all(&m);
    for (uint32_t i = 0; i < n; i = m.next[i])
        sink_token(sink, p + i, m.next[i] - i);
    free(memory);
    return true;
}

/* A piece that is a token is that token, even if merging would not find it. */
static void sink_piece(struct sink *sink, const uint8_t *p, uint32_t n)
{
    if (n == 0)
        return;
    uint32_t whole = rank_of(sink->encoding, p, n);
    if (whole != RANK_NONE) {
        if (sink->ids != NULL && sink->count < sink->ids_max)
            sink->ids[sink->count] = whole;
        sink->count++;
    } else if (n <= SHORT_PIECE) {
        merge_short(sink, p, n);
    } else if (!merge_long(sink, p, n)) {
        for (uint32_t i = 0; i < n; i += SHORT_PIECE) /* no memory: near enough, and no worse than no count */
            merge_short(sink, p + i, n - i < SHORT_PIECE ? n - i : SHORT_PIECE);
    }
}

/* ---- the open piece ---- */

static void forget_kept(struct token_counter *c)
{
    free(c->heap);
    c->heap = NULL;
    c->heap_size = 0;
    c->kept_size = 0;
}

static uint8_t *kept_bytes(struct token_counter *c) { return c->heap != NULL ? c->heap : c->kept; }

static bool grow_heap(struct token_counter *c, uint32_t size)
{
    uint32_t wanted = c->heap_size != 0 ? c->heap_size : 64;
    while (wanted < size)
        wanted *= 2;
    uint8_t *bytes = realloc(c->heap, wanted);
    if (bytes == NULL)
        return false;
    if (c->heap == NULL)
        memcpy(bytes, c->kept, c->kept_size);
    c->heap = bytes;
    c->heap_size = wanted;
    return true;
}

/* Without memory to keep it, what is open counts as it stands, as two pieces. */
static void give_up_keeping(struct scan *s, const uint8_t *p, size_t n)
{
    struct token_counter *c = s->counter;
    sink_piece(s->sink, kept_bytes(c), c->kept_size);
    sink_piece(s->sink, p, (uint32_t)n);
    forget_kept(c);
    c->state = START;
    c->size = c->mark = c->last = 0;
}

static void keep(struct scan *s, const uint8_t *p, size_t n)
{
    struct token_counter *c = s->counter;
    uint32_t room = c->heap != NULL ? c->heap_size : sizeof c->kept;
    if (n > room - c->kept_size && !grow_heap(c, c->kept_size + (uint32_t)n)) {
        give_up_keeping(s, p, n);
        return;
    }
    memcpy(kept_bytes(c) + c->kept_size, p, n);
    c->kept_size += (uint32_t)n;
}

/* Keeps what of the caller's text is still open. */
static void keep_open(struct scan *s)
{
    if (s->at > s->taken)
        keep(s, s->text + s->taken, s->at - s->taken);
    s->taken = s->at;
}

static void close_kept(struct scan *s, uint32_t n)
{
    struct token_counter *c = s->counter;
    if (n < c->kept_size) {
        sink_piece(s->sink, kept_bytes(c), n);
        c->kept_size -= n;
        memmove(kept_bytes(c), kept_bytes(c) + n, c->kept_size);
        return;
    }
    size_t more = n - c->kept_size;
    if (more > 0)
        keep(s, s->text + s->taken, more);
    sink_piece(s->sink, kept_bytes(c), c->kept_size);
    s->taken += more;
    forget_kept(c);
}

/* The first n bytes of the open piece are a piece; what is behind them stays open. */
static void close_piece(struct scan *s, uint32_t n)
{
    struct token_counter *c = s->counter;
    uint32_t rest = c->size - n;
    if (n == 0)
        return;
    if (c->kept_size != 0) {
        close_kept(s, n);
    } else {
        sink_piece(s->sink, s->text + s->taken, n);
        s->taken += n;
    }
    c->size = rest;
}

/* ---- the machine: each from_ function returns whether the character joined the open piece ---- */

struct character {
    uint32_t code;
    uint32_t bytes; /* in UTF-8 */
    enum tokenizer_class class;
};

static inline bool is_letter(enum tokenizer_class k) { return k >= CLASS_UPPER && k <= CLASS_MARK; }

static inline bool is_blank(enum tokenizer_class k) { return k >= CLASS_NEWLINE && k <= CLASS_BLANK; }

static inline bool is_sign(enum tokenizer_class k) { return k == CLASS_OTHER || k == CLASS_MARK || k >= CLASS_APOSTROPHE; }

static inline bool become(struct token_counter *c, enum state state, uint32_t mark)
{
    c->state = (uint8_t)state;
    c->mark = mark;
    return true;
}

/* All that is open is one piece; the character is to be asked again. */
static bool close_all(struct scan *s)
{
    close_piece(s, s->counter->size);
    become(s->counter, START, 0);
    return false;
}

/* The piece has its first letter. A letter of both cases, or a mark, may end an upper-case word. */
static bool begin_word(struct token_counter *c, struct character ch)
{
    if (ch.class == CLASS_LOWER)
        return become(c, LOWER, 0);
    return become(c, UPPER, ch.class == CLASS_UPPER ? 0 : c->size + ch.bytes);
}

static bool join_blanks(struct token_counter *c, struct character ch)
{
    c->last = c->size;
    return become(c, ch.class == CLASS_SPACE ? SPACED : BLANKS, ch.class == CLASS_NEWLINE ? c->size + ch.bytes : c->mark);
}

static bool from_start(struct token_counter *c, struct character ch)
{
    if (is_letter(ch.class))
        return begin_word(c, ch);
    if (is_blank(ch.class))
        return join_blanks(c, ch);
    if (ch.class == CLASS_APOSTROPHE && c->encoding == TOKENIZER_CL100K)
        return become(c, QUOTE, 0);
    c->last = 1;
    return become(c, ch.class == CLASS_NUMBER ? NUMBER : PREFIX, 0);
}

static bool from_signs(struct scan *s, struct character ch)
{
    if (is_sign(ch.class))
        return become(s->counter, SIGNS, 0);
    if (ch.class == CLASS_NEWLINE)
        return become(s->counter, SIGNS_END, 0);
    return close_all(s);
}

/* A newline ends the piece; blanks behind the last one are a piece, but their last is given to what follows. */
static bool from_blanks(struct scan *s, struct character ch)
{
    struct token_counter *c = s->counter;
    if (is_blank(ch.class))
        return join_blanks(c, ch);
    uint32_t mark = c->mark, last = c->last;
    bool after_space = c->state == SPACED;
    if (mark == c->size)
        return close_all(s);
    close_piece(s, mark);
    close_piece(s, last - mark);
    if (is_letter(ch.class))
        return begin_word(c, ch);
    if (after_space && is_sign(ch.class))
        return become(c, SIGNS, 0);
    return close_all(s);
}

static bool end_word(struct scan *s, struct character ch)
{
    if (ch.class == CLASS_APOSTROPHE && s->counter->encoding == TOKENIZER_O200K)
        return become(s->counter, QUOTE, s->counter->size);
    return close_all(s);
}

/* Without a lower-case letter, the word ends at its mark if it has one, and the capitals behind are another. */
static bool from_upper(struct scan *s, struct character ch)
{
    struct token_counter *c = s->counter;
    if (ch.class == CLASS_UPPER)
        return true;
    if (is_letter(ch.class))
        return begin_word(c, ch);
    if (c->mark < c->size)
        close_piece(s, c->mark);
    return end_word(s, ch);
}

static bool from_lower(struct scan *s, struct character ch)
{
    return (is_letter(ch.class) && ch.class != CLASS_UPPER) || end_word(s, ch);
}

static bool from_number(struct scan *s, struct character ch)
{
    if (ch.class == CLASS_NUMBER && s->counter->last < 3) {
        s->counter->last++;
        return true;
    }
    return close_all(s);
}

static bool from_quote(struct scan *s, struct character ch)
{
    struct token_counter *c = s->counter;
    switch (ch.code | 0x20) {
    case 's': case 't': case 'm': case 'd':
        return become(c, CLOSED, 0);
    case 'r': case 'v': case 'l':
        c->last = ch.code;
        return become(c, QUOTE_TWO, c->mark);
    default: /* no contraction: the apostrophe is an ordinary sign behind the word */
        close_piece(s, c->mark);
        become(c, PREFIX, 0);
        return false;
    }
}

static bool from_quote_two(struct scan *s, struct character ch)
{
    struct token_counter *c = s->counter;
    bool small = (c->last & 0x20) != 0 || c->encoding == TOKENIZER_CL100K;
    if ((ch.code | 0x20) == ((c->last | 0x20) == 'l' ? 'l' : 'e'))
        return become(c, CLOSED, 0);
    close_piece(s, c->mark);
    become(c, small ? LOWER : UPPER, 0); /* a sign and a letter */
    return false;
}

static bool join(struct scan *s, struct character ch)
{
    struct token_counter *c = s->counter;
    switch ((enum state)c->state) {
    case START:     return from_start(c, ch);
    case PREFIX:    return is_letter(ch.class) ? begin_word(c, ch) : from_signs(s, ch);
    case SIGNS:     return from_signs(s, ch);
    case SIGNS_END: return ch.class == CLASS_NEWLINE || ch.class == CLASS_SLASH || close_all(s);
    case BLANKS:
    case SPACED:    return from_blanks(s, ch);
    case UPPER:     return from_upper(s, ch);
    case LOWER:     return from_lower(s, ch);
    case NUMBER:    return from_number(s, ch);
    case QUOTE:     return from_quote(s, ch);
    case QUOTE_TWO: return from_quote_two(s, ch);
    case CLOSED:    return close_all(s);
    }
    return close_all(s);
}

/* cl100k knows one kind of letter, and takes marks and slashes for signs. */
static const uint8_t classes_of[2][CLASSES] = {
    [TOKENIZER_O200K] = {CLASS_OTHER, CLASS_UPPER, CLASS_LOWER, CLASS_CASELESS, CLASS_MARK, CLASS_NUMBER,
                         CLASS_NEWLINE, CLASS_SPACE, CLASS_BLANK, CLASS_APOSTROPHE, CLASS_SLASH},
    [TOKENIZER_CL100K] = {CLASS_OTHER, CLASS_LOWER, CLASS_LOWER, CLASS_LOWER, CLASS_OTHER, CLASS_NUMBER,
                          CLASS_NEWLINE, CLASS_SPACE, CLASS_BLANK, CLASS_APOSTROPHE, CLASS_OTHER},
};

static inline void step(struct scan *s, uint32_t code, uint32_t bytes)
{
    struct token_counter *c = s->counter;
    struct character ch = {.code = code, .bytes = bytes, .class = s->classes[class_of(code)]};
    if (UNLIKELY(c->size + bytes > TOKENIZER_PIECE_MAX))
        close_all(s);
    while (!join(s, ch))
        ;
    c->size += bytes;
}

/* ---- scan ---- */

enum utf8 { UTF8_GOOD = 0, UTF8_BROKEN, UTF8_CUT };

struct decoded {
    enum utf8 what;
    uint32_t bytes; /* of the character, or of the longest start of one */
    uint32_t code;
};

/* The second byte has narrower bounds after some first ones: no overlong forms, no surrogates, no end past 10FFFF. */
static bool follows(uint8_t first, size_t i, uint8_t byte)
{
    uint8_t low = 0x80, high = 0xbf;
    if (i == 1) {
        low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : low;
        high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : high;
    }
    return byte >= low && byte <= high;
}

/* One character of two to four bytes. n is at least 1. */
static struct decoded decode(const uint8_t *p, size_t n)
{
    uint8_t first = p[0];
    uint32_t size = first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
    if (size == 0)
        return (struct decoded){UTF8_BROKEN, 1, 0};
    uint32_t code = first & (0x7fu >> size);
    for (uint32_t i = 1; i < size; i++) {
        if (i == n)
            return (struct decoded){UTF8_CUT, i, 0};
        if (!follows(first, i, p[i]))
            return (struct decoded){UTF8_BROKEN, i, 0};
        code = code << 6 | (p[i] & 0x3f);
    }
    return (struct decoded){UTF8_GOOD, size, code};
}

/* A character whose bytes are not in the caller's text as they are; all before it is kept. */
static void take_foreign(struct scan *s, uint32_t code, const uint8_t *p, uint32_t bytes)
{
    step(s, code, bytes);
    keep(s, p, bytes);
}

static void take_broken(struct scan *s) { take_foreign(s, 0xfffd, (const uint8_t *)"\xef\xbf\xbd", 3); }

/* The last feed ended inside a character. Returns false when this one does, too. */
static bool take_cut(struct scan *s)
{
    struct token_counter *c = s->counter;
    uint8_t joined[4];
    size_t had = c->broken_size, more = s->size < sizeof joined - had ? s->size : sizeof joined - had;
    memcpy(joined, c->broken, had);
    memcpy(joined + had, s->text, more);
    struct decoded d = decode(joined, had + more);
    s->at = s->taken = d.bytes - had;
    if (d.what == UTF8_CUT) {
        memcpy(c->broken, joined, d.bytes);
        c->broken_size = (uint8_t)d.bytes;
        return false;
    }
    c->broken_size = 0;
    if (d.what == UTF8_GOOD)
        take_foreign(s, d.code, joined, d.bytes);
    else
        take_broken(s);
    return true;
}

/* Most of most texts. */
static void skip_lower(struct scan *s)
{
    struct token_counter *c = s->counter;
    size_t end = s->size - s->at < TOKENIZER_PIECE_MAX - c->size ? s->size : s->at + (TOKENIZER_PIECE_MAX - c->size);
    size_t at = s->at;
    while (at < end && s->text[at] >= 'a' && s->text[at] <= 'z')
        at++;
    c->size += (uint32_t)(at - s->at);
    s->at = at;
}

static void take_wide(struct scan *s)
{
    struct token_counter *c = s->counter;
    struct decoded d = decode(s->text + s->at, s->size - s->at);
    if (d.what == UTF8_GOOD) {
        step(s, d.code, d.bytes);
        s->at += d.bytes;
        return;
    }
    keep_open(s);
    memcpy(c->broken, s->text + s->at, d.bytes < sizeof c->broken ? d.bytes : sizeof c->broken);
    s->at = s->taken = s->at + d.bytes;
    if (d.what == UTF8_CUT)
        c->broken_size = (uint8_t)d.bytes;
    else
        take_broken(s);
}

static void scan_text(struct scan *s)
{
    while (s->at < s->size) {
        uint8_t byte = s->text[s->at];
        if (byte >= 0x80) {
            take_wide(s);
            continue;
        }
        step(s, byte, 1);
        s->at++;
        if (s->counter->state == LOWER)
            skip_lower(s);
    }
    keep_open(s);
}

static void feed(struct token_counter *c, struct sink *sink, struct span text)
{
    struct scan s = {.counter = c, .sink = sink, .text = (const uint8_t *)text.p, .size = text.n,
                     .classes = classes_of[c->encoding]};
    if (text.n == 0 || (c->broken_size != 0 && !take_cut(&s)))
        return;
    scan_text(&s);
}

static void finish(struct token_counter *c, struct sink *sink)
{
    struct scan s = {.counter = c, .sink = sink, .classes = classes_of[c->encoding]};
    if (c->broken_size != 0)
        take_broken(&s);
    close_piece(&s, c->mark);
    close_piece(&s, c->size);
    token_counter_fini(c);
}

/* ---- the interface ---- */

void token_counter_init(struct token_counter *counter, enum tokenizer_encoding encoding)
{
    CHECK(encoding == TOKENIZER_O200K || encoding == TOKENIZER_CL100K);
    *counter = (struct token_counter){.encoding = (uint8_t)encoding};
}

void token_counter_fini(struct token_counter *counter)
{
    free(counter->heap);
    token_counter_init(counter, counter->encoding);
}

void token_counter_feed(struct token_counter *counter, struct span text)
{
    struct sink sink = {.count = counter->count, .encoding = counter->encoding};
    feed(counter, &sink, text);
    counter->count = sink.count;
}

uint64_t token_counter_finish(struct token_counter *counter)
{
    struct sink sink = {.count = counter->count, .encoding = counter->encoding};
    finish(counter, &sink);
    return sink.count;
}

uint64_t tokenizer_encode(enum tokenizer_encoding encoding, struct span text, uint32_t *ids, size_t ids_max)
{
    struct sink sink = {.ids = ids, .ids_max = ids_max, .encoding = encoding};
    struct token_counter counter;
    token_counter_init(&counter, encoding);
    feed(&counter, &sink, text);
    finish(&counter, &sink);
    return sink.count;
}

uint64_t tokenizer_count(enum tokenizer_encoding encoding, struct span text)
{
    return tokenizer_encode(encoding, text, NULL, 0);
}

/* "gpt-4" also begins the names of o200k's models: what follows it decides. */
static bool is_family(struct span model, struct span family)
{
    return span_starts(model, family) && (model.n == family.n || model.p[family.n] == '-' || model.p[family.n] == ':');
}

enum tokenizer_encoding tokenizer_for_model(struct span model)
{
    static const char *const cl100k[] = {"gpt-4", "gpt-3.5", "gpt-35", "text-embedding"};
    for (size_t i = model.n; i > 0; i--)
        if (model.p[i - 1] == '/') {
            model = span_from(model, i);
            break;
        }
    if (span_starts(model, SPAN("ft:")))
        model = span_from(model, 3);
    for (size_t i = 0; i < COUNT_OF(cl100k); i++)
        if (is_family(model, span_str(cl100k[i])))
            return TOKENIZER_CL100K;
    return TOKENIZER_O200K;
}
