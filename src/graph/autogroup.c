/* Grouping. Merging a and b keeps the graph free of cycles exactly when neither reaches the other.
 * Each open group therefore keeps the set of nodes it reaches and the set that reaches it; both
 * only grow, so each costs one walk over the graph in total. A node is a leader with its members.
 */
#include "graph/graph-private.h"

/* Groups of one kind that may still grow. When there are more, the oldest is closed. */
#define OPEN_GROUPS_MAX 64
/* Edges and vertices visited, per call: some 100 ms. Real graphs need a few per edge. */
#define WORK_MAX 30000000u

typedef struct {
    unsigned leader;
    uint64_t *after, *before; /* bit sets by leader: reached from here, reaching here, both with
                                 the group itself; NULL until somebody wants to join */
} Group;

typedef struct {
    Graph *graph;
    unsigned n_vertices;
    unsigned *leaders;
    unsigned *next, *last; /* members of a leader as a list; last by leader only */
    GArray *stack;         /* of unsigned, for walks */
    unsigned work;
    unsigned n_merged;
    Group open[OPEN_GROUPS_MAX];
    unsigned n_open, oldest;
} Grouping;

static bool has_bit(const uint64_t *set, unsigned i) {
    return set[i / 64] >> i % 64 & 1;
}

/* --- walking */

static void reach(Grouping *grouping, uint64_t *set, unsigned vertex) {
    unsigned node = grouping->leaders[vertex];
    if (has_bit(set, node))
        return;
    set[node / 64] |= UINT64_C(1) << node % 64;
    g_array_append_val(grouping->stack, node);
}

/* Reaches everything one step from a node. */
static void step(Grouping *grouping, uint64_t *set, unsigned node, bool forward) {
    const Adjacency *adjacency = &grouping->graph->declared;
    for (unsigned member = node; member != NO_EDGE; member = grouping->next[member]) {
        const unsigned *starts = forward ? adjacency->out_start : adjacency->in_start;
        grouping->work += 1 + starts[member + 1] - starts[member];
        for (unsigned i = starts[member]; i < starts[member + 1]; i++)
            reach(grouping, set,
                  forward ? adjacency->edges[i].to : adjacency->edges[adjacency->in[i]].from);
    }
}

/* Adds node and all it reaches; node is walked again even if it was in the set. */
static void spread(Grouping *grouping, uint64_t *set, unsigned node, bool forward) {
    set[node / 64] |= UINT64_C(1) << node % 64;
    g_array_set_size(grouping->stack, 0);
    g_array_append_val(grouping->stack, node);
    while (grouping->stack->len > 0) {
        unsigned at = g_array_index(grouping->stack, unsigned, grouping->stack->len - 1);
        g_array_set_size(grouping->stack, grouping->stack->len - 1);
        step(grouping, set, at, forward);
    }
}

/* --- groups */

static void group_clear(Group *group) {
    g_free(group->after);
    g_free(group->before);
    *group = (Group){ 0 };
}

static void group_open(Grouping *grouping, unsigned leader) {
    unsigned slot = grouping->n_open;
    if (slot == OPEN_GROUPS_MAX) {
        slot = grouping->oldest;
        grouping->oldest = (slot + 1) % OPEN_GROUPS_MAX;
        group_clear(&grouping->open[slot]);
    } else {
        grouping->n_open++;
    }
    grouping->open[slot].leader = leader;
}

static void group_look(Grouping *grouping, Group *group) {
    if (group->after)
        return;
    size_t n_words = grouping->n_vertices / 64 + 1;
    group->after = g_new0(uint64_t, n_words);
    group->before = g_new0(uint64_t, n_words);
    spread(grouping, group->after, group->leader, true);
    spread(grouping, group->before, group->leader, false);
}

/* Before a and b become one node: who reaches one reaches what the other reaches. */
static void unite_in(Grouping *grouping, uint64_t *set, unsigned a, unsigned b, bool forward) {
    if (!set || has_bit(set, a) == has_bit(set, b))
        return;
    spread(grouping, set, has_bit(set, a) ? b : a, forward);
}

static void group_join(Grouping *grouping, Group *group, unsigned vertex) {
    for (unsigned i = 0; i < grouping->n_open; i++) {
        unite_in(grouping, grouping->open[i].after, group->leader, vertex, true);
        unite_in(grouping, grouping->open[i].before, group->leader, vertex, false);
    }
    unsigned *last = &grouping->last[group->leader];
    grouping->next[*last] = vertex;
    *last = vertex;
    grouping->leaders[vertex] = group->leader;
    grouping->n_merged++;
}

