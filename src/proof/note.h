/* SPDX-License-Identifier: Apache-2.0
 *
 * C2SP signed notes (c2sp.org/signed-note) with Ed25519, and the tree heads in them (c2sp.org/tlog-checkpoint). Text in, text out; files are the
 * caller's.
 */
#ifndef ENTENTE_PROOF_NOTE_H
#define ENTENTE_PROOF_NOTE_H

#include "base/buf.h"
#include "proof/merkle.h"

#define NOTE_NAME_BYTES 128u
#define NOTE_BYTES_MAX (64u * 1024u)

struct signer {                 /* wiped by signer_wipe */
    char name[NOTE_NAME_BYTES]; /* "acme.example/ledger": no spaces, no plus */
    uint8_t seed[32], public_key[32];
    uint32_t id;                /* key hash of the note format */
};
struct verifier {
    char name[NOTE_NAME_BYTES];
    uint8_t public_key[32];
    uint32_t id;
};

bool note_name_is_valid(struct span name);
enum err signer_new(struct span name, struct signer *ret) MUST_CHECK;                 /* a fresh key */
enum err signer_parse(struct span text, struct signer *ret) MUST_CHECK;               /* "PRIVATE+KEY+name+hash+base64", as signer_write makes it */
enum err signer_write(const struct signer *s, struct buf *out) MUST_CHECK;            /* with LF; to be kept secret */
void signer_wipe(struct signer *s);
void signer_verifier(const struct signer *s, struct verifier *ret);
enum err verifier_parse(struct span text, struct verifier *ret) MUST_CHECK;           /* "name+hash+base64" */
enum err verifier_write(const struct verifier *v, struct buf *out) MUST_CHECK;        /* without LF */

/* text ends with LF and holds no blank-line-then-dash ambiguity: as the format says. */
enum err note_sign(struct span text, const struct signer *s, struct buf *out) MUST_CHECK;
/* ERR_SYNTAX: no note. ERR_FORBIDDEN: no signature of this verifier, or a wrong one. ret_text borrows from note. */
enum err note_open(struct span note, const struct verifier *v, struct span *ret_text) MUST_CHECK;

struct checkpoint {
    struct span origin;         /* borrowed */
    uint64_t size;
    struct hash root;
    struct span extra;          /* further lines, with LFs; or empty */
};
enum err checkpoint_write(const struct checkpoint *c, struct buf *out) MUST_CHECK;    /* the note's text */
enum err checkpoint_parse(struct span text, struct checkpoint *ret) MUST_CHECK;

/* A proof as one file (docs/ledger.md has the format): an entry's bytes, with those of the names and prices it refers to, each with index and
 * inclusion proof, and the signed checkpoint; or a consistency proof between two checkpoints. What `entente ledger prove` writes and
 * `entente-verify` checks. */
#define PROOF_LEAVES_MAX 64u
struct proof_leaf {
    uint64_t index;
    struct span bytes;
    struct hash path[MERKLE_PROOF_MAX];
    unsigned path_n;
};
enum err proof_write_inclusion(const struct proof_leaf *leaves, unsigned n, struct span checkpoint_note, struct buf *out) MUST_CHECK;
enum err proof_write_consistency(struct span old_note, struct span new_note, const struct hash *path, unsigned n, struct buf *out) MUST_CHECK;
/* Checks a file against a verifier key. OK, and what it proves as lines of text in `said`; ERR_SYNTAX, ERR_FORBIDDEN with a sentence in why. */
enum err proof_check(struct span file, const struct verifier *v, struct buf *said, char why[256]) MUST_CHECK;

#endif
