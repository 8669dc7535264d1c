/* SPDX-License-Identifier: Apache-2.0
 *
 * Time zones out of TZif files, RFC 8536 versions 1 to 4. The table is read once into changes of the offset; after the last of them the rule
 * at the file's foot goes on. Abbreviations and the flags of the types are not needed. Files that count leap seconds ("right/…") are
 * refused, because Unix time does not count them.
 */
#include "base/zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/zone_rule.h"

#define ZONE_FOLDER "/usr/share/zoneinfo"
#define ZONE_FILE_BYTES (1u << 20)
#define ZONE_NAME_BYTES 128
#define ZONE_PATH_BYTES 4096
#define OFFSET_MAX_S (26 * 3600)          /* RFC 8536 3.2: what readers must understand, and more than any place on Earth */
#define WALL_MAX_S INT64_C(9190000000000) /* 291,000 years: moments beyond count as this one, so that no sum overflows */

struct change {
    int64_t at_s;
    int32_t offset_s;
};
struct zone {
    char name[ZONE_NAME_BYTES];
    int32_t first_offset_s; /* before the first change */
    bool has_rule;          /* from the last change on */
    struct zone_rule rule;
    size_t changes_n;
    struct change changes[];
};

/* ---- the file ---- */

struct tzif {
    char version;
    unsigned time_bytes; /* 4 in the block of version 1, else 8 */
    uint32_t leaps_n, times_n, types_n;
    struct span times, indexes, types;
};

static int64_t read_signed(const char *p, unsigned bytes)
{
    uint64_t value = (unsigned char)p[0] & 0x80 ? UINT64_MAX : 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | (unsigned char)p[i];
    return (int64_t)value;
}

static bool take_bytes(struct span *rest, uint64_t n, struct span *ret)
{
    if (n > rest->n)
        return false;
    *ret = span_to(*rest, (size_t)n);
    *rest = span_from(*rest, (size_t)n);
    return true;
}

/* The header: magic, version, 15 bytes of nothing, six counts. */
static bool take_block(struct span *rest, unsigned time_bytes, struct tzif *ret)
{
    struct span head, skipped;
    uint32_t counts[6]; /* of UT flags, standard flags, leap seconds, times, types, characters */
    if (!take_bytes(rest, 44, &head) || !span_starts(head, SPAN("TZif")))
        return false;
    for (unsigned i = 0; i < COUNT_OF(counts); i++)
        counts[i] = (uint32_t)read_signed(head.p + 20 + 4 * i, 4);
    *ret = (struct tzif){.version = head.p[4], .time_bytes = time_bytes, .leaps_n = counts[2], .times_n = counts[3], .types_n = counts[4]};
    uint64_t after = (uint64_t)counts[5] + (uint64_t)counts[2] * (time_bytes + 4) + counts[1] + counts[0];
    return take_bytes(rest, (uint64_t)counts[3] * time_bytes, &ret->times) && take_bytes(rest, counts[3], &ret->indexes) &&
           take_bytes(rest, (uint64_t)counts[4] * 6, &ret->types) && take_bytes(rest, after, &skipped);
}

/* Line feed, rule, line feed; an empty rule is none. */
static bool read_foot(struct span foot, struct zone *z)
{
    struct span rule = span_from(foot, 1);
    ptrdiff_t end = span_find(rule, '\n');
    if (foot.n == 0 || foot.p[0] != '\n' || end < 0)
        return false;
    z->has_rule = end > 0;
    return !z->has_rule || zone_rule_parse(span_to(rule, (size_t)end), &z->rule) == ERR_OK;
}

static bool read_type(const struct tzif *t, unsigned type, int32_t *ret_offset_s)
{
    if (type >= t->types_n)
        return false;
    *ret_offset_s = (int32_t)read_signed(t->types.p + 6 * type, 4);
    return *ret_offset_s >= -OFFSET_MAX_S && *ret_offset_s <= OFFSET_MAX_S;
}

static bool read_changes(const struct tzif *t, struct zone *z)
{
    for (; z->changes_n < t->times_n; z->changes_n++) {
        struct change *c = &z->changes[z->changes_n];
        c->at_s = read_signed(t->times.p + z->changes_n * t->time_bytes, t->time_bytes);
        if (!read_type(t, (unsigned char)t->indexes.p[z->changes_n], &c->offset_s) || (z->changes_n && c->at_s <= c[-1].at_s))
            return false;
    }
    return read_type(t, 0, &z->first_offset_s);
}

