/* Opening and closing, and what reading and writing share. */
#include "ledger/ledger.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "ledger/ledger-private.h"
#include "ledger/lock.h"
#include "ledger/record.h"

/* --- failures --- */

void ledger_on_error(Ledger *ledger, void (*report)(void *data, const GError *error), void *data) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->report_lock);
    ledger->report = report;
    ledger->report_data = data;
}

void ledger_report(Ledger *ledger, const GError *error) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->report_lock);
    if (ledger->report)
        ledger->report(ledger->report_data, error);
}

void ledger_break(Ledger *ledger, GError *error) {
    g_mutex_lock(&ledger->lock);
    bool first = !ledger->broken;
    if (first)
        ledger->broken = g_error_copy(error);
    g_mutex_unlock(&ledger->lock);
    if (first)
        ledger_report(ledger, error);
    g_error_free(error);
}

/* --- reading --- */

Database *ledger_reader(Ledger *ledger, bool shared, GError **error) {
    if (ledger->mode == LEDGER_READ)
        return ledger->reader;
    bool others_write = ledger->live || shared;
    if (ledger->reader_untouched && others_write)
        g_clear_pointer(&ledger->reader, database_close);
    if (!ledger->reader) {
        bool untouched = !others_write && !database_has_wal(ledger->path);
        ledger->reader =
            database_open(ledger->path, untouched ? DATABASE_UNTOUCHED : DATABASE_READ, error);
        ledger->reader_untouched = untouched;
    }
    return ledger->reader;
}

GBytes *ledger_read_body(Ledger *ledger, Sql sql, int64_t id, GError **error) {
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->reader_lock);
    g_autoptr(GError) problem = NULL;
    Database *database = ledger_reader(ledger, false, &problem);
    if (database)
        return database_get(database, sql, id, error);
    if (problem)
        g_propagate_error(error, g_steal_pointer(&problem));
    else
        set_damaged_error(error, ledger->path, "it has vanished");
    return NULL;
}

/* --- opening --- */

static bool load_resource(Ledger *ledger, sqlite3_stmt *row, GError **error) {
    const char *kind = (const char *)sqlite3_column_text(row, 1);
    const char *name = (const char *)sqlite3_column_text(row, 2);
    unsigned before = g_hash_table_size(ledger->slots);
    Slot *slot = kind && name ? slot_add(ledger, kind, name, sqlite3_column_int64(row, 0)) : NULL;
    if (g_hash_table_size(ledger->slots) == before) {
        set_damaged_error(error, ledger->path, "its index names a resource twice or not at all");
        return false;
    }
    slot->entry_hash = (uint64_t)sqlite3_column_int64(row, 3);
    slot->resource_hash = (uint64_t)sqlite3_column_int64(row, 4);
    slot->flags =
        (unsigned)sqlite3_column_int64(row, 5) & (ENTRY_HAS_PREIMAGE | ENTRY_NAMES_CONTENT);
    slot->status_hash = (uint64_t)sqlite3_column_int64(row, 6);
    slot->retries = sqlite3_column_int(row, 7);
    ledger->n_entries += slot->entry_hash != 0;
    return true;
}

static bool load_edge(Ledger *ledger, sqlite3_stmt *row, GError **error) {
    const char *edge = (const char *)sqlite3_column_text(row, 0);
    if (edge)
        (void)g_hash_table_add(ledger->pending, g_strdup(edge));
    return true;
}

static bool load_rows(Ledger *ledger, Sql sql,
                      bool (*load)(Ledger *ledger, sqlite3_stmt *row, GError **error),
                      GError **error) {
    sqlite3_stmt *statement = database_statement(ledger->reader, sql, error);
    if (!statement)
        return false;
    int got;
    while ((got = database_step(ledger->reader, statement, error)) > 0)
        if (!load(ledger, statement, error))
            return false;
    return got == 0;
}

ino_t ledger_inode(const Ledger *ledger) {
    struct stat info;
    return stat(ledger->path, &info) == 0 ? info.st_ino : 0;
}

static bool load_database(Ledger *ledger, GError **error) {
    g_autoptr(GError) problem = NULL;
    ledger->inode = ledger_inode(ledger);
    if (ledger->mode == LEDGER_READ)
        ledger->reader = database_open(ledger->path, DATABASE_SNAPSHOT, &problem);
    else
        (void)ledger_reader(ledger, false, &problem);
    if (problem) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    if (ledger->reader)
        ledger->configuration = database_get_meta(ledger->reader, META_CONFIGURATION);
    return !ledger->reader || (load_rows(ledger, SQL_ALL_RESOURCES, load_resource, error) &&
                               load_rows(ledger, SQL_ALL_PENDING, load_edge, error));
}

static void step_free(LedgerStep *step) {
    g_free(step->kind);
    g_free(step->name);
    value_unref(step->preimage);
    g_free(step);
}

static void add_interrupted(void *data, const char *kind, const char *name, const Value *preimage) {
    LedgerStep *step = g_new(LedgerStep, 1);
    *step = (LedgerStep){ g_strdup(kind), g_strdup(name), value_ref(preimage) };
    g_ptr_array_add(data, step);
}

