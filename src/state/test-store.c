#include "state/test-store.h"

#include <glib/gstdio.h>
#include <string.h>

#define PATIENCE_US (30ull * G_USEC_PER_SEC)

GBytes *bytes_of(const char *text) {
    return g_bytes_new(text, strlen(text));
}

StateAnswer *must(StateCall *call) {
    g_autoptr(GError) error = NULL;
    StateAnswer *answer = state_wait(call, &error);
    g_assert_no_error(error);
    g_assert_nonnull(answer);
    return answer;
}

void must_fail(StateCall *call, StateErrorCode code) {
    g_autoptr(GError) error = NULL;
    g_autoptr(StateAnswer) answer = state_wait(call, &error);
    g_assert_error(error, STATE_ERROR, (int)code);
    g_assert_null(answer);
}

/* --- waiting */

static void on_late(void *data) {
    bool *late = data;
    *late = true;
}

/* Wakes the loop up, so that the condition is looked at again. */
static void on_turn(void *data) {
    loop_quit(data);
}

static bool run_until(Store *store, uint64_t patience, bool (*holds)(void *data), void *data) {
    bool late = false, reached = false;
    LoopTimer *timer = NULL, *turn = NULL;
    loop_timer_set(store->loop, &timer, loop_now(store->loop) + patience, on_late, &late);
    while (!late && !(reached = holds != NULL && holds(data))) {
        g_autoptr(GError) error = NULL;
        loop_timer_set(store->loop, &turn, loop_now(store->loop) + 10000, on_turn, store->loop);
        g_assert_true(loop_run(store->loop, &error));
    }
    loop_timer_clear(&timer);
    loop_timer_clear(&turn);
    return reached;
}

void store_run_until(Store *store, bool (*holds)(void *data), void *data) {
    g_assert_true(run_until(store, PATIENCE_US, holds, data));
}

void store_run_for(Store *store, uint64_t us) {
    (void)run_until(store, us, NULL, NULL);
}

/* --- life */

static bool is(const Store *store, const char *kind) {
    return strcmp(store->kind->kind, kind) == 0;
}

static void start(Store *store) {
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_build_filename(store->dir, "state.db", NULL);
    if (is(store, "memory"))
        store->state = state_open_memory(store->loop);
    else
        store->state = state_open_sqlite(store->loop, path, &error);
    g_assert_no_error(error);
}

Store *store_open(const StoreKind *kind) {
    g_autoptr(GError) error = NULL;
    Store *store = g_new0(Store, 1);
    store->kind = kind;
    store->loop = is(store, "memory") ? loop_new_virtual(&error) : loop_new(&error);
    g_assert_no_error(error);
    store->dir = g_dir_make_tmp("stead-state-XXXXXX", &error);
    g_assert_no_error(error);
    start(store);
    g_autoptr(StateAnswer) emptied = must(state_delete(store->state, NULL, true, NULL, NULL));
    store->base = emptied->revision;
    return store;
}

void store_restart(Store *store) {
    g_assert_true(store->kind->restarts);
    state_free(store->state);
    start(store);
}

void store_close(Store *store) {
    state_free(store->state);
    loop_free(store->loop);
    static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm",
                                         "state.db-lock" };
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(store->dir, files[i], NULL);
        (void)g_remove(path);
    }
    g_assert_cmpint(g_rmdir(store->dir), ==, 0);
    g_free(store->dir);
    g_free(store);
}
