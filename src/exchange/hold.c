/* SPDX-License-Identifier: Apache-2.0
 *
 * HOLD: before a provider is asked, the most that the request can cost there is set aside, in every budget that it falls under and in the
 * ledger. Chooses the deployment, too: one whose provider's or seller's budget is exhausted is passed over, the next of the plan is tried.
 *
 *   plan -> next deployment -> budgets -> ledger -> DIAL
 *             ^--- its own budget refuses       `-> (strict: waits for the disk)
 *
 * The first hold of an exchange is submitted before its first wait, so the ids of a worker reach the ledger in rising order; the ledger
 * relies on that. A token is never less than a byte, so the body's size bounds the input without a look at it; only where that does not fit are
 * the tokens counted.
 */
#include <stdio.h>
#include <stdlib.h>

#include "exchange/exchange_private.h"
#include "neutral/count.h"

#define MEDIA_TOKENS 16384               /* that an image, a recording or a file behind a link may come to, beside its bytes in the body */
#define TOKENS_MAX INT64_C(1000000000000) /* of one request; what is beyond is nonsense, and products with prices still fit */
#define BYTES_PER_TOKEN 4

/* ---- the most it can be ---- */

static int64_t bounded(int64_t tokens) { return tokens < TOKENS_MAX ? tokens : TOKENS_MAX; }

static int64_t input_by_bytes(const struct exchange *x)
{
    return (int64_t)exchange_body(x).n + (int64_t)x->facts->media_n * MEDIA_TOKENS;
}

static int64_t input_by_count(struct exchange *x)
{
    if (x->input_counted == 0)
        x->input_counted = meter_count_input(x, x->hold_for->encoding);
    int64_t counted = x->input_counted + (int64_t)x->facts->media_n * MEDIA_TOKENS, bytes = input_by_bytes(x);
    return x->input_counted < 0 || counted > bytes ? bytes : counted;
}

static int64_t output_most(const struct exchange *x)
{
    int64_t one = x->facts->output_tokens_max >= 0 ? x->facts->output_tokens_max : x->model->output_max ? x->model->output_max : MODEL_OUTPUT_MAX;
    return x->api == API_OPENAI_EMBEDDINGS ? 0 : bounded(bounded(one) * x->facts->outputs);
}

static money dearer(money a, money b) { return a > b ? a : b; }

/* What is set aside: where the client asks for a tier of service, the dearer of that and the usual one, for the provider may serve either. */
struct worst {
    struct charge_lines lines; /* of the usual tier; of the asked one where that has none */
    struct budget_amounts amounts;
};

static struct worst worst_case(struct exchange *x, int64_t input)
{
    struct charge_lines usual = charge_find(x, x->hold_for, SPAN_NONE, input), asked = usual;
    if (x->facts->service_tier.n)
        asked = charge_find(x, x->hold_for, x->facts->service_tier, input);
    struct worst w = {.lines = {usual.buy ? usual.buy : asked.buy, usual.sell ? usual.sell : asked.sell}};
    int64_t output = output_most(x);
    money buy = dearer(price_worst(usual.buy, input, output), price_worst(asked.buy, input, output));
    money sell = dearer(price_worst(usual.sell, input, output), price_worst(asked.sell, input, output));
    w.amounts = charge_amounts(x, &w.lines, buy, sell);
    return w;
}

/* ---- the budgets ---- */

/* Budgets and books must mean the same month, also where the clock jumps over its end. */
static int64_t booked_now_us(const struct exchange *x)
{
    const struct exchanger_options *o = &x->owner->options;
    return o->ledger ? ledger_time_us(o->ledger, loop_now_ns(o->loop)) : loop_wall_us(o->loop);
}

static struct budget_facts budget_facts(const struct exchange *x, const struct price_line *buy)
{
    return (struct budget_facts){
        .key = x->key ? span_str(x->key->name) : SPAN_NONE,
        .department = x->key ? span_str(x->key->department) : SPAN_NONE,
        .party = x->key ? span_str(x->key->party) : SPAN_NONE,
        .provider = span_str(x->hold_for->provider->name),
        .seller = buy ? span_str(buy->book->seller) : SPAN_NONE,
        .model = x->facts->model,
        .now_us = booked_now_us(x),
    };
}

