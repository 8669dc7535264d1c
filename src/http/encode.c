/* SPDX-License-Identifier: Apache-2.0
 *
 * Codings in one step, at levels where a byte saved is still cheap. The encoders are made and freed for each answer: this is for gateways
 * whose clients are far away, and memory that waits for the next answer would be paid by all.
 */
#include "http/encode.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#define ZLIB_LEVEL 4
#define ZLIB_MEMORY 8
#define BROTLI_LEVEL 4
#define ZSTD_LEVEL 3
#define WEIGHT_MOST 1000u /* q=1, in thousandths */

/* ---- which ---- */

/* "0", "0.5", "1.000": RFC 9110 12.4.2. */
static bool read_weight(struct span text, unsigned *ret)
{
    unsigned weight = 0, unit = WEIGHT_MOST;
    if (!text.n || text.n > 5 || (text.p[0] != '0' && text.p[0] != '1') || (text.n > 1 && text.p[1] != '.'))
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (i == 1)
            continue;
        if (text.p[i] < '0' || text.p[i] > '9')
            return false;
        weight += (unsigned)(text.p[i] - '0') * unit;
        unit /= 10;
    }
    *ret = weight;
    return weight <= WEIGHT_MOST;
}

/* One element of the list, without its parameters; false when its weight is none. */
static bool read_element(struct span element, struct span *ret_name, unsigned *ret_weight)
{
    struct span rest = element, name = span_trim(span_cut(&rest, ';'));
    *ret_weight = WEIGHT_MOST;
    *ret_name = name;
    if (!rest.p)
        return name.n > 0;
    rest = span_trim(rest);
    return name.n && span_starts_nocase(rest, SPAN("q=")) && read_weight(span_from(rest, 2), ret_weight);
}

static bool means(struct span name, enum encoding e)
{
    return span_eq_nocase(name, encoding_name(e)) || (e == ENCODING_GZIP && span_eq_nocase(name, SPAN("x-gzip")));
}

enum encoding encode_choose(struct span accept_encoding)
{
    unsigned weight[ENCODINGS] = {0}, rest_weight = 0, w;
    bool named[ENCODINGS] = {false};
    struct span list = accept_encoding, name;
    while (list.p) {
        if (!read_element(span_trim(span_cut(&list, ',')), &name, &w))
            continue;
        if (span_eq(name, SPAN("*")))
            rest_weight = w;
        for (unsigned e = 0; e < ENCODINGS; e++)
            if (means(name, (enum encoding)e)) {
                weight[e] = w;
                named[e] = true;
            }
    }
    enum encoding best = ENCODING_IDENTITY;
    unsigned best_weight = named[best] ? weight[best] : 0; /* not named: acceptable, and nobody's wish */
    for (unsigned e = ENCODING_IDENTITY + 1; e < ENCODINGS; e++) {
        unsigned mine = named[e] ? weight[e] : rest_weight;
        if (mine > best_weight || (mine && mine == best_weight && best == ENCODING_IDENTITY)) {
            best = (enum encoding)e;
            best_weight = mine;
        }
    }
    return best;
}

struct span encoding_name(enum encoding e)
{
    switch (e) {
    case ENCODING_ZSTD: return SPAN("zstd");
    case ENCODING_BROTLI: return SPAN("br");
    case ENCODING_GZIP: return SPAN("gzip");
    default: return SPAN("identity");
    }
}

/* ---- how: each writes at most room bytes and returns how many, 0 when they do not suffice ---- */

static size_t write_gzip(struct span bytes, char *out, size_t room)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes.p, .avail_in = (uInt)bytes.n, .next_out = (Bytef *)out, .avail_out = (uInt)room};
    if (deflateInit2(&z, ZLIB_LEVEL, Z_DEFLATED, 15 + 16, ZLIB_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        return 0;
    bool whole = deflate(&z, Z_FINISH) == Z_STREAM_END;
    size_t n = room - z.avail_out;
    deflateEnd(&z);
    return whole ? n : 0;
}

static size_t write_brotli(struct span bytes, char *out, size_t room)
{
    size_t n = room;
    return BrotliEncoderCompress(BROTLI_LEVEL, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_TEXT, bytes.n, (const uint8_t *)bytes.p, &n, (uint8_t *)out) ? n : 0;
}

static size_t write_zstd(struct span bytes, char *out, size_t room)
{
    size_t n = ZSTD_compress(out, room, bytes.p, bytes.n, ZSTD_LEVEL);
    return ZSTD_isError(n) ? 0 : n;
}

enum err encode_whole(enum encoding e, struct span bytes, struct buf *out)
{
    static size_t (*const write[ENCODINGS])(struct span, char *, size_t) = {
        [ENCODING_ZSTD] = write_zstd, [ENCODING_BROTLI] = write_brotli, [ENCODING_GZIP] = write_gzip};
    size_t room = bytes.n ? bytes.n - 1 : 0; /* more is not worth it */
    CHECK(e < ENCODINGS);
    if (!write[e] || !room || bytes.n > ENCODE_MOST_BYTES)
        return ERR_TOO_LARGE;
    enum err error = buf_reserve(out, room);
    if (error)
        return error;
    size_t n = write[e](bytes, buf_tail(out), room);
    buf_extend(out, n);
    return n ? ERR_OK : ERR_TOO_LARGE;
}
