/* SPDX-License-Identifier: Apache-2.0
 *
 * Content codings undone: gzip, deflate, br, zstd, streamed, with a maximum against bombs. Used for request bodies of clients and for
 * answers of providers that compress unasked.
 */
#ifndef ENTENTE_HTTP_DECODE_H
#define ENTENTE_HTTP_DECODE_H

#include "base/buf.h"
#include "base/err.h"

struct decode; /* one stream */

bool decode_is_known(struct span coding); /* "gzip", "x-gzip", "deflate", "br", "zstd"; "identity" and empty are not codings */
struct decode *decode_new(struct span coding); /* NULL when unknown or no memory */
void decode_free(struct decode *d);
/* Appends what piece decodes to. ERR_BAD_ENCODING when broken, ERR_TOO_LARGE by out's maximum. */
enum err decode_feed(struct decode *d, struct span piece, struct buf *out) MUST_CHECK;
enum err decode_end(struct decode *d) MUST_CHECK; /* ERR_BAD_ENCODING when the stream was cut */

#endif
