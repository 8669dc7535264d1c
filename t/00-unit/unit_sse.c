/* SPDX-License-Identifier: Apache-2.0
 *
 * Server-sent events: the quirks of real providers, and the rule that the cuts of the network change nothing.
 *
 * Events are written down as text, one line each, so that what a stream gave can be compared whole.
 */
#include "http/sse.h"
#include "unit.h"

#define SCRIPT_BYTES 4096

static void note_bytes(char *out, struct span s)
{
    size_t at = strlen(out);
    for (size_t i = 0; i < s.n && at + 5 < SCRIPT_BYTES; i++)
        at += (size_t)snprintf(out + at, 6, s.p[i] == '\n' ? "\\n" : "%c", s.p[i]);
}

/* "name|data" or "name" without data; a tail is marked with "~". */
static void note_event(char *out, const struct sse_event *event)
{
    note_bytes(out, event->is_tail ? SPAN("~") : SPAN(""));
    note_bytes(out, event->name);
    note_bytes(out, event->has_data ? SPAN("|") : SPAN(""));
    note_bytes(out, event->data);
    note_bytes(out, SPAN(";"));
}

struct reading {
    struct sse sse;
    char seen[SCRIPT_BYTES];
    char raw[SCRIPT_BYTES];
    enum err error;
};

static void reading_init(struct reading *r, size_t max)
{
    memset(r, 0, sizeof *r);
    sse_init(&r->sse, max);
}

static void reading_take(struct reading *r, const struct sse_event *event)
{
    note_event(r->seen, event);
    strncat(r->raw, event->raw.p ? event->raw.p : "", event->raw.n);
}

/* The piece lives in memory of its own that is freed at once, so that a sanitizer sees a span that outlives it. */
static void reading_feed(struct reading *r, const char *p, size_t n)
{
    struct sse_event event;
    char *copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    sse_feed(&r->sse, span_of(copy, n));
    while ((r->error = sse_next(&r->sse, &event)) == ERR_OK)
        reading_take(r, &event);
    free(copy);
}

static void reading_end(struct reading *r)
{
    struct sse_event event;
    while (sse_end(&r->sse, &event) == ERR_OK)
        reading_take(r, &event);
    EXPECT(sse_is_between_events(&r->sse));
    sse_fini(&r->sse);
}

static void read_whole(struct reading *r, const char *text)
{
    reading_init(r, 1 << 20);
    reading_feed(r, text, strlen(text));
    reading_end(r);
}

static void expect_events(const char *text, const char *events)
{
    struct reading r;
    read_whole(&r, text);
    EXPECT_STR(r.seen, events);
}

TEST(an_event_is_read_in_place)
{
    struct sse s;
    struct sse_event event;
    const char *text = "data: {\"a\":1}\n\n";
    sse_init(&s, 1024);
    sse_feed(&s, span_str(text));
    REQUIRE(sse_next(&s, &event) == ERR_OK);
    EXPECT_SPAN(event.data, "{\"a\":1}");
    EXPECT(event.raw.p == text && event.raw.n == strlen(text));
    EXPECT(!event.is_tail && event.has_data && event.name.n == 0);
    EXPECT(sse_next(&s, &event) == ERR_AGAIN);
    EXPECT(sse_is_between_events(&s));
    EXPECT(s.partial.p == NULL);
    sse_fini(&s);
}

TEST(every_field_form_is_understood)
{
    expect_events("data:x\n\n", "|x;");
    expect_events("data: x\n\n", "|x;");
    expect_events("data:  x \n\n", "| x ;");
    expect_events("data\n\n", "|;");
    expect_events("data:\n\n", "|;");
    expect_events("data: \n\n", "|;");
    expect_events("data: a\ndata: b\ndata: c\n\n", "|a\\nb\\nc;");
    expect_events("data\ndata\n\n", "|\\n;");
    expect_events("data:\ndata: x\n\n", "|\\nx;");
    expect_events("event: ping\ndata: {}\n\n", "ping|{};");
    expect_events("data: {}\nevent:ping\n\n", "ping|{};");
    expect_events("event: a\nevent: b\ndata: x\n\n", "b|x;");
    expect_events("id: 7\nretry: 10\ndatum: no\ndata: x\n\n", "|x;");
    expect_events("DATA: x\n\n", ";");
    expect_events("data : x\n\n", ";");
    expect_events("data: data: x\n\n", "|data: x;");
}

TEST(comments_and_dataless_events_are_seen_but_have_no_data)
{
    expect_events(": OPENROUTER PROCESSING\n\ndata: x\n\n", ";|x;");
    expect_events(": ping\ndata: x\n\n", "|x;");
    expect_events("event: done\n\n", "done;");
    expect_events("\n\n\ndata: x\n\n", ";;;|x;");
    expect_events("id: 1\n\n", ";");
}

TEST(lines_may_end_in_cr_lf_or_both)
{
    expect_events("event: a\r\ndata: x\r\n\r\ndata: y\r\n\r\n", "a|x;|y;");
    expect_events("event: a\rdata: x\r\rdata: y\r\r", "a|x;|y;");
    expect_events("event: a\ndata: x\r\n\ndata: y\n\r\n", "a|x;|y;");
    expect_events("data: x\r\ndata: y\r\r\n", "|x\\ny;");
    expect_events("data: x\n\r", "|x;");
}

TEST(a_byte_order_mark_at_the_start_only_is_skipped)
{
    expect_events("\xef\xbb\xbf" "data: x\n\n", "|x;");
    expect_events("\xef\xbb\xbf\n\ndata: x\n\n", ";;|x;");
    expect_events("data: x\n\n\xef\xbb\xbf" "data: y\n\n", "|x;;");
    expect_events("\xef\xbb" "data: y\n\n", ";");
}

