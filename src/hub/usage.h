#pragma once
/*
 * What each host has in the store, and that it does not get more than its share: a thief of its key
 * would fill the store of all. Every hub counts what it hears of all keys, so hubs over one etcd
 * agree within moments, and reads them once when it starts: until then it knows too little, and
 * refuses nothing wrongly. What a host writes is counted before it is written.
 */
#include "state/call.h"

typedef struct Usage Usage;
typedef struct Claim Claim; /* what a transaction is about to add */

typedef struct {
    uint64_t bytes, keys; /* keys and values */
} UsageCount;

/* limit: of a host. state stays longer than it. */
Usage *usage_new(Store *state, UsageCount limit);
void usage_free(Usage *usage); /* accepts NULL */

/* Of the watch of all keys, in their order. */
void usage_hear(Usage *usage, const StoreEntry *entry);
void usage_heard(Usage *usage, int64_t revision); /* all up to it */
void usage_reset(Usage *usage);                   /* changes were missed */

/* For host. False: something of it would be above the limit. *ret_claim may be NULL; its caller
 * settles it with the revision of what was written, or 0: nothing was. */
bool usage_claim(Usage *usage, const char *host, const StoreTxn *txn, Claim **ret_claim,
                 GError **error);
void usage_settle(Usage *usage, Claim *claim, int64_t revision); /* accepts NULL */

UsageCount usage_of(const Usage *usage, const char *host);
void usage_metrics(const Usage *usage, GString *text); /* for Prometheus */
