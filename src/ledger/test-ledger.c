/* Entries, statuses, retries and notifications: kept, read back, and not written in vain. */
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "ledger/test-support.h"

static void assert_flushed(Ledger *ledger) {
    GError *error = NULL;
    g_assert_true(ledger_flush(ledger, &error));
    g_assert_no_error(error);
}

static void test_fresh(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, 0);
    g_assert_null(ledger_find(fixture->ledger, "file", "/etc/x"));
    assert_flushed(fixture->ledger);
    fixture_reopen(fixture);
    g_clear_pointer(&fixture->ledger, ledger_close);

    g_autoptr(GDir) listing = g_dir_open(fixture->dir, 0, NULL);
    g_assert_cmpstr(g_dir_read_name(listing), ==, "lock");
    g_assert_null(g_dir_read_name(listing));
    struct stat info;
    g_assert_cmpint(stat(fixture->dir, &info), ==, 0);
    g_assert_cmpuint(info.st_mode & 07777, ==, 0700);
}

static void test_modes(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    ledger_put(fixture->ledger, sample_entry("/etc/x", 1));
    assert_flushed(fixture->ledger);
    char hex[DIGEST_HEX_SIZE];
    g_autoptr(GBytes) content = g_bytes_new_static("before", 6);
    g_assert_true(ledger_store_content(fixture->ledger, content, hex, NULL));
    g_assert_true(ledger_begin(fixture->ledger, "file", "/etc/x", NULL, NULL));
    g_autofree char *kept = g_build_filename("preimages", hex, NULL);
    const char *const names[] = { "ledger.db",  "ledger.db-wal", "ledger.db-shm",
                                  "intent.log", "lock",          kept };
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = fixture_path(fixture, names[i]);
        struct stat info;
        g_assert_cmpint(stat(path, &info), ==, 0);
        g_assert_cmpuint(info.st_mode & 07777, ==, 0600);
    }
}

static void assert_entries_equal(const LedgerEntry *a, const LedgerEntry *b) {
    g_assert_cmpstr(a->kind, ==, b->kind);
    g_assert_cmpstr(a->name, ==, b->name);
    g_assert_true(value_equal(a->resource, b->resource));
    g_assert_true(value_equal(a->applied, b->applied));
    g_assert_true((a->preimage == NULL) == (b->preimage == NULL));
    g_assert_true(value_equal(a->preimage, b->preimage));
    g_assert_true(value_equal(a->kept, b->kept));
    g_assert_true((a->needs == NULL) == (b->needs == NULL));
    if (a->needs)
        g_assert_true(g_strv_equal((const char *const *)a->needs, (const char *const *)b->needs));
    g_assert_cmpint(a->on_remove, ==, b->on_remove);
    g_assert_true(a->protect == b->protect);
    g_assert_true(a->created == b->created);
    g_assert_cmpstr(a->origin, ==, b->origin);
    g_assert_cmpint(a->since, ==, b->since);
    g_assert_cmpint(a->changed, ==, b->changed);
    g_assert_true(a->resource_hash == b->resource_hash);
}

static LedgerEntry *full_entry(void) {
    LedgerEntry *entry = sample_entry("/etc/x", 3);
    entry->kept = map_of("hash", value_new_string("$6$x"));
    entry->protect = true;
    entry->resource_hash = UINT64_MAX - 5;
    return entry;
}

static LedgerEntry *odd_entry(void) {
    LedgerEntry *entry = ledger_entry_new("exec", "a \"b\"\n\xff\xfe\x1f'; DROP TABLE entry");
    entry->applied = map_of("raw", value_new_bytes("\x00\xff\x01", 3));
    return entry;
}

static void check_kept(Fixture *fixture) {
    g_autoptr(LedgerEntry) full = full_entry();
    g_autoptr(LedgerEntry) odd = odd_entry();
    const LedgerEntry *found = ledger_find(fixture->ledger, full->kind, full->name);
    g_assert_nonnull(found);
    assert_entries_equal(found, full);
    g_assert_true(found == ledger_find(fixture->ledger, full->kind, full->name));
    found = ledger_find(fixture->ledger, odd->kind, odd->name);
    g_assert_nonnull(found);
    assert_entries_equal(found, odd);
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, 2);
    g_assert_null(ledger_find(fixture->ledger, "file", "/etc/y"));
    g_assert_null(ledger_find(fixture->ledger, "exec", "/etc/x"));
}

