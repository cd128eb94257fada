#include "ledger/salvage.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/error.h"
#include "base/json.h"
#include "ledger/ledger-private.h"
#include "ledger/record.h"

#define MAX_GAP   200000 /* ids looked at behind one that cannot be read, before giving up */
#define MAX_NAMES 10     /* of lost resources that are told */

/* A row of the old index. */
typedef struct {
    char *kind, *name;
    uint64_t entry_hash, status_hash;
    int retries;
    bool found; /* its entry was saved */
} OldRow;

typedef struct {
    Database *from;
    Ledger *to;
    GHashTable *rows; /* id (int64_t *) -> OldRow */
    SalvageCount *count;
} Salvage;

static void old_row_free(OldRow *row) {
    g_free(row->kind);
    g_free(row->name);
    g_free(row);
}

static OldRow *find_row(const Salvage *salvage, int64_t id) {
    return g_hash_table_lookup(salvage->rows, &id);
}

/* Reads a table by its rising ids, around what cannot be read. take returns the row's id. */
static void scan(Salvage *salvage, Sql sql, int64_t (*take)(Salvage *salvage, sqlite3_stmt *row)) {
    sqlite3_stmt *statement = database_statement(salvage->from, sql, NULL);
    int64_t next = 1;
    for (unsigned gap = 0; statement && gap < MAX_GAP; gap++) {
        int got;
        (void)sqlite3_bind_int64(statement, 1, next);
        while ((got = database_step(salvage->from, statement, NULL)) > 0) {
            int64_t id = take(salvage, statement);
            if (id < next || id == INT64_MAX)
                break; /* out of order: damaged, too */
            next = id + 1;
            gap = 0;
        }
        (void)sqlite3_reset(statement);
        if (got == 0)
            return;
        next++;
    }
}

static int64_t take_row(Salvage *salvage, sqlite3_stmt *statement) {
    int64_t id = sqlite3_column_int64(statement, 0);
    const char *kind = (const char *)sqlite3_column_text(statement, 1);
    const char *name = (const char *)sqlite3_column_text(statement, 2);
    if (!kind || !name)
        return id;
    OldRow *row = g_new0(OldRow, 1);
    row->kind = g_strdup(kind);
    row->name = g_strdup(name);
    row->entry_hash = (uint64_t)sqlite3_column_int64(statement, 3);
    row->status_hash = (uint64_t)sqlite3_column_int64(statement, 6);
    row->retries = sqlite3_column_int(statement, 7);
    int64_t *key = g_new(int64_t, 1);
    *key = id;
    (void)g_hash_table_replace(salvage->rows, key, row);
    return id;
}

static GBytes *take_body(sqlite3_stmt *statement) {
    const void *text = sqlite3_column_text(statement, 1);
    return g_bytes_new(text, text ? (size_t)sqlite3_column_bytes(statement, 1) : 0);
}

static bool is_intact(GBytes *text, uint64_t hash) {
    gsize size;
    const char *bytes = g_bytes_get_data(text, &size);
    return text_hash(bytes, size) == hash;
}

/* An entry whose row is lost cannot be checked, but says itself whose it is. */
static int64_t take_entry(Salvage *salvage, sqlite3_stmt *statement) {
    int64_t id = sqlite3_column_int64(statement, 0);
    g_autoptr(GBytes) text = take_body(statement);
    OldRow *row = find_row(salvage, id);
    if (row && !is_intact(text, row->entry_hash))
        return id;
    g_autoptr(LedgerEntry) entry = entry_from_text(text, "", NULL);
    if (!entry)
        return id;
    if (row)
        row->found = true;
    salvage->count->entries++;
    ledger_put(salvage->to, g_steal_pointer(&entry));
    return id;
}

static int64_t take_status(Salvage *salvage, sqlite3_stmt *statement) {
    int64_t id = sqlite3_column_int64(statement, 0);
    g_autoptr(GBytes) text = take_body(statement);
    const OldRow *row = find_row(salvage, id);
    if (!row || !is_intact(text, row->status_hash))
        return id;
    gsize size;
    const char *json = g_bytes_get_data(text, &size);
    g_autoptr(Value) status = json_parse(json, size, "", NULL);
    if (status)
        ledger_set_status(salvage->to, row->kind, row->name, g_steal_pointer(&status));
    return id;
}

