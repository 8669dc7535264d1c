/* SPDX-License-Identifier: Apache-2.0
 *
 * The rest of base: spans, memory, lists, time, digests, statistics, the log, the error list.
 */
#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/block.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/stat.h"

/* errors and checks */

TEST(every_error_has_a_code_a_status_and_a_sentence)
{
    for (int e = 0; e < ERR_COUNT; e++) {
        EXPECT(err_name(e) && err_code(e) && err_sentence(e) && *err_sentence(e));
        EXPECT(err_status(e) >= 200 && err_status(e) < 600);
        if (e != ERR_OK)
            EXPECT(err_status(e) >= 400);
        EXPECT(err_sentence(e)[strlen(err_sentence(e)) - 1] != '.');
    }
    EXPECT_STR(err_code(ERR_UNMAPPABLE), "unmappable_parameter");
    EXPECT_EQ(err_status(ERR_BUDGET), 402);
    EXPECT_EQ(err_fault(ERR_PROVIDER_RESET), ERR_FAULT_PROVIDER);
    EXPECT(err_is_retryable(ERR_CONNECT) && !err_is_retryable(ERR_JSON));
}

static bool dies_of_abort(void (*act)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        signal(SIGABRT, SIG_DFL);
        act();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void break_a_promise(void)
{
    CHECK(dies_of_abort == NULL);
}

TEST(a_broken_promise_stops_the_process_before_it_does_harm)
{
    EXPECT(dies_of_abort(break_a_promise));
}

static void count_line(void *owner, struct span line)
{
    (void)line;
    ++*(int *)owner;
}

TEST(a_surprise_is_counted_each_time_and_logged_once)
{
    int lines = 0;
    uint64_t before = check_surprises();
    log_set_writer(count_line, &lines);
    for (volatile int i = 0; i < 5; i++)
        EXPECT(!ALWAYS(i < 0) && NEVER(i >= 0));
    EXPECT(ALWAYS(lines >= 0) && !NEVER(lines < 0));
    log_set_writer(NULL, NULL);
    EXPECT_EQ(check_surprises() - before, 10);
    EXPECT(lines >= 1 && lines <= 2);
}

/* spans */

TEST(spans_compare_and_search_without_reading_past_their_ends)
{
    EXPECT(span_eq(SPAN_NONE, SPAN("")));
    EXPECT(!span_eq(SPAN("a"), SPAN("b")));
    EXPECT(span_starts(SPAN("abc"), SPAN("ab")) && span_starts(SPAN("abc"), SPAN_NONE) && !span_starts(SPAN("a"), SPAN("ab")));
    EXPECT(span_ends(SPAN("abc"), SPAN("bc")) && span_ends(SPAN_NONE, SPAN_NONE) && !span_ends(SPAN("c"), SPAN("bc")));
    EXPECT(span_eq_nocase(SPAN("Content-TYPE"), SPAN("content-type")) && !span_eq_nocase(SPAN("a"), SPAN("ab")));
    EXPECT(!span_eq_nocase(SPAN("@"), SPAN("`")) && !span_eq_nocase(SPAN("["), SPAN("{")));
    EXPECT(span_starts_nocase(SPAN("BEARER x"), SPAN("bearer ")) && !span_starts_nocase(SPAN("bear"), SPAN("bearer")));
    EXPECT_SPAN(span_from(SPAN("abc"), 1), "bc");
    EXPECT_EQ(span_from(SPAN("abc"), 9).n, 0);
    EXPECT(span_from(SPAN_NONE, 0).p == NULL);
    EXPECT_SPAN(span_to(SPAN("abc"), 2), "ab");
    EXPECT_SPAN(span_to(SPAN("abc"), 9), "abc");
    EXPECT_SPAN(span_trim(SPAN(" \t a b\t ")), "a b");
    EXPECT_EQ(span_trim(SPAN(" \t")).n, 0);
    EXPECT_EQ(span_find(SPAN("abca"), 'c'), 2);
    EXPECT_EQ(span_find(SPAN_NONE, 'c'), -1);
    EXPECT_EQ(span_find_span(SPAN("hello"), SPAN("lo")), 3);
    EXPECT_EQ(span_find_span(SPAN("hello"), SPAN("lol")), -1);
    EXPECT_EQ(span_find_span(SPAN_NONE, SPAN("")), 0);
    EXPECT_EQ(span_find_span(SPAN_NONE, SPAN("x")), -1);
}

TEST(cutting_a_list_gives_each_part_once_and_ends)
{
    struct span rest = SPAN("a,,b,");
    EXPECT_SPAN(span_cut(&rest, ','), "a");
    EXPECT_SPAN(span_cut(&rest, ','), "");
    EXPECT_SPAN(span_cut(&rest, ','), "b");
    EXPECT(rest.p != NULL);
    EXPECT_SPAN(span_cut(&rest, ','), "");
    EXPECT(rest.p == NULL);
}

TEST(numbers_in_headers_are_digits_and_fit)
{
    uint64_t value = 7;
    EXPECT(span_to_u64(SPAN("18446744073709551615"), &value) && value == UINT64_MAX);
    EXPECT(span_to_u64(SPAN("007"), &value) && value == 7);
    char digits[SPAN_U64_BYTES];
    EXPECT(span_eq(span_of_u64(digits, UINT64_MAX), SPAN("18446744073709551615")) && span_eq(span_of_u64(digits, 0), SPAN("0")));
    EXPECT(span_eq(span_of_u64(digits, 1024), SPAN("1024")));
    EXPECT(!span_to_u64(SPAN("18446744073709551616"), &value));
    EXPECT(!span_to_u64(SPAN(""), &value) && !span_to_u64(SPAN("+1"), &value) && !span_to_u64(SPAN("-1"), &value));
    EXPECT(!span_to_u64(SPAN("1 "), &value) && !span_to_u64(SPAN("0x1"), &value) && !span_to_u64(SPAN("\xb1"), &value));
    EXPECT_EQ(value, 7);
}

TEST(hashes_spread_short_names_and_differ_by_seed)
{
    unsigned used[256] = {0}, empty = 0;
    for (unsigned i = 0; i < 4096; i++) {
        char name[16];
        int n = snprintf(name, sizeof name, "key-%u", i);
        used[span_hash(span_of(name, (size_t)n), 1) & 255]++;
    }
    for (unsigned i = 0; i < 256; i++)
        empty += used[i] == 0;
    EXPECT_EQ(empty, 0);
    EXPECT(span_hash(SPAN("a"), 1) != span_hash(SPAN("a"), 2));
    EXPECT(span_hash(SPAN("a"), 1) != span_hash(SPAN("a\0"), 1));
    EXPECT(span_hash(SPAN("12345678"), 1) != span_hash(SPAN("12345678\0"), 1));
}

/* blocks */

TEST(blocks_are_as_large_as_asked_and_all_come_back)
{
    static const size_t sizes[] = {0, 1, 4096, 4097, 65535, 65536, 65537, 4 * MIB, 4 * MIB + 1, 17 * MIB + 5};
    size_t before = block_bytes_in_use(), capacity[COUNT_OF(sizes)];
    char *block[COUNT_OF(sizes)];
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        REQUIRE((block[i] = block_alloc(sizes[i], &capacity[i])) != NULL);
        EXPECT(capacity[i] >= sizes[i] && capacity[i] >= 512);
        block[i][0] = block[i][capacity[i] - 1] = 'x';
    }
    EXPECT(block_bytes_in_use() > before + 21 * MIB);
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        block_free(block[i], capacity[i]);
    EXPECT_EQ(block_bytes_in_use(), before);
    block_free(NULL, 0);
    block_cache_drain();
}

