/* Bytes on disk that are not what was written: a clear error with its remedy, never a crash; and a
 * repair that saves what can be read. Every look at damage happens in a child with an alarm, so
 * that a crash or an endless loop is seen as one. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "ledger/test-support.h"

#define N_ENTRIES 250
#define N_JOURNAL 200
#define ALARM_S   60 /* a sanitized build on a busy machine is slow */

static const char *const names[] = { "ledger.db", "ledger.db-wal", "intent.log" };

/* --- the ledger to damage --- */

static void fill(Ledger *ledger) {
    ledger_set_configuration(ledger, "/srv/site.lua");
    put_samples(ledger, N_ENTRIES);
    for (int i = 1; i <= N_JOURNAL; i++)
        ledger_journal(ledger, sample_journal(i, "/a", true));
    for (unsigned i = 0; i < 20; i++) {
        g_autofree char *name = sample_name(i);
        ledger_set_pending(ledger, "file", name, "svc", "app", true);
        ledger_set_retries(ledger, "file", name, 2);
    }
}

static void begin_two(Ledger *ledger) {
    g_autoptr(Value) preimage = map_of("was", value_new_string("there"));
    ledger_begin(ledger, "file", "/first", preimage, NULL);
    ledger_begin(ledger, "file", "/second", preimage, NULL);
}

/* Leaves a ledger with two steps in progress; live: as a killed writer does, with everything but
 * the schema in the write-ahead file. */
static void make_ledger(const Fixture *fixture, bool live) {
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        Ledger *ledger = ledger_open(fixture->dir, LEDGER_WRITE, "child", NULL);
        fill(ledger);
        if (live)
            ledger_flush(ledger, NULL);
        else
            g_clear_pointer(&ledger, ledger_close);
        if (!live)
            ledger = ledger_open(fixture->dir, LEDGER_WRITE, "child", NULL);
        begin_two(ledger);
        _exit(0);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
}

/* --- looking at it --- */

enum { FINE, DAMAGED, UNCLEAR, NOT_REPAIRED };

static void count_entry(void *data, const LedgerEntry *entry) {
    *(unsigned *)data += entry_version(entry) == 1;
}

static void ignore_key(void *data, const char *kind, const char *name) {
}

static void ignore_status(void *data, const char *kind, const char *name, const Value *status) {
}

static void ignore_journal(void *data, const JournalEntry *entry) {
}

static int judge(const GError *error) {
    bool clear = error &&
                 (error->code == STEAD_ERROR_DAMAGED || error->code == STEAD_ERROR_REFUSED) &&
                 strstr(error->message, "'stead ledger repair'");
    if (!clear)
        fprintf(stderr, "# unclear: %s\n", error ? error->message : "no error");
    return clear ? DAMAGED : UNCLEAR;
}

/* Everything that can be done with a ledger. */
static int use(Ledger *ledger, unsigned *ret_entries) {
    g_autoptr(GError) error = NULL;
    const JournalFilter all = { 0 };
    FingerprintCache *cache = fingerprint_cache_new();
    ledger_attach_fingerprints(ledger, cache);
    ledger_visit_keys(ledger, NULL, ignore_key, NULL);
    ledger_visit(ledger, count_entry, ret_entries);
    ledger_visit_status(ledger, ignore_status, NULL);
    bool ok = ledger_read_journal(ledger, &all, ignore_journal, NULL, &error);
    for (unsigned i = 0; i < N_ENTRIES; i += 7) {
        g_autofree char *name = sample_name(i);
        (void)ledger_find(ledger, "file", name);
    }
    if (ok && ledger_begin(ledger, "file", "/new", NULL, &error)) {
        for (unsigned i = 0; i < N_ENTRIES; i += 11) {
            g_autofree char *name = sample_name(i);
            ledger_put(ledger, sample_entry(name, 1));
            ledger_set_status(ledger, "file", name, map_of("state", value_new_string("failed")));
            ledger_forget(ledger, "file", "/etc/app/0003.conf");
        }
        ledger_journal(ledger, sample_journal(1, "/new", true));
        ledger_end(ledger, "file", "/new");
        ledger_flush(ledger, &error);
    }
    ledger_close(ledger);
    fingerprint_cache_free(cache);
    return error ? judge(error) : FINE;
}

