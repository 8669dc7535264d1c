/* SPDX-License-Identifier: Apache-2.0
 *
 * One shot is one row of the trace until it is answered. Prompts are slices of one long text of single-token words, cut between words, so
 * that any number of tokens is had without copying.
 */
#include "sim/replay.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/list.h"
#include "http/sse.h"
#include "sim/random.h"
#include "sim/words.h"

#define TEXT_TOKENS 65536u
#define FRAME_TOKENS 7 /* of one user message: 3 and its role, and 3 before the answer */
#define CONNECTIONS_MAX 2048u
#define EVENT_BYTES_MAX (1u * MIB)
#define SHOT_MAGIC MAGIC('S', 'h', 'o', 't')

struct shot {
    unsigned magic;
    struct list link;
    struct replay *replay;
    struct arena arena;
    struct trace_row row;
    struct call *call;
    struct timer timer;      /* until it is asked again */
    struct sse sse;
    struct call_options options;
    uint64_t asked_ns, first_ns;
    unsigned tries;
    int status;
    bool done, failed;
};

struct replay {
    struct replay_options o;
    struct replay_figures figures;
    struct client *client;
    struct origin *origin;
    struct timer timer;      /* when the next row is due */
    struct list shots;
    struct trace_row next;
    uint64_t started_ns, random;
    bool trace_ended;
    char *text;              /* TEXT_TOKENS words */
    uint32_t *word_at;       /* where each begins; one more for the end */
    char host[64], authority[96];
    uint64_t *first_tokens;  /* ns, of each answer */
    uint64_t first_tokens_room;
};

/* ---- prompts ---- */

static void make_text(struct replay *r)
{
    struct sim_words w;
    size_t at = 0, room = TEXT_TOKENS * 16u;
    sim_words_init(&w, r->o.seed);
    w.started = true; /* its first word, too, has its blank: any piece may follow any other */
    r->text = malloc(room);
    r->word_at = malloc((TEXT_TOKENS + 1) * sizeof *r->word_at);
    CHECK(r->text && r->word_at);
    for (unsigned i = 0; i < TEXT_TOKENS; i++) {
        struct span word = sim_words_next(&w);
        CHECK(at + word.n <= room);
        r->word_at[i] = (uint32_t)at;
        memcpy(r->text + at, word.p, word.n);
        at += word.n;
    }
    r->word_at[TEXT_TOKENS] = (uint32_t)at;
}

/* Adds slices of so many tokens, from a random place on; returns how many slices. */
static unsigned add_prompt(struct replay *r, uint64_t tokens, struct iovec *out)
{
    unsigned n = 0;
    uint64_t at = sim_random_below(&r->random, TEXT_TOKENS);
    while (tokens) {
        uint64_t take = tokens < TEXT_TOKENS - at ? tokens : TEXT_TOKENS - at;
        out[n++] = (struct iovec){r->text + r->word_at[at], r->word_at[at + take] - r->word_at[at]};
        tokens -= take;
        at = 0;
    }
    return n;
}

static const char *draw(struct replay *r, const struct replay_choice *list)
{
    uint64_t all = 0;
    for (const struct replay_choice *c = list; c->text; c++)
        all += c->weight;
    uint64_t drawn = sim_random_below(&r->random, all);
    while (drawn >= list->weight) {
        drawn -= list->weight;
        list++;
    }
    return list->text;
}

static struct iovec slice(struct span s) { return (struct iovec){(void *)(uintptr_t)s.p, s.n}; }

/* ---- one shot ---- */

static void progress(struct replay *r)
{
    r->figures.finished = r->trace_ended && list_is_empty(&r->shots);
    if (r->o.on_progress)
        r->o.on_progress(r->o.owner, r);
}

static void shot_free(struct shot *s)
{
    timer_clear(&s->timer);
    list_remove(&s->link);
    sse_fini(&s->sse);
    s->magic = 0;
    struct arena arena = s->arena; /* the shot lives in it */
    arena_fini(&arena);
}

static void note_first_token(struct replay *r, uint64_t ns)
{
    uint64_t n = r->figures.answered;
    if (n == r->first_tokens_room) {
        r->first_tokens_room = n ? 2 * n : 1024;
        r->first_tokens = realloc(r->first_tokens, r->first_tokens_room * sizeof *r->first_tokens);
        CHECK(r->first_tokens != NULL);
    }
    r->first_tokens[n] = ns;
}

