/* SPDX-License-Identifier: Apache-2.0
 *
 * Price lines for people: which of a list count at a moment, in order of their names, and how they read.
 */
#ifndef ENTENTE_CLI_PRICE_VIEW_H
#define ENTENTE_CLI_PRICE_VIEW_H

#include "cli/cli.h"

struct price_moment {
    int64_t at_us, known_us;
};
/* From --at and --known: dates or times; NULL: now. False after a message. */
bool price_moment_read(const struct cli_syntax *s, const char *at, const char *known, struct price_moment *ret) MUST_CHECK;

struct price_view {
    const struct price_line **lines; /* in the arena */
    unsigned n;
};
/* The lines that count at the moment: valid, known, and not replaced by one that became known later. model and provider: only lines that would apply to
 * them; NULL: all. */
void price_view_make(struct arena *a, const struct price_list *l, const struct price_moment *m, const char *model, const char *provider, struct price_view *ret);

#define PRICE_CONDITION_BYTES 160
/* "flex, above 200000, mon-fri 22:00-06:00"; "" when there is none. */
const char *price_condition(char out[PRICE_CONDITION_BYTES], const struct price_line *line);
/* As in a book: "0.25" per 1M tokens, "0.01 each" of what is no token. */
#define PRICE_NUMBER_BYTES 64
const char *price_number(char out[PRICE_NUMBER_BYTES], enum usage_class c, int64_t price);
const char *price_clock_text(char out[64], const struct price_clock *c);

#endif
