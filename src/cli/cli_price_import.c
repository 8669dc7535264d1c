/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente price import`: a community price table, also gzipped, to a price book on stdout.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "base/zone.h"
#include "cli/cli_price.h"
#include "cli/price_import.h"
#include "http/decode.h"

#define TABLE_BYTES_MAX (64u * MIB)

static const char usage[] =
    "usage: entente price import FORMAT FILE [--provider SOURCE=OURS]… [--seller S] [--buyer B] [--book NAME]\n"
    "                            [--from DATE] [--known DATE] [--source TEXT] [--zero-is-free] > book.yaml\n"
    "\n"
    "Writes a price table of a community as a price book. FORMAT is litellm, genai-prices, models.dev or portkey; FILE may be gzipped.\n"
    "  --provider  only the models of SOURCE, for our provider OURS; may be said again, also for one SOURCE. Without any: all, as they are named\n"
    "  --seller    who sells them all; without it, whom the table calls the provider, with a book for each\n"
    "  --buyer     who buys; our own `party` when not said\n"
    "  --book      the beginning of the books' names; FORMAT when not said\n"
    "  --from      from when on the prices hold: a date; --known when not said\n"
    "  --known     when we learned of them: a date; today when not said\n"
    "  --source    what statements name as their source; FORMAT and FILE when not said\n"
    "  --zero-is-free  take a price of 0 as free. Without it, it is left out, so unpriced: many tables have 0 for \"not known\"\n"
    "What a book cannot say is told on stderr, a line each.\n";

/* ---- the file ---- */

static enum err read_all(FILE *f, struct buf *out)
{
    enum err e = ERR_OK;
    for (size_t got = 1; !e && got > 0;) {
        e = buf_reserve(out, 64 * KIB);
        got = e ? 0 : fread(buf_tail(out), 1, 64 * KIB, f);
        buf_extend(out, got);
    }
    return e ? e : ferror(f) ? ERR_IO : ERR_OK;
}

static enum err unzip(struct buf *b)
{
    struct buf plain;
    struct decode *d = decode_new(SPAN("gzip"));
    if (!d)
        return ERR_NO_MEMORY;
    buf_init(&plain, TABLE_BYTES_MAX);
    enum err e = decode_feed(d, buf_span(b), &plain);
    e = e ? e : decode_end(d);
    decode_free(d);
    buf_fini(b);
    buf_move(b, &plain);
    return e;
}

static bool read_table(const struct cli_syntax *s, const char *path, struct buf *out)
{
    FILE *f = fopen(path, "re");
    enum err e = f ? read_all(f, out) : ERR_IO;
    int error = f && e != ERR_IO ? 0 : errno;
    if (f)
        fclose(f);
    if (!e && span_starts(buf_span(out), SPAN("\x1f\x8b")))
        e = unzip(out);
    if (e == ERR_TOO_LARGE)
        cli_error(s, "%s: is larger than %u MiB", path, TABLE_BYTES_MAX / MIB);
    else if (e == ERR_IO)
        cli_error(s, "%s: cannot be read: %s", path, strerror(error));
    else if (e)
        cli_error(s, "%s: the gzip in it is damaged or cut", path);
    return e == ERR_OK;
}

/* ---- options ---- */

static bool check_date(const struct cli_syntax *s, const char *option, const char *text)
{
    struct zone *utc;
    int64_t at;
    CHECK(zone_open("UTC", &utc) == ERR_OK);
    enum err e = strlen(text) == sizeof "2026-08-01" - 1 ? zone_parse_time(utc, span_str(text), &at) : ERR_SYNTAX;
    zone_free(utc);
    if (e)
        cli_error(s, "%s must be a date such as 2026-08-01, not \"%s\"", option, text);
    return e == ERR_OK;
}

static bool check_mappings(const struct cli_syntax *s, const struct cli_list *providers)
{
    for (unsigned i = 0; i < providers->n; i++) {
        const char *equals = strchr(providers->items[i], '=');
        if (equals == providers->items[i] || (equals && !equals[1])) {
            cli_error(s, "--provider must be SOURCE=OURS, e.g. azure=azure-eu, not \"%s\"", providers->items[i]);
            return false;
        }
    }
    return true;
}

static const char *today(char out[16])
{
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(out, 16, "%Y-%m-%d", &tm);
    return out;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- the command ---- */

static int import(const struct cli_syntax *s, const char *format, struct import_options *o)
{
    char why[512];
    struct buf text;
    buf_init(&text, TABLE_BYTES_MAX);
    int code = CLI_USAGE;
    if (read_table(s, o->file, &text)) {
        if (price_import(format, buf_span(&text), o, stdout, stderr, why))
            code = fflush(stdout) == 0 ? CLI_DONE : CLI_FAILED;
        else
            cli_error(s, "%s", why);
    }
    buf_fini(&text);
    return code;
}

int cli_price_import(int argc, char **argv)
{
    int code;
    char date[16], source[300];
    const char *words[2] = {NULL, NULL};
    struct cli_list providers = {.n = 0};
    struct import_options o = {.known = today(date)};
    const struct cli_option options[] = {
        {.name = "--provider", .list = &providers}, {.name = "--seller", .value = &o.seller}, {.name = "--buyer", .value = &o.buyer},
        {.name = "--book", .value = &o.book}, {.name = "--from", .value = &o.from}, {.name = "--known", .value = &o.known},
        {.name = "--source", .value = &o.source}, {.name = "--zero-is-free", .flag = &o.zero_is_free}};
    const struct cli_syntax syntax = {"entente price import", usage, options, COUNT_OF(options), words, 2};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!words[1]) {
        cli_error(&syntax, "which table? e.g. entente price import litellm model_prices_and_context_window.json --provider azure=azure-eu");
        return CLI_USAGE;
    }
    o.file = words[1];
    o.providers = providers.items;
    o.providers_n = providers.n;
    o.from = o.from ? o.from : o.known;
    o.book = o.book ? o.book : words[0];
    snprintf(source, sizeof source, "%s %.200s", words[0], base_name(o.file));
    o.source = o.source ? o.source : source;
    if (!check_date(&syntax, "--known", o.known) || !check_date(&syntax, "--from", o.from) || !check_mappings(&syntax, &providers))
        return CLI_USAGE;
    return import(&syntax, words[0], &o);
}
