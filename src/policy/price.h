/* SPDX-License-Identifier: Apache-2.0
 *
 * Prices: one book per seller and buyer, dated twice. A line of a book says what each usage class costs for a model at a provider, under the
 * conditions of the line (length of the context, tier served, time of day); which line applies and what it comes to is decided here, pure.
 * Also what is not per request: fees, minimums, bands, commitments … are terms of a book, computed when a period is settled (report/terms.h).
 *
 * Read from YAML by serve/config_price.c today, from an agreement's `prices` block later; this is the one internal form. Immutable once
 * sealed, counted by reference, shared by threads.
 */
#ifndef ENTENTE_POLICY_PRICE_H
#define ENTENTE_POLICY_PRICE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/money.h"
#include "neutral/usage.h"
#include "policy/share.h"

#define PRICE_TIME_MAX INT64_MAX
#define PRICE_DIGEST_BYTES 32

struct price_place { /* in a file, for messages */
    const char *file;
    unsigned line, column;
};

struct price_book {
    const char *name;                  /* "azure": [a-z0-9._-]+ */
    const char *seller, *buyer;        /* parties; buyer "*" of what we sell: everybody without a book of his own */
    char currency[CURRENCY_BYTES];
    const char *source;                /* "invoice", "contract", "list", "litellm 2025-09-05" */
    int64_t valid_from_us, valid_until_us; /* happened time, [from, until); until may be PRICE_TIME_MAX */
    int64_t known_from_us;             /* when we learned of it */
    const char *place;                 /* "azure.yaml:12" */
    struct price_place at;
    struct price_line **lines;
    unsigned lines_n;
    struct price_term *terms;
    unsigned terms_n;
};

/* When the request began, in UTC. From first minute to before the last; until <= from: over midnight, and belongs to the day it begins on. */
struct price_clock {
    uint16_t from_minute, until_minute; /* of the day, 0 to 1440 */
    uint8_t days;                       /* bit 0 Monday; 0: always, whatever the minutes */
};

struct price_line {
    const struct price_book *book;
    struct price_list *list;
    struct span model;                 /* glob over the deployment's model name */
    struct span provider;              /* glob over provider names; "*": any */
    int64_t price[USAGE_CLASSES];      /* 10^-9 per 1M units, multipliers resolved; PRICE_NONE */
    int64_t above_input;               /* applies to requests with more input tokens (all input classes) than this; 0: from the first. Whole request */
    const char *tier;                  /* service tier served: "flex", "priority", "batch"; "": every tier without a line of its own */
    struct price_clock clock;
    const char *text;                  /* canonical text, price_line_write: what is hashed, stored and re-read by verify */
    uint8_t digest[PRICE_DIGEST_BYTES]; /* SHA-256 of text */
    struct price_place at;
    unsigned rank;                     /* by price_list_seal: of the lines that apply, the lowest is it */
    struct price_line *next;           /* by price_list_seal: the next by rank of the same names */
};

