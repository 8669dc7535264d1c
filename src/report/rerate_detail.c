/* SPDX-License-Identifier: Apache-2.0
 *
 * Whoever reads a detail computes it again: quantities times the prices of both texts must be the amounts that it states.
 */
#include "report/rerate_detail.h"

#include "base/digest.h"
#include "base/limits.h"
#include "dialect/json_out.h"
#include "report/json_member.h"
#include "report/rerate.h"

#define DETAIL_BYTES_MAX (14u * KIB)
#define RANGES_MAX 4096u

/* What the quantities come to by a line; classes without a price are nothing. */
static enum err amount_of(const struct price_line *line, const int64_t *count, money *ret)
{
    money sum = 0;
    for (unsigned c = 0; c < USAGE_CLASSES && line; c++)
        if (line->price[c] != PRICE_NONE && !money_add(sum, money_of(count[c], line->price[c]), &sum))
            return ERR_RANGE;
    *ret = sum;
    return ERR_OK;
}

/* ---- writing ---- */

static void write_price(struct json_out *o, const char *key, const struct price_line *line)
{
    char hex[2 * PRICE_DIGEST_BYTES + 1];
    json_out_key(o, key);
    if (!line) {
        json_out_raw(o, SPAN("null"));
        return;
    }
    digest_hex(line->digest, sizeof line->digest, hex);
    json_out_open(o, '{');
    json_member_text(o, "digest", span_str(hex));
    json_member_text(o, "book", span_str(line->book->name));
    json_member_text(o, "seller", span_str(line->book->seller));
    json_member_text(o, "currency", span_str(line->book->currency));
    json_member_text(o, "text", span_str(line->text));
    json_out_close(o, '}');
}

static void write_sums(struct json_out *o, const struct rerate_sum *s)
{
    json_out_key(o, "usage");
    json_out_open(o, '{');
    for (unsigned c = 0; c < USAGE_CLASSES; c++) {
        if (!s->count[c])
            continue;
        json_out_key(o, usage_class_name((enum usage_class)c));
        json_out_int(o, s->count[c]);
    }
    json_out_close(o, '}');
    json_out_key(o, "ranges");
    json_out_open(o, '[');
    for (unsigned i = 0; i < s->ranges_n; i++) {
        json_out_open(o, '[');
        json_out_int(o, (int64_t)s->ranges[i].first);
        json_out_int(o, (int64_t)s->ranges[i].last);
        json_out_close(o, ']');
    }
    json_out_close(o, ']');
}

enum err rerate_write_detail(struct arena *a, const struct rerate_detail *d, struct span *ret, money *ret_old, money *ret_new)
{
    struct buf b;
    money old_amount, new_amount;
    enum err e = amount_of(d->old_line, d->sum.count, &old_amount);
    if (e || (e = amount_of(d->new_line, d->sum.count, &new_amount)))
        return e;
    buf_init(&b, DETAIL_BYTES_MAX);
    struct json_out o = json_out_begin(&b);
    json_out_open(&o, '{');
    json_member_text(&o, "leg", d->sell ? SPAN("sell") : SPAN("buy"));
    json_member_text(&o, "provider", d->provider);
    json_member_text(&o, "model", d->model);
    json_member_text(&o, "buyer", d->buyer);
    json_member_text(&o, "period", span_str(d->sum.period));
    json_out_key(&o, "entries");
    json_out_int(&o, d->sum.entries);
    write_price(&o, "old", d->old_line);
    write_price(&o, "new", d->new_line);
    json_member_money(&o, "old_amount", old_amount);
    json_member_money(&o, "new_amount", new_amount);
    write_sums(&o, &d->sum);
    json_out_close(&o, '}');
    e = json_out_end(&o);
    if (!e) {
        *ret = arena_dup(a, buf_span(&b));
        *ret_old = old_amount;
        *ret_new = new_amount;
    }
    buf_fini(&b);
    return e;
}

/* ---- reading ---- */

static enum usage_class class_named(struct json_string name)
{
    enum usage_class c = (enum usage_class)0;
    while (c < USAGE_CLASSES && !json_key_is(name, span_str(usage_class_name(c))))
        c = (enum usage_class)(c + 1);
    return c;
}

static enum err read_counts(struct json *j, int64_t *count)
{
    struct json_string key;
    enum err e = json_enter_object(j);
    while (!e && json_next_key(j, &key)) {
        enum usage_class c = class_named(key);
        int64_t n = 0;
        e = c < USAGE_CLASSES ? json_read_i64(j, &n) : ERR_SYNTAX;
        if (!e && n < 0)
            e = ERR_SYNTAX;
        if (!e)
            count[c] = n;
    }
    return e ? e : j->error;
}

