#include "state/sqlite-file.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define APPLICATION_ID  0x73745374 /* "stSt" */
#define FORMAT          1
#define BUSY_TIMEOUT_MS 5000
#define PLACE_BITS      20 /* of an id: STORE_LIMIT_DELETED */
/* A file up to this size is looked through when it is opened. */
#define CHECKED_SIZE (64 << 20)
/* What a watch is told of the history at once. */
#define PIECE_EVENTS 1000
#define PIECE_BYTES  (4u << 20)
#define SWEEP_ROWS   500

typedef enum {
    SQL_BEGIN_READ,
    SQL_BEGIN_WRITE,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVE,
    SQL_RELEASE,
    SQL_BACK,
    SQL_GET_META,
    SQL_PUT_META,
    SQL_GET,
    SQL_ADD_HISTORY,
    SQL_PUT_PRESENT,
    SQL_DROP_PRESENT,
    SQL_RANGE,
    SQL_RANGE_KEYS,
    SQL_COUNT_RANGE,
    SQL_PAST,
    SQL_PAST_KEYS,
    SQL_COUNT_PAST,
    SQL_HISTORY,
    SQL_SWEEP_UP_TO,
    SQL_SWEEP,
    SQL_ADD_LEASE,
    SQL_NOTE_LEASE,
    SQL_HAS_LEASE,
    SQL_DROP_LEASE,
    SQL_KEYS_OF_LEASE,
    SQL_ALL_LEASES,
    N_SQL,
} Sql;

#define ENTRY_COLUMNS "h.key, h.id, h.create_revision, h.version, h.lease"
/* The last change of each key before an id. */
#define LAST_BEFORE                                                                                \
    "(SELECT max(id) AS id FROM history WHERE key >= ?1 AND key < ?2 AND id < ?3 GROUP BY key)"

static const char *const sql_texts[N_SQL] = {
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVE] = "SAVEPOINT call",
    [SQL_RELEASE] = "RELEASE call",
    [SQL_BACK] = "ROLLBACK TO call",
    [SQL_GET_META] = "SELECT revision, compacted FROM meta",
    [SQL_PUT_META] = "UPDATE meta SET revision = ?1, compacted = ?2",
    [SQL_GET] = "SELECT key, id, create_revision, version, lease, NULL FROM present WHERE key = ?1",
    [SQL_ADD_HISTORY] = "INSERT INTO history (id, key, create_revision, version, lease, value) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [SQL_PUT_PRESENT] = "REPLACE INTO present (key, id, create_revision, version, lease) "
                        "VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_DROP_PRESENT] = "DELETE FROM present WHERE key = ?1",
    [SQL_RANGE] = "SELECT p.key, p.id, p.create_revision, p.version, p.lease, h.value "
                  "FROM present p JOIN history h ON h.id = p.id "
                  "WHERE p.key >= ?1 AND p.key < ?2 ORDER BY p.key LIMIT ?4",
    [SQL_RANGE_KEYS] = "SELECT key, id, create_revision, version, lease, NULL FROM present "
                       "WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?4",
    [SQL_COUNT_RANGE] = "SELECT count(*) FROM present WHERE key >= ?1 AND key < ?2",
    [SQL_PAST] = "SELECT " ENTRY_COLUMNS ", h.value FROM " LAST_BEFORE
                 " m JOIN history h ON h.id = m.id WHERE h.version > 0 ORDER BY h.key LIMIT ?4",
    [SQL_PAST_KEYS] = "SELECT " ENTRY_COLUMNS ", NULL FROM " LAST_BEFORE
                      " m JOIN history h ON h.id = m.id WHERE h.version > 0 ORDER BY h.key "
                      "LIMIT ?4",
    [SQL_COUNT_PAST] =
        "SELECT count(*) FROM " LAST_BEFORE " m JOIN history h ON h.id = m.id WHERE h.version > 0",
    [SQL_HISTORY] = "SELECT " ENTRY_COLUMNS ", h.value FROM history h "
                    "WHERE h.id >= ?3 AND h.key >= ?1 AND h.key < ?2 ORDER BY h.id",
    [SQL_SWEEP_UP_TO] = "SELECT max(id) FROM (SELECT id FROM history WHERE id > ?1 AND id < ?2 "
                        "ORDER BY id LIMIT ?3)",
    /* Not what a key was at the revision: that may still be read. */
    [SQL_SWEEP] = "DELETE FROM history WHERE id > ?1 AND id <= ?2 AND (version = 0 OR EXISTS "
                  "(SELECT 1 FROM history l WHERE l.key = history.key AND l.id > history.id AND "
                  "l.id < ?3))",
    [SQL_ADD_LEASE] = "INSERT INTO lease (id, ttl, left_us) VALUES (?1, ?2, ?3)",
    [SQL_NOTE_LEASE] = "UPDATE lease SET left_us = ?2 WHERE id = ?1",
    [SQL_HAS_LEASE] = "SELECT 1 FROM lease WHERE id = ?1",
    [SQL_DROP_LEASE] = "DELETE FROM lease WHERE id = ?1",
    [SQL_KEYS_OF_LEASE] = "SELECT key FROM present WHERE lease = ?1 AND lease != 0 ORDER BY key",
    [SQL_ALL_LEASES] = "SELECT id, ttl, left_us FROM lease",
};

