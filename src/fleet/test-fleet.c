#include "fleet/test-fleet.h"

#include <string.h>

#include "base/disk.h"
#include "state/store-private.h"

#define LIMIT_US (300 * (uint64_t)G_USEC_PER_SEC)

/* --- time */

void fleet_open(Fleet *fleet) {
    g_autoptr(GError) error = NULL;
    fleet->loop = loop_new_virtual(&error);
    g_assert_no_error(error);
    fleet->directory = NULL;
    if (g_strcmp0(g_getenv("STEAD_TEST_STORE"), "sqlite") != 0) {
        fleet->store = store_open_memory(fleet->loop);
        return;
    }
    fleet->directory = g_dir_make_tmp("stead-fleet-XXXXXX", &error);
    g_assert_no_error(error);
    g_autofree char *path = g_build_filename(fleet->directory, "state.db", NULL);
    fleet->store = store_open_sqlite(fleet->loop, path, &error);
    g_assert_no_error(error);
}

void fleet_close(Fleet *fleet) {
    store_free(fleet->store);
    loop_free(fleet->loop);
    if (fleet->directory)
        disk_remove_tree(fleet->directory);
    g_free(fleet->directory);
}

static void quit(void *data) {
    loop_quit(data);
}

void fleet_run_for(Fleet *fleet, uint64_t us) {
    g_autoptr(GError) error = NULL;
    LoopTimer *timer = NULL;
    loop_timer_set(fleet->loop, &timer, loop_now(fleet->loop) + us, quit, fleet->loop);
    g_assert_true(loop_run(fleet->loop, &error));
    g_assert_no_error(error);
}

void fleet_run_until(Fleet *fleet, bool (*holds)(void *data), void *data) {
    uint64_t end = loop_now(fleet->loop) + LIMIT_US;
    while (!holds(data)) {
        g_assert_cmpuint(loop_now(fleet->loop), <, end);
        fleet_run_for(fleet, 10000);
    }
}

/* --- lines */

typedef struct {
    Store base;
    Store *store;
    bool cut;
    unsigned calls; /* until it breaks; 0: it does not */
    LineBreak breaks;
} Line;

static void on_answer(void *data, StoreAnswer *answer, const GError *error) {
    StoreCall *call = data;
    call->job = NULL;
    call_answer(call, answer ? store_answer_ref(answer) : NULL, error ? g_error_copy(error) : NULL);
}

static void on_lost(void *data, StoreAnswer *answer, const GError *error) {
    StoreCall *call = data;
    call->job = NULL;
    call_answer(
        call, NULL,
        g_error_new(STORE_ERROR, STORE_ERROR_UNKNOWN_OUTCOME, "hear the answer: it is lost"));
}

static void on_cut(void *data) {
    call_answer(data, NULL,
                g_error_new(STORE_ERROR, STORE_ERROR_UNAVAILABLE, "reach the store: it is cut"));
}

static void line_start(StoreCall *call) {
    Line *line = (Line *)call->state;
    bool breaks = line->calls > 0 && --line->calls == 0;
    if (breaks && line->breaks != LINE_LOSES_ANSWER)
        line->cut = true;
    if (line->cut && !(breaks && line->breaks == LINE_DIES_AFTER)) {
        loop_post(line->base.loop, on_cut, call);
        return;
    }
    StoreDone on_done = breaks ? on_lost : on_answer;
    switch (call->kind) {
    case CALL_RANGE:
    case CALL_TXN:
        call->job = store_commit(line->store, call->txn, on_done, call);
        return;
    case CALL_GRANT:
        call->job = store_lease_grant(line->store, call->number, on_done, call);
        return;
    case CALL_KEEP:
        call->job = store_lease_keep(line->store, call->number, on_done, call);
        return;
    case CALL_REVOKE:
        call->job = store_lease_revoke(line->store, call->number, on_done, call);
        return;
    case CALL_COMPACT:
        call->job = store_compact(line->store, call->number, on_done, call);
        return;
    case CALL_LOOK:
        call->job = store_lease_look(line->store, call->number, on_done, call);
        return;
    }
}

static void line_cancel(StoreCall *call) {
    loop_unpost(call->state->loop, on_cut, call);
    g_clear_pointer((StoreCall **)&call->job, store_call_cancel);
}

static void on_watch(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    StoreWatch *watch = data;
    Line *line = (Line *)watch->state;
    if (line->cut)
        return;
    if (error)
        watch_fail(watch, revision, error);
    else
        (void)watch_tell(watch, revision, events); /* gone or not, nothing is left to do */
}

static void line_watch(StoreWatch *watch) {
    Line *line = (Line *)watch->state;
    if (!line->cut)
        watch->job =
            store_watch(line->store, watch->key, watch->end != NULL, watch->next, on_watch, watch);
}

static void line_unwatch(StoreWatch *watch) {
    g_clear_pointer((StoreWatch **)&watch->job, store_watch_stop);
}

static void line_free(Store *state) {
    g_free(state);
}

Store *line_new(Fleet *fleet) {
    static const StoreClass line_class = {
        .kind = "line",
        .start = line_start,
        .cancel = line_cancel,
        .watch = line_watch,
        .unwatch = line_unwatch,
        .free = line_free,
    };
    Line *line = g_new0(Line, 1);
    store_init(&line->base, &line_class, fleet->loop);
    line->store = fleet->store;
    return &line->base;
}

void line_cut(Store *state, bool cut) {
    Line *line = (Line *)state;
    line->cut = cut;
    for (GList *link = state->watches.head; link; link = link->next) {
        StoreWatch *watch = link->data;
        g_clear_pointer((StoreWatch **)&watch->job, store_watch_stop);
        line_watch(watch);
    }
}

void line_break(Store *state, unsigned calls, LineBreak breaks) {
    Line *line = (Line *)state;
    line->calls = calls;
    line->breaks = breaks;
}

bool line_is_cut(const Store *state) {
    return ((const Line *)state)->cut;
}

/* --- the store itself */

void fleet_put(Fleet *fleet, const char *key, const char *text) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) name = g_bytes_new(key, strlen(key));
    g_autoptr(GBytes) value = text ? g_bytes_new(text, strlen(text)) : NULL;
    StoreCall *call = value ? store_put(fleet->store, name, value, 0, NULL, NULL)
                            : store_delete(fleet->store, name, false, NULL, NULL);
    g_autoptr(StoreAnswer) answer = store_wait(call, &error);
    g_assert_no_error(error);
}

char *fleet_get(Fleet *fleet, const char *key) {
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) name = g_bytes_new(key, strlen(key));
    g_autoptr(StoreAnswer) answer = store_wait(store_get(fleet->store, name, NULL, NULL), &error);
    g_assert_no_error(error);
    const StoreEntry *entry = store_answer_entry(answer);
    return entry ? g_strndup(g_bytes_get_data(entry->value, NULL), g_bytes_get_size(entry->value))
                 : NULL;
}
