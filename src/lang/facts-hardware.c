#include <string.h>

#include "lang/facts-private.h"

/* Far above any machine: what claims more is no machine, and may be added and multiplied safely. */
#define MAX_NUMBER (INT64_C(1) << 48)

/* The number at the start of text, from 0 to MAX_NUMBER. ret_rest (may be NULL): what follows. */
static int64_t number_at(const char *text, char **ret_rest) {
    return CLAMP(g_ascii_strtoll(text, ret_rest, 10), 0, MAX_NUMBER);
}

/* "0-3,8" is 5. */
static int64_t count_ranges(const char *text) {
    int64_t count = 0;
    g_auto(GStrv) ranges = g_strsplit(text, ",", -1);
    for (unsigned i = 0; ranges[i]; i++) {
        char *rest;
        int64_t first = number_at(ranges[i], &rest), last = first;
        if (*rest == '-')
            last = number_at(rest + 1, NULL);
        count = MIN(count + MAX(last - first + 1, 0), MAX_NUMBER);
    }
    return count;
}

Value *facts_cpus(Host *host) {
    g_autofree char *text = facts_text(host, "/sys/devices/system/cpu/present");
    return text && *text ? value_new_int(count_ranges(text)) : NULL;
}

Value *facts_cpu_model(Host *host) {
    g_autofree char *text = facts_text(host, "/proc/cpuinfo");
    return text ? facts_text_value(facts_field_of(text, "model name", ':')) : NULL;
}

/* "16384 kB" in bytes. */
static Value *meminfo_field(Host *host, const char *name) {
    g_autofree char *text = facts_text(host, "/proc/meminfo");
    g_autofree char *field = text ? facts_field_of(text, name, ':') : NULL;
    return field ? value_new_int(number_at(field, NULL) * 1024) : NULL;
}

Value *facts_memory(Host *host) {
    return meminfo_field(host, "MemTotal");
}

Value *facts_swap(Host *host) {
    return meminfo_field(host, "SwapTotal");
}

/* Only what has a device behind it: no loops, no RAM disks, no volumes made of others. */
Value *facts_disks(Host *host) {
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
            value_map_set(disk, "size", value_new_int(number_at(sectors, NULL) * 512));
        if (rotates)
            value_map_set(disk, "rotational", value_new_bool(*rotates == '1'));
        if (removable)
            value_map_set(disk, "removable", value_new_bool(*removable == '1'));
        facts_set_text(disk, "model", facts_text(host, "/sys/block/%s/device/model", names[i]));
        facts_set_text(disk, "serial", facts_text(host, "/sys/block/%s/device/serial", names[i]));
        value_map_set(disks, names[i], disk);
    }
    return disks;
}

Value *facts_dmi(Host *host) {
    static const char *const fields[][2] = {
        { "vendor", "sys_vendor" },         { "product", "product_name" },
        { "serial", "product_serial" },     { "uuid", "product_uuid" },
        { "board", "board_name" },          { "board_serial", "board_serial" },
        { "bios_version", "bios_version" }, { "asset_tag", "chassis_asset_tag" },
    };
    Value *dmi = value_new_map();
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++)
        facts_set_text(dmi, fields[i][0], facts_text(host, "/sys/class/dmi/id/%s", fields[i][1]));
    return facts_unless_empty(dmi);
}

/* The rules of systemd-detect-virt that files can answer. */
Value *facts_virtualisation(Host *host) {
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
    g_autofree char *flags = facts_field_of(cpus, "flags", ':');
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

Value *facts_efi(Host *host) {
    return value_new_bool(host_exists(host, "/sys/firmware/efi"));
}
