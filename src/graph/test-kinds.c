#include "graph/test-kinds.h"

#include <string.h>

#include "graph/autoedge.h"

static const char *const file_states[] = { "exists", "absent", NULL };

static const Param file_params[] = {
    [FILE_PATH] = { "path", PARAM_PATH, PARAM_NAMED, .help = "Where." },
    [FILE_STATE] = { "state", PARAM_ENUM, PARAM_PROPERTY, .help = "Whether it exists.",
                     .fallback = "exists", .choices = file_states },
    [FILE_CONTENT] = { "content", PARAM_STRING, PARAM_PROPERTY | PARAM_RECEIVES,
                       .help = "What is in it.", .aliases = "body contents" },
    [FILE_MODE] = { "mode", PARAM_MODE, PARAM_PROPERTY, .help = "Permissions." },
    [FILE_OWNER] = { "owner", PARAM_STRING, PARAM_PROPERTY, .help = "User." },
    [FILE_RECURSE] = { "recurse", PARAM_BOOL, .help = "Everything below.", .fallback = "false" },
};

static bool file_validate(const Resource *resource, GError **error) {
    const char *state = resource_string(resource, FILE_STATE);
    if (!g_str_equal(state, "absent") || !resource_get(resource, FILE_CONTENT))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "an absent file has no content");
    return false;
}

static void file_auto_edges(const Resource *resource, AutoEdges *edges) {
    const char *path = resource_string(resource, FILE_PATH);
    auto_edges_am(edges, "path", path);
    auto_edges_want_parent(edges, path);
}

const Kind test_file = {
    .name = "file",
    .params = file_params,
    .n_params = G_N_ELEMENTS(file_params),
    .validate = file_validate,
    .auto_edges = file_auto_edges,
};

static const Param exec_params[] = {
    [RUN_CMD] = { "cmd", PARAM_STRING, PARAM_REQUIRED, .help = "What to run." },
    [RUN_TIMEOUT] = { "timeout", PARAM_DURATION, .help = "How long.", .unit = "s" },
    [RUN_ENV] = { "env", PARAM_MAP, .help = "Environment." },
};
static const Output exec_outputs[] = {
    { "stdout", PARAM_STRING, "What it printed." },
    { "status", PARAM_INT, "Its exit status." },
    { "lines", PARAM_STRINGS, "The same as lines." },
};
const Kind test_exec = {
    .name = "exec",
    .params = exec_params,
    .n_params = G_N_ELEMENTS(exec_params),
    .outputs = exec_outputs,
    .n_outputs = G_N_ELEMENTS(exec_outputs),
};

static const Param pkg_params[] = {
    [PKG_STATE] = { "state", PARAM_STRING, PARAM_PROPERTY, .help = "x", .fallback = "installed" },
    [PKG_VERSION] = { "version", PARAM_STRING, PARAM_PROPERTY, .help = "x" },
};
static bool pkg_group_with(const Resource *a, const Resource *b) {
    return g_str_equal(resource_string(a, PKG_STATE), resource_string(b, PKG_STATE)) &&
           !resource_get(a, PKG_VERSION) && !resource_get(b, PKG_VERSION);
}
const Kind test_pkg = {
    .name = "pkg",
    .params = pkg_params,
    .n_params = G_N_ELEMENTS(pkg_params),
    .group_with = pkg_group_with,
};

static const Param value_params[] = {
    [VALUE_ANY] = { "any", PARAM_ANY, PARAM_RECEIVES, .help = "x" },
    [VALUE_NUMBER] = { "number", PARAM_FLOAT, PARAM_RECEIVES, .help = "x" },
    [VALUE_TEXTS] = { "texts", PARAM_STRINGS, PARAM_RECEIVES, .help = "x" },
    [VALUE_PASSWORD] = { "password", PARAM_STRING, PARAM_SECRET | PARAM_PROPERTY, .help = "x" },
};
static const Output value_outputs[] = { { "any", PARAM_ANY, "The value." } };
const Kind test_value = {
    .name = "value",
    .params = value_params,
    .n_params = G_N_ELEMENTS(value_params),
    .outputs = value_outputs,
    .n_outputs = G_N_ELEMENTS(value_outputs),
};

static const Kind *const list[] = { &test_file, &test_exec, &test_pkg, &test_value };
const KindSet test_kinds = { list, G_N_ELEMENTS(list) };

Origin test_origin(unsigned line) {
    return (Origin){ .file = g_intern_static_string("a.lua"), .line = line };
}

GPtrArray *test_problems_new(void) {
    return g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
}

char *test_messages(const GPtrArray *problems) {
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < problems->len; i++)
        g_string_append_printf(text, "%s%s", i ? "\n" : "",
                               ((GError *)problems->pdata[i])->message);
    return g_string_free(text, FALSE);
}

Resource *test_resource(const Kind *kind, const char *name, unsigned line) {
    Resource *resource = resource_new(kind, name, test_origin(line));
    if (kind == &test_exec)
        resource_put(resource, RUN_CMD, value_new_string("true"));
    g_autoptr(GPtrArray) problems = test_problems_new();
    (void)resource_finish(resource, problems); /* shown by the assertion */
    g_autofree char *messages = test_messages(problems);
    g_assert_cmpstr(messages, ==, "");
    return resource;
}

unsigned test_add(Graph *graph, const Kind *kind, const char *name, unsigned line) {
    unsigned vertex;
    g_autoptr(GError) error = NULL;
    (void)graph_add(graph, test_resource(kind, name, line), DUPLICATE_REFUSE, &vertex, &error);
    g_assert_no_error(error);
    return vertex;
}

void test_edge(Graph *graph, unsigned from, unsigned to, EdgeFlags flags) {
    graph_add_edge(graph, from, to, flags, test_origin(100 + to));
}

void test_seal(Graph *graph) {
    g_autoptr(GPtrArray) problems = test_problems_new();
    (void)graph_seal(graph, problems); /* shown by the assertion */
    g_autofree char *messages = test_messages(problems);
    g_assert_cmpstr(messages, ==, "");
}

static int compare_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *test_edges(const Graph *graph) {
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < graph_edge_count(graph); i++) {
        const Edge *edge = graph_edge(graph, i);
        g_ptr_array_add(
            texts, g_strdup_printf(
                       "%s>%s%s%s%s", graph_resource(graph, edge->from)->name,
                       graph_resource(graph, edge->to)->name, edge->flags & EDGE_NOTIFY ? "!" : "",
                       edge->flags & EDGE_AUTO ? "~" : "", edge->flags & EDGE_SEND ? "$" : ""));
    }
    g_ptr_array_sort(texts, compare_text);
    g_ptr_array_add(texts, NULL);
    return g_strjoinv(" ", (char **)texts->pdata);
}
