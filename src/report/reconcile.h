/* SPDX-License-Identifier: Apache-2.0
 *
 * Reconciliation: the books beside what a provider's own usage or cost export says, by stretch of time, model and class, and a named cause for
 * each difference. First the export is read into rows of one form (reconcile_read), whatever its format; then the rows meet the rollups of the
 * books (reconcile_make). docs/reconcile.md says what each format maps to what.
 *
 * Quantities are counted in 10^-15 units, like money, so that 12.345 of "1K tokens" is exact. Differences are theirs less ours.
 */
#ifndef ENTENTE_REPORT_RECONCILE_H
#define ENTENTE_REPORT_RECONCILE_H

#include "base/zone.h"
#include "ledger/books.h"

#define RECONCILE_WHY_BYTES 512
#define RECONCILE_ALL USAGE_CLASSES /* in place of a class: all together, cost alone */

/* ---- what a meter's text says (reconcile_meter.c) ---- */

struct meter {
    unsigned usage;      /* enum usage_class; RECONCILE_ALL: it says none */
    struct span model;   /* what is left of the text, words joined by '-'; or empty */
};
/* "gpt 4o 0806 cached Inp glbl Tokens", "gpt-4o-2024-08-06, input", "EUC1-ClaudeSonnet4-output-tokens" (with_region: a code of a region comes first). */
void meter_read(struct arena *a, struct span text, bool with_region, struct meter *ret);
/* "1K", "1,000 Tokens", "1M", "count": how many units one is; 0 when it measures something else. */
int64_t meter_scale(struct span unit);

/* A model's name without what providers put around it: vendor and region in front, version behind, separators. */
#define MODEL_FORM_BYTES 96
struct model_form {
    char base[MODEL_FORM_BYTES];   /* "gpt4o" */
    char sorted[MODEL_FORM_BYTES]; /* its runs of letters and of digits in order: "claude 4 5 sonnet" */
    char date[5];                  /* "0806"; or empty */
};
void model_form_of(struct span name, struct model_form *ret);
/* How much alike: 0 not the same model, 1 the same words in another order, 2 the same but that one has no date, 3 the same. */
unsigned model_form_match(const struct model_form *a, const struct model_form *b);

/* ---- an export ---- */

struct reconcile_row {
    int64_t from_us, until_us;
    struct span model;             /* as they name it; empty: they do not say */
    unsigned usage;                /* enum usage_class, or RECONCILE_ALL */
    bool has_quantity, has_cost;
    money quantity, cost;
    char currency[CURRENCY_BYTES]; /* of the cost */
};

struct reconcile_span { int64_t from_us, until_us; };

struct reconcile_other {           /* what is not compared, because it says no class of usage */
    struct span text;
    int64_t rows;
    money cost;                    /* of those that have one */
    char currency[CURRENCY_BYTES]; /* empty: none has */
};

struct reconcile_export {
    struct arena arena;
    const char *format;
    struct reconcile_row *rows;
    struct reconcile_span *buckets; /* also those without rows; reconcile_make sorts and merges its own copy */
    struct reconcile_other *others;
    unsigned rows_n, rows_room, buckets_n, buckets_room, others_n, others_room;
    bool counts_requests;           /* class request is a count of requests, whether or not they cost something */
    money quantity_step, cost_step; /* the finest digit that is written, of all rows; 0: none was */
};

struct reconcile_read_options {
    struct span text;
    const char *format;            /* of reconcile_formats; NULL: by its columns or its shape */
    struct span provider;          /* rows that name another host are passed over */
    const struct zone *zone;       /* of times that name none */
};
extern const char *const reconcile_formats[]; /* ends in NULL */
/* ERR_SYNTAX with why: which line, what is wrong, what to do. *ret is to be given to reconcile_export_fini in any case. */
enum err reconcile_read(const struct reconcile_read_options *o, struct reconcile_export *ret, char why[RECONCILE_WHY_BYTES]) MUST_CHECK;
void reconcile_export_fini(struct reconcile_export *x);

