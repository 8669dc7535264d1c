/* SPDX-License-Identifier: Apache-2.0
 *
 * `budgets:` and `ledger:` of a config. A budget that could never count anything, or that counts in another currency than the prices it is
 * measured in, is a mistake: an operator who reads its name in the file believes that it protects him.
 *
 * Read after keys, providers, models and prices, because a budget names them.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "serve/config_read.h"

#define NS_PER_DAY (86400 * NS_PER_S)

/* ---- zones ---- */

/* Each zone of a config is opened once, and lives as long as the catalog. NULL: told. */
static const struct zone *open_zone(struct reading *r, const struct node *n)
{
    struct zone *zone;
    for (struct catalog_zone *z = r->catalog->zones; z; z = z->next)
        if (span_eq(span_str(zone_name(z->zone)), n->text))
            return z->zone;
    enum err e = zone_open(n->text.p, &zone);
    if (e == ERR_NOT_FOUND)
        config_error(r->errors, n, "this system knows no time zone \"%.60s\": write a name such as UTC or Europe/Paris (package tzdata has them)", n->text.p);
    else if (e)
        config_error(r->errors, n, "\"%.60s\" is no time zone: write a name such as UTC or Europe/Paris", n->text.p);
    if (e)
        return NULL;
    struct catalog_zone *z = ARENA_NEW(r->arena, struct catalog_zone);
    *z = (struct catalog_zone){r->catalog->zones, zone};
    r->catalog->zones = z;
    return zone;
}

static void read_zone(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (check_scalar(r, f, n))
        *(const struct zone **)(void *)((char *)into + f->offset) = open_zone(r, n);
}

/* ---- the ledger ---- */

static void read_origin(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (!check_text(r, n, "\"origin\"", 100))
        return;
    if (span_find(n->text, ' ') >= 0 || span_find(n->text, '+') >= 0)
        config_error(r->errors, n, "\"origin\" must hold neither a space nor a plus sign: write a name such as acme.example/ledger");
    else
        read_text(r, f, n, into);
}

static const char *const period_words[] = {
    [PERIOD_DAY] = "day", [PERIOD_WEEK] = "week", [PERIOD_MONTH] = "month", [PERIOD_QUARTER] = "quarter", [PERIOD_YEAR] = "year", NULL};

#define AT(member) .offset = offsetof(struct config_ledger, member)
static const struct field ledger_fields[] = {
    {.name = "zone", .type = "time zone", .standard = "UTC",
     .doc = "where the days and months of statements and budgets begin",
     .read = read_zone, AT(zone)},
    {.name = "period", .type = "day, week, month, quarter or year", .standard = "month",
     .doc = "what is settled at once",
     .read = read_word, AT(period), .words = period_words},
    {.name = "spool", .type = "size", .standard = "64MiB",
     .doc = "reserved on disk for records while the ledger cannot be written; 0: none",
     .read = read_size, AT(spool_bytes), .min = 0, .max = 64ull * 1024 * MIB},
    {.name = "spool_path", .type = "path", .standard = "(ledger.spool in `data`)",
     .doc = "the spool's file, best on another disk",
     .read = read_path, AT(spool_path)},
    {.name = "keep", .type = "duration", .standard = "(kept)",
     .doc = "single requests older than this, e.g. 400d, are replaced by their sums; books and proofs stay whole",
     .read = read_duration, AT(keep_ns), .min = NS_PER_DAY, .max = 36500 * NS_PER_DAY},
    {.name = "origin", .type = "text", .standard = "(entente.local/ledger)",
     .doc = "the name of a new ledger in its signed checkpoints, e.g. acme.example/ledger",
     .read = read_origin, AT(origin)},
    {.name = "checkpoint_every", .type = "number", .standard = "100000",
     .doc = "entries between two signed checkpoints, beside those at the end of each day; 0: no others",
     .read = read_count, AT(checkpoint_every), .min = 0, .max = 1000000000},
};
#undef AT
const struct section ledger_section = SECTION("ledger", ledger_fields);

/* ---- a budget's values ---- */

static void read_budget_name(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (check_text(r, n, "a budget's name", NAME_BYTES_MAX))
        ((struct budget *)into)->name = arena_strdup(r->arena, n->text);
}

