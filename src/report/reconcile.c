/* SPDX-License-Identifier: Apache-2.0
 *
 * Both sides in cells of bucket, model and class; then each cell's cause. An export decides how fine the cells are: its buckets, whether it names models,
 * which classes it knows. What ours has finer is folded: reasoning into output where the export knows no reasoning, a quarter of an hour into its day.
 *
 * An edge is a chain of neighbouring buckets that differ and together agree, where what moved over each border is no more than ours has beside it.
 */
#include "report/reconcile.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/index.h"

static const struct { const char *name, *sentence; bool explained; } causes[] = {
#define CAUSE(NAME, name, explained, sentence) {name, sentence, explained},
#include "report/reconcile_cause.def"
#undef CAUSE
};
const char *reconcile_cause_name(enum reconcile_cause c) { return causes[c].name; }
const char *reconcile_cause_sentence(enum reconcile_cause c) { return causes[c].sentence; }
bool reconcile_cause_is_explained(enum reconcile_cause c) { return causes[c].explained; }

/* Where a class counts when the export does not know it; itself: nowhere else. */
static const enum usage_class base_of[USAGE_CLASSES] = {
    [USAGE_INPUT] = USAGE_INPUT, [USAGE_CACHE_READ] = USAGE_INPUT, [USAGE_CACHE_WRITE] = USAGE_INPUT, [USAGE_CACHE_WRITE_1H] = USAGE_CACHE_WRITE,
    [USAGE_INPUT_AUDIO] = USAGE_INPUT, [USAGE_INPUT_IMAGE] = USAGE_INPUT, [USAGE_OUTPUT] = USAGE_OUTPUT, [USAGE_REASONING] = USAGE_OUTPUT,
    [USAGE_OUTPUT_AUDIO] = USAGE_OUTPUT, [USAGE_OUTPUT_IMAGE] = USAGE_OUTPUT, [USAGE_REQUEST] = USAGE_REQUEST, [USAGE_SEARCH] = USAGE_SEARCH,
    [USAGE_SESSION] = USAGE_SESSION, [USAGE_SECOND] = USAGE_SECOND, [USAGE_IMAGE] = USAGE_IMAGE, [USAGE_PIXEL] = USAGE_PIXEL, [USAGE_STORAGE] = USAGE_STORAGE,
};

struct work {
    const struct reconcile_options *o;
    const struct reconcile_export *x;
    struct reconciliation *r;
    uint32_t provider;
    struct reconcile_span *buckets; /* in order, apart */
    int64_t width_us;               /* of the narrowest */
    bool knows_models, has_all;     /* has_all: some rows are costs of all classes */
    bool class_quantity, class_cost;/* what rows with a class state */
    uint32_t classes;               /* bit per class that is known */
    struct index by_key;
    uint32_t seen_providers[16];
    unsigned seen_n;
    bool any_ours;
};

static enum err fail(struct work *w, enum err e, const char *format, ...) PRINTF_LIKE(3, 4);
static enum err fail(struct work *w, enum err e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(w->r->why, sizeof w->r->why, format, args);
    va_end(args);
    return e;
}

/* ---- buckets ---- */

static int by_time(const void *a, const void *b)
{
    const struct reconcile_span *x = a, *y = b;
    return x->from_us != y->from_us ? (x->from_us < y->from_us ? -1 : 1) : (x->until_us > y->until_us) - (x->until_us < y->until_us);
}

/* Buckets that overlap become one. */
static void order_buckets(struct work *w)
{
    struct reconcile_span *b = ARENA_ARRAY(&w->r->arena, struct reconcile_span, w->x->buckets_n);
    unsigned n = 0;
    memcpy(b, w->x->buckets, w->x->buckets_n * sizeof *b);
    qsort(b, w->x->buckets_n, sizeof *b, by_time);
    for (unsigned i = 0; i < w->x->buckets_n; i++)
        if (n && b[i].from_us < b[n - 1].until_us)
            b[n - 1].until_us = b[i].until_us > b[n - 1].until_us ? b[i].until_us : b[n - 1].until_us;
        else
            b[n++] = b[i];
    w->width_us = INT64_MAX;
    for (unsigned i = 0; i < n; i++)
        w->width_us = b[i].until_us - b[i].from_us < w->width_us ? b[i].until_us - b[i].from_us : w->width_us;
    w->buckets = b;
    w->r->buckets_n = n;
    w->r->from_us = b[0].from_us;
    w->r->until_us = b[n - 1].until_us;
}

