#include "state/test-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

#define PATIENCE_US (30ull * G_USEC_PER_SEC)

GBytes *bytes_of(const char *text) {
    return g_bytes_new(text, strlen(text));
}

StoreAnswer *must(StoreCall *call) {
    g_autoptr(GError) error = NULL;
    StoreAnswer *answer = store_wait(call, &error);
    g_assert_no_error(error);
    g_assert_nonnull(answer);
    return answer;
}

void must_fail(StoreCall *call, StoreErrorCode code) {
    g_autoptr(GError) error = NULL;
    g_autoptr(StoreAnswer) answer = store_wait(call, &error);
    g_assert_error(error, STORE_ERROR, (int)code);
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

static bool run_until(Fixture *fixture, uint64_t patience, bool (*holds)(void *data), void *data) {
    bool late = false, reached = false;
    LoopTimer *timer = NULL, *turn = NULL;
    loop_timer_set(fixture->loop, &timer, loop_now(fixture->loop) + patience, on_late, &late);
    while (!late && !(reached = holds != NULL && holds(data))) {
        g_autoptr(GError) error = NULL;
        loop_timer_set(fixture->loop, &turn, loop_now(fixture->loop) + 10000, on_turn,
                       fixture->loop);
        g_assert_true(loop_run(fixture->loop, &error));
    }
    loop_timer_clear(&timer);
    loop_timer_clear(&turn);
    return reached;
}

void fixture_run_until(Fixture *fixture, bool (*holds)(void *data), void *data) {
    g_assert_true(run_until(fixture, PATIENCE_US, holds, data));
}

void fixture_run_for(Fixture *fixture, uint64_t us) {
    (void)run_until(fixture, us, NULL, NULL);
}

/* --- life */

static bool is(const Fixture *fixture, const char *kind) {
    return strcmp(fixture->kind->kind, kind) == 0;
}

static void start(Fixture *fixture) {
    g_autoptr(GError) error = NULL;
    if (fixture->kind->open != NULL) {
        fixture->kind->open(fixture);
        return;
    }
    g_autofree char *path = g_build_filename(fixture->dir, "state.db", NULL);
    if (is(fixture, "memory"))
        fixture->store = store_open_memory(fixture->loop);
    else if (is(fixture, "etcd"))
        fixture->store = store_open_etcd(
            fixture->loop, &(StoreEtcdOptions){ .urls = etcd_servers_urls(fixture->etcd) }, &error);
    else
        fixture->store = store_open_sqlite(fixture->loop, path, &error);
    g_assert_no_error(error);
}

/* One etcd for all: it takes a second to start. Each test begins by deleting everything. */
static EtcdServers *shared_etcd;

void fixtures_end(void) {
    g_clear_pointer(&shared_etcd, etcd_servers_free);
}

/* Until it serves. Returns the revision at which it is empty. */
static int64_t empty(Fixture *fixture) {
    for (int tries = 0;; tries++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(StoreAnswer) answer =
            store_wait(store_delete(fixture->store, NULL, true, NULL, NULL), &error);
        if (answer != NULL)
            return answer->revision;
        if (tries == 600 ||
            (error->code != STORE_ERROR_UNAVAILABLE && error->code != STORE_ERROR_UNKNOWN_OUTCOME))
            g_assert_no_error(error);
        fixture_run_for(fixture, 100000);
    }
}

static bool find_etcd(Fixture *fixture) {
    if (shared_etcd == NULL)
        shared_etcd = etcd_servers_start(1);
    fixture->etcd = shared_etcd;
    if (shared_etcd == NULL)
        g_test_skip("there is no etcd here: apt install etcd-server");
    return shared_etcd != NULL;
}

Fixture *fixture_open(const FixtureKind *kind) {
    g_autoptr(GError) error = NULL;
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->kind = kind;
    if (is(fixture, "etcd") && !find_etcd(fixture)) {
        g_free(fixture);
        return NULL;
    }
    fixture->loop = is(fixture, "memory") ? loop_new_virtual(&error) : loop_new(&error);
    g_assert_no_error(error);
    fixture->dir = g_dir_make_tmp("stead-state-XXXXXX", &error);
    g_assert_no_error(error);
    start(fixture);
    fixture->base = empty(fixture);
    return fixture;
}

static bool serves(Fixture *fixture) {
    g_autoptr(GBytes) key = bytes_of("any");
    g_autoptr(StoreAnswer) answer = store_wait(store_get(fixture->store, key, NULL, NULL), NULL);
    return answer != NULL;
}

void fixture_restart(Fixture *fixture) {
    g_assert_true(fixture->kind->restarts);
    if (fixture->kind->restart != NULL) {
        fixture->kind->restart(fixture);
        return;
    }
    if (fixture->etcd != NULL) { /* the same Store goes on */
        etcd_servers_kill(fixture->etcd, 0);
        etcd_servers_restart(fixture->etcd, 0);
        for (unsigned tries = 0; tries < 100 && !serves(fixture); tries++)
            fixture_run_for(fixture, 100000);
        return;
    }
    store_free(fixture->store);
    start(fixture);
}

void fixture_close(Fixture *fixture) {
    store_free(fixture->store);
    if (fixture->kind->close != NULL)
        fixture->kind->close(fixture);
    loop_free(fixture->loop);
    static const char *const files[] = { "state.db", "state.db-wal", "state.db-shm",
                                         "state.db-lock" };
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(fixture->dir, files[i], NULL);
        (void)g_remove(path);
    }
    g_assert_cmpint(g_rmdir(fixture->dir), ==, 0);
    g_free(fixture->dir);
    g_free(fixture);
}