static enum err take(struct exchange *x, int64_t input, struct worst *ret, const struct budget **ret_refused)
{
    const struct budget_set *set = &x->binding->catalog->budgets;
    *ret = worst_case(x, input);
    if (!set->budgets_n)
        return ERR_OK;
    struct budget_facts facts = budget_facts(x, ret->lines.buy);
    struct budget_hold taken;
    enum err e = budget_take(x->owner->options.budgets, set, &facts, &ret->amounts, &taken, ret_refused);
    if (e)
        return e;
    size_t bytes = offsetof(struct budget_hold, parts) + taken.parts_n * sizeof taken.parts[0];
    x->budget_hold = memcpy(arena_alloc(&x->arena, bytes), &taken, bytes);
    return ERR_OK;
}

void hold_settle(struct exchange *x, const struct budget_amounts *actual)
{
    if (x->budget_hold)
        budget_settle(x->owner->options.budgets, x->budget_hold, actual);
    x->is_held = false;
}

static void give_back(struct exchange *x)
{
    if (x->budget_hold)
        budget_release(x->owner->options.budgets, x->budget_hold);
}

/* By the bytes; if that does not fit, but a prompt of nothing would, by the count. */
static enum err take_smallest(struct exchange *x, struct worst *ret, const struct budget **ret_refused)
{
    enum err e = x->input_counted ? ERR_BUDGET : take(x, input_by_bytes(x), ret, ret_refused);
    if (e != ERR_BUDGET)
        return e;
    if (!x->input_counted && take(x, 0, ret, ret_refused) != ERR_OK)
        return ERR_BUDGET; /* who has nothing left does not make us count */
    give_back(x);
    return take(x, input_by_count(x), ret, ret_refused);
}

static bool is_of_deployment(const struct budget *b) { return b->scope == BUDGET_PROVIDER || b->scope == BUDGET_SELLER; }

static void complain_of_budget(struct exchange *x, const struct budget *b)
{
    char message[256];
    snprintf(message, sizeof message, "the budget \"%s\" is exhausted: what this request may cost is more than what is left of it", b->name);
    exchange_complain(x, ERR_BUDGET, b->name, message);
    stat_add(&x->owner->stats.budget_refused, 1);
    x->pass_status = 0;
}

/* ---- the ledger ---- */

/* Nobody waits for a hold where durability is standard, and the ledger is not woken for it. It has read one when it is done with a later ticket of
 * the same loop; so every now and then one asks to be told. */
#define TOLD_EVERY 32u
#define SPARE_MAX 64u

void hold_init(struct exchanger *e) { e->holds_end = &e->holds; }

static void free_all(struct exchange_hold *h)
{
    for (struct exchange_hold *next; h; h = next) {
        next = h->next;
        free(h);
    }
}

void hold_fini(struct exchanger *e)
{
    free_all(e->holds);
    free_all(e->spare);
}

static void release_oldest(struct exchanger *e)
{
    struct exchange_hold *h = e->holds;
    e->holds = h->next;
    if (!e->holds)
        e->holds_end = &e->holds;
    if (e->spare_n == SPARE_MAX) {
        free(h);
        return;
    }
    h->next = e->spare;
    e->spare = h;
    e->spare_n++;
}

static struct exchange_hold *hold_new(struct exchanger *e)
{
    struct exchange_hold *h = e->spare;
    if (h) {
        e->spare = h->next;
        e->spare_n--;
    } else {
        h = malloc(sizeof *h);
        CHECK(h != NULL);
    }
    h->next = NULL;
    h->owner = e;
    h->exchange = NULL;
    *e->holds_end = h;
    e->holds_end = &h->next;
    return h;
}

