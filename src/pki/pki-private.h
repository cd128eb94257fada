#pragma once
/* What the files of pki/ share. */
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pki/pki.h"

struct PkiKey {
    EVP_PKEY *key;
};

struct PkiCertificate {
    X509 *x509;
};

struct PkiRequest {
    X509_REQ *request;
};

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509, X509_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509_REQ, X509_REQ_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)

/* "WHAT: <the last error of libcrypto>"; empties its queue. Returns false. */
bool set_crypto_error(GError **error, const char *what);

/* The bytes between the lines "-----BEGIN LABEL-----" and END, which must be all there is but
 * space. */
GBytes *pem_decode(const char *text, size_t size, const char *label, const char *where,
                   GError **error);
char *pem_encode(const char *label, const void *data, size_t size);

/* Whether it is on curve P-256; the refusal says what it is instead. */
bool check_p256(const EVP_PKEY *key, const char *where, GError **error);