static const char *const scope_words[] = {
    [BUDGET_KEY] = "key", [BUDGET_DEPARTMENT] = "department", [BUDGET_PARTY] = "party", [BUDGET_PROVIDER] = "provider", [BUDGET_SELLER] = "seller",
};

static void read_scope(struct reading *r, const struct node *n, struct budget *b)
{
    const struct node_item *item = n->items;
    for (unsigned i = 0; n->items_n == 1 && i < COUNT_OF(scope_words); i++)
        if (span_eq(item->key->text, span_str(scope_words[i])) && check_text(r, item->value, "who a budget is for", NAME_BYTES_MAX)) {
            b->scope = (enum budget_scope)i;
            b->who = arena_dup(r->arena, item->value->text);
            return;
        }
    config_error(r->errors, n, "\"for\" must be one of key, department, party, provider and seller with a name or pattern, e.g. {department: legal}, or all");
}

static void read_for(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct budget *b = into;
    if (n->kind == NODE_SCALAR && span_eq(n->text, SPAN("all")))
        b->scope = BUDGET_ALL, b->who = SPAN("*");
    else if (n->kind == NODE_MAP)
        read_scope(r, n, b);
    else
        config_error(r->errors, n, "\"for\" must say whose budget it is, e.g. {department: legal}, {key: legal-app}, {provider: \"azure-*\"} or all");
}

/* "4000 EUR" */
static void read_limit(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct budget *b = into;
    struct span currency = n->text, amount;
    if (!check_scalar(r, f, n))
        return;
    amount = span_cut(&currency, ' ');
    if (!currency.p || !currency_parse(span_trim(currency), b->currency))
        config_error(r->errors, n, "\"limit\" must be an amount and a currency, e.g. 4000 EUR, not \"%.60s\"", n->text.p);
    else if (money_parse(amount, &b->limit) != ERR_OK || b->limit <= 0)
        config_error(r->errors, n, "\"limit\" must be an amount above zero with at most %u decimals and a currency, e.g. 4000 EUR, not \"%.60s\"", MONEY_DECIMALS, n->text.p);
}

static bool read_rate(struct reading *r, const struct field *f, const struct node *n, struct rate *ret)
{
    if (n->kind == NODE_SCALAR && rate_parse(n->text, ret) == ERR_OK && ret->num > 0 && ret->num / ret->den < 100)
        return true;
    config_error(r->errors, n, "\"%s\" must be %s; a part of the limit is written as 80%%", f->name, f->type);
    return false;
}

static void read_hard(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct budget *b = into;
    b->hard_at = (struct rate){1, 1};
    b->hard = true;
    if (n->kind == NODE_SCALAR && span_eq(n->text, SPAN("false")))
        b->hard = false;
    else if (n->kind != NODE_SCALAR || !span_eq(n->text, SPAN("true")))
        (void)read_rate(r, f, n, &b->hard_at);
}

static bool is_below(struct rate a, struct rate b) { return (money)a.num * b.den < (money)b.num * a.den; }

static void read_warn(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct budget *b = into;
    unsigned given = 0;
    if (n->kind != NODE_LIST || n->items_n > BUDGET_WARNINGS) {
        config_error(r->errors, n, "\"warn\" must be a list of at most %u parts of the limit, e.g. [80%%, 90%%]", BUDGET_WARNINGS);
        return;
    }
    for (const struct node_item *item = n->items; item; item = item->next) {
        if (!read_rate(r, f, item->value, &b->warn_at[given]))
            return;
        if (given && !is_below(b->warn_at[given - 1], b->warn_at[given]))
            config_error(r->errors, item->value, "\"warn\" must rise from level to level, e.g. [80%%, 90%%]");
        given++;
    }
}

static void read_then(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct budget *b = into;
    struct globs globs = {.n = 0};
    read_model_globs(r, f, n, &globs);
    b->then_models = globs.list;
    b->then_models_n = globs.n;
}

