/* SPDX-License-Identifier: Apache-2.0
 *
 * Exports as rows: comma-separated values with one row for each usage entry and each transfer, and JSON lines as books.h writes them.
 */
#include "base/clock.h"
#include "base/json.h"
#include "dialect/dialect.h"
#include "report/export.h"
#include "report/movement.h"
#include "report/text.h"

/* ---- comma-separated values ---- */

#define HEAD_FACTS "record,seq,booked,time,id,attempt,outcome,status,error,api,stream,finish,key,department,party,model,model_served,provider," \
                   "provider_model,tier,source,recovered,requests"
#define HEAD_MONEY "buy_seller,buy_currency,buy_amount,buy_unpriced,sell_buyer,sell_currency,sell_amount,sell_unpriced,provider_cost_usd"
#define HEAD_POSTING "cause,posting,debit,credit,currency,amount,memo,refers_to"
enum { FACTS = 23, MONEYS = 9, POSTINGS = 8 };

static void skip(struct csv *c, unsigned cells)
{
    while (cells--)
        csv_word(c, NULL);
}

static void put_time(struct csv *c, int64_t at_us)
{
    char text[CLOCK_RFC3339_BYTES];
    csv_text(c, clock_rfc3339_us(text, at_us));
}

static void put_place(struct csv *c, const char *record, const struct walk_step *s)
{
    csv_word(c, record);
    csv_number(c, (int64_t)s->seq);
    put_time(c, s->booked_us);
}

static void put_exchange(struct csv *c, const struct entry_usage *u)
{
    char id[RECORD_ID_BYTES];
    books_request_id(u, id);
    put_time(c, u->wall_us);
    csv_word(c, id);
    csv_number(c, u->attempt);
    csv_word(c, record_outcome_name((enum record_outcome)u->outcome));
    csv_number(c, u->status);
    csv_word(c, u->error ? err_code((enum err)u->error) : NULL);
    csv_word(c, u->api ? api_name((enum api)u->api) : NULL);
    csv_word(c, u->stream ? "true" : "false");
    csv_word(c, u->finish ? finish_reason_name((enum finish_reason)u->finish) : NULL);
}

static void put_who_and_what(struct csv *c, struct books *b, const struct walk_step *s, const struct movement_usage *u)
{
    csv_text(c, books_name(b, u->key));
    csv_text(c, books_name(b, u->department));
    csv_text(c, books_name(b, u->party));
    csv_text(c, books_name(b, u->model_asked));
    csv_text(c, s->entry ? books_name(b, s->entry->usage.model_served) : SPAN_NONE);
    csv_text(c, books_name(b, u->provider));
    csv_text(c, books_name(b, u->model));
    csv_text(c, books_name(b, u->tier));
    csv_word(c, usage_source_name(u->source));
    csv_word(c, s->entry && s->entry->usage.recovered ? "true" : "false");
    csv_number(c, u->requests);
}

static void put_leg(struct csv *c, struct books *b, uint32_t price, bool is_buy, struct span buyer, money amount, uint32_t unpriced)
{
    char names[MOVEMENT_CLASSES_BYTES];
    const struct price_line *line = books_price(b, price);
    csv_text(c, is_buy ? span_str(line ? line->book->seller : "") : buyer);
    csv_word(c, line ? line->book->currency : NULL);
    if (line)
        csv_money(c, amount);
    else
        csv_word(c, NULL);
    csv_text(c, movement_classes(names, unpriced));
}

static void put_usage_money(struct csv *c, struct books *b, const struct walk_step *s, const struct movement_usage *u)
{
    struct span buyer = account_buyer(books_name(b, u->department), books_name(b, u->party));
    put_leg(c, b, u->buy_price, true, SPAN_NONE, u->buy, u->buy_unpriced);
    put_leg(c, b, buyer.n ? u->sell_price : 0, false, buyer, u->sell, u->sell_unpriced);
    if (s->entry && s->entry->usage.provider_cost_nano >= 0)
        csv_money(c, (money)s->entry->usage.provider_cost_nano * 1000000);
    else if (s->rollup && s->rollup->provider_cost_n)
        csv_money(c, s->rollup->provider_cost);
    else
        csv_word(c, NULL);
}

static void put_usage_row(struct csv *c, struct books *b, const struct walk_step *s, const struct movement_usage *u)
{
    put_place(c, s->entry ? "usage" : "rollup", s);
    if (s->entry)
        put_exchange(c, &s->entry->usage);
    else
        skip(c, 9);
    put_who_and_what(c, b, s, u);
    for (int i = 0; i < USAGE_CLASSES; i++)
        if (u->count[i] >= 0)
            csv_number(c, u->count[i]);
        else
            csv_word(c, NULL);
    put_usage_money(c, b, s, u);
    skip(c, POSTINGS + 1);
    csv_end_row(c);
}

