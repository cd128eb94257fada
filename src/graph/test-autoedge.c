#include "graph/autoedge.h"
#include "graph/test-kinds.h"

/* A kind that says what its name spells, one word after the other: "+type=text" am,
 * "<type=text" want before, ">type=text" want after, "?type=a|b" the first of a list, "@path=/a"
 * brings it. */
static void spell(const Resource *resource, AutoEdges *edges) {
    g_auto(GStrv) words = g_strsplit(resource->name, " ", -1);
    for (unsigned i = 0; words[i]; i++) {
        char *equals = strchr(words[i], '=');
        if (!equals)
            continue;
        *equals = 0;
        const char *type = words[i] + 1, *text = equals + 1;
        g_auto(GStrv) texts = g_strsplit(text, "|", -1);
        if (words[i][0] == '+')
            auto_edges_am(edges, type, text);
        else if (words[i][0] == '@')
            auto_edges_own(edges, text);
        else if (words[i][0] == '?')
            auto_edges_want_first(edges, type, texts, true);
        else
            auto_edges_want(edges, type, text, words[i][0] == '<');
    }
}

static const Kind spelled = { .name = "spelled", .auto_edges = spell };

static unsigned add(Graph *graph, const char *name) {
    return test_add(graph, &spelled, name, graph_size(graph) + 1);
}

static char *edges_of(Graph *graph, unsigned n_expected) {
    g_assert_cmpuint(graph_auto_edges(graph), ==, n_expected);
    test_seal(graph);
    return test_edges(graph);
}

static void test_nearest_parent(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)test_add(graph, &test_file, "/a/b/c/d", 1);
    (void)test_add(graph, &test_file, "/a/", 2); /* trailing slashes do not count */
    (void)test_add(graph, &test_file, "/a/b", 3);
    (void)test_add(graph, &test_file, "/ab/c", 4); /* no component below /a */
    (void)test_add(graph, &test_file, "/a/bc", 5);
    g_autofree char *edges = edges_of(graph, 3);
    g_assert_cmpstr(edges, ==, "/a/>/a/bc~ /a/>/a/b~ /a/b>/a/b/c/d~");
}

static void test_what_is_brought_comes_after(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)test_add(graph, &test_file, "/etc/n/d/x", 1);
    (void)add(graph, "n @path=/etc/n @path=/etc/n.conf");
    (void)test_add(graph, &test_file, "/etc/n/d/", 2); /* the parent counts as well */
    (void)test_add(graph, &test_file, "/etc/n.conf", 3);
    (void)test_add(graph, &test_file, "/etc/nn", 4);
    (void)add(graph, "late @path=/etc/n"); /* the first declared is meant */
    g_autofree char *edges = edges_of(graph, 4);
    g_assert_cmpstr(edges, ==,
                    "/etc/n/d/>/etc/n/d/x~ n @path=/etc/n @path=/etc/n.conf>/etc/n.conf~ "
                    "n @path=/etc/n @path=/etc/n.conf>/etc/n/d/x~ "
                    "n @path=/etc/n @path=/etc/n.conf>/etc/n/d/~");
}

static void test_what_is_brought_comes_before_its_use(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)add(graph, "use <path=/srv/app/bin/x");
    (void)add(graph, "own <path=/srv/app/seed"); /* somebody is that path, and he comes after */
    (void)add(graph, "after >path=/srv/app/y");
    (void)add(graph, "make @path=/srv/app");
    (void)test_add(graph, &test_file, "/srv/app/seed", 1);
    g_autofree char *edges = edges_of(graph, 3);
    g_assert_cmpstr(edges, ==,
                    "/srv/app/seed>own <path=/srv/app/seed~ make @path=/srv/app>/srv/app/seed~ "
                    "make @path=/srv/app>use <path=/srv/app/bin/x~");
}

