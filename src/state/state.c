/* What all implementations share: calls and their answers, watches, waiting. */
#include "state/state.h"

#include "state/state-private.h"

GQuark state_error_quark(void) {
    static GQuark quark;
    if (G_UNLIKELY(quark == 0))
        quark = g_quark_from_static_string("state-error-quark");
    return quark;
}

GError *error_compacted(int64_t revision, int64_t compacted) {
    return g_error_new(STATE_ERROR, STATE_ERROR_COMPACTED,
                       "read revision %" G_GINT64_FORMAT ": compacted up to %" G_GINT64_FORMAT,
                       revision, compacted);
}

GError *error_future(int64_t revision, int64_t present) {
    return g_error_new(STATE_ERROR, STATE_ERROR_FUTURE_REVISION,
                       "read revision %" G_GINT64_FORMAT ": the store is at %" G_GINT64_FORMAT,
                       revision, present);
}

GError *error_lease_gone(int64_t lease) {
    return g_error_new(
        STATE_ERROR, STATE_ERROR_LEASE_GONE,
        "use lease %" G_GINT64_MODIFIER "x: it expired, was revoked or never granted", lease);
}

GError *error_range_large(void) {
    return g_error_new(STATE_ERROR, STATE_ERROR_TOO_LARGE,
                       "read a range: it is above STATE_LIMIT_RANGE (%u bytes); ask with a limit",
                       STATE_LIMIT_RANGE);
}

/* --- calls */

bool call_is_write(const StateCall *call) {
    if (call->kind == CALL_RANGE || call->kind == CALL_LOOK)
        return false;
    bool changes = call->kind != CALL_TXN;
    for (int i = 0; i < 2 && !changes; i++)
        for (unsigned j = 0; j < call->txn->branches[i]->len && !changes; j++)
            changes = ((const Op *)g_ptr_array_index(call->txn->branches[i], j))->kind != OP_RANGE;
    return changes;
}

const Op *call_range(const StateCall *call) {
    g_assert(call->kind == CALL_RANGE);
    return g_ptr_array_index(call->txn->branches[STATE_THEN], 0);
}

static void call_free(StateCall *call) {
    g_queue_unlink(&call->state->calls, &call->link);
    state_txn_unref(call->txn);
    state_answer_unref(call->answer);
    g_clear_error(&call->error);
    g_free(call);
}

void call_answer(StateCall *call, StateAnswer *answer, GError *error) {
    g_assert(!call->answered && (answer != NULL) != (error != NULL));
    State *state = call->state;
    call->job = NULL;
    call->answered = true;
    call->answer = answer;
    call->error = error;
    if (call->done == NULL) {
        if (call->waited)
            loop_quit(state->loop);
        return;
    }
    /* Cancelling in the callback would be an error of the caller: the handle ended. */
    state->busy++;
    call->done(call->data, answer, error);
    state->busy--;
    call_free(call);
}

/* Message: what was refused before it came to the implementation. */
static void answer_refused(void *data) {
    StateCall *call = data;
    call_answer(call, NULL, g_steal_pointer(&call->error));
}

void state_call_cancel(StateCall *call) {
    if (!call->answered) {
        loop_unpost(call->state->loop, answer_refused, call);
        if (call->job != NULL)
            call->state->class->cancel(call);
    }
    call_free(call);
}

StateAnswer *state_wait(StateCall *call, GError **error) {
    g_assert(call->done == NULL && call->state->busy == 0);
    g_autoptr(GError) problem = NULL;
    call->waited = true;
    bool good = call->answered || loop_run(call->state->loop, &problem);
    StateAnswer *answer = NULL;
    if (call->answered && call->error == NULL)
        answer = g_steal_pointer(&call->answer);
    else if (call->answered)
        g_propagate_error(error, g_steal_pointer(&call->error));
    else if (good)
        g_set_error_literal(error, STATE_ERROR, STATE_ERROR_CANCELLED,
                            "wait for the store: told to end");
    else
        g_set_error(error, STATE_ERROR, STATE_ERROR_FAILED, "wait for the store: %s",
                    problem->message);
    state_call_cancel(call);
    return answer;
}

static bool check_positive(const char *verb, const char *noun, int64_t number, GError **error) {
    if (number > 0)
        return true;
    g_set_error(error, STATE_ERROR, STATE_ERROR_INVALID, "%s: the %s must be above 0", verb, noun);
    return false;
}

static bool check_ttl(int64_t ttl, GError **error) {
    if (ttl <= STATE_LIMIT_TTL)
        return check_positive("grant a lease", "ttl", ttl, error);
    g_set_error(error, STATE_ERROR, STATE_ERROR_TOO_LARGE,
                "grant a lease: %" G_GINT64_FORMAT " s are above STATE_LIMIT_TTL (%d)", ttl,
                STATE_LIMIT_TTL);
    return false;
}

static bool check_txn_ranges(const StateTxn *txn, GError **error) {
    for (int i = 0; i < 2; i++)
        for (unsigned j = 0; j < txn->branches[i]->len; j++) {
            const Op *op = g_ptr_array_index(txn->branches[i], j);
            if (op->revision == 0)
                continue;
            g_set_error_literal(
                error, STATE_ERROR, STATE_ERROR_INVALID,
                "take a transaction: a range in it is at the present revision only");
            return false;
        }
    return true;
}

static bool check_call(const StateCall *call, GError **error) {
    switch (call->kind) {
    case CALL_RANGE:
        return txn_check(call->txn, error);
    case CALL_TXN:
        return txn_check(call->txn, error) && check_txn_ranges(call->txn, error);
    case CALL_COMPACT:
        return check_positive("compact", "revision", call->number, error);
    case CALL_GRANT:
        return check_ttl(call->number, error);
    case CALL_KEEP:
    case CALL_REVOKE:
    case CALL_LOOK:
        return check_positive("use a lease", "number", call->number, error);
    }
    g_assert_not_reached();
}

