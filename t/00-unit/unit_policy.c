/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may ask, who may answer, in what order, and who rests: catalog, health and plan on a fake clock.
 */
#include "policy/plan.h"
#include "unit.h"

#define S NS_PER_S

static const struct dialect talks_all = {.name = "all", .serves = {API_OPENAI_CHAT, API_OPENAI_COMPLETIONS, API_OPENAI_EMBEDDINGS}};
static const struct dialect talks_chat = {.name = "chat", .serves = {API_OPENAI_CHAT}};

/* ---- a catalog by hand: one model "m" whose deployments are one per letter of `weights` ('0'-'9'), each at a provider of its own ---- */

static struct provider *add_provider(struct catalog *c, const char *name, const struct dialect *dialect)
{
    struct provider *p = ARENA_NEW(&c->arena, struct provider);
    p->index = c->providers_n;
    p->name = name;
    p->dialect = dialect;
    p->credential = arena_dup(&c->arena, SPAN("a secret"));
    c->providers[c->providers_n++] = p;
    return p;
}

static struct deployment *add_deployment(struct catalog *c, const struct provider *p, unsigned weight)
{
    struct deployment *d = ARENA_NEW(&c->arena, struct deployment);
    d->index = c->deployments_n;
    d->provider = p;
    d->model = SPAN("there");
    d->weight = weight;
    c->deployments[c->deployments_n++] = d;
    return d;
}

static struct catalog *catalog_begin(void)
{
    struct catalog *c = catalog_new();
    c->providers = ARENA_ARRAY(&c->arena, struct provider *, 256);
    c->deployments = ARENA_ARRAY(&c->arena, struct deployment *, 256);
    c->models = ARENA_ARRAY(&c->arena, struct model, 256);
    c->keys = ARENA_ARRAY(&c->arena, struct key, 256);
    c->retry = (struct retry_policy){.attempts_max = 3, .budget_percent = 20, .budget_min_per_s = 10};
    c->ejection = (struct ejection_policy){.failures = 5, .base_ns = 5 * S, .max_ns = 300 * S, .return_ns = 10 * S, .ejected_percent_max = 50};
    return c;
}

static const char *const provider_names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};

static struct model *add_model(struct catalog *c, const char *name, enum selection select, const char *weights)
{
    struct model *m = &c->models[c->models_n++];
    m->name = span_str(name);
    m->select = select;
    m->deployments_n = (unsigned)strlen(weights);
    m->deployments = ARENA_ARRAY(&c->arena, const struct deployment *, m->deployments_n);
    for (unsigned i = 0; i < m->deployments_n; i++)
        m->deployments[i] = add_deployment(c, add_provider(c, provider_names[i], &talks_all), (unsigned)(weights[i] - '0'));
    return m;
}

struct bench {
    struct catalog *catalog;
    struct model *model;
    struct health *health;
    struct arena arena;
    const struct deployment **d; /* the model's */
    uint64_t random;
};

static void bench_init(struct bench *b, enum selection select, const char *weights)
{
    b->catalog = catalog_begin();
    b->model = add_model(b->catalog, "m", select, weights);
    b->d = b->model->deployments;
    catalog_seal(b->catalog);
    b->health = health_new(b->catalog, NULL, NULL);
    b->random = 42;
    arena_init(&b->arena, 1024);
}

static void bench_fini(struct bench *b)
{
    health_free(b->health);
    catalog_unref(b->catalog);
    arena_fini(&b->arena);
}

static struct plan planned(struct bench *b, uint64_t now_ns)
{
    struct plan_facts facts = {.api = API_OPENAI_CHAT, .now_ns = now_ns, .random = b->random += 0x1234567};
    struct plan plan;
    EXPECT_EQ(plan_make(&b->arena, b->model, b->health, &facts, &plan), ERR_OK);
    return plan;
}

/* The plan as a word: the providers' letters in order. */
static const char *order(struct bench *b, uint64_t now_ns)
{
    static char word[32];
    struct plan plan = planned(b, now_ns);
    for (unsigned i = 0; i < plan.entries_n; i++)
        word[i] = plan.entries[i].deployment->provider->name[0];
    word[plan.entries_n] = '\0';
    return word;
}

