/* SPDX-License-Identifier: Apache-2.0
 *
 * Simulated sockets: connections whose bytes take time, come in pieces, stop, are reset or vanish, as the seed says.
 *
 * The complication is to be exactly as edge-triggered as the kernel: whatever was left unread or unwritten after a short count
 * must be followed by an event, or a program that keeps the rules would hang here and nowhere else. So a read that is cut short
 * hides the rest until a nudge brings it, and a write that is cut short is followed by one.
 */
#include "sim/sim_world.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/limits.h"

/* Bytes on their way from one end to the other: at <= visible <= end. */
struct sim_pipe {
    char *bytes;
    size_t at;       /* read so far */
    size_t visible;  /* arrived so far; the rest is in flight, or hidden until a nudge */
    size_t end;      /* written so far */
    size_t room;     /* allocated */
    size_t capacity; /* most that may be written and not yet read */
    uint64_t last_ns; /* when the last piece arrives: pieces do not overtake each other */
    bool fin_sent, fin_arrived;
};

struct sim_sock {
    struct sock base;
    struct sim_ready ready;
    struct sim_loop *home; /* NULL when closed */
    enum { SIM_CONNECTING, SIM_CONNECTED, SIM_REFUSED, SIM_BROKEN } state;
    bool open;     /* not closed yet; an end that waits to be accepted is open, too */
    bool owned;    /* open, and no longer waiting: only then is there somebody to tell */
    bool starved;  /* the last write was cut short for lack of room: reading makes an event */
};

/*
 * Invariants:
 * 1. references = open ends + events under way. At zero the connection is freed.
 * 2. pipe[s] carries from end[s] to end[1 - s]. end[0] is who connected.
 */
struct sim_connection {
    struct sim_world *world;
    unsigned number, references;
    struct sim_sock end[2];
    struct sim_pipe pipe[2];
    struct sock_address to, from;
    uint64_t delay_ns;
    enum { FATE_KIND, FATE_RESET, FATE_VANISH } fate;
    size_t fate_at, carried; /* bytes */
    bool vanished;
    struct sim_connection *next_waiting;       /* in a listener's queue */
    struct sim_connection *next, **previous;   /* of the world's list, newest first */
};

struct sim_listener {
    struct listener base;
    struct sim_ready ready;
    struct sim_world *world;
    struct sock_address address;
    struct sim_connection *waiting; /* oldest first */
    unsigned waiting_count;
    bool accepting;
    struct sim_listener *next;      /* in order of creation */
};

/* Connections. */

static struct sim_sock *sim_of(const struct sock *s) { return CONTAINER_OF((struct sock *)(uintptr_t)s, struct sim_sock, base); }
static unsigned side_of(const struct sim_sock *s) { return (unsigned)s->base.fd & 1; }

static struct sim_connection *connection_of(const struct sim_sock *s)
{
    return CONTAINER_OF((struct sim_sock *)(uintptr_t)(s - side_of(s)), struct sim_connection, end);
}

void sim_connection_unref(struct sim_world *w, struct sim_connection *c)
{
    if (--c->references > 0)
        return;
    *c->previous = c->next;
    if (c->next)
        c->next->previous = c->previous;
    w->connections--;
    free(c->pipe[0].bytes);
    free(c->pipe[1].bytes);
    free(c);
}

static void end_open(struct sim_connection *c, unsigned side, struct sim_loop *home)
{
    struct sim_sock *s = &c->end[side];
    s->base = (struct sock){.loop = home->loop, .fd = (int)(2 * c->number + side)};
    s->home = home;
    s->open = true;
    c->references++;
}

static void end_wake(struct sim_sock *s)
{
    if (s->open && s->owned)
        sim_make_ready(s->home, &s->ready);
}

static void post(struct sim_connection *c, enum sim_kind kind, unsigned side, uint64_t at_ns, size_t bytes)
{
    c->references++;
    sim_schedule(c->world, (struct sim_event){.at_ns = at_ns, .kind = kind, .side = side, .connection = c, .bytes = bytes});
}

