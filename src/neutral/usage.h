/* SPDX-License-Identifier: Apache-2.0
 *
 * What one attempt used, by disjoint class. Unknown is a value and never zero.
 */
#ifndef ENTENTE_NEUTRAL_USAGE_H
#define ENTENTE_NEUTRAL_USAGE_H

#include <stdbool.h>
#include <stdint.h>

enum usage_class {
#define USAGE(NAME, name, side, sentence) USAGE_##NAME,
#include "neutral/usage.def"
#undef USAGE
    USAGE_CLASSES
};

#define USAGE_UNKNOWN (-1)

enum usage_source {
    USAGE_SOURCE_UNKNOWN,   /* nothing can be said */
    USAGE_SOURCE_REPORTED,  /* the provider's own figure */
    USAGE_SOURCE_ESTIMATED, /* counted here with a tokenizer: the provider said nothing */
    USAGE_SOURCE_NONE,      /* nothing was used: no provider answered */
};

struct usage {
    int64_t count[USAGE_CLASSES]; /* >= 0, or USAGE_UNKNOWN */
    enum usage_source source;
};

enum usage_side { USAGE_SIDE_INPUT, USAGE_SIDE_OUTPUT, USAGE_SIDE_OTHER };

void usage_init(struct usage *u);                         /* all unknown */
const struct usage *usage_unknown(void);                  /* such a one, for who points at one */
const char *usage_class_name(enum usage_class c);
enum usage_side usage_class_side(enum usage_class c);
const char *usage_source_name(enum usage_source s);       /* "unknown", "reported", "estimated", "none" */
int64_t usage_total(const struct usage *u, enum usage_side side); /* sum of the known ones; USAGE_UNKNOWN when none is known */

#endif
