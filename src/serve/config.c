/* SPDX-License-Identifier: Apache-2.0
 *
 * The top of the config: its table, what is listened on, the checks that need the whole, and the way from a file to struct config.
 *
 * Fields are read in the order of the table, not of the file: `timeouts` before the providers that start from them, providers before the
 * models that name them. Mistakes are put in the order of the file at the end.
 */
#include "serve/config.h"

#include <sched.h>
#include <stdlib.h>

#include "base/limits.h"
#include "serve/config_price.h"
#include "serve/config_read.h"

#define LISTEN_MAX 64u

/* While a config is read: the settings, and the places that later checks talk about. */
struct draft {
    struct config config; /* copied out at the end */
    const struct node *keys, *admin;
    struct secret_digest admin_key;
};

/* ---- listen ---- */

struct listen_draft {
    struct config_listen listen;
    bool has_address;
};

static void tell_address(struct reading *r, const struct node *n)
{
    struct span port = n->text;
    uint64_t number;
    while (span_find(port, ':') >= 0)
        port = span_from(port, (size_t)span_find(port, ':') + 1);
    if (port.n < n->text.n && span_to_u64(port, &number) && number > UINT16_MAX)
        config_error(r->errors, n, "the port %.20s is out of range: ports go up to 65535", port.p);
    else
        config_error(r->errors, n, "\"%.60s\" is no address to listen on: write e.g. 127.0.0.1:8080, 0.0.0.0:8080, [::]:8080 or unix:/run/entente.sock",
                     n->text.p);
}

/* A relative path of a Unix socket is relative to the file, too. */
static struct span whole_address(struct reading *r, struct span text)
{
    if (!span_starts(text, SPAN("unix:")))
        return text;
    return arena_printf(r->arena, "unix:%s", config_path(r, span_from(text, 5)));
}

static void read_address(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct listen_draft *draft = into;
    if (!check_scalar(r, f, n))
        return;
    draft->has_address = sock_address_parse(whole_address(r, n->text), &draft->listen.address) == ERR_OK;
    draft->listen.text = arena_strdup(r->arena, n->text);
    if (!draft->has_address)
        tell_address(r, n);
}

#define AT(member) .offset = offsetof(struct listen_draft, listen.member)
static const struct field listen_tls_fields[] = {
    {.name = "cert", .type = "path", .standard = REQUIRED, .doc = "the certificate and its chain, PEM", .read = read_path, AT(cert_file)},
    {.name = "key", .type = "path", .standard = REQUIRED, .doc = "the private key of `cert`, PEM", .read = read_path, AT(key_file)},
};
#undef AT
static const struct section listen_tls_section = SECTION("tls of listen", listen_tls_fields);

static void read_listen_tls(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct config_listen *listen = &((struct listen_draft *)into)->listen;
    char why[256] = "";
    read_section(r, f->section, n, into);
    if (!listen->cert_file || !listen->key_file || (r->world && r->world->without_tls))
        return;
    struct tls_server_options options = {listen->cert_file, listen->key_file, true};
    if (tls_server_context(&options, &listen->tls, why) != ERR_OK)
        config_error(r->errors, n, "TLS cannot be set up: %s", why);
}

static const struct field listen_fields[] = {
    {.name = "address", .type = "ADDRESS:PORT or unix:PATH", .standard = REQUIRED,
     .doc = "where to listen; port 0 lets the system choose",
     .read = read_address},
    {.name = "tls", .type = "section", .standard = "(plain)",
     .doc = "speak TLS there, with HTTP/2 offered",
     .read = read_listen_tls, .section = &listen_tls_section, .shape = SHAPE_SECTION},
};
static const struct section listen_section = SECTION("an entry of listen", listen_fields);

static bool has_port_0(const struct sock_address *a)
{
    char text[160];
    return span_ends(sock_address_text(a, text, sizeof text), SPAN(":0"));
}

static bool is_taken(const struct config *c, const struct sock_address *a)
{
    for (unsigned i = 0; i < c->listen_n; i++)
        if (c->listen[i].address.bytes == a->bytes && memcmp(&c->listen[i].address.u, &a->u, a->bytes) == 0)
            return !has_port_0(a);
    return false;
}

