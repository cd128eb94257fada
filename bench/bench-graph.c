/*
 * What graphs cost, each figure beside the least that can do it, and beside its target.
 * Usage: bench-graph [auto]: all, or only automatic edges and groups.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/autoedge.h"
#include "graph/graph.h"

#define N_RESOURCES 100000u
#define N_EDGES     300000u
#define N_FILES     10000u
#define N_PACKAGES  1000u
#define ROUNDS      7

static double now_ms(void) {
    return (double)g_get_monotonic_time() / 1000.0;
}

/* --- kinds: as small as real ones can be */

static const Param rows[] = {
    { "path", PARAM_STRING, PARAM_NAMED, .help = "Where." },
    { "state", PARAM_STRING, PARAM_PROPERTY, .help = "How." },
};

static void file_auto_edges(const Resource *resource, AutoEdges *edges) {
    auto_edges_am(edges, "path", resource->name);
    auto_edges_want_parent(edges, resource->name);
}

static bool always(const Resource *a, const Resource *b) {
    return true;
}

static const Kind noop = { .name = "noop", .params = rows, .n_params = G_N_ELEMENTS(rows) };
static const Kind file = {
    .name = "file", .params = rows, .n_params = G_N_ELEMENTS(rows), .auto_edges = file_auto_edges
};
static const Kind package = {
    .name = "pkg", .params = rows, .n_params = G_N_ELEMENTS(rows), .group_with = always
};

static unsigned add(Graph *graph, const Kind *kind, const char *name, unsigned line) {
    Resource *resource = resource_new(kind, name, (Origin){ "bench.lua", line, 1 });
    resource_put(resource, 1, value_new_string("here"));
    unsigned vertex = 0;
    g_assert_true(graph_add(graph, resource, DUPLICATE_REFUSE, &vertex, NULL));
    return vertex;
}

static void seal(Graph *graph) {
    g_autoptr(GPtrArray) problems = g_ptr_array_new();
    g_assert_true(graph_seal(graph, problems));
}

/* --- figures */

typedef struct {
    const char *what;
    double target_ms; /* 0: none */
    double (*run)(void);
    double (*bare)(void); /* the least that can do it; NULL: none */
} Figure;

/* Pairs that always go up, in no order. */
static const unsigned *random_pairs(void) {
    static unsigned *pairs;
    if (pairs)
        return pairs;
    pairs = g_new(unsigned, 2 * N_EDGES);
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    for (unsigned i = 0; i < N_EDGES; i++) {
        unsigned a = (unsigned)g_rand_int_range(rand, 0, N_RESOURCES - 1);
        unsigned b = (unsigned)g_rand_int_range(rand, (int)a + 1, N_RESOURCES);
        pairs[2 * i] = a;
        pairs[2 * i + 1] = b;
    }
    return pairs;
}

static char **names_of(unsigned n, const char *format_prefix) {
    char **names = g_new0(char *, n + 1);
    for (unsigned i = 0; i < n; i++)
        names[i] = g_strdup_printf("%s%u", format_prefix, i);
    return names;
}

static Graph *large_graph(char **names, const unsigned *pairs) {
    Graph *graph = graph_new();
    for (unsigned i = 0; i < N_RESOURCES; i++)
        (void)add(graph, &noop, names[i], i);
    for (unsigned i = 0; i < N_EDGES; i++)
        graph_add_edge(graph, pairs[2 * i], pairs[2 * i + 1], 0, (Origin){ "bench.lua", i, 1 });
    return graph;
}

static double add_and_seal(void) {
    const unsigned *pairs = random_pairs();
    g_auto(GStrv) names = names_of(N_RESOURCES, "resource-");
    double start = now_ms();
    g_autoptr(Graph) graph = large_graph(names, pairs);
    seal(graph);
    return now_ms() - start;
}

static double only_seal(void) {
    g_auto(GStrv) names = names_of(N_RESOURCES, "resource-");
    g_autoptr(Graph) graph = large_graph(names, random_pairs());
    double start = now_ms();
    seal(graph);
    return now_ms() - start;
}

