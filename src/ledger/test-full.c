/* Disks that are full or limited: nothing is lost, everything is said. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "ledger/test-support.h"

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, #condition);                      \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

typedef struct {
    volatile int count;
    char message[512];
} Reports;

static void note_report(void *data, const GError *error) {
    Reports *reports = data;
    g_strlcpy(reports->message, error->message, sizeof reports->message);
    reports->count++;
}

/* --- a full tmpfs, in a mount namespace of a child --- */

static void fill_disk(const char *path) {
    char block[4096];
    memset(block, 'x', sizeof block);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, block, sizeof block) > 0)
        continue;
    close(fd);
}

static bool put_and_flush(Ledger *ledger, unsigned from, unsigned to, GError **error) {
    g_autofree char *filler = g_strnfill(2000, 'f');
    for (unsigned i = from; i < to; i++) {
        g_autofree char *name = sample_name(i);
        LedgerEntry *entry = sample_entry(name, 1);
        entry->kept = map_of("filler", value_new_string(filler));
        ledger_put(ledger, entry);
        ledger_journal(ledger, sample_journal((int64_t)i, name, true));
    }
    return ledger_flush(ledger, error);
}

static bool has_all(Ledger *ledger, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = sample_name(i);
        const LedgerEntry *entry = ledger_find(ledger, "file", name);
        REQUIRE(entry && entry_version(entry) == 1);
    }
    REQUIRE(ledger_count(ledger) == n);
    return true;
}

static bool fill_up(Ledger *ledger, const char *ballast, Reports *reports) {
    g_autoptr(GError) error = NULL;
    g_autofree char *big = g_strnfill(4096, 'b');
    g_autoptr(Value) preimage = map_of("was", value_new_string(big));
    g_autoptr(GBytes) content = g_bytes_new(big, 4096);
    char hex[DIGEST_HEX_SIZE];
    REQUIRE(put_and_flush(ledger, 0, 50, &error));
    REQUIRE(ledger_begin(ledger, "file", "/etc/app/0060.conf", NULL, &error));
    fill_disk(ballast);
    REQUIRE(!put_and_flush(ledger, 50, 100, &error));
    REQUIRE(g_error_matches(error, STEAD_ERROR, STEAD_ERROR_IO));
    REQUIRE(strstr(error->message, "No space left on device"));
    REQUIRE(reports->count == 1 && strcmp(reports->message, error->message) == 0);
    g_clear_error(&error);
    REQUIRE(!ledger_begin(ledger, "file", "/new", preimage, &error));
    REQUIRE(strstr(error->message, "No space left on device: noting what is done needs about"));
    g_clear_error(&error);
    REQUIRE(!ledger_store_content(ledger, content, hex, &error));
    REQUIRE(strstr(error->message, "No space left on device"));
    g_clear_error(&error);
    ledger_end(ledger, "file", "/etc/app/0060.conf");
    REQUIRE(!ledger_flush(ledger, NULL)); /* and again, while it lasts */
    REQUIRE(reports->count == 1);         /* but told only once */
    return has_all(ledger, 100);          /* what could not be written is not forgotten */
}

static bool full_disk(const char *dir) {
    Reports reports = { 0 };
    g_autoptr(GError) error = NULL;
    REQUIRE(mount("tmpfs", dir, "tmpfs", 0, "size=1m") == 0);
    g_autofree char *state = g_build_filename(dir, "state", NULL);
    g_autofree char *ballast = g_build_filename(dir, "ballast", NULL);
    Ledger *ledger = ledger_open(state, LEDGER_WRITE, "test", NULL);
    REQUIRE(ledger);
    ledger_on_error(ledger, note_report, &reports);
    REQUIRE(fill_up(ledger, ballast, &reports));
    REQUIRE(unlink(ballast) == 0);
    REQUIRE(ledger_flush(ledger, &error)); /* space again: everything is written */
    REQUIRE(ledger_begin(ledger, "file", "/new", NULL, &error));
    ledger_end(ledger, "file", "/new");
    ledger_close(ledger);
    ledger = ledger_open(state, LEDGER_WRITE, "test", NULL);
    REQUIRE(ledger && has_all(ledger, 100));
    REQUIRE(ledger_interrupted(ledger)->len == 0);
    ledger_close(ledger);
    return true;
}

/* The process goes while the disk is full: the step that was begun is interrupted, the rest is as
 * it was before. */
static bool full_to_the_end(const char *dir) {
    Reports reports = { 0 };
    REQUIRE(mount("tmpfs", dir, "tmpfs", 0, "size=1m") == 0);
    g_autofree char *state = g_build_filename(dir, "state", NULL);
    g_autofree char *ballast = g_build_filename(dir, "ballast", NULL);
    Ledger *ledger = ledger_open(state, LEDGER_WRITE, "test", NULL);
    ledger_on_error(ledger, note_report, &reports);
    REQUIRE(fill_up(ledger, ballast, &reports));
    ledger_close(ledger);
    ledger = ledger_open(state, LEDGER_WRITE, "test", NULL); /* opens on a full disk, too */
    REQUIRE(ledger && has_all(ledger, 50));
    REQUIRE(ledger_interrupted(ledger)->len == 1);
    ledger_close(ledger);
    return true;
}

static bool full_from_the_start(const char *dir) {
    g_autoptr(GError) error = NULL;
    REQUIRE(mount("tmpfs", dir, "tmpfs", 0, "size=64k") == 0);
    g_autofree char *state = g_build_filename(dir, "state", NULL);
    g_autofree char *ballast = g_build_filename(dir, "ballast", NULL);
    fill_disk(ballast);
    Ledger *ledger = ledger_open(state, LEDGER_WRITE, "test", &error);
    if (!ledger) /* not even room for the lock */
        return strstr(error->message, "No space left on device") != NULL;
    REQUIRE(!put_and_flush(ledger, 0, 1, &error));
    REQUIRE(strstr(error->message, "No space left on device"));
    ledger_close(ledger);
    return true;
}

