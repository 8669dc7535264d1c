/* SPDX-License-Identifier: Apache-2.0
 *
 * The usage record as one JSON line. Written by hand into reserved room, because one is written for every request: no printf here.
 *
 * Format: fields that are unknown are absent, never zero; "usage" holds one member per known class and "source"; amounts are decimal strings
 * in major units, for a reader's floating point must not touch them. docs/ledger.md has the fields.
 */
#include "ledger/record.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "dialect/dialect.h"

#define LINE_BYTES_MAX (12u * KIB) /* 8 attempts, 22 names of 47 bytes that may each grow sixfold when escaped, and the numbers */
#define BOOK_NAME_BYTES_MAX 256u   /* of a price book; longer ones are cut */

void record_set_name(char to[RECORD_NAME_BYTES], struct span name)
{
    size_t n = name.n < RECORD_NAME_BYTES ? name.n : RECORD_NAME_BYTES - 1;
    if (n)
        memcpy(to, name.p, n);
    if (n < name.n) {
        while (n > 1 && ((unsigned char)to[n - 1] & 0xc0) == 0x80) /* do not cut inside a character */
            n--;
        to[n - 1] = '~';
    }
    to[n] = 0;
}

static char *put_text(char *at, const char *text)
{
    size_t n = strlen(text);
    memcpy(at, text, n);
    return at + n;
}

static char *put_u64(char *at, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        *at++ = digits[--n];
    return at;
}

static char *put_name(char *at, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    *at++ = '"';
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') {
            *at++ = '\\';
            *at++ = (char)*p;
        } else if (*p < 0x20 || *p == 0x7f) {
            at = put_text(at, "\\u00");
            *at++ = hex[*p >> 4];
            *at++ = hex[*p & 15];
        } else {
            *at++ = (char)*p;
        }
    }
    *at++ = '"';
    return at;
}

static char *put_number_field(char *at, const char *key_with_comma, uint64_t value)
{
    return put_u64(put_text(at, key_with_comma), value);
}

/* A name of ours: nothing in it needs an escape. */
static char *put_word_field(char *at, const char *key_with_comma, const char *word)
{
    at = put_text(at, key_with_comma);
    *at++ = '"';
    at = put_text(at, word);
    *at++ = '"';
    return at;
}

static char *put_name_field(char *at, const char *key_with_comma, const char *value)
{
    return value[0] ? put_name(put_text(at, key_with_comma), value) : at;
}

static char *put_usage(char *at, const struct usage *u)
{
    at = put_text(at, ",\"usage\":{\"source\":\"");
    at = put_text(at, usage_source_name(u->source));
    *at++ = '"';
    for (int c = 0; c < USAGE_CLASSES; c++) {
        if (u->count[c] == USAGE_UNKNOWN)
            continue;
        at = put_text(at, ",\"");
        at = put_text(at, usage_class_name((enum usage_class)c));
        at = put_number_field(at, "\":", (uint64_t)u->count[c]);
    }
    *at++ = '}';
    return at;
}

static char *put_attempts(char *at, const struct usage_record *r)
{
    at = put_text(at, ",\"attempts\":[");
    for (unsigned i = 0; i < r->attempts_n; i++) {
        const struct attempt_record *a = &r->attempts[i];
        at = put_name(put_text(at, i ? ",{\"provider\":" : "{\"provider\":"), a->provider);
        at = put_name_field(at, ",\"model\":", a->model);
        at = put_word_field(at, ",\"outcome\":", attempt_outcome_name((enum attempt_outcome)a->outcome));
        if (a->status)
            at = put_number_field(at, ",\"status\":", a->status);
        at = put_number_field(at, ",\"wait_us\":", a->wait_us);
        *at++ = '}';
    }
    *at++ = ']';
    return at;
}

static char *put_amount(char *at, money m)
{
    char text[MONEY_TEXT_BYTES];
    struct span amount = money_format(text, m, 0);
    *at++ = '"';
    memcpy(at, amount.p, amount.n);
    at += amount.n;
    *at++ = '"';
    return at;
}

static char *put_unpriced(char *at, uint32_t classes)
{
    at = put_text(at, "\"unpriced\":[");
    for (uint32_t left = classes; left; left &= left - 1)
        at = put_word_field(at, left == classes ? "" : ",", usage_class_name((enum usage_class)__builtin_ctz(left)));
    *at++ = ']';
    return at;
}

