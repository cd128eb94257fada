#pragma once
/*
 * Private to state: what an implementation is. It gets calls that were found valid (state.c,
 * state-txn.c), and answers each by call_answer() from a callback of the loop.
 */
#include "state/call.h"

struct StoreCall {
    Store *state;
    GList link;
    CallKind kind;
    StoreTxn *txn;  /* CALL_TXN; CALL_RANGE: its STORE_THEN has that one operation */
    int64_t number; /* revision, lease, or seconds of ttl */
    StoreDone done; /* NULL: somebody waits */
    void *data;
    void *job; /* the implementation's */
    bool answered, waited;
    StoreAnswer *answer;
    GError *error;
};

struct StoreWatch {
    Store *state;
    GList link;
    GBytes *key, *end; /* as of Op */
    int64_t next;      /* the first revision that has not been told; 0: not known yet */
    StoreWatchCallback callback;
    void *data;
    void *job, *reading; /* the implementation's */
    bool telling, stopped, over;
};

typedef struct {
    const char *kind;
    void (*start)(StoreCall *call);
    void (*cancel)(StoreCall *call); /* takes back job; NULL job: there is nothing to do */
    void (*watch)(StoreWatch *watch);
    void (*unwatch)(StoreWatch *watch);
    void (*free)(Store *state); /* after all calls and watches have gone; frees state itself */
    const char *(*identity)(const Store *state); /* NULL: it has none */
} StoreClass;

/* The first member of each implementation's own struct. */
struct Store {
    const StoreClass *class;
    Loop *loop;
    GQueue calls;   /* of StoreCall */
    GQueue watches; /* of StoreWatch */
    unsigned busy;  /* callbacks that are running */
};

void store_init(Store *state, const StoreClass *class, Loop *loop);

/* Takes answer and error over, one of them NULL. Frees the call unless somebody waits for it. */
void call_answer(StoreCall *call, StoreAnswer *answer, GError *error);
bool call_is_write(const StoreCall *call); /* changes the store when it succeeds */
const Op *call_range(const StoreCall *call);

/* Tells events up to revision; what is before watch->next has been told. Returns false when the
 * watch was stopped by its callback, and is gone. */
bool watch_tell(StoreWatch *watch, int64_t revision, GPtrArray *events);
/* It is over. */
void watch_fail(StoreWatch *watch, int64_t revision, const GError *error);

/* --- making answers (state-answer.c) */

StoreEntry *entry_new(GBytes *key, GBytes *value); /* refs both; the numbers are 0 */
StoreAnswer *answer_new(int64_t revision);
StoreResult *answer_add(StoreAnswer *answer); /* owned by answer */
StoreResult *answer_add_range(StoreAnswer *answer);

/* --- keys and transactions (state-txn.c) */

/* The same refusals everywhere, before anything is sent. */
bool txn_check(const StoreTxn *txn, GError **error);
bool key_check(GBytes *key, GError **error);
StoreTxn *txn_of_range(const StoreRange *range);

/* How a compare ends for a key as it is; NULL: it is not there. */
bool compare_holds(const Compare *compare, const StoreEntry *entry);

/* The usual errors, in the same words everywhere. */
GError *error_compacted(int64_t revision, int64_t compacted);
GError *error_future(int64_t revision, int64_t present);
GError *error_lease_gone(int64_t lease);
GError *error_range_large(void);
