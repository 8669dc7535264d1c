/* SPDX-License-Identifier: Apache-2.0
 *
 * Which line applies, and what it comes to. Sealing puts all lines of a list into one order of preference, once; then the line that applies is the
 * first one in that order that fits. So as not to walk them all, lines are kept in runs by name, each in that order: those for one model at one
 * provider, those for one model at providers by pattern, those for models by pattern. The best of three first ones is it.
 *
 * The table of runs is open, at most half full, filled once and only read after, without a lock and without an allocation.
 */
#include "policy/price.h"

#include <stdlib.h>

#include "base/digest.h"
#include "policy/catalog.h"
#include "policy/price_seal.h"

#define MINUTES_OF_DAY 1440
#define US_PER_MINUTE 60000000ll
#define DAYS_EVERY 0x7fu

struct run {
    uint64_t hash;
    struct span buyer;           /* empty: what we buy */
    struct span model, provider; /* both; or only a model: providers by pattern; or none: models by pattern */
    struct price_line *first, *last;
};

struct price_index {
    uint64_t seed;
    size_t mask; /* table size less one; the size is a power of two */
    struct run *runs;
    bool has_sales, has_provider_globs, has_globs; /* runs of the kind that there are none of are not looked for */
};

/* ---- a list ---- */

struct price_list *price_list_new(void)
{
    struct price_list *l = calloc(1, sizeof *l);
    CHECK(l != NULL);
    atomic_init(&l->references, 1);
    arena_init(&l->arena, 4096);
    l->self = "self";
    return l;
}

struct price_list *price_list_ref(struct price_list *l)
{
    unsigned before = atomic_fetch_add_explicit(&l->references, 1, memory_order_relaxed);
    CHECK(before > 0);
    return l;
}

void price_list_unref(struct price_list *l)
{
    if (!l)
        return;
    unsigned before = atomic_fetch_sub_explicit(&l->references, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before > 1)
        return;
    arena_fini(&l->arena);
    free(l);
}

const char *price_term_name(enum price_term_kind k)
{
    static const char *const names[TERM_KINDS] = {
        [TERM_FEE] = "fee", [TERM_MINIMUM] = "minimum", [TERM_FREE] = "free", [TERM_BAND] = "band", [TERM_CAPACITY] = "capacity",
        [TERM_COMMIT] = "commit", [TERM_CREDIT] = "credit", [TERM_SHARE] = "share", [TERM_TAX] = "tax", [TERM_STORAGE] = "storage"};
    return (unsigned)k < TERM_KINDS ? names[k] : "?";
}

/* ---- the order of preference ---- */

bool price_is_glob(struct span name)
{
    return span_find(name, '*') >= 0 || span_find(name, '?') >= 0;
}

static unsigned letters(struct span glob)
{
    unsigned n = 0;
    for (size_t i = 0; i < glob.n; i++)
        n += glob.p[i] != '*' && glob.p[i] != '?';
    return n;
}

/* Exact names over patterns, the model's before the provider's; then by letters. */
static uint64_t precision(const struct price_line *line)
{
    uint64_t exact_model = !price_is_glob(line->model), exact_provider = !price_is_glob(line->provider);
    return exact_model << 63 | exact_provider << 62 | (uint64_t)(letters(line->model) & 0xffffff) << 24 | (letters(line->provider) & 0xffffff);
}

static int falling(int64_t a, int64_t b)
{
    return (a < b) - (a > b);
}

static int falling_precision(uint64_t a, uint64_t b)
{
    return (a < b) - (a > b);
}

static int by_preference(const void *left, const void *right)
{
    const struct price_line *a = *(const struct price_line *const *)left, *b = *(const struct price_line *const *)right;
    const int orders[] = {
        falling(a->book->known_from_us, b->book->known_from_us),
        falling(a->book->valid_from_us, b->book->valid_from_us),
        falling_precision(precision(a), precision(b)),
        falling(a->tier[0] != '\0', b->tier[0] != '\0'),
        falling(a->clock.days != 0, b->clock.days != 0),
        falling(a->above_input, b->above_input),
        falling(b->rank, a->rank), /* as listed */
    };
    for (size_t i = 0; i < COUNT_OF(orders); i++)
        if (orders[i])
            return orders[i];
    return 0;
}

/* ---- runs ---- */

