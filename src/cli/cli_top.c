/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente top`: a running gateway's /admin/v1/status, once a second, as a table. Rates are differences between two looks; the times to the
 * first token are those since the gateway started.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "http/client.h"
#include "io/backend.h"
#include "serve/config_url.h"

static const char usage[] =
    "usage: entente top [--url http://127.0.0.1:8080] [--key env:NAME] [--once] [--json]\n"
    "\n"
    "Watches a running gateway: each deployment, what it does now and how well; its budgets. Without a terminal, one look and the end.\n"
    "  --url URL       where the gateway is\n"
    "  --key env:NAME  the admin key, where the gateway has one\n"
    "  --once          one look, over one second, and the end\n"
    "  --json          what the gateway says, as it says it, one line a second\n"
    "Ends with 1 when the gateway cannot be reached or refuses the key.\n";

#define DEPLOYMENTS_MAX 256u
#define BUDGETS_MAX_SHOWN 16u
#define NAME_BYTES 48u
#define BODY_BYTES_MAX (16u * MIB)

struct deployment_look {
    char provider[NAME_BYTES], model[NAME_BYTES];
    int64_t under_way, input, output, p50_us, p99_us;
    int64_t attempts, answered, limited; /* limited: 429 of either kind */
};

struct budget_look {
    char name[NAME_BYTES], who[NAME_BYTES], period[16], currency[4], spent[48], held[48], limit[48]; /* amounts as they came */
};

/* One answer of the gateway. */
struct look {
    uint64_t at_ns;
    char version[32];
    int64_t workers, started_us, generation, answered, refused, failed, broken, abandoned, under_way, retries, shed, connections;
    bool draining;
    struct deployment_look deployments[DEPLOYMENTS_MAX];
    unsigned n;
    struct budget_look budgets[BUDGETS_MAX_SHOWN];
    unsigned budgets_n;
    char ledger_state[16], ledger_why[160];
};

struct top {
    const char *url, *key;
    bool once, json;
    struct arena arena;
    struct url address;
    struct loop *loop;
    struct tls_context *tls;
    struct client *client;
    struct origin *origin;
    struct table_screen screen;
    /* the call under way */
    struct buf body;
    int status;
    bool over;
    enum err failed;
    char why[200];
    struct look *now, *before;
};

static struct cli_syntax syntax = {.command = "entente top", .usage = usage};

/* ---- asking ---- */

static void on_head(void *owner, struct call *c, const struct http_head *head) { ((struct top *)owner)->status = head->status; }

static void on_body(void *owner, struct call *c, struct span piece)
{
    struct top *t = owner;
    if (buf_append(&t->body, piece) != ERR_OK)
        t->failed = ERR_TOO_LARGE;
}

static void on_end(void *owner, struct call *c) { ((struct top *)owner)->over = true; }

static void on_fail(void *owner, struct call *c, enum err e, const char *why)
{
    struct top *t = owner;
    t->failed = e;
    t->over = true;
    snprintf(t->why, sizeof t->why, "%s", why && *why ? why : err_sentence(e));
}

static const struct call_handler handler = {.on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};

/* True with the page in body; else the reason was told. */
static bool fetch(struct top *t)
{
    struct arena_mark mark = arena_mark(&t->arena);
    const struct header key = {SPAN("authorization"), t->key ? arena_printf(&t->arena, "Bearer %s", t->key) : SPAN_NONE};
    const struct call_options o = {
        .method = SPAN("GET"), .target = arena_printf(&t->arena, "%.*s/admin/v1/status", SPAN_ARG(t->address.base_path)), .authority = t->address.authority,
        .headers = &key, .headers_n = t->key != NULL, .total_timeout_ns = 5 * NS_PER_S, .handler = &handler, .owner = t,
    };
    buf_clear(&t->body);
    t->over = false;
    t->failed = ERR_OK;
    t->status = 0;
    CHECK(call_start(t->origin, &o) != NULL);
    while (!t->over)
        loop_turn(t->loop);
    arena_rewind(&t->arena, mark);
    if (!t->failed && t->status == 200)
        return true;
    struct span message;
    if (t->failed)
        cli_error(&syntax, "%s: %s", t->url, t->why);
    else if (json_find_string(&t->arena, buf_span(&t->body), "error.message", &message))
        cli_error(&syntax, "%s: status %d, %.*s", t->url, t->status, SPAN_ARG(span_to(message, 200)));
    else
        cli_error(&syntax, "%s: status %d; is this an entente gateway?", t->url, t->status);
    return false;
}

/* ---- reading ---- */

static void copy(struct arena *a, struct span json, const char *path, char *out, size_t room)
{
    struct span text = SPAN("");
    (void)json_find_string(a, json, path, &text);
    snprintf(out, room, "%.*s", SPAN_ARG(text));
}

static int64_t figure(struct span json, const char *path)
{
    int64_t n = 0;
    (void)json_find_i64(json, path, &n);
    return n;
}

static void read_attempts(struct span json, struct deployment_look *d)
{
    struct json j;
    struct json_string key;
    int64_t n;
    json_init(&j, json_find(json, "attempts"));
    if (json_peek(&j) != JSON_OBJECT || json_enter_object(&j))
        return;
    while (json_next_key(&j, &key) && json_read_i64(&j, &n) == ERR_OK) {
        d->attempts += n;
        if (json_key_is(key, SPAN("answered")))
            d->answered += n;
        if (json_key_is(key, SPAN("rate")) || json_key_is(key, SPAN("quota")))
            d->limited += n;
    }
}

static void read_deployment(struct arena *a, struct span json, struct deployment_look *d)
{
    *d = (struct deployment_look){.under_way = figure(json, "under_way"), .input = figure(json, "input_tokens"), .output = figure(json, "output_tokens"),
                                  .p50_us = figure(json, "first_byte_p50_us"), .p99_us = figure(json, "first_byte_p99_us")};
    copy(a, json, "provider", d->provider, sizeof d->provider);
    copy(a, json, "model", d->model, sizeof d->model);
    read_attempts(json, d);
}

static void read_deployments(struct arena *a, struct span json, struct look *l)
{
    struct json j;
    struct span one;
    json_init(&j, json_find(json, "deployments"));
    if (json_peek(&j) != JSON_ARRAY || json_enter_array(&j))
        return;
    while (l->n < DEPLOYMENTS_MAX && json_next_item(&j) && json_skip(&j, &one) == ERR_OK)
        read_deployment(a, one, &l->deployments[l->n++]);
}

static void read_budget(struct arena *a, struct span json, struct budget_look *b)
{
    copy(a, json, "name", b->name, sizeof b->name);
    copy(a, json, "who", b->who, sizeof b->who);
    copy(a, json, "period", b->period, sizeof b->period);
    copy(a, json, "currency", b->currency, sizeof b->currency);
    copy(a, json, "spent", b->spent, sizeof b->spent);
    copy(a, json, "held", b->held, sizeof b->held);
    copy(a, json, "limit", b->limit, sizeof b->limit);
}

static void read_budgets(struct arena *a, struct span json, struct look *l)
{
    struct json j;
    struct span one;
    json_init(&j, json_find(json, "budgets"));
    if (json_peek(&j) != JSON_ARRAY || json_enter_array(&j))
        return;
    while (l->budgets_n < BUDGETS_MAX_SHOWN && json_next_item(&j) && json_skip(&j, &one) == ERR_OK)
        read_budget(a, one, &l->budgets[l->budgets_n++]);
}

static bool read_look(struct top *t, struct look *l)
{
    struct span json = buf_span(&t->body), draining = json_find(json, "draining");
    struct arena_mark mark = arena_mark(&t->arena);
    if (json_check(json) != ERR_OK || !json_find(json, "deployments").p) {
        cli_error(&syntax, "%s: what came is no status; is this an entente gateway?", t->url);
        return false;
    }
    *l = (struct look){
        .at_ns = loop_clock_ns(t->loop), .draining = span_eq(draining, SPAN("true")), .workers = figure(json, "workers"),
        .started_us = figure(json, "started_us"), .generation = figure(json, "generation"),
        .answered = figure(json, "exchanges.answered"), .refused = figure(json, "exchanges.refused"), .failed = figure(json, "exchanges.failed"),
        .broken = figure(json, "exchanges.broken"), .abandoned = figure(json, "exchanges.abandoned"), .under_way = figure(json, "exchanges.under_way"),
        .retries = figure(json, "retries"), .shed = figure(json, "shed"), .connections = figure(json, "connections"),
    };
    copy(&t->arena, json, "version", l->version, sizeof l->version);
    copy(&t->arena, json, "ledger.state", l->ledger_state, sizeof l->ledger_state);
    copy(&t->arena, json, "ledger.why", l->ledger_why, sizeof l->ledger_why);
    read_deployments(&t->arena, json, l);
    read_budgets(&t->arena, json, l);
    arena_rewind(&t->arena, mark);
    return true;
}

/* ---- drawing ---- */

/* The same deployment a look ago; zeros when it is new. */
static struct deployment_look before_of(const struct top *t, const struct deployment_look *d)
{
    for (unsigned i = 0; i < t->before->n; i++)
        if (strcmp(t->before->deployments[i].provider, d->provider) == 0 && strcmp(t->before->deployments[i].model, d->model) == 0)
            return t->before->deployments[i];
    return (struct deployment_look){.attempts = 0};
}

static const char *state_of(const struct deployment_look *change, int64_t under_way)
{
    int64_t errors = change->attempts - change->answered;
    if (errors > 0)
        return errors == change->limited ? "limited" : change->answered > 0 ? "unsteady" : "failing";
    return change->answered > 0 || under_way > 0 ? "busy" : "idle";
}

static const char *uptime(char out[48], int64_t seconds)
{
    if (seconds < 120)
        snprintf(out, 48, "%lld s", (long long)seconds);
    else if (seconds < 7200)
        snprintf(out, 48, "%lld min", (long long)(seconds / 60));
    else
        snprintf(out, 48, "%lld h %lld min", (long long)(seconds / 3600), (long long)(seconds / 60 % 60));
    return out;
}

static void draw_head(struct top *t, double dt)
{
    const struct look *n = t->now, *b = t->before;
    char up[48];
    int64_t ended = n->answered + n->refused + n->failed + n->broken + n->abandoned - b->answered - b->refused - b->failed - b->broken - b->abandoned;
    table_line(&t->screen, "entente %s at %s, up %s, workers: %lld, config: %lld%s", n->version, t->url,
               uptime(up, (loop_wall_us(t->loop) - n->started_us) / 1000000), (long long)n->workers, (long long)n->generation,
               n->draining ? ", DRAINING" : "");
    table_line(&t->screen, "%.1f requests/s, %lld under way, %lld connections", (double)ended / dt, (long long)n->under_way, (long long)n->connections);
    table_line(&t->screen, "since the start: %lld answered, %lld refused, %lld failed, %lld broken, %lld abandoned; %lld retries, %lld shed",
               (long long)n->answered, (long long)n->refused, (long long)n->failed, (long long)n->broken, (long long)n->abandoned,
               (long long)n->retries, (long long)n->shed);
    table_line(&t->screen, "%s", "");
}

/* change: what happened in dt seconds; now: what is so at the moment. */
static void draw_row(struct top *t, const char *state, const struct deployment_look *change, const struct deployment_look *now, double dt)
{
    char first[56] = "-";
    if (now->p50_us || now->p99_us)
        snprintf(first, sizeof first, "%lld / %lld ms", (long long)(now->p50_us / 1000), (long long)(now->p99_us / 1000));
    table_line(&t->screen, "%-16.16s %-20.20s %-9s %8.1f %12.0f %12.0f %18s %8.1f %9lld", now->provider, now->model[0] ? now->model : "(as asked)",
               state, (double)change->attempts / dt, (double)change->input / dt, (double)change->output / dt, first,
               (double)(change->attempts - change->answered) / dt, (long long)now->under_way);
}

static void add(struct deployment_look *sum, const struct deployment_look *d)
{
    sum->attempts += d->attempts;
    sum->answered += d->answered;
    sum->input += d->input;
    sum->output += d->output;
}

static void draw_deployments(struct top *t, double dt)
{
    struct deployment_look all = {.attempts = 0}, all_now = all;
    for (unsigned i = 0; i < t->now->n; i++) {
        const struct deployment_look *d = &t->now->deployments[i], b = before_of(t, d);
        struct deployment_look change = {.attempts = d->attempts - b.attempts, .answered = d->answered - b.answered, .limited = d->limited - b.limited,
                                         .input = d->input - b.input, .output = d->output - b.output};
        draw_row(t, state_of(&change, d->under_way), &change, d, dt);
        add(&all, &change);
        all_now.under_way += d->under_way;
    }
    table_line(&t->screen, "%-16s %-20s %-9s %8.1f %12.0f %12.0f %18s %8.1f %9lld", "all", "", "", (double)all.attempts / dt, (double)all.input / dt,
               (double)all.output / dt, "", (double)(all.attempts - all.answered) / dt, (long long)all_now.under_way);
}

static void draw_money(struct top *t)
{
    const struct look *n = t->now;
    if (n->ledger_state[0] && strcmp(n->ledger_state, "ok") != 0)
        table_line(&t->screen, "LEDGER %s: %s", n->ledger_state, n->ledger_why);
    table_line(&t->screen, "%s", "");
    if (n->budgets_n)
        table_line(&t->screen, "%-16s %-20s %-10s %16s %16s %16s", "budget", "for", "period", "spent", "set aside", "limit");
    for (unsigned i = 0; i < n->budgets_n; i++) {
        const struct budget_look *b = &n->budgets[i];
        table_line(&t->screen, "%-16.16s %-20.20s %-10s %16s %16s %16s %s", b->name, b->who, b->period, b->spent, b->held, b->limit, b->currency);
    }
}

static void draw(struct top *t)
{
    double dt = (double)(t->now->at_ns - t->before->at_ns) / 1e9;
    dt = dt > 0.001 ? dt : 1;
    table_begin(&t->screen);
    draw_head(t, dt);
    table_line(&t->screen, "%-16s %-20s %-9s %8s %12s %12s %18s %8s %9s", "provider", "model", "state", "asked/s", "tokens in/s", "out/s", "first p50 / p99",
               "errors/s", "under way");
    draw_deployments(t, dt);
    draw_money(t);
    table_end(&t->screen);
}

static void wait_a_second(struct top *t)
{
    fflush(stdout);
    nanosleep(&(struct timespec){1, 0}, NULL);
}

/* ---- running ---- */

static int watch_json(struct top *t)
{
    for (;;) {
        if (!fetch(t))
            return CLI_FAILED;
        printf("%.*s", SPAN_ARG(buf_span(&t->body)));
        if (t->once)
            return CLI_DONE;
        wait_a_second(t);
    }
}

static bool take_look(struct top *t)
{
    struct look *spare = t->before;
    t->before = t->now;
    t->now = spare;
    return fetch(t) && read_look(t, t->now);
}

static int watch(struct top *t)
{
    if (!take_look(t))
        return CLI_FAILED;
    do {
        wait_a_second(t);
        if (!take_look(t))
            return CLI_FAILED;
        draw(t);
    } while (!t->once);
    return CLI_DONE;
}

static bool open_origin(struct top *t)
{
    char reason[256] = "";
    t->loop = loop_new(io_epoll(), NULL);
    if (!t->loop)
        return false;
    if (t->address.tls && tls_client_context(&(struct tls_client_options){.verify = true}, &t->tls, reason) != ERR_OK) {
        cli_error(&syntax, "%s: %s", t->url, reason);
        return false;
    }
    const struct origin_options o = {.tls = t->address.tls, .host = t->address.host, .port = t->address.port, .unix_path = t->address.unix_path,
                                     .tls_context = t->tls, .http = ORIGIN_H1};
    t->client = client_new(t->loop);
    t->origin = client_origin(t->client, &o);
    return true;
}

static int run(struct top *t)
{
    int code = CLI_FAILED;
    t->now = calloc(1, sizeof *t->now);
    t->before = calloc(1, sizeof *t->before);
    CHECK(t->now && t->before);
    buf_init(&t->body, BODY_BYTES_MAX);
    if (open_origin(t))
        code = t->json ? watch_json(t) : watch(t);
    if (t->client)
        client_free(t->client);
    tls_context_unref(t->tls);
    if (t->loop)
        loop_free(t->loop);
    buf_fini(&t->body);
    free(t->now);
    free(t->before);
    return code;
}

static bool read_question(struct top *t, const char *key)
{
    const char *complaint;
    t->url = t->url ? t->url : "http://127.0.0.1:8080";
    complaint = url_parse(&t->arena, span_str(t->url), &t->address);
    if (complaint) {
        cli_error(&syntax, "the URL %.100s %s", t->url, complaint);
        return false;
    }
    if (!key)
        return true;
    t->key = strncmp(key, "env:", 4) == 0 ? getenv(key + 4) : NULL;
    if (!t->key || !*t->key)
        cli_error(&syntax, "--key is env:NAME, the name of a variable that is set and holds the admin key");
    return t->key && *t->key;
}

int cli_top(int argc, char **argv)
{
    struct top t = {.once = false};
    const char *key = NULL;
    int code;
    const struct cli_option options[] = {{"--url", &t.url, NULL}, {"--key", &key, NULL}, {"--once", NULL, &t.once}, {"--json", NULL, &t.json}};
    struct cli_syntax s = syntax;
    s.options = options;
    s.options_n = COUNT_OF(options);
    if (!cli_read_options(argc, argv, &s, &code))
        return code;
    arena_init(&t.arena, 4096);
    t.screen.live = !t.json && isatty(STDOUT_FILENO);
    t.once = t.once || (!t.screen.live && !t.json);
    code = read_question(&t, key) ? run(&t) : CLI_USAGE;
    arena_fini(&t.arena);
    return code;
}
