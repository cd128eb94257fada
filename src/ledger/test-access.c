/* Who may open a ledger when: the lock, readers beside a writer, read-only places. */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "ledger/test-support.h"

static Ledger *open_reader(const char *dir) {
    GError *error = NULL;
    Ledger *reader = ledger_open(dir, LEDGER_READ, "reader", &error);
    g_assert_no_error(error);
    return reader;
}

static void test_lock(Fixture *fixture, gconstpointer data) {
    GError *error = NULL;
    fixture->ledger = ledger_open(fixture->dir, LEDGER_WRITE, "agent\nof 'mine'", &error);
    g_assert_no_error(error);
    g_assert_null(ledger_open(fixture->dir, LEDGER_WRITE, "apply", &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED);
    g_autofree char *expected = g_strdup_printf(
        "another stead is at work on this host: 'agent of 'mine'' with pid %d since ", getpid());
    g_assert_true(g_str_has_prefix(error->message, expected));
    g_autofree char *ending = g_strdup_printf(" (state directory '%s')", fixture->dir);
    g_assert_true(g_str_has_suffix(error->message, ending));
    g_clear_error(&error);
    g_clear_pointer(&fixture->ledger, ledger_close);
    fixture_open(fixture); /* free again */
}

/* Whatever is in the file, only the lock on it counts. */
static void test_lock_text(Fixture *fixture, gconstpointer data) {
    static const char *const texts[] = {
        "", "\n", "12", "x y z", "7 99999999999999999999 a", "1 2"
    };
    g_autofree char *path = fixture_path(fixture, "lock");
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        fixture_open(fixture);
        FILE *file = fopen(path, "w");
        fputs(texts[i], file);
        fclose(file);
        g_autoptr(GError) error = NULL;
        g_assert_null(ledger_open(fixture->dir, LEDGER_WRITE, "apply", &error));
        g_assert_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED);
        g_clear_pointer(&fixture->ledger, ledger_close);
    }
    fixture_open(fixture);
}

/* A dead writer's lock is nobody's. */
static void test_lock_of_the_dead(Fixture *fixture, gconstpointer data) {
    pid_t child = fork();
    if (child == 0)
        _exit(ledger_open(fixture->dir, LEDGER_WRITE, "child", NULL) ? 0 : 1);
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
    fixture_open(fixture);
}

static void test_reader_without_ledger(Fixture *fixture, gconstpointer data) {
    Ledger *reader = open_reader(fixture->dir);
    g_assert_cmpuint(ledger_count(reader), ==, 0);
    g_assert_null(ledger_find(reader, "file", "/a"));
    g_assert_cmpuint(ledger_interrupted(reader)->len, ==, 0);
    g_assert_true(ledger_flush(reader, NULL));
    ledger_close(reader);
    g_assert_false(g_file_test(fixture->dir, G_FILE_TEST_EXISTS));

    fixture_open(fixture); /* a directory without a database */
    reader = open_reader(fixture->dir);
    g_assert_cmpuint(ledger_count(reader), ==, 0);
    ledger_close(reader);
}

static void count_entry(void *data, const LedgerEntry *entry) {
    g_assert_cmpint(entry_version(entry), ==, 1);
    (*(unsigned *)data)++;
}

static unsigned count_entries(Ledger *ledger) {
    unsigned n = 0;
    ledger_visit(ledger, count_entry, &n);
    g_assert_true(ledger_flush(ledger, NULL));
    return n;
}

/* A reader sees what was committed when it opened, however much is written meanwhile. */
static void test_reader_beside_writer(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    put_samples(fixture->ledger, 50);
    g_assert_true(ledger_begin(fixture->ledger, "file", "/step", NULL, NULL));
    Ledger *reader = open_reader(fixture->dir);
    for (unsigned i = 0; i < 50; i++) {
        g_autofree char *name = sample_name(i);
        ledger_put(fixture->ledger, sample_entry(name, 2));
    }
    ledger_put(fixture->ledger, sample_entry("/more", 1));
    g_assert_true(ledger_flush(fixture->ledger, NULL));
    g_assert_cmpuint(count_entries(reader), ==, 50);
    g_assert_cmpuint(ledger_interrupted(reader)->len, ==, 1);
    ledger_close(reader);
    reader = open_reader(fixture->dir);
    g_assert_cmpuint(ledger_count(reader), ==, 51);
    g_assert_cmpint(entry_version(ledger_find(reader, "file", "/etc/app/0000.conf")), ==, 2);
    ledger_close(reader);
}

/* A reader that is open while the writer comes, changes and goes. */
static void test_reader_before_writer(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    put_samples(fixture->ledger, 50);
    g_clear_pointer(&fixture->ledger, ledger_close);
    Ledger *reader = open_reader(fixture->dir);
    fixture_open(fixture);
    ledger_forget(fixture->ledger, "file", "/etc/app/0000.conf");
    g_clear_pointer(&fixture->ledger, ledger_close);
    g_assert_cmpuint(count_entries(reader), ==, 50);
    ledger_close(reader);
    fixture_open(fixture); /* finds a write-ahead file that could not be folded in */
    g_assert_cmpuint(count_entries(fixture->ledger), ==, 49);
}

