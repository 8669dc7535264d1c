/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows in the form of the FinOps Open Cost and Usage Specification: what we are charged, and beside it (x_Chargeback...) what we charge on. One row
 * for each charge period, who, where, model, price line and class of usage; one for each transfer of a posting that changes what is owed.
 * In memory is one charge period. The sums are checked on the way: quantities times prices must be what the books say.
 *
 * BilledCost over all rows is what accounts liabilities:payable:… moved, x_ChargebackCost what assets:receivable:… moved, payments left out.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/index.h"
#include "base/json.h"
#include "base/limits.h"
#include "report/export.h"
#include "report/movement.h"
#include "report/text.h"

#define HOUR_US ((int64_t)3600 * 1000000)
#define PER_MILLION ((money)1000000)
#define CURRENCY_NONE "X" "XX" /* ISO 4217: no currency is involved */

/* ---- how usage is measured ---- */

struct focus_unit {
    const char *meter, *consumed, *pricing;
    int64_t per; /* consumed units in a unit of pricing */
};
#define OF_TOKENS(meter) {meter, "Tokens", "1000000 Tokens", 1000000}
#define OF_EACH(meter, unit) {meter, unit, unit, 1}
static const struct focus_unit units[USAGE_CLASSES + 1] = {
    [USAGE_INPUT] = OF_TOKENS("Input Tokens"), [USAGE_CACHE_READ] = OF_TOKENS("Cache Read Tokens"),
    [USAGE_CACHE_WRITE] = OF_TOKENS("Cache Write Tokens"), [USAGE_CACHE_WRITE_1H] = OF_TOKENS("Cache Write Tokens, 1 Hour"),
    [USAGE_INPUT_AUDIO] = OF_TOKENS("Input Audio Tokens"), [USAGE_INPUT_IMAGE] = OF_TOKENS("Input Image Tokens"),
    [USAGE_OUTPUT] = OF_TOKENS("Output Tokens"), [USAGE_REASONING] = OF_TOKENS("Reasoning Tokens"),
    [USAGE_OUTPUT_AUDIO] = OF_TOKENS("Output Audio Tokens"), [USAGE_OUTPUT_IMAGE] = OF_TOKENS("Output Image Tokens"),
    [USAGE_REQUEST] = OF_EACH("Requests", "Requests"), [USAGE_SEARCH] = OF_EACH("Searches", "Searches"),
    [USAGE_SESSION] = OF_EACH("Sessions", "Sessions"), [USAGE_SECOND] = OF_EACH("Seconds", "Seconds"), [USAGE_IMAGE] = OF_EACH("Images", "Images"),
    [USAGE_PIXEL] = OF_EACH("Pixels", "Pixels"), [USAGE_STORAGE] = OF_EACH("Cache Storage", "Token-Hours"),
    [USAGE_CLASSES] = OF_EACH("Units", "Units"),
};

/* ---- kinds of charges ---- */

struct focus_charge {
    const char *category, *frequency;
    bool is_correction, is_left_out;
};
static const struct focus_charge of_usage = {"Usage", "Usage-Based", false, false};
static const struct focus_charge of_cause[POSTING_CAUSES] = {
    [POSTING_CORRECTION] = {"Adjustment", "One-Time", true, false}, [POSTING_REVERSAL] = {"Adjustment", "One-Time", true, false},
    [POSTING_FEE] = {"Purchase", "Recurring", false, false}, [POSTING_MINIMUM] = {"Purchase", "Recurring", false, false},
    [POSTING_FREE] = {"Credit", "Recurring", false, false}, [POSTING_BAND] = {"Adjustment", "Recurring", false, false},
    [POSTING_CAPACITY] = {"Purchase", "Recurring", false, false}, [POSTING_COMMIT] = {"Purchase", "Recurring", false, false},
    [POSTING_CREDIT] = {"Credit", "One-Time", false, false}, [POSTING_SHARE] = {"Adjustment", "Recurring", false, false},
    [POSTING_TAX] = {"Tax", "Recurring", false, false}, [POSTING_STORAGE] = {"Purchase", "Recurring", false, false},
    [POSTING_PAYMENT] = {"", "", false, true}, [POSTING_OPENING] = {"", "", false, true},
};
static const struct focus_charge negative_purchase = {"Adjustment", "One-Time", false, false}; /* a price is never negative */

/* ---- a row ---- */

