/* The drift journal. */
#include "base/error.h"
#include "base/json.h"
#include "ledger/ledger-private.h"

/* What is kept: the newest rows, but nothing old beyond a floor. The floor is for clocks that once
 * jumped ahead: they must not empty the journal. */
#define JOURNAL_KEEP_ROWS   100000
#define JOURNAL_KEEP_TIME   (INT64_C(90) * 24 * 60 * 60 * G_USEC_PER_SEC)
#define JOURNAL_KEEP_ALWAYS 10000

void journal_entry_free(JournalEntry *entry) {
    if (!entry)
        return;
    g_free(entry->kind);
    g_free(entry->name);
    g_free(entry->action);
    g_free(entry->who);
    g_free(entry->error);
    value_unref(entry->changes);
    g_free(entry);
}

bool journal_write(Database *database, const JournalEntry *entry, GError **error) {
    sqlite3_stmt *statement = database_statement(database, SQL_PUT_JOURNAL, error);
    if (!statement)
        return false;
    g_autofree char *changes = entry->changes ? json_print(entry->changes, JSON_COMPACT) : NULL;
    (void)sqlite3_bind_int64(statement, 1, entry->time);
    bind_text(statement, 2, entry->kind);
    bind_text(statement, 3, entry->name);
    bind_text(statement, 4, entry->action);
    (void)sqlite3_bind_int(statement, 5, entry->corrective);
    (void)sqlite3_bind_int(statement, 6, entry->reported);
    (void)sqlite3_bind_int64(statement, 7, entry->latency);
    bind_text(statement, 8, entry->who);
    bind_text(statement, 9, entry->error);
    bind_text(statement, 10, changes);
    return database_step(database, statement, error) >= 0;
}

bool journal_prune(Database *database, int64_t now, GError **error) {
    sqlite3_stmt *statement = database_statement(database, SQL_PRUNE_JOURNAL, error);
    if (!statement)
        return false;
    (void)sqlite3_bind_int64(statement, 1, JOURNAL_KEEP_ROWS);
    (void)sqlite3_bind_int64(statement, 2, now - JOURNAL_KEEP_TIME);
    (void)sqlite3_bind_int64(statement, 3, JOURNAL_KEEP_ALWAYS);
    return database_step(database, statement, error) >= 0;
}

static char *copy_column(sqlite3_stmt *statement, int column) {
    return g_strdup((const char *)sqlite3_column_text(statement, column));
}

JournalEntry *journal_read(sqlite3_stmt *statement, const char *path, GError **error) {
    g_autoptr(JournalEntry) entry = g_new0(JournalEntry, 1);
    entry->time = sqlite3_column_int64(statement, 0);
    entry->kind = copy_column(statement, 1);
    entry->name = copy_column(statement, 2);
    entry->action = copy_column(statement, 3);
    entry->corrective = sqlite3_column_int(statement, 4) != 0;
    entry->reported = sqlite3_column_int(statement, 5) != 0;
    entry->latency = sqlite3_column_int64(statement, 6);
    entry->who = copy_column(statement, 7);
    entry->error = copy_column(statement, 8);
    const char *changes = (const char *)sqlite3_column_text(statement, 9);
    if (changes)
        entry->changes =
            json_parse(changes, (size_t)sqlite3_column_bytes(statement, 9), path, NULL);
    if (entry->kind && entry->name && entry->action && (!changes || entry->changes))
        return g_steal_pointer(&entry);
    set_damaged_error(error, path, "an entry of the journal is not what was written");
    return NULL;
}

static sqlite3_stmt *bind_filter(Database *database, const JournalFilter *filter, GError **error) {
    sqlite3_stmt *statement = database_statement(database, SQL_GET_JOURNAL, error);
    if (!statement)
        return NULL;
    (void)sqlite3_bind_int64(statement, 1, filter->since != 0 ? filter->since : INT64_MIN);
    (void)sqlite3_bind_int64(statement, 2, filter->until != 0 ? filter->until : INT64_MAX);
    bind_text(statement, 3, filter->kind);
    bind_text(statement, 4, filter->name);
    (void)sqlite3_bind_int(statement, 5, filter->only_corrective);
    (void)sqlite3_bind_int64(statement, 6, filter->limit != 0 ? (int64_t)filter->limit : -1);
    return statement;
}

bool ledger_read_journal(Ledger *ledger, const JournalFilter *filter,
                         void (*visit)(void *data, const JournalEntry *entry), void *data,
                         GError **error) {
    if (ledger->mode == LEDGER_WRITE)
        (void)ledger_flush(ledger, NULL); /* on failure what is there is better than nothing */
    g_autoptr(GError) problem = NULL;
    Database *database = ledger_reader(ledger, true, &problem);
    sqlite3_stmt *statement = database ? bind_filter(database, filter, &problem) : NULL;
    int got = problem ? -1 : 0;
    while (statement && (got = database_step(database, statement, &problem)) > 0) {
        g_autoptr(JournalEntry) entry = journal_read(statement, ledger->path, &problem);
        if (!entry) {
            (void)sqlite3_reset(statement);
            got = -1;
            break;
        }
        visit(data, entry);
    }
    if (got < 0)
        g_propagate_error(error, g_steal_pointer(&problem));
    return got == 0;
}

void ledger_journal(Ledger *ledger, JournalEntry *entry) {
    g_assert(ledger->mode == LEDGER_WRITE && entry->kind && entry->name && entry->action);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    g_ptr_array_add(ledger->work.journal, entry);
    writer_wake(ledger);
}