/* A package that needs its file, over a detour or over another package, keeps its word. */
static void test_what_is_brought_makes_no_cycle(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned file = test_add(graph, &test_file, "/etc/p/seed", 1);
    unsigned middle = add(graph, "middle");
    unsigned p = add(graph, "p @path=/etc/p");
    test_edge(graph, file, middle, 0);
    test_edge(graph, middle, p, 0);
    g_assert_cmpuint(graph_auto_edges(graph), ==, 0);

    g_autoptr(Graph) crossed = graph_new();
    unsigned f = test_add(crossed, &test_file, "/etc/p/f", 1);
    unsigned g = test_add(crossed, &test_file, "/etc/q/g", 2);
    p = add(crossed, "p @path=/etc/p");
    unsigned q = add(crossed, "q @path=/etc/q");
    test_edge(crossed, f, q, 0);
    test_edge(crossed, g, p, 0);
    g_autofree char *edges = edges_of(crossed, 1);
    g_assert_nonnull(strstr(edges, "p @path=/etc/p>/etc/p/f~"));
}

static void test_root_is_a_parent(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)test_add(graph, &test_file, "/", 1);
    (void)test_add(graph, &test_file, "/etc", 2);
    (void)test_add(graph, &test_file, "/usr/lib/x", 3);
    g_autofree char *edges = edges_of(graph, 2);
    g_assert_cmpstr(edges, ==, "/>/etc~ />/usr/lib/x~");
}

static void test_directions(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)add(graph, "u +user=ada");
    (void)add(graph, "f <user=ada");
    (void)add(graph, "g >user=ada");
    g_autofree char *edges = edges_of(graph, 2);
    g_assert_cmpstr(edges, ==, "g >user=ada>u +user=ada~ u +user=ada>f <user=ada~");
}

static void test_types_are_apart(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)add(graph, "u +user=ada");
    (void)add(graph, "f <group=ada");
    g_autofree char *edges = edges_of(graph, 0);
    g_assert_cmpstr(edges, ==, "");
}

static void test_first_match_wins(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)add(graph, "a +unit=x.service");
    (void)add(graph, "b +unit=x.service"); /* same identity: the first declared is meant */
    (void)add(graph, "c +unit=y.service");
    (void)add(graph, "w ?unit=no|x.service|y.service");
    g_autofree char *edges = edges_of(graph, 1);
    g_assert_cmpstr(edges, ==, "a +unit=x.service>w ?unit=no|x.service|y.service~");
}

static void test_all_wants_are_tried(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)add(graph, "a +p=1");
    (void)add(graph, "b +p=2");
    (void)add(graph, "w <p=0 <p=1 <p=2 <p=2");
    g_autofree char *edges = edges_of(graph, 2);
    g_assert_cmpstr(edges, ==, "a +p=1>w <p=0 <p=1 <p=2 <p=2~ b +p=2>w <p=0 <p=1 <p=2 <p=2~");
}

static void test_never_self(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)add(graph, "s +unit=x <unit=x");
    (void)add(graph, "t +unit=x"); /* the next owner counts */
    (void)add(graph, "u +unit=x");
    g_autofree char *edges = edges_of(graph, 1);
    g_assert_cmpstr(edges, ==, "t +unit=x>s +unit=x <unit=x~");

    g_autoptr(Graph) alone = graph_new();
    (void)add(alone, "s +unit=x <unit=x");
    g_assert_cmpuint(graph_auto_edges(alone), ==, 0);
}

static void test_later_declared_is_found(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)add(graph, "w <p=1");
    (void)add(graph, "a +p=1");
    g_autofree char *edges = edges_of(graph, 1);
    g_assert_cmpstr(edges, ==, "a +p=1>w <p=1~");
}

static void test_manual_edges_go_first(void) {
    g_autoptr(Graph) graph = graph_new();
    unsigned dir = test_add(graph, &test_file, "/d", 1);
    unsigned same = test_add(graph, &test_file, "/d/same", 2);
    unsigned reverse = test_add(graph, &test_file, "/d/reverse", 3);
    (void)test_add(graph, &test_file, "/d/none", 4);
    test_edge(graph, dir, same, EDGE_NOTIFY);
    test_edge(graph, reverse, dir, 0);
    g_autofree char *edges = edges_of(graph, 1);
    g_assert_cmpstr(edges, ==, "/d/reverse>/d /d>/d/none~ /d>/d/same!");
}

