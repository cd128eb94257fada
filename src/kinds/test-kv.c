/* kv: kept, planned, undone; with a store in memory. */
#include <string.h>

#include "base/json.h"
#include "host/host-fake.h"
#include "host/host-overlay.h"
#include "host/kv.h"
#include "kinds/kind-test.h"
#include "kinds/kinds.h"

typedef struct {
    HostKv kv;
    GHashTable *values;
    unsigned n_puts;
    bool fails;
    HostWatchCallback callback; /* of the one watch; NULL: none */
    void *data;
} Memory;

static bool memory_get(HostKv *kv, const char *key, Value **ret_value, Cancel *cancel,
                       GError **error) {
    Memory *memory = (Memory *)kv;
    const Value *value = g_hash_table_lookup(memory->values, key);
    *ret_value = value_ref(value);
    if (memory->fails)
        g_set_error_literal(error, STEAD_ERROR, STEAD_ERROR_FAILED, "the store is gone");
    return !memory->fails;
}

static bool memory_put(HostKv *kv, const char *key, const Value *value, Cancel *cancel,
                       GError **error) {
    Memory *memory = (Memory *)kv;
    memory->n_puts++;
    if (value)
        g_hash_table_replace(memory->values, g_strdup(key), value_ref(value));
    else
        g_hash_table_remove(memory->values, key);
    return true;
}

static void *memory_watch(HostKv *kv, const char *key, HostWatchCallback callback, void *data) {
    Memory *memory = (Memory *)kv;
    memory->callback = callback;
    memory->data = data;
    return memory;
}

static void memory_unwatch(HostKv *kv, void *watch) {
    ((Memory *)kv)->callback = NULL;
}

typedef struct {
    Memory memory;
    Host *host;
    KindTest *test;
} Fixture;

static void fixture_open(Fixture *f) {
    *f = (Fixture){ .memory.kv = { .get = memory_get,
                                   .put = memory_put,
                                   .watch = memory_watch,
                                   .unwatch = memory_unwatch } };
    f->memory.values =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)value_unref);
    f->host = host_fake_new();
    host_set_kv(f->host, &f->memory.kv);
    f->test = kind_test_new(f->host);
}

static void fixture_close(Fixture *f) {
    kind_test_free(f->test);
    host_free(f->host);
    g_hash_table_unref(f->memory.values);
}

static void assert_kv(Fixture *f, const char *key, const char *json) {
    const Value *value = g_hash_table_lookup(f->memory.values, key);
    g_autofree char *text = value ? json_print(value, JSON_COMPACT) : NULL;
    g_assert_cmpstr(text, ==, json);
}

static void test_value(void) {
    Fixture f;
    fixture_open(&f);
    g_autoptr(Resource) kv = kind_test_resource(&kind_kv, "a/b", "value:={\"n\":1}", NULL);
    kind_test_expect(f.test, kv, ACTION_CREATE);
    assert_kv(&f, "a/b", "{\"n\":1}");
    g_assert_cmpuint(f.memory.n_puts, ==, 1); /* a plan puts nothing */
    (void)memory_put(&f.memory.kv, "a/b", NULL, NULL, NULL);
    kind_test_expect(f.test, kv, ACTION_CREATE);
    kind_test_undo(f.test, kv, ON_REMOVE_DEFAULT);
    assert_kv(&f, "a/b", NULL);
    fixture_close(&f);
}

static void test_restored(void) {
    Fixture f;
    fixture_open(&f);
    g_autoptr(Value) before = value_new_string("before");
    (void)memory_put(&f.memory.kv, "k", before, NULL, NULL);
    g_autoptr(Resource) kv = kind_test_resource(&kind_kv, "name", "key=k", "value:=[1]", NULL);
    kind_test_expect(f.test, kv, ACTION_CHANGE);
    assert_kv(&f, "k", "[1]");
    kind_test_undo(f.test, kv, ON_REMOVE_DEFAULT);
    assert_kv(&f, "k", "\"before\"");
    g_autoptr(Resource) absent = kind_test_resource(&kind_kv, "k", "state=absent", NULL);
    kind_test_expect(f.test, absent, ACTION_REMOVE);
    assert_kv(&f, "k", NULL);
    kind_test_undo(f.test, absent, ON_REMOVE_DEFAULT);
    assert_kv(&f, "k", "\"before\"");
    fixture_close(&f);
}

