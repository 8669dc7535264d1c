/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente sim`: a simulated provider on a real socket, until SIGTERM, which makes it print what it counted.
 *
 * The control address is a server of its own, because a killed provider has no listener left through which it could be revived.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "io/backend.h"
#include "sim/provider.h"

#define FAULTS_MAX 64u

static const char usage[] =
    "usage: entente sim --listen ADDR:PORT [--dialect D] [OPTIONS]\n"
    "\n"
    "A simulated provider. Prints `listening on http://ADDR:PORT`, and on SIGTERM its own count as JSON.\n"
    "  --dialect D            openai (as when not said), azure-openai\n"
    "  --ttft 200ms[±50ms]    time to the first token: the median, and how far one deviation above it lies\n"
    "  --rate 80              tokens a second; not said: as fast as the caller reads\n"
    "  --chunk 1              tokens in each event\n"
    "  --usage N|prompt       tokens of each answer; prompt (as when not said): what the prompt asks for, else drawn\n"
    "  --fault KIND[:ARG]@WHEN  WHEN: N (the Nth request), every:N or P%; may be given several times, the first that fits is done\n"
    "      refuse, reset:BYTES, close:BYTES, stall:BYTES,TIME, hang, rate:TIME, quota, status:CODE, html, broken-json:BYTES,\n"
    "      no-done, no-usage, error-event:BYTES, error-in-200, slow:TIME\n"
    "  --seed N               the same seed answers the same request in the same words\n"
    "  --key env:NAME         the key it wants to see; not said: any\n"
    "  --name NAME            shown in the count\n"
    "  --count-file FILE      the count is written there, too, when it ends\n"
    "  --control ADDR:PORT    takes GET /count, POST /kill and POST /revive there\n"
    "GET /sim/count shows the count. A prompt that says \"say exactly N tokens\" is obeyed; \"call the tool [NAME]\" or \"call every tool\"\n"
    "makes tool calls without tool_choice.\n";

struct question {
    const char *listen, *dialect, *ttft, *rate, *chunk, *usage, *seed, *key, *name, *count_file, *control;
    const char *faults[FAULTS_MAX];
    unsigned faults_n;
};

struct sim {
    struct sim_provider_options o;
    struct sim_fault faults[FAULTS_MAX];
    char listen_text[160], control_text[160];
    struct sock_address control_address;
    struct loop *loop;
    struct sim_provider *provider;
    struct server *control;
    pthread_t thread;
};

static struct cli_syntax syntax = {.command = "entente sim", .usage = usage};

/* ---- the command line ---- */

static bool wrong(const char *option, const char *value, const char *wanted)
{
    cli_error(&syntax, "%s \"%.100s\": %s", option, value, wanted);
    return false;
}

/* "200ms", "200ms±50ms", "200ms+-50ms" */
static bool read_ttft(const char *text, struct sim_provider_options *o)
{
    struct span all = span_str(text), median = all, spread = SPAN_NONE;
    ptrdiff_t sign = span_find_span(all, SPAN("\xc2\xb1"));
    sign = sign >= 0 ? sign : span_find_span(all, SPAN("+-"));
    if (sign >= 0) {
        median = span_to(all, (size_t)sign);
        spread = span_from(all, (size_t)sign + 2);
    }
    bool good = (span_eq(median, SPAN("0")) || clock_parse_duration(median, &o->ttft_ns) == ERR_OK) &&
                (!spread.p || clock_parse_duration(spread, &o->ttft_spread_ns) == ERR_OK);
    return good || wrong("--ttft", text, "a time such as 200ms or 200ms±50ms");
}

static bool read_number(const char *option, const char *text, uint64_t least, uint64_t most, uint64_t *ret)
{
    uint64_t n;
    if (!span_to_u64(span_str(text), &n) || n < least || n > most)
        return wrong(option, text, "a whole number is wanted here, not too large");
    *ret = n;
    return true;
}

static bool read_rate(const char *text, double *ret)
{
    char *end;
    double rate = strtod(text, &end);
    if (end == text || *end || !(rate >= 0 && rate <= 1e9))
        return wrong("--rate", text, "tokens a second, such as 80");
    *ret = rate;
    return true;
}

static bool read_address(const char *option, const char *text, struct sock_address *ret)
{
    return sock_address_parse(span_str(text), ret) == ERR_OK || wrong(option, text, "an address such as 127.0.0.1:4010");
}