struct focus_row {
    int64_t from_us, until_us;
    struct period month;
    const struct focus_charge *charge;
    const struct focus_unit *unit;          /* NULL: nothing was measured */
    enum usage_class usage;                 /* USAGE_CLASSES: none */
    struct span seller, buyer, host, model, key, department, party, tier, sub_account, currency, chargeback_currency, description, posting_key;
    const char *sub_account_type, *source, *cause;
    const struct price_line *line;
    int64_t quantity;                       /* consumed */
    money price, chargeback_price;          /* for a unit of pricing; PRICE_UNKNOWN */
    money cost, chargeback;
    bool is_unpriced, has_chargeback;
};
#define PRICE_UNKNOWN ((money)-1)

static void none(struct csv *c) { csv_word(c, NULL); }

/* Times without their fraction: charge periods begin and end on seconds. */
static void put_time(struct csv *c, int64_t at_us)
{
    char text[CLOCK_RFC3339_BYTES], out[24];
    clock_rfc3339_us(text, at_us);
    csv_text(c, span_of(out, (size_t)snprintf(out, sizeof out, "%.19sZ", text)));
}

static void put_consumed(struct csv *c, const struct focus_row *r)
{
    if (r->unit && r->usage < USAGE_CLASSES)
        csv_number(c, r->quantity);
    else
        none(c);
}

static void put_quantity(struct csv *c, const struct focus_row *r)
{
    if (r->unit)
        csv_money(c, (money)r->quantity * (MONEY_ONE / r->unit->per));
    else
        none(c);
}

static void put_unit_price(struct csv *c, const struct focus_row *r, money price)
{
    if (r->unit && price != PRICE_UNKNOWN)
        csv_money(c, price);
    else
        none(c);
}

static void put_joined(struct csv *c, struct span a, const char *between, struct span b)
{
    char text[4 * RECORD_NAME_BYTES];
    int n = snprintf(text, sizeof text, "%.*s%s%.*s", SPAN_ARG(a), between, SPAN_ARG(b));
    csv_text(c, span_to(span_of(text, (size_t)n), sizeof text - 1));
}

static void put_resource(struct csv *c, const struct focus_row *r)
{
    if (r->model.n)
        put_joined(c, r->host, "/", r->model);
    else
        none(c);
}

static void put_sku(struct csv *c, const struct focus_row *r)
{
    if (r->usage < USAGE_CLASSES)
        put_joined(c, r->model, "/", span_str(usage_class_name(r->usage)));
    else
        none(c);
}

static void put_price_id(struct csv *c, const struct focus_row *r)
{
    char hex[2 * PRICE_DIGEST_BYTES + 1];
    if (!r->line)
        return none(c);
    digest_hex(r->line->digest, PRICE_DIGEST_BYTES, hex);
    csv_text(c, span_of(hex, sizeof hex - 1));
}

struct pair {
    const char *key;
    struct span value;
};

/* An object of those that have a value; no cell when none has. */
static void put_object(struct csv *c, const struct pair *pairs, size_t n)
{
    struct buf b;
    enum err e = ERR_OK;
    buf_init(&b, 8u * KIB);
    for (size_t i = 0; i < n && !e; i++) {
        if (!pairs[i].value.n)
            continue;
        e = buf_printf(&b, "%s\"%s\":", buf_bytes(&b) ? "," : "{", pairs[i].key);
        e = e ? e : json_write_string(&b, pairs[i].value);
    }
    if (!e && buf_bytes(&b))
        e = buf_append(&b, SPAN("}"));
    csv_text(c, buf_span(&b));
    c->error = c->error ? c->error : e;
    buf_fini(&b);
}

static void put_details(struct csv *c, const struct focus_row *r)
{
    char above[SPAN_U64_BYTES];
    if (!r->line)
        return none(c);
    const struct pair pairs[] = {
        {"x_TokenClass", span_str(r->usage < USAGE_CLASSES ? usage_class_name(r->usage) : "")},
        {"x_PriceBook", span_str(r->line->book->name)},
        {"x_PriceSource", span_str(r->line->book->source)},
        {"x_ServiceTier", span_str(r->line->tier)},
        {"x_AboveInputTokens", r->line->above_input ? span_of_u64(above, (uint64_t)r->line->above_input) : SPAN_NONE},
    };
    put_object(c, pairs, COUNT_OF(pairs));
}

static void put_tags(struct csv *c, const struct focus_row *r)
{
    const struct pair pairs[] = {{"key", r->key}, {"department", r->department}, {"party", r->party}};
    put_object(c, pairs, COUNT_OF(pairs));
}

