/*
 * The thread that writes. Work gathers for a moment, then goes into one transaction; after its
 * commit the steps that it ends are struck off the intent log. Work whose transaction failed is put
 * back behind what came since, so that the latest state wins, and tried again.
 */
#include <string.h>

#include "base/error.h"
#include "ledger/ledger-private.h"
#include "loop/thread.h"

#define GATHER_US             (20 * 1000)        /* from the first work to its transaction */
#define RETRY_US              (10 * 1000 * 1000) /* between attempts while writing fails */
#define BATCH_FULL            512                /* rows that are worth a transaction at once */
#define PRUNE_INTERVAL        256                /* journal rows between prunings */
#define LIMIT_JOURNAL_BACKLOG 20000 /* journal entries held while nothing can be written */

/* A slot as it was when its batch was taken. */
typedef struct {
    Slot *slot;
    uint64_t entry_hash, resource_hash, status_hash;
    int retries;
    unsigned flags; /* with the dirty bits */
    GBytes *entry_text, *status_text;
} SlotWrite;

typedef struct {
    Work work;
    GArray *slots; /* of SlotWrite, for work.slots */
} Batch;

/* --- work --- */

static void intent_end_free(IntentEnd *end) {
    g_free(end->kind);
    g_free(end->name);
    g_free(end);
}

void work_init(Work *work) {
    work->slots = g_ptr_array_new();
    work->pending = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    work->fingerprints = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    work->journal = g_ptr_array_new_with_free_func((GDestroyNotify)journal_entry_free);
    work->ends = g_ptr_array_new_with_free_func((GDestroyNotify)intent_end_free);
    work->contents = g_ptr_array_new_with_free_func(g_free);
    work->configuration = NULL;
    work->must_note = false;
}

void work_clear(Work *work) {
    g_ptr_array_unref(work->slots);
    g_hash_table_unref(work->pending);
    g_hash_table_unref(work->fingerprints);
    g_ptr_array_unref(work->journal);
    g_ptr_array_unref(work->ends);
    g_ptr_array_unref(work->contents);
    g_free(work->configuration);
}

static unsigned work_size(const Work *work) {
    return work->slots->len + g_hash_table_size(work->pending) +
           g_hash_table_size(work->fingerprints) + work->journal->len + work->ends->len +
           work->contents->len + work->must_note;
}

/* Puts what is in from before what is in to. */
static void prepend(GPtrArray **to, GPtrArray **from) {
    GPtrArray *newer = *to;
    *to = *from;
    *from = newer;
    for (unsigned i = 0; i < newer->len; i++)
        g_ptr_array_add(*to, newer->pdata[i]);
    g_ptr_array_set_free_func(newer, NULL);
    g_ptr_array_set_size(newer, 0);
}

/* Moves what to does not know better by now. */
static void merge(GHashTable *to, GHashTable *from) {
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, from);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (g_hash_table_contains(to, key))
            continue;
        g_hash_table_iter_steal(&iter);
        g_hash_table_insert(to, key, value);
    }
}

/* While nothing can be written the journal alone could grow without end: its oldest go. */
static void limit_journal(Ledger *ledger) {
    GPtrArray *journal = ledger->work.journal;
    if (journal->len <= LIMIT_JOURNAL_BACKLOG)
        return;
    ledger->dropped_journal += journal->len - LIMIT_JOURNAL_BACKLOG;
    g_ptr_array_remove_range(journal, 0, journal->len - LIMIT_JOURNAL_BACKLOG);
}

void writer_add_slot(Ledger *ledger, Slot *slot, unsigned flags) {
    slot->flags |= flags;
    if (slot->flags & SLOT_WAITS)
        return;
    slot->flags |= SLOT_WAITS;
    g_ptr_array_add(ledger->work.slots, slot);
    writer_wake(ledger);
}

/* --- batches --- */

static void slot_write_clear(gpointer data) {
    SlotWrite *write = data;
    g_clear_pointer(&write->entry_text, g_bytes_unref);
    g_clear_pointer(&write->status_text, g_bytes_unref);
}

