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
    if (vertex->state == VERTEX_HIDDEN && vertex->removal)
        return "ok";
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

/* Failed ancestors: the reason why a blocked vertex does not run. */
static void add_roots(const Vertex *vertex, GHashTable *seen, Value *failed, Value *waiting) {
    const Engine *engine = vertex->engine;
    g_autoptr(GPtrArray) stack = g_ptr_array_new();
    g_ptr_array_add(stack, (void *)(uintptr_t)vertex);
    while (stack->len > 0) {
        const Vertex *top = g_ptr_array_steal_index_fast(stack, stack->len - 1);
        unsigned n;
        const unsigned *in = graph_edges_in(engine->graph, top->index, &n);
        for (unsigned i = 0; i < n; i++) {
            Vertex *before = engine->vertices[graph_edge(engine->graph, in[i])->from];
            if (before->settled || !g_hash_table_add(seen, before))
                continue;
            g_autofree char *name = resource_show(before->members[0]);
            if (before->state == VERTEX_FAILED || before->state == VERTEX_DELAYED)
                value_list_append(failed, value_new_string(name));
            else if (top == vertex)
                value_list_append(waiting, value_new_string(name));
            g_ptr_array_add(stack, before);
        }
    }
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
    if (resource->origin.file) {
        g_autofree char *origin =
            g_strdup_printf("%s:%u", resource->origin.file, resource->origin.line);
        value_map_set(status, "origin", value_new_string(origin));
    }
    if (vertex->blockers > 0) {
        g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
        Value *failed = value_new_list(), *waiting = value_new_list();
        add_roots(vertex, seen, failed, waiting);
        value_map_set(status, "blocked_by", failed);
        value_map_set(status, "waits_for", waiting);
    }
    return status;
}

Value *engine_status(const Engine *engine, const char *kind, const char *name) {
    int found = engine->graph ? graph_find(engine->graph, kind, name) : -1;
    if (found < 0)
        return NULL;
    const Vertex *vertex = engine->vertices[graph_leader(engine->graph, (unsigned)found)];
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
