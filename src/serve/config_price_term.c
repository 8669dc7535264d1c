/* SPDX-License-Identifier: Apache-2.0
 *
 * Terms of a price book: what is paid, free or given back beside the usage. The first key of a term says its kind and carries its name; each kind has
 * a table with just the keys that mean something for it, all of them fields of struct price_term.
 */
#include "serve/config_price.h"

#include "base/limits.h"

#define TERMS_MAX 10000u
#define MILESTONES_MAX 1000u
#define DAY_US 86400000000ll

static void *value_of(const struct field *f, void *into)
{
    return (char *)into + f->offset;
}

/* ---- values ---- */

static void read_amount(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    money amount;
    if (!check_scalar(r, f, n))
        return;
    enum err e = money_parse(n->text, &amount);
    if (e == ERR_SYNTAX)
        config_error(r->errors, n, "\"%s\" must be an amount in the book's currency such as 12000.00, not \"%.60s\"", f->name, n->text.p);
    else if (span_starts(n->text, SPAN("-")) || (!e && amount == 0))
        config_error(r->errors, n, "\"%s\" must be above 0", f->name);
    else if (e || amount > INT64_MAX * (money)1000000000)
        config_error(r->errors, n, "\"%s\" is finer or larger than an amount can be: at most 15 decimals, and below 9.2 trillion", f->name);
    else
        *(money *)value_of(f, into) = amount;
}

static void read_class(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct nearest near;
    if (!check_scalar(r, f, n))
        return;
    nearest_init(&near, n->text);
    for (unsigned i = 0; i < USAGE_CLASSES; i++) {
        const char *name = usage_class_name((enum usage_class)i);
        if (span_eq(n->text, span_str(name))) {
            *(enum usage_class *)value_of(f, into) = (enum usage_class)i;
            return;
        }
        nearest_offer(&near, name);
    }
    config_error(r->errors, n, near.best ? "\"%.60s\" is no class of usage: did you mean \"%s\"?" : "\"%.60s\" is no class of usage such as input or output",
                 n->text.p, near.best);
}

static void read_term_name(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (check_text(r, n, "a term's name", PRICE_PARTY_BYTES_MAX))
        ((struct price_term *)into)->name = arena_strdup(r->arena, n->text);
}

/* ---- milestones ---- */

#define AT(member) .offset = offsetof(struct milestone, member)
static const struct field milestone_fields[] = {
    {.name = "by", .type = "date or time", .standard = REQUIRED, .doc = "until when, e.g. 2026-10-31, which is the end of that day", .read = read_price_time, AT(at_us)},
    {.name = "amount", .type = "amount", .standard = REQUIRED, .doc = "what must have been spent by then, from the beginning on", .read = read_amount, AT(required)},
};
#undef AT
static const struct section milestone_section = SECTION("a milestone", milestone_fields);

static void read_milestone(struct reading *r, struct price_term *t, const struct node *n)
{
    struct milestone *m = &t->milestones[t->milestones_n];
    unsigned before = config_errors_count(r->errors);
    if (!read_section(r, &milestone_section, n, m) || config_errors_count(r->errors) != before)
        return;
    if (is_date_alone(value_in(n, SPAN("by"))->text))
        m->at_us += DAY_US;
    if (t->milestones_n && (m->at_us <= m[-1].at_us || m->required <= m[-1].required))
        config_error(r->errors, n, "milestones go on in time and amount: each later and larger than the one before, from the beginning on");
    t->milestones_n++;
}

static void read_milestones(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct price_term *t = into;
    if (n->kind != NODE_LIST || n->items_n == 0 || n->items_n > MILESTONES_MAX) {
        config_error(r->errors, n, "\"milestones\" must be a list of 1 to %u, e.g. - {by: 2026-10-31, amount: 60000}", MILESTONES_MAX);
        return;
    }
    t->milestones = ARENA_ARRAY(r->arena, struct milestone, n->items_n);
    for (const struct node_item *item = n->items; item; item = item->next)
        read_milestone(r, t, item->value);
}

static bool count_kind(struct price_term *t, struct span name)
{
    for (unsigned i = 0; i < TERM_KINDS; i++)
        if (span_eq(name, span_str(price_term_name((enum price_term_kind)i)))) {
            t->counts |= 1u << i;
            return true;
        }
    return false;
}

