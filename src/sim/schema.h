/* SPDX-License-Identifier: Apache-2.0
 *
 * A JSON value that fits a JSON Schema, for simulated tool calls and structured answers.
 *
 * Understood: type (also a list), properties, required, items, prefixItems, minItems, maxItems, enum, const, minimum, maximum and their
 * exclusive forms, multipleOf, minLength, maxLength, format, anyOf, oneOf, allOf (objects are joined), $ref into the same document.
 * Not understood: pattern, not, if/then/else, dependencies; a schema with these may get a value that does not fit.
 */
#ifndef ENTENTE_SIM_SCHEMA_H
#define ENTENTE_SIM_SCHEMA_H

#include "base/buf.h"

/* ERR_JSON when the schema itself is not JSON, or refers to what is not there. An empty span is "anything". */
enum err sim_schema_fill(struct span schema, uint64_t *random, struct buf *out) MUST_CHECK;

#endif
