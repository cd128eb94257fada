#include "cluster/berth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/exchange-key.h"
#include "base/json.h"
#include "cluster/cluster.h"

#define FILE_LIMIT (256u * 1024)

char *berth_path(const Berth *berth, const char *name) {
    return g_build_filename(berth->data, name, NULL);
}

static bool write_text(const Berth *berth, const char *name, const char *text, mode_t mode,
                       GError **error) {
    g_autofree char *path = berth_path(berth, name);
    return disk_replace(path, text, strlen(text), mode, error);
}

static char *read_text(const Berth *berth, const char *name, GError **error) {
    g_autofree char *path = berth_path(berth, name);
    g_autoptr(GBytes) bytes = disk_read_own(path, FILE_LIMIT, error);
    if (!bytes)
        return NULL;
    size_t size;
    const char *data = g_bytes_get_data(bytes, &size);
    return g_strndup(data ? data : "", size);
}

static bool write_json(const Berth *berth, const char *name, const Value *value, GError **error) {
    g_autofree char *text = json_print(value, JSON_COMPACT | JSON_REVEAL);
    return write_text(berth, name, text, 0600, error);
}

static Value *read_json(const Berth *berth, const char *name, GError **error) {
    g_autofree char *path = berth_path(berth, name);
    g_autofree char *text = read_text(berth, name, error);
    g_autoptr(Value) value = text ? json_parse(text, strlen(text), path, error) : NULL;
    if (!value || value_type(value) == VALUE_MAP)
        return g_steal_pointer(&value);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "read '%s': it is no object", path);
    return NULL;
}

/* --- addresses */

bool berth_parse_listen(const char *listen, char **ret_address, unsigned *ret_port,
                        GError **error) {
    unsigned char binary[16];
    guint64 port = BERTH_PORT;
    const char *end = *listen == '[' ? strchr(listen, ']') : NULL;
    const char *colon = end ? (end[1] == ':' ? end + 1 : NULL) : strchr(listen, ':');
    if (!end && colon && strchr(colon + 1, ':'))
        colon = NULL; /* IPv6 without brackets */
    g_autofree char *address = end     ? g_strndup(listen + 1, (size_t)(end - listen - 1))
                               : colon ? g_strndup(listen, (size_t)(colon - listen))
                                       : g_strdup(listen);
    bool good =
        inet_pton(AF_INET, address, binary) == 1 || inet_pton(AF_INET6, address, binary) == 1;
    if (good && colon)
        good = g_ascii_string_to_unsigned(colon + 1, 10, 1, 65533, &port, NULL);
    if (good && strcmp(address, "0.0.0.0") != 0 && strcmp(address, "::") != 0) {
        *ret_address = g_steal_pointer(&address);
        *ret_port = (unsigned)port;
        return true;
    }
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "listen on '%s': write one address of this host by which the others reach it, such "
                "as 192.0.2.1 or 192.0.2.1:%u; the two ports after that one are used too",
                listen, BERTH_PORT);
    return false;
}

static char *url_of(const Berth *berth, unsigned offset) {
    bool six = strchr(berth->address, ':') != NULL;
    return g_strdup_printf(six ? "https://[%s]:%u" : "https://%s:%u", berth->address,
                           berth->port + offset);
}

static void set_urls(Berth *berth) {
    berth->client = url_of(berth, 0);
    berth->peer = url_of(berth, 1);
    berth->door = url_of(berth, 2);
}

/* --- a new one */

static bool make_directory(const char *data, GError **error) {
    g_autofree char *config = g_build_filename(data, "config.json", NULL);
    if (g_file_test(config, G_FILE_TEST_EXISTS)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_EXISTS,
                    "'%s' is of a cluster already: 'stead cluster member --data %s' runs it, "
                    "another --data names another directory",
                    data, data);
        return false;
    }
    return g_mkdir_with_parents(data, 0700) == 0 || set_io_error(error, errno, "make '%s'", data);
}

PkiKey *berth_key(const Berth *berth, GError **error) {
    g_autofree char *path = berth_path(berth, "key.pem");
    if (g_file_test(path, G_FILE_TEST_EXISTS))
        return pki_key_load(path, error);
    g_autoptr(PkiKey) key = pki_key_new(error);
    return key && pki_key_save(key, path, error) ? g_steal_pointer(&key) : NULL;
}

Berth *berth_make(const char *data, const char *name, const char *listen, GError **error) {
    g_autoptr(Berth) berth = g_new0(Berth, 1);
    berth->data = g_strdup(data);
    berth->name = g_strdup(name);
    berth->id = g_strdup("");
    berth->initial = g_strdup("");
    if (!exchange_host_check(name, error) ||
        !berth_parse_listen(listen, &berth->address, &berth->port, error) ||
        !make_directory(data, error))
        return NULL;
    set_urls(berth);
    g_autoptr(PkiKey) key = berth_key(berth, error);
    return key ? g_steal_pointer(&berth) : NULL;
}

