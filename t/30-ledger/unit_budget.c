/* SPDX-License-Identifier: Apache-2.0
 *
 * Budgets: who is refused when, what is told, what a reload and a new month keep; against a plain model by chance; and with 64 threads that want
 * more than there is (invariant 5 of the agreement facts). Build with -Db_sanitize=thread for the races' own sake.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "base/check.h"
#include "policy/budget.h"
#include "unit.h"
#include "unit_random.h"

#define DAY_US (INT64_C(86400) * 1000000)
#define NOW_US (INT64_C(1795392000) * 1000000) /* 2026-11-23 */
#define USD(n) ((money)(n) * MONEY_ONE)

static struct zone *utc;

static struct budget budget_of(const char *name, enum budget_scope scope, const char *who, money limit)
{
    if (!utc)
        EXPECT_EQ(zone_open("UTC", &utc), ERR_OK);
    return (struct budget){.name = name, .scope = scope, .who = span_str(who), .limit = limit, .currency = "USD", .unit = PERIOD_MONTH, .zone = utc,
                           .hard = true, .hard_at = {1, 1}};
}

static struct budget_facts facts_of(const char *key, int64_t now_us)
{
    return (struct budget_facts){.key = span_str(key), .department = SPAN("legal"), .party = SPAN("acme"), .provider = SPAN("azure-eu"),
                                 .seller = SPAN("microsoft"), .model = SPAN("gpt-5.6-luna"), .now_us = now_us};
}

static struct budget_amounts selling(money amount)
{
    return (struct budget_amounts){.sell = amount, .sell_currency = "USD"};
}

/* ---- a desk: a book, budgets, and what was told ---- */

struct desk {
    struct budget_book *book;
    struct budget budgets[BUDGET_HOLD_PARTS + 1];
    struct budget_set set;
    const struct budget *refused;
    char told[512];
};

static void write_down(void *owner, const struct budget *b, struct span who, unsigned percent, money spent, const struct period *p)
{
    struct desk *d = owner;
    char amount[MONEY_TEXT_BYTES];
    size_t n = strlen(d->told);
    (void)budget_counters(d->book); /* would wait for ever if the lock were held */
    (void)snprintf(d->told + n, sizeof d->told - n, "%s%s%.*s %u%% %s %s; ", b->name, who.n ? "/" : "", SPAN_ARG(who), percent,
                   money_format(amount, spent, 0).p, p->label);
}

static void desk_open(struct desk *d, unsigned n)
{
    d->set = (struct budget_set){d->budgets, n};
    d->book = budget_book_new(write_down, d);
    d->told[0] = '\0';
    d->refused = NULL;
}

static enum err desk_take(struct desk *d, const char *key, money amount, struct budget_hold *h)
{
    struct budget_facts f = facts_of(key, NOW_US);
    struct budget_amounts worst = selling(amount);
    return budget_take(d->book, &d->set, &f, &worst, h, &d->refused);
}

struct wanted_standing {
    const struct budget *budget;
    struct span who;
    money posted, pending;
    unsigned n;
};

static void find_standing(void *owner, const struct budget_standing *s)
{
    struct wanted_standing *w = owner;
    if (s->budget != w->budget || !span_eq(s->who, w->who))
        return;
    w->posted = s->posted;
    w->pending = s->pending;
    w->n++;
}

static void expect_standing(struct desk *d, unsigned budget, const char *who, money posted, money pending)
{
    struct wanted_standing w = {.budget = &d->budgets[budget], .who = span_str(who)};
    char a[MONEY_TEXT_BYTES], b[MONEY_TEXT_BYTES];
    budget_each(d->book, &d->set, NOW_US, find_standing, &w);
    EXPECT_EQ(w.n, 1);
    if (w.posted != posted || w.pending != pending)
        UNIT_FAIL("%s %s stands at %s and %s", d->budgets[budget].name, who, money_format(a, w.posted, 0).p, money_format(b, w.pending, 0).p);
}

/* ---- one request after another ---- */

