/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements: what each party owes and is owed for a period, line by line, each line with the figures from which it can be computed again.
 *
 *   opening + usage + terms + corrections + payments + other = closing         to the last 10^-15, for every statement
 *
 * A statement is one side of one party in one currency: what we owe it (it sold to us) or what it owes us (it bought from us). Usage and corrections
 * belong to the period in which they were booked; a term's line to the period that it closes, although it is booked after its end. What a term comes
 * to and is not booked yet stands apart, with the closing balance there would be.
 *
 * Opening balances are computed backwards: what the accounts say now, less everything that moved since.
 */
#ifndef ENTENTE_REPORT_STATEMENT_H
#define ENTENTE_REPORT_STATEMENT_H

#include "report/terms.h"
#include "report/sums.h"

enum statement_side {
    STATEMENT_WE_OWE,  /* liabilities:payable:PARTY:… */
    STATEMENT_OWED_US, /* assets:receivable:PARTY */
};
enum statement_section {
    STATEMENT_USAGE,
    STATEMENT_UNPRICED,    /* usage that was held without a price: no amount, and no line of any balance */
    STATEMENT_TERMS,
    STATEMENT_CORRECTIONS,
    STATEMENT_PAYMENTS,
    STATEMENT_OTHER,       /* opening entries, reversals */
    STATEMENT_PENDING,     /* what terms come to that are not booked yet */
    STATEMENT_SECTIONS
};
const char *statement_section_name(enum statement_section s); /* "usage" */
const char *statement_side_name(enum statement_side s);       /* "we owe", "owed to us" */

struct statement_line {
    enum statement_section section;
    money amount;                  /* in the direction of the statement's side */
    /* usage */
    struct span provider, model;
    enum usage_class usage;
    bool estimated;
    int64_t quantity, price;       /* amount = quantity x price; PRICE_NONE: unpriced */
    const struct price_line *line; /* book, source, dates; or NULL */
    /* the rest */
    enum posting_cause cause;
    struct span name, how, key, detail; /* detail: JSON, from which amount can be computed; or empty */
    int64_t at_us;                 /* when it was booked; 0: not yet */
    uint64_t seq;                  /* of its entry, when booked; else its place among those that are not */
};

/* What the provider says its answers cost, beside what they cost by our prices; in USD. */
struct statement_stated {
    struct span provider;
    int64_t requests, stated_n;    /* of the period; of which stated */
    money stated, ours;            /* where they can be compared */
};

struct statement {
    enum statement_side side;
    struct span party;
    char currency[CURRENCY_BYTES];
    money opening, closing, pending; /* pending: sum of what is not booked yet */
    struct statement_line *lines;    /* by section, then provider, model, price and class; or in the order of the log */
    unsigned lines_n;
    struct statement_stated *stated;
    unsigned stated_n;
};

/* A party by pair with us, in one currency: both directions together. */
struct statement_net {
    struct span party;
    char currency[CURRENCY_BYTES];
    money we_owe, owed_us;           /* at the period's end, with what is not booked yet */
};

/* A posting that closes a term, ready for ledger_post. */
struct statement_closing {
    enum posting_cause cause;
    struct span key, memo, detail;
    struct posting_transfer transfer;
    struct period period;
    bool ended;                      /* its period; else it is only what it comes to so far */
};

struct settlement {
    struct arena arena;
    struct span self;
    struct period period;
    const struct zone *zone;
    enum period_unit unit;
    int64_t now_us;
    uint64_t size;                   /* of the log that was read */
    struct statement *statements;    /* by party, then side, then currency */
    unsigned n;
    struct statement_net *nets;
    unsigned nets_n;
    struct statement_closing *closings; /* not booked yet; of the period and of earlier ones */
    unsigned closings_n;
    char why[512];                   /* after an error */
};

struct settlement_options {
    struct books *books;
    const struct price_list *prices; /* whose terms are computed; NULL: none */
    const char *self;
    const struct zone *zone;
    enum period_unit unit;           /* in which terms are settled */
    struct period period;            /* asked for; may hold several units, or lie inside one: then terms are only shown as booked */
    int64_t now_us;
};

/* Names are borrowed from the books and the price list. On error why says what to do. */
enum err settlement_make(const struct settlement_options *o, struct settlement *ret) MUST_CHECK;
void settlement_fini(struct settlement *s);

/* "" for party: all. */
enum err statement_write_text(const struct settlement *s, struct span party, struct buf *out) MUST_CHECK;
enum err statement_write_json(const struct settlement *s, struct span party, struct buf *out) MUST_CHECK;
enum err statement_write_csv(const struct settlement *s, struct span party, struct buf *out) MUST_CHECK;

#endif
