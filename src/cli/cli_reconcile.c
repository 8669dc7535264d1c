/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente reconcile`: the books beside a provider's own usage or cost export.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli_ledger.h"
#include "ledger/books.h"
#include "report/reconcile.h"
#include "serve/nearest.h"

#define FILE_BYTES_MAX ((size_t)1024 * MIB)
#define OUT_BYTES_MAX (256u * MIB)

static const char usage[] =
    "usage: entente reconcile --data DIR --provider P --file EXPORT [--format F] [--model THEIRS=OURS]... [--zone Z] [--json]\n"
    "\n"
    "Compares what was booked for a provider with its own usage or cost export, by time, model and class, and names a cause for each difference.\n"
    "  --data DIR      the gateway's data directory, or the ledger's file; or --config FILE, which names it\n"
    "  --provider P    as the config calls it\n"
    "  --file EXPORT   what the provider exported, unpacked: JSON or CSV\n"
    "  --format F      openai-usage, openai-costs, azure, aws, focus, gcp or plain; without it by columns or shape\n"
    "  --model A=B     their model A is our model B; may be said for each\n"
    "  --zone Z        of dates that name no time zone; UTC unless said\n"
    "Exit code 0: nothing needs a look (equal, rounding, edge). 1: something does, or the books cannot be read. 2: an argument or the file is wrong.\n";

struct question {
    const char *data, *config, *provider, *file, *format, *zone;
    struct cli_list models;
    bool json;
};

/* ---- arguments ---- */

static bool know_format(const struct cli_syntax *s, const char *format)
{
    struct nearest near;
    if (!format)
        return true;
    nearest_init(&near, span_str(format));
    for (unsigned i = 0; reconcile_formats[i]; i++) {
        if (strcmp(reconcile_formats[i], format) == 0)
            return true;
        nearest_offer(&near, reconcile_formats[i]);
    }
    cli_error(s, "--format: there is none named \"%s\"; %s%s", format, near.best ? "did you mean " : "there are openai-usage, openai-costs, azure, aws, focus, gcp, plain",
              near.best ? near.best : "");
    return false;
}

static bool read_aliases(const struct cli_syntax *s, const struct cli_list *list, struct reconcile_alias *ret)
{
    for (unsigned i = 0; i < list->n; i++) {
        struct span theirs = span_str(list->items[i]);
        size_t at = theirs.n;
        while (at > 0 && theirs.p[at - 1] != '=')
            at--;
        ret[i] = (struct reconcile_alias){span_to(theirs, at ? at - 1 : 0), span_from(theirs, at)};
        if (at < 2 || !ret[i].ours.n) {
            cli_error(s, "--model: \"%s\" is not THEIRS=OURS, as in --model \"gpt 4o 0806=gpt-4o\"", list->items[i]);
            return false;
        }
    }
    return true;
}

static bool check_arguments(const struct cli_syntax *s, const struct question *q)
{
    const char *missing = !q->data == !q->config ? (q->data ? NULL : "--data (or --config)") : !q->provider ? "--provider" : !q->file ? "--file" : "";
    if (!missing)
        cli_error(s, "say --data or --config, not both");
    else if (missing[0])
        cli_error(s, "%s is missing", missing);
    return missing && !missing[0] && know_format(s, q->format);
}

/* ---- the file ---- */

static bool read_all(FILE *f, struct buf *out, bool *ret_is_too_large)
{
    for (;;) {
        enum err e = buf_reserve(out, 64u * KIB);
        *ret_is_too_large = e != ERR_OK;
        if (e)
            return false;
        size_t n = fread(buf_tail(out), 1, 64u * KIB, f);
        buf_extend(out, n);
        if (n == 0)
            return !ferror(f);
    }
}

static bool read_file(const struct cli_syntax *s, const char *path, struct buf *out)
{
    bool is_too_large = false;
    FILE *f = fopen(path, "rb");
    bool ok = f && read_all(f, out, &is_too_large);
    if (is_too_large)
        cli_error(s, "%s: larger than 1 GiB: export a shorter time, or this provider's rows alone", path);
    else if (!ok)
        cli_error(s, "%s: %s", path, strerror(errno));
    if (f)
        fclose(f);
    return ok;
}

/* ---- the work ---- */

static int show(const struct cli_syntax *s, const struct question *q, const struct reconciliation *r, const struct reconcile_export *x)
{
    struct buf out;
    buf_init(&out, OUT_BYTES_MAX);
    enum err e = (q->json ? reconcile_write_json : reconcile_write_text)(r, x, span_str(q->provider), &out);
    bool ok = !e && fwrite(buf_span(&out).p, 1, buf_bytes(&out), stdout) == buf_bytes(&out) && fflush(stdout) == 0;
    buf_fini(&out);
    if (e)
        cli_error(s, "the comparison cannot be written: %s", err_sentence(e));
    return ok && !reconcile_unexplained(r) ? CLI_DONE : CLI_FAILED;
}

static int compare(const struct cli_syntax *s, const struct question *q, const char *data, const struct reconcile_export *x)
{
    struct reconcile_alias aliases[COUNT_OF(q->models.items)];
    struct books *b = NULL;
    struct reconciliation r;
    int code;
    if (!read_aliases(s, &q->models, aliases) || !cli_ledger_books(s, data, &b, &code))
        return b ? code : CLI_USAGE;
    const struct reconcile_options o = {.books = b, .provider = span_str(q->provider), .export = x, .aliases = aliases, .aliases_n = q->models.n};
    enum err e = reconcile_make(&o, &r);
    if (e)
        cli_error(s, "%s", r.why);
    code = e ? (e == ERR_NOT_FOUND ? CLI_USAGE : CLI_FAILED) : show(s, q, &r, x);
    reconcile_fini(&r);
    books_close(b);
    return code;
}

static int read_and_compare(const struct cli_syntax *s, const struct question *q, const char *data, struct span text, const struct zone *zone)
{
    struct reconcile_export x;
    char why[RECONCILE_WHY_BYTES];
    const struct reconcile_read_options o = {.text = text, .format = q->format, .provider = span_str(q->provider), .zone = zone};
    enum err e = reconcile_read(&o, &x, why);
    if (e)
        cli_error(s, "%s: %s", q->file, why);
    int code = e ? CLI_USAGE : compare(s, q, data, &x);
    reconcile_export_fini(&x);
    return code;
}

static int reconcile(const struct cli_syntax *s, const struct question *q, const char *data)
{
    struct buf text;
    struct zone *zone = NULL;
    int code = CLI_USAGE;
    buf_init(&text, FILE_BYTES_MAX);
    if (zone_open(q->zone ? q->zone : "UTC", &zone) != ERR_OK)
        cli_error(s, "--zone: there is no time zone \"%s\" here: write e.g. Europe/Paris, and see that the package tzdata is installed", q->zone);
    else if (read_file(s, q->file, &text))
        code = read_and_compare(s, q, data, buf_span(&text), zone);
    zone_free(zone);
    buf_fini(&text);
    return code;
}

int cli_reconcile(int argc, char **argv)
{
    int code;
    struct question q = {.json = false};
    const struct cli_option options[] = {{.name = "--data", .value = &q.data}, {.name = "--config", .value = &q.config}, {.name = "--provider", .value = &q.provider},
                                         {.name = "--file", .value = &q.file}, {.name = "--format", .value = &q.format}, {.name = "--zone", .value = &q.zone},
                                         {.name = "--model", .list = &q.models}, {.name = "--json", .flag = &q.json}};
    const struct cli_syntax syntax = {"entente reconcile", usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!check_arguments(&syntax, &q))
        return CLI_USAGE;
    if (q.data)
        return reconcile(&syntax, &q, q.data);
    struct config *c = cli_load_config(q.config);
    code = c ? reconcile(&syntax, &q, c->data_dir) : CLI_USAGE;
    config_free(c);
    return code;
}