TEST(a_request_that_does_not_fit_is_refused_by_name)
{
    static struct desk d;
    struct budget_hold a = {0}, b = {0}, c = {0};
    d.budgets[0] = budget_of("B1", BUDGET_KEY, "legal-*", USD(10));
    desk_open(&d, 1);
    EXPECT_EQ(desk_take(&d, "legal-app", USD(6), &a), ERR_OK);
    EXPECT_EQ(desk_take(&d, "legal-app", USD(4), &b), ERR_OK); /* just fits */
    EXPECT_EQ(desk_take(&d, "legal-bot", 1, &c), ERR_BUDGET);
    EXPECT(d.refused == &d.budgets[0] && c.parts_n == 0);
    EXPECT_EQ(desk_take(&d, "rnd-app", USD(99), &c), ERR_OK);  /* another's */
    EXPECT_EQ(c.parts_n, 0);
    expect_standing(&d, 0, "", 0, USD(10));
    budget_release(d.book, &b);
    budget_settle(d.book, &a, &(struct budget_amounts){.sell = USD(2), .sell_currency = "USD"});
    expect_standing(&d, 0, "", USD(2), 0);
    EXPECT_EQ(desk_take(&d, "legal-bot", USD(8) + 1, &c), ERR_BUDGET);
    EXPECT_EQ(desk_take(&d, "legal-bot", USD(8), &c), ERR_OK);
    budget_release(d.book, &c);
    budget_release(d.book, &c); /* is empty by now */
    expect_standing(&d, 0, "", USD(2), 0);
    budget_book_free(d.book);
}

TEST(what_was_used_is_posted_even_above_what_was_held)
{
    static struct desk d;
    struct budget_hold h = {0};
    struct budget_amounts attempt = selling(USD(3)), last = selling(USD(9));
    d.budgets[0] = budget_of("B1", BUDGET_ALL, "", USD(10));
    desk_open(&d, 1);
    EXPECT_EQ(desk_take(&d, "k", USD(5), &h), ERR_OK);
    budget_post(d.book, &h, &attempt);
    expect_standing(&d, 0, "", USD(3), USD(5));
    budget_settle(d.book, &h, &last);
    expect_standing(&d, 0, "", USD(12), 0);
    EXPECT_EQ(desk_take(&d, "k", 0, &h), ERR_BUDGET);
    budget_book_free(d.book);
}

TEST(a_request_takes_from_all_its_budgets_or_from_none)
{
    static struct desk d;
    struct budget_hold h = {0};
    d.budgets[0] = budget_of("department", BUDGET_DEPARTMENT, "legal", USD(100));
    d.budgets[1] = budget_of("party", BUDGET_PARTY, "ac*", USD(5));
    d.budgets[2] = budget_of("other", BUDGET_DEPARTMENT, "rnd", USD(1));
    desk_open(&d, 3);
    EXPECT_EQ(desk_take(&d, "k", USD(6), &h), ERR_BUDGET);
    EXPECT(d.refused == &d.budgets[1]);
    expect_standing(&d, 0, "", 0, 0);
    EXPECT_EQ(desk_take(&d, "k", USD(5), &h), ERR_OK);
    expect_standing(&d, 0, "", 0, USD(5));
    expect_standing(&d, 1, "", 0, USD(5));
    expect_standing(&d, 2, "", 0, 0);
    budget_release(d.book, &h);
    budget_book_free(d.book);
}

TEST(providers_and_sellers_are_budgeted_by_what_we_pay)
{
    static struct desk d;
    struct budget_hold h = {0};
    struct budget_facts f = facts_of("k", NOW_US);
    struct budget_amounts worst = {.buy = USD(3), .sell = USD(7), .buy_currency = "USD", .sell_currency = "EUR"};
    d.budgets[0] = budget_of("provider", BUDGET_PROVIDER, "azure-*", USD(3));
    d.budgets[1] = budget_of("seller", BUDGET_SELLER, "microsoft", USD(3));
    d.budgets[2] = budget_of("dollars", BUDGET_KEY, "*", USD(1)); /* what is sold is in euros: not this one's */
    d.budgets[3] = budget_of("euros", BUDGET_KEY, "*", USD(7));
    memcpy(d.budgets[3].currency, "EUR", CURRENCY_BYTES);
    desk_open(&d, 4);
    EXPECT_EQ(budget_take(d.book, &d.set, &f, &worst, &h, &d.refused), ERR_OK);
    expect_standing(&d, 0, "", 0, USD(3));
    expect_standing(&d, 1, "", 0, USD(3));
    expect_standing(&d, 2, "", 0, 0);
    expect_standing(&d, 3, "", 0, USD(7));
    budget_settle(d.book, &h, &worst);
    expect_standing(&d, 1, "", USD(3), 0);
    expect_standing(&d, 3, "", USD(7), 0);
    budget_book_free(d.book);
}

