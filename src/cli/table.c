/* SPDX-License-Identifier: Apache-2.0
 *
 * Redraws with the two oldest sequences there are: cursor up, and clear to the end of the line.
 */
#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/json.h"

#define LINE_BYTES 512

static int width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : LINE_BYTES;
}

void table_begin(struct table_screen *s)
{
    if (s->live && s->lines)
        printf("\x1b[%uA", s->lines);
    s->drawn = 0;
}

void table_line(struct table_screen *s, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (s->live)
        printf("%.*s\x1b[K\n", width() - 1, line);
    else
        printf("%s\n", line);
    s->drawn++;
}

void table_end(struct table_screen *s)
{
    if (s->live)
        printf("\x1b[J"); /* what is left of a longer one */
    s->lines = s->drawn;
    fflush(stdout);
}

const char *table_number(char out[32], uint64_t n)
{
    char digits[24];
    int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < count; i++) {
        if (i && (count - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}

void table_json_string(const char *text)
{
    struct buf b;
    buf_init(&b, 64 * 1024);
    if (json_write_string(&b, span_str(text)) == ERR_OK)
        printf("%.*s", SPAN_ARG(buf_span(&b)));
    buf_fini(&b);
}
