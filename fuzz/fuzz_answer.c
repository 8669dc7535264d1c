/* SPDX-License-Identifier: Apache-2.0
 *
 * The provider's side of the request path: a client's valid request, answered by a provider whose bytes are the input. Byte 0 says what
 * is asked and what the bytes are (a whole connection, or the body under a head of ours), byte 1 seeds the world and the cuts. A second
 * provider, asked when the first is given up, answers well.
 *
 * Checked: the client's answer ends in bounded time and honestly (an end marker only when the provider's bytes held one or a finish,
 * nothing after it, never after an error), one record that agrees with what the client saw, nothing left; and with a head of ours the
 * answer does not depend on where its bytes were cut.
 */
#include "gateway_world.h"
#include "http/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { STREAM = 1, BODY_ONLY = 2, RESETS = 4, STAYS_OPEN = 8, PROVIDER_H2 = 16, COMPLETIONS = 32, SECOND_IS_GOOD = 64, EMBEDDINGS = 128 };
#define SEEN_MAX (8u * MIB)
#define CONNECTIONS_MAX 16u

/* ---- the providers ---- */

struct answer_side {
    struct answer_run *run;
    struct listener *listener;
    const char *bytes;
    size_t n;
    bool is_good;
    struct answer_end {
        struct answer_side *side;
        struct sock *sock;
        struct timer timer;
        size_t at, next;
        bool asked, ended; /* the request has begun to arrive; what was to be said was said */
    } end[CONNECTIONS_MAX];
    unsigned ends;
};

struct answer_run {
    struct gateway_world g;
    struct answer_side side[2];
    unsigned how;
    uint32_t choices;
    bool whole;          /* no cuts */
    struct buf bytes;    /* what the first provider sends, head and all */
    /* the client */
    struct client *client;
    struct call *call;
    struct buf seen;
    int status;
    bool ended, failed;
    enum record_outcome outcome;
};

static size_t choose(struct answer_run *r, size_t below)
{
    r->choices = r->choices * 1664525u + 1013904223u;
    return below ? (r->choices >> 8) % below : 0;
}

static void end_close(struct answer_end *c, bool reset)
{
    timer_clear(&c->timer);
    if (c->sock && reset)
        sock_abort(c->sock);
    else if (c->sock)
        sock_close(c->sock);
    c->sock = NULL;
}

static void said_all(struct answer_end *c)
{
    unsigned how = c->side->is_good ? 0 : c->side->run->how;
    c->ended = true;
    if (how & RESETS)
        end_close(c, true);
    else if (!(how & STAYS_OPEN))
        sock_shutdown_write(c->sock);
}

static void write_on(struct answer_end *c)
{
    while (c->at < c->next) {
        struct iovec part = {(void *)(uintptr_t)(c->side->bytes + c->at), c->next - c->at};
        ssize_t took = sock_writev(c->sock, &part, 1);
        if (took == -ERR_AGAIN)
            return;
        if (took < 0) {
            end_close(c, false);
            return;
        }
        c->at += (size_t)took;
    }
    if (c->at < c->side->n)
        timer_set_in(&c->timer, choose(c->side->run, 5) * NS_PER_MS);
    else if (!c->ended)
        said_all(c);
}

static void next_piece(void *owner)
{
    struct answer_end *c = owner;
    struct answer_run *r = c->side->run;
    size_t all = c->side->n, step = r->whole ? all : 1 + choose(r, choose(r, 3) ? 40 : all);
    c->next = step < all - c->next ? c->next + step : all;
    write_on(c);
}

static void on_ready(struct sock *s, unsigned events)
{
    struct answer_end *c = s->owner;
    char piece[4096];
    ssize_t got;
    bool first = !c->asked;
    while ((got = sock_read(s, piece, sizeof piece)) > 0)
        c->asked = true;
    if (got != -ERR_AGAIN) {
        end_close(c, false);
        return;
    }
    if (first && c->asked)
        timer_set_in(&c->timer, 20 * NS_PER_MS);
    else if (events & SOCK_WRITABLE && c->at < c->next)
        write_on(c);
}

static void on_accept(void *owner, struct sock *accepted)
{
    struct answer_side *side = owner;
    if (side->ends == CONNECTIONS_MAX) {
        sock_close(accepted);
        return;
    }
    struct answer_end *c = &side->end[side->ends++];
    *c = (struct answer_end){.side = side, .sock = accepted};
    timer_init(&c->timer, accepted->loop, next_piece, c);
    accepted->owner = c;
    accepted->on_ready = on_ready;
}

