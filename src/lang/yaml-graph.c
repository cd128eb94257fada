#include "lang/yaml-graph.h"

#include <string.h>

#include "base/suggest.h"
#include "lang/name.h"
#include "lang/yaml-node.h"

#define EXPORT_PREFIX "@@"

/* Keys that released mgmt graphs carry and that have no effect: kind NULL is the top level. */
static const struct {
    const char *kind, *key;
} dead_keys[] = {
    { NULL, "remote" },
    { "exec", "pollint" },
    { "exec", "state" },
    { "exec", "timeout" },
};

typedef struct {
    unsigned count;
    Origin first;
} DeadUse;

typedef struct {
    const char *file;
    const LangInputs *inputs;
    Problems *problems;
    GPtrArray *warnings;
    Graph *graph;
    GPtrArray *collected; /* of char *: kinds that `collect` asks for */
    GHashTable *exported; /* set of "kind\x1fname": exported and not collected */
    GHashTable *unknown;  /* set of kinds that were reported as unknown */
    DeadUse dead[G_N_ELEMENTS(dead_keys)];
} Loader;

static Origin origin_of(const Loader *loader, const YamlNode *node) {
    return (Origin){ .file = loader->file, .line = node->line, .column = node->column };
}

static void G_GNUC_PRINTF(3, 4)
    problem(Loader *loader, const YamlNode *node, const char *format, ...) {
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    problems_add(loader->problems, origin_of(loader, node), text);
}

static char *did_you_mean(const char *name, const char *const *names, size_t n_names) {
    const char *nearest = suggest_nearest(name, names, n_names);
    return nearest ? g_strdup_printf(", did you mean '%s'?", nearest) : g_strdup("");
}

/* Noted here, told by warn_dead_keys(): once for each key, however often it is there. */
static bool is_dead_key(Loader *loader, const char *kind, const YamlNode *key) {
    for (unsigned i = 0; i < G_N_ELEMENTS(dead_keys); i++) {
        if (g_strcmp0(dead_keys[i].kind, kind) != 0 || strcmp(dead_keys[i].key, key->text) != 0)
            continue;
        if (loader->dead[i].count++ == 0)
            loader->dead[i].first = origin_of(loader, key);
        return true;
    }
    return false;
}

static void warn_dead_keys(Loader *loader) {
    for (unsigned i = 0; i < G_N_ELEMENTS(dead_keys); i++) {
        const DeadUse *use = &loader->dead[i];
        if (use->count == 0)
            continue;
        g_autoptr(GString) text = g_string_new(NULL);
        g_string_printf(text, "%s:%u:%u: '%s'", loader->file, use->first.line, use->first.column,
                        dead_keys[i].key);
        if (dead_keys[i].kind)
            g_string_append_printf(text, " of %s", dead_keys[i].kind);
        g_string_append(text, " has no effect and is ignored");
        if (use->count > 1)
            g_string_append_printf(text, " (%u times in this file)", use->count);
        g_ptr_array_add(loader->warnings, g_string_free(g_steal_pointer(&text), FALSE));
    }
}

/* Shapes of nodes. Each adds the problem and returns false or NULL. */

static bool expect_type(Loader *loader, const YamlNode *node, YamlNodeType type, const char *what,
                        const char *shape) {
    if (node->type == type)
        return true;
    problem(loader, node, "%s must be %s", what, shape);
    return false;
}

static const char *expect_text(Loader *loader, const YamlNode *node, const char *what) {
    bool fits = node->type == YAML_NODE_SCALAR && node->size > 0 && !yaml_node_is_null(node) &&
                strlen(node->text) == node->size;
    if (!fits)
        problem(loader, node, "%s must be a text that is not empty", what);
    return fits ? node->text : NULL;
}

static bool is_known(const char *key, const char *const *names, size_t n_names) {
    for (size_t i = 0; i < n_names; i++)
        if (strcmp(key, names[i]) == 0)
            return true;
    return false;
}

/* Refuses other keys than names in a map that is no resource. */
static void check_keys(Loader *loader, const YamlNode *map, const char *what,
                       const char *const *names, size_t n_names) {
    for (unsigned i = 0; i < map->keys->len; i++) {
        const YamlNode *key = g_ptr_array_index(map->keys, i);
        if (is_known(key->text, names, n_names))
            continue;
        g_autofree char *hint = did_you_mean(key->text, names, n_names);
        problem(loader, key, "%s has no key '%s'%s", what, key->text, hint);
    }
}

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

