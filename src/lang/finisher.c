#include "lang/finisher.h"

/* Enough that a thread is not woken for each, few enough that it starts early. */
enum { BATCH_SIZE = 256 };

typedef struct {
    Resource *resource; /* borrowed from the graph */
    unsigned vertex;
} Item;

typedef struct {
    Item items[BATCH_SIZE];
    unsigned n_items;
} Batch;

struct Finisher {
    Batch *batch;        /* being filled; NULL: none */
    GThreadPool *thread; /* of Batch; made for the first full one, small programs need none */
    AutoEdges *edges;
    GPtrArray *errors; /* scratch: of GError */
    int failed;        /* atomic */
};

Finisher *finisher_new(bool auto_edges) {
    Finisher *finisher = g_new0(Finisher, 1);
    finisher->edges = auto_edges ? auto_edges_new() : NULL;
    finisher->errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    return finisher;
}

static void join(Finisher *finisher) {
    if (finisher->thread)
        g_thread_pool_free(g_steal_pointer(&finisher->thread), FALSE, TRUE);
}

void finisher_free(Finisher *finisher) {
    if (!finisher)
        return;
    join(finisher);
    auto_edges_free(finisher->edges);
    g_ptr_array_unref(finisher->errors);
    g_free(finisher->batch);
    g_free(finisher);
}

void finisher_fail(Finisher *finisher) {
    g_atomic_int_set(&finisher->failed, 1);
}

bool finisher_has_failed(Finisher *finisher) {
    return g_atomic_int_get(&finisher->failed) != 0;
}

static void finish_batch(void *batch, void *data) {
    g_autofree Batch *owned = batch;
    Finisher *finisher = data;
    for (unsigned i = 0; i < owned->n_items && !finisher_has_failed(finisher); i++) {
        const Item *item = &owned->items[i];
        if (!resource_finish(item->resource, finisher->errors))
            finisher_fail(finisher);
        else if (finisher->edges)
            auto_edges_ask(finisher->edges, item->vertex, item->resource);
    }
}

void finisher_add(Finisher *finisher, Resource *resource, unsigned vertex) {
    if (!finisher->batch) {
        finisher->batch = g_new(Batch, 1);
        finisher->batch->n_items = 0;
    }
    Batch *batch = finisher->batch;
    batch->items[batch->n_items++] = (Item){ resource, vertex };
    if (batch->n_items < BATCH_SIZE)
        return;
    if (!finisher->thread) /* an exclusive pool of one keeps the order */
        finisher->thread = g_thread_pool_new(finish_batch, finisher, 1, TRUE, NULL);
    (void)g_thread_pool_push(finisher->thread, g_steal_pointer(&finisher->batch), NULL);
}

bool finisher_wait(Finisher *finisher, AutoEdges **ret_edges) {
    join(finisher);
    if (finisher->batch)
        finish_batch(g_steal_pointer(&finisher->batch), finisher);
    if (finisher_has_failed(finisher))
        return false;
    *ret_edges = g_steal_pointer(&finisher->edges);
    return true;
}
