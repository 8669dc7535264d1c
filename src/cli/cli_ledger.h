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
struct ledger;

cli_run_fn cli_ledger_balance, cli_ledger_verify, cli_ledger_checkpoint, cli_ledger_prove, cli_ledger_export, cli_ledger_backup, cli_ledger_restore,
    cli_ledger_compact, cli_ledger_rerate, cli_ledger_pay;

#define CLI_WHY_BYTES 512

/* The ledger's file: data itself when it is one, else `ledger.db` in that directory. False after a message when data is NULL. */
bool cli_ledger_path(const struct cli_syntax *s, const char *data, char out[4096]) MUST_CHECK;

/* Opens the books of --data for reading, or the ledger of a data directory for a command that books or signs, which may be beside a running gateway.
 * False after a message, with the exit code. */
bool cli_ledger_books(const struct cli_syntax *s, const char *data, struct books **ret, int *ret_code) MUST_CHECK;
bool cli_ledger_write(const struct cli_syntax *s, const char *data, struct ledger **ret, int *ret_code) MUST_CHECK;

/* A moment as people write it; zone, whose midnight a date means, may be NULL: UTC. False after a message that names the option. */
bool cli_ledger_time(const struct cli_syntax *s, const char *option, const char *text, const char *zone, int64_t *ret_us) MUST_CHECK;

/* Tells why and gives the exit code: 2 when the named file is at fault (absent, damaged, not a ledger), else 1. */
int cli_ledger_fail(const struct cli_syntax *s, enum err e, const char *why);

#endif
