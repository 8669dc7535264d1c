/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates for tests, made when the test runs, so that no key lies in the tree and none expires there.
 */
#ifndef ENTENTE_TEST_CA_H
#define ENTENTE_TEST_CA_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/check.h"

struct test_cert {
    X509 *cert;
    EVP_PKEY *key;
};

static void test_cert_extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    CHECK(extension && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* issuer NULL: a certificate authority. alt: "DNS:example.test,IP:127.0.0.1". Valid from now + from_s to now + to_s. */
static struct test_cert test_cert_make(const struct test_cert *issuer, const char *name, const char *alt, long from_s, long to_s)
{
    static long serial = 1;
    struct test_cert c = {X509_new(), EVP_EC_gen("P-256")};
    CHECK(c.cert && c.key);
    X509_set_version(c.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(c.cert), from_s);
    X509_gmtime_adj(X509_getm_notAfter(c.cert), to_s);
    X509_set_pubkey(c.cert, c.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c.cert), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(c.cert, X509_get_subject_name(issuer ? issuer->cert : c.cert));
    test_cert_extend(c.cert, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (alt)
        test_cert_extend(c.cert, NID_subject_alt_name, alt);
    CHECK(X509_sign(c.cert, issuer ? issuer->key : c.key, EVP_sha256()) > 0);
    return c;
}

static void test_cert_free(struct test_cert *c)
{
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
}

/* Writes <stem>.crt and <stem>.key. */
static void test_cert_write(const struct test_cert *c, const char *stem)
{
    char path[512];
    snprintf(path, sizeof path, "%s.crt", stem);
    FILE *file = fopen(path, "w");
    CHECK(file && PEM_write_X509(file, c->cert) == 1);
    fclose(file);
    snprintf(path, sizeof path, "%s.key", stem);
    file = fopen(path, "w");
    CHECK(file && PEM_write_PrivateKey(file, c->key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(file);
}

#endif