static Value *input_of(const Loader *loader, const Param *param, const YamlNode *node,
                       GError **error) {
    switch (param->type) {
    case PARAM_STRING:
    case PARAM_PATH:
    case PARAM_ENUM:
    case PARAM_MODE:
        if (node->type == YAML_NODE_SCALAR)
            return text_value(node);
        break;
    case PARAM_STRINGS:
    case PARAM_MAP: {
        /* Typed first, only for its check that aliases stay within bounds. */
        g_autoptr(Value) typed = yaml_node_to_value(node, error);
        return typed ? texts_value(node) : NULL;
    }
    case PARAM_BOOL:
    case PARAM_INT:
    case PARAM_FLOAT:
    case PARAM_DURATION:
    case PARAM_ANY:
        break;
    }
    return yaml_node_to_value(node, error);
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

static void report_unknown(Loader *loader, const Resource *resource, const YamlNode *key) {
    const Kind *kind = resource->kind;
    g_autofree char *shown = resource_show(resource);
    if (is_dead_key(loader, kind->name, key))
        return;
    if (is_meta(key->text)) {
        problem(loader, key, "%s: '%s' is a meta parameter: put it below 'meta'", shown, key->text);
        return;
    }
    g_autofree const char **names = g_new(const char *, kind->n_params + 2);
    for (unsigned i = 0; i < kind->n_params; i++)
        names[i] = kind->params[i].name;
    names[kind->n_params] = "name";
    names[kind->n_params + 1] = "meta";
    g_autofree char *hint = did_you_mean(key->text, names, kind->n_params + 2);
    problem(loader, key, "%s: no parameter '%s'%s", shown, key->text, hint);
}

static bool set_param(Loader *loader, Resource *resource, const YamlNode *key,
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
        problem(loader, key, "%s: parameter '%s' is given twice, by an alias", twice, param->name);
        return false;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) input = input_of(loader, param, node, &error);
    Value *value = input ? param_convert(param, input, &error) : NULL;
    if (value) {
        resource_put(resource, (unsigned)index, value);
        return true;
    }
    g_autofree char *shown = resource_show(resource);
    problem(loader, node, "%s: parameter '%s': %s", shown, key->text, error->message);
    return false;
}

static bool set_meta(Loader *loader, Resource *resource, const YamlNode *map) {
    g_autofree char *shown = resource_show(resource);
    g_autofree char *what = g_strdup_printf("%s: 'meta'", shown);
    if (yaml_node_is_null(map))
        return true;
    if (!expect_type(loader, map, YAML_NODE_MAP, what, "a map of meta parameters"))
        return false;
    bool fine = true;
    for (unsigned i = 0; i < map->items->len; i++) {
        const YamlNode *key = g_ptr_array_index(map->keys, i);
        const YamlNode *node = g_ptr_array_index(map->items, i);
        g_autoptr(GError) error = NULL;
        g_autoptr(Value) value = yaml_node_to_value(node, &error);
        if (value && meta_set(resource_own_meta(resource), key->text, value, &error))
            continue;
        problem(loader, is_meta(key->text) ? node : key, "%s: %s", shown, error->message);
        fine = false;
    }
    return fine;
}

/* Resources */

