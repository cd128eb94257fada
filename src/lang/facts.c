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

static Value *text_value(char *text) {
    Value *value = text && *text ? value_new_string(text) : NULL;
    g_free(text);
    return value;
}

static void set_text(Value *map, const char *key, char *text) {
    Value *value = text_value(text);
    if (value)
        value_map_set(map, key, value);
}

/* NULL for an empty map: nothing could be read. */
static Value *unless_empty(Value *map) {
    if (value_size(map) > 0)
        return map;
    value_unref(map);
    return NULL;
}

/* The text after `name` and ':' or '=' of the first such line. Caller frees. */
static char *field_of(const char *text, const char *name, char separator) {
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
    g_autofree char *raw = field_of(text, name, '=');
    if (raw && *raw)
        set_text(map, key, g_shell_unquote(raw, NULL));
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
    g_autofree char *like_raw = field_of(text, "ID_LIKE", '=');
    g_autofree char *like = like_raw ? g_shell_unquote(like_raw, NULL) : NULL;
    set_release_field(os, "id", text, "ID");
    set_release_field(os, "version", text, "VERSION_ID");
    set_release_field(os, "codename", text, "VERSION_CODENAME");
    set_release_field(os, "name", text, "NAME");
    set_release_field(os, "pretty_name", text, "PRETTY_NAME");
    const char *family = os_family(os, like);
    if (family)
        value_map_set(os, "family", value_new_string(family));
    return unless_empty(os);
}

static Value *read_kernel(Host *host) {
    Value *kernel = value_new_map();
    set_text(kernel, "name", facts_text(host, "/proc/sys/kernel/ostype"));
    set_text(kernel, "release", facts_text(host, "/proc/sys/kernel/osrelease"));
    set_text(kernel, "version", facts_text(host, "/proc/sys/kernel/version"));
    return unless_empty(kernel);
}

/* The kernel tells since 6.1; before that uname() does, which knows this machine only. */
static Value *read_arch(Host *host) {
    Value *arch = text_value(facts_text(host, "/proc/sys/kernel/arch"));
    struct utsname names;
    if (arch || strcmp(host_root(host), "/") != 0 || uname(&names) < 0)
        return arch;
    return value_new_string(names.machine);
}

/* Hardware */

/* "0-3,8" is 5. */
static int64_t count_ranges(const char *text) {
    int64_t count = 0;
    g_auto(GStrv) ranges = g_strsplit(text, ",", -1);
    for (unsigned i = 0; ranges[i]; i++) {
        char *rest;
        gint64 first = g_ascii_strtoll(ranges[i], &rest, 10), last = first;
        if (*rest == '-')
            last = g_ascii_strtoll(rest + 1, NULL, 10);
        count += last - first + 1;
    }
    return count;
}

static Value *read_cpus(Host *host) {
    g_autofree char *text = facts_text(host, "/sys/devices/system/cpu/present");
    return text && *text ? value_new_int(count_ranges(text)) : NULL;
}

static Value *read_cpu_model(Host *host) {
    g_autofree char *text = facts_text(host, "/proc/cpuinfo");
    return text ? text_value(field_of(text, "model name", ':')) : NULL;
}

/* "16384 kB" in bytes. */
static Value *meminfo_field(Host *host, const char *name) {
    g_autofree char *text = facts_text(host, "/proc/meminfo");
    g_autofree char *field = text ? field_of(text, name, ':') : NULL;
    return field ? value_new_int(g_ascii_strtoll(field, NULL, 10) * 1024) : NULL;
}

static Value *read_memory(Host *host) {
    return meminfo_field(host, "MemTotal");
}

static Value *read_swap(Host *host) {
    return meminfo_field(host, "SwapTotal");
}

