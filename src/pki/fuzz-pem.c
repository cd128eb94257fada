/*
 * Any bytes as a certificate, a request, a private key, in PEM and bare: refused with a text, or
 * an object that is written as it was read.
 */
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "pki/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const PkiCertificate *certificate) {
    g_autoptr(GError) error = NULL;
    PkiRole role;
    g_autofree char *name = pki_certificate_name(certificate, &role);
    g_autofree char *serial = pki_certificate_serial(certificate);
    g_autofree char *print = pki_certificate_fingerprint(certificate);
    g_assert_cmpuint(strlen(print), ==, 7 + 64);
    const char *const names[] = { "hub.example", "192.0.2.1", NULL };
    (void)pki_certificate_names_all(certificate, names);
    (void)pki_certificate_wants_renewal(certificate, 1800000000);
    bool valid = pki_verify_client(certificate, certificate, 1800000000, &error);
    g_assert_true(valid == (error == NULL));
    g_autofree char *pem = pki_certificate_pem(certificate);
    g_autoptr(PkiCertificate) again = pki_certificate_parse(pem, strlen(pem), "again", NULL);
    g_assert_nonnull(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    g_autoptr(GError) error = NULL, request_error = NULL, key_error = NULL;
    g_autoptr(PkiCertificate) certificate = pki_certificate_parse(text, size, "fuzz", &error);
    g_assert_true((certificate == NULL) == (error != NULL));
    if (certificate)
        look_at(certificate);
    g_autoptr(GBytes) bytes = g_bytes_new(data, size);
    g_autoptr(PkiCertificate) bare = pki_certificate_parse_der(bytes, NULL);
    if (bare)
        look_at(bare);
    g_autoptr(PkiRequest) request = pki_request_parse(text, size, "fuzz", &request_error);
    g_assert_true((request == NULL) == (request_error != NULL));
    g_autoptr(PkiKey) key = pki_key_parse(text, size, "fuzz", &key_error);
    g_assert_true((key == NULL) == (key_error != NULL));
    g_autofree char *line = g_strndup(text, MIN(size, 200));
    g_autofree char *print = pki_fingerprint_parse(line, NULL);
    g_assert_true(!print || g_str_has_prefix(print, "sha256:"));
    return 0;
}