static void put_chargeback(struct csv *c, const struct focus_row *r)
{
    if (r->has_chargeback)
        csv_money(c, r->chargeback);
    else
        none(c);
}

static void put_tokens(struct csv *c, const struct focus_row *r, enum usage_class usage)
{
    if (r->usage == usage)
        csv_number(c, r->quantity);
    else
        none(c);
}

/* Where the row ends is left open: in its last cell the mark of the export may come. */
static enum err write_row(struct export_job *j, const struct focus_row *r)
{
    struct csv table = {.out = j->out}, *c = &table;
    if (j->result->rows++)
        c->error = buf_append(j->out, SPAN("\r\n"));
#define COLUMN(name, expression) expression;
#define TOKENS(name, class) put_tokens(c, r, USAGE_##class);
#include "report/focus_columns.def"
#undef COLUMN
#undef TOKENS
    none(c);
    return c->error;
}

/* ---- the usage of a charge period ---- */

struct focus_group {
    uint32_t key, department, party, provider, model, tier, buy_price, sell_price;
    enum usage_source source;
    int64_t count[USAGE_CLASSES];
    money buy, sell;
};

struct focus {
    struct focus_group *groups;
    uint32_t groups_n, groups_room;
    struct index by_facts;
    int64_t from_us, until_us; /* the charge period; until_us 0: none yet */
    struct movements movements;
    struct arena arena;        /* names of the row */
};

static bool is_of_group(const struct focus_group *g, const struct movement_usage *u)
{
    return g->key == u->key && g->department == u->department && g->party == u->party && g->provider == u->provider && g->model == u->model &&
           g->tier == u->tier && g->buy_price == u->buy_price && g->sell_price == u->sell_price && g->source == u->source;
}

static struct focus_group *get_group(struct focus *f, const struct movement_usage *u)
{
    uint32_t hash = index_hash_u64((uint64_t)u->key << 32 | u->department, (uint64_t)u->model << 32 | u->provider) ^
                    index_hash_u64((uint64_t)u->buy_price << 32 | u->sell_price, (uint64_t)u->tier << 32 | u->party);
    for (uint32_t at = index_first(&f->by_facts, hash), item; (item = index_item(&f->by_facts, hash, &at)); at++)
        if (is_of_group(&f->groups[item - 1], u))
            return &f->groups[item - 1];
    if (f->groups_n == f->groups_room) {
        f->groups_room = f->groups_room ? 2 * f->groups_room : 64;
        CHECK((f->groups = reallocarray(f->groups, f->groups_room, sizeof *f->groups)));
    }
    f->groups[f->groups_n++] = (struct focus_group){u->key, u->department, u->party, u->provider, u->model, u->tier,
                                                     u->buy_price, u->sell_price, u->source};
    index_insert(&f->by_facts, hash, f->groups_n);
    return &f->groups[f->groups_n - 1];
}

static enum err add_usage(struct focus *f, const struct movement_usage *u)
{
    struct focus_group *g = get_group(f, u);
    for (int c = 0; c < USAGE_CLASSES; c++)
        if (u->count[c] > 0 && __builtin_add_overflow(g->count[c], u->count[c], &g->count[c]))
            return ERR_RANGE;
    return money_add(g->buy, u->buy, &g->buy) && money_add(g->sell, u->sell, &g->sell) ? ERR_OK : ERR_RANGE;
}

/* ---- rows of usage ---- */

static struct span or_else(struct span a, struct span b) { return a.n ? a : b; }

static struct focus_row row_of_group(struct export_job *j, struct focus *f, const struct focus_group *g)
{
    struct books *b = j->books;
    const struct price_line *buy = books_price(b, g->buy_price), *sell = books_price(b, g->sell_price);
    struct focus_row r = {.from_us = f->from_us, .until_us = f->until_us, .charge = &of_usage, .host = books_name(b, g->provider),
                          .model = books_name(b, g->model), .key = books_name(b, g->key), .department = books_name(b, g->department),
                          .party = books_name(b, g->party), .tier = books_name(b, g->tier), .source = usage_source_name(g->source), .line = buy};
    r.sub_account = account_buyer(r.department, r.party);
    r.sub_account_type = r.department.n ? "Department" : "Party";
    r.seller = or_else(buy ? span_str(buy->book->seller) : SPAN_NONE, r.host);
    r.buyer = or_else(buy ? span_str(buy->book->buyer) : SPAN_NONE, SPAN("self"));
    r.has_chargeback = sell && r.sub_account.n;
    r.chargeback_currency = r.has_chargeback ? span_str(sell->book->currency) : SPAN_NONE;
    r.currency = or_else(buy ? span_str(buy->book->currency) : r.chargeback_currency, SPAN(CURRENCY_NONE));
    period_at(j->options->zone, PERIOD_MONTH, f->from_us, &r.month);
    return r;
}

