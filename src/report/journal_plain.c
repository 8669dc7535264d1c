/* SPDX-License-Identifier: Apache-2.0
 *
 * Journals for hledger and ledger, which read the same text: metadata are comments "; name: value" under the transaction, balances are assertions
 * on postings of nothing in a transaction that closes the day. Accounts, currencies and tags are declared, so that their strict modes pass. All is
 * ASCII, because hledger reads nothing else where no locale is set.
 */
#include "report/account_name.h"
#include "report/journal.h"
#include "report/text.h"

#define SPECIAL_TEXT ";"   /* begins a comment */
#define SPECIAL_CODE ";()"
#define SPECIAL_TAG ","    /* ends a value of hledger's */

static enum err begin(struct journal *j)
{
    enum err e = buf_printf(j->job->out, "; entente: the books as a journal for %s; docs/exports.md\n; days of %s\n\n", j->dialect->name_of,
                            zone_name(j->job->options->zone));
    for (size_t i = 0; i < journal_tags_n && !e; i++)
        e = buf_printf(j->job->out, "tag %s\n", journal_tags[i]);
    for (int c = 0; c < USAGE_CLASSES && !e; c++)
        e = c == USAGE_REQUEST ? ERR_OK : buf_printf(j->job->out, "tag %s\n", usage_class_name((enum usage_class)c));
    return e ? e : buf_append(j->job->out, SPAN("\n"));
}

static enum err commodity(struct journal *j, struct span currency)
{
    return buf_printf(j->job->out, "commodity %.*s\n    format 1000.000000000000000 %.*s\n\n", SPAN_ARG(currency), SPAN_ARG(currency));
}

static enum err open_account(struct journal *j, const struct journal_row *name)
{
    return buf_printf(j->job->out, "account %.*s\n\n", SPAN_ARG(name->written));
}

static enum err put_code(struct journal *j, struct span code)
{
    enum err e = code.n ? buf_append(j->job->out, SPAN(" (")) : ERR_OK;
    e = e ? e : text_put_ascii(j->job->out, code, SPECIAL_CODE);
    return e || !code.n ? e : buf_append(j->job->out, SPAN(")"));
}

static enum err head(struct journal *j, struct span code, struct span text)
{
    enum err e = buf_printf(j->job->out, "%s *", j->day.label);
    e = e ? e : put_code(j, code);
    e = e ? e : buf_append(j->job->out, SPAN(" "));
    e = e ? e : text_put_ascii(j->job->out, text, SPECIAL_TEXT);
    return e ? e : buf_append(j->job->out, SPAN("\n"));
}

static enum err tag(struct journal *j, const char *name, struct span value)
{
    enum err e = buf_printf(j->job->out, "    ; %s: ", name);
    e = e ? e : text_put_ascii(j->job->out, value, SPECIAL_TAG);
    return e ? e : buf_append(j->job->out, SPAN("\n"));
}

static enum err begin_balances(struct journal *j) { return head(j, SPAN_NONE, SPAN("balances at the end of the day")); }

static enum err balance(struct journal *j, const struct journal_row *r, money amount)
{
    char text[MONEY_TEXT_BYTES];
    struct span digits = money_format(text, amount, MONEY_DECIMALS);
    return buf_printf(j->job->out, "    %-56.*s  0 %.*s = %.*s %.*s\n", SPAN_ARG(r->written), SPAN_ARG(r->currency), SPAN_ARG(digits),
                      SPAN_ARG(r->currency));
}

static const struct journal_dialect hledger = {
    .name_of = "hledger", .name = account_name_plain, .begin = begin, .commodity = commodity, .open = open_account, .head = head, .tag = tag,
    .begin_balances = begin_balances, .balance = balance};
static const struct journal_dialect ledger = {
    .name_of = "ledger", .name = account_name_plain, .begin = begin, .commodity = commodity, .open = open_account, .head = head, .tag = tag,
    .begin_balances = begin_balances, .balance = balance};

static enum err open_hledger(struct export_job *j, void **ret) { return journal_open(j, &hledger, ret); }
static enum err open_ledger(struct export_job *j, void **ret) { return journal_open(j, &ledger, ret); }

const struct export_writer journal_hledger = JOURNAL_WRITER("hledger", open_hledger);
const struct export_writer journal_ledger = JOURNAL_WRITER("ledger", open_ledger);