static void batch_free(Batch *batch) {
    work_clear(&batch->work);
    g_array_unref(batch->slots);
    g_free(batch);
}

static bool has_rows(const Batch *batch) {
    return batch->slots->len > 0 || g_hash_table_size(batch->work.pending) > 0 ||
           g_hash_table_size(batch->work.fingerprints) > 0 || batch->work.journal->len > 0 ||
           batch->work.must_note;
}

/* Takes all work. Called with the lock held. */
static Batch *batch_take(Ledger *ledger) {
    Batch *batch = g_new(Batch, 1);
    batch->work = ledger->work;
    work_init(&ledger->work);
    GPtrArray *slots = batch->work.slots;
    batch->slots = g_array_sized_new(FALSE, FALSE, sizeof(SlotWrite), slots->len);
    g_array_set_clear_func(batch->slots, slot_write_clear);
    for (unsigned i = 0; i < slots->len; i++) {
        Slot *slot = slots->pdata[i];
        SlotWrite write = {
            .slot = slot,
            .entry_hash = slot->entry_hash,
            .resource_hash = slot->resource_hash,
            .status_hash = slot->status_hash,
            .retries = slot->retries,
            .flags = slot->flags,
            .entry_text = slot->entry_text ? g_bytes_ref(slot->entry_text) : NULL,
            .status_text = slot->status_text ? g_bytes_ref(slot->status_text) : NULL,
        };
        slot->flags &= ~(unsigned)(SLOT_ENTRY_DIRTY | SLOT_STATUS_DIRTY | SLOT_WAITS);
        g_array_append_val(batch->slots, write);
    }
    if (!has_rows(batch)) /* it waits for some */
        ledger->work.configuration = g_steal_pointer(&batch->work.configuration);
    return batch;
}

/* Committed: the texts are in the database now. Called with the lock held. */
static void batch_settle(Batch *batch) {
    for (unsigned i = 0; i < batch->slots->len; i++) {
        const SlotWrite *write = &g_array_index(batch->slots, SlotWrite, i);
        Slot *slot = write->slot;
        if (slot->entry_text == write->entry_text)
            g_clear_pointer(&slot->entry_text, g_bytes_unref);
        if (slot->status_text == write->status_text)
            g_clear_pointer(&slot->status_text, g_bytes_unref);
    }
}

/* Not committed: everything waits again. Called with the lock held. */
static void batch_return(Ledger *ledger, Batch *batch) {
    Work *work = &ledger->work;
    for (unsigned i = 0; i < batch->slots->len; i++) {
        const SlotWrite *write = &g_array_index(batch->slots, SlotWrite, i);
        writer_add_slot(ledger, write->slot, write->flags & (SLOT_ENTRY_DIRTY | SLOT_STATUS_DIRTY));
    }
    merge(work->pending, batch->work.pending);
    merge(work->fingerprints, batch->work.fingerprints);
    prepend(&work->journal, &batch->work.journal);
    prepend(&work->ends, &batch->work.ends);
    prepend(&work->contents, &batch->work.contents);
    if (!work->configuration)
        work->configuration = g_steal_pointer(&batch->work.configuration);
    work->must_note |= batch->work.must_note;
    limit_journal(ledger);
}

/* --- one transaction --- */

static bool run_with_id(Database *database, Sql sql, int64_t id, GError **error) {
    sqlite3_stmt *statement = database_statement(database, sql, error);
    if (!statement)
        return false;
    (void)sqlite3_bind_int64(statement, 1, id);
    return database_step(database, statement, error) >= 0;
}

static bool put_body(Database *database, Sql put, Sql drop, int64_t id, GBytes *text,
                     GError **error) {
    if (!text)
        return run_with_id(database, drop, id, error);
    sqlite3_stmt *statement = database_statement(database, put, error);
    if (!statement)
        return false;
    (void)sqlite3_bind_int64(statement, 1, id);
    bind_bytes(statement, 2, text);
    return database_step(database, statement, error) >= 0;
}

