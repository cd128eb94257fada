/* What all implementations share: calls and their answers, watches, waiting. */
#include "state/store.h"

#include "state/store-private.h"

GQuark store_error_quark(void) {
    static GQuark quark;
    if (G_UNLIKELY(quark == 0))
        quark = g_quark_from_static_string("store-error-quark");
    return quark;
}

GError *error_compacted(int64_t revision, int64_t compacted) {
    return g_error_new(STORE_ERROR, STORE_ERROR_COMPACTED,
                       "read revision %" G_GINT64_FORMAT ": compacted up to %" G_GINT64_FORMAT,
                       revision, compacted);
}

GError *error_future(int64_t revision, int64_t present) {
    return g_error_new(STORE_ERROR, STORE_ERROR_FUTURE_REVISION,
                       "read revision %" G_GINT64_FORMAT ": the store is at %" G_GINT64_FORMAT,
                       revision, present);
}

GError *error_lease_gone(int64_t lease) {
    return g_error_new(STORE_ERROR, STORE_ERROR_LEASE_GONE,
                       "use lease " STORE_LEASE_FORMAT ": it expired, was revoked or never granted",
                       lease);
}

GError *error_range_large(void) {
    return g_error_new(STORE_ERROR, STORE_ERROR_TOO_LARGE,
                       "read a range: it is above STORE_LIMIT_RANGE (%u bytes); ask with a limit",
                       STORE_LIMIT_RANGE);
}

/* --- calls */

bool call_is_write(const StoreCall *call) {
    if (call->kind == CALL_RANGE || call->kind == CALL_LOOK)
        return false;
    bool changes = call->kind != CALL_TXN;
    for (int i = 0; i < 2 && !changes; i++)
        for (unsigned j = 0; j < call->txn->branches[i]->len && !changes; j++)
            changes = ((const Op *)g_ptr_array_index(call->txn->branches[i], j))->kind != OP_RANGE;
    return changes;
}

const Op *call_range(const StoreCall *call) {
    g_assert(call->kind == CALL_RANGE);
    return g_ptr_array_index(call->txn->branches[STORE_THEN], 0);
}

static void call_free(StoreCall *call) {
    g_queue_unlink(&call->state->calls, &call->link);
    store_txn_unref(call->txn);
    store_answer_unref(call->answer);
    g_clear_error(&call->error);
    g_free(call);
}

void call_answer(StoreCall *call, StoreAnswer *answer, GError *error) {
    g_assert(!call->answered && (answer != NULL) != (error != NULL));
    Store *state = call->state;
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
    StoreCall *call = data;
    call_answer(call, NULL, g_steal_pointer(&call->error));
}

void store_call_cancel(StoreCall *call) {
    if (!call->answered) {
        loop_unpost(call->state->loop, answer_refused, call);
        if (call->job != NULL)
            call->state->class->cancel(call);
    }
    call_free(call);
}

StoreAnswer *store_wait(StoreCall *call, GError **error) {
    g_assert(call->done == NULL && call->state->busy == 0);
    g_autoptr(GError) problem = NULL;
    call->waited = true;
    bool good = call->answered || loop_run(call->state->loop, &problem);
    StoreAnswer *answer = NULL;
    if (call->answered && call->error == NULL)
        answer = g_steal_pointer(&call->answer);
    else if (call->answered)
        g_propagate_error(error, g_steal_pointer(&call->error));
    else if (good)
        g_set_error_literal(error, STORE_ERROR, STORE_ERROR_CANCELLED,
                            "wait for the store: told to end");
    else
        g_set_error(error, STORE_ERROR, STORE_ERROR_FAILED, "wait for the store: %s",
                    problem->message);
    store_call_cancel(call);
    return answer;
}

static bool check_positive(const char *verb, const char *noun, int64_t number, GError **error) {
    if (number > 0)
        return true;
    g_set_error(error, STORE_ERROR, STORE_ERROR_INVALID, "%s: the %s must be above 0", verb, noun);
    return false;
}

static bool check_ttl(int64_t ttl, GError **error) {
    if (ttl <= STORE_LIMIT_TTL)
        return check_positive("grant a lease", "ttl", ttl, error);
    g_set_error(error, STORE_ERROR, STORE_ERROR_TOO_LARGE,
                "grant a lease: %" G_GINT64_FORMAT " s are above STORE_LIMIT_TTL (%d)", ttl,
                STORE_LIMIT_TTL);
    return false;
}

static bool check_txn_ranges(const StoreTxn *txn, GError **error) {
    for (int i = 0; i < 2; i++)
        for (unsigned j = 0; j < txn->branches[i]->len; j++) {
            const Op *op = g_ptr_array_index(txn->branches[i], j);
            if (op->revision == 0)
                continue;
            g_set_error_literal(
                error, STORE_ERROR, STORE_ERROR_INVALID,
                "take a transaction: a range in it is at the present revision only");
            return false;
        }
    return true;
}