/* In a gap, where the export has nothing at all, a piece as wide as its buckets are. at_us is in the export's range. */
static struct reconcile_span bucket_of(const struct work *w, int64_t at_us)
{
    unsigned low = 0, high = w->r->buckets_n;
    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;
        *(w->buckets[middle].from_us <= at_us ? &low : &high) = middle;
    }
    struct reconcile_span b = w->buckets[low];
    if (at_us < b.until_us || low + 1 == w->r->buckets_n)
        return b;
    int64_t from_us = b.until_us + (at_us - b.until_us) / w->width_us * w->width_us, end_us = w->buckets[low + 1].from_us;
    return (struct reconcile_span){from_us, end_us - from_us < w->width_us ? end_us : from_us + w->width_us};
}

/* ---- models ---- */

static unsigned add_model(struct work *w, struct span name, bool is_ours)
{
    struct reconciliation *r = w->r;
    if (r->models_n == r->models_room) {
        r->models_room = r->models_room ? 2 * r->models_room : 32;
        CHECK((r->models = reallocarray(r->models, r->models_room, sizeof *r->models)));
    }
    r->models[r->models_n] = (struct reconcile_model){.name = arena_dup(&r->arena, name), .is_ours = is_ours};
    return r->models_n++;
}

static unsigned find_model(const struct work *w, struct span name, bool is_ours)
{
    unsigned i = 0;
    while (i < w->r->models_n && (w->r->models[i].is_ours != is_ours || !span_eq(w->r->models[i].name, name)))
        i++;
    return i;
}

static unsigned our_model(struct work *w, uint32_t id)
{
    struct span name = w->knows_models ? books_name(w->o->books, id) : SPAN("");
    unsigned i = find_model(w, name, true);
    return i < w->r->models_n ? i : add_model(w, name, true);
}

static void add_name(struct work *w, struct span *list, struct span name)
{
    *list = list->n ? arena_printf(&w->r->arena, "%.*s, %.*s", SPAN_ARG(*list), SPAN_ARG(name)) : arena_dup(&w->r->arena, name);
}

static void add_candidates(struct work *w, struct reconcile_model *m, const struct model_form *theirs, unsigned ours_n, unsigned least)
{
    struct model_form form;
    for (unsigned i = 0; i < ours_n && m->candidates.n < 300; i++) {
        const struct reconcile_model *own = &w->r->models[i];
        model_form_of(own->name, &form);
        bool is_like = least ? model_form_match(&form, theirs) >= least
                             : own->is_ours && form.base[0] && theirs->base[0] && (strstr(form.base, theirs->base) || strstr(theirs->base, form.base));
        if (own->is_ours && is_like)
            add_name(w, &m->candidates, own->name);
    }
}

/* The one of ours that is most alike; models_n when there is none, or more than one. */
static unsigned most_alike(const struct work *w, const struct model_form *theirs, unsigned *ret_grade)
{
    struct model_form form;
    unsigned best = w->r->models_n, grade = 0;
    for (unsigned i = 0; i < w->r->models_n; i++) {
        if (!w->r->models[i].is_ours)
            continue;
        model_form_of(w->r->models[i].name, &form);
        unsigned match = model_form_match(&form, theirs);
        if (match > grade) {
            best = i;
            grade = match;
        } else if (match && match == grade) {
            best = w->r->models_n;
        }
    }
    *ret_grade = grade;
    return best;
}

static const struct reconcile_alias *find_alias(const struct work *w, struct span theirs)
{
    struct model_form a, b;
    model_form_of(theirs, &a);
    for (unsigned i = 0; i < w->o->aliases_n; i++) {
        model_form_of(w->o->aliases[i].theirs, &b);
        if (span_eq(w->o->aliases[i].theirs, theirs) || model_form_match(&a, &b) == 3)
            return &w->o->aliases[i];
    }
    return NULL;
}

static unsigned match_model(struct work *w, struct span theirs)
{
    const struct reconcile_alias *alias = find_alias(w, theirs);
    unsigned i = find_model(w, alias ? alias->ours : theirs, true), ours_n = w->r->models_n, grade;
    struct model_form form;
    if (i < ours_n)
        return i;
    model_form_of(theirs, &form);
    i = most_alike(w, &form, &grade);
    if (i < ours_n)
        return i;
    i = find_model(w, theirs, false);
    if (i < ours_n)
        return i;
    i = add_model(w, theirs, false);
    add_candidates(w, &w->r->models[i], &form, ours_n, grade);
    if (!w->r->models[i].candidates.n && grade)
        add_candidates(w, &w->r->models[i], &form, ours_n, 0);
    return i;
}