static void test_put(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    ledger_put(fixture->ledger, full_entry());
    ledger_put(fixture->ledger, odd_entry());
    check_kept(fixture); /* not written yet */
    ledger_trim(fixture->ledger);
    check_kept(fixture);
    assert_flushed(fixture->ledger);
    ledger_trim(fixture->ledger);
    check_kept(fixture); /* from the database */
    fixture_reopen(fixture);
    check_kept(fixture);
}

static void test_replace(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    for (int version = 1; version < 50; version++) {
        ledger_put(fixture->ledger, sample_entry("/etc/x", version));
        if (version % 7 == 0)
            assert_flushed(fixture->ledger);
        g_assert_cmpint(entry_version(ledger_find(fixture->ledger, "file", "/etc/x")), ==, version);
        g_assert_cmpuint(ledger_count(fixture->ledger), ==, 1);
    }
    fixture_reopen(fixture);
    g_assert_cmpint(entry_version(ledger_find(fixture->ledger, "file", "/etc/x")), ==, 49);
}

static void test_matches(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    g_autoptr(LedgerEntry) entry = full_entry();
    ledger_put(fixture->ledger, full_entry());
    for (int round = 0; round < 2; round++) {
        g_assert_cmphex(ledger_resource_hash(fixture->ledger, "file", "/etc/x"), ==,
                        entry->resource_hash);
        g_assert_cmphex(ledger_resource_hash(fixture->ledger, "file", "/"), ==, 0);
        fixture_reopen(fixture);
    }
    ledger_forget(fixture->ledger, "file", "/etc/x");
    g_assert_cmphex(ledger_resource_hash(fixture->ledger, "file", "/etc/x"), ==, 0);
}

static void append_key(void *data, const char *kind, const char *name) {
    g_string_append_printf(data, "%s %s,", kind, name);
}

static void append_entry(void *data, const LedgerEntry *entry) {
    append_key(data, entry->kind, entry->name);
}

static void assert_order(Ledger *ledger, const char *expected) {
    g_autoptr(GString) keys = g_string_new(NULL);
    ledger_visit_keys(ledger, NULL, append_key, keys);
    g_assert_cmpstr(keys->str, ==, expected);
    g_string_truncate(keys, 0);
    ledger_visit(ledger, append_entry, keys);
    g_assert_cmpstr(keys->str, ==, expected);
}

static void test_visit(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    ledger_put(fixture->ledger, sample_entry("/b", 1));
    ledger_put(fixture->ledger, ledger_entry_new("exec", "z"));
    ledger_put(fixture->ledger, sample_entry("/a", 1));
    ledger_put(fixture->ledger, ledger_entry_new("svc", "nginx"));
    ledger_set_status(fixture->ledger, "noop", "no entry", map_of("state", value_new_string("ok")));
    assert_order(fixture->ledger, "exec z,file /a,file /b,svc nginx,");
    ledger_forget(fixture->ledger, "file", "/a");
    assert_order(fixture->ledger, "exec z,file /b,svc nginx,");
    fixture_reopen(fixture);
    assert_order(fixture->ledger, "exec z,file /b,svc nginx,");
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, 3);
}

static void forget_it(void *data, const LedgerEntry *entry) {
    Ledger *ledger = data;
    g_autofree char *name = g_strdup(entry->name);
    ledger_forget(ledger, entry->kind, entry->name);
    assert_flushed(ledger);
    g_assert_cmpstr(entry->name, ==, name); /* still there during the visit */
}

static void test_forget_in_visit(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    put_samples(fixture->ledger, 20);
    ledger_visit(fixture->ledger, forget_it, fixture->ledger);
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, 0);
    fixture_reopen(fixture);
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, 0);
}

/* --- nothing is written when nothing changed --- */

static void look_at(void *data, const LedgerEntry *entry) {
    (*(unsigned *)data)++;
}

static void count_status(void *data, const char *kind, const char *name, const Value *status) {
    g_assert_cmpstr(value_map_string(status, "state", "?"), ==, "ok");
    (*(unsigned *)data)++;
}

static void idle_session(Ledger *ledger, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = sample_name(i);
        g_autoptr(LedgerEntry) entry = sample_entry(name, 1);
        g_assert_cmphex(ledger_resource_hash(ledger, "file", name), ==, entry->resource_hash);
        ledger_put(ledger, g_steal_pointer(&entry));
        ledger_set_status(ledger, "file", name, map_of("state", value_new_string("ok")));
        ledger_set_retries(ledger, "file", name, 0);
        ledger_set_pending(ledger, "file", name, "svc", "app", false);
        g_assert_false(ledger_is_pending(ledger, "file", name, "svc", "app"));
    }
    unsigned entries = 0, statuses = 0;
    ledger_visit(ledger, look_at, &entries);
    ledger_visit_status(ledger, count_status, &statuses);
    g_assert_cmpuint(entries, ==, n);
    g_assert_cmpuint(statuses, ==, n);
    ledger_forget(ledger, "file", "/never/there");
    ledger_set_status(ledger, "file", "/never/there", NULL);
    assert_flushed(ledger);
}

