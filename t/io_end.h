/* SPDX-License-Identifier: Apache-2.0
 *
 * One end of a connection for tests: sends what it was given, keeps (or echoes) what it hears, and follows the rules of
 * edge-triggered socks exactly: it stops at ERR_AGAIN or at a short count, and waits for the next event. A world that forgets
 * an event so makes a test hang, which run_until turns into a failure. Works over plain socks and TLS, in every world.
 */
#ifndef ENTENTE_TEST_IO_END_H
#define ENTENTE_TEST_IO_END_H

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "io/tls.h"

struct end {
    struct transport t;
    enum err handshake;     /* AGAIN until it is over */
    const char *out;        /* borrowed */
    size_t out_bytes, out_at;
    char *in;
    size_t in_used, in_room;
    size_t read_most;       /* bytes asked for in one read */
    bool open;
    bool echo;              /* sends back all it hears, ends when the peer ends */
    bool finish;            /* half-closes after out */
    bool keep_open;         /* stays open after the peer's end */
    bool deaf;              /* reads nothing */
    bool finished, ended, broken;
    unsigned events;
    char why[120];          /* of a failed handshake */
};

static void end_close(struct end *e)
{
    if (e->open)
        transport_close(&e->t);
    e->open = false;
}

static void end_free(struct end *e)
{
    end_close(e);
    free(e->in);
    e->in = NULL;
}

static void end_write(struct end *e)
{
    const char *out = e->echo ? e->in : e->out;
    size_t bytes = e->echo ? e->in_used : e->out_bytes;
    while (e->out_at < bytes && !e->broken) {
        size_t half = (bytes - e->out_at) / 2; /* two parts, so that gathering is tried */
        struct iovec parts[2] = {{(char *)(uintptr_t)out + e->out_at, half}, {(char *)(uintptr_t)out + e->out_at + half, bytes - e->out_at - half}};
        ssize_t n = transport_writev(&e->t, parts, 2);
        if (n < 0) {
            e->broken = e->broken || n != -(ssize_t)ERR_AGAIN;
            return;
        }
        e->out_at += (size_t)n;
    }
    if (!e->finished && !e->broken && (e->echo ? e->ended : e->finish)) {
        e->finished = true;
        transport_shutdown_write(&e->t);
    }
}

static void end_read(struct end *e)
{
    while (!e->ended && !e->broken) {
        size_t room = e->read_most ? e->read_most : 64 * KIB;
        if (e->in_room - e->in_used < room)
            e->in = realloc(e->in, e->in_room = e->in_room * 2 + room);
        ssize_t n = transport_read(&e->t, e->in + e->in_used, room);
        e->ended = n == 0;
        e->broken = n < 0 && n != -(ssize_t)ERR_AGAIN;
        e->in_used += n > 0 ? (size_t)n : 0;
        if (n <= 0 || ((size_t)n < room && !e->t.sock->hangup))
            return;
    }
}

static void end_progress(struct end *e)
{
    if (e->handshake == ERR_AGAIN)
        e->handshake = transport_handshake(&e->t);
    if (e->handshake == ERR_AGAIN)
        return;
    if (e->handshake != ERR_OK) {
        snprintf(e->why, sizeof e->why, "%s", transport_why(&e->t));
        e->broken = true;
    } else {
        end_write(e);
        if (!e->deaf)
            end_read(e);
        end_write(e);
    }
    if (e->broken || (e->ended && e->finished && !e->keep_open))
        end_close(e);
}

static void end_ready(struct sock *s, unsigned events)
{
    struct end *e = s->owner;
    e->events |= events;
    end_progress(e);
}

/* e's settings are made before; takes s. */
static void end_start(struct end *e, struct sock *s, struct tls_context *c, const char *server_name)
{
    enum err error = ERR_OK;
    e->handshake = ERR_AGAIN;
    e->open = true;
    if (!c)
        transport_init_plain(&e->t, s);
    else if (server_name)
        error = transport_init_client(&e->t, s, c, server_name);
    else
        error = transport_init_server(&e->t, s, c);
    CHECK(error == ERR_OK);
    s->owner = e;
    s->on_ready = end_ready;
}

__attribute__((unused)) static void only_wake(void *owner) {}

static inline void say_it_is_over(void *is_over) { *(bool *)is_over = true; }

static inline void turn_for(struct loop *l, uint64_t ns)
{
    bool is_over = false;
    struct timer end;
    timer_init(&end, l, say_it_is_over, &is_over);
    timer_set_in(&end, ns);
    while (!is_over)
        loop_turn(l);
}

/* Turns the loop until *done or five seconds have passed. */
__attribute__((unused)) static bool run_until(struct loop *l, const bool *done)
{
    uint64_t give_up_ns = loop_clock_ns(l) + 5 * NS_PER_S;
    struct timer guard;
    timer_init(&guard, l, only_wake, NULL);
    timer_set(&guard, give_up_ns);
    while (!*done && loop_now_ns(l) < give_up_ns)
        loop_turn(l);
    timer_clear(&guard);
    return *done;
}

__attribute__((unused)) static bool run_until_closed(struct loop *l, const struct end *a, const struct end *b)
{
    uint64_t give_up_ns = loop_clock_ns(l) + 5 * NS_PER_S;
    struct timer guard;
    timer_init(&guard, l, only_wake, NULL);
    timer_set(&guard, give_up_ns);
    while ((a->open || b->open) && loop_now_ns(l) < give_up_ns)
        loop_turn(l);
    timer_clear(&guard);
    return !a->open && !b->open;
}

#endif