static const char schema[] =
    "CREATE TABLE meta (revision INTEGER NOT NULL, compacted INTEGER NOT NULL);"
    "INSERT INTO meta VALUES (1, 0);"
    "CREATE TABLE history (id INTEGER PRIMARY KEY, key BLOB NOT NULL,"
    " create_revision INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL,"
    " value BLOB);"
    "CREATE INDEX history_key ON history (key);"
    "CREATE TABLE present (key BLOB PRIMARY KEY, id INTEGER NOT NULL,"
    " create_revision INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX present_lease ON present (lease) WHERE lease != 0;"
    "CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL, left_us INTEGER NOT NULL);";

struct SqlFile {
    char *path;
    sqlite3 *db;
    sqlite3_stmt *statements[N_SQL];
    bool write, lazy;
    int64_t revision, compacted; /* in this transaction */
    int64_t place;               /* the next one in the revision that is being made; 0: none */
    GPtrArray *events;           /* of StoreEntry, of this transaction */
    unsigned events_at_save;
    int64_t swept; /* ids up to here have been looked at by sql_file_sweep() */
    bool sweeping;
};

/* --- talking to SQLite */

static void set_sql_error(GError **error, SqlFile *file, const char *verb) {
    int result = file->db != NULL ? sqlite3_errcode(file->db) : SQLITE_NOMEM;
    const char *message = file->db != NULL ? sqlite3_errmsg(file->db) : "out of memory";
    switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        g_set_error(error, STORE_ERROR, STORE_ERROR_DAMAGED,
                    "%s '%s': %s; put a copy back, or save what can be read by sqlite3 and "
                    ".recover",
                    verb, file->path, message);
        break;
    case SQLITE_FULL:
        g_set_error(error, STORE_ERROR, STORE_ERROR_NO_SPACE,
                    "%s '%s': the disk is full; nothing was changed", verb, file->path);
        break;
    case SQLITE_BUSY:
        g_set_error(error, STORE_ERROR, STORE_ERROR_UNAVAILABLE,
                    "%s '%s': another program has locked it; nothing was changed", verb,
                    file->path);
        break;
    default:
        g_set_error(error, STORE_ERROR, STORE_ERROR_FAILED, "%s '%s': %s", verb, file->path,
                    message);
    }
}

bool sql_file_is_broken(const GError *error) {
    switch ((StoreErrorCode)error->code) {
    case STORE_ERROR_FAILED:
    case STORE_ERROR_DAMAGED:
    case STORE_ERROR_NO_SPACE:
    case STORE_ERROR_UNAVAILABLE:
    case STORE_ERROR_UNKNOWN_OUTCOME:
        return true;
    case STORE_ERROR_INVALID:
    case STORE_ERROR_COMPACTED:
    case STORE_ERROR_FUTURE_REVISION:
    case STORE_ERROR_LEASE_GONE:
    case STORE_ERROR_TOO_LARGE:
    case STORE_ERROR_DENIED:
    case STORE_ERROR_IN_USE:
    case STORE_ERROR_CANCELLED:
        return false;
    }
    return true;
}

static sqlite3_stmt *prepare(SqlFile *file, Sql sql, GError **error) {
    if (file->statements[sql] == NULL &&
        sqlite3_prepare_v3(file->db, sql_texts[sql], -1, SQLITE_PREPARE_PERSISTENT,
                           &file->statements[sql], NULL) != SQLITE_OK)
        set_sql_error(error, file, "read");
    return file->statements[sql];
}

/* 1: a row; 0: the end, and the statement is reset; -1: error. */
static int step(SqlFile *file, sqlite3_stmt *statement, GError **error) {
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        return 1;
    if (result != SQLITE_DONE)
        set_sql_error(error, file, sqlite3_stmt_readonly(statement) ? "read" : "write");
    (void)sqlite3_reset(statement);
    return result == SQLITE_DONE ? 0 : -1;
}