static void hold_done(void *owner, enum err error)
{
    struct exchange_hold *h = owner;
    struct exchanger *e = h->owner;
    struct exchange *x = h->exchange; /* it is there: it cannot end before the ledger is done with a ticket after this one */
    while (e->holds != h)
        release_oldest(e);
    release_oldest(e);
    if (!x || x->step != EXCHANGE_HOLD)
        return; /* nobody waits; or the client left, and the record that ends the hold is under way */
    if (error)
        exchange_complain(x, ERR_LEDGER, NULL, NULL);
    exchange_go(x, error ? EXCHANGE_REFUSE : EXCHANGE_DIAL);
}

static void fill_ledger_hold(const struct exchange *x, const struct worst *w, struct ledger_hold *h)
{
    *h = (struct ledger_hold){.issuer = x->owner->id_high};
    h->counter = x->number;
    h->wall_us = x->started_wall_us;
    h->api = (uint8_t)x->api;
    h->stream = x->facts->stream;
    record_set_name(h->key, span_str(x->key ? x->key->name : ""));
    record_set_name(h->department, span_str(x->key ? x->key->department : ""));
    record_set_name(h->party, span_str(x->key ? x->key->party : ""));
    record_set_name(h->model_asked, x->facts->model);
    record_set_name(h->provider, span_str(x->hold_for->provider->name));
    record_set_name(h->model, deployment_model(x->hold_for, x->facts->model));
    h->buy = w->lines.buy;
    h->sell = w->lines.sell;
    h->input_expected = x->input_counted > 0 ? x->input_counted : (int64_t)exchange_body(x).n / BYTES_PER_TOKEN;
    h->output_max = output_most(x);
    h->held = w->amounts.buy;
}

static enum exchange_step submit(struct exchange *x, const struct worst *w)
{
    struct exchanger *e = x->owner;
    x->is_held = true;
    x->held = w->amounts.buy;
    if (!e->options.ledger)
        return EXCHANGE_DIAL;
    struct exchange_hold *h = hold_new(e);
    bool told = e->options.strict || ++e->untold % TOLD_EVERY == 0;
    fill_ledger_hold(x, w, &h->ledger);
    h->exchange = e->options.strict ? x : NULL;
    h->ticket = (struct ledger_ticket){.op = LEDGER_HOLD, .hold = &h->ledger, .loop = e->options.loop, .done = told ? hold_done : NULL, .owner = h};
    ledger_submit(e->options.ledger, &h->ticket);
    return e->options.strict ? EXCHANGE_WAIT : EXCHANGE_DIAL;
}

/* ---- the step ---- */

/* Passes over deployments that their own budgets refuse. NULL: none is left, or what refused is not the deployment's. */
static const struct deployment *take_first(struct exchange *x, struct worst *ret)
{
    const struct budget *refused = NULL;
    enum err e = ERR_OK;
    while (x->hold_for && (e = take_smallest(x, ret, &refused)) == ERR_BUDGET) {
        bool was_asked = x->hold_for == x->deployment;
        complain_of_budget(x, refused);
        x->hold_for = is_of_deployment(refused) && !was_asked ? plan_next(&x->plan, x->deployment, x->retry_here) : NULL;
        if (x->hold_for && x->hold_for == x->deployment)
            return x->hold_for; /* asked before, and may be asked again, but later: nothing is taken for it yet */
    }
    if (x->hold_for && e) {
        exchange_complain(x, e, NULL, NULL);
        x->hold_for = NULL;
    }
    return x->hold_for;
}

enum exchange_step exchange_hold(struct exchange *x)
{
    struct worst worst;
    const struct deployment *before = x->hold_for, *first;
    x->hold_for = first = plan_next(&x->plan, x->deployment, x->retry_here);
    if (x->is_held && first == before)
        return EXCHANGE_DIAL; /* asked again: what was set aside still is */
    give_back(x); /* of the deployment that failed */
    if (!take_first(x, &worst))
        return EXCHANGE_REFUSE;
    if (x->hold_for != first && x->hold_for == x->deployment) {
        x->hold_for = NULL;      /* or it would look as if something was still set aside for it */
        return attempt_again(x); /* the others were passed over: the one that failed is asked once more, but not at once */
    }
    return submit(x, &worst);
}
