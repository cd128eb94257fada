#include <string.h>

#include "lang/name.h"
#include "lang/yaml-loader.h"

/* Parameters */

/* The text as it was written, where a text is wanted: 0644, 1.10 and yes stay what they are. */
static Value *text_value(const YamlNode *node) {
    return value_new_bytes(node->text, node->size);
}

static Value *texts_value(const YamlNode *node) {
    if (node->type == YAML_NODE_SCALAR)
        return text_value(node);
    Value *value = node->type == YAML_NODE_LIST ? value_new_list() : value_new_map();
    for (unsigned i = 0; i < node->items->len; i++) {
        Value *item = texts_value(g_ptr_array_index(node->items, i));
        if (node->type == YAML_NODE_LIST)
            value_list_append(value, item);
        else
            value_map_set(value, ((const YamlNode *)g_ptr_array_index(node->keys, i))->text, item);
    }
    return value;
}

static Value *input_of(const Param *param, const YamlNode *node) {
    switch (param->type) {
    case PARAM_STRING:
    case PARAM_PATH:
    case PARAM_ENUM:
    case PARAM_MODE:
        if (node->type == YAML_NODE_SCALAR)
            return text_value(node);
        break;
    case PARAM_STRINGS:
    case PARAM_MAP:
        return texts_value(node);
    case PARAM_BOOL:
    case PARAM_INT:
    case PARAM_FLOAT:
    case PARAM_DURATION:
    case PARAM_ANY:
        break;
    }
    return yaml_node_to_value(node);
}

/* In mgmt an empty text is the same as none; only what is kept on the host, like the content of a
 * file, can be empty on purpose. */
static bool is_unset(const Param *param, const YamlNode *node) {
    if (yaml_node_is_null(node))
        return true;
    bool may_be_empty = param->type == PARAM_ANY ||
                        (param->type == PARAM_STRING && (param->flags & PARAM_PROPERTY));
    return node->type == YAML_NODE_SCALAR && node->size == 0 && !may_be_empty;
}

static bool is_meta(const char *name) {
    return param_find(meta_params, meta_params_count, name) >= 0;
}

static void report_unknown(YamlLoader *loader, const Resource *resource, const YamlNode *key) {
    const Kind *kind = resource->kind;
    g_autofree char *shown = resource_show(resource);
    if (yaml_loader_is_dead_key(loader, kind->name, key))
        return;
    if (is_meta(key->text)) {
        yaml_loader_problem(loader, key, "%s: '%s' is a meta parameter: put it below 'meta'", shown,
                            key->text);
        return;
    }
    static const char *const others[] = { "name", "meta" };
    g_autofree char *hint = kind_param_hint(kind, key->text, others, G_N_ELEMENTS(others));
    yaml_loader_problem(loader, key, "%s: no parameter '%s'%s", shown, key->text, hint);
}

static bool set_param(YamlLoader *loader, Resource *resource, const YamlNode *key,
                      const YamlNode *node) {
    int index = kind_param_index(resource->kind, key->text);
    if (index < 0) {
        report_unknown(loader, resource, key);
        return false;
    }
    const Param *param = &resource->kind->params[index];
    if (is_unset(param, node))
        return true;
    if (resource_get(resource, (unsigned)index)) {
        g_autofree char *twice = resource_show(resource);
        yaml_loader_problem(loader, key, "%s: parameter '%s' is given twice, by an alias", twice,
                            param->name);
        return false;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) input = input_of(param, node);
    Value *value = kind_convert(resource->kind, (unsigned)index, input, &error);
    if (value) {
        resource_put(resource, (unsigned)index, value);
        return true;
    }
    g_autofree char *shown = resource_show(resource);
    yaml_loader_problem(loader, node, "%s: parameter '%s': %s", shown, key->text, error->message);
    return false;
}

