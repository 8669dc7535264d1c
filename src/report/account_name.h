/* SPDX-License-Identifier: Apache-2.0
 *
 * Account names of the ledger in the letters that other programs allow. Each form can be read back: docs/exports.md has the rules for readers.
 */
#ifndef ENTENTE_REPORT_ACCOUNT_NAME_H
#define ENTENTE_REPORT_ACCOUNT_NAME_H

#include "base/buf.h"

/* hledger and ledger: ASCII letters, digits, "._-/+@:" and single spaces inside stay, every other byte becomes %XX. Appends; the buffer's errors. */
enum err account_name_plain(struct buf *out, struct span account) MUST_CHECK;

/* beancount: the five roots capitalised; each part begins with a capital or digit and holds letters, digits and hyphens, every other byte is -XX. */
enum err account_name_beancount(struct buf *out, struct span account) MUST_CHECK;

#endif
