/* SPDX-License-Identifier: Apache-2.0
 *
 * The tables of the store and how a file comes to have them: steps, each from one version to the next. Private to the store and its tests.
 */
#ifndef ENTENTE_LEDGER_STORE_SCHEMA_H
#define ENTENTE_LEDGER_STORE_SCHEMA_H

#include "ledger/sql.h"

#define STORE_APPLICATION_ID 0x456e744c /* "EntL", at byte 68 of the file; file(1) can tell */

struct store_step {
    unsigned to;      /* the version it makes of the one before */
    const char *text; /* SQL */
};
extern const struct store_step store_steps[];
extern const unsigned store_steps_n; /* the last step's version is STORE_SCHEMA */

/* Whose file it is, and of which version; 0: a file without anything in it. ERR_SYNTAX when it is no ledger. */
enum err store_read_version(struct sql *s, unsigned *ret) MUST_CHECK;
/* Brings the file to the last step's version in one transaction; does nothing when it is there. ERR_SYNTAX when it is beyond. */
enum err store_migrate(struct sql *s, const struct store_step *steps, unsigned n) MUST_CHECK;

#endif
