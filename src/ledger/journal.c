/* SPDX-License-Identifier: Apache-2.0
 *
 * Format of an item: kind u8, at_us i64, then a price line's canonical text, or a struct with its runs of zeros folded: a zero byte is followed by how
 * many there are, 1 to 255. In the struct, pointers to price lines are their numbers, and attempts behind the last are zero.
 */
#include "ledger/journal.h"

#include <stdlib.h>

#define HEAD_BYTES (1 + sizeof(int64_t))

struct journal_price {
    uint8_t digest[PRICE_DIGEST_BYTES];
    const struct price_line *line; /* ours; NULL while only writing was done */
};

uint64_t journal_layout(void)
{
    const size_t sizes[] = {2 /* of this format */, sizeof(struct usage_record), sizeof(struct ledger_hold), sizeof(struct attempt_record), USAGE_CLASSES,
                            offsetof(struct usage_record, attempts), offsetof(struct usage_record, usage), offsetof(struct usage_record, buy),
                            offsetof(struct usage_record, held), offsetof(struct ledger_hold, buy), offsetof(struct ledger_hold, held),
                            RECORD_OUTCOMES, ATTEMPT_OUTCOMES};
    return span_hash(span_of(sizes, sizeof sizes), 0);
}

void journal_init(struct journal *j)
{
    *j = (struct journal){0};
    arena_init(&j->arena, 4u * KIB);
}

void journal_fini(struct journal *j)
{
    arena_fini(&j->arena);
    index_fini(&j->by_digest);
    free(j->prices);
    journal_init(j);
}

/* ---- zeros ---- */

static size_t fold(const uint8_t *from, size_t n, uint8_t *to)
{
    uint8_t *start = to;
    for (size_t i = 0; i < n;) {
        if (from[i]) {
            *to++ = from[i++];
            continue;
        }
        size_t zeros = 1;
        while (i + zeros < n && zeros < 255 && !from[i + zeros])
            zeros++;
        *to++ = 0;
        *to++ = (uint8_t)zeros;
        i += zeros;
    }
    return (size_t)(to - start);
}

static bool unfold(struct span from, uint8_t *to, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < from.n; i++) {
        uint8_t byte = (uint8_t)from.p[i];
        size_t run = byte ? 1 : i + 1 < from.n ? (uint8_t)from.p[++i] : 0;
        if (run == 0 || run > n - at)
            return false;
        memset(to + at, byte, run);
        at += run;
    }
    return at == n;
}

/* ---- prices ---- */

static uint32_t digest_hash(const uint8_t digest[PRICE_DIGEST_BYTES])
{
    uint32_t hash;
    memcpy(&hash, digest, sizeof hash);
    return hash;
}

static uint32_t price_number(const struct journal *j, const uint8_t digest[PRICE_DIGEST_BYTES])
{
    uint32_t hash = digest_hash(digest), at = index_first(&j->by_digest, hash);
    for (uint32_t id; (id = index_item(&j->by_digest, hash, &at)) != 0; at++)
        if (memcmp(j->prices[id - 1].digest, digest, PRICE_DIGEST_BYTES) == 0)
            return id;
    return 0;
}

static void add_price(struct journal *j, const uint8_t digest[PRICE_DIGEST_BYTES], const struct price_line *line)
{
    if (j->prices_n == j->prices_room) {
        j->prices_room = j->prices_room ? 2 * j->prices_room : 16;
        j->prices = realloc(j->prices, j->prices_room * sizeof *j->prices);
        CHECK(j->prices);
    }
    struct journal_price *p = &j->prices[j->prices_n++];
    memcpy(p->digest, digest, sizeof p->digest);
    p->line = line;
    index_insert(&j->by_digest, digest_hash(digest), j->prices_n);
}

static enum err read_price(struct journal *j, struct span text)
{
    struct price_line *line = ARENA_NEW(&j->arena, struct price_line);
    enum err e = price_line_parse(&j->arena, text, line);
    if (e)
        return ERR_SYNTAX;
    uint32_t known = price_number(j, line->digest);
    if (known)
        j->prices[known - 1].line = line; /* the one who wrote it reads it again */
    else
        add_price(j, line->digest, line);
    return ERR_OK;
}

/* ---- items ---- */

static enum err put_item(uint8_t kind, int64_t at_us, struct span body, bool fold_it, journal_put_fn *put, void *owner)
{
    uint8_t item[JOURNAL_ITEM_BYTES_MAX];
    if (HEAD_BYTES + 2 * body.n > sizeof item)
        return ERR_TOO_LARGE;
    item[0] = kind;
    memcpy(item + 1, &at_us, sizeof at_us);
    size_t n = body.n;
    if (fold_it)
        n = fold((const uint8_t *)body.p, body.n, item + HEAD_BYTES);
    else
        memcpy(item + HEAD_BYTES, body.p, body.n);
    return put(owner, span_of(item, HEAD_BYTES + n));
}

