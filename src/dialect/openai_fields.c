/* SPDX-License-Identifier: Apache-2.0
 *
 * The plain keys of requests: one table, read in one direction and written in the other.
 */
#include "dialect/openai_message.h"

enum field_kind { FIELD_PLAIN, FIELD_TEXT, FIELD_RAW, FIELD_INT, FIELD_NUMBER, FIELD_SAID };

#define CHAT (1u << NEUTRAL_CHAT)
#define COMPLETION (1u << NEUTRAL_COMPLETION)
#define EMBEDDING (1u << NEUTRAL_EMBEDDING)
#define EVERY (CHAT | COMPLETION | EMBEDDING)
#define AT(member) offsetof(struct neutral_request, member)

struct openai_field {
    const char *key;
    unsigned tasks;
    enum field_kind kind;
    size_t at;
    bool compatible_only; /* OpenAI itself refuses it: never made out of another dialect's request */
};

static const struct openai_field fields[] = {
    {"max_completion_tokens", CHAT, FIELD_INT, AT(output_tokens_max), false},
    {"temperature", CHAT | COMPLETION, FIELD_NUMBER, AT(temperature), false},
    {"top_p", CHAT | COMPLETION, FIELD_NUMBER, AT(top_p), false},
    {"min_p", CHAT | COMPLETION, FIELD_NUMBER, AT(min_p), true},
    {"top_k", CHAT | COMPLETION, FIELD_INT, AT(top_k), true},
    {"frequency_penalty", CHAT | COMPLETION, FIELD_NUMBER, AT(frequency_penalty), false},
    {"presence_penalty", CHAT | COMPLETION, FIELD_NUMBER, AT(presence_penalty), false},
    {"n", CHAT | COMPLETION, FIELD_INT, AT(choices), false},
    {"seed", CHAT | COMPLETION, FIELD_INT, AT(seed), false},
    {"logit_bias", CHAT | COMPLETION, FIELD_RAW, AT(logit_bias_json), false},
    {"logprobs", CHAT, FIELD_SAID, AT(logprobs), false},
    {"top_logprobs", CHAT, FIELD_INT, AT(top_logprobs), false},
    {"logprobs", COMPLETION, FIELD_INT, AT(top_logprobs), false},
    {"parallel_tool_calls", CHAT, FIELD_SAID, AT(parallel_tools), false},
    {"reasoning_effort", CHAT, FIELD_PLAIN, AT(reasoning.effort), false},
    {"verbosity", CHAT, FIELD_PLAIN, AT(verbosity), false},
    {"modalities", CHAT, FIELD_RAW, AT(modalities_json), false},
    {"moderation", CHAT, FIELD_RAW, AT(safety_json), true},
    {"user", EVERY, FIELD_TEXT, AT(user), false},
    {"safety_identifier", CHAT, FIELD_TEXT, AT(safety_identifier), false},
    {"prompt_cache_key", CHAT, FIELD_TEXT, AT(cache_key), false},
    {"prompt_cache_retention", CHAT, FIELD_PLAIN, AT(cache_retention), false},
    {"metadata", CHAT | COMPLETION, FIELD_RAW, AT(metadata_json), false},
    {"store", CHAT, FIELD_SAID, AT(store), false},
    {"service_tier", CHAT | COMPLETION, FIELD_PLAIN, AT(service_tier), false},
    {"echo", COMPLETION, FIELD_SAID, AT(echo), false},
    {"best_of", COMPLETION, FIELD_INT, AT(best_of), false},
    {"suffix", COMPLETION, FIELD_TEXT, AT(suffix), false},
    {"dimensions", EMBEDDING, FIELD_INT, AT(dimensions), false},
    {"input_type", EMBEDDING, FIELD_PLAIN, AT(input_type), true},
};

bool openai_take_said(struct json *j, enum neutral_said *ret)
{
    bool value;
    if (json_peek(j) != JSON_BOOL || json_read_bool(j, &value))
        return false;
    *ret = value ? NEUTRAL_YES : NEUTRAL_NO;
    return true;
}

