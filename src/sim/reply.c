/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells one answer at its pace. A stream is made step by step: each step is one neutral event, which the dialect writes into `wire`; all
 * steps that are due leave in one write. Chunk k is due at first + k * chunk time, so a late timer makes up for it and the pace holds.
 *
 *   timer -> tell -> begin, produce -> (take_step)* -> hand_over -> timer ... -> the last step ends the reply
 *
 * The complication is a fault in the middle of an event: bytes up to it leave, and what the cut event told is taken back, because nobody
 * can read it. So the count of a broken answer is the count of its whole events.
 */
#include <stdlib.h>

#include "http/conn.h" /* for the one thing that no well-behaved server does: to reset a connection in the middle of an answer */
#include "sim/provider_private.h"
#include "sim/random.h"
#include "sim/words.h"

#define HAND_OVER_BYTES (16u * KIB)
#define WIRE_BYTES_MAX (256u * MIB)

/* ---- the account ---- */

static int64_t broken_tokens(const struct sim_reply *r)
{
    if (r->api == API_OPENAI_EMBEDDINGS)
        return 0;
    return (r->whole ? sim_answer_tokens(&r->answer) : sim_answer_tokens_told(&r->answer)) + r->answer.reasoning_tokens;
}

static void count_broken(struct sim_reply *r)
{
    struct sim_provider *p = r->provider;
    if (!r->events) {
        stat_add(&p->refused, 1);
        return;
    }
    stat_add(&p->broken, 1);
    stat_add(&p->broken_input_tokens, (uint64_t)r->answer.input_tokens);
    stat_add(&p->broken_output_tokens, (uint64_t)broken_tokens(r));
}

static void count_answered(struct sim_reply *r)
{
    struct sim_provider *p = r->provider;
    stat_add(&p->answered, 1);
    stat_add(&p->input_tokens, (uint64_t)r->answer.input_tokens);
    stat_add(&p->output_tokens, (uint64_t)(sim_answer_tokens(&r->answer) + r->answer.reasoning_tokens));
}

static void reply_free(struct sim_reply *r)
{
    stream_base(r->stream)->user = NULL; /* should its connection have died unseen, on_abort is still to come */
    timer_clear(&r->timer);
    list_remove(&r->link);
    buf_fini(&r->wire);
    r->magic = 0;
    struct arena arena = r->arena; /* the reply itself lives in it */
    arena_fini(&arena);
}

static void take_back_last_step(struct sim_reply *r)
{
    if (!r->last)
        return;
    r->last->told = r->last_told;
    r->last->begun = r->last_begun;
}

/* An event that has left only in part. */
static bool is_cut(const struct sim_reply *r) { return !r->whole && buf_bytes(&r->wire) > 0; }

void sim_break_with_reset(struct stream *s)
{
    struct conn *c = s->is_h2 ? NULL : s->conn;
    stream_break(s);
    if (c)
        c->reset = true;
}

static void end_broken(struct sim_reply *r, bool reset)
{
    struct stream *s = r->stream;
    if (is_cut(r))
        take_back_last_step(r);
    count_broken(r);
    reply_free(r);
    if (reset)
        sim_break_with_reset(s);
    else
        stream_break(s);
}

void sim_reply_kill(struct sim_reply *r) { end_broken(r, false); }

void sim_reply_on_abort(struct sim_reply *r)
{
    if (is_cut(r))
        take_back_last_step(r);
    count_broken(r);
    reply_free(r);
}

/* ---- writing ---- */

static void begin(struct sim_reply *r, uint64_t length)
{
    struct header headers[16];
    unsigned n = sim_provider_headers(r->provider, &r->arena, headers, COUNT_OF(headers) - 2, loop_now_ns(r->provider->loop) - r->started_ns);
    headers[n++] = (struct header){SPAN("content-type"), r->whole ? SPAN("application/json") : span_str(r->dialect->stream_type)};
    if (!r->whole)
        headers[n++] = (struct header){SPAN("cache-control"), SPAN("no-cache")};
    stream_begin(r->stream, 200, headers, n, length);
    r->begun = true;
}

