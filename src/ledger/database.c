#include "ledger/database.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"

#define APPLICATION_ID  0x73746564 /* "sted", in the header of the file */
#define PAGE_SIZE       4096       /* of the file, fixed when it is made */
#define BUSY_TIMEOUT_MS 10000      /* another process recovers or folds the WAL in */

/* The schema, one step a version: PRAGMA user_version counts those that were run. A step that was
 * released is never changed.
 *
 * resource is the index that is held in memory: one short row for everything that has an entry, a
 * status or used retries. entry_hash and status_hash are text_hash() of the bodies, 0: none. Bodies
 * are JSON. edge: two step_key() joined by the same separator. meta: "configuration" (see
 * ledger_configuration()). */
static const char *const migrations[] = {
    "CREATE TABLE resource ("
    " id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL,"
    " entry_hash INTEGER NOT NULL, resource_hash INTEGER NOT NULL, flags INTEGER NOT NULL,"
    " status_hash INTEGER NOT NULL, retries INTEGER NOT NULL) STRICT;"
    "CREATE TABLE entry (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;"
    "CREATE TABLE status (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;"
    "CREATE TABLE pending (edge TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;"
    "CREATE TABLE fingerprint (path TEXT PRIMARY KEY, data BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE journal ("
    " id INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,"
    " action TEXT NOT NULL, corrective INTEGER NOT NULL, reported INTEGER NOT NULL,"
    " latency INTEGER NOT NULL, who TEXT, error TEXT, changes TEXT) STRICT;"
    "CREATE INDEX journal_by_time ON journal (time);",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;",
};
#define SCHEMA_VERSION ((int)G_N_ELEMENTS(migrations))

static const char *const statements[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_ALL_RESOURCES] = "SELECT id, kind, name, entry_hash, resource_hash, flags, status_hash,"
                          " retries FROM resource",
    [SQL_PUT_RESOURCE] = "INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_DROP_RESOURCE] = "DELETE FROM resource WHERE id = ?",
    [SQL_GET_ENTRY] = "SELECT body FROM entry WHERE id = ?",
    [SQL_PUT_ENTRY] = "INSERT OR REPLACE INTO entry VALUES (?, ?)",
    [SQL_DROP_ENTRY] = "DELETE FROM entry WHERE id = ?",
    [SQL_GET_STATUS] = "SELECT body FROM status WHERE id = ?",
    [SQL_PUT_STATUS] = "INSERT OR REPLACE INTO status VALUES (?, ?)",
    [SQL_DROP_STATUS] = "DELETE FROM status WHERE id = ?",
    [SQL_ALL_PENDING] = "SELECT edge FROM pending",
    [SQL_PUT_PENDING] = "INSERT OR IGNORE INTO pending VALUES (?)",
    [SQL_DROP_PENDING] = "DELETE FROM pending WHERE edge = ?",
    [SQL_ALL_FINGERPRINTS] = "SELECT path, data FROM fingerprint",
    [SQL_PUT_FINGERPRINT] = "INSERT OR REPLACE INTO fingerprint VALUES (?, ?)",
    [SQL_DROP_FINGERPRINT] = "DELETE FROM fingerprint WHERE path = ?",
    [SQL_PUT_JOURNAL] = "INSERT INTO journal (time, kind, name, action, corrective, reported,"
                        " latency, who, error, changes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [SQL_GET_JOURNAL] =
        "SELECT time, kind, name, action, corrective, reported, latency, who, error,"
        " changes FROM journal WHERE time BETWEEN ?1 AND ?2"
        " AND (?3 IS NULL OR kind = ?3) AND (?4 IS NULL OR name = ?4)"
        " AND corrective >= ?5 ORDER BY time DESC, id DESC LIMIT ?6",
    [SQL_PRUNE_JOURNAL] = "DELETE FROM journal WHERE id <= (SELECT max(id) FROM journal) - ?1"
                          " OR (time < ?2 AND id <= (SELECT max(id) FROM journal) - ?3)",
    [SQL_GET_META] = "SELECT value FROM meta WHERE key = ?",
    [SQL_PUT_META] = "INSERT OR REPLACE INTO meta VALUES (?, ?)",
    [SQL_SALVAGE_RESOURCES] =
        "SELECT id, kind, name, entry_hash, resource_hash, flags, status_hash,"
        " retries FROM resource WHERE id >= ? ORDER BY id",
    [SQL_SALVAGE_ENTRIES] = "SELECT id, body FROM entry WHERE id >= ? ORDER BY id",
    [SQL_SALVAGE_STATUSES] = "SELECT id, body FROM status WHERE id >= ? ORDER BY id",
    [SQL_SALVAGE_JOURNAL] = "SELECT time, kind, name, action, corrective, reported, latency, who,"
                            " error, changes, id FROM journal WHERE id >= ? ORDER BY id",
    [SQL_SALVAGE_PENDING] = "SELECT edge FROM pending ORDER BY edge DESC",
};

