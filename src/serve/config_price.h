/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading price books. Private to serve/config*: programs call config_prices_load of config.h.
 *
 * A book is read by its table, then its lines, then its terms; each of the three has a file. Everything kept lies in the list's arena, which is
 * r->arena while its books are read.
 */
#ifndef ENTENTE_SERVE_CONFIG_PRICE_H
#define ENTENTE_SERVE_CONFIG_PRICE_H

#include "policy/price_seal.h"
#include "serve/config_read.h"

#define PRICE_LINES_MAX 200000u /* of one book, after lists and `as` are written out */
#define PRICE_PARTY_BYTES_MAX 47u
#define PRICE_BOOK_BYTES_MAX 127u

struct book_draft {
    struct price_list *list;
    struct price_book book;
    const struct node *at, *lines, *terms;
};

extern const struct section price_line_section;
extern const struct section *const price_term_sections[TERM_KINDS];
void read_price_lines(struct reading *r, struct price_book *book, const struct node *lines);
void read_price_terms(struct reading *r, struct price_book *book, const struct node *terms);

/* The `prices` of a config: the files in a list, as a sealed list of the catalog. */
read_fn read_prices;

/* Values. */
read_fn read_price_time;   /* int64_t, µs */
read_fn read_price_party;  /* const char *: a name as the ledger keeps them */
read_fn read_price_glob;   /* struct span */
read_fn read_price_rate;   /* struct rate, above 0 */
read_fn read_price_tokens; /* int64_t, above 0 */
bool is_date_alone(struct span text); /* "2026-08-01": no time of day */
struct price_place price_place_of(const struct price_book *b, const struct node *n);

#endif
