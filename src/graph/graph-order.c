/* Topological order (Kahn, "Topological sorting of large networks", 1962) and the report of a
 * cycle. */
#include "graph/graph-private.h"

#define CYCLE_SHOWN_MAX 20 /* edges of a cycle that the error lists */

/* --- the first ready vertex */

/* A set of small numbers that gives its smallest: a bit for each, and a bit for each word that is
 * not empty. */
typedef struct {
    uint64_t *words, *summary;
    unsigned n_summary, lowest; /* lowest: no word of summary before it is set */
} ReadySet;

static void ready_init(ReadySet *ready, unsigned n) {
    unsigned n_words = n / 64 + 1;
    ready->n_summary = n_words / 64 + 1;
    ready->words = g_new0(uint64_t, n_words);
    ready->summary = g_new0(uint64_t, ready->n_summary);
    ready->lowest = 0;
}

static void ready_clear(ReadySet *ready) {
    g_free(ready->words);
    g_free(ready->summary);
}

static void ready_add(ReadySet *ready, unsigned number) {
    ready->words[number / 64] |= UINT64_C(1) << number % 64;
    ready->summary[number / 4096] |= UINT64_C(1) << number / 64 % 64;
    ready->lowest = MIN(ready->lowest, number / 4096);
}

static bool ready_take(ReadySet *ready, unsigned *ret_number) {
    while (ready->lowest < ready->n_summary && ready->summary[ready->lowest] == 0)
        ready->lowest++;
    if (ready->lowest == ready->n_summary)
        return false;
    uint64_t *summary = &ready->summary[ready->lowest];
    unsigned index = ready->lowest * 64 + (unsigned)__builtin_ctzll(*summary);
    uint64_t *word = &ready->words[index];
    *ret_number = index * 64 + (unsigned)__builtin_ctzll(*word);
    *word &= *word - 1;
    if (*word == 0)
        *summary &= *summary - 1;
    return true;
}

/* --- cycles */

/* waiting: predecessors not yet sorted, 0 for what is sorted. Each vertex that waits has one that
 * waits before it, so walking back ends in a cycle. */
static unsigned find_on_cycle(const Adjacency *adjacency, const unsigned *waiting,
                              unsigned n_vertices) {
    g_autofree bool *seen = g_new0(bool, n_vertices);
    unsigned at = 0;
    while (waiting[at] == 0)
        at++;
    while (!seen[at]) {
        seen[at] = true;
        unsigned i = adjacency->in_start[at];
        while (waiting[adjacency->edges[adjacency->in[i]].from] == 0)
            i++;
        at = adjacency->edges[adjacency->in[i]].from;
    }
    return at;
}

/* Shortest cycle through start, found breadth first against the edges: edge numbers, each from
 * what the one before needs. */
static GArray *find_cycle(const Adjacency *adjacency, const unsigned *waiting, unsigned n_vertices,
                          unsigned start) {
    g_autofree unsigned *via = g_new(unsigned, n_vertices);
    for (unsigned i = 0; i < n_vertices; i++)
        via[i] = NO_EDGE;
    g_autofree unsigned *queue = g_new(unsigned, n_vertices + 1); /* start comes twice */
    unsigned head = 0, tail = 0;
    queue[tail++] = start;
    while (via[start] == NO_EDGE && head < tail) {
        unsigned at = queue[head++];
        for (unsigned i = adjacency->in_start[at]; i < adjacency->in_start[at + 1]; i++) {
            unsigned from = adjacency->edges[adjacency->in[i]].from;
            if (waiting[from] == 0 || via[from] != NO_EDGE)
                continue;
            via[from] = adjacency->in[i];
            queue[tail++] = from;
        }
    }
    GArray *cycle = g_array_new(FALSE, FALSE, sizeof(unsigned));
    unsigned at = start;
    do {
        g_array_prepend_val(cycle, via[at]);
        at = adjacency->edges[via[at]].to;
    } while (at != start);
    return cycle;
}