static void put_transfer_row(struct csv *c, struct books *b, const struct walk_step *s, const struct entry_transfer *t)
{
    const struct entry_posting *p = &s->entry->posting;
    put_place(c, "posting", s);
    skip(c, FACTS - 3 + USAGE_CLASSES + MONEYS);
    csv_word(c, posting_cause_name(p->cause));
    csv_text(c, p->key);
    csv_text(c, books_name(b, t->debit));
    csv_text(c, books_name(b, t->credit));
    csv_text(c, books_name(b, t->currency));
    csv_money(c, t->amount);
    csv_text(c, p->memo);
    if (p->refers_to)
        csv_number(c, (int64_t)p->refers_to - 1);
    else
        csv_word(c, NULL);
    skip(c, 1);
    csv_end_row(c);
}

static enum err csv_open(struct export_job *j, void **ret)
{
    enum err e = buf_append(j->out, SPAN(HEAD_FACTS));
    *ret = NULL;
    for (int i = 0; i < USAGE_CLASSES && !e; i++)
        e = buf_printf(j->out, ",%s", usage_class_name((enum usage_class)i));
    return e ? e : buf_append(j->out, SPAN("," HEAD_MONEY "," HEAD_POSTING ",end\r\n"));
}

static enum err csv_step(struct export_job *j, void *state, const struct walk_step *s)
{
    struct movement_usage u;
    struct csv c = {.out = j->out};
    if (movement_usage_of(s, &u)) {
        put_usage_row(&c, j->books, s, &u);
        j->result->rows++;
    }
    for (unsigned i = 0; s->entry && s->entry->kind == ENTRY_POSTING && i < s->entry->posting.transfers_n; i++) {
        put_transfer_row(&c, j->books, s, &s->entry->posting.transfers[i]);
        j->result->rows++;
    }
    return c.error;
}

static enum err csv_end(struct export_job *j, void *state)
{
    struct csv c = {.out = j->out};
    csv_word(&c, "end");
    skip(&c, FACTS - 1 + USAGE_CLASSES + MONEYS + POSTINGS);
    csv_word(&c, NULL);
    return c.error;
}

static void close_nothing(void *state) {}

const struct export_writer table_csv = {.name = "csv", .groups = {[EXPORT_BY_REQUEST] = true}, .open = csv_open, .step = csv_step, .end = csv_end,
                                        .after_mark = {"\r\n", 2}, .close = close_nothing};

/* ---- JSON lines ---- */

static enum err json_open(struct export_job *j, void **ret)
{
    *ret = NULL;
    return ERR_OK;
}

/* Usage that was compacted: what is left of it. */
static enum err put_rollup(struct export_job *j, const struct walk_step *s, const struct movement_usage *u)
{
    const struct price_line *buy = books_price(j->books, u->buy_price), *sell = books_price(j->books, u->sell_price);
    char time[CLOCK_RFC3339_BYTES], amount[MONEY_TEXT_BYTES];
    const struct { const char *name; struct span text; } fields[] = {
        {"key", books_name(j->books, u->key)}, {"department", books_name(j->books, u->department)}, {"party", books_name(j->books, u->party)},
        {"model", books_name(j->books, u->model_asked)}, {"provider", books_name(j->books, u->provider)},
        {"provider_model", books_name(j->books, u->model)}, {"tier", books_name(j->books, u->tier)}};
    enum err e = buf_printf(j->out, "{\"kind\":\"rollup\",\"seq\":%llu,\"booked\":\"%.*s\",\"requests\":%lld,\"source\":\"%s\"",
                            (unsigned long long)s->seq, SPAN_ARG(clock_rfc3339_us(time, s->booked_us)), (long long)u->requests,
                            usage_source_name(u->source));
    for (size_t i = 0; i < COUNT_OF(fields) && !e; i++) {
        e = fields[i].text.n ? buf_printf(j->out, ",\"%s\":", fields[i].name) : ERR_OK;
        e = e || !fields[i].text.n ? e : json_write_string(j->out, fields[i].text);
    }
    for (int c = 0; c < USAGE_CLASSES && !e; c++)
        e = u->count[c] > 0 ? buf_printf(j->out, ",\"%s\":%lld", usage_class_name((enum usage_class)c), (long long)u->count[c]) : ERR_OK;
    if (!e && buy)
        e = buf_printf(j->out, ",\"buy\":\"%.*s\",\"buy_currency\":\"%s\"", SPAN_ARG(money_format(amount, u->buy, 2)), buy->book->currency);
    if (!e && sell)
        e = buf_printf(j->out, ",\"sell\":\"%.*s\",\"sell_currency\":\"%s\"", SPAN_ARG(money_format(amount, u->sell, 2)), sell->book->currency);
    return e ? e : buf_append(j->out, SPAN("}\n"));
}

static enum err json_step(struct export_job *j, void *state, const struct walk_step *s)
{
    struct movement_usage u;
    bool usage = movement_usage_of(s, &u);
    if (s->entry && s->entry->kind == ENTRY_NAME)
        return ERR_OK;
    j->result->rows++;
    return usage && s->rollup ? put_rollup(j, s, &u) : books_write_json(j->books, s->seq, s->entry, j->out);
}

static enum err json_end(struct export_job *j, void *state) { return buf_append(j->out, SPAN("{\"end\":\"")); }

const struct export_writer table_json = {.name = "json", .groups = {[EXPORT_BY_REQUEST] = true}, .open = json_open, .step = json_step,
                                         .end = json_end, .after_mark = {"\"}\n", 3}, .close = close_nothing};
