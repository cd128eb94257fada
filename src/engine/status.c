/* What stands where, for status, why and the summary. */
#include "engine/engine-private.h"

static bool is_blocked(const Vertex *vertex) {
    const Engine *engine = vertex->engine;
    unsigned n;
    const unsigned *in = graph_edges_in(engine->graph, vertex->index, &n);
    for (unsigned i = 0; i < n; i++)
        if (!engine->vertices[graph_edge(engine->graph, in[i])->from]->settled)
            return true;
    return false;
}

/* The last round failed, but not because of this member. */
static bool is_right(const Vertex *vertex, unsigned member) {
    bool failed = vertex->state == VERTEX_FAILED || vertex->state == VERTEX_DELAYED;
    return failed && vertex->error && vertex->right && vertex->right[member];
}

static const char *state_of(const Vertex *vertex, unsigned member) {
    static const char *const names[VERTEX_STATES] = {
        [VERTEX_ARMING] = "waiting",  [VERTEX_LIMITED] = "waiting", [VERTEX_QUEUED] = "waiting",
        [VERTEX_RUNNING] = "running", [VERTEX_FAILED] = "failed",   [VERTEX_HIDDEN] = "hidden",
    };
    if (is_right(vertex, member))
        return "ok";
    if (vertex->state == VERTEX_DELAYED)
        return vertex->flapping && !vertex->error ? "flapping" : "retrying";
    if (vertex->state != VERTEX_IDLE)
        return names[vertex->state];
    if (vertex->dirty || !vertex->succeeded)
        return is_blocked(vertex) ? "blocked" : "waiting";
    return vertex->pending ? "pending" : "ok";
}

static void count_member(const char *state, EngineSummary *summary) {
    if (g_str_equal(state, "hidden"))
        return;
    summary->total++;
    if (g_str_equal(state, "ok"))
        summary->ok++;
    else if (g_str_equal(state, "pending"))
        summary->pending++;
    else if (g_str_equal(state, "failed"))
        summary->failed++;
    else if (g_str_equal(state, "blocked"))
        summary->blocked++;
    else
        summary->unfinished++;
}

EngineSummary engine_summary(const Engine *engine) {
    EngineSummary summary = {
        .changed = engine->n_changed,
        .removed = engine->n_removed,
        .failed = engine->n_uncleaned,
        .exit_code = engine->exit_code,
    };
    for (unsigned i = 0; engine->graph && i < graph_size(engine->graph); i++)
        for (unsigned j = 0; engine->vertices[i] && j < engine->vertices[i]->n_members; j++)
            count_member(state_of(engine->vertices[i], j), &summary);
    return summary;
}

/* Names of what stands between a blocked vertex and a failed one before it, from the blocked one
 * on.
 */
static Value *way_to(GHashTable *came_from, const Vertex *blocked, const Vertex *failed) {
    g_autoptr(GPtrArray) between = g_ptr_array_new();
    for (const Vertex *at = g_hash_table_lookup(came_from, failed); at != blocked;
         at = g_hash_table_lookup(came_from, at))
        g_ptr_array_add(between, (void *)(uintptr_t)at);
    Value *names = value_new_list();
    for (unsigned i = between->len; i > 0; i--) {
        const Vertex *at = between->pdata[i - 1];
        g_autofree char *name = resource_show(at->members[0]);
        value_list_append(names, value_new_string(name));
    }
    return names;
}

typedef struct {
    Value *failed, *waiting, *causes;
} Roots;

static void add_root(const Vertex *vertex, const Vertex *before, GHashTable *came_from,
                     const Roots *roots) {
    bool failed = before->state == VERTEX_FAILED || before->state == VERTEX_DELAYED;
    g_autofree char *name = resource_show(before->members[0]);
    if (!failed) {
        if (g_hash_table_lookup(came_from, before) == vertex)
            value_list_append(roots->waiting, value_new_string(name));
        return;
    }
    value_list_append(roots->failed, value_new_string(name));
    Value *cause = value_new_map();
    value_map_set(cause, "name", value_new_string(name));
    value_map_set(cause, "through", way_to(came_from, vertex, before));
    if (before->error)
        value_map_set(cause, "error", value_new_string(before->error->message));
    value_list_append(roots->causes, cause);
}

/* Failed ancestors: the reason why a blocked vertex does not run. The nearest first. */
static void find_roots(const Vertex *vertex, const Roots *roots) {
    const Engine *engine = vertex->engine;
    g_autoptr(GHashTable) came_from = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) queue = g_ptr_array_new();
    g_ptr_array_add(queue, (void *)(uintptr_t)vertex);
    for (unsigned next = 0; next < queue->len; next++) {
        Vertex *top = queue->pdata[next];
        unsigned n;
        const unsigned *in = graph_edges_in(engine->graph, top->index, &n);
        for (unsigned i = 0; i < n; i++) {
            Vertex *before = engine->vertices[graph_edge(engine->graph, in[i])->from];
            if (before->settled || g_hash_table_contains(came_from, before))
                continue;
            g_hash_table_insert(came_from, before, top);
            add_root(vertex, before, came_from, roots);
            g_ptr_array_add(queue, before);
        }
    }
}

static void set_origin(Value *status, const Resource *resource) {
    if (!resource->origin.file)
        return;
    g_autofree char *origin =
        g_strdup_printf("%s:%u", resource->origin.file, resource->origin.line);
    value_map_set(status, "origin", value_new_string(origin));
}

