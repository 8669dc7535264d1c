/* SPDX-License-Identifier: Apache-2.0
 *
 * `models:` and `keys:` of a config, to the catalog. Providers were read before: deployments name them.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "serve/config_read.h"

#define MODELS_MAX 10000u
#define DEPLOYMENTS_MAX 65535u /* over all models: usage records number them with 16 bits */
#define KEYS_MAX 100000u
#define MODEL_BYTES_MAX 256u

const struct node *value_in(const struct node *map, struct span name)
{
    for (const struct node_item *item = map->kind == NODE_MAP ? map->items : NULL; item; item = item->next)
        if (span_eq(item->key->text, name))
            return item->value;
    return NULL;
}

/* ---- deployments ---- */

struct deployment_draft {
    const struct provider *provider;
    const char *model;
    unsigned weight;
};

static void read_provider_name(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct deployment_draft *draft = into;
    struct nearest near;
    if (!check_scalar(r, f, n))
        return;
    nearest_init(&near, n->text);
    for (unsigned i = 0; i < r->catalog->providers_n; i++) {
        const struct provider *p = r->catalog->providers[i];
        nearest_offer(&near, p->name);
        if (span_eq(span_str(p->name), n->text))
            draft->provider = p;
    }
    if (draft->provider || !r->catalog->providers) /* without any provider that was told already */
        return;
    if (near.best)
        config_error(r->errors, n, "unknown provider \"%.60s\": did you mean \"%s\"?", n->text.p, near.best);
    else
        config_error(r->errors, n, "unknown provider \"%.60s\": it does not stand under `providers:`", n->text.p);
}

#define AT(member) .offset = offsetof(struct deployment_draft, member)
static const struct field deployment_fields[] = {
    {.name = "provider", .type = "a name", .standard = REQUIRED, .doc = "one of `providers`", .read = read_provider_name},
    {.name = "model", .type = "text", .standard = "(the name asked for)",
     .doc = "the model's or deployment's name there",
     .read = read_text, AT(model)},
    {.name = "weight", .type = "number", .standard = "1",
     .doc = "its part with `select: weighted`; 0: only after the others",
     .read = read_count, AT(weight), .min = 0, .max = 1000000},
};
#undef AT
const struct section deployment_section = SECTION("a deployment", deployment_fields);

static struct span as_json(struct reading *r, struct span text)
{
    struct buf b;
    struct span json = SPAN_NONE;
    buf_init(&b, 16 * KIB);
    if (json_write_string(&b, text) == ERR_OK)
        json = arena_dup(r->arena, buf_span(&b));
    buf_fini(&b);
    return json;
}

/* A deployment without a model's name gets that of its model; that of a catch-all stays empty and passes the asked name on. */
static void add_deployment(struct reading *r, struct model *m, const struct deployment_draft *draft)
{
    struct catalog *c = r->catalog;
    struct deployment *d = ARENA_NEW(r->arena, struct deployment);
    bool passes_on = !draft->model && span_eq(m->name, MODEL_CATCH_ALL);
    d->index = c->deployments_n;
    d->provider = draft->provider;
    d->weight = draft->weight;
    d->model = passes_on ? SPAN_NONE : draft->model ? span_str(draft->model) : m->name;
    d->wire_model = passes_on ? SPAN_NONE : as_json(r, d->model);
    d->encoding = tokenizer_for_model(passes_on ? SPAN("") : d->model);
    c->deployments[c->deployments_n++] = d;
    m->deployments[m->deployments_n++] = d;
}

static bool is_listed(const struct model *m, const struct deployment_draft *draft)
{
    struct span name = span_str(draft->model ? draft->model : span_eq(m->name, MODEL_CATCH_ALL) ? "" : m->name.p);
    for (unsigned i = 0; i < m->deployments_n; i++)
        if (m->deployments[i]->provider == draft->provider && span_eq(m->deployments[i]->model, name))
            return true;
    return false;
}

static void read_deployment(struct reading *r, struct model *m, const struct node *n)
{
    struct deployment_draft draft = {.provider = NULL};
    if (!read_section(r, &deployment_section, n, &draft) || !draft.provider)
        return;
    if (is_listed(m, &draft))
        config_error(r->errors, n, "this deployment stands here twice; for a larger part use `select: weighted` and `weight`");
    else if (r->catalog->deployments_n == DEPLOYMENTS_MAX)
        config_error(r->errors, n, "all models together have more than %u deployments", DEPLOYMENTS_MAX);
    else
        add_deployment(r, m, &draft);
}

/* ---- models ---- */

static void read_deployments(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct model *m = into;
    if (n->kind != NODE_LIST || n->items_n == 0 || n->items_n > LIMIT_DEPLOYMENTS) {
        config_error(r->errors, n, "a model needs a list of 1 to %u deployments, e.g. - {provider: NAME, model: NAME-THERE}", LIMIT_DEPLOYMENTS);
        return;
    }
    m->deployments = ARENA_ARRAY(r->arena, const struct deployment *, n->items_n);
    for (const struct node_item *item = n->items; item; item = item->next)
        read_deployment(r, m, item->value);
}

