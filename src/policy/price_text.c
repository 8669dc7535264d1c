/* SPDX-License-Identifier: Apache-2.0
 *
 * The canonical text of a line: what is hashed, kept in the log and read again by whoever checks an amount.
 *
 *   book=azure<TAB>seller=microsoft<TAB>…<TAB>model=gpt-5.6-luna<TAB>provider=azure-gl<TAB>input=200000000<TAB>output=1200000000
 *
 * Fields stand in the order of the table below and only when they say something: no `until` means for ever, no `tier` every tier, no `above` from the
 * first token, no `clock` always, no class no price. Times are microseconds since 1970, prices counts of 10^-9 per 1,000,000. In texts, bytes below
 * space, DEL and '%' are %XX. One line has one text: the reader writes what it has read and refuses what was not written so.
 */
#include "base/digest.h"
#include "policy/price_seal.h"

/* ---- writing ---- */

static enum err write_escaped(struct buf *out, struct span text)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < text.n && !e; i++) {
        unsigned char c = (unsigned char)text.p[i];
        e = c < ' ' || c == 0x7f || c == '%' ? buf_printf(out, "%%%02X", c) : buf_append(out, span_of(&text.p[i], 1));
    }
    return e;
}

static enum err write_text(struct buf *out, const char *key, struct span text)
{
    enum err e = buf_append(out, span_str(key));
    return e ? e : write_escaped(out, text);
}

static enum err write_number(struct buf *out, const char *key, int64_t number)
{
    return buf_printf(out, "\t%s=%lld", key, (long long)number);
}

/* "0-1440/127": minutes of the day, then the days as a number. */
static enum err write_clock(struct buf *out, const struct price_clock *c)
{
    return buf_printf(out, "\tclock=%u-%u/%u", c->from_minute, c->until_minute, c->days);
}

static enum err write_book(struct buf *out, const struct price_book *b)
{
    const struct { const char *key, *text; } texts[] = {
        {"book=", b->name}, {"\tseller=", b->seller}, {"\tbuyer=", b->buyer}, {"\tcurrency=", b->currency}, {"\tsource=", b->source}};
    enum err e = ERR_OK;
    for (size_t i = 0; i < COUNT_OF(texts) && !e; i++)
        e = write_text(out, texts[i].key, span_str(texts[i].text));
    e = e ? e : write_number(out, "from", b->valid_from_us);
    if (!e && b->valid_until_us != PRICE_TIME_MAX)
        e = write_number(out, "until", b->valid_until_us);
    return e ? e : write_number(out, "known", b->known_from_us);
}

static enum err write_conditions(struct buf *out, const struct price_line *line)
{
    enum err e = write_text(out, "\tmodel=", line->model);
    e = e ? e : write_text(out, "\tprovider=", line->provider);
    if (!e && line->tier[0])
        e = write_text(out, "\ttier=", span_str(line->tier));
    if (!e && line->above_input)
        e = write_number(out, "above", line->above_input);
    return !e && line->clock.days ? write_clock(out, &line->clock) : e;
}

enum err price_line_write(const struct price_line *line, struct buf *out)
{
    enum err e = write_book(out, line->book);
    e = e ? e : write_conditions(out, line);
    for (unsigned i = 0; i < USAGE_CLASSES && !e; i++)
        if (line->price[i] != PRICE_NONE)
            e = write_number(out, usage_class_name((enum usage_class)i), line->price[i]);
    return e;
}

/* ---- reading ---- */

struct parts { /* of a line that is being read */
    struct arena *arena;
    struct price_book *book;
    struct price_line *line;
};

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool unescape(struct arena *a, struct span text, const char **ret)
{
    char *out = arena_alloc(a, text.n + 1), *at = out;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '%') {
            *at++ = text.p[i];
            continue;
        }
        int high = i + 2 < text.n ? digit_of(text.p[i + 1]) : -1, low = high >= 0 ? digit_of(text.p[i + 2]) : -1;
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *at++ = (char)(high * 16 + low);
        i += 2;
    }
    *at = '\0';
    *ret = out;
    return memchr(out, 0, (size_t)(at - out)) == NULL;
}

