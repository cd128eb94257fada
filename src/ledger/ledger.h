#pragma once
/*
 * ledger: what stead owns on this machine, what it was before, what it did, and what is still to be
 * done. Uses base, host (fingerprints) and SQLite. Knows kinds and resources only as names and
 * values.
 *
 * Files below DIR: ledger.db (SQLite, WAL), intent.log (steps in progress, append-only),
 * preimages/SHA256 (contents), lock (who has it open for writing). All 0600 below a 0700 directory.
 * A directory and a lock are all that is made before there is something to write, and nothing but
 * the lock is touched by a run that changes nothing.
 *
 * Threads: ledger_begin(), ledger_reserve(), ledger_store_content() and ledger_load_content() from
 * any thread. Everything else from one thread at a time. Writing happens in one thread of the
 * ledger's own, in batches; ledger_flush() waits for it. A process killed at any instant loses
 * nothing that was begun: ledger_interrupted() lists it at the next start. A loss of power may take
 * the last moments with it (nobody waits for the disk on the way of a change), but leaves a ledger
 * that opens and names no content that is not there.
 *
 * In memory there is an index only (about 150 bytes a resource): what an entry or status says is
 * read from the database when asked for.
 *
 * When writing fails (disk full, read-only file system) what was handed in is kept and tried again
 * with the next change, flush, or after some seconds; meanwhile ledger_begin() refuses to start
 * steps that could not be noted. When the database turns out to be damaged nothing more is written.
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
/* Whether there is one at dir, whole or not. */
bool ledger_exists(const char *dir);
/* Moves a damaged database aside and starts a new one with what can still be read; says how much in
 * *ret_report. */
bool ledger_repair(const char *dir, char **ret_report, GError **error);
void ledger_close(Ledger *ledger); /* flushes; accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ledger, ledger_close)

/* Called once when writing or reading begins to fail; again only after it has worked in between.
 * From the ledger's thread or the caller's: post it to the loop. It must not use the ledger. Once
 * this has returned, what was set before (NULL: nothing is) is not called any more. */
void ledger_on_error(Ledger *ledger, void (*report)(void *data, const GError *error), void *data);

/* Of the OnRemove there are; an entry with another is not read. */
#define LEDGER_ON_REMOVE_MAX 4

/* What we own. All members owned by the entry. */
typedef struct {
    char *kind, *name;
    Value *resource; /* map as resource_to_value(): what was last applied */
    Value *applied;  /* map property -> value last seen right */
    Value *preimage; /* map as state_to_value() before our first change; NULL: was right when first
                        seen (adopted) */
    Value *kept;     /* what the kind keeps; may be NULL */
    char **needs;    /* "kind\x1fname" of its predecessors in the last graph; NULL-terminated */
    int on_remove;   /* OnRemove, 0 to LEDGER_ON_REMOVE_MAX */
    bool protect;
    bool created;           /* did not exist before us */
    char *origin;           /* "file:line" */
    int64_t since;          /* wall us */
    int64_t changed;        /* wall us of the last change by us; 0: never */
    uint64_t resource_hash; /* of resource and whatever else makes an entry out of date, by the
                               caller's own rule, for ledger_resource_hash(); 0: none */
} LedgerEntry;

LedgerEntry *ledger_entry_new(const char *kind, const char *name);
void ledger_entry_free(LedgerEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LedgerEntry, ledger_entry_free)

/* That of the entry; 0: there is none, or it has none. Reads nothing: a run that changes nothing
 * asks this 10,000 times and never needs ledger_find(). */
uint64_t ledger_resource_hash(Ledger *ledger, const char *kind, const char *name);
/* NULL: not ours, or it cannot be read (then ledger_flush() says so and every ledger_begin()
 * fails). Valid until it is put or forgotten, or ledger_trim(). */