static void ends(struct bench *b, unsigned which, enum health_outcome outcome, uint64_t now_ns, uint64_t first_byte_ns)
{
    health_begin(b->health, b->d[which], now_ns);
    health_end(b->health, b->d[which], outcome, now_ns, first_byte_ns, 0);
}

static void fails(struct bench *b, unsigned which, unsigned times, uint64_t now_ns)
{
    while (times--)
        ends(b, which, HEALTH_FAILED, now_ns, 0);
}

static enum health_state state(struct bench *b, unsigned which, uint64_t now_ns)
{
    return health_state(b->health, b->d[which], now_ns);
}

/* ---- the catalog ---- */

TEST(a_glob_means_what_it_says)
{
    static const struct { const char *pattern, *text; bool matches; } rows[] = {
        {"", "", true},          {"", "a", false},        {"*", "", true},           {"*", "anything", true},
        {"?", "", false},        {"?", "a", true},        {"gpt-4o", "gpt-4o", true}, {"gpt-4o", "gpt-4o-mini", false},
        {"gpt-*", "gpt-", true}, {"gpt-*", "gpt4", false}, {"*-mini", "gpt-4o-mini", true}, {"*-mini", "gpt-4o-minix", false},
        {"a*b*c", "aXbYc", true}, {"a*b*c", "aXbYcZ", false}, {"a*b*c", "abcbc", true}, {"**", "x", true},
        {"a?c", "abc", true},    {"a?c", "ac", false},    {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false}, {"GPT", "gpt", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (glob_matches(span_str(rows[i].pattern), span_str(rows[i].text)) != rows[i].matches)
            UNIT_FAIL("%s and %s", rows[i].pattern, rows[i].text);
}

TEST(every_model_is_found_by_its_name_and_no_other)
{
    struct catalog *c = catalog_begin();
    static char names[100][16];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "model-%u", i);
        add_model(c, names[i], SELECT_ORDERED, "1");
    }
    catalog_seal(c);
    for (unsigned i = 0; i < 100; i++)
        EXPECT(catalog_model(c, span_str(names[i])) == &c->models[i]);
    EXPECT(catalog_model(c, SPAN("model-100")) == NULL);
    EXPECT(catalog_model(c, SPAN("Model-1")) == NULL);
    EXPECT(catalog_model(c, SPAN("")) == NULL);
    catalog_unref(c);
}

TEST(a_catch_all_answers_for_unlisted_names_only)
{
    struct catalog *c = catalog_begin();
    struct model *listed = add_model(c, "gpt-4o", SELECT_ORDERED, "1"), *all = add_model(c, "*", SELECT_ORDERED, "1");
    catalog_seal(c);
    EXPECT(catalog_model(c, SPAN("gpt-4o")) == listed);
    EXPECT(catalog_model(c, SPAN("llama")) == all);
    struct deployment named = {.model = SPAN("there")}, passes = {.model = SPAN_NONE};
    EXPECT_SPAN(deployment_model(&named, SPAN("asked")), "there");
    EXPECT_SPAN(deployment_model(&passes, SPAN("asked")), "asked");
    catalog_unref(c);
}

static void add_key(struct catalog *c, const char *name, const char *secret, bool revoked)
{
    struct key *k = &c->keys[c->keys_n++];
    *k = (struct key){.name = name, .department = "", .party = "", .revoked = revoked};
    digest_sha256(span_str(secret), k->digest);
}

TEST(only_a_known_unrevoked_secret_opens_the_door)
{
    struct catalog *c = catalog_begin();
    static char names[200][16], secrets[200][16];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(names[i], sizeof names[i], "key-%u", i);
        snprintf(secrets[i], sizeof secrets[i], "secret-%u", i);
        add_key(c, names[i], secrets[i], i % 10 == 9);
    }
    catalog_seal(c);
    const struct key *k = NULL;
    for (unsigned i = 0; i < 200; i++) {
        k = NULL;
        enum err e = catalog_key(c, span_str(secrets[i]), &k);
        EXPECT_EQ(e, i % 10 == 9 ? ERR_KEY_REVOKED : ERR_OK);
        EXPECT(i % 10 == 9 ? k == NULL : k == &c->keys[i]);
    }
    EXPECT_EQ(catalog_key(c, SPAN_NONE, &k), ERR_NO_KEY);
    EXPECT_EQ(catalog_key(c, SPAN("secret-200"), &k), ERR_BAD_KEY);
    EXPECT_EQ(catalog_key(c, SPAN("secret-1 "), &k), ERR_BAD_KEY);
    catalog_unref(c);
}

