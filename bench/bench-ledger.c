/*
 * What the ledger costs, each figure beside the least that can do it: a bare loop over SQLite (WAL,
 * synchronous=NORMAL) or a bare write(2). Usage: bench-ledger [DIR [PART]]: where
 * (default: $TMPDIR), and which part only.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ledger/ledger.h"

#define N      10000
#define ROUNDS 7

static double now_ms(void) {
    return (double)g_get_monotonic_time() / 1000.0;
}

static int by_number(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* The median of several runs, in milliseconds. */
static double median_of(void (*run)(const char *dir), const char *dir) {
    double times[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_ms();
        run(dir);
        times[i] = now_ms() - start;
    }
    qsort(times, ROUNDS, sizeof *times, by_number);
    return times[ROUNDS / 2];
}

static void report(const char *what, double ours, double bare, const char *unit) {
    printf("%-52s %9.3f %-5s  bare %9.3f  ratio %5.2f\n", what, ours, unit, bare, ours / bare);
}

static void must(bool ok, const GError *error) {
    if (ok)
        return;
    fprintf(stderr, "bench-ledger: %s\n", error ? error->message : "failed");
    exit(1);
}

static void must_sqlite(int result, sqlite3 *db) {
    if (result == SQLITE_OK || result == SQLITE_ROW || result == SQLITE_DONE)
        return;
    fprintf(stderr, "bench-ledger: %s\n", sqlite3_errmsg(db));
    exit(1);
}

/* --- what is stored --- */

static void name_of(unsigned i, char name[40]) {
    (void)g_snprintf(name, 40, "/etc/app/conf.d/%05u.conf", i);
}

static LedgerEntry *make_entry(unsigned i, int version) {
    char name[40];
    name_of(i, name);
    LedgerEntry *entry = ledger_entry_new("file", name);
    Value *params = value_new_map();
    value_map_set(params, "path", value_new_string(name));
    value_map_set(params, "content", value_new_string("listen = 8080\nworkers = 4\n"));
    value_map_set(params, "mode", value_new_string("0644"));
    value_map_set(params, "owner", value_new_string("root"));
    entry->resource = value_new_map();
    value_map_set(entry->resource, "params", params);
    entry->applied = value_new_map();
    value_map_set(entry->applied, "mode", value_new_string("0644"));
    value_map_set(entry->applied, "version", value_new_int(version));
    entry->preimage = value_new_map();
    value_map_set(entry->preimage, "exists", value_new_bool(false));
    entry->needs = g_strsplit("file\x1f/etc/app/conf.d", ",", 0);
    entry->created = true;
    entry->origin = g_strdup("site.lua:12");
    entry->since = 1700000000000000;
    entry->resource_hash = i + 1;
    return entry;
}

static Value *make_status(void) {
    Value *status = value_new_map();
    value_map_set(status, "state", value_new_string("ok"));
    return status;
}

static void fill_fingerprints(FingerprintCache *cache) {
    static const char hex[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    FileInfo info = { .type = FILE_REGULAR, .size = 100, .device = 1, .inode = 1 };
    for (unsigned i = 0; i < N; i++) {
        char name[40];
        name_of(i, name);
        info.inode = i;
        fingerprint_put(cache, name, &info, 1700000000000000000, hex);
    }
}

static Ledger *open_ledger(const char *dir) {
    GError *error = NULL;
    Ledger *ledger = ledger_open(dir, LEDGER_WRITE, "bench", &error);
    must(ledger != NULL, error);
    return ledger;
}

static void flush(Ledger *ledger) {
    GError *error = NULL;
    must(ledger_flush(ledger, &error), error);
}

/* --- the bare loops --- */

static sqlite3 *open_bare(const char *dir) {
    g_autofree char *path = g_build_filename(dir, "bare.db", NULL);
    sqlite3 *db;
    must_sqlite(sqlite3_open(path, &db), db);
    must_sqlite(sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", NULL,
                             NULL, NULL),
                db);
    return db;
}

static void make_bare(const char *dir) {
    sqlite3 *db = open_bare(dir);
    const char *sql =
        "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT, hash INTEGER);"
        "CREATE TABLE IF NOT EXISTS b (id INTEGER PRIMARY KEY, body TEXT);"
        "CREATE TABLE IF NOT EXISTS s (id INTEGER PRIMARY KEY, body TEXT);"
        "CREATE TABLE IF NOT EXISTS f (path TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID";
    must_sqlite(sqlite3_exec(db, sql, NULL, NULL, NULL), db);
    sqlite3_close(db);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
    sqlite3_stmt *statement;
    must_sqlite(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), db);
    return statement;
}

static void step(sqlite3 *db, sqlite3_stmt *statement) {
    must_sqlite(sqlite3_step(statement), db);
    sqlite3_reset(statement);
}

static char body[460]; /* as long as the JSON of make_entry() */

