/* SPDX-License-Identifier: Apache-2.0
 *
 * One turn: wait, clock, timers, readiness, messages, deferred tasks; and the three queues behind it.
 * The complication is the lazy timer: the heap may hold a timer earlier than its deadline, never later, and finds out when
 * that time comes. A connection that pushes its idle deadline back on every request so costs one store, not a heap move.
 */
#include "io/backend.h"

#include <stdlib.h>

#include "base/random.h"
#include "io/loop.h"

#define LOOP_MAGIC MAGIC('L', 'O', 'O', 'P')
#define HEAP_CHILDREN 4u /* four children share a cache line: half the levels of a binary heap for the same lines read */
#define HEAP_FIRST 64u

struct heap_slot {
    uint64_t at_ns; /* copy of timer->queued_ns, so that comparing stays inside the array */
    struct timer *timer;
};

struct message {
    struct message *next;
    message_fn *fn;
    void *owner;
    void *m;
};

/*
 * Invariants:
 * 1. heap[i].timer->heap_at == i + 1, and heap[i].at_ns == heap[i].timer->queued_ns <= heap[i].timer->deadline_ns.
 * 2. A timer is in the heap exactly when its deadline is not UINT64_MAX.
 * 3. inbox is a stack, newest first; whoever pushes onto an empty one wakes the loop, and only that one.
 */
struct loop {
    const struct io_backend *backend;
    void *world;
    uint64_t now_ns;
    int64_t wall_us;
    struct heap_slot *heap;
    unsigned heap_used, heap_room;
    unsigned socks;
    unsigned magic;
    bool stopping;
    struct list deferred;
    struct random random;
    struct message *inbox; /* atomic; shared with every thread, so on a line of its own below what the loop writes */
};

const struct io_backend *loop_backend(const struct loop *l) { return l->backend; }
void *loop_world(const struct loop *l) { return l->world; }
uint64_t loop_now_ns(const struct loop *l) { return l->now_ns; }
int64_t loop_wall_us(const struct loop *l) { return l->wall_us; }
uint64_t loop_clock_ns(struct loop *l) { return l->backend->monotonic_ns(l->world); }
unsigned loop_socks(const struct loop *l) { return l->socks; }
unsigned loop_timers(const struct loop *l) { return l->heap_used; }

void loop_count_sock(struct loop *l, int change)
{
    CHECK(change >= 0 || l->socks >= (unsigned)-change);
    l->socks += (unsigned)change;
}

uint64_t loop_random(struct loop *l) { return random_next(&l->random); }

static void read_clock(struct loop *l)
{
    uint64_t now_ns = l->backend->monotonic_ns(l->world);
    if (now_ns > l->now_ns)
        l->now_ns = now_ns; /* a monotonic clock that steps back is not believed */
    l->wall_us = l->backend->wall_us(l->world);
}

struct loop *loop_new(const struct io_backend *backend, void *backend_state)
{
    struct loop *l = calloc(1, sizeof *l);
    CHECK(l);
    l->magic = LOOP_MAGIC;
    l->backend = backend;
    list_init(&l->deferred);
    l->world = backend->open(l, backend_state);
    CHECK(l->world);
    random_init(&l->random, backend->seed(l->world));
    read_clock(l);
    return l;
}