static void hand_over(struct sim_reply *r, size_t n)
{
    struct iovec part = {.iov_base = r->wire.p ? r->wire.p + r->wire.at : NULL, .iov_len = n};
    if (!n)
        return;
    r->sent += n;
    r->paused = !stream_write(r->stream, &part, 1, false) || r->paused;
    buf_consume(&r->wire, n);
}

/* The rest of the wire and the end. The reply is gone after. */
static void end_answered(struct sim_reply *r)
{
    struct stream *s = r->stream;
    struct iovec part = {.iov_base = r->wire.p ? r->wire.p + r->wire.at : NULL, .iov_len = buf_bytes(&r->wire)};
    if (r->failing)
        count_broken(r);
    else
        count_answered(r);
    struct buf wire = r->wire; /* outlives the reply, which must be off the stream before its last byte */
    buf_init(&r->wire, 0);
    reply_free(r);
    stream_write(s, &part, part.iov_len ? 1 : 0, true);
    buf_fini(&wire);
}

/* ---- steps of a stream ---- */

static struct sim_choice *choice_of(struct sim_reply *r) { return &r->answer.choices[r->choice]; }
static struct sim_part *part_of(struct sim_reply *r) { return &choice_of(r)->parts[r->part]; }

static size_t delta_end(const struct sim_reply *r, const struct sim_part *p)
{
    size_t at = p->told;
    unsigned tokens = r->provider->o.tokens_per_chunk;
    while (tokens-- && at < p->text.n)
        at = sim_words_end(p->text, at);
    return at;
}

static enum sim_step after_delta(const struct sim_reply *r, const struct sim_part *p)
{
    (void)r;
    return p->told < p->text.n ? STEP_DELTA : STEP_PART_END;
}

static void next_part(struct sim_reply *r)
{
    r->part++;
    r->step = r->part < choice_of(r)->parts_n ? STEP_PART : STEP_FINISH;
}

static void next_choice(struct sim_reply *r)
{
    r->part = 0;
    r->choice++;
    r->step = r->choice < r->answer.choices_n ? STEP_PART : STEP_USAGE;
}

/* Azure's first chunk has the filter's results for the prompt, and neither choices nor a name. */
static void write_azure_first(struct sim_reply *r)
{
    static const char safe[] = "{\"filtered\":false,\"severity\":\"safe\"}";
    if (strcmp(r->dialect->name, "azure-openai") != 0 || r->api != API_OPENAI_CHAT)
        return;
    CHECK(buf_printf(&r->wire,
                     "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0,"
                     "\"content_filter_results\":{\"hate\":%s,\"self_harm\":%s,\"sexual\":%s,\"violence\":%s}}]}\n\n",
                     safe, safe, safe, safe) == ERR_OK);
}

static void fill_start(struct sim_reply *r, struct neutral_event *e)
{
    e->kind = NEUTRAL_EVENT_START;
    e->start.id = r->writer.id;
    e->start.model = r->writer.model;
    e->start.created = r->writer.created;
    e->start.fingerprint = SPAN("fp_simulated");
    write_azure_first(r);
    r->step = STEP_PART;
}

static void fill_part_start(struct sim_reply *r, struct neutral_event *e)
{
    struct sim_part *p = part_of(r);
    e->kind = NEUTRAL_EVENT_PART_START;
    e->call = p->call;
    p->begun = true;
    r->step = p->text.n ? STEP_DELTA : STEP_PART_END;
}

static void fill_delta(struct sim_reply *r, struct neutral_event *e)
{
    struct sim_part *p = part_of(r);
    size_t end = delta_end(r, p);
    e->kind = NEUTRAL_EVENT_DELTA;
    e->text = neutral_escape(&r->arena, span_of(p->text.p + p->told, end - p->told));
    r->delta_from = p->told;
    p->told = end;
    r->chunks++;
    r->step = r->request.logprobs == NEUTRAL_YES && p->kind == NEUTRAL_TEXT ? STEP_LOGPROBS : after_delta(r, p);
}

static void fill_logprobs(struct sim_reply *r, struct neutral_event *e)
{
    struct sim_part *p = part_of(r);
    e->kind = NEUTRAL_EVENT_LOGPROBS;
    e->json = sim_answer_logprobs(&r->answer, p->text, r->delta_from, p->told);
    r->step = after_delta(r, p);
}

