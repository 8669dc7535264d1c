/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a price table; the first says of which format. Whatever is imported is a file of price books that passes the check.
 */
#include <stdlib.h>

#include "cli/price_import.h"
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

static void check_book(struct span book)
{
    static const char *const files[] = {"book.yaml"};
    const struct config_world world = {.read_file = read_file, .owner = &book};
    struct price_list *l = NULL;
    struct config_errors errors;
    config_errors_init(&errors);
    if (config_prices_load(files, 1, NULL, &world, &l, &errors) != ERR_OK) {
        config_errors_print(&errors, stderr);
        fprintf(stderr, "%.*s", SPAN_ARG(book));
        abort();
    }
    price_list_unref(l);
    config_errors_fini(&errors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {"litellm", "genai-prices", "models.dev", "portkey"};
    struct import_options o = {.file = "t.json", .book = "b", .known = "2026-09-05", .from = "2025-01-01", .source = "fuzz", .zero_is_free = size && data[0] & 4};
    char why[512], *text = NULL;
    size_t bytes = 0;
    if (size == 0)
        return 0;
    FILE *notes = fopen("/dev/null", "w"), *out = open_memstream(&text, &bytes);
    CHECK(notes && out);
    bool ok = price_import(formats[data[0] & 3], span_of(data + 1, size - 1), &o, out, notes, why);
    fclose(out);
    fclose(notes);
    if (ok)
        check_book(span_of(text, bytes));
    free(text);
    return 0;
}