static bool parse_i64(struct span text, int64_t *ret)
{
    bool negative = span_starts(text, SPAN("-"));
    uint64_t magnitude;
    if (!span_to_u64(span_from(text, negative), &magnitude) || magnitude > INT64_MAX)
        return false;
    *ret = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

static bool parse_below(struct span text, uint64_t max, uint64_t *ret)
{
    return span_to_u64(text, ret) && *ret <= max;
}

static bool parse_clock(struct span text, struct price_clock *ret)
{
    uint64_t from, until, days;
    struct span first = span_cut(&text, '-'), second = span_cut(&text, '/');
    if (!parse_below(first, 1439, &from) || !parse_below(second, 1440, &until) || !parse_below(text, 127, &days) || days == 0 || from == until)
        return false;
    *ret = (struct price_clock){(uint16_t)from, (uint16_t)until, (uint8_t)days};
    return true;
}

static bool parse_currency(struct span text, char ret[CURRENCY_BYTES])
{
    return currency_parse(text, ret) && span_eq(span_str(ret), text);
}

static bool parse_class(struct price_line *line, struct span key, struct span value)
{
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        if (span_eq(key, span_str(usage_class_name((enum usage_class)i))))
            return parse_i64(value, &line->price[i]) && line->price[i] >= 0;
    return false;
}

static bool parse_name(struct parts *p, struct span value, struct span *ret)
{
    const char *text;
    if (!unescape(p->arena, value, &text))
        return false;
    *ret = span_str(text);
    return ret->n > 0;
}

static bool parse_book_field(struct parts *p, struct span key, struct span value, bool *ret_ok)
{
    const struct { struct span key; const char **to; } texts[] = {
        {SPAN("book"), &p->book->name}, {SPAN("seller"), &p->book->seller}, {SPAN("buyer"), &p->book->buyer}, {SPAN("source"), &p->book->source},
        {SPAN("tier"), &p->line->tier}};
    const struct { struct span key; int64_t *to; } numbers[] = {
        {SPAN("from"), &p->book->valid_from_us}, {SPAN("until"), &p->book->valid_until_us}, {SPAN("known"), &p->book->known_from_us},
        {SPAN("above"), &p->line->above_input}};
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (span_eq(key, texts[i].key)) {
            *ret_ok = unescape(p->arena, value, texts[i].to);
            return true;
        }
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        if (span_eq(key, numbers[i].key)) {
            *ret_ok = parse_i64(value, numbers[i].to);
            return true;
        }
    return false;
}

static bool parse_field(struct parts *p, struct span key, struct span value)
{
    bool ok;
    if (parse_book_field(p, key, value, &ok))
        return ok;
    if (span_eq(key, SPAN("currency")))
        return parse_currency(value, p->book->currency);
    if (span_eq(key, SPAN("model")))
        return parse_name(p, value, &p->line->model);
    if (span_eq(key, SPAN("provider")))
        return parse_name(p, value, &p->line->provider);
    if (span_eq(key, SPAN("clock")))
        return parse_clock(value, &p->line->clock);
    return parse_class(p->line, key, value);
}

/* Does this line, written, give these very bytes? Then no field was missing, doubled, out of order or written another way. */
static enum err check_canonical(const struct price_line *line, struct span text)
{
    struct buf again;
    buf_init(&again, PRICE_TEXT_BYTES_MAX);
    enum err e = price_line_write(line, &again);
    if (!e && !span_eq(buf_span(&again), text))
        e = ERR_SYNTAX;
    buf_fini(&again);
    return e;
}

static enum err parse(struct parts *p, struct span text)
{
    for (struct span rest = text; rest.p;) {
        struct span field = span_cut(&rest, '\t'), key = span_cut(&field, '=');
        if (!field.p || !parse_field(p, key, field))
            return ERR_SYNTAX;
    }
    if (p->book->valid_until_us <= p->book->valid_from_us || p->line->above_input < 0 || !p->line->model.n || !p->line->provider.n)
        return ERR_SYNTAX;
    return check_canonical(p->line, text);
}

enum err price_line_parse(struct arena *a, struct span text, struct price_line *ret)
{
    struct price_book *book = ARENA_NEW(a, struct price_book);
    struct price_line line = {.book = book, .tier = ""};
    if (text.n == 0 || text.n > PRICE_TEXT_BYTES_MAX)
        return ERR_SYNTAX;
    *book = (struct price_book){.name = "", .seller = "", .buyer = "", .source = "", .valid_until_us = PRICE_TIME_MAX, .place = "log", .at.file = "log"};
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        line.price[i] = PRICE_NONE;
    enum err e = parse(&(struct parts){a, book, &line}, text);
    if (e)
        return e;
    line.at.file = "log";
    line.text = arena_strdup(a, text);
    digest_sha256(text, line.digest);
    *ret = line;
    return ERR_OK;
}
