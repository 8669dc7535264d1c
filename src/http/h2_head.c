/* SPDX-License-Identifier: Apache-2.0
 *
 * Header fields of HTTP/2 on their way to a head, and what a request's head must be. nghttp2 has checked the grammar of fields and
 * which pseudo fields there are; here the values are judged by the rules of HTTP/1, so that both versions refuse the same.
 */
#include "http/conn_h2.h"

/* fields holds, for each field: length of the name, length of the value (32 bits each), name, value. */
enum err h2_add_field(struct h2 *h, struct span name, struct span value)
{
    uint32_t lengths[2] = {(uint32_t)name.n, (uint32_t)value.n};
    enum err e = buf_append(&h->fields, span_of(lengths, sizeof lengths));
    if (!e)
        e = buf_append(&h->fields, name);
    return e ? e : buf_append(&h->fields, value);
}

static bool next_field(struct span *rest, struct span *ret_name, struct span *ret_value)
{
    uint32_t lengths[2];
    if (rest->n < sizeof lengths)
        return false;
    memcpy(lengths, rest->p, sizeof lengths);
    *rest = span_from(*rest, sizeof lengths);
    *ret_name = span_to(*rest, lengths[0]);
    *rest = span_from(*rest, lengths[0]);
    *ret_value = span_to(*rest, lengths[1]);
    *rest = span_from(*rest, lengths[1]);
    return true;
}

static void note_pseudo(struct h2_pseudo *p, struct span name, struct span value)
{
    if (span_eq(name, SPAN(":method")))
        p->method = value;
    else if (span_eq(name, SPAN(":scheme")))
        p->scheme = value;
    else if (span_eq(name, SPAN(":path")))
        p->path = value;
    else if (span_eq(name, SPAN(":authority"))) {
        p->authority = value;
        p->has_authority = true;
    }
}

static void note_plain(struct h2_pseudo *p, struct span name, struct span value)
{
    if (span_eq(name, SPAN("host"))) {
        p->host = value;
        p->has_host = true;
    } else if (span_eq(name, SPAN("expect"))) {
        p->expect = value;
    } else if (span_eq(name, SPAN("content-length"))) {
        p->length = value;
    }
}

/* Cuts the fields that were kept into the server's header array. */
void h2_cut_fields(struct conn *c, struct http_head *head, struct h2_pseudo *p)
{
    struct span rest = buf_span(&c->h2->fields), name, value;
    head->headers = c->server->head->header;
    while (next_field(&rest, &name, &value)) {
        if (name.n && name.p[0] == ':') {
            note_pseudo(p, name, value);
            continue;
        }
        note_plain(p, name, value);
        head->headers[head->headers_n++] = (struct header){name, span_trim(value)};
    }
}

/* Who is asked: OK, BAD_REQUEST (answered 400), BAD_FRAMING (malformed: the stream is reset). */
static enum err judge_authority(const struct h2_pseudo *p, struct http_head *head, const char **why)
{
    struct span port = span_eq(p->scheme, SPAN("https")) ? SPAN("443") : SPAN("80");
    if ((p->has_authority && !h1_is_host(p->authority)) || (p->has_host && !h1_is_host(p->host)))
        return ERR_BAD_FRAMING;
    if (p->has_authority && p->has_host && !h1_is_same_host(p->authority, p->host, port))
        return ERR_BAD_FRAMING;
    head->authority = p->has_authority ? p->authority : p->host;
    if (!head->authority.n)
        *why = "neither :authority nor Host";
    return head->authority.n ? ERR_OK : ERR_BAD_REQUEST;
}

static enum err judge_path(const struct h2_pseudo *p, struct http_head *head, const char **why)
{
    head->target = p->path;
    if (!p->path.n || (p->path.p[0] != '/' && !span_eq(p->path, SPAN("*"))))
        return ERR_BAD_FRAMING;
    return h1_read_target(head, why);
}

enum err h2_judge_head(const struct h2_pseudo *p, struct http_head *head, const char **why)
{
    head->version = 20;
    if (h1_read_method(p->method, head, why) != ERR_OK)
        return ERR_BAD_FRAMING;
    if (span_eq(p->method, SPAN("CONNECT"))) {
        *why = "this is not a proxy: CONNECT is not offered";
        return ERR_NOT_IMPLEMENTED;
    }
    if (!span_eq(p->scheme, SPAN("http")) && !span_eq(p->scheme, SPAN("https")))
        return ERR_BAD_FRAMING;
    enum err e = judge_path(p, head, why);
    if (!e)
        e = judge_authority(p, head, why);
    if (!e && p->expect.n && !span_eq_nocase(p->expect, SPAN("100-continue")))
        e = ERR_BAD_EXPECT;
    return e;
}
