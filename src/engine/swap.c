/*
 * Live replacement of the graph. Vertices are matched by kind and name; equal ones are kept with
 * everything they know; changed ones are edited in place where the kind can; all removals are done
 * before any addition. Rounds that are running are waited for only when their vertex is affected.
 */
#include "engine/engine-private.h"

typedef enum { FATE_NEW, FATE_KEEP, FATE_MORPH } Fate;

typedef struct {
    Engine *engine;
    Graph *graph;      /* the new one */
    Vertex **vertices; /* by new leader; NULL until made */
    uint8_t *fates;    /* Fate by new leader */
    bool *survives;    /* by old leader */
} Swap;

static unsigned size_of(const Graph *graph) {
    return graph ? graph_size(graph) : 0;
}

static bool same_members(const Vertex *vertex, const Graph *graph, unsigned leader) {
    unsigned n;
    const unsigned *members = graph_members(graph, leader, &n);
    if (n != vertex->n_members)
        return false;
    for (unsigned i = 0; i < n; i++) {
        const Resource *resource = graph_resource(graph, members[i]);
        if (vertex->members[i] != resource && !resource_equal(vertex->members[i], resource))
            return false;
    }
    return true;
}

static OnRemove removal_of(GHashTable *removals, const Resource *resource) {
    return removals ? (OnRemove)GPOINTER_TO_INT(g_hash_table_lookup(removals, resource))
                    : ON_REMOVE_DEFAULT;
}

static bool can_morph(const Vertex *vertex, const Graph *graph, unsigned leader) {
    unsigned n;
    graph_members(graph, leader, &n);
    const Resource *to = graph_resource(graph, leader);
    const Kind *kind = to->kind;
    bool hidden = resource_meta(to)->hidden || vertex->state == VERTEX_HIDDEN;
    /* A program described itself anew: then the parameters are others. */
    bool same_kind = vertex->members[0]->kind == kind;
    return !hidden && same_kind && vertex->n_members == n && !(kind->flags & KIND_RESTARTS) &&
           (!kind->can_morph || kind->can_morph(vertex->members[0], to));
}

static Vertex *counterpart(const Engine *engine, const Resource *resource) {
    int old = engine->graph ? graph_find(engine->graph, resource->kind->name, resource->name) : -1;
    return old < 0 ? NULL : engine->vertices[old]; /* NULL as well when it is not a leader */
}

/* Decides what becomes of each leader of the new graph. */
static void decide(Swap *swap) {
    for (unsigned i = 0; i < size_of(swap->graph); i++) {
        if (graph_leader(swap->graph, i) != i)
            continue;
        const Resource *resource = graph_resource(swap->graph, i);
        Vertex *old = counterpart(swap->engine, resource);
        bool same_role = old && old->removal == removal_of(swap->engine->next_removals, resource);
        if (!same_role || resource_meta(resource)->hidden || swap->survives[old->index])
            continue;
        bool dead = old->state == VERTEX_FAILED && resource_meta(resource)->rewatch;
        if (same_members(old, swap->graph, i) && !dead)
            swap->fates[i] = FATE_KEEP;
        else if (can_morph(old, swap->graph, i))
            swap->fates[i] = FATE_MORPH;
        else
            continue;
        swap->vertices[i] = old;
        swap->survives[old->index] = true;
    }
}

/* A round of a vertex that is to be changed or removed must end first. */
static bool affected_round_runs(const Swap *swap) {
    const Engine *engine = swap->engine;
    if (engine->in_flight == 0)
        return false;
    for (unsigned i = 0; i < size_of(engine->graph); i++)
        if (engine->vertices[i] && engine->vertices[i]->round && !swap->survives[i])
            return true;
    for (unsigned i = 0; i < size_of(swap->graph); i++)
        if (swap->vertices[i] && swap->fates[i] == FATE_MORPH && swap->vertices[i]->round)
            return true;
    return false;
}

/* Queued vertices give up their places: the new edges may want another order. */
static void clear_queues(Engine *engine) {
    g_queue_clear(&engine->ready);
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < size_of(engine->graph); i++) {
            Vertex *vertex = engine->vertices[i];
            if (vertex && pass == 0) {
                semaphore_wait_cancel(&vertex->sema_wait);
                if (vertex->state == VERTEX_QUEUED)
                    vertex_set_state(vertex, VERTEX_IDLE);
            } else if (vertex && !vertex->round) {
                step_release(vertex);
            }
        }
}

