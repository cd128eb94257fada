/* One vertex: what each event does in each state, and the timers, watches and budgets behind that.
 */
#include <math.h>
#include <string.h>

#include "engine/engine-private.h"

#define FLAP_WINDOW_US                                                                             \
    (60 * (uint64_t)G_USEC_PER_SEC) /* corrections are counted over this time                      \
                                     */
#define FLAP_BACKOFF_MAX_US                                                                        \
    (300 * (uint64_t)G_USEC_PER_SEC) /* longest pause between two fixes of a flapping one */
#define RECHECK_FIRST_US (5 * (uint64_t)G_USEC_PER_SEC) /* doubled by the first failure */
#define RETRY_SOON_US                                                                              \
    ((uint64_t)G_USEC_PER_SEC / 40) /* after giving up: first try on an event, then doubled */

/* --- state ------------------------------------------------------------------------------------ */

/* In which states a vertex keeps the engine from being converged. */
static const bool state_is_active[VERTEX_STATES] = {
    [VERTEX_ARMING] = true,  [VERTEX_LIMITED] = true, [VERTEX_QUEUED] = true,
    [VERTEX_RUNNING] = true, [VERTEX_DELAYED] = true,
};

static void count(Vertex *vertex) {
    bool active = state_is_active[vertex->state] && !vertex->quiet;
    if (active == vertex->counted)
        return;
    vertex->counted = active;
    vertex->engine->active += active ? 1 : -1;
    if (active)
        loop_timer_clear(&vertex->engine->converge_timer);
    step_schedule(vertex->engine);
}

void vertex_set_state(Vertex *vertex, VertexState state) {
    vertex->engine->cone_changed |= (vertex->state == VERTEX_FAILED) != (state == VERTEX_FAILED);
    vertex->state = state;
    count(vertex);
}

static void on_timer(void *data) {
    vertex_event(data, VERTEX_EVENT_TIMER);
}

static void wait_until(Vertex *vertex, VertexState state, uint64_t at) {
    vertex_set_state(vertex, state);
    vertex->next_try = at;
    loop_timer_set(vertex->engine->options.loop, &vertex->timer, at, on_timer, vertex);
}

/* Pause before a lost watch is asked for again, doubled each time; and how often until it is told.
 */
#define REWATCH_SOON_US ((uint64_t)G_USEC_PER_SEC / 2)
#define LOSSES_TOLD     4

static uint64_t now(const Vertex *vertex) {
    return loop_now(vertex->engine->options.loop);
}

static const Meta *meta_of(const Vertex *vertex) {
    return resource_meta(vertex->members[0]);
}

/* --- watching --------------------------------------------------------------------------------- */

static void on_poll(void *data) {
    Vertex *vertex = data;
    const Meta *meta = meta_of(vertex);
    if (vertex->unwatched && (vertex->state == VERTEX_IDLE || vertex->state == VERTEX_FAILED)) {
        vertex->quiet = vertex->state == VERTEX_IDLE;
        vertex_arm(vertex); /* looks at it as well, whether it can be watched again or not */
        return;
    }
    uint64_t interval =
        meta->poll > 0 ? (uint64_t)meta->poll * G_USEC_PER_SEC : VERTEX_POLL_FALLBACK_US;
    loop_timer_set(vertex->engine->options.loop, &vertex->poll_timer, now(vertex) + interval,
                   on_poll, vertex);
    vertex->quiet = vertex->state == VERTEX_IDLE;
    vertex_event(vertex, VERTEX_EVENT_CHANGE);
}

static void start_polling(Vertex *vertex, uint64_t interval) {
    loop_timer_set(vertex->engine->options.loop, &vertex->poll_timer, now(vertex) + interval,
                   on_poll, vertex);
}

static void lose_watch(Vertex *vertex, const char *detail) {
    g_clear_error(&vertex->error);
    vertex->error = g_error_new(STEAD_ERROR, STEAD_ERROR_FAILED, "watch: %s", detail);
    vertex_event(vertex, VERTEX_EVENT_UNWATCHED);
}

