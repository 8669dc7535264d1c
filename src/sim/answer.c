/* SPDX-License-Identifier: Apache-2.0
 *
 * Composes answers. The one complication is the maximum of tokens: text of words is made to measure, while JSON is made whole and then cut
 * at the last place where its count still fits, as a model that runs out of room would.
 */
#include "sim/answer.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "neutral/count.h"
#include "sim/random.h"
#include "sim/schema.h"
#include "sim/words.h"

#define DRAWN_MEDIAN 129.0 /* tokens; both fitted to azure-llm-2023-conv, see trace_fit.h */
#define DRAWN_SIGMA 0.86
#define DRAWN_MAX 1000
#define TEXT_BYTES_MAX (64u * MIB)
#define TOKENS_MAX INT64_C(4000000)   /* of all choices together */
#define FLOATS_MAX INT64_C(8000000)   /* of all vectors together */
#define CHOICES_MAX 128
#define COMPLETION_TOKENS_UNSAID 16

struct making {
    struct sim_answer *a;
    const struct neutral_request *r;
    struct arena *arena;
    const struct sim_answer_options *o;
    struct complaint *why;
    struct span said;      /* the last text of the user */
    int64_t room;          /* tokens that this choice may still have; INT64_MAX: no limit */
};

static enum err complain(struct complaint *why, enum err e, const char *param, const char *message)
{
    why->error = e;
    snprintf(why->param, sizeof why->param, "%s", param);
    snprintf(why->message, sizeof why->message, "%s", message);
    return e;
}

static int64_t count(const struct sim_answer *a, struct span text) { return text.n ? (int64_t)tokenizer_count(a->encoding, text) : 0; }

/* ---- what the prompt says ---- */

static struct span text_of_parts(struct arena *a, const struct neutral_part *p)
{
    struct span text = SPAN_NONE;
    for (; p; p = p->next)
        if (p->kind == NEUTRAL_TEXT && p->text.raw.p)
            text = json_unescape(a, p->text);
    return text;
}

/* The last text of the user, when nobody but the user spoke after it. */
static struct span last_said(const struct neutral_request *r)
{
    struct span text = SPAN_NONE;
    for (const struct neutral_message *m = r->messages; m; m = m->next)
        if (!m->next && m->role == NEUTRAL_USER)
            text = text_of_parts(r->arena, m->parts);
    for (const struct neutral_input *i = r->inputs; i; i = i->next)
        if (i->kind == NEUTRAL_INPUT_TEXT)
            text = json_unescape(r->arena, i->text);
    return text;
}

/* The number in "say exactly N tokens"; -1 when it is not said. Only the ends of long prompts are searched. */
static int64_t said_tokens(struct span said)
{
    static const size_t look = 512;
    struct span ends[2] = {span_to(said, look), span_from(said, said.n > look ? said.n - look : 0)};
    for (int i = 0; i < 2; i++) {
        ptrdiff_t at = span_find_span(ends[i], SPAN("say exactly "));
        struct span rest = at < 0 ? SPAN_NONE : span_from(ends[i], (size_t)at + 12);
        uint64_t n;
        if (rest.p && span_to_u64(span_cut(&rest, ' '), &n) && span_starts(rest, SPAN("token")) && n <= (uint64_t)TOKENS_MAX)
            return (int64_t)n;
    }
    return -1;
}

static int64_t drawn_tokens(uint64_t *random)
{
    double n = exp(log(DRAWN_MEDIAN) + DRAWN_SIGMA * sim_random_normal(random));
    return n < 1 ? 1 : n > DRAWN_MAX ? DRAWN_MAX : (int64_t)n;
}

/* ---- texts ---- */

static struct span take_text(struct making *m, struct buf *b)
{
    struct span text = arena_dup(m->arena, buf_span(b));
    buf_fini(b);
    return text;
}

static enum err words_text(struct making *m, int64_t tokens, struct span *ret)
{
    struct buf b;
    buf_init(&b, TEXT_BYTES_MAX);
    if (sim_words_write(&b, random_split(&m->a->random), (uint64_t)tokens) != ERR_OK) {
        buf_fini(&b);
        return complain(m->why, ERR_TOO_LARGE, "", "that many tokens are not simulated");
    }
    *ret = take_text(m, &b);
    return ERR_OK;
}