/* Numbers and bytes to bind, in their order. */
static void bind_number(sqlite3_stmt *statement, int index, int64_t number) {
    (void)sqlite3_bind_int64(statement, index, number);
}

/* Not copied. No bytes are not NULL. */
static void bind_bytes(sqlite3_stmt *statement, int index, GBytes *bytes) {
    gsize size = 0;
    const void *data = bytes != NULL ? g_bytes_get_data(bytes, &size) : NULL;
    if (bytes == NULL)
        (void)sqlite3_bind_null(statement, index);
    else
        (void)sqlite3_bind_blob64(statement, index, data != NULL ? data : "", size, SQLITE_STATIC);
}

static bool run(SqlFile *file, sqlite3_stmt *statement, GError **error) {
    return statement != NULL && step(file, statement, error) == 0;
}

static bool run_plain(SqlFile *file, Sql sql, GError **error) {
    return run(file, prepare(file, sql, error), error);
}

static GBytes *column_bytes(sqlite3_stmt *statement, int column) {
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return NULL;
    const void *data = sqlite3_column_blob(statement, column);
    return g_bytes_new(data, (size_t)sqlite3_column_bytes(statement, column));
}

/* key, id, create_revision, version, lease, value */
static StoreEntry *entry_of_row(sqlite3_stmt *statement) {
    g_autoptr(GBytes) key = column_bytes(statement, 0), value = column_bytes(statement, 5);
    StoreEntry *entry = entry_new(key, value);
    entry->mod_revision = sqlite3_column_int64(statement, 1) >> PLACE_BITS;
    entry->create_revision = sqlite3_column_int64(statement, 2);
    entry->version = sqlite3_column_int64(statement, 3);
    entry->lease = sqlite3_column_int64(statement, 4);
    return entry;
}

/* Ids of a revision and all after it. */
static int64_t first_id(int64_t revision) {
    return revision << PLACE_BITS;
}

/* The first key that is not meant: for one key alone the next possible one, for all of them one
 * that is above all. */
static GBytes *bound_of(GBytes *key, GBytes *end) {
    static uint8_t above[STORE_LIMIT_KEY + 1];
    if (end != NULL && g_bytes_get_size(end) > 0)
        return g_bytes_ref(end);
    if (end != NULL) {
        memset(above, 0xff, sizeof above);
        return g_bytes_new_static(above, sizeof above);
    }
    gsize size;
    const uint8_t *data = g_bytes_get_data(key, &size);
    uint8_t *next = g_malloc0(size + 1);
    memcpy(next, data, size);
    return g_bytes_new_take(next, size + 1);
}

/* --- transactions of SQLite */

static bool read_meta(SqlFile *file, GError **error) {
    sqlite3_stmt *statement = prepare(file, SQL_GET_META, error);
    int result = statement != NULL ? step(file, statement, error) : -1;
    if (result == 0)
        g_set_error(error, STORE_ERROR, STORE_ERROR_DAMAGED,
                    "read '%s': it has lost its revision; put a copy back", file->path);
    if (result <= 0)
        return false;
    file->revision = sqlite3_column_int64(statement, 0);
    file->compacted = sqlite3_column_int64(statement, 1);
    (void)sqlite3_reset(statement);
    return true;
}

static bool write_meta(SqlFile *file, GError **error) {
    sqlite3_stmt *statement = prepare(file, SQL_PUT_META, error);
    if (statement == NULL)
        return false;
    bind_number(statement, 1, file->revision);
    bind_number(statement, 2, file->compacted);
    return run(file, statement, error);
}

bool sql_file_begin(SqlFile *file, GError **error) {
    g_ptr_array_set_size(file->events, 0);
    file->place = 0;
    if (!run_plain(file, file->write ? SQL_BEGIN_WRITE : SQL_BEGIN_READ, error))
        return false;
    if (read_meta(file, error))
        return true;
    sql_file_rollback(file);
    return false;
}

void sql_file_rollback(SqlFile *file) {
    g_ptr_array_set_size(file->events, 0);
    /* SQLite may have done it already. */
    if (sqlite3_get_autocommit(file->db) == 0)
        (void)run_plain(file, SQL_ROLLBACK, NULL);
}

static bool set_lazy(SqlFile *file, bool lazy) {
    if (lazy != file->lazy &&
        sqlite3_exec(file->db, lazy ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL",
                     NULL, NULL, NULL) == SQLITE_OK)
        file->lazy = lazy;
    return file->lazy == lazy;
}