TEST(a_block_too_large_for_any_machine_is_refused)
{
    size_t capacity = 5;
    EXPECT(block_alloc(SIZE_MAX, &capacity) == NULL);
    EXPECT(block_alloc(SIZE_MAX / 2 - 1, &capacity) == NULL);
    EXPECT_EQ(capacity, 5);
}

TEST(a_freed_block_is_used_again)
{
    size_t capacity;
    void *first = block_alloc(100000, &capacity);
    block_free(first, capacity);
    void *second = block_alloc(100000, &capacity);
    EXPECT(UNDER_ASAN ? first != second : first == second);
    block_free(second, capacity);
    block_cache_drain();
}

#define THREAD_BLOCKS 64
struct passed_blocks {
    void *block[THREAD_BLOCKS];
    size_t capacity[THREAD_BLOCKS];
};

static void *allocate_for_another(void *argument)
{
    struct passed_blocks *passed = argument;
    for (unsigned i = 0; i < THREAD_BLOCKS; i++)
        passed->block[i] = block_alloc((size_t)4096 << i % 5, &passed->capacity[i]);
    block_cache_drain();
    return NULL;
}

static void *free_of_another(void *argument)
{
    struct passed_blocks *passed = argument;
    for (unsigned i = 0; i < THREAD_BLOCKS; i++)
        block_free(passed->block[i], passed->capacity[i]);
    block_cache_drain();
    return NULL;
}