TEST(each_has_the_budget_for_himself)
{
    static struct desk d;
    struct budget_hold a = {0}, b = {0}, c = {0};
    d.budgets[0] = budget_of("B1", BUDGET_KEY, "*", USD(10));
    d.budgets[0].each = true;
    desk_open(&d, 1);
    EXPECT_EQ(desk_take(&d, "ann", USD(10), &a), ERR_OK);
    EXPECT_EQ(desk_take(&d, "bob", USD(7), &b), ERR_OK);
    EXPECT_EQ(desk_take(&d, "ann", USD(1), &c), ERR_BUDGET);
    expect_standing(&d, 0, "ann", 0, USD(10));
    expect_standing(&d, 0, "bob", 0, USD(7));
    EXPECT_EQ(desk_take(&d, "", USD(99), &c), ERR_OK); /* who has no name is under no budget of names */
    EXPECT_EQ(c.parts_n, 0);
    budget_release(d.book, &a);
    budget_release(d.book, &b);
    budget_book_free(d.book);
}

TEST(an_exhausted_budget_lets_the_models_pass_that_it_names)
{
    static struct desk d;
    struct span cheap[] = {SPAN("gemini-*")};
    struct budget_hold h = {0}, more = {0};
    struct budget_facts f = facts_of("k", NOW_US);
    struct budget_amounts worst = selling(USD(4));
    d.budgets[0] = budget_of("B3", BUDGET_DEPARTMENT, "legal", USD(5));
    d.budgets[0].then_models = cheap;
    d.budgets[0].then_models_n = 1;
    desk_open(&d, 1);
    EXPECT_EQ(desk_take(&d, "k", USD(4), &h), ERR_OK);
    EXPECT_EQ(desk_take(&d, "k", USD(4), &more), ERR_BUDGET);
    f.model = SPAN("gemini-flash");
    EXPECT_EQ(budget_take(d.book, &d.set, &f, &worst, &more, &d.refused), ERR_OK);
    expect_standing(&d, 0, "", 0, USD(8)); /* and it counts */
    budget_release(d.book, &h);
    budget_release(d.book, &more);
    budget_book_free(d.book);
}

TEST(a_budget_may_be_hard_later_or_never)
{
    static struct desk d;
    struct budget_hold h = {0};
    d.budgets[0] = budget_of("B2", BUDGET_ALL, "", USD(10));
    d.budgets[0].hard_at = (struct rate){6, 5};
    d.budgets[1] = budget_of("soft", BUDGET_ALL, "", USD(1));
    d.budgets[1].hard = false;
    desk_open(&d, 2);
    EXPECT_EQ(desk_take(&d, "k", USD(12) + 1, &h), ERR_BUDGET);
    EXPECT_EQ(desk_take(&d, "k", USD(12), &h), ERR_OK);
    expect_standing(&d, 1, "", 0, USD(12));
    budget_release(d.book, &h);
    budget_book_free(d.book);
}

TEST(an_amount_without_end_is_held_and_given_back_whole)
{
    static struct desk d;
    struct budget_hold a = {0}, b = {0}, c = {0};
    d.budgets[0] = budget_of("soft", BUDGET_ALL, "", USD(1));
    d.budgets[0].hard = false;
    desk_open(&d, 1);
    EXPECT_EQ(desk_take(&d, "k", MONEY_MAX, &a), ERR_OK);
    EXPECT_EQ(desk_take(&d, "k", MONEY_MAX, &b), ERR_OK);
    budget_release(d.book, &a);
    budget_release(d.book, &b);
    expect_standing(&d, 0, "", 0, 0);
    d.budgets[0].hard = true;
    EXPECT_EQ(desk_take(&d, "k", MONEY_MAX, &c), ERR_BUDGET);
    budget_book_free(d.book);
}