static enum err read_range(struct json *j, struct rerate_range *range)
{
    int64_t pair[2] = {-1, -1};
    unsigned n = 0;
    enum err e = json_enter_array(j);
    while (!e && json_next_item(j))
        e = n < 2 ? json_read_i64(j, &pair[n++]) : ERR_SYNTAX;
    *range = (struct rerate_range){(uint64_t)pair[0], (uint64_t)pair[1]};
    return e ? e : j->error ? j->error : pair[0] < 0 || pair[1] < pair[0] ? ERR_SYNTAX : ERR_OK;
}

static enum err read_ranges(struct arena *a, struct json *j, struct rerate_sum *s)
{
    struct rerate_range *ranges = ARENA_ARRAY(a, struct rerate_range, RANGES_MAX);
    unsigned n = 0;
    enum err e = json_enter_array(j);
    for (; !e && json_next_item(j); n++)
        e = n < RANGES_MAX ? read_range(j, &ranges[n]) : ERR_SYNTAX;
    for (unsigned i = 1; i < n && !e; i++)
        e = ranges[i].first > ranges[i - 1].last ? ERR_OK : ERR_SYNTAX;
    s->ranges = ranges;
    s->ranges_n = n;
    return e ? e : j->error;
}

static enum err read_price(struct arena *a, struct span value, const struct price_line **ret)
{
    struct span text, hex;
    struct price_line *line = ARENA_NEW(a, struct price_line);
    char digest[2 * PRICE_DIGEST_BYTES + 1];
    if (span_eq(value, SPAN("null")))
        return ERR_OK;
    if (!json_find_string(a, value, "text", &text) || !json_find_string(a, value, "digest", &hex) || price_line_parse(a, text, line) != ERR_OK)
        return ERR_SYNTAX;
    digest_hex(line->digest, sizeof line->digest, digest);
    *ret = line;
    return span_eq(hex, span_str(digest)) ? ERR_OK : ERR_SYNTAX;
}

static enum err read_text(struct arena *a, struct json *j, struct span *ret)
{
    struct json_string text;
    enum err e = json_read_string(j, &text);
    if (!e)
        *ret = json_unescape(a, text);
    return e;
}

static enum err read_amount(struct arena *a, struct json *j, money *ret)
{
    struct span digits;
    enum err e = read_text(a, j, &digits);
    return e ? e : money_parse_integer(digits, ret);
}

struct stated {
    money old_amount, new_amount;
};

static enum err read_member(struct arena *a, struct json *j, struct json_string key, struct rerate_detail *d, struct stated *stated)
{
    struct span text = SPAN_NONE;
    enum err e;
    if (json_key_is(key, SPAN("usage")))
        return read_counts(j, d->sum.count);
    if (json_key_is(key, SPAN("ranges")))
        return read_ranges(a, j, &d->sum);
    if (json_key_is(key, SPAN("entries")))
        return json_read_i64(j, &d->sum.entries);
    if (json_key_is(key, SPAN("old_amount")))
        return read_amount(a, j, &stated->old_amount);
    if (json_key_is(key, SPAN("new_amount")))
        return read_amount(a, j, &stated->new_amount);
    if (json_key_is(key, SPAN("old")) || json_key_is(key, SPAN("new"))) {
        e = json_skip(j, &text);
        return e ? e : read_price(a, text, json_key_is(key, SPAN("old")) ? &d->old_line : &d->new_line);
    }
    e = read_text(a, j, &text);
    if (json_key_is(key, SPAN("leg")))
        d->sell = span_eq(text, SPAN("sell"));
    else if (json_key_is(key, SPAN("provider")))
        d->provider = text;
    else if (json_key_is(key, SPAN("model")))
        d->model = text;
    else if (json_key_is(key, SPAN("buyer")))
        d->buyer = text;
    return e;
}

enum err rerate_read_detail(struct arena *a, struct span json, struct rerate_detail *ret)
{
    struct rerate_detail d = {.sell = false};
    struct stated stated = {0, 0};
    struct json j;
    struct json_string key;
    money old_amount, new_amount;
    json_init(&j, json);
    enum err e = json_enter_object(&j);
    while (!e && json_next_key(&j, &key))
        e = read_member(a, &j, key, &d, &stated);
    if (e || j.error || json_finish(&j) != ERR_OK || !d.new_line || !d.sum.ranges_n)
        return ERR_SYNTAX;
    if (amount_of(d.old_line, d.sum.count, &old_amount) != ERR_OK || amount_of(d.new_line, d.sum.count, &new_amount) != ERR_OK ||
        old_amount != stated.old_amount || new_amount != stated.new_amount)
        return ERR_SYNTAX;
    *ret = d;
    return ERR_OK;
}

enum err rerate_check(struct span detail, money *ret_old, money *ret_new)
{
    struct arena a;
    struct rerate_detail d;
    arena_init(&a, 4 * KIB);
    enum err e = rerate_read_detail(&a, detail, &d);
    if (!e)
        e = amount_of(d.old_line, d.sum.count, ret_old);
    if (!e)
        e = amount_of(d.new_line, d.sum.count, ret_new);
    arena_fini(&a);
    return e;
}