static void fill_finish(struct sim_reply *r, struct neutral_event *e)
{
    const struct sim_choice *c = choice_of(r);
    e->kind = NEUTRAL_EVENT_FINISH;
    e->finish.stop = c->stop;
    e->finish.sequence = c->stop_sequence.p ? neutral_escape(&r->arena, c->stop_sequence) : (struct json_string){.raw = SPAN_NONE};
    next_choice(r);
}

static void fill_usage(struct sim_reply *r, struct neutral_event *e)
{
    e->kind = r->fault.kind == SIM_FAULT_NO_USAGE ? NEUTRAL_EVENT_PART_END : NEUTRAL_EVENT_USAGE;
    if (e->kind == NEUTRAL_EVENT_USAGE)
        sim_answer_usage(&r->answer, &e->usage.usage);
    r->step = STEP_END;
}

static struct neutral_event next_event(struct sim_reply *r)
{
    struct neutral_event e = {.choice = (int)r->choice, .part = r->part};
    if (r->step >= STEP_PART && r->step <= STEP_PART_END)
        e.part_kind = part_of(r)->kind;
    switch (r->step) {
    case STEP_START: fill_start(r, &e); break;
    case STEP_PART: fill_part_start(r, &e); break;
    case STEP_DELTA: fill_delta(r, &e); break;
    case STEP_LOGPROBS: fill_logprobs(r, &e); break;
    case STEP_PART_END: e.kind = NEUTRAL_EVENT_PART_END; next_part(r); break;
    case STEP_FINISH: fill_finish(r, &e); break;
    case STEP_USAGE: fill_usage(r, &e); break;
    case STEP_END: e.kind = NEUTRAL_EVENT_END; r->step = STEP_NOTHING; r->is_last = true; break;
    case STEP_NOTHING: CHECK(!"a step after the last"); break;
    }
    return e;
}

static void remember_step(struct sim_reply *r)
{
    r->last = r->step >= STEP_PART && r->step <= STEP_PART_END ? part_of(r) : NULL;
    if (!r->last)
        return;
    r->last_told = r->last->told;
    r->last_begun = r->last->begun;
}

static void drop_end_marker(struct sim_reply *r)
{
    struct span marker = span_str(r->dialect->stream_end);
    if (marker.n && span_ends(buf_span(&r->wire), marker))
        r->wire.end -= marker.n;
}

/* Writes the next step into the wire; its size. */
static size_t write_step(struct sim_reply *r)
{
    size_t before = buf_bytes(&r->wire);
    remember_step(r);
    struct neutral_event e = next_event(r);
    CHECK(r->dialect->write_event(&r->wire, r->api, &e, &r->writer) == ERR_OK);
    if (r->is_last && r->fault.kind == SIM_FAULT_NO_DONE)
        drop_end_marker(r);
    return buf_bytes(&r->wire) - before;
}

/* ---- faults inside a stream ---- */

/* At the end of an event: is it time for an event that should not be there? Then it is written, and is the last. */
static bool fail_between_events(struct sim_reply *r)
{
    bool due = r->sent + buf_bytes(&r->wire) >= r->fault.bytes;
    if (!due || (r->fault.kind != SIM_FAULT_ERROR_EVENT && r->fault.kind != SIM_FAULT_BROKEN_JSON))
        return false;
    struct client_error error = {.error = ERR_PROVIDER_FAULT, .status = 500, .message = "The server had an error (simulated)"};
    if (r->fault.kind == SIM_FAULT_ERROR_EVENT)
        r->dialect->write_stream_error(&r->wire, &error);
    else
        CHECK(buf_append(&r->wire, SPAN("data: {\"id\":\"broken\",\"choices\":[{\"index\":0,\n\n")) == ERR_OK);
    r->failing = true;
    end_answered(r);
    return true;
}

/* The last step went past the byte of the fault. False: the reply is gone or stands still. */
static bool fail_inside_event(struct sim_reply *r)
{
    hand_over(r, (size_t)(r->fault.bytes - r->sent));
    if (r->fault.kind == SIM_FAULT_STALL) {
        r->stalled = true;
        if (!r->sent)
            stream_flush_head(r->stream);
        timer_set_in(&r->timer, r->fault.delay_ns);
        return false;
    }
    if (!r->sent)
        stream_flush_head(r->stream);
    end_broken(r, r->fault.kind == SIM_FAULT_RESET);
    return false;
}

