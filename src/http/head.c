/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking things up in a parsed head. Lists are short and looked at once or twice a request, so a walk beats a table.
 */
#include "http/head.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* want is in lower case already: only one side needs folding */
static bool is_named(struct span name, struct span want)
{
    if (name.n != want.n)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] != want.p[i] && lower(name.p[i]) != want.p[i])
            return false;
    return true;
}

struct span http_header(const struct http_head *h, struct span name)
{
    for (unsigned i = 0; i < h->headers_n; i++)
        if (is_named(h->headers[i].name, name))
            return h->headers[i].value;
    return SPAN_NONE;
}

bool http_has_token(struct span list, struct span token)
{
    while (list.p) {
        struct span one = span_trim(span_cut(&list, ','));
        if (span_eq_nocase(one, token))
            return true;
    }
    return false;
}

bool http_query_get(struct span query, struct span name, struct span *ret_raw)
{
    while (query.p && query.n) {
        struct span value = span_cut(&query, '&');
        struct span key = span_cut(&value, '=');
        if (!span_eq(key, name))
            continue;
        *ret_raw = value.p ? value : span_of("", 0);
        return true;
    }
    return false;
}