/* Only what has a device behind it: no loops, no RAM disks, no volumes made of others. */
static Value *read_disks(Host *host) {
    g_auto(GStrv) names = host_list(host, "/sys/block", NULL);
    if (!names)
        return NULL;
    Value *disks = value_new_map();
    for (unsigned i = 0; names[i]; i++) {
        g_autofree char *device = g_strdup_printf("/sys/block/%s/device", names[i]);
        if (!host_exists(host, device))
            continue;
        Value *disk = value_new_map();
        g_autofree char *sectors = facts_text(host, "/sys/block/%s/size", names[i]);
        g_autofree char *rotates = facts_text(host, "/sys/block/%s/queue/rotational", names[i]);
        g_autofree char *removable = facts_text(host, "/sys/block/%s/removable", names[i]);
        if (sectors) /* of 512 bytes, whatever the disk's own are */
            value_map_set(disk, "size", value_new_int(g_ascii_strtoll(sectors, NULL, 10) * 512));
        if (rotates)
            value_map_set(disk, "rotational", value_new_bool(*rotates == '1'));
        if (removable)
            value_map_set(disk, "removable", value_new_bool(*removable == '1'));
        set_text(disk, "model", facts_text(host, "/sys/block/%s/device/model", names[i]));
        set_text(disk, "serial", facts_text(host, "/sys/block/%s/device/serial", names[i]));
        value_map_set(disks, names[i], disk);
    }
    return disks;
}

static Value *read_dmi(Host *host) {
    static const char *const fields[][2] = {
        { "vendor", "sys_vendor" },         { "product", "product_name" },
        { "serial", "product_serial" },     { "uuid", "product_uuid" },
        { "board", "board_name" },          { "board_serial", "board_serial" },
        { "bios_version", "bios_version" }, { "asset_tag", "chassis_asset_tag" },
    };
    Value *dmi = value_new_map();
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++)
        set_text(dmi, fields[i][0], facts_text(host, "/sys/class/dmi/id/%s", fields[i][1]));
    return unless_empty(dmi);
}

/* The rules of systemd-detect-virt that files can answer. */
static Value *read_virtualisation(Host *host) {
    static const char *const vendors[][2] = {
        { "KVM", "kvm" },
        { "QEMU", "qemu" },
        { "VMware", "vmware" },
        { "innotek GmbH", "oracle" },
        { "VirtualBox", "oracle" },
        { "Xen", "xen" },
        { "Microsoft Corporation", "microsoft" },
        { "Amazon EC2", "amazon" },
        { "Google", "google" },
        { "Parallels", "parallels" },
        { "BHYVE", "bhyve" },
    };
    g_autofree char *container = facts_text(host, "/run/systemd/container");
    if (container && *container)
        return value_new_string(container);
    if (host_exists(host, "/.dockerenv"))
        return value_new_string("docker");
    g_autofree char *cpus = facts_text(host, "/proc/cpuinfo");
    if (!cpus)
        return NULL;
    g_autofree char *flags = field_of(cpus, "flags", ':');
    if (!flags || !strstr(flags, "hypervisor"))
        return value_new_string("none");
    static const char *const files[] = { "product_name", "sys_vendor", "board_vendor" };
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *text = facts_text(host, "/sys/class/dmi/id/%s", files[i]);
        for (unsigned j = 0; text && j < G_N_ELEMENTS(vendors); j++)
            if (g_str_has_prefix(text, vendors[j][0]))
                return value_new_string(vendors[j][1]);
    }
    return value_new_string("vm");
}

static Value *read_efi(Host *host) {
    return value_new_bool(host_exists(host, "/sys/firmware/efi"));
}

/* Names */

static char *hostname_of(Host *host) {
    char *name = facts_text(host, "/proc/sys/kernel/hostname");
    if (name && *name)
        return name;
    g_free(name);
    return facts_text(host, "/etc/hostname");
}

static Value *read_hostname(Host *host) {
    g_autofree char *name = hostname_of(host);
    return name ? text_value(g_strndup(name, strcspn(name, "."))) : NULL;
}

/* The names on the first line of /etc/hosts that has the short name; NULL-terminated. */
static char **hosts_names(Host *host, const char *short_name) {
    g_autofree char *text = facts_text(host, "/etc/hosts");
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        lines[i][strcspn(lines[i], "#")] = '\0';
        g_auto(GStrv) words = g_strsplit_set(lines[i], " \t", -1);
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        bool found = false;
        for (unsigned j = 0; words[j]; j++)
            if (*words[j] && j > 0) { /* the first is the address */
                found = found || strcmp(words[j], short_name) == 0;
                g_ptr_array_add(names, g_strdup(words[j]));
            }
        g_ptr_array_add(names, NULL);
        if (found)
            return (char **)g_ptr_array_free(names, FALSE);
        g_ptr_array_unref(names);
    }
    return NULL;
}

