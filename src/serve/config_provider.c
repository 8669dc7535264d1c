/* SPDX-License-Identifier: Apache-2.0
 *
 * `providers:` of a config, to struct provider with its origin. A provider with a mistake is still listed under its name, so that the
 * models that use it are not told wrong, too.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "http/proxy.h"
#include "serve/config_read.h"
#include "serve/config_url.h"

#define PROVIDERS_MAX 1000u
#define HEADERS_MAX 32u
#define HEADER_BYTES_MAX 8192u
#define IDLE_TIMEOUT_NS (55 * NS_PER_S) /* under the minute after which many clouds close */

struct provider_timeouts {
    uint64_t connect_ns, first_byte_ns, idle_ns, total_ns;
};

struct provider_tls {
    const struct node *at; /* NULL: not said */
    const char *ca, *cert, *key;
    bool insecure;
};

struct provider_draft {
    struct provider *provider;
    const struct dialect *dialect;
    struct url url;
    bool has_url;
    struct span credential;
    const char *region, *api_version;
    int http;
    struct provider_timeouts timeouts;
    bool ask_usage;
    int abandoned; /* of abandoned_words */
    struct provider_tls tls;
    const struct node *proxy_at; /* NULL: as the environment says */
    struct client_proxy proxy;
    unsigned connections;
};

/* ---- single values ---- */

static const struct { const char *name, *hint; } dialects_to_come[] = {
    {"anthropic", ""}, {"gemini", ""}, {"vertex", ""}, {"bedrock", ""}, {"oci", ""},
    {"mistral", "; Mistral answers to openai, too, with `ask_usage: false`"},
    {"xai", "; xAI answers to openai, too"},
    {"ollama", "; Ollama answers to openai, too, at http://HOST:11434/v1"},
};

static const char *dialect_names(char *out, size_t bytes)
{
    const struct dialect *dialect;
    out[0] = '\0';
    for (unsigned i = 0; (dialect = dialect_nth(i)); i++)
        snprintf(out + strlen(out), bytes - strlen(out), "%s%s", i ? ", " : "", dialect->name);
    return out;
}

static void tell_dialect(struct reading *r, const struct node *n)
{
    char names[256];
    struct nearest near;
    const struct dialect *dialect;
    dialect_names(names, sizeof names);
    for (size_t i = 0; i < COUNT_OF(dialects_to_come); i++)
        if (span_eq(n->text, span_str(dialects_to_come[i].name))) {
            config_error(r->errors, n, "the dialect \"%s\" is not in this version; it has: %s%s", n->text.p, names, dialects_to_come[i].hint);
            return;
        }
    nearest_init(&near, n->text);
    for (unsigned i = 0; (dialect = dialect_nth(i)); i++)
        nearest_offer(&near, dialect->name);
    if (near.best)
        config_error(r->errors, n, "unknown dialect \"%.60s\": did you mean \"%s\"?", n->text.p, near.best);
    else
        config_error(r->errors, n, "unknown dialect \"%.60s\"; there are: %s", n->text.p, names);
}

static void read_dialect(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct provider_draft *draft = into;
    if (!check_scalar(r, f, n))
        return;
    draft->dialect = dialect_find(n->text);
    if (!draft->dialect)
        tell_dialect(r, n);
}

static void read_url(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct provider_draft *draft = into;
    const char *wrong = check_scalar(r, f, n) ? url_parse(r->arena, n->text, &draft->url) : "";
    draft->has_url = wrong == NULL;
    if (wrong && *wrong)
        config_error(r->errors, n, "this URL %s", wrong);
}

static void read_tls(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct provider_draft *draft = into;
    draft->tls.at = n;
    read_section(r, f->section, n, &draft->tls);
    if (!draft->tls.cert != !draft->tls.key)
        config_error(r->errors, n, "a client certificate needs both \"cert\" and \"key\"");
}