/* What has no price has no amount either: never zero. */
static char *put_charge(char *at, const char *key_with_comma, const struct charge *c)
{
    char book[BOOK_NAME_BYTES_MAX];
    if (!c->line && !c->unpriced)
        return at;
    at = put_text(at, key_with_comma);
    *at++ = '{';
    if (c->line) {
        at = put_amount(put_text(at, "\"amount\":"), c->amount);
        at = put_word_field(at, ",\"currency\":", c->line->book->currency);
        snprintf(book, sizeof book, "%s", c->line->book->name);
        at = put_name(put_text(at, ",\"book\":"), book);
    }
    if (c->unpriced)
        at = put_unpriced(c->line ? put_text(at, ",") : at, c->unpriced);
    *at++ = '}';
    return at;
}

static char *put_money(char *at, const struct usage_record *r)
{
    at = put_charge(at, ",\"cost\":", &r->buy);
    at = put_charge(at, ",\"charge\":", &r->sell);
    if (r->held)
        at = put_amount(put_text(at, ",\"held\":"), r->held);
    return r->provider_cost_nano >= 0 ? put_number_field(at, ",\"provider_cost_nano_usd\":", (uint64_t)r->provider_cost_nano) : at;
}

static char *put_time(char *at, int64_t wall_us)
{
    char text[CLOCK_RFC3339_BYTES];
    struct span time = clock_rfc3339_us(text, wall_us);
    *at++ = '"';
    memcpy(at, time.p, time.n);
    at += time.n;
    *at++ = '"';
    return at;
}

static char *put_booking(char *at, const struct record_booking *b)
{
    at = put_number_field(at, "\"seq\":", b->seq);
    at = put_time(put_text(at, ",\"booked\":"), b->booked_us);
    return put_text(at, b->recovered ? ",\"recovered\":true," : ",");
}

static char *put_who(char *at, const struct usage_record *r)
{
    at = put_name_field(at, ",\"key\":", r->key);
    at = put_name_field(at, ",\"department\":", r->department);
    at = put_name_field(at, ",\"party\":", r->party);
    at = put_name_field(at, ",\"model\":", r->model_asked);
    at = put_name_field(at, ",\"model_served\":", r->model_served);
    return put_name_field(at, ",\"tier\":", r->tier);
}

static char *put_times(char *at, const struct usage_record *r)
{
    at = put_number_field(at, ",\"receive_us\":", r->receive_us);
    if (r->first_byte_us)
        at = put_number_field(at, ",\"first_byte_us\":", r->first_byte_us);
    return put_number_field(at, ",\"duration_us\":", r->duration_us);
}

static char *put_record(char *at, const struct usage_record *r, const struct record_booking *booked)
{
    *at++ = '{';
    if (booked)
        at = put_booking(at, booked);
    at = put_word_field(at, "\"id\":", r->id);
    if (r->attempt)
        at = put_number_field(at, ",\"attempt\":", r->attempt);
    at = put_time(put_text(at, ",\"time\":"), r->wall_us);
    at = put_word_field(at, ",\"outcome\":", record_outcome_name((enum record_outcome)r->outcome));
    at = put_number_field(at, ",\"status\":", r->status);
    if (r->error)
        at = put_word_field(at, ",\"error\":", err_code((enum err)r->error));
    if (r->api)
        at = put_word_field(at, ",\"api\":", api_name((enum api)r->api));
    at = put_text(at, r->stream ? ",\"stream\":true" : ",\"stream\":false");
    at = put_who(at, r);
    if (r->finish)
        at = put_word_field(at, ",\"finish\":", finish_reason_name((enum finish_reason)r->finish));
    at = put_usage(at, &r->usage);
    at = put_money(at, r);
    at = put_attempts(at, r);
    at = put_times(at, r);
    at = put_number_field(at, ",\"bytes_in\":", r->bytes_in);
    at = put_number_field(at, ",\"bytes_out\":", r->bytes_out);
    return put_text(at, "}\n");
}

enum err record_write_json(const struct usage_record *r, const struct record_booking *booked, struct buf *out)
{
    enum err e = buf_reserve(out, LINE_BYTES_MAX);
    if (e)
        return e;
    char *end = put_record(buf_tail(out), r, booked);
    CHECK((size_t)(end - buf_tail(out)) <= LINE_BYTES_MAX);
    buf_extend(out, (size_t)(end - buf_tail(out)));
    return ERR_OK;
}
