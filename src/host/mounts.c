/* Tables of mounts: reading, printing, looking up, and what mounting makes of them. */
#include "host/mounts.h"

#include <string.h>

static void mount_free(void *data) {
    Mount *mount = data;
    g_free(mount->root);
    g_free(mount->point);
    g_free(mount->options);
    g_free(mount->extra);
    g_free(mount->fstype);
    g_free(mount->source);
    g_free(mount->super_options);
    g_free(mount);
}

static Mount *mount_copy(const Mount *from) {
    Mount *mount = g_new(Mount, 1);
    *mount = (Mount){
        .id = from->id,
        .parent = from->parent,
        .device = from->device,
        .root = g_strdup(from->root),
        .point = g_strdup(from->point),
        .options = g_strdup(from->options),
        .extra = g_strdup(from->extra),
        .fstype = g_strdup(from->fstype),
        .source = g_strdup(from->source),
        .super_options = g_strdup(from->super_options),
    };
    return mount;
}

MountTable *mount_table_new(void) {
    MountTable *table = g_new(MountTable, 1);
    table->mounts = g_ptr_array_new_with_free_func(mount_free);
    return table;
}

void mount_table_free(MountTable *table) {
    if (table == NULL)
        return;
    g_ptr_array_unref(table->mounts);
    g_free(table);
}

static const Mount *mount_at(const MountTable *table, guint i) {
    return table->mounts->pdata[i];
}

MountTable *mount_table_copy(const MountTable *table) {
    MountTable *copy = mount_table_new();
    for (guint i = 0; i < table->mounts->len; i++)
        g_ptr_array_add(copy->mounts, mount_copy(mount_at(table, i)));
    return copy;
}

/* --- text */

static bool is_octal(const char *at) {
    for (int i = 1; i <= 3; i++)
        if (at[i] < '0' || at[i] > '7')
            return false;
    return at[1] <= '3' && memcmp(at + 1, "000", 3) != 0;
}

char *mount_unescape(const char *text, size_t size) {
    GString *out = g_string_sized_new(size);
    for (size_t i = 0; i < size; i++) {
        bool escape = text[i] == '\\' && size - i > 3 && is_octal(text + i);
        char byte = text[i];
        if (escape) {
            byte = (char)((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        }
        g_string_append_c(out, byte);
    }
    return g_string_free(out, FALSE);
}

char *mount_escape(const char *text) {
    GString *out = g_string_new(NULL);
    for (const char *at = text; *at != '\0'; at++)
        if (strchr(" \t\n\r\\", *at) != NULL || (*at == '#' && at == text))
            g_string_append_printf(out, "\\%03o", (unsigned char)*at);
        else
            g_string_append_c(out, *at);
    return g_string_free(out, FALSE);
}

static bool parse_number(const char *text, char **ret_end, uint32_t *ret_number) {
    if (!g_ascii_isdigit(*text))
        return false;
    guint64 number = g_ascii_strtoull(text, ret_end, 10);
    *ret_number = (uint32_t)number;
    return number <= UINT32_MAX;
}

static bool parse_whole(const char *text, uint32_t *ret_number) {
    char *end;
    return parse_number(text, &end, ret_number) && *end == '\0';
}

static bool parse_device(const char *text, uint64_t *ret_device) {
    char *end;
    uint32_t major, minor;
    if (!parse_number(text, &end, &major) || *end != ':' || !parse_whole(end + 1, &minor))
        return false;
    *ret_device = (uint64_t)major << 32 | minor;
    return true;
}

/* id parent major:minor root point options [optional...] - fstype source super-options */
enum { F_ID, F_PARENT, F_DEVICE, F_ROOT, F_POINT, F_OPTIONS, F_EXTRA };

static char *field(const char *text) {
    return mount_unescape(text, strlen(text));
}

static Mount *parse_line(const char *line) {
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    unsigned n = g_strv_length(words), dash = F_EXTRA;
    while (dash < n && strcmp(words[dash], "-") != 0)
        dash++;
    Mount found = { 0 };
    if (n != dash + 4 || !parse_whole(words[F_ID], &found.id) ||
        !parse_whole(words[F_PARENT], &found.parent) ||
        !parse_device(words[F_DEVICE], &found.device) || words[F_POINT][0] != '/')
        return NULL;
    Mount *mount = g_new(Mount, 1);
    *mount = found;
    g_autofree char *dashed = g_strjoinv(" ", words + F_EXTRA);
    size_t extra_size = 0;
    for (unsigned i = F_EXTRA; i < dash; i++)
        extra_size += strlen(words[i]) + (i > F_EXTRA);
    mount->root = field(words[F_ROOT]);
    mount->point = field(words[F_POINT]);
    mount->options = field(words[F_OPTIONS]);
    mount->extra = g_strndup(dashed, extra_size);
    mount->fstype = field(words[dash + 1]);
    mount->source = field(words[dash + 2]);
    mount->super_options = field(words[dash + 3]);
    return mount;
}

MountTable *mount_table_parse(const char *text, size_t size, GError **error) {
    g_autoptr(MountTable) table = mount_table_new();
    g_autofree char *copy = g_strndup(text, size);
    g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        Mount *mount = **line != '\0' ? parse_line(*line) : NULL;
        if (mount != NULL) {
            g_ptr_array_add(table->mounts, mount);
        } else if (**line != '\0') {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                        "read the table of mounts: line %d is none: '%s'", (int)(line - lines) + 1,
                        *line);
            return NULL;
        }
    }
    return g_steal_pointer(&table);
}

static void append_field(GString *out, const char *text) {
    g_autofree char *escaped = mount_escape(text);
    g_string_append_printf(out, " %s", escaped);
}

