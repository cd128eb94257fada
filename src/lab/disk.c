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

static bool make_agent(const char *upper, const LabHost *host, GError **error) {
    if (!host->configuration)
        return true;
    g_autofree char *name = g_path_get_basename(host->configuration);
    g_autofree char *path = g_build_filename(DISK_SITE, name, NULL);
    g_autofree char *word = unit_word(path);
    g_autofree char *unit = g_strdup_printf(
        "[Unit]\nDescription=Keep this host as its lab's file says\nStartLimitIntervalSec=0\n\n"
        "[Service]\nType=exec\nExecStart=/usr/bin/stead agent %s%s\nRestart=on-failure\n"
        "RestartSec=1\nStateDirectory=stead\nStateDirectoryMode=0700\nKillMode=mixed\n\n"
        "[Install]\nWantedBy=multi-user.target\n",
        host->values ? "--values /etc/stead/values.json " : "", word);
    return files_write(upper, "etc/systemd/system/stead-agent.service", unit, 0644, error) &&
           files_link(upper, "etc/systemd/system/multi-user.target.wants/stead-agent.service",
                      "/etc/systemd/system/stead-agent.service", error);
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
           make_values(upper, host, error) && make_agent(upper, host, error);
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