/* Rows of one model stand together more often than not, so the last one is looked at first. */
static unsigned their_model(struct work *w, struct span theirs, struct span *last, unsigned *last_model)
{
    if (last->p && span_eq(*last, theirs))
        return *last_model;
    *last = theirs.p ? theirs : SPAN("");
    *last_model = match_model(w, *last);
    struct reconcile_model *m = &w->r->models[*last_model];
    m->is_theirs = true;
    struct span listed = m->theirs;
    while (listed.n) {
        ptrdiff_t at = span_find_span(listed, SPAN(", "));
        if (span_eq(at < 0 ? listed : span_to(listed, (size_t)at), theirs))
            return *last_model;
        listed = at < 0 ? SPAN_NONE : span_from(listed, (size_t)at + 2);
    }
    if (theirs.n && m->theirs.n < 300)
        add_name(w, &m->theirs, theirs);
    return *last_model;
}

/* ---- cells ---- */

static uint32_t hash_of(int64_t from_us, unsigned model, unsigned usage)
{
    return index_hash_u64((uint64_t)from_us, (uint64_t)model << 32 | usage);
}

static struct reconcile_cell *find_cell(const struct work *w, int64_t from_us, unsigned model, unsigned usage)
{
    uint32_t hash = hash_of(from_us, model, usage);
    for (uint32_t at = index_first(&w->by_key, hash), item; (item = index_item(&w->by_key, hash, &at)); at++) {
        struct reconcile_cell *c = &w->r->cells[item - 1];
        if (c->from_us == from_us && c->model == model && c->usage == usage)
            return c;
    }
    return NULL;
}

static struct reconcile_cell *get_cell(struct work *w, int64_t at_us, unsigned model, unsigned usage)
{
    struct reconciliation *r = w->r;
    struct reconcile_span b = bucket_of(w, at_us);
    struct reconcile_cell *found = find_cell(w, b.from_us, model, usage);
    if (found)
        return found;
    if (r->cells_n == r->cells_room) {
        r->cells_room = r->cells_room ? 2 * r->cells_room : 256;
        CHECK((r->cells = reallocarray(r->cells, r->cells_room, sizeof *r->cells)));
    }
    r->cells[r->cells_n] = (struct reconcile_cell){.from_us = b.from_us, .until_us = b.until_us, .model = model, .usage = usage};
    index_insert(&w->by_key, hash_of(b.from_us, model, usage), ++r->cells_n);
    return &r->cells[r->cells_n - 1];
}

static bool add_cost(struct reconcile_side *s, money cost, const char *currency)
{
    s->mixed = s->mixed || (s->has_cost && strcmp(s->currency, currency) != 0);
    s->has_cost = true;
    memcpy(s->currency, currency, sizeof s->currency);
    return money_add(s->cost, cost, &s->cost);
}

/* Zeros make their class known, and no cell. */
static bool add_their_row(struct work *w, const struct reconcile_row *row, unsigned model)
{
    if (!row->quantity && !row->cost)
        return true;
    struct reconcile_side *s = &get_cell(w, row->from_us, model, row->usage)->theirs;
    s->rows++;
    s->has_quantity = s->has_quantity || row->has_quantity;
    return money_add(s->quantity, row->quantity, &s->quantity) && (!row->has_cost || add_cost(s, row->cost, row->currency));
}

/* What a class of a rollup adds to a cell. */
struct part {
    money quantity, cost;
    const struct price_line *line;
    bool is_priced, is_estimated;
};

static bool add_part(struct reconcile_cell *c, const struct part *p, bool is_charged)
{
    c->ours.rows++;
    c->ours.has_quantity = c->ours.has_quantity || c->usage != RECONCILE_ALL;
    c->unpriced = c->unpriced || (!p->is_priced && is_charged);
    bool fits = c->usage == RECONCILE_ALL || money_add(c->ours.quantity, p->quantity, &c->ours.quantity);
    fits = fits && (!p->is_priced || add_cost(&c->ours, p->cost, p->line->book->currency));
    if (!p->is_estimated)
        return fits;
    return fits && money_add(c->estimated, c->usage == RECONCILE_ALL ? 0 : p->quantity, &c->estimated) && money_add(c->estimated_cost, p->cost, &c->estimated_cost);
}

