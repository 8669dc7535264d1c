/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 on one connection (nghttp2). Being written.
 */
#include "http/conn.h"

enum err h2_start(struct conn *c) { return ERR_NOT_IMPLEMENTED; }
void h2_run(struct conn *c) { }
void h2_on_flushed(struct conn *c) { }
void h2_drain(struct conn *c) { }
void h2_free(struct conn *c) { }
void h2_timeout(struct conn *c) { }
void h2_reply(struct stream *s, int status, const struct header *headers, unsigned n, struct span body) { }
void h2_begin(struct stream *s, int status, const struct header *headers, unsigned n, uint64_t content_length) { }
void h2_flush_head(struct stream *s) { }
bool h2_write(struct stream *s, const struct iovec *parts, int n, bool last) { return true; }
void h2_break(struct stream *s) { }