const LedgerEntry *ledger_find(Ledger *ledger, const char *kind, const char *name);
void ledger_trim(Ledger *ledger); /* gives back the memory of all that ledger_find() returned */
unsigned ledger_count(Ledger *ledger); /* entries */

/* Absolute path of the configuration that was last applied to what this keeps; NULL: unknown, as in
 * ledgers of before it was noted. Valid until it is set. */
const char *ledger_configuration(Ledger *ledger);
/* Where there was another, it is written at once; where none was known, with what is written next:
 * a run that changes nothing writes nothing. */
void ledger_set_configuration(Ledger *ledger, const char *path);

/* In the order of kind and name. What is visited is valid during the call; entries may be put and
 * forgotten in it. The first only names them and reads nothing; it leaves out those that want,
 * which may not use the ledger, says false of (NULL: none). resource_hash as by
 * ledger_resource_hash(). */
typedef bool (*LedgerWant)(void *data, const char *kind, const char *name, uint64_t resource_hash);
void ledger_visit_keys(Ledger *ledger, LedgerWant want,
                       void (*visit)(void *data, const char *kind, const char *name), void *data);
void ledger_visit(Ledger *ledger, void (*visit)(void *data, const LedgerEntry *entry), void *data);
/* Takes ownership; nothing is written when equal to what is there. */
void ledger_put(Ledger *ledger, LedgerEntry *entry);
/* With its status, retries and the notifications from and to it. */
void ledger_forget(Ledger *ledger, const char *kind, const char *name);
/* The entry alone: the name is still declared, but means another thing. */
void ledger_disown(Ledger *ledger, const char *kind, const char *name);

/* Whether there is space for entries of n more resources with size bytes of parameters in all, and
 * what comes with them. To be asked before the first effect of a run. The error says what is full,
 * how much is needed and what to do. From any thread. */
bool ledger_reserve(Ledger *ledger, uint64_t n, uint64_t size, GError **error);

/* Written ahead of the first effect of a step; when it returns, the end of this process can no
 * longer lose it. preimage (may be NULL) as in LedgerEntry: kept only when there is no entry with
 * one yet; of several since the last end, the first counts: it is what was there before us. */
bool ledger_begin(Ledger *ledger, const char *kind, const char *name, const Value *preimage,
                  GError **error);
/* The step is over (whatever came out). It counts as ended as soon as everything handed in before
 * this call (entry, pending, retries, journal) is committed; killed before that, it is interrupted.
 */
void ledger_end(Ledger *ledger, const char *kind, const char *name);

typedef struct {
    char *kind, *name;
    Value *preimage; /* as given to ledger_begin(), or NULL */
} LedgerStep;
/* Steps begun by an earlier process that never ended, oldest first; kept until each has been ended
 * (begun again or not) or discarded. Valid until one is. LEDGER_READ while another stead writes:
 * the steps it is at. */
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

/* Large contents of pre-images: stored by digest, thread-safe. Named by their digest in preimage or
 * kept of an entry they stay as long as that says so; others go when the ledger is closed. */
bool ledger_store_content(Ledger *ledger, GBytes *content, char ret_hex[DIGEST_HEX_SIZE],
                          GError **error);
GBytes *ledger_load_content(Ledger *ledger, const char *hex, GError **error);

/* Fingerprints: loaded into cache now, what changed in it is saved by every flush and by close.
 * cache (borrowed) must outlive the ledger. */
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
 * checked, next, waits, ...}. Takes ownership; NULL: none any more. An equal one is not written, so
 * a time of checking in it costs a write each time. */
void ledger_set_status(Ledger *ledger, const char *kind, const char *name, Value *status);
void ledger_visit_status(Ledger *ledger,
                         void (*visit)(void *data, const char *kind, const char *name,
                                       const Value *status),
                         void *data);

/* Waits until all that was handed in is committed. Reports the first failure to write it, or to
 * read, since the last flush that was fine; what could not be written is kept for the next. */
bool ledger_flush(Ledger *ledger, GError **error);
