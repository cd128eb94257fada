/* The first start: the authority and the first admin's token; and each start: the server's
 * certificate, for a key that is never written down. */
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/json.h"
#include "hub/hub-private.h"

#define NAMES_MAX 64u

static bool write_file(const Hub *hub, const char *name, const char *text, int mode,
                       GError **error) {
    g_autofree char *path = g_build_filename(hub->data, name, NULL);
    return disk_replace(path, text, strlen(text), (mode_t)mode, error);
}

bool setup_directory(Hub *hub, GError **error) {
    if (g_mkdir_with_parents(hub->data, 0700) == 0 && access(hub->data, W_OK) == 0)
        return true;
    return set_io_error(error, errno, "use the directory '%s'", hub->data);
}

bool setup_note_url(const Hub *hub, const char *url, GError **error) {
    g_autofree char *line = g_strconcat(url, "\n", NULL);
    return write_file(hub, "url", line, 0644, error);
}

char *setup_name(const Hub *hub, GError **error) {
    g_autofree char *path = g_build_filename(hub->data, "name", NULL);
    g_autofree char *name = NULL;
    if (g_file_get_contents(path, &name, NULL, NULL) && name_is_good(g_strchomp(name)))
        return g_steal_pointer(&name);
    g_free(name);
    name = g_strdup_printf("hub-%08x%08x", g_random_int(), g_random_int());
    g_autofree char *line = g_strconcat(name, "\n", NULL);
    return write_file(hub, "name", line, 0644, error) ? g_steal_pointer(&name) : NULL;
}

/* --- the authority ---------------------------------------------------------------------------- */

static bool take_authority(Hub *hub, const StoreEntry *entry, GError **error) {
    g_autoptr(Value) value = entry_value(entry);
    const char *key = value ? value_map_string(value, "key", "") : "",
               *certificate = value ? value_map_string(value, "certificate", "") : "";
    hub->authority_key = pki_key_parse(key, strlen(key), KEY_AUTHORITY, error);
    if (hub->authority_key)
        hub->authority =
            pki_certificate_parse(certificate, strlen(certificate), KEY_AUTHORITY, error);
    if (!hub->authority)
        return false;
    hub->authority_pem = pki_certificate_pem(hub->authority);
    hub->fingerprint = pki_certificate_fingerprint(hub->authority);
    return true;
}

static Value *new_authority(const Hub *hub, GError **error) {
    g_autoptr(PkiKey) key = pki_key_new(error);
    g_autoptr(PkiCertificate) certificate =
        key ? pki_authority_new(key, "stead hub", wall_seconds(hub), error) : NULL;
    if (!certificate)
        return NULL;
    g_autofree char *key_pem = pki_key_pem(key), *pem = pki_certificate_pem(certificate);
    Value *map = value_new_map();
    value_map_set(map, "key", value_new_string(key_pem));
    value_map_set(map, "certificate", value_new_string(pem));
    return map;
}

/* The token is in its file before it is in the store: a start that is killed in between finds it
 * there, and no token exists that nobody has. */
static char *admin_token(const Hub *hub, GError **error) {
    g_autofree char *path = g_build_filename(hub->data, "admin-token", NULL);
    g_autofree char *token = NULL, *id = NULL, *hash = NULL;
    if (g_file_get_contents(path, &token, NULL, NULL) && token_parse(g_strchomp(token), &id, &hash))
        return g_steal_pointer(&token);
    g_free(token);
    g_clear_pointer(&id, g_free);
    g_clear_pointer(&hash, g_free);
    token = token_new(&id, &hash);
    g_autofree char *line = g_strconcat(token, "\n", NULL);
    return write_file(hub, "admin-token", line, 0600, error) ? g_steal_pointer(&token) : NULL;
}

static void put_new(StoreTxn *txn, const char *prefix, const char *name, const Value *value) {
    g_autoptr(GBytes) key = key_of(prefix, name);
    GString *text = g_string_new(NULL);
    json_append(text, value, JSON_COMPACT);
    g_autoptr(GBytes) bytes = g_string_free_to_bytes(text);
    store_txn_compare(txn, key, STORE_MOD_REVISION, STORE_EQUAL, 0);
    store_txn_put(txn, STORE_THEN, key, bytes, 0);
}