static bool set_meta(YamlLoader *loader, Resource *resource, const YamlNode *map) {
    g_autofree char *shown = resource_show(resource);
    g_autofree char *what = g_strdup_printf("%s: 'meta'", shown);
    if (yaml_node_is_null(map))
        return true;
    if (!yaml_loader_expect_type(loader, map, YAML_NODE_MAP, what, "a map of meta parameters"))
        return false;
    bool fine = true;
    for (unsigned i = 0; i < map->items->len; i++) {
        const YamlNode *key = g_ptr_array_index(map->keys, i);
        const YamlNode *node = g_ptr_array_index(map->items, i);
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) value = yaml_node_to_value(node);
        if (meta_set(resource_own_meta(resource), key->text, value, &error))
            continue;
        yaml_loader_problem(loader, is_meta(key->text) ? node : key, "%s: %s", shown,
                            error->message);
        fine = false;
    }
    return fine;
}

/* Resources */

static bool set_all(YamlLoader *loader, Resource *resource, const YamlNode *map) {
    bool fine = true;
    for (unsigned i = 0; i < map->items->len; i++) {
        const YamlNode *key = g_ptr_array_index(map->keys, i);
        const YamlNode *node = g_ptr_array_index(map->items, i);
        if (strcmp(key->text, "name") == 0)
            continue;
        if (strcmp(key->text, "meta") == 0)
            fine = set_meta(loader, resource, node) && fine;
        else
            fine = set_param(loader, resource, key, node) && fine;
    }
    return fine;
}

static void finish_resource(YamlLoader *loader, Resource *resource, bool fine) {
    g_autoptr(GPtrArray) errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    /* After a parameter was refused, that it is missing would only be noise. */
    if (resource_finish(resource, errors) || !fine)
        return;
    g_autofree char *shown = resource_show(resource);
    for (unsigned i = 0; i < errors->len; i++)
        problems_add_format(loader->problems, resource->origin, "%s: %s", shown,
                            ((const GError *)g_ptr_array_index(errors, i))->message);
}

static bool is_collected(const YamlLoader *loader, const char *kind) {
    return !loader->inputs->noop &&
           g_ptr_array_find_with_equal_func(loader->collected, kind, g_str_equal, NULL);
}

static void load_resource(YamlLoader *loader, const Kind *kind, const YamlNode *map) {
    if (!yaml_loader_expect_type(loader, map, YAML_NODE_MAP, "a resource", "a map with a name"))
        return;
    const YamlNode *name_node = yaml_node_get(map, "name");
    if (!name_node) {
        yaml_loader_problem(loader, map, "this %s has no name", kind->name);
        return;
    }
    const char *name = yaml_loader_expect_text(loader, name_node, "the name of a resource");
    if (!name)
        return;
    bool is_exported = g_str_has_prefix(name, YAML_EXPORT_PREFIX);
    if (is_exported)
        name += strlen(YAML_EXPORT_PREFIX);
    const char *refusal = name_refusal(name, strlen(name));
    if (refusal) {
        yaml_loader_problem(loader, name_node, "the name of this %s %s", kind->name, refusal);
        return;
    }
    Resource *resource = resource_new(kind, name, yaml_loader_origin(loader, map));
    finish_resource(loader, resource, set_all(loader, resource, map));
    if (is_exported && !is_collected(loader, kind->name)) {
        g_hash_table_add(loader->exported, yaml_loader_key(kind->name, name));
        resource_unref(resource);
        return;
    }
    GError *error = NULL;
    if (!graph_add(loader->graph, resource, DUPLICATE_COLLAPSE, NULL, &error))
        problems_add_error(loader->problems, error);
}

void yaml_load_resources(YamlLoader *loader, const YamlNode *map) {
    if (yaml_node_is_null(map) ||
        !yaml_loader_expect_type(loader, map, YAML_NODE_MAP, "'resources'", "a map of kinds"))
        return;
    for (unsigned i = 0; i < map->items->len; i++) {
        const YamlNode *key = g_ptr_array_index(map->keys, i);
        const YamlNode *list = g_ptr_array_index(map->items, i);
        const Kind *kind = kind_set_find(loader->inputs->kinds, key->text);
        if (!kind) {
            yaml_loader_report_kind(loader, key, key->text);
            continue;
        }
        g_autofree char *what = g_strdup_printf("'%s'", key->text);
        if (yaml_node_is_null(list) ||
            !yaml_loader_expect_type(loader, list, YAML_NODE_LIST, what, "a list of resources"))
            continue;
        for (unsigned j = 0; j < list->items->len; j++)
            load_resource(loader, kind, g_ptr_array_index(list->items, j));
    }
}