bool berth_complete(Berth *berth, const char *ca, const char *member, const char *client,
                    const char *endpoints, GError **error) {
    g_autoptr(Value) config = value_new_map();
    value_map_set(config, "name", value_new_string(berth->name));
    value_map_set(config, "address", value_new_string(berth->address));
    value_map_set(config, "port", value_new_int(berth->port));
    return write_text(berth, "ca.pem", ca, 0644, error) &&
           write_text(berth, "member.pem", member, 0644, error) &&
           write_text(berth, "client.pem", client, 0644, error) &&
           write_text(berth, "endpoints", endpoints, 0644, error) &&
           berth_save_identity(berth, error) && write_json(berth, "config.json", config, error);
}

static Value *new_authority(int64_t now, GError **error) {
    g_autoptr(PkiKey) key = pki_key_new(error);
    g_autoptr(PkiCertificate) certificate =
        key ? pki_authority_new(key, "stead cluster", now, error) : NULL;
    if (!certificate)
        return NULL;
    g_autofree char *key_pem = pki_key_pem(key), *pem = pki_certificate_pem(certificate);
    Value *map = value_new_map();
    value_map_set(map, "key", value_new_string(key_pem));
    value_map_set(map, "certificate", value_new_string(pem));
    return map;
}

bool berth_certify(const Berth *berth, const Value *authority, int64_t now, char **ret_member,
                   char **ret_client, GError **error) {
    g_autoptr(PkiKey) key = berth_key(berth, error);
    g_autofree char *pem = key ? pki_request_new(key, berth->name, error) : NULL;
    g_autoptr(PkiRequest) request =
        pem ? pki_request_parse(pem, strlen(pem), "our own request", error) : NULL;
    return request && cluster_certify(authority, request, berth->name, berth->address, now,
                                      ret_member, ret_client, error);
}

bool berth_found(Berth *berth, unsigned size, unsigned grace_s, int64_t now_s, GError **error) {
    g_autoptr(Value) authority = new_authority(now_s, error), start = value_new_map();
    g_autofree char *member = NULL, *client = NULL;
    if (!authority || !berth_certify(berth, authority, now_s, &member, &client, error))
        return false;
    uint64_t token;
    if (getrandom(&token, sizeof token, 0) != sizeof token)
        return set_io_error(error, errno, "get random bytes");
    berth->founder = true;
    g_free(berth->initial);
    berth->initial = g_strdup_printf("%016" G_GINT64_MODIFIER "x", token);
    value_map_set(start, "authority", value_ref(authority));
    value_map_set(start, "size", value_new_int(size));
    value_map_set(start, "grace", value_new_int(grace_s));
    return write_json(berth, "authority.json", start, error) &&
           berth_complete(berth, value_map_string(authority, "certificate", ""), member, client,
                          berth->client, error);
}

/* --- one that is there */

bool berth_save_identity(const Berth *berth, GError **error) {
    g_autoptr(Value) map = value_new_map();
    value_map_set(map, "id", value_new_string(berth->id));
    value_map_set(map, "initial", value_new_string(berth->initial));
    value_map_set(map, "founder", value_new_bool(berth->founder));
    value_map_set(map, "started", value_new_bool(berth->started));
    value_map_set(map, "served", value_new_bool(berth->served));
    value_map_set(map, "failures", value_new_int(berth->failures));
    return write_json(berth, "identity.json", map, error);
}

static bool read_identity(Berth *berth, GError **error) {
    g_autoptr(Value) map = read_json(berth, "identity.json", error);
    if (!map)
        return false;
    berth->id = g_strdup(value_map_string(map, "id", ""));
    berth->initial = g_strdup(value_map_string(map, "initial", ""));
    berth->founder = value_map_bool(map, "founder", false);
    berth->started = value_map_bool(map, "started", false);
    berth->served = value_map_bool(map, "served", false);
    berth->failures = (unsigned)CLAMP(value_map_int(map, "failures", 0), 0, 1000000);
    return true;
}

static bool read_config(Berth *berth, GError **error) {
    g_autoptr(Value) config = read_json(berth, "config.json", error);
    if (!config) {
        g_prefix_error(error,
                       "'%s' is of no cluster: 'stead cluster init' begins one, 'stead cluster "
                       "join' joins one: ",
                       berth->data);
        return false;
    }
    berth->name = g_strdup(value_map_string(config, "name", ""));
    berth->address = g_strdup(value_map_string(config, "address", ""));
    berth->port = (unsigned)CLAMP(value_map_int(config, "port", BERTH_PORT), 1, 65533);
    set_urls(berth);
    return true;
}

