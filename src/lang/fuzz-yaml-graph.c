/* A YAML graph: it loads, or every problem has a place. */
#include <stdint.h>
#include <string.h>

#include "lang/test-kinds.h"
#include "lang/yaml-graph.h"
#include "lang/yaml-node.h"

#define VALUES_MAX 100000 /* that are printed and read again; more would only take time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read prints and reads back as the same value. */
static void check_round_trip(const uint8_t *data, size_t size) {
    g_autoptr(YamlNode) root = NULL;
    if (!yaml_parse((const char *)data, size, "fuzz", &root, NULL) || !root ||
        root->values > VALUES_MAX)
        return;
    g_autoptr(Value) value = yaml_node_to_value(root);
    g_autofree char *printed = yaml_print(value, NULL);
    if (!printed)
        return;
    g_autoptr(GError) error = NULL;
    g_autoptr(YamlNode) again = NULL;
    yaml_parse(printed, strlen(printed), "printed", &again, &error);
    g_assert_no_error(error);
    g_autoptr(Value) same = yaml_node_to_value(again);
    g_assert_true(value_equal(value, same));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const LangInputs inputs = { .kinds = &test_kinds };
    g_autoptr(Sources) sources = sources_new(NULL);
    g_autoptr(Problems) problems = problems_new(sources);
    g_autoptr(GPtrArray) errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Graph) graph = graph_new();
    check_round_trip(data, size);
    sources_add_text(sources, "fuzz.yaml", data, size);
    yaml_graph_load("fuzz.yaml", &inputs, sources, problems, warnings, graph);
    problems_move(problems, errors);
    for (unsigned i = 0; i < errors->len; i++)
        g_assert_true(
            g_str_has_prefix(((GError *)g_ptr_array_index(errors, i))->message, "fuzz.yaml:"));
    return 0;
}
