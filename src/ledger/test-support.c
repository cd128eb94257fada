#include "ledger/test-support.h"

#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

void fixture_set_up(Fixture *fixture, gconstpointer data) {
    GError *error = NULL;
    fixture->top = g_dir_make_tmp("test-ledger-XXXXXX", &error);
    g_assert_no_error(error);
    fixture->dir = g_build_filename(fixture->top, "state", NULL);
}

void remove_tree(const char *path) {
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (g_file_test(child, G_FILE_TEST_IS_DIR) && !g_file_test(child, G_FILE_TEST_IS_SYMLINK))
            remove_tree(child);
        else
            g_unlink(child);
    }
    g_rmdir(path);
}

void fixture_tear_down(Fixture *fixture, gconstpointer data) {
    ledger_close(fixture->ledger);
    remove_tree(fixture->top);
    g_free(fixture->top);
    g_free(fixture->dir);
}

void fixture_open(Fixture *fixture) {
    GError *error = NULL;
    fixture->ledger = ledger_open(fixture->dir, LEDGER_WRITE, "test", &error);
    g_assert_no_error(error);
}

void fixture_reopen(Fixture *fixture) {
    g_clear_pointer(&fixture->ledger, ledger_close);
    fixture_open(fixture);
}

void fixture_in_killed_process(const Fixture *fixture, void (*work)(Ledger *ledger)) {
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        Ledger *ledger = ledger_open(fixture->dir, LEDGER_WRITE, "child", NULL);
        if (!ledger)
            _exit(1);
        work(ledger);
        _exit(0);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

char *fixture_path(const Fixture *fixture, const char *name) {
    return g_build_filename(fixture->dir, name, NULL);
}

Value *map_of(const char *key, Value *value) {
    Value *map = value_new_map();
    value_map_set(map, key, value);
    return map;
}

char *sample_name(unsigned number) {
    return g_strdup_printf("/etc/app/%04u.conf", number);
}

LedgerEntry *sample_entry(const char *name, int version) {
    LedgerEntry *entry = ledger_entry_new("file", name);
    Value *params = value_new_map();
    value_map_set(params, "path", value_new_string(name));
    value_map_set(params, "mode", value_new_string("0644"));
    value_map_set(params, "content", value_new_string("listen = 8080\nworkers = 4\n"));
    value_map_set(params, "version", value_new_int(version));
    entry->resource = map_of("params", params);
    entry->applied = map_of("mode", value_new_string("0644"));
    entry->preimage = map_of("exists", value_new_bool(false));
    entry->needs = g_strsplit("file\x1f/etc/app,group\x1f"
                              "app",
                              ",", 0);
    entry->on_remove = 2;
    entry->created = true;
    entry->origin = g_strdup("site.lua:12");
    entry->since = 1700000000000000;
    entry->changed = 1700000000000000 + version;
    entry->resource_hash = g_str_hash(name) + (uint64_t)version + 1;
    return entry;
}

int entry_version(const LedgerEntry *entry) {
    return (int)value_map_int(value_map_get(entry->resource, "params"), "version", -1);
}

void put_samples(Ledger *ledger, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = sample_name(i);
        ledger_put(ledger, sample_entry(name, 1));
        ledger_set_status(ledger, "file", name, map_of("state", value_new_string("ok")));
    }
    GError *error = NULL;
    g_assert_true(ledger_flush(ledger, &error));
    g_assert_no_error(error);
}

JournalEntry *sample_journal(int64_t time, const char *name, bool corrective) {
    JournalEntry *entry = g_new0(JournalEntry, 1);
    entry->time = time;
    entry->kind = g_strdup("file");
    entry->name = g_strdup(name);
    entry->action = g_strdup("change");
    entry->corrective = corrective;
    entry->latency = 321;
    Value *change = map_of("property", value_new_string("mode"));
    value_map_set(change, "before", value_new_string("0600"));
    value_map_set(change, "after", value_new_string("0644"));
    entry->changes = value_new_list();
    value_list_append(entry->changes, change);
    return entry;
}

static void describe(GString *out, const char *path, const char *name) {
    struct stat info;
    g_assert_cmpint(lstat(path, &info), ==, 0);
    if (g_str_has_suffix(name,
                         "-shm")) { /* mapped: who reads marks it, the kernel dates it later */
        g_string_append_printf(out, "%s %ld\n", name, (long)info.st_size);
        return;
    }
    g_string_append_printf(out, "%s %ld %ld.%09ld\n", name, (long)info.st_size,
                           (long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

char *describe_files(const char *dir) {
    GString *out = g_string_new(NULL);
    g_autoptr(GDir) listing = g_dir_open(dir, 0, NULL);
    g_assert_nonnull(listing);
    describe(out, dir, ".");
    const char *name;
    while ((name = g_dir_read_name(listing))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        if (strcmp(name, "lock") != 0)
            describe(out, path, name);
    }
    return g_string_free(out, FALSE);
}

void write_text(const char *path, const char *text, gssize size) {
    GError *error = NULL;
    g_file_set_contents(path, text, size, &error);
    g_assert_no_error(error);
}

bool run_in_namespace(bool (*function)(const char *dir), const char *dir) {
    enum { FINE, WRONG, NOT_ALLOWED };
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(NOT_ALLOWED);
        _exit(function(dir) ? FINE : WRONG);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), !=, WRONG);
    return WEXITSTATUS(status) == FINE;
}
