/* Files of values and secrets. */
#include <string.h>

#include "base/json.h"
#include "lang/lang.h"
#include "lang/source.h"
#include "lang/toml.h"
#include "lang/yaml-node.h"

static Value *parse_yaml(const char *text, size_t size, const char *file, GError **error) {
    g_autoptr(YamlNode) root = NULL;
    if (!yaml_parse(text, size, file, &root, error))
        return NULL;
    Value *value = root ? yaml_node_to_value(root) : value_new_map();
    if (!value)
        g_prefix_error(error, "%s:1: ", file);
    return value;
}

Value *lang_load_values(const char *file, GError **error) {
    g_autoptr(Sources) sources = sources_new(NULL);
    GBytes *content = sources_load(sources, file, error);
    if (!content)
        return NULL;
    size_t size;
    const char *text = sources_bytes(content, &size);
    g_autoptr(Value) value = g_str_has_suffix(file, ".json") ? json_parse(text, size, file, error)
                             : g_str_has_suffix(file, ".toml")
                                 ? toml_parse(text, size, file, error)
                                 : parse_yaml(text, size, file, error);
    if (!value)
        return NULL;
    if (value_type(value) == VALUE_MAP)
        return g_steal_pointer(&value);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                "%s:1: expected names with values, found a %s", file,
                value_type_name(value_type(value)));
    return NULL;
}
