#include "lang/test-kinds.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "graph/autoedge.h"

/* Kinds */

static const char *const file_states[] = { "exists", "absent", NULL };
static const char *const svc_states[] = { "running", "stopped", NULL };
static const char *const pkg_states[] = { "installed", "absent", "newest", NULL };

static const Param file_params[] = {
    { "path", PARAM_PATH, PARAM_NAMED, "Where it is." },
    { "state", PARAM_ENUM, PARAM_PROPERTY, "Whether it is there.", "exists", file_states },
    { "content", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES, "Its content." },
    { "mode", PARAM_MODE, PARAM_PROPERTY, "Permissions." },
    { "owner", PARAM_STRING, PARAM_PROPERTY, "User." },
    { "recurse", PARAM_BOOL, 0, "Everything below it." },
    { "source", PARAM_STRING, 0, "Where the content is." },
    { "force", PARAM_BOOL, 0, "Also when something else is there." },
};
enum { FILE_PATH, FILE_STATE, FILE_CONTENT };

static bool file_validate(const Resource *resource, GError **error) {
    const char *state = resource_string(resource, FILE_STATE);
    if (strcmp(state, "absent") != 0 || !resource_get(resource, FILE_CONTENT))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "an absent file cannot have content");
    return false;
}

static void file_auto_edges(const Resource *resource, AutoEdges *edges) {
    auto_edges_am(edges, "path", resource_string(resource, FILE_PATH));
    auto_edges_want_parent(edges, resource_string(resource, FILE_PATH));
}

static const Kind file = { .name = "file",
                           .summary = "a file",
                           .help = "",
                           .example = "",
                           .params = file_params,
                           .n_params = G_N_ELEMENTS(file_params),
                           .validate = file_validate,
                           .auto_edges = file_auto_edges };

static const Param exec_params[] = {
    { "cmd", PARAM_STRING, PARAM_NAMED, "What is run." },
    { "shell", PARAM_STRING, 0, "Shell." },
    { "onlyif", PARAM_STRING, 0, "Guard.", .aliases = "ifcmd" },
    { "ifshell", PARAM_STRING, 0, "Shell of the guard." },
    { "watchcmd", PARAM_STRING, 0, "What tells of changes." },
    { "watchshell", PARAM_STRING, 0, "Shell of that." },
    { "env", PARAM_MAP, 0, "Environment." },
    { "args", PARAM_STRINGS, 0, "Arguments." },
    { "limit_time", PARAM_DURATION, 0, "Time.", .unit = "s" },
};
static const Output exec_outputs[] = { { "stdout", PARAM_STRING, "Output." } };
static const Kind exec = { .name = "exec",
                           .summary = "a command",
                           .help = "",
                           .example = "",
                           .params = exec_params,
                           .n_params = G_N_ELEMENTS(exec_params),
                           .outputs = exec_outputs,
                           .n_outputs = G_N_ELEMENTS(exec_outputs) };

static const Param pkg_params[] = {
    { "state", PARAM_ENUM, PARAM_PROPERTY, "State.", "installed", pkg_states },
    { "version", PARAM_STRING, PARAM_PROPERTY, "Version." },
};
static const Kind pkg = { .name = "pkg",
                          .summary = "a package",
                          .help = "",
                          .example = "",
                          .params = pkg_params,
                          .n_params = G_N_ELEMENTS(pkg_params) };

static const Param svc_params[] = {
    { "state", PARAM_ENUM, PARAM_PROPERTY, "State.", NULL, svc_states },
    { "startup", PARAM_STRING, PARAM_PROPERTY, "At boot." },
    { "enabled", PARAM_BOOL, PARAM_PROPERTY, "At boot." },
    { "timeout", PARAM_DURATION, 0, "Patience.", .unit = "s" },
};
static const Kind svc = { .name = "svc",
                          .summary = "a service",
                          .help = "",
                          .example = "",
                          .params = svc_params,
                          .n_params = G_N_ELEMENTS(svc_params),
                          .flags = KIND_REFRESHES };

static const Param user_params[] = {
    { "uid", PARAM_INT, PARAM_PROPERTY, "Number." },
    { "groups", PARAM_STRINGS, PARAM_PROPERTY, "Groups." },
    { "shell", PARAM_PATH, PARAM_PROPERTY, "Shell." },
};
static const Kind user = { .name = "user",
                           .summary = "a user",
                           .help = "",
                           .example = "",
                           .params = user_params,
                           .n_params = G_N_ELEMENTS(user_params) };

static const Param value_params[] = {
    { "any", PARAM_ANY, PARAM_RECEIVES, "The value." },
    { "number", PARAM_INT, 0, "A number." },
    { "ratio", PARAM_FLOAT, 0, "A fraction." },
    { "must", PARAM_STRING, 0, "A text." },
};
static const Output value_outputs[] = { { "any", PARAM_ANY, "The value." } };
static const Kind value = { .name = "value",
                            .summary = "a value",
                            .help = "",
                            .example = "",
                            .params = value_params,
                            .n_params = G_N_ELEMENTS(value_params),
                            .outputs = value_outputs,
                            .n_outputs = G_N_ELEMENTS(value_outputs) };

static const Param noop_params[] = { { "comment", PARAM_STRING, 0, "Nothing." } };
static const Kind noop = { .name = "noop",
                           .summary = "nothing",
                           .help = "",
                           .example = "",
                           .params = noop_params,
                           .n_params = G_N_ELEMENTS(noop_params) };