/* One allocation and one hash entry a resource, one append an edge. */
static double bare_add(void) {
    const unsigned *pairs = random_pairs();
    g_auto(GStrv) names = names_of(N_RESOURCES, "resource-");
    double start = now_ms();
    g_autoptr(GHashTable) table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (unsigned i = 0; i < N_RESOURCES; i++)
        g_hash_table_insert(table, g_strdup(names[i]), GUINT_TO_POINTER(i));
    g_autoptr(GArray) edges = g_array_new(FALSE, FALSE, 2 * sizeof(unsigned));
    g_array_append_vals(edges, pairs, N_EDGES);
    return now_ms() - start;
}

/* Kahn over plain arrays, first come first served, nothing joined. */
static double bare_seal(void) {
    const unsigned *pairs = random_pairs();
    double start = now_ms();
    g_autofree unsigned *starts = g_new0(unsigned, N_RESOURCES + 1);
    g_autofree unsigned *next = g_new(unsigned, N_RESOURCES);
    g_autofree unsigned *targets = g_new(unsigned, N_EDGES);
    g_autofree unsigned *waiting = g_new0(unsigned, N_RESOURCES);
    g_autofree unsigned *order = g_new(unsigned, N_RESOURCES);
    for (unsigned i = 0; i < N_EDGES; i++) {
        starts[pairs[2 * i] + 1]++;
        waiting[pairs[2 * i + 1]]++;
    }
    for (unsigned v = 0; v < N_RESOURCES; v++) {
        next[v] = starts[v];
        starts[v + 1] += starts[v];
    }
    for (unsigned i = 0; i < N_EDGES; i++)
        targets[next[pairs[2 * i]]++] = pairs[2 * i + 1];
    unsigned tail = 0;
    for (unsigned v = 0; v < N_RESOURCES; v++) {
        if (waiting[v] == 0)
            order[tail++] = v;
    }
    for (unsigned head = 0; head < tail; head++) {
        for (unsigned i = starts[order[head]]; i < starts[order[head] + 1]; i++) {
            if (--waiting[targets[i]] == 0)
                order[tail++] = targets[i];
        }
    }
    return now_ms() - start;
}

/* Directories eight deep, ten entries each. */
static Graph *tree_graph(void) {
    Graph *graph = graph_new();
    for (unsigned i = 0; i < N_FILES; i++) {
        unsigned d = i / 10;
        g_autofree char *path = g_strdup_printf("/srv/data/site-%u/app-%u/releases/current/conf.d/"
                                                "part-%u/file-%u.conf",
                                                d / 100, d / 10 % 10, d % 10, i % 10);
        char *name = path;
        if (i % 10 == 0) { /* the directory itself */
            *strrchr(path, '/') = 0;
        }
        (void)add(graph, &file, name, i);
    }
    return graph;
}

static double auto_edges(void) {
    g_autoptr(Graph) graph = tree_graph();
    double start = now_ms();
    unsigned n = graph_auto_edges(graph);
    double time = now_ms() - start;
    g_assert_cmpuint(n, ==, N_FILES / 10 * 9);
    return time;
}

/* Every identity written and looked up once in one table. */
static double bare_auto_edges(void) {
    g_autoptr(Graph) graph = tree_graph();
    double start = now_ms();
    g_autoptr(GHashTable) table = g_hash_table_new(g_str_hash, g_str_equal);
    for (unsigned i = 0; i < N_FILES; i++)
        g_hash_table_insert(table, graph_resource(graph, i)->name, GUINT_TO_POINTER(i));
    unsigned sum = 0;
    for (unsigned i = 0; i < N_FILES; i++)
        sum += GPOINTER_TO_UINT(g_hash_table_lookup(table, graph_resource(graph, i)->name));
    g_assert_cmpuint(sum, >, 0);
    return now_ms() - start;
}

/* Packages between a repository file and a service each, all in one group. */
static Graph *package_graph(void) {
    Graph *graph = graph_new();
    unsigned repository = add(graph, &noop, "repository", 1);
    for (unsigned i = 0; i < N_PACKAGES; i++) {
        g_autofree char *name = g_strdup_printf("package-%u", i);
        unsigned p = add(graph, &package, name, i), s = add(graph, &noop, name, i);
        graph_add_edge(graph, repository, p, 0, (Origin){ 0 });
        graph_add_edge(graph, p, s, EDGE_NOTIFY, (Origin){ 0 });
    }
    seal(graph);
    return graph;
}

static double group_flat(void) {
    g_autoptr(Graph) graph = package_graph();
    double start = now_ms();
    unsigned n = graph_auto_group(graph, NULL);
    double time = now_ms() - start;
    g_assert_cmpuint(n, ==, N_PACKAGES - 1);
    return time;
}

