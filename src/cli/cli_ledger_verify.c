/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger verify`: one line of verdict, and a sentence for each fault.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "cli/cli_ledger.h"
#include "cli/table.h"
#include "ledger/books.h"

static const char usage[] =
    "usage: entente ledger verify --data DIR [--key KEY] [--json]\n"
    "\n"
    "Computes everything again from the entries and compares: amounts from quantities and prices, balances, sums, hashes, signatures, ids, holds.\n"
    "--data may also be a ledger's file, for instance a backup. --key: and is it the ledger of this verifier key?\n"
    "\n"
    "Exit code 0: all is right. 1: there are faults. 2: the file cannot be read as a ledger.\n";

struct question {
    const char *data, *key;
    bool json;
};

struct verifying {
    struct progress progress;
    bool json;
    struct buf faults; /* as JSON strings with commas between them */
};

static void tell(void *owner, const char *sentence)
{
    struct verifying *v = owner;
    progress_end(&v->progress);
    if (!v->json)
        fprintf(stderr, "%s\n", sentence);
    else if ((buf_bytes(&v->faults) && buf_append(&v->faults, SPAN(",")) != ERR_OK) || json_write_string(&v->faults, span_str(sentence)) != ERR_OK)
        fprintf(stderr, "%s\n", sentence);
}

static void show_progress(void *owner, uint64_t done, uint64_t total)
{
    struct verifying *v = owner;
    progress_show(&v->progress, done, total);
}

static void print_json(const struct verifying *v, const struct verify_report *r, const char *root)
{
    printf("{\"verified\":%s,\"entries\":%" PRIu64 ",\"usage\":%" PRIu64 ",\"postings\":%" PRIu64 ",\"summaries\":%" PRIu64 ",\"checkpoints\":%" PRIu64
           ",\"holds_open\":%" PRIu64 ",\"root\":\"%s\",\"seconds\":%.3f,\"faults\":[%.*s]}\n",
           r->faults ? "false" : "true", r->entries, r->usage, r->postings, r->summaries, r->checkpoints, r->holds_open, root, r->seconds,
           SPAN_ARG(buf_span(&v->faults)));
}

static void print_verdict(const struct verify_report *r, const char *root)
{
    char entries[32], checkpoints[32];
    table_number(entries, r->entries);
    table_number(checkpoints, r->checkpoints);
    if (r->faults)
        printf("NOT verified: %u fault%s in %s entries, %.1f s\n", r->faults, r->faults == 1 ? "" : "s", entries, r->seconds);
    else
        printf("verified: %s entries, root %s, %s checkpoint%s, balances agree, %.1f s\n", entries, root, checkpoints, r->checkpoints == 1 ? "" : "s",
               r->seconds);
}

static bool is_key(const struct books *b, const char *key) { return span_eq(books_public_key(b), span_str(key)); }

static int verify(const struct cli_syntax *s, const struct question *q, struct books *b)
{
    struct verifying v = {.json = q->json};
    struct verify_report report;
    char root[2 * SHA256_BYTES + 1];
    buf_init(&v.faults, 1024u * 1024u);
    progress_begin(&v.progress, "verifying");
    enum err e = books_verify(b, tell, show_progress, &v, &report);
    progress_end(&v.progress);
    if (!e && q->key && !is_key(b, q->key)) {
        report.faults++;
        tell(&v, "the ledger is signed with another key than the one you named");
    }
    digest_hex(report.root, sizeof report.root, root);
    if (!e && q->json)
        print_json(&v, &report, root);
    else if (!e)
        print_verdict(&report, root);
    buf_fini(&v.faults);
    return e ? cli_ledger_fail(s, e, books_why(b)[0] ? books_why(b) : err_sentence(e)) : report.faults ? CLI_FAILED : CLI_DONE;
}

int cli_ledger_verify(int argc, char **argv)
{
    int code;
    struct question q = {.json = false};
    struct books *b = NULL;
    const struct cli_option options[] = {{.name = "--data", .value = &q.data}, {.name = "--key", .value = &q.key}, {.name = "--json", .flag = &q.json}};
    const struct cli_syntax syntax = {"entente ledger verify", usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code) || !cli_ledger_books(&syntax, q.data, &b, &code))
        return code;
    code = verify(&syntax, &q, b);
    books_close(b);
    return code;
}