static struct message *inbox_take(struct loop *l)
{
    struct message *newest = __atomic_exchange_n(&l->inbox, NULL, __ATOMIC_ACQUIRE), *oldest = NULL;
    while (newest) {
        struct message *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    CHECK_MAGIC(l, LOOP_MAGIC);
    l->backend->close(l, l->world); /* may still clear timers of its own */
    CHECK(l->socks == 0);
    CHECK(l->heap_used == 0);
    CHECK(list_is_empty(&l->deferred));
    for (struct message *m = inbox_take(l), *next; m; m = next) {
        next = m->next;
        free(m);
    }
    free(l->heap);
    l->magic = 0;
    free(l);
}

/* The heap. */

static void heap_put(struct loop *l, unsigned at, struct heap_slot slot)
{
    l->heap[at] = slot;
    slot.timer->heap_at = at + 1;
}

static void heap_up(struct loop *l, unsigned at, struct heap_slot slot)
{
    while (at > 0) {
        unsigned parent = (at - 1) / HEAP_CHILDREN;
        if (l->heap[parent].at_ns <= slot.at_ns)
            break;
        heap_put(l, at, l->heap[parent]);
        at = parent;
    }
    heap_put(l, at, slot);
}

static unsigned heap_least_child(const struct loop *l, unsigned at)
{
    unsigned first = at * HEAP_CHILDREN + 1, least = first;
    for (unsigned i = first + 1; i < first + HEAP_CHILDREN && i < l->heap_used; i++)
        if (l->heap[i].at_ns < l->heap[least].at_ns)
            least = i;
    return least;
}

static void heap_down(struct loop *l, unsigned at, struct heap_slot slot)
{
    while (at * HEAP_CHILDREN + 1 < l->heap_used) {
        unsigned child = heap_least_child(l, at);
        if (slot.at_ns <= l->heap[child].at_ns)
            break;
        heap_put(l, at, l->heap[child]);
        at = child;
    }
    heap_put(l, at, slot);
}

static void heap_add(struct loop *l, struct timer *t)
{
    if (l->heap_used == l->heap_room) {
        l->heap_room = l->heap_room ? l->heap_room * 2 : HEAP_FIRST;
        l->heap = realloc(l->heap, l->heap_room * sizeof *l->heap);
        CHECK(l->heap);
    }
    l->heap_used++;
    heap_up(l, l->heap_used - 1, (struct heap_slot){t->queued_ns, t});
}

static void heap_remove(struct loop *l, struct timer *t)
{
    unsigned at = t->heap_at - 1;
    CHECK(at < l->heap_used && l->heap[at].timer == t);
    t->heap_at = 0;
    struct heap_slot last = l->heap[--l->heap_used];
    if (at == l->heap_used)
        return;
    if (at > 0 && last.at_ns < l->heap[(at - 1) / HEAP_CHILDREN].at_ns)
        heap_up(l, at, last);
    else
        heap_down(l, at, last);
}

/* Timers. */

void timer_init(struct timer *t, struct loop *l, timer_fn *fn, void *owner)
{
    *t = (struct timer){.fn = fn, .owner = owner, .loop = l, .deadline_ns = UINT64_MAX};
}

void timer_set(struct timer *t, uint64_t deadline_ns)
{
    struct loop *l = t->loop;
    if (deadline_ns == UINT64_MAX) {
        timer_clear(t);
        return;
    }
    if (deadline_ns <= l->now_ns)
        deadline_ns = l->now_ns + 1;
    t->deadline_ns = deadline_ns;
    if (t->heap_at && deadline_ns >= t->queued_ns)
        return; /* it is found out when queued_ns comes */
    t->queued_ns = deadline_ns;
    if (t->heap_at)
        heap_up(l, t->heap_at - 1, (struct heap_slot){deadline_ns, t});
    else
        heap_add(l, t);
}

void timer_set_in(struct timer *t, uint64_t delay_ns)
{
    uint64_t now_ns = t->loop->now_ns;
    timer_set(t, delay_ns < UINT64_MAX - now_ns ? now_ns + delay_ns : UINT64_MAX);
}

void timer_clear(struct timer *t)
{
    t->deadline_ns = UINT64_MAX;
    if (t->heap_at)
        heap_remove(t->loop, t);
}

static void fire_first(struct loop *l)
{
    struct timer *t = l->heap[0].timer;
    if (t->deadline_ns > l->now_ns) { /* it was set later meanwhile: now it moves */
        t->queued_ns = t->deadline_ns;
        heap_down(l, 0, (struct heap_slot){t->queued_ns, t});
        return;
    }
    timer_clear(t);
    t->fn(t->owner);
}

void loop_tick(struct loop *l)
{
    read_clock(l);
    while (l->heap_used && l->heap[0].at_ns <= l->now_ns)
        fire_first(l);
}

/* Deferred tasks. */

void task_init(struct task *t, task_fn *fn, void *owner) { *t = (struct task){.fn = fn, .owner = owner}; }

void loop_defer(struct loop *l, struct task *t)
{
    if (!list_is_linked(&t->link))
        list_push_back(&l->deferred, &t->link);
}

void task_cancel(struct task *t) { list_remove(&t->link); }

static void run_deferred(struct loop *l)
{
    for (struct list *link; (link = list_pop_front(&l->deferred)) != NULL;) {
        struct task *t = CONTAINER_OF(link, struct task, link);
        t->fn(t->owner);
    }
}

/* Messages. */

enum err loop_post(struct loop *l, message_fn *fn, void *owner, void *m)
{
    struct message *message = malloc(sizeof *message);
    if (!message)
        return ERR_NO_MEMORY;
    *message = (struct message){NULL, fn, owner, m};
    struct message *top = __atomic_load_n(&l->inbox, __ATOMIC_RELAXED);
    do
        message->next = top;
    while (!__atomic_compare_exchange_n(&l->inbox, &top, message, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    if (!top) /* not message->next: the receiver may have freed it by now */
        l->backend->wake(l->world);
    return ERR_OK;
}

static void run_messages(struct loop *l)
{
    if (!__atomic_load_n(&l->inbox, __ATOMIC_RELAXED))
        return;
    for (struct message *m = inbox_take(l), *next; m; m = next) {
        next = m->next;
        m->fn(l, m->owner, m->m);
        free(m);
    }
}

/* Turns. */

uint64_t loop_next_ns(const struct loop *l)
{
    if (!list_is_empty(&l->deferred) || __atomic_load_n(&l->inbox, __ATOMIC_RELAXED))
        return 0;
    return l->heap_used ? l->heap[0].at_ns : UINT64_MAX;
}

void loop_turn(struct loop *l)
{
    l->backend->wait(l, l->world, loop_next_ns(l));
    run_messages(l);
    run_deferred(l);
}

void loop_run(struct loop *l)
{
    CHECK_MAGIC(l, LOOP_MAGIC);
    while (!l->stopping)
        loop_turn(l);
    l->stopping = false; /* it can be run again */
}

void loop_stop(struct loop *l) { l->stopping = true; }
