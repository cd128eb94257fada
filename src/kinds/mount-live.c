#include "kinds/mount-live.h"

#include <string.h>

#define LINKS_MAX 8 /* from /dev/disk/by-label/x, /dev/vg/x to the device */

bool live_is_automount(const Mount *live) {
    return live != NULL && strcmp(live->fstype, "autofs") == 0;
}

bool live_is_protected(const char *point) {
    static const char *const points[] = { "/",     "/bin",   "/dev",  "/etc",  "/home",
                                          "/lib",  "/lib64", "/proc", "/root", "/run",
                                          "/sbin", "/sys",   "/usr",  "/var",  NULL };
    static const char *const above[] = { "/dev/",      "/proc/",     "/sys/",
                                         "/run/lock/", "/run/user/", "/run/systemd/" };
    for (size_t i = 0; i < G_N_ELEMENTS(above); i++)
        if (g_str_has_prefix(point, above[i]))
            return true;
    return g_strv_contains(points, point);
}

/* --- the same device */

static const struct {
    const char *tag, *directory;
} tags[] = {
    { "UUID=", "/dev/disk/by-uuid" },
    { "LABEL=", "/dev/disk/by-label" },
    { "PARTUUID=", "/dev/disk/by-partuuid" },
    { "PARTLABEL=", "/dev/disk/by-partlabel" },
    { "ID=", "/dev/disk/by-id" },
};

/* The path of a device given by a tag, as udev links it; NULL: not by a tag. */
static char *tag_path(const char *device) {
    for (size_t i = 0; i < G_N_ELEMENTS(tags); i++) {
        if (!g_str_has_prefix(device, tags[i].tag))
            continue;
        g_autofree char *value = g_strdup(device + strlen(tags[i].tag));
        size_t size = strlen(value);
        bool quoted = size >= 2 && *value == '"' && value[size - 1] == '"';
        value[size - quoted] = '\0';
        return g_build_filename(tags[i].directory, value + quoted, NULL);
    }
    return NULL;
}

/* Where links from a device file lead; NULL: it does not exist. */
static char *device_file(Host *host, const char *path) {
    g_autofree char *at = g_strdup(path);
    for (int i = 0; i < LINKS_MAX; i++) {
        FileInfo info;
        if (!host_stat(host, at, &info, NULL))
            return NULL;
        if (info.type != FILE_SYMLINK)
            return g_steal_pointer(&at);
        g_autofree char *target = host_read_link(host, at, NULL);
        if (target == NULL)
            return NULL;
        g_autofree char *directory = g_path_get_dirname(at);
        g_free(at);
        at = g_canonicalize_filename(target, directory);
    }
    return NULL;
}

static bool same_device_file(Host *host, const char *one, const char *other) {
    if (strcmp(one, other) == 0)
        return true;
    g_autofree char *a = device_file(host, one), *b = device_file(host, other);
    return a == NULL || b == NULL || strcmp(a, b) == 0;
}

static bool same_without_slash(const char *a, const char *b) {
    size_t size_a = strlen(a), size_b = strlen(b);
    size_a -= size_a > 1 && a[size_a - 1] == '/';
    size_b -= size_b > 1 && b[size_b - 1] == '/';
    return size_a == size_b && g_ascii_strncasecmp(a, b, size_a) == 0;
}

/* A file in a loop device, a name of a file system in memory: whatever it is called is right. */
static bool same_device(Host *host, const char *device, const Mount *live) {
    g_autofree char *path = tag_path(device);
    bool is_file = live->source[0] == '/' && live->source[1] != '/';
    if (path != NULL)
        return !is_file || same_device_file(host, path, live->source);
    if (g_str_has_prefix(device, "/dev/"))
        return is_file && same_device_file(host, device, live->source);
    bool remote = strchr(device, ':') != NULL || g_str_has_prefix(device, "//");
    return !remote || same_without_slash(device, live->source);
}

/* --- bind mounts */

