/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding models by name and keys by the digest of their secret. Both tables use open addressing at most half full, filled once by
 * catalog_seal and only read after. Their places are drawn with a seed of this process, so that nobody outside can aim at one chain.
 */
#include "policy/catalog.h"

#include <stdlib.h>

struct index {
    uint64_t seed;
    size_t model_mask, key_mask;  /* table sizes less one; sizes are powers of two */
    const struct model **models;  /* NULL: free */
    const struct key **keys;
    const struct model *catch_all;
};

static size_t table_size(size_t entries)
{
    size_t size = 8;
    while (size < entries * 2)
        size *= 2;
    return size;
}

/* A digest is spread evenly already; eight bytes of it and the seed make a place. */
static size_t key_place(const struct index *x, const uint8_t digest[SHA256_BYTES])
{
    return (size_t)span_hash(span_of(digest, 8), x->seed) & x->key_mask;
}

static void add_model(struct index *x, const struct model *m)
{
    size_t at = (size_t)span_hash(m->name, x->seed) & x->model_mask;
    while (x->models[at] && !span_eq(x->models[at]->name, m->name))
        at = (at + 1) & x->model_mask;
    if (x->models[at])
        return; /* the builder refuses duplicates; the first one stands */
    x->models[at] = m;
    if (span_eq(m->name, MODEL_CATCH_ALL))
        x->catch_all = m;
}

static void add_key(struct index *x, const struct key *k)
{
    size_t at = key_place(x, k->digest);
    while (x->keys[at])
        at = (at + 1) & x->key_mask;
    x->keys[at] = k;
}

struct catalog *catalog_new(void)
{
    struct catalog *c = calloc(1, sizeof *c);
    CHECK(c != NULL);
    atomic_init(&c->references, 1);
    arena_init(&c->arena, 4096);
    return c;
}

void catalog_seal(struct catalog *c)
{
    CHECK(c->index == NULL);
    struct index *x = ARENA_NEW(&c->arena, struct index);
    size_t models = table_size(c->models_n), keys = table_size(c->keys_n);
    digest_random(&x->seed, sizeof x->seed);
    x->model_mask = models - 1;
    x->key_mask = keys - 1;
    x->models = ARENA_ARRAY(&c->arena, const struct model *, models);
    x->keys = ARENA_ARRAY(&c->arena, const struct key *, keys);
    for (unsigned i = 0; i < c->models_n; i++)
        add_model(x, &c->models[i]);
    for (unsigned i = 0; i < c->keys_n; i++)
        add_key(x, &c->keys[i]);
    c->index = x;
}

struct catalog *catalog_ref(struct catalog *c)
{
    unsigned before = atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
    CHECK(before > 0);
    return c;
}

/* The catalog owns its arena, so what lies there may be overwritten although readers see it as const. */
static void wipe(struct span secret)
{
    if (secret.n)
        digest_wipe((void *)(uintptr_t)secret.p, secret.n);
}

static void provider_wipe(struct provider *p)
{
    wipe(p->credential);
    wipe(span_str(p->origin.proxy_authorization));
    for (unsigned i = 0; i < p->extra_headers_n; i++)
        wipe(p->extra_headers[i].value);
    tls_context_unref(p->origin.tls_context);
}

void catalog_unref(struct catalog *c)
{
    if (!c)
        return;
    unsigned before = atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before > 1)
        return;
    for (unsigned i = 0; i < c->providers_n; i++)
        provider_wipe(c->providers[i]);
    for (struct catalog_zone *z = c->zones; z; z = z->next)
        zone_free(z->zone);
    digest_wipe(c->admin_digest, sizeof c->admin_digest);
    price_list_unref(c->prices);
    arena_fini(&c->arena);
    free(c);
}

const struct model *catalog_model(const struct catalog *c, struct span name)
{
    const struct index *x = c->index;
    CHECK(x != NULL);
    for (size_t at = (size_t)span_hash(name, x->seed) & x->model_mask; x->models[at]; at = (at + 1) & x->model_mask)
        if (span_eq(x->models[at]->name, name))
            return x->models[at];
    return x->catch_all;
}

static const struct key *find_key(const struct index *x, const uint8_t digest[SHA256_BYTES])
{
    for (size_t at = key_place(x, digest); x->keys[at]; at = (at + 1) & x->key_mask)
        if (digest_equal(x->keys[at]->digest, digest, SHA256_BYTES))
            return x->keys[at];
    return NULL;
}

enum err catalog_key(const struct catalog *c, struct span secret, const struct key **ret)
{
    uint8_t digest[SHA256_BYTES];
    const struct index *x = c->index;
    CHECK(x != NULL);
    if (c->keys_n == 0) {
        *ret = NULL;
        return ERR_OK;
    }
    if (secret.n == 0)
        return ERR_NO_KEY;
    digest_sha256(secret, digest);
    const struct key *k = find_key(x, digest);
    if (!k)
        return ERR_BAD_KEY;
    if (k->revoked)
        return ERR_KEY_REVOKED;
    *ret = k;
    return ERR_OK;
}

bool catalog_is_admin(const struct catalog *c, struct span secret)
{
    uint8_t digest[SHA256_BYTES];
    if (!c->has_admin_key || secret.n == 0)
        return false;
    digest_sha256(secret, digest);
    return digest_equal(digest, c->admin_digest, SHA256_BYTES);
}

bool key_may_ask(const struct key *k, struct span model)
{
    if (!k || k->models_n == 0)
        return true;
    for (unsigned i = 0; i < k->models_n; i++)
        if (glob_matches(k->models[i], model))
            return true;
    return false;
}