static bool cuts_at_byte(const struct sim_reply *r)
{
    enum sim_fault_kind k = r->fault.kind;
    return k == SIM_FAULT_RESET || k == SIM_FAULT_CLOSE || k == SIM_FAULT_STALL;
}

/* False: the reply is gone or stands still. */
static bool take_step(struct sim_reply *r)
{
    if (fail_between_events(r))
        return false;
    size_t bytes = write_step(r);
    if (cuts_at_byte(r) && r->sent + buf_bytes(&r->wire) > r->fault.bytes)
        return fail_inside_event(r);
    r->events += bytes > 0;
    if (!r->is_last)
        return true;
    end_answered(r);
    return false;
}

/* ---- pace ---- */

static uint64_t due_ns(const struct sim_reply *r) { return r->first_ns + r->chunks * r->chunk_ns; }

static void produce(struct sim_reply *r)
{
    uint64_t now = loop_now_ns(r->provider->loop);
    while (r->step != STEP_DELTA || due_ns(r) <= now) {
        if (!take_step(r))
            return;
        if (buf_bytes(&r->wire) >= HAND_OVER_BYTES)
            hand_over(r, buf_bytes(&r->wire));
        if (r->paused)
            return;
    }
    hand_over(r, buf_bytes(&r->wire));
    if (!r->paused)
        timer_set(&r->timer, due_ns(r));
}

/* One byte; the next event when the last is out. */
static void trickle(struct sim_reply *r)
{
    while (!buf_bytes(&r->wire)) {
        write_step(r);
        r->last = buf_bytes(&r->wire) ? r->last : NULL;
    }
    if (buf_bytes(&r->wire) == 1) {
        r->events++;
        if (r->is_last) {
            end_answered(r);
            return;
        }
    }
    hand_over(r, 1);
    if (!r->paused)
        timer_set_in(&r->timer, r->fault.delay_ns);
}

static void tell_stream(struct sim_reply *r)
{
    if (!r->begun)
        begin(r, UINT64_MAX);
    if (r->fault.kind == SIM_FAULT_SLOW) {
        trickle(r);
        return;
    }
    if (r->stalled) {
        r->stalled = false;
        r->fault.kind = SIM_FAULT_NONE;
        r->events++;
        if (r->is_last) {
            end_answered(r);
            return;
        }
    }
    produce(r);
}

/* ---- whole answers ---- */

static void fill_part(struct sim_reply *r, const struct sim_part *from, struct neutral_part *to)
{
    struct json_string text = neutral_escape(&r->arena, from->text);
    to->kind = from->kind;
    if (from->kind == NEUTRAL_TOOL_CALL) {
        to->call = from->call;
        to->call.arguments = text;
    } else {
        to->text = text;
    }
}

static struct neutral_choice *fill_choice(struct sim_reply *r, const struct sim_choice *from, int index)
{
    struct neutral_choice *c = ARENA_NEW(&r->arena, struct neutral_choice);
    struct neutral_part **end = &c->parts;
    c->index = index;
    c->role = NEUTRAL_ASSISTANT;
    c->stop = from->stop;
    c->content_is_absent = from->parts_n && from->parts[0].kind == NEUTRAL_TOOL_CALL;
    if (from->stop_sequence.p)
        c->stop_sequence = neutral_escape(&r->arena, from->stop_sequence);
    for (unsigned i = 0; i < from->parts_n; i++) {
        *end = ARENA_NEW(&r->arena, struct neutral_part);
        fill_part(r, &from->parts[i], *end);
        end = &(*end)->next;
    }
    if (r->request.logprobs == NEUTRAL_YES && from->parts_n && from->parts[0].kind == NEUTRAL_TEXT)
        c->logprobs_json = sim_answer_logprobs(&r->answer, from->parts[0].text, 0, from->parts[0].text.n);
    return c;
}

