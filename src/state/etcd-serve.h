#pragma once
/*
 * The other side of etcd-json.h: what clients of etcd's JSON gateway ask, and how it is answered,
 * for who serves a Store to them. Served is what the client of this directory uses, strictly: a
 * member that is not known is refused, for it would be meant to change something. Everything that
 * is read here comes from outside.
 */
#include "state/call.h"

/* Bytes of a request: a transaction as large as one may be, in base64, with what is around it. */
#define ETCD_BODY_LIMIT (STORE_LIMIT_TXN_BYTES / 3 * 4 + 3 * STORE_LIMIT_TXN_OPS * 512)

/* What is asked; the members are of the kind, as call_start() takes them. */
typedef struct {
    CallKind kind;
    StoreTxn *txn;
    int64_t number;
    bool alone; /* the transaction is one operation, with a path and an answer of its own */
} EtcdAsked;

/* path: after /v3/. STORE_ERROR_INVALID says what is wrong. Not yet checked are the limits of
 * store.h, which the store does. */
EtcdAsked *etcd_asked_new(const char *path, GBytes *body, GError **error);
void etcd_asked_free(EtcdAsked *asked); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EtcdAsked, etcd_asked_free)

StoreCall *etcd_asked_start(const EtcdAsked *asked, Store *state, StoreDone done, void *data);
GBytes *etcd_asked_answer(const EtcdAsked *asked, const StoreAnswer *answer);
/* Of keeping alive or looking at a lease that is gone, which are no errors; NULL: of other calls,
 * or another error. */
GBytes *etcd_asked_gone(const EtcdAsked *asked, const GError *error);

/* An error as etcd says it; *ret_status: of HTTP. */
GBytes *etcd_refusal(const GError *error, unsigned *ret_status);

/* --- watches: one for each stream, of a key or of all that begin with one */

typedef struct {
    GBytes *key; /* NULL: all keys */
    bool prefix;
    GBytes *from, *end; /* the same, as key and end of Op */
    int64_t revision;   /* the first that is told; 0: what happens from now on */
} EtcdWatch;

bool etcd_watch_parse(GBytes *body, EtcdWatch *ret_watch, GError **error);
void etcd_watch_clear(EtcdWatch *watch);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EtcdWatch, etcd_watch_clear)

/* Each is a line of the stream. */
GBytes *etcd_watch_created(int64_t revision, const char *identity); /* of store_identity() */
GBytes *etcd_watch_progress(int64_t revision);
/* n of StoreEntry; fragment: the last of these revisions goes on in the next message. */
GBytes *etcd_watch_events(StoreEntry *const *entries, unsigned n, int64_t revision, bool fragment);
GBytes *etcd_watch_cancelled(int64_t revision, const GError *error, int64_t compacted);
