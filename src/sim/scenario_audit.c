/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit of a scenario; see scenario.h for what is audited. It reads a copy of the ledger's file as anyone could, and what clients and providers
 * counted themselves, so that it trusts nothing of what it judges.
 */
#include "sim/scenario_private.h"

#include "base/json.h"
#include "http/sse.h"
#include "neutral/tokenizer.h"

/* ---- what a client saw ---- */

/* The text that a client holds, counted; and how its stream ended. */
struct seen {
    int64_t tokens;
    int64_t input, output;      /* that the provider reported to the client; -1: did not */
    bool done, error, is_answer;
};

static void count_text(struct arena *a, struct span data, const char *path, struct token_counter *counter)
{
    struct span text;
    if (json_find_string(a, data, path, &text))
        token_counter_feed(counter, text);
}

/* choices[0] of a document as one span: json_find speaks only of objects. */
static struct span first_choice(struct span document)
{
    struct json j;
    struct span item = SPAN_NONE, choices = json_find(document, "choices");
    json_init(&j, choices);
    if (choices.n && json_enter_array(&j) == ERR_OK && json_next_item(&j) && json_skip(&j, &item) == ERR_OK)
        return item;
    return SPAN_NONE;
}

static void see_event(struct arena *a, struct span data, struct seen *seen, struct token_counter *counter)
{
    struct span choice = first_choice(data);
    (void)json_find_i64(data, "usage.prompt_tokens", &seen->input);
    (void)json_find_i64(data, "usage.completion_tokens", &seen->output);
    seen->done = seen->done || span_eq(data, SPAN("[DONE]"));
    seen->error = seen->error || json_find(data, "error").n;
    if (!choice.n)
        return;
    count_text(a, choice, "delta.content", counter);
    count_text(a, choice, "text", counter);
    count_text(a, choice, "message.content", counter);
}

static struct seen see(const struct sim_call *c)
{
    struct seen seen = {.input = -1, .output = -1};
    struct token_counter counter;
    struct arena arena;
    struct sse sse;
    struct sse_event event;
    arena_init(&arena, 1024);
    token_counter_init(&counter, TOKENIZER_O200K);
    if (c->stream && c->status == 200) {
        sse_init(&sse, LIMIT_EVENT_BYTES);
        sse_feed(&sse, buf_span(&c->answer));
        while (sse_next(&sse, &event) == ERR_OK)
            if (event.has_data)
                see_event(&arena, event.data, &seen, &counter);
        sse_fini(&sse);
    } else {
        see_event(&arena, buf_span(&c->answer), &seen, &counter);
        seen.is_answer = c->ended && c->status == 200;
    }
    seen.tokens = (int64_t)token_counter_finish(&counter);
    seen.is_answer = seen.is_answer || (c->ended && seen.done);
    arena_fini(&arena);
    return seen;
}

/* ---- requests ---- */

/* The exchange's own record, and not one of an attempt that was used and lost. */
static bool is_exchange(struct span line) { return line.n && !json_find(line, "attempt").n; }

static struct span record_of(struct span log, const char *id, unsigned *ret_n)
{
    struct span found = SPAN_NONE, rest = log;
    *ret_n = 0;
    while (rest.n) {
        struct span line = span_cut(&rest, '\n'), value = json_find(line, "id");
        if (is_exchange(line) && value.n == strlen(id) + 2 && memcmp(value.p + 1, id, value.n - 2) == 0) {
            found = line;
            ++*ret_n;
        }
    }
    return found;
}

static bool says(struct span record, const char *path, const char *word)
{
    struct span value = json_find(record, path);
    return value.n == strlen(word) + 2 && memcmp(value.p + 1, word, value.n - 2) == 0;
}

static bool is_recovered(struct span record) { return json_find(record, "recovered").n != 0; }

/* A record's count of one side, cached input and hidden reasoning included; -1 when it has none. */
static int64_t counted(struct span record, const char *class, const char *more_class)
{
    int64_t n = -1, more = 0;
    bool known = json_find_i64(record, class, &n);
    (void)json_find_i64(record, more_class, &more);
    return known ? n + more : -1;
}

static int64_t input_of(struct span record) { return counted(record, "usage.input", "usage.cache_read"); }
static int64_t output_of(struct span record) { return counted(record, "usage.output", "usage.reasoning"); }

static void audit_tokens(struct scenario *s, const struct sim_call *c, struct span record, const struct seen *seen)
{
    int64_t output = output_of(record);
    if (!c->text_wanted || c->status != 200)
        return;
    if (says(record, "outcome", "answered") && seen->is_answer && output != seen->tokens)
        complain(s, "%s: the client holds %lld tokens, the record says %lld", c->id, (long long)seen->tokens, (long long)output);
    if (!says(record, "outcome", "answered") && !is_recovered(record) && says(record, "usage.source", "estimated") && output < seen->tokens)
        complain(s, "%s: the client holds %lld tokens, the estimate says only %lld", c->id, (long long)seen->tokens, (long long)output);
}

