/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway's own pages, one function each, found by a table. Errors are in the dialect that the path suggests.
 */
#include "serve/pages.h"

#include <stdio.h>

#include "base/json.h"
#include "serve/metrics.h"

struct page_call {
    struct stream *stream;
    const struct http_head *head;
    const struct route *route;
    const struct catalog *catalog;
    const struct gateway_view *view;
};

static void reply(struct stream *s, int status, struct span type, struct span body)
{
    struct header headers[3] = {{SPAN("content-type"), type}, {SPAN("cache-control"), SPAN("no-store")}};
    unsigned n = 2;
    if (status == 503)
        headers[n++] = (struct header){SPAN("retry-after"), SPAN("1")};
    stream_reply(s, status, headers, n, body);
}

void page_error_body(void *owner, struct span path, enum err e, const char *detail, struct buf *out, struct span *ret_type)
{
    struct client_error error = {.error = e, .message = detail};
    dialect_nth(0)->write_error(out, &error); /* every dialect served so far shares OpenAI's form */
    *ret_type = SPAN("application/json");
}

static void reply_error(struct stream *s, enum err e, const char *detail)
{
    struct buf body;
    struct span type;
    buf_init(&body, LIMIT_ERROR_BODY_BYTES);
    page_error_body(NULL, stream_base(s)->head.path, e, detail, &body, &type);
    reply(s, err_status(e), type, buf_span(&body));
    buf_fini(&body);
}

static void reply_method(struct stream *s, const char *allow)
{
    struct buf body;
    struct span type;
    buf_init(&body, LIMIT_ERROR_BODY_BYTES);
    page_error_body(NULL, stream_base(s)->head.path, ERR_BAD_METHOD, NULL, &body, &type);
    struct header headers[2] = {{SPAN("content-type"), type}, {SPAN("allow"), span_str(allow)}};
    stream_reply(s, 405, headers, 2, buf_span(&body));
    buf_fini(&body);
}

static void healthz(struct page_call *p) { reply(p->stream, 200, SPAN("application/json"), SPAN("{\"status\":\"ok\"}\n")); }

/* Spooling is ready, but says so: what is answered is on a disk, only not in the books yet. */
static void readyz(struct page_call *p)
{
    struct ledger_status l = {.admitting = true};
    struct buf body;
    char why[sizeof l.why + 64] = "";
    if (p->view->ledger)
        ledger_status(p->view->ledger, &l);
    bool draining = __atomic_load_n(p->view->draining, __ATOMIC_RELAXED);
    bool ready = !draining && l.admitting && !(p->view->strict && l.state != LEDGER_OK);
    if (draining)
        snprintf(why, sizeof why, "draining");
    else if (l.state != LEDGER_OK)
        snprintf(why, sizeof why, "the ledger cannot be written: %s%s", l.why, ready ? "; records go to the spool" : "");
    else if (!p->view->ledger)
        snprintf(why, sizeof why, "durability: none: nothing is booked");
    buf_init(&body, 4096);
    enum err e = buf_printf(&body, "{\"status\":\"%s\"", !ready ? "not ready" : why[0] ? "degraded" : "ready");
    if (!e && why[0])
        e = buf_append(&body, SPAN(",\"why\":"));
    if (!e && why[0])
        e = json_write_string(&body, span_str(why));
    if (!e)
        e = buf_append(&body, SPAN("}\n"));
    reply(p->stream, ready && !e ? 200 : 503, SPAN("application/json"), buf_span(&body));
    buf_fini(&body);
}

/* May this caller see the gateway's inside? Replies by itself when not. */
static bool is_operator(struct page_call *p)
{
    struct span secret = dialect_client_key(p->head);
    if (p->catalog->has_admin_key) {
        if (catalog_is_admin(p->catalog, secret))
            return true;
        reply_error(p->stream, secret.p ? ERR_BAD_KEY : ERR_NO_KEY, "this page needs the admin key");
        return false;
    }
    struct sock_address peer = stream_peer(p->stream);
    if (sock_address_is_loopback(&peer))
        return true;
    reply_error(p->stream, ERR_FORBIDDEN, "without an admin key in config this page is shown to callers on loopback only");
    return false;
}

