#pragma once
/* Private to ledger: the Ledger itself and what its files share. */
#include "ledger/database.h"
#include "ledger/entry.h"
#include "ledger/intent-log.h"
#include "ledger/ledger.h"

/* One row of the index: a resource with an entry, a status or used retries. */
typedef struct {
    const char *kind, *name; /* interned; behind the struct */
    int64_t id;              /* of its rows */
    uint64_t entry_hash;     /* text_hash() of the entry's text; 0: not ours */
    uint64_t resource_hash;
    uint64_t status_hash; /* 0: none */
    int retries;
    unsigned flags;      /* EntryFlags and SlotFlags */
    GBytes *entry_text;  /* put and not yet committed, else NULL */
    GBytes *status_text; /* likewise */
    LedgerEntry *entry;  /* handed out by ledger_find(); only its thread touches it */
} Slot;

typedef enum {
    SLOT_ENTRY_DIRTY = 1 << 8,
    SLOT_STATUS_DIRTY = 1 << 9,
    SLOT_WAITS = 1 << 10, /* listed in Work */
} SlotFlags;

/* What waits to be written. Each thing is in it once, however often it changed. */
typedef struct {
    GPtrArray *slots;         /* of Slot, borrowed */
    GHashTable *pending;      /* edge -> GINT_TO_POINTER(bool) */
    GHashTable *fingerprints; /* path -> Fingerprint, NULL: forgotten */
    GPtrArray *journal;       /* of JournalEntry */
    GPtrArray *ends;          /* of IntentEnd */
    char *configuration;      /* to be noted with the rest; NULL: as it is */
    bool must_note;           /* also when there is no rest */
    GPtrArray *contents;      /* digests of contents to be synced before a row names them */
} Work;

/* What the writing thread waits for: any work; more of it, a moment, or an order. */
typedef enum { WRITER_AWAKE, WRITER_IDLE, WRITER_GATHERS } WriterSleep;

struct Ledger {
    char *dir;
    char *path; /* of ledger.db */
    LedgerMode mode;
    int lock_fd;
    IntentLog *intents;
    GPtrArray *interrupted;         /* of LedgerStep */
    FingerprintCache *fingerprints; /* borrowed */
    int visits;                     /* visits under way: slots stay */
    int reserved;                   /* there was space for a first step; atomic */
    int may_sweep;                  /* contents may have become unneeded; atomic */

    GMutex report_lock; /* over the next two, and during the call */
    void (*report)(void *data, const GError *error);
    void *report_data;

    GMutex lock;       /* over all below */
    GHashTable *slots; /* of Slot, by kind and name */
    unsigned n_entries;
    char *configuration; /* the graph came from last; NULL: unknown */
    int64_t last_id;
    const char *last_kind; /* of the latest slot, interned: mostly that of the next */
    GHashTable *pending;   /* edges, set */
    Work work;
    GError *failure; /* why the last batch could not be written */
    GError *broken;  /* damage: nothing is written any more */

    GThread *writer; /* started by the first work */
    GCond wake, done;
    WriterSleep sleep;
    bool stopping;
    uint64_t flush_asked, flush_done;
    unsigned dropped_journal; /* entries given up while nothing could be written */
    Database *database;       /* the writer's own */
    ino_t inode;              /* of ledger.db as first seen; 0: there was none yet */
    unsigned journal_since_prune;

    GMutex reader_lock; /* over the three below; held while reader is read untouched */
    Database *reader;   /* of the thread that opened the ledger */
    bool reader_untouched;
    bool live; /* the writer has, or is about to have, the database open */
};

#define META_CONFIGURATION "configuration"

/* ledger.c */
/* Something could not be read: nothing will be written. Takes ownership. */
void ledger_break(Ledger *ledger, GError *error);
void ledger_report(Ledger *ledger, const GError *error);
/* The connection of the opener's thread; NULL when there is no database, or with error. shared:
 * the caller keeps a statement open while others may write. */
Database *ledger_reader(Ledger *ledger, bool shared, GError **error);
/* The text of the entry or status with this id. */
GBytes *ledger_read_body(Ledger *ledger, Sql sql, int64_t id, GError **error);

/* For reading, whatever the intent log is like. */
Ledger *ledger_open_database(const char *dir, GError **error);

ino_t ledger_inode(const Ledger *ledger); /* of ledger.db now; 0: there is none */

/* slots.c: with the lock held */
Slot *slot_find(Ledger *ledger, const char *kind, const char *name); /* NULL: none */
Slot *slot_add(Ledger *ledger, const char *kind, const char *name, int64_t id);
void slot_free(Slot *slot);
guint slot_hash(gconstpointer slot);
gboolean slot_equal(gconstpointer a, gconstpointer b);
bool slot_is_gone(const Slot *slot); /* neither entry nor status nor retries */
void slots_purge(Ledger *ledger);    /* frees those that are gone and written */
/* Without the lock; NULL with error. */
GBytes *slot_entry_text(Ledger *ledger, Slot *slot, GError **error);

/* steps.c */
void pending_forget(Ledger *ledger, const char *kind, const char *name); /* with the lock held */
bool pending_restore(Ledger *ledger, const char *edge); /* false: it was set already */

/* contents.c */
void contents_sync(Ledger *ledger, const GPtrArray *digests);
void contents_sweep(Ledger *ledger);  /* removes those that nothing names */
void contents_clean(const char *dir); /* temporaries of a killed process */

/* journal.c */
bool journal_write(Database *database, const JournalEntry *entry, GError **error);
JournalEntry *journal_read(sqlite3_stmt *row, const char *path, GError **error);
bool journal_prune(Database *database, int64_t now, GError **error);

/* fingerprints.c */
bool fingerprint_write(Database *database, const char *path, const Fingerprint *fingerprint,
                       GError **error); /* NULL: forgotten */
void fingerprints_collect(Ledger *ledger);

/* writer.c */
void work_init(Work *work);
void work_clear(Work *work);
void writer_add_slot(Ledger *ledger, Slot *slot, unsigned flags); /* with the lock held */
void writer_wake(Ledger *ledger); /* with the lock held, after work was added */
void writer_stop(Ledger *ledger); /* tries to write what waits, ends the thread */