static void draw_fate(struct sim_connection *c)
{
    struct sim_world *w = c->world;
    const struct sim_options *o = &w->options;
    c->delay_ns = sim_between(w, o->delay_least_ns, o->delay_most_ns);
    c->pipe[0].capacity = sim_between(w, o->buffer_least, o->buffer_most);
    c->pipe[1].capacity = sim_between(w, o->buffer_least, o->buffer_most);
    c->fate_at = sim_between(w, 0, o->fault_bytes_most);
    if (sim_world_chance(w, o->reset_ppm))
        c->fate = FATE_RESET;
    else if (sim_world_chance(w, o->vanish_ppm))
        c->fate = FATE_VANISH;
}

static struct sock_address ephemeral_address(struct sim_loop *sl, uint16_t port)
{
    struct sock_address a = {.u.in = {AF_INET, htons(port), {10, 0, (uint8_t)sl->number, 1}}, .bytes = 16};
    return a;
}

enum err sim_connect(struct loop *l, const struct sock_address *to, struct sock **ret)
{
    struct sim_loop *sl = loop_world(l);
    struct sim_world *w = sl->world;
    struct sim_connection *c = calloc(1, sizeof *c);
    CHECK(c);
    c->world = w;
    c->number = ++w->connections_made;
    c->to = *to;
    c->from = ephemeral_address(sl, (uint16_t)(20000 + c->number % 20000));
    c->previous = &w->connections_list;
    c->next = w->connections_list;
    if (c->next)
        c->next->previous = &c->next;
    w->connections_list = c;
    w->connections++;
    draw_fate(c);
    end_open(c, 0, sl);
    c->end[0].owned = true;
    loop_count_sock(l, 1);
    if (!sim_world_chance(w, w->options.unanswered_ppm))
        post(c, SIM_SYN, 1, w->now_ns + c->delay_ns, 0);
    sim_note(w, sl, "connect", c->number, c->delay_ns);
    *ret = &c->end[0].base;
    return ERR_OK;
}

enum err sim_connect_result(struct sock *base)
{
    const struct sim_sock *s = sim_of(base);
    if (s->state == SIM_CONNECTING)
        return ERR_AGAIN;
    return s->state == SIM_REFUSED ? ERR_CONNECT : ERR_OK;
}

struct sock_address sim_peer(const struct sock *base)
{
    const struct sim_sock *s = sim_of(base);
    return side_of(s) == 0 ? connection_of(s)->to : connection_of(s)->from;
}

/* Bytes. */

static uint64_t arrival_ns(struct sim_connection *c, struct sim_pipe *p)
{
    struct sim_world *w = c->world;
    uint64_t at_ns = w->now_ns + c->delay_ns + sim_between(w, 0, c->delay_ns);
    if (sim_world_chance(w, w->options.stall_ppm))
        at_ns += sim_between(w, 0, w->options.stall_most_ns);
    p->last_ns = at_ns > p->last_ns ? at_ns : p->last_ns;
    return p->last_ns;
}

static void send_in_pieces(struct sim_connection *c, unsigned from, size_t bytes)
{
    while (bytes) {
        size_t piece = sim_world_chance(c->world, c->world->options.split_ppm) ? sim_between(c->world, 1, bytes) : bytes;
        post(c, SIM_DATA, 1 - from, arrival_ns(c, &c->pipe[from]), piece);
        bytes -= piece;
    }
}

static void pipe_reserve(struct sim_pipe *p, size_t more)
{
    if (p->at) {
        memmove(p->bytes, p->bytes + p->at, p->end - p->at);
        p->visible -= p->at;
        p->end -= p->at;
        p->at = 0;
    }
    if (p->room - p->end >= more)
        return;
    p->room = p->end + more;
    p->bytes = realloc(p->bytes, p->room);
    CHECK(p->bytes);
}

