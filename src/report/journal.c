/* SPDX-License-Identifier: Apache-2.0
 *
 * Journals for hledger, ledger and beancount: what usage and postings moved, and at the end of each day the balance of each account that it
 * touched, which their programs check. One pass; in memory are the accounts, and when grouped the pairs of accounts of one day.
 *
 * hledger and ledger read the same text. Both of them and beancount get each amount with all its 15 decimals: they infer how exactly a
 * transaction must balance from the decimals that they see.
 */
#include "report/journal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "report/text.h"

const char *const journal_tags[] = {"seq", "attempt", "key", "department", "party", "model", "tier", "source", "recovered", "requests", "unpriced",
                                    "cause", "refers_to"};
const size_t journal_tags_n = COUNT_OF(journal_tags);

/* ---- rows: an account in a currency; in none, its name; without a name, the currency ---- */

static uint32_t row_hash(struct span account, struct span currency) { return (uint32_t)span_hash(account, span_hash(currency, 1)); }

static uint32_t find_row(const struct journal *j, struct span account, struct span currency)
{
    uint32_t hash = row_hash(account, currency);
    for (uint32_t at = index_first(&j->by_name, hash), item; (item = index_item(&j->by_name, hash, &at)); at++)
        if (span_eq(j->rows[item - 1].account, account) && span_eq(j->rows[item - 1].currency, currency))
            return item;
    return 0;
}

static uint32_t new_row(struct journal *j, struct span account, struct span currency)
{
    if (j->rows_n == j->rows_room) {
        j->rows_room = j->rows_room ? 2 * j->rows_room : 64;
        CHECK((j->rows = reallocarray(j->rows, j->rows_room, sizeof *j->rows)));
    }
    j->rows[j->rows_n++] = (struct journal_row){.account = arena_dup(&j->arena, account), .currency = arena_dup(&j->arena, currency)};
    index_insert(&j->by_name, row_hash(account, currency), j->rows_n);
    return j->rows_n;
}

static enum err write_name(struct journal *j, struct span account, struct span *ret)
{
    struct buf b;
    buf_init(&b, 64u * KIB);
    enum err e = j->dialect->name(&b, account);
    *ret = e ? SPAN_NONE : arena_dup(&j->arena, buf_span(&b));
    buf_fini(&b);
    return e;
}

static enum err currency_is_writable(struct journal *j, struct span currency)
{
    bool good = currency.n >= 2 && currency.n <= 24;
    for (size_t i = 0; i < currency.n; i++)
        good = good && currency.p[i] >= 'A' && currency.p[i] <= 'Z';
    if (!good)
        snprintf(j->job->why, 512, "journals cannot have the currency \"%.*s\": theirs are capital letters", SPAN_ARG(currency));
    return good ? ERR_OK : ERR_RANGE;
}

static enum err get_commodity(struct journal *j, struct span currency, uint32_t *ret)
{
    *ret = find_row(j, SPAN_NONE, currency);
    enum err e = *ret ? ERR_OK : currency_is_writable(j, currency);
    if (!e && !*ret)
        *ret = new_row(j, SPAN_NONE, currency);
    return e;
}

static enum err get_name(struct journal *j, struct span account, uint32_t *ret)
{
    struct span written;
    *ret = find_row(j, account, SPAN_NONE);
    enum err e = *ret ? ERR_OK : write_name(j, account, &written);
    if (!e && !*ret) {
        *ret = new_row(j, account, SPAN_NONE);
        j->rows[*ret - 1].written = written;
    }
    return e;
}

/* The account in the currency, made when it is new. */
static enum err get_row(struct journal *j, struct span account, struct span currency, uint32_t *ret)
{
    uint32_t name, commodity;
    *ret = find_row(j, account, currency);
    if (*ret)
        return ERR_OK;
    enum err e = get_commodity(j, currency, &commodity);
    e = e ? e : get_name(j, account, &name);
    if (e)
        return e;
    *ret = new_row(j, account, currency);
    struct journal_row *r = &j->rows[*ret - 1];
    r->name = name;
    r->commodity = commodity;
    r->written = j->rows[name - 1].written;
    return ERR_OK;
}

static enum err add_to_row(struct journal *j, uint32_t row, money amount)
{
    struct journal_row *r = &j->rows[row - 1];
    if (!money_add(r->balance, amount, &r->balance))
        return ERR_RANGE;
    if (j->dialect->digits_max && (r->balance >= j->dialect->digits_max || r->balance <= -j->dialect->digits_max)) {
        snprintf(j->job->why, 512, "the balance of %.*s needs more than the 28 digits that %s computes with: export for hledger or ledger",
                 SPAN_ARG(r->account), j->dialect->name_of);
        return ERR_RANGE;
    }
    if (!r->touched) {
        r->touched = true;
        r->next_touched = j->touched;
        j->touched = row;
    }
    return ERR_OK;
}

