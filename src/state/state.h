#pragma once
/*
 * state: the shared memory of a fleet: keys with revisions, transactions, watches and leases as
 * etcd v3 has them, behind one interface with three implementations: memory (tests), SQLite (one
 * hub) and etcd (a cluster). Uses base, loop and http. Nothing above knows which one it talks to;
 * what etcd really does is the rule for all.
 *
 * A State belongs to its loop's thread and must be freed before the loop. Every operation is a call
 * that returns at once; its answer comes later from the loop, never from inside the call. Keys and
 * values are any bytes; a key has at least one. Every change of the store has a revision, one more
 * than the one before; all changes of a transaction share theirs. The empty store has revision 1.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"

/* Beyond these a call fails with STATE_ERROR_TOO_LARGE. etcd with its defaults takes all of it. */
#define STATE_LIMIT_KEY       4096u          /* bytes of a key */
#define STATE_LIMIT_VALUE     (1024u * 1024) /* bytes of a value */
#define STATE_LIMIT_TXN_OPS   128u           /* compares; operations of each branch */
#define STATE_LIMIT_TXN_BYTES (1280u * 1024) /* keys and values of a transaction together */
#define STATE_LIMIT_RANGE     (64u << 20)    /* bytes of the keys and values of an answer */
#define STATE_LIMIT_DELETED   (1u << 20)     /* keys that one transaction deletes */
#define STATE_LIMIT_TTL       (366 * 86400)  /* seconds of a lease */
#define STATE_MIN_TTL         2              /* a shorter lease is granted so many seconds */

#define STATE_ERROR (state_error_quark())

typedef enum {
    STATE_ERROR_FAILED,          /* anything without a code of its own */
    STATE_ERROR_INVALID,         /* the call is wrong: an empty key, a key changed twice, ... */
    STATE_ERROR_COMPACTED,       /* that revision is gone: read the present, watch from there */
    STATE_ERROR_FUTURE_REVISION, /* there is no such revision yet */
    STATE_ERROR_LEASE_GONE,      /* expired, revoked or never granted: grant another */
    STATE_ERROR_TOO_LARGE,       /* above a STATE_LIMIT */
    STATE_ERROR_UNAVAILABLE,     /* nothing was done; may be tried again */
    STATE_ERROR_UNKNOWN_OUTCOME, /* a write whose answer was lost: look before trying again */
    STATE_ERROR_NO_SPACE,        /* nothing was done; the store is full */
    STATE_ERROR_DENIED,          /* the store does not let this client do that */
    STATE_ERROR_IN_USE,          /* another process has the file */
    STATE_ERROR_DAMAGED,         /* the file is not what we wrote */
    STATE_ERROR_CANCELLED,       /* the loop was told to quit while somebody waited */
} StateErrorCode;

GQuark state_error_quark(void);

typedef struct State State;
typedef struct StateCall StateCall;
typedef struct StateTxn StateTxn;
typedef struct StateWatch StateWatch;

/* --- what comes back; immutable, counted atomically */

/* A key as it was at some revision. */
typedef struct {
    GBytes *key;
    GBytes *value;           /* NULL: not asked for, or deleted */
    int64_t create_revision; /* 0: deleted */
    int64_t mod_revision;    /* of this change */
    int64_t version;         /* changes since it was created, from 1 on; 0: deleted */
    int64_t lease;           /* 0: none */
} StateEntry;

StateEntry *state_entry_ref(StateEntry *entry);
void state_entry_unref(StateEntry *entry); /* accepts NULL */

/* Of one operation. */
typedef struct {
    GPtrArray *entries; /* of StateEntry, in byte order of the keys; NULL unless of a range */
    uint64_t count;     /* range: keys that it has, whatever the limit; delete: keys deleted */
    bool more;          /* range: the limit left some out */
} StateResult;

typedef struct {
    int64_t revision;   /* of the store when it answered; of a write: its own */
    bool succeeded;     /* transaction: all compares held */
    GPtrArray *results; /* of StateResult: the range, or each operation of the branch that ran */
    int64_t lease;      /* the lease that was granted, kept, or looked at */
    int64_t ttl;        /* seconds: as granted or renewed; of a look: what is left of it */
} StateAnswer;

StateAnswer *state_answer_ref(StateAnswer *answer);
void state_answer_unref(StateAnswer *answer); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StateAnswer, state_answer_unref)

const StateResult *state_answer_result(const StateAnswer *answer, unsigned operation);
/* The first key of the first range, or NULL: what state_get() found. */
const StateEntry *state_answer_entry(const StateAnswer *answer);

/* --- calls */

/* Exactly one of answer and error is NULL; both are valid during the callback only. */
typedef void (*StateDone)(void *data, StateAnswer *answer, const GError *error);

/* Each call below returns a handle that is valid until its done begins. A call with done == NULL
 * keeps its answer for state_wait(). */

/* No done after this. A write may be done all the same. */
void state_call_cancel(StateCall *call);

/* For programs and tests, not inside a callback: runs the loop until the call is answered. Returns
 * a new reference, or NULL with error. */
