/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger compact`: old usage entries become their sums, also while the gateway runs.
 */
#include <stdio.h>

#include "cli/cli_ledger.h"
#include "cli/table.h"
#include "ledger/books.h"

static const char usage[] =
    "usage: entente ledger compact --data DIR --before DATE [--zone ZONE] [--shrink]\n"
    "\n"
    "Replaces usage booked before DATE by its sums per quarter of an hour. Balances, statements, hashes and the proofs that were handed out stay as they\n"
    "are; single requests of that time cannot be shown any more. Take a backup first: nothing brings them back.\n"
    "--zone    whose midnight DATE means; UTC unless said, e.g. Europe/Paris\n"
    "--shrink  gives the space back to the disk; the gateway must be stopped. Without it, the file uses the space again as it grows\n";

struct question {
    const char *data, *before, *zone;
    bool shrink;
};

static int shrink(const struct cli_syntax *s, const char *data)
{
    struct store *store;
    char path[4096], why[CLI_WHY_BYTES];
    if (!cli_ledger_path(s, data, path))
        return CLI_USAGE;
    enum err e = store_open(&(struct store_options){.path = path, .mode = STORE_WRITE}, &store, why);
    if (e)
        return cli_ledger_fail(s, e, why);
    e = store_vacuum(store);
    if (e)
        cli_error(s, "compacted, but not shrunk: %s", store_why(store));
    store_close(store);
    return e ? CLI_FAILED : CLI_DONE;
}

static int compact(const struct cli_syntax *s, const struct question *q, int64_t before_us)
{
    struct ledger *l;
    struct ledger_status status;
    char number[32];
    uint64_t n = 0;
    int code;
    if (!cli_ledger_write(s, q->data, &l, &code))
        return code;
    enum err e = ledger_compact(l, before_us, &n);
    ledger_status(l, &status);
    ledger_close(l);
    if (e)
        return cli_ledger_fail(s, e, status.why[0] ? status.why : err_sentence(e));
    if (n)
        printf("compacted: %s usage entries are sums now\n", table_number(number, n));
    else
        printf("nothing to compact: usage goes in whole runs of 256 entries, up to the quarter of an hour that the gateway flushed last\n");
    return q->shrink ? shrink(s, q->data) : CLI_DONE;
}

int cli_ledger_compact(int argc, char **argv)
{
    int code;
    int64_t before_us;
    struct question q = {.shrink = false};
    const struct cli_option options[] = {{.name = "--data", .value = &q.data}, {.name = "--before", .value = &q.before}, {.name = "--zone", .value = &q.zone},
                                         {.name = "--shrink", .flag = &q.shrink}};
    const struct cli_syntax syntax = {"entente ledger compact", usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!q.before) {
        cli_error(&syntax, "--before is missing: the date before which single requests may go");
        return CLI_USAGE;
    }
    return cli_ledger_time(&syntax, "--before", q.before, q.zone, &before_us) ? compact(&syntax, &q, before_us) : CLI_USAGE;
}