static void on_watch(void *data, WatchSignal signal, const char *detail) {
    Vertex *vertex = data;
    switch (signal) {
    case WATCH_READY:
        vertex->watched = vertex->was_watched = true;
        vertex->armed_at = now(vertex);
        vertex->unwatched_told = false;
        vertex_event(vertex, VERTEX_EVENT_ARMED);
        break;
    case WATCH_EVENT:
        vertex_event(vertex, VERTEX_EVENT_CHANGE);
        break;
    case WATCH_FAILED:
        lose_watch(vertex, detail);
        break;
    }
}

static bool watch_members(Vertex *vertex, GError **error) {
    for (unsigned i = 0; i < vertex->n_members; i++) {
        const Resource *resource = vertex_effective(vertex, i);
        if (!resource->kind->watch(vertex->watcher, resource, error))
            return false;
    }
    return true;
}

/* The startup event: from here on no change is missed, so the first look may happen. */
static void on_armed(void *data) {
    vertex_event(data, VERTEX_EVENT_ARMED);
}

static void arm_at_once(Vertex *vertex) {
    loop_timer_set(vertex->engine->options.loop, &vertex->timer, 0, on_armed, vertex);
}

void vertex_arm(Vertex *vertex) {
    Engine *engine = vertex->engine;
    const Kind *kind = vertex->members[0]->kind;
    const Meta *meta = meta_of(vertex);
    loop_timer_clear(&vertex->timer);
    loop_timer_clear(&vertex->poll_timer);
    g_clear_pointer(&vertex->watcher, watcher_free);
    g_clear_error(&vertex->unwatched);
    if (vertex->state == VERTEX_HIDDEN)
        return;
    vertex_set_state(vertex, VERTEX_ARMING);
    bool unwatchable = kind->flags & KIND_UNWATCHABLE;
    if (engine->options.watch && (meta->poll > 0 || (meta->poll == 0 && unwatchable)))
        start_polling(vertex, meta->poll > 0 ? (uint64_t)meta->poll * G_USEC_PER_SEC
                                             : VERTEX_POLL_FALLBACK_US);
    if (!engine->options.watch || meta->poll != 0 || unwatchable || !kind->watch) {
        if (engine->options.watch)
            arm_at_once(vertex);
        else
            vertex_event(vertex, VERTEX_EVENT_ARMED); /* no watch, nothing to wait for */
        return;
    }
    g_autoptr(GError) error = NULL;
    vertex->watcher = watcher_new(engine->options.host, engine->options.loop, (uintptr_t)vertex,
                                  on_watch, vertex);
    if (watch_members(vertex, &error))
        watcher_start(vertex->watcher);
    else
        lose_watch(vertex, error->message);
}

/* --- actions ---------------------------------------------------------------------------------- */

typedef void (*VertexAction)(Vertex *vertex);

static void mark_dirty(Vertex *vertex) {
    vertex->dirty = true;
    if (vertex->dirty_since == 0)
        vertex->dirty_since = now(vertex);
    step_unsettle(vertex);
}

static bool still_flapping(Vertex *vertex) {
    if (!vertex->flapping)
        return false;
    uint64_t last = vertex->fixes[(vertex->n_fixes - 1) % FLAP_MEMORY];
    uint64_t pause =
        MIN(FLAP_BACKOFF_MAX_US, (uint64_t)G_USEC_PER_SEC << MIN(vertex->backoff, 20u));
    if (now(vertex) - last > FLAP_WINDOW_US + pause) {
        vertex->flapping = false;
        vertex->backoff = 0;
    }
    return vertex->flapping;
}

static void tell_waiting(Vertex *vertex, EngineEventType type) {
    EngineEvent event = {
        .type = type, .latency = -1, .next = vertex->next_try, .error = vertex->error
    };
    record_event(vertex, 0, &event);
}

