/* SPDX-License-Identifier: Apache-2.0
 *
 * Proofs as files, for people who have a verifier key and nothing else. docs/proofs.md has both forms.
 *
 * Of an entry: a C2SP tlog-proof (c2sp.org/tlog-proof), whose `extra` line carries the entry's bytes and, each with its own index and path, the
 * entries that it refers to (names, price lines). Of growth: that the log of one checkpoint is the beginning of the log of another.
 */
#ifndef ENTENTE_PROOF_PROOF_H
#define ENTENTE_PROOF_PROOF_H

#include "base/arena.h"
#include "proof/note.h"

#define PROOF_FILE_BYTES_MAX (4u * 1024u * 1024u)
#define PROOF_LEAVES_MAX 256u
#define PROOF_LEAF_BYTES_MAX (64u * 1024u)
#define PROOF_PATH_MAX 64u
#define PROOF_WHY_BYTES 256u

struct proof_leaf {
    uint64_t index;
    struct span bytes;
    const struct hash *path;
    unsigned path_n;
};

/* leaves[0] is the entry that is proved, the others are what it refers to; all paths lead to the root of the note. ERR_RANGE: more than a file may
 * hold. */
enum err proof_write_inclusion(const struct proof_leaf *leaves, unsigned n, struct span checkpoint_note, struct buf *out) MUST_CHECK;
enum err proof_write_consistency(struct span old_note, struct span new_note, const struct hash *path, unsigned n, struct buf *out) MUST_CHECK;

enum proof_kind { PROOF_INCLUSION, PROOF_CONSISTENCY };

struct proof {
    enum proof_kind kind;
    struct checkpoint checkpoint;    /* of a consistency proof: the later one */
    struct checkpoint earlier;       /* PROOF_CONSISTENCY */
    const struct proof_leaf *leaves; /* PROOF_INCLUSION: each is in the log, at its index */
    unsigned leaves_n;
};

/* Checks a whole file against a verifier key; what is in *ret afterwards is proved, and nothing else in the file counts. ERR_SYNTAX: the file is no
 * proof, or is damaged. ERR_FORBIDDEN: it is one, and proves nothing: a signature, path or root is wrong. why: a sentence. Any bytes may be given;
 * *ret lives in the arena and in file. */
enum err proof_open(struct span file, const struct verifier *v, struct arena *a, struct proof *ret, char why[PROOF_WHY_BYTES]) MUST_CHECK;

#endif
