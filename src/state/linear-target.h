#pragma once
/* For tests: what the randomised check of order works on, and how it is killed. */
#include "state/linear-check.h"
#include "state/store.h"
#include "state/test-etcd.h"

typedef enum {
    ANSWERED,
    NOTHING_DONE, /* try again */
    LOST,         /* it may have happened */
} Outcome;

/* op has what it saw, done and revision. */
typedef void (*Answered)(void *data, Outcome outcome, const LinearOp *op);
/* A change that the watch told: one revision, its key and value. */
typedef void (*Told)(void *data, int64_t revision, unsigned key, int64_t value);

typedef struct Target Target;

/* A process of its own that has a file of SQLite open; members of etcd. NULL: there is no etcd. */
Target *target_new_sqlite(Loop *loop, Told told, void *data);
Target *target_new_etcd(Loop *loop, unsigned members, Told told, void *data);
/* A member that was stopped is about to go on, with what it knew then: client, which goes to it,
 * may ask something. */
void target_on_thaw(Target *target, void (*thaw)(void *data, unsigned client));
void target_free(Target *target);

/* client: some go to one member of a cluster, some to another. answered may come at once. */
void target_ask(Target *target, unsigned client, const LinearOp *op, Answered answered, void *data);
/* kill -9 of the process or of a member, which comes back by itself. Returns what was done. */
const char *target_kill(Target *target, GRand *random);
