/* SPDX-License-Identifier: Apache-2.0
 *
 * Journals for beancount. Its balance directives hold at the begin of a day, so those of a day's end carry the next day's date; they ask for no
 * tolerance ("~ 0"), because beancount would let a unit of the last digit pass. They count what lies below an account as the account's.
 */
#include "report/account_name.h"
#include "report/journal.h"
#include "report/text.h"

#define SPECIAL "\"\\"
#define DIGITS_MAX ((money)5000000000000000000 * 1000000000) /* its decimals have 28 digits; half of that, so that differences have, too */

static enum err put_string(struct journal *j, struct span text)
{
    enum err e = buf_append(j->job->out, SPAN("\""));
    e = e ? e : text_put(j->job->out, text, SPECIAL);
    return e ? e : buf_append(j->job->out, SPAN("\""));
}

static enum err begin(struct journal *j)
{
    return buf_printf(j->job->out, "; entente: the books as a journal for beancount; docs/exports.md\n; days of %s\n\noption \"title\" \"entente\"\n",
                      zone_name(j->job->options->zone));
}

static enum err commodity(struct journal *j, struct span currency)
{
    return buf_printf(j->job->out, "option \"operating_currency\" \"%.*s\"\n%s commodity %.*s\n\n", SPAN_ARG(currency), j->day.label,
                      SPAN_ARG(currency));
}

static enum err open_account(struct journal *j, const struct journal_row *name)
{
    enum err e = buf_printf(j->job->out, "%s open %.*s\n  account: ", j->day.label, SPAN_ARG(name->written));
    e = e ? e : put_string(j, name->account);
    return e ? e : buf_append(j->job->out, SPAN("\n\n"));
}

static enum err head(struct journal *j, struct span code, struct span text)
{
    enum err e = buf_printf(j->job->out, "%s * ", j->day.label);
    e = e ? e : put_string(j, text);
    e = e ? e : buf_append(j->job->out, SPAN("\n"));
    return e || !code.n ? e : j->dialect->tag(j, "id", code);
}

static enum err tag(struct journal *j, const char *name, struct span value)
{
    enum err e = buf_printf(j->job->out, "  %s: ", name);
    e = e ? e : put_string(j, value);
    return e ? e : buf_append(j->job->out, SPAN("\n"));
}

static enum err begin_balances(struct journal *j) { return ERR_OK; }

static enum err balance(struct journal *j, const struct journal_row *r, money amount)
{
    char text[MONEY_TEXT_BYTES];
    struct period next;
    struct span digits = money_format(text, amount, MONEY_DECIMALS);
    period_at(j->job->options->zone, PERIOD_DAY, j->day.until_us, &next);
    return buf_printf(j->job->out, "%s balance %-56.*s  %.*s ~ 0 %.*s\n", next.label, SPAN_ARG(r->written), SPAN_ARG(digits), SPAN_ARG(r->currency));
}

static const struct journal_dialect beancount = {
    .name_of = "beancount", .digits_max = DIGITS_MAX, .counts_parts = true, .name = account_name_beancount, .begin = begin, .commodity = commodity,
    .open = open_account, .head = head, .tag = tag, .begin_balances = begin_balances, .balance = balance};

static enum err open_beancount(struct export_job *j, void **ret) { return journal_open(j, &beancount, ret); }

const struct export_writer journal_beancount = JOURNAL_WRITER("beancount", open_beancount);
