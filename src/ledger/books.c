/* SPDX-License-Identifier: Apache-2.0
 *
 * A snapshot of a store for readers. What the writer has not flushed yet (balances and rollup rows of the log's last entries) is summed up here when the
 * books are opened, so that readers see the whole log and never the flush.
 */
#include "ledger/books.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "ledger/books_private.h"

#define FIND_STEP 4096u

/* ---- opening ---- */

static enum err damaged(char why[512], const char *what, uint64_t n)
{
    snprintf(why, 512, "the ledger is damaged: %s %" PRIu64 ": restore it from a backup", what, n);
    return ERR_SYNTAX;
}

static enum err take_name(void *owner, uint32_t id, struct span text, uint64_t seq)
{
    struct books *b = owner;
    (void)seq;
    if (id != b->names.names_n + 1)
        return damaged(b->why, "its table of names has no number", b->names.names_n + 1);
    projection_add_name(&b->names, text);
    return ERR_OK;
}

static enum err take_price(void *owner, uint32_t id, struct span text, uint64_t seq)
{
    struct books *b = owner;
    uint32_t made;
    (void)seq;
    if (id != b->names.prices_n + 1)
        return damaged(b->why, "its table of price lines has no number", b->names.prices_n + 1);
    enum err e = projection_add_price(&b->names, text, &made);
    return e == ERR_SYNTAX ? damaged(b->why, "this is no price line: number", id) : e;
}

static enum err take_account(void *owner, uint32_t account, uint32_t currency, money posted)
{
    struct books *b = owner;
    return tally_move(&b->tail, account, currency, posted);
}

static enum err tail_entry(void *owner, uint64_t seq, const struct entry *entry, struct span body)
{
    struct books *b = owner;
    struct rollup row;
    (void)body;
    if (entry->kind == ENTRY_POSTING)
        return tally_book_posting(&b->tail, &entry->posting);
    if (entry->kind != ENTRY_USAGE)
        return ERR_OK;
    rollup_of(&entry->usage, seq, &row);
    tally_add_row(&b->tail, &row);
    return ERR_OK;
}

static enum err read_tail(struct books *b)
{
    char what[256] = "";
    enum err e = books_each(b, b->flushed, b->size, tail_entry, b);
    for (uint32_t i = 0; !e && i < b->tail.rows_n; i++)
        e = tally_book_row(&b->tail, &b->tail.rows[i], what);
    if (e == ERR_NOT_FOUND)
        snprintf(b->why, sizeof b->why, "the ledger is damaged: %s: restore it from a backup", what);
    return e == ERR_NOT_FOUND ? ERR_SYNTAX : e;
}

