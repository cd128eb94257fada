#include "cli/deploy-tree.h"

#include <string.h>

#include "base/digest.h"
#include "base/disk.h"
#include "base/error.h"
#include "lang/lang.h"

struct DeployTree {
    char *shown;
    char *scratch; /* has the directory of the bundle */
    char *directory;
    const DeployInputs *inputs;
    Value *values;          /* beside the configuration; NULL: none, or others are given */
    stead_machine *machine; /* for its kinds alone */
    const KindSet *kinds;
};

void deploy_tree_free(DeployTree *tree) {
    if (!tree)
        return;
    if (tree->machine)
        stead_machine_close(tree->machine);
    if (tree->scratch)
        disk_remove_tree(tree->scratch);
    value_unref(tree->values);
    g_free(tree->scratch);
    g_free(tree->directory);
    g_free(tree->shown);
    g_free(tree);
}

bool deploy_inputs_read(DeployInputs *inputs, const Arguments *arguments, GError **error) {
    inputs->values_file = arguments->values;
    if (arguments->values && !(inputs->values = lang_load_values(arguments->values, error)))
        return false;
    return !arguments->secrets || (inputs->secrets = lang_load_values(arguments->secrets, error));
}

void deploy_inputs_clear(DeployInputs *inputs) {
    g_clear_pointer(&inputs->values, value_unref);
    g_clear_pointer(&inputs->secrets, value_unref);
}

/* What people know is the directory they named. */
static char *as_shown(const DeployTree *tree, const char *text) {
    g_autoptr(GString) out = g_string_new(text);
    g_string_replace(out, tree->directory, tree->shown, 0);
    return g_strdup(out->str);
}

/* As an agent takes them that was given no others. */
static bool read_values(DeployTree *tree, GError **error) {
    g_autofree char *path = g_build_filename(tree->directory, BUNDLE_VALUES, NULL);
    g_autoptr(GError) problem = NULL;
    if (tree->inputs->values || !g_file_test(path, G_FILE_TEST_EXISTS) ||
        (tree->values = lang_load_values(path, &problem)))
        return true;
    g_autofree char *message = as_shown(tree, problem->message);
    g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_CONFIG, message);
    return false;
}

DeployTree *deploy_tree_new(const Bundle *bundle, const char *shown, const DeployInputs *inputs,
                            GError **error) {
    g_autoptr(DeployTree) tree = g_new0(DeployTree, 1);
    g_autoptr(GError) problem = NULL;
    stead_machine_options options = { .size = sizeof options };
    tree->shown = g_strdup(shown);
    tree->inputs = inputs;
    tree->scratch = g_dir_make_tmp("stead-deploy-XXXXXX", &problem);
    if (!tree->scratch) {
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_IO, problem->message);
        return NULL;
    }
    tree->directory = g_build_filename(tree->scratch, "bundle", NULL);
    g_autofree char *main = g_build_filename(tree->directory, BUNDLE_MAIN, NULL);
    if (!bundle_unpack(bundle, tree->directory, true, error) || !read_values(tree, error) ||
        !(tree->machine = machine_new(&options, error)) ||
        !(tree->kinds = machine_kinds(tree->machine, main, error)))
        return NULL;
    return g_steal_pointer(&tree);
}

/* --- evaluating */

/* A path into the bundle stands for what is there. */
static char *content_of(const DeployTree *tree, const char *text) {
    size_t length = strlen(tree->directory);
    if (strncmp(text, tree->directory, length) != 0)
        return as_shown(tree, text);
    char hex[DIGEST_HEX_SIZE] = "";
    g_autofree char *bytes = NULL;
    size_t size;
    if (g_file_get_contents(text, &bytes, &size, NULL))
        digest_bytes(bytes, size, hex);
    return g_strconcat(text + length, *hex ? " sha256:" : "", hex, NULL);
}

/* value without the place where this bundle happens to lie. */
static Value *placeless(const DeployTree *tree, const Value *value) {
    Value *copy = NULL;
    switch (value_type(value)) {
    case VALUE_STRING:
        if (strstr(value_string(value), tree->directory)) {
            g_autofree char *text = content_of(tree, value_string(value));
            return value_new_string(text);
        }
        return value_ref(value);
    case VALUE_LIST:
        copy = value_new_list();
        for (size_t i = 0; i < value_size(value); i++)
            value_list_append(copy, placeless(tree, value_list_at(value, i)));
        return copy;
    case VALUE_MAP:
        copy = value_new_map();
        for (size_t i = 0; i < value_size(value); i++) {
            const char *key;
            const Value *member = value_map_at(value, i, &key);
            value_map_set(copy, key, placeless(tree, member));
        }
        return copy;
    case VALUE_NIL:
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_FLOAT:
    case VALUE_UNKNOWN:
        break;
    }
    return value_ref(value);
}

static Value *view_of(const char *host, const Value *labels) {
    Value *view = value_new_map();
    value_map_set(view, "host", value_new_string(host));
    value_map_set(view, "labels", labels ? value_ref(labels) : value_new_map());
    return view;
}

static Value *resources_of(const DeployTree *tree, const Graph *graph) {
    Value *map = value_new_map();
    for (unsigned i = 0; i < graph_size(graph); i++) {
        g_autofree char *key = resource_show(graph_resource(graph, i));
        g_autoptr(Value) value = resource_to_value(graph_resource(graph, i));
        value_map_set(map, key, placeless(tree, value));
    }
    return map;
}

Value *deploy_tree_evaluate(DeployTree *tree, const char *host, const Value *facts,
                            const Value *labels, GPtrArray *problems) {
    g_auto(LangResult) result = { 0 };
    g_autoptr(Value) view = view_of(host, labels);
    g_autofree char *main = g_build_filename(tree->directory, BUNDLE_MAIN, NULL);
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    LangInputs inputs = { .kinds = tree->kinds,
                          .values = tree->values ? tree->values : tree->inputs->values,
                          .values_file = tree->values ? BUNDLE_VALUES : tree->inputs->values_file,
                          .secrets = tree->inputs->secrets,
                          .facts = facts,
                          .any_secret = true,
                          .exchange = view,
                          .wall_now = (uint64_t)g_get_real_time() };
    if (lang_load(main, &inputs, &result, found))
        return resources_of(tree, result.graph);
    for (unsigned i = 0; i < found->len; i++) {
        const GError *problem = found->pdata[i];
        g_autofree char *message = as_shown(tree, problem->message);
        g_ptr_array_add(problems, g_error_new_literal(problem->domain, problem->code, message));
    }
    return NULL;
}
