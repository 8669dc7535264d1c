/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway as a process: worker threads, the ledger and budgets, reload and drain. Made and steered from one thread (the one that takes signals).
 *
 *   gateway_start -> [gateway_reload]* -> gateway_stop
 *
 * Files in the data directory: the ledger's (ledger/ledger.h), entente.pid (locked while it runs), reload.status (how the last reload went).
 */
#ifndef ENTENTE_SERVE_GATEWAY_H
#define ENTENTE_SERVE_GATEWAY_H

#include "serve/config.h"
#include "serve/worker.h"

struct gateway;

struct gateway_options {
    struct config *config;           /* taken; freed by gateway_stop, or by gateway_start when it fails */
    const struct config_world *world; /* for reloads; NULL: the process's own */
    bool without_data;               /* no data directory: the ledger is in a temporary one, which goes with the gateway */
    void (*on_record)(void *owner, const struct usage_record *r); /* on the writer's thread, when it is durable; may be NULL */
    void *owner;
};

/* Binds every address, then starts the threads. ERR_IO with a sentence in why: the port is in use, the data directory is another's … */
enum err gateway_start(const struct gateway_options *o, struct gateway **ret, char why[512]) MUST_CHECK;
struct sock_address gateway_address(const struct gateway *g, unsigned nth_listener); /* with the port the system chose */
/* Loads the file again. On mistakes nothing changes; they are in the log and in reload.status, and the result is false. */
bool gateway_reload(struct gateway *g);
/* Stops accepting, lets exchanges end for at most drain_ns, ends what is left, joins the threads, closes the books. True when nothing
 * had to be cut off. `hurry`, when not NULL, is polled (relaxed): once true the wait ends. */
bool gateway_stop(struct gateway *g, uint64_t drain_ns, const bool *hurry);
const struct gateway_view *gateway_view(const struct gateway *g);

#endif