/* As hostname --fqdn finds it without asking a name server. */
static char *fqdn_of(Host *host) {
    g_autofree char *name = hostname_of(host);
    if (!name || !*name)
        return NULL;
    if (strchr(name, '.'))
        return g_steal_pointer(&name);
    g_auto(GStrv) names = hosts_names(host, name);
    for (unsigned i = 0; names && names[i]; i++)
        if (strchr(names[i], '.'))
            return g_strdup(names[i]);
    return g_steal_pointer(&name);
}

static Value *read_fqdn(Host *host) {
    return text_value(fqdn_of(host));
}

static Value *read_domain(Host *host) {
    g_autofree char *fqdn = fqdn_of(host);
    const char *dot = fqdn ? strchr(fqdn, '.') : NULL;
    return dot ? text_value(g_strdup(dot + 1)) : NULL;
}

static void append_once(Value *list, const char *text) {
    for (size_t i = 0; i < value_size(list); i++)
        if (strcmp(value_string(value_list_at(list, i)), text) == 0)
            return;
    value_list_append(list, value_new_string(text));
}

static Value *read_dns_names(Host *host) {
    g_autofree char *fqdn = fqdn_of(host);
    if (!fqdn)
        return NULL;
    Value *list = value_new_list();
    append_once(list, fqdn);
    g_autofree char *name = g_strndup(fqdn, strcspn(fqdn, "."));
    append_once(list, name);
    g_auto(GStrv) names = hosts_names(host, name);
    for (unsigned i = 0; names && names[i]; i++)
        append_once(list, names[i]);
    return list;
}

static Value *read_machine_id(Host *host) {
    return text_value(facts_text(host, "/etc/machine-id"));
}

static Value *read_timezone(Host *host) {
    g_autofree char *target = host_read_link(host, "/etc/localtime", NULL);
    const char *name = target ? strstr(target, "zoneinfo/") : NULL;
    if (name)
        return value_new_string(name + strlen("zoneinfo/"));
    return text_value(facts_text(host, "/etc/timezone"));
}

/* The table; in byte order of the names. */
static const struct {
    const char *name;
    Value *(*read)(Host *host);
    const char *help;
} facts[] = {
    { "addresses", facts_addresses,
      "List of the IP addresses of all interfaces, without loopback and link-local ones." },
    { "arch", read_arch, "Machine architecture: \"x86_64\", \"aarch64\"." },
    { "cpu_model", read_cpu_model, "Model name of the first processor." },
    { "cpus", read_cpus, "Number of logical processors." },
    { "disks", read_disks,
      "Map of disk name to {size, rotational, removable, model, serial}; size in bytes." },
    { "dmi", read_dmi,
      "What the firmware says: {vendor, product, serial, uuid, board, board_serial, bios_version, "
      "asset_tag}." },
    { "dns_names", read_dns_names,
      "List of the names of this host: full name, short name, aliases in /etc/hosts." },
    { "domain", read_domain, "The full name without its first part." },
    { "efi", read_efi, "Whether the machine was started by UEFI." },
    { "fqdn", read_fqdn, "Full name, from the host name or /etc/hosts." },
    { "hostname", read_hostname, "Host name up to the first dot." },
    { "interfaces", facts_interfaces,
      "Map of network interface to {mac, mtu, addresses}; addresses with their prefix length "
      "where it is known." },
    { "kernel", read_kernel, "{name, release, version} of the running kernel." },
    { "machine_id", read_machine_id, "Content of /etc/machine-id." },
    { "memory", read_memory, "Main memory in bytes." },
    { "os", read_os, "{id, version, codename, family, name, pretty_name} from os-release." },
    { "swap", read_swap, "Swap space in bytes." },
    { "timezone", read_timezone, "Name of the local time zone: \"Europe/Berlin\"." },
    { "virtualisation", read_virtualisation,
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

const char *facts_nearest(const char *name) {
    const char *names[G_N_ELEMENTS(facts)];
    for (unsigned i = 0; i < G_N_ELEMENTS(facts); i++)
        names[i] = facts[i].name;
    return suggest_nearest(name, names, G_N_ELEMENTS(names));
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
