/*
 * Order. mgmt gives each vertex a time stamp: it may run only when its stamp is older than those of
 * all its predecessors, and pokes the offending ones otherwise. We keep the same relation as
 * counts: a vertex is settled when it succeeded, is not dirty and all its predecessors are settled;
 * it may run when none of its direct predecessors is unsettled (blockers == 0). Becoming dirty
 * unsettles all descendants, settling pokes exactly those successors whose count falls to zero.
 * This costs the edges of the touched cone instead of every predecessor of every poked vertex.
 */
#include "engine/engine-private.h"

/* A dispatch gives the loop back after this time, so that events and signals are not kept waiting.
 */
#define DISPATCH_SLICE_US 2000
/* Rounds in one task of a worker, at most. */
#define BATCH_MAX 32

/* A failure is told when it is certain that nothing it depends on has changed: who takes away a
 * group takes its members first, and the second event is still on its way. */
#define HOLD_FAILURE_US 10000

static void dispatch(void *data);

void step_schedule(Engine *engine) {
    if (!engine->dispatch_timer)
        loop_timer_set(engine->options.loop, &engine->dispatch_timer,
                       loop_now(engine->options.loop), dispatch, engine);
}

/* The vertex at the far end of an edge. */
static Vertex *successor(const Vertex *vertex, unsigned edge) {
    return vertex->engine->vertices[graph_edge(vertex->engine->graph, edge)->to];
}

void step_unsettle(Vertex *vertex) {
    if (!vertex->settled)
        return;
    /* An explicit stack: chains may be 100,000 long. */
    g_autoptr(GPtrArray) stack = g_ptr_array_new();
    vertex->settled = false;
    g_ptr_array_add(stack, vertex);
    while (stack->len > 0) {
        Vertex *top = g_ptr_array_steal_index_fast(stack, stack->len - 1);
        unsigned n;
        const unsigned *out = graph_edges_out(top->engine->graph, top->index, &n);
        for (unsigned i = 0; i < n; i++) {
            Vertex *next = successor(top, out[i]);
            next->blockers++;
            if (next->settled) {
                next->settled = false;
                g_ptr_array_add(stack, next);
            }
        }
    }
}

static void list_eligible(Vertex *vertex) {
    if (vertex->listed)
        return;
    vertex->listed = true;
    g_ptr_array_add(vertex->engine->eligible, vertex);
}

/* Tells every listed vertex that it is eligible; what they settle lists more. */
static void drain_eligible(Engine *engine) {
    if (engine->draining)
        return;
    engine->draining = true;
    while (engine->eligible->len > 0) {
        Vertex *vertex = g_ptr_array_steal_index_fast(engine->eligible, engine->eligible->len - 1);
        vertex->listed = false;
        if (vertex->blockers == 0)
            vertex_event(vertex, VERTEX_EVENT_ELIGIBLE);
    }
    engine->draining = false;
}

static void settle(Vertex *vertex) {
    if (vertex->settled)
        return;
    vertex->settled = true;
    unsigned n;
    const unsigned *out = graph_edges_out(vertex->engine->graph, vertex->index, &n);
    for (unsigned i = 0; i < n; i++) {
        Vertex *next = successor(vertex, out[i]);
        g_assert(next->blockers > 0);
        if (--next->blockers == 0)
            list_eligible(next);
    }
    drain_eligible(vertex->engine);
}

bool step_refresh_waits(const Vertex *vertex) {
    unsigned n;
    const unsigned *in = graph_edges_in(vertex->engine->graph, vertex->index, &n);
    for (unsigned i = 0; i < n; i++)
        if (vertex->engine->bits[in[i]] != BIT_CLEAR)
            return true;
    return false;
}

/* Takes the remaining permits; true when it holds all of them. */
static bool take_semaphores(Vertex *vertex) {
    for (; vertex->semas && vertex->semas[vertex->semas_held]; vertex->semas_held++) {
        vertex->sema_wait.link.data = vertex;
        if (!semaphore_take(vertex->engine->semaphores, vertex->semas[vertex->semas_held],
                            &vertex->sema_wait))
            return false;
    }
    return true;
}

static void make_ready(Vertex *vertex) {
    g_queue_push_tail(&vertex->engine->ready, vertex);
    step_schedule(vertex->engine);
}

/* The process step: nothing while predecessors are unsettled; nothing to do settles; else queue. */
void step_try_run(Vertex *vertex) {
    if (vertex->blockers > 0)
        return;
    if (vertex->state == VERTEX_HIDDEN) {
        settle(vertex);
        return;
    }
    if (!vertex->dirty && !step_refresh_waits(vertex)) {
        if (vertex->succeeded)
            settle(vertex);
        return;
    }
    vertex_set_state(vertex, VERTEX_QUEUED);
    if (take_semaphores(vertex))
        make_ready(vertex);
}