static void compose_body(struct sim_reply *r)
{
    struct neutral_answer answer;
    neutral_answer_init(&answer, &r->arena);
    answer.shape = r->request.shape;
    answer.task = r->request.task;
    answer.id = r->writer.id;
    answer.model = r->writer.model;
    answer.created = r->writer.created;
    answer.fingerprint = r->request.task == NEUTRAL_EMBEDDING ? SPAN_NONE : SPAN("fp_simulated");
    answer.encoding = r->request.encoding;
    answer.vectors = r->answer.vectors;
    struct neutral_choice **end = &answer.choices;
    for (unsigned i = 0; i < r->answer.choices_n; i++) {
        *end = fill_choice(r, &r->answer.choices[i], (int)i);
        end = &(*end)->next;
    }
    if (r->fault.kind != SIM_FAULT_NO_USAGE)
        sim_answer_usage(&r->answer, &answer.usage);
    CHECK(r->dialect->write_answer(&r->wire, r->api, &answer) == ERR_OK);
    if (r->fault.kind == SIM_FAULT_BROKEN_JSON)
        r->wire.end -= buf_bytes(&r->wire) / 2;
}

static void send_body(struct sim_reply *r)
{
    size_t all = buf_bytes(&r->wire);
    begin(r, all);
    r->failing = r->fault.kind == SIM_FAULT_BROKEN_JSON;
    if (!cuts_at_byte(r) || r->fault.bytes >= all) {
        r->events = 1;
        end_answered(r);
        return;
    }
    r->events = r->fault.bytes > 0;
    (void)fail_inside_event(r);
}

static void trickle_body(struct sim_reply *r)
{
    if (!r->begun)
        begin(r, buf_bytes(&r->wire));
    r->events = 1;
    if (buf_bytes(&r->wire) <= 1) {
        end_answered(r);
        return;
    }
    hand_over(r, 1);
    if (!r->paused)
        timer_set_in(&r->timer, r->fault.delay_ns);
}

static void tell_whole(struct sim_reply *r)
{
    if (!r->begun && !buf_bytes(&r->wire))
        compose_body(r);
    if (r->fault.kind == SIM_FAULT_SLOW)
        trickle_body(r);
    else if (r->stalled)
        end_answered(r);
    else
        send_body(r);
}

static void tell(void *owner)
{
    struct sim_reply *r = owner;
    CHECK_MAGIC(r, SIM_REPLY_MAGIC);
    if (r->whole)
        tell_whole(r);
    else
        tell_stream(r);
}

/* ---- start ---- */

/* Log-normal: half of all first tokens come before ttft, and one deviation above it is ttft + spread. */
static uint64_t time_to_first(struct sim_provider *p)
{
    if (!p->o.ttft_ns || !p->o.ttft_spread_ns)
        return p->o.ttft_ns;
    double sigma = log1p((double)p->o.ttft_spread_ns / (double)p->o.ttft_ns);
    double ns = (double)p->o.ttft_ns * exp(sigma * sim_random_normal(&p->random));
    return ns < 600e9 ? (uint64_t)ns : UINT64_C(600000000000);
}

void sim_reply_on_writable(struct sim_reply *r)
{
    CHECK_MAGIC(r, SIM_REPLY_MAGIC);
    r->paused = false;
    if (!r->stalled)
        timer_set(&r->timer, loop_now_ns(r->provider->loop));
}

void sim_reply_start(struct sim_reply *r)
{
    struct sim_provider *p = r->provider;
    uint64_t now = loop_now_ns(p->loop);
    double chunk_s = p->o.tokens_per_s > 0 ? p->o.tokens_per_chunk / p->o.tokens_per_s : 0;
    buf_init(&r->wire, WIRE_BYTES_MAX);
    timer_init(&r->timer, p->loop, tell, r);
    r->started_ns = now;
    r->first_ns = now + time_to_first(p);
    r->chunk_ns = (uint64_t)(chunk_s * 1e9);
    r->whole = !r->request.stream || r->request.task == NEUTRAL_EMBEDDING;
    if (r->fault.kind == SIM_FAULT_REFUSE) {
        end_broken(r, true);
        return;
    }
    if (r->fault.kind == SIM_FAULT_HANG)
        return;
    uint64_t chunks = r->whole ? (uint64_t)sim_answer_tokens(&r->answer) / p->o.tokens_per_chunk : 0;
    timer_set(&r->timer, r->first_ns + chunks * r->chunk_ns);
}
