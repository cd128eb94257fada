#include <string.h>

#include "graph/test-kinds.h"

/* --- duplicates and names */

static char *add_error(Graph *graph, Resource *resource, DuplicateRule rule) {
    g_autoptr(GError) error = NULL;
    if (graph_add(graph, resource, rule, NULL, &error))
        return g_strdup("added");
    return g_strdup(error->message);
}

static void test_duplicate_is_refused(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)test_add(graph, &test_file, "/x", 2);
    (void)test_add(graph, &test_pkg, "/x", 3); /* another kind: another thing */
    g_autofree char *error = add_error(graph, test_resource(&test_file, "/x", 9), DUPLICATE_REFUSE);
    g_assert_cmpstr(error, ==, "a.lua:9: file '/x' is declared twice, first at a.lua:2");
    g_assert_cmpuint(graph_size(graph), ==, 2);

    Resource *nowhere = test_resource(&test_file, "/x", 9);
    nowhere->origin = (Origin){ 0 };
    g_autofree char *bare = add_error(graph, nowhere, DUPLICATE_REFUSE);
    g_assert_cmpstr(bare, ==, "file '/x' is declared twice, first at a.lua:2");
}

static void test_equal_ones_collapse(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned first = test_add(graph, &test_file, "/x", 2), again = 77;
    g_assert_true(
        graph_add(graph, test_resource(&test_file, "/x", 9), DUPLICATE_COLLAPSE, &again, NULL));
    g_assert_cmpuint(again, ==, first);
    g_assert_cmpuint(graph_size(graph), ==, 1);

    Resource *other = test_resource(&test_file, "/x", 9);
    resource_put(other, FILE_MODE, value_new_string("0600"));
    g_autofree char *error = add_error(graph, other, DUPLICATE_COLLAPSE);
    g_assert_cmpstr(error, ==,
                    "a.lua:9: file '/x' is declared twice with different parameters, "
                    "first at a.lua:2");
}

static Resource *hidden_file(const char *name, unsigned line) {
    Resource *resource = test_resource(&test_file, name, line);
    resource_own_meta(resource)->hidden = true;
    return resource;
}

static void test_hidden_may_repeat_a_name(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned hidden, second, visible;
    g_assert_true(graph_add(graph, hidden_file("/x", 1), DUPLICATE_REFUSE, &hidden, NULL));
    g_assert_cmpint(graph_find(graph, "file", "/x"), ==, (int)hidden);
    g_assert_true(graph_add(graph, hidden_file("/x", 2), DUPLICATE_REFUSE, &second, NULL));
    visible = test_add(graph, &test_file, "/x", 3);
    g_assert_true(graph_add(graph, hidden_file("/x", 4), DUPLICATE_REFUSE, NULL, NULL));
    g_assert_cmpuint(graph_size(graph), ==, 4);
    /* The name means the visible one. */
    g_assert_cmpint(graph_find(graph, "file", "/x"), ==, (int)visible);
    g_autofree char *error = add_error(graph, test_resource(&test_file, "/x", 9), DUPLICATE_REFUSE);
    g_assert_cmpstr(error, ==, "a.lua:9: file '/x' is declared twice, first at a.lua:3");
}

static void test_find(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned x = test_add(graph, &test_file, "/x", 1);
    g_assert_cmpint(graph_find(graph, "file", "/x"), ==, (int)x);
    g_assert_cmpint(graph_find(graph, "file", "/y"), ==, -1);
    g_assert_cmpint(graph_find(graph, "pkg", "/x"), ==, -1);
    g_assert_cmpstr(graph_resource(graph, x)->name, ==, "/x");
}

/* --- edges */

static void test_later_parallel_edge_wins(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned a = test_add(graph, &test_file, "/a", 1), b = test_add(graph, &test_file, "/b", 2);
    unsigned c = test_add(graph, &test_file, "/c", 3);
    test_edge(graph, a, b, EDGE_NOTIFY);
    test_edge(graph, a, c, 0);
    test_edge(graph, b, c, EDGE_NOTIFY);
    test_edge(graph, a, b, 0);
    test_edge(graph, a, c, EDGE_NOTIFY);
    test_seal(graph);
    g_autofree char *edges = test_edges(graph);
    g_assert_cmpstr(edges, ==, "/a>/b /a>/c! /b>/c!");
}