static void set_roots(Value *status, const Vertex *vertex) {
    Roots roots = { value_new_list(), value_new_list(), value_new_list() };
    find_roots(vertex, &roots);
    value_map_set(status, "blocked_by", roots.failed);
    value_map_set(status, "waits_for", roots.waiting);
    value_map_set(status, "causes", roots.causes);
}

static int64_t wall_of(const Engine *engine, uint64_t loop_time) {
    Loop *loop = engine->options.loop;
    return (int64_t)(loop_wall_now(loop) + loop_time - loop_now(loop));
}

static Value *status_of(const Vertex *vertex, unsigned member) {
    const Resource *resource = vertex->members[member];
    Value *status = value_new_map();
    value_map_set(status, "kind", value_new_string(resource->kind->name));
    value_map_set(status, "name", value_new_string(resource->name));
    value_map_set(status, "state", value_new_string(state_of(vertex, member)));
    if (vertex->removal)
        value_map_set(status, "removal", value_new_string(on_remove_name(vertex->removal)));
    if (vertex->error && !is_right(vertex, member))
        value_map_set(status, "error", value_new_string(vertex->error->message));
    if (vertex->unwatched)
        value_map_set(status, "unwatched", value_new_string(vertex->unwatched->message));
    if (vertex->checked_at)
        value_map_set(status, "checked", value_new_int(vertex->checked_at));
    if (vertex->changed_at)
        value_map_set(status, "changed", value_new_int(vertex->changed_at));
    if (vertex->timer && vertex->next_try)
        value_map_set(status, "next", value_new_int(wall_of(vertex->engine, vertex->next_try)));
    if (vertex->sema_wait.queue)
        value_map_set(status, "semaphore", value_new_string(vertex->semas[vertex->semas_held]));
    set_origin(status, resource);
    if (vertex->blockers > 0)
        set_roots(status, vertex);
    return status;
}

Value *engine_status(const Engine *engine, const char *kind, const char *name) {
    int found = engine->graph ? graph_find(engine->graph, kind, name) : -1;
    if (found < 0)
        return NULL;
    const Vertex *vertex = engine->vertices[graph_leader(engine->graph, (unsigned)found)];
    if (vertex->removal && vertex->state == VERTEX_HIDDEN)
        return NULL; /* gone: it is managed no more */
    for (unsigned i = 0; i < vertex->n_members; i++)
        if (g_str_equal(vertex->members[i]->name, name) &&
            g_str_equal(vertex->members[i]->kind->name, kind))
            return status_of(vertex, i);
    return NULL;
}

void engine_visit_status(const Engine *engine, void (*visit)(void *data, const Value *status),
                         void *data) {
    for (unsigned i = 0; engine->graph && i < graph_size(engine->graph); i++) {
        unsigned leader = graph_leader(engine->graph, i);
        const Vertex *vertex = engine->vertices[leader];
        for (unsigned j = 0; j < vertex->n_members; j++) {
            if (vertex->members[j] != graph_resource(engine->graph, i))
                continue;
            g_autoptr(Value) status = status_of(vertex, j);
            visit(data, status);
        }
    }
}

/* --- what the ledger is told of those that had no round --- */

static void remember_blocked(const Vertex *vertex, unsigned member) {
    if (!g_str_equal(state_of(vertex, member), "blocked"))
        return;
    Value *status = value_new_map();
    value_map_set(status, "state", value_new_string("blocked"));
    set_origin(status, vertex->members[member]);
    set_roots(status, vertex);
    const Resource *resource = vertex->members[member];
    if (value_size(value_map_get(status, "causes")) > 0)
        ledger_set_status(vertex->engine->options.ledger, resource->kind->name, resource->name,
                          status);
    else
        value_unref(status);
}

typedef struct {
    const Engine *engine;
    GPtrArray *gone; /* kind, name, kind, name, ... */
} Stale;

static void find_stale(void *data, const char *kind, const char *name, const Value *status) {
    Stale *stale = data;
    if (graph_find(stale->engine->graph, kind, name) >= 0 ||
        ledger_find(stale->engine->options.ledger, kind, name))
        return;
    g_ptr_array_add(stale->gone, g_strdup(kind));
    g_ptr_array_add(stale->gone, g_strdup(name));
}

void status_remember(Engine *engine) {
    if (!engine->remembers || !engine->graph || !engine->cone_changed)
        return;
    engine->cone_changed = false;
    g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func(g_free);
    Stale stale = { engine, gone };
    Ledger *ledger = engine->options.ledger;
    ledger_visit_status(ledger, find_stale, &stale);
    for (unsigned i = 0; i < gone->len; i += 2)
        ledger_set_status(ledger, gone->pdata[i], gone->pdata[i + 1], NULL);
    for (unsigned i = 0; i < graph_size(engine->graph); i++)
        for (unsigned j = 0; engine->vertices[i] && j < engine->vertices[i]->n_members; j++)
            remember_blocked(engine->vertices[i], j);
}

unsigned engine_visit_running(const Engine *engine,
                              void (*visit)(void *data, const Resource *resource), void *data) {
    unsigned n = 0;
    for (unsigned i = 0; engine->graph && i < graph_size(engine->graph); i++) {
        const Vertex *vertex = engine->vertices[i];
        if (vertex == NULL || vertex->index != i || vertex->state != VERTEX_RUNNING)
            continue;
        visit(data, vertex->members[0]);
        n++;
    }
    return n;
}