char *mount_table_print(const MountTable *table) {
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < table->mounts->len; i++) {
        const Mount *mount = mount_at(table, i);
        g_string_append_printf(out, "%u %u %u:%u", mount->id, mount->parent,
                               (unsigned)(mount->device >> 32), (unsigned)mount->device);
        append_field(out, mount->root);
        append_field(out, mount->point);
        append_field(out, mount->options);
        g_string_append_printf(out, "%s%s -", *mount->extra != '\0' ? " " : "", mount->extra);
        append_field(out, mount->fstype);
        append_field(out, mount->source);
        append_field(out, mount->super_options);
        g_string_append_c(out, '\n');
    }
    return g_string_free(out, FALSE);
}

/* --- looking up */

static bool is_below(const char *path, const char *directory) {
    size_t size = strlen(directory);
    while (size > 0 && directory[size - 1] == '/')
        size--;
    return strncmp(path, directory, size) == 0 && path[size] == '/' && path[size + 1] != '\0';
}

const Mount *mount_table_at(const MountTable *table, const char *point) {
    for (guint i = table->mounts->len; i-- > 0;)
        if (strcmp(mount_at(table, i)->point, point) == 0)
            return mount_at(table, i);
    return NULL;
}

const Mount *mount_table_of(const MountTable *table, const char *path) {
    const Mount *best = NULL;
    for (guint i = 0; i < table->mounts->len; i++) {
        const Mount *mount = mount_at(table, i);
        bool holds = strcmp(mount->point, path) == 0 || is_below(path, mount->point);
        if (holds && (best == NULL || strlen(mount->point) >= strlen(best->point)))
            best = mount;
    }
    return best;
}

const Mount *mount_table_below(const MountTable *table, const char *point) {
    for (guint i = table->mounts->len; i-- > 0;)
        if (is_below(mount_at(table, i)->point, point))
            return mount_at(table, i);
    return NULL;
}

/* --- changing */

#define FIRST_DEVICE 1000 /* minor number of file systems that only a table knows */

static uint32_t next_id(const MountTable *table, uint64_t *ret_device) {
    uint32_t id = 0;
    *ret_device = FIRST_DEVICE;
    for (guint i = 0; i < table->mounts->len; i++) {
        id = MAX(id, mount_at(table, i)->id);
        if (mount_at(table, i)->device >> 32 == 0)
            *ret_device = MAX(*ret_device, mount_at(table, i)->device);
    }
    ++*ret_device;
    return id + 1;
}

static bool fail(GError **error, const char *verb, const char *point, const char *problem) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "%s '%s': %s", verb, point, problem);
    return false;
}

static char *path_within(const Mount *mount, const char *path) {
    size_t size = strcmp(mount->point, "/") == 0 ? 0 : strlen(mount->point);
    return g_build_filename(mount->root, path + size, NULL);
}

static void put_text(char **text, char *value) {
    g_free(*text);
    *text = value;
}

/* The mount becomes a view of the directory that is bound. */
static void bind_to(Mount *mount, const Mount *from, const char *source) {
    mount->device = from->device;
    put_text(&mount->root, path_within(from, source));
    put_text(&mount->fstype, g_strdup(from->fstype));
    put_text(&mount->source, g_strdup(from->source));
    put_text(&mount->super_options, g_strdup(from->super_options));
}

static Mount *find_for_change(MountTable *table, const char *point) {
    return (Mount *)(uintptr_t)mount_table_at(table, point);
}

bool mount_request_check(Host *host, const MountRequest *request, GError **error) {
    if (request->remount)
        return true;
    FileInfo info; /* what a plan cannot know may be there */
    if (!host_stat(host, request->point, &info, NULL))
        return fail(error, "mount", request->point, "the mount point does not exist");
    if (request->source[0] != '/' || host_stat(host, request->source, &info, NULL))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED, "mount '%s': '%s' does not exist",
                request->point, request->source);
    return false;
}

bool mount_table_mount(MountTable *table, const MountRequest *request, GError **error) {
    const char *options = request->options != NULL ? request->options : "defaults";
    Mount *mount = request->remount ? find_for_change(table, request->point) : NULL;
    if (request->remount && mount == NULL)
        return fail(error, "mount", request->point, "nothing is mounted there");
    const Mount *over = mount_table_of(table, request->point);
    bool bind = mount_options_bind(options);
    const Mount *from = bind ? mount_table_of(table, request->source) : NULL;
    if (mount == NULL) {
        mount = g_new0(Mount, 1);
        mount->id = next_id(table, &mount->device);
        mount->parent = over != NULL ? over->id : 0;
        mount->point = g_strdup(request->point);
        mount->root = g_strdup("/");
        mount->extra = g_strdup("");
        mount->fstype = g_strdup(request->fstype != NULL ? request->fstype : "auto");
        mount->source = g_strdup(request->source);
        if (from != NULL)
            bind_to(mount, from, request->source);
        g_ptr_array_add(table->mounts, mount);
    }
    mount_options_apply(mount, options, bind);
    return true;
}

bool mount_table_unmount(MountTable *table, const char *point, bool lazy, GError **error) {
    Mount *mount = find_for_change(table, point);
    if (mount == NULL)
        return fail(error, "unmount", point, "nothing is mounted there");
    const Mount *below = mount_table_below(table, point);
    if (below != NULL && !lazy) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_FAILED,
                    "unmount '%s': it is in use: '%s' is mounted below it; unmount that first",
                    point, below->point);
        return false;
    }
    for (; below != NULL; below = mount_table_below(table, point))
        g_ptr_array_remove(table->mounts, (void *)(uintptr_t)below);
    g_ptr_array_remove(table->mounts, mount);
    return true;
}
