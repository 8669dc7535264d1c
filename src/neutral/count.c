/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting the input of a request; see count.h for what is counted and where the framing comes from.
 */
#include "neutral/count.h"

#define TOKENS_PER_MESSAGE 3
#define TOKENS_PER_NAME 1
#define TOKENS_BEFORE_ANSWER 3

#define EXACT_BYTES (512u * 1024u) /* of one request; what lies beyond is estimated from what was counted, so that nobody can buy seconds of CPU */
#define BYTES_PER_TOKEN 4

struct tally {
    enum tokenizer_encoding encoding;
    int64_t tokens;
    uint64_t bytes;      /* that tokens stands for */
    size_t exact_left;
};

static void tally_plain(struct tally *t, struct span text)
{
    struct span exact = span_to(text, t->exact_left);
    uint64_t rest = text.n - exact.n;
    if (exact.n)
        t->tokens += (int64_t)tokenizer_count(t->encoding, exact);
    t->bytes += exact.n;
    t->exact_left -= exact.n;
    if (!rest)
        return;
    uint64_t tokens = t->bytes ? (uint64_t)t->tokens : 1, bytes = t->bytes ? t->bytes : BYTES_PER_TOKEN;
    t->tokens += (int64_t)(rest * tokens / bytes); /* rest and tokens are below 2^32: no overflow */
}

static void tally_text(struct tally *t, struct json_string text)
{
    struct buf plain;
    if (!text.has_escapes || !text.raw.n) {
        tally_plain(t, text.raw);
        return;
    }
    buf_init(&plain, text.raw.n + 16);
    if (json_unescape_to(&plain, text) == ERR_OK)
        tally_plain(t, buf_span(&plain));
    buf_fini(&plain);
}

static void tally_part(struct tally *t, const struct neutral_part *p)
{
    tally_text(t, p->text);
    if (p->kind == NEUTRAL_TOOL_CALL) {
        tally_plain(t, p->call.name);
        tally_text(t, p->call.arguments);
        tally_plain(t, p->call.arguments_json);
    }
    if (p->kind == NEUTRAL_TOOL_RESULT)
        for (const struct neutral_part *c = p->result.content; c; c = c->next)
            tally_text(t, c->text);
    if (p->kind == NEUTRAL_DOCUMENT && p->media.from == NEUTRAL_MEDIA_TEXT)
        tally_text(t, p->media.data);
}

static void tally_message(struct tally *t, const struct neutral_message *m)
{
    t->tokens += TOKENS_PER_MESSAGE + (m->name.n ? TOKENS_PER_NAME : 0);
    tally_plain(t, span_str(neutral_role_name(m->role)));
    tally_plain(t, m->name);
    for (const struct neutral_part *p = m->parts; p; p = p->next)
        tally_part(t, p);
}

static void tally_tool(struct tally *t, const struct neutral_tool *tool)
{
    tally_plain(t, tool->name);
    tally_text(t, tool->description);
    tally_plain(t, tool->schema_json);
}

static void tally_token_array(struct tally *t, struct span json)
{
    struct json j;
    json_init(&j, json);
    if (json_enter_array(&j) == ERR_OK)
        while (json_next_item(&j) && json_skip(&j, NULL) == ERR_OK)
            t->tokens++;
}

int64_t neutral_count_input(const struct neutral_request *r, enum tokenizer_encoding encoding)
{
    struct tally t = {.encoding = encoding, .tokens = r->task == NEUTRAL_CHAT ? TOKENS_BEFORE_ANSWER : 0, .exact_left = EXACT_BYTES};
    for (const struct neutral_message *m = r->messages; m; m = m->next)
        tally_message(&t, m);
    for (const struct neutral_tool *tool = r->tools; tool; tool = tool->next)
        tally_tool(&t, tool);
    for (const struct neutral_input *i = r->inputs; i; i = i->next)
        if (i->kind == NEUTRAL_INPUT_TEXT)
            tally_text(&t, i->text);
        else
            tally_token_array(&t, i->tokens_json);
    tally_text(&t, r->suffix);
    return t.tokens;
}
