#pragma once
/* Inside of Graph, shared by graph*.c, autoedge.c and autogroup.c only. */
#include "graph/graph.h"

#define NO_EDGE G_MAXUINT

typedef struct {
    Resource *resource;
    unsigned last_out, last_in; /* newest edge while building, or NO_EDGE */
} Vertex;

/* While building, edges of a vertex are linked lists, newest first. */
typedef struct {
    Edge edge;
    unsigned earlier_out, earlier_in; /* of the same from, of the same to */
} BuildEdge;

/* Compressed adjacency. edges are sorted by from, so the edges out of v are the numbers
 * out_start[v] .. out_start[v + 1] - 1; those into v are in[in_start[v]] .. */
typedef struct {
    Edge *edges;
    unsigned n_edges;
    unsigned *out_start, *in_start; /* n_vertices + 1 entries each */
    unsigned *in;
} Adjacency;

struct Graph {
    gatomicrefcount refs;
    GArray *vertices;   /* of Vertex */
    GHashTable *by_key; /* Resource -> vertex number + 1; hidden ones only while nothing else has
                           the name */
    GPtrArray *kinds;   /* of const Kind: those that occur */
    GArray *building;   /* of BuildEdge; NULL once sealed */
    bool too_many_edges;

    bool sealed;
    Adjacency declared; /* as sealed: what digests and saved plans show */
    Adjacency grouped;  /* edges moved to leaders; edges is NULL before grouping merges something */
    unsigned *order;
    unsigned *numbers; /* 0, 1, 2, ...: out lists and groups of one are slices of it */
    unsigned *leaders; /* of each vertex; NULL: nothing is merged */
    unsigned *members, *member_start; /* like Adjacency; set together with leaders */
};

static inline Vertex *graph_vertex(const Graph *graph, unsigned vertex) {
    g_assert(vertex < graph->vertices->len);
    return &g_array_index(graph->vertices, Vertex, vertex);
}

static inline const Adjacency *graph_adjacency(const Graph *graph) {
    return graph->grouped.edges ? &graph->grouped : &graph->declared;
}

/* The newest edge between two vertices while building, or NO_EDGE. Costs the smaller degree. */
unsigned graph_find_building(const Graph *graph, unsigned from, unsigned to);

typedef enum {
    JOIN_LATER_WINS, /* of parallel edges the last one stays */
    JOIN_UNITE,      /* flags are united, EDGE_AUTO stays only where all have it */
} JoinRule;

/* Sorts edges (n of them, in declaration order) by counting and joins parallel ones. */
void adjacency_build(Adjacency *adjacency, const Edge *edges, unsigned n, unsigned n_vertices,
                     JoinRule rule);
void adjacency_clear(Adjacency *adjacency);

/* Topological order, of those that are ready always the first declared. False when there is a
 * cycle: then *ret_cycle says which. */
bool graph_sort(const Graph *graph, const Adjacency *adjacency, unsigned *ret_order,
                GError **ret_cycle);
