/* SPDX-License-Identifier: Apache-2.0
 *
 * One pass over the log. Lines are interned by digest, so that "the same line" is an equal number. Entries that go the same way are a group, one
 * correction; a stream remembers where the last entry of one kind went, so that a range ends where entries of the same kind go another way.
 */
#include "report/rerate.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/index.h"
#include "base/limits.h"
#include "report/postings.h"
#include "report/rerate_detail.h"

#define RANGES_MAX 300u /* of one correction: its detail must fit an entry. More make another correction */

#define PROGRESS_EVERY 16384u

/* What is looked at: one leg of one usage entry. */
struct leg {
    bool sell;
    uint32_t provider, model, buyer;
    uint32_t old_line, new_line; /* interned; 0: none */
};

struct group {
    struct leg leg;
    struct rerate_sum sum;
    unsigned ranges_room;
    bool full;
};

struct stream {
    struct leg leg;              /* new_line is not its own */
    uint32_t group;              /* where the last one went, plus one; 0: nowhere */
};

struct cover { /* a correction that was booked */
    struct leg leg;
    struct rerate_range *ranges;
    unsigned ranges_n;
};

struct rerate {
    const struct rerate_options *o;
    struct rerating *out;
    struct arena *arena;
    const struct price_line **lines; /* interned, from 1 */
    uint32_t lines_n, lines_room;
    uint32_t *of_price;              /* by number of a price in the books: the interned line */
    struct cover *covers;
    unsigned covers_n;
    struct group *groups;
    struct stream *streams;
    uint32_t groups_n, groups_room, streams_n, streams_room;
    struct index group_index, stream_index;
    struct period period;
    uint64_t from_seq;
};

/* ---- lines ---- */

static uint32_t intern(struct rerate *r, const struct price_line *line)
{
    if (!line)
        return 0;
    for (uint32_t i = 1; i <= r->lines_n; i++)
        if (r->lines[i] == line || memcmp(r->lines[i]->digest, line->digest, PRICE_DIGEST_BYTES) == 0)
            return i;
    if (r->lines_n + 1 >= r->lines_room) {
        r->lines_room = r->lines_room ? r->lines_room * 2 : 64;
        CHECK((r->lines = realloc(r->lines, r->lines_room * sizeof *r->lines)));
    }
    r->lines[++r->lines_n] = line;
    return r->lines_n;
}

static void intern_prices(struct rerate *r)
{
    uint32_t n = books_prices_n(r->o->books);
    r->of_price = ARENA_ARRAY(r->arena, uint32_t, n + 1);
    for (uint32_t i = 1; i <= n; i++)
        r->of_price[i] = intern(r, books_price(r->o->books, i));
}

/* ---- corrections that were booked ---- */

static uint32_t number_of_name(struct rerate *r, struct span name) { return name.n ? books_name_id(r->o->books, name) : 0; }

/* False when it is none of ours. */
static bool read_cover(struct rerate *r, const struct posting_row *p, struct cover *c)
{
    struct rerate_detail d;
    if (p->cause != POSTING_CORRECTION || !span_starts(p->key, SPAN("rerate:")) || rerate_read_detail(r->arena, p->detail, &d) != ERR_OK)
        return false;
    *c = (struct cover){.leg = {d.sell, number_of_name(r, d.provider), number_of_name(r, d.model), number_of_name(r, d.buyer), intern(r, d.old_line),
                                intern(r, d.new_line)},
                        .ranges = d.sum.ranges, .ranges_n = d.sum.ranges_n};
    return true;
}

static enum err read_covers(struct rerate *r)
{
    struct postings postings;
    enum err e = postings_read(r->arena, r->o->books, r->o->zone, &postings);
    if (e)
        return e;
    r->covers = ARENA_ARRAY(r->arena, struct cover, postings.n);
    for (unsigned i = 0; i < postings.n; i++)
        r->covers_n += read_cover(r, &postings.rows[i], &r->covers[r->covers_n]);
    return ERR_OK;
}

