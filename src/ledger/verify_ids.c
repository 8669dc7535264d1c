/* SPDX-License-Identifier: Apache-2.0
 *
 * Each request once. Ids of an issuer count up, so a set of them is pages of bits: a bit and a half per request where the log is in order, and never
 * more than a page per entry where it is not.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "ledger/verify_private.h"

/* ---- sets ---- */

static struct id_page *find_page(struct id_set *s, uint64_t issuer, uint64_t number)
{
    if (s->last < s->pages_n && s->pages[s->last].issuer == issuer && s->pages[s->last].number == number)
        return &s->pages[s->last];
    uint32_t hash = index_hash_u64(issuer, number), at = index_first(&s->by_page, hash);
    for (uint32_t i; (i = index_item(&s->by_page, hash, &at)) != 0; at++)
        if (s->pages[i - 1].issuer == issuer && s->pages[i - 1].number == number) {
            s->last = i - 1;
            return &s->pages[i - 1];
        }
    return NULL;
}

static struct id_page *make_page(struct id_set *s, uint64_t issuer, uint64_t number)
{
    s->pages = verify_grow(s->pages, sizeof *s->pages, s->pages_n, &s->pages_room);
    s->last = s->pages_n++;
    s->pages[s->last] = (struct id_page){.issuer = issuer, .number = number};
    index_insert(&s->by_page, index_hash_u64(issuer, number), s->pages_n);
    return &s->pages[s->last];
}

bool id_set_add(struct id_set *s, uint64_t issuer, uint64_t counter)
{
    struct id_page *page = find_page(s, issuer, counter / ID_PAGE_BITS);
    if (!page)
        page = make_page(s, issuer, counter / ID_PAGE_BITS);
    uint64_t *word = &page->bits[counter % ID_PAGE_BITS / 64], bit = 1ull << counter % 64;
    bool is_new = !(*word & bit);
    *word |= bit;
    return is_new;
}

bool id_set_has(struct id_set *s, uint64_t issuer, uint64_t counter)
{
    const struct id_page *page = find_page(s, issuer, counter / ID_PAGE_BITS);
    return page && page->bits[counter % ID_PAGE_BITS / 64] >> counter % 64 & 1;
}

void id_set_fini(struct id_set *s)
{
    index_fini(&s->by_page);
    free(s->pages);
    *s = (struct id_set){.pages = NULL};
}

/* ---- issuers ---- */

static struct seen_issuer *find_issuer(struct verify *v, uint64_t issuer)
{
    if (v->issuer_last < v->issuers_n && v->issuers[v->issuer_last].issuer == issuer)
        return &v->issuers[v->issuer_last];
    uint32_t hash = index_hash_u64(issuer, 0), at = index_first(&v->by_issuer, hash);
    for (uint32_t i; (i = index_item(&v->by_issuer, hash, &at)) != 0; at++)
        if (v->issuers[i - 1].issuer == issuer) {
            v->issuer_last = i - 1;
            return &v->issuers[i - 1];
        }
    return NULL;
}

static void see_issuer(struct verify *v, const struct entry_usage *u)
{
    struct seen_issuer *is = find_issuer(v, u->issuer);
    if (!is) {
        v->issuers = verify_grow(v->issuers, sizeof *v->issuers, v->issuers_n, &v->issuers_room);
        is = &v->issuers[v->issuers_n++];
        *is = (struct seen_issuer){.issuer = u->issuer};
        index_insert(&v->by_issuer, index_hash_u64(u->issuer, 0), v->issuers_n);
    }
    if (u->counter > is->counter)
        is->counter = u->counter;
}

static enum err compare_issuer(void *owner, uint64_t issuer, uint64_t counter)
{
    struct verify *v = owner;
    struct seen_issuer *is = find_issuer(v, issuer);
    if (is && counter < is->counter)
        verify_fault(v, "issuer %" PRIu64 ": the store says that its ids went to %" PRIu64 ", but the log has one of %" PRIu64, issuer, counter, is->counter);
    if (is)
        is->counter = 0; /* it was met */
    return ERR_OK;
}