static void pipe_fill(struct sim_pipe *p, const struct iovec *parts, size_t bytes)
{
    pipe_reserve(p, bytes);
    for (; bytes; parts++) {
        size_t n = parts->iov_len < bytes ? parts->iov_len : bytes;
        if (n)
            memcpy(p->bytes + p->end, parts->iov_base, n);
        p->end += n;
        bytes -= n;
    }
}

ssize_t sim_writev(struct sock *base, const struct iovec *parts, int n)
{
    struct sim_sock *s = sim_of(base);
    CHECK(s->open);
    struct sim_connection *c = connection_of(s);
    struct sim_pipe *p = &c->pipe[side_of(s)];
    if (s->state == SIM_CONNECTING)
        return -(ssize_t)ERR_AGAIN;
    if (s->state != SIM_CONNECTED || p->fin_sent)
        return -(ssize_t)ERR_IO;
    size_t asked = 0, room = p->capacity - (p->end - p->at);
    for (int i = 0; i < n; i++)
        asked += parts[i].iov_len;
    size_t taken = asked < room ? asked : room;
    if (taken > 1 && sim_world_chance(c->world, c->world->options.short_write_ppm))
        taken = sim_between(c->world, 1, taken);
    pipe_fill(p, parts, taken);
    send_in_pieces(c, side_of(s), taken);
    if (taken < asked && taken < room)
        post(c, SIM_NUDGE, side_of(s), c->world->now_ns + sim_between(c->world, 1, NS_PER_MS), 0);
    s->starved = taken < asked && taken == room;
    sim_note(c->world, s->home, "write", c->number, taken);
    return taken || !asked ? (ssize_t)taken : -(ssize_t)ERR_AGAIN;
}

static void pipe_was_read(struct sim_connection *c, unsigned writer)
{
    struct sim_pipe *p = &c->pipe[writer];
    if (c->end[writer].starved && p->end - p->at <= p->capacity - p->capacity / 3) {
        c->end[writer].starved = false;
        post(c, SIM_NUDGE, writer, c->world->now_ns + c->delay_ns, 0);
    }
}

/* What came of the connection when there is nothing to read. */
static ssize_t read_nothing(const struct sim_sock *s, const struct sim_pipe *p)
{
    if (p->at == p->end && (s->state == SIM_REFUSED || s->state == SIM_BROKEN))
        return -(ssize_t)ERR_IO;
    return p->at == p->end && p->fin_arrived ? 0 : -(ssize_t)ERR_AGAIN;
}

ssize_t sim_read(struct sock *base, void *into, size_t bytes)
{
    struct sim_sock *s = sim_of(base);
    CHECK(s->open);
    struct sim_connection *c = connection_of(s);
    struct sim_pipe *p = &c->pipe[1 - side_of(s)];
    size_t there = p->visible - p->at, n = there < bytes ? there : bytes;
    if (n == 0)
        return read_nothing(s, p);
    if (n > 1 && sim_world_chance(c->world, c->world->options.split_ppm)) {
        n = sim_between(c->world, 1, n - 1);
        p->visible = p->at + n;
        post(c, SIM_NUDGE, side_of(s), c->world->now_ns + sim_between(c->world, 1, NS_PER_MS), there - n);
    }
    memcpy(into, p->bytes + p->at, n);
    p->at += n;
    pipe_was_read(c, 1 - side_of(s));
    sim_note(c->world, s->home, "read", c->number, n);
    return (ssize_t)n;
}

/* Ends. */

static void send_fin(struct sim_connection *c, unsigned from)
{
    struct sim_pipe *p = &c->pipe[from];
    if (p->fin_sent)
        return;
    p->fin_sent = true;
    post(c, SIM_FIN, 1 - from, arrival_ns(c, p), 0);
}