TEST(without_keys_in_the_config_everybody_may_ask)
{
    struct catalog *c = catalog_begin();
    const struct key *k = &(struct key){.name = "x"};
    catalog_seal(c);
    EXPECT_EQ(catalog_key(c, SPAN("whatever"), &k), ERR_OK);
    EXPECT(k == NULL);
    EXPECT(key_may_ask(NULL, SPAN("m")));
    catalog_unref(c);
}

TEST(the_admin_key_is_one_secret_and_none_when_unset)
{
    struct catalog *c = catalog_begin();
    catalog_seal(c);
    EXPECT(!catalog_is_admin(c, SPAN("root")));
    EXPECT(!catalog_is_admin(c, SPAN("")));
    digest_sha256(SPAN("root"), c->admin_digest);
    c->has_admin_key = true;
    EXPECT(catalog_is_admin(c, SPAN("root")));
    EXPECT(!catalog_is_admin(c, SPAN("Root")));
    EXPECT(!catalog_is_admin(c, SPAN("")));
    catalog_unref(c);
}

TEST(a_key_asks_only_for_the_models_it_names)
{
    struct span globs[] = {SPAN("gpt-4o*"), SPAN("llama")};
    struct key k = {.models = globs, .models_n = 2};
    EXPECT(key_may_ask(&k, SPAN("gpt-4o-mini")));
    EXPECT(key_may_ask(&k, SPAN("llama")));
    EXPECT(!key_may_ask(&k, SPAN("llama-4")));
    EXPECT(!key_may_ask(&k, SPAN("o1")));
}

TEST(a_catalog_lives_until_its_last_holder_lets_go)
{
    struct catalog *c = catalog_begin();
    add_model(c, "m", SELECT_ORDERED, "1");
    catalog_seal(c);
    struct catalog *second = catalog_ref(c);
    catalog_unref(c);
    EXPECT(catalog_model(second, SPAN("m")) != NULL);
    catalog_unref(second);
    catalog_unref(NULL);
}

/* ---- the plan ---- */

TEST(ordered_means_as_listed)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "111");
    struct plan plan = planned(&b, S);
    EXPECT_STR(plan.entries[0].why, "listed first");
    EXPECT_EQ(plan.usable_n, 3);
    EXPECT_STR(order(&b, S), "abc");
    bench_fini(&b);
}

TEST(weights_are_met_over_many_requests)
{
    struct bench b;
    unsigned first[3] = {0}, second_after_c[3] = {0}, draws = 100000;
    bench_init(&b, SELECT_WEIGHTED, "136");
    for (unsigned i = 0; i < draws; i++) {
        const char *word = order(&b, S);
        first[word[0] - 'a']++;
        if (word[0] == 'c')
            second_after_c[word[1] - 'a']++;
        arena_fini(&b.arena);
    }
    EXPECT(first[0] > 9500 && first[0] < 10500);   /* 1 in 10 */
    EXPECT(first[1] > 29300 && first[1] < 30700);  /* 3 in 10 */
    EXPECT(first[2] > 59300 && first[2] < 60700);  /* 6 in 10 */
    double part = (double)second_after_c[0] / (second_after_c[0] + second_after_c[1]);
    EXPECT(part > 0.24 && part < 0.26);            /* without replacement: 1 in 4 of what is left */
    bench_fini(&b);
}

TEST(weight_zero_is_asked_only_after_all_others)
{
    struct bench b;
    bench_init(&b, SELECT_WEIGHTED, "0102");
    for (unsigned i = 0; i < 200; i++) {
        const char *word = order(&b, S);
        EXPECT(strcmp(word, "bdac") == 0 || strcmp(word, "dbac") == 0);
    }
    bench_fini(&b);
    bench_init(&b, SELECT_WEIGHTED, "000");
    EXPECT_STR(order(&b, S), "abc");
    bench_fini(&b);
}

