#include "lang/yaml-graph.h"

#include "lang/yaml-loader.h"

static void check_graph_name(YamlLoader *loader, const YamlNode *root) {
    const YamlNode *graph = yaml_node_get(root, "graph");
    if (graph)
        (void)yaml_loader_expect_text(loader, graph, "'graph'"); /* the name itself has no use */
    else
        yaml_loader_problem(loader, root, "the key 'graph' is missing: every graph has a name");
}

static void load_document(YamlLoader *loader, const YamlNode *root) {
    static const char *const keys[] = { "graph", "comment", "resources", "edges", "collect" };
    if (!yaml_loader_expect_type(loader, root, YAML_NODE_MAP, "a graph",
                                 "a map with the key 'graph'"))
        return;
    for (unsigned i = 0; i < root->keys->len; i++) {
        const YamlNode *key = g_ptr_array_index(root->keys, i);
        if (yaml_loader_is_known(key->text, keys, G_N_ELEMENTS(keys)) ||
            yaml_loader_is_dead_key(loader, NULL, key))
            continue;
        g_autofree char *hint = yaml_loader_hint(key->text, keys, G_N_ELEMENTS(keys));
        yaml_loader_problem(loader, key, "a graph has no key '%s'%s", key->text, hint);
    }
    check_graph_name(loader, root);
    const YamlNode *collect = yaml_node_get(root, "collect");
    const YamlNode *resources = yaml_node_get(root, "resources");
    const YamlNode *edges = yaml_node_get(root, "edges");
    if (collect)
        yaml_load_collect(loader, collect);
    if (resources)
        yaml_load_resources(loader, resources);
    if (edges)
        yaml_load_edges(loader, edges);
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
    YamlLoader loader = { .file = g_intern_string(file),
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
    yaml_loader_warn_dead_keys(&loader);
    g_ptr_array_unref(loader.collected);
    g_hash_table_unref(loader.exported);
    g_hash_table_unref(loader.unknown);
}