#define AT(member) .offset = offsetof(struct budget, member)
static const struct field budget_fields[] = {
    {.name = "name", .type = "text", .standard = REQUIRED, .doc = "what clients, logs and metrics call the budget", .read = read_budget_name},
    {.name = "for", .type = "{WHAT: NAME} or all", .standard = REQUIRED,
     .doc = "whose it is: {department: legal}, or key, party, provider, seller; the name may be a pattern",
     .read = read_for},
    {.name = "each", .type = "true or false", .standard = "false",
     .doc = "every name that matches has the limit for itself, rather than all together",
     .read = read_bool, AT(each)},
    {.name = "limit", .type = "amount and currency", .standard = REQUIRED,
     .doc = "what may be spent in a period, e.g. 4000 EUR",
     .read = read_limit},
    {.name = "period", .type = "day, week, month, quarter or year", .standard = "month",
     .doc = "of the calendar; a week begins on Monday",
     .read = read_word, AT(unit), .words = period_words},
    {.name = "zone", .type = "time zone", .standard = "(ledger.zone)",
     .doc = "where the period begins and ends, e.g. Europe/Paris",
     .read = read_zone, AT(zone)},
    {.name = "hard", .type = "true, false or a part", .standard = "true",
     .doc = "refuse with 402 what does not fit; 120%: above that part of the limit; false: only warn",
     .read = read_hard},
    {.name = "warn", .type = "list of parts", .standard = "(at 100%)",
     .doc = "parts of the limit at which a line is logged, e.g. [80%, 90%]",
     .read = read_warn},
    {.name = "then", .type = "list", .standard = "(nothing)",
     .doc = "models, or patterns of them, that may still be asked for when it is exhausted",
     .read = read_then},
};
#undef AT
const struct section budget_section = SECTION("a budget", budget_fields);

/* ---- what only the whole shows ---- */

/* Which books are about something that can happen here: served[book][provider] when a line of the book prices a deployment at the provider. */
struct checking {
    struct reading *reading;
    const struct catalog *catalog;
    bool *served;
    bool had_errors; /* before budgets were read: perhaps in the prices */
};

struct placed_budget {
    const struct budget *budget;
    const struct node *at;          /* the budget's map */
    bool counts;                    /* somebody is meant by it */
    const struct price_book *other; /* a book in another currency, and who is charged by it */
    const char *charged;
};

static bool line_prices(const struct price_line *line, const struct deployment *d)
{
    return glob_matches(line->provider, span_str(d->provider->name)) && (!d->model.n || glob_matches(line->model, d->model));
}

static bool book_prices(const struct price_book *book, const struct deployment *d)
{
    for (unsigned i = 0; i < book->lines_n; i++)
        if (line_prices(book->lines[i], d))
            return true;
    return false;
}

static void find_served(struct checking *k)
{
    const struct catalog *c = k->catalog;
    k->served = calloc((size_t)c->prices->books_n * c->providers_n + 1, sizeof *k->served);
    CHECK(k->served != NULL);
    for (unsigned i = 0; i < c->prices->books_n; i++)
        for (unsigned d = 0; d < c->deployments_n; d++) {
            bool *served = &k->served[(size_t)i * c->providers_n + c->deployments[d]->provider->index];
            *served = *served || book_prices(c->prices->books[i], c->deployments[d]);
        }
}

static bool is_for(const struct budget *b, enum budget_scope scope, const char *name)
{
    return b->scope == scope && *name && glob_matches(b->who, span_str(name));
}

static bool we_buy(const struct price_list *l, const struct price_book *book) { return strcmp(book->buyer, l->self) == 0; }
static bool we_sell(const struct price_list *l, const struct price_book *book, const char *buyer)
{
    return strcmp(book->seller, l->self) == 0 && (strcmp(book->buyer, buyer) == 0 || strcmp(book->buyer, "*") == 0);
}

static void compare(struct placed_budget *p, const struct price_book *book, const char *charged)
{
    if (p->other || strcmp(book->currency, p->budget->currency) == 0)
        return;
    p->other = book;
    p->charged = charged;
}

