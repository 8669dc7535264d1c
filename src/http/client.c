/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool: clients, origins, the line of waiting calls, and the connections that serve it.
 *
 *             h1_send_call              conn_release
 *   (dialled) ------------> BUSY <----------------------> IDLE        h1
 *             h2_open
 *   (dialled) ------------> H2                                        h2, with any number of calls
 *                            any of them -- conn_close --> DEAD, freed when the loop is left
 *
 * Invariants:
 * 1. A call waits only while no connection could take it. Dialling is done by the pump, a task, so that whatever it learns at once
 *    (a refused connection) is told from the loop and not from inside call_start.
 * 2. idle_n + busy_n + h2_n + dials_n <= connections_max.
 * 3. An h1 connection in `idle` has neither sent nor received a byte since the end of its last answer.
 *
 * The idle pool is a stack: the connection used last is warmest, and those at the bottom age and go.
 */
#include "http/client_private.h"

#include <stdio.h>
#include <stdlib.h>

#define CONNECTIONS_MAX 10000u
#define WAITING_MAX 1024u
#define IDLE_MAX 1024u
#define IDLE_TIMEOUT_NS (55 * NS_PER_S)
#define CONNECT_TIMEOUT_NS (5 * NS_PER_S)
#define H2_STREAMS_GUESS 100u /* RFC 9113 advises no less; until SETTINGS tell */

/* ---- connections ---- */

struct conn *conn_new(struct origin *o, struct transport t, const struct sock_address *peer)
{
    struct client *client = o->client;
    struct list *link = list_pop_front(&client->free_conns);
    struct conn *n = link ? CONTAINER_OF(link, struct conn, link) : malloc(sizeof *n);
    CHECK(n);
    client->free_conns_n -= link != NULL;
    *n = (struct conn){.magic = CONN_MAGIC, .state = CONN_BUSY, .origin = o, .transport = t};
    buf_init(&n->partial, LIMIT_HEAD_BYTES + LIMIT_READ_BYTES);
    n->peer[sock_address_text(peer, n->peer, sizeof n->peer).n] = 0;
    list_push_front(&o->busy, &n->link);
    o->busy_n++;
    o->users++;
    stat_add(&client->stats.open, 1);
    return n;
}

static unsigned *count_of(struct origin *o, enum conn_state state)
{
    return state == CONN_IDLE ? &o->idle_n : state == CONN_BUSY ? &o->busy_n : &o->h2_n;
}

void conn_set_state(struct conn *n, enum conn_state to)
{
    struct origin *o = n->origin;
    CHECK(n->state != CONN_DEAD && n->state != to && (n->state != CONN_H2 || to == CONN_DEAD));
    CHECK(n->call == NULL);
    list_remove(&n->link);
    --*count_of(o, n->state);
    if (n->state == CONN_IDLE)
        stat_sub(&o->client->stats.idle, 1);
    n->state = to;
    if (to == CONN_DEAD) {
        list_push_back(&o->client->dead_conns, &n->link);
        o->client->reap_due = true;
        return;
    }
    list_push_front(to == CONN_IDLE ? &o->idle : to == CONN_BUSY ? &o->busy : &o->h2, &n->link);
    ++*count_of(o, to);
    if (to == CONN_IDLE)
        stat_add(&o->client->stats.idle, 1);
}

void conn_close(struct conn *n, bool reset)
{
    if (n->state == CONN_DEAD)
        return;
    conn_set_state(n, CONN_DEAD);
    stat_sub(&n->origin->client->stats.open, 1);
    task_cancel(&n->task);
    if (reset)
        transport_abort(&n->transport);
    else
        transport_close(&n->transport);
    if (n->h2)
        h2_closed(n);
    buf_fini(&n->partial);
    free(n->head_copy);
    n->head_copy = NULL;
    origin_pump_soon(n->origin);
}

