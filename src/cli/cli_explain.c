/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente explain`: the plan for a request by the config alone, every deployment kept or removed, with the reason. What a running gateway
 * knows of health is not in it.
 */
#include <stdio.h>

#include "cli/cli.h"
#include "policy/plan.h"
#include "serve/nearest.h"

static const char usage[] =
    "usage: entente explain --config FILE --model M [--key NAME] [--api chat|completions|embeddings] [--json]\n"
    "\n"
    "Shows who may answer a request for model M, in what order, and why: each deployment, kept or removed.\n"
    "  --key NAME  as the key of this name in the config, not its secret\n"
    "  --api A     what is asked for; chat when not said\n"
    "Exit code 1 when nobody may answer.\n";

struct question {
    const char *config, *model, *key, *api;
    bool json;
};

static const struct key *find_key(const struct catalog *c, const char *name, const struct cli_syntax *syntax)
{
    struct nearest near;
    nearest_init(&near, span_str(name));
    for (unsigned i = 0; i < c->keys_n; i++) {
        if (strcmp(c->keys[i].name, name) == 0)
            return &c->keys[i];
        nearest_offer(&near, c->keys[i].name);
    }
    cli_error(syntax, near.best ? "no key is named \"%s\": did you mean \"%s\"?" : "no key is named \"%s\"", name, near.best);
    return NULL;
}

static enum api find_api(const char *name)
{
    for (enum api a = API_NONE + 1; a < API_COUNT; a = (enum api)(a + 1))
        if (strcmp(api_name(a), name) == 0)
            return a;
    return API_NONE;
}

static const char *const select_words[] = {[SELECT_ORDERED] = "ordered", [SELECT_WEIGHTED] = "weighted", [SELECT_LEAST_LATENCY] = "least-latency"};
static const char *const select_notes[] = {
    [SELECT_ORDERED] = "",
    [SELECT_WEIGHTED] = "The order is drawn by weight for each request; this is one draw.",
    [SELECT_LEAST_LATENCY] = "A running gateway puts the faster ones first by what it has measured.",
};

static int width_of(int widest, struct span text)
{
    return (int)text.n > widest ? (int)text.n : widest;
}

static void print_text(const struct question *q, const struct model *m, const struct plan *plan, const struct key *key)
{
    int provider_width = 0, model_width = 0;
    struct span asked = span_str(q->model);
    for (unsigned i = 0; i < plan->entries_n; i++) {
        provider_width = width_of(provider_width, span_str(plan->entries[i].deployment->provider->name));
        model_width = width_of(model_width, deployment_model(plan->entries[i].deployment, asked));
    }
    printf("model %s%s, select: %s%s%s\n", q->model, span_eq(m->name, asked) ? "" : " (by the catch-all \"*\")", select_words[m->select],
           key ? ", key " : "", key ? key->name : "");
    for (unsigned i = 0; i < plan->entries_n; i++) {
        const struct plan_entry *entry = &plan->entries[i];
        struct span there = deployment_model(entry->deployment, asked);
        char place[16] = "-";
        if (!entry->removed)
            snprintf(place, sizeof place, "%u", i + 1);
        printf("%4s  %-*s  %-*.*s  %s%s\n", place, provider_width, entry->deployment->provider->name, model_width, SPAN_ARG(there),
               entry->removed ? "removed: " : "", entry->why);
    }
    if (*select_notes[m->select] && plan->usable_n > 1)
        printf("%s\n", select_notes[m->select]);
}

static bool write_json(struct buf *out, const struct question *q, const struct model *m, const struct plan *plan, enum err verdict)
{
    bool ok = buf_append(out, SPAN("{\"model\":")) == ERR_OK && json_write_string(out, span_str(q->model)) == ERR_OK &&
              buf_printf(out, ",\"select\":\"%s\",\"verdict\":\"%s\",\"plan\":[", select_words[m->select], err_code(verdict)) == ERR_OK;
    for (unsigned i = 0; i < plan->entries_n && ok; i++) {
        const struct plan_entry *entry = &plan->entries[i];
        ok = buf_printf(out, "%s{\"provider\":", i ? "," : "") == ERR_OK &&
             json_write_string(out, span_str(entry->deployment->provider->name)) == ERR_OK && buf_append(out, SPAN(",\"model\":")) == ERR_OK &&
             json_write_string(out, deployment_model(entry->deployment, span_str(q->model))) == ERR_OK &&
             buf_printf(out, ",\"weight\":%u,\"kept\":%s,\"why\":", entry->deployment->weight, entry->removed ? "false" : "true") == ERR_OK &&
             json_write_string(out, span_str(entry->why)) == ERR_OK && buf_append(out, SPAN("}")) == ERR_OK;
    }
    return ok && buf_append(out, SPAN("]}\n")) == ERR_OK;
}

static bool print_json(const struct question *q, const struct model *m, const struct plan *plan, enum err verdict)
{
    struct buf out;
    buf_init(&out, MIB);
    bool ok = write_json(&out, q, m, plan, verdict);
    if (ok)
        fwrite(buf_span(&out).p, 1, buf_bytes(&out), stdout);
    buf_fini(&out);
    return ok;
}

static int explain_model(const struct cli_syntax *syntax, const struct question *q, const struct model *m, const struct key *key)
{
    struct arena arena;
    struct plan plan;
    struct plan_facts facts = {.api = find_api(q->api), .key = key, .asked = span_str(q->model), .random = 1};
    arena_init(&arena, 1024);
    enum err verdict = plan_make(&arena, m, NULL, &facts, &plan);
    bool printed = true;
    if (q->json)
        printed = print_json(q, m, &plan, verdict);
    else
        print_text(q, m, &plan, key);
    arena_fini(&arena);
    if (verdict)
        cli_error(syntax, "%s", err_sentence(verdict));
    return verdict || !printed ? CLI_FAILED : CLI_DONE;
}

static int unknown_model(const struct cli_syntax *syntax, const struct question *q, const struct catalog *c)
{
    struct nearest near;
    nearest_init(&near, span_str(q->model));
    for (unsigned i = 0; i < c->models_n; i++)
        nearest_offer(&near, c->models[i].name.p);
    cli_error(syntax, near.best ? "the model \"%s\" is not configured: did you mean \"%s\"?" : "the model \"%s\" is not configured", q->model, near.best);
    return CLI_FAILED;
}

static int explain(const struct cli_syntax *syntax, const struct question *q, const struct catalog *c)
{
    const struct model *m = catalog_model(c, span_str(q->model));
    const struct key *key = q->key ? find_key(c, q->key, syntax) : NULL;
    if (q->key && !key)
        return CLI_FAILED;
    if (!m)
        return unknown_model(syntax, q, c);
    if (key && key->revoked)
        cli_error(syntax, "the key \"%s\" is revoked: the gateway refuses it before any plan", key->name);
    int code = explain_model(syntax, q, m, key);
    return key && key->revoked ? CLI_FAILED : code;
}

int cli_explain(int argc, char **argv)
{
    int code;
    struct question q = {.api = "chat"};
    const struct cli_option options[] = {{.name = "--config", .value = &q.config}, {.name = "--model", .value = &q.model}, {.name = "--key", .value = &q.key},
                                         {.name = "--api", .value = &q.api}, {.name = "--json", .flag = &q.json}};
    const struct cli_syntax syntax = {"entente explain", usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!q.config || !q.model) {
        cli_error(&syntax, "%s is missing", q.config ? "--model" : "--config");
        return CLI_USAGE;
    }
    if (find_api(q.api) == API_NONE) {
        cli_error(&syntax, "--api must be chat, completions or embeddings, not \"%s\"", q.api);
        return CLI_USAGE;
    }
    struct config *c = cli_load_config(q.config);
    code = c ? explain(&syntax, &q, c->catalog) : CLI_USAGE;
    config_free(c);
    return code;
}