/* Of what a run is for, one name after the other, so that a search hashes each name once. */
static uint64_t hash_more(uint64_t hash, struct span name)
{
    return name.n ? span_hash(name, hash + 1) : hash;
}

/* The run of these names; or the free place where it would stand, which is an empty run. */
static struct run *find_run(const struct price_index *x, uint64_t hash, struct span buyer, struct span model, struct span provider)
{
    size_t at = (size_t)hash & x->mask;
    for (; x->runs[at].first; at = (at + 1) & x->mask) {
        const struct run *r = &x->runs[at];
        if (r->hash == hash && span_eq(r->model, model) && span_eq(r->provider, provider) && span_eq(r->buyer, buyer))
            break;
    }
    return &x->runs[at];
}

static void add_to_run(struct price_index *x, struct span buyer, struct price_line *line)
{
    struct span model = price_is_glob(line->model) ? SPAN_NONE : line->model;
    struct span provider = !model.n || price_is_glob(line->provider) ? SPAN_NONE : line->provider;
    uint64_t hash = hash_more(hash_more(hash_more(x->seed, buyer), model), provider);
    struct run *r = find_run(x, hash, buyer, model, provider);
    x->has_globs = x->has_globs || !model.n;
    x->has_provider_globs = x->has_provider_globs || (model.n && !provider.n);
    if (!r->first)
        *r = (struct run){hash, buyer, model, provider, line, NULL};
    else
        r->last->next = line;
    r->last = line;
}

static void add_line(struct price_list *l, struct price_line *line)
{
    const struct price_book *book = line->book;
    if (strcmp(book->buyer, l->self) == 0)
        add_to_run(l->index, SPAN_NONE, line);
    else if (strcmp(book->seller, l->self) == 0) {
        add_to_run(l->index, span_str(book->buyer), line);
        l->index->has_sales = true;
    }
}

static struct price_index *index_new(struct arena *a, size_t lines)
{
    struct price_index *x = ARENA_NEW(a, struct price_index);
    size_t size = 8;
    while (size < lines * 2)
        size *= 2;
    digest_random(&x->seed, sizeof x->seed);
    x->mask = size - 1;
    x->runs = ARENA_ARRAY(a, struct run, size);
    return x;
}

/* ---- sealing ---- */

static unsigned count_lines(const struct price_list *l)
{
    unsigned n = 0;
    for (unsigned i = 0; i < l->books_n; i++)
        n += l->books[i]->lines_n;
    return n;
}

static void set_text(struct price_list *l, struct price_line *line, struct buf *scratch)
{
    buf_clear(scratch);
    CHECK(price_line_write(line, scratch) == ERR_OK); /* the buffer has room for every line that a reader lets in */
    line->text = arena_strdup(&l->arena, buf_span(scratch));
    digest_sha256(buf_span(scratch), line->digest);
}

static void gather_lines(struct price_list *l, struct price_line **all)
{
    struct buf scratch;
    unsigned n = 0;
    buf_init(&scratch, PRICE_TEXT_BYTES_MAX);
    for (unsigned i = 0; i < l->books_n; i++)
        for (unsigned k = 0; k < l->books[i]->lines_n; k++) {
            struct price_line *line = l->books[i]->lines[k];
            line->book = l->books[i];
            line->list = l;
            line->next = NULL;
            line->rank = n;
            set_text(l, line, &scratch);
            all[n++] = line;
        }
    buf_fini(&scratch);
}

bool price_list_seal(struct price_list *l, price_complain_fn *complain, void *owner)
{
    unsigned n = count_lines(l);
    struct price_line **all = ARENA_ARRAY(&l->arena, struct price_line *, n);
    CHECK(l->index == NULL);
    l->index = index_new(&l->arena, n);
    gather_lines(l, all);
    bool is_right = price_seal_check(l, all, n, complain, owner);
    qsort(all, n, sizeof *all, by_preference);
    for (unsigned i = 0; i < n; i++) {
        all[i]->rank = i;
        add_line(l, all[i]);
    }
    return is_right;
}

/* ---- finding ---- */