static void conn_free(struct conn *n)
{
    struct client *client = n->origin->client;
    if (n->h2)
        client_h2_free(n);
    origin_unuse(n->origin);
    n->magic = 0;
    if (client->free_conns_n >= CLIENT_FREE_MAX) {
        free(n);
        return;
    }
    list_push_front(&client->free_conns, &n->link);
    client->free_conns_n++;
}

/* ---- idle connections ---- */

static uint64_t idle_due_ns(const struct conn *n) { return n->idle_since_ns + n->origin->options.idle_timeout_ns; }

static void close_due(struct list *conns, uint64_t now_ns, uint64_t *next_ns)
{
    LIST_FOR_EACH_SAFE (link, conns) {
        struct conn *n = CONTAINER_OF(link, struct conn, link);
        if (n->state == CONN_H2 && !h2_is_idle(n))
            continue;
        if (idle_due_ns(n) <= now_ns)
            conn_close(n, false);
        else if (idle_due_ns(n) < *next_ns)
            *next_ns = idle_due_ns(n);
    }
}

static void idle_timer(void *owner)
{
    struct origin *o = owner;
    CHECK_MAGIC(o, ORIGIN_MAGIC);
    uint64_t next_ns = UINT64_MAX;
    client_enter(o->client);
    close_due(&o->idle, loop_now_ns(o->client->loop), &next_ns);
    close_due(&o->h2, loop_now_ns(o->client->loop), &next_ns);
    timer_set(&o->idle_timer, next_ns);
    client_leave(o->client);
}

void conn_idle_since_now(struct conn *n)
{
    n->idle_since_ns = loop_now_ns(n->origin->client->loop);
    if (n->origin->idle_timer.deadline_ns == UINT64_MAX)
        timer_set(&n->origin->idle_timer, idle_due_ns(n));
}

static void close_oldest_idle(struct origin *o)
{
    if (!list_is_empty(&o->idle))
        conn_close(CONTAINER_OF(o->idle.prev, struct conn, link), false);
}

static void close_idle(struct origin *o)
{
    while (!list_is_empty(&o->idle))
        close_oldest_idle(o);
    LIST_FOR_EACH_SAFE (link, &o->h2) {
        struct conn *n = CONTAINER_OF(link, struct conn, link);
        if (h2_is_idle(n))
            conn_close(n, false);
    }
}

/* ---- the line ---- */

static struct conn *take_free_conn(struct origin *o)
{
    LIST_FOR_EACH (link, &o->h2) {
        struct conn *n = CONTAINER_OF(link, struct conn, link);
        if (h2_has_room(n))
            return n;
    }
    if (list_is_empty(&o->idle))
        return NULL;
    struct conn *n = CONTAINER_OF(o->idle.next, struct conn, link);
    conn_set_state(n, CONN_BUSY);
    return n;
}

static void send_call(struct conn *n, struct call *c)
{
    if (n->state == CONN_H2)
        h2_send_call(n, c);
    else
        h1_send_call(n, c);
}

/* The first call in line that this connection may take: one that was lost on a kept connection wants a fresh one. */
static struct call *next_waiting(struct origin *o, bool fresh)
{
    LIST_FOR_EACH (link, &o->waiting) {
        struct call *c = CONTAINER_OF(link, struct call, link);
        if (fresh || !c->retried)
            return c;
    }
    return NULL;
}

static void take_from_line(struct origin *o, struct call *c)
{
    list_remove(&c->link);
    o->waiting_n--;
}

static void serve_line(struct origin *o)
{
    struct call *c;
    struct conn *n;
    while ((c = next_waiting(o, o->speaks == SPEAKS_H2)) != NULL && (n = take_free_conn(o)) != NULL) {
        take_from_line(o, c);
        send_call(n, c);
    }
}

