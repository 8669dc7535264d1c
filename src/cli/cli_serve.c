/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente serve`: the gateway in the foreground. The main thread only waits for signals: TERM and INT drain (a second one hurries), HUP
 * reloads. Without a config a simulated provider runs beside the gateway, so that the first curl works.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cli/cli.h"
#include "io/backend.h"
#include "serve/gateway.h"
#include "sim/provider.h"

static const char usage[] =
    "usage: entente serve [--config FILE]\n"
    "\n"
    "Runs the gateway. Prints one line `listening on http://ADDR:PORT` per listener when it is ready.\n"
    "  SIGTERM, SIGINT  drain: finish what is under way, then exit 0; a second one ends at once\n"
    "  SIGHUP           load the config again; a bad file changes nothing\n"
    "Without --config: a simulated provider behind 127.0.0.1:8080, no keys, nothing kept.\n";

static const char *const simulated_models[] = {"gpt-4o", "gpt-4o-mini", "gpt-5", "text-embedding-3-small"};

/* The simulated provider's own thread. */
struct simulator {
    struct loop *loop;
    struct sim_provider *provider;
    pthread_t thread;
};

static void *run_simulator(void *arg)
{
    struct simulator *s = arg;
    loop_run(s->loop);
    sim_provider_free(s->provider);
    return NULL;
}

static bool start_simulator(struct simulator *s)
{
    const char *why = "the system gives no event loop";
    struct sim_provider_options o = {
        .name = "sim", .dialect = dialect_find(SPAN("openai")), .seed = 1, .ttft_ns = 50 * NS_PER_MS, .ttft_spread_ns = 20 * NS_PER_MS,
        .tokens_per_s = 200, .tokens_per_chunk = 1, .output_tokens = -1,
    };
    CHECK(sock_address_parse(SPAN("127.0.0.1:0"), &o.listen) == ERR_OK);
    s->loop = loop_new(io_epoll(), NULL);
    s->provider = s->loop ? sim_provider_new(s->loop, &o) : NULL;
    if (s->provider && sim_provider_listen(s->provider, &why) == ERR_OK && pthread_create(&s->thread, NULL, run_simulator, s) == 0)
        return true;
    fprintf(stderr, "entente serve: the simulated provider cannot start: %s\n", why);
    return false;
}

static void stop_message(struct loop *l, void *owner, void *m) { loop_stop(l); }

static void stop_simulator(struct simulator *s)
{
    if (!s->loop)
        return;
    CHECK(loop_post(s->loop, stop_message, NULL, NULL) == ERR_OK);
    pthread_join(s->thread, NULL);
    loop_free(s->loop); /* not on its own thread: loop_post may still have been inside it */
}

static struct config *simulated_config(struct simulator *s)
{
    struct sock_address at = sim_provider_address(s->provider);
    char text[128];
    sock_address_text(&at, text, sizeof text);
    return config_for_simulator(text, simulated_models, COUNT_OF(simulated_models));
}

static void announce(const struct gateway *g, const struct config *c)
{
    for (unsigned i = 0; i < c->listen_n; i++) {
        struct sock_address at = gateway_address(g, i);
        char text[160];
        struct span shown = sock_address_text(&at, text, sizeof text);
        printf("listening on %s%.*s\n", span_starts(shown, SPAN("unix:")) ? "" : c->listen[i].tls ? "https://" : "http://", SPAN_ARG(shown));
    }
    fflush(stdout);
}

static sigset_t steering; /* the signals that main waits for; the watcher below may outlive main's frames */
static bool hurry; /* relaxed */

static void *watch_for_second_signal(void *arg)
{
    int signal_number;
    do
        sigwait(&steering, &signal_number);
    while (signal_number == SIGHUP);
    __atomic_store_n(&hurry, true, __ATOMIC_RELAXED);
    return NULL;
}

static void steer(struct gateway *g)
{
    int signal_number;
    for (;;) {
        if (sigwait(&steering, &signal_number) != 0)
            continue;
        if (signal_number != SIGHUP)
            return;
        (void)gateway_reload(g);
    }
}

static int serve(struct config *c, bool simulated)
{
    char why[512];
    struct gateway *g;
    uint64_t drain_ns = c->drain_ns;
    struct gateway_options o = {.config = c, .without_data = simulated};
    log_set_level(c->log.level);
    if (gateway_start(&o, &g, why) != ERR_OK) {
        fprintf(stderr, "entente serve: %s\n", why);
        return 2;
    }
    announce(g, c);
    log_line(LOG_INFO, "started", "version", LOG_STR(ENTENTE_VERSION), "workers", LOG_INT(gateway_view(g)->workers_n), NULL);
    steer(g);
    log_line(LOG_INFO, "draining", "at_most_ms", LOG_INT(drain_ns / NS_PER_MS), NULL);
    pthread_t watcher;
    if (pthread_create(&watcher, NULL, watch_for_second_signal, NULL) == 0)
        pthread_detach(watcher);
    bool clean = gateway_stop(g, drain_ns, &hurry);
    log_line(clean ? LOG_INFO : LOG_WARN, clean ? "stopped" : "stopped, requests under way were cut off", NULL);
    return 0;
}

static void block_signals(void)
{
    sigemptyset(&steering);
    sigaddset(&steering, SIGTERM);
    sigaddset(&steering, SIGINT);
    sigaddset(&steering, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &steering, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is to the ledger as a full disk */
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* a core file would hold every secret */
}

int cli_serve(int argc, char **argv)
{
    const char *path = NULL;
    int code;
    const struct cli_option options[] = {{.name = "--config", .value = &path}};
    const struct cli_syntax syntax = {.command = "entente serve", .usage = usage, .options = options, .options_n = COUNT_OF(options)};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    block_signals();
    struct simulator simulator = {0};
    if (!path && !start_simulator(&simulator))
        return 2;
    struct config *c = path ? cli_load_config(path) : simulated_config(&simulator);
    code = c ? serve(c, !path) : 2;
    stop_simulator(&simulator);
    return code;
}
