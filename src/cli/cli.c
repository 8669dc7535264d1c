/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of commands, the dispatcher of a table, and the reader of options.
 */
#include "cli/cli.h"

#include <stdio.h>

#include "serve/nearest.h"

static const struct cli_command commands[] = {
    {"serve", cli_serve, "run the gateway"},
    {"demo", cli_demo, "see it work: simulated providers, real sockets, one provider killed midway"},
    {"check", cli_check, "find every mistake in a config file"},
    {"explain", cli_explain, "show the plan for a request: who may answer, in what order, and why"},
    {"key", cli_key, "make, list and revoke keys of clients"},
    {"price", cli_price, "check, list, compare and import price books"},
    {"ledger", cli_ledger, "balances, checks, proofs and copies of the books"},
    {"reconcile", cli_reconcile, "compare the books with a provider's own usage or cost export"},
    {"reload", cli_reload, "check the config, then let the running gateway load it"},
    {"settle", cli_settle, "statements of a period, and the booking of its terms"},
    {"sim", cli_sim, "run a simulated provider"},
    {"top", cli_top, "watch a running gateway"},
    {"version", cli_version, "print the version"},
};

int cli_main(int argc, char **argv)
{
    static const struct cli_menu menu = {"entente", commands, COUNT_OF(commands),
                                         " Without a config, `entente serve` answers from a simulated provider."};
    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return cli_version(1, argv + 1);
    return cli_run_menu(&menu, argc, argv);
}

/* ---- menus ---- */

static void print_help(const struct cli_menu *m, FILE *out)
{
    fprintf(out, "usage: %s COMMAND [OPTIONS]\n\n", m->command);
    for (unsigned i = 0; i < m->commands_n; i++)
        fprintf(out, "  %-10s %s\n", m->commands[i].name, m->commands[i].summary);
    fprintf(out, "\n`%s COMMAND --help` tells more of each.%s\n", m->command, m->more);
}

static const struct cli_command *find_command(const struct cli_menu *m, const char *name)
{
    for (unsigned i = 0; i < m->commands_n; i++)
        if (strcmp(m->commands[i].name, name) == 0)
            return &m->commands[i];
    return NULL;
}

static int unknown_command(const struct cli_menu *m, const char *name)
{
    struct nearest near;
    nearest_init(&near, span_str(name));
    for (unsigned i = 0; i < m->commands_n; i++)
        nearest_offer(&near, m->commands[i].name);
    if (near.best)
        fprintf(stderr, "%s: unknown command \"%s\": did you mean \"%s\"?\n", m->command, name, near.best);
    else
        fprintf(stderr, "%s: unknown command \"%s\"; `%s help` lists all\n", m->command, name, m->command);
    return CLI_USAGE;
}

static int help(const struct cli_menu *m, const char *name)
{
    const struct cli_command *command = name ? find_command(m, name) : NULL;
    if (name && !command)
        return unknown_command(m, name);
    if (command)
        return command->run(2, (char *[]){(char *)(uintptr_t)command->name, (char[]){"--help"}, NULL});
    print_help(m, stdout);
    return CLI_DONE;
}

int cli_run_menu(const struct cli_menu *m, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        print_help(m, stderr);
        return CLI_USAGE;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(m, argc > 2 ? argv[2] : NULL);
    const struct cli_command *command = find_command(m, name);
    return command ? command->run(argc - 1, argv + 1) : unknown_command(m, name);
}

/* ---- options ---- */

void cli_error(const struct cli_syntax *s, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s: ", s->command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
}

static bool mistake(const struct cli_syntax *s, int *ret_code)
{
    fprintf(stderr, "%.*s\n", (int)strcspn(s->usage, "\n"), s->usage);
    *ret_code = CLI_USAGE;
    return false;
}

static const struct cli_option *find_option(const struct cli_syntax *s, struct span name)
{
    for (unsigned i = 0; i < s->options_n; i++)
        if (span_eq(span_str(s->options[i].name), name))
            return &s->options[i];
    return NULL;
}

static void tell_unknown(const struct cli_syntax *s, struct span name)
{
    struct nearest near;
    nearest_init(&near, name);
    for (unsigned i = 0; i < s->options_n; i++)
        nearest_offer(&near, s->options[i].name);
    cli_error(s, near.best ? "unknown option %.*s: did you mean %s?" : "unknown option %.*s", SPAN_ARG(name), near.best);
}

static bool add_to_list(const struct cli_syntax *s, const struct cli_option *o, const char *value)
{
    bool fits = o->list->n < COUNT_OF(o->list->items);
    if (fits)
        o->list->items[o->list->n++] = value;
    else
        cli_error(s, "%s can be said %zu times", o->name, COUNT_OF(o->list->items));
    return fits;
}

/* One option that begins at argv[*at]; moves *at to its last word. */
static bool read_option(int argc, char **argv, int *at, const struct cli_syntax *s)
{
    const char *word = argv[*at], *equals = strchr(word, '=');
    struct span name = span_of(word, equals ? (size_t)(equals - word) : strlen(word));
    const struct cli_option *o = find_option(s, name);
    if (!o) {
        tell_unknown(s, name);
        return false;
    }
    if (o->flag && equals) {
        cli_error(s, "%s takes no value", o->name);
        return false;
    }
    if (o->flag) {
        *o->flag = true;
        return true;
    }
    if (!equals && *at + 1 >= argc) {
        cli_error(s, "%s needs a value", o->name);
        return false;
    }
    const char *value = equals ? equals + 1 : argv[++*at];
    return o->list ? add_to_list(s, o, value) : (*o->value = value, true);
}

bool cli_read_options(int argc, char **argv, const struct cli_syntax *s, int *ret_code)
{
    unsigned words = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(s->usage, stdout);
            *ret_code = CLI_DONE;
            return false;
        }
        if (argv[i][0] == '-' && argv[i][1]) {
            if (!read_option(argc, argv, &i, s))
                return mistake(s, ret_code);
        } else if (words < s->words_max) {
            s->words[words++] = argv[i];
        } else {
            cli_error(s, "what is \"%s\"?", argv[i]);
            return mistake(s, ret_code);
        }
    }
    return true;
}

struct config *cli_load_config(const char *path)
{
    struct config *c = NULL;
    struct config_errors errors;
    config_errors_init(&errors);
    if (config_load(path, NULL, &c, &errors) != ERR_OK)
        config_errors_print(&errors, stderr);
    config_errors_fini(&errors);
    return c;
}