/* The worst case: a chain, in which nobody may join anybody. */
static double group_chain(void) {
    g_autoptr(Graph) graph = graph_new();
    for (unsigned i = 0; i < N_PACKAGES; i++) {
        g_autofree char *name = g_strdup_printf("package-%u", i);
        unsigned p = add(graph, &package, name, i);
        if (i > 0)
            graph_add_edge(graph, p - 1, p, 0, (Origin){ 0 });
    }
    seal(graph);
    double start = now_ms();
    unsigned n = graph_auto_group(graph, NULL);
    double time = now_ms() - start;
    g_assert_cmpuint(n, ==, 0);
    return time;
}

/* 1,000 packages with random edges among them and 99,000 others. */
static double group_in_large(void) {
    const unsigned *pairs = random_pairs();
    g_autoptr(Graph) graph = graph_new();
    g_auto(GStrv) names = names_of(N_RESOURCES, "resource-");
    for (unsigned i = 0; i < N_RESOURCES; i++)
        (void)add(graph, i % (N_RESOURCES / N_PACKAGES) == 0 ? &package : &noop, names[i], i);
    for (unsigned i = 0; i < N_EDGES; i++)
        graph_add_edge(graph, pairs[2 * i], pairs[2 * i + 1], 0, (Origin){ 0 });
    seal(graph);
    double start = now_ms();
    (void)graph_auto_group(graph, NULL);
    return now_ms() - start;
}

static double digest(void) {
    g_auto(GStrv) names = names_of(N_RESOURCES, "resource-");
    g_autoptr(Graph) graph = large_graph(names, random_pairs());
    seal(graph);
    char hex[DIGEST_HEX_SIZE];
    double start = now_ms();
    graph_digest(graph, hex);
    return now_ms() - start;
}

static const Figure figures[] = {
    { "add 100,000 resources, 300,000 edges, seal", 150, add_and_seal, bare_add },
    { "seal alone", 0, only_seal, bare_seal },
    { "automatic edges of 10,000 files", 20, auto_edges, bare_auto_edges },
    { "group 1,000 packages into one", 20, group_flat, NULL },
    { "group 1,000 packages in a chain", 20, group_chain, NULL },
    { "group 1,000 packages among 100,000", 0, group_in_large, NULL },
    { "digest of 100,000 resources", 0, digest, NULL },
};

static int by_number(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static double median_of(double (*run)(void)) {
    double times[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++)
        times[i] = run();
    qsort(times, ROUNDS, sizeof *times, by_number);
    return times[ROUNDS / 2];
}

static unsigned long resident_kb(void) {
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/self/statm", &text, NULL, NULL))
        return 0;
    unsigned long pages = 0;
    return sscanf(text, "%*u %lu", &pages) == 1 ? pages * 4 : 0;
}

static void print_memory(void) {
    g_auto(GStrv) names = names_of(N_RESOURCES, "resource-");
    const unsigned *pairs = random_pairs();
    unsigned long before = resident_kb();
    g_autoptr(Graph) graph = large_graph(names, pairs);
    seal(graph);
    printf("memory of 100,000 resources, 300,000 edges: %.1f MB\n",
           (double)(resident_kb() - before) / 1024);
}

int main(int argc, char **argv) {
    bool only_auto = argc > 1 && strcmp(argv[1], "auto") == 0;
    if (!only_auto)
        print_memory();
    printf("%-46s %9s %9s %7s %9s\n", "", "ms", "bare ms", "ratio", "target ms");
    for (unsigned i = 0; i < G_N_ELEMENTS(figures); i++) {
        const Figure *figure = &figures[i];
        if (only_auto && figure->run != auto_edges && figure->run != group_flat &&
            figure->run != group_chain)
            continue;
        double ours = median_of(figure->run);
        printf("%-46s %9.2f", figure->what, ours);
        if (figure->bare) {
            double bare = median_of(figure->bare);
            printf(" %9.2f %7.2f", bare, ours / bare);
        } else {
            printf(" %9s %7s", "-", "-");
        }
        if (figure->target_ms > 0)
            printf(" %9.0f%s", figure->target_ms, ours > figure->target_ms ? " MISSED" : "");
        printf("\n");
    }
    return 0;
}
