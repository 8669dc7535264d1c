/* SPDX-License-Identifier: Apache-2.0
 *
 * The catalog: everything that config says about whom to ask and who may ask, as one immutable snapshot. serve/config builds it;
 * a reload builds another; an exchange holds a reference to the one it was admitted under until its end.
 */
#ifndef ENTENTE_POLICY_CATALOG_H
#define ENTENTE_POLICY_CATALOG_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/digest.h"
#include "dialect/dialect.h"
#include "http/client.h"
#include "neutral/tokenizer.h"
#include "policy/budget.h"
#include "policy/price.h"

struct provider {
    unsigned index;                /* in catalog->providers */
    const char *name;              /* "azure-eu" */
    const struct dialect *dialect;
    struct origin_options origin;  /* where and how to connect; tls_context is made by the catalog's builder */
    struct span authority;         /* Host as in the URL */
    struct span base_path;         /* "/v1", no final slash */
    struct span credential;        /* the secret, resolved at load; wiped with the catalog */
    struct span api_version;
    const char *region;            /* or "" */
    struct header *extra_headers;  /* `headers:` of config */
    unsigned extra_headers_n;
    uint64_t first_byte_timeout_ns, idle_timeout_ns, total_timeout_ns;
    enum { ABANDONED_CANCEL, ABANDONED_DRAIN } abandoned; /* the call of a client that left: is ended, or read to its end for the usage */
    enum { ASK_USAGE_YES, ASK_USAGE_NO } ask_usage; /* NO for hosts that refuse stream_options (Mistral) */
};

struct deployment {
    unsigned index;                /* in catalog->deployments, over all models */
    const struct provider *provider;
    struct span model;             /* the name there; empty: the name that the client asked for is passed on */
    struct span wire_model;        /* the same as a JSON string with quotes; empty likewise */
    unsigned weight;               /* of `select: weighted`; default 1 */
    enum tokenizer_encoding encoding; /* of model; when that is empty, ask tokenizer_for_model with the asked name */
};

static inline struct span deployment_model(const struct deployment *d, struct span asked) { return d->model.n ? d->model : asked; }

#define MODEL_CATCH_ALL SPAN("*") /* a model of this name answers for every name that is not listed */

enum selection { SELECT_ORDERED, SELECT_WEIGHTED, SELECT_LEAST_LATENCY };

struct model {
    struct span name;              /* what clients ask for */
    enum selection select;
    const struct deployment **deployments;
    unsigned deployments_n;
    int64_t output_max;            /* output tokens that a hold counts with when the request names no maximum; default MODEL_OUTPUT_MAX */
};
#define MODEL_OUTPUT_MAX 16384

struct key {
    const char *name;              /* "legal-app" */
    uint8_t digest[SHA256_BYTES];  /* of the secret; the secret itself is not kept */
    const char *department, *party; /* or "" */
    struct span *models;           /* globs this key may ask for; none: all */
    unsigned models_n;
    bool revoked;
};

struct retry_policy {
    unsigned attempts_max;         /* in all, default 3, at most LIMIT_ATTEMPTS */
    unsigned budget_percent;       /* retries as part of requests, default 20 */
    unsigned budget_min_per_s;     /* retries allowed however few requests there are, default 10 */
    uint64_t backoff_ns, backoff_max_ns; /* same deployment again: 100 ms doubling with jitter, at most 2 s */
};

struct ejection_policy {
    unsigned failures;             /* in a row that eject, default 5 */
    uint64_t base_ns, max_ns;      /* 5 s, doubling per ejection up to 5 min */
    uint64_t return_ns;            /* slow return: share of traffic grows from 10 % to 100 % over it, default 10 s */
    unsigned ejected_percent_max;  /* of a model's deployments, default 50 (at least one may always be ejected when there are two) */
};

struct catalog_zone {
    struct catalog_zone *next;
    struct zone *zone;
};

struct catalog {
    atomic_uint references;
    uint64_t generation;           /* counts reloads */
    struct arena arena;            /* everything below lives here */
    struct provider **providers;
    unsigned providers_n;
    struct deployment **deployments;
    unsigned deployments_n;
    struct model *models;
    unsigned models_n;
    struct key *keys;
    unsigned keys_n;
    struct price_list *prices;     /* NULL: nothing has a price */
    struct budget_set budgets;
    struct catalog_zone *zones;    /* that budgets point at; freed with the catalog */
    struct retry_policy retry;
    struct ejection_policy ejection;
    uint8_t admin_digest[SHA256_BYTES];
    bool has_admin_key;
    void *index;                   /* hash tables of models and keys */
};

struct catalog *catalog_new(void);          /* empty, one reference; the builder fills it, then calls catalog_seal */
void catalog_seal(struct catalog *c);       /* builds the tables; immutable from here on */
struct catalog *catalog_ref(struct catalog *c);
void catalog_unref(struct catalog *c);      /* wipes secrets when the last goes; accepts NULL */

/* The model of this very name, else the catch-all, else NULL. A model's own name may differ from what was asked: then it is the catch-all. */
const struct model *catalog_model(const struct catalog *c, struct span name);
/* The key of a presented secret: hashes it, finds the digest, compares in constant time. ERR_NO_KEY, ERR_BAD_KEY, ERR_KEY_REVOKED. A catalog
 * without keys answers OK with NULL. ret is untouched otherwise. */
enum err catalog_key(const struct catalog *c, struct span secret, const struct key **ret) MUST_CHECK;
bool catalog_is_admin(const struct catalog *c, struct span secret);
bool key_may_ask(const struct key *k, struct span model); /* k NULL: yes */
bool glob_matches(struct span pattern, struct span text); /* '*' any run, '?' one byte */

#endif
