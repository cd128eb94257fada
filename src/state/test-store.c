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
    else if (is(store, "etcd"))
        store->state = state_open_etcd(
            store->loop, &(StateEtcdOptions){ .urls = etcd_servers_urls(store->etcd) }, &error);
    else
        store->state = state_open_sqlite(store->loop, path, &error);
    g_assert_no_error(error);
}

/* One etcd for all: it takes a second to start. Each test begins by deleting everything. */
static EtcdServers *shared_etcd;

void stores_end(void) {
    g_clear_pointer(&shared_etcd, etcd_servers_free);
}

/* Until it serves. Returns the revision at which it is empty. */
static int64_t empty(Store *store) {
    for (int tries = 0;; tries++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(StateAnswer) answer =
            state_wait(state_delete(store->state, NULL, true, NULL, NULL), &error);
        if (answer != NULL)
            return answer->revision;
        if (tries == 200 ||
            (error->code != STATE_ERROR_UNAVAILABLE && error->code != STATE_ERROR_UNKNOWN_OUTCOME))
            g_assert_no_error(error);
        store_run_for(store, 100000);
    }
}

static bool find_etcd(Store *store) {
    if (shared_etcd == NULL)
        shared_etcd = etcd_servers_start(1);
    store->etcd = shared_etcd;
    if (shared_etcd == NULL)
        g_test_skip("there is no etcd here: apt install etcd-server");
    return shared_etcd != NULL;
}

Store *store_open(const StoreKind *kind) {
    g_autoptr(GError) error = NULL;
    Store *store = g_new0(Store, 1);
    store->kind = kind;
    if (is(store, "etcd") && !find_etcd(store)) {
        g_free(store);
        return NULL;
    }
    store->loop = is(store, "memory") ? loop_new_virtual(&error) : loop_new(&error);
    g_assert_no_error(error);
    store->dir = g_dir_make_tmp("stead-state-XXXXXX", &error);
    g_assert_no_error(error);
    start(store);
    store->base = empty(store);
    return store;
}

static bool serves(Store *store) {
    g_autoptr(GBytes) key = bytes_of("any");
    g_autoptr(StateAnswer) answer = state_wait(state_get(store->state, key, NULL, NULL), NULL);
    return answer != NULL;
}

void store_restart(Store *store) {
    g_assert_true(store->kind->restarts);
    if (store->etcd != NULL) { /* the same State goes on */
        etcd_servers_kill(store->etcd, 0);
        etcd_servers_restart(store->etcd, 0);
        for (unsigned tries = 0; tries < 100 && !serves(store); tries++)
            store_run_for(store, 100000);
        return;
    }
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
