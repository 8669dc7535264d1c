/* SPDX-License-Identifier: Apache-2.0
 *
 * Which proxy do HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name for an origin? Pure: the values are handed in, because tools
 * disagree on upper and lower case and this is decided in one place, where the environment is read.
 *
 * NO_PROXY is a list separated by commas or spaces:  *  |  name[:port]  |  .name[:port]  |  address[:port]  |  address/bits
 * A name stands for itself and for every name under it, a name with a leading dot only for those under it. Loopback is never proxied.
 */
#ifndef ENTENTE_HTTP_PROXY_H
#define ENTENTE_HTTP_PROXY_H

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

struct client_proxy_env {
    const char *https_proxy, *http_proxy, *all_proxy, *no_proxy; /* each may be NULL or empty */
};

struct client_proxy { /* as struct origin_options wants it */
    const char *host;          /* NULL: direct */
    uint16_t port;
    const char *authorization; /* "Basic …", or NULL */
};

/* Strings come from the arena. ERR_SYNTAX with a sentence when the variable that applies is not http://[user:password@]host[:port]. */
enum err client_proxy_from_env(struct arena *a, bool tls, const char *host, uint16_t port, const struct client_proxy_env *env,
                               struct client_proxy *ret, const char **ret_why) MUST_CHECK;

#endif