void sim_shutdown_write(struct sock *base)
{
    struct sim_sock *s = sim_of(base);
    CHECK(s->open);
    sim_note(s->home->world, s->home, "shutdown", connection_of(s)->number, 0);
    if (s->state == SIM_CONNECTED)
        send_fin(connection_of(s), side_of(s));
}

/* As in the kernel, unread bytes turn a close into a reset. */
static void end_close(struct sim_sock *s, bool reset)
{
    struct sim_connection *c = connection_of(s);
    const struct sim_pipe *inward = &c->pipe[1 - side_of(s)];
    sim_unready(s->home, &s->ready);
    s->open = false;
    s->home = NULL;
    s->base.on_ready = NULL;
    if (s->state == SIM_CONNECTED && (reset || inward->at < inward->visible))
        post(c, SIM_RESET, 1 - side_of(s), arrival_ns(c, &c->pipe[side_of(s)]), 0);
    else if (s->state == SIM_CONNECTED)
        send_fin(c, side_of(s));
    sim_connection_unref(c->world, c);
}

void sim_close_sock(struct sock *base, bool reset)
{
    struct sim_sock *s = sim_of(base);
    CHECK(s->open);
    sim_note(s->home->world, s->home, reset ? "abort" : "close", connection_of(s)->number, 0);
    loop_count_sock(base->loop, -1);
    end_close(s, reset);
}

static void end_break(struct sim_connection *c, unsigned side)
{
    struct sim_sock *s = &c->end[side];
    struct sim_pipe *inward = &c->pipe[1 - side];
    if (!s->open || s->state == SIM_BROKEN || s->state == SIM_REFUSED)
        return;
    s->state = s->state == SIM_CONNECTING ? SIM_REFUSED : SIM_BROKEN;
    inward->end = inward->visible; /* what was in flight is lost, what has arrived perhaps as well */
    if (sim_world_chance(c->world, 500000))
        inward->at = inward->visible;
    sim_note(c->world, s->home, "reset", c->number, side);
    end_wake(s);
}

void sim_world_reset_all(struct loop *l)
{
    struct sim_loop *sl = loop_world(l);
    for (struct sim_connection *c = sl->world->connections_list; c; c = c->next) {
        if (c->end[0].home != sl && c->end[1].home != sl)
            continue;
        end_break(c, 0);
        end_break(c, 1);
    }
}

/* Listeners. */

static bool address_matches(const struct sock_address *listening, const struct sock_address *to)
{
    static const uint8_t any[4];
    if (listening->bytes == to->bytes && memcmp(listening->u.bytes, to->u.bytes, to->bytes) == 0)
        return true;
    return listening->u.in.family == AF_INET && to->u.in.family == AF_INET && listening->u.in.port_be == to->u.in.port_be &&
           memcmp(listening->u.in.v4, any, sizeof any) == 0;
}

enum err sim_listen(struct loop *l, const struct sock_address *at, sock_accept_fn *fn, void *owner, struct listener **ret, const char **why)
{
    struct sim_loop *sl = loop_world(l);
    struct sim_listener *ln = calloc(1, sizeof *ln), **end = &sl->world->listeners;
    CHECK(ln);
    *ln = (struct sim_listener){
        .base = {l, fn, owner}, .ready.what = SIM_READY_LISTENER, .world = sl->world, .address = *at, .accepting = true};
    if (at->u.in.family != AF_UNIX && at->u.in.port_be == 0)
        ln->address.u.in.port_be = htons(sl->world->next_port++);
    while (*end)
        end = &(*end)->next;
    *end = ln;
    loop_count_sock(l, 1);
    sim_note(sl->world, sl, "listen", ntohs(ln->address.u.in.port_be), 0);
    *ret = &ln->base;
    return ERR_OK;
}

static struct sim_listener *listener_of(const struct listener *base)
{
    return CONTAINER_OF((struct listener *)(uintptr_t)base, struct sim_listener, base);
}