TEST(more_budgets_than_a_hold_has_room_for_refuse_the_request)
{
    static struct desk d;
    struct budget_hold h = {0};
    static char names[BUDGET_HOLD_PARTS + 1][4];
    for (unsigned i = 0; i <= BUDGET_HOLD_PARTS; i++) {
        snprintf(names[i], sizeof names[i], "B%u", i % 100);
        d.budgets[i] = budget_of(names[i], BUDGET_ALL, "", USD(1));
    }
    desk_open(&d, BUDGET_HOLD_PARTS);
    EXPECT_EQ(desk_take(&d, "k", 1, &h), ERR_OK);
    budget_release(d.book, &h);
    d.set.budgets_n++;
    EXPECT_EQ(desk_take(&d, "k", 1, &h), ERR_BUDGET);
    EXPECT(d.refused == &d.budgets[BUDGET_HOLD_PARTS] && h.parts_n == 0);
    budget_book_free(d.book);
}

/* ---- what is told ---- */

static void desk_spend(struct desk *d, const char *key, money amount)
{
    struct budget_hold h = {0};
    struct budget_amounts actual = selling(amount);
    EXPECT_EQ(desk_take(d, key, 0, &h), ERR_OK);
    budget_settle(d->book, &h, &actual);
}

TEST(each_level_is_told_once)
{
    static struct desk d;
    struct budget_hold h = {0};
    d.budgets[0] = budget_of("B2", BUDGET_KEY, "*", USD(10));
    d.budgets[0].each = true;
    d.budgets[0].hard_at = (struct rate){6, 5};
    d.budgets[0].warn_at[0] = (struct rate){1, 2};
    d.budgets[0].warn_at[1] = (struct rate){4, 5};
    desk_open(&d, 1);
    desk_spend(&d, "ann", USD(5) - 1);
    EXPECT_STR(d.told, "");
    desk_spend(&d, "ann", 1);
    EXPECT_STR(d.told, "B2/ann 50% 5 2026-11; ");
    desk_spend(&d, "ann", USD(6)); /* two at once */
    EXPECT_STR(d.told, "B2/ann 50% 5 2026-11; B2/ann 80% 11 2026-11; B2/ann 100% 11 2026-11; ");
    d.told[0] = '\0';
    desk_spend(&d, "ann", USD(-9));
    desk_spend(&d, "ann", USD(9)); /* passed again: nothing new */
    EXPECT_STR(d.told, "");
    EXPECT_EQ(desk_take(&d, "ann", USD(2), &h), ERR_BUDGET);
    EXPECT_EQ(desk_take(&d, "ann", USD(2), &h), ERR_BUDGET);
    EXPECT_STR(d.told, "B2/ann 0% 11 2026-11; ");
    desk_spend(&d, "ann", USD(1));
    EXPECT_STR(d.told, "B2/ann 0% 11 2026-11; B2/ann 120% 12 2026-11; ");
    d.told[0] = '\0';
    desk_spend(&d, "bob", USD(5));
    EXPECT_STR(d.told, "B2/bob 50% 5 2026-11; ");
    budget_book_free(d.book);
}

TEST(a_restart_knows_what_was_spent_and_does_not_repeat_itself)
{
    static struct desk d;
    struct budget_hold h = {0};
    struct budget_facts f = facts_of("ann", NOW_US);
    struct budget_amounts posted = selling(USD(6));
    d.budgets[0] = budget_of("B1", BUDGET_KEY, "*", USD(10));
    d.budgets[0].warn_at[0] = (struct rate){1, 2};
    desk_open(&d, 1);
    EXPECT_EQ(budget_restore(d.book, &d.set, &f, &posted), ERR_OK);
    EXPECT_STR(d.told, "");
    expect_standing(&d, 0, "", USD(6), 0);
    EXPECT_EQ(desk_take(&d, "ann", USD(4) + 1, &h), ERR_BUDGET);
    budget_book_free(d.book);
}

/* ---- time and reloads ---- */

