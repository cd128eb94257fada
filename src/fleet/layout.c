#include "fleet/layout.h"

#include <string.h>

GBytes *layout_bytes(const char *text) {
    return g_bytes_new(text, strlen(text));
}

char *layout_text(GBytes *key) {
    gsize size;
    const char *data = g_bytes_get_data(key, &size);
    return size > 0 && !memchr(data, '\0', size) ? g_strndup(data, size) : NULL;
}

char *layout_data(const char *key, const char *host) {
    return g_strconcat(LAYOUT_DATA, key, "@", host, NULL);
}

char *layout_data_of(const char *path) {
    if (strcmp(path, "/") == 0)
        return g_strdup(LAYOUT_DATA);
    return g_strconcat(LAYOUT_DATA, path, g_str_has_suffix(path, "/") ? "" : "@", NULL);
}

char *layout_export(const char *kind, const char *host, const char *name) {
    return g_strconcat(LAYOUT_EXPORT, kind, "/", host, "/", name, NULL);
}

char *layout_export_of(const char *kind) {
    return g_strconcat(LAYOUT_EXPORT, kind, "/", NULL);
}

char *layout_pool(const char *schedule, const char *host) {
    return g_strconcat(LAYOUT_SCHEDULE, schedule, "/pool/", host, NULL);
}

char *layout_seat(const char *schedule, unsigned number) {
    return g_strdup_printf(LAYOUT_SCHEDULE "%s/seat/%u", schedule, number);
}

char *layout_reported(const char *host) {
    return g_strconcat(LAYOUT_REPORTED, host, NULL);
}

char *layout_numbered(const char *prefix, uint64_t number) {
    return g_strdup_printf("%s%012" G_GUINT64_FORMAT, prefix, number);
}