static const Param timer_params[] = {
    { "interval", PARAM_DURATION, PARAM_REQUIRED, "Time between events.", .unit = "s" },
};
static const Kind timer = { .name = "timer",
                            .summary = "a timer",
                            .help = "",
                            .example = "",
                            .params = timer_params,
                            .n_params = G_N_ELEMENTS(timer_params) };
static const Kind http_server = { .name = "http:server",
                                  .summary = "a server",
                                  .help = "",
                                  .example = "",
                                  .params = noop_params,
                                  .n_params = G_N_ELEMENTS(noop_params) };

static const Kind *const kinds[] = { &exec, &file,  &http_server, &noop, &pkg,
                                     &svc,  &timer, &user,        &value };
const KindSet test_kinds = { kinds, G_N_ELEMENTS(kinds) };

/* Running */

static void write_file(const char *dir, const char *name, const char *text) {
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *parent = g_path_get_dirname(path);
    g_assert_cmpint(g_mkdir_with_parents(parent, 0700), ==, 0);
    g_autoptr(GError) error = NULL;
    g_file_set_contents(path, text, -1, &error);
    g_assert_no_error(error);
}

static void remove_tree(const char *path) {
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *inner = g_build_filename(path, name, NULL);
        remove_tree(inner);
    }
    if (dir)
        g_dir_close(dir);
    (void)g_remove(path); /* what stays behind is in the temporary directory */
}

static char *join_messages(const GPtrArray *problems) {
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < problems->len; i++) {
        const GError *error = g_ptr_array_index(problems, i);
        g_assert_true(error->domain == STEAD_ERROR);
        g_string_append_printf(text, "%s\n", error->message);
    }
    return g_string_free(text, FALSE);
}

TestRun *test_run(const char *name, const char *text, const LangInputs *inputs,
                  const char *const *more) {
    g_autofree char *dir = g_dir_make_tmp("stead-lang-XXXXXX", NULL);
    g_autofree char *before = g_get_current_dir();
    const LangInputs plain = { .kinds = &test_kinds };
    TestRun *run = g_new0(TestRun, 1);
    g_assert_nonnull(dir);
    write_file(dir, name, text);
    for (; more && more[0]; more += 2)
        write_file(dir, more[0], more[1]);
    run->problems = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    g_assert_cmpint(chdir(dir), ==, 0);
    run->fine = lang_load(name, inputs ? inputs : &plain, &run->result, run->problems);
    g_assert_cmpint(chdir(before), ==, 0);
    remove_tree(dir);
    run->messages = join_messages(run->problems);
    g_assert_cmpint(run->fine, ==, run->problems->len == 0);
    g_assert_cmpint(run->fine, ==, run->result.graph != NULL);
    return run;
}

TestRun *test_lua(const char *text) {
    return test_run("site.lua", text, NULL, NULL);
}

void test_run_free(TestRun *run) {
    lang_result_clear(&run->result);
    g_ptr_array_unref(run->problems);
    g_free(run->messages);
    g_free(run);
}

const Resource *test_find(const TestRun *run, const char *kind, const char *name) {
    g_assert_nonnull(run->result.graph);
    int vertex = graph_find(run->result.graph, kind, name);
    return vertex < 0 ? NULL : graph_resource(run->result.graph, (unsigned)vertex);
}

char *test_value_of(const TestRun *run, const char *name) {
    const Resource *resource = test_find(run, "value", name);
    const Value *any = resource ? resource_get(resource, 0) : NULL;
    return any ? json_print(any, JSON_COMPACT) : NULL;
}

void test_expect_value(const char *text, const char *json) {
    g_autoptr(TestRun) run = test_lua(text);
    g_assert_cmpstr(run->messages, ==, "");
    g_assert_cmpuint(graph_size(run->result.graph), ==, 1);
    g_autofree char *shown = test_value_of(run, graph_resource(run->result.graph, 0)->name);
    g_assert_cmpstr(shown, ==, json);
}

void test_expect_error(const char *text, const char *part) {
    g_autoptr(TestRun) run = test_lua(text);
    if (!strstr(run->messages, part))
        g_error("expected an error with\n  %s\nof\n  %s\nfound\n  %s", part, text, run->messages);
}

static int compare_strings(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *test_edges(const TestRun *run) {
    const Graph *graph = run->result.graph;
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < graph_edge_count(graph); i++) {
        const Edge *edge = graph_edge(graph, i);
        const Resource *from = graph_resource(graph, edge->from);
        const Resource *to = graph_resource(graph, edge->to);
        g_ptr_array_add(list, g_strdup_printf("%s %s>%s %s%s%s%s", from->kind->name, from->name,
                                              to->kind->name, to->name,
                                              edge->flags & EDGE_NOTIFY ? "!" : "",
                                              edge->flags & EDGE_AUTO ? "~" : "",
                                              edge->flags & EDGE_SEND ? "$" : ""));
    }
    g_ptr_array_sort(list, compare_strings);
    g_ptr_array_add(list, NULL);
    return g_strjoinv(" ", (char **)list->pdata);
}

char *test_data_path(const char *name) {
    return g_build_filename(STEAD_TEST_DATA, "lang", name, NULL);
}
