/* SPDX-License-Identifier: Apache-2.0
 *
 * Community price tables to price books. A format reads its JSON and says, leaf by leaf, which class of usage costs what under which conditions;
 * everything else (exact numbers, steps, zeros, doubles, YAML) is the same for all.
 *
 * Nothing is dropped silently: what a book cannot say is a note on stderr with its model and key, and counted. Nothing becomes free by
 * import: a price of 0 is left out, so unpriced, unless the user says that it means free.
 */
#ifndef ENTENTE_CLI_PRICE_IMPORT_H
#define ENTENTE_CLI_PRICE_IMPORT_H

#include <stdio.h>

#include "base/arena.h"
#include "base/json.h"
#include "policy/price.h"

#define IMPORT_NAMES_MAX 64u /* of one model, and of --provider */

struct import_condition {
    struct span tier;          /* or empty */
    int64_t above;             /* input tokens, or 0 */
    struct span clock;         /* "16:30-00:30", or empty */
    struct span from, until;   /* dates, or empty */
    struct span region;        /* becomes "provider/region", or empty */
};

struct import_row {
    struct import_condition when;
    int64_t price[USAGE_CLASSES];
};

/* A model of the source while it is read, then a kept one. */
struct import_model {
    struct span provider;      /* the source's name of it */
    struct span names[IMPORT_NAMES_MAX]; /* names and patterns; the first is the source's */
    unsigned names_n;
    struct import_row *rows;
    unsigned rows_n, rows_room;
    unsigned zeros;            /* left out */
    bool is_refused;           /* its provider is no name of a party */
    unsigned notes;
};

struct import_options {
    const char *file;          /* for messages */
    const char *book, *seller, *buyer, *known, *from, *source; /* seller and buyer may be NULL */
    const char *const *providers; /* SOURCE=OURS; none: all, under the source's names */
    unsigned providers_n;
    bool zero_is_free;
};

struct import {
    const struct import_options *options;
    struct arena arena;
    struct import_model *models; /* kept */
    unsigned models_n, models_room;
    unsigned others;           /* models of providers that were not asked for */
    unsigned empty;            /* models without a price that could be taken */
    unsigned notes, lines, twice;
    FILE *notes_to;
};

typedef enum err import_read_fn(struct import *i, struct json *j); /* ERR_JSON and such: not of this format */
import_read_fn import_litellm, import_genai, import_models_dev, import_portkey;

/* From the text of a table to a book on `out`. False: not done, with a sentence in why. */
bool price_import(const char *format, struct span text, const struct import_options *o, FILE *out, FILE *notes, char why[512]);
const char *price_import_formats(void); /* "litellm, genai-prices, models.dev or portkey" */

/* ---- for formats ---- */

bool import_wants(const struct import *i, struct span provider);  /* is it to be imported? counts those that are not */
void import_begin(struct import *i, struct import_model *m, struct span provider, struct span name);
void import_name(struct import *i, struct import_model *m, struct span name); /* one name more */
/* A class costs this: decimal text, times 10^scale is 10^-15 per unit. "-0" and zeros as the options say; what is not exact is noted. */
void import_price(struct import *i, struct import_model *m, struct import_condition when, enum usage_class c, struct span number, int scale, const char *key);
PRINTF_LIKE(4, 5) void import_note(struct import *i, struct import_model *m, const char *key, const char *format, ...);
void import_end(struct import *i, struct import_model *m);        /* completes the rows and keeps the model */

bool import_is_date(struct span text);                              /* "2026-08-01" */

/* ---- walking JSON ---- */

struct import_leaf {
    const char *path;          /* "cost.tiers[0].input", from where the walk began */
    enum json_type type;
    struct span text;          /* of numbers: as written; of strings: unescaped */
};
typedef void import_leaf_fn(void *owner, const struct import_leaf *leaf);
enum err import_walk(struct arena *a, struct json *j, import_leaf_fn *fn, void *owner) MUST_CHECK; /* the next value, whole */
typedef enum err import_member_fn(void *owner, struct json *j, struct span key);
enum err import_each_member(struct arena *a, struct json *j, import_member_fn *fn, void *owner) MUST_CHECK; /* of the next value, an object */

/* ---- the book ---- */

void import_write(struct import *i, FILE *out); /* after all models were kept */

#endif