static void test_edge_lists(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned a = test_add(graph, &test_file, "/a", 1), b = test_add(graph, &test_file, "/b", 2);
    unsigned c = test_add(graph, &test_file, "/c", 3), d = test_add(graph, &test_file, "/d", 4);
    test_edge(graph, c, a, 0);
    test_edge(graph, b, a, 0);
    test_edge(graph, d, c, 0);
    test_edge(graph, b, c, 0); /* more edges out of b than into a */
    test_edge(graph, b, d, 0);
    g_assert_true(graph_has_edge(graph, b, a));
    g_assert_false(graph_has_edge(graph, a, b));
    test_seal(graph);
    g_assert_true(graph_has_edge(graph, b, a));
    g_assert_false(graph_has_edge(graph, a, b));
    unsigned n;
    const unsigned *in = graph_edges_in(graph, a, &n);
    g_assert_cmpuint(n, ==, 2);
    g_assert_cmpuint(graph_edge(graph, in[0])->from, ==, b);
    g_assert_cmpuint(graph_edge(graph, in[1])->from, ==, c);
    const unsigned *out = graph_edges_out(graph, d, &n);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpuint(graph_edge(graph, out[0])->to, ==, c);
    (void)graph_edges_out(graph, a, &n);
    g_assert_cmpuint(n, ==, 0);
    /* Alone in its group. */
    g_assert_cmpuint(graph_leader(graph, c), ==, c);
    const unsigned *members = graph_members(graph, c, &n);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpuint(members[0], ==, c);
}

/* --- order */

static char *order_text(const Graph *graph) {
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < graph_size(graph); i++)
        g_string_append(text, graph_resource(graph, graph_order(graph)[i])->name);
    return g_string_free(text, FALSE);
}

static void test_order_keeps_declaration(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned v[5];
    const char *names[] = { "/a", "/b", "/c", "/d", "/e" };
    for (unsigned i = 0; i < 5; i++)
        v[i] = test_add(graph, &test_file, names[i], i);
    test_edge(graph, v[3], v[1], 0); /* b needs d */
    test_edge(graph, v[4], v[0], 0); /* a needs e */
    test_seal(graph);
    g_autofree char *order = order_text(graph);
    g_assert_cmpstr(order, ==, "/c/d/b/e/a");
}

static void test_order_of_many(void) {
    enum { N = 10000 };
    g_autoptr(Graph) graph = graph_new();
    for (unsigned i = 0; i < N; i++) {
        g_autofree char *name = g_strdup_printf("/%u", i);
        (void)test_add(graph, &test_file, name, i);
    }
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    g_autofree unsigned *rank = g_new(unsigned, N);
    for (unsigned i = 0; i < N; i++)
        rank[i] = i * 7919u % N; /* a permutation: edges go up in it */
    for (unsigned i = 0; i < 3 * N; i++) {
        unsigned a = (unsigned)g_rand_int_range(rand, 0, N);
        unsigned b = (unsigned)g_rand_int_range(rand, 0, N);
        if (a != b)
            test_edge(graph, rank[a] < rank[b] ? a : b, rank[a] < rank[b] ? b : a, 0);
    }
    test_seal(graph);
    g_autofree unsigned *place = g_new(unsigned, N);
    g_autofree bool *seen = g_new0(bool, N);
    for (unsigned i = 0; i < N; i++) {
        place[graph_order(graph)[i]] = i;
        seen[graph_order(graph)[i]] = true;
    }
    for (unsigned i = 0; i < N; i++)
        g_assert_true(seen[i]);
    for (unsigned i = 0; i < graph_edge_count(graph); i++)
        g_assert_cmpuint(place[graph_edge(graph, i)->from], <, place[graph_edge(graph, i)->to]);
}

static void test_empty(void) {
    g_autoptr(Graph) graph = graph_new();
    test_seal(graph);
    g_assert_cmpuint(graph_size(graph), ==, 0);
    g_assert_cmpuint(graph_edge_count(graph), ==, 0);
    g_assert_cmpuint(graph_auto_group(graph, NULL), ==, 0);
}

