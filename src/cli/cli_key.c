/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente key new|list|revoke`. Keys live in the config file, which is the operator's: nothing here rewrites it. `new` prints a secret once
 * with the line to add, `revoke` says which line to change.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "cli/cli.h"

static const char usage[] =
    "usage: entente key new --name NAME [--department D] [--party P]\n"
    "       entente key list --config FILE [--json]\n"
    "       entente key revoke NAME --config FILE\n"
    "\n"
    "new     prints a fresh secret, once, and the line with its digest to put under `keys:`\n"
    "list    shows the keys of a config; secrets are not in it\n"
    "revoke  says where to write `revoked: true`; `entente reload` makes it count\n";

struct question {
    const char *verb, *word, *config, *name, *department, *party;
    bool json;
};

/* ---- new ---- */

#define SECRET_LETTERS 43u /* of 62 each: 256 bits */

/* Random bytes of 248 and more are thrown away, so that each of the 62 letters is as likely as the others. */
static void make_secret(char out[SECRET_LETTERS + 16])
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const char prefix[] = "sk-entente-";
    size_t at = sizeof prefix - 1, end = at + SECRET_LETTERS;
    memcpy(out, prefix, at);
    while (at < end) {
        uint8_t byte;
        digest_random(&byte, 1);
        if (byte < 248)
            out[at++] = letters[byte % 62];
    }
    out[end] = '\0';
}

/* A JSON string is a YAML string, whatever is in it. */
static void print_quoted(const char *before, const char *text)
{
    struct buf b;
    buf_init(&b, 4096);
    if (text && json_write_string(&b, span_str(text)) == ERR_OK)
        printf("%s%.*s", before, SPAN_ARG(buf_span(&b)));
    buf_fini(&b);
}

static int key_new(const struct cli_syntax *syntax, const struct question *q)
{
    char secret[SECRET_LETTERS + 16], hex[2 * SHA256_BYTES + 1];
    uint8_t digest[SHA256_BYTES];
    if (!q->name || !*q->name || strlen(q->name) > 47) {
        cli_error(syntax, "--name is needed, at most 47 bytes: what logs and records call the key");
        return CLI_USAGE;
    }
    make_secret(secret);
    digest_sha256(span_str(secret), digest);
    digest_hex(digest, sizeof digest, hex);
    printf("%s\n", secret);
    print_quoted("  - {name: ", q->name);
    printf(", secret: \"sha256:%s\"", hex);
    print_quoted(", department: ", q->department);
    print_quoted(", party: ", q->party);
    printf("}\n");
    fflush(stdout);
    fprintf(stderr, "The first line is the secret, shown only this once: give it to the client. Put the second line under `keys:`, then run `entente reload`.\n");
    digest_wipe(secret, sizeof secret);
    return CLI_DONE;
}

/* ---- list ---- */

static void print_models(const struct key *k, const char *between, const char *quote)
{
    for (unsigned i = 0; i < k->models_n; i++)
        printf("%s%s%.*s%s", i ? between : "", quote, SPAN_ARG(k->models[i]), quote);
}

static void list_json(const struct catalog *c)
{
    printf("[");
    for (unsigned i = 0; i < c->keys_n; i++) {
        const struct key *k = &c->keys[i];
        print_quoted(i ? ",\n {\"name\":" : "{\"name\":", k->name);
        print_quoted(",\"department\":", k->department);
        print_quoted(",\"party\":", k->party);
        printf(",\"revoked\":%s,\"models\":[", k->revoked ? "true" : "false");
        for (unsigned m = 0; m < k->models_n; m++)
            print_quoted(m ? "," : "", k->models[m].p);
        printf("]}");
    }
    printf("]\n");
}

static void list_text(const struct catalog *c)
{
    if (c->keys_n == 0) {
        printf("no keys: everybody who can connect may ask\n");
        return;
    }
    printf("%-24s  %-16s  %-12s  %-7s  %s\n", "NAME", "DEPARTMENT", "PARTY", "STATE", "MODELS");
    for (unsigned i = 0; i < c->keys_n; i++) {
        const struct key *k = &c->keys[i];
        printf("%-24s  %-16s  %-12s  %-7s  %s", k->name, *k->department ? k->department : "-", *k->party ? k->party : "-", k->revoked ? "revoked" : "valid",
               k->models_n ? "" : "all");
        print_models(k, ", ", "");
        printf("\n");
    }
}

static int key_list(const struct question *q)
{
    struct config *c = cli_load_config(q->config);
    if (!c)
        return CLI_USAGE;
    if (q->json)
        list_json(c->catalog);
    else
        list_text(c->catalog);
    config_free(c);
    return CLI_DONE;
}

/* ---- revoke ---- */

static const struct node *find_in(const struct node *map, struct span name)
{
    for (const struct node_item *item = map && map->kind == NODE_MAP ? map->items : NULL; item; item = item->next)
        if (span_eq(item->key->text, name))
            return item->value;
    return NULL;
}

static unsigned line_of_key(const struct node *root, const char *name)
{
    const struct node *keys = find_in(root, SPAN("keys"));
    for (const struct node_item *item = keys && keys->kind == NODE_LIST ? keys->items : NULL; item; item = item->next) {
        const struct node *at = find_in(item->value, SPAN("name"));
        if (at && at->kind == NODE_SCALAR && span_eq(at->text, span_str(name)))
            return at->line;
    }
    return 0;
}

/* The file was loaded a moment ago, so it is there and right; only places are still wanted. */
static unsigned line_in_file(const char *path, const char *name)
{
    struct arena arena;
    struct config_errors errors;
    char *text = malloc(LIMIT_CONFIG_BYTES);
    FILE *f = fopen(path, "re");
    size_t bytes = f && text ? fread(text, 1, LIMIT_CONFIG_BYTES, f) : 0;
    if (f)
        fclose(f);
    arena_init(&arena, 4096);
    config_errors_init(&errors);
    const struct node *root = config_tree_read(&arena, span_of(text, bytes), &errors);
    unsigned line = root ? line_of_key(root, name) : 0;
    config_errors_fini(&errors);
    arena_fini(&arena);
    free(text);
    return line;
}

static const struct key *key_named(const struct catalog *c, const char *name)
{
    for (unsigned i = 0; i < c->keys_n; i++)
        if (strcmp(c->keys[i].name, name) == 0)
            return &c->keys[i];
    return NULL;
}

static int key_revoke(const struct cli_syntax *syntax, const struct question *q)
{
    const char *name = q->word ? q->word : q->name;
    if (!name) {
        cli_error(syntax, "which key? e.g. entente key revoke legal-app --config FILE");
        return CLI_USAGE;
    }
    struct config *c = cli_load_config(q->config);
    if (!c)
        return CLI_USAGE;
    const struct key *k = key_named(c->catalog, name);
    bool is_revoked = k && k->revoked;
    config_free(c);
    if (!k)
        cli_error(syntax, "no key of %s is named \"%s\"", q->config, name);
    else if (is_revoked)
        printf("the key \"%s\" is revoked already\n", name);
    else
        fprintf(stderr, "%s:%u: nothing was changed yet: add `revoked: true` to the key \"%s\" here, then run `entente reload --config %s`\n", q->config,
                line_in_file(q->config, name), name, q->config);
    return is_revoked ? CLI_DONE : CLI_FAILED;
}

int cli_key(int argc, char **argv)
{
    int code;
    struct question q = {.verb = NULL};
    const char *words[2] = {NULL, NULL};
    const struct cli_option options[] = {{.name = "--config", .value = &q.config}, {.name = "--name", .value = &q.name},
                                         {.name = "--department", .value = &q.department}, {.name = "--party", .value = &q.party},
                                         {.name = "--json", .flag = &q.json}};
    const struct cli_syntax syntax = {"entente key", usage, options, COUNT_OF(options), words, 2};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    q.verb = words[0] ? words[0] : "";
    q.word = words[1];
    if (strcmp(q.verb, "new") == 0)
        return key_new(&syntax, &q);
    bool list = strcmp(q.verb, "list") == 0, revoke = strcmp(q.verb, "revoke") == 0;
    if ((list || revoke) && q.config)
        return list ? key_list(&q) : key_revoke(&syntax, &q);
    cli_error(&syntax, list || revoke ? "--config is missing" : "say new, list or revoke");
    return CLI_USAGE;
}