static void side_open(struct answer_run *r, unsigned i, struct span bytes)
{
    struct answer_side *side = &r->side[i];
    const char *why = "";
    struct sock_address at = address_of(gateway_provider_addresses[i]);
    *side = (struct answer_side){.run = r, .bytes = bytes.p, .n = bytes.n, .is_good = i == 1};
    CHECK(sock_listen(r->g.provider_loop, &at, on_accept, side, &side->listener, &why) == ERR_OK);
}

static void side_close(struct answer_side *side)
{
    for (unsigned i = 0; i < side->ends; i++)
        end_close(&side->end[i], false);
    listener_close(side->listener);
}

#define GOOD_EVENT "{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"good\",\"choices\":[{\"index\":0,"
static struct span good_answer(unsigned how)
{
    if (how & EMBEDDINGS)
        return SPAN("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
                    "{\"object\":\"list\",\"model\":\"good\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[0.5]}],"
                    "\"usage\":{\"prompt_tokens\":1,\"total_tokens\":1}}");
    if (how & STREAM)
        return SPAN("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
                    "data: " GOOD_EVENT "\"text\":\"good\",\"delta\":{\"content\":\"good\"},\"finish_reason\":\"stop\"}]}\n\n"
                    "data: [DONE]\n\n");
    return SPAN("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
                GOOD_EVENT "\"text\":\"good\",\"message\":{\"role\":\"assistant\",\"content\":\"good\"},\"finish_reason\":\"stop\"}],"
                "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}");
}

/* ---- the client ---- */

static void on_head(void *owner, struct call *c, const struct http_head *head) { ((struct answer_run *)owner)->status = head->status; }

static void on_body(void *owner, struct call *c, struct span piece)
{
    struct answer_run *r = owner;
    CHECK(buf_append(&r->seen, piece) == ERR_OK);
}

static void on_end(void *owner, struct call *c)
{
    struct answer_run *r = owner;
    r->ended = true;
    r->call = NULL;
}

static void on_fail(void *owner, struct call *c, enum err e, const char *why)
{
    struct answer_run *r = owner;
    r->failed = true;
    r->call = NULL;
}

static const struct call_handler client_handler = {.on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};

static void ask(struct answer_run *r)
{
    static char body[256];
    static struct iovec slice;
    static const struct header headers[] = {{SPAN("authorization"), SPAN("Bearer k")}, {SPAN("content-type"), SPAN("application/json")}};
    const char *what = r->how & EMBEDDINGS ? "\"input\":\"a\"" : r->how & COMPLETIONS ? "\"prompt\":\"a\"" : "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]";
    bool stream = r->how & STREAM && !(r->how & EMBEDDINGS);
    int n = snprintf(body, sizeof body, "{\"model\":\"gpt-4o\",%s%s}", what, stream ? ",\"stream\":true" : "");
    slice = (struct iovec){body, (size_t)n};
    struct origin_options o = {.host = "gateway", .port = 80, .http = ORIGIN_H1, .connect_timeout_ns = 60 * NS_PER_S};
    struct call_options options = {
        .method = SPAN("POST"), .headers = headers, .headers_n = 2, .body = &slice, .body_n = 1,
        .target = r->how & EMBEDDINGS ? SPAN("/v1/embeddings") : r->how & COMPLETIONS ? SPAN("/v1/completions") : SPAN("/v1/chat/completions"),
        .handler = &client_handler, .owner = r,
    };
    r->client = client_new(r->g.client_loop);
    r->call = call_start(client_origin(r->client, &o), &options);
    CHECK(r->call);
}

/* ---- what must hold ---- */

static bool holds(struct span bytes, struct span word) { return span_find_span(bytes, word) >= 0; }

/* Read as any reader of events would: [DONE] is last, and does not follow an error. */
static bool stream_ends_well(struct answer_run *r)
{
    struct sse sse;
    struct sse_event event;
    bool done = false, error = false;
    sse_init(&sse, SEEN_MAX);
    sse_feed(&sse, buf_span(&r->seen));
    while (sse_next(&sse, &event) == ERR_OK) {
        CHECK(!event.has_data || !done);
        done = done || (event.has_data && span_eq(event.data, SPAN("[DONE]")));
        error = error || (event.has_data && json_find(event.data, "error").n > 4); /* more than null */
    }
    sse_fini(&sse);
    CHECK(!(done && error));
    CHECK(done || error || !r->ended);
    return done;
}