/* 1970 began on a Thursday. */
bool price_clock_covers(const struct price_clock *c, int64_t at_us)
{
    if (c->days == 0)
        return true;
    int64_t minutes = at_us / US_PER_MINUTE - (at_us % US_PER_MINUTE < 0);
    int64_t days = minutes / MINUTES_OF_DAY - (minutes % MINUTES_OF_DAY < 0);
    int minute = (int)(minutes - days * MINUTES_OF_DAY), day = (int)(((days + 3) % 7 + 7) % 7);
    bool today = c->days >> day & 1, yesterday = c->days >> (day + 6) % 7 & 1;
    if (c->from_minute < c->until_minute)
        return today && minute >= c->from_minute && minute < c->until_minute;
    return (today && minute >= c->from_minute) || (yesterday && minute < c->until_minute);
}

static bool applies(const struct price_line *line, const struct price_facts *f)
{
    const struct price_book *book = line->book;
    return f->at_us >= book->valid_from_us && f->at_us < book->valid_until_us && f->known_us >= book->known_from_us &&
           (line->above_input == 0 || f->input_tokens > line->above_input) && (!line->tier[0] || span_eq(span_str(line->tier), f->tier)) &&
           price_clock_covers(&line->clock, f->at_us);
}

enum names { NAMES_EXACT, NAMES_PROVIDER_GLOB, NAMES_GLOB };

static bool names_fit(const struct price_line *line, const struct price_facts *f, enum names names)
{
    return names == NAMES_EXACT || (glob_matches(line->provider, f->provider) && (names == NAMES_PROVIDER_GLOB || glob_matches(line->model, f->model)));
}

/* The better of best and what the run has. */
static const struct price_line *better(const struct price_line *best, const struct run *r, const struct price_facts *f, enum names names)
{
    for (const struct price_line *line = r->first; line && (!best || line->rank < best->rank); line = line->next)
        if (applies(line, f) && names_fit(line, f, names))
            return line;
    return best;
}

static const struct price_line *find(const struct price_list *l, struct span buyer, const struct price_facts *f)
{
    const struct price_index *x = l->index;
    const struct price_line *best = NULL;
    CHECK(x != NULL);
    uint64_t any = hash_more(x->seed, buyer), model = hash_more(any, f->model);
    if (f->model.n && f->provider.n)
        best = better(best, find_run(x, hash_more(model, f->provider), buyer, f->model, f->provider), f, NAMES_EXACT);
    if (f->model.n && x->has_provider_globs)
        best = better(best, find_run(x, model, buyer, f->model, SPAN_NONE), f, NAMES_PROVIDER_GLOB);
    return x->has_globs ? better(best, find_run(x, any, buyer, SPAN_NONE, SPAN_NONE), f, NAMES_GLOB) : best;
}

const struct price_line *price_find_buy(const struct price_list *l, const struct price_facts *f)
{
    return l ? find(l, SPAN_NONE, f) : NULL;
}

const struct price_line *price_find_sell(const struct price_list *l, struct span buyer, const struct price_facts *f)
{
    if (!l || !l->index->has_sales || buyer.n == 0)
        return NULL;
    const struct price_line *line = find(l, buyer, f);
    return line ? line : find(l, SPAN("*"), f);
}

/* ---- what it comes to ---- */

static money sum(money a, money b)
{
    money total;
    return money_add(a, b, &total) ? total : MONEY_MAX; /* prices and counts are never negative */
}

void price_charge(const struct price_line *line, const struct usage *u, struct charge *ret)
{
    struct charge c = {.line = line, .amount = 0, .unpriced = 0};
    for (unsigned i = 0; i < USAGE_CLASSES; i++) {
        int64_t count = u->count[i];
        if (count <= 0)
            continue;
        if (line && line->price[i] != PRICE_NONE)
            c.amount = sum(c.amount, money_of(count, line->price[i]));
        else if (i != USAGE_REQUEST)
            c.unpriced |= 1u << i;
    }
    *ret = c;
}

static money dearest(const struct price_line *line, enum usage_side side)
{
    money price = 0;
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        if (usage_class_side((enum usage_class)i) == side && line->price[i] > price) /* PRICE_NONE is below all */
            price = line->price[i];
    return price;
}

money price_worst(const struct price_line *line, int64_t input_max, int64_t output_max)
{
    if (!line)
        return 0;
    money input = dearest(line, USAGE_SIDE_INPUT) * (input_max > 0 ? input_max : 0);
    money output = dearest(line, USAGE_SIDE_OUTPUT) * (output_max > 0 ? output_max : 0);
    money request = line->price[USAGE_REQUEST] == PRICE_NONE ? 0 : line->price[USAGE_REQUEST];
    return sum(sum(input, output), request);
}
