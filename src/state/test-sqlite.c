/* What only a store in a file can do wrong: locks, damage, full disks, what survives a kill. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "state/test-fixture.h"

static const FixtureKind sqlite_kind = { "sqlite", true };

static char *path_in(const Fixture *fixture, const char *name) {
    return g_build_filename(fixture->dir, name, NULL);
}

static void put(Store *store, const char *key, const char *value, int64_t lease) {
    g_autoptr(GBytes) k = bytes_of(key), v = bytes_of(value);
    store_answer_unref(must(store_put(store, k, v, lease, NULL, NULL)));
}

static void assert_refused(const char *path, StoreErrorCode code, const char *words) {
    g_autoptr(GError) error = NULL;
    g_autoptr(Loop) loop = loop_new(NULL);
    g_autoptr(Store) store = store_open_sqlite(loop, path, &error);
    g_assert_null(store);
    g_assert_error(error, STORE_ERROR, (int)code);
    if (strstr(error->message, words) == NULL || strstr(error->message, path) == NULL)
        g_error("'%s' is not in: %s", words, error->message);
}

static void test_in_use(void) {
    Fixture *fixture = fixture_open(&sqlite_kind);
    g_autofree char *path = path_in(fixture, "state.db");
    g_autofree char *words = g_strdup_printf("the process %d has it open", (int)getpid());
    struct stat info;
    g_assert_cmpint(stat(path, &info), ==, 0);
    g_assert_cmpint(info.st_mode & 0777, ==, 0600);
    assert_refused(path, STORE_ERROR_IN_USE, words);
    put(fixture->store, "k", "still works", 0);
    fixture_close(fixture);
}

static void execute(const char *path, const char *sql) {
    sqlite3 *db;
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_exec(db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
    (void)sqlite3_close(db);
}

static void remove_with(const char *path) {
    static const char *const ends[] = { "", "-wal", "-shm", "-lock" };
    for (size_t i = 0; i < G_N_ELEMENTS(ends); i++) {
        g_autofree char *name = g_strconcat(path, ends[i], NULL);
        (void)g_remove(name);
    }
}

static void test_not_a_store(void) {
    Fixture *fixture = fixture_open(&sqlite_kind);
    g_autofree char *path = path_in(fixture, "other.db");
    g_assert_true(g_file_set_contents(path, "not a database, and long enough to be seen as none\n",
                                      -1, NULL));
    assert_refused(path, STORE_ERROR_DAMAGED, "not a database");
    remove_with(path);
    execute(path, "CREATE TABLE things (name)");
    assert_refused(path, STORE_ERROR_DAMAGED, "it is not a store of stead; name another file");
    remove_with(path);
    execute(path, "PRAGMA application_id = 1937003380; PRAGMA user_version = 7");
    assert_refused(path, STORE_ERROR_FAILED, "it was written by a newer stead (format 7");
    remove_with(path);
    /* As a process leaves it that was killed when it had just made it. */
    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    g_autoptr(Loop) loop = loop_new(NULL);
    Store *store = store_open_sqlite(loop, path, NULL);
    g_assert_nonnull(store);
    put(store, "k", "v", 0);
    store_free(store);
    remove_with(path);
    fixture_close(fixture);
}

static void test_damage(void) {
    Fixture *fixture = fixture_open(&sqlite_kind);
    g_autofree char *path = path_in(fixture, "state.db");
    g_autofree char *value = g_strnfill(2000, 'v');
    for (unsigned i = 0; i < 100; i++) {
        g_autofree char *key = g_strdup_printf("key/%03u", i);
        put(fixture->store, key, value, 0);
    }
    g_clear_pointer(&fixture->store, store_free);
    char zeros[4096] = "";
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    for (off_t page = 3; page < 30; page++)
        g_assert_cmpint(pwrite(fd, zeros, sizeof zeros, page * 4096), ==, sizeof zeros);
    close(fd);
    assert_refused(path, STORE_ERROR_DAMAGED, "put a copy back, or save what can be read");
    fixture_close(fixture);
}

/* --- what is on the disk at a moment, as kill -9 leaves it */

static void copy_file(const Fixture *fixture, const char *name, const char *to) {
    g_autofree char *from = path_in(fixture, name), *path = path_in(fixture, to);
    g_autofree char *bytes = NULL;
    gsize size;
    if (g_file_get_contents(from, &bytes, &size, NULL))
        g_assert_true(g_file_set_contents(path, bytes, (gssize)size, NULL));
}

typedef struct {
    Loop *loop;
    Store *store;
    char *path;
} Copy;

static Copy copy_open(const Fixture *fixture) {
    Copy copy = { .loop = loop_new_virtual(NULL), .path = path_in(fixture, "copy.db") };
    copy_file(fixture, "state.db", "copy.db");
    copy_file(fixture, "state.db-wal", "copy.db-wal");
    copy.store = store_open_sqlite(copy.loop, copy.path, NULL);
    g_assert_nonnull(copy.store);
    return copy;
}

static void copy_close(Copy *copy) {
    store_free(copy->store);
    loop_free(copy->loop);
    remove_with(copy->path);
    g_free(copy->path);
}

static int64_t left_in_copy(const Fixture *fixture, int64_t lease) {
    Copy copy = copy_open(fixture);
    g_autoptr(StoreAnswer) look = must(store_lease_look(copy.store, lease, NULL, NULL));
    copy_close(&copy);
    return look->ttl;
}

