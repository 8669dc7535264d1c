/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of dialects and what they share: which path means what, where a client's key is, names, and the edits that let a body pass
 * to a provider of its own dialect.
 */
#include "dialect/dialect.h"

#include "dialect/openai.h"

static const struct dialect *const dialects[] = {&dialect_openai, &dialect_azure_openai};

const struct dialect *dialect_find(struct span name)
{
    for (unsigned i = 0; i < COUNT_OF(dialects); i++)
        if (span_eq(name, span_str(dialects[i]->name)))
            return dialects[i];
    return NULL;
}

const struct dialect *dialect_nth(unsigned i)
{
    return i < COUNT_OF(dialects) ? dialects[i] : NULL;
}

/* ---- names ---- */

static const struct {
    const char *name, *operation;
} apis[API_COUNT] = {
    [API_NONE] = {"none", "none"},
    [API_OPENAI_CHAT] = {"chat", "chat"},
    [API_OPENAI_COMPLETIONS] = {"completions", "text_completion"},
    [API_OPENAI_EMBEDDINGS] = {"embeddings", "embeddings"},
};

const char *api_name(enum api a)
{
    return apis[(unsigned)a < API_COUNT ? a : API_NONE].name;
}

const char *api_operation(enum api a)
{
    return apis[(unsigned)a < API_COUNT ? a : API_NONE].operation;
}

/* Another try at the same provider helps when it was only busy or unwell. Elsewhere helps also against what is wrong between us and this
 * provider: our key, our quota, a deployment that is not there. A wrong request stays wrong, and a filter is not to be shopped around. */
static const struct {
    const char *name;
    bool here, elsewhere;
} classes[] = {
    [PROVIDER_ERROR_NONE] = {"none", false, false},
    [PROVIDER_ERROR_REQUEST] = {"request", false, false},
    [PROVIDER_ERROR_CONTEXT] = {"context", false, false},
    [PROVIDER_ERROR_FILTER] = {"filter", false, false},
    [PROVIDER_ERROR_CREDENTIAL] = {"credential", false, true},
    [PROVIDER_ERROR_NOT_FOUND] = {"not_found", false, true},
    [PROVIDER_ERROR_RATE] = {"rate", true, true},
    [PROVIDER_ERROR_QUOTA] = {"quota", false, true},
    [PROVIDER_ERROR_OVERLOAD] = {"overload", true, true},
    [PROVIDER_ERROR_TIMEOUT] = {"timeout", true, true},
    [PROVIDER_ERROR_FAULT] = {"fault", true, true},
};

bool provider_error_retry_here(const struct provider_error *e)
{
    return (unsigned)e->class < COUNT_OF(classes) && classes[e->class].here && e->should_retry != NEUTRAL_NO;
}

bool provider_error_retry_elsewhere(const struct provider_error *e)
{
    return (unsigned)e->class < COUNT_OF(classes) && classes[e->class].elsewhere;
}

const char *provider_error_name(enum provider_error_class c)
{
    return (unsigned)c < COUNT_OF(classes) ? classes[c].name : "?";
}

void answer_notes_init(struct answer_notes *n, struct arena *arena)
{
    *n = (struct answer_notes){.usage = usage_unknown(), .arena = arena, .provider_cost_nano = -1};
}

/* ---- routes ---- */

#define SEGMENTS_MAX 24u

struct segments {
    struct span s[SEGMENTS_MAX];
    unsigned n;
};

/* Doubled and trailing slashes vanish. False when there are more than anybody needs. */
static bool split_path(struct span path, struct segments *ret)
{
    ret->n = 0;
    while (path.p) {
        struct span one = span_cut(&path, '/');
        if (one.n == 0)
            continue;
        if (ret->n == SEGMENTS_MAX)
            return false;
        ret->s[ret->n++] = one;
    }
    return true;
}

/* The segment that is `back` before the last; empty when there is none. */
static struct span segment(const struct segments *s, unsigned back)
{
    return back < s->n ? s->s[s->n - 1 - back] : SPAN("");
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* Percent-decodes; what is no escape stays as it is. */
static struct span decode_segment(struct arena *a, struct span s)
{
    if (span_find(s, '%') < 0)
        return s;
    char *out = arena_alloc(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int high = s.p[i] == '%' && i + 2 < s.n ? hex_value(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex_value(s.p[i + 2]) : -1;
        out[n++] = low >= 0 ? (char)(high << 4 | low) : s.p[i];
        i += low >= 0 ? 2 : 0;
    }
    return span_of(out, n);
}

/* Each operation by its last segments; Azure names some of them under /openai/deployments/{d}/. */
static const struct {
    struct span last, before; /* before: the segment in front that must be there, or empty */
    enum api api;
} operations[] = {
    {{"completions", 11}, {"chat", 4}, API_OPENAI_CHAT},
    {{"completions", 11}, {"", 0}, API_OPENAI_COMPLETIONS},
    {{"embeddings", 10}, {"", 0}, API_OPENAI_EMBEDDINGS},
};

static bool route_operation(struct arena *a, const struct segments *s, struct route *r)
{
    for (unsigned i = 0; i < COUNT_OF(operations); i++) {
        unsigned width = operations[i].before.n ? 2 : 1;
        struct span front = segment(s, width);
        if (!span_eq(segment(s, 0), operations[i].last) || (width == 2 && !span_eq(segment(s, 1), operations[i].before)))
            continue;
        if (span_eq(front, SPAN("fim"))) /* /v1/fim/completions is Mistral's, with another answer */
            return false;
        r->api = operations[i].api;
        r->kind = ROUTE_API;
        if (span_eq(segment(s, width + 1), SPAN("deployments"))) {
            r->dialect = &dialect_azure_openai;
            r->deployment = decode_segment(a, front);
        }
        return true;
    }
    return false;
}

/* The rest of the path from the segment on, slashes included: model names may hold them. */
static struct span path_from(struct span path, struct span first)
{
    struct span rest = span_from(path, (size_t)(first.p - path.p));
    while (rest.n > 0 && rest.p[rest.n - 1] == '/')
        rest.n--;
    return rest;
}

static bool route_models(struct arena *a, struct span path, const struct segments *s, struct route *r)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (!span_eq(s->s[i], SPAN("models")))
            continue;
        if (i > 0 && span_starts(s->s[i - 1], SPAN("v1beta"))) /* Gemini's list has another shape */
            return false;
        r->kind = i + 1 == s->n ? ROUTE_MODELS : ROUTE_MODEL;
        if (r->kind == ROUTE_MODEL)
            r->model = decode_segment(a, path_from(path, s->s[i + 1]));
        return true;
    }
    return false;
}