Berth *berth_open(const char *data, GError **error) {
    g_autoptr(Berth) berth = g_new0(Berth, 1);
    berth->data = g_strdup(data);
    if (!read_config(berth, error) || !read_identity(berth, error))
        return NULL;
    berth->ca = read_text(berth, "ca.pem", error);
    berth->certificate = berth->ca ? read_text(berth, "client.pem", error) : NULL;
    berth->key = berth->certificate ? read_text(berth, "key.pem", error) : NULL;
    berth->endpoints = berth->key ? read_text(berth, "endpoints", error) : NULL;
    if (!berth->endpoints)
        return NULL;
    g_strchomp(berth->endpoints);
    return g_steal_pointer(&berth);
}

void berth_free(Berth *berth) {
    if (!berth)
        return;
    g_free(berth->data);
    g_free(berth->name);
    g_free(berth->address);
    g_free(berth->peer);
    g_free(berth->client);
    g_free(berth->door);
    g_free(berth->id);
    g_free(berth->initial);
    g_free(berth->ca);
    g_free(berth->certificate);
    if (berth->key)
        explicit_bzero(berth->key, strlen(berth->key));
    g_free(berth->key);
    g_free(berth->endpoints);
    g_free(berth);
}

bool berth_has_data(const Berth *berth) {
    g_autofree char *path = g_build_filename(berth->data, "etcd", "member", "wal", NULL);
    return g_file_test(path, G_FILE_TEST_IS_DIR);
}

bool berth_set_endpoints(Berth *berth, const char *endpoints, GError **error) {
    if (strcmp(berth->endpoints, endpoints) == 0)
        return true;
    g_free(berth->endpoints);
    berth->endpoints = g_strdup(endpoints);
    return write_text(berth, "endpoints", endpoints, 0644, error);
}

bool berth_set_aside(const Berth *berth, GError **error) {
    g_autofree char *from = berth_path(berth, "etcd");
    if (!g_file_test(from, G_FILE_TEST_EXISTS))
        return true;
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y%m%dT%H%M%S");
    for (unsigned i = 0; i < 1000; i++) {
        g_autofree char *name =
            i ? g_strdup_printf("etcd-%s-%u", time, i) : g_strdup_printf("etcd-%s", time);
        g_autofree char *to = berth_path(berth, name);
        if (g_file_test(to, G_FILE_TEST_EXISTS))
            continue;
        if (rename(from, to) == 0)
            return disk_sync_parent(to, error);
        break;
    }
    return set_io_error(error, errno, "move '%s' aside", from);
}

bool berth_is_unfinished(const Berth *berth) {
    g_autofree char *start = berth_path(berth, "authority.json");
    return berth->founder && !*berth->id && berth_has_data(berth) &&
           g_file_test(start, G_FILE_TEST_EXISTS);
}

bool berth_begin_anew(const Berth *berth, GError **error) {
    g_autofree char *from = berth_path(berth, "etcd"), *to = berth_path(berth, "etcd-unfinished");
    disk_remove_tree(to);
    if (rename(from, to) == 0)
        return disk_sync_parent(to, error);
    return set_io_error(error, errno, "move '%s' to '%s'", from, to);
}

/* --- etcd */

char **berth_etcd_arguments(const Berth *berth, const char *program) {
    GStrvBuilder *builder = g_strv_builder_new();
    g_autofree char *data = berth_path(berth, "etcd"), *ca = berth_path(berth, "ca.pem");
    g_autofree char *certificate = berth_path(berth, "member.pem");
    g_autofree char *key = berth_path(berth, "key.pem");
    g_autofree char *self = g_strconcat(berth->name, "=", berth->peer, NULL);
    const char *const pairs[][2] = {
        { "--name", berth->name },
        { "--data-dir", data },
        { "--listen-client-urls", berth->client },
        { "--advertise-client-urls", berth->client },
        { "--listen-peer-urls", berth->peer },
        { "--initial-advertise-peer-urls", berth->peer },
        { "--initial-cluster", berth->founder ? self : berth->initial },
        { "--initial-cluster-state", berth->founder ? "new" : "existing" },
        { "--initial-cluster-token", berth->founder ? berth->initial : "stead" },
        { "--cert-file", certificate },
        { "--key-file", key },
        { "--trusted-ca-file", ca },
        { "--peer-cert-file", certificate },
        { "--peer-key-file", key },
        { "--peer-trusted-ca-file", ca },
        { "--auto-compaction-mode", "periodic" },
        { "--auto-compaction-retention", "1h" },
        { "--quota-backend-bytes", "8589934592" },
        { "--logger", "zap" },
        /* At "warn" it has a line for each request. */
        { "--log-level", "error" },
    };
    g_strv_builder_add(builder, program);
    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++)
        g_strv_builder_addv(builder, (const char *[]){ pairs[i][0], pairs[i][1], NULL });
    /* A host may have more addresses than its certificate; it is the authority that counts. */
    g_strv_builder_addv(
        builder, (const char *[]){ "--client-cert-auth", "--peer-client-cert-auth",
                                   "--experimental-peer-skip-client-san-verification", NULL });
    char **arguments = g_strv_builder_end(builder);
    g_strv_builder_unref(builder);
    return arguments;
}
