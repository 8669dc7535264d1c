/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger`: the table of its commands, and what they share.
 */
#include "cli/cli_ledger.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/zone.h"
#include "ledger/books.h"

static const struct cli_command commands[] = {
    {"balance", cli_ledger_balance, "what is on each account, and what requests under way hold"},
    {"verify", cli_ledger_verify, "compute everything again from the entries, and compare"},
    {"checkpoint", cli_ledger_checkpoint, "sign the log as it is now, or show what was signed"},
    {"prove", cli_ledger_prove, "a proof of one entry, or of the log's growth, that entente-verify checks"},
    {"export", cli_ledger_export, "write the books as hledger, ledger or beancount journal, FOCUS, CSV or JSON"},
    {"backup", cli_ledger_backup, "copy the books, also while the gateway writes"},
    {"restore", cli_ledger_restore, "put a copy into a new data directory"},
    {"compact", cli_ledger_compact, "replace old usage by its sums; books and proofs stay as they are"},
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

bool cli_ledger_books(const struct cli_syntax *s, const char *data, struct books **ret, int *ret_code)
{
    char path[4096], why[CLI_WHY_BYTES];
    *ret_code = CLI_USAGE;
    if (!cli_ledger_path(s, data, path))
        return false;
    enum err e = books_open(path, ret, why);
    if (e)
        *ret_code = cli_ledger_fail(s, e, why);
    return e == ERR_OK;
}

bool cli_ledger_write(const struct cli_syntax *s, const char *data, struct ledger **ret, int *ret_code)
{
    char path[4096], why[CLI_WHY_BYTES];
    *ret_code = CLI_USAGE;
    if (!cli_ledger_path(s, data, path))
        return false;
    if (access(path, F_OK) != 0 || strcmp(path, data) == 0) {
        cli_error(s, "--data %s: %s", data, access(path, F_OK) != 0 ? "there is no ledger there: name the gateway's data directory"
                                                                    : "a file is not enough: name the gateway's data directory, with the ledger and its key in it");
        return false;
    }
    enum err e = ledger_open(&(struct ledger_options){.dir = data, .beside = true}, ret, why);
    if (e)
        *ret_code = cli_ledger_fail(s, e, why);
    return e == ERR_OK;
}

bool cli_ledger_time(const struct cli_syntax *s, const char *option, const char *text, const char *zone, int64_t *ret_us)
{
    struct zone *z;
    zone = zone ? zone : "UTC";
    if (zone_open(zone, &z) != ERR_OK) {
        cli_error(s, "there is no time zone \"%s\" here: write e.g. Europe/Paris, and see that the package tzdata is installed", zone);
        return false;
    }
    bool good = zone_parse_time(z, span_str(text), ret_us) == ERR_OK;
    if (!good)
        cli_error(s, "%s: \"%s\" is no date: write 2026-11-01 or 2026-11-01T10:00:00Z", option, text);
    zone_free(z);
    return good;
}

int cli_ledger_fail(const struct cli_syntax *s, enum err e, const char *why)
{
    cli_error(s, "%s", why);
    return e == ERR_SYNTAX || e == ERR_NOT_FOUND ? CLI_USAGE : CLI_FAILED;
}