static bool put_row(Database *database, const SlotWrite *write, GError **error) {
    const Slot *slot = write->slot;
    if (write->entry_hash == 0 && write->status_hash == 0 && write->retries == 0)
        return run_with_id(database, SQL_DROP_RESOURCE, slot->id, error);
    sqlite3_stmt *statement = database_statement(database, SQL_PUT_RESOURCE, error);
    if (!statement)
        return false;
    (void)sqlite3_bind_int64(statement, 1, slot->id);
    bind_text(statement, 2, slot->kind);
    bind_text(statement, 3, slot->name);
    (void)sqlite3_bind_int64(statement, 4, (int64_t)write->entry_hash);
    (void)sqlite3_bind_int64(statement, 5, (int64_t)write->resource_hash);
    (void)sqlite3_bind_int64(statement, 6,
                             write->flags & (ENTRY_HAS_PREIMAGE | ENTRY_NAMES_CONTENT));
    (void)sqlite3_bind_int64(statement, 7, (int64_t)write->status_hash);
    (void)sqlite3_bind_int(statement, 8, write->retries);
    return database_step(database, statement, error) >= 0;
}

static bool write_slot(Database *database, const SlotWrite *write, GError **error) {
    int64_t id = write->slot->id;
    if (write->flags & SLOT_ENTRY_DIRTY &&
        !put_body(database, SQL_PUT_ENTRY, SQL_DROP_ENTRY, id, write->entry_text, error))
        return false;
    if (write->flags & SLOT_STATUS_DIRTY &&
        !put_body(database, SQL_PUT_STATUS, SQL_DROP_STATUS, id, write->status_text, error))
        return false;
    return put_row(database, write, error);
}

static bool write_pending(Database *database, GHashTable *pending, GError **error) {
    GHashTableIter iter;
    gpointer edge, set;
    g_hash_table_iter_init(&iter, pending);
    while (g_hash_table_iter_next(&iter, &edge, &set)) {
        Sql sql = GPOINTER_TO_INT(set) ? SQL_PUT_PENDING : SQL_DROP_PENDING;
        sqlite3_stmt *statement = database_statement(database, sql, error);
        if (!statement)
            return false;
        bind_text(statement, 1, edge);
        if (database_step(database, statement, error) < 0)
            return false;
    }
    return true;
}

static bool write_fingerprints(Database *database, GHashTable *fingerprints, GError **error) {
    GHashTableIter iter;
    gpointer path, fingerprint;
    g_hash_table_iter_init(&iter, fingerprints);
    while (g_hash_table_iter_next(&iter, &path, &fingerprint))
        if (!fingerprint_write(database, path, fingerprint, error))
            return false;
    return true;
}

static bool write_journal(Ledger *ledger, const GPtrArray *journal, GError **error) {
    const JournalEntry *last = NULL;
    for (unsigned i = 0; i < journal->len; i++) {
        last = journal->pdata[i];
        if (!journal_write(ledger->database, last, error))
            return false;
    }
    if (!last || (ledger->journal_since_prune += journal->len) < PRUNE_INTERVAL)
        return true;
    ledger->journal_since_prune = 0;
    return journal_prune(ledger->database, last->time, error);
}

static bool write_configuration(Database *database, const char *path, GError **error) {
    sqlite3_stmt *statement = path ? database_statement(database, SQL_PUT_META, error) : NULL;
    if (!statement)
        return !path;
    bind_text(statement, 1, META_CONFIGURATION);
    bind_text(statement, 2, path);
    return database_step(database, statement, error) >= 0;
}

static bool write_rows(Ledger *ledger, const Batch *batch, GError **error) {
    for (unsigned i = 0; i < batch->slots->len; i++)
        if (!write_slot(ledger->database, &g_array_index(batch->slots, SlotWrite, i), error))
            return false;
    return write_pending(ledger->database, batch->work.pending, error) &&
           write_fingerprints(ledger->database, batch->work.fingerprints, error) &&
           write_journal(ledger, batch->work.journal, error) &&
           write_configuration(ledger->database, batch->work.configuration, error);
}