void step_release(Vertex *vertex) {
    Engine *engine = vertex->engine;
    if (vertex->state == VERTEX_QUEUED)
        g_queue_remove(&engine->ready, vertex);
    semaphore_wait_cancel(&vertex->sema_wait);
    while (vertex->semas_held > 0) {
        Vertex *next = semaphore_give(engine->semaphores, vertex->semas[--vertex->semas_held]);
        if (!next)
            continue;
        next->semas_held++;
        if (take_semaphores(next))
            make_ready(next);
    }
}

/* Turns the bits on the edges into vertex from one state to another; returns whether any was. */
static bool turn_bits(Vertex *vertex, EdgeBit from, EdgeBit to) {
    Engine *engine = vertex->engine;
    bool any = false;
    unsigned n;
    const unsigned *in = graph_edges_in(engine->graph, vertex->index, &n);
    for (unsigned i = 0; i < n; i++) {
        if (engine->bits[in[i]] != from)
            continue;
        engine->bits[in[i]] = to;
        any = true;
        if (to == BIT_CLEAR)
            record_bit(engine, graph_edge(engine->graph, in[i]), false);
    }
    return any;
}

static void fail_before_start(Vertex *vertex, GError *error) {
    Round *round = round_new(vertex);
    round->result = ROUND_FAILED;
    round->error = error;
    vertex->round = round;
    vertex_set_state(vertex, VERTEX_RUNNING);
    vertex->engine->in_flight++;
    step_round_done(round);
}

/* Rounds that are over sooner than a worker is woken go to it several at a time. */
typedef struct {
    unsigned n;
    Round *rounds[BATCH_MAX];
} Batch;

static void batch_work(void *data) {
    Batch *batch = data;
    for (unsigned i = 0; i < batch->n; i++)
        round_work(batch->rounds[i]);
}

static void batch_done(void *data) {
    Batch *batch = data;
    batch->rounds[0]->engine->batches--;
    for (unsigned i = 0; i < batch->n; i++)
        step_round_done(batch->rounds[i]);
    g_free(batch);
}

static void push_batch(Engine *engine) {
    if (!engine->batch)
        return;
    worker_pool_push(engine->workers, batch_work, batch_done, engine->batch);
    engine->batches++;
    engine->batch = NULL;
}

static void add_to_batch(Engine *engine, Round *round) {
    if (!engine->batch)
        engine->batch = g_new0(Batch, 1);
    Batch *batch = engine->batch;
    batch->rounds[batch->n++] = round;
    if (batch->n >= engine->batch_size)
        push_batch(engine);
}

/* A single quick round, which is what most repairs are, saves the way to a worker and back. */
static bool run_alone(Engine *engine, Round *round) {
    return engine->alone && engine->batches == 0 &&
           loop_run_aside(engine->options.loop, round_work, step_round_done, round);
}

static void start_round(Vertex *vertex) {
    Engine *engine = vertex->engine;
    g_autoptr(GError) error = NULL;
    bool changed = false;
    if (!receive_values(vertex, &changed, &error)) {
        fail_before_start(vertex, g_steal_pointer(&error));
        return;
    }
    Round *round = round_new(vertex);
    round->refresh = turn_bits(vertex, BIT_WAITING, BIT_DELIVERING);
    for (unsigned i = 0; i < round->n_members; i++)
        round->members[i].run.refresh = round->refresh;
    vertex->round = round;
    vertex_set_state(vertex, VERTEX_RUNNING);
    record_classify(vertex, round);
    engine->in_flight++;
    KindFlags flags = vertex->members[0]->kind->flags;
    if (flags & KIND_INLINE) {
        round_work(round);
        step_round_done(round);
    } else if (flags & KIND_QUICK) {
        if (!run_alone(engine, round))
            add_to_batch(engine, round);
    } else {
        worker_pool_push(engine->workers, round_work, step_round_done, round);
    }
}

/* Something it depends on became dirty after it was queued. */
static void step_back(Vertex *vertex) {
    step_release(vertex);
    vertex_set_state(vertex, VERTEX_IDLE);
}

static void dispatch(void *data) {
    Engine *engine = data;
    uint64_t start = loop_now(engine->options.loop);
    unsigned turns = 0;
    /* Few are spread over all threads, each of them may be a slow one after all. */
    engine->alone = engine->ready.length == 1;
    engine->batch_size = CLAMP(engine->ready.length / engine->threads, 1, BATCH_MAX);
    while (engine->stop_level == 0 && !engine->next_graph &&
           engine->in_flight < engine->max_in_flight && engine->ready.length > 0) {
        Vertex *vertex = g_queue_pop_head(&engine->ready);
        if (vertex->blockers > 0)
            step_back(vertex);
        else
            start_round(vertex);
        if (++turns % 32 == 0 && loop_now(engine->options.loop) - start > DISPATCH_SLICE_US) {
            step_schedule(engine);
            break;
        }
    }
    push_batch(engine);
    if (engine->next_graph)
        swap_try_commit(engine);
    step_touch_convergence(engine);
}

