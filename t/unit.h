/* SPDX-License-Identifier: Apache-2.0
 *
 * The unit-test harness: one file of tests is one program that prints TAP.
 *
 *   #include "unit.h"
 *   TEST(a_name_that_says_what_a_user_would_lose) { EXPECT_EQ(1 + 1, 2); }
 *   UNIT_MAIN
 *
 * A failed EXPECT is reported and the test goes on; a failed REQUIRE leaves the test. Skip with SKIP("why"). The program's
 * arguments, if any, are substrings of test names to run.
 */
#ifndef ENTENTE_UNIT_H
#define ENTENTE_UNIT_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit_test {
    const char *name;
    void (*run)(void);
    struct unit_test *next;
};

static struct unit_test *unit_first, **unit_last = &unit_first;
static int unit_failures;         /* of the running test */
static const char *unit_skipped;  /* why, when the running test was skipped */

#define TEST(test_name)                                                                     \
    static void test_name(void);                                                            \
    static struct unit_test unit_##test_name = {#test_name, test_name, NULL};               \
    __attribute__((constructor)) static void unit_register_##test_name(void)                \
    {                                                                                       \
        *unit_last = &unit_##test_name;                                                     \
        unit_last = &unit_##test_name.next;                                                 \
    }                                                                                       \
    static void test_name(void)

#define UNIT_FAIL(...) (unit_failures++, printf("# %s:%d: ", __FILE__, __LINE__), printf(__VA_ARGS__), printf("\n"))
#define EXPECT(x) ((x) ? true : (UNIT_FAIL("expected %s", #x), false))
#define EXPECT_EQ(a, b)                                                                                     \
    do {                                                                                                    \
        long long unit_a = (long long)(a), unit_b = (long long)(b);                                         \
        if (unit_a != unit_b)                                                                               \
            UNIT_FAIL("%s is %lld, expected %s = %lld", #a, unit_a, #b, unit_b);                            \
    } while (0)
#define EXPECT_STR(a, b)                                                                                    \
    do {                                                                                                    \
        const char *unit_a = (a), *unit_b = (b);                                                            \
        if (!unit_a || !unit_b || strcmp(unit_a, unit_b) != 0)                                              \
            UNIT_FAIL("%s is \"%s\", expected \"%s\"", #a, unit_a ? unit_a : "(null)", unit_b ? unit_b : "(null)"); \
    } while (0)
#define EXPECT_SPAN(a, literal)                                                                             \
    do {                                                                                                    \
        struct span unit_a = (a);                                                                           \
        if (unit_a.n != strlen(literal) || (unit_a.n && memcmp(unit_a.p, literal, unit_a.n) != 0))         \
            UNIT_FAIL("%s is \"%.*s\", expected \"%s\"", #a, (int)unit_a.n, unit_a.p ? unit_a.p : "", literal); \
    } while (0)
#define REQUIRE(x)                           \
    do {                                     \
        if (!EXPECT(x))                      \
            return;                          \
    } while (0)
#define SKIP(why)            \
    do {                     \
        unit_skipped = why;  \
        return;              \
    } while (0)

static int unit_main(int argc, char **argv)
{
    int number = 0, failed = 0;
    for (struct unit_test *test = unit_first; test; test = test->next) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++)
            wanted = wanted || strstr(test->name, argv[i]);
        if (!wanted)
            continue;
        unit_failures = 0;
        unit_skipped = NULL;
        test->run();
        number++;
        failed += unit_failures != 0;
        printf("%sok %d - %s%s%s\n", unit_failures ? "not " : "", number, test->name,
               unit_skipped ? " # SKIP " : "", unit_skipped ? unit_skipped : "");
        fflush(stdout);
    }
    printf("1..%d\n", number);
    return failed ? 1 : 0;
}

#define UNIT_MAIN \
    int main(int argc, char **argv) { return unit_main(argc, argv); }

#endif