TEST(least_latency_prefers_the_faster_and_never_starves_the_order)
{
    struct bench b;
    unsigned heads[3] = {0};
    bench_init(&b, SELECT_LEAST_LATENCY, "111");
    ends(&b, 0, HEALTH_OK, S, 300 * NS_PER_MS);
    ends(&b, 1, HEALTH_OK, S, 100 * NS_PER_MS);
    ends(&b, 2, HEALTH_OK, S, 200 * NS_PER_MS);
    for (unsigned i = 0; i < 3000; i++) {
        const char *word = order(&b, S);
        heads[word[0] - 'a']++;
        EXPECT(word[0] != 'b' || strcmp(word, "bca") == 0);
        EXPECT(word[0] != 'c' || strcmp(word, "cba") == 0);
    }
    EXPECT_EQ(heads[0], 0);                            /* the slowest loses both its draws */
    EXPECT(heads[1] > 1850 && heads[1] < 2150);        /* the fastest is in two draws of three */
    EXPECT(heads[2] > 850 && heads[2] < 1150);
    bench_fini(&b);
}

TEST(requests_under_way_make_a_deployment_dearer)
{
    struct bench b;
    bench_init(&b, SELECT_LEAST_LATENCY, "11");
    ends(&b, 0, HEALTH_OK, S, 100 * NS_PER_MS);
    ends(&b, 1, HEALTH_OK, S, 150 * NS_PER_MS);
    EXPECT_STR(order(&b, S), "ab");
    health_begin(b.health, b.d[0], S);
    EXPECT_EQ(health_under_way(b.health, b.d[0]), 1);
    EXPECT_STR(order(&b, S), "ba");
    bench_fini(&b);
}

static struct plan facts_plan(struct bench *b, struct plan_facts facts, enum err expected)
{
    struct plan plan = {0};
    EXPECT_EQ(plan_make(&b->arena, b->model, b->health, &facts, &plan), expected);
    return plan;
}

TEST(an_api_that_a_provider_cannot_speak_removes_it_and_says_so)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "111");
    b.catalog->providers[0]->dialect = &talks_chat;
    struct plan plan = facts_plan(&b, (struct plan_facts){.api = API_OPENAI_EMBEDDINGS}, ERR_OK);
    EXPECT_EQ(plan.usable_n, 2);
    EXPECT(plan.entries[0].deployment == b.d[1]);
    EXPECT(plan.entries[2].deployment == b.d[0] && plan.entries[2].removed);
    EXPECT_STR(plan.entries[2].why, "its dialect cannot answer embeddings");
    b.catalog->providers[1]->dialect = b.catalog->providers[2]->dialect = &talks_chat;
    plan = facts_plan(&b, (struct plan_facts){.api = API_OPENAI_EMBEDDINGS}, ERR_NO_PROVIDER);
    EXPECT_EQ(plan.entries_n, 3);
    EXPECT(plan_next(&plan, NULL, true) == NULL);
    bench_fini(&b);
}

TEST(a_key_that_may_not_ask_gets_no_deployment)
{
    struct bench b;
    struct span glob = SPAN("other*");
    struct key key = {.models = &glob, .models_n = 1};
    bench_init(&b, SELECT_WEIGHTED, "11");
    struct plan plan = facts_plan(&b, (struct plan_facts){.api = API_OPENAI_CHAT, .key = &key}, ERR_FORBIDDEN);
    EXPECT_EQ(plan.usable_n, 0);
    EXPECT_STR(plan.entries[1].why, "this key may not ask for this model");
    EXPECT(plan_next(&plan, NULL, true) == NULL);
    facts_plan(&b, (struct plan_facts){.api = API_OPENAI_CHAT, .key = &key, .asked = SPAN("other-1")}, ERR_OK);
    b.model->name = SPAN("*");
    facts_plan(&b, (struct plan_facts){.api = API_OPENAI_CHAT, .key = &key, .asked = SPAN("other-1")}, ERR_OK);
    facts_plan(&b, (struct plan_facts){.api = API_OPENAI_CHAT, .key = &key, .asked = SPAN("m")}, ERR_FORBIDDEN);
    facts_plan(&b, (struct plan_facts){.api = API_OPENAI_CHAT, .key = &key}, ERR_OK);
    bench_fini(&b);
}

