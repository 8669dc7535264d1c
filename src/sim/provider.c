/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulated provider: a stream handler over http/server that decodes with the dialect's client side and answers with its writers, so
 * that every dialect is simulated by the same code. It knows nothing of the gateway.
 *
 *   on_request -> page | model list | fault instead of an answer | decode -> sim_answer_make -> sim_reply_start (reply.c)
 */
#include "sim/provider.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/json.h"
#include "sim/provider_private.h"
#include "sim/random.h"

#define BODY_BYTES_MAX (64u * MIB)
#define ERROR_HEADERS_MAX 20u

static const char *const model_names[] = {"gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "text-embedding-3-small", "text-embedding-3-large"};

static bool is_azure(const struct sim_provider *p) { return strcmp(p->o.dialect->name, "azure-openai") == 0; }

/* ---- headers ---- */

/* As OpenAI and Azure send them; the limits are high and stay as they are. OpenAI writes resets as durations, Azure as seconds. */
unsigned sim_provider_headers(struct sim_provider *p, struct arena *a, struct header *out, unsigned max, uint64_t waited_ns)
{
    bool azure = is_azure(p);
    uint64_t nth = ++p->answers_named;
    struct span id = arena_printf(a, "req_%016llx%08llx", (unsigned long long)(p->o.seed * UINT64_C(0x9e3779b97f4a7c15) ^ nth), (unsigned long long)nth);
    const struct header all[] = {
        {SPAN("x-request-id"), id},
        {SPAN("openai-processing-ms"), arena_printf(a, "%llu", (unsigned long long)(waited_ns / NS_PER_MS))},
        {SPAN("openai-version"), SPAN("2020-10-01")},
        {SPAN("x-ratelimit-limit-requests"), SPAN("10000")},
        {SPAN("x-ratelimit-remaining-requests"), SPAN("9999")},
        {SPAN("x-ratelimit-reset-requests"), azure ? SPAN("1") : SPAN("6ms")},
        {SPAN("x-ratelimit-limit-tokens"), SPAN("30000000")},
        {SPAN("x-ratelimit-remaining-tokens"), SPAN("29999000")},
        {SPAN("x-ratelimit-reset-tokens"), azure ? SPAN("1") : SPAN("2ms")},
        {SPAN("apim-request-id"), id},
    };
    unsigned n = (unsigned)COUNT_OF(all) - (azure ? 0 : 1);
    n = n < max ? n : max;
    memcpy(out, all, n * sizeof *out);
    return n;
}

void sim_provider_error(struct sim_provider *p, struct stream *s, const struct client_error *error, const struct header *extra, unsigned extra_n)
{
    struct header headers[ERROR_HEADERS_MAX];
    struct arena arena;
    struct buf body;
    arena_init(&arena, 1024);
    buf_init(&body, LIMIT_ERROR_BODY_BYTES);
    unsigned n = sim_provider_headers(p, &arena, headers, ERROR_HEADERS_MAX - 1 - extra_n, 0);
    headers[n++] = (struct header){SPAN("content-type"), SPAN("application/json")};
    for (unsigned i = 0; i < extra_n; i++)
        headers[n++] = extra[i];
    p->o.dialect->write_error(&body, error);
    stream_reply(s, error->status ? error->status : err_status(error->error), headers, n, buf_span(&body));
    buf_fini(&body);
    arena_fini(&arena);
}

static void refuse(struct sim_provider *p, struct stream *s, const struct client_error *error)
{
    stat_add(&p->refused, 1);
    sim_provider_error(p, s, error, NULL, 0);
}

/* ---- faults instead of an answer ---- */

static void fail_rate(struct sim_provider *p, struct stream *s, const struct sim_fault *f)
{
    char seconds[24], ms[24];
    snprintf(seconds, sizeof seconds, "%llu", (unsigned long long)((f->delay_ns + NS_PER_S - 1) / NS_PER_S));
    snprintf(ms, sizeof ms, "%llu", (unsigned long long)(f->delay_ns / NS_PER_MS));
    const struct header advice[] = {{SPAN("retry-after"), span_str(seconds)}, {SPAN("retry-after-ms"), span_str(ms)}};
    const struct client_error error = {.error = ERR_PROVIDER_RATE, .status = 429, .code = "rate_limit_exceeded",
                                       .message = "Rate limit reached for requests (simulated)"};
    stat_add(&p->refused, 1);
    sim_provider_error(p, s, &error, advice, 2);
}

static void fail_html(struct sim_provider *p, struct stream *s)
{
    const struct header type = {SPAN("content-type"), SPAN("text/html")};
    stat_add(&p->refused, 1);
    stream_reply(s, 502, &type, 1, SPAN("<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"));
}

/* 200, and in it an error. */
static void fail_in_200(struct sim_provider *p, struct stream *s)
{
    const struct header type = {SPAN("content-type"), SPAN("application/json")};
    const struct client_error error = {.error = ERR_PROVIDER_FAULT, .status = 500, .message = "The server had an error (simulated)"};
    struct buf body;
    buf_init(&body, LIMIT_ERROR_BODY_BYTES);
    p->o.dialect->write_error(&body, &error);
    stat_add(&p->refused, 1);
    stream_reply(s, 200, &type, 1, buf_span(&body));
    buf_fini(&body);
}

/* True: the request has met its fault and is answered. */
static bool fails_at_once(struct sim_provider *p, struct stream *s, const struct sim_fault *f)
{
    const struct client_error quota = {.error = ERR_PROVIDER_RATE, .status = 429, .code = "insufficient_quota",
                                       .message = "You exceeded your current quota, please check your plan and billing details (simulated)"};
    const struct client_error status = {.error = ERR_PROVIDER_FAULT, .status = f->status, .message = "The server had an error (simulated)"};
    switch (f->kind) {
    case SIM_FAULT_RATE: fail_rate(p, s, f); return true;
    case SIM_FAULT_QUOTA: refuse(p, s, &quota); return true;
    case SIM_FAULT_STATUS: refuse(p, s, &status); return true;
    case SIM_FAULT_HTML: fail_html(p, s); return true;
    case SIM_FAULT_ERROR_IN_200: fail_in_200(p, s); return true;
    default: return false;
    }
}

static struct sim_fault draw_fault(struct sim_provider *p)
{
    for (unsigned i = 0; i < p->o.faults_n; i++)
        if (sim_fault_is_due(&p->faults[i], stat_read(&p->requests), &p->random))
            return p->faults[i];
    return (struct sim_fault){.kind = SIM_FAULT_NONE};
}

/* ---- pages ---- */

enum err sim_count_write_json(const char *name, const struct sim_count *c, struct buf *out)
{
    enum err e = buf_append(out, SPAN("{\"name\":"));
    e = e ? e : json_write_string(out, span_str(name));
    return e ? e
             : buf_printf(out,
                          ",\"requests\":%llu,\"answered\":%llu,\"broken\":%llu,\"refused\":%llu,\"input_tokens\":%llu,\"output_tokens\":%llu,"
                          "\"broken_input_tokens\":%llu,\"broken_output_tokens\":%llu}\n",
                          (unsigned long long)c->requests, (unsigned long long)c->answered, (unsigned long long)c->broken,
                          (unsigned long long)c->refused, (unsigned long long)c->input_tokens, (unsigned long long)c->output_tokens,
                          (unsigned long long)c->broken_input_tokens, (unsigned long long)c->broken_output_tokens);
}

static void show_count(struct sim_provider *p, struct stream *s)
{
    const struct header headers[] = {{SPAN("content-type"), SPAN("application/json")}, {SPAN("cache-control"), SPAN("no-store")}};
    struct sim_count c = sim_provider_count(p);
    struct buf body;
    buf_init(&body, 4 * KIB);
    CHECK(sim_count_write_json(p->o.name, &c, &body) == ERR_OK);
    stream_reply(s, 200, headers, 2, buf_span(&body));
    buf_fini(&body);
}

static enum err write_model(struct buf *out, struct span name)
{
    enum err e = buf_append(out, SPAN("{\"id\":"));
    e = e ? e : json_write_string(out, name);
    return e ? e : buf_append(out, SPAN(",\"object\":\"model\",\"created\":1715367049,\"owned_by\":\"sim\"}"));
}

static void show_models(struct sim_provider *p, struct stream *s, const struct route *route)
{
    const struct header type = {SPAN("content-type"), SPAN("application/json")};
    struct buf body;
    buf_init(&body, 64 * KIB);
    enum err e = route->kind == ROUTE_MODEL ? write_model(&body, route->model) : buf_append(&body, SPAN("{\"object\":\"list\",\"data\":["));
    for (unsigned i = 0; route->kind == ROUTE_MODELS && i < COUNT_OF(model_names) && !e; i++) {
        e = i ? buf_append(&body, SPAN(",")) : ERR_OK;
        e = e ? e : write_model(&body, span_str(model_names[i]));
    }
    if (!e && route->kind == ROUTE_MODELS)
        e = buf_append(&body, SPAN("]}"));
    CHECK(e == ERR_OK);
    stream_reply(s, 200, &type, 1, buf_span(&body));
    buf_fini(&body);
}

/* ---- requests ---- */

/* Is this one of the dialect's own paths? Azure's stand under /openai/, the older ones with an api-version; nobody else's do. */
static bool is_own_path(const struct sim_provider *p, const struct http_head *head, const struct route *route)
{
    struct span version;
    bool under_openai = span_starts(head->path, SPAN("/openai/"));
    if (!is_azure(p))
        return route->dialect == p->o.dialect && !under_openai;
    if (!under_openai || span_starts(head->path, SPAN("/openai/v1/")))
        return under_openai;
    return http_query_get(head->query, SPAN("api-version"), &version) && version.n;
}

static bool is_known_key(const struct sim_provider *p, const struct http_head *head)
{
    struct span key = dialect_client_key(head), wanted = span_str(p->o.secret);
    return !wanted.p || (key.n == wanted.n && digest_equal((const uint8_t *)key.p, (const uint8_t *)wanted.p, wanted.n));
}

static struct sim_reply *reply_new(struct sim_provider *p, struct stream *s, const struct route *route)
{
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    struct sim_reply *r = ARENA_NEW(&arena, struct sim_reply);
    r->magic = SIM_REPLY_MAGIC;
    r->provider = p;
    r->stream = s;
    r->dialect = p->o.dialect;
    r->api = route->api;
    r->arena = arena;
    list_push_back(&p->replies, &r->link);
    stream_base(s)->user = r;
    return r;
}

static void reply_drop(struct sim_reply *r)
{
    stream_base(r->stream)->user = NULL;
    list_remove(&r->link);
    struct arena arena = r->arena;
    arena_fini(&arena);
}

/* What the request asks for and what will be answered. */
static enum err understand(struct sim_reply *r, const struct route *route, struct complaint *why)
{
    struct sim_provider *p = r->provider;
    struct span body = arena_dup(&r->arena, stream_body(r->stream)); /* spans of the request borrow it */
    const struct sim_answer_options o = {.seed = p->o.seed, .output_tokens = p->o.output_tokens};
    neutral_request_init(&r->request, &r->arena);
    enum err e = r->dialect->decode_request(&r->arena, r->api, body, &r->request, why);
    if (e)
        return e;
    if (route->deployment.n)
        r->request.model = arena_dup(&r->arena, route->deployment);
    e = sim_answer_make(&r->request, &o, &r->answer, why);
    if (!e)
        stream_release_body(r->stream);
    return e;
}

static void prepare_writer(struct sim_reply *r)
{
    struct sim_provider *p = r->provider;
    const char *prefix = r->api == API_OPENAI_CHAT ? "chatcmpl-" : "cmpl-";
    uint64_t random = p->o.seed ^ stat_read(&p->requests);
    neutral_writer_init(&r->writer, &r->arena);
    r->writer.id = arena_printf(&r->arena, "%s%016llx%08llx", prefix, (unsigned long long)random_split(&random), (unsigned long long)stat_read(&p->requests));
    r->writer.model = r->request.model;
    r->writer.created = (struct neutral_int){true, loop_wall_us(p->loop) / 1000000};
    r->writer.wants_usage = r->request.stream_usage == NEUTRAL_YES;
    r->writer.encoding = r->request.encoding;
}

static void answer(struct sim_provider *p, struct stream *s, const struct route *route, struct sim_fault fault)
{
    struct complaint why = {.error = ERR_OK};
    struct sim_reply *r = reply_new(p, s, route);
    enum err e = understand(r, route, &why);
    if (e) {
        const struct client_error error = {.error = e, .status = 400, .message = why.message[0] ? why.message : NULL,
                                           .param = why.param[0] ? why.param : NULL};
        reply_drop(r);
        refuse(p, s, &error);
        return;
    }
    r->fault = fault;
    prepare_writer(r);
    sim_reply_start(r);
}

static void take_request(struct sim_provider *p, struct stream *s, const struct route *route)
{
    const struct http_head *head = &stream_base(s)->head;
    const struct client_error bad_key = {.error = ERR_BAD_KEY, .status = 401, .message = "Incorrect API key provided (simulated)"};
    const struct client_error bad_method = {.error = ERR_BAD_METHOD, .status = 405};
    stat_add(&p->requests, 1);
    if (!is_known_key(p, head)) {
        refuse(p, s, &bad_key);
        return;
    }
    if (head->method != HTTP_POST) {
        refuse(p, s, &bad_method);
        return;
    }
    struct sim_fault fault = draw_fault(p);
    if (!fails_at_once(p, s, &fault))
        answer(p, s, route, fault);
}

static void on_request(void *owner, struct stream *s)
{
    struct sim_provider *p = owner;
    const struct http_head *head = &stream_base(s)->head;
    const struct client_error not_found = {.error = ERR_NOT_FOUND, .status = 404};
    struct arena arena;
    struct route route;
    CHECK_MAGIC(p, SIM_PROVIDER_MAGIC);
    arena_init(&arena, 512);
    bool known = dialect_route(&arena, head, &route) && is_own_path(p, head, &route);
    if (p->dead)
        stream_break(s);
    else if (span_eq(head->path, SPAN("/sim/count")))
        show_count(p, s);
    else if (known && (route.kind == ROUTE_MODELS || route.kind == ROUTE_MODEL))
        show_models(p, s, &route);
    else if (known && route.kind == ROUTE_API)
        take_request(p, s, &route);
    else
        sim_provider_error(p, s, &not_found, NULL, 0);
    arena_fini(&arena);
}

static enum err on_head(void *owner, struct stream *s, uint64_t *body_limit)
{
    *body_limit = BODY_BYTES_MAX;
    return ERR_OK;
}

/* A reply that is through with its stream has taken itself off it. */
static void on_writable(void *user, struct stream *s)
{
    if (user)
        sim_reply_on_writable(user);
}

static void on_abort(void *user, struct stream *s, enum err why)
{
    if (user)
        sim_reply_on_abort(user);
}

static void error_body(void *owner, struct span path, enum err e, const char *detail, struct buf *out, struct span *ret_type)
{
    const struct sim_provider *p = owner;
    const struct client_error error = {.error = e, .message = detail};
    p->o.dialect->write_error(out, &error);
    *ret_type = SPAN("application/json");
}

static const struct stream_handler handler = {
    .on_head = on_head, .on_request = on_request, .on_writable = on_writable, .on_abort = on_abort, .error_body = error_body,
};

/* ---- life ---- */

struct sim_provider *sim_provider_new(struct loop *l, const struct sim_provider_options *o)
{
    struct sim_provider *p = calloc(1, sizeof *p);
    CHECK(p != NULL && o->dialect != NULL);
    p->magic = SIM_PROVIDER_MAGIC;
    p->loop = l;
    p->o = *o;
    p->o.name = o->name ? o->name : "sim";
    p->o.tokens_per_chunk = o->tokens_per_chunk ? o->tokens_per_chunk : 1;
    p->address = o->listen;
    p->random = o->seed;
    list_init(&p->replies);
    p->faults = calloc(o->faults_n ? o->faults_n : 1, sizeof *p->faults);
    CHECK(p->faults != NULL);
    if (o->faults_n)
        memcpy(p->faults, o->faults, o->faults_n * sizeof *p->faults);
    return p;
}

enum err sim_provider_listen(struct sim_provider *p, const char **ret_why)
{
    const struct server_options o = {.handler = &handler, .owner = p, .body_max = BODY_BYTES_MAX, .server_name = "sim"};
    struct server *fresh = server_new(p->loop, &o);
    enum err e = server_listen(fresh, &p->address, NULL, ret_why);
    if (e) {
        server_free(fresh);
        return e;
    }
    server_free(p->server);
    p->server = fresh;
    p->address = server_address(fresh, 0);
    p->dead = false;
    return ERR_OK;
}

struct sock_address sim_provider_address(const struct sim_provider *p) { return p->address; }

struct sim_count sim_provider_count(const struct sim_provider *p)
{
    return (struct sim_count){
        .requests = stat_read(&p->requests),
        .answered = stat_read(&p->answered),
        .broken = stat_read(&p->broken),
        .refused = stat_read(&p->refused),
        .input_tokens = stat_read(&p->input_tokens),
        .output_tokens = stat_read(&p->output_tokens),
        .broken_input_tokens = stat_read(&p->broken_input_tokens),
        .broken_output_tokens = stat_read(&p->broken_output_tokens),
    };
}

void sim_provider_kill(struct sim_provider *p)
{
    CHECK_MAGIC(p, SIM_PROVIDER_MAGIC);
    if (p->dead || !p->server)
        return;
    p->dead = true;
    LIST_FOR_EACH_SAFE(at, &p->replies)
        sim_reply_kill(CONTAINER_OF(at, struct sim_reply, link));
    server_drain(p->server); /* closes the listener and idle connections; the others when they have flushed what was produced */
}

enum err sim_provider_revive(struct sim_provider *p, const char **ret_why) { return sim_provider_listen(p, ret_why); }

void sim_provider_free(struct sim_provider *p)
{
    if (!p)
        return;
    CHECK_MAGIC(p, SIM_PROVIDER_MAGIC);
    server_free(p->server); /* replies under way end by on_abort */
    CHECK(list_is_empty(&p->replies));
    free(p->faults);
    p->magic = 0;
    free(p);
}