struct Database {
    sqlite3 *db;
    char *path;
    int version; /* of the schema as it was when opened; not set by DATABASE_DAMAGED */
    sqlite3_stmt *statements[SQL_COUNT]; /* prepared on first use */
};

/* --- errors --- */

void set_damaged_error(GError **error, const char *path, const char *why) {
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_DAMAGED,
                "read '%s': %s; 'stead ledger repair' saves what can still be read", path, why);
}

/* SQLite tells the error of its second attempt, to open without making: that there is no such file.
 */
static int why_not_opened(const char *path, int errno_value) {
    g_autofree char *dir = g_path_get_dirname(path);
    struct statvfs info;
    bool full =
        errno_value == ENOENT && statvfs(dir, &info) == 0 && info.f_files > 0 && info.f_favail == 0;
    return full ? ENOSPC : errno_value;
}

void set_database_error(GError **error, Database *database, const char *what) {
    int result = sqlite3_extended_errcode(database->db);
    int system = sqlite3_system_errno(database->db);
    switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: /* our statements are right, so the schema in the file is not */
        set_damaged_error(error, database->path, sqlite3_errmsg(database->db));
        break;
    case SQLITE_FULL:
        (void)set_io_error(error, ENOSPC, "%s '%s'", what, database->path);
        break;
    case SQLITE_NOMEM:
        g_error("out of memory in SQLite");
        break;
    case SQLITE_BUSY:
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_TIMEOUT,
                    "%s '%s': another process kept it locked for %d s", what, database->path,
                    BUSY_TIMEOUT_MS / 1000);
        break;
    default:
        system = why_not_opened(database->path, system);
        if (system == ENOSPC)
            set_io_error(error, system, "%s '%s' (no file can be made: see 'df -i')", what,
                         database->path);
        else if (system != 0)
            (void)set_io_error(error, system, "%s '%s'", what, database->path);
        else
            g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "%s '%s': %s", what, database->path,
                        sqlite3_errmsg(database->db));
    }
}

/* --- statements --- */

sqlite3_stmt *database_statement(Database *database, Sql sql, GError **error) {
    sqlite3_stmt **slot = &database->statements[sql];
    if (!*slot && sqlite3_prepare_v3(database->db, statements[sql], -1, SQLITE_PREPARE_PERSISTENT,
                                     slot, NULL) != SQLITE_OK)
        set_database_error(error, database, "read");
    return *slot;
}

int database_step(Database *database, sqlite3_stmt *statement, GError **error) {
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        return 1;
    if (result != SQLITE_DONE)
        set_database_error(error, database, sqlite3_stmt_readonly(statement) ? "read" : "write");
    (void)sqlite3_reset(statement); /* repeats the result of the step */
    return result == SQLITE_DONE ? 0 : -1;
}

bool database_run(Database *database, Sql sql, GError **error) {
    sqlite3_stmt *statement = database_statement(database, sql, error);
    return statement && database_step(database, statement, error) >= 0;
}

GBytes *database_get(Database *database, Sql sql, int64_t id, GError **error) {
    sqlite3_stmt *statement = database_statement(database, sql, error);
    if (!statement)
        return NULL;
    (void)sqlite3_bind_int64(statement, 1, id);
    int got = database_step(database, statement, error);
    if (got == 0)
        set_damaged_error(error, database->path, "a row that its index names is missing");
    if (got <= 0)
        return NULL;
    const void *text = sqlite3_column_text(statement, 0);
    GBytes *bytes = g_bytes_new(text, (size_t)sqlite3_column_bytes(statement, 0));
    (void)sqlite3_reset(statement);
    return bytes;
}

char *database_get_meta(Database *database, const char *key) {
    if (database->version == 1)
        return NULL;
    sqlite3_stmt *statement = database_statement(database, SQL_GET_META, NULL);
    if (!statement)
        return NULL;
    bind_text(statement, 1, key);
    char *value = NULL;
    if (database_step(database, statement, NULL) > 0)
        value = g_strdup((const char *)sqlite3_column_text(statement, 0));
    (void)sqlite3_reset(statement);
    return value;
}

