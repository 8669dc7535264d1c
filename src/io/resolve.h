/* SPDX-License-Identifier: Apache-2.0
 *
 * Names to addresses. Real: c-ares on the loop, both families, answers with their TTL (bounded 1 s to 5 min); numeric hosts and
 * localhost are answered at once. Simulated: a table.
 */
#ifndef ENTENTE_IO_RESOLVE_H
#define ENTENTE_IO_RESOLVE_H

#include "io/sock.h"

#define RESOLVE_ADDRESSES 16

struct resolve {
    struct loop *loop;
    const char *host; /* borrowed until done */
    uint16_t port;
    void (*on_done)(struct resolve *r); /* may be called before resolve_start returns */
    void *owner;
    /* the answer */
    enum err error;                                 /* OK or DNS */
    struct sock_address address[RESOLVE_ADDRESSES]; /* interleaved by family, IPv6 first (RFC 8305) */
    unsigned addresses;
    uint64_t ttl_ns;
    void *internal;
};

void resolve_start(struct resolve *r);
void resolve_cancel(struct resolve *r); /* no on_done after; safe when done */

/* Name servers to ask instead of the system's, "127.0.0.1:5300,192.0.2.1"; NULL: the system's. For the whole process and the
 * real world; borrowed; loops that have asked a name already may stay with what they had. */
void resolve_use_servers(const char *servers);

#endif