TEST(blocks_may_be_freed_on_another_thread)
{
    struct passed_blocks passed[2];
    pthread_t thread[2];
    size_t before = block_bytes_in_use();
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&thread[i], NULL, allocate_for_another, &passed[i]) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&thread[i], NULL, free_of_another, &passed[1 - i]) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    EXPECT_EQ(block_bytes_in_use(), before);
}

/* buffers */

TEST(a_buffer_gives_back_what_was_put_in_and_its_memory)
{
    struct buf b;
    size_t before = block_bytes_in_use();
    buf_init(&b, MIB);
    EXPECT(buf_span(&b).n == 0 && b.p == NULL);
    EXPECT_EQ(buf_append(&b, SPAN_NONE), ERR_OK);
    EXPECT(b.p == NULL);
    EXPECT_EQ(buf_append(&b, SPAN("hello ")), ERR_OK);
    EXPECT_EQ(buf_printf(&b, "%s %d", "world", 5), ERR_OK);
    EXPECT_SPAN(buf_span(&b), "hello world 5");
    buf_consume(&b, 6);
    EXPECT_SPAN(buf_span(&b), "world 5");
    buf_clear(&b);
    EXPECT(b.p != NULL && buf_bytes(&b) == 0);
    EXPECT_EQ(buf_append(&b, SPAN("x")), ERR_OK);
    buf_consume(&b, 1);
    EXPECT(b.p == NULL);
    EXPECT_EQ(block_bytes_in_use(), before);
    buf_fini(&b);
    buf_fini(&b);
}

TEST(a_buffer_refuses_the_byte_beyond_its_maximum_and_keeps_the_rest)
{
    struct buf b;
    buf_init(&b, 10);
    EXPECT_EQ(buf_append(&b, SPAN("0123456789")), ERR_OK);
    EXPECT_EQ(buf_append(&b, SPAN("x")), ERR_TOO_LARGE);
    EXPECT_EQ(buf_printf(&b, "%d", 1), ERR_TOO_LARGE);
    EXPECT_EQ(buf_reserve(&b, SIZE_MAX), ERR_TOO_LARGE);
    EXPECT_EQ(buf_reserve(&b, 0), ERR_OK);
    EXPECT_SPAN(buf_span(&b), "0123456789");
    buf_consume(&b, 4);
    EXPECT_EQ(buf_append(&b, SPAN("abcd")), ERR_OK);
    EXPECT_EQ(buf_append(&b, SPAN("e")), ERR_TOO_LARGE);
    EXPECT_SPAN(buf_span(&b), "456789abcd");
    buf_fini(&b);
}

TEST(a_long_formatted_text_fills_a_buffer_to_its_exact_maximum)
{
    struct buf b;
    buf_init(&b, 4096);
    EXPECT_EQ(buf_printf(&b, "%4097d", 1), ERR_TOO_LARGE);
    EXPECT_EQ(buf_printf(&b, "%4096d", 1), ERR_OK);
    EXPECT_EQ(buf_bytes(&b), 4096);
    EXPECT(span_ends(buf_span(&b), SPAN(" 1")));
    buf_fini(&b);
}

/* A queue that never empties: the bytes stay in order and the block does not grow with what has passed through. */
TEST(a_stream_through_a_buffer_keeps_its_order_and_its_size)
{
    struct buf b;
    unsigned char next_in = 0, next_out = 0;
    buf_init(&b, 64 * KIB);
    for (unsigned round = 0; round < 3000; round++) {
        char piece[997];
        size_t n = 1 + round * 7919 % sizeof piece;
        for (size_t i = 0; i < n; i++)
            piece[i] = (char)next_in++;
        REQUIRE(buf_append(&b, span_of(piece, n)) == ERR_OK);
        size_t out = round % 50 == 49 ? buf_bytes(&b) - 1 : buf_bytes(&b) / 3;
        for (size_t i = 0; i < out; i++)
            if (buf_span(&b).p[i] != (char)next_out++)
                UNIT_FAIL("round %u: byte %zu is another", round, i);
        buf_consume(&b, out);
    }
    EXPECT(b.capacity <= 16 * KIB);
    buf_fini(&b);
}

