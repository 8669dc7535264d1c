/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums over workers, written as text. Deployments are matched over workers by provider and model name, since each worker counts its own.
 */
#include "serve/metrics_page.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/block.h"
#include "base/json.h"

static struct total *total_of(struct totals *t, const struct deployment_stats *d)
{
    for (unsigned i = 0; i < t->n; i++)
        if (strcmp(t->deployments[i].name->provider, d->provider) == 0 && strcmp(t->deployments[i].name->model, d->model) == 0)
            return &t->deployments[i];
    t->deployments[t->n].name = d;
    return &t->deployments[t->n++];
}

static void add_cost(struct total *sum, const struct deployment_cost *cost)
{
    unsigned i = 0;
    while (i < sum->costs_n && strcmp(sum->costs[i].currency, cost->currency) != 0)
        i++;
    if (i == EXCHANGE_CURRENCIES_MAX)
        return;
    if (i == sum->costs_n)
        memcpy(sum->costs[sum->costs_n++].currency, cost->currency, CURRENCY_BYTES);
    sum->costs[i].nano += stat_read(&cost->nano);
}

static void add_deployment(struct totals *t, const struct deployment_stats *d)
{
    struct total *sum = total_of(t, d);
    for (int i = 0; i < ATTEMPT_OUTCOMES; i++)
        sum->attempts[i] += stat_read(&d->attempts[i]);
    for (int i = 0; i < USAGE_CLASSES; i++)
        sum->tokens[i] += stat_read(&d->tokens[i]), sum->unpriced[i] += stat_read(&d->unpriced[i]);
    for (int i = 0; i < 4; i++)
        sum->usage_source[i] += stat_read(&d->usage_source[i]);
    for (uint64_t i = 0, n = __atomic_load_n(&d->costs_n.value, __ATOMIC_ACQUIRE); i < n; i++)
        add_cost(sum, &d->costs[i]);
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
    t->budget_refused += stat_read(&x->budget_refused);
    t->withheld += stat_read(&x->withheld);
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

void page_put(struct page *p, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (!p->error && ALWAYS(n >= 0 && (size_t)n < sizeof line))
        p->error = buf_append(p->out, span_of(line, (size_t)n));
}

void page_head(struct page *p, const char *name, const char *type, const char *help)
{
    page_put(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void page_single(struct page *p, const char *name, const char *type, const char *help, uint64_t value)
{
    page_head(p, name, type, help);
    page_put(p, "%s %llu\n", name, (unsigned long long)value);
}

/* Quotes, backslashes and line ends escaped, as the exposition format asks. */
void page_label_text(char out[2 * RECORD_NAME_BYTES], struct span text)
{
    char *at = out;
    for (size_t i = 0; i < text.n && i < RECORD_NAME_BYTES - 1; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\')
            *at++ = '\\';
        *at++ = text.p[i] == '\n' ? ' ' : text.p[i];
    }
    *at = 0;
}

void page_labels(char out[PAGE_LABELS_BYTES], const struct deployment_stats *d)
{
    char provider[2 * RECORD_NAME_BYTES], model[2 * RECORD_NAME_BYTES];
    page_label_text(provider, span_str(d->provider));
    page_label_text(model, span_str(d->model));
    snprintf(out, PAGE_LABELS_BYTES, "entente_provider=\"%s\",gen_ai_provider_name=\"%s\",gen_ai_request_model=\"%s\"", provider, d->system, model);
}

static void put_histogram(struct page *p, const char *name, const char *label, const struct stat_histogram *h)
{
    uint64_t below = 0, bound_us = EXCHANGE_TIME_BOUND_US;
    for (int i = 0; i < STAT_BUCKETS; i++, bound_us *= 2) {
        below += stat_read(&h->bucket[i]);
        page_put(p, "%s_bucket{%s,le=\"%g\"} %llu\n", name, label, (double)bound_us / 1e6, (unsigned long long)below);
    }
    page_put(p, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, label, (unsigned long long)stat_read(&h->count));
    page_put(p, "%s_sum{%s} %.6f\n", name, label, (double)stat_read(&h->sum) / 1e6);
    page_put(p, "%s_count{%s} %llu\n", name, label, (unsigned long long)stat_read(&h->count));
}

static void put_attempts(struct page *p, const struct totals *t)
{
    char label[PAGE_LABELS_BYTES];
    page_head(p, "entente_attempts_total", "counter", "Attempts at a provider, by how they ended.");
    for (unsigned d = 0; d < t->n; d++) {
        page_labels(label, t->deployments[d].name);
        for (int i = 1; i < ATTEMPT_OUTCOMES; i++)
            if (t->deployments[d].attempts[i])
                page_put(p, "entente_attempts_total{%s,outcome=\"%s\"} %llu\n", label, attempt_outcome_name((enum attempt_outcome)i),
                    (unsigned long long)t->deployments[d].attempts[i]);
    }
}

static void put_tokens(struct page *p, const struct totals *t)
{
    char label[PAGE_LABELS_BYTES];
    page_head(p, "gen_ai_client_token_usage_total", "counter", "Tokens by disjoint class; gen_ai_token_type is input or output.");
    for (unsigned d = 0; d < t->n; d++) {
        page_labels(label, t->deployments[d].name);
        for (int i = 0; i < USAGE_CLASSES; i++)
            if (t->deployments[d].tokens[i] && usage_class_side((enum usage_class)i) != USAGE_SIDE_OTHER)
                page_put(p, "gen_ai_client_token_usage_total{%s,gen_ai_token_type=\"%s\",entente_token_class=\"%s\"} %llu\n", label,
                    usage_class_side((enum usage_class)i) == USAGE_SIDE_INPUT ? "input" : "output", usage_class_name((enum usage_class)i),
                    (unsigned long long)t->deployments[d].tokens[i]);
    }
    page_head(p, "entente_usage_source_total", "counter", "Exchanges by where their token counts came from.");
    for (unsigned d = 0; d < t->n; d++) {
        page_labels(label, t->deployments[d].name);
        for (int i = 0; i < 4; i++)
            if (t->deployments[d].usage_source[i])
                page_put(p, "entente_usage_source_total{%s,source=\"%s\"} %llu\n", label, usage_source_name((enum usage_source)i),
                    (unsigned long long)t->deployments[d].usage_source[i]);
    }
}

static void put_times(struct page *p, const struct totals *t)
{
    char label[PAGE_LABELS_BYTES];
    page_head(p, "gen_ai_server_request_duration_seconds", "histogram", "From the first byte of a request to the last of its answer.");
    for (unsigned d = 0; d < t->n; d++) {
        page_labels(label, t->deployments[d].name);
        put_histogram(p, "gen_ai_server_request_duration_seconds", label, &t->deployments[d].duration_us);
    }
    page_head(p, "gen_ai_server_time_to_first_token_seconds", "histogram", "Of streams: from the first byte of a request to the first of its answer.");
    for (unsigned d = 0; d < t->n; d++) {
        page_labels(label, t->deployments[d].name);
        put_histogram(p, "gen_ai_server_time_to_first_token_seconds", label, &t->deployments[d].first_byte_us);
    }
    page_head(p, "entente_attempts_under_way", "gauge", "Attempts at a provider right now.");
    for (unsigned d = 0; d < t->n; d++) {
        page_labels(label, t->deployments[d].name);
        page_put(p, "entente_attempts_under_way{%s} %llu\n", label, (unsigned long long)t->deployments[d].under_way);
    }
}

static void put_gateway(struct page *p, const struct gateway_view *view, const struct totals *t)
{
    page_head(p, "entente_exchanges_total", "counter", "Exchanges by how they ended.");
    for (int i = 0; i < RECORD_OUTCOMES; i++)
        page_put(p, "entente_exchanges_total{outcome=\"%s\"} %llu\n", record_outcome_name((enum record_outcome)i), (unsigned long long)t->outcomes[i]);
    page_single(p, "entente_exchanges_under_way", "gauge", "Exchanges right now.", t->under_way);
    page_single(p, "entente_retries_total", "counter", "Attempts after the first.", t->retries);
    page_single(p, "entente_retries_denied_total", "counter", "Retries that the retry budget refused.", t->retries_denied);
    page_single(p, "entente_shed_total", "counter", "Requests refused at the limit of requests or memory, or because the ledger cannot take them.", t->shed);
    page_single(p, "entente_budget_refused_total", "counter", "Refusals by a budget, of a request or of one of its deployments.", t->budget_refused);
    page_single(p, "entente_answers_withheld_total", "counter", "Answers whose end was withheld, because no disk had their record.", t->withheld);
    page_single(p, "entente_http_requests_total", "counter", "HTTP requests of all kinds.", t->requests_total);
    page_single(p, "entente_http_errors_total", "counter", "Requests refused as malformed, too large or too slow.", t->http_errors);
    page_single(p, "entente_connections_open", "gauge", "Client connections.", t->connections_open);
    page_single(p, "entente_connections_total", "counter", "Client connections accepted.", t->connections_total);
    page_single(p, "entente_connections_refused_total", "counter", "Client connections refused at the limit.", t->connections_refused);
    page_single(p, "entente_client_bytes_received_total", "counter", "Bytes received from clients, heads included.", t->bytes_in);
    page_single(p, "entente_client_bytes_sent_total", "counter", "Bytes sent to clients, heads included.", t->bytes_out);
    page_single(p, "entente_provider_connections_open", "gauge", "Connections to providers.", t->upstream_open);
    page_single(p, "entente_provider_connections_idle", "gauge", "Connections to providers that wait for work.", t->upstream_idle);
    page_single(p, "entente_provider_connects_total", "counter", "Connections to providers made.", t->connects);
    page_single(p, "entente_provider_connect_failures_total", "counter", "Connections to providers that failed.", t->connect_failures);
    page_single(p, "entente_provider_connections_reused_total", "counter", "Requests sent on a kept-alive connection.", t->reused);
    page_single(p, "entente_buffer_bytes", "gauge", "Bytes in bodies and buffers.", block_bytes_in_use());
    page_single(p, "entente_surprises_total", "counter", "Beliefs of the program that turned out false; each is in the log. Please report them.", check_surprises());
    page_single(p, "entente_config_generation", "gauge", "Counts config loads.", __atomic_load_n(view->generation, __ATOMIC_RELAXED));
    page_head(p, "process_start_time_seconds", "gauge", "Unix time of the start.");
    page_put(p, "process_start_time_seconds %.3f\n", (double)view->started_wall_us / 1e6);
    page_head(p, "entente_build_info", "gauge", "The version that runs.");
    page_put(p, "entente_build_info{version=\"%s\"} 1\n", ENTENTE_VERSION);
}

enum err metrics_write(const struct gateway_view *view, const struct catalog *c, int64_t now_us, struct buf *out)
{
    struct totals t;
    struct page p = {out, ERR_OK};
    enum err e = sum_up(view, &t);
    if (e)
        return e;
    put_gateway(&p, view, &t);
    page_put_ledger(&p, view);
    page_put_budgets(&p, view, c, now_us);
    page_put_costs(&p, &t);
    put_attempts(&p, &t);
    put_tokens(&p, &t);
    put_times(&p, &t);
    free(t.deployments);
    return p.error;
}

/* ---- JSON for `entente top` ---- */

void page_text(struct page *p, struct span text)
{
    if (!p->error)
        p->error = json_write_string(p->out, text);
}

static void put_deployment_status(struct page *p, const struct total *d)
{
    int64_t input = 0, output = 0;
    for (int i = 0; i < USAGE_CLASSES; i++) {
        input += usage_class_side((enum usage_class)i) == USAGE_SIDE_INPUT ? (int64_t)d->tokens[i] : 0;
        output += usage_class_side((enum usage_class)i) == USAGE_SIDE_OUTPUT ? (int64_t)d->tokens[i] : 0;
    }
    page_put(p, "{\"provider\":");
    page_text(p, span_str(d->name->provider));
    page_put(p, ",\"model\":");
    page_text(p, span_str(d->name->model));
    page_put(p, ",\"under_way\":%llu,\"input_tokens\":%lld,\"output_tokens\":%lld", (unsigned long long)d->under_way, (long long)input, (long long)output);
    page_put(p, ",\"first_byte_p50_us\":%llu,\"first_byte_p99_us\":%llu", (unsigned long long)stat_quantile(&d->first_byte_us, EXCHANGE_TIME_BOUND_US, 0.5),
        (unsigned long long)stat_quantile(&d->first_byte_us, EXCHANGE_TIME_BOUND_US, 0.99));
    page_put_cost_status(p, d);
    page_put(p, ",\"attempts\":{");
    bool first = true;
    for (int i = 1; i < ATTEMPT_OUTCOMES; i++) {
        if (!d->attempts[i])
            continue;
        page_put(p, "%s\"%s\":%llu", first ? "" : ",", attempt_outcome_name((enum attempt_outcome)i), (unsigned long long)d->attempts[i]);
        first = false;
    }
    page_put(p, "}}");
}

enum err metrics_write_status(const struct gateway_view *view, const struct catalog *c, int64_t now_us, struct buf *out)
{
    struct totals t;
    struct page p = {out, ERR_OK};
    enum err e = sum_up(view, &t);
    if (e)
        return e;
    page_put(&p, "{\"version\":\"%s\",\"pid\":%d,\"workers\":%u,\"started_us\":%lld,\"generation\":%llu,\"draining\":%s,\"exchanges\":{", ENTENTE_VERSION,
        (int)getpid(), view->workers_n, (long long)view->started_wall_us, (unsigned long long)__atomic_load_n(view->generation, __ATOMIC_RELAXED),
        __atomic_load_n(view->draining, __ATOMIC_RELAXED) ? "true" : "false");
    for (int i = 0; i < RECORD_OUTCOMES; i++)
        page_put(&p, "\"%s\":%llu,", record_outcome_name((enum record_outcome)i), (unsigned long long)t.outcomes[i]);
    page_put(&p, "\"under_way\":%llu},\"retries\":%llu,\"shed\":%llu,\"connections\":%llu,\"provider_connections\":%llu,\"deployments\":[",
        (unsigned long long)t.under_way, (unsigned long long)t.retries, (unsigned long long)t.shed, (unsigned long long)t.connections_open,
        (unsigned long long)t.upstream_open);
    for (unsigned i = 0; i < t.n; i++) {
        if (i)
            page_put(&p, ",");
        put_deployment_status(&p, &t.deployments[i]);
    }
    page_put(&p, "],");
    page_put_budget_status(&p, view, c, now_us);
    page_put(&p, ",");
    page_put_ledger_status(&p, view);
    page_put(&p, "}\n");
    free(t.deployments);
    return p.error;
}
