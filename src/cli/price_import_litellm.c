/* SPDX-License-Identifier: Apache-2.0
 *
 * LiteLLM's model_prices_and_context_window.json: an object of models, each with prices per token (or image, second …) as keys. Conditions are
 * in the key: `_above_200k_tokens` is a step, `_priority`, `_flex` and `_batches` are tiers.
 */
#include "cli/price_import.h"

/* What a key costs, once its conditions are off it. */
static const struct known_key {
    const char *key;
    enum usage_class usage;
    int scale;
    const char *mode; /* only for models of this mode; NULL: any */
} known_keys[] = {
    {"input_cost_per_token", USAGE_INPUT, 15, NULL},
    {"output_cost_per_token", USAGE_OUTPUT, 15, NULL},
    {"output_cost_per_reasoning_token", USAGE_REASONING, 15, NULL},
    {"cache_read_input_token_cost", USAGE_CACHE_READ, 15, NULL},
    {"input_cost_per_token_cache_hit", USAGE_CACHE_READ, 15, NULL},
    {"cache_creation_input_token_cost", USAGE_CACHE_WRITE, 15, NULL},
    {"cache_creation_input_token_cost_above_1hr", USAGE_CACHE_WRITE_1H, 15, NULL},
    {"input_cost_per_audio_token", USAGE_INPUT_AUDIO, 15, NULL},
    {"output_cost_per_audio_token", USAGE_OUTPUT_AUDIO, 15, NULL},
    {"input_cost_per_image_token", USAGE_INPUT_IMAGE, 15, NULL},
    {"output_cost_per_image_token", USAGE_OUTPUT_IMAGE, 15, NULL},
    {"input_cost_per_request", USAGE_REQUEST, 15, NULL},
    {"input_cost_per_query", USAGE_REQUEST, 15, NULL},
    {"code_interpreter_cost_per_session", USAGE_SESSION, 15, NULL},
    {"output_cost_per_image", USAGE_IMAGE, 15, NULL},
    {"input_cost_per_image", USAGE_IMAGE, 15, "image_generation"},
    {"input_cost_per_pixel", USAGE_PIXEL, 15, "image_generation"},
    {"output_cost_per_pixel", USAGE_PIXEL, 15, "image_generation"},
    {"input_cost_per_second", USAGE_SECOND, 15, "audio_transcription"},
    {"output_cost_per_second", USAGE_SECOND, 15, "audio_transcription"},
    {"output_cost_per_second", USAGE_SECOND, 15, "audio_speech"},
    {"output_cost_per_second", USAGE_SECOND, 15, "video_generation"},
};

static const struct { const char *suffix, *tier; } tiers[] = {{"_batches", "batch"}, {"_priority", "priority"}, {"_flex", "flex"}};

struct reading {
    struct import *import;
    struct import_model *model;
    struct span provider, mode;
    struct span searches[8]; /* search_context_cost_per_query.*: one class, so one price */
    unsigned searches_n;
};

/* ---- conditions ---- */

static bool take_suffix(struct span *key, const char *suffix)
{
    bool there = span_ends(*key, span_str(suffix));
    if (there)
        *key = span_to(*key, key->n - strlen(suffix));
    return there;
}

static ptrdiff_t find_last(struct span text, struct span word)
{
    for (size_t at = text.n; at-- > 0;)
        if (span_starts(span_from(text, at), word))
            return (ptrdiff_t)at;
    return -1;
}

/* "…_above_200k_tokens" */
static bool take_step(struct span *key, int64_t *above)
{
    struct span rest = *key, word = SPAN("_above_");
    uint64_t thousands;
    ptrdiff_t at = take_suffix(&rest, "k_tokens") ? find_last(rest, word) : -1;
    if (at < 0 || !span_to_u64(span_from(rest, (size_t)at + word.n), &thousands) || thousands == 0 || thousands > 1000000)
        return false;
    *above = (int64_t)thousands * 1000;
    *key = span_to(*key, (size_t)at);
    return true;
}

static struct import_condition take_condition(struct span *key)
{
    struct import_condition when = {.above = 0};
    for (size_t i = 0; i < COUNT_OF(tiers); i++)
        if (take_suffix(key, tiers[i].suffix))
            when.tier = span_str(tiers[i].tier);
    (void)take_step(key, &when.above);
    return when;
}

/* ---- keys ---- */

