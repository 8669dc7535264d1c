/* SPDX-License-Identifier: Apache-2.0
 *
 * A log made through store.h by hand: entries, tiles, the tables of names and prices, a flush. For tests of those who read; the writer is not asked.
 */
#ifndef ENTENTE_LOG_RIG_H
#define ENTENTE_LOG_RIG_H

#include "ledger/books.h"
#include "ledger/tally.h"
#include "proof/note.h"

struct log_rig {
    struct store *store;
    struct projection names;
    struct tally sums;
    struct merkle trunk, tile;
    uint64_t seq;
    int64_t now_us;
    uint64_t issuer, counter;
    struct buf body;
    struct signer signer;
};

#define RIG_START_US INT64_C(1795413600000000) /* 2026-11-23T06:00:00Z, the beginning of a quarter */

static inline void rig_must(const struct log_rig *r, enum err e)
{
    if (e)
        printf("# %s: %s\n", err_name(e), store_why(r->store));
    CHECK(e == ERR_OK);
}

static inline void rig_open(struct log_rig *r, const char *path)
{
    char why[512];
    *r = (struct log_rig){.now_us = RIG_START_US, .issuer = 7};
    CHECK(store_open(&(struct store_options){.path = path, .mode = STORE_CREATE}, &r->store, why) == ERR_OK);
    projection_init(&r->names, 1);
    tally_init(&r->sums, &r->names);
    buf_init(&r->body, ENTRY_BODY_BYTES_MAX);
    rig_must(r, store_begin(r->store));
}

static inline uint64_t rig_append_body(struct log_rig *r, struct span body)
{
    struct hash leaf, root;
    rig_must(r, store_append(r->store, r->seq, body));
    merkle_leaf(body, &leaf);
    merkle_append(&r->tile, &leaf);
    if (r->tile.size == STORE_TILE) {
        merkle_root(&r->tile, &root);
        merkle_append_subtree(&r->trunk, 8, &root);
        rig_must(r, store_put_tile(r->store, r->seq / STORE_TILE, root.bytes));
        r->tile.size = 0;
    }
    return r->seq++;
}

static inline uint64_t rig_append(struct log_rig *r, const struct entry *e)
{
    struct rollup row;
    buf_clear(&r->body);
    CHECK(entry_encode(e, &r->body) == ERR_OK);
    if (e->kind == ENTRY_USAGE) {
        rollup_of(&e->usage, r->seq, &row);
        tally_add_row(&r->sums, &row);
    } else if (e->kind == ENTRY_POSTING) {
        CHECK(tally_book_posting(&r->sums, &e->posting) == ERR_OK);
        rig_must(r, store_put_posting_key(r->store, e->posting.key, r->seq));
    }
    return rig_append_body(r, buf_span(&r->body));
}

static inline uint32_t rig_name(struct log_rig *r, const char *text)
{
    uint32_t id = projection_name(&r->names, span_str(text));
    if (id)
        return id;
    id = projection_add_name(&r->names, span_str(text));
    rig_must(r, store_put_name(r->store, id, span_str(text), r->seq));
    rig_append(r, &(struct entry){.kind = ENTRY_NAME, .number = id, .text = span_str(text)});
    return id;
}

/* A line of a book; prices in 10^-9 per million of text in and out, nothing for the rest. */
static inline uint32_t rig_price(struct log_rig *r, const char *book, const char *seller, const char *buyer, int64_t in, int64_t out)
{
    struct price_book b = {.name = book, .seller = seller, .buyer = buyer, .currency = "USD", .source = "test", .valid_until_us = PRICE_TIME_MAX};
    struct price_line line = {.book = &b, .model = SPAN("*"), .provider = SPAN("*"), .tier = ""};
    struct buf text;
    uint32_t id;
    for (unsigned i = 0; i < USAGE_CLASSES; i++)
        line.price[i] = PRICE_NONE;
    line.price[USAGE_INPUT] = in, line.price[USAGE_OUTPUT] = out;
    buf_init(&text, ENTRY_PRICE_BYTES_MAX);
    CHECK(price_line_write(&line, &text) == ERR_OK && projection_add_price(&r->names, buf_span(&text), &id) == ERR_OK);
    rig_must(r, store_put_price(r->store, id, buf_span(&text), r->seq));
    rig_append(r, &(struct entry){.kind = ENTRY_PRICE, .number = id, .text = buf_span(&text)});
    buf_fini(&text);
    return id;
}

static inline void rig_charge(const struct log_rig *r, uint32_t price, const struct usage *u, struct entry_charge *ret)
{
    struct charge c;
    price_charge(price ? r->names.prices[price - 1].line : NULL, u, &c);
    *ret = (struct entry_charge){.price = price, .unpriced = c.unpriced, .amount = c.amount};
}