void sim_listener_set(struct listener *base, bool accepting)
{
    struct sim_listener *ln = listener_of(base);
    ln->accepting = accepting;
    if (accepting && ln->waiting)
        sim_make_ready(loop_world(base->loop), &ln->ready);
}

static struct sim_connection *waiting_take(struct sim_listener *ln)
{
    struct sim_connection *c = ln->waiting;
    ln->waiting = c->next_waiting;
    ln->waiting_count--;
    return c;
}

void sim_listener_close(struct listener *base)
{
    struct sim_listener *ln = listener_of(base), **at = &ln->world->listeners;
    sim_unready(loop_world(base->loop), &ln->ready);
    while (ln->waiting)
        end_close(&waiting_take(ln)->end[1], true);
    while (*at != ln)
        at = &(*at)->next;
    *at = ln->next;
    loop_count_sock(base->loop, -1);
    free(ln);
}

struct sock_address sim_listener_address(const struct listener *base) { return listener_of(base)->address; }

/* One at a time: the listener stays ready while others wait, and may be closed by the owner meanwhile. */
void sim_listener_tell(struct sim_loop *sl, struct sim_ready *r)
{
    struct sim_listener *ln = CONTAINER_OF(r, struct sim_listener, ready);
    if (!ln->accepting || !ln->waiting)
        return;
    struct sim_connection *c = waiting_take(ln);
    if (ln->waiting)
        sim_make_ready(sl, &ln->ready);
    loop_count_sock(sl->loop, 1);
    c->end[1].owned = true;
    end_wake(&c->end[1]);
    sim_note(sl->world, sl, "accept", c->number, 0);
    ln->base.fn(ln->base.owner, &c->end[1].base);
}

static struct sim_listener *draw_listener(struct sim_world *w, const struct sock_address *to)
{
    uint64_t candidates = 0;
    for (struct sim_listener *ln = w->listeners; ln; ln = ln->next)
        candidates += address_matches(&ln->address, to);
    if (!candidates)
        return NULL;
    uint64_t skip = sim_between(w, 0, candidates - 1);
    struct sim_listener *ln = w->listeners;
    for (; !address_matches(&ln->address, to) || skip--; ln = ln->next)
        continue;
    return ln;
}

static bool is_cut(const struct sim_connection *c)
{
    return (c->end[0].home && c->end[0].home->cut) || (c->end[1].home && c->end[1].home->cut);
}

/* Events. */

static void on_syn(struct sim_world *w, struct sim_connection *c)
{
    struct sim_listener *ln = draw_listener(w, &c->to), *busy = ln && ln->waiting_count >= w->options.backlog ? ln : NULL;
    if (is_cut(c) || !c->end[0].open || (ln && ((struct sim_loop *)loop_world(ln->base.loop))->cut))
        return;
    bool refused = !ln || busy || sim_world_chance(w, w->options.refuse_ppm);
    post(c, SIM_SYN_ANSWER, 0, w->now_ns + c->delay_ns, !refused);
    sim_note(w, ln ? loop_world(ln->base.loop) : NULL, refused ? "refused" : "syn", c->number, 0);
    if (refused)
        return;
    end_open(c, 1, loop_world(ln->base.loop));
    c->end[1].state = SIM_CONNECTED;
    struct sim_connection **last = &ln->waiting;
    while (*last)
        last = &(*last)->next_waiting;
    *last = c;
    ln->waiting_count++;
    sim_make_ready(c->end[1].home, &ln->ready);
}

/* The client left while the answer was under way: its end never got connected, so the other one is told now. */
static void on_syn_answer(struct sim_connection *c, bool connected)
{
    struct sim_sock *s = &c->end[0];
    if (!s->open && connected)
        end_break(c, 1);
    if (!s->open || s->state != SIM_CONNECTING || (connected && is_cut(c)))
        return;
    s->state = connected ? SIM_CONNECTED : SIM_REFUSED;
    end_wake(s);
}

