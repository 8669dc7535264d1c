/* SPDX-License-Identifier: Apache-2.0
 *
 * What the workers counted, added up: as Prometheus text, with the names of OpenTelemetry's GenAI conventions where they exist (dots as
 * underscores, units as suffixes), and as JSON for `entente top`. Read while the workers go on counting.
 */
#ifndef ENTENTE_SERVE_METRICS_H
#define ENTENTE_SERVE_METRICS_H

#include "serve/worker.h"

enum err metrics_write(const struct gateway_view *view, struct buf *out) MUST_CHECK;
enum err metrics_write_status(const struct gateway_view *view, struct buf *out) MUST_CHECK;

#endif
