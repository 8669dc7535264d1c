/* SPDX-License-Identifier: Apache-2.0
 *
 * Sections and fields: the tables by which a config is read, and the readers of single values. Private to serve/config*.
 *
 * A section is a map with known keys. Each key is a field: its name, its type and default as the page shows them, where its value goes and
 * who reads it. A default is read by the same reader as a value in the file. A reader that finds a mistake tells it and writes nothing.
 */
#ifndef ENTENTE_SERVE_CONFIG_READ_H
#define ENTENTE_SERVE_CONFIG_READ_H

#include "serve/config.h"
#include "serve/nearest.h"

struct reading {
    const struct config_world *world;
    struct config_errors *errors;
    struct arena *arena;      /* the catalog's: what is kept goes there */
    struct config *config;
    struct catalog *catalog;
    const char *dir;          /* of the file: "" or with a final slash */
    struct tls_cache *tls;    /* client contexts made so far, config_provider.c */
};

struct field;
struct section;
typedef void read_fn(struct reading *r, const struct field *f, const struct node *n, void *into);

enum shape { SHAPE_VALUE, SHAPE_SECTION /* a map of known keys */, SHAPE_NAMED /* NAME: section */, SHAPE_LISTED /* - section */ };

#define REQUIRED "required"

struct field {
    const char *name, *type;
    const char *standard;     /* REQUIRED; or the default's text; in parentheses or empty: nothing is read */
    const char *doc;          /* a sentence without a final stop; also says what is missing */
    read_fn *read;
    size_t offset;            /* of the value in the section's struct, which is `into` */
    uint64_t min, max;
    const char *const *words; /* of read_word, ends with NULL */
    const struct section *section;
    enum shape shape;
};

struct section {
    const char *name;         /* "a provider", for messages */
    const struct field *fields;
    unsigned fields_n;
};
#define SECTION_FIELDS_MAX 24
#define SECTION(words, table) {.name = (words), .fields = (table), .fields_n = COUNT_OF(table)}

/* Reads a map by the section's table into the struct at `into`, reports unknown and missing keys. n NULL: all defaults. False when n is
 * no map. */
bool read_section(struct reading *r, const struct section *s, const struct node *n, void *into);
void read_inner(struct reading *r, const struct field *f, const struct node *n, void *into); /* a field that is a section of the same struct or one inside */

/* Values; what they write at into + f->offset stands beside each. */
void read_bool(struct reading *r, const struct field *f, const struct node *n, void *into);     /* bool */
void read_count(struct reading *r, const struct field *f, const struct node *n, void *into);    /* unsigned */
void read_size(struct reading *r, const struct field *f, const struct node *n, void *into);     /* uint64_t, bytes */
void read_duration(struct reading *r, const struct field *f, const struct node *n, void *into); /* uint64_t, ns */
void read_word(struct reading *r, const struct field *f, const struct node *n, void *into);     /* int: the place in f->words */
void read_text(struct reading *r, const struct field *f, const struct node *n, void *into);     /* const char * */
void read_path(struct reading *r, const struct field *f, const struct node *n, void *into);     /* const char *, joined with the folder */
void read_secret(struct reading *r, const struct field *f, const struct node *n, void *into);   /* struct span, in the arena */
void read_not_yet(struct reading *r, const struct field *f, const struct node *n, void *into);  /* always a mistake, with f->doc */

struct secret_digest {
    bool known;
    uint8_t digest[SHA256_BYTES];
};
void read_digest(struct reading *r, const struct field *f, const struct node *n, void *into);   /* struct secret_digest; also sha256:HEX */

/* Is this scalar a text of at most max bytes without control characters? Tells the mistake when not. what: "a provider's name". */
bool check_text(struct reading *r, const struct node *n, const char *what, size_t max);
/* Is n a scalar? Tells "NAME must be TYPE" when not. */
bool check_scalar(struct reading *r, const struct field *f, const struct node *n);
char *config_path(struct reading *r, struct span path);
const char *config_env(const struct reading *r, const char *name);
/* The value behind env:NAME or file:PATH into out (at most max bytes, without the final line end), its length; -1 when a mistake was told. */
long read_reference(struct reading *r, const struct node *n, struct span reference, char *out, size_t max);
bool is_reference(struct span text); /* begins with env: or file: */
#define SECRET_BYTES_MAX 16384u
/* At most max bytes of a file into out, through the world; -1 and *ret_why. As many as max: there may be more. */
long config_read_file(const struct config_world *world, const char *path, char *out, size_t max, const char **ret_why);

#define NAME_BYTES_MAX 47u /* as long as the ledger keeps names */
const struct node *value_in(const struct node *map, struct span name); /* NULL: not there, or no map */
struct globs {
    struct span *list;
    unsigned n;
};
read_fn read_model_globs;                                                /* struct globs: names and patterns of models */
void check_model_globs(struct reading *r, const struct node *globs);     /* each is one of `models:`; NULL: nothing to check */

/* Readers of whole parts, and their tables. */
extern const struct section provider_section, deployment_section, model_section, key_section, budget_section, ledger_section;
read_fn read_providers, read_models, read_keys, read_budgets;
void check_keys(struct reading *r, const struct node *keys, const struct node *admin); /* patterns, secrets used twice; after all was read */
struct tls_cache;
void tls_cache_free(struct tls_cache *cache);

#endif
