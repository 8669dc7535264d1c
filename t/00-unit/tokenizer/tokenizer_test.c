/* SPDX-License-Identifier: Apache-2.0
 *
 * Properties of the token counter. Equality with js-tiktoken is check.mjs's part. Linked with --wrap for malloc and
 * realloc, so that a test can make them fail.
 */
#include "unit.h"

#include <time.h>

#include "neutral/tokenizer.h"

void *__real_malloc(size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_realloc(void *p, size_t n);

static bool memory_is_gone;
static long fail_at = -1; /* which allocation from now fails */

static bool denied(void) { return memory_is_gone || (fail_at >= 0 && fail_at-- == 0); }

void *__wrap_malloc(size_t n) { return denied() ? NULL : __real_malloc(n); }

void *__wrap_realloc(void *p, size_t n) { return denied() ? NULL : __real_realloc(p, n); }

static const enum tokenizer_encoding encodings[] = {TOKENIZER_O200K, TOKENIZER_CL100K};

static const struct {
    struct span text;
    uint64_t o200k, cl100k;
} samples[] = {
    {SPAN(""), 0, 0}, /* the figures are js-tiktoken's */
    {SPAN("a"), 1, 1},
    {SPAN("Hello, world!"), 4, 4},
    {SPAN("I don't, WE'LL 'sure' they'Re isn'\xc5\xbf"), 14, 16},
    {SPAN("  \r\n\r\n \t x\xe3\x80\x80\xe5\x85\xa8\xe8\xa7\x92 \n"), 7, 7},
    {SPAN("1234567 \xd9\xa1\xd9\xa2\xd9\xa3\xd9\xa4!!\n/\n/x"), 11, 15},
    {SPAN("ABC\xe6\x97\xa5\xe6\x9c\xac" "AB\xcc\x81" "CD e\xcc\x81" "F"), 8, 9},
    {SPAN("\xf0\x9f\x91\xa9\xf0\x9f\x8f\xbd\xe2\x80\x8d\xf0\x9f\x92\xbb!"), 8, 11},
    {SPAN("<|endoftext|>"), 7, 7},
    {SPAN("\xff\xe2\x82 \xf0\x9f\x98 \xed\xa0\x80 x\xc0\xaf"), 6, 6},
    {SPAN("                                                            after a long run of blanks"), 7, 7},
};

static uint64_t count_in_two(enum tokenizer_encoding encoding, struct span text, size_t cut)
{
    struct token_counter counter;
    token_counter_init(&counter, encoding);
    token_counter_feed(&counter, span_to(text, cut));
    token_counter_feed(&counter, span_from(text, cut));
    return token_counter_finish(&counter);
}

static uint64_t count_in_pieces(enum tokenizer_encoding encoding, struct span text, size_t size)
{
    struct token_counter counter;
    token_counter_init(&counter, encoding);
    for (size_t at = 0; at < text.n; at += size)
        token_counter_feed(&counter, span_to(span_from(text, at), size));
    return token_counter_finish(&counter);
}

static char *repeated(const char *unit, size_t size)
{
    char *bytes = malloc(size);
    for (size_t i = 0; bytes != NULL && i < size; i++)
        bytes[i] = unit[i % strlen(unit)];
    return bytes;
}

/* Work that grows with the square of a text would take minutes for a megabyte, under any sanitizer on any machine; what is asked for takes
 * hundredths of a second. This tells the one from the other; it is no measure of speed. */
#define QUADRATIC_CPU_SECONDS 40

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

TEST(a_known_text_costs_what_openai_bills)
{
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        EXPECT_EQ(tokenizer_count(TOKENIZER_O200K, samples[i].text), samples[i].o200k);
        EXPECT_EQ(tokenizer_count(TOKENIZER_CL100K, samples[i].text), samples[i].cl100k);
    }
}

TEST(a_stream_costs_the_same_wherever_its_chunks_are_cut)
{
    for (size_t e = 0; e < 2; e++)
        for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
            uint64_t whole = tokenizer_count(encodings[e], samples[i].text);
            for (size_t cut = 0; cut <= samples[i].text.n; cut++)
                EXPECT_EQ(count_in_two(encodings[e], samples[i].text, cut), whole);
            for (size_t size = 1; size <= 7; size++)
                EXPECT_EQ(count_in_pieces(encodings[e], samples[i].text, size), whole);
        }
}

/* Long texts over an alphabet that reaches every state of the machine, and some that break UTF-8. */
TEST(a_long_stream_costs_the_same_in_chunks_of_any_size)
{
    static const char *const parts[] = {"a", "the", "B", " ", "  ", "\n", "\r\n", "'", "'s", "'re", "'L", "/", "!", "7", "\t", "\xc3\xa9", "\xe6\x97\xa5",
                                        "\xcc\x81", "\xe3\x80\x80", "\xf0\x9f\x98\x80", "\xff", "\xe2\x82", "\xf0\x9f"};
    char text[4096];
    uint32_t random = 17;
    for (int round = 0; round < 100; round++) {
        size_t n = 0;
        while (n < sizeof text - 8) {
            random = random * 1664525u + 1013904223u;
            const char *part = parts[(random >> 16) % (sizeof parts / sizeof *parts)];
            for (unsigned i = 0; i <= (random >> 8) % 97 / 90 * 40 && n < sizeof text - 8; i++) {
                memcpy(text + n, part, strlen(part));
                n += strlen(part);
            }
        }
        for (size_t e = 0; e < 2; e++) {
            uint64_t whole = tokenizer_count(encodings[e], span_of(text, n));
            EXPECT_EQ(count_in_pieces(encodings[e], span_of(text, n), 1), whole);
            EXPECT_EQ(count_in_pieces(encodings[e], span_of(text, n), 1 + random % 100), whole);
        }
    }
}