/* A proxy that the file names is used for whatever host the provider has, also for one that the environment's list would exempt. */
static void parse_proxy(struct reading *r, const struct node *n, struct span url, struct provider_draft *draft)
{
    const char *why = "", *text = arena_strdup(r->arena, url);
    struct client_proxy_env env = {.https_proxy = text};
    if (client_proxy_from_env(r->arena, true, "any.invalid", 443, &env, &draft->proxy, &why) != ERR_OK)
        config_error(r->errors, n, "this proxy cannot be used: %s", why);
    digest_wipe((void *)(uintptr_t)text, url.n);
}

static void read_proxy(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct provider_draft *draft = into;
    char text[SECRET_BYTES_MAX];
    if (!check_scalar(r, f, n))
        return;
    draft->proxy_at = n;
    if (is_reference(n->text)) {
        long bytes = read_reference(r, n, n->text, text, sizeof text);
        if (bytes > 0)
            parse_proxy(r, n, span_of(text, (size_t)bytes), draft);
        digest_wipe(text, sizeof text);
    } else if (span_find(n->text, '@') >= 0) {
        config_error(r->errors, n, "a proxy's user and password must not be written into this file: write env:NAME or file:PATH here");
    } else if (!span_eq(n->text, SPAN("none"))) {
        parse_proxy(r, n, n->text, draft);
    }
}

/* ---- headers ---- */

static const char *const headers_of_http[] = {
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer", "expect", "content-type",
    "content-encoding", "accept-encoding", "proxy-authorization", "proxy-connection",
};
static const char *const headers_with_secrets[] = {"authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"};

static bool is_among(const char *const *words, size_t n, struct span word)
{
    for (size_t i = 0; i < n; i++)
        if (span_eq(span_str(words[i]), word))
            return true;
    return false;
}

static struct span lower_case(struct arena *a, struct span text)
{
    char *lower = arena_strdup(a, text);
    for (char *at = lower; *at; at++)
        *at = *at >= 'A' && *at <= 'Z' ? (char)(*at + 32) : *at;
    return span_of(lower, text.n);
}

static bool is_header_name(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", name.p[i]))
            return false;
    return name.n > 0 && name.n <= 128;
}

static bool check_header_name(struct reading *r, const struct provider *p, const struct node *key, struct span name)
{
    const char *wrong = NULL;
    if (!is_header_name(name))
        wrong = "is no valid name of a header";
    else if (is_among(headers_of_http, COUNT_OF(headers_of_http), name))
        wrong = "is a header that the gateway sets itself: remove it";
    for (unsigned i = 0; i < p->extra_headers_n && !wrong; i++)
        if (span_eq(p->extra_headers[i].name, name))
            wrong = "is a header that stands here twice";
    if (wrong)
        config_error(r->errors, key, "\"%.60s\" %s", key->text.p, wrong);
    return !wrong;
}

static struct span read_header_value(struct reading *r, const struct node *value, struct span name)
{
    char text[SECRET_BYTES_MAX];
    struct span kept = SPAN_NONE;
    if (!check_text(r, value, "a header's value", HEADER_BYTES_MAX))
        return kept;
    if (is_reference(value->text)) {
        long bytes = read_reference(r, value, value->text, text, HEADER_BYTES_MAX);
        kept = bytes > 0 ? arena_dup(r->arena, span_of(text, (size_t)bytes)) : kept;
        digest_wipe(text, sizeof text);
    } else if (is_among(headers_with_secrets, COUNT_OF(headers_with_secrets), name)) {
        config_error(r->errors, value, "the header \"%s\" carries a secret, which must not be written into this file: write env:NAME or file:PATH here",
                     name.p);
    } else {
        kept = arena_dup(r->arena, span_trim(value->text));
    }
    return kept;
}