/* ---- what stands before its first use ---- */

static enum err declare(struct journal *j, uint32_t row)
{
    struct journal_row *name = &j->rows[j->rows[row - 1].name - 1], *commodity = &j->rows[j->rows[row - 1].commodity - 1];
    enum err e = ERR_OK;
    if (!commodity->declared)
        e = j->dialect->commodity(j, commodity->currency);
    if (!e && !name->declared)
        e = j->dialect->open(j, name);
    name->declared = commodity->declared = true;
    return e;
}

/* ---- transactions ---- */

static enum err post(struct journal *j, uint32_t row, money amount)
{
    char text[MONEY_TEXT_BYTES];
    const struct journal_row *r = &j->rows[row - 1];
    struct span digits = money_format(text, amount, MONEY_DECIMALS);
    return buf_printf(j->job->out, "    %-56.*s  %*s%.*s %.*s\n", SPAN_ARG(r->written), (int)(digits.n < 24 ? 24 - digits.n : 0), "",
                      SPAN_ARG(digits), SPAN_ARG(r->currency));
}

static enum err put_tag(struct journal *j, const char *name, struct span value)
{
    return value.n ? j->dialect->tag(j, name, value) : ERR_OK;
}

static enum err put_count(struct journal *j, const char *name, int64_t count)
{
    char digits[SPAN_U64_BYTES];
    return count > 0 ? j->dialect->tag(j, name, span_of_u64(digits, (uint64_t)count)) : ERR_OK;
}

static enum err put_counts(struct journal *j, const int64_t *count)
{
    enum err e = ERR_OK;
    for (int c = 0; c < USAGE_CLASSES && !e; c++)
        if (c != USAGE_REQUEST)
            e = put_count(j, usage_class_name((enum usage_class)c), count[c]);
    return e;
}

static enum err put_unpriced(struct journal *j, uint32_t classes)
{
    char names[MOVEMENT_CLASSES_BYTES];
    return put_tag(j, "unpriced", movement_classes(names, classes));
}

/* What nobody set a price for moves no money, and is no transaction; a journal that left it out would look complete. */
static enum err put_remark(struct journal *j, struct span id, struct span words, uint32_t unpriced)
{
    char names[MOVEMENT_CLASSES_BYTES];
    enum err e = buf_printf(j->job->out, "; %s %.*s ", j->day.label, SPAN_ARG(id));
    e = e ? e : text_put_ascii(j->job->out, words, "");
    return e ? e : buf_printf(j->job->out, " has no price for: %.*s\n\n", SPAN_ARG(movement_classes(names, unpriced)));
}

static enum err usage_tags(struct journal *j, const struct walk_step *s, const struct movement_usage *u)
{
    struct books *b = j->job->books;
    const struct { const char *name; struct span value; } names[] = {
        {"key", books_name(b, u->key)}, {"department", books_name(b, u->department)}, {"party", books_name(b, u->party)},
        {"model", books_name(b, u->model_asked)}, {"tier", books_name(b, u->tier)},
        {"source", u->source == USAGE_SOURCE_REPORTED ? SPAN_NONE : span_str(usage_source_name(u->source))},
        {"recovered", s->entry && s->entry->usage.recovered ? SPAN("yes") : SPAN_NONE},
    };
    enum err e = put_count(j, "attempt", s->entry ? s->entry->usage.attempt : 0);
    for (size_t i = 0; i < COUNT_OF(names) && !e; i++)
        e = put_tag(j, names[i].name, names[i].value);
    e = e || s->entry ? e : put_count(j, "requests", u->requests);
    e = e ? e : put_counts(j, u->count);
    return e ? e : put_unpriced(j, u->buy_unpriced | u->sell_unpriced);
}

/* ---- one step, one transaction ---- */

static enum err resolve(struct journal *j, const struct movements *m, uint32_t rows[2 * POSTING_TRANSFERS_MAX])
{
    enum err e = ERR_OK;
    for (unsigned i = 0; i < m->n && !e; i++) {
        e = get_row(j, m->at[i].debit, m->at[i].currency, &rows[2 * i]);
        e = e ? e : get_row(j, m->at[i].credit, m->at[i].currency, &rows[2 * i + 1]);
        e = e ? e : add_to_row(j, rows[2 * i], m->at[i].amount);
        e = e ? e : add_to_row(j, rows[2 * i + 1], -m->at[i].amount);
    }
    return e;
}

