/* SPDX-License-Identifier: Apache-2.0
 *
 * The books of the demonstration and their comparison. Four accounts of the same requests were kept apart: by the gateway's records, by each
 * simulated provider, by the ledger, and by the client that asked.
 */
#include <inttypes.h>
#include <stdio.h>

#include "cli/demo.h"
#include "cli/table.h"

const struct demo_provider demo_providers[DEMO_PROVIDERS] = {
    {"cirrus", "openai", "gpt-4o", "/v1", "cirrus", "2.50", "10.00"},
    {"azure-eu", "azure-openai", "gpt-4o-prod", "", "microsoft", "2.75", "11.00"},
    {"my-vllm", "openai", "llama-4", "/v1", "datacentre", "0.30", "0.60"},
};

const struct demo_key demo_keys[DEMO_KEYS] = {
    {"support-bot", "support", "SUPPORT_KEY"}, {"legal-app", "legal", "LEGAL_KEY"}, {"notebooks", "research", "RESEARCH_KEY"}};

/* ---- records ---- */

void demo_books_init(struct demo_books *b)
{
    *b = (struct demo_books){.unknown = 0};
    pthread_mutex_init(&b->lock, NULL);
}

static struct demo_account *provider_account(struct demo_books *b, const char *name)
{
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++)
        if (strcmp(name, demo_providers[i].name) == 0)
            return &b->provider[i];
    return NULL;
}

static struct demo_account *key_account(struct demo_books *b, const char *name)
{
    for (unsigned i = 0; i < DEMO_KEYS; i++)
        if (strcmp(name, demo_keys[i].name) == 0)
            return &b->key[i];
    return NULL;
}

/* An attempt that was used and lost before the client saw anything is no record of its own here, but its tokens count. */
static void enter(struct demo_account *a, const struct usage_record *r)
{
    int64_t input = usage_total(&r->usage, USAGE_SIDE_INPUT), output = usage_total(&r->usage, USAGE_SIDE_OUTPUT);
    if (!a)
        return;
    a->records += r->attempt == 0;
    a->answered += r->outcome == RECORD_ANSWERED;
    a->broken += r->outcome == RECORD_BROKEN || r->attempt;
    a->estimated += r->usage.source == USAGE_SOURCE_ESTIMATED;
    a->input += input > 0 ? (uint64_t)input : 0;
    a->output += output > 0 ? (uint64_t)output : 0;
    a->charged += r->sell.amount;
}

void demo_books_on_record(void *books, const struct usage_record *r)
{
    struct demo_books *b = books;
    pthread_mutex_lock(&b->lock);
    enter(&b->all, r);
    enter(key_account(b, r->key), r);
    if (r->attempts_n)
        enter(provider_account(b, r->attempts[r->attempts_n - 1].provider), r);
    for (unsigned i = 0; i < r->attempts_n && r->attempt == 0; i++) {
        struct demo_account *a = provider_account(b, r->attempts[i].provider);
        if (a && r->attempts[i].outcome != ATTEMPT_ANSWERED && r->attempts[i].outcome != ATTEMPT_BROKEN)
            a->failed_attempts++;
    }
    b->unknown += r->usage.source == USAGE_SOURCE_UNKNOWN;
    b->retried += r->attempts_n > 1 && r->attempt == 0;
    pthread_mutex_unlock(&b->lock);
}

struct demo_books demo_books_read(struct demo_books *b)
{
    pthread_mutex_lock(&b->lock);
    struct demo_books copy = *b;
    pthread_mutex_unlock(&b->lock);
    return copy;
}

/* ---- are they equal? ---- */

void demo_compare(struct demo_verdict *v, const char *where, const char *what, uint64_t books, uint64_t other)
{
    if (books == other)
        return;
    if (!v->differences++)
        snprintf(v->first, sizeof v->first, "%s: %s by the gateway's books %" PRIu64 ", by the other account %" PRIu64, where, what, books, other);
}