static void read_headers(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct provider *p = ((struct provider_draft *)into)->provider;
    if (n->kind != NODE_MAP || n->items_n > HEADERS_MAX) {
        config_error(r->errors, n, "\"headers\" must be a map of at most %u names to values", HEADERS_MAX);
        return;
    }
    p->extra_headers = ARENA_ARRAY(r->arena, struct header, n->items_n);
    for (const struct node_item *item = n->items; item; item = item->next) {
        struct span name = lower_case(r->arena, item->key->text);
        if (check_header_name(r, p, item->key, name))
            p->extra_headers[p->extra_headers_n++] = (struct header){name, read_header_value(r, item->value, name)};
    }
}

/* ---- the tables ---- */

#define TIMEOUT(field, member, text, words) \
    {.name = field, .type = "duration", .standard = text, .doc = words, \
     .read = read_duration, .offset = offsetof(struct provider_timeouts, member), .min = NS_PER_MS, .max = 86400 * NS_PER_S}
static const struct field timeout_fields[] = {
    TIMEOUT("connect", connect_ns, "(timeouts.connect)", "looking up the name, connecting and TLS together"),
    TIMEOUT("first_byte", first_byte_ns, "(timeouts.first_byte)", "from the request's last byte to the answer's first"),
    TIMEOUT("idle", idle_ns, "(timeouts.idle)", "silence inside an answer"),
    TIMEOUT("total", total_ns, "(timeouts.total)", "from the request to the last byte of the answer, all attempts together"),
};
static const struct section timeout_section = SECTION("a provider's timeouts", timeout_fields);

#define AT(member) .offset = offsetof(struct provider_tls, member)
static const struct field tls_fields[] = {
    {.name = "ca", .type = "path", .standard = "(the system's)",
     .doc = "certificates, PEM, that may sign the provider's",
     .read = read_path, AT(ca)},
    {.name = "insecure", .type = "true or false", .standard = "false",
     .doc = "accept any certificate: for tests only",
     .read = read_bool, AT(insecure)},
    {.name = "cert", .type = "path", .standard = "",
     .doc = "our certificate, PEM, where the provider asks for one",
     .read = read_path, AT(cert)},
    {.name = "key", .type = "path", .standard = "", .doc = "the private key of `cert`", .read = read_path, AT(key)},
};
#undef AT
static const struct section tls_section = SECTION("a provider's tls", tls_fields);

static const char *const abandoned_words[] = {[ABANDONED_CANCEL] = "cancel", [ABANDONED_DRAIN] = "drain", NULL};
static const char *const http_words[] = {[ORIGIN_AUTO] = "auto", [ORIGIN_H1] = "1", [ORIGIN_H2] = "2", NULL};

#define AT(member) .offset = offsetof(struct provider_draft, member)
static const struct field provider_fields[] = {
    {.name = "dialect", .type = "a name", .standard = REQUIRED,
     .doc = "how the provider speaks: openai or azure-openai",
     .read = read_dialect},
    {.name = "url", .type = "URL", .standard = REQUIRED, .doc = "where the provider is, e.g. https://api.openai.com/v1", .read = read_url},
    {.name = "credential", .type = "env:NAME or file:PATH", .standard = "",
     .doc = "the secret that the provider asks for",
     .read = read_secret, AT(credential)},
    {.name = "region", .type = "text", .standard = "", .doc = "where the provider computes", .read = read_text, AT(region)},
    {.name = "api_version", .type = "text", .standard = "",
     .doc = "of azure-openai: the dated version; without it the /openai/v1 paths",
     .read = read_text, AT(api_version)},
    {.name = "http", .type = "auto, 1 or 2", .standard = "auto",
     .doc = "the version of HTTP; auto: 2 where TLS offers it, else 1.1",
     .read = read_word, AT(http), .words = http_words},
    {.name = "ask_usage", .type = "true or false", .standard = "true",
     .doc = "ask streams for their usage; false where that is refused",
     .read = read_bool, AT(ask_usage)},
    {.name = "abandoned", .type = "cancel or drain", .standard = "cancel",
     .doc = "a client that left: end its call, or read the answer to its end for the provider's own figure",
     .read = read_word, AT(abandoned), .words = abandoned_words},
    {.name = "headers", .type = "map", .standard = "",
     .doc = "headers for each request; a value may be env:NAME or file:PATH",
     .read = read_headers},
    {.name = "timeouts", .type = "section", .standard = "",
     .doc = "where this provider differs from `timeouts`",
     .read = read_inner, AT(timeouts), .section = &timeout_section, .shape = SHAPE_SECTION},
    {.name = "tls", .type = "section", .standard = "(not said)",
     .doc = "of an https URL: certificates",
     .read = read_tls, .section = &tls_section, .shape = SHAPE_SECTION},
    {.name = "proxy", .type = "URL, env:NAME, file:PATH or none", .standard = "(by HTTPS_PROXY, NO_PROXY)",
     .doc = "the HTTP proxy on the way",
     .read = read_proxy},
    {.name = "connections", .type = "number", .standard = "10000",
     .doc = "at once, per worker; of HTTP/1.1 each carries one request",
     .read = read_count, AT(connections), .min = 1, .max = 65535},
};
#undef AT
const struct section provider_section = SECTION("a provider", provider_fields);

