#pragma once
/*
 * state: the shared memory of a fleet: keys with revisions, transactions, watches and leases as
 * etcd v3 has them, behind one interface with three implementations: memory (tests), SQLite (one
 * hub) and etcd (a cluster). Uses base, loop and http. Nothing above knows which one it talks to;
 * what etcd really does is the rule for all.
 *
 * A Store belongs to its loop's thread and must be freed before the loop. Every operation is a call
 * that returns at once; its answer comes later from the loop, never from inside the call. Keys and
 * values are any bytes; a key has at least one. Every change of the store has a revision, one more
 * than the one before; all changes of a transaction share theirs. The empty store has revision 1.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"

/* Beyond these a call fails with STORE_ERROR_TOO_LARGE. etcd with its defaults takes all of it. */
#define STORE_LIMIT_KEY       4096u          /* bytes of a key */
#define STORE_LIMIT_VALUE     (1024u * 1024) /* bytes of a value */
#define STORE_LIMIT_TXN_OPS   128u           /* compares; operations of each branch */
#define STORE_LIMIT_TXN_BYTES (1280u * 1024) /* keys and values of a transaction together */
#define STORE_LIMIT_RANGE     (64u << 20)    /* bytes of the keys and values of an answer */
#define STORE_LIMIT_DELETED   (1u << 20)     /* keys that one transaction deletes */
#define STORE_LIMIT_TTL       (366 * 86400)  /* seconds of a lease */
#define STORE_LEASE_FORMAT    "%016" G_GINT64_MODIFIER "x" /* how people are shown a lease */
#define STORE_MIN_TTL         2 /* a shorter lease is granted so many seconds */

#define STORE_ERROR (store_error_quark())

typedef enum {
    STORE_ERROR_FAILED,          /* anything without a code of its own */
    STORE_ERROR_INVALID,         /* the call is wrong: an empty key, a key changed twice, ... */
    STORE_ERROR_COMPACTED,       /* that revision is gone: read the present, watch from there */
    STORE_ERROR_FUTURE_REVISION, /* there is no such revision yet */
    STORE_ERROR_LEASE_GONE,      /* expired, revoked or never granted: grant another */
    STORE_ERROR_TOO_LARGE,       /* above a STORE_LIMIT */
    STORE_ERROR_UNAVAILABLE,     /* nothing was done; may be tried again */
    STORE_ERROR_UNKNOWN_OUTCOME, /* a write whose answer was lost: look before trying again */
    STORE_ERROR_NO_SPACE,        /* nothing was done; the store is full */
    STORE_ERROR_DENIED,          /* the store does not let this client do that */
    STORE_ERROR_IN_USE,          /* another process has the file */
    STORE_ERROR_DAMAGED,         /* the file is not what we wrote */
    STORE_ERROR_CANCELLED,       /* the loop was told to quit while somebody waited */
} StoreErrorCode;

GQuark store_error_quark(void);

typedef struct Store Store;
typedef struct StoreCall StoreCall;
typedef struct StoreTxn StoreTxn;
typedef struct StoreWatch StoreWatch;

/* --- what comes back; immutable, counted atomically */

/* A key as it was at some revision. */
typedef struct {
    GBytes *key;
    GBytes *value;           /* NULL: not asked for, or deleted */
    int64_t create_revision; /* 0: deleted */
    int64_t mod_revision;    /* of this change */
    int64_t version;         /* changes since it was created, from 1 on; 0: deleted */
    int64_t lease;           /* 0: none */
} StoreEntry;

StoreEntry *store_entry_ref(StoreEntry *entry);
void store_entry_unref(StoreEntry *entry); /* accepts NULL */

/* Of one operation. */
typedef struct {
    GPtrArray *entries; /* of StoreEntry, in byte order of the keys; NULL unless of a range */
    uint64_t count;     /* range: keys that it has, whatever the limit; delete: keys deleted */
    bool more;          /* range: the limit left some out */
} StoreResult;

typedef struct {
    int64_t revision;   /* of the store when it answered; of a write: its own */
    bool succeeded;     /* transaction: all compares held */
    GPtrArray *results; /* of StoreResult: the range, or each operation of the branch that ran */
    int64_t lease;      /* the lease that was granted, kept, or looked at */
    int64_t ttl;        /* seconds: as granted or renewed; of a look: what is left of it */
} StoreAnswer;

StoreAnswer *store_answer_ref(StoreAnswer *answer);
void store_answer_unref(StoreAnswer *answer); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StoreAnswer, store_answer_unref)

const StoreResult *store_answer_result(const StoreAnswer *answer, unsigned operation);
/* The first key of the first range, or NULL: what store_get() found. */
const StoreEntry *store_answer_entry(const StoreAnswer *answer);

/* --- calls */

/* Exactly one of answer and error is NULL; both are valid during the callback only. */
typedef void (*StoreDone)(void *data, StoreAnswer *answer, const GError *error);

/* Each call below returns a handle that is valid until its done begins. A call with done == NULL
 * keeps its answer for store_wait(). */

/* No done after this. A write may be done all the same. */
void store_call_cancel(StoreCall *call);

/* For programs and tests, not inside a callback: runs the loop until the call is answered. Returns
 * a new reference, or NULL with error. */
StoreAnswer *store_wait(StoreCall *call, GError **error);

typedef struct {
    GBytes *key;      /* NULL: all keys there are */
    bool prefix;      /* all keys that begin with key */
    GBytes *from;     /* of these, only this one and those after it; NULL: all */
    int64_t revision; /* as it was then; 0: now */
    unsigned limit;   /* entries; 0: all, up to STORE_LIMIT_RANGE */
    bool keys_only;
} StoreRange;