/* What could not be synced may be on the disk after all. */
static void set_unknown(GError **error, SqlFile *file, const GError *problem) {
    g_set_error(error, STORE_ERROR, STORE_ERROR_UNKNOWN_OUTCOME, "%s; it may be done or not",
                problem->message);
}

bool sql_file_commit(SqlFile *file, bool lazy, GError **error) {
    g_autoptr(GError) problem = NULL;
    bool changed = file->write && file->events->len > 0;
    if ((!changed || write_meta(file, &problem)) && run_plain(file, SQL_COMMIT, &problem))
        return true;
    if ((sqlite3_errcode(file->db) & 0xff) == SQLITE_IOERR)
        set_unknown(error, file, problem);
    else
        g_propagate_error(error, g_steal_pointer(&problem));
    sql_file_rollback(file);
    return false;
}

int64_t sql_file_revision(const SqlFile *file) {
    return file->revision;
}

GPtrArray *sql_file_take_events(SqlFile *file) {
    GPtrArray *events = file->events;
    file->events = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    return events;
}

/* --- reading */

static bool read_count(SqlFile *file, Sql sql, const Op *op, GBytes *bound, int64_t before,
                       uint64_t *ret_count, GError **error) {
    sqlite3_stmt *statement = prepare(file, sql, error);
    if (statement == NULL)
        return false;
    bind_bytes(statement, 1, op->key);
    bind_bytes(statement, 2, bound);
    if (sql == SQL_COUNT_PAST)
        bind_number(statement, 3, before);
    if (step(file, statement, error) != 1)
        return false;
    *ret_count = (uint64_t)sqlite3_column_int64(statement, 0);
    (void)sqlite3_reset(statement);
    return true;
}

static bool read_rows(SqlFile *file, sqlite3_stmt *statement, StoreResult *result, GError **error) {
    size_t size = 0;
    int more;
    while ((more = step(file, statement, error)) == 1) {
        StoreEntry *entry = entry_of_row(statement);
        g_ptr_array_add(result->entries, entry);
        size += g_bytes_get_size(entry->key) + (entry->value ? g_bytes_get_size(entry->value) : 0);
        if (size <= STORE_LIMIT_RANGE)
            continue;
        (void)sqlite3_reset(statement);
        g_propagate_error(error, error_range_large());
        return false;
    }
    return more == 0;
}

/* present: as it is in this transaction, with what it has changed. */
static bool read_range(SqlFile *file, const Op *op, bool present, StoreAnswer *answer,
                       GError **error) {
    StoreResult *result = answer_add_range(answer);
    g_autoptr(GBytes) bound = bound_of(op->key, op->end);
    int64_t before = first_id(op->revision + 1);
    Sql sql = present ? (op->keys_only ? SQL_RANGE_KEYS : SQL_RANGE)
                      : (op->keys_only ? SQL_PAST_KEYS : SQL_PAST);
    sqlite3_stmt *statement = prepare(file, sql, error);
    if (statement == NULL)
        return false;
    bind_bytes(statement, 1, op->key);
    bind_bytes(statement, 2, bound);
    if (!present)
        bind_number(statement, 3, before);
    bind_number(statement, 4, op->limit > 0 ? (int64_t)op->limit : -1);
    if (!read_rows(file, statement, result, error))
        return false;
    result->count = result->entries->len;
    if (op->limit == 0 || result->count < op->limit)
        return true;
    if (!read_count(file, present ? SQL_COUNT_RANGE : SQL_COUNT_PAST, op, bound, before,
                    &result->count, error))
        return false;
    result->more = result->count > result->entries->len;
    return true;
}

StoreAnswer *sql_file_range(SqlFile *file, const Op *op, GError **error) {
    if (op->revision > file->revision)
        g_propagate_error(error, error_future(op->revision, file->revision));
    else if (op->revision > 0 && op->revision < file->compacted)
        g_propagate_error(error, error_compacted(op->revision, file->compacted));
    else {
        g_autoptr(StoreAnswer) answer = answer_new(file->revision);
        bool present = op->revision == 0 || op->revision == file->revision;
        return read_range(file, op, present, answer, error) ? g_steal_pointer(&answer) : NULL;
    }
    return NULL;
}

/* Of what the transaction sees, without the value. 1: it is there; 0: not; -1: error. */
static int get_present(SqlFile *file, GBytes *key, StoreEntry **ret_entry, GError **error) {
    sqlite3_stmt *statement = prepare(file, SQL_GET, error);
    *ret_entry = NULL;
    if (statement == NULL)
        return -1;
    bind_bytes(statement, 1, key);
    int result = step(file, statement, error);
    if (result != 1)
        return result;
    *ret_entry = entry_of_row(statement);
    (void)sqlite3_reset(statement);
    return 1;
}

