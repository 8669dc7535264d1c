/* SPDX-License-Identifier: Apache-2.0
 *
 * A simulated world: many loops (hosts or programs) in one thread, one clock, one seed. It is a second struct io_backend, so the
 * program above io/ runs in it unchanged; and since every choice comes from the seed, the same seed is the same run: same order
 * of events, same delays, same faults, same digest. (With TLS the bytes differ, and so may the digest where key types
 * make lengths differ, as ECDSA signatures do: use RSA or Ed25519 certificates where a run must be repeated.)
 */
#ifndef ENTENTE_SIM_NET_H
#define ENTENTE_SIM_NET_H

#include "io/backend.h"

struct sim_world;

/* Probabilities are in millionths. They may be changed while the world runs; a connection draws its fate when it is made. */
struct sim_options {
    uint64_t delay_least_ns, delay_most_ns;   /* one way, drawn per connection; each piece adds up to as much again */
    uint32_t buffer_least, buffer_most;       /* bytes that a direction holds, in flight and unread, before writes are refused */
    unsigned backlog;                         /* connections that wait to be accepted before more are refused */
    unsigned split_ppm;                       /* a read or an arriving piece is cut at a random byte */
    unsigned short_write_ppm;                 /* a write takes only a part although there is room */
    unsigned refuse_ppm;                      /* a connection attempt is refused */
    unsigned unanswered_ppm;                  /* a connection attempt is never answered */
    unsigned reset_ppm;                       /* a connection is reset after fault_bytes_most bytes at the latest */
    unsigned vanish_ppm;                      /* a connection goes silent after as many: nothing arrives any more, nobody is told */
    unsigned stall_ppm;                       /* a piece is late by up to stall_most_ns, and all after it */
    uint32_t fault_bytes_most;
    uint64_t stall_most_ns;
    unsigned resolve_fail_ppm;
};
struct sim_options sim_options_calm(void);   /* delays and splits, no faults */
struct sim_options sim_options_stormy(void); /* a little of every fault */

struct sim_world *sim_world_new(uint64_t seed, const struct sim_options *options); /* options NULL: calm */
void sim_world_free(struct sim_world *w); /* every loop must be gone: CHECKed */
struct sim_options *sim_world_options(struct sim_world *w);

/* A new loop of this world, to be freed with loop_free. name: for the trace; borrowed for as long as the loop lives. */
struct loop *sim_world_loop(struct sim_world *w, const char *name);

enum sim_end {
    SIM_TIME,    /* until_ns has come */
    SIM_IDLE,    /* nothing can happen any more: no timer, no message, nothing on the wire */
    SIM_STOPPED, /* sim_world_stop */
};
/* Runs all loops. Not from inside a callback. (loop_run and loop_turn work, too: while that loop waits, the others run.) */
enum sim_end sim_world_run(struct sim_world *w, uint64_t until_ns);
enum sim_end sim_world_run_for(struct sim_world *w, uint64_t ns);
void sim_world_stop(struct sim_world *w); /* from inside a callback: sim_world_run returns after this turn */

uint64_t sim_world_now_ns(const struct sim_world *w); /* starts at one second */
void sim_world_jump_wall(struct sim_world *w, int64_t by_us);
uint64_t sim_world_random(struct sim_world *w); /* for scenarios: drawn from the same seed */
bool sim_world_chance(struct sim_world *w, unsigned ppm);

/* Names. A name may be given several addresses; the port in the text is ignored ("10.0.0.7:0"). */
void sim_world_name(struct sim_world *w, const char *host, const char *address);
void sim_world_forget_name(struct sim_world *w, const char *host);

/* The loop's wire: while cut, nothing arrives there or leaves from there, and nobody is told. */
void sim_world_cut(struct loop *l, bool cut);
void sim_world_reset_all(struct loop *l); /* resets each connection that ends there, as a crashing host's peers see it */

/* What happened. */
unsigned sim_world_connections(const struct sim_world *w); /* with at least one open end */
uint64_t sim_world_digest(const struct sim_world *w);      /* of every event so far: equal runs have equal digests */
typedef void sim_trace_fn(void *owner, uint64_t now_ns, const char *loop_name, const char *what, uint64_t id, uint64_t number);
void sim_world_trace(struct sim_world *w, sim_trace_fn *fn, void *owner);

#endif
