/* SPDX-License-Identifier: Apache-2.0
 *
 * How a provider of the OpenAI family is addressed. Azure has two ways: /openai/v1/…, where the body names the deployment, and the classic
 * /openai/deployments/{d}/…?api-version=. Of a client's headers nothing is forwarded; all that a provider gets is made here.
 */
#include "dialect/openai.h"

static const char *const operations[API_COUNT] = {
    [API_OPENAI_CHAT] = "/chat/completions", [API_OPENAI_COMPLETIONS] = "/completions", [API_OPENAI_EMBEDDINGS] = "/embeddings"};

static const char *operation(enum api api)
{
    return (unsigned)api < API_COUNT ? operations[api] : NULL;
}

enum err openai_endpoint_target(struct buf *out, const struct endpoint *e)
{
    const char *op = operation(e->api);
    if (!op)
        return ERR_NOT_FOUND;
    enum err error = buf_append(out, e->base_path);
    return error ? error : buf_append(out, span_str(op));
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

static enum err append_percent_encoded(struct buf *out, struct span s)
{
    static const char hex[] = "0123456789ABCDEF";
    enum err e = buf_reserve(out, 3 * s.n);
    for (size_t i = 0; !e && i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        e = is_unreserved((char)c) ? buf_append(out, span_of(s.p + i, 1))
                                   : buf_append(out, span_of((char[3]){'%', hex[c >> 4], hex[c & 15]}, 3));
    }
    return e;
}

/* Operators write the URL with or without what Azure's pages show behind the host; each piece is added where it lacks. */
static enum err append_azure_base(struct buf *out, struct span base, bool v1)
{
    if (span_ends(base, SPAN("/openai/v1")))
        base.n -= 3;
    enum err e = buf_append(out, base);
    if (!e && !span_ends(base, SPAN("/openai")))
        e = buf_append(out, SPAN("/openai"));
    return !e && v1 ? buf_append(out, SPAN("/v1")) : e;
}

static enum err append_azure_classic(struct buf *out, const struct endpoint *e)
{
    enum err error = buf_append(out, SPAN("/deployments/"));
    if (!error)
        error = append_percent_encoded(out, e->model);
    if (!error)
        error = buf_append(out, span_str(operation(e->api)));
    if (!error)
        error = buf_append(out, SPAN("?api-version="));
    return error ? error : append_percent_encoded(out, e->api_version);
}

enum err azure_endpoint_target(struct buf *out, const struct endpoint *e)
{
    if (!operation(e->api))
        return ERR_NOT_FOUND;
    enum err error = append_azure_base(out, e->base_path, e->api_version.n == 0);
    if (error)
        return error;
    return e->api_version.n ? append_azure_classic(out, e) : buf_append(out, span_str(operation(e->api)));
}

static unsigned add(struct header *out, unsigned n, unsigned max, struct span name, struct span value)
{
    if (n < max)
        out[n++] = (struct header){name, value};
    return n;
}

/* Compression delays tokens, and what is not packed need not be unpacked to be metered. */
static unsigned common_headers(const struct endpoint *e, struct header *out, unsigned n, unsigned max)
{
    n = add(out, n, max, SPAN("content-type"), SPAN("application/json"));
    n = add(out, n, max, SPAN("accept"), e->stream ? SPAN("text/event-stream, application/json") : SPAN("application/json"));
    return add(out, n, max, SPAN("accept-encoding"), SPAN("identity"));
}

static struct span bearer(struct arena *a, struct span credential)
{
    return arena_join(a, SPAN("Bearer "), credential);
}

unsigned openai_endpoint_headers(struct arena *a, const struct endpoint *e, struct header *out, unsigned max)
{
    unsigned n = 0;
    if (e->credential.n) /* one's own vLLM may have none */
        n = add(out, n, max, SPAN("authorization"), bearer(a, e->credential));
    return common_headers(e, out, n, max);
}

/* An Entra token is a JSON web token: its first part is base64 of {"… . */
static bool is_entra_token(struct span credential)
{
    return span_starts(credential, SPAN("eyJ")) && span_find(credential, '.') > 0;
}

unsigned azure_endpoint_headers(struct arena *a, const struct endpoint *e, struct header *out, unsigned max)
{
    unsigned n = 0;
    if (is_entra_token(e->credential))
        n = add(out, n, max, SPAN("authorization"), bearer(a, e->credential));
    else if (e->credential.n)
        n = add(out, n, max, SPAN("api-key"), e->credential);
    return common_headers(e, out, n, max);
}