/* The longest beginning of the text, cut where sim_words_end allows, that has at most `room` tokens. */
static struct span fit(const struct sim_answer *a, struct span text, int64_t room)
{
    size_t good = 0, at = 0;
    if (count(a, text) <= room)
        return text;
    for (int64_t pieces = 0; at < text.n && pieces <= room * 4; pieces++) {
        at = sim_words_end(text, at);
        if (count(a, span_to(text, at)) > room)
            break;
        good = at;
    }
    return span_to(text, good);
}

static struct sim_part *add_part(struct making *m, struct sim_choice *c, enum neutral_part_kind kind)
{
    struct sim_part *parts = ARENA_ARRAY(m->arena, struct sim_part, c->parts_n + 1);
    if (c->parts_n)
        memcpy(parts, c->parts, c->parts_n * sizeof *parts);
    c->parts = parts;
    parts[c->parts_n].kind = kind;
    return &parts[c->parts_n++];
}

/* Takes what fits of the text into the part. False when it did not fit whole: the choice ends there. */
static bool take_fitting(struct making *m, struct sim_choice *c, struct sim_part *p, struct span text)
{
    p->text = fit(m->a, text, m->room);
    m->room -= m->room == INT64_MAX ? 0 : count(m->a, p->text);
    if (p->text.n == text.n)
        return true;
    c->stop = NEUTRAL_STOP_LENGTH;
    return false;
}

static struct span unquote(struct arena *a, struct span json)
{
    struct json j;
    struct json_string text;
    json_init(&j, json);
    return json_peek(&j) == JSON_STRING && json_read_string(&j, &text) == ERR_OK ? json_unescape(a, text) : SPAN_NONE;
}

static void stop_at_sequence(struct making *m, struct sim_choice *c, struct sim_part *p)
{
    for (const struct neutral_extra *s = m->r->stops; s; s = s->next) {
        struct span plain = unquote(m->arena, s->value_json);
        ptrdiff_t at = plain.n ? span_find_span(p->text, plain) : -1;
        if (at < 0)
            continue;
        p->text = span_to(p->text, (size_t)at);
        c->stop = NEUTRAL_STOP_SEQUENCE;
        c->stop_sequence = plain;
    }
}

static enum err plain_text(struct making *m, struct sim_choice *c)
{
    int64_t tokens = said_tokens(m->said);
    if (tokens < 0 && m->r->task == NEUTRAL_COMPLETION && m->room == INT64_MAX)
        m->room = COMPLETION_TOKENS_UNSAID;
    if (tokens < 0)
        tokens = m->o->output_tokens >= 0 ? m->o->output_tokens : drawn_tokens(&m->a->random);
    if (tokens > m->room) {
        tokens = m->room;
        c->stop = NEUTRAL_STOP_LENGTH;
    }
    if (tokens > TOKENS_MAX / m->a->choices_n)
        return complain(m->why, ERR_TOO_LARGE, "", "that many tokens are not simulated");
    struct sim_part *p = add_part(m, c, NEUTRAL_TEXT);
    enum err e = words_text(m, tokens, &p->text);
    if (!e)
        stop_at_sequence(m, c, p);
    return e;
}

static enum err schema_text(struct making *m, struct span schema, const char *param, struct span *ret)
{
    struct buf b;
    buf_init(&b, TEXT_BYTES_MAX);
    if (sim_schema_fill(schema, &m->a->random, &b) != ERR_OK) {
        buf_fini(&b);
        return complain(m->why, ERR_INVALID_PARAMETER, param, "no value fits this schema, or it refers to what is not there");
    }
    *ret = take_text(m, &b);
    return ERR_OK;
}

static enum err structured_text(struct making *m, struct sim_choice *c)
{
    static const char any[] = "{\"properties\":{\"title\":{},\"count\":{\"type\":\"integer\"},\"tags\":{\"items\":{}}}}";
    struct span text, schema = m->r->format.kind == NEUTRAL_FORMAT_SCHEMA ? m->r->format.schema_json : span_str(any);
    enum err e = schema_text(m, schema, "response_format", &text);
    if (!e)
        (void)take_fitting(m, c, add_part(m, c, NEUTRAL_TEXT), text);
    return e;
}

/* ---- tool calls ---- */

static bool may_call(const struct neutral_request *r, const struct neutral_tool *t)
{
    const struct neutral_tool_choice *c = &r->tool_choice;
    bool limited = c->mode == NEUTRAL_CHOOSE_NAMED || c->mode == NEUTRAL_CHOOSE_ALLOWED;
    if (t->kind == NEUTRAL_TOOL_HOSTED)
        return false;
    if (!limited || !c->names)
        return true;
    for (const struct neutral_name *n = c->names; n; n = n->next)
        if (span_eq(n->name, t->name))
            return true;
    return false;
}