static void read_counts(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    if (n->kind != NODE_LIST)
        config_error(r->errors, n, "\"counts\" must be a list of kinds of terms, e.g. [capacity, fee]; usage counts always");
    for (const struct node_item *item = n->kind == NODE_LIST ? n->items : NULL; item; item = item->next)
        if (item->value->kind != NODE_SCALAR || !count_kind(into, item->value->text))
            config_error(r->errors, item->value, "this is no kind of term: fee, minimum, free, band, capacity, commit, credit, share, tax or storage");
}

/* ---- the kinds ---- */

#define AT(member) .offset = offsetof(struct price_term, member)
#define NAME(kind, sentence) {.name = kind, .type = "a name", .standard = REQUIRED, .doc = sentence, .read = read_term_name, AT(name)}
#define AMOUNT(standard_, sentence) {.name = "amount", .type = "amount", .standard = standard_, .doc = sentence, .read = read_amount, AT(amount)}
#define RATE(standard_, sentence) {.name = "rate", .type = "rate", .standard = standard_, .doc = sentence, .read = read_price_rate, AT(rate)}
#define NUMBER(name_, standard_, sentence, member) \
    {.name = name_, .type = "number", .standard = standard_, .doc = sentence, .read = read_price_tokens, AT(member)}
#define CLASS(standard_, sentence) {.name = "class", .type = "a class", .standard = standard_, .doc = sentence, .read = read_class, AT(usage)}
#define PARTY(name_, sentence, member) {.name = name_, .type = "a party", .standard = REQUIRED, .doc = sentence, .read = read_price_party, AT(member)}
#define ABOUT \
    {.name = "model", .type = "name or pattern", .standard = "*", .doc = "which models it is about", .read = read_price_glob, AT(model)}, \
    {.name = "provider", .type = "name or pattern", .standard = "*", .doc = "at which providers", .read = read_price_glob, AT(provider)}

static const struct field fee_fields[] = {
    NAME("fee", "its name on statements, unique in the book"), AMOUNT("", "per period; or"), RATE("", "of the period's charges"), ABOUT,
};
static const struct field minimum_fields[] = {
    NAME("minimum", "its name"), AMOUNT(REQUIRED, "per period; what the charges are short of it is charged"), ABOUT,
};
static const struct field free_fields[] = {
    NAME("free", "its name"), CLASS(REQUIRED, "of usage, e.g. input"), NUMBER("quantity", REQUIRED, "how many of the class are free in each period", quantity), ABOUT,
};
static const struct field band_fields[] = {
    NAME("band", "its name"), CLASS("(all charges, by amount)", "of usage"),
    NUMBER("quantity", "", "of the class in a period, above which the rate counts; or", quantity), AMOUNT("", "of all charges in a period, above which the rate counts"),
    RATE(REQUIRED, "of the price: 80% where a fifth is taken off"),
    {.name = "whole", .type = "true or false", .standard = "false", .doc = "once above, the rate counts for the whole period and not just for what is above",
     .read = read_bool, AT(whole)},
    ABOUT,
};
static const struct field capacity_fields[] = {
    NAME("capacity", "its name"), NUMBER("units", REQUIRED, "how many are reserved", quantity), AMOUNT(REQUIRED, "per unit and hour, used or not"),
    NUMBER("allowance", "(without bound)", "tokens per unit and hour that cost nothing more; those above are paid by the token", allowance), ABOUT,
};
static const struct field commit_fields[] = {
    NAME("commit", "its name"),
    {.name = "milestones", .type = "list of {by, amount}", .standard = REQUIRED, .doc = "e.g. [{by: 2026-10-31, amount: 60000}]", .read = read_milestones},
    {.name = "counts", .type = "list of kinds of terms", .standard = "", .doc = "what counts beside the charges of usage, e.g. [capacity]", .read = read_counts},
    ABOUT,
};
static const struct field credit_fields[] = {
    NAME("credit", "its name"), AMOUNT(REQUIRED, "what is given"),
    {.name = "until", .type = "date or time", .standard = "(for ever)", .doc = "when what is left of it is lost", .read = read_price_time, AT(until_us)}, ABOUT,
};
static const struct field share_fields[] = {
    NAME("share", "its name"), PARTY("from", "who pays", from), PARTY("to", "who is paid", to), RATE(REQUIRED, "of the charges"),
    {.name = "cap", .type = "amount", .standard = "(none)", .doc = "in total, over all periods", .read = read_amount, AT(cap)}, ABOUT,
};
static const struct field tax_fields[] = {
    NAME("tax", "its name"), RATE(REQUIRED, "of everything before it"),
};
static const struct field storage_fields[] = {
    NAME("storage", "its name"), AMOUNT(REQUIRED, "per 1M tokens that were kept for an hour"), ABOUT,
};
#undef AT

