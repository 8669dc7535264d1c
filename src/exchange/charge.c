/* SPDX-License-Identifier: Apache-2.0
 *
 * Which price lines a request falls under: what we pay for it, and what its buyer pays us. A buyer is a department, or a party without one.
 * Where no book of ours is for him he pays what we pay: the same line, the same amount.
 */
#include "exchange/exchange_private.h"

struct span charge_buyer(const struct exchange *x)
{
    return x->key ? account_buyer(span_str(x->key->department), span_str(x->key->party)) : SPAN_NONE;
}

static bool sells_to(const struct price_list *l, struct span buyer)
{
    for (unsigned i = 0; i < l->books_n; i++) {
        struct span to = span_str(l->books[i]->buyer);
        if (strcmp(l->books[i]->seller, l->self) == 0 && (span_eq(to, buyer) || span_eq(to, SPAN("*"))))
            return true;
    }
    return false;
}

struct charge_lines charge_find(const struct exchange *x, const struct deployment *d, struct span tier, int64_t input_tokens)
{
    const struct price_list *l = x->binding->catalog->prices;
    struct span buyer = charge_buyer(x);
    const struct price_facts facts = {
        .provider = span_str(d->provider->name), .model = deployment_model(d, x->facts->model), .tier = tier, .at_us = x->started_wall_us,
        .known_us = loop_wall_us(x->owner->options.loop), .input_tokens = input_tokens,
    };
    if (!l)
        return (struct charge_lines){NULL, NULL};
    struct charge_lines found = {.buy = price_find_buy(l, &facts)};
    if (buyer.n)
        found.sell = sells_to(l, buyer) ? price_find_sell(l, buyer, &facts) : found.buy;
    return found;
}

/* Budgets of buyers count what we pay where nobody is charged. */
struct budget_amounts charge_amounts(const struct exchange *x, const struct charge_lines *lines, money buy, money sell)
{
    const struct price_line *counted = charge_buyer(x).n ? lines->sell : lines->buy;
    return (struct budget_amounts){
        .buy = buy, .buy_currency = lines->buy ? lines->buy->book->currency : NULL,
        .sell = charge_buyer(x).n ? sell : buy, .sell_currency = counted ? counted->book->currency : NULL,
    };
}

struct budget_amounts charge_usage(const struct exchange *x, const struct deployment *d, struct usage_record *r)
{
    int64_t input = usage_total(&r->usage, USAGE_SIDE_INPUT);
    struct charge_lines lines = charge_find(x, d, x->notes.service_tier, input > 0 ? input : 0);
    price_charge(lines.buy, &r->usage, &r->buy);
    if (charge_buyer(x).n)
        price_charge(lines.sell, &r->usage, &r->sell);
    return charge_amounts(x, &lines, r->buy.amount, r->sell.amount);
}
