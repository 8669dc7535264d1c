/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line: a table of commands, and what they share. Each command is a function like main, its own name in argv[0]; one that has
 * commands of its own has a table for them.
 *
 * Exit codes: 0 done, 1 the thing asked for failed, 2 bad arguments or bad input file. Errors go to stderr, say where and what to do.
 */
#ifndef ENTENTE_CLI_CLI_H
#define ENTENTE_CLI_CLI_H

#include "serve/config.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

int cli_main(int argc, char **argv);

typedef int cli_run_fn(int argc, char **argv);
cli_run_fn cli_serve, cli_demo, cli_check, cli_explain, cli_sim, cli_key, cli_ledger, cli_price, cli_reconcile, cli_reload, cli_settle, cli_top, cli_version;

/* ---- menus ---- */

struct cli_command {
    const char *name;
    cli_run_fn *run;
    const char *summary;
};

struct cli_menu {
    const char *command; /* "entente ledger" */
    const struct cli_command *commands;
    unsigned commands_n;
    const char *more;    /* ends its help */
};

/* Runs the command that argv[1] names; help, also of one command; a name that is near when there is none of that name. */
int cli_run_menu(const struct cli_menu *m, int argc, char **argv);

/* ---- options ---- */

struct cli_list { /* of the values of an option that may be said more than once */
    const char *items[64];
    unsigned n;
};

struct cli_option {
    const char *name;   /* "--config" */
    const char **value; /* where its value goes; or */
    bool *flag;         /* what it sets; or */
    struct cli_list *list;
};

struct cli_syntax {
    const char *command; /* "entente check", for messages */
    const char *usage;   /* printed by --help, and named after a mistake */
    const struct cli_option *options;
    unsigned options_n;
    const char **words;  /* where arguments that are no options go */
    unsigned words_max;
};

/* Reads --name VALUE, --name=VALUE and flags. True: go on. False: leave with *ret_code (0 after --help, 2 after a mistake that was told). */
bool cli_read_options(int argc, char **argv, const struct cli_syntax *s, int *ret_code) MUST_CHECK;

/* The config of --config, or NULL after its mistakes went to stderr. */
struct config *cli_load_config(const char *path);

/* A message to stderr: "entente check: ...". */
void cli_error(const struct cli_syntax *s, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