TEST(a_buffer_grows_to_a_body_of_the_largest_size)
{
    struct buf b;
    static char piece[100000];
    buf_init(&b, LIMIT_BODY_BYTES);
    memset(piece, 'p', sizeof piece);
    while (buf_bytes(&b) + sizeof piece <= LIMIT_BODY_BYTES)
        REQUIRE(buf_append(&b, span_of(piece, sizeof piece)) == ERR_OK);
    EXPECT_EQ(buf_append(&b, span_of(piece, sizeof piece)), ERR_TOO_LARGE);
    REQUIRE(buf_append(&b, span_of(piece, LIMIT_BODY_BYTES - buf_bytes(&b))) == ERR_OK);
    EXPECT_EQ(buf_bytes(&b), LIMIT_BODY_BYTES);
    EXPECT_EQ(b.capacity, LIMIT_BODY_BYTES);
    buf_fini(&b);
}

TEST(moving_a_buffer_leaves_nothing_behind)
{
    struct buf from, to;
    buf_init(&from, 100);
    buf_init(&to, 200);
    REQUIRE(buf_append(&from, SPAN("bytes")) == ERR_OK && buf_reserve(&to, 10) == ERR_OK);
    buf_move(&to, &from);
    EXPECT_SPAN(buf_span(&to), "bytes");
    EXPECT(from.p == NULL && buf_bytes(&from) == 0);
    EXPECT_EQ(to.max, 200);
    EXPECT_EQ(from.max, 100);
    buf_fini(&to);
}

/* arenas */

TEST(an_arena_keeps_every_allocation_apart_and_aligned)
{
    struct arena a;
    char *kept[300];
    arena_init(&a, 100);
    EXPECT_EQ(arena_bytes(&a), 0);
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        kept[i] = arena_alloc(&a, i * 7);
        EXPECT((uintptr_t)kept[i] % 16 == 0);
        memset(kept[i], (int)i, i * 7);
    }
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        for (size_t k = 0; k < i * 7; k++)
            if (kept[i][k] != (char)i)
                UNIT_FAIL("allocation %zu was overwritten at %zu", i, k);
    arena_fini(&a);
    EXPECT_EQ(arena_bytes(&a), 0);
    EXPECT(arena_alloc(&a, 0) != NULL);
    arena_fini(&a);
}

TEST(rewinding_an_arena_frees_what_came_after_the_mark_only)
{
    struct arena a;
    size_t before = block_bytes_in_use();
    arena_init(&a, 4096);
    struct arena_mark start = arena_mark(&a);
    char *kept = arena_strdup(&a, SPAN("kept"));
    struct arena_mark mark = arena_mark(&a);
    size_t held = arena_bytes(&a);
    for (int round = 0; round < 20; round++) {
        char *gone = arena_alloc(&a, 200);
        memset(gone, 'g', 200);
        memset(arena_alloc(&a, 300000), 'h', 300000);
        arena_rewind(&a, mark);
        EXPECT_EQ(arena_bytes(&a), held);
    }
    EXPECT_STR(kept, "kept");
    arena_rewind(&a, start);
    EXPECT_EQ(arena_bytes(&a), 0);
    EXPECT_EQ(block_bytes_in_use(), before);
    arena_fini(&a);
}

TEST(arena_helpers_copy_zero_and_format)
{
    struct arena a;
    arena_init(&a, 256);
    EXPECT_SPAN(arena_dup(&a, SPAN("abc")), "abc");
    EXPECT_EQ(arena_dup(&a, SPAN_NONE).n, 0);
    EXPECT_STR(arena_strdup(&a, SPAN_NONE), "");
    EXPECT_SPAN(arena_printf(&a, "%s-%d", "x", 4), "x-4");
    struct span text = arena_printf(&a, "%1000d", 4);
    EXPECT(text.n == 1000 && text.p[999] == '4' && text.p[1000] == '\0');
    int *numbers = ARENA_ARRAY(&a, int, 100);
    for (int i = 0; i < 100; i++)
        EXPECT_EQ(numbers[i], 0);
    arena_fini(&a);
}

static void overflow_an_array(void)
{
    struct arena a;
    arena_init(&a, 256);
    arena_zalloc_array(&a, 16, SIZE_MAX / 8);
}

TEST(an_array_whose_size_overflows_is_not_allocated_small)
{
    EXPECT(dies_of_abort(overflow_an_array));
}

/* lists */

struct element {
    int number;
    struct list link;
};