static void end_shot(struct shot *s, bool answered)
{
    struct replay *r = s->replay;
    r->figures.under_way--;
    if (answered) {
        note_first_token(r, s->first_ns - s->asked_ns);
        r->figures.answered++;
        r->figures.input_tokens += (uint64_t)s->row.input_tokens;
        r->figures.output_tokens += (uint64_t)s->row.output_tokens;
    } else {
        r->figures.unanswered++;
    }
    shot_free(s);
    progress(r);
}

static void ask(void *owner)
{
    struct shot *s = owner;
    CHECK_MAGIC(s, SHOT_MAGIC);
    sse_fini(&s->sse);
    sse_init(&s->sse, EVENT_BYTES_MAX);
    s->done = s->failed = false;
    s->status = 0;
    s->first_ns = 0;
    s->tries++;
    s->replay->figures.calls++;
    s->asked_ns = loop_now_ns(s->replay->o.loop);
    s->call = call_start(s->replay->origin, &s->options);
    CHECK(s->call != NULL);
}

static void ask_again(struct shot *s)
{
    struct replay *r = s->replay;
    bool begun = s->first_ns != 0;
    s->call = NULL;
    if (s->tries >= r->o.tries_max) {
        end_shot(s, false);
        return;
    }
    *(begun ? &r->figures.again_broken : &r->figures.again_refused) += 1;
    uint64_t pause = r->o.pause_ns << (s->tries - 1 < 5 ? s->tries - 1 : 5), most = 20 * r->o.pause_ns;
    pause = pause < most ? pause : most;
    timer_set_in(&s->timer, pause - sim_random_below(&r->random, pause / 4 + 1));
}

/* ---- the answer ---- */

static void hear(struct shot *s, const struct sse_event *e)
{
    if (!e->has_data)
        return;
    if (span_eq(e->data, SPAN("[DONE]")))
        s->done = true;
    else if (span_starts(e->data, SPAN("{\"error\"")))
        s->failed = true;
    else if (!s->first_ns)
        s->first_ns = loop_now_ns(s->replay->o.loop);
}

static void on_head(void *owner, struct call *c, const struct http_head *head)
{
    struct shot *s = owner;
    CHECK_MAGIC(s, SHOT_MAGIC);
    s->status = head->status;
}

static void on_body(void *owner, struct call *c, struct span piece)
{
    struct shot *s = owner;
    struct sse_event event;
    CHECK_MAGIC(s, SHOT_MAGIC);
    if (s->status != 200)
        return;
    sse_feed(&s->sse, piece);
    while (sse_next(&s->sse, &event) == ERR_OK)
        hear(s, &event);
}

static void on_end(void *owner, struct call *c)
{
    struct shot *s = owner;
    CHECK_MAGIC(s, SHOT_MAGIC);
    s->call = NULL;
    if (s->status == 200 && s->done && !s->failed && s->first_ns)
        end_shot(s, true);
    else
        ask_again(s);
}

static void on_fail(void *owner, struct call *c, enum err e, const char *why)
{
    struct shot *s = owner;
    CHECK_MAGIC(s, SHOT_MAGIC);
    ask_again(s);
}

static const struct call_handler handler = {.on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};

/* ---- rows ---- */

static struct call_options make_request(struct shot *s)
{
    struct replay *r = s->replay;
    struct arena *a = &s->arena;
    uint64_t tokens = (uint64_t)(s->row.input_tokens - FRAME_TOKENS);
    struct iovec *body = ARENA_ARRAY(a, struct iovec, tokens / TEXT_TOKENS + 4);
    struct header *headers = ARENA_ARRAY(a, struct header, 2);
    unsigned n = 0;
    body[n++] = slice(arena_printf(a, "{\"model\":\"%s\",\"stream\":true,\"max_tokens\":%lld,\"messages\":[{\"role\":\"user\",\"content\":\"",
                                   draw(r, r->o.models), (long long)s->row.output_tokens));
    n += add_prompt(r, tokens, body + n);
    body[n++] = slice(SPAN("\"}]}"));
    headers[0] = (struct header){SPAN("content-type"), SPAN("application/json")};
    headers[1] = (struct header){SPAN("authorization"), arena_printf(a, "Bearer %s", draw(r, r->o.keys))};
    return (struct call_options){.method = SPAN("POST"), .target = SPAN("/v1/chat/completions"), .headers = headers, .headers_n = 2, .body = body,
                                 .body_n = n, .total_timeout_ns = 300 * NS_PER_S, .handler = &handler, .owner = s};
}

