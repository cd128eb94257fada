/* Puppet catalogs with the real kinds: test/puppet/graphs/NAME.json and its graph and warnings in
 * NAME.graph, test/puppet/errors/NAME.json and its messages in NAME.err. With STEAD_UPDATE=1 in the
 * environment the expected files are written instead. Here, because lang knows no kinds. */
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text-diff.h"
#include "kinds/kinds.h"
#include "lang/lang.h"
#include "lang/puppet-types.h"

static char *read_text(const char *path) {
    char *text = NULL;
    (void)g_file_get_contents(path, &text, NULL, NULL);
    return text;
}

static void compare(const char *path, const char *found) {
    g_autoptr(GError) error = NULL;
    if (g_strcmp0(g_getenv("STEAD_UPDATE"), "1") == 0) {
        g_file_set_contents(path, found, -1, &error);
        g_assert_no_error(error);
        return;
    }
    g_autofree char *expected = read_text(path);
    if (g_strcmp0(found, expected) == 0)
        return;
    g_autofree char *difference = text_diff(
        expected ? expected : "", expected ? strlen(expected) : 0, found, strlen(found), 3);
    g_error("%s differs:\n%s", path, difference);
}

static char *sibling(const char *path, const char *suffix) {
    g_assert_true(g_str_has_suffix(path, ".json"));
    g_autofree char *stem = g_strndup(path, strlen(path) - strlen(".json"));
    return g_strconcat(stem, suffix, NULL);
}

/* Loads path by its name alone, from its directory, so that messages say nothing of where the tree
 * is. */
static bool load(const char *path, LangResult *result, GPtrArray *problems) {
    const LangInputs inputs = { .kinds = &builtin_kinds };
    g_autofree char *directory = g_path_get_dirname(path), *name = g_path_get_basename(path);
    g_assert_cmpint(chdir(directory), ==, 0);
    return lang_load(name, &inputs, result, problems);
}

static void check_graph(gconstpointer data) {
    g_auto(LangResult) result = { 0 };
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    bool fine = load(data, &result, problems);
    for (unsigned i = 0; i < problems->len; i++)
        g_test_message("%s", ((const GError *)g_ptr_array_index(problems, i))->message);
    g_assert_true(fine);
    g_autoptr(Value) map = value_new_map();
    Value *warnings = value_new_list();
    for (unsigned i = 0; i < result.warnings->len; i++)
        value_list_append(warnings, value_new_string(g_ptr_array_index(result.warnings, i)));
    value_map_set(map, "graph", graph_to_value(result.graph));
    value_map_set(map, "warnings", warnings);
    g_autofree char *shown = json_print(map, JSON_INDENT);
    g_autofree char *text = g_strconcat(shown, "\n", NULL);
    g_autofree char *expected = sibling(data, ".graph");
    g_assert_null(strstr(text, "geheim")); /* what catalogs of this directory call Sensitive */
    compare(expected, text);
}

static void check_errors(gconstpointer data) {
    g_auto(LangResult) result = { 0 };
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_assert_false(load(data, &result, problems));
    g_autoptr(GString) text = g_string_new(NULL);
    for (unsigned i = 0; i < problems->len; i++)
        g_string_append_printf(text, "%s\n",
                               ((const GError *)g_ptr_array_index(problems, i))->message);
    g_autofree char *expected = sibling(data, ".err");
    g_assert_null(strstr(text->str, "geheim"));
    g_assert_null(strchr(text->str, '\x1b'));
    compare(expected, text->str);
}

/* Rows that name no parameter of a kind could never work. A kind that is not there yet is none of
 * this program: its types are refused as a whole. */
static void check_row(const PuppetType *type, const PuppetParam *row) {
    const Kind *kind = kind_set_find(&builtin_kinds, type->kind);
    bool is_meta = row->convert == puppet_exec_seconds;
    bool is_refusal = row->convert == puppet_refuse;
    if (kind && row->param && !is_meta && kind_param_index(kind, row->param) < 0)
        g_error("%s.%s: kind '%s' has no parameter '%s'", type->name, row->name, type->kind,
                row->param);
    if (is_refusal && !row->text)
        g_error("%s.%s is refused without a reason", type->name, row->name);
}

static void check_table(void) {
    for (unsigned i = 0; i < puppet_types_count; i++) {
        const PuppetType *type = &puppet_types[i];
        g_assert_true(i == 0 || strcmp(puppet_types[i - 1].name, type->name) < 0);
        g_assert_true(!type->kind || type->namevar);
        bool has_namevar = false;
        for (unsigned k = 0; k < type->n_params; k++) {
            check_row(type, &type->params[k]);
            has_namevar |= strcmp(type->params[k].name, type->namevar) == 0;
        }
        g_assert_true(has_namevar || !type->kind);
    }
}

/* Everything in the tables stands in the documentation. */
static void check_documentation(gconstpointer root) {
    g_autofree char *path = g_build_filename(root, "..", "..", "doc", "puppet.md", NULL);
    g_autofree char *text = read_text(path);
    g_assert_nonnull(text);
    for (unsigned i = 0; i < puppet_types_count; i++) {
        const PuppetType *type = &puppet_types[i];
        g_autofree char *heading = g_strdup_printf("`%s`", type->name);
        const char *section = strstr(text, heading);
        if (!section)
            g_error("doc/puppet.md does not have %s", heading);
        for (unsigned k = 0; k < type->n_params; k++) {
            g_autofree char *word = g_strdup_printf("`%s`", type->params[k].name);
            if (!strstr(text, word))
                g_error("doc/puppet.md does not have %s of %s", word, heading);
        }
    }
}

static unsigned add_tests(GPtrArray *paths, const char *root, const char *name,
                          void (*check)(gconstpointer)) {
    g_autofree char *directory = g_build_filename(root, name, NULL);
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    const char *file;
    unsigned count = 0;
    while (dir && (file = g_dir_read_name(dir))) {
        if (!g_str_has_suffix(file, ".json"))
            continue;
        char *path = g_build_filename(directory, file, NULL);
        g_autofree char *test = g_strdup_printf("/puppet/%s/%s", name, file);
        g_ptr_array_add(paths, path);
        g_test_add_data_func(test, path, check);
        count++;
    }
    return count;
}

/* A directory that was not found must not pass for success. */
static void check_counts(gconstpointer data) {
    const unsigned *counts = data;
    g_assert_cmpuint(counts[0], >=, 7);
    g_assert_cmpuint(counts[1], >=, 18);
}

int main(int argc, char **argv) {
    static const char root[] = STEAD_TEST_DATA "/puppet";
    unsigned counts[2];
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    counts[0] = add_tests(paths, root, "graphs", check_graph);
    counts[1] = add_tests(paths, root, "errors", check_errors);
    g_test_add_data_func("/puppet/counts", counts, check_counts);
    g_test_add_func("/puppet/table", check_table);
    g_test_add_data_func("/puppet/documentation", root, check_documentation);
    return g_test_run();
}
