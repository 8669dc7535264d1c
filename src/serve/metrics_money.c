/* SPDX-License-Identifier: Apache-2.0
 *
 * The money among the metrics: the ledger's state, costs, tokens without a price, budgets. Amounts are decimal numbers of major units, written
 * from integers: what Prometheus makes of them is its own rounding.
 */
#include <stdio.h>

#include "serve/metrics_page.h"

static const char *const state_words[] = {[LEDGER_OK] = "ok", [LEDGER_SPOOLING] = "spooling", [LEDGER_FAILING] = "failing"};

static struct ledger_status status_of(const struct gateway_view *view)
{
    struct ledger_status l = {.admitting = true};
    if (view->ledger)
        ledger_status(view->ledger, &l);
    return l;
}

void page_put_ledger(struct page *p, const struct gateway_view *view)
{
    struct ledger_status l = status_of(view);
    page_head(p, "entente_ledger_state", "gauge", "1 at the state that the ledger is in: ok, spooling (its file cannot be written), failing (neither can the spool).");
    for (unsigned i = 0; i < COUNT_OF(state_words); i++)
        page_put(p, "entente_ledger_state{state=\"%s\"} %d\n", state_words[i], l.state == (enum ledger_state)i);
    page_single(p, "entente_ledger_admitting", "gauge", "0 while new requests are refused because the ledger cannot take them.", l.admitting);
    page_single(p, "entente_usage_records_total", "counter", "Usage records made durable.", l.records);
    page_single(p, "entente_ledger_entries", "gauge", "Entries of the log.", l.log_size);
    page_single(p, "entente_ledger_holds_open", "gauge", "Requests for which an amount is set aside.", l.holds_open);
    page_single(p, "entente_ledger_commits_total", "counter", "Group commits.", l.commits);
    page_head(p, "entente_ledger_commit_seconds_total", "counter", "Time inside group commits.");
    page_put(p, "entente_ledger_commit_seconds_total %llu.%09llu\n", (unsigned long long)(l.commit_ns_total / NS_PER_S), (unsigned long long)(l.commit_ns_total % NS_PER_S));
    page_single(p, "entente_ledger_waiting_records", "gauge", "Records in memory that no disk has.", l.waiting);
    page_single(p, "entente_ledger_spool_records", "gauge", "Records that only the spool has: what would be lost with its disk.", l.spool_records);
    page_single(p, "entente_ledger_spool_used_bytes", "gauge", "Bytes of the spool that are in use.", l.spool_used);
    page_single(p, "entente_ledger_spool_bytes", "gauge", "Bytes that are reserved for the spool.", l.spool_bytes);
    page_single(p, "entente_ledger_duplicates_total", "counter", "Records that had been booked before, and were not booked again.", l.duplicates);
    page_single(p, "entente_ledger_recovered", "gauge", "Requests cut off by the end of the last process, booked as estimates at this start.", l.recovered);
}

static bool is_token(int class) { return usage_class_side((enum usage_class)class) != USAGE_SIDE_OTHER; }

void page_put_costs(struct page *p, const struct totals *t)
{
    char label[PAGE_LABELS_BYTES];
    page_head(p, "entente_cost_total", "counter", "What providers are owed by our price books, in major units of the currency.");
    for (unsigned d = 0; d < t->n; d++) {
        page_labels(label, t->deployments[d].name);
        for (unsigned i = 0; i < t->deployments[d].costs_n; i++) {
            const struct total_cost *c = &t->deployments[d].costs[i];
            page_put(p, "entente_cost_total{%s,currency=\"%s\"} %llu.%09llu\n", label, c->currency, (unsigned long long)(c->nano / NS_PER_S),
                     (unsigned long long)(c->nano % NS_PER_S));
        }
    }
    page_head(p, "entente_unpriced_tokens_total", "counter", "Tokens that were used and have no price in our books.");
    for (unsigned d = 0; d < t->n; d++) {
        page_labels(label, t->deployments[d].name);
        for (int i = 0; i < USAGE_CLASSES; i++)
            if (t->deployments[d].unpriced[i] && is_token(i))
                page_put(p, "entente_unpriced_tokens_total{%s,entente_token_class=\"%s\"} %llu\n", label, usage_class_name((enum usage_class)i),
                         (unsigned long long)t->deployments[d].unpriced[i]);
    }
}

/* ---- budgets ---- */

/* One metric of all budgets: the exposition format wants a metric's lines together. */
struct budget_metric {
    struct page *page;
    const char *name;
    money (*value)(const struct budget_standing *s);
};

static money limit_of(const struct budget_standing *s) { return s->budget->limit; }
static money posted_of(const struct budget_standing *s) { return s->posted; }
static money pending_of(const struct budget_standing *s) { return s->pending; }