/* --- cycles */

static char *seal_error(Graph *graph) {
    g_autoptr(GPtrArray) problems = test_problems_new();
    g_assert_false(graph_seal(graph, problems));
    g_assert_true(g_error_matches(problems->pdata[0], STEAD_ERROR, STEAD_ERROR_CONFIG));
    return test_messages(problems);
}

static void test_cycle(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned tail = test_add(graph, &test_file, "/tail", 5); /* waits, but is not in it */
    unsigned a = test_add(graph, &test_file, "/a", 1), b = test_add(graph, &test_file, "/b", 2);
    unsigned c = test_add(graph, &test_file, "/c", 3), d = test_add(graph, &test_file, "/d", 4);
    test_edge(graph, c, tail, 0);
    test_edge(graph, b, a, 0);
    test_edge(graph, c, b, EDGE_AUTO);
    test_edge(graph, a, c, EDGE_NOTIFY);
    test_edge(graph, d, c, 0); /* a longer way round does not show */
    test_edge(graph, a, d, 0);
    g_autofree char *error = seal_error(graph);
    g_assert_cmpstr(error, ==,
                    "dependency cycle of 3:\n"
                    "  a.lua:101: file '/a' needs file '/b'\n"
                    "  a.lua:102: file '/b' needs file '/c' (found automatically)\n"
                    "  a.lua:103: file '/c' listens to file '/a'\n"
                    "  autoedge = false on a resource drops its automatic edges");
}

static void test_cycle_of_one(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned a = test_add(graph, &test_file, "/a", 1);
    graph_add_edge(graph, a, a, 0, (Origin){ 0 });
    g_autofree char *error = seal_error(graph);
    g_assert_cmpstr(error, ==, "dependency cycle of 1:\n  a.lua:1: file '/a' needs file '/a'");
}

static void test_long_cycle_is_cut(void) {
    g_autoptr(Graph) graph = graph_new();
    for (unsigned i = 0; i < 50; i++) {
        g_autofree char *name = g_strdup_printf("/%u", i);
        (void)test_add(graph, &test_file, name, i);
    }
    for (unsigned i = 0; i < 50; i++)
        test_edge(graph, i, (i + 1) % 50, 0);
    g_autofree char *error = seal_error(graph);
    g_assert_true(g_str_has_prefix(error, "dependency cycle of 50:\n  a.lua:100: file '/0' needs "
                                          "file '/49'\n"));
    g_assert_true(g_str_has_suffix(error, "\n  ... and 30 more"));
}

/* --- receives */

static Resource *receiver(const Kind *kind, const char *param, const char *from_kind,
                          const char *from, const char *output) {
    Resource *resource = test_resource(kind, "/r", 9);
    g_assert_true(resource_receive(resource, param, from_kind, from, output, NULL));
    return resource;
}

static char *receive_error(Resource *resource) {
    g_autoptr(Graph) graph = graph_new();
    (void)test_add(graph, &test_exec, "gen", 1);
    (void)test_add(graph, &test_pkg, "p", 1);
    (void)test_add(graph, &test_value, "v", 1);
    Resource *hidden = test_resource(&test_exec, "ghost", 1);
    resource_own_meta(hidden)->hidden = true;
    g_assert_true(graph_add(graph, hidden, DUPLICATE_REFUSE, NULL, NULL));
    g_assert_true(graph_add(graph, resource, DUPLICATE_REFUSE, NULL, NULL));
    g_autoptr(GPtrArray) problems = test_problems_new();
    return graph_seal(graph, problems) ? test_edges(graph) : test_messages(problems);
}

