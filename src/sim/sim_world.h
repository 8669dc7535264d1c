/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of the simulated world, shared by its parts: sim_world.c (clock, scheduler, names), sim_net.c (sockets). Nobody else includes this.
 */
#ifndef ENTENTE_SIM_WORLD_H
#define ENTENTE_SIM_WORLD_H

#include "base/random.h"
#include "sim/sim_net.h"

struct sim_connection;
struct sim_listener;
struct sim_name;

enum sim_kind { SIM_SYN, SIM_SYN_ANSWER, SIM_DATA, SIM_FIN, SIM_RESET, SIM_NUDGE, SIM_RESOLVED };

struct sim_event {
    uint64_t at_ns, sequence; /* the heap's order: time, then age */
    enum sim_kind kind;
    unsigned side;            /* the end of the connection that it arrives at */
    struct sim_connection *connection; /* counted */
    struct sim_query *query;
    size_t bytes;
};

/* Something that a loop has to be told of in its turn: embedded in socks, listeners and queries. */
struct sim_ready {
    unsigned place; /* 1-based in the loop's list; 0 when not there */
    enum { SIM_READY_SOCK, SIM_READY_LISTENER, SIM_READY_QUERY } what;
};

struct sim_loop {
    struct sim_world *world;
    struct loop *loop;
    const char *name;
    unsigned number;          /* also its address: 10.0.n.1 */
    bool cut;
    struct sim_ready **ready;
    unsigned ready_used, ready_room;
    struct sim_loop *next;    /* in order of creation */
};

struct sim_query {
    struct sim_ready ready;
    struct resolve *resolve; /* NULL once cancelled */
};

struct sim_world {
    struct sim_options options;
    struct random random;
    uint64_t now_ns;
    int64_t wall_less_monotonic_us;
    uint64_t digest;
    bool stopping;
    struct loop *turning; /* whose turn it is; NULL between turns */
    struct sim_loop *loops;
    unsigned loops_made;
    struct sim_event *events;
    unsigned events_used, events_room;
    uint64_t sequence;
    struct sim_listener *listeners;
    struct sim_connection *connections_list;
    unsigned connections, connections_made;
    uint16_t next_port;
    struct sim_name *names;
    sim_trace_fn *trace;
    void *trace_owner;
};

/* sim_world.c */
uint64_t sim_between(struct sim_world *w, uint64_t least, uint64_t most); /* both included */
void sim_note(struct sim_world *w, const struct sim_loop *where, const char *what, uint64_t id, uint64_t number);
void sim_schedule(struct sim_world *w, struct sim_event event); /* sequence is filled in here */
void sim_make_ready(struct sim_loop *sl, struct sim_ready *r);
void sim_unready(struct sim_loop *sl, struct sim_ready *r);
const struct io_backend *sim_backend(void);

/* sim_net.c */
void sim_net_event(struct sim_world *w, const struct sim_event *event);
void sim_sock_tell(struct sim_loop *sl, struct sim_ready *r);
void sim_listener_tell(struct sim_loop *sl, struct sim_ready *r);
void sim_connection_unref(struct sim_world *w, struct sim_connection *c);
enum err sim_listen(struct loop *l, const struct sock_address *at, sock_accept_fn *fn, void *owner, struct listener **ret,
                    const char **why) MUST_CHECK;
void sim_listener_set(struct listener *ln, bool accepting);
void sim_listener_close(struct listener *ln);
struct sock_address sim_listener_address(const struct listener *ln);
enum err sim_connect(struct loop *l, const struct sock_address *to, struct sock **ret) MUST_CHECK;
enum err sim_connect_result(struct sock *s) MUST_CHECK;
struct sock_address sim_peer(const struct sock *s);
ssize_t sim_read(struct sock *s, void *into, size_t bytes);
ssize_t sim_writev(struct sock *s, const struct iovec *parts, int n);
void sim_shutdown_write(struct sock *s);
void sim_close_sock(struct sock *s, bool reset);

#endif
