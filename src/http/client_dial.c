/* SPDX-License-Identifier: Apache-2.0
 *
 * The making of one connection: names, happy eyeballs (RFC 8305), the proxy's CONNECT, TLS. It belongs to an origin and not to a call:
 * whoever is first in line when it is done gets it.
 *
 *   RESOLVING -> CONNECTING -+-> TUNNEL --+-> TLS --+-> origin_dial_succeeded
 *       ^            |       +------------+---------+
 *       +------------+ all remembered addresses failed: the name is asked once more
 *
 * Every arrow may instead lead to origin_dial_failed; one deadline covers all of it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/client_private.h"

#define DIAL_MAGIC MAGIC('D', 'I', 'A', 'L')

enum dial_stage {
    DIAL_NEW,
    DIAL_RESOLVING,
    DIAL_CONNECTING, /* up to one sock for each address, begun 250 ms apart */
    DIAL_TUNNEL,     /* CONNECT was sent to the proxy */
    DIAL_TLS,
    DIAL_OVER,       /* told; the struct waits for client_leave */
};

struct dial {
    unsigned magic;
    enum dial_stage stage;
    struct origin *origin;
    struct list link;
    uint64_t started_ns;
    struct timer deadline, stagger;
    struct resolve query;                  /* its addresses are those that are tried */
    bool from_cache;
    unsigned next;                         /* address to try */
    unsigned pending;                      /* socks that are still connecting */
    struct sock *sock[RESOLVE_ADDRESSES];
    bool failed[RESOLVE_ADDRESSES];
    struct sock_address peer;
    struct transport transport;            /* from TUNNEL on */
    struct buf request, answer;            /* of CONNECT */
    size_t scanned;
    char why[CLIENT_WHY_BYTES];
    size_t why_n;
};

static void connect_next(struct dial *d);
static void resolve_name(struct dial *d);

static const char *peer_host(const struct origin_options *o) { return o->proxy_host ? o->proxy_host : o->host; }
static uint16_t peer_port(const struct origin_options *o) { return o->proxy_host ? o->proxy_port : o->port; }

static PRINTF_LIKE(2, 3) void add_why(struct dial *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(d->why + d->why_n, sizeof d->why - d->why_n, format, args);
    va_end(args);
    d->why_n += n < 0 ? 0 : (size_t)n < sizeof d->why - d->why_n ? (size_t)n : sizeof d->why - d->why_n - 1;
}

/* ---- the end ---- */

static void close_socks(struct dial *d)
{
    for (unsigned i = 0; i < RESOLVE_ADDRESSES; i++) {
        sock_close(d->sock[i]);
        d->sock[i] = NULL;
    }
    d->pending = 0;
}

/* Out of every list and timer; what it opened is closed, but for a transport that was taken. */
static void dial_end(struct dial *d)
{
    struct origin *o = d->origin;
    o->resolving_n -= d->stage == DIAL_RESOLVING;
    d->stage = DIAL_OVER;
    timer_clear(&d->deadline);
    timer_clear(&d->stagger);
    resolve_cancel(&d->query);
    close_socks(d);
    if (d->transport.sock)
        transport_abort(&d->transport);
    buf_fini(&d->request);
    buf_fini(&d->answer);
    list_remove(&d->link);
    o->dials_n--;
    list_push_back(&o->client->dead_dials, &d->link);
    o->client->reap_due = true;
}

void dial_free(struct list *link)
{
    struct dial *d = CONTAINER_OF(link, struct dial, link);
    origin_unuse(d->origin);
    d->magic = 0;
    free(d);
}

void dial_cancel_all(struct origin *o)
{
    while (!list_is_empty(&o->dials))
        dial_end(CONTAINER_OF(o->dials.next, struct dial, link));
}

static void dial_failed(struct dial *d, enum err e)
{
    dial_end(d);
    origin_dial_failed(d->origin, d->started_ns, e, d->why);
}

