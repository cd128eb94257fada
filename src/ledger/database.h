#pragma once
/*
 * Private to ledger: ledger.db, its schema and its prepared statements. Everything of SQLite is
 * seen through this header. A Database belongs to one thread at a time.
 */
#include <glib.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Database Database;

typedef enum {
    DATABASE_WRITE,     /* makes the database when there is none, brings its schema up to date */
    DATABASE_READ,      /* each statement sees what is committed when it starts */
    DATABASE_SNAPSHOT,  /* all statements see what was committed at open; writers go on */
    DATABASE_UNTOUCHED, /* as DATABASE_SNAPSHOT, without any lock or file beside it: only while
                           nobody writes and nothing waits in the write-ahead file */
    DATABASE_DAMAGED,   /* as DATABASE_READ, whatever it is: to save what can be read */
} DatabaseMode;

/* What is done with the rows; the SQL is in database.c. */
typedef enum {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_ALL_RESOURCES, /* id, kind, name, entry_hash, resource_hash, flags, status_hash, retries */
    SQL_PUT_RESOURCE,  /* the same eight */
    SQL_DROP_RESOURCE, /* id */
    SQL_GET_ENTRY,     /* id -> body */
    SQL_PUT_ENTRY,     /* id, body */
    SQL_DROP_ENTRY,    /* id */
    SQL_GET_STATUS,    /* id -> body */
    SQL_PUT_STATUS,    /* id, body */
    SQL_DROP_STATUS,   /* id */
    SQL_ALL_PENDING,   /* edge */
    SQL_PUT_PENDING,   /* edge */
    SQL_DROP_PENDING,  /* edge */
    SQL_ALL_FINGERPRINTS, /* path, data */
    SQL_PUT_FINGERPRINT,  /* path, data */
    SQL_DROP_FINGERPRINT, /* path */
    SQL_PUT_JOURNAL,      /* time, kind, name, action, corrective, reported, latency, who, error,
                             changes */
    SQL_GET_JOURNAL,   /* since, until, kind, name, only_corrective, limit -> as SQL_PUT_JOURNAL */
    SQL_PRUNE_JOURNAL, /* rows to keep, oldest time, rows to keep of any age */
    SQL_GET_META,      /* key -> value */
    SQL_PUT_META,      /* key, value */
    /* From an id on, in its order; for damaged databases. */
    SQL_SALVAGE_RESOURCES, /* id -> as SQL_ALL_RESOURCES */
    SQL_SALVAGE_ENTRIES,   /* id -> id, body */
    SQL_SALVAGE_STATUSES,  /* id -> id, body */
    SQL_SALVAGE_JOURNAL,   /* id -> as SQL_PUT_JOURNAL, id */
    SQL_SALVAGE_PENDING,   /* edge; in falling order */
    SQL_COUNT
} Sql;

/* NULL when the file does not exist, without error, unless for DATABASE_WRITE. */
Database *database_open(const char *path, DatabaseMode mode, GError **error);
void database_close(Database *database); /* accepts NULL; the last writer folds the WAL back in */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Database, database_close)

/* The statement, ready to bind and step; NULL with error. It stays the database's. */
sqlite3_stmt *database_statement(Database *database, Sql sql, GError **error);
/* Steps to a row: 1; to the end (the statement is reset then): 0; -1 with error. */
int database_step(Database *database, sqlite3_stmt *statement, GError **error);
/* Steps a statement without rows, once. */
bool database_run(Database *database, Sql sql, GError **error);

/* The first column of the one row with this id as a block, NULL with error STEAD_ERROR_DAMAGED when
 * there is none. */
GBytes *database_get(Database *database, Sql sql, int64_t id, GError **error);

/* Caller frees. NULL: there is none, it cannot be read, or the schema is older than it. */
char *database_get_meta(Database *database, const char *key);

void bind_text(sqlite3_stmt *statement, int index, const char *text); /* NULL: null; not copied */
void bind_bytes(sqlite3_stmt *statement, int index, GBytes *bytes);   /* as text; not copied */

/* Looks at every page and row. */
bool database_check(Database *database, GError **error);
/* Replaces the first page of the (damaged, copied) database at path, which says what kind of file
 * it is and where its tables are, by that of a new one: they are always at the same places. */
bool database_mend_header(const char *path, GError **error);
/* Sets the error that SQLite's last result on database stands for: "<what> '<path>': <why>". */
void set_database_error(GError **error, Database *database, const char *what);
void set_damaged_error(GError **error, const char *path, const char *why);
/* Whether there is a write-ahead file with something in it. */
bool database_has_wal(const char *path);