static enum err take_at(struct desk *d, const char *key, money amount, int64_t now_us, struct budget_hold *h)
{
    struct budget_facts f = facts_of(key, now_us);
    struct budget_amounts worst = selling(amount);
    return budget_take(d->book, &d->set, &f, &worst, h, &d->refused);
}

TEST(a_new_month_has_a_new_budget_and_old_holds_stay_in_theirs)
{
    static struct desk d;
    struct budget_hold november = {0}, december = {0}, none = {0};
    struct budget_amounts actual = selling(USD(9));
    d.budgets[0] = budget_of("B1", BUDGET_ALL, "", USD(10));
    desk_open(&d, 1);
    EXPECT_EQ(take_at(&d, "k", USD(10), NOW_US, &november), ERR_OK);
    EXPECT_EQ(take_at(&d, "k", USD(10), NOW_US + 8 * DAY_US, &december), ERR_OK);
    EXPECT_EQ(take_at(&d, "k", 1, NOW_US + 8 * DAY_US, &none), ERR_BUDGET);
    budget_settle(d.book, &november, &actual);
    budget_release(d.book, &december);
    expect_standing(&d, 0, "", USD(9), 0);
    EXPECT_EQ(take_at(&d, "k", USD(10), NOW_US + 8 * DAY_US, &december), ERR_OK);
    EXPECT_EQ(take_at(&d, "k", USD(2), NOW_US, &none), ERR_BUDGET); /* late, and still November's */
    budget_release(d.book, &december);
    budget_book_free(d.book);
}

TEST(counters_of_ended_periods_go_when_nothing_refers_to_them)
{
    static struct desk d;
    static struct budget_hold open[40];
    d.budgets[0] = budget_of("B1", BUDGET_KEY, "*", USD(10));
    d.budgets[0].each = true;
    d.budgets[0].unit = PERIOD_DAY;
    desk_open(&d, 1);
    for (unsigned day = 0; day < 400; day++)
        for (unsigned key = 0; key < 30; key++) {
            char name[8];
            struct budget_hold h = {0};
            snprintf(name, sizeof name, "k%u", key);
            REQUIRE(take_at(&d, name, 1, NOW_US + day * DAY_US, &h) == ERR_OK);
            if (key == 0 && day < COUNT_OF(open))
                open[day] = h;
            else
                budget_release(d.book, &h);
        }
    EXPECT(budget_counters(d.book) >= COUNT_OF(open) + 30 && budget_counters(d.book) <= 256);
    for (size_t i = 0; i < COUNT_OF(open); i++)
        budget_settle(d.book, &open[i], &(struct budget_amounts){.sell = 1, .sell_currency = "USD"}); /* they are still there */
    budget_book_free(d.book);
}

static enum err take_euros(struct desk *d, money amount, struct budget_hold *h)
{
    struct budget_facts f = facts_of("k", NOW_US);
    struct budget_amounts worst = {.sell = amount, .sell_currency = "EUR"};
    return budget_take(d->book, &d->set, &f, &worst, h, &d->refused);
}

TEST(a_reload_keeps_what_was_spent_under_the_name)
{
    static struct desk d;
    static struct budget after[3];
    struct budget_hold h = {0}, more = {0};
    struct budget_amounts actual = selling(USD(8));
    d.budgets[0] = budget_of("B1", BUDGET_ALL, "", USD(10));
    desk_open(&d, 1);
    EXPECT_EQ(desk_take(&d, "k", USD(10), &h), ERR_OK);
    after[0] = budget_of("B0", BUDGET_ALL, "", USD(100));
    after[1] = budget_of("B1", BUDGET_ALL, "", USD(20));
    after[2] = budget_of("B1", BUDGET_ALL, "", USD(20)); /* the same name by the day is another counter */
    after[2].unit = PERIOD_DAY;
    d.set = (struct budget_set){after, 3};
    EXPECT_EQ(desk_take(&d, "k", USD(10) + 1, &more), ERR_BUDGET);
    EXPECT(d.refused == &after[1]);
    budget_settle(d.book, &h, &actual); /* of the catalog before */
    EXPECT_EQ(desk_take(&d, "k", USD(12), &more), ERR_OK);
    budget_release(d.book, &more);
    after[1].limit = USD(7); /* lowered below what is spent */
    EXPECT_EQ(desk_take(&d, "k", 0, &more), ERR_BUDGET);
    EXPECT(d.refused == &after[1]);
    after[1].unit = PERIOD_YEAR; /* another period or another currency: from nothing */
    EXPECT_EQ(desk_take(&d, "k", USD(7), &more), ERR_OK);
    budget_release(d.book, &more);
    after[1].unit = PERIOD_MONTH;
    memcpy(after[1].currency, "EUR", CURRENCY_BYTES);
    EXPECT_EQ(take_euros(&d, USD(7), &more), ERR_OK);
    budget_release(d.book, &more);
    budget_book_free(d.book);
}

