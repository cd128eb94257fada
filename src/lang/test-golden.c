/* test/lang/errors/NAME.lua.in, .yaml.in, .tmpl.in and the messages they give in NAME.*.err;
 * test/lang/graphs/NAME.lua, .yaml and their graphs in NAME.*.json. With STEAD_UPDATE=1 in the
 * environment the expected files are written instead.
 *
 * An input may begin with lines `-- test: KEY VALUE` (or `# test:`): instructions N, memory N,
 * file NAME TEXT (with \n), values JSON, facts JSON, secrets JSON. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text-diff.h"
#include "lang/test-kinds.h"

typedef struct {
    LangInputs inputs;
    GPtrArray *more; /* names and texts of further files */
    Value *values, *facts, *secrets;
} Settings;

static char *read_file(const char *path) {
    char *text = NULL;
    (void)g_file_get_contents(path, &text, NULL, NULL);
    return text;
}

static Value *parse(const char *json) {
    g_autoptr(GError) error = NULL;
    Value *value = json_parse(json, strlen(json), "test", &error);
    g_assert_no_error(error);
    return value;
}

static void set(Settings *settings, const char *key, char *value) {
    if (strcmp(key, "instructions") == 0) {
        settings->inputs.max_instructions = g_ascii_strtoull(value, NULL, 10);
    } else if (strcmp(key, "memory") == 0) {
        settings->inputs.max_memory = g_ascii_strtoull(value, NULL, 10);
    } else if (strcmp(key, "values") == 0) {
        settings->inputs.values = settings->values = parse(value);
    } else if (strcmp(key, "facts") == 0) {
        settings->inputs.facts = settings->facts = parse(value);
    } else if (strcmp(key, "secrets") == 0) {
        settings->inputs.secrets = settings->secrets = parse(value);
    } else if (strcmp(key, "file") == 0) {
        char *space = strchr(value, ' ');
        g_assert_nonnull(space);
        g_ptr_array_add(settings->more, g_strndup(value, (size_t)(space - value)));
        g_ptr_array_add(settings->more, g_strcompress(space + 1));
    } else {
        g_error("no such test setting '%s'", key);
    }
}

static Settings *read_settings(const char *text) {
    Settings *settings = g_new0(Settings, 1);
    settings->inputs.kinds = &test_kinds;
    settings->inputs.wall_now = 1790000000ull * G_USEC_PER_SEC;
    settings->more = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        const char *at = strstr(lines[i], " test: ");
        if (!at || at > lines[i] + 2)
            break;
        g_auto(GStrv) words = g_strsplit(at + strlen(" test: "), " ", 2);
        set(settings, words[0], words[1]);
    }
    g_ptr_array_add(settings->more, NULL);
    return settings;
}

static void settings_free(Settings *settings) {
    g_ptr_array_unref(settings->more);
    value_unref(settings->values);
    value_unref(settings->facts);
    value_unref(settings->secrets);
    g_free(settings);
}

static void compare(const char *path, const char *found) {
    g_autoptr(GError) error = NULL;
    if (g_strcmp0(g_getenv("STEAD_UPDATE"), "1") == 0) {
        g_file_set_contents(path, found, -1, &error);
        g_assert_no_error(error);
        return;
    }
    g_autofree char *expected = read_file(path);
    if (g_strcmp0(found, expected) == 0)
        return;
    g_autofree char *difference = text_diff(
        expected ? expected : "", expected ? strlen(expected) : 0, found, strlen(found), 3);
    g_error("%s differs:\n%s", path, difference);
}

static char *expected_path(const char *path, const char *suffix, const char *by) {
    g_assert_true(g_str_has_suffix(path, suffix));
    g_autofree char *stem = g_strndup(path, strlen(path) - strlen(suffix));
    return g_strconcat(stem, by, NULL);
}

