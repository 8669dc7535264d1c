/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger backup`: a copy of the books as they were at one moment, made while others write. The copy has another name until it is whole and
 * on the disk: a file under the wanted name is a good one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli_ledger.h"
#include "cli/table.h"
#include "ledger/store.h"

static const char backup_usage[] =
    "usage: entente ledger backup --data DIR --to FILE\n"
    "\n"
    "Copies the books of DIR into FILE, which must not exist yet; the gateway may go on writing, and what it books meanwhile is not in the copy.\n"
    "The signing key, DIR/ledger.key, is not copied: keep it apart. `entente ledger verify --data FILE` checks a copy, `entente ledger restore` puts\n"
    "it into place.\n";

struct copy {
    const struct cli_syntax *syntax;
    const char *from, *to;
    char part[4096 + 8]; /* its name until it is whole */
    char why[CLI_WHY_BYTES];
    uint64_t entries;
};

static bool is_taken(const char *path) { return access(path, F_OK) == 0; }

/* A renamed file is under its new name for good when its directory is on the disk. */
static bool sync_directory_of(const char *path)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

static enum err copy_pages(struct copy *c, struct store *s)
{
    struct progress progress;
    enum err e = store_snapshot(s);
    e = e ? e : store_log_size(s, &c->entries);
    progress_begin(&progress, "copying");
    e = e ? e : store_backup(s, c->part, progress_pages, &progress);
    progress_end(&progress);
    if (e)
        snprintf(c->why, sizeof c->why, "%s", store_why(s));
    return e;
}

static enum err copy_into_place(struct copy *c)
{
    if (rename(c->part, c->to) == 0 && sync_directory_of(c->to))
        return ERR_OK;
    snprintf(c->why, sizeof c->why, "%s: the copy cannot be given this name: %m", c->to);
    return ERR_DISK;
}

/* Copies the ledger `from` to the new file `to`. */
static enum err copy_ledger(struct copy *c)
{
    struct store *s;
    snprintf(c->part, sizeof c->part, "%s.part", c->to);
    enum err e = store_open(&(struct store_options){.path = c->from, .mode = STORE_READ}, &s, c->why);
    if (e)
        return e;
    unlink(c->part); /* of an attempt that was stopped */
    e = copy_pages(c, s);
    store_close(s);
    e = e ? e : copy_into_place(c);
    if (e)
        unlink(c->part);
    return e;
}

int cli_ledger_backup(int argc, char **argv)
{
    int code;
    char from[4096], number[32];
    const char *data = NULL, *to = NULL;
    const struct cli_option options[] = {{.name = "--data", .value = &data}, {.name = "--to", .value = &to}};
    const struct cli_syntax syntax = {"entente ledger backup", backup_usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!cli_ledger_path(&syntax, data, from))
        return CLI_USAGE;
    if (!to || strlen(to) > 4000 || is_taken(to)) {
        cli_error(&syntax, to ? "%.4000s: there is something of this name already: name a new file" : "--to is missing: the copy's file", to);
        return CLI_USAGE;
    }
    struct copy c = {.syntax = &syntax, .from = from, .to = to};
    enum err e = copy_ledger(&c);
    if (e)
        return cli_ledger_fail(&syntax, e, c.why);
    printf("%s: %s entries\n", to, table_number(number, c.entries));
    return CLI_DONE;
}