static int open_and_use(const char *dir, unsigned *ret_entries) {
    g_autoptr(GError) error = NULL;
    *ret_entries = 0;
    Ledger *ledger = ledger_open(dir, LEDGER_WRITE, "test", &error);
    return ledger ? use(ledger, ret_entries) : judge(error);
}

static int read_only(const char *dir) {
    g_autoptr(GError) error = NULL;
    unsigned entries = 0;
    Ledger *ledger = ledger_open(dir, LEDGER_READ, "test", &error);
    if (!ledger)
        return judge(error);
    ledger_visit(ledger, count_entry, &entries);
    ledger_visit_status(ledger, ignore_status, NULL);
    ledger_flush(ledger, &error);
    ledger_close(ledger);
    return error ? judge(error) : FINE;
}

static int look(const char *dir) {
    unsigned entries;
    int found = read_only(dir);
    return found == UNCLEAR ? UNCLEAR : open_and_use(dir, &entries);
}

/* Repairs and uses what that made. Tells the number of entries by the file DIR/kept. */
static int repair(const char *dir) {
    g_autoptr(GError) error = NULL;
    g_autofree char *report = NULL;
    unsigned entries;
    if (!ledger_repair(dir, &report, &error)) {
        fprintf(stderr, "# %s\n", error->message);
        return NOT_REPAIRED;
    }
    int found = open_and_use(dir, &entries);
    g_autofree char *path = g_build_filename(dir, "kept", NULL);
    g_autofree char *text = g_strdup_printf("%u\n%s\n", entries, report);
    write_text(path, text, -1);
    return found == FINE ? FINE : NOT_REPAIRED;
}

static int in_child(int (*function)(const char *dir), const char *dir) {
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        alarm(ALARM_S);
        _exit(function(dir));
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (!WIFEXITED(status))
        g_test_message("ended by signal %d", WTERMSIG(status));
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static unsigned kept_entries(const char *dir) {
    g_autofree char *path = g_build_filename(dir, "kept", NULL);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return (unsigned)g_ascii_strtoull(text, NULL, 10);
}

static void assert_kept(const char *dir, unsigned expected) {
    g_assert_cmpint(in_child(repair, dir), ==, FINE);
    g_assert_cmpuint(kept_entries(dir), ==, expected);
}

static void assert_report(const char *dir, const char *text) {
    g_autofree char *path = g_build_filename(dir, "kept", NULL);
    g_autofree char *report = NULL;
    g_assert_true(g_file_get_contents(path, &report, NULL, NULL));
    if (!strstr(report, text))
        g_test_message("%s", report);
    g_assert_nonnull(strstr(report, text));
}

/* --- ways to damage --- */

/* A fresh copy of the ledger in top/copy. */
static char *copy_ledger(const Fixture *fixture) {
    char *copy = g_build_filename(fixture->top, "copy", NULL);
    remove_tree(copy);
    g_assert_cmpint(mkdir(copy, 0700), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *from = fixture_path(fixture, names[i]);
        g_autofree char *to = g_build_filename(copy, names[i], NULL);
        g_autofree char *bytes = NULL;
        gsize size;
        if (g_file_get_contents(from, &bytes, &size, NULL))
            write_text(to, bytes, (gssize)size);
    }
    return copy;
}

static void overwrite(const char *dir, const char *name, long at, const void *bytes, size_t size) {
    g_autofree char *path = g_build_filename(dir, name, NULL);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pwrite(fd, bytes, size, at), ==, (ssize_t)size);
    close(fd);
}

static long size_of(const char *dir, const char *name) {
    g_autofree char *path = g_build_filename(dir, name, NULL);
    struct stat info;
    return stat(path, &info) == 0 ? (long)info.st_size : -1;
}

