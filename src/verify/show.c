/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of "what  value", two spaces in. Texts come from a log that somebody else keeps: whatever a terminal might obey is written as \xNN.
 */
#include "verify/show.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/json_scan.h"
#include "ledger/entry.h"

struct show {
    const struct proof *proof;
    struct buf *out;
    char *why;
    struct arena arena;      /* of price lines */
    enum err error;          /* the first; nothing is written after it */
};

__attribute__((format(printf, 3, 4))) static void wrong(struct show *s, enum err e, const char *format, ...)
{
    va_list args;
    if (s->error)
        return;
    va_start(args, format);
    vsnprintf(s->why, PROOF_WHY_BYTES, format, args);
    va_end(args);
    s->error = e;
}

static void put(struct show *s, enum err e)
{
    if (e)
        wrong(s, e, "%s", err_sentence(e));
}

#define PUT(s, ...) put(s, (s)->error ? ERR_OK : buf_printf((s)->out, __VA_ARGS__))

/* A character that is shown as it is: no control character of either kind. 0: its first byte is written in hex. */
static unsigned plain_bytes(const char *p, const char *end)
{
    unsigned n = json_utf8_bytes(p, end);
    unsigned char first = (unsigned char)*p, second = n > 1 ? (unsigned char)p[1] : 0;
    return first < 0x20 || first == 0x7f || (first == 0xc2 && second < 0xa0) ? 0 : n;
}

static void put_text(struct show *s, struct span text)
{
    const char *end = text.n ? text.p + text.n : text.p;
    for (const char *p = text.p; p < end;) {
        unsigned n = plain_bytes(p, end);
        if (n)
            put(s, s->error ? ERR_OK : buf_append(s->out, span_of(p, n)));
        else
            PUT(s, "\\x%02x", (unsigned char)*p);
        p += n ? n : 1;
    }
}

static void label(struct show *s, const char *what) { PUT(s, "  %-14s ", what); }

static void line(struct show *s, const char *what, struct span text)
{
    label(s, what);
    put_text(s, text);
    PUT(s, "\n");
}

static void line_time(struct show *s, const char *what, int64_t us)
{
    char text[CLOCK_RFC3339_BYTES];
    line(s, what, clock_rfc3339_us(text, us));
}

static void line_hex(struct show *s, const char *what, const uint8_t *bytes, size_t n)
{
    char hex[2 * SHA256_BYTES + 1];
    digest_hex(bytes, n, hex);
    line(s, what, span_str(hex));
}

/* ---- what the entry refers to ---- */

/* The text of name or price line `number`, of the entries beside the proved one. They were decoded before, all of them. */
static struct span find_text(const struct show *s, enum entry_kind kind, uint32_t number)
{
    struct entry e;
    for (unsigned i = 1; i < s->proof->leaves_n; i++)
        if (entry_decode(s->proof->leaves[i].bytes, &e) == ERR_OK && e.kind == kind && e.number == number)
            return e.text;
    return SPAN_NONE;
}

/* Each is a name or price line, was in the log before the entry, and is the only one of its number. */
static void check_references(struct show *s)
{
    const struct proof_leaf *leaves = s->proof->leaves;
    struct entry e;
    for (unsigned i = 1; i < s->proof->leaves_n; i++) {
        bool known = entry_decode(leaves[i].bytes, &e) == ERR_OK && (e.kind == ENTRY_NAME || e.kind == ENTRY_PRICE);
        if (!known || leaves[i].index >= leaves[0].index)
            wrong(s, ERR_FORBIDDEN, "entry %" PRIu64 " beside it is no name or price line from before it", leaves[i].index);
        else if (!span_eq(find_text(s, e.kind, e.number), e.text))
            wrong(s, ERR_FORBIDDEN, "the log has two texts for one number of a name or price line, the second in entry %" PRIu64, leaves[i].index);
        if (s->error)
            return;
    }
}

static void put_name(struct show *s, uint32_t number)
{
    struct span text = find_text(s, ENTRY_NAME, number);
    if (text.n || !number)
        put_text(s, text.n ? text : SPAN("-"));
    else
        PUT(s, "name %" PRIu32 ", which the proof does not show", number);
}

static void line_name(struct show *s, const char *what, uint32_t number)
{
    if (!number)
        return;
    label(s, what);
    put_name(s, number);
    PUT(s, "\n");
}

