/* SPDX-License-Identifier: Apache-2.0
 *
 * Names and totals of usage; the list is usage.def. A total is of what is known: a sum with an unknown part is the sum of the rest,
 * and only nothing at all is unknown.
 */
#include "neutral/usage.h"

#include "base/check.h"

static const struct {
    const char *name;
    enum usage_side side;
} classes[USAGE_CLASSES] = {
#define USAGE(NAME, name, side, sentence) [USAGE_##NAME] = {name, USAGE_SIDE_##side},
#include "neutral/usage.def"
#undef USAGE
};

const struct usage *usage_unknown(void)
{
    static const struct usage unknown = {.count = {[0 ... USAGE_CLASSES - 1] = USAGE_UNKNOWN}};
    return &unknown;
}

void usage_init(struct usage *u)
{
    *u = *usage_unknown();
}

const char *usage_class_name(enum usage_class c)
{
    return (unsigned)c < USAGE_CLASSES ? classes[c].name : "?";
}

enum usage_side usage_class_side(enum usage_class c)
{
    return (unsigned)c < USAGE_CLASSES ? classes[c].side : USAGE_SIDE_OTHER;
}

const char *usage_source_name(enum usage_source s)
{
    static const char *const names[] = {"unknown", "reported", "estimated", "none"};
    return (unsigned)s < COUNT_OF(names) ? names[s] : "?";
}

int64_t usage_total(const struct usage *u, enum usage_side side)
{
    int64_t total = USAGE_UNKNOWN;
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        if (classes[i].side == side && u->count[i] >= 0 &&
            __builtin_add_overflow(total < 0 ? 0 : total, u->count[i], &total))
            return INT64_MAX;
    return total;
}