static void put_token(StoreTxn *txn, const Hub *hub, const char *token) {
    g_autofree char *id = NULL, *hash = NULL;
    g_assert(token_parse(token, &id, &hash)); /* admin_token() made or checked it */
    g_autoptr(Value) record = value_new_map();
    value_map_set(record, "hash", value_new_string(hash));
    value_map_set(record, "role", value_new_string(role_name(ROLE_ADMIN)));
    value_map_set(record, "name", value_new_string("first-admin"));
    value_map_set(record, "created", value_new_int(wall_seconds(hub)));
    value_map_set(record, "expires", value_new_int(0));
    put_new(txn, KEY_TOKENS, id, record);
}

/* 1: made; 0: another hub was faster; -1: error. */
static int make_authority(Hub *hub, GError **error) {
    g_autoptr(Value) authority = new_authority(hub, error);
    g_autofree char *token = authority ? admin_token(hub, error) : NULL;
    if (!token)
        return -1;
    g_autoptr(StoreTxn) txn = store_txn_new();
    put_new(txn, "", KEY_AUTHORITY, authority);
    put_token(txn, hub, token);
    g_autoptr(StoreAnswer) answer = store_wait(store_commit(hub->state, txn, NULL, NULL), error);
    if (!answer)
        return -1;
    if (!answer->succeeded)
        return 0;
    hub->first_token = g_steal_pointer(&token);
    return 1;
}

bool setup_authority(Hub *hub, GError **error) {
    g_autoptr(GBytes) key = key_of(KEY_AUTHORITY, "");
    for (;;) {
        g_autoptr(StoreAnswer) answer = store_wait(store_get(hub->state, key, NULL, NULL), error);
        if (!answer)
            return false;
        const StoreEntry *entry = store_answer_entry(answer);
        if (entry)
            return take_authority(hub, entry, error) &&
                   write_file(hub, "ca.pem", hub->authority_pem, 0644, error);
        if (make_authority(hub, error) < 0)
            return false;
    }
}

/* --- the server ------------------------------------------------------------------------------- */

static void add_name(GPtrArray *names, const char *name) {
    if (*name && names->len < NAMES_MAX &&
        !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
        g_ptr_array_add(names, g_strdup(name));
}

/* Link-local addresses have a zone, which certificates do not. */
static void add_addresses(GPtrArray *names) {
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        int family = one->ifa_addr ? one->ifa_addr->sa_family : AF_UNSPEC;
        char text[NI_MAXHOST];
        socklen_t size =
            family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if ((family == AF_INET || family == AF_INET6) &&
            getnameinfo(one->ifa_addr, size, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0 &&
            !strchr(text, '%'))
            add_name(names, text);
    }
    freeifaddrs(all);
}

static GPtrArray *all_names(const char *const *more) {
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (; more && *more; more++)
        add_name(names, *more);
    add_name(names, g_get_host_name());
    add_name(names, "localhost");
    add_name(names, "127.0.0.1");
    add_name(names, "::1");
    add_addresses(names);
    g_ptr_array_add(names, NULL);
    return names;
}

bool setup_server(Hub *hub, const char *const *names, char **ret_certificate, char **ret_key,
                  GError **error) {
    g_autoptr(PkiKey) key = pki_key_new(error);
    if (!key)
        return false;
    g_autoptr(GPtrArray) all = all_names(names);
    g_autoptr(PkiCertificate) certificate =
        pki_sign_server(hub->authority, hub->authority_key, key, (const char *const *)all->pdata,
                        wall_seconds(hub), error);
    if (!certificate)
        return false;
    g_autofree char *pem = pki_certificate_pem(certificate);
    *ret_certificate = g_strconcat(pem, hub->authority_pem, NULL);
    *ret_key = pki_key_pem(key);
    return true;
}