/* Time is virtual. Never less than what is left, and not much more when it is little. */
static void test_lease_killed(void) {
    Fixture *fixture = fixture_open(&sqlite_kind);
    store_free(fixture->store);
    loop_free(fixture->loop);
    fixture->loop = loop_new_virtual(NULL);
    g_autofree char *path = path_in(fixture, "state.db");
    fixture->store = store_open_sqlite(fixture->loop, path, NULL);
    g_autoptr(StoreAnswer) granted = must(store_lease_grant(fixture->store, 60, NULL, NULL));
    put(fixture->store, "k", "v", granted->lease);
    g_assert_cmpint(left_in_copy(fixture, granted->lease), >=, 59);
    fixture_run_for(fixture, 50 * G_USEC_PER_SEC);
    put(fixture->store, "other", "v", 0); /* what was noted before is on the disk by then */
    int64_t left = left_in_copy(fixture, granted->lease);
    g_assert_cmpint(left, >=, 9);
    g_assert_cmpint(left, <=, 16);
    store_answer_unref(must(store_lease_keep(fixture->store, granted->lease, NULL, NULL)));
    g_assert_cmpint(left_in_copy(fixture, granted->lease), >=, 59);
    fixture_run_for(fixture, 61 * G_USEC_PER_SEC);
    must_fail(store_lease_look(fixture->store, granted->lease, NULL, NULL), STORE_ERROR_LEASE_GONE);
    g_autoptr(GBytes) key = bytes_of("k");
    g_autoptr(StoreAnswer) gone = must(store_get(fixture->store, key, NULL, NULL));
    g_assert_null(store_answer_entry(gone));
    fixture_close(fixture);
}

static int64_t count_history(const char *path) {
    sqlite3 *db;
    sqlite3_stmt *statement;
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_prepare_v2(db, "SELECT count(*) FROM history", -1, &statement, NULL),
                    ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_step(statement), ==, SQLITE_ROW);
    int64_t count = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    return count;
}

static bool is_swept(void *data) {
    return count_history(data) == 3; /* a and b, and the last change of b */
}

static void test_compaction_frees(void) {
    Fixture *fixture = fixture_open(&sqlite_kind);
    g_autofree char *path = path_in(fixture, "state.db");
    g_autoptr(StoreTxn) many = store_txn_new();
    for (unsigned i = 0; i < 1200; i++)
        put(fixture->store, i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c", "v", 0);
    g_autoptr(GBytes) c = bytes_of("c");
    g_autoptr(StoreAnswer) last = must(store_delete(fixture->store, c, false, NULL, NULL));
    put(fixture->store, "b", "w", 0);
    g_assert_cmpint(count_history(path), ==, 1202);
    store_answer_unref(must(store_compact(fixture->store, last->revision, NULL, NULL)));
    fixture_run_until(fixture, is_swept, path);
    g_autoptr(StoreAnswer) then =
        must(store_range(fixture->store, &(StoreRange){ .revision = last->revision }, NULL, NULL));
    g_assert_cmpint(store_answer_result(then, 0)->count, ==, 2);
    fixture_close(fixture);
}

/* --- a full disk: a small one, in a mount namespace of a child */

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, #condition);                      \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

static bool try_put(Store *store, unsigned i, GError **error) {
    g_autofree char *name = g_strdup_printf("key/%u", i), *filler = g_strnfill(50000, 'f');
    g_autoptr(GBytes) key = bytes_of(name), value = bytes_of(filler);
    g_autoptr(StoreAnswer) answer = store_wait(store_put(store, key, value, 0, NULL, NULL), error);
    return answer != NULL;
}

static bool fill(const char *dir) {
    g_autofree char *path = g_build_filename(dir, "state.db", NULL);
    g_autofree char *ballast = g_build_filename(dir, "ballast", NULL);
    g_autofree char *weight = g_strnfill(1 << 20, 'b');
    g_autoptr(GError) error = NULL;
    REQUIRE(g_file_set_contents(ballast, weight, 1 << 20, NULL));
    g_autoptr(Loop) loop = loop_new(NULL);
    Store *store = store_open_sqlite(loop, path, &error);
    REQUIRE(store != NULL);
    unsigned n = 0;
    while (n < 1000 && try_put(store, n, &error))
        n++;
    REQUIRE(n > 10 && n < 1000);
    REQUIRE(g_error_matches(error, STORE_ERROR, STORE_ERROR_NO_SPACE));
    REQUIRE(strstr(error->message, "the disk is full; nothing was changed") != NULL);
    g_autoptr(StoreAnswer) all =
        store_wait(store_range(store, &(StoreRange){ .keys_only = true }, NULL, NULL), NULL);
    REQUIRE(all != NULL && store_answer_result(all, 0)->count == n && all->revision == n + 1);
    REQUIRE(unlink(ballast) == 0);
    g_clear_error(&error);
    REQUIRE(try_put(store, n, &error));
    store_free(store);
    store = store_open_sqlite(loop, path, &error);
    REQUIRE(store != NULL);
    store_free(store);
    return true;
}

static void test_full(void) {
    g_autofree char *dir = g_dir_make_tmp("stead-full-XXXXXX", NULL);
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("tmpfs", dir, "tmpfs", 0, "size=4m") != 0)
            _exit(77);
        _exit(fill(dir) ? 0 : 1);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    (void)g_rmdir(dir);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        g_test_skip("needs root, to mount a small disk");
    else
        g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sqlite/full", test_full); /* forks: before there are threads */
    g_test_add_func("/sqlite/in-use", test_in_use);
    g_test_add_func("/sqlite/not-a-store", test_not_a_store);
    g_test_add_func("/sqlite/damage", test_damage);
    g_test_add_func("/sqlite/lease-killed", test_lease_killed);
    g_test_add_func("/sqlite/compaction-frees", test_compaction_frees);
    return g_test_run();
}
