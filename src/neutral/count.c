/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting the input of a request; see count.h for what is counted and where the framing comes from.
 */
#include "neutral/count.h"

#define TOKENS_PER_MESSAGE 3
#define TOKENS_PER_NAME 1
#define TOKENS_BEFORE_ANSWER 3

int64_t neutral_count_text(struct json_string text, enum tokenizer_encoding encoding)
{
    if (!text.raw.n)
        return 0;
    if (!text.has_escapes)
        return (int64_t)tokenizer_count(encoding, text.raw);
    struct buf plain;
    int64_t count = 0;
    buf_init(&plain, text.raw.n + 16);
    if (json_unescape_to(&plain, text) == ERR_OK)
        count = (int64_t)tokenizer_count(encoding, buf_span(&plain));
    buf_fini(&plain);
    return count;
}

static int64_t count_plain(struct span text, enum tokenizer_encoding encoding) { return text.n ? (int64_t)tokenizer_count(encoding, text) : 0; }

static int64_t count_part(const struct neutral_part *p, enum tokenizer_encoding encoding)
{
    int64_t n = neutral_count_text(p->text, encoding);
    if (p->kind == NEUTRAL_TOOL_CALL)
        n += count_plain(p->call.name, encoding) + neutral_count_text(p->call.arguments, encoding) + count_plain(p->call.arguments_json, encoding);
    if (p->kind == NEUTRAL_TOOL_RESULT)
        for (const struct neutral_part *c = p->result.content; c; c = c->next)
            n += neutral_count_text(c->text, encoding);
    if (p->kind == NEUTRAL_DOCUMENT && p->media.from == NEUTRAL_MEDIA_TEXT)
        n += neutral_count_text(p->media.data, encoding);
    return n;
}

static int64_t count_message(const struct neutral_message *m, enum tokenizer_encoding encoding)
{
    int64_t n = TOKENS_PER_MESSAGE + count_plain(span_str(neutral_role_name(m->role)), encoding);
    if (m->name.n)
        n += TOKENS_PER_NAME + count_plain(m->name, encoding);
    for (const struct neutral_part *p = m->parts; p; p = p->next)
        n += count_part(p, encoding);
    return n;
}

static int64_t count_tool(const struct neutral_tool *t, enum tokenizer_encoding encoding)
{
    return count_plain(t->name, encoding) + neutral_count_text(t->description, encoding) + count_plain(t->schema_json, encoding);
}

static int64_t count_token_array(struct span json)
{
    struct json j;
    int64_t n = 0;
    json_init(&j, json);
    if (json_enter_array(&j) == ERR_OK)
        while (json_next_item(&j) && json_skip(&j, NULL) == ERR_OK)
            n++;
    return n;
}

int64_t neutral_count_input(const struct neutral_request *r, enum tokenizer_encoding encoding)
{
    int64_t n = r->task == NEUTRAL_CHAT ? TOKENS_BEFORE_ANSWER : 0;
    for (const struct neutral_message *m = r->messages; m; m = m->next)
        n += count_message(m, encoding);
    for (const struct neutral_tool *t = r->tools; t; t = t->next)
        n += count_tool(t, encoding);
    for (const struct neutral_input *i = r->inputs; i; i = i->next)
        n += i->kind == NEUTRAL_INPUT_TEXT ? neutral_count_text(i->text, encoding) : count_token_array(i->tokens_json);
    return n + neutral_count_text(r->suffix, encoding);
}