static void read_one_listen(struct reading *r, const struct node *n)
{
    struct listen_draft draft = {.has_address = false};
    struct config *c = r->config;
    if (n->kind == NODE_SCALAR)
        read_address(r, &listen_fields[0], n, &draft);
    else
        read_section(r, &listen_section, n, &draft);
    if (draft.has_address && is_taken(c, &draft.listen.address))
        config_error(r->errors, n, "%s stands here twice", draft.listen.text);
    c->listen[c->listen_n++] = draft.listen; /* also with mistakes: its TLS context has to be freed */
}

static void read_listen(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    unsigned listed = n->kind == NODE_LIST ? n->items_n : 1;
    if (listed == 0 || listed > LISTEN_MAX) {
        config_error(r->errors, n, "\"listen\" needs 1 to %u addresses", LISTEN_MAX);
        return;
    }
    r->config->listen = ARENA_ARRAY(r->arena, struct config_listen, listed);
    if (n->kind != NODE_LIST)
        read_one_listen(r, n);
    for (const struct node_item *item = n->kind == NODE_LIST ? n->items : NULL; item; item = item->next)
        read_one_listen(r, item->value);
}

/* ---- the tables ---- */

static const char *const level_words[] = {
    [LOG_OFF] = "off", [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug", NULL};

#define AT(member) .offset = offsetof(struct config_log, member)
static const struct field log_fields[] = {
    {.name = "level", .type = "off, error, warn, info or debug", .standard = "info",
     .doc = "what is worth a line",
     .read = read_word, AT(level), .words = level_words},
    {.name = "exchanges", .type = "true or false", .standard = "true",
     .doc = "a line for each request, at level info",
     .read = read_bool, AT(exchanges)},
};
#undef AT
static const struct section log_section = SECTION("log", log_fields);

#define AT(member) .offset = offsetof(struct config_limits, member)
static const struct field limit_fields[] = {
    {.name = "body", .type = "size", .standard = "32MiB",
     .doc = "one request's body; a larger one gets 413",
     .read = read_size, AT(body_bytes), .min = KIB, .max = 1024ull * MIB},
    {.name = "memory", .type = "size", .standard = "512MiB",
     .doc = "the bodies of all requests of one worker together; beyond it 503",
     .read = read_size, AT(memory_bytes), .min = MIB, .max = 1024ull * 1024 * MIB},
    {.name = "connections", .type = "number", .standard = "20000",
     .doc = "clients connected to one worker at once; further ones get 503",
     .read = read_count, AT(connections), .min = 1, .max = 1000000},
    {.name = "requests", .type = "number", .standard = "10000",
     .doc = "requests under way in one worker at once; further ones get 503",
     .read = read_count, AT(requests), .min = 1, .max = 1000000},
};
#undef AT
static const struct section limit_section = SECTION("limits", limit_fields);

#define TIMEOUT(field, member, text, words) \
    {.name = field, .type = "duration", .standard = text, .doc = words, \
     .read = read_duration, .offset = offsetof(struct config_timeouts, member), .min = NS_PER_MS, .max = 86400 * NS_PER_S}
static const struct field timeout_fields[] = {
    TIMEOUT("connect", connect_ns, "5s", "to a provider: looking up the name, connecting and TLS together"),
    TIMEOUT("first_byte", first_byte_ns, "5m",
            "of a provider: from the request's last byte to the answer's first; an answer that is not streamed is computed whole before it"),
    TIMEOUT("idle", idle_ns, "5m", "of a provider: silence inside an answer"),
    TIMEOUT("total", total_ns, "1h", "from the request to the last byte of the answer, all attempts together"),
    TIMEOUT("head", head_ns, "10s", "of a client: from the first to the last byte of a request's head"),
    TIMEOUT("body", body_ns, "30s", "of a client: silence inside a request's body"),
    TIMEOUT("keep_alive", keep_alive_ns, "75s", "of a client: a connection without a request"),
    TIMEOUT("write", write_ns, "60s", "of a client: no progress in taking an answer"),
    TIMEOUT("ping", ping_ns, "15s", "a stream that is silent for this long gets a comment, so that nothing on the way closes it"),
};
static const struct section timeout_section = SECTION("timeouts", timeout_fields);

#define AT(member) .offset = offsetof(struct retry_policy, member)
static const struct field retry_fields[] = {
    {.name = "attempts", .type = "number", .standard = "3",
     .doc = "for one request, the first one counted",
     .read = read_count, AT(attempts_max), .min = 1, .max = LIMIT_ATTEMPTS},
    {.name = "budget_percent", .type = "number", .standard = "20",
     .doc = "retries as a part of the requests of the last ten seconds",
     .read = read_count, AT(budget_percent), .min = 0, .max = 100},
    {.name = "budget_floor", .type = "number", .standard = "10",
     .doc = "retries a second, per worker, that are allowed however few requests there are",
     .read = read_count, AT(budget_min_per_s), .min = 0, .max = 100000},
    {.name = "backoff", .type = "duration", .standard = "100ms",
     .doc = "before the same deployment is tried again; doubles, with jitter",
     .read = read_duration, AT(backoff_ns), .min = NS_PER_MS, .max = 60 * NS_PER_S},
    {.name = "backoff_max", .type = "duration", .standard = "2s",
     .doc = "what the doubling ends at",
     .read = read_duration, AT(backoff_max_ns), .min = NS_PER_MS, .max = 600 * NS_PER_S},
};
#undef AT
static const struct section retry_section = SECTION("retry", retry_fields);

#define AT(member) .offset = offsetof(struct ejection_policy, member)
static const struct field ejection_fields[] = {
    {.name = "failures", .type = "number", .standard = "5",
     .doc = "in a row that take a deployment out; 0: never",
     .read = read_count, AT(failures), .min = 0, .max = 1000},
    {.name = "base", .type = "duration", .standard = "5s",
     .doc = "how long the first time; doubles each time",
     .read = read_duration, AT(base_ns), .min = 100 * NS_PER_MS, .max = 3600 * NS_PER_S},
    {.name = "max", .type = "duration", .standard = "5m",
     .doc = "what the doubling ends at; also the longest rest after a 429",
     .read = read_duration, AT(max_ns), .min = 100 * NS_PER_MS, .max = 86400 * NS_PER_S},
    {.name = "return", .type = "duration", .standard = "10s",
     .doc = "over which its share grows back from 10 % to all",
     .read = read_duration, AT(return_ns), .min = 0, .max = 3600 * NS_PER_S},
    {.name = "max_percent", .type = "number", .standard = "50",
     .doc = "of a model's deployments that may be out at once; of two, one always may",
     .read = read_count, AT(ejected_percent_max), .min = 0, .max = 100},
};
#undef AT
static const struct section ejection_section = SECTION("ejection", ejection_fields);

static const struct field admin_fields[] = {
    {.name = "key", .type = "env:NAME, file:PATH or sha256:HEX", .standard = REQUIRED,
     .doc = "the secret that opens /admin/v1",
     .read = read_digest, .offset = offsetof(struct draft, admin_key)},
};
static const struct section admin_section = SECTION("admin", admin_fields);

static void read_retry(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    read_section(r, f->section, n, &r->catalog->retry);
}

static void read_ejection(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    read_section(r, f->section, n, &r->catalog->ejection);
}

static void read_admin(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct draft *draft = into;
    draft->admin = n;
    read_section(r, f->section, n, draft);
    r->catalog->has_admin_key = draft->admin_key.known;
    memcpy(r->catalog->admin_digest, draft->admin_key.digest, SHA256_BYTES);
}

static void read_all_keys(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    ((struct draft *)into)->keys = n;
    read_keys(r, f, n, into);
}

static const char *const durability_words[] = {[DURABILITY_STANDARD] = "standard", [DURABILITY_STRICT] = "strict", [DURABILITY_NONE] = "none", NULL};

#define AT(member) .offset = offsetof(struct draft, config.member)
#define INNER(inner) .shape = SHAPE_SECTION, .type = "section", .section = &(inner)
static const struct field top_fields[] = {
    {.name = "listen", .type = "address, or list", .standard = "127.0.0.1:8080",
     .doc = "where clients connect",
     .read = read_listen, .section = &listen_section, .shape = SHAPE_LISTED},
    {.name = "data", .type = "path", .standard = "entente-data",
     .doc = "the folder of what must survive; created when absent",
     .read = read_path, AT(data_dir)},
    {.name = "workers", .type = "number", .standard = "(cores)",
     .doc = "threads that serve, each with its own loop",
     .read = read_count, AT(workers), .min = 1, .max = 256},
    {.name = "drain", .type = "duration", .standard = "30s",
     .doc = "how long SIGTERM waits for requests under way",
     .read = read_duration, AT(drain_ns), .min = 0, .max = 86400 * NS_PER_S},
    {.name = "compress", .type = "true or false", .standard = "false",
     .doc = "answers of 1 KiB to 1 MiB that are not streamed leave in zstd, br or gzip when the client takes it",
     .read = read_bool, AT(compress)},
    {.name = "log", .standard = "", .doc = "the log on stderr", .read = read_inner, AT(log), INNER(log_section)},
    {.name = "limits", .standard = "", .doc = "what is too much", .read = read_inner, AT(limits), INNER(limit_section)},
    {.name = "timeouts", .standard = "", .doc = "what is too long", .read = read_inner, AT(timeouts), INNER(timeout_section)},
    {.name = "retry", .standard = "(each by its own default)",
     .doc = "other attempts before the client sees a byte",
     .read = read_retry, INNER(retry_section)},
    {.name = "ejection", .standard = "(each by its own default)",
     .doc = "when a deployment is taken out, and for how long",
     .read = read_ejection, INNER(ejection_section)},
    {.name = "durability", .type = "standard, strict or none", .standard = "standard",
     .doc = "strict: the hold is on disk before a provider is asked, and nothing is admitted while the ledger cannot be written; none: nothing is booked, "
            "for measuring and for trials",
     .read = read_word, AT(durability), .words = durability_words},
    {.name = "ledger", .standard = "", .doc = "the books in `data`", .read = read_inner, AT(ledger), INNER(ledger_section)},
    {.name = "providers", .type = "map of names", .standard = REQUIRED,
     .doc = "who can be asked, e.g. local: {dialect: openai, url: http://127.0.0.1:8000/v1}",
     .read = read_providers, .section = &provider_section, .shape = SHAPE_NAMED},
    {.name = "models", .type = "map of names", .standard = REQUIRED,
     .doc = "what clients ask for, e.g. gpt-4o: [{provider: local, model: llama-4}]",
     .read = read_models, .section = &model_section, .shape = SHAPE_NAMED},
    {.name = "keys", .type = "list", .standard = "",
     .doc = "who may ask; without any, everybody who can connect, which must be this machine only",
     .read = read_all_keys, .section = &key_section, .shape = SHAPE_LISTED},
    {.name = "party", .type = "a name", .standard = "self", .doc = "who we are in price books", .read = read_price_party, AT(party)},
    {.name = "prices", .type = "list of paths", .standard = "", .doc = "[price books](prices.md)", .read = read_prices},
    {.name = "budgets", .type = "list", .standard = "",
     .doc = "what somebody may spend in a period",
     .read = read_budgets, .section = &budget_section, .shape = SHAPE_LISTED},
    {.name = "admin", .standard = "(no administrator)", .doc = "who may use /admin/v1", .read = read_admin, INNER(admin_section)},
    {.name = "agreements", .type = "list of paths", .standard = "", .doc = "not in this version yet", .read = read_not_yet},
};
#undef AT
#undef INNER
static const struct section top_section = SECTION("the config", top_fields);

/* ---- the keys, for the page ---- */

static void each_key(const struct section *s, const char *prefix, void (*fn)(void *owner, const struct config_key *key), void *owner)
{
    static const char *const suffix[] = {[SHAPE_VALUE] = "", [SHAPE_SECTION] = ".", [SHAPE_NAMED] = ".NAME.", [SHAPE_LISTED] = "[]."};
    char path[128];
    for (unsigned i = 0; i < s->fields_n; i++) {
        const struct field *f = &s->fields[i];
        struct config_key key = {path, f->type, f->standard, f->doc};
        snprintf(path, sizeof path, "%s%s", prefix, f->name);
        fn(owner, &key);
        snprintf(path + strlen(path), sizeof path - strlen(path), "%s", suffix[f->shape]);
        if (f->section)
            each_key(f->section, path, fn, owner);
    }
}

void config_each_key(void (*fn)(void *owner, const struct config_key *key), void *owner)
{
    each_key(&top_section, "", fn, owner);
}

/* ---- from a text to a config ---- */

static unsigned cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

static void check_exposure(struct reading *r, const struct node *root, const struct draft *draft)
{
    bool has_keys = draft->keys && draft->keys->items_n > 0;
    const struct node *listen = NULL;
    for (const struct node_item *item = root->items; item; item = item->next)
        listen = span_eq(item->key->text, SPAN("listen")) ? item->value : listen;
    const struct node_item *item = listen && listen->kind == NODE_LIST ? listen->items : NULL;
    for (unsigned i = 0; i < r->config->listen_n && !has_keys; i++, item = item ? item->next : NULL) {
        const struct config_listen *at = &r->config->listen[i];
        if (at->address.bytes && !sock_address_is_loopback(&at->address))
            config_error(r->errors, item ? item->value : listen, "%s can be reached from outside of this machine, and there are no keys: add `keys:`, "
                         "or listen on 127.0.0.1", at->text);
    }
}

static void read_root(struct reading *r, const struct node *root, struct draft *draft)
{
    r->config = &draft->config;
    r->catalog->retry = (struct retry_policy){0};
    read_section(r, &retry_section, NULL, &r->catalog->retry);
    read_section(r, &ejection_section, NULL, &r->catalog->ejection);
    draft->config.workers = cores();
    if (!read_section(r, &top_section, root, draft))
        return;
    check_keys(r, draft->keys, draft->admin);
    check_exposure(r, root, draft);
}

static char *folder_of(struct arena *a, const char *file)
{
    const char *slash = strrchr(file, '/');
    return arena_strdup(a, slash ? span_of(file, (size_t)(slash - file) + 1) : SPAN(""));
}

static struct config *keep(const struct reading *r, const struct draft *draft, const char *file)
{
    struct config *c = calloc(1, sizeof *c);
    CHECK(c != NULL);
    *c = draft->config;
    c->catalog = r->catalog;
    c->path = arena_strdup(r->arena, span_str(file));
    catalog_seal(r->catalog);
    return c;
}

static void free_listen(const struct config *c)
{
    for (unsigned i = 0; i < c->listen_n; i++)
        tls_context_unref(c->listen[i].tls);
}

enum err config_parse(const char *file, struct span text, const struct config_world *world, struct config **ret, struct config_errors *errors)
{
    struct arena trees;
    struct draft draft = {.keys = NULL};
    struct catalog *catalog = catalog_new();
    struct reading r = {.world = world, .errors = errors, .arena = &catalog->arena, .catalog = catalog};
    unsigned before = errors->n + errors->left_out;
    arena_init(&trees, 4096);
    errors->file = file;
    r.dir = folder_of(r.arena, file);
    const struct node *root = config_tree_read(&trees, text, errors);
    if (root)
        read_root(&r, root, &draft);
    tls_cache_free(r.tls);
    bool is_right = errors->n + errors->left_out == before;
    if (is_right) {
        *ret = keep(&r, &draft, file);
    } else {
        config_errors_sort(errors);
        free_listen(&draft.config);
        catalog_unref(catalog);
    }
    arena_fini(&trees);
    return is_right ? ERR_OK : ERR_SYNTAX;
}

enum err config_load(const char *path, const struct config_world *world, struct config **ret, struct config_errors *errors)
{
    const char *why = "";
    char *text = malloc(LIMIT_CONFIG_BYTES + 1);
    CHECK(text != NULL);
    long bytes = config_read_file(world, path, text, LIMIT_CONFIG_BYTES + 1, &why);
    enum err e = ERR_SYNTAX;
    errors->file = path;
    if (bytes < 0)
        config_error(errors, NULL, "cannot be read: %s", why);
    else if (bytes > (long)LIMIT_CONFIG_BYTES)
        config_error(errors, NULL, "is larger than %u MiB", LIMIT_CONFIG_BYTES / MIB);
    else
        e = config_parse(path, span_of(text, (size_t)bytes), world, ret, errors);
    if (bytes > 0)
        digest_wipe(text, (size_t)bytes); /* somebody may have written a secret into it */
    free(text);
    return e;
}

struct config *config_for_simulator(const char *address, const char *const *models, unsigned models_n)
{
    struct buf text;
    struct config *c = NULL;
    struct config_errors errors;
    const struct config_world *own = NULL;
    config_errors_init(&errors);
    buf_init(&text, LIMIT_CONFIG_BYTES);
    enum err e = buf_printf(&text, "providers: {sim: {dialect: openai, url: 'http://%s/v1', proxy: none}}\nmodels:\n  '*': [{provider: sim}]\n", address);
    for (unsigned i = 0; i < models_n && !e; i++)
        e = buf_printf(&text, "  '%s': [{provider: sim}]\n", models[i]);
    CHECK(e == ERR_OK);
    e = config_parse("built-in", buf_span(&text), own, &c, &errors);
    if (e)
        config_errors_print(&errors, stderr); /* only when the caller's address or names are none */
    CHECK(e == ERR_OK);
    c->path = NULL;
    buf_fini(&text);
    config_errors_fini(&errors);
    return c;
}

void config_free(struct config *c)
{
    if (!c)
        return;
    free_listen(c);
    catalog_unref(c->catalog);
    free(c);
}