static void dial_timed_out(void *owner)
{
    static const char *const doing[] = {"beginning with", "resolving the name of", "connecting to", "asking the proxy for", "the TLS handshake with"};
    struct dial *d = owner;
    CHECK_MAGIC(d, DIAL_MAGIC);
    struct origin *o = d->origin;
    client_enter(o->client);
    CHECK(d->stage < DIAL_OVER);
    o->addresses = 0;
    d->why_n = 0;
    add_why(d, "%s %s took longer than %llu ms", doing[d->stage], o->authority, (unsigned long long)(o->options.connect_timeout_ns / NS_PER_MS));
    dial_failed(d, ERR_CONNECT_TIMEOUT);
    client_leave(o->client);
}

static void dial_succeeded(struct dial *d)
{
    struct origin *o = d->origin;
    bool is_h2 = o->options.tls ? transport_alpn_is_h2(&d->transport) : o->options.http == ORIGIN_H2;
    if (o->options.http == ORIGIN_H2 && !is_h2) {
        add_why(d, "%s does not offer HTTP/2 by ALPN", o->authority);
        dial_failed(d, ERR_TLS);
        return;
    }
    stat_add(&o->client->stats.connects_total, 1);
    if (o->options.tls && transport_is_resumed(&d->transport))
        stat_add(&o->client->stats.tls_resumed_total, 1);
    struct conn *n = conn_new(o, d->transport, &d->peer);
    d->transport = (struct transport){0};
    dial_end(d);
    origin_dial_succeeded(o, n, is_h2);
}

/* ---- TLS ---- */

static void shake_hands(struct dial *d)
{
    enum err e = transport_handshake(&d->transport);
    if (e == ERR_AGAIN)
        return;
    if (e == ERR_OK) {
        dial_succeeded(d);
        return;
    }
    const char *why = e == ERR_TLS ? transport_why(&d->transport) : "the connection was closed";
    add_why(d, "TLS with %s: %s", d->origin->authority, why);
    dial_failed(d, ERR_TLS);
}

static void start_tls(struct dial *d)
{
    const struct origin_options *o = &d->origin->options;
    if (!o->tls) {
        dial_succeeded(d);
        return;
    }
    d->stage = DIAL_TLS;
    if (transport_init_client(&d->transport, d->transport.sock, o->tls_context, o->host ? o->host : "localhost") == ERR_OK) {
        shake_hands(d);
        return;
    }
    add_why(d, "TLS with %s could not be set up", d->origin->authority);
    dial_failed(d, ERR_TLS);
}

/* ---- the proxy's tunnel ---- */

static bool wants_tunnel(const struct origin_options *o) { return o->proxy_host && (o->tls || o->http == ORIGIN_H2); }

static void tunnel_failed(struct dial *d, const char *what)
{
    add_why(d, "the proxy %s:%u %s", d->origin->options.proxy_host, d->origin->options.proxy_port, what);
    dial_failed(d, ERR_PROXY);
}

static void send_connect(struct dial *d)
{
    struct span rest = buf_span(&d->request);
    if (!rest.n)
        return;
    ssize_t w = transport_writev(&d->transport, &(struct iovec){(char *)(uintptr_t)rest.p, rest.n}, 1);
    if (w > 0)
        buf_consume(&d->request, (size_t)w);
    else if (w != -(ssize_t)ERR_AGAIN)
        tunnel_failed(d, "closed the connection");
}

static void judge_tunnel(struct dial *d)
{
    struct h1_head head;
    const char *why = "";
    enum err e = h1_parse_response(buf_span(&d->answer), &d->scanned, true, &head, &why);
    if (e == ERR_AGAIN)
        return;
    if (e != ERR_OK) {
        tunnel_failed(d, why);
    } else if (head.head.status < 200 || head.head.status > 299) {
        char what[48];
        snprintf(what, sizeof what, "answered %d to CONNECT", head.head.status);
        tunnel_failed(d, what);
    } else if (head.bytes < buf_bytes(&d->answer)) {
        tunnel_failed(d, "sent bytes before the tunnel was used");
    } else {
        buf_fini(&d->answer);
        start_tls(d);
    }
}

