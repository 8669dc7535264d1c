/* SPDX-License-Identifier: Apache-2.0
 *
 * What the commands of `entente ledger` share: where the books are, and how their errors become exit codes. Each command is a file of its own;
 * the table of them is in cli_ledger.c.
 */
#ifndef ENTENTE_CLI_CLI_LEDGER_H
#define ENTENTE_CLI_CLI_LEDGER_H

#include "cli/cli.h"
#include "cli/progress.h"

struct books;
struct store;

cli_run_fn cli_ledger_export, cli_ledger_backup, cli_ledger_pay, cli_ledger_rerate;

#define CLI_WHY_BYTES 512

/* The ledger's file: data itself when it is one, else `ledger.db` in that directory. False after a message when data is NULL. */
bool cli_ledger_path(const struct cli_syntax *s, const char *data, char out[4096]) MUST_CHECK;

/* Tells why and gives the exit code: 2 when the named file is at fault (absent, damaged, not a ledger), else 1. */
int cli_ledger_fail(const struct cli_syntax *s, enum err e, const char *why);

#endif
