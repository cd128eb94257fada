#include "lang/facts.h"

#include <stdarg.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/suggest.h"
#include "lang/facts-private.h"
#include "lang/lang.h"

enum { MAX_FACT_FILE = 4 * 1024 * 1024 };

char *facts_text(Host *host, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *path = g_strdup_vprintf(format, args);
    va_end(args);
    g_autoptr(GBytes) content = host_read(host, path, MAX_FACT_FILE, NULL);
    if (!content)
        return NULL;
    size_t size;
    const char *data = g_bytes_get_data(content, &size);
    if (size == 0)
        return g_strdup("");
    if (!g_utf8_validate(data, (gssize)size, NULL))
        return NULL;
    return g_strstrip(g_strndup(data, size));
}

Value *facts_text_value(char *text) {
    Value *value = text && *text ? value_new_string(text) : NULL;
    g_free(text);
    return value;
}

void facts_set_text(Value *map, const char *key, char *text) {
    Value *value = facts_text_value(text);
    if (value)
        value_map_set(map, key, value);
}

Value *facts_unless_empty(Value *map) {
    if (value_size(map) > 0)
        return map;
    value_unref(map);
    return NULL;
}

char *facts_field_of(const char *text, const char *name, char separator) {
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        char *at = strchr(lines[i], separator);
        if (!at)
            continue;
        *at = '\0';
        if (strcmp(g_strstrip(lines[i]), name) == 0)
            return g_strdup(g_strstrip(at + 1));
    }
    return NULL;
}

/* Operating system */

/* A value of os-release is written as in a shell. */
static void set_release_field(Value *map, const char *key, const char *text, const char *name) {
    g_autofree char *raw = facts_field_of(text, name, '=');
    if (raw && *raw)
        facts_set_text(map, key, g_shell_unquote(raw, NULL));
}

/* What ID and ID_LIKE say in one word. */
static const char *os_family(const Value *os, const char *like) {
    static const struct {
        const char *id, *family;
    } families[] = {
        { "debian", "debian" }, { "ubuntu", "debian" }, { "rhel", "redhat" },
        { "fedora", "redhat" }, { "suse", "suse" },     { "opensuse", "suse" },
        { "arch", "arch" },     { "alpine", "alpine" }, { "gentoo", "gentoo" },
    };
    const char *id = value_map_string(os, "id", "");
    g_autofree char *words = g_strconcat(id, " ", like ? like : "", NULL);
    g_auto(GStrv) list = g_strsplit(words, " ", -1);
    for (unsigned i = 0; list[i]; i++)
        for (unsigned j = 0; j < G_N_ELEMENTS(families); j++)
            if (strcmp(list[i], families[j].id) == 0)
                return families[j].family;
    return *id ? "other" : NULL;
}

static Value *read_os(Host *host) {
    g_autofree char *text = facts_text(host, "/etc/os-release");
    if (!text)
        text = facts_text(host, "/usr/lib/os-release");
    if (!text)
        return NULL;
    Value *os = value_new_map();
    g_autofree char *like_raw = facts_field_of(text, "ID_LIKE", '=');
    g_autofree char *like = like_raw ? g_shell_unquote(like_raw, NULL) : NULL;
    set_release_field(os, "id", text, "ID");
    set_release_field(os, "version", text, "VERSION_ID");
    set_release_field(os, "codename", text, "VERSION_CODENAME");
    set_release_field(os, "name", text, "NAME");
    set_release_field(os, "pretty_name", text, "PRETTY_NAME");
    const char *family = os_family(os, like);
    if (family)
        value_map_set(os, "family", value_new_string(family));
    return facts_unless_empty(os);
}

static Value *read_kernel(Host *host) {
    Value *kernel = value_new_map();
    facts_set_text(kernel, "name", facts_text(host, "/proc/sys/kernel/ostype"));
    facts_set_text(kernel, "release", facts_text(host, "/proc/sys/kernel/osrelease"));
    facts_set_text(kernel, "version", facts_text(host, "/proc/sys/kernel/version"));
    return facts_unless_empty(kernel);
}

/* The kernel tells since 6.1; before that uname() does, which knows this machine only. */
static Value *read_arch(Host *host) {
    Value *arch = facts_text_value(facts_text(host, "/proc/sys/kernel/arch"));
    struct utsname names;
    if (arch || strcmp(host_root(host), "/") != 0 || uname(&names) < 0)
        return arch;
    return value_new_string(names.machine);
}