void bind_text(sqlite3_stmt *statement, int index, const char *text) {
    (void)sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

void bind_bytes(sqlite3_stmt *statement, int index, GBytes *bytes) {
    gsize size;
    const char *text = g_bytes_get_data(bytes, &size);
    (void)sqlite3_bind_text64(statement, index, text ? text : "", size, SQLITE_STATIC, SQLITE_UTF8);
}

static bool execute(Database *database, const char *sql, GError **error) {
    if (sqlite3_exec(database->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    set_database_error(error, database, "open");
    return false;
}

/* --- opening --- */

void database_close(Database *database) {
    if (!database)
        return;
    for (unsigned i = 0; i < SQL_COUNT; i++)
        (void)sqlite3_finalize(database->statements[i]); /* repeats an earlier error */
    (void)sqlite3_close(database->db); /* nothing is left open, so it cannot refuse */
    g_free(database->path);
    g_free(database);
}

/* name: a path, or a URI in flags. Errors speak of path. */
static Database *connect(const char *name, const char *path, int flags, GError **error) {
    g_autoptr(Database) database = g_new0(Database, 1);
    database->path = g_strdup(path);
    int result = sqlite3_open_v2(name, &database->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (result != SQLITE_OK) {
        set_database_error(error, database, "open");
        return NULL;
    }
    (void)sqlite3_extended_result_codes(database->db, 1);
    (void)sqlite3_busy_timeout(database->db, BUSY_TIMEOUT_MS);
    (void)sqlite3_db_config(database->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(database->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (!execute(database, "PRAGMA cache_size = -1024; PRAGMA cell_size_check = ON", error))
        return NULL;
    return g_steal_pointer(&database);
}

static bool read_pragma(Database *database, const char *sql, int *ret_value, GError **error) {
    sqlite3_stmt *statement = NULL;
    bool ok = sqlite3_prepare_v2(database->db, sql, -1, &statement, NULL) == SQLITE_OK &&
              sqlite3_step(statement) == SQLITE_ROW;
    if (ok)
        *ret_value = sqlite3_column_int(statement, 0);
    else
        set_database_error(error, database, "open");
    (void)sqlite3_finalize(statement);
    return ok;
}

static bool check_identity(Database *database, int *ret_version, GError **error) {
    int application;
    if (!read_pragma(database, "PRAGMA application_id", &application, error) ||
        !read_pragma(database, "PRAGMA user_version", ret_version, error))
        return false;
    if (application != APPLICATION_ID || *ret_version < 1) {
        set_damaged_error(error, database->path, "it is not a ledger of stead");
        return false;
    }
    if (*ret_version <= SCHEMA_VERSION)
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_REFUSED,
                "open '%s': it was written by a newer stead (format %d, this one knows %d); use "
                "that one, or save what this one understands with 'stead ledger repair'",
                database->path, *ret_version, SCHEMA_VERSION);
    return false;
}

/* From version on to SCHEMA_VERSION, all or nothing. */
static bool migrate(Database *database, int version, GError **error) {
    if (version == SCHEMA_VERSION)
        return true;
    g_autoptr(GString) sql = g_string_new("BEGIN IMMEDIATE;");
    for (int i = version; i < SCHEMA_VERSION; i++)
        g_string_append(sql, migrations[i]);
    g_string_append_printf(sql, "PRAGMA user_version = %d; COMMIT", SCHEMA_VERSION);
    return execute(database, sql->str, error);
}

static void remove_beside(const char *path, const char *suffix) {
    g_autofree char *name = g_strconcat(path, suffix, NULL);
    (void)unlink(name); /* mostly not there */
}

/* Below a temporary name with the whole schema, then renamed: a ledger.db that exists is always
 * whole, and an empty one is damage. */
static bool build(const char *path, GError **error) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return set_io_error(error, errno, "create '%s'", path);
    bool ok = false;
    {
        g_autoptr(Database) database = connect(path, path, SQLITE_OPEN_READWRITE, error);
        g_autofree char *start = g_strdup_printf(
            "PRAGMA page_size = %d; PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;"
            "PRAGMA application_id = %d",
            PAGE_SIZE, APPLICATION_ID);
        ok = database && execute(database, start, error) && migrate(database, 0, error) &&
             execute(database, "PRAGMA journal_mode = WAL", error);
    }
    if (ok && fdatasync(fd) < 0)
        ok = set_io_error(error, errno, "write '%s'", path);
    close(fd);
    return ok;
}

static bool create(const char *path, GError **error) {
    g_autofree char *temporary = g_strconcat(path, ".new", NULL);
    remove_beside(temporary, "-wal");
    remove_beside(temporary, "-shm");
    /* A write-ahead file of a database that is gone must not be played into this one. */
    remove_beside(path, "-wal");
    remove_beside(path, "-shm");
    if (!build(temporary, error)) {
        (void)unlink(temporary);
        return false;
    }
    if (rename(temporary, path) < 0)
        return set_io_error(error, errno, "rename '%s' to '%s'", temporary, path);
    return true;
}

static Database *open_for_writing(const char *path, GError **error) {
    if (access(path, F_OK) < 0 && !create(path, error))
        return NULL;
    g_autoptr(Database) database = connect(path, path, SQLITE_OPEN_READWRITE, error);
    int version;
    if (!database || !check_identity(database, &version, error) ||
        !migrate(database, version, error) ||
        !execute(database, "PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = 4194304",
                 error))
        return NULL;
    database->version = SCHEMA_VERSION;
    return g_steal_pointer(&database);
}

static Database *check_for_reading(Database *opened, DatabaseMode mode, GError **error) {
    g_autoptr(Database) database = opened;
    int version;
    if (!database || (mode != DATABASE_READ && !execute(database, "BEGIN", error)) ||
        !check_identity(database, &version, error))
        return NULL;
    database->version = version; /* of an older one, what it has: writing brings it up to date */
    return g_steal_pointer(&database);
}

static Database *open_untouched(const char *path, GError **error) {
    g_autofree char *file = g_filename_to_uri(path, NULL, NULL);
    g_autofree char *uri = g_strconcat(file, "?immutable=1", NULL);
    return check_for_reading(connect(uri, path, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, error),
                             DATABASE_UNTOUCHED, error);
}

/* Where nothing can be written a waiting WAL cannot be read in place: read a private copy. */
static Database *open_copy(const char *path, GError **error) {
    g_autoptr(GError) problem = NULL;
    g_autofree char *dir = g_dir_make_tmp("stead-ledger-XXXXXX", &problem);
    if (!dir) {
        g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO, "copy '%s': %s", path, problem->message);
        return NULL;
    }
    g_autofree char *copy = g_build_filename(dir, "ledger.db", NULL);
    g_autofree char *wal = g_strconcat(path, "-wal", NULL);
    g_autofree char *copy_wal = g_strconcat(copy, "-wal", NULL);
    Database *database = NULL;
    if (disk_copy(path, copy, error) && disk_copy(wal, copy_wal, error))
        database = check_for_reading(connect(copy, path, SQLITE_OPEN_READONLY, error),
                                     DATABASE_SNAPSHOT, error);
    (void)unlink(copy);
    (void)unlink(copy_wal);
    remove_beside(copy, "-shm");
    (void)rmdir(dir);
    return database;
}

/* Reading a WAL database in place needs files beside it. */
static bool is_read_only(const char *path) {
    g_autofree char *dir = g_path_get_dirname(path);
    return access(dir, W_OK) < 0;
}

Database *database_open(const char *path, DatabaseMode mode, GError **error) {
    if (mode == DATABASE_WRITE)
        return open_for_writing(path, error);
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return NULL;
    if (mode == DATABASE_DAMAGED)
        return connect(path, path, SQLITE_OPEN_READONLY, error);
    if (mode == DATABASE_UNTOUCHED)
        return open_untouched(path, error);
    if (is_read_only(path))
        return database_has_wal(path) ? open_copy(path, error) : open_untouched(path, error);
    return check_for_reading(connect(path, path, SQLITE_OPEN_READONLY, error), mode, error);
}

/* --- the rest --- */

bool database_check(Database *database, GError **error) {
    sqlite3_stmt *statement = NULL;
    bool ok = sqlite3_prepare_v2(database->db, "PRAGMA integrity_check(1)", -1, &statement, NULL) ==
                  SQLITE_OK &&
              sqlite3_step(statement) == SQLITE_ROW;
    const char *finding = ok ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (!ok)
        set_database_error(error, database, "read");
    else if (g_strcmp0(finding, "ok") != 0)
        set_damaged_error(error, database->path, finding ? finding : "it cannot be checked");
    ok = ok && g_strcmp0(finding, "ok") == 0;
    (void)sqlite3_finalize(statement);
    return ok;
}

bool database_mend_header(const char *path, GError **error) {
    g_autofree char *sound = g_strconcat(path, ".header", NULL);
    if (!build(sound, error))
        return false;
    g_autoptr(GBytes) bytes = disk_read_own(sound, SIZE_MAX, error);
    (void)unlink(sound);
    if (!bytes)
        return false;
    char page[PAGE_SIZE];
    g_assert(g_bytes_get_size(bytes) >= sizeof page);
    memcpy(page, g_bytes_get_data(bytes, NULL), sizeof page);
    /* The number of pages in it counts only while the change counter is the one it was noted at;
     * else the size of the file does. https://www.sqlite.org/fileformat2.html, 1.3.7 */
    memset(page + 92, 0xff, 4);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && pwrite(fd, page, sizeof page, 0) == (ssize_t)sizeof page;
    if (!ok)
        (void)set_io_error(error, errno, "write '%s'", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

bool database_has_wal(const char *path) {
    g_autofree char *wal = g_strconcat(path, "-wal", NULL);
    struct stat info;
    return stat(wal, &info) == 0 && info.st_size > 0;
}
