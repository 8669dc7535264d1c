/* SPDX-License-Identifier: Apache-2.0
 *
 * `entente ledger prove`: an entry with the names and price lines that it refers to, or the growth of the log between two checkpoints, as a file. Every
 * proof is checked here as its reader will check it, before it is written.
 *
 * The complication is the cost of hashes far up in the tree: one pass over the tiles for each path. They are kept, so that all paths of a
 * proof cost one pass.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/index.h"
#include "cli/cli_ledger.h"
#include "cli/table.h"
#include "ledger/books.h"
#include "proof/proof.h"

static const char usage[] =
    "usage: entente ledger prove ENTRY --data DIR [--out FILE]\n"
    "       entente ledger prove --from SIZE [--to SIZE] --data DIR [--out FILE]\n"
    "\n"
    "ENTRY    the request's id (req_…) or the number of an entry: proves that it is in the log, under the latest checkpoint; when none covers it yet,\n"
    "         one is signed first\n"
    "--from   proves that the log of this checkpoint is the beginning of the log of the checkpoint --to, or of the latest\n"
    "--out    the file; else standard output\n"
    "\n"
    "Whoever has the verifier key (`entente ledger checkpoint --key`) checks it with entente-verify.\n";

struct question {
    const char *data, *entry, *from, *to, *out;
};

/* ---- hashes ---- */

struct kept_hash {
    unsigned level;
    uint64_t index;
    struct hash hash;
};

struct tree {
    struct books *books;
    struct kept_hash *kept; /* above the tiles */
    uint32_t n, room;
    struct index by_place;
};

static const struct kept_hash *find_kept(const struct tree *t, unsigned level, uint64_t at)
{
    uint32_t hash = index_hash_u64(level, at), item;
    for (uint32_t cell = index_first(&t->by_place, hash); (item = index_item(&t->by_place, hash, &cell)) != 0; cell++)
        if (t->kept[item - 1].level == level && t->kept[item - 1].index == at)
            return &t->kept[item - 1];
    return NULL;
}

static void keep(struct tree *t, unsigned level, uint64_t at, const struct hash *hash)
{
    if (t->n == t->room) {
        t->room = t->room ? 2 * t->room : 1024;
        t->kept = reallocarray(t->kept, t->room, sizeof *t->kept);
        CHECK(t->kept != NULL);
    }
    t->kept[t->n++] = (struct kept_hash){level, at, *hash};
    index_insert(&t->by_place, index_hash_u64(level, at), t->n);
}

static bool subtree(void *owner, unsigned level, uint64_t at, struct hash *ret)
{
    struct tree *t = owner;
    struct hash left, right;
    if (level >= 63 || 1ull << level <= STORE_TILE)
        return books_subtree(t->books, level, at, ret);
    const struct kept_hash *kept = find_kept(t, level, at);
    if (kept) {
        *ret = kept->hash;
        return true;
    }
    if (!subtree(t, level - 1, 2 * at, &left) || !subtree(t, level - 1, 2 * at + 1, &right))
        return false;
    merkle_node(&left, &right, ret);
    keep(t, level, at, ret);
    return true;
}

static void tree_fini(struct tree *t)
{
    free(t->kept);
    index_fini(&t->by_place);
}

/* ---- checkpoints ---- */

struct note_search {
    uint64_t at_least, at_most; /* sizes that will do; the largest is taken */
    uint64_t size;
    struct buf note;            /* empty: none was found */
};

static enum err take_note(void *owner, uint64_t size, int64_t at_us, struct span note)
{
    struct note_search *f = owner;
    if (size < f->at_least || size > f->at_most || (buf_bytes(&f->note) && size < f->size))
        return ERR_OK;
    f->size = size;
    buf_clear(&f->note);
    return buf_append(&f->note, note);
}

/* False after a message, also when there is none. */
static bool find_note(const struct cli_syntax *s, struct books *b, uint64_t at_least, uint64_t at_most, struct note_search *ret)
{
    *ret = (struct note_search){.at_least = at_least, .at_most = at_most};
    buf_init(&ret->note, NOTE_BYTES_MAX);
    if (store_each_checkpoint(books_store(b), take_note, ret) != ERR_OK)
        cli_error(s, "%s", store_why(books_store(b)));
    else if (!buf_bytes(&ret->note) && at_least == at_most)
        cli_error(s, "no checkpoint of %" PRIu64 " entries was signed: `entente ledger checkpoint --list` shows all", at_least);
    else if (!buf_bytes(&ret->note))
        cli_error(s, "no checkpoint covers this yet: `entente ledger checkpoint` signs one");
    if (buf_bytes(&ret->note))
        return true;
    buf_fini(&ret->note);
    return false;
}