TEST(a_plan_without_health_is_as_listed)
{
    struct bench b;
    struct plan plan;
    struct plan_facts facts = {.api = API_OPENAI_CHAT};
    for (enum selection select = SELECT_ORDERED; select <= SELECT_LEAST_LATENCY; select++) {
        bench_init(&b, select, "1111");
        EXPECT_EQ(plan_make(&b.arena, b.model, NULL, &facts, &plan), ERR_OK);
        EXPECT_EQ(plan.usable_n, 4);
        bench_fini(&b);
    }
}

TEST(next_walks_the_plan_once_and_repeats_only_the_last_when_allowed)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "11");
    struct plan plan = planned(&b, S);
    const struct deployment *d = plan_next(&plan, NULL, true);
    EXPECT(d == b.d[0]);
    d = plan_next(&plan, d, true);
    EXPECT(d == b.d[1]);
    EXPECT(plan_next(&plan, d, true) == d);
    EXPECT(plan_next(&plan, d, true) == d);
    EXPECT(plan_next(&plan, d, false) == NULL);
    bench_fini(&b);
}

/* A small generator for the random tests; its seed is the test's. */
static unsigned below(uint64_t *seed, unsigned bound)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((*seed >> 33) % bound);
}

static void random_history(struct bench *b, uint64_t *seed, uint64_t *now)
{
    unsigned which = below(seed, b->model->deployments_n);
    *now += below(seed, 3000) * NS_PER_MS;
    switch (below(seed, 6)) {
    case 0: ends(b, which, HEALTH_OK, *now, below(seed, 5000) * NS_PER_MS); break;
    case 1: ends(b, which, HEALTH_LIMITED, *now, 0); break;
    case 2: ends(b, which, HEALTH_ABANDONED, *now, 0); break;
    default: fails(b, which, below(seed, 4), *now);
    }
}

TEST(no_plan_names_a_deployment_twice_or_loses_one)
{
    uint64_t seed = 7, now = S;
    for (unsigned round = 0; round < 300; round++) {
        struct bench b;
        bench_init(&b, (enum selection)below(&seed, 3), &"1203405060"[below(&seed, 10)]);
        for (unsigned step = 0; step < 60; step++) {
            unsigned seen[10] = {0}, count = 0;
            bool last_resort = false;
            random_history(&b, &seed, &now);
            struct plan plan = planned(&b, now);
            for (unsigned i = 0; i < plan.usable_n; i++) {
                EXPECT(plan.entries[i].why != NULL);
                EXPECT(plan.entries[i].last_resort || !last_resort);
                last_resort = plan.entries[i].last_resort;
            }
            for (const struct deployment *d = plan_next(&plan, NULL, false); d; d = plan_next(&plan, d, false), count++)
                EXPECT_EQ(seen[d->index]++, 0);
            EXPECT_EQ(count, b.model->deployments_n);
        }
        bench_fini(&b);
    }
}

/* ---- latency ---- */

TEST(a_slow_answer_is_seen_at_once_and_forgiven_slowly)
{
    struct bench b;
    bench_init(&b, SELECT_LEAST_LATENCY, "1");
    EXPECT_EQ(health_latency_ns(b.health, b.d[0], S), 0);
    ends(&b, 0, HEALTH_OK, S, 100 * NS_PER_MS);
    EXPECT_EQ(health_latency_ns(b.health, b.d[0], S), 100 * NS_PER_MS);
    ends(&b, 0, HEALTH_OK, S, 900 * NS_PER_MS);
    EXPECT_EQ(health_latency_ns(b.health, b.d[0], S), 900 * NS_PER_MS);
    ends(&b, 0, HEALTH_OK, 2 * S, 100 * NS_PER_MS); /* one second later: e^-0.1 of the old stays */
    uint64_t now = health_latency_ns(b.health, b.d[0], 2 * S);
    EXPECT(now > 820 * NS_PER_MS && now < 828 * NS_PER_MS);
    now = health_latency_ns(b.health, b.d[0], 12 * S); /* unasked for tau: 1/e of it, so that it gets asked again */
    EXPECT(now > 300 * NS_PER_MS && now < 306 * NS_PER_MS);
    bench_fini(&b);
}

