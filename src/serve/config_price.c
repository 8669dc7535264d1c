/* SPDX-License-Identifier: Apache-2.0
 *
 * Price books: files, books, and what only all of them together show. A mistake in one of them is a line of its own file, among those of the config.
 */
#include "serve/config_price.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/zone.h"

#define FILES_MAX 1000u
#define BOOKS_MAX 20000u

/* ---- values ---- */

bool is_date_alone(struct span text)
{
    return text.n == sizeof "2026-08-01" - 1;
}

struct price_place price_place_of(const struct price_book *b, const struct node *n)
{
    return (struct price_place){b->at.file, n->line, n->column};
}

void read_price_time(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct zone *utc;
    int64_t at;
    if (!check_scalar(r, f, n))
        return;
    CHECK(zone_open("UTC", &utc) == ERR_OK);
    if (zone_parse_time(utc, n->text, &at) == ERR_OK)
        *(int64_t *)(void *)((char *)into + f->offset) = at;
    else
        config_error(r->errors, n, "\"%s\" must be a date such as 2026-08-01, which is midnight UTC, or a time such as 2026-08-01T09:00:00+02:00, not \"%.60s\"",
                     f->name, n->text.p);
    zone_free(utc);
}

void read_price_party(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    char what[80];
    snprintf(what, sizeof what, "\"%s\"", f->name);
    if (check_text(r, n, what, PRICE_PARTY_BYTES_MAX))
        *(const char **)(void *)((char *)into + f->offset) = arena_strdup(r->arena, n->text);
}

void read_price_glob(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    char what[80];
    snprintf(what, sizeof what, "\"%s\"", f->name);
    if (check_text(r, n, what, PRICE_NAME_BYTES_MAX))
        *(struct span *)(void *)((char *)into + f->offset) = span_of(arena_strdup(r->arena, n->text), n->text.n);
}

void read_price_rate(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct rate rate;
    if (!check_scalar(r, f, n))
        return;
    enum err e = rate_parse(n->text, &rate);
    if (e || rate.num <= 0)
        config_error(r->errors, n, "\"%s\" must be a rate above 0 such as 5.5%%, 1.1 or 1/3, not \"%.60s\"", f->name, n->text.p);
    else
        *(struct rate *)(void *)((char *)into + f->offset) = rate;
}

void read_price_tokens(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    uint64_t number;
    if (!check_scalar(r, f, n))
        return;
    if (!span_to_u64(n->text, &number) || number == 0 || number > INT64_MAX)
        config_error(r->errors, n, "\"%s\" must be a whole number above 0, not \"%.60s\"", f->name, n->text.p);
    else
        *(int64_t *)(void *)((char *)into + f->offset) = (int64_t)number;
}

