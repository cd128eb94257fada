/*
 * Grouping. Merging a and b keeps the graph free of cycles exactly when neither reaches the other.
 * Candidates are taken in batches of one kind. For a batch, one walk in topological order gives
 * each vertex the set of candidates before it; from then on only these sets of the candidates
 * count: a merge unites two of them, and those of everybody after the two. The next batch starts
 * from the graph with the groups made so far.
 */
#include "graph/graph-private.h"

/* Candidates of a batch: fewer when their sets would need more memory, so a walk stays short. */
#define BATCH_MAX        4096u
#define BATCH_SETS_BYTES (32u * 1024 * 1024)
/* Batches of one kind; who comes later stays alone. */
#define BATCHES_MAX 4

typedef struct {
    Graph *graph;
    GHashTable *classes;  /* as given to graph_auto_group() */
    unsigned *candidates; /* vertices, in order of declaration */
    unsigned n, n_words;
    uint64_t *before; /* n_words of each vertex: candidates (by index) that reach it */
    bool merged;
} Batch;

static uint64_t *before(const Batch *batch, unsigned vertex) {
    return batch->before + (size_t)vertex * batch->n_words;
}

static bool has_bit(const uint64_t *set, unsigned i) {
    return set[i / 64] >> i % 64 & 1;
}

static void set_bit(uint64_t *set, unsigned i) {
    set[i / 64] |= UINT64_C(1) << i % 64;
}

static void add_set(uint64_t *set, const uint64_t *other, unsigned n_words) {
    for (unsigned i = 0; i < n_words; i++)
        set[i] |= other[i];
}

/* Each vertex gets what is before its predecessors, and these themselves. */
static void find_before(Batch *batch) {
    const Adjacency *adjacency = graph_adjacency(batch->graph);
    unsigned n_vertices = graph_size(batch->graph);
    g_autofree unsigned *index = g_new(unsigned, n_vertices);
    for (unsigned v = 0; v < n_vertices; v++)
        index[v] = NO_EDGE;
    for (unsigned i = 0; i < batch->n; i++)
        index[batch->candidates[i]] = i;
    for (unsigned place = 0; place < n_vertices; place++) {
        unsigned v = batch->graph->order[place];
        for (unsigned i = adjacency->in_start[v]; i < adjacency->in_start[v + 1]; i++) {
            unsigned from = adjacency->edges[adjacency->in[i]].from;
            add_set(before(batch, v), before(batch, from), batch->n_words);
            if (index[from] != NO_EDGE)
                set_bit(before(batch, v), index[from]);
        }
    }
}

/* --- merging */

static bool may_join(const Batch *batch, unsigned leader, unsigned candidate) {
    unsigned a = batch->candidates[leader], b = batch->candidates[candidate];
    if (has_bit(before(batch, a), candidate) || has_bit(before(batch, b), leader))
        return false;
    const Resource *first = graph_resource(batch->graph, a);
    const Resource *second = graph_resource(batch->graph, b);
    if (batch->classes &&
        g_hash_table_lookup(batch->classes, first) != g_hash_table_lookup(batch->classes, second))
        return false;
    return meta_runs_alike(resource_meta(first), resource_meta(second)) &&
           first->kind->group_with(first, second);
}

static void join(Batch *batch, unsigned leader, unsigned candidate) {
    unsigned a = batch->candidates[leader], b = batch->candidates[candidate];
    uint64_t *united = before(batch, a);
    add_set(united, before(batch, b), batch->n_words);
    for (unsigned i = 0; i < batch->n; i++) {
        uint64_t *set = before(batch, batch->candidates[i]);
        if (!has_bit(set, leader) && !has_bit(set, candidate))
            continue;
        add_set(set, united, batch->n_words);
        set_bit(set, leader); /* from now on the group is asked for by its leader only */
    }
    batch->graph->leaders[b] = a;
    batch->merged = true;
}