/* ---- TLS contexts: one for each kind of trust, not for each provider; loading the system's certificates takes 20 ms and 4 MB ---- */

struct tls_cache {
    struct tls_cache *next;
    struct tls_client_options options;
    struct tls_context *context;
};

void tls_cache_free(struct tls_cache *cache)
{
    while (cache) {
        struct tls_cache *next = cache->next;
        tls_context_unref(cache->context);
        free(cache);
        cache = next;
    }
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_options(const struct tls_client_options *a, const struct tls_client_options *b)
{
    return a->verify == b->verify && a->offer_h2 == b->offer_h2 && same_text(a->ca_file, b->ca_file) && same_text(a->cert_file, b->cert_file) &&
           same_text(a->key_file, b->key_file);
}

static struct tls_context *context_for(struct reading *r, const struct tls_client_options *options, const struct node *at)
{
    char why[256] = "";
    struct tls_context *context;
    for (struct tls_cache *cache = r->tls; cache; cache = cache->next)
        if (same_options(&cache->options, options))
            return tls_context_ref(cache->context);
    if (tls_client_context(options, &context, why) != ERR_OK) {
        config_error(r->errors, at, "TLS cannot be set up: %s", why);
        return NULL;
    }
    struct tls_cache *cache = calloc(1, sizeof *cache);
    CHECK(cache != NULL);
    *cache = (struct tls_cache){r->tls, *options, context};
    r->tls = cache;
    return tls_context_ref(context);
}

/* ---- from the draft to the provider ---- */

static const char *env_either(const struct reading *r, const char *name, const char *other)
{
    const char *value = config_env(r, name);
    return value && *value ? value : config_env(r, other);
}

static void proxy_from_environment(struct reading *r, struct provider_draft *draft, const struct node *name)
{
    const struct url *url = &draft->url;
    const char *why = "";
    struct client_proxy_env env = {
        .https_proxy = env_either(r, "HTTPS_PROXY", "https_proxy"), .http_proxy = env_either(r, "http_proxy", "HTTP_PROXY"),
        .all_proxy = env_either(r, "ALL_PROXY", "all_proxy"), .no_proxy = env_either(r, "NO_PROXY", "no_proxy")};
    if (client_proxy_from_env(r->arena, url->tls, url->host, url->port, &env, &draft->proxy, &why) != ERR_OK)
        config_error(r->errors, name, "the proxy that the environment names for it cannot be used: %s; correct the variable, or write `proxy: none` here", why);
}

static void finish_proxy(struct reading *r, struct provider_draft *draft, const struct node *name)
{
    if (!draft->has_url)
        return;
    if (draft->url.unix_path && draft->proxy.host)
        config_error(r->errors, draft->proxy_at, "a Unix socket is reached without a proxy: remove this");
    else if (!draft->url.unix_path && !draft->proxy_at)
        proxy_from_environment(r, draft, name);
}

static void finish_tls(struct reading *r, struct provider_draft *draft, const struct node *name)
{
    if (draft->has_url && !draft->url.tls && draft->tls.at)
        config_error(r->errors, draft->tls.at, "\"tls\" is of https URLs, and this provider's URL is none");
    if (!draft->has_url || !draft->url.tls || (r->world && r->world->without_tls) || !draft->tls.cert != !draft->tls.key)
        return;
    struct tls_client_options options = {.ca_file = draft->tls.ca, .verify = !draft->tls.insecure, .offer_h2 = draft->http != ORIGIN_H1,
                                         .cert_file = draft->tls.cert, .key_file = draft->tls.key};
    draft->provider->origin.tls_context = context_for(r, &options, draft->tls.at ? draft->tls.at : name);
}

static void finish_provider(const struct provider_draft *draft)
{
    struct provider *p = draft->provider;
    const struct url *url = &draft->url;
    p->dialect = draft->dialect;
    p->authority = url->authority;
    p->base_path = url->base_path;
    p->region = draft->region ? draft->region : "";
    p->api_version = span_str(draft->api_version ? draft->api_version : "");
    p->first_byte_timeout_ns = draft->timeouts.first_byte_ns;
    p->idle_timeout_ns = draft->timeouts.idle_ns;
    p->total_timeout_ns = draft->timeouts.total_ns;
    p->ask_usage = draft->ask_usage ? ASK_USAGE_YES : ASK_USAGE_NO;
    p->abandoned = draft->abandoned == ABANDONED_DRAIN ? ABANDONED_DRAIN : ABANDONED_CANCEL;
    p->origin.tls = url->tls;
    p->origin.host = url->host;
    p->origin.port = url->port;
    p->origin.unix_path = url->unix_path;
    p->origin.http = (enum origin_http)draft->http;
    p->origin.proxy_host = draft->proxy.host;
    p->origin.proxy_port = draft->proxy.port;
    p->origin.proxy_authorization = draft->proxy.authorization;
    p->origin.connections_max = draft->connections;
    p->origin.idle_timeout_ns = IDLE_TIMEOUT_NS;
    p->origin.connect_timeout_ns = draft->timeouts.connect_ns;
}

static bool is_provider_name(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!((name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= 'A' && name.p[i] <= 'Z') || (name.p[i] >= '0' && name.p[i] <= '9') ||
              (i > 0 && strchr("-_.", name.p[i]))))
            return false;
    return name.n > 0 && name.n < 48;
}

