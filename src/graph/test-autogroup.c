#include "graph/test-kinds.h"

static unsigned pkg(Graph *graph, const char *name) {
    return test_add(graph, &test_pkg, name, graph_size(graph) + 1);
}

/* "a+b+c d" : members of each leader. */
static char *groups_text(const Graph *graph) {
    GString *text = g_string_new(NULL);
    for (unsigned v = 0; v < graph_size(graph); v++) {
        unsigned n;
        const unsigned *members = graph_members(graph, v, &n);
        g_assert_cmpuint(n > 0, ==, graph_leader(graph, v) == v);
        for (unsigned i = 0; i < n; i++) {
            g_assert_cmpuint(graph_leader(graph, members[i]), ==, v);
            const char *glue = i ? "+" : text->len ? " " : "";
            g_string_append_printf(text, "%s%s", glue, graph_resource(graph, members[i])->name);
        }
    }
    return g_string_free(text, FALSE);
}

static void assert_ordered(const Graph *graph) {
    g_autofree unsigned *place = g_new(unsigned, graph_size(graph));
    for (unsigned i = 0; i < graph_size(graph); i++)
        place[graph_order(graph)[i]] = i;
    for (unsigned i = 0; i < graph_edge_count(graph); i++)
        g_assert_cmpuint(place[graph_edge(graph, i)->from], <, place[graph_edge(graph, i)->to]);
}

static char *group(Graph *graph, unsigned n_expected) {
    test_seal(graph);
    g_assert_cmpuint(graph_auto_group(graph, NULL), ==, n_expected);
    assert_ordered(graph);
    return groups_text(graph);
}

static void test_merges_what_is_apart(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned a = pkg(graph, "a"), b = pkg(graph, "b"), c = pkg(graph, "c");
    unsigned before = test_add(graph, &test_file, "/before", 1);
    unsigned after = test_add(graph, &test_file, "/after", 1);
    test_edge(graph, before, b, 0);
    test_edge(graph, before, c, EDGE_NOTIFY);
    test_edge(graph, c, after, 0);
    test_edge(graph, a, after, EDGE_AUTO);
    g_autofree char *groups = group(graph, 2);
    g_assert_cmpstr(groups, ==, "a+b+c /before /after");
    /* Edges move to the leader, parallel ones become one: notify where any had it. */
    g_autofree char *edges = test_edges(graph);
    g_assert_cmpstr(edges, ==, "/before>a! a>/after");
    unsigned n;
    (void)graph_edges_in(graph, c, &n);
    g_assert_cmpuint(n, ==, 0);
    (void)graph_edges_out(graph, c, &n);
    g_assert_cmpuint(n, ==, 0);
    (void)graph_edges_in(graph, a, &n);
    g_assert_cmpuint(n, ==, 1);
}

static void test_refuses_when_reachable(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned a = pkg(graph, "a"), b = pkg(graph, "b");
    unsigned middle = test_add(graph, &test_file, "/m", 1);
    test_edge(graph, a, middle, 0);
    test_edge(graph, middle, b, 0);
    g_autofree char *groups = group(graph, 0);
    g_assert_cmpstr(groups, ==, "a b /m");

    g_autoptr(Graph) backwards = graph_new();
    a = pkg(backwards, "a"), b = pkg(backwards, "b");
    test_edge(backwards, b, a, 0);
    g_autofree char *others = group(backwards, 0);
    g_assert_cmpstr(others, ==, "a b");
}

/* a1 -> b1 and b2 -> a2: merging the as makes the bs reach one another through the group. */
static void test_refuses_through_groups(void) {
    g_autoptr(Graph) graph = graph_new();
    Resource *b1_resource = test_resource(&test_pkg, "b1", 2);
    Resource *b2_resource = test_resource(&test_pkg, "b2", 4);
    resource_put(b1_resource, PKG_STATE, value_new_string("newest"));
    resource_put(b2_resource, PKG_STATE, value_new_string("newest"));
    unsigned b1, b2, a1 = pkg(graph, "a1");
    g_assert_true(graph_add(graph, b1_resource, DUPLICATE_REFUSE, &b1, NULL));
    unsigned a2 = pkg(graph, "a2");
    g_assert_true(graph_add(graph, b2_resource, DUPLICATE_REFUSE, &b2, NULL));
    test_edge(graph, a1, b1, 0);
    test_edge(graph, b2, a2, 0);
    g_autofree char *groups = group(graph, 1);
    g_assert_cmpstr(groups, ==, "a1+a2 b1 b2");
}

static void test_joins_the_group_that_fits(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned a = pkg(graph, "a"), b = pkg(graph, "b");
    (void)pkg(graph, "c");
    unsigned d = pkg(graph, "d");
    test_edge(graph, a, b, 0);
    test_edge(graph, a, d, 0);
    g_autofree char *groups = group(graph, 2);
    g_assert_cmpstr(groups, ==, "a+c b+d");
}

