#include "lang/finisher.h"

#include "loop/thread.h"

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
    Batch *batch;       /* being filled; NULL: none */
    GThread *thread;    /* made for the first full batch, small programs need none */
    GAsyncQueue *queue; /* of Batch for thread; an empty one is the last */
    AutoEdges *edges;
    GPtrArray *errors; /* scratch: of GError */
    int failed;        /* atomic */
};

Finisher *finisher_new(bool auto_edges) {
    Finisher *finisher = g_new0(Finisher, 1);
    finisher->edges = auto_edges ? auto_edges_new() : NULL;
    finisher->queue = g_async_queue_new_full(g_free);
    finisher->errors = g_ptr_array_new_with_free_func((GDestroyNotify)g_error_free);
    return finisher;
}

static void join(Finisher *finisher) {
    if (!finisher->thread)
        return;
    g_async_queue_push(finisher->queue, g_new0(Batch, 1));
    g_thread_join(g_steal_pointer(&finisher->thread));
}

void finisher_free(Finisher *finisher) {
    if (!finisher)
        return;
    join(finisher);
    auto_edges_free(finisher->edges);
    g_ptr_array_unref(finisher->errors);
    g_async_queue_unref(finisher->queue);
    g_free(finisher->batch);
    g_free(finisher);
}

void finisher_fail(Finisher *finisher) {
    g_atomic_int_set(&finisher->failed, 1);
}

bool finisher_has_failed(Finisher *finisher) {
    return g_atomic_int_get(&finisher->failed) != 0;
}

/* Takes ownership of batch. */
static void finish_batch(Finisher *finisher, Batch *batch) {
    g_autofree Batch *owned = batch;
    for (unsigned i = 0; i < owned->n_items && !finisher_has_failed(finisher); i++) {
        const Item *item = &owned->items[i];
        if (!resource_finish(item->resource, finisher->errors))
            finisher_fail(finisher);
        else if (finisher->edges)
            auto_edges_ask(finisher->edges, item->vertex, item->resource);
    }
}

static void *finish_batches(void *data) {
    Finisher *finisher = data;
    for (bool last = false; !last;) {
        Batch *batch = g_async_queue_pop(finisher->queue);
        last = batch->n_items == 0;
        finish_batch(finisher, batch);
    }
    return NULL;
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
    if (!finisher->thread)
        finisher->thread = thread_start("finisher", finish_batches, finisher, NULL);
    if (finisher->thread)
        g_async_queue_push(finisher->queue, g_steal_pointer(&finisher->batch));
    else
        finish_batch(finisher, g_steal_pointer(&finisher->batch));
}

bool finisher_wait(Finisher *finisher, AutoEdges **ret_edges) {
    join(finisher);
    if (finisher->batch)
        finish_batch(finisher, g_steal_pointer(&finisher->batch));
    if (finisher_has_failed(finisher))
        return false;
    *ret_edges = g_steal_pointer(&finisher->edges);
    return true;
}
