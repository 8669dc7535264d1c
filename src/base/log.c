/* SPDX-License-Identifier: Apache-2.0
 *
 * A line is built in a buffer and leaves with one write(2), so that lines of several threads do not mix. A line that would
 * be longer than LINE_BYTES loses the fields that no longer fit, and says so.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

#define LINE_BYTES 16384u
#define CLOSING SPAN(",\"cut\":true}\n") /* room for it is kept at the end of each line */

static enum log_level level_now = LOG_INFO;
static void (*writer)(void *owner, struct span line);
static void *writer_owner;
static int64_t (*wall_clock)(void *owner);
static void *wall_clock_owner;

static const char *const level_names[] = {"off", "error", "warn", "info", "debug"};

void log_set_level(enum log_level level)
{
    __atomic_store_n(&level_now, level, __ATOMIC_RELAXED);
}

enum log_level log_level(void)
{
    return __atomic_load_n(&level_now, __ATOMIC_RELAXED);
}

/* Set before threads start: the pair of pointers is not swapped under a writer's feet. */
void log_set_writer(void (*write_line)(void *owner, struct span line), void *owner)
{
    writer = write_line;
    writer_owner = owner;
}

void log_set_clock(int64_t (*wall_us)(void *owner), void *owner)
{
    wall_clock = wall_us;
    wall_clock_owner = owner;
}

static int64_t wall_us_now(void)
{
    if (wall_clock)
        return wall_clock(wall_clock_owner);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void write_out(struct span line)
{
    if (writer) {
        writer(writer_owner, line);
        return;
    }
    while (write(STDERR_FILENO, line.p, line.n) < 0 && errno == EINTR)
        continue;
}

/* "key":value with a comma before it; the buffer is as before when it does not fit. */
static enum err add_field(struct buf *line, const char *key, const struct log_value *value)
{
    size_t before = buf_bytes(line);
    enum err e = buf_append(line, SPAN(","));
    if (!e)
        e = json_write_string(line, span_str(key));
    if (!e)
        e = buf_append(line, SPAN(":"));
    if (!e && value->kind == LOG_VALUE_INT)
        e = buf_printf(line, "%lld", (long long)value->number);
    else if (!e)
        e = json_write_string(line, value->text);
    if (e)
        line->end = line->at + before;
    return e;
}

static enum err begin_line(struct buf *line, enum log_level level, const char *message)
{
    char ts[CLOCK_RFC3339_BYTES];
    struct span now = clock_rfc3339_us(ts, wall_us_now());
    enum err e = buf_printf(line, "{\"ts\":\"%.*s\",\"level\":\"%s\"", SPAN_ARG(now), level_names[level]);
    return e ? e : add_field(line, "msg", LOG_STR(message));
}

void log_line(enum log_level level, const char *message, ...)
{
    struct buf line;
    va_list fields;
    int errno_before = errno; /* a log line must not change what its caller is about to look at */
    if (level == LOG_OFF || level > log_level())
        return;
    buf_init(&line, LINE_BYTES - CLOSING.n);
    enum err e = begin_line(&line, level, message);
    va_start(fields, message);
    for (const char *key; !e && (key = va_arg(fields, const char *)) != NULL;)
        e = add_field(&line, key, va_arg(fields, const struct log_value *));
    va_end(fields);
    line.max = LINE_BYTES;
    if (buf_bytes(&line) && buf_append(&line, e ? CLOSING : SPAN("}\n")) == ERR_OK)
        write_out(buf_span(&line));
    buf_fini(&line);
    errno = errno_before;
}

bool log_level_from_name(struct span name, enum log_level *ret)
{
    for (unsigned i = 0; i < COUNT_OF(level_names); i++)
        if (span_eq(name, span_str(level_names[i]))) {
            *ret = (enum log_level)i;
            return true;
        }
    return false;
}

static bool is_tail(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

struct span log_peer_text(struct span text, char out[LOG_PEER_BYTES])
{
    size_t n = 0, i = 0;
    for (; i < text.n && n < LOG_PEER_BYTES; i++)
        if ((unsigned char)text.p[i] >= 0x20 && text.p[i] != 0x7f)
            out[n++] = text.p[i];
    if (i < text.n && is_tail(text.p[i])) { /* full in the middle of a character: drop its first part, too */
        while (n && is_tail(out[n - 1]))
            n--;
        n -= n && (unsigned char)out[n - 1] >= 0xc0;
    }
    return span_of(out, n);
}