/* ---- writing ---- */

/* Read as its reader will read it: a proof that does not hold is a fault of the store, and does not leave. */
static bool holds(const struct cli_syntax *s, const struct books *b, struct span file)
{
    struct verifier v;
    struct arena arena;
    struct proof proof;
    char why[PROOF_WHY_BYTES];
    arena_init(&arena, 4096);
    bool good = verifier_parse(books_public_key(b), &v) == ERR_OK && proof_open(file, &v, &arena, &proof, why) == ERR_OK;
    arena_fini(&arena);
    if (!good)
        cli_error(s, "the store does not prove it: its entries, hashes or checkpoints do not belong together; run `entente ledger verify`");
    return good;
}

static int write_out(const struct cli_syntax *s, const char *path, struct span file)
{
    FILE *f = path ? fopen(path, "we") : stdout;
    bool good = f && fwrite(file.p, 1, file.n, f) == file.n && fflush(f) == 0;
    if (f && path)
        good &= fclose(f) == 0;
    if (good)
        return CLI_DONE;
    cli_error(s, "%s: it cannot be written: %m", path ? path : "standard output");
    if (path)
        (void)unlink(path);
    return CLI_FAILED;
}

static int finish(const struct cli_syntax *s, const struct question *q, const struct books *b, struct span file)
{
    int code = holds(s, b, file) ? write_out(s, q->out, file) : CLI_FAILED;
    if (code == CLI_DONE && q->out)
        printf("%s: written; check it with: entente-verify --key '%.*s' %s\n", q->out, SPAN_ARG(books_public_key(b)), q->out);
    return code;
}

/* ---- an entry ---- */

struct reference {
    enum entry_kind kind;
    uint32_t number;
    uint64_t seq;
    bool found;
};

struct exhibit {
    struct tree tree;
    struct reference references[PROOF_LEAVES_MAX];
    unsigned references_n;
    enum entry_kind scanned; /* whose table is being read */
    struct proof_leaf leaves[PROOF_LEAVES_MAX];
    struct hash paths[PROOF_LEAVES_MAX][MERKLE_PROOF_MAX];
    struct buf bodies[PROOF_LEAVES_MAX];
    unsigned leaves_n;
};

static void refer(struct exhibit *x, enum entry_kind kind, uint32_t number)
{
    for (unsigned i = 0; i < x->references_n; i++)
        if (x->references[i].kind == kind && x->references[i].number == number)
            return;
    if (number && x->references_n < PROOF_LEAVES_MAX - 1)
        x->references[x->references_n++] = (struct reference){.kind = kind, .number = number};
}

static void refer_from_usage(struct exhibit *x, const struct entry_usage *u)
{
    const uint32_t names[] = {u->key, u->department, u->party, u->model_asked, u->model_served, u->tier, u->provider, u->model};
    for (unsigned i = 0; i < COUNT_OF(names); i++)
        refer(x, ENTRY_NAME, names[i]);
    for (unsigned i = 0; i < u->attempts_n; i++) {
        refer(x, ENTRY_NAME, u->attempts[i].provider);
        refer(x, ENTRY_NAME, u->attempts[i].model);
    }
    refer(x, ENTRY_PRICE, u->buy.price);
    refer(x, ENTRY_PRICE, u->sell.price);
}

static void refer_from_posting(struct exhibit *x, const struct entry_posting *p)
{
    for (unsigned i = 0; i < p->transfers_n; i++) {
        refer(x, ENTRY_NAME, p->transfers[i].debit);
        refer(x, ENTRY_NAME, p->transfers[i].credit);
        refer(x, ENTRY_NAME, p->transfers[i].currency);
    }
}

static enum err place_reference(void *owner, uint32_t number, struct span text, uint64_t seq)
{
    struct exhibit *x = owner;
    for (unsigned i = 0; i < x->references_n; i++) {
        struct reference *r = &x->references[i];
        if (r->kind != x->scanned || r->number != number)
            continue;
        r->seq = seq;
        r->found = true;
    }
    return ERR_OK;
}

static enum err place_references(struct exhibit *x)
{
    struct store *store = books_store(x->tree.books);
    x->scanned = ENTRY_NAME;
    enum err e = store_each_name(store, place_reference, x);
    x->scanned = ENTRY_PRICE;
    e = e ? e : store_each_price(store, place_reference, x);
    for (unsigned i = 0; i < x->references_n; i++)
        e = e || x->references[i].found ? e : ERR_SYNTAX;
    return e;
}

