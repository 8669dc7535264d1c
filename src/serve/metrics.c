/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums over workers, written as text. Deployments are matched over workers by provider and model name, since each worker counts its own.
 */
#include "serve/metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/block.h"
#include "base/json.h"

/* One deployment over all workers. */
struct total {
    const struct deployment_stats *name;
    uint64_t attempts[ATTEMPT_OUTCOMES], tokens[USAGE_CLASSES], usage_source[4], under_way;
    struct stat_histogram first_byte_us, duration_us;
};

struct totals {
    struct total *deployments;
    unsigned n;
    uint64_t outcomes[RECORD_OUTCOMES], retries, retries_denied, shed, under_way;
    uint64_t connections_open, connections_total, connections_refused, requests_total, http_errors, bytes_in, bytes_out;
    uint64_t connects, connect_failures, reused, upstream_open, upstream_idle;
};

static struct total *total_of(struct totals *t, const struct deployment_stats *d)
{
    for (unsigned i = 0; i < t->n; i++)
        if (strcmp(t->deployments[i].name->provider, d->provider) == 0 && strcmp(t->deployments[i].name->model, d->model) == 0)
            return &t->deployments[i];
    t->deployments[t->n].name = d;
    return &t->deployments[t->n++];
}

static void add_deployment(struct totals *t, const struct deployment_stats *d)
{
    struct total *sum = total_of(t, d);
    for (int i = 0; i < ATTEMPT_OUTCOMES; i++)
        sum->attempts[i] += stat_read(&d->attempts[i]);
    for (int i = 0; i < USAGE_CLASSES; i++)
        sum->tokens[i] += stat_read(&d->tokens[i]);
    for (int i = 0; i < 4; i++)
        sum->usage_source[i] += stat_read(&d->usage_source[i]);
    sum->under_way += stat_read(&d->under_way);
    stat_merge(&sum->first_byte_us, &d->first_byte_us);
    stat_merge(&sum->duration_us, &d->duration_us);
}

static void add_worker(struct totals *t, const struct worker *w)
{
    const struct exchange_stats *x = worker_exchange_stats(w);
    const struct server_stats *s = worker_server_stats(w);
    const struct client_stats *c = worker_client_stats(w);
    for (int i = 0; i < RECORD_OUTCOMES; i++)
        t->outcomes[i] += stat_read(&x->outcomes[i]);
    t->retries += stat_read(&x->retries);
    t->retries_denied += stat_read(&x->retries_denied);
    t->shed += stat_read(&x->shed);
    t->under_way += stat_read(&x->under_way);
    t->connections_open += stat_read(&s->connections_open);
    t->connections_total += stat_read(&s->connections_total);
    t->connections_refused += stat_read(&s->connections_refused);
    t->requests_total += stat_read(&s->requests_total);
    t->http_errors += stat_read(&s->errors_by_http_layer);
    t->bytes_in += stat_read(&s->bytes_in);
    t->bytes_out += stat_read(&s->bytes_out);
    t->connects += stat_read(&c->connects_total);
    t->connect_failures += stat_read(&c->connect_failures_total);
    t->reused += stat_read(&c->reused_total);
    t->upstream_open += stat_read(&c->open);
    t->upstream_idle += stat_read(&c->idle);
    for (uint64_t i = 0, n = stat_read(&x->deployments_n); i < n; i++)
        add_deployment(t, x->deployments[i]);
}

static enum err sum_up(const struct gateway_view *view, struct totals *t)
{
    uint64_t most = 0;
    *t = (struct totals){0};
    for (unsigned i = 0; i < view->workers_n; i++)
        most += stat_read(&worker_exchange_stats(view->workers[i])->deployments_n);
    t->deployments = calloc(most + 1, sizeof *t->deployments);
    if (!t->deployments)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < view->workers_n; i++)
        add_worker(t, view->workers[i]);
    return ERR_OK;
}

/* ---- Prometheus text ---- */

struct page {
    struct buf *out;
    enum err error; /* the first; the rest is skipped */
};

