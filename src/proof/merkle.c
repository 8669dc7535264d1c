/* SPDX-License-Identifier: Apache-2.0
 *
 * The Merkle tree of RFC 6962 section 2.1: hashing, and the frontier that grows by appending.
 */
#include "proof/merkle.h"

void merkle_leaf(struct span bytes, struct hash *ret)
{
    digest_sha256_prefixed(0x00, bytes, SPAN_NONE, ret->bytes);
}

void merkle_node(const struct hash *left, const struct hash *right, struct hash *ret)
{
    digest_sha256_prefixed(0x01, span_of(left->bytes, SHA256_BYTES), span_of(right->bytes, SHA256_BYTES), ret->bytes);
}

void merkle_append_subtree(struct merkle *m, unsigned level, const struct hash *root)
{
    struct hash carried = *root;
    CHECK(level < 63 && (m->size & ((1ull << level) - 1)) == 0);
    for (unsigned at = level;; at++) {
        if (!(m->size >> at & 1)) {
            m->peak[at] = carried;
            break;
        }
        merkle_node(&m->peak[at], &carried, &carried);
    }
    m->size += 1ull << level;
}

void merkle_append(struct merkle *m, const struct hash *leaf) { merkle_append_subtree(m, 0, leaf); }

void merkle_root(const struct merkle *m, struct hash *ret)
{
    struct hash root;
    bool any = false;
    for (unsigned at = 0; at < 64; at++) {
        if (!(m->size >> at & 1))
            continue;
        if (any)
            merkle_node(&m->peak[at], &root, &root);
        else
            root = m->peak[at];
        any = true;
    }
    if (!any)
        digest_sha256(SPAN_NONE, root.bytes);
    *ret = root;
}