static void test_idle(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    put_samples(fixture->ledger, 100);
    FingerprintCache *cache = fingerprint_cache_new();
    ledger_attach_fingerprints(fixture->ledger, cache);
    fixture_reopen(fixture);
    g_clear_pointer(&fixture->ledger, ledger_close);
    g_autofree char *before = describe_files(fixture->dir);

    for (int session = 0; session < 2; session++) {
        fixture_open(fixture);
        ledger_attach_fingerprints(fixture->ledger, cache);
        idle_session(fixture->ledger, 100);
        g_autofree char *during = describe_files(fixture->dir);
        g_assert_cmpstr(during, ==, before);
        g_clear_pointer(&fixture->ledger, ledger_close);
        g_autofree char *after = describe_files(fixture->dir);
        g_assert_cmpstr(after, ==, before);
    }
    fingerprint_cache_free(cache);
}

/* An open ledger that was written to: equal values must not reach the write-ahead file either. */
static void test_idle_agent(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    put_samples(fixture->ledger, 100);
    g_autofree char *before = describe_files(fixture->dir);
    g_assert_nonnull(strstr(before, "ledger.db-wal"));
    idle_session(fixture->ledger, 100);
    g_autofree char *after = describe_files(fixture->dir);
    g_assert_cmpstr(after, ==, before);
}

/* The thread that writes sleeps when there is nothing to write. */
static void test_sleeps(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    put_samples(fixture->ledger, 10);
    long switches = G_MAXLONG;
    for (int i = 0; i < 20 && switches > 3; i++) { /* what there is to write goes first */
        struct rusage before, after;
        g_assert_cmpint(getrusage(RUSAGE_SELF, &before), ==, 0);
        g_usleep(300000);
        g_assert_cmpint(getrusage(RUSAGE_SELF, &after), ==, 0);
        switches = after.ru_nvcsw - before.ru_nvcsw;
    }
    g_assert_cmpint(switches, <=, 3); /* our own sleep is one */
}

/* Work is written without anybody asking for it. */
static void test_writes_by_itself(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    put_samples(fixture->ledger, 1);
    g_usleep(50000); /* so that its thread sleeps */
    ledger_put(fixture->ledger, sample_entry("/a", 1));
    for (int i = 0; i < 1200; i++) {
        g_autoptr(Ledger) reader = ledger_open(fixture->dir, LEDGER_READ, "reader", NULL);
        if (ledger_count(reader) == 2)
            return;
        g_usleep(50000);
    }
    g_test_fail_printf("nothing was written within 60 s");
}

/* --- statuses, retries, notifications --- */

static void append_status(void *data, const char *kind, const char *name, const Value *status) {
    g_string_append_printf(data, "%s %s %s,", kind, name, value_map_string(status, "state", "?"));
}

static void assert_statuses(Ledger *ledger, const char *expected) {
    g_autoptr(GString) all = g_string_new(NULL);
    ledger_visit_status(ledger, append_status, all);
    g_assert_cmpstr(all->str, ==, expected);
}

static void set_state(Ledger *ledger, const char *name, const char *state) {
    ledger_set_status(ledger, "file", name, map_of("state", value_new_string(state)));
}

static void test_status(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    set_state(fixture->ledger, "/b", "failed");
    set_state(fixture->ledger, "/a", "ok");
    assert_statuses(fixture->ledger, "file /a ok,file /b failed,");
    set_state(fixture->ledger, "/b", "ok");
    assert_flushed(fixture->ledger);
    assert_statuses(fixture->ledger, "file /a ok,file /b ok,");
    fixture_reopen(fixture);
    assert_statuses(fixture->ledger, "file /a ok,file /b ok,");
    ledger_set_status(fixture->ledger, "file", "/a", NULL);
    ledger_put(fixture->ledger, sample_entry("/b", 1));
    ledger_forget(fixture->ledger, "file", "/b");
    assert_statuses(fixture->ledger, "");
    set_state(fixture->ledger, "/b", "again"); /* after it was forgotten, before that is written */
    fixture_reopen(fixture);
    assert_statuses(fixture->ledger, "file /b again,");
    g_assert_cmpuint(ledger_count(fixture->ledger), ==, 0);
}