static enum err add_leaf(struct exhibit *x, uint64_t seq, uint64_t size)
{
    unsigned i = x->leaves_n++;
    buf_init(&x->bodies[i], ENTRY_BODY_BYTES_MAX);
    enum err e = store_entry(books_store(x->tree.books), seq, &x->bodies[i]);
    if (e)
        return e;
    x->leaves[i] = (struct proof_leaf){.index = seq, .bytes = buf_span(&x->bodies[i]), .path = x->paths[i]};
    return merkle_prove_inclusion(seq, size, subtree, &x->tree, x->paths[i], &x->leaves[i].path_n) ? ERR_OK : ERR_SYNTAX;
}

static enum err gather(struct exhibit *x, uint64_t seq, uint64_t size)
{
    struct entry entry;
    enum err e = add_leaf(x, seq, size);
    e = e ? e : entry_decode(x->leaves[0].bytes, &entry);
    if (!e && entry.kind == ENTRY_USAGE)
        refer_from_usage(x, &entry.usage);
    if (!e && entry.kind == ENTRY_POSTING)
        refer_from_posting(x, &entry.posting);
    e = e ? e : place_references(x);
    for (unsigned i = 0; !e && i < x->references_n; i++)
        e = add_leaf(x, x->references[i].seq, size);
    return e;
}

static int tell_not_gathered(const struct cli_syntax *s, enum err e, uint64_t seq)
{
    if (e == ERR_NOT_FOUND)
        cli_error(s, "entry %" PRIu64 " was compacted: its hash is still in the tree, its content is not here any more", seq);
    else
        cli_error(s, "entry %" PRIu64 " cannot be proved from this store, which is damaged: run `entente ledger verify`", seq);
    return e == ERR_NOT_FOUND ? CLI_FAILED : CLI_USAGE;
}

static int write_entry(const struct cli_syntax *s, const struct question *q, struct exhibit *x, uint64_t seq, const struct note_search *note)
{
    struct buf file;
    enum err e = gather(x, seq, note->size);
    if (e)
        return tell_not_gathered(s, e, seq);
    buf_init(&file, PROOF_FILE_BYTES_MAX);
    e = proof_write_inclusion(x->leaves, x->leaves_n, buf_span(&note->note), &file);
    int code = e ? cli_ledger_fail(s, e, err_sentence(e)) : finish(s, q, x->tree.books, buf_span(&file));
    buf_fini(&file);
    return code;
}

static int prove_entry(const struct cli_syntax *s, const struct question *q, struct books *b, uint64_t seq)
{
    struct note_search note;
    if (!find_note(s, b, seq + 1, books_size(b), &note))
        return CLI_FAILED;
    struct exhibit *x = calloc(1, sizeof *x);
    CHECK(x != NULL);
    x->tree.books = b;
    int code = write_entry(s, q, x, seq, &note);
    for (unsigned i = 0; i < x->leaves_n; i++)
        buf_fini(&x->bodies[i]);
    tree_fini(&x->tree);
    buf_fini(&note.note);
    free(x);
    return code;
}

/* ---- which entry ---- */

struct request_search {
    uint64_t own;                        /* its last, which stands for the request */
    uint64_t others[LIMIT_ATTEMPTS + 1]; /* attempts that were lost */
    unsigned others_n;
};

static enum err take_entry(void *owner, uint64_t seq, const struct entry *e, struct span body)
{
    struct request_search *f = owner;
    if (e->usage.attempt == 0)
        f->own = seq;
    else if (f->others_n < COUNT_OF(f->others))
        f->others[f->others_n++] = seq;
    return ERR_OK;
}

static int find_request(const struct cli_syntax *s, struct books *b, const char *id, uint64_t *ret_seq)
{
    struct request_search f = {.own = UINT64_MAX};
    enum err e = books_find_request(b, span_str(id), take_entry, &f);
    if (e == ERR_NOT_FOUND)
        cli_error(s, "no entry of this ledger has the id \"%s\": it was never booked here, or was compacted", id);
    else if (e)
        cli_error(s, "%s", books_why(b));
    for (unsigned i = 0; !e && i < f.others_n; i++)
        fprintf(stderr, "attempt that was lost: entry %" PRIu64 "\n", f.others[i]);
    if (!e)
        *ret_seq = f.own != UINT64_MAX ? f.own : f.others[0];
    return e == ERR_OK ? CLI_DONE : e == ERR_NOT_FOUND ? CLI_FAILED : CLI_USAGE;
}

