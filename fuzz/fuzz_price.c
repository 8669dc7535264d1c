/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a file of price books, and as the canonical text of a line. Of what is accepted every line comes back from its text, and is found, or
 * a better one is, by the names and the time it is for; what is refused is told, on one line each. A canonical text that is accepted is the one that is
 * written again.
 */
#include <stdlib.h>

#include "base/digest.h"
#include "base/limits.h"
#include "policy/price_seal.h"
#include "serve/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long read_file(void *owner, const char *path, char *out, size_t max, const char **ret_why)
{
    const struct span *text = owner;
    size_t n = text->n < max ? text->n : max;
    if (n)
        memcpy(out, text->p, n);
    return (long)n;
}

static void check_text(struct span text)
{
    struct arena a;
    struct price_line line = {.text = NULL};
    struct buf again;
    uint8_t digest[SHA256_BYTES];
    arena_init(&a, 1024);
    buf_init(&again, PRICE_TEXT_BYTES_MAX);
    if (price_line_parse(&a, text, &line) == ERR_OK) {
        CHECK(price_line_write(&line, &again) == ERR_OK && span_eq(buf_span(&again), text));
        digest_sha256(text, digest);
        CHECK(memcmp(digest, line.digest, sizeof digest) == 0 && line.book->valid_from_us < line.book->valid_until_us);
    }
    buf_fini(&again);
    arena_fini(&a);
}

static void check_found(const struct price_list *l, const struct price_line *line)
{
    const struct price_book *b = line->book;
    struct price_facts f = {.provider = line->provider, .model = line->model, .tier = span_str(line->tier), .at_us = b->valid_from_us, .known_us = b->known_from_us,
                            .input_tokens = line->above_input < INT64_MAX ? line->above_input + 1 : INT64_MAX};
    if (!price_clock_covers(&line->clock, f.at_us) || f.input_tokens <= line->above_input)
        return;
    const struct price_line *found = strcmp(b->buyer, l->self) == 0 ? price_find_buy(l, &f) : price_find_sell(l, span_str(b->buyer), &f);
    CHECK(found && found->rank <= line->rank);
}

static void check_list(const struct price_list *l)
{
    for (unsigned i = 0; i < l->books_n; i++)
        for (unsigned k = 0; k < l->books[i]->lines_n; k++) {
            const struct price_line *line = l->books[i]->lines[k];
            CHECK(line->book == l->books[i] && line->list == l && line->model.n && line->provider.n);
            check_text(span_str(line->text));
            check_found(l, line);
            for (unsigned c = 0; c < USAGE_CLASSES; c++)
                CHECK(line->price[c] == PRICE_NONE || line->price[c] >= 0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const files[] = {"fuzz.yaml"};
    struct span text = span_of(data, size);
    const struct config_world world = {.read_file = read_file, .owner = &text};
    struct price_list *l = NULL;
    struct config_errors errors;
    struct arena a;
    check_text(text);
    config_errors_init(&errors);
    arena_init(&a, 1024);
    enum err e = config_prices_load(files, 1, "acme", &world, &l, &errors);
    CHECK((e == ERR_OK) == (l != NULL) && (e == ERR_OK) == (errors.n == 0));
    for (unsigned i = 0; i < errors.n; i++)
        CHECK(span_find(config_errors_line(&errors, i, &a), '\n') < 0);
    if (l)
        check_list(l);
    price_list_unref(l);
    arena_fini(&a);
    config_errors_fini(&errors);
    return 0;
}