static void read_tunnel(struct dial *d)
{
    while (d->stage == DIAL_TUNNEL) {
        ssize_t got = transport_read(&d->transport, http_scratch, sizeof http_scratch);
        if (got == -(ssize_t)ERR_AGAIN)
            return;
        if (got <= 0)
            tunnel_failed(d, "closed the connection");
        else if (buf_append(&d->answer, span_of(http_scratch, (size_t)got)) != ERR_OK)
            tunnel_failed(d, "sent a head that is too large");
        else
            judge_tunnel(d);
    }
}

static void start_tunnel(struct dial *d)
{
    const struct origin_options *o = &d->origin->options;
    bool v6 = strchr(o->host, ':') != NULL;
    const char *open = v6 ? "[" : "", *close = v6 ? "]" : "", *authorization = o->proxy_authorization;
    d->stage = DIAL_TUNNEL;
    enum err e = buf_printf(&d->request, "CONNECT %s%s%s:%u HTTP/1.1\r\nHost: %s%s%s:%u\r\n%s%s%s\r\n", open, o->host, close, o->port, open, o->host,
                            close, o->port, authorization ? "Proxy-Authorization: " : "", authorization ? authorization : "", authorization ? "\r\n" : "");
    if (e == ERR_OK)
        send_connect(d);
    else
        tunnel_failed(d, "cannot be asked: the name is too long");
}

/* ---- happy eyeballs ---- */

/* The next dial begins with the addresses that worked. */
static void remember_failures(struct dial *d)
{
    struct origin *o = d->origin;
    unsigned n = 0;
    if (!o->addresses)
        return;
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < d->query.addresses; i++)
            if (d->failed[i] == (pass == 1))
                o->address[n++] = d->query.address[i];
    o->addresses = n;
}

static void connected(struct dial *d, unsigned nth)
{
    transport_init_plain(&d->transport, d->sock[nth]);
    d->sock[nth] = NULL;
    d->peer = d->query.address[nth];
    d->why_n = 0;
    close_socks(d);
    timer_clear(&d->stagger);
    remember_failures(d);
    if (wants_tunnel(&d->origin->options))
        start_tunnel(d);
    else
        start_tls(d);
}

static void all_failed(struct dial *d)
{
    d->origin->addresses = 0; /* the name may have moved */
    if (d->from_cache) {
        d->why_n = 0;
        resolve_name(d);
    } else {
        dial_failed(d, ERR_CONNECT);
    }
}

static void connect_failed(struct dial *d, unsigned nth, int error)
{
    char text[64];
    struct span address = sock_address_text(&d->query.address[nth], text, sizeof text);
    d->failed[nth] = true;
    add_why(d, "%s%.*s: %s", d->why_n ? "; " : "no connection to ", SPAN_ARG(address), error ? strerror(error) : "refused or unreachable");
}

static void connect_sock_ready(struct dial *d, struct sock *s)
{
    unsigned nth = 0;
    while (d->sock[nth] != s)
        CHECK(++nth < RESOLVE_ADDRESSES);
    errno = 0;
    enum err e = sock_connect_result(s);
    if (e == ERR_AGAIN)
        return;
    if (e == ERR_OK) {
        connected(d, nth);
        return;
    }
    connect_failed(d, nth, errno);
    sock_close(s);
    d->sock[nth] = NULL;
    d->pending--;
    connect_next(d);
}

static void dial_ready(struct sock *s, unsigned events)
{
    struct dial *d = s->owner;
    CHECK_MAGIC(d, DIAL_MAGIC);
    struct client *client = d->origin->client;
    client_enter(client);
    if (d->stage == DIAL_CONNECTING)
        connect_sock_ready(d, s);
    else if (d->stage == DIAL_TLS)
        shake_hands(d);
    if (d->stage == DIAL_TUNNEL && (events & SOCK_WRITABLE))
        send_connect(d);
    if (d->stage == DIAL_TUNNEL && (events & SOCK_READABLE))
        read_tunnel(d);
    client_leave(client);
}

