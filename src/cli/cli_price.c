/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente price`: the table of its commands, and `check`.
 */
#include "cli/cli_price.h"

#include <stdio.h>

#include "cli/price_view.h"

static const struct cli_command commands[] = {
    {"check", cli_price_check, "find every mistake in files of price books"},
    {"list", cli_price_list, "what models cost at a moment"},
    {"diff", cli_price_diff, "what changes from one file of price books to another"},
    {"import", cli_price_import, "make price books of a community's price table"},
};

int cli_price(int argc, char **argv)
{
    static const struct cli_menu menu = {"entente price", commands, COUNT_OF(commands), ""};
    return cli_run_menu(&menu, argc, argv);
}

bool cli_one_source(const struct cli_syntax *s, const char *config, const char *file, int *ret_code)
{
    *ret_code = CLI_USAGE;
    if (!config == !file)
        cli_error(s, config ? "--config names its files itself: leave the others out" : "which file? e.g. %s prices.yaml", s->command);
    return !config != !file;
}

struct price_list *cli_load_prices(const char *const *files, unsigned n)
{
    struct price_list *l = NULL;
    struct config_errors errors;
    for (unsigned i = 0; i < n; i++)
        n = files[i] ? n : i;
    config_errors_init(&errors);
    errors.file = files[0];
    if (config_prices_load(files, n, NULL, NULL, &l, &errors) != ERR_OK)
        config_errors_print(&errors, stderr);
    config_errors_fini(&errors);
    return l;
}

/* ---- deployments without a price ---- */

static bool has_price(const struct catalog *c, const struct deployment *d, int64_t now_us)
{
    struct price_facts facts = {.provider = span_str(d->provider->name), .model = d->model, .at_us = now_us, .known_us = now_us};
    return price_find_buy(c->prices, &facts) != NULL;
}

void cli_warn_unpriced(const struct catalog *c)
{
    struct price_moment now;
    if (!c->prices || c->prices->books_n == 0 || !price_moment_read(NULL, NULL, NULL, &now))
        return;
    for (unsigned i = 0; i < c->deployments_n; i++) {
        const struct deployment *d = c->deployments[i];
        if (d->model.n && !has_price(c, d, now.at_us)) /* a catch-all's model is known with the request */
            fprintf(stderr, "unpriced: %.*s at %s: no price book of `prices:` has a price for it now; what it uses will be booked as unpriced\n", SPAN_ARG(d->model),
                    d->provider->name);
    }
}

/* ---- check ---- */

static const char usage[] =
    "usage: entente price check FILE… | --config FILE\n"
    "\n"
    "Reads price books as `entente serve` would. Every mistake is a line `file:line:column: message` on stderr, and the exit code 2. Silent and 0 when all\n"
    "is right. With --config, also tells which deployments have no price; that is a warning.\n";

static int check_config(const char *path)
{
    struct config *c = cli_load_config(path);
    if (!c)
        return CLI_USAGE;
    cli_warn_unpriced(c->catalog);
    config_free(c);
    return CLI_DONE;
}

int cli_price_check(int argc, char **argv)
{
    int code;
    const char *config = NULL, *files[256] = {NULL};
    const struct cli_option options[] = {{.name = "--config", .value = &config}};
    const struct cli_syntax syntax = {"entente price check", usage, options, COUNT_OF(options), files, COUNT_OF(files)};
    if (!cli_read_options(argc, argv, &syntax, &code) || !cli_one_source(&syntax, config, files[0], &code))
        return code;
    if (config)
        return check_config(config);
    struct price_list *l = cli_load_prices(files, COUNT_OF(files));
    price_list_unref(l);
    return l ? CLI_DONE : CLI_USAGE;
}