static void read_provider(struct reading *r, const struct node *name, const struct node *n)
{
    const struct config_timeouts *general = &r->config->timeouts;
    struct provider *p = ARENA_NEW(r->arena, struct provider);
    struct provider_draft draft = {
        .provider = p, .timeouts = {general->connect_ns, general->first_byte_ns, general->idle_ns, general->total_ns}};
    if (!is_provider_name(name->text))
        config_error(r->errors, name, "a provider's name has letters, digits, '-', '_' and '.', at most 47 of them, and begins with a letter or digit");
    p->index = r->catalog->providers_n;
    p->name = arena_strdup(r->arena, name->text);
    r->catalog->providers[r->catalog->providers_n++] = p; /* first: whoever frees the catalog wipes what is read from here on */
    read_section(r, &provider_section, n, &draft);
    p->credential = draft.credential;
    finish_proxy(r, &draft, name);
    finish_tls(r, &draft, name);
    finish_provider(&draft);
}

void read_providers(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (n->kind != NODE_MAP || n->items_n == 0 || n->items_n > PROVIDERS_MAX) {
        config_error(r->errors, n, "\"providers\" must be a map of 1 to %u names, e.g. local: {dialect: openai, url: http://127.0.0.1:8000/v1}", PROVIDERS_MAX);
        return;
    }
    r->catalog->providers = ARENA_ARRAY(r->arena, struct provider *, n->items_n);
    for (const struct node_item *item = n->items; item; item = item->next)
        read_provider(r, item->key, item->value);
}
