/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger rerate`: books the differences that prices make which became known after usage was booked.
 */
#include <stdio.h>
#include <time.h>

#include "cli/cli_ledger.h"
#include "dialect/json_out.h"
#include "report/figure.h"
#include "report/rerate.h"

static const char usage[] =
    "usage: entente ledger rerate --config FILE [--from DATE] [--dry-run] [--json]\n"
    "\n"
    "Looks for usage whose price, by what the config's price books say now, is another than the one it was booked at, or that had none, and books\n"
    "the differences: one correction for each model, provider, buyer, period and pair of price lines. Nothing booked is edited; a second run\n"
    "books nothing.\n"
    "  --from DATE  only usage booked from then on: 2026-08-01, or 2026-08-01T10:00:00Z\n"
    "  --dry-run    shows the corrections and books none\n";

struct question {
    const char *config, *from;
    bool dry, json;
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- showing ---- */

static void print_text(const struct rerating *r, bool dry)
{
    char was[FIGURE_BYTES], is[FIGURE_BYTES], n[FIGURE_BYTES];
    for (unsigned i = 0; i < r->n; i++) {
        const struct rerate_correction *c = &r->corrections[i];
        printf("%s  %s %.*s at %.*s%s%.*s, %.*s requests\n", c->period, c->sell ? "sold" : "bought", SPAN_ARG(c->model), SPAN_ARG(c->provider),
               c->sell ? " to " : "", SPAN_ARG(c->buyer), SPAN_ARG(figure_count(n, c->entries)));
        printf("    %.*s %s by book %s (%s), was %.*s %s by %s%s\n", SPAN_ARG(figure_money(is, c->new_amount, 2)), c->new_line->book->currency,
               c->new_line->book->name, c->new_line->book->source, SPAN_ARG(figure_money(was, c->old_amount, 2)),
               c->old_line ? c->old_line->book->currency : "", c->old_line ? "book " : "no price", c->old_line ? c->old_line->book->name : "");
    }
    printf("%.*s usage entries looked at, %u corrections %s\n", SPAN_ARG(figure_count(n, (int64_t)r->looked_at)), r->n,
           dry ? "to book; without --dry-run they are booked" : "booked");
}

static void put_text(struct json_out *o, const char *key, struct span text)
{
    json_out_key(o, key);
    json_out_string(o, text.p ? text : SPAN(""));
}

static enum err write_json(struct buf *out, const struct rerating *r, bool dry)
{
    struct json_out o = json_out_begin(out);
    json_out_open(&o, '{');
    json_out_key(&o, "looked_at");
    json_out_int(&o, (int64_t)r->looked_at);
    json_out_key(&o, "booked");
    json_out_bool(&o, !dry);
    json_out_key(&o, "corrections");
    json_out_open(&o, '[');
    for (unsigned i = 0; i < r->n; i++) {
        json_out_open(&o, '{');
        put_text(&o, "key", r->corrections[i].key);
        put_text(&o, "memo", r->corrections[i].memo);
        json_out_member_raw(&o, "detail", r->corrections[i].detail);
        json_out_close(&o, '}');
    }
    json_out_close(&o, ']');
    json_out_close(&o, '}');
    json_out_bytes(&o, SPAN("\n"));
    return json_out_end(&o);
}

static int print_json(const struct cli_syntax *s, const struct rerating *r, bool dry)
{
    struct buf out;
    buf_init(&out, 256u * MIB);
    enum err e = write_json(&out, r, dry);
    if (e)
        cli_error(s, "%s", err_sentence(e));
    else
        fwrite(buf_span(&out).p, 1, buf_bytes(&out), stdout);
    buf_fini(&out);
    return e ? CLI_FAILED : CLI_DONE;
}

/* ---- booking ---- */

static int post(const struct cli_syntax *s, const char *dir, const struct rerating *r)
{
    struct ledger *l = NULL;
    char why[CLI_WHY_BYTES];
    uint64_t seq;
    enum err e = ledger_open(&(struct ledger_options){.dir = dir, .beside = true}, &l, why);
    if (e)
        return cli_ledger_fail(s, e, why);
    for (unsigned i = 0; i < r->n && !e; i++) {
        const struct rerate_correction *c = &r->corrections[i];
        const struct posting p = {.cause = POSTING_CORRECTION, .key = c->key, .memo = c->memo, .detail = c->detail, .transfers = c->transfers,
                                  .transfers_n = c->transfers_n};
        e = ledger_post(l, &p, &seq);
        if (e)
            cli_error(s, "correction %u of %u cannot be booked: %s; those before it are, and another run goes on", i + 1, r->n, err_sentence(e));
    }
    ledger_close(l);
    return e ? CLI_FAILED : CLI_DONE;
}

static int rerate(const struct cli_syntax *s, const struct question *q, const struct config *c, struct books *b, struct rerating *r)
{
    struct rerate_options o = {.books = b, .prices = c->catalog->prices, .zone = c->ledger.zone, .unit = c->ledger.period, .from_us = INT64_MIN,
                               .now_us = now_us()};
    if (q->from && zone_parse_time(o.zone, span_str(q->from), &o.from_us) != ERR_OK) {
        cli_error(s, "--from: \"%s\" is no date: write 2026-08-01 or 2026-08-01T10:00:00Z", q->from);
        return CLI_USAGE;
    }
    struct progress progress;
    progress_begin(&progress, "re-rating");
    o.progress = progress_show;
    o.owner = &progress;
    enum err e = rerate_make(&o, r);
    progress_end(&progress);
    if (e) {
        cli_error(s, "%s", r->why);
        return CLI_FAILED;
    }
    int code = q->dry || !r->n ? CLI_DONE : post(s, c->data_dir, r);
    if (!code && q->json)
        return print_json(s, r, q->dry);
    if (!code)
        print_text(r, q->dry);
    return code;
}

static int rerate_config(const struct cli_syntax *s, const struct question *q, const struct config *c)
{
    struct books *b = NULL;
    struct rerating r = {.n = 0};
    char path[4096], why[CLI_WHY_BYTES];
    if (!c->catalog->prices) {
        cli_error(s, "%s names no price books: there is nothing to re-rate by; see `prices:`", q->config);
        return CLI_USAGE;
    }
    if (!cli_ledger_path(s, c->data_dir, path))
        return CLI_USAGE;
    enum err e = books_open(path, &b, why);
    if (e)
        return cli_ledger_fail(s, e, why);
    int code = rerate(s, q, c, b, &r);
    rerate_fini(&r);
    books_close(b);
    return code;
}

int cli_ledger_rerate(int argc, char **argv)
{
    int code;
    struct question q = {.dry = false};
    const struct cli_option options[] = {{.name = "--config", .value = &q.config}, {.name = "--from", .value = &q.from},
                                         {.name = "--dry-run", .flag = &q.dry}, {.name = "--json", .flag = &q.json}};
    const struct cli_syntax syntax = {"entente ledger rerate", usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!q.config) {
        cli_error(&syntax, "--config is missing");
        return CLI_USAGE;
    }
    struct config *c = cli_load_config(q.config);
    code = c ? rerate_config(&syntax, &q, c) : CLI_USAGE;
    config_free(c);
    return code;
}
