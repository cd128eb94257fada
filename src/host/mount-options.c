/* Mount options: mount(8), fstab(5), and what of them the kernel shows in mountinfo. */
#include <string.h>

#include "host/mounts.h"

/* --- the sorts */

/* Flags that the kernel keeps for any file system. Of each group one holds. */
typedef enum {
    GROUP_NONE,
    GROUP_WRITE,
    GROUP_SUID,
    GROUP_DEV,
    GROUP_EXEC,
    GROUP_ATIME,
    GROUP_DIRATIME,
    GROUP_SYNC,
    GROUP_DIRSYNC,
    GROUP_MAND,
    GROUP_LAZYTIME,
    GROUP_SYMFOLLOW,
    N_GROUPS
} FlagGroup;

typedef struct {
    const char *name;
    FlagGroup group;
    const char *shown; /* as mountinfo has it; NULL: it shows nothing */
} Flag;

/* The first of a group is what holds when nothing is said. */
static const Flag flags[] = {
    { "rw", GROUP_WRITE, "rw" },
    { "ro", GROUP_WRITE, "ro" },
    { "suid", GROUP_SUID, NULL },
    { "nosuid", GROUP_SUID, "nosuid" },
    { "dev", GROUP_DEV, NULL },
    { "nodev", GROUP_DEV, "nodev" },
    { "exec", GROUP_EXEC, NULL },
    { "noexec", GROUP_EXEC, "noexec" },
    { "relatime", GROUP_ATIME, "relatime" },
    { "noatime", GROUP_ATIME, "noatime" },
    { "strictatime", GROUP_ATIME, NULL },
    { "diratime", GROUP_DIRATIME, NULL },
    { "nodiratime", GROUP_DIRATIME, "nodiratime" },
    { "async", GROUP_SYNC, NULL },
    { "sync", GROUP_SYNC, "sync" },
    { "nodirsync", GROUP_DIRSYNC, NULL },
    { "dirsync", GROUP_DIRSYNC, "dirsync" },
    { "nomand", GROUP_MAND, NULL },
    { "mand", GROUP_MAND, "mand" },
    { "nolazytime", GROUP_LAZYTIME, NULL },
    { "lazytime", GROUP_LAZYTIME, "lazytime" },
    { "symfollow", GROUP_SYMFOLLOW, NULL },
    { "nosymfollow", GROUP_SYMFOLLOW, "nosymfollow" },
};

/* Other words for flags, and words that mean several. */
static const struct {
    const char *name, *means;
} words[] = {
    { "atime", "relatime" },
    { "norelatime", "strictatime" },
    { "nostrictatime", "relatime" },
    { "user", "nosuid,nodev,noexec" },
    { "users", "nosuid,nodev,noexec" },
    { "owner", "nosuid,nodev" },
    { "group", "nosuid,nodev" },
};

/* What only mount(8), systemd and the like read. A '=' at the end: with any value. */
static const char *const for_programs[] = {
    "defaults",   "auto",    "noauto",      "nofail",   "_netdev",    "_rnetdev",    "nouser",
    "noowner",    "nogroup", "user=",       "comment=", "helper=",    "uhelper=",    "loop",
    "loop=",      "offset=", "sizelimit=",  "bind",     "rbind",      "remount",     "silent",
    "loud",       "private", "rprivate",    "shared",   "rshared",    "slave",       "rslave",
    "unbindable", "nousers", "runbindable", "iversion", "noiversion", "encryption=", NULL
};

/* Those that mount(8) is not given: whether a device may be missing, or who may mount it when, is
 * not the matter of a mount that is asked for now. */
static const char *const left_out[] = { "auto",     "noauto",  "nofail", "_rnetdev", "user",
                                        "users",    "owner",   "group",  "nouser",   "nousers",
                                        "noowner",  "nogroup", "user=",  "comment=", "_netdev",
                                        "defaults", NULL };

/* Another directory, another file system: nothing a remount could do. */
static const char *const need_new[] = { "lowerdir=", "upperdir=", "workdir=",
                                        "subvol=",   "subvolid=", NULL };

/* File systems that are read-only by nature, decide on flags themselves, or show what a server
 * agreed to: of them only flags count that are asked for. */
static const char *const own_mind[] = { "iso9660",  "squashfs", "erofs", "cramfs",  "romfs", "udf",
                                        "nfs",      "nfs4",     "cifs",  "smb3",    "9p",    "ceph",
                                        "virtiofs", "autofs",   "afs",   "fuseblk", "fuse",  NULL };

/* Other forms of numbers for the same thing. */
static const char *const octal[] = { "mode", "umask", "dmask", "fmask", NULL };