static bool is_forced(const struct neutral_tool_choice *c)
{
    return c->mode == NEUTRAL_CHOOSE_REQUIRED || c->mode == NEUTRAL_CHOOSE_NAMED || (c->mode == NEUTRAL_CHOOSE_ALLOWED && c->required);
}

static struct span call_id(struct making *m)
{
    uint64_t high = random_split(&m->a->random), low = random_split(&m->a->random);
    return arena_printf(m->arena, "call_%012llx%012llx", (unsigned long long)(high >> 16), (unsigned long long)(low >> 16));
}

/* False when the room is used up. */
static enum err add_call(struct making *m, struct sim_choice *c, const struct neutral_tool *t, bool *ret_more)
{
    struct span text;
    bool custom = t->kind == NEUTRAL_TOOL_CUSTOM;
    enum err e = custom ? words_text(m, 8, &text) : schema_text(m, t->schema_json.p ? t->schema_json : SPAN("{\"type\":\"object\"}"), "tools", &text);
    if (e)
        return e;
    struct sim_part *p = add_part(m, c, NEUTRAL_TOOL_CALL);
    p->call = (struct neutral_tool_call){.id = t->old_style ? SPAN_NONE : call_id(m), .name = t->name, .custom = custom, .old_style = t->old_style};
    c->stop = NEUTRAL_STOP_TOOLS;
    m->room -= m->room == INT64_MAX ? 0 : count(m->a, t->name);
    m->room = m->room > 0 ? m->room : 0;
    *ret_more = take_fitting(m, c, p, text);
    return ERR_OK;
}

static struct span named_tool(struct span said)
{
    ptrdiff_t at = span_find_span(said, SPAN("call the tool "));
    struct span rest = at < 0 ? SPAN_NONE : span_from(said, (size_t)at + 14);
    size_t n = 0;
    while (n < rest.n && (sim_words_end(rest, n) > n + 1 || memchr("_-0123456789", rest.p[n], 12)))
        n++;
    return span_to(rest, n);
}

/* Which tools the request is answered with; ERR_OK and no part when with none. */
static enum err tool_calls(struct making *m, struct sim_choice *c)
{
    bool forced = is_forced(&m->r->tool_choice), more = true;
    bool asked = span_find_span(m->said, SPAN("call the tool")) >= 0, every = span_find_span(m->said, SPAN("call every tool")) >= 0;
    struct span name = named_tool(m->said);
    bool named = false;
    if (m->r->tool_choice.mode == NEUTRAL_CHOOSE_NONE || !(forced || asked || every))
        return ERR_OK;
    for (const struct neutral_tool *t = m->r->tools; t; t = t->next)
        named = named || (name.n && span_eq(name, t->name) && may_call(m->r, t));
    for (const struct neutral_tool *t = m->r->tools; t && more; t = t->next) {
        if (!may_call(m->r, t) || (named && !span_eq(name, t->name)))
            continue;
        enum err e = add_call(m, c, t, &more);
        if (e)
            return e;
        if (!every || m->r->parallel_tools == NEUTRAL_NO || t->old_style)
            break;
    }
    return ERR_OK;
}

/* ---- choices ---- */

static int64_t reasoning(struct making *m)
{
    static const struct {
        struct span effort;
        int64_t tokens;
    } efforts[] = {{{"minimal", 7}, 16}, {{"low", 3}, 64}, {{"medium", 6}, 256}, {{"high", 4}, 1024}, {{"xhigh", 5}, 2048}, {{"max", 3}, 4096}};
    for (unsigned i = 0; i < COUNT_OF(efforts); i++)
        if (span_eq(m->r->reasoning.effort, efforts[i].effort))
            return efforts[i].tokens / 2 + (int64_t)sim_random_below(&m->a->random, (uint64_t)efforts[i].tokens);
    return 0;
}

static enum err make_choice(struct making *m, struct sim_choice *c)
{
    m->room = m->r->output_tokens_max.said ? m->r->output_tokens_max.value : INT64_MAX;
    if (m->room < 0)
        return complain(m->why, ERR_INVALID_PARAMETER, "max_tokens", "the maximum of tokens must not be negative");
    c->stop = NEUTRAL_STOP_END;
    int64_t thinking = reasoning(m);
    thinking = thinking < m->room ? thinking : m->room;
    m->room -= m->room == INT64_MAX ? 0 : thinking;
    m->a->reasoning_tokens += thinking;
    enum err e = tool_calls(m, c);
    if (e || c->parts_n)
        return e;
    bool structured = m->r->format.kind == NEUTRAL_FORMAT_JSON || m->r->format.kind == NEUTRAL_FORMAT_SCHEMA;
    return structured ? structured_text(m, c) : plain_text(m, c);
}