/* What a unit of pricing costs; a line's price is per million units. */
static money unit_price(const struct price_line *line, enum usage_class c)
{
    return line && line->price[c] != PRICE_NONE ? (money)line->price[c] * units[c].per : PRICE_UNKNOWN;
}

static money cost_of(const struct price_line *line, enum usage_class c, int64_t count)
{
    return line && line->price[c] != PRICE_NONE ? money_of(count, line->price[c]) : 0;
}

static enum err write_class(struct export_job *j, struct focus *f, const struct focus_group *g, struct focus_row *r, enum usage_class c)
{
    const struct price_line *sell = r->has_chargeback ? books_price(j->books, g->sell_price) : NULL;
    char per[MONEY_TEXT_BYTES];
    r->usage = c;
    r->unit = &units[c];
    r->quantity = g->count[c];
    r->price = unit_price(r->line, c);
    r->chargeback_price = unit_price(sell, c);
    r->is_unpriced = r->price == PRICE_UNKNOWN;
    r->cost = cost_of(r->line, c, r->quantity);
    r->chargeback = cost_of(sell, c, r->quantity);
    if (c == USAGE_REQUEST && r->is_unpriced && r->chargeback_price == PRICE_UNKNOWN)
        return ERR_OK; /* nobody charges for it */
    arena_fini(&f->arena);
    struct span price = r->is_unpriced ? SPAN("no price") : money_format(per, r->price, 2);
    r->description = arena_printf(&f->arena, "%s of %.*s at %.*s, %.*s%s%s", r->unit->meter, SPAN_ARG(r->model), SPAN_ARG(r->host), SPAN_ARG(price),
                                  r->is_unpriced ? "" : " per ", r->is_unpriced ? "" : r->unit->pricing);
    return write_row(j, r);
}

static bool adds_up(const struct export_job *j, const struct focus_group *g)
{
    money buy = 0, sell = 0;
    for (int c = 0; c < USAGE_CLASSES; c++) {
        buy += cost_of(books_price(j->books, g->buy_price), (enum usage_class)c, g->count[c]);
        sell += cost_of(books_price(j->books, g->sell_price), (enum usage_class)c, g->count[c]);
    }
    return buy == g->buy && sell == g->sell;
}

static enum err write_period(struct export_job *j, struct focus *f)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < f->groups_n && !e; i++) {
        const struct focus_group *g = &f->groups[i];
        struct focus_row r = row_of_group(j, f, g);
        if (!adds_up(j, g)) {
            snprintf(j->why, 512, "usage of %.*s booked after %lld is not quantities times prices: `entente ledger verify` says which entry",
                     SPAN_ARG(r.model), (long long)(f->from_us / 1000000));
            return ERR_SYNTAX;
        }
        for (int c = 0; c < USAGE_CLASSES && !e; c++)
            e = g->count[c] ? write_class(j, f, g, &r, (enum usage_class)c) : ERR_OK;
    }
    f->groups_n = 0;
    index_fini(&f->by_facts);
    return e;
}

/* ---- rows of postings ---- */

/* "a%3Ab" of an account's name to "a:b". */
static struct span decoded(struct arena *a, struct span segment)
{
    char *out = arena_alloc(a, segment.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < segment.n; i++) {
        uint8_t byte;
        bool escape = segment.p[i] == '%' && digest_from_hex(span_to(span_from(segment, i + 1), 2), &byte, 1);
        out[n++] = escape ? (char)byte : segment.p[i];
        i += escape ? 2 : 0;
    }
    return span_of(out, n == 1 && *out == '%' ? 0 : n);
}

/* What an account's name says, when it is one of those whose balance somebody is billed: its segments after the head. */
static bool is_below(struct span account, struct span head, struct span *ret_rest)
{
    *ret_rest = span_from(account, head.n);
    return span_starts(account, head);
}

static void add_side(struct focus_row *r, struct arena *a, struct span account, struct span currency, money amount)
{
    struct span rest;
    if (is_below(account, SPAN("liabilities:payable:"), &rest)) {
        r->cost -= amount;
        r->seller = decoded(a, span_cut(&rest, ':'));
        r->host = rest.p ? decoded(a, span_cut(&rest, ':')) : r->host;
    } else if (is_below(account, SPAN("assets:receivable:"), &rest)) {
        r->chargeback += amount;
        r->has_chargeback = true;
        r->chargeback_currency = currency;
        r->sub_account = decoded(a, rest);
        r->sub_account_type = "Buyer";
    }
}

