/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente settle`: statements of a period, and the booking of what its terms come to.
 */
#include <stdio.h>
#include <time.h>

#include "cli/cli_ledger.h"
#include "report/statement.h"
#include "serve/nearest.h"

#define OUT_BYTES_MAX (256u * MIB)

static const char usage[] =
    "usage: entente settle --config FILE --period PERIOD [--party NAME] [--format text|json|csv] [--post] [--json]\n"
    "\n"
    "Statements: what each party owes and is owed for a period, line by line, from opening to closing balance.\n"
    "  --period P  2026-11, 2026-Q4, 2026, 2026-W48 or 2026-11-23, in the zone of `ledger: {zone: …}`\n"
    "  --party P   one seller or buyer alone\n"
    "  --format F  text as it is unless said; json and csv carry what each line is computed from, as integers\n"
    "  --json      the same as --format json\n"
    "  --post      books what the terms of price books come to: fees, minimums, shares and so on. Of a period that has ended; once, however\n"
    "              often it is said\n"
    "Exit code 1 when the books cannot be read or written, 2 when an argument or the config is wrong.\n";

struct question {
    const char *config, *period, *party, *format;
    bool post, json;
};

static const char *const formats[] = {"text", "json", "csv"};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- booking ---- */

static bool post_closing(const struct cli_syntax *s, struct ledger *l, const struct statement_closing *c)
{
    const struct posting p = {.cause = c->cause, .key = c->key, .memo = c->memo, .detail = c->detail, .transfers = &c->transfer, .transfers_n = 1};
    uint64_t seq;
    enum err e = ledger_post(l, &p, &seq);
    if (e == ERR_EXISTS)
        cli_error(s, "%.*s is booked already, with another amount: somebody else settles at this moment; look again", SPAN_ARG(c->key));
    else if (e)
        cli_error(s, "%.*s cannot be booked: %s", SPAN_ARG(c->key), err_sentence(e));
    return !e;
}

/* Closings of the period asked for that can be booked; those of earlier periods are for their own command. */
static bool is_to_post(const struct settlement *made, const struct statement_closing *c)
{
    return c->ended && c->period.from_us >= made->period.from_us && c->transfer.amount != 0;
}

static int post_closings(const struct cli_syntax *s, const char *dir, const struct settlement *made)
{
    struct ledger *l = NULL;
    char why[CLI_WHY_BYTES];
    unsigned posted = 0;
    enum err e = ledger_open(&(struct ledger_options){.dir = dir, .beside = true}, &l, why);
    if (e)
        return cli_ledger_fail(s, e, why);
    bool ok = true;
    for (unsigned i = 0; i < made->closings_n && ok; i++) {
        if (!is_to_post(made, &made->closings[i]))
            continue;
        ok = post_closing(s, l, &made->closings[i]);
        posted += ok;
    }
    ledger_close(l);
    fprintf(stderr, "entente settle: %u lines of %s booked\n", posted, made->period.label);
    return ok ? CLI_DONE : CLI_FAILED;
}

/* ---- the statement ---- */

static bool know_party(const struct cli_syntax *s, const struct settlement *made, const char *party)
{
    struct arena a;
    struct nearest near;
    bool known = false;
    arena_init(&a, 1024);
    nearest_init(&near, span_str(party));
    for (unsigned i = 0; i < made->n; i++) {
        known = known || span_eq(made->statements[i].party, span_str(party));
        nearest_offer(&near, arena_strdup(&a, made->statements[i].party));
    }
    if (!known) {
        fprintf(stderr, "%s: there is no statement for \"%s\" in %s", s->command, party, made->period.label);
        if (near.best)
            fprintf(stderr, ": did you mean \"%s\"?\n", near.best);
        else if (made->n)
            for (unsigned i = 0; i < made->n; i++)
                fprintf(stderr, "%s%.*s%s", i ? ", " : "; there are ", SPAN_ARG(made->statements[i].party), i + 1 == made->n ? "\n" : "");
        else
            fprintf(stderr, ": no party has one\n");
    }
    arena_fini(&a);
    return known;
}

typedef enum err write_fn(const struct settlement *s, struct span party, struct buf *out);
static write_fn *const writers[] = {statement_write_text, statement_write_json, statement_write_csv};

static int print(const struct cli_syntax *s, const struct question *q, const struct settlement *made)
{
    struct buf out;
    unsigned format = 0;
    while (strcmp(formats[format], q->format) != 0)
        format++;
    buf_init(&out, OUT_BYTES_MAX);
    enum err e = writers[format](made, q->party ? span_str(q->party) : SPAN(""), &out);
    bool ok = !e && fwrite(buf_span(&out).p, 1, buf_bytes(&out), stdout) == buf_bytes(&out) && fflush(stdout) == 0;
    buf_fini(&out);
    if (e)
        cli_error(s, "the statement cannot be written: %s", err_sentence(e));
    return ok ? CLI_DONE : CLI_FAILED;
}

static int make(const struct cli_syntax *s, const struct config *c, const struct question *q, const struct period *period, struct settlement *made)
{
    struct books *b = NULL;
    char path[4096], why[CLI_WHY_BYTES];
    if (!cli_ledger_path(s, c->data_dir, path))
        return CLI_USAGE;
    enum err e = books_open(path, &b, why);
    if (e)
        return cli_ledger_fail(s, e, why);
    const struct price_list *prices = c->catalog->prices;
    const struct settlement_options o = {.books = b, .prices = prices, .self = prices && prices->self ? prices->self : "self", .zone = c->ledger.zone,
                                         .unit = c->ledger.period, .period = *period, .now_us = now_us()};
    e = settlement_make(&o, made);
    int code = CLI_DONE;
    if (e) {
        cli_error(s, "%s", made->why);
        code = CLI_FAILED;
    } else if (q->party && !know_party(s, made, q->party)) {
        code = CLI_USAGE;
    } else if (!q->post) {
        code = print(s, q, made);
    }
    books_close(b);
    return code;
}

/* With --post the books are read twice: for what is to be booked, and again for the statement that has it. */
static int settle(const struct cli_syntax *s, const struct config *c, struct question *q, const struct period *period)
{
    struct settlement made = {.n = 0};
    int code = make(s, c, q, period, &made);
    if (!code && q->post)
        code = post_closings(s, c->data_dir, &made);
    settlement_fini(&made);
    if (code || !q->post)
        return code;
    q->post = false;
    code = make(s, c, q, period, &made);
    settlement_fini(&made);
    return code;
}

static bool read_period(const struct cli_syntax *s, const struct config *c, const struct question *q, struct period *ret)
{
    if (period_parse(c->ledger.zone, span_str(q->period), ret) != ERR_OK)
        cli_error(s, "--period: \"%s\" is none: write 2026-11, 2026-Q4, 2026, 2026-W48 or 2026-11-23", q->period);
    else if (ret->from_us > now_us())
        cli_error(s, "--period: %s has not begun", ret->label);
    else if (q->post && ret->until_us > now_us())
        cli_error(s, "--post: %s has not ended, so its terms are not final; without --post you see what they come to so far", ret->label);
    else
        return true;
    return false;
}

static bool check_arguments(const struct cli_syntax *s, struct question *q)
{
    bool known = false;
    if (q->json && !q->format)
        q->format = "json";
    q->format = q->format ? q->format : "text";
    for (unsigned i = 0; i < COUNT_OF(formats); i++)
        known = known || strcmp(formats[i], q->format) == 0;
    if (!q->config || !q->period)
        cli_error(s, "%s is missing", q->config ? "--period" : "--config");
    else if (!known)
        cli_error(s, "--format must be text, json or csv, not \"%s\"", q->format);
    else
        return true;
    return false;
}

int cli_settle(int argc, char **argv)
{
    int code;
    struct question q = {.post = false};
    struct period period;
    const struct cli_option options[] = {{.name = "--config", .value = &q.config}, {.name = "--period", .value = &q.period},
                                         {.name = "--party", .value = &q.party},
                                         {.name = "--format", .value = &q.format}, {.name = "--post", .flag = &q.post},
                                         {.name = "--json", .flag = &q.json}};
    const struct cli_syntax syntax = {"entente settle", usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!check_arguments(&syntax, &q))
        return CLI_USAGE;
    struct config *c = cli_load_config(q.config);
    if (!c)
        return CLI_USAGE;
    code = read_period(&syntax, c, &q, &period) ? settle(&syntax, c, &q, &period) : CLI_USAGE;
    config_free(c);
    return code;
}
