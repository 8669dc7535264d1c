/* SPDX-License-Identifier: Apache-2.0
 *
 * Proof files from people who want to be believed, and logs kept by people who want something else on the reader's screen. The first byte of the input
 * chooses: 0, the rest is a file; 1, the rest is a log, one entry per line of "length bytes", whose every proof must hold and be shown in plain
 * characters; 2, the same with one bit of one proof changed, which must then not hold.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json_scan.h"
#include "verify/show.h"

#define ENTRIES_MAX 24u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct log {
    struct signer signer;
    struct verifier verifier;
    struct span entries[ENTRIES_MAX];
    char numbered[ENTRIES_MAX][257];
    struct hash leaves[ENTRIES_MAX];
    unsigned n;
};

static bool subtree(void *owner, unsigned level, uint64_t index, struct hash *ret)
{
    struct log *l = owner;
    struct hash left, right;
    if (level == 0) {
        *ret = l->leaves[index];
        return true;
    }
    CHECK(subtree(l, level - 1, 2 * index, &left) && subtree(l, level - 1, 2 * index + 1, &right));
    merkle_node(&left, &right, ret);
    return true;
}

static void check_shown(struct span text)
{
    const char *end = text.p + text.n;
    for (const char *p = text.p; p < end;) {
        unsigned bytes = json_utf8_bytes(p, end);
        CHECK(bytes > 0 && (*p == '\n' || ((unsigned char)*p >= 0x20 && *p != 0x7f)));
        CHECK((unsigned char)*p != 0xc2 || (unsigned char)p[1] >= 0xa0);
        p += bytes;
    }
}

/* In memory of its own, to the byte: what is read beyond the end is seen. */
static enum err open_copy(const struct log *l, struct span file, bool show)
{
    char why[PROOF_WHY_BYTES] = "", *copy = malloc(file.n ? file.n : 1);
    struct arena arena;
    struct proof proof;
    struct buf lines;
    CHECK(copy);
    memcpy(copy, file.n ? file.p : "", file.n);
    arena_init(&arena, 4096);
    buf_init(&lines, SHOW_BYTES_MAX);
    enum err e = proof_open(span_of(copy, file.n), &l->verifier, &arena, &proof, why);
    CHECK(!e || (why[0] && memchr(why, 0, sizeof why)));
    if (!e && show && show_proof(&proof, &lines, why) != ERR_OK)
        CHECK(why[0]);
    if (buf_bytes(&lines))
        check_shown(buf_span(&lines));
    buf_fini(&lines);
    arena_fini(&arena);
    free(copy);
    return e;
}

/* ---- a log ---- */

/* numbered: each entry gets its place in front, so that no two are the same, and the proof of one is none of another. */
static void read_log(struct log *l, struct span rest, bool numbered)
{
    struct merkle m = {.size = 0};
    for (l->n = 0; rest.n > 0 && l->n < ENTRIES_MAX; l->n++) {
        size_t n = (uint8_t)rest.p[0];
        rest = span_from(rest, 1);
        n = n < rest.n ? n : rest.n;
        l->entries[l->n] = span_to(rest, n);
        if (numbered) {
            l->numbered[l->n][0] = (char)l->n;
            memcpy(l->numbered[l->n] + 1, n ? rest.p : "", n);
            l->entries[l->n] = span_of(l->numbered[l->n], n + 1);
        }
        rest = span_from(rest, n);
        merkle_leaf(l->entries[l->n], &l->leaves[l->n]);
        merkle_append(&m, &l->leaves[l->n]);
    }
}

static void sign(const struct log *l, struct buf *note)
{
    struct merkle m = {.size = 0};
    struct checkpoint c = {.origin = span_str(l->signer.name), .size = l->n};
    struct buf text;
    for (unsigned i = 0; i < l->n; i++)
        merkle_append(&m, &l->leaves[i]);
    merkle_root(&m, &c.root);
    buf_init(&text, 4096);
    CHECK(checkpoint_write(&c, &text) == ERR_OK && note_sign(buf_span(&text), &l->signer, note) == ERR_OK);
    buf_fini(&text);
}

/* The last entry, with all others beside it. */
static void write_proof(struct log *l, struct buf *file)
{
    static struct hash paths[ENTRIES_MAX][MERKLE_PROOF_MAX];
    struct proof_leaf leaves[ENTRIES_MAX];
    struct buf note;
    for (unsigned i = 0; i < l->n; i++) {
        unsigned at = i ? i - 1 : l->n - 1;
        leaves[i] = (struct proof_leaf){.index = at, .bytes = l->entries[at], .path = paths[i]};
        CHECK(merkle_prove_inclusion(at, l->n, subtree, l, paths[i], &leaves[i].path_n));
    }
    buf_init(&note, 8192);
    sign(l, &note);
    CHECK(proof_write_inclusion(leaves, l->n, buf_span(&note), file) == ERR_OK);
    buf_fini(&note);
}

static void try_log(struct log *l, struct span rest, bool change)
{
    struct buf file;
    uint32_t at = 0;
    memcpy(&at, rest.n ? rest.p : "", rest.n < sizeof at ? rest.n : sizeof at);
    read_log(l, change ? span_from(rest, sizeof at) : rest, change);
    if (l->n == 0)
        return;
    buf_init(&file, PROOF_FILE_BYTES_MAX);
    write_proof(l, &file);
    struct span bytes = buf_span(&file);
    if (change)
        ((char *)(uintptr_t)bytes.p)[at / 8 % bytes.n] ^= (char)(1u << at % 8);
    CHECK((open_copy(l, bytes, !change) == ERR_OK) == !change);
    buf_fini(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct log l;
    if (n == 0)
        return 0;
    /* The key of the tests of Go's package for notes: files of the corpus are signed with it. */
    CHECK(signer_parse(SPAN("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"), &l.signer) == ERR_OK);
    signer_verifier(&l.signer, &l.verifier);
    struct span rest = span_of(data + 1, n - 1);
    if (data[0] % 3 == 0)
        (void)open_copy(&l, rest, true);
    else
        try_log(&l, rest, data[0] % 3 == 2);
    return 0;
}
