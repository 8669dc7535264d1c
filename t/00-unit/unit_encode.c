/* SPDX-License-Identifier: Apache-2.0
 *
 * Content codings for answers: what a client's Accept-Encoding means, and that what was coded is what was said.
 */
#include "http/decode.h"
#include "http/encode.h"
#include "unit.h"

TEST(the_client_gets_the_coding_it_asks_for_and_none_that_it_refuses)
{
    static const struct {
        const char *field, *want;
    } row[] = {
        {"gzip", "gzip"},
        {"GZIP", "gzip"},
        {"x-gzip", "gzip"},
        {"gzip, deflate, br", "br"},
        {"gzip, deflate, br, zstd", "zstd"},
        {"gzip;q=1.0, br;q=0.5", "gzip"},
        {"br;q=0.2,gzip ; q=0.9 , zstd;q=0.899", "gzip"},
        {"*", "zstd"},
        {"*;q=0.5, zstd;q=0", "br"},
        {"br;q=0, zstd;q=0, *", "gzip"},
        {"gzip, identity", "gzip"},
        {"gzip;q=0.5, identity", "identity"},
        {"identity;q=0, gzip;q=0.1", "gzip"},
        {"deflate", "identity"},
        {"identity", "identity"},
        {"", "identity"},
        {"gzip;q=0", "identity"},
        {"*;q=0", "identity"},          /* nothing is left: see encode.h */
        {"identity;q=0", "identity"},
        {"identity;q=0, deflate", "identity"},
        {"gzip;q=2", "identity"},       /* parts that are none count as not there */
        {"gzip;q=1.001", "identity"},
        {"gzip;q=0.1234", "identity"},
        {"gzip;q=, br;q=x, zstd;level=3", "identity"},
        {";q=1, ,,, br", "br"},
        {"gzip;q=1.", "gzip"},
        {"gzip;q=0.001", "gzip"},
    };
    for (unsigned i = 0; i < COUNT_OF(row); i++)
        if (!EXPECT(span_eq(encoding_name(encode_choose(span_str(row[i].field))), span_str(row[i].want))))
            printf("# for \"%s\"\n", row[i].field);
    EXPECT_EQ(encode_choose(SPAN_NONE), ENCODING_IDENTITY);
}

static void fill(char *text, size_t n, bool hard)
{
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        text[i] = hard ? (char)(state >> 24) : "{\"embedding\":[0.123,"[(i + (state >> 30)) % 20];
    }
}

TEST(what_was_coded_is_what_the_client_reads)
{
    static char text[ENCODE_MOST_BYTES + 1];
    static const size_t sizes[] = {ENCODE_LEAST_BYTES, 4097, 100000, ENCODE_MOST_BYTES};
    fill(text, sizeof text, false);
    for (unsigned e = ENCODING_ZSTD; e < ENCODINGS; e++)
        for (unsigned i = 0; i < COUNT_OF(sizes); i++) {
            struct buf coded, plain;
            struct span all = span_of(text, sizes[i]);
            struct decode *d = decode_new(encoding_name((enum encoding)e));
            buf_init(&coded, 2 * MIB);
            buf_init(&plain, 2 * MIB);
            REQUIRE(d != NULL);
            EXPECT_EQ(encode_whole((enum encoding)e, all, &coded), ERR_OK);
            EXPECT(buf_bytes(&coded) < all.n);
            EXPECT_EQ(decode_feed(d, buf_span(&coded), &plain), ERR_OK);
            if (!EXPECT(decode_end(d) == ERR_OK)) /* also when the plain bytes end where a step of the decoder ends */
                printf("# %s of %zu bytes\n", encoding_name((enum encoding)e).p, all.n);
            EXPECT(span_eq(buf_span(&plain), all));
            decode_free(d);
            buf_fini(&coded);
            buf_fini(&plain);
        }
}

TEST(what_would_not_get_smaller_or_take_too_long_stays_as_it_is)
{
    static char text[ENCODE_MOST_BYTES + 1];
    struct buf out;
    buf_init(&out, 2 * MIB);
    fill(text, sizeof text, true);
    for (unsigned e = 0; e < ENCODINGS; e++) {
        EXPECT_EQ(encode_whole((enum encoding)e, span_of(text, 5000), &out), ERR_TOO_LARGE);
        EXPECT_EQ(encode_whole((enum encoding)e, SPAN(""), &out), ERR_TOO_LARGE);
        EXPECT_EQ(encode_whole((enum encoding)e, SPAN("a"), &out), ERR_TOO_LARGE);
    }
    fill(text, sizeof text, false);
    for (unsigned e = 0; e < ENCODINGS; e++)
        EXPECT_EQ(encode_whole((enum encoding)e, span_of(text, sizeof text), &out), ERR_TOO_LARGE);
    EXPECT_EQ(buf_bytes(&out), 0);
    buf_fini(&out);
}

UNIT_MAIN
