/* SPDX-License-Identifier: Apache-2.0
 *
 * Two ways to write an account's name, both one to one. The complication is beancount, where a part must begin with a capital or a digit and
 * may hold nothing but letters, digits and hyphens:
 *   legal     Legal        a small first letter is written as a capital
 *   Legal     Legal--      a first letter that is one already is marked at the end
 *   gpt-4.1   Gpt-4-2E1    other bytes are -XX; a hyphen stays when no one can take it for such an escape or a mark
 *   _x        X--5Fx       a first byte that is neither letter nor digit comes after X-
 *   (empty)   0--
 *   assets    Assets:0-    a root alone
 *   fx:usd    Equity:0-:Fx:Usd   a root that beancount does not have
 */
#include "report/account_name.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_alnum(char c) { return is_digit(c) || is_upper(c) || is_lower(c); }
static bool is_hex(char c) { return is_digit(c) || (c >= 'A' && c <= 'F'); }

static enum err put_escape(struct buf *out, char mark, char c) { return buf_printf(out, "%c%02X", mark, (unsigned)(unsigned char)c); }

static bool is_plain(char c) { return is_alnum(c) || (c && strchr("._-/+@:", c)); }

static bool is_inside(char c) { return is_plain(c) && c != ':'; }

/* A space inside a part ends no name: two in a row would. */
static bool stays_plain(struct span s, size_t i)
{
    return is_plain(s.p[i]) || (s.p[i] == ' ' && i > 0 && i + 1 < s.n && is_inside(s.p[i - 1]) && is_inside(s.p[i + 1]));
}

enum err account_name_plain(struct buf *out, struct span account)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < account.n && !e; i++)
        e = stays_plain(account, i) ? buf_append(out, span_of(account.p + i, 1)) : put_escape(out, '%', account.p[i]);
    return e;
}

/* ---- beancount ---- */

static bool hyphen_stays(struct span s, size_t i)
{
    bool taken_for_escape = i + 2 < s.n && is_hex(s.p[i + 1]) && is_hex(s.p[i + 2]);
    return s.p[i] == '-' && i > 0 && i + 1 < s.n && is_alnum(s.p[i + 1]) && !taken_for_escape;
}

static enum err put_part(struct buf *out, struct span part)
{
    if (part.n == 0)
        return buf_append(out, SPAN("0--"));
    char first = part.p[0], capital = is_lower(first) ? (char)(first - 'a' + 'A') : first;
    enum err e = is_alnum(first) ? buf_append(out, span_of(&capital, 1)) : buf_append(out, SPAN("X-"));
    if (!e && !is_alnum(first))
        e = put_escape(out, '-', first);
    for (size_t i = 1; i < part.n && !e; i++)
        e = is_alnum(part.p[i]) || hyphen_stays(part, i) ? buf_append(out, span_of(part.p + i, 1)) : put_escape(out, '-', part.p[i]);
    return !e && is_upper(first) ? buf_append(out, SPAN("--")) : e;
}

static bool is_root(struct span part)
{
    static const char *const roots[] = {"assets", "liabilities", "equity", "income", "expenses"};
    for (size_t i = 0; i < COUNT_OF(roots); i++)
        if (span_eq(part, span_str(roots[i])))
            return true;
    return false;
}

enum err account_name_beancount(struct buf *out, struct span account)
{
    struct span rest = account, root = span_cut(&rest, ':');
    bool known = is_root(root);
    enum err e = known ? put_part(out, root) : buf_append(out, SPAN("Equity:0-"));
    if (!known)
        rest = account;
    if (!e && !rest.p)
        e = buf_append(out, SPAN(":0-"));
    while (!e && rest.p) {
        struct span part = span_cut(&rest, ':');
        e = buf_append(out, SPAN(":"));
        e = e ? e : put_part(out, part);
    }
    return e;
}
