/* SPDX-License-Identifier: Apache-2.0
 *
 * SQLite, as little of it as the store needs: connections of one thread, statements that are prepared once, values in and out. Errors come
 * sorted: ERR_DISK is the outside world's and may pass (full, read-only, locked, I/O), ERR_SYNTAX is the file's (damaged, foreign), ERR_EXISTS a
 * row that is there already. The only header that stands before sqlite3.h.
 */
#ifndef ENTENTE_LEDGER_SQL_H
#define ENTENTE_LEDGER_SQL_H

#include "base/buf.h"
#include "base/money.h"

struct sql;           /* a connection */
struct sql_statement;

enum sql_mode { SQL_READ, SQL_WRITE, SQL_CREATE };

/* vfs NULL: the system's. ERR_NOT_FOUND when there is no such file and mode does not make it. why: a sentence. Nothing is written yet. */
enum err sql_open(const char *path, enum sql_mode mode, const char *vfs, struct sql **ret, char why[512]) MUST_CHECK;
void sql_close(struct sql *s);                       /* accepts NULL; its statements must be finalized */
void sql_set_patience(struct sql *s, unsigned ms);   /* how long a lock of another program is waited for; at first 5 s */
const char *sql_why(const struct sql *s);            /* the last failure as a sentence, with what to do; "" when there was none */
void sql_set_why(struct sql *s, const char *sentence);
enum err sql_exec(struct sql *s, const char *text) MUST_CHECK;   /* statements without results that matter */
void sql_rollback(struct sql *s);                    /* of the transaction under way, if any; keeps sql_why */
enum err sql_read_i64(struct sql *s, const char *text, int64_t *ret) MUST_CHECK; /* first column of the first row; 0 without a row */

/* ---- statements ---- */
enum err sql_prepare(struct sql *s, const char *text, struct sql_statement **ret) MUST_CHECK; /* to be used often */
void sql_finalize(struct sql_statement *t);          /* accepts NULL */
bool sql_is_busy(const struct sql_statement *t);     /* a row was given and not the last */

struct sql_value {
    enum { SQL_NULL, SQL_INTEGER, SQL_TEXT, SQL_BLOB, SQL_MONEY } type;
    int64_t integer;
    struct span bytes;  /* borrowed until the statement is reset */
    money amount;       /* INTEGER where it fits 64 bits, else decimal TEXT */
};
static inline struct sql_value sql_integer(int64_t v) { return (struct sql_value){.type = SQL_INTEGER, .integer = v}; }
static inline struct sql_value sql_text(struct span v) { return (struct sql_value){.type = SQL_TEXT, .bytes = v}; }
static inline struct sql_value sql_blob(struct span v) { return (struct sql_value){.type = SQL_BLOB, .bytes = v}; }
static inline struct sql_value sql_money(money v) { return (struct sql_value){.type = SQL_MONEY, .amount = v}; }

enum err sql_bind(struct sql_statement *t, const struct sql_value *values, unsigned n) MUST_CHECK; /* ?1, ?2, … */
/* ERR_OK and *ret_row: there is a row. At the end and on errors the statement is reset. */
enum err sql_step(struct sql_statement *t, bool *ret_row) MUST_CHECK;
enum err sql_run(struct sql_statement *t, const struct sql_value *values, unsigned n) MUST_CHECK; /* bind, step to the end */
void sql_reset(struct sql_statement *t);

/* Columns of the row, from 0. What has another type than asked for reads as 0 or empty; the bytes stay until the next step. */
int64_t sql_column_i64(struct sql_statement *t, int column);
struct span sql_column_bytes(struct sql_statement *t, int column);
enum err sql_column_money(struct sql_statement *t, int column, money *ret) MUST_CHECK; /* ERR_SYNTAX */

/* ---- whole files ---- */
/* Copies what a read transaction of s sees (it should be under way, or writers elsewhere start it anew) into a file that is made or overwritten. */
enum err sql_copy_to(struct sql *s, const char *to, void (*progress)(void *owner, int done, int total), void *owner) MUST_CHECK;

#endif
