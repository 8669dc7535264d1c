/* SPDX-License-Identifier: Apache-2.0
 *
 * The config file: what a YAML text says, as settings of the server and a sealed catalog. Only the files serve/config* know the config
 * file; every other module takes its own options.
 *
 * Reading is all or nothing. Every mistake is told with its place and what to do about it, all at once; secrets are never repeated in
 * one. docs/config.md has every key, and a test holds that page and the parser's tables together.
 */
#ifndef ENTENTE_SERVE_CONFIG_H
#define ENTENTE_SERVE_CONFIG_H

#include "base/log.h"
#include "policy/catalog.h"
#include "serve/config_tree.h"

struct config_listen {
    struct sock_address address;
    const char *text;             /* as written */
    const char *cert_file, *key_file; /* or NULL: plain */
    struct tls_context *tls;      /* made of these; owned by the config */
};

struct config_log {
    enum log_level level;
    bool exchanges;               /* one line for each request */
};

struct config_limits {
    uint64_t body_bytes;          /* of one request */
    uint64_t memory_bytes;        /* for request bodies of all connections of one worker together */
    unsigned connections;         /* of clients, per worker */
    unsigned requests;            /* under way, per worker */
};

struct config_timeouts {
    uint64_t connect_ns, first_byte_ns, idle_ns, total_ns;      /* provider side; the standard for each provider */
    uint64_t head_ns, body_ns, keep_alive_ns, write_ns, ping_ns; /* client side */
};

struct config_ledger {
    const struct zone *zone;      /* the catalog's */
    enum period_unit period;      /* what is settled at once */
    uint64_t spool_bytes;         /* 0: no spool */
    const char *spool_path;       /* NULL: in the data directory */
    uint64_t keep_ns;             /* 0: single requests are kept for ever */
    const char *origin;           /* of a new ledger; NULL: the standard */
    unsigned checkpoint_every;    /* entries; 0: only at day ends and at close */
};

enum config_durability { DURABILITY_STANDARD, DURABILITY_STRICT, DURABILITY_NONE };

struct config {
    const char *path;             /* of the file; NULL when there is none */
    struct config_listen *listen;
    unsigned listen_n;
    const char *data_dir;         /* relative paths are relative to the file's folder, and are joined with it */
    unsigned workers;             /* at least 1; as many as this process may use cores when not said */
    struct config_log log;
    struct config_limits limits;
    struct config_timeouts timeouts;
    uint64_t drain_ns;
    enum config_durability durability;
    struct config_ledger ledger;
    const char *party;            /* who we are in price books and agreements */
    bool compress;                /* whole answers, for clients that say so */
    struct catalog *catalog;      /* sealed; one reference is the config's. Everything else of the config lives in its arena, too.
                                     generation is 0: who reloads sets it before anyone else sees the catalog */
};

/* What reading may look at besides the text. A member that is NULL means the process's own. */
struct config_world {
    const char *(*get_env)(void *owner, const char *name); /* NULL when unset */
    /* At most max bytes of the file into out; their number, or -1 and *ret_why. */
    long (*read_file)(void *owner, const char *path, char *out, size_t max, const char **ret_why);
    void *owner;
    bool without_tls;             /* certificates are not loaded and no TLS context is made: fuzzing, tests of the text alone */
};

/* ERR_SYNTAX: mistakes were added to errors (sorted), ret is untouched. world NULL: the process's own. path stays borrowed by errors. */
enum err config_load(const char *path, const struct config_world *world, struct config **ret, struct config_errors *errors) MUST_CHECK;
/* The same of a text that has been read already; file names it in messages, relative paths are relative to its folder. */
enum err config_parse(const char *file, struct span text, const struct config_world *world, struct config **ret,
                      struct config_errors *errors) MUST_CHECK;
/* What is served without a file: one provider `sim` of dialect openai at this address ("127.0.0.1:4010"), which answers for the named models
 * and, by a catch-all, for every other name, on 127.0.0.1:8080 without keys. */
struct config *config_for_simulator(const char *address, const char *const *models, unsigned models_n);
void config_free(struct config *c); /* accepts NULL */

/* Price books alone, as a sealed list with one reference. self: who we are; NULL: nobody in particular, and books between others are no mistake.
 * Errors as config_load. */
enum err config_prices_load(const char *const *files, unsigned files_n, const char *self, const struct config_world *world, struct price_list **ret,
                            struct config_errors *errors) MUST_CHECK;

/* Every key the parser knows, in the order of the page: "providers.NAME.url", "listen[].address". */
struct config_key {
    const char *path, *type, *standard, *doc;
};
void config_each_key(void (*fn)(void *owner, const struct config_key *key), void *owner);
void config_each_price_key(void (*fn)(void *owner, const struct config_key *key), void *owner); /* of price books: "books[].from", "lines[].tier", "fee.rate" */

#endif