TEST(a_list_keeps_its_order_while_members_leave)
{
    struct list head;
    struct element e[5];
    int sum = 0;
    list_init(&head);
    EXPECT(list_is_empty(&head) && list_pop_front(&head) == NULL);
    for (int i = 0; i < 5; i++) {
        e[i] = (struct element){.number = i};
        EXPECT(!list_is_linked(&e[i].link));
        list_push_back(&head, &e[i].link);
    }
    list_remove(&e[0].link);
    list_remove(&e[0].link);
    EXPECT(!list_is_linked(&e[0].link));
    list_push_front(&head, &e[0].link);
    LIST_FOR_EACH(at, &head)
        sum = sum * 10 + CONTAINER_OF(at, struct element, link)->number;
    EXPECT_EQ(sum, 1234);
    LIST_FOR_EACH_SAFE(at, &head)
        if (CONTAINER_OF(at, struct element, link)->number % 2)
            list_remove(at);
    EXPECT(list_pop_front(&head) == &e[0].link && list_pop_front(&head) == &e[2].link && list_pop_front(&head) == &e[4].link);
    EXPECT(list_is_empty(&head));
}

/* time */

static const struct {
    int64_t wall_us;
    const char *rfc3339, *http;
} dates[] = {
    {0, "1970-01-01T00:00:00.000000Z", "Thu, 01 Jan 1970 00:00:00 GMT"},
    {784111777000000, "1994-11-06T08:49:37.000000Z", "Sun, 06 Nov 1994 08:49:37 GMT"},
    {951782399999999, "2000-02-28T23:59:59.999999Z", "Mon, 28 Feb 2000 23:59:59 GMT"},
    {951782400000000, "2000-02-29T00:00:00.000000Z", "Tue, 29 Feb 2000 00:00:00 GMT"},
    {951868800000000, "2000-03-01T00:00:00.000000Z", "Wed, 01 Mar 2000 00:00:00 GMT"},
    {1709164800000001, "2024-02-29T00:00:00.000001Z", "Thu, 29 Feb 2024 00:00:00 GMT"},
    {1795398420123456, "2026-11-23T01:47:00.123456Z", "Mon, 23 Nov 2026 01:47:00 GMT"},
    {4107542399000000, "2100-02-28T23:59:59.000000Z", "Sun, 28 Feb 2100 23:59:59 GMT"},
    {4107542400000000, "2100-03-01T00:00:00.000000Z", "Mon, 01 Mar 2100 00:00:00 GMT"},
    {-1, "1969-12-31T23:59:59.999999Z", "Wed, 31 Dec 1969 23:59:59 GMT"},
    {-62167219200000000, "0000-01-01T00:00:00.000000Z", "Sat, 01 Jan 0000 00:00:00 GMT"},
    {253402300799999999, "9999-12-31T23:59:59.999999Z", "Fri, 31 Dec 9999 23:59:59 GMT"},
    {INT64_MAX, "9999-12-31T23:59:59.999999Z", "Fri, 31 Dec 9999 23:59:59 GMT"},
    {INT64_MIN, "0000-01-01T00:00:00.000000Z", "Sat, 01 Jan 0000 00:00:00 GMT"},
};

TEST(dates_are_right_around_leap_days_and_at_the_ends)
{
    char rfc3339[CLOCK_RFC3339_BYTES], http[CLOCK_HTTP_DATE_BYTES];
    for (size_t i = 0; i < COUNT_OF(dates); i++) {
        EXPECT_STR(clock_rfc3339_us(rfc3339, dates[i].wall_us).p, dates[i].rfc3339);
        EXPECT_STR(clock_http_date(http, dates[i].wall_us).p, dates[i].http);
        EXPECT_EQ(clock_rfc3339_us(rfc3339, dates[i].wall_us).n, 27);
        EXPECT_EQ(clock_http_date(http, dates[i].wall_us).n, 29);
    }
}

