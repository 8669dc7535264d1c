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
#define NOTE_SIGNATURES_MAX 100u

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
/* "PRIVATE+KEY+name+hash+base64" and "name+hash+base64", each with or without a final LF. ERR_SYNTAX: anything else, also a hash of another key. */
enum err signer_parse(struct span text, struct signer *ret) MUST_CHECK;
enum err signer_write(const struct signer *s, struct buf *out) MUST_CHECK;            /* with LF; to be kept secret */
void signer_wipe(struct signer *s);
void signer_verifier(const struct signer *s, struct verifier *ret);
enum err verifier_parse(struct span text, struct verifier *ret) MUST_CHECK;
enum err verifier_write(const struct verifier *v, struct buf *out) MUST_CHECK;        /* without LF */

/* Appends text, an empty line and one signature. ERR_SYNTAX unless text is UTF-8 without control characters that ends with LF. */
enum err note_sign(struct span text, const struct signer *s, struct buf *out) MUST_CHECK;
/* ERR_SYNTAX: no note. ERR_FORBIDDEN: no signature of this verifier, or a wrong one. ret_text borrows from note. Signatures of others are passed over. */
enum err note_open(struct span note, const struct verifier *v, struct span *ret_text) MUST_CHECK;

struct checkpoint {
    struct span origin;         /* borrowed */
    uint64_t size;
    struct hash root;
    struct span extra;          /* further lines, with LFs; or empty */
};
enum err checkpoint_write(const struct checkpoint *c, struct buf *out) MUST_CHECK;    /* appends the note's text; ERR_SYNTAX when it would not parse */
enum err checkpoint_parse(struct span text, struct checkpoint *ret) MUST_CHECK;

#endif
