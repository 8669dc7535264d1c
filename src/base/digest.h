/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256, Ed25519, constant-time comparison, hex and base64, process randomness. The only file in base that knows OpenSSL.
 */
#ifndef ENTENTE_BASE_DIGEST_H
#define ENTENTE_BASE_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#define SHA256_BYTES 32
#define ED25519_KEY_BYTES 32 /* of a seed (the private key of RFC 8032) and of a public key */
#define ED25519_SIGNATURE_BYTES 64

void digest_sha256(struct span bytes, uint8_t out[SHA256_BYTES]);
/* Of one byte, then a, then b: what hash trees are made of. Without the cost that OpenSSL 3's general interface has per digest. */
void digest_sha256_prefixed(uint8_t prefix, struct span a, struct span b, uint8_t out[SHA256_BYTES]);
/* The same over bytes that come in pieces. */
struct digest_sum;
struct digest_sum *digest_sum_new(void); /* ends the process when there is no memory, as arenas do */
void digest_sum_add(struct digest_sum *s, struct span bytes);
void digest_sum_read(const struct digest_sum *s, uint8_t out[SHA256_BYTES]); /* of all so far; more may be added */
void digest_sum_free(struct digest_sum *s); /* accepts NULL */
bool digest_equal(const uint8_t *a, const uint8_t *b, size_t n); /* takes the same time wherever they differ */
void digest_hex(const uint8_t *bytes, size_t n, char *out /* 2n + 1 */);
bool digest_from_hex(struct span text, uint8_t *out, size_t n); /* exactly 2n digits */
struct span digest_base64(struct arena *a, struct span bytes);
bool digest_from_base64(struct arena *a, struct span text, struct span *ret);
void digest_ed25519_public(const uint8_t seed[ED25519_KEY_BYTES], uint8_t out[ED25519_KEY_BYTES]);
void digest_ed25519_sign(const uint8_t seed[ED25519_KEY_BYTES], struct span message, uint8_t out[ED25519_SIGNATURE_BYTES]);
/* False for a wrong signature as for bytes that are no public key at all. */
bool digest_ed25519_verify(const uint8_t public_key[ED25519_KEY_BYTES], struct span message, const uint8_t signature[ED25519_SIGNATURE_BYTES]) MUST_CHECK;
void digest_random(void *out, size_t n); /* cryptographic; ends the process when the system has none */
void digest_wipe(void *secret, size_t n); /* not optimised away */

#endif