static void audit_report(struct scenario *s, const struct sim_call *c, struct span record, const struct seen *seen)
{
    if (!seen->is_answer || seen->input < 0 || !says(record, "usage.source", "reported"))
        return;
    if (input_of(record) != seen->input || (seen->output >= 0 && output_of(record) > 0 && output_of(record) != seen->output))
        complain(s, "%s: the provider reported %lld in, %lld out; the record says %lld in, %lld out", c->id, (long long)seen->input,
                 (long long)seen->output, (long long)input_of(record), (long long)output_of(record));
}

/* How often an exchange must be in the books. At most once in any case. */
static bool must_be_booked(const struct scenario *s, const struct sim_call *c, const struct seen *seen)
{
    return seen->is_answer || s->result.lives == 1 || (s->books.strict && c->status == 200);
}

static void audit_record(struct scenario *s, const struct sim_call *c, struct span log, const struct seen *seen)
{
    unsigned n;
    struct span record = record_of(log, c->id, &n);
    if (n > 1 || (n == 0 && must_be_booked(s, c, seen)))
        complain(s, "%s: %u records (status %d, %s)", c->id, n, c->status, seen->is_answer ? "the client has the whole answer" : "not answered");
    if (n != 1)
        return;
    if (seen->is_answer && !says(record, "outcome", "answered"))
        complain(s, "%s: the client has the whole answer, the record is %.*s", c->id, SPAN_ARG(span_to(record, 200)));
    audit_tokens(s, c, record, seen);
    audit_report(s, c, record, seen);
}

static void audit_call(struct scenario *s, const struct sim_call *c, struct span log)
{
    struct seen seen = see(c);
    s->result.asked++;
    if (!c->ended && !c->failed && !c->left)
        complain(s, "a call never ended (status %d, %zu bytes)", c->status, buf_bytes(&c->answer));
    if (c->ended && c->stream && c->status == 200 && !seen.done && !seen.error)
        complain(s, "%s: a stream ended cleanly without [DONE] and without an error", c->id);
    if (seen.done && seen.error)
        complain(s, "%s: [DONE] after an error", c->id);
    if (c->id[0]) /* else the head never came, or the HTTP layer refused */
        audit_record(s, c, log, &seen);
}

/* ---- sums ---- */

void audit_outcomes(struct scenario *s)
{
    const struct exchange_stats *x = worker_exchange_stats(s->worker);
    s->result.answered = (unsigned)stat_read(&x->outcomes[RECORD_ANSWERED]);
    s->result.refused = (unsigned)stat_read(&x->outcomes[RECORD_REFUSED]);
    s->result.failed = (unsigned)stat_read(&x->outcomes[RECORD_FAILED]);
    s->result.broken = (unsigned)stat_read(&x->outcomes[RECORD_BROKEN]);
    s->result.abandoned = (unsigned)stat_read(&x->outcomes[RECORD_ABANDONED]);
    s->result.withheld = (unsigned)stat_read(&x->withheld);
}

static unsigned outcomes(const struct scenario_result *r) { return r->answered + r->refused + r->failed + r->broken + r->abandoned; }

struct sums {
    unsigned lines;
    int64_t input, output;                   /* of all records */
    int64_t reported_input, reported_output; /* of those whose usage the provider told */
};

static void sum_line(struct scenario *s, struct sums *sums, struct span line)
{
    int64_t input = input_of(line), output = output_of(line);
    bool reported = says(line, "usage.source", "reported");
    sums->lines += is_exchange(line);
    s->result.recovered += is_recovered(line);
    sums->input += input > 0 ? input : 0;
    sums->output += output > 0 ? output : 0;
    sums->reported_input += reported && input > 0 ? input : 0;
    sums->reported_output += reported && output > 0 ? output : 0;
}

static struct sim_count made_by_all(const struct scenario *s)
{
    struct sim_count all = {0};
    for (unsigned i = 0; i < PROVIDERS; i++) {
        struct sim_count one = sim_provider_count(s->provider[i]);
        all.input_tokens += one.input_tokens;
        all.output_tokens += one.output_tokens;
        all.broken_input_tokens += one.broken_input_tokens;
        all.broken_output_tokens += one.broken_output_tokens;
    }
    return all;
}

/* Sums over all records, by another way than the gateway's own: reading its log. */
static void audit_sums(struct scenario *s, struct span log)
{
    struct sums sums = {0};
    struct sim_count made = made_by_all(s);
    for (struct span rest = log; rest.n;)
        sum_line(s, &sums, span_cut(&rest, '\n'));
    if (s->result.lives == 1 && sums.lines != outcomes(&s->result))
        complain(s, "%u records in the ledger, %u exchanges", sums.lines, outcomes(&s->result));
    if (s->calm && s->result.lives == 1 && ((int64_t)made.input_tokens != sums.input || (int64_t)made.output_tokens != sums.output))
        complain(s, "records say %lld in, %lld out; the providers %lld in, %lld out", (long long)sums.input, (long long)sums.output,
                 (long long)made.input_tokens, (long long)made.output_tokens);
    if (sums.reported_input > (int64_t)(made.input_tokens + made.broken_input_tokens) ||
        sums.reported_output > (int64_t)(made.output_tokens + made.broken_output_tokens))
        complain(s, "records call %lld in, %lld out reported; the providers made %lld in, %lld out", (long long)sums.reported_input,
                 (long long)sums.reported_output, (long long)(made.input_tokens + made.broken_input_tokens),
                 (long long)(made.output_tokens + made.broken_output_tokens));
}

