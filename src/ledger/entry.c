/* SPDX-License-Identifier: Apache-2.0
 *
 * The codec of entries. Encoder and decoder of a kind stand together and read alike, field by field in the order of the bytes. The decoder
 * accepts what the encoder makes and nothing else, so that a leaf has one meaning and a meaning one leaf; what makes a second form possible
 * (an overlong number, a flag that says what the fields say) is refused where it is read.
 */
#include "ledger/entry.h"

#include <endian.h>

#define FORM_VERSION 1u
#define MONEY_VARINT_BYTES 19u
#define USAGE_BYTES_MAX (64u * 10u + LIMIT_ATTEMPTS * 5u * 5u + USAGE_CLASSES * 10u + 3u * MONEY_VARINT_BYTES)
#define UNPRICED_MAX ((1u << USAGE_CLASSES) - 1)

enum { FLAG_STREAM = 1, FLAG_RECOVERED = 2, FLAG_AT_COST = 4 /* sell is what buy is */, FLAGS_MAX = 7 };

const char *posting_cause_name(enum posting_cause c)
{
    static const char *const names[POSTING_CAUSES] = {"correction", "reversal", "fee",   "minimum", "free",    "band",    "capacity", "commit",
                                                      "credit",     "share",    "tax",   "storage", "payment", "opening"};
    return (unsigned)c < POSTING_CAUSES ? names[c] : "?";
}

int64_t entry_booked_us(const struct entry *e)
{
    switch (e->kind) {
    case ENTRY_USAGE: return e->usage.booked_us;
    case ENTRY_POSTING: return e->posting.booked_us;
    case ENTRY_SUMMARY: return e->summary.booked_us;
    case ENTRY_NAME:
    case ENTRY_PRICE: break;
    }
    return 0;
}

/* ---- numbers ---- */

struct writer {
    uint8_t *at;
    bool bad; /* a value was out of range */
};

struct reader {
    const uint8_t *at, *end;
    bool bad; /* not the form: every later read gives 0 */
};

static inline void put(struct writer *w, uint64_t value, uint64_t max)
{
    w->bad |= value > max;
    for (; value >= 0x80; value >>= 7)
        *w->at++ = (uint8_t)(value | 0x80);
    *w->at++ = (uint8_t)value;
}

static uint64_t get_long(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; r->at < r->end && shift < 64; shift += 7) {
        uint64_t byte = *r->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80 && (byte || !shift))
            return value;
        if (byte < 0x80)
            break;
    }
    r->bad = true;
    r->at = r->end;
    return 0;
}

/* Two to eight bytes in one load: seven bits of each are moved together in three steps. */
static inline uint64_t get_middle(struct reader *r)
{
    uint64_t bytes;
    if (UNLIKELY(r->end - r->at < (ptrdiff_t)sizeof bytes))
        return get_long(r);
    memcpy(&bytes, r->at, sizeof bytes);
    bytes = le64toh(bytes);
    uint64_t stops = ~bytes & 0x8080808080808080u;
    if (UNLIKELY(!stops))
        return get_long(r);
    unsigned n = (unsigned)__builtin_ctzll(stops) / 8 + 1;
    bytes &= (stops ^ (stops - 1)) & 0x7f7f7f7f7f7f7f7fu;
    r->bad |= !(bytes >> 8 * (n - 1)); /* overlong */
    r->at += n;
    bytes = (bytes & 0x007f007f007f007fu) | (bytes & 0x7f007f007f007f00u) >> 1;
    bytes = (bytes & 0x00003fff00003fffu) | (bytes & 0x3fff00003fff0000u) >> 2;
    return (bytes & 0x000000000fffffffu) | (bytes & 0x0fffffff00000000u) >> 4;
}

static inline uint64_t get(struct reader *r, uint64_t max)
{
    uint64_t value = LIKELY(r->at < r->end && *r->at < 0x80) ? *r->at++ : get_middle(r);
    r->bad |= value > max;
    return value;
}

static inline void put_signed(struct writer *w, int64_t value) { put(w, (uint64_t)value << 1 ^ (uint64_t)(value >> 63), UINT64_MAX); }

