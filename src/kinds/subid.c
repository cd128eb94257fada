#include "kinds/subid.h"

#include <string.h>

#include "host/accounts.h"
#include "kinds/user-home.h"

#define LOGIN_DEFS "/etc/login.defs"

static const struct {
    const char *path;
    const char *min, *max, *count; /* in /etc/login.defs */
} files[] = {
    [SUBID_USER] = { "/etc/subuid", "SUB_UID_MIN", "SUB_UID_MAX", "SUB_UID_COUNT" },
    [SUBID_GROUP] = { "/etc/subgid", "SUB_GID_MIN", "SUB_GID_MAX", "SUB_GID_COUNT" },
};

typedef struct {
    uint64_t start, count;
} Range;

const char *subid_path(SubidKind kind) {
    return files[kind].path;
}

/* --- one range --- */

static bool range_parse(const char *text, Range *ret_range) {
    g_auto(GStrv) parts = g_strsplit(text, ":", -1);
    return g_strv_length(parts) == 2 &&
           g_ascii_string_to_unsigned(parts[0], 10, 1, UINT32_MAX - 1, &ret_range->start, NULL) &&
           g_ascii_string_to_unsigned(parts[1], 10, 1, UINT32_MAX - ret_range->start,
                                      &ret_range->count, NULL);
}

static bool ranges_overlap(const Range *a, const Range *b) {
    return a->start < b->start + b->count && b->start < a->start + a->count;
}

bool subid_check(const char *param, const Value *ranges, GError **error) {
    size_t n = ranges != NULL ? value_size(ranges) : 0;
    for (size_t i = 0; i < n; i++) {
        const char *text = value_string(value_list_at(ranges, i));
        Range range, other;
        if (strcmp(text, SUBID_AUTO) == 0 && n == 1)
            return true;
        if (!range_parse(text, &range)) {
            g_set_error(
                error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "refuse %s '%s': write ranges as \"START:COUNT\", such as \"100000:65536\", "
                "or \"auto\" alone",
                param, text);
            return false;
        }
        for (size_t k = 0; k < i; k++) {
            const char *before = value_string(value_list_at(ranges, k));
            if (!range_parse(before, &other) || !ranges_overlap(&range, &other))
                continue;
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "refuse %s: '%s' and '%s' overlap",
                        param, before, text);
            return false;
        }
    }
    return true;
}

/* --- the file --- */

/* Its lines without their ends; none when it is missing. */
static char **read_lines(Host *host, SubidKind kind, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autoptr(GBytes) content = host_read(host, files[kind].path, LIMIT_ACCOUNT_FILE, &problem);
    if (content == NULL && !g_error_matches(problem, STEAD_ERROR, STEAD_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return NULL;
    }
    size_t size = 0;
    const char *data = content != NULL ? g_bytes_get_data(content, &size) : NULL;
    g_autofree char *text =
        g_strndup(data != NULL ? data : "", size > 0 && data[size - 1] == '\n' ? size - 1 : size);
    return g_strsplit(text, "\n", -1);
}

/* The range of a line that is the user's, or NULL. */
static const char *range_of(const char *line, const char *user) {
    size_t size = strlen(user);
    return strncmp(line, user, size) == 0 && line[size] == ':' ? line + size + 1 : NULL;
}

char **subid_ranges(Host *host, SubidKind kind, const char *user, GError **error) {
    g_auto(GStrv) lines = read_lines(host, kind, error);
    if (lines == NULL)
        return NULL;
    g_autoptr(GStrvBuilder) ranges = g_strv_builder_new();
    for (char **line = lines; *line != NULL; line++)
        if (range_of(*line, user) != NULL)
            g_strv_builder_add(ranges, range_of(*line, user));
    return g_strv_builder_end(ranges);
}

static uint64_t limit_of(Host *host, const char *key, uint64_t fallback) {
    g_autofree char *text = user_default(host, LOGIN_DEFS, key, "", NULL);
    guint64 number;
    return text != NULL && g_ascii_string_to_unsigned(text, 10, 1, UINT32_MAX - 1, &number, NULL)
               ? number
               : fallback;
}

/* The lowest one that no line has a part of. */
static char *free_range(Host *host, SubidKind kind, char *const *lines, GError **error) {
    uint64_t max = limit_of(host, files[kind].max, 600100000);
    Range wanted = { limit_of(host, files[kind].min, 100000),
                     limit_of(host, files[kind].count, 65536) };
    for (bool moved = true; moved && wanted.start + wanted.count - 1 <= max;) {
        moved = false;
        for (char *const *line = lines; *line != NULL; line++) {
            const char *colon = strchr(*line, ':');
            Range taken;
            if (colon == NULL || !range_parse(colon + 1, &taken) ||
                !ranges_overlap(&wanted, &taken))
                continue;
            wanted.start = taken.start + taken.count;
            moved = true;
        }
    }
    if (wanted.start + wanted.count - 1 <= max)
        return g_strdup_printf("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, wanted.start,
                               wanted.count);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                "choose a range in %s: none of %" G_GUINT64_FORMAT " ids is free up to "
                "%" G_GUINT64_FORMAT ", see %s and %s in " LOGIN_DEFS,
                files[kind].path, wanted.count, max, files[kind].min, files[kind].max);
    return NULL;
}

bool subid_set(Host *host, SubidKind kind, const char *user, const char *const *ranges,
               GError **error) {
    g_auto(GStrv) lines = read_lines(host, kind, error);
    if (lines == NULL)
        return false;
    g_autoptr(GString) text = g_string_new(NULL);
    bool had_any = false;
    for (char **line = lines; *line != NULL; line++) {
        bool own = range_of(*line, user) != NULL;
        had_any |= own;
        if (!own && (**line != '\0' || line[1] != NULL))
            g_string_append_printf(text, "%s\n", *line);
    }
    if (!had_any && *ranges == NULL)
        return true;
    for (; *ranges != NULL; ranges++) {
        bool chosen = strcmp(*ranges, SUBID_AUTO) == 0;
        g_autofree char *range = chosen ? free_range(host, kind, lines, error) : g_strdup(*ranges);
        if (range == NULL)
            return false;
        g_string_append_printf(text, "%s:%s\n", user, range);
    }
    g_autoptr(GBytes) content = g_bytes_new(text->str, text->len);
    return host_write(host, files[kind].path, content, &(FileAttributes){ 0 }, error);
}
