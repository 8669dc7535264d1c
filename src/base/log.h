/* SPDX-License-Identifier: Apache-2.0
 *
 * The structured log: one JSON object a line, on stderr by default. Never a secret, never a prompt: callers pass names, numbers
 * and sentences of our own; text of peers goes through log_peer_text, which bounds it and drops control characters.
 *
 *   log_line(LOG_WARN, "provider ejected", "provider", LOG_SPAN(name), "for_ms", LOG_INT(ms), NULL);
 *
 * Lines are written whole with one write(2). Before log_open everything goes to stderr.
 */
#ifndef ENTENTE_BASE_LOG_H
#define ENTENTE_BASE_LOG_H

#include <stdint.h>

#include "base/span.h"

enum log_level { LOG_OFF, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_value {
    enum { LOG_VALUE_SPAN, LOG_VALUE_INT } kind;
    struct span text;
    int64_t number;
};

#define LOG_SPAN(s) (&(struct log_value){LOG_VALUE_SPAN, (s), 0})
#define LOG_STR(s) (&(struct log_value){LOG_VALUE_SPAN, span_str(s), 0})
#define LOG_INT(i) (&(struct log_value){LOG_VALUE_INT, {NULL, 0}, (int64_t)(i)})

void log_set_level(enum log_level level);
enum log_level log_level(void);
void log_set_writer(void (*write_line)(void *owner, struct span line), void *owner); /* NULL: stderr */
void log_line(enum log_level level, const char *message, ... /* name, LOG_x value, ..., NULL */) __attribute__((sentinel));
void log_set_clock(int64_t (*wall_us)(void *owner), void *owner); /* NULL: the system's; a simulated world sets its own */

/* Text that a peer sent, fit for a log line: at most LOG_PEER_BYTES of it, control characters dropped, not cut inside a
 * character. The result lies in out. */
#define LOG_PEER_BYTES 256
struct span log_peer_text(struct span text, char out[LOG_PEER_BYTES]);
bool log_level_from_name(struct span name, enum log_level *ret);

#endif