/* As many rows of the same size as the ledger writes, in one transaction. */
static void fill_bare(const char *dir) {
    sqlite3 *db = open_bare(dir);
    must_sqlite(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL), db);
    sqlite3_stmt *t = prepare(db, "INSERT OR REPLACE INTO t VALUES (?, ?, ?)");
    sqlite3_stmt *b = prepare(db, "INSERT OR REPLACE INTO b VALUES (?, ?)");
    sqlite3_stmt *s = prepare(db, "INSERT OR REPLACE INTO s VALUES (?, '{\"state\":\"ok\"}')");
    sqlite3_stmt *f = prepare(db, "INSERT OR REPLACE INTO f VALUES (?, ?)");
    for (unsigned i = 0; i < N; i++) {
        char name[40];
        name_of(i, name);
        sqlite3_bind_int64(t, 1, i);
        sqlite3_bind_text(t, 2, name, -1, SQLITE_STATIC);
        sqlite3_bind_int64(t, 3, INT64_MAX / (i + 1));
        sqlite3_bind_int64(b, 1, i);
        sqlite3_bind_text(b, 2, body, sizeof body, SQLITE_STATIC);
        sqlite3_bind_int64(s, 1, i);
        sqlite3_bind_text(f, 1, name, -1, SQLITE_STATIC);
        sqlite3_bind_blob(f, 2, body, 80, SQLITE_STATIC);
        step(db, t);
        step(db, b);
        step(db, s);
        step(db, f);
    }
    must_sqlite(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), db);
    sqlite3_finalize(t);
    sqlite3_finalize(b);
    sqlite3_finalize(s);
    sqlite3_finalize(f);
    sqlite3_close(db);
}

/* Steps over all rows that a run without changes must know. */
static void load_bare(const char *dir) {
    sqlite3 *db = open_bare(dir);
    unsigned long long sum = 0;
    sqlite3_stmt *t = prepare(db, "SELECT id, name, hash FROM t");
    while (sqlite3_step(t) == SQLITE_ROW)
        sum += (unsigned long long)sqlite3_column_int64(t, 2) + sqlite3_column_text(t, 1)[0];
    sqlite3_stmt *f = prepare(db, "SELECT path, data FROM f");
    while (sqlite3_step(f) == SQLITE_ROW)
        sum += sqlite3_column_text(f, 0)[0] + *(const unsigned char *)sqlite3_column_blob(f, 1);
    sqlite3_finalize(t);
    sqlite3_finalize(f);
    sqlite3_close(db);
    must(sum != 0, NULL);
}

/* --- open and close --- */

static void cycle(const char *dir) {
    ledger_close(open_ledger(dir));
}

static void cycle_bare(const char *dir) {
    sqlite3 *db = open_bare(dir);
    sqlite3_stmt *t = prepare(db, "SELECT id FROM t");
    step(db, t);
    sqlite3_finalize(t);
    sqlite3_close(db);
}

static void bench_empty(const char *dir) {
    g_autofree char *state = g_build_filename(dir, "empty", NULL);
    double start = now_ms();
    cycle(state);
    double first = now_ms() - start;
    double bare = median_of(cycle_bare, dir);
    report("empty ledger: make, open, close", first, bare, "ms");
    report("empty ledger: open, close", median_of(cycle, state), bare, "ms");
}

/* --- 10,000 resources --- */

static int version = 0;

static void fill(const char *dir) {
    FingerprintCache *cache = fingerprint_cache_new();
    Ledger *ledger = open_ledger(dir);
    ledger_attach_fingerprints(ledger, cache);
    version++;
    for (unsigned i = 0; i < N; i++) {
        char name[40];
        name_of(i, name);
        ledger_put(ledger, make_entry(i, version));
        ledger_set_status(ledger, "file", name, make_status());
    }
    fill_fingerprints(cache);
    ledger_close(ledger);
    fingerprint_cache_free(cache);
}

static void run_without_changes(const char *dir) {
    FingerprintCache *cache = fingerprint_cache_new();
    Ledger *ledger = open_ledger(dir);
    ledger_attach_fingerprints(ledger, cache);
    for (unsigned i = 0; i < N; i++) {
        char name[40];
        name_of(i, name);
        must(ledger_resource_hash(ledger, "file", name) == i + 1, NULL);
    }
    flush(ledger);
    ledger_close(ledger);
    fingerprint_cache_free(cache);
}

static void look_at(void *data, const LedgerEntry *entry) {
    *(unsigned *)data += entry->created;
}

static void visit_all(const char *dir) {
    Ledger *ledger = open_ledger(dir);
    unsigned seen = 0;
    ledger_visit(ledger, look_at, &seen);
    must(seen == N, NULL);
    ledger_close(ledger);
}

static void set_same_statuses(const char *dir) {
    Ledger *ledger = open_ledger(dir);
    for (unsigned i = 0; i < N; i++) {
        char name[40];
        name_of(i, name);
        ledger_set_status(ledger, "file", name, make_status());
    }
    ledger_close(ledger);
}

