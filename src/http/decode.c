/* SPDX-License-Identifier: Apache-2.0
 *
 * Content codings undone, streamed: zlib, brotli and zstd behind one pair of functions. A bomb is stopped by the maximum of the
 * buffer it is decoded into, because no step produces more than one piece before the buffer is asked for room.
 */
#include "http/decode.h"

#include <brotli/decode.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/limits.h"

#define PIECE_BYTES (16u * KIB)
#define ZSTD_WINDOW_LOG_MAX 23 /* 8 MiB, the most that RFC 9659 lets a client ask for */

enum coding { CODING_GZIP, CODING_DEFLATE, CODING_BROTLI, CODING_ZSTD, CODING_NONE };

struct decode {
    enum coding coding;
    bool ended;   /* the stream said that it is complete */
    bool started; /* a byte was seen: an empty stream is cut, not complete */
    z_stream z;
    BrotliDecoderState *brotli;
    ZSTD_DStream *zstd;
};

static enum coding coding_of(struct span name)
{
    if (span_eq_nocase(name, SPAN("gzip")) || span_eq_nocase(name, SPAN("x-gzip")))
        return CODING_GZIP;
    if (span_eq_nocase(name, SPAN("deflate")))
        return CODING_DEFLATE;
    if (span_eq_nocase(name, SPAN("br")))
        return CODING_BROTLI;
    return span_eq_nocase(name, SPAN("zstd")) ? CODING_ZSTD : CODING_NONE;
}

bool decode_is_known(struct span coding)
{
    return coding_of(coding) != CODING_NONE;
}

static bool start(struct decode *d)
{
    switch (d->coding) {
    case CODING_GZIP:
        return inflateInit2(&d->z, 15 + 16) == Z_OK;
    case CODING_DEFLATE:
        return inflateInit2(&d->z, 15) == Z_OK; /* the zlib format, as RFC 9110 8.4.1.2 says */
    case CODING_BROTLI:
        return (d->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL)) != NULL;
    case CODING_ZSTD:
        return (d->zstd = ZSTD_createDStream()) != NULL &&
               !ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX));
    default:
        return false;
    }
}

struct decode *decode_new(struct span coding)
{
    struct decode *d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->coding = coding_of(coding);
    if (start(d))
        return d;
    decode_free(d);
    return NULL;
}

void decode_free(struct decode *d)
{
    if (!d)
        return;
    if (d->coding <= CODING_DEFLATE)
        inflateEnd(&d->z);
    if (d->brotli)
        BrotliDecoderDestroyInstance(d->brotli);
    ZSTD_freeDStream(d->zstd);
    free(d);
}

/* One step of each library: takes from in, adds at most a piece to out, says whether to go on. */
struct step {
    const uint8_t *in;
    size_t in_bytes;
    uint8_t *out;
    size_t out_bytes;
};

static enum err step_zlib(struct decode *d, struct step *s)
{
    d->z.next_in = (Bytef *)(uintptr_t)s->in;
    d->z.avail_in = (uInt)s->in_bytes;
    d->z.next_out = s->out;
    d->z.avail_out = (uInt)s->out_bytes;
    int result = inflate(&d->z, Z_NO_FLUSH);
    s->in = d->z.next_in;
    s->in_bytes = d->z.avail_in;
    s->out_bytes = d->z.avail_out;
    d->ended = result == Z_STREAM_END;
    return result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR ? ERR_OK : ERR_BAD_ENCODING;
}

static enum err step_brotli(struct decode *d, struct step *s)
{
    BrotliDecoderResult result = BrotliDecoderDecompressStream(d->brotli, &s->in_bytes, &s->in, &s->out_bytes, &s->out, NULL);
    d->ended = result == BROTLI_DECODER_RESULT_SUCCESS;
    return result == BROTLI_DECODER_RESULT_ERROR ? ERR_BAD_ENCODING : ERR_OK;
}

static enum err step_zstd(struct decode *d, struct step *s)
{
    ZSTD_inBuffer in = {s->in, s->in_bytes, 0};
    ZSTD_outBuffer out = {s->out, s->out_bytes, 0};
    size_t result = ZSTD_decompressStream(d->zstd, &out, &in);
    s->in += in.pos;
    s->in_bytes -= in.pos;
    s->out_bytes -= out.pos;
    d->ended = result == 0;
    return ZSTD_isError(result) ? ERR_BAD_ENCODING : ERR_OK;
}

static enum err take_step(struct decode *d, struct step *s)
{
    return d->coding <= CODING_DEFLATE ? step_zlib(d, s) : d->coding == CODING_BROTLI ? step_brotli(d, s) : step_zstd(d, s);
}

/* After a whole stream: gzip and zstd may be followed by another one of their kind, the others by nothing. */
static enum err go_on(struct decode *d)
{
    if (d->coding == CODING_ZSTD)
        return ERR_OK;
    if (d->coding != CODING_GZIP || inflateReset(&d->z) != Z_OK)
        return ERR_BAD_ENCODING;
    d->ended = false;
    return ERR_OK;
}

static enum err room_for_piece(struct buf *out, size_t *ret_bytes)
{
    size_t left = out->max - buf_bytes(out);
    *ret_bytes = left < PIECE_BYTES ? left : PIECE_BYTES;
    return left ? buf_reserve(out, *ret_bytes) : ERR_OK;
}

enum err decode_feed(struct decode *d, struct span piece, struct buf *out)
{
    struct step s = {.in = (const uint8_t *)piece.p, .in_bytes = piece.n};
    uint8_t probe; /* with out full, one byte more tells a bomb from a body that fits exactly */
    size_t room;
    if (!piece.n)
        return ERR_OK;
    do {
        if (s.in_bytes && d->ended && go_on(d) != ERR_OK)
            return ERR_BAD_ENCODING;
        d->started = d->started || s.in_bytes;
        enum err e = room_for_piece(out, &room);
        if (e)
            return e;
        s.out = room ? (uint8_t *)buf_tail(out) : &probe;
        s.out_bytes = room ? room : 1;
        size_t in_before = s.in_bytes, out_before = s.out_bytes;
        e = take_step(d, &s);
        size_t made = out_before - s.out_bytes;
        if (!e && made && !room)
            e = ERR_TOO_LARGE;
        if (e)
            return e;
        buf_extend(out, made);
        if (!made && s.in_bytes == in_before)
            return s.in_bytes ? ERR_BAD_ENCODING : ERR_OK; /* no way forward */
    } while (s.in_bytes || (!s.out_bytes && !d->ended)); /* zstd asked once more would begin a frame that never comes */
    return ERR_OK;
}

enum err decode_end(struct decode *d)
{
    return d->started && d->ended ? ERR_OK : ERR_BAD_ENCODING;
}
