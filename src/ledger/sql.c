/* SPDX-License-Identifier: Apache-2.0
 *
 * The wrapper around SQLite. Its result codes are sorted once, in a table, into our errors and what a person can do about them.
 */
#include "ledger/sql.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#define BUSY_MS 5000
#define COPY_PAGES 512
#define PATH_BYTES 4096

struct sql {
    sqlite3 *db;
    char *path;
    char why[512];
};

struct sql_statement {
    struct sql *sql;
    sqlite3_stmt *stmt;
};

/* ---- errors ---- */

/* By primary result code. What is not listed is a statement that does not fit the file's tables: the file was changed by other hands. */
static const struct failure {
    int code;
    enum err error;
    const char *sentence;
} failures[] = {
    {SQLITE_FULL, ERR_DISK, "the disk is full: make room on it"},
    {SQLITE_IOERR, ERR_DISK, "the disk failed to read or write: look at the system's log, and at the disk"},
    {SQLITE_READONLY, ERR_DISK, "the file or its directory is read-only: give this user the right to write, or remount the disk"},
    {SQLITE_CANTOPEN, ERR_DISK, "the file cannot be opened: look at the rights of it and of its directory, and at how many files are open"},
    {SQLITE_PERM, ERR_DISK, "access is denied: give this user the right to read and write the file and its directory"},
    {SQLITE_AUTH, ERR_DISK, "access is denied: give this user the right to read and write the file and its directory"},
    {SQLITE_BUSY, ERR_DISK, "another program has it locked: end that program's transaction"},
    {SQLITE_LOCKED, ERR_DISK, "another program has it locked: end that program's transaction"},
    {SQLITE_PROTOCOL, ERR_DISK, "another program has it locked: end that program's transaction"},
    {SQLITE_INTERRUPT, ERR_DISK, "the work was interrupted: try again"},
    {SQLITE_NOLFS, ERR_DISK, "the file system does not take files of this size: move the ledger to another"},
    {SQLITE_NOMEM, ERR_NO_MEMORY, "there is not enough memory: give the program more"},
    {SQLITE_TOOBIG, ERR_TOO_LARGE, "a value is larger than SQLite allows"},
    {SQLITE_CONSTRAINT, ERR_EXISTS, "the row is there already: another program wrote to it"},
    {SQLITE_NOTADB, ERR_SYNTAX, "it is no SQLite database, so no ledger: name the ledger's file, or restore it from a backup"},
    {SQLITE_CORRUPT, ERR_SYNTAX, "it is damaged: restore it from a backup"},
};

static const struct failure *failure_of(int code)
{
    static const struct failure other = {SQLITE_ERROR, ERR_SYNTAX, "its tables are not those of a ledger: restore it from a backup"};
    for (unsigned i = 0; i < COUNT_OF(failures); i++)
        if (failures[i].code == (code & 0xff))
            return &failures[i];
    return &other;
}

static enum err fail(struct sql *s, int code)
{
    const struct failure *f = failure_of(code);
    const char *detail = s->db && sqlite3_errcode(s->db) != SQLITE_OK ? sqlite3_errmsg(s->db) : sqlite3_errstr(code);
    snprintf(s->why, sizeof s->why, "%s: %s (SQLite %d: %s)", s->path, f->sentence, code, detail);
    return f->error;
}

const char *sql_why(const struct sql *s) { return s->why; }
void sql_set_why(struct sql *s, const char *sentence) { snprintf(s->why, sizeof s->why, "%s: %s", s->path, sentence); }

/* ---- connections ---- */

static bool file_exists(const char *path, const char *vfs)
{
    sqlite3_vfs *v = sqlite3_vfs_find(vfs);
    int exists = 0;
    return v && v->xAccess(v, path, SQLITE_ACCESS_EXISTS, &exists) == SQLITE_OK && exists;
}

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static int open_flags(enum sql_mode mode)
{
    static const int flags[] = {[SQL_READ] = SQLITE_OPEN_READONLY, [SQL_WRITE] = SQLITE_OPEN_READWRITE,
                                [SQL_CREATE] = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE};
    return flags[mode] | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
}

/* A copy where nothing can be written: read-only media, somebody else's directory. SQLite would want to make files beside it, for others who write, unless it
 * is told that there are none. With a write-ahead log beside it there may be. */
