/*
 * bench-engine: load, order and run a graph of vertices that need nothing. Prints the time and its
 * ratio to the target of one second for 100,000 vertices with 300,000 edges.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "engine/engine.h"
#include "host/host-fake.h"
#include "kinds/kinds.h"

#define TARGET_SECONDS 1.0

static double now(void) {
    return (double)g_get_monotonic_time() / 1e6;
}

static void on_event(void *data, const EngineEvent *event) {
    if (event->type == ENGINE_CONVERGED)
        loop_quit(data);
}

static Graph *make_graph(unsigned n, unsigned edges_each) {
    const Kind *noop = kind_set_find(&builtin_kinds, "noop");
    Graph *graph = graph_new();
    for (unsigned i = 0; i < n; i++) {
        char name[32];
        g_snprintf(name, sizeof name, "n%u", i);
        Resource *resource = resource_new(noop, name, (Origin){ "bench", i + 1, 0 });
        unsigned vertex;
        g_assert_true(graph_add(graph, resource, DUPLICATE_REFUSE, &vertex, NULL));
        for (unsigned j = 1; j <= edges_each && j <= i; j++)
            graph_add_edge(graph, i - j, i, 0, (Origin){ 0 });
    }
    return graph;
}

int main(int argc, char **argv) {
    unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 100000;
    double start = now();
    g_autoptr(Graph) graph = make_graph(n, 3);
    double built = now();
    g_autoptr(GPtrArray) problems = g_ptr_array_new();
    g_assert_true(graph_seal(graph, problems));
    double sealed = now();
    g_autoptr(Loop) loop = loop_new(NULL);
    g_autoptr(Host) host = host_fake_new();
    EngineOptions options = { .loop = loop,
                              .host = host,
                              .kinds = &builtin_kinds,
                              .listener = on_event,
                              .listener_data = loop };
    g_autoptr(Engine) engine = engine_new(&options);
    g_assert_true(engine_load(engine, graph, NULL));
    double loaded = now();
    g_assert_true(loop_run(loop, NULL));
    double done = now();
    EngineSummary summary = engine_summary(engine);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("engine %u vertices, %u edges: build %.0f ms, order %.0f ms, load %.0f ms, run %.0f ms; "
           "%u right; %.0f MB\n",
           n, graph_edge_count(graph), (built - start) * 1e3, (sealed - built) * 1e3,
           (loaded - sealed) * 1e3, (done - loaded) * 1e3, summary.ok,
           (double)usage.ru_maxrss / 1024);
    printf("total %.3f s = %.2f of the target\n", done - start, (done - start) / TARGET_SECONDS);
    return summary.ok == n ? 0 : 1;
}