/* Sees every write that was answered before the call. */
StoreCall *store_get(Store *state, GBytes *key, StoreDone done, void *data);
StoreCall *store_range(Store *state, const StoreRange *range, StoreDone done, void *data);

/* A transaction of one operation. lease: 0 for none. */
StoreCall *store_put(Store *state, GBytes *key, GBytes *value, int64_t lease, StoreDone done,
                     void *data);
StoreCall *store_delete(Store *state, GBytes *key, bool prefix, StoreDone done, void *data);

/* --- transactions: all compares are looked at, then one branch is done as a whole. A key that is
 * put must not be put or deleted by another operation of the same branch. */

typedef enum { STORE_THEN, STORE_ELSE } StoreBranch;
typedef enum {
    STORE_VERSION, /* a key that is not there has 0 */
    STORE_CREATE_REVISION,
    STORE_MOD_REVISION,
    STORE_LEASE,
    STORE_VALUE, /* of a key that is not there no compare holds */
} StoreField;
typedef enum { STORE_EQUAL, STORE_NOT_EQUAL, STORE_LESS, STORE_GREATER } StoreRelation;

StoreTxn *store_txn_new(void);
StoreTxn *store_txn_ref(StoreTxn *txn);
void store_txn_unref(StoreTxn *txn); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StoreTxn, store_txn_unref)

void store_txn_compare(StoreTxn *txn, GBytes *key, StoreField field, StoreRelation relation,
                       int64_t number);
void store_txn_compare_value(StoreTxn *txn, GBytes *key, StoreRelation relation, GBytes *value);
void store_txn_put(StoreTxn *txn, StoreBranch branch, GBytes *key, GBytes *value, int64_t lease);
void store_txn_delete(StoreTxn *txn, StoreBranch branch, GBytes *key, bool prefix);
/* Sees what the operations before it did. A range at an older revision is not possible here. */
void store_txn_range(StoreTxn *txn, StoreBranch branch, const StoreRange *range);

/* Nothing is added to txn afterwards. */
StoreCall *store_commit(Store *state, StoreTxn *txn, StoreDone done, void *data);

/* Forgets what was before revision: ranges at it and later ones stay possible, and watches from
 * later ones. */
StoreCall *store_compact(Store *state, int64_t revision, StoreDone done, void *data);

/* --- leases: all keys put with one are deleted together when it is not kept alive for its ttl, or
 * revoked. Across a restart of the store a lease may live longer, never shorter. */

StoreCall *store_lease_grant(Store *state, int64_t ttl_s, StoreDone done, void *data);
StoreCall *store_lease_keep(Store *state, int64_t lease, StoreDone done, void *data);
StoreCall *store_lease_revoke(Store *state, int64_t lease, StoreDone done, void *data);
StoreCall *store_lease_look(Store *state, int64_t lease, StoreDone done, void *data);

/* --- watches */

/* events: of StoreEntry, whole revisions in their order, none left out, none twice; revision is the
 * last. Without any: everything up to revision has been told (comes now and then). The watch goes
 * on by itself across restarts and lost connections. With error (COMPACTED: revision says up to
 * where; DENIED; DAMAGED) it is over, and still to be stopped. A callback may stop its own watch.
 */
typedef void (*StoreWatchCallback)(void *data, int64_t revision, GPtrArray *events,
                                   const GError *error);

/* Of one key, of those that begin with it (prefix), or of all (key NULL). from: the first revision
 * that is told, which may be in the future; 0: what happens from now on. */
StoreWatch *store_watch(Store *state, GBytes *key, bool prefix, int64_t from,
                        StoreWatchCallback callback, void *data);
void store_watch_stop(StoreWatch *watch); /* accepts NULL; no callback after this */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StoreWatch, store_watch_stop)

/* --- life */

/* Of tests: all is gone with it. */
Store *store_open_memory(Loop *loop);
/* A file of SQLite, made when there is none (0600); one process at a time. Writes are answered when
 * they are on the disk. */
Store *store_open_sqlite(Loop *loop, const char *path, GError **error);

typedef struct {
    const char *urls;              /* of one member or several, separated by commas */
    const char *ca;                /* PEM text; NULL: the authorities this host trusts */
    const char *certificate, *key; /* PEM texts of ours; NULL: none */
    const char *user, *password;   /* NULL: none */
    const char *socket;            /* path of one to connect to, whatever urls say; NULL: none */
    bool is_hub;                   /* what answers is a hub of ours */
} StoreEtcdOptions;

/* etcd >= 3.4. Does not wait for it: calls tell what is wrong. */
Store *store_open_etcd(Loop *loop, const StoreEtcdOptions *options, GError **error);

/* Of a store that was opened so: later calls use the certificate and key of options, and whom it
 * trusts; what is under way goes on with what it began with. */
bool store_etcd_renew(Store *state, const StoreEtcdOptions *options, GError **error);

/* What under has (which is borrowed, and freed after it), for who has many watches of keys that
 * begin with prefix (NULL: any): they share one of under. A watch may be told what was compacted
 * lately.
 */
Store *store_open_shared(Store *under, GBytes *prefix);

/* As people write it: "sqlite=FILE", "etcd=URL[,URL...]". etcd (may be NULL) says the rest. */
Store *store_open(Loop *loop, const char *where, const StoreEtcdOptions *etcd, GError **error);

/* Not inside a callback. Calls that were not answered never are; watches are over. Accepts NULL. */
void store_free(Store *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Store, store_free)

const char *store_kind(const Store *state); /* "memory", "sqlite", "etcd", "hub" */
/* Tells stores apart as far as they say it: revisions of one mean nothing in another. A cluster of
 * etcd has its own, known with its first answer; others have "". Valid until the next callback. */
const char *store_identity(const Store *state);