TEST(a_megabyte_without_a_break_does_not_stop_the_gateway)
{
    static const char *const units[] = {"a", " ", "A", "ab", "\n", "-", "\xe6\x97\xa5", "1", " \n", "\xcc\x81", "zqxjkvbp", "\xff"};
    const size_t size = 1 << 20;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        for (size_t e = 0; e < 2; e++) {
            char *text = repeated(units[i], size);
            REQUIRE(text != NULL);
            double start = seconds();
            uint64_t whole = tokenizer_count(encodings[e], span_of(text, size));
            EXPECT(seconds() - start < QUADRATIC_CPU_SECONDS);
            EXPECT_EQ(count_in_pieces(encodings[e], span_of(text, size), 997), whole);
            free(text);
        }
}

TEST(a_trickle_of_single_bytes_is_not_read_again_and_again)
{
    char *text = repeated("a", 1 << 20);
    REQUIRE(text != NULL);
    double start = seconds();
    EXPECT_EQ(count_in_pieces(TOKENIZER_O200K, span_of(text, 1 << 20), 1), tokenizer_count(TOKENIZER_O200K, span_of(text, 1 << 20)));
    EXPECT(seconds() - start < QUADRATIC_CPU_SECONDS);
    free(text);
}

TEST(an_open_piece_never_holds_more_than_its_bound)
{
    struct token_counter counter;
    char *text = repeated(" ", 1 << 20);
    REQUIRE(text != NULL);
    token_counter_init(&counter, TOKENIZER_O200K);
    for (size_t at = 0; at < 1 << 20; at += 1000)
        token_counter_feed(&counter, span_to(span_of(text + at, (1 << 20) - at), 1000));
    EXPECT(counter.heap_size <= TOKENIZER_PIECE_MAX);
    EXPECT(counter.count > 0);
    token_counter_feed(&counter, SPAN("x y"));
    EXPECT(counter.heap == NULL);
    token_counter_fini(&counter);
    free(text);
}

TEST(a_stream_at_rest_costs_sixty_four_bytes)
{
    struct token_counter counter;
    EXPECT_EQ(sizeof counter, 64);
    token_counter_init(&counter, TOKENIZER_O200K);
    memory_is_gone = true; /* an ordinary answer needs no memory at all */
    for (int i = 0; i < 100; i++)
        token_counter_feed(&counter, SPAN(" and thus the committed amount is"));
    uint64_t count = token_counter_finish(&counter);
    memory_is_gone = false;
    EXPECT_EQ(count, 600);
}

TEST(without_memory_a_stream_is_still_counted)
{
    char text[3000];
    memset(text, '-', sizeof text);
    memcpy(text + 1000, "word'r \n  ABC", 13);
    uint64_t whole = tokenizer_count(TOKENIZER_O200K, span_of(text, sizeof text));
    for (long i = -1; i < 40; i++) {
        memory_is_gone = i < 0;
        fail_at = i;
        uint64_t count = count_in_pieces(TOKENIZER_O200K, span_of(text, sizeof text), 7);
        uint64_t at_once = tokenizer_count(TOKENIZER_O200K, span_of(text, sizeof text));
        memory_is_gone = false;
        fail_at = -1;
        EXPECT(count > whole / 2 && count < whole * 8); /* pieces of 22 bytes when there is none at all */
        EXPECT(at_once > whole / 2 && at_once < whole * 2);
    }
}

TEST(a_model_is_counted_with_its_own_vocabulary)
{
    static const char *const o200k[] = {"gpt-4o", "gpt-4o-mini-2024-07-18", "gpt-4.1", "gpt-4.1-nano", "gpt-4.5-preview", "gpt-5", "gpt-5-mini", "o1", "o3-mini",
                                        "o4-mini", "chatgpt-4o-latest", "openai/gpt-4o", "ft:gpt-4o-mini:acme", "claude-sonnet-4", "llama-4", "", "gpt-40"};
    static const char *const cl100k[] = {"gpt-4", "gpt-4-turbo", "gpt-4-0613", "gpt-4-32k", "gpt-3.5-turbo", "gpt-35-turbo", "text-embedding-3-small",
                                         "text-embedding-ada-002", "azure/gpt-4", "openai/azure/gpt-4-turbo", "ft:gpt-3.5-turbo:acme::x"};
    for (size_t i = 0; i < sizeof o200k / sizeof *o200k; i++)
        EXPECT_EQ(tokenizer_for_model(span_str(o200k[i])), TOKENIZER_O200K);
    for (size_t i = 0; i < sizeof cl100k / sizeof *cl100k; i++)
        EXPECT_EQ(tokenizer_for_model(span_str(cl100k[i])), TOKENIZER_CL100K);
}

UNIT_MAIN
