/* SPDX-License-Identifier: Apache-2.0
 *
 * Format, numbers little endian. Two headers of a sector each; the valid one of the higher generation counts, so that a torn header leaves the other:
 *   magic 16 bytes, generation u64, epoch u64, layout u64, checksum 8 bytes
 * From 4096 on frames, each at a multiple of 8:
 *   bytes u32, 0 u32, checksum 8 bytes, item, zeros
 * A checksum is the begin of the SHA-256 of what it covers; a frame's also covers epoch and offset, so that what an earlier epoch left is no frame.
 * The first thing that is no frame is the end.
 */
#include "ledger/spool.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"

#define MAGIC_TEXT "entente spool 1\n"
#define HEADER_BYTES 512u
#define HEADERS 2u
#define FIRST_OFFSET 4096u
#define CHECKSUM_BYTES 8u
#define FRAME_HEAD_BYTES 16u
#define PENDING_BYTES_MAX (64u * MIB)

struct header {
    char magic[16];
    uint64_t generation, epoch, layout;
    uint8_t checksum[CHECKSUM_BYTES];
};
struct frame_head {
    uint32_t bytes, zero;
    uint8_t checksum[CHECKSUM_BYTES];
};
_Static_assert(sizeof(struct frame_head) == FRAME_HEAD_BYTES, "no padding");

/* Invariant: [FIRST_OFFSET, end) is synced frames of this epoch; pending is what comes behind. */
struct spool {
    const struct disk_world *world;
    char *path;
    void *file;
    struct header header;
    uint64_t wanted_bytes, bytes, end;
    bool broken;
    struct buf pending;
    char item[SPOOL_ITEM_BYTES_MAX];
};

bool spool_is_broken(const struct spool *s) { return s->broken; }
uint64_t spool_epoch(const struct spool *s) { return s->header.epoch; }
uint64_t spool_end(const struct spool *s) { return s->end; }
uint64_t spool_first(const struct spool *s) { return FIRST_OFFSET; }
uint64_t spool_bytes(const struct spool *s) { return s->bytes; }

/* ---- frames ---- */

static size_t frame_bytes(size_t item) { return (FRAME_HEAD_BYTES + item + 7) & ~(size_t)7; }

static void frame_checksum(uint64_t epoch, uint64_t offset, struct span item, uint8_t out[CHECKSUM_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    const uint64_t place[] = {epoch, offset, item.n};
    digest_sha256_prefixed('f', span_of(place, sizeof place), item, digest);
    memcpy(out, digest, CHECKSUM_BYTES);
}

enum err spool_put(struct spool *s, struct span item)
{
    uint64_t offset = s->end + buf_bytes(&s->pending);
    size_t total = frame_bytes(item.n);
    if (s->broken || item.n > SPOOL_ITEM_BYTES_MAX || offset + total > s->bytes)
        return ERR_TOO_LARGE;
    enum err e = buf_reserve(&s->pending, total);
    if (e)
        return e;
    struct frame_head head = {.bytes = (uint32_t)item.n};
    frame_checksum(s->header.epoch, offset, item, head.checksum);
    char *to = buf_tail(&s->pending);
    memset(to, 0, total);
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, item.p, item.n);
    buf_extend(&s->pending, total);
    return ERR_OK;
}

void spool_unput(struct spool *s) { buf_clear(&s->pending); }

enum err spool_sync(struct spool *s)
{
    size_t n = buf_bytes(&s->pending);
    if (!n)
        return ERR_OK;
    enum err e = s->broken ? ERR_DISK : s->world->write(s->file, s->end, buf_span(&s->pending));
    if (!e)
        e = s->world->sync(s->file);
    buf_clear(&s->pending);
    s->broken = e != ERR_OK;
    if (!e)
        s->end += n;
    return e;
}

/* The frame at an offset, wherever the end is: ERR_NOT_FOUND when it is none. */
static enum err read_frame(struct spool *s, uint64_t *offset, struct span *ret)
{
    struct frame_head head;
    uint8_t checksum[CHECKSUM_BYTES];
    if (*offset + FRAME_HEAD_BYTES > s->bytes)
        return ERR_NOT_FOUND;
    enum err e = s->world->read(s->file, *offset, &head, sizeof head);
    if (e)
        return e;
    if (head.zero || head.bytes == 0 || head.bytes > SPOOL_ITEM_BYTES_MAX || *offset + frame_bytes(head.bytes) > s->bytes)
        return ERR_NOT_FOUND;
    e = s->world->read(s->file, *offset + FRAME_HEAD_BYTES, s->item, head.bytes);
    if (e)
        return e;
    struct span item = span_of(s->item, head.bytes);
    frame_checksum(s->header.epoch, *offset, item, checksum);
    if (memcmp(checksum, head.checksum, CHECKSUM_BYTES) != 0)
        return ERR_NOT_FOUND;
    *offset += frame_bytes(head.bytes);
    *ret = item;
    return ERR_OK;
}

enum err spool_read(struct spool *s, uint64_t *offset, struct span *ret)
{
    if (*offset >= s->end)
        return ERR_NOT_FOUND;
    enum err e = read_frame(s, offset, ret);
    return e == ERR_NOT_FOUND ? ERR_DISK : e; /* it was there */
}

