/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente check`: every mistake of a config file at once; silent when there is none.
 */
#include <stdio.h>

#include "cli/cli_price.h"

static const char usage[] =
    "usage: entente check --config FILE\n"
    "\n"
    "Reads a config file as `entente serve` would, with its secrets and certificates, and starts nothing.\n"
    "Every mistake is a line `file:line:column: message` on stderr, and the exit code 2. Silent and 0 when all is right.\n"
    "Where there are price books, a deployment without a price is a warning, `unpriced: …`.\n";

int cli_check(int argc, char **argv)
{
    int code;
    const char *path = NULL, *word = NULL;
    const struct cli_option options[] = {{.name = "--config", .value = &path}};
    const struct cli_syntax syntax = {"entente check", usage, options, COUNT_OF(options), &word, 1};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!path == !word) {
        cli_error(&syntax, path ? "one file at a time" : "which file? e.g. entente check --config entente.yaml");
        return CLI_USAGE;
    }
    path = path ? path : word;
    if (span_ends(span_str(path), SPAN(".agreement"))) {
        cli_error(&syntax, "%s: agreements are not in this version yet", path);
        return CLI_USAGE;
    }
    struct config *c = cli_load_config(path);
    if (c)
        cli_warn_unpriced(c->catalog);
    config_free(c);
    return c ? CLI_DONE : CLI_USAGE;
}