static bool read_dialect(const char *name, const struct dialect **ret)
{
    *ret = dialect_find(span_str(name));
    if (*ret)
        return true;
    fprintf(stderr, "entente sim: --dialect \"%.60s\" is not simulated; there are:", name);
    for (unsigned i = 0; dialect_nth(i); i++)
        fprintf(stderr, " %s", dialect_nth(i)->name);
    fprintf(stderr, "\n");
    return false;
}

static bool read_key(const char *reference, const char **ret)
{
    if (strncmp(reference, "env:", 4) != 0)
        return wrong("--key", "…", "env:NAME, so that the key itself stands in no process list");
    *ret = getenv(reference + 4);
    return (*ret && **ret) || wrong("--key", reference, "this variable is not set");
}

static bool read_faults(const struct question *q, struct sim *s)
{
    char why[128];
    for (unsigned i = 0; i < q->faults_n; i++)
        if (sim_fault_parse(span_str(q->faults[i]), &s->faults[i], why) != ERR_OK)
            return wrong("--fault", q->faults[i], why);
    s->o.faults = s->faults;
    s->o.faults_n = q->faults_n;
    return true;
}

static bool read_question(const struct question *q, struct sim *s)
{
    struct sim_provider_options *o = &s->o;
    uint64_t chunk = 1, tokens = 0;
    bool from_prompt = !q->usage || strcmp(q->usage, "prompt") == 0;
    bool good = q->listen ? read_address("--listen", q->listen, &o->listen) : wrong("--listen", "", "where to listen is needed, such as 127.0.0.1:4010");
    good = good && read_dialect(q->dialect ? q->dialect : "openai", &o->dialect);
    good = good && (!q->ttft || read_ttft(q->ttft, o)) && (!q->rate || read_rate(q->rate, &o->tokens_per_s));
    good = good && (!q->chunk || read_number("--chunk", q->chunk, 1, 1000, &chunk));
    good = good && (from_prompt || read_number("--usage", q->usage, 0, 4000000, &tokens));
    good = good && (!q->seed || read_number("--seed", q->seed, 0, UINT64_MAX, &o->seed));
    good = good && (!q->key || read_key(q->key, &o->secret)) && read_faults(q, s);
    good = good && (!q->control || read_address("--control", q->control, &s->control_address));
    o->tokens_per_chunk = (unsigned)chunk;
    o->output_tokens = from_prompt ? -1 : (int64_t)tokens;
    o->name = q->name;
    return good;
}

/* --fault may come several times, so it is taken out of the words before the others are read. */
static bool take_faults(int *argc, char **argv, struct question *q)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        const char *value = strncmp(argv[i], "--fault=", 8) == 0 ? argv[i] + 8 : strcmp(argv[i], "--fault") == 0 && i + 1 < *argc ? argv[++i] : NULL;
        if (!value)
            argv[kept++] = argv[i];
        else if (q->faults_n < FAULTS_MAX)
            q->faults[q->faults_n++] = value;
        else
            return wrong("--fault", value, "at most 64 faults");
    }
    *argc = kept;
    return true;
}

static bool ask(int argc, char **argv, struct question *q, int *ret_code)
{
    const char *one_more = NULL; /* --fault without a value is told like any other */
    const struct cli_option options[] = {
        {"--listen", &q->listen, NULL}, {"--dialect", &q->dialect, NULL}, {"--ttft", &q->ttft, NULL}, {"--rate", &q->rate, NULL},
        {"--chunk", &q->chunk, NULL}, {"--usage", &q->usage, NULL}, {"--seed", &q->seed, NULL}, {"--key", &q->key, NULL},
        {"--name", &q->name, NULL}, {"--count-file", &q->count_file, NULL}, {"--control", &q->control, NULL}, {"--fault", &one_more, NULL},
    };
    struct cli_syntax s = syntax;
    s.options = options;
    s.options_n = COUNT_OF(options);
    *ret_code = CLI_USAGE;
    return take_faults(&argc, argv, q) && cli_read_options(argc, argv, &s, ret_code);
}

/* ---- control ---- */

static enum err control_head(void *owner, struct stream *s, uint64_t *body_limit)
{
    *body_limit = 64 * KIB;
    return ERR_OK;
}

static void control_reply(struct stream *s, int status, struct span body)
{
    const struct header type = {SPAN("content-type"), SPAN("application/json")};
    stream_reply(s, status, &type, 1, body);
}

static void control_count(struct sim *sim, struct stream *s)
{
    struct sim_count c = sim_provider_count(sim->provider);
    struct buf body;
    buf_init(&body, 4 * KIB);
    enum err e = sim_count_write_json(sim->o.name ? sim->o.name : "sim", &c, &body);
    control_reply(s, e ? 500 : 200, buf_span(&body));
    buf_fini(&body);
}

