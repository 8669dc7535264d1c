/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger backup` and `entente ledger restore`: the books as they were at one moment, copied while others write, and a copy put into a new
 * data directory after it was verified. A copy has its name only when it is whole and on the disk (store_backup sees to that).
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli_ledger.h"
#include "cli/table.h"
#include "ledger/books.h"

static const char backup_usage[] =
    "usage: entente ledger backup --data DIR --to FILE\n"
    "\n"
    "Copies the books of DIR into FILE, which must not exist yet; the gateway may go on writing, and what it books meanwhile is not in the copy.\n"
    "The signing key, DIR/ledger.key, is not copied: keep it apart. `entente ledger verify --data FILE` checks a copy, `entente ledger restore` puts\n"
    "it into place.\n";

static const char restore_usage[] =
    "usage: entente ledger restore --from FILE --data DIR\n"
    "\n"
    "Verifies the copy FILE and puts it into DIR, which must be absent or empty but for the signing key, ledger.key. Nothing is changed when the copy has\n"
    "faults. The gateway will ask for the key that signed the books: put it into DIR, too.\n";

/* ---- copying ---- */

static enum err copy_books(struct books *b, const char *to, char why[CLI_WHY_BYTES])
{
    struct progress progress;
    store_rollback(books_store(b)); /* the copy takes a snapshot of its own */
    progress_begin(&progress, "copying");
    enum err e = store_backup(books_store(b), to, progress_pages, &progress);
    progress_end(&progress);
    if (e)
        snprintf(why, CLI_WHY_BYTES, "%s", store_why(books_store(b)));
    return e;
}

/* What is in the file now, read as any reader would. */
static int tell_copied(const struct cli_syntax *s, const char *path)
{
    struct books *copy;
    char number[32];
    int code;
    if (!cli_ledger_books(s, path, &copy, &code))
        return code;
    printf("%s: %s entries\n", path, table_number(number, books_size(copy)));
    books_close(copy);
    return CLI_DONE;
}

static int copy_to(const struct cli_syntax *s, struct books *b, const char *to)
{
    char why[CLI_WHY_BYTES];
    enum err e = copy_books(b, to, why);
    return e ? cli_ledger_fail(s, e, why) : tell_copied(s, to);
}

int cli_ledger_backup(int argc, char **argv)
{
    int code;
    const char *data = NULL, *to = NULL;
    struct books *b = NULL;
    const struct cli_option options[] = {{.name = "--data", .value = &data}, {.name = "--to", .value = &to}};
    const struct cli_syntax syntax = {"entente ledger backup", backup_usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!to || access(to, F_OK) == 0) {
        cli_error(&syntax, to ? "%s: there is something of this name already: name a new file" : "--to is missing: the copy's file", to);
        return CLI_USAGE;
    }
    if (!cli_ledger_books(&syntax, data, &b, &code))
        return code;
    code = copy_to(&syntax, b, to);
    books_close(b);
    return code;
}

/* ---- restoring ---- */

struct restoring {
    const struct cli_syntax *syntax;
    struct progress progress;
};

static void tell_fault(void *owner, const char *sentence)
{
    struct restoring *r = owner;
    progress_end(&r->progress);
    cli_error(r->syntax, "%s", sentence);
}

static void show_progress(void *owner, uint64_t done, uint64_t total)
{
    struct restoring *r = owner;
    progress_show(&r->progress, done, total);
}

static int verify_copy(const struct cli_syntax *s, struct books *b, const char *from)
{
    struct restoring r = {.syntax = s};
    struct verify_report report;
    progress_begin(&r.progress, "verifying");
    enum err e = books_verify(b, tell_fault, show_progress, &r, &report);
    progress_end(&r.progress);
    if (e)
        return cli_ledger_fail(s, e, books_why(b)[0] ? books_why(b) : err_sentence(e));
    if (report.faults)
        cli_error(s, "%s: nothing was restored: the copy has %u fault%s", from, report.faults, report.faults == 1 ? "" : "s");
    return report.faults ? CLI_USAGE : CLI_DONE;
}

/* What a restore that was killed leaves is written anew. */
static bool may_be_there(const char *name)
{
    static const char *const names[] = {".", "..", "ledger.key", "ledger.db.part", "ledger.db.part-journal"};
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* True when the directory is absent, or has nothing in it but a key. */
static bool is_free(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return errno == ENOENT;
    bool free_of_all = true;
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        free_of_all &= may_be_there(e->d_name);
    closedir(d);
    return free_of_all;
}

static void tell_key(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/ledger.key", dir);
    if (access(path, F_OK) != 0)
        printf("%s is not there: put the key there that signed these books, before the gateway starts\n", path);
}

static int restore(const struct cli_syntax *s, struct books *b, const char *from, const char *dir)
{
    char to[4096];
    int code = verify_copy(s, b, from);
    if (code)
        return code;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        cli_error(s, "%s: the directory cannot be made: %s", dir, strerror(errno));
        return CLI_FAILED;
    }
    snprintf(to, sizeof to, "%s/ledger.db", dir);
    code = copy_to(s, b, to);
    if (code == CLI_DONE)
        tell_key(dir);
    return code;
}

int cli_ledger_restore(int argc, char **argv)
{
    int code;
    const char *data = NULL, *from = NULL;
    struct books *b = NULL;
    const struct cli_option options[] = {{.name = "--data", .value = &data}, {.name = "--from", .value = &from}};
    const struct cli_syntax syntax = {"entente ledger restore", restore_usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!data || !from || strlen(data) > 4000) {
        cli_error(&syntax, !from ? "--from is missing: the copy's file" : !data ? "--data is missing: the new data directory" : "the path of --data is too long");
        return CLI_USAGE;
    }
    if (!is_free(data)) {
        cli_error(&syntax, "%s is no empty directory: nothing is restored over what is there; name a new one", data);
        return CLI_USAGE;
    }
    if (!cli_ledger_books(&syntax, from, &b, &code))
        return code;
    code = restore(&syntax, b, from, data);
    books_close(b);
    return code;
}