static unsigned dials_wanted(const struct origin *o)
{
    unsigned per_dial = o->speaks == SPEAKS_H2 ? o->h2_streams_max : 1;
    unsigned wanted = o->speaks == SPEAKS_UNKNOWN ? o->waiting_n > 0 : (o->waiting_n + per_dial - 1) / per_dial;
    return wanted > o->dials_n ? wanted - o->dials_n : 0;
}

static unsigned open_n(const struct origin *o) { return o->idle_n + o->busy_n + o->h2_n + o->dials_n; }

static void pump(void *owner)
{
    struct origin *o = owner;
    CHECK_MAGIC(o, ORIGIN_MAGIC);
    client_enter(o->client);
    serve_line(o);
    while (dials_wanted(o) && !o->resolving_n) { /* a dial that fails at once shortens the line */
        if (open_n(o) >= o->options.connections_max)
            close_oldest_idle(o); /* not empty only when the line wants fresh ones */
        if (open_n(o) >= o->options.connections_max)
            break;
        dial_start(o);
    }
    client_leave(o->client);
}

void origin_pump_soon(struct origin *o)
{
    if (o->waiting_n)
        loop_defer(o->client->loop, &o->pump);
}

void origin_enqueue_first(struct origin *o, struct call *c)
{
    list_push_front(&o->waiting, &c->link);
    o->waiting_n++;
    origin_pump_soon(o);
}

static void give_conn(struct origin *o, struct conn *n, bool fresh)
{
    struct call *c = next_waiting(o, fresh);
    if (c) {
        take_from_line(o, c);
        send_call(n, c);
        return;
    }
    if (o->retired) {
        conn_close(n, false);
        return;
    }
    if (o->idle_n >= o->options.idle_max)
        close_oldest_idle(o);
    conn_set_state(n, CONN_IDLE);
    conn_idle_since_now(n);
}

void conn_release(struct conn *n)
{
    n->reused = true;
    give_conn(n->origin, n, false);
}

void origin_dial_succeeded(struct origin *o, struct conn *n, bool is_h2)
{
    o->speaks = is_h2 ? SPEAKS_H2 : SPEAKS_H1;
    if (is_h2) {
        h2_open(n);
        serve_line(o); /* at once: a connection that breaks with its first bytes must have somebody to disappoint, or it is dialled for ever */
    } else {
        h1_open(n);
        give_conn(o, n, true);
    }
    origin_pump_soon(o);
}

/*
 * Whose failure is it? Each h1 dial was begun for one call, so one call fails with it, the oldest; and further ones that neither a
 * dial under way nor an open connection would ever serve. A call that came after the dial began is not yet disappointed: it
 * gets a dial of its own.
 */
static unsigned calls_to_fail(const struct origin *o)
{
    unsigned served = o->busy_n + o->h2_n ? o->waiting_n : o->speaks == SPEAKS_H1 ? o->dials_n : 0;
    return served < o->waiting_n ? o->waiting_n - served : 1;
}

void origin_dial_failed(struct origin *o, uint64_t started_ns, enum err e, const char *why)
{
    stat_add(&o->client->stats.connect_failures_total, 1);
    for (unsigned left = calls_to_fail(o); left && o->waiting_n; left--) {
        struct call *c = CONTAINER_OF(o->waiting.next, struct call, link);
        if (c->times.started > started_ns)
            break;
        take_from_line(o, c);
        call_fail(c, e, why);
    }
    origin_pump_soon(o);
}

/* ---- origins ---- */

static char *copy_string(const char *s)
{
    char *copy = s ? strdup(s) : NULL;
    CHECK(!s || copy);
    return copy;
}

/* "[::1]" is a host in a URL; the resolver wants it bare. */
static char *copy_host(const char *s)
{
    size_t n = s ? strlen(s) : 0;
    char *copy = copy_string(n > 2 && s[0] == '[' && s[n - 1] == ']' ? s + 1 : s);
    if (copy && copy[0] && copy[strlen(copy) - 1] == ']')
        copy[strlen(copy) - 1] = 0;
    return copy;
}

