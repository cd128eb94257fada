/*
 * What a killed step left on the host whose resource no round will look at any more: it left the
 * configuration to be forgotten or reported, or its name now means another thing. What the kind
 * keeps while it writes (temporaries) is removed at the load that drops it, before any round of the
 * new graph; that is one or two system calls a step, and there are no more steps than workers.
 */
#include <string.h>

#include "engine/engine-private.h"

/* Whether a round of graph cleans up after resource before it looks: see round_work(). */
static bool round_cleans(const Graph *graph, const Resource *resource) {
    int at = graph_find(graph, resource->kind->name, resource->name);
    if (at < 0)
        return false;
    const Resource *there = graph_resource(graph, (unsigned)at);
    return !resource_meta(there)->hidden && same_thing(resource, there);
}

static bool clean(Engine *engine, Resource *resource, GError **error) {
    if (!resource->kind->clean)
        return true;
    g_autoptr(Cancel) cancel = cancel_new(0);
    KindRun run = {
        .host = engine->options.host,
        .resource = resource,
        .cancel = cancel,
        .reason = REASON_START,
        .wall_now = loop_wall_now(engine->options.loop),
        .state_dir = engine->options.state_dir,
        .exit_code = -1,
    };
    bool ok = resource->kind->clean(&run, error);
    value_unref(run.outputs);
    value_unref(run.keep);
    g_free(run.note);
    return ok;
}

static void tell_failure(Engine *engine, const Resource *resource, const GError *error) {
    EngineEvent event = {
        .type = ENGINE_FAILED, .resource = resource, .latency = -1, .error = error
    };
    engine->n_uncleaned++;
    if (engine->options.listener)
        engine->options.listener(engine->options.listener_data, &event);
}

/* What the step was on: a first step says so itself, later ones are of what has an entry. NULL:
 * nothing is known of it, or it is of a kind or with a parameter that this version does not have.
 */
static Resource *resource_of(const Engine *engine, const char *kind, const char *name,
                             const Value *step) {
    const Value *made = value_type(step) == VALUE_MAP ? value_map_get(step, "resource") : NULL;
    const LedgerEntry *entry = made ? NULL : ledger_find(engine->options.ledger, kind, name);
    const char *origin = made ? value_map_string(step, "origin", NULL) : NULL;
    if (entry) {
        made = entry->resource;
        origin = entry->origin;
    }
    return made ? resource_from_value(made, engine->options.kinds, origin_parse(origin), NULL)
                : NULL;
}

/* Whether the step is over: nobody else cleans up after it, and that is done. */
static bool clean_up_after(Engine *engine, const Graph *graph, const char *kind, const char *name,
                           const Value *step) {
    g_autoptr(Resource) resource = resource_of(engine, kind, name, step);
    if (!resource || round_cleans(graph, resource))
        return false;
    g_autoptr(GError) error = NULL;
    if (clean(engine, resource, &error))
        return true;
    g_prefix_error(&error, "clean up after a run that was killed in it: ");
    tell_failure(engine, resource, error);
    return false;
}

void leftovers_clean(Engine *engine, const Graph *graph) {
    if (!engine->remembers || !engine->interrupted)
        return;
    engine->n_uncleaned = 0;
    GHashTableIter iter;
    gpointer key, step;
    g_hash_table_iter_init(&iter, engine->interrupted);
    while (g_hash_table_iter_next(&iter, &key, &step)) {
        const char *name = strchr(key, LEDGER_KEY_SEPARATOR[0]) + 1;
        g_autofree char *kind = g_strndup(key, (gsize)(name - 1 - (const char *)key));
        if (!clean_up_after(engine, graph, kind, name, step))
            continue;
        ledger_discard_interrupted(engine->options.ledger, kind, name);
        g_hash_table_iter_remove(&iter);
    }
}
