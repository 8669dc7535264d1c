/* SPDX-License-Identifier: Apache-2.0
 *
 * What tests of the ledger share: price lines, requests whose every number says whose they are, and an audit that reads the books as a stranger would:
 * verify, and a list of what is there and how often.
 */
#ifndef ENTENTE_LEDGER_RIG_H
#define ENTENTE_LEDGER_RIG_H

#include "ledger/books.h"
#include "unit.h"

#define RIG_COUNTERS 4096u
#define RIG_ISSUER 77u

static struct arena rig_arena;
static struct price_line rig_buy, rig_sell;

__attribute__((constructor)) static void rig_make_prices(void)
{
    arena_init(&rig_arena, 4096);
    CHECK(price_line_parse(&rig_arena, SPAN("book=azure\tseller=microsoft\tbuyer=self\tcurrency=USD\tsource=list\tfrom=0\tknown=0\tmodel=gpt\t"
                                            "provider=azure\tinput=2500000000\toutput=10000000000"), &rig_buy) == ERR_OK);
    CHECK(price_line_parse(&rig_arena, SPAN("book=inside\tseller=self\tbuyer=legal\tcurrency=EUR\tsource=list\tfrom=0\tknown=0\tmodel=*\t"
                                            "provider=*\tinput=3000000000\toutput=12000000000"), &rig_sell) == ERR_OK);
}

__attribute__((destructor)) static void rig_free_prices(void) { arena_fini(&rig_arena); }

static inline void rig_name(char to[RECORD_NAME_BYTES], const char *name) { record_set_name(to, span_str(name)); }

static inline void rig_hold(struct ledger_hold *h, uint64_t issuer, uint64_t counter)
{
    *h = (struct ledger_hold){.issuer = issuer, .counter = counter, .wall_us = 1795398420000000 + (int64_t)counter, .buy = &rig_buy, .sell = &rig_sell,
                              .input_expected = 100, .output_max = 1000, .held = 1000000};
    rig_name(h->key, counter % 2 ? "k1" : "k2");
    rig_name(h->department, "legal");
    rig_name(h->model_asked, "gpt");
    rig_name(h->provider, "azure");
    rig_name(h->model, "gpt");
}

/* duration_us names the record: the audit looks for it. */
static inline void rig_record(struct usage_record *r, uint64_t issuer, uint64_t counter, unsigned attempt)
{
    *r = (struct usage_record){.issuer = issuer, .counter = counter, .attempt = (uint8_t)attempt, .wall_us = 1795398420000000 + (int64_t)counter,
                               .duration_us = counter * 100 + attempt, .outcome = RECORD_ANSWERED, .status = 200, .attempts_n = 1,
                               .provider_cost_nano = counter % 3 ? -1 : (int64_t)counter, .held = 1000000};
    rig_name(r->key, counter % 2 ? "k1" : "k2");
    rig_name(r->department, "legal");
    rig_name(r->model_asked, "gpt");
    rig_name(r->attempts[0].provider, "azure");
    rig_name(r->attempts[0].model, "gpt");
    r->attempts[0].outcome = attempt ? ATTEMPT_BROKEN : ATTEMPT_ANSWERED;
    usage_init(&r->usage);
    r->usage.source = USAGE_SOURCE_REPORTED;
    r->usage.count[USAGE_INPUT] = 100 + (int64_t)(counter % 7);
    r->usage.count[USAGE_OUTPUT] = (int64_t)(counter % 11);
    price_charge(&rig_buy, &r->usage, &r->buy);
    price_charge(&rig_sell, &r->usage, &r->sell);
}

/* ---- the audit ---- */

struct rig_audit {
    struct verify_report report;
    uint8_t booked[RIG_COUNTERS][LIMIT_ATTEMPTS + 1]; /* entries of RIG_ISSUER by counter and attempt */
    uint8_t recovered[RIG_COUNTERS];
    uint64_t usage, recovered_n, strange;             /* strange: what nobody submitted, or not so */
};

static inline enum err rig_count(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    struct rig_audit *a = owner;
    if (e->kind != ENTRY_USAGE)
        return ERR_OK;
    const struct entry_usage *u = &e->usage;
    a->usage++;
    a->recovered_n += u->recovered;
    if (u->issuer != RIG_ISSUER)
        return ERR_OK;
    if (u->counter >= RIG_COUNTERS || (!u->recovered && u->duration_us != u->counter * 100 + u->attempt)) {
        a->strange++;
        return ERR_OK;
    }
    a->booked[u->counter][u->attempt]++;
    a->recovered[u->counter] += u->recovered;
    return ERR_OK;
}

static inline void rig_tell(void *owner, const char *sentence) { UNIT_FAIL("%s: verify says: %s", (const char *)owner, sentence); }

/* Reads the books at path; what verify finds is a failure of the test. at: for the message. */
static inline bool rig_audit(const char *path, const char *at, struct rig_audit *ret)
{
    char why[512];
    struct books *b;
    memset(ret, 0, sizeof *ret);
    enum err e = books_open(path, &b, why);
    if (e) {
        UNIT_FAIL("%s: %s", at, why);
        return false;
    }
    if ((e = books_verify(b, rig_tell, NULL, (void *)(uintptr_t)at, &ret->report)) != ERR_OK || (e = books_each(b, 0, UINT64_MAX, rig_count, ret)) != ERR_OK)
        UNIT_FAIL("%s: %s: %s", at, err_name(e), books_why(b));
    if (ret->strange)
        UNIT_FAIL("%s: %" PRIu64 " entries that nobody submitted so", at, ret->strange);
    books_close(b);
    return e == ERR_OK && !ret->report.faults && !ret->strange;
}

#endif