/* At each provider, and by whom: a budget of a provider or a seller counts it, and so does one of a buyer who is charged what we pay. */
static void match_bought(const struct checking *k, struct placed_budget *p, const char *at_cost)
{
    const struct catalog *c = k->catalog;
    for (unsigned i = 0; i < c->prices->books_n; i++)
        for (unsigned n = 0; n < c->providers_n; n++) {
            const struct price_book *book = c->prices->books[i];
            const char *provider = c->providers[n]->name;
            bool is_his = is_for(p->budget, BUDGET_PROVIDER, provider), is_sold = is_for(p->budget, BUDGET_SELLER, book->seller);
            if (!we_buy(c->prices, book) || !k->served[(size_t)i * c->providers_n + n] || !(is_his || is_sold || at_cost))
                continue;
            p->counts = true;
            compare(p, book, at_cost ? at_cost : is_his ? provider : book->seller);
        }
}

/* What we buy is charged to a buyer as it is, unless a book of ours sells to him. */
static void match_sold(const struct checking *k, struct placed_budget *p, const char *buyer)
{
    const struct price_list *l = k->catalog->prices;
    bool own = false;
    for (unsigned i = 0; i < l->books_n; i++)
        if (*buyer && we_sell(l, l->books[i], buyer)) {
            compare(p, l->books[i], buyer);
            own = true;
        }
    if (!own)
        match_bought(k, p, *buyer ? buyer : "who asks");
}

static void match_key(const struct checking *k, struct placed_budget *p, const struct key *key)
{
    const struct budget *b = p->budget;
    if (b->scope != BUDGET_ALL && !is_for(b, BUDGET_KEY, key->name) && !is_for(b, BUDGET_DEPARTMENT, key->department) && !is_for(b, BUDGET_PARTY, key->party))
        return;
    p->counts = true;
    match_sold(k, p, *key->department ? key->department : key->party);
}

static void match_all(const struct checking *k, struct placed_budget *p)
{
    for (unsigned i = 0; i < k->catalog->keys_n; i++)
        match_key(k, p, &k->catalog->keys[i]);
    if (p->budget->scope == BUDGET_ALL && !k->catalog->keys_n)
        match_sold(k, p, "");
    if (p->budget->scope == BUDGET_PROVIDER || p->budget->scope == BUDGET_SELLER)
        match_bought(k, p, NULL);
}

static void tell_budget(const struct checking *k, const struct placed_budget *p)
{
    static const char *const nobody[] = {
        [BUDGET_KEY] = "no key is named", [BUDGET_DEPARTMENT] = "no key has the department", [BUDGET_PARTY] = "no key has the party",
        [BUDGET_PROVIDER] = "no price book is about a deployment at the provider", [BUDGET_SELLER] = "no price book about a deployment is of the seller",
    };
    const struct budget *b = p->budget;
    struct config_errors *errors = k->reading->errors;
    if (!p->counts && b->scope != BUDGET_ALL)
        config_error(errors, value_in(p->at, SPAN("for")), "budget \"%s\" would never count: %s \"%.*s\"", b->name, nobody[b->scope], SPAN_ARG(b->who));
    else if (p->other)
        config_error(errors, value_in(p->at, SPAN("limit")), "budget \"%s\" is in %s, but %s is charged in %s: %s", b->name, b->currency, p->charged,
                     p->other->currency, p->other->place);
}

static void check_budget(const struct checking *k, struct placed_budget *p)
{
    struct config_errors *errors = k->reading->errors;
    const struct budget *b = p->budget;
    check_model_globs(k->reading, value_in(p->at, SPAN("then")));
    if (b->each && b->scope == BUDGET_ALL)
        config_error(errors, value_in(p->at, SPAN("each")), "\"each\" is for a pattern of names, and this budget is for all together");
    if (b->then_models_n && !b->hard)
        config_error(errors, value_in(p->at, SPAN("then")), "\"then\" is for a hard budget: this one refuses nothing");
    if (!k->catalog->prices && !k->had_errors)
        config_error(errors, p->at, "budget \"%s\" would never count: nothing has a price; add `prices:`", b->name);
    if (!k->catalog->prices || !b->who.n || !b->limit)
        return; /* told */
    match_all(k, p);
    tell_budget(k, p);
}

static int by_name(const void *left, const void *right)
{
    const struct placed_budget *a = left, *b = right;
    int order = strcmp(a->budget->name, b->budget->name);
    return order ? order : (a->budget > b->budget) - (a->budget < b->budget);
}