/* What is in memory fits one file only: neither its absence nor another may be written to. */
static bool check_place(const Ledger *ledger, GError **error) {
    if (ledger->inode == 0 || ledger->inode == ledger_inode(ledger))
        return true;
    g_set_error(error, STEAD_ERROR, STEAD_ERROR_IO,
                "write '%s': it was moved or deleted while in use; put it back, or restart stead",
                ledger->path);
    return false;
}

/* From the opening on the opener's thread must not read the database untouched. */
static bool open_database(Ledger *ledger, GError **error) {
    if (!check_place(ledger, error))
        return false;
    if (ledger->database)
        return true;
    g_mutex_lock(&ledger->reader_lock);
    ledger->live = true;
    g_mutex_unlock(&ledger->reader_lock);
    ledger->database = database_open(ledger->path, DATABASE_WRITE, error);
    if (ledger->database && ledger->inode == 0)
        ledger->inode = ledger_inode(ledger);
    return ledger->database != NULL;
}

static bool commit(Ledger *ledger, const Batch *batch, GError **error) {
    contents_sync(ledger, batch->work.contents);
    if (!has_rows(batch))
        return true;
    if (!open_database(ledger, error))
        return false;
    if (database_run(ledger->database, SQL_BEGIN, error) && write_rows(ledger, batch, error) &&
        database_run(ledger->database, SQL_COMMIT, error))
        return true;
    (void)database_run(ledger->database, SQL_ROLLBACK, NULL); /* may have happened already */
    return false;
}

/* The steps whose rows are committed. Failure loses nothing: they are looked at once more. */
static bool strike_off(Ledger *ledger, const GPtrArray *ends, GError **error) {
    g_autofree IntentEnd *flat = g_new(IntentEnd, ends->len);
    for (unsigned i = 0; i < ends->len; i++)
        flat[i] = *(const IntentEnd *)ends->pdata[i];
    return intent_log_end(ledger->intents, flat, ends->len, error);
}

/* --- the thread --- */

static bool is_urgent(const Ledger *ledger) {
    return ledger->stopping || ledger->flush_asked > ledger->flush_done ||
           (!ledger->failure && work_size(&ledger->work) >= BATCH_FULL);
}

/* Until deadline, or for ever when that is 0. False when it came to that. */
static bool sleep_until(Ledger *ledger, WriterSleep sleep, int64_t deadline) {
    bool woken = true;
    ledger->sleep = sleep;
    if (deadline == 0)
        g_cond_wait(&ledger->wake, &ledger->lock);
    else
        woken = g_cond_wait_until(&ledger->wake, &ledger->lock, deadline);
    ledger->sleep = WRITER_AWAKE;
    return woken;
}

/* Until there is work that has gathered; false when it is time to end. */
static bool wait_for_work(Ledger *ledger) {
    while (work_size(&ledger->work) == 0) {
        ledger->flush_done = ledger->flush_asked;
        g_cond_broadcast(&ledger->done);
        if (ledger->stopping)
            return false;
        (void)sleep_until(ledger, WRITER_IDLE, 0);
    }
    int64_t deadline = g_get_monotonic_time() + (ledger->failure ? RETRY_US : GATHER_US);
    while (ledger->broken && !is_urgent(ledger))
        (void)sleep_until(ledger, WRITER_GATHERS, 0);
    while (!is_urgent(ledger) && sleep_until(ledger, WRITER_GATHERS, deadline))
        continue;
    return true;
}

/* Tells about the beginning of failures, and of what they cost when they are over. Takes error,
 * which may be NULL. Called with the lock held, lets go of it for the report. */