enum err zone_parse(struct span tzif, struct zone **ret)
{
    struct tzif t;
    if (!take_block(&tzif, 4, &t) || (t.version && !take_block(&tzif, 8, &t)) || t.leaps_n)
        return ERR_SYNTAX;
    struct zone *z = calloc(1, sizeof *z + t.times_n * sizeof z->changes[0]);
    if (!z)
        return ERR_NO_MEMORY;
    if (!read_changes(&t, z) || (t.version && !read_foot(tzif, z))) {
        zone_free(z);
        return ERR_SYNTAX;
    }
    *ret = z;
    return ERR_OK;
}

/* ---- the folder ---- */

/* Relative, of plain characters, and no part begins with a dot. */
static bool name_stays_in_folder(struct span name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '+';
        if (!plain && !(i && name.p[i - 1] != '/' && (c == '/' || c == '.')))
            return false;
    }
    return name.n && name.n < ZONE_NAME_BYTES && name.p[name.n - 1] != '/';
}

static enum err read_file(const char *path, char *bytes, size_t *ret_n)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
    errno = 0;
    *ret_n = fread(bytes, 1, ZONE_FILE_BYTES, f);
    enum err e = !ferror(f) ? ERR_OK : errno == EISDIR ? ERR_NOT_FOUND : ERR_IO;
    (void)fclose(f);
    return e;
}

static enum err zone_of_file(const char *path, struct zone **ret)
{
    size_t n = 0;
    char *bytes = malloc(ZONE_FILE_BYTES);
    enum err e = bytes ? read_file(path, bytes, &n) : ERR_NO_MEMORY;
    if (!e)
        e = zone_parse(span_of(bytes, n), ret);
    free(bytes);
    return e;
}

static enum err zone_of_name(const char *name, struct zone **ret)
{
    char path[ZONE_PATH_BYTES];
    const char *folder = getenv("TZDIR");
    if (!name_stays_in_folder(span_str(name)))
        return ERR_SYNTAX;
    int n = snprintf(path, sizeof path, "%s/%s", folder && folder[0] ? folder : ZONE_FOLDER, name);
    return n < (int)sizeof path ? zone_of_file(path, ret) : ERR_NOT_FOUND;
}

static enum err zone_utc(struct zone **ret)
{
    *ret = calloc(1, sizeof **ret);
    return *ret ? ERR_OK : ERR_NO_MEMORY;
}

enum err zone_open(const char *name, struct zone **ret)
{
    struct zone *z = NULL;
    enum err e = strcmp(name, "UTC") == 0 ? zone_utc(&z) : zone_of_name(name, &z);
    if (e)
        return e;
    memcpy(z->name, name, strlen(name) + 1);
    *ret = z;
    return ERR_OK;
}

void zone_free(struct zone *z)
{
    free(z);
}

const char *zone_name(const struct zone *z)
{
    return z->name;
}

/* ---- offsets ---- */

static int64_t within_years(int64_t wall_s)
{
    return wall_s > WALL_MAX_S ? WALL_MAX_S : wall_s < -WALL_MAX_S ? -WALL_MAX_S : wall_s;
}

/* How many changes are not after this moment. */
static size_t changes_until(const struct zone *z, int64_t wall_s)
{
    size_t low = 0, high = z->changes_n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (z->changes[middle].at_s <= wall_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The offset at that moment, and when it may next be another. */
static int32_t offset_until(const struct zone *z, int64_t wall_s, int64_t *ret_until_s)
{
    size_t n = changes_until(z, wall_s);
    if (n == z->changes_n && z->has_rule)
        return zone_rule_offset(&z->rule, wall_s, ret_until_s);
    *ret_until_s = n < z->changes_n ? z->changes[n].at_s : INT64_MAX;
    return n ? z->changes[n - 1].offset_s : z->first_offset_s;
}

int32_t zone_offset_s(const struct zone *z, int64_t wall_s)
{
    int64_t until_s;
    return offset_until(z, within_years(wall_s), &until_s);
}

int64_t zone_first_s(const struct zone *z, int64_t local_s)
{
    int64_t at_s = within_years(local_s) - OFFSET_MAX_S, until_s; /* surely not later */
    local_s = at_s + OFFSET_MAX_S;
    for (;; at_s = until_s) {
        int64_t shown_at_s = local_s - offset_until(z, at_s, &until_s);
        if (shown_at_s <= at_s)
            return at_s;
        if (shown_at_s < until_s)
            return shown_at_s;
    }
}