static inline int64_t get_signed(struct reader *r)
{
    uint64_t value = get(r, UINT64_MAX);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

static void put_money(struct writer *w, money amount)
{
    unsigned __int128 value = (unsigned __int128)amount;
    w->bad |= amount < 0;
    for (; value >= 0x80; value >>= 7)
        *w->at++ = (uint8_t)((uint8_t)value | 0x80);
    *w->at++ = (uint8_t)value;
}

static money get_long_money(struct reader *r)
{
    unsigned __int128 value = 0;
    for (unsigned shift = 0; r->at < r->end && shift < 127; shift += 7) {
        uint8_t byte = *r->at++;
        if (shift == 126 && byte > 1)
            break;
        value |= (unsigned __int128)(byte & 0x7fu) << shift;
        if (byte < 0x80 && (byte || !shift))
            return (money)value;
        if (byte < 0x80)
            break;
    }
    r->bad = true;
    r->at = r->end;
    return 0;
}

static inline money get_money(struct reader *r)
{
    const uint8_t *p = r->at;
    bool is_short = r->end - p >= 8 && (p[0] & p[1] & p[2] & p[3] & p[4] & p[5] & p[6] & p[7]) < 0x80;
    return is_short ? (money)get(r, UINT64_MAX) : get_long_money(r);
}

static void put_text(struct writer *w, struct span text, size_t max)
{
    put(w, text.n, max);
    w->bad |= text.n && memchr(text.p, 0, text.n);
    if (w->bad || !text.n)
        return;
    memcpy(w->at, text.p, text.n);
    w->at += text.n;
}

static struct span get_text(struct reader *r, size_t max)
{
    size_t n = (size_t)get(r, max);
    if (r->bad || n > (size_t)(r->end - r->at) || (n && memchr(r->at, 0, n))) {
        r->bad = true;
        return SPAN_NONE;
    }
    r->at += n;
    return n ? span_of(r->at - n, n) : SPAN_NONE;
}

static inline void put_time(struct writer *w, int64_t us) { put(w, (uint64_t)us, ENTRY_TIME_MAX); }
static inline int64_t get_time(struct reader *r) { return (int64_t)get(r, ENTRY_TIME_MAX); }

/* ---- usage ---- */

static bool charges_are_same(const struct entry_charge *a, const struct entry_charge *b)
{
    return a->price == b->price && a->unpriced == b->unpriced && a->amount == b->amount;
}

static void put_attempts(struct writer *w, const struct entry_usage *u)
{
    for (unsigned i = 0; i < u->attempts_n && i < LIMIT_ATTEMPTS; i++) {
        const struct entry_attempt *a = &u->attempts[i];
        put(w, a->provider, UINT32_MAX);
        put(w, a->model, UINT32_MAX);
        put(w, a->outcome, ATTEMPT_OUTCOMES - 1);
        put(w, a->status, UINT16_MAX);
        put(w, a->wait_us, UINT32_MAX);
    }
}

static void get_attempts(struct reader *r, struct entry_usage *u)
{
    for (unsigned i = 0; i < u->attempts_n && i < LIMIT_ATTEMPTS; i++) {
        struct entry_attempt *a = &u->attempts[i];
        a->provider = (uint32_t)get(r, UINT32_MAX);
        a->model = (uint32_t)get(r, UINT32_MAX);
        a->outcome = (uint8_t)get(r, ATTEMPT_OUTCOMES - 1);
        a->status = (uint16_t)get(r, UINT16_MAX);
        a->wait_us = (uint32_t)get(r, UINT32_MAX);
    }
}

/* A bit per class that is known, then the counts of those. */
static void put_counts(struct writer *w, const struct usage *u)
{
    uint32_t known = 0;
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        known |= (uint32_t)(u->count[c] != USAGE_UNKNOWN) << c;
    put(w, known, UNPRICED_MAX);
    for (uint32_t left = known; left; left &= left - 1)
        put(w, (uint64_t)u->count[__builtin_ctz(left)], INT64_MAX);
}

static void get_counts(struct reader *r, struct usage *u)
{
    uint32_t known = (uint32_t)get(r, UNPRICED_MAX);
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        u->count[c] = USAGE_UNKNOWN;
    for (uint32_t left = r->bad ? 0 : known; left; left &= left - 1)
        u->count[__builtin_ctz(left)] = (int64_t)get(r, INT64_MAX);
}

static void put_charge(struct writer *w, const struct entry_charge *c)
{
    put(w, c->price, UINT32_MAX);
    put(w, c->unpriced, UNPRICED_MAX);
    put_money(w, c->amount);
}

static void get_charge(struct reader *r, struct entry_charge *ret)
{
    ret->price = (uint32_t)get(r, UINT32_MAX);
    ret->unpriced = (uint32_t)get(r, UNPRICED_MAX);
    ret->amount = get_money(r);
}

static void put_usage(struct writer *w, const struct entry_usage *u)
{
    bool at_cost = charges_are_same(&u->buy, &u->sell);
    put(w, (u->stream ? FLAG_STREAM : 0) | (u->recovered ? FLAG_RECOVERED : 0) | (at_cost ? FLAG_AT_COST : 0), FLAGS_MAX);
    put_time(w, u->booked_us);
    w->bad |= u->wall_us < 0 || u->wall_us > ENTRY_TIME_MAX;
    put_signed(w, w->bad ? 0 : u->booked_us - u->wall_us);
#define NUMBER(field, max, sentence) put(w, u->field, max);
#include "ledger/entry_usage.def"
#undef NUMBER
    put_attempts(w, u);
    put_counts(w, &u->usage);
    put_charge(w, &u->buy);
    if (!at_cost)
        put_charge(w, &u->sell);
    put_money(w, u->held);
    put(w, (uint64_t)u->provider_cost_nano + 1, INT64_MAX);
}

static void get_usage(struct reader *r, struct entry_usage *u)
{
    unsigned flags = (unsigned)get(r, FLAGS_MAX);
    int64_t ago;
    u->stream = flags & FLAG_STREAM;
    u->recovered = flags & FLAG_RECOVERED;
    u->booked_us = get_time(r);
    if (r->bad || __builtin_sub_overflow(u->booked_us, ago = get_signed(r), &u->wall_us) || u->wall_us < 0 || u->wall_us > ENTRY_TIME_MAX)
        r->bad = true;
#define NUMBER(field, max, sentence) u->field = (__typeof__(u->field))get(r, max);
#include "ledger/entry_usage.def"
#undef NUMBER
    get_attempts(r, u);
    get_counts(r, &u->usage);
    get_charge(r, &u->buy);
    u->sell = u->buy;
    if (!(flags & FLAG_AT_COST)) {
        get_charge(r, &u->sell);
        r->bad |= charges_are_same(&u->buy, &u->sell);
    }
    u->held = get_money(r);
    u->provider_cost_nano = (int64_t)get(r, INT64_MAX) - 1;
}

/* ---- the other kinds ---- */

static void put_transfer(struct writer *w, const struct entry_transfer *t)
{
    w->bad |= !t->debit || !t->credit || !t->currency;
    put(w, t->debit, UINT32_MAX);
    put(w, t->credit, UINT32_MAX);
    put(w, t->currency, UINT32_MAX);
    put_money(w, t->amount);
}

static void get_transfer(struct reader *r, struct entry_transfer *t)
{
    t->debit = (uint32_t)get(r, UINT32_MAX);
    t->credit = (uint32_t)get(r, UINT32_MAX);
    t->currency = (uint32_t)get(r, UINT32_MAX);
    t->amount = get_money(r);
    r->bad |= !t->debit || !t->credit || !t->currency;
}

static void put_posting(struct writer *w, const struct entry_posting *p)
{
    w->bad |= !p->key.n;
    put_time(w, p->booked_us);
    put(w, p->cause, POSTING_CAUSES - 1);
    put(w, p->refers_to, INT64_MAX);
    put_text(w, p->key, ENTRY_BODY_BYTES_MAX);
    put_text(w, p->memo, ENTRY_BODY_BYTES_MAX);
    put_text(w, p->detail, ENTRY_BODY_BYTES_MAX);
    put(w, p->transfers_n, POSTING_TRANSFERS_MAX);
    for (unsigned i = 0; i < p->transfers_n && i < POSTING_TRANSFERS_MAX; i++)
        put_transfer(w, &p->transfers[i]);
}

static void get_posting(struct reader *r, struct entry_posting *p)
{
    p->booked_us = get_time(r);
    p->cause = (enum posting_cause)get(r, POSTING_CAUSES - 1);
    p->refers_to = get(r, INT64_MAX);
    p->key = get_text(r, ENTRY_BODY_BYTES_MAX);
    p->memo = get_text(r, ENTRY_BODY_BYTES_MAX);
    p->detail = get_text(r, ENTRY_BODY_BYTES_MAX);
    p->transfers_n = (unsigned)get(r, POSTING_TRANSFERS_MAX);
    r->bad |= !p->key.n;
    for (unsigned i = 0; !r->bad && i < p->transfers_n; i++)
        get_transfer(r, &p->transfers[i]);
}

static void put_summary(struct writer *w, const struct entry_summary *s)
{
    w->bad |= s->from_seq >= s->until_seq || s->usage_n > s->until_seq - s->from_seq;
    put_time(w, s->booked_us);
    put(w, s->from_seq, INT64_MAX);
    put(w, s->until_seq, INT64_MAX);
    put(w, s->usage_n, INT64_MAX);
    memcpy(w->at, s->rollup_digest, sizeof s->rollup_digest);
    w->at += sizeof s->rollup_digest;
}

static void get_summary(struct reader *r, struct entry_summary *s)
{
    s->booked_us = get_time(r);
    s->from_seq = get(r, INT64_MAX);
    s->until_seq = get(r, INT64_MAX);
    s->usage_n = get(r, INT64_MAX);
    r->bad |= s->from_seq >= s->until_seq || s->usage_n > s->until_seq - s->from_seq;
    if (r->bad || (size_t)(r->end - r->at) < sizeof s->rollup_digest) {
        r->bad = true;
        return;
    }
    memcpy(s->rollup_digest, r->at, sizeof s->rollup_digest);
    r->at += sizeof s->rollup_digest;
}

/* ---- entries ---- */

static size_t bytes_max(const struct entry *e)
{
    switch (e->kind) {
    case ENTRY_NAME:
    case ENTRY_PRICE: return 16 + e->text.n;
    case ENTRY_USAGE: return USAGE_BYTES_MAX;
    case ENTRY_POSTING:
        return 128 + e->posting.key.n + e->posting.memo.n + e->posting.detail.n + POSTING_TRANSFERS_MAX * (15 + MONEY_VARINT_BYTES);
    case ENTRY_SUMMARY: return 128;
    }
    return 16;
}

static size_t text_bytes_max(enum entry_kind k) { return k == ENTRY_NAME ? ENTRY_NAME_BYTES_MAX : ENTRY_PRICE_BYTES_MAX; }

static void put_entry(struct writer *w, const struct entry *e)
{
    put(w, e->kind, ENTRY_SUMMARY);
    put(w, FORM_VERSION, FORM_VERSION);
    switch (e->kind) {
    case ENTRY_NAME:
    case ENTRY_PRICE:
        w->bad |= !e->number || !e->text.n;
        put(w, e->number, UINT32_MAX);
        put_text(w, e->text, text_bytes_max(e->kind));
        return;
    case ENTRY_USAGE: put_usage(w, &e->usage); return;
    case ENTRY_POSTING: put_posting(w, &e->posting); return;
    case ENTRY_SUMMARY: put_summary(w, &e->summary); return;
    }
    w->bad = true;
}

enum err entry_encode(const struct entry *e, struct buf *out)
{
    enum err error = buf_reserve(out, bytes_max(e));
    if (error)
        return error;
    uint8_t *start = (uint8_t *)buf_tail(out);
    struct writer w = {.at = start};
    put_entry(&w, e);
    size_t n = (size_t)(w.at - start);
    CHECK(n <= bytes_max(e));
    if (w.bad || n > ENTRY_BODY_BYTES_MAX)
        return ERR_RANGE;
    buf_extend(out, n);
    return ERR_OK;
}

static void get_entry(struct reader *r, struct entry *e)
{
    switch (e->kind) {
    case ENTRY_NAME:
    case ENTRY_PRICE:
        e->number = (uint32_t)get(r, UINT32_MAX);
        e->text = get_text(r, text_bytes_max(e->kind));
        r->bad |= !e->number || !e->text.n;
        return;
    case ENTRY_USAGE: get_usage(r, &e->usage); return;
    case ENTRY_POSTING: get_posting(r, &e->posting); return;
    case ENTRY_SUMMARY: get_summary(r, &e->summary); return;
    }
    r->bad = true;
}

enum err entry_decode(struct span body, struct entry *ret)
{
    if (body.n == 0 || body.n > ENTRY_BODY_BYTES_MAX)
        return ERR_SYNTAX;
    struct reader r = {.at = (const uint8_t *)body.p, .end = (const uint8_t *)body.p + body.n};
    ret->kind = (enum entry_kind)get(&r, ENTRY_SUMMARY);
    r.bad |= get(&r, FORM_VERSION) != FORM_VERSION;
    if (!r.bad)
        get_entry(&r, ret);
    return r.bad || r.at != r.end ? ERR_SYNTAX : ERR_OK;
}