static void in_namespace(Fixture *fixture, bool (*function)(const char *dir)) {
    if (!run_in_namespace(function, fixture->top))
        g_test_skip("this user may not make a mount namespace");
}

static void test_full(Fixture *fixture, gconstpointer data) {
    in_namespace(fixture, full_disk);
}

static void test_full_to_the_end(Fixture *fixture, gconstpointer data) {
    in_namespace(fixture, full_to_the_end);
}

static void test_full_from_the_start(Fixture *fixture, gconstpointer data) {
    in_namespace(fixture, full_from_the_start);
}

/* --- a limit on the size of files, which every user can have --- */

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    limit.rlim_cur = bytes;
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}

static void test_file_limit(Fixture *fixture, gconstpointer data) {
    signal(SIGXFSZ, SIG_IGN);
    Reports reports = { 0 };
    g_autoptr(GError) error = NULL;
    fixture_open(fixture);
    ledger_on_error(fixture->ledger, note_report, &reports);
    g_assert_true(put_and_flush(fixture->ledger, 0, 20, NULL));
    limit_files(160 * 1024);
    bool ok = put_and_flush(fixture->ledger, 20, 200, &error);
    limit_files(RLIM_INFINITY);
    g_assert_false(ok);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_IO);
    g_assert_cmpint(reports.count, ==, 1);
    g_assert_true(ledger_flush(fixture->ledger, NULL));
    fixture_reopen(fixture);
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, 200);
}

/* A record of the intent log that found no room leaves nothing that spoils the next. */
static void test_torn_by_limit(Fixture *fixture, gconstpointer data) {
    signal(SIGXFSZ, SIG_IGN);
    g_autofree char *big = g_strnfill(3000, 'b');
    g_autoptr(Value) preimage = map_of("was", value_new_string(big));
    fixture_open(fixture);
    g_assert_true(ledger_begin(fixture->ledger, "file", "/a", NULL, NULL));
    limit_files(1000);
    GError *error = NULL;
    bool ok = ledger_begin(fixture->ledger, "file", "/b", preimage, &error);
    limit_files(RLIM_INFINITY);
    g_assert_false(ok);
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_IO);
    g_clear_error(&error);
    g_assert_true(ledger_begin(fixture->ledger, "file", "/c", preimage, NULL));
    fixture_reopen(fixture);
    const GPtrArray *steps = ledger_interrupted(fixture->ledger);
    g_assert_cmpuint(steps->len, ==, 2);
    g_assert_cmpstr(((LedgerStep *)steps->pdata[1])->name, ==, "/c");
}

/* --- somebody takes the files away --- */

static void test_moved(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    g_assert_true(put_and_flush(fixture->ledger, 0, 3, NULL));
    g_autofree char *path = fixture_path(fixture, "ledger.db");
    g_autofree char *away = fixture_path(fixture, "away.db");
    g_assert_cmpint(rename(path, away), ==, 0);
    g_autoptr(GError) error = NULL;
    g_assert_false(put_and_flush(fixture->ledger, 3, 4, &error));
    g_assert_nonnull(strstr(error->message, "it was moved or deleted while in use"));
    g_assert_false(ledger_flush(fixture->ledger, NULL));
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS)); /* no new one with half of it */
    write_text(path, "another", -1);
    g_assert_false(ledger_flush(fixture->ledger, NULL));
    g_assert_cmpint(rename(away, path), ==, 0);
    g_assert_true(ledger_flush(fixture->ledger, NULL));
    fixture_reopen(fixture);
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, 4);
}

/* While nothing can be written the journal does not grow without end, and says what it gave up. */
static void test_backlog(Fixture *fixture, gconstpointer data) {
    Reports reports = { 0 };
    fixture_open(fixture);
    ledger_on_error(fixture->ledger, note_report, &reports);
    g_assert_true(put_and_flush(fixture->ledger, 0, 3, NULL));
    g_autofree char *path = fixture_path(fixture, "ledger.db");
    g_autofree char *away = fixture_path(fixture, "away.db");
    g_assert_cmpint(rename(path, away), ==, 0);
    g_assert_cmpint(mkdir(path, 0700), ==, 0);
    for (int i = 0; i < 25000; i++) {
        ledger_journal(fixture->ledger, sample_journal(i, "/a", true));
        if (i % 5000 == 0)
            g_assert_false(ledger_flush(fixture->ledger, NULL));
    }
    g_assert_false(ledger_flush(fixture->ledger, NULL));
    g_assert_cmpint(reports.count, ==, 1);
    g_assert_cmpint(rmdir(path), ==, 0);
    g_assert_cmpint(rename(away, path), ==, 0);
    g_assert_true(ledger_flush(fixture->ledger, NULL));
    g_assert_cmpint(reports.count, ==, 2);
    g_assert_nonnull(strstr(reports.message, "5000 entries of the drift journal were given up"));
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD_TEST("/full/disk", test_full);
    ADD_TEST("/full/to-the-end", test_full_to_the_end);
    ADD_TEST("/full/from-the-start", test_full_from_the_start);
    ADD_TEST("/full/file-limit", test_file_limit);
    ADD_TEST("/full/torn-by-limit", test_torn_by_limit);
    ADD_TEST("/full/moved", test_moved);
    ADD_TEST("/full/backlog", test_backlog);
    return g_test_run();
}
