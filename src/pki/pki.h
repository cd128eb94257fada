#pragma once
/*
 * pki: the keys and certificates of a fleet. Uses base and libcrypto.
 *
 * A hub has an authority of its own: ECDSA P-256 keys and X.509 certificates for servers, hosts and
 * people. A host makes its key itself and has it certified by a request; the private key never
 * leaves it. Everything that is parsed here comes from outside: it is refused, with a text for
 * people, never asserted. (What is deployed is signed with keys of bundle/.)
 *
 * Times are seconds since the epoch and given by the caller. Objects are immutable.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Certificates are valid from so many seconds before they are made: clocks differ. */
#define PKI_SKEW_SECONDS  7200
#define PKI_PEM_LIMIT     16384u /* bytes of one object from outside */
#define PKI_NAME_LIMIT    64u    /* bytes of a common name, as X.509 has it */
#define PKI_AUTHORITY_TTL ((int64_t)20 * 365 * 86400)
#define PKI_SERVER_TTL    ((int64_t)825 * 86400)
#define PKI_HOST_TTL      ((int64_t)90 * 86400)

typedef struct PkiKey PkiKey; /* a private key */
typedef struct PkiCertificate PkiCertificate;
typedef struct PkiRequest PkiRequest;

/* --- keys ------------------------------------------------------------------------------------- */

PkiKey *pki_key_new(GError **error); /* ECDSA P-256 */
/* Refuses keys of other types. where names the source in errors. */
PkiKey *pki_key_parse(const char *pem, size_t size, const char *where, GError **error);
char *pki_key_pem(const PkiKey *key);
void pki_key_free(PkiKey *key); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PkiKey, pki_key_free)

/* Mode 0600. Writing is durable and replaces nothing: STEAD_ERROR_EXISTS. A file that others may
 * read is refused. */
bool pki_key_save(const PkiKey *key, const char *path, GError **error);
PkiKey *pki_key_load(const char *path, GError **error);

/* --- certificates ----------------------------------------------------------------------------- */

typedef enum { PKI_SERVER, PKI_HOST, PKI_PERSON } PkiRole;

PkiCertificate *pki_certificate_parse(const char *pem, size_t size, const char *where,
                                      GError **error);
PkiCertificate *pki_certificate_parse_der(GBytes *der, GError **error);
void pki_certificate_free(PkiCertificate *certificate); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PkiCertificate, pki_certificate_free)
char *pki_certificate_pem(const PkiCertificate *certificate);
GBytes *pki_certificate_der(const PkiCertificate *certificate);

/* SHA-256 of the certificate: "sha256:" and 64 hexadecimal digits. Caller frees. */
char *pki_certificate_fingerprint(const PkiCertificate *certificate);
/* "sha256:AB..", "AB:CD:.." or plain digits, in any case, as pki_certificate_fingerprint() writes
 * it. */
char *pki_fingerprint_parse(const char *text, GError **error);
char *pki_certificate_serial(const PkiCertificate *certificate); /* hexadecimal, lower case */
/* The name of the host or person, from its URI "urn:stead:host:NAME"; NULL: neither. */
char *pki_certificate_name(const PkiCertificate *certificate, PkiRole *ret_role);
int64_t pki_certificate_not_after(const PkiCertificate *certificate);
/* Whether a third of its time is left, or less. */
bool pki_certificate_wants_renewal(const PkiCertificate *certificate, int64_t now);
bool pki_certificate_fits_key(const PkiCertificate *certificate, const PkiKey *key);
bool pki_certificate_names_all(const PkiCertificate *certificate, const char *const *names);

/* Whether authority signed it, it may be used by a client, and it is valid now. */
bool pki_verify_client(const PkiCertificate *authority, const PkiCertificate *certificate,
                       int64_t now, GError **error);

/* --- the authority ---------------------------------------------------------------------------- */

PkiCertificate *pki_authority_new(const PkiKey *key, const char *name, int64_t now, GError **error);

/* names: DNS names and addresses, NULL-terminated. */
PkiCertificate *pki_sign_server(const PkiCertificate *authority, const PkiKey *authority_key,
                                const PkiKey *key, const char *const *names, int64_t now,
                                GError **error);
/* For the key of request: of a server that is also a client of others of its kind, as the members
 * of etcd are. */
PkiCertificate *pki_sign_peer(const PkiCertificate *authority, const PkiKey *authority_key,
                              const PkiRequest *request, const char *const *names, int64_t now,
                              GError **error);
/* Certifies the key of request for name, whatever name the request has. */
PkiCertificate *pki_sign_client(const PkiCertificate *authority, const PkiKey *authority_key,
                                const PkiRequest *request, PkiRole role, const char *name,
                                int64_t now, int64_t ttl, GError **error);

/* --- requests (PKCS#10) ----------------------------------------------------------------------- */

char *pki_request_new(const PkiKey *key, const char *name, GError **error); /* PEM; caller frees */
/* Refuses keys other than P-256, and a request not signed with its own key. */
PkiRequest *pki_request_parse(const char *pem, size_t size, const char *where, GError **error);
void pki_request_free(PkiRequest *request); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PkiRequest, pki_request_free)
