#include "lab/disk.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "lab/files.h"

char *disk_path(const char *directory, const LabHost *host, const char *part) {
    return host ? g_build_filename(directory, "hosts", host->name, part, NULL)
                : g_build_filename(directory, part, NULL);
}

/* The address of other by which host reaches it: in the first network of host's that both are in.
 */
static const LabPort *way_to(const LabHost *host, const LabHost *other) {
    for (unsigned i = 0; i < host->ports->len; i++) {
        const LabPort *port = lab_port_in(other, lab_port(host, i)->network);
        if (port)
            return port;
    }
    return other->ports->len ? lab_port(other, 0) : NULL;
}

char *disk_hosts(const Lab *lab, const LabHost *host) {
    GString *text = g_string_new("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n");
    for (unsigned i = 0; i < lab->hosts->len; i++) {
        const LabHost *other = lab_host(lab, i);
        const LabPort *way = way_to(host, other);
        for (unsigned j = 0; j < other->ports->len; j++) {
            const LabPort *port = lab_port(other, j);
            g_string_append_printf(text, "%s\t%s%s%s.%s\n", port->address,
                                   port == way ? other->name : "", port == way ? " " : "",
                                   other->name, lab_network(lab, port->network)->name);
        }
    }
    return g_string_free(text, FALSE);
}

/* 128 bits that are the same for the same host of the same lab. */
static char *machine_id(const Lab *lab, const LabHost *host) {
    g_autofree char *key = g_strjoin("/", "stead-lab", lab->name, host->name, NULL);
    char hex[DIGEST_HEX_SIZE];
    digest_bytes(key, strlen(key), hex);
    return g_strdup_printf("%.32s\n", hex);
}

/* As one word of a unit's command line. */
static char *unit_word(const char *text) {
    GString *word = g_string_new("\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            g_string_append_c(word, '\\');
        if (*text == '%' || *text == '$')
            g_string_append_c(word, *text);
        g_string_append_c(word, *text);
    }
    g_string_append_c(word, '"');
    return g_string_free(word, FALSE);
}

/* head: lines of its first section. */
static bool make_unit(const char *upper, const char *name, const char *head, const char *type,
                      const char *command, GError **error) {
    g_autofree char *unit = g_strdup_printf("[Unit]\n%sStartLimitIntervalSec=0\n\n"
                                            "[Service]\nType=%s\nExecStart=/usr/bin/stead %s\n"
                                            "Restart=on-failure\nRestartSec=1\n"
                                            "StateDirectory=stead\nStateDirectoryMode=0700\n"
                                            "KillMode=mixed\nLimitNOFILE=65536\n\n"
                                            "[Install]\nWantedBy=multi-user.target\n",
                                            head, type, command);
    g_autofree char *path = g_strconcat("etc/systemd/system/", name, NULL);
    g_autofree char *wanted =
        g_strconcat("etc/systemd/system/multi-user.target.wants/", name, NULL);
    g_autofree char *target = g_strconcat("/", path, NULL);
    return files_write(upper, path, unit, 0644, error) && files_link(upper, wanted, target, error);
}

/* Of a lab with a hub: as soon as the host has joined. */
static bool make_agent(const char *upper, const Lab *lab, const LabHost *host, GError **error) {
    if (!lab_has_agent(lab, host))
        return true;
    g_autofree char *word = NULL;
    if (host->configuration) {
        g_autofree char *name = g_path_get_basename(host->configuration);
        g_autofree char *path = g_build_filename(DISK_SITE, name, NULL);
        word = unit_word(path);
    }
    g_autofree char *ttl = host->ttl_s && lab_joins(lab, host)
                               ? g_strdup_printf("--exchange-ttl %u ", host->ttl_s)
                               : g_strdup("");
    g_autofree char *command = g_strconcat(
        "agent ", ttl, host->values ? "--values /etc/stead/values.json " : "", word, NULL);
    g_autofree char *head = g_strconcat(
        "Description=Keep this host as its lab's file says\n",
        lab_joins(lab, host) ? "ConditionPathExists=" DISK_MEMBERSHIP "\n" : NULL, NULL);
    return make_unit(upper, DISK_AGENT, head, "exec", command, error);
}

/* It answers under all names that others have for it. */
static bool make_hub(const char *upper, const Lab *lab, const LabHost *host, GError **error) {
    if (!host->hub)
        return true;
    GString *command = g_string_new("hub --data " DISK_HUB);
    g_string_append_printf(command, " --name %s", host->name);
    for (unsigned i = 0; i < host->ports->len; i++) {
        const LabPort *port = lab_port(host, i);
        g_string_append_printf(command, " --name %s.%s --name %s", host->name,
                               lab_network(lab, port->network)->name, port->address);
    }
    if (strcmp(host->hub, "sqlite") != 0) {
        g_autofree char *word = unit_word(host->hub);
        g_string_append_printf(command, " --store %s", word);
    }
    bool ok = make_unit(upper, "stead-hub.service",
                        "Description=The hub of this lab\nAfter=etcd.service\n", "notify",
                        command->str, error);
    g_string_free(command, TRUE);
    return ok;
}

static bool make_values(const char *upper, const LabHost *host, GError **error) {
    if (!host->values)
        return true;
    g_autofree char *text = json_print(host->values, JSON_INDENT);
    return files_write(upper, "etc/stead/values.json", text, 0644, error);
}

static bool make_upper(const char *upper, const Lab *lab, const LabHost *host, GError **error) {
    g_autofree char *name = g_strconcat(host->name, "\n", NULL);
    g_autofree char *hosts = disk_hosts(lab, host), *id = machine_id(lab, host);
    return files_write(upper, "etc/hostname", name, 0644, error) &&
           files_write(upper, "etc/hosts", hosts, 0644, error) &&
           files_write(upper, "etc/machine-id", id, 0444, error) &&
           files_write(upper, "etc/resolv.conf", "# a lab has no name servers\n", 0644, error) &&
           make_values(upper, host, error) && make_agent(upper, lab, host, error) &&
           make_hub(upper, lab, host, error);
}

bool disk_make(const char *directory, const Lab *lab, const LabHost *host, GError **error) {
    static const char *const parts[] = { "upper", "work", "root" };
    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *path = disk_path(directory, host, parts[i]);
        if (g_mkdir_with_parents(path, 0755) < 0 || chmod(path, 0755) < 0)
            return set_io_error(error, errno, "make directory '%s'", path);
    }
    g_autofree char *upper = disk_path(directory, host, "upper");
    return make_upper(upper, lab, host, error);
}