static enum err write_legs(struct journal *j, const struct movements *m, const uint32_t *rows)
{
    enum err e = ERR_OK;
    for (unsigned i = 0; i < m->n && !e; i++) {
        e = post(j, rows[2 * i], m->at[i].amount);
        e = e ? e : post(j, rows[2 * i + 1], -m->at[i].amount);
    }
    j->job->result->rows++;
    return e ? e : buf_append(j->job->out, SPAN("\n"));
}

static enum err write_usage(struct journal *j, const struct walk_step *s, const struct movement_usage *u, bool head_only)
{
    char id[RECORD_ID_BYTES] = "", text[2 * RECORD_NAME_BYTES + 32];
    struct span provider = books_name(j->job->books, u->provider), model = books_name(j->job->books, u->model);
    int n = snprintf(text, sizeof text, "usage %.*s %.*s%s", SPAN_ARG(provider), SPAN_ARG(model), s->entry ? "" : " (compacted)");
    if (s->entry)
        books_request_id(&s->entry->usage, id);
    struct span words = span_to(span_of(text, (size_t)n), sizeof text - 1);
    if (head_only)
        return put_remark(j, span_str(id), words, u->buy_unpriced | u->sell_unpriced);
    enum err e = j->dialect->head(j, span_str(id), words);
    e = e ? e : put_count(j, "seq", (int64_t)s->seq);
    return e ? e : usage_tags(j, s, u);
}

static enum err write_posting(struct journal *j, const struct walk_step *s)
{
    const struct entry_posting *p = &s->entry->posting;
    enum err e = j->dialect->head(j, p->key, p->memo.n ? p->memo : span_str(posting_cause_name(p->cause)));
    e = e ? e : put_count(j, "seq", (int64_t)s->seq);
    e = e ? e : put_tag(j, "cause", span_str(posting_cause_name(p->cause)));
    return e ? e : put_count(j, "refers_to", p->refers_to ? (int64_t)p->refers_to - 1 : 0);
}

static enum err write_step(struct journal *j, const struct walk_step *s, const uint32_t *rows)
{
    struct movement_usage u;
    enum err e = ERR_OK;
    bool usage = movement_usage_of(s, &u);
    if (!j->movements.n) /* nothing moved: said where a price is missing, else not at all */
        return usage && u.buy_unpriced ? write_usage(j, s, &u, true) : ERR_OK;
    for (unsigned i = 0; i < 2 * j->movements.n && !e; i++)
        e = declare(j, rows[i]);
    e = e ? e : usage ? write_usage(j, s, &u, false) : write_posting(j, s);
    return e ? e : write_legs(j, &j->movements, rows);
}

/* ---- grouped by day: one transaction for each pair of accounts ---- */

static struct journal_group *get_group(struct journal *j, const uint32_t rows[2])
{
    uint32_t hash = index_hash_u64(rows[0], rows[1]);
    for (uint32_t at = index_first(&j->by_pair, hash), item; (item = index_item(&j->by_pair, hash, &at)); at++)
        if (j->groups[item - 1].rows[0] == rows[0] && j->groups[item - 1].rows[1] == rows[1])
            return &j->groups[item - 1];
    if (j->groups_n == j->groups_room) {
        j->groups_room = j->groups_room ? 2 * j->groups_room : 64;
        CHECK((j->groups = reallocarray(j->groups, j->groups_room, sizeof *j->groups)));
    }
    j->groups[j->groups_n++] = (struct journal_group){.rows = {rows[0], rows[1]}};
    index_insert(&j->by_pair, hash, j->groups_n);
    return &j->groups[j->groups_n - 1];
}

static enum err add_to_groups(struct journal *j, const struct movement_usage *u, const uint32_t *rows)
{
    for (unsigned i = 0; i < j->movements.n; i++) {
        struct journal_group *g = get_group(j, &rows[2 * i]);
        if (!money_add(g->amount, j->movements.at[i].amount, &g->amount))
            return ERR_RANGE;
        g->entries += u->requests;
        for (int c = 0; c < USAGE_CLASSES; c++)
            g->count[c] += u->count[c] > 0 ? u->count[c] : 0;
        g->unpriced |= j->movements.at[i].kind == MOVEMENT_BUY ? u->buy_unpriced : u->sell_unpriced;
    }
    return ERR_OK;
}

static enum err write_group(struct journal *j, const struct journal_group *g)
{
    enum err e = declare(j, g->rows[0]);
    e = e ? e : declare(j, g->rows[1]);
    e = e ? e : j->dialect->head(j, SPAN_NONE, SPAN("usage of the day"));
    e = e ? e : put_count(j, "requests", g->entries);
    e = e ? e : put_counts(j, g->count);
    e = e ? e : put_unpriced(j, g->unpriced);
    e = e ? e : post(j, g->rows[0], g->amount);
    e = e ? e : post(j, g->rows[1], -g->amount);
    j->job->result->rows++;
    return e ? e : buf_append(j->job->out, SPAN("\n"));
}