/* Edges as declared, between leaders. */
static void move_edges(Graph *graph) {
    const Adjacency *declared = &graph->declared;
    g_autofree Edge *edges = g_new(Edge, declared->n_edges);
    for (unsigned i = 0; i < declared->n_edges; i++) {
        edges[i] = declared->edges[i];
        edges[i].from = graph->leaders[edges[i].from];
        edges[i].to = graph->leaders[edges[i].to];
        g_assert(edges[i].from != edges[i].to);
    }
    adjacency_clear(&graph->grouped);
    adjacency_build(&graph->grouped, edges, declared->n_edges, graph_size(graph), JOIN_UNITE);
    GError *cycle = NULL;
    if (!graph_sort(graph, &graph->grouped, graph->order, &cycle))
        g_error("grouping made a cycle: %s", cycle->message);
}

static void group_batch(Batch *batch) {
    find_before(batch);
    g_autofree unsigned *leaders = g_new(unsigned, batch->n); /* indices */
    unsigned n_leaders = 0;
    for (unsigned i = 0; i < batch->n; i++) {
        unsigned at = 0;
        while (at < n_leaders && !may_join(batch, leaders[at], i))
            at++;
        if (at < n_leaders)
            join(batch, leaders[at], i);
        else
            leaders[n_leaders++] = i;
    }
    if (batch->merged)
        move_edges(batch->graph);
}

/* --- batches */

static bool is_candidate(const Resource *resource, const Kind *kind) {
    const Meta *meta = resource_meta(resource);
    return resource->kind == kind && meta->autogroup && !meta->hidden;
}

static void group_kind(Graph *graph, const Kind *kind, GHashTable *classes) {
    unsigned n_vertices = graph_size(graph), next = 0;
    unsigned most = CLAMP(BATCH_SETS_BYTES / 8 / n_vertices * 64, 64, BATCH_MAX);
    g_autofree unsigned *candidates = g_new(unsigned, most);
    for (unsigned i = 0; i < BATCHES_MAX && next < n_vertices; i++) {
        Batch batch = { .graph = graph, .classes = classes, .candidates = candidates };
        for (; next < n_vertices && batch.n < most; next++) {
            if (is_candidate(graph_resource(graph, next), kind))
                candidates[batch.n++] = next;
        }
        if (batch.n < 2)
            continue;
        batch.n_words = (batch.n + 63) / 64;
        batch.before = g_new0(uint64_t, (size_t)n_vertices * batch.n_words);
        group_batch(&batch);
        g_free(batch.before);
    }
}

/* Counting sort of the vertices by leader; a leader is the first of its members. */
static void list_members(Graph *graph) {
    unsigned n = graph_size(graph);
    graph->members = g_new(unsigned, n);
    graph->member_start = g_new0(unsigned, n + 1);
    for (unsigned v = 0; v < n; v++)
        graph->member_start[graph->leaders[v] + 1]++;
    for (unsigned v = 0; v < n; v++)
        graph->member_start[v + 1] += graph->member_start[v];
    g_autofree unsigned *next = g_memdup2(graph->member_start, n * sizeof(unsigned));
    for (unsigned v = 0; v < n; v++)
        graph->members[next[graph->leaders[v]]++] = v;
}

unsigned graph_auto_group(Graph *graph, GHashTable *classes) {
    g_assert(graph->sealed);
    if (graph->leaders)
        return 0;
    unsigned n_vertices = graph_size(graph), n_merged = 0;
    graph->leaders = g_memdup2(graph->numbers, n_vertices * sizeof(unsigned));
    for (unsigned i = 0; i < graph->kinds->len; i++) {
        const Kind *kind = graph->kinds->pdata[i];
        if (kind->group_with)
            group_kind(graph, kind, classes);
    }
    for (unsigned v = 0; v < n_vertices; v++)
        n_merged += graph->leaders[v] != v;
    if (n_merged > 0)
        list_members(graph);
    else
        g_clear_pointer(&graph->leaders, g_free);
    return n_merged;
}