/* ---- usage ---- */

static void show_request(struct show *s, const struct entry_usage *u)
{
    char id[RECORD_ID_BYTES];
    record_id_write(u->issuer, u->counter, id);
    label(s, "request id");
    PUT(s, u->attempt ? "%s, its attempt %u, which was lost\n" : "%s\n", id, u->attempt);
    line_time(s, "began", u->wall_us);
    line_time(s, "booked", u->booked_us);
    label(s, "outcome");
    PUT(s, "%s, status %u%s%s\n", record_outcome_name((enum record_outcome)u->outcome), u->status, u->stream ? ", streamed" : "",
        u->recovered ? ", booked as an estimate after a crash" : "");
}

static void show_who(struct show *s, const struct entry_usage *u)
{
    line_name(s, "key", u->key);
    line_name(s, "department", u->department);
    line_name(s, "party", u->party);
    line_name(s, "model asked", u->model_asked);
    line_name(s, "provider", u->provider);
    line_name(s, "model", u->model);
    line_name(s, "model served", u->model_served);
    line_name(s, "tier", u->tier);
}

static void show_quantities(struct show *s, const struct usage *u)
{
    for (unsigned c = 0; c < USAGE_CLASSES; c++) {
        if (u->count[c] == USAGE_UNKNOWN)
            continue;
        label(s, usage_class_name((enum usage_class)c));
        PUT(s, "%" PRId64 "\n", u->count[c]);
    }
    line(s, "counted by", span_str(usage_source_name(u->source)));
}

static void put_classes(struct show *s, uint32_t classes)
{
    for (unsigned c = 0, n = 0; c < USAGE_CLASSES; c++)
        if (classes >> c & 1)
            PUT(s, "%s%s", n++ ? ", " : "", usage_class_name((enum usage_class)c));
}

/* "1200 x 2.5 + 340 x 10 per million" */
static void show_sum(struct show *s, const struct price_line *price, const struct usage *u)
{
    char text[MONEY_TEXT_BYTES];
    unsigned n = 0;
    label(s, "");
    for (unsigned c = 0; c < USAGE_CLASSES; c++)
        if (u->count[c] > 0 && price->price[c] != PRICE_NONE) /* a price times 10^6 is the amount of a million units */
            PUT(s, "%s%" PRId64 " x %.*s", n++ ? " + " : "= ", u->count[c], SPAN_ARG(money_format(text, (money)price->price[c] * 1000000, 0)));
    PUT(s, "%s\n", n ? " per million" : "nothing that has a price was used");
}

static void show_line(struct show *s, const struct price_line *price)
{
    const struct price_book *b = price->book;
    label(s, "");
    PUT(s, "by price book ");
    put_text(s, span_str(b->name));
    PUT(s, ", from ");
    put_text(s, span_str(b->seller));
    PUT(s, " to ");
    put_text(s, span_str(b->buyer));
    PUT(s, ", source: ");
    put_text(s, span_str(b->source));
    PUT(s, "\n");
}

static void check_charge(struct show *s, const char *what, const struct entry_charge *c, const struct price_line *price, const struct usage *u)
{
    struct charge again;
    price_charge(price, u, &again);
    if (again.amount != c->amount || again.unpriced != c->unpriced)
        wrong(s, ERR_FORBIDDEN, "the entry is in the log, but its amount (%s) is not its quantities times its price line", what);
}

static void show_charge(struct show *s, const char *what, const struct entry_charge *c, const struct usage *u)
{
    char text[MONEY_TEXT_BYTES];
    struct price_line price;
    struct span source = find_text(s, ENTRY_PRICE, c->price);
    bool known = c->price && price_line_parse(&s->arena, source, &price) == ERR_OK;
    if (!c->price && !c->unpriced)
        return;
    label(s, what);
    PUT(s, "%.*s %s", SPAN_ARG(money_format(text, c->amount, 2)), known ? price.book->currency : "");
    if (c->unpriced) {
        PUT(s, ", without a price: ");
        put_classes(s, c->unpriced);
    }
    PUT(s, c->price && !known ? "(price line %" PRIu32 ", which the proof does not show)\n" : "\n", c->price);
    if (!known)
        return;
    show_sum(s, &price, u);
    show_line(s, &price);
    check_charge(s, what, c, &price, u);
}