static unsigned free_leavers(Swap *swap) {
    Engine *engine = swap->engine;
    unsigned n = 0;
    for (unsigned i = 0; i < size_of(engine->graph); i++) {
        if (!engine->vertices[i] || swap->survives[i])
            continue;
        vertex_free(engine->vertices[i]);
        n++;
    }
    return n;
}

/* A notification that waits stays with its edge, or comes back from the ledger at the first load.
 */
static uint8_t *carry_bits(const Swap *swap) {
    const Engine *engine = swap->engine;
    uint8_t *bits = g_new0(uint8_t, graph_edge_count(swap->graph) + 1);
    for (unsigned i = 0; engine->graph && i < graph_edge_count(engine->graph); i++) {
        if (engine->bits[i] == BIT_CLEAR)
            continue;
        const Edge *edge = graph_edge(engine->graph, i);
        const Resource *from = graph_resource(engine->graph, edge->from);
        const Resource *to = graph_resource(engine->graph, edge->to);
        int new_from = graph_find(swap->graph, from->kind->name, from->name);
        int new_to = graph_find(swap->graph, to->kind->name, to->name);
        if (new_from < 0 || new_to < 0)
            continue;
        unsigned n, leader = graph_leader(swap->graph, (unsigned)new_to);
        const unsigned *in = graph_edges_in(swap->graph, leader, &n);
        for (unsigned j = 0; j < n; j++)
            if (graph_edge(swap->graph, in[j])->from ==
                    graph_leader(swap->graph, (unsigned)new_from) &&
                (graph_edge(swap->graph, in[j])->flags & EDGE_NOTIFY))
                bits[in[j]] = engine->bits[i];
    }
    return bits;
}

static void restore_bits(Engine *engine) {
    Ledger *ledger = engine->options.ledger;
    for (unsigned i = 0; ledger && i < graph_edge_count(engine->graph); i++) {
        const Edge *edge = graph_edge(engine->graph, i);
        if (!(edge->flags & EDGE_NOTIFY))
            continue;
        const Resource *from = graph_resource(engine->graph, edge->from);
        const Resource *to = graph_resource(engine->graph, edge->to);
        if (ledger_is_pending(ledger, from->kind->name, from->name, to->kind->name, to->name))
            engine->bits[i] = BIT_WAITING;
    }
}

/* Same definition: only the places in files may have moved. */
static void keep(Vertex *vertex, const Graph *graph, unsigned leader) {
    unsigned n;
    const unsigned *members = graph_members(graph, leader, &n);
    vertex->index = leader;
    for (unsigned i = 0; i < n; i++) {
        Resource *old = vertex->members[i];
        vertex->members[i] = resource_ref(graph_resource(graph, members[i]));
        resource_unref(old);
    }
}

static bool must_rewatch(const Resource *from, const Resource *to) {
    if (resource_meta(from)->poll != resource_meta(to)->poll)
        return true;
    for (unsigned i = 0; i < to->kind->n_params; i++)
        if ((to->kind->params[i].flags & PARAM_REWATCH) &&
            !value_equal(resource_get(from, i), resource_get(to, i)))
            return true;
    return false;
}

/* In place: what the vertex knows of its past stays, what it knows of the host is to be looked at.
 */
static void morph(Vertex *vertex, const Graph *graph, unsigned leader) {
    const Meta *meta = resource_meta(graph_resource(graph, leader));
    const Meta *old = resource_meta(vertex->members[0]);
    bool rewatch = vertex->n_members > 1 || vertex->state == VERTEX_ARMING ||
                   must_rewatch(vertex->members[0], graph_resource(graph, leader));
    uint64_t now = loop_now(vertex->engine->options.loop);
    if (meta->reset)
        vertex->retries_used = vertex->watch_retries_used = 0;
    if (meta->reset || meta->limit != old->limit || meta->burst != old->burst)
        limiter_init(&vertex->limiter, meta->limit, meta->burst, now);
    vertex->index = leader;
    vertex_take_members(vertex, graph, leader);
    vertex->dirty = true;
    vertex->dirty_since = now;
    vertex->succeeded = vertex->pending = vertex->flapping = false;
    vertex->backoff = vertex->failures = 0;
    g_clear_error(&vertex->error);
    loop_timer_clear(&vertex->timer);
    vertex_set_state(vertex, rewatch ? VERTEX_ARMING : VERTEX_IDLE);
}

static Vertex *make(Swap *swap, unsigned leader) {
    Vertex *vertex = vertex_new(swap->engine, leader);
    const Resource *resource = vertex->members[0];
    vertex->removal = removal_of(swap->engine->removals, resource);
    if (swap->engine->options.ledger)
        vertex->retries_used =
            ledger_get_retries(swap->engine->options.ledger, resource->kind->name, resource->name);
    if (vertex->retries_used > 0 && resource_meta(resource)->reset)
        vertex->retries_used = 0;
    return vertex;
}

