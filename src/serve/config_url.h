/* SPDX-License-Identifier: Apache-2.0
 *
 * URLs of providers. Private to serve/config*.
 */
#ifndef ENTENTE_SERVE_CONFIG_URL_H
#define ENTENTE_SERVE_CONFIG_URL_H

#include "base/arena.h"

struct url {
    bool tls;              /* https */
    const char *host;      /* without the brackets of IPv6; NULL with unix_path */
    uint16_t port;
    const char *unix_path; /* of unix:/path or unix:/path:/base */
    struct span authority; /* as a Host header says it: no default port */
    struct span base_path; /* no final slash; "" or "/v1" */
};

/* NULL, or what is wrong with it as a sentence that follows "the URL …" and does not repeat it. */
const char *url_parse(struct arena *a, struct span text, struct url *ret);

#endif