static enum err write_transfer(struct export_job *j, struct focus *f, const struct walk_step *s, const struct movement *m)
{
    const struct entry_posting *p = &s->entry->posting;
    struct focus_row r = {.from_us = f->from_us, .until_us = f->until_us, .charge = &of_cause[p->cause], .usage = USAGE_CLASSES,
                          .currency = m->currency, .description = p->memo.n ? p->memo : span_str(posting_cause_name(p->cause)), .posting_key = p->key,
                          .price = PRICE_UNKNOWN, .chargeback_price = PRICE_UNKNOWN, .cause = posting_cause_name(p->cause), .buyer = SPAN("self")};
    arena_fini(&f->arena);
    add_side(&r, &f->arena, m->debit, m->currency, m->amount);
    add_side(&r, &f->arena, m->credit, m->currency, -m->amount);
    if (r.charge->is_left_out || (!r.seller.n && !r.has_chargeback))
        return ERR_OK;
    r.seller = or_else(r.seller, SPAN("self"));
    if (strcmp(r.charge->category, "Purchase") == 0) {
        r.charge = r.cost < 0 ? &negative_purchase : r.charge;
        r.unit = r.cost < 0 ? NULL : &units[USAGE_CLASSES];
        r.price = r.cost;
        r.quantity = 1;
    }
    period_at(j->options->zone, PERIOD_MONTH, f->from_us, &r.month);
    return write_row(j, &r);
}

/* ---- the writer ---- */

static enum err turn_to_period(struct export_job *j, struct focus *f, int64_t at_us)
{
    if (f->until_us && at_us < f->until_us)
        return ERR_OK;
    enum err e = write_period(j, f);
    if (j->options->by == EXPORT_BY_DAY) {
        struct period day;
        period_at(j->options->zone, PERIOD_DAY, at_us, &day);
        f->from_us = day.from_us;
        f->until_us = day.until_us;
        return e;
    }
    int64_t offset_us = (int64_t)zone_offset_s(j->options->zone, at_us / 1000000) * 1000000, local_us = at_us + offset_us;
    f->from_us = local_us - local_us % HOUR_US - offset_us;
    f->until_us = f->from_us + HOUR_US;
    return e;
}

static enum err focus_open(struct export_job *j, void **ret)
{
    struct focus *f = calloc(1, sizeof *f);
    CHECK(f);
    movements_init(&f->movements);
    arena_init(&f->arena, 1024);
    *ret = f;
#define COLUMN(name, expression) #name ","
#define TOKENS(name, class) #name ","
    return buf_append(j->out, span_str(
#include "report/focus_columns.def"
        "x_End\r\n"));
#undef COLUMN
#undef TOKENS
}

static enum err focus_step(struct export_job *j, void *state, const struct walk_step *s)
{
    struct focus *f = state;
    struct movement_usage u;
    bool usage = movement_usage_of(s, &u), posting = s->entry && s->entry->kind == ENTRY_POSTING;
    if (!usage && !posting)
        return ERR_OK;
    enum err e = turn_to_period(j, f, s->booked_us);
    if (usage)
        return e ? e : add_usage(f, &u);
    e = e ? e : movements_of(j->books, s, &f->movements);
    for (unsigned i = 0; i < f->movements.n && !e; i++)
        e = write_transfer(j, f, s, &f->movements.at[i]);
    return e;
}

/* The mark stands in the last cell of the last row; an export without rows gets one for it. */
static enum err focus_end(struct export_job *j, void *state)
{
    enum err e = write_period(j, state);
#define COLUMN(name, expression) ","
#define TOKENS(name, class) ","
    return e || j->result->rows ? e : buf_append(j->out, span_str(
#include "report/focus_columns.def"
        ""));
#undef COLUMN
#undef TOKENS
}

static void focus_close(void *state)
{
    struct focus *f = state;
    if (!f)
        return;
    movements_fini(&f->movements);
    index_fini(&f->by_facts);
    arena_fini(&f->arena);
    free(f->groups);
    free(f);
}

const struct export_writer focus_writer = {.name = "focus", .groups = {[EXPORT_BY_HOUR] = true, [EXPORT_BY_DAY] = true}, .open = focus_open,
                                           .step = focus_step, .end = focus_end, .after_mark = {"\r\n", 2}, .close = focus_close};
