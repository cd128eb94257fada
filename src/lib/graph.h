#pragma once
/* A graph of the public interface: being built, then sealed. */
#include "graph/graph.h"
#include "kinds/programs.h"
#include "lib/stead.h"

struct stead_graph {
    Programs *programs;   /* whose kinds it has; NULL: only the built-in ones */
    Graph *graph;         /* sealed, with automatic edges; NULL: not valid yet */
    GPtrArray *resources; /* of stead_resource, as added; none when loaded */
    GHashTable *by_key;   /* Resource -> stead_resource, the first of each name; borrowed */
    GArray *edges;        /* of BuiltEdge */
    GPtrArray *warnings;  /* of char *; NULL: none */
    bool refused;         /* validation found problems */
};

struct stead_resource {
    stead_graph *graph;
    Resource *resource;
    unsigned vertex; /* index in graph->resources */
};

/* The sealed graph, borrowed. NULL with error when it was not validated. */
Graph *graph_of(const stead_graph *graph, GError **error);
