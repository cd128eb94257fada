#pragma once
/*
 * Private to state: one connection to a store's file, and all that is said to it in SQL. A SqlStore
 * belongs to one thread at a time. Of one file one writes and others read, each what was committed
 * when it began.
 *
 * Tables: history has every change, id = revision << 20 | place in the revision; a deletion has
 * version 0 and no value. present has where each key that is there is in history. lease has what
 * was left of each when that was noted; meta, in one row, the revision and up to where it is
 * compacted.
 */
#include "state/leases.h"
#include "state/state-private.h"

typedef struct SqlStore SqlStore;

/* The writer makes the file when there is none. */
SqlStore *sql_store_open(const char *path, bool write, GError **error);
void sql_store_close(SqlStore *store); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SqlStore, sql_store_close)

/* A transaction of SQLite around one or several calls. With lazy, what is written in it need not be
 * on the disk when it is committed. A commit that fails has done nothing; with error
 * STATE_ERROR_UNKNOWN_OUTCOME it may have after all. */
bool sql_store_begin(SqlStore *store, GError **error);
bool sql_store_commit(SqlStore *store, bool lazy, GError **error);
void sql_store_rollback(SqlStore *store);

int64_t sql_store_revision(const SqlStore *store); /* as of the last sql_store_begin(), or since */
/* What was changed since sql_store_begin(), of StateEntry. Caller frees. */
GPtrArray *sql_store_take_events(SqlStore *store);

/* Whether the error means that the whole group has to be rolled back; else the call has done
 * nothing and the others may go on. */
bool sql_store_is_broken(const GError *error);

/* Calls; NULL with error. */
StateAnswer *sql_store_range(SqlStore *store, const Op *op, GError **error);
StateAnswer *sql_store_txn(SqlStore *store, const StateTxn *txn, GError **error);
StateAnswer *sql_store_compact(SqlStore *store, int64_t revision, GError **error);

/* Leases. Revoking one that is not there is no error, and changes nothing. */
bool sql_store_grant(SqlStore *store, int64_t lease, int64_t ttl_s, GError **error);
bool sql_store_note_lease(SqlStore *store, int64_t lease, int64_t left_us, GError **error);
bool sql_store_revoke(SqlStore *store, int64_t lease, GError **error);
bool sql_store_visit_leases(SqlStore *store, LeaseVisitor visitor, void *data, GError **error);

/* A piece of the history of some keys from a revision on, whole revisions. ret_revision: up to
 * where it goes. With STATE_ERROR_COMPACTED: up to where it is compacted. */
GPtrArray *sql_store_history(SqlStore *store, GBytes *key, GBytes *end, int64_t from,
                             int64_t *ret_revision, GError **error);

/* Removes some of what compaction left over, in a transaction of its own. Returns whether there is
 * more to do. */
bool sql_store_sweep(SqlStore *store);
