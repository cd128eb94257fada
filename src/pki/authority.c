/* Making certificates, and requests for them. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/error.h"
#include "pki/pki-private.h"

#define REQUEST_LABEL "CERTIFICATE REQUEST"

static bool set_name(X509_NAME *name, const char *text) {
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text,
                                      (int)MIN(strlen(text), PKI_NAME_LIMIT), -1, 0) == 1;
}

/* 127 random bits and a first one: positive, and never shorter. */
static bool set_serial(X509 *x509) {
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x3f) | 0x40);
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509));
    BN_free(number);
    return ok;
}

/* Clocks that were never set give dates that X.509 cannot write. */
static bool set_times(X509 *x509, int64_t now, int64_t ttl) {
    return ASN1_TIME_set(X509_getm_notBefore(x509), now - PKI_SKEW_SECONDS) &&
           ASN1_TIME_set(X509_getm_notAfter(x509), now + ttl);
}

static bool add_extension(X509 *x509, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, &context, nid, value);
    bool ok = extension && X509_add_ext(x509, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

/* What all certificates have. issuer: NULL for one that signs itself. */
static X509 *begin(X509 *issuer, const char *subject, EVP_PKEY *public, int64_t now, int64_t ttl) {
    g_autoptr(X509) x509 = X509_new();
    if (!x509 || !X509_set_version(x509, X509_VERSION_3) || !set_serial(x509) ||
        !set_times(x509, now, ttl) || !set_name(X509_get_subject_name(x509), subject) ||
        !X509_set_issuer_name(x509, X509_get_subject_name(issuer ? issuer : x509)) ||
        !X509_set_pubkey(x509, public) ||
        !add_extension(x509, issuer ? issuer : x509, NID_subject_key_identifier, "hash") ||
        !add_extension(x509, issuer ? issuer : x509, NID_authority_key_identifier, "keyid:always"))
        return NULL;
    return g_steal_pointer(&x509);
}

static PkiCertificate *finish(X509 *x509, const PkiKey *key, GError **error) {
    if (X509_sign(x509, key->key, EVP_sha256()) == 0) {
        (void)set_crypto_error(error, "sign a certificate");
        return NULL;
    }
    /* Parsed again: what we hand out is what others will read. */
    unsigned char *der = NULL;
    int size = i2d_X509(x509, &der);
    g_autoptr(GBytes) bytes = g_bytes_new(der, (size_t)MAX(size, 0));
    OPENSSL_free(der);
    return pki_certificate_parse_der(bytes, error);
}

static PkiCertificate *failed(GError **error) {
    (void)set_crypto_error(error, "make a certificate");
    return NULL;
}

PkiCertificate *pki_authority_new(const PkiKey *key, const char *name, int64_t now,
                                  GError **error) {
    g_autoptr(X509) x509 = begin(NULL, name, key->key, now, PKI_AUTHORITY_TTL);
    if (!x509 || !add_extension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign"))
        return failed(error);
    return finish(x509, key, error);
}

/* --- names ------------------------------------------------------------------------------------ */

static bool push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value) {
    GENERAL_NAME *name = value ? GENERAL_NAME_new() : NULL;
    if (!name) {
        ASN1_STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    return sk_GENERAL_NAME_push(names, name) > 0;
}

static ASN1_STRING *string_of(int type, const void *data, size_t size) {
    ASN1_STRING *string = ASN1_STRING_type_new(type);
    if (string && ASN1_STRING_set(string, data, (int)size) == 1)
        return string;
    ASN1_STRING_free(string);
    return NULL;
}

static bool push_server_name(GENERAL_NAMES *names, const char *text) {
    unsigned char address[16];
    if (inet_pton(AF_INET, text, address) == 1)
        return push_name(names, GEN_IPADD, string_of(V_ASN1_OCTET_STRING, address, 4));
    if (inet_pton(AF_INET6, text, address) == 1)
        return push_name(names, GEN_IPADD, string_of(V_ASN1_OCTET_STRING, address, 16));
    return push_name(names, GEN_DNS, string_of(V_ASN1_IA5STRING, text, strlen(text)));
}

static bool add_names(X509 *x509, GENERAL_NAMES *names) {
    return sk_GENERAL_NAME_num(names) == 0 ||
           X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, 0) == 1;
}

static PkiCertificate *sign_named(const PkiCertificate *authority, const PkiKey *authority_key,
                                  EVP_PKEY *public, const char *const *names, const char *usage,
                                  int64_t now, GError **error) {
    g_autoptr(X509) x509 =
        begin(authority->x509, names[0] ? names[0] : "hub", public, now, PKI_SERVER_TTL);
    GENERAL_NAMES *list = GENERAL_NAMES_new();
    bool ok = x509 && list;
    for (; ok && *names; names++)
        ok = push_server_name(list, *names);
    ok = ok && add_names(x509, list) &&
         add_extension(x509, authority->x509, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(x509, authority->x509, NID_key_usage, "critical,digitalSignature") &&
         add_extension(x509, authority->x509, NID_ext_key_usage, usage);
    GENERAL_NAMES_free(list);
    return ok ? finish(x509, authority_key, error) : failed(error);
}

PkiCertificate *pki_sign_server(const PkiCertificate *authority, const PkiKey *authority_key,
                                const PkiKey *key, const char *const *names, int64_t now,
                                GError **error) {
    return sign_named(authority, authority_key, key->key, names, "serverAuth", now, error);
}

PkiCertificate *pki_sign_peer(const PkiCertificate *authority, const PkiKey *authority_key,
                              const PkiRequest *request, const char *const *names, int64_t now,
                              GError **error) {
    return sign_named(authority, authority_key, X509_REQ_get0_pubkey(request->request), names,
                      "serverAuth,clientAuth", now, error);
}

static bool check_client_name(const char *name, GError **error) {
    size_t size = strlen(name);
    if (size > 0 && size <= PKI_NAME_LIMIT && g_utf8_validate(name, -1, NULL))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "make a certificate for '%.100s': a name has 1 to 64 bytes of UTF-8", name);
    return false;
}

PkiCertificate *pki_sign_client(const PkiCertificate *authority, const PkiKey *authority_key,
                                const PkiRequest *request, PkiRole role, const char *name,
                                int64_t now, int64_t ttl, GError **error) {
    g_assert(role == PKI_HOST || role == PKI_PERSON);
    if (!check_client_name(name, error))
        return NULL;
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    g_autofree char *uri =
        g_strconcat("urn:stead:", role == PKI_HOST ? "host:" : "person:", escaped, NULL);
    g_autoptr(X509) x509 =
        begin(authority->x509, name, X509_REQ_get0_pubkey(request->request), now, ttl);
    GENERAL_NAMES *list = GENERAL_NAMES_new();
    bool ok = x509 && list &&
              push_name(list, GEN_URI, string_of(V_ASN1_IA5STRING, uri, strlen(uri))) &&
              add_names(x509, list) &&
              add_extension(x509, authority->x509, NID_basic_constraints, "critical,CA:FALSE") &&
              add_extension(x509, authority->x509, NID_key_usage, "critical,digitalSignature") &&
              add_extension(x509, authority->x509, NID_ext_key_usage, "clientAuth");
    GENERAL_NAMES_free(list);
    return ok ? finish(x509, authority_key, error) : failed(error);
}

/* --- requests --------------------------------------------------------------------------------- */

char *pki_request_new(const PkiKey *key, const char *name, GError **error) {
    g_autoptr(X509_REQ) request = X509_REQ_new();
    unsigned char *der = NULL;
    int size = -1;
    if (request && X509_REQ_set_version(request, X509_REQ_VERSION_1) &&
        set_name(X509_REQ_get_subject_name(request), name) &&
        X509_REQ_set_pubkey(request, key->key) && X509_REQ_sign(request, key->key, EVP_sha256()))
        size = i2d_X509_REQ(request, &der);
    if (size <= 0) {
        (void)set_crypto_error(error, "make a certificate request");
        return NULL;
    }
    char *pem = pem_encode(REQUEST_LABEL, der, (size_t)size);
    OPENSSL_free(der);
    return pem;
}

static bool check_request(X509_REQ *request, const char *where, GError **error) {
    EVP_PKEY *key = X509_REQ_get0_pubkey(request);
    if (!key) {
        ERR_clear_error();
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "%s: its key cannot be read", where);
        return false;
    }
    if (!check_p256(key, where, error))
        return false;
    bool own = X509_REQ_verify(request, key) == 1;
    ERR_clear_error();
    if (!own)
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "%s: the request is not signed with the key it is for", where);
    return own;
}

PkiRequest *pki_request_parse(const char *pem, size_t size, const char *where, GError **error) {
    g_autoptr(GBytes) der = pem_decode(pem, size, REQUEST_LABEL, where, error);
    if (!der)
        return NULL;
    size_t length;
    const unsigned char *data = g_bytes_get_data(der, &length), *end = data + length;
    g_autoptr(X509_REQ) parsed = d2i_X509_REQ(NULL, &data, (long)length);
    if (!parsed || data != end) {
        ERR_clear_error();
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                    "%s: it is not a certificate request (PKCS#10)", where);
        return NULL;
    }
    if (!check_request(parsed, where, error))
        return NULL;
    PkiRequest *request = g_new0(PkiRequest, 1);
    request->request = g_steal_pointer(&parsed);
    return request;
}

void pki_request_free(PkiRequest *request) {
    if (!request)
        return;
    X509_REQ_free(request->request);
    g_free(request);
}