/* Flips bits of one to four bytes at random places; returns what was done, for people. */
static char *flip(const char *dir, const char *name) {
    g_autofree char *path = g_build_filename(dir, name, NULL);
    g_autofree char *bytes = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
    GString *done = g_string_new(name);
    for (int n = g_test_rand_int_range(1, 5); n > 0; n--) {
        int at = g_test_rand_int_range(0, (int)size);
        unsigned char bits = (unsigned char)g_test_rand_int_range(1, 256);
        bytes[at] = (char)(bytes[at] ^ bits);
        g_string_append_printf(done, " %d^%02x", at, bits);
    }
    write_text(path, bytes, (gssize)size);
    return g_string_free(done, FALSE);
}

/* --- tests --- */

static void flip_many(const Fixture *fixture, const char *name, unsigned times) {
    unsigned damaged = 0, kept = 0;
    for (unsigned i = 0; i < times; i++) {
        g_autofree char *copy = copy_ledger(fixture);
        g_autofree char *done = flip(copy, name);
        g_test_message("%s", done);
        int found = in_child(look, copy);
        g_assert_cmpint(found, !=, UNCLEAR);
        if (found != DAMAGED)
            continue;
        damaged++;
        g_assert_cmpint(in_child(repair, copy), ==, FINE);
        kept += kept_entries(copy);
    }
    g_test_message("%s: %u of %u were damage; kept %u of %u", name, damaged, times, kept,
                   damaged * N_ENTRIES);
    if (strcmp(name, "ledger.db") == 0) {
        g_assert_cmpuint(damaged, >, times / 4);
        g_assert_cmpuint(kept, >, damaged * N_ENTRIES * 8 / 10);
    }
}

static void test_flipped_database(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    flip_many(fixture, "ledger.db", 200);
}

static void test_flipped_wal(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, true);
    flip_many(fixture, "ledger.db-wal", 30);
}

static void test_flipped_intents(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    flip_many(fixture, "intent.log", 30);
}

static void test_truncated(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    static const long sizes[] = { 0, 1, 99, 100, 4095, 4096, 8192, 40960, 100000 };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *copy = copy_ledger(fixture);
        g_autofree char *path = g_build_filename(copy, "ledger.db", NULL);
        g_assert_cmpint(truncate(path, sizes[i]), ==, 0);
        g_assert_cmpint(in_child(look, copy), ==, DAMAGED);
        g_assert_cmpint(in_child(repair, copy), ==, FINE);
        if (sizes[i] == 100000)
            g_assert_cmpuint(kept_entries(copy), >, 20);
    }
}

static void test_garbage(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    g_autofree char *copy = copy_ledger(fixture);
    char noise[65536];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)g_test_rand_int();
    g_autofree char *path = g_build_filename(copy, "ledger.db", NULL);
    write_text(path, noise, sizeof noise);
    g_assert_cmpint(in_child(look, copy), ==, DAMAGED);
    assert_kept(copy, 0);
    write_text(path, "these are not the bytes you look for\n", -1);
    g_assert_cmpint(in_child(look, copy), ==, DAMAGED);
}

/* Somebody else's database is not taken for ours. */
static void test_foreign(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    g_clear_pointer(&fixture->ledger, ledger_close);
    g_autofree char *path = fixture_path(fixture, "ledger.db");
    sqlite3 *db;
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    sqlite3_exec(db, "CREATE TABLE resource (a); PRAGMA user_version = 1", NULL, NULL, NULL);
    sqlite3_close(db);
    g_assert_cmpint(in_child(look, fixture->dir), ==, DAMAGED);
}

static void test_lost_header(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    g_autofree char *copy = copy_ledger(fixture);
    const char zeros[4096] = { 0 };
    overwrite(copy, "ledger.db", 0, zeros, sizeof zeros);
    g_assert_cmpint(in_child(look, copy), ==, DAMAGED);
    assert_kept(copy, N_ENTRIES);
    assert_report(copy, "kept 250 resources, 200 entries of the drift journal, 20 notifications");
}

