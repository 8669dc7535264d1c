/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens for check.mjs and bench/tokenizer.mjs. Reads records {u32 encoding, u32 size, bytes} from stdin, little-endian,
 * and writes {u32 count, u32 ids...} for each. With "time N" as arguments it writes instead one line: the nanoseconds
 * that counting all records N times took, and their tokens.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "neutral/tokenizer.h"

struct record {
    uint32_t encoding;
    uint32_t size;
};

static char *read_all(size_t *ret_size)
{
    size_t size = 0, room = 1 << 20, n;
    char *bytes = malloc(room);
    while (bytes != NULL && (n = fread(bytes + size, 1, room - size, stdin)) > 0) {
        size += n;
        if (size == room)
            bytes = realloc(bytes, room *= 2);
    }
    *ret_size = size;
    return bytes;
}

static struct span next_text(const char *input, size_t *at, enum tokenizer_encoding *ret_encoding)
{
    struct record record;
    memcpy(&record, input + *at, sizeof record);
    struct span text = span_of(input + *at + sizeof record, record.size);
    *ret_encoding = (enum tokenizer_encoding)record.encoding;
    *at += sizeof record + record.size;
    return text;
}

static void write_tokens(enum tokenizer_encoding encoding, struct span text)
{
    uint32_t *ids = malloc((text.n * 3 + 1) * sizeof *ids); /* a broken byte may become three */
    if (ids == NULL)
        exit(1);
    uint32_t count = (uint32_t)tokenizer_encode(encoding, text, ids, text.n * 3);
    if (count != tokenizer_count(encoding, text)) {
        fprintf(stderr, "tokenizer_count differs from tokenizer_encode\n");
        exit(1);
    }
    fwrite(&count, sizeof count, 1, stdout);
    fwrite(ids, sizeof *ids, count, stdout);
    free(ids);
}

static void print_time(const char *input, size_t size, int rounds)
{
    struct timespec start, end;
    unsigned long long tokens = 0;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    for (int i = 0; i < rounds; i++)
        for (size_t at = 0; at < size;) {
            enum tokenizer_encoding encoding;
            struct span text = next_text(input, &at, &encoding);
            tokens += tokenizer_count(encoding, text);
        }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    long long ns = (end.tv_sec - start.tv_sec) * 1000000000ll + (end.tv_nsec - start.tv_nsec);
    printf("%lld %llu\n", ns, tokens / (unsigned)rounds);
}

int main(int argc, char **argv)
{
    size_t size, at = 0;
    char *input = read_all(&size);
    if (input == NULL)
        return 1;
    if (argc == 3 && strcmp(argv[1], "time") == 0)
        print_time(input, size, atoi(argv[2]));
    else
        while (at < size) {
            enum tokenizer_encoding encoding;
            struct span text = next_text(input, &at, &encoding);
            write_tokens(encoding, text);
        }
    free(input);
    return fflush(stdout) == 0 ? 0 : 1;
}