static bool is_price(struct span path)
{
    return span_find_span(path, SPAN("cost")) >= 0 || span_find_span(path, SPAN("pric")) >= 0;
}

static const char *reason_of(const struct reading *r, struct span key)
{
    if (span_find_span(key, SPAN("character")) >= 0)
        return "characters are not counted";
    if (span_find_span(key, SPAN("dbu")) >= 0 || span_find_span(key, SPAN("_db_")) >= 0)
        return "is not in US dollars";
    if (span_ends(key, SPAN("_per_second")) && !span_eq(r->mode, SPAN("audio_transcription")))
        return "seconds of this kind are not counted; for reserved throughput write a `capacity` under `terms:`";
    if (span_find_span(key, SPAN("audio_token")) >= 0)
        return "cached audio is not counted apart from cached text";
    return "no class of usage is counted so";
}

static bool set_known(struct reading *r, struct span key, struct import_condition when, const struct import_leaf *leaf)
{
    for (size_t i = 0; i < COUNT_OF(known_keys); i++) {
        const struct known_key *k = &known_keys[i];
        if (!span_eq(key, span_str(k->key)) || (k->mode && !span_eq(r->mode, span_str(k->mode))))
            continue;
        import_price(r->import, r->model, when, k->usage, leaf->text, k->scale, leaf->path);
        return true;
    }
    return false;
}

static void take_leaf(void *owner, const struct import_leaf *leaf)
{
    struct reading *r = owner;
    struct span key = span_str(leaf->path);
    if (!is_price(key) || leaf->type == JSON_NULL)
        return;
    if (span_starts(key, SPAN("search_context_cost_per_query.")) && leaf->type == JSON_NUMBER && r->searches_n < COUNT_OF(r->searches)) {
        r->searches[r->searches_n++] = leaf->text;
        return;
    }
    struct import_condition when = take_condition(&key);
    if (leaf->type != JSON_NUMBER || !set_known(r, key, when, leaf))
        import_note(r->import, r->model, leaf->path, "%.*s: %s", (int)(leaf->text.n < 60 ? leaf->text.n : 60), leaf->text.p, reason_of(r, key));
}

static void set_searches(struct reading *r)
{
    for (unsigned i = 1; i < r->searches_n; i++)
        if (!span_eq(r->searches[i], r->searches[0])) {
            import_note(r->import, r->model, "search_context_cost_per_query", "the price depends on the size of the search, which is not counted");
            return;
        }
    if (r->searches_n)
        import_price(r->import, r->model, (struct import_condition){.above = 0}, USAGE_SEARCH, r->searches[0], 15, "search_context_cost_per_query");
}

/* ---- models ---- */

static void take_head(void *owner, const struct import_leaf *leaf)
{
    struct reading *r = owner;
    if (strcmp(leaf->path, "litellm_provider") == 0 && leaf->type == JSON_STRING)
        r->provider = leaf->text;
    if (strcmp(leaf->path, "mode") == 0 && leaf->type == JSON_STRING)
        r->mode = leaf->text;
}

/* "azure/gpt-4o" of azure is gpt-4o there; "vertex_ai/…" of vertex_ai-language-models likewise. */
static struct span name_there(struct span key, struct span provider)
{
    struct span rest = key, first = span_cut(&rest, '/');
    return rest.n && span_starts(provider, first) ? rest : key;
}

static enum err take_model(void *owner, struct json *j, struct span key)
{
    struct import *i = owner;
    struct span bytes;
    struct json again;
    struct reading r = {.import = i};
    enum err e = json_peek(j) == JSON_OBJECT ? json_skip(j, &bytes) : ERR_JSON;
    if (e || span_eq(key, SPAN("sample_spec"))) /* which explains the keys */
        return e;
    json_init(&again, bytes);
    e = import_walk(&i->arena, &again, take_head, &r);
    if (e || !import_wants(i, r.provider)) {
        i->others++;
        return e;
    }
    struct import_model m;
    import_begin(i, &m, r.provider.n ? r.provider : SPAN("unknown"), name_there(key, r.provider));
    r.model = &m;
    json_init(&again, bytes);
    e = import_walk(&i->arena, &again, take_leaf, &r);
    set_searches(&r);
    import_end(i, &m);
    return e;
}

enum err import_litellm(struct import *i, struct json *j)
{
    return import_each_member(&i->arena, j, take_model, i);
}