/* The table; in byte order of the names. */
static const struct {
    const char *name;
    Value *(*read)(Host *host);
    const char *help;
    const char *members; /* in byte order; NULL: it is no table of members */
    bool of_each;        /* they are those of each of its items */
} facts[] = {
    { "addresses", facts_addresses,
      "List of the IP addresses of all interfaces, without loopback and link-local ones." },
    { "arch", read_arch, "Machine architecture: \"x86_64\", \"aarch64\"." },
    { "cpu_model", facts_cpu_model, "Model name of the first processor." },
    { "cpus", facts_cpus, "Number of logical processors." },
    { "disks", facts_disks,
      "Map of disk name to {size, rotational, removable, model, serial}; size in bytes.",
      "model removable rotational serial size", true },
    { "dmi", facts_dmi,
      "What the firmware says: {vendor, product, serial, uuid, board, board_serial, bios_version, "
      "asset_tag}.",
      "asset_tag bios_version board board_serial product serial uuid vendor" },
    { "dns_names", facts_dns_names,
      "List of the names of this host: full name, short name, aliases in /etc/hosts." },
    { "domain", facts_domain, "The full name without its first part." },
    { "efi", facts_efi, "Whether the machine was started by UEFI." },
    { "fqdn", facts_fqdn, "Full name, from the host name or /etc/hosts." },
    { "hostname", facts_hostname, "Host name up to the first dot." },
    { "interfaces", facts_interfaces,
      "Map of network interface to {mac, mtu, addresses}; addresses with their prefix length "
      "where it is known.",
      "addresses mac mtu", true },
    { "kernel", read_kernel, "{name, release, version} of the running kernel.",
      "name release version" },
    { "machine_id", facts_machine_id, "Content of /etc/machine-id." },
    { "memory", facts_memory, "Main memory in bytes." },
    { "os", read_os, "{id, version, codename, family, name, pretty_name} from os-release.",
      "codename family id name pretty_name version" },
    { "swap", facts_swap, "Swap space in bytes." },
    { "timezone", facts_timezone, "Name of the local time zone: \"Europe/Berlin\"." },
    { "virtualisation", facts_virtualisation,
      "\"none\", a container (\"docker\", \"lxc\", ...) or a hypervisor (\"kvm\", \"vmware\", "
      "...); "
      "\"vm\" when it is not known which." },
};

static int find_fact(const char *name) {
    for (unsigned i = 0; i < G_N_ELEMENTS(facts); i++)
        if (strcmp(facts[i].name, name) == 0)
            return (int)i;
    return -1;
}

Value *facts_read(Host *host, const char *name) {
    int index = find_fact(name);
    return host && index >= 0 ? facts[index].read(host) : NULL;
}

bool facts_exists(const char *name) {
    return find_fact(name) >= 0;
}

size_t facts_count(void) {
    return G_N_ELEMENTS(facts);
}

const char *facts_name(size_t index) {
    g_assert(index < G_N_ELEMENTS(facts));
    return facts[index].name;
}

const char *facts_help(size_t index) {
    g_assert(index < G_N_ELEMENTS(facts));
    return facts[index].help;
}

static const char *nearest_fact(const char *name) {
    const char *names[G_N_ELEMENTS(facts)];
    for (unsigned i = 0; i < G_N_ELEMENTS(facts); i++)
        names[i] = facts[i].name;
    return suggest_nearest(name, names, G_N_ELEMENTS(names));
}

/* "os.family" for os_family and family; NULL: no fact has such a member. Caller frees. */
static char *member_meant(const char *name) {
    for (unsigned i = 0; i < G_N_ELEMENTS(facts); i++) {
        if (!facts[i].members || facts[i].of_each)
            continue;
        size_t size = strlen(facts[i].name);
        bool is_joined = g_str_has_prefix(name, facts[i].name) && strchr("_-", name[size]);
        const char *member = is_joined && name[size] ? name + size + 1 : name;
        g_auto(GStrv) members = g_strsplit(facts[i].members, " ", -1);
        if (g_strv_contains((const char *const *)members, member))
            return g_strconcat(facts[i].name, ".", member, NULL);
    }
    return NULL;
}

char *facts_unknown(const char *name) {
    g_autofree char *member = member_meant(name);
    const char *nearest = member ? member : nearest_fact(name);
    return nearest ? g_strdup_printf("no such fact '%s', did you mean '%s'?", name, nearest)
                   : g_strdup_printf("no such fact '%s'; 'stead facts' lists them all", name);
}

const char *facts_members(const char *name, bool *ret_of_each) {
    int index = find_fact(name);
    *ret_of_each = index >= 0 && facts[index].of_each;
    return index >= 0 ? facts[index].members : NULL;
}

Value *lang_facts(Host *host) {
    Value *map = value_new_map();
    for (unsigned i = 0; i < G_N_ELEMENTS(facts); i++) {
        Value *value = facts[i].read(host);
        if (value)
            value_map_set(map, facts[i].name, value);
    }
    return map;
}
