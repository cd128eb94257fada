/* Sealing: receives become edges, parallel edges are joined, everything is put in order. */
#include <string.h>

#include "base/limits.h"
#include "base/suggest.h"
#include "graph/graph-private.h"

/* Looking for the nearest name costs the more the larger the graph: only the first problems get it.
 */
#define SUGGESTIONS_MAX 20

/* --- receives */

/* Which parameters take which output. The value is converted to the row's type when it arrives. */
static const unsigned accepted_by[] = {
    [PARAM_STRING] = 1u << PARAM_STRING | 1u << PARAM_PATH | 1u << PARAM_MODE | 1u << PARAM_ENUM |
                     1u << PARAM_STRINGS | 1u << PARAM_DURATION,
    [PARAM_PATH] = 1u << PARAM_STRING | 1u << PARAM_PATH | 1u << PARAM_STRINGS,
    [PARAM_BOOL] = 1u << PARAM_BOOL,
    [PARAM_INT] = 1u << PARAM_INT | 1u << PARAM_FLOAT | 1u << PARAM_STRING | 1u << PARAM_STRINGS |
                  1u << PARAM_DURATION,
    [PARAM_FLOAT] = 1u << PARAM_FLOAT,
    [PARAM_ENUM] = 1u << PARAM_STRING | 1u << PARAM_ENUM | 1u << PARAM_STRINGS,
    [PARAM_MODE] = 1u << PARAM_STRING | 1u << PARAM_MODE,
    /* An output in microseconds would be read in the row's unit. */
    [PARAM_DURATION] = 0,
    [PARAM_STRINGS] = 1u << PARAM_STRINGS,
    [PARAM_MAP] = 1u << PARAM_MAP,
    [PARAM_ANY] = ~0u,
};

static bool output_fits(ParamType output, ParamType param) {
    g_assert(output < G_N_ELEMENTS(accepted_by));
    return param == PARAM_ANY || (accepted_by[output] & 1u << param);
}

static const char *nearest_sender(const Graph *graph, const Receive *receive) {
    g_autofree const char **names = g_new(const char *, graph_size(graph));
    size_t n_names = 0;
    for (unsigned i = 0; i < graph_size(graph); i++) {
        const Resource *resource = graph_resource(graph, i);
        if (strcmp(resource->kind->name, receive->kind) == 0)
            names[n_names++] = resource->name;
    }
    return suggest_nearest(receive->name, names, n_names);
}

static const char *nearest_output(const Kind *kind, const char *name) {
    g_autofree const char **names = g_new(const char *, kind->n_outputs);
    for (unsigned i = 0; i < kind->n_outputs; i++)
        names[i] = kind->outputs[i].name;
    return suggest_nearest(name, names, kind->n_outputs);
}

static bool check_output(const Resource *receiver, const Receive *receive, const Kind *sender,
                         GError **error) {
    const Output *output = kind_find_output(sender, receive->output);
    const Param *row = &receiver->kind->params[receive->param];
    if (!output && sender->n_outputs == 0) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s has no outputs", sender->name);
    } else if (!output) {
        const char *nearest = nearest_output(sender, receive->output);
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "%s has no output '%s'%s%s%s",
                    sender->name, receive->output, nearest ? ", did you mean '" : "",
                    nearest ? nearest : "", nearest ? "'?" : "");
    } else if (!output_fits(output->type, row->type)) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "output '%s' of %s '%s' is of type %s, expected %s", output->name, sender->name,
                    receive->name, param_type_name(output->type), param_type_name(row->type));
    } else {
        return true;
    }
    return false;
}

/* The sender's vertex, or -1 with error. */
static int find_sender(const Graph *graph, unsigned receiver, const Receive *receive, bool suggest,
                       GError **error) {
    int sender = graph_find(graph, receive->kind, receive->name);
    const Resource *resource = graph_resource(graph, receiver);
    if (sender < 0) {
        const char *nearest = suggest ? nearest_sender(graph, receive) : NULL;
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "receives from %s '%s', which is not declared%s%s%s", receive->kind,
                    receive->name, nearest ? ", did you mean '" : "", nearest ? nearest : "",
                    nearest ? "'?" : "");
    } else if ((unsigned)sender == receiver) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG, "cannot receive from itself");
        sender = -1;
    } else if (resource_meta(graph_resource(graph, (unsigned)sender))->hidden) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "receives from %s '%s', which is hidden: it never runs and so never sends",
                    receive->kind, receive->name);
        sender = -1;
    } else if (!check_output(resource, receive, graph_resource(graph, (unsigned)sender)->kind,
                             error)) {
        sender = -1;
    }
    return sender;
}