static bool check_call(const StoreCall *call, GError **error) {
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

StoreCall *call_start(Store *state, CallKind kind, StoreTxn *txn, int64_t number, StoreDone done,
                      void *data) {
    StoreCall *call = g_new0(StoreCall, 1);
    *call = (StoreCall){
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

StoreCall *store_range(Store *state, const StoreRange *range, StoreDone done, void *data) {
    return call_start(state, CALL_RANGE, txn_of_range(range), 0, done, data);
}

StoreCall *store_get(Store *state, GBytes *key, StoreDone done, void *data) {
    return store_range(state, &(StoreRange){ .key = key }, done, data);
}

StoreCall *store_commit(Store *state, StoreTxn *txn, StoreDone done, void *data) {
    return call_start(state, CALL_TXN, store_txn_ref(txn), 0, done, data);
}

StoreCall *store_put(Store *state, GBytes *key, GBytes *value, int64_t lease, StoreDone done,
                     void *data) {
    StoreTxn *txn = store_txn_new();
    store_txn_put(txn, STORE_THEN, key, value, lease);
    return call_start(state, CALL_TXN, txn, 0, done, data);
}

StoreCall *store_delete(Store *state, GBytes *key, bool prefix, StoreDone done, void *data) {
    StoreTxn *txn = store_txn_new();
    store_txn_delete(txn, STORE_THEN, key, prefix);
    return call_start(state, CALL_TXN, txn, 0, done, data);
}

StoreCall *store_compact(Store *state, int64_t revision, StoreDone done, void *data) {
    return call_start(state, CALL_COMPACT, NULL, revision, done, data);
}

StoreCall *store_lease_grant(Store *state, int64_t ttl_s, StoreDone done, void *data) {
    return call_start(state, CALL_GRANT, NULL, ttl_s, done, data);
}

StoreCall *store_lease_keep(Store *state, int64_t lease, StoreDone done, void *data) {
    return call_start(state, CALL_KEEP, NULL, lease, done, data);
}

StoreCall *store_lease_revoke(Store *state, int64_t lease, StoreDone done, void *data) {
    return call_start(state, CALL_REVOKE, NULL, lease, done, data);
}

StoreCall *store_lease_look(Store *state, int64_t lease, StoreDone done, void *data) {
    return call_start(state, CALL_LOOK, NULL, lease, done, data);
}

/* --- watches */

static void watch_free(StoreWatch *watch) {
    g_queue_unlink(&watch->state->watches, &watch->link);
    g_bytes_unref(watch->key);
    g_clear_pointer(&watch->end, g_bytes_unref);
    g_free(watch);
}

static void refuse_watch(void *data) {
    StoreWatch *watch = data;
    g_autoptr(GError) error = NULL;
    (void)key_check(watch->key, &error);
    watch_fail(watch, 0, error);
}

StoreWatch *store_watch(Store *state, GBytes *key, bool prefix, int64_t from,
                        StoreWatchCallback callback, void *data) {
    g_autoptr(StoreTxn) keys = txn_of_range(&(StoreRange){ .key = key, .prefix = prefix });
    const Op *op = g_ptr_array_index(keys->branches[STORE_THEN], 0);
    StoreWatch *watch = g_new0(StoreWatch, 1);
    *watch = (StoreWatch){ .state = state, .callback = callback, .data = data };
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

void store_watch_stop(StoreWatch *watch) {
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
static bool tell(StoreWatch *watch, int64_t revision, GPtrArray *events, const GError *error) {
    g_assert(!watch->telling && !watch->stopped && !watch->over);
    Store *state = watch->state;
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

bool watch_tell(StoreWatch *watch, int64_t revision, GPtrArray *events) {
    watch->next = revision + 1;
    return tell(watch, revision, events, NULL);
}

void watch_fail(StoreWatch *watch, int64_t revision, const GError *error) {
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    (void)tell(watch, revision, none, error);
}

/* --- life */

void store_init(Store *state, const StoreClass *class, Loop *loop) {
    state->class = class;
    state->loop = loop;
    g_queue_init(&state->calls);
    g_queue_init(&state->watches);
}

void store_free(Store *state) {
    if (state == NULL)
        return;
    g_assert(state->busy == 0);
    while (state->calls.head != NULL)
        store_call_cancel(state->calls.head->data);
    while (state->watches.head != NULL)
        store_watch_stop(state->watches.head->data);
    state->class->free(state);
}

const char *store_identity(const Store *state) {
    return state->class->identity ? state->class->identity(state) : "";
}

const char *store_kind(const Store *state) {
    return state->class->kind;
}
