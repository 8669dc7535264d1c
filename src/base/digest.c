/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL looks an algorithm up by name each time unless it was fetched before; for a key of a few dozen bytes that would
 * cost more than the hash. Hence one fetch per process and one context per thread.
 */
#include "base/digest.h"

#include <pthread.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/rand.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;
static pthread_key_t context_key;
static _Thread_local EVP_MD_CTX *context;

static void context_free(void *ctx)
{
    EVP_MD_CTX_free(ctx);
}

static void fetch_once(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    CHECK(sha256 != NULL);
    CHECK(pthread_key_create(&context_key, context_free) == 0);
}

static EVP_MD_CTX *thread_context(void)
{
    if (!context) {
        CHECK(pthread_once(&once, fetch_once) == 0);
        context = EVP_MD_CTX_new();
        CHECK(context != NULL);
        CHECK(pthread_setspecific(context_key, context) == 0);
    }
    return context;
}

void digest_sha256(struct span bytes, uint8_t out[SHA256_BYTES])
{
    EVP_MD_CTX *ctx = thread_context();
    CHECK(EVP_DigestInit_ex2(ctx, sha256, NULL) == 1);
    CHECK(EVP_DigestUpdate(ctx, bytes.p, bytes.n) == 1);
    CHECK(EVP_DigestFinal_ex(ctx, out, NULL) == 1);
}

/* The functions of one algorithm are deprecated in favour of EVP, which looks its algorithm up and allocates for each digest: three times the
 * cost of hashing the hundred bytes of an entry. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
void digest_sha256_prefixed(uint8_t prefix, struct span a, struct span b, uint8_t out[SHA256_BYTES])
{
    SHA256_CTX ctx;
    CHECK(SHA256_Init(&ctx) == 1 && SHA256_Update(&ctx, &prefix, 1) == 1);
    CHECK(SHA256_Update(&ctx, a.p, a.n) == 1 && SHA256_Update(&ctx, b.p, b.n) == 1);
    CHECK(SHA256_Final(out, &ctx) == 1);
}
#pragma GCC diagnostic pop

/* A sum is an OpenSSL context under a name of ours. */
static EVP_MD_CTX *context_of(const struct digest_sum *s) { return (EVP_MD_CTX *)(uintptr_t)s; }

struct digest_sum *digest_sum_new(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(pthread_once(&once, fetch_once) == 0);
    CHECK(ctx != NULL && EVP_DigestInit_ex2(ctx, sha256, NULL) == 1);
    return (struct digest_sum *)ctx;
}

void digest_sum_add(struct digest_sum *s, struct span bytes) { CHECK(EVP_DigestUpdate(context_of(s), bytes.p, bytes.n) == 1); }

void digest_sum_read(const struct digest_sum *s, uint8_t out[SHA256_BYTES])
{
    EVP_MD_CTX *copy = thread_context();
    CHECK(EVP_MD_CTX_copy_ex(copy, context_of(s)) == 1);
    CHECK(EVP_DigestFinal_ex(copy, out, NULL) == 1);
}

void digest_sum_free(struct digest_sum *s) { EVP_MD_CTX_free(context_of(s)); }

static EVP_PKEY *ed25519_private(const uint8_t seed[ED25519_KEY_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_KEY_BYTES);
    CHECK(key != NULL);
    return key;
}

void digest_ed25519_public(const uint8_t seed[ED25519_KEY_BYTES], uint8_t out[ED25519_KEY_BYTES])
{
    EVP_PKEY *key = ed25519_private(seed);
    size_t n = ED25519_KEY_BYTES;
    CHECK(EVP_PKEY_get_raw_public_key(key, out, &n) == 1 && n == ED25519_KEY_BYTES);
    EVP_PKEY_free(key);
}

void digest_ed25519_sign(const uint8_t seed[ED25519_KEY_BYTES], struct span message, uint8_t out[ED25519_SIGNATURE_BYTES])
{
    EVP_PKEY *key = ed25519_private(seed);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = ED25519_SIGNATURE_BYTES;
    CHECK(ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1);
    CHECK(EVP_DigestSign(ctx, out, &n, (const unsigned char *)message.p, message.n) == 1 && n == ED25519_SIGNATURE_BYTES);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
}

bool digest_ed25519_verify(const uint8_t public_key[ED25519_KEY_BYTES], struct span message, const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, ED25519_KEY_BYTES);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool right = key && ctx && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1
                 && EVP_DigestVerify(ctx, signature, ED25519_SIGNATURE_BYTES, (const unsigned char *)message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return right;
}

bool digest_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

void digest_random(void *out, size_t n)
{
    CHECK(n <= INT32_MAX && RAND_bytes(out, (int)n) == 1);
}

void digest_wipe(void *secret, size_t n)
{
    OPENSSL_cleanse(secret, n);
}

void digest_hex(const uint8_t *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool digest_from_hex(struct span text, uint8_t *out, size_t n)
{
    if (text.n / 2 != n || text.n % 2)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (hex_value(text.p[i]) < 0)
            return false;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(hex_value(text.p[2 * i]) << 4 | hex_value(text.p[2 * i + 1]));
    return true;
}

static const char base64_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

struct span digest_base64(struct arena *a, struct span bytes)
{
    size_t groups = (bytes.n + 2) / 3;
    char *out = arena_alloc(a, groups * 4), *to = out;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        unsigned word = (unsigned)(uint8_t)bytes.p[i] << 16;
        word |= left > 1 ? (unsigned)(uint8_t)bytes.p[i + 1] << 8 : 0;
        word |= left > 2 ? (unsigned)(uint8_t)bytes.p[i + 2] : 0;
        *to++ = base64_letters[word >> 18];
        *to++ = base64_letters[word >> 12 & 63];
        *to++ = left > 1 ? base64_letters[word >> 6 & 63] : '=';
        *to++ = left > 2 ? base64_letters[word & 63] : '=';
    }
    return span_of(out, groups * 4);
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict as RFC 4648 allows: padding is required and the bits that it leaves over are zero, so that each value has exactly
 * one text. */
bool digest_from_base64(struct arena *a, struct span text, struct span *ret)
{
    size_t padding = span_ends(text, SPAN("==")) ? 2 : span_ends(text, SPAN("="));
    size_t digits = text.n - padding, n = 0;
    uint32_t bits = 0;
    if (text.n % 4)
        return false;
    char *out = arena_alloc(a, text.n / 4 * 3);
    for (size_t i = 0; i < digits; i++) {
        int value = base64_value(text.p[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4)
            out[n++] = (char)(bits >> (6 - 2 * (i % 4)));
    }
    if (padding && (bits & (padding == 1 ? 3u : 15u)))
        return false;
    *ret = span_of(out, n);
    return true;
}