static void shoot(struct replay *r, const struct trace_row *row)
{
    struct arena arena;
    arena_init(&arena, 2 * KIB);
    struct shot *s = ARENA_NEW(&arena, struct shot);
    s->magic = SHOT_MAGIC;
    s->replay = r;
    s->arena = arena;
    s->row = *row;
    r->figures.lengthened += row->input_tokens < REPLAY_INPUT_LEAST || row->output_tokens < 1;
    s->row.input_tokens = row->input_tokens < REPLAY_INPUT_LEAST ? REPLAY_INPUT_LEAST : row->input_tokens;
    s->row.output_tokens = row->output_tokens < 1 ? 1 : row->output_tokens;
    timer_init(&s->timer, r->o.loop, ask, s);
    sse_init(&s->sse, EVENT_BYTES_MAX);
    list_push_back(&r->shots, &s->link);
    s->options = make_request(s);
    r->figures.asked++;
    r->figures.under_way++;
    ask(s);
}

/* Reads the row after the last; at the end, or at a mistake, there is none. */
static void read_row(struct replay *r)
{
    enum err e = r->figures.asked < r->o.requests ? trace_next(r->o.trace, &r->next, r->figures.why) : ERR_CLOSED;
    if (!e)
        return;
    r->trace_ended = true;
    r->figures.planned = r->figures.asked;
    r->figures.error = e == ERR_CLOSED ? ERR_OK : e;
}

static uint64_t due_ns(const struct replay *r) { return r->started_ns + (uint64_t)((double)r->next.at_ns / r->o.speed); }

static void rows_due(void *owner)
{
    struct replay *r = owner;
    uint64_t now = loop_now_ns(r->o.loop);
    while (!r->trace_ended && due_ns(r) <= now) {
        shoot(r, &r->next);
        read_row(r);
    }
    if (!r->trace_ended)
        timer_set(&r->timer, due_ns(r));
    else if (list_is_empty(&r->shots))
        progress(r);
}

/* ---- life ---- */

static struct origin *make_origin(struct replay *r)
{
    struct span text = sock_address_text(&r->o.gateway, r->authority, sizeof r->authority);
    size_t colon = text.n;
    uint64_t port = 0;
    while (colon && text.p[colon - 1] != ':')
        colon--;
    CHECK(colon > 1 && span_to_u64(span_from(text, colon), &port));
    bool v6 = text.p[0] == '[';
    snprintf(r->host, sizeof r->host, "%.*s", (int)(colon - 1 - (v6 ? 2 : 0)), text.p + v6);
    const struct origin_options o = {.host = r->host, .port = (uint16_t)port, .http = ORIGIN_H1, .connections_max = CONNECTIONS_MAX,
                                     .waiting_max = 1000000, .idle_max = CONNECTIONS_MAX};
    return client_origin(r->client, &o);
}

struct replay *replay_new(const struct replay_options *o)
{
    struct replay *r = calloc(1, sizeof *r);
    CHECK(r != NULL);
    r->o = *o;
    r->random = o->seed ^ UINT64_C(0x7ab1e);
    r->figures.planned = o->requests;
    list_init(&r->shots);
    timer_init(&r->timer, o->loop, rows_due, r);
    make_text(r);
    r->client = client_new(o->loop);
    r->origin = make_origin(r);
    return r;
}

void replay_start(struct replay *r)
{
    r->started_ns = loop_now_ns(r->o.loop);
    read_row(r);
    timer_set(&r->timer, r->started_ns);
}

const struct replay_figures *replay_figures(const struct replay *r) { return &r->figures; }

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

uint64_t replay_first_token_ns(const struct replay *r, double quantile)
{
    uint64_t n = r->figures.answered;
    if (!n)
        return 0;
    uint64_t *sorted = malloc(n * sizeof *sorted);
    CHECK(sorted != NULL);
    memcpy(sorted, r->first_tokens, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare);
    uint64_t found = sorted[(uint64_t)(quantile * (double)(n - 1))];
    free(sorted);
    return found;
}

void replay_free(struct replay *r)
{
    if (!r)
        return;
    LIST_FOR_EACH_SAFE(at, &r->shots) {
        struct shot *s = CONTAINER_OF(at, struct shot, link);
        if (s->call)
            call_cancel(s->call);
        shot_free(s);
    }
    timer_clear(&r->timer);
    client_free(r->client);
    free(r->first_tokens);
    free(r->text);
    free(r->word_at);
    free(r);
}
