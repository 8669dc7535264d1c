/* SPDX-License-Identifier: Apache-2.0
 *
 * The event loop of one thread: readiness, timers, deferred tasks, messages from other threads, the clock and randomness. All of
 * it sits behind struct io_backend, so that the same program runs on the kernel (io/epoll.c) and in a simulated world
 * (sim/sim_net.c) where one seed decides everything. Code above io/ reads no clock, socket, file or random number but through here.
 *
 * Order of one turn: wait for readiness or the next timer; read the clock once; timers due; readiness callbacks; messages;
 * deferred tasks (until none is left). Callbacks never nest.
 */
#ifndef ENTENTE_IO_LOOP_H
#define ENTENTE_IO_LOOP_H

#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/span.h"

struct loop;
struct io_backend; /* io/backend.h */

struct loop *loop_new(const struct io_backend *backend, void *backend_state); /* loop_new(io_epoll(), NULL) for the real one */
void loop_free(struct loop *l);   /* every sock, timer and task must be gone: CHECKed */
void loop_run(struct loop *l);    /* until loop_stop */
void loop_stop(struct loop *l);   /* from the loop's own thread */
void loop_turn(struct loop *l);   /* one turn; on the real backend it sleeps until loop_next_ns or readiness */
uint64_t loop_next_ns(const struct loop *l); /* when it wants a turn: 0 at once, UINT64_MAX only when something happens */

uint64_t loop_now_ns(const struct loop *l);  /* monotonic, as read at the start of this turn */
uint64_t loop_clock_ns(struct loop *l);      /* monotonic, read now; for measuring inside a turn */
int64_t loop_wall_us(const struct loop *l);  /* Unix time in microseconds at the start of this turn */
uint64_t loop_random(struct loop *l);        /* fast, seeded, not for secrets */

/* Timers. A timer that is set again to a later time costs nothing until it would have fired. A timer set to a time that has
 * passed fires in the next turn, never in this one, so that a callback that sets its own timer to now starves nobody. */
typedef void timer_fn(void *owner);
struct timer {
    timer_fn *fn;
    void *owner;
    struct loop *loop;
    uint64_t deadline_ns; /* when it is to fire; UINT64_MAX when it is not set */
    uint64_t queued_ns;   /* where it stands in the heap: never later than deadline_ns */
    unsigned heap_at;     /* 1-based; 0 when not in the heap */
};
void timer_init(struct timer *t, struct loop *l, timer_fn *fn, void *owner);
void timer_set(struct timer *t, uint64_t deadline_ns);
void timer_set_in(struct timer *t, uint64_t delay_ns);
void timer_clear(struct timer *t); /* safe when not set; must be called before the memory goes */

/* Deferred tasks: run once at the end of this turn (or of the next one when the loop sleeps). Scheduling twice is once. */
typedef void task_fn(void *owner);
struct task {
    struct list link;
    task_fn *fn;
    void *owner;
};
void task_init(struct task *t, task_fn *fn, void *owner);
void loop_defer(struct loop *l, struct task *t);
void task_cancel(struct task *t);

/* Messages from any thread. fn runs on the loop's thread; m belongs to the receiver from then on. Messages of one thread arrive
 * in their order. What is posted after the loop's last turn is never delivered: loop_free forgets it. */
typedef void message_fn(struct loop *l, void *owner, void *m);
enum err loop_post(struct loop *l, message_fn *fn, void *owner, void *m) MUST_CHECK; /* ERR_NO_MEMORY */

/* Is anything left that would keep the loop alive? For the accounting after each simulated run. */
unsigned loop_socks(const struct loop *l);
unsigned loop_timers(const struct loop *l);

#endif