static bool is_within(const char *path, const char *directory) {
    size_t size = strcmp(directory, "/") == 0 ? 0 : strlen(directory);
    return strncmp(path, directory, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

static char *join(const char *directory, const char *rest) {
    return g_build_filename(directory, rest, NULL);
}

/* What of a file system a bind mount of source shows. The mount itself does not count: it may be
 * bound to its own place. */
static const Mount *mount_of_source(const MountTable *table, const Mount *live,
                                    const char *source) {
    const Mount *best = NULL;
    for (guint i = 0; i < table->mounts->len; i++) {
        const Mount *mount = table->mounts->pdata[i];
        if (mount != live && is_within(source, mount->point) &&
            (best == NULL || strlen(mount->point) >= strlen(best->point)))
            best = mount;
    }
    return best;
}

static const char *rest_of(const char *path, const char *directory) {
    return path + (strcmp(directory, "/") == 0 ? 0 : strlen(directory));
}

/* Links in the source: what they lead to is bound. */
static char *real_source(Host *host, const char *source) {
    g_autofree char *at = g_strdup("/");
    g_auto(GStrv) names = g_strsplit(source, "/", -1);
    for (char **name = names; *name != NULL; name++) {
        g_autofree char *next = g_build_filename(at, *name, NULL);
        char *real = device_file(host, next);
        g_free(at);
        at = real != NULL ? real : g_steal_pointer(&next);
    }
    size_t size = strlen(at);
    if (size > 1 && at[size - 1] == '/')
        at[size - 1] = '\0';
    return g_steal_pointer(&at);
}

static bool same_source(Host *host, const MountTable *table, const Mount *live, const char *source,
                        const Mount **ret_from) {
    g_autofree char *path = real_source(host, source);
    const Mount *from = mount_of_source(table, live, path);
    *ret_from = from;
    if (from == NULL)
        return true;
    g_autofree char *root = join(from->root, rest_of(path, from->point));
    return live->device == from->device && strcmp(root, live->root) == 0;
}

bool live_is_bound(const Mount *live) {
    return strcmp(live->root, "/") != 0 && strcmp(live->fstype, "btrfs") != 0;
}

char *live_device(const MountTable *table, const Mount *live) {
    if (!live_is_bound(live))
        return g_strdup(live->source);
    for (guint i = 0; i < table->mounts->len; i++) {
        const Mount *mount = table->mounts->pdata[i];
        if (mount != live && mount->device == live->device && is_within(live->root, mount->root))
            return join(mount->point, rest_of(live->root, mount->root));
    }
    return g_strdup(live->source);
}

char *live_options(const Mount *live, bool bound) {
    GString *out = g_string_new(bound ? "bind," : "");
    g_string_append(out, live->options);
    g_auto(GStrv) more = g_strsplit(live->super_options, ",", -1);
    for (char **option = more; !bound && *option != NULL; option++)
        if (!mount_options_have(live->options, *option) && strcmp(*option, "rw") != 0)
            g_string_append_printf(out, ",%s", *option);
    return g_string_free(out, FALSE);
}

/* --- the same type */

static bool same_type(const char *wanted, const char *found) {
    static const struct {
        const char *wanted, *found;
    } names[] = {
        { "nfs", "nfs4" },     { "nfs4", "nfs" },        { "cifs", "smb3" },
        { "ext2", "ext4" },    { "ext3", "ext4" },       { "msdos", "vfat" },
        { "ntfs", "fuseblk" }, { "ntfs-3g", "fuseblk" }, { "exfat", "fuseblk" },
        { "fuse", "fuseblk" },
    };
    /* A helper may be called anything: mount.sshfs makes "fuse.sshfs". */
    if (strcmp(wanted, found) == 0 || strcmp(wanted, "auto") == 0 || strcmp(wanted, "none") == 0 ||
        strchr(wanted, ',') != NULL || g_str_has_prefix(found, "fuse."))
        return true;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(names[i].wanted, wanted) == 0 && strcmp(names[i].found, found) == 0)
            return true;
    return false;
}

/* --- altogether */

static void add(Changes *changes, const char *property, const char *before, const char *after) {
    if (changes != NULL)
        changes_add(changes, property, value_new_string(before), value_new_string(after), NULL);
}

LiveState live_compare(Host *host, const MountTable *table, const Mount *live,
                       const MountSpec *spec, Changes *changes) {
    LiveState state = LIVE_RIGHT;
    if (live_is_automount(live) || spec->device == NULL)
        return state;
    bool bind = mount_options_bind(spec->options);
    const Mount *from = NULL;
    bool device = bind ? same_source(host, table, live, spec->device, &from)
                       : same_device(host, spec->device, live);
    if (!device || (!bind && !same_type(spec->fstype, live->fstype))) {
        g_autofree char *found = live_device(table, live);
        g_autofree char *before = g_strdup_printf("%s (%s)", found, live->fstype);
        g_autofree char *after = bind ? g_strdup_printf("%s (bind)", spec->device)
                                      : g_strdup_printf("%s (%s)", spec->device, spec->fstype);
        add(changes, "mounted device", before, after);
        return LIVE_REPLACE;
    }
    g_autofree char *wanted = NULL, *found = NULL;
    if (mount_options_hold(spec->options, live, from, &wanted, &found))
        return state;
    add(changes, "mounted options", found, wanted);
    return mount_options_need_new(wanted) ? LIVE_REPLACE : LIVE_REMOUNT;
}
