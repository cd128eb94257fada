#pragma once
/*
 * ledger: what stead owns on this machine, what it was before, what it did, and what is still to be
 * done. Uses base, host (fingerprints) and SQLite. Knows kinds and resources only as names and
 * values.
 *
 * Files below DIR: ledger.db (SQLite, WAL), intent.log (steps in progress, append-only),
 * preimages/SHA256 (contents), lock (who has it open for writing). All 0600 below a 0700 directory.
 *
 * Threads: ledger_begin() from any thread. Everything else from the thread that opened it. Writing
 * happens in one thread of the ledger's own, in batches; ledger_flush() waits for it. A process
 * killed at any instant loses nothing that was begun: ledger_interrupted() lists it at the next
 * start.
 */
#include <glib.h>

#include "base/value.h"
#include "host/fingerprint.h"

typedef struct Ledger Ledger;

typedef enum { LEDGER_READ, LEDGER_WRITE } LedgerMode;

/* LEDGER_WRITE creates what is missing and takes the lock; when another process holds it:
 * STEAD_ERROR_REFUSED naming its pid and command. A damaged database is moved aside
 * (ledger.db.damaged-TIME) only on ledger_repair(); here it is STEAD_ERROR_DAMAGED with the remedy
 * in the message. LEDGER_READ of a directory without ledger gives an empty one. */
Ledger *ledger_open(const char *dir, LedgerMode mode, const char *command, GError **error);
/* Moves a damaged database aside and starts a new one with what can still be read; says how much in
 * *ret_report. */
bool ledger_repair(const char *dir, char **ret_report, GError **error);
void ledger_close(Ledger *ledger); /* flushes; accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ledger, ledger_close)

/* What we own. All members owned by the entry. */
typedef struct {
    char *kind, *name;
    Value *resource; /* map as resource_to_value(): what was last applied */
    Value *applied;  /* map property -> value last seen right */
    Value *preimage; /* map as state_to_value() before our first change; NULL: was right when first
                        seen (adopted) */
    Value *kept;     /* what the kind keeps; may be NULL */
    char **needs;    /* "kind\x1fname" of its predecessors in the last graph; NULL-terminated */
    int on_remove;   /* OnRemove */
    bool protect;
    bool created;    /* did not exist before us */
    char *origin;    /* "file:line" */
    int64_t since;   /* wall us */
    int64_t changed; /* wall us of the last change by us; 0: never */
} LedgerEntry;

LedgerEntry *ledger_entry_new(const char *kind, const char *name);
void ledger_entry_free(LedgerEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LedgerEntry, ledger_entry_free)

const LedgerEntry *ledger_find(Ledger *ledger, const char *kind,
                               const char *name); /* valid until it is put or forgotten */
void ledger_visit(Ledger *ledger, void (*visit)(void *data, const LedgerEntry *entry),
                  void *data); /* by kind, name */
void ledger_put(
    Ledger *ledger,
    LedgerEntry *entry); /* takes ownership; nothing is written when equal to what is there */
void ledger_forget(Ledger *ledger, const char *kind, const char *name);

/* Written ahead of the first effect of a step; durable when it returns. preimage (may be NULL) as
 * in LedgerEntry: kept only when there is no entry with one yet. */
bool ledger_begin(Ledger *ledger, const char *kind, const char *name, const Value *preimage,
                  GError **error);
/* The step is over (whatever came out) and everything put before this call is to be written with
 * it. */
void ledger_end(Ledger *ledger, const char *kind, const char *name);

typedef struct {
    char *kind, *name;
    Value *preimage; /* as given to ledger_begin(), or NULL */
} LedgerStep;
/* Steps begun by an earlier process that never ended; kept until each has been begun and ended
 * again, or discarded. */
const GPtrArray *ledger_interrupted(Ledger *ledger); /* of LedgerStep */
void ledger_discard_interrupted(Ledger *ledger, const char *kind, const char *name);

/* Notifications not yet delivered: bits on edges, by the keys of their ends. */
void ledger_set_pending(Ledger *ledger, const char *from_kind, const char *from_name,
                        const char *to_kind, const char *to_name, bool pending);
bool ledger_is_pending(Ledger *ledger, const char *from_kind, const char *from_name,
                       const char *to_kind, const char *to_name);
/* Retries already used; 0 forgets. */
void ledger_set_retries(Ledger *ledger, const char *kind, const char *name, int used);
int ledger_get_retries(Ledger *ledger, const char *kind, const char *name);

/* Large contents of pre-images: stored by digest, durable when it returns; thread-safe. */
bool ledger_store_content(Ledger *ledger, GBytes *content, char ret_hex[DIGEST_HEX_SIZE],
                          GError **error);
GBytes *ledger_load_content(Ledger *ledger, const char *hex, GError **error);

/* Fingerprints: loaded at open into cache, saved by every flush that has changes. */
void ledger_attach_fingerprints(Ledger *ledger, FingerprintCache *cache);

/* Drift journal. */
typedef struct {
    int64_t time; /* wall us of the fix */
    char *kind, *name;
    char *action;    /* action_name() */
    bool corrective; /* drift; else intended: the configuration changed */
    bool reported;   /* only seen (noop, report), not fixed */
    int64_t latency; /* us from event to fix; -1: unknown */
    char *who;       /* who did it, if known */
    char *error;     /* why the fix failed, or NULL */
    Value *changes;  /* list of {property, before, after}; secrets masked */
} JournalEntry;

void journal_entry_free(JournalEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JournalEntry, journal_entry_free)
void ledger_journal(Ledger *ledger, JournalEntry *entry); /* takes ownership */

typedef struct {
    int64_t since, until;    /* wall us; 0: open */
    const char *kind, *name; /* NULL: all */
    bool only_corrective;
    unsigned limit; /* newest first; 0: all */
} JournalFilter;
bool ledger_read_journal(Ledger *ledger, const JournalFilter *filter,
                         void (*visit)(void *data, const JournalEntry *entry), void *data,
                         GError **error);

/* Last outcome of each resource, for status and why when no agent runs. map: {state, error,
 * checked, next, waits, ...} */
void ledger_set_status(Ledger *ledger, const char *kind, const char *name,
                       Value *status); /* takes ownership */
void ledger_visit_status(Ledger *ledger,
                         void (*visit)(void *data, const char *kind, const char *name,
                                       const Value *status),
                         void *data);

bool ledger_flush(Ledger *ledger,
                  GError **error); /* waits until all is on disk; reports the first failed write */
