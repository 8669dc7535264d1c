/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables, and the migration from version to version. A file says whose it is in SQLite's own header (application_id) and of which version
 * (user_version), so that nothing is read, let alone written, before that is known. docs/ledger.md has each column; a test holds both together.
 */
#include "ledger/store_schema.h"

#include <stdio.h>

#include "ledger/store.h"

#define USAGE(NAME, name, side, sentence) name " INTEGER NOT NULL, "
static const char schema_1[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE entry(seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;"
    "CREATE TABLE hold(batch INTEGER PRIMARY KEY, seq INTEGER NOT NULL, body BLOB NOT NULL) STRICT;"
    "CREATE TABLE tile(n INTEGER PRIMARY KEY, root BLOB NOT NULL, leaves BLOB) STRICT;"
    "CREATE TABLE name(id INTEGER PRIMARY KEY, text TEXT NOT NULL, seq INTEGER NOT NULL) STRICT;"
    "CREATE TABLE price(id INTEGER PRIMARY KEY, text TEXT NOT NULL, seq INTEGER NOT NULL) STRICT;"
    "CREATE TABLE account(name INTEGER NOT NULL, currency INTEGER NOT NULL, posted ANY NOT NULL, PRIMARY KEY(name, currency)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE rollup(id INTEGER PRIMARY KEY, bucket_us INTEGER NOT NULL, key INTEGER NOT NULL, department INTEGER NOT NULL, "
    "party INTEGER NOT NULL, provider INTEGER NOT NULL, model INTEGER NOT NULL, model_asked INTEGER NOT NULL, tier INTEGER NOT NULL, "
    "buy_price INTEGER NOT NULL, sell_price INTEGER NOT NULL, source INTEGER NOT NULL, outcome INTEGER NOT NULL, "
    "buy_unpriced INTEGER NOT NULL, sell_unpriced INTEGER NOT NULL, requests INTEGER NOT NULL, entries INTEGER NOT NULL, "
#include "neutral/usage.def"
    "buy ANY NOT NULL, sell ANY NOT NULL, provider_cost ANY NOT NULL, provider_cost_n INTEGER NOT NULL, "
    "first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL) STRICT;"
    "CREATE INDEX rollup_bucket ON rollup(bucket_us);"
    "CREATE TABLE issuer(id INTEGER PRIMARY KEY, counter INTEGER NOT NULL) STRICT;"
    "CREATE TABLE posting(key TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE checkpoint(size INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, note TEXT NOT NULL) STRICT;"
    /* for people with sqlite3 */
    "CREATE VIEW balance(account, currency, posted) AS "
    "SELECT n.text, c.text, a.posted FROM account a JOIN name n ON n.id = a.name JOIN name c ON c.id = a.currency ORDER BY 1, 2;";
#undef USAGE

const struct store_step store_steps[] = {
    {1, schema_1},
};
const unsigned store_steps_n = COUNT_OF(store_steps);

static enum err complain(struct sql *s, const char *sentence)
{
    sql_set_why(s, sentence);
    return ERR_SYNTAX;
}

enum err store_read_version(struct sql *s, unsigned *ret)
{
    int64_t application = 0, version = 0, things = 0;
    enum err e = sql_read_i64(s, "PRAGMA application_id", &application);
    if (!e)
        e = sql_read_i64(s, "PRAGMA user_version", &version);
    if (!e)
        e = sql_read_i64(s, "SELECT count(*) FROM sqlite_schema", &things);
    if (e)
        return e;
    bool empty = !application && !version && !things;
    if (!empty && application != STORE_APPLICATION_ID)
        return complain(s, "this is not an entente ledger but another program's SQLite database: name the ledger's file");
    if (!empty && (version < 1 || version > INT32_MAX))
        return complain(s, "it is damaged: a ledger without a version: restore it from a backup");
    *ret = (unsigned)version;
    return ERR_OK;
}

static enum err apply(struct sql *s, const struct store_step *step)
{
    char text[64];
    enum err e = sql_exec(s, step->text);
    snprintf(text, sizeof text, "PRAGMA user_version = %u", step->to);
    return e ? e : sql_exec(s, text);
}

static enum err apply_steps(struct sql *s, const struct store_step *steps, unsigned n)
{
    char text[64];
    unsigned version;
    enum err e = store_read_version(s, &version); /* again, now that nobody else can write */
    if (!e && version == 0) {
        snprintf(text, sizeof text, "PRAGMA application_id = %d", STORE_APPLICATION_ID);
        e = sql_exec(s, text);
    }
    for (unsigned i = 0; !e && i < n; i++)
        if (steps[i].to > version)
            e = apply(s, &steps[i]);
    return e;
}

enum err store_migrate(struct sql *s, const struct store_step *steps, unsigned n)
{
    unsigned version, known = steps[n - 1].to;
    char why[160];
    enum err e = store_read_version(s, &version);
    if (!e && version > known) {
        snprintf(why, sizeof why, "it was written by a newer entente: schema %u, this one knows %u; use that version", version, known);
        e = complain(s, why);
    }
    if (e || version == known)
        return e;
    e = sql_exec(s, "BEGIN IMMEDIATE");
    if (!e)
        e = apply_steps(s, steps, n);
    if (!e)
        return sql_exec(s, "COMMIT");
    sql_rollback(s);
    return e;
}