static int find_entry(const struct cli_syntax *s, struct books *b, const char *word, uint64_t *ret_seq)
{
    if (span_starts(span_str(word), SPAN("req_")))
        return find_request(s, b, word, ret_seq);
    if (!span_to_u64(span_str(word), ret_seq)) {
        cli_error(s, "\"%s\" is neither the id of a request (req_…) nor the number of an entry", word);
        return CLI_USAGE;
    }
    if (*ret_seq < books_size(b))
        return CLI_DONE;
    cli_error(s, "there is no entry %s: the log has %" PRIu64 " entries, the first is 0", word, books_size(b));
    return CLI_FAILED;
}

/* ---- growth ---- */

static int write_growth(const struct cli_syntax *s, const struct question *q, struct books *b, const struct note_search *old, const struct note_search *now)
{
    struct tree tree = {.books = b};
    struct hash path[MERKLE_PROOF_MAX];
    struct buf file;
    unsigned n;
    bool good = merkle_prove_consistency(old->size, now->size, subtree, &tree, path, &n);
    tree_fini(&tree);
    if (!good) {
        cli_error(s, "it cannot be proved from this store, which is damaged: run `entente ledger verify`");
        return CLI_USAGE;
    }
    buf_init(&file, PROOF_FILE_BYTES_MAX);
    enum err e = proof_write_consistency(buf_span(&old->note), buf_span(&now->note), path, n, &file);
    int code = e ? cli_ledger_fail(s, e, err_sentence(e)) : finish(s, q, b, buf_span(&file));
    buf_fini(&file);
    return code;
}

static int prove_growth(const struct cli_syntax *s, const struct question *q, struct books *b)
{
    uint64_t from, to = 0;
    struct note_search old, now;
    if (!span_to_u64(span_str(q->from), &from) || (q->to && !span_to_u64(span_str(q->to), &to)) || (q->to && to < from)) {
        cli_error(s, "--from and --to are sizes of checkpoints, the smaller first: `entente ledger checkpoint --list` shows all");
        return CLI_USAGE;
    }
    if (!find_note(s, b, from, from, &old))
        return CLI_FAILED;
    int code = CLI_FAILED;
    if (find_note(s, b, q->to ? to : from, q->to ? to : books_size(b), &now)) {
        code = write_growth(s, q, b, &old, &now);
        buf_fini(&now.note);
    }
    buf_fini(&old.note);
    return code;
}

/* ---- the command ---- */

static enum err take_size(void *owner, uint64_t size, int64_t at_us, struct span note)
{
    uint64_t *largest = owner;
    *largest = size > *largest ? size : *largest;
    return ERR_OK;
}

/* A directory has the key in it, so what no checkpoint covers can be signed now. Of a lone file, what is signed is what there is. */
static int sign_for(const struct cli_syntax *s, const struct question *q, struct books **b, uint64_t seq)
{
    struct ledger *l;
    char key[4096];
    uint64_t signed_size = 0;
    int code;
    snprintf(key, sizeof key, "%s/ledger.key", q->data);
    if (store_each_checkpoint(books_store(*b), take_size, &signed_size) != ERR_OK || signed_size > seq || access(key, F_OK) != 0)
        return CLI_DONE;
    books_close(*b);
    *b = NULL;
    if (!cli_ledger_write(s, q->data, &l, &code))
        return code;
    enum err e = ledger_checkpoint(l);
    ledger_close(l);
    if (e)
        return cli_ledger_fail(s, e, "the checkpoint that would cover the entry cannot be signed: the disk refuses, or is locked");
    return cli_ledger_books(s, q->data, b, &code) ? CLI_DONE : code;
}

static int prove(const struct cli_syntax *s, const struct question *q, struct books **b)
{
    uint64_t seq = 0;
    if (q->from)
        return prove_growth(s, q, *b);
    int code = find_entry(s, *b, q->entry, &seq);
    code = code ? code : sign_for(s, q, b, seq);
    return code ? code : prove_entry(s, q, *b, seq);
}

int cli_ledger_prove(int argc, char **argv)
{
    int code;
    struct question q = {.data = NULL};
    struct books *b = NULL;
    const struct cli_option options[] = {{.name = "--data", .value = &q.data}, {.name = "--from", .value = &q.from}, {.name = "--to", .value = &q.to},
                                         {.name = "--out", .value = &q.out}};
    const struct cli_syntax syntax = {"entente ledger prove", usage, options, COUNT_OF(options), &q.entry, 1};
    if (!cli_read_options(argc, argv, &syntax, &code))
        return code;
    if (!q.entry == !q.from || (q.to && !q.from)) {
        cli_error(&syntax, "name an entry, or --from SIZE of an earlier checkpoint; one of the two");
        return CLI_USAGE;
    }
    if (!cli_ledger_books(&syntax, q.data, &b, &code))
        return code;
    code = prove(&syntax, &q, &b);
    books_close(b);
    return code;
}