static char *authority_of(const struct origin_options *o)
{
    if (!o->host)
        return copy_string("localhost");
    bool is_v6 = strchr(o->host, ':') != NULL, is_default = o->port == (o->tls ? 443 : 80);
    char port[8] = "", text[300];
    if (!is_default)
        snprintf(port, sizeof port, ":%u", o->port);
    snprintf(text, sizeof text, "%s%s%s%s", is_v6 ? "[" : "", o->host, is_v6 ? "]" : "", port);
    return copy_string(text);
}

static void fill_defaults(struct origin_options *o)
{
    o->connections_max = o->connections_max ? o->connections_max : CONNECTIONS_MAX;
    o->waiting_max = o->waiting_max ? o->waiting_max : WAITING_MAX;
    o->idle_max = o->idle_max ? o->idle_max : IDLE_MAX;
    o->idle_timeout_ns = o->idle_timeout_ns ? o->idle_timeout_ns : IDLE_TIMEOUT_NS;
    o->connect_timeout_ns = o->connect_timeout_ns ? o->connect_timeout_ns : CONNECT_TIMEOUT_NS;
}

static void copy_options(struct origin *o, const struct origin_options *options)
{
    struct origin_options *mine = &o->options;
    *mine = *options;
    mine->host = copy_host(options->host);
    mine->unix_path = copy_string(options->unix_path);
    mine->proxy_host = copy_host(options->proxy_host);
    mine->proxy_authorization = copy_string(options->proxy_authorization);
    mine->tls_context = options->tls ? tls_context_ref(options->tls_context) : NULL;
    fill_defaults(mine);
    o->authority = authority_of(mine);
}

struct origin *client_origin(struct client *c, const struct origin_options *options)
{
    CHECK_MAGIC(c, CLIENT_MAGIC);
    CHECK((options->host || options->unix_path) && (!options->tls || options->tls_context));
    struct origin *o = calloc(1, sizeof *o);
    CHECK(o);
    o->magic = ORIGIN_MAGIC;
    o->client = c;
    copy_options(o, options);
    o->speaks = options->http == ORIGIN_H2 ? SPEAKS_H2 : options->tls && options->http == ORIGIN_AUTO ? SPEAKS_UNKNOWN : SPEAKS_H1;
    o->h2_streams_max = H2_STREAMS_GUESS;
    list_init(&o->idle);
    list_init(&o->busy);
    list_init(&o->h2);
    list_init(&o->dials);
    list_init(&o->waiting);
    list_init(&o->loose);
    task_init(&o->pump, pump, o);
    timer_init(&o->idle_timer, c->loop, idle_timer, o);
    list_push_back(&c->origins, &o->link);
    return o;
}

static void origin_free(struct origin *o)
{
    CHECK(o->users == 0);
    list_remove(&o->link);
    task_cancel(&o->pump);
    timer_clear(&o->idle_timer);
    tls_context_unref(o->options.tls_context);
    free((char *)(uintptr_t)o->options.host);
    free((char *)(uintptr_t)o->options.unix_path);
    free((char *)(uintptr_t)o->options.proxy_host);
    free((char *)(uintptr_t)o->options.proxy_authorization);
    free(o->authority);
    o->magic = 0;
    free(o);
}

void origin_unuse(struct origin *o)
{
    CHECK(o->users > 0);
    if (--o->users == 0 && o->retired)
        o->client->reap_due = o->client->origins_due = true;
}

void origin_retire(struct origin *o)
{
    CHECK_MAGIC(o, ORIGIN_MAGIC);
    CHECK(!o->retired);
    client_enter(o->client);
    o->retired = true;
    o->client->reap_due = o->client->origins_due = true;
    close_idle(o);
    client_leave(o->client);
}

/* ---- calls ---- */

