/* SPDX-License-Identifier: Apache-2.0
 *
 * Imported models as a file of price books. One book for each seller and stretch of validity: without --seller, whom the source calls the provider
 * sells. A name that two models claim belongs to the first, as in the source.
 */
#include <stdlib.h>

#include "cli/price_import.h"
#include "cli/price_view.h"

struct stretch { /* of validity, at one seller: a book */
    struct span provider; /* empty: any, with --seller */
    struct span from, until;
    struct span name;     /* of the book */
};

struct claim {
    struct span provider, name;
    unsigned model, place;
};

/* ---- names that are claimed twice ---- */

static int order_text(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

static int by_claim(const void *left, const void *right)
{
    const struct claim *a = left, *b = right;
    int order = order_text(a->provider, b->provider);
    order = order ? order : order_text(a->name, b->name);
    return order ? order : (a->model > b->model) - (a->model < b->model);
}

static bool same_prices(const struct import_model *a, const struct import_model *b)
{
    if (a->rows_n != b->rows_n)
        return false;
    for (unsigned i = 0; i < a->rows_n; i++)
        if (a->rows[i].when.above != b->rows[i].when.above || !span_eq(a->rows[i].when.tier, b->rows[i].when.tier) ||
            memcmp(a->rows[i].price, b->rows[i].price, sizeof a->rows[i].price) != 0)
            return false;
    return true;
}

static void drop_claim(struct import *i, const struct claim *kept, const struct claim *lost)
{
    struct import_model *m = &i->models[lost->model], *owner = &i->models[kept->model];
    struct span *name = &m->names[lost->place];
    if (same_prices(owner, m))
        i->twice++;
    else
        import_note(i, m, "name", "%.*s belongs to %.*s, which stands before it with other prices", SPAN_ARG(*name), SPAN_ARG(owner->names[0]));
    *name = SPAN_NONE;
}

/* ---- texts ---- */

static bool is_plain(struct span text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", more[] = "0123456789._/-";
    for (size_t i = 0; i < text.n; i++)
        if (!text.p[i] || !(strchr(letters, text.p[i]) || (i && strchr(more, text.p[i]))))
            return false;
    return text.n && !span_eq_nocase(text, SPAN("null"));
}

/* A JSON string is a YAML string, whatever is in it. */
static void write_text(FILE *out, struct span text)
{
    struct buf b;
    buf_init(&b, 4096);
    if (is_plain(text))
        fprintf(out, "%.*s", SPAN_ARG(text));
    else if (json_write_string(&b, text) == ERR_OK)
        fprintf(out, "%.*s", SPAN_ARG(buf_span(&b)));
    buf_fini(&b);
}

/* "gpt-4o" or "[gpt-4o, gpt-4o-2024]"; names that were dropped are empty. */
static void write_names(FILE *out, const struct span *names, unsigned n)
{
    unsigned left = 0, done = 0;
    for (unsigned i = 0; i < n; i++)
        left += names[i].n != 0;
    fputs(left > 1 ? "[" : "", out);
    for (unsigned i = 0; i < n; i++)
        if (names[i].n) {
            fputs(done++ ? ", " : "", out);
            write_text(out, names[i]);
        }
    fputs(left > 1 ? "]" : "", out);
}

static void write_price(FILE *out, enum usage_class c, int64_t price)
{
    char text[PRICE_NUMBER_BYTES];
    fprintf(out, ", %s: %s", usage_class_name(c), price_number(text, c, price));
}

/* ---- lines ---- */

/* Our names for the source's provider; itself when there is no mapping. */
static unsigned our_names(struct import *i, struct span provider, struct span region, struct span *out)
{
    struct span whole = region.n ? arena_printf(&i->arena, "%.*s/%.*s", SPAN_ARG(provider), SPAN_ARG(region)) : provider;
    unsigned n = 0;
    for (unsigned k = 0; k < i->options->providers_n; k++) {
        struct span ours = span_str(i->options->providers[k]), source = span_cut(&ours, '=');
        if (span_eq(source, whole))
            out[n++] = ours.n ? ours : source;
    }
    if (i->options->providers_n == 0)
        out[n++] = whole;
    return n;
}

static bool is_ours(struct import *i, const struct import_model *m, const struct import_row *row)
{
    struct span providers[IMPORT_NAMES_MAX];
    return our_names(i, m->provider, row->when.region, providers) > 0;
}

static void write_line(struct import *i, FILE *out, const struct import_model *m, const struct import_row *row)
{
    struct span providers[IMPORT_NAMES_MAX];
    unsigned n = our_names(i, m->provider, row->when.region, providers);
    fputs("      - {model: ", out);
    write_names(out, m->names, m->names_n);
    fputs(", provider: ", out);
    write_names(out, providers, n);
    if (row->when.tier.n) {
        fputs(", tier: ", out);
        write_text(out, row->when.tier);
    }
    if (row->when.above)
        fprintf(out, ", above: %lld", (long long)row->when.above);
    if (row->when.clock.n)
        fprintf(out, ", clock: \"%.*s\"", SPAN_ARG(row->when.clock));
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        if (c == USAGE_REASONING && row->price[c] != PRICE_NONE && row->price[c] == row->price[USAGE_OUTPUT])
            fputs(", reasoning: output", out);
        else if (row->price[c] != PRICE_NONE)
            write_price(out, (enum usage_class)c, row->price[c]);
    fputs("}\n", out);
    i->lines++;
}

/* ---- claims of all models ---- */

/* By our names: two providers of the table may be one of ours. */
static void drop_claims(struct import *i)
{
    unsigned room = i->options->providers_n > 1 ? i->options->providers_n : 1, n = 0, first = 0;
    struct claim *all = ARENA_ARRAY(&i->arena, struct claim, (size_t)i->models_n * IMPORT_NAMES_MAX * room);
    for (unsigned k = 0; k < i->models_n; k++) {
        struct span ours[IMPORT_NAMES_MAX];
        unsigned ours_n = our_names(i, i->models[k].provider, SPAN_NONE, ours);
        for (unsigned name = 0; name < i->models[k].names_n; name++)
            for (unsigned p = 0; p < ours_n; p++)
                all[n++] = (struct claim){ours[p], i->models[k].names[name], k, name};
    }
    if (n)
        qsort(all, n, sizeof *all, by_claim);
    for (unsigned k = 1; k < n; k++)
        if (!span_eq(all[k].provider, all[first].provider) || !span_eq(all[k].name, all[first].name))
            first = k;
        else if (all[k].model != all[first].model && i->models[all[k].model].names[all[k].place].n)
            drop_claim(i, &all[first], &all[k]);
}

/* ---- books ---- */

/* When the row is valid in our book. False: it was past before the book begins, or is of a region that was not asked for. */
static bool stretch_of(struct import *i, const struct import_model *m, const struct import_row *row, struct stretch *ret)
{
    struct span start = span_str(i->options->from);
    *ret = (struct stretch){i->options->seller ? SPAN_NONE : m->provider, start, row->when.until};
    if (row->when.from.n && order_text(row->when.from, start) > 0)
        ret->from = row->when.from;
    return is_ours(i, m, row) && (!ret->until.n || order_text(ret->until, ret->from) > 0);
}

static bool same_stretch(const struct stretch *a, const struct stretch *b)
{
    return span_eq(a->provider, b->provider) && span_eq(a->from, b->from) && span_eq(a->until, b->until); /* whatever the name */
}

static bool is_named(const struct import_model *m)
{
    for (unsigned k = 0; k < m->names_n; k++)
        if (m->names[k].n)
            return true;
    return false;
}

/* "litellm-azure-from-2026-03-13": letters that a book's name has not become '-', and what is the same then gets a number. */
static void name_book(struct import *i, struct stretch *books, unsigned n)
{
    struct stretch *s = &books[n];
    bool is_later = !span_eq(s->from, span_str(i->options->from));
    char *name = arena_strdup(&i->arena, arena_printf(&i->arena, "%.60s%s%.*s%s%.*s%s%.*s", i->options->book, s->provider.n ? "-" : "", SPAN_ARG(s->provider),
                                                      is_later ? "-from-" : "", is_later ? (int)s->from.n : 0, s->from.p, s->until.n ? "-until-" : "",
                                                      SPAN_ARG(s->until)));
    for (char *c = name; *c; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        *c = strchr("abcdefghijklmnopqrstuvwxyz0123456789._-", *c) ? *c : '-';
    }
    s->name = span_str(name);
    for (unsigned k = 0; k < n; k++)
        if (span_eq(books[k].name, s->name)) {
            s->name = arena_printf(&i->arena, "%s-%u", name, n);
            return;
        }
}

static void write_head(const struct import *i, FILE *out, const struct stretch *s)
{
    fprintf(out, "  - book: %.*s\n    seller: ", SPAN_ARG(s->name));
    write_text(out, s->provider.n ? s->provider : span_str(i->options->seller));
    if (i->options->buyer) {
        fputs("\n    buyer: ", out);
        write_text(out, span_str(i->options->buyer));
    }
    fputs("\n    currency: USD\n    source: ", out);
    write_text(out, span_str(i->options->source));
    fprintf(out, "\n    from: %.*s\n", SPAN_ARG(s->from));
    if (s->until.n)
        fprintf(out, "    until: %.*s\n", SPAN_ARG(s->until));
    fprintf(out, "    known: %s\n    lines:\n", i->options->known);
}

static void write_book(struct import *i, FILE *out, const struct stretch *s)
{
    struct stretch own;
    write_head(i, out, s);
    for (unsigned k = 0; k < i->models_n; k++)
        for (unsigned r = 0; is_named(&i->models[k]) && r < i->models[k].rows_n; r++)
            if (stretch_of(i, &i->models[k], &i->models[k].rows[r], &own) && same_stretch(&own, s))
                write_line(i, out, &i->models[k], &i->models[k].rows[r]);
}

static void add_stretch(struct import *i, struct stretch *all, unsigned *n, const struct stretch *s)
{
    for (unsigned k = 0; k < *n; k++)
        if (same_stretch(&all[k], s))
            return;
    all[*n] = *s;
    name_book(i, all, *n);
    (*n)++;
}

void import_write(struct import *i, FILE *out)
{
    unsigned rows = 0, n = 0;
    drop_claims(i);
    for (unsigned k = 0; k < i->models_n; k++)
        rows += i->models[k].rows_n;
    struct stretch *books = ARENA_ARRAY(&i->arena, struct stretch, rows), s;
    for (unsigned k = 0; k < i->models_n; k++)
        for (unsigned r = 0; is_named(&i->models[k]) && r < i->models[k].rows_n; r++)
            if (stretch_of(i, &i->models[k], &i->models[k].rows[r], &s))
                add_stretch(i, books, &n, &s);
    fputs("books:\n", out);
    for (unsigned k = 0; k < n; k++)
        write_book(i, out, &books[k]);
}