static void note_result(Ledger *ledger, GError *error) {
    bool begins = error && !ledger->failure;
    if (!error && ledger->dropped_journal > 0) {
        error = g_error_new(STEAD_ERROR, STEAD_ERROR_IO,
                            "write '%s': %u entries of the drift journal were given up while it "
                            "could not be written",
                            ledger->path, ledger->dropped_journal);
        ledger->dropped_journal = 0;
        begins = true;
        g_clear_error(&ledger->failure);
    } else if (!error || begins) {
        g_clear_error(&ledger->failure);
        ledger->failure = error ? g_error_copy(error) : NULL;
    }
    if (!ledger->broken && g_error_matches(error, STEAD_ERROR, STEAD_ERROR_DAMAGED))
        ledger->broken = g_error_copy(error);
    g_mutex_unlock(&ledger->lock);
    if (begins)
        ledger_report(ledger, error);
    g_clear_error(&error);
    g_mutex_lock(&ledger->lock);
}

/* Called with the lock held, lets go of it to write. False when the work is still there. */
static bool write_batch(Ledger *ledger) {
    uint64_t asked = ledger->flush_asked;
    Batch *batch = batch_take(ledger);
    GError *error = ledger->broken ? g_error_copy(ledger->broken) : NULL;
    g_mutex_unlock(&ledger->lock);
    bool committed = !error && commit(ledger, batch, &error);
    if (committed)
        (void)strike_off(ledger, batch->work.ends, &error);
    else
        g_clear_pointer(&ledger->database, database_close); /* opened anew by the next attempt */
    g_mutex_lock(&ledger->lock);
    if (committed)
        batch_settle(batch);
    else
        batch_return(ledger, batch);
    batch_free(batch);
    note_result(ledger, error);
    ledger->flush_done = asked;
    g_cond_broadcast(&ledger->done);
    return committed;
}

static gpointer writer_main(gpointer data) {
    Ledger *ledger = data;
    g_mutex_lock(&ledger->lock);
    while (wait_for_work(ledger)) {
        bool last = ledger->stopping;
        if (!write_batch(ledger) && last)
            break;
    }
    g_mutex_unlock(&ledger->lock);
    return NULL;
}

static GThread *start_writer(Ledger *ledger) {
    g_autoptr(GError) error = NULL;
    GThread *thread = thread_start("ledger", writer_main, ledger, &error);
    if (!thread)
        g_error("start the ledger's thread: %s", error->message);
    return thread;
}

void writer_wake(Ledger *ledger) {
    if (!ledger->writer)
        ledger->writer = start_writer(ledger);
    else if (ledger->sleep == WRITER_IDLE ||
             (ledger->sleep == WRITER_GATHERS && is_urgent(ledger))) {
        /* Once: each signal is a call of the kernel, also when nobody waits any more. */
        ledger->sleep = WRITER_AWAKE;
        g_cond_signal(&ledger->wake);
    }
}

bool ledger_flush(Ledger *ledger, GError **error) {
    fingerprints_collect(ledger);
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&ledger->lock);
    if (work_size(&ledger->work) > 0)
        writer_wake(ledger);
    if (ledger->writer) {
        uint64_t asked = ++ledger->flush_asked;
        g_cond_signal(&ledger->wake);
        while (ledger->flush_done < asked)
            g_cond_wait(&ledger->done, &ledger->lock);
    }
    if (ledger->visits == 0)
        slots_purge(ledger);
    bool fine = !ledger->broken && !ledger->failure;
    if (!fine && error)
        *error = g_error_copy(ledger->broken ? ledger->broken : ledger->failure);
    if (work_size(&ledger->work) == 0)
        g_clear_error(&ledger->failure); /* told, and nothing is left that could fail again */
    return fine;
}

void writer_stop(Ledger *ledger) {
    if (!ledger->writer)
        return;
    g_mutex_lock(&ledger->lock);
    ledger->stopping = true;
    g_cond_signal(&ledger->wake);
    g_mutex_unlock(&ledger->lock);
    g_thread_join(ledger->writer);
    g_clear_pointer(&ledger->database, database_close);
}