static double rss_mb(void) {
    g_autofree char *text = NULL;
    must(g_file_get_contents("/proc/self/statm", &text, NULL, NULL), NULL);
    long total, resident;
    must(sscanf(text, "%ld %ld", &total, &resident) == 2, NULL);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static void bench_many(const char *dir) {
    g_autofree char *state = g_build_filename(dir, "many", NULL);
    double before = rss_mb();
    fill(state);
    Ledger *ledger = open_ledger(state);
    printf("%-52s %9.3f MB\n", "resident after writing and opening 10,000", rss_mb() - before);
    ledger_close(ledger);
    report("10,000: write entries, statuses, fingerprints, close", median_of(fill, state),
           median_of(fill_bare, dir), "ms");
    double bare = median_of(load_bare, dir);
    report("10,000: open, fingerprints, compare all, close", median_of(run_without_changes, state),
           bare, "ms");
    report("10,000: open, set equal statuses, close", median_of(set_same_statuses, state), bare,
           "ms");
    report("10,000: open, read and parse all entries, close", median_of(visit_all, state), bare,
           "ms");
}

/* --- steps --- */

static double bare_write_us(const char *dir) {
    g_autofree char *path = g_build_filename(dir, "bare.log", NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    must(fd >= 0, NULL);
    double start = now_ms();
    for (unsigned i = 0; i < N; i++)
        must(write(fd, body, 90) == 90, NULL);
    double us = (now_ms() - start) * 1000 / N;
    close(fd);
    return us;
}

static void bench_begin(const char *dir) {
    g_autofree char *state = g_build_filename(dir, "begin", NULL);
    Ledger *ledger = open_ledger(state);
    g_autoptr(Value) preimage = value_new_map();
    value_map_set(preimage, "exists", value_new_bool(false));
    double start = now_ms();
    for (unsigned i = 0; i < N; i++) {
        char name[40];
        name_of(i, name);
        must(ledger_begin(ledger, "file", name, preimage, NULL), NULL);
    }
    report("ledger_begin()", (now_ms() - start) * 1000 / N, bare_write_us(dir), "us");
    ledger_close(ledger);
}

static void do_step(Ledger *ledger, unsigned i, int number) {
    char name[40];
    name_of(i, name);
    must(ledger_begin(ledger, "file", name, NULL, NULL), NULL);
    ledger_put(ledger, make_entry(i, number));
    ledger_end(ledger, "file", name);
}

/* Each in a transaction of its own. */
static double bare_commits_us(const char *dir, unsigned n) {
    sqlite3 *db = open_bare(dir);
    sqlite3_stmt *b = prepare(db, "INSERT OR REPLACE INTO b VALUES (?, ?)");
    double start = now_ms();
    for (unsigned i = 0; i < n; i++) {
        sqlite3_bind_int64(b, 1, i);
        sqlite3_bind_text(b, 2, body, sizeof body, SQLITE_STATIC);
        step(db, b);
    }
    double us = (now_ms() - start) * 1000 / n;
    sqlite3_finalize(b);
    sqlite3_close(db);
    return us;
}

static void bench_steps(const char *dir) {
    g_autofree char *state = g_build_filename(dir, "steps", NULL);
    Ledger *ledger = open_ledger(state);
    do_step(ledger, 0, 0);
    flush(ledger);
    double start = now_ms();
    for (unsigned i = 0; i < N; i++)
        do_step(ledger, i, 1);
    double caller = (now_ms() - start) * 1000 / N;
    flush(ledger);
    double us = (now_ms() - start) * 1000 / N;
    double bare = bare_commits_us(dir, N);
    report("step: begin, put, end, in the caller", caller, bare, "us");
    report("step: begin, put, end, until all are committed", us, bare, "us");
    printf("%-52s %9.0f\n", "steps per second", 1e6 / us);
    start = now_ms();
    for (unsigned i = 0; i < 1000; i++) {
        do_step(ledger, i, 2);
        flush(ledger);
    }
    report("step: begin, put, end, flush after each", now_ms() - start, bare_commits_us(dir, 1000),
           "us");
    ledger_close(ledger);
}

static void remove_all(const char *path) {
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (g_file_test(child, G_FILE_TEST_IS_DIR))
            remove_all(child);
        else
            (void)g_unlink(child);
    }
    (void)g_rmdir(path);
}

static const struct {
    const char *name;
    void (*run)(const char *dir);
} parts[] = {
    { "empty", bench_empty },
    { "many", bench_many },
    { "begin", bench_begin },
    { "steps", bench_steps },
};

int main(int argc, char **argv) {
    g_autofree char *dir =
        g_build_filename(argc > 1 ? argv[1] : g_get_tmp_dir(), "bench-ledger-XXXXXX", NULL);
    must(g_mkdtemp(dir) != NULL, NULL);
    memset(body, 'x', sizeof body);
    make_bare(dir);
    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++)
        if (argc < 3 || strcmp(argv[2], parts[i].name) == 0)
            parts[i].run(dir);
    remove_all(dir);
    return 0;
}