void step_round_finished(Vertex *vertex, Round *round) {
    Engine *engine = vertex->engine;
    bool done = round->result != ROUND_FAILED;
    /* Noop delivers nothing and tells nobody, but it lets successors have their look. */
    turn_bits(vertex, BIT_DELIVERING, done && !round->noop ? BIT_CLEAR : BIT_WAITING);
    if (!done)
        return;
    receive_sent(vertex, round);
    bool unseen = vertex->members[0]->kind->flags & (KIND_UNPREDICTABLE | KIND_BRINGS);
    vertex->brings = round->brought || (engine->planning && unseen && round->result != ROUND_OK);
    /* A step that an earlier process was killed in may have had its effect: notify rather twice
     * than never. */
    if (round->result == ROUND_CHANGED || (round->resumed && !round->noop)) {
        unsigned n;
        const unsigned *out = graph_edges_out(engine->graph, vertex->index, &n);
        for (unsigned i = 0; i < n; i++) {
            const Edge *edge = graph_edge(engine->graph, out[i]);
            if (!(edge->flags & EDGE_NOTIFY))
                continue;
            engine->bits[out[i]] = BIT_WAITING;
            record_bit(engine, edge, true);
        }
    }
    vertex->succeeded = true;
    if (!vertex->dirty)
        step_try_run(vertex); /* settles, or runs again for a notification that came meanwhile */
}

static bool must_be_held(const Round *round) {
    const Engine *engine = round->engine;
    const Vertex *vertex = round->vertex;
    unsigned n;
    (void)graph_edges_in(engine->graph, vertex->index, &n);
    return round->result == ROUND_FAILED && !round->held && n > 0 && engine->options.watch &&
           engine->stop_level == 0 && !vertex->doomed && !round->poked && vertex->blockers == 0;
}

void step_round_done(void *data) {
    Round *round = data;
    Engine *engine = round->engine;
    Vertex *vertex = round->vertex;
    if (must_be_held(round)) {
        round->held = true;
        uint64_t until = loop_now(engine->options.loop) + HOLD_FAILURE_US;
        loop_timer_set(engine->options.loop, &round->hold, until, step_round_done, round);
        return;
    }
    engine->in_flight--;
    g_assert(vertex->round == round);
    round->finished = loop_now(engine->options.loop);
    vertex->checked_at = (int64_t)loop_wall_now(engine->options.loop);
    /* The order matters: the next owner of a permit is queued before we ask what may run. */
    step_release(vertex);
    for (unsigned i = 0; i < round->n_members; i++)
        if (round->members[i].run.exit_code >= 0 && round->result == ROUND_CHANGED)
            engine->exit_code = round->members[i].run.exit_code;
    vertex_event(vertex,
                 round->result == ROUND_FAILED ? VERTEX_EVENT_FAILURE : VERTEX_EVENT_SUCCESS);
    vertex->round = NULL;
    record_end(vertex, round);
    round_free(round);
    if (engine->exit_code >= 0 && engine->stop_level == 0)
        engine_stop(engine);
    if (engine->stop_level > 0 && engine->in_flight == 0)
        loop_quit(engine->options.loop);
    step_schedule(engine);
}

/* Counts everything anew in topological order: edges may have come and gone. */
void step_recount(Engine *engine) {
    const unsigned *order = graph_order(engine->graph);
    unsigned size = graph_size(engine->graph);
    g_ptr_array_set_size(engine->eligible, 0);
    for (unsigned i = 0; i < size; i++) {
        Vertex *vertex = engine->vertices[order[i]];
        if (!vertex)
            continue;
        unsigned n;
        const unsigned *in = graph_edges_in(engine->graph, vertex->index, &n);
        vertex->blockers = 0;
        vertex->listed = false;
        for (unsigned j = 0; j < n; j++)
            if (!engine->vertices[graph_edge(engine->graph, in[j])->from]->settled)
                vertex->blockers++;
        bool idle = vertex->state == VERTEX_IDLE || vertex->state == VERTEX_HIDDEN;
        vertex->settled = vertex->blockers == 0 && idle && !vertex->dirty &&
                          (vertex->succeeded || vertex->state == VERTEX_HIDDEN) &&
                          !step_refresh_waits(vertex);
        if (vertex->blockers == 0 && !vertex->settled)
            list_eligible(vertex);
    }
    drain_eligible(engine);
    step_schedule(engine);
}

static void tell(Engine *engine, EngineEventType type) {
    EngineEvent event = { .type = type, .latency = -1 };
    if (engine->options.listener)
        engine->options.listener(engine->options.listener_data, &event);
}

static void quiet_long_enough(void *data) {
    Engine *engine = data;
    engine->converged = true;
    status_remember(engine);
    tell(engine, ENGINE_CONVERGED);
}

void step_touch_convergence(Engine *engine) {
    bool busy = engine->active > 0 || engine->next_graph || engine->stop_level > 0;
    if (busy) {
        loop_timer_clear(&engine->converge_timer);
        if (engine->converged) {
            engine->converged = false;
            tell(engine, ENGINE_DIVERGED);
        }
    } else if (!engine->converged && !engine->converge_timer) {
        uint64_t at = loop_now(engine->options.loop) + engine->options.converged_timeout;
        loop_timer_set(engine->options.loop, &engine->converge_timer, at, quiet_long_enough,
                       engine);
    }
}
