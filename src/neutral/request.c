/* SPDX-License-Identifier: Apache-2.0
 *
 * The few things that every dialect does with a neutral request: escaping, arguments of calls in either form, extra keys.
 */
#include "neutral/request.h"

#include <stdlib.h>

#include "base/limits.h"

void neutral_request_init(struct neutral_request *r, struct arena *arena)
{
    *r = (struct neutral_request){.arena = arena};
}

double neutral_number_value(struct neutral_number n, double unsaid)
{
    struct json j;
    double value;
    json_init(&j, n.text);
    return n.text.p && json_read_double(&j, &value) == ERR_OK ? value : unsaid;
}

static bool is_plain(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < 0x20 || (unsigned char)text.p[i] >= 0x7f || text.p[i] == '"' || text.p[i] == '\\')
            return false;
    return true;
}

struct json_string neutral_escape(struct arena *a, struct span plain)
{
    struct json_string s = {.raw = {plain.p ? plain.p : "", plain.n}};
    if (is_plain(plain))
        return s;
    struct buf b;
    buf_init(&b, 6 * plain.n + 2);
    CHECK(json_write_string(&b, plain) == ERR_OK); /* like an arena, we do not limp on without memory */
    struct span quoted = arena_dup(a, buf_span(&b));
    buf_fini(&b);
    s.raw = span_of(quoted.p + 1, quoted.n - 2);
    s.has_escapes = memchr(s.raw.p, '\\', s.raw.n) != NULL;
    return s;
}

static bool is_blank(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!strchr(" \t\r\n", text.p[i]) || text.p[i] == '\0')
            return false;
    return true;
}

enum err neutral_call_object(struct arena *a, const struct neutral_tool_call *call, struct span *ret_json)
{
    if (call->arguments_json.p) {
        *ret_json = call->arguments_json;
        return ERR_OK;
    }
    struct span text = call->arguments.raw.p ? json_unescape(a, call->arguments) : SPAN_NONE;
    struct json j;
    struct span object;
    if (is_blank(text)) { /* models without arguments to give say "" as often as {} */
        *ret_json = SPAN("{}");
        return ERR_OK;
    }
    json_init(&j, text);
    if (json_peek(&j) != JSON_OBJECT || json_skip(&j, &object) || json_finish(&j))
        return ERR_JSON;
    *ret_json = object;
    return ERR_OK;
}

struct json_string neutral_call_text(struct arena *a, const struct neutral_tool_call *call)
{
    if (call->arguments_json.p)
        return neutral_escape(a, call->arguments_json);
    return call->arguments.raw.p ? call->arguments : (struct json_string){.raw = SPAN("")};
}

struct neutral_extra *neutral_extra_add(struct arena *a, struct neutral_extra **list, struct span key, struct span value_json)
{
    struct neutral_extra *extra = ARENA_NEW(a, struct neutral_extra);
    extra->key = key;
    extra->value_json = value_json;
    NEUTRAL_APPEND(list, extra);
    return extra;
}

const struct neutral_extra *neutral_extra_find(const struct neutral_extra *list, struct span key)
{
    while (list && !span_eq(list->key, key))
        list = list->next;
    return list;
}

const char *neutral_role_name(enum neutral_role r)
{
    static const char *const names[] = {"system", "developer", "user", "assistant", "tool"};
    return (unsigned)r < COUNT_OF(names) ? names[r] : "?";
}

const char *neutral_part_kind_name(enum neutral_part_kind k)
{
    static const char *const names[] = {"text",     "reasoning", "refusal",   "image",       "audio",
                                        "video",    "document",  "tool_call", "tool_result", "other"};
    return (unsigned)k < COUNT_OF(names) ? names[k] : "?";
}

const char *neutral_shape_name(enum neutral_shape s)
{
    static const char *const names[] = {"none",      "openai-chat", "openai-completions", "openai-embeddings", "openai-responses",
                                        "anthropic", "gemini",      "bedrock-converse",   "oci",               "ollama"};
    return (unsigned)s < COUNT_OF(names) ? names[s] : "?";
}