static void test_only_looks(void) {
    Fixture f;
    fixture_open(&f);
    g_autoptr(Resource) kv = kind_test_resource(&kind_kv, "k", NULL);
    kind_test_expect(f.test, kv, ACTION_NONE);
    g_autoptr(Value) seven = value_new_int(7);
    (void)memory_put(&f.memory.kv, "k", seven, NULL, NULL);
    g_autoptr(KindRound) round = kind_test_round(f.test, kv);
    g_assert_no_error(round->error);
    g_assert_cmpint(value_map_int(round->outputs, "value", 0), ==, 7);
    g_assert_null(kind_test_reverse(f.test, kv, ON_REMOVE_DEFAULT));
    fixture_close(&f);
}

static void test_without_store(void) {
    g_autoptr(Host) host = host_fake_new();
    g_autoptr(KindTest) test = kind_test_new(host);
    g_autoptr(Resource) kv = kind_test_resource(&kind_kv, "k", "value=x", NULL);
    g_autoptr(KindRound) plan = kind_test_plan(test, kv);
    g_assert_no_error(plan->error);
    g_assert_true(plan->changes->uncertain);
    g_autoptr(KindRound) round = kind_test_round(test, kv);
    g_assert_nonnull(round->error);
    g_assert_nonnull(strstr(round->error->message, "there is no exchange: an agent has one with"));
    Fixture f;
    fixture_open(&f);
    f.memory.fails = true;
    kind_test_expect_error(f.test, kv, "the store is gone");
    fixture_close(&f);
}

static void test_refused(void) {
    static const struct {
        const char *name, *argument, *problem;
    } rows[] = {
        { "/x", "value=1", "words between single slashes" },
        { "x//y", "value=1", "words between single slashes" },
        { "x", "state=gone", "'gone'" },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *problems =
            kind_test_problems(&kind_kv, rows[i].name, rows[i].argument, NULL);
        g_assert_nonnull(strstr(problems, rows[i].problem));
    }
    g_autofree char *both = kind_test_problems(&kind_kv, "x", "state=absent", "value=1", NULL);
    g_assert_nonnull(strstr(both, "leave 'value' out"));
}

static void count(void *data, WatchSignal signal, const char *detail) {
    unsigned *counts = data;
    counts[signal]++;
}

static void test_watch(void) {
    Fixture f;
    fixture_open(&f);
    unsigned counts[WATCH_FAILED + 1] = { 0 };
    g_autoptr(Loop) loop = loop_new(NULL);
    g_autoptr(Resource) kv = kind_test_resource(&kind_kv, "k", "value=x", NULL);
    Watcher *watcher = watcher_new(f.host, loop, 0, count, counts);
    g_assert_true(kind_kv.watch(watcher, kv, NULL));
    watcher_start(watcher);
    for (unsigned i = 0; i < 1000 && !counts[WATCH_READY]; i++)
        (void)loop_turn(loop);
    g_assert_cmpuint(counts[WATCH_READY], ==, 1);
    f.memory.callback(f.memory.data, HOST_EVENT_CHANGED, NULL);
    for (unsigned i = 0; i < 1000 && !counts[WATCH_EVENT]; i++)
        (void)loop_turn(loop);
    g_assert_cmpuint(counts[WATCH_EVENT], ==, 1);
    watcher_free(watcher);
    g_assert_null(f.memory.callback);
    fixture_close(&f);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kv/value", test_value);
    g_test_add_func("/kv/restored", test_restored);
    g_test_add_func("/kv/only-looks", test_only_looks);
    g_test_add_func("/kv/without-store", test_without_store);
    g_test_add_func("/kv/refused", test_refused);
    g_test_add_func("/kv/watch", test_watch);
    return g_test_run();
}