static void test_retries(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    g_assert_cmpint(ledger_get_retries(fixture->ledger, "pkg", "nginx"), ==, 0);
    ledger_set_retries(fixture->ledger, "pkg", "nginx", 3);
    ledger_put(fixture->ledger, sample_entry("/a", 1));
    ledger_set_retries(fixture->ledger, "file", "/a", 1);
    fixture_reopen(fixture);
    g_assert_cmpint(ledger_get_retries(fixture->ledger, "pkg", "nginx"), ==, 3);
    g_assert_cmpint(ledger_get_retries(fixture->ledger, "file", "/a"), ==, 1);
    ledger_set_retries(fixture->ledger, "pkg", "nginx", 0);
    ledger_forget(fixture->ledger, "file", "/a");
    fixture_reopen(fixture);
    g_assert_cmpint(ledger_get_retries(fixture->ledger, "pkg", "nginx"), ==, 0);
    g_assert_cmpint(ledger_get_retries(fixture->ledger, "file", "/a"), ==, 0);
}

static void test_pending(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    Ledger *ledger = fixture->ledger;
    ledger_set_pending(ledger, "file", "/a", "svc", "nginx", true);
    ledger_set_pending(ledger, "file", "/a", "svc", "nginx", true);
    ledger_set_pending(ledger, "file", "/b", "svc", "nginx", true);
    ledger_set_pending(ledger, "file", "/b", "exec", "reload", true);
    fixture_reopen(fixture);
    ledger = fixture->ledger;
    g_assert_true(ledger_is_pending(ledger, "file", "/a", "svc", "nginx"));
    g_assert_true(ledger_is_pending(ledger, "file", "/b", "svc", "nginx"));
    g_assert_false(ledger_is_pending(ledger, "svc", "nginx", "file", "/a"));
    g_assert_false(ledger_is_pending(ledger, "file", "/a", "exec", "reload"));
    ledger_set_pending(ledger, "file", "/a", "svc", "nginx", false);
    fixture_reopen(fixture);
    ledger = fixture->ledger;
    g_assert_false(ledger_is_pending(ledger, "file", "/a", "svc", "nginx"));
    g_assert_true(ledger_is_pending(ledger, "file", "/b", "svc", "nginx"));
    ledger_forget(ledger, "svc", "nginx");
    g_assert_false(ledger_is_pending(ledger, "file", "/b", "svc", "nginx"));
    fixture_reopen(fixture);
    g_assert_true(ledger_is_pending(fixture->ledger, "file", "/b", "exec", "reload"));
    ledger_forget(fixture->ledger, "file", "/b");
    fixture_reopen(fixture);
    g_assert_false(ledger_is_pending(fixture->ledger, "file", "/b", "exec", "reload"));
    g_assert_false(ledger_is_pending(fixture->ledger, "file", "/b", "svc", "nginx"));
}

/* --- fingerprints --- */

static const char hex_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const FileInfo sample_info = {
    .type = FILE_REGULAR,
    .size = 11,
    .inode = 0xfedcba9876543210,
    .device = 2049,
    .mtime_ns = 1700000000000000001,
    .ctime_ns = 1700000000000000002,
};
#define TAKEN_NS 1800000000000000000

static void test_fingerprints(Fixture *fixture, gconstpointer data) {
    FingerprintCache *cache = fingerprint_cache_new();
    fixture_open(fixture);
    ledger_attach_fingerprints(fixture->ledger, cache);
    fingerprint_put(cache, "/etc/a", &sample_info, TAKEN_NS, hex_a);
    fingerprint_put(cache, "/etc/b", &sample_info, TAKEN_NS, hex_a);
    assert_flushed(fixture->ledger);
    fingerprint_forget(cache, "/etc/b");
    g_clear_pointer(&fixture->ledger, ledger_close); /* saves, too */
    fingerprint_cache_free(cache);

    cache = fingerprint_cache_new();
    fixture_open(fixture);
    ledger_attach_fingerprints(fixture->ledger, cache);
    char hex[DIGEST_HEX_SIZE];
    g_assert_true(fingerprint_find(cache, "/etc/a", &sample_info, hex));
    g_assert_cmpstr(hex, ==, hex_a);
    g_assert_false(fingerprint_find(cache, "/etc/b", &sample_info, hex));
    g_clear_pointer(&fixture->ledger, ledger_close);
    fingerprint_cache_free(cache);
}

/* --- secrets --- */

