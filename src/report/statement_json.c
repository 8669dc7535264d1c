/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements as one JSON document: money and prices as integers of 10^-15, so that every line can be computed again from the document alone. Money is
 * in quotes, since 128 bits are more than JSON readers promise; "amount_text" says the same in major units.
 */
#include "report/statement.h"

#include "base/digest.h"
#include "dialect/json_out.h"
#include "report/json_member.h"

static void member_number(struct json_out *o, const char *key, int64_t n)
{
    json_out_key(o, key);
    json_out_int(o, n);
}

static void member_bool(struct json_out *o, const char *key, bool value)
{
    json_out_key(o, key);
    json_out_bool(o, value);
}

static void begin_object(struct json_out *o, const char *key)
{
    if (key)
        json_out_key(o, key);
    json_out_open(o, '{');
}

static void begin_array(struct json_out *o, const char *key)
{
    json_out_key(o, key);
    json_out_open(o, '[');
}

/* ---- lines ---- */

static void write_price(struct json_out *o, const struct price_line *line)
{
    const struct price_book *b = line->book;
    begin_object(o, "price_line");
    json_member_text(o, "book", span_str(b->name));
    json_member_text(o, "seller", span_str(b->seller));
    json_member_text(o, "buyer", span_str(b->buyer));
    json_member_text(o, "source", span_str(b->source));
    json_member_time(o, "valid_from", b->valid_from_us);
    if (b->valid_until_us != PRICE_TIME_MAX)
        json_member_time(o, "valid_until", b->valid_until_us);
    json_member_time(o, "known_from", b->known_from_us);
    json_member_text(o, "text", span_str(line->text)); /* whole: its SHA-256 names it everywhere else */
    json_out_close(o, '}');
}

static void write_usage(struct json_out *o, const struct statement_line *l)
{
    json_member_text(o, "provider", l->provider);
    json_member_text(o, "model", l->model);
    json_member_text(o, "class", span_str(usage_class_name(l->usage)));
    member_bool(o, "estimated", l->estimated);
    member_number(o, "quantity", l->quantity);
    if (l->price != PRICE_NONE)
        member_number(o, "price", l->price);
    if (l->line)
        write_price(o, l->line);
}

static void write_posted(struct json_out *o, const struct statement_line *l)
{
    json_member_text(o, "cause", span_str(posting_cause_name(l->cause)));
    json_member_text(o, "name", l->name);
    json_member_text(o, "how", l->how);
    json_member_text(o, "key", l->key);
    member_bool(o, "booked", l->at_us != 0);
    if (l->at_us) {
        json_member_time(o, "booked_at", l->at_us);
        member_number(o, "entry", (int64_t)l->seq);
    }
    if (l->detail.n && json_check(l->detail) == ERR_OK)
        json_out_member_raw(o, "detail", l->detail);
}

static void write_line(struct json_out *o, const struct statement_line *l)
{
    begin_object(o, NULL);
    json_member_text(o, "section", span_str(statement_section_name(l->section)));
    if (l->section <= STATEMENT_UNPRICED)
        write_usage(o, l);
    else
        write_posted(o, l);
    if (l->section != STATEMENT_UNPRICED) {
        json_member_money(o, "amount", l->amount);
        json_member_decimal(o, "amount_text", l->amount);
    }
    json_out_close(o, '}');
}

/* ---- statements ---- */

static void write_stated(struct json_out *o, const struct statement *s)
{
    begin_array(o, "stated_by_providers");
    for (unsigned i = 0; i < s->stated_n; i++) {
        const struct statement_stated *x = &s->stated[i];
        if (!x->stated_n)
            continue;
        begin_object(o, NULL);
        json_member_text(o, "provider", x->provider);
        member_number(o, "requests", x->requests);
        member_number(o, "stated_requests", x->stated_n);
        json_member_money(o, "stated", x->stated);
        json_member_money(o, "by_our_prices", x->ours);
        json_member_money(o, "difference", x->stated - x->ours);
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}

static void write_statement(struct json_out *o, const struct statement *s)
{
    int decimals = currency_decimals(span_str(s->currency));
    money whole = settle_minor_units(s->closing, decimals < 0 ? 2 : decimals);
    begin_object(o, NULL);
    json_member_text(o, "party", s->party);
    json_member_text(o, "side", span_str(statement_side_name(s->side)));
    json_member_text(o, "currency", span_str(s->currency));
    json_member_money(o, "opening", s->opening);
    begin_array(o, "lines");
    for (unsigned i = 0; i < s->lines_n; i++)
        write_line(o, &s->lines[i]);
    json_out_close(o, ']');
    json_member_money(o, "closing", s->closing);
    json_member_decimal(o, "closing_text", s->closing);
    json_member_money(o, "to_settle", whole);
    json_member_money(o, "carried", s->closing - whole);
    json_member_money(o, "pending", s->pending);
    write_stated(o, s);
    json_out_close(o, '}');
}

static void write_net(struct json_out *o, const struct statement_net *n)
{
    begin_object(o, NULL);
    json_member_text(o, "party", n->party);
    json_member_text(o, "currency", span_str(n->currency));
    json_member_money(o, "we_owe", n->we_owe);
    json_member_money(o, "owed_to_us", n->owed_us);
    json_member_money(o, "net_we_owe", n->we_owe - n->owed_us);
    json_out_close(o, '}');
}

static void write_period(struct json_out *o, const struct settlement *s)
{
    begin_object(o, "period");
    json_member_text(o, "label", span_str(s->period.label));
    json_member_text(o, "zone", span_str(zone_name(s->zone)));
    json_member_time(o, "from", s->period.from_us);
    json_member_time(o, "until", s->period.until_us);
    member_bool(o, "ended", s->now_us >= s->period.until_us);
    json_out_close(o, '}');
}

/* Periods before this one that have lines to book. */
static void write_not_closed(struct json_out *o, const struct settlement *s)
{
    const char *last = "";
    begin_array(o, "not_closed");
    for (unsigned i = 0; i < s->closings_n; i++)
        if (s->closings[i].period.until_us <= s->period.from_us && strcmp(s->closings[i].period.label, last) != 0) {
            last = s->closings[i].period.label;
            json_out_string(o, span_str(last));
        }
    json_out_close(o, ']');
}

static bool is_wanted(struct span party, struct span name) { return !party.n || span_eq(party, name); }

enum err statement_write_json(const struct settlement *s, struct span party, struct buf *out)
{
    struct json_out o = json_out_begin(out);
    begin_object(&o, NULL);
    json_member_text(&o, "self", s->self);
    write_period(&o, s);
    json_member_text(&o, "terms_are_settled_each", span_str(period_unit_name(s->unit)));
    member_number(&o, "log_size", (int64_t)s->size);
    write_not_closed(&o, s);
    begin_array(&o, "statements");
    for (unsigned i = 0; i < s->n; i++)
        if (is_wanted(party, s->statements[i].party))
            write_statement(&o, &s->statements[i]);
    json_out_close(&o, ']');
    begin_array(&o, "net");
    for (unsigned i = 0; i < s->nets_n; i++)
        if (is_wanted(party, s->nets[i].party))
            write_net(&o, &s->nets[i]);
    json_out_close(&o, ']');
    json_out_close(&o, '}');
    json_out_bytes(&o, SPAN("\n"));
    return json_out_end(&o);
}