static void read_output_max(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    unsigned tokens = MODEL_OUTPUT_MAX;
    read_count(r, f, n, &tokens);
    ((struct model *)into)->output_max = tokens;
}

static const char *const select_words[] = {
    [SELECT_ORDERED] = "ordered", [SELECT_WEIGHTED] = "weighted", [SELECT_LEAST_LATENCY] = "least-latency", NULL};

#define AT(member) .offset = offsetof(struct model, member)
static const struct field model_fields[] = {
    {.name = "select", .type = "ordered, weighted or least-latency", .standard = "ordered",
     .doc = "how the deployments are put in order",
     .read = read_word, AT(select), .words = select_words},
    {.name = "output_max", .type = "number", .standard = "16384",
     .doc = "tokens of output that a budget sets aside for a request that names no maximum itself",
     .read = read_output_max, .min = 1, .max = 100000000},
    {.name = "deployments", .type = "list", .standard = REQUIRED,
     .doc = "who answers for this model; the list may also stand alone, in the place of this map",
     .read = read_deployments, .section = &deployment_section, .shape = SHAPE_LISTED},
};
#undef AT
const struct section model_section = SECTION("a model", model_fields);

static void check_model_name(struct reading *r, const struct node *name)
{
    if (!check_text(r, name, "a model's name", MODEL_BYTES_MAX))
        return;
    if (span_find(name->text, '*') >= 0 && !span_eq(name->text, MODEL_CATCH_ALL))
        config_error(r->errors, name, "a model's name is a pattern only as \"*\" alone, which answers for every name that is not listed");
}

static void read_model(struct reading *r, const struct node *name, const struct node *n)
{
    struct model *m = &r->catalog->models[r->catalog->models_n++];
    check_model_name(r, name);
    m->name = span_of(arena_strdup(r->arena, name->text), name->text.n);
    if (n->kind == NODE_MAP)
        read_section(r, &model_section, n, m);
    else
        read_deployments(r, NULL, n, m);
    m->output_max = m->output_max ? m->output_max : MODEL_OUTPUT_MAX;
}

static unsigned count_deployments(const struct node *models)
{
    uint64_t n = 0;
    for (const struct node_item *item = models->items; item; item = item->next) {
        const struct node *list = item->value->kind == NODE_MAP ? value_in(item->value, SPAN("deployments")) : item->value;
        n += list ? list->items_n : 0;
    }
    return n < DEPLOYMENTS_MAX ? (unsigned)n : DEPLOYMENTS_MAX;
}

void read_models(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (n->kind != NODE_MAP || n->items_n == 0 || n->items_n > MODELS_MAX) {
        config_error(r->errors, n, "\"models\" must be a map of 1 to %u names, e.g. gpt-4o: [{provider: NAME, model: NAME-THERE}]", MODELS_MAX);
        return;
    }
    r->catalog->models = ARENA_ARRAY(r->arena, struct model, n->items_n);
    r->catalog->deployments = ARENA_ARRAY(r->arena, struct deployment *, count_deployments(n));
    for (const struct node_item *item = n->items; item; item = item->next)
        read_model(r, item->key, item->value);
}

/* ---- keys ---- */

struct key_draft {
    const char *name, *department, *party;
    struct secret_digest secret;
    struct globs models;
    bool revoked;
};

static void read_key_name(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (check_text(r, n, "a key's name", NAME_BYTES_MAX))
        ((struct key_draft *)into)->name = arena_strdup(r->arena, n->text);
}

/* What is charged becomes an account of the ledger, so its name is as short as the ledger's names. */
static void read_charged_name(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    char what[80];
    snprintf(what, sizeof what, "\"%s\"", f->name);
    if (check_text(r, n, what, NAME_BYTES_MAX))
        read_text(r, f, n, into);
}

void read_model_globs(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct globs *globs = (struct globs *)(void *)((char *)into + f->offset);
    if (n->kind != NODE_LIST || n->items_n == 0) {
        config_error(r->errors, n, "\"%s\" must be a list of names or patterns of models, e.g. [gpt-4o, \"claude-*\"]", f->name);
        return;
    }
    globs->list = ARENA_ARRAY(r->arena, struct span, n->items_n);
    for (const struct node_item *item = n->items; item; item = item->next)
        if (check_text(r, item->value, "a model's name", MODEL_BYTES_MAX))
            globs->list[globs->n++] = span_of(arena_strdup(r->arena, item->value->text), item->value->text.n);
}

#define AT(member) .offset = offsetof(struct key_draft, member)
static const struct field key_fields[] = {
    {.name = "name", .type = "text", .standard = REQUIRED, .doc = "what logs and records call the key", .read = read_key_name},
    {.name = "secret", .type = "sha256:HEX, env:NAME or file:PATH", .standard = REQUIRED,
     .doc = "what clients present; `entente key new` makes one",
     .read = read_digest, AT(secret)},
    {.name = "department", .type = "text", .standard = "", .doc = "who is charged", .read = read_charged_name, AT(department)},
    {.name = "party", .type = "text", .standard = "",
     .doc = "the party of an agreement that the key belongs to",
     .read = read_charged_name, AT(party)},
    {.name = "models", .type = "list", .standard = "(all)",
     .doc = "names or patterns (`*`, `?`) of the models it may ask for",
     .read = read_model_globs, AT(models)},
    {.name = "revoked", .type = "true or false", .standard = "false",
     .doc = "refuse it from now on, by name",
     .read = read_bool, AT(revoked)},
};
#undef AT
const struct section key_section = SECTION("a key", key_fields);

