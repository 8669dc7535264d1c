/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a config file, in a world where every variable is set and every file is there. What is accepted must hold together; what is
 * refused must be told with a place inside the file, on one line each, without the world's secret.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "serve/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "canary-of-the-fuzzer"

static const char *get_env(void *owner, const char *name)
{
    return strcmp(name, "UNSET") == 0 || strstr(name, "proxy") || strstr(name, "PROXY") ? NULL : SECRET;
}

static long read_file(void *owner, const char *path, char *out, size_t max, const char **ret_why)
{
    *ret_why = "";
    size_t n = sizeof SECRET < max ? sizeof SECRET - 1 : max;
    memcpy(out, SECRET, n);
    return (long)n;
}

static void check_errors(const struct config_errors *errors, struct span text)
{
    bool secret_in_text = span_find_span(text, SPAN(SECRET)) >= 0; /* the fuzzer learns the word and writes it itself */
    struct arena arena;
    arena_init(&arena, 4096);
    CHECK(errors->n > 0 && errors->n <= LIMIT_CONFIG_ERRORS);
    for (unsigned i = 0; i < errors->n; i++) {
        struct span line = config_errors_line(errors, i, &arena);
        CHECK(span_find(line, '\n') < 0 && (secret_in_text || span_find_span(line, SPAN(SECRET)) < 0));
        CHECK(i == 0 || strcmp(errors->list[i].file, errors->list[i - 1].file) != 0 || errors->list[i].line >= errors->list[i - 1].line);
    }
    arena_fini(&arena);
}

static void check_config(const struct config *c)
{
    const struct catalog *k = c->catalog;
    CHECK(c->listen_n > 0 && c->workers > 0 && k->providers_n > 0 && k->models_n > 0);
    for (unsigned i = 0; i < k->providers_n; i++)
        CHECK(k->providers[i]->index == i && k->providers[i]->dialect && (k->providers[i]->origin.host || k->providers[i]->origin.unix_path));
    for (unsigned i = 0; i < k->deployments_n; i++)
        CHECK(k->deployments[i]->index == i && k->deployments[i]->provider);
    for (unsigned i = 0; i < k->models_n; i++) {
        CHECK(k->models[i].deployments_n > 0 && k->models[i].deployments_n <= LIMIT_DEPLOYMENTS);
        CHECK(catalog_model(k, k->models[i].name) == &k->models[i]);
    }
    for (unsigned i = 0; i < c->listen_n; i++)
        CHECK(k->keys_n > 0 || sock_address_is_loopback(&c->listen[i].address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct config_world world = {.get_env = get_env, .read_file = read_file, .without_tls = true};
    struct config *c = NULL;
    struct config_errors errors;
    config_errors_init(&errors);
    enum err e = config_parse("fuzz.yaml", span_of(data, size), &world, &c, &errors);
    CHECK((e == ERR_OK) == (c != NULL));
    if (c)
        check_config(c);
    else
        check_errors(&errors, span_of(data, size));
    config_free(c);
    config_errors_fini(&errors);
    return 0;
}
