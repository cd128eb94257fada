#include "graph/graph.h"

#include <string.h>

#include "base/limits.h"
#include "graph/graph-private.h"

Graph *graph_new(void) {
    Graph *graph = g_new0(Graph, 1);
    g_atomic_ref_count_init(&graph->refs);
    graph->vertices = g_array_new(FALSE, FALSE, sizeof(Vertex));
    graph->building = g_array_new(FALSE, FALSE, sizeof(BuildEdge));
    graph->by_key = g_hash_table_new(resource_key_hash, resource_key_equal);
    graph->kinds = g_ptr_array_new();
    return graph;
}

Graph *graph_ref(Graph *graph) {
    g_atomic_ref_count_inc(&graph->refs);
    return graph;
}

void graph_unref(Graph *graph) {
    if (!graph || !g_atomic_ref_count_dec(&graph->refs))
        return;
    g_hash_table_unref(graph->by_key);
    for (unsigned i = 0; i < graph->vertices->len; i++)
        resource_unref(graph_vertex(graph, i)->resource);
    g_array_unref(graph->vertices);
    g_clear_pointer(&graph->building, g_array_unref);
    g_ptr_array_unref(graph->kinds);
    adjacency_clear(&graph->declared);
    adjacency_clear(&graph->grouped);
    g_free(graph->order);
    g_free(graph->numbers);
    g_free(graph->leaders);
    g_free(graph->members);
    g_free(graph->member_start);
    g_free(graph);
}

/* --- vertices */

static int find_key(const Graph *graph, const Resource *key) {
    return GPOINTER_TO_INT(g_hash_table_lookup(graph->by_key, key)) - 1;
}

static const Kind *find_kind(const Graph *graph, const char *name) {
    for (unsigned i = 0; i < graph->kinds->len; i++) {
        const Kind *kind = graph->kinds->pdata[i];
        if (strcmp(kind->name, name) == 0)
            return kind;
    }
    return NULL;
}

static void note_kind(Graph *graph, const Kind *kind) {
    for (unsigned i = graph->kinds->len; i > 0; i--) {
        if (graph->kinds->pdata[i - 1] == kind)
            return;
    }
    g_ptr_array_add(graph->kinds, (void *)(uintptr_t)kind);
}

static void set_duplicate_error(const Resource *resource, const Resource *first, const char *how,
                                GError **error) {
    g_autofree char *where = resource_where(resource);
    g_autofree char *shown = resource_show(resource);
    g_autofree char *first_place = origin_show(first->origin);
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s%s is declared twice%s%s%s", where,
                shown, how, first_place ? ", first at " : "", first_place ? first_place : "");
}

static unsigned append_vertex(Graph *graph, Resource *resource) {
    Vertex vertex = { resource, NO_EDGE, NO_EDGE };
    g_array_append_val(graph->vertices, vertex);
    note_kind(graph, resource->kind);
    return graph->vertices->len - 1;
}

/* A visible resource takes the name over from a hidden one. */
static void claim_name(Graph *graph, Resource *resource, unsigned vertex) {
    g_hash_table_replace(graph->by_key, resource, GINT_TO_POINTER((int)vertex + 1));
}

bool graph_add(Graph *graph, Resource *resource, DuplicateRule rule, unsigned *ret_vertex,
               GError **error) {
    g_assert(!graph->sealed);
    g_autoptr(Resource) owned = resource;
    bool hidden = resource_meta(resource)->hidden;
    int first = find_key(graph, resource);
    const Resource *other = first < 0 ? NULL : graph_resource(graph, (unsigned)first);
    if (other && !hidden && !resource_meta(other)->hidden) {
        bool same = rule == DUPLICATE_COLLAPSE && resource_equal(other, resource);
        if (same && ret_vertex)
            *ret_vertex = (unsigned)first;
        if (!same)
            set_duplicate_error(resource, other,
                                rule == DUPLICATE_COLLAPSE ? " with different parameters" : "",
                                error);
        return same;
    }
    if (graph->vertices->len >= LIMIT_RESOURCES) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_LIMIT,
                    "refuse more than %u resources (LIMIT_RESOURCES)", LIMIT_RESOURCES);
        return false;
    }
    unsigned vertex = append_vertex(graph, g_steal_pointer(&owned));
    if (!other || !hidden)
        claim_name(graph, resource, vertex);
    if (ret_vertex)
        *ret_vertex = vertex;
    return true;
}

int graph_find(const Graph *graph, const char *kind, const char *name) {
    Resource key = { .kind = find_kind(graph, kind), .name = (char *)(uintptr_t)name };
    return key.kind ? find_key(graph, &key) : -1;
}

