#include "engine/engine.h"

#include <unistd.h>

#include "engine/engine-private.h"

/* Rounds handed to the pool per thread, so that threads never wait for the loop. */
#define ROUNDS_PER_THREAD 64

static GHashTable *interrupted_steps(Ledger *ledger) {
    const GPtrArray *steps = ledger_interrupted(ledger);
    if (!steps || steps->len == 0)
        return NULL;
    GHashTable *table =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)value_unref);
    for (unsigned i = 0; i < steps->len; i++) {
        const LedgerStep *step = g_ptr_array_index(steps, i);
        g_hash_table_insert(table, g_strconcat(step->kind, LEDGER_KEY_SEPARATOR, step->name, NULL),
                            value_ref(step->preimage));
    }
    return table;
}

Engine *engine_new(const EngineOptions *options) {
    Engine *engine = g_new0(Engine, 1);
    engine->options = *options;
    engine->planning = host_is_prediction(options->host);
    engine->remembers = options->ledger && !engine->planning && !options->noop;
    unsigned threads = options->parallel ? options->parallel : 2 * (unsigned)g_get_num_processors();
    engine->workers = worker_pool_new(options->loop, threads);
    engine->threads = threads;
    engine->max_in_flight = threads * ROUNDS_PER_THREAD;
    engine->semaphores = semaphore_set_new();
    engine->eligible = g_ptr_array_new();
    engine->exit_code = -1;
    g_queue_init(&engine->ready);
    if (options->ledger)
        engine->interrupted = interrupted_steps(options->ledger);
    return engine;
}

static void request_all(Engine *engine, void (*request)(Cancel *cancel)) {
    for (unsigned i = 0; engine->graph && i < graph_size(engine->graph); i++)
        if (engine->vertices[i] && engine->vertices[i]->round)
            request(engine->vertices[i]->round->cancel);
}

/* Failures that are held back are told now. */
static void release_held(Engine *engine) {
    for (unsigned i = 0; engine->graph && i < graph_size(engine->graph); i++) {
        Vertex *vertex = engine->vertices[i];
        if (vertex && vertex->index == i && vertex->round && vertex->round->held)
            step_round_done(vertex->round);
    }
}

void engine_free(Engine *engine) {
    if (!engine)
        return;
    engine->stop_level = 3;
    request_all(engine, cancel_request);
    worker_pool_free(engine->workers);
    release_held(engine);
    status_remember(engine);
    g_queue_clear(&engine->ready);
    for (unsigned i = 0; engine->graph && i < graph_size(engine->graph); i++)
        vertex_free(engine->vertices[i]);
    g_free(engine->vertices);
    g_free(engine->bits);
    claims_free(engine->claims);
    graph_unref(engine->graph);
    graph_unref(engine->next_graph);
    graph_unref(engine->next_source);
    g_clear_pointer(&engine->removals, g_hash_table_unref);
    g_clear_pointer(&engine->next_removals, g_hash_table_unref);
    g_clear_pointer(&engine->interrupted, g_hash_table_unref);
    loop_timer_clear(&engine->dispatch_timer);
    loop_timer_clear(&engine->converge_timer);
    loop_timer_clear(&engine->unwatched_timer);
    g_ptr_array_unref(engine->eligible);
    semaphore_set_free(engine->semaphores);
    g_free(engine->warning);
    g_free(engine);
}

void engine_stop(Engine *engine) {
    engine->stop_level++;
    release_held(engine);
    if (engine->stop_level == 2)
        request_all(engine, cancel_request);
    else if (engine->stop_level > 2)
        request_all(engine, cancel_kill);
    if (engine->in_flight == 0)
        loop_quit(engine->options.loop);
}

bool engine_is_stopping(const Engine *engine) {
    return engine->stop_level > 0;
}

bool engine_is_converged(const Engine *engine) {
    return engine->converged;
}

void engine_retry_failed(Engine *engine) {
    for (unsigned i = 0; engine->graph && i < graph_size(engine->graph); i++)
        if (engine->vertices[i] && engine->vertices[i]->state == VERTEX_FAILED)
            vertex_event(engine->vertices[i], VERTEX_EVENT_TIMER);
}

void engine_recheck(Engine *engine) {
    for (unsigned i = 0; engine->graph && i < graph_size(engine->graph); i++)
        if (engine->vertices[i])
            vertex_event(engine->vertices[i], VERTEX_EVENT_CHANGE);
}

const char *engine_warning(const Engine *engine) {
    return engine->warning;
}

bool engine_load(Engine *engine, Graph *graph, GError **error) {
    GHashTable *removals = NULL;
    Graph *next = removal_add(engine, graph, &removals, error);
    if (!next)
        return false;
    graph_auto_group(next, removals);
    Graph *source = graph_ref(graph);
    graph_unref(engine->next_source);
    graph_unref(engine->next_graph);
    g_clear_pointer(&engine->next_removals, g_hash_table_unref);
    engine->next_source = source;
    engine->next_waited = false;
    engine->next_graph = next;
    engine->next_removals = removals;
    engine->converged = false;
    loop_timer_clear(&engine->converge_timer);
    swap_try_commit(engine);
    return true;
}