static bool lies_still(const char *path)
{
    char beside[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    if (snprintf(beside, sizeof beside, "%s-wal", path) >= (int)sizeof beside || access(beside, F_OK) == 0)
        return false;
    snprintf(beside, sizeof beside, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    return faccessat(AT_FDCWD, beside, W_OK, AT_EACCESS) != 0;
}

static int open_still(const char *path, sqlite3 **ret)
{
    char uri[3 * PATH_BYTES + 32] = "file:";
    size_t n = strlen(uri);
    for (const char *p = path; *p && n < sizeof uri - 32; p++)
        n += (size_t)snprintf(uri + n, sizeof uri - n, strchr("?#%", *p) ? "%%%02X" : "%c", *p);
    snprintf(uri + n, sizeof uri - n, "?immutable=1");
    return sqlite3_open_v2(uri, ret, open_flags(SQL_READ) | SQLITE_OPEN_URI, NULL);
}

enum err sql_open(const char *path, enum sql_mode mode, const char *vfs, struct sql **ret, char why[512])
{
    if (mode != SQL_CREATE && !file_exists(path, vfs)) {
        snprintf(why, 512, "%s: there is no such file, or it is empty: name the ledger's file or its directory", path);
        return ERR_NOT_FOUND;
    }
    if (!vfs && is_directory(path)) {
        snprintf(why, 512, "%s: this is a directory and no ledger's file: move it away", path);
        return ERR_SYNTAX;
    }
    struct sql *s = calloc(1, sizeof *s);
    if (!s || !(s->path = strdup(path))) {
        free(s);
        snprintf(why, 512, "%s: %s", path, err_sentence(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    bool still = mode == SQL_READ && !vfs && lies_still(path);
    int code = still ? open_still(path, &s->db) : sqlite3_open_v2(path, &s->db, open_flags(mode), vfs);
    if (code == SQLITE_OK) {
        sqlite3_busy_timeout(s->db, BUSY_MS);
        *ret = s;
        return ERR_OK;
    }
    enum err e = fail(s, code);
    memcpy(why, s->why, sizeof s->why);
    sql_close(s);
    return e;
}

void sql_close(struct sql *s)
{
    if (!s)
        return;
    ALWAYS(sqlite3_close(s->db) == SQLITE_OK);
    free(s->path);
    free(s);
}

void sql_set_patience(struct sql *s, unsigned ms) { sqlite3_busy_timeout(s->db, (int)ms); }

enum err sql_exec(struct sql *s, const char *text)
{
    int code = sqlite3_exec(s->db, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? ERR_OK : fail(s, code);
}

void sql_rollback(struct sql *s)
{
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL); /* what can fail here ended the transaction before */
}

enum err sql_read_i64(struct sql *s, const char *text, int64_t *ret)
{
    struct sql_statement *t;
    bool row = false;
    enum err e = sql_prepare(s, text, &t);
    if (e)
        return e;
    e = sql_step(t, &row);
    if (!e)
        *ret = row ? sql_column_i64(t, 0) : 0;
    sql_finalize(t);
    return e;
}

/* ---- statements ---- */

enum err sql_prepare(struct sql *s, const char *text, struct sql_statement **ret)
{
    struct sql_statement *t = calloc(1, sizeof *t);
    if (!t)
        return fail(s, SQLITE_NOMEM);
    t->sql = s;
    int code = sqlite3_prepare_v3(s->db, text, -1, SQLITE_PREPARE_PERSISTENT, &t->stmt, NULL);
    if (code != SQLITE_OK) {
        free(t);
        return fail(s, code);
    }
    *ret = t;
    return ERR_OK;
}

void sql_finalize(struct sql_statement *t)
{
    if (!t)
        return;
    sqlite3_finalize(t->stmt);
    free(t);
}

bool sql_is_busy(const struct sql_statement *t) { return sqlite3_stmt_busy(t->stmt); }

static int bind_money(sqlite3_stmt *t, int at, money amount)
{
    char digits[MONEY_TEXT_BYTES];
    if (amount == (int64_t)amount)
        return sqlite3_bind_int64(t, at, (int64_t)amount);
    struct span text = money_format_integer(digits, amount);
    return sqlite3_bind_text(t, at, text.p, (int)text.n, SQLITE_TRANSIENT);
}

static int bind_value(sqlite3_stmt *t, int at, const struct sql_value *v)
{
    const char *bytes = v->bytes.n ? v->bytes.p : ""; /* NULL would be bound as NULL */
    switch (v->type) {
    case SQL_INTEGER: return sqlite3_bind_int64(t, at, v->integer);
    case SQL_TEXT: return sqlite3_bind_text64(t, at, bytes, v->bytes.n, SQLITE_STATIC, SQLITE_UTF8);
    case SQL_BLOB: return sqlite3_bind_blob64(t, at, bytes, v->bytes.n, SQLITE_STATIC);
    case SQL_MONEY: return bind_money(t, at, v->amount);
    case SQL_NULL: break;
    }
    return sqlite3_bind_null(t, at);
}

enum err sql_bind(struct sql_statement *t, const struct sql_value *values, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        int code = bind_value(t->stmt, (int)i + 1, &values[i]);
        if (code != SQLITE_OK)
            return fail(t->sql, code);
    }
    return ERR_OK;
}

enum err sql_step(struct sql_statement *t, bool *ret_row)
{
    int code = sqlite3_step(t->stmt);
    *ret_row = code == SQLITE_ROW;
    if (code == SQLITE_ROW)
        return ERR_OK;
    enum err e = code == SQLITE_DONE ? ERR_OK : fail(t->sql, code);
    sqlite3_reset(t->stmt);
    return e;
}

enum err sql_run(struct sql_statement *t, const struct sql_value *values, unsigned n)
{
    bool row;
    enum err e = sql_bind(t, values, n);
    do
        if (!e)
            e = sql_step(t, &row);
    while (!e && row);
    return e;
}

void sql_reset(struct sql_statement *t) { sqlite3_reset(t->stmt); }

/* One look at the row for type and number: rollups have forty columns. Allowed because connections are of one thread (NOMUTEX). */
int64_t sql_column_i64(struct sql_statement *t, int column)
{
    sqlite3_value *v = sqlite3_column_value(t->stmt, column);
    return sqlite3_value_type(v) == SQLITE_INTEGER ? sqlite3_value_int64(v) : 0;
}

struct span sql_column_bytes(struct sql_statement *t, int column)
{
    const void *bytes = sqlite3_column_blob(t->stmt, column);
    int n = sqlite3_column_bytes(t->stmt, column);
    return bytes && n > 0 ? span_of(bytes, (size_t)n) : SPAN_NONE;
}

enum err sql_column_money(struct sql_statement *t, int column, money *ret)
{
    switch (sqlite3_column_type(t->stmt, column)) {
    case SQLITE_INTEGER: *ret = sqlite3_column_int64(t->stmt, column); return ERR_OK;
    case SQLITE_TEXT:
        if (money_parse_integer(sql_column_bytes(t, column), ret) == ERR_OK)
            return ERR_OK;
    }
    sql_set_why(t->sql, "an amount in it is no number: it is damaged: restore it from a backup");
    return ERR_SYNTAX;
}

/* ---- whole files ---- */

static int copy_pages(sqlite3 *to, sqlite3 *from, void (*progress)(void *owner, int done, int total), void *owner)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    if (!b)
        return sqlite3_extended_errcode(to);
    int code;
    while ((code = sqlite3_backup_step(b, COPY_PAGES)) == SQLITE_OK)
        if (progress)
            progress(owner, sqlite3_backup_pagecount(b) - sqlite3_backup_remaining(b), sqlite3_backup_pagecount(b));
    int end = sqlite3_backup_finish(b);
    return code == SQLITE_DONE ? end : code;
}

enum err sql_copy_to(struct sql *s, const char *to, void (*progress)(void *owner, int done, int total), void *owner)
{
    struct sql *copy;
    enum err e = sql_open(to, SQL_CREATE, NULL, &copy, s->why);
    if (e)
        return e;
    int code = copy_pages(copy->db, s->db, progress, owner);
    if (code != SQLITE_OK) {
        e = fail(copy, code);
        memcpy(s->why, copy->why, sizeof s->why);
    }
    sql_close(copy);
    return e;
}
