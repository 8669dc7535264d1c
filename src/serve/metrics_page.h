/* SPDX-License-Identifier: Apache-2.0
 *
 * What metrics.c and metrics_money.c share: a page of numbers that is being written, and the sums over workers that it shows.
 */
#ifndef ENTENTE_SERVE_METRICS_PAGE_H
#define ENTENTE_SERVE_METRICS_PAGE_H

#include "serve/metrics.h"

/* One deployment over all workers. */
struct total {
    const struct deployment_stats *name;
    uint64_t attempts[ATTEMPT_OUTCOMES], tokens[USAGE_CLASSES], unpriced[USAGE_CLASSES], usage_source[4], under_way;
    struct total_cost {
        char currency[CURRENCY_BYTES];
        uint64_t nano;
    } costs[EXCHANGE_CURRENCIES_MAX];
    unsigned costs_n;
    struct stat_histogram first_byte_us, duration_us;
};

struct totals {
    struct total *deployments;
    unsigned n;
    uint64_t outcomes[RECORD_OUTCOMES], retries, retries_denied, shed, budget_refused, withheld, under_way;
    uint64_t connections_open, connections_total, connections_refused, requests_total, http_errors, bytes_in, bytes_out;
    uint64_t connects, connect_failures, reused, upstream_open, upstream_idle;
};

struct page {
    struct buf *out;
    enum err error; /* the first; the rest is skipped */
};

void page_put(struct page *p, const char *format, ...) PRINTF_LIKE(2, 3);
void page_head(struct page *p, const char *name, const char *type, const char *help);
void page_single(struct page *p, const char *name, const char *type, const char *help, uint64_t value);
#define PAGE_LABELS_BYTES 512
void page_labels(char out[PAGE_LABELS_BYTES], const struct deployment_stats *d);
void page_label_text(char out[2 * RECORD_NAME_BYTES], struct span text); /* escaped as the exposition format asks; cut where it is longer than a name */
void page_text(struct page *p, struct span text); /* a JSON string */

/* metrics_money.c */
void page_put_ledger(struct page *p, const struct gateway_view *view);
void page_put_costs(struct page *p, const struct totals *t);
void page_put_budgets(struct page *p, const struct gateway_view *view, const struct catalog *c, int64_t now_us);
void page_put_ledger_status(struct page *p, const struct gateway_view *view);   /* JSON: "ledger":{…} */
void page_put_budget_status(struct page *p, const struct gateway_view *view, const struct catalog *c, int64_t now_us); /* "budgets":[…] */
void page_put_cost_status(struct page *p, const struct total *d);               /* "cost":{"EUR":"1.23"},"unpriced_tokens":0 */

#endif
