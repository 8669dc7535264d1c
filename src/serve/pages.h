/* SPDX-License-Identifier: Apache-2.0
 *
 * The gateway's own pages: /healthz, /readyz, /metrics, /admin/v1/status, /v1/models; and the bodies of errors that no dialect's request
 * was behind.
 *
 *   /healthz, /readyz   anyone
 *   /v1/models[/{id}]   any valid key; shows what the key may ask for
 *   /metrics            the admin key; without one configured, callers on loopback
 *   /admin/v1/status    the admin key; without one configured, callers on loopback
 */
#ifndef ENTENTE_SERVE_PAGES_H
#define ENTENTE_SERVE_PAGES_H

#include "serve/worker.h"

void page_answer(struct stream *s, const struct route *route /* NULL: none of a dialect */, const struct catalog *c, const struct gateway_view *view);
bool page_exists(struct span path);
void page_error_body(void *owner, struct span path, enum err e, const char *detail, struct buf *out, struct span *ret_type);

#endif
