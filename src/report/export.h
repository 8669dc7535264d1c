/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger export`: the books in forms that other programs read. Streams: memory is that of the accounts (journals) or of one charge
 * period (FOCUS), whatever the length of the log.
 *
 * Every export ends in a mark, in a place where the format allows one (docs/exports.md):
 *   entente-export-end entries=N rows=N log_size=N root=BASE64 sha256=HEX
 * sha256 is of all bytes before the mark's first, so that what was cut off or changed shows in any format.
 */
#ifndef ENTENTE_REPORT_EXPORT_H
#define ENTENTE_REPORT_EXPORT_H

#include "base/zone.h"
#include "ledger/books.h"

enum export_format { EXPORT_HLEDGER, EXPORT_LEDGER, EXPORT_BEANCOUNT, EXPORT_FOCUS, EXPORT_CSV, EXPORT_JSON, EXPORT_FORMATS };
const char *export_format_name(enum export_format f);

enum export_by { EXPORT_BY_DEFAULT, EXPORT_BY_REQUEST, EXPORT_BY_HOUR, EXPORT_BY_DAY };
bool export_can_group(enum export_format f, enum export_by by); /* journals by request or day, FOCUS by hour or day, the others by request */

struct export_options {
    enum export_format format;
    enum export_by by;           /* default: journals by request, FOCUS by hour */
    const struct zone *zone;     /* whose days */
    int64_t from_us, until_us;   /* booked in [from, until); INT64_MIN and INT64_MAX: all */
    const char *path;            /* appears under this name when it is whole; NULL: standard output */
    void (*progress)(void *owner, uint64_t done, uint64_t total); /* may be NULL */
    void *owner;
};
struct export_result {
    uint64_t entries;            /* of the log that were in the range, without names and price lines */
    uint64_t rows;               /* transactions, lines or rows made of them */
};
/* why: a sentence. ERR_DISK when the file cannot be written (nothing is left under the name), ERR_RANGE for amounts that the format's
 * readers cannot add up exactly, else the reader's errors. */
enum err export_books(struct books *b, const struct export_options *o, struct export_result *ret, char why[512]) MUST_CHECK;

/* Is this file a whole export, unchanged? ERR_SYNTAX: it is none, was cut off, or was changed; why says which. */
enum err export_check(const char *path, struct export_result *ret, char why[512]) MUST_CHECK;

/* ---- for the formats: what each of them is ---- */

struct walk_step;
struct export_job {
    struct books *books;
    const struct export_options *options;
    struct buf *out;             /* rows are appended here; the driver writes it out between steps */
    struct export_result *result;
    char *why;                   /* [512] */
};
struct export_writer {
    const char *name;
    bool wants_past;             /* steps before the range come too, marked, for opening balances */
    bool groups[EXPORT_BY_DAY + 1];
    enum err (*open)(struct export_job *j, void **ret_state);
    enum err (*step)(struct export_job *j, void *state, const struct walk_step *s);
    enum err (*end)(struct export_job *j, void *state);  /* before the mark; leaves the place for it */
    struct span after_mark;      /* ends the mark's line */
    void (*close)(void *state);  /* accepts NULL */
};
extern const struct export_writer journal_hledger, journal_ledger, journal_beancount, focus_writer, table_csv, table_json;

#endif
