/* SPDX-License-Identifier: Apache-2.0
 *
 * What a party's trust rests on: the Merkle tree against published vectors and against the definition written down naively, signed notes against
 * those of the format's reference implementation, and proof files of which no bit may change.
 */
#include "unit.h"

#include "proof/proof.h"

#define SIZE_MAX_TESTED 80u

/* ---- trees ---- */

/* The inputs of the certificate-transparency test suite, and the roots of the trees of the first 1 to 8 of them. */
static const struct span vector_leaves[8] = {
    {"", 0}, {"\x00", 1}, {"\x10", 1}, {"\x20\x21", 2}, {"\x30\x31", 2}, {"\x40\x41\x42\x43", 4}, {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
    {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16},
};
static const char *const vector_roots[8] = {
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

struct tree { /* leaves, and how often the prover asked for a subtree */
    struct hash leaves[SIZE_MAX_TESTED];
    unsigned asked;
};

static void tree_of_vectors(struct tree *t)
{
    for (unsigned i = 0; i < 8; i++)
        merkle_leaf(vector_leaves[i], &t->leaves[i]);
}

static void tree_of_numbers(struct tree *t)
{
    t->asked = 0;
    for (unsigned i = 0; i < SIZE_MAX_TESTED; i++)
        merkle_leaf(span_of(&i, sizeof i), &t->leaves[i]);
}

/* MTH of RFC 6962 section 2.1, as it stands there. */
static struct hash naive_root(const struct hash *leaves, unsigned n)
{
    struct hash left, right, root;
    unsigned k = 1;
    if (n == 1)
        return leaves[0];
    while (k * 2 < n)
        k *= 2;
    left = naive_root(leaves, k);
    right = naive_root(leaves + k, n - k);
    merkle_node(&left, &right, &root);
    return root;
}

static bool subtree(void *owner, unsigned level, uint64_t index, struct hash *ret)
{
    struct tree *t = owner;
    t->asked++;
    *ret = naive_root(t->leaves + (index << level), 1u << level);
    return true;
}

static bool is_hash(const struct hash *h, const char *hex)
{
    char text[2 * SHA256_BYTES + 1];
    digest_hex(h->bytes, SHA256_BYTES, text);
    return strcmp(text, hex) == 0;
}

TEST(roots_are_those_of_the_published_vectors)
{
    struct tree t;
    struct merkle m = {.size = 0};
    struct hash root;
    tree_of_vectors(&t);
    merkle_root(&m, &root);
    EXPECT(is_hash(&root, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    for (unsigned i = 0; i < 8; i++) {
        merkle_append(&m, &t.leaves[i]);
        merkle_root(&m, &root);
        EXPECT(is_hash(&root, vector_roots[i]));
    }
}

TEST(proofs_are_those_of_the_published_vectors)
{
    static const char *const inclusion[] = {"96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                                            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                                            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"};
    static const char *const consistency[] = {"0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                                              "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                                              "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"};
    struct tree t;
    struct hash proof[MERKLE_PROOF_MAX];
    unsigned n = 0;
    tree_of_vectors(&t);
    REQUIRE(merkle_prove_inclusion(0, 8, subtree, &t, proof, &n) && n == 3);
    for (unsigned i = 0; i < 3; i++)
        EXPECT(is_hash(&proof[i], inclusion[i]));
    REQUIRE(merkle_prove_consistency(6, 8, subtree, &t, proof, &n) && n == 3);
    for (unsigned i = 0; i < 3; i++)
        EXPECT(is_hash(&proof[i], consistency[i]));
    REQUIRE(merkle_prove_consistency(2, 5, subtree, &t, proof, &n) && n == 2);
    EXPECT(is_hash(&proof[0], inclusion[1]));
    EXPECT(is_hash(&proof[1], "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"));
}

TEST(a_tree_that_grows_has_the_root_of_the_definition)
{
    struct tree t;
    struct merkle m = {.size = 0}, by_four = {.size = 0};
    tree_of_numbers(&t);
    for (unsigned i = 0; i < SIZE_MAX_TESTED; i++) {
        struct hash root, right = naive_root(t.leaves, i + 1);
        merkle_append(&m, &t.leaves[i]);
        merkle_root(&m, &root);
        EXPECT(memcmp(&root, &right, sizeof root) == 0);
        if (i % 4 != 3)
            continue;
        struct hash four = naive_root(t.leaves + i - 3, 4);
        merkle_append_subtree(&by_four, 2, &four);
        merkle_root(&by_four, &root);
        EXPECT(memcmp(&root, &right, sizeof root) == 0);
    }
}

TEST(every_entry_of_every_tree_can_be_proved)
{
    struct tree t;
    struct hash proof[MERKLE_PROOF_MAX];
    tree_of_numbers(&t);
    for (unsigned size = 1; size <= SIZE_MAX_TESTED; size++) {
        struct hash root = naive_root(t.leaves, size);
        for (unsigned index = 0; index < size; index++) {
            unsigned n = 0;
            REQUIRE(merkle_prove_inclusion(index, size, subtree, &t, proof, &n));
            EXPECT(merkle_check_inclusion(&t.leaves[index], index, size, &root, proof, n));
            EXPECT(!merkle_check_inclusion(&t.leaves[(index + 1) % SIZE_MAX_TESTED], index, size, &root, proof, n));
            EXPECT(index + 1 == size || !merkle_check_inclusion(&t.leaves[index], index + 1, size, &root, proof, n));
            EXPECT(n == 0 || !merkle_check_inclusion(&t.leaves[index], index, size, &root, proof, n - 1));
            proof[n] = t.leaves[0];
            EXPECT(!merkle_check_inclusion(&t.leaves[index], index, size, &root, proof, n + 1));
        }
    }
    EXPECT(t.asked < SIZE_MAX_TESTED * SIZE_MAX_TESTED / 2 * 14); /* the path, and once the peaks of what is not whole */
}

TEST(every_tree_is_the_beginning_of_every_later_one)
{
    struct tree t;
    struct hash proof[MERKLE_PROOF_MAX], empty;
    tree_of_numbers(&t);
    digest_sha256(SPAN_NONE, empty.bytes);
    for (unsigned size = 1; size <= SIZE_MAX_TESTED; size++) {
        struct hash root = naive_root(t.leaves, size);
        for (unsigned first = 0; first <= size; first++) {
            unsigned n = 0;
            struct hash old = first ? naive_root(t.leaves, first) : empty;
            REQUIRE(merkle_prove_consistency(first, size, subtree, &t, proof, &n));
            EXPECT(merkle_check_consistency(first, &old, size, &root, proof, n));
            EXPECT(n == 0 || !merkle_check_consistency(first, &old, size, &root, proof, n - 1));
            proof[n] = t.leaves[0];
            EXPECT(!merkle_check_consistency(first, &old, size, &root, proof, n + 1));
            if (first > 0 && first < size) {
                struct hash other = naive_root(t.leaves + 1, first), fork = naive_root(t.leaves + (size < SIZE_MAX_TESTED), size);
                EXPECT(!merkle_check_consistency(first, &other, size, &root, proof, n));
                EXPECT(size == SIZE_MAX_TESTED || !merkle_check_consistency(first, &old, size, &fork, proof, n));
            }
        }
    }
}

/* Flips each bit of the n bytes and expects that the check refuses; the byte is restored. */
#define EXPECT_EACH_BIT_COUNTS(bytes, n, check)                                                                              \
    for (size_t bit_ = 0; bit_ < 8 * (size_t)(n); bit_++) {                                                                  \
        ((uint8_t *)(bytes))[bit_ / 8] ^= (uint8_t)(1u << bit_ % 8);                                                         \
        EXPECT(!(check));                                                                                                    \
        ((uint8_t *)(bytes))[bit_ / 8] ^= (uint8_t)(1u << bit_ % 8);                                                         \
    }

TEST(no_bit_of_a_proof_may_change)
{
    struct tree t;
    struct hash proof[MERKLE_PROOF_MAX], root, old;
    tree_of_numbers(&t);
    for (unsigned size = 1; size <= 13; size++)
        for (unsigned index = 0; index < size; index++) {
            unsigned n = 0;
            root = naive_root(t.leaves, size);
            REQUIRE(merkle_prove_inclusion(index, size, subtree, &t, proof, &n));
            EXPECT_EACH_BIT_COUNTS(proof, n * sizeof *proof, merkle_check_inclusion(&t.leaves[index], index, size, &root, proof, n))
            EXPECT_EACH_BIT_COUNTS(&root, sizeof root, merkle_check_inclusion(&t.leaves[index], index, size, &root, proof, n))
            old = naive_root(t.leaves, index + 1);
            REQUIRE(merkle_prove_consistency(index + 1, size, subtree, &t, proof, &n));
            EXPECT_EACH_BIT_COUNTS(proof, n * sizeof *proof, merkle_check_consistency(index + 1, &old, size, &root, proof, n))
            EXPECT_EACH_BIT_COUNTS(&root, sizeof root, merkle_check_consistency(index + 1, &old, size, &root, proof, n))
            EXPECT_EACH_BIT_COUNTS(&old, sizeof old, merkle_check_consistency(index + 1, &old, size, &root, proof, n))
        }
}

static bool no_subtree(void *owner, unsigned level, uint64_t index, struct hash *ret) { return false; }

TEST(numbers_that_make_no_sense_are_refused)
{
    struct tree t;
    struct hash proof[MERKLE_PROOF_MAX] = {{{0}}}, root;
    unsigned n = 7;
    tree_of_numbers(&t);
    root = naive_root(t.leaves, 5);
    EXPECT(!merkle_prove_inclusion(5, 5, subtree, &t, proof, &n));
    EXPECT(!merkle_prove_inclusion(0, 0, subtree, &t, proof, &n));
    EXPECT(!merkle_prove_consistency(6, 5, subtree, &t, proof, &n));
    EXPECT(!merkle_prove_inclusion(1, 5, no_subtree, &t, proof, &n));
    EXPECT(!merkle_prove_consistency(2, 5, no_subtree, &t, proof, &n));
    EXPECT_EQ(n, 7);
    EXPECT(!merkle_check_inclusion(&t.leaves[0], 0, 0, &root, proof, 0));
    EXPECT(!merkle_check_inclusion(&t.leaves[0], UINT64_MAX, UINT64_MAX, &root, proof, MERKLE_PROOF_MAX));
    EXPECT(!merkle_check_inclusion(&t.leaves[0], UINT64_MAX - 1, UINT64_MAX, &root, proof, MERKLE_PROOF_MAX));
    EXPECT(!merkle_check_consistency(5, &root, 4, &root, proof, 0));
    EXPECT(!merkle_check_consistency(0, &root, 5, &root, proof, 0));
    EXPECT(!merkle_check_consistency(UINT64_MAX - 1, &root, UINT64_MAX, &root, proof, MERKLE_PROOF_MAX));
    EXPECT(!merkle_check_consistency(1ull << 63, &root, UINT64_MAX, &root, proof, MERKLE_PROOF_MAX));
}

/* ---- keys and notes ---- */

/* Keys, text and signatures of the tests of Go's package for notes. */
#define PETER_SECRET "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
#define PETER "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define ENOCH "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
#define TEXT "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
#define PETER_LINE "\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
#define ENOCH_LINE "\xe2\x80\x94 EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"

static struct verifier verifier_of(const char *text)
{
    struct verifier v = {.id = 0};
    EXPECT_EQ(verifier_parse(span_str(text), &v), ERR_OK);
    return v;
}

TEST(a_key_and_its_note_are_those_of_the_reference_implementation)
{
    struct signer s;
    struct verifier v, peter = verifier_of(PETER);
    struct buf out;
    buf_init(&out, 4096);
    REQUIRE(signer_parse(SPAN(PETER_SECRET), &s) == ERR_OK);
    signer_verifier(&s, &v);
    EXPECT_EQ(memcmp(&v, &peter, sizeof v), 0);
    EXPECT_EQ(verifier_write(&v, &out), ERR_OK);
    EXPECT_SPAN(buf_span(&out), PETER);
    buf_clear(&out);
    EXPECT_EQ(signer_write(&s, &out), ERR_OK);
    EXPECT_SPAN(buf_span(&out), PETER_SECRET "\n");
    EXPECT_EQ(signer_parse(buf_span(&out), &s), ERR_OK);
    buf_clear(&out);
    EXPECT_EQ(note_sign(SPAN(TEXT), &s, &out), ERR_OK);
    EXPECT_SPAN(buf_span(&out), TEXT "\n" PETER_LINE);
    buf_fini(&out);
    signer_wipe(&s);
    EXPECT(s.name[0] == 0 && s.seed[0] == 0);
}

TEST(a_mangled_key_is_refused)
{
    struct verifier v;
    struct signer s;
    char text[] = PETER, secret[] = PETER_SECRET;
    for (size_t from = 0; from < sizeof text; from++)
        for (size_t until = from; until < sizeof text; until++)
            if (until - from != sizeof text - 1)
                EXPECT_EQ(verifier_parse(span_of(text + from, until - from), &v), ERR_SYNTAX);
    for (size_t i = 0; i + 1 < sizeof text; i++, text[i - 1]--) {
        text[i]++;
        EXPECT_EQ(verifier_parse(span_str(text), &v), ERR_SYNTAX);
    }
    for (size_t i = 0; i + 1 < sizeof secret; i++, secret[i - 1]--) {
        EXPECT_EQ(signer_parse(span_of(secret, i), &s), ERR_SYNTAX);
        secret[i]++;
        EXPECT_EQ(signer_parse(span_str(secret), &s), ERR_SYNTAX);
    }
    EXPECT_EQ(verifier_parse(SPAN("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=="), &v), ERR_SYNTAX); /* too long, right hash */
    EXPECT_EQ(verifier_parse(SPAN("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"), &v), ERR_SYNTAX);         /* another algorithm */
}

TEST(fresh_keys_differ_and_sign)
{
    struct signer a, b;
    struct verifier va, vb;
    struct span text;
    struct buf note;
    buf_init(&note, 4096);
    REQUIRE(signer_new(SPAN("acme.example/ledger"), &a) == ERR_OK && signer_new(SPAN("acme.example/ledger"), &b) == ERR_OK);
    EXPECT(memcmp(a.seed, b.seed, sizeof a.seed) != 0);
    signer_verifier(&a, &va);
    signer_verifier(&b, &vb);
    EXPECT_EQ(note_sign(SPAN("hello\n"), &a, &note), ERR_OK);
    EXPECT_EQ(note_open(buf_span(&note), &va, &text), ERR_OK);
    EXPECT_SPAN(text, "hello\n");
    EXPECT_EQ(note_open(buf_span(&note), &vb, &text), ERR_FORBIDDEN);
    EXPECT(signer_new(SPAN("a name"), &a) == ERR_SYNTAX && signer_new(SPAN("a+b"), &a) == ERR_SYNTAX && signer_new(SPAN(""), &a) == ERR_SYNTAX);
    EXPECT(!note_name_is_valid(SPAN("a\xc2\xa0" "b")) && !note_name_is_valid(SPAN("a\xe2\x80\x83" "b")) && !note_name_is_valid(SPAN("a\xff" "b")));
    EXPECT(note_name_is_valid(SPAN("caf\xc3\xa9.example/\xe5\xb8\xb3")));
    buf_fini(&note);
}

static enum err open_note(const char *note, const char *key)
{
    struct verifier v = verifier_of(key);
    struct span text = SPAN_NONE;
    enum err e = note_open(span_str(note), &v, &text);
    EXPECT(e || span_eq(text, SPAN(TEXT)));
    return e;
}

TEST(a_note_counts_when_its_key_signed_it_whoever_else_did)
{
    EXPECT_EQ(open_note(TEXT "\n" PETER_LINE, PETER), ERR_OK);
    EXPECT_EQ(open_note(TEXT "\n" PETER_LINE ENOCH_LINE, PETER), ERR_OK);
    EXPECT_EQ(open_note(TEXT "\n" PETER_LINE ENOCH_LINE, ENOCH), ERR_OK);
    EXPECT_EQ(open_note(TEXT "\n" ENOCH_LINE, PETER), ERR_FORBIDDEN);
    EXPECT_EQ(open_note("If" TEXT "\n" PETER_LINE, PETER), ERR_FORBIDDEN);
    EXPECT_EQ(open_note(TEXT "\n\xe2\x80\x94 PeterNeumann x08gowAA\n" PETER_LINE, PETER), ERR_FORBIDDEN); /* one of its signatures is wrong */
}

TEST(what_is_no_note_is_refused)
{
    static const char *const bad[] = {
        "", "\n", "\n\n", TEXT, TEXT "\n", TEXT "\n\n", "\n" PETER_LINE, "\x01" TEXT "\n" PETER_LINE, "\xff" TEXT "\n" PETER_LINE,
        TEXT "\n\xe2\x80\x94 Bad Name x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n",
        TEXT "\n" PETER_LINE "Unexpected line.\n", TEXT "\n\xe2\x80\x94 PeterNeumann\n", TEXT "\n\xe2\x80\x94 PeterNeumann x08g\n",
        TEXT "\n\xe2\x80\x94 PeterNeumann x08go/ZJ=\n", TEXT "\n- PeterNeumann x08go/ZJ\n", TEXT PETER_LINE,
    };
    struct buf many;
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        EXPECT_EQ(open_note(bad[i], PETER), ERR_SYNTAX);
    buf_init(&many, 1u << 20);
    EXPECT_EQ(buf_append(&many, SPAN(TEXT "\n")), ERR_OK);
    for (unsigned i = 0; i <= NOTE_SIGNATURES_MAX; i++)
        EXPECT_EQ(buf_append(&many, SPAN(ENOCH_LINE)), ERR_OK);
    EXPECT_EQ(buf_append(&many, SPAN("\0")), ERR_OK);
    EXPECT_EQ(open_note(buf_span(&many).p, PETER), ERR_SYNTAX);
    buf_fini(&many);
}

TEST(a_note_may_have_empty_lines_and_only_text_is_signed)
{
    struct signer s;
    struct verifier v = verifier_of(PETER);
    struct span text = SPAN_NONE;
    struct buf note;
    buf_init(&note, 4096);
    REQUIRE(signer_parse(SPAN(PETER_SECRET), &s) == ERR_OK);
    EXPECT_EQ(note_sign(SPAN("a\n\nb\n"), &s, &note), ERR_OK);
    EXPECT_EQ(note_open(buf_span(&note), &v, &text), ERR_OK);
    EXPECT_SPAN(text, "a\n\nb\n");
    EXPECT(note_sign(SPAN("a"), &s, &note) == ERR_SYNTAX && note_sign(SPAN(""), &s, &note) == ERR_SYNTAX && note_sign(SPAN("a\tb\n"), &s, &note) == ERR_SYNTAX);
    buf_fini(&note);
}

TEST(a_checkpoint_has_one_text)
{
    static const char *const bad[] = {
        "", "log\n", "log\n1\n", "log\n1\nAAAA\n", "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n", "log\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n", "log\n18446744073709551616\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
        "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", "log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nx\n",
    };
    static const char good[] = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nextra 1\n";
    struct checkpoint c = {.size = 0};
    struct buf out;
    buf_init(&out, 4096);
    REQUIRE(checkpoint_parse(SPAN_NONE, &c) == ERR_SYNTAX && checkpoint_parse(span_str(good), &c) == ERR_OK);
    EXPECT_SPAN(c.origin, "example.com/behind-the-sofa");
    EXPECT_SPAN(c.extra, "extra 1\n");
    EXPECT_EQ(c.size, 20852163);
    EXPECT_EQ(checkpoint_write(&c, &out), ERR_OK);
    EXPECT_SPAN(buf_span(&out), good);
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        EXPECT_EQ(checkpoint_parse(span_str(bad[i]), &c), ERR_SYNTAX);
    c.origin = SPAN("two\nlines");
    EXPECT_EQ(checkpoint_write(&c, &out), ERR_SYNTAX);
    buf_fini(&out);
}

/* ---- proof files ---- */

struct desk { /* a log of numbers with a key, and one proof file about it */
    struct tree tree;
    struct signer signer;
    struct verifier verifier;
    struct buf file;
    struct arena arena;
    char why[PROOF_WHY_BYTES];
    struct proof proof;
};

static void desk_init(struct desk *d)
{
    tree_of_numbers(&d->tree);
    buf_init(&d->file, PROOF_FILE_BYTES_MAX);
    arena_init(&d->arena, 4096);
    EXPECT_EQ(signer_new(SPAN("acme.example/ledger"), &d->signer), ERR_OK);
    signer_verifier(&d->signer, &d->verifier);
}

static void desk_fini(struct desk *d)
{
    buf_fini(&d->file);
    arena_fini(&d->arena);
}

static void sign_checkpoint(struct desk *d, const char *origin, unsigned size, struct buf *note)
{
    struct buf text;
    struct checkpoint c = {.origin = span_str(origin), .size = size};
    if (size)
        c.root = naive_root(d->tree.leaves, size);
    else
        digest_sha256(SPAN_NONE, c.root.bytes);
    buf_init(&text, 4096);
    buf_init(note, 8192);
    EXPECT_EQ(checkpoint_write(&c, &text), ERR_OK);
    EXPECT_EQ(note_sign(buf_span(&text), &d->signer, note), ERR_OK);
    buf_fini(&text);
}

static void write_inclusion(struct desk *d, const char *origin, unsigned size, const unsigned *numbers, unsigned n)
{
    static struct hash paths[4][MERKLE_PROOF_MAX];
    struct proof_leaf leaves[4];
    struct buf note;
    sign_checkpoint(d, origin, size, &note);
    for (unsigned i = 0; i < n; i++) {
        leaves[i] = (struct proof_leaf){.index = numbers[i], .bytes = span_of(&numbers[i], sizeof numbers[i]), .path = paths[i]};
        EXPECT(merkle_prove_inclusion(numbers[i], size, subtree, &d->tree, paths[i], &leaves[i].path_n));
    }
    EXPECT_EQ(proof_write_inclusion(leaves, n, buf_span(&note), &d->file), ERR_OK);
    buf_fini(&note);
}

static void write_consistency(struct desk *d, unsigned first, unsigned size)
{
    struct hash path[MERKLE_PROOF_MAX];
    struct buf old, now;
    unsigned n = 0;
    sign_checkpoint(d, d->signer.name, first, &old);
    sign_checkpoint(d, d->signer.name, size, &now);
    EXPECT(merkle_prove_consistency(first, size, subtree, &d->tree, path, &n));
    EXPECT_EQ(proof_write_consistency(buf_span(&old), buf_span(&now), path, n, &d->file), ERR_OK);
    buf_fini(&old);
    buf_fini(&now);
}

static enum err open_file(struct desk *d, struct span file)
{
    arena_fini(&d->arena);
    d->why[0] = 0;
    enum err e = proof_open(file, &d->verifier, &d->arena, &d->proof, d->why);
    EXPECT(!e == !d->why[0]);
    return e;
}

/* The bytes at the very end of memory that may be read: one over is seen by the sanitizer. */
static enum err open_exactly(struct desk *d, struct span file)
{
    char *copy = malloc(file.n ? file.n : 1);
    memcpy(copy, file.n ? file.p : "", file.n);
    enum err e = open_file(d, span_of(copy, file.n));
    free(copy);
    return e;
}

static void expect_every_bit_and_byte_counts(struct desk *d)
{
    struct span file = buf_span(&d->file);
    char *bytes = (char *)(uintptr_t)file.p;
    for (size_t i = 0; i < file.n; i++) {
        EXPECT(open_exactly(d, span_to(file, i)) != ERR_OK);
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] ^= (char)(1u << bit);
            if (open_file(d, file) == ERR_OK)
                UNIT_FAIL("bit %u of byte %zu does not count", bit, i);
            bytes[i] ^= (char)(1u << bit);
        }
    }
    EXPECT_EQ(open_file(d, file), ERR_OK);
}

TEST(a_proof_of_an_entry_shows_it_and_what_it_refers_to)
{
    struct desk d;
    desk_init(&d);
    write_inclusion(&d, d.signer.name, 77, (const unsigned[]){76, 3, 40}, 3);
    REQUIRE(open_file(&d, buf_span(&d.file)) == ERR_OK);
    EXPECT_EQ(d.proof.kind, PROOF_INCLUSION);
    EXPECT_EQ(d.proof.checkpoint.size, 77);
    REQUIRE(d.proof.leaves_n == 3);
    EXPECT(d.proof.leaves[0].index == 76 && d.proof.leaves[1].index == 3 && d.proof.leaves[2].index == 40);
    EXPECT_EQ(*d.proof.leaves[2].bytes.p, 40);
    desk_fini(&d);
}

TEST(no_bit_of_a_proof_file_may_change)
{
    struct desk d;
    desk_init(&d);
    write_inclusion(&d, d.signer.name, 9, (const unsigned[]){8, 2}, 2);
    expect_every_bit_and_byte_counts(&d);
    desk_fini(&d);
}

TEST(no_bit_of_a_proof_of_growth_may_change)
{
    struct desk d;
    desk_init(&d);
    write_consistency(&d, 6, 11);
    REQUIRE(open_file(&d, buf_span(&d.file)) == ERR_OK);
    EXPECT(d.proof.kind == PROOF_CONSISTENCY && d.proof.earlier.size == 6 && d.proof.checkpoint.size == 11);
    expect_every_bit_and_byte_counts(&d);
    desk_fini(&d);
}

TEST(proofs_of_growth_from_nothing_and_of_no_growth_hold)
{
    static const struct {
        unsigned first, size;
    } pairs[] = {{0, 0}, {0, 7}, {7, 7}, {1, 1}, {8, 16}};
    for (unsigned i = 0; i < COUNT_OF(pairs); i++) {
        struct desk d;
        desk_init(&d);
        write_consistency(&d, pairs[i].first, pairs[i].size);
        EXPECT_EQ(open_file(&d, buf_span(&d.file)), ERR_OK);
        desk_fini(&d);
    }
}

TEST(the_proof_of_a_log_of_one_entry_has_no_path)
{
    struct desk d;
    desk_init(&d);
    write_inclusion(&d, d.signer.name, 1, (const unsigned[]){0}, 1);
    expect_every_bit_and_byte_counts(&d);
    desk_fini(&d);
}

TEST(another_ledgers_proof_is_refused)
{
    struct desk d, other;
    desk_init(&d);
    desk_init(&other); /* the same name, another key */
    write_inclusion(&d, d.signer.name, 9, (const unsigned[]){8}, 1);
    EXPECT_EQ(open_file(&other, buf_span(&d.file)), ERR_FORBIDDEN);
    EXPECT(strstr(other.why, "another ledger") != NULL);
    buf_clear(&d.file);
    write_inclusion(&d, "acme.example/other", 9, (const unsigned[]){8}, 1); /* the same key, another log */
    EXPECT_EQ(open_file(&d, buf_span(&d.file)), ERR_FORBIDDEN);
    desk_fini(&d);
    desk_fini(&other);
}

TEST(what_is_no_proof_file_is_refused)
{
    static const char *const bad[] = {
        "", "\n", "c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v1\n", "c2sp.org/tlog-proof@v1\n\n", "c2sp.org/tlog-proof@v1\nextra \n\n",
        "c2sp.org/tlog-proof@v1\nextra AQA=\n\n", "c2sp.org/tlog-proof@v1\nextra AQA=\nindex 01\n\n", "c2sp.org/tlog-proof@v1\nindex 1\n\n",
        "c2sp.org/tlog-proof@v1\nextra AQH/\nindex 1\n\n", "c2sp.org/tlog-proof@v1\nextra AoAA\nindex 1\n\n", "entente-consistency@v1\n", "entente-consistency@v1\n\n",
        "entente-consistency@v1\n\n\n\n\n", "entente-consistency@v1\n\na\n\nb\n\nc\n\nd\n", "{\"proof\":1}",
        "c2sp.org/tlog-proof@v1\nextra AQAA//////////////8B\nindex 0\n\n",
    };
    struct desk d;
    desk_init(&d);
    for (unsigned i = 0; i < COUNT_OF(bad); i++)
        EXPECT_EQ(open_exactly(&d, span_str(bad[i])), ERR_SYNTAX);
    desk_fini(&d);
}

UNIT_MAIN