/* --- changing */

/* The revision that is being made begins with the first change. */
static int64_t next_id(SqlFile *file) {
    if (file->place == 0)
        file->revision++;
    return first_id(file->revision) | file->place++;
}

static bool add_history(SqlFile *file, int64_t id, StoreEntry *entry, GError **error) {
    sqlite3_stmt *statement = prepare(file, SQL_ADD_HISTORY, error);
    entry->mod_revision = file->revision;
    g_ptr_array_add(file->events, entry);
    if (statement == NULL)
        return false;
    bind_number(statement, 1, id);
    bind_bytes(statement, 2, entry->key);
    bind_number(statement, 3, entry->create_revision);
    bind_number(statement, 4, entry->version);
    bind_number(statement, 5, entry->lease);
    bind_bytes(statement, 6, entry->value);
    return run(file, statement, error);
}

static bool put_key(SqlFile *file, const Op *op, GError **error) {
    StoreEntry *before;
    if (get_present(file, op->key, &before, error) < 0)
        return false;
    int64_t id = next_id(file);
    StoreEntry *entry = entry_new(op->key, op->value);
    entry->lease = op->lease;
    entry->version = before != NULL ? before->version + 1 : 1;
    entry->create_revision = before != NULL ? before->create_revision : file->revision;
    store_entry_unref(before);
    if (!add_history(file, id, entry, error))
        return false;
    sqlite3_stmt *statement = prepare(file, SQL_PUT_PRESENT, error);
    if (statement == NULL)
        return false;
    bind_bytes(statement, 1, entry->key);
    bind_number(statement, 2, id);
    bind_number(statement, 3, entry->create_revision);
    bind_number(statement, 4, entry->version);
    bind_number(statement, 5, entry->lease);
    return run(file, statement, error);
}

static bool delete_key(SqlFile *file, GBytes *key, GError **error) {
    int64_t id = next_id(file);
    if (!add_history(file, id, entry_new(key, NULL), error))
        return false;
    sqlite3_stmt *statement = prepare(file, SQL_DROP_PRESENT, error);
    if (statement == NULL)
        return false;
    bind_bytes(statement, 1, key);
    return run(file, statement, error);
}

static bool delete_keys(SqlFile *file, const GPtrArray *entries, GError **error) {
    if ((uint64_t)file->place + entries->len > STORE_LIMIT_DELETED) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_TOO_LARGE,
                    "delete keys: %u are above STORE_LIMIT_DELETED (%u)", entries->len,
                    STORE_LIMIT_DELETED);
        return false;
    }
    for (unsigned i = 0; i < entries->len; i++)
        if (!delete_key(file, ((StoreEntry *)g_ptr_array_index(entries, i))->key, error))
            return false;
    return true;
}

static bool delete_range(SqlFile *file, const Op *op, StoreAnswer *answer, GError **error) {
    g_autoptr(StoreAnswer) found = answer_new(0);
    Op all = { .kind = OP_RANGE, .key = op->key, .end = op->end, .keys_only = true };
    if (!read_range(file, &all, true, found, error))
        return false;
    const GPtrArray *entries = store_answer_result(found, 0)->entries;
    answer_add(answer)->count = entries->len;
    return delete_keys(file, entries, error);
}

/* --- transactions */

static bool read_value(SqlFile *file, GBytes *key, StoreEntry **ret_entry, GError **error) {
    g_autoptr(StoreAnswer) answer = answer_new(0);
    Op op = { .kind = OP_RANGE, .key = key };
    if (!read_range(file, &op, true, answer, error))
        return false;
    const GPtrArray *entries = store_answer_result(answer, 0)->entries;
    *ret_entry = entries->len > 0 ? store_entry_ref(g_ptr_array_index(entries, 0)) : NULL;
    return true;
}

static bool all_hold(SqlFile *file, const GPtrArray *compares, bool *ret_hold, GError **error) {
    *ret_hold = true;
    for (unsigned i = 0; i < compares->len && *ret_hold; i++) {
        const Compare *compare = g_ptr_array_index(compares, i);
        StoreEntry *entry = NULL;
        bool good = compare->field == STORE_VALUE
                        ? read_value(file, compare->key, &entry, error)
                        : get_present(file, compare->key, &entry, error) >= 0;
        *ret_hold = good && compare_holds(compare, entry);
        store_entry_unref(entry);
        if (!good)
            return false;
    }
    return true;
}