static enum err read_meta(struct books *b, const char *key, struct buf *ret)
{
    enum err e = store_meta(b->store, key, ret);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err read_flushed(struct books *b)
{
    struct buf text;
    buf_init(&text, 64);
    enum err e = read_meta(b, META_FLUSHED, &text);
    if (!e && buf_bytes(&text) && (!span_to_u64(buf_span(&text), &b->flushed) || b->flushed > b->size))
        e = damaged(b->why, "what it says was flushed is not in the log, which has entries to", b->size);
    buf_fini(&text);
    return e;
}

static enum err read_all(struct books *b)
{
    enum err e = store_snapshot(b->store);
    if (!e)
        e = store_log_size(b->store, &b->size);
    if (!e)
        e = read_flushed(b);
    if (!e)
        e = read_meta(b, META_ORIGIN, &b->origin);
    if (!e)
        e = read_meta(b, META_PUBLIC_KEY, &b->public_key);
    if (!e)
        e = store_each_name(b->store, take_name, b);
    if (!e)
        e = store_each_price(b->store, take_price, b);
    if (!e)
        e = store_each_account(b->store, take_account, b);
    return e ? e : read_tail(b);
}

static const char *store_path(const char *dir, char out[4096])
{
    struct stat status;
    bool is_directory = stat(dir, &status) == 0 && S_ISDIR(status.st_mode);
    snprintf(out, 4096, is_directory ? "%s/ledger.db" : "%s", dir);
    return out;
}

enum err books_open(const char *dir, struct books **ret, char why[512])
{
    char path[4096];
    struct books *b = calloc(1, sizeof *b);
    CHECK(b);
    projection_init(&b->names, BOOKS_SEED);
    tally_init(&b->tail, &b->names);
    buf_init(&b->origin, ENTRY_NAME_BYTES_MAX);
    buf_init(&b->public_key, ENTRY_NAME_BYTES_MAX);
    enum err e = store_open(&(struct store_options){.path = store_path(dir, path), .mode = STORE_READ}, &b->store, why);
    if (!e && (e = read_all(b)) != ERR_OK)
        snprintf(why, 512, "%s", books_why(b)[0] ? books_why(b) : err_sentence(e));
    if (e)
        books_close(b);
    else
        *ret = b;
    return e;
}

void books_close(struct books *b)
{
    if (!b)
        return;
    if (b->store)
        store_rollback(b->store);
    store_close(b->store);
    tally_fini(&b->tail);
    projection_fini(&b->names);
    buf_fini(&b->origin);
    buf_fini(&b->public_key);
    free(b->tile);
    free(b);
}

struct store *books_store(struct books *b) { return b->store; }
const char *books_why(const struct books *b) { return b->why[0] ? b->why : store_why(b->store); }
uint64_t books_size(const struct books *b) { return b->size; }
struct span books_name(const struct books *b, uint32_t id) { return projection_text(&b->names, id); }
uint32_t books_name_id(const struct books *b, struct span name) { return projection_name(&b->names, name); }
uint32_t books_prices_n(const struct books *b) { return b->names.prices_n; }
struct span books_origin(const struct books *b) { return buf_span(&b->origin); }
struct span books_public_key(const struct books *b) { return buf_span(&b->public_key); }

const struct price_line *books_price(const struct books *b, uint32_t id)
{
    return id && id <= b->names.prices_n ? b->names.prices[id - 1].line : NULL;
}

/* ---- entries ---- */

struct decoding {
    struct books *books;
    books_entry_fn *fn;
    void *owner;
    struct entry entry;
};

static enum err decode_one(void *owner, uint64_t seq, struct span body)
{
    struct decoding *d = owner;
    if (entry_decode(body, &d->entry) != ERR_OK)
        return damaged(d->books->why, "this is no entry: number", seq);
    return d->fn(d->owner, seq, &d->entry, body);
}

enum err books_each(struct books *b, uint64_t from, uint64_t until, books_entry_fn *fn, void *owner)
{
    struct decoding d = {.books = b, .fn = fn, .owner = owner};
    return store_each_entry(b->store, from, until < b->size ? until : b->size, decode_one, &d);
}

enum err books_range(struct books *b, int64_t from_us, int64_t until_us, uint64_t *ret_from, uint64_t *ret_until)
{
    uint64_t from, until;
    enum err e = store_seq_at(b->store, from_us, &from);
    if (!e)
        e = store_seq_at(b->store, until_us, &until);
    if (e)
        return e;
    *ret_from = from;
    *ret_until = until > from ? until : from;
    return ERR_OK;
}

/* ---- sums ---- */

static enum err each_of_tail(struct books *b, int64_t from_us, int64_t until_us, store_rollup_fn *fn, void *owner)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; !e && i < b->tail.rows_n; i++)
        if (b->tail.rows[i].bucket_us >= from_us && b->tail.rows[i].bucket_us < until_us)
            e = fn(owner, &b->tail.rows[i]);
    return e;
}

enum err books_each_rollup(struct books *b, int64_t from_us, int64_t until_us, store_rollup_fn *fn, void *owner)
{
    enum err e = store_each_rollup(b->store, from_us, until_us, fn, owner);
    return e ? e : each_of_tail(b, from_us, until_us, fn, owner);
}

enum err books_each_use(struct books *b, int64_t from_us, store_rollup_fn *fn, void *owner)
{
    enum err e = store_each_use(b->store, from_us, fn, owner);
    return e ? e : each_of_tail(b, from_us, INT64_MAX, fn, owner);
}

