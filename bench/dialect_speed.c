/* SPDX-License-Identifier: Apache-2.0
 *
 * What the hot path of the dialects costs alone: nanoseconds per chunk scanned, bytes per second of a request scanned.
 *
 *   dialect_speed [rounds]
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "dialect/dialect.h"

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static const struct {
    const char *name, *data;
} chunks[] = {
    {"content, with usage:null",
     "{\"id\":\"chatcmpl-E4Rjs6IxaJVge9Ntk5keJsaeDy6vS\",\"object\":\"chat.completion.chunk\",\"created\":1784728648,"
     "\"model\":\"gpt-5-2025-08-07\",\"service_tier\":\"default\",\"system_fingerprint\":null,\"choices\":[{\"index\":0,"
     "\"delta\":{\"content\":\"Paris\"},\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"EeXxvZr\"}"},
    {"content, short",
     "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,"
     "\"delta\":{\"content\":\"Paris\"},\"finish_reason\":null}]}"},
    {"tool call fragment",
     "{\"id\":\"chatcmpl-E4Rjs6IxaJVge9Ntk5keJsaeDy6vS\",\"object\":\"chat.completion.chunk\",\"created\":1784728648,"
     "\"model\":\"gpt-5-2025-08-07\",\"service_tier\":\"default\",\"system_fingerprint\":null,\"choices\":[{\"index\":0,"
     "\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"city\"}}]},\"finish_reason\":null}]}"},
    {"usage",
     "{\"id\":\"chatcmpl-E4Rjs6IxaJVge9Ntk5keJsaeDy6vS\",\"object\":\"chat.completion.chunk\",\"created\":1784728648,"
     "\"model\":\"gpt-5-2025-08-07\",\"service_tier\":\"default\",\"system_fingerprint\":null,\"choices\":[],\"usage\":{"
     "\"prompt_tokens\":232,\"completion_tokens\":96,\"total_tokens\":328,\"prompt_tokens_details\":{\"cached_tokens\":0,"
     "\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":64,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,"
     "\"rejected_prediction_tokens\":0}},\"obfuscation\":\"ofHPtNkk\"}"},
};

static void time_chunk(const struct dialect *d, const char *name, struct span data, unsigned rounds)
{
    struct arena arena;
    struct answer_notes notes;
    struct event_scan scan;
    arena_init(&arena, 1024);
    answer_notes_init(&notes, &arena);
    double best = 1e18;
    for (unsigned run = 0; run < 5; run++) {
        double start = now_ns();
        for (unsigned i = 0; i < rounds; i++)
            d->scan_event(API_OPENAI_CHAT, data, &notes, &scan);
        double each = (now_ns() - start) / rounds;
        best = each < best ? each : best;
    }
    printf("scan_event    %-26s %4zu bytes  %6.0f ns  %5.2f GB/s\n", name, data.n, best, (double)data.n / best);
    arena_fini(&arena);
}

static struct span make_request(size_t text_bytes, bool escaped)
{
    static const char head[] = "{\"model\":\"gpt-4o\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"", tail[] = "\"}]}";
    static const char plain[] = "The quick brown fox jumps over the lazy dog, again. ", code[] = "if (x) {\\n    print(\\\"hello\\\");\\n}\\n";
    const char *text = escaped ? code : plain;
    char *p = malloc(text_bytes + 256), *to = p;
    to = mempcpy(to, head, sizeof head - 1);
    while ((size_t)(to - p) + strlen(text) < text_bytes)
        to = mempcpy(to, text, strlen(text));
    to = mempcpy(to, tail, sizeof tail - 1);
    return span_of(p, (size_t)(to - p));
}

static void time_request(const struct dialect *d, const char *name, size_t bytes, bool escaped, unsigned rounds)
{
    struct span body = make_request(bytes, escaped);
    struct request_facts facts;
    struct complaint why;
    struct arena arena;
    double best = 1e18;
    arena_init(&arena, 1024);
    for (unsigned run = 0; run < 5; run++) {
        double start = now_ns();
        for (unsigned i = 0; i < rounds; i++)
            if (d->scan_request(&arena, API_OPENAI_CHAT, body, &facts, &why))
                printf("refused: %s\n", why.message);
        double each = (now_ns() - start) / rounds;
        best = each < best ? each : best;
    }
    printf("scan_request  %-26s %6zu bytes %7.1f us  %5.2f GB/s\n", name, body.n, best / 1e3, (double)body.n / best);
    arena_fini(&arena);
    free((void *)body.p);
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 200000;
    const struct dialect *d = dialect_find(SPAN("openai"));
    for (unsigned i = 0; i < COUNT_OF(chunks); i++)
        time_chunk(d, chunks[i].name, span_str(chunks[i].data), rounds);
    time_request(d, "1 KiB, plain", 1024, false, rounds);
    time_request(d, "16 KiB, plain", 16 * 1024, false, rounds / 20 + 1);
    time_request(d, "256 KiB, plain", 256 * 1024, false, rounds / 200 + 1);
    time_request(d, "256 KiB, code", 256 * 1024, true, rounds / 200 + 1);
    return 0;
}
