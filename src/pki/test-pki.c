#include "pki/pki.h"

#include <glib/gstdio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/error.h"

#define NOW INT64_C(1800000000)
#define DAY INT64_C(86400)

typedef struct {
    PkiKey *key;
    PkiCertificate *certificate;
} Authority;

static Authority authority_new(void) {
    g_autoptr(GError) error = NULL;
    Authority authority = { .key = pki_key_new(&error) };
    authority.certificate = pki_authority_new(authority.key, "stead hub", NOW, &error);
    g_assert_no_error(error);
    return authority;
}

static void authority_clear(Authority *authority) {
    pki_key_free(authority->key);
    pki_certificate_free(authority->certificate);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Authority, authority_clear)

static PkiRequest *request_of(const PkiKey *key, const char *name) {
    g_autoptr(GError) error = NULL;
    g_autofree char *pem = pki_request_new(key, name, &error);
    g_assert_no_error(error);
    PkiRequest *request = pki_request_parse(pem, strlen(pem), "request", &error);
    g_assert_no_error(error);
    return request;
}

static PkiCertificate *client_of(const Authority *authority, PkiRole role, const char *name) {
    g_autoptr(GError) error = NULL;
    g_autoptr(PkiKey) key = pki_key_new(&error);
    g_autoptr(PkiRequest) request = request_of(key, "whatever");
    PkiCertificate *certificate = pki_sign_client(authority->certificate, authority->key, request,
                                                  role, name, NOW, PKI_HOST_TTL, &error);
    g_assert_no_error(error);
    g_assert_true(pki_certificate_fits_key(certificate, key));
    g_assert_false(pki_certificate_fits_key(certificate, authority->key));
    return certificate;
}