static bool check_leases(SqlFile *file, const GPtrArray *ops, GError **error) {
    for (unsigned i = 0; i < ops->len; i++) {
        const Op *op = g_ptr_array_index(ops, i);
        if (op->lease == 0)
            continue;
        sqlite3_stmt *statement = prepare(file, SQL_HAS_LEASE, error);
        if (statement == NULL)
            return false;
        bind_number(statement, 1, op->lease);
        int found = step(file, statement, error);
        (void)sqlite3_reset(statement);
        if (found == 0)
            g_propagate_error(error, error_lease_gone(op->lease));
        if (found != 1)
            return false;
    }
    return true;
}

static bool run_op(SqlFile *file, const Op *op, StoreAnswer *answer, GError **error) {
    switch (op->kind) {
    case OP_RANGE:
        return read_range(file, op, true, answer, error);
    case OP_DELETE:
        return delete_range(file, op, answer, error);
    case OP_PUT:
        answer_add(answer);
        return put_key(file, op, error);
    }
    g_assert_not_reached();
}

static bool run_ops(SqlFile *file, const GPtrArray *ops, StoreAnswer *answer, GError **error) {
    bool good = true;
    for (unsigned i = 0; i < ops->len && good; i++)
        good = run_op(file, g_ptr_array_index(ops, i), answer, error);
    return good;
}

/* Several operations, of which a later one may be refused when others are done. */
static bool run_ops_saved(SqlFile *file, const GPtrArray *ops, StoreAnswer *answer,
                          GError **error) {
    int64_t revision = file->revision;
    unsigned events = file->events->len;
    if (!run_plain(file, SQL_SAVE, error))
        return false;
    g_autoptr(GError) problem = NULL;
    bool good = run_ops(file, ops, answer, &problem);
    if (!good && !sql_file_is_broken(problem)) {
        file->revision = revision;
        g_ptr_array_set_size(file->events, (int)events);
        if (!run_plain(file, SQL_BACK, error) || !run_plain(file, SQL_RELEASE, error))
            return false;
    }
    if (!good)
        g_propagate_error(error, g_steal_pointer(&problem));
    return good && run_plain(file, SQL_RELEASE, error);
}

StoreAnswer *sql_file_txn(SqlFile *file, const StoreTxn *txn, GError **error) {
    g_autoptr(StoreAnswer) answer = answer_new(0);
    if (!all_hold(file, txn->compares, &answer->succeeded, error))
        return NULL;
    const GPtrArray *ops = txn->branches[answer->succeeded ? STORE_THEN : STORE_ELSE];
    file->place = 0;
    if (!check_leases(file, ops, error) ||
        !(ops->len > 1 ? run_ops_saved : run_ops)(file, ops, answer, error))
        return NULL;
    answer->revision = file->revision;
    return g_steal_pointer(&answer);
}

/* --- leases */

bool sql_file_grant(SqlFile *file, int64_t lease, int64_t ttl_s, GError **error) {
    sqlite3_stmt *statement = prepare(file, SQL_ADD_LEASE, error);
    if (statement == NULL)
        return false;
    bind_number(statement, 1, lease);
    bind_number(statement, 2, ttl_s);
    bind_number(statement, 3, ttl_s * G_USEC_PER_SEC);
    return run(file, statement, error);
}

bool sql_file_note_lease(SqlFile *file, int64_t lease, int64_t left_us, GError **error) {
    sqlite3_stmt *statement = prepare(file, SQL_NOTE_LEASE, error);
    if (statement == NULL)
        return false;
    bind_number(statement, 1, lease);
    bind_number(statement, 2, left_us);
    return run(file, statement, error);
}

static GPtrArray *keys_of_lease(SqlFile *file, int64_t lease, GError **error) {
    sqlite3_stmt *statement = prepare(file, SQL_KEYS_OF_LEASE, error);
    if (statement == NULL)
        return NULL;
    g_autoptr(GPtrArray) entries =
        g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    bind_number(statement, 1, lease);
    int more;
    while ((more = step(file, statement, error)) == 1) {
        g_autoptr(GBytes) key = column_bytes(statement, 0);
        g_ptr_array_add(entries, entry_new(key, NULL));
    }
    return more == 0 ? g_steal_pointer(&entries) : NULL;
}

bool sql_file_revoke(SqlFile *file, int64_t lease, GError **error) {
    g_autoptr(GPtrArray) entries = keys_of_lease(file, lease, error);
    file->place = 0;
    if (entries == NULL || !delete_keys(file, entries, error))
        return false;
    sqlite3_stmt *statement = prepare(file, SQL_DROP_LEASE, error);
    if (statement == NULL)
        return false;
    bind_number(statement, 1, lease);
    return run(file, statement, error);
}