/* One leaf of entries is lost: its resources are named, all others kept. */
static void test_lost_page(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    g_autofree char *copy = copy_ledger(fixture);
    g_autofree char *path = g_build_filename(copy, "ledger.db", NULL);
    g_autofree char *bytes = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
    const char *body = memmem(bytes, size, "\"name\":\"/etc/app/0200.conf\"", 27);
    g_assert_nonnull(body);
    const char zeros[4096] = { 0 };
    overwrite(copy, "ledger.db", (body - bytes) / 4096 * 4096, zeros, sizeof zeros);
    g_assert_cmpint(in_child(look, copy), ==, DAMAGED);
    g_assert_cmpint(in_child(repair, copy), ==, FINE);
    g_assert_cmpuint(kept_entries(copy), >, N_ENTRIES - 20);
    g_assert_cmpuint(kept_entries(copy), <, N_ENTRIES);
    assert_report(copy, "which count as never managed now: file '/etc/app/0");
    assert_report(copy, "file '/etc/app/0200.conf'");
}

/* A change that leaves JSON and pages whole is found by the entry's checksum, and then nothing more
 * is done: what was there before stead may be what is wrong. */
static void test_changed_text(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    g_autofree char *copy = copy_ledger(fixture);
    g_autofree char *path = g_build_filename(copy, "ledger.db", NULL);
    g_autofree char *bytes = NULL;
    gsize size;
    g_assert_true(g_file_get_contents(path, &bytes, &size, NULL));
    const char *body = memmem(bytes, size, "\"name\":\"/etc/app/0200.conf\"", 27);
    const char *mode = memmem(body, 400, "0644", 4);
    g_assert_nonnull(mode);
    overwrite(copy, "ledger.db", mode - bytes, "0666", 4);

    GError *error = NULL;
    fixture->ledger = ledger_open(copy, LEDGER_WRITE, "test", &error);
    g_assert_no_error(error);
    g_assert_nonnull(ledger_find(fixture->ledger, "file", "/etc/app/0199.conf"));
    g_assert_null(ledger_find(fixture->ledger, "file", "/etc/app/0200.conf"));
    g_assert_false(ledger_begin(fixture->ledger, "file", "/x", NULL, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED);
    g_clear_error(&error);
    ledger_put(fixture->ledger, sample_entry("/etc/app/0200.conf", 1));
    g_assert_false(ledger_flush(fixture->ledger, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED);
    g_clear_error(&error);
    g_clear_pointer(&fixture->ledger, ledger_close);
    assert_kept(copy, N_ENTRIES - 1);
    assert_report(copy, "lost 1 resource, which counts as never managed now: "
                        "file '/etc/app/0200.conf'");
}

static void test_lost_wal(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, true);
    g_autofree char *copy = copy_ledger(fixture);
    g_autofree char *wal = g_build_filename(copy, "ledger.db-wal", NULL);
    g_assert_cmpint(size_of(copy, "ledger.db-wal"), >, 0);
    g_assert_cmpint(unlink(wal), ==, 0);
    g_assert_cmpint(in_child(look, copy), ==, FINE);

    g_autofree char *again = copy_ledger(fixture);
    write_text(wal, "no write-ahead file at all", -1);
    g_assert_cmpint(in_child(look, again), ==, FINE);
}

/* A write-ahead file whose database is gone must not be played into a new one. */
static void test_lost_database(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, true);
    g_autofree char *copy = copy_ledger(fixture);
    g_autofree char *path = g_build_filename(copy, "ledger.db", NULL);
    g_assert_cmpint(unlink(path), ==, 0);
    fixture->ledger = ledger_open(copy, LEDGER_WRITE, "test", NULL);
    ledger_put(fixture->ledger, sample_entry("/new", 1));
    g_clear_pointer(&fixture->ledger, ledger_close);
    fixture->ledger = ledger_open(copy, LEDGER_WRITE, "test", NULL);
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, 1);
}

