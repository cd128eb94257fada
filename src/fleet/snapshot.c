#include "fleet/snapshot.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"

#define VERSION 1

bool snapshot_write(const char *path, const char *host, const Value *parts, GError **error) {
    g_autoptr(Value) whole = value_new_map();
    value_map_set(whole, "version", value_new_int(VERSION));
    value_map_set(whole, "host", value_new_string(host));
    value_map_set(whole, "parts", value_ref(parts));
    g_autofree char *text = json_print(whole, JSON_COMPACT);
    g_autoptr(GError) problem = NULL;
    if (g_file_set_contents_full(path, text, -1,
                                 G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
                                 &problem))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "write '%s': %s", path, problem->message);
    return false;
}

static Value *damaged(const char *path, GError **error) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED, "read '%s': it is not what we wrote",
                path);
    return NULL;
}

Value *snapshot_read(const char *path, char **ret_host, GError **error) {
    g_autofree char *text = NULL;
    gsize size;
    g_autoptr(GError) problem = NULL;
    if (!g_file_get_contents(path, &text, &size, &problem)) {
        if (!g_error_matches(problem, G_FILE_ERROR, G_FILE_ERROR_NOENT))
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "read '%s': %s", path,
                        problem->message);
        return NULL;
    }
    g_autoptr(Value) whole = json_parse(text, size, path, NULL);
    if (value_type(whole) != VALUE_MAP || value_map_int(whole, "version", 0) != VERSION ||
        !value_map_string(whole, "host", NULL) ||
        value_type(value_map_get(whole, "parts")) != VALUE_MAP)
        return damaged(path, error);
    *ret_host = g_strdup(value_map_string(whole, "host", ""));
    return value_ref(value_map_get(whole, "parts"));
}