/* Every event passes the token bucket; a flapping vertex waits out its back-off instead. */
static void admit(Vertex *vertex) {
    mark_dirty(vertex);
    if (still_flapping(vertex)) {
        uint64_t pause =
            MIN(FLAP_BACKOFF_MAX_US, (uint64_t)G_USEC_PER_SEC << MIN(vertex->backoff, 20u));
        vertex->backoff++;
        wait_until(vertex, VERTEX_DELAYED, now(vertex) + pause);
        tell_waiting(vertex, ENGINE_FLAPPING);
        return;
    }
    uint64_t wait = limiter_reserve(&vertex->limiter, now(vertex));
    if (wait > 0) {
        wait_until(vertex, VERTEX_LIMITED, now(vertex) + wait);
        return;
    }
    vertex_set_state(vertex, VERTEX_IDLE);
    step_try_run(vertex);
}

static void remember_dirty(Vertex *vertex) {
    mark_dirty(vertex);
}

static void run_again_later(Vertex *vertex) {
    vertex->round->dirty_again = true;
    mark_dirty(vertex);
}

/* What failed meanwhile may have failed for what is right now. */
static void note_poke(Vertex *vertex) {
    vertex->round->poked = true;
}

static void try_run(Vertex *vertex) {
    vertex_set_state(vertex, VERTEX_IDLE);
    step_try_run(vertex);
}

static void try_hidden(Vertex *vertex) {
    step_try_run(vertex);
}

static void arm_again(Vertex *vertex) {
    vertex_arm(vertex);
}

/* Twice as long after each failure in a row. */
static uint64_t pause_after(const Vertex *vertex, uint64_t first) {
    return MIN(vertex->engine->options.recheck_failed, first << MIN(vertex->failures, 20u));
}

/* A vertex that gave up and sees an event tries again, but ever more slowly. */
static void retry_soon(Vertex *vertex) {
    mark_dirty(vertex);
    if (vertex->engine->options.recheck_failed == 0)
        return;
    uint64_t pause = pause_after(vertex, RETRY_SOON_US);
    if (vertex->timer && loop_timer_deadline(vertex->timer) <= now(vertex) + pause)
        return;
    wait_until(vertex, VERTEX_FAILED, now(vertex) + pause);
}

static void try_failed(Vertex *vertex) {
    mark_dirty(vertex);
    try_run(vertex);
}

/* Whether the member was done again without anybody asking for it. */
static bool is_repeated(const Round *round, const RoundMember *member) {
    bool routine = member->same && member->changes && member->changes->routine && !round->refresh;
    return (member->corrective || routine) && has_change(member);
}

/* Remembers a correction; more than the limit within a minute is two writers fighting, or a command
 * that causes its own events. */
static void note_fix(Vertex *vertex, const Round *round) {
    unsigned limit = vertex->engine->options.flap_limit;
    bool repeated = false;
    for (unsigned i = 0; i < round->n_members; i++)
        repeated |= is_repeated(round, &round->members[i]);
    if (limit == 0 || !repeated)
        return;
    if (!vertex->fixes)
        vertex->fixes = g_new0(uint64_t, FLAP_MEMORY);
    vertex->fixes[vertex->n_fixes++ % FLAP_MEMORY] = now(vertex);
    limit = MIN(limit, FLAP_MEMORY - 1);
    if (vertex->n_fixes <= limit)
        return;
    uint64_t oldest = vertex->fixes[(vertex->n_fixes - 1 - limit) % FLAP_MEMORY];
    vertex->flapping |= now(vertex) - oldest <= FLAP_WINDOW_US;
}

static bool round_wants_rearm(const Round *round) {
    for (unsigned i = 0; i < round->n_members; i++)
        if (round->members[i].run.rearm)
            return true;
    return false;
}

static void end_round(Vertex *vertex) {
    vertex->quiet = false;
    vertex_set_state(vertex, VERTEX_IDLE);
}

static void re_arm_doomed(Vertex *vertex) {
    vertex->doomed = false;
    mark_dirty(vertex);
    vertex_arm(vertex);
}