TEST(nobody_stampedes_to_a_deployment_that_has_not_answered_yet)
{
    struct bench b;
    bench_init(&b, SELECT_LEAST_LATENCY, "11");
    ends(&b, 0, HEALTH_OK, S, 100 * NS_PER_MS);
    EXPECT_STR(order(&b, S), "ba");
    health_begin(b.health, b.d[1], S);
    EXPECT_STR(order(&b, S), "ab");
    bench_fini(&b);
}

TEST(failing_fast_is_not_being_fast)
{
    struct bench b;
    bench_init(&b, SELECT_LEAST_LATENCY, "11");
    ends(&b, 0, HEALTH_OK, S, 500 * NS_PER_MS);
    fails(&b, 1, 1, S);
    EXPECT_STR(order(&b, S), "ab");
    bench_fini(&b);
}

TEST(a_clock_that_stands_or_steps_back_breaks_nothing)
{
    struct bench b;
    bench_init(&b, SELECT_LEAST_LATENCY, "11");
    fails(&b, 0, 5, 100 * S);
    ends(&b, 0, HEALTH_OK, 50 * S, 10 * NS_PER_MS);
    ends(&b, 0, HEALTH_LIMITED, 10 * S, 0);
    health_count_request(b.health, 100 * S);
    EXPECT(health_take_retry(b.health, 10 * S));
    EXPECT_EQ(strlen(order(&b, 5 * S)), 2);
    bench_fini(&b);
}

/* ---- ejection and return ---- */

TEST(failures_in_a_row_eject_and_time_brings_back_slowly)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "11");
    fails(&b, 0, 4, S);
    ends(&b, 0, HEALTH_OK, S, 1);
    fails(&b, 0, 4, S);
    EXPECT_EQ(state(&b, 0, S), HEALTH_IN); /* not in a row */
    fails(&b, 0, 1, S);
    EXPECT_EQ(state(&b, 0, S), HEALTH_OUT);
    EXPECT_EQ(health_share_percent(b.health, b.d[0], S), 0);
    EXPECT_STR(order(&b, S), "ba");
    EXPECT_EQ(state(&b, 0, 6 * S - 1), HEALTH_OUT);
    EXPECT_EQ(state(&b, 0, 6 * S), HEALTH_RETURNING);
    EXPECT_EQ(health_share_percent(b.health, b.d[0], 6 * S), 10);
    EXPECT_EQ(health_share_percent(b.health, b.d[0], 11 * S), 55);
    EXPECT_EQ(state(&b, 0, 16 * S), HEALTH_IN);
    EXPECT_EQ(health_share_percent(b.health, b.d[0], 16 * S), 100);
    EXPECT_STR(order(&b, 16 * S), "ab");
    bench_fini(&b);
}

TEST(a_returning_deployment_gets_its_growing_share)
{
    for (enum selection select = SELECT_ORDERED; select <= SELECT_WEIGHTED; select++) {
        struct bench b;
        unsigned first = 0;
        bench_init(&b, select, "11");
        fails(&b, 0, 5, S);
        for (unsigned i = 0; i < 10000; i++)
            first += order(&b, 6 * S)[0] == 'a';
        if (select == SELECT_ORDERED)
            EXPECT(first > 900 && first < 1100); /* 10 % of all */
        else
            EXPECT(first > 820 && first < 1000); /* 10 of 110 */
        bench_fini(&b);
    }
}

TEST(each_ejection_is_twice_as_long_up_to_the_maximum)
{
    struct bench b;
    uint64_t now = S;
    bench_init(&b, SELECT_ORDERED, "11");
    fails(&b, 0, 5, now);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t length = 5 * S << i;
        length = length > 300 * S ? 300 * S : length;
        EXPECT_EQ(state(&b, 0, now + length - 1), HEALTH_OUT);
        EXPECT_EQ(state(&b, 0, now + length), HEALTH_RETURNING);
        now += length;
        fails(&b, 0, 1, now); /* one failure while it returns is enough */
    }
    bench_fini(&b);
}