static void put_standing(void *owner, const struct budget_standing *s)
{
    const struct budget_metric *m = owner;
    char name[2 * RECORD_NAME_BYTES], who[2 * RECORD_NAME_BYTES], value[MONEY_TEXT_BYTES];
    page_label_text(name, span_str(s->budget->name));
    page_label_text(who, s->who.n ? s->who : s->budget->who);
    page_put(m->page, "%s{budget=\"%s\",scope=\"%s\",who=\"%s\",period=\"%s\",currency=\"%s\"} %.*s\n", m->name, name, budget_scope_name(s->budget->scope), who,
             s->period.label, s->budget->currency, SPAN_ARG(money_format(value, m->value(s), 0)));
}

static void put_metric(struct page *p, const struct gateway_view *view, const struct catalog *c, int64_t now_us, const char *name, money (*value)(const struct budget_standing *s))
{
    struct budget_metric m = {p, name, value};
    if (view->budgets)
        budget_each(view->budgets, &c->budgets, now_us, put_standing, &m);
}

void page_put_budgets(struct page *p, const struct gateway_view *view, const struct catalog *c, int64_t now_us)
{
    page_head(p, "entente_budget_limit", "gauge", "What may be spent in the running period, in major units of the currency.");
    put_metric(p, view, c, now_us, "entente_budget_limit", limit_of);
    page_head(p, "entente_budget_spent", "gauge", "What was spent in the running period.");
    put_metric(p, view, c, now_us, "entente_budget_spent", posted_of);
    page_head(p, "entente_budget_held", "gauge", "What is set aside for requests under way.");
    put_metric(p, view, c, now_us, "entente_budget_held", pending_of);
}

/* ---- JSON ---- */

static void put_amount(struct page *p, const char *key, money m)
{
    char text[MONEY_TEXT_BYTES];
    page_put(p, ",\"%s\":\"%.*s\"", key, SPAN_ARG(money_format(text, m, 2)));
}

struct budget_list {
    struct page *page;
    unsigned n;
};

static void put_standing_status(void *owner, const struct budget_standing *s)
{
    struct budget_list *list = owner;
    struct page *p = list->page;
    const struct budget *b = s->budget;
    page_put(p, "%s{\"name\":", list->n++ ? "," : "");
    page_text(p, span_str(b->name));
    page_put(p, ",\"for\":\"%s\",\"who\":", budget_scope_name(b->scope));
    page_text(p, s->who.n ? s->who : b->who);
    page_put(p, ",\"hard\":%s,\"period\":\"%s\",\"until_us\":%lld,\"currency\":\"%s\"", b->hard ? "true" : "false", s->period.label, (long long)s->period.until_us,
             b->currency);
    put_amount(p, "limit", b->limit);
    put_amount(p, "spent", s->posted);
    put_amount(p, "held", s->pending);
    page_put(p, "}");
}

void page_put_budget_status(struct page *p, const struct gateway_view *view, const struct catalog *c, int64_t now_us)
{
    struct budget_list list = {.page = p};
    page_put(p, "\"budgets\":[");
    if (view->budgets)
        budget_each(view->budgets, &c->budgets, now_us, put_standing_status, &list);
    page_put(p, "]");
}

void page_put_ledger_status(struct page *p, const struct gateway_view *view)
{
    struct ledger_status l = status_of(view);
    page_put(p, "\"ledger\":{\"state\":\"%s\",\"admitting\":%s,\"entries\":%llu,\"records\":%llu,\"holds_open\":%llu,\"waiting\":%llu,\"spool_records\":%llu,"
             "\"duplicates\":%llu,\"recovered\":%llu,\"why\":", state_words[l.state], l.admitting ? "true" : "false", (unsigned long long)l.log_size,
             (unsigned long long)l.records, (unsigned long long)l.holds_open, (unsigned long long)l.waiting, (unsigned long long)l.spool_records,
             (unsigned long long)l.duplicates, (unsigned long long)l.recovered);
    page_text(p, span_str(l.why));
    page_put(p, "}");
}

void page_put_cost_status(struct page *p, const struct total *d)
{
    uint64_t unpriced = 0;
    for (int i = 0; i < USAGE_CLASSES; i++)
        unpriced += is_token(i) ? d->unpriced[i] : 0;
    page_put(p, ",\"unpriced_tokens\":%llu,\"cost\":{", (unsigned long long)unpriced);
    for (unsigned i = 0; i < d->costs_n; i++)
        page_put(p, "%s\"%s\":\"%llu.%09llu\"", i ? "," : "", d->costs[i].currency, (unsigned long long)(d->costs[i].nano / NS_PER_S),
                 (unsigned long long)(d->costs[i].nano % NS_PER_S));
    page_put(p, "}");
}