bool sql_file_visit_leases(SqlFile *file, LeaseVisitor visitor, void *data, GError **error) {
    sqlite3_stmt *statement = prepare(file, SQL_ALL_LEASES, error);
    int more = statement != NULL ? 1 : -1;
    while (more == 1 && (more = step(file, statement, error)) == 1) {
        LeaseView view = { sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1),
                           sqlite3_column_int64(statement, 2) };
        visitor(data, &view);
    }
    return more == 0;
}

/* --- the past */

GPtrArray *sql_file_history(SqlFile *file, GBytes *key, GBytes *end, int64_t from,
                            int64_t *ret_revision, GError **error) {
    *ret_revision = file->compacted;
    if (from <= file->compacted) {
        g_propagate_error(error, error_compacted(from, file->compacted));
        return NULL;
    }
    sqlite3_stmt *statement = prepare(file, SQL_HISTORY, error);
    if (statement == NULL)
        return NULL;
    g_autoptr(GPtrArray) events = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    g_autoptr(GBytes) bound = bound_of(key, end);
    bind_bytes(statement, 1, key);
    bind_bytes(statement, 2, bound);
    bind_number(statement, 3, first_id(from));
    size_t size = 0;
    int64_t last = 0;
    int more;
    while ((more = step(file, statement, error)) == 1) {
        StoreEntry *entry = entry_of_row(statement);
        bool full = events->len >= PIECE_EVENTS || size >= PIECE_BYTES;
        if (full && entry->mod_revision != last) {
            store_entry_unref(entry);
            (void)sqlite3_reset(statement);
            break;
        }
        last = entry->mod_revision;
        size += g_bytes_get_size(entry->key) + (entry->value ? g_bytes_get_size(entry->value) : 0);
        g_ptr_array_add(events, entry);
    }
    *ret_revision = more == 1 ? last : file->revision;
    return more >= 0 ? g_steal_pointer(&events) : NULL;
}

StoreAnswer *sql_file_compact(SqlFile *file, int64_t revision, GError **error) {
    if (revision > file->revision)
        g_propagate_error(error, error_future(revision, file->revision));
    else if (revision <= file->compacted)
        g_propagate_error(error, error_compacted(revision, file->compacted));
    else {
        int64_t before = file->compacted;
        file->compacted = revision;
        if (write_meta(file, error)) {
            file->sweeping = true;
            file->swept = 0;
            return answer_new(file->revision);
        }
        file->compacted = before;
    }
    return NULL;
}

/* The id up to which the next piece goes; 0: there is nothing to do. */
static int64_t sweep_end(SqlFile *file) {
    sqlite3_stmt *statement = prepare(file, SQL_SWEEP_UP_TO, NULL);
    if (statement == NULL)
        return 0;
    bind_number(statement, 1, file->swept);
    bind_number(statement, 2, first_id(file->compacted + 1));
    bind_number(statement, 3, SWEEP_ROWS);
    int64_t end = step(file, statement, NULL) == 1 ? sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_reset(statement);
    return end;
}

/* Upwards: a change is removed while the later one that makes it useless is still there. */
static bool sweep_piece(SqlFile *file) {
    int64_t end = sweep_end(file);
    sqlite3_stmt *statement = end > 0 ? prepare(file, SQL_SWEEP, NULL) : NULL;
    if (statement == NULL)
        return false;
    bind_number(statement, 1, file->swept);
    bind_number(statement, 2, end);
    bind_number(statement, 3, first_id(file->compacted + 1));
    file->swept = end;
    return run(file, statement, NULL);
}

bool sql_file_sweep(SqlFile *file) {
    if (!file->sweeping)
        return false;
    /* What fails is left for the next compaction: nobody reads it. */
    file->sweeping = set_lazy(file, true) && sql_file_begin(file, NULL) && sweep_piece(file);
    if (sqlite3_get_autocommit(file->db) == 0 && !sql_file_commit(file, true, NULL))
        file->sweeping = false;
    if (!set_lazy(file, false))
        file->sweeping = false;
    return file->sweeping;
}

/* --- opening */