StateAnswer *state_wait(StateCall *call, GError **error);

typedef struct {
    GBytes *key;      /* NULL: all keys there are */
    bool prefix;      /* all keys that begin with key */
    GBytes *from;     /* of these, only this one and those after it; NULL: all */
    int64_t revision; /* as it was then; 0: now */
    unsigned limit;   /* entries; 0: all, up to STATE_LIMIT_RANGE */
    bool keys_only;
} StateRange;

/* Sees every write that was answered before the call. */
StateCall *state_get(State *state, GBytes *key, StateDone done, void *data);
StateCall *state_range(State *state, const StateRange *range, StateDone done, void *data);

/* A transaction of one operation. lease: 0 for none. */
StateCall *state_put(State *state, GBytes *key, GBytes *value, int64_t lease, StateDone done,
                     void *data);
StateCall *state_delete(State *state, GBytes *key, bool prefix, StateDone done, void *data);

/* --- transactions: all compares are looked at, then one branch is done as a whole. A key that is
 * put must not be put or deleted by another operation of the same branch. */

typedef enum { STATE_THEN, STATE_ELSE } StateBranch;
typedef enum {
    STATE_VERSION, /* a key that is not there has 0 */
    STATE_CREATE_REVISION,
    STATE_MOD_REVISION,
    STATE_LEASE,
    STATE_VALUE, /* of a key that is not there no compare holds */
} StateField;
typedef enum { STATE_EQUAL, STATE_NOT_EQUAL, STATE_LESS, STATE_GREATER } StateRelation;

StateTxn *state_txn_new(void);
StateTxn *state_txn_ref(StateTxn *txn);
void state_txn_unref(StateTxn *txn); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StateTxn, state_txn_unref)

void state_txn_compare(StateTxn *txn, GBytes *key, StateField field, StateRelation relation,
                       int64_t number);
void state_txn_compare_value(StateTxn *txn, GBytes *key, StateRelation relation, GBytes *value);
void state_txn_put(StateTxn *txn, StateBranch branch, GBytes *key, GBytes *value, int64_t lease);
void state_txn_delete(StateTxn *txn, StateBranch branch, GBytes *key, bool prefix);
/* Sees what the operations before it did. A range at an older revision is not possible here. */
void state_txn_range(StateTxn *txn, StateBranch branch, const StateRange *range);

/* Nothing is added to txn afterwards. */
StateCall *state_commit(State *state, StateTxn *txn, StateDone done, void *data);

/* Forgets what was before revision: ranges at it and later ones stay possible, and watches from
 * later ones. */
StateCall *state_compact(State *state, int64_t revision, StateDone done, void *data);

/* --- leases: all keys put with one are deleted together when it is not kept alive for its ttl, or
 * revoked. Across a restart of the store a lease may live longer, never shorter. */

StateCall *state_lease_grant(State *state, int64_t ttl_s, StateDone done, void *data);
StateCall *state_lease_keep(State *state, int64_t lease, StateDone done, void *data);
StateCall *state_lease_revoke(State *state, int64_t lease, StateDone done, void *data);
StateCall *state_lease_look(State *state, int64_t lease, StateDone done, void *data);

/* --- watches */

/* events: of StateEntry, whole revisions in their order, none left out, none twice; revision is the
 * last. Without any: everything up to revision has been told (comes now and then). The watch goes
 * on by itself across restarts and lost connections. With error (COMPACTED: revision says up to
 * where; DENIED; DAMAGED) it is over, and still to be stopped. A callback may stop its own watch.
 */
typedef void (*StateWatchCallback)(void *data, int64_t revision, GPtrArray *events,
                                   const GError *error);

/* Of one key, of those that begin with it (prefix), or of all (key NULL). from: the first revision
 * that is told, which may be in the future; 0: what happens from now on. */
StateWatch *state_watch(State *state, GBytes *key, bool prefix, int64_t from,
                        StateWatchCallback callback, void *data);
void state_watch_stop(StateWatch *watch); /* accepts NULL; no callback after this */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StateWatch, state_watch_stop)

/* --- life */

/* Of tests: all is gone with it. */
State *state_open_memory(Loop *loop);
/* A file of SQLite, made when there is none (0600); one process at a time. Writes are answered when
 * they are on the disk. */
State *state_open_sqlite(Loop *loop, const char *path, GError **error);

typedef struct {
    const char *urls;              /* of one member or several, separated by commas */
    const char *ca;                /* PEM text; NULL: the authorities this host trusts */
    const char *certificate, *key; /* PEM texts of ours; NULL: none */
    const char *user, *password;   /* NULL: none */
} StateEtcdOptions;

/* etcd >= 3.4. Does not wait for it: calls tell what is wrong. */
State *state_open_etcd(Loop *loop, const StateEtcdOptions *options, GError **error);

/* Not inside a callback. Calls that were not answered never are; watches are over. Accepts NULL. */
void state_free(State *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(State, state_free)

const char *state_kind(const State *state); /* "memory", "sqlite", "etcd" */