static void test_receive_errors(void) {
    const struct {
        const Kind *kind;
        const char *param, *from_kind, *from, *output, *expected;
    } cases[] = {
        { &test_file, "content", "exec", "gen", "stdout", "gen>/r$" },
        { &test_file, "content", "exec", "gen", "status", "gen>/r$" },
        { &test_file, "content", "value", "v", "any", "v>/r$" },
        { &test_value, "any", "exec", "gen", "lines", "gen>/r$" },
        { &test_value, "number", "exec", "gen", "status", "gen>/r$" },
        { &test_value, "texts", "exec", "gen", "stdout", "gen>/r$" },
        { &test_file, "content", "exec", "gem", "stdout",
          "a.lua:9: file '/r': parameter 'content': receives from exec 'gem', which is not "
          "declared, did you mean 'gen'?" },
        { &test_file, "content", "nope", "gen", "stdout",
          "a.lua:9: file '/r': parameter 'content': receives from nope 'gen', which is not "
          "declared" },
        { &test_file, "content", "exec", "gen", "stdot",
          "a.lua:9: file '/r': parameter 'content': exec has no output 'stdot', did you mean "
          "'stdout'?" },
        { &test_file, "content", "pkg", "p", "stdout",
          "a.lua:9: file '/r': parameter 'content': pkg has no outputs" },
        { &test_file, "content", "exec", "ghost", "stdout",
          "a.lua:9: file '/r': parameter 'content': receives from exec 'ghost', which is hidden: "
          "it never runs and so never sends" },
        { &test_file, "content", "exec", "gen", "lines",
          "a.lua:9: file '/r': parameter 'content': output 'lines' of exec 'gen' is of type list "
          "of strings, expected string" },
        { &test_value, "number", "exec", "gen", "stdout",
          "a.lua:9: value '/r': parameter 'number': output 'stdout' of exec 'gen' is of type "
          "string, expected number" },
        { &test_value, "any", "value", "/r", "any",
          "a.lua:9: value '/r': parameter 'any': cannot receive from itself" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *found = receive_error(receiver(
            cases[i].kind, cases[i].param, cases[i].from_kind, cases[i].from, cases[i].output));
        g_assert_cmpstr(found, ==, cases[i].expected);
    }
}

static void test_receive_keeps_notify(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned gen = test_add(graph, &test_exec, "gen", 1), vertex;
    g_assert_true(graph_add(graph, receiver(&test_file, "content", "exec", "gen", "stdout"),
                            DUPLICATE_REFUSE, &vertex, NULL));
    test_edge(graph, gen, vertex, EDGE_NOTIFY);
    test_seal(graph);
    g_autofree char *edges = test_edges(graph);
    g_assert_cmpstr(edges, ==, "gen>/r!$");
}

static void test_all_problems_are_reported(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned a = test_add(graph, &test_file, "/a", 1);
    Resource *lost = test_resource(&test_file, "/r", 9);
    g_assert_true(resource_receive(lost, "content", "exec", "x", "stdout", NULL));
    g_assert_true(graph_add(graph, lost, DUPLICATE_REFUSE, NULL, NULL));
    test_edge(graph, a, a, 0);
    g_autoptr(GPtrArray) problems = test_problems_new();
    g_assert_false(graph_seal(graph, problems));
    g_assert_cmpuint(problems->len, ==, 2);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/graph/duplicate-is-refused", test_duplicate_is_refused);
    g_test_add_func("/graph/equal-ones-collapse", test_equal_ones_collapse);
    g_test_add_func("/graph/hidden-may-repeat-a-name", test_hidden_may_repeat_a_name);
    g_test_add_func("/graph/find", test_find);
    g_test_add_func("/graph/later-parallel-edge-wins", test_later_parallel_edge_wins);
    g_test_add_func("/graph/edge-lists", test_edge_lists);
    g_test_add_func("/graph/order-keeps-declaration", test_order_keeps_declaration);
    g_test_add_func("/graph/order-of-many", test_order_of_many);
    g_test_add_func("/graph/empty", test_empty);
    g_test_add_func("/graph/cycle", test_cycle);
    g_test_add_func("/graph/cycle-of-one", test_cycle_of_one);
    g_test_add_func("/graph/long-cycle-is-cut", test_long_cycle_is_cut);
    g_test_add_func("/graph/receive-errors", test_receive_errors);
    g_test_add_func("/graph/receive-keeps-notify", test_receive_keeps_notify);
    g_test_add_func("/graph/all-problems-are-reported", test_all_problems_are_reported);
    return g_test_run();
}