bool dialect_route(struct arena *a, const struct http_head *head, struct route *ret)
{
    struct segments s;
    *ret = (struct route){.dialect = &dialect_openai, .api = API_NONE, .kind = ROUTE_NONE};
    if (!split_path(head->path, &s))
        return false;
    bool reads = head->method == HTTP_GET || head->method == HTTP_HEAD;
    if (reads && route_models(a, head->path, &s, ret))
        return true;
    return route_operation(a, &s, ret);
}

/* ---- keys ---- */

struct span dialect_client_key(const struct http_head *head)
{
    static const struct span names[] = {{"api-key", 7}, {"x-api-key", 9}, {"x-goog-api-key", 14}};
    struct span authorization = http_header(head, SPAN("authorization"));
    if (span_starts_nocase(authorization, SPAN("bearer "))) {
        struct span key = span_trim(span_from(authorization, 7));
        if (key.n)
            return key;
    }
    for (unsigned i = 0; i < COUNT_OF(names); i++) {
        struct span key = http_header(head, names[i]);
        if (key.n)
            return key;
    }
    return SPAN_NONE;
}

/* ---- edits ---- */

#define EDITS_MAX 3u

/* Bytes [at, end) become text. */
struct edit {
    size_t at, end;
    struct span text;
};

static struct span concat3(struct arena *a, struct span x, struct span y, struct span z)
{
    char *p = arena_alloc(a, x.n + y.n + z.n + 1);
    memcpy(p, x.p, x.n);
    memcpy(p + x.n, y.p, y.n);
    memcpy(p + x.n + y.n, z.p, z.n);
    return span_of(p, x.n + y.n + z.n);
}

static struct span quoted(struct arena *a, struct span plain)
{
    return concat3(a, SPAN("\""), neutral_escape(a, plain).raw, SPAN("\""));
}

/* Where {"include_usage":true} goes: over what was said of it, into the options, or beside them. */
static struct edit usage_edit(struct arena *a, const struct request_facts *f, struct span body)
{
    if (f->usage_end)
        return (struct edit){f->usage_at, f->usage_end, SPAN("true")};
    if (f->options_end && body.p[f->options_at] == '{') {
        size_t at = f->options_at + 1, next = at;
        while (next < f->options_end && strchr(" \t\r\n", body.p[next]))
            next++;
        bool alone = body.p[next] == '}';
        return (struct edit){at, at, alone ? SPAN("\"include_usage\":true") : SPAN("\"include_usage\":true,")};
    }
    if (f->options_end)
        return (struct edit){f->options_at, f->options_end, SPAN("{\"include_usage\":true}")};
    return (struct edit){f->open_at, f->open_at, SPAN("\"stream_options\":{\"include_usage\":true},")};
}

static void sort_edits(struct edit *e, unsigned n) /* stable: two at one place keep their order */
{
    for (unsigned i = 1; i < n; i++)
        for (unsigned j = i; j > 0 && e[j].at < e[j - 1].at; j--) {
            struct edit swap = e[j];
            e[j] = e[j - 1];
            e[j - 1] = swap;
        }
}

static unsigned apply_edits(const struct edit *e, unsigned n, struct span body, struct iovec *out)
{
    unsigned slices = 0;
    size_t at = 0;
    for (unsigned i = 0; i < n; i++) {
        if (e[i].at > at)
            out[slices++] = (struct iovec){(char *)body.p + at, e[i].at - at};
        if (e[i].text.n)
            out[slices++] = (struct iovec){(char *)e[i].text.p, e[i].text.n};
        at = e[i].end;
    }
    if (body.n > at)
        out[slices++] = (struct iovec){(char *)body.p + at, body.n - at};
    return slices;
}

unsigned dialect_edit_request(struct arena *a, const struct request_facts *facts, struct span body, struct span model, bool ask_usage,
                              struct iovec *out)
{
    struct edit edits[EDITS_MAX];
    unsigned n = 0;
    if (!facts->model_end)
        edits[n++] = (struct edit){facts->open_at, facts->open_at, concat3(a, SPAN("\"model\":"), quoted(a, model), SPAN(","))};
    else if (!facts->model.p || !span_eq(facts->model, model))
        edits[n++] = (struct edit){facts->model_at, facts->model_end, quoted(a, model)};
    if (ask_usage && !(facts->wants_usage && facts->usage_end))
        edits[n++] = usage_edit(a, facts, body);
    if (facts->body_is_empty_object && n > 0 && edits[n - 1].at == facts->open_at)
        edits[n - 1].text.n--; /* nothing follows its comma */
    sort_edits(edits, n);
    return apply_edits(edits, n, body, out);
}
