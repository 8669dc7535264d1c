/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger`: the table of its commands, and what they share.
 */
#include "cli/cli_ledger.h"

#include <stdio.h>
#include <sys/stat.h>

static const struct cli_command commands[] = {
    {"export", cli_ledger_export, "write the books as hledger, ledger or beancount journal, FOCUS, CSV or JSON"},
    {"backup", cli_ledger_backup, "copy the books, also while the gateway writes"},
    {"rerate", cli_ledger_rerate, "book the differences of prices that became known later"},
    {"pay", cli_ledger_pay, "book a payment"},
};

int cli_ledger(int argc, char **argv)
{
    static const struct cli_menu menu = {"entente ledger", commands, COUNT_OF(commands), ""};
    return cli_run_menu(&menu, argc, argv);
}

bool cli_ledger_path(const struct cli_syntax *s, const char *data, char out[4096])
{
    struct stat st;
    if (!data) {
        cli_error(s, "--data is missing: the gateway's data directory, as `data:` in its config, or the ledger's file");
        return false;
    }
    bool is_directory = stat(data, &st) == 0 && S_ISDIR(st.st_mode);
    if (snprintf(out, 4096, "%s%s", data, is_directory ? "/ledger.db" : "") < 4096)
        return true;
    cli_error(s, "the path of --data is longer than a path may be");
    return false;
}

int cli_ledger_fail(const struct cli_syntax *s, enum err e, const char *why)
{
    cli_error(s, "%s", why);
    return e == ERR_SYNTAX || e == ERR_NOT_FOUND ? CLI_USAGE : CLI_FAILED;
}
