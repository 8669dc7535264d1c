/* SPDX-License-Identifier: Apache-2.0
 *
 * entente: an AI gateway whose routing, control and money follow written agreements. Commands are in cli/.
 */
#include "cli/cli.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
