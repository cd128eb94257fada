/* Many watches over one: that they are, also of what was a moment ago, and what happens when it is
 * lost. What all watches do is in test-conformance.c. */
#include "state/store-private.h"
#include "state/test-fixture.h"

typedef struct {
    StoreWatch *watch;
    GString *told; /* "KEY@REVISION " */
    StoreErrorCode code;
    int64_t compacted;
} Seen;

static void on_change(void *data, int64_t revision, GPtrArray *events, const GError *error) {
    Seen *seen = data;
    if (error != NULL) {
        seen->code = (StoreErrorCode)error->code;
        seen->compacted = revision;
    }
    for (unsigned i = 0; i < events->len; i++) {
        const StoreEntry *entry = g_ptr_array_index(events, i);
        g_string_append_printf(seen->told, "%.*s@%d ", (int)g_bytes_get_size(entry->key),
                               (const char *)g_bytes_get_data(entry->key, NULL),
                               (int)entry->mod_revision);
    }
}

static void see(Seen *seen, Store *store, const char *key, int64_t from) {
    g_autoptr(GBytes) bytes = bytes_of(key);
    seen->told = g_string_new(NULL);
    seen->watch = store_watch(store, bytes, true, from, on_change, seen);
}

static void unsee(Seen *seen) {
    store_watch_stop(seen->watch);
    g_string_free(seen->told, TRUE);
    *seen = (Seen){ 0 };
}

static int64_t put(Store *store, const char *key) {
    g_autoptr(GBytes) bytes = bytes_of(key);
    g_autoptr(StoreAnswer) answer = must(store_put(store, bytes, bytes, 0, NULL, NULL));
    return answer->revision;
}

static const FixtureKind memory = { "memory" };

/* The clock of these tests stands still while something happens. */
static Store *open_over(const Fixture *fixture) {
    g_autoptr(GBytes) prefix = bytes_of("a/");
    return store_open_shared(fixture->store, prefix);
}

static void test_one_below(void) {
    Fixture *fixture = fixture_open(&memory);
    int64_t first = put(fixture->store, "a/0");
    g_autoptr(Store) shared = open_over(fixture);
    Seen seen[100], outside, now;
    for (unsigned i = 0; i < G_N_ELEMENTS(seen); i++)
        see(&seen[i], shared, i % 2 == 0 ? "a/" : "a/1", first);
    put(shared, "a/1");
    put(shared, "b");
    put(shared, "a/2");
    fixture_run_for(fixture, 100000);
    for (unsigned i = 0; i < G_N_ELEMENTS(seen); i++)
        g_assert_cmpstr(seen[i].told->str, ==, i % 2 == 0 ? "a/0@2 a/1@3 a/2@5 " : "a/1@3 ");
    g_assert_cmpuint(fixture->store->watches.length, ==, 1);

    /* What is not below the prefix, or begins now, has a watch of its own. */
    see(&outside, shared, "b", first);
    see(&now, shared, "a/", 0);
    g_assert_cmpuint(fixture->store->watches.length, ==, 3);
    put(shared, "a/3");
    fixture_run_for(fixture, 100000);
    g_assert_cmpstr(outside.told->str, ==, "b@4 ");
    g_assert_cmpstr(now.told->str, ==, "a/3@6 ");
    unsee(&outside);
    unsee(&now);
    for (unsigned i = 0; i < G_N_ELEMENTS(seen); i++)
        unsee(&seen[i]);
    g_assert_cmpuint(fixture->store->watches.length, ==, 1);
    store_free(g_steal_pointer(&shared));
    fixture_close(fixture);
}

/* Only the latest are kept; what came before is read from below. */
static void test_long_ago(void) {
    Fixture *fixture = fixture_open(&memory);
    g_autoptr(Store) shared = open_over(fixture);
    int64_t first = put(shared, "a/first");
    for (unsigned i = 0; i < 5000; i++)
        put(shared, "a/x");
    int64_t last = put(shared, "a/last");
    Seen early, late;
    see(&early, shared, "a/first", first);
    see(&late, shared, "a/last", last - 10);
    fixture_run_for(fixture, 100000);
    g_autofree char *expected = g_strdup_printf("a/last@%d ", (int)last);
    g_assert_cmpstr(early.told->str, ==, "a/first@2 ");
    g_assert_cmpstr(late.told->str, ==, expected);
    g_assert_cmpuint(fixture->store->watches.length, ==, 2);
    unsee(&early);
    unsee(&late);
    store_free(g_steal_pointer(&shared));
    fixture_close(fixture);
}

/* Who would have missed something is told so, and the others who come after it go on. */
static void test_lost(void) {
    Fixture *fixture = fixture_open(&memory);
    g_autoptr(Store) shared = open_over(fixture);
    int64_t first = put(shared, "a/0");
    Seen seen, after;
    see(&seen, shared, "a/", first);
    fixture_run_for(fixture, 100000);
    g_assert_cmpstr(seen.told->str, ==, "a/0@2 ");
    g_autoptr(GError) error = error_compacted(3, 4);
    watch_fail(fixture->store->watches.head->data, 4, error);
    g_assert_cmpint(seen.code, ==, STORE_ERROR_COMPACTED);
    g_assert_cmpint(seen.compacted, ==, 4);
    unsee(&seen);
    see(&after, shared, "a/", 5); /* before it is known where the next feed begins */
    for (unsigned i = 3; i < 7; i++)
        put(fixture->store, "a/1");
    fixture_run_for(fixture, 100000);
    g_assert_cmpstr(after.told->str, ==, "a/1@5 a/1@6 ");
    g_assert_cmpuint(fixture->store->watches.length, ==, 1);
    unsee(&after);
    store_free(g_steal_pointer(&shared));
    fixture_close(fixture);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/shared/one-below", test_one_below);
    g_test_add_func("/shared/long-ago", test_long_ago);
    g_test_add_func("/shared/lost", test_lost);
    return g_test_run();
}