/* ---- money ---- */

static void tell(void *owner, const char *sentence) { complain(owner, "verify says: %s", sentence); }

struct balances {
    struct scenario *scenario;
    struct {
        char currency[CURRENCY_BYTES];
        money sum;
    } of[4];
};

static enum err add_balance(void *owner, struct span account, struct span currency, money posted)
{
    struct balances *b = owner;
    unsigned i = 0;
    while (i < COUNT_OF(b->of) && b->of[i].currency[0] && !span_eq(span_str(b->of[i].currency), currency))
        i++;
    CHECK(i < COUNT_OF(b->of) && currency.n < CURRENCY_BYTES);
    memcpy(b->of[i].currency, currency.p, currency.n);
    b->of[i].sum += posted;
    return ERR_OK;
}

static void audit_accounts(struct scenario *s, struct books *books)
{
    struct balances b = {.scenario = s};
    if (books_each_account(books, add_balance, &b) != ERR_OK)
        complain(s, "the accounts cannot be read: %s", books_why(books));
    for (unsigned i = 0; i < COUNT_OF(b.of); i++)
        if (b.of[i].sum)
            complain(s, "the accounts in %s do not come to zero", b.of[i].currency);
}

/* What the budget is about: what the departments pay. `lost`: attempts that were used and lost; they are posted beside a hold that stays whole. */
struct spent {
    money all, lost;
};

static enum err add_spent(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    struct spent *spent = owner;
    if (e->kind != ENTRY_USAGE)
        return ERR_OK;
    spent->all += e->usage.sell.amount;
    spent->lost += e->usage.attempt ? e->usage.sell.amount : 0;
    return ERR_OK;
}

static void audit_budget(struct scenario *s, struct books *books)
{
    struct spent spent = {0};
    char most[MONEY_TEXT_BYTES], limit[MONEY_TEXT_BYTES];
    const struct budget_set *set = &s->catalog->budgets;
    if (!set->budgets_n)
        return;
    if (books_each(books, 0, UINT64_MAX, add_spent, &spent) != ERR_OK)
        complain(s, "the entries cannot be read: %s", books_why(books));
    s->spent_most = spent.all > s->spent_most ? spent.all : s->spent_most;
    if (s->spent_most > set->budgets[0].limit + spent.lost)
        complain(s, "the budget stood at %s of %s", money_format(most, s->spent_most, 2).p, money_format(limit, set->budgets[0].limit, 2).p);
    if (s->posted != spent.all || s->pending)
        complain(s, "the budget ends at %s, with %s pending; the books say something else", money_format(most, s->posted, 2).p,
                 money_format(limit, s->pending, 2).p);
}

/* ---- the books ---- */

struct writing {
    struct books *books;
    struct buf *lines;
};

static enum err write_usage(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    const struct writing *w = owner;
    return e->kind == ENTRY_USAGE ? books_write_json(w->books, seq, e, w->lines) : ERR_OK;
}

static void audit_requests(struct scenario *s, struct books *books)
{
    struct buf lines;
    struct writing w = {books, &lines};
    buf_init(&lines, 64u * MIB);
    if (books_each(books, 0, UINT64_MAX, write_usage, &w) != ERR_OK)
        complain(s, "the entries cannot be read: %s", books_why(books));
    for (unsigned i = 0; i < s->calls; i++)
        audit_call(s, &s->call[i], buf_span(&lines));
    audit_sums(s, buf_span(&lines));
    buf_fini(&lines);
}

static void audit_file(struct scenario *s, struct books *books)
{
    struct verify_report report;
    uint64_t root;
    if (books_verify(books, tell, NULL, s, &report) != ERR_OK)
        complain(s, "the books cannot be verified: %s", books_why(books));
    if (report.holds_open)
        complain(s, "%llu holds are open", (unsigned long long)report.holds_open);
    memcpy(&root, report.root, sizeof root);
    s->result.digest ^= root ^ sim_vfs_changes(s->books.disk);
}

void audit(struct scenario *s)
{
    char why[512];
    struct books *books;
    if (sim_books_read(&s->books, &books, why) != ERR_OK) {
        complain(s, "the ledger cannot be read: %s", why);
        return;
    }
    audit_requests(s, books);
    audit_file(s, books);
    audit_accounts(s, books);
    audit_budget(s, books);
    books_close(books);
}