static void take_over(Swap *swap) {
    Engine *engine = swap->engine;
    bool first = !engine->graph;
    uint8_t *bits = carry_bits(swap);
    g_free(engine->bits);
    engine->bits = bits;
    g_free(engine->vertices);
    engine->vertices = swap->vertices;
    graph_unref(engine->graph);
    engine->graph = swap->graph;
    engine->cone_changed = true;
    engine->next_graph = NULL;
    g_clear_pointer(&engine->next_source, graph_unref);
    g_clear_pointer(&engine->removals, g_hash_table_unref);
    engine->removals = g_steal_pointer(&engine->next_removals);
    claims_free(engine->claims);
    engine->claims = claims_new(engine->graph);
    if (first)
        restore_bits(engine);
}

/* A resource of the configuration, not the undoing of one that left it; -1: there is none. */
static int find_declared(const Graph *graph, GHashTable *removals, const Resource *resource) {
    int found = graph ? graph_find(graph, resource->kind->name, resource->name) : -1;
    bool undone = found >= 0 &&
                  removal_of(removals, graph_resource(graph, (unsigned)found)) != ON_REMOVE_DEFAULT;
    return undone ? -1 : found;
}

/* How the configurations differ, resource by resource. */
static void count_differences(const Swap *swap, EngineEvent *event) {
    const Engine *engine = swap->engine;
    for (unsigned i = 0; i < size_of(swap->graph); i++) {
        const Resource *resource = graph_resource(swap->graph, i);
        if (removal_of(engine->next_removals, resource) != ON_REMOVE_DEFAULT)
            continue;
        int old = find_declared(engine->graph, engine->removals, resource);
        event->added += old < 0;
        event->changed += old >= 0 && swap->fates[graph_leader(swap->graph, i)] != FATE_KEEP &&
                          !resource_equal(graph_resource(engine->graph, (unsigned)old), resource);
    }
    for (unsigned i = 0; i < size_of(engine->graph); i++) {
        const Resource *resource = graph_resource(engine->graph, i);
        event->removed += removal_of(engine->removals, resource) == ON_REMOVE_DEFAULT &&
                          find_declared(swap->graph, engine->next_removals, resource) < 0;
    }
}

static void commit(Swap *swap) {
    Engine *engine = swap->engine;
    EngineEvent event = { .type = ENGINE_SWAPPED, .latency = -1 };
    count_differences(swap, &event);
    clear_queues(engine);
    unsigned touched = free_leavers(swap);
    take_over(swap);
    g_autoptr(GPtrArray) to_arm = g_ptr_array_new();
    for (unsigned i = 0; i < graph_size(engine->graph); i++) {
        Vertex *vertex = engine->vertices[i];
        if (graph_leader(engine->graph, i) != i)
            continue;
        if (!vertex)
            engine->vertices[i] = vertex = make(swap, i);
        else if (swap->fates[i] == FATE_MORPH)
            morph(vertex, engine->graph, i);
        else
            keep(vertex, engine->graph, i);
        touched += swap->fates[i] != FATE_KEEP;
        if (vertex->state == VERTEX_ARMING && swap->fates[i] != FATE_KEEP)
            g_ptr_array_add(to_arm, vertex);
    }
    step_recount(engine);
    for (unsigned i = 0; i < to_arm->len; i++)
        vertex_arm(g_ptr_array_index(to_arm, i));
    event.count = touched;
    if (engine->options.listener)
        engine->options.listener(engine->options.listener_data, &event);
}

void swap_try_commit(Engine *engine) {
    if (!engine->next_graph)
        return;
    unsigned size = size_of(engine->next_graph);
    g_autofree uint8_t *fates = g_new0(uint8_t, size + 1);
    g_autofree bool *survives = g_new0(bool, size_of(engine->graph) + 1);
    Swap swap = {
        .engine = engine,
        .graph = engine->next_graph,
        .vertices = g_new0(Vertex *, size + 1),
        .fates = fates,
        .survives = survives,
    };
    decide(&swap);
    bool waits = affected_round_runs(&swap);
    bool stale = !waits && engine->next_waited;
    if (!waits && !stale) {
        commit(&swap);
        return;
    }
    g_free(swap.vertices);
    engine->next_waited = waits;
    /* What the rounds that were waited for made may have left the configuration: look again. When
     * that fails, what was found before still holds. */
    if (stale && !engine_load(engine, engine->next_source, NULL))
        swap_try_commit(engine);
}