static bool is_in_ranges(const struct cover *c, uint64_t seq)
{
    unsigned low = 0, high = c->ranges_n;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (c->ranges[middle].last < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->ranges_n && c->ranges[low].first <= seq;
}

/* Who and whom; not the lines. */
static bool is_same_kind(const struct leg *a, const struct leg *b)
{
    return a->sell == b->sell && a->provider == b->provider && a->model == b->model && a->buyer == b->buyer;
}

static uint32_t effective_line(const struct rerate *r, const struct leg *leg, uint64_t seq)
{
    uint32_t line = leg->old_line;
    for (unsigned i = 0; i < r->covers_n; i++)
        if (r->covers[i].leg.old_line == line && is_same_kind(&r->covers[i].leg, leg) && is_in_ranges(&r->covers[i], seq))
            line = r->covers[i].leg.new_line;
    return line;
}

/* ---- groups and streams ---- */

static uint32_t hash_leg(const struct leg *leg, bool with_new, uint64_t period)
{
    uint64_t who = (uint64_t)leg->provider << 32 | leg->model, what = (uint64_t)leg->buyer << 32 | leg->old_line;
    return index_hash_u64(who ^ (uint64_t)index_hash_u64(what, with_new ? leg->new_line + 1 : 0) << 20, period * 2 + leg->sell);
}

static struct stream *stream_of(struct rerate *r, const struct leg *leg)
{
    uint32_t hash = hash_leg(leg, false, 0);
    for (uint32_t at = index_first(&r->stream_index, hash), i; (i = index_item(&r->stream_index, hash, &at)); at++)
        if (is_same_kind(&r->streams[i - 1].leg, leg) && r->streams[i - 1].leg.old_line == leg->old_line)
            return &r->streams[i - 1];
    if (r->streams_n == r->streams_room) {
        r->streams_room = r->streams_room ? r->streams_room * 2 : 64;
        CHECK((r->streams = realloc(r->streams, r->streams_room * sizeof *r->streams)));
    }
    r->streams[r->streams_n] = (struct stream){.leg = *leg};
    index_insert(&r->stream_index, hash, ++r->streams_n);
    return &r->streams[r->streams_n - 1];
}

static bool is_group(const struct group *g, const struct leg *leg, const char *period)
{
    bool same_lines = g->leg.old_line == leg->old_line && g->leg.new_line == leg->new_line;
    return !g->full && same_lines && is_same_kind(&g->leg, leg) && strcmp(g->sum.period, period) == 0;
}

/* Its number, plus one. */
static uint32_t group_of(struct rerate *r, const struct leg *leg)
{
    uint32_t hash = hash_leg(leg, true, (uint64_t)r->period.from_us);
    for (uint32_t at = index_first(&r->group_index, hash), i; (i = index_item(&r->group_index, hash, &at)); at++)
        if (is_group(&r->groups[i - 1], leg, r->period.label))
            return i;
    if (r->groups_n == r->groups_room) {
        r->groups_room = r->groups_room ? r->groups_room * 2 : 64;
        CHECK((r->groups = realloc(r->groups, r->groups_room * sizeof *r->groups)));
    }
    struct group *g = &r->groups[r->groups_n];
    *g = (struct group){.leg = *leg};
    memcpy(g->sum.period, r->period.label, sizeof g->sum.period);
    index_insert(&r->group_index, hash, ++r->groups_n);
    return r->groups_n;
}

static void begin_range(struct rerate *r, struct group *g, uint64_t seq)
{
    struct rerate_sum *s = &g->sum;
    if (s->ranges_n == g->ranges_room) {
        unsigned room = g->ranges_room ? g->ranges_room * 2 : 4;
        struct rerate_range *bigger = ARENA_ARRAY(r->arena, struct rerate_range, room);
        if (s->ranges_n)
            memcpy(bigger, s->ranges, s->ranges_n * sizeof *bigger);
        s->ranges = bigger;
        g->ranges_room = room;
    }
    s->ranges[s->ranges_n++] = (struct rerate_range){seq, seq};
}

/* The stream's range goes on, or a new one begins: in the same group, or in another when that one is full. */
static struct group *continue_range(struct rerate *r, struct stream *stream, const struct leg *leg, uint64_t seq)
{
    uint32_t number = group_of(r, leg);
    struct group *g = &r->groups[number - 1];
    if (stream->group == number) {
        g->sum.ranges[g->sum.ranges_n - 1].last = seq;
        return g;
    }
    if (g->sum.ranges_n == RANGES_MAX) {
        g->full = true;
        number = group_of(r, leg);
        g = &r->groups[number - 1];
    }
    begin_range(r, g, seq);
    stream->group = number;
    return g;
}

static enum err add_usage(struct group *g, const struct usage *u)
{
    bool fits = true;
    g->sum.entries++;
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        if (u->count[c] > 0)
            fits = !__builtin_add_overflow(g->sum.count[c], u->count[c], &g->sum.count[c]) && fits;
    return fits ? ERR_OK : ERR_RANGE;
}

static enum err take_leg(struct rerate *r, uint64_t seq, struct leg leg, const struct usage *u)
{
    leg.old_line = effective_line(r, &leg, seq);
    struct stream *stream = stream_of(r, &leg);
    if (!leg.new_line || leg.new_line == leg.old_line) {
        stream->group = 0;
        return ERR_OK;
    }
    return add_usage(continue_range(r, stream, &leg, seq), u);
}

/* ---- the pass ---- */

static bool is_used(const struct usage *u)
{
    bool used = false;
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        used = used || u->count[c] > 0;
    return used;
}

static enum err take_usage(struct rerate *r, uint64_t seq, const struct entry_usage *u)
{
    struct books *b = r->o->books;
    int64_t input = usage_total(&u->usage, USAGE_SIDE_INPUT);
    const struct price_facts facts = {.provider = books_name(b, u->provider), .model = books_name(b, u->model), .tier = books_name(b, u->tier),
                                      .at_us = u->wall_us, .known_us = r->o->now_us, .input_tokens = input < 0 ? 0 : input};
    uint32_t buyer = u->department ? u->department : u->party;
    if (!u->provider || !is_used(&u->usage))
        return ERR_OK;
    r->out->looked_at++;
    if (u->booked_us < r->period.from_us || u->booked_us >= r->period.until_us)
        period_at(r->o->zone, r->o->unit, u->booked_us, &r->period);
    uint32_t bought = intern(r, price_find_buy(r->o->prices, &facts));
    enum err e = take_leg(r, seq, (struct leg){false, u->provider, u->model, 0, r->of_price[u->buy.price], bought}, &u->usage);
    if (e || !buyer)
        return e;
    uint32_t sold = intern(r, price_find_sell(r->o->prices, books_name(b, buyer), &facts));
    return take_leg(r, seq, (struct leg){true, u->provider, u->model, buyer, r->of_price[u->sell.price], sold ? sold : bought}, &u->usage);
}

static enum err on_entry(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    struct rerate *r = owner;
    if (r->o->progress && seq % PROGRESS_EVERY == 0)
        r->o->progress(r->o->owner, seq - r->from_seq, books_size(r->o->books) - r->from_seq);
    if (e->kind == ENTRY_USAGE)
        return take_usage(r, seq, &e->usage);
    if (e->kind != ENTRY_SUMMARY || e->summary.until_seq <= r->from_seq)
        return ERR_OK;
    snprintf(r->out->why, sizeof r->out->why,
             "usage in entries %llu to %llu was compacted into summaries, so its single requests cannot be re-rated; begin later with --from",
             (unsigned long long)e->summary.from_seq, (unsigned long long)e->summary.until_seq - 1);
    return ERR_NOT_FOUND;
}

/* ---- corrections ---- */

static const char *account_text(struct rerate *r, enum err e, struct buf *b)
{
    const char *text = e ? NULL : arena_strdup(r->arena, buf_span(b));
    buf_clear(b);
    return text;
}

static struct posting_transfer transfer(struct rerate *r, const struct rerate_correction *c, const struct price_line *line, money amount)
{
    struct buf b;
    buf_init(&b, ENTRY_NAME_BYTES_MAX);
    const char *debit = account_text(r, c->sell ? account_receivable(&b, c->buyer) : account_expense(&b, c->provider, c->model), &b);
    const char *credit = account_text(r, c->sell ? account_income(&b, c->buyer) : account_payable(&b, span_str(line->book->seller), c->provider), &b);
    buf_fini(&b);
    bool back = amount < 0;
    return (struct posting_transfer){back ? credit : debit, back ? debit : credit, line->book->currency, back ? -amount : amount};
}

static bool is_same_pair(const struct rerate_correction *c)
{
    const struct price_book *a = c->old_line ? c->old_line->book : NULL, *b = c->new_line->book;
    return a && strcmp(a->currency, b->currency) == 0 && (c->sell || strcmp(a->seller, b->seller) == 0);
}

/* One difference between the same two accounts, else all back and all anew. */
static void make_transfers(struct rerate *r, struct rerate_correction *c)
{
    if (is_same_pair(c)) {
        if (c->new_amount != c->old_amount)
            c->transfers[c->transfers_n++] = transfer(r, c, c->new_line, c->new_amount - c->old_amount);
        return;
    }
    if (c->old_line && c->old_amount)
        c->transfers[c->transfers_n++] = transfer(r, c, c->old_line, -c->old_amount);
    if (c->new_amount)
        c->transfers[c->transfers_n++] = transfer(r, c, c->new_line, c->new_amount);
}

static struct span text_memo(struct rerate *r, const struct rerate_correction *c)
{
    struct span was = c->old_line ? arena_printf(r->arena, "instead of book %s (%s)", c->old_line->book->name, c->old_line->book->source)
                                  : SPAN("which had no price");
    return arena_printf(r->arena, "%lld requests of %s for %.*s at %.*s by price book %s (%s) %.*s", (long long)c->entries, c->period,
                        SPAN_ARG(c->model), SPAN_ARG(c->provider), c->new_line->book->name, c->new_line->book->source, SPAN_ARG(was));
}

static enum err make_correction(struct rerate *r, const struct group *g, struct rerate_correction *c)
{
    struct books *b = r->o->books;
    *c = (struct rerate_correction){.sell = g->leg.sell, .provider = books_name(b, g->leg.provider), .model = books_name(b, g->leg.model),
                                    .buyer = books_name(b, g->leg.buyer), .old_line = g->leg.old_line ? r->lines[g->leg.old_line] : NULL,
                                    .new_line = r->lines[g->leg.new_line], .entries = g->sum.entries};
    memcpy(c->period, g->sum.period, sizeof c->period);
    const struct rerate_detail d = {.sell = c->sell, .provider = c->provider, .model = c->model, .buyer = c->buyer, .old_line = c->old_line,
                                    .new_line = c->new_line, .sum = g->sum};
    enum err e = rerate_write_detail(r->arena, &d, &c->detail, &c->old_amount, &c->new_amount);
    if (e)
        return e;
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    digest_sha256(c->detail, digest);
    digest_hex(digest, sizeof digest, hex);
    c->key = arena_printf(r->arena, "rerate:%.32s", hex);
    c->memo = text_memo(r, c);
    make_transfers(r, c);
    return ERR_OK;
}

static enum err make_corrections(struct rerate *r)
{
    r->out->corrections = ARENA_ARRAY(r->arena, struct rerate_correction, r->groups_n);
    for (uint32_t i = 0; i < r->groups_n; i++) {
        struct rerate_correction *c = &r->out->corrections[r->out->n];
        enum err e = make_correction(r, &r->groups[i], c);
        if (e)
            return e;
        r->out->n += c->transfers_n > 0; /* another line at the same price moves no money */
    }
    return ERR_OK;
}

static enum err pass(struct rerate *r)
{
    uint64_t until = books_size(r->o->books);
    intern_prices(r);
    enum err e = read_covers(r);
    if (!e)
        e = books_range(r->o->books, r->o->from_us, INT64_MAX, &r->from_seq, &until);
    if (!e)
        e = books_each(r->o->books, r->from_seq, books_size(r->o->books), on_entry, r);
    return e ? e : make_corrections(r);
}

enum err rerate_make(const struct rerate_options *o, struct rerating *ret)
{
    *ret = (struct rerating){.n = 0};
    arena_init(&ret->arena, 16 * KIB);
    struct rerate r = {.o = o, .out = ret, .arena = &ret->arena, .period = {.from_us = INT64_MAX}};
    enum err e = pass(&r);
    if (e && !*ret->why)
        snprintf(ret->why, sizeof ret->why, "%s", err_sentence(e));
    free(r.lines);
    free(r.groups);
    free(r.streams);
    index_fini(&r.group_index);
    index_fini(&r.stream_index);
    return e;
}

void rerate_fini(struct rerating *r)
{
    arena_fini(&r->arena);
    *r = (struct rerating){.n = 0};
}