/* ---- by chance, against a plain model ---- */

#define MODEL_HOLDS 20

static const char *const model_keys[] = {"red-app", "red-bot", "blue-app"};
static const struct {
    const char *name, *who;
    bool hard, applies[COUNT_OF(model_keys)];
} model_rows[] = {
    {"B0", "*", true, {true, true, true}},       {"B1", "red-*", true, {true, true, false}},  {"B2", "*-app", true, {true, false, true}},
    {"B3", "blue-*", true, {false, false, true}}, {"B4", "red-b?t", true, {false, true, false}}, {"B5", "*", false, {true, true, true}},
};
#define MODEL_BUDGETS COUNT_OF(model_rows)

struct model {
    struct desk desk;
    money posted[MODEL_BUDGETS], pending[MODEL_BUDGETS];
    struct budget_hold holds[MODEL_HOLDS];
    money held[MODEL_HOLDS]; /* -1: none */
    unsigned keys[MODEL_HOLDS];
};

static void model_open(struct model *m)
{
    memset(m, 0, sizeof *m);
    for (unsigned i = 0; i < MODEL_BUDGETS; i++) {
        m->desk.budgets[i] = budget_of(model_rows[i].name, BUDGET_KEY, model_rows[i].who, 50 + random_below(200));
        m->desk.budgets[i].hard = model_rows[i].hard;
    }
    desk_open(&m->desk, MODEL_BUDGETS);
    for (unsigned i = 0; i < MODEL_HOLDS; i++)
        m->held[i] = -1;
}

static bool model_fits(const struct model *m, unsigned key, money amount)
{
    for (unsigned i = 0; i < MODEL_BUDGETS; i++)
        if (model_rows[i].applies[key] && m->desk.budgets[i].hard && m->posted[i] + m->pending[i] + amount > m->desk.budgets[i].limit)
            return false;
    return true;
}

static void model_move(struct model *m, unsigned key, money posted, money pending)
{
    for (unsigned i = 0; i < MODEL_BUDGETS; i++)
        if (model_rows[i].applies[key]) {
            m->posted[i] += posted;
            m->pending[i] += pending;
        }
}

static void model_take(struct model *m, unsigned at)
{
    money amount = random_below(30);
    unsigned key = m->keys[at] = random_below(COUNT_OF(model_keys));
    enum err e = desk_take(&m->desk, model_keys[key], amount, &m->holds[at]);
    EXPECT_EQ(e, model_fits(m, key, amount) ? ERR_OK : ERR_BUDGET);
    if (!e) {
        m->held[at] = amount;
        model_move(m, key, 0, amount);
    }
}

static void model_end(struct model *m, unsigned at)
{
    money amount = random_below(3) ? random_below((unsigned)m->held[at] + 1) : random_below(40);
    struct budget_amounts actual = selling(amount);
    unsigned how = random_below(3);
    if (how == 0)
        budget_release(m->desk.book, &m->holds[at]);
    else
        (how == 1 ? budget_settle : budget_post)(m->desk.book, &m->holds[at], &actual);
    model_move(m, m->keys[at], how ? amount : 0, how == 2 ? 0 : -m->held[at]);
    m->held[at] = how == 2 ? m->held[at] : -1;
}

TEST(budgets_agree_with_a_plain_model)
{
    static struct model m;
    random_seed(5);
    for (int round = 0; round < 100 && unit_failures < 10; round++) {
        model_open(&m);
        for (int step = 0; step < 200; step++) {
            unsigned at = random_below(MODEL_HOLDS);
            if (m.held[at] < 0)
                model_take(&m, at);
            else
                model_end(&m, at);
        }
        for (unsigned i = 0; i < MODEL_BUDGETS; i++)
            expect_standing(&m.desk, i, "", m.posted[i], m.pending[i]);
        budget_book_free(m.desk.book);
    }
}