/* A page of numbers for operators. */
static void tell_numbers(struct page_call *p, enum err (*write_numbers)(const struct gateway_view *v, const struct catalog *c, int64_t now_us, struct buf *out), struct span type)
{
    struct buf out;
    if (!is_operator(p))
        return;
    buf_init(&out, 64u * MIB);
    enum err e = write_numbers(p->view, p->catalog, loop_wall_us(stream_base(p->stream)->loop), &out);
    if (e)
        reply_error(p->stream, e, NULL);
    else
        reply(p->stream, 200, type, buf_span(&out));
    buf_fini(&out);
}

static void metrics(struct page_call *p) { tell_numbers(p, metrics_write, SPAN("text/plain; version=0.0.4; charset=utf-8")); }

static void status(struct page_call *p) { tell_numbers(p, metrics_write_status, SPAN("application/json")); }

/* ---- the list of models ---- */

static enum err write_model(struct buf *out, struct span name)
{
    enum err e = buf_append(out, SPAN("{\"id\":"));
    if (!e)
        e = json_write_string(out, name);
    return e ? e : buf_append(out, SPAN(",\"object\":\"model\",\"created\":0,\"owned_by\":\"entente\"}"));
}

static bool is_shown(const struct key *k, const struct model *m) { return span_find(m->name, '*') < 0 && key_may_ask(k, m->name); }

static enum err write_models(struct buf *out, const struct catalog *c, const struct key *k)
{
    enum err e = buf_append(out, SPAN("{\"object\":\"list\",\"data\":["));
    bool first = true;
    for (unsigned i = 0; i < c->models_n && !e; i++) {
        if (!is_shown(k, &c->models[i]))
            continue;
        e = first ? ERR_OK : buf_append(out, SPAN(","));
        e = e ? e : write_model(out, c->models[i].name);
        first = false;
    }
    return e ? e : buf_append(out, SPAN("]}"));
}

static void models(struct page_call *p)
{
    const struct key *key;
    struct buf out;
    enum err e = catalog_key(p->catalog, dialect_client_key(p->head), &key);
    if (e) {
        reply_error(p->stream, e, NULL);
        return;
    }
    buf_init(&out, 16u * MIB);
    const struct model *m = p->route->kind == ROUTE_MODEL ? catalog_model(p->catalog, p->route->model) : NULL;
    if (p->route->kind == ROUTE_MODEL)
        e = m && is_shown(key, m) ? write_model(&out, m->name) : ERR_UNKNOWN_MODEL;
    else
        e = write_models(&out, p->catalog, key);
    if (e)
        reply_error(p->stream, e, NULL);
    else
        reply(p->stream, 200, SPAN("application/json"), buf_span(&out));
    buf_fini(&out);
}

static const struct {
    const char *path;
    void (*answer)(struct page_call *p);
} pages[] = {{"/healthz", healthz}, {"/readyz", readyz}, {"/metrics", metrics}, {"/admin/v1/status", status}};

bool page_exists(struct span path)
{
    for (unsigned i = 0; i < COUNT_OF(pages); i++)
        if (span_eq(path, span_str(pages[i].path)))
            return true;
    return false;
}

static void answer_get(struct page_call *p, void (*answer)(struct page_call *p))
{
    if (p->head->method == HTTP_GET || p->head->method == HTTP_HEAD)
        answer(p);
    else
        reply_method(p->stream, "GET, HEAD");
}

void page_answer(struct stream *s, const struct route *route, const struct catalog *c, const struct gateway_view *view)
{
    struct page_call p = {s, &stream_base(s)->head, route, c, view};
    for (unsigned i = 0; i < COUNT_OF(pages); i++)
        if (span_eq(p.head->path, span_str(pages[i].path))) {
            answer_get(&p, pages[i].answer);
            return;
        }
    if (route && (route->kind == ROUTE_MODELS || route->kind == ROUTE_MODEL))
        answer_get(&p, models);
    else if (route && route->kind == ROUTE_API)
        reply_method(s, "POST");
    else
        reply_error(s, ERR_NOT_FOUND, NULL);
}