/* What was undone is no longer ours: whoever makes it again may keep it. */
static void retire(Vertex *vertex) {
    vertex->dirty = false;
    vertex->doomed = false;
    loop_timer_clear(&vertex->poll_timer);
    g_clear_pointer(&vertex->watcher, watcher_free);
    vertex_set_state(vertex, VERTEX_HIDDEN);
}

static void succeed(Vertex *vertex) {
    Round *round = vertex->round;
    const Meta *meta = meta_of(vertex);
    g_clear_error(&vertex->error);
    g_clear_pointer(&vertex->right, g_free);
    vertex->failures = vertex->n_moot = 0;
    vertex->pending = round->result == ROUND_PENDING;
    vertex->dirty = round->dirty_again;
    if (meta->retry_reset && vertex->retries_used > 0) {
        vertex->retries_used = 0;
        record_retries(vertex);
    }
    if (round->result != ROUND_OK)
        vertex->quiet = false; /* something was wrong: that is activity */
    record_intent(vertex, round);
    if (round->result == ROUND_CHANGED) {
        vertex->ever_changed = true;
        vertex->changed_at = vertex->checked_at;
        note_fix(vertex, round);
    }
    record_success(vertex, round);
    vertex->dirty_since = vertex->dirty ? now(vertex) : 0;
    end_round(vertex);
    if (vertex->removal && round->result != ROUND_PENDING)
        retire(vertex);
    bool again = vertex->dirty;
    step_round_finished(vertex, round);
    if (vertex->state == VERTEX_HIDDEN)
        return;
    if (vertex->doomed || round_wants_rearm(round))
        re_arm_doomed(vertex);
    else if (again && vertex->state == VERTEX_IDLE)
        admit(vertex);
}

/* Which members need no repair. */
static void note_right(Vertex *vertex, const Round *round) {
    g_clear_pointer(&vertex->right, g_free);
    if (round->n_members == 1)
        return;
    vertex->right = g_new(bool, round->n_members);
    for (unsigned i = 0; i < round->n_members; i++)
        vertex->right[i] = member_is_right(round, i);
}

static bool retries_left(const Vertex *vertex) {
    int retry = meta_of(vertex)->retry;
    return retry < 0 || vertex->retries_used < retry;
}

/* How often in a row a failure may be for what it depends on not being right, before it is told. */
#define MOOT_MAX 5

/* What it depends on was not right while it failed: it is looked at again when that is. */
static bool is_moot(const Vertex *vertex, const Round *round) {
    return (round->poked || vertex->blockers > 0) && vertex->n_moot < MOOT_MAX &&
           vertex->engine->stop_level == 0;
}

static void fail(Vertex *vertex) {
    Round *round = vertex->round;
    vertex->quiet = false;
    vertex->dirty = true;
    step_round_finished(vertex, round);
    if (vertex->doomed) { /* the check was cancelled because the watch broke: no retry is used up */
        record_half_done(vertex, round);
        re_arm_doomed(vertex);
        return;
    }
    if (is_moot(vertex, round)) {
        vertex->n_moot++;
        record_half_done(vertex, round);
        vertex_set_state(vertex, VERTEX_IDLE);
        step_try_run(vertex);
        return;
    }
    vertex->n_moot = 0;
    record_intent(vertex, round);
    g_clear_error(&vertex->error);
    vertex->error = g_error_copy(round->error);
    note_right(vertex, round);
    if (vertex->engine->stop_level > 0) {
        vertex_set_state(vertex, VERTEX_IDLE);
        record_failure(vertex, round, ENGINE_FAILED);
        return;
    }
    if (retries_left(vertex)) {
        vertex->retries_used++;
        record_retries(vertex);
        wait_until(vertex, VERTEX_DELAYED, now(vertex) + meta_of(vertex)->delay);
        record_failure(vertex, round, ENGINE_RETRYING);
        return;
    }
    vertex->failures++;
    vertex_set_state(vertex, VERTEX_FAILED);
    vertex->next_try = 0;
    if (vertex->engine->options.recheck_failed > 0)
        wait_until(vertex, VERTEX_FAILED, now(vertex) + pause_after(vertex, RECHECK_FIRST_US));
    if (round->dirty_again || round->poked || round->undone)
        retry_soon(vertex);
    record_failure(vertex, round, ENGINE_FAILED);
}

