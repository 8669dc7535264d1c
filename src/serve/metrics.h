/* SPDX-License-Identifier: Apache-2.0
 *
 * What the workers counted, added up: as Prometheus text, with the names of OpenTelemetry's GenAI conventions where they exist (dots as
 * underscores, units as suffixes), and as JSON for `entente top`. Read while the workers go on counting.
 */
#ifndef ENTENTE_SERVE_METRICS_H
#define ENTENTE_SERVE_METRICS_H

#include "serve/worker.h"

/* c: the catalog in force, whose budgets are shown as they stand now. */
enum err metrics_write(const struct gateway_view *view, const struct catalog *c, int64_t now_us, struct buf *out) MUST_CHECK;
enum err metrics_write_status(const struct gateway_view *view, const struct catalog *c, int64_t now_us, struct buf *out) MUST_CHECK;

#endif