static bool connect_one(struct dial *d, unsigned nth)
{
    errno = 0;
    enum err e = sock_connect(d->origin->client->loop, &d->query.address[nth], &d->sock[nth]);
    if (e != ERR_OK) {
        d->sock[nth] = NULL;
        connect_failed(d, nth, errno);
        return false;
    }
    d->sock[nth]->on_ready = dial_ready;
    d->sock[nth]->owner = d;
    d->pending++;
    return true;
}

/* Begins one more attempt, now because the last one failed or its 250 ms are over. */
static void connect_next(struct dial *d)
{
    while (d->next < d->query.addresses)
        if (connect_one(d, d->next++)) {
            if (d->next < d->query.addresses)
                timer_set_in(&d->stagger, CLIENT_STAGGER_NS);
            return;
        }
    timer_clear(&d->stagger);
    if (!d->pending)
        all_failed(d);
}

static void stagger_over(void *owner)
{
    struct dial *d = owner;
    CHECK_MAGIC(d, DIAL_MAGIC);
    struct client *client = d->origin->client;
    client_enter(client);
    connect_next(d);
    client_leave(client);
}

/* ---- names ---- */

static void start_connecting(struct dial *d)
{
    d->stage = DIAL_CONNECTING;
    d->next = 0;
    memset(d->failed, 0, sizeof d->failed);
    connect_next(d);
}

static void resolved(struct resolve *r)
{
    struct dial *d = r->owner;
    CHECK_MAGIC(d, DIAL_MAGIC);
    struct origin *o = d->origin;
    client_enter(o->client);
    if (r->error != ERR_OK || !r->addresses) {
        add_why(d, "the name %s could not be resolved", r->host);
        dial_failed(d, ERR_DNS);
    } else {
        memcpy(o->address, r->address, r->addresses * sizeof r->address[0]);
        o->addresses = r->addresses;
        o->addresses_until_ns = loop_now_ns(o->client->loop) + r->ttl_ns;
        o->resolving_n--;
        origin_pump_soon(o);
        start_connecting(d);
    }
    client_leave(o->client);
}

static void resolve_name(struct dial *d)
{
    const struct origin_options *o = &d->origin->options;
    d->stage = DIAL_RESOLVING;
    d->origin->resolving_n++;
    d->from_cache = false;
    d->query = (struct resolve){.loop = d->origin->client->loop, .host = peer_host(o), .port = peer_port(o), .on_done = resolved, .owner = d};
    stat_add(&d->origin->client->stats.resolves_total, 1);
    resolve_start(&d->query);
}

static void use_path(struct dial *d, const char *path)
{
    char text[128];
    int n = snprintf(text, sizeof text, "unix:%s", path);
    if (n > 0 && (size_t)n < sizeof text && sock_address_parse(span_str(text), &d->query.address[0]) == ERR_OK) {
        d->query.addresses = 1;
        start_connecting(d);
        return;
    }
    add_why(d, "the path %s cannot be a socket's", path);
    dial_failed(d, ERR_CONNECT);
}

static void use_cache(struct dial *d)
{
    struct origin *o = d->origin;
    memcpy(d->query.address, o->address, o->addresses * sizeof o->address[0]);
    d->query.addresses = o->addresses;
    d->from_cache = true;
    start_connecting(d);
}

void dial_start(struct origin *o)
{
    struct dial *d = calloc(1, sizeof *d);
    CHECK(d);
    d->magic = DIAL_MAGIC;
    d->origin = o;
    d->started_ns = loop_now_ns(o->client->loop);
    buf_init(&d->request, 16 * KIB);
    buf_init(&d->answer, LIMIT_HEAD_BYTES);
    timer_init(&d->deadline, o->client->loop, dial_timed_out, d);
    timer_init(&d->stagger, o->client->loop, stagger_over, d);
    timer_set_in(&d->deadline, o->options.connect_timeout_ns);
    list_push_back(&o->dials, &d->link);
    o->dials_n++;
    o->users++;
    if (o->options.unix_path && !o->options.proxy_host)
        use_path(d, o->options.unix_path);
    else if (o->addresses && loop_now_ns(o->client->loop) < o->addresses_until_ns)
        use_cache(d);
    else
        resolve_name(d);
}