/* What a book says beside its lines. Each is a line of its own on a statement. */
enum price_term_kind {
    TERM_FEE,        /* amount per period, or rate of the period's charges ("5.5 % top-up fee") */
    TERM_MINIMUM,    /* at least amount per period: the difference is charged */
    TERM_FREE,       /* the first `quantity` units of a class per period are free */
    TERM_BAND,       /* volume: charges of a class or of all above `quantity` (or amount) in a period cost rate of the price; marginal or whole */
    TERM_CAPACITY,   /* quantity units, amount per unit and hour; usage of the models at the provider is then free up to `allowance` tokens per unit and hour, above that by the token */
    TERM_COMMIT,     /* milestones; shortfall at each, counts as paid; usage counts, and the terms in `counts` */
    TERM_CREDIT,     /* a lot: amount, until; earliest expiry first */
    TERM_SHARE,      /* from party `from` to party `to`, rate of charges of models; cap in total */
    TERM_TAX,        /* rate of everything before it */
    TERM_STORAGE,    /* cached tokens x hours: amount per 1M tokens and hour */
    TERM_KINDS
};
const char *price_term_name(enum price_term_kind k);
struct price_term {
    enum price_term_kind kind;
    const char *name;                  /* unique in the book: "K1" */
    struct span model, provider;       /* globs it is about; "*" */
    enum usage_class usage;            /* TERM_FREE, TERM_BAND; USAGE_CLASSES: all charges, by amount */
    money amount;
    struct rate rate;
    int64_t quantity;
    int64_t allowance;                 /* TERM_CAPACITY; 0: without bound */
    unsigned counts;                   /* TERM_COMMIT: bit per kind of term whose charges count like usage */
    bool whole;                        /* TERM_BAND: once reached, the whole period's quantity */
    int64_t until_us;                  /* TERM_CREDIT */
    const char *from, *to;             /* TERM_SHARE */
    money cap;                         /* TERM_SHARE: in total; MONEY_MAX */
    struct milestone *milestones;      /* TERM_COMMIT */
    unsigned milestones_n;
    struct price_place at;
};

struct price_list {
    atomic_uint references;
    struct arena arena;
    const char *self;                  /* our own party: buyer of what we buy, seller of what we sell */
    struct price_book **books;
    unsigned books_n;
    struct price_index *index;
};

struct price_list *price_list_new(void);         /* one reference */
/* Builds the index, canonical texts and digests. Complaints about books that contradict each other go through `complain`: two
 * lines for the same thing with the same knowledge date, a gap between validities, a context step without its base line. False when any was. */
typedef void price_complain_fn(void *owner, const struct price_place *at, const char *message);
bool price_list_seal(struct price_list *l, price_complain_fn *complain, void *owner);
struct price_list *price_list_ref(struct price_list *l);
void price_list_unref(struct price_list *l);     /* accepts NULL */

struct price_facts {
    struct span provider, model;       /* the deployment's */
    struct span tier;                  /* served; or empty */
    int64_t at_us;                     /* when the request began */
    int64_t known_us;                  /* what was known by then; normally the same as now */
    int64_t input_tokens;              /* of all input classes together; for the context step */
};
/* The line that applies to what we buy from whoever stands behind the provider, or to what we sell to a buyer; NULL: no price. Of several books the
 * one known last, then the one valid from the latest; in a book an exact name before a glob (and the glob with more letters before the other),
 * the served tier before the default, a clock window before none, then the highest context step that is passed. l NULL: no price. */
const struct price_line *price_find_buy(const struct price_list *l, const struct price_facts *f);
const struct price_line *price_find_sell(const struct price_list *l, struct span buyer, const struct price_facts *f);

struct charge {
    const struct price_line *line;     /* NULL: unpriced as a whole */
    money amount;                      /* of the classes that have a price */
    uint32_t unpriced;                 /* bit per class that was counted, not zero, and has no price; USAGE_REQUEST never counts as unpriced */
};
/* line NULL: amount 0, every counted class unpriced. Saturates at MONEY_MAX, which no honest count comes near. */
void price_charge(const struct price_line *line, const struct usage *u, struct charge *ret);
/* The dearest a request can get: all input at the dearest input class that has a price, all output at the dearest output class, one request. Saturates
 * at MONEY_MAX. line NULL: 0. Context steps are the caller's: find the line with input_tokens = input_max. */
money price_worst(const struct price_line *line, int64_t input_max, int64_t output_max);

/* Canonical text: one line of "key=value" fields separated by tabs in fixed order; a price as its integer. The only form a line has outside this
 * process (log leaves, store, exports). price_line_parse gives a line (and a book of its own) in the arena. */
enum err price_line_write(const struct price_line *line, struct buf *out) MUST_CHECK;
enum err price_line_parse(struct arena *a, struct span text, struct price_line *ret) MUST_CHECK;

#endif