static void set_version(const char *dir, int version) {
    g_autofree char *path = g_build_filename(dir, "ledger.db", NULL);
    g_autofree char *sql = g_strdup_printf("PRAGMA user_version = %d", version);
    sqlite3 *db;
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_exec(db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
    sqlite3_close(db);
}

static void assert_open_error(const char *dir, int code, const char *text) {
    g_autoptr(GError) error = NULL;
    g_assert_null(ledger_open(dir, LEDGER_WRITE, "test", &error));
    g_assert_error(error, STEAD_ERROR, code);
    if (!strstr(error->message, text))
        g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, text));
}

static void test_newer(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    g_autofree char *copy = copy_ledger(fixture);
    set_version(copy, 99);
    assert_open_error(copy, STEAD_ERROR_REFUSED,
                      "written by a newer stead (format 99, this one knows 2)");
    g_assert_cmpint(in_child(look, copy), ==, DAMAGED);
    assert_kept(copy, N_ENTRIES);
    set_version(copy, 0);
    assert_open_error(copy, STEAD_ERROR_DAMAGED, "it is not a ledger of stead");
}

/* As the first version made them: without meta. */
static void make_old(const char *dir) {
    g_autofree char *path = g_build_filename(dir, "ledger.db", NULL);
    sqlite3 *db;
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_exec(db, "DROP TABLE meta; PRAGMA user_version = 1", NULL, NULL, NULL),
                    ==, SQLITE_OK);
    sqlite3_close(db);
}

static void test_older(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    g_autofree char *copy = copy_ledger(fixture);
    make_old(copy);
    g_autoptr(Ledger) reader = ledger_open(copy, LEDGER_READ, "test", NULL);
    g_assert_cmpuint(ledger_count(reader), ==, N_ENTRIES);
    g_assert_null(ledger_configuration(reader));
    fixture->ledger = ledger_open(copy, LEDGER_WRITE, "test", NULL);
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, N_ENTRIES);
    ledger_set_configuration(fixture->ledger, "/srv/site.lua");
    ledger_put(fixture->ledger, sample_entry("/new", 1));
    g_clear_pointer(&fixture->ledger, ledger_close);
    fixture->ledger = ledger_open(copy, LEDGER_WRITE, "test", NULL);
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, N_ENTRIES + 1);
    g_assert_cmpstr(ledger_configuration(fixture->ledger), ==, "/srv/site.lua");
}

static void test_intents(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    g_autofree char *copy = copy_ledger(fixture);
    g_autofree char *path = g_build_filename(copy, "intent.log", NULL);
    write_text(path, "stead intent log 2\nwhatever\n", -1);
    assert_open_error(copy, STEAD_ERROR_REFUSED, "newer stead ('stead intent log 2')");
    write_text(path, "garbage\nand more of it\n", -1);
    assert_open_error(copy, STEAD_ERROR_DAMAGED, "intent.log': line 1 is damaged");
    assert_kept(copy, N_ENTRIES);
    assert_report(copy, "kept 0 steps in progress, left out 2 damaged lines");
    g_clear_pointer(&copy, g_free);

    copy = copy_ledger(fixture);
    overwrite(copy, "intent.log", 30, "?", 1);
    assert_open_error(copy, STEAD_ERROR_DAMAGED, "line 2 is damaged; 'stead ledger repair' keeps");
    g_assert_cmpint(in_child(repair, copy), ==, FINE);
    assert_report(copy, "kept 1 step in progress, left out 1 damaged line");
    g_clear_pointer(&copy, g_free);

    copy = copy_ledger(fixture); /* the last line, whole but for one byte, is not a torn one */
    overwrite(copy, "intent.log", size_of(copy, "intent.log") - 9, "?", 1);
    assert_open_error(copy, STEAD_ERROR_DAMAGED, "line 3 is damaged");
}