/* What was watched and is lost (its service is restarted, say) comes back soon; what could not be
 * watched at all, when somebody raises a limit. */
static uint64_t pause_before_rewatch(Vertex *vertex) {
    if (!vertex->was_watched)
        return VERTEX_POLL_FALLBACK_US;
    if (vertex->watched && now(vertex) - vertex->armed_at > VERTEX_POLL_FALLBACK_US)
        vertex->watch_losses = 0;
    vertex->watched = false;
    unsigned losses = vertex->watch_losses++;
    return MIN(VERTEX_POLL_FALLBACK_US, REWATCH_SOON_US << MIN(losses, 10u));
}

/* Readiness is withdrawn until a new watch is armed; its own retry budget is counted apart. */
static void rewatch(Vertex *vertex) {
    const Meta *meta = meta_of(vertex);
    step_release(vertex);
    mark_dirty(vertex);
    if (meta->retry < 0 || vertex->watch_retries_used < meta->retry) {
        vertex->watch_retries_used++;
        wait_until(vertex, VERTEX_ARMING, now(vertex) + meta->delay);
        return;
    }
    start_polling(vertex, pause_before_rewatch(vertex));
    bool lasts = !vertex->was_watched || vertex->watch_losses >= LOSSES_TOLD;
    unwatched_note(vertex, vertex->error, lasts);
    g_clear_error(&vertex->error);
    vertex_set_state(vertex, VERTEX_ARMING);
    arm_at_once(vertex);
}

static void cancel_and_rewatch(Vertex *vertex) {
    vertex->doomed = true;
    cancel_request(vertex->round->cancel);
}

static const VertexAction matrix[VERTEX_STATES][VERTEX_EVENTS] = {
    [VERTEX_ARMING] = {
        [VERTEX_EVENT_ARMED] = admit,
        [VERTEX_EVENT_CHANGE] = remember_dirty,
        [VERTEX_EVENT_TIMER] = arm_again,
        [VERTEX_EVENT_UNWATCHED] = rewatch,
    },
    [VERTEX_IDLE] = {
        [VERTEX_EVENT_CHANGE] = admit,
        [VERTEX_EVENT_ELIGIBLE] = try_run,
        [VERTEX_EVENT_UNWATCHED] = rewatch,
    },
    [VERTEX_LIMITED] = {
        [VERTEX_EVENT_CHANGE] = remember_dirty,
        [VERTEX_EVENT_TIMER] = try_run,
        [VERTEX_EVENT_UNWATCHED] = rewatch,
    },
    [VERTEX_QUEUED] = {
        [VERTEX_EVENT_CHANGE] = remember_dirty,
        [VERTEX_EVENT_UNWATCHED] = rewatch,
    },
    [VERTEX_RUNNING] = {
        [VERTEX_EVENT_CHANGE] = run_again_later,
        [VERTEX_EVENT_ELIGIBLE] = note_poke,
        [VERTEX_EVENT_SUCCESS] = succeed,
        [VERTEX_EVENT_FAILURE] = fail,
        [VERTEX_EVENT_UNWATCHED] = cancel_and_rewatch,
    },
    [VERTEX_DELAYED] = {
        [VERTEX_EVENT_CHANGE] = remember_dirty,
        [VERTEX_EVENT_TIMER] = try_run,
        [VERTEX_EVENT_UNWATCHED] = rewatch,
    },
    [VERTEX_FAILED] = {
        [VERTEX_EVENT_CHANGE] = retry_soon,
        [VERTEX_EVENT_ELIGIBLE] = retry_soon,
        [VERTEX_EVENT_TIMER] = try_failed,
        [VERTEX_EVENT_UNWATCHED] = rewatch,
    },
    [VERTEX_HIDDEN] = {
        [VERTEX_EVENT_ELIGIBLE] = try_hidden,
    },
};

