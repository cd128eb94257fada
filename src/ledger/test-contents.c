/* Contents of pre-images: stored once, checked, swept when nothing names them. */
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "ledger/test-support.h"

static GBytes *bytes_of(const char *text) {
    return g_bytes_new(text, strlen(text));
}

static void store(Ledger *ledger, const char *text, char hex[DIGEST_HEX_SIZE]) {
    g_autoptr(GBytes) content = bytes_of(text);
    GError *error = NULL;
    g_assert_true(ledger_store_content(ledger, content, hex, &error));
    g_assert_no_error(error);
}

static bool is_stored(const Fixture *fixture, const char *hex) {
    g_autofree char *path = g_build_filename(fixture->dir, "preimages", hex, NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static void put_naming(Ledger *ledger, const char *name, const char *preimage, const char *kept) {
    LedgerEntry *entry = ledger_entry_new("file", name);
    if (preimage)
        entry->preimage = map_of("content", value_new_string(preimage));
    if (kept)
        entry->kept = map_of("old", value_new_string(kept));
    ledger_put(ledger, entry);
}

static void test_store(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    char hex[DIGEST_HEX_SIZE], again[DIGEST_HEX_SIZE], empty[DIGEST_HEX_SIZE];
    store(fixture->ledger, "before us", hex);
    store(fixture->ledger, "before us", again);
    store(fixture->ledger, "", empty);
    g_assert_cmpstr(hex, ==, again);
    put_naming(fixture->ledger, "/a", hex, empty);
    fixture_reopen(fixture);
    GError *error = NULL;
    g_autoptr(GBytes) content = ledger_load_content(fixture->ledger, hex, &error);
    g_assert_no_error(error);
    g_autoptr(GBytes) expected = bytes_of("before us");
    g_assert_true(g_bytes_equal(content, expected));
    g_autoptr(GBytes) nothing = ledger_load_content(fixture->ledger, empty, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(g_bytes_get_size(nothing), ==, 0);
}

static void assert_no_content(Ledger *ledger, const char *hex, int code) {
    g_autoptr(GError) error = NULL;
    g_assert_null(ledger_load_content(ledger, hex, &error));
    g_assert_error(error, STEAD_ERROR, code);
}

static void test_load_errors(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    char hex[DIGEST_HEX_SIZE];
    store(fixture->ledger, "before us", hex);
    g_autofree char *path = g_build_filename(fixture->dir, "preimages", hex, NULL);
    write_text(path, "before uS", -1);
    assert_no_content(fixture->ledger, hex, STEAD_ERROR_DAMAGED);
    g_assert_cmpint(unlink(path), ==, 0);
    assert_no_content(fixture->ledger, hex, STEAD_ERROR_NOT_FOUND);
    assert_no_content(fixture->ledger, "../../etc/passwd", STEAD_ERROR_DAMAGED);
    assert_no_content(fixture->ledger, "abc", STEAD_ERROR_DAMAGED);
}

static void test_sweep(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    char a[DIGEST_HEX_SIZE], b[DIGEST_HEX_SIZE], c[DIGEST_HEX_SIZE], d[DIGEST_HEX_SIZE];
    store(fixture->ledger, "a", a);
    store(fixture->ledger, "b", b);
    store(fixture->ledger, "c", c);
    store(fixture->ledger, "d", d);
    put_naming(fixture->ledger, "/a", a, NULL);
    put_naming(fixture->ledger, "/b", NULL, b);
    g_autoptr(Value) preimage = map_of("content", value_new_string(c));
    g_assert_true(ledger_begin(fixture->ledger, "file", "/c", preimage, NULL));
    fixture_reopen(fixture);
    g_assert_true(is_stored(fixture, a));
    g_assert_true(is_stored(fixture, b));
    g_assert_true(is_stored(fixture, c)); /* by a step in progress */
    g_assert_false(is_stored(fixture, d));
    ledger_forget(fixture->ledger, "file", "/a");
    ledger_end(fixture->ledger, "file", "/c");
    put_naming(fixture->ledger, "/b", NULL, "something else");
    fixture_reopen(fixture);
    g_assert_false(is_stored(fixture, a));
    g_assert_false(is_stored(fixture, b));
    g_assert_false(is_stored(fixture, c));
}

static void forget_left(Ledger *ledger) {
    ledger_forget(ledger, "file", "/left");
    (void)ledger_flush(ledger, NULL);
}

/* Killed after an entry was forgotten, before its content went: the next one looks. */
static void test_sweep_after_kill(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    char hex[DIGEST_HEX_SIZE], kept[DIGEST_HEX_SIZE];
    store(fixture->ledger, "left", hex);
    store(fixture->ledger, "kept", kept);
    put_naming(fixture->ledger, "/left", hex, NULL);
    put_naming(fixture->ledger, "/kept", kept, NULL);
    g_clear_pointer(&fixture->ledger, ledger_close);
    fixture_in_killed_process(fixture, forget_left);
    g_assert_true(is_stored(fixture, hex));
    fixture_open(fixture);
    fixture_reopen(fixture);
    g_assert_false(is_stored(fixture, hex));
    g_assert_true(is_stored(fixture, kept));
}

/* Two entries with one content: it stays as long as one of them does. */
static void test_shared(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    char hex[DIGEST_HEX_SIZE];
    store(fixture->ledger, "same", hex);
    put_naming(fixture->ledger, "/a", hex, NULL);
    put_naming(fixture->ledger, "/b", hex, NULL);
    fixture_reopen(fixture);
    ledger_forget(fixture->ledger, "file", "/a");
    fixture_reopen(fixture);
    g_assert_true(is_stored(fixture, hex));
    ledger_forget(fixture->ledger, "file", "/b");
    fixture_reopen(fixture);
    g_assert_false(is_stored(fixture, hex));
}

static void test_temporaries(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    g_autofree char *left = fixture_path(fixture, "content-Ab12Cd");
    g_autofree char *database = fixture_path(fixture, "ledger.db.new");
    g_autofree char *log = fixture_path(fixture, "intent.log.new");
    write_text(left, "half", -1);
    write_text(database, "half", -1);
    write_text(log, "half", -1);
    fixture_reopen(fixture);
    g_assert_false(g_file_test(left, G_FILE_TEST_EXISTS));
    g_assert_false(g_file_test(database, G_FILE_TEST_EXISTS));
    g_assert_false(g_file_test(log, G_FILE_TEST_EXISTS));
}

typedef struct {
    Ledger *ledger;
    unsigned number;
} Storer;

static gpointer store_many(gpointer data) {
    const Storer *storer = data;
    for (unsigned i = 0; i < 50; i++) {
        g_autofree char *text = g_strdup_printf("content %u", i + storer->number / 2 * 50);
        char hex[DIGEST_HEX_SIZE];
        store(storer->ledger, text, hex);
        g_autoptr(GBytes) content = ledger_load_content(storer->ledger, hex, NULL);
        g_assert_cmpuint(g_bytes_get_size(content), ==, strlen(text));
    }
    return NULL;
}

static void test_threads(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    Storer storers[4];
    GThread *threads[4];
    for (unsigned i = 0; i < 4; i++) {
        storers[i] = (Storer){ fixture->ledger, i };
        threads[i] = g_thread_new("storer", store_many, &storers[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    g_assert_true(ledger_flush(fixture->ledger, NULL));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD_TEST("/contents/store", test_store);
    ADD_TEST("/contents/load-errors", test_load_errors);
    ADD_TEST("/contents/sweep", test_sweep);
    ADD_TEST("/contents/sweep-after-kill", test_sweep_after_kill);
    ADD_TEST("/contents/shared", test_shared);
    ADD_TEST("/contents/temporaries", test_temporaries);
    ADD_TEST("/contents/threads", test_threads);
    return g_test_run();
}
