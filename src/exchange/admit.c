/* SPDX-License-Identifier: Apache-2.0
 *
 * From the received bytes to a plan: RECEIVE, IDENTIFY, DECODE, PLAN. Each either goes on or refuses with a sentence.
 */
#include <stdio.h>

#include "base/block.h"
#include "exchange/exchange_private.h"

#define SMALL_BODY_BYTES (16u * KIB) /* larger bodies need a valid key before they are read */

/* At the head, before any byte of the body is read: is there room, and does a large body come with a key? */
enum err exchange_admit(struct exchanger *e, struct stream *s, const struct route *route)
{
    const struct http_head *head = &stream_base(s)->head;
    uint64_t length = UINT64_MAX;
    const struct key *key;
    bool is_full = stat_read(&e->stats.under_way) >= e->options.limits.requests_max || block_bytes_in_use() > e->options.limits.memory_max;
    if (is_full || (e->options.ledger && !ledger_is_admitting(e->options.ledger))) {
        stat_add(&e->stats.shed, 1);
        return is_full ? ERR_OVERLOADED : ERR_LEDGER;
    }
    if (head->method != HTTP_POST)
        return ERR_OK; /* answered by the pages, which name the method that is allowed */
    if (span_to_u64(http_header(head, SPAN("content-length")), &length) && length <= SMALL_BODY_BYTES)
        return ERR_OK;
    return catalog_key(e->binding->catalog, dialect_client_key(head), &key);
}

enum exchange_step exchange_receive(struct exchange *x)
{
    const struct stream_base *base = stream_base(x->stream);
    x->started_ns = base->started_ns;
    x->received_ns = base->received_ns;
    x->bytes_in = base->bytes_in;
    x->started_wall_us = loop_wall_us(base->loop) - (int64_t)((loop_now_ns(base->loop) - base->started_ns) / NS_PER_US);
    x->last_byte_ns = base->received_ns;
    stream_take_body(x->stream, &x->body);
    return EXCHANGE_IDENTIFY;
}

enum exchange_step exchange_identify(struct exchange *x)
{
    struct span secret = dialect_client_key(&stream_base(x->stream)->head);
    enum err e = catalog_key(x->binding->catalog, secret, &x->key);
    if (e == ERR_OK)
        return EXCHANGE_DECODE;
    exchange_complain(x, e, NULL, NULL);
    return EXCHANGE_REFUSE;
}

enum exchange_step exchange_decode(struct exchange *x)
{
    struct complaint why = {0};
    struct request_facts *facts = ARENA_NEW(&x->arena, struct request_facts);
    facts->model = x->deployment_in_path; /* a deployment named in the path stands in for a missing model */
    enum err e = x->dialect->scan_request(&x->arena, x->api, exchange_body(x), facts, &why);
    if (x->deployment_in_path.n)
        facts->model = x->deployment_in_path;
    if (e == ERR_OK && facts->model.n == 0) {
        e = ERR_MISSING_PARAMETER;
        snprintf(why.param, sizeof why.param, "model");
        snprintf(why.message, sizeof why.message, "the request names no model");
    }
    if (e != ERR_OK) {
        exchange_complain(x, e, why.param, why.message[0] ? why.message : NULL);
        return EXCHANGE_REFUSE;
    }
    facts->model = arena_dup(&x->arena, facts->model); /* the body may move or go before the record is made */
    x->facts = facts;
    return EXCHANGE_PLAN;
}

static enum exchange_step refuse_model(struct exchange *x, enum err e, const char *before, const char *after)
{
    char message[256];
    snprintf(message, sizeof message, "%s '%.*s'%s", before, SPAN_ARG(span_to(x->facts->model, 100)), after);
    exchange_complain(x, e, "model", message);
    return EXCHANGE_REFUSE;
}

enum exchange_step exchange_plan(struct exchange *x)
{
    const struct catalog *c = x->binding->catalog;
    struct loop *l = x->owner->options.loop;
    x->model = catalog_model(c, x->facts->model);
    if (!x->model)
        return refuse_model(x, ERR_UNKNOWN_MODEL, "there is no model", " here; GET /v1/models lists those that are");
    if (!key_may_ask(x->key, x->facts->model))
        return refuse_model(x, ERR_FORBIDDEN, "this key may not ask for the model", "");
    struct plan_facts facts = {.api = x->api, .key = x->key, .asked = x->facts->model, .now_ns = loop_now_ns(l), .random = loop_random(l)};
    if (plan_make(&x->arena, x->model, x->binding->health, &facts, &x->plan) != ERR_OK)
        return refuse_model(x, ERR_NO_PROVIDER, "no provider of the model", " can answer this kind of request");
    x->attempts_max = c->retry.attempts_max < LIMIT_ATTEMPTS ? c->retry.attempts_max : LIMIT_ATTEMPTS;
    x->attempts_max = x->attempts_max ? x->attempts_max : 1;
    x->attempts = ARENA_ARRAY(&x->arena, struct attempt_note, x->attempts_max);
    health_count_request(x->binding->health, loop_now_ns(l));
    return EXCHANGE_HOLD;
}
