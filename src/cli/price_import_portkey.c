/* SPDX-License-Identifier: Apache-2.0
 *
 * Portkey's pricing files, one object of providers: prices in cents per token. A model has `pricing_config`, with `batch_config` for the batch
 * tier; or `custom_pricing`, which says the same again by region, execution mode and context length, and then counts alone.
 */
#include "cli/price_import.h"

#define SCALE_CENTS 13 /* 10^-15 of a dollar in a cent is 10^13 */

static const struct { const char *key; enum usage_class usage; } keys[] = {
    {"request_token", USAGE_INPUT},
    {"request_text_token", USAGE_INPUT},
    {"response_token", USAGE_OUTPUT},
    {"response_text_token", USAGE_OUTPUT},
    {"cache_read_input_token", USAGE_CACHE_READ},
    {"cache_read_text_input_token", USAGE_CACHE_READ},
    {"cached_text_input_token", USAGE_CACHE_READ},
    {"cache_write_input_token", USAGE_CACHE_WRITE},
    {"additional_units.cache_write_1h", USAGE_CACHE_WRITE_1H},
    {"request_audio_token", USAGE_INPUT_AUDIO},
    {"additional_units.request_audio_token", USAGE_INPUT_AUDIO},
    {"response_audio_token", USAGE_OUTPUT_AUDIO},
    {"additional_units.response_audio_token", USAGE_OUTPUT_AUDIO},
    {"request_image_token", USAGE_INPUT_IMAGE},
    {"response_image_token", USAGE_OUTPUT_IMAGE},
    {"additional_units.image_token", USAGE_OUTPUT_IMAGE},
    {"additional_units.thinking_token", USAGE_REASONING},
    {"additional_units.web_search", USAGE_SEARCH},
    {"additional_units.search", USAGE_SEARCH},
    {"additional_units.video_seconds", USAGE_SECOND},
};

struct reading {
    struct import *import;
    struct import_model *model;
    struct span provider;
    bool has_custom, is_foreign; /* not in dollars */
    struct { struct span name; int64_t above; } contexts[16];
    unsigned contexts_n;
    struct span images[64]; /* prices by size and quality: one class, so one price */
    unsigned images_n;
};

/* ---- where a leaf stands ---- */

static bool take_head(const char **path, const char *head)
{
    size_t n = strlen(head);
    bool there = strncmp(*path, head, n) == 0;
    *path += there ? n : 0;
    return there;
}

/* The path up to `until`, which it moves past; empty when until does not follow. */
static struct span take_to(const char **path, const char *until)
{
    const char *end = strstr(*path, until);
    if (!end)
        return SPAN_NONE;
    struct span taken = span_of(*path, (size_t)(end - *path));
    *path = end + strlen(until);
    return taken;
}

static bool find_context(const struct reading *r, struct span name, int64_t *ret)
{
    for (unsigned i = 0; i < r->contexts_n; i++)
        if (span_eq(r->contexts[i].name, name)) {
            *ret = r->contexts[i].above;
            return true;
        }
    return false;
}

/* "regions.eu-west-2.execution_modes.batch.context_tiers.gt-200k.": moves past it. */
static bool take_custom(const struct reading *r, const char **path, struct import_condition *when)
{
    if (!take_head(path, "regions."))
        return false;
    when->region = take_to(path, ".execution_modes.");
    if (span_eq(when->region, SPAN("default")))
        when->region = SPAN_NONE;
    const char *mode = *path;
    struct span tier = take_to(path, ".");
    if (mode == *path)
        return false;
    when->tier = span_eq(tier, SPAN("standard")) ? SPAN_NONE : tier;
    return !take_head(path, "context_tiers.") || find_context(r, take_to(path, "."), &when->above);
}

/* ---- leaves ---- */

static void note(struct reading *r, const struct import_leaf *leaf, const char *why)
{
    import_note(r->import, r->model, leaf->path, "%.*s: %s", (int)(leaf->text.n < 60 ? leaf->text.n : 60), leaf->text.p, why);
}

/* "us,eu,au": the same price in each. */
static void set_regions(struct reading *r, struct import_condition when, enum usage_class usage, const struct import_leaf *leaf)
{
    struct span regions = when.region;
    do {
        when.region = span_cut(&regions, ',');
        import_price(r->import, r->model, when, usage, leaf->text, SCALE_CENTS, leaf->path);
    } while (regions.p);
}

