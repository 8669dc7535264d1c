/* SPDX-License-Identifier: Apache-2.0
 *
 * A parsed message head, the same for HTTP/1 and HTTP/2 and for requests and responses. Spans borrow the bytes of the message.
 */
#ifndef ENTENTE_HTTP_HEAD_H
#define ENTENTE_HTTP_HEAD_H

#include "base/limits.h"
#include "base/span.h"

struct header {
    struct span name; /* as received; compare without case. HTTP/2: lower case */
    struct span value; /* trimmed */
};

enum http_method { HTTP_OTHER, HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_OPTIONS, HTTP_PATCH };

struct http_head {
    enum http_method method;
    struct span method_name;
    struct span target;    /* as received: "/v1/chat/completions?x=y" */
    struct span path;      /* the part before '?' ; of absolute-form targets the path alone */
    struct span query;     /* after '?', or empty */
    struct span authority; /* Host, :authority, or the absolute form's */
    int status;            /* responses */
    unsigned version;      /* 10, 11, 20 */
    struct header *headers;
    unsigned headers_n;
};

struct span http_header(const struct http_head *h, struct span name); /* first value, or SPAN_NONE; name in lower case */
bool http_has_token(struct span list, struct span token); /* "keep-alive, te" contains token? without case */
bool http_query_get(struct span query, struct span name, struct span *ret_raw); /* still percent-encoded */

#endif
