/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of `entente price`, and what they share.
 */
#ifndef ENTENTE_CLI_CLI_PRICE_H
#define ENTENTE_CLI_CLI_PRICE_H

#include "cli/cli.h"

cli_run_fn cli_price_check, cli_price_diff, cli_price_import, cli_price_list;

/* The books of these files, or NULL after their mistakes went to stderr. */
struct price_list *cli_load_prices(const char *const *files, unsigned n);
/* A line on stderr for each deployment that has no price now, when the config has price books at all. */
void cli_warn_unpriced(const struct catalog *c);

#endif