static int compare_texts(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

static int compare_accounts(const void *left, const void *right, void *owner)
{
    const struct tally_account *a = left, *b = right;
    int order = compare_texts(books_name(owner, a->account), books_name(owner, b->account));
    return order ? order : compare_texts(books_name(owner, a->currency), books_name(owner, b->currency));
}

enum err books_each_account(struct books *b, books_account_fn *fn, void *owner)
{
    uint32_t n = b->tail.accounts_n;
    struct tally_account *sorted = calloc(n ? n : 1, sizeof *sorted);
    enum err e = ERR_OK;
    CHECK(sorted);
    if (n)
        memcpy(sorted, b->tail.accounts, n * sizeof *sorted);
    qsort_r(sorted, n, sizeof *sorted, compare_accounts, b);
    for (uint32_t i = 0; !e && i < n; i++)
        e = fn(owner, books_name(b, sorted[i].account), books_name(b, sorted[i].currency), sorted[i].posted);
    free(sorted);
    return e;
}

/* ---- a request ---- */

void books_request_id(const struct entry_usage *u, char out[RECORD_ID_BYTES]) { record_id_write(u->issuer, u->counter, out); }

struct finding {
    uint64_t issuer, counter;
    books_entry_fn *fn;
    void *owner;
    bool found, found_own;
    int64_t began_us, earliest_us; /* of the request; of the entries of this step */
};

static enum err find_in_step(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    struct finding *f = owner;
    if (e->kind != ENTRY_USAGE)
        return ERR_OK;
    if (e->usage.booked_us < f->earliest_us)
        f->earliest_us = e->usage.booked_us;
    if (e->usage.issuer != f->issuer || e->usage.counter != f->counter)
        return ERR_OK;
    f->found = true;
    f->found_own |= e->usage.attempt == 0;
    f->began_us = e->usage.wall_us;
    return f->fn(f->owner, seq, e, body);
}

/* Backwards, a step at a time; behind the request's own entry only as far back as the request's beginning. */
enum err books_find_request(struct books *b, struct span id, books_entry_fn *fn, void *owner)
{
    struct finding f = {.fn = fn, .owner = owner, .earliest_us = INT64_MAX};
    enum err e = ERR_OK;
    if (!record_id_parse(id, &f.issuer, &f.counter))
        return ERR_NOT_FOUND;
    for (uint64_t until = b->size; !e && until && !(f.found_own && f.earliest_us < f.began_us); ) {
        uint64_t from = until > FIND_STEP ? until - FIND_STEP : 0;
        e = books_each(b, from, until, find_in_step, &f);
        until = from;
    }
    return e ? e : f.found ? ERR_OK : ERR_NOT_FOUND;
}

/* ---- open holds ---- */

struct holds {
    struct books *books;
    struct hold *list;
    uint32_t n, room;
    struct index by_id;
    uint64_t from_seq; /* of the oldest row */
};

static struct hold *find_hold(const struct holds *h, uint64_t issuer, uint64_t counter)
{
    uint32_t hash = index_hash_u64(issuer, counter), at = index_first(&h->by_id, hash);
    for (uint32_t i; (i = index_item(&h->by_id, hash, &at)) != 0; at++)
        if (h->list[i - 1].issuer == issuer && h->list[i - 1].counter == counter)
            return &h->list[i - 1];
    return NULL;
}

static void keep_hold(struct holds *h, const struct hold *hold)
{
    struct hold *known = find_hold(h, hold->issuer, hold->counter);
    if (known) {
        *known = *hold;
        return;
    }
    if (h->n == h->room) {
        h->room = h->room ? 2 * h->room : 64;
        h->list = realloc(h->list, h->room * sizeof *h->list);
        CHECK(h->list);
    }
    h->list[h->n++] = *hold;
    index_insert(&h->by_id, index_hash_u64(hold->issuer, hold->counter), h->n);
}

static enum err take_batch(void *owner, uint64_t batch, uint64_t seq, struct span body)
{
    struct holds *h = owner;
    struct hold hold;
    h->from_seq = seq < h->from_seq ? seq : h->from_seq;
    while (body.n) {
        if (hold_decode(&body, &hold) != ERR_OK)
            return damaged(h->books->why, "these are no holds: batch", batch);
        keep_hold(h, &hold);
    }
    return ERR_OK;
}

static enum err end_hold(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    struct holds *h = owner;
    struct hold *ended = e->kind == ENTRY_USAGE && e->usage.attempt == 0 ? find_hold(h, e->usage.issuer, e->usage.counter) : NULL;
    (void)seq;
    (void)body;
    if (ended)
        ended->counter = UINT64_MAX; /* no id's */
    return ERR_OK;
}

static void copy_name(const struct books *b, uint32_t id, char to[RECORD_NAME_BYTES]) { record_set_name(to, books_name(b, id)); }

static void name_hold(const struct books *b, const struct hold *h, struct ledger_hold *ret)
{
    *ret = (struct ledger_hold){.issuer = h->issuer, .counter = h->counter, .wall_us = h->wall_us, .api = h->api, .stream = h->stream,
                                .buy = books_price(b, h->buy), .sell = books_price(b, h->sell), .input_expected = h->input_expected,
                                .output_max = h->output_max, .held = h->held};
    copy_name(b, h->key, ret->key);
    copy_name(b, h->department, ret->department);
    copy_name(b, h->party, ret->party);
    copy_name(b, h->model_asked, ret->model_asked);
    copy_name(b, h->provider, ret->provider);
    copy_name(b, h->model, ret->model);
}

enum err books_each_hold(struct books *b, books_hold_fn *fn, void *owner)
{
    struct holds h = {.books = b, .from_seq = UINT64_MAX};
    enum err e = store_each_holds(b->store, take_batch, &h);
    if (!e && h.n)
        e = books_each(b, h.from_seq, b->size, end_hold, &h);
    for (uint32_t i = 0; !e && i < h.n; i++) {
        struct ledger_hold named;
        if (h.list[i].counter == UINT64_MAX)
            continue;
        name_hold(b, &h.list[i], &named);
        e = fn(owner, &named);
    }
    index_fini(&h.by_id);
    free(h.list);
    return e;
}

/* ---- hashes ---- */

static enum err take_leaf(void *owner, uint64_t seq, struct span body)
{
    struct books_tile *t = owner;
    merkle_leaf(body, &t->leaves[seq % STORE_TILE]);
    t->have++;
    return ERR_OK;
}

/* The hashes of the leaves of one tile: of its entries, or as they were kept when entries went. */
static bool load_tile(struct books *b, uint64_t n)
{
    struct buf kept;
    struct hash root;
    uint64_t from = n * STORE_TILE, until = from + STORE_TILE < b->size ? from + STORE_TILE : b->size;
    if (b->tile && b->tile->n == n && b->tile->have)
        return true;
    if (!b->tile)
        CHECK((b->tile = calloc(1, sizeof *b->tile)) != NULL);
    *b->tile = (struct books_tile){.n = n};
    if (from >= b->size || store_each_entry(b->store, from, until, take_leaf, b->tile) != ERR_OK)
        return false;
    if (b->tile->have == until - from)
        return true;
    buf_init(&kept, sizeof b->tile->leaves);
    bool ok = store_tile(b->store, n, root.bytes, &kept) == ERR_OK && buf_bytes(&kept) == sizeof b->tile->leaves;
    if (ok)
        memcpy(b->tile->leaves, buf_span(&kept).p, sizeof b->tile->leaves);
    b->tile->have = ok ? STORE_TILE : 0;
    buf_fini(&kept);
    return ok;
}

bool books_subtree(void *owner, unsigned level, uint64_t index, struct hash *ret)
{
    struct books *b = owner;
    struct hash left, right;
    if (level >= 63 || index >= b->size >> level)
        return false;
    if (level == 0) {
        if (!load_tile(b, index / STORE_TILE))
            return false;
        *ret = b->tile->leaves[index % STORE_TILE];
        return true;
    }
    if (level == STORE_TILE_LEVEL)
        return store_tile(b->store, index, ret->bytes, NULL) == ERR_OK;
    if (!books_subtree(b, level - 1, 2 * index, &left) || !books_subtree(b, level - 1, 2 * index + 1, &right))
        return false;
    merkle_node(&left, &right, ret);
    return true;
}