static void assert_refused(const Authority *authority, const PkiCertificate *certificate,
                           int64_t now, const char *why) {
    g_autoptr(GError) error = NULL;
    g_assert_false(pki_verify_client(authority->certificate, certificate, now, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED);
    if (!strstr(error->message, why))
        g_error("expected '%s' in '%s'", why, error->message);
}

static void clients(void) {
    g_auto(Authority) authority = authority_new(), foreign = authority_new();
    g_autoptr(PkiCertificate) host = client_of(&authority, PKI_HOST, "web1");
    PkiRole role;
    g_autofree char *name = pki_certificate_name(host, &role);
    g_assert_cmpstr(name, ==, "web1");
    g_assert_cmpint(role, ==, PKI_HOST);
    g_autoptr(PkiCertificate) person = client_of(&authority, PKI_PERSON, "Ann O'Neil/%x");
    g_autofree char *person_name = pki_certificate_name(person, &role);
    g_assert_cmpstr(person_name, ==, "Ann O'Neil/%x");
    g_assert_cmpint(role, ==, PKI_PERSON);
    g_autofree char *serial = pki_certificate_serial(host), *other = pki_certificate_serial(person);
    g_assert_cmpuint(strlen(serial), ==, 32);
    g_assert_cmpstr(serial, !=, other);
    g_autofree char *no_name = pki_certificate_name(authority.certificate, &role);
    g_assert_null(no_name);

    g_autoptr(GError) error = NULL;
    g_assert_true(pki_verify_client(authority.certificate, host, NOW, &error));
    g_assert_true(pki_verify_client(authority.certificate, host, NOW - 3600, &error));
    g_assert_no_error(error);
    assert_refused(&authority, host, NOW - 3 * 3600, "is the clock right?");
    assert_refused(&authority, host, NOW + 91 * DAY, "it expired on 2027-04-15 08:00 UTC");
    /* Of the same name, which is all that X.509 looks for at first. */
    assert_refused(&foreign, host, NOW, "from another authority");
    assert_refused(&authority, authority.certificate, NOW, "not one for clients");

    g_assert_false(pki_certificate_wants_renewal(host, NOW + 50 * DAY));
    g_assert_true(pki_certificate_wants_renewal(host, NOW + 65 * DAY));
}

static void servers(void) {
    g_auto(Authority) authority = authority_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(PkiKey) key = pki_key_new(&error);
    const char *const names[] = { "hub.example", "192.0.2.1", "2001:db8::1", NULL };
    const char *const more[] = { "hub.example", "192.0.2.2", NULL };
    g_autoptr(PkiCertificate) server =
        pki_sign_server(authority.certificate, authority.key, key, names, NOW, &error);
    g_assert_no_error(error);
    g_assert_true(pki_certificate_names_all(server, names));
    g_assert_false(pki_certificate_names_all(server, more));
    assert_refused(&authority, server, NOW, "not one for clients");
    g_assert_cmpint(pki_certificate_not_after(server), ==, NOW + PKI_SERVER_TTL);
}

/* A member of etcd is a server for others, and their client. */
static void peers(void) {
    g_auto(Authority) authority = authority_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(PkiKey) key = pki_key_new(&error);
    g_autofree char *pem = pki_request_new(key, "whatever", &error);
    g_autoptr(PkiRequest) request = pki_request_parse(pem, strlen(pem), "request", &error);
    g_assert_no_error(error);
    const char *const names[] = { "192.0.2.1", "db1", NULL };
    g_autoptr(PkiCertificate) peer =
        pki_sign_peer(authority.certificate, authority.key, request, names, NOW, &error);
    g_assert_no_error(error);
    g_assert_true(pki_certificate_names_all(peer, names));
    g_assert_true(pki_certificate_fits_key(peer, key));
    g_assert_true(pki_verify_client(authority.certificate, peer, NOW, &error));
    g_assert_cmpint(pki_certificate_not_after(peer), ==, NOW + PKI_SERVER_TTL);
}

static void fingerprints(void) {
    g_auto(Authority) authority = authority_new();
    g_autofree char *pem = pki_certificate_pem(authority.certificate);
    g_autoptr(GError) error = NULL;
    g_autoptr(PkiCertificate) again = pki_certificate_parse(pem, strlen(pem), "ca.pem", &error);
    g_assert_no_error(error);
    g_autofree char *print = pki_certificate_fingerprint(authority.certificate);
    g_autofree char *same = pki_certificate_fingerprint(again);
    g_assert_cmpstr(print, ==, same);
    g_autoptr(GString) colons = g_string_new(NULL);
    for (const char *at = print + 7; *at; at += 2)
        g_string_append_printf(colons, "%s%c%c", colons->len ? ":" : "", g_ascii_toupper(at[0]),
                               g_ascii_toupper(at[1]));
    g_autofree char *parsed = pki_fingerprint_parse(colons->str, &error);
    g_assert_cmpstr(parsed, ==, print);
    const char *const wrong[] = { "", "sha256:", "sha256:12", "md5:00", print + 8 };
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_assert_null(pki_fingerprint_parse(wrong[i], &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED);
        g_clear_error(&error);
    }
}

static void assert_request_refused(const char *pem, const char *why) {
    g_autoptr(GError) error = NULL;
    g_assert_null(pki_request_parse(pem, strlen(pem), "csr", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED);
    if (!strstr(error->message, why))
        g_error("expected '%s' in '%s'", why, error->message);
}

static char *rsa_request(void) {
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509_REQ *request = X509_REQ_new();
    g_assert_true(X509_REQ_set_pubkey(request, key));
    g_assert_cmpint(X509_REQ_sign(request, key, EVP_sha256()), >, 0);
    BIO *bio = BIO_new(BIO_s_mem());
    g_assert_true(PEM_write_bio_X509_REQ(bio, request));
    char *data;
    long size = BIO_get_mem_data(bio, &data);
    char *pem = g_strndup(data, (size_t)size);
    BIO_free(bio);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    return pem;
}

/* The same request with one bit of the signature, its last bytes, turned. */
static char *forged_request(const char *pem) {
    g_auto(GStrv) lines = g_strsplit(pem, "\n", -1);
    g_autoptr(GString) base64 = g_string_new(NULL);
    for (char **line = lines; *line; line++)
        if (**line != '-')
            g_string_append(base64, *line);
    size_t size;
    g_autofree guchar *der = g_base64_decode(base64->str, &size);
    der[size - 3] ^= 1;
    g_autofree char *body = g_base64_encode(der, size);
    return g_strdup_printf("%s\n%s\n-----END CERTIFICATE REQUEST-----\n", lines[0], body);
}

static void requests(void) {
    g_autoptr(GError) error = NULL;
    g_autoptr(PkiKey) key = pki_key_new(&error);
    g_autofree char *pem = pki_request_new(key, "web1", &error);
    g_autofree char *rsa = rsa_request(), *forged = forged_request(pem);
    g_autofree char *twice = g_strconcat(pem, pem, NULL), *before = g_strconcat("x\n", pem, NULL);
    g_autofree char *large = g_strnfill(PKI_PEM_LIMIT + 1, 'A');
    assert_request_refused(rsa, "the key is RSA");
    assert_request_refused(forged, "not signed with the key");
    assert_request_refused(twice, "not base64");
    assert_request_refused(before, "must begin with '-----BEGIN CERTIFICATE REQUEST-----'");
    assert_request_refused(large, "larger than 16384 bytes");
    assert_request_refused("", "must begin with");
    assert_request_refused(
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "not a certificate request");
    g_auto(Authority) authority = authority_new();
    g_autoptr(PkiRequest) request = request_of(key, "x");
    g_autofree char *long_name = g_strnfill(65, 'n');
    g_assert_null(pki_sign_client(authority.certificate, authority.key, request, PKI_HOST,
                                  long_name, NOW, DAY, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED);
}

static void key_files(void) {
    g_autoptr(GError) error = NULL;
    g_autofree char *directory = g_dir_make_tmp("stead-pki-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(directory, "key.pem", NULL);
    g_autoptr(PkiKey) key = pki_key_new(&error);
    g_assert_true(pki_key_save(key, path, &error));
    g_autoptr(PkiKey) loaded = pki_key_load(path, &error);
    g_assert_no_error(error);
    g_autofree char *pem = pki_key_pem(key), *again = pki_key_pem(loaded);
    g_assert_cmpstr(pem, ==, again);
    GStatBuf st;
    g_assert_cmpint(g_stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0600);
    g_assert_false(pki_key_save(key, path, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS);
    g_clear_error(&error);
    g_assert_cmpint(g_chmod(path, 0640), ==, 0);
    g_assert_null(pki_key_load(path, &error));
    g_assert_nonnull(strstr(error->message, "others may read this private key (mode 0640)"));
    g_assert_cmpint(g_remove(path), ==, 0);
    g_assert_cmpint(g_rmdir(directory), ==, 0); /* nothing else was left */
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pki/clients", clients);
    g_test_add_func("/pki/servers", servers);
    g_test_add_func("/pki/peers", peers);
    g_test_add_func("/pki/fingerprints", fingerprints);
    g_test_add_func("/pki/requests", requests);
    g_test_add_func("/pki/key-files", key_files);
    return g_test_run();
}