TEST(dates_agree_with_the_c_library_for_four_centuries)
{
    char ours[CLOCK_HTTP_DATE_BYTES], theirs[64];
    for (int64_t day = -30000; day < 120000; day += 13) {
        int64_t us = (day * 86400 + day % 86400 * (day > 0)) * 1000000, parsed = 1;
        time_t t = (time_t)(us / 1000000);
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(theirs, sizeof theirs, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        EXPECT_STR(clock_http_date(ours, us).p, theirs);
        EXPECT_EQ(clock_parse_http_date(span_str(ours), &parsed), ERR_OK);
        EXPECT_EQ(parsed, us);
    }
}

TEST(the_three_http_dates_are_read_and_others_refused)
{
    static const char *const good[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"};
    static const char *const bad[] = {"", "Sun", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT", "Tue, 29 Feb 2023 00:00:00 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 Nov -994 08:49:37 GMT", "Sun Nov 006 08:49:37 1994", "120"};
    int64_t us = 5;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (clock_parse_http_date(span_str(bad[i]), &us) != ERR_SYNTAX || us != 5)
            UNIT_FAIL("accepted: %s", bad[i]);
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        EXPECT_EQ(clock_parse_http_date(span_str(good[i]), &us), ERR_OK);
        EXPECT_EQ(us, 784111777000000);
    }
    EXPECT(clock_parse_http_date(SPAN("Sun Nov 16 08:49:37 1994"), &us) == ERR_OK && us == 784111777000000 + 10ll * 86400 * 1000000);
    EXPECT(clock_parse_http_date(SPAN("Monday, 23-Nov-26 01:47:00 GMT"), &us) == ERR_OK && us == 1795398420000000);
    EXPECT(clock_parse_http_date(SPAN("Fri, 30 Jun 2017 23:59:60 GMT"), &us) == ERR_OK);
}

TEST(durations_need_a_unit_and_fit)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } rows[] = {{"250ms", 250000000}, {"30s", 30000000000}, {"5m", 300000000000}, {"1h", 3600000000000}, {"2d", 172800000000000},
        {"7us", 7000}, {"1ns", 1}, {"0s", 0}, {"18446744073s", 18446744073000000000u}};
    static const char *const bad[] = {"", "5", "s", "-1s", "1.5s", "1 s", "1S", "1s ", "18446744074s", "99999999999999999999ns", "1min"};
    uint64_t ns = 9;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (clock_parse_duration(span_str(bad[i]), &ns) == ERR_OK || ns != 9)
            UNIT_FAIL("accepted: %s", bad[i]);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        EXPECT(clock_parse_duration(span_str(rows[i].text), &ns) == ERR_OK && ns == rows[i].ns);
}

/* digests */