static void read_book_name(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct book_draft *d = into;
    if (!check_text(r, n, "a book's name", PRICE_BOOK_BYTES_MAX))
        return;
    if (strspn(n->text.p, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n->text.n)
        d->book.name = arena_strdup(r->arena, n->text);
    else
        config_error(r->errors, n, "a book's name is of small letters, digits, '.', '_' and '-', e.g. azure-2026-08, not \"%.60s\"", n->text.p);
}

static void read_currency(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct book_draft *d = into;
    if (check_scalar(r, f, n) && !currency_parse(n->text, d->book.currency))
        config_error(r->errors, n, "\"%.60s\" is no currency of ISO 4217: write e.g. USD or EUR", n->text.p);
}

static void read_source(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct book_draft *d = into;
    if (check_text(r, n, "\"source\"", PRICE_NAME_BYTES_MAX))
        d->book.source = arena_strdup(r->arena, n->text);
}

static void keep_lines(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    ((struct book_draft *)into)->lines = n;
}

static void keep_terms(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    ((struct book_draft *)into)->terms = n;
}

/* ---- a book ---- */

#define AT(member) .offset = offsetof(struct book_draft, book.member)
static const struct field book_fields[] = {
    {.name = "book", .type = "a name", .standard = REQUIRED, .doc = "what statements call it, e.g. azure-2026-08; each book has its own", .read = read_book_name},
    {.name = "seller", .type = "a party", .standard = REQUIRED, .doc = "who is paid, e.g. microsoft", .read = read_price_party, AT(seller)},
    {.name = "buyer", .type = "a party", .standard = "(`party` of the config)",
     .doc = "who pays; in what we sell, a department or party, or `\"*\"` for everybody without a book of his own",
     .read = read_price_party, AT(buyer)},
    {.name = "currency", .type = "ISO 4217", .standard = REQUIRED, .doc = "what all amounts of the book are in, e.g. USD", .read = read_currency},
    {.name = "source", .type = "text", .standard = "", .doc = "where the prices come from: invoice, contract, list …", .read = read_source},
    {.name = "from", .type = "date or time", .standard = REQUIRED, .doc = "requests that begin from here on have these prices, e.g. 2026-08-01",
     .read = read_price_time, AT(valid_from_us)},
    {.name = "until", .type = "date or time", .standard = "(for ever)", .doc = "requests that begin here or later do not", .read = read_price_time,
     AT(valid_until_us)},
    {.name = "known", .type = "date or time", .standard = "(`from`)", .doc = "when we learned of it; of two prices the one known later counts",
     .read = read_price_time, AT(known_from_us)},
    {.name = "lines", .type = "list", .standard = "", .doc = "prices of models", .read = keep_lines, .section = &price_line_section, .shape = SHAPE_LISTED},
    {.name = "terms", .type = "list", .standard = "", .doc = "what is paid beside the usage", .read = keep_terms},
};
#undef AT
static const struct section book_section = SECTION("a price book", book_fields);

static void check_times(struct reading *r, const struct node *n, struct price_book *b)
{
    if (b->known_from_us == PRICE_TIME_MAX)
        b->known_from_us = b->valid_from_us;
    if (b->valid_until_us <= b->valid_from_us)
        config_error(r->errors, value_in(n, SPAN("until")), "the book ends before it begins: \"until\" must be later than \"from\"");
}

static void check_parties(struct reading *r, const struct node *n, struct price_book *b, const char *self)
{
    if (!b->buyer)
        b->buyer = self ? self : "self";
    if (strcmp(b->seller, b->buyer) == 0)
        config_error(r->errors, n, "%s would buy from itself: name another seller or buyer", b->seller);
    else if (self && strcmp(b->seller, self) != 0 && strcmp(b->buyer, self) != 0)
        config_error(r->errors, n, "neither the seller %s nor the buyer %s is us, and we are %s: write `party: %s` in the config when that is our name", b->seller,
                     b->buyer, self, b->buyer);
    if (strcmp(b->seller, "*") == 0 || (strcmp(b->buyer, "*") == 0 && self && strcmp(b->seller, self) != 0))
        config_error(r->errors, n, "\"*\" can only be the buyer of what we sell ourselves");
}

static void read_book(struct reading *r, struct price_list *l, const char *self, const struct node *n)
{
    struct book_draft d = {.list = l, .at = n, .book = {.source = "", .valid_until_us = PRICE_TIME_MAX, .known_from_us = PRICE_TIME_MAX}};
    unsigned before = config_errors_count(r->errors);
    if (!read_section(r, &book_section, n, &d))
        return;
    struct price_book *b = ARENA_NEW(r->arena, struct price_book);
    *b = d.book;
    b->at.file = arena_strdup(r->arena, span_str(r->errors->file));
    b->at = price_place_of(b, n);
    b->place = arena_printf(r->arena, "%s:%u", b->at.file, b->at.line).p;
    if (config_errors_count(r->errors) == before) {
        check_times(r, n, b);
        check_parties(r, n, b, self);
    }
    if (!d.lines && !d.terms)
        config_error(r->errors, n, "a book needs `lines:` or `terms:`, e.g. lines: [{model: gpt-4o, provider: azure-eu, input: 2.50, output: 10}]");
    if (d.lines)
        read_price_lines(r, b, d.lines);
    if (d.terms)
        read_price_terms(r, b, d.terms);
    l->books[l->books_n++] = b;
}

/* ---- a file ---- */

static void read_books(struct reading *r, struct price_list *l, const char *self, const struct node *root)
{
    const struct node *books = value_in(root, SPAN("books"));
    if (root->kind != NODE_MAP || root->items_n != 1 || !books || books->kind != NODE_LIST) {
        config_error(r->errors, root, "a file of prices is a map with the one key `books:`, a list of price books");
        return;
    }
    if (l->books_n + books->items_n > BOOKS_MAX) {
        config_error(r->errors, books, "more than %u price books", BOOKS_MAX);
        return;
    }
    struct price_book **all = ARENA_ARRAY(r->arena, struct price_book *, l->books_n + books->items_n);
    if (l->books_n)
        memcpy(all, l->books, l->books_n * sizeof *all);
    l->books = all;
    for (const struct node_item *item = books->items; item; item = item->next)
        read_book(r, l, self, item->value);
}

static void read_text_of(struct reading *r, struct price_list *l, const char *self, struct span text)
{
    struct arena tree;
    arena_init(&tree, 4096);
    const struct node *root = config_tree_read(&tree, text, r->errors);
    if (root)
        read_books(r, l, self, root);
    arena_fini(&tree);
}

static void read_file(struct reading *r, struct price_list *l, const char *self, const char *path)
{
    const char *why = "", *outer = r->errors->file;
    char *text = malloc(LIMIT_CONFIG_BYTES + 1);
    CHECK(text != NULL);
    long bytes = config_read_file(r->world, path, text, LIMIT_CONFIG_BYTES + 1, &why);
    r->errors->file = arena_strdup(&r->errors->arena, span_str(path));
    if (bytes < 0)
        config_error(r->errors, NULL, "cannot be read: %s", why);
    else if (bytes > (long)LIMIT_CONFIG_BYTES)
        config_error(r->errors, NULL, "is larger than %u MiB: put the books into several files", LIMIT_CONFIG_BYTES / MIB);
    else
        read_text_of(r, l, self, span_of(text, (size_t)bytes));
    r->errors->file = outer;
    free(text);
}

/* ---- what only all books show ---- */

static void tell(void *owner, const struct price_place *at, const char *message)
{
    struct config_errors *errors = owner;
    const char *outer = errors->file;
    errors->file = arena_strdup(&errors->arena, span_str(at->file)); /* the list may be gone when the mistakes are printed */
    config_error_at(errors, at->line, at->column, "%s", message);
    errors->file = outer;
}

static int order_books(const struct price_book *a, const struct price_book *b)
{
    int order = strcmp(a->at.file, b->at.file);
    return order ? order : (a->at.line > b->at.line) - (a->at.line < b->at.line);
}

static const struct price_book *book_at(const void *p)
{
    return *(const struct price_book *const *)p;
}

static int by_name(const void *left, const void *right)
{
    int order = strcmp(book_at(left)->name, book_at(right)->name);
    return order ? order : order_books(book_at(left), book_at(right));
}

static int order_pairs(const struct price_book *a, const struct price_book *b)
{
    int order = strcmp(a->seller, b->seller);
    return order ? order : strcmp(a->buyer, b->buyer);
}

static int by_pair(const void *left, const void *right)
{
    int order = order_pairs(book_at(left), book_at(right));
    return order ? order : order_books(book_at(left), book_at(right));
}

static void check_names(struct config_errors *errors, struct arena *a, struct price_book **sorted, unsigned n)
{
    qsort(sorted, n, sizeof *sorted, by_name);
    for (unsigned i = 1; i < n; i++)
        if (strcmp(sorted[i]->name, sorted[i - 1]->name) == 0)
            tell(errors, &sorted[i]->at,
                 arena_printf(a, "two books are named \"%s\"; the other is in %s: statements could not tell them apart", sorted[i]->name, sorted[i - 1]->place).p);
}

static void check_currencies(struct config_errors *errors, struct arena *a, struct price_book **sorted, unsigned n)
{
    qsort(sorted, n, sizeof *sorted, by_pair);
    for (unsigned i = 1; i < n; i++) {
        const struct price_book *b = sorted[i], *other = sorted[i - 1];
        if (order_pairs(b, other) == 0 && strcmp(b->currency, other->currency) != 0)
            tell(errors, &b->at, arena_printf(a, "%s gives %s prices in %s here and in %s in %s: one pair of parties has one currency", b->seller, b->buyer,
                                              b->currency, other->currency, other->place).p);
    }
}

static void check_all(struct reading *r, struct price_list *l)
{
    struct arena scratch;
    arena_init(&scratch, 4096);
    struct price_book **sorted = ARENA_ARRAY(&scratch, struct price_book *, l->books_n);
    if (l->books_n)
        memcpy(sorted, l->books, l->books_n * sizeof *sorted);
    check_names(r->errors, &scratch, sorted, l->books_n);
    check_currencies(r->errors, &scratch, sorted, l->books_n);
    arena_fini(&scratch);
}

/* ---- files to a list ---- */

/* NULL: there was a mistake. Lines are compared with each other only when all of them are right. */
static struct price_list *finish(struct reading *r, struct price_list *l, unsigned errors_before)
{
    if (config_errors_count(r->errors) == errors_before)
        check_all(r, l);
    if (config_errors_count(r->errors) == errors_before && price_list_seal(l, tell, r->errors))
        return l;
    price_list_unref(l);
    return NULL;
}

static struct price_list *list_new(const char *self)
{
    struct price_list *l = price_list_new();
    if (self)
        l->self = arena_strdup(&l->arena, span_str(self));
    return l;
}

static void read_one(const struct reading *outer, struct price_list *l, const char *self, const char *path)
{
    struct reading r = *outer;
    r.arena = &l->arena;
    read_file(&r, l, self, path);
}

void read_prices(struct reading *r, const struct field *f, const struct node *n, void *into)
{
    struct price_list *l;
    unsigned before = config_errors_count(r->errors);
    if (n->kind != NODE_LIST || n->items_n > FILES_MAX) {
        config_error(r->errors, n, "\"prices\" must be a list of at most %u files, e.g. prices: [prices.yaml]", FILES_MAX);
        return;
    }
    l = list_new(r->config->party);
    for (const struct node_item *item = n->items; item; item = item->next)
        if (check_text(r, item->value, "a file of prices", 4000))
            read_one(r, l, r->config->party, config_path(r, item->value->text));
    r->catalog->prices = finish(r, l, before);
}

enum err config_prices_load(const char *const *files, unsigned files_n, const char *self, const struct config_world *world, struct price_list **ret,
                            struct config_errors *errors)
{
    struct price_list *l = list_new(self);
    struct reading r = {.world = world, .errors = errors, .arena = &l->arena, .dir = ""};
    unsigned before = config_errors_count(errors);
    for (unsigned i = 0; i < files_n; i++)
        read_one(&r, l, self, files[i]);
    l = finish(&r, l, before);
    if (!l) {
        config_errors_sort(errors);
        return ERR_SYNTAX;
    }
    *ret = l;
    return ERR_OK;
}

/* ---- the keys, for the page ---- */

static void section_keys(const struct section *s, const char *prefix, void (*fn)(void *owner, const struct config_key *key), void *owner)
{
    char path[128];
    for (unsigned i = 0; i < s->fields_n; i++) {
        const struct field *f = &s->fields[i];
        struct config_key key = {path, f->type, f->standard, f->doc};
        snprintf(path, sizeof path, "%s%s", prefix, f->name);
        fn(owner, &key);
    }
}

void config_each_price_key(void (*fn)(void *owner, const struct config_key *key), void *owner)
{
    char prefix[64];
    section_keys(&book_section, "books[].", fn, owner);
    section_keys(&price_line_section, "lines[].", fn, owner);
    for (unsigned i = 0; i < TERM_KINDS; i++) {
        snprintf(prefix, sizeof prefix, "%s.", price_term_name((enum price_term_kind)i));
        section_keys(price_term_sections[i], prefix, fn, owner);
    }
}
