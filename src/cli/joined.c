#include "cli/joined.h"

#include <string.h>

#include "base/disk.h"
#include "base/error.h"
#include "cli/agent-join.h"
#include "state/etcd.h"

/* What joining left in a directory. */
typedef struct {
    char *urls, *ca, *certificate, *key;
    char *socket; /* NULL: the hub is reached at its address */
} Membership;

static void membership_clear(Membership *membership) {
    g_free(membership->urls);
    g_free(membership->ca);
    g_free(membership->certificate);
    if (membership->key)
        memset(membership->key, 0, strlen(membership->key));
    g_free(membership->key);
    g_free(membership->socket);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Membership, membership_clear)

static bool read_text(const char *directory, const char *name, char **ret, GError **error) {
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autoptr(GBytes) bytes = disk_read(path, PKI_PEM_LIMIT, error);
    if (!bytes)
        return false;
    *ret = g_strstrip(g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)));
    return true;
}

static bool read_key(const char *directory, char **ret, GError **error) {
    g_autofree char *path = g_build_filename(directory, "key.pem", NULL);
    g_autoptr(PkiKey) key = pki_key_load(path, error);
    *ret = key ? pki_key_pem(key) : NULL;
    return key != NULL;
}

static bool membership_read(Membership *membership, const char *directory, GError **error) {
    g_autofree char *socket = g_build_filename(directory, MEMBERSHIP_SOCKET, NULL);
    return read_text(directory, "url", &membership->urls, error) &&
           read_text(directory, "ca.pem", &membership->ca, error) &&
           read_text(directory, "certificate.pem", &membership->certificate, error) &&
           read_key(directory, &membership->key, error) &&
           (!g_file_test(socket, G_FILE_TEST_EXISTS) ||
            read_text(directory, MEMBERSHIP_SOCKET, &membership->socket, error));
}

static StoreEtcdOptions options_of(const Membership *membership) {
    return (StoreEtcdOptions){ .urls = membership->urls,
                               .ca = membership->ca,
                               .certificate = membership->certificate,
                               .key = membership->key,
                               .socket = membership->socket,
                               .is_hub = true };
}

static char *name_of(const Membership *membership, GError **error) {
    const char *pem = membership->certificate;
    g_autoptr(PkiCertificate) certificate =
        pki_certificate_parse(pem, strlen(pem), "certificate.pem", error);
    if (!certificate)
        return NULL;
    PkiRole role;
    g_autofree char *name = pki_certificate_name(certificate, &role);
    if (name && role == PKI_HOST)
        return g_steal_pointer(&name);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                        "read 'certificate.pem': it is not of a host; join again with a new token");
    return NULL;
}

bool is_joined(const char *state_dir) {
    g_autofree char *path = g_build_filename(state_dir, JOIN_DIRECTORY, "certificate.pem", NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

char *joined_name(const char *directory, GError **error) {
    g_auto(Membership) membership = { .urls = NULL };
    return membership_read(&membership, directory, error) ? name_of(&membership, error) : NULL;
}

Store *store_open_joined(Loop *loop, const char *directory, char **ret_host, GError **error) {
    g_auto(Membership) membership = { .urls = NULL };
    if (!membership_read(&membership, directory, error))
        return NULL;
    g_autofree char *host = name_of(&membership, error);
    StoreEtcdOptions options = options_of(&membership);
    Store *store = host ? store_open_etcd(loop, &options, error) : NULL;
    if (store)
        *ret_host = g_steal_pointer(&host);
    return store;
}

bool store_renew_joined(Store *store, const char *directory, GError **error) {
    g_auto(Membership) membership = { .urls = NULL };
    if (!membership_read(&membership, directory, error))
        return false;
    StoreEtcdOptions options = options_of(&membership);
    return etcd_set_urls(store, options.urls, error) && store_etcd_renew(store, &options, error);
}