/* Two that want each other: the first declared gets its way, no cycle. */
static void test_mutual_wants(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)add(graph, "a +p=1 <p=2");
    (void)add(graph, "b +p=2 <p=1");
    g_autofree char *edges = edges_of(graph, 1);
    g_assert_cmpstr(edges, ==, "b +p=2 <p=1>a +p=1 <p=2~");
}

static void test_opting_out(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)test_add(graph, &test_file, "/d", 1);
    (void)test_add(graph, &test_file, "/d/x", 2);
    Resource *out = test_resource(&test_file, "/d/out", 3);
    resource_own_meta(out)->autoedge = false;
    g_assert_true(graph_add(graph, out, DUPLICATE_REFUSE, NULL, NULL));
    (void)test_add(graph, &test_file, "/d/out/y", 4); /* out is no parent either */
    Resource *hidden = test_resource(&test_file, "/d/x/h", 5);
    resource_own_meta(hidden)->hidden = true;
    g_assert_true(graph_add(graph, hidden, DUPLICATE_REFUSE, NULL, NULL));
    g_autofree char *edges = edges_of(graph, 2);
    g_assert_cmpstr(edges, ==, "/d>/d/out/y~ /d>/d/x~");
}

static void test_claims(void) {
    g_autoptr(Graph) graph = graph_new();
    (void)test_add(graph, &test_file, "/etc/app/conf.d/a", 1);
    (void)test_add(graph, &test_file, "/etc/app/", 2);
    Resource *out = test_resource(&test_file, "/srv/out", 3);
    resource_own_meta(out)->autoedge = false;
    g_assert_true(graph_add(graph, out, DUPLICATE_REFUSE, NULL, NULL));
    (void)add(graph, "line +edits=/var/lib/hosts");
    g_autoptr(PathClaims) claims = path_claims_new(graph);
    static const struct {
        const char *path;
        PathClaim claim;
    } cases[] = {
        { "/etc/app/conf.d/a", PATH_MANAGED },
        { "/etc/app/conf.d", PATH_HOLDS },
        { "/etc/app/conf.d/", PATH_HOLDS },
        { "/etc/app", PATH_MANAGED },
        { "/etc/app/", PATH_MANAGED },
        { "/etc", PATH_HOLDS },
        { "/", PATH_HOLDS },
        { "/etc/app/x", PATH_FREE },
        { "/etc/app/conf.d/a/b", PATH_FREE },
        { "/srv", PATH_HOLDS },
        { "/srv/out", PATH_MANAGED },
        { "/srv/o", PATH_FREE },
        { "/var/lib/hosts", PATH_MANAGED },
        { "/var", PATH_HOLDS },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpint(path_claims_find(claims, cases[i].path), ==, cases[i].claim);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/autoedge/nearest-parent", test_nearest_parent);
    g_test_add_func("/autoedge/what-is-brought-comes-after", test_what_is_brought_comes_after);
    g_test_add_func("/autoedge/what-is-brought-comes-before-its-use",
                    test_what_is_brought_comes_before_its_use);
    g_test_add_func("/autoedge/what-is-brought-makes-no-cycle",
                    test_what_is_brought_makes_no_cycle);
    g_test_add_func("/autoedge/root-is-a-parent", test_root_is_a_parent);
    g_test_add_func("/autoedge/directions", test_directions);
    g_test_add_func("/autoedge/types-are-apart", test_types_are_apart);
    g_test_add_func("/autoedge/first-match-wins", test_first_match_wins);
    g_test_add_func("/autoedge/all-wants-are-tried", test_all_wants_are_tried);
    g_test_add_func("/autoedge/never-self", test_never_self);
    g_test_add_func("/autoedge/later-declared-is-found", test_later_declared_is_found);
    g_test_add_func("/autoedge/manual-edges-go-first", test_manual_edges_go_first);
    g_test_add_func("/autoedge/mutual-wants", test_mutual_wants);
    g_test_add_func("/autoedge/opting-out", test_opting_out);
    g_test_add_func("/autoedge/claims", test_claims);
    return g_test_run();
}