struct call *call_start(struct origin *o, const struct call_options *options)
{
    CHECK_MAGIC(o, ORIGIN_MAGIC);
    struct conn *n;
    struct call *c = call_new(o, options);
    const char *why = h1_refuses_head(c);
    if (why)
        call_fail_soon(c, ERR_INTERNAL, why);
    else if (o->retired)
        call_fail_soon(c, ERR_DRAINING, "the provider's configuration was replaced");
    else if (o->waiting_n == 0 && (n = take_free_conn(o)) != NULL)
        send_call(n, c);
    else if (o->waiting_n >= o->options.waiting_max)
        call_fail_soon(c, ERR_OVERLOADED, "too many requests wait for a connection to this provider");
    else {
        list_push_back(&o->waiting, &c->link);
        o->waiting_n++;
        origin_pump_soon(o);
    }
    return c;
}

/* ---- the client ---- */

struct client *client_new(struct loop *l)
{
    struct client *c = calloc(1, sizeof *c);
    CHECK(c);
    c->magic = CLIENT_MAGIC;
    c->loop = l;
    list_init(&c->origins);
    list_init(&c->free_calls);
    list_init(&c->free_conns);
    list_init(&c->dead_calls);
    list_init(&c->dead_conns);
    list_init(&c->dead_dials);
    return c;
}

void client_reap(struct client *c)
{
    struct list *link;
    c->reap_due = false;
    while ((link = list_pop_front(&c->dead_calls)) != NULL)
        call_free(CONTAINER_OF(link, struct call, link));
    while ((link = list_pop_front(&c->dead_conns)) != NULL)
        conn_free(CONTAINER_OF(link, struct conn, link));
    while ((link = list_pop_front(&c->dead_dials)) != NULL)
        dial_free(link);
    if (!c->origins_due)
        return;
    c->origins_due = false;
    LIST_FOR_EACH_SAFE (at, &c->origins) {
        struct origin *o = CONTAINER_OF(at, struct origin, link);
        if (o->retired && o->users == 0)
            origin_free(o);
    }
}

static void end_calls(struct list *calls)
{
    while (!list_is_empty(calls))
        call_end_quietly(CONTAINER_OF(calls->next, struct call, link));
}

static void end_conns(struct list *conns)
{
    while (!list_is_empty(conns)) {
        struct conn *n = CONTAINER_OF(conns->next, struct conn, link);
        struct call *c = n->state == CONN_H2 ? h2_any_call(n) : n->call;
        if (c)
            call_end_quietly(c); /* takes an h1 connection with it */
        else
            conn_close(n, false);
    }
}

static void origin_end(struct origin *o)
{
    o->retired = true;
    end_calls(&o->waiting);
    end_calls(&o->loose);
    dial_cancel_all(o);
    end_conns(&o->busy);
    end_conns(&o->h2);
    end_conns(&o->idle);
}

static void free_all(struct list *links, size_t offset)
{
    for (struct list *link; (link = list_pop_front(links)) != NULL;)
        free((char *)link - offset);
}

void client_free(struct client *c)
{
    if (!c)
        return;
    CHECK_MAGIC(c, CLIENT_MAGIC);
    CHECK(c->depth == 0);
    client_enter(c);
    LIST_FOR_EACH (link, &c->origins)
        origin_end(CONTAINER_OF(link, struct origin, link));
    c->reap_due = true;
    client_leave(c);
    LIST_FOR_EACH_SAFE (link, &c->origins)
        origin_free(CONTAINER_OF(link, struct origin, link));
    free_all(&c->free_calls, offsetof(struct call, link));
    free_all(&c->free_conns, offsetof(struct conn, link));
    c->magic = 0;
    free(c);
}

void client_close_idle(struct client *c)
{
    CHECK_MAGIC(c, CLIENT_MAGIC);
    client_enter(c);
    LIST_FOR_EACH (link, &c->origins)
        close_idle(CONTAINER_OF(link, struct origin, link));
    client_leave(c);
}

const struct client_stats *client_stats(const struct client *c) { return &c->stats; }