static int64_t take_journal(Salvage *salvage, sqlite3_stmt *statement) {
    g_autoptr(JournalEntry) entry = journal_read(statement, "", NULL);
    if (entry) {
        salvage->count->journal++;
        ledger_journal(salvage->to, g_steal_pointer(&entry));
    }
    return sqlite3_column_int64(statement, 10);
}

/* Forwards until damage, then backwards until damage. */
static void take_pending(Salvage *salvage) {
    static const Sql ways[] = { SQL_ALL_PENDING, SQL_SALVAGE_PENDING };
    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
        sqlite3_stmt *statement = database_statement(salvage->from, ways[i], NULL);
        while (statement && database_step(salvage->from, statement, NULL) > 0) {
            const char *edge = (const char *)sqlite3_column_text(statement, 0);
            if (edge)
                salvage->count->pending += pending_restore(salvage->to, edge);
        }
    }
}

static void take_configuration(Salvage *salvage) {
    g_autofree char *path = database_get_meta(salvage->from, META_CONFIGURATION);
    if (path && g_path_is_absolute(path))
        ledger_set_configuration(salvage->to, path);
}

static void finish_rows(Salvage *salvage) {
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, salvage->rows);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const OldRow *row = value;
        if (row->retries > 0)
            ledger_set_retries(salvage->to, row->kind, row->name, row->retries);
        if (row->entry_hash == 0 || row->found)
            continue;
        if (++salvage->count->lost <= MAX_NAMES) {
            g_autofree char *name = g_utf8_make_valid(row->name, -1);
            g_string_append_printf(salvage->count->lost_names, "%s%s '%s'",
                                   salvage->count->lost == 1 ? "" : ", ", row->kind, name);
        }
    }
    if (salvage->count->lost > MAX_NAMES)
        g_string_append_printf(salvage->count->lost_names, " and %u more",
                               salvage->count->lost - MAX_NAMES);
}

/* --- the copy --- */

static bool is_readable(Database *database) {
    return database && database_statement(database, SQL_ALL_RESOURCES, NULL) &&
           database_statement(database, SQL_SALVAGE_ENTRIES, NULL);
}

/* Opens the copy as it is, else without its write-ahead file, else with a new first page. */
static Database *open_copy(const char *path, GError **error) {
    g_autofree char *wal = g_strconcat(path, "-wal", NULL);
    g_autofree char *shm = g_strconcat(path, "-shm", NULL);
    for (int attempt = 0; attempt < 3; attempt++) {
        if (attempt > 0) {
            (void)unlink(wal);
            (void)unlink(shm);
        }
        if (attempt == 2 && !database_mend_header(path, error))
            return NULL;
        g_autoptr(Database) database = database_open(path, DATABASE_DAMAGED, NULL);
        if (is_readable(database))
            return g_steal_pointer(&database);
    }
    return NULL;
}

static bool copy_database(const char *path, const char *copy, GError **error) {
    if (!disk_copy(path, copy, error))
        return false;
    g_autofree char *wal = g_strconcat(path, "-wal", NULL);
    g_autofree char *copy_wal = g_strconcat(copy, "-wal", NULL);
    return access(wal, F_OK) < 0 || disk_copy(wal, copy_wal, error);
}

bool salvage_database(const char *path, const char *scratch, Ledger *to, SalvageCount *ret_count,
                      GError **error) {
    g_autofree char *copy = g_build_filename(scratch, "damaged.db", NULL);
    if (!copy_database(path, copy, error))
        return false;
    g_autoptr(GError) problem = NULL;
    g_autoptr(Database) from = open_copy(copy, &problem);
    if (problem) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    g_autoptr(GHashTable) rows =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, (GDestroyNotify)old_row_free);
    Salvage salvage = { .from = from, .to = to, .rows = rows, .count = ret_count };
    if (from) {
        scan(&salvage, SQL_SALVAGE_RESOURCES, take_row);
        scan(&salvage, SQL_SALVAGE_ENTRIES, take_entry);
        scan(&salvage, SQL_SALVAGE_STATUSES, take_status);
        scan(&salvage, SQL_SALVAGE_JOURNAL, take_journal);
        take_pending(&salvage);
        take_configuration(&salvage);
        finish_rows(&salvage);
    }
    return ledger_flush(to, error);
}