static void test_whole(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    g_autofree char *report = NULL;
    GError *error = NULL;
    g_assert_true(ledger_repair(fixture->dir, &report, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(report, ==, "the ledger is whole: nothing was changed");
    fixture_open(fixture);
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, N_ENTRIES);
    g_assert_cmpuint(ledger_interrupted(fixture->ledger)->len, ==, 2);
    g_autofree char *again = NULL;
    g_assert_false(ledger_repair(fixture->dir, &again, &error)); /* it is in use */
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED);
    g_clear_error(&error);
    g_assert_false(ledger_repair("/nonexistent/stead", &again, &error));
    g_assert_error(error, STEAD_ERROR, STEAD_ERROR_NOT_FOUND);
    g_clear_error(&error);
}

/* All that is not entries survives a repair as well, and a half-done earlier one is no hindrance.
 */
static void test_repair_keeps(Fixture *fixture, gconstpointer data) {
    make_ledger(fixture, false);
    g_autofree char *scratch = fixture_path(fixture, "repair.new");
    g_autofree char *left = g_build_filename(scratch, "ledger.db", NULL);
    g_assert_cmpint(mkdir(scratch, 0700), ==, 0);
    write_text(left, "half", -1);
    const char zeros[100] = { 0 };
    overwrite(fixture->dir, "ledger.db", 0, zeros, sizeof zeros);
    g_autofree char *report = NULL;
    GError *error = NULL;
    g_assert_true(ledger_repair(fixture->dir, &report, &error));
    g_assert_no_error(error);
    g_assert_false(g_file_test(scratch, G_FILE_TEST_EXISTS));
    fixture_open(fixture);
    Ledger *ledger = fixture->ledger;
    g_assert_cmpuint(ledger_count(ledger), ==, N_ENTRIES);
    g_assert_cmpstr(ledger_configuration(ledger), ==, "/srv/site.lua");
    g_assert_true(ledger_is_pending(ledger, "file", "/etc/app/0007.conf", "svc", "app"));
    g_assert_cmpint(ledger_get_retries(ledger, "file", "/etc/app/0007.conf"), ==, 2);
    g_autoptr(LedgerEntry) entry = sample_entry("/etc/app/0007.conf", 1);
    g_assert_cmphex(ledger_resource_hash(ledger, "file", entry->name), ==, entry->resource_hash);
    g_assert_cmpuint(ledger_interrupted(ledger)->len, ==, 2);
    const char *kept = strstr(report, "the damaged one is kept as '");
    g_assert_nonnull(kept);
    g_auto(GStrv) parts = g_strsplit(kept, "'", 3);
    g_assert_true(g_file_test(parts[1], G_FILE_TEST_EXISTS));
}

int main(int argc, char **argv) {
    /* Nothing here is about disks, and hundreds of ledgers are closed. */
    if (access("/dev/shm", W_OK) == 0)
        g_setenv("TMPDIR", "/dev/shm", TRUE);
    g_test_init(&argc, &argv, NULL);
    ADD_TEST("/damage/flipped-database", test_flipped_database);
    ADD_TEST("/damage/flipped-wal", test_flipped_wal);
    ADD_TEST("/damage/flipped-intents", test_flipped_intents);
    ADD_TEST("/damage/truncated", test_truncated);
    ADD_TEST("/damage/garbage", test_garbage);
    ADD_TEST("/damage/foreign", test_foreign);
    ADD_TEST("/damage/lost-header", test_lost_header);
    ADD_TEST("/damage/lost-page", test_lost_page);
    ADD_TEST("/damage/changed-text", test_changed_text);
    ADD_TEST("/damage/lost-wal", test_lost_wal);
    ADD_TEST("/damage/lost-database", test_lost_database);
    ADD_TEST("/damage/newer", test_newer);
    ADD_TEST("/damage/older", test_older);
    ADD_TEST("/damage/intents", test_intents);
    ADD_TEST("/damage/whole", test_whole);
    ADD_TEST("/damage/repair-keeps", test_repair_keeps);
    return g_test_run();
}