/* How the edge was written, seen from what waits: each line goes on where the one above ends. */
static const char *cycle_words(const Edge *edge, const char **ret_why) {
    *ret_why = "";
    if (edge->flags & EDGE_AUTO)
        *ret_why = " (found automatically)";
    else if (edge->flags & EDGE_SEND)
        *ret_why = " (receives a value)";
    else if (edge->flags & EDGE_AHEAD)
        *ret_why = edge->flags & EDGE_NOTIFY ? " (notify)" : " (before)";
    else if (edge->flags & EDGE_NOTIFY)
        return "listens to";
    if (!(edge->flags & EDGE_AHEAD))
        return "needs";
    return edge->flags & EDGE_NOTIFY ? "is notified by" : "comes after";
}

static void append_cycle_edge(GString *text, const Graph *graph, const Edge *edge) {
    const Resource *needs = graph_resource(graph, edge->to);
    const Resource *needed = graph_resource(graph, edge->from);
    g_autofree char *place = origin_show(edge->origin.file ? edge->origin : needs->origin);
    const char *why, *words = cycle_words(edge, &why);
    g_string_append_printf(text, "\n  %s%s%s '%s' %s %s '%s'%s", place ? place : "",
                           place ? ": " : "", needs->kind->name, needs->name, words,
                           needed->kind->name, needed->name, why);
}

static GError *report_cycle(const Graph *graph, const Adjacency *adjacency,
                            const unsigned *waiting) {
    unsigned start = find_on_cycle(adjacency, waiting, graph_size(graph));
    g_autoptr(GArray) cycle = find_cycle(adjacency, waiting, graph_size(graph), start);
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "dependency cycle of %u:", cycle->len);
    unsigned first = 0; /* the report starts with what was declared first */
    EdgeFlags any = 0;
    for (unsigned i = 0; i < cycle->len; i++) {
        const Edge *edge = &adjacency->edges[g_array_index(cycle, unsigned, i)];
        any |= edge->flags;
        if (edge->to < adjacency->edges[g_array_index(cycle, unsigned, first)].to)
            first = i;
    }
    for (unsigned i = 0; i < MIN(cycle->len, CYCLE_SHOWN_MAX); i++) {
        unsigned number = g_array_index(cycle, unsigned, (first + i) % cycle->len);
        append_cycle_edge(text, graph, &adjacency->edges[number]);
    }
    if (cycle->len > CYCLE_SHOWN_MAX)
        g_string_append_printf(text, "\n  ... and %u more", cycle->len - CYCLE_SHOWN_MAX);
    if (any & EDGE_AUTO)
        g_string_append(text, "\n  autoedge = false on a resource drops its automatic edges");
    return g_error_new_literal(STEAD_ERROR, STEAD_ERROR_CONFIG, text->str);
}

/* --- order */

bool graph_sort(const Graph *graph, const Adjacency *adjacency, unsigned *ret_order,
                GError **ret_cycle) {
    unsigned n_vertices = graph_size(graph), n_sorted = 0, vertex;
    g_autofree unsigned *waiting = g_new(unsigned, n_vertices);
    ReadySet ready;
    ready_init(&ready, n_vertices);
    for (unsigned v = 0; v < n_vertices; v++) {
        waiting[v] = adjacency->in_start[v + 1] - adjacency->in_start[v];
        if (waiting[v] == 0)
            ready_add(&ready, v);
    }
    while (ready_take(&ready, &vertex)) {
        ret_order[n_sorted++] = vertex;
        for (unsigned i = adjacency->out_start[vertex]; i < adjacency->out_start[vertex + 1]; i++) {
            unsigned to = adjacency->edges[i].to;
            if (--waiting[to] == 0)
                ready_add(&ready, to);
        }
    }
    ready_clear(&ready);
    if (n_sorted < n_vertices)
        *ret_cycle = report_cycle(graph, adjacency, waiting);
    return n_sorted == n_vertices;
}