TEST(a_healthy_stretch_forgets_old_ejections)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "11");
    fails(&b, 0, 5, S);
    fails(&b, 0, 1, 6 * S); /* out until 16 s */
    ends(&b, 0, HEALTH_OK, 16 * S + 20 * S, 1);
    fails(&b, 0, 5, 40 * S);
    EXPECT_EQ(state(&b, 0, 45 * S - 1), HEALTH_OUT);
    EXPECT_EQ(state(&b, 0, 45 * S), HEALTH_RETURNING); /* five seconds again, not twenty */
    bench_fini(&b);
}

TEST(a_success_as_last_resort_ends_the_ejection)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "11");
    fails(&b, 0, 5, S);
    ends(&b, 0, HEALTH_FAILED, 2 * S, 0);
    EXPECT_EQ(state(&b, 0, 6 * S - 1), HEALTH_OUT); /* a failure there changes nothing */
    ends(&b, 0, HEALTH_OK, 3 * S, 1);
    EXPECT_EQ(state(&b, 0, 3 * S), HEALTH_RETURNING);
    bench_fini(&b);
}

TEST(a_burst_of_slow_failures_ejects_once)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "11");
    for (unsigned i = 0; i < 50; i++)
        health_begin(b.health, b.d[0], S);
    for (unsigned i = 0; i < 50; i++)
        health_end(b.health, b.d[0], i == 30 ? HEALTH_OK : HEALTH_FAILED, S + i * S / 4, 0, 0); /* the last after 12 seconds */
    EXPECT_EQ(state(&b, 0, 5 * S), HEALTH_OUT); /* the old success did not end it */
    EXPECT_EQ(state(&b, 0, 13 * S + S / 4), HEALTH_RETURNING);
    fails(&b, 0, 1, 13 * S + S / 4); /* but a new request tells the truth */
    EXPECT_EQ(state(&b, 0, 14 * S), HEALTH_OUT);
    bench_fini(&b);
}

TEST(no_more_than_the_allowed_part_is_ejected)
{
    static const struct { const char *weights; unsigned percent, most; } rows[] = {
        {"1", 50, 0}, {"1", 100, 1}, {"11", 50, 1}, {"11", 10, 1}, {"11", 0, 0}, {"111", 50, 1}, {"1111", 50, 2}, {"1111", 100, 4},
    };
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        struct bench b;
        unsigned out = 0;
        bench_init(&b, SELECT_ORDERED, rows[row].weights);
        b.catalog->ejection.ejected_percent_max = rows[row].percent;
        struct health *health = health_new(b.catalog, NULL, NULL);
        health_free(b.health);
        b.health = health;
        for (unsigned i = 0; i < b.model->deployments_n; i++)
            fails(&b, i, 20, S);
        for (unsigned i = 0; i < b.model->deployments_n; i++)
            out += state(&b, i, S) == HEALTH_OUT;
        EXPECT_EQ(out, rows[row].most);
        bench_fini(&b);
    }
}

TEST(a_client_that_leaves_says_nothing_about_the_provider)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "11");
    fails(&b, 0, 4, S);
    for (unsigned i = 0; i < 20; i++)
        ends(&b, 0, HEALTH_ABANDONED, S, 0);
    EXPECT_EQ(state(&b, 0, S), HEALTH_IN);
    fails(&b, 0, 1, S);
    EXPECT_EQ(state(&b, 0, S), HEALTH_OUT);
    bench_fini(&b);
}

/* ---- resting ---- */

