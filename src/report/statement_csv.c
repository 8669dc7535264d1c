/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements as comma-separated values, one row for each line, opening and closing balance; the same columns in each row. Money and prices are
 * integers of 10^-15 of the currency, `amount_text` is for eyes.
 */
#include "base/clock.h"
#include "report/statement.h"
#include "report/text.h"

static const char *const columns[] = {"period", "party", "side", "currency", "section", "provider", "model", "class", "estimated", "quantity",
                                      "price", "amount",
                                      "amount_text", "book", "book_source", "valid_from", "known_from", "cause", "name", "how", "key", "booked_at", "entry", "detail"};

static void put_time(struct csv *c, int64_t at_us)
{
    char text[CLOCK_RFC3339_BYTES];
    csv_text(c, clock_rfc3339_us(text, at_us));
}

static void put_money(struct csv *c, money m)
{
    char digits[MONEY_TEXT_BYTES];
    money_format_integer(digits, m); /* a sign and digits: no formula to be kept from, so a word of our own */
    csv_word(c, digits);
    csv_money(c, m);
}

static void put_nothing(struct csv *c, unsigned cells)
{
    for (unsigned i = 0; i < cells; i++)
        csv_word(c, NULL);
}

static void put_statement(struct csv *c, const struct settlement *s, const struct statement *of, const char *section)
{
    csv_word(c, s->period.label);
    csv_text(c, of->party);
    csv_word(c, statement_side_name(of->side));
    csv_word(c, of->currency);
    csv_word(c, section);
}

static void put_usage(struct csv *c, const struct statement_line *l)
{
    csv_text(c, l->provider);
    csv_text(c, l->model);
    csv_word(c, usage_class_name(l->usage));
    csv_word(c, l->estimated ? "true" : "false");
    csv_number(c, l->quantity);
    if (l->price == PRICE_NONE) {
        put_nothing(c, 3);
    } else {
        csv_number(c, l->price);
        put_money(c, l->amount);
    }
    if (!l->line) {
        put_nothing(c, 4);
    } else {
        csv_text(c, span_str(l->line->book->name));
        csv_text(c, span_str(l->line->book->source));
        put_time(c, l->line->book->valid_from_us);
        put_time(c, l->line->book->known_from_us);
    }
    put_nothing(c, 7);
}

static void put_posted(struct csv *c, const struct statement_line *l)
{
    put_nothing(c, 6);
    put_money(c, l->amount);
    put_nothing(c, 4);
    csv_word(c, posting_cause_name(l->cause));
    csv_text(c, l->name);
    csv_text(c, l->how);
    csv_text(c, l->key);
    if (l->at_us) {
        put_time(c, l->at_us);
        csv_number(c, (int64_t)l->seq);
    } else {
        put_nothing(c, 2);
    }
    csv_text(c, l->detail);
}

static void put_balance(struct csv *c, const struct settlement *s, const struct statement *of, const char *which, money balance)
{
    put_statement(c, s, of, which);
    put_nothing(c, 6);
    put_money(c, balance);
    put_nothing(c, 11);
    csv_end_row(c);
}

static void put_all(struct csv *c, const struct settlement *s, const struct statement *of)
{
    put_balance(c, s, of, "opening", of->opening);
    for (unsigned i = 0; i < of->lines_n; i++) {
        const struct statement_line *l = &of->lines[i];
        put_statement(c, s, of, statement_section_name(l->section));
        (l->section <= STATEMENT_UNPRICED ? put_usage : put_posted)(c, l);
        csv_end_row(c);
    }
    put_balance(c, s, of, "closing", of->closing);
}

enum err statement_write_csv(const struct settlement *s, struct span party, struct buf *out)
{
    struct csv c = {.out = out};
    for (unsigned i = 0; i < COUNT_OF(columns); i++)
        csv_word(&c, columns[i]);
    csv_end_row(&c);
    for (unsigned i = 0; i < s->n; i++)
        if (!party.n || span_eq(party, s->statements[i].party))
            put_all(&c, s, &s->statements[i]);
    return c.error;
}
