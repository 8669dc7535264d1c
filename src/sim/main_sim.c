/* SPDX-License-Identifier: Apache-2.0
 *
 * build/sim: the whole program in a simulated world, once for each seed.
 *
 *   sim --seed N [--verbose]   one seed: what happened, and what it violates
 *   sim --seeds N [--from M]   N seeds from M (default: from 1), as TAP, ten to a test; every tenth is run twice and must be the same
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sim/scenario.h"

#define SEEDS_PER_TEST 10

static void show(uint64_t seed, const struct scenario_result *r)
{
    printf("seed %llu: %u calls; records: %u answered, %u refused, %u failed, %u broken, %u abandoned; %u withheld; %u lives, %u recovered; "
           "digest %016llx\n", (unsigned long long)seed, r->asked, r->answered, r->refused, r->failed, r->broken, r->abandoned, r->withheld, r->lives,
           r->recovered, (unsigned long long)r->digest);
}

static int run_one(uint64_t seed, bool verbose)
{
    struct buf complaints;
    buf_init(&complaints, 1u << 20);
    struct scenario_result r = scenario_run(seed, verbose, &complaints);
    show(seed, &r);
    printf("%.*s", SPAN_ARG(buf_span(&complaints)));
    buf_fini(&complaints);
    return r.violations ? 1 : 0;
}

/* Some seeds twice: the same seed must be the same run. */
static bool run_checked(uint64_t seed, struct buf *complaints)
{
    struct scenario_result r = scenario_run(seed, false, complaints);
    if (seed % 10 != 0)
        return r.violations == 0;
    struct scenario_result again = scenario_run(seed, false, complaints);
    if (again.digest != r.digest)
        printf("# seed %llu: two runs differ\n", (unsigned long long)seed);
    return r.violations == 0 && again.digest == r.digest;
}

static int run_many(uint64_t from, uint64_t n)
{
    int failed = 0, test = 0;
    for (uint64_t at = from; at < from + n; at += SEEDS_PER_TEST) {
        uint64_t end = at + SEEDS_PER_TEST < from + n ? at + SEEDS_PER_TEST : from + n;
        struct buf complaints;
        bool good = true;
        buf_init(&complaints, 1u << 20);
        for (uint64_t seed = at; seed < end; seed++)
            good &= run_checked(seed, &complaints);
        printf("%.*s", SPAN_ARG(buf_span(&complaints)));
        printf("%sok %d - books and answers agree in the simulated world, seeds %llu to %llu\n", good ? "" : "not ", ++test, (unsigned long long)at,
               (unsigned long long)end - 1);
        fflush(stdout);
        failed += !good;
        buf_fini(&complaints);
    }
    printf("1..%d\n", test);
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    uint64_t seed = 0, seeds = 0, from = 1;
    bool verbose = false;
    for (int i = 1; i < argc; i++) {
        uint64_t *number = strcmp(argv[i], "--seed") == 0 ? &seed : strcmp(argv[i], "--seeds") == 0 ? &seeds : strcmp(argv[i], "--from") == 0 ? &from : NULL;
        if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (number && i + 1 < argc) {
            *number = strtoull(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: sim --seed N [--verbose] | --seeds N [--from M]\n");
            return 2;
        }
    }
    log_set_level(verbose ? LOG_DEBUG : LOG_OFF);
    return seeds ? run_many(from, seeds) : run_one(seed, verbose);
}