static bool in_list(const char *const *list, const char *option) {
    size_t name = strcspn(option, "=");
    for (; *list != NULL; list++)
        if (strcmp(*list, option) == 0 || (option[name] == '=' && strlen(*list) == name + 1 &&
                                           strncmp(*list, option, name + 1) == 0))
            return true;
    return false;
}

static bool is_for_programs(const char *option) {
    return in_list(for_programs, option) || g_str_has_prefix(option, "x-") ||
           g_str_has_prefix(option, "X-");
}

/* --- lists */

/* Commas in quotes belong to the option, as libmount has it. */
static GPtrArray *split(const char *options) {
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    for (const char *at = options != NULL ? options : ""; *at != '\0';) {
        bool quoted = false;
        const char *end = at;
        for (; *end != '\0' && (quoted || *end != ','); end++)
            quoted ^= *end == '"';
        if (end > at)
            g_ptr_array_add(list, g_strndup(at, (size_t)(end - at)));
        at = *end == ',' ? end + 1 : end;
    }
    return list;
}

static char *join(GPtrArray *list) {
    g_autoptr(GPtrArray) copy = g_ptr_array_copy(list, NULL, NULL);
    g_ptr_array_set_free_func(copy, NULL);
    g_ptr_array_add(copy, NULL);
    return g_strjoinv(",", (char **)copy->pdata);
}

static void append(GString *list, const char *option) {
    g_string_append_printf(list, "%s%s", list->len > 0 ? "," : "", option);
}

bool mount_options_have(const char *options, const char *name) {
    g_autoptr(GPtrArray) list = split(options);
    size_t size = strlen(name);
    for (guint i = 0; i < list->len; i++) {
        const char *option = list->pdata[i];
        if (strncmp(option, name, size) == 0 && (option[size] == '\0' || option[size] == '='))
            return true;
    }
    return false;
}

static const char *value_of(const char *option) {
    const char *equals = strchr(option, '=');
    return equals != NULL ? equals + 1 : NULL;
}

char *mount_options_value(const char *options, const char *name) {
    g_autoptr(GPtrArray) list = split(options);
    size_t size = strlen(name);
    for (guint i = list->len; i-- > 0;) {
        const char *option = list->pdata[i];
        if (strncmp(option, name, size) == 0 && option[size] == '=')
            return g_strdup(option + size + 1);
    }
    return NULL;
}

bool mount_options_bind(const char *options) {
    return mount_options_have(options, "bind") || mount_options_have(options, "rbind");
}

char *mount_options_for_kernel(const char *options) {
    GString *out = g_string_new(NULL);
    g_autoptr(GPtrArray) list = split(options);
    for (guint i = 0; i < list->len; i++) {
        const char *option = list->pdata[i];
        for (size_t w = 0; w < G_N_ELEMENTS(words); w++)
            if (strcmp(words[w].name, option) == 0 && g_str_has_prefix(words[w].means, "nosuid"))
                append(out, words[w].means);
        if (!in_list(left_out, option) && !g_str_has_prefix(option, "x-systemd."))
            append(out, option);
    }
    return g_string_free(out, FALSE);
}