static bool group_accepts(Grouping *grouping, Group *group, unsigned vertex) {
    const Resource *leader = graph_resource(grouping->graph, group->leader);
    const Resource *candidate = graph_resource(grouping->graph, vertex);
    if (!meta_runs_alike(resource_meta(leader), resource_meta(candidate)) ||
        !candidate->kind->group_with(leader, candidate))
        return false;
    group_look(grouping, group);
    return !has_bit(group->after, vertex) && !has_bit(group->before, vertex);
}

static bool may_group(const Resource *resource) {
    const Meta *meta = resource_meta(resource);
    return meta->autogroup && !meta->hidden;
}

static void place_candidate(Grouping *grouping, unsigned vertex) {
    for (unsigned i = 0; i < grouping->n_open; i++) {
        Group *group = &grouping->open[(grouping->oldest + i) % grouping->n_open];
        if (group_accepts(grouping, group, vertex)) {
            group_join(grouping, group, vertex);
            return;
        }
    }
    group_open(grouping, vertex);
}

static void group_kind(Grouping *grouping, const Kind *kind) {
    for (unsigned v = 0; v < grouping->n_vertices && grouping->work < WORK_MAX; v++) {
        const Resource *resource = graph_resource(grouping->graph, v);
        if (resource->kind == kind && may_group(resource))
            place_candidate(grouping, v);
    }
    for (unsigned i = 0; i < grouping->n_open; i++)
        group_clear(&grouping->open[i]);
    grouping->n_open = grouping->oldest = 0;
}

/* --- result */

static void move_edges(Graph *graph) {
    const Adjacency *declared = &graph->declared;
    g_autofree Edge *edges = g_new(Edge, declared->n_edges);
    for (unsigned i = 0; i < declared->n_edges; i++) {
        edges[i] = declared->edges[i];
        edges[i].from = graph->leaders[edges[i].from];
        edges[i].to = graph->leaders[edges[i].to];
        g_assert(edges[i].from != edges[i].to);
    }
    adjacency_build(&graph->grouped, edges, declared->n_edges, graph_size(graph), JOIN_UNITE);
}

static void list_members(Grouping *grouping) {
    Graph *graph = grouping->graph;
    unsigned n = 0;
    graph->members = g_new(unsigned, grouping->n_vertices);
    graph->member_start = g_new(unsigned, grouping->n_vertices + 1);
    for (unsigned v = 0; v < grouping->n_vertices; v++) {
        graph->member_start[v] = n;
        bool leads = grouping->leaders[v] == v;
        for (unsigned at = v; leads && at != NO_EDGE; at = grouping->next[at])
            graph->members[n++] = at;
    }
    graph->member_start[grouping->n_vertices] = n;
}

static void keep_groups(Grouping *grouping) {
    Graph *graph = grouping->graph;
    graph->leaders = g_steal_pointer(&grouping->leaders);
    move_edges(graph);
    GError *cycle = NULL;
    if (!graph_sort(graph, &graph->grouped, graph->order, &cycle))
        g_error("grouping made a cycle: %s", cycle->message);
}

static void grouping_init(Grouping *grouping, Graph *graph) {
    unsigned n = graph_size(graph);
    *grouping = (Grouping){
        .graph = graph,
        .n_vertices = n,
        .leaders = g_memdup2(graph->numbers, n * sizeof(unsigned)),
        .next = g_new(unsigned, n),
        .last = g_memdup2(graph->numbers, n * sizeof(unsigned)),
        .stack = g_array_new(FALSE, FALSE, sizeof(unsigned)),
    };
    for (unsigned v = 0; v < n; v++)
        grouping->next[v] = NO_EDGE;
}

static void grouping_clear(Grouping *grouping) {
    g_free(grouping->leaders);
    g_free(grouping->next);
    g_free(grouping->last);
    g_array_unref(grouping->stack);
}

unsigned graph_auto_group(Graph *graph) {
    g_assert(graph->sealed && !graph->leaders);
    Grouping grouping;
    grouping_init(&grouping, graph);
    for (unsigned i = 0; i < graph->kinds->len; i++) {
        const Kind *kind = graph->kinds->pdata[i];
        if (kind->group_with)
            group_kind(&grouping, kind);
    }
    if (grouping.n_merged > 0) {
        list_members(&grouping);
        keep_groups(&grouping);
    }
    grouping_clear(&grouping);
    return grouping.n_merged;
}