static char *template_error(const char *text) {
    g_autoptr(GError) error = NULL;
    g_autofree char *rendered = lang_render(text, strlen(text), "page.tmpl", NULL, NULL, &error);
    g_assert_null(rendered);
    g_assert_nonnull(error);
    return g_strconcat(error->message, "\n", NULL);
}

static void check_error(gconstpointer data) {
    const char *path = data;
    g_autofree char *text = read_file(path);
    g_autofree char *expected = expected_path(path, ".in", ".err");
    if (g_str_has_suffix(path, ".tmpl.in")) {
        g_autofree char *message = template_error(text);
        compare(expected, message);
        return;
    }
    Settings *settings = read_settings(text);
    g_autoptr(TestRun) run =
        test_run(g_str_has_suffix(path, ".lua.in") ? "site.lua" : "graph.yaml", text,
                 &settings->inputs, (const char *const *)settings->more->pdata);
    settings_free(settings);
    g_assert_false(run->fine);
    compare(expected, run->messages);
}

/* Graph, what was read, warnings. */
static char *show_result(const TestRun *run) {
    g_autoptr(Value) map = value_new_map();
    Value *warnings = value_new_list();
    for (unsigned i = 0; i < run->result.warnings->len; i++)
        value_list_append(warnings, value_new_string(run->result.warnings->pdata[i]));
    value_map_set(map, "graph", graph_to_value(run->result.graph));
    value_map_set(map, "reads", value_ref(run->result.reads));
    value_map_set(map, "warnings", warnings);
    value_map_set(map, "next_change", value_new_int((int64_t)run->result.next_change));
    g_autofree char *text = json_print(map, JSON_INDENT);
    return g_strconcat(text, "\n", NULL);
}

static void check_graph(gconstpointer data) {
    const char *path = data;
    bool is_lua = g_str_has_suffix(path, ".lua");
    g_autofree char *text = read_file(path);
    g_autofree char *expected =
        expected_path(path, is_lua ? ".lua" : ".yaml", is_lua ? ".lua.json" : ".yaml.json");
    Settings *settings = read_settings(text);
    g_autoptr(TestRun) run = test_run(is_lua ? "site.lua" : "graph.yaml", text, &settings->inputs,
                                      (const char *const *)settings->more->pdata);
    settings_free(settings);
    g_assert_cmpstr(run->messages, ==, "");
    g_autofree char *shown = show_result(run);
    compare(expected, shown);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static unsigned add_tests(GPtrArray *paths, const char *directory, const char *const *suffixes,
                          void (*check)(gconstpointer)) {
    g_autofree char *dir_path = test_data_path(directory);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(dir_path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir)))
        for (unsigned i = 0; suffixes[i]; i++)
            if (g_str_has_suffix(name, suffixes[i]))
                g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    for (unsigned i = 0; i < names->len; i++) {
        const char *file = g_ptr_array_index(names, i);
        char *path = g_build_filename(dir_path, file, NULL);
        g_ptr_array_add(paths, path);
        g_autofree char *test = g_strdup_printf("/lang/%s/%s", directory, file);
        g_test_add_data_func(test, path, check);
    }
    return names->len;
}

/* A directory that was not found must not pass for success. */
static void check_counts(gconstpointer data) {
    const unsigned *counts = data;
    g_assert_cmpuint(counts[0], >=, 60);
    g_assert_cmpuint(counts[1], >=, 8);
}

int main(int argc, char **argv) {
    static const char *const inputs[] = { ".lua.in", ".yaml.in", ".tmpl.in", NULL };
    static const char *const graphs[] = { ".lua", ".yaml", NULL };
    unsigned counts[2];
    g_test_init(&argc, &argv, NULL);
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    counts[0] = add_tests(paths, "errors", inputs, check_error);
    counts[1] = add_tests(paths, "graphs", graphs, check_graph);
    g_test_add_data_func("/lang/counts", counts, check_counts);
    int result = g_test_run();
    g_ptr_array_unref(paths);
    return result;
}