static void put(struct page *p, const char *format, ...) PRINTF_LIKE(2, 3);
static void put(struct page *p, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (!p->error && ALWAYS(n >= 0 && (size_t)n < sizeof line))
        p->error = buf_append(p->out, span_of(line, (size_t)n));
}

static void head(struct page *p, const char *name, const char *type, const char *help)
{
    put(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(struct page *p, const char *name, const char *type, const char *help, uint64_t value)
{
    head(p, name, type, help);
    put(p, "%s %llu\n", name, (unsigned long long)value);
}

/* A label value: quotes, backslashes and line ends escaped, as the exposition format asks. */
static void label_text(char out[2 * RECORD_NAME_BYTES], const char *text)
{
    char *at = out;
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            *at++ = '\\';
        *at++ = *text == '\n' ? ' ' : *text;
    }
    *at = 0;
}

static void labels(char out[512], const struct deployment_stats *d)
{
    char provider[2 * RECORD_NAME_BYTES], model[2 * RECORD_NAME_BYTES];
    label_text(provider, d->provider);
    label_text(model, d->model);
    snprintf(out, 512, "entente_provider=\"%s\",gen_ai_provider_name=\"%s\",gen_ai_request_model=\"%s\"", provider, d->system, model);
}

static void put_histogram(struct page *p, const char *name, const char *label, const struct stat_histogram *h)
{
    uint64_t below = 0, bound_us = EXCHANGE_TIME_BOUND_US;
    for (int i = 0; i < STAT_BUCKETS; i++, bound_us *= 2) {
        below += stat_read(&h->bucket[i]);
        put(p, "%s_bucket{%s,le=\"%g\"} %llu\n", name, label, (double)bound_us / 1e6, (unsigned long long)below);
    }
    put(p, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, label, (unsigned long long)stat_read(&h->count));
    put(p, "%s_sum{%s} %.6f\n", name, label, (double)stat_read(&h->sum) / 1e6);
    put(p, "%s_count{%s} %llu\n", name, label, (unsigned long long)stat_read(&h->count));
}

static void put_attempts(struct page *p, const struct totals *t)
{
    char label[512];
    head(p, "entente_attempts_total", "counter", "Attempts at a provider, by how they ended.");
    for (unsigned d = 0; d < t->n; d++) {
        labels(label, t->deployments[d].name);
        for (int i = 1; i < ATTEMPT_OUTCOMES; i++)
            if (t->deployments[d].attempts[i])
                put(p, "entente_attempts_total{%s,outcome=\"%s\"} %llu\n", label, attempt_outcome_name((enum attempt_outcome)i),
                    (unsigned long long)t->deployments[d].attempts[i]);
    }
}

static void put_tokens(struct page *p, const struct totals *t)
{
    char label[512];
    head(p, "gen_ai_client_token_usage_total", "counter", "Tokens by disjoint class; gen_ai_token_type is input or output.");
    for (unsigned d = 0; d < t->n; d++) {
        labels(label, t->deployments[d].name);
        for (int i = 0; i < USAGE_CLASSES; i++)
            if (t->deployments[d].tokens[i] && usage_class_side((enum usage_class)i) != USAGE_SIDE_OTHER)
                put(p, "gen_ai_client_token_usage_total{%s,gen_ai_token_type=\"%s\",entente_token_class=\"%s\"} %llu\n", label,
                    usage_class_side((enum usage_class)i) == USAGE_SIDE_INPUT ? "input" : "output", usage_class_name((enum usage_class)i),
                    (unsigned long long)t->deployments[d].tokens[i]);
    }
    head(p, "entente_usage_source_total", "counter", "Exchanges by where their token counts came from.");
    for (unsigned d = 0; d < t->n; d++) {
        labels(label, t->deployments[d].name);
        for (int i = 0; i < 4; i++)
            if (t->deployments[d].usage_source[i])
                put(p, "entente_usage_source_total{%s,source=\"%s\"} %llu\n", label, usage_source_name((enum usage_source)i),
                    (unsigned long long)t->deployments[d].usage_source[i]);
    }
}

static void put_times(struct page *p, const struct totals *t)
{
    char label[512];
    head(p, "gen_ai_server_request_duration_seconds", "histogram", "From the first byte of a request to the last of its answer.");
    for (unsigned d = 0; d < t->n; d++) {
        labels(label, t->deployments[d].name);
        put_histogram(p, "gen_ai_server_request_duration_seconds", label, &t->deployments[d].duration_us);
    }
    head(p, "gen_ai_server_time_to_first_token_seconds", "histogram", "Of streams: from the first byte of a request to the first of its answer.");
    for (unsigned d = 0; d < t->n; d++) {
        labels(label, t->deployments[d].name);
        put_histogram(p, "gen_ai_server_time_to_first_token_seconds", label, &t->deployments[d].first_byte_us);
    }
    head(p, "entente_attempts_under_way", "gauge", "Attempts at a provider right now.");
    for (unsigned d = 0; d < t->n; d++) {
        labels(label, t->deployments[d].name);
        put(p, "entente_attempts_under_way{%s} %llu\n", label, (unsigned long long)t->deployments[d].under_way);
    }
}

static void put_gateway(struct page *p, const struct gateway_view *view, const struct totals *t)
{
    head(p, "entente_exchanges_total", "counter", "Exchanges by how they ended.");
    for (int i = 0; i < RECORD_OUTCOMES; i++)
        put(p, "entente_exchanges_total{outcome=\"%s\"} %llu\n", record_outcome_name((enum record_outcome)i), (unsigned long long)t->outcomes[i]);
    single(p, "entente_exchanges_under_way", "gauge", "Exchanges right now.", t->under_way);
    single(p, "entente_retries_total", "counter", "Attempts after the first.", t->retries);
    single(p, "entente_retries_denied_total", "counter", "Retries that the retry budget refused.", t->retries_denied);
    single(p, "entente_shed_total", "counter", "Requests refused at the limit of requests or memory.", t->shed);
    single(p, "entente_http_requests_total", "counter", "HTTP requests of all kinds.", t->requests_total);
    single(p, "entente_http_errors_total", "counter", "Requests refused as malformed, too large or too slow.", t->http_errors);
    single(p, "entente_connections_open", "gauge", "Client connections.", t->connections_open);
    single(p, "entente_connections_total", "counter", "Client connections accepted.", t->connections_total);
    single(p, "entente_connections_refused_total", "counter", "Client connections refused at the limit.", t->connections_refused);
    single(p, "entente_client_bytes_received_total", "counter", "Bytes received from clients, heads included.", t->bytes_in);
    single(p, "entente_client_bytes_sent_total", "counter", "Bytes sent to clients, heads included.", t->bytes_out);
    single(p, "entente_provider_connections_open", "gauge", "Connections to providers.", t->upstream_open);
    single(p, "entente_provider_connections_idle", "gauge", "Connections to providers that wait for work.", t->upstream_idle);
    single(p, "entente_provider_connects_total", "counter", "Connections to providers made.", t->connects);
    single(p, "entente_provider_connect_failures_total", "counter", "Connections to providers that failed.", t->connect_failures);
    single(p, "entente_provider_connections_reused_total", "counter", "Requests sent on a kept-alive connection.", t->reused);
    single(p, "entente_usage_records_total", "counter", "Usage records written.", view->usage_log ? usage_log_written(view->usage_log) : 0);
    single(p, "entente_usage_log_failing", "gauge", "1 while the disk refuses usage records.", view->usage_log && usage_log_is_failing(view->usage_log));
    single(p, "entente_buffer_bytes", "gauge", "Bytes in bodies and buffers.", block_bytes_in_use());
    single(p, "entente_surprises_total", "counter", "Beliefs of the program that turned out false; each is in the log. Please report them.", check_surprises());
    single(p, "entente_config_generation", "gauge", "Counts config loads.", __atomic_load_n(view->generation, __ATOMIC_RELAXED));
    head(p, "process_start_time_seconds", "gauge", "Unix time of the start.");
    put(p, "process_start_time_seconds %.3f\n", (double)view->started_wall_us / 1e6);
    head(p, "entente_build_info", "gauge", "The version that runs.");
    put(p, "entente_build_info{version=\"%s\"} 1\n", ENTENTE_VERSION);
}

enum err metrics_write(const struct gateway_view *view, struct buf *out)
{
    struct totals t;
    struct page p = {out, ERR_OK};
    enum err e = sum_up(view, &t);
    if (e)
        return e;
    put_gateway(&p, view, &t);
    put_attempts(&p, &t);
    put_tokens(&p, &t);
    put_times(&p, &t);
    free(t.deployments);
    return p.error;
}

/* ---- JSON for `entente top` ---- */

static void put_text(struct page *p, const char *text)
{
    if (!p->error)
        p->error = json_write_string(p->out, span_str(text));
}

static void put_deployment_status(struct page *p, const struct total *d)
{
    int64_t input = 0, output = 0;
    for (int i = 0; i < USAGE_CLASSES; i++) {
        input += usage_class_side((enum usage_class)i) == USAGE_SIDE_INPUT ? (int64_t)d->tokens[i] : 0;
        output += usage_class_side((enum usage_class)i) == USAGE_SIDE_OUTPUT ? (int64_t)d->tokens[i] : 0;
    }
    put(p, "{\"provider\":");
    put_text(p, d->name->provider);
    put(p, ",\"model\":");
    put_text(p, d->name->model);
    put(p, ",\"under_way\":%llu,\"input_tokens\":%lld,\"output_tokens\":%lld", (unsigned long long)d->under_way, (long long)input, (long long)output);
    put(p, ",\"first_byte_p50_us\":%llu,\"first_byte_p99_us\":%llu", (unsigned long long)stat_quantile(&d->first_byte_us, EXCHANGE_TIME_BOUND_US, 0.5),
        (unsigned long long)stat_quantile(&d->first_byte_us, EXCHANGE_TIME_BOUND_US, 0.99));
    put(p, ",\"attempts\":{");
    bool first = true;
    for (int i = 1; i < ATTEMPT_OUTCOMES; i++) {
        if (!d->attempts[i])
            continue;
        put(p, "%s\"%s\":%llu", first ? "" : ",", attempt_outcome_name((enum attempt_outcome)i), (unsigned long long)d->attempts[i]);
        first = false;
    }
    put(p, "}}");
}

enum err metrics_write_status(const struct gateway_view *view, struct buf *out)
{
    struct totals t;
    struct page p = {out, ERR_OK};
    enum err e = sum_up(view, &t);
    if (e)
        return e;
    put(&p, "{\"version\":\"%s\",\"pid\":%d,\"workers\":%u,\"started_us\":%lld,\"generation\":%llu,\"draining\":%s,\"exchanges\":{", ENTENTE_VERSION,
        (int)getpid(), view->workers_n, (long long)view->started_wall_us, (unsigned long long)__atomic_load_n(view->generation, __ATOMIC_RELAXED),
        __atomic_load_n(view->draining, __ATOMIC_RELAXED) ? "true" : "false");
    for (int i = 0; i < RECORD_OUTCOMES; i++)
        put(&p, "\"%s\":%llu,", record_outcome_name((enum record_outcome)i), (unsigned long long)t.outcomes[i]);
    put(&p, "\"under_way\":%llu},\"retries\":%llu,\"shed\":%llu,\"connections\":%llu,\"provider_connections\":%llu,\"deployments\":[",
        (unsigned long long)t.under_way, (unsigned long long)t.retries, (unsigned long long)t.shed, (unsigned long long)t.connections_open,
        (unsigned long long)t.upstream_open);
    for (unsigned i = 0; i < t.n; i++) {
        if (i)
            put(&p, ",");
        put_deployment_status(&p, &t.deployments[i]);
    }
    put(&p, "]}\n");
    free(t.deployments);
    return p.error;
}
