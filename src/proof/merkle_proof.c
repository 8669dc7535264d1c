/* SPDX-License-Identifier: Apache-2.0
 *
 * Proofs and their checks. Both walk between a leaf (or the right edge of an old tree) and the root; a proof lists, from the bottom, the hashes that
 * hang beside the walk. Provers find them top down, as RFC 6962 section 2.1 defines them; checks climb, as RFC 9162 sections 2.1.3.2 and
 * 2.1.4.2 say, and never ask for anything but the two numbers, the proof and the roots.
 */
#include "proof/merkle.h"

/* ---- proving ---- */

struct prover {
    merkle_subtree_fn *subtree;
    void *owner;
    struct hash *proof;
    unsigned n;
    bool failed;
};

/* Of n leaves, how many are in the left subtree: the largest power of two below n. */
static uint64_t left_part(uint64_t n) { return 1ull << (63 - __builtin_clzll(n - 1)); }

/* The hash of leaves [from, until), where from is a multiple of the power of two that holds them all: their peaks, folded from the right. */
static bool range_hash(struct prover *p, uint64_t from, uint64_t until, struct hash *ret)
{
    bool any = false;
    for (uint64_t left = until - from, end = until; left; left &= left - 1) {
        unsigned level = (unsigned)__builtin_ctzll(left);
        struct hash peak;
        end -= 1ull << level;
        if (!p->subtree(p->owner, level, end >> level, &peak))
            return false;
        if (any)
            merkle_node(&peak, ret, ret);
        else
            *ret = peak;
        any = true;
    }
    return any;
}

static void add(struct prover *p, uint64_t from, uint64_t until)
{
    CHECK(p->n < MERKLE_PROOF_MAX);
    if (!p->failed && range_hash(p, from, until, &p->proof[p->n]))
        p->n++;
    else
        p->failed = true;
}

static bool finish(struct prover *p, unsigned *ret_n)
{
    for (unsigned low = 0, high = p->n; low + 1 < high; low++) {
        struct hash kept = p->proof[low];
        p->proof[low] = p->proof[--high];
        p->proof[high] = kept;
    }
    if (!p->failed)
        *ret_n = p->n;
    return !p->failed;
}

bool merkle_prove_inclusion(uint64_t index, uint64_t size, merkle_subtree_fn *subtree, void *owner, struct hash proof[MERKLE_PROOF_MAX], unsigned *ret_n)
{
    struct prover p = {.subtree = subtree, .owner = owner, .proof = proof, .failed = index >= size};
    for (uint64_t from = 0, until = size; !p.failed && until - from > 1;) {
        uint64_t middle = from + left_part(until - from);
        if (index < middle) {
            add(&p, middle, until);
            until = middle;
        } else {
            add(&p, from, middle);
            from = middle;
        }
    }
    return finish(&p, ret_n);
}

bool merkle_prove_consistency(uint64_t first, uint64_t size, merkle_subtree_fn *subtree, void *owner, struct hash proof[MERKLE_PROOF_MAX], unsigned *ret_n)
{
    struct prover p = {.subtree = subtree, .owner = owner, .proof = proof, .failed = first > size};
    uint64_t from = 0, until = first ? size : 0; /* the empty tree is the beginning of every tree */
    while (!p.failed && until != first) {
        uint64_t middle = from + left_part(until - from);
        if (first <= middle) {
            add(&p, middle, until);
            until = middle;
        } else {
            add(&p, from, middle);
            from = middle;
        }
    }
    if (!p.failed && from > 0) /* from 0, the old root itself is what hangs here, and the reader has it */
        add(&p, from, until);
    return finish(&p, ret_n);
}

/* ---- checking ---- */

struct climb { /* where the walk is, and where the last node of that level is */
    uint64_t at, last;
};

static void up(struct climb *c)
{
    c->at >>= 1;
    c->last >>= 1;
}

/* Moves to the parent over the next hash of a proof. True: that hash was to the left. A last node without a sibling is its own parent. */
static bool climb_is_from_right(struct climb *c)
{
    bool from_right = (c->at & 1) || c->at == c->last;
    while (from_right && c->at && !(c->at & 1))
        up(c);
    up(c);
    return from_right;
}

static bool is_same(const struct hash *a, const struct hash *b) { return digest_equal(a->bytes, b->bytes, sizeof a->bytes); }

bool merkle_check_inclusion(const struct hash *leaf, uint64_t index, uint64_t size, const struct hash *root, const struct hash *proof, unsigned n)
{
    struct climb c = {index, size - 1};
    struct hash h = *leaf;
    if (index >= size)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (c.last == 0)
            return false;
        if (climb_is_from_right(&c))
            merkle_node(&proof[i], &h, &h);
        else
            merkle_node(&h, &proof[i], &h);
    }
    return c.last == 0 && is_same(&h, root);
}

/* From a node that both trees have, whose hash is `seed`, to both roots at once. */
static bool climb_to_both(struct climb c, const struct hash *seed, const struct hash *first_root, const struct hash *root, const struct hash *proof, unsigned n)
{
    struct hash old = *seed, now = *seed;
    for (unsigned i = 0; i < n; i++) {
        if (c.last == 0)
            return false;
        if (climb_is_from_right(&c)) {
            merkle_node(&proof[i], &old, &old);
            merkle_node(&proof[i], &now, &now);
        } else {
            merkle_node(&now, &proof[i], &now);
        }
    }
    return c.last == 0 && is_same(&old, first_root) && is_same(&now, root);
}

bool merkle_check_consistency(uint64_t first, const struct hash *first_root, uint64_t size, const struct hash *root, const struct hash *proof, unsigned n)
{
    struct hash empty;
    if (first > size || (first == size && !is_same(first_root, root)))
        return false;
    if (first == 0)
        digest_sha256(SPAN_NONE, empty.bytes);
    if (first == 0 || first == size)
        return n == 0 && (first != 0 || is_same(first_root, &empty));
    struct climb c = {first - 1, size - 1};
    while (c.at & 1)
        up(&c);
    if ((first & (first - 1)) == 0) /* the old tree is one whole subtree of the new: its root is the seed */
        return climb_to_both(c, first_root, first_root, root, proof, n);
    return n > 0 && climb_to_both(c, &proof[0], first_root, root, proof + 1, n - 1);
}