/* Takes txn over. */
static StateCall *start(State *state, CallKind kind, StateTxn *txn, int64_t number, StateDone done,
                        void *data) {
    StateCall *call = g_new0(StateCall, 1);
    *call = (StateCall){
        .state = state, .kind = kind, .txn = txn, .number = number, .done = done, .data = data
    };
    call->link.data = call;
    g_queue_push_tail_link(&state->calls, &call->link);
    if (check_call(call, &call->error))
        state->class->start(call);
    else
        loop_post(state->loop, answer_refused, call);
    return call;
}

StateCall *state_range(State *state, const StateRange *range, StateDone done, void *data) {
    return start(state, CALL_RANGE, txn_of_range(range), 0, done, data);
}

StateCall *state_get(State *state, GBytes *key, StateDone done, void *data) {
    return state_range(state, &(StateRange){ .key = key }, done, data);
}

StateCall *state_commit(State *state, StateTxn *txn, StateDone done, void *data) {
    return start(state, CALL_TXN, state_txn_ref(txn), 0, done, data);
}

StateCall *state_put(State *state, GBytes *key, GBytes *value, int64_t lease, StateDone done,
                     void *data) {
    StateTxn *txn = state_txn_new();
    state_txn_put(txn, STATE_THEN, key, value, lease);
    return start(state, CALL_TXN, txn, 0, done, data);
}

StateCall *state_delete(State *state, GBytes *key, bool prefix, StateDone done, void *data) {
    StateTxn *txn = state_txn_new();
    state_txn_delete(txn, STATE_THEN, key, prefix);
    return start(state, CALL_TXN, txn, 0, done, data);
}

StateCall *state_compact(State *state, int64_t revision, StateDone done, void *data) {
    return start(state, CALL_COMPACT, NULL, revision, done, data);
}

StateCall *state_lease_grant(State *state, int64_t ttl_s, StateDone done, void *data) {
    return start(state, CALL_GRANT, NULL, ttl_s, done, data);
}

StateCall *state_lease_keep(State *state, int64_t lease, StateDone done, void *data) {
    return start(state, CALL_KEEP, NULL, lease, done, data);
}

StateCall *state_lease_revoke(State *state, int64_t lease, StateDone done, void *data) {
    return start(state, CALL_REVOKE, NULL, lease, done, data);
}

StateCall *state_lease_look(State *state, int64_t lease, StateDone done, void *data) {
    return start(state, CALL_LOOK, NULL, lease, done, data);
}

/* --- watches */

static void watch_free(StateWatch *watch) {
    g_queue_unlink(&watch->state->watches, &watch->link);
    g_bytes_unref(watch->key);
    g_clear_pointer(&watch->end, g_bytes_unref);
    g_free(watch);
}

static void refuse_watch(void *data) {
    StateWatch *watch = data;
    g_autoptr(GError) error = NULL;
    (void)key_check(watch->key, &error);
    watch_fail(watch, 0, error);
}

StateWatch *state_watch(State *state, GBytes *key, bool prefix, int64_t from,
                        StateWatchCallback callback, void *data) {
    g_autoptr(StateTxn) keys = txn_of_range(&(StateRange){ .key = key, .prefix = prefix });
    const Op *op = g_ptr_array_index(keys->branches[STATE_THEN], 0);
    StateWatch *watch = g_new0(StateWatch, 1);
    *watch = (StateWatch){ .state = state, .callback = callback, .data = data };
    watch->key = g_bytes_ref(op->key);
    watch->end = op->end != NULL ? g_bytes_ref(op->end) : NULL;
    watch->next = MAX(from, 0);
    watch->link.data = watch;
    g_queue_push_tail_link(&state->watches, &watch->link);
    if (key_check(watch->key, NULL))
        state->class->watch(watch);
    else
        loop_post(state->loop, refuse_watch, watch);
    return watch;
}

void state_watch_stop(StateWatch *watch) {
    if (watch == NULL)
        return;
    loop_unpost(watch->state->loop, refuse_watch, watch);
    if (watch->job != NULL)
        watch->state->class->unwatch(watch);
    g_assert(watch->job == NULL);
    watch->stopped = true;
    if (!watch->telling)
        watch_free(watch);
}

/* Returns false when the watch is gone. */
static bool tell(StateWatch *watch, int64_t revision, GPtrArray *events, const GError *error) {
    g_assert(!watch->telling && !watch->stopped && !watch->over);
    State *state = watch->state;
    watch->telling = true;
    watch->over = error != NULL;
    state->busy++;
    watch->callback(watch->data, revision, events, error);
    state->busy--;
    watch->telling = false;
    bool stays = !watch->stopped;
    if (!stays)
        watch_free(watch);
    return stays;
}

bool watch_tell(StateWatch *watch, int64_t revision, GPtrArray *events) {
    watch->next = revision + 1;
    return tell(watch, revision, events, NULL);
}

void watch_fail(StateWatch *watch, int64_t revision, const GError *error) {
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    (void)tell(watch, revision, none, error);
}

/* --- life */

void state_init(State *state, const StateClass *class, Loop *loop) {
    state->class = class;
    state->loop = loop;
    g_queue_init(&state->calls);
    g_queue_init(&state->watches);
}

void state_free(State *state) {
    if (state == NULL)
        return;
    g_assert(state->busy == 0);
    while (state->calls.head != NULL)
        state_call_cancel(state->calls.head->data);
    while (state->watches.head != NULL)
        state_watch_stop(state->watches.head->data);
    state->class->free(state);
}

const char *state_kind(const State *state) {
    return state->class->kind;
}