static unsigned inputs_of(const struct neutral_request *r)
{
    unsigned n = 0;
    for (const struct neutral_input *i = r->inputs; i; i = i->next)
        n++;
    return n ? n : 1;
}

static enum err make_choices(struct making *m)
{
    int64_t each = m->r->choices.said ? m->r->choices.value : 1;
    int64_t n = each * (m->r->task == NEUTRAL_COMPLETION ? inputs_of(m->r) : 1);
    if (each < 1 || each > CHOICES_MAX || n > 2048)
        return complain(m->why, ERR_INVALID_PARAMETER, "n", "n must be from 1 to 128");
    if (m->r->echo == NEUTRAL_YES)
        return complain(m->why, ERR_INVALID_PARAMETER, "echo", "echo is not simulated");
    m->a->choices = ARENA_ARRAY(m->arena, struct sim_choice, n);
    m->a->choices_n = (unsigned)n;
    for (unsigned i = 0; i < m->a->choices_n; i++) {
        enum err e = make_choice(m, &m->a->choices[i]);
        if (e)
            return e;
    }
    return ERR_OK;
}

/* ---- vectors ---- */

static int64_t dimensions(const struct neutral_request *r)
{
    if (r->dimensions.said)
        return r->dimensions.value;
    return span_ends(r->model, SPAN("-large")) ? 3072 : 1536;
}

/* A direction drawn from the text's hash, of length 1: equal texts are equal, others are nearly at right angles. */
static void make_vector(struct arena *a, const struct neutral_input *in, uint64_t seed, struct neutral_vector *v)
{
    struct span text = in->kind == NEUTRAL_INPUT_TEXT ? json_unescape(a, in->text) : in->tokens_json;
    uint64_t random = seed ^ span_hash(text, UINT64_C(0x5eed));
    double sum = 0;
    v->values = ARENA_ARRAY(a, float, v->n);
    for (size_t i = 0; i < v->n; i++) {
        double value = sim_random_normal(&random);
        v->values[i] = (float)value;
        sum += value * value;
    }
    for (size_t i = 0; i < v->n; i++)
        v->values[i] = (float)(v->values[i] / sqrt(sum));
}

static enum err make_vectors(struct making *m)
{
    int64_t n = dimensions(m->r);
    struct neutral_vector **end = &m->a->vectors;
    int index = 0;
    if (n < 1 || n > FLOATS_MAX / inputs_of(m->r))
        return complain(m->why, ERR_INVALID_PARAMETER, "dimensions", "dimensions must be at least 1, and not that many");
    for (const struct neutral_input *i = m->r->inputs; i; i = i->next) {
        struct neutral_vector *v = *end = ARENA_NEW(m->arena, struct neutral_vector);
        end = &v->next;
        v->index = index++;
        v->n = (size_t)n;
        make_vector(m->arena, i, m->o->seed, v);
    }
    return ERR_OK;
}

/* ---- whole answers ---- */

enum err sim_answer_make(const struct neutral_request *request, const struct sim_answer_options *o, struct sim_answer *ret,
                         struct complaint *why)
{
    struct making m = {.a = ret, .r = request, .arena = request->arena, .o = o, .why = why};
    *ret = (struct sim_answer){.arena = request->arena, .request = request, .encoding = tokenizer_for_model(request->model)};
    m.said = last_said(request);
    ret->random = o->seed ^ span_hash(m.said, UINT64_C(0xa11ce)) ^ span_hash(request->model, 7);
    if (request->seed.said)
        ret->random += (uint64_t)request->seed.value * UINT64_C(0x9e3779b97f4a7c15);
    ret->input_tokens = neutral_count_input(request, ret->encoding);
    return request->task == NEUTRAL_EMBEDDING ? make_vectors(&m) : make_choices(&m);
}

static int64_t tokens(const struct sim_answer *a, bool all)
{
    int64_t n = 0;
    for (unsigned i = 0; i < a->choices_n; i++)
        for (unsigned k = 0; k < a->choices[i].parts_n; k++) {
            const struct sim_part *p = &a->choices[i].parts[k];
            n += all || p->begun ? count(a, p->call.name) : 0;
            n += count(a, all ? p->text : span_to(p->text, p->told));
        }
    return n;
}

