/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger's promises: what was told as recorded is in the books, once, whatever dies or refuses.
 */
#include "unit.h"

#include "ledger/ledger.h"
#include "ledger/store.h"
#include "unit_directory.h"

static unsigned done_ok, done_bad;
static void on_done(void *owner, enum err e)
{
    if (e)
        done_bad++;
    else
        done_ok++;
}

static void fill(struct usage_record *r, uint64_t counter)
{
    *r = (struct usage_record){.issuer = 77, .counter = counter, .wall_us = 1795398420000000, .outcome = RECORD_ANSWERED, .attempts_n = 1,
                               .provider_cost_nano = -1};
    usage_init(&r->usage);
    r->usage.count[USAGE_INPUT] = 100;
    strcpy(r->key, "k1");
    strcpy(r->attempts[0].provider, "azure");
    strcpy(r->attempts[0].model, "gpt");
}

TEST(a_record_that_was_told_as_recorded_is_there_after_reopening)
{
    char why[512];
    struct ledger *l;
    struct ledger_options o = {.dir = unit_directory()};
    enum err e = ledger_open(&o, &l, why);
    if (e)
        printf("# %s\n", why);
    REQUIRE(e == ERR_OK);
    struct usage_record r[3];
    struct ledger_ticket t[3];
    for (unsigned i = 0; i < 3; i++) {
        fill(&r[i], i + 1);
        t[i] = (struct ledger_ticket){.op = LEDGER_POST, .record = &r[i], .done = on_done};
        ledger_submit(l, &t[i]);
    }
    ledger_flush(l);
    EXPECT_EQ(done_ok, 3);
    ledger_close(l);
    REQUIRE(ledger_open(&o, &l, why) == ERR_OK);
    struct ledger_status s;
    ledger_status(l, &s);
    EXPECT_EQ(s.log_size, 6);
    ledger_close(l);
}
UNIT_MAIN