static void audit_client(struct answer_run *r)
{
    struct span records = gateway_records(&r->g), provider = buf_span(&r->bytes);
    bool answered = gateway_lines_with(records, SPAN("\"outcome\":\"answered\"")) == 1;
    bool opaque = holds(provider, SPAN("\\u")) || !(r->how & BODY_ONLY);
    CHECK(r->ended || r->failed);
    CHECK(!r->failed); /* an error is told, the connection to the client is not the provider's to break */
    CHECK(gateway_lines_with(records, SPAN_NONE) - gateway_lines_with(records, SPAN(",\"attempt\":")) == 1 && gateway_outcomes(&r->g) == 1);
    if (r->status != 200) {
        CHECK(!answered && json_check(buf_span(&r->seen)) == ERR_OK);
    } else if (r->how & STREAM && !(r->how & EMBEDDINGS)) {
        CHECK(stream_ends_well(r) == answered);
        CHECK(!answered || opaque || r->side[1].ends || holds(provider, SPAN("[DONE]")) || holds(provider, SPAN("finish_reason")));
    } else {
        CHECK(answered && json_check(buf_span(&r->seen)) == ERR_OK && !json_find(buf_span(&r->seen), "error.message").n);
    }
    if (r->how & SECOND_IS_GOOD && r->side[1].ends)
        CHECK(answered && holds(buf_span(&r->seen), SPAN("good")));
}

/* ---- runs ---- */

static void make_bytes(struct answer_run *r, struct span data)
{
    buf_init(&r->bytes, MIB);
    if (r->how & BODY_ONLY) {
        struct span type = r->how & STREAM && !(r->how & EMBEDDINGS) ? SPAN("text/event-stream") : SPAN("application/json");
        CHECK(buf_printf(&r->bytes, "HTTP/1.1 200 OK\r\nContent-Type: %.*s\r\nContent-Length: %zu\r\n\r\n", SPAN_ARG(type), data.n) == ERR_OK);
    }
    CHECK(buf_append(&r->bytes, data) == ERR_OK);
}

static void take_down(struct answer_run *r)
{
    client_free(r->client);
    for (unsigned i = 0; i < 2; i++)
        side_close(&r->side[i]);
    buf_fini(&r->bytes);
    buf_fini(&r->seen);
    gateway_world_close(&r->g);
}

static bool has_ended(void *owner) { return ((struct answer_run *)owner)->ended || ((struct answer_run *)owner)->failed; }

/* seen: the client's bytes on the heap, to compare runs by. */
static void run(struct answer_run *r, const uint8_t *data, size_t n, bool whole, struct span *seen)
{
    *r = (struct answer_run){.how = data[0], .choices = data[1], .whole = whole};
    struct sim_options weather = sim_options_calm();
    bool second = r->how & SECOND_IS_GOOD;
    if (whole)
        weather.split_ppm = weather.short_write_ppm = 0;
    gateway_world_open(&r->g, data[1], &weather, second ? 2 : 1, r->how & PROVIDER_H2 && !(r->how & BODY_ONLY));
    buf_init(&r->seen, SEEN_MAX);
    make_bytes(r, span_of(data + 2, n - 2));
    side_open(r, 0, buf_span(&r->bytes));
    side_open(r, 1, good_answer(r->how));
    ask(r);
    gateway_run_until(&r->g, has_ended, r, 900);
    audit_client(r);
    for (unsigned i = 0; i < RECORD_OUTCOMES; i++)
        if (stat_read(&worker_exchange_stats(r->g.worker)->outcomes[i]))
            r->outcome = (enum record_outcome)i;
    char *copy = malloc(buf_bytes(&r->seen) + 1);
    CHECK(copy);
    memcpy(copy, buf_bytes(&r->seen) ? buf_span(&r->seen).p : "", buf_bytes(&r->seen));
    *seen = span_of(copy, buf_bytes(&r->seen));
    take_down(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct answer_run cut, whole;
    struct span seen_cut, seen_whole;
    if (n < 3)
        return 0;
    run(&cut, data, n, false, &seen_cut);
    if (data[0] & BODY_ONLY && !(data[0] & RESETS)) { /* a reset overtakes what was not read yet */
        run(&whole, data, n, true, &seen_whole);
        CHECK(cut.outcome == whole.outcome && cut.status == whole.status);
        CHECK(cut.outcome != RECORD_ANSWERED || span_eq(seen_cut, seen_whole));
        free((void *)(uintptr_t)seen_whole.p);
    }
    free((void *)(uintptr_t)seen_cut.p);
    return 0;
}
