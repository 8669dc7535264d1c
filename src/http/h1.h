/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 message syntax, both directions: heads, framing and chunked bodies (RFC 9110, 9112). Pure: no sockets, no memory but
 * the caller's. Strict: what could be read in two ways is an error, and the connection that sent it is closed.
 */
#ifndef ENTENTE_HTTP_H1_H
#define ENTENTE_HTTP_H1_H

#include "base/err.h"
#include "http/head.h"

enum h1_body { H1_NO_BODY, H1_LENGTH, H1_CHUNKED, H1_UNTIL_CLOSE /* responses only */ };

struct h1_head {
    struct http_head head;           /* .headers points to the array below */
    struct header header[LIMIT_HEADERS];
    enum h1_body body;
    uint64_t length;                 /* of H1_LENGTH */
    bool keep_alive;                 /* may the connection carry another message? */
    bool expects_continue;           /* requests: Expect: 100-continue */
    size_t bytes;                    /* of the whole head, final empty line included */
};

/* Parses a head that begins at text. `*scanned` remembers across calls how far the end was looked for (start with 0), so that a
 * head which trickles in costs linear time. Returns ERR_AGAIN while the head is incomplete; ERR_HEAD_TOO_LARGE, ERR_URI_TOO_LONG,
 * ERR_BAD_REQUEST, ERR_BAD_FRAMING, ERR_BAD_VERSION, ERR_NOT_IMPLEMENTED (unknown transfer coding), ERR_BAD_EXPECT. `*ret_why` gets
 * a sentence of our own for the client ("two Content-Length headers"). Leading empty lines: at most one is skipped. */
enum err h1_parse_request(struct span text, size_t *scanned, struct h1_head *ret, const char **ret_why) MUST_CHECK;
enum err h1_parse_response(struct span text, size_t *scanned, bool to_head_request, struct h1_head *ret, const char **ret_why) MUST_CHECK;

/* A chunked body, decoded in place: data bytes are moved together at the front. Feed each piece as it was read. */
struct h1_chunks {
    unsigned state;
    uint64_t left;        /* of the current chunk */
    unsigned line_bytes;  /* of the current size line or of the trailers */
};
void h1_chunks_init(struct h1_chunks *c);
/* bytes[0..n): on return *ret_data bytes of data are at the front and *ret_used bytes of input were consumed (fewer than n only when
 * the body ended). OK: the body ended; AGAIN: more to come; BAD_FRAMING: broken. Trailers are checked and dropped. */
enum err h1_chunks_decode(struct h1_chunks *c, char *bytes, size_t n, size_t *ret_data, size_t *ret_used) MUST_CHECK;

#define H1_CHUNK_HEAD_BYTES 20
size_t h1_chunk_head(char out[H1_CHUNK_HEAD_BYTES], size_t data_bytes); /* "1a2b\r\n" */

/* The parts of a request's head that HTTP/2 judges by the same rules. h->method_name is set by read_method, path and query (and the
 * authority of an absolute form) by read_target from h->target. */
enum err h1_read_method(struct span name, struct http_head *h, const char **ret_why) MUST_CHECK;
enum err h1_read_target(struct http_head *h, const char **ret_why) MUST_CHECK;
bool h1_is_host(struct span s);        /* host [":" port], non-empty */
bool h1_is_same_host(struct span a, struct span b, struct span default_port);

bool h1_is_token(struct span s);       /* RFC 9110 token: header names, methods */
bool h1_is_field_value(struct span s); /* no control characters but tab */

#endif