static int compare_text(gconstpointer a, gconstpointer b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static char *as_set(const char *options) {
    g_autoptr(GPtrArray) list = split(options);
    g_ptr_array_sort(list, compare_text);
    for (guint i = list->len; i-- > 0;)
        if (strcmp(list->pdata[i], "defaults") == 0 ||
            (i > 0 && strcmp(list->pdata[i], list->pdata[i - 1]) == 0))
            g_ptr_array_remove_index(list, i);
    return join(list);
}

bool mount_options_equal(const char *a, const char *b) {
    g_autofree char *one = as_set(a), *other = as_set(b);
    return strcmp(one, other) == 0;
}

/* --- flags */

typedef struct {
    const Flag *held[N_GROUPS]; /* NULL: nothing was said */
} FlagSet;

static const Flag *find_flag(const char *option) {
    for (size_t i = 0; i < G_N_ELEMENTS(flags); i++)
        if (strcmp(flags[i].name, option) == 0)
            return &flags[i];
    return NULL;
}

static const Flag *default_flag(FlagGroup group) {
    for (size_t i = 0; i < G_N_ELEMENTS(flags); i++)
        if (flags[i].group == group)
            return &flags[i];
    return NULL;
}

static const char *meaning(const char *option) {
    if (g_str_has_prefix(option, "user="))
        option = "user";
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (strcmp(words[i].name, option) == 0)
            return words[i].means;
    return option;
}

static void take_flags(FlagSet *set, const char *options) {
    g_autoptr(GPtrArray) list = split(options);
    for (guint i = 0; i < list->len; i++) {
        g_autoptr(GPtrArray) meant = split(meaning(list->pdata[i]));
        for (guint m = 0; m < meant->len; m++) {
            const Flag *flag = find_flag(meant->pdata[m]);
            if (flag != NULL)
                set->held[flag->group] = flag;
        }
    }
}

static bool is_flag(const char *option) {
    return find_flag(option) != NULL || meaning(option) != option;
}

/* What holds of a mount. Writing needs both the mount and its file system to allow it. */
static FlagSet flags_of(const Mount *mount) {
    FlagSet set = { 0 };
    take_flags(&set, mount->super_options);
    bool read_only = set.held[GROUP_WRITE] == find_flag("ro");
    take_flags(&set, mount->options);
    if (read_only)
        set.held[GROUP_WRITE] = find_flag("ro");
    if (set.held[GROUP_ATIME] == NULL)
        set.held[GROUP_ATIME] = find_flag("strictatime");
    return set;
}

static bool has_own_mind(const char *fstype) {
    return g_strv_contains(own_mind, fstype) || g_str_has_prefix(fstype, "fuse.");
}

/* How it is with the access times of what the kernel mounts for itself is nobody's doing. */
static bool counts(const Mount *mount, FlagGroup group, const Flag *wanted, const Flag *found) {
    if (wanted != NULL)
        return true;
    if (group == GROUP_ATIME && strcmp(found->name, "noatime") != 0)
        return false;
    return !has_own_mind(mount->fstype);
}

static void compare_flags(const char *options, const Mount *mount, const Mount *from,
                          GString *wanted, GString *found) {
    FlagSet asked = { 0 }, holds = flags_of(mount), inherited = { 0 };
    if (from != NULL)
        inherited = flags_of(from);
    take_flags(&asked, options);
    for (FlagGroup group = GROUP_NONE + 1; group < N_GROUPS; group++) {
        const Flag *standard = default_flag(group);
        const Flag *want = asked.held[group] != NULL ? asked.held[group] : standard;
        const Flag *have = holds.held[group] != NULL ? holds.held[group] : standard;
        bool is_inherited = asked.held[group] == NULL && have == inherited.held[group];
        if (want == have || is_inherited || !counts(mount, group, asked.held[group], have))
            continue;
        append(wanted, want->name);
        append(found, have->name);
    }
}

/* --- options of file systems */

/* "64m" in bytes; UINT64_MAX: no number. */
static uint64_t parse_size(const char *text) {
    static const char units[] = "kmgtpe";
    char *end;
    if (!g_ascii_isdigit(*text))
        return UINT64_MAX;
    uint64_t number = g_ascii_strtoull(text, &end, 10);
    const char *unit = *end != '\0' ? strchr(units, g_ascii_tolower(*end)) : NULL;
    for (const char *u = units; unit != NULL && u <= unit; u++)
        number = number > UINT64_MAX / 1024 ? UINT64_MAX : number * 1024;
    return *end == '\0' || (unit != NULL && end[1] == '\0') ? number : UINT64_MAX;
}

#define PAGE 4096

static bool same_size(const char *name, uint64_t a, uint64_t b) {
    bool in_pages = strcmp(name, "size") == 0;
    return a != UINT64_MAX && b != UINT64_MAX &&
           (in_pages ? (a + PAGE - 1) / PAGE == (b + PAGE - 1) / PAGE : a == b);
}

static bool is_whole_number(const char *text) {
    return *text != '\0' && strspn(text, "0123456789") == strlen(text);
}

/* Whether the kernel may show the value `given` as `shown`. Where that cannot be told, yes. */
static bool same_value(const char *name, const char *given, const char *shown) {
    if (strcmp(given, shown) == 0)
        return true;
    if (g_strv_contains(octal, name))
        return g_ascii_strtoull(given, NULL, 8) == g_ascii_strtoull(shown, NULL, 8);
    if (strcmp(name, "uid") == 0 || strcmp(name, "gid") == 0)
        return !is_whole_number(given); /* a name */
    if (strcmp(name, "size") == 0 && g_str_has_suffix(given, "%"))
        return true;
    if (strcmp(name, "subvol") == 0 &&
        g_strcmp0(given + (*given == '/'), shown + (*shown == '/')) == 0)
        return true;
    size_t size = strlen(given); /* "zstd" is shown as "zstd:3" */
    return same_size(name, parse_size(given), parse_size(shown)) ||
           (strncmp(given, shown, size) == 0 && shown[size] == ':' &&
            strcmp(name, "lowerdir") != 0);
}

/* NULL, or the option of the list that says otherwise. */
static const char *find_contradiction(const char *option, GPtrArray *shown) {
    g_autofree char *name = g_strndup(option, strcspn(option, "="));
    const char *value = value_of(option);
    const char *positive = g_str_has_prefix(name, "no") ? name + 2 : name;
    for (guint i = 0; i < shown->len; i++) {
        const char *other = shown->pdata[i];
        g_autofree char *other_name = g_strndup(other, strcspn(other, "="));
        const char *other_value = value_of(other);
        bool opposite =
            value == NULL && other_value == NULL && strcmp(name, other_name) != 0 &&
            strcmp(positive, g_str_has_prefix(other_name, "no") ? other_name + 2 : other_name) == 0;
        bool differs = value != NULL && other_value != NULL && strcmp(name, other_name) == 0 &&
                       !same_value(name, value, other_value);
        if (opposite || differs)
            return other;
    }
    return NULL;
}

static void compare_own(const char *options, const Mount *mount, GString *wanted, GString *found) {
    g_autoptr(GPtrArray) list = split(options);
    g_autoptr(GPtrArray) shown = split(mount->super_options);
    bool bound = mount_options_bind(options); /* the file system is somebody else's */
    for (guint i = 0; !bound && !has_own_mind(mount->fstype) && i < list->len; i++) {
        const char *option = list->pdata[i];
        if (is_flag(option) || is_for_programs(option))
            continue;
        const char *other = find_contradiction(option, shown);
        if (other == NULL)
            continue;
        append(wanted, option);
        append(found, other);
    }
}

bool mount_options_hold(const char *options, const Mount *mount, const Mount *from,
                        char **ret_wanted, char **ret_found) {
    g_autoptr(GString) wanted = g_string_new(NULL), found = g_string_new(NULL);
    compare_flags(options, mount, from, wanted, found);
    compare_own(options, mount, wanted, found);
    if (wanted->len == 0)
        return true;
    *ret_wanted = g_string_free(g_steal_pointer(&wanted), FALSE);
    *ret_found = g_string_free(g_steal_pointer(&found), FALSE);
    return false;
}

bool mount_options_need_new(const char *wanted) {
    g_autoptr(GPtrArray) list = split(wanted);
    for (guint i = 0; i < list->len; i++)
        if (in_list(need_new, list->pdata[i]))
            return true;
    return false;
}

/* --- what mounting makes of them */

static void append_super(GString *super, GPtrArray *list) {
    for (guint i = 0; i < list->len; i++)
        if (!is_flag(list->pdata[i]) && !is_for_programs(list->pdata[i]))
            append(super, list->pdata[i]);
}

/* What a file system had and is not asked for again stays. */
static char *super_options(const Mount *mount, const char *options, const FlagSet *set) {
    g_autoptr(GPtrArray) list = split(options);
    g_autoptr(GPtrArray) old = split(mount->super_options);
    for (guint i = old->len; i-- > 0;) {
        g_autofree char *name = g_strndup(old->pdata[i], strcspn(old->pdata[i], "="));
        if (mount_options_have(options, name) || find_contradiction(old->pdata[i], list) != NULL)
            g_ptr_array_remove_index(old, i);
    }
    GString *super = g_string_new(set->held[GROUP_WRITE] == find_flag("ro") ? "ro" : "rw");
    for (FlagGroup group = GROUP_SYNC; group <= GROUP_LAZYTIME; group++)
        if (set->held[group] != NULL && set->held[group]->shown != NULL)
            append(super, set->held[group]->shown);
    append_super(super, old);
    append_super(super, list);
    return g_string_free(super, FALSE);
}

void mount_options_apply(Mount *mount, const char *options, bool bound) {
    FlagSet set = { 0 };
    take_flags(&set, options);
    GString *text = g_string_new(NULL);
    for (FlagGroup group = GROUP_WRITE; group < N_GROUPS; group++) {
        const Flag *flag = set.held[group] != NULL ? set.held[group] : default_flag(group);
        bool of_mount = group < GROUP_SYNC || group == GROUP_SYMFOLLOW;
        if (of_mount && flag->shown != NULL)
            append(text, flag->shown);
    }
    g_free(mount->options);
    mount->options = g_string_free(text, FALSE);
    char *super = bound ? g_strdup(mount->super_options != NULL ? mount->super_options : "rw")
                        : super_options(mount, options, &set);
    g_free(mount->super_options);
    mount->super_options = super;
}
