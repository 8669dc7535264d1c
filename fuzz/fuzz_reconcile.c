/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a provider's export; the first says of which format. Whatever is read has rows that make sense, meets books of three requests, and is
 * written for people and as JSON. Comma-separated values that are read are written again, quoted, and must be read as the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/csv.h"
#include "base/json.h"
#include "report/reconcile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- books, made once ---- */

static void book(struct ledger *l, uint64_t counter, const char *model)
{
    struct usage_record r = {.issuer = 1, .counter = counter, .status = 200, .attempts_n = 1, .provider_cost_nano = -1, .wall_us = 1};
    struct ledger_ticket t = {.op = LEDGER_POST, .record = &r};
    record_set_name(r.attempts[0].provider, SPAN("p"));
    record_set_name(r.attempts[0].model, span_str(model));
    usage_init(&r.usage);
    r.usage.source = counter == 3 ? USAGE_SOURCE_ESTIMATED : USAGE_SOURCE_REPORTED;
    r.usage.count[USAGE_INPUT] = 100 * (int64_t)counter;
    r.usage.count[USAGE_OUTPUT] = 7;
    price_charge(NULL, &r.usage, &r.buy);
    ledger_submit(l, &t);
    ledger_flush(l);
    CHECK(t.error == ERR_OK);
}

static char dir[] = "/tmp/fuzz-reconcile-XXXXXX";
static struct books *b;

static void remove_books(void)
{
    static const char *const files[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.key", "ledger.spool"};
    char path[sizeof dir + 16];
    books_close(b);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
}

static struct books *the_books(void)
{
    char path[sizeof dir + 16], why[512];
    struct ledger *l = NULL;
    if (b)
        return b;
    CHECK(atexit(remove_books) == 0);
    CHECK(mkdtemp(dir) && ledger_open(&(struct ledger_options){.dir = dir}, &l, why) == ERR_OK);
    book(l, 1, "gpt-4o-2024-08-06");
    book(l, 2, "m");
    book(l, 3, "gemini-2.0-flash");
    ledger_close(l);
    snprintf(path, sizeof path, "%s/ledger.db", dir);
    CHECK(books_open(path, &b, why) == ERR_OK);
    return b;
}

/* ---- what is read makes sense ---- */

static void check_rows(const struct reconcile_export *x)
{
    for (unsigned i = 0; i < x->rows_n; i++) {
        const struct reconcile_row *r = &x->rows[i];
        CHECK(r->from_us < r->until_us && r->usage <= RECONCILE_ALL && (r->has_quantity || r->has_cost));
        CHECK(!r->has_cost || currency_decimals(span_str(r->currency)) >= 0);
        CHECK(r->quantity <= MONEY_ONE * MONEY_ONE && r->quantity >= -MONEY_ONE * MONEY_ONE);
    }
}

static void compare(const struct reconcile_export *x)
{
    const struct reconcile_alias alias = {SPAN("theirs"), SPAN("m")};
    const struct reconcile_options o = {.books = the_books(), .provider = SPAN("p"), .export = x, .aliases = &alias};
    struct reconciliation r;
    struct buf out;
    unsigned found = 0;
    buf_init(&out, 64u * MIB);
    CHECK(reconcile_make(&o, &r) == ERR_OK);
    for (unsigned c = 0; c < RECONCILE_CAUSES; c++)
        found += r.found[c];
    CHECK(found == r.cells_n);
    if (reconcile_write_json(&r, x, SPAN("p"), &out) == ERR_OK)
        CHECK(json_check(span_of(buf_span(&out).p, buf_bytes(&out))) == ERR_OK);
    buf_clear(&out);
    (void)!reconcile_write_text(&r, x, SPAN("p"), &out);
    buf_fini(&out);
    reconcile_fini(&r);
}

/* ---- comma-separated values, there and back ---- */

static void write_row(struct buf *out, const struct csv_reader *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        CHECK(buf_append(out, i ? SPAN(",\"") : SPAN("\"")) == ERR_OK);
        for (size_t k = 0; k < r->cells[i].n; k++)
            CHECK(buf_append(out, r->cells[i].p[k] == '"' ? SPAN("\"\"") : span_of(r->cells[i].p + k, 1)) == ERR_OK);
        CHECK(buf_append(out, SPAN("\"")) == ERR_OK);
    }
    CHECK(buf_append(out, SPAN("\r\n")) == ERR_OK);
}

static void check_csv(struct span text)
{
    static struct csv_reader r, again;
    struct arena a;
    struct buf out;
    arena_init(&a, 1024);
    buf_init(&out, 64u * MIB);
    for (csv_reader_init(&r, text, &a); csv_reader_next(&r);)
        write_row(&out, &r);
    CHECK(!r.error || r.line >= 1);
    csv_reader_init(&again, buf_span(&out), &a);
    csv_reader_init(&r, text, &a);
    while (csv_reader_next(&r)) {
        CHECK(csv_reader_next(&again) && again.n == r.n);
        for (unsigned i = 0; i < r.n; i++)
            CHECK(span_eq(r.cells[i], again.cells[i]));
    }
    CHECK(!csv_reader_next(&again) && !again.error);
    buf_fini(&out);
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[8] = {NULL, "openai-usage", "openai-costs", "azure", "aws", "focus", "gcp", "plain"};
    struct reconcile_export x;
    struct zone *utc = NULL;
    char why[RECONCILE_WHY_BYTES], *copy;
    if (!size)
        return 0;
    CHECK(zone_open("UTC", &utc) == ERR_OK && (copy = malloc(size))); /* to the byte: what is read beyond the end is seen */
    memcpy(copy, data + 1, size - 1);
    const struct reconcile_read_options o = {.text = span_of(copy, size - 1), .format = formats[data[0] & 7], .provider = SPAN("p"), .zone = utc};
    enum err e = reconcile_read(&o, &x, why);
    CHECK(!e == !why[0]);
    if (!e) {
        check_rows(&x);
        compare(&x);
    }
    check_csv(o.text);
    reconcile_export_fini(&x);
    zone_free(utc);
    free(copy);
    return 0;
}