static enum err write_groups(struct journal *j)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < j->groups_n && !e; i++)
        e = write_group(j, &j->groups[i]);
    j->groups_n = 0;
    index_fini(&j->by_pair);
    return e;
}

/* ---- days ---- */

/* Of an account and all below it, as beancount understands a balance. */
static money balance_with_parts(const struct journal *j, const struct journal_row *r)
{
    money sum = r->balance;
    for (uint32_t i = 0; i < j->rows_n; i++) {
        const struct journal_row *other = &j->rows[i];
        if (span_starts(other->account, r->account) && other->account.n > r->account.n && other->account.p[r->account.n] == ':' &&
            span_eq(other->currency, r->currency) && other->name)
            sum += other->balance;
    }
    return sum;
}

static enum err write_balances(struct journal *j)
{
    enum err e = ERR_OK;
    for (uint32_t row = j->touched; row && !e; row = j->rows[row - 1].next_touched)
        e = declare(j, row);
    e = e ? e : j->dialect->begin_balances(j);
    while (j->touched && !e) {
        struct journal_row *r = &j->rows[j->touched - 1];
        j->touched = r->next_touched;
        r->touched = false;
        e = j->dialect->balance(j, r, j->dialect->counts_parts ? balance_with_parts(j, r) : r->balance);
    }
    return e ? e : buf_append(j->job->out, SPAN("\n"));
}

static enum err end_day(struct journal *j)
{
    enum err e = j->day.until_us ? write_groups(j) : ERR_OK;
    return e || !j->touched || !j->day.until_us ? e : write_balances(j);
}

/* What was there before the range: balances of accounts sum to nothing, so they are a transaction of their own. */
static enum err write_opening(struct journal *j)
{
    bool any = false;
    enum err e = ERR_OK;
    j->opened = true;
    for (uint32_t i = 1; i <= j->rows_n && !e; i++)
        if (j->rows[i - 1].name && j->rows[i - 1].balance) {
            any = true;
            e = declare(j, i);
        }
    if (e || !any)
        return e;
    e = j->dialect->head(j, SPAN_NONE, SPAN("opening balances"));
    for (uint32_t i = 1; i <= j->rows_n && !e; i++)
        if (j->rows[i - 1].name && j->rows[i - 1].balance)
            e = post(j, i, j->rows[i - 1].balance);
    j->job->result->rows++;
    return e ? e : buf_append(j->job->out, SPAN("\n"));
}

static enum err turn_to_day(struct journal *j, int64_t booked_us)
{
    if (j->day.until_us && booked_us < j->day.until_us)
        return ERR_OK;
    enum err e = end_day(j);
    period_at(j->job->options->zone, PERIOD_DAY, booked_us, &j->day);
    return e || j->opened ? e : write_opening(j);
}

/* ---- the writer ---- */

enum err journal_step(struct export_job *job, void *state, const struct walk_step *s)
{
    struct journal *j = state;
    struct movement_usage u;
    uint32_t rows[2 * POSTING_TRANSFERS_MAX];
    enum err e = movements_of(job->books, s, &j->movements);
    bool says = j->movements.n || (movement_usage_of(s, &u) && u.buy_unpriced);
    if (!e && says && !s->is_past)
        e = turn_to_day(j, s->booked_us);
    e = e ? e : resolve(j, &j->movements, rows);
    if (e || s->is_past || !says)
        return e;
    if (job->options->by == EXPORT_BY_DAY && j->movements.n && movement_usage_of(s, &u))
        return add_to_groups(j, &u, rows);
    return write_step(j, s, rows);
}

enum err journal_open(struct export_job *job, const struct journal_dialect *d, void **ret)
{
    struct journal *j = calloc(1, sizeof *j);
    CHECK(j);
    j->job = job;
    j->dialect = d;
    arena_init(&j->arena, 4096);
    movements_init(&j->movements);
    *ret = j;
    return d->begin(j);
}

/* A range without a movement still has balances from before: they open at its begin. */
enum err journal_end(struct export_job *job, void *state)
{
    struct journal *j = state;
    enum err e = ERR_OK;
    if (!j->opened && job->options->from_us != INT64_MIN)
        e = turn_to_day(j, job->options->from_us);
    e = e ? e : end_day(j);
    return e ? e : buf_append(job->out, SPAN("; "));
}

void journal_close(void *state)
{
    struct journal *j = state;
    if (!j)
        return;
    movements_fini(&j->movements);
    index_fini(&j->by_name);
    index_fini(&j->by_pair);
    arena_fini(&j->arena);
    free(j->groups);
    free(j->rows);
    free(j);
}