bool openai_take_int(struct json *j, struct neutral_int *ret)
{
    struct json ahead = *j;
    int64_t value;
    if (json_peek(j) != JSON_NUMBER || json_read_i64(&ahead, &value))
        return false;
    *j = ahead;
    *ret = (struct neutral_int){true, value};
    return true;
}

const struct openai_field *openai_field_find(enum neutral_task task, struct json_string key)
{
    for (unsigned i = 0; i < COUNT_OF(fields); i++)
        if ((fields[i].tasks >> task & 1) && json_key_is(key, span_str(fields[i].key)))
            return &fields[i];
    return NULL;
}

const char *openai_field_wanted(const struct openai_field *f)
{
    static const char *const wanted[] = {"a string", "a string", "a value", "an integer", "a number", "true or false"};
    return wanted[f->kind];
}

const char *openai_field_key(const struct openai_field *f) { return f->key; }

bool openai_field_read(const struct openai_field *f, struct json *j, struct arena *a, struct neutral_request *r)
{
    void *to = (char *)r + f->at;
    struct json_string text = {.raw = SPAN_NONE};
    bool fits = false;
    switch (f->kind) {
    case FIELD_PLAIN:
        if ((fits = openai_take_text(j, &text)) && text.raw.p)
            *(struct span *)to = json_unescape(a, text);
        break;
    case FIELD_TEXT: fits = openai_take_text(j, to); break;
    case FIELD_RAW: fits = json_skip(j, to) == ERR_OK; break;
    case FIELD_INT: fits = openai_take_int(j, to); break;
    case FIELD_SAID: fits = openai_take_said(j, to); break;
    case FIELD_NUMBER: fits = json_peek(j) == JSON_NUMBER && json_read_number(j, &((struct neutral_number *)to)->text) == ERR_OK; break;
    }
    return fits;
}

static void write_field(struct json_out *o, const struct neutral_request *r, const struct openai_field *f)
{
    const void *from = (const char *)r + f->at;
    switch (f->kind) {
    case FIELD_PLAIN: json_out_member_span(o, f->key, *(const struct span *)from); break;
    case FIELD_TEXT: json_out_member_text(o, f->key, *(const struct json_string *)from); break;
    case FIELD_RAW: json_out_member_raw(o, f->key, *(const struct span *)from); break;
    case FIELD_INT: json_out_member_int(o, f->key, *(const struct neutral_int *)from); break;
    case FIELD_SAID: json_out_member_said(o, f->key, *(const enum neutral_said *)from); break;
    case FIELD_NUMBER: json_out_member_raw(o, f->key, ((const struct neutral_number *)from)->text); break;
    }
}

static bool field_is_said(const struct neutral_request *r, const struct openai_field *f)
{
    const void *from = (const char *)r + f->at;
    switch (f->kind) {
    case FIELD_INT: return ((const struct neutral_int *)from)->said;
    case FIELD_SAID: return *(const enum neutral_said *)from != NEUTRAL_UNSAID;
    case FIELD_NUMBER: return ((const struct neutral_number *)from)->text.p != NULL;
    case FIELD_TEXT: return ((const struct json_string *)from)->raw.p != NULL;
    default: return ((const struct span *)from)->p != NULL;
    }
}

void openai_fields_write(struct json_out *o, const struct neutral_request *r, bool ours)
{
    for (unsigned i = 0; i < COUNT_OF(fields); i++) {
        bool old_name = fields[i].at == AT(output_tokens_max) && r->output_tokens_max_old;
        if ((fields[i].tasks >> r->task & 1) && !old_name && (ours || !fields[i].compatible_only))
            write_field(o, r, &fields[i]);
    }
}

const char *openai_fields_compatible_only(const struct neutral_request *r, unsigned *at)
{
    while (*at < COUNT_OF(fields)) {
        const struct openai_field *f = &fields[(*at)++];
        if (f->compatible_only && field_is_said(r, f))
            return f->key;
    }
    return NULL;
}
