/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 syntax under bytes nobody chose. The first byte chooses the parser (request, response, chunks), the second seeds the cuts.
 * However the rest is cut, and wherever its buffer lies, the verdict, the reason and every span must be the same as for the whole.
 */
#include <stdlib.h>
#include <string.h>

#include "http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct h1_head whole, cut;
static uint32_t choices;

static size_t choose(size_t below)
{
    choices = choices * 1664525u + 1013904223u;
    return below ? (choices >> 8) % below : 0;
}

static enum err parse(unsigned which, struct span text, size_t *scanned, struct h1_head *head, const char **why)
{
    if (which == 0)
        return h1_parse_request(text, scanned, head, why);
    return h1_parse_response(text, scanned, which == 2, head, why);
}

static void check_same_span(struct span a, struct span b)
{
    CHECK(span_eq(a, b));
}

/* What a good head promises to those who use it. */
static void check_promises(const struct h1_head *h, unsigned which, struct span text)
{
    CHECK(h->bytes <= text.n && h->bytes <= LIMIT_HEAD_BYTES + 2 && h->head.headers_n <= LIMIT_HEADERS);
    for (unsigned i = 0; i < h->head.headers_n; i++)
        CHECK(h1_is_token(h->head.headers[i].name) && h1_is_field_value(h->head.headers[i].value));
    if (h->body == H1_CHUNKED)
        CHECK(!http_header(&h->head, SPAN("content-length")).p && h->head.version == 11);
    if (which != 0) {
        CHECK(h->head.status >= 100 && h->head.status <= 599);
        return;
    }
    CHECK(h1_is_token(h->head.method_name) && h->head.path.n && h->head.target.n <= LIMIT_TARGET_BYTES);
    CHECK(h->head.path.p[0] == '/' || span_eq(h->head.path, SPAN("*")));
    CHECK(h->head.version == 10 || h1_is_host(h->head.authority));
    CHECK(h->body != H1_UNTIL_CLOSE);
}

static void check_same(const struct h1_head *a, const struct h1_head *b)
{
    CHECK(a->bytes == b->bytes && a->body == b->body && a->length == b->length && a->keep_alive == b->keep_alive);
    CHECK(a->expects_continue == b->expects_continue && a->head.headers_n == b->head.headers_n);
    check_same_span(a->head.target, b->head.target);
    check_same_span(a->head.path, b->head.path);
    check_same_span(a->head.query, b->head.query);
    check_same_span(a->head.authority, b->head.authority);
    for (unsigned i = 0; i < a->head.headers_n; i++) {
        check_same_span(a->head.headers[i].name, b->head.headers[i].name);
        check_same_span(a->head.headers[i].value, b->head.headers[i].value);
    }
}

/* Grows a piece of fresh memory until the parser has made up its mind. */
static void fuzz_head(unsigned which, struct span text)
{
    const char *why = NULL, *why_cut = NULL;
    size_t scanned = 0, scanned_cut = 0, n = 0;
    enum err e = parse(which, text, &scanned, &whole, &why), e_cut;
    char *piece = NULL;
    for (;;) {
        free(piece);
        piece = malloc(n ? n : 1);
        memcpy(piece, text.p, n);
        e_cut = parse(which, span_of(piece, n), &scanned_cut, &cut, &why_cut);
        if (e_cut != ERR_AGAIN || n == text.n)
            break;
        n += 1 + choose(choose(4) ? 8 : text.n);
        n = n < text.n ? n : text.n;
    }
    CHECK(e == e_cut && (e == ERR_OK || e == ERR_AGAIN || why == why_cut));
    if (e == ERR_OK) {
        check_promises(&whole, which, text);
        check_same(&whole, &cut);
    }
    free(piece);
}

static void fuzz_chunks(struct span text)
{
    struct h1_chunks all, parts;
    size_t data = 0, used = 0, data_parts = 0, used_parts = 0;
    char *bytes = malloc(text.n + 1), *out = malloc(text.n + 1);
    memcpy(bytes, text.p, text.n);
    h1_chunks_init(&all);
    h1_chunks_init(&parts);
    enum err e = h1_chunks_decode(&all, bytes, text.n, &data, &used), e_parts = ERR_AGAIN;
    CHECK(data <= used && used <= text.n);
    for (size_t at = 0; at < text.n && e_parts == ERR_AGAIN;) {
        size_t n = 1 + choose(choose(4) ? 8 : text.n), piece_data, piece_used;
        n = n < text.n - at ? n : text.n - at;
        char *piece = malloc(n);
        memcpy(piece, text.p + at, n);
        e_parts = h1_chunks_decode(&parts, piece, n, &piece_data, &piece_used);
        memcpy(out + data_parts, piece, piece_data);
        data_parts += piece_data;
        used_parts += piece_used;
        at += n;
        free(piece);
    }
    CHECK(e == e_parts && data == data_parts && used == used_parts && memcmp(bytes, out, data) == 0);
    free(bytes);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    choices = data[1];
    struct span text = span_of(data + 2, n - 2);
    if (data[0] % 4 == 3)
        fuzz_chunks(text);
    else
        fuzz_head(data[0] % 4, text);
    return 0;
}