/* A manual edge that is there already keeps its notification. */
static void add_send_edge(Graph *graph, unsigned sender, unsigned receiver) {
    unsigned edge = graph_find_building(graph, sender, receiver);
    if (edge != NO_EDGE)
        g_array_index(graph->building, BuildEdge, edge).edge.flags |= EDGE_SEND;
    else
        graph_add_edge(graph, sender, receiver, EDGE_SEND, graph_resource(graph, receiver)->origin);
}

static void resolve_receives(Graph *graph, unsigned receiver, GPtrArray *problems) {
    const Resource *resource = graph_resource(graph, receiver);
    for (unsigned i = 0; resource->receives && i < resource->receives->len; i++) {
        const Receive *receive = &g_array_index(resource->receives, Receive, i);
        GError *problem = NULL;
        int sender =
            find_sender(graph, receiver, receive, problems->len < SUGGESTIONS_MAX, &problem);
        if (sender >= 0) {
            add_send_edge(graph, (unsigned)sender, receiver);
            continue;
        }
        g_prefix_error(&problem, "parameter '%s': ", resource->kind->params[receive->param].name);
        resource_prefix(resource, &problem);
        g_ptr_array_add(problems, problem);
    }
}

/* --- adjacency */

/* counts[v + 1] is the number of edges of v; makes counts[v] the start of v's range. */
static void counts_to_starts(unsigned *counts, unsigned n_vertices) {
    for (unsigned v = 0; v < n_vertices; v++)
        counts[v + 1] += counts[v];
}

/* Indices of edges, stable by from; starts gets the ranges. */
static unsigned *sort_by_from(const Edge *edges, unsigned n, unsigned n_vertices,
                              unsigned *starts) {
    for (unsigned i = 0; i < n; i++)
        starts[edges[i].from + 1]++;
    counts_to_starts(starts, n_vertices);
    g_autofree unsigned *next = g_memdup2(starts, n_vertices * sizeof *starts);
    unsigned *sorted = g_new(unsigned, n);
    for (unsigned i = 0; i < n; i++)
        sorted[next[edges[i].from]++] = i;
    return sorted;
}

static void join_edge(Edge *kept, const Edge *other, JoinRule rule) {
    if (rule == JOIN_LATER_WINS) {
        *kept = *other;
        return;
    }
    EdgeFlags both = kept->flags & other->flags & EDGE_AUTO;
    EdgeFlags more = other->flags & ~EDGE_AHEAD; /* that goes with the place, which is kept's */
    kept->flags = ((kept->flags | more) & ~EDGE_AUTO) | both;
}

/* Copies edges in the order of sorted into adjacency and joins the parallel ones; out_start holds
 * the ranges in sorted and afterwards those in adjacency->edges. */
static void join_parallel(Adjacency *adjacency, const Edge *edges, const unsigned *sorted,
                          unsigned n_vertices, JoinRule rule) {
    /* Where the edge to a vertex is, as seen from the current from; older numbers are stale. */
    g_autofree unsigned *place = g_new0(unsigned, n_vertices);
    unsigned used = 0, begin = 0;
    for (unsigned from = 0; from < n_vertices; from++) {
        unsigned end = adjacency->out_start[from + 1], first = used;
        for (unsigned i = begin; i < end; i++) {
            const Edge *edge = &edges[sorted[i]];
            unsigned at = place[edge->to];
            if (at >= first && at < used && adjacency->edges[at].to == edge->to) {
                join_edge(&adjacency->edges[at], edge, rule);
                continue;
            }
            place[edge->to] = used;
            adjacency->edges[used++] = *edge;
        }
        begin = end;
        adjacency->out_start[from] = first;
    }
    adjacency->out_start[n_vertices] = used;
    adjacency->n_edges = used;
    adjacency->edges = g_renew(Edge, adjacency->edges, MAX(used, 1));
}

static void list_incoming(Adjacency *adjacency, unsigned n_vertices) {
    adjacency->in_start = g_new0(unsigned, n_vertices + 1);
    adjacency->in = g_new(unsigned, adjacency->n_edges);
    for (unsigned i = 0; i < adjacency->n_edges; i++)
        adjacency->in_start[adjacency->edges[i].to + 1]++;
    counts_to_starts(adjacency->in_start, n_vertices);
    g_autofree unsigned *next =
        g_memdup2(adjacency->in_start, n_vertices * sizeof *adjacency->in_start);
    for (unsigned i = 0; i < adjacency->n_edges; i++)
        adjacency->in[next[adjacency->edges[i].to]++] = i;
}