int64_t sim_answer_tokens(const struct sim_answer *a) { return tokens(a, true); }
int64_t sim_answer_tokens_told(const struct sim_answer *a) { return tokens(a, false); }

void sim_answer_usage(const struct sim_answer *a, struct usage *ret)
{
    usage_init(ret);
    ret->source = USAGE_SOURCE_REPORTED;
    ret->count[USAGE_INPUT] = a->input_tokens;
    ret->count[USAGE_OUTPUT] = sim_answer_tokens(a);
    if (a->request->reasoning.effort.n)
        ret->count[USAGE_REASONING] = a->reasoning_tokens;
}

/* ---- log probabilities ---- */

static double log_probability(uint64_t *random) { return 0.25 * log(sim_random_unit(random)); }

static enum err chat_token(struct buf *b, struct span token, uint64_t *random, int64_t top)
{
    enum err e = buf_append(b, SPAN("{\"token\":"));
    double p = log_probability(random);
    e = e ? e : json_write_string(b, token);
    e = e ? e : buf_printf(b, ",\"logprob\":%.6f,\"bytes\":[", p);
    for (size_t i = 0; i < token.n && !e; i++)
        e = buf_printf(b, "%s%u", i ? "," : "", (unsigned char)token.p[i]);
    e = e ? e : buf_append(b, SPAN("],\"top_logprobs\":["));
    for (int64_t i = 0; i < top && !e; i++) {
        e = buf_append(b, i ? SPAN(",{\"token\":") : SPAN("{\"token\":"));
        struct sim_words w = {.random = *random + (uint64_t)i, .left = 9};
        e = e ? e : json_write_string(b, i ? sim_words_next(&w) : token);
        e = e ? e : buf_printf(b, ",\"logprob\":%.6f,\"bytes\":null}", p - 1.5 * (double)i);
    }
    return e ? e : buf_append(b, SPAN("]}"));
}

static enum err chat_logprobs(struct buf *b, struct span text, size_t from, size_t to, uint64_t *random, int64_t top)
{
    enum err e = buf_append(b, SPAN("{\"content\":["));
    for (size_t at = from, next; at < to && !e; at = next) {
        next = sim_words_end(text, at);
        e = at > from ? buf_append(b, SPAN(",")) : ERR_OK;
        e = e ? e : chat_token(b, span_of(text.p + at, next - at), random, top);
    }
    return e ? e : buf_append(b, SPAN("],\"refusal\":null}"));
}

enum completion_list { LIST_TOKENS, LIST_PROBABILITIES, LIST_OFFSETS };

static enum err completion_list(struct buf *b, struct span text, size_t from, size_t to, uint64_t random, enum completion_list which)
{
    enum err e = ERR_OK;
    for (size_t at = from, next; at < to && !e; at = next) {
        next = sim_words_end(text, at);
        e = at > from ? buf_append(b, SPAN(",")) : ERR_OK;
        if (!e && which == LIST_TOKENS)
            e = json_write_string(b, span_of(text.p + at, next - at));
        else if (!e)
            e = which == LIST_OFFSETS ? buf_printf(b, "%zu", at) : buf_printf(b, "%.6f", log_probability(&random));
    }
    return e;
}

static enum err completion_logprobs(struct buf *b, struct span text, size_t from, size_t to, uint64_t random)
{
    enum err e = buf_append(b, SPAN("{\"tokens\":["));
    e = e ? e : completion_list(b, text, from, to, random, LIST_TOKENS);
    e = e ? e : buf_append(b, SPAN("],\"token_logprobs\":["));
    e = e ? e : completion_list(b, text, from, to, random, LIST_PROBABILITIES);
    e = e ? e : buf_append(b, SPAN("],\"top_logprobs\":null,\"text_offset\":["));
    e = e ? e : completion_list(b, text, from, to, random, LIST_OFFSETS);
    return e ? e : buf_append(b, SPAN("]}"));
}

struct span sim_answer_logprobs(struct sim_answer *a, struct span text, size_t from, size_t to)
{
    struct buf b;
    buf_init(&b, TEXT_BYTES_MAX);
    int64_t top = a->request->top_logprobs.said && a->request->top_logprobs.value <= 20 ? a->request->top_logprobs.value : 0;
    enum err e = a->request->task == NEUTRAL_CHAT ? chat_logprobs(&b, text, from, to, &a->random, top)
                                                  : completion_logprobs(&b, text, from, to, random_split(&a->random));
    struct span json = e ? SPAN_NONE : arena_dup(a->arena, buf_span(&b));
    buf_fini(&b);
    return json;
}