/* ---- headers ---- */

static void header_checksum(const struct header *h, uint8_t out[CHECKSUM_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    digest_sha256(span_of(h, offsetof(struct header, checksum)), digest);
    memcpy(out, digest, CHECKSUM_BYTES);
}

static bool header_is_valid(const struct header *h)
{
    uint8_t checksum[CHECKSUM_BYTES];
    header_checksum(h, checksum);
    return memcmp(h->magic, MAGIC_TEXT, sizeof h->magic) == 0 && memcmp(h->checksum, checksum, CHECKSUM_BYTES) == 0;
}

static enum err write_header(struct spool *s, const struct header *h)
{
    char sector[HEADER_BYTES] = {0};
    memcpy(sector, h, sizeof *h);
    enum err e = s->world->write(s->file, h->generation % HEADERS * HEADER_BYTES, span_of(sector, sizeof sector));
    return e ? e : s->world->sync(s->file);
}

/* False: there is none. */
static enum err read_header(struct spool *s, bool *ret_any)
{
    *ret_any = false;
    for (unsigned i = 0; i < HEADERS; i++) {
        struct header h;
        enum err e = s->world->read(s->file, i * HEADER_BYTES, &h, sizeof h);
        if (e)
            return e;
        if (!header_is_valid(&h) || (*ret_any && h.generation <= s->header.generation))
            continue;
        s->header = h;
        *ret_any = true;
    }
    return ERR_OK;
}

enum err spool_restart(struct spool *s)
{
    struct header h = s->header;
    uint64_t had = s->bytes;
    buf_clear(&s->pending);
    memcpy(h.magic, MAGIC_TEXT, sizeof h.magic);
    h.generation++;
    digest_random(&h.epoch, sizeof h.epoch);
    header_checksum(&h, h.checksum);
    if (s->bytes != s->wanted_bytes && s->world->reserve(s->file, s->wanted_bytes) == ERR_OK)
        s->bytes = s->wanted_bytes;
    enum err e = s->bytes || had ? write_header(s, &h) : ERR_DISK;
    s->broken = e != ERR_OK;
    if (e)
        return e;
    s->header = h;
    s->end = FIRST_OFFSET;
    return ERR_OK;
}

/* ---- opening ---- */

static enum err find_end(struct spool *s)
{
    struct span item;
    enum err e;
    s->end = FIRST_OFFSET;
    do
        e = read_frame(s, &s->end, &item);
    while (!e);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* What is not ours is left alone, and so is what we could not read right. */
static enum err look_at(struct spool *s, uint64_t layout, char why[512])
{
    bool any = false;
    enum err e = s->bytes < FIRST_OFFSET ? ERR_OK : read_header(s, &any);
    if (!e && any)
        e = find_end(s);
    if (e) {
        snprintf(why, 512, "%s: the spool cannot be read: look at the disk, and at the system's log", s->path);
        return e;
    }
    if (any && s->end > FIRST_OFFSET && s->header.layout != layout) {
        snprintf(why, 512, "%s: the spool has records of another build of entente that are not booked: start that build once, then this one", s->path);
        return ERR_SYNTAX;
    }
    char begin[sizeof s->header.magic] = "";
    if (!any && s->bytes >= sizeof begin && s->world->read(s->file, 0, begin, sizeof begin) == ERR_OK && begin[0] &&
        memcmp(begin, MAGIC_TEXT, sizeof begin) != 0) {
        snprintf(why, 512, "%s: this is no spool of entente: move it away, or name another place in `ledger.spool`", s->path);
        return ERR_SYNTAX;
    }
    bool as_wanted = any && (s->end > FIRST_OFFSET || (s->bytes == s->wanted_bytes && s->header.layout == layout));
    s->header.layout = layout;
    e = as_wanted ? ERR_OK : spool_restart(s);
    if (e || s->bytes < SPOOL_BYTES_MIN) {
        snprintf(why, 512, "%s: %llu bytes cannot be reserved for the spool: make room on the disk, or give it less (`ledger.spool`)", s->path,
                 (unsigned long long)s->wanted_bytes);
        e = ERR_DISK;
    }
    return e;
}

enum err spool_open(const struct disk_world *w, const char *path, uint64_t bytes, uint64_t layout, struct spool **ret, char why[512])
{
    struct spool *s = calloc(1, sizeof *s);
    CHECK(s && (s->path = strdup(path)));
    s->world = w;
    s->wanted_bytes = bytes < SPOOL_BYTES_MIN ? SPOOL_BYTES_MIN : bytes & ~(uint64_t)4095;
    buf_init(&s->pending, PENDING_BYTES_MAX);
    enum err e = w->open(w->owner, path, true, &s->file);
    if (!e)
        e = w->size(s->file, &s->bytes);
    if (e)
        snprintf(why, 512, "%s: the spool cannot be opened: look at the rights of it and of its directory", path);
    else
        e = look_at(s, layout, why);
    if (e)
        spool_close(s);
    else
        *ret = s;
    return e;
}

void spool_close(struct spool *s)
{
    if (!s)
        return;
    if (s->file)
        s->world->close(s->file);
    buf_fini(&s->pending);
    free(s->path);
    free(s);
}