/* *line becomes its number, which an item of its own said before. */
static enum err write_price(struct journal *j, const struct price_line **line, int64_t now_us, journal_put_fn *put, void *owner)
{
    if (!*line)
        return ERR_OK;
    uint32_t number = price_number(j, (*line)->digest);
    if (!number) {
        enum err e = put_item(JOURNAL_PRICE, now_us, span_str((*line)->text), false, put, owner);
        if (e)
            return e;
        add_price(j, (*line)->digest, NULL);
        number = j->prices_n;
    }
    *line = (const struct price_line *)(uintptr_t)number;
    return ERR_OK;
}

static enum err write_hold(struct journal *j, const struct ledger_hold *hold, int64_t now_us, journal_put_fn *put, void *owner)
{
    struct ledger_hold h;
    memcpy(&h, hold, sizeof h);
    enum err e = write_price(j, &h.buy, now_us, put, owner);
    e = e ? e : write_price(j, &h.sell, now_us, put, owner);
    return e ? e : put_item(JOURNAL_HOLD, now_us, span_of(&h, sizeof h), true, put, owner);
}

static enum err write_record(struct journal *j, const struct usage_record *record, int64_t now_us, journal_put_fn *put, void *owner)
{
    struct usage_record r;
    memcpy(&r, record, sizeof r);
    memset(r.attempts + r.attempts_n, 0, (LIMIT_ATTEMPTS - r.attempts_n) * sizeof r.attempts[0]);
    enum err e = write_price(j, &r.buy.line, now_us, put, owner);
    e = e ? e : write_price(j, &r.sell.line, now_us, put, owner);
    return e ? e : put_item(JOURNAL_RECORD, now_us, span_of(&r, sizeof r), true, put, owner);
}

enum err journal_write(struct journal *j, const struct ledger_ticket *t, int64_t now_us, journal_put_fn *put, void *owner)
{
    return t->op == LEDGER_HOLD ? write_hold(j, t->hold, now_us, put, owner) : write_record(j, t->record, now_us, put, owner);
}

static bool read_line(const struct journal *j, const struct price_line **line)
{
    uintptr_t number = (uintptr_t)*line;
    if (number > j->prices_n || (number && !j->prices[number - 1].line))
        return false;
    *line = number ? j->prices[number - 1].line : NULL;
    return true;
}

static bool is_name(const char name[RECORD_NAME_BYTES]) { return memchr(name, 0, RECORD_NAME_BYTES) != NULL; }

static bool read_hold(const struct journal *j, struct span folded, struct ledger_hold *ret)
{
    uint8_t bytes[sizeof *ret];
    if (!unfold(folded, bytes, sizeof bytes))
        return false;
    memcpy(ret, bytes, sizeof *ret);
    return is_name(ret->key) && is_name(ret->department) && is_name(ret->party) && is_name(ret->model_asked) && is_name(ret->provider) &&
           is_name(ret->model) && read_line(j, &ret->buy) && read_line(j, &ret->sell);
}

static bool read_record(const struct journal *j, struct span folded, struct usage_record *ret)
{
    uint8_t bytes[sizeof *ret];
    if (!unfold(folded, bytes, sizeof bytes))
        return false;
    memcpy(ret, bytes, sizeof *ret);
    return ret->attempts_n <= LIMIT_ATTEMPTS && ret->attempt <= LIMIT_ATTEMPTS && is_name(ret->key) && is_name(ret->department) && is_name(ret->party) &&
           is_name(ret->model_asked) && is_name(ret->model_served) && is_name(ret->tier) && read_line(j, &ret->buy.line) && read_line(j, &ret->sell.line);
}

enum err journal_read(struct journal *j, struct span item, struct journal_item *ret)
{
    if (item.n < HEAD_BYTES)
        return ERR_SYNTAX;
    struct span body = span_from(item, HEAD_BYTES);
    memcpy(&ret->at_us, item.p + 1, sizeof ret->at_us);
    ret->kind = (unsigned char)item.p[0];
    switch (ret->kind) {
    case JOURNAL_PRICE: return read_price(j, body);
    case JOURNAL_HOLD: return read_hold(j, body, &ret->hold) ? ERR_OK : ERR_SYNTAX;
    case JOURNAL_RECORD: return read_record(j, body, &ret->record) ? ERR_OK : ERR_SYNTAX;
    }
    return ERR_SYNTAX;
}