/* Names, prices and accounts that rig_usage speaks of. */
static inline void rig_begin(struct log_rig *r)
{
    static const char *const texts[] = {"app", "legal", "acme", "gpt-4o", "gpt-4o-2024-11-20", "azure-eu", "gpt-4o-prod", "USD",
                                        "expenses:usage:azure-eu:gpt-4o-prod", "liabilities:payable:microsoft:azure-eu", "assets:receivable:legal",
                                        "income:usage:legal"};
    for (unsigned i = 0; i < COUNT_OF(texts); i++)
        rig_name(r, texts[i]);
    rig_price(r, "azure", "microsoft", "self", 2500000000, 10000000000);
    rig_price(r, "resale", "self", "acme", 3000000000, 12000000000);
}

/* A usage entry with those names, priced; not appended. */
static inline void rig_usage(struct log_rig *r, struct entry *ret, int64_t in, int64_t out)
{
    struct entry_usage *u = &ret->usage;
    ret->kind = ENTRY_USAGE;
    *u = (struct entry_usage){.issuer = r->issuer, .counter = ++r->counter, .booked_us = r->now_us, .wall_us = r->now_us - 900000, .api = 1, .finish = 1,
                              .status = 200, .key = 1, .department = 2, .party = 3, .model_asked = 4, .model_served = 5, .provider = 6, .model = 7,
                              .provider_status = 200, .attempt_outcome = ATTEMPT_ANSWERED, .wait_us = 350000, .receive_us = 120,
                              .first_byte_us = 351000, .duration_us = 900000, .bytes_in = 2345, .bytes_out = 4567, .held = 12000000000000,
                              .provider_cost_nano = -1};
    usage_init(&u->usage);
    u->usage.source = USAGE_SOURCE_REPORTED;
    u->usage.count[USAGE_INPUT] = in, u->usage.count[USAGE_OUTPUT] = out, u->usage.count[USAGE_REQUEST] = 1;
    rig_charge(r, 1, &u->usage, &u->buy);
    rig_charge(r, 2, &u->usage, &u->sell);
}

static inline void rig_requests(struct log_rig *r, unsigned n)
{
    static struct entry e;
    for (unsigned i = 0; i < n; i++) {
        r->now_us += 1000000;
        rig_usage(r, &e, 1000 + i % 777, 100 + i % 333);
        rig_append(r, &e);
    }
}

/* What the store says follows from the log becomes true; the transaction ends and the next begins. */
static inline void rig_flush(struct log_rig *r)
{
    char why[256], digits[SPAN_U64_BYTES];
    struct tally moved;
    tally_init(&moved, &r->names);
    for (uint32_t i = 0; i < r->sums.accounts_n; i++)
        rig_must(r, tally_move(&moved, r->sums.accounts[i].account, r->sums.accounts[i].currency, r->sums.accounts[i].posted));
    for (uint32_t i = 0; i < r->sums.rows_n; i++) {
        rig_must(r, store_put_rollup(r->store, &r->sums.rows[i]));
        rig_must(r, tally_book_row(&moved, &r->sums.rows[i], why));
    }
    for (uint32_t i = 0; i < moved.accounts_n; i++)
        rig_must(r, store_put_account(r->store, moved.accounts[i].account, moved.accounts[i].currency, moved.accounts[i].posted));
    tally_fini(&moved);
    rig_must(r, store_put_issuer(r->store, r->issuer, r->counter));
    rig_must(r, store_put_meta(r->store, META_FLUSHED, span_of_u64(digits, r->seq)));
    rig_must(r, store_commit(r->store));
    rig_must(r, store_begin(r->store));
}

static inline void rig_root(const struct log_rig *r, struct hash *ret)
{
    struct merkle m = r->trunk;
    for (unsigned level = 0; level < 8; level++)
        m.peak[level] = r->tile.peak[level];
    m.size += r->tile.size;
    merkle_root(&m, ret);
}

static inline void rig_checkpoint(struct log_rig *r)
{
    struct checkpoint c = {.origin = SPAN("test.example/ledger"), .size = r->seq};
    struct verifier v;
    struct buf text, note;
    buf_init(&text, NOTE_BYTES_MAX);
    buf_init(&note, NOTE_BYTES_MAX);
    rig_root(r, &c.root);
    if (!r->signer.name[0]) {
        CHECK(signer_new(c.origin, &r->signer) == ERR_OK);
        signer_verifier(&r->signer, &v);
        CHECK(verifier_write(&v, &text) == ERR_OK);
        rig_must(r, store_put_meta(r->store, META_PUBLIC_KEY, buf_span(&text)));
        rig_must(r, store_put_meta(r->store, META_ORIGIN, c.origin));
        buf_clear(&text);
    }
    CHECK(checkpoint_write(&c, &text) == ERR_OK && note_sign(buf_span(&text), &r->signer, &note) == ERR_OK);
    rig_must(r, store_put_checkpoint(r->store, r->seq, r->now_us, buf_span(&note)));
    buf_fini(&text);
    buf_fini(&note);
}

static inline void rig_close(struct log_rig *r)
{
    rig_must(r, store_commit(r->store));
    store_close(r->store);
    tally_fini(&r->sums);
    projection_fini(&r->names);
    buf_fini(&r->body);
}

#endif