/* For the readers of formats. Texts are copied. */
void reconcile_add_row(struct reconcile_export *x, const struct reconcile_row *row);
void reconcile_add_bucket(struct reconcile_export *x, int64_t from_us, int64_t until_us);
void reconcile_add_other(struct reconcile_export *x, struct span text, const struct reconcile_row *row); /* of the row, its cost alone counts */
/* A decimal in 10^-15 units, times scale; what is finer is rounded to the nearest. Also makes *step, the export's finest digit, as fine as this. */
bool reconcile_decimal(struct span text, int64_t scale, money *ret, money *step) MUST_CHECK;

struct reconcile_source {          /* what a reader works on */
    const struct reconcile_read_options *options;
    struct reconcile_export *export;
    char *why;                     /* RECONCILE_WHY_BYTES */
};
enum err reconcile_read_csv(struct reconcile_source *s) MUST_CHECK;        /* reconcile_table.c */
enum err reconcile_read_json_rows(struct reconcile_source *s) MUST_CHECK;  /* reconcile_table.c */
enum err reconcile_read_openai(struct reconcile_source *s, const char *format) MUST_CHECK; /* reconcile_openai.c; format NULL: whichever it is */
enum err reconcile_fail(struct reconcile_source *s, const char *format, ...) PRINTF_LIKE(2, 3); /* ERR_SYNTAX */

/* ---- both sides ---- */

enum reconcile_cause {
#define CAUSE(NAME, name, explained, sentence) RECONCILE_##NAME,
#include "report/reconcile_cause.def"
#undef CAUSE
    RECONCILE_CAUSES
};
const char *reconcile_cause_name(enum reconcile_cause c);
const char *reconcile_cause_sentence(enum reconcile_cause c);
bool reconcile_cause_is_explained(enum reconcile_cause c);

struct reconcile_side {
    int64_t rows;
    bool has_quantity, has_cost, mixed; /* mixed: costs in more than one currency */
    money quantity, cost;
    char currency[CURRENCY_BYTES];
};

struct reconcile_cell {            /* one bucket, model and class */
    int64_t from_us, until_us;
    unsigned model;                /* in reconciliation.models */
    unsigned usage;
    struct reconcile_side ours, theirs;
    money estimated, estimated_cost; /* parts of ours */
    money recovered, recovered_cost; /* of requests that the process did not end: what was estimated, or, of output, can have been at most */
    bool unpriced;                 /* a part of ours has no price */
    bool compares_quantity, compares_cost;
    money quantity_off, cost_off;  /* theirs less ours, where compared */
    enum reconcile_cause cause;
};

struct reconcile_model {
    struct span name;              /* ours; theirs, when there is none of ours */
    bool is_ours, is_theirs;
    struct span theirs;            /* as they name it, ", " between several; empty when they say no models */
    struct span candidates;        /* not ours: those of ours it may mean, for people; or empty */
};

struct reconciliation {
    struct arena arena;
    int64_t from_us, until_us;     /* of the export */
    unsigned buckets_n;
    struct reconcile_model *models;
    unsigned models_n, models_room;
    struct reconcile_cell *cells;  /* by model, class, time */
    unsigned cells_n, cells_room;
    unsigned found[RECONCILE_CAUSES];
    bool compares_quantity, compares_cost;
    char why[RECONCILE_WHY_BYTES];
};

struct reconcile_alias { struct span theirs, ours; };
struct reconcile_options {
    struct books *books;
    struct span provider;
    const struct reconcile_export *export;
    const struct reconcile_alias *aliases;
    unsigned aliases_n;
};
/* ERR_NOT_FOUND: the books know no such provider, or an alias names no model of it; ERR_RANGE; the reader's errors. ret->why says it. */
enum err reconcile_make(const struct reconcile_options *o, struct reconciliation *ret) MUST_CHECK;
void reconcile_fini(struct reconciliation *r);
unsigned reconcile_unexplained(const struct reconciliation *r); /* differences that need a look */
/* Cost of a million units, rounded to the nearest 10^-9; PRICE_NONE when there is no cost or no quantity, or it does not fit. */
int64_t reconcile_price(const struct reconcile_side *s);

/* ---- writing (reconcile_write.c) ---- */
enum err reconcile_write_text(const struct reconciliation *r, const struct reconcile_export *x, struct span provider, struct buf *out) MUST_CHECK;
enum err reconcile_write_json(const struct reconciliation *r, const struct reconcile_export *x, struct span provider, struct buf *out) MUST_CHECK;

#endif
