/* SPDX-License-Identifier: Apache-2.0
 *
 * Traces: what is read is what stands there, and what cannot be read is told with its row. The drawn workload has the shape of the trace
 * that it was fitted to.
 */
#include "unit.h"

#include <unistd.h>

#include "base/limits.h"
#include "sim/trace.h"

struct reading {
    enum err e;         /* of the open, or of the row that ended it */
    char why[TRACE_WHY_BYTES];
    struct trace_row rows[8];
    unsigned n;
};

static struct reading read_text(const char *text)
{
    struct reading r = {.e = ERR_OK};
    char path[] = "/tmp/unit_trace_XXXXXX";
    struct trace *t = NULL;
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
    r.e = trace_open(path, &t, r.why);
    while (!r.e && r.n < COUNT_OF(r.rows)) {
        r.e = trace_next(t, &r.rows[r.n], r.why);
        r.n += r.e == ERR_OK;
    }
    if (t)
        trace_close(t);
    unlink(path);
    return r;
}

TEST(a_trace_of_azure_is_read_to_its_hundred_nanoseconds)
{
    struct reading r = read_text("TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 23:59:59.9999990,374,44\r\n2023-11-17 00:00:00.0000001,396,109\r\n\r\n");
    EXPECT_EQ(r.e, ERR_CLOSED);
    REQUIRE(r.n == 2);
    EXPECT_EQ(r.rows[0].at_ns, 0);
    EXPECT_EQ(r.rows[0].input_tokens, 374);
    EXPECT_EQ(r.rows[0].output_tokens, 44);
    EXPECT_EQ(r.rows[1].at_ns, 1100);
    EXPECT_EQ(r.rows[1].nth, 2);
}

TEST(other_columns_orders_and_times_are_understood)
{
    struct reading r = read_text("\xef\xbb\xbfmodel, output ,\"Input\",timestamp\nx,5,\"7\",100.25\ny,6,8,101\n");
    EXPECT_EQ(r.e, ERR_CLOSED);
    REQUIRE(r.n == 2);
    EXPECT_EQ(r.rows[0].input_tokens, 7);
    EXPECT_EQ(r.rows[1].output_tokens, 6);
    EXPECT_EQ(r.rows[1].at_ns, 750 * NS_PER_MS);
    r = read_text("timestamp,input_tokens,output_tokens\n2024-02-28T23:59:59Z,1,2\n2024-03-01T00:00:00Z,1,2\n");
    REQUIRE(r.n == 2);
    EXPECT_EQ(r.rows[1].at_ns, 86401 * NS_PER_S); /* a leap day between */
}

TEST(a_row_that_cannot_be_read_is_named_and_nothing_is_guessed)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "the file is empty"},
        {"TIMESTAMP,ContextTokens\n", "no column GeneratedTokens"},
        {"ContextTokens,GeneratedTokens\n", "no column TIMESTAMP"},
        {"timestamp,input,output\n1,2\n", "row 1 (line 2): fewer fields"},
        {"timestamp,input,output\n1,2,3\n\n0.5,2,3\n", "row 2 (line 4): the time goes backwards"},
        {"timestamp,input,output\n1,2,x\n", "row 1 (line 2): no number of output tokens"},
        {"timestamp,input,output\n1,-2,3\n", "no number of input tokens"},
        {"timestamp,input,output\n1,2.5,3\n", "no number of input tokens"},
        {"timestamp,input,output\n1,2000001,3\n", "no number of input tokens"},
        {"timestamp,input,output\n1,99999999999999999999,3\n", "no number of input tokens"},
        {"timestamp,input,output\nsoon,2,3\n", "no time in seconds"},
        {"timestamp,input,output\n1,2,3\n2023-11-16 18:15:46,2,3\n", "row 2 (line 3): no time in seconds"},
        {"timestamp,input,output\n2023-13-16 18:15:46,2,3\n", "no time such as"},
        {"timestamp,input,output\n2023-11-16 18:15:46.,2,3\n", "no time such as"},
        {"timestamp,input,output\n2023-11-16 18:15:46.5x,2,3\n", "no time such as"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reading r = read_text(cases[i].text);
        EXPECT_EQ(r.e, ERR_SYNTAX);
        if (!strstr(r.why, cases[i].says))
            UNIT_FAIL("\"%s\" does not say \"%s\"", r.why, cases[i].says);
    }
    struct trace *t;
    char why[TRACE_WHY_BYTES];
    EXPECT_EQ(trace_open("/nowhere/at/all.csv", &t, why), ERR_IO);
    EXPECT(strstr(why, "/nowhere/at/all.csv") != NULL);
}

TEST(a_line_without_end_is_refused_in_bounded_memory)
{
    char *text = malloc(100001);
    memset(text, 'a', 100000);
    text[100000] = 0;
    struct reading r = read_text(text);
    EXPECT_EQ(r.e, ERR_SYNTAX);
    EXPECT(strstr(r.why, "longer than") != NULL);
    free(text);
}

TEST(a_zero_byte_hides_nothing_of_a_line)
{
    static const char text[] = "timestamp,input,output\n1,2,3\0rest\n2,3,4\n";
    struct trace *t = NULL;
    struct trace_row row;
    char why[TRACE_WHY_BYTES];
    REQUIRE(trace_open_stream(fmemopen((void *)(uintptr_t)text, sizeof text - 1, "r"), "zero.csv", &t, why) == ERR_OK);
    EXPECT_EQ(trace_next(t, &row, why), ERR_SYNTAX);
    EXPECT(strstr(why, "line 2 holds a zero byte") != NULL);
    trace_close(t);
}

TEST(the_drawn_workload_has_the_shape_of_the_trace)
{
    enum { ROWS = 100000 };
    struct trace *t = trace_fitted(3), *same = trace_fitted(3);
    struct trace_row row, again;
    char why[TRACE_WHY_BYTES];
    double input = 0, output = 0;
    uint64_t before = 0;
    for (int i = 0; i < ROWS; i++) {
        REQUIRE(trace_next(t, &row, why) == ERR_OK && trace_next(same, &again, why) == ERR_OK);
        EXPECT(memcmp(&row, &again, sizeof row) == 0);
        EXPECT(row.at_ns >= before && row.input_tokens >= 2 && row.input_tokens <= 14050 && row.output_tokens >= 7 && row.output_tokens <= 1000);
        before = row.at_ns;
        input += (double)row.input_tokens;
        output += (double)row.output_tokens;
    }
    /* of the trace: 1154.7 tokens in, 211.1 out, a row each 0.1808 s */
    EXPECT(input / ROWS > 1050 && input / ROWS < 1260);
    EXPECT(output / ROWS > 195 && output / ROWS < 227);
    EXPECT((double)before / ROWS > 0.15e9 && (double)before / ROWS < 0.21e9);
    trace_close(t);
    trace_close(same);
}

UNIT_MAIN