static void add_changed(Graph *graph, const char *name, void (*change)(Resource *resource)) {
    Resource *resource = test_resource(&test_pkg, name, 1);
    change(resource);
    g_assert_true(graph_add(graph, resource, DUPLICATE_REFUSE, NULL, NULL));
}

static void pin(Resource *resource) {
    resource_put(resource, PKG_VERSION, value_new_string("1"));
}
static void opt_out(Resource *resource) {
    resource_own_meta(resource)->autogroup = false;
}
static void hide(Resource *resource) {
    resource_own_meta(resource)->hidden = true;
}
static void be_noop(Resource *resource) {
    resource_own_meta(resource)->noop = true;
}
static void guard(Resource *resource) {
    resource_own_meta(resource)->protect = true;
}

static void test_who_takes_part(void) {
    g_autoptr(Graph) graph = graph_new();
    add_changed(graph, "pinned", pin);
    add_changed(graph, "out", opt_out);
    add_changed(graph, "hidden", hide);
    add_changed(graph, "ghost", hide);
    add_changed(graph, "noop", be_noop); /* runs differently */
    (void)pkg(graph, "a");
    add_changed(graph, "guarded", guard); /* says nothing about how it runs */
    (void)test_add(graph, &test_file, "/f", 1);
    (void)test_add(graph, &test_file, "/g", 1); /* a kind without group_with */
    g_autofree char *groups = group(graph, 1);
    g_assert_cmpstr(groups, ==, "pinned out hidden ghost noop a+guarded /f /g");
}

static void test_declared_edges_stay(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned a = pkg(graph, "a"), b = pkg(graph, "b");
    unsigned f = test_add(graph, &test_file, "/f", 1);
    test_edge(graph, a, f, 0);
    test_edge(graph, b, f, 0);
    test_seal(graph);
    char before[DIGEST_HEX_SIZE], after[DIGEST_HEX_SIZE];
    graph_digest(graph, before);
    g_assert_cmpuint(graph_auto_group(graph, NULL), ==, 1);
    graph_digest(graph, after);
    g_assert_cmpstr(before, ==, after);
    g_autoptr(Value) value = graph_to_value(graph);
    g_assert_cmpuint(value_size(value_map_get(value, "edges")), ==, 2);
}

/* Random graphs: the order of the grouped graph exists (asserted inside and here), and two that
 * were not merged really could not be, as long as groups are few. */
static void test_random(void) {
    for (unsigned seed = 0; seed < 50; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        g_autoptr(Graph) graph = graph_new();
        unsigned n = (unsigned)g_rand_int_range(rand, 5, 80);
        for (unsigned i = 0; i < n; i++) {
            g_autofree char *name = g_strdup_printf("/%u", i);
            (void)test_add(graph, g_rand_boolean(rand) ? &test_pkg : &test_file, name, i);
        }
        for (unsigned i = 0; i < n; i++) {
            unsigned a = (unsigned)g_rand_int_range(rand, 0, (int)n);
            unsigned b = (unsigned)g_rand_int_range(rand, 0, (int)n);
            if (a != b)
                test_edge(graph, MIN(a, b), MAX(a, b), 0);
        }
        test_seal(graph);
        (void)graph_auto_group(graph, NULL); /* the number is random */
        assert_ordered(graph);
        g_autofree bool *reached = g_new0(bool, n *n);
        for (unsigned i = 0; i < n; i++) {
            unsigned from = graph_order(graph)[n - 1 - i], n_out;
            const unsigned *out = graph_edges_out(graph, from, &n_out);
            reached[from * n + from] = true;
            for (unsigned e = 0; e < n_out; e++) {
                unsigned to = graph_edge(graph, out[e])->to;
                for (unsigned v = 0; v < n; v++)
                    reached[from * n + v] |= reached[to * n + v];
            }
        }
        for (unsigned a = 0; a < n; a++) {
            for (unsigned b = 0; b < a; b++) {
                bool both = graph_resource(graph, a)->kind == &test_pkg &&
                            graph_resource(graph, b)->kind == &test_pkg &&
                            graph_leader(graph, a) == a && graph_leader(graph, b) == b;
                g_assert_true(!both || reached[a * n + b] || reached[b * n + a]);
            }
        }
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/autogroup/merges-what-is-apart", test_merges_what_is_apart);
    g_test_add_func("/autogroup/refuses-when-reachable", test_refuses_when_reachable);
    g_test_add_func("/autogroup/refuses-through-groups", test_refuses_through_groups);
    g_test_add_func("/autogroup/joins-the-group-that-fits", test_joins_the_group_that_fits);
    g_test_add_func("/autogroup/who-takes-part", test_who_takes_part);
    g_test_add_func("/autogroup/declared-edges-stay", test_declared_edges_stay);
    g_test_add_func("/autogroup/random", test_random);
    return g_test_run();
}