static bool is_known(const struct work *w, enum usage_class c) { return w->classes >> c & 1; }

/* The class of the export in which ours counts; RECONCILE_ALL: in none. */
static unsigned folded(const struct work *w, enum usage_class c, const struct part *p)
{
    enum usage_class to = c;
    while (!is_known(w, to) && base_of[to] != to)
        to = base_of[to];
    if (c == USAGE_REQUEST && !p->cost && !w->x->counts_requests)
        return RECONCILE_ALL; /* nobody charges for it */
    if (usage_class_side(to) == USAGE_SIDE_OTHER && !is_known(w, to) && !p->cost)
        return RECONCILE_ALL;
    return to;
}

static struct part part_of(const struct work *w, uint32_t price, enum usage_class c, int64_t count, bool is_estimated)
{
    const struct price_line *line = books_price(w->o->books, price);
    bool is_priced = line && line->price[c] != PRICE_NONE;
    return (struct part){.quantity = (money)count * MONEY_ONE, .cost = is_priced ? money_of(count, line->price[c]) : 0, .line = line, .is_priced = is_priced,
                         .is_estimated = is_estimated};
}

static enum err add_rollup(void *owner, const struct rollup *r)
{
    struct work *w = owner;
    if (!w->provider || r->provider != w->provider)
        return ERR_OK;
    bool fits = true;
    unsigned model = our_model(w, r->model);
    w->any_ours = true;
    for (unsigned i = 0; i < USAGE_CLASSES && fits; i++) {
        enum usage_class c = (enum usage_class)i;
        struct part p = part_of(w, r->buy_price, c, r->count[c], r->source == USAGE_SOURCE_ESTIMATED);
        unsigned to = folded(w, c, &p);
        if (!r->count[c])
            continue;
        if (w->classes && to != RECONCILE_ALL)
            fits = add_part(get_cell(w, r->bucket_us, model, to), &p, c != USAGE_REQUEST);
        if (w->has_all && fits)
            fits = add_part(get_cell(w, r->bucket_us, model, RECONCILE_ALL), &p, c != USAGE_REQUEST);
    }
    return fits ? ERR_OK : ERR_RANGE;
}

/* ---- what was booked by its hold ---- */

static bool move_recovered(struct reconcile_cell *c, const struct part *p)
{
    money quantity = c->usage == RECONCILE_ALL ? 0 : p->quantity;
    return money_add(c->estimated, -quantity, &c->estimated) && money_add(c->recovered, quantity, &c->recovered) &&
           money_add(c->estimated_cost, -p->cost, &c->estimated_cost) && money_add(c->recovered_cost, p->cost, &c->recovered_cost);
}

/* What came back is not known and was not booked; it cannot have been more than the hold had set aside beside the input. */
static bool allow_output(struct work *w, const struct entry_usage *u)
{
    const struct price_line *line = books_price(w->o->books, u->buy.price);
    int64_t price = line ? line->price[USAGE_OUTPUT] : PRICE_NONE;
    money left = u->held - u->buy.amount;
    if (u->usage.count[USAGE_OUTPUT] != USAGE_UNKNOWN || price == PRICE_NONE || price <= 0 || left <= 0)
        return true;
    int64_t from_us = bucket_of(w, u->booked_us).from_us;
    unsigned model = our_model(w, u->model);
    struct reconcile_cell *c = find_cell(w, from_us, model, USAGE_OUTPUT), *all = find_cell(w, from_us, model, RECONCILE_ALL);
    bool fits = !c || (money_add(c->recovered, left / price * MONEY_ONE, &c->recovered) && money_add(c->recovered_cost, left, &c->recovered_cost));
    return fits && (!all || money_add(all->recovered_cost, left, &all->recovered_cost));
}