static bool execute(SqlFile *file, const char *sql, GError **error) {
    if (sqlite3_exec(file->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    set_sql_error(error, file, "open");
    return false;
}

static bool ask(SqlFile *file, const char *sql, char **ret_text, GError **error) {
    sqlite3_stmt *statement = NULL;
    bool good = sqlite3_prepare_v2(file->db, sql, -1, &statement, NULL) == SQLITE_OK &&
                sqlite3_step(statement) == SQLITE_ROW;
    if (good)
        *ret_text = g_strdup((const char *)sqlite3_column_text(statement, 0));
    else
        set_sql_error(error, file, "open");
    (void)sqlite3_finalize(statement);
    return good;
}

static bool ask_number(SqlFile *file, const char *sql, int64_t *ret_number, GError **error) {
    g_autofree char *text = NULL;
    if (!ask(file, sql, &text, error))
        return false;
    *ret_number = text != NULL ? g_ascii_strtoll(text, NULL, 10) : 0;
    return true;
}

static bool build(SqlFile *file, GError **error) {
    g_autofree char *sql = g_strdup_printf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d; "
                                           "PRAGMA user_version = %d; COMMIT",
                                           schema, APPLICATION_ID, FORMAT);
    return execute(file, sql, error);
}

static bool check_identity(SqlFile *file, GError **error) {
    int64_t tables, application, format;
    if (!ask_number(file, "SELECT count(*) FROM sqlite_master", &tables, error) ||
        !ask_number(file, "PRAGMA application_id", &application, error) ||
        !ask_number(file, "PRAGMA user_version", &format, error))
        return false;
    if (file->write && tables == 0 && application == 0)
        return build(file, error);
    if (application == APPLICATION_ID && format == FORMAT)
        return true;
    if (application == APPLICATION_ID)
        g_set_error(error, STORE_ERROR, STORE_ERROR_FAILED,
                    "open '%s': it was written by a newer stead (format %" G_GINT64_FORMAT
                    ", this one knows %d); use that one",
                    file->path, format, FORMAT);
    else
        g_set_error(error, STORE_ERROR, STORE_ERROR_DAMAGED,
                    "open '%s': it is not a store of stead; name another file", file->path);
    return false;
}

static bool set_broken(GError **error, SqlFile *file, const char *finding) {
    g_set_error(error, STORE_ERROR, STORE_ERROR_DAMAGED,
                "open '%s': %s; put a copy back, or save what can be read by sqlite3 and .recover",
                file->path, finding);
    return false;
}

static bool check_content(SqlFile *file, GError **error) {
    struct stat info;
    g_autofree char *finding = NULL;
    if (stat(file->path, &info) == 0 && info.st_size <= CHECKED_SIZE) {
        if (!ask(file, "PRAGMA quick_check(1)", &finding, error))
            return false;
        if (g_strcmp0(finding, "ok") != 0)
            return set_broken(error, file, finding);
    }
    int64_t last;
    if (!read_meta(file, error) || !ask_number(file, "SELECT max(id) FROM history", &last, error))
        return false;
    return last >> PLACE_BITS <= file->revision ||
           set_broken(error, file, "it has changes after its last revision");
}

/* By us, because SQLite would let everybody read it. */
static bool make_file(const char *path, GError **error) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_FAILED, "open '%s': %s", path,
                    g_strerror(errno));
        return false;
    }
    close(fd);
    return true;
}

static bool prepare_connection(SqlFile *file, GError **error) {
    (void)sqlite3_extended_result_codes(file->db, 1);
    (void)sqlite3_busy_timeout(file->db, BUSY_TIMEOUT_MS);
    (void)sqlite3_db_config(file->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(file->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (!execute(file, "PRAGMA cache_size = -8192; PRAGMA cell_size_check = ON", error))
        return false;
    return !file->write ||
           execute(file,
                   "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                   "PRAGMA wal_autocheckpoint = 4000; PRAGMA journal_size_limit = 67108864",
                   error);
}

SqlFile *sql_file_open(const char *path, bool write, GError **error) {
    if (write && !make_file(path, error))
        return NULL;
    g_autoptr(SqlFile) file = g_new0(SqlFile, 1);
    file->path = g_strdup(path);
    file->write = write;
    file->sweeping = write; /* what was left over when it ended */
    file->events = g_ptr_array_new_with_free_func((GDestroyNotify)store_entry_unref);
    int flags = (write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &file->db, flags, NULL) != SQLITE_OK) {
        set_sql_error(error, file, "open");
        return NULL;
    }
    if (!prepare_connection(file, error) || !check_identity(file, error) ||
        (write && !check_content(file, error)))
        return NULL;
    return g_steal_pointer(&file);
}

void sql_file_close(SqlFile *file) {
    if (file == NULL)
        return;
    for (int i = 0; i < N_SQL; i++)
        (void)sqlite3_finalize(file->statements[i]);
    (void)sqlite3_close(file->db);
    g_ptr_array_unref(file->events);
    g_free(file->path);
    g_free(file);
}