static const struct section fee_section = SECTION("a fee", fee_fields), minimum_section = SECTION("a minimum", minimum_fields),
    free_section = SECTION("a free quota", free_fields), band_section = SECTION("a band", band_fields),
    capacity_section = SECTION("a capacity", capacity_fields), commit_section = SECTION("a commitment", commit_fields),
    credit_section = SECTION("a credit", credit_fields), share_section = SECTION("a share", share_fields), tax_section = SECTION("a tax", tax_fields),
    storage_section = SECTION("a storage price", storage_fields);
const struct section *const price_term_sections[TERM_KINDS] = {
    [TERM_FEE] = &fee_section, [TERM_MINIMUM] = &minimum_section, [TERM_FREE] = &free_section, [TERM_BAND] = &band_section,
    [TERM_CAPACITY] = &capacity_section, [TERM_COMMIT] = &commit_section, [TERM_CREDIT] = &credit_section, [TERM_SHARE] = &share_section,
    [TERM_TAX] = &tax_section, [TERM_STORAGE] = &storage_section};

/* ---- a term ---- */

static bool find_kind(const struct node *n, enum price_term_kind *ret)
{
    for (unsigned i = 0; i < TERM_KINDS; i++)
        if (value_in(n, span_str(price_term_name((enum price_term_kind)i)))) {
            *ret = (enum price_term_kind)i;
            return true;
        }
    return false;
}

static void check_term(struct reading *r, const struct price_book *b, const struct price_term *t, const struct node *n)
{
    bool amount = t->amount != 0, rate = t->rate.num != 0, class = t->usage != USAGE_CLASSES;
    if (t->kind == TERM_FEE && amount == rate)
        config_error(r->errors, n, "a fee is an `amount` per period or a `rate` of the charges: one of the two");
    if (t->kind == TERM_BAND && (class ? amount || !t->quantity : t->quantity || !amount))
        config_error(r->errors, n, "a band begins above a `quantity` of a `class`, or above an `amount` of all charges: one of the two");
    if (t->kind == TERM_SHARE && strcmp(t->from, t->to) == 0)
        config_error(r->errors, n, "%s would pay to itself", t->from);
    if (t->kind == TERM_CREDIT && t->until_us <= b->valid_from_us)
        config_error(r->errors, n, "the credit ends before the book begins");
    for (unsigned i = 0; i < b->terms_n; i++)
        if (strcmp(b->terms[i].name, t->name) == 0)
            config_error(r->errors, n, "two terms of this book are named \"%s\"; the other is in line %u", t->name, b->terms[i].at.line);
}

static void read_term(struct reading *r, struct price_book *b, const struct node *n)
{
    struct price_term t = {.usage = USAGE_CLASSES, .until_us = PRICE_TIME_MAX, .cap = MONEY_MAX, .at = price_place_of(b, n)};
    unsigned before = config_errors_count(r->errors);
    if (!find_kind(n, &t.kind)) {
        config_error(r->errors, n, "a term is a map that begins with its kind and name, e.g. {fee: F1, rate: 5.5%%}; the kinds are fee, minimum, free, band, capacity, "
                     "commit, credit, share, tax and storage");
        return;
    }
    read_section(r, price_term_sections[t.kind], n, &t);
    if (config_errors_count(r->errors) != before)
        return;
    check_term(r, b, &t, n);
    b->terms[b->terms_n++] = t;
}

void read_price_terms(struct reading *r, struct price_book *b, const struct node *terms)
{
    if (terms->kind != NODE_LIST || terms->items_n > TERMS_MAX) {
        config_error(r->errors, terms, "\"terms\" must be a list of at most %u terms, e.g. - {fee: F1, rate: 5.5%%}", TERMS_MAX);
        return;
    }
    b->terms = ARENA_ARRAY(r->arena, struct price_term, terms->items_n);
    for (const struct node_item *item = terms->items; item; item = item->next)
        read_term(r, b, item->value);
}