TEST(a_rate_limited_deployment_rests_as_long_as_it_asked)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "111");
    health_begin(b.health, b.d[0], S);
    health_end(b.health, b.d[0], HEALTH_LIMITED, S, 0, 7 * S);
    health_begin(b.health, b.d[1], S);
    health_end(b.health, b.d[1], HEALTH_LIMITED, S, 0, 3 * S);
    EXPECT_EQ(state(&b, 0, S), HEALTH_RESTING);
    EXPECT_EQ(health_rests_until_ns(b.health, b.d[0]), 8 * S);
    EXPECT_STR(order(&b, S), "cba"); /* who is back soonest comes first among the last */
    EXPECT_STR(order(&b, 4 * S), "bca");
    EXPECT_STR(order(&b, 8 * S), "abc");
    bench_fini(&b);
}

TEST(an_unsaid_rest_doubles_and_an_absurd_one_is_bounded)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "11");
    ends(&b, 0, HEALTH_LIMITED, 10 * S, 0);
    EXPECT_EQ(health_rests_until_ns(b.health, b.d[0]), 11 * S);
    ends(&b, 0, HEALTH_LIMITED, 10 * S, 0); /* the same moment */
    EXPECT_EQ(health_rests_until_ns(b.health, b.d[0]), 11 * S);
    ends(&b, 0, HEALTH_LIMITED, 11 * S, 0);
    EXPECT_EQ(health_rests_until_ns(b.health, b.d[0]), 13 * S);
    ends(&b, 0, HEALTH_OK, 13 * S, 1);
    ends(&b, 0, HEALTH_LIMITED, 13 * S, 0);
    EXPECT_EQ(health_rests_until_ns(b.health, b.d[0]), 14 * S);
    health_begin(b.health, b.d[0], 20 * S);
    health_end(b.health, b.d[0], HEALTH_LIMITED, 20 * S, 0, UINT64_MAX);
    EXPECT_EQ(health_rests_until_ns(b.health, b.d[0]), 320 * S);
    bench_fini(&b);
}

/* ---- reload ---- */

TEST(a_reload_keeps_what_is_known_of_deployments_that_stay)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "11");
    fails(&b, 1, 5, S);
    ends(&b, 0, HEALTH_OK, S, 100 * NS_PER_MS);
    struct catalog *c = catalog_begin();
    add_model(c, "new", SELECT_ORDERED, "11");
    struct model *m = add_model(c, "m", SELECT_ORDERED, "111");
    catalog_seal(c);
    struct health *h = health_new(c, b.health, b.catalog);
    EXPECT_EQ(health_latency_ns(h, m->deployments[0], S), 100 * NS_PER_MS);
    EXPECT_EQ(health_state(h, m->deployments[1], S), HEALTH_OUT);
    EXPECT_EQ(health_state(h, m->deployments[2], S), HEALTH_IN);
    EXPECT_EQ(health_state(h, c->models[0].deployments[1], S), HEALTH_IN);
    health_free(h);
    catalog_unref(c);
    bench_fini(&b);
}

/* ---- the retry budget ---- */

/* A total outage: every request wants two more attempts. */
static unsigned retries_granted(struct bench *b, unsigned requests_per_s, unsigned seconds)
{
    unsigned granted = 0;
    for (uint64_t ms = 0; ms < seconds * 1000ull; ms++)
        for (unsigned i = 0; i < requests_per_s / 1000; i++) {
            uint64_t now = 1000 * S + ms * NS_PER_MS;
            health_count_request(b->health, now);
            granted += health_take_retry(b->health, now);
            granted += health_take_retry(b->health, now);
        }
    return granted;
}

TEST(an_outage_adds_at_most_a_fifth_and_the_floor)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "11");
    unsigned granted = retries_granted(&b, 3000, 60);
    EXPECT(granted <= 3000 * 60 / 5 + 10 * 10 * 7); /* the floor's hundred at most once in each ten seconds begun */
    EXPECT(granted >= 3000 * 60 / 5 * 9 / 10);
    bench_fini(&b);
}

TEST(a_quiet_gateway_may_still_retry)
{
    struct bench b;
    bench_init(&b, SELECT_ORDERED, "11");
    for (unsigned i = 0; i < 100; i++)
        EXPECT(health_take_retry(b.health, 5 * S));
    EXPECT(!health_take_retry(b.health, 5 * S));
    EXPECT(!health_take_retry(b.health, 14 * S));
    EXPECT(health_take_retry(b.health, 15 * S));
    bench_fini(&b);
}

UNIT_MAIN