void vertex_event(Vertex *vertex, VertexEvent event) {
    VertexAction action = matrix[vertex->state][event];
    if (action)
        action(vertex);
}

/* --- life ------------------------------------------------------------------------------------- */

static int compare_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Permits of all members plus the global one, sorted, each once. */
static char **collect_semas(const Vertex *vertex) {
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    for (unsigned i = 0; i < vertex->n_members; i++)
        for (char **id = resource_meta(vertex->members[i])->sema; id && *id; id++)
            g_ptr_array_add(ids, *id);
    g_autofree char *global = NULL;
    if (vertex->engine->options.sema > 0) {
        global = g_strdup_printf(":%d", vertex->engine->options.sema);
        g_ptr_array_add(ids, global);
    }
    if (ids->len == 0)
        return NULL;
    g_ptr_array_sort(ids, compare_text);
    char **unique = g_new0(char *, ids->len + 1);
    unsigned n = 0;
    for (unsigned i = 0; i < ids->len; i++)
        if (n == 0 || strcmp(unique[n - 1], g_ptr_array_index(ids, i)) != 0)
            unique[n++] = g_strdup(g_ptr_array_index(ids, i));
    return unique;
}

static void drop_members(Vertex *vertex) {
    for (unsigned i = 0; i < vertex->n_members; i++) {
        resource_unref(vertex->members[i]);
        if (vertex->received)
            resource_unref(vertex->received[i]);
        if (vertex->outputs)
            value_unref(vertex->outputs[i]);
    }
    g_clear_pointer(&vertex->members, g_free);
    g_clear_pointer(&vertex->received, g_free);
    g_clear_pointer(&vertex->outputs, g_free);
    g_clear_pointer(&vertex->right, g_free);
    g_clear_pointer(&vertex->semas, g_strfreev);
}

void vertex_take_members(Vertex *vertex, const Graph *graph, unsigned leader) {
    unsigned n;
    const unsigned *members = graph_members(graph, leader, &n);
    g_assert(vertex->semas_held == 0);
    drop_members(vertex);
    vertex->n_members = n;
    vertex->members = g_new(Resource *, n);
    for (unsigned i = 0; i < n; i++)
        vertex->members[i] = resource_ref(graph_resource(graph, members[i]));
    vertex->semas = collect_semas(vertex);
}

static bool is_hidden(const Vertex *vertex) {
    return meta_of(vertex)->hidden;
}

Vertex *vertex_new(Engine *engine, unsigned leader) {
    Vertex *vertex = g_new0(Vertex, 1);
    vertex->engine = engine;
    vertex->index = leader;
    vertex->dirty = true;
    vertex_take_members(vertex, engine->graph, leader);
    const Meta *meta = meta_of(vertex);
    limiter_init(&vertex->limiter, meta->limit, meta->burst, now(vertex));
    vertex->state = is_hidden(vertex) ? VERTEX_HIDDEN : VERTEX_ARMING;
    if (is_hidden(vertex))
        vertex->dirty = false;
    count(vertex);
    return vertex;
}

void vertex_free(Vertex *vertex) {
    if (!vertex)
        return;
    g_assert(!vertex->round);
    step_release(vertex);
    vertex_set_state(vertex, VERTEX_IDLE);
    loop_timer_clear(&vertex->timer);
    loop_timer_clear(&vertex->poll_timer);
    watcher_free(vertex->watcher);
    drop_members(vertex);
    g_clear_error(&vertex->error);
    g_clear_error(&vertex->unwatched);
    g_free(vertex->fixes);
    g_free(vertex);
}

const Resource *vertex_effective(const Vertex *vertex, unsigned member) {
    if (vertex->received && vertex->received[member])
        return vertex->received[member];
    return vertex->members[member];
}