static void read_key(struct reading *r, const struct node *n)
{
    struct key_draft draft = {.name = NULL};
    struct key *k = &r->catalog->keys[r->catalog->keys_n++];
    read_section(r, &key_section, n, &draft);
    *k = (struct key){.name = draft.name ? draft.name : "", .department = draft.department ? draft.department : "",
                      .party = draft.party ? draft.party : "", .models = draft.models.list, .models_n = draft.models.n, .revoked = draft.revoked};
    memcpy(k->digest, draft.secret.digest, sizeof k->digest);
}

void read_keys(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (n->kind != NODE_LIST || n->items_n > KEYS_MAX) {
        config_error(r->errors, n, "\"keys\" must be a list of at most %u keys, e.g. - {name: legal-app, secret: env:LEGAL_KEY}", KEYS_MAX);
        return;
    }
    r->catalog->keys = ARENA_ARRAY(r->arena, struct key, n->items_n);
    for (const struct node_item *item = n->items; item; item = item->next)
        read_key(r, item->value);
}

/* ---- what only the whole shows ---- */

struct placed_key {
    const struct key *key;
    const struct node *at; /* the key's map */
};

static int by_name(const void *left, const void *right)
{
    const struct placed_key *a = left, *b = right;
    int order = strcmp(a->key->name, b->key->name);
    return order ? order : (a->key > b->key) - (a->key < b->key);
}

static int by_digest(const void *left, const void *right)
{
    const struct placed_key *a = left, *b = right;
    int order = memcmp(a->key->digest, b->key->digest, SHA256_BYTES);
    return order ? order : (a->key > b->key) - (a->key < b->key);
}

static bool has_digest(const struct key *k)
{
    static const uint8_t none[SHA256_BYTES];
    return memcmp(k->digest, none, SHA256_BYTES) != 0; /* all zero: it could not be read, and that was told */
}

static void check_unique(struct reading *r, struct placed_key *all, unsigned n)
{
    qsort(all, n, sizeof *all, by_name);
    for (unsigned i = 1; i < n; i++)
        if (*all[i].key->name && strcmp(all[i].key->name, all[i - 1].key->name) == 0)
            config_error(r->errors, value_in(all[i].at, SPAN("name")), "two keys are named \"%s\"; the other is in line %u", all[i].key->name,
                         all[i - 1].at->line);
    qsort(all, n, sizeof *all, by_digest);
    for (unsigned i = 1; i < n; i++)
        if (has_digest(all[i].key) && memcmp(all[i].key->digest, all[i - 1].key->digest, SHA256_BYTES) == 0)
            config_error(r->errors, value_in(all[i].at, SPAN("secret")), "the keys \"%s\" and \"%s\" have the same secret: nobody could tell them apart",
                         all[i - 1].key->name, all[i].key->name);
}

static void check_glob(struct reading *r, const struct node *n)
{
    struct nearest near;
    nearest_init(&near, n->text);
    for (unsigned i = 0; i < r->catalog->models_n; i++) {
        struct span name = r->catalog->models[i].name;
        if (span_eq(name, MODEL_CATCH_ALL) || glob_matches(n->text, name))
            return;
        nearest_offer(&near, name.p);
    }
    if (near.best)
        config_error(r->errors, n, "\"%.60s\" is none of `models:`: did you mean \"%s\"?", n->text.p, near.best);
    else
        config_error(r->errors, n, "\"%.60s\" is none of `models:`", n->text.p);
}

void check_model_globs(struct reading *r, const struct node *globs)
{
    for (const struct node_item *item = globs && globs->kind == NODE_LIST ? globs->items : NULL; item && r->catalog->models_n; item = item->next)
        if (item->value->kind == NODE_SCALAR && item->value->text.n)
            check_glob(r, item->value);
}

void check_keys(struct reading *r, const struct node *keys, const struct node *admin)
{
    struct catalog *c = r->catalog;
    const struct node_item *item = keys ? keys->items : NULL;
    if (c->keys_n == 0)
        return;
    struct placed_key *all = calloc(c->keys_n, sizeof *all);
    CHECK(all != NULL);
    for (unsigned i = 0; i < c->keys_n; i++, item = item->next) {
        all[i] = (struct placed_key){&c->keys[i], item->value};
        check_model_globs(r, value_in(item->value, SPAN("models")));
        if (c->has_admin_key && memcmp(c->keys[i].digest, c->admin_digest, SHA256_BYTES) == 0)
            config_error(r->errors, admin, "the admin key and the key \"%s\" have the same secret: an application must not be an administrator",
                         c->keys[i].name);
    }
    check_unique(r, all, c->keys_n);
    free(all);
}
