#include "cli/labels.h"

#include <string.h>

#include "base/error.h"

bool labels_add(Value *map, const char *const *words, const char *where, GError **error) {
    Value *labels = value_new_map();
    for (; *words; words++) {
        const char *equals = strchr(*words, '=');
        if (!equals || equals == *words) {
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                        "%s: read '%s': write a label as NAME=TEXT, like role=web", where, *words);
            value_unref(labels);
            return false;
        }
        g_autofree char *name = g_strndup(*words, (size_t)(equals - *words));
        value_map_set(labels, name, value_new_string(equals + 1));
    }
    value_map_set(map, "labels", labels);
    return true;
}

Value *labels_list(const char *const *words) {
    Value *list = value_new_list();
    for (; *words; words++)
        value_list_append(list, value_new_string(*words));
    return list;
}