static void control_request(void *owner, struct stream *s)
{
    struct sim *sim = owner;
    const struct http_head *head = &stream_base(s)->head;
    const char *why = "";
    bool post = head->method == HTTP_POST;
    if (span_eq(head->path, SPAN("/count"))) {
        control_count(sim, s);
    } else if (post && span_eq(head->path, SPAN("/kill"))) {
        sim_provider_kill(sim->provider);
        control_reply(s, 200, SPAN("{\"killed\":true}\n"));
    } else if (post && span_eq(head->path, SPAN("/revive"))) {
        bool revived = sim_provider_revive(sim->provider, &why) == ERR_OK;
        control_reply(s, revived ? 200 : 500, revived ? SPAN("{\"killed\":false}\n") : SPAN("{\"error\":\"cannot listen again\"}\n"));
    } else {
        control_reply(s, 404, SPAN("{\"error\":\"GET /count, POST /kill, POST /revive\"}\n"));
    }
}

static void control_abort(void *user, struct stream *s, enum err why) {}
static void control_writable(void *user, struct stream *s) {}

static const struct stream_handler control_handler = {
    .on_head = control_head, .on_request = control_request, .on_abort = control_abort, .on_writable = control_writable,
};

/* ---- running ---- */

static void *run(void *arg)
{
    struct sim *s = arg;
    loop_run(s->loop);
    return NULL;
}

static void stop(struct loop *l, void *owner, void *m) { loop_stop(l); }

static void announce(const char *what, struct sock_address at)
{
    char text[160];
    struct span shown = sock_address_text(&at, text, sizeof text);
    printf("%s on %s%.*s\n", what, span_starts(shown, SPAN("unix:")) ? "" : "http://", SPAN_ARG(shown));
    fflush(stdout);
}

static bool start(struct sim *s, bool with_control)
{
    const char *why = "the system gives no event loop";
    const struct server_options o = {.handler = &control_handler, .owner = s};
    s->loop = loop_new(io_epoll(), NULL);
    s->provider = s->loop ? sim_provider_new(s->loop, &s->o) : NULL;
    if (!s->provider || sim_provider_listen(s->provider, &why) != ERR_OK) {
        cli_error(&syntax, "cannot listen: %s", why);
        return false;
    }
    s->control = with_control ? server_new(s->loop, &o) : NULL;
    if (with_control && server_listen(s->control, &s->control_address, NULL, &why) != ERR_OK) {
        cli_error(&syntax, "cannot listen for --control: %s", why);
        return false;
    }
    return true;
}

static void end(struct sim *s)
{
    server_free(s->control);
    sim_provider_free(s->provider);
    if (s->loop)
        loop_free(s->loop);
}

static bool write_count(const struct sim *s, const char *path)
{
    struct sim_count c = sim_provider_count(s->provider);
    struct buf b;
    buf_init(&b, 4 * KIB);
    bool good = sim_count_write_json(s->o.name ? s->o.name : "sim", &c, &b) == ERR_OK;
    fwrite(buf_span(&b).p, 1, buf_bytes(&b), stdout);
    fflush(stdout);
    FILE *f = path ? fopen(path, "we") : NULL;
    if (f) {
        good = good && fwrite(buf_span(&b).p, 1, buf_bytes(&b), f) == buf_bytes(&b);
        good = fclose(f) == 0 && good;
    }
    buf_fini(&b);
    if (path && (!f || !good))
        cli_error(&syntax, "--count-file %s cannot be written", path);
    return good && (!path || f);
}

static int serve(struct sim *s, const struct question *q)
{
    sigset_t set;
    int signal_number;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (pthread_create(&s->thread, NULL, run, s) != 0)
        return CLI_FAILED;
    announce("listening", sim_provider_address(s->provider));
    if (s->control)
        announce("control", server_address(s->control, 0));
    while (sigwait(&set, &signal_number) != 0)
        ;
    CHECK(loop_post(s->loop, stop, NULL, NULL) == ERR_OK);
    pthread_join(s->thread, NULL);
    return write_count(s, q->count_file) ? CLI_DONE : CLI_FAILED;
}

int cli_sim(int argc, char **argv)
{
    struct question q = {.listen = NULL};
    struct sim *s = calloc(1, sizeof *s);
    int code;
    CHECK(s != NULL);
    if (ask(argc, argv, &q, &code))
        code = read_question(&q, s) ? (start(s, q.control != NULL) ? serve(s, &q) : CLI_FAILED) : CLI_USAGE;
    end(s);
    free(s);
    return code;
}