TEST(sha256_matches_the_standard)
{
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    digest_sha256(SPAN("abc"), digest);
    digest_hex(digest, sizeof digest, hex);
    EXPECT_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_sha256(SPAN_NONE, digest);
    digest_hex(digest, sizeof digest, hex);
    EXPECT_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(hex_and_comparison_are_exact)
{
    uint8_t out[3] = {9, 9, 9};
    EXPECT(digest_from_hex(SPAN("00fFa5"), out, 3) && digest_equal(out, (const uint8_t *)"\x00\xff\xa5", 3));
    EXPECT(!digest_equal(out, (const uint8_t *)"\x00\xff\xa4", 3));
    EXPECT(!digest_from_hex(SPAN("00ff"), out, 3) && !digest_from_hex(SPAN("00ffa55"), out, 3) && !digest_from_hex(SPAN("00ffg5"), out, 3));
    EXPECT(digest_equal(out, (const uint8_t *)"\x00\xff\xa5", 3));
    EXPECT(digest_from_hex(SPAN_NONE, out, 0));
}

TEST(base64_has_one_text_for_each_value)
{
    static const char *const rows[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfb", "//77"}, {"\xfb\xef\xbe", "++++"}};
    static const char *const bad[] = {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zm8", "Zm9v=", "Zm9v====", "Z===", "====", "Zm 9", "Zm9v\n", "Zm-_", "=Zm8", "Zg==Zg=="};
    struct arena a;
    struct span bytes = SPAN("untouched");
    arena_init(&a, 256);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (digest_from_base64(&a, span_str(bad[i]), &bytes))
            UNIT_FAIL("accepted: %s", bad[i]);
    EXPECT_SPAN(bytes, "untouched");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        EXPECT(span_eq(digest_base64(&a, span_str(rows[i][0])), span_str(rows[i][1])));
        EXPECT(digest_from_base64(&a, span_str(rows[i][1]), &bytes) && span_eq(bytes, span_str(rows[i][0])));
    }
    arena_fini(&a);
}

TEST(secrets_are_random_and_can_be_wiped)
{
    uint8_t a[32] = {0}, b[32] = {0}, zero[32] = {0};
    digest_random(a, sizeof a);
    digest_random(b, sizeof b);
    EXPECT(!digest_equal(a, b, sizeof a));
    digest_wipe(a, sizeof a);
    EXPECT(digest_equal(a, zero, sizeof a));
}

/* statistics */

TEST(quantiles_are_the_upper_bounds_of_their_buckets)
{
    struct stat_histogram h = {0};
    EXPECT_EQ(stat_quantile(&h, 10, 0.5), 0);
    static const uint64_t values[] = {0, 1, 10, 11, 20, 21, 40, 41, 80, 81};
    for (size_t i = 0; i < COUNT_OF(values); i++)
        stat_observe(&h, 10, values[i]);
    EXPECT_EQ(stat_quantile(&h, 10, 0), 10);
    EXPECT_EQ(stat_quantile(&h, 10, 0.3), 10);
    EXPECT_EQ(stat_quantile(&h, 10, 0.31), 20);
    EXPECT_EQ(stat_quantile(&h, 10, 0.5), 20);
    EXPECT_EQ(stat_quantile(&h, 10, 0.7), 40);
    EXPECT_EQ(stat_quantile(&h, 10, 0.9), 80);
    EXPECT_EQ(stat_quantile(&h, 10, 1), 160);
    EXPECT_EQ(stat_read(&h.count), 10);
    EXPECT_EQ(stat_read(&h.sum), 305);
}

TEST(huge_values_land_in_the_last_bucket)
{
    struct stat_histogram h = {0};
    stat_observe(&h, 1, UINT64_MAX);
    stat_observe(&h, 1, (uint64_t)1 << (STAT_BUCKETS - 1));
    stat_observe(&h, 1, ((uint64_t)1 << (STAT_BUCKETS - 1)) + 1);
    EXPECT_EQ(stat_read(&h.bucket[STAT_BUCKETS]), 2);
    EXPECT_EQ(stat_read(&h.bucket[STAT_BUCKETS - 1]), 1);
    EXPECT_EQ(stat_quantile(&h, 1, 1), (uint64_t)1 << STAT_BUCKETS);
}

TEST(merged_histograms_add_up)
{
    struct stat_histogram a = {0}, b = {0};
    stat_observe(&a, 1, 3);
    stat_observe(&b, 1, 300);
    stat_merge(&a, &b);
    EXPECT_EQ(stat_read(&a.count), 2);
    EXPECT_EQ(stat_read(&a.sum), 303);
    EXPECT_EQ(stat_quantile(&a, 1, 1), 512);
}

static void *observe_many(void *histogram)
{
    for (unsigned i = 0; i < 100000; i++)
        stat_observe(histogram, 1, i % 1000);
    return NULL;
}

TEST(a_scrape_may_read_while_a_worker_counts)
{
    struct stat_histogram h = {0}, seen = {0};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, observe_many, &h) == 0);
    for (unsigned i = 0; i < 100; i++) {
        stat_merge(&seen, &h);
        EXPECT(stat_quantile(&h, 1, 0.99) <= 1024);
    }
    pthread_join(thread, NULL);
    EXPECT_EQ(stat_read(&h.count), 100000);
}

/* the log */

static void keep_line(void *owner, struct span line)
{
    struct buf *kept = owner;
    buf_clear(kept);
    if (buf_append(kept, line))
        abort();
}

static int64_t fixed_clock(void *owner)
{
    (void)owner;
    return 1795398420123456;
}

TEST(a_log_line_is_one_json_object_whatever_is_in_it)
{
    struct buf line;
    buf_init(&line, MIB);
    log_set_writer(keep_line, &line);
    log_set_clock(fixed_clock, NULL);
    log_line(LOG_WARN, "provider ejected", "provider", LOG_STR("azure-eu"), "for_ms", LOG_INT(-30000), NULL);
    EXPECT_SPAN(buf_span(&line), "{\"ts\":\"2026-11-23T01:47:00.123456Z\",\"level\":\"warn\",\"msg\":\"provider ejected\","
                                 "\"provider\":\"azure-eu\",\"for_ms\":-30000}\n");
    log_line(LOG_ERROR, "a\nb", "text", LOG_SPAN(SPAN("x\"\r\n{\x1b\xff\0")), NULL);
    EXPECT_EQ(json_check(buf_span(&line)), ERR_OK);
    EXPECT_EQ(span_find(buf_span(&line), '\n'), (ptrdiff_t)buf_bytes(&line) - 1);
    log_set_writer(NULL, NULL);
    log_set_clock(NULL, NULL);
    buf_fini(&line);
}

