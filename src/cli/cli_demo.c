/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente demo`: a gateway between three simulated providers and a client that replays a production trace, all in this process and on real
 * sockets. Midway one provider dies. In the end the gateway's
 * books must equal, to the token and to the last digit of the money, what the providers say they produced.
 *
 * Threads: this one runs the client and draws; one runs the providers; the gateway has its own. The books are kept on the ledger's
 * thread, under a lock.
 */
#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/demo.h"
#include "cli/table.h"
#include "io/backend.h"
#include "serve/gateway.h"
#include "sim/provider.h"
#include "sim/replay.h"

static const char usage[] =
    "usage: entente demo [--trace FILE] [--requests N] [--speed X] [--chaos] [--keep] [--seed N] [--json]\n"
    "\n"
    "Three simulated providers, a gateway and a client that replays a trace of a production service, on real sockets and with no account\n"
    "anywhere. Midway one provider is killed. It ends with the gateway's books beside the providers' own counts, which must be equal, and with\n"
    "what each provider is owed and each department owes by a small price book, from a ledger that is then verified.\n"
    "  --trace FILE  CSV with TIMESTAMP, ContextTokens, GeneratedTokens (or timestamp, input, output); not said: azure-llm-2023-conv\n"
    "                where ENTENTE_FIXTURES has it, else a workload with its distributions\n"
    "  --requests N  rows of the trace to replay (2000)\n"
    "  --speed X     times the trace's own speed (20)\n"
    "  --chaos       two providers also fail and stall at random\n"
    "  --keep        leave everything up afterwards, and say how to try it\n"
    "  --seed N      draws other prompts, models and faults\n"
    "  --json        one JSON object at the end instead of the tables\n"
    "Ends with 0 when every request was answered and the books are equal, else with 1.\n";

#define PROVIDER_SECRET "provider-secret"
#define REQUESTS_STANDARD 2000u
#define SPEED_STANDARD 20.0
#define TICK_NS (250 * NS_PER_MS)
#define LINE_NS (2 * NS_PER_S)
#define SETTLE_S 15

struct question {
    const char *trace, *requests_text, *speed_text, *seed_text;
    bool chaos, keep, json;
    uint64_t requests, seed;
    double speed;
};

struct demo {
    struct question q;
    char secrets[DEMO_KEYS][48], dir[256], data[280], prices[300], trace_name[320];
    struct loop *providers_loop, *loop;
    struct sim_provider *provider[DEMO_PROVIDERS];
    pthread_t providers_thread;
    bool providers_run;
    struct gateway *gateway;
    struct trace *trace;
    struct replay *replay;
    struct demo_books books;
    struct timer tick;
    struct table_screen screen;
    uint64_t started_ns, last_line_ns, ended_ns;
    bool killed;
};

static struct cli_syntax syntax = {.command = "entente demo", .usage = usage};
static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number) { interrupted = 1; }

/* ---- the command line ---- */

static bool wrong(const char *option, const char *value, const char *wanted)
{
    cli_error(&syntax, "%s \"%.60s\": %s", option, value, wanted);
    return false;
}

static bool read_question(struct question *q)
{
    char *end;
    q->requests = REQUESTS_STANDARD;
    q->speed = SPEED_STANDARD;
    q->seed = 1;
    if (q->requests_text && (!span_to_u64(span_str(q->requests_text), &q->requests) || !q->requests || q->requests > 100000000))
        return wrong("--requests", q->requests_text, "a whole number from 1");
    if (q->seed_text && !span_to_u64(span_str(q->seed_text), &q->seed))
        return wrong("--seed", q->seed_text, "a whole number");
    if (q->speed_text) {
        q->speed = strtod(q->speed_text, &end);
        if (end == q->speed_text || *end || !(q->speed >= 0.01 && q->speed <= 10000))
            return wrong("--speed", q->speed_text, "a number from 0.01 to 10000");
    }
    return true;
}

static bool ask(int argc, char **argv, struct question *q, int *ret_code)
{
    const struct cli_option options[] = {
        {"--trace", &q->trace, NULL}, {"--requests", &q->requests_text, NULL}, {"--speed", &q->speed_text, NULL}, {"--seed", &q->seed_text, NULL},
        {"--chaos", NULL, &q->chaos}, {"--keep", NULL, &q->keep}, {"--json", NULL, &q->json},
    };
    struct cli_syntax s = syntax;
    s.options = options;
    s.options_n = COUNT_OF(options);
    if (!cli_read_options(argc, argv, &s, ret_code))
        return false;
    *ret_code = CLI_USAGE;
    return read_question(q);
}

/* ---- the trace ---- */

static bool open_trace(struct demo *d)
{
    char path[512], why[TRACE_WHY_BYTES];
    const char *fixtures = getenv("ENTENTE_FIXTURES");
    snprintf(path, sizeof path, "%s/traces/azure-llm-2023-conv.csv", fixtures ? fixtures : "");
    if (!d->q.trace && (!fixtures || access(path, R_OK) != 0)) {
        snprintf(d->trace_name, sizeof d->trace_name, "a workload with the distributions of azure-llm-2023-conv");
        d->trace = trace_fitted(d->q.seed);
        return true;
    }
    const char *file = d->q.trace ? d->q.trace : path;
    snprintf(d->trace_name, sizeof d->trace_name, "%.300s", d->q.trace ? d->q.trace : "azure-llm-2023-conv (Azure/AzurePublicDataset, CC-BY-4.0)");
    if (trace_open(file, &d->trace, why) == ERR_OK)
        return true;
    cli_error(&syntax, "%s", why);
    return false;
}

/* ---- the providers ---- */

static void free_providers(struct demo *d)
{
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++)
        sim_provider_free(d->provider[i]);
}

static void *run_providers(void *arg)
{
    struct demo *d = arg;
    loop_run(d->providers_loop);
    free_providers(d);
    return NULL;
}

static const struct sim_fault chaos_faults[] = { /* past the first event, so that each is a stream that had begun */
    {.kind = SIM_FAULT_RESET, .bytes = 2000, .probability_ppm = 30000},
    {.kind = SIM_FAULT_CLOSE, .bytes = 1200, .probability_ppm = 30000},
    {.kind = SIM_FAULT_STALL, .bytes = 1500, .delay_ns = 20 * NS_PER_S, .probability_ppm = 10000},
    {.kind = SIM_FAULT_HANG, .probability_ppm = 5000},
    {.kind = SIM_FAULT_RATE, .delay_ns = 200 * NS_PER_MS, .probability_ppm = 20000},
    {.kind = SIM_FAULT_STATUS, .status = 500, .probability_ppm = 40000},
    {.kind = SIM_FAULT_ERROR_EVENT, .bytes = 1000, .probability_ppm = 10000},
    {.kind = SIM_FAULT_NO_USAGE, .probability_ppm = 20000},
    {.kind = SIM_FAULT_REFUSE, .probability_ppm = 20000},
};

/* The pace is the trace's time, too: 300 ms to the first token and 40 tokens a second in it. */
static bool start_provider(struct demo *d, unsigned i)
{
    const char *why = "";
    struct sim_provider_options o = {
        .name = demo_providers[i].name, .dialect = dialect_find(span_str(demo_providers[i].dialect)), .seed = d->q.seed * 10 + i,
        .ttft_ns = (uint64_t)(0.3e9 / d->q.speed), .ttft_spread_ns = (uint64_t)(0.15e9 / d->q.speed), .tokens_per_s = 40 * d->q.speed,
        .tokens_per_chunk = 1, .output_tokens = INT64_C(1) << 40, .secret = PROVIDER_SECRET,
    };
    if (d->q.chaos && i != DEMO_VICTIM) {
        o.faults = chaos_faults;
        o.faults_n = COUNT_OF(chaos_faults);
    }
    CHECK(sock_address_parse(SPAN("127.0.0.1:0"), &o.listen) == ERR_OK);
    d->provider[i] = sim_provider_new(d->providers_loop, &o);
    if (sim_provider_listen(d->provider[i], &why) == ERR_OK)
        return true;
    cli_error(&syntax, "the simulated provider %s cannot listen: %s", demo_providers[i].name, why);
    return false;
}

static bool start_providers(struct demo *d)
{
    bool good = true;
    d->providers_loop = loop_new(io_epoll(), NULL);
    CHECK(d->providers_loop != NULL);
    for (unsigned i = 0; i < DEMO_PROVIDERS && good; i++)
        good = start_provider(d, i);
    d->providers_run = good && pthread_create(&d->providers_thread, NULL, run_providers, d) == 0;
    return d->providers_run;
}

static void kill_victim(struct loop *l, void *owner, void *m) { sim_provider_kill(((struct demo *)owner)->provider[DEMO_VICTIM]); }
static void stop_loop(struct loop *l, void *owner, void *m) { loop_stop(l); }

static void stop_providers(struct demo *d)
{
    if (d->providers_run) {
        CHECK(loop_post(d->providers_loop, stop_loop, NULL, NULL) == ERR_OK);
        pthread_join(d->providers_thread, NULL);
    } else {
        free_providers(d);
    }
    if (d->providers_loop)
        loop_free(d->providers_loop); /* not on its own thread, where it could overtake the message that stopped it */
}

/* ---- the gateway ---- */

static const char *get_env(void *owner, const char *name)
{
    const struct demo *d = owner;
    for (unsigned i = 0; i < DEMO_KEYS; i++)
        if (strcmp(name, demo_keys[i].variable) == 0)
            return d->secrets[i];
    return strcmp(name, "PROVIDER_KEY") == 0 ? PROVIDER_SECRET : NULL;
}

static void write_config(struct demo *d, FILE *f)
{
    fprintf(f, "listen: 127.0.0.1:0\ndata: %s\nworkers: 1\nlog: {level: error, exchanges: false}\n", d->data);
    fprintf(f, "timeouts: {connect: 1s, first_byte: %s, idle: %s}\n", d->q.chaos ? "3s" : "30s", d->q.chaos ? "2s" : "30s");
    fprintf(f, "prices: [%s]\nledger: {spool: 1MiB}\n", d->prices);
    fprintf(f, "ejection: {base: 1s}\nretry: {budget_percent: 50, budget_floor: 100}\nproviders:\n");
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++) {
        struct sock_address at = sim_provider_address(d->provider[i]);
        char text[64];
        sock_address_text(&at, text, sizeof text);
        fprintf(f, "  %s: {dialect: %s, url: \"http://%s%s\", credential: env:PROVIDER_KEY}\n", demo_providers[i].name, demo_providers[i].dialect, text,
                demo_providers[i].path);
    }
    fprintf(f, "models:\n  gpt-4o:\n    select: least-latency\n    deployments:\n");
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++)
        fprintf(f, "      - {provider: %s, model: %s}\n", demo_providers[i].name, demo_providers[i].model);
    fprintf(f, "  llama-4:\n    - {provider: my-vllm, model: llama-4}\n    - {provider: azure-eu, model: gpt-4o-prod}\nkeys:\n");
    for (unsigned i = 0; i < DEMO_KEYS; i++)
        fprintf(f, "  - {name: %s, secret: env:%s, department: %s}\n", demo_keys[i].name, demo_keys[i].variable, demo_keys[i].department);
}

static struct config *make_config(struct demo *d)
{
    char *text = NULL;
    size_t n = 0;
    struct config *c = NULL;
    struct config_errors errors;
    const struct config_world world = {.get_env = get_env, .owner = d};
    FILE *f = open_memstream(&text, &n);
    CHECK(f != NULL);
    write_config(d, f);
    fclose(f);
    config_errors_init(&errors);
    if (config_parse("demo.yaml", span_of(text, n), &world, &c, &errors) != ERR_OK)
        config_errors_print(&errors, stderr);
    config_errors_fini(&errors);
    free(text);
    return c;
}

static void make_secrets(struct demo *d)
{
    uint8_t bytes[16];
    char hex[2 * sizeof bytes + 1];
    for (unsigned i = 0; i < DEMO_KEYS; i++) {
        digest_random(bytes, sizeof bytes);
        digest_hex(bytes, sizeof bytes, hex);
        snprintf(d->secrets[i], sizeof d->secrets[i], "sk-demo-%s", hex);
    }
}

static bool write_prices(struct demo *d)
{
    snprintf(d->prices, sizeof d->prices, "%s/prices.yaml", d->dir);
    FILE *f = fopen(d->prices, "we");
    if (f)
        demo_write_prices(f);
    if (f && fclose(f) == 0)
        return true;
    cli_error(&syntax, "%s cannot be written; set TMPDIR", d->prices);
    return false;
}

static bool start_gateway(struct demo *d)
{
    char why[512];
    const char *tmp = getenv("TMPDIR");
    snprintf(d->dir, sizeof d->dir, "%.200s/entente-demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(d->dir)) {
        cli_error(&syntax, "%s cannot be made; set TMPDIR", d->dir);
        d->dir[0] = 0;
        return false;
    }
    snprintf(d->data, sizeof d->data, "%s/data", d->dir);
    if (!write_prices(d))
        return false;
    make_secrets(d);
    struct gateway_options o = {.config = make_config(d), .on_record = demo_books_on_record, .owner = &d->books};
    if (!o.config)
        return false;
    if (gateway_start(&o, &d->gateway, why) == ERR_OK)
        return true;
    cli_error(&syntax, "%s", why);
    return false;
}

/* ---- while it runs ---- */

static double seconds_since(const struct demo *d, uint64_t ns) { return (double)(ns - d->started_ns) / 1e9; }

static const char *state_of(const struct demo *d, unsigned i) { return i == DEMO_VICTIM && d->killed ? "killed" : "up"; }

static void draw_head(struct demo *d, const struct replay_figures *f, const struct demo_books *b)
{
    char done[32], asked[32], input[32], output[32];
    table_line(&d->screen, "%6.1f s   %s of %s answered, %" PRIu64 " under way", seconds_since(d, loop_now_ns(d->loop)), table_number(done, f->answered),
               table_number(asked, f->planned), f->under_way);
    table_line(&d->screen, "           tokens in %s, out %s   first token p50 %.0f ms, p99 %.0f ms", table_number(input, b->all.input),
               table_number(output, b->all.output), demo_first_ms(d->replay, 0.5), demo_first_ms(d->replay, 0.99));
}

static void draw_table(struct demo *d, const struct replay_figures *f, const struct demo_books *b)
{
    char input[32], output[32];
    table_begin(&d->screen);
    draw_head(d, f, b);
    table_line(&d->screen, "%s", "");
    table_line(&d->screen, "%-10s %-14s %-7s %9s %8s %15s %14s %14s", "provider", "dialect", "state", "answered", "broken", "failed attempts", "tokens in",
               "tokens out");
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++) {
        const struct demo_account *a = &b->provider[i];
        table_line(&d->screen, "%-10s %-14s %-7s %9" PRIu64 " %8" PRIu64 " %15" PRIu64 " %14s %14s", demo_providers[i].name, demo_providers[i].dialect,
                   state_of(d, i), a->answered, a->broken, a->failed_attempts, table_number(input, a->input), table_number(output, a->output));
    }
    table_line(&d->screen, "%s", "");
    table_line(&d->screen, "moved to another provider by the gateway: %" PRIu64, b->retried);
    table_line(&d->screen, "asked again by the client: %" PRIu64 ", of these streams that had begun and broke: %" PRIu64, f->again_broken + f->again_refused,
               f->again_broken);
    table_end(&d->screen);
}

static void draw_plain(struct demo *d, const struct replay_figures *f, const struct demo_books *b)
{
    char input[32], output[32];
    printf("%5.0f s  %" PRIu64 " of %" PRIu64 " answered, %" PRIu64 " under way; tokens in %s, out %s; first token p50 %.0f ms, p99 %.0f ms;",
           seconds_since(d, loop_now_ns(d->loop)), f->answered, f->planned, f->under_way, table_number(input, b->all.input),
           table_number(output, b->all.output), demo_first_ms(d->replay, 0.5), demo_first_ms(d->replay, 0.99));
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++)
        printf(" %s %" PRIu64 " (%s)", demo_providers[i].name, b->provider[i].answered, state_of(d, i));
    printf("; asked again by the client: %" PRIu64 "\n", f->again_broken + f->again_refused);
    fflush(stdout);
}

static void draw(struct demo *d, bool last)
{
    uint64_t now = loop_now_ns(d->loop);
    struct demo_books b = demo_books_read(&d->books);
    if (d->q.json)
        return;
    if (d->screen.live)
        draw_table(d, replay_figures(d->replay), &b);
    else if (last || now - d->last_line_ns >= LINE_NS) {
        d->last_line_ns = now;
        draw_plain(d, replay_figures(d->replay), &b);
    }
}

static void tick(void *owner)
{
    struct demo *d = owner;
    if (interrupted)
        loop_stop(d->loop);
    draw(d, false);
    timer_set_in(&d->tick, TICK_NS);
}

static void kill_now(struct demo *d)
{
    d->killed = true;
    CHECK(loop_post(d->providers_loop, kill_victim, d, NULL) == ERR_OK);
    if (!d->q.json && !d->screen.live)
        printf("%5.0f s  %s is killed: its listener and every connection close\n", seconds_since(d, loop_now_ns(d->loop)), demo_providers[DEMO_VICTIM].name);
}

static void on_progress(void *owner, const struct replay *r)
{
    struct demo *d = owner;
    const struct replay_figures *f = replay_figures(r);
    if (!d->killed && f->answered + f->unanswered >= f->planned / 2)
        kill_now(d);
    if (f->finished)
        loop_stop(d->loop);
}

static void replay(struct demo *d)
{
    struct replay_choice models[] = {{"gpt-4o", 85}, {"llama-4", 15}, {NULL, 0}};
    struct replay_choice chosen_keys[DEMO_KEYS + 1] = {{d->secrets[0], 60}, {d->secrets[1], 30}, {d->secrets[2], 10}, {NULL, 0}};
    const struct replay_options o = {
        .loop = d->loop, .gateway = gateway_address(d->gateway, 0), .trace = d->trace, .requests = d->q.requests, .speed = d->q.speed, .seed = d->q.seed,
        .models = models, .keys = chosen_keys, .tries_max = 10, .pause_ns = 100 * NS_PER_MS, .on_progress = on_progress, .owner = d,
    };
    d->replay = replay_new(&o);
    d->started_ns = d->last_line_ns = loop_now_ns(d->loop);
    timer_init(&d->tick, d->loop, tick, d);
    timer_set_in(&d->tick, TICK_NS);
    replay_start(d->replay);
    loop_run(d->loop);
    timer_clear(&d->tick);
    d->ended_ns = loop_now_ns(d->loop);
    draw(d, true);
}

/* Records and counts follow the last byte by a moment. */
static void settle(struct demo *d)
{
    const struct timespec pause = {0, 5000000};
    for (int i = 0; i < SETTLE_S * 200; i++) {
        bool settled = demo_books_read(&d->books).all.records == replay_figures(d->replay)->calls;
        for (unsigned k = 0; k < DEMO_PROVIDERS; k++) {
            struct sim_count c = sim_provider_count(d->provider[k]);
            settled = settled && c.requests == c.answered + c.broken + c.refused;
        }
        if (settled)
            return;
        nanosleep(&pause, NULL);
    }
}

/* ---- --keep ---- */

static void keep(struct demo *d)
{
    char text[64];
    struct sock_address at = gateway_address(d->gateway, 0);
    sock_address_text(&at, text, sizeof text);
    printf("\nEverything but %s stays up until Ctrl-C. Try\n\n"
           "  curl -N http://%s/v1/chat/completions -H 'authorization: Bearer %s' -H 'content-type: application/json' \\\n"
           "    -d '{\"model\":\"gpt-4o\",\"stream\":true,\"max_tokens\":20,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'\n\n"
           "  entente top --url http://%s\n\n"
           "  entente ledger balance --data %s\n",
           demo_providers[DEMO_VICTIM].name, text, d->secrets[1], text, d->data);
    fflush(stdout);
    while (!interrupted)
        nanosleep(&(struct timespec){0, 100000000}, NULL);
}

/* ---- all of it ---- */

static void remove_dir(const char *path)
{
    char name[600];
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            snprintf(name, sizeof name, "%.280s/%.255s", path, e->d_name);
            (void)!remove(name);
        }
    closedir(dir);
    (void)!rmdir(path);
}

static void end(struct demo *d)
{
    replay_free(d->replay);
    if (d->gateway)
        gateway_stop(d->gateway, NS_PER_S, NULL);
    stop_providers(d);
    if (d->loop)
        loop_free(d->loop);
    trace_close(d->trace);
    if (d->dir[0] && !d->q.keep) {
        remove_dir(d->data);
        remove_dir(d->dir);
    }
}

static void announce(const struct demo *d)
{
    char text[64];
    struct sock_address at = gateway_address(d->gateway, 0);
    sock_address_text(&at, text, sizeof text);
    if (d->q.json)
        return;
    printf("%" PRIu64 " requests of %s, %g times as fast,\nthrough a gateway on http://%s to three simulated providers%s. Midway %s is killed.\n\n",
           d->q.requests, d->trace_name, d->q.speed, text, d->q.chaos ? ", two of which fail and stall at random" : "", demo_providers[DEMO_VICTIM].name);
    fflush(stdout);
}

static struct demo_outcome outcome(struct demo *d)
{
    struct demo_outcome o = {.books = demo_books_read(&d->books), .replay = d->replay, .trace_name = d->trace_name,
                             .seconds = seconds_since(d, d->ended_ns)};
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++)
        o.counts[i] = sim_provider_count(d->provider[i]);
    demo_money_read(d->data, &o.money);
    return o;
}

static int conclude(struct demo *d)
{
    const struct replay_figures *f = replay_figures(d->replay);
    struct demo_verdict v;
    if (f->error) {
        cli_error(&syntax, "%s", f->why);
        return CLI_USAGE;
    }
    if (interrupted && !f->finished) {
        cli_error(&syntax, "interrupted");
        return CLI_FAILED;
    }
    settle(d);
    struct demo_outcome o = outcome(d);
    v = demo_judge(&o);
    if (d->q.json)
        demo_tell_json(&o, &v);
    else
        demo_tell(&o, &v);
    fflush(stdout);
    if (d->q.keep)
        keep(d);
    return v.differences || f->unanswered ? CLI_FAILED : CLI_DONE;
}

static int run(struct demo *d)
{
    if (!open_trace(d))
        return CLI_USAGE;
    d->loop = loop_new(io_epoll(), NULL);
    if (!d->loop || !start_providers(d) || !start_gateway(d))
        return CLI_FAILED;
    announce(d);
    replay(d);
    return conclude(d);
}

int cli_demo(int argc, char **argv)
{
    struct demo *d = calloc(1, sizeof *d);
    int code;
    CHECK(d != NULL);
    if (!ask(argc, argv, &d->q, &code)) {
        free(d);
        return code;
    }
    demo_books_init(&d->books);
    d->screen.live = !d->q.json && isatty(STDOUT_FILENO);
    log_set_level(LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    code = run(d);
    end(d);
    free(d);
    return code;
}
