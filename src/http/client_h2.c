/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 towards a provider. Not written yet: such connections are closed.
 */
#include "http/client_private.h"
void h2_open(struct conn *n) { conn_close(n, true); }
void h2_free(struct conn *n) { }
bool h2_has_room(const struct conn *n) { return false; }
bool h2_is_idle(const struct conn *n) { return false; }
void h2_send_call(struct conn *n, struct call *c) { }
void h2_drop_call(struct conn *n, struct call *c, bool doubt) { }
void h2_consumed(struct conn *n, struct call *c, size_t bytes) { }
struct call *h2_any_call(struct conn *n) { return NULL; }
