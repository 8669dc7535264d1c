/* SPDX-License-Identifier: Apache-2.0
 *
 * models.dev: providers, their models, and for each a `cost` per 1M tokens with `tiers` by context length. Either as its api.json has it (models
 * under `models` of a provider) or merged from its files (models directly under the provider).
 */
#include "cli/price_import.h"

static const struct { const char *key; enum usage_class usage; } keys[] = {
    {"input", USAGE_INPUT},           {"output", USAGE_OUTPUT},           {"reasoning", USAGE_REASONING},       {"cache_read", USAGE_CACHE_READ},
    {"cache_write", USAGE_CACHE_WRITE}, {"input_audio", USAGE_INPUT_AUDIO}, {"output_audio", USAGE_OUTPUT_AUDIO},
};

struct reading {
    struct import *import;
    struct import_model *model;
    struct span provider;
    int64_t steps[16];  /* of cost.tiers, by place; 0: none told yet, -1: of a kind that is not understood */
    struct span service_tier; /* of experimental.modes.fast, or empty */
};

/* The place of "cost.tiers[3].rest", and rest; -1 when it is no such path. */
static int tier_place(const char *path, const char **ret_rest)
{
    static const char head[] = "cost.tiers[";
    struct span rest = span_str(path);
    uint64_t place;
    if (!span_starts(rest, span_str(head)))
        return -1;
    rest = span_from(rest, sizeof head - 1);
    struct span digits = span_cut(&rest, ']');
    if (!span_to_u64(digits, &place) || place >= COUNT_OF(((struct reading *)0)->steps) || rest.n < 2)
        return -1;
    *ret_rest = rest.p + 1;
    return (int)place;
}

/* First pass: what the conditions are, wherever they stand among the prices. */
static void take_conditions(void *owner, const struct import_leaf *leaf)
{
    struct reading *r = owner;
    const char *rest;
    uint64_t size;
    int place = tier_place(leaf->path, &rest);
    if (place >= 0 && strcmp(rest, "tier.size") == 0 && leaf->type == JSON_NUMBER && r->steps[place] == 0)
        r->steps[place] = span_to_u64(leaf->text, &size) && size > 0 && size < INT64_MAX ? (int64_t)size : -1;
    if (place >= 0 && strcmp(rest, "tier.type") == 0 && !span_eq(leaf->text, SPAN("context")))
        r->steps[place] = -1;
    if (strcmp(leaf->path, "experimental.modes.fast.provider.body.service_tier") == 0 && leaf->type == JSON_STRING)
        r->service_tier = leaf->text;
}

static bool set_class(struct reading *r, const char *key, struct import_condition when, const struct import_leaf *leaf)
{
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (strcmp(key, keys[i].key) == 0 && leaf->type == JSON_NUMBER) {
            import_price(r->import, r->model, when, keys[i].usage, leaf->text, 9, leaf->path);
            return true;
        }
    return false;
}

static bool take_step(struct reading *r, const struct import_leaf *leaf)
{
    const char *rest;
    int place = tier_place(leaf->path, &rest);
    if (place < 0)
        return false;
    return strncmp(rest, "tier.", 5) == 0 || (r->steps[place] > 0 && set_class(r, rest, (struct import_condition){.above = r->steps[place]}, leaf));
}

static bool take_mode(struct reading *r, const struct import_leaf *leaf)
{
    static const char head[] = "experimental.modes.fast.cost.";
    return strncmp(leaf->path, head, sizeof head - 1) == 0 && r->service_tier.n &&
           set_class(r, leaf->path + sizeof head - 1, (struct import_condition){.tier = r->service_tier}, leaf);
}

/* The shape that went before `tiers`. */
static bool take_over_200k(struct reading *r, const struct import_leaf *leaf)
{
    static const char head[] = "cost.context_over_200k.";
    return strncmp(leaf->path, head, sizeof head - 1) == 0 &&
           (r->steps[0] != 0 || set_class(r, leaf->path + sizeof head - 1, (struct import_condition){.above = 200000}, leaf));
}

static void take_leaf(void *owner, const struct import_leaf *leaf)
{
    struct reading *r = owner;
    bool is_price = strncmp(leaf->path, "cost.", 5) == 0 || (strncmp(leaf->path, "experimental.", 13) == 0 && strstr(leaf->path, ".cost."));
    if (!is_price || take_step(r, leaf) || take_mode(r, leaf) || take_over_200k(r, leaf) ||
        (strncmp(leaf->path, "cost.", 5) == 0 && set_class(r, leaf->path + 5, (struct import_condition){.above = 0}, leaf)))
        return;
    import_note(r->import, r->model, leaf->path, "%.*s: no condition or class of usage is counted so", (int)(leaf->text.n < 60 ? leaf->text.n : 60), leaf->text.p);
}

static enum err take_model(void *owner, struct json *j, struct span key)
{
    struct reading r = *(struct reading *)owner;
    struct import_model m;
    struct json again;
    struct span bytes;
    enum err e = json_peek(j) == JSON_OBJECT ? json_skip(j, &bytes) : ERR_JSON;
    if (e)
        return e;
    import_begin(r.import, &m, r.provider, key);
    r.model = &m;
    json_init(&again, bytes);
    e = import_walk(&r.import->arena, &again, take_conditions, &r);
    json_init(&again, bytes);
    e = e ? e : import_walk(&r.import->arena, &again, take_leaf, &r);
    import_end(r.import, &m);
    return e;
}

/* A member of a provider: `models`, a model, or something about the provider itself. */
static enum err take_member(void *owner, struct json *j, struct span key)
{
    struct reading *r = owner;
    if (json_peek(j) != JSON_OBJECT)
        return json_skip(j, NULL);
    if (span_eq(key, SPAN("models")))
        return import_each_member(&r->import->arena, j, take_model, r);
    return take_model(r, j, key);
}

static enum err skip_member(void *owner, struct json *j, struct span key)
{
    ((struct import *)owner)->others++;
    return json_skip(j, NULL);
}

static enum err take_provider(void *owner, struct json *j, struct span key)
{
    struct import *i = owner;
    struct reading r = {.import = i, .provider = key};
    return import_each_member(&i->arena, j, import_wants(i, key) ? take_member : skip_member, import_wants(i, key) ? (void *)&r : (void *)i);
}

enum err import_models_dev(struct import *i, struct json *j)
{
    return import_each_member(&i->arena, j, take_provider, i);
}