TEST(an_answer_that_lacks_its_last_blank_line_is_a_tail)
{
    expect_events("data: x\n\ndata: [DONE]", "|x;~|[DONE];");
    expect_events("data: x\n\ndata: [DONE]\n", "|x;~|[DONE];");
    expect_events("data: x\n\ndata: [DONE]\r", "|x;~|[DONE];");
    expect_events("data: x\n\ndata: [DONE]\r\n", "|x;~|[DONE];");
    expect_events("data: x\r\n\r", "|x;");
    expect_events("", "");
    expect_events("\xef\xbb", "~;");
}

static const char *const streams[] = {
    "data: x\n\n",
    ("\xef\xbb\xbf" "event: message_start\ndata: {\"type\":\"a\"}\n\nevent: ping\ndata: {}\n\n"),
    "event: a\r\ndata: one\r\ndata: two\r\n\r\n: comment\r\n\r\ndata: three\r\n\r\n",
    "event: a\rdata: one\rdata: two\r\r: comment\r\rdata: three\r\rdata: [DONE]\r\r",
    "data: a\r\r\ndata: b\n\r\ndata: c\r\n\n\r\n\r\r\r\ndata: d\n\n\n\rdata: e\r\n\r",
    "data: long enough that the vector search takes several steps before it meets an end\r\n\r\ndata: and another one of that kind\n\n",
    "\r\r\n\n\r\n\r",
    "data: x\n\ndata: cut",
    "data: x\r\n\r\ndata: cut\r",
    "data\n\ndata:\n\n:\n\n",
};

TEST(one_cut_anywhere_changes_nothing)
{
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        struct reading whole, cut;
        size_t n = strlen(streams[i]);
        read_whole(&whole, streams[i]);
        for (size_t at = 0; at <= n; at++) {
            reading_init(&cut, 1 << 20);
            reading_feed(&cut, streams[i], at);
            reading_feed(&cut, streams[i] + at, n - at);
            reading_end(&cut);
            EXPECT_STR(cut.seen, whole.seen);
        }
    }
}

TEST(two_cuts_anywhere_change_nothing)
{
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        struct reading whole, cut;
        size_t n = strlen(streams[i]);
        read_whole(&whole, streams[i]);
        for (size_t a = 0; a <= n; a++)
            for (size_t b = a; b <= n; b++) {
                reading_init(&cut, 1 << 20);
                reading_feed(&cut, streams[i], a);
                reading_feed(&cut, streams[i] + a, b - a);
                reading_feed(&cut, streams[i] + b, n - b);
                reading_end(&cut);
                if (strcmp(cut.seen, whole.seen) != 0)
                    UNIT_FAIL("stream %zu cut at %zu and %zu: %s, expected %s", i, a, b, cut.seen, whole.seen);
            }
    }
}

TEST(a_stream_byte_by_byte_is_the_same_and_its_raw_bytes_are_the_stream)
{
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        struct reading whole, cut;
        read_whole(&whole, streams[i]);
        reading_init(&cut, 1 << 20);
        for (const char *p = streams[i]; *p; p++)
            reading_feed(&cut, p, 1);
        reading_end(&cut);
        EXPECT_STR(cut.seen, whole.seen);
        EXPECT_STR(whole.raw, streams[i] + (streams[i][0] == '\xef' ? 3 : 0));
        if (!strstr(streams[i], "\r\r\n") && streams[i][0] != '\r')
            EXPECT_STR(cut.raw, whole.raw);
    }
}

TEST(an_event_is_shown_with_its_last_byte_not_with_the_next_event)
{
    static const char *const ends[] = {"data: x\n\n", "data: x\r\r", "data: x\r\n\r\n", "data: x\n\r\n", "data: x\r\n\n"};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        struct reading r;
        reading_init(&r, 1024);
        for (const char *p = ends[i]; *p; p++)
            reading_feed(&r, p, 1);
        EXPECT_STR(r.seen, "|x;");
        EXPECT(sse_is_between_events(&r.sse));
        reading_end(&r);
    }
}

TEST(an_event_over_the_maximum_is_refused_however_it_is_cut)
{
    char text[200];
    memset(text, 'x', sizeof text);
    memcpy(text, "data:", 5);
    memcpy(text + 198, "\n\n", 2);
    for (size_t at = 0; at <= sizeof text; at++) {
        struct reading r;
        reading_init(&r, 199);
        sse_feed(&r.sse, span_of(text, at));
        struct sse_event event;
        enum err e = sse_next(&r.sse, &event);
        if (e == ERR_AGAIN) {
            sse_feed(&r.sse, span_of(text + at, sizeof text - at));
            e = sse_next(&r.sse, &event);
        }
        EXPECT_EQ(e, ERR_TOO_LARGE);
        EXPECT_EQ(sse_next(&r.sse, &event), ERR_TOO_LARGE);
        sse_fini(&r.sse);
    }
    struct reading fits;
    reading_init(&fits, 200);
    reading_feed(&fits, text, sizeof text);
    EXPECT_EQ(fits.error, ERR_AGAIN);
    reading_end(&fits);
}

TEST(a_stream_between_two_events_holds_no_memory)
{
    struct reading r;
    reading_init(&r, 1 << 20);
    reading_feed(&r, "data: a\ndata: b\n", 16);
    EXPECT(!sse_is_between_events(&r.sse));
    reading_feed(&r, "\n", 1);
    EXPECT(sse_is_between_events(&r.sse));
    EXPECT(r.sse.partial.p == NULL && r.sse.joined.p == NULL);
    reading_end(&r);
}

UNIT_MAIN