static bool load_intents(Ledger *ledger, GError **error) {
    g_autofree char *path = g_build_filename(ledger->dir, "intent.log", NULL);
    ledger->intents =
        intent_log_open(path, INTENT_STRICT, ledger->mode == LEDGER_READ ? NULL : error);
    /* Read while its writer cuts it, it can look damaged: that is over at once. */
    if (!ledger->intents && ledger->mode == LEDGER_READ)
        ledger->intents = intent_log_open(path, INTENT_STRICT, error);
    if (!ledger->intents)
        return false;
    intent_log_visit(ledger->intents, add_interrupted, ledger->interrupted);
    intent_log_forget_preimages(ledger->intents);
    return true;
}

/* With its parents; others may be making the same ones. False with errno. */
static bool make_path(const char *dir, mode_t mode) {
    if (mkdir(dir, mode) == 0 || errno == EEXIST)
        return true;
    if (errno != ENOENT)
        return false;
    g_autofree char *parent = g_path_get_dirname(dir);
    return make_path(parent, 0755) && (mkdir(dir, mode) == 0 || errno == EEXIST);
}

static bool make_directory(const char *dir, GError **error) {
    return make_path(dir, 0700) ||
           set_io_error(error, errno, "create the state directory '%s'", dir);
}

static bool take_directory(Ledger *ledger, const char *command, GError **error) {
    if (!make_directory(ledger->dir, error))
        return false;
    bool unfinished;
    ledger->lock_fd = lock_take(ledger->dir, command, &unfinished, error);
    if (ledger->lock_fd < 0)
        return false;
    if (unfinished) /* it was killed, maybe before it could sweep */
        g_atomic_int_set(&ledger->may_sweep, true);
    contents_clean(ledger->dir);
    return true;
}

static Ledger *ledger_new(const char *dir, LedgerMode mode) {
    Ledger *ledger = g_new0(Ledger, 1);
    ledger->dir = g_canonicalize_filename(dir, NULL);
    ledger->path = g_build_filename(ledger->dir, "ledger.db", NULL);
    ledger->mode = mode;
    ledger->lock_fd = -1;
    ledger->interrupted = g_ptr_array_new_with_free_func((GDestroyNotify)step_free);
    ledger->slots = g_hash_table_new_full(slot_hash, slot_equal, (GDestroyNotify)slot_free, NULL);
    ledger->pending = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    work_init(&ledger->work);
    g_mutex_init(&ledger->report_lock);
    g_mutex_init(&ledger->lock);
    g_mutex_init(&ledger->reader_lock);
    g_cond_init(&ledger->wake);
    g_cond_init(&ledger->done);
    return ledger;
}

static void ledger_free(Ledger *ledger) {
    database_close(ledger->reader);
    intent_log_free(ledger->intents);
    work_clear(&ledger->work);
    g_hash_table_unref(ledger->pending);
    g_hash_table_unref(ledger->slots);
    g_ptr_array_unref(ledger->interrupted);
    g_clear_error(&ledger->failure);
    g_clear_error(&ledger->broken);
    g_mutex_clear(&ledger->report_lock);
    g_mutex_clear(&ledger->lock);
    g_mutex_clear(&ledger->reader_lock);
    g_cond_clear(&ledger->wake);
    g_cond_clear(&ledger->done);
    if (ledger->lock_fd >= 0)
        close(ledger->lock_fd); /* last: gives the directory to the next */
    g_free(ledger->configuration);
    g_free(ledger->path);
    g_free(ledger->dir);
    g_free(ledger);
}

Ledger *ledger_open(const char *dir, LedgerMode mode, const char *command, GError **error) {
    Ledger *ledger = ledger_new(dir, mode);
    if ((mode == LEDGER_READ || take_directory(ledger, command, error)) &&
        load_intents(ledger, error) && load_database(ledger, error))
        return ledger;
    ledger_free(ledger);
    return NULL;
}

bool ledger_exists(const char *dir) {
    g_autofree char *path = g_build_filename(dir, "ledger.db", NULL);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

Ledger *ledger_open_database(const char *dir, GError **error) {
    Ledger *ledger = ledger_new(dir, LEDGER_READ);
    if (load_database(ledger, error))
        return ledger;
    ledger_free(ledger);
    return NULL;
}

/* What a killed process left in the write-ahead file and no work of ours has folded in: so that
 * the next open is a quick one again. */
static void fold_wal(const Ledger *ledger) {
    if (database_has_wal(ledger->path))
        database_close(database_open(ledger->path, DATABASE_WRITE, NULL));
}

void ledger_close(Ledger *ledger) {
    if (!ledger)
        return;
    if (ledger->mode == LEDGER_WRITE) {
        bool clean = ledger_flush(ledger, NULL); /* failures were reported */
        if (clean && g_atomic_int_get(&ledger->may_sweep))
            contents_sweep(ledger);
        g_clear_pointer(&ledger->reader, database_close);
        writer_stop(ledger);
        if (clean) {
            fold_wal(ledger);
            lock_finish(ledger->lock_fd);
        }
    }
    ledger_free(ledger);
}
