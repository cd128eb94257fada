#include <string.h>

#include "lang/yaml-loader.h"

static char *nearest_name(YamlLoader *loader, const char *kind, const char *name) {
    enum { MAX_HINTS = 20 };
    if (loader->n_hints++ >= MAX_HINTS)
        return g_strdup("");
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (unsigned i = 0; i < graph_size(loader->graph); i++) {
        const Resource *resource = graph_resource(loader->graph, i);
        if (strcmp(resource->kind->name, kind) == 0)
            g_ptr_array_add(names, resource->name);
    }
    return yaml_loader_hint(name, (const char *const *)names->pdata, names->len);
}

/* The vertex of {kind, name}, or -1. */
static int find_end(YamlLoader *loader, const YamlNode *edge, const char *side) {
    static const char *const keys[] = { "kind", "name" };
    const YamlNode *map = yaml_node_get(edge, side);
    g_autofree char *what = g_strdup_printf("'%s' of an edge", side);
    if (!map) {
        yaml_loader_problem(loader, edge, "this edge has no '%s'", side);
        return -1;
    }
    if (!yaml_loader_expect_type(loader, map, YAML_NODE_MAP, what, "a map of kind and name"))
        return -1;
    yaml_loader_check_keys(loader, map, what, keys, G_N_ELEMENTS(keys));
    const YamlNode *kind_node = yaml_node_get(map, "kind"), *name_node = yaml_node_get(map, "name");
    if (!kind_node || !name_node) {
        yaml_loader_problem(loader, map, "%s has no '%s'", what, kind_node ? "name" : "kind");
        return -1;
    }
    const char *kind_text = yaml_loader_expect_text(loader, kind_node, "a kind");
    const char *name = yaml_loader_expect_text(loader, name_node, "a name");
    if (!kind_text || !name)
        return -1;
    g_autofree char *kind = g_ascii_strdown(kind_text, -1);
    g_autofree char *key = yaml_loader_key(kind, name);
    int vertex = graph_find(loader->graph, kind, name);
    if (!kind_set_find(loader->inputs->kinds, kind)) {
        yaml_loader_report_kind(loader, kind_node, kind);
    } else if (vertex < 0 && g_hash_table_contains(loader->exported, key)) {
        yaml_loader_problem(loader, name_node,
                            "%s '%s' is exported ('" YAML_EXPORT_PREFIX "') and not collected",
                            kind, name);
    } else if (vertex < 0) {
        g_autofree char *hint = nearest_name(loader, kind, name);
        yaml_loader_problem(loader, name_node, "no %s '%s' in this graph%s", kind, name, hint);
    }
    return vertex;
}

static bool read_notify(YamlLoader *loader, const YamlNode *edge) {
    const YamlNode *node = yaml_node_get(edge, "notify");
    if (!node || yaml_node_is_null(node))
        return false;
    g_autoptr(Value) value = node->type == YAML_NODE_SCALAR ? yaml_scalar_to_value(node) : NULL;
    if (value_type(value) == VALUE_BOOL)
        return value_bool(value);
    yaml_loader_problem(loader, node, "'notify' of an edge must be true or false");
    return false;
}

static void load_edge(YamlLoader *loader, const YamlNode *edge) {
    static const char *const keys[] = { "name", "from", "to", "notify" };
    if (!yaml_loader_expect_type(loader, edge, YAML_NODE_MAP, "an edge",
                                 "a map of name, from, to, notify"))
        return;
    yaml_loader_check_keys(loader, edge, "an edge", keys, G_N_ELEMENTS(keys));
    int from = find_end(loader, edge, "from"), to = find_end(loader, edge, "to");
    EdgeFlags flags = read_notify(loader, edge) ? EDGE_NOTIFY | EDGE_AHEAD : 0;
    if (from >= 0 && to >= 0)
        graph_add_edge(loader->graph, (unsigned)from, (unsigned)to, flags,
                       yaml_loader_origin(loader, edge));
}

void yaml_load_edges(YamlLoader *loader, const YamlNode *list) {
    if (yaml_node_is_null(list) ||
        !yaml_loader_expect_type(loader, list, YAML_NODE_LIST, "'edges'", "a list of edges"))
        return;
    for (unsigned i = 0; i < list->items->len; i++)
        load_edge(loader, g_ptr_array_index(list->items, i));
}

/* `pattern` is accepted and, as in mgmt, not used. */
void yaml_load_collect(YamlLoader *loader, const YamlNode *list) {
    static const char *const keys[] = { "kind", "pattern" };
    if (yaml_node_is_null(list) ||
        !yaml_loader_expect_type(loader, list, YAML_NODE_LIST, "'collect'",
                                 "a list of kinds and patterns"))
        return;
    for (unsigned i = 0; i < list->items->len; i++) {
        const YamlNode *item = g_ptr_array_index(list->items, i);
        if (!yaml_loader_expect_type(loader, item, YAML_NODE_MAP, "an item of 'collect'",
                                     "a map with a kind"))
            continue;
        yaml_loader_check_keys(loader, item, "an item of 'collect'", keys, G_N_ELEMENTS(keys));
        const YamlNode *kind = yaml_node_get(item, "kind");
        if (!kind)
            yaml_loader_problem(loader, item, "this item of 'collect' has no kind");
        else if (yaml_loader_expect_text(loader, kind, "a kind"))
            g_ptr_array_add(loader->collected, g_ascii_strdown(kind->text, -1));
    }
}