/* Rollups count it among estimates; only the entries say it. */
static enum err add_recovered(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    (void)seq, (void)body;
    struct work *w = owner;
    const struct entry_usage *u = &e->usage;
    bool fits = true;
    if (e->kind != ENTRY_USAGE || !u->recovered || u->provider != w->provider || u->usage.source != USAGE_SOURCE_ESTIMATED)
        return ERR_OK;
    int64_t at_us = u->booked_us - u->booked_us % ROLLUP_US;
    for (unsigned i = 0; i < USAGE_CLASSES && fits; i++) {
        enum usage_class c = (enum usage_class)i;
        struct part p = part_of(w, u->buy.price, c, u->usage.count[c], true);
        unsigned to = folded(w, c, &p);
        if (u->usage.count[c] <= 0)
            continue;
        if (w->classes && to != RECONCILE_ALL)
            fits = move_recovered(get_cell(w, at_us, our_model(w, u->model), to), &p);
        if (w->has_all && fits)
            fits = move_recovered(get_cell(w, at_us, our_model(w, u->model), RECONCILE_ALL), &p);
    }
    return fits && allow_output(w, u) ? ERR_OK : ERR_RANGE;
}

static enum err read_recovered(struct work *w)
{
    uint64_t from, until;
    bool wanted = false;
    for (unsigned i = 0; i < w->r->cells_n; i++)
        wanted = wanted || w->r->cells[i].estimated || w->r->cells[i].estimated_cost;
    if (!wanted)
        return ERR_OK;
    enum err e = books_range(w->o->books, w->r->from_us, w->r->until_us, &from, &until);
    return e ? e : books_each(w->o->books, from, until, add_recovered, w);
}

/* ---- causes ---- */

static money size_of(money m) { return m < 0 ? -m : m; }

/* Is this what rounding can make? step 0: nothing is rounded. Computing in binary, which very fine digits betray, wanders in the thirteenth. */
static bool is_rounding(money off, money step, int64_t rows, money of)
{
    money allowed;
    if (off == 0)
        return true;
    if (__builtin_mul_overflow(step, (money)rows, &allowed))
        allowed = 0;
    return size_of(off) < allowed || (rows && step && step <= 10000 && size_of(off) <= size_of(of) >> 40);
}

static money quantity_step(const struct work *w) { return w->x->quantity_step == MONEY_ONE ? 0 : w->x->quantity_step; }

static bool same_quantity(const struct work *w, const struct reconcile_cell *c)
{
    return !c->compares_quantity || is_rounding(c->quantity_off, quantity_step(w), c->theirs.rows, c->theirs.quantity);
}

static bool same_cost(const struct work *w, const struct reconcile_cell *c)
{
    return !c->compares_cost || is_rounding(c->cost_off, w->x->cost_step, c->theirs.rows, c->theirs.cost);
}

static bool is_other_currency(const struct reconcile_cell *c)
{
    const struct reconcile_side *a = &c->ours, *b = &c->theirs;
    return a->mixed || b->mixed || (a->has_cost && b->has_cost && strcmp(a->currency, b->currency) != 0);
}

static void compare(const struct work *w, struct reconcile_cell *c)
{
    bool is_all = c->usage == RECONCILE_ALL, absent = !c->theirs.rows;
    c->compares_quantity = !is_all && w->class_quantity && (absent || c->theirs.has_quantity);
    c->compares_cost = (is_all || w->class_cost) && (absent || c->theirs.has_cost) && !is_other_currency(c);
    c->quantity_off = c->compares_quantity ? c->theirs.quantity - c->ours.quantity : 0;
    c->cost_off = c->compares_cost ? c->theirs.cost - c->ours.cost : 0;
}

static bool fits_in(const struct reconcile_cell *c, money quantity, money cost)
{
    return (quantity || cost) && (!c->compares_quantity || size_of(c->quantity_off) <= quantity) && (!c->compares_cost || size_of(c->cost_off) <= cost);
}

static bool is_nothing(const struct reconcile_side *s) { return s->quantity == 0 && s->cost == 0; }

static enum reconcile_cause cause_if_same(const struct work *w, const struct reconcile_cell *c)
{
    bool same = same_quantity(w, c);
    if (same && same_cost(w, c) && is_other_currency(c))
        return RECONCILE_CURRENCY;
    if (same && same_cost(w, c))
        return c->quantity_off == 0 && c->cost_off == 0 ? RECONCILE_EQUAL : RECONCILE_ROUNDING;
    return RECONCILE_CAUSES;
}