/* ---- 64 threads ---- */

#define THREADS 64
#define TRIES 400

struct race {
    struct desk desk;
    money worst, actual;
    bool settles;
    atomic_bool ended;
    atomic_uint admitted, over, told;
};

static void count_told(void *owner, const struct budget *b, struct span who, unsigned percent, money spent, const struct period *p)
{
    struct race *r = owner;
    atomic_fetch_add(&r->told, 1);
}

static void *ask_and_ask(void *owner)
{
    struct race *r = owner;
    struct budget_amounts actual = selling(r->actual);
    for (unsigned i = 0; i < TRIES; i++) {
        struct budget_hold h = {0};
        const struct budget *refused;
        struct budget_facts f = facts_of("k", NOW_US);
        struct budget_amounts worst = selling(r->worst);
        if (budget_take(r->desk.book, &r->desk.set, &f, &worst, &h, &refused))
            continue;
        atomic_fetch_add(&r->admitted, 1);
        if (r->settles)
            budget_settle(r->desk.book, &h, &actual);
    }
    return NULL;
}

static void look_for_excess(void *owner, const struct budget_standing *s)
{
    struct race *r = owner;
    if (s->budget->hard && s->posted + s->pending > s->budget->limit)
        atomic_fetch_add(&r->over, 1);
}

static void *watch(void *owner)
{
    struct race *r = owner;
    while (!atomic_load(&r->ended))
        budget_each(r->desk.book, &r->desk.set, NOW_US, look_for_excess, r);
    return NULL;
}

static void run_race(struct race *r, money limit)
{
    pthread_t threads[THREADS], watcher;
    memset(r->desk.budgets, 0, sizeof r->desk.budgets);
    r->desk.budgets[0] = budget_of("B1", BUDGET_DEPARTMENT, "legal", limit);
    r->desk.budgets[0].warn_at[0] = (struct rate){1, 2};
    r->desk.budgets[1] = budget_of("each", BUDGET_KEY, "*", limit * 2);
    r->desk.budgets[1].each = true;
    r->desk.set = (struct budget_set){r->desk.budgets, 2};
    r->desk.book = budget_book_new(count_told, r);
    atomic_store(&r->ended, false);
    REQUIRE(pthread_create(&watcher, NULL, watch, r) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, ask_and_ask, r) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&r->ended, true);
    pthread_join(watcher, NULL);
    EXPECT_EQ(atomic_load(&r->over), 0);
}

TEST(a_budget_that_fits_so_many_requests_admits_so_many_however_many_ask_at_once)
{
    static struct race r = {.worst = 7, .actual = 7};
    run_race(&r, 7 * 5000 + 6);
    EXPECT_EQ(atomic_load(&r.admitted), 5000); /* of 25,600 that asked, none of which ended */
    expect_standing(&r.desk, 0, "", 0, 35000);
    budget_book_free(r.desk.book);
}

TEST(a_budget_is_never_passed_while_requests_end)
{
    static struct race r = {.worst = 100, .actual = 100, .settles = true};
    run_race(&r, 100 * 9000 + 99);
    EXPECT_EQ(atomic_load(&r.admitted), 9000);
    EXPECT_EQ(atomic_load(&r.told), 2); /* B1 at half, and the first that did not fit */
    expect_standing(&r.desk, 0, "", 900000, 0);
    expect_standing(&r.desk, 1, "k", 900000, 0);
    budget_book_free(r.desk.book);
}

TEST(what_is_given_back_can_be_taken_again)
{
    static struct race r = {.worst = 1000, .actual = 1, .settles = true};
    run_race(&r, 1000000);
    EXPECT(atomic_load(&r.admitted) == THREADS * TRIES); /* 25,600 of one each, though a thousand at most fit at once */
    expect_standing(&r.desk, 0, "", THREADS * TRIES, 0);
    budget_book_free(r.desk.book);
}

UNIT_MAIN