unsigned graph_size(const Graph *graph) {
    return graph->vertices->len;
}

const Resource *graph_resource(const Graph *graph, unsigned vertex) {
    return graph_vertex(graph, vertex)->resource;
}

/* --- edges */

void graph_add_edge(Graph *graph, unsigned from, unsigned to, EdgeFlags flags, Origin origin) {
    g_assert(!graph->sealed);
    if (graph->building->len >= LIMIT_EDGES) {
        graph->too_many_edges = true;
        return;
    }
    Vertex *source = graph_vertex(graph, from), *target = graph_vertex(graph, to);
    BuildEdge edge = { { from, to, flags, origin }, source->last_out, target->last_in };
    source->last_out = target->last_in = graph->building->len;
    g_array_append_val(graph->building, edge);
}

unsigned graph_find_building(const Graph *graph, unsigned from, unsigned to) {
    unsigned out = graph_vertex(graph, from)->last_out;
    unsigned in = graph_vertex(graph, to)->last_in;
    while (out != NO_EDGE && in != NO_EDGE) {
        const BuildEdge *going = &g_array_index(graph->building, BuildEdge, out);
        const BuildEdge *coming = &g_array_index(graph->building, BuildEdge, in);
        if (going->edge.to == to)
            return out;
        if (coming->edge.from == from)
            return in;
        out = going->earlier_out;
        in = coming->earlier_in;
    }
    return NO_EDGE;
}

static bool has_sealed_edge(const Adjacency *adjacency, unsigned from, unsigned to) {
    unsigned out = adjacency->out_start[from], out_end = adjacency->out_start[from + 1];
    unsigned in = adjacency->in_start[to], in_end = adjacency->in_start[to + 1];
    if (out_end - out <= in_end - in) {
        while (out < out_end && adjacency->edges[out].to != to)
            out++;
        return out < out_end;
    }
    while (in < in_end && adjacency->edges[adjacency->in[in]].from != from)
        in++;
    return in < in_end;
}

bool graph_has_edge(const Graph *graph, unsigned from, unsigned to) {
    g_assert(from < graph_size(graph) && to < graph_size(graph));
    if (graph->sealed)
        return has_sealed_edge(graph_adjacency(graph), from, to);
    return graph_find_building(graph, from, to) != NO_EDGE;
}

/* --- sealed graphs */

const unsigned *graph_order(const Graph *graph) {
    g_assert(graph->sealed);
    return graph->order;
}

unsigned graph_edge_count(const Graph *graph) {
    g_assert(graph->sealed);
    return graph_adjacency(graph)->n_edges;
}

const Edge *graph_edge(const Graph *graph, unsigned edge) {
    g_assert(graph->sealed && edge < graph_adjacency(graph)->n_edges);
    return &graph_adjacency(graph)->edges[edge];
}

unsigned graph_declared_edge_count(const Graph *graph) {
    g_assert(graph->sealed);
    return graph->declared.n_edges;
}

const Edge *graph_declared_edge(const Graph *graph, unsigned edge) {
    g_assert(graph->sealed && edge < graph->declared.n_edges);
    return &graph->declared.edges[edge];
}

const unsigned *graph_edges_in(const Graph *graph, unsigned vertex, unsigned *ret_count) {
    g_assert(graph->sealed && vertex < graph_size(graph));
    const Adjacency *adjacency = graph_adjacency(graph);
    unsigned start = adjacency->in_start[vertex];
    *ret_count = adjacency->in_start[vertex + 1] - start;
    return adjacency->in + start;
}

const unsigned *graph_edges_out(const Graph *graph, unsigned vertex, unsigned *ret_count) {
    g_assert(graph->sealed && vertex < graph_size(graph));
    const Adjacency *adjacency = graph_adjacency(graph);
    unsigned start = adjacency->out_start[vertex];
    *ret_count = adjacency->out_start[vertex + 1] - start;
    return graph->numbers + start;
}

unsigned graph_leader(const Graph *graph, unsigned vertex) {
    g_assert(graph->sealed && vertex < graph_size(graph));
    return graph->leaders ? graph->leaders[vertex] : vertex;
}

const unsigned *graph_members(const Graph *graph, unsigned leader, unsigned *ret_count) {
    g_assert(graph->sealed && leader < graph_size(graph));
    if (!graph->leaders) {
        *ret_count = 1;
        return graph->numbers + leader;
    }
    unsigned start = graph->member_start[leader];
    *ret_count = graph->member_start[leader + 1] - start;
    return graph->members + start;
}