static enum reconcile_cause cause_if_not(const struct work *w, const struct reconcile_cell *c)
{
    if (fits_in(c, c->estimated, c->estimated_cost))
        return RECONCILE_ESTIMATED;
    if ((c->recovered || c->recovered_cost) && fits_in(c, c->estimated + c->recovered, c->estimated_cost + c->recovered_cost))
        return RECONCILE_RECOVERED;
    if (is_nothing(&c->theirs))
        return RECONCILE_MISSING_THERE;
    if (is_nothing(&c->ours))
        return RECONCILE_MISSING_HERE;
    if (same_quantity(w, c) && c->unpriced)
        return RECONCILE_UNPRICED;
    if (same_quantity(w, c))
        return c->compares_quantity ? RECONCILE_PRICE : RECONCILE_COST;
    return RECONCILE_QUANTITY;
}

/* What the chain is followed by. */
static money off_of(const struct reconcile_cell *c) { return c->compares_quantity ? c->quantity_off : c->cost_off; }
static money ours_of(const struct reconcile_cell *c) { return c->compares_quantity ? c->ours.quantity : c->ours.cost; }

static bool continues(const struct reconcile_cell *a, const struct reconcile_cell *b)
{
    return a->model == b->model && a->usage == b->usage && a->until_us == b->from_us && a->compares_quantity == b->compares_quantity &&
           a->compares_cost == b->compares_cost && b->cause == RECONCILE_CAUSES;
}

/* How many cells from c on are a chain; 0: none begins here. More so far: they have what ours has in the next bucket; less: ours has here what they have later. */
static unsigned edge_at(const struct work *w, const struct reconcile_cell *c, unsigned left)
{
    money moved = off_of(c), cost = c->cost_off;
    int64_t rows = c->theirs.rows;
    for (unsigned n = 1; n < left && continues(&c[n - 1], &c[n]); n++) {
        if (moved == 0 || size_of(moved) > ours_of(moved > 0 ? &c[n] : &c[n - 1]))
            return 0;
        moved += off_of(&c[n]);
        cost += c[n].cost_off;
        rows += c[n].theirs.rows;
        money step = c->compares_quantity ? quantity_step(w) : w->x->cost_step;
        if (is_rounding(moved, step, rows, off_of(c)) && (!c->compares_cost || is_rounding(cost, w->x->cost_step, rows, c->theirs.cost)))
            return n + 1;
    }
    return 0;
}

static void find_causes(struct work *w)
{
    struct reconciliation *r = w->r;
    for (unsigned i = 0; i < r->cells_n; i++) {
        compare(w, &r->cells[i]);
        r->cells[i].cause = cause_if_same(w, &r->cells[i]);
    }
    for (unsigned i = 0; i < r->cells_n; i++)
        if (r->cells[i].cause == RECONCILE_CAUSES)
            for (unsigned n = edge_at(w, &r->cells[i], r->cells_n - i); n > 0; n--)
                r->cells[i + n - 1].cause = RECONCILE_EDGE;
    for (unsigned i = 0; i < r->cells_n; i++) {
        if (r->cells[i].cause == RECONCILE_CAUSES)
            r->cells[i].cause = cause_if_not(w, &r->cells[i]);
        r->found[r->cells[i].cause]++;
    }
}

static int by_place(const void *a, const void *b)
{
    const struct reconcile_cell *x = a, *y = b;
    if (x->model != y->model)
        return x->model < y->model ? -1 : 1;
    if (x->usage != y->usage)
        return x->usage < y->usage ? -1 : 1;
    return (x->from_us > y->from_us) - (x->from_us < y->from_us);
}

/* ---- the whole ---- */

static void look_at_rows(struct work *w)
{
    for (unsigned i = 0; i < w->x->rows_n; i++) {
        const struct reconcile_row *row = &w->x->rows[i];
        w->knows_models = w->knows_models || row->model.n;
        if (row->usage == RECONCILE_ALL) {
            w->has_all = true;
            continue;
        }
        w->classes |= 1u << row->usage;
        w->class_quantity = w->class_quantity || row->has_quantity;
        w->class_cost = w->class_cost || row->has_cost;
    }
    w->r->compares_quantity = w->class_quantity;
    w->r->compares_cost = w->class_cost || w->has_all;
}

static enum err add_provider(void *owner, const struct rollup *r)
{
    struct work *w = owner;
    w->any_ours = w->any_ours || (w->provider && r->provider == w->provider);
    for (unsigned i = 0; i < w->seen_n; i++)
        if (w->seen_providers[i] == r->provider)
            return ERR_OK;
    if (r->provider && w->seen_n < COUNT_OF(w->seen_providers))
        w->seen_providers[w->seen_n++] = r->provider;
    return ERR_OK;
}

