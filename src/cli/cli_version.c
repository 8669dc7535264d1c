/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente version`: the version this program was built as, on one line.
 */
#include <stdio.h>

#include "cli/cli.h"

int cli_version(int argc, char **argv)
{
    int code;
    const struct cli_syntax syntax = {.command = "entente version", .usage = "usage: entente version\n\nPrints the version.\n"};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    printf("entente %s\n", ENTENTE_VERSION);
    return CLI_DONE;
}