static void show_usage(struct show *s, const struct entry_usage *u)
{
    line(s, "kind", SPAN("usage of a request"));
    show_request(s, u);
    show_who(s, u);
    show_quantities(s, &u->usage);
    show_charge(s, "bought for", &u->buy, &u->usage);
    show_charge(s, "sold for", &u->sell, &u->usage);
}

/* ---- the other kinds ---- */

static void show_transfer(struct show *s, const struct entry_transfer *t)
{
    char text[MONEY_TEXT_BYTES];
    label(s, "transfer");
    PUT(s, "%.*s ", SPAN_ARG(money_format(text, t->amount, 2)));
    put_name(s, t->currency);
    PUT(s, " from ");
    put_name(s, t->credit);
    PUT(s, " to ");
    put_name(s, t->debit);
    PUT(s, "\n");
}

static void show_posting(struct show *s, const struct entry_posting *p)
{
    label(s, "kind");
    PUT(s, "posting, %s\n", posting_cause_name(p->cause));
    line_time(s, "booked", p->booked_us);
    line(s, "about", p->key);
    if (p->memo.n)
        line(s, "memo", p->memo);
    if (p->refers_to) {
        label(s, "corrects");
        PUT(s, "entry %" PRIu64 "\n", p->refers_to - 1);
    }
    for (unsigned i = 0; i < p->transfers_n; i++)
        show_transfer(s, &p->transfers[i]);
    if (p->detail.n)
        line(s, "computed from", p->detail);
}

static void show_summary(struct show *s, const struct entry_summary *e)
{
    line(s, "kind", SPAN("summary of usage that was compacted"));
    line_time(s, "booked", e->booked_us);
    label(s, "replaces");
    PUT(s, "%" PRIu64 " usage entries of entries %" PRIu64 " to %" PRIu64 "\n", e->usage_n, e->from_seq, e->until_seq - 1);
    line_hex(s, "digest", e->rollup_digest, sizeof e->rollup_digest);
}

static void show_definition(struct show *s, const char *what, const struct entry *e)
{
    label(s, "kind");
    PUT(s, "%s %" PRIu32 "\n", what, e->number);
    line(s, "text", e->text);
}

static void show_kind(struct show *s, const struct entry *e)
{
    switch (e->kind) {
    case ENTRY_NAME: show_definition(s, "name", e); return;
    case ENTRY_PRICE: show_definition(s, "price line", e); return;
    case ENTRY_USAGE: show_usage(s, &e->usage); return;
    case ENTRY_POSTING: show_posting(s, &e->posting); return;
    case ENTRY_SUMMARY: show_summary(s, &e->summary); return;
    }
}

/* ---- proofs ---- */

static void show_checkpoint(struct show *s, const char *what, const struct checkpoint *c)
{
    label(s, what);
    put_text(s, c->origin);
    PUT(s, ", %" PRIu64 " entries\n", c->size);
    line_hex(s, "root", c->root.bytes, sizeof c->root.bytes);
}

static void show_entry(struct show *s)
{
    const struct proof_leaf *leaf = &s->proof->leaves[0];
    struct entry entry;
    struct hash hash;
    merkle_leaf(leaf->bytes, &hash);
    label(s, "entry");
    PUT(s, "%" PRIu64 "\n", leaf->index);
    line_hex(s, "hash", hash.bytes, sizeof hash.bytes);
    if (entry_decode(leaf->bytes, &entry) != ERR_OK)
        wrong(s, ERR_FORBIDDEN, "entry %" PRIu64 " is in the log, but it is none that this program knows: a newer entente-verify may", leaf->index);
    else
        check_references(s);
    if (!s->error)
        show_kind(s, &entry);
}

enum err show_proof(const struct proof *p, struct buf *out, char why[PROOF_WHY_BYTES])
{
    struct show s = {.proof = p, .out = out, .why = why};
    arena_init(&s.arena, 4096);
    if (p->kind == PROOF_CONSISTENCY) {
        show_checkpoint(&s, "earlier log", &p->earlier);
        show_checkpoint(&s, "is beginning of", &p->checkpoint);
    } else {
        show_checkpoint(&s, "log", &p->checkpoint);
        show_entry(&s);
    }
    arena_fini(&s.arena);
    return s.error;
}