static void compare_providers(const struct demo_outcome *o, struct demo_verdict *v)
{
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++) {
        const struct sim_count c = o->counts[i];
        const struct demo_account *a = &o->books.provider[i];
        demo_compare(v, demo_providers[i].name, "answers", a->answered, c.answered);
        demo_compare(v, demo_providers[i].name, "answers that broke off", a->broken, c.broken);
        demo_compare(v, demo_providers[i].name, "input tokens", a->input, c.input_tokens + c.broken_input_tokens);
        demo_compare(v, demo_providers[i].name, "output tokens", a->output, c.output_tokens + c.broken_output_tokens);
    }
}

static void compare_totals(const struct demo_outcome *o, struct demo_verdict *v)
{
    const struct replay_figures *f = replay_figures(o->replay);
    uint64_t input = 0, output = 0, answered_input = 0, answered_output = 0;
    for (unsigned i = 0; i < DEMO_KEYS; i++) {
        input += o->books.key[i].input;
        output += o->books.key[i].output;
    }
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++) {
        answered_input += o->counts[i].input_tokens;
        answered_output += o->counts[i].output_tokens;
    }
    demo_compare(v, "all keys together", "input tokens", o->books.all.input, input);
    demo_compare(v, "all keys together", "output tokens", o->books.all.output, output);
    demo_compare(v, "all", "records, against requests of the client", o->books.all.records, f->calls);
    demo_compare(v, "all", "answers, against those the client has whole", o->books.all.answered, f->answered);
    demo_compare(v, "all", "records that cannot say what was used", o->books.unknown, 0);
    if (!v->differences) { /* what was answered is what the trace asks for */
        demo_compare(v, "answered requests", "input tokens, against the trace", answered_input, f->input_tokens);
        demo_compare(v, "answered requests", "output tokens, against the trace", answered_output, f->output_tokens);
    }
}

struct demo_verdict demo_judge(const struct demo_outcome *o)
{
    struct demo_verdict v = {.differences = 0};
    compare_providers(o, &v);
    compare_totals(o, &v);
    demo_compare_money(o, &v);
    return v;
}

/* ---- telling ---- */

static const char *mark(uint64_t a, uint64_t b) { return a == b ? "=" : "!"; }

static void tell_providers(const struct demo_outcome *o)
{
    char a[32], b[32], c[32], e[32];
    printf("%-12s %9s %8s %10s   %27s   %27s\n", "", "", "", "", "tokens in", "tokens out");
    printf("%-12s %9s %8s %10s   %12s   %12s   %12s   %12s\n", "provider", "answered", "broken", "estimated", "gateway", "provider", "gateway", "provider");
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++) {
        const struct demo_account *p = &o->books.provider[i];
        const struct sim_count *s = &o->counts[i];
        uint64_t input = s->input_tokens + s->broken_input_tokens, output = s->output_tokens + s->broken_output_tokens;
        printf("%-12s %9" PRIu64 " %8" PRIu64 " %10" PRIu64 "   %12s %s %12s   %12s %s %12s\n", demo_providers[i].name, p->answered, p->broken,
               p->estimated, table_number(a, p->input), mark(p->input, input), table_number(b, input), table_number(c, p->output),
               mark(p->output, output), table_number(e, output));
    }
}

static void tell_keys(const struct demo_outcome *o)
{
    char a[32], b[32];
    printf("\n%-12s %-12s %9s %8s %12s %12s\n", "department", "key", "answered", "broken", "tokens in", "tokens out");
    for (unsigned i = 0; i < DEMO_KEYS; i++)
        printf("%-12s %-12s %9" PRIu64 " %8" PRIu64 " %12s %12s\n", demo_keys[i].department, demo_keys[i].name, o->books.key[i].answered,
               o->books.key[i].broken, table_number(a, o->books.key[i].input), table_number(b, o->books.key[i].output));
    printf("%-12s %-12s %9" PRIu64 " %8" PRIu64 " %12s %12s\n", "all", "", o->books.all.answered, o->books.all.broken,
           table_number(a, o->books.all.input), table_number(b, o->books.all.output));
}