static void check_names(struct reading *r, struct placed_budget *all, unsigned n)
{
    qsort(all, n, sizeof *all, by_name);
    for (unsigned i = 1; i < n; i++)
        if (strcmp(all[i].budget->name, all[i - 1].budget->name) == 0)
            config_error(r->errors, value_in(all[i].at, SPAN("name")), "two budgets are named \"%s\"; the other is in line %u", all[i].budget->name, all[i - 1].at->line);
}

static unsigned larger(unsigned a, unsigned b) { return a > b ? a : b; }

/* Budgets that a request of this key is under, wherever it goes. */
static unsigned count_of_key(const struct budget_set *set, const struct key *k)
{
    unsigned n = 0;
    for (unsigned i = 0; i < set->budgets_n; i++) {
        const struct budget *b = &set->budgets[i];
        n += b->scope == BUDGET_ALL || is_for(b, BUDGET_KEY, k->name) || is_for(b, BUDGET_DEPARTMENT, k->department) || is_for(b, BUDGET_PARTY, k->party);
    }
    return n;
}

static unsigned count_of_provider(const struct budget_set *set, const char *provider, const char *seller)
{
    unsigned n = 0;
    for (unsigned i = 0; i < set->budgets_n; i++)
        n += is_for(&set->budgets[i], BUDGET_PROVIDER, provider) || is_for(&set->budgets[i], BUDGET_SELLER, seller);
    return n;
}

static void check_number(const struct checking *k, const struct node *budgets)
{
    static const struct key nobody = {.name = "", .department = "", .party = ""};
    const struct catalog *c = k->catalog;
    unsigned asked = count_of_key(&c->budgets, &nobody), served = 0;
    if (c->budgets.budgets_n <= BUDGET_HOLD_PARTS)
        return;
    for (unsigned i = 0; i < c->keys_n; i++)
        asked = larger(asked, count_of_key(&c->budgets, &c->keys[i]));
    for (unsigned i = 0; i < c->prices->books_n; i++)
        for (unsigned p = 0; p < c->providers_n; p++)
            served = larger(served, count_of_provider(&c->budgets, c->providers[p]->name, c->prices->books[i]->seller));
    if (asked + served > BUDGET_HOLD_PARTS)
        config_error(k->reading->errors, budgets, "one request can be under %u of these budgets at once; at most %u are allowed", asked + served, BUDGET_HOLD_PARTS);
}

/* ---- all ---- */

static void read_budget(struct reading *r, const struct node *n, struct placed_budget *all)
{
    struct budget_set *set = &r->catalog->budgets;
    struct budget *b = &set->budgets[set->budgets_n];
    b->index = set->budgets_n;
    b->zone = r->config->ledger.zone;
    b->place = arena_printf(r->arena, "%s:%u", r->errors->file, n->line).p;
    if (read_section(r, &budget_section, n, b) && b->name)
        all[set->budgets_n++] = (struct placed_budget){.budget = b, .at = n};
}

static void check_budgets(struct reading *r, const struct node *n, struct placed_budget *all, bool had_errors)
{
    struct checking k = {.reading = r, .catalog = r->catalog, .had_errors = had_errors};
    if (r->catalog->prices)
        find_served(&k);
    for (unsigned i = 0; i < r->catalog->budgets.budgets_n; i++)
        check_budget(&k, &all[i]);
    check_names(r, all, r->catalog->budgets.budgets_n);
    if (r->catalog->prices)
        check_number(&k, n);
    free(k.served);
}

void read_budgets(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct budget_set *set = &r->catalog->budgets;
    bool had_errors = config_errors_count(r->errors) > 0;
    if (n->kind != NODE_LIST || n->items_n > BUDGETS_MAX) {
        config_error(r->errors, n, "\"budgets\" must be a list of at most %u budgets, e.g. - {name: B1, for: {department: legal}, limit: 4000 EUR}", BUDGETS_MAX);
        return;
    }
    struct placed_budget *all = calloc(n->items_n + 1, sizeof *all);
    CHECK(all != NULL);
    set->budgets = ARENA_ARRAY(r->arena, struct budget, n->items_n + 1);
    for (const struct node_item *item = n->items; item; item = item->next)
        read_budget(r, item->value, all);
    check_budgets(r, n, all, had_errors);
    free(all);
}
