/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of the accounts that usage is booked to. Different facts never give the same name: what would end a segment or pass for an escape is
 * percent-encoded.
 */
#include "ledger/entry.h"

static bool is_plain(unsigned char c) { return c >= 0x20 && c != 0x7f && c != ':' && c != '%'; }

static enum err put_segment(struct buf *out, struct span segment)
{
    static const char hex[] = "0123456789ABCDEF";
    enum err e = buf_reserve(out, 1 + 3 * segment.n + 1);
    if (e)
        return e;
    char *at = buf_tail(out);
    *at++ = ':';
    if (!segment.n)
        *at++ = '%';
    for (size_t i = 0; i < segment.n; i++) {
        unsigned char c = (unsigned char)segment.p[i];
        *at++ = is_plain(c) ? (char)c : '%';
        if (!is_plain(c)) {
            *at++ = hex[c >> 4];
            *at++ = hex[c & 15];
        }
    }
    buf_extend(out, (size_t)(at - buf_tail(out)));
    return ERR_OK;
}

static enum err put_account(struct buf *out, struct span head, struct span first, const struct span *second)
{
    enum err e = buf_append(out, head);
    if (!e)
        e = put_segment(out, first);
    if (!e && second)
        e = put_segment(out, *second);
    return e;
}

enum err account_expense(struct buf *out, struct span provider, struct span model)
{
    return put_account(out, SPAN("expenses:usage"), provider, &model);
}

enum err account_payable(struct buf *out, struct span seller, struct span provider)
{
    return put_account(out, SPAN("liabilities:payable"), seller, &provider);
}

enum err account_receivable(struct buf *out, struct span buyer) { return put_account(out, SPAN("assets:receivable"), buyer, NULL); }

enum err account_income(struct buf *out, struct span buyer) { return put_account(out, SPAN("income:usage"), buyer, NULL); }

struct span account_buyer(struct span department, struct span party) { return department.n ? department : party; }
