/* SPDX-License-Identifier: Apache-2.0
 *
 * What walking JSON costs: the best of many rounds, in nanoseconds per document, so that other work on the machine shows as
 * little as it can.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/json.h"
#include "base/json_scan.h"
#include "base/limits.h"

#define ROUNDS 300

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Every value read, as a dialect does with what it wants. */
static void walk(struct json *j)
{
    struct json_string string;
    struct span text;
    bool truth, good;
    switch (json_peek(j)) {
    case JSON_STRING: good = !json_read_string(j, &string); break;
    case JSON_NUMBER: good = !json_read_number(j, &text); break;
    case JSON_BOOL: good = !json_read_bool(j, &truth); break;
    case JSON_ARRAY:
        good = !json_enter_array(j);
        while (json_next_item(j))
            walk(j);
        break;
    case JSON_OBJECT:
        good = !json_enter_object(j);
        while (json_next_key(j, &string))
            walk(j);
        break;
    default: good = !json_read_null(j); break;
    }
    CHECK(good);
}

static void read_all(struct span document)
{
    struct json j;
    json_init(&j, document);
    walk(&j);
    CHECK(json_finish(&j) == ERR_OK);
}

static void skip_all(struct span document)
{
    CHECK(json_check(document) == ERR_OK);
}

static double best_ns(void (*act)(struct span), struct span document)
{
    double best = 1e18;
    unsigned times = (unsigned)(200000 / document.n) + 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        double begin = now_ns();
        for (unsigned i = 0; i < times; i++)
            act(document);
        double each = (now_ns() - begin) / times;
        best = each < best ? each : best;
    }
    return best;
}

static void report(const char *name, struct span document)
{
    double read = best_ns(read_all, document), skip = best_ns(skip_all, document);
    printf("%-34s %7zu bytes: read %9.0f ns, skip %9.0f ns (%.2f GB/s)\n", name, document.n, read, skip, (double)document.n / skip);
}

/* {"prompt":"..."} of the given size, the text repeated. */
static struct span long_string(const char *text, size_t bytes)
{
    struct buf b;
    buf_init(&b, 2 * MIB);
    enum err e = buf_append(&b, SPAN("{\"model\":\"gpt-4o\",\"prompt\":\""));
    while (!e && buf_bytes(&b) + strlen(text) + 2 <= bytes)
        e = buf_append(&b, span_str(text));
    if (!e)
        e = buf_append(&b, SPAN("\"}"));
    CHECK(!e);
    return buf_span(&b);
}

static struct span chat(size_t bytes)
{
    struct buf b;
    buf_init(&b, 2 * MIB);
    enum err e = buf_append(&b, SPAN("{\"model\": \"gpt-4o\", \"stream\": true, \"temperature\": 0.7, \"messages\": [\n"));
    while (!e && buf_bytes(&b) < bytes)
        e = buf_append(&b, SPAN("  {\"role\": \"user\", \"content\": \"Please read this function and say what it does:\\n\\nint f(int x)"
                                "\\n{\\n    return x + 1;\\n}\\n\\nThen write a test for it, and explain the edge cases in two sentences.\"},\n"
                                "  {\"role\": \"assistant\", \"content\": \"It adds one. At the largest int it overflows.\"},\n"));
    if (!e)
        e = buf_append(&b, SPAN("  {\"role\": \"user\", \"content\": \"Thanks\"}]}"));
    CHECK(!e);
    return buf_span(&b);
}

static void report_all(void)
{
    static const char chunk[] =
        "{\"id\":\"chatcmpl-9x1b2c3d4e5f6g7h8i\",\"object\":\"chat.completion.chunk\",\"created\":1795398420,\"model\":\"gpt-4o-2024-08-06\","
        "\"system_fingerprint\":\"fp_a1b2c3\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}";
    report("one chunk", span_str(chunk));
    report("chat request", chat(16 * KIB));
    report("string, ASCII", long_string("The quick brown fox jumps over the lazy dog. ", 256 * KIB));
    report("string, German", long_string("Franz jagt im komplett verwahrlosten Taxi quer durch M\xc3\xbcnchen. ", 256 * KIB));
    report("string, Cyrillic", long_string("\xd0\x92\xd1\x81\xd0\xb5 \xd1\x81\xd1\x87\xd0\xb0\xd1\x81\xd1\x82\xd0\xbb\xd0\xb8\xd0\xb2\xd1\x8b\xd0\xb5, ", 256 * KIB));
    report("string, Chinese", long_string("\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c\xef\xbc\x8c\xe6\x98\xa5\xe7\x9c\xa0\xe4\xb8\x8d\xe8\xa7\x89\xe6\x99\x93\xe3\x80\x82", 256 * KIB));
    report("string, emoji", long_string("\xf0\x9f\x98\x80\xf0\x9f\x8e\x89 ok ", 256 * KIB));
    report("string, code (many escapes)", long_string("if (x == \\\"a\\\") {\\n    return;\\n}\\n", 256 * KIB));
}

int main(void)
{
    if (json_scan_uses_avx2) {
        printf("with AVX2\n");
        report_all();
        json_scan_uses_avx2 = false;
    }
    printf("without AVX2\n");
    report_all();
    return 0;
}
