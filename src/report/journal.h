/* SPDX-License-Identifier: Apache-2.0
 *
 * Journals: the part that is the same for hledger, ledger and beancount (journal.c), and how each of them writes (journal_plain.c,
 * journal_beancount.c).
 */
#ifndef ENTENTE_REPORT_JOURNAL_H
#define ENTENTE_REPORT_JOURNAL_H

#include "base/index.h"
#include "report/export.h"
#include "report/movement.h"

struct journal_row {
    struct span account, currency; /* the ledger's words */
    struct span written;           /* the account in the dialect's letters */
    money balance;
    uint32_t name, commodity;      /* rows of the account without a currency and of the currency alone; 0: this is one of those */
    uint32_t next_touched;         /* today */
    bool touched, declared;
};

struct journal_group { /* usage of a day between two accounts */
    uint32_t rows[2];
    money amount;
    int64_t entries, count[USAGE_CLASSES];
    uint32_t unpriced;
};

struct journal {
    struct export_job *job;
    const struct journal_dialect *dialect;
    struct arena arena;            /* names */
    struct journal_row *rows;
    uint32_t rows_n, rows_room;
    struct index by_name, by_pair;
    struct journal_group *groups;
    uint32_t groups_n, groups_room;
    uint32_t touched;              /* first row of the list of today's */
    struct period day;             /* until_us 0: none yet */
    bool opened;
    struct movements movements;    /* of the step */
};

struct journal_dialect {
    const char *name_of;
    money digits_max;              /* amounts from here on cannot be added up exactly; 0: any can */
    bool counts_parts;             /* a balance is that of the account and all below it */
    enum err (*name)(struct buf *out, struct span account);
    enum err (*begin)(struct journal *j);
    enum err (*commodity)(struct journal *j, struct span currency);
    enum err (*open)(struct journal *j, const struct journal_row *name);
    enum err (*head)(struct journal *j, struct span code, struct span text);
    enum err (*tag)(struct journal *j, const char *name, struct span value);
    enum err (*begin_balances)(struct journal *j);
    enum err (*balance)(struct journal *j, const struct journal_row *r, money balance); /* at the end of the day */
};

enum err journal_open(struct export_job *job, const struct journal_dialect *d, void **ret) MUST_CHECK;
enum err journal_step(struct export_job *job, void *state, const struct walk_step *s) MUST_CHECK;
enum err journal_end(struct export_job *job, void *state) MUST_CHECK;
void journal_close(void *state);

extern const char *const journal_tags[]; /* every name of a tag, but for the classes of usage */
extern const size_t journal_tags_n;

#define JOURNAL_WRITER(format, open_fn)                                                                                            \
    {.name = format, .wants_past = true, .groups = {[EXPORT_BY_REQUEST] = true, [EXPORT_BY_DAY] = true}, .open = open_fn,           \
     .step = journal_step, .end = journal_end, .after_mark = {"\n", 1}, .close = journal_close}

#endif
