/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger checkpoint`: signs the log as it is now, shows what was signed, and the key that others check it with.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "cli/cli_ledger.h"
#include "ledger/books.h"

static const char usage[] =
    "usage: entente ledger checkpoint --data DIR [--print | --list | --key] [--size N]\n"
    "\n"
    "Signs the log as it is now and prints the checkpoint, a signed note: hand it to whoever should be able to hold you to it.\n"
    "--print  signs nothing: prints the latest, or with --size N that of N entries\n"
    "--list   sizes and times of all that were signed\n"
    "--key    the verifier key, which others need to check signatures and proofs\n";

struct question {
    const char *data, *size;
    bool print, list, key;
};

struct found {
    uint64_t size; /* wanted; UINT64_MAX: the largest */
    struct buf note;
    uint64_t note_size;
};

static enum err take_note(void *owner, uint64_t size, int64_t at_us, struct span note)
{
    struct found *f = owner;
    bool wanted = f->size == UINT64_MAX ? size >= f->note_size : size == f->size;
    if (!wanted)
        return ERR_OK;
    f->note_size = size;
    buf_clear(&f->note);
    return buf_append(&f->note, note);
}

static enum err list_note(void *owner, uint64_t size, int64_t at_us, struct span note)
{
    char time[CLOCK_RFC3339_BYTES];
    printf("%12" PRIu64 "  %.*s\n", size, SPAN_ARG(clock_rfc3339_us(time, at_us)));
    return ERR_OK;
}

static int print_note(const struct cli_syntax *s, struct books *b, uint64_t size)
{
    struct found f = {.size = size};
    buf_init(&f.note, NOTE_BYTES_MAX);
    enum err e = store_each_checkpoint(books_store(b), take_note, &f);
    bool any = buf_bytes(&f.note) > 0;
    if (any)
        printf("%.*s", SPAN_ARG(buf_span(&f.note)));
    else if (!e)
        cli_error(s, size == UINT64_MAX ? "nothing was signed yet" : "no checkpoint of this size was signed: --list shows all");
    buf_fini(&f.note);
    return e ? cli_ledger_fail(s, e, store_why(books_store(b))) : any ? CLI_DONE : CLI_FAILED;
}

static int show(const struct cli_syntax *s, const struct question *q, struct books *b, uint64_t size)
{
    if (q->key) {
        printf("%.*s\n", SPAN_ARG(books_public_key(b)));
        return CLI_DONE;
    }
    if (!q->list)
        return print_note(s, b, size);
    enum err e = store_each_checkpoint(books_store(b), list_note, NULL);
    return e ? cli_ledger_fail(s, e, store_why(books_store(b))) : CLI_DONE;
}

static int sign(const struct cli_syntax *s, const char *data)
{
    struct ledger *l;
    int code;
    if (!cli_ledger_write(s, data, &l, &code))
        return code;
    enum err e = ledger_checkpoint(l);
    ledger_close(l);
    return e ? cli_ledger_fail(s, e, "the checkpoint cannot be signed: the disk refuses, or the ledger is locked") : CLI_DONE;
}

static int checkpoint(const struct cli_syntax *s, const struct question *q, uint64_t size)
{
    struct books *b;
    int code = q->print || q->list || q->key ? CLI_DONE : sign(s, q->data);
    if (code || !cli_ledger_books(s, q->data, &b, &code))
        return code;
    code = show(s, q, b, size);
    books_close(b);
    return code;
}

int cli_ledger_checkpoint(int argc, char **argv)
{
    int code;
    uint64_t size = UINT64_MAX;
    struct question q = {.data = NULL};
    const struct cli_option options[] = {{.name = "--data", .value = &q.data}, {.name = "--size", .value = &q.size}, {.name = "--print", .flag = &q.print},
                                         {.name = "--list", .flag = &q.list}, {.name = "--key", .flag = &q.key}};
    const struct cli_syntax syntax = {"entente ledger checkpoint", usage, options, COUNT_OF(options), NULL, 0};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (q.print + q.list + q.key > 1 || (q.size && !q.print) || (q.size && !span_to_u64(span_str(q.size), &size))) {
        cli_error(&syntax, "say one of --print, --list and --key; --size N, a number, goes with --print");
        return CLI_USAGE;
    }
    return checkpoint(&syntax, &q, size);
}
