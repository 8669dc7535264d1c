/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256, constant-time comparison, hex and base64, process randomness. The only file in base that knows OpenSSL.
 */
#ifndef ENTENTE_BASE_DIGEST_H
#define ENTENTE_BASE_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#define SHA256_BYTES 32

void digest_sha256(struct span bytes, uint8_t out[SHA256_BYTES]);
/* Of one byte, then a, then b: what hash trees are made of. Without the cost that OpenSSL 3's general interface has per digest. */
void digest_sha256_prefixed(uint8_t prefix, struct span a, struct span b, uint8_t out[SHA256_BYTES]);
bool digest_equal(const uint8_t *a, const uint8_t *b, size_t n); /* takes the same time wherever they differ */
void digest_hex(const uint8_t *bytes, size_t n, char *out /* 2n + 1 */);
bool digest_from_hex(struct span text, uint8_t *out, size_t n); /* exactly 2n digits */
struct span digest_base64(struct arena *a, struct span bytes);
bool digest_from_base64(struct arena *a, struct span text, struct span *ret);
void digest_random(void *out, size_t n); /* cryptographic; ends the process when the system has none */
void digest_wipe(void *secret, size_t n); /* not optimised away */

#endif
