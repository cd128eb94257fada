#pragma once
/*
 * What calls and transactions are made of, for who carries them between a client and a store, or
 * judges them on the way. Everybody else builds them with store.h.
 */
#include "state/store.h"

typedef enum { OP_PUT, OP_DELETE, OP_RANGE } OpKind;

/* One operation of a transaction. As in etcd, end says which keys: NULL only key itself, else those
 * from key up to before end; an end of no bytes is beyond all keys. */
typedef struct {
    OpKind kind;
    GBytes *key, *end;
    GBytes *value; /* put */
    int64_t lease; /* put */
    int64_t revision;
    unsigned limit;
    bool keys_only;
} Op;

typedef struct {
    GBytes *key;
    StoreField field;
    StoreRelation relation;
    int64_t number;
    GBytes *value; /* for STORE_VALUE */
} Compare;

struct StoreTxn {
    GPtrArray *compares;    /* of Compare */
    GPtrArray *branches[2]; /* of Op */
};

typedef enum {
    CALL_RANGE,
    CALL_TXN,
    CALL_COMPACT,
    CALL_GRANT,
    CALL_KEEP,
    CALL_REVOKE,
    CALL_LOOK,
} CallKind;

GBytes *prefix_end(GBytes *prefix); /* as Op.end: the first key after all that begin with prefix */
bool keys_hold(GBytes *key, GBytes *end, GBytes *candidate);
/* Owned by txn, its members by the caller to fill: new references. */
Op *txn_add_op(StoreTxn *txn, StoreBranch branch, OpKind kind, GBytes *key);

/* As the calls of store.h. Takes txn over: NULL unless of CALL_TXN, or of CALL_RANGE, whose
 * STORE_THEN is that one operation. number: revision, lease, or seconds of ttl. */
StoreCall *call_start(Store *state, CallKind kind, StoreTxn *txn, int64_t number, StoreDone done,
                      void *data);
