#pragma once
/* Graph: resources and the edges between them. Vertex numbers are indices in the order of addition.
 */
#include <glib.h>

#include "graph/kind.h"
#include "graph/resource.h"

typedef struct Graph Graph;

typedef enum {
    EDGE_NOTIFY = 1 << 0, /* a change of `from` refreshes `to` */
    EDGE_AUTO = 1 << 1,   /* found by graph_auto_edges() */
    EDGE_SEND = 1 << 2,   /* added for a received value */
    EDGE_AHEAD = 1 << 3,  /* written at `from`, as before or notify, not as needs or listen at `to`:
                             for messages only, no part of the digest */
} EdgeFlags;

typedef struct {
    unsigned from, to; /* from runs before to */
    EdgeFlags flags;
    Origin origin;
} Edge;

Graph *graph_new(void);
Graph *graph_ref(Graph *graph);
void graph_unref(Graph *graph); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Graph, graph_unref)

typedef enum {
    DUPLICATE_REFUSE,   /* error that shows both places */
    DUPLICATE_COLLAPSE, /* equal ones become one vertex; different ones are refused */
} DuplicateRule;

/* Takes ownership of resource, also on error. Hidden resources may repeat a name. */
bool graph_add(Graph *graph, Resource *resource, DuplicateRule rule, unsigned *ret_vertex,
               GError **error);
void graph_add_edge(Graph *graph, unsigned from, unsigned to, EdgeFlags flags, Origin origin);
int graph_find(const Graph *graph, const char *kind, const char *name); /* -1: not there */
bool graph_has_edge(const Graph *graph, unsigned from, unsigned to);

unsigned graph_size(const Graph *graph);
const Resource *graph_resource(const Graph *graph, unsigned vertex);

/* Resolves receives (sender exists, has the output, types fit; adds EDGE_SEND edges, or the flag
 * where an edge is already), joins parallel edges (the later one wins, notify and flags included),
 * orders topologically. Problems are appended to problems as GError*, each with its place: a cycle
 * with the place of each of its edges. True when there were none. After that the graph does not
 * change, except by graph_auto_group(); when there were problems it can only be freed. */
bool graph_seal(Graph *graph, GPtrArray *problems);
/* After graph_seal(), at most once. Resources of one kind become one vertex where Kind.group_with
 * says so, their meta parameters run alike, and neither reaches the other, also through the groups
 * made so far. The first declared leads. Edges of members move to the leader: what notifies a
 * member refreshes the leader, and a change of any notifies for all. Returns how many vertices were
 * merged into others. Greedy, in order of declaration; of very many only the first thousands.
 * classes (may be NULL): resource -> any pointer; only those with the same one, or both without,
 * are merged. A second time changes nothing and returns 0. */
unsigned graph_auto_group(Graph *graph, GHashTable *classes);

/* Sealed graphs. */
/* graph_size() vertices, predecessors first, of those that are ready the first declared. Members
 * merged into a leader have no edges and stand anywhere. */
const unsigned *graph_order(const Graph *graph);
unsigned graph_edge_count(const Graph *graph);
const Edge *graph_edge(const Graph *graph, unsigned edge);
/* The same before grouping moved any. */
unsigned graph_declared_edge_count(const Graph *graph);
const Edge *graph_declared_edge(const Graph *graph, unsigned edge);
/* Edge numbers into and out of a vertex; borrowed. */
const unsigned *graph_edges_in(const Graph *graph, unsigned vertex, unsigned *ret_count);
const unsigned *graph_edges_out(const Graph *graph, unsigned vertex, unsigned *ret_count);
/* Groups: the leader of a vertex is itself unless merged; members of a leader include it. Edges of
 * members are moved to the leader by graph_auto_group(). */
unsigned graph_leader(const Graph *graph, unsigned vertex);
const unsigned *graph_members(const Graph *graph, unsigned leader, unsigned *ret_count);

/* All show a sealed graph as declared, whether grouped or not. The digest is of resources (secrets
 * by name) and edges, independent of the order of declaration, places left out. */
void graph_digest(const Graph *graph, char ret_hex[DIGEST_HEX_SIZE]);
/* Of the same with secrets in clear. Whoever sees it could try secrets, were it not for the key:
 * random, and kept from them. */
void graph_digest_secrets(const Graph *graph, const uint8_t *key, size_t key_size,
                          char ret_hex[DIGEST_HEX_SIZE]);
/* {"resources": [...], "edges": [{"from": index, "to": index, "notify", "auto", "send"}]}, for
 * saved plans and --format json; secrets by name. */
Value *graph_to_value(const Graph *graph);
Graph *graph_from_value(const Value *value, const KindSet *kinds, GError **error); /* unsealed */
