/* SPDX-License-Identifier: Apache-2.0
 *
 * The exchanger of one worker: its exchanges, its statistics, and the binding, which is what it derives from one catalog: a pool of
 * connections per provider and the health of each deployment. A reload makes a new binding; the old one lives until its last
 * exchange ends.
 */
#include <stdlib.h>

#include "base/digest.h"
#include "exchange/exchange_private.h"

static bool same_deployment(const struct deployment_stats *s, const char provider[RECORD_NAME_BYTES], const char model[RECORD_NAME_BYTES])
{
    return strcmp(s->provider, provider) == 0 && strcmp(s->model, model) == 0;
}

/* The statistics of a deployment, made when it is new. The scraping thread reads the array below deployments_n. */
static struct deployment_stats *stats_of(struct exchanger *e, const struct deployment *d)
{
    char provider[RECORD_NAME_BYTES], model[RECORD_NAME_BYTES];
    record_set_name(provider, span_str(d->provider->name));
    record_set_name(model, d->model);
    uint64_t n = stat_read(&e->stats.deployments_n);
    for (uint64_t i = 0; i < n; i++)
        if (same_deployment(e->stats.deployments[i], provider, model))
            return e->stats.deployments[i];
    if (n == EXCHANGE_DEPLOYMENTS_MAX)
        return e->stats.deployments[n - 1];
    struct deployment_stats *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    memcpy(s->provider, provider, sizeof provider);
    memcpy(s->model, model, sizeof model);
    record_set_name(s->system, span_str(d->provider->dialect->system));
    e->stats.deployments[n] = s;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    stat_set(&e->stats.deployments_n, n + 1);
    return s;
}

struct binding *binding_new(struct exchanger *e, struct catalog *c, struct binding *before)
{
    struct binding *b = calloc(1, sizeof *b);
    CHECK(b != NULL);
    b->owner = e;
    b->references = 1;
    b->catalog = catalog_ref(c);
    b->health = health_new(c, before ? before->health : NULL, before ? before->catalog : NULL);
    b->origins = calloc(c->providers_n + 1, sizeof(struct origin *));
    b->stats = calloc(c->deployments_n + 1, sizeof *b->stats);
    CHECK(b->health && b->origins && b->stats);
    for (unsigned i = 0; i < c->providers_n; i++)
        b->origins[i] = client_origin(e->options.client, &c->providers[i]->origin);
    for (unsigned i = 0; i < c->deployments_n; i++)
        b->stats[i] = stats_of(e, c->deployments[i]);
    return b;
}

void binding_unref(struct binding *b)
{
    if (!b || --b->references)
        return;
    for (unsigned i = 0; i < b->catalog->providers_n; i++)
        origin_retire(b->origins[i]);
    health_free(b->health);
    free(b->origins);
    free(b->stats);
    catalog_unref(b->catalog);
    free(b);
}

struct exchanger *exchanger_new(const struct exchanger_options *o)
{
    struct exchanger *e = calloc(1, sizeof *e);
    CHECK(e != NULL);
    e->options = *o;
    list_init(&e->exchanges);
    hold_init(e);
    e->id_high = loop_random(o->loop) & ((1ull << 50) - 1);
    e->binding = binding_new(e, o->catalog, NULL);
    return e;
}

void exchanger_free(struct exchanger *e)
{
    if (!e)
        return;
    CHECK(list_is_empty(&e->exchanges));
    binding_unref(e->binding);
    hold_fini(e);
    for (uint64_t i = 0; i < stat_read(&e->stats.deployments_n); i++)
        free(e->stats.deployments[i]);
    free(e);
}

void exchanger_use(struct exchanger *e, struct catalog *c)
{
    struct binding *before = e->binding;
    e->binding = binding_new(e, c, before);
    binding_unref(before);
}

void exchanger_set_limits(struct exchanger *e, const struct exchange_limits *limits) { e->options.limits = *limits; }
const struct catalog *exchanger_catalog(const struct exchanger *e) { return e->binding->catalog; }
const struct exchange_stats *exchanger_stats(const struct exchanger *e) { return &e->stats; }
