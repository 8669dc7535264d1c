/* SPDX-License-Identifier: Apache-2.0
 *
 * RFC 6962 / RFC 9162 Merkle tree over SHA-256: leaf = H(00 || bytes), node = H(01 || left || right). A frontier that grows by appending, proofs, and
 * their checks. Knows no store: a proof asks a function for the hash of a whole aligned subtree.
 */
#ifndef ENTENTE_PROOF_MERKLE_H
#define ENTENTE_PROOF_MERKLE_H

#include "base/check.h"
#include "base/digest.h"

#define MERKLE_PROOF_MAX 130u

struct hash {
    uint8_t bytes[SHA256_BYTES];
};

void merkle_leaf(struct span bytes, struct hash *ret);
void merkle_node(const struct hash *left, const struct hash *right, struct hash *ret);

/* The peaks of a tree of `size` leaves: one hash per bit set in size, highest first in the tree, stored by level. */
struct merkle {
    uint64_t size;
    struct hash peak[64];
};
void merkle_append(struct merkle *m, const struct hash *leaf);
void merkle_append_subtree(struct merkle *m, unsigned level, const struct hash *root); /* 2^level leaves at once; size must be a multiple of that */
void merkle_root(const struct merkle *m, struct hash *ret); /* of no leaves: SHA-256 of nothing */

/* Hash of the leaves [index << level, (index + 1) << level): all of them exist. False: it cannot be had. */
typedef bool merkle_subtree_fn(void *owner, unsigned level, uint64_t index, struct hash *ret);

/* Inclusion of leaf `index` in the tree of `size` leaves, consistency of the tree of `first` leaves with that of `size` (the empty tree is consistent
 * with every tree, by an empty proof). False when the function failed or the numbers make no sense. */
bool merkle_prove_inclusion(uint64_t index, uint64_t size, merkle_subtree_fn *subtree, void *owner, struct hash proof[MERKLE_PROOF_MAX], unsigned *ret_n);
bool merkle_prove_consistency(uint64_t first, uint64_t size, merkle_subtree_fn *subtree, void *owner, struct hash proof[MERKLE_PROOF_MAX], unsigned *ret_n);
bool merkle_check_inclusion(const struct hash *leaf, uint64_t index, uint64_t size, const struct hash *root, const struct hash *proof, unsigned n);
bool merkle_check_consistency(uint64_t first, const struct hash *first_root, uint64_t size, const struct hash *root, const struct hash *proof, unsigned n);

#endif
