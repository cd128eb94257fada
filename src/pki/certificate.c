#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/error.h"
#include "pki/pki-private.h"

#define LABEL "CERTIFICATE"

static const struct {
    PkiRole role;
    const char *prefix;
} uris[] = {
    { PKI_HOST, "urn:stead:host:" },
    { PKI_PERSON, "urn:stead:person:" },
};

static PkiCertificate *wrap(X509 *x509) {
    PkiCertificate *certificate = g_new0(PkiCertificate, 1);
    certificate->x509 = x509;
    return certificate;
}

static PkiCertificate *parse(GBytes *der, const char *where, GError **error) {
    size_t size;
    const unsigned char *data = g_bytes_get_data(der, &size), *end = data + size;
    g_autoptr(X509) x509 = size <= PKI_PEM_LIMIT ? d2i_X509(NULL, &data, (long)size) : NULL;
    if (x509 && data == end)
        return wrap(g_steal_pointer(&x509));
    ERR_clear_error();
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "%s: it is not an X.509 certificate",
                where);
    return NULL;
}

PkiCertificate *pki_certificate_parse(const char *pem, size_t size, const char *where,
                                      GError **error) {
    g_autoptr(GBytes) der = pem_decode(pem, size, LABEL, where, error);
    return der ? parse(der, where, error) : NULL;
}

PkiCertificate *pki_certificate_parse_der(GBytes *der, GError **error) {
    return parse(der, "certificate", error);
}

void pki_certificate_free(PkiCertificate *certificate) {
    if (!certificate)
        return;
    X509_free(certificate->x509);
    g_free(certificate);
}

GBytes *pki_certificate_der(const PkiCertificate *certificate) {
    unsigned char *der = NULL;
    int size = i2d_X509(certificate->x509, &der);
    g_assert(size > 0); /* it was parsed, or signed */
    GBytes *bytes = g_bytes_new(der, (size_t)size);
    OPENSSL_free(der);
    return bytes;
}

char *pki_certificate_pem(const PkiCertificate *certificate) {
    g_autoptr(GBytes) der = pki_certificate_der(certificate);
    return pem_encode(LABEL, g_bytes_get_data(der, NULL), g_bytes_get_size(der));
}

/* --- what it says ----------------------------------------------------------------------------- */

char *pki_certificate_fingerprint(const PkiCertificate *certificate) {
    g_autoptr(GBytes) der = pki_certificate_der(certificate);
    g_autofree char *hex = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, der);
    return g_strconcat("sha256:", hex, NULL);
}

char *pki_fingerprint_parse(const char *text, GError **error) {
    g_autoptr(GString) digits = g_string_new("sha256:");
    size_t prefix = digits->len;
    const char *at = g_ascii_strncasecmp(text, "sha256:", 7) == 0 ? text + 7 : text;
    for (; *at; at++)
        if (g_ascii_isxdigit(*at))
            g_string_append_c(digits, g_ascii_tolower(*at));
        else if (*at != ':')
            break;
    if (*at == '\0' && digits->len == prefix + 64)
        return g_strdup(digits->str);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "read the fingerprint '%.100s': it must be 'sha256:' and 64 hexadecimal digits, as "
                "'stead hub' prints it",
                text);
    return NULL;
}

char *pki_certificate_serial(const PkiCertificate *certificate) {
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate->x509), NULL);
    char *hex = number ? BN_bn2hex(number) : NULL;
    char *serial = g_ascii_strdown(hex ? hex : "", -1);
    OPENSSL_free(hex);
    BN_free(number);
    return serial;
}

static char *name_of_uri(const ASN1_STRING *uri, PkiRole *ret_role) {
    const char *text = (const char *)ASN1_STRING_get0_data(uri);
    size_t size = (size_t)ASN1_STRING_length(uri);
    for (unsigned i = 0; i < G_N_ELEMENTS(uris); i++) {
        size_t prefix = strlen(uris[i].prefix);
        if (size <= prefix || memcmp(text, uris[i].prefix, prefix) != 0 || memchr(text, '\0', size))
            continue;
        g_autofree char *escaped = g_strndup(text + prefix, size - prefix);
        char *name = g_uri_unescape_string(escaped, NULL);
        if (name)
            *ret_role = uris[i].role;
        return name;
    }
    return NULL;
}

char *pki_certificate_name(const PkiCertificate *certificate, PkiRole *ret_role) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate->x509, NID_subject_alt_name, NULL, NULL);
    char *found = NULL;
    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_URI)
            found = name_of_uri(name->d.uniformResourceIdentifier, ret_role);
    }
    GENERAL_NAMES_free(names);
    return found;
}

static int64_t seconds_of(const ASN1_TIME *time) {
    struct tm parts;
    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

int64_t pki_certificate_not_after(const PkiCertificate *certificate) {
    return seconds_of(X509_get0_notAfter(certificate->x509));
}

bool pki_certificate_wants_renewal(const PkiCertificate *certificate, int64_t now) {
    int64_t start = seconds_of(X509_get0_notBefore(certificate->x509)),
            end = seconds_of(X509_get0_notAfter(certificate->x509));
    return now > end - (end - start) / 3;
}

bool pki_certificate_fits_key(const PkiCertificate *certificate, const PkiKey *key) {
    bool fits = X509_check_private_key(certificate->x509, key->key) == 1;
    ERR_clear_error();
    return fits;
}

bool pki_certificate_names_all(const PkiCertificate *certificate, const char *const *names) {
    for (; *names; names++)
        if (X509_check_ip_asc(certificate->x509, *names, 0) != 1 &&
            X509_check_host(certificate->x509, *names, 0, 0, NULL) != 1)
            return false;
    return true;
}

/* --- verifying -------------------------------------------------------------------------------- */

static bool refuse(GError **error, const char *why) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED, "check the certificate: %s", why);
    return false;
}

static char *date_text(int64_t seconds) {
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(seconds);
    return time ? g_date_time_format(time, "%Y-%m-%d %H:%M UTC") : g_strdup("?");
}

static bool check_time(const X509 *x509, int64_t now, GError **error) {
    int64_t start = seconds_of(X509_get0_notBefore(x509)),
            end = seconds_of(X509_get0_notAfter(x509));
    if (now >= start && now <= end)
        return true;
    g_autofree char *limit = date_text(now > end ? end : start), *today = date_text(now);
    g_autofree char *why =
        g_strdup_printf(now > end ? "it expired on %s (now %s); join again with a new token"
                                  : "it is valid from %s on (now %s); is the clock right?",
                        limit, today);
    return refuse(error, why);
}

bool pki_verify_client(const PkiCertificate *authority, const PkiCertificate *certificate,
                       int64_t now, GError **error) {
    X509 *x509 = certificate->x509;
    EVP_PKEY *key = X509_get0_pubkey(authority->x509);
    /* X509_check_issued() compares names; the signature is what counts. */
    bool ours =
        key && X509_check_issued(authority->x509, x509) == X509_V_OK && X509_verify(x509, key) == 1;
    ERR_clear_error();
    if (!ours)
        return refuse(error, "it is from another authority; join this hub with a token");
    if (X509_check_ca(x509) != 0 || !(X509_get_extended_key_usage(x509) & XKU_SSL_CLIENT) ||
        X509_get_extended_key_usage(x509) == UINT32_MAX)
        return refuse(error, "it is not one for clients");
    return check_time(x509, now, error);
}