/* The opener's thread reads while the ledger's thread goes from not having written to writing. */
static void test_going_live(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    put_samples(fixture->ledger, 200);
    fixture_reopen(fixture);
    for (unsigned i = 0; i < 200; i++) {
        g_autofree char *name = sample_name(i);
        g_assert_cmpint(entry_version(ledger_find(fixture->ledger, "file", name)), ==, 1);
        ledger_put(fixture->ledger, sample_entry(name, 2));
        if (i % 50 == 0)
            g_assert_true(ledger_flush(fixture->ledger, NULL));
        ledger_trim(fixture->ledger);
        g_assert_cmpint(entry_version(ledger_find(fixture->ledger, "file", name)), ==, 2);
    }
}

/* --- read-only file systems, in a mount namespace of a child --- */

static bool mount_read_only(const char *dir) {
    return mount(dir, dir, NULL, MS_BIND, NULL) == 0 &&
           mount(NULL, dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0;
}

static bool read_fifty(const char *dir) {
    g_autoptr(GError) error = NULL;
    Ledger *reader = mount_read_only(dir) ? ledger_open(dir, LEDGER_READ, "reader", &error) : NULL;
    if (!reader) {
        fprintf(stderr, "# %s\n", error ? error->message : "cannot mount");
        return false;
    }
    bool right = count_entries(reader) == 50;
    const JournalFilter all = { 0 };
    right = right && ledger_read_journal(reader, &all, NULL, NULL, &error);
    ledger_close(reader);
    return right;
}

static bool refuse_to_write(const char *dir) {
    g_autoptr(GError) error = NULL;
    if (!mount_read_only(dir) || ledger_open(dir, LEDGER_WRITE, "writer", &error))
        return false;
    return g_error_matches(error, STEAD_ERROR, STEAD_ERROR_IO) &&
           strstr(error->message, "Read-only file system");
}

static void test_read_only(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    put_samples(fixture->ledger, 50);
    g_clear_pointer(&fixture->ledger, ledger_close);
    if (!run_in_namespace(read_fifty, fixture->dir) ||
        !run_in_namespace(refuse_to_write, fixture->dir))
        g_test_skip("this user may not make a mount namespace");
}

static bool put_fifty_and_die(const char *dir) {
    Ledger *ledger = ledger_open(dir, LEDGER_WRITE, "child", NULL);
    put_samples(ledger, 50);
    return true; /* without closing: all is in the write-ahead file */
}

static void test_read_only_after_kill(Fixture *fixture, gconstpointer data) {
    if (!run_in_namespace(put_fifty_and_die, fixture->dir)) {
        g_test_skip("this user may not make a mount namespace");
        return;
    }
    g_autofree char *before = describe_files(fixture->dir);
    g_assert_true(run_in_namespace(read_fifty, fixture->dir));
    g_autofree char *after = describe_files(fixture->dir);
    g_assert_cmpstr(after, ==, before);
}

/* What a killed writer left in the write-ahead file is folded in by the next, though it has nothing
 * to write itself: so that the one after it opens without touching anything. */
static void test_folds_in(Fixture *fixture, gconstpointer data) {
    pid_t child = fork();
    if (child == 0) {
        put_samples(ledger_open(fixture->dir, LEDGER_WRITE, "child", NULL), 50);
        _exit(0);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
    g_autofree char *wal = fixture_path(fixture, "ledger.db-wal");
    g_assert_true(g_file_test(wal, G_FILE_TEST_EXISTS));
    fixture_open(fixture);
    g_assert_cmpuint(count_entries(fixture->ledger), ==, 50);
    g_clear_pointer(&fixture->ledger, ledger_close);
    g_assert_false(g_file_test(wal, G_FILE_TEST_EXISTS));
    fixture_open(fixture);
    g_assert_cmpuint(count_entries(fixture->ledger), ==, 50);
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD_TEST("/access/lock", test_lock);
    ADD_TEST("/access/lock-text", test_lock_text);
    ADD_TEST("/access/lock-of-the-dead", test_lock_of_the_dead);
    ADD_TEST("/access/reader-without-ledger", test_reader_without_ledger);
    ADD_TEST("/access/reader-beside-writer", test_reader_beside_writer);
    ADD_TEST("/access/reader-before-writer", test_reader_before_writer);
    ADD_TEST("/access/going-live", test_going_live);
    ADD_TEST("/access/folds-in", test_folds_in);
    ADD_TEST("/access/read-only", test_read_only);
    ADD_TEST("/access/read-only-after-kill", test_read_only_after_kill);
    return g_test_run();
}