void adjacency_build(Adjacency *adjacency, const Edge *edges, unsigned n, unsigned n_vertices,
                     JoinRule rule) {
    adjacency->out_start = g_new0(unsigned, n_vertices + 1);
    g_autofree unsigned *sorted = sort_by_from(edges, n, n_vertices, adjacency->out_start);
    adjacency->edges = g_new(Edge, MAX(n, 1));
    join_parallel(adjacency, edges, sorted, n_vertices, rule);
    list_incoming(adjacency, n_vertices);
}

void adjacency_clear(Adjacency *adjacency) {
    g_free(adjacency->edges);
    g_free(adjacency->out_start);
    g_free(adjacency->in_start);
    g_free(adjacency->in);
    *adjacency = (Adjacency){ 0 };
}

static void build_declared(Graph *graph) {
    unsigned n_edges = graph->building->len, n_vertices = graph_size(graph);
    g_autofree Edge *edges = g_new(Edge, n_edges);
    for (unsigned i = 0; i < n_edges; i++)
        edges[i] = g_array_index(graph->building, BuildEdge, i).edge;
    g_clear_pointer(&graph->building, g_array_unref);
    adjacency_build(&graph->declared, edges, n_edges, n_vertices, JOIN_LATER_WINS);

    unsigned n_numbers = MAX(n_vertices, graph->declared.n_edges);
    graph->numbers = g_new(unsigned, n_numbers);
    for (unsigned i = 0; i < n_numbers; i++)
        graph->numbers[i] = i;
}

/* Most resources are named by what they manage, and two of one name are refused already. */
static bool is_named_by_identity(const Resource *resource) {
    const char *identity = NULL;
    for (unsigned i = 0; i < resource->kind->n_params; i++) {
        if (!(resource->kind->params[i].flags & PARAM_IDENTITY))
            continue;
        if (identity || value_type(resource->params[i]) != VALUE_STRING)
            return false;
        identity = value_string(resource->params[i]);
    }
    return identity && strcmp(identity, resource->name) == 0 && !g_str_has_suffix(identity, "/");
}

static void add_twin(GPtrArray *problems, const Resource *resource, const Resource *other) {
    g_autofree char *shown = resource_show(other);
    g_autofree char *place = origin_show(other->origin);
    GError *error =
        g_error_new(STEAD_ERROR, STEAD_ERROR_CONFIG,
                    "manages the same thing as %s at %s; keep one of them", shown, place);
    resource_prefix(resource, &error);
    g_ptr_array_add(problems, error);
}

/* Another resource that is named as this one is identified, if that is what it manages. */
static const Resource *find_namesake(const Graph *graph, const Resource *resource,
                                     const char *identity) {
    int vertex = graph_find(graph, resource->kind->name, identity);
    const Resource *other = vertex < 0 ? NULL : graph_resource(graph, (unsigned)vertex);
    return other && other != resource && is_named_by_identity(other) ? other : NULL;
}

/* One thing on the host under two names would be decided twice, each time differently. */
static void check_identities(const Graph *graph, GPtrArray *problems) {
    g_autoptr(GHashTable) owners = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (unsigned i = 0; i < graph_size(graph); i++) {
        const Resource *resource = graph_resource(graph, i);
        if (resource_meta(resource)->hidden || is_named_by_identity(resource))
            continue;
        g_autofree char *identity = resource_identity(resource);
        if (!identity)
            continue;
        char *key = g_strconcat(resource->kind->name, "\x1f", identity, NULL);
        const Resource *other = g_hash_table_lookup(owners, key);
        if (!other)
            other = find_namesake(graph, resource, identity);
        if (other)
            add_twin(problems, resource, other);
        g_hash_table_replace(owners, key, (void *)(uintptr_t)resource);
    }
}

bool graph_seal(Graph *graph, GPtrArray *problems) {
    g_assert(!graph->sealed && graph->building);
    unsigned n_before = problems->len;
    check_identities(graph, problems);
    for (unsigned i = 0; i < graph_size(graph); i++)
        resolve_receives(graph, i, problems);
    if (graph->too_many_edges)
        g_ptr_array_add(problems,
                        g_error_new(STEAD_ERROR, STEAD_ERROR_LIMIT,
                                    "refuse more than %u edges (LIMIT_EDGES)", LIMIT_EDGES));
    build_declared(graph);
    graph->order = g_new(unsigned, graph_size(graph));
    GError *cycle = NULL;
    if (!graph_sort(graph, &graph->declared, graph->order, &cycle))
        g_ptr_array_add(problems, cycle);
    graph->sealed = problems->len == n_before;
    return graph->sealed;
}
