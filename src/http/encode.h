/* SPDX-License-Identifier: Apache-2.0
 *
 * Content codings for whole answers: which one a client takes (Accept-Encoding, RFC 9110 12.5.3), and the answer in it. Streams are never
 * coded: an event must leave when it comes.
 */
#ifndef ENTENTE_HTTP_ENCODE_H
#define ENTENTE_HTTP_ENCODE_H

#include "base/buf.h"
#include "base/limits.h"

#define ENCODE_LEAST_BYTES KIB /* below it a coding saves no packet */
#define ENCODE_MOST_BYTES MIB  /* above it the other requests of the worker would wait too long */

enum encoding {
    ENCODING_IDENTITY, /* as it is */
    ENCODING_ZSTD,     /* in the order of preference: the most bytes saved for the CPU spent */
    ENCODING_BROTLI,
    ENCODING_GZIP,
    ENCODINGS
};

/* The coding of the highest weight, of equal ones the first above; identity when nothing better is named. A part that is not of the form
 * `coding;q=0.5` counts as not there. Identity is also the answer when the field forbids it and everything else that is known: a
 * client that can read nothing is told so by the content, as RFC 9110 allows, instead of by a 406 that it could read no better. */
enum encoding encode_choose(struct span accept_encoding);
struct span encoding_name(enum encoding e); /* "zstd", "br", "gzip"; "identity" */

/* Appends the coded bytes to out. ERR_TOO_LARGE when they would not be fewer than bytes, then out is as it was; ERR_NO_MEMORY. */
enum err encode_whole(enum encoding e, struct span bytes, struct buf *out) MUST_CHECK;

#endif