static Value *secret(const char *name) {
    g_autoptr(Value) clear = value_new_string("correct-horse-battery");
    return value_as_secret(clear, name);
}

static void assert_nowhere(const char *path, const char *text) {
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        g_autofree char *bytes = NULL;
        gsize size;
        if (g_file_test(child, G_FILE_TEST_IS_DIR))
            assert_nowhere(child, text);
        else if (g_file_get_contents(child, &bytes, &size, NULL))
            g_assert_null(memmem(bytes, size, text, strlen(text)));
    }
}

static void test_secrets(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    LedgerEntry *entry = sample_entry("/etc/secret", 1);
    value_unref(entry->applied);
    entry->applied = map_of("content", secret("db-password"));
    entry->kept = map_of("hash", secret(NULL));
    g_autoptr(Value) preimage = map_of("content", secret(NULL));
    g_assert_true(ledger_begin(fixture->ledger, "file", "/etc/secret", preimage, NULL));
    assert_nowhere(fixture->dir, "battery");
    ledger_put(fixture->ledger, entry);
    ledger_set_status(fixture->ledger, "file", "/etc/secret", map_of("state", secret(NULL)));
    JournalEntry *journal = sample_journal(1, "/etc/secret", true);
    value_unref(journal->changes);
    journal->changes = value_new_list();
    value_list_append(journal->changes, map_of("after", secret("db-password")));
    ledger_journal(fixture->ledger, journal);
    assert_flushed(fixture->ledger);
    ledger_end(fixture->ledger, "file", "/etc/secret");
    assert_flushed(fixture->ledger);
    assert_nowhere(fixture->dir, "battery");

    const LedgerEntry *found = ledger_find(fixture->ledger, "file", "/etc/secret");
    const Value *content = value_map_get(found->applied, "content");
    g_assert_true(value_is_secret(content));
    g_assert_cmpstr(value_secret_name(content), ==, "db-password");
    g_clear_pointer(&fixture->ledger, ledger_close);
    assert_nowhere(fixture->dir, "battery");
}

/* Of a new ledger it is written with the first entry, not for itself alone. */
static void test_configuration(Fixture *fixture, gconstpointer data) {
    fixture_open(fixture);
    g_assert_null(ledger_configuration(fixture->ledger));
    ledger_set_configuration(fixture->ledger, "/srv/one.lua");
    assert_flushed(fixture->ledger);
    g_assert_false(ledger_exists(fixture->dir));
    g_autoptr(GBytes) content = g_bytes_new_static("before", 6);
    char hex[DIGEST_HEX_SIZE];
    g_assert_true(ledger_store_content(fixture->ledger, content, hex, NULL));
    assert_flushed(fixture->ledger); /* a batch without rows does not lose it */
    ledger_put(fixture->ledger, sample_entry("/etc/x", 1));
    fixture_reopen(fixture);
    g_assert_cmpstr(ledger_configuration(fixture->ledger), ==, "/srv/one.lua");

    g_autofree char *before = describe_files(fixture->dir);
    ledger_set_configuration(fixture->ledger, "/srv/one.lua");
    fixture_reopen(fixture);
    g_autofree char *after = describe_files(fixture->dir);
    g_assert_cmpstr(before, ==, after);

    ledger_set_configuration(fixture->ledger, "/srv/two.lua"); /* at once */
    fixture_reopen(fixture);
    g_assert_cmpstr(ledger_configuration(fixture->ledger), ==, "/srv/two.lua");
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    ADD_TEST("/ledger/fresh", test_fresh);
    ADD_TEST("/ledger/modes", test_modes);
    ADD_TEST("/ledger/configuration", test_configuration);
    ADD_TEST("/ledger/put", test_put);
    ADD_TEST("/ledger/replace", test_replace);
    ADD_TEST("/ledger/matches", test_matches);
    ADD_TEST("/ledger/visit", test_visit);
    ADD_TEST("/ledger/forget-in-visit", test_forget_in_visit);
    ADD_TEST("/ledger/idle", test_idle);
    ADD_TEST("/ledger/idle-agent", test_idle_agent);
    ADD_TEST("/ledger/sleeps", test_sleeps);
    ADD_TEST("/ledger/writes-by-itself", test_writes_by_itself);
    ADD_TEST("/ledger/status", test_status);
    ADD_TEST("/ledger/retries", test_retries);
    ADD_TEST("/ledger/pending", test_pending);
    ADD_TEST("/ledger/fingerprints", test_fingerprints);
    ADD_TEST("/ledger/secrets", test_secrets);
    return g_test_run();
}