static void set_unit(struct reading *r, struct import_condition when, const char *unit, const struct import_leaf *leaf)
{
    struct span name = span_str(unit);
    if (!span_ends(name, SPAN(".price")) || leaf->type != JSON_NUMBER) {
        note(r, leaf, "is no price of a unit");
        return;
    }
    name = span_to(name, name.n - (sizeof ".price" - 1));
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (span_eq(name, span_str(keys[i].key))) {
            set_regions(r, when, keys[i].usage, leaf);
            return;
        }
    if (span_starts(name, SPAN("image.")) && !when.tier.n && r->images_n < COUNT_OF(r->images))
        r->images[r->images_n++] = leaf->text;
    else
        note(r, leaf, "no class of usage is counted so");
}

static void take_leaf(void *owner, const struct import_leaf *leaf)
{
    struct reading *r = owner;
    const char *path = leaf->path;
    struct import_condition when = {.above = 0};
    bool is_custom = take_head(&path, "custom_pricing.");
    if (r->is_foreign || r->has_custom != is_custom || (is_custom && take_head(&path, "context_tier_map.")))
        return;
    if (is_custom && !take_custom(r, &path, &when)) {
        note(r, leaf, "its region, mode or context length is not understood");
        return;
    }
    if (!take_head(&path, "pricing_config.") || strcmp(path, "currency") == 0 || strncmp(path, "calculate.", 10) == 0)
        return; /* the currency was looked at; the formulas add up prices by class, as we do */
    if (take_head(&path, "batch_config."))
        when.tier = SPAN("batch");
    else if (!take_head(&path, "pay_as_you_go.")) {
        note(r, leaf, "not paid by use");
        return;
    }
    set_unit(r, when, path, leaf);
}

/* First pass: is there a finer table, which contexts does it name, and is it in dollars? */
static void take_conditions(void *owner, const struct import_leaf *leaf)
{
    struct reading *r = owner;
    const char *path = leaf->path;
    uint64_t above;
    if (strcmp(path, "pricing_config.currency") == 0 && !span_eq(leaf->text, SPAN("USD"))) {
        note(r, leaf, "is not US dollars: none of its prices was taken");
        r->is_foreign = true;
    }
    if (!take_head(&path, "custom_pricing."))
        return;
    r->has_custom = true;
    if (take_head(&path, "context_tier_map.") && leaf->type == JSON_STRING && span_to_u64(span_str(path), &above) && above < INT64_MAX &&
        r->contexts_n < COUNT_OF(r->contexts)) {
        r->contexts[r->contexts_n].name = leaf->text;
        r->contexts[r->contexts_n++].above = (int64_t)above;
    }
}

static void set_images(struct reading *r)
{
    for (unsigned i = 1; i < r->images_n; i++)
        if (!span_eq(r->images[i], r->images[0])) {
            import_note(r->import, r->model, "image", "the price depends on size or quality, which are not counted");
            return;
        }
    if (r->images_n)
        import_price(r->import, r->model, (struct import_condition){.above = 0}, USAGE_IMAGE, r->images[0], SCALE_CENTS, "image");
}

/* The model "default" is the frame that the others are laid over. Nearly all of its prices are 0. */
static void take_default(void *owner, const struct import_leaf *leaf)
{
    money number;
    if (leaf->type == JSON_NUMBER && (money_parse(leaf->text, &number) != ERR_OK || number != 0))
        note(owner, leaf, "holds for every model that says nothing else, which a book cannot say: write it where it matters");
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
    if (span_eq(key, SPAN("default"))) {
        json_init(&again, bytes);
        return import_walk(&r.import->arena, &again, take_default, &r);
    }
    json_init(&again, bytes);
    e = import_walk(&r.import->arena, &again, take_conditions, &r);
    json_init(&again, bytes);
    e = e ? e : import_walk(&r.import->arena, &again, take_leaf, &r);
    set_images(&r);
    import_end(r.import, &m);
    return e;
}

static enum err skip_model(void *owner, struct json *j, struct span key)
{
    ((struct import *)owner)->others++;
    return json_skip(j, NULL);
}

static enum err take_provider(void *owner, struct json *j, struct span key)
{
    struct import *i = owner;
    struct reading r = {.import = i, .provider = key};
    return import_each_member(&i->arena, j, import_wants(i, key) ? take_model : skip_model, import_wants(i, key) ? (void *)&r : (void *)i);
}

enum err import_portkey(struct import *i, struct json *j)
{
    return import_each_member(&i->arena, j, take_provider, i);
}