/* ---- entries ---- */

void verify_ids_usage(struct verify *v, uint64_t seq, const struct entry_usage *u)
{
    char id[RECORD_ID_BYTES];
    if (seq < v->books->flushed)
        see_issuer(v, u);
    if (u->attempt) {
        v->lost = verify_grow(v->lost, sizeof *v->lost, v->lost_n, &v->lost_room);
        v->lost[v->lost_n++] = (struct lost_attempt){u->issuer, u->counter, seq, u->attempt};
    } else if (!id_set_add(&v->booked, u->issuer, u->counter)) {
        books_request_id(u, id);
        verify_fault(v, "entry %" PRIu64 ": request %s is booked a second time", seq, id);
    }
}

static int compare_u64(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }

static int compare_lost(const void *left, const void *right)
{
    const struct lost_attempt *a = left, *b = right;
    int order = compare_u64(a->issuer, b->issuer);
    order = order ? order : compare_u64(a->counter, b->counter);
    order = order ? order : compare_u64(a->attempt, b->attempt);
    return order ? order : compare_u64(a->seq, b->seq);
}

static void compare_attempts(struct verify *v)
{
    if (v->lost_n)
        qsort(v->lost, v->lost_n, sizeof *v->lost, compare_lost);
    for (uint32_t i = 1; i < v->lost_n; i++) {
        const struct lost_attempt *a = &v->lost[i - 1], *b = &v->lost[i];
        if (a->issuer == b->issuer && a->counter == b->counter && a->attempt == b->attempt)
            verify_fault(v, "entry %" PRIu64 ": attempt %u of the request of entry %" PRIu64 " is booked a second time", b->seq, b->attempt, a->seq);
    }
}

/* ---- holds ---- */

struct hold_check {
    struct verify *verify;
    struct id_set open;
};

static bool hold_is_sound(const struct books *b, const struct hold *h)
{
    const uint32_t names[] = {h->key, h->department, h->party, h->model_asked, h->provider, h->model};
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        if (names[i] > b->names.names_n)
            return false;
    return h->buy <= b->names.prices_n && h->sell <= b->names.prices_n && h->held >= 0 && h->issuer <= ENTRY_ISSUER_MAX &&
           h->counter <= ENTRY_COUNTER_MAX && h->opened_seq <= b->size;
}

static enum err check_batch(void *owner, uint64_t batch, uint64_t seq, struct span body)
{
    struct hold_check *c = owner;
    struct verify *v = c->verify;
    struct hold h;
    if (seq > v->books->size)
        verify_fault(v, "holds of batch %" PRIu64 ": they were written when the log had %" PRIu64 " entries, more than it has", batch, seq);
    while (body.n) {
        if (hold_decode(&body, &h) != ERR_OK || !hold_is_sound(v->books, &h)) {
            verify_fault(v, "holds of batch %" PRIu64 ": one of them is none", batch);
            return ERR_OK;
        }
        if (!id_set_has(&v->booked, h.issuer, h.counter) && id_set_add(&c->open, h.issuer, h.counter))
            v->report->holds_open++;
    }
    return ERR_OK;
}

enum err verify_ids_end(struct verify *v)
{
    struct hold_check holds = {.verify = v};
    compare_attempts(v);
    enum err e = store_each_issuer(v->books->store, compare_issuer, v);
    for (uint32_t i = 0; !e && i < v->issuers_n; i++)
        if (v->issuers[i].counter)
            verify_fault(v, "issuer %" PRIu64 ": the log has its ids, the store's table has not", v->issuers[i].issuer);
    if (!e)
        e = store_each_holds(v->books->store, check_batch, &holds);
    id_set_fini(&holds.open);
    return e;
}