static bool set_all(Loader *loader, Resource *resource, const YamlNode *map) {
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

static void finish_resource(Loader *loader, Resource *resource, bool fine) {
    g_autoptr(GPtrArray) errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    /* After a parameter was refused, that it is missing would only be noise. */
    if (resource_finish(resource, errors) || !fine)
        return;
    g_autofree char *shown = resource_show(resource);
    for (unsigned i = 0; i < errors->len; i++)
        problems_add_format(loader->problems, resource->origin, "%s: %s", shown,
                            ((const GError *)g_ptr_array_index(errors, i))->message);
}

static char *key_of(const char *kind, const char *name) {
    return g_strconcat(kind, "\x1f", name, NULL);
}

static bool is_collected(const Loader *loader, const char *kind) {
    return !loader->inputs->noop &&
           g_ptr_array_find_with_equal_func(loader->collected, kind, g_str_equal, NULL);
}

static void load_resource(Loader *loader, const Kind *kind, const YamlNode *map) {
    if (!expect_type(loader, map, YAML_NODE_MAP, "a resource", "a map with a name"))
        return;
    const YamlNode *name_node = yaml_node_get(map, "name");
    if (!name_node) {
        problem(loader, map, "this %s has no name", kind->name);
        return;
    }
    const char *name = expect_text(loader, name_node, "the name of a resource");
    if (!name)
        return;
    bool is_exported = g_str_has_prefix(name, EXPORT_PREFIX);
    if (is_exported)
        name += strlen(EXPORT_PREFIX);
    const char *refusal = name_refusal(name, strlen(name));
    if (refusal) {
        problem(loader, name_node, "the name of this %s %s", kind->name, refusal);
        return;
    }
    Resource *resource = resource_new(kind, name, origin_of(loader, map));
    finish_resource(loader, resource, set_all(loader, resource, map));
    if (is_exported && !is_collected(loader, kind->name)) {
        g_hash_table_add(loader->exported, key_of(kind->name, name));
        resource_unref(resource);
        return;
    }
    GError *error = NULL;
    if (!graph_add(loader->graph, resource, DUPLICATE_COLLAPSE, NULL, &error))
        problems_add_error(loader->problems, error);
}

/* Each unknown kind is told once, not at every edge too. */
static void report_kind(Loader *loader, const YamlNode *node, const char *kind) {
    if (!g_hash_table_add(loader->unknown, g_strdup(kind)))
        return;
    g_autoptr(GError) error = NULL;
    kind_set_unknown(loader->inputs->kinds, kind, &error);
    problem(loader, node, "%s", error->message);
}

static void load_resources(Loader *loader, const YamlNode *map) {
    if (yaml_node_is_null(map) ||
        !expect_type(loader, map, YAML_NODE_MAP, "'resources'", "a map of kinds"))
        return;
    for (unsigned i = 0; i < map->items->len; i++) {
        const YamlNode *key = g_ptr_array_index(map->keys, i);
        const YamlNode *list = g_ptr_array_index(map->items, i);
        const Kind *kind = kind_set_find(loader->inputs->kinds, key->text);
        if (!kind) {
            report_kind(loader, key, key->text);
            continue;
        }
        g_autofree char *what = g_strdup_printf("'%s'", key->text);
        if (yaml_node_is_null(list) ||
            !expect_type(loader, list, YAML_NODE_LIST, what, "a list of resources"))
            continue;
        for (unsigned j = 0; j < list->items->len; j++)
            load_resource(loader, kind, g_ptr_array_index(list->items, j));
    }
}

/* Edges and collections */

static char *nearest_name(const Loader *loader, const char *kind, const char *name) {
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (unsigned i = 0; i < graph_size(loader->graph); i++) {
        const Resource *resource = graph_resource(loader->graph, i);
        if (strcmp(resource->kind->name, kind) == 0)
            g_ptr_array_add(names, resource->name);
    }
    return did_you_mean(name, (const char *const *)names->pdata, names->len);
}

/* The vertex of {kind, name}, or -1. */
static int find_end(Loader *loader, const YamlNode *edge, const char *side) {
    static const char *const keys[] = { "kind", "name" };
    const YamlNode *map = yaml_node_get(edge, side);
    g_autofree char *what = g_strdup_printf("'%s' of an edge", side);
    if (!map) {
        problem(loader, edge, "this edge has no '%s'", side);
        return -1;
    }
    if (!expect_type(loader, map, YAML_NODE_MAP, what, "a map of kind and name"))
        return -1;
    check_keys(loader, map, what, keys, G_N_ELEMENTS(keys));
    const YamlNode *kind_node = yaml_node_get(map, "kind"), *name_node = yaml_node_get(map, "name");
    if (!kind_node || !name_node) {
        problem(loader, map, "%s has no '%s'", what, kind_node ? "name" : "kind");
        return -1;
    }
    const char *kind_text = expect_text(loader, kind_node, "a kind");
    const char *name = expect_text(loader, name_node, "a name");
    if (!kind_text || !name)
        return -1;
    g_autofree char *kind = g_ascii_strdown(kind_text, -1);
    g_autofree char *key = key_of(kind, name);
    int vertex = graph_find(loader->graph, kind, name);
    if (!kind_set_find(loader->inputs->kinds, kind)) {
        report_kind(loader, kind_node, kind);
    } else if (vertex < 0 && g_hash_table_contains(loader->exported, key)) {
        problem(loader, name_node, "%s '%s' is exported ('" EXPORT_PREFIX "') and not collected",
                kind, name);
    } else if (vertex < 0) {
        g_autofree char *hint = nearest_name(loader, kind, name);
        problem(loader, name_node, "no %s '%s' in this graph%s", kind, name, hint);
    }
    return vertex;
}

static bool read_notify(Loader *loader, const YamlNode *edge) {
    const YamlNode *node = yaml_node_get(edge, "notify");
    if (!node || yaml_node_is_null(node))
        return false;
    g_autoptr(Value) value = node->type == YAML_NODE_SCALAR ? yaml_scalar_to_value(node) : NULL;
    if (value_type(value) == VALUE_BOOL)
        return value_bool(value);
    problem(loader, node, "'notify' of an edge must be true or false");
    return false;
}

static void load_edge(Loader *loader, const YamlNode *edge) {
    static const char *const keys[] = { "name", "from", "to", "notify" };
    if (!expect_type(loader, edge, YAML_NODE_MAP, "an edge", "a map of name, from, to, notify"))
        return;
    check_keys(loader, edge, "an edge", keys, G_N_ELEMENTS(keys));
    int from = find_end(loader, edge, "from"), to = find_end(loader, edge, "to");
    EdgeFlags flags = read_notify(loader, edge) ? EDGE_NOTIFY : 0;
    if (from >= 0 && to >= 0)
        graph_add_edge(loader->graph, (unsigned)from, (unsigned)to, flags, origin_of(loader, edge));
}

static void load_edges(Loader *loader, const YamlNode *list) {
    if (yaml_node_is_null(list) ||
        !expect_type(loader, list, YAML_NODE_LIST, "'edges'", "a list of edges"))
        return;
    for (unsigned i = 0; i < list->items->len; i++)
        load_edge(loader, g_ptr_array_index(list->items, i));
}

/* `pattern` is accepted and, as in mgmt, not used. */
static void load_collect(Loader *loader, const YamlNode *list) {
    static const char *const keys[] = { "kind", "pattern" };
    if (yaml_node_is_null(list) ||
        !expect_type(loader, list, YAML_NODE_LIST, "'collect'", "a list of kinds and patterns"))
        return;
    for (unsigned i = 0; i < list->items->len; i++) {
        const YamlNode *item = g_ptr_array_index(list->items, i);
        if (!expect_type(loader, item, YAML_NODE_MAP, "an item of 'collect'", "a map with a kind"))
            continue;
        check_keys(loader, item, "an item of 'collect'", keys, G_N_ELEMENTS(keys));
        const YamlNode *kind = yaml_node_get(item, "kind");
        if (!kind)
            problem(loader, item, "this item of 'collect' has no kind");
        else if (expect_text(loader, kind, "a kind"))
            g_ptr_array_add(loader->collected, g_ascii_strdown(kind->text, -1));
    }
}

/* The document */

static void check_graph_name(Loader *loader, const YamlNode *root) {
    const YamlNode *graph = yaml_node_get(root, "graph");
    if (graph)
        (void)expect_text(loader, graph, "'graph'"); /* the name itself has no use */
    else
        problem(loader, root, "the key 'graph' is missing: every graph has a name");
}

static void load_document(Loader *loader, const YamlNode *root) {
    static const char *const keys[] = { "graph", "comment", "resources", "edges", "collect" };
    if (!expect_type(loader, root, YAML_NODE_MAP, "a graph", "a map with the key 'graph'"))
        return;
    for (unsigned i = 0; i < root->keys->len; i++) {
        const YamlNode *key = g_ptr_array_index(root->keys, i);
        if (is_known(key->text, keys, G_N_ELEMENTS(keys)) || is_dead_key(loader, NULL, key))
            continue;
        g_autofree char *hint = did_you_mean(key->text, keys, G_N_ELEMENTS(keys));
        problem(loader, key, "a graph has no key '%s'%s", key->text, hint);
    }
    check_graph_name(loader, root);
    const YamlNode *collect = yaml_node_get(root, "collect");
    const YamlNode *resources = yaml_node_get(root, "resources");
    const YamlNode *edges = yaml_node_get(root, "edges");
    if (collect)
        load_collect(loader, collect);
    if (resources)
        load_resources(loader, resources);
    if (edges)
        load_edges(loader, edges);
}

void yaml_graph_load(const char *file, const LangInputs *inputs, Sources *sources,
                     Problems *problems, GPtrArray *warnings, Graph *graph) {
    GError *error = NULL;
    GBytes *content = sources_load(sources, file, &error);
    g_autoptr(YamlNode) root = NULL;
    size_t size = 0;
    const char *text = content ? sources_bytes(content, &size) : NULL;
    if (!content || !yaml_parse(text, size, file, &root, &error)) {
        problems_add_error(problems, error);
        return;
    }
    Loader loader = { .file = g_intern_string(file),
                      .inputs = inputs,
                      .problems = problems,
                      .warnings = warnings,
                      .graph = graph };
    loader.collected = g_ptr_array_new_with_free_func(g_free);
    loader.exported = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    loader.unknown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (root)
        load_document(&loader, root);
    else
        problems_add(problems, (Origin){ .file = loader.file, .line = 1, .column = 1 },
                     "the file is empty: a graph is a map with the key 'graph'");
    warn_dead_keys(&loader);
    g_ptr_array_unref(loader.collected);
    g_hash_table_unref(loader.exported);
    g_hash_table_unref(loader.unknown);
}