/* Nothing of ours in the range: is the provider's name a mistake? */
static enum err check_provider(struct work *w)
{
    struct span names = SPAN_NONE;
    enum err e = w->any_ours ? ERR_OK : books_each_rollup(w->o->books, INT64_MIN, INT64_MAX, add_provider, w);
    if (e || w->any_ours)
        return e;
    for (unsigned i = 0; i < w->seen_n; i++)
        add_name(w, &names, books_name(w->o->books, w->seen_providers[i]));
    return fail(w, ERR_NOT_FOUND, "the books know no provider \"%.*s\"; there are: %.*s", SPAN_ARG(w->o->provider), (int)(names.n < 300 ? names.n : 300),
                names.n ? names.p : "");
}

static enum err check_aliases(struct work *w)
{
    struct span names = SPAN_NONE;
    for (unsigned i = 0; i < w->o->aliases_n; i++) {
        if (find_model(w, w->o->aliases[i].ours, true) < w->r->models_n)
            continue;
        for (unsigned k = 0; k < w->r->models_n; k++)
            add_name(w, &names, w->r->models[k].name);
        return fail(w, ERR_NOT_FOUND, "--model: in this time the provider had no model \"%.*s\" in our books; there are: %.*s", SPAN_ARG(w->o->aliases[i].ours),
                    (int)(names.n < 300 ? names.n : 300), names.n ? names.p : "");
    }
    return ERR_OK;
}

static enum err add_theirs(struct work *w)
{
    struct span last = SPAN_NONE;
    unsigned model = 0;
    for (unsigned i = 0; i < w->x->rows_n; i++) {
        const struct reconcile_row *row = &w->x->rows[i];
        if (!add_their_row(w, row, their_model(w, row->model, &last, &model)))
            return ERR_RANGE;
    }
    return ERR_OK;
}

/* Rollups begin on quarters of an hour; a bucket that does not has those that begin in it. */
static int64_t quarter_from(int64_t at_us) { return at_us - ((at_us % ROLLUP_US) + ROLLUP_US) % ROLLUP_US; }

static enum err in_range_only(void *owner, const struct rollup *r)
{
    struct work *w = owner;
    return r->bucket_us >= w->r->from_us && r->bucket_us < w->r->until_us ? add_rollup(owner, r) : ERR_OK;
}

enum err reconcile_make(const struct reconcile_options *o, struct reconciliation *ret)
{
    struct work w = {.o = o, .x = o->export, .r = ret, .provider = books_name_id(o->books, o->provider)};
    memset(ret, 0, sizeof *ret);
    arena_init(&ret->arena, 4096);
    order_buckets(&w);
    look_at_rows(&w);
    enum err e = books_each_rollup(o->books, quarter_from(ret->from_us), quarter_from(ret->until_us) + ROLLUP_US, in_range_only, &w);
    e = e ? e : check_provider(&w);
    e = e ? e : check_aliases(&w);
    e = e ? e : add_theirs(&w);
    e = e ? e : read_recovered(&w);
    if (!e && ret->cells_n)
        qsort(ret->cells, ret->cells_n, sizeof *ret->cells, by_place);
    if (!e)
        find_causes(&w);
    else if (!ret->why[0])
        fail(&w, e, "%s", books_why(o->books)[0] ? books_why(o->books) : err_sentence(e));
    index_fini(&w.by_key);
    return e;
}

void reconcile_fini(struct reconciliation *r)
{
    free(r->models);
    free(r->cells);
    arena_fini(&r->arena);
    memset(r, 0, sizeof *r);
}

unsigned reconcile_unexplained(const struct reconciliation *r)
{
    unsigned n = 0;
    for (unsigned c = 0; c < RECONCILE_CAUSES; c++)
        n += causes[c].explained ? 0 : r->found[c];
    return n;
}

int64_t reconcile_price(const struct reconcile_side *s)
{
    money quantity = s->quantity, cost = s->cost;
    while (cost > MONEY_MAX / MONEY_ONE / 4) { /* too large for the product; a price has 18 digits, these have 23 */
        cost /= 1000;
        quantity /= 1000;
    }
    if (!s->has_cost || s->mixed || quantity <= 0 || cost < 0)
        return PRICE_NONE;
    money price = (cost * MONEY_ONE + quantity / 2) / quantity; /* 10^-15 per unit is 10^-9 per million */
    return price <= INT64_MAX ? (int64_t)price : PRICE_NONE;
}
