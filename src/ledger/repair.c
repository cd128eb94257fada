/*
 * What 'stead ledger repair' does. The new files are made in DIR/repair.new and put in place by
 * renames, the database last but one: killed at any instant, the next repair starts over with
 * nothing lost.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/plural.h"
#include "ledger/ledger-private.h"
#include "ledger/lock.h"
#include "ledger/salvage.h"

typedef struct {
    char *dir;
    char *scratch; /* DIR/repair.new */
    char *suffix;  /* ".damaged-TIME" */
    int lock_fd;
    GString *report;
} Repair;

static void repair_clear(Repair *repair) {
    if (repair->lock_fd >= 0)
        close(repair->lock_fd);
    g_free(repair->dir);
    g_free(repair->scratch);
    g_free(repair->suffix);
    g_string_free(repair->report, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Repair, repair_clear)

/* --- is there damage? --- */

static void ignore_entry(void *data, const LedgerEntry *entry) {
}

static void ignore_status(void *data, const char *kind, const char *name, const Value *status) {
}

static void ignore_journal(void *data, const JournalEntry *entry) {
}

/* Reads everything once. */
static bool database_is_whole(const char *dir) {
    g_autofree char *path = g_build_filename(dir, "ledger.db", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Database) database = database_open(path, DATABASE_SNAPSHOT, &error);
    if (error || (database && !database_check(database, NULL)))
        return false;
    g_autoptr(Ledger) ledger = ledger_open_database(dir, NULL);
    if (!ledger)
        return false;
    const JournalFilter all = { 0 };
    ledger_visit(ledger, ignore_entry, NULL);
    ledger_visit_status(ledger, ignore_status, NULL);
    return ledger_read_journal(ledger, &all, ignore_journal, NULL, NULL) &&
           ledger_flush(ledger, NULL);
}

/* --- replacing --- */

static char *path_in(const Repair *repair, const char *name) {
    return g_build_filename(repair->dir, name, NULL);
}

static void remove_scratch(const Repair *repair) {
    g_autoptr(GDir) dir = g_dir_open(repair->scratch, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(repair->scratch, name, NULL);
        (void)unlink(path);
    }
    (void)rmdir(repair->scratch); /* what stays is found by the next step that needs it empty */
}

static bool move(const char *from, const char *to, GError **error) {
    if (rename(from, to) == 0 || errno == ENOENT)
        return true;
    return set_io_error(error, errno, "rename '%s' to '%s'", from, to);
}

/* Gives the damaged file a second name, so that it is in place until another takes that. */
static bool keep_damaged(const Repair *repair, const char *name, GError **error) {
    g_autofree char *path = path_in(repair, name);
    g_autofree char *kept = g_strconcat(path, repair->suffix, NULL);
    if (link(path, kept) == 0) {
        g_string_append_printf(repair->report, "the damaged one is kept as '%s'\n", kept);
        return true;
    }
    return set_io_error(error, errno, "link '%s' to '%s'", path, kept);
}

/* The new file takes the place of the old one, which goes when there is nothing new. */
static bool put_in_place(const Repair *repair, const char *name, GError **error) {
    g_autofree char *from = g_build_filename(repair->scratch, name, NULL);
    g_autofree char *to = path_in(repair, name);
    if (access(from, F_OK) == 0)
        return move(from, to, error);
    if (unlink(to) == 0 || errno == ENOENT)
        return true;
    return set_io_error(error, errno, "remove '%s'", to);
}

/* The write-ahead file belongs to the damaged database. */
static bool move_wal(const Repair *repair, GError **error) {
    g_autofree char *wal = path_in(repair, "ledger.db-wal");
    g_autofree char *shm = path_in(repair, "ledger.db-shm");
    g_autofree char *name = g_strconcat("ledger.db", repair->suffix, "-wal", NULL);
    g_autofree char *kept = path_in(repair, name);
    (void)unlink(shm);
    return move(wal, kept, error);
}

static void report_database(const Repair *repair, const SalvageCount *count) {
    g_string_append_printf(
        repair->report,
        "ledger.db: kept %u %s, %u %s of the drift journal, %u %s; fingerprints are "
        "taken anew by the next run\n",
        count->entries, plural(count->entries, "resource", "resources"), count->journal,
        plural(count->journal, "entry", "entries"), count->pending,
        plural(count->pending, "notification", "notifications"));
    if (count->lost > 0)
        g_string_append_printf(
            repair->report, "lost %u %s never managed now: %s\n", count->lost,
            plural(count->lost, "resource, which counts as", "resources, which count as"),
            count->lost_names->str);
}

static bool repair_database(const Repair *repair, GError **error) {
    g_autofree char *path = path_in(repair, "ledger.db");
    g_autoptr(GString) names = g_string_new(NULL);
    SalvageCount count = { .lost_names = names };
    {
        g_autoptr(Ledger) fresh = ledger_open(repair->scratch, LEDGER_WRITE, "repair", error);
        if (!fresh || !salvage_database(path, repair->scratch, fresh, &count, error))
            return false;
    }
    g_autofree char *made = g_build_filename(repair->scratch, "ledger.db", NULL);
    if (database_has_wal(made))
        return set_io_error(error, ENOSPC, "write '%s'", made);
    report_database(repair, &count);
    return keep_damaged(repair, "ledger.db", error) && move_wal(repair, error) &&
           put_in_place(repair, "ledger.db", error);
}

typedef struct {
    IntentLog *log;
    unsigned steps;
    GError *error;
} StepCopy;

static void copy_step(void *data, const char *kind, const char *name, const Value *preimage) {
    StepCopy *copy = data;
    if (!copy->error && intent_log_begin(copy->log, kind, name, preimage, &copy->error))
        copy->steps++;
}

static bool repair_intents(const Repair *repair, GError **error) {
    g_autofree char *path = path_in(repair, "intent.log");
    g_autofree char *fresh = g_build_filename(repair->scratch, "intent.log", NULL);
    g_autoptr(IntentLog) old = intent_log_open(path, INTENT_LENIENT, error);
    g_autoptr(IntentLog) log = old ? intent_log_open(fresh, INTENT_STRICT, error) : NULL;
    if (!log)
        return false;
    StepCopy copy = { .log = log };
    intent_log_visit(old, copy_step, &copy);
    if (copy.error) {
        g_propagate_error(error, copy.error);
        return false;
    }
    g_string_append_printf(repair->report,
                           "intent.log: kept %u %s in progress, left out %u damaged %s\n",
                           copy.steps, plural(copy.steps, "step", "steps"), intent_log_skipped(old),
                           plural(intent_log_skipped(old), "line", "lines"));
    return keep_damaged(repair, "intent.log", error) && put_in_place(repair, "intent.log", error);
}

static bool intents_are_whole(const Repair *repair) {
    g_autofree char *path = path_in(repair, "intent.log");
    g_autoptr(IntentLog) log = intent_log_open(path, INTENT_STRICT, NULL);
    return log != NULL;
}

static bool repair_all(Repair *repair, GError **error) {
    bool database = database_is_whole(repair->dir);
    bool intents = intents_are_whole(repair);
    if (database && intents)
        g_string_append(repair->report, "the ledger is whole: nothing was changed\n");
    remove_scratch(repair);
    if (!(database && intents) && mkdir(repair->scratch, 0700) < 0)
        return set_io_error(error, errno, "create '%s'", repair->scratch);
    bool ok =
        (database || repair_database(repair, error)) && (intents || repair_intents(repair, error));
    remove_scratch(repair);
    return ok;
}

bool ledger_repair(const char *dir, char **ret_report, GError **error) {
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_auto(Repair) repair = {
        .dir = g_canonicalize_filename(dir, NULL),
        .scratch = g_build_filename(dir, "repair.new", NULL),
        .suffix = g_date_time_format(now, ".damaged-%Y%m%dT%H%M%SZ"),
        .report = g_string_new(NULL),
        .lock_fd = lock_take(dir, "ledger repair", NULL, error),
    };
    if (repair.lock_fd < 0 || !repair_all(&repair, error))
        return false;
    *ret_report = g_strdup(g_strchomp(repair.report->str));
    return true;
}
