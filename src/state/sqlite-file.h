#pragma once
/*
 * Private to state: one connection to the file of a store, and all that is said to it in SQL. A
 * SqlFile belongs to one thread at a time. Of one file one writes and others read, each what was
 * committed when it began.
 *
 * Tables: history has every change, id = revision << 20 | place in the revision; a deletion has
 * version 0 and no value. present has where each key that is there is in history. lease has what
 * was left of each when that was noted; meta, in one row, the revision and up to where it is
 * compacted.
 */
#include "state/leases.h"
#include "state/store-private.h"

typedef struct SqlFile SqlFile;

/* The writer makes the file when there is none. */
SqlFile *sql_file_open(const char *path, bool write, GError **error);
void sql_file_close(SqlFile *file); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SqlFile, sql_file_close)

/* A transaction of SQLite around one or several calls. With lazy, what is written in it need not be
 * on the disk when it is committed. A commit that fails has done nothing; with error
 * STORE_ERROR_UNKNOWN_OUTCOME it may have after all. */
bool sql_file_begin(SqlFile *file, GError **error);
bool sql_file_commit(SqlFile *file, bool lazy, GError **error);
void sql_file_rollback(SqlFile *file);

int64_t sql_file_revision(const SqlFile *file); /* as of the last sql_file_begin(), or since */
/* What was changed since sql_file_begin(), of StoreEntry. Caller frees. */
GPtrArray *sql_file_take_events(SqlFile *file);

/* Whether the error means that the whole group has to be rolled back; else the call has done
 * nothing and the others may go on. */
bool sql_file_is_broken(const GError *error);

/* Calls; NULL with error. */
StoreAnswer *sql_file_range(SqlFile *file, const Op *op, GError **error);
StoreAnswer *sql_file_txn(SqlFile *file, const StoreTxn *txn, GError **error);
StoreAnswer *sql_file_compact(SqlFile *file, int64_t revision, GError **error);

/* Leases. Revoking one that is not there is no error, and changes nothing. */
bool sql_file_grant(SqlFile *file, int64_t lease, int64_t ttl_s, GError **error);
bool sql_file_note_lease(SqlFile *file, int64_t lease, int64_t left_us, GError **error);
bool sql_file_revoke(SqlFile *file, int64_t lease, GError **error);
bool sql_file_visit_leases(SqlFile *file, LeaseVisitor visitor, void *data, GError **error);

/* A piece of the history of some keys from a revision on, whole revisions. ret_revision: up to
 * where it goes. With STORE_ERROR_COMPACTED: up to where it is compacted. */
GPtrArray *sql_file_history(SqlFile *file, GBytes *key, GBytes *end, int64_t from,
                            int64_t *ret_revision, GError **error);

/* Removes some of what compaction left over, in a transaction of its own. Returns whether there is
 * more to do. */
bool sql_file_sweep(SqlFile *file);
