/* SPDX-License-Identifier: Apache-2.0
 *
 * Details of corrections under bytes nobody chose: what is accepted comes to the amounts it states, has ranges that rise, and reads the same
 * when it is written again.
 */
#include <stdlib.h>
#include <string.h>

#include "report/rerate.h"
#include "report/rerate_detail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void write_again(struct arena *a, const struct rerate_detail *d, money old_amount, money new_amount)
{
    struct rerate_detail again;
    struct span text;
    money old_again, new_again;
    if (rerate_write_detail(a, d, &text, &old_again, &new_again) != ERR_OK)
        return; /* longer than an entry has room for */
    CHECK(old_again == old_amount && new_again == new_amount);
    CHECK(rerate_read_detail(a, text, &again) == ERR_OK);
    CHECK(again.sell == d->sell && again.sum.ranges_n == d->sum.ranges_n && memcmp(again.sum.count, d->sum.count, sizeof again.sum.count) == 0);
}

static void use_detail(struct span text)
{
    struct arena a;
    struct rerate_detail d;
    money old_amount, new_amount;
    arena_init(&a, 4096);
    if (rerate_read_detail(&a, text, &d) == ERR_OK) {
        CHECK(rerate_check(text, &old_amount, &new_amount) == ERR_OK);
        for (unsigned i = 0; i < d.sum.ranges_n; i++)
            CHECK(d.sum.ranges[i].first <= d.sum.ranges[i].last && (!i || d.sum.ranges[i].first > d.sum.ranges[i - 1].last));
        write_again(&a, &d, old_amount, new_amount);
    }
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *copy = malloc(n ? n : 1); /* exactly as long, so that a byte too many is seen */
    CHECK(copy != NULL);
    if (n)
        memcpy(copy, data, n);
    use_detail(span_of(copy, n));
    free(copy);
    return 0;
}
