/* SPDX-License-Identifier: Apache-2.0
 *
 * Server-sent events under bytes nobody chose: the stream read whole and the stream cut into pieces must give the same events. The
 * first two bytes of the input choose the cuts, the rest is the stream. Each piece lives in memory of its own that is freed when
 * the reader asks for more, so that a span which outlives its bytes is seen.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "http/sse.h"

#define EVENT_MAX 4096
#define EVENTS_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct kept {
    char *data, *name;
    size_t data_n, name_n;
    bool has_data, is_tail;
};

struct events {
    struct kept event[EVENTS_MAX];
    unsigned n;
    size_t raw_bytes;
    enum err error;
};

static struct events whole, cut;

static char *copy(struct span s)
{
    char *p = malloc(s.n ? s.n : 1);
    CHECK(p);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

static void keep(struct events *all, const struct sse_event *e)
{
    CHECK(all->n < EVENTS_MAX);
    CHECK(e->raw.n > 0 && e->raw.n <= EVENT_MAX && e->data.n <= e->raw.n && e->name.n < e->raw.n);
    all->event[all->n++] = (struct kept){copy(e->data), copy(e->name), e->data.n, e->name.n, e->has_data, e->is_tail};
    all->raw_bytes += e->raw.n;
}

static void feed(struct sse *s, struct events *all, const uint8_t *p, size_t n)
{
    struct sse_event event;
    char *piece = copy(span_of(p, n));
    sse_feed(s, span_of(piece, n));
    while ((all->error = sse_next(s, &event)) == ERR_OK)
        keep(all, &event);
    free(piece);
}

static void finish(struct sse *s, struct events *all)
{
    struct sse_event event;
    if (all->error == ERR_AGAIN)
        while (sse_end(s, &event) == ERR_OK)
            keep(all, &event);
    sse_fini(s);
}

static void read_cut(const uint8_t *p, size_t n, unsigned seed)
{
    struct sse s;
    sse_init(&s, EVENT_MAX);
    cut.error = ERR_AGAIN;
    for (size_t at = 0; at < n && cut.error == ERR_AGAIN;) {
        seed = seed * 1664525u + 1013904223u;
        size_t most = seed >> 31 ? 1 : 1 + (seed >> 16) % 37, take = most < n - at ? most : n - at;
        feed(&s, &cut, p + at, take);
        at += take;
    }
    finish(&s, &cut);
}

static void forget(struct events *all)
{
    for (unsigned i = 0; i < all->n; i++) {
        free(all->event[i].data);
        free(all->event[i].name);
    }
    all->n = 0;
    all->raw_bytes = 0;
}

/* The maximum may strike one byte apart: the LF after a CR belongs to the event or is skipped, by the cut. */
static void compare(void)
{
    unsigned n = whole.n < cut.n ? whole.n : cut.n;
    bool limited = whole.error == ERR_TOO_LARGE || cut.error == ERR_TOO_LARGE;
    CHECK(limited || (whole.n == cut.n && whole.error == cut.error));
    for (unsigned i = 0; i < n; i++) {
        const struct kept *a = &whole.event[i], *b = &cut.event[i];
        CHECK(a->has_data == b->has_data && a->data_n == b->data_n && memcmp(a->data, b->data, a->data_n) == 0);
        CHECK(a->name_n == b->name_n && memcmp(a->name, b->name, a->name_n) == 0);
        CHECK(limited || a->is_tail == b->is_tail);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sse s;
    if (n < 2 || n > EVENTS_MAX)
        return 0;
    unsigned seed = data[0] | (unsigned)data[1] << 8;
    data += 2;
    n -= 2;
    sse_init(&s, EVENT_MAX);
    feed(&s, &whole, data, n);
    finish(&s, &whole);
    bool has_mark = n >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0;
    CHECK(whole.error == ERR_TOO_LARGE || whole.raw_bytes + (has_mark ? 3 : 0) == n); /* read whole, nothing is left out */
    read_cut(data, n, seed);
    CHECK(cut.raw_bytes <= n);
    compare();
    forget(&whole);
    forget(&cut);
    return 0;
}