static void tell_requests(const struct demo_outcome *o)
{
    const struct replay_figures *f = replay_figures(o->replay);
    printf("\n%" PRIu64 " requests in %.1f s, %" PRIu64 " answered, %" PRIu64 " not. First token: p50 %.1f ms, p99 %.1f ms.\n", f->asked, o->seconds,
           f->answered, f->unanswered, demo_first_ms(o->replay, 0.5), demo_first_ms(o->replay, 0.99));
    printf("The gateway moved %" PRIu64 " to another provider before the client had a byte. Asked again by the client: %" PRIu64 ", of which %" PRIu64 "\n"
           "were streams that broke off after they had begun, and %" PRIu64 " had got an error.\n",
           o->books.retried, f->again_broken + f->again_refused, f->again_broken, f->again_refused);
    if (f->lengthened)
        printf("Rows shorter than a chat message can be, lengthened to %d tokens: %" PRIu64 ".\n", REPLAY_INPUT_LEAST, f->lengthened);
}

void demo_tell(const struct demo_outcome *o, const struct demo_verdict *v)
{
    printf("\n");
    tell_providers(o);
    tell_keys(o);
    tell_requests(o);
    demo_tell_money(o);
    printf("A broken answer is in the books with an estimate of what arrived; `estimated` counts these and answers without usage.\n");
    if (v->differences)
        printf("NOT EQUAL: %u differences. %s\n", v->differences, v->first);
    else
        printf("Equal to the token and to the last digit of a dollar: providers' counts, gateway's records, the ledger (%" PRIu64 " requests), and what\n"
               "the clients asked for.\n", o->money.entries.records);
}

/* ---- as JSON ---- */

static void put_number(const char *before_and_name, uint64_t n) { printf("%s\":%" PRIu64, before_and_name, n); }

static void put_account(const char *name, const struct demo_account *a)
{
    printf("\"%s\":", name);
    put_number("{\"records", a->records);
    put_number(",\"answered", a->answered);
    put_number(",\"broken", a->broken);
    put_number(",\"estimated", a->estimated);
    put_number(",\"failed_attempts", a->failed_attempts);
    put_number(",\"input_tokens", a->input);
    put_number(",\"output_tokens", a->output);
    printf("}");
}

static void put_count(unsigned i, const struct sim_count *c)
{
    struct buf b;
    buf_init(&b, 4096);
    CHECK(sim_count_write_json(demo_providers[i].name, c, &b) == ERR_OK);
    printf("%s%.*s", i ? "," : "", (int)buf_bytes(&b) - 1, buf_span(&b).p);
    buf_fini(&b);
}

static void put_requests(const struct demo_outcome *o)
{
    const struct replay_figures *f = replay_figures(o->replay);
    printf(",\"seconds\":%.3f", o->seconds);
    put_number(",\"asked", f->asked);
    put_number(",\"answered", f->answered);
    put_number(",\"unanswered", f->unanswered);
    put_number(",\"calls", f->calls);
    put_number(",\"asked_again_broken", f->again_broken);
    put_number(",\"asked_again_refused", f->again_refused);
    put_number(",\"moved", o->books.retried);
    put_number(",\"first_token_p50_us", replay_first_token_ns(o->replay, 0.5) / NS_PER_US);
    put_number(",\"first_token_p99_us", replay_first_token_ns(o->replay, 0.99) / NS_PER_US);
}

void demo_tell_json(const struct demo_outcome *o, const struct demo_verdict *v)
{
    printf("{\"equal\":%s,\"differences\":%u,\"difference\":", v->differences ? "false" : "true", v->differences);
    table_json_string(v->first);
    printf(",\"trace\":");
    table_json_string(o->trace_name);
    put_requests(o);
    printf(",\"books\":{");
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++) {
        put_account(demo_providers[i].name, &o->books.provider[i]);
        printf(",");
    }
    for (unsigned i = 0; i < DEMO_KEYS; i++) {
        put_account(demo_keys[i].name, &o->books.key[i]);
        printf(",");
    }
    put_account("all", &o->books.all);
    printf("},\"providers\":[");
    for (unsigned i = 0; i < DEMO_PROVIDERS; i++)
        put_count(i, &o->counts[i]);
    printf("]");
    demo_put_money(o);
    printf("}\n");
}