/* True when the connection's fate has come, which may be in the middle of the piece. */
static bool meets_fate(struct sim_connection *c, size_t *bytes)
{
    c->carried += *bytes;
    if (c->fate == FATE_KIND || c->carried < c->fate_at)
        return false;
    size_t beyond = c->carried - c->fate_at;
    *bytes -= beyond < *bytes ? beyond : *bytes;
    return true;
}

static void on_data(struct sim_connection *c, unsigned side, size_t bytes)
{
    struct sim_sock *s = &c->end[side];
    struct sim_pipe *p = &c->pipe[1 - side];
    if (s->state == SIM_BROKEN)
        return;
    if (!s->open) { /* the peer has closed: it answers bytes with a reset */
        post(c, SIM_RESET, 1 - side, c->world->now_ns + c->delay_ns, 0);
        return;
    }
    bool fate = meets_fate(c, &bytes);
    p->visible += bytes;
    if (bytes)
        end_wake(s);
    sim_note(c->world, s->home, "data", c->number, bytes);
    if (!fate)
        return;
    c->vanished = true; /* after a reset, too, nothing more arrives */
    sim_note(c->world, s->home, c->fate == FATE_RESET ? "fate: reset" : "fate: vanish", c->number, side);
    if (c->fate == FATE_RESET) {
        end_break(c, 0);
        end_break(c, 1);
    }
}

static void on_nudge(struct sim_connection *c, unsigned side, size_t unhidden)
{
    struct sim_sock *s = &c->end[side];
    struct sim_pipe *p = &c->pipe[1 - side];
    size_t visible = p->visible + unhidden;
    p->visible = visible < p->end ? visible : p->end; /* a reset may have thrown it away */
    end_wake(s);
}

static void on_fin(struct sim_connection *c, unsigned side)
{
    struct sim_sock *s = &c->end[side];
    c->pipe[1 - side].fin_arrived = true;
    sim_note(c->world, s->home, "fin", c->number, side);
    end_wake(s);
}

void sim_net_event(struct sim_world *w, const struct sim_event *event)
{
    struct sim_connection *c = event->connection;
    if (event->kind == SIM_DATA || event->kind == SIM_FIN || event->kind == SIM_RESET) {
        c->vanished = c->vanished || is_cut(c); /* a stream cannot go on after a gap */
        if (c->vanished)
            return;
    }
    switch (event->kind) {
    case SIM_SYN: on_syn(w, c); break;
    case SIM_SYN_ANSWER: on_syn_answer(c, event->bytes != 0); break;
    case SIM_DATA: on_data(c, event->side, event->bytes); break;
    case SIM_FIN: on_fin(c, event->side); break;
    case SIM_RESET: end_break(c, event->side); break;
    case SIM_NUDGE: on_nudge(c, event->side, event->bytes); break;
    case SIM_RESOLVED: break; /* sim_world.c's own */
    }
}

/* Like the kernel, each event tells all that is so at that moment. */
void sim_sock_tell(struct sim_loop *sl, struct sim_ready *r)
{
    struct sim_sock *s = CONTAINER_OF(r, struct sim_sock, ready);
    const struct sim_connection *c = connection_of(s);
    const struct sim_pipe *inward = &c->pipe[1 - side_of(s)], *outward = &c->pipe[side_of(s)];
    bool over = s->state == SIM_REFUSED || s->state == SIM_BROKEN;
    unsigned ready = 0;
    if (inward->at < inward->visible)
        ready |= SOCK_READABLE;
    if (over || (s->state == SIM_CONNECTED && outward->end - outward->at < outward->capacity))
        ready |= SOCK_WRITABLE;
    if (over || inward->fin_arrived) {
        s->base.hangup = true;
        ready |= SOCK_HANGUP | SOCK_READABLE;
    }
    sim_note(sl->world, sl, "ready", c->number, ready);
    if (ready && ALWAYS(s->base.on_ready))
        s->base.on_ready(&s->base, ready);
}