TEST(a_log_line_too_long_is_cut_at_a_field_and_says_so)
{
    static char large[20000];
    struct buf line;
    memset(large, 'l', sizeof large - 1);
    buf_init(&line, MIB);
    log_set_writer(keep_line, &line);
    log_line(LOG_ERROR, "m", "a", LOG_INT(1), "b", LOG_STR(large), "c", LOG_INT(2), NULL);
    EXPECT_EQ(json_check(buf_span(&line)), ERR_OK);
    EXPECT(span_ends(buf_span(&line), SPAN(",\"a\":1,\"cut\":true}\n")));
    log_set_writer(NULL, NULL);
    buf_fini(&line);
}

TEST(the_log_level_decides_what_is_written)
{
    struct buf line;
    enum log_level level = LOG_OFF;
    buf_init(&line, MIB);
    log_set_writer(keep_line, &line);
    log_line(LOG_DEBUG, "hidden", NULL);
    EXPECT_EQ(buf_bytes(&line), 0);
    EXPECT(log_level_from_name(SPAN("debug"), &level) && level == LOG_DEBUG);
    EXPECT(!log_level_from_name(SPAN("loud"), &level) && level == LOG_DEBUG);
    log_set_level(LOG_DEBUG);
    log_line(LOG_DEBUG, "shown", NULL);
    EXPECT(buf_bytes(&line) > 0);
    buf_clear(&line);
    log_set_level(LOG_OFF);
    log_line(LOG_ERROR, "hidden", NULL);
    EXPECT_EQ(buf_bytes(&line), 0);
    log_set_level(LOG_INFO);
    log_set_writer(NULL, NULL);
    buf_fini(&line);
}

TEST(text_of_a_peer_is_bounded_and_cannot_forge_lines)
{
    char out[LOG_PEER_BYTES], large[LOG_PEER_BYTES + 10];
    EXPECT_SPAN(log_peer_text(SPAN("a\r\nb\x1b[1m\x7f\tc"), out), "ab[1mc");
    memset(large, 'x', sizeof large);
    EXPECT_EQ(log_peer_text(span_of(large, sizeof large), out).n, LOG_PEER_BYTES);
    memcpy(large + LOG_PEER_BYTES - 2, "\xe4\xbd\xa0", 3);
    EXPECT_EQ(log_peer_text(span_of(large, sizeof large), out).n, LOG_PEER_BYTES - 2);
    memset(large, (char)0x80, sizeof large);
    EXPECT_EQ(log_peer_text(span_of(large, sizeof large), out).n, 0);
    EXPECT_EQ(log_peer_text(SPAN_NONE, out).n, 0);
}

#define LOG_THREADS 3
#define LOG_LINES 200
static int log_pipe[2];

static void *log_many(void *name)
{
    for (int i = 0; i < LOG_LINES; i++)
        log_line(LOG_INFO, "thread", "name", LOG_STR(name), "i", LOG_INT(i), NULL);
    block_cache_drain();
    return NULL;
}

static unsigned count_whole_lines(struct span text)
{
    unsigned lines = 0;
    for (struct span rest = text; rest.n;) {
        struct span line = span_cut(&rest, '\n');
        lines += json_check(line) == ERR_OK && json_find(line, "i").p != NULL;
    }
    return lines;
}

TEST(lines_of_several_threads_do_not_mix)
{
    pthread_t thread[LOG_THREADS];
    struct buf seen;
    ssize_t n;
    int stderr_copy = dup(STDERR_FILENO);
    REQUIRE(stderr_copy >= 0 && pipe(log_pipe) == 0 && dup2(log_pipe[1], STDERR_FILENO) >= 0);
    buf_init(&seen, MIB);
    for (int i = 0; i < LOG_THREADS; i++)
        REQUIRE(pthread_create(&thread[i], NULL, log_many, (void *)(uintptr_t) "worker") == 0);
    while (span_find(buf_span(&seen), '\n') < 0 || count_whole_lines(buf_span(&seen)) < LOG_THREADS * LOG_LINES) {
        REQUIRE(buf_reserve(&seen, 64 * KIB) == ERR_OK);
        if ((n = read(log_pipe[0], buf_tail(&seen), 64 * KIB)) <= 0)
            break;
        buf_extend(&seen, (size_t)n);
    }
    for (int i = 0; i < LOG_THREADS; i++)
        pthread_join(thread[i], NULL);
    dup2(stderr_copy, STDERR_FILENO);
    close(stderr_copy);
    close(log_pipe[0]);
    close(log_pipe[1]);
    EXPECT_EQ(count_whole_lines(buf_span(&seen)), LOG_THREADS * LOG_LINES);
    buf_fini(&seen);
}

UNIT_MAIN
