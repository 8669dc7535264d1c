/* SPDX-License-Identifier: Apache-2.0
 *
 * An entry: one leaf of the log, the only thing that is ever appended. Its bytes (the body) are what is hashed, stored and proved; this is
 * their codec. Numbers are LEB128 varints (signed ones zigzag), amounts varints of up to 19 bytes, texts a length and bytes; every body begins with
 * its kind and the version of that kind's form. A body has exactly one encoding: the decoder refuses any other (overlong varints, trailing
 * bytes, values out of range). docs/ledger.md is the specification.
 *
 * Names (keys, departments, parties, models, providers, accounts, currencies) and price lines are entries themselves, defined before they are used
 * and then referred to by number: name 0 is "no name", price 0 "no price". So the log alone explains itself. The entry says its number, which is one
 * more than the last of its kind: so that an entry that is proved together with those that it refers to has a meaning without the rest of the log.
 */
#ifndef ENTENTE_LEDGER_ENTRY_H
#define ENTENTE_LEDGER_ENTRY_H

#include "base/buf.h"
#include "ledger/record.h"

#define ENTRY_ISSUER_MAX ((1ull << 50) - 1)
#define ENTRY_COUNTER_MAX ((1ull << 40) - 1)
#define ENTRY_TIME_MAX ((int64_t)1 << 60) /* microseconds since 1970; none is before */
#define ENTRY_NAME_BYTES_MAX 2048u        /* an account's name is the longest */
#define ENTRY_PRICE_BYTES_MAX (8u * KIB)

/* Numbers of kinds, causes, outcomes, APIs, errors, usage classes are in files for good: new ones are added at the end of their lists. */
enum entry_kind {
    ENTRY_NAME = 1,   /* the next name: its number and text. Numbered 1, 2, 3 … in order of the log */
    ENTRY_PRICE = 2,  /* the next price line: its number and canonical text. Numbered likewise */
    ENTRY_USAGE = 3,  /* one usage record and its charge */
    ENTRY_POSTING = 4,/* transfers that no request made: settlement, corrections, payments */
    ENTRY_SUMMARY = 5,/* old usage entries were replaced by their rollup: which, how many, the rollup's digest */
};

struct entry_attempt { /* of the attempts before the last: what they were and how they ended */
    uint32_t provider, model;
    uint8_t outcome;
    uint16_t status;
    uint32_t wait_us;
};

struct entry_charge {
    uint32_t price;    /* number of the price line; 0: none */
    uint32_t unpriced; /* bit per class */
    money amount;      /* in the line's currency */
};

struct entry_usage {
    uint64_t issuer, counter;
    uint8_t attempt;
    bool recovered;    /* the process died during the request: usage is what the hold expected */
    int64_t booked_us; /* when it was booked; never falls from entry to entry: a period is a range of the log */
    int64_t wall_us;   /* when the request began */
    uint8_t outcome, api, finish;
    bool stream;
    uint16_t status, error;
    uint32_t key, department, party, model_asked, model_served, tier;
    uint32_t provider, model; /* of the attempt that is charged; 0: none was asked */
    uint16_t provider_status; /* and how it went: */
    uint8_t attempt_outcome;
    uint32_t wait_us;
    unsigned attempts_n;      /* before that one */
    struct entry_attempt attempts[LIMIT_ATTEMPTS];
    uint32_t receive_us, first_byte_us;
    uint64_t duration_us, bytes_in, bytes_out;
    struct usage usage;
    struct entry_charge buy, sell;
    money held;
    int64_t provider_cost_nano; /* -1: none stated */
};

enum posting_cause {
    POSTING_CORRECTION,  /* re-rating: a price that became known later; reverses and posts the difference */
    POSTING_REVERSAL,    /* an entry that should not be */
    POSTING_FEE, POSTING_MINIMUM, POSTING_FREE, POSTING_BAND, POSTING_CAPACITY, POSTING_COMMIT, POSTING_CREDIT, POSTING_SHARE, POSTING_TAX, POSTING_STORAGE,
    POSTING_PAYMENT,
    POSTING_OPENING,
    POSTING_CAUSES
};
const char *posting_cause_name(enum posting_cause c);

#define POSTING_TRANSFERS_MAX 64u
struct entry_transfer { /* debit gets, credit gives; amount >= 0 */
    uint32_t debit, credit, currency; /* names */
    money amount;
};
struct entry_posting {
    int64_t booked_us;
    enum posting_cause cause;
    struct span key;   /* what it is, once: "close:azure:2026-11:K1"; the same key never posts twice */
    struct span memo;  /* a line for people */
    struct span detail;/* JSON: what it was computed from, so that it can be recomputed; or empty */
    uint64_t refers_to;/* seq of the entry it corrects plus one; 0: none */
    unsigned transfers_n;
    struct entry_transfer transfers[POSTING_TRANSFERS_MAX];
};

struct entry_summary {
    int64_t booked_us;
    uint64_t from_seq, until_seq; /* [from, until) */
    uint64_t usage_n;
    uint8_t rollup_digest[32];    /* rollup.h: over the rollup rows of the range */
};

struct entry {
    enum entry_kind kind;
    uint32_t number;      /* NAME, PRICE: from 1 */
    union {
        struct span text; /* NAME, PRICE: borrowed from the body */
        struct entry_usage usage;
        struct entry_posting posting; /* spans borrowed from the body */
        struct entry_summary summary;
    };
};

#define ENTRY_BODY_BYTES_MAX (16u * KIB)
/* Appends. ERR_RANGE when a value is outside what the form allows (nothing was appended), ERR_TOO_LARGE when out is full. */
enum err entry_encode(const struct entry *e, struct buf *out) MUST_CHECK;
enum err entry_decode(struct span body, struct entry *ret) MUST_CHECK;            /* ERR_SYNTAX, then *ret is undefined; fuzzed */
int64_t entry_booked_us(const struct entry *e);                                   /* 0 for names and prices */

/* Accounts that usage is booked to (account.c); percent-encodes '%', ':' and control characters inside a segment; an empty segment is "%". Each leg of an entry moves `amount` from
 * credit to debit:
 *   buy   expenses:usage:PROVIDER:MODEL    <-  liabilities:payable:SELLER:PROVIDER
 *   sell  assets:receivable:BUYER          <-  income:usage:BUYER            (BUYER: department, else party) */
enum err account_expense(struct buf *out, struct span provider, struct span model) MUST_CHECK;
enum err account_payable(struct buf *out, struct span seller, struct span provider) MUST_CHECK;
enum err account_receivable(struct buf *out, struct span buyer) MUST_CHECK;
enum err account_income(struct buf *out, struct span buyer) MUST_CHECK;
struct span account_buyer(struct span department, struct span party); /* or empty: nobody to charge it to */

#endif
