/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of `entente price`, and what they share.
 */
#ifndef ENTENTE_CLI_CLI_PRICE_H
#define ENTENTE_CLI_CLI_PRICE_H

#include "cli/cli.h"

cli_run_fn cli_price_check, cli_price_diff, cli_price_import, cli_price_list;

/* Either --config or files? False after a message, with the exit code. */
bool cli_one_source(const struct cli_syntax *s, const char *config, const char *file, int *ret_code) MUST_CHECK;
/* The books of at most n files, as many as are not NULL; or NULL after their mistakes went to stderr. */
struct price_list *cli_load_prices(const char *const *files, unsigned n);
/* A line on stderr for each deployment that has no price now, when the config has price books at all. */
void cli_warn_unpriced(const struct catalog *c);

#endif
